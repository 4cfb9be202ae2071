//! Chains sealed here, with the DKIM tests' key, and what breaks them.

use super::{Chain, ChainCheck, Evaluation, Fault, KeyFault, Reading, SETS_MAX, Unsealed};
use crate::sender::auth_results::AuthResults;
use crate::sender::dkim::tests::{ED25519_RECORD, digest, encoded, known, pem, record, signature};
use crate::sender::dkim::{Algorithm, BodyHash, Hash, Outcome, Reason};
use crate::sender::dns::{Answer, Known, Name};
use crate::sender::header_section::HeaderSection;

const FIELDS: &str = "from:A <a@example.org>\r\nsubject:one\r\n";
const BODY: &str = "Hello\r\n";
const KEY: &str = "sel._domainkey.example.org";

/// Sets as a text, the newest first, all of it already canonical.
#[derive(Clone, Default)]
struct Sealer {
    /// What the seals cover, the oldest set first.
    so_far: String,
    sets: String,
    count: usize,
}

impl Sealer {
    fn seal(self, validation: &str) -> Self {
        self.seal_with(validation, "from:subject", "", BODY)
    }

    fn seal_with(mut self, validation: &str, names: &str, tags: &str, body: &str) -> Self {
        let at = self.count + 1;
        let sign = |text: &str| encoded(&signature(Algorithm::Ed25519Sha256, text.as_bytes()));
        let who = "a=ed25519-sha256; d=example.org; s=sel;";
        let results = format!("arc-authentication-results:i={at}; example.org; none\r\n");
        let hash = encoded(digest(Hash::Sha256, body.as_bytes()).octets());
        let message =
            format!("arc-message-signature:i={at}; {who} c=relaxed/relaxed; h={names}; bh={hash}; b=");
        let message = format!("{message}{}\r\n", sign(&format!("{FIELDS}{message}")));
        let seal = format!("arc-seal:i={at}; {who} cv={validation};{tags} b=");
        let covered = format!("{}{results}{message}{seal}", self.so_far);
        let seal = format!("{seal}{}\r\n", sign(&covered));
        self.so_far.push_str(&format!("{results}{message}{seal}"));
        self.sets = format!("{seal}{message}{results}{}", self.sets);
        self.count = at;
        self
    }

    fn message(&self) -> String {
        format!("{}{FIELDS}\r\n{BODY}", self.sets)
    }
}

fn chain(count: usize) -> Sealer {
    (0..count).fold(Sealer::default(), |sealer, at| sealer.seal(if at == 0 { "none" } else { "pass" }))
}

fn evaluate_with(message: &str, known: &Known) -> Evaluation {
    let mut section = HeaderSection::default();
    let taken = section.push(message.as_bytes());
    let reading = Reading::read(&mut section.fields().unwrap());
    let mut body = BodyHash::new(&reading.forms());
    body.push(&message.as_bytes()[taken..]);
    match &reading {
        Reading::Chain(chain) => chain.evaluate(&asked(chain, known.clone()), &body.finish(), 0),
        other => other.without_chain().unwrap(),
    }
}

/// What is not known does not exist.
fn asked(chain: &Chain, mut known: Known) -> ChainCheck {
    loop {
        match chain.check(&known) {
            Ok(check) => return check,
            Err(missing) => missing.0.into_iter().for_each(|query| known.learn(query, Answer::NotFound)),
        }
    }
}

fn evaluate(message: &str) -> Evaluation {
    evaluate_with(message, &known(&[(KEY, &[&ED25519_RECORD])]))
}

#[track_caller]
fn check(message: &str, fault: Fault) {
    let found = evaluate(message);
    assert_eq!((found.outcome, found.fault), (Outcome::Fail, Some(fault)));
}

fn read(message: &str) -> Option<Chain> {
    let mut section = HeaderSection::default();
    section.push(message.as_bytes());
    match Reading::read(&mut section.fields().unwrap()) {
        Reading::Chain(chain) => Some(chain),
        Reading::None | Reading::Broken(_) => None,
    }
}

#[test]
fn a_chain_passes_whatever_its_length() {
    for count in [1, 2, 3, 10, SETS_MAX] {
        let found = evaluate(&chain(count).message());
        assert_eq!((found.outcome, found.fault, found.sets), (Outcome::Pass, None, count));
        assert_eq!(found.sealers.len(), count);
        assert_eq!(found.oldest_pass, Some(if count > 10 { count - 9 } else { 0 }));
    }
    assert_eq!(evaluate(&Sealer::default().message()).outcome, Outcome::None);
    check(&chain(SETS_MAX + 1).message(), Fault::NotNumbered);
}

#[test]
fn sets_are_whole_and_in_order() {
    let message = chain(3).message();
    let lines: Vec<&str> = message.split_inclusive("\r\n").collect();
    for line in 0..9 {
        let mut others = lines.clone();
        others.remove(line);
        check(&others.concat(), Fault::Incomplete);
        let twice = [lines[line], message.as_str()].concat();
        check(&twice, Fault::Duplicate);
    }
    // Whole sets missing: from below, and from the middle.
    check(&lines[..6].concat(), Fault::Incomplete);
    check(&[&lines[..3], &lines[6..]].concat().concat(), Fault::Incomplete);
    // Without the newest it is the chain that was before.
    assert_eq!(evaluate(&lines[3..].concat()).outcome, Outcome::Pass);
}

#[test]
fn a_set_says_its_number() {
    for (from, to) in [
        ("arc-seal:i=1;", "arc-seal:"),
        ("arc-seal:i=1;", "arc-seal:i=0;"),
        ("arc-seal:i=1;", "arc-seal:i=51;"),
        ("arc-seal:i=1;", "arc-seal:i=a;"),
        ("arc-seal:i=1;", "arc-seal:i=1; i=1;"),
        ("arc-message-signature:i=1;", "arc-message-signature:i=;"),
        ("results:i=1;", "results:"),
        ("results:i=1;", "results:x; i=1;"),
        ("results:i=1;", "results:i=1"),
    ] {
        let message = chain(1).message();
        assert!(message.contains(from));
        check(&message.replacen(from, to, 1), Fault::NotNumbered);
    }
}

#[test]
fn what_a_seal_says_of_the_sets_before_it() {
    let sealed = |validations: &[&str]| {
        validations.iter().fold(Sealer::default(), |sealer, validation| sealer.seal(validation)).message()
    };
    check(&sealed(&["pass"]), Fault::Validation(1));
    check(&sealed(&["none", "none"]), Fault::Validation(2));
    check(&sealed(&["none", "fail", "pass"]), Fault::Validation(2));
    check(&sealed(&["none", "fail"]), Fault::SealedAsFailed);
    check(&sealed(&["fail"]), Fault::SealedAsFailed);
    check(&sealed(&["x"]), Fault::Validation(1));
}

#[test]
fn every_octet_of_every_set_is_sealed() {
    let message = chain(2).message();
    let end = message.find("from:A").unwrap();
    for at in 0..end {
        let mut octets = message.clone().into_bytes();
        octets[at] ^= if octets[at].is_ascii_alphabetic() { 3 } else { 1 };
        let Ok(changed) = String::from_utf8(octets) else { continue };
        assert_ne!(evaluate(&changed).outcome, Outcome::Pass, "octet {at} of {}", &message[..end]);
    }
}

#[test]
fn only_the_newest_signature_must_still_verify() {
    let first = Sealer::default().seal_with("none", "from:subject", "", "other\r\n");
    let found = evaluate(&first.clone().seal("pass").seal("pass").message());
    assert_eq!((found.outcome, found.oldest_pass), (Outcome::Pass, Some(2)));
    check(&first.message(), Fault::Signature(Reason::BodyChanged));
    let message = chain(2).message();
    check(&message.replace("Hello", "Hullo"), Fault::Signature(Reason::BodyChanged));
    check(&message.replace("subject:one", "subject:two"), Fault::Signature(Reason::SignatureWrong));
}

#[test]
fn what_seals_and_signatures_may_not_say() {
    let message = |names: &str, tags: &str| Sealer::default().seal_with("none", names, tags, BODY).message();
    check(&message("from:arc-seal:subject", ""), Fault::Signature(Reason::SealSigned));
    check(&message("from:subject", " h=from;"), Fault::Seal(1, Reason::TagBad("h")));
    check(&message("from:subject", " t=x;"), Fault::Seal(1, Reason::TagBad("t")));
    assert_eq!(evaluate(&message("from::subject", " t=5;")).outcome, Outcome::Pass);
    // What covers only part of the body lets anybody add to it.
    let open = Sealer::default().seal_with("none", "from:subject; l=0", "", "").message();
    check(&open, Fault::Signature(Reason::BodyChanged));
    let weak = chain(1).message();
    check(&weak.replacen("ed25519-sha256", "rsa-sha1", 1), Fault::Seal(1, Reason::Algorithm));
}

#[test]
fn keys_are_asked_for_all_at_once_and_once() {
    let chain = read(&chain(3).message()).unwrap();
    let missing = chain.check(&Known::default()).unwrap_err().0;
    assert_eq!(missing.iter().map(|query| query.name.as_str()).collect::<Vec<_>>(), [KEY]);
}

#[test]
fn the_dns_is_to_blame_only_if_nothing_else_is() {
    let message = chain(1).message();
    let query = read(&message).unwrap().check(&Known::default()).unwrap_err().0.remove(0);
    let mut known = Known::default();
    known.learn(query.clone(), Answer::Failed);
    assert_eq!(evaluate_with(&message, &known).outcome, Outcome::TempError);
    known.learn(query, Answer::NotFound);
    let found = evaluate_with(&message, &known);
    assert_eq!((found.outcome, found.fault), (Outcome::Fail, Some(Fault::Signature(Reason::KeyMissing))));
}

const TEXT: &str =
    "Received: x\r\nFrom: A  <a@example.org>\r\nSubject: one\r\n two\r\nSubject: other\r\n\r\nHello \r\n\r\n";

/// The message with one more set in front, and what was sealed.
fn sealed(sealer: &super::Sealer, message: &str, records: &Known) -> Result<String, Unsealed> {
    let mut section = HeaderSection::default();
    let taken = section.push(message.as_bytes());
    let mut fields = section.fields().unwrap();
    let reading = Reading::read(&mut fields);
    let mut forms = reading.forms();
    forms.push(super::BODY_FORM);
    let mut body = BodyHash::new(&forms);
    body.push(&message.as_bytes()[taken..]);
    let body = body.finish();
    let chain = match &reading {
        Reading::Chain(chain) => chain.evaluate(&asked(chain, records.clone()), &body, 0),
        other => other.without_chain().unwrap(),
    };
    let results = AuthResults::new("mx.example.net").method("spf", "pass", None).arc(&chain).finish();
    let digest = body.digest(&super::BODY_FORM).unwrap();
    let validation = reading.validation(Some(&chain))?;
    let set = sealer.seal(&mut fields, validation, &results, digest, 1_700_000_000)?;
    Ok(set + message)
}

fn sealer(algorithm: Algorithm) -> (super::Sealer, Known) {
    let domain = Name::parse("example.org").unwrap();
    let sealer = super::Sealer::new(domain, "sel", &pem(algorithm)).unwrap();
    (sealer, known(&[(KEY, &[&record(algorithm)])]))
}

#[test]
fn what_we_seal_passes_and_can_be_sealed_again() {
    for algorithm in [Algorithm::RsaSha256, Algorithm::Ed25519Sha256] {
        let (sealer, known) = sealer(algorithm);
        let mut message = TEXT.to_owned();
        for count in 1..=3 {
            message = sealed(&sealer, &message, &known).unwrap();
            let found = evaluate_with(&message, &known);
            assert_eq!((found.outcome, found.fault, found.sets), (Outcome::Pass, None, count), "{message}");
            assert_eq!(found.oldest_pass, Some(0));
        }
        assert!(message.lines().all(|line| line.len() <= 78), "{message}");
        let to = format!("To: {}\r\n", "a@example.org, ".repeat(30));
        let long = [&to.repeat(20), TEXT].concat();
        let long = sealed(&sealer, &long, &known).unwrap();
        assert_eq!(evaluate_with(&long, &known).outcome, Outcome::Pass);
        for (from, to) in [("Hello", "Hullo"), ("Subject: one", "Subject: two"), ("spf=pass", "spf=fail")] {
            assert_eq!(
                evaluate_with(&message.replacen(from, to, 1), &known).outcome,
                Outcome::Fail,
                "{from}"
            );
        }
    }
}

#[test]
fn a_broken_chain_is_sealed_as_such_once() {
    let (sealer, known) = sealer(Algorithm::Ed25519Sha256);
    let message = sealed(&sealer, TEXT, &known).unwrap().replace("Hello", "Hullo");
    let message = sealed(&sealer, &message, &known).unwrap();
    assert!(message.contains("cv=fail;") && message.contains("arc=fail"));
    assert_eq!(evaluate_with(&message, &known).fault, Some(Fault::SealedAsFailed));
    assert_eq!(sealed(&sealer, &message, &known), Err(Unsealed::Over));
    // Whoever takes the last seal off has no chain again.
    assert_eq!(evaluate_with(&message[message.find("ARC-M").unwrap()..], &known).outcome, Outcome::Fail);
    // Fields that make no sets come before a set that stands by itself.
    for (odd, at) in [("ARC-Seal: i=1; x=y\r\n", "i=2;"), ("ARC-Seal: x=y\r\n", "i=1;")] {
        let message = sealed(&sealer, &format!("{odd}{TEXT}"), &known).unwrap();
        assert!(message.starts_with(&format!("ARC-Seal: {at}")) && message.contains("cv=fail;"), "{message}");
        assert_eq!(evaluate_with(&message, &known).outcome, Outcome::Fail);
        assert_eq!(sealed(&sealer, &message, &known), Err(Unsealed::Over));
    }
}

#[test]
fn what_cannot_be_sealed_says_why() {
    let (sealer, known) = sealer(Algorithm::Ed25519Sha256);
    let full = chain(SETS_MAX).message();
    assert_eq!(sealed(&sealer, &full, &known), Err(Unsealed::Full));
    let wide = [&"To: a\r\n".repeat(300), TEXT].concat();
    assert_eq!(sealed(&sealer, &wide, &known), Err(Unsealed::TooLong));
    let mut silent = Known::default();
    let one = chain(1).message();
    silent.learn(read(&one).unwrap().check(&silent).unwrap_err().0.remove(0), Answer::Failed);
    assert_eq!(sealed(&sealer, &one, &silent), Err(Unsealed::Unsure));
}

#[test]
fn a_key_file_is_a_key_or_says_what_it_is_not() {
    let read = |pem: &str| super::Sealer::new(Name::parse("example.org").unwrap(), "s", pem).err();
    let good = pem(Algorithm::Ed25519Sha256);
    assert_eq!(read(&good), None);
    assert_eq!(read(&good.replace('\n', "\r\n")), None);
    for pem in [
        "",
        "x",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n",
        &good.replace("M", "*"),
        &good.replace("PRIVATE", "PUBLIC"),
    ] {
        assert_eq!(read(pem), Some(KeyFault::NotPem), "{pem}");
    }
    assert_eq!(read("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"), Some(KeyFault::Unknown));
}
