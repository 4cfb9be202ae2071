//! What a limit says: how many of what, for each of whom, in how much time or at a time.
//!
//! A rate is a bucket of `burst` tokens that fills up at `tokens` in `per`: it is kept as the moment at which it
//! will be full (the generic cell rate algorithm of ITU-T I.371), so that nothing runs while nobody comes. A
//! concurrent limit has `max` tokens, which come back.
//!
//! Workers decide by tokens they have on lease, in blocks ([`Terms::block`]): what a limit says holds up to
//! [`Limit::error`].

use std::time::Duration;

use super::table::Entry;
use crate::base::time::Instant;
use crate::limits::{LIMIT_BLOCK_MAX, LIMIT_BLOCKS, LIMIT_FEW};

/// Place of a limit in the configuration.
pub type Index = u16;

/// For each of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    ClientIp,
    /// A client's neighbours: its /24, or its /64.
    ClientNet,
    SenderDomain,
    SenderAddress,
    RecipientDomain,
    AuthUser,
}

/// How many of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    Connections,
    Messages,
    Recipients,
    /// Octets of content.
    Bytes,
    /// Replies 4yz and 5yz.
    Refusals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    Rate { tokens: u64, per: Duration, burst: u64 },
    Concurrent { max: u64 },
}

/// One limit, as an administrator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: String,
    pub by: By,
    pub count: Count,
    pub amount: Amount,
    /// Keys that are remembered.
    pub entries: usize,
    /// Whether somebody is to be told who goes beyond it.
    pub alerts: bool,
}

impl Limit {
    /// By how much more, or less, than it says may pass: what each worker may use before it hears that nothing is
    /// left, or keeps without using it. What comes to one worker within one trip to the bank, well below a
    /// millisecond, may come on top, and is missing afterwards.
    pub const fn error(&self, workers: u64) -> u64 {
        let block = Terms::new(self, workers).block;
        workers * if block > 0 { block } else { 1 }
    }
}

/// What is worked out of a limit once.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    amount: Amount,
    /// Among whom it is shared.
    tenants: u64,
    /// Tokens that are lent ahead of use; none of a small limit: those are told one by one.
    pub block: u64,
    pub alerts: bool,
    /// How long it takes until an empty bucket is full.
    full: Duration,
}

impl Terms {
    pub const fn new(limit: &Limit, tenants: u64) -> Self {
        let tenants = if tenants == 0 { 1 } else { tenants };
        let mut terms =
            Self { amount: limit.amount, tenants, block: 0, alerts: limit.alerts, full: Duration::ZERO };
        let block = terms.burst() / (LIMIT_BLOCKS * tenants);
        terms.block = if block > LIMIT_BLOCK_MAX { LIMIT_BLOCK_MAX } else { block };
        terms.full = terms.cost(terms.burst());
        terms
    }

    /// Tokens of a bucket that is full, or of all who hold some.
    pub const fn burst(&self) -> u64 {
        match self.amount {
            Amount::Rate { burst, .. } => burst,
            Amount::Concurrent { max } => max,
        }
    }

    pub const fn is_concurrent(&self) -> bool {
        matches!(self.amount, Amount::Concurrent { .. })
    }

    /// What one tenant may expect to have of `left`.
    pub const fn share_of(&self, left: u64) -> u64 {
        // One that is left may be had by whoever comes first: better one too many than nobody.
        left.div_ceil(self.tenants)
    }

    /// The same of a key that it never heard of: most keys are nobody else's yet, and a few tokens it may have.
    pub const fn welcome(&self) -> u64 {
        let (share, all) = (self.share_of(self.burst()), self.burst());
        let few = if all < LIMIT_FEW { all } else { LIMIT_FEW };
        if share > few { share } else { few }
    }

    /// The time in which `tokens` come back.
    #[expect(clippy::cast_possible_truncation, reason = "584 years are enough")]
    pub const fn cost(&self, tokens: u64) -> Duration {
        match self.amount {
            Amount::Rate { tokens: rate, per, .. } => {
                let nanos = (tokens as u128).saturating_mul(per.as_nanos()).div_ceil(rate as u128);
                Duration::from_nanos(if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 })
            }
            Amount::Concurrent { .. } => Duration::ZERO,
        }
    }

    /// The tokens that come in `time`.
    #[expect(clippy::cast_possible_truncation, reason = "capped")]
    pub const fn income(&self, time: Duration) -> u64 {
        match self.amount {
            Amount::Rate { tokens, per, .. } => {
                let all = time.as_nanos().saturating_mul(tokens as u128) / per.as_nanos();
                if all > u64::MAX as u128 { u64::MAX } else { all as u64 }
            }
            Amount::Concurrent { .. } => 0,
        }
    }

    /// How long an alert is good for: nobody wants to hear the same twice in a period.
    pub const fn period(&self) -> Duration {
        match self.amount {
            Amount::Rate { per, .. } => per,
            Amount::Concurrent { .. } => Duration::from_secs(60),
        }
    }
}

/// A bucket of tokens: when it will be full. The default has been full for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket(Instant);

impl Bucket {
    /// Tokens that can be taken now.
    pub fn tokens(self, now: Instant, terms: &Terms) -> u64 {
        terms.income(terms.full.saturating_sub(self.0.since(now)))
    }

    /// Takes `tokens`, though there may be none: a debt is paid by what comes in.
    pub fn take(&mut self, now: Instant, terms: &Terms, tokens: u64) {
        self.0 = self.0.max(now) + terms.cost(tokens);
    }

    /// Puts back what was taken.
    pub fn put(&mut self, terms: &Terms, tokens: u64) {
        self.0 = self.0 - terms.cost(tokens);
    }

    /// When `tokens` can be taken, if nobody takes any before.
    pub fn next(self, now: Instant, terms: &Terms, tokens: u64) -> Instant {
        (self.0.max(now) + terms.cost(tokens) - terms.full).max(now)
    }

    /// One that has no more than `tokens`.
    pub fn with(now: Instant, terms: &Terms, tokens: u64) -> Self {
        Self(now + terms.full.saturating_sub(terms.cost(tokens)))
    }

    pub const fn full_at(moment: Instant) -> Self {
        Self(moment)
    }

    pub const fn is_full_at(self) -> Instant {
        self.0
    }

    /// How long it will take until it is full.
    pub fn lacks(self, now: Instant) -> Duration {
        self.0.since(now)
    }
}

impl Entry for Bucket {
    /// The longer it takes until it is full, the more would be forgotten with it.
    fn worth(&self, now: Instant) -> u64 {
        u64::try_from(self.lacks(now).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(86_400_000_000_000);

    fn rate(tokens: u64, per: Duration, burst: u64) -> Limit {
        let amount = Amount::Rate { tokens, per, burst };
        let name = "a".to_owned();
        Limit { name, by: By::ClientIp, count: Count::Messages, amount, entries: 100, alerts: false }
    }

    #[test]
    fn a_bucket_gives_what_it_has_and_fills_up_again() {
        let terms = Terms::new(&rate(60, Duration::from_secs(60), 5), 1);
        let mut bucket = Bucket::default();
        assert_eq!((bucket.tokens(NOW, &terms), bucket.next(NOW, &terms, 1)), (5, NOW));
        bucket.take(NOW, &terms, 5);
        let second = Duration::from_secs(1);
        assert_eq!((bucket.tokens(NOW, &terms), bucket.next(NOW, &terms, 1)), (0, NOW + second));
        assert_eq!(bucket.tokens(NOW + second, &terms), 1);
        assert_eq!(bucket.tokens(NOW + 3 * second - Duration::from_nanos(1), &terms), 2);
        assert_eq!(bucket.tokens(NOW + 100 * second, &terms), 5);
    }

    #[test]
    fn a_debt_is_paid_before_anything_is_given() {
        let terms = Terms::new(&rate(60, Duration::from_secs(60), 5), 1);
        let mut bucket = Bucket::default();
        bucket.take(NOW, &terms, 8);
        assert_eq!(bucket.next(NOW, &terms, 1), NOW + Duration::from_secs(4));
        assert_eq!(bucket.tokens(NOW + Duration::from_secs(4), &terms), 1);
        bucket.put(&terms, 8);
        assert_eq!((bucket.tokens(NOW, &terms), bucket.lacks(NOW)), (5, Duration::ZERO));
    }

    /// Whatever the numbers, it never gives more than was paid in: against whole arithmetic.
    #[test]
    fn a_bucket_never_gives_more_than_its_rate_and_burst() {
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut some = || {
                let most = 1 << random.u32(1..40);
                random.u64(1..most)
            };
            let (tokens, burst) = (some(), some());
            let per = Duration::from_secs(random.u64(1..86_400));
            let terms = Terms::new(&rate(tokens, per, burst), 1);
            let (mut bucket, mut now, mut given) = (Bucket::default(), NOW, 0u128);
            for _ in 0..100 {
                now = now + per.mul_f64(random.f64() / 10.0);
                let some = bucket.tokens(now, &terms).min(random.u64(..=burst));
                bucket.take(now, &terms, some);
                given += u128::from(some);
                let income = now.since(NOW).as_nanos() * u128::from(tokens) / per.as_nanos();
                assert!(given <= u128::from(burst) + income, "{seed}");
            }
        }
    }

    #[test]
    fn blocks_follow_the_burst_and_the_error_is_what_all_of_them_are() {
        let minute = Duration::from_secs(60);
        for (burst, workers, block, error) in [
            (1000, 1, 62, 62),
            (1000, 2, 31, 62),
            (1000, 8, 7, 56),
            (5, 1, 0, 1),
            (5, 8, 0, 8),
            (100, 4, 1, 4),
            (u64::MAX, 1, LIMIT_BLOCK_MAX, LIMIT_BLOCK_MAX),
        ] {
            let limit = rate(burst, minute, burst);
            assert_eq!((Terms::new(&limit, workers).block, limit.error(workers)), (block, error), "{burst}");
        }
    }
}
