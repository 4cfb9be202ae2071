use std::sync::Arc;

use super::{Bench, Engine};
use crate::policy::condition::Reads;
use crate::policy::facts::Facts;
use crate::policy::settings::Inspect;
use crate::scan::{Choice, Rules, pattern};

const PATTERNS: &str = r#"
[[pattern]]
symbol = "WORD"
score = 2.0
literal = "forbidden word"
in = ["text", "header:subject"]
why = "a test"

[[pattern]]
symbol = "OCTETS"
score = 3.0
match = 'MAGIC-[0-9]{4}'
in = ["attachment", "raw"]
why = "a test"

[[pattern]]
symbol = "NAME"
score = 1.0
match = '\.exe$'
flags = ["multiline"]
in = ["filename"]
why = "a test"

[[pattern]]
symbol = "CARD"
score = 4.0
match = '\b(?:\d[ -]?){13,19}\b'
in = ["text"]
check = "luhn"
why = "a test"
"#;

fn engine() -> Arc<Engine> {
    let patterns = pattern::parse("test.toml", PATTERNS).unwrap();
    let rules = Rules::compile(patterns, Choice::Never).unwrap();
    let inspect = Inspect { enabled: true, protect: vec!["mybank.org".to_owned()], ..Inspect::default() };
    let reads = Reads { urls: true, digests: true, ..Reads::default() };
    Arc::new(Engine::new(rules, &inspect, &reads))
}

fn inspected(engine: &Arc<Engine>, message: &[u8], chunk: usize) -> (Facts, Vec<super::Evidence>) {
    let mut bench = Bench::new();
    let mut inspection = bench.begin(engine);
    message.chunks(chunk).for_each(|piece| inspection.push(piece, &mut bench));
    inspection.finish(&mut bench);
    let found = (inspection.facts().clone(), inspection.evidence().to_vec());
    bench.end(inspection);
    found
}

/// The symbols of `message`, the same at every size of chunks.
#[track_caller]
fn check(message: &str, want: &[&str]) -> Facts {
    let engine = engine();
    let message = message.replace('\n', "\r\n");
    let (facts, _) = inspected(&engine, message.as_bytes(), message.len().max(1));
    for chunk in [1, 2, 7, 64, 1448] {
        assert_eq!(inspected(&engine, message.as_bytes(), chunk).0, facts, "chunks of {chunk}");
    }
    let names: Vec<_> = facts.symbols.iter().map(|symbol| symbol.name.as_str()).collect();
    assert_eq!(names, want, "{message}");
    facts
}

#[test]
fn nothing_is_found_in_a_clean_message() {
    let facts = check("From: A <a@b.example>\nSubject: hello\n\nworld\n", &[]);
    assert_eq!(facts.message.subject.as_str(), "hello");
    assert_eq!(facts.message.from_domain.as_str(), "b.example");
    assert!(facts.message.header_complete && facts.attachments.is_empty());
}

#[test]
fn text_is_found_however_it_is_encoded() {
    check("\na FORBIDDEN\nword b\n", &["WORD"]);
    check("Subject: =?utf-8?q?forbidden_word?=\n\n", &["WORD"]);
    check("Content-Type: text/html\n\n<p>forb<b></b>idden&nbsp;word</p>\n", &["WORD"]);
    check("Content-Transfer-Encoding: quoted-printable\n\nforbid=\nden=20word\n", &["WORD"]);
    check("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nZm9yYmlkZGVuIHdvcmQ=\n", &["WORD"]);
}

#[test]
fn attachments_are_facts() {
    let facts = check(
        "Content-Type: application/x-a; name=\"tool.exe\"\nContent-Transfer-Encoding: base64\n\n\
         eCBNQUdJQy0xMjM0IHg=\n",
        &["NAME", "OCTETS"],
    );
    let attachment = &facts.attachments[0];
    assert_eq!((attachment.name.as_str(), attachment.extension.as_str()), ("tool.exe", "exe"));
    assert_eq!((attachment.size, attachment.complete), (14, true));
    assert_eq!(attachment.sha256.as_str().len(), 64);
}

#[test]
fn a_file_that_nobody_declared_is_an_attachment() {
    let facts = check("\nsee below\nbegin 644 tool.exe\n#8V%T\n`\nend\n", &["NAME"]);
    assert_eq!(facts.attachments.len(), 1);
    assert_eq!((facts.attachments[0].name.as_str(), facts.attachments[0].size), ("tool.exe", 3));
}

#[test]
fn links_are_facts() {
    let facts = check(
        "Content-Type: text/html\n\n<a href=\"http://evil.net/x\">www.example.org</a>\n",
        &["URL_MISLEADS"],
    );
    assert!(facts.urls.iter().any(|url| url.host == "evil.net" && url.text_host == "www.example.org"));
    check("\nsee http://mybank-login.org/ now\n", &["URL_LOOKALIKE"]);
}

#[test]
fn no_secret_stands_in_evidence() {
    let message = b"\r\ncard 4111 1111 1111 1111 thanks\r\n";
    let (facts, evidence) = inspected(&engine(), message, 5);
    assert!(facts.symbols.find("CARD").is_some());
    assert_eq!(evidence.len(), 1);
    let digits = evidence[0].redacted.chars().filter(char::is_ascii_digit).count();
    assert!(digits <= 10, "{evidence:?}");
}

/// Several streams have more to tell than is kept: the raw place, two readings of a part, and others.
#[test]
fn evidence_does_not_depend_on_where_content_was_cut() {
    let rest = " and so on\r\n".repeat(400);
    let words: String = (0..9).map(|n| format!("{n} forbidden word, MAGIC-000{n}\r\n{rest}")).collect();
    let head = "Subject: a forbidden word\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
    let part = |head: &str, body: &str| format!("--b\r\n{head}\r\n\r\n{body}");
    let message = [
        head.to_owned(),
        part("Content-Type: text/html", "<p>MAGIC-1111 forbidden <b>word</b></p>\r\n"),
        part("Content-Type: application/x-a; name=\"b.exe\"", &words),
        part("Content-Type: text/plain; charset=iso-8859-1; charset=utf-8", &words),
        "--b--\r\nMAGIC-9999\r\n".to_owned(),
    ]
    .concat();
    let engine = engine();
    let whole = inspected(&engine, message.as_bytes(), message.len());
    assert!(whole.1.len() > 5, "{:?}", whole.1);
    for chunk in [1, 7, 500, 5000, 40_000] {
        assert_eq!(inspected(&engine, message.as_bytes(), chunk), whole, "chunks of {chunk}");
    }
}

#[test]
fn an_inspection_is_used_again_as_new() {
    let engine = engine();
    let mut bench = Bench::new();
    for (message, want) in [(&b"\r\nforbidden word\r\n"[..], 1), (b"\r\nclean\r\n", 0), (b"\r\nforbidden", 0)]
    {
        let mut inspection = bench.begin(&engine);
        inspection.push(message, &mut bench);
        inspection.finish(&mut bench);
        assert_eq!(inspection.facts().symbols.len(), want);
        bench.end(inspection);
    }
    let mut inspection = bench.begin(&engine);
    inspection.push(b"Subject: forbidden word\r\n\r\nforbid", &mut bench);
    bench.end(inspection);
    let mut inspection = bench.begin(&engine);
    inspection.push(b"\r\nden word", &mut bench);
    inspection.finish(&mut bench);
    assert!(inspection.facts().symbols.is_empty());
}
