//! Files that no header section announces: what looks encoded among lines, stands uuencoded in text,
//! in an address or between headers of another format, becomes a part of its own.
//!
//! Such a part has a head without a type, if nothing says one, and a name where there is one. It counts
//! as an archive does in what lies within what, so that guesses nest to a bound.

use super::Declared;
use super::content::Content;
use super::uuencode::{Finder, Found};
use crate::mime::content_type::Head;
use crate::mime::defect::{Defect, Defects, Limit};
use crate::mime::walker::Shared;
use crate::mime::{Event, Origin, PartId, Reading, Sink};

/// What lies around a file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Around {
    /// Messages, multiparts, archives and such files.
    pub(crate) depth: usize,
    /// Archives and such files.
    pub(crate) archives: usize,
}

impl Around {
    /// The same, and one more archive or such file.
    pub(super) const fn and_archive(self) -> Self {
        Self { depth: self.depth + 1, archives: self.archives + 1 }
    }
}

/// Such a file.
#[derive(Debug)]
pub(super) struct File {
    part: PartId,
    content: Box<Content>,
}

impl File {
    /// Begins the part, unless there are too many or too many around it; which of it is told once.
    pub(super) fn begin(
        parent: PartId,
        origin: Origin,
        head: &Head,
        around: Around,
        limits: &mut Defects,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Option<Self> {
        let too_deep = around.archives >= shared.bounds.archive.depth_max;
        let part = if too_deep { None } else { shared.part() };
        let Some(part) = part else {
            let limit = Defect::Limit(if too_deep { Limit::ArchiveDepth } else { Limit::Parts });
            if limits.insert(limit) {
                sink.on(Event::Defect { part: parent, defect: limit });
            }
            return None;
        };
        sink.on(Event::Begin { part, parent, origin });
        sink.on(Event::Head { part, head });
        let mut content = Box::<Content>::default();
        let declared = Declared {
            media_type: &head.media_type,
            charset: head.charset(),
            name: head.name(),
            ..Declared::NOTHING
        };
        content.begin(Reading::Strict, declared, around.and_archive());
        content.encoded = true;
        Some(Self { part, content })
    }

    /// The same file, if what it is in holds nothing but entities of MIME by right.
    pub(super) fn of_entity(mut self) -> Self {
        self.content.is_entity = true;
        self
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
    pub(super) around: Around,
    file: Option<File>,
    limits: Defects,
}

impl Embedded {
    pub(super) fn reset(&mut self) {
        if let Some(finder) = &mut self.finder {
            finder.reset();
        }
        self.wanted = false;
        self.file = None;
        self.limits = Defects::EMPTY;
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
                let names = vec![String::from_utf8_lossy(name).into_owned()];
                let head = Head { names, ..Head::default() };
                let (around, limits) = (self.around, &mut self.limits);
                self.file = File::begin(part, Origin::Guessed, &head, around, limits, shared, sink);
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
