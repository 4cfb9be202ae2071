//! Streams: what is found does not depend on cuts, on how expressions are spread, or on the stream's past.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use postern::scan::pattern::{Pattern, parse};
use postern::scan::{Choice, Hit, Rules, Scratch, Shortfall, Stream};

const PATTERNS: &str = r#"
[[pattern]]
symbol = "PHRASES"
why = "by their words or as literals"
in = ["text"]
phrases = ["free money", "money", "ok!", "ж now"]
[[pattern]]
symbol = "SPLIT"
why = "a literal within, a longest match"
in = ["text"]
match = '\b(?:free|pass).{0,40}word\b'
[[pattern]]
symbol = "DIGITS"
why = "ends at every digit, and wants a word"
in = ["text"]
match = '\d{2,}'
count = 2
near = { words = ["pin", "free"], within = 30 }
[[pattern]]
symbol = "CARD"
why = "a check decides"
in = ["text"]
match = '\b(?:\d[ -]?){13,19}\b'
check = "luhn"
"#;

static RULES: LazyLock<[Rules; 2]> = LazyLock::new(|| {
    let patterns: Vec<Pattern> = parse("patterns", PATTERNS).expect("they are well formed");
    [Choice::Never, Choice::All].map(|choice| Rules::compile(patterns.clone(), choice).expect("they compile"))
});

fuzz_target!(|input: (Vec<String>, bool)| {
    let (pieces, long) = input;
    let filler = if long { "-".repeat(8 * 1024 - 20) } else { String::new() };
    let whole = filler.clone() + &pieces.concat();
    let cut: Vec<&str> = std::iter::once(filler.as_str()).chain(pieces.iter().map(String::as_str)).collect();

    let [plain, split] = &*RULES;
    let want = found(plain, &[&whole]);
    assert_eq!(found(plain, &cut), want);
    assert_eq!(found(split, &[&whole]), want);
    assert_eq!(found(split, &cut), want);
});

fn found(rules: &Rules, pieces: &[&str]) -> (Vec<(u32, u64, u32)>, Shortfall) {
    let mut scratch = Scratch::new();
    let mut stream = scratch.open(&rules.sets()[0]);
    stream.push_text("free mon", &mut scratch, &mut |_| {});
    scratch.park(stream);
    let mut stream: Stream = scratch.open(&rules.sets()[0]);
    let mut hits = Vec::new();
    let mut sink = |hit: Hit<'_>| hits.push((hit.pattern, hit.end, hit.count));
    pieces.iter().for_each(|piece| stream.push_text(piece, &mut scratch, &mut sink));
    let shortfall = stream.finish(&mut scratch, &mut sink);
    hits.sort_unstable();
    (hits, shortfall)
}
