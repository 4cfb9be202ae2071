//! Message content on the wire: transparency, the end of data, and bare newlines.
//!
//! RFC 5321 §4.5.2 (transparency), §2.3.8 (lines), §4.1.1.4 (DATA); RFC 3030 (BDAT).
//!
//! Invariants, whatever the bytes and wherever they are cut:
//! * Only `<CRLF>.<CRLF>` ends a message, or `.<CRLF>` as its very first line. A line that a bare
//!   newline began is not a line start: a dot there is content.
//! * No bare CR, bare LF or NUL ever comes out. A next hop that reads `<LF>.<LF>` as an end could
//!   otherwise be made to see two messages where we saw one.
//! * `next` is the specification. The fast path beside it copies only what `next` would copy
//!   byte for byte; the tests prove that both agree.

use memchr::{memmem, memrchr};

/// How content lies on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Dots are stuffed, and a lone dot ends it.
    Data,
    /// The octets are counted: all of them are content.
    Bdat,
}

/// What happens to a CR without LF, an LF without CR, and a NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareNewline {
    Refuse,
    /// A bare LF becomes CRLF; a bare CR and a NUL become a space.
    Replace,
}

/// Why content is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentFault {
    BareCr,
    BareLf,
    Nul,
    LineTooLong,
}

/// What one call of [`Decoder::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Octets taken. Behind an end they stop after it, at a fault they stop before it.
    pub consumed: usize,
    /// The end of data was seen, now or before.
    pub end: bool,
    /// Decoding stopped here for good, unless the decoder is told to [`tolerate`](Decoder::tolerate).
    pub fault: Option<ContentFault>,
}

/// Where in the content we stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// After CRLF, or at the very beginning.
    LineStart,
    /// After a dot at a line start: it stands for nothing, whatever follows.
    Dot,
    /// After dot and CR at a line start.
    DotCr,
    Line,
    /// After a CR that is content if LF follows.
    Cr,
    End,
}

/// What a byte adds to the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Nothing,
    Itself,
    CrLf,
}

/// The state after `byte`, and what it adds to the content.
const fn next(framing: Framing, state: State, byte: u8) -> Result<(State, Output), ContentFault> {
    Ok(match (state, byte) {
        (State::LineStart, b'.') if matches!(framing, Framing::Data) => (State::Dot, Output::Nothing),
        (State::Dot, b'\r') => (State::DotCr, Output::Nothing),
        (State::DotCr, b'\n') => (State::End, Output::Nothing),
        (State::Cr, b'\n') => (State::LineStart, Output::CrLf),
        (State::Cr | State::DotCr, _) => return Err(ContentFault::BareCr),
        (_, b'\n') => return Err(ContentFault::BareLf),
        (_, 0) => return Err(ContentFault::Nul),
        (_, b'\r') => (State::Cr, Output::Nothing),
        _ => (State::Line, Output::Itself),
    })
}

/// Octets surveyed at once: they stay in the first-level cache until they are copied.
const BLOCK_BYTES: usize = 4096;
/// What is looked at again of a block with a fault in it, so that one bare newline in each does
/// not make a stream of blocks slow.
const SMALL_BLOCK_BYTES: usize = 64;

/// Takes content off the wire, in pieces of any size.
#[derive(Clone, Debug)]
pub struct Decoder {
    framing: Framing,
    bare_newline: BareNewline,
    line_bytes_max: usize,
    state: State,
    /// Octets of content in the line so far; 0 after a line end and at the beginning.
    line_bytes: usize,
    fault: Option<ContentFault>,
    /// A line of the content may begin with a dot; see [`take_dotted`](Self::take_dotted).
    dotted: bool,
}

impl Decoder {
    /// `line_bytes_max` counts a line's CRLF and not a stuffed dot.
    pub fn new(framing: Framing, bare_newline: BareNewline, line_bytes_max: u64) -> Self {
        Self {
            framing,
            bare_newline,
            line_bytes_max: usize::try_from(line_bytes_max).unwrap_or(usize::MAX),
            state: State::LineStart,
            line_bytes: 0,
            fault: None,
            dotted: false,
        }
    }

    /// Appends to `content` what `wire` holds of it.
    pub fn decode(&mut self, wire: &[u8], content: &mut Vec<u8>) -> Decoded {
        content.reserve(wire.len());
        let consumed = self.decode_blocks::<BLOCK_BYTES>(wire, content);
        Decoded { consumed, end: self.state == State::End, fault: self.fault }
    }

    /// Whether a line that was appended since the last call may begin with a dot. If not, nobody
    /// need look for one before the content goes up behind DATA.
    pub const fn take_dotted(&mut self) -> bool {
        std::mem::replace(&mut self.dotted, false)
    }

    /// Ends counted content: whether it ends with CRLF or is empty.
    ///
    /// A CR that still waits for its LF is a fault whatever the policy: there is no output left
    /// to replace it in.
    pub fn finish(&mut self) -> Result<bool, ContentFault> {
        if matches!(self.state, State::Cr | State::DotCr) {
            self.fault = Some(ContentFault::BareCr);
        }
        self.fault.map_or(Ok(self.line_bytes == 0), Err)
    }

    /// From here on nothing is a fault. For a message that is refused already and whose end must
    /// still be found, so that its sender hears the refusal.
    pub fn tolerate(&mut self) {
        self.bare_newline = BareNewline::Replace;
        self.line_bytes_max = usize::MAX;
        self.fault = None;
    }

    fn decode_blocks<const BLOCK_BYTES: usize>(&mut self, wire: &[u8], content: &mut Vec<u8>) -> usize {
        let mut consumed = 0;
        while consumed < wire.len() && self.is_open() {
            let block = &wire[consumed..];
            let block = &block[..block.len().min(BLOCK_BYTES)];
            consumed += self.decode_block(block, content);
        }
        consumed
    }

    /// At least one octet of `block`, unless there is a fault in the way.
    fn decode_block(&mut self, block: &[u8], content: &mut Vec<u8>) -> usize {
        if !self.is_plain() {
            return self.settle(block, content);
        }
        // A CR at the end can only be judged with what follows it.
        let plain = block.strip_suffix(b"\r").unwrap_or(block);
        let sight = look_over(plain);
        if plain.is_empty() || sight.faulty {
            return match block.len() {
                ..=SMALL_BLOCK_BYTES => self.crawl(block, content),
                _ => self.decode_blocks::<SMALL_BLOCK_BYTES>(block, content),
            };
        }
        let at_line_start = self.state == State::LineStart && plain.starts_with(b".");
        if self.framing == Framing::Data && (sight.dotted || at_line_start) {
            return self.copy_between_dots(plain, content);
        }
        self.dotted |= sight.dotted;
        self.copy(plain, content)
    }

    /// `block` has no bare newline and no NUL: only dots at line starts need a closer look.
    fn copy_between_dots(&mut self, block: &[u8], content: &mut Vec<u8>) -> usize {
        let mut at = self.settle_dot(block, content);
        for line_end in memmem::find_iter(block, b"\n.") {
            if !self.is_open() || line_end < at {
                return at;
            }
            at += self.copy(&block[at..=line_end], content);
            if self.is_open() {
                at += self.settle_dot(&block[at..], content);
            }
        }
        if self.is_open() && self.is_plain() {
            at += self.copy(&block[at..], content);
        }
        at
    }

    /// Takes the dot at the start of a line, if there is one, and what it leads to.
    fn settle_dot(&mut self, wire: &[u8], content: &mut Vec<u8>) -> usize {
        if self.state != State::LineStart || wire.first() != Some(&b'.') {
            return 0;
        }
        1 + if self.step(b'.', content) { self.settle(&wire[1..], content) } else { 0 }
    }

    /// Copies `run`, in which every octet is content as it is.
    fn copy(&mut self, run: &[u8], content: &mut Vec<u8>) -> usize {
        let Some(line_bytes) = self.line_bytes_after(run) else {
            // The slow way stops exactly where the line becomes too long.
            return self.crawl(run, content);
        };
        content.extend_from_slice(run);
        self.dotted |= self.line_bytes == 0 && run.starts_with(b".");
        self.line_bytes = line_bytes;
        match run.last() {
            Some(b'\n') => self.state = State::LineStart,
            Some(_) => self.state = State::Line,
            None => {}
        }
        run.len()
    }

    /// The length of the line that `run` leaves open, or nothing if it makes a line too long.
    fn line_bytes_after(&self, run: &[u8]) -> Option<usize> {
        let mut room = self.line_bytes_max.checked_sub(self.line_bytes)?;
        let mut rest = run;
        // A line end within the room means that no line up to it is too long: go on from there.
        while rest.len() > room {
            let line_end = memrchr(b'\n', &rest[..room])?;
            rest = &rest[line_end + 1..];
            room = self.line_bytes_max;
        }
        Some(match memrchr(b'\n', rest) {
            Some(line_end) => rest.len() - line_end - 1,
            None => self.line_bytes_max - room + rest.len(),
        })
    }

    /// Byte by byte until a line is plainly under way again.
    fn settle(&mut self, wire: &[u8], content: &mut Vec<u8>) -> usize {
        for (at, &byte) in wire.iter().enumerate() {
            if self.is_plain() || !self.is_open() || !self.step(byte, content) {
                return at;
            }
        }
        wire.len()
    }

    /// Byte by byte.
    fn crawl(&mut self, wire: &[u8], content: &mut Vec<u8>) -> usize {
        for (at, &byte) in wire.iter().enumerate() {
            if !self.is_open() || !self.step(byte, content) {
                return at;
            }
        }
        wire.len()
    }

    /// Takes one byte, or refuses it and stays before it.
    fn step(&mut self, byte: u8, content: &mut Vec<u8>) -> bool {
        let taken = match next(self.framing, self.state, byte) {
            Ok((state, output)) => self.enter(state, output, byte, content),
            Err(fault) => match self.bare_newline {
                BareNewline::Refuse => Err(fault),
                BareNewline::Replace => self.replace(fault, byte, content),
            },
        };
        self.fault = taken.err();
        self.fault.is_none()
    }

    fn enter(
        &mut self,
        state: State,
        output: Output,
        byte: u8,
        content: &mut Vec<u8>,
    ) -> Result<(), ContentFault> {
        match output {
            Output::Nothing => {}
            Output::Itself => self.push([byte], content)?,
            Output::CrLf => {
                self.push(*b"\r\n", content)?;
                self.line_bytes = 0;
            }
        }
        self.state = state;
        Ok(())
    }

    /// Puts in the place of a bare newline or NUL what cannot be misread.
    fn replace(&mut self, fault: ContentFault, byte: u8, content: &mut Vec<u8>) -> Result<(), ContentFault> {
        match fault {
            ContentFault::BareCr => {
                self.push(*b" ", content)?;
                self.state = State::Line;
                // The CR was before this byte, which is still to be judged.
                return if self.step(byte, content) { Ok(()) } else { self.fault.map_or(Ok(()), Err) };
            }
            ContentFault::BareLf => {
                // A sender that takes LF for a line end meant this dot as content or as an end.
                // It is no end, so content it is.
                if self.state == State::Dot {
                    self.push(*b".", content)?;
                    self.state = State::Line;
                }
                self.push(*b"\r\n", content)?;
                self.line_bytes = 0;
            }
            ContentFault::Nul | ContentFault::LineTooLong => self.push(*b" ", content)?,
        }
        // Not a line start, even after a line end: only CRLF makes one.
        self.state = State::Line;
        Ok(())
    }

    fn push<const LEN: usize>(
        &mut self,
        bytes: [u8; LEN],
        content: &mut Vec<u8>,
    ) -> Result<(), ContentFault> {
        if LEN > self.line_bytes_max - self.line_bytes {
            return Err(ContentFault::LineTooLong);
        }
        content.extend_from_slice(&bytes);
        self.dotted |= self.line_bytes == 0 && bytes[0] == b'.';
        self.line_bytes += LEN;
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.state != State::End && self.fault.is_none()
    }

    fn is_plain(&self) -> bool {
        matches!(self.state, State::LineStart | State::Line)
    }
}

/// What a block that does not follow a CR holds, seen in one pass.
struct Sight {
    /// A bare newline or a NUL. A CR at its end, with nothing to judge it by, counts as bare.
    faulty: bool,
    /// A dot behind a LF.
    dotted: bool,
}

/// No branch depends on the bytes, so that the compiler makes vector code of the loop.
fn look_over(block: &[u8]) -> Sight {
    let (Some(&first), Some(&last)) = (block.first(), block.last()) else {
        return Sight { faulty: false, dotted: false };
    };
    let mut unpaired = u8::from(first == b'\n') | u8::from(last == b'\r');
    let mut least = first;
    let mut dot = 1;
    for (&before, &byte) in block.iter().zip(&block[1..]) {
        // 0 if it is the newline's half, else 1: LF and CR before it must agree.
        unpaired |= (byte ^ b'\n').min(1) ^ (before ^ b'\r').min(1);
        least = least.min(byte);
        // 0 only for a dot behind a LF.
        dot = dot.min((byte ^ b'.') | (before ^ b'\n'));
    }
    Sight { faulty: unpaired != 0 || least == 0, dotted: dot == 0 }
}

/// Appends `content` with its dots stuffed, for a next hop that takes DATA.
///
/// `at_line_start` is true before the first octet of a message, and is kept from piece to piece.
pub fn stuff(content: &[u8], at_line_start: &mut bool, out: &mut Vec<u8>) {
    let Some(&last) = content.last() else { return };
    if *at_line_start && content[0] == b'.' {
        out.push(b'.');
    }
    let mut copied = 0;
    for line_end in memmem::find_iter(content, b"\n.") {
        out.extend_from_slice(&content[copied..=line_end]);
        out.push(b'.');
        copied = line_end + 1;
    }
    out.extend_from_slice(&content[copied..]);
    *at_line_start = last == b'\n';
}

/// Whether [`stuff`] would change `content`.
pub fn needs_stuffing(content: &[u8], at_line_start: bool) -> bool {
    at_line_start && content.first() == Some(&b'.') || memmem::find(content, b"\n.").is_some()
}

/// Appends the end of data, and before it the line end that the last line may lack.
pub fn write_end_of_data(ends_with_crlf: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if ends_with_crlf { b".\r\n" } else { b"\r\n.\r\n" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use BareNewline::{Refuse, Replace};
    use Framing::{Bdat, Data};
    use proptest::prelude::*;

    /// All of `wire` through `decoder`, in pieces of the sizes of `cuts` (the last one: the rest).
    fn decode_cut(mut decoder: Decoder, wire: &[u8], cuts: &[usize]) -> (Vec<u8>, Decoded) {
        let mut content = Vec::new();
        let mut at = 0;
        let mut last = Decoded { consumed: 0, end: false, fault: None };
        for cut in cuts.iter().copied().chain([usize::MAX]) {
            let piece = &wire[at..at + cut.min(wire.len() - at)];
            last = decoder.decode(piece, &mut content);
            at += last.consumed;
            if last.consumed < piece.len() {
                break;
            }
        }
        (content, Decoded { consumed: at, ..last })
    }

    /// The specification alone: what `next` says, without the fast path.
    fn decode_naive(mut decoder: Decoder, wire: &[u8]) -> (Vec<u8>, Decoded) {
        let mut content = Vec::new();
        let consumed = decoder.crawl(wire, &mut content);
        let end = decoder.state == State::End;
        (content, Decoded { consumed, end, fault: decoder.fault })
    }

    /// `want`: content, and what is left of the wire after an end.
    #[track_caller]
    fn check(bare_newline: BareNewline, wire: &str, want: Result<(&str, Option<&str>), ContentFault>) {
        for cut in 0..=wire.len() {
            let decoder = Decoder::new(Data, bare_newline, u64::MAX);
            let (content, decoded) = decode_cut(decoder, wire.as_bytes(), &[cut]);
            let content = String::from_utf8(content).unwrap();
            let got = match decoded.fault {
                Some(fault) => Err(fault),
                None => Ok((content.as_str(), decoded.end.then(|| &wire[decoded.consumed..]))),
            };
            assert_eq!(got, want, "cut at {cut}");
        }
    }

    #[test]
    fn only_a_lone_dot_between_line_ends_ends_a_message() {
        check(Refuse, ".\r\n", Ok(("", Some(""))));
        check(Refuse, ".\r\n.\r\n", Ok(("", Some(".\r\n"))));
        check(Refuse, "a\r\n.\r\nQUIT\r\n", Ok(("a\r\n", Some("QUIT\r\n"))));
        check(Refuse, "a\r\n.\r\n\n\n\r", Ok(("a\r\n", Some("\n\n\r"))));
        check(Refuse, "a\r\n. \r\n", Ok(("a\r\n \r\n", None)));
        check(Refuse, "a.\r\n", Ok(("a.\r\n", None)));
        check(Refuse, "a\r\n..\r\n.\r\n", Ok(("a\r\n.\r\n", Some(""))));
        check(Refuse, "", Ok(("", None)));
    }

    #[test]
    fn one_dot_at_a_line_start_is_removed() {
        check(Refuse, "..a\r\n...\r\n.b\r\n.\r\n", Ok((".a\r\n..\r\nb\r\n", Some(""))));
    }

    #[test]
    fn bare_newlines_are_refused() {
        for wire in ["a\n.\n", "a\n.\r\n", "a\r\n.\n", "\n", ".\n"] {
            check(Refuse, wire, Err(ContentFault::BareLf));
        }
        for wire in ["a\r.\r", "a\r\n.\r\r\n", "a\r\r\n", ".\r.\r\n", "a\r.\r\n", "\r\0"] {
            check(Refuse, wire, Err(ContentFault::BareCr));
        }
        check(Refuse, "a\0", Err(ContentFault::Nul));
        check(Refuse, ".\0", Err(ContentFault::Nul));
    }

    #[test]
    fn a_replaced_newline_neither_ends_a_message_nor_begins_an_end() {
        check(Replace, "a\n.\r\nb\r\n.\r\n", Ok(("a\r\n.\r\nb\r\n", Some(""))));
        check(Replace, "a\n.\nb\r\n.\r\n", Ok(("a\r\n.\r\nb\r\n", Some(""))));
        check(Replace, "a\r\n.\nb\r\n.\r\n", Ok(("a\r\n.\r\nb\r\n", Some(""))));
        check(Replace, "a\r.\r\nb", Ok(("a .\r\nb", None)));
        check(Replace, "a\r\n.\rb", Ok(("a\r\n b", None)));
        check(Replace, "a\r\n.\r\r\n.\r\n", Ok(("a\r\n \r\n", Some(""))));
        check(Replace, "\n..\r\n", Ok(("\r\n..\r\n", None)));
        check(Replace, "a\0b\r\0", Ok(("a b  ", None)));
        check(Replace, ".\0\r\n", Ok((" \r\n", None)));
        check(Replace, "\r\r\r\n.\r\n", Ok(("  \r\n", Some(""))));
        check(Replace, "\n\r\n.\r\n", Ok(("\r\n\r\n", Some(""))));
    }

    #[test]
    fn counted_content_has_no_dots_to_remove_and_no_end() {
        let wire = b".\r\n..a\r\n.\r\n";
        for cut in 0..=wire.len() {
            let mut content = Vec::new();
            let mut decoder = Decoder::new(Bdat, Refuse, u64::MAX);
            for piece in [&wire[..cut], &wire[cut..]] {
                let decoded = decoder.decode(piece, &mut content);
                assert_eq!(decoded, Decoded { consumed: piece.len(), end: false, fault: None });
            }
            assert_eq!(content, wire);
            assert_eq!(decoder.finish(), Ok(true));
        }
    }

    #[test]
    fn counted_content_may_end_anywhere_but_inside_a_line_end() {
        for (wire, want) in [
            ("", Ok(true)),
            ("a", Ok(false)),
            ("a\r\n", Ok(true)),
            ("\r", Err(ContentFault::BareCr)),
            ("a\r\n.\r", Err(ContentFault::BareCr)),
            ("a\r\n.", Ok(false)),
        ] {
            let mut decoder = Decoder::new(Bdat, Replace, u64::MAX);
            decoder.decode(wire.as_bytes(), &mut Vec::new());
            assert_eq!(decoder.finish(), want, "{wire:?}");
        }
    }

    #[test]
    fn a_line_is_as_long_as_its_content_with_its_line_end() {
        for (wire, line_bytes_max, want) in [
            ("abc\r\n.\r\n", 5, None),
            ("abc\r\n.\r\n", 4, Some(4)),
            (".abc\r\n", 5, None),
            ("abcd\r\nabcdef", 6, None),
            ("abcd\r\nabcdef", 5, Some(5)),
            ("ab\r\nabcdef", 5, Some(9)),
            ("ab\r\nabcde\r\n", 5, Some(10)),
            ("a", 0, Some(0)),
        ] {
            for cut in 0..=wire.len() {
                let decoder = Decoder::new(Data, Refuse, line_bytes_max);
                let (content, decoded) = decode_cut(decoder, wire.as_bytes(), &[cut]);
                let fault = want.map(|_| ContentFault::LineTooLong);
                let consumed = want.unwrap_or(wire.len());
                assert_eq!((decoded.fault, decoded.consumed), (fault, consumed), "{wire:?} cut at {cut}");
                assert!(content.split(|b| *b == b'\n').all(|line| line.len() <= 6));
            }
        }
    }

    #[test]
    fn after_a_fault_nothing_is_taken_until_all_is_tolerated() {
        let mut decoder = Decoder::new(Data, Refuse, u64::MAX);
        let wire = b"a\nb\r\n.\r\nQUIT";
        let mut content = Vec::new();
        for _ in 0..2 {
            let decoded = decoder.decode(if content.is_empty() { wire } else { &wire[1..] }, &mut content);
            assert_eq!(decoded.fault, Some(ContentFault::BareLf));
        }
        decoder.tolerate();
        let decoded = decoder.decode(&wire[1..], &mut content);
        assert_eq!(decoded, Decoded { consumed: 7, end: true, fault: None });
        assert_eq!(decoder.decode(b"QUIT", &mut content), Decoded { consumed: 0, ..decoded });
    }

    #[test]
    fn dots_are_stuffed_at_every_cut() {
        for (content, want) in [
            ("", ""),
            (".", ".."),
            ("a\r\n.\r\n", "a\r\n..\r\n"),
            ("..a\r\n.b\r\nc.", "...a\r\n..b\r\nc."),
            ("\r\n\r\n.", "\r\n\r\n.."),
        ] {
            for cut in 0..=content.len() {
                let (mut out, mut at_line_start) = (Vec::new(), true);
                let (one, two) = content.split_at(cut);
                stuff(one.as_bytes(), &mut at_line_start, &mut out);
                stuff(two.as_bytes(), &mut at_line_start, &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), want, "cut at {cut}");
            }
            assert_eq!(needs_stuffing(content.as_bytes(), true), content != want);
        }
        assert!(!needs_stuffing(b".", false));
    }

    /// Pieces that make and unmake ends of data, and lines long enough to cross a block.
    fn wire() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            6 => Just(b"\r\n".to_vec()),
            4 => Just(b".".to_vec()),
            1 => Just(b"\r".to_vec()),
            1 => Just(b"\r\r".to_vec()),
            1 => Just(b"\n".to_vec()),
            1 => Just(b"\0".to_vec()),
            4 => Just(b"a".to_vec()),
            2 => (1..60usize).prop_map(|lines| format!("{:78}\r\n", "x").repeat(lines).into_bytes()),
            1 => (0..5000usize).prop_map(|len| vec![b'y'; len]),
            1 => Just(b"\r\n.\r\n".to_vec()),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    /// As [`wire`], but without what is refused at once: longer before it stops.
    fn clean_wire() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just("\r\n".to_owned()),
            4 => Just("\r\n..".to_owned()),
            2 => Just("\r\n.a".to_owned()),
            4 => Just("a.".to_owned()),
            2 => (1..60usize).prop_map(|lines| format!("{:78}\r\n", "x").repeat(lines)),
            1 => (4000..4200usize).prop_map(|len| "y".repeat(len)),
        ];
        (prop::collection::vec(piece, 0..40), any::<bool>())
            .prop_map(|(pieces, end)| (pieces.concat() + if end { "\r\n.\r\nQUIT\r\n\n" } else { "" }).into())
    }

    fn line_bytes_max() -> impl Strategy<Value = u64> {
        prop_oneof![Just(u64::MAX), 0..200u64, 900..1100u64, 4000..9000u64]
    }

    /// Not a single state: the wire as a list of lines.
    fn oracle(wire: &[u8]) -> Result<(Vec<u8>, Option<usize>), ()> {
        let text: Vec<u8> = [b"\r\n", wire].concat();
        let end = text.windows(5).position(|window| window == b"\r\n.\r\n");
        let text = &text[..end.map_or(text.len(), |at| at + 2)];
        let lines: Vec<String> = String::from_utf8_lossy(text).split("\r\n").map(str::to_owned).collect();
        if lines.iter().any(|line| line.contains(['\r', '\n', '\0'])) {
            return Err(());
        }
        let lines: Vec<&str> = lines[1..].iter().map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
        Ok((lines.join("\r\n").into_bytes(), end.map(|at| at + 3)))
    }

    proptest! {
        #[test]
        fn fast_and_naive_agree_at_any_cut(
            wire in prop_oneof![wire(), clean_wire()],
            cuts in prop::collection::vec(0..5000usize, 0..6),
            data in any::<bool>(),
            replace in any::<bool>(),
            line_bytes_max in line_bytes_max(),
        ) {
            let decoder = Decoder::new(
                if data { Data } else { Bdat },
                if replace { Replace } else { Refuse },
                line_bytes_max,
            );
            let naive = decode_naive(decoder.clone(), &wire);
            prop_assert_eq!(decode_cut(decoder, &wire, &cuts), naive);
        }

        #[test]
        fn what_is_not_dotted_needs_no_stuffing(
            wire in prop_oneof![wire(), clean_wire()],
            cuts in prop::collection::vec(0usize..400, 0..6),
            data in any::<bool>(),
        ) {
            let mut decoder = Decoder::new(if data { Data } else { Bdat }, Replace, u64::MAX);
            let (mut rest, mut at_line_start) = (&wire[..], true);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                let mut content = Vec::new();
                decoder.decode(piece, &mut content);
                let needed = needs_stuffing(&content, at_line_start);
                prop_assert!(decoder.take_dotted() || !needed, "{content:?}");
                at_line_start = content.last().map_or(at_line_start, |last| *last == b'\n');
                rest = after;
            }
        }

        #[test]
        fn the_oracle_agrees(wire in prop_oneof![wire(), clean_wire()]) {
            // A CR at the end waits for its LF: not yet wrong.
            let wire = &wire[..wire.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1)];
            let (content, decoded) = decode_cut(Decoder::new(Data, Refuse, u64::MAX), wire, &[]);
            match oracle(wire) {
                Err(()) => prop_assert!(decoded.fault.is_some()),
                Ok((want, end)) => {
                    prop_assert_eq!(decoded.fault, None);
                    prop_assert_eq!(decoded.end.then_some(decoded.consumed), end);
                    // A lone dot at the end is not yet known to be content.
                    prop_assert_eq!(content, want);
                }
            }
        }

        #[test]
        fn what_comes_out_is_never_ambiguous(wire in wire(), data in any::<bool>()) {
            let framing = if data { Data } else { Bdat };
            let mut content = Vec::new();
            let mut decoder = Decoder::new(framing, Replace, u64::MAX);
            let decoded = decoder.decode(&wire, &mut content);
            prop_assert_eq!(decoded.fault, None);
            let lines = String::from_utf8_lossy(&content).replace("\r\n", "");
            prop_assert!(!lines.contains(['\r', '\n', '\0']));

            let (mut sent, mut at_line_start) = (Vec::new(), true);
            stuff(&content, &mut at_line_start, &mut sent);
            let ends_with_crlf = content.is_empty() || content.ends_with(b"\r\n");
            write_end_of_data(ends_with_crlf, &mut sent);
            let (received, decoded) = decode_cut(Decoder::new(Data, Refuse, u64::MAX), &sent, &[]);
            prop_assert_eq!(decoded, Decoded { consumed: sent.len(), end: true, fault: None });
            prop_assert_eq!(received.strip_suffix(b"\r\n").filter(|_| !ends_with_crlf).unwrap_or(&received), &content);
        }
    }
}
