//! Header fields that say what was found, and the removal of others that only look like ours.
//!
//! RFC 5322 §2.2 (fields and their folding). Only a message that is still held whole can be given
//! fields; its own are never altered, only those that nobody but we may write are taken out.
//!
//! Invariant: nothing that a peer chose stands in what is written here.

use std::fmt::Write as _;
use std::ops::Range;

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

/// Takes fields that look like ours out of the header section that begins at `from`, as far as it
/// is there. Where the content goes on behind a field whose end is not here, that field stays.
pub(super) fn remove_forged(content: &mut Vec<u8>, from: usize, complete: bool) {
    let mut forged = forged(content, from);
    // What comes next may belong to it: behind another field it would be read as that one's.
    forged.retain(|range| complete || range.end < content.len());
    for range in forged.into_iter().rev() {
        content.drain(range);
    }
}

/// Where fields stand that only we may write.
fn forged(content: &[u8], from: usize) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let (mut at, mut ours) = (from, false);
    while let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(end) = memchr::memchr(b'\n', rest) else { break };
        let line = &rest[..=end];
        if line == b"\r\n" {
            break;
        }
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            ours = line.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
        }
        if ours {
            match found.last_mut() {
                Some(last) if last.end == at => last.end += line.len(),
                _ => found.push(at..at + line.len()),
            }
        }
        at += line.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{fields, remove_forged};
    use crate::policy::judge::{Cause, Judgement, Scored};
    use crate::policy::verdict::Verdict;

    #[track_caller]
    fn check(content: &str, want: &str) {
        let mut bytes = [b"Received: us\r\n", content.as_bytes()].concat();
        remove_forged(&mut bytes, 14, true);
        assert_eq!(String::from_utf8(bytes).unwrap(), ["Received: us\r\n", want].concat());
    }

    #[test]
    fn fields_that_only_we_may_write_are_taken_out() {
        check("A: b\r\n\r\nbody\r\n", "A: b\r\n\r\nbody\r\n");
        check("X-Postern-Verdict: pass\r\nA: b\r\n\r\n", "A: b\r\n\r\n");
        check("A: b\r\nx-POSTERN-score: 1\r\n 2\r\n\t3\r\nC: d\r\n\r\n", "A: b\r\nC: d\r\n\r\n");
        check("X-Postern-A: 1\r\nX-Postern-B: 2\r\n\r\n", "\r\n");
        check("A: b\r\n\r\nX-Postern-Verdict: pass\r\n", "A: b\r\n\r\nX-Postern-Verdict: pass\r\n");
        check("X-Postern", "X-Postern");
        check("", "");
    }

    #[test]
    fn a_field_whose_end_has_not_come_stays() {
        for (content, want) in [
            ("A: b\r\nX-Postern-A: 1\r\n", "A: b\r\nX-Postern-A: 1\r\n"),
            ("X-Postern-A: 1\r\nA: b\r\n", "A: b\r\n"),
        ] {
            let mut bytes = content.as_bytes().to_vec();
            remove_forged(&mut bytes, 0, false);
            assert_eq!(String::from_utf8(bytes).unwrap(), want);
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
