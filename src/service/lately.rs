//! What happened a moment ago, and counts for a while: of more than fit, some are looked at anew, that is all.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

#[expect(clippy::disallowed_types, reason = "of the service thread alone; a worker never sees it")]
type Table<K> = std::sync::Mutex<HashMap<K, Instant>>;

#[derive(Debug)]
pub(super) struct Lately<K> {
    /// Until when it counts.
    until: Table<K>,
    age: Duration,
    entries_max: usize,
}

impl<K: Eq + Hash> Lately<K> {
    pub(super) fn new(age: Duration, entries_max: usize) -> Self {
        Self { until: Table::default(), age, entries_max }
    }

    pub(super) fn has(&self, key: &K, now: Instant) -> bool {
        self.until.lock().is_ok_and(|until| until.get(key).is_some_and(|until| now < *until))
    }

    pub(super) fn note(&self, key: K, now: Instant) {
        let Ok(mut until) = self.until.lock() else { return };
        if until.len() >= self.entries_max {
            until.retain(|_, until| now < *until);
        }
        if until.len() < self.entries_max {
            until.insert(key, now + self.age);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.until.lock().unwrap().len()
    }
}
