//! The simulated reactor: what the worker asks of the kernel, done on the virtual network, with
//! the clients and next hops beside it. Time passes only in [`Reactor::turn`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use postern::base::slab::Slab;
use postern::base::time::{Instant, Moment, Wall};
use postern::reactor::{Chunk, Completion, Errno, Listener, Reactor, Socket};

use super::canary::Canary;
use super::checker::Ledger;
use super::client::Client;
use super::network::{ConnId, Event, MICROS, MILLIS, Network, Peer, Receiving, SECONDS, Sending, Toward};
use super::next_hop::{Server, Session};
use super::service::Service;

const ECONNRESET: Errno = Errno(104);
const EPIPE: Errno = Errno(32);
const ECONNREFUSED: Errno = Errno(111);
const EMFILE: Errno = Errno(24);

const LISTENING_AT: ([u8; 4], u16) = ([192, 0, 2, 1], 25);

#[derive(Debug)]
pub(crate) struct Simulated {
    pub(crate) network: Network,
    pub(crate) ledger: Ledger,
    pub(crate) clients: Vec<Client>,
    pub(crate) servers: Vec<Server>,
    pub(crate) service: Service,
    sessions: Vec<Session>,
    sockets: Slab<ConnId>,
    ready: VecDeque<Completion>,
    /// Received bytes, by the number of their buffer.
    chunks: Vec<Option<Vec<u8>>>,
    free_chunks: Vec<usize>,
    listening: bool,
    /// The largest send that is any good.
    pub(crate) send_max: usize,
    pub(crate) canary: Option<Canary>,
    /// One accept, connect or socket in so many fails; 0: none.
    pub(crate) kernel_fails_one_in: u64,
    /// The completion that fails, counted from 1.
    pub(crate) fail_at: Option<u64>,
    pub(crate) completions: u64,
    pub(crate) drain_wanted: bool,
    /// Turns may take long, as far as the worker hears.
    pub(crate) is_slow: bool,
    took: Duration,
}

impl Simulated {
    pub(crate) fn new(
        network: Network,
        clients: Vec<Client>,
        servers: Vec<Server>,
        service: Service,
    ) -> Self {
        Self {
            network,
            ledger: Ledger::default(),
            clients,
            servers,
            service,
            sessions: Vec::new(),
            sockets: Slab::new(),
            ready: VecDeque::new(),
            chunks: Vec::new(),
            free_chunks: Vec::new(),
            listening: true,
            send_max: usize::MAX,
            canary: None,
            kernel_fails_one_in: 0,
            fail_at: None,
            completions: 0,
            drain_wanted: false,
            is_slow: false,
            took: Duration::ZERO,
        }
    }

    /// Sockets that the worker has not closed.
    pub(crate) fn open_sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Sockets of next hops among them.
    pub(crate) fn open_hops(&self) -> usize {
        self.sockets
            .iter()
            .filter(|(_, conn)| matches!(self.network.conns[**conn].peer, Peer::Hop(_)))
            .count()
    }

    /// Chunks that the worker has not given back.
    pub(crate) fn held_chunks(&self) -> usize {
        self.chunks.len() - self.free_chunks.len()
    }

    /// Bytes that the worker has given us to send.
    pub(crate) fn sending_bytes(&self) -> usize {
        let sending = |&conn: &ConnId| self.network.conns[conn].sending.as_ref().map_or(0, |s| s.bytes.len());
        self.sockets.iter().map(|(_, conn)| sending(conn)).sum()
    }

    /// The worker's next turn finds that somebody woke it.
    pub(crate) fn wake(&mut self) {
        self.ready.push_back(Completion::Woken);
    }

    fn conn(&self, socket: Socket) -> Option<ConnId> {
        self.sockets.at(socket.0).copied()
    }

    fn dispatch(&mut self, event: Event) {
        let network = &mut self.network;
        match event {
            Event::Arrived { conn, toward, bytes } => network.on_arrived(conn, toward, &bytes),
            Event::Fin { conn, toward } => network.on_fin(conn, toward),
            Event::Reset { conn, toward } => self.on_reset(conn, toward),
            Event::SendDone { conn } => self.on_send_done(conn),
            Event::ConnectDone { conn, refused } => self.on_connect_done(conn, refused),
            Event::Knock { conn } => self.on_knock(conn),
            Event::Poll { conn } => self.poll(conn),
            Event::Start { client } => self.start(client),
            Event::Answer => {
                if self.service.answer(network) {
                    self.ready.push_back(Completion::Woken);
                }
            }
            Event::Drain => {
                self.drain_wanted = true;
                self.ready.push_back(Completion::Woken);
            }
        }
    }

    fn on_reset(&mut self, conn: ConnId, toward: Toward) {
        self.network.note(|| format!("reset of {conn} arrives at the {toward:?}"));
        self.network.on_reset(conn, toward);
    }

    fn start(&mut self, client: usize) {
        let address = self.clients[client].address;
        let conn = self.network.open(Peer::Client(client), address);
        self.clients[client].conn = Some(conn);
        let knock = self.network.now + self.network.latency(conn);
        self.network.at(knock, Event::Knock { conn });
    }

    fn on_knock(&mut self, conn: ConnId) {
        let Peer::Client(client) = self.network.conns[conn].peer else { return };
        if !self.listening {
            self.clients[client].disturbed = true;
            return self.network.reset(conn, Toward::Peer);
        }
        if self.kernel_fails() {
            let again = self.network.now + 100 * MILLIS;
            self.network.at(again, Event::Knock { conn });
            let (listener, error) = (Listener(0), EMFILE);
            return self.ready.push_back(Completion::AcceptFailed { listener, error });
        }
        let key = self.sockets.insert(conn);
        self.network.conns[conn].socket = Some(key);
        let peer = self.network.conns[conn].address;
        self.network.note(|| format!("{conn} is accepted from {peer}"));
        self.ready.push_back(Completion::Accepted {
            listener: Listener(0),
            socket: Socket(key),
            peer,
            local: SocketAddr::from(LISTENING_AT),
        });
    }

    fn kernel_fails(&mut self) -> bool {
        let one_in = self.kernel_fails_one_in;
        one_in > 0 && self.network.random.u64(..one_in) == 0
    }

    fn on_connect_done(&mut self, conn: ConnId, refused: bool) {
        let Some(key) = self.network.conns[conn].socket else { return };
        let socket = Socket(key);
        if refused {
            let result = Err(ECONNREFUSED);
            return self.ready.push_back(Completion::Connected { socket, result });
        }
        self.ready.push_back(Completion::Connected { socket, result: Ok(()) });
        if let Peer::Hop(session) = self.network.conns[conn].peer {
            self.sessions[session].greet(&mut self.network, &mut self.ledger);
        }
    }

    fn poll(&mut self, conn: ConnId) {
        self.network.polled(conn);
        match self.network.conns[conn].peer {
            Peer::Client(client) => self.clients[client].poll(&mut self.network, &mut self.ledger),
            Peer::Hop(session) => self.sessions[session].poll(&mut self.network, &mut self.ledger),
        }
    }

    fn on_send_done(&mut self, conn: ConnId) {
        let Some(key) = self.network.conns[conn].socket else { return };
        let Some(sending) = self.network.conns[conn].sending.take() else { return };
        let Sending { bytes: mut buffer, at, .. } = sending;
        let result = if at == buffer.len() { Ok(at) } else { Err(EPIPE) };
        buffer.clear();
        if std::mem::take(&mut self.network.conns[conn].fin_after_send) {
            self.network.fin(conn, Toward::Peer);
        }
        self.ready.push_back(Completion::Sent { socket: Socket(key), buffer, result });
    }

    /// Makes completions of what has arrived for sockets that receive: one piece each.
    fn gather(&mut self) {
        for conn in std::mem::take(&mut self.network.readable) {
            self.network.conns[conn].readable = false;
            let Some(key) = self.network.conns[conn].socket else { continue };
            if self.network.conns[conn].receiving != Receiving::On {
                continue;
            }
            let received = self.receive_piece(conn, Socket(key));
            self.end_of_stream(conn, Socket(key), received);
        }
    }

    fn receive_piece(&mut self, conn: ConnId, socket: Socket) -> bool {
        if self.network.conns[conn].to_worker.unread() == 0 {
            return false;
        }
        let max = match self.network.random.u8(..8) {
            0 => self.network.random.usize(1..=64),
            1 => self.network.random.usize(1..=4096),
            _ => 256 * 1024,
        };
        let mut bytes = Vec::new();
        let count = self.network.read(conn, Toward::Worker, max, &mut bytes);
        let buffer = self.free_chunks.pop().unwrap_or(self.chunks.len());
        if buffer == self.chunks.len() {
            self.chunks.push(None);
        }
        self.chunks[buffer] = Some(bytes);
        let (buffer, len) = (u32::try_from(buffer).unwrap(), u32::try_from(count).unwrap());
        let chunk = Chunk { buffer, offset: 0, len, last: true };
        self.ready.push_back(Completion::Received { socket, chunk });
        true
    }

    /// The end is told once everything before it was, now or with the next turn.
    fn end_of_stream(&mut self, conn: ConnId, socket: Socket, received: bool) {
        let read_all = self.network.conns[conn].to_worker.unread() == 0;
        let half = &self.network.conns[conn].to_worker;
        let ended = half.fin || half.reset;
        let error = half.reset.then_some(ECONNRESET);
        if read_all && ended && (!received || self.network.random.bool()) {
            self.network.conns[conn].receiving = Receiving::Ended;
            self.ready.push_back(Completion::Ended { socket, error });
        } else if !read_all || ended {
            self.network.mark_readable(conn);
        }
    }

    /// Breaks a connection under both sides, as a failing kernel would.
    fn break_socket(&mut self, socket: Socket) -> Option<()> {
        let conn = self.conn(socket)?;
        self.network.note(|| format!("{conn} is broken by order"));
        self.disturb(conn);
        self.network.conns[conn].receiving = Receiving::Ended;
        self.network.abort(conn, Toward::Worker);
        self.network.conns[conn].to_worker.reset = true;
        self.network.push_send(conn);
        Some(())
    }

    fn disturb(&mut self, conn: ConnId) {
        if let Peer::Client(client) = self.network.conns[conn].peer {
            self.clients[client].disturbed = true;
        }
    }

    /// Turns a completion into its failure.
    fn failed(&mut self, completion: Completion) -> Completion {
        match completion {
            Completion::Accepted { listener, socket, .. } => {
                self.break_socket(socket);
                self.reset(socket);
                Completion::AcceptFailed { listener, error: EMFILE }
            }
            Completion::Connected { socket, .. } => {
                self.break_socket(socket);
                Completion::Connected { socket, result: Err(ECONNREFUSED) }
            }
            Completion::Received { socket, chunk } => {
                self.release(chunk);
                self.break_socket(socket);
                Completion::Ended { socket, error: Some(ECONNRESET) }
            }
            Completion::Ended { socket, .. } => Completion::Ended { socket, error: Some(ECONNRESET) },
            Completion::Sent { socket, buffer, .. } => {
                self.break_socket(socket);
                Completion::Sent { socket, buffer, result: Err(EPIPE) }
            }
            other => other,
        }
    }
}

impl Reactor for Simulated {
    fn now(&self) -> Moment {
        let nanos = self.network.now;
        let wall = Wall::from_millis(1_795_366_104_000 + nanos / MILLIS);
        Moment { instant: Instant::from_nanos(nanos), wall }
    }

    fn took(&self) -> Duration {
        if self.is_slow { self.took } else { Duration::ZERO }
    }

    fn connect(&mut self, to: SocketAddr) -> Result<Socket, Errno> {
        if self.kernel_fails() {
            return Err(EMFILE);
        }
        let server = self.servers.iter().position(|server| server.address == to).unwrap();
        let conn = self.network.open(Peer::Hop(self.sessions.len()), to);
        let session = Session::new(&mut self.servers[server], conn);
        self.sessions.push(session);
        let key = self.sockets.insert(conn);
        self.network.conns[conn].socket = Some(key);
        self.network.note(|| format!("{conn} connects to server {server}"));
        let done = self.network.now + 2 * self.network.latency(conn);
        let one_in = self.servers[server].refuses_one_in;
        let fails = one_in > 0 && self.network.random.u64(..one_in) == 0;
        // Some never answer at all.
        if !(fails && self.network.random.bool()) {
            self.network.at(done, Event::ConnectDone { conn, refused: fails });
        }
        Ok(Socket(key))
    }

    fn receive(&mut self, socket: Socket) {
        let Some(conn) = self.conn(socket) else { return };
        if self.network.conns[conn].receiving == Receiving::Off {
            self.network.conns[conn].receiving = Receiving::On;
            self.network.mark_readable(conn);
        }
    }

    /// The virtual network hands out small pieces anyway.
    fn pace(&mut self, _socket: Socket, _stepwise: bool) {}

    fn pause(&mut self, socket: Socket) {
        let Some(conn) = self.conn(socket) else { return };
        if self.network.conns[conn].receiving == Receiving::On {
            self.network.conns[conn].receiving = Receiving::Off;
        }
    }

    fn send(&mut self, socket: Socket, bytes: Vec<u8>) {
        let Some(conn) = self.conn(socket) else { return };
        let (peer, max) = (self.network.conns[conn].peer, self.send_max);
        let mut bytes = bytes;
        let idle = self.network.conns[conn].sending.is_none();
        let len = bytes.len();
        let Self { network, ledger, .. } = self;
        ledger.hold(network, idle, || format!("a second send on {conn}"));
        ledger.hold(network, len <= max, || format!("{len} bytes sent to {peer:?} at once"));
        if let Some(canary) = &mut self.canary {
            canary.sing(peer, &mut bytes);
        }
        self.network.conns[conn].sending = Some(Sending { bytes, at: 0, done: false });
        self.network.push_send(conn);
    }

    fn shutdown(&mut self, socket: Socket) {
        let Some(conn) = self.conn(socket) else { return };
        match self.network.conns[conn].sending {
            Some(_) => self.network.conns[conn].fin_after_send = true,
            None => self.network.fin(conn, Toward::Peer),
        }
    }

    fn close(&mut self, socket: Socket) {
        if self.canary.as_mut().is_some_and(Canary::forgets_to_close) {
            return;
        }
        let Some(conn) = self.sockets.remove(socket.0) else { return };
        self.network.note(|| format!("{conn} is closed by the worker"));
        self.network.conns[conn].socket = None;
        self.network.conns[conn].sending = None;
        self.network.close(conn, Toward::Worker);
    }

    fn reset(&mut self, socket: Socket) {
        let Some(conn) = self.sockets.remove(socket.0) else { return };
        self.network.conns[conn].socket = None;
        self.network.conns[conn].sending = None;
        self.network.abort(conn, Toward::Worker);
    }

    fn stop_listening(&mut self) {
        self.listening = false;
    }

    fn turn(&mut self, deadline: Option<Instant>) {
        let deadline = deadline.map_or(u64::MAX, Instant::as_nanos);
        let spent = self.network.random.u64(1..=if self.is_slow { 30_000 } else { 20 });
        self.network.now += spent * MICROS;
        self.took = Duration::from_micros(spent);
        self.service.hear(&mut self.network);
        for (sender, content) in self.service.take_fresh() {
            self.ledger.on_stored(&mut self.network, &sender, content);
        }
        loop {
            while let Some(event) = self.network.due() {
                self.dispatch(event);
            }
            self.gather();
            // What `gather` left for the next turn is no reason to wait.
            if !self.ready.is_empty() || self.network.now >= deadline || !self.network.readable.is_empty() {
                return;
            }
            let next = self.network.next_time().unwrap_or(u64::MAX).min(deadline);
            self.network.now = if next == u64::MAX { self.network.now + SECONDS } else { next };
        }
    }

    fn next(&mut self) -> Option<Completion> {
        loop {
            let completion = self.ready.pop_front()?;
            if let Some(socket) = socket_of(&completion)
                && self.conn(socket).is_none()
            {
                // The owner has closed it in between.
                if let Completion::Received { chunk, .. } = completion {
                    self.release(chunk);
                }
                continue;
            }
            self.completions += 1;
            if self.fail_at == Some(self.completions) {
                return Some(self.failed(completion));
            }
            return Some(completion);
        }
    }

    fn bytes(&self, chunk: &Chunk) -> &[u8] {
        self.chunks[chunk.buffer as usize].as_deref().map_or(&[], |bytes| &bytes[..chunk.len as usize])
    }

    fn release(&mut self, chunk: Chunk) {
        let buffer = chunk.buffer as usize;
        if self.chunks[buffer].take().is_some() {
            self.free_chunks.push(buffer);
        }
    }
}

fn socket_of(completion: &Completion) -> Option<Socket> {
    match completion {
        Completion::Accepted { socket, .. }
        | Completion::Connected { socket, .. }
        | Completion::Received { socket, .. }
        | Completion::Ended { socket, .. }
        | Completion::Sent { socket, .. } => Some(*socket),
        Completion::AcceptFailed { .. } | Completion::Woken => None,
    }
}
