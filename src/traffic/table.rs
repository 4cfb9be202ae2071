//! What is remembered of many who come, in a memory that is fixed at start: a table that cannot be flooded.
//!
//! A key may be in one small set of places only (eight of them), which its hash names. When the set is full the
//! least worthy entry goes, as the entries themselves say: who did nothing is worth nothing. So those who come
//! once, from as many addresses as they like, push out each other, and an offender stays.
//!
//! What must always hold: after [`Table::new`] nothing is allocated, and no call looks at more than one set. Keys
//! are hashes under a secret ([`Seed`]): nobody can choose addresses that all fall into the set of somebody else.

use std::hash::{DefaultHasher, Hasher};

use crate::base::time::Instant;

/// Places of one set.
pub const WAYS: usize = 8;

/// A secret under which keys are made; one for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed([u64; 2]);

impl Seed {
    #[expect(clippy::cast_possible_truncation, reason = "the halves are taken apart")]
    pub const fn new(secret: u128) -> Self {
        Self([secret as u64, (secret >> 64) as u64])
    }

    /// The key of what `text` names.
    ///
    /// `SipHash` with the secret in front: what it gives tells nothing of what it gives for another text.
    pub fn key(self, text: &[u8]) -> Key {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0[0]);
        hasher.write_u64(self.0[1]);
        hasher.write(text);
        Key::from_bits(hasher.finish())
    }
}

/// Who is meant, as far as a table knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u64);

impl Key {
    /// A place with nobody in it.
    const NOBODY: Self = Self(0);

    /// Of a hash that is as good as random.
    pub const fn from_bits(bits: u64) -> Self {
        Self(if bits == 0 { 1 } else { bits })
    }

    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

/// Something that is remembered of one key.
pub trait Entry: Copy + Default {
    /// What would be lost with it. Zero: it says no more than one that was never there.
    fn worth(&self, now: Instant) -> u64;
}

/// The keys of one set: one line of the processor's cache, so that a look costs one.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Keys([Key; WAYS]);

/// The table.
#[derive(Debug)]
pub struct Table<E> {
    keys: Box<[Keys]>,
    entries: Box<[[E; WAYS]]>,
    len: usize,
    /// Entries that went though they were worth something.
    evicted: u64,
    /// The set that [`sweep`](Self::sweep) looks at next.
    hand: usize,
}

/// A place that was found or made.
#[derive(Debug)]
pub struct Entered<'a, E> {
    pub entry: &'a mut E,
    /// Who had to go, though worth something.
    pub evicted: Option<(Key, E)>,
}

impl<E: Entry> Table<E> {
    /// A table with room for `capacity` entries, and for no more than fill up the last set.
    pub fn new(capacity: usize) -> Self {
        let sets = sets(capacity);
        Self {
            keys: vec![Keys([Key::NOBODY; WAYS]); sets].into_boxed_slice(),
            entries: vec![[E::default(); WAYS]; sets].into_boxed_slice(),
            len: 0,
            evicted: 0,
            hand: 0,
        }
    }

    /// What such a table takes.
    pub const fn bytes(capacity: usize) -> usize {
        sets(capacity) * (size_of::<Keys>() + WAYS * size_of::<E>())
    }

    pub fn at(&self, key: Key) -> Option<&E> {
        let set = self.set(key);
        let way = way(&self.keys[set], key)?;
        Some(&self.entries[set][way])
    }

    pub fn at_mut(&mut self, key: Key) -> Option<&mut E> {
        let set = self.set(key);
        let way = way(&self.keys[set], key)?;
        Some(&mut self.entries[set][way])
    }

    /// The entry of `key`; if there is none yet, a default one in the place of the least worthy of its set.
    pub fn enter(&mut self, now: Instant, key: Key) -> Entered<'_, E> {
        let set = self.set(key);
        if let Some(way) = way(&self.keys[set], key) {
            return Entered { entry: &mut self.entries[set][way], evicted: None };
        }
        let (way, worth) = self.least(now, set);
        let went = std::mem::replace(&mut self.keys[set].0[way], key);
        self.len += usize::from(went == Key::NOBODY);
        let entry = &mut self.entries[set][way];
        let before = std::mem::take(entry);
        let evicted = (worth > 0).then_some((went, before));
        self.evicted += u64::from(evicted.is_some());
        Entered { entry, evicted }
    }

    pub fn remove(&mut self, key: Key) -> Option<E> {
        let set = self.set(key);
        let way = way(&self.keys[set], key)?;
        self.vacate(set, way);
        Some(std::mem::take(&mut self.entries[set][way]))
    }

    /// Shows all entries of the next `sets` sets to `keeps`, and lets go of those it does not keep: in
    /// [`sets`](Self::sets) of them the whole table was seen.
    pub fn sweep(&mut self, sets: usize, mut keeps: impl FnMut(Key, &mut E) -> bool) {
        for _ in 0..sets.min(self.sets()) {
            let set = self.hand;
            self.hand = (set + 1) % self.sets();
            for way in 0..WAYS {
                let key = self.keys[set].0[way];
                if key != Key::NOBODY && !keeps(key, &mut self.entries[set][way]) {
                    self.vacate(set, way);
                    self.entries[set][way] = E::default();
                }
            }
        }
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub const fn capacity(&self) -> usize {
        self.keys.len() * WAYS
    }

    pub const fn sets(&self) -> usize {
        self.keys.len()
    }

    /// How many went though they were worth something, since the beginning.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The high bits choose: they name as many sets as there are, whatever that number is.
    #[expect(clippy::cast_possible_truncation, reason = "less than the number of sets")]
    const fn set(&self, key: Key) -> usize {
        ((key.0 as u128 * self.keys.len() as u128) >> 64) as usize
    }

    /// The place of `set` that is free, or whose entry is least worthy, and what that is worth.
    fn least(&self, now: Instant, set: usize) -> (usize, u64) {
        if let Some(free) = way(&self.keys[set], Key::NOBODY) {
            return (free, 0);
        }
        let worth = self.entries[set].iter().map(|entry| entry.worth(now));
        worth.enumerate().min_by_key(|(_, worth)| *worth).unwrap_or_default()
    }

    fn vacate(&mut self, set: usize, way: usize) {
        self.keys[set].0[way] = Key::NOBODY;
        self.len -= 1;
    }
}

const fn sets(capacity: usize) -> usize {
    let sets = capacity.div_ceil(WAYS);
    if sets == 0 { 1 } else { sets }
}

fn way(keys: &Keys, key: Key) -> Option<usize> {
    keys.0.iter().position(|known| *known == key)
}

#[cfg(test)]
mod tests {
    use super::{Entry, Key, Seed, Table, WAYS};
    use crate::base::time::Instant;

    const NOW: Instant = Instant::from_nanos(1);

    /// How often somebody came: the first time is nothing to remember.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Visits(u64);

    impl Entry for Visits {
        fn worth(&self, _: Instant) -> u64 {
            self.0.saturating_sub(1)
        }
    }

    fn visit(table: &mut Table<Visits>, key: Key) -> Option<(Key, Visits)> {
        let entered = table.enter(NOW, key);
        entered.entry.0 += 1;
        entered.evicted
    }

    fn visits(table: &Table<Visits>, key: Key) -> Option<u64> {
        table.at(key).map(|visits| visits.0)
    }

    #[test]
    fn what_was_entered_is_found_until_it_is_removed() {
        let mut table = Table::new(100);
        let [a, b] = [b"a", b"b"].map(|text| Seed::new(5).key(text));
        assert_eq!((visit(&mut table, a), visit(&mut table, a), visit(&mut table, b)), (None, None, None));
        assert_eq!((visits(&table, a), visits(&table, b), table.len()), (Some(2), Some(1), 2));
        assert_eq!((table.remove(a), table.remove(a)), (Some(Visits(2)), None));
        assert_eq!((visits(&table, a), visits(&table, b), table.len()), (None, Some(1), 1));
    }

    #[test]
    fn the_least_worthy_goes_and_who_was_worth_something_is_told() {
        // One set: the ways are filled with 1, 2, … visits.
        let mut table = Table::new(WAYS);
        let keys: Vec<_> = (1..=WAYS as u64).map(Key::from_bits).collect();
        for (n, key) in keys.iter().enumerate() {
            (0..=n).for_each(|_| assert_eq!(visit(&mut table, *key), None));
        }
        // The first says nothing, and whoever comes in its place as little.
        for stranger in 100..200 {
            assert_eq!(visit(&mut table, Key::from_bits(stranger)), None);
        }
        assert_eq!((table.evicted(), table.len()), (0, WAYS));
        visit(&mut table, Key::from_bits(199));
        visit(&mut table, Key::from_bits(199));
        assert_eq!(visit(&mut table, Key::from_bits(200)), Some((keys[1], Visits(2))));
        assert_eq!(table.evicted(), 1);
        assert!(keys[2..].iter().all(|key| table.at(*key).is_some()));
    }

    #[test]
    fn an_offender_stays_while_a_million_strangers_come() {
        let mut table = Table::new(1000);
        let capacity = table.capacity();
        let mut random = fastrand::Rng::with_seed(1);
        let offenders: Vec<_> = (0..50).map(|_| Key::from_bits(random.u64(..))).collect();
        for key in offenders.iter().cycle().take(3 * offenders.len()) {
            visit(&mut table, *key);
        }
        for _ in 0..1_000_000 {
            visit(&mut table, Key::from_bits(random.u64(..)));
        }
        assert!(offenders.iter().all(|key| visits(&table, *key) == Some(3)));
        assert_eq!((table.len(), table.capacity()), (capacity, capacity));
    }

    #[test]
    fn a_sweep_sees_all_and_lets_go() {
        let mut table = Table::new(4000);
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..1000 {
            visit(&mut table, Key::from_bits(random.u64(..)));
        }
        let (all, mut seen) = (table.len(), 0);
        for _ in 0..table.sets().div_ceil(7) {
            table.sweep(7, |key, _| {
                seen += 1;
                key.to_bits() % 2 == 0
            });
        }
        assert!(seen >= all);
        let mut left = 0;
        table.sweep(usize::MAX, |key, visits| {
            assert_eq!((key.to_bits() % 2, visits.0), (0, 1));
            left += 1;
            true
        });
        assert_eq!(left, table.len());
        assert!(left < all);
    }

    /// Against lists: random keys, few enough to meet again, in sets of any number.
    #[test]
    fn it_does_what_plain_lists_do() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut table = Table::new(random.usize(1..40));
            let mut lists = vec![Vec::<(Key, Visits)>::new(); table.sets()];
            let keys: Vec<_> = (0..60).map(|_| Key::from_bits(random.u64(..))).collect();
            for _ in 0..500 {
                let key = keys[random.usize(..keys.len())];
                let list = &mut lists[table.set(key)];
                if random.u8(..8) == 0 {
                    let place = list.iter().position(|(known, _)| *known == key);
                    assert_eq!(table.remove(key), place.map(|place| list.remove(place).1));
                    continue;
                }
                let went = visit(&mut table, key);
                assert_eq!(went, visit_list(list, key, &table));
                assert!(list.iter().all(|(key, entry)| table.at(*key) == Some(entry)));
            }
            assert_eq!(table.len(), lists.iter().map(Vec::len).sum::<usize>());
        }
    }

    /// Of several that are worth the same any may go: the list lets go of the one that the table let go of.
    fn visit_list(list: &mut Vec<(Key, Visits)>, key: Key, table: &Table<Visits>) -> Option<(Key, Visits)> {
        if let Some((_, visits)) = list.iter_mut().find(|(known, _)| *known == key) {
            visits.0 += 1;
            return None;
        }
        let mut went = None;
        if list.len() == WAYS {
            let least = list.iter().map(|(_, entry)| entry.worth(NOW)).min();
            let gone =
                |entry: &(Key, Visits)| table.at(entry.0).is_none() && Some(entry.1.worth(NOW)) == least;
            went = list.iter().position(gone).map(|place| list.remove(place));
        }
        list.push((key, Visits(1)));
        went.filter(|(_, entry)| entry.worth(NOW) > 0)
    }

    #[test]
    fn keys_depend_on_the_secret() {
        let [a, b] = [Seed::new(1), Seed::new(1 << 64)].map(|seed| seed.key(b"192.0.2.0/24"));
        assert_ne!(a, b);
        assert_eq!(a, Seed::new(1).key(b"192.0.2.0/24"));
        assert_ne!(Key::from_bits(0), Key::NOBODY);
    }

    #[test]
    fn a_million_entries_of_thirty_two_octets_take_forty_megabytes() {
        #[derive(Clone, Copy, Debug, Default)]
        struct Plain([u64; 4]);
        impl Entry for Plain {
            fn worth(&self, _: Instant) -> u64 {
                self.0[0]
            }
        }
        assert_eq!(Table::<Plain>::bytes(1_000_000), 40_000_000);
        assert_eq!(Table::<Plain>::bytes(0), Table::<Plain>::bytes(WAYS));
    }
}
