//! One worker's connections to one upstream: warm ones, busy ones, and who waits for one.
//!
//! Pure: told what happened, it appends [`Order`]s. The worker owns sockets and dialogues; the pool
//! owns numbers, the parked ones and the queue.
//!
//! What must always hold: connections never exceed `max`; waiters are served first come, first
//! served; a dedicated connection is never parked; nobody waits while no server can be reached.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::slab::Key;
use crate::base::time::Instant;
use crate::policy::settings::{PoolLimits, Server};
use crate::smtp::xforward::Identity;

/// First and longest pause after failed connects to a server; doubled in between.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Failures in a row after which nobody is kept waiting for a server's next trial.
const FAILURES_PATIENT: u32 = 5;

/// What the worker is to do.
#[derive(Debug)]
pub enum Order {
    /// Open a connection to this server, for whom it is if it is dedicated.
    Connect { server: usize, purpose: Purpose },
    /// Lend this connection to this relay.
    Grant { conn: Key, relay: Key },
    /// Say QUIT and close.
    Retire { conn: Key },
    /// Tell the relay that no server can be reached.
    Refuse { relay: Key },
}

/// What a connection is opened for.
#[derive(Debug)]
pub enum Purpose {
    Pooled,
    /// For one transaction of one client.
    Dedicated {
        relay: Key,
        /// Which of its check-outs it is for: another one has another identity.
        number: u32,
        identity: Box<Identity>,
    },
}

/// A connection as the pool sees it when it becomes free.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub conn: Key,
    /// When it is too old, jitter included.
    pub expires: Instant,
    /// Messages it carried.
    pub messages: u32,
    /// Messages it may carry: ours or the server's MAILMAX.
    pub messages_max: u32,
}

#[derive(Debug)]
struct Parked {
    member: Member,
    since: Instant,
}

#[derive(Debug)]
struct Waiter {
    relay: Key,
    /// Only a connection that was opened after this one asked.
    fresh: bool,
}

#[derive(Debug)]
struct ServerState {
    weight: i64,
    rank: u16,
    /// Smooth weighted round robin: what it has coming.
    credit: i64,
    failures: u32,
    retry_at: Instant,
}

#[derive(Debug)]
pub struct Pool {
    limits: PoolLimits,
    servers: Vec<ServerState>,
    parked: Vec<Parked>,
    waiting: VecDeque<Waiter>,
    /// All connections, in whatever state.
    total: usize,
    /// Those among them that are being opened for the pool.
    opening: usize,
    random: fastrand::Rng,
    draining: bool,
}

impl Pool {
    pub fn new(limits: PoolLimits, servers: &[Server], seed: u64) -> Self {
        let state = |server: &Server| ServerState {
            weight: i64::from(server.weight),
            rank: server.rank,
            credit: 0,
            failures: 0,
            retry_at: Instant::default(),
        };
        Self {
            limits,
            servers: servers.iter().map(state).collect(),
            parked: Vec::new(),
            waiting: VecDeque::new(),
            total: 0,
            opening: 0,
            random: fastrand::Rng::with_seed(seed),
            draining: false,
        }
    }

    /// It may have so many connections from now on; more are not cut off.
    pub const fn allow(&mut self, max: usize) {
        self.limits.max = max;
    }

    /// Gives up a parked connection, the one longest unused, for one that is wanted elsewhere.
    pub fn yield_one(&mut self, orders: &mut Vec<Order>) {
        if !self.parked.is_empty() {
            let parked = self.parked.remove(0);
            orders.push(Order::Retire { conn: parked.member.conn });
        }
    }

    /// A relay wants a connection.
    pub fn check_out(&mut self, now: Instant, relay: Key, fresh: bool, orders: &mut Vec<Order>) {
        if !fresh && let Some(parked) = self.parked.pop() {
            return orders.push(Order::Grant { conn: parked.member.conn, relay });
        }
        if self.is_hopeless(now) {
            return orders.push(Order::Refuse { relay });
        }
        self.waiting.push_back(Waiter { relay, fresh });
        self.open_wanted(now, orders);
    }

    /// A relay wants a connection of its own.
    pub fn check_out_dedicated(
        &mut self,
        now: Instant,
        relay: Key,
        number: u32,
        identity: Box<Identity>,
        orders: &mut Vec<Order>,
    ) {
        let room = self.total < self.limits.max;
        match self.choose_server(now).filter(|_| room) {
            Some(server) => {
                self.total += 1;
                orders
                    .push(Order::Connect { server, purpose: Purpose::Dedicated { relay, number, identity } });
            }
            None => orders.push(Order::Refuse { relay }),
        }
    }

    /// The relay does not want one any more.
    pub fn cancel(&mut self, relay: Key) {
        self.waiting.retain(|waiter| waiter.relay != relay);
    }

    /// A new pooled connection is greeted and ready.
    pub fn on_opened(&mut self, now: Instant, server: usize, member: Member, orders: &mut Vec<Order>) {
        self.opening -= 1;
        self.on_reached(server);
        self.place(now, member, true, orders);
    }

    /// A server answered: its failures are forgiven.
    pub fn on_reached(&mut self, server: usize) {
        self.servers[server].failures = 0;
        self.servers[server].retry_at = Instant::default();
    }

    /// A connection is clean again.
    pub fn check_in(&mut self, now: Instant, member: Member, orders: &mut Vec<Order>) {
        self.place(now, member, false, orders);
    }

    fn place(&mut self, now: Instant, member: Member, opened: bool, orders: &mut Vec<Order>) {
        let worn = member.messages >= member.messages_max || member.expires <= now;
        if worn {
            return orders.push(Order::Retire { conn: member.conn });
        }
        match self.waiting.iter().position(|waiter| opened || !waiter.fresh) {
            Some(at) => {
                if let Some(waiter) = self.waiting.remove(at) {
                    orders.push(Order::Grant { conn: member.conn, relay: waiter.relay });
                }
            }
            // Who waits for a fresh one does not want this one either.
            None if self.draining => orders.push(Order::Retire { conn: member.conn }),
            None => self.parked.push(Parked { member, since: now }),
        }
    }

    /// A connection is gone, whatever it was doing.
    pub fn on_gone(&mut self, now: Instant, conn: Key, orders: &mut Vec<Order>) {
        self.total -= 1;
        self.parked.retain(|parked| parked.member.conn != conn);
        self.open_wanted(now, orders);
    }

    /// A connection ended before it was ready.
    pub fn on_failed(&mut self, now: Instant, server: usize, pooled: bool, orders: &mut Vec<Order>) {
        self.total -= 1;
        self.opening -= usize::from(pooled);
        self.back_off(now, server);
        if self.earliest_retry() > now && self.opening == 0 {
            let refused = self.waiting.drain(..).map(|waiter| Order::Refuse { relay: waiter.relay });
            orders.extend(refused);
        }
        self.open_wanted(now, orders);
    }

    fn back_off(&mut self, now: Instant, server: usize) {
        let state = &mut self.servers[server];
        let pause = BACKOFF_MIN.saturating_mul(1 << state.failures.min(16)).min(BACKOFF_MAX);
        state.failures += 1;
        // Full jitter on the upper half, so that workers do not come back in step.
        state.retry_at = now + pause.mul_f64(0.5 + self.random.f64() / 2.0);
    }

    /// Retires what is old or idle, and opens what is missing. To be called about once a second,
    /// and more often while [`is_pressed`](Self::is_pressed).
    pub fn tick(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let mut spare = self.parked.len().saturating_sub(self.limits.warm);
        let idle = self.limits.idle;
        self.parked.retain(|parked| {
            let old = parked.member.expires <= now;
            let unused = spare > 0 && now.since(parked.since) >= idle;
            if old || unused {
                spare = spare.saturating_sub(1);
                orders.push(Order::Retire { conn: parked.member.conn });
            }
            !(old || unused)
        });
        self.open_wanted(now, orders);
    }

    /// All parked connections are retired, and none is kept any more.
    pub fn drain(&mut self, orders: &mut Vec<Order>) {
        self.draining = true;
        orders.extend(self.parked.drain(..).map(|parked| Order::Retire { conn: parked.member.conn }));
    }

    pub fn has_waiters(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Somebody waits, or the warm minimum is not there.
    pub fn is_pressed(&self) -> bool {
        !self.waiting.is_empty() || self.opening < self.wanted()
    }

    /// Somebody waits for whom no connection is in the making.
    pub fn is_short(&self) -> bool {
        self.opening < self.waiting.len()
    }

    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    pub const fn total(&self) -> usize {
        self.total
    }

    pub const fn parked(&self) -> usize {
        self.parked.len()
    }

    /// The lifetime of a new connection, with jitter so that a pool does not age at once.
    pub fn lifetime(&mut self) -> Duration {
        self.limits.age.mul_f64(0.8 + self.random.f64() / 5.0)
    }

    fn open_wanted(&mut self, now: Instant, orders: &mut Vec<Order>) {
        self.make_room(orders);
        while self.total < self.limits.max && self.opening < self.wanted() {
            let Some(server) = self.choose_server(now) else { return };
            self.total += 1;
            self.opening += 1;
            orders.push(Order::Connect { server, purpose: Purpose::Pooled });
        }
    }

    /// Who waits for a fresh connection must not wait for parked ones to age.
    fn make_room(&mut self, orders: &mut Vec<Order>) {
        let full = self.total >= self.limits.max && self.opening == 0;
        if full && !self.waiting.is_empty() {
            self.yield_one(orders);
        }
    }

    /// Connections that should be in the making: one for each waiter, and the warm minimum.
    fn wanted(&self) -> usize {
        let warm = if self.draining { 0 } else { self.limits.warm };
        self.waiting.len().max(warm.saturating_sub(self.total - self.opening))
    }

    /// Nobody can be reached, and not for long enough that waiting makes no sense.
    fn is_hopeless(&self, now: Instant) -> bool {
        let reachable = |state: &ServerState| state.retry_at <= now || state.failures < FAILURES_PATIENT;
        self.total == 0 && !self.servers.iter().any(reachable)
    }

    fn earliest_retry(&self) -> Instant {
        self.servers.iter().map(|state| state.retry_at).min().unwrap_or_default()
    }

    /// The server whose turn it is among those of the lowest rank that may be tried.
    fn choose_server(&mut self, now: Instant) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        let reachable = self.servers.iter().filter(|state| state.retry_at <= now);
        let rank = reachable.map(|state| state.rank).min()?;
        for at in 0..self.servers.len() {
            if self.servers[at].retry_at > now || self.servers[at].rank > rank {
                continue;
            }
            total += self.servers[at].weight;
            self.servers[at].credit += self.servers[at].weight;
            if best.is_none_or(|best| self.servers[at].credit > self.servers[best].credit) {
                best = Some(at);
            }
        }
        let best = best?;
        self.servers[best].credit -= total;
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Key, Member, Order, Pool, PoolLimits, Purpose, Server};
    use crate::base::slab::Slab;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn pool(warm: usize, max: usize, weights: &[u32]) -> Pool {
        let limits = PoolLimits {
            warm,
            max,
            messages: 3,
            age: Duration::from_secs(900),
            idle: Duration::from_secs(60),
            wait: Duration::from_secs(20),
        };
        let server = |&weight: &u32| Server { address: "127.0.0.1:25".parse().unwrap(), weight, rank: 0 };
        Pool::new(limits, &weights.iter().map(server).collect::<Vec<_>>(), 1)
    }

    fn keys<const N: usize>() -> [Key; N] {
        let mut slab = Slab::new();
        std::array::from_fn(|_| slab.insert(()))
    }

    const fn member(conn: Key, messages: u32) -> Member {
        Member { conn, expires: Instant::from_nanos(u64::MAX), messages, messages_max: 3 }
    }

    fn shown(orders: &mut Vec<Order>) -> String {
        let show = |order: Order| match order {
            Order::Connect { server, purpose: Purpose::Pooled } => format!("connect {server}"),
            Order::Connect { server, .. } => format!("dedicated {server}"),
            Order::Grant { conn, relay } => format!("grant {} to {}", conn.index(), relay.index()),
            Order::Retire { conn } => format!("retire {}", conn.index()),
            Order::Refuse { relay } => format!("refuse {}", relay.index()),
        };
        orders.drain(..).map(show).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn warm_connections_are_opened_and_lent_out_again() {
        let [a, b, relay] = keys();
        let (mut pool, mut orders) = (pool(2, 4, &[1]), Vec::new());
        pool.tick(at(0), &mut orders);
        assert_eq!(shown(&mut orders), "connect 0, connect 0");
        pool.on_opened(at(1), 0, member(a, 0), &mut orders);
        pool.on_opened(at(1), 0, member(b, 0), &mut orders);
        assert_eq!((shown(&mut orders), pool.parked()), (String::new(), 2));
        pool.check_out(at(2), relay, false, &mut orders);
        assert_eq!(shown(&mut orders), "grant 1 to 2");
        pool.check_in(at(3), member(b, 1), &mut orders);
        pool.check_out(at(4), relay, true, &mut orders);
        assert_eq!(shown(&mut orders), "connect 0");
    }

    #[test]
    fn waiters_are_served_in_order_and_never_beyond_max() {
        let [a, first, second, third] = keys();
        let (mut pool, mut orders) = (pool(0, 1, &[1]), Vec::new());
        pool.check_out(at(0), first, false, &mut orders);
        pool.check_out(at(0), second, false, &mut orders);
        pool.check_out(at(0), third, false, &mut orders);
        assert_eq!(shown(&mut orders), "connect 0");
        pool.on_opened(at(1), 0, member(a, 0), &mut orders);
        assert_eq!(shown(&mut orders), "grant 0 to 1");
        pool.cancel(second);
        pool.check_in(at(2), member(a, 1), &mut orders);
        assert_eq!(shown(&mut orders), "grant 0 to 3");
    }

    #[test]
    fn worn_connections_are_retired_and_replaced() {
        let [a, relay] = keys();
        let (mut pool, mut orders) = (pool(1, 4, &[1]), Vec::new());
        pool.tick(at(0), &mut orders);
        pool.on_opened(at(0), 0, member(a, 0), &mut orders);
        pool.check_out(at(0), relay, false, &mut orders);
        shown(&mut orders);
        pool.check_in(at(1), member(a, 3), &mut orders);
        assert_eq!(shown(&mut orders), "retire 0");
        pool.on_gone(at(2), a, &mut orders);
        assert_eq!(shown(&mut orders), "connect 0");
    }

    #[test]
    fn a_dead_upstream_refuses_at_once_and_is_tried_again() {
        let [relay, other] = keys();
        let (mut pool, mut orders) = (pool(0, 4, &[1]), Vec::new());
        let mut now = 0;
        for _ in 0..super::FAILURES_PATIENT {
            pool.check_out(at(now), relay, false, &mut orders);
            now += 60_000;
            pool.tick(at(now), &mut orders);
            assert_eq!(shown(&mut orders), "connect 0");
            pool.on_failed(at(now), 0, true, &mut orders);
            assert_eq!(shown(&mut orders), "refuse 0");
        }
        pool.check_out(at(now), other, false, &mut orders);
        assert_eq!(shown(&mut orders), "refuse 1");
        pool.check_out(at(now + 60_000), other, false, &mut orders);
        assert_eq!(shown(&mut orders), "connect 0");
    }

    #[test]
    fn another_server_takes_over_before_anyone_is_refused() {
        let [relay, conn] = keys();
        let (mut pool, mut orders) = (pool(0, 4, &[1, 1]), Vec::new());
        pool.check_out(at(0), relay, false, &mut orders);
        assert_eq!(shown(&mut orders), "connect 0");
        pool.on_failed(at(1), 0, true, &mut orders);
        assert_eq!(shown(&mut orders), "connect 1");
        pool.on_opened(at(2), 1, member(conn, 0), &mut orders);
        assert_eq!(shown(&mut orders), "grant 1 to 0");
    }

    #[test]
    fn weights_are_shares() {
        let mut pool = pool(0, 100, &[1, 3]);
        let chosen = (0..40).filter(|_| pool.choose_server(at(0)) == Some(1)).count();
        assert_eq!(chosen, 30);
    }

    #[test]
    fn a_higher_rank_waits_until_no_lower_one_can_be_reached() {
        let mut pool = pool(0, 100, &[1, 1, 1]);
        for (server, rank) in pool.servers.iter_mut().zip([20, 10, 10]) {
            server.rank = rank;
        }
        let mut chosen = |now| (0..4).filter_map(|_| pool.choose_server(at(now))).collect::<Vec<_>>();
        assert_eq!(chosen(0), [1, 2, 1, 2]);
        pool.back_off(at(0), 1);
        let mut chosen = |now| (0..2).filter_map(|_| pool.choose_server(at(now))).collect::<Vec<_>>();
        assert_eq!(chosen(0), [2, 2]);
        pool.back_off(at(0), 2);
        assert_eq!(pool.choose_server(at(0)), Some(0));
        assert_ne!(pool.choose_server(at(60_000)), Some(0));
    }

    #[test]
    fn idle_connections_beyond_the_warm_minimum_are_retired() {
        let [a, b] = keys();
        let (mut pool, mut orders) = (pool(1, 4, &[1]), Vec::new());
        pool.tick(at(0), &mut orders);
        pool.on_opened(at(0), 0, member(a, 0), &mut orders);
        pool.total += 1;
        pool.check_in(at(0), member(b, 1), &mut orders);
        shown(&mut orders);
        pool.tick(at(59_000), &mut orders);
        assert_eq!(shown(&mut orders), "");
        pool.tick(at(61_000), &mut orders);
        assert_eq!(shown(&mut orders), "retire 0");
    }
}
