//! The bank of this machine, on the service thread: takes workers' claims and sends them what it lends.
//!
//! The arithmetic is in [`traffic::bank`](crate::traffic::bank). Here is who hears what: an answer goes to who asked,
//! the news that a key has spent all to every other worker, in the order in which claims came.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::slab::Key as Place;
use crate::base::time::Instant;
use crate::policy::limit::Limits;
use crate::relay::question::{Answer, Claims, Granted, Query};
use crate::service::lender::{self, Lender};
use crate::traffic::bank::{self, Grant, Outcome};
use crate::traffic::limit::Index;
use crate::worker::ask::{AnswerQueue, Ticket};

/// What others may read of it, for each limit.
#[derive(Debug, Default)]
pub struct Stats {
    /// Keys that are remembered, and keys that had to go for others.
    limits: Box<[[AtomicU64; 2]]>,
    /// Of a store that is shared.
    store: Option<Arc<lender::Stats>>,
}

impl Stats {
    /// What the store was asked, if machines share one.
    pub fn store(&self) -> Option<Arc<lender::Stats>> {
        self.store.clone()
    }

    pub fn keys(&self, limit: usize) -> u64 {
        self.limits.get(limit).map_or(0, |[keys, _]| keys.load(Ordering::Relaxed))
    }

    pub fn forgotten(&self, limit: usize) -> u64 {
        self.limits.get(limit).map_or(0, |[_, forgotten]| forgotten.load(Ordering::Relaxed))
    }
}

/// The bank.
#[derive(Clone, Debug)]
pub struct Bank(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    bank: bank::Bank,
    /// Where tokens of rates come from, if machines share them. What is held at a time each counts for itself.
    lender: Option<Lender>,
    /// Of each worker, when it was heard.
    branches: Vec<Option<AnswerQueue>>,
    /// The latest moment that a worker told. It is as good as a clock: nothing happens without one.
    now: Instant,
    stats: Arc<Stats>,
}

impl Bank {
    /// With a `lender`, who asks the store begins here.
    pub fn new(limits: &Limits, stats: &Arc<Stats>, lender: Option<Lender>) -> Self {
        let bank = Self(Rc::new(RefCell::new(Inner {
            bank: bank::Bank::of(limits.shared()),
            lender: lender.clone(),
            branches: Vec::new(),
            now: Instant::default(),
            stats: Arc::clone(stats),
        })));
        if let Some(lender) = lender {
            let telling = bank.clone();
            tokio_uring::spawn(lender.clone().ask(move |grant| telling.tell(grant)));
            tokio_uring::spawn(lender.sweep());
        }
        bank
    }

    /// All workers hear that nothing is left of a key.
    fn tell(&self, grant: &Grant) {
        let news = Granted { grants: vec![*grant], alerts: Vec::new() };
        self.0.borrow().spread(&news, None);
    }

    /// Numbers for so many limits.
    pub fn stats(limits: &Limits, are_shared: bool) -> Arc<Stats> {
        let store = are_shared.then(Arc::default);
        Arc::new(Stats { limits: limits.iter().map(|_| Default::default()).collect(), store })
    }

    /// Takes what a worker claims, and says to all what they must know.
    pub fn hear(&self, ticket: Ticket, answers: AnswerQueue, claims: &Claims) {
        let mut inner = self.0.borrow_mut();
        inner.now = inner.now.max(claims.now);
        let (granted, news) = inner.look_at(claims);
        inner.note(claims);
        if inner.branches.len() <= ticket.worker {
            inner.branches.resize(ticket.worker + 1, None);
        }
        if !news.grants.is_empty() {
            inner.spread(&news, Some(ticket.worker));
        }
        if !granted.grants.is_empty() || !granted.alerts.is_empty() {
            answers.push(ticket, Answer::Granted(Box::new(granted)));
        }
        inner.branches[ticket.worker] = Some(answers);
    }
}

impl Inner {
    /// All workers hear it, but for one.
    fn spread(&self, news: &Granted, except: Option<usize>) {
        let workers = self.branches.iter().enumerate().filter(|(worker, _)| Some(*worker) != except);
        for (worker, queue) in workers.filter_map(|(worker, queue)| Some((worker, queue.as_ref()?))) {
            let ticket = Ticket { worker, relay: Place::NOBODY, query: Query(0) };
            queue.push(ticket, Answer::Granted(Box::new(news.clone())));
        }
    }

    fn look_at(&mut self, claims: &Claims) -> (Granted, Granted) {
        let (mut granted, mut news) = (Granted::default(), Granted::default());
        for claim in &claims.claims {
            let outcome = match self.lender.as_ref().filter(|lender| lender.lends(claim.limit)) {
                Some(lender) => {
                    let grant = lender.lend(self.now, claim);
                    Outcome { grant: (claim.asked > 0).then_some(grant), news: None }
                }
                None => self.bank.claim(self.now, claim),
            };
            granted.grants.extend(outcome.grant);
            news.grants.extend(outcome.news);
        }
        let due = claims.alerts.iter().filter(|alert| self.bank.alert(self.now, alert));
        granted.alerts.extend(due.cloned());
        (granted, news)
    }

    /// Tells how many keys there are of the limits that were claimed from.
    fn note(&self, claims: &Claims) {
        let mut last: Option<Index> = None;
        for claim in &claims.claims {
            if last.replace(claim.limit) == Some(claim.limit) {
                continue;
            }
            let (keys, forgotten) = self.bank.keys(claim.limit);
            if let Some(numbers) = self.stats.limits.get(usize::from(claim.limit)) {
                numbers[0].store(keys as u64, Ordering::Relaxed);
                numbers[1].store(forgotten, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limit::Settings;
    use crate::traffic::bank::{Alert, Claim};
    use crate::traffic::limit::{Amount, By, Count, Limit};
    use crate::traffic::table::Key;
    use crate::worker::ask::Wake;
    use std::sync::mpsc::Receiver;
    use std::time::Duration;

    fn limits() -> Limits {
        let amount = Amount::Rate { tokens: 2, per: Duration::from_secs(1), burst: 2 };
        let (name, by, count) = ("a".to_owned(), By::AuthUser, Count::Messages);
        let limit = Limit { name, by, count, amount, entries: 100, alerts: true };
        let mut limits = Limits::new(vec![Settings { limit, when: None, exempt: Vec::new() }]);
        limits.workers = 2;
        limits
    }

    /// What a worker hears.
    fn heard(inbox: &Receiver<(Ticket, Answer)>) -> Vec<Granted> {
        let granted = inbox.try_iter().map(|(_, answer)| match answer {
            Answer::Granted(granted) => *granted,
            other => panic!("{other:?}"),
        });
        granted.collect()
    }

    #[test]
    fn who_asked_hears_all_and_others_that_nothing_is_left() {
        let limits = limits();
        let stats = Bank::stats(&limits, false);
        let bank = Bank::new(&limits, &stats, None);
        let now = Instant::from_nanos(86_400_000_000_000);
        let key = Key::from_bits(7);
        let queues = [AnswerQueue::new(Wake::new(|| {})), AnswerQueue::new(Wake::new(|| {}))];
        let say = |worker: usize, used: i64, who: &[&str]| {
            let claims = vec![Claim { limit: 0, key, asked: 5, used, wanted: 0 }];
            let alert = |who: &&str| Alert { limit: 0, key, who: (*who).to_owned(), until: now };
            let claims = Claims { now, claims, alerts: who.iter().map(alert).collect() };
            let ticket = Ticket { worker, relay: Place::NOBODY, query: Query(0) };
            bank.hear(ticket, queues[worker].0.clone(), &claims);
        };
        say(1, 1, &[]);
        assert!(
            heard(&queues[1].1)[0].grants[0].until == Instant::default() && heard(&queues[0].1).is_empty()
        );
        say(0, 1, &["anna", "anna"]);
        let [own, news] = [&heard(&queues[0].1)[0], &heard(&queues[1].1)[0]];
        assert_eq!((own.grants[0].asked, own.alerts.len()), (5, 1));
        assert_eq!((news.grants[0].asked, news.alerts.len()), (0, 0));
        assert_eq!(own.grants[0].until, news.grants[0].until);
        assert!(own.grants[0].until > now);
        assert_eq!((stats.keys(0), stats.forgotten(0), stats.keys(1)), (1, 0, 0));
    }
}
