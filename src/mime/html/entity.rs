//! Character references: `&amp;`, `&#x41;`, and those without a semicolon that browsers still know.
//!
//! HTML Standard §13.2.5.72 to 80. The names stand in `entities.txt`: one a line, in order of their
//! octets, with a `*` behind those that need no semicolon, and the code points.

use std::cmp::Ordering;

use super::super::charset::windows_1252;

/// Longest name of a reference (`CounterClockwiseContourIntegral`).
const NAME_BYTES_MAX: usize = 32;

/// Longest name that needs no semicolon (`Aacute`).
const BARE_BYTES_MAX: usize = 6;

/// A reference under way, behind its `&`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entity {
    Named(Word),
    /// `&#`
    Hash,
    /// `&#x`, as it was written.
    HexMark(u8),
    Decimal(u32),
    Hex(u32),
}

/// The letters of a name so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    letters: [u8; NAME_BYTES_MAX],
    len: usize,
}

/// Where a reference stands: other rules hold for attributes, where `&` joins parameters of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Text,
    Attribute,
}

impl Entity {
    pub(super) const BEGIN: Self = Self::Named(Word { letters: [0; NAME_BYTES_MAX], len: 0 });

    /// The reference with `byte`, or nothing if `byte` does not belong to it.
    pub(super) fn with(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Named(word), b'#') if word.len == 0 => Self::Hash,
            (Self::Named(word), _) if byte.is_ascii_alphanumeric() => Self::Named(word.with(byte)?),
            (Self::Hash, b'x' | b'X') => Self::HexMark(byte),
            (Self::Hash, b'0'..=b'9') => Self::Decimal(u32::from(byte - b'0')),
            (Self::Decimal(number), b'0'..=b'9') => Self::Decimal(extended(number, 10, byte)?),
            (Self::HexMark(_), _) => Self::Hex(extended(0, 16, byte)?),
            (Self::Hex(number), _) => Self::Hex(extended(number, 16, byte)?),
            _ => return None,
        })
    }

    /// Appends what the reference stands for, or what it is if it stands for nothing. `behind` is the
    /// octet after it; true if that is a semicolon that belongs to it.
    pub(super) fn resolve(self, place: Place, behind: Option<u8>, out: &mut String) -> bool {
        match self {
            Self::Named(word) => return word.resolve(place, behind, out),
            Self::Hash => out.push_str("&#"),
            Self::HexMark(mark) => out.extend(['&', '#', char::from(mark)]),
            Self::Decimal(number) | Self::Hex(number) => out.push(numbered(number)),
        }
        matches!(self, Self::Decimal(_) | Self::Hex(_)) && behind == Some(b';')
    }

    /// Whether it is a number where a letter or digit would do.
    pub(super) fn is_numbered_letter(self) -> bool {
        let (Self::Decimal(number) | Self::Hex(number)) = self else { return false };
        u8::try_from(number).is_ok_and(|byte| byte.is_ascii_alphanumeric())
    }
}

/// `number` with one more digit; it stays above all characters once it is.
fn extended(number: u32, base: u32, digit: u8) -> Option<u32> {
    let digit = char::from(digit).to_digit(base)?;
    Some(number.saturating_mul(base).saturating_add(digit))
}

/// The character with this number, as browsers have it.
fn numbered(number: u32) -> char {
    match number {
        0 => char::REPLACEMENT_CHARACTER,
        0x80..=0x9f => windows_1252(number.to_le_bytes()[0]),
        _ => char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

impl Word {
    fn with(mut self, byte: u8) -> Option<Self> {
        *self.letters.get_mut(self.len)? = byte;
        self.len += 1;
        Some(self)
    }

    fn letters(&self) -> &[u8] {
        &self.letters[..self.len]
    }

    fn resolve(&self, place: Place, behind: Option<u8>, out: &mut String) -> bool {
        let letters = self.letters();
        if behind == Some(b';')
            && let Some(found) = find(letters)
        {
            found.write(out);
            return true;
        }
        let known = (2..=letters.len().min(BARE_BYTES_MAX)).rev().find_map(|len| {
            let found = find(&letters[..len]).filter(|found| found.bare)?;
            Some((len, found))
        });
        let (len, found) = known.unzip();
        let rest = &letters[len.unwrap_or(0)..];
        let next = rest.first().copied().or(behind);
        let joins = next.is_some_and(|next| next == b'=' || next.is_ascii_alphanumeric());
        match found {
            Some(found) if place == Place::Text || !joins => {
                found.write(out);
                out.extend(rest.iter().map(|letter| char::from(*letter)));
            }
            _ => {
                out.push('&');
                out.extend(letters.iter().map(|letter| char::from(*letter)));
            }
        }
        false
    }
}

static NAMES: &str = include_str!("entities.txt");

const NAMES_COUNT: usize = 2125;

/// Where each line of [`NAMES`] begins.
static LINES: [u16; NAMES_COUNT] = {
    let (mut lines, mut count, mut at) = ([0; NAMES_COUNT], 0, 0);
    let bytes = NAMES.as_bytes();
    while at < bytes.len() {
        if at == 0 || bytes[at - 1] == b'\n' {
            assert!(at <= u16::MAX as usize);
            lines[count] = u16::from_le_bytes([at.to_le_bytes()[0], at.to_le_bytes()[1]]);
            count += 1;
        }
        at += 1;
    }
    assert!(count == NAMES_COUNT);
    lines
};

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// It needs no semicolon.
    bare: bool,
    /// Code points in hexadecimal, joined by `+`.
    numbers: &'static str,
}

impl Found {
    fn write(self, out: &mut String) {
        let numbers = self.numbers.split('+').filter_map(|number| u32::from_str_radix(number, 16).ok());
        out.extend(numbers.filter_map(char::from_u32));
    }
}

/// The lines whose names begin with each octet of ASCII: from one entry up to the next.
static FIRSTS: [usize; 129] = {
    let (mut firsts, mut first, mut line) = ([0; 129], 0, 0);
    let bytes = NAMES.as_bytes();
    while first < 128 {
        while line < NAMES_COUNT && (bytes[LINES[line] as usize] as usize) < first {
            line += 1;
        }
        firsts[first] = line;
        first += 1;
    }
    firsts[128] = NAMES_COUNT;
    firsts
};

fn find(name: &[u8]) -> Option<Found> {
    // Most references are one of these.
    let common = match name {
        b"nbsp" => "a0",
        b"amp" => "26",
        b"lt" => "3c",
        b"gt" => "3e",
        b"quot" => "22",
        _ => return look_up(name),
    };
    Some(Found { bare: true, numbers: common })
}

fn look_up(name: &[u8]) -> Option<Found> {
    let first = usize::from(*name.first()?);
    let lines = LINES.get(*FIRSTS.get(first)?..*FIRSTS.get(first + 1)?)?;
    let place = lines.binary_search_by(|begin| compared(*begin, name)).ok()?;
    Some(line(*lines.get(place)?).1)
}

/// How the name in the line that begins there compares to `name`, which holds letters and digits only:
/// what ends a name in a line is less than all of them.
fn compared(begin: u16, name: &[u8]) -> Ordering {
    let line = NAMES.as_bytes().get(usize::from(begin)..).unwrap_or_default();
    for (known, letter) in line.iter().zip(name) {
        match known.cmp(letter) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    let longer = line.get(name.len()).is_some_and(u8::is_ascii_alphanumeric);
    if longer { Ordering::Greater } else { Ordering::Equal }
}

/// The name and the meaning in the line that begins there.
fn line(begin: u16) -> (&'static str, Found) {
    let line = NAMES.get(usize::from(begin)..).unwrap_or_default();
    let line = line.split('\n').next().unwrap_or_default();
    let (name, numbers) = line.split_once(' ').unwrap_or_default();
    match name.strip_suffix('*') {
        Some(name) => (name, Found { bare: true, numbers }),
        None => (name, Found { bare: false, numbers }),
    }
}

/// Appends `value` with its references resolved, as in an attribute.
pub(super) fn resolve_all(value: &str, out: &mut String) {
    let mut pieces = value.split('&');
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let mut entity = Entity::BEGIN;
        let mut taken = 0;
        for &byte in piece.as_bytes() {
            let Some(more) = entity.with(byte) else { break };
            entity = more;
            taken += 1;
        }
        let behind = piece.as_bytes().get(taken).copied();
        taken += usize::from(entity.resolve(Place::Attribute, behind, out));
        out.push_str(piece.get(taken..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> String {
        let (mut out, mut entity) = (String::new(), None::<Entity>);
        for &byte in value.as_bytes() {
            if let Some(begun) = entity {
                entity = begun.with(byte);
                if entity.is_some() || begun.resolve(Place::Text, Some(byte), &mut out) {
                    continue;
                }
            }
            match byte {
                b'&' => entity = Some(Entity::BEGIN),
                _ => out.push(char::from(byte)),
            }
        }
        if let Some(begun) = entity {
            begun.resolve(Place::Text, None, &mut out);
        }
        out
    }

    fn attribute(value: &str) -> String {
        let mut out = String::new();
        resolve_all(value, &mut out);
        out
    }

    #[test]
    fn names_are_in_order_and_all_found() {
        let names: Vec<&str> = LINES.iter().map(|begin| line(*begin).0).collect();
        assert!(names.is_sorted_by(|one, other| one.as_bytes() < other.as_bytes()));
        for name in ["nbsp", "amp", "lt", "gt", "quot"].map(str::as_bytes) {
            assert_eq!(
                find(name).map(|it| (it.bare, it.numbers)),
                look_up(name).map(|it| (it.bare, it.numbers))
            );
        }
        assert!(names.iter().all(|name| find(name.as_bytes()).is_some() && name.len() < NAME_BYTES_MAX));
        let bare: Vec<_> =
            names.iter().filter(|name| find(name.as_bytes()).is_some_and(|it| it.bare)).collect();
        assert_eq!((bare.len(), bare.iter().map(|name| name.len()).max()), (106, Some(BARE_BYTES_MAX)));
    }

    #[test]
    fn references_of_text_and_attributes_alike() {
        for (value, want) in [
            ("a &amp; b &lt;c&gt;", "a & b <c>"),
            ("&eacute;&Eacute;&nbsp;&euro;", "\u{e9}\u{c9}\u{a0}\u{20ac}"),
            ("&NotEqualTilde;&CounterClockwiseContourIntegral;", "\u{2242}\u{338}\u{2233}"),
            ("&#65;&#x42;&#X43;&#068;&#x00000000000045;", "ABCDE"),
            (
                "&#128;&#150;&#0;&#xd800;&#x110000;&#99999999999999;",
                "\u{20ac}\u{2013}\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("&#65 &#x42. &#", "A B. &#"),
            ("&#x; &#xg &#; & &; &a", "&#x; &#xg &#; & &; &a"),
            ("&foo; &AmP; &hellip", "&foo; &AmP; &hellip"),
            ("&copy 1 &amp", "\u{a9} 1 &"),
            ("&&amp;&amp", "&&&"),
        ] {
            assert_eq!((text(value).as_str(), attribute(value).as_str()), (want, want), "{value}");
        }
    }

    #[test]
    fn only_in_text_is_a_name_found_within_letters() {
        for (value, in_text, in_attribute) in [
            ("&notit;", "\u{ac}it;", "&notit;"),
            ("&ltb", "<b", "&ltb"),
            ("?a=1&copy=2&amp=3", "?a=1\u{a9}=2&=3", "?a=1&copy=2&amp=3"),
            ("&notin;", "\u{2209}", "\u{2209}"),
        ] {
            assert_eq!((text(value).as_str(), attribute(value).as_str()), (in_text, in_attribute), "{value}");
        }
        let long = format!("&lt{}", "x".repeat(100));
        assert_eq!(text(&long), long.replacen("&lt", "<", 1));
    }
}
