//! What the quarantine holds, in memory: which entries, how much they count for, and what is
//! reserved for messages on their way.
//!
//! Pure: no file, no clock. Invariants: what is used and reserved together never grows beyond the
//! bound; an entry leaves by its age or by order, never to make room.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ulid::Ulid;

use crate::limits::QUARANTINE_ENTRIES_MAX;

/// The bounds an administrator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all entries, in whole blocks of the disk.
    pub bytes_max: u64,
    /// Older entries go.
    pub age_max: Duration,
}

#[derive(Debug)]
pub(super) struct Index {
    bounds: Bounds,
    entries: BTreeMap<Ulid, u64>,
    used: u64,
    reserved: u64,
    /// Being sent or deleted: not to be touched by others.
    claimed: BTreeSet<Ulid>,
}

/// Why an entry cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unclaimed {
    None,
    /// Somebody else is at it.
    Busy,
}

impl Index {
    pub(super) fn new(bounds: Bounds, entries: BTreeMap<Ulid, u64>) -> Self {
        let used = entries.values().sum();
        Self { bounds, entries, used, reserved: 0, claimed: BTreeSet::new() }
    }

    /// Whether `bytes` more would fit.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let wanted = self.used.saturating_add(self.reserved).saturating_add(bytes);
        wanted <= self.bounds.bytes_max && self.entries.len() < QUARANTINE_ENTRIES_MAX
    }

    /// Sets `bytes` aside for a message on its way.
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        let fits = self.has_room(bytes);
        if fits {
            self.reserved += bytes;
        }
        fits
    }

    /// Gives back what was set aside.
    pub(super) const fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// A whole entry of `bytes` is there.
    pub(super) fn insert(&mut self, id: Ulid, bytes: u64) {
        let before = self.entries.insert(id, bytes).unwrap_or(0);
        self.used = self.used.saturating_sub(before).saturating_add(bytes);
    }

    pub(super) fn remove(&mut self, id: Ulid) {
        self.used = self.used.saturating_sub(self.entries.remove(&id).unwrap_or(0));
    }

    pub(super) fn claim(&mut self, id: Ulid) -> Result<(), Unclaimed> {
        if !self.entries.contains_key(&id) {
            return Err(Unclaimed::None);
        }
        if self.claimed.insert(id) { Ok(()) } else { Err(Unclaimed::Busy) }
    }

    pub(super) fn unclaim(&mut self, id: Ulid) {
        self.claimed.remove(&id);
    }

    /// Entries older than they may be at `now_ms`, oldest first, at most `max` of them.
    pub(super) fn expired(&self, now_ms: u64, max: usize) -> Vec<Ulid> {
        let age_ms = u64::try_from(self.bounds.age_max.as_millis()).unwrap_or(u64::MAX);
        let Some(last) = now_ms.checked_sub(age_ms) else { return Vec::new() };
        let old = self.entries.keys().take_while(|id| id.timestamp_ms() < last);
        old.filter(|id| !self.claimed.contains(id)).take(max).copied().collect()
    }

    /// The entries behind `after`, oldest first, at most `max` of them.
    pub(super) fn page(&self, after: Option<Ulid>, max: usize) -> Vec<Ulid> {
        let behind = |id: &&Ulid| after.is_none_or(|after| **id > after);
        match after {
            Some(after) => {
                self.entries.range(after..).map(|(id, _)| id).filter(behind).take(max).copied().collect()
            }
            None => self.entries.keys().take(max).copied().collect(),
        }
    }

    pub(super) fn contains(&self, id: Ulid) -> bool {
        self.entries.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    pub(super) const fn reserved(&self) -> u64 {
        self.reserved
    }

    pub(super) const fn bytes_max(&self) -> u64 {
        self.bounds.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes_max: 100, age_max: Duration::from_millis(1000) };

    fn id(ms: u64) -> Ulid {
        Ulid::from_parts(ms, 0)
    }

    fn index(entries: &[(u64, u64)]) -> Index {
        Index::new(BOUNDS, entries.iter().map(|(ms, bytes)| (id(*ms), *bytes)).collect())
    }

    #[test]
    fn what_is_used_and_reserved_stays_within_the_bound() {
        let mut index = index(&[(1, 40)]);
        assert!(index.reserve(60) && !index.reserve(1));
        index.release(60);
        index.insert(id(2), 50);
        assert_eq!((index.used(), index.reserved(), index.len()), (90, 0, 2));
        assert!(!index.has_room(11) && index.has_room(10) && !index.has_room(u64::MAX));
        index.remove(id(1));
        index.remove(id(1));
        assert_eq!((index.used(), index.len()), (50, 1));
        index.insert(id(2), 20);
        assert_eq!((index.used(), index.len()), (20, 1));
    }

    #[test]
    fn only_age_expires_and_the_oldest_first() {
        let index = index(&[(500, 1), (1500, 1), (2000, 1), (2001, 1)]);
        assert_eq!(index.expired(900, 9), []);
        assert_eq!(index.expired(1500, 9), []);
        assert_eq!(index.expired(1501, 9), [id(500)]);
        assert_eq!(index.expired(3001, 9), [id(500), id(1500), id(2000)]);
        assert_eq!(index.expired(3001, 2), [id(500), id(1500)]);
    }

    #[test]
    fn what_is_claimed_is_left_alone() {
        let mut index = index(&[(1, 1), (2, 1)]);
        assert_eq!(index.claim(id(3)), Err(Unclaimed::None));
        assert_eq!(index.claim(id(1)), Ok(()));
        assert_eq!(index.claim(id(1)), Err(Unclaimed::Busy));
        assert_eq!(index.expired(9000, 9), [id(2)]);
        index.unclaim(id(1));
        assert_eq!(index.expired(9000, 9), [id(1), id(2)]);
    }

    #[test]
    fn pages_follow_each_other() {
        let index = index(&[(1, 1), (2, 1), (3, 1)]);
        assert_eq!(index.page(None, 2), [id(1), id(2)]);
        assert_eq!(index.page(Some(id(2)), 2), [id(3)]);
        assert_eq!(index.page(Some(id(3)), 2), []);
    }
}
