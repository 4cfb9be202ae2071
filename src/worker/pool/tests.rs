use super::*;
use crate::base::slab::Slab;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn limits(warm: usize, max: usize) -> PoolLimits {
    PoolLimits {
        warm,
        max,
        messages: 3,
        age: Duration::from_secs(900),
        idle: Duration::from_secs(60),
        wait: Duration::from_secs(20),
    }
}

fn servers(weights: &[u32]) -> Vec<Server> {
    let server = |&weight: &u32| Server { address: "127.0.0.1:25".parse().unwrap(), weight, rank: 0 };
    weights.iter().map(server).collect()
}

fn pool(warm: usize, max: usize, weights: &[u32]) -> Pool {
    shared(warm, max, weights, Shares::default())
}

fn shared(warm: usize, max: usize, weights: &[u32], shares: Shares) -> Pool {
    Pool::new(limits(warm, max), Congestion::default(), shares, &servers(weights), 1)
}

fn keys<const N: usize>() -> [Key; N] {
    let mut slab = Slab::new();
    std::array::from_fn(|_| slab.insert(()))
}

const fn member(conn: Key, server: usize, messages: u32) -> Member {
    Member { conn, server, expires: Instant::from_nanos(u64::MAX), messages, messages_max: 3 }
}

fn claim(relay: Key) -> Claim {
    Claim { relay, standing: Standing::default(), fresh: false, bound: false, own: None }
}

fn in_lane(relay: Key, lane: u8) -> Claim {
    Claim { standing: Standing { lane: Lane(lane), ..Standing::default() }, ..claim(relay) }
}

fn loan(lane: u8) -> Option<Loan> {
    Some(Loan { lane: Lane(lane), since: at(0) })
}

fn heard(word: Word) -> Heard {
    Heard { word, ..Heard::default() }
}

fn shown(orders: &mut Vec<Order>) -> String {
    let show = |order: Order| match order {
        Order::Connect { server, purpose: Purpose::Pooled } => format!("connect {server}"),
        Order::Connect { server, purpose: Purpose::Dedicated { own, .. } } => {
            format!("dedicated {server} to {}", own.relay.index())
        }
        Order::Grant { conn, relay, .. } => format!("grant {} to {}", conn.index(), relay.index()),
        Order::Probe { conn } => format!("probe {}", conn.index()),
        Order::Retire { conn } => format!("retire {}", conn.index()),
        Order::Refuse { relay, why } => format!("{why:?} {}", relay.index()),
    };
    orders.drain(..).map(show).collect::<Vec<_>>().join(", ")
}

#[test]
fn warm_connections_are_opened_and_lent_out_again() {
    let [a, b, relay] = keys();
    let (mut pool, mut orders) = (pool(2, 4, &[1]), Vec::new());
    pool.tick(at(0), &mut orders);
    assert_eq!(shown(&mut orders), "connect 0, connect 0");
    pool.on_opened(at(1), member(a, 0, 0), &mut orders);
    pool.on_opened(at(1), member(b, 0, 0), &mut orders);
    assert_eq!((shown(&mut orders), pool.parked()), (String::new(), 2));
    pool.check_out(at(2), claim(relay), &mut orders);
    assert_eq!(shown(&mut orders), "grant 1 to 2");
    pool.check_in(at(3), member(b, 0, 1), loan(0), &mut orders);
    pool.check_out(at(4), Claim { fresh: true, ..claim(relay) }, &mut orders);
    assert_eq!(shown(&mut orders), "connect 0");
}

#[test]
fn waiters_are_served_in_order_and_never_beyond_max() {
    let [a, first, second, third] = keys();
    let (mut pool, mut orders) = (pool(0, 1, &[1]), Vec::new());
    for relay in [first, second, third] {
        pool.check_out(at(0), claim(relay), &mut orders);
    }
    assert_eq!(shown(&mut orders), "connect 0");
    pool.on_opened(at(1), member(a, 0, 0), &mut orders);
    assert_eq!(shown(&mut orders), "grant 0 to 1");
    pool.cancel(second);
    pool.check_in(at(2), member(a, 0, 1), loan(0), &mut orders);
    assert_eq!(shown(&mut orders), "grant 0 to 3");
    assert_eq!((pool.total(), pool.waiting()), (1, 0));
}

#[test]
fn worn_connections_are_retired_and_replaced() {
    let [a, relay] = keys();
    let (mut pool, mut orders) = (pool(1, 4, &[1]), Vec::new());
    pool.tick(at(0), &mut orders);
    pool.on_opened(at(0), member(a, 0, 0), &mut orders);
    pool.check_out(at(0), claim(relay), &mut orders);
    shown(&mut orders);
    pool.check_in(at(1), member(a, 0, 3), loan(0), &mut orders);
    assert_eq!(shown(&mut orders), "retire 0");
    pool.on_gone(at(2), 0, a, None, &mut orders);
    assert_eq!(shown(&mut orders), "connect 0");
}

/// While it may be back in a moment whoever comes waits; then they are told at once, and one probe at a time is sent.
#[test]
fn a_dead_upstream_refuses_at_once_and_is_tried_again() {
    let [relay, other, conn] = keys();
    let (mut pool, mut orders) = (pool(0, 4, &[1]), Vec::new());
    pool.check_out(at(0), claim(relay), &mut orders);
    assert_eq!(shown(&mut orders), "connect 0");
    let mut now = 0;
    loop {
        pool.on_failed(at(now), 0, None, &mut orders);
        let said = shown(&mut orders);
        if !pool.has_waiters() {
            assert_eq!(said, "Unreachable 0");
            break;
        }
        assert_eq!(said, "");
        now += 1000;
        pool.tick(at(now), &mut orders);
        assert_eq!(shown(&mut orders), "connect 0");
        pool.tick(at(now), &mut orders);
        assert_eq!(shown(&mut orders), "");
    }
    // 100, 200, 400, 800 and 1600 ms: of the last one half at least is too long.
    assert!((3000..=6000).contains(&now), "{now}");
    pool.check_out(at(now), claim(other), &mut orders);
    assert_eq!(shown(&mut orders), "Unreachable 1");
    // The pause is over: whoever comes now waits for the probe.
    pool.check_out(at(now + 5000), claim(other), &mut orders);
    assert_eq!(shown(&mut orders), "connect 0");
    pool.check_out(at(now + 5000), claim(relay), &mut orders);
    assert_eq!(shown(&mut orders), "");
    pool.on_opened(at(now + 5001), member(conn, 0, 0), &mut orders);
    assert_eq!(shown(&mut orders), "grant 2 to 1, connect 0");
    assert!(pool.take_tally().trips == 1 && pool.outlook().next().unwrap().limit == 2);
}

#[test]
fn another_server_takes_over_before_anyone_is_refused() {
    let [relay, conn] = keys();
    let (mut pool, mut orders) = (pool(0, 4, &[1, 1]), Vec::new());
    pool.check_out(at(0), claim(relay), &mut orders);
    assert_eq!(shown(&mut orders), "connect 0");
    pool.on_failed(at(1), 0, None, &mut orders);
    assert_eq!(shown(&mut orders), "connect 1");
    pool.on_opened(at(2), member(conn, 1, 0), &mut orders);
    assert_eq!(shown(&mut orders), "grant 1 to 0");
}

#[test]
fn idle_connections_beyond_the_warm_minimum_are_retired() {
    let [a, b, c] = keys();
    let (mut pool, mut orders) = (pool(1, 4, &[1]), Vec::new());
    pool.tick(at(0), &mut orders);
    pool.on_opened(at(0), member(a, 0, 0), &mut orders);
    pool.check_out(at(0), claim(c), &mut orders);
    pool.check_out(at(0), claim(c), &mut orders);
    pool.on_opened(at(0), member(b, 0, 0), &mut orders);
    for conn in [a, b] {
        pool.check_in(at(0), member(conn, 0, 1), loan(0), &mut orders);
    }
    shown(&mut orders);
    pool.tick(at(59_000), &mut orders);
    assert_eq!(shown(&mut orders), "");
    pool.tick(at(61_000), &mut orders);
    assert_eq!(shown(&mut orders), "retire 0");
}

/// A pool all of whose connections are lent: to so many relays of a lane each, in their order.
fn all_lent<const N: usize>(pool: &mut Pool, lanes: [u8; N], orders: &mut Vec<Order>) {
    let relays = keys::<N>();
    for (relay, lane) in relays.iter().zip(lanes) {
        pool.check_out(at(0), in_lane(*relay, lane), orders);
    }
    for conn in relays.iter().take(pool.total()) {
        pool.on_opened(at(0), member(*conn, 0, 0), orders);
    }
    orders.clear();
}

#[test]
fn what_a_server_may_have_in_hand_bounds_what_is_lent() {
    let relays = keys::<12>();
    let (mut pool, mut orders) = (pool(0, 12, &[1]), Vec::new());
    all_lent(&mut pool, [0; 8], &mut orders);
    // Answers come much later than before.
    for second in 1..9 {
        let took = Duration::from_millis(if second < 4 { 50 } else { 5000 });
        let heard = Heard { content: Some(took), word: Word::Well, passed: true, retried: false };
        pool.on_heard(at(second * 1000), 0, heard, &mut orders);
    }
    assert_eq!(pool.outlook().next().unwrap().limit, 4);
    pool.check_out(at(9000), claim(relays[8]), &mut orders);
    pool.check_in(at(9001), member(relays[0], 0, 1), loan(0), &mut orders);
    pool.check_in(at(9001), member(relays[1], 0, 1), loan(0), &mut orders);
    assert_eq!((shown(&mut orders), pool.parked()), (String::new(), 2));
    for conn in &relays[2..5] {
        pool.check_in(at(9002), member(*conn, 0, 1), loan(0), &mut orders);
    }
    // Three are in hand: one more may be.
    assert_eq!(shown(&mut orders), "grant 4 to 8");
}

#[test]
fn three_failures_in_a_row_trip_and_a_kept_connection_is_asked_first() {
    let [a, b, relay] = keys();
    let (mut pool, mut orders) = (pool(1, 4, &[1]), Vec::new());
    pool.tick(at(0), &mut orders);
    pool.on_opened(at(0), member(a, 0, 0), &mut orders);
    for _ in 0..3 {
        pool.on_heard(at(0), 0, heard(Word::Failed), &mut orders);
    }
    shown(&mut orders);
    // It may be back soon: whoever comes waits.
    pool.check_out(at(1), claim(relay), &mut orders);
    assert_eq!(shown(&mut orders), "");
    pool.tick(at(200), &mut orders);
    assert_eq!(shown(&mut orders), "probe 0");
    pool.tick(at(300), &mut orders);
    assert_eq!(shown(&mut orders), "");
    // The connection is gone: that may be because it was old.
    pool.on_gone(at(400), 0, a, None, &mut orders);
    assert_eq!(shown(&mut orders), "connect 0");
    pool.on_opened(at(500), member(b, 0, 0), &mut orders);
    assert_eq!(shown(&mut orders), "grant 1 to 2");
}

#[test]
fn a_probe_that_is_answered_lets_messages_through_again() {
    let [a, relay] = keys();
    let (mut pool, mut orders) = (pool(1, 4, &[1]), Vec::new());
    pool.tick(at(0), &mut orders);
    pool.on_opened(at(0), member(a, 0, 0), &mut orders);
    for _ in 0..3 {
        pool.on_heard(at(0), 0, heard(Word::Failed), &mut orders);
    }
    orders.clear();
    pool.check_out(at(200), claim(relay), &mut orders);
    assert_eq!(shown(&mut orders), "probe 0");
    pool.check_in(at(201), member(a, 0, 0), None, &mut orders);
    assert_eq!(shown(&mut orders), "grant 0 to 1");
    let tally = pool.take_tally();
    assert_eq!((tally.trips, tally.probes), (1, 1));
}

#[test]
fn lanes_take_turns_and_a_better_one_finds_one_that_is_kept_for_it() {
    let relays = keys::<16>();
    let shares = Shares::new(&[50, 50]);
    let (mut pool, mut orders) = (shared(0, 4, &[1], shares), Vec::new());
    all_lent(&mut pool, [1, 1, 1], &mut orders);
    // What is kept for the first lane no other one gets.
    pool.check_out(at(1), in_lane(relays[10], 1), &mut orders);
    assert_eq!(shown(&mut orders), "connect 0");
    pool.on_opened(at(1), member(relays[3], 0, 0), &mut orders);
    assert_eq!((shown(&mut orders), pool.parked()), (String::new(), 1));
    pool.check_out(at(2), in_lane(relays[11], 0), &mut orders);
    assert_eq!(shown(&mut orders), "grant 3 to 11");
    for (relay, lane) in [(12, 1), (13, 0), (14, 0)] {
        pool.check_out(at(3), in_lane(relays[relay], lane), &mut orders);
    }
    for conn in &relays[..3] {
        pool.check_in(at(4), member(*conn, 0, 1), loan(1), &mut orders);
    }
    // Each has its half then, and the second lane had less.
    assert_eq!(shown(&mut orders), "grant 0 to 13, grant 1 to 10, grant 2 to 12");
}

/// However many wait that may not have it: who is held back by others' share lacks no connection.
#[test]
fn one_that_is_kept_for_another_lane_is_not_given_up_for_those_who_wait() {
    let relays = keys::<16>();
    let (mut pool, mut orders) = (shared(0, 4, &[1], Shares::new(&[50, 50])), Vec::new());
    all_lent(&mut pool, [1, 1, 1], &mut orders);
    for relay in [10, 11, 12] {
        pool.check_out(at(1), in_lane(relays[relay], 1), &mut orders);
    }
    assert_eq!(shown(&mut orders), "connect 0");
    pool.on_opened(at(1), member(relays[3], 0, 0), &mut orders);
    (2..100).for_each(|moment| pool.tick(at(moment), &mut orders));
    assert_eq!((shown(&mut orders), pool.parked()), (String::new(), 1));
    assert!(!pool.is_short(at(100)));
    pool.check_out(at(100), in_lane(relays[13], 0), &mut orders);
    assert_eq!(shown(&mut orders), "grant 3 to 13");
}

#[test]
fn when_too_many_wait_the_newest_of_the_worst_lane_hears_so_at_once() {
    let relays = keys::<40>();
    let (mut pool, mut orders) = (shared(0, 1, &[1], Shares::new(&[50, 50])), Vec::new());
    pool.check_out(at(0), claim(relays[0]), &mut orders);
    pool.on_opened(at(0), member(relays[0], 0, 0), &mut orders);
    // Each has it for 40 s: an eighth of that counts at once.
    pool.check_in(at(40_000), member(relays[0], 0, 1), loan(0), &mut orders);
    pool.check_out(at(40_000), claim(relays[0]), &mut orders);
    orders.clear();
    for (relay, lane) in [(1, 0), (2, 1), (3, 0), (4, 1)] {
        pool.check_out(at(40_001), in_lane(relays[relay], lane), &mut orders);
    }
    assert_eq!(shown(&mut orders), "");
    pool.check_out(at(40_002), in_lane(relays[5], 0), &mut orders);
    // The first lane has more than its share of those who wait.
    assert_eq!(shown(&mut orders), "Overloaded 5");
    pool.check_out(at(40_002), in_lane(relays[6], 1), &mut orders);
    assert_eq!(shown(&mut orders), "Overloaded 6");
    // Whoever was promised something is not the one.
    let bound = Claim { bound: true, ..in_lane(relays[7], 1) };
    pool.check_out(at(40_003), bound, &mut orders);
    assert_eq!((shown(&mut orders), pool.waiting()), ("Overloaded 4".to_owned(), 4));
}

#[test]
fn silent_retries_have_a_budget() {
    let [relay] = keys();
    let (mut pool, mut orders) = (pool(0, 4, &[1]), Vec::new());
    let mut refused = 0;
    for _ in 0..30 {
        pool.check_out(at(0), Claim { fresh: true, ..claim(relay) }, &mut orders);
        refused += usize::from(shown(&mut orders).contains("Retries"));
        pool.cancel(relay);
    }
    assert_eq!((refused, pool.waiting(), pool.take_tally().retries_refused), (20, 0, 20));
}

fn owned(relay: Key) -> Claim {
    Claim { own: Some((7, Box::default())), ..claim(relay) }
}

#[test]
fn whoever_wants_its_own_waits_for_room_too() {
    let [first, second, conn] = keys();
    let (mut pool, mut orders) = (pool(0, 1, &[1]), Vec::new());
    pool.check_out(at(0), owned(first), &mut orders);
    assert_eq!(shown(&mut orders), "dedicated 0 to 0");
    pool.check_out(at(0), owned(second), &mut orders);
    assert_eq!((shown(&mut orders), pool.waiting()), (String::new(), 1));
    pool.on_reached(at(1), 0);
    pool.on_gone(at(2), 0, conn, loan(0), &mut orders);
    assert_eq!(shown(&mut orders), "dedicated 0 to 1");
    pool.on_failed(at(3), 0, loan(0), &mut orders);
    assert_eq!((pool.total(), pool.used.total()), (0, 0));
    // The probe is for whoever comes next.
    pool.check_out(at(300), owned(first), &mut orders);
    assert_eq!(shown(&mut orders), "dedicated 0 to 0");
}

/// A server that comes back has no connections, and all are at rest elsewhere: it gets one all the same.
#[test]
fn load_spreads_to_whoever_has_none() {
    let relays = keys::<8>();
    let (mut pool, mut orders) = (pool(1, 8, &[1, 1]), Vec::new());
    pool.tick(at(0), &mut orders);
    assert_eq!(shown(&mut orders), "connect 0");
    pool.on_opened(at(0), member(relays[0], 0, 0), &mut orders);
    pool.check_out(at(1), claim(relays[1]), &mut orders);
    assert_eq!(shown(&mut orders), "grant 0 to 1, connect 1");
    pool.on_opened(at(1), member(relays[2], 1, 0), &mut orders);
    pool.check_in(at(2), member(relays[0], 0, 1), loan(0), &mut orders);
    let mut turns = Vec::new();
    for _ in 0..4 {
        pool.check_out(at(3), claim(relays[3]), &mut orders);
        let Some(Order::Grant { conn, .. }) = orders.pop() else { panic!() };
        turns.push(conn.index());
        let server = usize::from(conn == relays[2]);
        pool.check_in(at(3), member(conn, server, 1), loan(0), &mut orders);
    }
    turns.sort_unstable();
    assert_eq!(turns, [0, 0, 2, 2]);
}

/// Whatever happens in whatever order: counts agree, bounds hold, and nobody waits who may go.
#[test]
fn random_events_keep_what_must_hold() {
    for seed in 0..300 {
        World::new(seed).run();
    }
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Opening,
    Rest,
    Lent(u8),
    Probed,
    Retired,
}

/// A worker that does what pools order, in any order.
struct World {
    random: fastrand::Rng,
    now: u64,
    pool: Pool,
    slab: Slab<()>,
    conns: Vec<(Option<Key>, usize, At)>,
    waiting: Vec<Key>,
    max: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let max = random.usize(1..8);
        let weights: Vec<_> = (0..random.usize(1..4)).map(|_| random.u32(1..4)).collect();
        let shares = Shares::new([&[100][..], &[50, 50], &[60, 30, 10]][random.usize(..3)]);
        let pool = shared(random.usize(..=max.min(2)), max, &weights, shares);
        Self { random, now: 0, pool, slab: Slab::new(), conns: Vec::new(), waiting: Vec::new(), max }
    }

    fn run(&mut self) {
        for _ in 0..400 {
            self.now += self.random.u64(..80);
            let mut orders = Vec::new();
            self.happen(&mut orders);
            self.carry_out(orders);
            self.check();
        }
    }

    fn happen(&mut self, orders: &mut Vec<Order>) {
        let now = at(self.now);
        match self.random.u8(..10) {
            0..3 => {
                let relay = self.slab.insert(());
                self.waiting.push(relay);
                let standing = Standing {
                    lane: Lane(self.random.u8(..3)),
                    priority: self.random.i8(-1..=1),
                    client: self.random.u64(..3),
                };
                let (fresh, bound) = (self.random.u8(..8) == 0, self.random.bool());
                self.pool.check_out(now, Claim { standing, fresh, bound, ..claim(relay) }, orders);
            }
            3 => self.pool.tick(now, orders),
            4 if !self.waiting.is_empty() => {
                let relay = self.waiting.swap_remove(self.random.usize(..self.waiting.len()));
                self.pool.cancel(relay);
            }
            _ if self.conns.is_empty() => {}
            _ => {
                let at = self.random.usize(..self.conns.len());
                self.go_on(at, orders);
            }
        }
    }

    /// Something happens on a connection.
    fn go_on(&mut self, index: usize, orders: &mut Vec<Order>) {
        let now = at(self.now);
        let (conn, server, stands) = self.conns[index];
        let is_good = self.random.u8(..4) > 0;
        match (stands, conn) {
            (At::Opening, _) if is_good => {
                let conn = self.slab.insert(());
                self.conns[index] = (Some(conn), server, At::Rest);
                self.pool.on_opened(now, member(conn, server, 0), orders);
            }
            (At::Opening, _) => {
                self.conns.swap_remove(index);
                self.pool.on_failed(now, server, None, orders);
            }
            (At::Lent(lane), Some(conn)) => {
                let words = [Word::Well, Word::Well, Word::Sick, Word::Failed, Word::Nothing];
                let word = words[self.random.usize(..words.len())];
                let content = is_good.then(|| Duration::from_millis(self.random.u64(..300)));
                let heard = Heard { word, content, passed: word == Word::Well, retried: false };
                self.pool.on_heard(now, server, heard, orders);
                let loan = Some(Loan { lane: Lane(lane), since: now });
                if word == Word::Failed {
                    self.conns.swap_remove(index);
                    self.pool.on_gone(now, server, conn, loan, orders);
                } else {
                    self.conns[index].2 = At::Rest;
                    let messages = self.random.u32(..4);
                    self.pool.check_in(now, member(conn, server, messages), loan, orders);
                }
            }
            (At::Probed, Some(conn)) if is_good => {
                self.conns[index].2 = At::Rest;
                self.pool.check_in(now, member(conn, server, 0), None, orders);
            }
            (At::Rest, Some(_)) if is_good => {}
            (At::Rest | At::Probed | At::Retired, Some(conn)) => {
                self.conns.swap_remove(index);
                self.pool.on_gone(now, server, conn, None, orders);
            }
            (_, None) => {}
        }
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Connect { server, .. } => self.conns.push((None, server, At::Opening)),
                Order::Grant { conn, relay, lane } => {
                    assert!(self.waiting.contains(&relay), "{relay:?} did not wait");
                    self.waiting.retain(|other| *other != relay);
                    self.set(conn, At::Lent(lane.0));
                }
                Order::Probe { conn } => self.set(conn, At::Probed),
                Order::Retire { conn } => self.set(conn, At::Retired),
                Order::Refuse { relay, .. } => self.waiting.retain(|other| *other != relay),
            }
        }
    }

    fn set(&mut self, conn: Key, stands: At) {
        let found = self.conns.iter_mut().find(|(key, _, _)| *key == Some(conn)).unwrap();
        assert_eq!(found.2, At::Rest, "{stands:?}");
        found.2 = stands;
    }

    fn check(&self) {
        let now = at(self.now);
        let count = |is: fn(At) -> bool| self.conns.iter().filter(|(_, _, stands)| is(*stands)).count();
        let lent = count(|stands| matches!(stands, At::Lent(_)));
        assert_eq!(self.pool.total(), self.conns.len());
        assert_eq!(self.pool.parked(), count(|stands| stands == At::Rest));
        assert_eq!(self.pool.used.total(), lent);
        assert_eq!(self.pool.waiting(), self.waiting.len());
        assert!(self.conns.len() <= self.max);
        for (at, server) in self.pool.servers.iter().enumerate() {
            let probes = self.conns.iter().filter(|(_, of, stands)| *of == at && *stands == At::Probed);
            assert!(probes.count() <= usize::from(server.probe.is_some()));
        }
        assert!(!self.pool.has_waiters() || !self.pool.is_hopeless(now) || self.pool.total() > 0);
        // Somebody may go, and there is something for it.
        let free = self.pool.balance.eligible(now, |at| self.pool.servers[at].load_at_rest(now)).count();
        let plain =
            self.pool.waiting.iter().filter(|(lane, waiter)| !waiter.fresh && self.pool.admits(*lane));
        assert!(free == 0 || plain.count() == 0 || self.pool.servers.len() > 1, "{:?}", self.pool);
    }
}
