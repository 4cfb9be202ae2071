//! The walker: its events join to the same at every cut, parts begin and end in order.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use postern::mime::{Bounds, Event, PartId, Reading, Walker, archive};

#[derive(Debug, Default, PartialEq)]
struct Told {
    events: Vec<String>,
    data: BTreeMap<(PartId, Reading), Vec<u8>>,
    text: BTreeMap<(PartId, Reading), String>,
    begun: u32,
    open: Vec<PartId>,
}

impl Told {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Data { part, reading, bytes } => {
                assert!(self.open.contains(&part));
                self.data.entry((part, reading)).or_default().extend_from_slice(bytes);
            }
            Event::Text { part, reading, text } => {
                assert!(self.open.contains(&part));
                self.text.entry((part, reading)).or_default().push_str(text);
            }
            other => {
                self.order(&other);
                self.events.push(format!("{other:?}"));
            }
        }
    }

    fn order(&mut self, event: &Event<'_>) {
        match *event {
            Event::Begin { part, .. } => {
                assert_eq!(part.0, self.begun);
                self.begun += 1;
                self.open.push(part);
            }
            Event::End { part, .. } => {
                assert!(self.open.contains(&part));
                self.open.retain(|open| *open != part);
            }
            _ => {}
        }
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, octets) = input;
    let text: Vec<u8> = octets.iter().copied().filter(|octet| !matches!(octet, b'\r' | 0)).collect();
    let content: Vec<u8> = text.split(|octet| *octet == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
    let whole = told(std::iter::once(&content[..]));
    assert!(whole.open.is_empty());
    assert_eq!(told(content.chunks(1)), whole);
    assert_eq!(told(content.chunks(usize::from(size).max(1))), whole);
});

/// Bounds are small, so that they are hit.
fn told<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Told {
    let of_archives = archive::Bounds { expanded_bytes_max: 1 << 16, entries_max: 10, ..Default::default() };
    let bounds =
        Bounds { depth: 5, parts: 30, header_bytes: 4096, archive: of_archives, ..Bounds::default() };
    let mut walker = Walker::new(bounds);
    let mut told = Told::default();
    pieces.for_each(|piece| walker.push(piece, &mut |event: Event<'_>| told.on(event)));
    walker.finish(&mut |event: Event<'_>| told.on(event));
    told
}
