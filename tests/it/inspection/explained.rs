//! What `explain` says of a message is what becomes of it: the same specimens go through a relay and
//! through the examiner, under the same configuration.
//!
//! A relay stops looking once a refusal stands; the examiner looks to the end. So of a message that is
//! refused early only the verdict must be the same, and what the relay found must be among the rest.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use postern::base::time::{Instant, Moment, Wall};
use postern::control::config::{Outside, read_with};
use postern::control::explain::Envelope;
use postern::control::explain::examine::{Examiner, Explanation};
use postern::control::patterns::{Source, compile_here, lines};
use postern::policy::settings::Config;
use postern::relay::action::{Action, Actions};
use postern::relay::event::{Event, Lease, Side};
use postern::relay::quarantine::{Spool, Spooled};
use postern::relay::question::{Answer, Query, Question};
use postern::relay::record::Record;
use postern::relay::{Relay, Shared};
use postern::scan::Rules;
use postern::smtp::client::Client;

use super::specimen::{DEFLATE, attached, base64_lines, crlf, html, nested, quoted_printable, utf16le, zip};
use super::{SIGNATURE, patterns};
use crate::harness::Folder;

const CLIENT: &str = "192.0.2.1";

const CONFIG: &str = r#"hostname = "mx.example.net"
[workers]
window = "32KiB"
message = "200KiB"
line = "4KiB"
[[listener]]
name = "in"
address = ["127.0.0.1:2525"]
[[upstream]]
name = "store"
servers = ["127.0.0.1:2526"]
[[upstream]]
name = "other"
servers = ["127.0.0.1:2527"]
[[route]]
recipient = ["example.net"]
upstream = "store"
[admin]
address = "off"
[inspect]
patterns = ["patterns.toml"]
depth = 10
limit = "defer"
[quarantine]
path = "quarantine"
spool = "always"
[lists]
friends = ["198.51.100.0/24"]
[score]
tag = 2.0
quarantine = 10.0
reject = 30.0
symbols = { MIME_DEFECT_TYPE_CONFLICT = 12.0, URL_TRICK_USER = 1.5 }
groups = { urls = { symbols = ["URL_*"], max = 3.5 } }
[[rule]]
name = "friends"
when = 'client.ip in lists.friends'
then = "pass"
[[rule]]
name = "programs"
when = 'attachments.exists(a, a.kind == "executable")'
then = "reject"
reply = "5.7.1 no programs here"
[[rule]]
name = "elsewhere"
when = 'message.subject == "elsewhere" && sender.domain == "client.example" && client.helo == "client.example"'
then = "redirect"
to = "other"
[[rule]]
name = "nobody"
when = '"b@example.net" in recipients && message.subject == "nowhere"'
then = "discard"
[[rule]]
name = "many"
when = 'message.size > 1000'
then = "reject"
shadow = true
"#;

/// A next hop that takes everything.
#[derive(Default)]
struct Hop {
    pending: Vec<u8>,
    in_content: bool,
}

impl Hop {
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pending.extend_from_slice(bytes);
        let mut replies = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            if self.in_content && line != b".\r\n" {
                continue;
            }
            self.in_content = line == b"DATA\r\n";
            replies.extend_from_slice(if self.in_content { b"354 go on\r\n" } else { b"250 ok\r\n" });
        }
        replies
    }
}

/// What is to happen next.
enum Next {
    Said(Side, Vec<u8>),
    Sent(Side, usize),
    CheckedOut,
    Confirmed,
    Answered(Query, Answer),
}

/// A relay between a client that sends one message and a next hop that takes it.
struct World {
    relay: Relay,
    shared: Shared,
    now: Moment,
    hop: Option<Hop>,
    next: VecDeque<Next>,
    record: Option<Record>,
}

impl World {
    fn new(config: &Arc<Config>, client: &str) -> Self {
        let now = Moment { instant: Instant::from_nanos(1), wall: Wall::from_millis(1_795_366_104_000) };
        let peer = format!("{client}:40000").parse().unwrap();
        let relay = Relay::new(now.instant, config, 0, peer, "198.51.100.25:25".parse().unwrap());
        let shared = Shared::new(Arc::clone(config), 0, 1);
        let mut world = Self { relay, shared, now, hop: None, next: VecDeque::new(), record: None };
        world.shared.announce();
        world.handle(Event::Opened);
        world.run();
        world
    }

    fn say(&mut self, bytes: Vec<u8>) {
        self.next.push_back(Next::Said(Side::Downstream, bytes));
        self.run();
    }

    fn run(&mut self) {
        while let Some(next) = self.next.pop_front() {
            match next {
                Next::Said(side, bytes) => self.handle(Event::Received(side, &bytes)),
                Next::Sent(side, octets) => self.handle(Event::Sent(side, octets)),
                Next::CheckedOut => {
                    self.hop = Some(Hop::default());
                    let server = "198.51.100.1:25".parse().unwrap();
                    self.handle(Event::CheckedOut(Lease {
                        client: greeted(),
                        server,
                        fresh: true,
                        kept: false,
                        secured: None,
                    }));
                }
                Next::Confirmed => self.handle(Event::Confirmed),
                Next::Answered(query, answer) => self.handle(Event::Answered(query, answer)),
            }
        }
    }

    fn handle(&mut self, event: Event<'_>) {
        let mut actions = Actions::default();
        self.relay.handle(self.now, event, &mut self.shared, &mut actions);
        let Actions { downstream, upstream, list } = actions;
        if !downstream.is_empty() {
            self.next.push_back(Next::Sent(Side::Downstream, downstream.len()));
        }
        if let Some(hop) = self.hop.as_mut().filter(|_| !upstream.is_empty()) {
            self.next.push_back(Next::Sent(Side::Upstream, upstream.len()));
            let replies = hop.take(&upstream);
            if !replies.is_empty() {
                self.next.push_back(Next::Said(Side::Upstream, replies));
            }
        }
        list.into_iter().for_each(|action| self.carry_out(action));
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::CheckOut { .. } => self.next.push_back(Next::CheckedOut),
            Action::CheckIn(..) | Action::Discard(..) => {
                self.hop = None;
                let of_hop = |next: &Next| {
                    matches!(next, Next::Said(Side::Upstream, _) | Next::Sent(Side::Upstream, _))
                };
                self.next.retain(|next| !of_hop(next));
            }
            Action::Confirm => self.next.push_back(Next::Confirmed),
            Action::Ask { query, question: Question::Quarantine(word), .. } => {
                let answer = match word {
                    Spool::Append(bytes) => Spooled::Taken { words: 1, octets: bytes.len() },
                    Spool::Commit(_) => Spooled::Stored,
                    _ => return,
                };
                self.next.push_back(Next::Answered(query, Answer::Quarantine(answer)));
            }
            Action::Record(record) => self.record = Some(*record),
            _ => {}
        }
    }
}

/// A connection behind its greeting and EHLO.
fn greeted() -> Box<Client> {
    let mut client = Client::new();
    client.receive(b"220 next.example ESMTP\r\n").unwrap();
    client.ehlo(b"mx.example.net", &mut Vec::new());
    client.receive(b"250 next.example\r\n").unwrap();
    Box::new(client)
}

/// The record of a message that came in chunks of so many octets.
fn relayed(config: &Arc<Config>, client: &str, content: &[u8], chunk: usize) -> Record {
    let mut world = World::new(config, client);
    for line in ["EHLO client.example", "MAIL FROM:<a@Client.example>", "RCPT TO:<b@Example.net>"] {
        world.say(format!("{line}\r\n").into_bytes());
    }
    let count = content.len().div_ceil(chunk);
    for (n, piece) in content.chunks(chunk).enumerate() {
        let last = if n + 1 == count { " LAST" } else { "" };
        world.say([format!("BDAT {}{last}\r\n", piece.len()).as_bytes(), piece].concat());
        if let Some(record) = world.record.take() {
            return record;
        }
    }
    panic!("no record")
}

fn explained(config: &Config, folder: &Folder, client: &str, content: &[u8]) -> Explanation {
    let path = folder.join("message");
    fs::write(&path, content).unwrap();
    let envelope = Envelope {
        client: Some(client.parse().unwrap()),
        helo: Some("client.example".to_owned()),
        from: Some("a@Client.example".to_owned()),
        to: vec!["b@Example.net".to_owned()],
    };
    Examiner::new(config, &envelope).examine(&path).unwrap()
}

/// A configuration with the patterns of these tests.
struct Around {
    tells_all: bool,
}

impl Outside for Around {
    fn shown(&self, path: &str) -> String {
        path.to_owned()
    }

    fn read(&self, _: &str, _: usize) -> Result<Vec<u8>, String> {
        Ok(patterns("\"raw\", \"text\", \"attachment\"").into_bytes())
    }

    fn names(&self, _: &str) -> Result<Vec<String>, String> {
        Err("there is no folder".to_owned())
    }

    fn compile(&self, sources: &[Source], _: Option<&Path>) -> Result<Rules, Vec<String>> {
        compile_here(sources).map_err(lines)
    }

    fn tells_all(&self) -> bool {
        self.tells_all
    }
}

/// The relay serves what `run` reads; the examiner what `explain` reads.
struct Both {
    folder: Folder,
    serving: Arc<Config>,
    telling: Arc<Config>,
}

impl Both {
    fn new(text: &str) -> Self {
        let read = |tells_all| Arc::new(read_with("p.toml", text, &Around { tells_all }).unwrap());
        Self { folder: Folder::new(), serving: read(false), telling: read(true) }
    }

    /// Judges `content` on both ways, which must agree on `want`: verdict and what decided.
    #[track_caller]
    fn check(&self, client: &str, content: &[u8], want: (&str, Option<&str>)) {
        let told = explained(&self.telling, &self.folder, client, content);
        assert_eq!((told.verdict, told.rule.as_deref()), want);
        let found: BTreeMap<_, _> = told.symbols.iter().map(|it| (it.name.clone(), it.score)).collect();
        for chunk in [content.len(), 30_000, 1000] {
            let record = relayed(&self.serving, client, content, chunk);
            assert_eq!(record.verdict, told.verdict, "in chunks of {chunk}");
            assert!(record.reply.starts_with(told.reply.as_deref().unwrap_or("250 ")), "{record:?}");
            if told.refused_after.is_some() {
                assert!(record.symbols.0.keys().all(|name| found.contains_key(name)), "{record:?}");
                continue;
            }
            let judged = (&record.rule, record.score, &record.symbols.0, &record.shadow, record.size);
            assert_eq!(
                judged,
                (&told.rule, told.score, &found, &told.shadows, told.size),
                "in chunks of {chunk}"
            );
            let places = |symbol: &str, place: &str, text: &str| format!("{symbol} {place} {text}");
            let recorded = record.evidence.iter().map(|it| places(&it.symbol, &it.place, &it.redacted));
            let shown = told.evidence.iter().map(|it| places(&it.symbol, &it.place, &it.redacted));
            assert!(recorded.eq(shown), "{record:?}");
        }
    }
}

fn subject(subject: &str) -> Vec<u8> {
    crlf(&format!("From: A <a@client.example>\nSubject: {subject}\n\ntext\n"))
}

#[test]
fn explain_and_relay_decide_alike() {
    let both = Both::new(CONFIG);
    let check = |content: &[u8], verdict, rule| both.check(CLIENT, content, (verdict, rule));
    check(&subject("nothing"), "pass", None);
    check(&subject("elsewhere"), "redirect", Some("elsewhere"));
    check(&subject("nowhere"), "discard", Some("nobody"));
    let misleading = "<a href=\"http://www.bank.com@evil.net/\">www.bank.com</a>";
    let page =
        crlf(&format!("Subject: x\nMIME-Version: 1.0\nContent-Type: text/html\n\n<p>{misleading}</p>\n"));
    check(&page, "tag", Some("score"));
    let found = |encoding: &str, text: &str| {
        crlf(&format!(
            "Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset={encoding}\n\n{text}\n"
        ))
    };
    check(
        &found("utf-16\nContent-Transfer-Encoding: base64", &base64_lines(&utf16le(SIGNATURE), 60)),
        "quarantine",
        Some("score"),
    );
    check(
        &found("utf-8\nContent-Transfer-Encoding: quoted-printable", &quoted_printable(SIGNATURE.as_bytes())),
        "quarantine",
        Some("score"),
    );
    check(&attached("a.zip", &zip("a.txt", SIGNATURE.as_bytes(), DEFLATE)), "quarantine", Some("score"));
    check(&found("utf-8\nContent-Type: text/html", &html("words")), "quarantine", Some("score"));
    check(&nested(&subject("deep"), 5), "pass", None);
    check(&nested(&subject("deeper"), 30), "defer", Some("limit"));
}

#[test]
fn explain_and_relay_refuse_alike() {
    let both = Both::new(CONFIG);
    let check = |content: &[u8], rule| both.check(CLIENT, content, ("reject", Some(rule)));
    let program = [&b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8\0\0\0"[..], &[0; 50_000]].concat();
    check(&attached("a.exe", &program), "programs");
    check(&attached("a.txt", &program[..20]), "programs");
    check(b"Subject: x\r\n\r\na\nb\r\n", "built-in");
    check(b"Subject: x\r\n\r\na\0b\r\n", "built-in");
    check(format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(5000)).as_bytes(), "built-in");
    check(&[subject("large"), b"0123456789\r\n".repeat(20_000)].concat(), "built-in");
    check(&[b"Received: from x by y\r\n".repeat(60), subject("loop")].concat(), "built-in");
    both.check("198.51.100.7", &attached("a.exe", &program), ("pass", Some("friends")));
}

#[test]
fn explain_knows_what_a_listener_forgives() {
    let listener = "address = [\"127.0.0.1:2525\"]\nbare_newline = { replace = [\"192.0.2.0/24\"] }";
    let both = Both::new(&CONFIG.replace("address = [\"127.0.0.1:2525\"]", listener));
    both.check(CLIENT, b"Subject: x\r\n\r\na\nb\r\n", ("pass", None));
    both.check("203.0.113.1", b"Subject: x\r\n\r\na\nb\r\n", ("reject", Some("built-in")));
}

/// No rule and no pattern asks for links: what they show counts all the same.
#[test]
fn explain_and_relay_look_for_the_same_links() {
    let page = crlf(
        "Subject: x\nMIME-Version: 1.0\nContent-Type: text/html\n\n\
         <a href=\"http://evil.net/\">www.bank.com</a>\n",
    );
    let (head, _) = CONFIG.split_once("[lists]").unwrap();
    let both = Both::new(&format!("{head}[score]\ntag = 2.0\n"));
    both.check(CLIENT, &page, ("tag", Some("score")));
    let rule = "[[rule]]\nname = \"misleads\"\nwhen = '\"URL_MISLEADS\" in symbols'\nthen = \"reject\"\n";
    Both::new(&format!("{head}{rule}")).check(CLIENT, &page, ("reject", Some("misleads")));
}
