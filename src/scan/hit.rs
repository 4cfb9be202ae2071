//! What is made of matches: a hit counts if its sum is right and a word is near that must be.
//!
//! * An engine reports every end of a match, `\d{4,}` one for each digit. Ends of one pattern closer
//!   together than its shortest match are one occurrence, at the first of them.
//! * A pattern with a check has its occurrences decided by the check alone: each end is tried, and those
//!   that hold must not overlap.
//! * `near` is told by the distance between ends. A hit whose word has not come waits for it.
//!
//! Invariant: all of it is worked out from the ends in their order, so the cut of the input cannot matter.
//! What exceeds a bound is lost, and [`Shortfall`] says so.

use super::validator::Check;

/// Patterns that one stream remembers hits of.
pub const HIT_PATTERNS_MAX: usize = 1024;
/// Hits of one stream that wait for a word.
pub const HITS_WAITING_MAX: usize = 256;
/// Checks of one stream, whatever its length, and bytes that pay for one more: a check costs some
/// hundred nanoseconds, and text can be made of nothing but what may be a card number.
pub const CHECKS_FREE: u64 = 32 * 1024;
pub const BYTES_PER_CHECK: u64 = 16;
/// Hits of one pattern in one stream that are told; more are only counted.
pub const HITS_TOLD_MAX: u32 = 100;

/// A pattern was found, and nothing speaks against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit<'a> {
    /// Its index among the patterns of the [`Rules`](super::Rules).
    pub pattern: u32,
    /// Where it ends, counted from the start of the stream.
    pub end: u64,
    /// How many hits of this pattern this stream has had.
    pub count: u32,
    /// Its length where that is known: of phrases, literals and what a check decided.
    pub length: Option<u32>,
    /// The last bytes of the stream up to the end of the hit, some kilobytes of them.
    pub before: &'a [u8],
}

impl<'a> Hit<'a> {
    /// The hit itself, or the last `bytes` before its end where its start is not known.
    pub fn text(&self, bytes: usize) -> &'a [u8] {
        let length = self.length.map_or(bytes, |length| usize::try_from(length).unwrap_or(usize::MAX));
        let start = self.before.len().saturating_sub(length);
        self.before.get(start..).unwrap_or_default()
    }
}

/// What could not be looked at, or was lost: never the same as nothing found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortfall {
    /// More matches, checks, hits waiting or patterns hit than the stream is worth.
    pub flood: bool,
    /// More bytes to look at twice than the stream is worth.
    pub confirm: bool,
    /// The engine failed.
    pub engine: bool,
}

impl Shortfall {
    pub const fn any(self) -> bool {
        self.flood || self.confirm || self.engine
    }

    pub const fn or(self, other: Self) -> Self {
        Self {
            flood: self.flood || other.flood,
            confirm: self.confirm || other.confirm,
            engine: self.engine || other.engine,
        }
    }
}

/// What a pattern asks of its hits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) pattern: u32,
    pub(super) check: Option<Check>,
    pub(super) near: Option<NearRule>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct NearRule {
    /// Which words, by the index of their group in the set.
    pub(super) group: u32,
    pub(super) within: u32,
}

/// A match or a row of matches that an engine reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub(super) end: u64,
    /// The last end of the row.
    pub(super) last: u64,
    /// Ends closer than this belong together.
    pub(super) gap: u32,
    pub(super) length: Option<u32>,
}

/// The bytes of a stream that are at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail<'a> {
    pub(super) text: &'a [u8],
    /// Where they start in the stream.
    pub(super) at: u64,
}

impl<'a> Tail<'a> {
    /// What stands before `end`.
    pub(super) fn before(&self, end: u64) -> &'a [u8] {
        let length = end.checked_sub(self.at).and_then(|length| usize::try_from(length).ok());
        length.and_then(|length| self.text.get(..length)).unwrap_or_default()
    }
}

/// The hits of one stream so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Sorted by pattern.
    states: Vec<(u32, State)>,
    /// The last end of a word of each group, if there was one.
    words: Vec<Option<u64>>,
    waiting: Vec<Waiting>,
    checks: u64,
    flood: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The last end of any match; of a checked pattern, of the last that held. Nought: none.
    last: u64,
    count: u32,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    pattern: u32,
    near: NearRule,
    end: u64,
    length: Option<u32>,
}

impl Tally {
    /// For a set with so many groups of words.
    pub(super) fn reset(&mut self, groups: usize) {
        self.states.clear();
        self.waiting.clear();
        self.words.clear();
        self.words.resize(groups, None);
        self.checks = 0;
        self.flood = false;
    }

    pub(super) const fn flood(&self) -> bool {
        self.flood
    }

    /// A word of `group` ends at `end`: it may be what hits are waiting for.
    pub(super) fn word(&mut self, group: u32, end: u64, tail: Tail<'_>, sink: &mut impl FnMut(Hit<'_>)) {
        if let Some(last) = self.words.get_mut(group as usize) {
            *last = Some(end);
        }
        let mut index = 0;
        while let Some(waiting) = self.waiting.get(index).copied() {
            let late = waiting.end + u64::from(waiting.near.within) < end;
            let met = !late && waiting.near.group == group;
            if !late && !met {
                index += 1;
                continue;
            }
            self.waiting.remove(index);
            if met {
                self.accept(waiting.pattern, waiting.end, waiting.length, tail, sink);
            }
        }
    }

    /// A match of the pattern of `rule`.
    pub(super) fn found(
        &mut self,
        rule: &Rule,
        matched: Match,
        tail: Tail<'_>,
        sink: &mut impl FnMut(Hit<'_>),
    ) {
        let length = match rule.check {
            Some(check) => self.checked(rule.pattern, check, matched.end, tail),
            None => self.occurrence(rule.pattern, matched),
        };
        let Some(length) = length else { return };
        match rule.near {
            None => self.accept(rule.pattern, matched.end, length, tail, sink),
            Some(near) if self.has_word(near, matched.end) => {
                self.accept(rule.pattern, matched.end, length, tail, sink);
            }
            Some(_) if self.waiting.len() >= HITS_WAITING_MAX && !self.drop_late(matched.end) => {
                self.flood = true;
            }
            Some(near) => {
                self.waiting.push(Waiting { pattern: rule.pattern, near, end: matched.end, length });
            }
        }
    }

    /// The length of what the check found before `end`, if it overlaps nothing that held before.
    fn checked(&mut self, pattern: u32, check: Check, end: u64, tail: Tail<'_>) -> Option<Option<u32>> {
        self.checks += 1;
        if self.checks > CHECKS_FREE + end / BYTES_PER_CHECK {
            self.flood = true;
            return None;
        }
        let before = tail.before(end);
        let place = check.find(before, before.len())?;
        let back = u64::try_from(before.len() - place.start).ok()?;
        let state = self.state(pattern)?;
        if end.saturating_sub(back) < state.last {
            return None;
        }
        state.last = end;
        Some(u32::try_from(back).ok())
    }

    /// The length of the match, if it is not part of the last occurrence.
    fn occurrence(&mut self, pattern: u32, matched: Match) -> Option<Option<u32>> {
        let state = self.state(pattern)?;
        let first = state.last == 0 || matched.end >= state.last + u64::from(matched.gap);
        state.last = state.last.max(matched.last);
        first.then_some(matched.length)
    }

    fn has_word(&self, near: NearRule, end: u64) -> bool {
        let word = self.words.get(near.group as usize).copied().flatten();
        word.is_some_and(|word| word.abs_diff(end) <= u64::from(near.within))
    }

    /// Drops the hits whose word can no longer come; whether there was one.
    fn drop_late(&mut self, now: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.end + u64::from(waiting.near.within) >= now);
        self.waiting.len() < before
    }

    fn accept(
        &mut self,
        pattern: u32,
        end: u64,
        length: Option<u32>,
        tail: Tail<'_>,
        sink: &mut impl FnMut(Hit<'_>),
    ) {
        let Some(state) = self.state(pattern) else { return };
        state.count = state.count.saturating_add(1);
        let count = state.count;
        if count <= HITS_TOLD_MAX {
            sink(Hit { pattern, end, count, length, before: tail.before(end) });
        }
    }

    fn state(&mut self, pattern: u32) -> Option<&mut State> {
        let found = self.states.binary_search_by_key(&pattern, |(other, _)| *other);
        let index = match found {
            Ok(index) => index,
            Err(_) if self.states.len() >= HIT_PATTERNS_MAX => {
                self.flood = true;
                return None;
            }
            Err(index) => {
                self.states.insert(index, (pattern, State::default()));
                index
            }
        };
        self.states.get_mut(index).map(|(_, state)| state)
    }
}
