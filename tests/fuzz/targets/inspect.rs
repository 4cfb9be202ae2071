//! Content inspection: the facts of a message are the same wherever it was cut.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use postern::policy::condition::Reads;
use postern::policy::facts::Facts;
use postern::policy::inspect::{Bench, Engine};
use postern::policy::settings::Inspect;
use postern::scan::{Choice, Rules, pattern};

const PATTERNS: &str = r#"
[[pattern]]
symbol = "WORD"
score = 1.0
literal = "money"
in = ["text", "raw", "header", "attachment"]
why = "a literal"
[[pattern]]
symbol = "EXPRESSION"
score = 1.0
match = 'a[a-z]{1,8}b'
in = ["text", "header:subject", "url"]
why = "an expression"
[[pattern]]
symbol = "NAME"
score = 1.0
match = '\.exe$'
in = ["filename"]
why = "a name"
"#;

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| {
    let patterns = pattern::parse("fuzz", PATTERNS).expect("they are well formed");
    let rules = Rules::compile(patterns, Choice::Never).expect("they compile");
    let inspect = Inspect { enabled: true, protect: vec!["bank.example".to_owned()], ..Inspect::default() };
    let reads = Reads { urls: true, digests: true, ..Reads::default() };
    Arc::new(Engine::new(rules, &inspect, &reads))
});

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (cuts, message) = input;
    let message = content(message);
    let whole = facts(std::iter::once(&message[..]));
    assert_eq!(facts(message.chunks(1)), whole);
    assert_eq!(facts(pieces(&message, &cuts).into_iter()), whole);
});

/// As SMTP hands it on: no line end but CRLF.
fn content(octets: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(octets.len() * 2);
    for octet in octets.iter().copied() {
        match octet {
            b'\r' | 0 => {}
            b'\n' => content.extend(b"\r\n"),
            other => content.push(other),
        }
    }
    content
}

fn pieces<'a>(message: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let (mut rest, mut pieces) = (message, Vec::new());
    for cut in cuts {
        let (piece, after) = rest.split_at(rest.len().min(usize::from(*cut)));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

fn facts<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Facts {
    let mut bench = Bench::new();
    let mut inspection = bench.begin(&ENGINE);
    pieces.for_each(|piece| inspection.push(piece, &mut bench));
    inspection.finish(&mut bench);
    let facts = inspection.facts().clone();
    bench.end(inspection);
    facts
}
