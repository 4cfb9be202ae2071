//! Evidence: what of a message may be written into logs, records and replies.
//!
//! PCI DSS 3.5.1 (of a card at most the first six digits and the last four are shown) and the same care
//! for accounts, people's numbers, passwords and keys.
//!
//! Invariants: no more than [`EVIDENCE_CHARS_MAX`] characters come out, all of them printable, without
//! line ends. What looks like an identifier or a secret is masked wherever it stands, whether or not a
//! check confirmed it: a wrong digit in a record is no reason to show the others.

mod glyph;
mod mask;

use std::ops::Range;

use super::validator::Check;
use glyph::{Glyph, glyphs, render};

/// Characters of one evidence.
pub const EVIDENCE_CHARS_MAX: usize = 160;
/// Bytes before a hit's end that are looked at, so that what gives a secret away is seen with it.
pub const EVIDENCE_BYTES_MAX: usize = 512;

/// Digits of a card that stay hidden at least; with fewer, the rest could be tried.
const CARD_HIDDEN_MIN: usize = 6;

/// The end of `tail`, up to a hit's `end`, with the identifier that a check found there shown as far as
/// it may be.
pub fn evidence(tail: &[u8], end: usize, found: Option<(Check, Range<usize>)>) -> String {
    let seen = tail.get(..end).unwrap_or(tail);
    let start = seen.len().saturating_sub(EVIDENCE_BYTES_MAX);
    let mut glyphs = glyphs(seen.get(start..).unwrap_or_default(), start);
    mask::all(&mut glyphs);
    if let Some((check, range)) = found {
        let first = glyphs.partition_point(|glyph| glyph.at < range.start);
        let last = glyphs.partition_point(|glyph| glyph.at < range.end);
        // Of an identifier that begins before what is looked at, nothing is known to be its beginning.
        if range.start >= start {
            show(check, glyphs.get_mut(first..last).unwrap_or_default());
        }
    }
    render::end(&glyphs, EVIDENCE_CHARS_MAX)
}

/// The start of any text, masked: names, subjects, arguments of peers.
pub fn text(text: &[u8]) -> String {
    let mut glyphs = glyphs(text.get(..EVIDENCE_BYTES_MAX).unwrap_or(text), 0);
    mask::all(&mut glyphs);
    render::start(&glyphs, EVIDENCE_CHARS_MAX)
}

/// An identifier, shown as far as it may be.
pub fn identifier(check: Check, written: &[u8]) -> String {
    let mut glyphs = glyphs(written.get(..EVIDENCE_BYTES_MAX).unwrap_or(written), 0);
    show(check, &mut glyphs);
    render::start(&glyphs, EVIDENCE_CHARS_MAX)
}

/// Hides all of an identifier but what may be seen of its kind.
fn show(check: Check, glyphs: &mut [Glyph]) {
    let count = glyphs.iter().filter(|glyph| glyph.is_word()).count();
    let (first, last) = match check {
        Check::Luhn | Check::LuhnLive | Check::LuhnAny => {
            (count.saturating_sub(4 + CARD_HIDDEN_MIN).min(6), 4)
        }
        Check::Iban => (2, 4),
        _ => (1, 2),
    };
    mask::hide(glyphs, first, last);
}

#[cfg(test)]
mod tests;
