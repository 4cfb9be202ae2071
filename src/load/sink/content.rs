//! Content after DATA, up to the end of data.
//!
//! RFC 5321 §4.5.2: only `<CRLF>.<CRLF>` ends it, where the CRLF of the DATA command counts as the
//! first. As in smtp-sink, bare CR and bare LF are content like any other octet: a sink that is
//! behind a proxy is there to show them.
//!
//! The state machine [`next`] says what is read; [`Content::feed`] asks it only around line ends
//! that a dot follows, which a vector search finds.

use memchr::memmem;

/// Where in a line we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    LineStart,
    Line,
    Cr,
    Dot,
    DotCr,
    End,
}

/// The state after `byte`.
const fn next(state: State, byte: u8) -> State {
    match (state, byte) {
        (State::LineStart, b'.') => State::Dot,
        (State::Dot, b'\r') => State::DotCr,
        (State::DotCr, b'\n') => State::End,
        (State::Cr, b'\n') => State::LineStart,
        (_, b'\r') => State::Cr,
        _ => State::Line,
    }
}

/// The reader of one message's content.
#[derive(Debug)]
pub(super) struct Content {
    state: State,
}

impl Content {
    /// Right after the DATA command.
    pub(super) const fn new() -> Self {
        Self { state: State::LineStart }
    }

    /// Reads from `wire`, gives unstuffed pieces to `keep`, and says how many octets were read and
    /// whether they ended with the end of data.
    pub(super) fn feed(&mut self, wire: &[u8], mut keep: impl FnMut(&[u8])) -> (usize, bool) {
        let mut at = 0;
        while at < wire.len() {
            if matches!(self.state, State::Line) {
                at += self.skip_lines(&wire[at..], &mut keep);
                continue;
            }
            self.step(&wire[at..=at], &mut keep);
            at += 1;
            if self.state == State::End {
                return (at, true);
            }
        }
        (at, false)
    }

    /// Takes everything up to a line that begins with a dot, or to where a line may be ending.
    fn skip_lines(&mut self, wire: &[u8], keep: &mut impl FnMut(&[u8])) -> usize {
        let len = match memmem::find(wire, b"\r\n.") {
            Some(at) => {
                self.state = State::LineStart;
                at + 2
            }
            None => {
                self.state = match wire {
                    [.., b'\r', b'\n'] => State::LineStart,
                    [.., b'\r'] => State::Cr,
                    _ => State::Line,
                };
                wire.len()
            }
        };
        keep(&wire[..len]);
        len
    }

    /// Takes one octet by the book.
    fn step(&mut self, byte: &[u8], keep: &mut impl FnMut(&[u8])) {
        let before = self.state;
        self.state = next(before, byte[0]);
        match (before, self.state) {
            // The dot is transparency or the end; its CR may yet be content.
            (_, State::Dot | State::DotCr | State::End) => {}
            (State::DotCr, _) => {
                keep(b"\r");
                keep(byte);
            }
            _ => keep(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_oneof, proptest};

    use super::{Content, State, next};

    fn read(pieces: &[&[u8]]) -> (Vec<u8>, usize, bool) {
        let mut content = Content::new();
        let (mut kept, mut total) = (Vec::new(), 0);
        for piece in pieces {
            let (consumed, end) = content.feed(piece, |bytes| kept.extend_from_slice(bytes));
            total += consumed;
            if end {
                return (kept, total, true);
            }
        }
        (kept, total, false)
    }

    #[track_caller]
    fn check(wire: &str, kept: &str, consumed: usize, end: bool) {
        let wire = wire.as_bytes();
        for cut in 0..=wire.len() {
            let got = read(&[&wire[..cut], &wire[cut..]]);
            assert_eq!(got, (kept.as_bytes().to_vec(), consumed, end), "cut at {cut}");
        }
    }

    #[test]
    fn the_end_of_data_ends_content() {
        check(".\r\nQUIT\r\n", "", 3, true);
        check("a\r\n.\r\nQUIT\r\n", "a\r\n", 6, true);
        check("a\r\n\r\n.\r\n", "a\r\n\r\n", 8, true);
        check("a\r\r\n.\r\n", "a\r\r\n", 7, true);
    }

    #[test]
    fn a_dot_is_taken_off() {
        check("..\r\n.a\r\n..b\r\n.\r\n", ".\r\na\r\n.b\r\n", 16, true);
        check(".\rx\r\n.\r\n", "\rx\r\n", 8, true);
        check(".\r\r\n.\r\n", "\r\r\n", 7, true);
    }

    #[test]
    fn bare_newlines_end_nothing() {
        for wire in ["a\n.\n", "a\n.\r\nb", "a\r.\r\nb", "a.\r\nb\n.\r\n"] {
            check(wire, wire, wire.len(), false);
        }
        check("a\r\n.\nb", "a\r\n\nb", 6, false);
    }

    /// The state machine alone.
    fn naive(wire: &[u8]) -> (usize, bool) {
        let mut state = State::LineStart;
        for (at, &byte) in wire.iter().enumerate() {
            state = next(state, byte);
            if state == State::End {
                return (at + 1, true);
            }
        }
        (wire.len(), false)
    }

    proptest! {
        #[test]
        fn fast_and_naive_agree(
            wire in prop::collection::vec(prop_oneof![proptest::strategy::Just(b'\r'),
                proptest::strategy::Just(b'\n'), proptest::strategy::Just(b'.'), any::<u8>()], 0..64),
            cut in 0..64_usize,
        ) {
            let (head, tail) = wire.split_at(cut.min(wire.len()));
            let (_, consumed, end) = read(&[head, tail]);
            proptest::prop_assert_eq!((consumed, end), naive(&wire));
        }
    }
}
