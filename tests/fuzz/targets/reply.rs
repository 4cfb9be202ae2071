//! Replies of a next hop: the same at any cut, and never more than lines for the client.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::limits::REPLY_LINE_SENT_BYTES_MAX;
use postern::smtp::reply::{Reply, ReplyError, ReplyParser};

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (one, two) = input;
    let whole = [one.as_slice(), &two].concat();
    let got = replies(&[&whole]);
    assert_eq!(got, replies(&[&one, &two]));
    for reply in got.iter().flatten() {
        check(reply);
        check(&reply.clone().with_id("01J"));
        assert_eq!(replies(&[reply.wire()]), Ok(vec![reply.clone()]));
    }
});

fn replies(pieces: &[&[u8]]) -> Result<Vec<Reply>, ReplyError> {
    let mut parser = ReplyParser::new();
    let mut replies = Vec::new();
    for mut piece in pieces.iter().copied() {
        while !piece.is_empty() {
            let (consumed, reply) = parser.feed(piece)?;
            assert!(0 < consumed && consumed <= piece.len());
            assert!(consumed == piece.len() || reply.is_some());
            piece = &piece[consumed..];
            replies.extend(reply);
        }
    }
    Ok(replies)
}

fn check(reply: &Reply) {
    for line in reply.wire().split_inclusive(|byte| *byte == b'\n') {
        assert!(line.len() <= REPLY_LINE_SENT_BYTES_MAX);
        let text = line.strip_suffix(b"\r\n").expect("a whole line");
        assert!(text.len() >= 4 && text.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')));
    }
    assert!(reply.first_line().bytes().all(|byte| matches!(byte, b' '..=b'~')));
    _ = reply.enhanced();
}
