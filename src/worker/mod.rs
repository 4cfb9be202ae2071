//! One pinned thread: joins the mail half to the kernel half.
//!
//! Completions become events of relays and pools; what they ask for becomes operations. A worker
//! never blocks outside of [`Reactor::turn`] and shares nothing mutable but its own counters.
//!
//! * `downstream`: clients, from accept to close, and what their relays ask for;
//! * `upstream`: connections to next hops, and what the pools ask for;
//! * `tls`: records between chunks and what is heard, on both legs;
//! * `ask`: questions to the service side, and its answers; `bank`: what limits have to do with it;
//! * `lane`: who has room, who is shed, who is first;
//! * `conn`, `hop`, `pool`, `way`: the things themselves.
//!
//! What must always hold: every socket has at most one owner in the table; a relay has at most one
//! upstream connection; a panic in a relay ends that connection and nothing else.

pub mod ask;
pub mod audit;
mod bank;
mod conn;
pub mod control;
pub mod counters;
mod downstream;
mod hop;
mod lane;
mod login;
pub mod pool;
pub mod record_queue;
mod tls;
mod upstream;
mod way;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use crate::base::slab::{Key, Slab};
use crate::base::time::Instant;
use crate::base::timer_wheel::TimerWheel;
use crate::limits::RECORD_BATCH_BYTES_MAX;
use crate::policy::mx::Policies;
use crate::policy::settings::Config;
use crate::reactor::{Chunk, Completion, Errno, Reactor, Socket};
use crate::relay::Shared;
use crate::relay::action::Actions;
use crate::relay::event::{Ending, Event, Side};
use crate::smtp::sasl::client::Derived;
use crate::tls::server_policy::ServerPolicy;
use crate::traffic::intake::Intake;
use crate::traffic::lag::Lag;
use crate::traffic::lane::Lane;

use ask::Asker;
use conn::Pipe;
use control::Order;
use counters::Counters;
use downstream::Downstream;
use hop::Hop;
use lane::Occupancy;
use pool::Pool;
use record_queue::RecordQueue;
use way::{Share, Way};

const TIMER_TICK: Duration = Duration::from_millis(10);
/// A deadline farther than this is looked at in between: moving it then costs nothing.
const LOOK: Duration = Duration::from_secs(5);
/// How often pools are looked after: while they have what they want, and while not.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
const HOUSEKEEPING_PRESSED: Duration = Duration::from_millis(20);
/// How long a way to a domain is remembered that nobody uses; what its servers did wrong is, too.
const WAY_UNUSED: Duration = Duration::from_secs(120);
/// Turns that take so long, at the mean, are a load that cannot be carried: each client waits so long for each step.
const OVERLOADED: Duration = Duration::from_millis(10);
/// How long records are gathered before they are handed over.
const RECORDS_DELAY: Duration = Duration::from_millis(100);

/// Whose socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Client(Key),
    Hop(Key),
}

/// What a worker is made of, besides its reactor.
#[derive(Debug)]
pub struct Parts {
    pub config: Arc<Config>,
    pub index: usize,
    pub seed: u64,
    pub counters: Arc<Counters>,
    pub records: RecordQueue,
    pub asker: Asker,
    pub orders: mpsc::Receiver<Order>,
}

#[derive(Debug)]
pub struct Worker<R> {
    reactor: R,
    shared: Shared,
    counters: Arc<Counters>,
    records: RecordQueue,
    asker: Asker,
    orders: mpsc::Receiver<Order>,
    /// The configured listener behind each of the reactor's.
    listeners: Vec<usize>,
    clients: Slab<Downstream>,
    /// How many of them each lane has.
    lanes: Occupancy,
    hops: Slab<Hop>,
    ways: Slab<Way>,
    /// The one that each upstream of the configuration has.
    configured: Vec<Key>,
    /// Those to what was looked up, by upstream and domain, and how many of its hosts are left out.
    looked_up: HashMap<(usize, Box<str>, usize), Key>,
    /// What the ways of each upstream share.
    shares: Vec<Share>,
    /// What sessions toward each upstream are made from.
    policies: Vec<Policies>,
    /// By index of the socket.
    owners: Vec<Option<(Socket, Owner)>>,
    timers: TimerWheel<(Owner, Instant)>,
    housekeeping: Instant,
    /// What lanes may read, and who sits out.
    intake: Intake,
    sitting_out: Vec<Key>,
    /// Completions of a turn that are being looked at.
    reaped: Vec<(Lane, Completion)>,
    /// How long turns take.
    lag: Lag,
    /// Who has something to send, or ends, after this turn.
    dirty: Vec<Owner>,
    /// Orders of pools not carried out yet.
    orders_of_pools: VecDeque<(Key, pool::Order)>,
    /// Relays whose next hop said 2xx, to be looked at again a turn later.
    confirming: Vec<Key>,
    actions: Actions,
    /// Records of TLS that are being opened.
    wire: Vec<u8>,
    /// What sessions of each listener are made from.
    server_policies: Vec<Option<ServerPolicy>>,
    /// What logging in to each upstream need not make once more.
    derived: Vec<Option<Derived>>,
    /// Records as JSON lines, not handed over yet.
    batch: Vec<u8>,
    drain_until: Option<Instant>,
    /// All is to end when this turn is over.
    stopping: bool,
    stopped: bool,
}

impl<R: Reactor> Worker<R> {
    pub fn new(reactor: R, parts: Parts) -> Self {
        let now = reactor.now().instant;
        let config = &parts.config;
        let mut seeds = fastrand::Rng::with_seed(parts.seed);
        let mut ways = Slab::new();
        let policies: Vec<_> = config.upstreams.iter().map(Policies::apart).collect();
        let shares = *config.policy.lanes.shares();
        let way = |(upstream, (settings, policies))| {
            ways.insert(Way::configured(upstream, settings, policies, shares, seeds.u64(..)))
        };
        let configured = config.upstreams.iter().zip(&policies).enumerate().map(way).collect();
        Self {
            ways,
            configured,
            looked_up: HashMap::new(),
            shares: vec![Share::default(); config.upstreams.len()],
            policies,
            shared: Shared::new(Arc::clone(config), parts.index, seeds.u64(..)),
            reactor,
            counters: parts.counters,
            records: parts.records,
            asker: parts.asker,
            orders: parts.orders,
            listeners: Vec::new(),
            clients: Slab::new(),
            lanes: Occupancy::default(),
            hops: Slab::new(),
            owners: Vec::new(),
            timers: TimerWheel::new(now, TIMER_TICK),
            housekeeping: now,
            intake: Intake::default(),
            sitting_out: Vec::new(),
            reaped: Vec::new(),
            lag: Lag::new(now),
            dirty: Vec::new(),
            orders_of_pools: VecDeque::new(),
            confirming: Vec::new(),
            actions: Actions::default(),
            wire: Vec::new(),
            server_policies: config.listeners.iter().map(|listener| listener.tls.policy().cloned()).collect(),
            derived: vec![None; config.upstreams.len()],
            batch: Vec::new(),
            drain_until: None,
            stopping: false,
            stopped: false,
        }
    }

    pub const fn reactor_mut(&mut self) -> &mut R {
        &mut self.reactor
    }

    pub const fn reactor(&self) -> &R {
        &self.reactor
    }

    /// The next of the reactor's listeners belongs to this listener of the configuration.
    pub fn add_listener(&mut self, index: usize) {
        self.listeners.push(index);
    }

    /// Whether every upstream has announced what it can do.
    pub fn is_warm(&self) -> bool {
        self.shared.capabilities.iter().all(Option::is_some)
    }

    /// Turns until every upstream was heard, at most for `patience`.
    pub fn warm_up(&mut self, patience: Duration) {
        let until = self.reactor.now().instant + patience;
        while !self.is_warm() && self.reactor.now().instant < until {
            self.turn();
        }
    }

    /// Turns until told to end.
    pub fn run(&mut self) {
        while !self.is_finished() {
            self.turn();
        }
        self.hand_over_records();
    }

    /// Nothing is left to do after a drain, or it was told to stop.
    pub fn is_finished(&self) -> bool {
        self.stopped || self.drain_until.is_some() && self.clients.is_empty()
    }

    /// Waits for the kernel once, and does all that follows.
    pub fn turn(&mut self) {
        self.refill_intake();
        let deadline = self.next_deadline();
        let confirming = std::mem::take(&mut self.confirming);
        self.reactor.turn(Some(deadline));
        self.measure();
        self.on_completions();
        for key in confirming {
            self.tell(key, Event::Confirmed);
            self.carry_out_pool_orders();
        }
        self.take_answers();
        self.expire();
        self.keep_house();
        if self.stopping {
            self.stop();
        }
        self.ask_bank();
        self.flush();
    }

    /// How long the turn before took, and whether turns take too long.
    fn measure(&mut self) {
        let now = self.now();
        self.lag.observe(now, self.reactor.took());
        self.counters.count_turn(&self.lag);
        self.shared.bar.update(now, self.lag.mean() > OVERLOADED);
    }

    fn on_completions(&mut self) {
        let mut reaped = std::mem::take(&mut self.reaped);
        self.reap(&mut reaped);
        for (_, completion) in reaped.drain(..) {
            self.on_completion(completion);
            self.carry_out_pool_orders();
        }
        self.reaped = reaped;
    }

    fn now(&self) -> Instant {
        self.reactor.now().instant
    }

    fn next_deadline(&mut self) -> Instant {
        if !self.confirming.is_empty() || !self.sitting_out.is_empty() {
            return self.now();
        }
        let asked = self.asker.next_deadline(self.now());
        let swept = self.shared.limiter.next_sweep();
        self.timers.next_tick().into_iter().chain(asked).chain(swept).fold(self.housekeeping, Instant::min)
    }

    fn on_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted { listener, socket, peer, local } => {
                self.on_accepted(listener, socket, peer, local);
            }
            Completion::AcceptFailed { .. } => self.counters.accept_failures.increment(),
            Completion::Connected { socket, result } => self.on_connected(socket, result),
            Completion::Received { socket, chunk } => self.on_received(socket, chunk),
            Completion::Ended { socket, error } => self.on_ended(socket, error),
            Completion::Sent { socket, buffer, result } => self.on_sent(socket, buffer, result),
            Completion::Woken => self.take_orders(),
        }
    }

    /// Answers of the service, and what stands for those that did not come.
    fn take_answers(&mut self) {
        let mut answers = Vec::new();
        self.asker.collect(self.now(), &self.counters, &mut answers);
        self.hear_bank();
        for (relay, query, answer) in answers {
            self.tell(relay, Event::Answered(query, answer));
            self.carry_out_pool_orders();
        }
    }

    fn owner(&self, socket: Socket) -> Option<Owner> {
        let (known, owner) = (*self.owners.get(socket.0.index())?)?;
        (known == socket).then_some(owner)
    }

    fn own(&mut self, socket: Socket, owner: Owner) {
        let index = socket.0.index();
        if self.owners.len() <= index {
            self.owners.resize(index + 1, None);
        }
        self.owners[index] = Some((socket, owner));
    }

    fn disown(&mut self, socket: Socket) {
        self.owners[socket.0.index()] = None;
    }

    fn on_received(&mut self, socket: Socket, chunk: Chunk) {
        let (owner, octets) = (self.owner(socket), chunk.len as usize);
        let has_tls = owner.and_then(|owner| self.pipe(owner)).is_some_and(|pipe| pipe.has_tls());
        match owner {
            Some(owner) if has_tls => self.on_records(owner, &chunk),
            Some(Owner::Client(key)) => self.on_client_bytes(key, &chunk),
            Some(Owner::Hop(key)) => self.on_hop_bytes(key, &chunk),
            None => {}
        }
        self.reactor.release(chunk);
        if let Some(Owner::Client(key)) = owner {
            self.note_intake(key, octets);
        }
    }

    fn on_ended(&mut self, socket: Socket, error: Option<Errno>) {
        let ending = if error.is_none() { Ending::Closed } else { Ending::Broken };
        if let Some(owner) = self.owner(socket) {
            self.on_stream_ended(owner, ending);
        }
    }

    fn on_stream_ended(&mut self, owner: Owner, ending: Ending) {
        match owner {
            Owner::Client(key) => self.on_client_ended(key, ending),
            Owner::Hop(key) => self.on_hop_ended(key, ending),
        }
    }

    fn on_sent(&mut self, socket: Socket, buffer: Vec<u8>, result: Result<usize, Errno>) {
        self.shared.spare.put(buffer);
        let Some(owner) = self.owner(socket) else { return };
        let Some(pipe) = self.pipe(owner) else { return };
        let plain = pipe.on_sent();
        match (owner, result) {
            (_, Err(_)) => self.on_ended(socket, Some(Errno(0))),
            (Owner::Client(key), Ok(bytes)) => {
                self.counters.sent_bytes.add(bytes as u64);
                self.tell(key, Event::Sent(Side::Downstream, plain));
            }
            (Owner::Hop(key), Ok(_)) => {
                // What TLS itself has to say is no progress of the message.
                if let Some(relay) = self.hops.at(key).and_then(Hop::lent_to).filter(|_| plain > 0) {
                    self.tell(relay, Event::Sent(Side::Upstream, plain));
                }
            }
        }
        self.dirty.push(owner);
    }

    fn pipe(&mut self, owner: Owner) -> Option<&mut Pipe> {
        match owner {
            Owner::Client(key) => self.clients.at_mut(key).map(|client| &mut client.pipe),
            Owner::Hop(key) => self.hops.at_mut(key).map(|hop| &mut hop.pipe),
        }
    }

    /// Sends what was queued in this turn, one write for each socket; ends what has ended.
    fn flush(&mut self) {
        for owner in std::mem::take(&mut self.dirty) {
            match owner {
                Owner::Client(key) => self.flush_client(key),
                Owner::Hop(key) => self.flush_hop(key),
            }
        }
    }

    fn flush_hop(&mut self, key: Key) {
        let Some(hop) = self.hops.at_mut(key) else { return };
        hop.pipe.flush(&mut self.reactor);
        if hop.pipe.is_broken() {
            self.on_hop_ended(key, Ending::Broken);
        }
    }

    /// Sets a deadline of `owner`, or leaves it to one that comes earlier.
    fn arm(&mut self, owner: Owner, deadline: Option<Instant>, armed: Option<Instant>) -> Option<Instant> {
        let Some(deadline) = deadline else { return armed };
        let look = deadline.min(self.now() + LOOK);
        if armed.is_some_and(|armed| armed <= look) {
            return armed;
        }
        self.timers.insert(look, (owner, look));
        Some(look)
    }

    fn expire(&mut self) {
        let now = self.now();
        let mut due = Vec::new();
        self.timers.advance(now, &mut due);
        for (owner, look) in due {
            match owner {
                Owner::Client(key) => self.look_at_client(key, look),
                Owner::Hop(key) => self.look_at_hop(key, look),
            }
            self.carry_out_pool_orders();
        }
    }

    fn keep_house(&mut self) {
        let now = self.now();
        if now < self.housekeeping && self.batch.len() < RECORD_BATCH_BYTES_MAX {
            return;
        }
        self.hand_over_records();
        self.take_orders();
        for key in self.ways.keys() {
            self.on_pool(key, |pool, orders| pool.tick(now, orders));
        }
        self.carry_out_pool_orders();
        self.forget_unused(WAY_UNUSED);
        self.count_pools();
        self.counters.count_conduct(&self.shared.tally, &self.shared.register);
        self.count_limits();
        if self.drain_until.is_some_and(|until| until <= now) {
            self.stopping = true;
        }
        let pressed = self.shed() || self.ways.iter().any(|(_, way)| way.pool.is_pressed(now));
        self.housekeeping = now + if pressed { HOUSEKEEPING_PRESSED } else { HOUSEKEEPING };
    }

    fn hand_over_records(&mut self) {
        if !self.batch.is_empty() {
            self.records.push(std::mem::take(&mut self.batch), &self.counters);
        }
    }

    fn take_orders(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Drain => self.drain(),
                Order::Stop => self.stopping = true,
                Order::Certificates(policies) => self.server_policies = policies.to_vec(),
            }
        }
    }

    /// No new clients; those in a transaction finish it, the others hear 421.
    fn drain(&mut self) {
        if self.drain_until.is_some() {
            return;
        }
        self.drain_until = Some(self.now() + self.shared.config.workers.timeout.drain);
        self.reactor.stop_listening();
        for key in self.clients.keys() {
            self.tell(key, Event::Drain);
        }
        for key in self.ways.keys() {
            self.on_pool(key, Pool::drain);
        }
        self.carry_out_pool_orders();
    }

    /// Ends all that still runs, when everything else of this turn is done; what was not acknowledged
    /// stays with its client.
    fn stop(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return; // They have heard it.
        }
        self.reactor.stop_listening();
        // Nobody will look at these once more, and to say no to them would make duplicates.
        for key in std::mem::take(&mut self.confirming) {
            self.tell(key, Event::Confirmed);
        }
        for key in self.clients.keys() {
            self.interrupt(key);
            // Nobody hears the answer any more.
            self.asker.forget_all(key);
        }
        self.flush();
        self.reactor.turn(Some(self.now()));
    }
}
