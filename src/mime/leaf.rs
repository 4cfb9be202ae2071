//! Leaf parts: transfer decoding, and what comes of the octets under every reading.
//!
//! A leaf whose header says one thing is read once. Where it says two, a second view decodes the
//! same lines the other way; a raw view decodes what looks encoded, whatever the header says. Each
//! view tells its events under its own [`Reading`].

mod content;
mod data_link;
mod file;
mod opened;
mod raw;
mod signed;
mod text;
mod thin;
mod uuencode;

use content::Content;
pub(crate) use file::Around;
pub(crate) use raw::Raw;
use thin::Thin;
pub use uuencode::LINE_BYTES_MAX as UUENCODE_LINE_BYTES_MAX;

use crate::mime::content_type::{Section, TransferEncoding};
use crate::mime::defect::{Defect, Defects};
use crate::mime::kind::Kind;
use crate::mime::walker::{Opened, SECOND_READINGS_MAX, Shared};
use crate::mime::{Event, PartId, Reading, Sink, base64, quoted_printable};

/// Octets decoded at a time: what bounds the buffers they are decoded into.
const PIECE_BYTES: usize = 32 * 1024;
/// Octets that two views take in turns.
const BLOCK_BYTES: usize = 1024;

/// The leaf that is being read.
#[derive(Debug, Default)]
pub(crate) struct Leaf {
    part: PartId,
    strict: View,
    lenient: Option<Box<View>>,
    raw: Option<Box<Raw>>,
    /// Octets for two views: both are given the same blocks wherever the input was cut, so that what
    /// one tells comes before or after what the other tells, and never either.
    block: Vec<u8>,
    /// Nothing but the raw view looks at it.
    only_raw: bool,
    octets: u64,
}

/// What decides how content is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared<'a> {
    pub(crate) media_type: &'a str,
    pub(crate) charset: Option<&'a str>,
    /// The file name.
    pub(crate) name: Option<&'a str>,
    /// Nobody said what type it is.
    pub(crate) untyped: bool,
}

impl Declared<'_> {
    pub(crate) const NOTHING: Self = Self { media_type: "", charset: None, name: None, untyped: false };

    /// Whether it is lines of text, or of fields and text.
    fn is_lines(&self) -> bool {
        ["text/", "message/"].iter().any(|top| self.media_type.starts_with(top))
    }
}

impl Leaf {
    /// Begins a leaf with the header section that was read; false if there is no room for its second
    /// reading.
    pub(crate) fn begin(
        &mut self,
        part: PartId,
        section: &Section,
        around: Around,
        shared: &mut Shared,
    ) -> bool {
        self.part = part;
        self.only_raw = false;
        self.octets = 0;
        let head = &section.head;
        let declared = Declared {
            media_type: &head.media_type,
            charset: head.charset(),
            name: head.name(),
            untyped: section.is_untyped(),
        };
        let other_charset = Some(section.other_charset.as_str()).filter(|it| !it.is_empty());
        let other_type = Some(section.other_type.as_str()).filter(|it| !it.is_empty());
        // Decoders differ most about quoted-printable, and files are rarely sent in it.
        let quoted_file = head.encoding == TransferEncoding::QuotedPrintable && !declared.is_lines();
        let ambiguous = section.other_encoding.is_some()
            || other_charset.is_some()
            || other_type.is_some()
            || quoted_file;
        let two = ambiguous && Opened::count(&mut shared.open.second_readings, SECOND_READINGS_MAX);
        // The strict view takes what was said first, the lenient one what was said otherwise.
        self.strict.begin(Reading::Strict, head.encoding, declared, around);
        self.strict.content.alone = !two;
        if two {
            let declared = Declared {
                media_type: other_type.unwrap_or(declared.media_type),
                charset: other_charset.or(declared.charset),
                ..declared
            };
            let encoding = section.other_encoding.unwrap_or(head.encoding);
            let lenient = self.lenient.get_or_insert_default();
            lenient.begin(Reading::Lenient, encoding, declared, around);
            let thin = quoted_file && section.other_encoding.is_none();
            lenient.thin = thin.then(Thin::default);
            lenient.content.alone = false;
        }
        two == ambiguous
    }

    /// Begins a leaf that is only read raw; its lines alone, if what they may decode to is told
    /// elsewhere.
    pub(crate) fn begin_raw(&mut self, part: PartId, only_lines: bool, archives: usize) {
        self.part = part;
        self.only_raw = true;
        self.octets = 0;
        self.raw = Some(Box::new(Raw::new(only_lines, archives)));
    }

    /// Takes the next octets of the body, as they stand in the message.
    pub(crate) fn push(&mut self, octets: &[u8], shared: &mut Shared, sink: &mut dyn Sink) {
        if let Some(raw) = &mut self.raw {
            raw.push(octets, self.part, shared, sink);
        }
        if self.only_raw {
            self.octets += octets.len() as u64;
            return;
        }
        if self.lenient.is_some() {
            return self.push_both(octets, shared, sink);
        }
        for piece in octets.chunks(PIECE_BYTES) {
            self.strict.push(piece, self.part, shared, sink);
        }
    }

    /// Two views take turns; only what is ambiguous pays for the copy.
    fn push_both(&mut self, octets: &[u8], shared: &mut Shared, sink: &mut dyn Sink) {
        let mut rest = octets;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(piece);
            rest = after;
            if self.block.len() == BLOCK_BYTES {
                self.flush_block(shared, sink);
            }
        }
    }

    fn flush_block(&mut self, shared: &mut Shared, sink: &mut dyn Sink) {
        self.strict.push(&self.block, self.part, shared, sink);
        if let Some(lenient) = &mut self.lenient {
            lenient.push(&self.block, self.part, shared, sink);
        }
        self.block.clear();
    }

    /// Ends the leaf: how many octets its strict reading had.
    pub(crate) fn finish(&mut self, shared: &mut Shared, sink: &mut dyn Sink) -> u64 {
        if let Some(mut raw) = self.raw.take() {
            raw.finish(self.part, shared, sink);
        }
        if self.only_raw {
            return self.octets;
        }
        self.flush_block(shared, sink);
        let mut defects = self.strict.finish(self.part, shared, sink);
        if let Some(mut lenient) = self.lenient.take() {
            lenient.finish(self.part, shared, sink);
            shared.open.second_readings = shared.open.second_readings.saturating_sub(1);
            let kind = lenient.content.kind().filter(|kind| !is_shapeless(*kind));
            if let Some(kind) = kind.filter(|_| self.strict.content.kind().is_none_or(is_shapeless)) {
                sink.on(Event::Kind { part: self.part, kind });
            }
        }
        defects.insert_all(self.strict.content.defects);
        for defect in defects.iter() {
            sink.on(Event::Defect { part: self.part, defect });
        }
        self.strict.content.octets
    }

    /// Forgets a leaf that was not finished.
    pub(crate) fn reset(&mut self) {
        self.lenient = None;
        self.raw = None;
        self.block.clear();
    }
}

/// What says little of what a part is: lines that were not decoded are text.
const fn is_shapeless(kind: Kind) -> bool {
    matches!(kind, Kind::Unknown | Kind::Text | Kind::Empty)
}

/// One reading of the leaf's lines: a transfer decoder, and what comes of its octets.
#[derive(Debug, Default)]
struct View {
    transfer: Transfer,
    /// Line ends are LF: quoted-printable binary has them only if its encoder took LF octets for line
    /// ends (RFC 2045 §6.7 rule 4 asks to write them out).
    bare_lines: bool,
    /// What no encoder writes is left out.
    thin: Option<Thin>,
    content: Content,
}

/// The decoder of a transfer encoding.
#[derive(Debug, Default)]
enum Transfer {
    #[default]
    Identity,
    Base64(base64::Decoder),
    QuotedPrintable(quoted_printable::Decoder),
    Uuencode(uuencode::Decoder),
}

impl View {
    fn begin(
        &mut self,
        reading: Reading,
        encoding: TransferEncoding,
        declared: Declared<'_>,
        around: Around,
    ) {
        self.transfer = match encoding {
            TransferEncoding::Identity => Transfer::Identity,
            TransferEncoding::Base64 => Transfer::Base64(base64::Decoder::new(base64::Padding::Concatenate)),
            TransferEncoding::QuotedPrintable => Transfer::QuotedPrintable(quoted_printable::Decoder::new()),
            TransferEncoding::Uuencode => Transfer::Uuencode(uuencode::Decoder::default()),
        };
        self.thin = None;
        self.bare_lines = encoding == TransferEncoding::QuotedPrintable && !declared.is_lines();
        self.content.begin(reading, declared, around);
        self.content.encoded = encoding != TransferEncoding::Identity;
    }

    fn push(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        if !self.bare_lines {
            return self.decode(octets, part, shared, sink);
        }
        let mut lines = shared.buffers.octets();
        match &mut self.thin {
            Some(thin) => thin.push(octets, &mut lines),
            None => lines.extend(octets.iter().copied().filter(|byte| *byte != b'\r')),
        }
        self.decode(&lines, part, shared, sink);
        shared.buffers.put_octets(lines);
    }

    fn decode(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        if matches!(self.transfer, Transfer::Identity) {
            return self.content.push(octets, part, shared, sink);
        }
        let mut decoded = shared.buffers.octets();
        match &mut self.transfer {
            Transfer::Identity => {}
            Transfer::Base64(decoder) => decoder.push(octets, &mut decoded),
            Transfer::QuotedPrintable(decoder) => decoder.push(octets, &mut decoded),
            Transfer::Uuencode(decoder) => decoder.push(octets, &mut decoded),
        }
        self.content.push(&decoded, part, shared, sink);
        shared.buffers.put_octets(decoded);
    }

    fn finish(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) -> Defects {
        let mut decoded = shared.buffers.octets();
        let defects = match &mut self.transfer {
            Transfer::Identity => Defects::EMPTY,
            Transfer::Base64(decoder) => {
                decoder.finish(&mut decoded);
                of_base64(decoder.defects())
            }
            Transfer::QuotedPrintable(decoder) => {
                decoder.finish(&mut decoded);
                of_quoted_printable(decoder.defects(), self.bare_lines)
            }
            Transfer::Uuencode(decoder) => {
                decoder.finish(&mut decoded);
                Defects::EMPTY
            }
        };
        self.content.push(&decoded, part, shared, sink);
        shared.buffers.put_octets(decoded);
        self.content.finish(part, shared, sink);
        defects
    }
}

fn of_base64(found: base64::Defects) -> Defects {
    chosen([
        (found.junk, Defect::Base64Junk),
        (found.text_after_padding, Defect::Base64TextAfter),
        (found.concatenated, Defect::Base64Concatenated),
        (found.padding_misplaced, Defect::Base64PaddingMisplaced),
        (found.padding_missing, Defect::Base64PaddingMissing),
        (found.truncated, Defect::Base64Truncated),
        (found.non_canonical, Defect::Base64NonCanonical),
        (found.url_safe, Defect::Base64UrlSafe),
    ])
}

fn of_quoted_printable(found: quoted_printable::Defects, is_file: bool) -> Defects {
    chosen([
        (found.broken_escape && !is_file, Defect::QuotedBroken),
        (found.broken_escape && is_file, Defect::QuotedBrokenFile),
        (found.split_escape, Defect::QuotedEscapeSplit),
        (found.unended, Defect::QuotedUnended),
        (found.long_line, Defect::QuotedLongLine),
        (found.much_white_space, Defect::QuotedWhiteSpace),
    ])
}

fn chosen<const COUNT: usize>(found: [(bool, Defect); COUNT]) -> Defects {
    found.into_iter().filter(|(there, _)| *there).map(|(_, defect)| defect).collect()
}
