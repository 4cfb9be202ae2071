//! A field of mailboxes in tokens.
//!
//! RFC 5322 §3.2.

use std::borrow::Cow;

/// How deep comments are read.
const COMMENT_DEPTH_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, dots included.
    Atom,
    /// What stood between quotes.
    Quoted,
    /// What stood between the outer parentheses.
    Comment,
    /// What stood between brackets.
    Literal,
    /// One of the characters that separate.
    Special(u8),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: Cow<'a, [u8]>,
    /// White space stood before it.
    pub(super) is_spaced: bool,
}

impl Token<'_> {
    /// The separator, or 0.
    pub(super) const fn special(&self) -> u8 {
        match self.kind {
            Kind::Special(byte) => byte,
            _ => 0,
        }
    }

    pub(super) fn is_comment(&self) -> bool {
        self.kind == Kind::Comment
    }
}

/// A value without its line ends.
#[derive(Clone, Debug)]
pub(super) struct Unfolded<'a> {
    pub(super) text: Cow<'a, [u8]>,
    /// There was a line of white space only before its end.
    pub(super) is_blank: bool,
}

pub(super) fn unfold(value: &[u8]) -> Unfolded<'_> {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    if !value.contains(&b'\n') {
        return Unfolded { text: Cow::Borrowed(value.trim_ascii()), is_blank: false };
    }
    let lines = || value.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    // Behind the colon there may be nothing on the first line.
    let is_blank = lines().skip(1).any(|line| line.trim_ascii().is_empty());
    let text = lines().collect::<Vec<_>>().concat();
    Unfolded { text: Cow::Owned(text.trim_ascii().to_vec()), is_blank }
}

/// What a token is, its text, and what is behind it.
type Begun<'a> = (Kind, Cow<'a, [u8]>, &'a [u8]);

/// None if something that was opened is not closed, or comments are too deep.
pub(super) fn tokens(text: &[u8]) -> Option<Vec<Token<'_>>> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let begun = rest.trim_ascii_start();
        let is_spaced = begun.len() < rest.len();
        let Some((first, behind)) = begun.split_first() else { return Some(found) };
        let (kind, text, after) = match *first {
            b'"' => closed(Kind::Quoted, begun, b'"')?,
            b'[' => closed(Kind::Literal, begun, b']')?,
            b'(' => comment(begun)?,
            byte if is_special(byte) => (Kind::Special(byte), Cow::Borrowed(begun.get(..1)?), behind),
            _ => atom(begun),
        };
        found.push(Token { kind, text, is_spaced });
        rest = after;
    }
}

const fn is_special(byte: u8) -> bool {
    matches!(byte, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b':' | b';' | b'@' | b'\\' | b',' | b'"')
}

fn atom(text: &[u8]) -> Begun<'_> {
    let end =
        text.iter().position(|byte| is_special(*byte) || byte.is_ascii_whitespace()).unwrap_or(text.len());
    let (atom, after) = text.split_at(end);
    (Kind::Atom, Cow::Borrowed(atom), after)
}

/// What stands between the first octet and `mark`; a backslash takes the octet behind it as it is.
fn closed(kind: Kind, text: &[u8], mark: u8) -> Option<Begun<'_>> {
    let mut content = Vec::new();
    let mut octets = text.iter().enumerate().skip(1);
    while let Some((at, byte)) = octets.next() {
        match *byte {
            b'\\' => content.push(*octets.next()?.1),
            byte if byte == mark => return Some((kind, Cow::Owned(content), text.get(at + 1..)?)),
            byte => content.push(byte),
        }
    }
    None
}

fn comment(text: &[u8]) -> Option<Begun<'_>> {
    let (mut content, mut depth) = (Vec::new(), 0);
    let mut octets = text.iter().enumerate();
    while let Some((at, byte)) = octets.next() {
        match *byte {
            b'\\' => content.push(*octets.next()?.1),
            b'(' if depth == COMMENT_DEPTH_MAX => return None,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some((Kind::Comment, Cow::Owned(content), text.get(at + 1..)?)),
            b')' => depth -= 1,
            byte => content.push(byte),
        }
    }
    None
}
