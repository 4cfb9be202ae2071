//! A signature of 68 octets, split at each of its offsets, and wrapped in everything that is unwrapped.

use std::sync::Arc;

use postern::policy::inspect::Engine;
use postern::smtp::data::{BareNewline, Decoder, Framing};

use super::specimen::{
    DEFLATE, STORED, attached, base64, base64_lines, crlf, gzip, html, nested, quoted_printable, tar, utf7,
    utf16be, utf16le, zip,
};
use super::{FOUND, SIGNATURE, engine, facts, has, patterns};

const PLACES: &str = "\"raw\", \"text\", \"attachment\"";
/// Not as it came: what is found was decoded.
const DECODED_PLACES: &str = "\"text\", \"attachment\"";
/// Sizes of the pieces in which content comes; a cut at a place of its own is one of them and more.
const CHUNKS: [usize; 4] = [1, 7, 1448, 65_536];

#[track_caller]
fn check_found(engine: &Arc<Engine>, message: &[u8], what: &str) {
    for chunk in CHUNKS {
        assert!(has(&facts(engine, message.chunks(chunk)), FOUND), "{what}, chunks of {chunk}");
    }
}

/// The content of `wire`, whose pieces are taken off the wire one by one.
fn off_the_wire(framing: Framing, pieces: [&[u8]; 2]) -> [Vec<u8>; 2] {
    let mut decoder = Decoder::new(framing, BareNewline::Refuse, u64::MAX);
    pieces.map(|piece| {
        let mut content = Vec::new();
        assert_eq!(decoder.decode(piece, &mut content).fault, None);
        content
    })
}

/// Whether the signature is found in two pieces of a message, cut within it at `offset`.
fn found_in_two(engine: &Arc<Engine>, framing: Framing, offset: usize) -> bool {
    let head = "Subject: x\r\n\r\nthis is ";
    let end = if framing == Framing::Data { "\r\n.\r\n" } else { "\r\n" };
    let wire = format!("{head}{SIGNATURE}{end}");
    let (first, second) = wire.as_bytes().split_at(head.len() + offset);
    let pieces = off_the_wire(framing, [first, second]);
    has(&facts(engine, pieces.iter().map(Vec::as_slice)), FOUND)
}

/// Whether it is found in base64 whose line ends at `offset` of the signature.
pub(super) fn in_base64_lines(offset: usize) -> Vec<u8> {
    // So many octets before it that the line ends with a group.
    let before = "xxx".get(..(3 - offset % 3) % 3 + 3 * usize::from(offset == 0)).unwrap();
    let (first, second) = SIGNATURE.split_at(offset);
    let lines = format!("{}\n{}", base64((before.to_owned() + first).as_bytes()), base64(second.as_bytes()));
    crlf(&format!("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n{lines}\n"))
}

pub(super) fn in_quoted_printable(offset: usize) -> Vec<u8> {
    let (first, second) = SIGNATURE.split_at(offset);
    crlf(&format!("Content-Transfer-Encoding: quoted-printable\n\nthis is {first}=\n{second}\n"))
}

#[test]
fn a_split_signature_is_found_at_each_of_68_offsets_in_four_ways() {
    let (all, decoded) = (engine(&patterns(PLACES)), engine(&patterns(DECODED_PLACES)));
    let mut found = [0; 4];
    for offset in 0..SIGNATURE.len() {
        found[0] += usize::from(found_in_two(&all, Framing::Data, offset));
        found[1] += usize::from(has(&facts(&decoded, in_base64_lines(offset).chunks(4096)), FOUND));
        found[2] += usize::from(has(&facts(&decoded, in_quoted_printable(offset).chunks(4096)), FOUND));
        found[3] += usize::from(found_in_two(&all, Framing::Bdat, offset));
    }
    println!("split signatures: {} of 272 found {found:?}", found.iter().sum::<usize>());
    assert_eq!(found, [68; 4], "segments, base64 lines, soft line breaks, BDAT");
}

#[test]
fn a_line_of_base64_may_end_within_a_group() {
    let engine = engine(&patterns(DECODED_PLACES));
    let line = base64(SIGNATURE.as_bytes());
    for at in 0..line.len() {
        let (first, second) = line.split_at(at);
        let body = format!("Content-Transfer-Encoding: base64\n\n{first}\n{second}\n");
        assert!(has(&facts(&engine, [&crlf(&body)[..]]), FOUND), "line end at {at}");
    }
}

#[test]
fn a_signature_is_found_in_every_wrapping() {
    let engine = engine(&patterns(DECODED_PLACES));
    let file = format!("this is {SIGNATURE}\n");
    let octets = file.as_bytes();
    let texts = [
        ("UTF-16LE", "utf-16le", utf16le(&file)),
        ("UTF-16BE", "utf-16be", utf16be(&file)),
        ("UTF-16 with its mark", "utf-16", [b"\xff\xfe".to_vec(), utf16le(&file)].concat()),
        ("UTF-7", "utf-7", utf7(&file).into_bytes()),
    ];
    for (what, charset, octets) in texts {
        let head = format!("Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: base64");
        check_found(&engine, &crlf(&format!("{head}\n\n{}", base64_lines(&octets, 76))), what);
    }
    let body = html(SIGNATURE);
    check_found(&engine, &crlf(&format!("Content-Type: text/html\n\n{body}")), "entities");
    let body = quoted_printable(body.as_bytes());
    let head = "Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable";
    check_found(&engine, &crlf(&format!("{head}\n\n{body}\n")), "entities in quoted-printable");
    let files = [
        ("a.zip", zip("a.txt", octets, STORED)),
        ("b.zip", zip("a.txt", octets, DEFLATE)),
        ("a.gz", gzip(octets)),
        ("a.tar", tar("a.txt", octets)),
        ("a.tar.gz", gzip(&tar("a.txt", octets))),
        ("c.zip", zip("b.zip", &zip("a.txt", octets, DEFLATE), DEFLATE)),
        ("d.zip", zip("a.tar.gz", &gzip(&tar("a.txt", octets)), STORED)),
    ];
    for (name, octets) in files {
        check_found(&engine, &attached(name, &octets), name);
    }
}

#[test]
fn a_signature_is_found_20_messages_deep() {
    let engine = engine(&patterns(DECODED_PLACES));
    let innermost = attached("a.zip", &zip("a.txt", SIGNATURE.as_bytes(), DEFLATE));
    for depth in 1..=20 {
        check_found(&engine, &nested(&innermost, depth), &format!("depth {depth}"));
    }
}
