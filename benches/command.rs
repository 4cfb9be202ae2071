//! What does it cost to read a command?

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use postern::limits::COMMAND_LINE_BYTES_MAX;
use postern::smtp::command::{self, Command, Refused};
use postern::smtp::line::{Line, next_line};

const CASES: [(&str, &[u8]); 6] = [
    ("ehlo", b"EHLO client.example.org\r\n"),
    ("mail", b"MAIL FROM:<sender@example.org>\r\n"),
    (
        "mail with parameters",
        b"MAIL FROM:<sender@example.org> SIZE=4096 BODY=8BITMIME RET=HDRS ENVID=QQ314159\r\n",
    ),
    ("rcpt", b"RCPT TO:<recipient@example.net>\r\n"),
    (
        "rcpt with parameters",
        b"RCPT TO:<recipient@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;recipient@example.net\r\n",
    ),
    ("unknown", b"HELLO client.example.org\r\n"),
];

/// From what was received to the command, as the session does it.
fn read(input: &[u8]) -> Option<Result<Command<'_>, Refused>> {
    match next_line(input, COMMAND_LINE_BYTES_MAX) {
        Line::Whole { line, .. } => Some(command::parse(line)),
        Line::Partial | Line::TooLong => None,
    }
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("command");
    for (name, input) in CASES {
        let understood = matches!(read(input), Some(Ok(_)));
        assert_eq!(understood, name != "unknown", "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| read(black_box(input)).is_some()));
    }
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
