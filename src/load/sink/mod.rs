//! `postern sink`: takes mail and throws it away, as smtp-sink(1) does.
//!
//! [`Sink`] joins a [`Reactor`] and one dialogue per connection. One chunk in, at most one write out;
//! content is discarded where the kernel put it, unless somebody asked to keep it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::time::Instant;
use crate::reactor::{Chunk, Completion, Errno, Reactor, Socket};
use crate::tls::server_policy::ServerPolicy;
use crate::tls::session::Session;

mod books;
mod cli;
mod content;
mod crowd;
mod dialogue;
mod dump;
mod options;
mod plan;
mod station;
mod step;
#[cfg(test)]
mod tests;
mod thread;

pub use books::{Counters, Framing, Kept, Totals};
pub use cli::main;
pub use crowd::{Interval, Told};
pub use options::{Announce, Dump, Options, Protocol};
pub use plan::{Change, Plan};
pub use station::Capacity;
pub use step::{Delay, Fault, Rules, Step};
pub use thread::{Running, start};

use books::{Books, count};
use dialogue::{Dialogue, Then};

/// Gets every message before it is acknowledged.
pub type Keep = Box<dyn FnMut(Kept) + Send>;

/// Replies not yet taken by the peer, above which nothing more is read from it.
const REPLIES_BYTES_MAX: usize = 64 * 1024;
/// What is read from one who is held, with a receive on top.
const PENDING_BYTES_MAX: usize = 64 * 1024;
/// How often silent connections are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// How long the last replies may take when the sink ends.
const FAREWELL: Duration = Duration::from_secs(1);
/// Reply buffers kept for reuse.
const SPARES_MAX: usize = 1024;

#[derive(Debug)]
struct Conn {
    socket: Socket,
    dialogue: Dialogue,
    /// Received, and not consumed yet: part of a command, or what waits for a delay.
    pending: Vec<u8>,
    /// Replies that wait for the send under way.
    out: Vec<u8>,
    /// Under TLS, or shaking hands.
    tls: Option<Box<Session>>,
    /// What goes over the wire as it is, before what is in `out`.
    records: Vec<u8>,
    sending: bool,
    mode: Mode,
    /// When the peer was last heard, or last took a reply.
    active: Instant,
}

/// What a connection is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Reads nothing until its time has come.
    Waiting,
    /// Answers nothing until the rules change.
    Held,
    /// Reads nothing because the peer does not take its replies.
    Choked,
    Hung,
    /// Ends when its last reply is sent.
    Closing,
}

impl Conn {
    /// The reply that says so goes out in clear; what else came in clear is forgotten (RFC 3207 §4.2).
    fn start_tls(&mut self, policy: Option<&ServerPolicy>) {
        self.pending.clear();
        self.records.append(&mut self.out);
        match policy.map(Session::server) {
            Some(Ok(session)) => self.tls = Some(Box::new(session)),
            _ => self.mode = Mode::Closing,
        }
    }

    /// What is to be said, as it goes over the wire.
    fn sealed(&mut self) -> Vec<u8> {
        let Some(tls) = &mut self.tls else { return std::mem::take(&mut self.out) };
        if !self.out.is_empty() && tls.send(&self.out, &mut self.records).is_ok() {
            self.out = Vec::new();
        }
        std::mem::take(&mut self.records)
    }
}

/// The sink on one thread.
#[derive(Debug)]
pub struct Sink<R: Reactor> {
    reactor: R,
    books: Books,
    /// By index of the socket.
    conns: Vec<Option<Conn>>,
    open: usize,
    /// Accepted, but above `sessions_max`.
    queue: VecDeque<(Socket, SocketAddr)>,
    delays: BinaryHeap<Reverse<(Instant, Socket)>>,
    sweep: Instant,
    spares: Vec<Vec<u8>>,
    stop: Arc<AtomicBool>,
    shown: Totals,
    begun: Instant,
    /// The plan says that nobody may connect.
    refusing: bool,
    /// How to listen again after that.
    listen: Option<Listen<R>>,
}

/// Makes a reactor listen.
pub type Listen<R> = (fn(&mut R, SocketAddr) -> Result<(), Errno>, SocketAddr);

impl<R: Reactor> Sink<R> {
    /// A sink on a reactor that listens already.
    ///
    /// # Errors
    /// When the journal or the system log cannot be opened.
    pub fn new(options: Options, keep: Option<Keep>, reactor: R) -> std::io::Result<Self> {
        let begun = reactor.now().instant;
        Ok(Self {
            sweep: begun + SWEEP,
            reactor,
            books: Books::open(options, keep, begun)?,
            conns: Vec::new(),
            open: 0,
            queue: VecDeque::new(),
            delays: BinaryHeap::new(),
            spares: Vec::new(),
            stop: Arc::default(),
            shown: Totals::default(),
            begun,
            refusing: false,
            listen: None,
        })
    }

    /// Says how to listen again, for plans in which the sink refuses connections for a while.
    pub const fn can_listen(&mut self, listen: Listen<R>) {
        self.listen = Some(listen);
    }

    /// What there is to tell of the run so far; its series ends with that.
    pub fn told(&mut self) -> Told {
        let totals = self.books.counters.totals();
        self.books.crowd.told(self.reactor.now().instant, totals)
    }

    /// The counters, for any thread.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.books.counters)
    }

    /// Set, and the reactor woken, [`run`](Self::run) returns.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Serves until it is stopped, or has the messages or sessions it was to have.
    pub fn run(&mut self) {
        while !self.is_done() {
            self.turn();
        }
        self.say_farewell();
    }

    /// One turn of the reactor, and all that follows from it.
    pub fn turn(&mut self) {
        let deadline = self.deadline();
        self.reactor.turn(deadline);
        let now = self.reactor.now();
        (self.books.wall, self.books.now) = (now.wall, now.instant);
        let counters = &self.books.counters;
        self.books.crowd.roll(now.instant, || counters.totals());
        self.change_by_plan(now.instant);
        while let Some(completion) = self.reactor.next() {
            self.complete(completion, now.instant);
        }
        self.resume_due(now.instant);
        if now.instant >= self.sweep {
            self.end_silent(now.instant);
        }
        if self.books.options.show_counters {
            self.show_counters();
        }
    }

    fn is_done(&self) -> bool {
        let totals = self.books.counters.totals();
        let reached = |total: Option<u64>, count: u64| total.is_some_and(|total| count >= total);
        self.stop.load(Ordering::Acquire)
            || reached(self.books.options.messages_total, totals.messages + totals.refused)
            || reached(self.books.options.sessions_total, totals.sessions)
    }

    fn deadline(&self) -> Option<Instant> {
        let sweep = (self.open > 0).then_some(self.sweep);
        let delay = self.delays.peek().map(|Reverse((at, _))| *at);
        let plan = self.books.options.plan.next().map(|after| self.begun + after);
        sweep.into_iter().chain(delay).chain(plan).min()
    }

    /// Does what the plan has for this time.
    fn change_by_plan(&mut self, now: Instant) {
        while let Some(change) = self.books.options.plan.take(now.since(self.begun)) {
            match change {
                Change::Refuse => self.refuse(),
                Change::Accept => self.accept_again(),
                _ => {
                    self.books.options.rules.change(change);
                    self.resume_held(now);
                }
            }
        }
    }

    /// Nobody can connect, and whoever was connected is not any more: the server has died.
    fn refuse(&mut self) {
        self.refusing = true;
        self.reactor.stop_listening();
        while let Some((socket, _)) = self.queue.pop_front() {
            self.reactor.reset(socket);
        }
        let open: Vec<Socket> = self.conns.iter().flatten().map(|conn| conn.socket).collect();
        for socket in open {
            self.reactor.reset(socket);
            self.end(socket);
        }
    }

    fn accept_again(&mut self) {
        self.refusing = false;
        let Some((listen, address)) = self.listen else { return };
        if let Err(error) = listen(&mut self.reactor, address) {
            crate::load::console::say("sink", &format!("{address}: {error}"));
        }
    }

    /// Lets go on who was left without an answer, as far as the rules have one now.
    fn resume_held(&mut self, now: Instant) {
        let held = |conn: &&Conn| conn.mode == Mode::Held;
        let held: Vec<Socket> = self.conns.iter().flatten().filter(held).map(|conn| conn.socket).collect();
        held.into_iter().for_each(|socket| self.resume(socket, Mode::Held, now));
    }

    /// Goes on with a connection, if that is how it still stands.
    fn resume(&mut self, socket: Socket, from: Mode, now: Instant) {
        if let Some(conn) = Self::conn(&mut self.conns, socket).filter(|conn| conn.mode == from) {
            conn.mode = Mode::Open;
            conn.active = now;
            self.reactor.receive(socket);
            self.feed(socket, &[], now);
        }
    }

    fn complete(&mut self, completion: Completion, now: Instant) {
        match completion {
            Completion::Accepted { socket, peer, .. } => self.accept(socket, peer, now),
            Completion::Received { socket, chunk } => self.receive(socket, chunk, now),
            Completion::Sent { socket, buffer, result } => self.sent(socket, buffer, result, now),
            Completion::Ended { socket, .. } => self.end(socket),
            Completion::AcceptFailed { error, .. } => {
                crate::load::console::say("sink", &format!("accept: error {}", error.0));
            }
            Completion::Connected { .. } | Completion::Woken => {}
        }
    }

    fn accept(&mut self, socket: Socket, peer: SocketAddr, now: Instant) {
        if self.refusing {
            return self.reactor.reset(socket);
        }
        count(&self.books.counters.connects, 1);
        if self.open >= self.books.options.sessions_max {
            // As if it were still in the kernel's queue: no greeting yet.
            self.queue.push_back((socket, peer));
        } else {
            self.open_session(socket, peer, now);
        }
    }

    fn open_session(&mut self, socket: Socket, peer: SocketAddr, now: Instant) {
        if self.books.options.verbose {
            crate::load::console::say("sink", &format!("connect ({peer})"));
        }
        if self.open == 0 {
            self.sweep = now + SWEEP;
        }
        let index = socket.0.index();
        if index >= self.conns.len() {
            self.conns.resize_with(index + 1, || None);
        }
        self.conns[index] = Some(Conn {
            socket,
            dialogue: Dialogue::new(peer, &self.books),
            pending: Vec::new(),
            out: Vec::new(),
            tls: None,
            records: Vec::new(),
            sending: false,
            mode: Mode::Open,
            active: now,
        });
        self.open += 1;
        self.books.crowd.connections(self.open);
        self.reactor.receive(socket);
        self.feed(socket, &[], now);
    }

    fn receive(&mut self, socket: Socket, chunk: Chunk, now: Instant) {
        let Some(conn) = Self::conn(&mut self.conns, socket) else { return self.reactor.release(chunk) };
        conn.active = now;
        if conn.tls.is_some() {
            let mut wire = self.reactor.bytes(&chunk).to_vec();
            self.reactor.release(chunk);
            return self.receive_records(socket, &mut wire, now);
        }
        if conn.mode == Mode::Open && conn.pending.is_empty() {
            let used = Self::advance(conn, self.reactor.bytes(&chunk), &mut self.books, &mut self.spares);
            let rest = &self.reactor.bytes(&chunk)[used.0..];
            conn.pending.extend_from_slice(rest);
            self.reactor.release(chunk);
            return self.act(socket, used.1, now);
        }
        if !matches!(conn.mode, Mode::Closing | Mode::Hung) {
            conn.pending.extend_from_slice(self.reactor.bytes(&chunk));
        }
        self.reactor.release(chunk);
        self.pause_if_full(socket);
        self.feed(socket, &[], now);
    }

    /// Whoever is not answered may go on sending: up to here.
    fn pause_if_full(&mut self, socket: Socket) {
        let held = Self::conn(&mut self.conns, socket).filter(|conn| conn.mode == Mode::Held);
        if held.is_some_and(|conn| conn.pending.len() > PENDING_BYTES_MAX) {
            self.reactor.pause(socket);
        }
    }

    /// The same under TLS.
    fn receive_records(&mut self, socket: Socket, wire: &mut [u8], now: Instant) {
        let Some(conn) = Self::conn(&mut self.conns, socket) else { return };
        let Some(tls) = &mut conn.tls else { return };
        let (pending, hears) = (&mut conn.pending, !matches!(conn.mode, Mode::Closing | Mode::Hung));
        let mut keep = |plaintext: &[u8]| {
            if hears {
                pending.extend_from_slice(plaintext);
            }
        };
        if tls.receive_all(wire, &mut |_| {}, &mut keep, &mut conn.records).is_err() {
            self.flush(socket); // The alert that says why.
            return self.end(socket);
        }
        self.pause_if_full(socket);
        self.feed(socket, &[], now);
        self.flush(socket);
    }

    /// Lets the dialogue go on with what is pending.
    fn feed(&mut self, socket: Socket, input: &[u8], now: Instant) {
        let Some(conn) = Self::conn(&mut self.conns, socket).filter(|conn| conn.mode == Mode::Open) else {
            return;
        };
        let mut pending = std::mem::take(&mut conn.pending);
        pending.extend_from_slice(input);
        let (used, then) = Self::advance(conn, &pending, &mut self.books, &mut self.spares);
        pending.drain(..used);
        conn.pending = pending;
        self.act(socket, then, now);
    }

    fn advance(conn: &mut Conn, input: &[u8], books: &mut Books, spares: &mut Vec<Vec<u8>>) -> (usize, Then) {
        if conn.out.capacity() == 0 {
            conn.out = spares.pop().unwrap_or_default();
        }
        let before = conn.dialogue.is_busy();
        let advanced = conn.dialogue.receive(input, books, &mut conn.out);
        books.crowd.transaction(before, conn.dialogue.is_busy());
        advanced
    }

    /// Sends what there is to say, and does what the dialogue asks.
    fn act(&mut self, socket: Socket, then: Then, now: Instant) {
        let Some(conn) = Self::conn(&mut self.conns, socket) else { return };
        match then {
            Then::Read => {
                if conn.out.len() > REPLIES_BYTES_MAX {
                    conn.mode = Mode::Choked;
                }
            }
            Then::Wait(delay) => {
                conn.mode = Mode::Waiting;
                self.delays.push(Reverse((now + delay, socket)));
            }
            Then::Hold => conn.mode = Mode::Held,
            Then::StartTls => conn.start_tls(self.books.options.tls.as_ref()),
            Then::Hang => conn.mode = Mode::Hung,
            Then::Close => conn.mode = Mode::Closing,
        }
        // Whoever is held is read on, so that it is seen when he hangs up.
        if !matches!(conn.mode, Mode::Open | Mode::Held) {
            self.reactor.pause(socket);
        }
        self.flush(socket);
    }

    /// Starts the next send, or ends what has nothing left to say.
    fn flush(&mut self, socket: Socket) {
        let Some(conn) = Self::conn(&mut self.conns, socket) else { return };
        if conn.sending {
            return;
        }
        let out = conn.sealed();
        if !out.is_empty() {
            conn.sending = true;
            self.reactor.send(socket, out);
        } else if conn.mode == Mode::Closing {
            self.close(socket);
        } else {
            self.spare(out);
        }
    }

    fn sent(&mut self, socket: Socket, buffer: Vec<u8>, result: Result<usize, Errno>, now: Instant) {
        self.spare(buffer);
        let Some(conn) = Self::conn(&mut self.conns, socket) else { return };
        conn.sending = false;
        conn.active = now;
        if result.is_err() {
            return self.end(socket);
        }
        let choked = conn.mode == Mode::Choked;
        if choked {
            conn.mode = Mode::Open;
        }
        self.flush(socket);
        if choked {
            self.reactor.receive(socket);
            self.feed(socket, &[], now);
        }
    }

    fn spare(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && self.spares.len() < SPARES_MAX {
            buffer.clear();
            self.spares.push(buffer);
        }
    }

    /// The peer went away.
    fn end(&mut self, socket: Socket) {
        if let Some(conn) = Self::conn(&mut self.conns, socket) {
            if conn.dialogue.is_busy() {
                count(&self.books.counters.lost, 1);
            }
            self.close(socket);
        } else {
            self.queue.retain(|(queued, _)| *queued != socket);
            self.reactor.close(socket);
        }
    }

    fn close(&mut self, socket: Socket) {
        self.reactor.close(socket);
        let Some(conn) = self.conns.get_mut(socket.0.index()).and_then(Option::take) else { return };
        self.books.crowd.transaction(conn.dialogue.is_busy(), false);
        self.spare(conn.out);
        self.open -= 1;
        self.books.crowd.connections(self.open);
        count(&self.books.counters.sessions, 1);
        if let Some((socket, peer)) = self.queue.pop_front() {
            self.open_session(socket, peer, self.reactor.now().instant);
        }
    }

    /// Goes on with the connections whose wait is over.
    fn resume_due(&mut self, now: Instant) {
        while let Some(&Reverse((at, socket))) = self.delays.peek().filter(|Reverse((at, _))| *at <= now) {
            debug_assert!(at <= now);
            self.delays.pop();
            self.resume(socket, Mode::Waiting, now);
        }
    }

    /// Ends connections that were silent for too long (`-t`).
    fn end_silent(&mut self, now: Instant) {
        self.sweep = now + SWEEP;
        let timeout = self.books.options.timeout;
        let silent = |conn: &&Conn| {
            !matches!(conn.mode, Mode::Waiting | Mode::Held | Mode::Hung) && now.since(conn.active) > timeout
        };
        let silent: Vec<Socket> =
            self.conns.iter().flatten().filter(silent).map(|conn| conn.socket).collect();
        for socket in silent {
            count(&self.books.counters.timeouts, 1);
            self.end(socket);
        }
    }

    /// Lets the last replies out before the sockets go.
    fn say_farewell(&mut self) {
        self.reactor.stop_listening();
        let until = self.reactor.now().instant + FAREWELL;
        while self.conns.iter().flatten().any(|conn| conn.sending) && self.reactor.now().instant < until {
            self.reactor.turn(Some(until));
            while let Some(completion) = self.reactor.next() {
                match completion {
                    Completion::Received { chunk, .. } => self.reactor.release(chunk),
                    Completion::Sent { socket, .. } | Completion::Ended { socket, .. } => self.close(socket),
                    _ => {}
                }
            }
        }
    }

    fn show_counters(&mut self) {
        let totals = self.books.counters.totals();
        let interesting = |totals: &Totals| (totals.sessions, totals.quits, totals.messages + totals.refused);
        let (sessions, quits, messages) = interesting(&totals);
        if interesting(&self.shown) != (sessions, quits, messages) {
            self.shown = totals;
            crate::load::console::show(format!("sess={sessions} quit={quits} mesg={messages}\r").as_bytes());
        }
    }

    fn conn(conns: &mut [Option<Conn>], socket: Socket) -> Option<&mut Conn> {
        conns.get_mut(socket.0.index())?.as_mut().filter(|conn| conn.socket == socket)
    }
}
