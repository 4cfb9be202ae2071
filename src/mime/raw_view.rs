//! Content as lines, whatever its structure says: what looks like base64 or quoted-printable is decoded.
//!
//! Mail programs take for encoded what a header section declares so, and they do not agree on what is
//! a header section. So where structure is doubtful, this shows what would come out. Only that comes
//! out: lines in which nothing looks encoded are left to whoever scans the content as it is.
//!
//! * Base64 (RFC 2045 §6.8) are lines of nothing but its alphabet: one of [`LONG_LINE_CHARS_MIN`], or
//!   a line of [`PADDED_CHARS_MIN`] with its padding in place, or several lines of whole groups with
//!   [`RUN_CHARS_MIN`] in all. From there it goes on to the first octet that is none of it.
//! * Quoted-printable (RFC 2045 §6.7) are lines with an escape of two digits, and lines that a `=` at
//!   the end joins with the next.
//!
//! What must always hold:
//! * The output does not depend on how the input was cut.
//! * [`RawView::step`] and [`RawView::end_line`] are the specification; the fast paths beside them
//!   skip what they would skip, and hand over whole lines. The tests prove that both agree.
//! * What is held is a run that is not long enough yet, and one line to a bound.

use memchr::{memchr, memchr_iter};

use super::base64::{self, in_alphabet};
use super::quoted_printable;

/// A line of so many characters is base64: no word is as long.
pub const LONG_LINE_CHARS_MIN: usize = 40;
/// So many characters, padding included, are enough if the padding is what the length asks for.
pub const PADDED_CHARS_MIN: usize = 24;
/// So many characters in several lines, each of nothing else, are a run.
pub const RUN_CHARS_MIN: usize = 16;
/// Octets of a line that are looked at together; what is longer is looked at in parts.
pub const LINE_BYTES_MAX: usize = 1024;

/// Where in the content we stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In what may become a run: everything of it is held.
    Candidate,
    CandidateCr,
    /// In a run.
    Run,
    RunCr,
    /// In a line that is not of a run.
    Plain,
}

/// Decodes what looks encoded, in pieces of any size.
#[derive(Debug)]
pub struct RawView {
    state: State,
    held: Vec<u8>,
    /// Characters of the run so far, without the line at hand.
    run_chars: usize,
    run_lines: usize,
    /// Characters and padding of the line at hand.
    line_chars: usize,
    line_pads: usize,
    base64: base64::Decoder,
    /// What there is of a plain line, if it began in an earlier piece.
    line: Vec<u8>,
    /// The plain line before is joined with this one, or its beginning came out already.
    joined: bool,
    quoted: quoted_printable::Decoder,
}

impl RawView {
    pub fn new() -> Self {
        Self {
            state: State::Candidate,
            held: Vec::new(),
            run_chars: 0,
            run_lines: 0,
            line_chars: 0,
            line_pads: 0,
            base64: base64::Decoder::new(base64::Padding::Concatenate),
            line: Vec::new(),
            joined: false,
            quoted: quoted_printable::Decoder::new(),
        }
    }

    /// Appends to `out` what `content` decodes to where it looks encoded.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) {
        let mut rest = content;
        while let Some(&first) = rest.first() {
            let taken = match self.state {
                State::Plain => self.take_plain(rest, out),
                State::Run => self.take_run(rest, out),
                State::Candidate if self.held.is_empty() && is_plain(rest) => {
                    self.state = State::Plain;
                    0
                }
                _ => usize::from(self.step(first, out)),
            };
            rest = &rest[taken..];
        }
    }

    /// Ends the content. What comes after is content of its own.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.line_chars > 0 && matches!(self.state, State::Candidate | State::CandidateCr) {
            self.end_candidate_line(out);
        }
        match self.state {
            State::Run | State::RunCr => self.end_run(out),
            State::Candidate | State::CandidateCr => self.give_up(out),
            State::Plain => {}
        }
        let line = std::mem::take(&mut self.line);
        self.end_line(&line, true, out);
        self.quoted.finish(out);
        *self = Self::new();
    }

    /// Takes a byte outside plain lines; false if it is to be taken again in the state it led to.
    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        match self.state {
            State::Candidate => self.step_candidate(byte, out),
            State::Run => self.step_run(byte, out),
            State::CandidateCr if byte == b'\n' => {
                self.held.push(byte);
                self.end_candidate_line(out);
                true
            }
            State::RunCr if byte == b'\n' => {
                self.begin_line(State::Run);
                true
            }
            State::CandidateCr => {
                self.give_up(out);
                false
            }
            State::RunCr => {
                self.end_run(out);
                false
            }
            State::Plain => false,
        }
    }

    fn step_candidate(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        match byte {
            b'=' if self.line_chars > 1 && self.line_pads < 2 => self.line_pads += 1,
            b'\r' if self.line_chars > 0 => self.state = State::CandidateCr,
            b'\n' if self.line_chars > 0 => {
                self.held.push(byte);
                self.end_candidate_line(out);
                return true;
            }
            _ if in_alphabet(byte) && self.line_pads == 0 => self.line_chars += 1,
            _ => {
                self.give_up(out);
                return false;
            }
        }
        self.held.push(byte);
        if self.line_chars >= LONG_LINE_CHARS_MIN {
            self.begin_run(out);
        }
        true
    }

    /// A line of nothing but the alphabet is over.
    fn end_candidate_line(&mut self, out: &mut Vec<u8>) {
        let chars = self.line_chars + self.line_pads;
        if !chars.is_multiple_of(4) {
            // A word, and what follows would be read out of step.
            self.give_up(out);
            return self.begin_line(State::Candidate);
        }
        self.run_chars += chars;
        self.run_lines += 1;
        let padded = self.line_pads > 0 && chars >= PADDED_CHARS_MIN;
        if padded || self.run_lines > 1 && self.run_chars >= RUN_CHARS_MIN {
            self.begin_run(out);
            self.begin_line(State::Run);
        } else {
            self.begin_line(State::Candidate);
        }
    }

    fn begin_line(&mut self, state: State) {
        self.state = state;
        self.line_chars = 0;
        self.line_pads = 0;
    }

    /// What is held is base64.
    fn begin_run(&mut self, out: &mut Vec<u8>) {
        self.base64.push(&self.held, out);
        self.held.clear();
        self.state = State::Run;
        self.joined = false;
    }

    /// What is held is plain lines.
    fn give_up(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let mut lines = held.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next_if(|line| line.ends_with(b"\n")) {
            self.end_line(line, true, out);
        }
        self.line.extend(lines.flatten());
        self.held = held;
        self.held.clear();
        self.begin_plain();
    }

    fn begin_plain(&mut self) {
        self.begin_line(State::Plain);
        self.run_chars = 0;
        self.run_lines = 0;
    }

    fn step_run(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        match byte {
            b'\r' if self.line_chars > 0 => self.state = State::RunCr,
            b'\n' if self.line_chars > 0 => self.begin_line(State::Run),
            b'=' if self.line_chars > 0 || self.base64.is_within_group() => self.base64.push(&[byte], out),
            _ if in_alphabet(byte) => {
                self.base64.push(&[byte], out);
                self.line_chars += 1;
            }
            _ => {
                self.end_run(out);
                return false;
            }
        }
        true
    }

    /// The run is over: here, perhaps in the middle of a line.
    fn end_run(&mut self, out: &mut Vec<u8>) {
        self.base64.finish(out);
        // What follows has nothing to do with it.
        out.push(b'\n');
        let at_line_start = self.state == State::Run && self.line_chars == 0;
        self.begin_plain();
        if at_line_start {
            self.state = State::Candidate;
        }
    }

    /// Takes whole lines of the run, or as much of one as is plain, or one byte.
    fn take_run(&mut self, content: &[u8], out: &mut Vec<u8>) -> usize {
        let lines = if self.line_chars == 0 { run_lines(content) } else { 0 };
        let taken = if lines > 0 {
            lines
        } else {
            let chars = content.iter().take_while(|byte| in_alphabet(**byte)).count();
            self.line_chars += chars;
            chars
        };
        if taken == 0 {
            return usize::from(self.step(content.first().copied().unwrap_or_default(), out));
        }
        self.base64.push(&content[..taken], out);
        taken
    }

    /// Takes a line that is not of a run, or as much of it as there is.
    fn take_plain(&mut self, content: &[u8], out: &mut Vec<u8>) -> usize {
        let room = LINE_BYTES_MAX - self.line.len();
        let near = &content[..content.len().min(room)];
        let line_end = memchr(b'\n', near).map(|end| end + 1);
        let taken = line_end.unwrap_or(near.len());
        if line_end.is_some() && self.line.is_empty() {
            self.end_line(&content[..taken], true, out);
        } else {
            self.line.extend_from_slice(&content[..taken]);
            if line_end.is_some() || self.line.len() == LINE_BYTES_MAX {
                self.end_held_line(line_end.is_some(), out);
            }
        }
        if line_end.is_some() {
            self.begin_line(State::Candidate);
        }
        taken
    }

    fn end_held_line(&mut self, whole: bool, out: &mut Vec<u8>) {
        let mut line = std::mem::take(&mut self.line);
        let kept = if whole { 0 } else { escape_begun(&line) };
        let end = line.len() - kept;
        self.end_line(&line[..end], whole, out);
        line.drain(..end);
        self.line = line;
    }

    /// Decodes a plain line, or a part of one if it is not `whole`, if it looks encoded.
    fn end_line(&mut self, line: &[u8], whole: bool, out: &mut Vec<u8>) {
        let joins = whole && line.ends_with(b"\n") && line.trim_ascii_end().ends_with(b"=");
        let shown = self.joined || joins || has_escape(line);
        if shown {
            self.quoted.push(line, out);
        }
        self.joined = if whole { joins } else { shown };
    }
}

/// Whether a line begins with something that shows at once that it is of no run.
fn is_plain(content: &[u8]) -> bool {
    let chars = content.iter().take(LONG_LINE_CHARS_MIN).take_while(|byte| in_alphabet(**byte)).count();
    let behind = content.get(chars).filter(|_| chars < LONG_LINE_CHARS_MIN);
    match behind {
        Some(b'\r' | b'\n') => chars == 0,
        Some(b'=') => chars < 2,
        Some(_) => true,
        None => false,
    }
}

/// How many octets of `content` are whole lines of a run.
fn run_lines(content: &[u8]) -> usize {
    let mut taken = 0;
    while let Some(rest) = content.get(taken..)
        && let Some(line_end) = memchr(b'\n', rest)
    {
        let line = rest[..line_end].strip_suffix(b"\r").unwrap_or(&rest[..line_end]);
        if line.is_empty() || !is_all_base64(line) {
            break;
        }
        taken += line_end + 1;
    }
    taken
}

/// No branch depends on the bytes, so that the compiler makes vector code of the loop.
fn is_all_base64(line: &[u8]) -> bool {
    line.iter().fold(true, |all, byte| all & in_alphabet(*byte))
}

fn has_escape(line: &[u8]) -> bool {
    let digits =
        |at: usize| line.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    memchr_iter(b'=', line).any(digits)
}

/// How much of an escape `line` ends in.
fn escape_begun(line: &[u8]) -> usize {
    match line {
        [.., b'='] => 1,
        [.., b'=', _] => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `content` in pieces that end at `cuts`.
    fn view_cut(content: &[u8], cuts: &[usize]) -> Vec<u8> {
        let (mut view, mut out, mut at) = (RawView::new(), Vec::new(), 0);
        for cut in cuts.iter().copied().chain([content.len()]) {
            view.push(&content[at..cut.max(at)], &mut out);
            at = cut.max(at);
        }
        view.finish(&mut out);
        out
    }

    /// The specification alone: byte by byte, without the fast paths.
    fn view_naive(content: &[u8]) -> Vec<u8> {
        let (mut view, mut out) = (RawView::new(), Vec::new());
        for &byte in content {
            if !view.step(byte, &mut out) && !view.step(byte, &mut out) {
                view.take_plain(&[byte], &mut out);
            }
        }
        view.finish(&mut out);
        out
    }

    #[track_caller]
    fn check(content: &str, want: &str) {
        for cut in 0..=content.len() {
            let out = view_cut(content.as_bytes(), &[cut]);
            assert_eq!(String::from_utf8_lossy(&out), want, "cut at {cut}");
        }
    }

    #[test]
    fn plain_lines_are_left_out() {
        for content in [
            "",
            "\r\n\r\n",
            "Subject: x\r\n\r\nHello world,\r\nhow are you?\r\n",
            "Hello\r\nI am\r\n",
            "Thanks\r\nJohn\r\n",
            "Thanks\r\nJohn",
            "a=b&c=d=\r x = y\r\n",
            "a\n=x\n",
        ] {
            check(content, "");
        }
    }

    #[test]
    fn lines_that_look_like_base64_are_decoded() {
        let long = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0";
        check(long, "ABCDEFGHIJKLMNOPQRSTUVWXYZ1234\n");
        check(&format!("{long}\r\nNTY=\r\n\r\nx y\r\n"), "ABCDEFGHIJKLMNOPQRSTUVWXYZ123456\n");
        check(&format!("x\r\n{long} and more\r\n"), "ABCDEFGHIJKLMNOPQRSTUVWXYZ1234\n");
        check("QUJDREVG\r\nR0hJSktM\r\n--x\r\n", "ABCDEFGHIJKL\n");
        check("QUJDREVG\nR0hJSktM", "ABCDEFGHIJKL\n");
        check("QUJD\r\nREVG\r\nR0hJ\r\nSktM\r\n", "ABCDEFGHIJKL\n");
        check("QU\r\nJD\r\nRE\r\nVG\r\nR0\r\nhJ\r\nSk\r\ntM\r\n", "");
        check("Hello\r\nQUJDREVG\r\nR0hJSktM\r\n", "ABCDEFGHIJKL\n");
        check("vi=\r\nag=\r\nra\r\nx", "viagra\r\n");
        check("QUJDREVGR0hJSktMTU5PUA==\r\n", "ABCDEFGHIJKLMNOP\n");
        check("QUJDREVGR0hJSktMTU5PUA==", "ABCDEFGHIJKLMNOP\n");
        check("QUJDREVGR0hJSktMTU5PUA=\r\n x", "QUJDREVGR0hJSktMTU5PUA x");
        check("QUJDREVGR0hJSktM\r\n x", "");
    }

    #[test]
    fn streams_one_after_the_other_are_one_run() {
        check("QUJDREVGR0hJSktMTU5PUA==\r\nUQ==\r\nUlM=UQ==\r\n", "ABCDEFGHIJKLMNOPQRSQ\n");
    }

    #[test]
    fn escapes_and_joined_lines_are_decoded() {
        check("v=69agra\r\nplain text\r\n", "viagra\r\n");
        check("vi=\r\nag=\r\nra now\r\nplain text\r\n", "viagra now\r\n");
        check("I buy vi= \r\nagra", "I buy viagra");
        check("I buy vi=", "");
        check("x =3D y\r\n z=\r\n", "x = y\r\n z");
        check("href=3D\"x\"\r\n", "href=\"x\"\r\n");
    }

    #[test]
    fn long_lines_are_looked_at_in_parts() {
        let line = format!("{}=41{}", " ".repeat(LINE_BYTES_MAX - 2), ".".repeat(3000));
        for line in [line.clone(), format!(" {line}"), format!("  {line}"), format!("-{line}\r\n")] {
            let want = view_naive(line.as_bytes());
            assert!(want.starts_with(b"A....."), "{}", want.len());
            for cut in 0..line.len() {
                assert_eq!(view_cut(line.as_bytes(), &[cut]), want, "cut at {cut}");
            }
        }
    }

    /// Lines of all kinds.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            "[A-Za-z0-9+/]{0,80}={0,2}",
            "[A-Za-z0-9+/]{76}",
            "[A-Z]{1,9}",
            "[a-f =]{0,90}",
            "[a-f =]{1000,1100}",
            "([a-z ]{0,9}=[0-9A-F]{2}){0,4}",
            "[a-z ]{0,30}=[ \t]{0,2}",
        ];
        let line_end = prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")];
        proptest::collection::vec((line, line_end), 0..12)
            .prop_map(|lines| lines.into_iter().flat_map(|(line, end)| (line + end).into_bytes()).collect())
    }

    proptest! {
        #[test]
        fn the_fast_paths_do_what_the_specification_says(
            content in content(),
            cuts in proptest::collection::vec(0..900_usize, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(content.len())).collect();
            cuts.sort_unstable();
            let want = view_naive(&content);
            prop_assert_eq!(&view_cut(&content, &[]), &want);
            prop_assert_eq!(view_cut(&content, &cuts), want);
        }

        #[test]
        fn what_was_encoded_comes_out_whole(
            octets in proptest::collection::vec(any::<u8>(), 30..900),
            columns in 40..90_usize,
        ) {
            let encoded = base64_simd::STANDARD.encode_to_string(&octets);
            let lines: Vec<&str> =
                encoded.as_bytes().chunks(columns).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let content = format!("Some text before.\r\n\r\n{}\r\n\r\nSome after.\r\n", lines.join("\r\n"));
            let want = [octets, b"\n".to_vec()].concat();
            prop_assert_eq!(view_cut(content.as_bytes(), &[]), want);
        }
    }
}
