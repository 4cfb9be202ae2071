//! Clients: accepted, listened to by their relays, and closed.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::conn::{Close, Pipe};
use super::counters::Counters;
use super::pool::Claim;
use super::{Owner, RECORDS_DELAY, Worker};
use crate::base::slab::{Key, Slab};
use crate::base::time::{Instant, Moment};
use crate::policy::condition::Phase;
use crate::reactor::{Chunk, Listener, Reactor, Socket};
use crate::relay::action::{Action, Actions};
use crate::relay::conduct::crowded;
use crate::relay::event::{Ending, Event, Side};
use crate::relay::record::Record;
use crate::relay::{Relay, Shared};
use crate::smtp::reply::Reply;
use crate::traffic::lane::Lane;
use crate::traffic::overload::Treatment;
use crate::traffic::register::Seat;

/// How long a client that was sent away may take to read our last reply. Seed 3202 of the simulation has one that
/// is three seconds away.
const LINGER: Duration = Duration::from_secs(5);
/// How long it may take before that, to read what was said earlier. Who reads nothing at all would stay for ever.
const FAREWELL: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Downstream {
    pub(super) pipe: Pipe,
    /// None: sent away, only the last bytes are under way.
    pub(super) relay: Option<Box<Relay>>,
    /// The upstream connection its relay has.
    pub(super) hop: Option<Key>,
    /// Its check-outs are numbered: an answer to an earlier one is none to this one.
    pub(super) number: u32,
    /// Its relay waits for one.
    pub(super) waits: bool,
    /// On which way it waits or got its connection.
    pub(super) way: Option<Key>,
    /// Where it was counted by its relay.
    seat: Option<Seat>,
    /// As whose it has a place; None: it was turned away, and has none.
    pub(super) lane: Option<Lane>,
    pub(super) since: Instant,
    /// It is not read, because its lane has read more than it may.
    pub(super) sits_out: bool,
    linger: bool,
    /// When it is closed, whatever is still under way.
    linger_until: Option<Instant>,
    armed: Option<Instant>,
}

impl Downstream {
    const fn new(socket: Socket, relay: Option<Box<Relay>>, lane: Option<Lane>, since: Instant) -> Self {
        Self {
            pipe: Pipe::new(socket),
            relay,
            hop: None,
            number: 0,
            waits: false,
            way: None,
            seat: None,
            lane,
            since,
            sits_out: false,
            linger: false,
            linger_until: None,
            armed: None,
        }
    }

    fn deadline(&self, shared: &Shared) -> Option<Instant> {
        self.linger_until.or_else(|| self.relay.as_ref().and_then(|relay| relay.deadline(shared)))
    }
}

impl<R: Reactor> Worker<R> {
    pub(super) fn on_accepted(
        &mut self,
        listener: Listener,
        socket: Socket,
        peer: SocketAddr,
        local: SocketAddr,
    ) {
        self.counters.sessions.increment();
        // Before anything is made for it.
        let now = self.now();
        let admitted = self.shared.admit(now, self.listeners[listener.0], peer.ip());
        let seat = match admitted {
            Ok(seat) => seat,
            Err(full) => {
                return self.turn_away(
                    listener,
                    socket,
                    self.shared.config.policy.lanes.others(),
                    &crowded(full),
                );
            }
        };
        let mut relay = Relay::new(now, &self.shared.config, self.listeners[listener.0], peer, local);
        relay.sit(seat);
        relay.place(now, &self.shared, Phase::Connect);
        let lane = relay.lane();
        if !self.has_room_for(lane) {
            self.shared.leave(seat);
            self.counters.sessions_refused_full.increment();
            let reply = Reply::new(421, "4.3.2", "too many connections, come again");
            return self.turn_away(listener, socket, lane, &reply);
        }
        let key = self.insert_client(Downstream::new(socket, Some(Box::new(relay)), Some(lane), now));
        let listener = &self.shared.config.listeners[self.listeners[listener.0]];
        // Whoever may still prove to be somebody else would keep a small window for all that follows.
        let is_final = listener.auth.is_none()
            && !listener.must_speak_proxy(peer.ip())
            && !listener.may_xclient(peer.ip());
        if is_final && self.shared.treatment(lane) != Treatment::Serve {
            self.reactor.narrow(socket);
        }
        self.reactor.receive(socket);
        self.tell(key, Event::Opened);
    }

    /// How many there are changed. Who does nothing has less time for it while nearly all places are taken.
    fn note_clients(&mut self) {
        let clients = self.clients.len();
        self.counters.sessions_now.set(clients as u64);
        let places = self.shared.config.workers.connections;
        self.shared.hurried = is_hurried(self.shared.hurried, clients, places);
    }

    /// No room: 421 is kinder than silence (RFC 5321 §3.8), where it can be said in clear.
    fn turn_away(&mut self, listener: Listener, socket: Socket, lane: Lane, reply: &Reply) {
        self.counters.lanes[lane.index()].turned_away.increment();
        if self.shared.config.listeners[self.listeners[listener.0]].tls.is_implicit() {
            return self.reactor.close(socket);
        }
        let mut client = Downstream::new(socket, None, None, self.now());
        let mut farewell = Vec::new();
        reply.write(&mut farewell);
        client.pipe.queue(&mut farewell);
        client.pipe.close = Close::WhenSent;
        client.linger_until = Some(self.now() + FAREWELL);
        let key = self.insert_client(client);
        self.arm_client(key);
        self.dirty.push(Owner::Client(key));
    }

    fn insert_client(&mut self, client: Downstream) -> Key {
        let (socket, lane) = (client.pipe.socket, client.lane);
        let key = self.clients.insert(client);
        self.own(socket, Owner::Client(key));
        lane.into_iter().for_each(|lane| self.lanes.enter(lane, &self.counters));
        self.note_clients();
        key
    }

    pub(super) fn on_client_bytes(&mut self, key: Key, chunk: &Chunk) {
        let now = self.reactor.now();
        let bytes = self.reactor.bytes(chunk);
        self.counters.received_bytes.add(bytes.len() as u64);
        let event = Event::Received(Side::Downstream, bytes);
        handle(&mut self.clients, &mut self.shared, &self.counters, &mut self.actions, key, now, event);
        self.carry_out(key);
    }

    /// Tells a relay what happened; [`carry_out`](Self::carry_out) has to follow.
    pub(super) fn hear(&mut self, key: Key, event: Event<'_>) {
        let now = self.reactor.now();
        handle(&mut self.clients, &mut self.shared, &self.counters, &mut self.actions, key, now, event);
    }

    /// Under TLS an end that the client did not announce may be somebody else's.
    pub(super) fn on_client_ended(&mut self, key: Key, ending: Ending) {
        let now = self.now();
        match self.clients.at_mut(key) {
            Some(client) if client.relay.is_some() => {
                let ending = if client.pipe.ends_cleanly() { ending } else { Ending::Broken };
                self.tell(key, Event::Ended(Side::Downstream, ending));
            }
            // Whoever sends FIN right behind QUIT still hears what was said; there is nothing to read then.
            Some(client) if ending == Ending::Closed && !client.pipe.is_drained() => {
                client.linger = false;
                client.linger_until = Some(now + LINGER);
                self.arm_client(key);
            }
            Some(_) => self.close_client(key),
            None => {}
        }
    }

    /// Tells a relay what happened, and does what it asks for.
    pub(super) fn tell(&mut self, key: Key, event: Event<'_>) {
        self.hear(key, event);
        self.carry_out(key);
    }

    /// Carries out everything the relay asked for: bytes first, then the list in order.
    pub(super) fn carry_out(&mut self, key: Key) {
        let mut actions = std::mem::take(&mut self.actions);
        self.queue_bytes(key, &mut actions);
        for action in actions.list.drain(..) {
            self.carry_out_one(key, action);
        }
        self.recycle(&mut actions);
        self.actions = actions;
        self.note_lane(key);
        self.arm_client(key);
    }

    fn arm_client(&mut self, key: Key) {
        let Some(client) = self.clients.at(key) else { return };
        let (deadline, armed) = (client.deadline(&self.shared), client.armed);
        let armed = self.arm(Owner::Client(key), deadline, armed);
        if let Some(client) = self.clients.at_mut(key) {
            client.armed = armed;
        }
    }

    fn queue_bytes(&mut self, key: Key, actions: &mut Actions) {
        let Some(client) = self.clients.at_mut(key) else { return };
        if !actions.downstream.is_empty() {
            client.pipe.queue(&mut actions.downstream);
            self.dirty.push(Owner::Client(key));
        }
        let hop = client.hop;
        if actions.upstream.is_empty() {
            return;
        }
        if let Some((hop, key)) = hop.and_then(|key| Some((self.hops.at_mut(key)?, key))) {
            hop.pipe.queue(&mut actions.upstream);
            self.dirty.push(Owner::Hop(key));
        }
    }

    /// Empty buffers go into the next actions, larger ones among them first.
    fn recycle(&mut self, actions: &mut Actions) {
        actions.downstream.clear();
        actions.upstream.clear();
        for buffer in [&mut actions.downstream, &mut actions.upstream] {
            if buffer.capacity() == 0 {
                *buffer = self.shared.spare.take_small();
            }
        }
    }

    fn carry_out_one(&mut self, key: Key, action: Action) {
        match action {
            Action::CheckOut { upstream, hosts, fresh, standing, bound, identity } => {
                let way = self.way(upstream, hosts);
                self.check_out(way, Claim { relay: key, standing, fresh, bound, own: None }, identity);
            }
            Action::CancelCheckOut => self.cancel_check_out(key),
            Action::CheckIn(client, heard) => self.check_in(key, client, heard),
            Action::Discard(reason, heard) => self.discard(key, reason, heard),
            Action::Answered(owed) => self.note_answered(key, owed),
            Action::Confirm => self.confirming.push(key),
            Action::Ask { query, question, patience } => {
                let now = self.now();
                self.asker.ask(now, (key, query), question, patience, &self.counters);
            }
            Action::CancelAsk(query) => self.asker.forget(key, query),
            Action::Pace { stepwise } => {
                self.on_socket(key, |reactor, socket| reactor.pace(socket, stepwise))
            }
            Action::StartTls { early } => self.start_client_tls(key, early),
            Action::Pause => self.on_socket(key, R::pause),
            Action::Resume if self.sits_out(key) => {}
            Action::Resume => self.on_socket(key, R::receive),
            Action::Finish { linger } => self.finish(key, linger),
            Action::Abort => self.close_client(key),
            Action::Record(record) => self.record(key, &record),
        }
    }

    pub(super) fn on_socket(&mut self, key: Key, operation: impl FnOnce(&mut R, Socket)) {
        if let Some(client) = self.clients.at(key) {
            operation(&mut self.reactor, client.pipe.socket);
        }
    }

    fn record(&mut self, key: Key, record: &Record) {
        let relay = self.clients.at(key).and_then(|client| client.relay.as_ref());
        self.counters.count(record, relay.map_or(Lane(0), |relay| relay.lane()));
        if self.records.is_open() {
            record.write_json_line(&mut self.batch);
            self.housekeeping = self.housekeeping.min(self.now() + RECORDS_DELAY);
        }
    }

    fn finish(&mut self, key: Key, linger: bool) {
        self.asker.forget_all(key);
        let until = self.now() + FAREWELL;
        let Some(client) = self.clients.at_mut(key) else { return };
        client.seat = client.relay.take().and_then(|relay| relay.seat());
        client.linger = linger;
        client.linger_until = Some(until);
        client.pipe.end();
        self.dirty.push(Owner::Client(key));
    }

    pub(super) fn flush_client(&mut self, key: Key) {
        let now = self.now();
        let Some(client) = self.clients.at_mut(key) else { return };
        client.pipe.flush(&mut self.reactor);
        if client.pipe.is_broken() {
            return self.on_client_ended(key, Ending::Broken);
        }
        if client.pipe.close != Close::WhenSent || !client.pipe.is_drained() {
            return;
        }
        if !client.linger {
            return self.close_client(key);
        }
        client.pipe.close = Close::Lingering;
        client.linger_until = Some(now + LINGER);
        let socket = client.pipe.socket;
        self.reactor.shutdown(socket);
        self.reactor.receive(socket);
        self.arm_client(key);
    }

    pub(super) fn close_client(&mut self, key: Key) {
        let Some(client) = self.clients.remove(key) else { return };
        self.asker.forget_all(key);
        self.disown(client.pipe.socket);
        self.reactor.close(client.pipe.socket);
        self.shared.leave(client.relay.as_ref().map_or(client.seat, |relay| relay.seat()));
        client.lane.into_iter().for_each(|lane| self.lanes.leave(lane, &self.counters));
        self.note_clients();
    }

    pub(super) fn look_at_client(&mut self, key: Key, look: Instant) {
        let now = self.now();
        let Some(client) = self.clients.at_mut(key) else { return };
        if client.armed != Some(look) {
            return;
        }
        client.armed = None;
        match client.deadline(&self.shared) {
            Some(deadline) if deadline <= now && client.linger_until.is_some() => self.close_client(key),
            Some(deadline) if deadline <= now => self.tell(key, Event::Expired),
            _ => self.arm_client(key),
        }
    }

    /// The worker ends: the client hears so, if it is not in the middle of something.
    pub(super) fn interrupt(&mut self, key: Key) {
        let Some(client) = self.clients.at_mut(key) else { return };
        if client.relay.is_some() && client.pipe.can_speak() {
            Reply::new(421, "4.3.2", "shutting down, come again soon").write(&mut self.actions.downstream);
            client.pipe.queue(&mut self.actions.downstream);
            self.dirty.push(Owner::Client(key));
        }
    }
}

/// Whether places are short: from nine tenths of them, until four fifths are left.
const fn is_hurried(hurried: bool, clients: usize, places: usize) -> bool {
    clients * 10 >= places * if hurried { 8 } else { 9 }
}

/// Calls the relay. A panic in it is a bug of ours, and ends this connection only.
pub(super) fn handle(
    clients: &mut Slab<Downstream>,
    shared: &mut Shared,
    counters: &Counters,
    actions: &mut Actions,
    key: Key,
    now: Moment,
    event: Event<'_>,
) {
    let Some(relay) = clients.at_mut(key).and_then(|client| client.relay.as_mut()) else { return };
    let handled = catch_unwind(AssertUnwindSafe(|| relay.handle(now, event, shared, actions)));
    if handled.is_err() {
        counters.panics.increment();
        relay.on_panic(now.instant, shared, actions);
    }
}
