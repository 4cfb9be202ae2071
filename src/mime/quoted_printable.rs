//! Quoted-printable as it comes in mail: RFC 2045 §6.7, and what mail programs take beyond it.
//!
//! Content is lines. `=` and two hexadecimal digits, in either case, stand for an octet; `=` at the
//! end of a line joins it with the next; white space before a line end is not there (rule 3), for
//! transports added it. An escape that is none is content as it stands, as mail programs show it.
//!
//! What must always hold:
//! * Output and defects do not depend on how the input was cut.
//! * [`next`] is the specification. The fast path beside it copies only what `next` would copy byte
//!   for byte; the tests prove that both agree.
//! * A decoder holds the beginning of one escape, and white space to a bound.

use memchr::{memchr, memrchr};

/// What was wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    /// A `=` that neither begins an octet nor joins lines was kept as it stands.
    pub broken_escape: bool,
    /// Such a `=` and one digit end a line that is joined with the next: programs that join lines first
    /// find an escape there.
    pub split_escape: bool,
    /// The content ends in a `=`, which joins its last line with nothing.
    pub unended: bool,
    /// A line longer than [`LINE_BYTES_MAX`].
    pub long_line: bool,
    /// More white space before a line end than is held: some of it was kept.
    pub much_white_space: bool,
}

/// Longest line that is no defect, CRLF included: RFC 5322 §2.1.1, since many programs write lines
/// far longer than the 76 of RFC 2045, and all read them.
pub const LINE_BYTES_MAX: usize = 1000;
/// White space held until it is known whether a line end follows.
pub const WHITE_SPACE_HELD_BYTES_MAX: usize = 256;

/// Where in the content we stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    /// White space that goes if a line end follows.
    Space,
    /// The same, and a CR.
    SpaceCr,
    /// `=`
    Escape,
    /// `=` and a first digit.
    Digit(u8),
    /// `=` and white space.
    EscapeSpace,
    /// `=`, perhaps white space, and a CR.
    EscapeCr,
}

/// What a byte adds to the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Nothing,
    Itself,
    Octet(u8),
    /// Nothing yet: it is white space, and held.
    Hold,
    /// Nothing, and what is held goes: two lines are joined.
    Join,
    /// A line end, and what is held goes.
    LineEnd(&'static [u8]),
    /// Whatever the state stands for is content, and the byte is looked at again.
    Restore,
}

/// The state after `byte`, and what it adds to the content.
const fn next(state: State, byte: u8) -> (State, Output) {
    match (state, byte) {
        (State::Text, b'=') => (State::Escape, Output::Nothing),
        (State::Text | State::Space, b' ' | b'\t') => (State::Space, Output::Hold),
        (State::Text, _) => (State::Text, Output::Itself),
        (State::Space, b'\r') => (State::SpaceCr, Output::Nothing),
        (State::Space, b'\n') => (State::Text, Output::LineEnd(b"\n")),
        (State::SpaceCr, b'\n') => (State::Text, Output::LineEnd(b"\r\n")),
        (State::Escape | State::EscapeSpace, b' ' | b'\t') => (State::EscapeSpace, Output::Hold),
        (State::Escape | State::EscapeSpace, b'\r') => (State::EscapeCr, Output::Nothing),
        (State::Escape | State::EscapeSpace | State::EscapeCr, b'\n') => (State::Text, Output::Join),
        (State::Escape, digit) if digit.is_ascii_hexdigit() => (State::Digit(digit), Output::Nothing),
        (State::Digit(high), low) => match octet(high, low) {
            Some(octet) => (State::Text, Output::Octet(octet)),
            None => (State::Text, Output::Restore),
        },
        _ => (State::Text, Output::Restore),
    }
}

/// What two hexadecimal digits stand for.
const fn octet(high: u8, low: u8) -> Option<u8> {
    let (high, low) = (DIGITS[high as usize], DIGITS[low as usize]);
    if high | low < 16 { Some(high << 4 | low) } else { None }
}

/// The value of each hexadecimal digit; what is none has high bits.
static DIGITS: [u8; 256] = {
    let mut digits = [0xf0; 256];
    let mut value = 0_u8;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        digits[digit as usize] = value;
        digits[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    digits
};

/// Octets that are looked over at once for white space before a line end.
const BLOCK_BYTES: usize = 4096;

/// Undoes quoted-printable, in pieces of any size.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// White space of the state, as it was written.
    held: Vec<u8>,
    /// White space of the state that is content already, for it was too much to hold.
    overflowed: bool,
    /// What is behind `=` and one digit is another `=`.
    splits: bool,
    line_bytes: usize,
    defects: Defects,
}

impl Decoder {
    pub fn new() -> Self {
        let defects = Defects::default();
        Self {
            state: State::Text,
            held: Vec::new(),
            overflowed: false,
            splits: false,
            line_bytes: 0,
            defects,
        }
    }

    /// Appends to `out` what `input` stands for.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(input.len());
        self.measure_lines(input);
        for block in input.chunks(BLOCK_BYTES) {
            self.push_block(block, out);
        }
    }

    /// Ends the content. What comes after is content of its own.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self.state {
            State::Text => {}
            State::Space => self.defects.much_white_space |= self.overflowed,
            State::Escape | State::EscapeSpace | State::EscapeCr => self.defects.unended = true,
            State::SpaceCr => out.push(b'\r'),
            State::Digit(_) => self.restore(out),
        }
        self.enter(State::Text);
        self.line_bytes = 0;
    }

    /// What was wrong so far; complete after [`finish`](Self::finish).
    pub const fn defects(&self) -> Defects {
        self.defects
    }

    fn push_block(&mut self, block: &[u8], out: &mut Vec<u8>) {
        let spaced = has_space_before_line_end(block);
        let mut rest = block;
        while let Some(&first) = rest.first() {
            let taken = match (self.state, first) {
                (State::Text, b'=') => self.take_escape(rest, out),
                (State::Text, _) => self.take_text(rest, spaced, out),
                _ => self.crawl(&rest[..1], out),
            };
            rest = &rest[taken..];
        }
    }

    /// Takes what begins with `=`, or that octet alone.
    fn take_escape(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        match input {
            [_, b'\r', b'\n', ..] => return 3,
            [_, high, low, ..] => {
                if let Some(octet) = octet(*high, *low) {
                    out.push(octet);
                    return 3;
                }
            }
            _ => {}
        }
        self.step(b'=', out);
        1
    }

    /// Takes text up to the next `=`. If `spaced` is false, there is no white space before a line
    /// end in it; only at the end of `input` what follows decides.
    fn take_text(&mut self, input: &[u8], spaced: bool, out: &mut Vec<u8>) -> usize {
        let text = match memchr(b'=', input) {
            Some(end) => &input[..end],
            None => match input.trim_ascii_end() {
                b"" => return self.crawl(input, out),
                text => text,
            },
        };
        if spaced && has_space_before_line_end(text) {
            return self.crawl(text, out);
        }
        out.extend_from_slice(text);
        text.len()
    }

    fn crawl(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        for &byte in input {
            self.step(byte, out);
        }
        input.len()
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        let (state, output) = next(self.state, byte);
        match output {
            Output::Nothing => {}
            Output::Join => self.defects.split_escape |= self.splits,
            Output::Itself => out.push(byte),
            Output::Octet(octet) => out.push(octet),
            Output::LineEnd(line_end) => {
                self.defects.much_white_space |= self.overflowed;
                out.extend_from_slice(line_end);
            }
            Output::Hold => return self.hold(state, byte, out),
            Output::Restore => {
                let splits = matches!(self.state, State::Digit(_)) && byte == b'=';
                self.restore(out);
                self.splits = splits;
                return self.step(byte, out);
            }
        }
        self.enter(state);
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        if state == State::Text {
            self.held.clear();
            self.overflowed = false;
            self.splits = false;
        }
    }

    fn hold(&mut self, state: State, byte: u8, out: &mut Vec<u8>) {
        self.state = state;
        if self.held.len() == WHITE_SPACE_HELD_BYTES_MAX {
            self.restore(out);
            self.state = State::Space;
            self.overflowed = true;
        }
        self.held.push(byte);
    }

    /// What the state stands for turns out to be text.
    fn restore(&mut self, out: &mut Vec<u8>) {
        self.defects.broken_escape |= !matches!(self.state, State::Text | State::Space | State::SpaceCr);
        match self.state {
            State::Text | State::Space | State::SpaceCr => {}
            State::Digit(digit) => out.extend_from_slice(&[b'=', digit]),
            State::Escape | State::EscapeSpace | State::EscapeCr => out.push(b'='),
        }
        out.append(&mut self.held);
        if matches!(self.state, State::SpaceCr | State::EscapeCr) {
            out.push(b'\r');
        }
        self.enter(State::Text);
    }

    /// Looks for a line that is too long; most of the input is not read for it.
    fn measure_lines(&mut self, input: &[u8]) {
        let mut rest = input;
        // A line end within the room means that no line up to it is too long: go on from there.
        while let Some((room, _)) = rest.split_at_checked(LINE_BYTES_MAX - self.line_bytes + 1) {
            match memrchr(b'\n', &room[..room.len() - 1]) {
                Some(line_end) => rest = &rest[line_end + 1..],
                None => {
                    self.defects.long_line = true;
                    rest = &rest[room.len() - 1..];
                }
            }
            self.line_bytes = 0;
        }
        match memrchr(b'\n', rest) {
            Some(line_end) => self.line_bytes = rest.len() - line_end - 1,
            None => self.line_bytes += rest.len(),
        }
    }
}

/// No branch depends on the bytes, so that the compiler makes vector code of the loop.
fn has_space_before_line_end(text: &[u8]) -> bool {
    let Some(behind) = text.get(1..) else { return false };
    let pairs = text.iter().zip(behind);
    let found = pairs.fold(0, |found, (&before, &byte)| {
        let space = u8::from(before == b' ') | u8::from(before == b'\t');
        found | space & (u8::from(byte == b'\r') | u8::from(byte == b'\n'))
    });
    found != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLEAN: Defects = Defects {
        broken_escape: false,
        split_escape: false,
        unended: false,
        long_line: false,
        much_white_space: false,
    };
    const BROKEN: Defects = Defects { broken_escape: true, ..CLEAN };

    /// `input` in pieces that end at `cuts`.
    fn decode_cut(input: &[u8], cuts: &[usize]) -> (Vec<u8>, Defects) {
        let (mut decoder, mut out, mut at) = (Decoder::new(), Vec::new(), 0);
        for cut in cuts.iter().copied().chain([input.len()]) {
            decoder.push(&input[at..cut.max(at)], &mut out);
            at = cut.max(at);
        }
        decoder.finish(&mut out);
        (out, decoder.defects())
    }

    /// The specification alone, without the fast path.
    fn decode_naive(input: &[u8]) -> (Vec<u8>, Defects) {
        let (mut decoder, mut out) = (Decoder::new(), Vec::new());
        for &byte in input {
            decoder.measure_lines(&[byte]);
            decoder.step(byte, &mut out);
        }
        decoder.finish(&mut out);
        (out, decoder.defects())
    }

    /// Whole buffers, line by line: for content whose only line ends are CRLF.
    fn decode_lines(input: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut lines = input.split("\r\n").peekable();
        while let Some(line) = lines.next() {
            let line = line.trim_end_matches([' ', '\t']);
            let (text, joined) = line.strip_suffix('=').map_or((line, false), |text| (text, true));
            decode_escapes(text.as_bytes(), &mut out);
            if !joined && lines.peek().is_some() {
                out.extend_from_slice(b"\r\n");
            }
        }
        out
    }

    fn decode_escapes(mut text: &[u8], out: &mut Vec<u8>) {
        while let [first, rest @ ..] = text {
            let digits = rest.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
            let digits = digits.filter(|_| *first == b'=').and_then(|two| std::str::from_utf8(two).ok());
            match digits {
                Some(two) => {
                    out.push(u8::from_str_radix(two, 16).unwrap());
                    text = &rest[2..];
                }
                None => {
                    out.push(*first);
                    text = rest;
                }
            }
        }
    }

    #[track_caller]
    fn check(input: &str, want: &str, defects: Defects) {
        for cut in 0..=input.len() {
            let (out, found) = decode_cut(input.as_bytes(), &[cut]);
            assert_eq!((String::from_utf8_lossy(&out).as_ref(), found), (want, defects), "cut at {cut}");
        }
    }

    #[test]
    fn escapes_are_octets_in_either_case() {
        check("", "", CLEAN);
        check("=41=5a=c3=A9 =3D", "AZé =", CLEAN);
        check("a=00b=0D=0Ac", "a\0b\r\nc", CLEAN);
    }

    #[test]
    fn a_lone_escape_joins_lines() {
        check("vi=\r\nagra\r\n", "viagra\r\n", CLEAN);
        check("vi= \t \r\nagra\r\n", "viagra\r\n", CLEAN);
        check("vi=\nag=\r\n=\r\nra", "viagra", CLEAN);
        check("=\r\n=\r\n", "", CLEAN);
    }

    #[test]
    fn white_space_before_a_line_end_is_not_there() {
        check("a \t\r\n \r\nb\r\n", "a\r\n\r\nb\r\n", CLEAN);
        check("a  b\r\n c ", "a  b\r\n c", CLEAN);
        check("a \n\t\n", "a\n\n", CLEAN);
        check("a=20\r\n", "a \r\n", CLEAN);
        check("a \rb \r\r\n \r", "a \rb \r\r\n\r", CLEAN);
        check("a =62 =\r\n c", "a b  c", CLEAN);
    }

    #[test]
    fn an_escape_that_is_none_is_kept_and_named() {
        for text in ["a=b!", "1=1", "=G1", "=4G", "==x", "= x", "=\t\rx", "a=\rb", "href==x", "=4=G", "=4"] {
            check(text, text, BROKEN);
        }
        check("=4=41", "=4A", BROKEN);
        check("==41", "=A", BROKEN);
        check("= =41", "= A", BROKEN);
        check("==\r\nb", "=b", BROKEN);
        check("=4 \r\n", "=4\r\n", BROKEN);
    }

    #[test]
    fn a_lone_escape_at_the_end_is_dropped_and_named() {
        for text in ["a=", "a= ", "a=\t\r"] {
            check(text, "a", Defects { unended: true, ..CLEAN });
        }
    }

    #[test]
    fn long_lines_are_named_and_decoded() {
        let line = "x".repeat(LINE_BYTES_MAX - 2);
        let lines = format!("{line}\r\n{line}\r\n");
        assert_eq!(decode_cut(lines.as_bytes(), &[900, 1000, 1001]), (lines.clone().into_bytes(), CLEAN));
        let longer = format!("{lines}x{lines}");
        let long = Defects { long_line: true, ..CLEAN };
        for cut in [0, 1, 1999, 2000, 2001, 2999, 3000, 3001] {
            assert_eq!(decode_cut(longer.as_bytes(), &[cut]), (longer.clone().into_bytes(), long), "{cut}");
        }
    }

    #[test]
    fn white_space_before_a_line_end_is_held_to_a_bound() {
        let much = Defects { much_white_space: true, ..CLEAN };
        let space = " ".repeat(WHITE_SPACE_HELD_BYTES_MAX);
        check(&format!("a{space}\r\n"), "a\r\n", CLEAN);
        check(&format!("a{space} b"), &format!("a{space} b"), CLEAN);
        check(&format!("a{space} \r\n"), &format!("a{space}\r\n"), much);
        let broken = Defects { broken_escape: true, ..much };
        check(&format!("a={space} \r\nb"), &format!("a={space}\r\nb"), broken);
    }

    #[test]
    fn a_decoder_begins_anew_behind_an_end() {
        let (mut decoder, mut out) = (Decoder::new(), Vec::new());
        for _ in 0..2 {
            decoder.push(b"a=", &mut out);
            decoder.finish(&mut out);
        }
        assert_eq!(out, b"aa");
    }

    proptest! {
        #[test]
        fn the_fast_path_does_what_the_specification_says(
            input in "([a-f =\t]{0,9}|=[0-9A-Fa-f]{2}|=?[ \t]{0,3}\r?\n|[a-z ]{0,700}|=?\r)*",
            cuts in proptest::collection::vec(0..2000_usize, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.sort_unstable();
            prop_assert_eq!(decode_cut(input.as_bytes(), &cuts), decode_naive(input.as_bytes()));
        }

        #[test]
        fn lines_decode_as_one_by_one(
            input in "([a-f =\t]{0,9}|=[0-9A-Fa-f]{2}|=?[ \t]{0,3}\r\n|[a-z ]{0,99})*",
        ) {
            prop_assert_eq!(decode_cut(input.as_bytes(), &[]).0, decode_lines(&input));
        }
    }
}
