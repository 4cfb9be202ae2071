//! DATA: only CRLF, dot, CRLF ends a message; nothing ambiguous comes out; cuts do not matter.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use postern::smtp::data::{BareNewline, Decoded, Decoder, Framing, needs_stuffing, stuff, write_end_of_data};

#[derive(Arbitrary, Debug)]
struct Input {
    replace: bool,
    line_bytes_max: u64,
    cuts: Vec<u16>,
    wire: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let bare_newline = if input.replace { BareNewline::Replace } else { BareNewline::Refuse };
    let decoder = Decoder::new(Framing::Data, bare_newline, input.line_bytes_max);
    let (content, decoded) = decode(decoder.clone(), &input.wire, &input.cuts);
    assert_eq!((&content, decoded), (&decode(decoder, &input.wire, &[]).0, decoded));
    check_end(&input.wire, decoded);
    check_content(&content, input.line_bytes_max);
    // A line without an end is only complete for a next hop with one.
    let ends_with_crlf = content.is_empty() || content.ends_with(b"\r\n");
    let (sent, at_line_start) = stuffed(&content);
    assert_eq!(at_line_start, ends_with_crlf);
    let mut sent = sent;
    write_end_of_data(ends_with_crlf, &mut sent);
    let strict = Decoder::new(Framing::Data, BareNewline::Refuse, u64::MAX);
    let (received, decoded) = decode(strict, &sent, &input.cuts);
    assert_eq!(decoded, Decoded { consumed: sent.len(), end: true, fault: None });
    let received = if ends_with_crlf { &received[..] } else { &received[..received.len() - 2] };
    assert_eq!(received, content);
});

/// All of `wire` in pieces of the sizes of `cuts`, and then the rest.
fn decode(mut decoder: Decoder, wire: &[u8], cuts: &[u16]) -> (Vec<u8>, Decoded) {
    let mut content = Vec::new();
    let mut at = 0;
    let mut last = Decoded { consumed: 0, end: false, fault: None };
    for cut in cuts.iter().copied().map(usize::from).chain([usize::MAX]) {
        let piece = &wire[at..at + cut.min(wire.len() - at)];
        last = decoder.decode(piece, &mut content);
        assert!(last.consumed == piece.len() || last.end || last.fault.is_some());
        at += last.consumed;
        if last.consumed < piece.len() {
            break;
        }
    }
    (content, Decoded { consumed: at, ..last })
}

fn check_end(wire: &[u8], decoded: Decoded) {
    let taken = &wire[..decoded.consumed];
    if decoded.end {
        assert!(taken == b".\r\n" || taken.ends_with(b"\r\n.\r\n"));
    } else {
        assert!(!taken.starts_with(b".\r\n") && !taken.windows(5).any(|window| window == b"\r\n.\r\n"));
    }
}

fn check_content(content: &[u8], line_bytes_max: u64) {
    for (at, byte) in content.iter().enumerate() {
        match byte {
            b'\n' => assert!(at > 0 && content[at - 1] == b'\r'),
            b'\r' => assert_eq!(content.get(at + 1), Some(&b'\n')),
            _ => assert_ne!(*byte, 0),
        }
    }
    let lines = content.split_inclusive(|byte| *byte == b'\n');
    assert!(lines.into_iter().all(|line| line.len() as u64 <= line_bytes_max));
}

fn stuffed(content: &[u8]) -> (Vec<u8>, bool) {
    let (mut sent, mut at_line_start) = (Vec::new(), true);
    let (one, two) = content.split_at(content.len() / 2);
    for piece in [one, two] {
        let before = sent.len();
        let needed = needs_stuffing(piece, at_line_start);
        stuff(piece, &mut at_line_start, &mut sent);
        assert_eq!(needed, sent.len() - before != piece.len());
    }
    (sent, at_line_start)
}
