//! A worker's end of all limits: tokens on lease, and what is decided by them at once.
//!
//! Nothing waits for the bank. Who has tokens passes; who has none passes on credit, of a block or of what the bank
//! let hope for, and the bank is asked meanwhile; at half a block it is asked ahead. What was used on credit is told
//! with the next claim. When the bank says that nothing is left, nobody passes before it said. A bank that does not
//! answer for [`SILENCE`] is done without: each key then has a bucket of its own, as large as the limit says.
//! What nobody uses any more goes back.
//!
//! What must always hold: one claim at most is under way for each key; what was granted is used, on lease, or on its
//! way back; memory is that of the tables and of the bounded outbox.
//!
//! A node's bank that is itself a tenant of a store has one of these, and [`lends`](Limiter::lend) from it.

use std::time::Duration;

use super::bank::{Alert, Claim, Grant};
use super::limit::{Bucket, Index, Limit, Terms};
use super::table::{Entry, Key, Seed, Table};
use crate::base::time::Instant;
use crate::limits::{ALERTS_WAITING_MAX, CLAIMS_PER_QUESTION_MAX, CLAIMS_WAITING_MAX};

/// A bank that has not answered for so long is done without.
pub const SILENCE: Duration = Duration::from_millis(250);
/// A claim that was not answered for so long is not waited for any more: another may be made.
const LOST: Duration = Duration::from_secs(1);
/// How often a part of all leases is looked at, and how many parts there are: what was not used for one to two
/// rounds goes back.
const SWEEP: Duration = Duration::from_millis(250);
const SWEEP_PARTS: usize = 4;

/// A tenant that is told that nothing is left asks again after this at the earliest.
const RETRY: Duration = Duration::from_millis(100);

/// What is decided over one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Pass,
    /// It went beyond. `is_news`: nobody was told yet that this key did.
    Refuse {
        until: Instant,
        is_news: bool,
    },
}

/// What a limit did on this worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub passed: u64,
    pub refused: u64,
    /// Of those that passed: before the bank was heard.
    pub on_credit: u64,
    /// Of those that passed: because the bank is silent.
    pub alone: u64,
    /// Leases that had to go for others.
    pub evicted: u64,
}

/// What one key has here.
#[derive(Clone, Copy, Debug, Default)]
struct Lease {
    /// Tokens; below zero: used on credit.
    left: i64,
    /// Nothing on credit before; once it has passed: when the bank was heard. While `alone`: the moment at which a
    /// bucket of its own is full.
    until: Instant,
    /// When the bank was asked, as it is [stamped](stamp); zero: no answer is awaited.
    asked: u32,
    /// Of what was used on credit, so much that claim told.
    told: u32,
    /// So much more may be there, as was heard.
    hope: u32,
    flags: Flags,
}

#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct Flags {
    /// The bank has said something about it.
    heard: bool,
    /// It was used since it was looked at last.
    seen: bool,
    /// `until` is a bucket of its own.
    alone: bool,
    /// The next refusal is news.
    news: bool,
}

impl Entry for Lease {
    /// Who must not pass is remembered longest; tokens and debts can be told when it goes.
    fn worth(&self, now: Instant) -> u64 {
        if !self.flags.alone && self.until > now {
            return 1 << 32
                | u64::from(u32::MAX)
                    .min(u64::try_from(self.until.since(now).as_millis()).unwrap_or(u64::MAX));
        }
        (u64::from(self.asked > 0) + self.left.unsigned_abs()).min(u64::from(u32::MAX))
    }
}

/// Where one more would come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Leased,
    Credit,
    /// The bank is silent: its own bucket, as it is behind this one.
    Alone(Bucket),
    Beyond(Instant),
}

impl Lease {
    fn standing(&self, now: Instant, terms: &Terms, count: i64) -> Standing {
        if self.left >= count {
            return Standing::Leased;
        }
        if !self.flags.alone && now < self.until {
            return Standing::Beyond(self.until);
        }
        // Who is alone once is so until the bank speaks.
        if self.flags.alone {
            return self.alone(now, terms, count);
        }
        match self.left - count >= -self.credit(now, terms) {
            true => Standing::Credit,
            false if self.is_silent(now) => self.alone(now, terms, count),
            false => Standing::Beyond(now),
        }
    }

    fn alone(&self, now: Instant, terms: &Terms, count: i64) -> Standing {
        if terms.is_concurrent() {
            let held = count.saturating_sub(self.left).unsigned_abs();
            return if held <= terms.burst() {
                Standing::Alone(Bucket::default())
            } else {
                Standing::Beyond(now)
            };
        }
        // The last lease goes on: at the rate of the limit, without another burst.
        let last = Bucket::with(now, terms, terms.block.max(1));
        let mut own = if self.flags.alone { Bucket::full_at(self.until) } else { last };
        if own.tokens(now, terms) < count.unsigned_abs() {
            return Standing::Beyond(own.next(now, terms, 1));
        }
        own.take(now, terms, count.unsigned_abs());
        Standing::Alone(own)
    }

    /// How far below zero it may go: to what the bank let hope for, and a share of what came in since.
    fn credit(&self, now: Instant, terms: &Terms) -> i64 {
        let least = terms.block.max(1);
        let credit = match self.flags.heard {
            false => terms.welcome().max(least),
            // Nothing comes in by itself: who goes beyond would stay there.
            true if terms.is_concurrent() => self.hope.into(),
            true => {
                let income = terms.share_of(terms.income(now.since(self.until)));
                terms.welcome().min(income + u64::from(self.hope)).max(least)
            }
        };
        signed(credit)
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.asked > 0 && age(now, self.asked) >= SILENCE
    }

    /// What is to be asked for now. Whoever may not pass needs nothing ahead.
    fn wants(&self, now: Instant, terms: &Terms) -> u64 {
        if !self.flags.alone && now < self.until {
            return 0;
        }
        terms.block.saturating_sub(self.left.max(0).unsigned_abs())
    }

    /// Takes what was used, from where the next one would come; below zero: puts it back there.
    fn use_up(&mut self, now: Instant, terms: &Terms, count: i64) {
        if !self.flags.alone || terms.is_concurrent() {
            self.left = self.left.saturating_sub(count);
            return;
        }
        let mut own = Bucket::full_at(self.until);
        match u64::try_from(count) {
            Ok(count) => own.take(now, terms, count),
            Err(_) => own.put(terms, count.unsigned_abs()),
        }
        self.until = own.is_full_at();
    }

    /// The answer is there: what was told is settled.
    fn settle(&mut self) {
        self.left += i64::from(std::mem::take(&mut self.told));
        self.asked = 0;
    }
}

/// Leases of one limit.
#[derive(Debug)]
struct Leases {
    index: Index,
    terms: Terms,
    table: Table<Lease>,
    stats: Stats,
}

/// What waits for its way to the bank.
#[derive(Debug, Default)]
struct Outbox {
    claims: Vec<Claim>,
    alerts: Vec<Alert>,
}

impl Outbox {
    const fn is_full(&self) -> bool {
        self.claims.len() >= CLAIMS_WAITING_MAX
    }

    /// Tells of debts and tokens without an answer. Where a bank does not listen they are lost, as all is there.
    fn settle(&mut self, limit: Index, key: Key, used: i64) {
        if used != 0 && !self.is_full() {
            self.claims.push(Claim { limit, key, asked: 0, used, wanted: 0 });
        }
    }
}

/// All of it.
#[derive(Debug)]
pub struct Limiter {
    seed: Seed,
    limits: Vec<Leases>,
    outbox: Outbox,
    sweep: Instant,
}

impl Limiter {
    /// For one of so many tenants of a bank. All of them make keys by the same `seed`.
    pub fn new<'a>(limits: impl IntoIterator<Item = &'a Limit>, tenants: u64, seed: Seed) -> Self {
        Self::of(limits.into_iter().map(|limit| (limit, tenants)), seed)
    }

    /// The same, where not all limits have as many.
    pub fn of<'a>(limits: impl IntoIterator<Item = (&'a Limit, u64)>, seed: Seed) -> Self {
        let leases = |(index, (limit, tenants)): (Index, (&'a Limit, u64))| Leases {
            index,
            terms: Terms::new(limit, tenants),
            table: Table::new(limit.entries),
            stats: Stats::default(),
        };
        Self {
            seed,
            limits: (0..).zip(limits).map(leases).collect(),
            outbox: Outbox::default(),
            sweep: Instant::default(),
        }
    }

    /// What the table of one limit takes.
    pub const fn bytes(entries: usize) -> usize {
        Table::<Lease>::bytes(entries)
    }

    pub const fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    pub const fn seed(&self) -> Seed {
        self.seed
    }

    /// Keys of one limit that something is remembered of.
    pub fn tracked(&self, limit: Index) -> usize {
        self.limits.get(usize::from(limit)).map_or(0, |leases| leases.table.len())
    }

    /// Takes one token, or says until when there is none.
    pub fn take(&mut self, now: Instant, limit: Index, key: Key) -> Decision {
        self.decide(now, limit, key, 1)
    }

    /// Whether more may come, of which it is known at its end how much it was: as long as the bank did not say that
    /// nothing is left.
    pub fn admits(&mut self, now: Instant, limit: Index, key: Key) -> Decision {
        let Some(Leases { table, stats, .. }) = self.limits.get_mut(usize::from(limit)) else {
            return Decision::Pass;
        };
        match table.at_mut(key).filter(|lease| lease.left <= 0 && now < lease.until) {
            Some(lease) => {
                stats.refused += 1;
                let is_news = std::mem::take(&mut lease.flags.news);
                Decision::Refuse { until: lease.until, is_news }
            }
            None => {
                stats.passed += 1;
                Decision::Pass
            }
        }
    }

    /// Takes what was used, whether it is there or not; below zero: puts it back.
    pub fn book(&mut self, now: Instant, limit: Index, key: Key, count: i64) {
        let Self { limits, outbox, .. } = self;
        let Some(leases) = limits.get_mut(usize::from(limit)) else { return };
        let (lease, terms) = leases.enter(now, key, outbox);
        lease.use_up(now, &terms, count);
        lease.flags.seen = true;
        return_surplus(now, limit, key, lease, &terms, outbox);
        let wanted = lease.wants(now, &terms);
        ask(now, (limit, key), lease, wanted, outbox);
    }

    /// Puts a token back.
    pub fn give(&mut self, now: Instant, limit: Index, key: Key) {
        self.book(now, limit, key, -1);
    }

    /// Lends to a tenant of one's own, as a bank does: of what is on lease here, or on credit.
    pub fn lend(&mut self, now: Instant, claim: &Claim) -> Grant {
        let &Claim { limit, key, asked, used, wanted } = claim;
        self.book(now, limit, key, used);
        let mut grant =
            Grant { limit, key, asked, tokens: 0, hope: 0, until: Instant::default(), alerts: false };
        let Some(Leases { terms, table, .. }) = self.limits.get(usize::from(limit)) else { return grant };
        let terms = *terms;
        let Some(lease) = table.at(key).filter(|_| used > 0 || wanted > 0) else { return grant };
        let ready =
            if lease.left > 0 { lease.left } else { lease.left.saturating_add(lease.credit(now, &terms)) };
        let count = wanted.min(ready.max(1).unsigned_abs());
        match self.decide(now, limit, key, signed(count.max(1))) {
            // Nothing was wanted: it was asked whether there is something.
            Decision::Pass if count == 0 => self.book(now, limit, key, -1),
            Decision::Pass => grant.tokens = count,
            Decision::Refuse { until, is_news } => {
                (grant.until, grant.alerts) = (until.max(now + RETRY), is_news);
            }
        }
        let left = self.limits[usize::from(limit)].table.at(key).map_or(0, |lease| lease.left);
        grant.hope = terms.share_of(left.max(0).unsigned_abs());
        grant
    }

    /// Somebody is to hear that `who` went beyond a limit, if nobody has yet.
    pub fn report(&mut self, limit: Index, key: Key, who: String, until: Instant) {
        if self.outbox.alerts.len() < ALERTS_WAITING_MAX {
            self.outbox.alerts.push(Alert { limit, key, who, until });
        }
    }

    /// What the bank said.
    pub fn hear(&mut self, now: Instant, grant: &Grant) {
        let Self { limits, outbox, .. } = self;
        let Some(leases) = limits.get_mut(usize::from(grant.limit)) else { return };
        if grant.asked == 0 {
            return leases.enter(now, grant.key, outbox).0.turn_down(grant);
        }
        let (place, terms) = ((grant.limit, grant.key), leases.terms);
        let Some(lease) = leases.table.at_mut(grant.key).filter(|lease| lease.asked == grant.asked) else {
            // Nobody waits for it any more.
            return outbox.settle(grant.limit, grant.key, -signed(grant.tokens));
        };
        lease.accept(now, grant);
        return_surplus(now, grant.limit, grant.key, lease, &terms, outbox);
        if lease.left < 0 {
            let wanted = lease.wants(now, &terms);
            ask(now, place, lease, wanted, outbox);
        }
    }

    /// Whether there is something for the bank.
    pub fn has_claims(&self) -> bool {
        !self.outbox.claims.is_empty() || !self.outbox.alerts.is_empty()
    }

    /// Takes what goes to the bank together.
    pub fn claims(&mut self) -> (Vec<Claim>, Vec<Alert>) {
        let count = self.outbox.claims.len().min(CLAIMS_PER_QUESTION_MAX);
        let claims = match count == self.outbox.claims.len() {
            true => std::mem::take(&mut self.outbox.claims),
            false => self.outbox.claims.drain(..count).collect(),
        };
        (claims, std::mem::take(&mut self.outbox.alerts))
    }

    /// It could not go there now.
    pub fn take_back(&mut self, claims: Vec<Claim>, alerts: Vec<Alert>) {
        let later = std::mem::replace(&mut self.outbox.claims, claims);
        self.outbox.claims.extend(later);
        self.outbox.alerts.extend(alerts);
    }

    /// When [`sweep`](Self::sweep) is due, if there is anything to look at.
    pub fn next_sweep(&self) -> Option<Instant> {
        self.limits.iter().any(|leases| !leases.table.is_empty()).then_some(self.sweep)
    }

    /// Looks at a part of the leases: what nobody uses goes back, and what says nothing is let go of.
    pub fn sweep(&mut self, now: Instant) {
        if now < self.sweep || self.limits.is_empty() {
            return;
        }
        self.sweep = now + SWEEP;
        let Self { limits, outbox, .. } = self;
        for Leases { index, table, .. } in limits {
            if table.is_empty() {
                continue;
            }
            let sets = table.sets().div_ceil(SWEEP_PARTS);
            table.sweep(sets, |key, lease| look_at(now, (*index, key), lease, outbox));
        }
    }

    /// What each limit did, in the order of the configuration.
    pub fn stats(&self) -> impl Iterator<Item = Stats> {
        self.limits.iter().map(|leases| Stats { evicted: leases.table.evicted(), ..leases.stats })
    }

    fn decide(&mut self, now: Instant, limit: Index, key: Key, count: i64) -> Decision {
        let Self { limits, outbox, .. } = self;
        let Some(leases) = limits.get_mut(usize::from(limit)) else { return Decision::Pass };
        let (lease, terms) = leases.enter(now, key, outbox);
        let standing = lease.standing(now, &terms, count);
        let decision = lease.enact(standing, &terms, count);
        let wanted = match standing {
            // What others gave back only the bank knows.
            Standing::Beyond(_) if terms.is_concurrent() && now >= lease.until => terms.block.max(1),
            Standing::Beyond(_) => 0,
            _ if lease.left > signed(terms.block / 2) => 0,
            _ => lease.wants(now, &terms),
        };
        ask(now, (limit, key), lease, wanted, outbox);
        leases.stats.note(standing);
        decision
    }
}

impl Leases {
    /// The lease of `key`; what had to go for it is told.
    fn enter(&mut self, now: Instant, key: Key, outbox: &mut Outbox) -> (&mut Lease, Terms) {
        let entered = self.table.enter(now, key);
        if let Some((key, lease)) = entered.evicted {
            // What it told is settled, whatever the answer is: that will find nobody.
            outbox.settle(self.index, key, -(lease.left + i64::from(lease.told)));
        }
        (entered.entry, self.terms)
    }
}

impl Lease {
    fn enact(&mut self, standing: Standing, terms: &Terms, count: i64) -> Decision {
        self.flags.seen = true;
        match standing {
            Standing::Leased | Standing::Credit => self.left -= count,
            Standing::Alone(_) if terms.is_concurrent() => self.left -= count,
            Standing::Alone(own) => {
                self.flags.alone = true;
                self.until = own.is_full_at();
            }
            Standing::Beyond(until) => {
                let is_news = std::mem::take(&mut self.flags.news);
                return Decision::Refuse { until, is_news };
            }
        }
        Decision::Pass
    }

    /// The answer is there.
    fn accept(&mut self, now: Instant, grant: &Grant) {
        self.settle();
        self.left = self.left.saturating_add(signed(grant.tokens));
        self.flags.heard = true;
        self.flags.alone = false;
        self.until = now;
        self.hope = u32::try_from(grant.hope).unwrap_or(u32::MAX);
        if grant.until > now {
            self.turn_down(grant);
        }
    }

    /// Nothing is to be had for some time.
    fn turn_down(&mut self, grant: &Grant) {
        self.until = if self.flags.alone { grant.until } else { self.until.max(grant.until) };
        self.flags.heard = true;
        self.flags.alone = false;
        self.flags.news = grant.alerts;
        self.hope = 0;
    }
}

impl Stats {
    const fn note(&mut self, standing: Standing) {
        match standing {
            Standing::Leased => {}
            Standing::Credit => self.on_credit += 1,
            Standing::Alone(_) => self.alone += 1,
            Standing::Beyond(_) => {
                self.refused += 1;
                return;
            }
        }
        self.passed += 1;
    }
}

/// Tells the bank what was used on credit, and asks for more. Where there is no room for it, it is as if it got lost.
fn ask(now: Instant, (limit, key): (Index, Key), lease: &mut Lease, wanted: u64, outbox: &mut Outbox) {
    let owed = u32::try_from(lease.left.min(0).unsigned_abs()).unwrap_or(u32::MAX);
    if lease.asked > 0 || owed == 0 && wanted == 0 {
        return;
    }
    lease.asked = stamp(now);
    if !outbox.is_full() {
        lease.told = owed;
        outbox.claims.push(Claim { limit, key, asked: lease.asked, used: owed.into(), wanted });
    }
}

/// More than a block need not lie here.
fn return_surplus(
    now: Instant,
    limit: Index,
    key: Key,
    lease: &mut Lease,
    terms: &Terms,
    outbox: &mut Outbox,
) {
    let surplus = lease.left.saturating_sub(signed(terms.block));
    if surplus <= 0 || outbox.is_full() {
        return;
    }
    outbox.settle(limit, key, -surplus);
    lease.left -= surplus;
    if terms.is_concurrent() {
        // Whatever was heard before: so many are there now.
        lease.hope = lease.hope.saturating_add(u32::try_from(surplus).unwrap_or(u32::MAX));
        lease.until = lease.until.min(now);
    }
}

/// Looks at a lease now and then; whether it says anything still.
fn look_at(now: Instant, (limit, key): (Index, Key), lease: &mut Lease, outbox: &mut Outbox) -> bool {
    if lease.asked > 0 && age(now, lease.asked) >= LOST {
        // Where it went nobody knows. What it told may have been heard; if tokens come yet, they go back.
        lease.settle();
    }
    ask(now, (limit, key), lease, 0, outbox);
    if lease.left > 0 && !lease.flags.seen && !outbox.is_full() {
        outbox.settle(limit, key, -lease.left);
        lease.left = 0;
    }
    let was_seen = std::mem::take(&mut lease.flags.seen);
    was_seen || lease.left != 0 || lease.asked > 0 || lease.until > now
}

/// A moment in milliseconds, never zero. It comes again after seven weeks.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
const fn stamp(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000) as u32 | 1
}

fn age(now: Instant, stamped: u32) -> Duration {
    let age = stamp(now).wrapping_sub(stamped);
    // A stamp may be a millisecond ahead.
    Duration::from_millis(if age > u32::MAX / 2 { 0 } else { age.into() })
}

fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
