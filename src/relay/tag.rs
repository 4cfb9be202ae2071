//! Header fields that say what was found, and the removal of others that only look like ours.
//!
//! RFC 5322 §2.2 (fields and their folding). Only a message that is still held whole can be given
//! fields; its own are never altered, only those that nobody but we may write are taken out.
//!
//! Invariants: nothing that a peer chose stands in what is written here; no field of a message's
//! header section that looks like ours goes on, held or streamed, and wherever its bytes were cut.

use std::fmt::Write as _;

use crate::policy::judge::Judgement;

/// What all our fields begin with.
const PREFIX: &[u8] = b"x-postern-";
/// Lines are folded where they would become longer (RFC 5322 §2.1.1).
const LINE_CHARS: usize = 76;
/// Symbols that a field names; a message has a few.
const SYMBOLS_MAX: usize = 64;

/// The fields of a tagged message.
pub(super) fn fields(judgement: &Judgement) -> String {
    let mut out = String::with_capacity(256);
    let _ = write!(out, "X-Postern-Verdict: {}\r\nX-Postern-Score: ", judgement.verdict.name());
    let _ = write!(out, "{:.2}\r\nX-Postern-Symbols:", judgement.score);
    let mut column = "X-Postern-Symbols:".len();
    let found = judgement.symbols.iter().take(SYMBOLS_MAX);
    for (index, symbol) in found.enumerate() {
        let item = format!("{}({:.2})", symbol.name, symbol.score);
        let separator = if index == 0 { " " } else { ", " };
        if index > 0 && column + item.len() > LINE_CHARS {
            out.push_str(",\r\n\t");
            column = 1;
        } else {
            out.push_str(separator);
            column += separator.len();
        }
        out.push_str(&item);
        column += item.len();
    }
    if judgement.symbols.is_empty() {
        out.push_str(" none");
    }
    out.push_str("\r\n");
    out
}

/// Takes fields that look like ours out of a header section while it passes, however long it is.
///
/// A line that may yet become one of them is kept back, so nothing of it has gone before it is known.
#[derive(Debug, Default)]
pub(super) struct ForgedFields {
    state: State,
    /// The beginning of a line of which is not known yet what it is: never more than [`PREFIX`].
    undecided: Vec<u8>,
}

/// What becomes of a field with all its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A line begins, behind a field with that fate.
    LineStart(Fate),
    /// In the middle of a line.
    Line(Fate),
    /// Behind the empty line: nothing is ours to take out any more.
    Body,
}

impl Default for State {
    fn default() -> Self {
        Self::LineStart(Fate::Stays)
    }
}

impl ForgedFields {
    /// Takes them out of what was appended to `content` from `begin` on.
    pub(super) fn take_out(&mut self, content: &mut Vec<u8>, begin: usize) {
        if self.state == State::Body {
            return;
        }
        content.splice(begin..begin, self.undecided.drain(..));
        let (mut at, mut kept) = (begin, begin);
        while self.state != State::Body
            && let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty())
        {
            let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let line = &rest[..len];
            let Some(fate) = self.state.fate(line) else {
                self.undecided.extend_from_slice(line);
                at += len;
                break;
            };
            self.state = self.state.behind(line, fate);
            if fate == Fate::Stays {
                if kept < at {
                    content.copy_within(at..at + len, kept);
                }
                kept += len;
            }
            at += len;
        }
        content.drain(kept..at);
    }

    /// The content is over: what was kept back is no field of ours.
    pub(super) fn finish(&mut self, content: &mut Vec<u8>) {
        self.state = State::Body;
        content.append(&mut self.undecided);
    }
}

impl State {
    /// What becomes of `line`, which goes on from here; `None` if more of it is needed to say so.
    fn fate(self, line: &[u8]) -> Option<Fate> {
        match (self, line.first()) {
            (Self::Line(fate), _) | (Self::LineStart(fate), Some(b' ' | b'\t')) => Some(fate),
            (Self::LineStart(_), _) => {
                let start = line.get(..PREFIX.len()).unwrap_or(line);
                let like = start.eq_ignore_ascii_case(&PREFIX[..start.len()]);
                match (like, start.len() == PREFIX.len()) {
                    (true, true) => Some(Fate::Goes),
                    (true, false) => None,
                    (false, _) => (line != b"\r").then_some(Fate::Stays),
                }
            }
            (Self::Body, _) => Some(Fate::Stays),
        }
    }

    /// The state behind `line`, or behind as much of it as is there.
    fn behind(self, line: &[u8], fate: Fate) -> Self {
        match self {
            Self::LineStart(_) if line == b"\r\n" => Self::Body,
            _ if line.ends_with(b"\n") => Self::LineStart(fate),
            _ => Self::Line(fate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ForgedFields, PREFIX, fields};
    use crate::policy::judge::{Cause, Judgement, Scored};
    use crate::policy::verdict::Verdict;
    use proptest::prelude::{any, proptest};

    /// What goes on, if `pieces` come one after the other and each goes up as soon as it may.
    fn streamed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let (mut forged, mut up) = (ForgedFields::default(), Vec::new());
        for piece in pieces {
            let mut held = [b"ours\r\n", piece].concat();
            forged.take_out(&mut held, 6);
            assert!(held.starts_with(b"ours\r\n") && forged.undecided.len() < PREFIX.len());
            up.extend_from_slice(&held[6..]);
        }
        forged.finish(&mut up);
        up
    }

    #[track_caller]
    fn check(content: &str, want: &str) {
        for cut in 0..=content.len() {
            let (head, tail) = content.as_bytes().split_at(cut);
            assert_eq!(String::from_utf8(streamed([head, tail])).unwrap(), want, "cut at {cut}");
        }
        assert_eq!(String::from_utf8(streamed(content.as_bytes().chunks(1))).unwrap(), want);
    }

    #[test]
    fn fields_that_only_we_may_write_are_taken_out() {
        check("A: b\r\n\r\nbody\r\n", "A: b\r\n\r\nbody\r\n");
        check("X-Postern-Verdict: pass\r\nA: b\r\n\r\n", "A: b\r\n\r\n");
        check("A: b\r\nx-POSTERN-score: 1\r\n 2\r\n\t3\r\nC: d\r\n\r\n", "A: b\r\nC: d\r\n\r\n");
        check("X-Postern-A: 1\r\nX-Postern-B: 2\r\n\r\n", "\r\n");
        check("A: b\r\n\r\nX-Postern-Verdict: pass\r\n", "A: b\r\n\r\nX-Postern-Verdict: pass\r\n");
        check("X-Postern-A: 1\r\n \r\nX-Postern-B: 2\r\nA: b\r\n", "A: b\r\n");
        check("A: b\r\n X-Postern-A: 1\r\n", "A: b\r\n X-Postern-A: 1\r\n");
        check("X-Poster: 1\r\nX-Postern: 2\r\n", "X-Poster: 1\r\nX-Postern: 2\r\n");
    }

    #[test]
    fn content_may_end_anywhere() {
        check("X-Postern-A: 1", "");
        check("A: b\r\nX-Postern-A: 1\r\n", "A: b\r\n");
        check("X-Postern", "X-Postern");
        check("A: b\r\n\r", "A: b\r\n\r");
        check("", "");
    }

    /// The same, line by line, of content that is there whole.
    fn naive(content: &[u8]) -> Vec<u8> {
        let (mut out, mut forged, mut body) = (Vec::new(), false, false);
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            body |= line == b"\r\n";
            if !matches!(line[0], b' ' | b'\t') {
                forged = line.to_ascii_lowercase().starts_with(PREFIX);
            }
            if body || !forged {
                out.extend_from_slice(line);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn a_streamed_header_is_filtered_as_a_whole_one(
            words in proptest::collection::vec(0usize..8, 0..40),
            step in 1usize..30,
            cut in any::<u8>(),
        ) {
            const WORDS: [&str; 8] = ["X-Postern-", "x-pOS", "tern-", "A: b", "\r\n", " ", "\t", "\r\n\r\n"];
            let content: String = words.into_iter().map(|word| WORDS[word]).collect();
            let (head, tail) = content.as_bytes().split_at(usize::from(cut) % (content.len() + 1));
            assert_eq!(streamed(head.chunks(step).chain(tail.chunks(step))), naive(content.as_bytes()));
        }
    }

    #[test]
    fn what_was_found_is_folded() {
        let scored = |n: usize| Scored { name: format!("SYMBOL_NUMBER_{n}"), score: 1.5, count: 1 };
        let judgement = Judgement {
            verdict: Verdict::Tag,
            cause: Cause::Score,
            score: 6.0,
            symbols: (0..4).map(scored).collect(),
            shadows: Vec::new(),
            errors: Vec::new(),
            reply: None,
        };
        let want = "X-Postern-Verdict: tag\r\nX-Postern-Score: 6.00\r\nX-Postern-Symbols: \
                    SYMBOL_NUMBER_0(1.50), SYMBOL_NUMBER_1(1.50),\r\n\tSYMBOL_NUMBER_2(1.50), \
                    SYMBOL_NUMBER_3(1.50)\r\n";
        assert_eq!(fields(&judgement), want);
    }
}
