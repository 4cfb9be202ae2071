//! Whether a server gets anything at all: a circuit breaker with probes.
//!
//! What opens it, and where the line is. A server fails where it cannot be reached, does not greet, does not answer in
//! time, or loses a connection in the middle of something: [`FAILURES`] of that in a row, with nothing good in between; or
//! one connection that could not be made while there was no other one. It is sick where it refuses messages for a
//! while for reasons that are its own: [`SICK`] of that in a row. What it says of a recipient (a greylist, a
//! full mailbox), of a sender or of content is an answer like any other, and proves that it lives: whoever decides
//! which is which knows replies, not this file. In a row, and not a share of all: where half of the mail goes well,
//! to refuse all of it would be worse than what is wrong.
//!
//! ```text
//! closed ── too much of it ──> open ── its pause is over ──> half open ── the probe passes ──> closed
//!                               ^  <──────── the probe fails: twice the pause ────────┘
//! ```
//!
//! Open, it gets nothing; half open, one probe: a connection that is greeted, or NOOP on one that was kept.
//! Pauses double, with jitter so that workers do not come back in step, and are short again only after a
//! message went well: a server that greets and then does no work is not tried more often than a dead one.
//!
//! Beside that a connection that could not be made is a reason to wait with the next one, while those that are
//! open go on: it may just have no room for more.

use std::time::Duration;

use crate::base::time::Instant;

/// First and longest pause; doubled in between. At the longest a server that is back is found within it.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// Failures in a row, and refusals of its own in a row, that open it.
const FAILURES: u8 = 3;
const SICK: u8 = 10;
/// Whoever waits may wait for a server that is tried again so soon.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was heard of a server in a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Word {
    /// Nothing that says anything about it.
    #[default]
    Nothing,
    /// It does its work: it took the message, or refused it for what it is.
    Well,
    /// It refused for a while, for reasons of its own.
    Sick,
    /// It was silent, or the connection was lost.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed,
    /// Nothing goes there before.
    Open {
        until: Instant,
    },
    /// A probe is under way.
    HalfOpen {
        since: Instant,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    state: State,
    /// In a row.
    failures: u8,
    sick: u8,
    /// The last one; zero where all is well.
    pause: Duration,
    /// No new connection is tried before.
    quiet_until: Instant,
}

impl Breaker {
    pub const fn new() -> Self {
        Self {
            state: State::Closed,
            failures: 0,
            sick: 0,
            pause: Duration::ZERO,
            quiet_until: Instant::from_nanos(0),
        }
    }

    pub const fn state(&self) -> State {
        self.state
    }

    /// Messages may go there.
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// A new connection may be tried.
    pub fn may_connect(&self, now: Instant) -> bool {
        self.is_closed() && self.quiet_until <= now
    }

    /// It is time for a probe.
    pub fn is_probe_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Open { until } if until <= now)
    }

    /// Whether it makes sense to wait for this server.
    pub fn is_promising(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } => until <= now + PATIENCE,
            State::HalfOpen { since } => self.pause <= PATIENCE || now.since(since) <= PATIENCE,
        }
    }

    /// What a transaction says of it. Says whether that opened it.
    pub fn on_word(&mut self, now: Instant, word: Word, random: &mut fastrand::Rng) -> bool {
        match (word, self.state) {
            (Word::Well, State::Open { .. }) => {
                // It lives: that is worth a probe now.
                self.forgive();
                self.state = State::Open { until: now };
            }
            (Word::Well, _) => self.forgive(),
            (Word::Failed, State::Closed) => {
                self.failures += 1;
                return self.failures >= FAILURES && self.open(now, random);
            }
            (Word::Sick, State::Closed) => {
                self.sick += 1;
                return self.sick >= SICK && self.open(now, random);
            }
            // What was sent before it opened decides nothing more.
            (Word::Nothing, _) | (Word::Failed | Word::Sick, State::Open { .. } | State::HalfOpen { .. }) => {
            }
        }
        false
    }

    /// A connection could not be made, or did not come as far as to be of use. `alone`: there is no other one. Says
    /// whether that opened it.
    pub fn on_unreachable(&mut self, now: Instant, alone: bool, random: &mut fastrand::Rng) -> bool {
        match self.state {
            State::Closed if alone => self.open(now, random),
            State::Closed => {
                self.quiet_until = now + self.lengthen(random);
                self.failures += 1;
                self.failures >= FAILURES && self.open(now, random)
            }
            State::Open { .. } | State::HalfOpen { .. } => false,
        }
    }

    /// A connection was made and greeted.
    pub const fn on_reached(&mut self) {
        self.quiet_until = Instant::from_nanos(0);
    }

    /// The probe is sent.
    pub const fn on_probe_begun(&mut self, now: Instant) {
        self.state = State::HalfOpen { since: now };
    }

    pub fn on_probe_failed(&mut self, now: Instant, random: &mut fastrand::Rng) {
        self.open(now, random);
    }

    /// The probe came to nothing for a reason that may be ours: another one may be sent.
    pub const fn on_probe_lost(&mut self, now: Instant) {
        self.state = State::Open { until: now };
    }

    /// Messages may go there again. How long the pause was is not forgotten yet.
    pub const fn on_probe_passed(&mut self) {
        self.state = State::Closed;
        self.failures = 0;
        self.sick = 0;
        self.quiet_until = Instant::from_nanos(0);
    }

    const fn forgive(&mut self) {
        self.failures = 0;
        self.sick = 0;
        self.pause = Duration::ZERO;
    }

    fn open(&mut self, now: Instant, random: &mut fastrand::Rng) -> bool {
        self.state = State::Open { until: now + self.lengthen(random) };
        (self.failures, self.sick) = (0, 0);
        true
    }

    /// The next pause: of twice the last one, between half and all.
    fn lengthen(&mut self, random: &mut fastrand::Rng) -> Duration {
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.pause.mul_f64(0.5 + random.f64() / 2.0)
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Word::{Failed, Nothing, Sick, Well};

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// What is done to it.
    #[derive(Clone, Copy, Debug)]
    enum Do {
        Say(Word, u8),
        /// Whether it was the only one.
        Unreachable(bool),
        Reached,
        Probe,
        Fail,
        Pass,
    }

    fn done(breaker: &mut Breaker, now: Instant, what: Do, random: &mut fastrand::Rng) {
        match what {
            Do::Say(word, times) => (0..times).for_each(|_| {
                breaker.on_word(now, word, random);
            }),
            Do::Unreachable(alone) => {
                breaker.on_unreachable(now, alone, random);
            }
            Do::Reached => breaker.on_reached(),
            Do::Probe => breaker.on_probe_begun(now),
            Do::Fail => breaker.on_probe_failed(now, random),
            Do::Pass => breaker.on_probe_passed(),
        }
    }

    /// How it stands behind all of it, at second 1.
    #[track_caller]
    fn check(what: &[Do], want: &str) {
        let (mut breaker, mut random) = (Breaker::new(), fastrand::Rng::with_seed(1));
        let now = at(1000);
        what.iter().for_each(|what| done(&mut breaker, now, *what, &mut random));
        let shown = match breaker.state() {
            State::Closed if breaker.may_connect(now) => "closed".to_owned(),
            State::Closed => "quiet".to_owned(),
            State::Open { until } if until <= now => "due".to_owned(),
            State::Open { .. } => format!("open {}", breaker.pause.as_millis()),
            State::HalfOpen { .. } => "half".to_owned(),
        };
        assert_eq!(shown, want, "{what:?}");
    }

    #[test]
    fn the_table() {
        check(&[], "closed");
        for (word, few, enough) in [(Failed, 2, 3), (Sick, 9, 10)] {
            check(&[Do::Say(word, few)], "closed");
            check(&[Do::Say(word, enough)], "open 100");
            check(&[Do::Say(word, few), Do::Say(Well, 1), Do::Say(word, few)], "closed");
            check(&[Do::Say(word, few), Do::Say(Nothing, 9), Do::Say(word, 1)], "open 100");
        }
        check(&[Do::Say(Nothing, 99)], "closed");
        check(&[Do::Unreachable(true)], "open 100");
        check(&[Do::Unreachable(false)], "quiet");
        check(&[Do::Unreachable(false), Do::Reached], "closed");
        check(&[Do::Unreachable(false), Do::Unreachable(false), Do::Unreachable(false)], "open 800");
        let open = Do::Unreachable(true);
        check(&[open, Do::Say(Failed, 99), Do::Say(Sick, 99), open], "open 100");
        check(&[open, Do::Say(Well, 1)], "due");
        check(&[open, Do::Probe], "half");
        check(&[open, Do::Probe, Do::Say(Failed, 9), Do::Say(Sick, 99), Do::Say(Well, 1), open], "half");
        check(&[open, Do::Probe, Do::Fail], "open 200");
        check(&[open, Do::Probe, Do::Fail, Do::Probe, Do::Fail], "open 400");
        check(&[open, Do::Probe, Do::Pass], "closed");
        // Greeted, and no work done: pauses go on to grow.
        check(&[open, Do::Probe, Do::Pass, Do::Say(Sick, 10)], "open 200");
        check(&[open, Do::Probe, Do::Pass, Do::Say(Well, 1), Do::Say(Sick, 10)], "open 100");
    }

    #[test]
    fn pauses_double_up_to_four_seconds_and_differ() {
        let (mut breaker, mut random) = (Breaker::new(), fastrand::Rng::with_seed(3));
        let mut pauses = Vec::new();
        breaker.on_unreachable(at(0), true, &mut random);
        for _ in 0..9 {
            let State::Open { until } = breaker.state() else { panic!("{breaker:?}") };
            let pause = until.since(at(0));
            assert!(pause <= breaker.pause && pause >= breaker.pause / 2);
            pauses.push(pause);
            assert!(!breaker.is_probe_due(at(0)) && breaker.is_probe_due(until));
            breaker.on_probe_begun(at(0));
            breaker.on_probe_failed(at(0), &mut random);
        }
        assert_eq!(breaker.pause, PAUSE_MAX);
        pauses.dedup();
        assert_eq!(pauses.len(), 9);
    }

    #[test]
    fn nobody_waits_for_one_that_was_dead_for_long() {
        let (mut breaker, mut random) = (Breaker::new(), fastrand::Rng::with_seed(3));
        breaker.on_unreachable(at(0), true, &mut random);
        assert!(breaker.is_promising(at(0)));
        for _ in 0..6 {
            breaker.on_probe_begun(at(0));
            breaker.on_probe_failed(at(0), &mut random);
        }
        assert!(!breaker.is_promising(at(0)));
        assert!(breaker.is_promising(at(4000)));
        breaker.on_probe_begun(at(4000));
        // Whoever comes first may hope, not whoever finds it silent.
        assert!(breaker.is_promising(at(4500)));
        assert!(!breaker.is_promising(at(5500)));
    }
}
