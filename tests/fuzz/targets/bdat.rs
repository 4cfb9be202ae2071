//! BDAT: counted content is itself, or is refused, or has its bare newlines replaced.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::smtp::bdat::write_header;
use postern::smtp::command::{Bdat, Command, parse};
use postern::smtp::data::{BareNewline, Decoder, Framing};

fuzz_target!(|input: (u64, bool, Vec<Vec<u8>>)| {
    let (octets, last, chunks) = input;
    let mut header = Vec::new();
    write_header(octets, last, &mut header);
    let line = header.strip_suffix(b"\r\n").expect("a line");
    assert_eq!(parse(line), Ok(Command::Bdat(Bdat { octets, last })));

    let whole = chunks.concat();
    let mut strict = Decoder::new(Framing::Bdat, BareNewline::Refuse, u64::MAX);
    let mut content = Vec::new();
    for chunk in &chunks {
        let decoded = strict.decode(chunk, &mut content);
        assert!(!decoded.end && (decoded.consumed == chunk.len() || decoded.fault.is_some()));
    }
    let finished = strict.finish();
    assert_eq!(finished.is_ok(), is_clean(&whole));
    if let Ok(ends_with_crlf) = finished {
        assert_eq!(content, whole);
        assert_eq!(ends_with_crlf, whole.is_empty() || whole.ends_with(b"\r\n"));
    }

    let mut lenient = Decoder::new(Framing::Bdat, BareNewline::Replace, u64::MAX);
    let mut content = Vec::new();
    let decoded = lenient.decode(&whole, &mut content);
    assert_eq!((decoded.consumed, decoded.fault), (whole.len(), None));
    assert!(is_clean(&content));
    assert_eq!(lenient.finish().is_err(), whole.ends_with(b"\r"));
});

fn is_clean(content: &[u8]) -> bool {
    !content.iter().enumerate().any(|(at, byte)| match byte {
        b'\n' => at == 0 || content[at - 1] != b'\r',
        b'\r' => content.get(at + 1) != Some(&b'\n'),
        _ => *byte == 0,
    })
}
