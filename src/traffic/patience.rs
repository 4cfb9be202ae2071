//! How long somebody may take, and whether what comes comes fast enough.
//!
//! A deadline alone is extended by every octet, a rate alone cuts off who pauses once. So content has both: no
//! silence is longer than [`Patience::content`], and at looks ten seconds apart it must, on the average since the
//! last one, have come at [`Patience::min_rate`]: who misses that at two looks in a row is slow. A look takes
//! place when octets come; the first one counts from the first of them, for until then nothing was due.
//!
//! So one octet every ten seconds is given up at the third of them, and whatever the pattern, two looks fail
//! within two silences.

use std::time::Duration;

use crate::base::time::Instant;

/// Looks are so far apart at least.
const INTERVAL: Duration = Duration::from_secs(10);

/// What is left of a command's time for who does nothing while places are short (Postfix under stress: 10 s).
pub const HURRIED: Duration = Duration::from_secs(10);

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a command to be complete, since our last reply; and to read that.
    pub command: Duration,
    /// For the next octets of content.
    pub content: Duration,
    /// Octets of content a second; 0: any rate will do.
    pub min_rate: u64,
}

/// Content on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// The last look.
    since: Option<Instant>,
    /// Octets since.
    octets: u64,
    /// It was slow then.
    missed: bool,
}

impl Pace {
    /// `octets` came. Whether they come too slowly.
    pub fn is_slow(&mut self, now: Instant, octets: usize, min_rate: u64) -> bool {
        self.octets += octets as u64;
        let since = *self.since.get_or_insert(now);
        let elapsed = now.since(since);
        if elapsed < INTERVAL {
            return false;
        }
        let missed = self.octets < min_rate.saturating_mul(elapsed.as_secs());
        let is_slow = missed && self.missed;
        *self = Self { since: Some(now), octets: 0, missed };
        is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At 500 octets a second: `pieces` are seconds and octets; the second at which it was given up.
    #[track_caller]
    fn check(pieces: impl IntoIterator<Item = (u64, usize)>, want: Option<u64>) {
        let mut pace = Pace::default();
        let at = |seconds| Instant::from_nanos(seconds * 1_000_000_000);
        let slow = pieces.into_iter().find(|(second, octets)| pace.is_slow(at(*second), *octets, 500));
        assert_eq!(slow.map(|(second, _)| second), want);
    }

    #[test]
    fn tricklers_are_slow() {
        check((1..100).map(|n| (10 * n, 1)), Some(30));
        check((1..100).map(|n| (179 * n, 1)), Some(3 * 179));
        check((1..1000).map(|n| (n, 100)), Some(21));
        // The first look finds one octet more.
        check((1..1000).map(|n| (n, 499)), Some(31));
    }

    #[test]
    fn who_pauses_is_not() {
        check((1..1000).map(|n| (n, 500)), None);
        // A late first octet, and a whole small message at once.
        check([(170, 3000)], None);
        // A pause, a small piece behind it, and on it goes.
        let pause = [(10, 5000), (20, 5000), (70, 1400)];
        check(pause.into_iter().chain((71..100).map(|n| (n, 1400))), None);
    }

    #[test]
    fn a_rate_of_nothing_is_any() {
        let mut pace = Pace::default();
        let slow = (1..100).any(|n| pace.is_slow(Instant::from_nanos(n * 100_000_000_000), 1, 0));
        assert!(!slow);
    }
}
