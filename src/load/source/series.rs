//! What happened when: a run cut into intervals, for plots.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

use super::report::micros;
use crate::base::time::Instant;

/// Intervals kept; what comes later falls into the last one. A day of seconds.
const INTERVALS_MAX: usize = 100_000;

/// One interval. A message counts when it begins and when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// Since the start.
    pub begin_ms: u64,
    /// Messages that were to begin (with a rate), and those that did.
    pub planned: u64,
    pub begun: u64,
    pub accepted: u64,
    /// Refused with 4xx and 5xx.
    pub deferred: u64,
    pub rejected: u64,
    /// Those that nobody answered.
    pub failed: u64,
    /// Latency of those that were accepted.
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
    /// The longest wait for a refusal.
    pub refused_max_us: u64,
}

/// Intervals while they grow.
#[derive(Debug)]
pub(super) struct Series {
    start: Instant,
    step: Duration,
    now: Interval,
    latency: Histogram<u64>,
    over: Vec<Interval>,
}

impl Series {
    /// `empty` is a histogram for latencies.
    pub(super) const fn new(start: Instant, step: Duration, empty: Histogram<u64>) -> Self {
        let now = Interval {
            begin_ms: 0,
            planned: 0,
            begun: 0,
            accepted: 0,
            deferred: 0,
            rejected: 0,
            failed: 0,
            p50_us: 0,
            p99_us: 0,
            max_us: 0,
            refused_max_us: 0,
        };
        Self { start, step, now, latency: empty, over: Vec::new() }
    }

    /// The interval of `now`; those before it end.
    pub(super) fn at(&mut self, now: Instant) -> &mut Interval {
        let elapsed = now.since(self.start).as_millis() / self.step.as_millis().max(1);
        while (self.over.len() as u128) < elapsed && self.over.len() < INTERVALS_MAX {
            self.end();
        }
        &mut self.now
    }

    pub(super) fn accepted(&mut self, now: Instant, latency: Duration) {
        self.at(now).accepted += 1;
        self.latency.saturating_record(micros(latency));
    }

    fn end(&mut self) {
        let begin_ms = millis(self.step) * (self.over.len() as u64 + 1);
        let mut over = std::mem::replace(&mut self.now, Interval { begin_ms, ..Interval::default() });
        if !self.latency.is_empty() {
            over.p50_us = self.latency.value_at_quantile(0.5);
            over.p99_us = self.latency.value_at_quantile(0.99);
            over.max_us = self.latency.max();
            self.latency.reset();
        }
        self.over.push(over);
    }

    pub(super) fn finish(mut self, now: Instant) -> Vec<Interval> {
        self.at(now);
        self.end();
        self.over
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_counts_in_its_interval() {
        let start = Instant::from_nanos(5_000_000);
        let ms = |ms| start + Duration::from_millis(ms);
        let mut series = Series::new(start, Duration::from_millis(100), Histogram::new(3).unwrap());
        series.at(ms(0)).planned += 1;
        series.accepted(ms(99), Duration::from_micros(500));
        series.at(ms(100)).deferred += 1;
        series.accepted(ms(350), Duration::from_micros(10));
        series.accepted(ms(360), Duration::from_micros(20));
        let over = series.finish(ms(401));
        let rows: Vec<_> = over
            .iter()
            .map(|one| (one.begin_ms, one.planned, one.accepted, one.deferred, one.max_us))
            .collect();
        assert_eq!(
            rows,
            [(0, 1, 1, 0, 500), (100, 0, 0, 1, 0), (200, 0, 0, 0, 0), (300, 0, 2, 0, 20), (400, 0, 0, 0, 0)]
        );
    }

    #[test]
    fn a_run_without_end_has_an_end_of_its_series() {
        let start = Instant::from_nanos(0);
        let mut series = Series::new(start, Duration::from_millis(1), Histogram::new(3).unwrap());
        series.at(start + Duration::from_secs(1_000_000)).failed += 1;
        let over = series.finish(start + Duration::from_secs(2_000_000));
        assert_eq!((over.len(), over[INTERVALS_MAX].failed), (INTERVALS_MAX + 1, 1));
    }
}
