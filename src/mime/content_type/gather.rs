//! The parameters of a header section that matter, and what they come to.
//!
//! RFC 2231 §3 (pieces), §4 (charset and percent), RFC 2047 words where RFC 2047 §5 forbids them and
//! senders put them all the same. Boundary, charset and file name are gathered under every manner of
//! reading; where the manners agree there is one value, else all are told.

use crate::mime::content_type::parameter::Reader;
use crate::mime::defect::{Defect, Defects, Limit};
use crate::mime::encoded_word::{self, hex};

/// Parameters and pieces of parameters that one header section may have, in every manner together.
pub const PARAMETERS_MAX: usize = 1024;
/// Octets of all of their values.
pub const PARAMETER_BYTES_MAX: usize = 128 * 1024;
/// Different values that one parameter may be read as.
pub const READINGS_MAX: usize = 8;

/// Which parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Boundary,
    Charset,
    /// `filename` of the disposition, `name` of the type: both name the file.
    Name,
}

/// How a parameter is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `a=`
    Plain,
    /// `a*=`
    Extended,
    /// `a*0=`, `a*0*=`
    Piece { number: u32, extended: bool },
}

/// One parameter or piece of one; its value is a range of the gatherer's octets.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    form: Form,
    /// Index of the manner it was read in; 0 is the strict one.
    manner: u8,
    from: usize,
    to: usize,
}

/// All readings of one parameter, the most likely first.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    overflowed: bool,
}

impl Readings {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.overflowed = false;
    }

    /// Whether there were more than are kept.
    pub(crate) const fn overflowed(&self) -> bool {
        self.overflowed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let froms = std::iter::once(0).chain(self.ends.iter().copied());
        froms.zip(self.ends.iter().copied()).map(|(from, to)| &self.bytes[from..to])
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds what `write` appends, unless it is there already.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.bytes.len();
        write(&mut self.bytes);
        let known = self.iter().any(|reading| reading == &self.bytes[from..]);
        let full = self.ends.len() == READINGS_MAX;
        self.overflowed |= full && !known;
        if known || full {
            self.bytes.truncate(from);
        } else {
            self.ends.push(self.bytes.len());
        }
    }
}

/// Gathers the parameters of all fields of one header section: pieces of a name may be strewn over
/// two fields, and some readers put them together all the same.
#[derive(Debug, Default)]
pub(crate) struct Gatherer {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    scratch: Vec<u8>,
    words: encoded_word::Reader,
    text: String,
    manner_last: u8,
    pub(crate) defects: Defects,
    /// Those that matter only if there is a multipart.
    pub(crate) boundary_defects: Defects,
}

impl Gatherer {
    pub(crate) fn reset(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.manner_last = 0;
        self.defects = Defects::EMPTY;
        self.boundary_defects = Defects::EMPTY;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes the parameters in front of which `reader` stands.
    pub(crate) fn take(&mut self, reader: &mut Reader<'_>, manner: u8) {
        let mut scratch = std::mem::take(&mut self.scratch);
        while let Some(name) = reader.name() {
            let value = reader.value(&mut scratch);
            let Some((key, form)) = self::name(name, &mut self.defects) else {
                continue;
            };
            let full =
                self.entries.len() == PARAMETERS_MAX || self.bytes.len() + value.len() > PARAMETER_BYTES_MAX;
            if full {
                self.defects.insert(Defect::Limit(Limit::Parameters));
                continue;
            }
            if key == Key::Boundary {
                self.boundary(manner, reader.flaws.syntax);
            }
            self.manner_last = self.manner_last.max(manner);
            let from = self.bytes.len();
            self.bytes.extend_from_slice(value);
            self.entries.push(Entry { key, form, manner, from, to: self.bytes.len() });
        }
        self.scratch = scratch;
    }

    /// What a boundary is told for being where it is.
    fn boundary(&mut self, manner: u8, behind_syntax: bool) {
        let before = |entry: &Entry| entry.key == Key::Boundary && entry.manner == manner;
        if self.entries.iter().any(before) {
            self.boundary_defects.insert(Defect::ParameterRepeated);
        }
        if behind_syntax {
            self.boundary_defects.insert(Defect::ParameterSyntaxStructure);
        }
    }

    /// Adds all values of `key` to `readings`, those of the strict manner first. Of one manner the
    /// extended form goes before the plain one, which is there for readers that do not know it.
    pub(crate) fn resolve(&mut self, key: Key, readings: &mut Readings) {
        for manner in 0..=self.manner_last {
            let of = |entry: &&Entry| entry.key == key && entry.manner == manner;
            if self.entries.iter().any(|entry| of(&entry)) {
                self.extended(key, manner, readings);
                self.pieces(key, manner, readings);
                self.plain(key, manner, readings);
            }
        }
    }

    /// `name*=utf-8''…` (RFC 2231 §4).
    fn extended(&mut self, key: Key, manner: u8, readings: &mut Readings) {
        for entry in &self.entries {
            if (entry.key, entry.manner, entry.form) == (key, manner, Form::Extended) {
                let value = &self.bytes[entry.from..entry.to];
                self.scratch.clear();
                let label = extended(value, &mut self.scratch, &mut self.defects);
                readings.add(|out| push_text(label, &self.scratch, out, &mut self.text, &mut self.defects));
            }
        }
    }

    /// `name=…`, with encoded words in it decoded as nearly all readers do.
    fn plain(&mut self, key: Key, manner: u8, readings: &mut Readings) {
        for entry in &self.entries {
            if (entry.key, entry.manner, entry.form) == (key, manner, Form::Plain) {
                let value = &self.bytes[entry.from..entry.to];
                if encoded_word::suspected(value) {
                    let found = self.words.decode(value, &mut self.text);
                    if self.text.as_bytes() != value {
                        self.defects.insert(Defect::ParameterEncodedWord);
                        self.defects.insert_all(found);
                    }
                    readings.add(|out| out.extend_from_slice(self.text.as_bytes()));
                } else {
                    readings.add(|out| out.extend_from_slice(value));
                }
            }
        }
    }

    /// Pieces joined by their numbers; where these are not 0, 1, 2… in order, also as they come.
    fn pieces(&mut self, key: Key, manner: u8, readings: &mut Readings) {
        let mut pieces: Vec<(u32, bool, usize, usize)> = Vec::new();
        for entry in &self.entries {
            if let (Form::Piece { number, extended }, true) =
                (entry.form, entry.key == key && entry.manner == manner)
            {
                pieces.push((number, extended, entry.from, entry.to));
            }
        }
        if pieces.is_empty() {
            return;
        }
        let in_order = pieces.is_sorted_by_key(|piece| piece.0);
        if !in_order {
            self.defects.insert(Defect::ParameterPieceOrder);
            self.join(&pieces, readings);
            pieces.sort_by_key(|piece| piece.0);
        }
        if pieces.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            self.defects.insert(Defect::ParameterPieceRepeated);
            let mut once = pieces.clone();
            once.dedup_by_key(|piece| piece.0);
            self.join(&once, readings);
        }
        let whole = pieces.iter().zip(0..).take_while(|(piece, want)| piece.0 == *want).count();
        if whole < pieces.len() && !self.defects.contains(Defect::ParameterPieceRepeated) {
            self.defects.insert(Defect::ParameterPieceMissing);
            self.join(&pieces[..whole], readings);
        }
        self.join(&pieces, readings);
        let ends_within =
            |piece: &(u32, bool, usize, usize)| piece.1 && within_escape(&self.bytes[piece.2..piece.3]);
        if pieces.windows(2).any(|pair| ends_within(&pair[0]) && pair[1].1) {
            self.join_escapes(&pieces, readings);
        }
    }

    /// The same value, if escapes are undone after the pieces were joined: one may begin in one piece
    /// and end in the next.
    fn join_escapes(&mut self, pieces: &[(u32, bool, usize, usize)], readings: &mut Readings) {
        let mut value = Vec::new();
        for piece in pieces {
            value.extend_from_slice(&self.bytes[piece.2..piece.3]);
        }
        self.scratch.clear();
        let label = extended(&value, &mut self.scratch, &mut self.defects);
        readings.add(|out| push_text(label, &self.scratch, out, &mut self.text, &mut self.defects));
    }

    /// Adds the value that these pieces make, in this order. Octets of adjacent encoded pieces become
    /// text together, for a character may be split between them.
    fn join(&mut self, pieces: &[(u32, bool, usize, usize)], readings: &mut Readings) {
        let Some(first) = pieces.first() else {
            return;
        };
        let mut label: &[u8] = b"";
        let mut octets = std::mem::take(&mut self.scratch);
        let (bytes, text, defects) = (&self.bytes, &mut self.text, &mut self.defects);
        readings.add(|out| {
            octets.clear();
            for piece in pieces {
                let value = &bytes[piece.2..piece.3];
                if !piece.1 {
                    // What is not encoded is not in the charset of what is.
                    push_text(label, &octets, out, text, defects);
                    octets.clear();
                    out.extend_from_slice(value);
                } else if std::ptr::eq(piece, first) {
                    label = extended(value, &mut octets, defects);
                } else {
                    percent(value, &mut octets, defects);
                }
            }
            push_text(label, &octets, out, text, defects);
        });
        self.scratch = octets;
    }
}

/// Which parameter a name is, and in which form; nothing if it is of no interest.
fn name(name: &[u8], defects: &mut Defects) -> Option<(Key, Form)> {
    let star = memchr::memchr(b'*', name);
    let base = &name[..star.unwrap_or(name.len())];
    let is = |other: &[u8]| base.eq_ignore_ascii_case(other);
    let key = match base.len() {
        8 if is(b"boundary") => Key::Boundary,
        7 if is(b"charset") => Key::Charset,
        8 if is(b"filename") => Key::Name,
        4 if is(b"name") => Key::Name,
        _ => return None,
    };
    let Some(star) = star else {
        return Some((key, Form::Plain));
    };
    let mut section = &name[star + 1..];
    if section.is_empty() {
        return Some((key, Form::Extended));
    }
    let extended = section.ends_with(b"*");
    if extended {
        section = &section[..section.len() - 1];
    }
    let leading = section.len() > 1 && section.starts_with(b"0");
    let number = std::str::from_utf8(section).ok().and_then(|digits| digits.parse().ok());
    if leading || number.is_none() || section.starts_with(b"+") {
        defects.insert(Defect::ParameterPieceInvalid);
    }
    Some((key, Form::Piece { number: number.unwrap_or(u32::MAX), extended }))
}

/// `charset'language'octets`: appends the octets and says the charset.
fn extended<'a>(value: &'a [u8], octets: &mut Vec<u8>, defects: &mut Defects) -> &'a [u8] {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (label, rest) = match (parts.next(), parts.next(), parts.next()) {
        (Some(label), Some(_), Some(rest)) => (label, rest),
        _ => {
            defects.insert(Defect::ParameterPercentBroken);
            (&value[..0], value)
        }
    };
    percent(rest, octets, defects);
    label
}

/// Appends `value` with its percent escapes undone; one that is none stands for itself.
fn percent(value: &[u8], octets: &mut Vec<u8>, defects: &mut Defects) {
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, more @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                octets.push(hex(*high) << 4 | hex(*low));
                rest = more;
            }
            _ => {
                if byte == b'%' {
                    defects.insert(Defect::ParameterPercentBroken);
                }
                octets.push(byte);
            }
        }
    }
}

/// Whether `value` ends in the beginning of an escape.
fn within_escape(value: &[u8]) -> bool {
    matches!(value, [.., b'%'] | [.., b'%', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F'])
}

/// Appends octets of a charset as UTF-8; no charset named is UTF-8 or, where it cannot be, Latin.
fn push_text(label: &[u8], octets: &[u8], out: &mut Vec<u8>, text: &mut String, defects: &mut Defects) {
    text.clear();
    if label.is_empty() {
        encoded_word::push_literal(octets, text, &mut Defects::EMPTY.clone());
    } else if !encoded_word::push_text(label, octets, text) {
        defects.insert(Defect::ParameterCharsetUnknown);
    }
    out.extend_from_slice(text.as_bytes());
}
