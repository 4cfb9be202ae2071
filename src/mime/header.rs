//! Header sections: where fields begin and end, and what stands in one.
//!
//! RFC 5322 §2.2 (fields, folding) and §3.6.8 (names); RFC 2045 §3 (fields of structure).
//!
//! What must always hold: a field is found alike wherever the input is cut, each octet is looked at
//! once, and no more than `field_bytes_max` of a field is kept.

use memchr::{memchr, memchr2, memchr3};

/// Finds fields in a header section that comes in chunks.
///
/// A field that lies in one chunk is borrowed from it; only one that does not is copied.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// The beginning of what is under way, from chunks before.
    held: Vec<u8>,
    place: Place,
}

/// Where in the section we stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In the first line of something: a field, the empty line, or a delimiter.
    #[default]
    FirstLine,
    /// Behind a line of a field; the next octet says whether the field goes on.
    Between,
    /// In a continuation line.
    Continuation,
    /// In a line of a field that grew too long and was already told.
    Skipping,
    /// Behind such a line.
    SkippingBetween,
}

/// What was found; its octets are [`Splitter::found`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A complete first line: of a field, unless [`Splitter::take_line`] says that it is none.
    FirstLine,
    /// A complete field with all its lines.
    Field,
    /// The first `field_bytes_max` octets of a field that is longer.
    LongField,
    /// More of that field.
    Skipped,
}

/// What part of a chunk has been read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    /// Where in the chunk the thing under way begins, as far as it is not held.
    from: usize,
    at: usize,
}

impl Cursor {
    pub(crate) const fn new(at: usize) -> Self {
        Self { from: at, at }
    }

    pub(crate) const fn at(self) -> usize {
        self.at
    }
}

impl Splitter {
    pub(crate) fn reset(&mut self) {
        self.held.clear();
        self.place = Place::FirstLine;
    }

    /// Gives back what a long field took.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        self.held.shrink_to(bytes);
    }

    /// The next item of `chunk`, or nothing when it is used up; the rest is held then.
    pub(crate) fn next(&mut self, chunk: &[u8], cursor: &mut Cursor, field_bytes_max: usize) -> Option<Item> {
        loop {
            let item = match self.place {
                Place::FirstLine => self.line(chunk, cursor, field_bytes_max, Item::FirstLine),
                Place::Continuation => self.line(chunk, cursor, field_bytes_max, Item::Field),
                Place::Between | Place::SkippingBetween => self.between(chunk, *cursor),
                Place::Skipping => self.skip_line(chunk, cursor),
            };
            match item {
                Step::Found(item) => return Some(item),
                Step::Again => {}
                Step::UsedUp => {
                    self.held.extend_from_slice(&chunk[cursor.from..]);
                    *cursor = Cursor::new(chunk.len());
                    return None;
                }
            }
        }
    }

    /// Reads to the end of a line that belongs to the thing under way.
    fn line(&mut self, chunk: &[u8], cursor: &mut Cursor, field_bytes_max: usize, what: Item) -> Step {
        let end = memchr(b'\n', &chunk[cursor.at..]).map(|found| cursor.at + found + 1);
        let length = self.held.len() + end.unwrap_or(chunk.len()) - cursor.from;
        if length > field_bytes_max {
            cursor.at = cursor.from + (field_bytes_max - self.held.len());
            self.place = Place::Skipping;
            return Step::Found(Item::LongField);
        }
        let Some(end) = end else {
            return Step::UsedUp;
        };
        cursor.at = end;
        self.place = Place::Between;
        if what == Item::FirstLine { Step::Found(Item::FirstLine) } else { Step::Again }
    }

    fn between(&mut self, chunk: &[u8], cursor: Cursor) -> Step {
        let Some(next) = chunk.get(cursor.at) else {
            return Step::UsedUp;
        };
        let goes_on = matches!(next, b' ' | b'\t');
        let long = self.place == Place::SkippingBetween;
        self.place = match (long, goes_on) {
            (true, true) => Place::Skipping,
            (false, true) => Place::Continuation,
            (_, false) => Place::FirstLine,
        };
        if goes_on || long { Step::Again } else { Step::Found(Item::Field) }
    }

    /// Nothing of it is held: what there is of the line is an item of its own.
    fn skip_line(&mut self, chunk: &[u8], cursor: &mut Cursor) -> Step {
        match memchr(b'\n', &chunk[cursor.at..]) {
            Some(found) => {
                cursor.at += found + 1;
                self.place = Place::SkippingBetween;
            }
            None => cursor.at = chunk.len(),
        }
        if cursor.at == cursor.from { Step::UsedUp } else { Step::Found(Item::Skipped) }
    }

    /// The octets of the item that was found last.
    pub(crate) fn found<'a>(&'a mut self, chunk: &'a [u8], cursor: &mut Cursor) -> &'a [u8] {
        let here = &chunk[cursor.from..cursor.at];
        if self.held.is_empty() {
            return here;
        }
        // A first line is looked at before its field is complete, and must not be held twice.
        self.held.extend_from_slice(here);
        cursor.from = cursor.at;
        &self.held
    }

    /// Forgets the item that was found; the next begins behind it.
    pub(crate) fn release(&mut self, cursor: &mut Cursor) {
        self.held.clear();
        cursor.from = cursor.at;
    }

    /// The first line that was found is not of a field: the next thing begins behind it.
    pub(crate) fn take_line(&mut self, cursor: &mut Cursor) {
        self.release(cursor);
        self.place = Place::FirstLine;
    }

    /// What is left at the end of the content: a field that lacks its line end or the line behind it.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.held
    }
}

enum Step {
    Found(Item),
    Again,
    UsedUp,
}

/// Whether a line is the empty one that ends a header section.
pub(crate) fn is_empty_line(line: &[u8]) -> bool {
    matches!(line, b"\r\n" | b"\n")
}

/// One field, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Without the white space before the colon.
    pub(crate) name: &'a [u8],
    /// Still folded.
    pub(crate) value: &'a [u8],
    /// White space stood before the colon.
    pub(crate) spaced: bool,
}

/// Takes a field apart; nothing if it has no colon in its first line.
pub(crate) fn split(raw: &[u8]) -> Option<Field<'_>> {
    let colon = memchr2(b':', b'\n', raw).filter(|at| raw[*at] == b':')?;
    let before = &raw[..colon];
    let name = before.trim_ascii_end();
    Some(Field { name, value: &raw[colon + 1..], spaced: name.len() < before.len() })
}

/// A value as it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfolded<'a> {
    /// Without line ends, and without white space at its ends.
    pub(crate) value: &'a [u8],
    /// It had a continuation line of nothing but white space.
    pub(crate) blank: bool,
}

/// Takes the line ends out of `value`; in `out`, if it has any within it.
pub(crate) fn unfold<'a>(value: &'a [u8], out: &'a mut Vec<u8>) -> Unfolded<'a> {
    let text = value.trim_ascii_end();
    let blank_end = text.len() + 2 < value.len() && ends_blank(&value[text.len()..]);
    let inside = text.trim_ascii_start();
    let Some(first) = memchr(b'\n', inside) else {
        return Unfolded { value: inside, blank: blank_end };
    };
    let (mut rest, mut end, mut blank) = (inside, first, blank_end);
    out.clear();
    loop {
        let line = &rest[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // The first line has text, or `inside` would not begin with it.
        blank |= line.trim_ascii_start().is_empty();
        out.extend_from_slice(line);
        rest = rest.get(end + 1..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        end = memchr(b'\n', rest).unwrap_or(rest.len());
    }
    Unfolded { value: out, blank }
}

/// Whether there are lines of nothing but white space in what stands `behind` the text.
fn ends_blank(behind: &[u8]) -> bool {
    let lines = behind.strip_suffix(b"\n").unwrap_or(behind);
    memchr(b'\n', lines).is_some()
}

/// What an unfolded value has in it that is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Survey {
    /// There may be encoded words.
    pub(crate) mark: bool,
    pub(crate) nul: bool,
    pub(crate) bare_cr: bool,
}

pub(crate) fn survey(value: &[u8]) -> Survey {
    // One search for all, since mostly there is none.
    let Some(first) = memchr3(b'?', 0, b'\r', value) else {
        return Survey { mark: false, nul: false, bare_cr: false };
    };
    let has = |byte| memchr(byte, &value[first..]).is_some();
    Survey { mark: has(b'?'), nul: has(0), bare_cr: has(b'\r') }
}

/// Fields that say how a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Structure {
    Type,
    Disposition,
    Encoding,
}

/// What a name is to those who read it strictly, and to those who do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) structure: Option<Structure>,
    /// It is a field of structure only to those who overlook something.
    pub(crate) disguised: bool,
    /// It has characters that no name may have (RFC 5322 §2.2).
    pub(crate) invalid: bool,
}

pub(crate) fn read_name(name: &[u8]) -> Name {
    let invalid = name.is_empty() || !name.iter().all(u8::is_ascii_graphic);
    if let Some(structure) = structure_of(name) {
        return Name { structure: Some(structure), disguised: false, invalid };
    }
    let structure = if invalid { disguised(name) } else { None };
    Name { structure, disguised: structure.is_some(), invalid }
}

fn structure_of(name: &[u8]) -> Option<Structure> {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    match name.len() {
        12 if is(b"content-type") => Some(Structure::Type),
        19 if is(b"content-disposition") => Some(Structure::Disposition),
        25 if is(b"content-transfer-encoding") => Some(Structure::Encoding),
        _ => None,
    }
}

/// The field of structure that is left when what may not stand in a name is dropped.
fn disguised(name: &[u8]) -> Option<Structure> {
    const LONGEST: usize = "content-transfer-encoding".len();
    let mut kept = [0; LONGEST];
    let mut length = 0;
    for byte in name.iter().filter(|byte| byte.is_ascii_graphic()) {
        *kept.get_mut(length)? = *byte;
        length += 1;
    }
    structure_of(&kept[..length])
}
