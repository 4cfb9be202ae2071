//! Who has behaved how, by address and by network, and how many of each are here now.
//!
//! An address is an IPv4 address or an IPv6 /64, which is what one host has; its network is the /24 or the /48.
//! One offender must not ruin its neighbours, for behind one address of a network may be a company and behind
//! the next one a thief; but who owns a network has as many addresses as it likes, and does with each of them as
//! much as one may. So an address has its own word first. Who is unknown is suspect where many neighbours have
//! offended ([`NEIGHBOURS_SUSPECT`] of them, each at least in part): that counts addresses, not offences, so that
//! one of them, however bad, is one. Nobody is bad for what others did.
//!
//! Flooding costs the flooder: an address has a place only by a deed, and a set of eight that is full lets go of
//! who did least ([`Past`] says what that is).
//!
//! What must always hold: all of it is in tables of a size fixed at start, but for the counts of who is here now,
//! which are as many as there are connections; whoever does nothing is not remembered, so that a flood of addresses
//! that only connect touches no table at all.

use std::collections::HashMap;
use std::net::IpAddr;

use super::conduct::{Conduct, Deed, Degree, HALF_LIFE, Past, Thresholds};
use super::table::{Entry, Key, Seed, Table};
use crate::base::time::Instant;
use crate::limits::CONDUCT_ENTRY_BYTES;

/// Neighbours that have offended, from which on those are suspect of whom nothing is known.
pub const NEIGHBOURS_SUSPECT: u32 = 8;
/// Addresses are remembered for each network.
const ADDRESSES_PER_NETWORK: usize = 4;
/// Neighbours are remembered for one to two of these.
const GENERATION_NANOS: u64 = HALF_LIFE.as_secs() * 1_000_000_000;

/// An address and its network, as tables know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    address: Key,
    network: Key,
}

impl Place {
    fn of(seed: Seed, client: IpAddr) -> Self {
        let key = |kind: u8, octets: &[u8]| {
            let mut text = [0; 9];
            text[0] = kind;
            text[1..=octets.len()].copy_from_slice(octets);
            seed.key(&text[..=octets.len()])
        };
        match client.to_canonical() {
            IpAddr::V4(ip) => {
                let octets = ip.octets();
                Self { address: key(4, &octets), network: key(4, &octets[..3]) }
            }
            IpAddr::V6(ip) => {
                let octets = ip.octets();
                Self { address: key(6, &octets[..8]), network: key(6, &octets[..6]) }
            }
        }
    }

    /// Which of its network's neighbours it is; nobody can choose to be the same as another.
    const fn neighbour(self) -> u64 {
        1 << (self.address.to_bits() % 64)
    }
}

/// Which addresses of a network have offended, each as one of 64: in this generation, and in the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Neighbours {
    now: u64,
    before: u64,
    generation: u64,
}

impl Neighbours {
    /// The same in the generation of `now`.
    const fn at(self, now: Instant) -> Self {
        let generation = now.as_nanos() / GENERATION_NANOS;
        match generation.saturating_sub(self.generation) {
            0 => self,
            1 => Self { now: 0, before: self.now, generation },
            _ => Self { now: 0, before: 0, generation },
        }
    }

    const fn count(self, now: Instant) -> u32 {
        let Self { now, before, .. } = self.at(now);
        (now | before).count_ones()
    }
}

impl Entry for Neighbours {
    fn worth(&self, now: Instant) -> u64 {
        self.count(now).into()
    }
}

const _: () = assert!(
    CONDUCT_ENTRY_BYTES
        == 8 + size_of::<Past>() + (8 + size_of::<Neighbours>()).div_ceil(ADDRESSES_PER_NETWORK)
);

/// How many may be here at a time; 0: as many as like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub address: u32,
    pub network: u32,
}

/// Who is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    Address,
    Network,
}

/// A connection that is counted, until it is given back by [`Register::leave`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Seat(Place);

/// What one worker remembers.
#[derive(Debug)]
pub struct Register {
    seed: Seed,
    thresholds: Thresholds,
    addresses: Table<Past>,
    networks: Table<Neighbours>,
    here: HashMap<Key, u32>,
}

impl Register {
    /// For so many addresses, and a quarter as many networks.
    pub fn new(entries: usize, thresholds: Thresholds, seed: Seed) -> Self {
        Self {
            seed,
            thresholds,
            addresses: Table::new(entries),
            networks: Table::new(entries.div_ceil(ADDRESSES_PER_NETWORK)),
            here: HashMap::new(),
        }
    }

    /// A client at that address has done this so many times.
    pub fn note(&mut self, now: Instant, client: IpAddr, deed: Deed, times: u16) {
        let place = Place::of(self.seed, client);
        let past = self.addresses.enter(now, place.address).entry;
        past.note(now, deed, times);
        if deed.is_offence() && past.degree(now, &self.thresholds) >= Degree::Part {
            let neighbours = self.networks.enter(now, place.network).entry;
            *neighbours = neighbours.at(now);
            neighbours.now |= place.neighbour();
        }
    }

    /// What is to be expected of a client at that address.
    pub fn conduct(&self, now: Instant, client: IpAddr) -> Conduct {
        let place = Place::of(self.seed, client);
        match self.own(now, place) {
            Conduct::Unknown if self.neighbours(now, place) >= NEIGHBOURS_SUSPECT => Conduct::Suspect,
            own => own,
        }
    }

    /// By what that address did itself.
    fn own(&self, now: Instant, place: Place) -> Conduct {
        self.addresses.at(place.address).map(|past| past.conduct(now, &self.thresholds)).unwrap_or_default()
    }

    /// How many others of its network have offended.
    fn neighbours(&self, now: Instant, place: Place) -> u32 {
        self.networks.at(place.network).map_or(0, |neighbours| neighbours.count(now))
    }

    /// Counts one more connection from there. Who is good is not bound by its neighbours: large senders have whole
    /// networks.
    ///
    /// # Errors
    /// When there are too many already.
    pub fn enter(&mut self, now: Instant, client: IpAddr, capacity: Capacity) -> Result<Seat, Full> {
        let place = Place::of(self.seed, client);
        let is_full = |key, max| max > 0 && self.here.get(&key).is_some_and(|here| *here >= max);
        if is_full(place.address, capacity.address) {
            return Err(Full::Address);
        }
        if is_full(place.network, capacity.network) && self.own(now, place) != Conduct::Good {
            return Err(Full::Network);
        }
        for key in [place.address, place.network] {
            *self.here.entry(key).or_default() += 1;
        }
        Ok(Seat(place))
    }

    /// Counts one less.
    pub fn leave(&mut self, Seat(place): Seat) {
        for key in [place.address, place.network] {
            let Some(here) = self.here.get_mut(&key) else { continue };
            *here -= 1;
            if *here == 0 {
                self.here.remove(&key);
            }
        }
    }

    /// Addresses that are remembered.
    pub const fn len(&self) -> usize {
        self.addresses.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Addresses that were forgotten though there was something to remember.
    pub const fn evicted(&self) -> u64 {
        self.addresses.evicted()
    }

    /// Connections that are counted.
    pub fn here(&self) -> usize {
        // Each by its address and by its network.
        self.here.values().map(|here| *here as usize).sum::<usize>() / 2
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const START: Instant = Instant::from_nanos(1_000 * GENERATION_NANOS);
    const FREE: Capacity = Capacity { address: 0, network: 0 };

    fn register(entries: usize) -> Register {
        Register::new(entries, Thresholds::default(), Seed::new(7))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn offend(register: &mut Register, client: IpAddr, count: u16) {
        register.note(START, client, Deed::UnknownRecipient, count);
    }

    #[test]
    fn a_host_is_an_address_or_a_64() {
        for (offender, other, want) in [
            ("192.0.2.1", "192.0.2.1", Conduct::Bad),
            ("192.0.2.1", "::ffff:192.0.2.1", Conduct::Bad),
            ("192.0.2.1", "192.0.2.2", Conduct::Unknown),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", Conduct::Bad),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", Conduct::Unknown),
        ] {
            let mut register = register(100);
            offend(&mut register, ip(offender), 30);
            assert_eq!(register.conduct(START, ip(other)), want, "{offender} {other}");
        }
    }

    #[test]
    fn one_offender_does_not_ruin_its_neighbours() {
        let mut register = register(1000);
        offend(&mut register, ip("192.0.2.1"), 10_000);
        assert_eq!(register.conduct(START, ip("192.0.2.1")), Conduct::Bad);
        assert_eq!(register.conduct(START, ip("192.0.2.2")), Conduct::Unknown);
    }

    /// Each of them stays below what makes it suspect.
    #[test]
    fn many_small_offenders_make_strangers_of_their_network_suspect() {
        let good = ip("192.0.2.200");
        let mut register = register(1000);
        register.note(START, good, Deed::Delivered, 10);
        let stranger = ip("192.0.2.250");
        let mut offenders = 0;
        while register.conduct(START, stranger) == Conduct::Unknown {
            offenders += 1;
            offend(&mut register, Ipv4Addr::new(192, 0, 2, offenders).into(), 3);
        }
        // Some may be taken for one.
        assert!((8..=12).contains(&offenders), "{offenders}");
        assert_eq!(register.conduct(START, stranger), Conduct::Suspect);
        assert_eq!(register.conduct(START, good), Conduct::Good, "who is known to be good is");
        assert_eq!(register.conduct(START, ip("192.0.3.250")), Conduct::Unknown);
        assert_eq!(register.conduct(START + 3 * HALF_LIFE, stranger), Conduct::Unknown, "it is forgotten");
        // Below a quarter nobody counts.
        let mut register = Register::new(1000, Thresholds::default(), Seed::new(7));
        (0..=255).for_each(|n| offend(&mut register, Ipv4Addr::new(192, 0, 2, n).into(), 2));
        assert_eq!(register.conduct(START, stranger), Conduct::Unknown);
    }

    #[test]
    fn a_network_of_ipv6_is_a_48() {
        let mut register = register(1000);
        for n in 0..40 {
            offend(&mut register, Ipv6Addr::new(0x2001, 0xdb8, 1, n, 0, 0, 0, 1).into(), 3);
        }
        assert_eq!(register.conduct(START, ip("2001:db8:1:ffff::1")), Conduct::Suspect);
        assert_eq!(register.conduct(START, ip("2001:db8:2:ffff::1")), Conduct::Unknown);
    }

    #[test]
    fn so_many_may_be_here_at_a_time() {
        let mut register = register(100);
        let capacity = Capacity { address: 2, network: 3 };
        let [one, two, other] = ["192.0.2.1", "192.0.2.2", "192.0.3.1"].map(ip);
        let seats = [one, one, two].map(|client| register.enter(START, client, capacity).unwrap());
        for (client, want) in [(one, Err(Full::Address)), (two, Err(Full::Network)), (other, Ok(()))] {
            let got = register.enter(START, client, capacity).map(|seat| register.leave(seat));
            assert_eq!(got, want, "{client}");
        }
        register.note(START, two, Deed::Delivered, 10);
        let good = register.enter(START, two, capacity).unwrap();
        assert_eq!(register.enter(START, two, capacity), Err(Full::Address));
        register.leave(good);
        register.leave(seats[0]);
        let last = register.enter(START, two, capacity).unwrap();
        for seat in [seats[1], seats[2], last] {
            register.leave(seat);
        }
        assert_eq!(register.here(), 0);
        let many: Vec<_> = (0..1000).map(|_| register.enter(START, one, FREE).unwrap()).collect();
        many.into_iter().for_each(|seat| register.leave(seat));
        assert_eq!(register.here(), 0);
    }

    /// A million addresses that offend once each, against fifty offenders and fifty good ones.
    #[test]
    fn a_flood_of_addresses_does_not_wash_it_away() {
        let mut register = register(65_536);
        let mut random = fastrand::Rng::with_seed(3);
        let [offenders, good] =
            [(); 2].map(|()| (0..50).map(|_| Ipv4Addr::from(random.u32(..)).into()).collect::<Vec<_>>());
        offenders.iter().for_each(|client| offend(&mut register, *client, 30));
        for client in &good {
            register.note(START, *client, Deed::Delivered, 50);
        }
        for _ in 0..1_000_000 {
            register.note(START, Ipv4Addr::from(random.u32(..)).into(), Deed::Junk, 1);
        }
        assert!(offenders.iter().all(|client| register.conduct(START, *client) == Conduct::Bad));
        assert!(good.iter().all(|client| register.conduct(START, *client) == Conduct::Good));
        assert!(register.len() <= 65_536);
        assert!(register.evicted() > 0);
    }

    /// Of a million addresses at random one in thirty finds no place in its set of eight, if there are half as many
    /// places more.
    #[test]
    fn a_million_addresses_are_tracked_in_fifty_four_megabytes() {
        const MANY: usize = 1_000_000;
        const ENTRIES: usize = MANY * 3 / 2;
        let bytes =
            Table::<Past>::bytes(ENTRIES) + Table::<Neighbours>::bytes(ENTRIES / ADDRESSES_PER_NETWORK);
        assert_eq!(bytes, ENTRIES * CONDUCT_ENTRY_BYTES);
        let mut register = register(ENTRIES);
        let mut random = fastrand::Rng::with_seed(4);
        let clients: Vec<IpAddr> = (0..MANY).map(|_| Ipv4Addr::from(random.u32(..)).into()).collect();
        clients.iter().for_each(|client| register.note(START, *client, Deed::Junk, 1));
        let known = clients
            .iter()
            .filter(|client| register.addresses.at(Place::of(register.seed, **client).address).is_some());
        let known = known.count();
        assert!(known > MANY * 29 / 30, "{known}");
    }
}
