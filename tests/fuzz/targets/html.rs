//! HTML: seen and hidden text, links and tricks are the same at every cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::mime::html::{HtmlEvent, Reader};

#[derive(Debug, Default, PartialEq)]
struct Told {
    seen: String,
    hidden: String,
    others: Vec<String>,
}

fuzz_target!(|input: (u8, &str)| {
    let (size, text) = input;
    let whole = told(text, text.len().max(1));
    assert_eq!(told(text, 1), whole);
    assert_eq!(told(text, usize::from(size).max(1)), whole);
});

/// `text` in pieces of at least `size` bytes, whole characters.
fn told(text: &str, size: usize) -> Told {
    let mut told = Told::default();
    let mut on = |event: HtmlEvent<'_>| match event {
        HtmlEvent::Text(text) => told.seen.push_str(text),
        HtmlEvent::Hidden(text) => told.hidden.push_str(text),
        other => told.others.push(format!("{other:?}")),
    };
    let mut reader = Reader::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(size);
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        reader.push(&rest[..end], &mut on);
        rest = &rest[end..];
    }
    reader.finish(&mut on);
    told
}
