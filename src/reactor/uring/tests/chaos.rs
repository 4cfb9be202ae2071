//! Random operations on random sockets, with random peers; a failure replays from its seed.
//!
//! Every stream carries the same endless sequence, so each received byte shows whether something
//! was lost, doubled, reordered or mixed up on its way.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::LazyLock;

use fastrand::Rng;
use socket2::{Domain, SockRef, Type};

use super::{Bench, Chunk, Completion, Errno, Reactor, Socket, UringConfig};

const SEEDS: u64 = 40;
const STEPS: u32 = 600;
const SOCKETS_MAX: usize = 40;

/// Longest piece of the sequence that anybody asks for.
const PIECE_BYTES_MAX: usize = 300_000;
/// The sequence repeats after this prime, which no buffer size divides.
const PERIOD: usize = 65_521;

static SEQUENCE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = Rng::with_seed(0);
    let period: Vec<u8> = (0..PERIOD).map(|_| rng.u8(..)).collect();
    period.iter().copied().cycle().take(PERIOD + PIECE_BYTES_MAX).collect()
});

fn bytes_from(position: usize, len: usize) -> &'static [u8] {
    &SEQUENCE[position % PERIOD..][..len]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Connecting,
    Open,
    Failed,
}

/// What must be true of one handle.
#[derive(Debug)]
struct Model {
    stands: Stands,
    received: usize,
    ended: bool,
    /// Where the sequence stands that we send, and how much of it the kernel has now.
    sent: usize,
    sending: Option<usize>,
    fin: bool,
}

impl Model {
    const fn new(stands: Stands) -> Self {
        Self { stands, received: 0, ended: false, sent: 0, sending: None, fin: false }
    }
}

struct Chaos {
    bench: Bench,
    rng: Rng,
    live: BTreeMap<Socket, Model>,
    dead: Vec<Socket>,
    held: Vec<Chunk>,
    raw: Vec<(socket2::Socket, usize)>,
    delivered: usize,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let config = UringConfig {
            entries: [4, 64][rng.usize(..2)],
            completions: [8, 256][rng.usize(..2)],
            buffer_count: [1, 2, 16][rng.usize(..3)],
            buffer_bytes: [100, 4096, 65536][rng.usize(..3)],
            incremental: rng.bool(),
        };
        let bench = Bench::new(config);
        let (live, dead, held, raw) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        Self { bench, rng, live, dead, held, raw, delivered: 0 }
    }

    fn some_socket(&mut self) -> Option<Socket> {
        let at = self.rng.usize(..self.live.len().max(1));
        self.live.keys().nth(at).copied()
    }

    fn step(&mut self) {
        match self.rng.u32(..100) {
            0..10 => self.connect(),
            10..18 => self.raw_connect(),
            18..30 => self.raw_write(),
            30..33 => self.raw_end(),
            33..36 => self.poke_dead(),
            36..40 => self.release_one(),
            40..75 => self.operate(),
            _ => self.turn(),
        }
    }

    fn connect(&mut self) {
        if self.live.len() < SOCKETS_MAX {
            let socket = self.bench.uring.connect(self.bench.address).unwrap();
            assert!(self.live.insert(socket, Model::new(Stands::Connecting)).is_none());
        }
    }

    fn raw_connect(&mut self) {
        if self.raw.len() < SOCKETS_MAX {
            let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.connect(&self.bench.address.into()).unwrap();
            socket.set_nonblocking(true).unwrap();
            self.raw.push((socket, 0));
        }
    }

    /// A peer writes what fits and reads some; what fails is its own affair.
    fn raw_write(&mut self) {
        let len = self.rng.usize(1..100_000);
        let Some((socket, sent)) = self.rng.choice(self.raw.iter_mut()) else { return };
        if let Ok(count) = socket.write(bytes_from(*sent, len)) {
            *sent += count;
        }
        let _ = socket.read(&mut vec![0; len]);
    }

    fn raw_end(&mut self) {
        if self.raw.is_empty() {
            return;
        }
        let (socket, _) = self.raw.swap_remove(self.rng.usize(..self.raw.len()));
        if self.rng.bool() {
            let _ = socket.set_linger(Some(std::time::Duration::ZERO));
        }
    }

    fn poke_dead(&mut self) {
        let Some(socket) = self.rng.choice(self.dead.iter().copied()) else { return };
        let uring = &mut self.bench.uring;
        match self.rng.u32(..6) {
            0 => uring.receive(socket),
            1 => uring.pause(socket),
            2 => uring.send(socket, b"stale".to_vec()),
            3 => uring.shutdown(socket),
            4 => uring.close(socket),
            _ => uring.reset(socket),
        }
    }

    fn release_one(&mut self) {
        if !self.held.is_empty() {
            let chunk = self.held.swap_remove(self.rng.usize(..self.held.len()));
            self.bench.uring.release(chunk);
        }
    }

    fn operate(&mut self) {
        let Some(socket) = self.some_socket() else { return };
        match self.rng.u32(..20) {
            0..6 => self.bench.uring.receive(socket),
            6..10 => self.bench.uring.pause(socket),
            10..16 => self.send(socket),
            16 => self.shutdown(socket),
            17 | 18 => {
                self.bench.uring.close(socket);
                self.bury(socket);
            }
            _ => {
                self.bench.uring.reset(socket);
                self.bury(socket);
            }
        }
    }

    fn bury(&mut self, socket: Socket) {
        self.live.remove(&socket);
        self.dead.push(socket);
    }

    fn send(&mut self, socket: Socket) {
        let len = [0, 1, 100, 5000, PIECE_BYTES_MAX][self.rng.usize(..5)];
        let model = self.live.get_mut(&socket).unwrap();
        if model.sending.is_none() && model.stands == Stands::Open && !model.fin {
            self.bench.uring.send(socket, bytes_from(model.sent, len).to_vec());
            model.sending = Some(len);
        }
    }

    fn shutdown(&mut self, socket: Socket) {
        let model = self.live.get_mut(&socket).unwrap();
        model.fin |= model.stands == Stands::Open;
        self.bench.uring.shutdown(socket);
    }

    fn turn(&mut self) {
        let now = self.bench.uring.now().instant;
        self.bench.uring.turn(Some(now));
        // Some completions are read only after another turn.
        for _ in 0..self.rng.u32(1..60) {
            let Some(completion) = self.bench.uring.next() else { return };
            self.check(completion);
        }
    }

    fn model(&mut self, socket: Socket) -> &mut Model {
        self.delivered += 1;
        self.live.get_mut(&socket).expect("a completion of a closed socket")
    }

    fn check(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted { socket, .. } => {
                assert!(self.live.insert(socket, Model::new(Stands::Open)).is_none());
            }
            Completion::AcceptFailed { error, .. } => panic!("accept: {error}"),
            Completion::Connected { socket, result } => {
                let stands = if result.is_ok() { Stands::Open } else { Stands::Failed };
                assert_eq!(mem::replace(&mut self.model(socket).stands, stands), Stands::Connecting);
            }
            Completion::Received { socket, chunk } => self.check_chunk(socket, chunk),
            Completion::Ended { socket, .. } => {
                assert!(!mem::replace(&mut self.model(socket).ended, true), "ended twice");
            }
            Completion::Sent { socket, buffer, result } => self.check_sent(socket, &buffer, result),
            Completion::Woken => panic!("nobody woke"),
        }
    }

    fn check_chunk(&mut self, socket: Socket, chunk: Chunk) {
        let bytes = self.bench.uring.bytes(&chunk).to_vec();
        let model = self.model(socket);
        assert!(!model.ended && !bytes.is_empty());
        assert!(bytes == bytes_from(model.received, bytes.len()), "wrong bytes at {}", model.received);
        model.received += bytes.len();
        if self.held.is_empty() && self.rng.u32(..10) == 0 {
            self.held.push(chunk);
        } else {
            self.bench.uring.release(chunk);
        }
    }

    fn check_sent(&mut self, socket: Socket, buffer: &[u8], result: Result<usize, Errno>) {
        let model = self.model(socket);
        let len = model.sending.take().expect("a send that nobody asked for");
        assert!(buffer.is_empty());
        match result {
            Ok(sent) => assert_eq!(sent, len),
            Err(_) => model.fin = true,
        }
        model.sent += len;
    }

    /// Closes all and shows that nothing is left.
    fn end(mut self) {
        self.raw.clear();
        while !self.held.is_empty() {
            self.release_one();
        }
        let limit = self.bench.uring.now().instant + super::PATIENCE;
        // Clients in the backlog are accepted first.
        while !self.live.is_empty() || self.bench.uring.open_sockets() > 0 || self.bench.uring.unread > 0 {
            for socket in self.live.keys().copied().collect::<Vec<_>>() {
                self.bench.uring.close(socket);
                self.bury(socket);
            }
            self.turn();
            assert!(self.bench.uring.now().instant < limit, "left: {:?}", self.bench.uring.sockets);
        }
        for _ in 0..3 {
            self.turn();
        }
        while !self.held.is_empty() {
            self.release_one();
        }
        assert_eq!(self.bench.uring.buffers.held(), 0);
        assert!(self.bench.uring.buffers.available());
    }
}

/// Descriptors of this process that have to do with `port`.
fn descriptors(port: u16) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| {
            // SAFETY: only asked for its addresses; that it may be closed meanwhile does no harm.
            let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
            let socket = SockRef::from(&fd);
            [socket.local_addr(), socket.peer_addr()]
                .into_iter()
                .flatten()
                .any(|address| address.as_socket().is_some_and(|address| address.port() == port))
        })
        .count()
}

#[test]
fn whatever_happens_nothing_is_lost_mixed_up_or_left() {
    let mut delivered = 0;
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut chaos = Chaos::new(seed);
        for _ in 0..STEPS {
            chaos.step();
        }
        delivered += chaos.delivered;
        let port = chaos.bench.address.port();
        // A second owner of the listener's address keeps the port from being given to another test.
        let keeper = crate::reactor::socket::listen(chaos.bench.address).unwrap();
        chaos.end();
        assert_eq!(descriptors(port), 1);
        drop(keeper);
    }
    assert!(delivered > 10_000, "only {delivered} completions: this tests nothing");
}

#[test]
fn an_end_amid_chaos_leaves_nothing_in_the_kernel() {
    for seed in 0..10 {
        let mut chaos = Chaos::new(seed);
        for _ in 0..200 {
            chaos.step();
        }
        chaos.bench.uring.end();
        assert!(chaos.bench.uring.is_quiet(), "seed {seed}: {:?}", chaos.bench.uring);
    }
}
