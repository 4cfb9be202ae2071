//! base64: the same at every cut, and what is clean means what a plain decoder takes it for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::mime::base64::{Decoder, Padding, in_alphabet};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, octets) = input;
    for padding in [Padding::Concatenate, Padding::Stop, Padding::Skip] {
        let decode = |size: usize| {
            let (mut decoder, mut out) = (Decoder::new(padding), Vec::new());
            octets.chunks(size).for_each(|piece| decoder.push(piece, &mut out));
            decoder.finish(&mut out);
            (out, decoder.defects())
        };
        let whole = decode(octets.len().max(1));
        assert!(whole.0.len() <= octets.len() / 4 * 3 + 3);
        assert_eq!(decode(1), whole);
        assert_eq!(decode(usize::from(size).max(1)), whole);
        if octets.len() % 4 == 0 && octets.iter().copied().all(in_alphabet) {
            assert_eq!(whole.0, plain(octets));
        }
    }
});

/// Whole groups, letter by letter.
fn plain(octets: &[u8]) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let groups = octets
        .chunks(4)
        .map(|group| group.iter().fold(0u32, |bits, letter| bits << 6 | u32::from(value(*letter))));
    groups.flat_map(|bits| bits.to_be_bytes()[1..].to_vec()).collect()
}
