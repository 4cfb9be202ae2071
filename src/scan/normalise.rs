//! The folded view of text, so that phrases stay literals: one case, one form of each letter, one space.
//!
//! Unicode compatibility forms (UAX #15, NFKC of single code points), default ignorable characters and
//! bidi controls (UAX #9, UAX #44), letters that look alike (UTS #39, a choice of our own, see `table`).
//! What a reader takes for the same word comes out as the same bytes:
//!
//! * lower case; full-width, mathematical, circled and ligature forms as plain letters and digits;
//! * letters of other scripts that look like ASCII letters as those; curly quotes and dashes as ASCII;
//! * combining marks, zero-width characters, soft hyphens, controls: gone;
//! * a run of white space, line ends too: one space; none at the start.
//!
//! Digits that stand for letters are left alone. Invariants: each character is folded by itself, so the
//! cut of the input cannot matter; folding what is folded changes nothing.

mod table;

use table::Form;

const BYTES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = BYTES << 7;
const WORD: usize = size_of::<u64>();
/// Bytes that are looked at together while they are plain.
const BLOCK: usize = 32;

/// Most bytes that one character may become: U+FDFA is a phrase of eighteen letters.
pub const FOLDED_CHAR_BYTES_MAX: usize = 64;

/// Folds a stream of text.
#[derive(Clone, Debug)]
pub struct Normaliser {
    /// Whether the last byte out was a space, or there was none.
    spaced: bool,
}

impl Normaliser {
    /// At the start of a text, where white space is dropped.
    pub const fn new() -> Self {
        Self { spaced: true }
    }

    /// Appends what `text` folds to. The output is UTF-8 as a whole.
    pub fn push(&mut self, text: &str, out: &mut Vec<u8>) {
        let mut rest = text;
        while !rest.is_empty() {
            let plain = plain_run(rest.as_bytes(), self.spaced);
            rest = self.take_plain(rest, plain, out);
            rest = self.take_strange(rest, out);
        }
    }

    /// Copies `length` bytes in lower case; they are ASCII, so the cut is at a character.
    fn take_plain<'a>(&mut self, text: &'a str, length: usize, out: &mut Vec<u8>) -> &'a str {
        let (plain, rest) = text.split_at_checked(length).unwrap_or((text, ""));
        let start = out.len();
        out.extend_from_slice(plain.as_bytes());
        if let Some(copied) = out.get_mut(start..) {
            copied.make_ascii_lowercase();
        }
        if let Some(last) = plain.as_bytes().last() {
            self.spaced = *last == b' ';
        }
        rest
    }

    /// Folds characters one by one up to the next that needs no thought.
    fn take_strange<'a>(&mut self, text: &'a str, out: &mut Vec<u8>) -> &'a str {
        for (at, c) in text.char_indices() {
            match c {
                ' ' | '\t'..='\r' => self.space(out),
                '\0'..='\x1f' | '\x7f' => {}
                '!'..='~' => return text.get(at..).unwrap_or_default(),
                _ => self.take_form(c, out),
            }
        }
        ""
    }

    fn take_form(&mut self, c: char, out: &mut Vec<u8>) {
        match table::form(c) {
            Form::Nothing => {}
            Form::Bytes([b' ', ..], 1) => self.space(out),
            Form::Bytes([byte, ..], 1) => {
                out.push(byte);
                self.spaced = false;
            }
            Form::Bytes([one, two, ..], 2) => {
                out.extend_from_slice(&[one, two]);
                self.spaced = false;
            }
            Form::Bytes([one, two, three, _], 3) => {
                out.extend_from_slice(&[one, two, three]);
                self.spaced = false;
            }
            Form::Bytes(bytes, length) => {
                out.extend_from_slice(bytes.get(..usize::from(length)).unwrap_or_default());
                self.spaced = false;
            }
            Form::Several => table::fold(c, &mut |folded| self.take_folded(folded, out)),
        }
    }

    fn take_folded(&mut self, folded: char, out: &mut Vec<u8>) {
        if folded == ' ' {
            return self.space(out);
        }
        out.extend_from_slice(folded.encode_utf8(&mut [0; 4]).as_bytes());
        self.spaced = false;
    }

    fn space(&mut self, out: &mut Vec<u8>) {
        if !self.spaced {
            out.push(b' ');
            self.spaced = true;
        }
    }
}

/// What `text` folds to by itself.
pub fn fold(text: &str) -> String {
    folded(Normaliser::new(), text)
}

/// What `text` folds to in the midst of other text: a space at its start stays.
pub fn fold_inside(text: &str) -> String {
    folded(Normaliser { spaced: false }, text)
}

fn folded(mut normaliser: Normaliser, text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    normaliser.push(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Length of the run of printable ASCII at the start, single spaces included, that needs but lower case.
/// A block at a time, then eight bytes; `is_plain` is what it means.
fn plain_run(bytes: &[u8], spaced: bool) -> usize {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let mut spaced = spaced;
    let mut length = 0;
    for block in blocks {
        if !is_plain_block(block, spaced) {
            break;
        }
        spaced = block.last() == Some(&b' ');
        length += BLOCK;
    }
    length + plain_words(bytes.get(length..).unwrap_or_default(), spaced)
}

/// Written so that the compiler makes vector comparisons of it.
fn is_plain_block(block: &[u8; BLOCK], spaced: bool) -> bool {
    let mut strange = 0;
    let mut spaces = [0_u8; BLOCK];
    for (space, byte) in spaces.iter_mut().zip(block) {
        strange |= u8::from(byte.wrapping_sub(b' ') > b'~' - b' ');
        *space = u8::from(*byte == b' ');
    }
    let (words, _) = spaces.as_chunks::<WORD>();
    let (mut doubled, mut before) = (0, u64::from(spaced));
    for word in words.iter().map(|word| u64::from_le_bytes(*word)) {
        doubled |= word & (word << 8 | before);
        before = word >> 56;
    }
    strange == 0 && doubled == 0
}

fn plain_words(bytes: &[u8], spaced: bool) -> usize {
    let (words, rest) = bytes.as_chunks::<WORD>();
    let mut spaced = spaced;
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let spaces = equal_bytes(word, b' ');
        let doubled = spaces & (spaces << 8 | u64::from(spaced) << 7);
        // A borrow or a carry reaches only bytes above the first that stops the run.
        let control = word.wrapping_sub(BYTES * 0x20) & !word;
        let high = word | word.wrapping_add(BYTES);
        let stops = (control | high | doubled) & HIGH;
        if stops != 0 {
            return index * WORD + stops.trailing_zeros() as usize / 8;
        }
        spaced = spaces >> 63 != 0;
    }
    bytes.len() - rest.len() + plain_rest(rest, spaced)
}

fn plain_rest(bytes: &[u8], mut spaced: bool) -> usize {
    let stop = bytes.iter().position(|byte| {
        let plain = is_plain(*byte, spaced);
        spaced = *byte == b' ';
        !plain
    });
    stop.unwrap_or(bytes.len())
}

const fn is_plain(byte: u8, spaced: bool) -> bool {
    match byte {
        b' ' => !spaced,
        b'!'..=b'~' => true,
        _ => false,
    }
}

/// The high bit of each byte of `word` that equals `byte`.
const fn equal_bytes(word: u64, byte: u8) -> u64 {
    let difference = word ^ (BYTES * byte as u64);
    !(((difference & !HIGH) + !HIGH) | difference) & HIGH
}

#[cfg(test)]
mod tests;
