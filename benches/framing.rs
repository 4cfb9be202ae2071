//! How fast does content come off the wire, and go back on it?

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use postern::smtp::data::{BareNewline, Decoder, Framing, stuff};

/// What one receive gives.
const PIECE_BYTES: usize = 64 * 1024;
const CONTENT_BYTES: usize = 1024 * 1024;

fn lines_of(line: &str) -> Vec<u8> {
    line.as_bytes().iter().copied().cycle().take(CONTENT_BYTES / line.len() * line.len()).collect()
}

fn plain_line() -> String {
    "X".repeat(78) + "\r\n"
}

/// Takes `wire` piece by piece, each out of the way when it is decoded.
fn decode(framing: Framing, wire: &[u8], content: &mut Vec<u8>) -> bool {
    let mut decoder = Decoder::new(framing, BareNewline::Refuse, 1024 * 1024);
    let mut well = true;
    for piece in wire.chunks(PIECE_BYTES) {
        content.clear();
        well &= decoder.decode(black_box(piece), content).fault.is_none();
    }
    well
}

fn decoding(criterion: &mut Criterion) {
    let cases = [
        ("data plain lines of 80", Framing::Data, lines_of(&plain_line())),
        ("data short lines", Framing::Data, lines_of("word\r\n")),
        ("data every line stuffed", Framing::Data, lines_of(&format!("..{}", plain_line()))),
        ("data only stuffed dots", Framing::Data, lines_of("..\r\n")),
        ("bdat plain lines of 80", Framing::Bdat, lines_of(&plain_line())),
    ];
    let mut group = criterion.benchmark_group("decode");
    for (name, framing, wire) in cases {
        let mut content = Vec::new();
        assert!(decode(framing, &wire, &mut content), "{name}");
        group.throughput(Throughput::Bytes(wire.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| decode(framing, &wire, &mut content)));
    }
    group.finish();
}

fn stuffing(criterion: &mut Criterion) {
    let cases = [
        ("plain lines of 80", lines_of(&plain_line())),
        ("every line with a dot", lines_of(&format!(".{}", plain_line()))),
    ];
    let mut group = criterion.benchmark_group("stuff");
    for (name, content) in cases {
        let mut wire = Vec::new();
        group.throughput(Throughput::Bytes(content.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut at_line_start = true;
                for piece in content.chunks(PIECE_BYTES) {
                    wire.clear();
                    stuff(black_box(piece), &mut at_line_start, &mut wire);
                }
                wire.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decoding, stuffing);
criterion_main!(benches);
