//! How many silent retries there may be: a fifth of what goes well, and not a storm on top of trouble.
//!
//! One transaction is tried again once at most. But where every server loses every connection, that is twice the
//! connections for a next hop that cannot even carry half. So a retry costs a token, and tokens come from messages that
//! passed. A retry that went well gets its own back: where servers end kept connections without a word, which is
//! their right, that is no storm, however often it happens.
//!
//! What must always hold: beyond a reserve for one whole pool that is lost at a time (a server is restarted) and one
//! in a second, retries that came to nothing are no more than a fifth of what passed.

use crate::base::time::Instant;

/// In thousandths of a retry: what one is, what one message that passed brings, what a second brings.
const RETRY: u64 = 1000;
const PASSED: u64 = 200;
const SECOND: u64 = 1000;

#[derive(Clone, Copy, Debug)]
pub struct Budget {
    left: u64,
    max: u64,
    at: Instant,
}

impl Budget {
    /// For connections of this number at most.
    pub const fn new(connections: usize) -> Self {
        let max = if connections < 10 { 10 } else { connections as u64 } * RETRY;
        Self { left: max, max, at: Instant::from_nanos(0) }
    }

    /// Takes what one costs, if it is there.
    pub fn take(&mut self, now: Instant) -> bool {
        let millis = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let earned = millis.min(1_000_000_000) * SECOND / 1000;
        if earned > 0 {
            self.at = now;
            self.earn(earned);
        }
        let is_there = self.left >= RETRY;
        if is_there {
            self.left -= RETRY;
        }
        is_there
    }

    /// A message went well, at once or only when it was tried again.
    pub fn on_passed(&mut self, retried: bool) {
        self.earn(if retried { RETRY } else { PASSED });
    }

    fn earn(&mut self, amount: u64) {
        self.left = (self.left + amount).min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Of `tried` retries, one behind every so many messages that passed, how many there may be.
    #[track_caller]
    fn check(connections: usize, tried: usize, passed_between: usize, goes_well: bool, want: usize) {
        let mut budget = Budget::new(connections);
        let taken = (0..tried).filter(|_| {
            (0..passed_between).for_each(|_| budget.on_passed(false));
            let taken = budget.take(at(0));
            if taken && goes_well {
                budget.on_passed(true);
            }
            taken
        });
        assert_eq!(taken.count(), want, "{connections} {tried} {passed_between} {goes_well}");
    }

    #[test]
    fn a_fifth_of_what_passes_may_be_tried_again() {
        check(32, 100, 5, false, 100);
        check(32, 1000, 1, false, 231);
        check(32, 100, 0, false, 32);
        check(1, 100, 0, false, 10);
        check(1, 1000, 0, true, 1000);
    }

    #[test]
    fn one_in_a_second_is_always_there() {
        let mut budget = Budget::new(1);
        let taken = (0..100).filter(|turn| budget.take(at(turn * 100))).count();
        assert_eq!(taken, 19);
        // A long rest does not make for more than the reserve.
        assert_eq!((0..99).filter(|_| budget.take(at(1 << 40))).count(), 10);
    }
}
