//! The quarantine on a real disk: killed at any instant, and sent on to real next hops.
//!
//! The store runs in the test's process, or in a child that is this binary again, asked by a worker's
//! own [`Asker`].

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use postern::base::slab::{Key, Slab};
use postern::control::config;
use postern::relay::quarantine::{ClientFacts, Description, Envelope, Spool, Spooled, Unanswered};
use postern::relay::question::{Answer, Query, Question};
use postern::service;
use postern::service::answer::{self, Answerers};
use postern::service::quarantine::folder::Folder as Held;
use postern::service::quarantine::order::{Order, Outcome, Refused};
use postern::service::quarantine::{Bounds, NextHops, Settings, Store};
use postern::worker::ask::{Asker, QuestionQueue, Wake};
use postern::worker::counters::Counters;
use ulid::Ulid;

use super::{At, Do, Folder, PATIENCE, Plan, Proxy, Setup, Step, Upstream, eventually, in_parallel};
use crate::harness::authority::world;
use crate::harness::free_address;
use crate::harness::program::{Program, output};
use crate::harness::secure::{VERSIONS, server_config};

fn settings(path: PathBuf) -> Settings {
    let bounds = Bounds { bytes_max: 1 << 34, age_max: Duration::from_secs(3600) };
    Settings { path, bounds }
}

/// Now, so that no age has passed, and a random part that is the seed of the message.
fn id(seed: u64) -> Ulid {
    let millis = jiff::Timestamp::now().as_millisecond();
    Ulid::from_parts(u64::try_from(millis).unwrap(), u128::from(seed))
}

/// The message of an id: mostly small, now and then large.
fn content(id: Ulid) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::try_from(id.random()).unwrap());
    let size = if random.u8(..4) == 0 { random.usize(..300_000) } else { random.usize(..3000) };
    std::iter::repeat_with(|| random.u8(..)).take(size).collect()
}

fn description(id: Ulid) -> Description {
    let envelope = Envelope::new(b"a@client.example", b"", "hop").unwrap().with(b"b@hop.example", b"");
    Description::new(id, ClientFacts::default(), envelope.unwrap())
}

const FOLDER_OF_CHILD: &str = "POSTERN_TEST_QUARANTINE_FOLDER";
/// A child that nobody kills ends by itself.
const LIFE: Duration = Duration::from_secs(60);
const UNDER_WAY: usize = 8;

/// A message of which some has been said.
struct Sending {
    id: Ulid,
    left: Vec<u8>,
    piece: usize,
    unanswered: Unanswered,
    /// Some are given up in the end, as when the client leaves.
    wanted: bool,
    ended: bool,
}

/// A worker that does nothing but store messages, and writes down what was acknowledged.
struct Storing {
    asker: Asker,
    counters: Counters,
    relays: Slab<Sending>,
    random: fastrand::Rng,
    journal: fs::File,
    begun: Instant,
}

impl Storing {
    fn now(&self) -> postern::base::time::Instant {
        let nanos = u64::try_from(self.begun.elapsed().as_nanos()).unwrap();
        postern::base::time::Instant::from_nanos(nanos)
    }

    fn say(&mut self, relay: Key, word: Spool) {
        let (now, question) = (self.now(), Question::Quarantine(word));
        self.asker.ask(now, (relay, Query(1)), question, PATIENCE, &self.counters);
    }

    fn store_one(&mut self) {
        let id = id(self.random.u64(..));
        let (piece, wanted) = (self.random.usize(100..50_000), self.random.u8(..8) > 0);
        let unanswered = Unanswered::default();
        let sending = Sending { id, left: content(id), piece, unanswered, wanted, ended: false };
        let relay = self.relays.insert(sending);
        self.say(relay, Spool::Begin { id, size: 0 });
        self.go_on(relay);
    }

    /// Says as much as may be said now.
    fn go_on(&mut self, relay: Key) {
        loop {
            let Some(sending) = self.relays.at_mut(relay) else { return };
            if sending.ended || sending.unanswered.is_much() {
                return;
            }
            if sending.left.is_empty() {
                break;
            }
            let rest = sending.left.split_off(sending.piece.min(sending.left.len()));
            let piece = std::mem::replace(&mut sending.left, rest);
            sending.unanswered.add(piece.len());
            self.say(relay, Spool::Append(piece));
        }
        let sending = self.relays.at_mut(relay).unwrap();
        sending.ended = true;
        if sending.wanted {
            let description = Box::new(description(sending.id));
            self.say(relay, Spool::Commit(description));
        } else {
            self.relays.remove(relay);
            self.say(relay, Spool::Abort);
        }
    }

    fn hear(&mut self) {
        let mut answers = Vec::new();
        self.asker.collect(self.now(), &self.counters, &mut answers);
        for (relay, _, answer) in answers {
            match answer {
                Answer::Quarantine(Spooled::Taken { words, octets }) => {
                    // It may have been given up since this was collected.
                    let Some(sending) = self.relays.at_mut(relay) else { continue };
                    sending.unanswered.take(words, octets);
                    self.go_on(relay);
                }
                Answer::Quarantine(Spooled::Stored) => {
                    let id = self.relays.remove(relay).unwrap().id;
                    // One write: a line is whole or not there.
                    self.journal.write_all(format!("{id}\n").as_bytes()).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The part of the child; nothing in a run of the tests.
#[test]
fn the_child_of_the_killing_check_stores_until_it_is_killed() {
    let Some(path) = std::env::var_os(FOLDER_OF_CHILD).map(PathBuf::from) else { return };
    let (queue, asked) = QuestionQueue::new();
    let store = settings(path.join("quarantine"));
    let _service = service::start(move || async move {
        let store = Store::open(&store, NextHops::default()).unwrap();
        answer::serve(asked, Answerers { quarantine: Some(store), ..Answerers::default() }).await;
    });
    let begun = Instant::now();
    let zero = postern::base::time::Instant::from_nanos(0);
    let (waker, wakened) = std::sync::mpsc::channel();
    let asker = Asker::new(0, zero, queue, Wake::new(move || _ = waker.send(())));
    let journal = OpenOptions::new().create(true).append(true).open(path.join("acknowledged")).unwrap();
    let (counters, random) = (Counters::new(&[]), fastrand::Rng::new());
    let mut storing = Storing { asker, counters, relays: Slab::new(), random, journal, begun };
    while begun.elapsed() < LIFE {
        while storing.relays.len() < UNDER_WAY {
            storing.store_one();
        }
        wakened.recv_timeout(PATIENCE).unwrap();
        storing.hear();
    }
}

fn child(folder: &Folder) -> Program {
    let name = "checks::quarantine::the_child_of_the_killing_check_stores_until_it_is_killed";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(FOLDER_OF_CHILD, folder.path());
    Program::start(&mut command)
}

fn acknowledged(folder: &Folder) -> Vec<Ulid> {
    let text = fs::read_to_string(folder.join("acknowledged")).unwrap_or_default();
    text.lines().map(|line| Ulid::from_string(line).unwrap()).collect()
}

#[track_caller]
fn check_whole(held: &Held, id: Ulid) {
    let described = held.description(id).unwrap().unwrap_or_else(|| panic!("{id} is lost"));
    let content = content(id);
    assert_eq!(described, Description { size: content.len() as u64, ..description(id) });
    assert!(fs::read(held.message_path(id)).unwrap() == content, "{id} is not what was sent");
}

#[test]
fn kill_9_at_100_random_instants_of_quarantining() {
    const INSTANTS: usize = 100;
    const LANES: usize = 2;
    in_parallel(LANES, LANES, |lane| {
        let mut random = fastrand::Rng::with_seed(lane as u64);
        let folder = Folder::new();
        let held = Held::new(folder.join("quarantine"));
        let (mut checked, mut unfinished) = (0, 0);
        for life in 0..INSTANTS / LANES {
            let mut child = child(&folder);
            let stores =
                eventually(PATIENCE, || acknowledged(&folder).len() > checked || !child.is_running());
            assert!(stores && child.is_running(), "life {life}: {}", child.said());
            std::thread::sleep(Duration::from_micros(random.u64(0..20_000)));
            child.kill();
            let ids = acknowledged(&folder);
            ids[checked..].iter().for_each(|id| check_whole(&held, *id));
            checked = ids.len();
            let names = fs::read_dir(held.path()).unwrap().map(|entry| entry.unwrap().file_name());
            unfinished += names.filter(|name| name.to_string_lossy().ends_with(".part")).count();
        }
        assert!(unfinished > INSTANTS / LANES, "it was hardly ever killed in the middle of something");
        // The next start: whole entries and nothing else.
        let store = Store::open(&settings(folder.join("quarantine")), NextHops::default()).unwrap();
        let ids: BTreeSet<Ulid> = held.ids().unwrap().into_iter().collect();
        ids.iter().for_each(|id| check_whole(&held, *id));
        assert!(acknowledged(&folder).iter().all(|id| ids.contains(id)));
        assert_eq!(store.stats().counts().entries, ids.len() as u64);
        // Lock and token beside them.
        assert_eq!(fs::read_dir(held.path()).unwrap().count(), 2 * ids.len() + 2);
    });
}

/// A quarantine with one message in it, in front of a next hop.
struct Keeping {
    folder: Rc<Folder>,
    id: Ulid,
    text: String,
}

const MESSAGE: &[u8] = b"Received: from x\r\nSubject: held\r\n\r\n.a\r\n..b\r\nno end of line";

impl Keeping {
    /// Toward `upstream`, with `line` more in its section.
    fn new(upstream: &Upstream, line: &str) -> Self {
        let setup = Setup::toward(upstream.address).upstream(line);
        let text = setup.text(free_address(), free_address());
        let keeping = Self { folder: Rc::new(Folder::new()), id: id(1), text };
        keeping.put(MESSAGE, &keeping.description());
        keeping
    }

    fn description(&self) -> Description {
        let envelope = Envelope::new(b"a@client.example", b"SIZE=1 BODY=8BITMIME RET=HDRS", "hop").unwrap();
        let envelope = envelope.with(b"b@hop.example", b"NOTIFY=NEVER").unwrap();
        let envelope = envelope.with(b"c@hop.example", b"").unwrap();
        let client = ClientFacts {
            ip: Some("192.0.2.7".parse().unwrap()),
            port: Some(4711),
            helo: Some("client.example".to_owned()),
            esmtp: true,
            ..ClientFacts::default()
        };
        Description { size: MESSAGE.len() as u64, ..Description::new(self.id, client, envelope) }
    }

    fn put(&self, message: &[u8], description: &Description) {
        fs::write(self.folder.join(&format!("{}.eml", self.id)), message).unwrap();
        let json = serde_json::to_vec(description).unwrap();
        fs::write(self.folder.join(&format!("{}.json", self.id)), json).unwrap();
    }

    /// Starts the store, and gives the order to it.
    fn order(&self, order: fn(Ulid) -> Order) -> Outcome {
        let (path, text, order) = (self.folder.path().to_owned(), self.text.clone(), order(self.id));
        let (sender, outcome) = std::sync::mpsc::channel();
        let thread = service::start(move || async move {
            let config = config::read("test.toml", &text).unwrap();
            let store = Store::open(&settings(path), NextHops::new(&config, None)).unwrap();
            sender.send(store.open_desk().give(order).await).unwrap();
        });
        thread.unwrap().join().unwrap();
        outcome.recv().unwrap()
    }

    fn release(&self) -> Outcome {
        self.order(Order::Release)
    }

    #[track_caller]
    fn check_kept(&self, description: &Description) {
        let held = Held::new(self.folder.path());
        assert_eq!(held.description(self.id).unwrap().as_ref(), Some(description));
        assert_eq!(fs::read(held.message_path(self.id)).unwrap(), MESSAGE);
    }

    #[track_caller]
    fn check_gone(&self) {
        let names = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.filter(|name| name != "lock" && name != "token").count(), 0);
    }
}

const EXTENSIONS: [&str; 8] = [
    "PIPELINING",
    "SIZE 0",
    "8BITMIME",
    "SMTPUTF8",
    "DSN",
    "XFORWARD NAME ADDR PORT PROTO HELO",
    "X",
    "CHUNKING",
];

#[test]
fn a_release_brings_the_message_as_it_was_meant() {
    for (extensions, ending) in
        [(&EXTENSIONS[..], &b""[..]), (&EXTENSIONS[..7], b"\r\n"), (&EXTENSIONS[1..7], b"\r\n")]
    {
        let upstream = Plan::with(extensions).start();
        let keeping = Keeping::new(&upstream, "identity = \"xforward\"");
        let answer = keeping.release().unwrap();
        assert_eq!((&answer["kept"], &answer["refused"]), (&serde_json::Value::Null, &serde_json::json!([])));
        assert_eq!(answer["server"], upstream.address.to_string());
        let messages = upstream.messages();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].content, [MESSAGE, ending].concat());
        let envelope: Vec<_> =
            messages[0].commands.iter().filter(|line| !line.starts_with("XFORWARD")).collect();
        let mail = format!("MAIL FROM:<a@client.example> BODY=8BITMIME RET=HDRS SIZE={}", MESSAGE.len());
        assert_eq!(envelope[..3], [&mail, "RCPT TO:<b@hop.example> NOTIFY=NEVER", "RCPT TO:<c@hop.example>"]);
        let forwarded = messages[0].commands.iter().filter(|line| line.contains("ADDR=192.0.2.7"));
        assert_eq!(forwarded.count(), 1, "{:?}", messages[0].commands);
        keeping.check_gone();
    }
}

#[test]
fn what_the_next_hop_refuses_is_kept() {
    let refusals: [(At, Do); 6] = [
        (At::Connect, Do::say("554 5.7.1 not you")),
        (At::Mail, Do::say("550 5.1.8 not him")),
        (At::Rcpt, Do::say("550 5.1.1 nobody")),
        (At::Dot, Do::say("554 5.6.0 not this")),
        (At::BdatLast, Do::say("451 4.3.0 not now")),
        (At::BdatLast, Do::SayAndReset(b"250 2.0.0 ok\r\n".to_vec())),
    ];
    for (at, action) in refusals {
        let plan = if at == At::Dot { Plan::data() } else { Plan::bdat() };
        let (refusal, reset) = (action.clone(), matches!(action, Do::SayAndReset(_)));
        let upstream =
            plan.script(move |step| if step.at == at { action.clone() } else { Do::Usual }).start();
        let keeping = Keeping::new(&upstream, "");
        let Err(Refused::NotTaken(why)) = keeping.release() else { panic!("{at:?}") };
        match &refusal {
            Do::Say(reply) => assert!(why.contains(str::from_utf8(reply).unwrap().trim()), "{why}"),
            _ => assert!(reset && why.contains("not known whether it arrived"), "{why}"),
        }
        keeping.check_kept(&keeping.description());
    }
}

#[test]
fn a_recipient_that_is_refused_keeps_its_copy() {
    let upstream = Plan::bdat().script(|step| match step.line.contains("<b@") && step.session == 0 {
        true => Do::say("452 4.2.2 mailbox full"),
        false => Do::Usual,
    });
    let upstream = upstream.start();
    let keeping = Keeping::new(&upstream, "");
    let answer = keeping.release().unwrap();
    assert_eq!(answer["refused"][0]["address"], "b@hop.example");
    assert_eq!(answer["refused"][0]["reply"], "452 4.2.2 mailbox full");
    assert!(!answer["kept"].is_null());
    let mut rest = keeping.description();
    rest.envelope.recipients.truncate(1);
    keeping.check_kept(&rest);
    keeping.release().unwrap();
    keeping.check_gone();
    let messages = upstream.messages();
    assert_eq!(messages[0].recipients().len(), 2, "both were asked");
    assert_eq!(messages[1].recipients(), ["RCPT TO:<b@hop.example> NOTIFY=NEVER"]);
}

/// A next hop that has no TLS gets nothing that must go under it.
#[test]
fn what_may_not_go_in_clear_is_kept() {
    for (line, parameters) in [("tls = \"require\"", ""), ("tls = \"offer\"", "REQUIRETLS")] {
        let upstream = Plan::bdat().start();
        let keeping = Keeping::new(&upstream, line);
        let mut description = keeping.description();
        parameters.clone_into(&mut description.envelope.parameters);
        keeping.put(MESSAGE, &description);
        assert!(matches!(keeping.release(), Err(Refused::NotTaken(_))), "{line}");
        keeping.check_kept(&description);
        assert!(upstream.seen().commands.iter().all(|(_, line)| !line.starts_with("MAIL")));
    }
}

#[test]
fn nobody_there_is_no_loss() {
    let upstream = Plan::bdat().start();
    let mut keeping = Keeping::new(&upstream, "");
    keeping.text = keeping.text.replace(&upstream.address.to_string(), &free_address().to_string());
    assert!(matches!(keeping.release(), Err(Refused::NotTaken(_))));
    keeping.check_kept(&keeping.description());
}

/// Whoever may write to the folder still cannot make us say what an SMTP client does not say.
#[test]
fn a_damaged_entry_is_not_sent() {
    let upstream = Plan::bdat().start();
    let keeping = Keeping::new(&upstream, "");
    let sound = keeping.description();
    let mut damaged = Vec::new();
    for sender in ["a@b> SIZE=1\r\nRSET", "a b@c", "no-domain"] {
        let mut description = sound.clone();
        sender.clone_into(&mut description.envelope.sender);
        damaged.push(description);
    }
    let mut description = sound.clone();
    "SIZE=1\r\nDATA".clone_into(&mut description.envelope.parameters);
    damaged.push(description);
    let mut description = sound.clone();
    description.envelope.recipients.clear();
    damaged.push(description);
    damaged.push(Description { size: sound.size - 1, ..sound.clone() });
    damaged.push(Description { size: sound.size + 1, ..sound.clone() });
    damaged.push(Description { size: 0, ..sound });
    for description in damaged {
        keeping.put(MESSAGE, &description);
        assert!(matches!(keeping.release(), Err(Refused::NotTaken(_))), "{description:?}");
        keeping.check_kept(&description);
    }
    assert_eq!(upstream.seen().sessions, 0);
}

#[test]
fn an_upstream_that_is_gone_gives_way_to_the_routes() {
    let upstream = Plan::bdat().start();
    let keeping = Keeping::new(&upstream, "");
    let mut description = keeping.description();
    "former".clone_into(&mut description.envelope.upstream);
    keeping.put(MESSAGE, &description);
    keeping.release().unwrap();
    keeping.check_gone();
    assert_eq!(upstream.messages().len(), 1);
}

/// The real program over the quarantine of `keeping`.
fn program(keeping: &Keeping, upstream: &Upstream) -> Proxy {
    let path = keeping.folder.path().display();
    Setup::toward(upstream.address).section(&format!("[quarantine]\npath = \"{path}\"")).start()
}

/// `postern quarantine …`: its exit code, and what it printed.
pub(super) fn command(proxy: &Proxy, arguments: &[&str]) -> (Option<i32>, String) {
    let config = proxy.config();
    let mut all = vec!["quarantine"];
    all.extend(arguments);
    all.extend(["--config", config.to_str().unwrap()]);
    let output = output(&all);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_command_line_looks_releases_and_deletes() {
    let upstream = Plan::bdat().start();
    let keeping = Keeping::new(&upstream, "");
    let (first, second) = (keeping.id.to_string(), id(2));
    let other = Keeping { folder: Rc::clone(&keeping.folder), id: second, text: String::new() };
    other.put(b"Subject: \x1b[31mred\r\n", &Description { size: 21, ..other.description() });
    let second = second.to_string();
    let mut proxy = program(&keeping, &upstream);
    let (code, table) = command(&proxy, &["list"]);
    assert_eq!((code, table.lines().count()), (Some(0), 3), "{table}");
    assert!(table.lines().nth(1).unwrap().contains(&first), "{table}");
    let (_, lines) = command(&proxy, &["list", "--json"]);
    let ids = lines.lines().map(|line| serde_json::from_str::<Description>(line).unwrap().id.to_string());
    assert_eq!(ids.collect::<Vec<_>>(), [&*first, &*second]);
    let (code, text) = command(&proxy, &["show", &second]);
    assert!(code == Some(0) && text.ends_with("\nSubject: \u{fffd}[31mred\n\n"), "{text}");
    let (code, _) = command(&proxy, &["release", &first]);
    assert_eq!((code, upstream.messages().len()), (Some(0), 1));
    assert_eq!(command(&proxy, &["release", &first]).0, Some(1), "it is not there any more");
    assert!(proxy.page("/metrics").contains("\npostern_quarantine_entries 1\n"));
    assert!(proxy.page("/api/quarantine").contains(&second));
    let (code, text) = command(&proxy, &["delete", &second]);
    assert!(code == Some(0) && text.starts_with(&format!("deleted {second}: ")), "{text}");
    assert_eq!(command(&proxy, &["show", &second]).0, Some(1));
    assert_eq!(command(&proxy, &["show", "../../etc/passwd"]).0, Some(2));
    assert_eq!(command(&proxy, &["list"]).1.lines().count(), 1);
    keeping.check_gone();
    proxy.assert_well();
}

/// As mail of a worker's: never in clear where TLS is required, and under our name where that is asked for.
#[test]
fn a_release_is_as_safe_as_any_mail() {
    let announced = [&EXTENSIONS[..], &["AUTH PLAIN"]].concat();
    let secure = || Plan::with(&announced).tls(server_config(&VERSIONS, &world().ecdsa));
    let knows = |step: Step<'_>| match step.line {
        "AUTH PLAIN AGFubgBwZW5jaWw=" => Do::say("235 2.7.0 welcome"),
        _ => Do::Usual,
    };
    for (plan, password, is_sent) in [
        (secure().script(knows), "pencil", true),
        (secure().script(knows), "pencils", false),
        (Plan::with(&announced).script(knows), "pencil", false),
    ] {
        let upstream = plan.start();
        let keeping = Keeping::new(&upstream, "");
        let path = keeping.folder.path().to_str().unwrap().to_owned();
        let proxy = Setup::toward(upstream.address)
            .file("ca.pem", &world().authority.pem)
            .file("password", password)
            .upstream("tls = { mode = \"verify\", ca = \"ca.pem\", name = \"mx1.example.net\" }")
            .upstream("auth = { user = \"ann\", password_file = \"password\" }\npool = { warm = 0 }")
            .section(&format!("[quarantine]\npath = \"{path}\""))
            .start();
        let (code, told) = command(&proxy, &["release", &keeping.id.to_string()]);
        assert_eq!(code == Some(0), is_sent, "{told}");
        let seen = upstream.seen();
        let verbs: Vec<_> = seen.in_clear.iter().map(|line| &line[..4]).collect();
        assert!(verbs.iter().all(|verb| ["EHLO", "STAR", "QUIT"].contains(verb)), "{verbs:?}");
        assert_eq!(seen.messages.len(), usize::from(is_sent));
        for message in &seen.messages {
            assert!(message.content.ends_with(MESSAGE), "content was changed");
            let mail = message.commands.iter().find(|line| line.starts_with("MAIL")).unwrap();
            assert!(mail.contains(" AUTH=<> SIZE="), "{mail}");
        }
    }
}

/// What a route's own `tls` makes of an upstream has a number in its name, and the number is another's when the file
/// was changed: the message goes as the routes say now.
#[test]
fn a_release_goes_as_safely_as_its_route_says() {
    for (stored, domain, is_sent) in
        [("hop+2", "hop.example", false), ("hop+1", "hop.example", false), ("hop+1", "offer.example", true)]
    {
        let upstream = Plan::bdat().start();
        let route = |recipient: &str, tls: &str| {
            format!("\n[[route]]\nrecipient = [\"{recipient}\"]\nupstream = \"hop\"\ntls = \"{tls}\"\n")
        };
        let setup = Setup::routed(&[("nobody.example", "hop", upstream.address)])
            .route_for(&route("hop.example", "require"))
            .route_for(&route("offer.example", "offer"));
        let mut keeping = Keeping::new(&upstream, "");
        keeping.text = setup.text(free_address(), free_address());
        let envelope = Envelope::new(b"a@client.example", b"", stored).unwrap();
        let envelope = envelope.with(format!("b@{domain}").as_bytes(), b"").unwrap();
        keeping.put(MESSAGE, &Description { envelope, ..keeping.description() });
        let told = keeping.release();
        assert_eq!((told.is_ok(), upstream.messages().len()), (is_sent, usize::from(is_sent)), "{told:?}");
    }
}

#[test]
fn without_a_running_proxy_nothing_is_sent_but_all_can_be_deleted() {
    let upstream = Plan::bdat().start();
    let keeping = Keeping::new(&upstream, "");
    let id = keeping.id.to_string();
    let mut proxy = program(&keeping, &upstream);
    proxy.kill();
    assert_eq!(command(&proxy, &["release", &id]).0, Some(1));
    keeping.check_kept(&keeping.description());
    assert_eq!(command(&proxy, &["delete", &id]).0, Some(0));
    assert_eq!(command(&proxy, &["delete", &id]).0, Some(1));
    keeping.check_gone();
    assert_eq!(upstream.messages(), []);
}

/// One request, as whoever may send it; the status of the answer.
fn status(proxy: &Proxy, request: &str, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(proxy.admin).unwrap();
    let head = format!("{request} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{page}"))
}

#[test]
fn orders_over_the_admin_plane_need_the_token_of_the_folder() {
    let upstream = Plan::bdat().start();
    let keeping = Keeping::new(&upstream, "");
    let proxy = program(&keeping, &upstream);
    let (entry, host) = (format!("/api/quarantine/{}", keeping.id), format!("Host: {}\r\n", proxy.admin));
    let orders = [format!("POST {entry}/release"), format!("DELETE {entry}")];
    let token = Held::new(keeping.folder.path()).token().unwrap();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let wrong = format!("Authorization: Bearer {}\r\n", "0".repeat(token.len()));
    for order in &orders {
        for (headers, code) in [
            (host.clone(), 401),
            (format!("{host}{wrong}"), 401),
            (format!("Host: rebound.example\r\n{bearer}"), 403),
            (format!("{host}{bearer}Origin: http://{}\r\n", proxy.admin), 403),
        ] {
            assert_eq!(status(&proxy, order, &headers), code, "{order} {headers}");
        }
    }
    assert_eq!(status(&proxy, &format!("GET {entry}"), "Host: rebound.example\r\n"), 403);
    assert_eq!(status(&proxy, &format!("GET {entry}"), &host), 200);
    assert_eq!(status(&proxy, "GET /api/quarantine/x", &host), 400);
    keeping.check_kept(&keeping.description());
    assert_eq!(status(&proxy, &orders[0], &format!("{host}{bearer}")), 200);
    assert_eq!(status(&proxy, &orders[1], &format!("{host}{bearer}")), 404);
    assert_eq!(upstream.messages().len(), 1);
}

#[test]
fn other_processes_keep_out() {
    let upstream = Plan::bdat().start();
    let keeping = Keeping::new(&upstream, "");
    let held = Held::new(keeping.folder.path());
    let lock = held.lock().unwrap();
    assert!(lock.is_some());
    let path: &Path = keeping.folder.path();
    assert!(Store::open(&settings(path.to_owned()), NextHops::default()).is_err());
}
