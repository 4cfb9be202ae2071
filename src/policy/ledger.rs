//! What is remembered from one message to the next: whom we met, when first, and how that went.
//!
//! Some tables of small entries of one form. What a key stands for is not kept, only its digest: entries
//! are of one size, and the ledger tells nobody who wrote to whom. Time is an argument, in seconds of the
//! wall clock.
//!
//! What must always hold: each table has a bound, and where it is full the entry goes that would end
//! first; what has ended is never seen again. Who was only met ends soon, and has a quarter of a full table
//! for its own: else nobody new could be remembered where many are.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use crate::limits::LEDGER_KEY_BYTES;

/// What entries are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Somebody who sends to somebody here: met for the first time, or again.
    Contact,
    /// A client that brought mail which was wanted.
    Client,
    /// Somebody that mail went to.
    Correspondent,
    /// A domain that proved to be the author's.
    History,
}

impl Table {
    pub const ALL: [Self; 4] = [Self::Contact, Self::Client, Self::Correspondent, Self::History];

    /// The word for it in metrics, and on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contact => "contacts",
            Self::Client => "clients",
            Self::Correspondent => "correspondents",
            Self::History => "histories",
        }
    }
}

/// What stands for a key, without telling it.
pub type Mark = [u8; LEDGER_KEY_BYTES];

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub table: Table,
    pub mark: Mark,
}

impl Key {
    /// The key that all of `parts` make, in their order.
    pub fn of(table: Table, parts: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        let digest = digest.finalize();
        let mut mark = Mark::default();
        mark.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        Self { table, mark }
    }
}

/// What is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was first seen.
    pub since: u64,
    /// When it ends.
    pub until: u64,
    pub good: u32,
    pub bad: u32,
}

impl Entry {
    const fn order(&self) -> usize {
        if self.good == 0 && self.bad == 0 { MET } else { OTHERS }
    }
}

/// What is learnt of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lesson {
    pub key: Key,
    pub about: About,
    /// When to forget it.
    pub until: u64,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// It was met. If that is not the first time, nothing changes.
    Met,
    Good,
    Bad,
}

/// What became of keys that were asked for, each in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recalled(Vec<(Key, Option<Entry>)>);

impl Recalled {
    pub fn new(found: Vec<(Key, Option<Entry>)>) -> Self {
        Self(found)
    }

    /// None: it was not asked for. Nothing is known of it then.
    pub fn find(&self, key: Key) -> Option<Option<Entry>> {
        self.0.iter().find(|(asked, _)| *asked == key).map(|(_, entry)| *entry)
    }

    /// The entry, if there is one.
    pub fn entry(&self, key: Key) -> Option<Entry> {
        self.find(key).flatten()
    }
}

/// One table.
#[derive(Debug, Default)]
struct Shelf {
    entries: HashMap<Mark, Entry>,
    /// By when they end: those who were only met, and all others.
    ends: [BTreeSet<(u64, Mark)>; 2],
}

/// Of a full table those who were only met have one part in so many.
const SHARE_OF_MET: usize = 4;
const MET: usize = 0;
const OTHERS: usize = 1;

impl Shelf {
    fn put(&mut self, mark: Mark, entry: Entry) {
        if let Some(before) = self.entries.insert(mark, entry) {
            self.ends[before.order()].remove(&(before.until, mark));
        }
        self.ends[entry.order()].insert((entry.until, mark));
    }

    fn take_first(&mut self, order: usize) -> Option<Mark> {
        let (_, mark) = self.ends[order].pop_first()?;
        self.entries.remove(&mark);
        Some(mark)
    }

    /// Makes room where there are more than `entries_max`.
    fn take_surplus(&mut self, entries_max: usize) -> Option<Mark> {
        if self.entries.len() <= entries_max {
            return None;
        }
        let are_many = self.ends[MET].len() > entries_max / SHARE_OF_MET;
        self.take_first(if are_many { MET } else { OTHERS })
    }

    fn take_ended(&mut self, now: u64) -> Option<Mark> {
        let has_ended = |order: &usize| self.ends[*order].first().is_some_and(|(until, _)| *until <= now);
        let order = [MET, OTHERS].into_iter().find(has_ended)?;
        self.take_first(order)
    }
}

/// All tables.
#[derive(Debug)]
pub struct Ledger {
    shelves: [Shelf; Table::ALL.len()],
    entries_max: usize,
    evicted: u64,
}

impl Ledger {
    /// `entries_max`: of each table.
    pub fn new(entries_max: usize) -> Self {
        Self { shelves: Default::default(), entries_max: entries_max.max(1), evicted: 0 }
    }

    pub fn look(&self, now: u64, key: Key) -> Option<Entry> {
        self.shelves[key.table as usize].entries.get(&key.mark).copied().filter(|entry| entry.until > now)
    }

    /// What is known of each of `keys`.
    pub fn recall(&self, now: u64, keys: &[Key]) -> Recalled {
        Recalled(keys.iter().map(|key| (*key, self.look(now, *key))).collect())
    }

    /// Learns, and appends to `changed` what is not as it was before.
    pub fn learn(&mut self, now: u64, lesson: Lesson, changed: &mut Vec<Key>) {
        if lesson.until <= now {
            return;
        }
        let before = self.look(now, lesson.key);
        let Some(entry) = after(before, now, lesson) else { return };
        changed.push(lesson.key);
        self.put(lesson.key, entry, changed);
    }

    /// Takes an entry as it was once, and appends to `evicted` what has no room any more.
    pub fn put(&mut self, key: Key, entry: Entry, evicted: &mut Vec<Key>) {
        let shelf = &mut self.shelves[key.table as usize];
        shelf.put(key.mark, entry);
        while let Some(mark) = shelf.take_surplus(self.entries_max) {
            self.evicted += 1;
            evicted.push(Key { table: key.table, mark });
        }
    }

    /// Lets go of at most `count` entries that have ended.
    pub fn forget_ended(&mut self, now: u64, count: usize, changed: &mut Vec<Key>) {
        for table in Table::ALL {
            let shelf = &mut self.shelves[table as usize];
            let ended = std::iter::from_fn(|| shelf.take_ended(now)).take(count);
            changed.extend(ended.map(|mark| Key { table, mark }));
        }
    }

    /// The entry as it is, ended or not.
    pub fn raw(&self, key: Key) -> Option<Entry> {
        self.shelves[key.table as usize].entries.get(&key.mark).copied()
    }

    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let of = |table: Table| self.shelves[table as usize].entries.keys().map(move |mark| (table, *mark));
        Table::ALL.into_iter().flat_map(of).map(|(table, mark)| Key { table, mark })
    }

    pub fn len(&self, table: Table) -> usize {
        self.shelves[table as usize].entries.len()
    }

    /// Entries of all tables that there is room for.
    pub const fn capacity(&self) -> usize {
        self.entries_max.saturating_mul(Table::ALL.len())
    }

    /// Entries that had to go before their end, since the start.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }
}

/// The entry behind a lesson; None if it teaches nothing new.
fn after(before: Option<Entry>, now: u64, lesson: Lesson) -> Option<Entry> {
    // A clock that was ahead once is not believed for ever.
    let is_ahead = before.is_some_and(|entry| entry.since > now);
    let entry = before.unwrap_or(Entry { since: now, until: lesson.until, good: 0, bad: 0 });
    let entry = Entry { since: entry.since.min(now), ..entry };
    let until = entry.until.max(lesson.until);
    match lesson.about {
        About::Met if is_ahead => Some(entry),
        About::Met => before.is_none().then_some(entry),
        About::Good => Some(Entry { until, good: entry.good.saturating_add(1), ..entry }),
        About::Bad => Some(Entry { until, bad: entry.bad.saturating_add(1), ..entry }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::of(Table::Contact, &[name])
    }

    fn lesson(name: &str, about: About, until: u64) -> Lesson {
        Lesson { key: key(name), about, until }
    }

    #[track_caller]
    fn check(lessons: &[(u64, About, u64)], now: u64, want: Option<(u64, u64, u32, u32)>) {
        let mut ledger = Ledger::new(10);
        for (at, about, until) in lessons {
            ledger.learn(*at, lesson("a", *about, *until), &mut Vec::new());
        }
        let found = ledger.look(now, key("a"));
        assert_eq!(found.map(|it| (it.since, it.until, it.good, it.bad)), want, "{lessons:?} at {now}");
    }

    #[test]
    fn lessons_add_up() {
        check(&[], 0, None);
        check(&[(5, About::Met, 10)], 9, Some((5, 10, 0, 0)));
        check(&[(5, About::Met, 10)], 10, None);
        // Who is met again was met before.
        check(&[(5, About::Met, 10), (8, About::Met, 20)], 9, Some((5, 10, 0, 0)));
        check(&[(5, About::Met, 10), (11, About::Met, 20)], 12, Some((11, 20, 0, 0)));
        check(&[(5, About::Met, 10), (8, About::Good, 90)], 80, Some((5, 90, 1, 0)));
        check(&[(5, About::Good, 90), (8, About::Bad, 20)], 80, Some((5, 90, 1, 1)));
        check(&[(5, About::Good, 5)], 5, None);
    }

    #[test]
    fn where_it_is_full_what_ends_first_goes() {
        let mut ledger = Ledger::new(2);
        let mut changed = Vec::new();
        for (name, until) in [("a", 30), ("b", 10), ("c", 20)] {
            ledger.learn(0, lesson(name, About::Met, until), &mut changed);
        }
        assert_eq!(changed, [key("a"), key("b"), key("c"), key("b")]);
        assert!(ledger.look(0, key("b")).is_none() && ledger.look(0, key("a")).is_some());
        assert_eq!((ledger.len(Table::Contact), ledger.evicted()), (2, 1));
        changed.clear();
        ledger.forget_ended(20, 9, &mut changed);
        assert_eq!((changed, ledger.len(Table::Contact)), (vec![key("c")], 1));
    }

    /// However it is used, both orders of a table tell of the same entries.
    #[test]
    fn the_order_of_ends_is_that_of_entries() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut ledger = Ledger::new(20);
        for now in 0..5000 {
            let about = [About::Met, About::Good, About::Bad][random.usize(..3)];
            let name = random.u32(..60).to_string();
            ledger.learn(now, lesson(&name, about, now + random.u64(0..40)), &mut Vec::new());
            ledger.forget_ended(now, random.usize(..3), &mut Vec::new());
            let shelf = &ledger.shelves[Table::Contact as usize];
            assert!(shelf.entries.len() <= 20);
            for order in [MET, OTHERS] {
                let of_order = shelf.entries.iter().filter(|(_, entry)| entry.order() == order);
                let ends = of_order.map(|(mark, entry)| (entry.until, *mark)).collect();
                assert_eq!(shelf.ends[order], ends);
            }
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let of = |table, parts: &[&str]| Key::of(table, parts);
        assert_ne!(of(Table::Contact, &["ab", "c"]), of(Table::Contact, &["a", "bc"]));
        assert_ne!(of(Table::Contact, &["a"]), of(Table::Client, &["a"]));
        assert_eq!(of(Table::Client, &["a"]), of(Table::Client, &["a"]));
    }

    #[test]
    fn what_was_not_asked_for_is_not_known() {
        let recalled = Ledger::new(1).recall(0, &[key("a")]);
        assert_eq!((recalled.find(key("a")), recalled.find(key("b"))), (Some(None), None));
    }
}
