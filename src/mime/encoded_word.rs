//! Encoded words in header fields (RFC 2047, with the language of RFC 2231 §5).
//!
//! Octets of adjacent words in one charset are joined before they become text, because many senders
//! split within a character. Words that came out of words are decoded too: one client shows what
//! another hides. Time is linear in the value whatever it holds.

use memchr::{memchr, memchr_iter};

use crate::mime::defect::{Defect, Defects};
use crate::mime::{base64, charset};

/// Rounds of decoding a value: once as the RFC says, and twice more for words within words.
const ROUNDS_MAX: usize = 3;
/// Longest name of a charset, a language included, that begins a word.
const CHARSET_BYTES_MAX: usize = 80;

/// Whether `value` may hold an encoded word; if not, it is its own text.
pub fn suspected(value: &[u8]) -> bool {
    find(value).is_some()
}

/// Where the next `=?` stands. Question marks are rare, and looking for one costs less than
/// preparing a search for two octets.
fn find(value: &[u8]) -> Option<usize> {
    memchr_iter(b'?', value).find(|mark| *mark > 0 && value[mark - 1] == b'=').map(|mark| mark - 1)
}

/// Decodes values; keeps its buffers between them.
#[derive(Debug, Default)]
pub struct Reader {
    /// Octets of adjacent words whose charset is `label`, not yet text.
    octets: Vec<u8>,
    label: Vec<u8>,
    nested: String,
}

impl Reader {
    /// Replaces `text` by what `value` says.
    pub fn decode(&mut self, value: &[u8], text: &mut String) -> Defects {
        text.clear();
        let mut defects = Defects::EMPTY;
        let mut words = self.round(value, text, &mut defects);
        for _ in 1..ROUNDS_MAX {
            if words == 0 || !suspected(text.as_bytes()) {
                break;
            }
            let mut nested = std::mem::take(&mut self.nested);
            std::mem::swap(&mut nested, text);
            text.clear();
            words = self.round(nested.as_bytes(), text, &mut Defects::EMPTY.clone());
            self.nested = nested;
            if words > 0 {
                defects.insert(Defect::WordNested);
            }
        }
        defects
    }

    /// Appends `value` with its words decoded once; how many there were.
    fn round(&mut self, value: &[u8], text: &mut String, defects: &mut Defects) -> usize {
        let (mut words, mut literal, mut at) = (0, 0, 0);
        while let Some(found) = find(&value[at..]) {
            let start = at + found;
            let parsed = Word::parse(&value[start..]);
            if matches!(parsed, Parsed::Unended(_)) {
                defects.insert(Defect::WordBroken);
            }
            match parsed {
                Parsed::Word(word) | Parsed::Unended(word) => {
                    self.between(&value[literal..start], text, defects);
                    at = start + word.bytes;
                    literal = at;
                    words += 1;
                    self.word(&word, text, defects);
                }
                Parsed::Broken(skip) => {
                    defects.insert(Defect::WordBroken);
                    at = start + skip;
                }
                Parsed::Literal(skip) => at = start + skip,
            }
        }
        if literal < value.len() {
            self.between(&value[literal..], text, defects);
        }
        self.flush(text, defects);
        words
    }

    /// White space between two words is no text (RFC 2047 §6.2); all else is.
    fn between(&mut self, literal: &[u8], text: &mut String, defects: &mut Defects) {
        let joined = !self.label.is_empty() && literal.iter().all(u8::is_ascii_whitespace);
        if !joined {
            self.flush(text, defects);
            push_literal(literal, text, defects);
        }
    }

    /// Takes the octets of a word; they become text when a word in another charset follows, or none.
    fn word(&mut self, word: &Word<'_>, text: &mut String, defects: &mut Defects) {
        if !self.label.eq_ignore_ascii_case(word.charset) {
            self.flush(text, defects);
            self.label.extend_from_slice(word.charset);
        }
        if word.text.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
            defects.insert(Defect::WordBroken);
        }
        match word.encoding {
            Encoding::Q => push_q(word.text, &mut self.octets, defects),
            Encoding::B => {
                let mut decoder = base64::Decoder::new(base64::Padding::Concatenate);
                decoder.push(word.text, &mut self.octets);
                decoder.finish(&mut self.octets);
            }
        }
    }

    /// Makes text of the octets of the words before.
    fn flush(&mut self, text: &mut String, defects: &mut Defects) {
        if self.label.is_empty() {
            return;
        }
        if !push_text(&self.label, &self.octets, text) {
            defects.insert(Defect::WordCharsetUnknown);
        }
        self.label.clear();
        self.octets.clear();
    }
}

/// Appends octets that are no word: UTF-8 as it is, all else as windows-1252, which loses none.
pub fn push_literal(literal: &[u8], text: &mut String, defects: &mut Defects) {
    if let Ok(valid) = std::str::from_utf8(literal) {
        text.push_str(valid);
    } else {
        defects.insert(Defect::HeaderEightBit);
        push_text(b"windows-1252", literal, text);
    }
}

/// Appends octets of the charset `label`; false if nobody knows it.
pub(crate) fn push_text(label: &[u8], octets: &[u8], text: &mut String) -> bool {
    if label.eq_ignore_ascii_case(b"utf-8")
        && let Ok(valid) = std::str::from_utf8(octets)
    {
        text.push_str(valid);
        return true;
    }
    let mut decoder = charset::Decoder::new(Some(label));
    decoder.push(octets, text);
    decoder.finish(text);
    !decoder.defects().label_unknown
}

/// How the octets of a word are written (RFC 2047 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    B,
    Q,
}

/// `=?charset?encoding?text?=`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word<'a> {
    charset: &'a [u8],
    encoding: Encoding,
    text: &'a [u8],
    /// All of it.
    bytes: usize,
}

/// What stands where a word may begin.
enum Parsed<'a> {
    Word(Word<'a>),
    /// One without its end, and nothing like a word behind it: some programs show what it stands for.
    Unended(Word<'a>),
    /// It begins like a word and is none; so many octets of it are literal.
    Broken(usize),
    /// No word, nor meant to be.
    Literal(usize),
}

impl<'a> Word<'a> {
    /// `input` begins with `=?`.
    fn parse(input: &'a [u8]) -> Parsed<'a> {
        let window = &input[2..input.len().min(2 + CHARSET_BYTES_MAX)];
        let Some(mark) = memchr(b'?', window).filter(|mark| *mark > 0) else {
            return Parsed::Literal(2);
        };
        let name = &window[..mark];
        let encoding = match input.get(2 + mark + 1..2 + mark + 3) {
            Some([b'b' | b'B', b'?']) => Encoding::B,
            Some([b'q' | b'Q', b'?']) => Encoding::Q,
            _ => return Parsed::Literal(2),
        };
        if !name.iter().all(u8::is_ascii_graphic) {
            return Parsed::Broken(2);
        }
        let from = 2 + mark + 3;
        match end_of_text(&input[from..]) {
            End::At(end) => Parsed::Word(Self {
                charset: before_language(name),
                encoding,
                text: &input[from..from + end],
                bytes: from + end + 2,
            }),
            End::Nowhere(scanned) if from + scanned == input.len() && scanned > 0 => {
                let text = unended(&input[from..]);
                let charset = before_language(name);
                Parsed::Unended(Self { charset, encoding, text, bytes: from + text.len() })
            }
            End::Nowhere(scanned) => Parsed::Broken(from + scanned),
        }
    }
}

/// The text of a word without end: what such a text may consist of.
fn unended(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'"');
    &text[..end.unwrap_or(text.len())]
}

enum End {
    /// `?=` stands here.
    At(usize),
    /// None comes, or another word begins first: so much need not be looked at again.
    Nowhere(usize),
}

/// The end of a word's text. Another word's beginning ends the search: what is left open there was
/// cut off, and the next word must not be swallowed.
fn end_of_text(text: &[u8]) -> End {
    let mut at = 0;
    while let Some(found) = memchr(b'?', &text[at..]) {
        let mark = at + found;
        if text.get(mark + 1) == Some(&b'=') {
            return End::At(mark);
        }
        if mark > 0 && text[mark - 1] == b'=' {
            return End::Nowhere(mark - 1);
        }
        at = mark + 1;
    }
    End::Nowhere(text.len())
}

/// `utf-8*en` is UTF-8 (RFC 2231 §5).
fn before_language(name: &[u8]) -> &[u8] {
    match memchr(b'*', name) {
        Some(star) if star > 0 => &name[..star],
        _ => name,
    }
}

/// The Q encoding (RFC 2047 §4.2); a `=` without two hexadecimal digits stands for itself.
fn push_q(text: &[u8], octets: &mut Vec<u8>, defects: &mut Defects) {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'_' => octets.push(b' '),
            b'=' => match after {
                [high, low, more @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    octets.push(hex(*high) << 4 | hex(*low));
                    rest = more;
                }
                _ => {
                    defects.insert(Defect::WordBroken);
                    octets.push(b'=');
                }
            },
            _ => octets.push(byte),
        }
    }
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: impl AsRef<[u8]>, text: &str, defects: &[Defect]) {
        let mut reader = Reader::default();
        // A second value must not see what the first left.
        for _ in 0..2 {
            let mut out = "before".to_owned();
            let found = reader.decode(value.as_ref(), &mut out);
            assert_eq!(out, text);
            assert_eq!(found.iter().collect::<Vec<_>>(), defects);
        }
    }

    #[test]
    fn words_become_text() {
        check("plain", "plain", &[]);
        check("=?utf-8?q?J=C3=BCrgen?= Kern", "Jürgen Kern", &[]);
        check("=?ISO-8859-1?Q?J=FCrgen_K?=", "Jürgen K", &[]);
        check("a =?utf-8?B?w7w=?= b", "a ü b", &[]);
        check("=?utf-8*de?q?x?=", "x", &[]);
        check("=?us-ascii?q?a?=", "a", &[]);
        check("(=?utf-8?q?a?=)", "(a)", &[]);
    }

    #[test]
    fn adjacent_words_join() {
        check("=?utf-8?q?a?= =?utf-8?q?b?=", "ab", &[]);
        check("=?utf-8?q?a?=\t =?iso-8859-1?q?=FC?= c", "aü c", &[]);
        check("=?utf-8?q?=C3?= =?UTF-8?B?vA==?=", "ü", &[]);
        check("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b", &[]);
        check("=?utf-8?q?a?==?utf-8?q?b?=", "ab", &[]);
    }

    #[test]
    fn broken_words_are_told() {
        use Defect::{WordBroken, WordNested};
        check("=?utf-8?q?a b?=", "a b", &[WordBroken]);
        check("=?utf-8?q?a", "a", &[WordBroken]);
        check("\"x =?utf-8?b?Q2F0\" y", "\"x Cat\" y", &[WordBroken]);
        check("=?utf-8?q?=zz?=", "=zz", &[WordBroken]);
        check("=?utf-8?q?a =?utf-8?q?b?=", "a b", &[WordBroken, WordNested]);
        check("=?x y?q?a?=", "=?x y?q?a?=", &[WordBroken]);
        check("what=?", "what=?", &[]);
        check("=??q?a?=", "=??q?a?=", &[]);
        check("http://x/?a=?b=?c", "http://x/?a=?b=?c", &[]);
    }

    #[test]
    fn unknown_charsets_are_told() {
        check("=?x-nothing?q?abc?=", "abc", &[Defect::WordCharsetUnknown]);
    }

    #[test]
    fn words_in_words_are_decoded() {
        check("=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?=", "a", &[Defect::WordNested]);
    }

    #[test]
    fn octets_above_127_are_kept() {
        check("J\u{fc}rgen", "Jürgen", &[]);
        check(b"J\xfcrgen", "Jürgen", &[Defect::HeaderEightBit]);
    }
}
