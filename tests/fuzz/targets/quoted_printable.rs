//! quoted-printable: the same at every cut, never more than came in, and what we write comes back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::mime::quoted_printable::{Decoder, Defects};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, octets) = input;
    let size = usize::from(size).max(1);
    let whole = decode(octets, octets.len().max(1));
    assert!(whole.0.len() <= octets.len());
    assert_eq!(decode(octets, 1), whole);
    assert_eq!(decode(octets, size), whole);
    let written: String = octets.iter().map(|octet| format!("={octet:02X}=\r\n")).collect();
    assert_eq!(decode(written.as_bytes(), size).0, octets);
});

fn decode(octets: &[u8], size: usize) -> (Vec<u8>, Defects) {
    let (mut decoder, mut out) = (Decoder::new(), Vec::new());
    octets.chunks(size).for_each(|piece| decoder.push(piece, &mut out));
    decoder.finish(&mut out);
    (out, decoder.defects())
}
