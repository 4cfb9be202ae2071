//! Text as a row of characters, some of them hidden.

/// One character of evidence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glyph {
    pub letter: char,
    /// An octet that is no UTF-8; `letter` then stands for anything.
    pub octet: Option<u8>,
    /// Where it began.
    pub at: usize,
    pub hidden: bool,
}

impl Glyph {
    /// A letter or digit of any script.
    pub(super) fn is_word(&self) -> bool {
        self.octet.is_none() && self.letter.is_alphanumeric()
    }

    pub(super) fn is_digit(&self) -> bool {
        self.octet.is_none() && self.letter.is_numeric()
    }
}

/// The characters of `text`, which began `before` bytes into something.
pub(super) fn glyphs(text: &[u8], before: usize) -> Vec<Glyph> {
    let mut glyphs = Vec::with_capacity(text.len());
    let mut at = before;
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        let letters = valid.char_indices();
        glyphs.extend(letters.map(|(place, letter)| Glyph {
            letter,
            octet: None,
            at: at + place,
            hidden: false,
        }));
        at += valid.len();
        for octet in chunk.invalid() {
            glyphs.push(Glyph {
                letter: char::REPLACEMENT_CHARACTER,
                octet: Some(*octet),
                at,
                hidden: false,
            });
            at += 1;
        }
    }
    glyphs
}

/// Written out: printable, on one line, bounded.
pub(super) mod render {
    use std::fmt::Write;

    use super::Glyph;

    const CUT: char = '…';

    /// As much from the start as fits.
    pub(in super::super) fn start(glyphs: &[Glyph], chars_max: usize) -> String {
        let fits = fitting(glyphs.iter(), chars_max);
        let mut out = String::with_capacity(chars_max);
        glyphs.iter().take(fits).for_each(|glyph| write(*glyph, &mut out));
        if fits < glyphs.len() {
            out.push(CUT);
        }
        out
    }

    /// As much from the end as fits.
    pub(in super::super) fn end(glyphs: &[Glyph], chars_max: usize) -> String {
        let skip = glyphs.len() - fitting(glyphs.iter().rev(), chars_max);
        let mut out = String::with_capacity(chars_max);
        if skip > 0 {
            out.push(CUT);
        }
        glyphs.iter().skip(skip).for_each(|glyph| write(*glyph, &mut out));
        out
    }

    /// How many glyphs fit, room for the mark of a cut left.
    fn fitting<'a>(glyphs: impl Iterator<Item = &'a Glyph>, chars_max: usize) -> usize {
        let mut room = chars_max.saturating_sub(1);
        let fits = |glyph: &&Glyph| {
            let left = room.checked_sub(size(**glyph));
            room = left.unwrap_or(0);
            left.is_some()
        };
        glyphs.take_while(fits).count()
    }

    /// Characters that [`write`] takes for one glyph.
    fn size(glyph: Glyph) -> usize {
        match glyph {
            Glyph { hidden: true, .. } => 1,
            Glyph { octet: Some(_), .. } => 4,
            Glyph { letter: '\'' | '"', .. } => 1,
            Glyph { letter, .. } => letter.escape_debug().count(),
        }
    }

    /// One glyph: a star for what is hidden, escapes for what is not printable.
    fn write(glyph: Glyph, out: &mut String) {
        match glyph {
            Glyph { hidden: true, .. } => out.push('*'),
            Glyph { octet: Some(octet), .. } => _ = write!(out, "\\x{octet:02x}"),
            Glyph { letter: letter @ ('\'' | '"'), .. } => out.push(letter),
            Glyph { letter, .. } => out.extend(letter.escape_debug()),
        }
    }
}
