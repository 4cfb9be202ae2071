//! The ledger in a store that machines share: what one of them learnt all of them know.
//!
//! One key for each entry, its text `since until good bad`; it ends there by itself. A lesson is a script, so
//! that two machines that learn of the same key at the same time both count. What is learnt waits for nobody:
//! it is put in one batch after the other, in its order.
//!
//! What must always hold: nobody waits longer for an answer than the store's `timeout`, and not at all while it is
//! gone: then nothing is known, which holds up no message. Lessons that wait are bounded; more are lost, and
//! counted. One that may have been heard already is put once more at most: a count may be one too high, and is
//! never far off.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Stats;
use crate::limits::{SHARED_BATCH_MAX, SHARED_LESSONS_MAX};
use crate::policy::ledger::{About, Entry, Key, Lesson, Recalled};
use crate::relay::question::{Answer, Learn, Recall, Unknown};
use crate::service::redis::{Redis, Script, Trouble};

const LEARN: &str = include_str!("learn.lua");
/// Before what failed is put again.
const PAUSE: Duration = Duration::from_millis(200);
/// What is left when the process ends has so long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shared(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    redis: Redis,
    learn: Rc<Script>,
    waiting: RefCell<VecDeque<Waiting>>,
    /// On their way.
    under_way: Cell<usize>,
    /// Something waits.
    news: Notify,
    /// Nothing waits any more, or something went wrong.
    rest: Notify,
    stats: Arc<Stats>,
}

/// A lesson that is to be put.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    now: u64,
    lesson: Lesson,
    /// It was put, and nobody knows what became of it.
    is_doubtful: bool,
}

impl Shared {
    /// Who writes must be spawned: [`write`](Self::write).
    pub fn new(redis: Redis, stats: Arc<Stats>) -> Self {
        Self(Rc::new(Inner {
            redis,
            learn: Rc::new(Script::new(LEARN)),
            waiting: RefCell::default(),
            under_way: Cell::new(0),
            news: Notify::new(),
            rest: Notify::new(),
            stats,
        }))
    }

    pub fn redis(&self) -> Redis {
        self.0.redis.clone()
    }

    pub async fn recall(&self, asked: &Recall) -> Answer {
        if asked.keys.is_empty() {
            return Answer::Recalled(Recalled::default());
        }
        let mut command = redis::cmd("MGET");
        asked.keys.iter().for_each(|key| _ = command.arg(name(self.0.redis.prefix(), *key)));
        match self.0.redis.ask(&command).await {
            Ok(answer) => recalled(asked, &answer).map_or(Answer::Unknown(Unknown::Gone), Answer::Recalled),
            Err(Trouble::Silent) => Answer::Unknown(Unknown::Late),
            Err(Trouble::Gone | Trouble::Refused) => Answer::Unknown(Unknown::Gone),
        }
    }

    pub fn learn(&self, learn: &Learn) {
        let mut waiting = self.0.waiting.borrow_mut();
        let room = SHARED_LESSONS_MAX.saturating_sub(waiting.len());
        let taken = learn.lessons.iter().take(room);
        waiting.extend(taken.map(|lesson| Waiting { now: learn.now, lesson: *lesson, is_doubtful: false }));
        self.0.lose(learn.lessons.len().saturating_sub(room));
        self.0.news.notify_one();
    }

    /// Puts what waits, to the end of the process.
    pub async fn write(self) {
        loop {
            while self.0.waiting.borrow().is_empty() {
                self.0.news.notified().await;
            }
            self.0.redis.found().await;
            if !self.put_batch().await {
                sleep(PAUSE).await;
            }
        }
    }

    /// Whether all went well.
    async fn put_batch(&self) -> bool {
        let batch = self.0.take();
        let mut putting = JoinSet::new();
        for (place, waiting) in batch.iter().copied().enumerate() {
            let (redis, learn) = (self.0.redis.clone(), Rc::clone(&self.0.learn));
            putting.spawn_local(async move { (place, put(&redis, &learn, waiting).await) });
        }
        // One that is not heard of has ended by a fault of its own: it counts as unheard.
        let mut outcomes = vec![Err(Trouble::Silent); batch.len()];
        for (place, outcome) in putting.join_all().await {
            outcomes[place] = outcome;
        }
        self.0.settle(batch, &outcomes);
        outcomes.iter().all(Result::is_ok)
    }

    /// Puts what is left, as long as somebody is there who takes it, but not for ever.
    pub async fn close(&self) {
        let emptied = async {
            while self.0.has_work() && self.0.redis.is_there() {
                self.0.rest.notified().await;
            }
        };
        let _ = timeout(LAST_WORDS, emptied).await;
        self.0.lose(self.0.waiting.borrow().len());
    }
}

impl Inner {
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let count = waiting.len().min(SHARED_BATCH_MAX);
        self.under_way.set(count);
        waiting.drain(..count).collect()
    }

    /// What was not heard goes back in front, in its order.
    fn settle(&self, batch: Vec<Waiting>, outcomes: &[Result<(), Trouble>]) {
        let mut waiting = self.waiting.borrow_mut();
        for (put, outcome) in batch.into_iter().zip(outcomes).rev() {
            match outcome {
                Ok(()) => _ = self.stats.written.fetch_add(1, Ordering::Relaxed),
                Err(Trouble::Gone) => waiting.push_front(put),
                Err(_) if !put.is_doubtful => waiting.push_front(Waiting { is_doubtful: true, ..put }),
                Err(_) => self.lose(1),
            }
        }
        self.under_way.set(0);
        self.rest.notify_one();
    }

    fn has_work(&self) -> bool {
        self.under_way.get() > 0 || !self.waiting.borrow().is_empty()
    }

    fn lose(&self, count: usize) {
        self.stats.lost.fetch_add(count as u64, Ordering::Relaxed);
    }
}

async fn put(redis: &Redis, learn: &Script, waiting: Waiting) -> Result<(), Trouble> {
    let Waiting { now, lesson, .. } = waiting;
    let about = match lesson.about {
        About::Met => "met",
        About::Good => "good",
        About::Bad => "bad",
    };
    let arguments = [now.to_string(), about.to_owned(), lesson.until.to_string()];
    redis.run(learn, &name(redis.prefix(), lesson.key), &arguments).await.map(drop)
}

/// What an entry is called there.
fn name(prefix: &str, key: Key) -> String {
    let mark: String = key.mark.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{prefix}{}:{mark}", key.table.name())
}

/// What is known of each key; None: that was no answer.
fn recalled(asked: &Recall, answer: &Value) -> Option<Recalled> {
    let Value::Array(values) = answer else { return None };
    if values.len() != asked.keys.len() {
        return None;
    }
    let entry = |value: &Value| match value {
        Value::BulkString(text) => entry(text).filter(|entry| entry.until > asked.now),
        _ => None,
    };
    Some(Recalled::new(asked.keys.iter().copied().zip(values.iter().map(entry)).collect()))
}

/// What cannot be read is no entry: the next lesson writes it anew.
fn entry(text: &[u8]) -> Option<Entry> {
    let mut words = std::str::from_utf8(text).ok()?.split(' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (since, until, good, bad) = (number()?, number()?, number()?, number()?);
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    words.next().is_none().then_some(Entry { since, until, good: count(good), bad: count(bad) })
}

#[cfg(test)]
mod tests;
