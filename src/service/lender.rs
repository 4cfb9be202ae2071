//! Where this machine's bank of tokens has its tokens from, when several machines share their limits: from a bucket
//! for each key of each limit in the store that they have in common.
//!
//! The bank is a tenant there, as workers are tenants of the bank: it has tokens on lease, lends of them at once or on
//! credit, and asks the store meanwhile. The rules are those of [`Limiter`]; here is who asks. The store keeps when
//! each bucket will be full, by its own clock.
//!
//! What must always hold: nobody waits for the store. One that is silent for 250 ms is done without: each key then
//! has a bucket of this machine's own, at the rate of the limit and with no other burst. A store that forgot a bucket
//! is told how full it was. What goes there is bounded by the limiter's outbox and by what the way to it takes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time;

use super::redis::{Redis, Script};
use crate::base::time::Instant;
use crate::traffic::bank::{Claim, Grant};
use crate::traffic::limit::{Amount, Bucket, Index, Limit, Terms};
use crate::traffic::limiter::Limiter;
use crate::traffic::table::{Seed, Table};

const CLAIM: &str = include_str!("lender/claim.lua");
/// How often leases are looked at that nobody uses.
const SWEEP: Duration = Duration::from_millis(250);

/// What others may read of it.
#[derive(Debug, Default)]
pub struct Stats {
    claims: AtomicU64,
    unanswered: AtomicU64,
    alone: AtomicU64,
}

impl Stats {
    /// What the store was asked.
    pub fn claims(&self) -> u64 {
        self.claims.load(Ordering::Relaxed)
    }

    /// Of that, what it did not answer.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// How often workers had something while the store was silent.
    pub fn alone(&self) -> u64 {
        self.alone.load(Ordering::Relaxed)
    }
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lender(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    redis: Redis,
    claim: Rc<Script>,
    limiter: RefCell<Limiter>,
    /// In the order of the configuration; None: it counts what is held at a time, on each machine by itself.
    rates: Vec<Option<Rate>>,
    /// Something is to be asked.
    news: Notify,
    clock: Clock,
    stats: Arc<Stats>,
}

/// What the store must know of one limit.
#[derive(Debug)]
struct Rate {
    /// Where the names of its buckets begin.
    name: String,
    terms: Terms,
    /// What a token takes to come, and an empty bucket to be full, in microseconds.
    cost: String,
    full: String,
    /// Buckets, as the store said last.
    seen: RefCell<Table<Bucket>>,
}

impl Rate {
    fn new(limit: &Limit, machines: u64, prefix: &str) -> Option<Self> {
        let Amount::Rate { tokens, per, burst } = limit.amount else { return None };
        #[expect(clippy::cast_precision_loss, reason = "fifteen digits are enough, there as here")]
        let (tokens, burst) = (tokens as f64, burst as f64);
        let cost = per.as_secs_f64() * 1e6 / tokens;
        Some(Self {
            name: format!("{prefix}limit:{}:", limit.name),
            terms: Terms::new(limit, machines),
            cost: cost.to_string(),
            full: (cost * burst).to_string(),
            seen: RefCell::new(Table::new(limit.entries)),
        })
    }

    fn arguments(&self, now: Instant, claim: &Claim) -> [String; 6] {
        let lacked = self.seen.borrow().at(claim.key).map_or(Duration::ZERO, |seen| seen.lacks(now));
        [
            claim.used.to_string(),
            claim.wanted.to_string(),
            self.terms.block.to_string(),
            self.cost.clone(),
            self.full.clone(),
            lacked.as_micros().to_string(),
        ]
    }

    /// What the store said to a claim; None: that was no answer.
    fn grant(&self, now: Instant, claim: &Claim, answer: &Value) -> Option<Grant> {
        let Value::Array(numbers) = answer else { return None };
        let number = |value: &Value| match value {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        let numbers: Option<Vec<_>> = numbers.iter().map(number).collect();
        let &[tokens, left, wait, lacks] = numbers?.as_slice() else { return None };
        let after = |micros| now + Duration::from_micros(micros);
        *self.seen.borrow_mut().enter(now, claim.key).entry = Bucket::full_at(after(lacks));
        // More than was asked for is nobody's to give.
        let (tokens, left) = (tokens.min(claim.wanted), left.min(self.terms.burst()));
        Some(Grant::of(&self.terms, claim, tokens, left, after(wait.max(1))))
    }
}

/// The time of workers, as they told it last, and since when it goes on; None: it stands still, as in tests.
#[derive(Debug)]
struct Clock(Cell<(Instant, Option<time::Instant>)>);

impl Clock {
    fn new() -> Self {
        Self(Cell::new((Instant::default(), Some(time::Instant::now()))))
    }

    fn told(&self, now: Instant) {
        if now > self.now() {
            let since = self.0.get().1.map(|_| time::Instant::now());
            self.0.set((now, since));
        }
    }

    fn now(&self) -> Instant {
        let (told, since) = self.0.get();
        told + since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Lender {
    /// For one of so many machines. Who asks the store must be spawned: [`ask`](Self::ask), [`sweep`](Self::sweep).
    pub fn new(redis: Redis, limits: &[&Limit], machines: u64, stats: Arc<Stats>) -> Self {
        let prefix = redis.prefix().to_owned();
        Self(Rc::new(Inner {
            redis,
            claim: Rc::new(Script::new(CLAIM)),
            // Keys come from workers, and are made there.
            limiter: RefCell::new(Limiter::new(limits.iter().copied(), machines, Seed::new(0))),
            rates: limits.iter().map(|limit| Rate::new(limit, machines, &prefix)).collect(),
            news: Notify::new(),
            clock: Clock::new(),
            stats,
        }))
    }

    /// What the tables of one limit take.
    pub const fn bytes(entries: usize) -> usize {
        Limiter::bytes(entries) + Table::<Bucket>::bytes(entries)
    }

    fn rate(&self, limit: Index) -> Option<&Rate> {
        self.0.rates.get(usize::from(limit))?.as_ref()
    }

    /// Whether this limit is shared with other machines.
    pub fn lends(&self, limit: Index) -> bool {
        self.rate(limit).is_some()
    }

    /// What a worker has for its claim, at once.
    pub fn lend(&self, now: Instant, claim: &Claim) -> Grant {
        self.0.clock.told(now);
        let grant = self.0.limiter.borrow_mut().lend(self.0.clock.now(), claim);
        self.notify();
        grant
    }

    fn notify(&self) {
        if self.0.limiter.borrow().has_claims() {
            self.0.news.notify_one();
        }
    }

    /// Asks the store, to the end of the process. `tell` hears of keys that have nothing left.
    pub async fn ask(self, tell: impl Fn(&Grant)) {
        loop {
            while !self.0.limiter.borrow().has_claims() {
                self.0.news.notified().await;
            }
            // Whom an administrator is to hear of nobody asks here.
            let (claims, _) = self.0.limiter.borrow_mut().claims();
            let mut asking = JoinSet::new();
            for claim in claims {
                asking.spawn_local(self.clone().put(claim));
            }
            while let Some(heard) = asking.join_next().await {
                let Ok(Some(grant)) = heard else { continue };
                let now = self.0.clock.now();
                self.0.limiter.borrow_mut().hear(now, &grant);
                if grant.until > now {
                    tell(&Grant { asked: 0, tokens: 0, hope: 0, ..grant });
                }
            }
        }
    }

    /// One claim; what the store said, where somebody waits for it.
    async fn put(self, claim: Claim) -> Option<Grant> {
        let rate = self.rate(claim.limit)?;
        let key = format!("{}{:016x}", rate.name, claim.key.to_bits());
        let arguments = rate.arguments(self.0.clock.now(), &claim);
        let answer = self.0.redis.run(&self.0.claim, &key, &arguments).await;
        let grant = answer.ok().and_then(|answer| rate.grant(self.0.clock.now(), &claim, &answer));
        self.0.stats.claims.fetch_add(1, Ordering::Relaxed);
        if grant.is_none() {
            self.0.stats.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        grant.filter(|_| claim.asked > 0)
    }

    /// Lets go of what nobody uses, to the end of the process.
    pub async fn sweep(self) {
        loop {
            time::sleep(SWEEP).await;
            let now = self.0.clock.now();
            let mut limiter = self.0.limiter.borrow_mut();
            limiter.sweep(now);
            let alone = limiter.stats().map(|stats| stats.alone).sum();
            drop(limiter);
            self.0.stats.alone.store(alone, Ordering::Relaxed);
            self.notify();
        }
    }
}

#[cfg(test)]
mod tests;
