//! How long the turns of a worker take: what everybody on it waits before anything is done for him.
//!
//! A turn handles all that was ready when it began, so whoever becomes ready meanwhile waits for its end. The
//! mean is one over time, not over turns: it is the length of the turn that is under way at a moment taken at
//! random, and none is under way while the worker waits. So a long turn weighs as long as it lasts, a
//! thousand short ones do not hide it, and a worker with nothing to do comes back to zero by itself.
//!
//! Invariant: the mean is never above the longest turn, and depends on what happened, not on how often it was
//! looked at.

use std::time::Duration;

use crate::base::time::Instant;

/// How fast the mean forgets: after so long an old turn weighs 1/e of a new one.
const MEMORY: Duration = Duration::from_millis(100);
/// The stretch of time of which [`Lag::share`] tells.
const STRETCH: Duration = Duration::from_secs(1);

/// The length of turns of one worker. Costs two exponentials a turn.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    seen: Instant,
    mean_ns: f64,
    last: Duration,
    busy: Duration,
    /// Begin of the stretch under way, and what was busy before it.
    stretch: (Instant, Duration),
    share: u16,
}

impl Lag {
    pub const fn new(now: Instant) -> Self {
        Self {
            seen: now,
            mean_ns: 0.0,
            last: Duration::ZERO,
            busy: Duration::ZERO,
            stretch: (now, Duration::ZERO),
            share: 0,
        }
    }

    /// A turn is over, and another begins at `now`: of the time since the one before began, `took` was
    /// work, and the rest waiting.
    pub fn observe(&mut self, now: Instant, took: Duration) {
        let elapsed = now.since(self.seen);
        let took = took.min(elapsed);
        let took_ns = nanos(took);
        self.mean_ns += (took_ns - self.mean_ns) * weight(took);
        self.mean_ns -= self.mean_ns * weight(elapsed - took);
        self.seen = self.seen + elapsed;
        self.last = took;
        self.busy += took;
        self.end_stretch();
    }

    fn end_stretch(&mut self) {
        let (begun, before) = self.stretch;
        let elapsed = self.seen.since(begun);
        if elapsed >= STRETCH {
            let busy = self.busy.saturating_sub(before);
            let share = busy.as_nanos() * 1000 / elapsed.as_nanos();
            self.share = u16::try_from(share).unwrap_or(1000);
            self.stretch = (self.seen, self.busy);
        }
    }

    /// What somebody meets who becomes ready at any moment: the turn under way lasts so long.
    pub const fn mean(&self) -> Duration {
        // Nanoseconds below 2^53; a turn of a hundred days is none.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of durations")]
        Duration::from_nanos(self.mean_ns as u64)
    }

    /// The turn before this one.
    pub const fn last(&self) -> Duration {
        self.last
    }

    /// All turns together.
    pub const fn busy(&self) -> Duration {
        self.busy
    }

    /// Thousandths of the last whole second (or of the turn that was longer) that were work.
    pub const fn share(&self) -> u16 {
        self.share
    }
}

/// What `time` weighs against all that was before it.
fn weight(time: Duration) -> f64 {
    1.0 - (-time.as_secs_f64() / MEMORY.as_secs_f64()).exp()
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn after(turns: &[(Duration, Duration)]) -> Lag {
        let mut now = Instant::from_nanos(7);
        let mut lag = Lag::new(now);
        for &(took, waited) in turns {
            now = now + took + waited;
            lag.observe(now, took);
        }
        lag
    }

    /// The mean of `turns` in milliseconds, to a tenth.
    #[track_caller]
    fn check(turns: &[(Duration, Duration)], want: f64) {
        let mean = after(turns).mean().as_secs_f64() * 1e3;
        assert!((mean - want).abs() < 0.1, "{mean} is not {want}");
    }

    #[test]
    fn the_mean_is_what_somebody_meets() {
        check(&[], 0.0);
        check(&[(ms(5), ms(0)); 400], 5.0);
        // Half of the time a turn of 4 ms, else none.
        check(&[(ms(4), ms(4)); 400], 2.0);
        // One in ten turns is long, and half of the time is its.
        let uneven: Vec<_> = (0..4000).map(|n| (if n % 10 == 0 { ms(9) } else { ms(1) }, ms(0))).collect();
        let mean = after(&uneven).mean();
        assert!(mean > ms(4) && mean < ms(6), "{mean:?}");
        // 100 ms later 1/e of it is left, and soon nothing.
        let busy = [(ms(5), ms(0)); 400];
        check(&[&busy[..], &[(ms(0), ms(100))]].concat(), 5.0 / std::f64::consts::E);
        check(&[&busy[..], &[(ms(0), ms(5000))]].concat(), 0.0);
    }

    /// The oracle goes through time in small steps, and asks at each which turn is under way.
    #[test]
    fn it_is_the_mean_over_time() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..50 {
            let mut time = |most| Duration::from_micros(rng.u64(0..most));
            let turns: Vec<_> = (0..200).map(|_| (time(20_000), time(10_000))).collect();
            let (step, mut mean) = (Duration::from_micros(10), 0.0);
            let mut go = |lasts: Duration, under_way: Duration| {
                for _ in 0..lasts.as_micros() / step.as_micros() {
                    mean += (nanos(under_way) - mean) * weight(step);
                }
            };
            turns.iter().for_each(|&(took, waited)| {
                go(took, took);
                go(waited, Duration::ZERO);
            });
            let got = nanos(after(&turns).mean());
            assert!((got - mean).abs() < mean * 0.02 + 1e4, "{got} {mean}");
        }
    }

    #[test]
    fn it_does_not_matter_how_often_one_looks() {
        let turns = [(ms(5), ms(2)); 100];
        let mut now = Instant::from_nanos(7);
        let mut lag = Lag::new(now);
        for (took, waited) in turns {
            now = now + took;
            lag.observe(now, took);
            for _ in 0..4 {
                now = now + waited / 4;
                lag.observe(now, Duration::ZERO);
            }
        }
        let (often, seldom) = (nanos(lag.mean()), nanos(after(&turns).mean()));
        assert!((often - seldom).abs() < 10.0, "{often} {seldom}");
        assert_eq!(lag.busy(), after(&turns).busy());
    }

    #[test]
    fn the_share_is_of_a_second() {
        for (turns, want) in [
            (vec![(ms(1), ms(3)); 100], 0),
            (vec![(ms(1), ms(3)); 1000], 250),
            (vec![(ms(10), ms(0)); 200], 1000),
            (vec![(ms(0), ms(1000)); 2], 0),
            // What is over is over.
            ([vec![(ms(10), ms(0)); 200], vec![(ms(0), ms(1000)); 2]].concat(), 0),
            (vec![(ms(3000), ms(1000))], 750),
        ] {
            assert_eq!(after(&turns).share(), want, "{:?}", turns.first());
        }
    }

    #[test]
    fn a_clock_that_stands_still_changes_nothing() {
        let mut lag = after(&[(ms(5), ms(5)); 10]);
        let before = (lag.mean(), lag.busy());
        let now = lag.seen;
        lag.observe(now, ms(50));
        lag.observe(Instant::from_nanos(0), ms(50));
        assert_eq!((lag.mean(), lag.busy()), before);
    }
}
