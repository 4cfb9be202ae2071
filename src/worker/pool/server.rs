//! One server as a pool sees it: connections, how many may be in use, whether any may.

use super::{Member, Order, Parked};
use crate::base::slab::Key;
use crate::base::time::Instant;
use crate::traffic::balance::Load;
use crate::traffic::breaker::Breaker;
use crate::traffic::concurrency::{Bounds, Limit};

/// What finds out whether a server is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// A connection that is being opened.
    Opening,
    /// NOOP on this one, which was kept.
    Kept(Key),
}

#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) breaker: Breaker,
    pub(super) limit: Limit,
    /// At rest, the longest unused first.
    pub(super) parked: Vec<Parked>,
    /// All connections to it.
    pub(super) total: usize,
    /// Those among them that are being opened, for the pool or for one client.
    pub(super) opening: usize,
    pub(super) probe: Option<Probe>,
}

impl ServerState {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            breaker: Breaker::new(),
            limit: Limit::new(bounds),
            parked: Vec::new(),
            total: 0,
            opening: 0,
            probe: None,
        }
    }

    /// Connections in use: lent, or not yet at rest again.
    pub(super) const fn in_hand(&self) -> usize {
        self.total.saturating_sub(self.parked.len() + self.opening)
    }

    pub(super) fn note_in_hand(&mut self) {
        self.limit.note_in_hand(self.in_hand());
    }

    /// Messages can go there: it is not left alone, and there is a connection, or may be one.
    fn is_reachable(&self, now: Instant) -> bool {
        self.breaker.is_closed() && (self.total > self.opening || self.breaker.may_connect(now))
    }

    /// What it has, for whoever wants to use a connection to it.
    pub(super) fn load(&self, now: Instant) -> Load {
        match self.in_hand() {
            _ if !self.is_reachable(now) => Load::Unreachable,
            in_hand if in_hand >= self.limit.allowed() => Load::Full,
            in_hand => Load::Room(in_hand),
        }
    }

    /// The same for one of those at rest.
    pub(super) fn load_at_rest(&self, now: Instant) -> Load {
        match self.load(now) {
            Load::Room(_) if self.parked.is_empty() => Load::Full,
            load => load,
        }
    }

    /// The same for whoever wants to open one: all count that are there.
    pub(super) fn load_of_new(&self, now: Instant) -> Load {
        match self.in_hand() + self.opening {
            _ if !self.is_reachable(now) => Load::Unreachable,
            busy if busy >= self.limit.allowed() || !self.breaker.may_connect(now) => Load::Full,
            _ => Load::Room(self.total),
        }
    }

    /// Takes a connection from those at rest, if it is there.
    pub(super) fn unpark(&mut self, conn: Key) {
        self.parked.retain(|parked| parked.member.conn != conn);
    }

    pub(super) fn park(&mut self, now: Instant, member: Member) {
        self.parked.push(Parked { member, since: now });
    }

    /// None that is at rest is kept any more.
    pub(super) fn retire_parked(&mut self, orders: &mut Vec<Order>) {
        orders.extend(self.parked.drain(..).map(|parked| Order::Retire { conn: parked.member.conn }));
    }
}
