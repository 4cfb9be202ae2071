//! Decoded octets of a part or an archive's entry: kind, then text, message or archive.
//!
//! What the octets truly are decides, beside what they are declared as: text is read where either
//! says so, an archive is opened where its first octets or its name say so.

use super::text::{Manner, Text};
use super::{Declared, Raw};
use crate::mime::archive::{self, Archive, ArchiveEvent, Entry};
use crate::mime::content_type::{self, Head};
use crate::mime::defect::{Defect, Defects, Limit};
use crate::mime::kind::{Kind, Sniffer};
use crate::mime::walker::{Message, Shared};
use crate::mime::{Event, Origin, PartId, Reading, Sink};

#[derive(Debug, Default)]
pub(crate) struct Content {
    reading: Option<Reading>,
    declared: Kept,
    sniffer: Sniffer,
    text: Option<Box<Text>>,
    message: Option<Box<Message>>,
    opened: Option<Box<Opened>>,
    raw: Option<Box<Raw>>,
    /// What was wrong with it, but for what was told while it passed.
    pub(crate) defects: Defects,
    pub(crate) octets: u64,
    /// No other view of the part is at work.
    pub(crate) alone: bool,
    /// Messages, multiparts and archives around it.
    depth: usize,
    /// Archives around it.
    archives: usize,
}

/// What is kept of [`Declared`].
#[derive(Debug, Default)]
struct Kept {
    media_type: String,
    charset: String,
    name: String,
    untyped: bool,
}

impl Content {
    pub(crate) fn begin(&mut self, reading: Reading, declared: Declared<'_>, depth: usize) {
        self.reading = Some(reading);
        let kept = &mut self.declared;
        for (to, from) in [
            (&mut kept.media_type, Some(declared.media_type)),
            (&mut kept.charset, declared.charset),
            (&mut kept.name, declared.name),
        ] {
            to.clear();
            to.push_str(from.unwrap_or_default());
        }
        kept.untyped = declared.untyped;
        self.sniffer.reset();
        (self.text, self.message, self.opened, self.raw) = (None, None, None, None);
        self.defects = Defects::EMPTY;
        self.octets = 0;
        self.depth = depth;
        self.archives = 0;
    }

    fn reading(&self) -> Reading {
        self.reading.unwrap_or(Reading::Strict)
    }

    pub(crate) fn push(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        if octets.is_empty() {
            return;
        }
        sink.on(Event::Data { part, reading: self.reading(), bytes: octets });
        self.octets += octets.len() as u64;
        let mut rest = octets;
        while !rest.is_empty() {
            let begun = self.sniffer.kind().is_some();
            let sniffed = self.sniffer.push(rest);
            let (taken, after) = rest.split_at(sniffed.taken.min(rest.len()));
            rest = after;
            if begun {
                self.read(taken, part, shared, sink);
            }
            if let Some(kind) = sniffed.kind {
                self.known(kind, begun, part, shared, sink);
            }
        }
    }

    pub(crate) fn finish(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let begun = self.sniffer.kind().is_some();
        if let Some(kind) = self.sniffer.finish() {
            self.known(kind, begun, part, shared, sink);
        }
        if self.sniffer.is_encrypted() {
            self.defects.insert(Defect::Encrypted);
        }
        let reading = self.reading();
        if let Some(mut text) = self.text.take() {
            self.defects.insert_all(text.finish(part, reading, sink));
        }
        if let Some(mut message) = self.message.take() {
            message.finish(shared, sink);
        }
        if let Some(mut opened) = self.opened.take() {
            opened.finish(part, shared, sink);
        }
        if let Some(mut raw) = self.raw.take() {
            raw.finish(part, shared, sink);
        }
    }

    /// Ends a part that is nothing but this content.
    pub(crate) fn end(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        self.finish(part, shared, sink);
        for defect in self.defects.iter() {
            sink.on(Event::Defect { part, defect });
        }
        sink.on(Event::End { part, octets: self.octets });
    }

    /// The kind has become known: decides who reads, and gives them what has passed already.
    fn known(&mut self, kind: Kind, begun: bool, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        sink.on(Event::Kind { part, kind });
        if begun {
            return;
        }
        if let Some(defect) = self.undeclared(self.sniffer.head()) {
            sink.on(Event::Defect { part, defect });
            self.raw = Some(Box::new(Raw::new(false)));
        }
        self.begin_message(kind, part, shared, sink);
        if self.message.is_none() {
            self.begin_archive(kind, shared);
            self.begin_text(kind);
        }
        let sniffer = std::mem::take(&mut self.sniffer);
        self.read(sniffer.head(), part, shared, sink);
        self.sniffer = sniffer;
    }

    /// Octets whose kind is known.
    fn read(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let reading = self.reading();
        if let Some(text) = &mut self.text {
            text.push(octets, part, reading, sink);
        }
        if let Some(message) = &mut self.message {
            message.push(octets, shared, sink);
        }
        if let Some(opened) = &mut self.opened {
            opened.push(octets, part, shared, sink);
        }
        if let Some(raw) = &mut self.raw {
            raw.push(octets, part, shared, sink);
        }
    }

    fn begin_text(&mut self, kind: Kind) {
        let media_type = self.declared.media_type.as_str();
        let declared_html = matches!(media_type, "text/html" | "application/xhtml+xml");
        let declared = media_type.starts_with("text/") || declared_html;
        if !declared && !self.shows_text(kind) {
            return;
        }
        let marked_up = matches!(kind, Kind::Html | Kind::Svg | Kind::Xml);
        let html = declared_html || (!declared && marked_up);
        let undeclared_html = declared && !declared_html && kind == Kind::Html;
        let label = Some(self.declared.charset.as_str()).filter(|label| !label.is_empty());
        let links = self.opened.is_none() && self.raw.is_none();
        let manner = Manner { html, undeclared_html, alone: self.alone, links };
        self.text = Some(Box::new(Text::new(label, manner)));
    }

    /// Whether content of this kind is text, whatever it is declared as.
    fn shows_text(&self, kind: Kind) -> bool {
        match kind {
            Kind::Text | Kind::Script | Kind::Html | Kind::Xml | Kind::Svg => true,
            // These are text or not.
            Kind::Shortcut
            | Kind::Rtf
            | Kind::Email
            | Kind::Calendar
            | Kind::Contact
            | Kind::Certificate
            | Kind::Pgp => is_printable(self.sniffer.head()),
            _ => false,
        }
    }

    /// A message that is encoded, or that an attachment turns out to be.
    fn begin_message(&mut self, kind: Kind, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let media_type = self.declared.media_type.as_str();
        let declared = content_type::is_message(media_type);
        let found =
            kind == Kind::Email && !media_type.starts_with("text/") && is_printable(self.sniffer.head());
        if !declared && !found {
            return;
        }
        if self.depth >= shared.bounds.depth {
            sink.on(Event::Defect { part, defect: Defect::Limit(Limit::Depth) });
            self.raw = Some(Box::new(Raw::new(false)));
            return;
        }
        let mut message = Box::<Message>::default();
        message.begin(part, Origin::Rfc822, self.depth + 1, shared, sink);
        self.message = Some(message);
    }

    fn begin_archive(&mut self, found: Kind, shared: &Shared) {
        let named = || Kind::from_name(&self.declared.name).kind == Kind::Zip && !self.shows_text(found);
        let kind = match self.sniffer.archive() {
            Some(kind) => kind,
            None if named() => Kind::Zip,
            None => return,
        };
        let entries = Entries {
            current: None,
            content: Box::default(),
            head: Head::default(),
            kind: found,
            beyond: None,
            reading: self.reading(),
            depth: self.depth + 1,
            archives: self.archives + 1,
        };
        let archive = Archive::new(kind, self.archives, shared.bounds.archive);
        self.opened = Some(Box::new(Opened { archive, entries }));
    }

    /// What a body of no declared type says of itself, for those who look for structure everywhere:
    /// it begins as the parts of a multipart do, or as a header section that came too late.
    fn undeclared(&self, head: &[u8]) -> Option<Defect> {
        let is_field = |line: &[u8]| line.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"content-"));
        let mut lines = head.trim_ascii_start().split(|byte| *byte == b'\n');
        let (first, second) = (lines.next()?, lines.next()?);
        match () {
            () if !self.declared.untyped => None,
            () if first.starts_with(b"--") && is_field(second) => Some(Defect::MultipartUndeclared),
            () if is_field(first) => Some(Defect::HeaderInBody),
            () => None,
        }
    }
}

/// Whether there is no control character but white space.
fn is_printable(head: &[u8]) -> bool {
    head.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace())
}

/// An archive, and the entry that is being read.
#[derive(Debug)]
struct Opened {
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
    reading: Reading,
    depth: usize,
    archives: usize,
}

impl Opened {
    fn push(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let Self { archive, entries } = self;
        let mut budget = shared.archives;
        archive.push(octets, &mut budget, &mut |budget, event| {
            shared.archives = *budget;
            entries.on(event, part, shared, sink);
            *budget = shared.archives;
        });
        shared.archives = budget;
    }

    fn finish(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
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
            ArchiveEvent::Defect(defect) => {
                let part = self.current.unwrap_or(part);
                sink.on(Event::Defect { part, defect: Defect::Archive(defect) });
            }
            ArchiveEvent::Limit(limit) => {
                sink.on(Event::Defect { part, defect: Defect::Limit(limit.into()) });
            }
        }
    }

    fn begin(&mut self, entry: Entry<'_>, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let better = self.kind.after_entry(entry.name);
        if better != self.kind {
            self.kind = better;
            sink.on(Event::Kind { part, kind: better });
        }
        self.current = self.announce(entry.name, part, shared, sink, |head| {
            head.encrypted = entry.encrypted;
            head.size_declared = entry.size_declared;
            head.media_type.push_str(if entry.directory { "inode/directory" } else { "" });
        });
        let declared = Declared { name: Some(entry.name), ..Declared::NOTHING };
        self.content.begin(self.reading, declared, self.depth);
        self.content.alone = self.reading == Reading::Strict;
        self.content.archives = self.archives;
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
                self.beyond = Some(Box::new(Raw::new(true)));
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
