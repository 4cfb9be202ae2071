//! How many transactions a server may have in hand at a time: as many as it answers about as fast as it can.
//!
//! Little's law says what a server that takes no more work does with it: it answers later. So what is measured
//! is how long it owed us a reply, of the envelope and of the end of content each by itself (the one is a
//! look-up, the other a disk); what the client took is no part of it. The shortest it can do, the floor, is
//! learnt while it goes. Much longer than that, and there are too many: the limit shrinks by as much, down to a
//! minimum. About as long: it grows by its square root. Both only while it is in use: more than half of it. In the spirit
//! of TCP Vegas and of Netflix's gradient limits.
//!
//! The floor follows down soon. Up it goes slowly, and only while that is not our doing: while the limit is not in
//! use, or at its minimum already. So a server that is slower for good is accepted, and one that is slow because we
//! press it is not.
//!
//! What must always hold: the limit stays between 1 and its maximum; it moves once a window; it grows only while it is in
//! use and answers come; behind a trip it begins at [`RESTART`].

use std::time::Duration;

use crate::base::time::Instant;

/// How often the limit moves, at most; and not before it can be seen what became of the last move, up to so long.
const WINDOW: Duration = Duration::from_millis(100);
const WINDOW_MAX: Duration = Duration::from_secs(1);
/// What a server may be slower than its floor, in thousandths, and what is no delay at all, whatever the floor.
const TOLERANCE: u64 = 1500;
const UNNOTICED_MICROS: u64 = 40_000;
/// How long it takes until about two thirds of a longer time are accepted as the floor.
const FORGET_MICROS: u64 = 30_000_000;
/// Of the way down to a shorter one, one part in so many is gone in each window.
const DOWN: u64 = 4;
/// A limit in thousandths.
const ONE: u64 = 1000;
/// Most that one window may take away, and what it takes where a server says that it cannot.
const SHRINK_MOST: u64 = 500;
const SHRINK_SICK: u64 = 800;
/// What a server gets that was never seen: much more than it can do would be in its hands before the first answer is.
const START: u64 = 32;
/// What a server gets that has just come back.
const RESTART: u64 = 2;

/// What a server owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debt {
    /// Replies to MAIL and RCPT.
    Envelope,
    /// The reply to the end of content.
    Content,
}

/// Between what it may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub min: usize,
    pub max: usize,
    /// Whether it follows the server at all.
    pub adapts: bool,
}

/// How long one kind of debt takes.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// Microseconds; None: never seen.
    floor: Option<u64>,
    /// Of this window.
    sum: u64,
    count: u64,
}

/// How many of them a server may have.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    bounds: Bounds,
    /// In thousandths.
    at: u64,
    paces: [Pace; 2],
    /// Refusals for reasons of its own, in this window.
    sick: u64,
    in_hand: usize,
    /// Most that it had in hand in this window.
    peak: usize,
    began: Instant,
    /// When the window is over.
    ends: Instant,
}

impl Limit {
    /// At its maximum, if that is not too much for a beginning.
    pub const fn new(bounds: Bounds) -> Self {
        let nothing = Pace { floor: None, sum: 0, count: 0 };
        let start = if bounds.adapts && (bounds.max as u64) > START { START } else { bounds.max as u64 };
        let at = start * ONE;
        let began = Instant::from_nanos(0);
        Self { bounds, at, paces: [nothing; 2], sick: 0, in_hand: 0, peak: 0, began, ends: began }
    }

    /// How many it may have in hand.
    pub fn allowed(&self) -> usize {
        usize::try_from(self.at / ONE).unwrap_or(usize::MAX).clamp(1, self.bounds.max.max(1))
    }

    /// It has so many now.
    pub fn note_in_hand(&mut self, count: usize) {
        self.in_hand = count;
        self.peak = self.peak.max(count);
    }

    /// It paid what it owed, after so long. Says whether the limit was thought over.
    pub fn on_paid(&mut self, now: Instant, debt: Debt, owed: Duration) -> bool {
        let pace = &mut self.paces[debt as usize];
        pace.sum = pace.sum.saturating_add(micros(owed));
        pace.count += 1;
        self.move_on(now)
    }

    /// It refused a message for reasons of its own.
    pub fn on_sick(&mut self, now: Instant) -> bool {
        self.sick += 1;
        self.move_on(now)
    }

    /// It comes back from the dead: what it took before is not asked of it at once.
    pub fn restart(&mut self, now: Instant) {
        if self.bounds.adapts {
            self.at = self.at.min(RESTART * ONE);
        }
        self.paces.iter_mut().for_each(|pace| (pace.sum, pace.count) = (0, 0));
        self.begin(now, Duration::ZERO);
    }

    /// A window begins; answers take about so long.
    fn begin(&mut self, now: Instant, answer: Duration) {
        (self.sick, self.peak, self.began) = (0, self.in_hand, now);
        self.ends = now + answer.clamp(WINDOW, WINDOW_MAX);
    }

    fn move_on(&mut self, now: Instant) -> bool {
        if now < self.ends || !self.bounds.adapts {
            return false;
        }
        let is_used = self.peak * 2 > self.allowed();
        let is_least = self.at <= self.bounds.min as u64 * ONE;
        let answers: u64 = self.paces.iter().map(|pace| pace.count).sum();
        let answer = self.paces.iter().filter_map(|pace| pace.sum.checked_div(pace.count)).max();
        let is_sick = self.sick * 2 > answers;
        let may_rise = !is_used || is_least;
        let step = micros(now.since(self.began));
        let gradients = self.paces.iter_mut().filter_map(|pace| pace.close(step, may_rise));
        // What it does while it has little to do is not for having too much.
        let gradient = gradients.min().filter(|_| is_used).unwrap_or(ONE);
        let gradient = gradient.min(if is_sick { SHRINK_SICK } else { ONE });
        if gradient < ONE {
            let least = self.at.min(self.bounds.min as u64 * ONE);
            self.at = (self.at * gradient / ONE).max(least);
        } else if is_used {
            let root = (self.at * ONE).isqrt();
            self.at = (self.at + root).min(self.bounds.max as u64 * ONE);
        }
        self.begin(now, Duration::from_micros(answer.unwrap_or(0)));
        true
    }
}

impl Pace {
    /// What the window says, in thousandths: 1000 if all is well. The next one begins.
    fn close(&mut self, step: u64, may_rise: bool) -> Option<u64> {
        let (sum, count) = (std::mem::take(&mut self.sum), std::mem::take(&mut self.count));
        let mean = sum.checked_div(count)?;
        let floor = self.floor.get_or_insert(mean);
        if mean < *floor {
            *floor -= (*floor - mean).div_ceil(DOWN);
        } else if may_rise {
            // Of the difference so much as time has gone of what it takes to forget: a silent hour is no proof.
            *floor += (mean - *floor).saturating_mul(step.min(FORGET_MICROS / 8)) / FORGET_MICROS;
        }
        let tolerated = (*floor * TOLERANCE / ONE).max(UNNOTICED_MICROS);
        Some(if mean <= tolerated { ONE } else { (tolerated * ONE / mean).max(SHRINK_MOST) })
    }
}

/// At most an hour: sums do not overflow.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(3_600_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BinaryHeap;

    const BOUNDS: Bounds = Bounds { min: 4, max: 32, adapts: true };

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// A limit behind windows in each of which so many were in hand and the end of content took so long (ms).
    fn behind(limit: &mut Limit, from: u64, windows: u64, in_hand: usize, took: u64) -> usize {
        for window in from..from + windows {
            limit.note_in_hand(in_hand);
            limit.on_paid(at(window * 1000), Debt::Content, Duration::from_millis(took));
        }
        limit.allowed()
    }

    #[track_caller]
    fn check(rows: &[(u64, usize, u64)], want: usize) {
        let (mut limit, mut from) = (Limit::new(BOUNDS), 1);
        for &(windows, in_hand, took) in rows {
            behind(&mut limit, from, windows, in_hand, took);
            from += windows;
        }
        assert_eq!(limit.allowed(), want, "{rows:?}: {limit:?}");
    }

    #[test]
    fn it_shrinks_by_as_much_as_answers_come_later_down_to_its_minimum() {
        check(&[(10, 32, 100)], 32);
        check(&[(10, 32, 100), (1, 32, 140)], 32);
        check(&[(10, 32, 100), (1, 32, 200)], 24);
        check(&[(10, 32, 100), (1, 32, 400)], 16);
        check(&[(10, 32, 100), (1, 32, 60_000)], 16);
        check(&[(10, 32, 100), (9, 32, 2000)], 4);
        // What is next to nothing is no delay.
        check(&[(10, 32, 1), (9, 32, 39)], 32);
    }

    #[test]
    fn it_grows_while_it_is_in_use() {
        check(&[(10, 32, 1), (9, 32, 2000), (1, 4, 1)], 6);
        check(&[(10, 32, 1), (9, 32, 2000), (3, 9, 1)], 11);
        check(&[(10, 32, 1), (9, 32, 2000), (10, 32, 1)], 32);
        // Not beyond what was in hand when the window began.
        check(&[(10, 32, 1), (9, 32, 2000), (10, 1, 1)], 6);
    }

    #[test]
    fn one_that_is_slower_for_good_is_accepted() {
        // At its minimum, which did not help: half a minute.
        check(&[(10, 32, 1), (12, 32, 2000)], 4);
        check(&[(10, 32, 1), (60, 32, 2000)], 32);
        // Nobody used it: that it is slower is not our doing.
        check(&[(10, 2, 100), (60, 2, 300), (1, 32, 400)], 32);
        // Pressed it stays what it was.
        check(&[(10, 32, 100), (60, 32, 190), (1, 32, 400)], 16);
    }

    #[test]
    fn refusals_of_its_own_shrink_it() {
        let mut limit = Limit::new(BOUNDS);
        (1..4).for_each(|window| {
            limit.on_sick(at(window * 100));
        });
        assert_eq!(limit.allowed(), 16);
        // A few among many answers do not.
        let mut limit = Limit::new(BOUNDS);
        (0..9).for_each(|_| {
            limit.on_paid(at(1), Debt::Content, Duration::from_millis(1));
        });
        limit.on_sick(at(200));
        assert_eq!(limit.allowed(), 32);
    }

    #[test]
    fn envelope_and_content_are_measured_apart() {
        let mut limit = Limit::new(BOUNDS);
        for window in 1..20 {
            limit.note_in_hand(32);
            limit.on_paid(at(window * 1000 - 50), Debt::Envelope, Duration::from_millis(50));
            limit.on_paid(at(window * 1000), Debt::Content, Duration::from_millis(5000));
        }
        assert_eq!(limit.allowed(), 32);
        limit.note_in_hand(32);
        limit.on_paid(at(20_000), Debt::Envelope, Duration::from_millis(5000));
        assert_eq!(limit.allowed(), 16);
    }

    #[test]
    fn one_that_does_not_adapt_stays_as_it_is() {
        let mut limit = Limit::new(Bounds { adapts: false, ..BOUNDS });
        behind(&mut limit, 1, 10, 32, 1);
        assert_eq!(behind(&mut limit, 11, 10, 32, 60_000), 32);
        limit.restart(at(9000));
        assert_eq!(limit.allowed(), 32);
    }

    /// A server with so many hands, each of which takes so long (ms); 0: it is silent. Whatever is sent beyond that waits
    /// in its queue.
    struct Server {
        hands: usize,
        service: u64,
        /// When those in hand are done, the soonest first.
        busy: BinaryHeap<std::cmp::Reverse<u64>>,
        queue: std::collections::VecDeque<u64>,
        most: usize,
    }

    impl Server {
        const fn new(hands: usize, service: u64) -> Self {
            Self {
                hands,
                service,
                busy: BinaryHeap::new(),
                queue: std::collections::VecDeque::new(),
                most: 0,
            }
        }

        fn in_hand(&self) -> usize {
            self.busy.len() + self.queue.len()
        }

        /// One millisecond: those that are done, and what each owed.
        fn turn(&mut self, now: u64, since: &mut std::collections::VecDeque<u64>) -> Vec<u64> {
            let mut paid = Vec::new();
            if self.service > 0 {
                while self.busy.peek().is_some_and(|done| done.0 <= now) {
                    self.busy.pop();
                    paid.extend(since.pop_front().map(|begun| now - begun));
                }
                while self.busy.len() < self.hands && self.queue.pop_front().is_some() {
                    self.busy.push(std::cmp::Reverse(now + self.service));
                }
            }
            self.most = self.most.max(self.in_hand());
            paid
        }
    }

    /// Sends whatever the limit allows for so long, with always somebody waiting; how many were answered.
    fn press(
        server: &mut Server,
        limit: &mut Limit,
        since: &mut std::collections::VecDeque<u64>,
        from: u64,
        millis: u64,
    ) -> u64 {
        let mut answered = 0;
        for now in from..from + millis {
            for owed in server.turn(now, since) {
                limit.note_in_hand(server.in_hand());
                limit.on_paid(at(now), Debt::Content, Duration::from_millis(owed));
                answered += 1;
            }
            while server.in_hand() < limit.allowed() {
                server.queue.push_back(now);
                since.push_back(now);
                limit.note_in_hand(server.in_hand());
            }
        }
        answered
    }

    /// 1 ms, 2 s, silence, and back: nothing piles up, and five seconds behind it all flows without a burst.
    #[test]
    fn a_server_that_slows_falls_silent_and_recovers() {
        let (mut server, mut since) = (Server::new(8, 1), std::collections::VecDeque::new());
        let mut limit = Limit::new(BOUNDS);
        let healthy = press(&mut server, &mut limit, &mut since, 1, 10_000);
        assert!(healthy >= 8 * 9_900, "{healthy}");
        server.service = 2000;
        press(&mut server, &mut limit, &mut since, 10_001, 14_000);
        assert_eq!(limit.allowed(), BOUNDS.min);
        server.service = 0;
        server.most = 0;
        press(&mut server, &mut limit, &mut since, 24_001, 56_000);
        assert!(server.most <= BOUNDS.min, "{}", server.most);
        // What hung is lost, the breaker had tripped.
        (server.busy, server.queue, server.service, server.most) = Default::default();
        since.clear();
        server.service = 1;
        limit.restart(at(80_001));
        press(&mut server, &mut limit, &mut since, 80_001, 100);
        assert!(server.most <= 4, "a burst of {}", server.most);
        press(&mut server, &mut limit, &mut since, 80_101, 3_900);
        let again = press(&mut server, &mut limit, &mut since, 84_001, 1000);
        assert!(again >= 8 * 990, "{again}");
    }

    /// Whatever it can do, no more than three times as many are in its hands as it has hands, and it is kept busy.
    #[test]
    fn a_server_is_kept_busy_and_not_buried() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20 {
            let (hands, service) = (random.usize(4..12), random.u64(50..300));
            let (mut server, mut since) = (Server::new(hands, service), std::collections::VecDeque::new());
            let mut limit = Limit::new(Bounds { min: 4, max: 500, adapts: true });
            // Learnt while there was little to do.
            (0..50).for_each(|window| {
                limit.note_in_hand(1);
                limit.on_paid(at(window * 100), Debt::Content, Duration::from_millis(service));
            });
            limit.restart(at(5000));
            press(&mut server, &mut limit, &mut since, 5001, 20_000);
            server.most = 0;
            let answered = press(&mut server, &mut limit, &mut since, 25_001, 60_000);
            assert!(server.most <= 3 * hands + 8, "{hands} hands of {service} ms had {}", server.most);
            let could = hands as u64 * 60_000 / service;
            assert!(answered * 100 >= could * 95, "{answered} of {could}: {hands} hands, {service} ms");
        }
    }
}
