//! Content that is not in the charset its label says: what to look for while it passes.
//!
//! Some programs believe the content, not the label. So once content shows that it can be read as
//! UTF-7 or ISO-2022-JP, it is read so as well from there on, and from [`CONTEXT_BYTES`] before, so
//! that a word that is shifted in part is seen whole. Where that is does not depend on how the
//! content was cut.

use memchr::memchr2;

use super::utf7;

/// Octets before the first sign that belong to the second reading.
pub(super) const CONTEXT_BYTES: usize = 64;
/// A shifted run is judged by its `+` and this much of it: groups of eight characters are whole units.
const RUN_BYTES_MAX: usize = 1 + 31 * 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Utf7,
    Iso2022Jp,
    /// An octet that only begins characters longer than they need be.
    Overlong,
    /// What is said to be ASCII has eight bits.
    EightBit,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// What came last, before the run.
    context: Vec<u8>,
    /// `+` or ESC and what belongs to it so far.
    run: Vec<u8>,
}

impl Watch {
    /// Looks at `input`: the first sign, and how much of `input` was looked at by then.
    pub(super) fn push(&mut self, input: &[u8]) -> Option<(Sign, usize)> {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            if self.run.is_empty() {
                at += self.seek(rest);
                continue;
            }
            let taken = self.follow(rest);
            at += taken;
            if let Some(sign) = self.judge(taken == 0 || self.run.len() >= RUN_BYTES_MAX) {
                return Some((sign, at));
            }
        }
        None
    }

    /// The content is over: what the run turns out to be.
    pub(super) fn finish(&mut self) -> Option<Sign> {
        self.judge(true)
    }

    /// What the second reading begins with: the context and the run.
    pub(super) fn into_beginning(self) -> Vec<u8> {
        [self.context, self.run].concat()
    }

    /// Goes to the next octet that may begin something, and takes it.
    fn seek(&mut self, input: &[u8]) -> usize {
        let begin = memchr2(b'+', 0x1b, input).unwrap_or(input.len());
        self.remember(&input[..begin]);
        let taken = input.len().min(begin + 1);
        self.run.extend_from_slice(&input[begin..taken]);
        taken
    }

    /// Takes what goes on with the run; nothing, if it is over.
    fn follow(&mut self, input: &[u8]) -> usize {
        let room = RUN_BYTES_MAX - self.run.len();
        let taken = match (self.run.as_slice(), input) {
            ([b'+', ..], _) => input.iter().take(room).take_while(|byte| utf7::is_shifted(**byte)).count(),
            ([_], [b'$', ..]) | ([_, _], [b'@' | b'B', ..]) => 1,
            _ => 0,
        };
        self.run.extend_from_slice(&input[..taken]);
        taken
    }

    /// Whether the run is a sign. If it is over and is none, it becomes context.
    fn judge(&mut self, over: bool) -> Option<Sign> {
        match self.run.as_slice() {
            [] => return None,
            [b'+', run @ ..] if over && utf7::hides_letters(run) => return Some(Sign::Utf7),
            [0x1b, b'$', b'@' | b'B'] => return Some(Sign::Iso2022Jp),
            _ if !over => return None,
            _ => {}
        }
        let run = std::mem::take(&mut self.run);
        self.remember(&run);
        None
    }

    fn remember(&mut self, text: &[u8]) {
        let kept = &text[text.len().saturating_sub(CONTEXT_BYTES)..];
        self.context.extend_from_slice(kept);
        self.context.drain(..self.context.len().saturating_sub(CONTEXT_BYTES));
    }
}
