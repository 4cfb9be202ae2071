//! Header fields: encoded words and the fields of structure, whatever stands in them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::mime::encoded_word::{Reader, suspected};
use postern::mime::{Bounds, Event, Walker};

const FIELDS: [&str; 4] = ["Content-Type", "Content-Disposition", "Content-Transfer-Encoding", "Subject"];

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (field, size, value) = input;
    let mut text = String::from("before");
    let defects = Reader::default().decode(value, &mut text);
    if !suspected(value) && value.is_ascii() {
        assert!(text.as_bytes() == value && defects.is_empty());
    }
    let value: Vec<u8> = value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n' | 0)).collect();
    let field = FIELDS[usize::from(field) % FIELDS.len()];
    let message = [field.as_bytes(), b": ", &value, b"\r\n\r\nx\r\n"].concat();
    let whole = told(&message, message.len());
    assert_eq!(told(&message, 1), whole);
    assert_eq!(told(&message, usize::from(size).max(1)), whole);
});

/// Fields, heads and defects.
fn told(message: &[u8], size: usize) -> Vec<String> {
    let mut events = Vec::new();
    let mut on = |event: Event<'_>| {
        if !matches!(event, Event::Data { .. } | Event::Text { .. }) {
            events.push(format!("{event:?}"));
        }
    };
    let mut walker = Walker::new(Bounds::default());
    message.chunks(size).for_each(|piece| walker.push(piece, &mut on));
    walker.finish(&mut on);
    events
}
