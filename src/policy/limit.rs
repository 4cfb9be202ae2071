//! `[[limit]]`: for whom it holds, when it is asked, and under which key.
//!
//! What must always hold: a limit is asked when its key is known and what it counts comes, as [`step`] says and
//! nobody else; what is not known (`<>` has no domain, a stranger is no user) has no key and no limit.

use std::net::IpAddr;

use ipnet::IpNet;

use super::condition::Condition;
use super::facts::neighbours;
use super::settings::contains;
use crate::traffic::limit::{Amount, By, Count, Index, Limit};
use crate::traffic::limiter::Limiter;
use crate::traffic::table::{Key, Seed};

/// When limits are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// Somebody is connected, and it is known who.
    Open,
    Mail,
    Recipient,
}

impl Moment {
    pub const ALL: [Self; 3] = [Self::Open, Self::Mail, Self::Recipient];
}

/// What is done with a limit then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One is used up.
    Take,
    /// One is held until the connection or transaction is over.
    Hold,
    /// As much is used up as is said now, and the rest when it is known; who has used up all waits.
    Book,
    /// Nothing is used, but who has used up all is turned away.
    Look,
}

/// The table.
pub const fn step(limit: &Limit, moment: Moment) -> Option<Step> {
    let one = if matches!(limit.amount, Amount::Concurrent { .. }) { Step::Hold } else { Step::Take };
    match (limit.count, moment) {
        (Count::Connections, Moment::Open) | (Count::Messages, Moment::Mail) => Some(one),
        (Count::Recipients, Moment::Recipient) => Some(Step::Take),
        (Count::Bytes, Moment::Mail) => Some(Step::Book),
        (Count::Refusals, Moment::Open) if matches!(known(limit.by), Moment::Open) => Some(Step::Look),
        (Count::Refusals, Moment::Mail) => Some(Step::Look),
        _ => None,
    }
}

/// Since when a key is known.
pub const fn known(by: By) -> Moment {
    match by {
        By::ClientIp | By::ClientNet => Moment::Open,
        By::SenderDomain | By::SenderAddress | By::AuthUser => Moment::Mail,
        By::RecipientDomain => Moment::Recipient,
    }
}

/// When it is counted.
pub const fn counted(count: Count) -> Moment {
    match count {
        Count::Connections => Moment::Open,
        Count::Messages | Count::Bytes | Count::Refusals => Moment::Mail,
        Count::Recipients => Moment::Recipient,
    }
}

/// One limit, and for whom it holds.
#[derive(Clone, Debug)]
pub struct Settings {
    pub limit: Limit,
    pub when: Option<Condition>,
    /// Networks of clients for whom it does not.
    pub exempt: Vec<IpNet>,
}

/// All of them, in the order of the file.
#[derive(Clone, Debug)]
pub struct Limits {
    all: Vec<Settings>,
    /// Which are asked at each moment.
    asked: [Vec<(Index, Step)>; Moment::ALL.len()],
    /// Refusals count for some.
    counts_refusals: bool,
    /// Workers of this machine, which share all of them.
    pub workers: u64,
    /// Machines that share rates; what is held at a time each counts by itself.
    pub machines: u64,
    /// Under which all of those make keys.
    pub seed: Seed,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Limits {
    pub fn new(all: Vec<Settings>) -> Self {
        let asked = Moment::ALL.map(|moment| {
            let steps = (0..).zip(&all).filter_map(|(index, it)| Some((index, step(&it.limit, moment)?)));
            steps.collect()
        });
        let counts_refusals = all.iter().any(|it| it.limit.count == Count::Refusals);
        Self { all, asked, counts_refusals, workers: 1, machines: 1, seed: Seed::new(0) }
    }

    /// A worker's end of all of them.
    pub fn limiter(&self) -> Limiter {
        Limiter::of(self.shared(), self.seed)
    }

    /// Each with how many share it.
    pub fn shared(&self) -> impl Iterator<Item = (&Limit, u64)> {
        self.iter().map(|limit| (limit, self.workers.saturating_mul(self.machines_of(limit))))
    }

    /// How many machines share it.
    pub const fn machines_of(&self, limit: &Limit) -> u64 {
        if matches!(limit.amount, Amount::Rate { .. }) { self.machines } else { 1 }
    }

    /// By how much more or less than it says may pass: what its workers have, and, where machines share it, what
    /// those have.
    pub fn error(&self, limit: &Limit) -> u64 {
        let machines = self.machines_of(limit);
        let of_machines = if machines > 1 { limit.error(machines) } else { 0 };
        limit.error(self.workers.saturating_mul(machines)).saturating_add(of_machines)
    }

    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub const fn len(&self) -> usize {
        self.all.len()
    }

    pub const fn counts_refusals(&self) -> bool {
        self.counts_refusals
    }

    pub fn iter(&self) -> impl Iterator<Item = &Limit> {
        self.all.iter().map(|it| &it.limit)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|limit| limit.name.as_str())
    }

    pub fn find(&self, index: Index) -> Option<&Settings> {
        self.all.get(usize::from(index))
    }

    /// What is asked at `moment`.
    pub fn at(&self, moment: Moment) -> &[(Index, Step)] {
        &self.asked[moment as usize]
    }
}

impl Settings {
    /// Whether it does not hold for a client at this address.
    pub fn spares(&self, client: IpAddr) -> bool {
        contains(&self.exempt, client)
    }
}

/// Whom limits are about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub client: IpAddr,
    pub user: Option<&'a str>,
    /// The reverse path; nothing where there is none, and for `<>`.
    pub sender: &'a [u8],
    /// The domain of one recipient; nothing where none is meant.
    pub recipient: &'a [u8],
}

impl Subject<'_> {
    /// Under which key it is counted, if there is one.
    pub fn key(&self, by: By, seed: Seed) -> Option<Key> {
        match by {
            By::ClientIp => Some(match self.client.to_canonical() {
                IpAddr::V4(ip) => seed.key(&ip.octets()),
                IpAddr::V6(ip) => seed.key(&ip.octets()),
            }),
            By::ClientNet => Some(match self.client.to_canonical() {
                IpAddr::V4(ip) => seed.key(&ip.octets()[..3]),
                IpAddr::V6(ip) => seed.key(&ip.octets()[..8]),
            }),
            _ => self.text(by).map(|text| seed.key(text.as_bytes())),
        }
    }

    /// The same as an administrator wants to see it.
    pub fn shown(&self, by: By) -> String {
        match by {
            By::ClientIp => self.client.to_canonical().to_string(),
            By::ClientNet => neighbours(self.client).to_string(),
            _ => self.text(by).unwrap_or_default(),
        }
    }

    /// In lower case: who is counted must not be somebody else by another way to write it.
    fn text(&self, by: By) -> Option<String> {
        let text = match by {
            By::SenderAddress => self.sender,
            By::SenderDomain => {
                memchr::memrchr(b'@', self.sender).map_or(&b""[..], |at| &self.sender[at + 1..])
            }
            By::RecipientDomain => self.recipient,
            By::AuthUser => self.user.unwrap_or_default().as_bytes(),
            By::ClientIp | By::ClientNet => &[],
        };
        (!text.is_empty()).then(|| String::from_utf8_lossy(text).to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BYS: [By; 6] =
        [By::ClientIp, By::ClientNet, By::SenderDomain, By::SenderAddress, By::RecipientDomain, By::AuthUser];

    fn subject<'a>(client: &str, user: Option<&'a str>, sender: &'a str, recipient: &'a str) -> Subject<'a> {
        let client = client.parse().unwrap();
        Subject { client, user, sender: sender.as_bytes(), recipient: recipient.as_bytes() }
    }

    #[track_caller]
    fn check(subject: Subject<'_>, want: [&str; 6]) {
        assert_eq!(BYS.map(|by| subject.shown(by)), want);
        for (by, want) in BYS.into_iter().zip(want) {
            assert_eq!(subject.key(by, Seed::new(1)).is_some(), !want.is_empty(), "{by:?}");
        }
    }

    #[test]
    fn keys_are_shown_as_they_are_meant() {
        check(
            subject("192.0.2.77", Some("Anna"), "A@Example.ORG", "Example.net"),
            ["192.0.2.77", "192.0.2.0/24", "example.org", "a@example.org", "example.net", "anna"],
        );
        check(subject("::ffff:192.0.2.77", None, "", ""), ["192.0.2.77", "192.0.2.0/24", "", "", "", ""]);
        check(
            subject("2001:db8:1:2:3::4", Some(""), "postmaster", ""),
            ["2001:db8:1:2:3::4", "2001:db8:1:2::/64", "", "postmaster", "", ""],
        );
    }

    #[test]
    fn neighbours_and_ways_to_write_have_one_key() {
        let seed = Seed::new(1);
        let key = |by, client: &str, sender: &str| subject(client, None, sender, "").key(by, seed);
        for (by, one, other) in [
            (By::ClientNet, ("192.0.2.1", ""), ("192.0.2.200", "")),
            (By::ClientNet, ("2001:db8::1", ""), ("2001:db8::ffff:1", "")),
            (By::ClientIp, ("192.0.2.1", ""), ("::ffff:192.0.2.1", "")),
            (By::SenderDomain, ("::1", "a@Example.org"), ("::2", "b@example.ORG")),
            (By::SenderAddress, ("::1", "A@example.org"), ("::2", "a@example.org")),
        ] {
            assert_eq!(key(by, one.0, one.1), key(by, other.0, other.1), "{by:?}");
        }
        assert_ne!(key(By::ClientNet, "192.0.2.1", ""), key(By::ClientNet, "192.0.3.1", ""));
        assert_ne!(key(By::SenderDomain, "::1", "a@b"), key(By::SenderDomain, "::1", "a@c"));
    }

    /// Each limit is asked when what it counts comes, and at no moment before its key is known.
    #[test]
    fn each_limit_is_asked_when_its_key_is_known() {
        let per = Duration::from_secs(60);
        let amounts = [Amount::Rate { tokens: 1, per, burst: 1 }, Amount::Concurrent { max: 1 }];
        for count in [Count::Connections, Count::Messages, Count::Recipients, Count::Bytes, Count::Refusals] {
            for (by, amount) in BYS.into_iter().flat_map(|by| amounts.map(|amount| (by, amount))) {
                let limit = Limit { name: "a".to_owned(), by, count, amount, entries: 1, alerts: false };
                assert!(step(&limit, counted(count)).is_some());
                if known(by) > counted(count) {
                    continue; // A fault of the file.
                }
                for moment in Moment::ALL {
                    assert!(step(&limit, moment).is_none() || known(by) <= moment, "{limit:?} at {moment:?}");
                }
            }
        }
    }
}
