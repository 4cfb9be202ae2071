//! The virtual network: connections with latency, segments, bounded buffers, FIN and RST.
//!
//! A connection is two one-way [`Half`]s. What a writer puts into one is cut into segments that
//! arrive later, in order; what was written and not yet read is bounded, so a side that does not
//! read stops the other. A reset arrives with the last segment before it, never later: a peer that
//! says something and resets in one breath is heard so.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;

use postern::base::slab::Key;

/// An index into [`Network::conns`]. Never used again.
pub(crate) type ConnId = usize;

pub(crate) const MICROS: u64 = 1_000;
pub(crate) const MILLIS: u64 = 1_000_000;
pub(crate) const SECONDS: u64 = 1_000_000_000;

/// Which way bytes go: to the worker, or to whom it talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toward {
    Worker,
    Peer,
}

/// Who is at the other end of a connection of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Client(usize),
    /// Index of the next hop's session.
    Hop(usize),
}

#[derive(Debug)]
pub(crate) enum Event {
    Arrived {
        conn: ConnId,
        toward: Toward,
        bytes: Vec<u8>,
    },
    Fin {
        conn: ConnId,
        toward: Toward,
    },
    Reset {
        conn: ConnId,
        toward: Toward,
    },
    /// The kernel has taken all of a send.
    SendDone {
        conn: ConnId,
    },
    ConnectDone {
        conn: ConnId,
        refused: bool,
    },
    /// A client's SYN has come.
    Knock {
        conn: ConnId,
    },
    /// The peer of a connection has something to do.
    Poll {
        conn: ConnId,
    },
    /// A client begins.
    Start {
        client: usize,
    },
    /// The service side has something to say.
    Answer,
    /// The worker is told to drain.
    Drain,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Half {
    capacity: usize,
    /// Octets on the way or not read yet.
    held: usize,
    unread: VecDeque<u8>,
    /// When the last segment so far arrives.
    last_arrival: u64,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    /// The reader has closed: what still arrives is answered by a reset.
    gone: bool,
    /// The writer has sent FIN or a reset.
    closed: bool,
    /// Octets that the reader took.
    pub(crate) taken: u64,
}

impl Half {
    pub(crate) fn room(&self) -> usize {
        if self.closed || self.reset { 0 } else { self.capacity.saturating_sub(self.held) }
    }

    pub(crate) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// Everything was read, and no more will come.
    pub(crate) fn is_over(&self) -> bool {
        self.reset || self.fin && self.unread.is_empty()
    }
}

/// What the worker has asked to be sent.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: usize,
    pub(crate) done: bool,
}

/// Whether the worker receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    Off,
    On,
    /// It was told of the end.
    Ended,
}

#[derive(Debug)]
pub(crate) struct Conn {
    /// The worker's handle, until it closes it.
    pub(crate) socket: Option<Key>,
    pub(crate) peer: Peer,
    /// The other end's address.
    pub(crate) address: SocketAddr,
    pub(crate) to_worker: Half,
    pub(crate) to_peer: Half,
    pub(crate) receiving: Receiving,
    pub(crate) sending: Option<Sending>,
    pub(crate) fin_after_send: bool,
    /// The latency of this connection.
    latency: u64,
    segments: Segments,
    polled: bool,
    pub(crate) readable: bool,
}

/// How a connection cuts what is written.
#[derive(Clone, Copy, Debug)]
enum Segments {
    Whole,
    Wire,
    /// One to sixteen octets, at first.
    Tiny,
    Mixed,
}

impl Conn {
    pub(crate) fn half(&mut self, toward: Toward) -> &mut Half {
        match toward {
            Toward::Worker => &mut self.to_worker,
            Toward::Peer => &mut self.to_peer,
        }
    }
}

/// How rough the network is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// The largest latency of a connection, in steps of 50 µs.
    pub(crate) latency_steps_max: u64,
    /// One segment in so many is late by up to 300 ms; 0: none.
    pub(crate) late_one_in: u64,
    /// One send in so many completes late; 0: none.
    pub(crate) late_send_one_in: u64,
    /// Bytes that a direction of a connection holds at least and at most.
    pub(crate) buffer: (usize, usize),
    pub(crate) tiny: bool,
}

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) now: u64,
    pub(crate) random: fastrand::Rng,
    pub(crate) weather: Weather,
    pub(crate) conns: Vec<Conn>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    /// By number of the event.
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    sequence: u64,
    /// Connections that the worker may have something to hear of.
    pub(crate) readable: Vec<ConnId>,
    /// The last things that happened, if anybody wants to know.
    pub(crate) trail: Option<Vec<String>>,
}

/// Numbers of events that fit beside their order in one word.
const EVENTS_BITS: u32 = 24;

impl Network {
    pub(crate) fn new(seed: u64, weather: Weather, traced: bool) -> Self {
        Self {
            now: SECONDS,
            random: fastrand::Rng::with_seed(seed),
            weather,
            conns: Vec::new(),
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            readable: Vec::new(),
            trail: traced.then(Vec::new),
        }
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trail) = &mut self.trail {
            trail.push(format!("{:>12.6} {}", now as f64 / SECONDS as f64 - 1.0, what()));
        }
    }

    pub(crate) fn at(&mut self, time: u64, event: Event) {
        let slot = self.free.pop().unwrap_or(self.events.len());
        if slot == self.events.len() {
            self.events.push(None);
        }
        self.events[slot] = Some(event);
        self.sequence += 1;
        let word = self.sequence << EVENTS_BITS | slot as u64;
        self.queue.push(Reverse((time.max(self.now), word)));
    }

    pub(crate) fn next_time(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse((time, _))| *time)
    }

    /// The next event that is due.
    pub(crate) fn due(&mut self) -> Option<Event> {
        let &Reverse((time, word)) = self.queue.peek()?;
        if time > self.now {
            return None;
        }
        self.queue.pop();
        let slot = (word & ((1 << EVENTS_BITS) - 1)) as usize;
        self.free.push(slot);
        self.events[slot].take()
    }

    pub(crate) fn open(&mut self, peer: Peer, address: SocketAddr) -> ConnId {
        let latency = self.random.u64(1..=self.weather.latency_steps_max) * 50 * MICROS;
        let (least, most) = self.weather.buffer;
        let half =
            |random: &mut fastrand::Rng| Half { capacity: random.usize(least..=most), ..Half::default() };
        let segments = match self.random.u8(0..8) {
            0 if self.weather.tiny => Segments::Tiny,
            0..3 => Segments::Mixed,
            3..6 => Segments::Wire,
            _ => Segments::Whole,
        };
        self.conns.push(Conn {
            socket: None,
            peer,
            address,
            to_worker: half(&mut self.random),
            to_peer: half(&mut self.random),
            receiving: Receiving::Off,
            sending: None,
            fin_after_send: false,
            latency,
            segments,
            polled: false,
            readable: false,
        });
        self.conns.len() - 1
    }

    pub(crate) fn latency(&self, conn: ConnId) -> u64 {
        self.conns[conn].latency
    }

    /// Puts as much of `bytes` on the way as there is room for; gives how much that was.
    pub(crate) fn write(&mut self, conn: ConnId, toward: Toward, bytes: &[u8]) -> usize {
        let count = self.conns[conn].half(toward).room().min(bytes.len());
        let mut at = 0;
        while at < count {
            let len = self.segment(conn).min(count - at);
            let arrival = self.arrival(conn, toward);
            let bytes = bytes[at..at + len].to_vec();
            self.at(arrival, Event::Arrived { conn, toward, bytes });
            at += len;
        }
        self.conns[conn].half(toward).held += count;
        count
    }

    fn segment(&mut self, conn: ConnId) -> usize {
        let written = self.conns[conn].to_peer.taken + self.conns[conn].to_worker.taken;
        match self.conns[conn].segments {
            Segments::Whole => usize::MAX,
            Segments::Tiny if written < 2048 => self.random.usize(1..=16),
            Segments::Tiny | Segments::Wire => 1460,
            Segments::Mixed => [7, 100, 1460, 16_000, 64_000][self.random.usize(..5)],
        }
    }

    /// When what is written now arrives: never before what was written before.
    fn arrival(&mut self, conn: ConnId, toward: Toward) -> u64 {
        let late = self.weather.late_one_in;
        let delay = if late > 0 && self.random.u64(..late) == 0 {
            self.random.u64(1..=6000) * 50 * MICROS
        } else {
            0
        };
        let arrival = self.now + self.conns[conn].latency + delay;
        let half = self.conns[conn].half(toward);
        half.last_arrival = half.last_arrival.max(arrival);
        half.last_arrival
    }

    /// Takes up to `max` octets that have arrived.
    pub(crate) fn read(&mut self, conn: ConnId, toward: Toward, max: usize, into: &mut Vec<u8>) -> usize {
        let half = self.conns[conn].half(toward);
        let count = half.unread.len().min(max);
        into.extend(half.unread.drain(..count));
        half.held -= count;
        half.taken += count as u64;
        if count > 0 {
            match toward {
                Toward::Worker => self.poll(conn),
                Toward::Peer => self.push_send(conn),
            }
        }
        count
    }

    /// The peer of `conn` has something to look at.
    pub(crate) fn poll(&mut self, conn: ConnId) {
        if !std::mem::replace(&mut self.conns[conn].polled, true) {
            self.at(self.now, Event::Poll { conn });
        }
    }

    pub(crate) fn polled(&mut self, conn: ConnId) {
        self.conns[conn].polled = false;
    }

    pub(crate) fn poll_at(&mut self, conn: ConnId, time: u64) {
        self.at(time, Event::Poll { conn });
    }

    pub(crate) fn fin(&mut self, conn: ConnId, toward: Toward) {
        let half = self.conns[conn].half(toward);
        if std::mem::replace(&mut half.closed, true) {
            return;
        }
        let arrival = (self.now + self.conns[conn].latency).max(self.conns[conn].half(toward).last_arrival);
        self.at(arrival, Event::Fin { conn, toward });
    }

    /// Breaks the connection: the reader hears so right behind what was written before.
    pub(crate) fn reset(&mut self, conn: ConnId, toward: Toward) {
        let latency = self.conns[conn].latency;
        let half = self.conns[conn].half(toward);
        half.closed = true;
        let arrival = (self.now + latency).max(half.last_arrival);
        self.at(arrival, Event::Reset { conn, toward });
    }

    /// One side closes: politely if it has read everything.
    pub(crate) fn close(&mut self, conn: ConnId, closing: Toward) {
        let unread = !self.conns[conn].half(closing).unread.is_empty();
        self.conns[conn].half(closing).gone = true;
        let other = closing.other();
        if unread { self.reset(conn, other) } else { self.fin(conn, other) }
    }

    /// One side closes rudely.
    pub(crate) fn abort(&mut self, conn: ConnId, closing: Toward) {
        self.conns[conn].half(closing).gone = true;
        self.reset(conn, closing.other());
    }

    pub(crate) fn on_arrived(&mut self, conn: ConnId, toward: Toward, bytes: &[u8]) {
        let half = self.conns[conn].half(toward);
        if half.gone {
            // Nobody is there any more.
            half.held -= bytes.len();
            if !self.conns[conn].half(toward.other()).reset {
                self.reset(conn, toward.other());
            }
            return;
        }
        if half.reset {
            return;
        }
        half.unread.extend(bytes);
        self.wake(conn, toward);
    }

    pub(crate) fn on_fin(&mut self, conn: ConnId, toward: Toward) {
        self.conns[conn].half(toward).fin = true;
        self.wake(conn, toward);
    }

    /// Both directions are dead for this reader; what it has not read may be lost.
    pub(crate) fn on_reset(&mut self, conn: ConnId, toward: Toward) {
        let purge = self.random.bool();
        let half = self.conns[conn].half(toward);
        half.reset = true;
        if purge {
            half.unread.clear();
        }
        self.conns[conn].half(toward.other()).closed = true;
        self.wake(conn, toward);
        if toward == Toward::Worker {
            self.push_send(conn);
        }
    }

    fn wake(&mut self, conn: ConnId, toward: Toward) {
        match toward {
            Toward::Worker => self.mark_readable(conn),
            Toward::Peer => self.poll(conn),
        }
    }

    pub(crate) fn mark_readable(&mut self, conn: ConnId) {
        if !std::mem::replace(&mut self.conns[conn].readable, true) {
            self.readable.push(conn);
        }
    }

    /// Moves what the worker sends into the kernel, as far as there is room.
    pub(crate) fn push_send(&mut self, conn: ConnId) {
        let Some(mut sending) = self.conns[conn].sending.take() else { return };
        if !sending.done {
            sending.at += self.write(conn, Toward::Peer, &sending.bytes[sending.at..]);
            let broken = self.conns[conn].to_worker.reset || self.conns[conn].to_peer.closed;
            if sending.at == sending.bytes.len() || broken {
                sending.done = true;
                let late = self.weather.late_send_one_in;
                let is_late = late > 0 && self.random.u64(..late) == 0;
                let delay = if is_late { self.random.u64(1..=400) * 50 * MICROS } else { 0 };
                self.at(self.now + delay, Event::SendDone { conn });
            }
        }
        self.conns[conn].sending = Some(sending);
    }
}

impl Toward {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Worker => Self::Peer,
            Self::Peer => Self::Worker,
        }
    }
}
