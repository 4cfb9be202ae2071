//! The header section as it came: collected while content streams, then taken apart into fields.
//!
//! RFC 5322 §2.1 and §2.2. A field is kept with every octet that it came with, because signatures
//! cover octets. Line ends are CRLF; nothing else ends a line.
//!
//! Invariant: what is collected, and where the section ends, does not depend on where content was cut.
//! A section that is longer than what is kept, or has more fields, is said to be so and is never
//! taken for a shorter one.

use std::cmp::Ordering;

#[cfg(test)]
mod tests;

/// Octets of a header section that are kept; of a longer one no signature is evaluated.
pub const SECTION_BYTES_MAX: usize = 256 * 1024;
/// Fields of one section.
pub const FIELDS_MAX: usize = 2048;

/// Why a header section was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Octets,
    Fields,
}

/// Collects the header section.
#[derive(Debug, Default)]
pub struct HeaderSection {
    octets: Vec<u8>,
    /// Octets of the line that has begun and has not ended.
    line: usize,
    last: u8,
    is_complete: bool,
    is_too_long: bool,
}

impl HeaderSection {
    /// With a buffer that was used before.
    pub fn with_buffer(mut octets: Vec<u8>) -> Self {
        octets.clear();
        Self { octets, ..Self::default() }
    }

    /// How much of `content` belongs to the section, the empty line that ends it included. What is
    /// left is body.
    pub fn push(&mut self, content: &[u8]) -> usize {
        let length = self.length_in(content);
        let room = SECTION_BYTES_MAX - self.octets.len();
        self.is_too_long |= length > room;
        self.octets.extend_from_slice(content.get(..length.min(room)).unwrap_or(content));
        length
    }

    /// Whether the empty line was seen. Content without one has no body.
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Octets that are kept.
    pub const fn len(&self) -> usize {
        self.octets.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The fields, once the section is complete or content has ended.
    ///
    /// # Errors
    /// Which bound it is beyond.
    pub fn fields(&self) -> Result<Fields<'_>, Bound> {
        if self.is_too_long { Err(Bound::Octets) } else { Fields::read(&self.octets) }
    }

    /// The buffer, to be used again.
    pub fn into_buffer(self) -> Vec<u8> {
        self.octets
    }

    fn length_in(&mut self, content: &[u8]) -> usize {
        let mut at = 0;
        while let Some(found) = content.get(at..).filter(|_| !self.is_complete).and_then(line_feed) {
            let end = at + found + 1;
            let before = if end > 1 { content.get(end - 2).copied() } else { Some(self.last) };
            self.line += found + 1;
            if before == Some(b'\r') {
                self.is_complete = self.line == 2;
                self.line = 0;
            }
            at = end;
        }
        if self.is_complete {
            return at;
        }
        self.line += content.len() - at;
        self.last = content.last().copied().unwrap_or(self.last);
        content.len()
    }
}

fn line_feed(content: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', content)
}

/// One field, or a line that is none.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Every octet of it, all its line ends included.
    pub raw: &'a [u8],
    /// Where the colon stands; at the end if there is none.
    colon: usize,
}

impl<'a> Field<'a> {
    fn new(raw: &'a [u8]) -> Self {
        Self { raw, colon: memchr::memchr(b':', raw).unwrap_or(raw.len()) }
    }

    /// Without the white space that old syntax lets stand before the colon (RFC 5322 §4.5). A line
    /// without a colon has no name, and nothing that is asked for has that one.
    pub fn name(&self) -> &'a [u8] {
        match self.raw.split_at_checked(self.colon) {
            Some((name, rest)) if !rest.is_empty() => name.trim_ascii_end(),
            _ => &[],
        }
    }

    /// What stands behind the colon, folding and final CRLF included.
    pub fn value(&self) -> &'a [u8] {
        self.raw.get(self.colon + 1..).unwrap_or_default()
    }

    pub fn is_named(&self, name: &[u8]) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }
}

/// The fields of a section in their order, and by name.
#[derive(Debug)]
pub struct Fields<'a> {
    all: Vec<Field<'a>>,
    /// Places in `all`, by name without case, then from the top down.
    by_name: Vec<u16>,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// If there are more than [`FIELDS_MAX`].
    pub fn read(section: &'a [u8]) -> Result<Self, Bound> {
        let mut all = Vec::with_capacity(32);
        let mut rest = section;
        while !rest.is_empty() && !rest.starts_with(b"\r\n") {
            let (raw, behind) = rest.split_at(field_length(rest));
            if all.len() == FIELDS_MAX {
                return Err(Bound::Fields);
            }
            all.push(Field::new(raw));
            rest = behind;
        }
        Ok(Self { all, by_name: Vec::new() })
    }

    pub fn all(&self) -> &[Field<'a>] {
        &self.all
    }

    pub fn named<'s>(&'s self, name: &'s [u8]) -> impl Iterator<Item = Field<'a>> + 's {
        self.all.iter().copied().filter(move |field| field.is_named(name))
    }

    /// Sorts by name, so that [`Fields::places`] is quick. Not worth it where nothing is signed.
    pub(super) fn index(&mut self) {
        let all = &self.all;
        if self.by_name.len() == all.len() {
            return;
        }
        let count = u16::try_from(all.len()).unwrap_or(u16::MAX);
        self.by_name = (0..count).collect();
        let name = |place: &u16| all.get(usize::from(*place)).map_or(&[][..], Field::name);
        // Stable: those of one name stay in their order.
        self.by_name.sort_by(|one, other| compare(name(one), name(other)));
    }

    /// Where the fields of that name stand, from the top down. All that share a name share the
    /// number that comes with it.
    pub(super) fn places(&self, wanted: &[u8]) -> (usize, &[u16]) {
        let order =
            |place: &u16| compare(self.all.get(usize::from(*place)).map_or(&[][..], Field::name), wanted);
        let first = self.by_name.partition_point(|place| order(place) == Ordering::Less);
        let from = self.by_name.get(first..).unwrap_or_default();
        let count = from.partition_point(|place| order(place) == Ordering::Equal);
        (first, from.get(..count).unwrap_or_default())
    }
}

/// The first line and those that continue it.
fn field_length(section: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = section.get(at..).and_then(line_feed) {
        at += found + 1;
        let is_line_end = at > 1 && section.get(at - 2) == Some(&b'\r');
        if is_line_end && !matches!(section.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
    section.len()
}

/// Any order does that puts equal names together.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let mut letters =
        one.iter().zip(other).map(|(one, other)| (one.to_ascii_lowercase(), other.to_ascii_lowercase()));
    let different = |pair: &(u8, u8)| pair.0 != pair.1;
    one.len()
        .cmp(&other.len())
        .then_with(|| letters.find(different).map_or(Ordering::Equal, |(one, other)| one.cmp(&other)))
}
