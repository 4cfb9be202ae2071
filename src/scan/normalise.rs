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
/// Bytes that are looked at and copied together while they are plain.
pub(super) const BLOCK: usize = 32;

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
            rest = self.take_plain(rest, out);
            rest = self.take_strange(rest, out);
        }
    }

    /// Copies the run of printable ASCII at the start, single spaces included, in lower case. Line ends
    /// within it are but spaces.
    fn take_plain<'a>(&mut self, text: &'a str, out: &mut Vec<u8>) -> &'a str {
        let bytes = text.as_bytes();
        let mut at = 0;
        loop {
            at = self.take_run(bytes, at, out);
            match bytes.get(at..) {
                Some([b'\r', b'\n', ..]) => at += 2,
                Some([b'\n', ..]) => at += 1,
                // All before it is ASCII, so the cut is at a character.
                _ => return text.get(at..).unwrap_or_default(),
            }
            self.space(out);
        }
    }

    /// Copies from `start` on what needs but lower case; where that ends.
    fn take_run(&mut self, bytes: &[u8], start: usize, out: &mut Vec<u8>) -> usize {
        // Whether a space is the second shows the byte before it, but for the first.
        let mut at = start + self.take_bytes(bytes.get(start..=start).unwrap_or_default(), out);
        while at > start
            && let Some((block, before)) = block_at(bytes, at)
        {
            let length = out.len();
            // A whole block is copied faster than a part of it.
            out.extend_from_slice(&block.map(|byte| byte.to_ascii_lowercase()));
            let spaced = before.first() == Some(&b' ');
            self.spaced = block.last() == Some(&b' ');
            at += BLOCK;
            if !is_plain_block(block, before) {
                let run = plain_words(block, spaced);
                out.truncate(length + run);
                self.spaced = out.last() == Some(&b' ');
                return at - BLOCK + run;
            }
        }
        at + self.take_bytes(bytes.get(at..).unwrap_or_default(), out)
    }

    /// The same of few bytes; how many it took.
    fn take_bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let run = plain_words(bytes, self.spaced);
        for byte in bytes.iter().take(run) {
            out.push(byte.to_ascii_lowercase());
            self.spaced = *byte == b' ';
        }
        run
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
    let mut out = Vec::with_capacity(text.len() + BLOCK);
    normaliser.push(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The block at `at`, and the bytes before each of its own.
fn block_at(bytes: &[u8], at: usize) -> Option<(&[u8; BLOCK], &[u8; BLOCK])> {
    let window: &[u8; BLOCK + 1] = bytes.get(at.checked_sub(1)?..)?.first_chunk()?;
    window.last_chunk().zip(window.first_chunk())
}

/// Whether all of `block` is printable ASCII with single spaces. Written so that the compiler makes vector
/// comparisons of it.
fn is_plain_block(block: &[u8; BLOCK], before: &[u8; BLOCK]) -> bool {
    let mut stops = 0;
    for (byte, before) in block.iter().zip(before) {
        let strange = byte.wrapping_sub(b' ') > b'~' - b' ';
        stops |= u8::from(strange | ((*byte == b' ') & (*before == b' ')));
    }
    stops == 0
}

/// Length of the run of printable ASCII at the start, single spaces included. Eight bytes at a time;
/// [`is_plain`] is what it means.
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
