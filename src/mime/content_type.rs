//! Fields of structure: what a header section says about its body.
//!
//! RFC 2045 §5 (Content-Type) and §6 (Content-Transfer-Encoding), RFC 2183 (Content-Disposition).
//!
//! Where a section says two things, the first is taken as the strict reading, the other is kept as
//! the lenient one, and a defect tells of both. Nothing that a client may take for a boundary, a
//! file name or an encoding is dropped.

mod encoding;
mod gather;
mod parameter;

pub use gather::{PARAMETER_BYTES_MAX, PARAMETERS_MAX, READINGS_MAX};

use gather::{Gatherer, Key, Readings};
use parameter::{Flaws, Manner, Reader};

use crate::mime::defect::{Defect, Defects, Limit};
use crate::mime::encoded_word;
use crate::mime::header::Structure;

/// How often one header section is asked what its boundary is before it is over.
const LOOKS_MAX: u8 = 16;

/// How a body is written into lines (RFC 2045 §6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferEncoding {
    /// 7bit, 8bit, binary, or nothing said.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
    /// `x-uuencode`: older than MIME, and still read.
    Uuencode,
}

impl TransferEncoding {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Base64 => "base64",
            Self::QuotedPrintable => "quoted-printable",
            Self::Uuencode => "uuencode",
        }
    }
}

/// What a header section says about its body, or an archive about an entry.
///
/// Kept and refilled from part to part: an empty string is what was not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// `type/subtype` in lower case; the default type where none is given (RFC 2045 §5.2).
    pub media_type: String,
    /// In lower case.
    pub charset: String,
    pub encoding: TransferEncoding,
    /// `attachment`, `inline` or what else is given, in lower case.
    pub disposition: String,
    /// Every file name that a client might show, decoded; the most likely first.
    pub names: Vec<String>,
    pub boundary: Vec<u8>,
    /// The archive entry can only be read with a password.
    pub encrypted: bool,
    /// What an archive says the entry's size is.
    pub size_declared: Option<u64>,
}

impl Head {
    /// The file name a client most likely shows.
    pub fn name(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    pub fn charset(&self) -> Option<&str> {
        Some(self.charset.as_str()).filter(|charset| !charset.is_empty())
    }

    /// Forgets everything but the buffers.
    pub(crate) fn clear(&mut self) {
        self.media_type.clear();
        self.charset.clear();
        self.encoding = TransferEncoding::Identity;
        self.disposition.clear();
        self.names.clear();
        self.boundary.clear();
        self.encrypted = false;
        self.size_declared = None;
    }
}

/// What a body is to the walker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Leaf,
    /// A leaf that turns into a multipart where a delimiter is seen, for some read it so.
    Armed,
    Multipart,
    Message,
}

/// Gathers the fields of structure of one header section.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) head: Head,
    pub(crate) boundaries: Readings,
    pub(crate) defects: Defects,
    /// The lenient readings, where there are two.
    pub(crate) other_type: String,
    pub(crate) other_charset: String,
    pub(crate) other_encoding: Option<TransferEncoding>,
    /// The field said nothing that is known; only raw decoding can tell what it is.
    pub(crate) encoding_unknown: bool,
    /// Boundaries that were said so far, for lines within the section.
    expected: Readings,
    /// More was said since.
    stale: bool,
    /// How often that may still be settled: every other line could ask for it.
    looks_left: u8,
    digest: bool,
    said: Said,
    gatherer: Gatherer,
    charsets: Readings,
    names: Readings,
    /// A value without its comments.
    plain: Vec<u8>,
    word: String,
}

/// Which fields have been seen, and what they made of it.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    media_type: bool,
    encoding: bool,
    disposition: bool,
    /// A type that some may take for a multipart.
    multipart: bool,
}

impl Section {
    /// A new section; in a digest the default type is another one (RFC 2046 §5.1.5).
    pub(crate) fn reset(&mut self, in_digest: bool) {
        self.head.clear();
        self.boundaries.clear();
        self.charsets.clear();
        self.names.clear();
        self.gatherer.reset();
        self.other_type.clear();
        self.other_charset.clear();
        self.other_encoding = None;
        self.encoding_unknown = false;
        self.defects = Defects::EMPTY;
        self.said = Said::default();
        self.digest = in_digest;
        self.expected.clear();
        self.stale = false;
        self.looks_left = LOOKS_MAX;
    }

    /// Takes a field of structure: `value` is unfolded.
    pub(crate) fn field(&mut self, structure: Structure, value: &[u8]) {
        self.stale = true;
        match structure {
            Structure::Type => self.media_type(value),
            Structure::Disposition => self.disposition(value),
            Structure::Encoding => self.encoding(value),
        }
    }

    /// Content-Type. Two of them are two readings; what is no type at all may still be meant as one.
    fn media_type(&mut self, value: &[u8]) {
        let mut reader = Reader::new(value, Manner::STRICT);
        self.word.clear();
        let valid = media_type(&mut reader, &mut self.word);
        let disguised = !self.word.starts_with("multipart/") && self.names_multipart(value);
        self.said.multipart |= disguised;
        match (valid, disguised) {
            (_, true) => self.defect(Defect::TypeInvalidStructure),
            (false, false) => self.defect(Defect::TypeInvalid),
            (true, false) => {}
        }
        if !self.said.media_type {
            self.head.media_type.push_str(&self.word);
        } else if self.head.media_type == self.word {
            self.defect(Defect::StructureFieldRepeated);
        } else {
            self.defect(Defect::TypeConflict);
            self.other_type.clear();
            self.other_type.push_str(&self.word);
        }
        self.said.media_type = true;
        if valid {
            self.parameters(reader, value);
        } else {
            self.parameters(Reader::new(value, Manner::STRICT), value);
        }
    }

    /// Whether what stands before the parameters has `multipart` in it, however written.
    fn names_multipart(&mut self, value: &[u8]) -> bool {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        // The word has letters that common types lack; this spares most values the rest.
        if memchr::memchr3(b'u', b'U', b'?', &value[..end]).is_none() {
            return false;
        }
        let mut text = std::mem::take(&mut self.plain);
        text.clear();
        text.extend(value[..end].iter().filter(|byte| byte.is_ascii_alphabetic()));
        text.make_ascii_lowercase();
        let mut named = memchr::memmem::find(&text, b"multipart").is_some();
        self.plain = text;
        if encoded_word::suspected(value) {
            let mut decoded = String::new();
            encoded_word::Reader::default().decode(value, &mut decoded);
            named |= decoded.to_ascii_lowercase().contains("multipart");
        }
        named
    }

    /// Content-Disposition: mostly of interest for the name.
    fn disposition(&mut self, value: &[u8]) {
        let mut reader = Reader::new(value, Manner::STRICT);
        self.word.clear();
        let word = reader.word();
        if reader.sign(b'=') {
            // No disposition: what stands here is a parameter already.
            reader = Reader::new(value, Manner::STRICT);
        } else {
            push_lower(word, &mut self.word);
        }
        if !self.said.disposition {
            self.head.disposition.push_str(&self.word);
        } else if self.head.disposition == self.word {
            self.defect(Defect::StructureFieldRepeated);
        } else {
            self.defect(Defect::DispositionConflict);
        }
        self.said.disposition = true;
        self.parameters(reader, value);
    }

    /// Content-Transfer-Encoding. Of several the first is the strict reading, as most take it, and the
    /// first of the others that differs is the lenient one.
    fn encoding(&mut self, value: &[u8]) {
        let found = encoding::read(value);
        self.defects.insert_all(found.defects);
        self.encoding_unknown |= found.defects.contains(Defect::EncodingUnknown);
        let before = std::mem::replace(&mut self.said.encoding, true);
        if !before {
            self.head.encoding = found.encoding;
            self.other_encoding = found.other;
        } else if self.head.encoding == found.encoding && found.other.is_none() {
            self.defect(Defect::StructureFieldRepeated);
        } else {
            self.defect(Defect::EncodingConflict);
            let others = [Some(found.encoding), found.other, self.other_encoding];
            self.other_encoding = others
                .into_iter()
                .flatten()
                .find(|other| *other != self.head.encoding)
                .or(self.other_encoding);
        }
    }

    /// Reads parameters strictly, and in every other manner if these may differ: with comments where
    /// they stand, and without them, so that what stood around them is one word.
    fn parameters(&mut self, mut reader: Reader<'_>, value: &[u8]) {
        self.gatherer.take(&mut reader, 0);
        let flaws = reader.flaws;
        self.defects.insert_all(defects_of(flaws));
        if !flaws.ambiguous() {
            return;
        }
        let mut plain = std::mem::take(&mut self.plain);
        if flaws.comment {
            parameter::drop_comments(value, &mut plain);
        }
        let mut index = 0;
        for manner in Manner::OTHERS {
            for (text, wanted) in [(value, true), (plain.as_slice(), flaws.comment)] {
                index += 1;
                if wanted {
                    let mut reader = Reader::new(text, manner);
                    reader.skip_to_parameters();
                    self.gatherer.take(&mut reader, index);
                }
            }
        }
        self.plain = plain;
    }

    /// The section is over: settles what it says.
    pub(crate) fn close(&mut self) {
        if !self.said.media_type {
            self.head.media_type.push_str(if self.digest { "message/rfc822" } else { "text/plain" });
        }
        if !self.gatherer.is_empty() {
            self.gatherer.resolve(Key::Boundary, &mut self.boundaries);
            self.gatherer.resolve(Key::Charset, &mut self.charsets);
            self.gatherer.resolve(Key::Name, &mut self.names);
            if self.boundaries.overflowed() || self.charsets.overflowed() || self.names.overflowed() {
                self.defect(Defect::Limit(Limit::Parameters));
            }
            self.defects.insert_all(self.gatherer.defects);
            self.close_charset();
            self.close_names();
        }
        self.close_boundary();
        self.close_encoding();
    }

    /// Charsets are compared by what every reader makes of them: the letters up to the first odd one.
    fn close_charset(&mut self) {
        for reading in self.charsets.iter() {
            self.word.clear();
            let end = reading.iter().position(|byte| !is_charset_octet(*byte)).unwrap_or(reading.len());
            push_lower(&reading[..end], &mut self.word);
            if self.head.charset.is_empty() {
                self.head.charset.push_str(&self.word);
            } else if !self.word.is_empty() && self.word != self.head.charset {
                self.defects.insert(Defect::CharsetConflict);
                self.other_charset.clear();
                self.other_charset.push_str(&self.word);
            }
        }
    }

    /// Names that differ in more than their extension's case: which one a client shows decides what
    /// it opens the file with.
    fn close_names(&mut self) {
        for reading in self.names.iter().filter(|reading| !reading.trim_ascii().is_empty()) {
            let mut name = String::new();
            encoded_word::push_literal(reading, &mut name, &mut self.defects);
            if name.chars().any(char::is_control) {
                self.defects.insert(Defect::NameControl);
            }
            let same_kind = self.head.names.first().is_none_or(|first| extension(first) == extension(&name));
            if !same_kind {
                self.defects.insert(Defect::NameConflict);
            } else if !self.head.names.is_empty() {
                self.defects.insert(Defect::NameVariants);
            }
            self.head.names.push(name);
        }
    }

    /// What is wrong with a boundary matters only where somebody may look for it.
    fn close_boundary(&mut self) {
        let multipart = self.head.media_type.starts_with("multipart/");
        if let Some(first) = self.boundaries.iter().next() {
            self.head.boundary.extend_from_slice(first);
        } else if multipart {
            self.defects.insert(Defect::BoundaryMissing);
        }
        if !multipart && !self.said.multipart && !self.other_type.starts_with("multipart/") {
            return;
        }
        if self.boundaries.len() > 1 {
            self.defects.insert(Defect::BoundaryConflict);
        }
        if self.boundaries.iter().any(|boundary| boundary.trim_ascii().is_empty()) {
            self.defects.insert(Defect::BoundaryEmpty);
        }
        for boundary in self.boundaries.iter() {
            self.defects.insert_all(boundary_defects(boundary));
        }
        self.defects.insert_all(self.gatherer.boundary_defects);
    }

    fn close_encoding(&mut self) {
        if self.head.media_type == "message/partial" {
            self.defect(Defect::MessagePartial);
        }
        let encoded = self.head.encoding != TransferEncoding::Identity || self.other_encoding.is_some();
        match self.body() {
            Body::Multipart if encoded => self.defect(Defect::EncodingOnMultipart),
            Body::Message if encoded => self.defect(Defect::EncodingOnMessage),
            _ => {}
        }
    }

    /// Whether a line in the section may be the multipart's own first delimiter: `line` is what
    /// stands behind two hyphens.
    pub(crate) fn expects(&mut self, line: &[u8]) -> bool {
        if self.stale && self.looks_left > 0 {
            self.stale = false;
            self.looks_left -= 1;
            self.expected.clear();
            self.gatherer.resolve(Key::Boundary, &mut self.expected);
        }
        let line = line.trim_ascii_end();
        self.expected.iter().any(|boundary| {
            let behind = line.strip_prefix(boundary.trim_ascii_end());
            !boundary.trim_ascii().is_empty() && matches!(behind, Some(b"" | b"--"))
        })
    }

    /// What the body is to be taken for.
    pub(crate) fn body(&self) -> Body {
        let multipart = self.head.media_type.starts_with("multipart/");
        let agreed = self.other_type.is_empty();
        if multipart && agreed {
            Body::Multipart
        } else if multipart || self.said.multipart || self.boundaries.len() > 0 {
            Body::Armed
        } else if agreed && is_message(&self.head.media_type) {
            Body::Message
        } else {
            Body::Leaf
        }
    }

    /// Nothing that is understood said what type the body is.
    pub(crate) fn is_untyped(&self) -> bool {
        !self.said.media_type || self.defects.contains(Defect::TypeInvalid)
    }

    pub(crate) fn is_digest(&self) -> bool {
        self.head.media_type == "multipart/digest"
    }

    fn defect(&mut self, defect: Defect) {
        self.defects.insert(defect);
    }
}

/// Types whose body is a message of its own (RFC 2046 §5.2.1, RFC 6532 §3.7, RFC 5537 §6.4).
pub(crate) fn is_message(media_type: &str) -> bool {
    matches!(media_type, "message/rfc822" | "message/global" | "message/news")
}

/// Appends `type/subtype` in lower case; false, and the default type, if it is none.
fn media_type(reader: &mut Reader<'_>, out: &mut String) -> bool {
    let kind = reader.word();
    let slash = reader.sign(b'/');
    let subtype = if slash { reader.word() } else { b"" };
    let (kind_end, subtype_end) = (token_end(kind), token_end(subtype));
    if kind_end == 0 || subtype_end == 0 || kind_end < kind.len() {
        out.push_str("text/plain");
        return false;
    }
    push_lower(kind, out);
    out.push('/');
    push_lower(&subtype[..subtype_end], out);
    subtype_end == subtype.len()
}

/// How much of `word` is a token (RFC 2045 §5.1).
fn token_end(word: &[u8]) -> usize {
    let is_token = |byte: &u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(byte);
    word.iter().position(|byte| !is_token(byte)).unwrap_or(word.len())
}

const fn is_charset_octet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'+')
}

fn push_lower(word: &[u8], out: &mut String) {
    out.extend(word.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
}

/// What stands behind the last dot, in lower case.
fn extension(name: &str) -> Option<String> {
    name.trim().rsplit_once('.').map(|(_, extension)| extension.to_lowercase())
}

/// RFC 2046 §5.1.1: up to 70 characters of a short list, no space at the end.
fn boundary_defects(boundary: &[u8]) -> Defects {
    let mut defects = Defects::EMPTY;
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    if !boundary.iter().all(is_allowed) || boundary.ends_with(b" ") {
        defects.insert(Defect::BoundaryInvalid);
    }
    defects
}

fn defects_of(flaws: Flaws) -> Defects {
    let found = [
        (flaws.comment_unclosed, Defect::CommentUnclosed),
        (flaws.comment_deep, Defect::CommentDeep),
        (flaws.quote_unclosed, Defect::QuoteUnclosed),
        (flaws.syntax, Defect::ParameterSyntax),
    ];
    found.into_iter().filter(|(there, _)| *there).map(|(_, defect)| defect).collect()
}
