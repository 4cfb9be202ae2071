//! What does it cost to read what a next hop says?

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use postern::smtp::extension::Capabilities;
use postern::smtp::reply::{Reply, ReplyParser};

const ONE: &[u8] = b"250 2.1.0 Ok\r\n";
/// The answer to RSET, MAIL and RCPT in one segment.
const THREE: &[u8] = b"250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n";
const EHLO: &[u8] = b"250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-VRFY\r\n250-ETRN\r\n\
    250-STARTTLS\r\n250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT\r\n250-ENHANCEDSTATUSCODES\r\n\
    250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n";

/// The last of the replies in `input`.
fn parse(parser: &mut ReplyParser, mut input: &[u8]) -> Option<Reply> {
    let mut last = None;
    while !input.is_empty() {
        let (consumed, reply) = parser.feed(input).ok()?;
        input = &input[consumed..];
        last = reply;
    }
    last
}

fn parsing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply");
    let mut parser = ReplyParser::new();
    for (name, input) in [("one line", ONE), ("three replies", THREE), ("ehlo, twelve lines", EHLO)] {
        assert!(parse(&mut parser, input).is_some(), "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| parse(&mut parser, black_box(input))));
    }
    if let Some(reply) = parse(&mut parser, EHLO) {
        group.bench_function("capabilities of it", |bencher| {
            bencher.iter(|| Capabilities::from_ehlo(black_box(&reply)));
        });
    }
    group.bench_function("one of ours, with id", |bencher| {
        bencher.iter(|| {
            Reply::new(550, "5.1.2", "relaying is refused").with_id(black_box("01M826138CARTVEA0H75MHEY1K"))
        });
    });
    group.finish();
}

criterion_group!(benches, parsing);
criterion_main!(benches);
