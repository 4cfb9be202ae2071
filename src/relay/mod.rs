//! One client connection and the next hop it is talking to at the moment: the mail half's heart.
//!
//! No IO, no clock, no socket: [`Relay::handle`] takes one [`Event`] and appends what follows to
//! [`Actions`]. The files, in the order in which a message meets them:
//!
//! * `session`: greeting, PROXY header, commands outside of mail; `auth`: AUTH; `manners`: who waits for us;
//!   `conduct`: who behaves how; `lane`: who is served first; `limits`: who has had enough;
//! * `envelope`: MAIL and RCPT, routing, and asking for a next hop;
//! * `lookup`: where a recipient's mail goes, if the DNS has to say it;
//! * `ahead`: DATA said together with RCPT, where the client will say it soon;
//! * `yielding`: whose connection others need more;
//! * `exchange`: what the next hop says, and what its loss means;
//! * `sender`: who is really sending, asked meanwhile;
//! * `recall`: what is remembered of those who send and receive it, and learnt from it;
//! * `flow`: content from the client, held or streamed up, its end, its verdict;
//! * `decision`: what is decided over content, and what becomes of it; `tag`: fields that say so;
//! * `ending`: how a transaction ends, and its record.
//!
//! Invariants (ARCHITECTURE.md): no 2xx for content before the next hop's 2xx for it; the end of
//! content goes up only after the verdict; a connection is checked in only when it is clean or owes
//! nothing but replies up to the one to RSET.

pub mod action;
pub mod ahead;
pub mod auth;
pub mod conduct;
mod content;
mod decision;
pub mod disposition;
mod ending;
mod envelope;
pub mod event;
mod exchange;
mod flow;
mod lane;
mod limits;
mod lookup;
mod manners;
mod meter;
pub mod quarantine;
pub mod question;
mod recall;
pub mod record;
mod seal;
mod sender;
mod session;
mod tag;
pub mod trace_field;
mod transaction;
pub mod yielding;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::spare::Spare;
use crate::base::time::{Instant, Moment};
use crate::limits::{
    FLOW_BYTES_HIGH, HELD_BYTES_HIGH, INPUT_BYTES_HIGH, REPLIES_PENDING_BYTES_MAX, UNSENT_BYTES_HIGH,
};
use crate::policy::inspect::Bench;
use crate::policy::settings::Config;
use crate::smtp::extension::{Capabilities, Offer};
use crate::smtp::reply::Reply;
use crate::traffic::lane::{Lane, Used};
use crate::traffic::limiter::Limiter;
use crate::traffic::overload::Bar;
use crate::traffic::patience::{HURRIED, Pace};
use crate::traffic::register::Register;
use crate::traffic::table::Seed;

use action::{Action, Actions};
use ahead::Foresight;
use conduct::Tally;
use content::Stand;
use event::{Event, Side};
use meter::Meter;
use question::Query;
use session::Session;
use trace_field::DateCache;
use transaction::{Hop, Transaction};
use yielding::Demand;

/// What the relays of one worker share.
#[derive(Debug)]
pub struct Shared {
    pub config: Arc<Config>,
    pub worker: usize,
    /// What the servers of each upstream last announced, all together; `None`: never heard.
    pub capabilities: Vec<Option<Capabilities>>,
    /// What we announce.
    pub offer: Offer,
    /// Bytes of windows, by the lane of the messages that hold them.
    pub windows: Used,
    /// Whom to send away.
    pub bar: Bar,
    /// Clients whose next command is held back.
    pub tarpits: usize,
    /// Who has behaved how, and who is here.
    pub register: Register,
    pub tally: Tally,
    /// Places for clients are short: who does nothing has less time for it.
    pub hurried: bool,
    /// How much the connections of each upstream are wanted.
    pub demand: Vec<Demand>,
    /// For each upstream: whether DATA may be said ahead.
    pub foresight: Vec<Foresight>,
    pub random: fastrand::Rng,
    pub date: DateCache,
    pub spare: Spare,
    /// How much may come.
    pub limiter: Limiter,
    /// For looking into content.
    pub bench: Bench,
}

impl Shared {
    pub fn new(config: Arc<Config>, worker: usize, seed: u64) -> Self {
        let secret = Seed::new(fastrand::Rng::with_seed(!seed).u128(..));
        let mut shared = Self {
            capabilities: config.upstreams.iter().map(lookup::promised).collect(),
            offer: Offer::default(),
            windows: Used::default(),
            bar: Bar::new(config.policy.lanes.shares().count()),
            tarpits: 0,
            foresight: config.upstreams.iter().map(|up| Foresight::new(up.data_ahead)).collect(),
            register: Register::new(config.conduct.entries, config.conduct.thresholds, secret),
            tally: Tally::default(),
            hurried: false,
            demand: vec![Demand::Low; config.upstreams.len()],
            random: fastrand::Rng::with_seed(seed),
            date: DateCache::default(),
            spare: Spare::default(),
            bench: Bench::new(),
            limiter: config.policy.limits.limiter(),
            worker,
            config,
        };
        shared.announce();
        shared
    }

    /// Computes anew what we announce, after a next hop announced something else.
    pub fn announce(&mut self) {
        let workers = &self.config.workers;
        let limits = crate::smtp::extension::Limits {
            mail_max: Some(workers.transactions),
            rcpt_max: Some(workers.recipients),
            // Domains that route apart cannot share a transaction.
            rcpt_domain_max: self.config.routes_apart().then_some(1),
        };
        let of_upstreams = self.capabilities.iter().zip(&self.config.upstreams);
        let known: Vec<_> = of_upstreams
            .filter_map(|(heard, upstream)| Some(lookup::kept(heard.as_ref()?, upstream)))
            .collect();
        let known = known.iter();
        self.offer = if self.capabilities.iter().all(Option::is_some) {
            Offer::compute(known, workers.message, limits)
        } else {
            // A next hop that was never heard can be relied on for nothing.
            Offer::compute(known.chain([&Capabilities::none()]), workers.message, limits)
        };
    }
}

/// What the handlers of one event work with.
struct Context<'a> {
    now: Moment,
    shared: &'a mut Shared,
    actions: &'a mut Actions,
}

/// What the next piece of client input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A PROXY header must come first.
    ProxyHeader,
    /// The client has to wait for our greeting.
    Greeting,
    Command,
    /// Hands are being shaken: nothing is plaintext.
    Handshake,
    /// A line that answers a challenge of AUTH.
    Response,
    /// Whether it answers it well is being looked at, and commands wait behind it.
    Proving,
    /// Lines up to the end of data.
    Data,
    /// Octets of a BDAT chunk.
    Chunk {
        left: u64,
        last: bool,
    },
    /// Octets of a BDAT chunk that has no transaction; then 503 or what the reply says.
    Swallow {
        left: u64,
    },
    /// Content is complete; its reply is awaited, and commands wait behind it.
    Verdict,
    /// Nothing more will happen.
    Over,
}

#[derive(Debug)]
pub struct Relay {
    session: Session,
    stage: Stage,
    /// Input that cannot be consumed yet.
    input: Vec<u8>,
    transaction: Option<Box<Transaction>>,
    /// What of the worker's window budget its content has, and as whose.
    window_taken: (Lane, usize),
    /// Reply owed when a swallowed chunk is over.
    swallow_reply: Option<Reply>,
    reading: bool,
    draining: bool,
    /// The last number under which the service side was asked.
    queries: Query,
    /// The client sent FIN: it may still hear one reply.
    ended: bool,
    downstream_unsent: usize,
    upstream_unsent: usize,
    /// So many of them were queued at this instant, that is in this turn.
    upstream_queued: (Instant, usize),
    client_deadline: Instant,
    /// Since when the client's next step is awaited.
    awaited_since: Instant,
    /// Since when it has the connection that it has.
    bound_since: Instant,
    hop_deadline: Option<Instant>,
    meter: Meter,
}

impl Relay {
    /// A relay for a client at `peer` that connected to `listener` at address `local`.
    pub fn new(now: Instant, config: &Config, listener: usize, peer: SocketAddr, local: SocketAddr) -> Self {
        let session = Session::new(config, listener, peer, local);
        let stage = if session.must_speak_proxy { Stage::ProxyHeader } else { Stage::Command };
        let limit = session.patience.command;
        let limit = if session.must_speak_proxy { limit.min(session::PROXY_HEADER) } else { limit };
        Self {
            session,
            stage,
            input: Vec::new(),
            transaction: None,
            window_taken: (Lane(0), 0),
            swallow_reply: None,
            reading: true,
            draining: false,
            queries: Query::default(),
            ended: false,
            downstream_unsent: 0,
            upstream_unsent: 0,
            upstream_queued: (now, 0),
            client_deadline: now + limit,
            awaited_since: now,
            bound_since: now,
            hop_deadline: None,
            meter: Meter::default(),
        }
    }

    /// Takes one event and appends what follows from it to `actions`.
    ///
    /// `now` never goes back. The caller carries out all actions before the next event.
    pub fn handle(&mut self, now: Moment, event: Event<'_>, shared: &mut Shared, actions: &mut Actions) {
        let cx = &mut Context { now, shared, actions };
        match event {
            Event::Opened => self.on_opened(cx),
            Event::Secured(secured) => self.on_secured(cx, secured),
            Event::Insecure(why) => self.on_insecure(cx, why),
            Event::Received(Side::Downstream, bytes) => self.on_client(cx, bytes),
            Event::Received(Side::Upstream, bytes) => self.on_next_hop(cx, bytes),
            Event::Ended(Side::Downstream, ending) => self.on_client_ended(cx, ending),
            Event::Ended(Side::Upstream, ending) => self.on_next_hop_ended(cx, ending),
            Event::Confirmed => self.on_confirmed(cx),
            Event::Sent(side, bytes) => self.on_sent(cx, side, bytes),
            Event::CheckedOut(lease) => self.on_checked_out(cx, lease),
            Event::CheckOutRefused(why) => self.on_check_out_refused(cx, why),
            Event::Answered(query, answer) if self.awaits_acquaintance(query) => {
                self.on_acquaintance(cx, &answer);
            }
            Event::Answered(query, answer) if self.awaits_proof(query) => self.on_attempted(cx, answer),
            Event::Answered(query, answer) if self.awaits_found(query) => self.on_found(cx, query, answer),
            Event::Answered(query, answer) if self.awaits_hosts(query) => self.on_hosts(cx, answer),
            Event::Answered(query, answer) if self.awaits_seal(query) => self.on_sealed(cx, answer),
            Event::Answered(query, answer) => self.on_answered(cx, query, &answer),
            Event::Expired => self.on_expired(cx),
            Event::Drain => self.on_drain(cx),
            Event::Shed => self.on_shed(cx),
        }
        self.consume_input(cx);
        self.measure(cx);
        self.close_after_end(cx);
        self.govern_reading(cx);
        if self.stage == Stage::Over {
            self.let_go(cx.shared);
            self.give_back_connection(cx.now.instant, cx.shared);
        }
    }

    /// When [`Event::Expired`] is due.
    pub fn deadline(&self, shared: &Shared) -> Option<Instant> {
        if self.stage == Stage::Over {
            return None;
        }
        // A client that waits for us is not late.
        let waits = self.session.manners.until();
        let client = waits.or_else(|| (!self.awaits_next_hop()).then(|| self.client_due(shared.hurried)));
        client.into_iter().chain(self.hop_deadline).chain(self.yields_at(shared)).min()
    }

    /// When the client's next step is due.
    fn client_due(&self, hurried: bool) -> Instant {
        let is_idle = self.transaction.is_none() && matches!(self.stage, Stage::Command | Stage::Response);
        if hurried && is_idle {
            return self.client_deadline.min(self.awaited_since + HURRIED);
        }
        self.client_deadline
    }

    /// The client has so long for its next step.
    fn await_client(&mut self, now: Instant, limit: Duration) {
        self.awaited_since = now;
        self.client_deadline = now + limit;
    }

    /// Whether a transaction is under way: such a session is not cut short by a drain.
    pub const fn is_busy(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether it wants to hear more of its client.
    pub const fn reads(&self) -> bool {
        self.reading
    }

    /// Input and content that wait in memory.
    pub fn held_bytes(&self) -> usize {
        let content = self.transaction.as_ref().and_then(|transaction| transaction.content.as_ref());
        self.input.len() + content.map_or(0, |content| content.held.len())
    }

    /// Which listener of the configuration the client came to.
    pub const fn listener(&self) -> usize {
        self.session.listener
    }

    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// The address the client is known by: its own, or what a trusted proxy said.
    pub const fn client_address(&self) -> SocketAddr {
        self.session.client
    }

    /// Takes client input, or puts it behind what waits already.
    fn on_client(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        if !self.input.is_empty() {
            self.input.extend_from_slice(bytes);
            return;
        }
        let consumed = self.consume(cx, bytes);
        self.input.extend_from_slice(&bytes[consumed..]);
    }

    /// Goes on with input that waited.
    fn consume_input(&mut self, cx: &mut Context<'_>) {
        if self.input.is_empty() {
            return;
        }
        let mut input = std::mem::take(&mut self.input);
        let consumed = self.consume(cx, &input);
        if consumed < input.len() {
            input.drain(..consumed);
            self.input = input;
        }
    }

    /// Consumes as much of `input` as can be now.
    fn consume(&mut self, cx: &mut Context<'_>, input: &[u8]) -> usize {
        let mut consumed = 0;
        while consumed < input.len() {
            let rest = &input[consumed..];
            let taken = match self.stage {
                Stage::ProxyHeader => self.take_proxy_header(cx, rest),
                Stage::Greeting => self.take_early(cx),
                Stage::Command => self.take_command(cx, rest),
                Stage::Response => self.take_response(cx, rest),
                Stage::Data => self.take_data(cx, rest),
                Stage::Chunk { left, last } => self.take_chunk(cx, rest, left, last),
                Stage::Swallow { left } => self.swallow(cx, rest, left),
                Stage::Verdict | Stage::Handshake | Stage::Proving => 0,
                Stage::Over => rest.len(),
            };
            if taken == 0 {
                break;
            }
            consumed += taken;
        }
        consumed
    }

    fn on_sent(&mut self, cx: &mut Context<'_>, side: Side, bytes: usize) {
        match side {
            Side::Downstream => self.downstream_unsent = self.downstream_unsent.saturating_sub(bytes),
            Side::Upstream => {
                self.upstream_unsent = self.upstream_unsent.saturating_sub(bytes);
                self.rearm_hop_deadline(cx);
                self.pump(cx);
            }
        }
    }

    /// Queues a reply to the client.
    fn say(&mut self, cx: &mut Context<'_>, reply: &Reply) {
        self.note_refusal(cx, reply);
        self.say_wire(cx, reply.wire());
    }

    /// Queues a reply that is whole and well-formed as it stands: most are the same each time.
    fn say_wire(&mut self, cx: &mut Context<'_>, wire: &[u8]) {
        if self.stage == Stage::Over {
            return;
        }
        cx.actions.downstream.extend_from_slice(wire);
        self.downstream_unsent += wire.len();
        self.await_client(cx.now.instant, self.session.patience.command);
    }

    /// Says a last reply and closes.
    fn say_and_close(&mut self, cx: &mut Context<'_>, reply: &Reply) {
        self.say(cx, reply);
        self.abandon_transaction(cx, &reply.first_line());
        self.close(cx, true);
    }

    /// Closes the client's connection when all was sent, and lets go of the next hop.
    fn close(&mut self, cx: &mut Context<'_>, linger: bool) {
        if self.stage == Stage::Over {
            return;
        }
        self.abandon_transaction(cx, "");
        self.input = Vec::new();
        self.stage = Stage::Over;
        cx.actions.push(Action::Finish { linger });
    }

    /// Whether the next step is the next hop's, or the service's.
    fn awaits_next_hop(&self) -> bool {
        match self.stage {
            Stage::Verdict | Stage::Proving => true,
            Stage::Command => self.owes_replies(),
            // It is not read because the next hop is slow, not because it does not read us.
            Stage::Data | Stage::Chunk { .. } => {
                !self.reading && self.downstream_unsent < REPLIES_PENDING_BYTES_MAX
            }
            _ => false,
        }
    }

    /// Pauses or resumes the client's side by what waits: the one place where this is decided.
    fn govern_reading(&mut self, cx: &mut Context<'_>) {
        if self.stage == Stage::Over {
            return;
        }
        let wanted = self.wants_input(cx.now.instant);
        if wanted != self.reading {
            self.reading = wanted;
            cx.actions.push(if wanted { Action::Resume } else { Action::Pause });
            // The client was not slow while we did not listen.
            self.session.pace = Pace::default();
            self.await_client(cx.now.instant, self.session.patience.command);
        }
    }

    /// Bytes were queued for the next hop.
    pub(in crate::relay) fn note_queued(&mut self, cx: &Context<'_>, bytes: usize) {
        let now = cx.now.instant;
        let (turn, queued) = self.upstream_queued;
        self.upstream_queued = (now, if turn == now { queued + bytes } else { bytes });
        self.upstream_unsent += bytes;
    }

    /// The kernel has had a turn, and did not take all that was queued for the next hop before it.
    fn is_stalled(&self, now: Instant) -> bool {
        let (turn, queued) = self.upstream_queued;
        self.upstream_unsent > if turn == now { queued } else { 0 }
    }

    fn wants_input(&self, now: Instant) -> bool {
        let content_fits =
            self.transaction.as_ref().and_then(|transaction| transaction.content.as_ref()).is_none_or(
                |content| match content.stand {
                    Stand::Held => content.held.len() <= content.window + HELD_BYTES_HIGH,
                    Stand::Asked => content.held.len() <= content.window.max(HELD_BYTES_HIGH),
                    // What was queued in this turn the kernel may still take at once, unless it is a window.
                    _ if self.upstream_unsent > 0 && !self.is_stalled(now) => {
                        self.upstream_unsent <= 2 * UNSENT_BYTES_HIGH
                    }
                    _ if self.is_stalled(now) => content.held.is_empty(),
                    // What could go up has gone: the rest waits for replies.
                    Stand::Data | Stand::Bdat { .. } | Stand::Ended => content.held.len() <= FLOW_BYTES_HIGH,
                },
            );
        content_fits
            && !self.waits_for_store()
            && self.input.len() < INPUT_BYTES_HIGH
            && self.downstream_unsent < REPLIES_PENDING_BYTES_MAX
    }

    /// Restarts the clock of what the next hop owes, after it made progress.
    fn rearm_hop_deadline(&mut self, cx: &Context<'_>) {
        let stand = self.stand();
        let Some(transaction) = self.transaction.as_mut() else {
            self.hop_deadline = None;
            return;
        };
        let Some(index) = transaction.upstream else { return };
        let timeout = &cx.shared.config.upstreams[index.0].timeout;
        self.hop_deadline = match &transaction.hop {
            Hop::None => None,
            Hop::LookedUp(_) | Hop::Waiting => return,
            Hop::Bound(lease) => {
                let owes_reply = !lease.client.is_quiet() && stand != Stand::Data;
                let limit = if stand == Stand::Ended { timeout.end } else { timeout.reply };
                (owes_reply || self.upstream_unsent > 0).then_some(cx.now.instant + limit)
            }
        };
    }

    fn on_expired(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        if self.hop_deadline.is_some_and(|deadline| deadline <= now) {
            self.on_next_hop_late(cx);
        } else if self.yields_at(cx.shared).is_some_and(|at| at <= now) {
            self.yield_next_hop(cx);
        } else if let Some(until) = self.session.manners.until() {
            if until <= now {
                self.on_waited(cx);
            }
        } else if !self.awaits_next_hop() && self.client_due(cx.shared.hurried) <= now {
            self.on_client_late(cx);
        }
    }
}
