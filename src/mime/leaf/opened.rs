//! Archives, opened while their octets pass: each entry is a part of its own.
//!
//! Entries run the same steps as any part, so archives within archives open too. All archives of one
//! message share one budget, which is lent to the archive while it calls back and taken along by the
//! entry's own content.

use super::content::Content;
use super::file::Around;
use super::{Declared, Raw};
use crate::mime::archive::{self, Archive, ArchiveEvent, Entry};
use crate::mime::content_type::Head;
use crate::mime::defect::{Defect, Limit};
use crate::mime::kind::Kind;
use crate::mime::walker::Shared;
use crate::mime::{Event, Origin, PartId, Reading, Sink};

/// An archive, and the entry that is being read.
#[derive(Debug)]
pub(super) struct Opened {
    archive: Archive,
    entries: Entries,
}

/// Where the entries of an archive go.
#[derive(Debug)]
struct Entries {
    /// The entry that is being read.
    current: Option<PartId>,
    content: Box<Content>,
    head: Head,
    /// What the archive is, better known with each entry's name.
    kind: Kind,
    /// Entries beyond the number of parts.
    beyond: Option<Box<Raw>>,
    /// Which reading of its part the archive is.
    reading: Reading,
    /// What lies around an entry.
    around: Around,
}

impl Opened {
    /// `found` is the kind by the first octets, `kind` what it is opened as.
    pub(super) fn new(found: Kind, kind: Kind, reading: Reading, around: Around, shared: &Shared) -> Self {
        let entries = Entries {
            current: None,
            content: Box::default(),
            head: Head::default(),
            kind: found,
            beyond: None,
            reading,
            around: around.and_archive(),
        };
        Self { archive: Archive::new(kind, around.archives, shared.bounds.archive), entries }
    }

    pub(super) fn push(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let Self { archive, entries } = self;
        let (mut budget, mut room) = (shared.archives, shared.buffers.octets());
        archive.lend(&mut room);
        archive.push(octets, &mut budget, &mut |budget, event| {
            shared.archives = *budget;
            entries.on(event, part, shared, sink);
            *budget = shared.archives;
        });
        shared.archives = budget;
        archive.lend(&mut room);
        shared.buffers.put_octets(room);
    }

    pub(super) fn finish(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let Self { archive, entries } = self;
        let mut budget = shared.archives;
        archive.finish(&mut budget, &mut |budget, event| {
            shared.archives = *budget;
            entries.on(event, part, shared, sink);
            *budget = shared.archives;
        });
        shared.archives = budget;
        if let Some(mut beyond) = entries.beyond.take() {
            beyond.finish(part, shared, sink);
        }
    }
}

impl Entries {
    /// What an archive shows becomes events of parts: pairs of `Begin` and `End` around each entry.
    fn on(&mut self, event: ArchiveEvent<'_>, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        match event {
            ArchiveEvent::Entry(entry) => self.begin(entry, part, shared, sink),
            ArchiveEvent::Data(octets) => match (self.current, &mut self.beyond) {
                (Some(entry), _) => self.content.push(octets, entry, shared, sink),
                (None, Some(beyond)) => beyond.push(octets, part, shared, sink),
                (None, None) => {}
            },
            ArchiveEvent::EndEntry { .. } => self.end(shared, sink),
            ArchiveEvent::Alias(name) => self.alias(name, part, shared, sink),
            ArchiveEvent::Encrypted => sink.on(Event::Defect { part, defect: Defect::Encrypted }),
            // A second reading need not be well formed, and that it is there was told.
            ArchiveEvent::Defect(_) if self.reading != Reading::Strict => {}
            ArchiveEvent::Defect(defect) => {
                let part = self.current.unwrap_or(part);
                sink.on(Event::Defect { part, defect: Defect::Archive(defect) });
            }
            ArchiveEvent::Limit(limit) => {
                sink.on(Event::Defect { part, defect: Defect::Limit(limit.into()) });
            }
        }
    }

    /// Names tell more of what the archive itself is: a zip with a certain folder is a document.
    fn begin(&mut self, entry: Entry<'_>, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let better = self.kind.after_entry(entry.name);
        if better != self.kind {
            self.kind = better;
            if self.reading == Reading::Strict {
                sink.on(Event::Kind { part, kind: better });
            }
        }
        self.current = self.announce(entry.name, part, shared, sink, |head| {
            head.encrypted = entry.encrypted;
            head.size_declared = entry.size_declared;
            head.media_type.push_str(if entry.directory { "inode/directory" } else { "" });
        });
        let declared = Declared { name: Some(entry.name), ..Declared::NOTHING };
        self.content.begin(Reading::Strict, declared, self.around);
        self.content.alone = true;
        self.content.encoded = true;
    }

    /// A part of its own for an entry, unless there are too many.
    fn announce(
        &mut self,
        name: &str,
        part: PartId,
        shared: &mut Shared,
        sink: &mut dyn Sink,
        describe: impl FnOnce(&mut Head),
    ) -> Option<PartId> {
        let Some(entry) = shared.part() else {
            if self.beyond.is_none() {
                sink.on(Event::Defect { part, defect: Defect::Limit(Limit::Parts) });
                self.beyond = Some(Box::new(Raw::new(true, self.around.archives)));
            }
            return None;
        };
        sink.on(Event::Begin { part: entry, parent: part, origin: Origin::Archive });
        self.head.clear();
        self.head.names.push(name.to_owned());
        describe(&mut self.head);
        sink.on(Event::Head { part: entry, head: &self.head });
        Some(entry)
    }

    /// The entry is over; if it was one too many it never was a part.
    fn end(&mut self, shared: &mut Shared, sink: &mut dyn Sink) {
        let Some(entry) = self.current.take() else {
            return;
        };
        self.content.end(entry, shared, sink);
    }

    /// Another name of an entry, perhaps a hidden one: told as an entry without content.
    fn alias(&mut self, name: &str, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        if let Some(entry) = self.announce(name, part, shared, sink, |_| {}) {
            sink.on(Event::End { part: entry, octets: 0 });
        }
    }
}

impl From<archive::Limit> for Limit {
    fn from(limit: archive::Limit) -> Self {
        match limit {
            archive::Limit::Depth => Self::ArchiveDepth,
            archive::Limit::Entries => Self::ArchiveEntries,
            archive::Limit::Expansion => Self::Expansion,
            archive::Limit::Name => Self::ArchiveName,
            archive::Limit::Ratio => Self::ArchiveRatio,
        }
    }
}
