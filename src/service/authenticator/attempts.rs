//! Wrong passwords of late, for each network: bounded in number and in time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::policy::facts::neighbours;

/// Wrong passwords after which a network waits until they are forgotten.
const WRONG_MAX: u32 = 20;
/// Looked at of a network at a time, however many were wrong: one behind the other would be slow for many users.
const AT_ONCE_MIN: u32 = 4;
/// How long the last wrong one is remembered, and all before it.
pub(super) const MEMORY: Duration = Duration::from_secs(15 * 60);
/// How often some are forgiven: whoever has an account could guess for ever.
const FORGIVENESS: Duration = Duration::from_secs(60);
/// Networks remembered. Whoever has more of them than this has others forgotten, no more.
const NETWORKS_MAX: usize = 65_536;

#[expect(clippy::disallowed_types, reason = "of the service thread alone; a worker never sees it")]
type Table = std::sync::Mutex<HashMap<IpAddr, Wrong>>;

#[derive(Clone, Copy, Debug)]
struct Wrong {
    count: u32,
    until: Instant,
    /// Before that nothing more is forgiven.
    unforgiven: Instant,
}

/// How many are being looked at.
#[expect(clippy::disallowed_types, reason = "of the service thread alone; a worker never sees it")]
type UnderWay = std::sync::Mutex<HashMap<IpAddr, u32>>;

#[derive(Debug, Default)]
pub(super) struct Attempts {
    table: Table,
    under_way: UnderWay,
}

/// One that is being looked at, until it is dropped.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    all: &'a Attempts,
    network: IpAddr,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let Ok(mut under_way) = self.all.under_way.lock() else { return };
        if let Some(count) = under_way.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.network);
            }
        }
    }
}

impl Attempts {
    pub(super) fn are_too_many(&self, client: IpAddr, now: Instant) -> bool {
        self.wrong(client, now) >= WRONG_MAX
    }

    fn wrong(&self, client: IpAddr, now: Instant) -> u32 {
        let table = self.table.lock().ok();
        let wrong = table.and_then(|table| table.get(&network(client)).copied());
        wrong.filter(|wrong| now < wrong.until).map_or(0, |wrong| wrong.count)
    }

    /// Each that is being looked at may be wrong: whoever guesses many at once has no more of them.
    pub(super) fn begin(&self, client: IpAddr, now: Instant) -> Option<Attempt<'_>> {
        let left = WRONG_MAX.saturating_sub(self.wrong(client, now)).max(AT_ONCE_MIN);
        let network = network(client);
        let mut under_way = self.under_way.lock().ok()?;
        if under_way.get(&network).copied().unwrap_or_default() >= left {
            return None;
        }
        *under_way.entry(network).or_default() += 1;
        Some(Attempt { all: self, network })
    }

    /// Half is forgiven, now and then: a network has many users, and one who guesses may have an account as well.
    pub(super) fn note_right(&self, client: IpAddr, now: Instant) {
        if let Ok(mut table) = self.table.lock()
            && let Some(wrong) = table.get_mut(&network(client))
            && now >= wrong.unforgiven
        {
            wrong.count /= 2;
            wrong.unforgiven = now + FORGIVENESS;
        }
    }

    /// Gives how late the answer should be.
    pub(super) fn note_wrong(&self, client: IpAddr, now: Instant) -> Duration {
        let Ok(mut table) = self.table.lock() else { return super::delay(WRONG_MAX) };
        if table.len() >= NETWORKS_MAX {
            make_room(&mut table, now);
        }
        let wrong = table.entry(network(client)).or_insert(Wrong { count: 0, until: now, unforgiven: now });
        let before = if now < wrong.until { wrong.count } else { 0 };
        (wrong.count, wrong.until) = (before.saturating_add(1), now + MEMORY);
        super::delay(wrong.count)
    }
}

fn make_room(table: &mut HashMap<IpAddr, Wrong>, now: Instant) {
    table.retain(|_, wrong| now < wrong.until);
    if table.len() >= NETWORKS_MAX {
        let first = table.keys().next().copied();
        first.map(|network| table.remove(&network));
    }
}

/// Neighbours guess together.
fn network(client: IpAddr) -> IpAddr {
    neighbours(client).network()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn however_many_networks_there_are_the_table_has_a_bound() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for low in 0..u32::try_from(NETWORKS_MAX).unwrap() + 100 {
            attempts.note_wrong(Ipv4Addr::from_bits(low << 8).into(), now);
        }
        assert_eq!(attempts.table.lock().unwrap().len(), NETWORKS_MAX);
    }

    #[test]
    fn what_is_under_way_may_be_wrong() {
        let attempts = Attempts::default();
        let (client, now) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        let begun = || std::iter::from_fn(|| attempts.begin(client, now)).collect::<Vec<_>>().len();
        for wrong in 0..WRONG_MAX {
            assert_eq!(begun(), (WRONG_MAX - wrong).max(AT_ONCE_MIN) as usize);
            attempts.note_wrong(client, now);
        }
        assert!(attempts.under_way.lock().unwrap().is_empty());
    }

    #[test]
    fn a_right_one_forgives_half() {
        let attempts = Attempts::default();
        let (client, now) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        for _ in 0..WRONG_MAX {
            attempts.note_wrong(client, now);
        }
        assert!(attempts.are_too_many(client, now));
        assert!(!attempts.are_too_many(client, now + MEMORY));
        attempts.note_right(client, now);
        assert!(!attempts.are_too_many(client, now));
    }

    #[test]
    fn who_has_an_account_cannot_guess_for_ever() {
        let attempts = Attempts::default();
        let (client, mut now) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        let mut guesses = 0;
        while !attempts.are_too_many(client, now) && guesses < 100 {
            attempts.note_wrong(client, now);
            attempts.note_right(client, now);
            guesses += 1;
        }
        assert!(guesses < 2 * WRONG_MAX, "{guesses}");
        // Nor does it help to wait a moment.
        for _ in 0..20 {
            now += FORGIVENESS;
            attempts.note_right(client, now);
            while !attempts.are_too_many(client, now) {
                attempts.note_wrong(client, now);
                attempts.note_right(client, now);
                guesses += 1;
            }
        }
        assert!(guesses < 20 * WRONG_MAX, "{guesses}");
    }
}
