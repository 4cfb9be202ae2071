//! Files that no header section announces: what looks encoded among lines, or stands uuencoded in
//! text, becomes a part of its own.
//!
//! Such a part has a head without a type, and a name where there is one. No messages are looked for in
//! it, so that guesses do not nest.

use super::Declared;
use super::content::Content;
use super::uuencode::{Finder, Found};
use crate::mime::content_type::Head;
use crate::mime::defect::{Defect, Defects, Limit};
use crate::mime::walker::Shared;
use crate::mime::{Event, Origin, PartId, Reading, Sink};

/// Such a file.
#[derive(Debug)]
pub(super) struct File {
    part: PartId,
    content: Box<Content>,
}

impl File {
    /// Begins the part, unless there are too many, which is told once.
    pub(super) fn begin(
        parent: PartId,
        name: &str,
        limit_told: &mut bool,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Option<Self> {
        let Some(part) = shared.part() else {
            if !std::mem::replace(limit_told, true) {
                sink.on(Event::Defect { part: parent, defect: Defect::Limit(Limit::Parts) });
            }
            return None;
        };
        sink.on(Event::Begin { part, parent, origin: Origin::Guessed });
        let names = if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
        sink.on(Event::Head { part, head: &Head { names, ..Head::default() } });
        let mut content = Box::<Content>::default();
        let declared = Declared { name: Some(name), ..Declared::NOTHING };
        content.begin(Reading::Strict, declared, shared.bounds.depth);
        content.encoded = true;
        Some(Self { part, content })
    }

    /// Decoded octets of the file.
    pub(super) fn push(&mut self, octets: &[u8], shared: &mut Shared, sink: &mut dyn Sink) {
        self.content.push(octets, self.part, shared, sink);
    }

    /// The file is over, and the part with it.
    pub(super) fn end(mut self, shared: &mut Shared, sink: &mut dyn Sink) {
        self.content.end(self.part, shared, sink);
    }
}

/// Files that stand uuencoded in text.
#[derive(Debug, Default)]
pub(super) struct Embedded {
    /// Made when it is first needed.
    finder: Option<Box<Finder>>,
    pub(super) wanted: bool,
    file: Option<File>,
    limit_told: bool,
}

impl Embedded {
    pub(super) fn reset(&mut self) {
        if let Some(finder) = &mut self.finder {
            finder.reset();
        }
        self.wanted = false;
        self.file = None;
        self.limit_told = false;
    }

    /// Looks through text, if that is wanted; what is wrong with it.
    pub(super) fn push(
        &mut self,
        text: &[u8],
        part: PartId,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Defects {
        let mut defects = Defects::EMPTY;
        if self.wanted {
            let mut finder = self.finder.take().unwrap_or_else(|| Box::new(Finder::new()));
            finder.push(text, &mut |found| self.on(found, part, &mut defects, shared, sink));
            self.finder = Some(finder);
        }
        defects
    }

    /// The text is over, and with it what has no end of its own.
    pub(super) fn finish(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        if let Some(mut finder) = self.finder.take().filter(|_| self.wanted) {
            finder.finish(&mut |found| self.on(found, part, &mut Defects::EMPTY.clone(), shared, sink));
            self.finder = Some(finder);
        }
    }

    /// What the finder found: a file is a part from its `begin` line to its end.
    fn on(
        &mut self,
        found: Found<'_>,
        part: PartId,
        defects: &mut Defects,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) {
        match (found, &mut self.file) {
            (Found::Begin { name }, _) => {
                let name = String::from_utf8_lossy(name);
                self.file = File::begin(part, &name, &mut self.limit_told, shared, sink);
            }
            (Found::Data(octets), Some(file)) => file.push(octets, shared, sink),
            (Found::End, file) => {
                if let Some(file) = file.take() {
                    file.end(shared, sink);
                }
            }
            (Found::Yenc, _) => {
                defects.insert(Defect::YencInText);
            }
            (Found::Data(_), None) => {}
        }
    }
}
