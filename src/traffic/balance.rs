//! Which of an upstream's servers is next: the one that has least in hand for its weight.
//!
//! Least outstanding needs no clock and finds a slow server by itself: what it has not done yet it still has in
//! hand. Where several are equal (mostly: where all are idle) it is smooth weighted round robin among them. A server
//! of a higher rank (RFC 5321 §5.1: a larger preference) gets something only where none of a lower one can be
//! reached; that those are busy is no reason.
//!
//! Beside that, a server that is far from the others is ejected for a while: one that fails most of what the
//! others do well, or that takes several times as long. Far from the others, for what is wrong with all is no
//! server's fault, and no other one would do it better. Whoever comes back, from there or from the dead, gets its weight
//! little by little.
//!
//! What must always hold: at most half of the servers are ejected, and one that is gets something only where no
//! other can be reached; each ejection of a server is longer than the one before, up to a minute.

use std::time::Duration;

use super::breaker::Word;
use crate::base::time::Instant;

/// How often servers are compared.
const REVIEW: Duration = Duration::from_millis(500);
/// What one must have said between two comparisons to be judged by it.
const SAID_MIN: u64 = 5;
/// In thousandths: of what an outlier was sent, so much was not done, and of the others' at most so much.
const FAILING: u64 = 500;
const FAILING_OTHERS: u64 = 200;
/// An outlier takes so many times as long as the others, and longer than this at all.
const SLOWER: u64 = 4;
const SLOW_MICROS: u64 = 100_000;
/// The first ejection and the longest; each is twice the one before. Behind a good time as long as the last it
/// begins anew.
const EJECTED_MIN: Duration = Duration::from_secs(2);
const EJECTED_MAX: Duration = Duration::from_secs(60);
/// How long it takes until one that comes back has all of its weight, and the part it begins with, in thousandths.
const RAMP: Duration = Duration::from_secs(5);
const RAMP_FROM: u64 = 100;
/// New values count a quarter.
const NEW: u64 = 4;

/// What it has at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Nothing may be sent there.
    Unreachable,
    /// It can be reached, and has all that it may have.
    Full,
    /// So much is in hand.
    Room(usize),
}

#[derive(Debug)]
struct Peer {
    weight: u64,
    rank: u16,
    /// Smooth weighted round robin: what it has coming.
    credit: i64,
    /// Since the last comparison.
    said: u64,
    failed: u64,
    /// Microseconds that the end of content takes, of late; None: not known.
    pace: Option<u64>,
    ejected_until: Option<Instant>,
    /// How long that was.
    ejection: Duration,
    /// When it came back.
    back_at: Option<Instant>,
}

#[derive(Debug)]
pub struct Balance {
    peers: Vec<Peer>,
    ejects: bool,
    review_at: Instant,
}

impl Balance {
    /// Servers by weight and rank, in their order.
    pub fn new(servers: impl Iterator<Item = (u32, u16)>, ejects: bool) -> Self {
        let peer = |(weight, rank): (u32, u16)| Peer {
            weight: u64::from(weight.max(1)),
            rank,
            credit: 0,
            said: 0,
            failed: 0,
            pace: None,
            ejected_until: None,
            ejection: Duration::ZERO,
            back_at: None,
        };
        Self { peers: servers.map(peer).collect(), ejects, review_at: Instant::default() }
    }

    /// The server that is next, of those that have room.
    pub fn choose(&mut self, now: Instant, load: impl Fn(usize) -> Load) -> Option<usize> {
        if self.peers.len() == 1 {
            return matches!(load(0), Load::Room(_)).then_some(0);
        }
        // Ejected ones come last, whatever their rank.
        let grade = self.best_grade(now, &load)?;
        let least = self.candidates(now, &load).reduce(lesser)?;
        let mut total = 0;
        let mut best: Option<usize> = None;
        for at in 0..self.peers.len() {
            let Load::Room(in_hand) = load(at) else { continue };
            if self.peers[at].grade(now) != grade || is_less(least, (in_hand, self.peers[at].weight_at(now)))
            {
                continue;
            }
            let weight = i64::try_from(self.peers[at].weight_at(now)).unwrap_or(i64::MAX);
            total += weight;
            self.peers[at].credit += weight;
            if best.is_none_or(|best| self.peers[at].credit > self.peers[best].credit) {
                best = Some(at);
            }
        }
        self.peers[best?].credit -= total;
        best
    }

    /// All that may be next: those that have room, where no better one can be reached.
    pub fn eligible(&self, now: Instant, load: impl Fn(usize) -> Load) -> impl Iterator<Item = usize> {
        let grade = self.best_grade(now, &load);
        let servers = (0..self.peers.len()).filter(move |at| matches!(load(*at), Load::Room(_)));
        servers.filter(move |at| Some(self.peers[*at].grade(now)) == grade)
    }

    fn best_grade(&self, now: Instant, load: &impl Fn(usize) -> Load) -> Option<(bool, u16)> {
        let reachable = self.peers.iter().enumerate().filter(|(at, _)| load(*at) != Load::Unreachable);
        reachable.map(|(_, peer)| peer.grade(now)).min()
    }

    fn candidates(&self, now: Instant, load: &impl Fn(usize) -> Load) -> impl Iterator<Item = (usize, u64)> {
        self.eligible(now, load).filter_map(move |at| match load(at) {
            Load::Room(in_hand) => Some((in_hand, self.peers[at].weight_at(now))),
            Load::Full | Load::Unreachable => None,
        })
    }

    /// What a transaction says of a server.
    pub fn on_word(&mut self, server: usize, word: Word) {
        let peer = &mut self.peers[server];
        peer.said += u64::from(word != Word::Nothing);
        peer.failed += u64::from(matches!(word, Word::Sick | Word::Failed));
    }

    /// How long it took for the end of content.
    pub fn on_paid(&mut self, server: usize, owed: Duration) {
        let owed = u64::try_from(owed.as_micros()).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
        let pace = self.peers[server].pace.get_or_insert(owed);
        *pace = (*pace * (NEW - 1) + owed) / NEW;
    }

    /// It can be reached again.
    pub fn on_back(&mut self, now: Instant, server: usize) {
        self.peers[server].come_back(now);
    }

    /// Compares servers, if it is time. How many were ejected.
    pub fn review(&mut self, now: Instant) -> usize {
        if !self.ejects || self.peers.len() < 2 || now < self.review_at {
            return 0;
        }
        self.review_at = now + REVIEW;
        self.let_back(now);
        let mut ejected = 0;
        while self.ejected() < self.peers.len() / 2
            && let Some(outlier) = self.outlier()
        {
            self.eject(now, outlier);
            ejected += 1;
        }
        self.begin_anew(now);
        ejected
    }

    /// Servers that are ejected.
    pub fn ejected(&self) -> usize {
        self.peers.iter().filter(|peer| peer.ejected_until.is_some()).count()
    }

    pub fn is_ejected(&self, server: usize) -> bool {
        self.peers[server].ejected_until.is_some()
    }

    fn let_back(&mut self, now: Instant) {
        for peer in &mut self.peers {
            if peer.ejected_until.is_some_and(|until| until <= now) {
                peer.ejected_until = None;
                peer.come_back(now);
            }
        }
    }

    /// Whoever is farthest from the others, if that is far enough.
    fn outlier(&self) -> Option<usize> {
        let present = || self.peers.iter().enumerate().filter(|(_, peer)| peer.ejected_until.is_none());
        let failing = |(at, peer): (usize, &Peer)| Some((peer.failing()?, at));
        if let Some((worst, at)) = present().filter_map(failing).max() {
            let others = present().filter(|(other, _)| *other != at).filter_map(failing);
            if worst >= FAILING && others.min().is_some_and(|(least, _)| least <= FAILING_OTHERS) {
                return Some(at);
            }
        }
        let heard = |(at, peer): (usize, &Peer)| Some((peer.pace.filter(|_| peer.said >= SAID_MIN)?, at));
        let (slowest, at) = present().filter_map(heard).max()?;
        // That of the others: their median, and of two the slower one.
        let mut others: Vec<_> =
            present().filter(|(other, _)| *other != at).filter_map(|(_, peer)| peer.pace).collect();
        others.sort_unstable();
        let median = *others.get(others.len() / 2)?;
        (slowest > SLOW_MICROS && slowest > median.saturating_mul(SLOWER)).then_some(at)
    }

    fn eject(&mut self, now: Instant, server: usize) {
        let peer = &mut self.peers[server];
        peer.ejection = (peer.ejection * 2).clamp(EJECTED_MIN, EJECTED_MAX);
        peer.ejected_until = Some(now + peer.ejection);
    }

    /// Those that have said enough are judged by what they say next.
    fn begin_anew(&mut self, now: Instant) {
        for peer in &mut self.peers {
            if peer.said >= SAID_MIN {
                (peer.said, peer.failed) = (0, 0);
            }
            let was_good = |back: Instant| now.since(back) > peer.ejection.max(RAMP);
            if peer.ejected_until.is_none() && peer.back_at.is_some_and(was_good) {
                peer.ejection = Duration::ZERO;
            }
        }
    }
}

impl Peer {
    /// It has a new start: what it did before it was away is no word about now.
    const fn come_back(&mut self, now: Instant) {
        self.back_at = Some(now);
        self.pace = None;
        (self.said, self.failed) = (0, 0);
    }

    /// The lower, the sooner something goes there.
    fn grade(&self, now: Instant) -> (bool, u16) {
        (self.ejected_until.is_some_and(|until| now < until), self.rank)
    }

    /// In thousandths.
    fn weight_at(&self, now: Instant) -> u64 {
        let Some(back_at) = self.back_at else { return self.weight * 1000 };
        let part = now.since(back_at).as_millis() * 1000 / RAMP.as_millis();
        self.weight * u64::try_from(part).unwrap_or(u64::MAX).clamp(RAMP_FROM, 1000)
    }

    /// Of what it was sent, how much it did not do, in thousandths.
    fn failing(&self) -> Option<u64> {
        (self.said >= SAID_MIN).then(|| self.failed * 1000 / self.said)
    }
}

/// Whether the first has less in hand for its weight.
fn is_less(one: (usize, u64), other: (usize, u64)) -> bool {
    one.0 as u128 * u128::from(other.1) < other.0 as u128 * u128::from(one.1)
}

fn lesser(one: (usize, u64), other: (usize, u64)) -> (usize, u64) {
    if is_less(other, one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn balance(servers: &[(u32, u16)]) -> Balance {
        Balance::new(servers.iter().copied(), true)
    }

    use Load::{Full, Room, Unreachable};

    #[track_caller]
    fn check(servers: &[(u32, u16)], loads: &[Load], want: &[usize]) {
        let mut balance = balance(servers);
        let chosen: Vec<_> =
            want.iter().filter_map(|_| balance.choose(at(0), |server| loads[server])).collect();
        assert_eq!(chosen, want, "{servers:?} {loads:?}");
    }

    #[test]
    fn whoever_has_least_in_hand_for_its_weight_is_next() {
        check(&[(1, 0)], &[Room(9)], &[0, 0]);
        check(&[(1, 0); 3], &[Room(0); 3], &[0, 1, 2, 0]);
        check(&[(1, 0); 3], &[Room(2), Room(1), Room(3)], &[1, 1]);
        check(&[(3, 0), (1, 0)], &[Room(5), Room(2)], &[0, 0]);
        check(&[(3, 0), (1, 0)], &[Room(7), Room(2)], &[1, 1]);
        check(&[(3, 0), (1, 0)], &[Room(0), Room(0)], &[0, 0, 1, 0]);
        check(&[(1, 0); 2], &[Full, Room(9)], &[1, 1]);
    }

    #[test]
    fn a_higher_rank_waits_until_no_lower_one_can_be_reached() {
        let servers = [(1, 20), (1, 10), (1, 10)];
        check(&servers, &[Room(0), Room(9), Room(9)], &[1, 2, 1]);
        check(&servers, &[Room(0), Unreachable, Room(9)], &[2, 2]);
        check(&servers, &[Room(0), Unreachable, Unreachable], &[0, 0]);
        for loads in [[Room(0), Full, Full], [Room(0), Full, Unreachable], [Unreachable; 3]] {
            assert_eq!(balance(&servers).choose(at(0), |server| loads[server]), None, "{loads:?}");
        }
    }

    /// What each says in half a second: of so many how many are not done, and how long they take (ms).
    fn told(balance: &mut Balance, now: u64, said: &[(u32, u32, u64)]) -> Vec<bool> {
        for (server, &(all, failed, took)) in said.iter().enumerate() {
            for turn in 0..all {
                balance.on_word(server, if turn < failed { Word::Sick } else { Word::Well });
                balance.on_paid(server, Duration::from_millis(took));
            }
        }
        balance.review(at(now));
        (0..said.len()).map(|server| balance.is_ejected(server)).collect()
    }

    #[track_caller]
    fn check_outlier(said: &[(u32, u32, u64)], want: &[usize]) {
        let mut balance = balance(&vec![(1, 0); said.len()]);
        let ejected = told(&mut balance, 1000, said);
        let ejected: Vec<_> = (0..said.len()).filter(|server| ejected[*server]).collect();
        assert_eq!(ejected, want, "{said:?}");
        assert_eq!(balance.ejected(), want.len());
    }

    #[test]
    fn whoever_is_far_from_the_others_is_ejected() {
        check_outlier(&[(10, 0, 1), (10, 10, 1), (10, 1, 1)], &[1]);
        check_outlier(&[(10, 0, 1), (10, 5, 1)], &[1]);
        check_outlier(&[(10, 0, 1), (10, 4, 1), (10, 0, 1)], &[]);
        check_outlier(&[(10, 0, 1), (4, 4, 1), (10, 0, 1)], &[]);
        check_outlier(&[(10, 0, 10), (10, 0, 2000), (10, 0, 20)], &[1]);
        check_outlier(&[(10, 0, 10), (10, 0, 2000)], &[1]);
        // Slow is not far, far is not slow.
        check_outlier(&[(10, 0, 600), (10, 0, 2000), (10, 0, 700)], &[]);
        check_outlier(&[(10, 0, 1), (10, 0, 90), (10, 0, 1)], &[]);
        // What all do is nobody's fault.
        check_outlier(&[(10, 9, 1), (10, 10, 1), (10, 9, 1)], &[]);
        check_outlier(&[(10, 10, 1)], &[]);
        // Half of them at most.
        check_outlier(&[(10, 10, 1), (10, 10, 1), (10, 0, 1)], &[1]);
        check_outlier(&[(10, 10, 1), (10, 10, 1), (10, 10, 1), (10, 0, 1)], &[1, 2]);
    }

    #[test]
    fn an_ejected_one_gets_what_nobody_else_can_take() {
        let mut balance = balance(&[(1, 0), (1, 0)]);
        told(&mut balance, 1000, &[(10, 10, 1), (10, 0, 1)]);
        let mut next = |loads: [Load; 2]| balance.choose(at(1001), |server| loads[server]);
        assert_eq!(next([Room(0), Room(50)]), Some(1));
        assert_eq!(next([Room(0), Full]), None);
        assert_eq!(next([Room(0), Unreachable]), Some(0));
    }

    #[test]
    fn ejections_grow_and_the_way_back_is_gentle() {
        let mut balance = balance(&[(1, 0), (1, 0)]);
        let bad = [(10, 10, 1), (10, 0, 1)];
        let (mut now, mut lengths) = (1000, Vec::new());
        for _ in 0..7 {
            now += 500;
            let from = now;
            told(&mut balance, now, &bad);
            while balance.is_ejected(0) {
                now += 500;
                balance.review(at(now));
            }
            lengths.push((now - from) / 1000);
        }
        assert_eq!(lengths, [2, 4, 8, 16, 32, 60, 60]);
        // A tenth of its weight at first, all of it after five seconds.
        let mut share = |now, ten: usize| balance.choose(at(now), |server| Room([1, ten][server]));
        assert_eq!((share(now, 9), share(now, 11)), (Some(1), Some(0)));
        assert_eq!((share(now + 2500, 1), share(now + 2500, 3)), (Some(1), Some(0)));
        assert_eq!((share(now + 5000, 0), share(now + 5000, 2)), (Some(1), Some(0)));
        // Behind a good minute the next one is short again.
        for turn in 1..200 {
            told(&mut balance, now + turn * 500, &[(10, 0, 1), (10, 0, 1)]);
        }
        told(&mut balance, now + 100_000, &bad);
        balance.review(at(now + 102_000));
        assert!(!balance.is_ejected(0));
    }

    /// However they fail, at most half are ejected, and whoever is chosen is the least loaded of the best grade.
    #[test]
    fn choices_agree_with_a_plain_search() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..300 {
            let servers: Vec<_> =
                (0..random.usize(1..6)).map(|_| (random.u32(1..4), random.u16(..2))).collect();
            let mut balance = balance(&servers);
            for turn in 0..30 {
                let said: Vec<_> =
                    servers.iter().map(|_| (random.u32(..9), random.u32(..9), random.u64(..900))).collect();
                told(&mut balance, turn * 600, &said);
                assert!(balance.ejected() <= servers.len() / 2);
                let loads: Vec<_> = servers
                    .iter()
                    .map(|_| {
                        [Unreachable, Full, Room(random.usize(..5)), Room(random.usize(..5))]
                            [random.usize(..4)]
                    })
                    .collect();
                let now = at(turn * 600);
                let chosen = balance.choose(now, |server| loads[server]);
                let grade = |server: usize| balance.peers[server].grade(now);
                let reachable = (0..servers.len()).filter(|server| loads[*server] != Unreachable);
                let best = reachable.map(grade).min();
                let with_room =
                    |server: &usize| matches!(loads[*server], Room(_)) && Some(grade(*server)) == best;
                assert_eq!(chosen.is_some(), (0..servers.len()).any(|server| with_room(&server)));
                let Some(chosen) = chosen else { continue };
                assert!(with_room(&chosen), "{loads:?} {chosen}");
                let burden = |server: usize| match loads[server] {
                    Room(in_hand) => in_hand as f64 / balance.peers[server].weight_at(now) as f64,
                    Unreachable | Full => f64::MAX,
                };
                let least = (0..servers.len()).filter(with_room).map(burden).fold(f64::MAX, f64::min);
                assert!(burden(chosen) <= least * 1.000_001, "{loads:?} {chosen}");
            }
        }
    }
}
