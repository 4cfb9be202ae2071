//! The copy on disk: one file with a table for each of the ledger's, written by a thread of its own.
//!
//! A batch is one transaction of the database: it is there whole, or not at all, whenever the process or the
//! machine ends. Where a batch cannot be written, that is said once; it is lost to the disk, which gets all
//! entries anew when it works again. The database may panic over a file that was damaged: that is no more
//! than a disk that failed.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::Builder;
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::Stats;
use crate::limits::STORE_BATCHES_MAX;
use crate::policy::ledger::{Entry, Key, Mark, Table};
use crate::service::notice::say;

/// The database within the folder.
const FILE: &str = "ledger.redb";
/// A database that failed is tried again with each of so many batches.
const BATCHES_PER_TRIAL: u32 = 10;

/// What keys lead to from now on; None: nothing.
pub(super) type Batch = Vec<(Key, Option<Entry>)>;

/// When it was first seen, when it ends, how often it was good and bad.
type Row = (u64, u64, u32, u32);

/// Opens the database, anew after it has failed.
pub(super) type Open = Box<dyn FnMut() -> Result<Database, String> + Send>;

/// What became of a batch that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    Taken,
    Busy,
    /// Nobody is there any more.
    Gone,
}

/// The way to the thread that writes. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Disk {
    batches: SyncSender<Batch>,
    missed: Arc<AtomicBool>,
}

/// The end of that thread, or of whoever has [`Ending`].
#[derive(Debug)]
pub struct End(Receiver<()>);

/// What ends when this is dropped.
#[derive(Debug)]
pub struct Ending(#[expect(dead_code, reason = "it is held, and dropped")] mpsc::Sender<()>);

impl End {
    pub(super) fn new() -> (Ending, Self) {
        let (ending, end) = mpsc::channel();
        (Ending(ending), Self(end))
    }

    /// Waits for it, but not for ever: a disk may hang.
    pub fn wait(&self, patience: Duration) {
        // It says nothing; that it is gone is the word.
        let _ = self.0.recv_timeout(patience);
    }
}

impl Disk {
    /// Opens the database in `folder` and gives all that is in it to `take`. Where that fails, it is told,
    /// and tried again later.
    pub(super) fn open(folder: &Path, stats: &Arc<Stats>, take: &mut dyn FnMut(Key, Entry)) -> (Self, End) {
        let folder = folder.to_path_buf();
        let open = move || {
            // What is in it tells, to whoever tries names, who writes to whom.
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            let made = made.map_err(|error| error.to_string());
            let opened =
                made.and_then(|()| Database::create(folder.join(FILE)).map_err(|error| error.to_string()));
            opened.map_err(|error| format!("{}: {error}", folder.display()))
        };
        Self::start(Box::new(open), stats, take)
    }

    pub(super) fn start(mut open: Open, stats: &Arc<Stats>, take: &mut dyn FnMut(Key, Entry)) -> (Self, End) {
        let read = |database: Database| match read(&database, take) {
            Ok(()) => Ok(database),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        let database = sheltered(|| open().and_then(read));
        let (batches, inbox) = mpsc::sync_channel(STORE_BATCHES_MAX);
        let (ending, end) = End::new();
        let missed = Arc::new(AtomicBool::new(false));
        let mut writer = Writer {
            database: None,
            open,
            failures: 0,
            stats: Arc::clone(stats),
            missed: Arc::clone(&missed),
        };
        match database {
            Ok(database) => writer.database = Some(database),
            Err(error) => writer.fail(&error, 0),
        }
        let main = move || {
            // The last to go, behind the database.
            let _ending: Ending = ending;
            let mut writer = writer;
            while let Ok(batch) = inbox.recv() {
                writer.take(&batch);
            }
        };
        if let Err(error) = Builder::new().name("store".to_owned()).spawn(main) {
            say(format_args!("the store is not written to disk: {error}"));
        }
        (Self { batches, missed }, end)
    }

    pub(super) fn offer(&self, batch: Batch) -> Offered {
        match self.batches.try_send(batch) {
            Ok(()) => Offered::Taken,
            Err(TrySendError::Full(_)) => Offered::Busy,
            Err(TrySendError::Disconnected(_)) => Offered::Gone,
        }
    }

    /// Waits until there is room for it; whether it was taken.
    pub(super) fn give(&self, batch: Batch) -> bool {
        self.batches.send(batch).is_ok()
    }

    /// Whether some batch was not written.
    pub(super) fn has_missed(&self) -> bool {
        self.missed.load(Ordering::Relaxed)
    }

    /// All is written anew.
    pub(super) fn forgive(&self) {
        self.missed.store(false, Ordering::Relaxed);
    }
}

/// The thread's own.
struct Writer {
    /// None: it failed.
    database: Option<Database>,
    open: Open,
    /// Batches since it failed.
    failures: u32,
    stats: Arc<Stats>,
    missed: Arc<AtomicBool>,
}

impl Writer {
    fn take(&mut self, batch: &Batch) {
        let written = sheltered(|| self.write(batch));
        if written.is_ok() {
            self.stats.written.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
        match written {
            Ok(()) if self.stats.failing.swap(0, Ordering::Relaxed) > 0 => {
                say(format_args!("the store is written again"));
            }
            Ok(()) => {}
            Err(error) => self.fail(&error, batch.len()),
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), String> {
        let database = match self.database.take() {
            Some(database) => database,
            None if self.failures < BATCHES_PER_TRIAL => {
                self.failures += 1;
                return Err("it failed before".to_owned());
            }
            None => {
                self.failures = 0;
                (self.open)()?
            }
        };
        write(&database, batch).map_err(|error| error.to_string())?;
        self.database = Some(database);
        Ok(())
    }

    fn fail(&self, error: &str, changes: usize) {
        self.stats.lost.fetch_add(changes as u64, Ordering::Relaxed);
        self.missed.store(true, Ordering::Relaxed);
        if self.stats.failing.swap(1, Ordering::Relaxed) == 0 {
            say(format_args!("the store is in memory only, and what it learns is lost at the end: {error}"));
        }
    }
}

fn sheltered<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("the database is damaged".to_owned()))
}

const fn definition(table: Table) -> TableDefinition<'static, Mark, Row> {
    TableDefinition::new(table.name())
}

fn read(database: &Database, take: &mut dyn FnMut(Key, Entry)) -> Result<(), redb::Error> {
    let transaction = database.begin_read()?;
    for table in Table::ALL {
        let rows = match transaction.open_table(definition(table)) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        for row in rows.iter()? {
            let (mark, row) = row?;
            let (since, until, good, bad) = row.value();
            take(Key { table, mark: mark.value() }, Entry { since, until, good, bad });
        }
    }
    Ok(())
}

fn write(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for table in Table::ALL {
        let mut rows = transaction.open_table(definition(table))?;
        for (key, kept) in batch.iter().filter(|(key, _)| key.table == table) {
            match kept {
                Some(Entry { since, until, good, bad }) => {
                    rows.insert(key.mark, (*since, *until, *good, *bad))?;
                }
                None => _ = rows.remove(key.mark)?,
            }
        }
    }
    transaction.commit()?;
    Ok(())
}
