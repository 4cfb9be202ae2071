//! Connections to next hops: opened for the pools, lent to relays, taken back or given up.

use std::sync::Arc;
use std::time::Duration;

use super::conn::Pipe;
use super::downstream::Downstream;
use super::hop::{Dedicated, Hop, Progress, State};
use super::login::Login;
use super::pool::{Claim, Loan, Member, Order, Own, Pool, Purpose, Tally};
use super::way::{Share, Way};
use super::{Owner, Worker};
use crate::base::slab::Key;
use crate::base::time::Instant;
use crate::policy::mx::Hosts;
use crate::policy::settings::IdentityMode;
use crate::reactor::{Chunk, Errno, Reactor, Socket};
use crate::relay::action::{DiscardReason, Heard};
use crate::relay::event::{Ending, Event, Lease, Refusal, Side};
use crate::relay::yielding::Demand;
use crate::smtp::client::Client;
use crate::smtp::proxy_protocol;
use crate::smtp::xforward::Identity;
use crate::traffic::lane::Lane;

/// Ways that one worker has at a time, those among them to what a domain's servers were before.
const WAYS_MAX: usize = 4096;

impl<R: Reactor> Worker<R> {
    /// The way to these hosts, or to the servers that the configuration names.
    pub(super) fn way(&mut self, upstream: usize, hosts: Option<Arc<Hosts>>) -> Key {
        let configured = self.configured[upstream];
        let Some(hosts) = hosts else { return configured };
        let place = (upstream, hosts.domain.clone(), hosts.left_out);
        let known = self.looked_up.get(&place).copied();
        let same = |way: &Way| way.hosts.as_ref().is_some_and(|known| *known == hosts);
        if let Some(known) = known.filter(|key| self.ways.at(*key).is_some_and(same)) {
            return known;
        }
        if let Some(old) = known {
            // What holds now is something else: nobody new goes there.
            self.looked_up.remove(&place);
            self.on_pool(old, Pool::drain);
        }
        if self.ways.len() >= WAYS_MAX {
            self.forget_unused(Duration::ZERO);
            if self.ways.len() >= WAYS_MAX {
                return configured;
            }
        }
        let settings = &self.shared.config.upstreams[upstream];
        let shares = *self.shared.config.policy.lanes.shares();
        let seed = self.shared.random.u64(..);
        let way = Way::looked_up(upstream, settings, &self.policies[upstream], hosts, shares, seed);
        let key = self.ways.insert(way);
        self.looked_up.insert(place, key);
        if self.drain_until.is_some() {
            // Seed 6923 of the simulation: what is opened while we drain is not kept.
            self.on_pool(key, Pool::drain);
        }
        key
    }

    /// Lets go of ways that were looked up and nobody has been on for so long.
    pub(super) fn forget_unused(&mut self, patience: Duration) {
        let now = self.now();
        let ordered = |key: Key| self.orders_of_pools.iter().any(|(way, _)| *way == key);
        let keys = self.ways.keys().into_iter().filter(|key| !ordered(*key));
        for key in keys.collect::<Vec<_>>() {
            let Some(way) = self.ways.at_mut(key) else { continue };
            // Nobody comes any more to one that another has taken the place of.
            let patience = if way.pool.is_draining() { Duration::ZERO } else { patience };
            if way.hosts.is_none() || !way.is_unused(now, patience) {
                continue;
            }
            let Some(Way { upstream, hosts: Some(hosts), mut pool, .. }) = self.ways.remove(key) else {
                continue;
            };
            self.count_tally(upstream, pool.take_tally());
            let place = (upstream, hosts.domain.clone(), hosts.left_out);
            if self.looked_up.get(&place) == Some(&key) {
                self.looked_up.remove(&place);
            }
        }
    }

    pub(super) fn check_out(&mut self, way: Key, claim: Claim, identity: Option<Box<Identity>>) {
        let now = self.now();
        let Claim { relay, fresh, .. } = claim;
        let Some(upstream) = self.ways.at(way).map(|way| way.upstream) else { return };
        let Some(client) = self.clients.at_mut(relay) else { return };
        client.waits = true;
        client.way = Some(way);
        client.number = client.number.wrapping_add(1);
        let number = client.number;
        let own = identity.map(|identity| (number, identity));
        self.on_pool(way, |pool, orders| pool.check_out(now, Claim { own, ..claim }, orders));
        if fresh {
            self.counters.upstreams[upstream].retries.increment();
        }
    }

    pub(super) fn cancel_check_out(&mut self, relay: Key) {
        let Some(client) = self.clients.at_mut(relay) else { return };
        client.waits = false;
        if let Some(way) = client.way {
            self.on_pool(way, |pool, _| pool.cancel(relay));
        }
    }

    /// Tells the pool of a way what happened; what it orders is carried out when its turn comes.
    pub(super) fn on_pool(&mut self, key: Key, happened: impl FnOnce(&mut Pool, &mut Vec<Order>)) {
        let now = self.now();
        let Some(way) = self.ways.at_mut(key) else { return };
        let settings = &self.shared.config.upstreams[way.upstream];
        let Share { total, parked, starving } = &mut self.shares[way.upstream];
        let before = (way.pool.total(), way.pool.parked(), way.is_starving());
        // All ways of one upstream share its connections. While somebody has none, nobody gets one more, and
        // one that is lost is not replaced.
        let is_free = starving.front().is_none_or(|first| *first == key);
        let room = if is_free { settings.pool.max.saturating_sub(*total) } else { 0 };
        let max = way.connections_max(settings);
        way.pool.allow(max.min(before.0 + room).saturating_sub(usize::from(!is_free)));
        let mut orders = Vec::new();
        happened(&mut way.pool, &mut orders);
        *total = *total + way.pool.total() - before.0;
        match (before.2, way.is_starving()) {
            (false, true) => starving.push_back(key),
            (true, false) => starving.retain(|other| *other != key),
            _ => {}
        }
        if way.pool.total() < before.0 && !starving.is_empty() {
            // Who waits for that gets it in this turn.
            self.housekeeping = now;
        }
        *parked = *parked + way.pool.parked() - before.1;
        let is_short = way.pool.total() < max && *total >= settings.pool.max && way.pool.is_short(now);
        let is_short = way.hosts.is_some() && is_short && *parked > 0;
        let upstream = way.upstream;
        self.orders_of_pools.extend(orders.into_iter().map(|order| (key, order)));
        if is_short {
            self.make_room(upstream);
        }
    }

    /// Somebody waits on a way that may have another connection, if only there were more of them: one that is at
    /// rest is given up elsewhere.
    fn make_room(&mut self, upstream: usize) {
        let has_one = |way: &Way| way.upstream == upstream && way.pool.parked() > 0;
        let other = self.ways.iter().find(|(_, way)| has_one(way)).map(|(key, _)| key);
        other.into_iter().for_each(|key| self.on_pool(key, Pool::yield_one));
    }

    pub(super) fn carry_out_pool_orders(&mut self) {
        while let Some((way, order)) = self.orders_of_pools.pop_front() {
            match order {
                Order::Connect { server, purpose } => self.connect(way, server, purpose),
                Order::Grant { conn, relay, lane } => self.grant(conn, relay, Some(lane), false),
                Order::Probe { conn } => self.probe(conn),
                Order::Retire { conn } => self.retire(conn),
                Order::Refuse { relay, why } => self.refuse(relay, why),
            }
        }
    }

    fn connect(&mut self, key: Key, server: usize, purpose: Purpose) {
        let now = self.now();
        let Some(way) = self.ways.at_mut(key) else { return };
        let upstream = way.upstream;
        self.counters.upstreams[upstream].connects.increment();
        let config = &self.shared.config.upstreams[upstream];
        let dedicated = match purpose {
            Purpose::Pooled => None,
            Purpose::Dedicated { own: Own { relay, number, identity }, lane } => {
                let told = config.identity != IdentityMode::Xclient;
                Some(Dedicated { relay, number, identity, lane, told })
            }
        };
        let loan = dedicated.as_ref().map(|dedicated| Loan { lane: dedicated.lane, since: now });
        let Ok(socket) = self.reactor.connect(way.servers[server].address) else {
            let relay = dedicated.map(|dedicated| (dedicated.relay, dedicated.number));
            return self.on_open_failed(key, server, relay, loan);
        };
        let hop = self.hops.insert(Hop {
            pipe: Pipe::new(socket),
            way: key,
            server,
            upstream,
            state: State::Opening(Box::new(Client::new())),
            tls: way.servers[server].wanted_tls(now),
            secured: None,
            login: Login::new(config.auth.as_ref(), self.derived[upstream].clone()),
            dedicated,
            expires: now + way.pool.lifetime(),
            messages: 0,
            loan,
            deadline: None,
            armed: None,
        });
        let deadline = now + config.timeout.connect;
        self.own(socket, Owner::Hop(hop));
        self.set_hop_deadline(hop, Some(deadline));
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
        let (way, server, upstream) = (hop.way, hop.server, hop.upstream);
        self.derived[upstream] = hop.login.take_derived().or_else(|| self.derived[upstream].take());
        if let Some(relay) = hop.dedicated.as_ref().map(|dedicated| dedicated.relay) {
            self.on_pool(way, |pool, _| pool.on_reached(now, server));
            return self.grant(key, relay, None, true);
        }
        hop.park();
        let Some(member) = self.member(key) else { return };
        let mut orders = Vec::new();
        self.on_pool(way, |pool, _| pool.on_opened(now, member, &mut orders));
        // Whoever waited for a fresh one gets this one as such.
        for order in orders {
            match order {
                Order::Grant { conn, relay, lane } if conn == key => {
                    self.grant(conn, relay, Some(lane), true)
                }
                other => self.orders_of_pools.push_back((way, other)),
            }
        }
    }

    fn note_capabilities(&mut self, key: Key) {
        let Some(hop) = self.hops.at(key) else { return };
        let Some(capabilities) = hop.capabilities() else { return };
        let Some(way) = self.ways.at_mut(hop.way) else { return };
        if way.hosts.is_some() {
            // One domain's servers promise nothing for those of others.
            return;
        }
        let heard = &mut way.servers[hop.server].heard;
        if heard.as_ref() == Some(capabilities) {
            return;
        }
        *heard = Some(capabilities.clone());
        self.shared.capabilities[way.upstream] = way.common_capabilities();
        self.shared.announce();
    }

    fn member(&self, key: Key) -> Option<Member> {
        let hop = self.hops.at(key)?;
        let ours = self.shared.config.upstreams[hop.upstream].pool.messages;
        let theirs = hop.capabilities().and_then(|capabilities| capabilities.limits.mail_max);
        Some(Member {
            conn: key,
            server: hop.server,
            expires: hop.expires,
            messages: hop.messages,
            messages_max: theirs.unwrap_or(ours).min(ours).max(1),
        })
    }

    /// Lends the connection to the relay, if that still waits. One of its own is on its account already.
    fn grant(&mut self, conn: Key, relay: Key, lane: Option<Lane>, fresh: bool) {
        let now = self.now();
        let Some(hop) = self.hops.at_mut(conn) else { return };
        hop.loan = lane.map(|lane| Loan { lane, since: now }).or(hop.loan);
        let (way, own) = (hop.way, hop.dedicated.as_ref().map(|own| own.number));
        let is_for = |client: &Downstream| {
            client.waits && client.way == Some(way) && own.is_none_or(|number| number == client.number)
        };
        if !self.clients.at(relay).is_some_and(is_for) {
            return self.take_back(conn);
        }
        let Some(hop) = self.hops.at_mut(conn) else { return };
        let Some(client) = hop.lend(relay) else { return };
        let Some(server) = self.ways.at(hop.way).map(|way| way.servers[hop.server].address) else { return };
        let secured = hop.secured.clone();
        // Nobody's transaction was seen on it, however long it has been kept.
        let (kept, fresh) = (!fresh, fresh || hop.messages == 0);
        if let Some(downstream) = self.clients.at_mut(relay) {
            downstream.waits = false;
            downstream.hop = Some(conn);
        }
        self.tell(relay, Event::CheckedOut(Lease { client, server, fresh, kept, secured }));
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
        let (way, upstream) = (hop.way, hop.upstream);
        let share = &self.shares[upstream];
        let is_wanted = share.starving.front().is_some_and(|first| *first != way);
        if is_wanted && share.total >= self.shared.config.upstreams[upstream].pool.max {
            return self.retire(conn);
        }
        let loan = self.take_loan(conn);
        if let Some(member) = self.member(conn) {
            self.on_pool(way, |pool, orders| pool.check_in(now, member, loan, orders));
        }
    }

    fn take_loan(&mut self, conn: Key) -> Option<Loan> {
        self.hops.at_mut(conn).and_then(|hop| hop.loan.take())
    }

    /// Asks a connection that is at rest whether its server lives.
    fn probe(&mut self, conn: Key) {
        let now = self.now();
        let Some(hop) = self.hops.at_mut(conn) else { return };
        let mut out = Vec::new();
        hop.probe(&mut out);
        hop.pipe.queue(&mut out);
        let limit = self.shared.config.upstreams[hop.upstream].timeout.connect;
        self.dirty.push(Owner::Hop(conn));
        self.set_hop_deadline(conn, Some(now + limit));
    }

    /// The next hop answered an envelope.
    pub(super) fn note_answered(&mut self, relay: Key, owed: Duration) {
        let now = self.now();
        let hop = self.clients.at(relay).and_then(|client| self.hops.at(client.hop?));
        if let Some((way, server)) = hop.map(|hop| (hop.way, hop.server)) {
            self.on_pool(way, |pool, orders| pool.on_paid(now, server, owed, orders));
        }
    }

    /// What the relay heard on a connection, of which the pool hears next what becomes of it.
    fn note_heard(&mut self, conn: Key, heard: Heard) {
        let now = self.now();
        let Some((way, server)) = self.hops.at(conn).map(|hop| (hop.way, hop.server)) else { return };
        self.on_pool(way, |pool, orders| pool.on_heard(now, server, heard, orders));
    }

    fn refuse(&mut self, relay: Key, why: Refusal) {
        if let Some(client) = self.clients.at_mut(relay).filter(|client| client.waits) {
            client.waits = false;
            self.tell(relay, Event::CheckOutRefused(why));
        }
    }

    /// The relay is done with its connection, which is clean, or will be when RSET is answered.
    pub(super) fn check_in(&mut self, relay: Key, client: Box<Client>, heard: Heard) {
        let Some(key) = self.clients.at_mut(relay).and_then(|downstream| downstream.hop.take()) else {
            return;
        };
        self.note_heard(key, heard);
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
    pub(super) fn discard(&mut self, relay: Key, reason: DiscardReason, heard: Heard) {
        if let Some(key) = self.clients.at_mut(relay).and_then(|downstream| downstream.hop.take()) {
            self.note_heard(key, heard);
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
        let now = self.now();
        let Some(hop) = self.hops.at_mut(key) else { return };
        let (way, server, upstream) = (hop.way, hop.server, hop.upstream);
        // However it ended: a server that hangs or falls silent in a handshake cannot do TLS either.
        let in_handshake = hop.is_shaking_hands();
        let dedicated = hop.dedicated.take();
        if in_handshake || reason == DiscardReason::Insecure {
            self.counters.upstreams[upstream].discards_insecure.increment();
        }
        if reason == DiscardReason::Unauthenticated {
            self.counters.upstreams[upstream].discards_auth.increment();
        }
        self.close_hop(key);
        let goes_in_clear = in_handshake
            && self.ways.at_mut(way).is_some_and(|way| way.servers[server].note_tls_failure(now));
        if goes_in_clear {
            // Nobody has to come again for what can be had in clear now.
            return self.connect(way, server, dedicated.map_or(Purpose::Pooled, Purpose::from));
        }
        let loan = dedicated.as_ref().map(|dedicated| Loan { lane: dedicated.lane, since: now });
        let relay = dedicated.map(|dedicated| (dedicated.relay, dedicated.number));
        self.on_open_failed(way, server, relay, loan);
    }

    fn on_open_failed(&mut self, way: Key, server: usize, dedicated: Option<(Key, u32)>, loan: Option<Loan>) {
        let now = self.now();
        if let Some(way) = self.ways.at(way) {
            self.counters.upstreams[way.upstream].connect_failures.increment();
        }
        self.on_pool(way, |pool, orders| pool.on_failed(now, server, loan, orders));
        let waits = |(relay, number): &(Key, u32)| {
            self.clients.at(*relay).is_some_and(|client| client.waits && client.number == *number)
        };
        if let Some((relay, _)) = dedicated.filter(waits) {
            let why = Refusal::Unreachable;
            self.orders_of_pools.push_back((way, Order::Refuse { relay, why }));
        }
    }

    /// Takes the connection out of its pool and closes it without a word.
    fn remove_hop(&mut self, key: Key, reason: DiscardReason) {
        let Some(upstream) = self.hops.at(key).map(|hop| hop.upstream) else { return };
        self.counters.upstreams[upstream].discard(reason).increment();
        self.forget(key);
        self.close_hop(key);
    }

    /// No pool counts it any more.
    fn forget(&mut self, key: Key) {
        let now = self.now();
        let loan = self.take_loan(key);
        let Some((way, server)) = self.hops.at(key).map(|hop| (hop.way, hop.server)) else { return };
        self.on_pool(way, |pool, orders| pool.on_gone(now, server, key, loan, orders));
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
        self.forget(key);
        self.part_from_one_too_many(upstream);
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

    pub(super) fn count_pools(&mut self) {
        let now = self.now();
        let mut waits = vec![(0, Duration::ZERO); self.shares.len()];
        for key in self.ways.keys() {
            let Some(way) = self.ways.at_mut(key) else { continue };
            let (upstream, tally) = (way.upstream, way.pool.take_tally());
            let (waiting, oldest) = &mut waits[upstream];
            *waiting += way.pool.waiting();
            *oldest = way.pool.oldest_wait(now).max(*oldest);
            self.count_tally(upstream, tally);
        }
        for (upstream, (waiting, oldest)) in waits.into_iter().enumerate() {
            let counters = &self.counters.upstreams[upstream];
            let share = &self.shares[upstream];
            let (parked, bound) = (share.parked, share.total.saturating_sub(share.parked));
            let is_high = 2 * bound >= self.shared.config.upstreams[upstream].pool.max;
            self.shared.demand[upstream] = demand(waiting > 0, is_high);
            counters.connections_idle.set(parked as u64);
            counters.connections_bound.set(bound as u64);
            counters.waiting.set(waiting as u64);
            counters.oldest_wait_ms.set(u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX));
            let Some(way) = self.ways.at(self.configured[upstream]) else { continue };
            for (server, outlook) in counters.servers.iter().zip(way.pool.outlook()) {
                server.limit.set(outlook.limit as u64);
                server.in_hand.set(outlook.in_hand as u64);
                server.open.set(u64::from(!outlook.is_closed));
                server.ejected.set(u64::from(outlook.is_ejected));
            }
        }
    }

    fn count_tally(&self, upstream: usize, tally: Tally) {
        let counters = &self.counters.upstreams[upstream];
        counters.trips.add(tally.trips);
        counters.probes.add(tally.probes);
        counters.ejections.add(tally.ejections);
        counters.refused_overloaded.add(tally.shed);
        counters.refused_unreachable.add(tally.unreachable);
        counters.refused_retries.add(tally.retries_refused);
    }
}

/// How much connections to an upstream are wanted: relays whose clients are slow give theirs back.
const fn demand(somebody_waits: bool, is_high: bool) -> Demand {
    match (somebody_waits, is_high) {
        (true, _) => Demand::Waiting,
        (false, true) => Demand::High,
        (false, false) => Demand::Low,
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
