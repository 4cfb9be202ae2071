//! Base64 as it comes in mail: RFC 2045 §6.8, and what mail programs take beyond it.
//!
//! Mail programs skip what is not in the alphabet, so white space and junk may stand anywhere; they
//! differ in what padding means when more follows it. Each of these is a [`Padding`] to decode by.
//!
//! What must always hold:
//! * Output and defects do not depend on how the input was cut.
//! * [`Decoder::step`] is the specification. The fast path beside it decodes only runs in which
//!   every octet is of the standard alphabet and none is padding; the tests prove that both agree.
//! * Every octet is looked at twice at most, and a decoder holds one group of four.

use base64_simd::STANDARD_NO_PAD;
use memchr::memchr2;

/// What padding means when more follows it. Mail programs differ, so a scanner looks twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// It ends one stream, and what follows is the next: all are decoded, one after the other.
    /// Padding in a place where no group ends is skipped.
    Concatenate,
    /// It ends the content, wherever it stands.
    Stop,
    /// It is skipped like anything else outside the alphabet, and the group under way goes on.
    Skip,
}

/// What was wrong so far. Mail programs that encode for themselves show none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    /// Octets that are neither of the alphabet nor white space were skipped.
    pub junk: bool,
    /// The same behind padding: a text that somebody put below.
    pub text_after_padding: bool,
    /// Characters of the alphabet behind padding: a second stream.
    pub concatenated: bool,
    /// Padding where no group ends, or less of it than the group needs.
    pub padding_misplaced: bool,
    /// The content ends in a group that lacks its padding.
    pub padding_missing: bool,
    /// A single character is left over at the end of a stream: six bits that make no octet.
    pub truncated: bool,
    /// The bits that padding cuts off are not zero: they can carry what no decoder shows.
    pub non_canonical: bool,
    /// `-` or `_` were taken as RFC 4648 §5 has them. Some programs skip them.
    pub url_safe: bool,
}

/// Whether characters still count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// One `=` behind two characters: another must follow.
    HalfPadded,
    /// A stream ended in its padding.
    Padded,
    /// [`Padding::Stop`] has seen padding.
    Over,
}

/// What an octet stands for.
#[derive(Clone, Copy, Debug)]
enum Octet {
    /// Six bits.
    Sextet(u8),
    UrlSafe(u8),
    Space,
    Pad,
    Junk,
}

static OCTETS: [Octet; 256] = {
    let mut octets = [Octet::Junk; 256];
    let mut byte = 0_u8;
    loop {
        octets[byte as usize] = classify(byte);
        if byte == u8::MAX {
            break octets;
        }
        byte += 1;
    }
};

const fn classify(byte: u8) -> Octet {
    match byte {
        b'A'..=b'Z' => Octet::Sextet(byte - b'A'),
        b'a'..=b'z' => Octet::Sextet(byte - b'a' + 26),
        b'0'..=b'9' => Octet::Sextet(byte - b'0' + 52),
        b'+' => Octet::Sextet(62),
        b'/' => Octet::Sextet(63),
        b'-' => Octet::UrlSafe(62),
        b'_' => Octet::UrlSafe(63),
        b' ' | b'\t' | b'\r' | b'\n' => Octet::Space,
        b'=' => Octet::Pad,
        _ => Octet::Junk,
    }
}

/// Whether `byte` is one of the 64 characters of RFC 2045 §6.8.
pub const fn in_alphabet(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/')
}

/// Appends what `run` stands for, if it is whole groups of the standard alphabet and nothing else.
/// If not, `out` stays as it is.
pub fn decode_run(run: &[u8], out: &mut Vec<u8>) -> bool {
    let before = out.len();
    let well = run.len().is_multiple_of(4) && STANDARD_NO_PAD.decode_append(run, out).is_ok();
    if !well {
        out.truncate(before);
    }
    well
}

/// Octets that the fast path tries at once: a line, or what is looked at again if it has junk in it.
const RUN_BYTES_MAX: usize = 1024;

/// Undoes base64, in pieces of any size.
#[derive(Clone, Debug)]
pub struct Decoder {
    padding: Padding,
    state: State,
    /// The group under way: its characters' bits, and how many characters.
    bits: u32,
    sextets: u8,
    defects: Defects,
    /// The length of the last line: the next one is mostly as long.
    line_bytes: usize,
}

impl Decoder {
    pub fn new(padding: Padding) -> Self {
        let defects = Defects::default();
        Self { padding, state: State::Open, bits: 0, sextets: 0, defects, line_bytes: 0 }
    }

    /// Appends to `out` what `input` stands for.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(input.len() / 4 * 3 + 3);
        let mut rest = input;
        while !rest.is_empty() {
            let taken = if self.is_plain() { self.take_line(rest, out) } else { self.settle(rest, out) };
            rest = &rest[taken..];
        }
    }

    /// Ends the content. What comes after is content of its own.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.defects.padding_missing |=
            self.sextets > 1 && matches!(self.state, State::Open | State::HalfPadded);
        self.flush(out);
        self.state = State::Open;
    }

    /// What was wrong so far; complete after [`finish`](Self::finish).
    pub const fn defects(&self) -> Defects {
        self.defects
    }

    /// Whether a group is under way that more characters or padding may end.
    pub const fn is_within_group(&self) -> bool {
        self.sextets > 0
    }

    /// Between groups, and the next character simply counts.
    fn is_plain(&self) -> bool {
        self.state == State::Open && self.sextets == 0
    }

    /// Takes one line or less, at least one octet.
    fn take_line(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let line = self.line(input);
        let whole = line.len() / 4 * 4;
        if whole == 0 || !decode_run(&line[..whole], out) {
            return self.crawl(&input[..line.len().max(1)], out);
        }
        let line_end = if input[whole..].starts_with(b"\r\n") { 2 } else { 0 };
        whole + line_end
    }

    /// The line that `input` begins with, without its end. That lines are of one length is a guess
    /// that saves the search: a wrong one costs time, for CR is no character of the alphabet.
    fn line<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let guess = self.line_bytes;
        if input.get(guess..guess + 2) == Some(b"\r\n") {
            return &input[..guess];
        }
        let input = &input[..input.len().min(RUN_BYTES_MAX)];
        match memchr2(b'\r', b'\n', input) {
            Some(end) => {
                self.line_bytes = end;
                &input[..end]
            }
            None => input,
        }
    }

    /// Byte by byte until a group is complete.
    fn settle(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        for (at, &byte) in input.iter().enumerate() {
            if self.is_plain() {
                return at;
            }
            self.step(byte, out);
        }
        input.len()
    }

    /// Byte by byte.
    fn crawl(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        for &byte in input {
            self.step(byte, out);
        }
        input.len()
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        match OCTETS[usize::from(byte)] {
            Octet::Sextet(sextet) => self.take(sextet, out),
            Octet::UrlSafe(sextet) => {
                self.defects.url_safe = true;
                self.take(sextet, out);
            }
            Octet::Space => {}
            Octet::Pad => self.pad(out),
            Octet::Junk if matches!(self.state, State::Padded | State::Over) => {
                self.defects.text_after_padding = true;
            }
            Octet::Junk => self.defects.junk = true,
        }
    }

    fn take(&mut self, sextet: u8, out: &mut Vec<u8>) {
        match (self.state, self.padding) {
            (State::Open, _) => {}
            (State::Over, _) => {
                self.defects.concatenated = true;
                return;
            }
            (State::Padded, Padding::Concatenate) => self.defects.concatenated = true,
            // The padding meant nothing: the group goes on.
            (State::HalfPadded | State::Padded, _) => self.defects.padding_misplaced = true,
        }
        self.state = State::Open;
        self.bits = self.bits << 6 | u32::from(sextet);
        self.sextets += 1;
        if self.sextets == 4 {
            let [_, first, second, third] = self.bits.to_be_bytes();
            out.extend_from_slice(&[first, second, third]);
            self.empty();
        }
    }

    fn pad(&mut self, out: &mut Vec<u8>) {
        match (self.state, self.sextets, self.padding) {
            (State::Over, ..) => {}
            (_, _, Padding::Stop) => {
                self.defects.padding_misplaced |= self.sextets < 2;
                self.flush(out);
                self.state = State::Over;
            }
            (State::Open, 2, _) => self.state = State::HalfPadded,
            (State::HalfPadded, ..) | (State::Open, 3, _) => {
                self.state = State::Padded;
                if self.padding == Padding::Concatenate {
                    self.flush(out);
                }
            }
            _ => self.defects.padding_misplaced = true,
        }
    }

    /// Ends the group under way: what octets it has whole come out.
    fn flush(&mut self, out: &mut Vec<u8>) {
        let left = match self.sextets {
            0 => 0,
            1 => {
                self.defects.truncated = true;
                0
            }
            2 => {
                out.push((self.bits >> 4).to_le_bytes()[0]);
                self.bits & 0xf
            }
            _ => {
                let [_, _, first, second] = (self.bits >> 2).to_be_bytes();
                out.extend_from_slice(&[first, second]);
                self.bits & 3
            }
        };
        self.defects.non_canonical |= left != 0;
        self.empty();
    }

    fn empty(&mut self) {
        self.bits = 0;
        self.sextets = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Padding::{Concatenate, Skip, Stop};
    use proptest::prelude::*;

    const CLEAN: Defects = Defects {
        junk: false,
        text_after_padding: false,
        concatenated: false,
        padding_misplaced: false,
        padding_missing: false,
        truncated: false,
        non_canonical: false,
        url_safe: false,
    };

    /// `input` in pieces that end at `cuts`.
    fn decode_cut(padding: Padding, input: &[u8], cuts: &[usize]) -> (Vec<u8>, Defects) {
        let (mut decoder, mut out, mut at) = (Decoder::new(padding), Vec::new(), 0);
        for cut in cuts.iter().copied().chain([input.len()]) {
            decoder.push(&input[at..cut.max(at)], &mut out);
            at = cut.max(at);
        }
        decoder.finish(&mut out);
        (out, decoder.defects())
    }

    /// The specification alone, without the fast path.
    fn decode_naive(padding: Padding, input: &[u8]) -> (Vec<u8>, Defects) {
        let (mut decoder, mut out) = (Decoder::new(padding), Vec::new());
        decoder.crawl(input, &mut out);
        decoder.finish(&mut out);
        (out, decoder.defects())
    }

    /// Whole buffers and strings of bits: the octets only, written another way.
    fn decode_as_bits(padding: Padding, input: &[u8]) -> Vec<u8> {
        let kept: Vec<u8> =
            input.iter().copied().filter(|byte| in_alphabet(*byte) || b"-_=".contains(byte)).collect();
        let kept = String::from_utf8(kept).unwrap().replace('-', "+").replace('_', "/");
        let streams: Vec<String> = match padding {
            Stop => vec![kept.split('=').next().unwrap().to_owned()],
            Skip => vec![kept.replace('=', "")],
            Concatenate => streams(&kept),
        };
        streams.iter().flat_map(|stream| octets(stream)).collect()
    }

    /// Cuts behind padding that ends a group, and drops all other padding.
    fn streams(kept: &str) -> Vec<String> {
        let (mut streams, mut stream, mut pads) = (Vec::new(), String::new(), 0);
        for character in kept.chars() {
            if character != '=' {
                stream.push(character);
                pads = 0;
                continue;
            }
            pads += 1;
            if stream.len() % 4 == 3 || stream.len() % 4 == 2 && pads == 2 {
                streams.push(std::mem::take(&mut stream));
            }
        }
        streams.push(stream);
        streams
    }

    fn octets(stream: &str) -> Vec<u8> {
        const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits: String = stream.chars().map(|one| format!("{:06b}", ALPHABET.find(one).unwrap())).collect();
        let whole = &bits.as_bytes()[..bits.len() / 8 * 8];
        whole.chunks(8).map(|one| u8::from_str_radix(std::str::from_utf8(one).unwrap(), 2).unwrap()).collect()
    }

    #[track_caller]
    fn check(padding: Padding, input: &str, want: &str, defects: Defects) {
        for cut in 0..=input.len() {
            let (out, found) = decode_cut(padding, input.as_bytes(), &[cut]);
            assert_eq!((String::from_utf8_lossy(&out).as_ref(), found), (want, defects), "cut at {cut}");
        }
    }

    #[test]
    fn clean_content_decodes_the_same_in_every_reading() {
        for padding in [Concatenate, Stop, Skip] {
            check(padding, "", "", CLEAN);
            check(padding, "QUJD", "ABC", CLEAN);
            check(padding, "QUJDRA==", "ABCD", CLEAN);
            check(padding, "QUJDREU=\r\n", "ABCDE", CLEAN);
            check(padding, "QUJDREVG\r\nR0hJSktM\r\nTU5PUFFS\r\nUw==\r\n", "ABCDEFGHIJKLMNOPQRS", CLEAN);
            check(padding, "QUJDREVG\nR0hJSktM\nTQ==\n", "ABCDEFGHIJKLM", CLEAN);
            check(padding, " Q\tU J\r\n\r\n D R A = = ", "ABCD", CLEAN);
        }
    }

    #[test]
    fn lines_need_not_be_whole_groups() {
        check(Concatenate, "QUJDR\r\nEVGR0\r\nhJSkt\r\nM\r\n", "ABCDEFGHIJKL", CLEAN);
        check(Concatenate, "Q\r\nU\r\nJ\r\nD\r\n", "ABC", CLEAN);
    }

    #[test]
    fn junk_is_skipped_and_named() {
        let junk = Defects { junk: true, ..CLEAN };
        check(Concatenate, "QU*JD", "ABC", junk);
        check(Concatenate, "\u{fe}QUJD!\r\nREV.G\0\r\n", "ABCDEF", junk);
        check(Stop, "QQ==\r\n!\r\n", "A", Defects { text_after_padding: true, ..CLEAN });
        let below = Defects { text_after_padding: true, concatenated: true, ..CLEAN };
        check(Concatenate, "QUI=\r\n! QUJD", "ABABC", below);
        check(Stop, "QUI=\r\n! QUJD", "AB", below);
    }

    #[test]
    fn padding_in_the_middle_reads_three_ways() {
        let concatenated = Defects { concatenated: true, ..CLEAN };
        check(Concatenate, "QQ==QUJDREVG", "AABCDEF", concatenated);
        check(Stop, "QQ==QUJDREVG", "A", concatenated);
        check(Concatenate, "QUI=\r\nQ0Q=\r\nRQ==", "ABCDE", concatenated);
        check(Stop, "QUI=\r\nQ0Q=\r\nRQ==", "AB", concatenated);
        let misplaced = Defects { padding_misplaced: true, ..CLEAN };
        check(Skip, "QU=JD=REVG", "ABCDEF", misplaced);
        check(Skip, "QUJ=D", "ABC", misplaced);
    }

    #[test]
    fn padding_where_no_group_ends_is_skipped() {
        let misplaced = Defects { padding_misplaced: true, ..CLEAN };
        for input in ["=QUJD", "Q=UJD", "QU=JD", "QUJD=", "QUJD==", "===QUJD"] {
            check(Concatenate, input, "ABC", misplaced);
        }
        check(Concatenate, "QQ===", "A", misplaced);
        check(Stop, "=QUJD", "", Defects { concatenated: true, ..misplaced });
    }

    #[test]
    fn a_missing_end_is_named() {
        let missing = Defects { padding_missing: true, ..CLEAN };
        check(Concatenate, "QUI", "AB", missing);
        check(Concatenate, "QUJDRA", "ABCD", missing);
        check(Concatenate, "QUJDRA=", "ABCD", missing);
        check(Concatenate, "QUJDR", "ABC", Defects { truncated: true, ..CLEAN });
        check(Concatenate, "QR==", "A", Defects { non_canonical: true, ..CLEAN });
        check(Concatenate, "QUL=", "AB", Defects { non_canonical: true, ..CLEAN });
    }

    #[test]
    fn the_url_safe_alphabet_is_taken_and_named() {
        check(Concatenate, "Pz8-Pj_-", "??>>?\u{fffd}", Defects { url_safe: true, ..CLEAN });
        assert_eq!(decode_cut(Concatenate, b"-_-_", &[]).0, [0xfb, 0xff, 0xbf]);
    }

    #[test]
    fn a_decoder_begins_anew_behind_an_end() {
        let (mut decoder, mut out) = (Decoder::new(Stop), Vec::new());
        for _ in 0..2 {
            decoder.push(b"QUJDRA==", &mut out);
            decoder.finish(&mut out);
        }
        assert_eq!((out.as_slice(), decoder.defects()), (&b"ABCDABCD"[..], CLEAN));
    }

    #[test]
    fn a_run_is_decoded_whole_or_not_at_all() {
        let mut out = b"x".to_vec();
        for run in ["QUJ", "QUJ=", "QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJ!", "QU\r\n"] {
            assert!(!decode_run(run.as_bytes(), &mut out));
        }
        assert!(decode_run(b"QUJD", &mut out));
        assert_eq!(out, b"xABC");
    }

    /// Lines that are mostly clean, so that the fast path and its exits both run.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            8 => ("[A-Za-z0-9+/]{0,90}", Just("\r\n")),
            4 => ("[A-Za-z0-9+/]{76}", Just("\r\n")),
            2 => ("[A-Za-z0-9+/]{0,20}={0,3}", Just("\r\n")),
            1 => ("[A-Za-z0-9+/=_ .!\t-]{0,40}", Just("\n")),
            1 => ("[A-Za-z]{0,2000}", Just("")),
        ];
        let lines = proptest::collection::vec(line, 0..12);
        lines.prop_map(|lines| lines.into_iter().flat_map(|(line, end)| (line + end).into_bytes()).collect())
    }

    proptest! {
        #[test]
        fn the_fast_path_does_what_the_specification_says(
            input in content(),
            cuts in proptest::collection::vec(0..400_usize, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.sort_unstable();
            for padding in [Concatenate, Stop, Skip] {
                let found = decode_cut(padding, &input, &cuts);
                prop_assert_eq!(&found, &decode_naive(padding, &input));
                prop_assert_eq!(found.0, decode_as_bits(padding, &input));
            }
        }
    }
}
