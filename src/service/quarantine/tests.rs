//! The store under a script: what is done in which order, and what remains when it is stopped or
//! fails at any of its steps.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::Receiver;

use super::disk::Step;
use super::disk::tests::{Fate, Script};
use super::order::{Order, Refused};
use super::*;
use crate::base::slab::Key;
use crate::limits::{SPOOL_WORDS_WAITING_MAX, SPOOLS_MAX};
use crate::relay::quarantine::{ClientFacts, Description, Envelope};
use crate::relay::question::Query;
use crate::worker::ask::Wake;

/// A folder that goes with the test.
pub(in crate::service) struct Scrap(PathBuf);

impl Scrap {
    pub(in crate::service) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("postern-quarantine-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(in crate::service) fn path(&self) -> &Path {
        &self.0
    }

    /// What lies there beside lock and token.
    fn names(&self) -> Vec<String> {
        let entries =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = entries.filter(|name| name != "lock" && name != "token").collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Scrap {
    fn drop(&mut self) {
        // What is left behind harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

const BOUNDS: Bounds = Bounds { bytes_max: 1 << 20, age_max: Duration::from_secs(3600) };
/// A time far enough in the past and in the future of nothing.
const TIME_MS: u64 = 1_795_366_104_000;

pub(in crate::service) fn description(n: u64) -> Description {
    let envelope = Envelope::new(b"a@client.example", b"BODY=8BITMIME", "hop").unwrap();
    let envelope = envelope.with(b"b@hop.example", b"").unwrap();
    Description::new(Ulid::from_parts(TIME_MS + n, u128::from(n)), ClientFacts::default(), envelope)
}

fn open(scrap: &Scrap, bounds: Bounds) -> Store {
    Store::open(&Settings { path: scrap.path().to_owned(), bounds }, NextHops::default()).unwrap()
}

fn scripted(scrap: &Scrap, script: &Rc<Script>) -> Store {
    let store = open(scrap, BOUNDS);
    let mut inner = Rc::into_inner(store.0).unwrap();
    inner.disk.script = Some(Rc::clone(script));
    Store(Rc::new(inner))
}

/// A worker, as the store sees one.
struct Worker {
    answers: AnswerQueue,
    inbox: Receiver<(Ticket, Answer)>,
}

impl Worker {
    fn new() -> Self {
        let (answers, inbox) = AnswerQueue::new(Wake::new(|| {}));
        Self { answers, inbox }
    }

    fn say(&self, store: &Store, ticket: u32, word: Spool) {
        store.hear(self.ticket(ticket), &self.answers, (word, Freight::default()));
    }

    #[expect(clippy::unused_self, reason = "a ticket is a worker's")]
    fn ticket(&self, number: u32) -> Ticket {
        Ticket { worker: 0, relay: Key::from_bits(u64::from(number)), query: Query(1) }
    }

    /// Everything a relay says of a message, in pieces.
    fn send(&self, store: &Store, n: u32, content: &[u8], piece: usize) {
        self.say(store, n, Spool::Begin { id: description(u64::from(n)).id, size: 0 });
        content.chunks(piece).for_each(|piece| self.say(store, n, Spool::Append(piece.to_vec())));
        self.say(store, n, Spool::Commit(Box::new(description(u64::from(n)))));
    }

    /// The last word to each message, once all have come. What was taken is counted.
    async fn ends(&self, count: usize) -> (Vec<(u32, Spooled)>, usize) {
        let (mut ends, mut taken) = (Vec::new(), 0);
        while ends.len() < count {
            match self.inbox.try_recv() {
                Ok((_, Answer::Quarantine(Spooled::Taken { octets, .. }))) => taken += octets,
                Ok((ticket, Answer::Quarantine(end))) => {
                    ends.push((u32::try_from(ticket.relay.index()).unwrap(), end));
                }
                Ok((_, unknown)) => panic!("{unknown:?}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        (ends, taken)
    }

    async fn taken(&self) {
        while self.inbox.try_recv().is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn check_disorder(&self, what: &str) {
        match self.end().await {
            Spooled::Failed(failure) => assert_eq!(failure.kind, FailureKind::Disorder, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        while self.inbox.try_recv().is_ok() {}
    }

    async fn end(&self) -> Spooled {
        self.ends(1).await.0.remove(0).1
    }
}

/// Whether the entry is there, whole.
#[track_caller]
fn check_entry(scrap: &Scrap, n: u64, content: &[u8]) {
    let folder = Folder::new(scrap.path());
    let wanted = Description { size: content.len() as u64, ..description(n) };
    assert_eq!(folder.description(wanted.id).unwrap(), Some(wanted.clone()));
    assert!(fs::read(folder.message_path(wanted.id)).unwrap() == content, "message {n}");
}

const CONTENT: &[u8] = b"Received: by us\r\nSubject: x\r\n\r\n.one\r\ntwo";

#[test]
fn a_message_is_stored_in_this_order() {
    let scrap = Scrap::new();
    let script = Rc::new(Script::new(0, Fate::Goes));
    tokio_uring::start(async {
        let (store, worker) = (scripted(&scrap, &script), Worker::new());
        worker.say(&store, 1, Spool::Begin { id: description(1).id, size: 5 });
        worker.say(&store, 1, Spool::Append(CONTENT[..7].to_vec()));
        worker.taken().await;
        worker.say(&store, 1, Spool::Append(CONTENT[7..].to_vec()));
        worker.say(&store, 1, Spool::Commit(Box::new(description(1))));
        assert_eq!(worker.end().await, Spooled::Stored);
        let counts = store.stats().counts();
        assert_eq!((counts.entries, counts.bytes, counts.stored), (1, 8192, 1));
        assert_eq!((store.0.index.borrow().reserved(), store.0.spools.borrow().len()), (0, 0));
    });
    check_entry(&scrap, 1, CONTENT);
    let (eml, json) = (message_name(description(1).id), description_name(description(1).id));
    let part = folder::part;
    let wanted = [
        (Step::Create, part(&eml)),
        (Step::Write, part(&eml)),
        (Step::Write, part(&eml)),
        (Step::Sync, part(&eml)),
        (Step::Create, part(&json)),
        (Step::Write, part(&json)),
        (Step::Sync, part(&json)),
        (Step::Rename, eml.clone()),
        (Step::Rename, json.clone()),
        (Step::SyncFolder, "the folder".to_owned()),
    ];
    assert_eq!(*script.done.borrow(), wanted);
    assert_eq!(scrap.names(), [eml, json]);
}

/// The steps of one message that is sent in one piece.
const STEPS: usize = 9;

#[test]
fn killed_before_any_step_an_entry_is_whole_or_none() {
    for at in 0..=STEPS {
        let scrap = Scrap::new();
        let script = Rc::new(Script::new(at, Fate::Hangs));
        let stored = tokio_uring::start(async {
            let (store, worker) = (scripted(&scrap, &script), Worker::new());
            worker.send(&store, 1, CONTENT, 1000);
            loop {
                if let Ok((_, Answer::Quarantine(Spooled::Stored))) = worker.inbox.try_recv() {
                    return true;
                }
                if script.done.borrow().len() > at {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert_eq!(stored, at == STEPS, "{at}");
        // The next start.
        let store = open(&scrap, BOUNDS);
        let entries = store.stats().counts().entries;
        assert!(!stored || entries == 1, "{at}: acknowledged and lost");
        if entries == 1 {
            check_entry(&scrap, 1, CONTENT);
        } else {
            assert_eq!(scrap.names(), [""; 0], "{at}");
        }
        // Whole as soon as the description has its name: what remains then is the folder's sync.
        assert_eq!(entries == 1, at >= STEPS - 1, "{at}");
    }
}

#[test]
fn whatever_step_fails_it_is_answered_and_nothing_remains() {
    for errno in [libc::ENOSPC, libc::EIO, libc::EACCES] {
        for at in 0..STEPS {
            let scrap = Scrap::new();
            let script = Rc::new(Script::new(at, Fate::Fails(errno)));
            tokio_uring::start(async {
                let (store, worker) = (scripted(&scrap, &script), Worker::new());
                worker.send(&store, 1, CONTENT, 1000);
                let Spooled::Failed(failure) = worker.end().await else { panic!("step {at} failed") };
                let full = errno == libc::ENOSPC;
                assert_eq!(failure.kind == FailureKind::Full, full, "{failure:?}");
                assert_eq!(store.stats().counts(), Counts { failed: 1, ..Counts::default() });
                assert_eq!(store.0.index.borrow().reserved(), 0);
                // The next one finds everything as it was.
                worker.send(&store, 2, CONTENT, 1000);
                assert_eq!(worker.end().await, Spooled::Stored);
            });
            check_entry(&scrap, 2, CONTENT);
            assert_eq!(scrap.names().len(), 2, "step {at}: {:?}", scrap.names());
        }
    }
}

#[test]
fn one_that_hangs_does_not_hold_up_the_others() {
    let scrap = Scrap::new();
    let script = Rc::new(Script::new(0, Fate::Hangs));
    tokio_uring::start(async {
        let (store, worker) = (scripted(&scrap, &script), Worker::new());
        (0..u32::try_from(SPOOLS_MAX).unwrap()).for_each(|n| worker.send(&store, n, b"x", 1));
        worker.send(&store, 100_000, b"x", 1);
        let Spooled::Failed(failure) = worker.end().await else { panic!("one too many") };
        assert_eq!(failure.kind, FailureKind::Busy);
    });
}

#[test]
fn many_messages_are_stored_at_a_time() {
    let scrap = Scrap::new();
    let content = |n: u32| format!("message {n}\r\n").repeat(200 + n as usize).into_bytes();
    tokio_uring::start(async {
        let (store, worker) = (open(&scrap, BOUNDS), Worker::new());
        let begin =
            |n: u32| worker.say(&store, n, Spool::Begin { id: description(u64::from(n)).id, size: 0 });
        (0..20).for_each(begin);
        let mut left: Vec<Vec<u8>> = (0..20).map(content).collect();
        while left.iter().any(|left| !left.is_empty()) {
            for (n, left) in (0u32..).zip(&mut left).filter(|(_, left)| !left.is_empty()) {
                let rest = left.split_off((97 + n as usize).min(left.len()));
                worker.say(&store, n, Spool::Append(std::mem::replace(left, rest)));
            }
            // As a worker would, turn by turn.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (0..20).for_each(|n| worker.say(&store, n, Spool::Commit(Box::new(description(u64::from(n))))));
        let (ends, taken) = worker.ends(20).await;
        assert!(ends.iter().all(|(_, end)| *end == Spooled::Stored), "{ends:?}");
        assert_eq!(taken, (0..20).map(|n| content(n).len()).sum::<usize>());
    });
    (0..20u32).for_each(|n| check_entry(&scrap, u64::from(n), &content(n)));
}

#[test]
fn what_is_broken_off_leaves_nothing() {
    let scrap = Scrap::new();
    tokio_uring::start(async {
        let (store, worker) = (open(&scrap, BOUNDS), Worker::new());
        for end in [None, Some(Spool::Abort)] {
            worker.say(&store, 1, Spool::Begin { id: description(1).id, size: 0 });
            worker.say(&store, 1, Spool::Append(CONTENT.to_vec()));
            worker.taken().await;
            match end {
                Some(word) => worker.say(&store, 1, word),
                // Its worker is gone.
                None => store.0.spools.borrow_mut().clear(),
            }
            while scrap.names() != [""; 0] || store.0.index.borrow().reserved() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        // A commit that is taken back before it was heard.
        worker.send(&store, 2, CONTENT, 1000);
        worker.say(&store, 2, Spool::Abort);
        while !store.0.spools.borrow().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(store.stats().counts(), Counts::default());
    });
    assert_eq!(scrap.names(), [""; 0]);
}

#[test]
fn words_out_of_order_are_no_message() {
    let scrap = Scrap::new();
    tokio_uring::start(async {
        let (store, worker) = (open(&scrap, BOUNDS), Worker::new());
        let begin = |ticket: u32| {
            worker.say(&store, ticket, Spool::Begin { id: description(u64::from(ticket)).id, size: 0 });
        };
        worker.say(&store, 9, Spool::Abort);
        worker.say(&store, 9, Spool::Append(vec![1]));
        worker.check_disorder("without a beginning").await;
        begin(1);
        worker.say(&store, 1, Spool::Commit(Box::new(description(2))));
        worker.check_disorder("another's description").await;
        begin(3);
        (0..=SPOOL_WORDS_WAITING_MAX).for_each(|_| worker.say(&store, 3, Spool::Append(vec![1])));
        worker.check_disorder("too many words").await;
        begin(4);
        begin(4);
        worker.check_disorder("a second beginning").await;
        worker.send(&store, 5, CONTENT, 1000);
        assert_eq!(worker.end().await, Spooled::Stored);
        worker.send(&store, 5, b"other", 1000);
        worker.check_disorder("what is there is not written over").await;
    });
    check_entry(&scrap, 5, CONTENT);
}

#[test]
fn a_full_quarantine_refuses_and_drops_nothing() {
    let scrap = Scrap::new();
    tokio_uring::start(async {
        // Room for two small entries, and for what rounding takes of a third while it is written.
        let bounds = Bounds { bytes_max: 4 * 8192, ..BOUNDS };
        let (store, worker) = (open(&scrap, bounds), Worker::new());
        let mut stored = 0;
        let refused = loop {
            worker.send(&store, stored, CONTENT, 1000);
            match worker.end().await {
                Spooled::Stored => stored += 1,
                Spooled::Failed(failure) => break failure,
                Spooled::Taken { .. } => {}
            }
            assert!(store.stats().counts().bytes <= bounds.bytes_max);
        };
        assert_eq!((refused.kind, stored), (FailureKind::Full, 3));
        (0..u64::from(stored)).for_each(|n| check_entry(&scrap, n, CONTENT));
        // A declared size that cannot fit is refused at once.
        store.carry_out(Order::Delete(description(0).id)).await.unwrap();
        worker.say(&store, 7, Spool::Begin { id: description(7).id, size: 1 << 20 });
        assert!(matches!(worker.end().await, Spooled::Failed(_)));
        worker.send(&store, 8, CONTENT, 1000);
        assert_eq!(worker.end().await, Spooled::Stored);
        // One that grows beyond the room is given up in the middle.
        store.carry_out(Order::Delete(description(8).id)).await.unwrap();
        worker.send(&store, 9, &[b'x'; 20_000], 1000);
        assert!(matches!(worker.end().await, Spooled::Failed(_)));
    });
    assert_eq!(scrap.names().len(), 4, "{:?}", scrap.names());
}

#[test]
fn a_folder_that_vanishes_is_a_failure_and_no_hang() {
    let scrap = Scrap::new();
    tokio_uring::start(async {
        let (store, worker) = (open(&scrap, BOUNDS), Worker::new());
        worker.say(&store, 1, Spool::Begin { id: description(1).id, size: 0 });
        worker.say(&store, 1, Spool::Append(CONTENT.to_vec()));
        worker.taken().await;
        fs::rename(scrap.path(), scrap.path().with_extension("away")).unwrap();
        worker.say(&store, 1, Spool::Commit(Box::new(description(1))));
        assert!(matches!(worker.end().await, Spooled::Failed(_)));
        worker.send(&store, 2, CONTENT, 1000);
        assert!(matches!(worker.end().await, Spooled::Failed(_)));
        fs::rename(scrap.path().with_extension("away"), scrap.path()).unwrap();
        worker.send(&store, 3, CONTENT, 1000);
        assert_eq!(worker.end().await, Spooled::Stored);
    });
}

#[test]
fn entries_go_when_they_are_old_and_not_before() {
    let scrap = Scrap::new();
    tokio_uring::start(async {
        let (store, worker) = (open(&scrap, BOUNDS), Worker::new());
        for n in [0, 5000] {
            worker.send(&store, n, CONTENT, 1000);
            assert_eq!(worker.end().await, Spooled::Stored);
        }
        let age_ms = 3_600_000;
        store.expire(TIME_MS + age_ms).await;
        assert_eq!(store.stats().counts().entries, 2);
        let claimed = store.0.index.borrow_mut().claim(description(0).id);
        assert_eq!(claimed, Ok(()));
        store.expire(TIME_MS + age_ms + 1).await;
        assert_eq!(store.stats().counts().entries, 2, "it is being sent");
        store.0.index.borrow_mut().unclaim(description(0).id);
        store.expire(TIME_MS + age_ms + 1).await;
        assert_eq!(store.stats().counts().entries, 1);
    });
    check_entry(&scrap, 5000, CONTENT);
    assert_eq!(scrap.names().len(), 2);
}

#[test]
fn orders_look_and_delete() {
    let scrap = Scrap::new();
    tokio_uring::start(async {
        let (store, worker) = (open(&scrap, BOUNDS), Worker::new());
        for n in 0..3 {
            worker.send(&store, n, CONTENT, 1000);
            assert_eq!(worker.end().await, Spooled::Stored);
        }
        let desk = store.open_desk();
        let first = desk.give(Order::List { after: None, max: 2 }).await.unwrap();
        let id = |n| description(n).id.to_string();
        assert_eq!(first["entries"][1]["id"], id(1));
        assert_eq!((&first["next"], &first["total"]), (&id(1).into(), &3.into()));
        let after = Some(description(1).id);
        let second = desk.give(Order::List { after, max: 2 }).await.unwrap();
        assert_eq!((&second["entries"][0]["id"], &second["next"]), (&id(2).into(), &serde_json::Value::Null));
        let shown = desk.give(Order::Show(description(2).id)).await.unwrap();
        assert_eq!(shown["envelope"]["sender"], "a@client.example");
        let deleted = desk.give(Order::Delete(description(2).id)).await.unwrap();
        assert_eq!(deleted["deleted"], id(2));
        for order in [
            Order::Show(description(2).id),
            Order::Delete(description(2).id),
            Order::Release(description(2).id),
        ] {
            assert_eq!(desk.give(order).await, Err(Refused::None));
        }
        let token = Folder::new(scrap.path()).token().unwrap();
        assert!(desk.admits(token.as_bytes()) && !desk.admits(b"") && !desk.admits(&[b'0'; 64]));
    });
    assert_eq!(scrap.names().len(), 4);
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let scrap = Scrap::new();
    let settings = Settings { path: scrap.path().to_owned(), bounds: BOUNDS };
    let first = Store::open(&settings, NextHops::default()).unwrap();
    assert!(Store::open(&settings, NextHops::default()).unwrap_err().contains("in use"));
    drop(first);
    assert!(Store::open(&settings, NextHops::default()).is_ok());
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let settings = Settings { path: "/proc/nowhere".into(), bounds: BOUNDS };
    assert!(Store::open(&settings, NextHops::default()).unwrap_err().contains("/proc/nowhere"));
}
