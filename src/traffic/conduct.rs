//! How somebody has behaved lately: what a client did, counted with fading memory, and the one word that makes
//! of it.
//!
//! Offences are those of clients that nobody wants: asking for recipients until some exist (harvesting), errors
//! without mail (junk), guessing passwords, slowness that had to be ended, and messages that the verdict refused.
//! Each has what excuses it, for numbers alone tell nothing: who brings ten thousand messages has brought ten for
//! somebody who left. A table says how many are suspect, how many are bad.
//!
//! What must always hold: a count fades by half in each [`HALF_LIFE`], whether it is looked at or not; without an
//! offence nobody is suspect; and nobody who stops to offend stays bad.

use std::time::Duration;

use super::table::Entry;
use crate::base::time::Instant;

/// After this half of what was done is forgotten.
pub const HALF_LIFE: Duration = Duration::from_secs(3600);
/// Counts fade in steps of an eighth of that.
const TICK_NANOS: u64 = 3600 * 1_000_000_000 / 8;
/// What is left of 65,536 after so many ticks.
const LEFT: [u32; 8] = [65_536, 60_097, 55_109, 50_535, 46_341, 42_495, 38_968, 35_734];
/// Counts are kept in sixteenths: so a single deed fades, too.
const UNIT: u16 = 16;

/// What a client is to be expected to do. In order: the later, the worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conduct {
    /// It brings mail, and nothing speaks against it.
    Good,
    /// Nothing is known, or too little.
    #[default]
    Unknown,
    Suspect,
    Bad,
}

impl Conduct {
    pub const ALL: [Self; 4] = [Self::Good, Self::Unknown, Self::Suspect, Self::Bad];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unknown => "unknown",
            Self::Suspect => "suspect",
            Self::Bad => "bad",
        }
    }
}

/// What is counted of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A message was taken.
    Delivered,
    /// A recipient got a message: to be taken alone excuses nothing, for whoever asks knows one that is.
    Reached,
    /// A recipient is none that anybody knows.
    UnknownRecipient,
    /// A command that makes no sense, or one too many that leads nowhere.
    Junk,
    /// A wrong password.
    Guessed,
    /// A right one.
    Proved,
    /// It had to be ended because it was slow.
    Slow,
    /// A message was refused for what it is.
    Refused,
}

impl Deed {
    pub const ALL: [Self; 8] = [
        Self::Delivered,
        Self::Reached,
        Self::UnknownRecipient,
        Self::Junk,
        Self::Guessed,
        Self::Proved,
        Self::Slow,
        Self::Refused,
    ];

    /// Whether it speaks against the client.
    pub const fn is_offence(self) -> bool {
        matches!(self, Self::UnknownRecipient | Self::Junk | Self::Guessed | Self::Slow | Self::Refused)
    }
}

/// From how many on an offence makes suspect, and bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub suspect: u16,
    pub bad: u16,
}

/// From what on somebody is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Unknown recipients, if they are more than those that got a message.
    pub harvest: Bounds,
    /// Errors, if they are more than four for each message.
    pub junk: Bounds,
    /// Wrong passwords, if they are more than four for each right one.
    pub guesses: Bounds,
    /// Sessions ended for slowness, if they are more than messages.
    pub slow: Bounds,
    /// Messages refused by the verdict, if they are more than those that were taken.
    pub refused: Bounds,
    /// Messages from which on who offends in nothing is good.
    pub good: u16,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            harvest: Bounds { suspect: 10, bad: 30 },
            junk: Bounds { suspect: 10, bad: 40 },
            guesses: Bounds { suspect: 10, bad: 30 },
            slow: Bounds { suspect: 5, bad: 20 },
            refused: Bounds { suspect: 10, bad: 50 },
            good: 10,
        }
    }
}

/// The most that a threshold may be: more is not counted.
pub const THRESHOLD_MAX: u16 = 1000;
const _: () = assert!(THRESHOLD_MAX < u16::MAX / UNIT);

/// How far somebody has offended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Degree {
    #[default]
    None,
    /// A quarter of what makes suspect: not enough by itself, but a neighbour may be the same client.
    Part,
    Suspect,
    Bad,
}

/// An offence, what excuses it, and how many of the offence one of these does.
struct Offence {
    deed: Deed,
    excuse: Deed,
    excused: u32,
    bounds: fn(&Thresholds) -> Bounds,
}

const OFFENCES: [Offence; 5] = [
    Offence { deed: Deed::UnknownRecipient, excuse: Deed::Reached, excused: 1, bounds: |it| it.harvest },
    Offence { deed: Deed::Junk, excuse: Deed::Delivered, excused: 4, bounds: |it| it.junk },
    Offence { deed: Deed::Guessed, excuse: Deed::Proved, excused: 4, bounds: |it| it.guesses },
    Offence { deed: Deed::Slow, excuse: Deed::Delivered, excused: 1, bounds: |it| it.slow },
    Offence { deed: Deed::Refused, excuse: Deed::Delivered, excused: 1, bounds: |it| it.refused },
];

/// What one client has done lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// In sixteenths, as of `tick`.
    counts: [u16; Deed::ALL.len()],
    tick: u32,
}

// With its key an entry is half a line of the processor's cache.
const _: () = assert!(size_of::<Past>() <= 24);

impl Past {
    pub fn note(&mut self, now: Instant, deed: Deed, times: u16) {
        *self = self.at(now);
        let count = &mut self.counts[deed as usize];
        *count = count.saturating_add(UNIT.saturating_mul(times));
    }

    /// How often, lately.
    pub fn count(&self, now: Instant, deed: Deed) -> u16 {
        self.at(now).counts[deed as usize] / UNIT
    }

    /// How far it has offended: by its worst offence.
    pub fn degree(&self, now: Instant, thresholds: &Thresholds) -> Degree {
        let past = self.at(now);
        OFFENCES.iter().map(|offence| past.degree_of(offence, thresholds)).max().unwrap_or_default()
    }

    fn degree_of(&self, offence: &Offence, thresholds: &Thresholds) -> Degree {
        let count = u32::from(self.counts[offence.deed as usize]);
        let Bounds { suspect, bad } = (offence.bounds)(thresholds);
        let reaches = |bound: u16| count >= u32::from(bound) * u32::from(UNIT);
        if count <= offence.excused * u32::from(self.counts[offence.excuse as usize]) {
            Degree::None
        } else if reaches(bad) {
            Degree::Bad
        } else if reaches(suspect) {
            Degree::Suspect
        } else if reaches(suspect.div_ceil(4)) {
            Degree::Part
        } else {
            Degree::None
        }
    }

    pub fn conduct(&self, now: Instant, thresholds: &Thresholds) -> Conduct {
        match self.degree(now, thresholds) {
            Degree::Bad => Conduct::Bad,
            Degree::Suspect => Conduct::Suspect,
            Degree::None if self.count(now, Deed::Delivered) >= thresholds.good => Conduct::Good,
            Degree::None | Degree::Part => Conduct::Unknown,
        }
    }

    /// The same, faded until `now`. A clock that would go back fades nothing.
    fn at(&self, now: Instant) -> Self {
        let tick = tick(now);
        let ticks = tick.saturating_sub(self.tick);
        if ticks == 0 {
            return *self;
        }
        Self { counts: self.counts.map(|count| faded(count, ticks)), tick }
    }
}

impl Entry for Past {
    /// Offences are dearer than merits: who is forgotten may begin anew.
    fn worth(&self, now: Instant) -> u64 {
        let past = self.at(now);
        let worth = |deed: Deed| {
            let count = u64::from(past.counts[deed as usize]);
            if deed.is_offence() { 16 * count } else { count }
        };
        Deed::ALL.into_iter().map(worth).sum()
    }
}

/// Ticks of the clock so far.
const fn tick(now: Instant) -> u32 {
    (now.as_nanos() / TICK_NANOS) as u32
}

/// What is left of `count` after `ticks`.
const fn faded(count: u16, ticks: u32) -> u16 {
    let halvings = ticks / 8;
    if halvings > 15 {
        return 0;
    }
    ((((count as u32) >> halvings) * LEFT[(ticks % 8) as usize]) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(1_000 * TICK_NANOS);

    fn after(half_lives: f64) -> Instant {
        START + HALF_LIFE.mul_f64(half_lives)
    }

    fn past(deeds: &[(Deed, usize)]) -> Past {
        let mut past = Past::default();
        for (deed, count) in deeds {
            past.note(START, *deed, u16::try_from(*count).unwrap());
        }
        past
    }

    #[track_caller]
    fn check(deeds: &[(Deed, usize)], want: Conduct) {
        assert_eq!(past(deeds).conduct(START, &Thresholds::default()), want, "{deeds:?}");
    }

    #[test]
    fn a_stranger_is_unknown_and_who_brings_mail_is_good() {
        check(&[], Conduct::Unknown);
        check(&[(Deed::Delivered, 9)], Conduct::Unknown);
        check(&[(Deed::Delivered, 10)], Conduct::Good);
        check(&[(Deed::Proved, 100), (Deed::Reached, 100)], Conduct::Unknown);
    }

    #[test]
    fn an_offence_counts_when_nothing_excuses_it() {
        use Deed::{Delivered, Guessed, Junk, Proved, Reached, Refused, Slow, UnknownRecipient};
        for (deed, excuse, excused, suspect, bad) in [
            (UnknownRecipient, Reached, 1, 10, 30),
            (Junk, Delivered, 4, 10, 40),
            (Guessed, Proved, 4, 10, 30),
            (Slow, Delivered, 1, 5, 20),
            (Refused, Delivered, 1, 10, 50),
        ] {
            check(&[(deed, suspect - 1)], Conduct::Unknown);
            check(&[(deed, suspect)], Conduct::Suspect);
            check(&[(deed, bad - 1)], Conduct::Suspect);
            check(&[(deed, bad)], Conduct::Bad);
            let excuses = bad.div_ceil(excused);
            let innocent = if excuse == Delivered { Conduct::Good } else { Conduct::Unknown };
            check(&[(deed, bad), (excuse, excuses)], innocent);
            check(&[(deed, excuses * excused + 1), (excuse, excuses)], Conduct::Bad);
        }
    }

    #[test]
    fn the_worst_offence_counts_and_good_mail_excuses_only_its_own() {
        check(&[(Deed::Delivered, 1000), (Deed::Reached, 1000), (Deed::Guessed, 30)], Conduct::Bad);
        check(&[(Deed::Slow, 5), (Deed::UnknownRecipient, 30)], Conduct::Bad);
        // Who has offended in part is not good.
        check(&[(Deed::Delivered, 1000), (Deed::Guessed, 3)], Conduct::Unknown);
        check(&[(Deed::Delivered, 1000), (Deed::Guessed, 2)], Conduct::Good);
    }

    #[test]
    fn a_part_is_a_quarter() {
        for (count, want) in [(2, Degree::None), (3, Degree::Part), (10, Degree::Suspect), (30, Degree::Bad)]
        {
            let past = past(&[(Deed::UnknownRecipient, count)]);
            assert_eq!(past.degree(START, &Thresholds::default()), want, "{count}");
        }
    }

    #[test]
    fn what_was_done_fades() {
        let past = past(&[(Deed::Guessed, 40)]);
        for (half_lives, want) in
            [(0.0, 40), (0.125, 36), (1.0, 20), (1.5, 14), (2.0, 10), (5.0, 1), (100.0, 0)]
        {
            assert_eq!(past.count(after(half_lives), Deed::Guessed), want, "{half_lives}");
        }
        for (half_lives, want) in [(0.0, Conduct::Bad), (1.0, Conduct::Suspect), (2.5, Conduct::Unknown)] {
            assert_eq!(past.conduct(after(half_lives), &Thresholds::default()), want, "{half_lives}");
        }
        assert_eq!(past.worth(after(20.0)), 0);
        assert!(past.worth(after(1.0)) < past.worth(START));
    }

    /// However often it is looked at or added to, in whatever steps: as a sum of deeds, each fading by itself.
    #[test]
    fn it_fades_as_each_deed_by_itself_would() {
        for seed in 0..100 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut past, mut deeds, mut now) = (Past::default(), Vec::new(), START);
            for _ in 0..200 {
                now = now + HALF_LIFE.mul_f64(random.f64() / 8.0);
                past.note(now, Deed::Junk, 1);
                deeds.push(now);
                let ticks = |then: Instant| f64::from(tick(now) - tick(then));
                let want: f64 = deeds.iter().map(|then| (-ticks(*then) / 8.0).exp2()).sum();
                let got = f64::from(past.counts[Deed::Junk as usize]) / f64::from(UNIT);
                // Each step loses less than a sixteenth, and what was lost fades, too.
                assert!(got <= want && got > want - 0.75, "{got} {want}");
            }
        }
    }

    #[test]
    fn counts_end_where_they_are_full() {
        let mut past = Past::default();
        (0..100_000).for_each(|_| past.note(START, Deed::Junk, 1));
        past.note(START, Deed::Junk, u16::MAX);
        assert_eq!(past.count(START, Deed::Junk), u16::MAX / UNIT);
        assert!(past.count(START, Deed::Junk) > THRESHOLD_MAX);
    }
}
