//! What was found is sealed (ARC, RFC 8617), through the real program: what arrives verifies, and what is not
//! sealed says why. That others verify it too is `tests/e2e/dkim.sh`'s to say.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64_simd::STANDARD;
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{RData, RecordType};
use postern::sender::arc::{Evaluation, Reading};
use postern::sender::dkim::{BodyHash, Outcome};
use postern::sender::dns::{Answer, Known, Record};
use postern::sender::header_section::HeaderSection;
use serde_json::Value;

use super::{Plan, Proxy, Setup, Upstream};
use crate::harness::name_server::{NameServer, Reaction};

const SEAL: &str = "seal = { domain = \"sealer.test\", selector = \"arc\", key = \"arc.pem\" }";
const MESSAGE: &str = "From: A <a@example.test>\r\nSubject: x\r\nX-Postern-Verdict: pass\r\n\
    Authentication-Results: postern.example; dmarc=pass header.from=bank.test\r\n\r\nbody \r\n.dots\r\n\r\n";

struct World {
    upstream: Upstream,
    proxy: Proxy,
    record: String,
    _names: NameServer,
}

impl World {
    fn new(workers: &str) -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let secret = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap();
        let record = format!("v=DKIM1; p={}", STANDARD.encode_to_string(public.as_ref()));
        let known = record.clone();
        let names = NameServer::start(move |name, kind| match (name, kind) {
            ("arc._domainkey.sealer.test", RecordType::TXT) => {
                let strings = known.as_bytes().chunks(200);
                let strings = strings.map(|chunk| String::from_utf8_lossy(chunk).into_owned());
                Reaction::Records(vec![RData::TXT(TXT::new(strings.collect()))])
            }
            _ if name.ends_with(".silent.test") => Reaction::Silence,
            _ => Reaction::NotFound,
        });
        let pem = STANDARD.encode_to_string(secret.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
        let upstream = Plan::bdat().start();
        let section = format!("[sender]\nresolver = [\"{}\"]\ntimeout = \"1s\"\n{SEAL}", names.address);
        let setup = Setup::toward(upstream.address).workers(workers).section(&section).file("arc.pem", &pem);
        Self { upstream, proxy: setup.start(), record, _names: names }
    }

    /// What the next hop got, and what the record says of its seal.
    fn send(&self, content: &str) -> (String, Value) {
        let before = self.proxy.records().len();
        let stuffed = content.replace("\r\n.", "\r\n..");
        assert_eq!(self.proxy.session().message("b@hop.example", stuffed.as_bytes()).code, 250);
        let record = self.proxy.await_records(before + 1).remove(before);
        let got = self.upstream.messages().pop().unwrap().content;
        (String::from_utf8(got).unwrap(), record["seal"].clone())
    }

    /// What somebody behind the next hop finds.
    fn verify(&self, content: &str) -> Evaluation {
        let mut section = HeaderSection::default();
        let taken = section.push(content.as_bytes());
        let reading = Reading::read(&mut section.fields().unwrap());
        let mut body = BodyHash::new(&reading.forms());
        body.push(&content.as_bytes()[taken..]);
        let Reading::Chain(chain) = reading else { return reading.without_chain().unwrap() };
        let mut known = Known::default();
        loop {
            match chain.check(&known) {
                Ok(check) => return chain.evaluate(&check, &body.finish(), 0),
                Err(missing) => missing.0.into_iter().for_each(|query| {
                    assert_eq!(query.name.as_str(), "arc._domainkey.sealer.test");
                    let records = vec![Record::Txt(self.record.clone().into())];
                    known.learn(query, Answer::Records { records, is_secure: false });
                }),
            }
        }
    }
}

fn count(content: &str, word: &str) -> usize {
    content.matches(word).count()
}

#[test]
fn what_goes_on_is_sealed_and_verifies() {
    let world = World::new("");
    let (first, seal) = world.send(MESSAGE);
    assert_eq!(seal, "sealed");
    let found = world.verify(&first);
    assert_eq!((found.outcome, found.fault, found.sets), (Outcome::Pass, None, 1), "{first}");
    let set = &first[first.find("ARC-Seal: i=1;").unwrap()..first.find("From: A").unwrap()];
    assert!(
        set.contains("cv=none;") && set.contains("ARC-Authentication-Results: i=1;\r\n\tpostern.example;")
    );
    assert!(set.contains("spf=none") && !first.contains("bank.test"), "{first}");
    assert!(
        first.ends_with("From: A <a@example.test>\r\nSubject: x\r\n\r\nbody \r\n.dots\r\n\r\n"),
        "{first}"
    );
    // It comes round again: the set stays, the results in our name are found anew.
    let (second, seal) = world.send(&first);
    let found = world.verify(&second);
    assert_eq!((seal, found.outcome, found.sets), ("sealed".into(), Outcome::Pass, 2), "{second}");
    assert!(second.contains("cv=pass;") && second.contains("arc=pass"), "{second}");
    assert_eq!(count(&second, "\r\nAuthentication-Results: postern.example;"), 1, "{second}");
    // Somebody changes it: the seal says so, once and for all.
    let (third, seal) = world.send(&second.replace("body", "other"));
    assert_eq!((seal, world.verify(&third).outcome), ("sealed".into(), Outcome::Fail), "{third}");
    assert!(third.contains("ARC-Seal: i=3;") && third.contains("cv=fail;"), "{third}");
    let (fourth, seal) = world.send(&third);
    assert_eq!((seal, count(&fourth, "ARC-Seal:")), ("over".into(), 3), "{fourth}");
}

#[test]
fn what_is_not_sealed_says_why_and_is_delivered() {
    let world = World::new("");
    let (sealed, _) = world.send(MESSAGE);
    let (got, seal) = world.send(&sealed.replace("d=sealer.test", "d=x.silent.test"));
    assert_eq!((seal, count(&got, "ARC-Seal:")), ("unsure".into(), 1));
    let wide = format!("{}{MESSAGE}", "To: a@example.test\r\n".repeat(300));
    let (got, seal) = world.send(&wide);
    assert_eq!((seal, count(&got, "ARC-Seal:")), ("header".into(), 0));
    let world = World::new("window = 0");
    let (got, seal) = world.send(&format!("{MESSAGE}{}", "a line of many\r\n".repeat(20_000)));
    assert_eq!((seal, count(&got, "ARC-Seal:")), ("streamed".into(), 0));
}
