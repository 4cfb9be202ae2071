//! What does it cost a worker to know who is really sending?
//!
//! All that happens on the worker's side for a message of 4 KiB with one DKIM signature: the header
//! section read, the body digested, the inquiries put together, and what was found made facts and a field. What
//! is asked and the operation with the public key are the service's.

// A bench that cannot be set up says so by panicking.
#![allow(clippy::expect_used)]

use std::hint::black_box;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64_simd::STANDARD;
use criterion::{Criterion, criterion_group, criterion_main};
use postern::policy::facts::Facts;
use postern::policy::sender::{
    AuthorFound, ClientFound, DmarcMode, OfClient, Settings, Signing, results_field, tell_author, tell_client,
};
use postern::sender::dns::{Answer, Known, Missing, Name, Query, Record};
use postern::sender::header_section::HeaderSection;

fn settings() -> Settings {
    Settings { dmarc: DmarcMode::Enforce, ..Settings::default() }
}

/// A signed message, and the key record.
fn message() -> (String, String) {
    let key = Ed25519KeyPair::generate().expect("a key");
    let body = "A line of text as people write it, and another one behind it.\r\n".repeat(55);
    let hash = STANDARD.encode_to_string(digest::digest(&digest::SHA256, body.as_bytes()));
    let tags = format!(
        "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org; s=s; h=from:subject; bh={hash}; b="
    );
    let fields = "from:A <a@example.org>\r\nsubject:what it is about\r\n";
    let header = digest::digest(&digest::SHA256, format!("{fields}dkim-signature:{tags}").as_bytes());
    let signature = STANDARD.encode_to_string(key.sign(header.as_ref()));
    let received = "Received: from a.example.org by b.example.org with ESMTPS id 1;\r\n\tTue, 24 Nov 2026 10:00:00 +0000\r\n";
    let content = format!(
        "{}DKIM-Signature: {tags}{signature}\r\nFrom: A <a@example.org>\r\nSubject: what it is about\r\n\
         To: B <b@example.net>\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n\r\n{body}",
        received.repeat(3)
    );
    (content, format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode_to_string(key.public_key())))
}

/// What the service would answer.
fn resolve<T>(key: &str, evaluation: impl Fn(&Known) -> Result<T, Missing>) -> T {
    let mut known = Known::default();
    loop {
        match evaluation(&known) {
            Ok(found) => return found,
            Err(Missing(queries)) => queries.into_iter().for_each(|query| learn(&mut known, query, key)),
        }
    }
}

fn learn(known: &mut Known, query: Query, key: &str) {
    let text = match query.name.as_str() {
        "s._domainkey.example.org" => key,
        "_dmarc.example.org" => "v=DMARC1; p=reject",
        "example.org" => "v=spf1 ip4:192.0.2.0/24 -all",
        _ => return known.learn(query, Answer::NotFound),
    };
    let records = vec![Record::Txt(text.as_bytes().to_vec())];
    known.learn(query, Answer::Records { records, is_secure: false });
}

fn of_client() -> OfClient {
    OfClient {
        ip: "192.0.2.1".parse().expect("an address"),
        helo: "a.example.org".to_owned(),
        local_part: "a".to_owned(),
        domain: "example.org".to_owned(),
        receiver: "mx.example.net".to_owned(),
        unix_seconds: 1_795_366_104,
    }
}

/// All of it but the answers.
fn stage(settings: &Settings, content: &[u8], client: &ClientFound, author: &AuthorFound) -> usize {
    black_box(of_client());
    let mut section = HeaderSection::default();
    let length = section.push(content);
    let mut signing = Signing::read(settings, &section);
    signing.push_body(&content[length..]);
    black_box(signing.inquiry(settings, Name::parse("example.org")));
    let concluded = signing.conclude(settings, Some(client), Some(author), 1_795_366_104);
    let mut facts = Facts::default();
    tell_client(settings, Some(client), &mut facts);
    tell_author(&concluded, &mut facts);
    assert_eq!(facts.sender.dmarc.as_str(), "pass");
    results_field("mx.example.net", Some(client), Some(&concluded)).len()
}

fn sender(c: &mut Criterion) {
    let settings = settings();
    let (content, key) = message();
    let client = resolve(&key, |known| of_client().evaluate(&settings, known));
    let mut section = HeaderSection::default();
    section.push(content.as_bytes());
    let inquiry = Signing::read(&settings, &section).inquiry(&settings, Name::parse("example.org"));
    let author = resolve(&key, |known| inquiry.evaluate(known));
    c.bench_function("sender/4 KiB, one signature", |b| {
        b.iter(|| stage(&settings, black_box(content.as_bytes()), &client, &author));
    });
}

criterion_group!(benches, sender);
criterion_main!(benches);
