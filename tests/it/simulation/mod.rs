//! The simulation: the real worker on a virtual network in virtual time, with clients and next
//! hops that behave or lie, all of it decided by one number.
//!
//! `POSTERN_SEED=n` replays one seed and prints its trail; `POSTERN_SEEDS=n` says how many are
//! tried. TigerBeetle's VOPR and quinn-proto's `Pair` are the models.

mod canary;
mod checker;
mod client;
mod flood;
mod network;
mod next_hop;
mod reactor;
mod scenario;
mod seeds;
mod service;

pub(crate) use service::{inquiring, sealer};

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use postern::base::time::Instant;
use postern::reactor::{Completion, Reactor as _};
use postern::relay::disposition::Disposition;
use postern::worker::ask::{Asker, QuestionQueue, Wake};
use postern::worker::audit::PoolAudit;
use postern::worker::control::Order;
use postern::worker::counters::Counters;
use postern::worker::record_queue::RecordQueue;
use postern::worker::{Parts, Worker};

use canary::{BUGS, Bug, Canary};
use network::{Event, Network, SECONDS};
use reactor::Simulated;
use scenario::{Mood, Scenario};
use seeds::SEEDS;
use service::Service;

/// Seeds of a plain `cargo test`.
const SEEDS_DEFAULT: u64 = 300;
/// A flood is as much work as some other worlds together.
const FLOODS_ONE_IN: u64 = 4;
/// Events that a failure prints.
const TRAIL_EVENTS: usize = 60;
/// Seeds whose runs are stopped by force, behind each of so many turns, and turns in which the
/// clients hear what was said.
const STOPPED_SEEDS: u64 = 6;
const TURNS_STOPPED: u64 = 300;
const HEARING_TURNS: usize = 20;
/// Virtual time by which everybody has gone, and turns that it takes at most.
const RUN_WITHIN: u64 = 1800 * SECONDS;
const TURNS_MAX: u64 = 2_000_000;

/// What a run is asked to do beside its seed.
#[derive(Clone, Copy, Debug, Default)]
struct Extras {
    traced: bool,
    bug: Option<Bug>,
    fail_at: Option<u64>,
    mood: Option<Mood>,
}

/// What came of a run.
#[derive(Debug, Default)]
struct Outcome {
    violations: Vec<String>,
    trail: Vec<String>,
    completions: u64,
    acknowledged: u64,
}

struct Run {
    worker: Worker<Simulated>,
    orders: mpsc::Sender<Order>,
    counters: Arc<Counters>,
    pool_max: Vec<usize>,
    held_max: usize,
    mood: Mood,
    disturbed: bool,
}

impl Run {
    fn new(seed: u64, extras: Extras) -> Self {
        let scenario = match extras.mood {
            Some(mood) => Scenario::with_mood(&mut fastrand::Rng::with_seed(seed), mood),
            None => Scenario::new(seed),
        };
        let mut network = Network::new(seed, scenario.weather, extras.traced);
        let (starts, clients): (Vec<u64>, Vec<_>) = scenario.clients.into_iter().unzip();
        for (client, start) in starts.into_iter().enumerate() {
            network.at(SECONDS + start, Event::Start { client });
        }
        if let Some(at) = scenario.drain_at {
            network.at(SECONDS + at, Event::Drain);
        }
        network.note(|| format!("{:?} {:?}", scenario.mood, scenario.weather));
        network.note(|| format!("{:?} {:?}", scenario.config.workers, scenario.config.upstreams));
        network.note(|| format!("{:?}", scenario.servers));
        let config = Arc::new(scenario.config);
        let (questions, asked) = QuestionQueue::new();
        let mut service = Service::new(asked, seed);
        service.hosts = scenario.hosts;
        service.fails_one_in = if scenario.mood == Mood::Calm { 0 } else { 4 };
        let asker = Asker::new(0, Instant::from_nanos(network.now), questions, Wake::new(|| {}));
        let mut reactor = Simulated::new(network, clients, scenario.servers, service);
        reactor.ledger.transactions = scenario.transactions;
        reactor.kernel_fails_one_in = scenario.kernel_fails_one_in;
        reactor.is_slow = scenario.is_slow;
        reactor.canary = extras.bug.map(|bug| Canary::new(bug, u32::try_from(seed % 3).unwrap_or(0)));
        reactor.fail_at = extras.fail_at;
        let (orders, receiver) = mpsc::channel();
        let counters = Arc::new(Counters::of(&config));
        let pool_max: Vec<usize> = config.upstreams.iter().map(|upstream| upstream.pool.max).collect();
        let upstreams = pool_max.iter().sum();
        let window_budget = config.workers.window_budget;
        let clients = reactor.clients.len();
        let parts = Parts {
            config,
            index: 0,
            seed,
            counters: Arc::clone(&counters),
            records: RecordQueue::new(None),
            asker,
            orders: receiver,
        };
        let mut worker = Worker::new(reactor, parts);
        worker.add_listener(0);
        Self {
            worker,
            orders,
            counters,
            pool_max,
            held_max: held_max(window_budget, upstreams, clients),
            mood: scenario.mood,
            disturbed: extras.fail_at.is_some(),
        }
    }

    fn run(mut self) -> Outcome {
        let all_done = |worker: &Worker<Simulated>| worker.reactor().clients.iter().all(|client| client.done);
        self.turn_until(RUN_WITHIN, |worker| all_done(worker) || is_cut_short(worker));
        if is_cut_short(&self.worker) {
            return self.outcome();
        }
        self.check(
            |worker| worker.reactor().clients.iter().all(|client| client.done),
            "a session did not end",
        );
        // What is under way between worker and next hops comes to rest.
        self.turn_for(20 * SECONDS);
        self.check_rest();
        self.order(Order::Drain);
        self.turn_for(10 * SECONDS);
        self.check(|worker| worker.is_finished(), "the drain did not end");
        self.check(|worker| worker.reactor().open_sockets() == 0, "a socket was not closed");
        self.check_calm();
        self.outcome()
    }

    /// Ends all by force in the turn behind so many; `None` if everything was over before.
    fn stopped_behind(mut self, turns: u64) -> Option<Outcome> {
        for _ in 0..turns {
            if self.worker.reactor().clients.iter().all(|client| client.done) {
                return None;
            }
            self.worker.turn();
        }
        self.order(Order::Stop);
        self.worker.reactor_mut().wake();
        self.worker.turn();
        self.check(|worker| worker.is_finished(), "it was not stopped");
        // Whoever is there still hears what was said.
        for _ in 0..HEARING_TURNS {
            let reactor = self.worker.reactor_mut();
            let soon = Instant::from_nanos(reactor.network.now + SECONDS);
            reactor.turn(Some(soon));
            while let Some(completion) = reactor.next() {
                if let Completion::Received { chunk, .. } = completion {
                    reactor.release(chunk);
                }
            }
        }
        Some(self.outcome())
    }

    fn outcome(&mut self) -> Outcome {
        let reactor = self.worker.reactor_mut();
        Outcome {
            violations: std::mem::take(&mut reactor.ledger.violations),
            trail: reactor.network.trail.take().unwrap_or_default(),
            completions: reactor.completions,
            acknowledged: reactor.ledger.acknowledged,
        }
    }

    fn order(&self, order: Order) {
        self.orders.send(order).unwrap();
    }

    fn turn_for(&mut self, time: u64) {
        let until = self.worker.reactor().network.now + time;
        self.turn_until(time, |worker| worker.reactor().network.now >= until);
    }

    fn turn_until(&mut self, within: u64, done: impl Fn(&Worker<Simulated>) -> bool) {
        let until = self.worker.reactor().network.now + within;
        for _ in 0..TURNS_MAX {
            let reactor = self.worker.reactor_mut();
            if reactor.network.now >= until || !reactor.ledger.violations.is_empty() {
                return;
            }
            if std::mem::take(&mut reactor.drain_wanted) {
                self.order(Order::Drain);
            }
            if done(&self.worker) {
                return;
            }
            self.worker.turn();
            self.check_turn();
        }
        self.violate("the worker turns and turns".to_owned());
    }

    fn violate(&mut self, what: String) {
        let reactor = self.worker.reactor_mut();
        reactor.ledger.violate(&mut reactor.network, what);
    }

    fn check(&mut self, holds: impl Fn(&Worker<Simulated>) -> bool, what: &str) {
        if self.worker.reactor().ledger.violations.is_empty() && !holds(&self.worker) {
            let audit = self.worker.audit();
            self.violate(format!("{what}: {audit:?}"));
        }
    }

    /// After each turn: memory is bounded, nothing panicked, every chunk was given back.
    fn check_turn(&mut self) {
        let audit = self.worker.audit();
        let held = audit.held_bytes + self.worker.reactor().sending_bytes();
        let held_max = self.held_max;
        if held > held_max {
            self.violate(format!("{held} bytes are held, at most {held_max} may be"));
        }
        if self.worker.reactor().held_chunks() > 0 {
            self.violate("a chunk was not given back".to_owned());
        }
        if self.counters.panics.value() > 0 {
            self.violate("a relay panicked".to_owned());
        }
        let counts = |pool: &PoolAudit| pool.total == pool.hops && pool.parked <= pool.total;
        let of = |upstream| audit.pools.iter().filter(move |pool| pool.upstream == upstream);
        let fit =
            |(upstream, max): (usize, &usize)| of(upstream).map(|pool| pool.total).sum::<usize>() <= *max;
        let all_fit = self.pool_max.iter().enumerate().all(fit);
        let open = self.worker.reactor().open_hops();
        let max: usize = self.pool_max.iter().sum();
        if open > 2 * max {
            self.violate(format!("{open} sockets of next hops are open, pools may have {max}"));
        }
        if !audit.pools.iter().all(counts) || !all_fit || audit.hops != open {
            self.violate(format!("a pool has lost count: {open} are open, {audit:?}"));
        }
    }

    /// When all clients have gone.
    fn check_rest(&mut self) {
        self.check(|worker| worker.audit().clients == 0, "a client is not forgotten");
        self.check(|worker| worker.audit().window_taken == 0, "window is lost");
        self.check(|worker| worker.audit().seats == 0, "a connection is counted that is closed");
        self.check(|worker| worker.audit().held_bytes == 0, "bytes are kept");
        self.check(|worker| worker.audit().questions == 0, "a question is kept");
        self.check(|worker| worker.audit().pools.iter().all(|pool| !pool.waits), "somebody waits at a pool");
    }

    /// Where nothing goes wrong, all that is good is accepted.
    fn check_calm(&mut self) {
        if !matches!(self.mood, Mood::Calm | Mood::Flood) || self.disturbed {
            return;
        }
        let transactions = &self.worker.reactor().ledger.transactions;
        let lost = transactions.iter().position(|t| !t.refusable && !t.acknowledged);
        if let Some(tag) = lost {
            self.violate(format!("nothing was wrong, and t{tag} was not accepted"));
        }
        let unknown = self.counters.unknown.value();
        if unknown > 0 {
            self.violate(format!("nothing was wrong, and {unknown} ended {:?}", Disposition::Unknown));
        }
    }
}

/// A drain took too long: the process would end here, whoever is still there.
fn is_cut_short(worker: &Worker<Simulated>) -> bool {
    worker.is_finished() && worker.audit().clients > 0
}

/// Windows, and for each transaction what one side gave and the other has not taken.
fn held_max(window_budget: usize, upstreams: usize, clients: usize) -> usize {
    use postern::limits::{COMMAND_LINE_BYTES_MAX, CONTENT_IN_FLIGHT_BYTES_MAX, REPLIES_PENDING_BYTES_MAX};
    // What one receive brings may stand behind what is full.
    let receive = 256 * 1024;
    window_budget
        + upstreams * CONTENT_IN_FLIGHT_BYTES_MAX
        + clients * (COMMAND_LINE_BYTES_MAX + 3 * REPLIES_PENDING_BYTES_MAX + receive)
}

fn simulate(seed: u64, extras: Extras) -> Outcome {
    let run = catch_unwind(AssertUnwindSafe(|| Run::new(seed, extras).run()));
    run.unwrap_or_else(|_| Outcome { violations: vec!["panicked".to_owned()], ..Outcome::default() })
}

/// Runs a failed seed again to tell how it came.
fn report(seed: u64, extras: Extras) -> String {
    let outcome = simulate(seed, Extras { traced: true, ..extras });
    let from = outcome.trail.len().saturating_sub(TRAIL_EVENTS);
    format!(
        "seed {seed} {extras:?} failed: {:#?}\n{}\nreplay with POSTERN_SEED={seed} (and POSTERN_FLOOD=1 for a flood)",
        outcome.violations,
        outcome.trail[from..].join("\n"),
    )
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Two threads share the seeds; the first failure is told.
fn simulate_all(extras: Extras, seeds: impl Fn(u64) -> u64 + Sync, count: u64) -> u64 {
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(u64::MAX);
    let acknowledged = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count || failed.load(Ordering::Relaxed) != u64::MAX {
                        return;
                    }
                    let outcome = simulate(seeds(at), extras);
                    acknowledged.fetch_add(outcome.acknowledged, Ordering::Relaxed);
                    if !outcome.violations.is_empty() {
                        failed.fetch_min(seeds(at), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(failed == u64::MAX, "{}", report(failed, extras));
    acknowledged.into_inner()
}

#[test]
fn whatever_happens_no_mail_is_lost_and_none_is_invented() {
    if let Some(seed) = number("POSTERN_SEED") {
        let mood = env::var("POSTERN_FLOOD").is_ok().then_some(Mood::Flood);
        let outcome = simulate(seed, Extras { traced: true, mood, ..Extras::default() });
        println!("{}\n{:#?}", outcome.trail.join("\n"), outcome.violations);
        assert!(outcome.violations.is_empty(), "seed {seed} failed");
        return;
    }
    simulate_all(Extras::default(), |at| SEEDS[usize::try_from(at).unwrap()], SEEDS.len() as u64);
    let count = number("POSTERN_SEEDS").unwrap_or(SEEDS_DEFAULT);
    let acknowledged = simulate_all(Extras::default(), |at| at, count);
    assert!(acknowledged >= count / 10, "hardly a message was accepted: {acknowledged}");
}

/// However many come: whose lane has a share hears no word of it, and nobody is sent away in the middle of something.
#[test]
fn a_flood_harms_nobody_whose_lane_has_a_share() {
    let extras = Extras { mood: Some(Mood::Flood), ..Extras::default() };
    let count = number("POSTERN_SEEDS").unwrap_or(SEEDS_DEFAULT) / FLOODS_ONE_IN;
    let acknowledged = simulate_all(extras, |at| at, count.max(1));
    assert!(acknowledged >= count, "hardly a message was accepted: {acknowledged}");
}

/// The same seed is the same world.
#[test]
fn a_seed_replays() {
    for seed in 0..5 {
        let extras = Extras { traced: true, ..Extras::default() };
        assert_eq!(simulate(seed, extras).trail, simulate(seed, extras).trail);
    }
}

#[test]
fn every_planted_bug_is_found() {
    for bug in BUGS {
        let extras = Extras { bug: Some(bug), ..Extras::default() };
        let found = (0..200).find(|&seed| !simulate(seed, extras).violations.is_empty());
        assert!(found.is_some(), "{bug:?} was not found");
    }
}

/// Any completion may fail: the n-th, for each n.
#[test]
fn any_completion_may_fail() {
    let count = number("POSTERN_SEEDS").map_or(40, |count| count.min(1000));
    thread::scope(|scope| {
        for (seed, mood) in [(1, Mood::Calm), (2, Mood::Calm), (3, Mood::Servers)] {
            scope.spawn(move || fail_each(seed, mood, count));
        }
    });
}

/// A forced stop may come in any turn: whoever hears its farewell hears nothing behind it.
#[test]
fn any_turn_may_be_the_last() {
    let extras = Extras { mood: Some(Mood::Calm), ..Extras::default() };
    for seed in 0..STOPPED_SEEDS {
        let stops = (0..TURNS_STOPPED).map_while(|turns| Run::new(seed, extras).stopped_behind(turns));
        for (turns, outcome) in stops.enumerate() {
            let violations = outcome.violations;
            assert!(violations.is_empty(), "seed {seed}, stopped behind {turns} turns: {violations:#?}");
        }
    }
}

fn fail_each(seed: u64, mood: Mood, count: u64) {
    let extras = Extras { mood: Some(mood), ..Extras::default() };
    let completions = simulate(seed, extras).completions;
    for at in 1..=completions.min(count) {
        let extras = Extras { fail_at: Some(at), ..extras };
        let violations = simulate(seed, extras).violations;
        assert!(violations.is_empty(), "{}", report(seed, extras));
    }
}
