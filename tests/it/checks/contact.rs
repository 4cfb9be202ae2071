//! First contact, reputation and what is remembered of both, through the real program: clients of several
//! networks, a next hop, and a name server of the test's own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{RData, RecordType};
use serde_json::Value;

use super::{Client, PATIENCE, Plan, Proxy, Setup, Upstream, eventually};
use crate::harness::free_address;
use crate::harness::name_server::{NameServer, Reaction};

const RECIPIENT: &str = "b@hop.example";
/// Clients of one network, and one of another.
const HERE: &str = "127.77.1.1";
const THERE: &str = "127.77.2.2";

/// Anybody may send for far.test, nobody for strict.test; all others say nothing.
fn name_server() -> NameServer {
    NameServer::start(|name, kind| {
        let text = |text: &str| Reaction::Records(vec![RData::TXT(TXT::new(vec![text.to_owned()]))]);
        match (name, kind) {
            ("far.test" | "xn--bcher-kva.test", RecordType::TXT) => text("v=spf1 ip4:127.0.0.0/8 -all"),
            ("_dmarc.bank.test", RecordType::TXT) => text("v=DMARC1; p=reject"),
            ("strict.test", RecordType::TXT) => text("v=spf1 -all"),
            _ => Reaction::NotFound,
        }
    })
}

struct World {
    upstream: Upstream,
    proxy: Proxy,
    _names: NameServer,
}

impl World {
    fn new(sections: &str) -> Self {
        let names = name_server();
        let upstream = Plan::bdat().start();
        let sender = format!("[sender]\nresolver = [\"{}\"]\ntimeout = \"2s\"", names.address);
        let proxy = Setup::toward(upstream.address).section(&sender).section(sections).start();
        Self { upstream, proxy, _names: names }
    }

    /// One message from `sender`, also its author: what the client heard.
    fn send(&self, client: &str, sender: &str) -> String {
        send(self.proxy.address, client, sender, sender, RECIPIENT)
    }

    /// The same, with its record.
    fn send_recorded(&self, client: &str, sender: &str, author: &str) -> Value {
        let before = self.proxy.records().len();
        send(self.proxy.address, client, sender, author, RECIPIENT);
        self.proxy.await_records(before + 1).remove(before)
    }
}

fn send(address: SocketAddr, client: &str, sender: &str, author: &str, recipient: &str) -> String {
    let mut client = Client::connect_from(client, address);
    assert_eq!(client.reply().code, 220);
    assert_eq!(client.command("EHLO client.example").code, 250);
    client.envelope(sender, recipient);
    assert_eq!(client.command("DATA").code, 354);
    client.send(format!("From: <{author}>\r\n\r\nbody\r\n.\r\n").as_bytes());
    client.reply().text()
}

const GREYLIST: &str = "[first_contact]\ngreylist = { delay = \"1s\" }";

#[test]
fn who_comes_again_passes_from_another_address_of_its_domain() {
    let world = World::new(GREYLIST);
    let record = world.send_recorded(HERE, "a@far.test", "a@far.test");
    assert_eq!(
        (record["verdict"].as_str(), record["disposition"].as_str()),
        (Some("greylist"), Some("deferred"))
    );
    assert_eq!(record["rule"].as_str(), Some("first-contact"), "{record}");
    let reply = record["reply"].as_str().unwrap();
    assert!(reply.starts_with("451 4.7.1 greylisted, come again in 1 s (id "), "{reply}");
    let stranger = world.send(HERE, "a@none.test");
    assert!(stranger.starts_with("451 4.7.1 greylisted"), "{stranger}");
    assert_eq!(world.upstream.messages(), []);
    // From a neighbour of nobody, for a domain that lets it.
    assert!(eventually(PATIENCE, || world.send(THERE, "a@far.test").starts_with("250 ")));
    // Whose domain says nothing comes as its network, which it has changed.
    let stranger = world.send(THERE, "a@none.test");
    assert!(stranger.starts_with("451 4.7.1 greylisted"), "{stranger}");
    assert!(eventually(PATIENCE, || world.send("127.77.1.99", "a@none.test").starts_with("250 ")));
    // Who is known by one message is not by all.
    let other = world.send(THERE, "other@far.test");
    assert!(other.starts_with("451 4.7.1 greylisted"), "{other}");
    assert_eq!(world.upstream.messages().len(), 2);
}

#[test]
fn who_writes_its_domain_with_other_letters_comes_as_that_domain() {
    let world = World::new(&format!("dmarc = \"enforce\"\n{GREYLIST}"));
    let send = |author: &str| {
        let mut client = Client::connect_from(HERE, world.proxy.address);
        assert_eq!(client.reply().code, 220);
        assert_eq!(client.command("EHLO client.example").code, 250);
        assert_eq!(client.command("MAIL FROM:<a@b\u{fc}cher.test> SMTPUTF8").code, 250);
        assert_eq!(client.command(&format!("RCPT TO:<{RECIPIENT}>")).code, 250);
        assert_eq!(client.command("DATA").code, 354);
        client.send(format!("From: <{author}>\r\n\r\nbody\r\n.\r\n").as_bytes());
        client.reply().text()
    };
    // It is asked whether it may send as somebody who wants that.
    let forged = send("a@bank.test");
    assert!(forged.starts_with("550 5.7.26"), "{forged}");
    let stranger = send("a@none.test");
    assert!(stranger.starts_with("451 4.7.1 greylisted"), "{stranger}");
    assert!(eventually(PATIENCE, || send("a@none.test").starts_with("250 ")));
    assert_eq!(world.upstream.messages().len(), 1);
}

#[test]
fn a_rule_says_who_is_greylisted() {
    let world = World::new(
        "[first_contact]\ngreylist = { delay = \"1h\", all = false }\n[[rule]]\nname = \"suspicious\"\n\
         when = 'sender.spf != \"pass\" && !sender.known'\nthen = \"greylist\"",
    );
    let record = world.send_recorded(HERE, "a@far.test", "a@far.test");
    assert_eq!(record["disposition"].as_str(), Some("delivered"), "{record}");
    let record = world.send_recorded(HERE, "a@none.test", "a@none.test");
    assert_eq!(record["rule"].as_str(), Some("suspicious"), "{record}");
    assert!(record["reply"].as_str().unwrap().contains("greylisted, come again in 3600 s"), "{record}");
}

/// Whether one attempt, after the delay of 3 s that began at `since`, passes at once.
fn passes_after(world: &World, since: Instant, sender: &str) -> bool {
    assert!(eventually(PATIENCE, || since.elapsed() > Duration::from_millis(4200)));
    world.send(HERE, sender).starts_with("250 ")
}

const STORED: &str = "[first_contact]\ngreylist = { delay = \"3s\" }\n[store]\npath = \"store\"";

#[test]
fn what_was_learnt_survives_kill_9_a_second_later() {
    let mut world = World::new(STORED);
    let begun = Instant::now();
    assert!(world.send(HERE, "a@far.test").starts_with("451 "));
    assert!(eventually(PATIENCE, || world.proxy.metric("store_written_total") > 0));
    world.proxy.kill();
    world.proxy.restart();
    assert!(passes_after(&world, begun, "a@far.test"));
    assert!(world.send(HERE, "other@far.test").starts_with("451 "), "others have not met");
    world.proxy.assert_well();
}

#[test]
fn what_was_learnt_last_survives_an_orderly_end() {
    let mut world = World::new(STORED);
    let begun = Instant::now();
    assert!(world.send(HERE, "a@far.test").starts_with("451 "));
    world.proxy.terminate();
    assert_eq!(world.proxy.await_end(PATIENCE).and_then(|status| status.code()), Some(0));
    world.proxy.restart();
    assert!(passes_after(&world, begun, "a@far.test"));
}

#[test]
fn a_store_that_cannot_be_used_stops_no_mail_and_is_told_once() {
    let names = name_server();
    let upstream = Plan::bdat().start();
    let sender = format!("[sender]\nresolver = [\"{}\"]", names.address);
    let setup = Setup::toward(upstream.address).section(&sender).section(GREYLIST);
    // A file is where its folder should be.
    let proxy = setup.file("store", "x").section("[store]\npath = \"store\"").start();
    let mut world = World { upstream, proxy, _names: names };
    assert!(world.send(HERE, "a@far.test").starts_with("451 "));
    assert!(eventually(PATIENCE, || world.send(HERE, "a@far.test").starts_with("250 ")));
    assert_eq!(world.proxy.metric("store_failing"), 1);
    assert!(eventually(PATIENCE, || world.proxy.metric("store_lost_total") > 0));
    let said = world.proxy.said();
    assert_eq!(said.matches("the store is in memory only").count(), 1, "{said}");
    assert_eq!(world.upstream.messages().len(), 1);
    world.proxy.assert_well();
}

#[test]
fn a_known_correspondent_is_known_and_a_forged_one_is_not() {
    let outbound = free_address();
    let world = World::new(&format!(
        "[[listener]]\nname = \"out\"\naddress = [\"{outbound}\"]\noutbound = true\n\
         [reputation]\n[[rule]]\nname = \"answered\"\nwhen = 'sender.correspondent'\nthen = \"tag\"\n\
         [[rule]]\nname = \"known\"\nwhen = 'sender.known'\nthen = \"tag\"",
    ));
    let rule = |sender: &str, author: &str| world.send_recorded(HERE, sender, author)["rule"].clone();
    assert_eq!(rule("friend@far.test", "friend@far.test"), Value::Null, "before anybody wrote");
    for to in ["Friend@far.test", "boss@strict.test"] {
        assert!(send(outbound, HERE, RECIPIENT, RECIPIENT, to).starts_with("250 "));
    }
    assert!(send(outbound, HERE, "c@hop.example", "c@hop.example", "pal@far.test").starts_with("250 "));
    world.proxy.await_records(4);
    for (sender, author, want) in [
        ("friend@far.test", "friend@far.test", Some("answered")),
        ("friend@far.test", "Friend@far.test", Some("answered")),
        // Another one here wrote to this one.
        ("pal@far.test", "pal@far.test", Some("known")),
        ("stranger@far.test", "stranger@far.test", None),
        // The author is forged, by whoever's envelope.
        ("evil@none.test", "friend@far.test", None),
        ("friend@far.test", "boss@strict.test", None),
        ("boss@strict.test", "boss@strict.test", None),
    ] {
        assert_eq!(rule(sender, author).as_str(), want, "from {sender}, author {author}");
    }
}

#[test]
fn spf_alone_is_enough_to_be_known() {
    let outbound = free_address();
    let world = World::new(&format!(
        "dkim = false\narc = false\ndmarc = \"off\"\nresults = false\n\
         [[listener]]\nname = \"out\"\naddress = [\"{outbound}\"]\noutbound = true\n\
         [reputation]\n[[rule]]\nname = \"known\"\nwhen = 'sender.known'\nthen = \"tag\"",
    ));
    assert!(send(outbound, HERE, RECIPIENT, RECIPIENT, "friend@far.test").starts_with("250 "));
    world.proxy.await_records(1);
    for (sender, author, want) in
        [("friend@far.test", "friend@far.test", Some("known")), ("evil@none.test", "friend@far.test", None)]
    {
        let record = world.send_recorded(HERE, sender, author);
        assert_eq!(record["rule"].as_str(), want, "from {sender}, author {author}");
    }
}

/// Sessions that wait for their greeting at the same time.
const WAITING: usize = 2000;

#[test]
fn two_thousand_that_wait_for_the_greeting_cost_nobody_else_anything() {
    let upstream = Plan::bdat().start();
    let plain = free_address();
    let proxy = Setup::toward(upstream.address)
        .section(&format!(
            "[[listener]]\nname = \"plain\"\naddress = [\"{plain}\"]\n\
             [first_contact]\nlistener = [\"in\"]\ndelay = \"6s\""
        ))
        .start();
    let mut waiting: Vec<_> =
        (0..WAITING).map(|_| (Instant::now(), Client::connect_from(HERE, proxy.address))).collect();
    // Meanwhile another listener serves, by the same worker.
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(send(plain, HERE, "a@far.test", "a@far.test", RECIPIENT).get(..3), Some("250"));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for (begun, client) in &mut waiting {
        assert_eq!(client.reply().code, 220);
        assert!(begun.elapsed() >= Duration::from_millis(5900), "{:?}", begun.elapsed());
    }
    assert_eq!(upstream.messages().len(), 50);
}

#[test]
fn who_speaks_before_the_greeting_is_refused_unless_it_is_known() {
    let upstream = Plan::bdat().start();
    let section = "[first_contact]\ndelay = \"2s\"";
    let mut proxy = Setup::toward(upstream.address).section(section).start();
    let mut early = Client::connect_from(HERE, proxy.address);
    early.send(b"EHLO client.example\r\nMAIL FROM:<a@far.test>\r\n");
    let heard = early.hear_to_the_end(PATIENCE).unwrap();
    assert_eq!(heard.iter().map(|reply| reply.code).collect::<Vec<_>>(), [554]);
    let record = proxy.await_records(1).remove(0);
    assert_eq!(record["reply"].as_str(), Some("it spoke before it was greeted"), "{record}");
    // Who brought mail once is greeted at once, with all its neighbours, and may be in a hurry.
    let begun = Instant::now();
    assert!(send(proxy.address, HERE, "a@far.test", "a@far.test", RECIPIENT).starts_with("250 "));
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
    let begun = Instant::now();
    let mut hasty = Client::connect_from("127.77.1.200", proxy.address);
    hasty.send(b"EHLO client.example\r\n");
    assert_eq!((hasty.reply().code, hasty.reply().code), (220, 250));
    assert!(begun.elapsed() < Duration::from_millis(1900), "{:?}", begun.elapsed());
    proxy.assert_well();
}

#[test]
fn tests_are_facts_and_the_greeting_may_only_mark() {
    let upstream = Plan::bdat().start();
    let rule = |test: &str| {
        format!("[[rule]]\nname = \"{test}\"\nwhen = '\"{test}\" in client.tests'\nthen = \"reject\"\n")
    };
    let rules =
        ["early_talker", "not_smtp", "bare_newline", "greeted_as_us", "pipelining"].map(rule).concat();
    let section = format!("[first_contact]\ndelay = \"1s\"\nearly = \"mark\"\n{rules}");
    let proxy = Setup::toward(upstream.address).section(&section).start();
    for (n, (early, first, want)) in [
        ("", "EHLO client.example\r\n", None),
        ("EHLO client.example\r\n", "", Some("early_talker")),
        ("", "GET / HTTP/1.1\r\nEHLO client.example\r\n", Some("not_smtp")),
        ("", "EHLO client.example\n", Some("bare_newline")),
        ("", "EHLO postern.example\r\n", Some("greeted_as_us")),
        ("", "EHLO client.example\r\nRSET\r\n", Some("pipelining")),
    ]
    .into_iter()
    .enumerate()
    {
        let source = format!("127.78.{n}.1");
        let mut client = Client::connect_from(&source, proxy.address);
        client.send(early.as_bytes());
        assert_eq!(client.reply().code, 220);
        client.send(first.as_bytes());
        for _ in [early, first].concat().lines() {
            client.reply();
        }
        client.envelope("a@far.test", RECIPIENT);
        // Rules that need no content decide before it.
        let code = client.command("DATA").code;
        assert_eq!(code, if want.is_some() { 550 } else { 354 }, "{first:?}");
        if want.is_some() {
            let is_its = |record: &Value| record["client"]["ip"] == source.as_str();
            let rule = || Some(proxy.records().into_iter().find(is_its)?["rule"].clone());
            assert!(
                eventually(PATIENCE, || rule().is_some_and(|rule| rule.as_str() == want)),
                "{:?}",
                rule()
            );
        }
    }
}

#[test]
fn who_errs_waits_for_replies() {
    let upstream = Plan::bdat().start();
    let section = "[first_contact]\ntarpit = { delay = \"1s\", errors = 2 }";
    let proxy = Setup::toward(upstream.address).section(section).start();
    let mut client = proxy.session();
    for _ in 0..2 {
        assert_eq!(client.command("NONSENSE").code, 500);
    }
    let begun = Instant::now();
    assert_eq!(client.command("NOOP").code, 250);
    assert!(begun.elapsed() >= Duration::from_millis(990), "{:?}", begun.elapsed());
    assert_eq!(proxy.session().command("NOOP").code, 250);
}
