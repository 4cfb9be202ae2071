//! Decoded octets of a part or an archive's entry: kind, then text, message or archive.
//!
//! What the octets truly are decides, beside what they are declared as: text is read where either
//! says so, an archive is opened where its first octets or its name say so.

use super::file::{Around, Embedded};
use super::opened::Opened;
use super::signed::{self, Signed, Wrapping};
use super::text::{Manner, Text};
use super::{BLOCK_BYTES, Declared, Raw};
use crate::mime::content_type;
use crate::mime::defect::{Defect, Defects, Limit};
use crate::mime::kind::{Kind, Sniffer};
use crate::mime::raw_view::RawView;
use crate::mime::walker::{self, MESSAGES_MAX, Message, Shared};
use crate::mime::{Event, Origin, PartId, Reading, Sink, archive};

/// Octets after the transfer decoding, and all that reads them.
///
/// The first KiB is kept until the kind is known, for it decides who reads: text, a message, an
/// archive, or several of them where that can be argued.
#[derive(Debug, Default)]
pub(crate) struct Content {
    reading: Option<Reading>,
    declared: Kept,
    sniffer: Sniffer,
    text: Option<Box<Text>>,
    message: Option<Box<Message>>,
    opened: Option<Box<Opened>>,
    signed: Option<Box<Signed>>,
    /// It says of itself what its header section does not.
    raw: Option<Box<Raw>>,
    /// What was wrong with it, but for what was told while it passed.
    pub(crate) defects: Defects,
    pub(crate) octets: u64,
    /// No other view of the part is at work.
    pub(crate) alone: bool,
    /// It was written in a transfer encoding.
    pub(crate) encoded: bool,
    /// It should be an entity of MIME, and is read as one if it begins with a field.
    pub(super) is_entity: bool,
    embedded: Embedded,
    /// Octets for several readers, until there is a block of them.
    block: Vec<u8>,
    around: Around,
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
    /// Begins other content in the same buffers.
    pub(crate) fn begin(&mut self, reading: Reading, declared: Declared<'_>, around: Around) {
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
        (self.text, self.message, self.opened) = (None, None, None);
        (self.signed, self.raw) = (None, None);
        self.embedded.reset();
        self.block.clear();
        self.encoded = false;
        self.is_entity = false;
        self.defects = Defects::EMPTY;
        self.octets = 0;
        self.around = around;
    }

    fn reading(&self) -> Reading {
        self.reading.unwrap_or(Reading::Strict)
    }

    /// Takes the next octets. The sniffer says where in them something became known, so that what is
    /// told of the kind has its place in the content and not in the chunk.
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

    /// The content is over: what was too short to be known is known now, and all readers end.
    pub(crate) fn finish(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let begun = self.sniffer.kind().is_some();
        if let Some(kind) = self.sniffer.finish() {
            self.known(kind, begun, part, shared, sink);
        }
        if self.sniffer.is_encrypted() {
            self.defects.insert(Defect::Encrypted);
        }
        let reading = self.reading();
        let block = std::mem::take(&mut self.block);
        self.read_block(&block, part, shared, sink);
        self.block = block;
        self.block.clear();
        if let Some(mut text) = self.text.take() {
            self.defects.insert_all(text.finish(part, reading, shared, sink));
        }
        self.embedded.finish(part, shared, sink);
        if let Some(mut message) = self.message.take() {
            message.finish(shared, sink);
            shared.open.messages = shared.open.messages.saturating_sub(1);
        }
        if let Some(mut opened) = self.opened.take() {
            opened.finish(part, shared, sink);
            shared.open.archives = shared.open.archives.saturating_sub(1);
        }
        if let Some(mut signed) = self.signed.take() {
            self.defects.insert_all(signed.finish(shared, sink).into_iter().collect());
        }
        if let Some(mut raw) = self.raw.take() {
            raw.finish(part, shared, sink);
        }
    }

    /// What it is by its octets, if there were enough.
    pub(crate) const fn kind(&self) -> Option<Kind> {
        self.sniffer.kind()
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
        // What another reading takes the part for is told at its end, if it matters.
        if self.reading() == Reading::Strict {
            sink.on(Event::Kind { part, kind });
        }
        if begun {
            return;
        }
        if let Some(defect) = self.undeclared(kind) {
            sink.on(Event::Defect { part, defect });
            self.raw = Some(Box::new(Raw::new(false, self.around.archives)));
        }
        if !self.begin_message(kind, part, shared, sink) {
            self.begin_archive(kind, part, shared, sink);
            self.begin_signed();
            self.begin_text(kind);
        }
        let sniffer = std::mem::take(&mut self.sniffer);
        self.read(sniffer.head(), part, shared, sink);
        self.sniffer = sniffer;
    }

    /// Octets whose kind is known. Where several read them, all are given the same blocks, so that
    /// what they tell has one order wherever the input was cut.
    fn read(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        if self.readers() < 2 {
            return self.read_block(octets, part, shared, sink);
        }
        let mut block = std::mem::take(&mut self.block);
        let mut rest = octets;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(BLOCK_BYTES - block.len()));
            block.extend_from_slice(piece);
            rest = after;
            if block.len() == BLOCK_BYTES {
                self.read_block(&block, part, shared, sink);
                block.clear();
            }
        }
        self.block = block;
    }

    /// How many tell more than octets and text.
    fn readers(&self) -> usize {
        let readers = [
            self.text.as_ref().is_some_and(|text| text.has_links()),
            self.embedded.wanted,
            self.message.is_some(),
            self.opened.is_some(),
            self.signed.is_some(),
            self.raw.is_some(),
        ];
        readers.into_iter().filter(|reads| *reads).count()
    }

    /// The order of readers is the order of what they tell of one block.
    fn read_block(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let reading = self.reading();
        if let Some(text) = &mut self.text {
            text.push(octets, part, reading, shared, sink);
        }
        self.defects.insert_all(self.embedded.push(octets, part, shared, sink));
        if let Some(message) = &mut self.message {
            message.push(octets, shared, sink);
        }
        if let Some(opened) = &mut self.opened {
            opened.push(octets, part, shared, sink);
        }
        if let Some(signed) = &mut self.signed {
            signed.push(octets, part, shared, sink);
        }
        if let Some(raw) = &mut self.raw {
            raw.push(octets, part, shared, sink);
        }
    }

    /// Text is what is declared as text, and what shows text whatever it is declared as: programs open
    /// attachments by their names.
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
        self.embedded.wanted = !html && self.reading() == Reading::Strict;
        self.embedded.around = self.around;
        let manner = Manner { html, undeclared_html, alone: self.alone };
        self.text = Some(Box::new(Text::new(label, manner, self.around)));
    }

    /// Signed data is opened where its first octets say so, or its type or name, if it is written in
    /// base64 once more.
    fn begin_signed(&mut self) {
        let Kept { media_type, name, .. } = &self.declared;
        let head = self.sniffer.head();
        let declared = media_type.ends_with("/pkcs7-mime")
            || media_type.ends_with("/x-pkcs7-mime")
            || name.get(name.len().saturating_sub(4)..).is_some_and(|end| end.eq_ignore_ascii_case(".p7m"));
        let armoured = declared && is_printable(head);
        match signed::wrapping(head) {
            Some(Wrapping::Encrypted) => _ = self.defects.insert(Defect::Encrypted),
            Some(Wrapping::Other) => {
                self.defects.insert(Defect::Archive(archive::Defect::Unscannable));
            }
            None if !armoured => {}
            Some(Wrapping::Clear) | None => {
                self.signed = Some(Box::new(Signed::new(name, armoured, self.around)));
            }
        }
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

    /// A message that is encoded, that an attachment turns out to be, or that it is by its name: then
    /// only some programs open it as one. Whether it is nothing else.
    fn begin_message(&mut self, kind: Kind, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) -> bool {
        let media_type = self.declared.media_type.as_str();
        let printable = is_printable(self.sniffer.head());
        let declared = content_type::is_message(media_type);
        let found = kind == Kind::Email && !media_type.starts_with("text/") && printable;
        let named = || {
            printable && Kind::from_name(&self.declared.name).kind == Kind::Email
                || self.is_entity && begins_with_field(self.sniffer.head())
        };
        if !declared && !found && !named() {
            return false;
        }
        let deep = self.around.depth >= shared.bounds.depth;
        if deep || !walker::Opened::count(&mut shared.open.messages, MESSAGES_MAX) {
            sink.on(Event::Defect { part, defect: Defect::Limit(Limit::Depth) });
            self.raw = Some(Box::new(Raw::new(false, self.around.archives)));
            return false;
        }
        let mut message = Box::<Message>::default();
        let around = Around { depth: self.around.depth + 1, ..self.around };
        message.begin(part, Origin::Rfc822, around, shared, sink);
        self.message = Some(message);
        declared || found
    }

    /// An archive is what begins as one; a zip may also have anything before it, and be known by its
    /// name only.
    fn begin_archive(&mut self, found: Kind, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let named = || Kind::from_name(&self.declared.name).kind == Kind::Zip && !self.shows_text(found);
        let kind = match self.sniffer.archive() {
            Some(kind) => kind,
            None if named() => Kind::Zip,
            None => return,
        };
        let max = walker::archives_max(&shared.bounds.archive);
        if !walker::Opened::count(&mut shared.open.archives, max) {
            return sink.on(Event::Defect { part, defect: Defect::Limit(Limit::ArchiveDepth) });
        }
        let opened = Opened::new(found, kind, self.reading(), self.around, shared);
        self.opened = Some(Box::new(opened));
    }

    /// What the content says of itself that the header section does not, for those who look for
    /// structure everywhere: it begins as the parts of a multipart do, as a header section that came
    /// too late, or as if it were encoded.
    fn undeclared(&self, kind: Kind) -> Option<Defect> {
        let is_text = self.declared.media_type.starts_with("text/");
        if (is_text && !self.declared.untyped) || self.reading() != Reading::Strict || self.encoded {
            return None;
        }
        let is_field = |line: &[u8]| line.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"content-"));
        let head = self.sniffer.head();
        let lines = || head.trim_ascii_start().split(|byte| *byte == b'\n');
        let first = lines().next().unwrap_or_default();
        let is_part = |(line, next)| line == first && is_field(next);
        match () {
            () if is_field(first) => Some(Defect::HeaderInBody),
            () if first.starts_with(b"--") && lines().zip(lines().skip(1)).any(is_part) => {
                Some(Defect::MultipartUndeclared)
            }
            () if !is_text && looks_encoded(kind, head) => Some(Defect::EncodingUndeclared),
            () => None,
        }
    }
}

/// Whether there are lines that a decoder would take. Keys and certificates are such lines by right.
fn looks_encoded(kind: Kind, head: &[u8]) -> bool {
    if !matches!(kind, Kind::Text | Kind::Unknown) {
        return false;
    }
    let mut decoded = Vec::new();
    let mut view = RawView::new();
    view.push(head, &mut decoded);
    view.finish(&mut decoded);
    !decoded.is_empty()
}

/// Whether a header section may begin here.
fn begins_with_field(head: &[u8]) -> bool {
    let name = head.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    name > 0 && head.get(name) == Some(&b':')
}

/// Whether there is no control character but white space.
pub(super) fn is_printable(head: &[u8]) -> bool {
    head.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace())
}
