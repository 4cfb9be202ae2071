//! Strings with macros: what a `domain-spec` or an explanation says once its macros are expanded.
//!
//! RFC 7208 §7. What must always hold: a string is checked wholly before any of it is expanded, and
//! no expansion exceeds [`EXPANDED_BYTES_MAX`], however often a record repeats the sender's own text.

use std::net::IpAddr;

use super::super::dns::{NAME_BYTES_MAX, Name};

/// What one string may expand to; a name has room for 253 of it.
const EXPANDED_BYTES_MAX: usize = 4096;
/// What separates parts if a macro does not say otherwise (§7.3).
const DELIMITER: &str = ".";
const DELIMITERS: &str = ".-+,/_=";

/// Where a string stands, which says what it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Term,
    /// Spaces are text here, and three more letters are defined.
    Explanation,
}

/// A string that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MacroString<'a> {
    text: &'a str,
    place: Place,
}

/// The string does not follow the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Literal(&'a str),
    /// What `%%`, `%_` or `%-` stands for.
    Escape(&'static str),
    Macro(Macro<'a>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Macro<'a> {
    /// In lower case.
    letter: char,
    /// It was in upper case: the value is escaped as in a URL.
    escape: bool,
    /// How many parts from the right are kept; 0 if all are.
    keep: usize,
    reverse: bool,
    delimiters: &'a str,
}

/// What macros stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) ip: IpAddr,
    pub(super) local_part: &'a str,
    pub(super) sender_domain: &'a str,
    pub(super) helo: &'a str,
    pub(super) receiver: &'a str,
    pub(super) unix_seconds: u64,
    /// The domain whose record is evaluated.
    pub(super) domain: &'a str,
    /// The client's own confirmed name, if the string asks for it ([`MacroString::asks_name`]).
    pub(super) client_name: &'a str,
}

impl<'a> MacroString<'a> {
    pub(super) fn parse(text: &'a str, place: Place) -> Result<Self, Malformed> {
        let string = Self { text, place };
        string.pieces().try_for_each(|piece| piece.map(|_| ()))?;
        Ok(string)
    }

    /// A string that is to be a name: it ends in a macro, or in a label that can be at the top (§7.1).
    pub(super) fn parse_domain(text: &'a str) -> Result<Self, Malformed> {
        let string = Self::parse(text, Place::Term)?;
        match string.pieces().last() {
            Some(Ok(Piece::Literal(literal))) if !ends_in_label(literal) => Err(Malformed),
            Some(Ok(_)) => Ok(string),
            _ => Err(Malformed),
        }
    }

    fn pieces(self) -> impl Iterator<Item = Result<Piece<'a>, Malformed>> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let piece = piece(rest, self.place);
            rest = piece.map_or("", |(_, after)| after);
            Some(piece.map(|(piece, _)| piece))
        })
    }

    /// Whether the client's name has to be looked up first.
    pub(super) fn asks_name(&self) -> bool {
        self.pieces().any(|piece| matches!(piece, Ok(Piece::Macro(Macro { letter: 'p', .. }))))
    }

    /// None if it becomes longer than anything that could be used.
    pub(super) fn expand(&self, values: &Values<'_>) -> Option<String> {
        let mut out = String::new();
        for piece in self.pieces() {
            match piece.ok()? {
                Piece::Literal(text) | Piece::Escape(text) => out.push_str(text),
                Piece::Macro(one) => one.expand(values, &mut out),
            }
            if out.len() > EXPANDED_BYTES_MAX {
                return None;
            }
        }
        Some(out)
    }

    /// The name it expands to; of one that is too long, what is left without labels on the left (§7.3).
    pub(super) fn expand_name(&self, values: &Values<'_>) -> Option<Name> {
        let text = self.expand(values)?;
        let mut name = text.strip_suffix('.').unwrap_or(&text);
        while name.len() > NAME_BYTES_MAX {
            name = name.split_once('.')?.1;
        }
        Name::parse(name)
    }
}

/// The first piece of `text`, and what is behind it.
fn piece(text: &str, place: Place) -> Result<(Piece<'_>, &str), Malformed> {
    let Some(after) = text.strip_prefix('%') else {
        let (literal, rest) = text.split_at(text.find('%').unwrap_or(text.len()));
        let good = |byte: u8| byte.is_ascii_graphic() || byte == b' ' && place == Place::Explanation;
        return if literal.bytes().all(good) { Ok((Piece::Literal(literal), rest)) } else { Err(Malformed) };
    };
    let mut chars = after.chars();
    let escape = match chars.next() {
        Some('%') => "%",
        Some('_') => " ",
        Some('-') => "%20",
        Some('{') => {
            let (inside, rest) = chars.as_str().split_once('}').ok_or(Malformed)?;
            return Ok((Piece::Macro(Macro::parse(inside, place)?), rest));
        }
        _ => return Err(Malformed),
    };
    Ok((Piece::Escape(escape), chars.as_str()))
}

/// A dot, and behind it a label that is no number and neither begins nor ends with a hyphen (§7.1).
fn ends_in_label(literal: &str) -> bool {
    let literal = literal.strip_suffix('.').unwrap_or(literal);
    let Some((_, label)) = literal.rsplit_once('.') else { return false };
    let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let number = label.bytes().all(|byte| byte.is_ascii_digit());
    letters && !number && !label.starts_with('-') && !label.ends_with('-')
}

impl<'a> Macro<'a> {
    fn parse(inside: &'a str, place: Place) -> Result<Self, Malformed> {
        let mut chars = inside.chars();
        let letter = chars.next().ok_or(Malformed)?;
        let defined = match letter.to_ascii_lowercase() {
            's' | 'l' | 'o' | 'd' | 'i' | 'p' | 'h' | 'v' => true,
            'c' | 'r' | 't' => place == Place::Explanation,
            _ => false,
        };
        let transformers = chars.as_str();
        let rest = transformers.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let keep = count(&transformers[..transformers.len() - rest.len()])?;
        let delimiters = rest.strip_prefix(['r', 'R']).unwrap_or(rest);
        if !defined || !delimiters.chars().all(|letter| DELIMITERS.contains(letter)) {
            return Err(Malformed);
        }
        let reverse = delimiters.len() < rest.len();
        Ok(Self {
            letter: letter.to_ascii_lowercase(),
            escape: letter.is_ascii_uppercase(),
            keep,
            reverse,
            delimiters,
        })
    }

    fn expand(&self, values: &Values<'_>, out: &mut String) {
        let value = self.value(values);
        let value = if self.transforms() { self.transform(&value) } else { value };
        if self.escape { escape(&value, out) } else { out.push_str(&value) }
    }

    const fn transforms(&self) -> bool {
        self.keep > 0 || self.reverse || !self.delimiters.is_empty()
    }

    fn value(&self, values: &Values<'_>) -> String {
        match self.letter {
            's' => format!("{}@{}", values.local_part, values.sender_domain),
            'l' => values.local_part.to_owned(),
            'o' => values.sender_domain.to_owned(),
            'd' => values.domain.to_owned(),
            'i' => dotted(values.ip),
            'p' => values.client_name.to_owned(),
            'v' => if values.ip.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
            'h' => values.helo.to_owned(),
            'c' => values.ip.to_string(),
            'r' => values.receiver.to_owned(),
            _ => values.unix_seconds.to_string(),
        }
    }

    /// Parts between delimiters: turned round, the rightmost kept, joined by dots (§7.3).
    fn transform(&self, value: &str) -> String {
        let delimiters = if self.delimiters.is_empty() { DELIMITER } else { self.delimiters };
        let mut parts: Vec<&str> = value.split(|letter| delimiters.contains(letter)).collect();
        if self.reverse {
            parts.reverse();
        }
        let dropped = if self.keep == 0 { 0 } else { parts.len().saturating_sub(self.keep) };
        parts.split_off(dropped).join(".")
    }
}

/// How many parts are kept; nothing is written for all, and no zero (§7.1).
fn count(digits: &str) -> Result<usize, Malformed> {
    if digits.is_empty() {
        return Ok(0);
    }
    let count = digits
        .bytes()
        .fold(0, |count: usize, digit| count.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    if count == 0 { Err(Malformed) } else { Ok(count) }
}

/// An address as macros have it: nibbles with dots between them for version 6 (§7.3).
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
            nibbles.map(|nibble| format!("{nibble:X}")).collect::<Vec<_>>().join(".")
        }
    }
}

/// Octets that are not "unreserved" become `%` and two digits (RFC 3986 §2.3).
fn escape(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}
