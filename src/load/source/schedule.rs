//! When messages begin, if that is not left to the answers: an open loop.
//!
//! In a closed loop a slow server is asked less often, so the waiting it causes is not seen by those who
//! would have come meanwhile (coordinated omission). Here message `n` is planned for `n` times the gap
//! after the start, whatever came of the others, and latency counts from the plan.
//!
//! Invariant: what is planned depends on the rate and the time, on nothing else.

use std::time::Duration;

use crate::base::time::Instant;

#[derive(Clone, Debug)]
pub(super) struct Schedule {
    start: Instant,
    /// Messages a second.
    rate: f64,
    until: Option<Instant>,
    messages_max: u64,
    planned: u64,
}

impl Schedule {
    /// `rate` is above zero.
    pub(super) fn new(start: Instant, rate: f64, lasts: Option<Duration>, messages_max: u64) -> Self {
        Self { start, rate, until: lasts.map(|lasts| start + lasts), messages_max, planned: 0 }
    }

    /// When the next message is to begin; `None` when there are no more.
    pub(super) fn next(&self) -> Option<Instant> {
        let at = self.start + Duration::from_secs_f64(self.planned as f64 / self.rate);
        (self.planned < self.messages_max && self.until.is_none_or(|until| at < until)).then_some(at)
    }

    /// The next message, if its time has come.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        let at = self.next().filter(|at| *at <= now)?;
        self.planned += 1;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000);

    fn schedule(rate: f64, seconds: Option<u64>, messages: u64) -> Schedule {
        Schedule::new(START, rate, seconds.map(Duration::from_secs), messages)
    }

    /// However late one looks, the plan is the same.
    #[test]
    fn the_plan_does_not_depend_on_when_one_looks() {
        let plan = |step: u64| {
            let mut schedule = schedule(300.0, Some(2), u64::MAX);
            let (mut now, mut plan) = (START, Vec::new());
            while schedule.next().is_some() {
                while let Some(at) = schedule.take(now) {
                    assert!(at <= now);
                    plan.push(at);
                }
                now = now + Duration::from_micros(step);
            }
            plan
        };
        let often = plan(10);
        assert_eq!((often.len(), often[0], often[300]), (600, START, START + Duration::from_secs(1)));
        for step in [1_000, 77_777, 5_000_000] {
            assert_eq!(plan(step), often);
        }
    }

    #[test]
    fn it_ends_by_time_or_by_count() {
        for (rate, seconds, messages, want) in
            [(10.0, Some(3), u64::MAX, 30), (10.0, Some(3), 7, 7), (0.5, Some(3), 9, 2), (1e6, None, 5, 5)]
        {
            let mut schedule = schedule(rate, seconds, messages);
            let far = START + Duration::from_secs(1000);
            assert_eq!(std::iter::from_fn(|| schedule.take(far)).count(), want, "{rate} {seconds:?}");
            assert_eq!(schedule.next(), None);
        }
    }
}
