//! How an identifier is written: its characters, and where separators may stand between them.
//!
//! Invariant: an identifier is read backwards from its end, one character at a time, and never further
//! than its longest form. What is read is upper case and without separators.

use super::{CHARS_MAX, GAP_BYTES_MAX};

/// The characters of an identifier. Forms are written as in the IBAN registry: counts of n(umbers),
/// a (letters) and c (both); s is a sign of Finland's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// From so many digits to so many.
    Digits(usize, usize),
    /// From so many letters or digits to so many.
    Words(usize, usize),
    /// One of these.
    Forms(&'static [&'static str]),
}

impl Shape {
    /// Characters of the shortest and the longest.
    pub(super) fn bounds(self) -> (usize, usize) {
        match self {
            Self::Digits(least, most) | Self::Words(least, most) => (least, most),
            Self::Forms(forms) => {
                let counts = || forms.iter().map(|form| fields(form).map(|(count, _)| count).sum());
                (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
            }
        }
    }

    pub(super) fn fits(self, text: &[u8]) -> bool {
        match self {
            Self::Digits(..) => text.iter().all(u8::is_ascii_digit),
            Self::Words(..) => true,
            Self::Forms(forms) => forms.iter().any(|form| fits(text, form)),
        }
    }
}

/// Whether `text` is written as `form` says, to its end.
pub(super) fn fits(text: &[u8], form: &str) -> bool {
    let rest = fields(form).try_fold(text, |text, (count, kind)| {
        let (field, rest) = text.split_at_checked(count)?;
        field.iter().all(|byte| of_kind(*byte, kind)).then_some(rest)
    });
    rest.is_some_and(<[u8]>::is_empty)
}

/// The counts of a form and what they count.
fn fields(form: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut count = 0;
    form.bytes().filter_map(move |symbol| {
        if symbol.is_ascii_digit() {
            count = count * 10 + usize::from(symbol - b'0');
            return None;
        }
        Some((std::mem::take(&mut count), symbol))
    })
}

const fn of_kind(byte: u8, kind: u8) -> bool {
    match kind {
        b'n' => byte.is_ascii_digit(),
        b'a' => byte.is_ascii_uppercase(),
        b'c' => byte.is_ascii_digit() || byte.is_ascii_uppercase(),
        // Finland's sign of the century.
        b's' => matches!(byte, b'+' | b'-' | b'A'..=b'F' | b'U'..=b'Y'),
        _ => false,
    }
}

/// Where separators may stand. Where a register has a way to write its numbers, only there: tables,
/// dates and addresses are full of digits whose sums hold by chance.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gaps {
    /// Nowhere.
    None,
    /// Nowhere; a dash or a plus is a character of its own.
    Signs,
    /// Between any two characters: people group as they like.
    Any,
    /// The same, but all gaps have the same mark.
    Even,
    /// Where so many characters follow: at any of these places.
    At(&'static [usize]),
    /// Where so many characters follow: at all of these places or at none.
    All(&'static [usize]),
}

impl Gaps {
    fn may_stand_before(self, following: usize) -> bool {
        match self {
            Self::None | Self::Signs => false,
            Self::Any | Self::Even => following > 0,
            Self::At(places) | Self::All(places) => places.contains(&following),
        }
    }

    const fn complete(self, count: usize) -> bool {
        match self {
            Self::All(places) => count == 0 || count == places.len(),
            _ => true,
        }
    }
}

/// Separators between two characters.
#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    bytes: usize,
    /// What it is made of besides white space; a space if of nothing else, zero if there is no gap.
    mark: u8,
}

/// What was read of an identifier, backwards from its end.
#[derive(Debug)]
pub(super) struct Backwards<'a> {
    text: &'a [u8],
    /// Where the last character read stands.
    at: usize,
    gaps: Gaps,
    gap_count: usize,
    /// The mark of the last gap.
    mark: u8,
    /// The characters, at the end of the array.
    characters: [u8; CHARS_MAX],
    len: usize,
}

impl<'a> Backwards<'a> {
    /// Separators at the end of `text` are not part of the identifier.
    pub(super) fn new(text: &'a [u8], gaps: Gaps) -> Self {
        let at = match gaps {
            Gaps::Signs => text.len(),
            _ => text.len() - gap(text).bytes,
        };
        Self { text, at, gaps, gap_count: 0, mark: 0, characters: [0; CHARS_MAX], len: 0 }
    }

    /// Reads one more character; whether there was one.
    pub(super) fn step(&mut self) -> bool {
        let before = self.text.get(..self.at).unwrap_or_default();
        let gap = if self.gaps.may_stand_before(self.len) { gap(before) } else { Gap::default() };
        let Some(byte) = before.len().checked_sub(gap.bytes + 1).and_then(|place| before.get(place)) else {
            return false;
        };
        let sign = matches!(self.gaps, Gaps::Signs) && matches!(byte, b'+' | b'-');
        let slot = CHARS_MAX.checked_sub(self.len + 1).and_then(|place| self.characters.get_mut(place));
        let Some(slot) = slot.filter(|_| sign || byte.is_ascii_alphanumeric()) else { return false };
        let even = gap.bytes == 0 || self.gap_count == 0 || gap.mark == self.mark;
        if matches!(self.gaps, Gaps::Even) && !even {
            return false;
        }
        *slot = byte.to_ascii_uppercase();
        self.len += 1;
        self.at -= gap.bytes + 1;
        if gap.bytes > 0 {
            (self.gap_count, self.mark) = (self.gap_count + 1, gap.mark);
        }
        true
    }

    /// Whether an identifier may begin at the last character read.
    pub(super) fn begins(&self) -> bool {
        let before = self.text.get(..self.at).unwrap_or_default();
        let fraction = || self.gap_count == 0 && matches!(before, [.., b'0'..=b'9', b'.']);
        self.gaps.complete(self.gap_count)
            && !before.last().is_some_and(u8::is_ascii_alphanumeric)
            && !fraction()
    }

    pub(super) fn characters(&self) -> &[u8] {
        self.characters.get(CHARS_MAX - self.len..).unwrap_or_default()
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }
}

/// The separators that end `text`, as many as may stand in one gap.
fn gap(text: &[u8]) -> Gap {
    let mut gap = Gap::default();
    loop {
        let (bytes, mark) = separator(text.get(..text.len() - gap.bytes).unwrap_or_default());
        if bytes == 0 || gap.bytes + bytes > GAP_BYTES_MAX {
            return gap;
        }
        gap.bytes += bytes;
        if mark != b' ' || gap.mark == 0 {
            gap.mark = mark;
        }
    }
}

/// Bytes and mark of the one separator that ends `text`: white space, dash, dot, slash, what stands for a
/// space in forms and file names, and the spaces and dashes of typesetting in UTF-8.
const fn separator(text: &[u8]) -> (usize, u8) {
    match text {
        [.., b' ' | b'\t' | b'\r' | b'\n'] => (1, b' '),
        [.., mark @ (b'-' | b'.' | b'/' | b'+' | b'_')] => (1, *mark),
        [.., 0xc2, 0xa0] => (2, b' '),
        [.., 0xe2, 0x80, 0x80..=0x8f | 0xaf] => (3, b' '),
        [.., 0xe2, 0x80, 0x90..=0x95] | [.., 0xe2, 0x88, 0x92] => (3, b'-'),
        _ => (0, 0),
    }
}
