//! Which messages are taken while more comes than can be done: all down to a bar, which sinks through the lanes
//! from the worst upwards and rises again.
//!
//! The bar stands somewhere in a lane, so that of this lane a part is taken, by chance: sent away in whole lanes
//! the load would swing between too much and nothing. Whoever is just above it is slowed, before anybody there is
//! sent away. What must always hold: all of the best lane is taken; the bar moves in steps of time, however
//! often it is asked; after the load has gone it is up again within two seconds.

use std::time::Duration;

use super::lane::Lane;
use crate::base::time::Instant;

/// Steps of one lane.
const LANE: u32 = 256;
/// How often the bar moves.
const INTERVAL: Duration = Duration::from_millis(50);
/// How far it sinks; and how far it rises: at first, and at most. Each rise is twice the one before.
const SINK: u32 = 32;
const RISE_FIRST: u32 = 8;
const RISE_MAX: u32 = 256;

/// The bar.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// Below this all are taken.
    at: u32,
    top: u32,
    rise: u32,
    moves_at: Instant,
}

/// What becomes of whoever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    Serve,
    /// It is served, and not in a hurry.
    Slow,
    /// It is to come again.
    Defer,
}

impl Bar {
    /// Above all of so many lanes.
    pub const fn new(lanes: u8) -> Self {
        let top = LANE * if lanes == 0 { 1 } else { lanes as u32 };
        Self { at: top, top, rise: RISE_FIRST, moves_at: Instant::from_nanos(0) }
    }

    /// Moves it, if it is time: `is_overloaded` says whether more is to be done than can be.
    pub fn update(&mut self, now: Instant, is_overloaded: bool) {
        if now < self.moves_at {
            return;
        }
        self.moves_at = now + INTERVAL;
        if is_overloaded {
            // All of the best lane is taken.
            self.at = self.at.saturating_sub(SINK).max(LANE);
            self.rise = RISE_FIRST;
        } else {
            self.at = (self.at + self.rise).min(self.top);
            self.rise = (self.rise * 2).min(RISE_MAX);
        }
    }

    /// What becomes of one of this lane; `chance` is any number.
    pub const fn treatment(&self, lane: Lane, chance: u8) -> Treatment {
        if !self.is_lowered() || lane.0 == 0 {
            return Treatment::Serve;
        }
        let place = LANE * lane.0 as u32 + chance as u32;
        if place >= self.at {
            Treatment::Defer
        } else if place + LANE >= self.at {
            Treatment::Slow
        } else {
            Treatment::Serve
        }
    }

    pub const fn is_lowered(&self) -> bool {
        self.at < self.top
    }

    /// How much of all lanes is taken, in thousandths.
    pub const fn permille(&self) -> u32 {
        self.at * 1000 / self.top
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Treatment::{Defer, Serve, Slow};

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// A bar of five lanes that was told so many times that there is too much, and then that there is not.
    fn bar(overloaded: u64, calm: u64) -> Bar {
        let mut bar = Bar::new(5);
        (0..overloaded).for_each(|turn| bar.update(at(turn * 50), true));
        (overloaded..overloaded + calm).for_each(|turn| bar.update(at(turn * 50), false));
        bar
    }

    #[track_caller]
    fn check(bar: &Bar, chance: u8, want: [Treatment; 5]) {
        assert_eq!([0, 1, 2, 3, 4].map(|lane| bar.treatment(Lane(lane), chance)), want, "{bar:?}");
    }

    #[test]
    fn it_sinks_through_the_lanes_and_spares_the_best() {
        check(&bar(0, 9), 255, [Serve; 5]);
        check(&bar(1, 0), 223, [Serve, Serve, Serve, Serve, Slow]);
        check(&bar(1, 0), 224, [Serve, Serve, Serve, Slow, Defer]);
        check(&bar(8, 0), 0, [Serve, Serve, Serve, Slow, Defer]);
        check(&bar(16, 0), 0, [Serve, Serve, Slow, Defer, Defer]);
        check(&bar(28, 0), 127, [Serve, Slow, Defer, Defer, Defer]);
        check(&bar(28, 0), 128, [Serve, Defer, Defer, Defer, Defer]);
        check(&bar(99, 0), 255, [Serve, Defer, Defer, Defer, Defer]);
    }

    #[test]
    fn it_is_up_again_within_two_seconds() {
        assert!(bar(500, 7).is_lowered());
        assert!(!bar(500, 40).is_lowered());
        // Each new trouble begins with small steps again.
        let mut bar = bar(500, 5);
        let before = bar.permille();
        bar.update(at(60_000), true);
        bar.update(at(60_050), false);
        assert!(bar.permille() < before);
    }

    #[test]
    fn it_moves_by_time_and_not_by_how_often_it_is_asked() {
        let mut often = Bar::new(5);
        (0..1000).for_each(|milli| often.update(at(milli), true));
        assert_eq!(often.permille(), bar(20, 0).permille());
    }

    #[test]
    fn of_one_lane_nobody_is_sent_away() {
        let mut bar = Bar::new(1);
        (0..100).for_each(|turn| bar.update(at(turn * 50), true));
        assert_eq!(bar.treatment(Lane(0), 255), Serve);
        assert!(!bar.is_lowered());
    }
}
