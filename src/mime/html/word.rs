//! What divides words without being seen: characters of no width, and comments.

use memchr::{memchr, memchr3};

use super::Trick;

/// Whether the text that is seen stands within a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Outside,
    Inside,
    /// Within a word, if a letter follows: then this was done to it.
    Interrupted(Trick),
}

impl Word {
    /// Goes on with `text`: the trick that was played in it, if one was.
    pub(super) fn follow(&mut self, text: &str) -> Option<Trick> {
        if text.is_ascii() {
            let (first, last) = (text.as_bytes().first()?, text.as_bytes().last()?);
            return self.follow_letters(first.is_ascii_alphanumeric(), last.is_ascii_alphanumeric());
        }
        let (mut found, mut rest) = (None, text);
        while let Some((at, sign)) = zero_width(rest) {
            let plain = self.follow_plain(rest.get(..at).unwrap_or_default());
            found = found.or(plain);
            match sign {
                '\u{202d}' | '\u{202e}' => found = found.or(Some(Trick::DirectionOverride)),
                _ => self.interrupt(Trick::ZeroWidth),
            }
            rest = rest.get(at + sign.len_utf8()..).unwrap_or_default();
        }
        let last = self.follow_plain(rest);
        found.or(last)
    }

    /// Something that is not seen stands here.
    pub(super) fn interrupt(&mut self, trick: Trick) {
        if *self == Self::Inside {
            *self = Self::Interrupted(trick);
        }
    }

    /// The same for text without characters of no width.
    fn follow_plain(&mut self, text: &str) -> Option<Trick> {
        let mut characters = text.chars();
        let first = characters.next()?;
        let last = characters.next_back().unwrap_or(first);
        self.follow_letters(is_letter(first), is_letter(last))
    }

    /// The same for text that begins and ends in letters or not.
    fn follow_letters(&mut self, first: bool, last: bool) -> Option<Trick> {
        let found = match *self {
            Self::Interrupted(trick) if first => Some(trick),
            _ => None,
        };
        *self = if last { Self::Inside } else { Self::Outside };
        found
    }
}

/// Letters of scripts that have no use for joiners between them, and digits.
fn is_letter(character: char) -> bool {
    character < '\u{590}' && character.is_alphanumeric()
}

/// The first character of no width, and where it is.
fn zero_width(text: &str) -> Option<(usize, char)> {
    let mut from = 0;
    loop {
        // What such characters begin with in UTF-8.
        let bytes = text.as_bytes().get(from..)?;
        let one = memchr3(0xe2, 0xef, 0xc2, bytes);
        let other = memchr(0xcd, bytes.get(..one.unwrap_or(bytes.len()))?);
        let at = from + other.or(one)?;
        let sign = text.get(at..)?.chars().next()?;
        if is_zero_width(sign) {
            return Some((at, sign));
        }
        from = at + sign.len_utf8();
    }
}

pub(super) const fn is_zero_width(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{206f}'
            | '\u{feff}'
    )
}
