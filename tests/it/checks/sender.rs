//! Who is really sending, through the real program: a client, a next hop, and a name server of the
//! test's own (checks 37, 41, 42 and 48 in part; the composition attacks are in `crate::sender`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64_simd::STANDARD;
use hickory_resolver::proto::rr::rdata::{A, TXT};
use hickory_resolver::proto::rr::{RData, RecordType};
use serde_json::Value;

use super::{Plan, Proxy, Setup, Upstream, in_parallel};
use crate::harness::name_server::{NameServer, Reaction};

const HOST: &str = "postern.example";

/// A domain that signs, and says in the DNS with which key.
struct Signer(Ed25519KeyPair);

impl Signer {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    fn record(&self) -> String {
        format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode_to_string(self.0.public_key()))
    }

    /// RFC 8463: what is signed is the digest of the header fields, each in its relaxed form.
    fn sign(&self, from: &str, subject: &str, body: &str) -> String {
        let hash = STANDARD.encode_to_string(digest::digest(&digest::SHA256, body.as_bytes()));
        let tags = format!(
            "v=1; a=ed25519-sha256; c=relaxed/simple; d=signed.test; s=s; h=from:subject; bh={hash}; b="
        );
        let signed = format!("from:{from}\r\nsubject:{subject}\r\ndkim-signature:{tags}");
        let header = digest::digest(&digest::SHA256, signed.as_bytes());
        let signature = STANDARD.encode_to_string(self.0.sign(header.as_ref()));
        format!("DKIM-Signature: {tags}{signature}\r\nFrom: {from}\r\nSubject: {subject}\r\n\r\n{body}")
    }
}

/// Names of the test. `silent.test` never answers.
fn name_server(signer: &Signer) -> NameServer {
    let key = signer.record();
    NameServer::start(move |name, kind| {
        let text = |text: &str| {
            let strings =
                text.as_bytes().chunks(200).map(|chunk| String::from_utf8_lossy(chunk).into_owned());
            Reaction::Records(vec![RData::TXT(TXT::new(strings.collect()))])
        };
        let listed = || Reaction::Records(vec![RData::A(A("127.0.0.2".parse().unwrap()))]);
        match (name, kind) {
            ("signed.test", RecordType::TXT) => text("v=spf1 ip4:127.0.0.0/8 -all"),
            ("s._domainkey.signed.test", RecordType::TXT) => text(&key),
            ("_dmarc.signed.test", RecordType::TXT) => text("v=DMARC1; p=reject"),
            ("other.test", RecordType::TXT) => text("v=spf1 -all"),
            _ if name.ends_with("silent.test") || name.ends_with(".silent.test") => Reaction::Silence,
            ("bad.test.uri.test", RecordType::A) => listed(),
            (name, RecordType::A) if name.ends_with(".list.test") => listed(),
            _ => Reaction::NotFound,
        }
    })
}

struct World {
    upstream: Upstream,
    proxy: Proxy,
    signer: Signer,
    _names: NameServer,
}

impl World {
    fn new(settings: &str) -> Self {
        let signer = Signer::new();
        let names = name_server(&signer);
        let upstream = Plan::bdat().start();
        let section = format!("[sender]\nresolver = [\"{}\"]\ntimeout = \"1s\"\n{settings}", names.address);
        let proxy = Setup::toward(upstream.address).section(&section).start();
        Self { upstream, proxy, signer, _names: names }
    }

    /// The code of the reply, and the record.
    fn send(&self, sender: &str, content: &str) -> (u16, Value) {
        let before = self.proxy.records().len();
        let mut client = self.proxy.session();
        client.envelope(sender, "b@hop.example");
        assert_eq!(client.command("DATA").code, 354);
        client.send(format!("{content}.\r\n").as_bytes());
        let code = client.reply().code;
        (code, self.proxy.await_records(before + 1).remove(before))
    }
}

fn symbols(record: &Value) -> Vec<&str> {
    record["symbols"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn what_is_in_order_passes_and_is_told_to_the_next_hop() {
    let world = World::new("dmarc = \"enforce\"");
    let signed = world.signer.sign("A <a@signed.test>", "x", "body\r\n");
    // A field that claims to be ours is taken out, somebody else's stays.
    let forged = format!(
        "Authentication-Results: {HOST};\r\n\tdmarc=pass header.from=bank.test\r\n\
         Authentication-Results: elsewhere.test; spf=pass\r\n"
    );
    let (code, record) = world.send("a@signed.test", &format!("{forged}{signed}"));
    assert_eq!(code, 250, "{record}");
    for symbol in ["SPF_PASS", "DKIM_PASS", "DMARC_PASS"] {
        assert!(symbols(&record).contains(&symbol), "{symbol}: {record}");
    }
    let content = String::from_utf8(world.upstream.messages().remove(0).content).unwrap();
    assert!(!content.contains("bank.test"), "{content}");
    assert!(content.contains("elsewhere.test; spf=pass"), "{content}");
    let field = content.find(&format!("Authentication-Results: {HOST};")).unwrap();
    let results = &content[field..content.find("elsewhere.test").unwrap()];
    for word in ["spf=pass", "dkim=pass", "header.d=signed.test", "dmarc=pass", "header.from=signed.test"] {
        assert!(results.contains(word), "{word}: {results}");
    }
    assert!(content.ends_with(&signed), "{content}");
}

#[test]
fn whose_domain_disowns_it_is_refused() {
    let world = World::new("dmarc = \"enforce\"");
    let signed = world.signer.sign("A <a@signed.test>", "x", "body\r\n");
    let changed = signed.replace("\r\n\r\nbody", "\r\n\r\nbad body");
    // By another host's path and with a signature that does not hold any more.
    let (code, record) = world.send("a@other.test", &changed);
    assert_eq!((code, record["rule"].as_str()), (550, Some("dmarc")), "{record}");
    assert!(record["reply"].as_str().unwrap().starts_with("550 5.7.26 "), "{record}");
    for symbol in ["SPF_FAIL", "DKIM_FAIL", "DMARC_FAIL"] {
        assert!(symbols(&record).contains(&symbol), "{symbol}: {record}");
    }
    // The signature alone is enough.
    assert_eq!(world.send("a@other.test", &signed).0, 250);
    // Two authors are none.
    let (code, record) = world.send("a@signed.test", &format!("From: <b@other.test>\r\n{signed}"));
    assert!(code == 550 && symbols(&record).contains(&"DMARC_PERMERROR"), "{record}");
    assert_eq!(world.upstream.messages().len(), 1);
}

#[test]
fn who_is_on_a_list_weighs() {
    let world = World::new(
        "dnsbl = [{ zone = \"list.test\", score = 20.0 }]\n[score]\nreject = 15.0\n[inspect]\npatterns = []",
    );
    let (code, record) = world.send("a@signed.test", "From: <a@signed.test>\r\n\r\nbody\r\n");
    assert_eq!((code, record["rule"].as_str()), (550, Some("score")), "{record}");
    assert!(symbols(&record).contains(&"DNSBL_LIST_TEST"), "{record}");
}

#[test]
fn who_is_shown_as_the_author_is_a_fact() {
    let world = World::new(
        "people = [{ name = \"Anna Director\", addresses = [\"anna@signed.test\"] }]\nfreemail = [\"free.test\"]\n\
         [inspect]\npatterns = []\nprotect = [\"mybank.test\"]\n[score]\nreject = 5.0\n[[rule]]\nname = \"person\"\n\
         when = '\"name_person\" in message.shown && !(\"REPLY_TO_FREEMAIL\" in symbols)'\nthen = \"reject\"\n",
    );
    let send = |header: &str| world.send("a@signed.test", &format!("{header}\r\n\r\nbody\r\n"));
    assert_eq!(send("From: Anna Director <anna@signed.test>").0, 250);
    let (code, record) = send("From: =?utf-8?q?Director_=41nna?= <x@other.test>");
    assert_eq!((code, record["rule"].as_str()), (550, Some("person")), "{record}");
    // Broken, but not to those who read it.
    let (code, record) = send("From: =?utf-8?q?Director,_Anna?= <x@other.test>");
    assert_eq!((code, record["rule"].as_str()), (550, Some("person")), "{record}");
    let (code, record) = send("From: Anna Director <x@other.test>\r\nReply-To: x@free.test");
    assert_eq!((code, &record["score"]), (250, &4.5.into()), "{record}");
    for symbol in ["FROM_NAME_PERSON", "REPLY_TO_FREEMAIL", "REPLY_TO_OTHER_DOMAIN"] {
        assert!(symbols(&record).contains(&symbol), "{record}");
    }
    let (code, record) = send("From: Bank <x@mybank-login.test>");
    assert_eq!((code, record["rule"].as_str()), (550, Some("score")), "{record}");
    assert!(symbols(&record).contains(&"FROM_LOOKALIKE"), "{record}");
}

const LINKS: &str = "From: <a@signed.test>\r\nContent-Type: text/html\r\n\r\n\
    <a href=\"https://www.good.test/x\">good</a> <a href=\"http://login.bad.test/\">bad</a>\r\n";

/// Rules that only tell: what `message.uribl` is.
const TOLD: &str = "[[rule]]\nname = \"listed\"\nwhen = 'message.uribl == \"listed\"'\nthen = \"reject\"\n\
    shadow = true\n[[rule]]\nname = \"temperror\"\nwhen = 'message.uribl == \"temperror\"'\nthen = \"reject\"\n\
    shadow = true\n[[rule]]\nname = \"none\"\nwhen = 'message.uribl == \"none\"'\nthen = \"reject\"\n\
    shadow = true\n[inspect]\npatterns = []\n[score]\nreject = 15.0\n";

#[test]
fn where_links_lead_weighs() {
    let lists = "uribl = [{ zone = \"uri.test\", score = 20.0 }]\n";
    let world = World::new(&format!("{lists}{TOLD}"));
    let (code, record) = world.send("a@signed.test", LINKS);
    assert_eq!((code, record["rule"].as_str()), (550, Some("score")), "{record}");
    assert!(symbols(&record).contains(&"URIBL_URI_TEST"), "{record}");
    assert_eq!(record["shadow"][0], "listed");
    let evidence = &record["evidence"][0];
    assert_eq!((&evidence["symbol"], &evidence["redacted"]), (&"URIBL_URI_TEST".into(), &"bad.test".into()));
    for content in [LINKS.replace("bad.test", "fine.test"), "From: <a@signed.test>\r\n\r\nx\r\n".to_owned()] {
        let (code, record) = world.send("a@signed.test", &content);
        assert!(code == 250 && record["shadow"][0] == "none", "{record}");
    }
}

/// Of links, too: who waits, waits for the timeout; nothing counts that was not answered.
#[test]
fn check_48_a_black_hole_lists_no_link() {
    let lists = "uribl = [{ zone = \"silent.test\", score = 20.0 }, { zone = \"uri.test\", score = 2.0 }]\n";
    let world = World::new(&format!("{lists}{TOLD}"));
    let begun = Instant::now();
    let (code, record) = world.send("a@signed.test", &LINKS.replace("bad.test", "fine.test"));
    // The list is dead, and nothing else was asked about.
    assert!((Duration::from_millis(450)..Duration::from_secs(8)).contains(&begun.elapsed()), "{record}");
    assert!(code == 250 && record["shadow"][0] == "temperror", "{record}");
    assert!(symbols(&record).contains(&"URIBL_UNANSWERED"), "{record}");
    assert_eq!(record["score"], 0.0);
    let (code, record) = world.send("a@signed.test", LINKS);
    // The other one has answered all the same.
    assert!(code == 250 && record["shadow"][0] == "listed" && record["score"] == 2.0, "{record}");
}

/// A name server that answers nothing costs those who ask about it the timeout, and nobody else.
#[test]
fn check_48_a_black_hole_holds_up_nobody_else() {
    let world = World::new("dmarc = \"enforce\"");
    let stuck = "From: <a@silent.test>\r\n\r\nbody\r\n";
    let good = world.signer.sign("A <a@signed.test>", "x", "body\r\n");
    // What is asked about the good one is known.
    assert_eq!(world.send("a@signed.test", &good).0, 250);
    let begin = Instant::now();
    let waited = AtomicUsize::new(0);
    in_parallel(8, 8, |index| {
        let (sender, content) = if index < 6 { ("a@silent.test", stuck) } else { ("a@signed.test", &*good) };
        let mut client = world.proxy.session();
        let begun = Instant::now();
        client.envelope(sender, "b@hop.example");
        assert_eq!(client.command("DATA").code, 354);
        client.send(format!("{content}.\r\n").as_bytes());
        assert_eq!(client.reply().code, 250, "{sender}");
        if index < 6 && begun.elapsed() > Duration::from_millis(900) {
            waited.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert!(begin.elapsed() < Duration::from_secs(20));
    // The stuck ones waited, or there would be nothing to see here.
    assert!(waited.into_inner() > 0);
    let records = world.proxy.await_records(9);
    let stuck = records.into_iter().filter(|record| record["sender"]["address"] == "a@silent.test");
    let stuck: Vec<Value> = stuck.collect();
    assert!(stuck.len() == 6 && stuck.iter().all(|it| symbols(it).contains(&"SPF_TEMPERROR")), "{stuck:?}");
}
