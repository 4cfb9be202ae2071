//! Messages in, outlines out, whole and at every cut.

mod bounds;
mod evasions;
mod random;

mod structure;

use std::collections::BTreeMap;

use crate::mime::{Bounds, Event, Origin, PartId, Reading, Walker};

/// Everything that was told of a message, in a form that does not show the pieces of its streams.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// All events but data and text, in order.
    events: Vec<String>,
    data: BTreeMap<(PartId, Reading), Vec<u8>>,
    text: BTreeMap<(PartId, Reading), String>,
    parts: Vec<Part>,
}

#[derive(Debug, Default, PartialEq)]
struct Part {
    parent: u32,
    origin: &'static str,
    media_type: String,
    names: Vec<String>,
    fields: Vec<(String, String)>,
    kind: Option<&'static str>,
    links: Vec<String>,
    defects: Vec<&'static str>,
    serious: bool,
    ended: bool,
}

impl Told {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Data { part, reading, bytes } => {
                self.data.entry((part, reading)).or_default().extend_from_slice(bytes);
            }
            Event::Text { part, reading, text } => {
                self.text.entry((part, reading)).or_default().push_str(text);
            }
            event => {
                self.events.push(format!("{event:?}"));
                self.remember(event);
            }
        }
    }

    fn remember(&mut self, event: Event<'_>) {
        match event {
            Event::Begin { part, parent, origin } => {
                assert_eq!(part.0 as usize, self.parts.len(), "parts are numbered in order");
                let origin = name(origin);
                self.parts.push(Part { parent: parent.0, origin, ..Part::default() });
            }
            Event::Field { part, name, text, .. } => {
                let name = String::from_utf8_lossy(name).into_owned();
                self.part(part).fields.push((name, text.to_owned()));
            }
            Event::Head { part, head } => {
                self.part(part).media_type.clone_from(&head.media_type);
                self.part(part).names.clone_from(&head.names);
            }
            Event::Kind { part, kind } => self.part(part).kind = Some(kind.name()),
            Event::Link { part, target, text } => self.part(part).links.push(format!("{target} {text}")),
            Event::Defect { part, defect } => {
                self.part(part).defects.push(defect.name());
                self.part(part).serious |= defect.serious();
            }
            Event::End { part, .. } => {
                let children = self.parts.iter().filter(|other| other.parent == part.0 && !other.ended);
                assert!(children.count() <= usize::from(part.0 == 0), "children end before their parent");
                self.part(part).ended = true;
            }
            Event::Trick { .. } | Event::Data { .. } | Event::Text { .. } => {}
        }
    }

    /// The part, which must be open.
    fn part(&mut self, part: PartId) -> &mut Part {
        let part = &mut self.parts[part.0 as usize];
        assert!(!part.ended, "nothing comes behind the end");
        part
    }

    fn text(&self, part: usize, reading: Reading) -> &str {
        let part = PartId(u32::try_from(part).unwrap());
        self.text.get(&(part, reading)).map_or("", String::as_str)
    }

    /// Whether `needle` comes out anywhere: in a field, a name, in data or in text of any reading.
    fn shows(&self, needle: &str) -> bool {
        let in_part = |part: &Part| {
            part.names.iter().any(|name| name.contains(needle))
                || part.fields.iter().any(|(_, text)| text.contains(needle))
        };
        self.parts.iter().any(in_part)
            || self.text.values().any(|text| text.contains(needle))
            || self.data.values().any(|data| memchr::memmem::find(data, needle.as_bytes()).is_some())
    }

    fn is_serious(&self) -> bool {
        self.parts.iter().any(|part| part.serious)
    }

    /// A line for each part: its parent and origin, type, names, texts by their readings, defects.
    fn outline(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            assert!(part.ended, "every part ends");
            let mut line = format!("{}<{} {}", part.origin, part.parent, part.media_type);
            for name in &part.names {
                line.push_str(&format!(" {name}"));
            }
            for (sign, reading) in [
                ("=", Reading::Strict),
                ("~", Reading::Lenient),
                ("#", Reading::Hidden),
                ("?", Reading::Raw),
                ("+", Reading::Decoded),
            ] {
                let text = self.text(at, reading);
                if !text.is_empty() {
                    line.push_str(&format!(" {sign}{text:?}"));
                }
            }
            for defect in &part.defects {
                line.push_str(&format!(" !{defect}"));
            }
            lines.push(line);
        }
        lines
    }
}

const fn name(origin: Origin) -> &'static str {
    match origin {
        Origin::Message => "message",
        Origin::Multipart => "part",
        Origin::Rfc822 => "rfc822",
        Origin::Archive => "archive",
        Origin::Preamble => "outside",
        Origin::Guessed => "guessed",
    }
}

fn walk<'a>(bounds: Bounds, chunks: impl IntoIterator<Item = &'a [u8]>) -> Told {
    let mut walker = Walker::new(bounds);
    walk_with(&mut walker, chunks)
}

fn walk_with<'a>(walker: &mut Walker, chunks: impl IntoIterator<Item = &'a [u8]>) -> Told {
    let mut told = Told::default();
    let mut sink = |event: Event<'_>| told.on(event);
    for chunk in chunks {
        walker.push(chunk, &mut sink);
    }
    walker.finish(&mut sink);
    walker.reset();
    told
}

/// Line ends as the walker is given them.
fn crlf(message: &str) -> String {
    message.replace('\n', "\r\n")
}

/// Walks `message` whole, and sees to it that every other way of cutting it tells the same.
#[track_caller]
fn told(message: &str) -> Told {
    let content = crlf(message);
    let content = content.as_bytes();
    let mut walker = Walker::new(Bounds::default());
    let whole = walk_with(&mut walker, [content]);
    for chunk in [1, 2, 3, 7, 64] {
        assert_eq!(walk_with(&mut walker, content.chunks(chunk)), whole, "chunks of {chunk}");
    }
    for cut in 0..=content.len() {
        let (first, second) = content.split_at(cut);
        assert_eq!(walk_with(&mut walker, [first, second]), whole, "cut at {cut}");
    }
    whole
}

#[track_caller]
fn check(message: &str, want: &[&str]) {
    assert_eq!(told(message).outline(), want);
}
