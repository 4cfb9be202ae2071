//! Deadlines of many things, most of which never come.
//!
//! A wheel of slots, one per tick. A deadline is put into the slot of its tick (or the farthest
//! slot) and looked at when the hand passes. Owners keep their true deadline themselves: moving it
//! later costs nothing here, the entry found too early is put back by the owner.

use std::time::Duration;

use super::time::Instant;

/// Slots of the wheel: deadlines beyond `SLOTS` ticks go round more than once.
const SLOTS: usize = 1024;
const SLOTS_U64: u64 = SLOTS as u64;

#[derive(Debug)]
pub struct TimerWheel<T> {
    tick: Duration,
    /// Ticks since the epoch of the clock up to which everything was looked at.
    hand: u64,
    slots: Vec<Vec<T>>,
    len: usize,
    /// No slot before this tick holds anything: asked at every turn, so not searched each time.
    earliest: u64,
}

impl<T> TimerWheel<T> {
    pub fn new(now: Instant, tick: Duration) -> Self {
        let mut wheel = Self { tick, hand: 0, slots: Vec::new(), len: 0, earliest: 0 };
        wheel.slots.resize_with(SLOTS, Vec::new);
        wheel.hand = wheel.tick_of(now);
        wheel
    }

    /// Puts `entry` where it will be found at `deadline`, or earlier if that is far.
    pub fn insert(&mut self, deadline: Instant, entry: T) {
        let tick = self.tick_of(deadline) + 1;
        let tick = tick.clamp(self.hand + 1, self.hand + SLOTS_U64 - 1);
        self.slots[Self::slot(tick)].push(entry);
        self.earliest = if self.len == 0 { tick } else { self.earliest.min(tick) };
        self.len += 1;
    }

    /// Moves the hand to `now` and appends what it passed to `due`.
    pub fn advance(&mut self, now: Instant, due: &mut Vec<T>) {
        let target = self.tick_of(now);
        // After a very long pause one full round passes every slot.
        let from = self.hand.max(target.saturating_sub(SLOTS_U64));
        for tick in from + 1..=target {
            let slot = &mut self.slots[Self::slot(tick)];
            self.len -= slot.len();
            due.append(slot);
        }
        self.hand = self.hand.max(target);
    }

    /// When to advance next, if anything waits.
    pub fn next_tick(&mut self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        let from = self.earliest.max(self.hand + 1);
        let last = self.hand + SLOTS_U64;
        self.earliest = (from..last).find(|tick| !self.slots[Self::slot(*tick)].is_empty()).unwrap_or(last);
        Some(Instant::from_nanos(self.earliest.saturating_mul(self.tick_nanos())))
    }

    fn tick_of(&self, at: Instant) -> u64 {
        at.as_nanos() / self.tick_nanos()
    }

    fn tick_nanos(&self) -> u64 {
        u64::try_from(self.tick.as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    const fn slot(tick: u64) -> usize {
        (tick % SLOTS_U64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, TimerWheel};

    const TICK: Duration = Duration::from_millis(10);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn nothing_is_due_early_and_all_is_due_in_time() {
        let mut wheel = TimerWheel::new(at(1000), TICK);
        for deadline in [1000, 1005, 1050, 1500] {
            wheel.insert(at(deadline), deadline);
        }
        let mut seen = Vec::new();
        for now in 1000..1600 {
            let mut due = Vec::new();
            wheel.advance(at(now), &mut due);
            for deadline in due {
                assert!((deadline..=deadline + 20).contains(&now), "{deadline} at {now}");
                seen.push(deadline);
            }
        }
        assert_eq!(seen, [1000, 1005, 1050, 1500]);
        assert_eq!(wheel.next_tick(), None);
    }

    #[test]
    fn a_far_deadline_is_shown_early_never_lost() {
        let mut wheel = TimerWheel::new(at(0), TICK);
        wheel.insert(at(3_600_000), 'a');
        let mut due = Vec::new();
        wheel.advance(at(20_000), &mut due);
        assert_eq!(due, ['a']);
    }

    #[test]
    fn the_next_tick_covers_the_earliest_deadline() {
        let mut wheel = TimerWheel::new(at(7), TICK);
        wheel.insert(at(95), 'b');
        wheel.insert(at(44), 'a');
        let next = wheel.next_tick().unwrap();
        assert!(next >= at(44) && next <= at(60), "{next:?}");
        let mut due = Vec::new();
        wheel.advance(next, &mut due);
        assert_eq!(due, ['a']);
    }
}
