//! Who lends tokens: one bucket for each key of each limit, from which workers lease blocks.
//!
//! Pure: the service thread has it, and takes claims in the order in which they come. What was used on credit is
//! booked first, though it be more than there is: so the long-term rate is exact whatever workers did meanwhile.
//!
//! What must always hold: what is granted and not given back is never more than the bucket had; memory is that of
//! the tables. A key that had to go for others is as one that never came.

use std::time::Duration;

use super::limit::{Bucket, Index, Limit, Terms};
use super::table::{Entry, Key, Table};
use crate::base::time::Instant;

/// How long a tenant does not ask again, where tokens come back by others' doing.
const CONCURRENT_RETRY: Duration = Duration::from_millis(20);
/// So long at most it does not ask because a block is not there yet, if one token is.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// What a tenant has to say about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub limit: Index,
    pub key: Key,
    /// Names the claim in its answer; zero: none is wanted.
    pub asked: u32,
    /// Taken on credit; below zero: tokens that come back.
    pub used: i64,
    pub wanted: u64,
}

/// What the bank has to say about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub limit: Index,
    pub key: Key,
    /// Of the claim that is answered; zero: nobody asked.
    pub asked: u32,
    pub tokens: u64,
    /// What the tenant may expect of what is left.
    pub hope: u64,
    /// Nothing is to be had before; the default where something is.
    pub until: Instant,
    /// Nobody heard yet that this key went beyond the limit.
    pub alerts: bool,
}

impl Grant {
    /// What a claim gets: `tokens`, while `left` are left; if there is nothing, not before `next`.
    pub fn of(terms: &Terms, claim: &Claim, tokens: u64, left: u64, next: Instant) -> Self {
        let is_spent = left == 0 && tokens == 0 && (claim.wanted > 0 || claim.used > 0);
        let &Claim { limit, key, asked, .. } = claim;
        Self {
            limit,
            key,
            asked,
            tokens,
            hope: terms.share_of(left),
            until: if is_spent { next } else { Instant::default() },
            alerts: is_spent && terms.alerts,
        }
    }

    /// Nothing is left.
    pub fn is_refusal(&self) -> bool {
        self.until != Instant::default()
    }
}

/// Somebody went beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub limit: Index,
    pub key: Key,
    /// Who, as an administrator wants to see it.
    pub who: String,
    pub until: Instant,
}

/// What a claim leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For who asked.
    pub grant: Option<Grant>,
    /// For all others: nothing is left.
    pub news: Option<Grant>,
}

/// What is remembered of one key.
#[derive(Clone, Copy, Debug, Default)]
struct Account<T> {
    stock: T,
    /// All tenants have heard that nothing is left until then.
    told: Instant,
    /// No other alert before.
    alerted: Instant,
}

impl Entry for Account<Bucket> {
    fn worth(&self, now: Instant) -> u64 {
        self.stock.worth(now)
    }
}

/// Tokens that somebody has.
#[derive(Clone, Copy, Debug, Default)]
struct Out(u64);

impl Entry for Account<Out> {
    fn worth(&self, _: Instant) -> u64 {
        self.stock.0
    }
}

#[derive(Debug)]
enum Ledger {
    Rate(Table<Account<Bucket>>),
    Concurrent(Table<Account<Out>>),
}

/// The bank.
#[derive(Debug)]
pub struct Bank {
    limits: Vec<(Terms, Ledger)>,
}

/// What stands to somebody's account after a claim.
#[derive(Clone, Copy, Debug)]
struct Balance {
    tokens: u64,
    left: u64,
    /// When to ask again, if nothing is left.
    next: Instant,
}

impl Bank {
    /// A bank for these limits with so many tenants.
    pub fn new<'a>(limits: impl IntoIterator<Item = &'a Limit>, tenants: u64) -> Self {
        Self::of(limits.into_iter().map(|limit| (limit, tenants)))
    }

    /// The same, where not all limits have as many.
    pub fn of<'a>(limits: impl IntoIterator<Item = (&'a Limit, u64)>) -> Self {
        let ledger = |(limit, tenants): (&'a Limit, u64)| {
            let terms = Terms::new(limit, tenants);
            let ledger = match terms.is_concurrent() {
                true => Ledger::Concurrent(Table::new(limit.entries)),
                false => Ledger::Rate(Table::new(limit.entries)),
            };
            (terms, ledger)
        };
        Self { limits: limits.into_iter().map(ledger).collect() }
    }

    /// What the table of one limit takes.
    pub const fn bytes(entries: usize) -> usize {
        Table::<Account<Bucket>>::bytes(entries)
    }

    /// Books what was used, and lends what can be.
    pub fn claim(&mut self, now: Instant, claim: &Claim) -> Outcome {
        let nothing = Outcome { grant: None, news: None };
        let Some((terms, ledger)) = self.limits.get_mut(usize::from(claim.limit)) else { return nothing };
        match ledger {
            Ledger::Rate(table) => {
                let account = table.enter(now, claim.key).entry;
                let balance = book(&mut account.stock, now, terms, claim);
                outcome(account, now, terms, claim, balance)
            }
            Ledger::Concurrent(table) => {
                let account = table.enter(now, claim.key).entry;
                let balance = hand_out(&mut account.stock, now, terms, claim);
                outcome(account, now, terms, claim, balance)
            }
        }
    }

    /// Whether somebody is to hear of it: once for each key and period.
    pub fn alert(&mut self, now: Instant, alert: &Alert) -> bool {
        let Some((terms, ledger)) = self.limits.get_mut(usize::from(alert.limit)) else { return false };
        let alerted = match ledger {
            Ledger::Rate(table) => &mut table.enter(now, alert.key).entry.alerted,
            Ledger::Concurrent(table) => &mut table.enter(now, alert.key).entry.alerted,
        };
        let is_due = *alerted <= now;
        if is_due {
            *alerted = now + terms.period();
        }
        is_due
    }

    /// Keys that are remembered of one limit, and keys that had to go though they were worth remembering.
    pub fn keys(&self, limit: Index) -> (usize, u64) {
        match self.limits.get(usize::from(limit)) {
            Some((_, Ledger::Rate(table))) => (table.len(), table.evicted()),
            Some((_, Ledger::Concurrent(table))) => (table.len(), table.evicted()),
            None => (0, 0),
        }
    }
}

fn book(bucket: &mut Bucket, now: Instant, terms: &Terms, claim: &Claim) -> Balance {
    match u64::try_from(claim.used) {
        Ok(used) => bucket.take(now, terms, used),
        Err(_) => bucket.put(terms, claim.used.unsigned_abs()),
    }
    let tokens = bucket.tokens(now, terms).min(claim.wanted);
    bucket.take(now, terms, tokens);
    let (one, block) = (bucket.next(now, terms, 1), bucket.next(now, terms, terms.block.max(1)));
    Balance { tokens, left: bucket.tokens(now, terms), next: block.min(now + RETRY_MAX).max(one) }
}

fn hand_out(out: &mut Out, now: Instant, terms: &Terms, claim: &Claim) -> Balance {
    out.0 = out.0.saturating_add_signed(claim.used);
    let tokens = terms.burst().saturating_sub(out.0).min(claim.wanted);
    out.0 += tokens;
    Balance { tokens, left: terms.burst().saturating_sub(out.0), next: now + CONCURRENT_RETRY }
}

/// Who hears what of a balance.
fn outcome<T>(
    account: &mut Account<T>,
    now: Instant,
    terms: &Terms,
    claim: &Claim,
    balance: Balance,
) -> Outcome {
    let Balance { tokens, left, next } = balance;
    let mut grant = Grant::of(terms, claim, tokens, left, next);
    grant.alerts &= account.alerted <= now;
    let is_news = grant.is_refusal() && account.told <= now;
    if is_news {
        account.told = grant.until;
    }
    Outcome {
        grant: (claim.asked > 0).then_some(grant),
        news: is_news.then_some(Grant { asked: 0, tokens: 0, hope: 0, ..grant }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::limit::{Amount, By, Count};

    const NOW: Instant = Instant::from_nanos(86_400_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn bank(amount: Amount, tenants: u64) -> Bank {
        let name = "a".to_owned();
        let limit =
            Limit { name, by: By::ClientIp, count: Count::Messages, amount, entries: 64, alerts: true };
        Bank::new([&limit], tenants)
    }

    fn a_second(burst: u64) -> Amount {
        Amount::Rate { tokens: 1, per: SECOND, burst }
    }

    const fn claim(used: i64, wanted: u64) -> Claim {
        Claim { limit: 0, key: Key::from_bits(7), asked: 1, used, wanted }
    }

    /// Claims at seconds, and the tokens, or the second until which nothing is to be had.
    #[track_caller]
    fn check(bank: &mut Bank, rows: &[(u32, Claim, Result<u64, u64>)]) {
        for (row, (second, claim, want)) in rows.iter().enumerate() {
            let now = NOW + *second * SECOND;
            let grant = bank.claim(now, claim).grant.unwrap();
            let got = match grant.until == Instant::default() {
                true => Ok(grant.tokens),
                false => Err(grant.until.since(NOW).as_secs()),
            };
            assert_eq!(got, *want, "row {row}");
        }
    }

    #[test]
    fn tokens_are_lent_until_none_is_left() {
        let mut bank = bank(a_second(100), 2);
        check(
            &mut bank,
            &[
                (0, claim(0, 60), Ok(60)),
                (0, claim(0, 60), Ok(40)),
                // A block is three, and three seconds away; it may ask when one is there.
                (0, claim(0, 60), Err(1)),
                (2, claim(0, 60), Ok(2)),
                (4, claim(2, 3), Err(5)),
                (6, claim(-50, 3), Ok(3)),
            ],
        );
    }

    #[test]
    fn a_debt_is_booked_and_paid_by_what_comes_in() {
        let mut bank = bank(a_second(10), 1);
        check(&mut bank, &[(0, claim(15, 1), Err(6)), (5, claim(0, 1), Err(6)), (6, claim(0, 1), Ok(1))]);
    }

    #[test]
    fn what_is_told_one_by_one_is_refused_when_nothing_is_left() {
        let mut bank = bank(a_second(2), 4);
        check(&mut bank, &[(0, claim(1, 0), Ok(0)), (0, claim(1, 0), Err(1)), (1, claim(1, 0), Err(2))]);
    }

    #[test]
    fn held_tokens_come_back() {
        let mut bank = bank(Amount::Concurrent { max: 3 }, 1);
        check(
            &mut bank,
            &[
                (0, claim(2, 1), Ok(1)),
                (0, claim(0, 1), Err(0)),
                (1, claim(-1, 1), Ok(1)),
                // Of who was forgotten more may come back than went.
                (2, claim(-9, 5), Ok(3)),
            ],
        );
    }

    #[test]
    fn news_is_told_once_until_it_is_over() {
        let mut bank = bank(a_second(2), 4);
        let told = |bank: &mut Bank, second: u32| {
            bank.claim(NOW + second * SECOND, &claim(1, 0)).news.map(|news| news.until.since(NOW).as_secs())
        };
        assert_eq!([0, 0, 0, 0].map(|second| told(&mut bank, second)), [None, Some(1), None, None]);
        assert_eq!(told(&mut bank, 2), Some(4));
        let back = Claim { asked: 0, ..claim(-1, 0) };
        assert_eq!(bank.claim(NOW, &back), Outcome { grant: None, news: None });
    }

    #[test]
    fn an_alert_is_due_once_in_a_period() {
        let mut bank = bank(a_second(2), 1);
        let alert = Alert { limit: 0, key: Key::from_bits(7), who: "a".to_owned(), until: NOW };
        let due = |bank: &mut Bank, millis| bank.alert(NOW + Duration::from_millis(millis), &alert);
        assert_eq!([0, 999, 1000, 1001].map(|millis| due(&mut bank, millis)), [true, false, true, false]);
    }

    #[test]
    fn a_limit_that_is_not_there_gives_nothing() {
        let mut bank = bank(a_second(2), 1);
        let claim = Claim { limit: 1, ..claim(1, 1) };
        assert_eq!(bank.claim(NOW, &claim), Outcome { grant: None, news: None });
        assert_eq!((bank.keys(0), bank.keys(1)), ((0, 0), (0, 0)));
    }

    #[test]
    fn who_used_most_stays_and_memory_does_not_grow() {
        let mut bank = bank(a_second(1000), 1);
        for _ in 0..100 {
            bank.claim(NOW, &claim(5, 0));
        }
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..100_000 {
            bank.claim(NOW, &Claim { key: Key::from_bits(random.u64(..)), ..claim(1, 0) });
        }
        check(&mut bank, &[(0, claim(0, 1000), Ok(500))]);
        assert_eq!(bank.keys(0).0, 64);
    }
}
