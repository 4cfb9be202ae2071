//! How many bytes a second go through what is looked for: many phrases, a mix as packs are, folding alone.

#![allow(clippy::expect_used, reason = "a bench that cannot begin says why")]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use postern::scan::normalise::{Normaliser, fold};
use postern::scan::pattern::parse;
use postern::scan::reference::{Sample, sample};
use postern::scan::{Choice, Rules, Scratch};

const MIX: &str = r#"
[[pattern]]
symbol = "A"
why = "literal-led"
in = ["text"]
match = 'verify your (?:account|password) within \d+ hours'
[[pattern]]
symbol = "B"
why = "numbers"
in = ["text"]
match = '\b(?:\d[ -]?){13,19}\b'
check = "luhn"
[[pattern]]
symbol = "C"
why = "gaps"
in = ["text"]
match = '\bclick\b.{0,40}\bhere\b'
[[pattern]]
symbol = "D"
why = "choices"
in = ["text"]
match = '\b(?:kindly|urgently|immediately) (?:send|wire|transfer|pay)\b'
near = { words = ["bank", "account", "invoice"], within = 200 }
"#;

/// One pattern of `count` phrases, two to five words of the reference text each.
fn phrases(count: usize, vocabulary: &[&str]) -> String {
    let mut text = "[[pattern]]\nsymbol = 'P'\nwhy = 'x'\nin = ['text']\nphrases = [\n".to_owned();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..count {
        let words: Vec<&str> =
            (0..random.usize(2..6)).map(|_| vocabulary[random.usize(..vocabulary.len())]).collect();
        let _ = writeln!(text, "'{}',", words.join(" "));
    }
    text + "]\n"
}

fn scanning(criterion: &mut Criterion) {
    let prose = String::from_utf8(sample(Sample::Prose)).unwrap_or_default();
    let folded = fold(&prose);
    let mut vocabulary: Vec<&str> = folded.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    vocabulary.retain(|word| word.len() > 1);
    vocabulary.sort_unstable();
    vocabulary.dedup();

    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Bytes(folded.len() as u64));
    let sets = [
        ("phrases-1000", phrases(1000, &vocabulary)),
        ("phrases-10000", phrases(10_000, &vocabulary)),
        ("mix", MIX.to_owned()),
        ("mix-and-phrases-1000", MIX.to_owned() + &phrases(1000, &vocabulary)),
    ];
    for (name, text) in sets {
        let patterns = parse(name, &text).expect("they are well formed");
        let rules = Rules::compile(patterns, Choice::Never).expect("they compile");
        let mut scratch = Scratch::new();
        let mut stream = scratch.open(&rules.sets()[0]);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                stream.push(folded.as_bytes(), &mut scratch, &mut |hit| _ = black_box(hit.end));
                stream.finish(&mut scratch, &mut |hit| _ = black_box(hit.end))
            });
        });
    }
    group.throughput(Throughput::Bytes(prose.len() as u64));
    let mut out = Vec::new();
    group.bench_function("fold", |bencher| {
        bencher.iter(|| {
            out.clear();
            Normaliser::new().push(black_box(&prose), &mut out);
        });
    });
}

criterion_group!(benches, scanning);
criterion_main!(benches);
