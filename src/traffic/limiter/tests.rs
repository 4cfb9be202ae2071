//! Workers, a bank, and what goes between them: late, torn apart and out of order.

use std::collections::BTreeMap;

use super::*;
use crate::traffic::bank::Bank;
use crate::traffic::limit::{Amount, By, Count};

const BEGIN: Instant = Instant::from_nanos(86_400_000_000_000);
const MICRO: Duration = Duration::from_micros(1);
const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const KEY: Key = Key::from_bits(7);

fn limit(amount: Amount, entries: usize) -> Limit {
    let name = "a".to_owned();
    Limit { name, by: By::ClientNet, count: Count::Messages, amount, entries, alerts: true }
}

const fn rate(tokens: u64, per: Duration, burst: u64) -> Amount {
    Amount::Rate { tokens, per, burst }
}

/// What is under way.
#[derive(Debug)]
enum Letter {
    ToBank(usize, Vec<Claim>, Vec<Alert>),
    ToWorker(usize, Grant),
}

struct World {
    now: Instant,
    workers: Vec<Limiter>,
    bank: Bank,
    random: fastrand::Rng,
    /// How long a way takes, in microseconds, at least and at most.
    way: (u64, u64),
    /// One letter in so many is lost; 0: none.
    lost_one_in: u64,
    post: BTreeMap<(Instant, u64), Letter>,
    sent: u64,
    alerts: u64,
}

impl World {
    fn new(limit: &Limit, workers: u64, way: (u64, u64), seed: u64) -> Self {
        let limiter = |_| Limiter::new([limit], workers, Seed::new(1));
        Self {
            now: BEGIN,
            workers: (0..workers).map(limiter).collect(),
            bank: Bank::new([limit], workers),
            random: fastrand::Rng::with_seed(seed),
            way,
            lost_one_in: 0,
            post: BTreeMap::new(),
            sent: 0,
            alerts: 0,
        }
    }

    fn send(&mut self, letter: Letter) {
        if self.lost_one_in > 0 && self.random.u64(..self.lost_one_in) == 0 {
            return;
        }
        let takes = self.random.u64(self.way.0..=self.way.1);
        self.sent += 1;
        self.post.insert((self.now + Duration::from_micros(takes), self.sent), letter);
    }

    /// One message for `key` at a worker.
    fn take(&mut self, worker: usize, key: Key) -> bool {
        let decision = self.workers[worker].take(self.now, 0, key);
        if let Decision::Refuse { until, is_news: true } = decision {
            self.workers[worker].report(0, key, "somebody".to_owned(), until);
        }
        self.end_turn(worker);
        decision == Decision::Pass
    }

    fn end_turn(&mut self, worker: usize) {
        while self.workers[worker].has_claims() {
            let (claims, alerts) = self.workers[worker].claims();
            self.send(Letter::ToBank(worker, claims, alerts));
        }
    }

    /// Lets time pass; what is due arrives meanwhile.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let letter = self.post.first_key_value().map(|((at, _), _)| *at);
            let sweep = self.workers.iter().filter_map(Limiter::next_sweep).min();
            let next = letter.into_iter().chain(sweep).min().filter(|next| *next <= until);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            if letter == Some(next) {
                let (_, letter) = self.post.pop_first().unwrap();
                self.arrive(letter);
            }
            for worker in 0..self.workers.len() {
                self.workers[worker].sweep(self.now);
                self.end_turn(worker);
            }
        }
        self.now = until;
    }

    fn arrive(&mut self, letter: Letter) {
        match letter {
            Letter::ToWorker(worker, grant) => {
                self.workers[worker].hear(self.now, &grant);
                self.end_turn(worker);
            }
            Letter::ToBank(from, claims, alerts) => {
                for claim in claims {
                    let outcome = self.bank.claim(self.now, &claim);
                    outcome.grant.into_iter().for_each(|grant| self.send(Letter::ToWorker(from, grant)));
                    for worker in (0..self.workers.len()).filter(|worker| *worker != from) {
                        outcome.news.into_iter().for_each(|news| self.send(Letter::ToWorker(worker, news)));
                    }
                }
                let due = alerts.iter().filter(|alert| self.bank.alert(self.now, alert));
                self.alerts += due.count() as u64;
            }
        }
    }

    fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for stats in self.workers.iter().flat_map(Limiter::stats) {
            sum.passed += stats.passed;
            sum.refused += stats.refused;
            sum.on_credit += stats.on_credit;
            sum.alone += stats.alone;
            sum.evicted += stats.evicted;
        }
        sum
    }
}

/// One bucket that all share: the oracle. What it has is counted in tokens times nanoseconds, and so exact.
struct Exact {
    has: u128,
    rate: (u128, u128, u128),
    at: Instant,
    passed: u64,
}

impl Exact {
    fn new(amount: Amount) -> Self {
        let Amount::Rate { tokens, per, burst } = amount else { panic!("a rate") };
        let rate = (tokens.into(), per.as_nanos(), burst.into());
        Self { has: rate.1 * rate.2, rate, at: BEGIN, passed: 0 }
    }

    fn take(&mut self, now: Instant) {
        let (tokens, per, burst) = self.rate;
        self.has = (self.has + now.since(self.at).as_nanos() * tokens).min(per * burst);
        self.at = now;
        if self.has >= per {
            self.has -= per;
            self.passed += 1;
        }
    }
}

/// More comes than may pass, to all workers: at every moment so much has passed as an exact bucket would have let
/// pass, by no more than the stated error more or less.
#[track_caller]
fn check_flood(amount: Amount, workers: u64, every: Duration) {
    let limit = limit(amount, 64);
    let error = limit.error(workers);
    let (mut exact, mut world) = (Exact::new(amount), World::new(&limit, workers, (20, 200), workers));
    let (mut passed, mut came) = (0u64, 0u64);
    while world.now.since(BEGIN) < 180 * SECOND {
        let pause = every.mul_f64(2.0 * world.random.f64());
        world.pass(pause);
        let worker = world.random.usize(..world.workers.len());
        passed += u64::from(world.take(worker, KEY));
        exact.take(world.now);
        came += 1;
        assert!(passed.abs_diff(exact.passed) <= error, "{passed} for {} and {error}", exact.passed);
    }
    assert_eq!(world.alerts, 3, "one for each period");
    let stats = world.stats();
    assert_eq!((stats.passed, stats.passed + stats.refused, stats.alone), (passed, came, 0));
}

#[test]
fn a_thousand_a_minute_are_a_thousand_with_one_two_and_eight_workers() {
    for workers in [1, 2, 8] {
        check_flood(rate(1000, 60 * SECOND, 1000), workers, 2 * MILLI);
    }
}

#[test]
fn small_limits_are_exact_to_one_for_each_worker() {
    for workers in [1, 2, 8] {
        check_flood(rate(5, 60 * SECOND, 5), workers, 20 * MILLI);
        check_flood(rate(100, 60 * SECOND, 100), workers, 10 * MILLI);
    }
}

#[test]
fn who_comes_within_its_limit_is_never_refused() {
    for seed in 0..200 {
        let workers = [1, 2, 8][usize::try_from(seed % 3).unwrap()];
        let limit = limit(rate(100, 10 * SECOND, 100), 64);
        let mut world = World::new(&limit, workers, (20, 50_000), seed);
        for _ in 0..20 {
            // Four in five of what may come, in bursts that have a few in one moment.
            for _ in 0..world.random.u64(1..=8) {
                let worker = world.random.usize(..world.workers.len());
                assert!(world.take(worker, KEY), "{seed}");
            }
            world.pass(SECOND);
        }
        assert_eq!(world.stats().refused, 0);
    }
}

/// Many keys, many workers, slow and lost letters: never more than the bound, for each key.
#[test]
fn at_no_time_more_passes_than_the_rate_the_burst_and_what_comes_in_one_trip() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (workers, burst) = (random.u64(1..=8), random.u64(1..200));
        let (tokens, per) = (random.u64(1..1000), random.u32(1..100) * SECOND);
        let limit = limit(rate(tokens, per, burst), 64);
        let mut world = World::new(&limit, workers, (10, 20_000), seed);
        let keys: Vec<_> = (0..4).map(|_| Key::from_bits(random.u64(..))).collect();
        let mut passed = [0u64; 4];
        for _ in 0..2000 {
            let (worker, key) = (random.usize(..world.workers.len()), random.usize(..4));
            passed[key] += u64::from(world.take(worker, keys[key]));
            world.pass(random.u32(..2000) * 10 * MICRO);
            let income = world.now.since(BEGIN).as_nanos() * u128::from(tokens) / per.as_nanos();
            // All that each worker hoped for may be gone in one trip, once; it is missing afterwards.
            let most =
                burst + u64::try_from(income).unwrap() + limit.error(workers) + burst.max(10 * workers);
            assert!(passed[key] <= most, "seed {seed}: {} for {most}", passed[key]);
        }
    }
}

/// Whatever came in one trip, over a long time it is the rate.
#[test]
fn what_came_beyond_is_missing_afterwards() {
    for seed in 0..50 {
        let limit = limit(rate(10, SECOND, 10), 64);
        let mut world = World::new(&limit, 4, (10, 20_000), seed);
        let mut passed = 0;
        for _ in 0..100 {
            for n in 0..100 {
                passed += u64::from(world.take(n % 4, KEY));
            }
            world.pass(SECOND);
        }
        assert!((800..=1010 + limit.error(4) + 40).contains(&passed), "{passed}");
    }
}

#[test]
fn what_nobody_uses_goes_back() {
    for workers in [1, 2, 8] {
        let limit = limit(rate(16_000, 86_400 * SECOND, 16_000), 64);
        let mut world = World::new(&limit, workers, (20, 200), 1);
        for n in 0..world.workers.len() {
            assert!(world.take(n, KEY));
            world.pass(MILLI);
        }
        world.pass(3 * SECOND);
        assert!(world.workers.iter().all(|worker| worker.next_sweep().is_none()), "nothing is remembered");
        let claim = Claim { limit: 0, key: KEY, asked: 1, used: 0, wanted: u64::MAX };
        let grant = world.bank.claim(world.now, &claim).grant.unwrap();
        assert_eq!(grant.tokens, 16_000 - workers);
    }
}

#[test]
fn a_bank_that_is_silent_is_done_without_and_counts_again_when_it_speaks() {
    let limit = limit(rate(100, 10 * SECOND, 100), 64);
    let mut world = World::new(&limit, 2, (20, 50), 1);
    world.lost_one_in = 1;
    let take = |world: &mut World, count: u32| {
        (0..count)
            .filter(|_| {
                world.pass(MILLI);
                world.take(0, KEY)
            })
            .count()
    };
    assert_eq!(take(&mut world, 240), 50, "half of all tokens, on credit");
    world.pass(20 * MILLI);
    assert_eq!(take(&mut world, 1000), 3 + 9, "a block, and what comes in");
    world.pass(20 * SECOND);
    // Still nothing is heard. What was remembered is not any more, and all begins anew.
    assert_eq!(take(&mut world, 1000), 50 + 3 + 7);
    assert_eq!((world.stats().on_credit, world.stats().alone), (100, 22));
    world.lost_one_in = 0;
    world.pass(SECOND);
    take(&mut world, 1);
    world.pass(MILLI);
    // Of what was used on credit the bank learns all but what it was told when it did not listen.
    let passed = take(&mut world, 1000);
    assert!((60..=112).contains(&passed), "{passed}");
    assert!(world.stats().alone <= 23);
}

#[test]
fn letters_that_get_lost_cost_what_was_in_them() {
    for seed in 0..50 {
        let limit = limit(rate(1000, 60 * SECOND, 1000), 64);
        let mut world = World::new(&limit, 4, (20, 200), seed);
        world.lost_one_in = 50;
        let mut passed = 0;
        for n in 0..60_000 {
            world.pass(MILLI);
            passed += u64::from(world.take(n % 4, KEY));
        }
        // What a lost answer had is lost; a claim that got lost is not booked; and who is not answered for a
        // while lets pass what it would alone.
        assert!((1500..=2600).contains(&passed), "{passed}");
    }
}

#[test]
fn strangers_do_not_push_out_who_must_not_pass() {
    let limit = limit(rate(5, 3600 * SECOND, 5), 1000);
    let mut world = World::new(&limit, 1, (20, 200), 1);
    for _ in 0..20 {
        world.take(0, KEY);
        world.pass(MILLI);
    }
    for _ in 0..50_000 {
        let key = Key::from_bits(world.random.u64(..));
        assert!(world.take(0, key));
        world.pass(20 * MICRO);
    }
    assert!(!world.take(0, KEY));
    assert!(world.workers[0].limits[0].table.len() <= 1000 && world.bank.keys(0).0 <= 1000);
}

#[test]
fn an_outbox_that_nobody_empties_is_bounded() {
    let limit = limit(rate(5, SECOND, 5), 100_000);
    let mut worker = Limiter::new([&limit], 1, Seed::new(1));
    let mut random = fastrand::Rng::with_seed(1);
    let mut now = BEGIN;
    for _ in 0..300_000 {
        now = now + 100 * MICRO;
        assert_eq!(worker.take(now, 0, Key::from_bits(random.u64(..))), Decision::Pass);
        worker.sweep(now);
    }
    assert_eq!(worker.outbox.claims.len(), CLAIMS_WAITING_MAX);
    let (claims, alerts) = worker.claims();
    assert_eq!((claims.len(), alerts.len()), (CLAIMS_PER_QUESTION_MAX, 0));
    worker.take_back(claims, alerts);
    assert_eq!(worker.outbox.claims.len(), CLAIMS_WAITING_MAX);
}

/// Connections come and go at random: never more at a time than allowed and the error, and all come back.
#[test]
fn tokens_that_are_held_come_back() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (workers, max) = (random.u64(1..=8), random.u64(1..400));
        let limit = limit(Amount::Concurrent { max }, 64);
        let mut world = World::new(&limit, workers, (20, 200), seed);
        let mut open: Vec<usize> = Vec::new();
        for _ in 0..3000 {
            world.pass(MILLI);
            if random.u8(..3) == 0 && !open.is_empty() {
                let worker = open.swap_remove(random.usize(..open.len()));
                world.workers[worker].give(world.now, 0, KEY);
                world.end_turn(worker);
            } else {
                let worker = random.usize(..world.workers.len());
                open.extend(world.take(worker, KEY).then_some(worker));
            }
            assert!(open.len() as u64 <= max + limit.error(workers), "seed {seed}");
        }
        // And as many may have been closed since it was heard that none is left.
        let least = max.min(700).saturating_sub(limit.error(workers) + 20);
        assert!(open.len() as u64 >= least, "seed {seed}: {} of {max}", open.len());
        for worker in open {
            world.workers[worker].give(world.now, 0, KEY);
            world.end_turn(worker);
        }
        world.pass(4 * SECOND);
        let claim = Claim { limit: 0, key: KEY, asked: 1, used: 0, wanted: u64::MAX };
        assert_eq!(world.bank.claim(world.now, &claim).grant.unwrap().tokens, max);
    }
}

#[test]
fn who_gave_one_back_may_take_one_at_once() {
    for workers in [1, 8] {
        let limit = limit(Amount::Concurrent { max: 1 }, 64);
        let mut world = World::new(&limit, workers, (20, 200), 1);
        for _ in 0..100 {
            assert!(world.take(0, KEY));
            world.pass(MILLI);
            assert!(!world.take(0, KEY));
            world.workers[0].give(world.now, 0, KEY);
            world.end_turn(0);
        }
    }
}

/// What is known at its end only: one goes beyond, the next is refused until that is paid.
#[test]
fn what_is_booked_afterwards_turns_away_the_next() {
    let limit = limit(rate(1000, SECOND, 10_000), 64);
    let mut world = World::new(&limit, 2, (20, 200), 1);
    assert_eq!(world.workers[0].admits(world.now, 0, KEY), Decision::Pass);
    world.workers[0].book(world.now, 0, KEY, 15_000);
    world.end_turn(0);
    // Until the bank was heard nobody is turned away for what may be there.
    assert_eq!(world.workers[0].admits(world.now, 0, KEY), Decision::Pass);
    world.pass(MILLI);
    for worker in 0..2 {
        assert!(matches!(world.workers[worker].admits(world.now, 0, KEY), Decision::Refuse { .. }));
    }
    world.pass(4900 * MILLI);
    assert!(matches!(world.workers[1].admits(world.now, 0, KEY), Decision::Refuse { .. }));
    world.pass(2 * SECOND);
    assert_eq!(world.workers[1].admits(world.now, 0, KEY), Decision::Pass);
    world.workers[1].book(world.now, 0, KEY, -5000);
    world.end_turn(1);
}

/// Three nodes of two workers each, on one store: each node lends what it has on lease itself.
#[test]
fn a_node_lends_what_was_lent_to_it() {
    let limit = limit(rate(1000, 60 * SECOND, 1000), 64);
    let mut store = Bank::new([&limit], 3);
    let mut nodes: Vec<_> = (0..3).map(|_| Limiter::new([&limit], 3, Seed::new(1))).collect();
    let mut workers: Vec<Vec<_>> =
        (0..3).map(|_| (0..2).map(|_| Limiter::new([&limit], 2, Seed::new(1))).collect()).collect();
    let (mut passed, mut random) = (0u64, fastrand::Rng::with_seed(1));
    for n in 0..120_000u32 {
        let now = BEGIN + n * MILLI;
        let (node, worker) = (random.usize(..3), random.usize(..2));
        passed += u64::from(workers[node][worker].take(now, 0, KEY) == Decision::Pass);
        let (claims, _) = workers[node][worker].claims();
        for claim in claims {
            let grant = nodes[node].lend(now, &claim);
            if claim.asked > 0 {
                workers[node][worker].hear(now, &grant);
            }
        }
        let (claims, _) = nodes[node].claims();
        for grant in claims.iter().filter_map(|claim| store.claim(now, claim).grant) {
            nodes[node].hear(now, &grant);
        }
    }
    let (exact, error) = (3000, limit.error(3) + 3 * limit.error(2));
    assert!(passed <= exact + error && passed + error >= exact, "{passed}");
}

/// A node whose store is silent goes on at the limit's rate, however many messages come in one trip of its workers.
#[test]
fn a_node_alone_passes_no_more_than_the_rate_however_much_comes_at_once() {
    for (workers, burst_of_one) in [(1, 1), (1, 16), (8, 4)] {
        let limit = limit(rate(1000, 60 * SECOND, 1000), 64);
        let mut node = Limiter::new([&limit], 3, Seed::new(1));
        let mut tenants: Vec<_> =
            (0..workers).map(|_| Limiter::new([&limit], workers, Seed::new(1))).collect();
        let mut passed = [0u64; 2];
        for n in 0..60_000u32 {
            let now = BEGIN + n * MILLI;
            for worker in &mut tenants {
                for _ in 0..burst_of_one {
                    let passes = worker.take(now, 0, KEY) == Decision::Pass;
                    passed[usize::from(n >= 30_000)] += u64::from(passes);
                }
                let (claims, _) = worker.claims();
                for claim in claims {
                    let grant = node.lend(now, &claim);
                    if claim.asked > 0 {
                        worker.hear(now, &grant);
                    }
                }
            }
            // Nobody takes what the node would ask.
            node.claims();
        }
        // Half a minute's income, and what the workers may have on credit.
        let least_error = 500 + limit.error(3) + limit.error(workers);
        assert!((400..=least_error).contains(&passed[1]), "{workers} workers, {burst_of_one}: {passed:?}");
    }
}

#[test]
fn a_limit_that_is_not_there_lets_pass() {
    let mut worker = Limiter::new([], 1, Seed::new(1));
    assert_eq!(worker.take(BEGIN, 0, KEY), Decision::Pass);
    assert_eq!(worker.admits(BEGIN, 0, KEY), Decision::Pass);
    worker.book(BEGIN, 0, KEY, 5);
    worker.sweep(BEGIN);
    assert!(worker.is_empty() && !worker.has_claims() && worker.next_sweep().is_none());
}
