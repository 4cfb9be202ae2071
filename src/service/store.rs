//! What is remembered from one message to the next, on the service thread: the ledger itself is in memory,
//! and a copy of it on disk survives the end of the process.
//!
//! * `disk`: the thread that writes the copy;
//! * `shared`: a ledger that several machines have in common, in place of all that.
//!
//! What must always hold: nothing here waits for the disk, and nothing that goes wrong with the disk keeps
//! anybody from an answer. What changed is written about once a second, or when much has changed: so long
//! is what a crash forgets, and never more than that, nor half of it. What waits to be written is bounded:
//! beyond that changes are lost to the disk, and counted, until all is written anew.

mod disk;
pub mod shared;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::notice::say;
use super::redis::{Health, Redis};
use crate::limits::{STORE_BATCH_MAX, STORE_WAITING_MAX};
use crate::policy::ledger::{Key, Ledger, Recalled, Table};
use crate::policy::settings::{self, SharedStore};
use crate::relay::question::{Learn, Recall};
use disk::{Batch, Disk, Offered};
use shared::Shared;

/// How often changes are written, and what has ended is let go of.
const ROUND: Duration = Duration::from_secs(1);
/// And how often where more changed than one round writes.
const ROUND_BEHIND: Duration = Duration::from_millis(50);
/// Entries that one round lets go of, of each table.
const ENDED_PER_ROUND: usize = 10_000;

/// What others may read of a store.
#[derive(Debug, Default)]
pub struct Stats {
    entries: [AtomicU64; Table::ALL.len()],
    evicted: AtomicU64,
    /// Changes that are safe on disk.
    written: AtomicU64,
    /// Changes that never reached the disk.
    lost: AtomicU64,
    /// 1: the disk does not take them.
    failing: AtomicU64,
    /// Of a store that is shared.
    shared: Option<Arc<Health>>,
}

impl Stats {
    pub fn entries(&self, table: Table) -> u64 {
        self.entries[table as usize].load(Ordering::Relaxed)
    }

    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed) > 0
            || self.shared.as_ref().is_some_and(|health| !health.is_well())
    }

    /// Whether another program keeps it, which several machines ask.
    pub const fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Questions that such a program did not answer.
    pub fn unanswered(&self) -> u64 {
        self.shared.as_ref().map_or(0, |health| health.unanswered())
    }
}

/// What is remembered, before the service thread has it.
#[derive(Debug)]
pub struct Opened {
    pub stats: Arc<Stats>,
    /// Ends when the last is written.
    pub end: Option<End>,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Here(Box<Loaded>),
    Shared(Arc<SharedStore>, Arc<Health>, Ending),
}

/// A ledger with what was remembered before, and the disk that it is written to.
#[derive(Debug)]
struct Loaded {
    ledger: Ledger,
    /// What the disk has otherwise.
    changed: Vec<Key>,
    disk: Option<Disk>,
}

pub use disk::{End, Ending};

/// Opens what `settings` name. A store that cannot be used is told, and goes on in memory.
pub fn open(settings: &settings::Store) -> Opened {
    if let Some(shared) = &settings.shared {
        let health = Arc::<Health>::default();
        let (ending, end) = End::new();
        let stats = Arc::new(Stats { shared: Some(Arc::clone(&health)), ..Stats::default() });
        return Opened { stats, end: Some(end), kept: Kept::Shared(Arc::clone(shared), health, ending) };
    }
    let stats = Arc::new(Stats::default());
    let mut ledger = Ledger::new(settings.entries_max);
    let mut changed = Vec::new();
    let mut opened = None;
    if let Some(path) = &settings.path {
        // What is read stands there as it is; what has no room here has none there.
        opened = Some(Disk::open(path, &stats, &mut |key, entry| ledger.put(key, entry, &mut changed)));
    }
    let (disk, end) = opened.unzip();
    Opened { stats, end, kept: Kept::Here(Box::new(Loaded { ledger, changed, disk })) }
}

/// Where it is remembered.
#[derive(Clone, Debug)]
pub enum Memory {
    Own(Store),
    /// With what ends when the last is written.
    Shared(Shared, Rc<Ending>),
}

impl Memory {
    /// Begins on the service thread. A store that is shared was looked for when this returns, and found or not.
    pub async fn begin(opened: Opened) -> Self {
        let Opened { stats, kept, .. } = opened;
        match kept {
            Kept::Here(loaded) => {
                let store = Store::new(*loaded, stats);
                tokio_uring::spawn(store.clone().keep_house());
                Self::Own(store)
            }
            Kept::Shared(settings, health, ending) => {
                let redis = Redis::begin(settings, health).await;
                let shared = Shared::new(redis, stats);
                tokio_uring::spawn(shared.clone().write());
                Self::Shared(shared, Rc::new(ending))
            }
        }
    }

    /// The way to a store that is shared.
    pub fn redis(&self) -> Option<Redis> {
        match self {
            Self::Own(_) => None,
            Self::Shared(shared, _) => Some(shared.redis()),
        }
    }

    pub fn learn(&self, learn: &Learn) {
        match self {
            Self::Own(store) => store.learn(learn),
            Self::Shared(shared, _) => shared.learn(learn),
        }
    }

    /// Writes what is left: nobody waits for answers any more.
    pub async fn close(&self) {
        match self {
            Self::Own(store) => store.close(),
            Self::Shared(shared, _) => shared.close().await,
        }
    }
}

/// The store as the service thread has it.
#[derive(Clone, Debug)]
pub struct Store(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    ledger: Ledger,
    /// Keys whose entries the disk has otherwise.
    waiting: BTreeSet<Key>,
    /// So many of them at most: all that there are, and some that are no more.
    waiting_max: usize,
    disk: Option<Disk>,
    /// The disk had no room for the last batch: it is asked again in the next round.
    is_busy: bool,
    stats: Arc<Stats>,
    /// The second that was spoken of last: a clock that was wrong once is not believed for ever.
    now: u64,
}

impl Store {
    fn new(loaded: Loaded, stats: Arc<Stats>) -> Self {
        let Loaded { ledger, changed, disk } = loaded;
        let waiting = changed.into_iter().collect();
        let waiting_max = ledger.capacity() + STORE_WAITING_MAX;
        Self(Rc::new(RefCell::new(Inner {
            ledger,
            waiting,
            waiting_max,
            disk,
            is_busy: false,
            stats,
            now: 0,
        })))
    }

    pub fn recall(&self, asked: &Recall) -> Recalled {
        self.0.borrow().ledger.recall(asked.now, &asked.keys)
    }

    fn learn(&self, learn: &Learn) {
        let mut inner = self.0.borrow_mut();
        inner.now = learn.now;
        let mut changed = Vec::new();
        for lesson in &learn.lessons {
            inner.ledger.learn(learn.now, *lesson, &mut changed);
        }
        inner.note(&changed);
        if inner.waiting.len() >= STORE_BATCH_MAX && !inner.is_busy {
            inner.write();
        }
    }

    /// Writes and forgets, to the end of the process.
    async fn keep_house(self) {
        loop {
            tokio::time::sleep(if self.is_behind() { ROUND_BEHIND } else { ROUND }).await;
            self.0.borrow_mut().keep_house();
        }
    }

    /// Whether more is to be written than one round writes.
    fn is_behind(&self) -> bool {
        self.0.borrow().waiting.len() >= STORE_BATCH_MAX
    }

    /// Writes what is left, however long that takes, and lets go of the disk: nobody waits for answers any more.
    fn close(&self) {
        let mut inner = self.0.borrow_mut();
        while let (Some(disk), Some(batch)) = (&inner.disk, inner.next_batch()) {
            let count = batch.len();
            if !disk.give(batch) {
                break;
            }
            inner.let_go(count);
        }
        inner.disk = None;
    }
}

impl Inner {
    /// What changed is to be written, as far as there is room to know of it.
    fn note(&mut self, changed: &[Key]) {
        let Some(_) = self.disk else { return };
        for key in changed {
            if self.waiting.len() < self.waiting_max {
                self.waiting.insert(*key);
            } else if !self.waiting.contains(key) {
                // One that is no more, most likely: its row ends by itself.
                self.stats.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn keep_house(&mut self) {
        let mut ended = Vec::new();
        self.ledger.forget_ended(self.now, ENDED_PER_ROUND, &mut ended);
        self.note(&ended);
        self.catch_up();
        self.is_busy = false;
        self.write();
        for table in Table::ALL {
            self.stats.entries[table as usize].store(self.ledger.len(table) as u64, Ordering::Relaxed);
        }
        self.stats.evicted.store(self.ledger.evicted(), Ordering::Relaxed);
    }

    /// A disk that takes changes again, but has missed some, gets all.
    fn catch_up(&mut self) {
        let Some(disk) = &self.disk else { return };
        if disk.has_missed() && !self.stats.is_failing() {
            disk.forgive();
            self.waiting.extend(self.ledger.keys());
        }
    }

    /// Hands one batch over.
    fn write(&mut self) {
        let Some(disk) = &self.disk else { return };
        // A disk that failed is asked again though nothing is to be written.
        let Some(batch) = self.next_batch().or_else(|| self.stats.is_failing().then(Vec::new)) else {
            return;
        };
        let count = batch.len();
        match disk.offer(batch) {
            Offered::Taken => self.let_go(count),
            // It is slow: what waits is kept, and what changes again meanwhile is written once.
            Offered::Busy => self.is_busy = true,
            Offered::Gone => {
                self.stats.lost.fetch_add(self.waiting.len() as u64, Ordering::Relaxed);
                self.waiting.clear();
                self.disk = None;
                self.stats.failing.store(1, Ordering::Relaxed);
                say(format_args!("the store is in memory only from now on: its thread ended"));
            }
        }
    }

    /// The first that wait.
    fn next_batch(&self) -> Option<Batch> {
        let entry = |key: &Key| (*key, self.ledger.raw(*key));
        let batch: Batch = self.waiting.iter().take(STORE_BATCH_MAX).map(entry).collect();
        Some(batch).filter(|batch| !batch.is_empty())
    }

    /// So many of the first wait no longer.
    fn let_go(&mut self, count: usize) {
        (0..count).for_each(|_| _ = self.waiting.pop_first());
    }
}

#[cfg(test)]
mod tests;
