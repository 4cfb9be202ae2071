//! Messages signed here, verified at every cut, and with every signed thing changed.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};

pub(in crate::sender) use super::body::tests::digest;
use super::body::tests::naive;
use super::{Algorithm, BodyHash, Canonical, Evaluation, Hash, Outcome, Reason, Signatures};
use crate::sender::dns::{Answer, Kind, Known, Name, Query, Record};
use crate::sender::header_section::HeaderSection;
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

const NOW: u64 = 1_700_000_000;
const HEADER: &str = "Received: from x\r\n\tby y\r\nFrom: A  <a@example.org>\r\nTo: b@example.net\r\nSubject: one\r\n  two \r\n";
const BODY: &str = "Hello \t world \r\n\r\n l=2\r\n\r\n";

/// Of the key that signs where nothing else is said.
pub(in crate::sender) static ED25519_RECORD: LazyLock<String> =
    LazyLock::new(|| record(Algorithm::Ed25519Sha256));

static RSA: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());
static ED25519: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap());

pub(in crate::sender) fn encoded(octets: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(octets)
}

pub(in crate::sender) fn record(algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::Ed25519Sha256 => {
            format!("v=DKIM1; k=ed25519; p={}", encoded(ED25519.public_key().as_ref()))
        }
        _ => {
            let key: PublicKeyX509Der<'_> = RSA.public_key().as_der().unwrap();
            format!("v=DKIM1; k=rsa; p={}", encoded(key.as_ref()))
        }
    }
}

/// The key of `record`, as a file that an administrator would have.
pub(in crate::sender) fn pem(algorithm: Algorithm) -> String {
    let pkcs8 = match algorithm {
        Algorithm::Ed25519Sha256 => ED25519.to_pkcs8v1().unwrap().as_ref().to_vec(),
        _ => AsDer::<Pkcs8V1Der<'_>>::as_der(&*RSA).unwrap().as_ref().to_vec(),
    };
    let text = encoded(&pkcs8);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned() + "\n");
    format!("x\n-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n", lines.collect::<String>())
}

pub(in crate::sender) fn signature(algorithm: Algorithm, text: &[u8]) -> Vec<u8> {
    if algorithm == Algorithm::Ed25519Sha256 {
        return ED25519.sign(digest(Hash::Sha256, text).octets()).as_ref().to_vec();
    }
    let mut signature = vec![0; RSA.public_modulus_len()];
    RSA.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).unwrap();
    signature
}

/// A message to be signed, and how.
#[derive(Clone)]
struct Letter {
    algorithm: Algorithm,
    header: Canonical,
    body: Canonical,
    length: Option<usize>,
    /// Names of `h=`; other tags that go in front of it.
    names: String,
    tags: String,
    fields: String,
    text: String,
}

impl Letter {
    fn new() -> Self {
        Self {
            algorithm: Algorithm::Ed25519Sha256,
            header: Canonical::Relaxed,
            body: Canonical::Relaxed,
            length: None,
            names: "From:to:SUBJECT".to_owned(),
            tags: "i=@example.org;".to_owned(),
            fields: HEADER.to_owned(),
            text: BODY.to_owned(),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The naive signer: whole strings, no regard for speed.
    fn sign(&self) -> String {
        let body = naive(self.body, self.text.as_bytes());
        let covered = &body[..self.length.unwrap_or(body.len())];
        let word = |canonical| if canonical == Canonical::Simple { "simple" } else { "relaxed" };
        let length = self.length.map(|length| format!(" l={length};")).unwrap_or_default();
        let field = format!(
            "DKIM-Signature: v=1; a={};\r\n\tc={}/{}; d=example.org; s=sel; {}{length}\r\n  h={}; bh={};\r\n\tb=",
            self.algorithm.name(),
            word(self.header),
            word(self.body),
            self.tags,
            self.names,
            encoded(digest(self.algorithm.hash(), covered).octets()),
        );
        let mut text = self.selected();
        text.push_str(&self.canonical(&field));
        let signature = encoded(&signature(self.algorithm, text.as_bytes()));
        let folded: String = signature
            .as_bytes()
            .chunks(60)
            .map(|line| format!(" {}\r\n", String::from_utf8_lossy(line)))
            .collect();
        format!("{field}{folded}{}\r\n{}", self.fields, self.text)
    }

    fn selected(&self) -> String {
        let mut fields: Vec<&str> = Vec::new();
        let mut at = 0;
        for (end, _) in self.fields.match_indices("\r\n") {
            if !self.fields[end + 2..].starts_with([' ', '\t']) {
                fields.push(&self.fields[at..end + 2]);
                at = end + 2;
            }
        }
        let mut text = String::new();
        for name in self.names.split(':').map(str::trim) {
            let is_it = |field: &&str| field.split(':').next().unwrap().trim().eq_ignore_ascii_case(name);
            if let Some(found) = fields.iter().rposition(is_it) {
                text.push_str(&self.canonical(fields.remove(found).strip_suffix("\r\n").unwrap()));
                text.push_str("\r\n");
            }
        }
        text
    }

    fn canonical(&self, field: &str) -> String {
        if self.header == Canonical::Simple {
            return field.to_owned();
        }
        let (name, value) = field.split_once(':').unwrap();
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        format!("{}:{}", name.trim().to_ascii_lowercase(), words.join(" "))
    }
}

pub(in crate::sender) fn known(records: &[(&str, &[&str])]) -> Known {
    let mut known = Known::default();
    for (name, texts) in records {
        let records = texts.iter().map(|text| Record::Txt(text.as_bytes().to_vec())).collect();
        let query = Query::new(Name::parse(name).unwrap(), Kind::Txt);
        known.learn(query, Answer::Records { records, is_secure: false });
    }
    known
}

fn evaluate<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, known: &Known) -> (Vec<Evaluation>, usize) {
    let mut section = HeaderSection::default();
    let mut body: Option<(Signatures, BodyHash)> = None;
    for piece in pieces {
        let taken = section.push(piece);
        if section.is_complete() {
            let (_, hash) = body.get_or_insert_with(|| begin(&section));
            hash.push(&piece[taken..]);
        }
    }
    let (signatures, hash) = body.unwrap_or_else(|| begin(&section));
    let digests = hash.finish();
    let one = |read: &Result<super::Signature, super::Unread>| match read {
        Err(unread) => unread.evaluate(),
        Ok(signature) => {
            let key = check(signature, known);
            signature.evaluate(&key, digests.check(&signature.body, &signature.body_hash), NOW)
        }
    };
    (signatures.read.iter().map(one).collect(), signatures.beyond)
}

/// What is not known does not exist.
fn check(signature: &super::Signature, known: &Known) -> super::KeyCheck {
    let is_of_subdomain = signature.is_of_subdomain();
    signature.signed.check(is_of_subdomain, known).unwrap_or_else(|missing| {
        let mut known = known.clone();
        missing.0.into_iter().for_each(|query| known.learn(query, Answer::NotFound));
        signature.signed.check(is_of_subdomain, &known).unwrap()
    })
}

fn begin(section: &HeaderSection) -> (Signatures, BodyHash) {
    let signatures = Signatures::read(&mut section.fields().unwrap());
    let hash = BodyHash::new(&signatures.forms());
    (signatures, hash)
}

const KEY: &str = "sel._domainkey.example.org";

#[track_caller]
fn result(letter: &Letter) -> (Outcome, Option<Reason>) {
    result_with(letter, &[&record(letter.algorithm)])
}

#[track_caller]
fn result_with(letter: &Letter, records: &[&str]) -> (Outcome, Option<Reason>) {
    let message = letter.sign();
    let (found, _) = evaluate([message.as_bytes()], &known(&[(KEY, records)]));
    (found[0].outcome, found[0].reason)
}

const PASS: (Outcome, Option<Reason>) = (Outcome::Pass, None);

const fn because(reason: Reason) -> (Outcome, Option<Reason>) {
    (reason.outcome(), Some(reason))
}

fn matrix() -> impl Iterator<Item = Letter> {
    let canonicals = [Canonical::Simple, Canonical::Relaxed];
    let algorithms = [Algorithm::RsaSha256, Algorithm::Ed25519Sha256];
    let ways = canonicals.into_iter().flat_map(move |header| canonicals.map(|body| (header, body)));
    let ways = ways.flat_map(move |way| algorithms.map(|algorithm| (way, algorithm)));
    let ways = ways.flat_map(|way| [None, Some(0), Some(7)].map(|length| (way, length)));
    ways.map(|(((header, body), algorithm), length)| {
        Letter::new().with(|letter| {
            (letter.header, letter.body) = (header, body);
            (letter.algorithm, letter.length) = (algorithm, length);
        })
    })
}

#[test]
fn every_way_to_sign_verifies_at_every_cut() {
    for letter in matrix() {
        let message = letter.sign().into_bytes();
        let known = known(&[(KEY, &[&record(letter.algorithm)])]);
        let (whole, _) = evaluate([&message[..]], &known);
        assert_eq!((whole[0].outcome, whole[0].reason), PASS, "{}", String::from_utf8_lossy(&message));
        assert_eq!(whole[0].octets_unsigned > 0, letter.length.is_some());
        assert_eq!(whole[0].vouches(), letter.length.is_none());
        for cut in 0..=message.len() {
            let (found, _) = evaluate([&message[..cut], &message[cut..]], &known);
            assert_eq!(found, whole, "cut at {cut}");
        }
    }
}

#[test]
fn whatever_is_signed_and_changed_fails() {
    for letter in matrix() {
        let message = letter.sign();
        let known = known(&[(KEY, &[&record(letter.algorithm)])]);
        let changed = |from: &str, to: &str| {
            assert!(message.contains(from), "{from}");
            let (found, _) = evaluate([message.replacen(from, to, 1).as_bytes()], &known);
            found[0].outcome
        };
        for (from, to) in
            [("From: A", "From: B"), ("one\r\n", "ones\r\n"), ("To: b@", "To: c@"), (" s=sel", " t=1; s=sel")]
        {
            assert_eq!(changed(from, to), Outcome::Fail, "{from}");
        }
        // A signed name counts from the bottom: another field below is the signed one now.
        assert_eq!(changed("\r\n\r\nHello", "\r\nSubject: other\r\n\r\nHello"), Outcome::Fail);
        let of_body = if letter.length == Some(0) { Outcome::Pass } else { Outcome::Fail };
        assert_eq!(changed("\r\nHello", "\r\nHullo"), of_body);
        let behind = if letter.length.is_some() { Outcome::Pass } else { Outcome::Fail };
        assert_eq!(changed(" l=2\r\n", " l=2\r\nmore\r\n"), behind);
        let of_space = if letter.header == Canonical::Relaxed { Outcome::Pass } else { Outcome::Fail };
        assert_eq!(changed("A  <", "A <"), of_space);
    }
}

#[test]
fn every_octet_of_a_signed_field_counts() {
    let letter = Letter::new().with(|letter| letter.header = Canonical::Simple);
    let message = letter.sign();
    let known = known(&[(KEY, &[&record(letter.algorithm)])]);
    let (start, end) = (message.find("\r\nFrom:").unwrap() + 2, message.find("\r\n\r\n").unwrap());
    for at in start..end {
        let mut octets = message.clone().into_bytes();
        octets[at] ^= 1;
        let (found, _) = evaluate([&octets[..]], &known);
        assert_ne!(found[0].outcome, Outcome::Pass, "octet {at}");
    }
}

#[test]
fn what_is_oversigned_cannot_be_added() {
    let letter = Letter::new().with(|letter| letter.names = "from:from:to:subject:reply-to".to_owned());
    assert_eq!(result(&letter), PASS);
    let message = letter.sign();
    let known = known(&[(KEY, &[&record(letter.algorithm)])]);
    for added in ["From: x@example.com\r\n", "Reply-To: x@example.com\r\n"] {
        let (found, _) =
            evaluate([message.replacen("Received:", &format!("{added}Received:"), 1).as_bytes()], &known);
        assert_eq!(found[0].outcome, Outcome::Fail, "{added}");
    }
    // Without it a second From verifies, and does not vouch.
    let message = Letter::new().sign();
    let (found, _) =
        evaluate([message.replacen("Received:", "From: x@example.com\r\nReceived:", 1).as_bytes()], &known);
    assert_eq!((found[0].outcome, found[0].vouches()), (Outcome::Pass, false));
}

#[test]
fn a_message_without_body_is_signed_as_one() {
    for body in [Canonical::Simple, Canonical::Relaxed] {
        let letter = Letter::new().with(|letter| {
            letter.body = body;
            letter.text.clear();
        });
        let message = letter.sign();
        let known = known(&[(KEY, &[&record(letter.algorithm)])]);
        // With the empty line, without it, and with nothing but line ends behind it.
        let short = message.strip_suffix("\r\n").unwrap();
        for message in [message.as_str(), short, &format!("{message}\r\n\r\n")] {
            assert_eq!(evaluate([message.as_bytes()], &known).0[0].outcome, Outcome::Pass, "{message:?}");
        }
    }
}

#[test]
fn fields_are_read_strictly() {
    let tagged = |tags: &str| result(&Letter::new().with(|letter| letter.tags = tags.to_owned()));
    for tags in [
        "",
        "t=1;x=1800000000;",
        "q=dns/txt;",
        "q=http:dns/txt;",
        "i=a=3Db@sub.Example.ORG;",
        "z=x;",
        "odd=1;",
    ] {
        assert_eq!(tagged(tags), PASS, "{tags}");
    }
    assert_eq!(tagged("q=http;"), because(Reason::QueryMethod));
    assert_eq!(tagged("i=@example.com;"), because(Reason::IdentityOutside));
    assert_eq!(tagged("i=@badexample.org;"), because(Reason::IdentityOutside));
    for (tags, tag) in [
        ("i=x;", "i"),
        ("i=@;", "i"),
        ("t=;", "t"),
        ("t=-1;", "t"),
        ("x=1.5;", "x"),
        ("t=5;x=5;", "x"),
        ("l=x;", "l"),
        ("l=1 2;", "l"),
    ] {
        assert_eq!(tagged(tags), because(Reason::TagBad(tag)), "{tags}");
    }
    for tags in ["d=example.org;", "v=1;", ";", "=1;", "a b=c;"] {
        assert_eq!(tagged(tags), because(Reason::NotTags), "{tags}");
    }
    assert_eq!(tagged("x=1600000000;"), because(Reason::Expired));
    assert_eq!(tagged("l=99;"), because(Reason::BodyShort));
}

#[test]
fn names_are_read_strictly() {
    let named = |names: &str| result(&Letter::new().with(|letter| letter.names = names.to_owned()));
    assert_eq!(named("from"), PASS);
    assert_eq!(named("FROM : \tTo\r\n\t: nothing"), PASS);
    assert_eq!(named("to:subject"), because(Reason::FromNotSigned));
    assert_eq!(named("xfrom"), because(Reason::FromNotSigned));
    for names in ["", "from:", ":from", "from::to", "from to"] {
        assert_eq!(named(names), because(Reason::TagBad("h")), "{names}");
    }
    let many = |count: usize| format!("from{}", ":x".repeat(count - 1));
    assert_eq!((named(&many(1024)), named(&many(1025))), (PASS, because(Reason::TooMuch)));
}

#[track_caller]
fn replaced(from: &str, to: &str) -> (Outcome, Option<Reason>) {
    let message = Letter::new().sign();
    assert!(message.contains(from));
    let known = known(&[(KEY, &[&record(Algorithm::Ed25519Sha256)])]);
    let (found, _) = evaluate([message.replacen(from, to, 1).as_bytes()], &known);
    (found[0].outcome, found[0].reason)
}

#[test]
fn what_is_required_is_missed() {
    for (from, tag) in [("v=1;", "v"), ("d=example.org;", "d"), ("s=sel;", "s"), ("h=From:to:SUBJECT;", "h")]
    {
        assert_eq!(replaced(from, ""), because(Reason::TagMissing(tag)));
    }
    assert_eq!(replaced("v=1;", "v=2;"), because(Reason::Version));
    assert_eq!(replaced("ed25519-sha256", "rsa-md5"), because(Reason::Algorithm));
    assert_eq!(replaced("relaxed/", "nowsp/"), because(Reason::Canonicalization));
    assert_eq!(replaced("relaxed/relaxed", ""), because(Reason::Canonicalization));
    assert_eq!(replaced("bh=", "bh=AAAA"), because(Reason::TagBad("bh")));
    assert_eq!(replaced("bh=", "bh=_"), because(Reason::TagBad("bh")));
    assert_eq!(replaced("b= ", "b=* "), because(Reason::TagBad("b")));
    for domain in ["d=ex ample;", "d=a..b;", "d=;", "d=a.b.;", "d=***;", "d=a\u{0}b;"] {
        assert_ne!(replaced("d=example.org;", domain).0, Outcome::Pass, "{domain}");
    }
}

#[test]
fn a_domain_in_other_letters_is_asked_for_as_the_dns_knows_it() {
    let domain = super::signed::domain("b\u{fc}cher.example".as_bytes());
    assert_eq!(domain.map(|name| name.to_string()), Some("xn--bcher-kva.example".to_owned()));
}

#[test]
fn keys_are_read_strictly() {
    let letter = Letter::new();
    let key = encoded(ED25519.public_key().as_ref());
    let keyed = |record: &str| result_with(&letter, &[&record.replace("KEY", &key)]);
    for record in [
        "k=ed25519;p=KEY",
        "v=DKIM1;k=ed25519;h=sha1:sha256;s=email;t=s;n=x;g=*;p=KEY;",
        "k=ed25519; s=web:* ; p=KEY",
    ] {
        assert_eq!(keyed(record), PASS, "{record}");
    }
    for record in [
        "v=DKIM2;k=ed25519;p=KEY",
        "k=ed25519;v=DKIM1;p=KEY",
        "k=ed25519;p=KEY;p=KEY",
        "p",
        "k=ed25519; p=*",
        "k=ed25519;p=AAAA",
    ] {
        assert_eq!(keyed(record), because(Reason::KeyBad), "{record}");
    }
    assert_eq!(keyed("k=ed25519;p="), because(Reason::KeyRevoked));
    assert_eq!(keyed("k=dsa;p=KEY"), because(Reason::KeyOtherAlgorithm));
    assert_eq!(keyed("p=KEY"), because(Reason::KeyOtherAlgorithm));
    assert_eq!(keyed("k=ed25519;h=sha1;p=KEY"), because(Reason::KeyOtherHash));
    assert_eq!(keyed("k=ed25519;s=web;p=KEY"), because(Reason::KeyOtherService));
    assert_eq!(keyed(&format!("k=ed25519;n={};p=KEY", "x".repeat(5000))), because(Reason::KeyLong));
    let below = Letter::new().with(|letter| letter.tags = "i=@sub.example.org;".to_owned());
    let strict = format!("k=ed25519;t=y:s;p={key}");
    assert_eq!(result_with(&below, &[&strict]), because(Reason::KeyIdentityStrict));
}

#[test]
fn the_first_record_that_verifies_decides() {
    let letter = Letter::new();
    let good = record(letter.algorithm);
    let other = format!("k=ed25519; p={}", encoded(&[9; 32]));
    assert_eq!(result_with(&letter, &["v=s\u{70}f1 -all", &other, &good]), PASS);
    assert_eq!(result_with(&letter, &["x=1", &other, "not a key"]), because(Reason::SignatureWrong));
    assert_eq!(result_with(&letter, &["not a key", &other]), because(Reason::SignatureWrong));
    assert_eq!(result_with(&letter, &["v=DKIM1; k=ed25519"]), because(Reason::KeyBad));
    assert_eq!(result_with(&letter, &[]), because(Reason::KeyMissing));
    assert_eq!(result_with(&letter, &["x=1"]), because(Reason::KeyMissing));
    assert_eq!(result_with(&letter, &[&other, &other, &other, &other, &good]).0, Outcome::Fail);
}

#[test]
fn a_failure_under_a_key_on_trial_counts_as_no_signature() {
    let letter = Letter::new();
    let trial = record(letter.algorithm).replace("k=", "t=y; k=");
    assert_eq!(result_with(&letter, &[&trial]), PASS);
    let message = letter.sign().replace("Hello", "Hullo");
    let (found, _) = evaluate([message.as_bytes()], &known(&[(KEY, &[&trial])]));
    assert_eq!((found[0].outcome, found[0].reason), (Outcome::Neutral, Some(Reason::BodyChanged)));
}

#[test]
fn the_dns_decides_between_missing_and_unanswered() {
    let message = Letter::new().sign();
    let section = {
        let mut section = HeaderSection::default();
        section.push(message.as_bytes());
        section
    };
    let signatures = Signatures::read(&mut section.fields().unwrap());
    let signed = &signatures.read[0].as_ref().unwrap().signed;
    assert_eq!(signed.check(false, &Known::default()).unwrap_err().0, std::slice::from_ref(&signed.key));
    let answers = [
        (Answer::Failed, Reason::KeyUnanswered),
        (Answer::NotFound, Reason::KeyMissing),
        (Answer::NoData, Reason::KeyMissing),
    ];
    for (answer, reason) in answers {
        let mut known = Known::default();
        known.learn(signed.key.clone(), answer);
        assert_eq!(signed.check(false, &known).unwrap().reason, Some(reason));
    }
    assert_eq!(Reason::KeyUnanswered.outcome(), Outcome::TempError);
}

/// An RSAPublicKey of so many bits, alone or as SubjectPublicKeyInfo. Nobody has its other half.
fn rsa_key(bits: usize, is_wrapped: bool) -> String {
    let element = |tag: u8, content: &[u8]| {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        let length: &[u8] = match (high, low) {
            (0, 0..=0x7f) => &[low],
            (0, _) => &[0x81, low],
            _ => &[0x82, high, low],
        };
        [&[tag], length, content].concat()
    };
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] >>= (8 - bits % 8) % 8;
    modulus.insert(0, 0);
    let numbers = [element(2, &modulus), element(2, &[1, 0, 1])].concat();
    let key = element(0x30, &numbers);
    if !is_wrapped {
        return encoded(&key);
    }
    let algorithm = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    encoded(&element(0x30, &[&algorithm[..], &element(3, &[&[0], &key[..]].concat())].concat()))
}

#[test]
fn keys_have_a_size_that_is_neither_weak_nor_costly() {
    let letter = Letter::new().with(|letter| letter.algorithm = Algorithm::RsaSha256);
    for is_wrapped in [false, true] {
        let sized = |bits| result_with(&letter, &[&format!("p={}", rsa_key(bits, is_wrapped))]).1;
        assert_eq!(sized(512), Some(Reason::KeyShort));
        assert_eq!(sized(1023), Some(Reason::KeyShort));
        assert_eq!(sized(1024), Some(Reason::SignatureWrong));
        assert_eq!(sized(8192), Some(Reason::SignatureWrong));
        assert_eq!(sized(8193), Some(Reason::KeyLong));
    }
    // As it stands in the record of those who publish the key alone.
    assert_eq!(result_with(&letter, &[&format!("p={}", encoded(RSA.public_key().as_ref()))]), PASS);
    for key in ["MAA=", "MIIA", "AgEB", "MAMCAQA="] {
        assert_eq!(result_with(&letter, &[&format!("p={key}")]).1, Some(Reason::KeyBad), "{key}");
    }
}

#[test]
fn signatures_beyond_the_tenth_are_counted() {
    let message = Letter::new().sign();
    let end = message.find("Received:").unwrap();
    let many = [message[..end].repeat(12).as_str(), &message[end..]].concat();
    let known = known(&[(KEY, &[&record(Algorithm::Ed25519Sha256)])]);
    let (found, beyond) = evaluate([many.as_bytes()], &known);
    assert_eq!((found.len(), beyond), (10, 2));
    assert!(found.iter().all(|one| one.outcome == Outcome::Pass));
    assert_eq!(evaluate([&b"A: b\r\n\r\n"[..]], &known), (Vec::new(), 0));
}

#[test]
fn the_work_for_one_message_is_bounded() {
    let long = format!("X: {}\r\n", "y".repeat(200_000));
    let letter = Letter::new().with(|letter| {
        letter.fields.push_str(&long);
        letter.names.push_str(":x");
    });
    let message = letter.sign();
    let end = message.find("Received:").unwrap();
    let many = [message[..end].repeat(7).as_str(), &message[end..]].concat();
    let (found, _) = evaluate([many.as_bytes()], &known(&[(KEY, &[&record(letter.algorithm)])]));
    let outcomes: Vec<_> = found.iter().map(|one| (one.outcome, one.reason)).collect();
    assert_eq!(outcomes[..2], [PASS; 2]);
    assert_eq!(outcomes[2..], [because(Reason::TooMuch); 5]);
}

#[test]
fn other_signatures_may_be_signed() {
    // The inner one is there when the outer one is made.
    let inner = Letter::new();
    let signed = inner.sign();
    let end = signed.find("\r\n\r\nHello").unwrap();
    let outer = Letter::new().with(|letter| {
        letter.fields = signed[..end + 2].to_owned();
        letter.names = "from:dkim-signature:dkim-signature".to_owned();
    });
    let message = outer.sign();
    let known = known(&[(KEY, &[&record(inner.algorithm)])]);
    let (found, _) = evaluate([message.as_bytes()], &known);
    assert_eq!([found[0].outcome, found[1].outcome], [Outcome::Pass; 2]);
    let (found, _) = evaluate(
        [message.replacen("DKIM-Signature: v=1; a", "DKIM-Signature: v=1;  a", 2).as_bytes()],
        &known,
    );
    assert_eq!(found[0].outcome, Outcome::Pass, "white space is relaxed");
    let at = message.rfind("b= ").unwrap() + 3;
    let other = if message.as_bytes()[at] == b'A' { "B" } else { "A" };
    let mut spoiled = message;
    spoiled.replace_range(at..=at, other);
    let (found, _) = evaluate([spoiled.as_bytes()], &known);
    assert_eq!([found[0].outcome, found[1].outcome], [Outcome::Fail; 2]);
}

/// Made by another program: our library does not sign so.
#[test]
fn what_sha_1_signed_is_not_believed() {
    let signature = "jGsqW3oB0u/ClzQGxL+5hJHKdB7Y/JkOHWdBysMSSVGh6H1zkgapKghdhVARal1Gt+rjhwBb3PmSn/9UOseytzR0sP\
                     OaUB+LhnY8HV9Jnyi8EnDUewOa067xc+GW+z5ew2Kigbwu4DkwzLP51zAS/zhtoA6gA6cERd+BwzDi0FXrbZ98v4Tl\
                     WFRwaRYXOGCJe4ohF3DWkRn/MtY77GdJlBQ3EPynZnoXaivgJjF/nzVvGhyZ4/w/CtxEyl1ReIwN9I7/+lUbCWe/bs\
                     FqYdzxRGpE+S5a3+jf7GuZeIRjNkg/XVWB0hoPNcqw4/ANx2tefxkI7nDMXgeLlcYVpTj3+g==";
    let key = "p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAzkzrIHmMlr0jfj41LFmq+/hJCr8KbjrvzzrzsUcK5Wub\
               iwj5nxMdQDWvvc9bZg1542I+m+LEMXNplJkmF07E9QXtYOP+rznJDSiKEPFE7m25cdCmOOm6+C/9m0v7SQN1oShMDu\
               +9wEueDtXgvYIkl/CWdz0pIJhESMAUZzNtqeYA3lISXwjvgKjesuHoRyZ9/Y4lUlhP5DReSSFpeOY4C/7jE6At5qxj\
               rYYKoN7vhECumJS3NvUWpzSunZP2wy9EDN3TA/X9Bu5AUsQfZ+j+oFnOUpnb50txsBGJtSQRJxgoxygQCOGA8b2zJZ\
               tWyOMFKJobQmc2KfKjuGbktO0TGQIDAQAB";
    let message = format!(
        "DKIM-Signature: v=1; a=rsa-sha1; d=example.org; s=old; h=from; \
         bh=dw714dybx1HxBrNbX1WMir7ElCQ=; b={signature}\r\nFrom: A <a@example.org>\r\n\r\nHi\r\n"
    );
    let known = known(&[("old._domainkey.example.org", &[key])]);
    let result = |message: &str| {
        let (found, _) = evaluate([message.as_bytes()], &known);
        (found[0].outcome, found[0].reason, found[0].vouches())
    };
    assert_eq!(result(&message), (Outcome::Policy, Some(Reason::WeakHash), false));
    assert_eq!(result(&message.replace("Hi", "Ho")).1, Some(Reason::BodyChanged));
    assert_eq!(result(&message.replace("A <", "B <")).1, Some(Reason::SignatureWrong));
}

fn spoiled() -> impl Strategy<Value = Vec<u8>> {
    let octets = prop::sample::select(b";=:@ \t\r\n.\\\"()0A\0\xff".to_vec());
    let changes = prop::collection::vec((any::<prop::sample::Index>(), octets, any::<bool>()), 1..8);
    changes.prop_map(|changes| {
        let mut message = LETTER.clone();
        for (place, octet, is_added) in changes {
            let at = place.index(message.len());
            if is_added {
                message.insert(at, octet);
            } else {
                message[at] = octet;
            }
        }
        message
    })
}

static LETTER_SIGNED: LazyLock<super::Signed> = LazyLock::new(|| {
    let mut section = HeaderSection::default();
    section.push(&LETTER);
    Signatures::read(&mut section.fields().unwrap()).read.remove(0).unwrap().signed
});

static LETTER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let letter = Letter::new().with(|letter| letter.tags = "i=a@example.org; l=9; t=1;".to_owned());
    letter.sign().into_bytes()
});

proptest! {
    #[test]
    fn whatever_is_spoiled_is_evaluated_alike_at_every_cut(message in spoiled(), size in 1_usize..90) {
        let known = known(&[(KEY, &[&record(Algorithm::Ed25519Sha256)])]);
        prop_assert_eq!(evaluate([&message[..]], &known), evaluate(message.chunks(size), &known));
    }

    #[test]
    fn no_record_is_too_odd(record in prop::collection::vec(any::<u8>(), 0..80), rest in any::<bool>()) {
        let mut text = if rest { b"k=rsa; p=".to_vec() } else { Vec::new() };
        text.extend(record);
        let signed = LETTER_SIGNED.clone();
        let mut known = Known::default();
        let records = vec![Record::Txt(text)];
        known.learn(signed.key.clone(), Answer::Records { records, is_secure: false });
        prop_assert!(signed.check(false, &known).unwrap().reason.is_some());
    }
}
