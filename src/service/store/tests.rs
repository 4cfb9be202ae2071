use std::collections::HashMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::{io, thread};

use redb::{BackendError, Database, StorageBackend};

use super::disk::{Disk, Open};
use super::*;
use crate::policy::ledger::{About, Entry, Lesson};

const UNTIL: u64 = 1000;

fn key(name: usize) -> Key {
    let name = name.to_string();
    Key::of(Table::ALL[name.len() % 4], &[&name])
}

fn learn(store: &Store, now: u64, names: impl Iterator<Item = usize>) {
    let lessons = names.map(|name| Lesson { key: key(name), about: About::Good, until: UNTIL }).collect();
    store.learn(&Learn { now, lessons });
}

fn knows(store: &Store, names: impl Iterator<Item = usize>) -> usize {
    let keys: Vec<_> = names.map(key).collect();
    let known = |keys: &[Key]| {
        let recalled = store.recall(&Recall { now: 1, keys: keys.to_vec() });
        keys.iter().filter(|key| recalled.entry(**key).is_some()).count()
    };
    keys.chunks(100).map(known).sum()
}

fn begin(opened: Opened) -> (Store, Option<End>) {
    let Kept::Here(loaded) = opened.kept else { panic!("it is not here") };
    (Store::new(*loaded, opened.stats), opened.end)
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("postern-store-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn settings(&self) -> settings::Store {
        settings::Store { path: Some(self.0.clone()), ..settings::Store::default() }
    }

    fn open(&self) -> (Store, Option<End>) {
        begin(open(&self.settings()))
    }

    fn close((store, end): (Store, Option<End>)) {
        store.close();
        end.unwrap().wait(Duration::from_secs(20));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn what_was_learnt_is_there_after_a_restart() {
    let place = Place::new("restart");
    let opened = place.open();
    learn(&opened.0, 1, 0..10_000);
    learn(&opened.0, 1, 0..10);
    Place::close(opened);
    let opened = place.open();
    assert_eq!(knows(&opened.0, 0..10_001), 10_000);
    let entry = |name| opened.0.recall(&Recall { now: 1, keys: vec![key(name)] }).entry(key(name));
    assert_eq!(entry(3), Some(Entry { since: 1, until: UNTIL, good: 2, bad: 0 }));
    assert_eq!(entry(30), Some(Entry { since: 1, until: UNTIL, good: 1, bad: 0 }));
    // What has ended goes from the disk too.
    learn(&opened.0, UNTIL + 1, 0..0);
    opened.0.0.borrow_mut().keep_house();
    Place::close(opened);
    let opened = place.open();
    assert_eq!(opened.0.0.borrow().ledger.keys().count(), 0);
    Place::close(opened);
}

#[test]
fn a_clock_that_was_wrong_once_forgets_nothing() {
    let stats = Arc::default();
    let store = Store::new(Loaded { ledger: Ledger::new(100), changed: Vec::new(), disk: None }, stats);
    learn(&store, 1, 0..10);
    learn(&store, 1_000_000, 0..0);
    learn(&store, 2, 0..0);
    store.0.borrow_mut().keep_house();
    assert_eq!(knows(&store, 0..10), 10);
}

#[test]
fn what_has_no_room_is_no_more_on_disk() {
    let place = Place::new("room");
    let opened = place.open();
    learn(&opened.0, 1, 1000..2000);
    Place::close(opened);
    let small = settings::Store { entries_max: 100, ..place.settings() };
    Place::close(begin(open(&small)));
    let opened = place.open();
    assert_eq!(knows(&opened.0, 1000..2000), 100);
    Place::close(opened);
}

#[test]
fn a_place_that_cannot_be_used_is_told_and_memory_serves() {
    let place = Place::new("unusable");
    std::fs::write(&place.0, "a file, where a folder should be").unwrap();
    let opened = place.open();
    learn(&opened.0, 1, 0..10);
    let stats = Arc::clone(&opened.0.0.borrow().stats);
    assert!(stats.is_failing());
    assert_eq!(knows(&opened.0, 0..10), 10);
    Place::close(opened);
    assert_eq!(stats.lost(), 10);
}

#[test]
fn what_is_no_store_is_left_alone() {
    let place = Place::new("foreign");
    std::fs::create_dir_all(&place.0).unwrap();
    let file = place.0.join("ledger.redb");
    let foreign = "somebody else's".repeat(1000);
    std::fs::write(&file, &foreign).unwrap();
    let opened = place.open();
    learn(&opened.0, 1, 0..10);
    assert_eq!(knows(&opened.0, 0..10), 10);
    Place::close(opened);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), foreign);
}

/// A disk of the test.
#[derive(Clone, Debug, Default)]
#[expect(clippy::disallowed_types, reason = "the disk of a test is shared with its thread")]
struct Drum {
    bytes: Arc<std::sync::Mutex<Vec<u8>>>,
    is_full: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
    writes: Arc<AtomicUsize>,
}

impl Drum {
    fn check(&self) -> io::Result<()> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        while self.hangs.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        let full = || Err(io::ErrorKind::StorageFull.into());
        if self.is_full.load(Ordering::Relaxed) { full() } else { Ok(()) }
    }

    fn open(&self) -> Open {
        let drum = self.clone();
        Box::new(move || {
            Database::builder().create_with_backend(drum.clone()).map_err(|error| error.to_string())
        })
    }

    /// A store on it with what it has.
    fn store(&self) -> (Store, End) {
        let stats = Arc::new(Stats::default());
        let mut ledger = Ledger::new(100_000);
        let take = &mut |key, entry| ledger.put(key, entry, &mut Vec::new());
        let (disk, end) = Disk::start(self.open(), &stats, take);
        (Store::new(Loaded { ledger, changed: Vec::new(), disk: Some(disk) }, stats), end)
    }
}

impl StorageBackend for Drum {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let begin = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.bytes.lock().unwrap()[begin..begin + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.bytes.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        let begin = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[begin..begin + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }
}

/// Keeps house until `reached`.
fn rounds_until(store: &Store, reached: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if reached() {
            return;
        }
        store.0.borrow_mut().keep_house();
        thread::yield_now();
    }
    panic!("never");
}

#[test]
fn a_full_disk_loses_nothing_but_the_copy_and_gets_all_when_it_has_room() {
    let drum = Drum::default();
    let (store, end) = drum.store();
    let stats = Arc::clone(&store.0.borrow().stats);
    learn(&store, 1, 0..500);
    rounds_until(&store, || store.0.borrow().waiting.is_empty());
    drum.is_full.store(true, Ordering::Relaxed);
    learn(&store, 1, 500..1000);
    rounds_until(&store, || stats.is_failing());
    assert!(stats.lost() > 0);
    assert_eq!(knows(&store, 0..1000), 1000);
    drum.is_full.store(false, Ordering::Relaxed);
    // Mail goes on meanwhile.
    let is_whole = || {
        learn(&store, 1, 1000..1500);
        !stats.is_failing() && !store.0.borrow().disk.as_ref().unwrap().has_missed()
    };
    rounds_until(&store, is_whole);
    store.close();
    end.wait(Duration::from_secs(20));
    assert_eq!(knows(&drum.store().0, 0..1500), 1500);
}

#[test]
fn a_disk_that_hangs_holds_up_nobody() {
    let drum = Drum::default();
    let (store, end) = drum.store();
    drum.hangs.store(true, Ordering::Relaxed);
    for n in 0..20 {
        learn(&store, 1, n * STORE_BATCH_MAX..(n + 1) * STORE_BATCH_MAX);
    }
    let names = || 0..20 * STORE_BATCH_MAX;
    assert_eq!(knows(&store, names()), 20 * STORE_BATCH_MAX);
    drum.hangs.store(false, Ordering::Relaxed);
    store.close();
    end.wait(Duration::from_secs(60));
    assert_eq!(knows(&drum.store().0, names()), 20 * STORE_BATCH_MAX);
}

/// Whatever instant the machine ends in: what was written by then is whole.
#[test]
fn a_crash_finds_whole_batches() {
    let drum = Drum::default();
    let (store, end) = drum.store();
    let mut images: HashMap<usize, Vec<u8>> = HashMap::new();
    for n in 0..40 {
        learn(&store, 1, n * 10..(n + 1) * 10);
        rounds_until(&store, || store.0.borrow().waiting.is_empty());
        images.insert(n, drum.bytes.lock().unwrap().clone());
    }
    store.close();
    end.wait(Duration::from_secs(20));
    for (n, image) in images {
        let crashed = Drum::default();
        *crashed.bytes.lock().unwrap() = image;
        let (store, _end) = crashed.store();
        let count = knows(&store, 0..400);
        assert!(count % 10 == 0 && count <= (n + 1) * 10, "{count} after {n}");
        assert!(!store.0.borrow().stats.is_failing(), "image {n}");
    }
}

/// Whatever became of its octets, the store is opened, or told to be broken; and learns on.
#[test]
fn a_file_that_was_damaged_stops_nobody() {
    let place = Place::new("damaged");
    let opened = place.open();
    learn(&opened.0, 1, 0..3000);
    Place::close(opened);
    let file = place.0.join("ledger.redb");
    let whole = std::fs::read(&file).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..150 {
        let mut damaged = whole.clone();
        match round % 3 {
            0 => damaged.truncate(random.usize(..whole.len())),
            1 => {
                let begin = random.usize(..whole.len());
                damaged.iter_mut().skip(begin).take(4096).for_each(|octet| *octet = random.u8(..));
            }
            _ => (0..20).for_each(|_| damaged[random.usize(..whole.len())] = random.u8(..)),
        }
        std::fs::write(&file, &damaged).unwrap();
        let opened = place.open();
        learn(&opened.0, 1, 5000..5010);
        assert_eq!(knows(&opened.0, 5000..5010), 10, "round {round}");
        Place::close(opened);
    }
}
