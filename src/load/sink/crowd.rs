//! How many are there: connections and transactions at a time, over the run and in intervals.

use std::time::Duration;

use serde::Serialize;

use super::books::Totals;
use crate::base::time::Instant;

/// Intervals kept; what comes later falls into the last one.
const INTERVALS_MAX: usize = 100_000;

/// One interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// Since the start.
    pub begin_ms: u64,
    pub connects: u64,
    /// Messages acknowledged, and those refused.
    pub messages: u64,
    pub refused: u64,
    /// Transactions broken off.
    pub lost: u64,
    /// The most at a time.
    pub connections_max: u64,
    pub in_flight_max: u64,
}

#[derive(Debug)]
pub(super) struct Crowd {
    start: Instant,
    step: Option<Duration>,
    connections: u64,
    in_flight: u64,
    connections_max: u64,
    in_flight_max: u64,
    now: Interval,
    before: Totals,
    over: Vec<Interval>,
}

/// What the sink tells at its end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Told {
    #[serde(flatten)]
    pub totals: Totals,
    /// The most connections, and transactions, at a time.
    pub connections_max: u64,
    pub in_flight_max: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Interval>,
}

impl Crowd {
    pub(super) fn new(start: Instant, step: Option<Duration>) -> Self {
        Self {
            start,
            step,
            connections: 0,
            in_flight: 0,
            connections_max: 0,
            in_flight_max: 0,
            now: Interval::default(),
            before: Totals::default(),
            over: Vec::new(),
        }
    }

    pub(super) fn connections(&mut self, count: usize) {
        self.connections = count as u64;
        self.connections_max = self.connections_max.max(self.connections);
        self.now.connections_max = self.now.connections_max.max(self.connections);
    }

    /// A connection had a transaction under way, or not, and now has one, or not.
    pub(super) fn transaction(&mut self, before: bool, after: bool) {
        self.in_flight = (self.in_flight + u64::from(after)).saturating_sub(u64::from(before));
        self.in_flight_max = self.in_flight_max.max(self.in_flight);
        self.now.in_flight_max = self.now.in_flight_max.max(self.in_flight);
    }

    /// Ends the intervals before `now`; `totals` is what was counted in them.
    pub(super) fn roll(&mut self, now: Instant, totals: impl FnOnce() -> Totals) {
        let Some(step) = self.step else { return };
        let elapsed = now.since(self.start).as_millis() / step.as_millis().max(1);
        if elapsed <= self.over.len() as u128 || self.over.len() >= INTERVALS_MAX {
            return;
        }
        let totals = totals();
        while (self.over.len() as u128) < elapsed && self.over.len() < INTERVALS_MAX {
            self.end(step, totals);
        }
    }

    fn end(&mut self, step: Duration, totals: Totals) {
        let begin_ms = u64::try_from(step.as_millis()).unwrap_or(u64::MAX) * (self.over.len() as u64 + 1);
        let (connections_max, in_flight_max) = (self.connections, self.in_flight);
        let next = Interval { begin_ms, connections_max, in_flight_max, ..Interval::default() };
        let over = std::mem::replace(&mut self.now, next);
        let before = std::mem::replace(&mut self.before, totals);
        self.over.push(Interval {
            connects: totals.connects - before.connects,
            messages: totals.messages - before.messages,
            refused: totals.refused - before.refused,
            lost: totals.lost - before.lost,
            ..over
        });
    }

    pub(super) fn told(&mut self, now: Instant, totals: Totals) -> Told {
        self.roll(now, || totals);
        self.step.into_iter().for_each(|step| self.end(step, totals));
        let (connections_max, in_flight_max) = (self.connections_max, self.in_flight_max);
        Told { totals, connections_max, in_flight_max, series: std::mem::take(&mut self.over) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_at_a_time_is_told_of_each_interval() {
        let start = Instant::from_nanos(3);
        let ms = |ms| start + Duration::from_millis(ms);
        let mut crowd = Crowd::new(start, Some(Duration::from_millis(10)));
        let mut totals = Totals::default();
        crowd.connections(2);
        crowd.transaction(false, true);
        crowd.transaction(false, true);
        crowd.transaction(true, false);
        totals.messages = 1;
        crowd.roll(ms(10), || totals);
        crowd.connections(1);
        crowd.roll(ms(30), || totals);
        crowd.transaction(true, false);
        (totals.messages, totals.lost) = (2, 1);
        let told = crowd.told(ms(31), totals);
        assert_eq!((told.connections_max, told.in_flight_max), (2, 2));
        let rows: Vec<_> = told
            .series
            .iter()
            .map(|one| (one.begin_ms, one.messages, one.lost, one.connections_max, one.in_flight_max))
            .collect();
        assert_eq!(rows, [(0, 1, 0, 2, 2), (10, 0, 0, 2, 1), (20, 0, 0, 1, 1), (30, 1, 1, 1, 1)]);
    }

    #[test]
    fn without_a_step_there_is_no_series() {
        let mut crowd = Crowd::new(Instant::default(), None);
        crowd.roll(Instant::from_nanos(u64::MAX), || panic!("nobody asked"));
        crowd.transaction(false, true);
        let told = crowd.told(Instant::from_nanos(u64::MAX), Totals::default());
        assert_eq!((told.in_flight_max, told.series.len()), (1, 0));
    }
}
