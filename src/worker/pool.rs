//! One worker's connections to one upstream: warm ones, busy ones, and who waits for one.
//!
//! Pure: told what happened, it appends [`Order`]s. The worker owns sockets and dialogues; the pool
//! owns numbers, the parked ones and the queue. How much a server may have in hand, whether it gets anything, which
//! one is next and who goes first is decided in [`crate::traffic`]; here it is put together.
//!
//! Whoever finds no connection waits, and is simply not answered: that is what holds clients back, and nobody is told to
//! come again before it must be. Sent away are: all, while no server can be tried soon (4.4.1); the newest of the worst
//! lane, when those who wait are more than can come through in time (4.3.2); silent retries beyond their budget. The
//! relay itself gives up when `wait` is over. Whoever was promised something (a recipient, at least) is never sent
//! away for others.
//!
//! What must always hold: connections never exceed `max`, nor connections in use of one server its limit (which may sink
//! below what is in use already); nobody waits who may go while a connection to a server that has room is at
//! rest; a dedicated connection is never parked; nobody waits while no server can be tried soon; a server whose
//! breaker is not closed gets nothing but one probe at a time.

mod server;

use std::time::Duration;

use crate::base::slab::Key;
use crate::base::time::Instant;
use crate::policy::settings::{Congestion, PoolLimits, Server};
use crate::relay::action::Heard;
use crate::relay::event::Refusal;
use crate::smtp::xforward::Identity;
use crate::traffic::balance::{Balance, Load};
use crate::traffic::breaker::Word;
use crate::traffic::concurrency::{Bounds, Debt};
use crate::traffic::lane::{Lane, Shares, Standing, Used};
use crate::traffic::retry::Budget;
use crate::traffic::turnstile::Turnstile;

use server::{Probe, ServerState};

/// New values of how long a connection is lent count so much: one part in this.
const HELD_NEW: u64 = 8;

/// What the worker is to do.
#[derive(Debug)]
pub enum Order {
    /// Open a connection to this server, for whom it is if it is dedicated.
    Connect { server: usize, purpose: Purpose },
    /// Lend this connection to this relay, on the account of this lane.
    Grant { conn: Key, relay: Key, lane: Lane },
    /// Say NOOP on this one, which is nobody's, and check it in when that was answered well.
    Probe { conn: Key },
    /// Say QUIT and close.
    Retire { conn: Key },
    /// Tell the relay that there is none for it.
    Refuse { relay: Key, why: Refusal },
}

/// What a connection is opened for.
#[derive(Debug)]
pub enum Purpose {
    Pooled,
    /// For one transaction of one client.
    Dedicated {
        own: Own,
        lane: Lane,
    },
}

/// Of whom a connection is to speak that is nobody else's.
#[derive(Debug)]
pub struct Own {
    pub relay: Key,
    /// Which of its check-outs it is for: another one has another identity.
    pub number: u32,
    pub identity: Box<Identity>,
}

/// Who wants a connection.
#[derive(Debug)]
pub struct Claim {
    pub relay: Key,
    pub standing: Standing,
    /// A silent retry: only a connection will do that was opened after it asked.
    pub fresh: bool,
    /// It was promised something, and is not sent away for others.
    pub bound: bool,
    /// It wants one of its own: number of the check-out, and for whom.
    pub own: Option<(u32, Box<Identity>)>,
}

/// A connection as the pool sees it when it becomes free.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub conn: Key,
    pub server: usize,
    /// When it is too old, jitter included.
    pub expires: Instant,
    /// Messages it carried.
    pub messages: u32,
    /// Messages it may carry: ours or the server's MAILMAX.
    pub messages_max: u32,
}

/// On whose account a connection is out, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loan {
    pub lane: Lane,
    pub since: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Parked {
    member: Member,
    since: Instant,
}

#[derive(Debug)]
struct Waiter {
    relay: Key,
    fresh: bool,
    own: Option<(u32, Box<Identity>)>,
}

/// What happened since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub trips: u64,
    pub probes: u64,
    pub ejections: u64,
    pub retries_refused: u64,
    /// Sent away because too many wait.
    pub shed: u64,
    /// Sent away because no server can be reached.
    pub unreachable: u64,
}

/// How one server stands, for whoever looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    pub limit: usize,
    pub in_hand: usize,
    /// Its breaker is.
    pub is_closed: bool,
    pub is_ejected: bool,
}

#[derive(Debug)]
pub struct Pool {
    limits: PoolLimits,
    servers: Vec<ServerState>,
    balance: Balance,
    shares: Shares,
    /// Connections out, by lane.
    used: Used,
    waiting: Turnstile<Waiter>,
    /// Those among them who want a fresh one, and one of their own.
    fresh: usize,
    owned: usize,
    /// All connections, in whatever state.
    total: usize,
    /// Those among them that are being opened for the pool.
    opening: usize,
    budget: Budget,
    /// Microseconds for which a connection is lent, of late.
    held: u64,
    tally: Tally,
    random: fastrand::Rng,
    draining: bool,
}

impl Pool {
    pub fn new(
        limits: PoolLimits,
        congestion: Congestion,
        shares: Shares,
        servers: &[Server],
        seed: u64,
    ) -> Self {
        let Congestion { min, adapts, ejects } = congestion;
        let bounds = Bounds { min: min.min(limits.max), max: limits.max, adapts };
        Self {
            limits,
            servers: servers.iter().map(|_| ServerState::new(bounds)).collect(),
            balance: Balance::new(servers.iter().map(|server| (server.weight, server.rank)), ejects),
            shares,
            used: Used::default(),
            waiting: Turnstile::new(shares),
            fresh: 0,
            owned: 0,
            total: 0,
            opening: 0,
            budget: Budget::new(limits.max),
            held: 0,
            tally: Tally::default(),
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
        let oldest = |server: &&mut ServerState| server.parked.first().map(|parked| parked.since);
        let with_some = self.servers.iter_mut().filter(|server| !server.parked.is_empty());
        if let Some(server) = with_some.min_by_key(oldest) {
            let parked = server.parked.remove(0);
            orders.push(Order::Retire { conn: parked.member.conn });
        }
    }

    /// A relay wants a connection.
    pub fn check_out(&mut self, now: Instant, claim: Claim, orders: &mut Vec<Order>) {
        if claim.fresh && !self.budget.take(now) {
            self.tally.retries_refused += 1;
            return orders.push(Order::Refuse { relay: claim.relay, why: Refusal::Retries });
        }
        if claim.own.is_none() {
            self.probe(now, orders);
            if !claim.fresh && self.lend_at_once(now, &claim, orders) {
                return;
            }
        }
        if self.is_hopeless(now) {
            self.tally.unreachable += 1;
            return orders.push(Order::Refuse { relay: claim.relay, why: Refusal::Unreachable });
        }
        if self.waiting.is_full() {
            self.shed(orders);
        }
        self.enqueue(now, claim);
        if self.owned > 0 {
            self.probe(now, orders);
        }
        self.open_wanted(now, orders);
        if self.is_overdue() {
            self.shed(orders);
        }
    }

    /// One that is at rest, if whoever comes may have it.
    fn lend_at_once(&mut self, now: Instant, claim: &Claim, orders: &mut Vec<Order>) -> bool {
        let lane = self.shares.known(claim.standing.lane);
        if !self.admits(lane) {
            return false;
        }
        let Some(member) = self.take_parked(now) else { return false };
        self.lend(now, member, claim.relay, lane, orders);
        true
    }

    fn enqueue(&mut self, now: Instant, claim: Claim) {
        self.fresh += usize::from(claim.fresh);
        self.owned += usize::from(claim.own.is_some());
        let waiter = Waiter { relay: claim.relay, fresh: claim.fresh, own: claim.own };
        self.waiting.push(now, claim.standing, claim.bound, waiter);
    }

    /// One waits no longer.
    fn note_left(&mut self, waiter: &Waiter) {
        self.fresh -= usize::from(waiter.fresh);
        self.owned -= usize::from(waiter.own.is_some());
    }

    /// The relay does not want one any more.
    pub fn cancel(&mut self, relay: Key) {
        if let Some(waiter) = self.waiting.cancel(|waiter| waiter.relay == relay) {
            self.note_left(&waiter);
        }
    }

    /// More wait than can come through in time: whoever would go last goes now, and need not wait for nothing.
    fn is_overdue(&self) -> bool {
        let slots = self.capacity() as u64;
        let waiting = self.waiting.len() as u64;
        let wait = u64::try_from(self.limits.wait.as_micros()).unwrap_or(u64::MAX);
        waiting > slots && slots > 0 && waiting.saturating_mul(self.held) / slots > wait
    }

    fn shed(&mut self, orders: &mut Vec<Order>) {
        if let Some(waiter) = self.waiting.shed() {
            self.note_left(&waiter);
            self.tally.shed += 1;
            orders.push(Order::Refuse { relay: waiter.relay, why: Refusal::Overloaded });
        }
    }

    /// A new pooled connection is greeted and ready.
    pub fn on_opened(&mut self, now: Instant, member: Member, orders: &mut Vec<Order>) {
        self.opening -= 1;
        self.on_reached(now, member.server);
        if self.place(now, member, orders)
            && matches!(self.servers[member.server].load(now), Load::Room(_))
            && let Some((lane, waiter)) = self.next_waiter(|waiter| waiter.own.is_none())
        {
            // Whoever wants a fresh one gets this one as such.
            self.servers[member.server].unpark(member.conn);
            self.lend(now, member, waiter.relay, lane, orders);
        }
        self.serve(now, orders);
        self.retire_if_draining(orders);
    }

    /// A connection is ready, or one of a client's own.
    pub fn on_reached(&mut self, now: Instant, server: usize) {
        let state = &mut self.servers[server];
        state.opening -= 1;
        if state.probe == Some(Probe::Opening) {
            self.on_probe_passed(now, server);
        } else {
            state.breaker.on_reached();
        }
    }

    /// A connection is clean again, and nobody's.
    pub fn check_in(&mut self, now: Instant, member: Member, loan: Option<Loan>, orders: &mut Vec<Order>) {
        self.settle(now, loan);
        if self.servers[member.server].probe == Some(Probe::Kept(member.conn)) {
            self.on_probe_passed(now, member.server);
        }
        self.place(now, member, orders);
        self.serve(now, orders);
        self.retire_if_draining(orders);
    }

    fn retire_if_draining(&mut self, orders: &mut Vec<Order>) {
        if self.draining {
            self.servers.iter_mut().for_each(|server| server.retire_parked(orders));
        }
    }

    /// Among those at rest, if it is good for one more.
    fn place(&mut self, now: Instant, member: Member, orders: &mut Vec<Order>) -> bool {
        let worn = member.messages >= member.messages_max || member.expires <= now;
        if worn {
            orders.push(Order::Retire { conn: member.conn });
        } else {
            self.servers[member.server].park(now, member);
        }
        !worn
    }

    /// Lets whoever waits have what is at rest, and opens what is missing.
    fn serve(&mut self, now: Instant, orders: &mut Vec<Order>) {
        while self.plain() > 0
            && self.somebody_may_go()
            && let Some(member) = self.take_parked(now)
        {
            let Some((lane, waiter)) = self.next_waiter(|waiter| !waiter.fresh && waiter.own.is_none())
            else {
                // Whoever may go wants another one.
                self.servers[member.server].park(now, member);
                break;
            };
            self.lend(now, member, waiter.relay, lane, orders);
        }
        self.open_wanted(now, orders);
    }

    /// Of the server that has least to do.
    fn take_parked(&mut self, now: Instant) -> Option<Member> {
        let Self { servers, balance, .. } = self;
        let server = balance.choose(now, |at| servers[at].load_at_rest(now))?;
        servers[server].parked.pop().map(|parked| parked.member)
    }

    fn lend(&mut self, now: Instant, member: Member, relay: Key, lane: Lane, orders: &mut Vec<Order>) {
        self.used.add(lane, 1);
        self.servers[member.server].note_in_hand();
        orders.push(Order::Grant { conn: member.conn, relay, lane });
        self.spread(now, orders);
    }

    fn next_waiter(&mut self, may_have: impl Fn(&Waiter) -> bool) -> Option<(Lane, Waiter)> {
        let capacity = self.capacity();
        let Self { waiting, shares, used, .. } = self;
        let admitted = |lane| admits(shares, used, capacity, lane);
        let (lane, waiter) = waiting.next(|lane, waiter| admitted(lane) && may_have(waiter))?;
        self.note_left(&waiter);
        Some((lane, waiter))
    }

    /// Connections that can be in use at a time, as servers are now.
    fn capacity(&self) -> usize {
        let open = self.servers.iter().filter(|server| server.breaker.is_closed());
        let allowed: usize = open.map(|server| server.limit.allowed()).sum();
        allowed.min(self.limits.max)
    }

    /// Whether anybody waits whose lane may have one more.
    fn somebody_may_go(&self) -> bool {
        let capacity = self.capacity();
        self.waiting.lanes().any(|lane| admits(&self.shares, &self.used, capacity, lane))
    }

    fn admits(&self, lane: Lane) -> bool {
        admits(&self.shares, &self.used, self.capacity(), lane)
    }

    /// What was lent is back.
    fn settle(&mut self, now: Instant, loan: Option<Loan>) {
        let Some(loan) = loan else { return };
        self.used.remove(loan.lane, 1);
        let held =
            u64::try_from(now.since(loan.since).as_micros()).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
        self.held = (self.held * (HELD_NEW - 1) + held) / HELD_NEW;
    }

    /// What a transaction that is over says of a server; its connection comes back in a moment.
    pub fn on_heard(&mut self, now: Instant, server: usize, heard: Heard, orders: &mut Vec<Order>) {
        let state = &mut self.servers[server];
        state.note_in_hand();
        if let Some(owed) = heard.content {
            state.limit.on_paid(now, Debt::Content, owed);
            self.balance.on_paid(server, owed);
        }
        if heard.word == Word::Sick {
            state.limit.on_sick(now);
        }
        if heard.passed {
            self.budget.on_passed(heard.retried);
        }
        self.balance.on_word(server, heard.word);
        if state.breaker.on_word(now, heard.word, &mut self.random) {
            self.on_tripped(now, orders);
        }
    }

    /// The replies to an envelope came, after so long.
    pub fn on_paid(&mut self, now: Instant, server: usize, owed: Duration, orders: &mut Vec<Order>) {
        if self.servers[server].limit.on_paid(now, Debt::Envelope, owed) && !self.waiting.is_empty() {
            self.serve(now, orders);
        }
    }

    /// A connection is gone, whatever it was doing, if it was not being opened.
    pub fn on_gone(
        &mut self,
        now: Instant,
        server: usize,
        conn: Key,
        loan: Option<Loan>,
        orders: &mut Vec<Order>,
    ) {
        self.total -= 1;
        self.settle(now, loan);
        let state = &mut self.servers[server];
        state.total -= 1;
        state.unpark(conn);
        state.note_in_hand();
        if state.probe == Some(Probe::Kept(conn)) {
            // Then the others that were kept are not worth much either, and a new one has to tell.
            state.probe = None;
            state.retire_parked(orders);
            state.breaker.on_probe_lost(now);
        }
        self.probe_if_wanted(now, orders);
        self.serve(now, orders);
    }

    /// A connection ended before it was ready: one of a client's own, if there is a loan.
    pub fn on_failed(&mut self, now: Instant, server: usize, loan: Option<Loan>, orders: &mut Vec<Order>) {
        self.total -= 1;
        self.opening -= usize::from(loan.is_none());
        if let Some(loan) = loan {
            self.used.remove(loan.lane, 1);
        }
        let state = &mut self.servers[server];
        state.total -= 1;
        state.opening -= 1;
        if state.probe.take_if(|probe| *probe == Probe::Opening).is_some() {
            state.breaker.on_probe_failed(now, &mut self.random);
            self.refuse_if_hopeless(now, orders);
        } else {
            let alone = state.total == state.opening;
            if state.breaker.on_unreachable(now, alone, &mut self.random) {
                self.on_tripped(now, orders);
            }
        }
        self.serve(now, orders);
    }

    fn on_tripped(&mut self, now: Instant, orders: &mut Vec<Order>) {
        self.tally.trips += 1;
        self.refuse_if_hopeless(now, orders);
    }

    fn refuse_if_hopeless(&mut self, now: Instant, orders: &mut Vec<Order>) {
        if self.waiting.is_empty() || !self.is_hopeless(now) {
            return;
        }
        self.tally.unreachable += self.waiting.len() as u64;
        (self.fresh, self.owned) = (0, 0);
        let refuse = |waiter: Waiter| Order::Refuse { relay: waiter.relay, why: Refusal::Unreachable };
        orders.extend(self.waiting.drain().map(refuse));
    }

    /// No server is worth waiting for.
    fn is_hopeless(&self, now: Instant) -> bool {
        !self.servers.iter().any(|server| server.breaker.is_promising(now))
    }

    fn on_probe_passed(&mut self, now: Instant, server: usize) {
        let state = &mut self.servers[server];
        state.probe = None;
        state.breaker.on_probe_passed();
        state.limit.restart(now);
        self.balance.on_back(now, server);
    }

    fn probe_if_wanted(&mut self, now: Instant, orders: &mut Vec<Order>) {
        if !self.waiting.is_empty() || self.limits.warm > 0 && !self.draining {
            self.probe(now, orders);
        }
    }

    /// Finds out about servers whose pause is over: on a connection that was kept, else on a new one.
    fn probe(&mut self, now: Instant, orders: &mut Vec<Order>) {
        for at in 0..self.servers.len() {
            let state = &self.servers[at];
            if state.breaker.is_probe_due(now) && state.opening == 0 && self.send_probe(at, orders) {
                self.servers[at].breaker.on_probe_begun(now);
                self.tally.probes += 1;
            }
        }
    }

    fn send_probe(&mut self, server: usize, orders: &mut Vec<Order>) -> bool {
        if let Some(parked) = self.servers[server].parked.pop() {
            let conn = parked.member.conn;
            self.servers[server].probe = Some(Probe::Kept(conn));
            orders.push(Order::Probe { conn });
            return true;
        }
        if self.total >= self.limits.max {
            // It comes when that one has gone.
            self.yield_one(orders);
            return false;
        }
        let own = if self.owned > 0 { self.next_waiter(|waiter| waiter.own.is_some()) } else { None };
        if own.is_none() && self.owned > 0 {
            return false;
        }
        self.servers[server].probe = Some(Probe::Opening);
        self.connect(server, own, orders);
        true
    }

    /// Retires what is old or idle, and opens what is missing. To be called about once a second,
    /// and more often while [`is_pressed`](Self::is_pressed).
    pub fn tick(&mut self, now: Instant, orders: &mut Vec<Order>) {
        self.tally.ejections += self.balance.review(now) as u64;
        let mut spare = self.parked().saturating_sub(self.limits.warm);
        let idle = self.limits.idle;
        for server in &mut self.servers {
            server.parked.retain(|parked| {
                let old = parked.member.expires <= now;
                let unused = spare > 0 && now.since(parked.since) >= idle;
                if old || unused {
                    spare = spare.saturating_sub(1);
                    orders.push(Order::Retire { conn: parked.member.conn });
                }
                !(old || unused)
            });
        }
        self.probe_if_wanted(now, orders);
        self.refuse_if_hopeless(now, orders);
        self.serve(now, orders);
    }

    /// All parked connections are retired, and none is kept any more.
    pub fn drain(&mut self, orders: &mut Vec<Order>) {
        self.draining = true;
        self.retire_if_draining(orders);
    }

    pub const fn has_waiters(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub const fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// For how long the one waits that has waited longest.
    pub fn oldest_wait(&self, now: Instant) -> Duration {
        self.waiting.oldest().map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Somebody waits, or the warm minimum is not there.
    pub fn is_pressed(&self, now: Instant) -> bool {
        !self.waiting.is_empty() || self.opening < self.wanted(now)
    }

    /// Somebody waits for whom no connection is in the making, though there is a server for it.
    pub fn is_short(&self, now: Instant) -> bool {
        self.opening < self.demand(now) && self.may_open(now)
    }

    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    pub const fn total(&self) -> usize {
        self.total
    }

    pub fn parked(&self) -> usize {
        self.servers.iter().map(|server| server.parked.len()).sum()
    }

    /// How each server stands, in their order.
    pub fn outlook(&self) -> impl Iterator<Item = Outlook> {
        self.servers.iter().enumerate().map(|(at, server)| Outlook {
            limit: server.limit.allowed(),
            in_hand: server.in_hand(),
            is_closed: server.breaker.is_closed(),
            is_ejected: self.balance.is_ejected(at),
        })
    }

    /// What happened since this was last called.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// The lifetime of a new connection, with jitter so that a pool does not age at once.
    pub fn lifetime(&mut self) -> Duration {
        self.limits.age.mul_f64(0.8 + self.random.f64() / 5.0)
    }

    /// Who waits for any pooled connection.
    const fn plain(&self) -> usize {
        self.waiting.len() - self.fresh - self.owned
    }

    fn open_wanted(&mut self, now: Instant, orders: &mut Vec<Order>) {
        self.make_room(now, orders);
        while self.total < self.limits.max && self.opening < self.wanted(now) {
            let Some(server) = self.choose_new(now) else { return };
            self.connect(server, None, orders);
        }
        while self.owned > 0 && self.total < self.limits.max {
            let Some(server) = self.choose_new(now) else { return };
            let Some(own) = self.next_waiter(|waiter| waiter.own.is_some()) else { return };
            self.connect(server, Some(own), orders);
        }
    }

    /// Opens one, for the pool or for whoever wants its own.
    fn connect(&mut self, server: usize, own: Option<(Lane, Waiter)>, orders: &mut Vec<Order>) {
        let own = own.and_then(|(lane, waiter)| Some((lane, waiter.relay, waiter.own?)));
        self.total += 1;
        self.servers[server].total += 1;
        self.servers[server].opening += 1;
        let purpose = match own {
            Some((lane, relay, (number, identity))) => {
                self.used.add(lane, 1);
                Purpose::Dedicated { own: Own { relay, number, identity }, lane }
            }
            None => {
                self.opening += 1;
                Purpose::Pooled
            }
        };
        orders.push(Order::Connect { server, purpose });
    }

    /// Where the next connection goes: to whoever has the fewest for its weight.
    fn choose_new(&mut self, now: Instant) -> Option<usize> {
        let Self { servers, balance, .. } = self;
        balance.choose(now, |at| servers[at].load_of_new(now))
    }

    fn may_open(&self, now: Instant) -> bool {
        self.balance.eligible(now, |at| self.servers[at].load_of_new(now)).next().is_some()
    }

    /// Who waits must not wait for parked ones to age that are of no use to it.
    fn make_room(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let full = self.total >= self.limits.max && self.opening == 0;
        if full && self.somebody_may_go() && self.demand(now) + self.owned > 0 && self.may_open(now) {
            self.yield_one(orders);
        }
    }

    /// A server that has less to do than others, and no connection that could be lent, gets one: or it would have
    /// nothing to do as long as the others have some at rest. Only where connections are kept at all.
    fn spread(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let is_bare = |server: &ServerState| {
            server.parked.is_empty()
                && server.opening == 0
                && matches!(server.load_of_new(now), Load::Room(_))
        };
        let some = self.limits.warm > 0 && self.servers.len() > 1 && !self.draining;
        if !some || !self.servers.iter().any(is_bare) {
            return;
        }
        let Self { servers, balance, .. } = self;
        let Some(best) = balance.choose(now, |at| servers[at].load(now)) else { return };
        if !is_bare(&self.servers[best]) {
            return;
        }
        if self.total < self.limits.max {
            self.connect(best, None, orders);
        } else {
            self.yield_one(orders);
        }
    }

    /// Connections that should be in the making: one for each waiter, and the warm minimum.
    fn wanted(&self, now: Instant) -> usize {
        let warm = if self.draining { 0 } else { self.limits.warm };
        self.demand(now).max(warm.saturating_sub(self.total - self.opening))
    }

    /// Connections that are missed: by those who want a fresh one, and by all others where none is at rest. Whoever
    /// waits beside one that is has to wait for its lane.
    fn demand(&self, now: Instant) -> usize {
        if self.waiting.is_empty() {
            return 0;
        }
        let with_room = self.balance.eligible(now, |at| self.servers[at].load(now));
        let usable: usize = with_room.map(|at| self.servers[at].parked.len()).sum();
        self.fresh + if usable == 0 { self.plain() } else { 0 }
    }
}

/// Whether one of this lane may have one more. Where nothing is out nobody is held back.
fn admits(shares: &Shares, used: &Used, capacity: usize, lane: Lane) -> bool {
    shares.is_one() || used.total() == 0 || shares.available(lane, used, capacity) > 0
}

#[cfg(test)]
mod tests;
