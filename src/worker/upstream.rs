//! Connections to next hops: opened for the pools, lent to relays, taken back or given up.

use std::time::Duration;

use super::conn::Pipe;
use super::downstream::Downstream;
use super::hop::{Dedicated, Hop, Progress, State, Wanted};
use super::pool::{Member, Order, Purpose};
use super::{Owner, Worker};
use crate::base::slab::Key;
use crate::base::time::Instant;
use crate::policy::settings::IdentityMode;
use crate::policy::tls::UpstreamTls;
use crate::reactor::{Chunk, Errno, Reactor, Socket};
use crate::relay::action::DiscardReason;
use crate::relay::event::{Ending, Event, Lease, Side};
use crate::smtp::client::Client;
use crate::smtp::extension::Capabilities;
use crate::smtp::proxy_protocol;
use crate::smtp::xforward::Identity;

/// How long a server that failed to do TLS is not asked for it again.
const IN_CLEAR: Duration = Duration::from_secs(600);

impl<R: Reactor> Worker<R> {
    pub(super) fn check_out(
        &mut self,
        relay: Key,
        upstream: usize,
        fresh: bool,
        identity: Option<Box<Identity>>,
    ) {
        let now = self.now();
        let Some(client) = self.clients.at_mut(relay) else { return };
        client.waits = true;
        client.upstream = upstream;
        client.number = client.number.wrapping_add(1);
        let number = client.number;
        let mut orders = Vec::new();
        match identity {
            Some(identity) => {
                self.pools[upstream].check_out_dedicated(now, relay, number, identity, &mut orders);
            }
            None => self.pools[upstream].check_out(now, relay, fresh, &mut orders),
        }
        if fresh {
            self.counters.upstreams[upstream].retries.increment();
        }
        self.queue_pool_orders(upstream, &mut orders);
    }

    pub(super) fn cancel_check_out(&mut self, relay: Key) {
        let Some(client) = self.clients.at_mut(relay) else { return };
        client.waits = false;
        self.pools[client.upstream].cancel(relay);
    }

    pub(super) fn queue_pool_orders(&mut self, upstream: usize, orders: &mut Vec<Order>) {
        self.orders_of_pools.extend(orders.drain(..).map(|order| (upstream, order)));
    }

    pub(super) fn carry_out_pool_orders(&mut self) {
        while let Some((upstream, order)) = self.orders_of_pools.pop_front() {
            match order {
                Order::Connect { server, purpose } => self.connect(upstream, server, purpose),
                Order::Grant { conn, relay } => self.grant(conn, relay, false),
                Order::Retire { conn } => self.retire(conn),
                Order::Refuse { relay } => self.refuse(relay),
            }
        }
    }

    fn connect(&mut self, upstream: usize, server: usize, purpose: Purpose) {
        self.counters.upstreams[upstream].connects.increment();
        let now = self.now();
        let config = &self.shared.config.upstreams[upstream];
        let deadline = now + config.timeout.connect;
        let dedicated = match purpose {
            Purpose::Pooled => None,
            Purpose::Dedicated { relay, number, identity } => {
                let told = config.identity != IdentityMode::Xclient;
                Some(Dedicated { relay, number, identity, told })
            }
        };
        let Ok(socket) = self.reactor.connect(config.servers[server].address) else {
            let relay = dedicated.map(|dedicated| (dedicated.relay, dedicated.number));
            return self.on_open_failed(upstream, server, relay);
        };
        let expires = now + self.pools[upstream].lifetime();
        let key = self.hops.insert(Hop {
            pipe: Pipe::new(socket),
            upstream,
            server,
            state: State::Opening(Box::new(Client::new())),
            tls: self.wanted_tls(upstream, server, now),
            secured: None,
            dedicated,
            expires,
            messages: 0,
            deadline: None,
            armed: None,
        });
        self.own(socket, Owner::Hop(key));
        self.set_hop_deadline(key, Some(deadline));
    }

    /// What a new connection asks for: nothing of a server that could not do it a moment ago, where mail
    /// may go in clear.
    fn wanted_tls(&self, upstream: usize, server: usize, now: Instant) -> Wanted {
        let tls = &self.shared.config.upstreams[upstream].tls;
        let in_clear = self.clear_until[upstream][server].is_some_and(|until| now < until);
        match tls {
            UpstreamTls::Off => Wanted::Nothing,
            UpstreamTls::Offer(_) if in_clear => Wanted::Nothing,
            UpstreamTls::Offer(_) => Wanted::IfAnnounced,
            UpstreamTls::Require(_) | UpstreamTls::Verify(_) | UpstreamTls::Dane(_) => Wanted::Always,
        }
    }

    /// A handshake failed. Where TLS is only offered, mail goes in clear for a while; says whether it
    /// does.
    fn note_tls_failure(&mut self, upstream: usize, server: usize) -> bool {
        let now = self.now();
        let is_offered = matches!(self.shared.config.upstreams[upstream].tls, UpstreamTls::Offer(_));
        if is_offered {
            self.clear_until[upstream][server] = Some(now + IN_CLEAR);
        }
        is_offered
    }

    pub(super) fn on_connected(&mut self, socket: Socket, result: Result<(), Errno>) {
        let Some(Owner::Hop(key)) = self.owner(socket) else { return };
        if result.is_err() {
            return self.spoil(key, DiscardReason::Closed);
        }
        self.reactor.receive(socket);
        let Some(hop) = self.hops.at_mut(key) else { return };
        let mode = self.shared.config.upstreams[hop.upstream].identity;
        if let (IdentityMode::Proxy, Some(dedicated)) = (mode, &hop.dedicated) {
            let mut header = Vec::new();
            write_proxy_header(&dedicated.identity, &mut header);
            hop.pipe.queue(&mut header);
            self.dirty.push(Owner::Hop(key));
        }
    }

    pub(super) fn on_hop_bytes(&mut self, key: Key, chunk: &Chunk) {
        let Some(hop) = self.hops.at_mut(key) else { return };
        if let Some(relay) = hop.lent_to() {
            return self.on_next_hop_bytes(relay, chunk);
        }
        let mut out = Vec::new();
        let bytes = self.reactor.bytes(chunk);
        let progress = hop.receive(&self.shared.config.hostname, bytes, &mut out);
        self.on_hop_progress(key, progress, &mut out);
    }

    /// What a dialogue outside of transactions led to, and what is to be said in it.
    pub(super) fn on_hop_progress(&mut self, key: Key, progress: Progress, out: &mut Vec<u8>) {
        let Some(hop) = self.hops.at_mut(key) else { return };
        if !out.is_empty() {
            hop.pipe.queue(out);
            self.dirty.push(Owner::Hop(key));
        }
        match progress {
            Progress::Going => {}
            Progress::StartTls => self.start_hop_tls(key),
            Progress::Ready => self.on_ready(key),
            Progress::Clean => self.on_clean(key),
            Progress::Spoilt(reason) => self.spoil(key, reason),
        }
    }

    fn on_next_hop_bytes(&mut self, relay: Key, chunk: &Chunk) {
        let now = self.reactor.now();
        let bytes = self.reactor.bytes(chunk);
        let event = Event::Received(Side::Upstream, bytes);
        super::downstream::handle(
            &mut self.clients,
            &mut self.shared,
            &self.counters,
            &mut self.actions,
            relay,
            now,
            event,
        );
        self.carry_out(relay);
    }

    /// Greeted and EHLO done: what the server announced is noted, and the connection given out.
    fn on_ready(&mut self, key: Key) {
        self.note_capabilities(key);
        self.set_hop_deadline(key, None);
        let now = self.now();
        let Some(hop) = self.hops.at_mut(key) else { return };
        let (upstream, server) = (hop.upstream, hop.server);
        if let Some(relay) = hop.dedicated.as_ref().map(|dedicated| dedicated.relay) {
            self.pools[upstream].on_reached(server);
            return self.grant(key, relay, true);
        }
        hop.park();
        let mut orders = Vec::new();
        if let Some(member) = self.member(key) {
            self.pools[upstream].on_opened(now, server, member, &mut orders);
        }
        // Whoever waited for a fresh one gets this one as such.
        for order in orders.drain(..) {
            match order {
                Order::Grant { conn, relay } => self.grant(conn, relay, true),
                other => self.orders_of_pools.push_back((upstream, other)),
            }
        }
    }

    fn note_capabilities(&mut self, key: Key) {
        let Some(hop) = self.hops.at(key) else { return };
        let Some(capabilities) = hop.capabilities() else { return };
        let (upstream, server) = (hop.upstream, hop.server);
        if self.heard[upstream][server].as_ref() == Some(capabilities) {
            return;
        }
        self.heard[upstream][server] = Some(capabilities.clone());
        let known = self.heard[upstream].iter().flatten();
        let common = known.cloned().reduce(|a: Capabilities, b| a.intersect_end_to_end(&b));
        self.shared.capabilities[upstream] = common;
        self.shared.announce();
    }

    fn member(&self, key: Key) -> Option<Member> {
        let hop = self.hops.at(key)?;
        let ours = self.shared.config.upstreams[hop.upstream].pool.messages;
        let theirs = hop.capabilities().and_then(|capabilities| capabilities.limits.mail_max);
        Some(Member {
            conn: key,
            expires: hop.expires,
            messages: hop.messages,
            messages_max: theirs.unwrap_or(ours).min(ours).max(1),
        })
    }

    /// Lends the connection to the relay, if that still waits.
    fn grant(&mut self, conn: Key, relay: Key, fresh: bool) {
        let own = self.hops.at(conn).and_then(|hop| hop.dedicated.as_ref()).map(|own| own.number);
        let is_for = |client: &Downstream| client.waits && own.is_none_or(|number| number == client.number);
        if !self.clients.at(relay).is_some_and(is_for) {
            return self.take_back(conn);
        }
        let Some(hop) = self.hops.at_mut(conn) else { return };
        let Some(client) = hop.lend(relay) else { return };
        let server = self.shared.config.upstreams[hop.upstream].servers[hop.server].address;
        let secured = hop.secured.clone();
        let fresh = fresh || hop.messages == 0;
        if let Some(downstream) = self.clients.at_mut(relay) {
            downstream.waits = false;
            downstream.hop = Some(conn);
        }
        self.tell(relay, Event::CheckedOut(Lease { client, server, fresh, secured }));
    }

    /// Nobody wants it any more.
    fn take_back(&mut self, conn: Key) {
        let Some(hop) = self.hops.at(conn) else { return };
        if hop.dedicated.is_some() {
            return self.retire(conn);
        }
        self.return_to_pool(conn);
    }

    fn return_to_pool(&mut self, conn: Key) {
        let now = self.now();
        let Some(hop) = self.hops.at_mut(conn) else { return };
        hop.park();
        let upstream = hop.upstream;
        let mut orders = Vec::new();
        if let Some(member) = self.member(conn) {
            self.pools[upstream].check_in(now, member, &mut orders);
        }
        self.queue_pool_orders(upstream, &mut orders);
    }

    fn refuse(&mut self, relay: Key) {
        if let Some(client) = self.clients.at_mut(relay).filter(|client| client.waits) {
            client.waits = false;
            self.tell(relay, Event::CheckOutRefused);
        }
    }

    /// The relay is done with its connection, which is clean, or will be when RSET is answered.
    pub(super) fn check_in(&mut self, relay: Key, client: Box<Client>) {
        let Some(key) = self.clients.at_mut(relay).and_then(|downstream| downstream.hop.take()) else {
            return;
        };
        let deadline = self.now();
        let Some(hop) = self.hops.at_mut(key) else { return };
        hop.messages += 1;
        let quiet = client.is_quiet();
        let deadline = deadline + self.shared.config.upstreams[hop.upstream].timeout.reply;
        hop.state = if quiet { State::Parked(client) } else { State::Resetting(client) };
        if hop.dedicated.is_some() {
            self.retire(key);
        } else if quiet {
            self.return_to_pool(key);
        } else {
            self.set_hop_deadline(key, Some(deadline));
        }
    }

    fn on_clean(&mut self, key: Key) {
        self.set_hop_deadline(key, None);
        self.return_to_pool(key);
    }

    /// The relay gives its connection up.
    pub(super) fn discard(&mut self, relay: Key, reason: DiscardReason) {
        if let Some(key) = self.clients.at_mut(relay).and_then(|downstream| downstream.hop.take()) {
            self.remove_hop(key, reason);
        }
    }

    /// A connection that no relay has is of no use any more.
    pub(super) fn spoil(&mut self, key: Key, reason: DiscardReason) {
        match self.hops.at(key).map(|hop| &hop.state) {
            Some(State::Opening(_)) => self.fail_opening(key, reason),
            Some(State::Leaving) => self.close_hop(key),
            Some(State::Parked(_) | State::Resetting(_) | State::Lent(_)) => self.remove_hop(key, reason),
            None => {}
        }
    }

    fn fail_opening(&mut self, key: Key, reason: DiscardReason) {
        let Some(hop) = self.hops.at_mut(key) else { return };
        let (upstream, server) = (hop.upstream, hop.server);
        // However it ended: a server that hangs or falls silent in a handshake cannot do TLS either.
        let in_handshake = hop.is_shaking_hands();
        let dedicated = hop.dedicated.take();
        if in_handshake || reason == DiscardReason::Insecure {
            self.counters.upstreams[upstream].discards_insecure.increment();
        }
        self.close_hop(key);
        if in_handshake && self.note_tls_failure(upstream, server) {
            // Nobody has to come again for what can be had in clear now.
            return self.connect(upstream, server, dedicated.map_or(Purpose::Pooled, Purpose::from));
        }
        let relay = dedicated.map(|dedicated| (dedicated.relay, dedicated.number));
        self.on_open_failed(upstream, server, relay);
    }

    fn on_open_failed(&mut self, upstream: usize, server: usize, dedicated: Option<(Key, u32)>) {
        self.counters.upstreams[upstream].connect_failures.increment();
        let now = self.now();
        let mut orders = Vec::new();
        self.pools[upstream].on_failed(now, server, dedicated.is_none(), &mut orders);
        self.queue_pool_orders(upstream, &mut orders);
        let waits = |(relay, number): &(Key, u32)| {
            self.clients.at(*relay).is_some_and(|client| client.waits && client.number == *number)
        };
        if let Some((relay, _)) = dedicated.filter(waits) {
            self.orders_of_pools.push_back((upstream, Order::Refuse { relay }));
        }
    }

    /// Takes the connection out of its pool and closes it without a word.
    fn remove_hop(&mut self, key: Key, reason: DiscardReason) {
        let Some(upstream) = self.hops.at(key).map(|hop| hop.upstream) else { return };
        self.counters.upstreams[upstream].discard(reason).increment();
        self.close_hop(key);
        self.forget(upstream, key);
    }

    fn forget(&mut self, upstream: usize, key: Key) {
        let now = self.now();
        let mut orders = Vec::new();
        self.pools[upstream].on_gone(now, key, &mut orders);
        self.queue_pool_orders(upstream, &mut orders);
    }

    fn close_hop(&mut self, key: Key) {
        if let Some(hop) = self.hops.remove(key) {
            self.disown(hop.pipe.socket);
            self.reactor.close(hop.pipe.socket);
        }
    }

    /// Says QUIT, and waits a little for the answer.
    fn retire(&mut self, key: Key) {
        let now = self.now();
        let Some(hop) = self.hops.at_mut(key) else { return };
        let upstream = hop.upstream;
        hop.state = State::Leaving;
        hop.pipe.queue(&mut b"QUIT\r\n".to_vec());
        hop.pipe.end();
        let limit = self.shared.config.upstreams[upstream].timeout.connect;
        self.dirty.push(Owner::Hop(key));
        self.counters.upstreams[upstream].retired.increment();
        self.set_hop_deadline(key, Some(now + limit));
        self.part_from_one_too_many(upstream);
        self.forget(upstream, key);
    }

    /// No pool counts those that said QUIT: they may be as many again, no more.
    fn part_from_one_too_many(&mut self, upstream: usize) {
        let leaving = || self.hops.iter().filter(|(_, hop)| hop.upstream == upstream && hop.is_leaving());
        if leaving().count() > self.shared.config.upstreams[upstream].pool.max {
            let first = leaving().min_by_key(|(_, hop)| hop.deadline).map(|(key, _)| key);
            first.into_iter().for_each(|key| self.close_hop(key));
        }
    }

    pub(super) fn on_hop_ended(&mut self, key: Key, ending: Ending) {
        match self.hops.at(key).and_then(Hop::lent_to) {
            Some(relay) => self.tell(relay, Event::Ended(Side::Upstream, ending)),
            None => self.spoil(key, DiscardReason::Closed),
        }
    }

    fn set_hop_deadline(&mut self, key: Key, deadline: Option<Instant>) {
        let Some(hop) = self.hops.at_mut(key) else { return };
        hop.deadline = deadline;
        let armed = hop.armed;
        let armed = self.arm(Owner::Hop(key), deadline, armed);
        if let Some(hop) = self.hops.at_mut(key) {
            hop.armed = armed;
        }
    }

    pub(super) fn look_at_hop(&mut self, key: Key, look: Instant) {
        let now = self.now();
        let Some(hop) = self.hops.at_mut(key) else { return };
        if hop.armed != Some(look) {
            return;
        }
        hop.armed = None;
        let deadline = hop.deadline;
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.spoil(key, DiscardReason::TimedOut);
        } else {
            self.set_hop_deadline(key, deadline);
        }
    }

    pub(super) fn count_pools(&self) {
        for (pool, counters) in self.pools.iter().zip(&self.counters.upstreams) {
            counters.connections_idle.set(pool.parked() as u64);
            counters.connections_bound.set((pool.total() - pool.parked()) as u64);
        }
    }
}

fn write_proxy_header(identity: &Identity, out: &mut Vec<u8>) {
    let address =
        |ip: Option<std::net::IpAddr>, port: Option<u16>| Some(std::net::SocketAddr::new(ip?, port?));
    let source = address(identity.addr, identity.port);
    let destination = address(identity.destination_addr, identity.destination_port);
    if let (Some(source), Some(destination)) = (source, destination) {
        proxy_protocol::write_v2(source, destination, out);
    }
}
