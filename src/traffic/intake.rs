//! How much each lane may be read while the worker is short of time: what is read is looked into, and that is
//! where time goes.
//!
//! Deficit round robin (Shreedhar and Varghese, 1995) over the turns of a worker: each turn those lanes that want to
//! be read get a quantum, split by their shares. Who has read more than it had sits out as many turns as that takes.
//! What must always hold: while time is not short nobody sits out; a lane that is alone gets all; a lane with a share
//! gets its part, whatever the others want.

use super::lane::{LANES_MAX, Lane, Shares};

/// Octets of one turn, of all lanes together: about as much as can come in one.
const QUANTUM: i64 = 256 * 1024;

/// What lanes may still read.
#[derive(Clone, Copy, Debug)]
pub struct Intake {
    credit: [i64; LANES_MAX],
    /// Who has read in this turn.
    active: [bool; LANES_MAX],
}

impl Default for Intake {
    fn default() -> Self {
        Self { credit: [QUANTUM; LANES_MAX], active: [false; LANES_MAX] }
    }
}

impl Intake {
    /// Somebody of this lane has read; says whether the lane has more than it may.
    pub fn take(&mut self, lane: Lane, octets: usize) -> bool {
        let at = lane.index() % LANES_MAX;
        self.active[at] = true;
        self.credit[at] -= i64::try_from(octets).unwrap_or(i64::MAX / 2);
        self.is_overdrawn(lane)
    }

    /// Whether the lane has to sit out.
    pub const fn is_overdrawn(&self, lane: Lane) -> bool {
        self.credit[lane.index() % LANES_MAX] < 0
    }

    /// A turn is over. `is_short` says whether time is; `waits`, which lanes sit out.
    pub fn refill(&mut self, shares: &Shares, is_short: bool, waits: impl Fn(Lane) -> bool) {
        if !is_short {
            return *self = Self::default();
        }
        let wants = |lane: &Lane| self.active[lane.index()] || waits(*lane);
        // Who has no share gets a little, for otherwise it would sit out for ever.
        let weight = |lane: Lane| i64::from(shares.percent(lane).max(1));
        let all: i64 = shares.lanes().filter(wants).map(weight).sum();
        let wanting: Vec<Lane> = shares.lanes().filter(wants).collect();
        for lane in wanting {
            let credit = &mut self.credit[lane.index()];
            *credit = (*credit + QUANTUM * weight(lane) / all.max(1)).min(QUANTUM);
        }
        self.active = [false; LANES_MAX];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each lane reads in so many turns, if all of `wants` always read as much as they may.
    fn read(parts: &[u32], wants: &[bool], turns: usize) -> Vec<usize> {
        let shares = Shares::new(parts);
        let (mut intake, mut total) = (Intake::default(), vec![0; parts.len()]);
        for _ in 0..turns {
            for lane in shares.lanes().filter(|lane| wants[lane.index()]) {
                while !intake.is_overdrawn(lane) && total[lane.index()] < usize::MAX {
                    total[lane.index()] += 10_000;
                    intake.take(lane, 10_000);
                }
            }
            intake.refill(&shares, true, |lane| wants[lane.index()]);
        }
        total
    }

    #[track_caller]
    fn check(parts: &[u32], wants: &[bool], want_percent: &[usize]) {
        let total = read(parts, wants, 1000);
        let all: usize = total.iter().sum();
        let percent: Vec<_> = total.iter().map(|octets| (octets * 100 + all / 2) / all).collect();
        assert_eq!(percent, want_percent, "{parts:?} {wants:?}");
        // All of each quantum is used.
        assert!(all.abs_diff(1000 * 256 * 1024) < 3_000_000, "{all}");
    }

    #[test]
    fn lanes_read_by_their_shares() {
        check(&[50, 30, 20], &[true, true, true], &[50, 30, 20]);
        check(&[50, 30, 20], &[false, true, true], &[0, 60, 40]);
        check(&[50, 30, 20], &[false, false, true], &[0, 0, 100]);
        check(&[60, 0], &[true, true], &[98, 2]);
        check(&[60, 0], &[false, true], &[0, 100]);
    }

    #[test]
    fn nobody_sits_out_while_there_is_time() {
        let (mut intake, shares) = (Intake::default(), Shares::new(&[50, 50]));
        assert!(intake.take(Lane(1), 10_000_000));
        intake.refill(&shares, false, |_| false);
        assert!(!intake.is_overdrawn(Lane(1)));
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let (mut intake, shares) = (Intake::default(), Shares::new(&[50, 50]));
        (0..100).for_each(|_| intake.refill(&shares, true, |_| true));
        assert!(intake.take(Lane(0), 256 * 1024 + 1));
    }
}
