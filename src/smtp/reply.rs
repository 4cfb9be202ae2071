//! Replies, ours and the next hop's. RFC 5321 §4.2; enhanced codes RFC 3463 and RFC 2034.
//!
//! Invariant: the wire form of a [`Reply`] is one or more whole lines, each `code`, separator,
//! text and CRLF, at most 512 octets, of printable ASCII and tabs. Whatever a next hop or a
//! configuration put into the text, a client can be led to take it for nothing else.

use crate::limits::{REPLY_LINE_BYTES_MAX, REPLY_LINE_SENT_BYTES_MAX, REPLY_LINES_MAX};
use memchr::memchr;

/// Three digits, 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

/// The first digit: what is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// 2yz
    Positive,
    /// 3yz
    Intermediate,
    /// 4yz
    Transient,
    /// 5yz
    Permanent,
}

impl Code {
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 200 && code < 600 { Some(Self(code)) } else { None }
    }

    pub const fn to_u16(self) -> u16 {
        self.0
    }

    pub const fn class(self) -> Class {
        match self.0 {
            0..300 => Class::Positive,
            300..400 => Class::Intermediate,
            400..500 => Class::Transient,
            _ => Class::Permanent,
        }
    }

    /// The code at the start of a line.
    fn parse(line: &[u8]) -> Option<Self> {
        let digits = line.first_chunk::<3>().filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        Self::new(digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
    }

    /// For a code of ours that is none: a fault of the program, told as such to the client.
    const LOCAL_ERROR: Self = Self(451);
}

/// A reply, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: Code,
    /// The wire form.
    text: Vec<u8>,
}

/// Octets of a line before its text: the code and the separator.
const PREFIX_BYTES: usize = 4;

impl Reply {
    /// A reply of one line: `text` behind `enhanced`, which may be empty.
    pub fn new(code: u16, enhanced: &str, text: &str) -> Self {
        Self::multi(code, enhanced, &[text])
    }

    /// A reply of several lines, each with the enhanced code.
    pub fn multi(code: u16, enhanced: &str, lines: &[&str]) -> Self {
        debug_assert!(Code::new(code).is_some(), "{code} is no reply code");
        let mut reply = Self { code: Code::new(code).unwrap_or(Code::LOCAL_ERROR), text: Vec::new() };
        let Some((last, before)) = lines.split_last() else {
            reply.push_line(b' ', enhanced.as_bytes());
            return reply;
        };
        for line in before {
            reply.push_line(b'-', &joined(enhanced, line));
        }
        reply.push_line(b' ', &joined(enhanced, last));
        reply
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text);
    }

    /// The wire form: whole lines.
    pub fn wire(&self) -> &[u8] {
        &self.text
    }

    pub fn code(&self) -> Code {
        self.code
    }

    pub fn class(&self) -> Class {
        self.code.class()
    }

    pub fn is_positive(&self) -> bool {
        self.class() == Class::Positive
    }

    /// The text of each line, without code, separator and line end.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.whole_lines().map(|line| line.get(PREFIX_BYTES..).unwrap_or_default())
    }

    /// The enhanced code of the first line, such as `5.1.1`, if it has one.
    pub fn enhanced(&self) -> Option<&str> {
        let word = self.lines().next()?.split(|byte| *byte == b' ').next()?;
        let word = str::from_utf8(word).ok()?;
        is_enhanced(word).then_some(word)
    }

    /// The first line for a record: printable ASCII.
    pub fn first_line(&self) -> String {
        let text = self.lines().next().unwrap_or_default();
        let text = text.iter().map(|byte| if *byte == b'\t' { ' ' } else { char::from(*byte) });
        self.code.to_u16().to_string().chars().chain([' ']).chain(text).collect()
    }

    /// With ` (id X)` at the end of the last line, which gives way if it is too long for it.
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        let id: Vec<u8> = format!(" (id {id})").bytes().map(sanitized).collect();
        let start = self.last_line_start();
        let room = (REPLY_LINE_SENT_BYTES_MAX - b"\r\n".len()).saturating_sub(id.len()).max(PREFIX_BYTES);
        let end = (self.text.len() - b"\r\n".len()).min(start + room);
        let mut line = self.text[start..end].to_vec();
        self.text.truncate(start);
        line.resize(line.len().max(PREFIX_BYTES), b' ');
        line.extend_from_slice(&id);
        self.push_line(b' ', line[PREFIX_BYTES..].trim_ascii_start());
        self
    }

    fn last_line_start(&self) -> usize {
        let end = self.text.len().saturating_sub(b"\r\n".len());
        memchr::memrchr(b'\n', &self.text[..end]).map_or(0, |at| at + 1)
    }

    /// Without their line ends.
    fn whole_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - b"\r\n".len()])
    }

    /// Appends a line. What may not stand in one is replaced, what is too much is cut off.
    fn push_line(&mut self, separator: u8, text: &[u8]) {
        const TEXT_BYTES_MAX: usize = REPLY_LINE_SENT_BYTES_MAX - PREFIX_BYTES - b"\r\n".len();
        let code = self.code.to_u16();
        let digit = |power: u16| b'0' + u8::try_from(code / power % 10).unwrap_or(0);
        self.text.extend([digit(100), digit(10), digit(1), separator]);
        self.text.extend(text.iter().take(TEXT_BYTES_MAX).copied().map(sanitized));
        self.text.extend_from_slice(b"\r\n");
    }
}

fn joined(enhanced: &str, text: &str) -> Vec<u8> {
    let between = if enhanced.is_empty() || text.is_empty() { "" } else { " " };
    [enhanced, between, text].concat().into_bytes()
}

/// RFC 5321 §4.2: `textstring = 1*(%d09 / %d32-126)`.
const fn sanitized(byte: u8) -> u8 {
    match byte {
        b'\t' | b' '..=b'~' => byte,
        _ => b'?',
    }
}

/// RFC 3463 §2: class, subject and detail, without leading zeros, at most three digits each.
fn is_enhanced(word: &str) -> bool {
    let mut parts = word.split('.');
    let class = matches!(parts.next(), Some("2" | "4" | "5"));
    let mut number = || {
        parts.next().is_some_and(|part| {
            (1..=3).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_digit())
                && (part == "0" || !part.starts_with('0'))
        })
    };
    let numbers = number() && number();
    class && numbers && parts.next().is_none()
}

/// What is wrong with what a next hop said. Its connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// A line ends with LF alone.
    BareNewline,
    LineTooLong,
    TooManyLines,
    /// No code from 200 to 599 at the start of a line, or no separator behind it.
    BadCode,
    /// Lines of one reply have different codes.
    MixedCodes,
}

/// Puts replies together from pieces of any size.
#[derive(Debug, Default)]
pub struct ReplyParser {
    /// A line whose end has not come yet.
    line: Vec<u8>,
    /// A reply whose last line has not come yet.
    reply: Option<Reply>,
    lines: usize,
}

impl ReplyParser {
    pub const fn new() -> Self {
        Self { line: Vec::new(), reply: None, lines: 0 }
    }

    /// Takes from `input` up to the end of one reply. Gives how much it took, and the reply.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut consumed = 0;
        while let Some(end) = memchr(b'\n', &input[consumed..]) {
            let rest = &input[consumed..=consumed + end];
            consumed += rest.len();
            self.gather(rest)?;
            let line = std::mem::take(&mut self.line);
            let reply = self.take_line(&line)?;
            // Its memory is good for the next line.
            self.line = line;
            self.line.clear();
            if reply.is_some() {
                return Ok((consumed, reply));
            }
        }
        self.gather(&input[consumed..])?;
        Ok((input.len(), None))
    }

    /// Whether nothing of a reply has come yet.
    pub fn is_idle(&self) -> bool {
        self.line.is_empty() && self.reply.is_none()
    }

    fn gather(&mut self, piece: &[u8]) -> Result<(), ReplyError> {
        if piece.len() > REPLY_LINE_BYTES_MAX - self.line.len() {
            return Err(ReplyError::LineTooLong);
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }

    /// The reply, if `line`, which ends with LF, is its last.
    fn take_line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let line = line.strip_suffix(b"\r\n").ok_or(ReplyError::BareNewline)?;
        let code = Code::parse(line).ok_or(ReplyError::BadCode)?;
        let (separator, text) = line[3..].split_first().unwrap_or((&b' ', b""));
        if !matches!(separator, b' ' | b'-') {
            return Err(ReplyError::BadCode);
        }
        let reply = self.reply.get_or_insert_with(|| Reply { code, text: Vec::new() });
        if reply.code != code {
            return Err(ReplyError::MixedCodes);
        }
        if self.lines == REPLY_LINES_MAX {
            return Err(ReplyError::TooManyLines);
        }
        self.lines += 1;
        reply.push_line(*separator, text);
        if *separator == b'-' {
            return Ok(None);
        }
        self.lines = 0;
        Ok(self.reply.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All replies in `input`, fed in two pieces, and whether nothing is left over.
    fn replies(input: &[u8], cut: usize) -> Result<(Vec<Reply>, bool), ReplyError> {
        let mut parser = ReplyParser::new();
        let mut replies = Vec::new();
        for mut piece in [&input[..cut], &input[cut..]] {
            while !piece.is_empty() {
                let (consumed, reply) = parser.feed(piece)?;
                piece = &piece[consumed..];
                replies.extend(reply);
            }
        }
        Ok((replies, parser.is_idle()))
    }

    #[track_caller]
    fn check(input: &str, want: Result<&[&str], ReplyError>) {
        for cut in 0..=input.len() {
            let got = replies(input.as_bytes(), cut).map(|(replies, idle)| {
                assert!(idle);
                replies.iter().map(|reply| String::from_utf8(reply.wire().to_vec()).unwrap()).collect()
            });
            let want: Result<Vec<String>, _> =
                want.map(|want| want.iter().map(|w| (*w).to_owned()).collect());
            assert_eq!(got, want, "cut at {cut}");
        }
    }

    #[test]
    fn replies_pass_as_they_are() {
        check("250 2.1.0 ok\r\n", Ok(&["250 2.1.0 ok\r\n"]));
        check("550-5.1.1 no\r\n550 5.1.1 one\r\n", Ok(&["550-5.1.1 no\r\n550 5.1.1 one\r\n"]));
        check("250 a\r\n354 b\r\n", Ok(&["250 a\r\n", "354 b\r\n"]));
    }

    #[test]
    fn text_may_be_missing() {
        check("250\r\n", Ok(&["250 \r\n"]));
        check("250 \r\n", Ok(&["250 \r\n"]));
        check("250-\r\n250 b\r\n", Ok(&["250-\r\n250 b\r\n"]));
    }

    #[test]
    fn what_may_not_stand_in_a_reply_is_replaced() {
        check("250 a\0b\rc\x1b[m\u{e9}\r\r\n", Ok(&["250 a?b?c?[m???\r\n"]));
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        check("250 ok\n", Err(ReplyError::BareNewline));
        check("250-ok\r\n250 ok\n", Err(ReplyError::BareNewline));
        check("250-a\r\n251 b\r\n", Err(ReplyError::MixedCodes));
        for wire in
            ["\r\n", "25\r\n", "abc\r\n", "150 a\r\n", "600 a\r\n", "2500\r\n", "250ok\r\n", " 250 a\r\n"]
        {
            check(wire, Err(ReplyError::BadCode));
        }
    }

    #[test]
    fn replies_are_bounded() {
        let line = format!("250 {}\r\n", "x".repeat(REPLY_LINE_BYTES_MAX - 6));
        let (whole, idle) = replies(line.as_bytes(), 100).unwrap();
        assert_eq!((whole[0].wire().len(), idle), (REPLY_LINE_SENT_BYTES_MAX, true));
        let line = format!("250 {}\r\n", "x".repeat(REPLY_LINE_BYTES_MAX - 5));
        assert_eq!(replies(line.as_bytes(), 100), Err(ReplyError::LineTooLong));

        let lines = "250-a\r\n".repeat(REPLY_LINES_MAX - 1) + "250 a\r\n";
        assert!(replies(lines.as_bytes(), 10).is_ok());
        let lines = "250-a\r\n".repeat(REPLY_LINES_MAX) + "250 a\r\n";
        assert_eq!(replies(lines.as_bytes(), 10), Err(ReplyError::TooManyLines));
    }

    #[test]
    fn our_replies_are_lines() {
        assert_eq!(Reply::new(250, "2.0.0", "ok").wire(), b"250 2.0.0 ok\r\n");
        assert_eq!(Reply::new(354, "", "go on").wire(), b"354 go on\r\n");
        assert_eq!(Reply::new(550, "5.7.1", "a\r\n250 b").wire(), b"550 5.7.1 a??250 b\r\n");
        assert_eq!(Reply::multi(214, "2.0.0", &["a", "b"]).wire(), b"214-2.0.0 a\r\n214 2.0.0 b\r\n");
        assert_eq!(Reply::multi(250, "", &[]).wire(), b"250 \r\n");
        assert_eq!(Reply::new(550, "5.7.1", &"x".repeat(900)).wire().len(), REPLY_LINE_SENT_BYTES_MAX);
    }

    #[test]
    fn an_id_goes_to_the_end_of_the_last_line() {
        let reply = Reply::new(550, "5.7.1", "no").with_id("01J");
        assert_eq!(reply.wire(), b"550 5.7.1 no (id 01J)\r\n");
        let reply = Reply::multi(550, "", &["a", "b"]).with_id("01J");
        assert_eq!(reply.wire(), b"550-a\r\n550 b (id 01J)\r\n");
        let reply = Reply::new(550, "5.7.1", &"x".repeat(900)).with_id("01J");
        assert_eq!(reply.wire().len(), REPLY_LINE_SENT_BYTES_MAX);
        assert!(reply.wire().ends_with(b"xx (id 01J)\r\n"));
        assert_eq!(Reply::new(550, "", "").with_id("1").wire(), b"550 (id 1)\r\n");
    }

    #[test]
    fn an_enhanced_code_is_three_numbers() {
        for (text, want) in [
            ("5.1.1 no", Some("5.1.1")),
            ("5.7.100", Some("5.7.100")),
            ("2.0.0", Some("2.0.0")),
            ("3.1.1 no", None),
            ("5.1 no", None),
            ("5.1.1.1 no", None),
            ("5.1.01 no", None),
            ("5.1.1000 no", None),
            ("no", None),
            ("", None),
        ] {
            assert_eq!(Reply::new(550, "", text).enhanced(), want, "{text:?}");
        }
    }

    #[test]
    fn a_record_has_the_first_line() {
        assert_eq!(Reply::multi(550, "5.1.1", &["a\tb\"", "c"]).first_line(), "550 5.1.1 a b\"");
    }

    proptest! {
        #[test]
        fn a_parsed_reply_is_parsed_the_same_again(
            lines in prop::collection::vec("(250[- ]|550[- ]|[0-9]{3})[\\x00-\\xff]{0,9}(\r\n|\n|)", 0..8),
            cut in 0..200usize,
        ) {
            let input = lines.concat().into_bytes();
            let got = replies(&input, cut.min(input.len()));
            prop_assert_eq!(&got, &replies(&input, 0));
            for reply in got.iter().flat_map(|(replies, _)| replies) {
                prop_assert_eq!(replies(reply.wire(), 0), Ok((vec![reply.clone()], true)));
                prop_assert!(reply.clone().with_id("x").wire().ends_with(b"(id x)\r\n"));
            }
        }
    }
}
