//! The quarantine: messages that were accepted and held back, each a file with a description beside
//! it, on a disk of this machine.
//!
//! * `spool`: how a message gets in, and when it may be called stored;
//! * `disk`, `folder`: the folder, by the ring while the service runs and plainly beside it;
//! * `index`: what is there, and the bounds;
//! * `order`: what an administrator may ask for;
//! * `release`: how a message is sent on after all.
//!
//! Invariants: a message is called stored when it is durable and not before; what was called stored
//! is deleted by its age, by order, or when a next hop has said 2xx to it, and by nothing else;
//! memory is bounded by messages under way, words of each, and entries.

mod disk;
pub mod folder;
mod index;
pub mod order;
mod release;
mod spool;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use ulid::Ulid;

use super::notice::say;
use crate::limits::{SPOOL_WORDS_WAITING_MAX, SPOOLS_MAX};
use crate::relay::quarantine::{Failure, FailureKind, Spool, Spooled};
use crate::relay::question::Answer;
use crate::worker::ask::{AnswerQueue, Freight, Ticket};

use disk::Disk;
use folder::{Folder, Lock, description_name, message_name};
pub use index::Bounds;
use index::Index;
pub use release::NextHops;
use spool::End;

/// How often is looked for entries that are too old, and how many go at a time.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
const EXPIRED_PER_ROUND: usize = 1000;

/// Where the quarantine is and how large it may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub path: PathBuf,
    pub bounds: Bounds,
}

/// What others may read of it.
#[derive(Debug, Default)]
pub struct Stats {
    entries: AtomicU64,
    bytes: AtomicU64,
    stored: AtomicU64,
    failed: AtomicU64,
    expired: AtomicU64,
    released: AtomicU64,
    deleted: AtomicU64,
}

/// [`Stats`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// There now, and what they count for.
    pub entries: u64,
    pub bytes: u64,
    /// Since the start.
    pub stored: u64,
    pub failed: u64,
    pub expired: u64,
    pub released: u64,
    pub deleted: u64,
}

impl Stats {
    pub fn counts(&self) -> Counts {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Counts {
            entries: read(&self.entries),
            bytes: read(&self.bytes),
            stored: read(&self.stored),
            failed: read(&self.failed),
            expired: read(&self.expired),
            released: read(&self.released),
            deleted: read(&self.deleted),
        }
    }
}

/// The running quarantine. It lives on the service thread.
#[derive(Clone, Debug)]
pub struct Store(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    next_hops: NextHops,
    disk: Disk,
    index: RefCell<Index>,
    /// The way to each message under way.
    spools: RefCell<HashMap<Ticket, mpsc::Sender<Word>>>,
    stats: Arc<Stats>,
    token: Arc<str>,
    _lock: Lock,
}

/// A word of a relay, and its weight for as long as it is in memory.
type Word = (Spool, Freight);

/// The way back to a relay.
#[derive(Debug)]
struct Way {
    ticket: Ticket,
    answers: AnswerQueue,
}

impl Way {
    fn say(&self, spooled: Spooled) {
        self.answers.push(self.ticket, Answer::Quarantine(spooled));
    }

    fn fail(&self, kind: FailureKind, text: &str) {
        self.say(Spooled::Failed(Failure::new(kind, text)));
    }
}

impl Store {
    /// Takes the folder into possession: makes it if need be, removes what was never acknowledged,
    /// looks what is there. Blocks; for the start.
    ///
    /// # Errors
    /// When the folder cannot be used, or another process uses it.
    pub fn open(settings: &Settings, next_hops: NextHops) -> Result<Self, String> {
        let folder = Folder::new(&settings.path);
        let named = |error| format!("quarantine {}: {error}", folder.path().display());
        folder.create().map_err(named)?;
        let lock = folder.lock().map_err(named)?;
        let lock =
            lock.ok_or_else(|| format!("quarantine {}: in use by another process", folder.path().display()))?;
        let found = folder.sweep().map_err(named)?;
        let token = folder.renew_token().map_err(named)?;
        if found.removed > 0 {
            say(format_args!("quarantine: {} unfinished files removed", found.removed));
        }
        for id in &found.bereft {
            say(format_args!("quarantine: {id} is described but has no message: left as it is"));
        }
        let index = Index::new(settings.bounds, found.entries);
        let inner = Inner {
            next_hops,
            disk: Disk::new(folder.path()),
            index: RefCell::new(index),
            spools: RefCell::default(),
            stats: Arc::default(),
            token: token.into(),
            _lock: lock,
        };
        inner.note_size();
        Ok(Self(Rc::new(inner)))
    }

    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.0.stats)
    }

    /// Takes a word of a relay. Never waits: what cannot be taken is answered.
    pub fn hear(&self, ticket: Ticket, answers: &AnswerQueue, word: Word) {
        if let (Spool::Begin { id, size }, _) = word {
            return self.begin(Way { ticket, answers: answers.clone() }, (id, size));
        }
        let way = Way { ticket, answers: answers.clone() };
        let mut spools = self.0.spools.borrow_mut();
        let Some(spool) = spools.get(&ticket) else {
            // It has ended, or never began; taking back what is not there needs no answer.
            if !matches!(word.0, Spool::Abort) {
                way.fail(FailureKind::Disorder, "no such message is under way");
            }
            return;
        };
        if let Err(error) = spool.try_send(word) {
            spools.remove(&ticket);
            if matches!(error, mpsc::error::TrySendError::Full(_)) {
                way.fail(FailureKind::Disorder, "too many words wait");
            }
        }
    }

    fn begin(&self, way: Way, message: (Ulid, u64)) {
        let mut spools = self.0.spools.borrow_mut();
        if spools.remove(&way.ticket).is_some() {
            return way.fail(FailureKind::Disorder, "a second beginning");
        }
        if spools.len() >= SPOOLS_MAX {
            return way.fail(FailureKind::Busy, "too many messages are being stored");
        }
        let (sender, words) = mpsc::channel(SPOOL_WORDS_WAITING_MAX);
        spools.insert(way.ticket, sender);
        let inner = Rc::clone(&self.0);
        tokio_uring::spawn(async move {
            let end = spool::run(&inner, &way, message, words).await;
            inner.conclude(&way, message.0, end);
        });
    }

    /// Deletes what is too old, now and then, to the end of the process.
    pub async fn keep_house(self) {
        loop {
            while self.expire(now_ms()).await == EXPIRED_PER_ROUND {}
            tokio::time::sleep(HOUSEKEEPING).await;
        }
    }

    /// One round; how many went.
    async fn expire(&self, now_ms: u64) -> usize {
        let old = self.0.index.borrow().expired(now_ms, EXPIRED_PER_ROUND);
        let mut gone = 0;
        for id in old {
            if let Err(failure) = self.0.remove(id).await {
                say(format_args!("quarantine: {id} is too old and stays: {}", failure.text));
                break;
            }
            gone += 1;
        }
        if gone > 0 {
            self.0.stats.expired.fetch_add(gone as u64, Ordering::Relaxed);
            say(format_args!("quarantine: {gone} messages were too old and are deleted"));
        }
        gone
    }
}

impl Inner {
    /// Answers for a message, unless nobody waits.
    fn conclude(&self, way: &Way, id: Ulid, end: End) {
        // Whoever is no longer in here has been answered already.
        let waits = self.spools.borrow_mut().remove(&way.ticket).is_some();
        self.note_size();
        match end {
            End::Aborted => {}
            End::Stored => {
                self.stats.stored.fetch_add(1, Ordering::Relaxed);
                if waits {
                    way.say(Spooled::Stored);
                }
            }
            End::Failed(failure) => {
                self.stats.failed.fetch_add(1, Ordering::Relaxed);
                say(format_args!("quarantine: {id} is not kept: {}", failure.text));
                if waits {
                    way.say(Spooled::Failed(failure));
                }
            }
        }
    }

    /// A file that was not there before, durable but for its name.
    async fn write_new(&self, name: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        let file = self.disk.create(name).await?;
        self.disk.write(&file, name, bytes, 0).await?;
        self.disk.sync(file, name).await
    }

    /// Deletes an entry; the description goes first, for a message alone is no entry. That it comes
    /// back after a power cut harms less than a sync for each.
    async fn remove(&self, id: Ulid) -> Result<(), Failure> {
        self.disk.remove(&description_name(id)).await?;
        self.index.borrow_mut().remove(id);
        self.note_size();
        self.disk.remove(&message_name(id)).await?;
        Ok(())
    }

    fn note_size(&self) {
        let index = self.index.borrow();
        self.stats.entries.store(index.len() as u64, Ordering::Relaxed);
        self.stats.bytes.store(index.used(), Ordering::Relaxed);
    }
}

/// Milliseconds since 1970, as in an id.
fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests;
