//! Both ends of each connection are in one reactor, so nothing here depends on time.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::{
    Accepting, Chunk, Completion, Errno, Instant, Op, Outcome, Reactor, Sending, Socket, Token, Unsupported,
    Uring, UringConfig,
};
use crate::base::slab::Key;

/// Far more than any test needs; a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(20);

fn small() -> UringConfig {
    UringConfig { entries: 64, completions: 256, ..UringConfig::default() }
}

/// A reactor, what it delivered, and a check on it that nothing is left behind.
struct Bench {
    uring: Uring,
    address: SocketAddr,
}

impl Bench {
    fn new(config: UringConfig) -> Self {
        let mut uring = Uring::new(config).unwrap();
        let listener = uring.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = uring.local_addr(listener).unwrap();
        Self { uring, address }
    }

    /// Turns until `take` has made something of a completion. Others are released.
    #[track_caller]
    fn until<T>(&mut self, mut take: impl FnMut(&mut Uring, &Completion) -> Option<T>) -> T {
        let limit = self.uring.now().instant + PATIENCE;
        loop {
            while let Some(completion) = self.uring.next() {
                let taken = take(&mut self.uring, &completion);
                release(&mut self.uring, completion);
                if let Some(taken) = taken {
                    return taken;
                }
            }
            assert!(self.uring.now().instant < limit, "nothing came: {:?}", self.uring);
            self.uring.turn(Some(limit));
        }
    }

    /// Both ends of a new connection: who connected, who accepted.
    #[track_caller]
    fn pair(&mut self) -> (Socket, Socket) {
        let near = self.uring.connect(self.address).unwrap();
        let (mut connected, mut far) = (false, None);
        self.until(|_, completion| {
            match completion {
                Completion::Connected { socket, result } if *socket == near => {
                    assert_eq!(*result, Ok(()));
                    connected = true;
                }
                Completion::Accepted { socket, .. } => far = Some(*socket),
                _ => {}
            }
            far.filter(|_| connected)
        });
        (near, far.unwrap())
    }

    /// Receives on `socket` until `len` bytes have come.
    #[track_caller]
    fn read(&mut self, socket: Socket, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.uring.receive(socket);
        self.until(|uring, completion| {
            match completion {
                Completion::Received { socket: of, chunk } if *of == socket => {
                    bytes.extend_from_slice(uring.bytes(chunk));
                }
                Completion::Ended { socket: of, error } if *of == socket => panic!("ended: {error:?}"),
                _ => {}
            }
            (bytes.len() >= len).then_some(())
        });
        bytes
    }

    /// Takes chunks without releasing them until `len` bytes are held.
    #[track_caller]
    fn hold(&mut self, held: &mut Vec<Chunk>, len: u32) -> Instant {
        let limit = self.uring.now().instant + PATIENCE;
        while held.iter().map(|chunk| chunk.len).sum::<u32>() < len {
            assert!(self.uring.now().instant < limit, "held {held:?}");
            self.uring.turn(Some(limit));
            while let Some(completion) = self.uring.next() {
                if let Completion::Received { chunk, .. } = completion {
                    held.push(chunk);
                }
            }
        }
        limit
    }

    #[track_caller]
    fn ended(&mut self, socket: Socket) -> Option<Errno> {
        self.uring.receive(socket);
        self.until(|_, completion| match completion {
            Completion::Ended { socket: of, error } if *of == socket => Some(*error),
            _ => None,
        })
    }

    #[track_caller]
    fn sent(&mut self, socket: Socket) -> Result<usize, Errno> {
        self.until(|_, completion| match completion {
            Completion::Sent { socket: of, buffer, result } if *of == socket && buffer.is_empty() => {
                Some(*result)
            }
            _ => None,
        })
    }

    /// Turns without waiting until the kernel has nothing more to say.
    fn settle(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        for _ in 0..20 {
            let now = self.uring.now().instant;
            self.uring.turn(Some(now));
            while let Some(completion) = self.uring.next() {
                seen.push(format!("{completion:?}"));
                release(&mut self.uring, completion);
            }
        }
        seen
    }

    #[track_caller]
    fn wait_closed(&mut self) {
        let limit = self.uring.now().instant + PATIENCE;
        while self.uring.open_sockets() > 0 {
            assert!(self.uring.now().instant < limit, "still open: {:?}", self.uring.sockets);
            self.settle();
        }
        assert_eq!(self.uring.buffers.held(), 0);
    }
}

fn release(uring: &mut Uring, completion: Completion) {
    if let Completion::Received { chunk, .. } = completion {
        uring.release(chunk);
    }
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    let byte = |at: usize| at.to_le_bytes().into_iter().fold(seed, |sum, byte| sum ^ byte);
    (0..len).map(byte).collect()
}

/// Every kind of buffers: incremental and plain, large and scarce.
fn configs() -> impl Iterator<Item = UringConfig> {
    [(16, 65536), (2, 512), (1, 4096), (4, 7)].into_iter().flat_map(|(buffer_count, buffer_bytes)| {
        [true, false].map(|incremental| UringConfig { buffer_count, buffer_bytes, incremental, ..small() })
    })
}

#[test]
fn what_is_sent_is_received() {
    for config in configs() {
        let mut bench = Bench::new(config);
        let (near, far) = bench.pair();
        for len in [1, 100, 5000] {
            let bytes = pattern(len, 1);
            bench.uring.send(near, bytes.clone());
            assert_eq!(bench.read(far, len), bytes, "{config:?}");
            bench.uring.send(far, bytes.clone());
            assert_eq!(bench.read(near, len), bytes, "{config:?}");
        }
        bench.uring.close(near);
        assert_eq!(bench.ended(far), None);
        bench.uring.close(far);
        bench.wait_closed();
    }
}

#[test]
fn addresses_of_both_ends_are_told() {
    for (on, to) in [("127.0.0.1:0", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let mut bench = Bench::new(small());
        let listener = bench.uring.listen(on.parse().unwrap()).unwrap();
        let port = bench.uring.local_addr(listener).unwrap().port();
        let address = SocketAddr::new(to.parse().unwrap(), port);
        bench.uring.connect(address).unwrap();
        bench.until(|_, completion| match completion {
            Completion::Accepted { listener: of, peer, local, .. } => {
                assert_eq!((*of, *local, peer.ip()), (listener, address, address.ip()));
                Some(())
            }
            _ => None,
        });
    }
}

#[test]
fn a_connection_comes_from_the_address_asked_for() {
    let mut bench = Bench::new(small());
    for from in ["127.0.0.1", "127.1.2.3", "127.255.255.254"] {
        let from = from.parse().unwrap();
        bench.uring.connect_from(from, bench.address).unwrap();
        let peer = bench.until(|_, completion| match completion {
            Completion::Accepted { peer, .. } => Some(*peer),
            _ => None,
        });
        assert_eq!(peer.ip(), from);
    }
    let not_ours = "192.0.2.1".parse().unwrap();
    assert_eq!(bench.uring.connect_from(not_ours, bench.address), Err(Errno(libc::EADDRNOTAVAIL)));
}

/// What the share of work is told by: whether a turn will find something done.
#[test]
fn a_turn_knows_whether_it_waits() {
    let mut bench = Bench::new(small());
    let (near, far) = bench.pair();
    bench.uring.receive(far);
    bench.settle();
    assert!(!bench.uring.is_ready());
    bench.uring.send(near, vec![1]);
    assert!(bench.uring.is_ready(), "a send is done when it is asked for");
    let before = bench.uring.now().instant;
    bench.uring.turn(None);
    assert_eq!(bench.uring.took(), bench.uring.now().instant.since(before), "nothing was waited for");
    bench.settle();
    assert!(!bench.uring.is_ready());
    bench.uring.waker().wake();
    assert!(bench.uring.is_ready(), "the kernel has left us work");
}

#[test]
fn a_long_send_reaches_a_slow_reader_whole() {
    const LEN: usize = 8 << 20;
    let mut bench = Bench::new(small());
    let (near, far) = bench.pair();
    let bytes = pattern(LEN, 0);
    bench.uring.send(near, bytes.clone());
    let (mut got, mut sent) = (Vec::new(), None);
    bench.uring.receive(far);
    bench.until(|uring, completion| {
        match completion {
            Completion::Received { socket, chunk } => {
                got.extend_from_slice(uring.bytes(chunk));
                // Stop and go after each chunk: the sender meets a closed window all the time.
                uring.pause(*socket);
                uring.receive(*socket);
            }
            Completion::Sent { result, .. } => sent = Some(*result),
            _ => {}
        }
        (sent.is_some() && got.len() == LEN).then_some(())
    });
    assert!(sent == Some(Ok(LEN)) && got == bytes);
}

#[test]
fn a_short_send_is_gone_on_with() {
    let mut bench = Bench::new(small());
    let (near, far) = bench.pair();
    // As if the kernel had been interrupted after 3 of 10 bytes.
    let endpoint = bench.uring.sockets.at_mut(near.0).unwrap();
    (endpoint.buffer, endpoint.sending, endpoint.operations) = (b"abcdefghij".to_vec(), Sending::Busy, 1);
    assert!(bench.uring.on_send(near.0, Outcome { result: 3, flags: 0 }).is_none());
    assert_eq!(bench.sent(near), Ok(10));
    assert_eq!(bench.read(far, 7), b"defghij");
}

#[test]
fn a_paused_socket_receives_nothing_until_it_goes_on() {
    let mut bench = Bench::new(small());
    let (near, far) = bench.pair();
    bench.uring.receive(far);
    bench.settle();
    bench.uring.pause(far);
    bench.uring.pause(far);
    bench.settle();
    bench.uring.send(near, b"later".to_vec());
    assert_eq!(bench.sent(near), Ok(5));
    assert_eq!(bench.settle(), Vec::<String>::new());
    assert_eq!(bench.read(far, 5), b"later");
    // Off and on within one turn.
    for _ in 0..100 {
        bench.uring.pause(far);
        bench.uring.receive(far);
    }
    bench.uring.send(near, b"again".to_vec());
    assert_eq!(bench.read(far, 5), b"again");
}

#[test]
fn a_sender_stops_when_the_reader_pauses() {
    let mut bench = Bench::new(small());
    let (near, far) = bench.pair();
    bench.uring.send(near, vec![b'x'; 32 << 20]);
    let seen = bench.settle();
    assert!(seen.is_empty(), "{seen:?}");
    bench.uring.reset(far);
    assert!(bench.sent(near).is_err());
}

#[test]
fn closing_delivers_nothing_more_whatever_is_in_flight() {
    let mut bench = Bench::new(small());
    for round in 0..8 {
        let (near, far) = bench.pair();
        if round & 1 > 0 {
            bench.uring.send(near, vec![b'x'; 16 << 20]);
        }
        if round & 2 > 0 {
            bench.uring.receive(near);
        }
        if round & 4 > 0 {
            bench.settle();
        }
        bench.uring.close(near);
        bench.uring.close(near);
        bench.uring.receive(near);
        bench.uring.send(near, b"stale".to_vec());
        bench.uring.shutdown(near);
        bench.uring.pause(near);
        let seen = bench.settle();
        assert!(seen.is_empty(), "round {round}: {seen:?}");
        bench.uring.close(far);
        bench.wait_closed();
    }
}

#[test]
fn an_answer_of_ours_dies_with_its_handle() {
    let mut bench = Bench::new(small());
    let (near, _) = bench.pair();
    bench.uring.send(near, Vec::new());
    bench.uring.close(near);
    assert_eq!(bench.settle(), Vec::<String>::new());
}

#[test]
fn a_send_out_of_turn_is_answered() {
    let mut bench = Bench::new(small());
    let (near, _) = bench.pair();
    bench.uring.send(near, Vec::new());
    assert_eq!(bench.sent(near), Ok(0));
    bench.uring.send(near, b"first".to_vec());
    bench.uring.send(near, b"second".to_vec());
    assert_eq!(bench.sent(near), Err(Errno(libc::EALREADY)));
    assert_eq!(bench.sent(near), Ok(5));
    let early = bench.uring.connect(bench.address).unwrap();
    bench.uring.send(early, b"early".to_vec());
    assert_eq!(bench.sent(early), Err(Errno(libc::ENOTCONN)));
}

#[test]
fn a_stale_handle_does_nothing_to_its_successor() {
    let mut bench = Bench::new(small());
    let (old, old_far) = bench.pair();
    bench.uring.close(old);
    bench.uring.close(old_far);
    bench.wait_closed();
    let (near, far) = bench.pair();
    for stale in [old, old_far] {
        bench.uring.close(stale);
        bench.uring.reset(stale);
        bench.uring.send(stale, b"stale".to_vec());
        bench.uring.receive(stale);
        bench.uring.shutdown(stale);
    }
    bench.uring.send(near, b"fresh".to_vec());
    assert_eq!(bench.read(far, 5), b"fresh");
}

#[test]
fn a_refused_connect_says_so() {
    let mut bench = Bench::new(small());
    let nobody = {
        let listener = bench.uring.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = bench.uring.local_addr(listener).unwrap();
        bench.uring.stop(listener.0);
        bench.settle();
        address
    };
    let socket = bench.uring.connect(nobody).unwrap();
    bench.uring.receive(socket);
    let result = bench.until(|_, completion| match completion {
        Completion::Connected { result, .. } => Some(*result),
        _ => None,
    });
    assert_eq!(result, Err(Errno(libc::ECONNREFUSED)));
    bench.uring.close(socket);
    assert_eq!(bench.uring.open_sockets(), 0);
}

#[test]
fn a_connect_can_be_given_up() {
    let mut bench = Bench::new(small());
    let socket = bench.uring.connect(bench.address).unwrap();
    bench.uring.receive(socket);
    bench.uring.close(socket);
    let seen = bench.settle();
    assert!(!seen.iter().any(|completion| completion.contains("Connected")), "{seen:?}");
    assert!(bench.uring.sockets.at(socket.0).is_none());
}

#[test]
fn receiving_may_be_asked_for_before_the_connect_has_ended() {
    let mut bench = Bench::new(small());
    let near = bench.uring.connect(bench.address).unwrap();
    bench.uring.receive(near);
    let far = bench.until(|_, completion| match completion {
        Completion::Accepted { socket, .. } => Some(*socket),
        _ => None,
    });
    bench.uring.send(far, b"220".to_vec());
    assert_eq!(bench.read(near, 3), b"220");
}

#[test]
fn fin_follows_the_bytes_and_receiving_goes_on() {
    let mut bench = Bench::new(small());
    let (near, far) = bench.pair();
    bench.uring.send(near, pattern(1 << 20, 3));
    bench.uring.shutdown(near);
    assert_eq!(bench.read(far, 1 << 20), pattern(1 << 20, 3));
    assert_eq!(bench.ended(far), None);
    bench.uring.send(far, b"still there".to_vec());
    assert_eq!(bench.read(near, 11), b"still there");
}

#[test]
fn a_reset_is_seen_as_one() {
    let mut bench = Bench::new(small());
    let (near, far) = bench.pair();
    bench.uring.receive(near);
    bench.settle();
    bench.uring.reset(near);
    assert_eq!(bench.ended(far), Some(Errno(libc::ECONNRESET)));
}

#[test]
fn many_connections_come_and_go() {
    let mut bench = Bench::new(UringConfig { entries: 4, completions: 8, ..small() });
    for _ in 0..5 {
        // Far more than the queues hold: both overflow.
        let near: Vec<_> = (0..200).map(|_| bench.uring.connect(bench.address).unwrap()).collect();
        let mut far = Vec::new();
        let mut connected = 0;
        bench.until(|uring, completion| {
            match completion {
                Completion::Accepted { socket, .. } => {
                    uring.receive(*socket);
                    far.push(*socket);
                }
                Completion::Connected { socket, result } => {
                    assert_eq!(*result, Ok(()));
                    uring.send(*socket, b"hello".to_vec());
                    connected += 1;
                }
                _ => {}
            }
            (far.len() == 200 && connected == 200).then_some(())
        });
        for socket in near.into_iter().chain(far) {
            bench.uring.close(socket);
        }
        bench.wait_closed();
    }
}

#[test]
fn starved_sockets_are_fed_when_buffers_come_back() {
    for incremental in [true, false] {
        let config = UringConfig { buffer_count: 2, buffer_bytes: 64, incremental, ..small() };
        let mut bench = Bench::new(config);
        let pairs: Vec<_> = (0..20).map(|_| bench.pair()).collect();
        for (near, far) in &pairs {
            bench.uring.send(*near, pattern(1000, 7));
            bench.uring.receive(*far);
        }
        let mut got = vec![Vec::new(); pairs.len()];
        bench.until(|uring, completion| {
            if let Completion::Received { socket, chunk } = completion {
                let at = pairs.iter().position(|(_, far)| far == socket).unwrap();
                got[at].extend_from_slice(uring.bytes(chunk));
            }
            got.iter().all(|bytes| bytes.len() == 1000).then_some(())
        });
        assert!(got.iter().all(|bytes| *bytes == pattern(1000, 7)));
    }
}

#[test]
fn held_chunks_keep_their_bytes_and_starve_nobody_for_good() {
    let mut bench = Bench::new(UringConfig { buffer_count: 2, buffer_bytes: 64, ..small() });
    let (near, far) = bench.pair();
    bench.uring.send(near, pattern(640, 9));
    bench.uring.receive(far);
    let mut held = Vec::new();
    let limit = bench.hold(&mut held, 128);
    // Both buffers are away now. What asks for more must wait, and not for ever.
    while bench.uring.starved.is_empty() {
        assert!(bench.uring.now().instant < limit, "never starved");
        bench.settle();
    }
    bench.uring.feed_starved();
    assert_eq!((bench.uring.starved.len(), bench.uring.ring.submission().len()), (1, 0));
    let got: Vec<u8> = held.iter().flat_map(|chunk| bench.uring.bytes(chunk)).copied().collect();
    assert_eq!(got, pattern(640, 9)[..128]);
    for chunk in held {
        bench.uring.release(chunk);
    }
    assert_eq!(bench.read(far, 512), pattern(640, 9)[128..]);
}

#[test]
fn a_buffer_goes_back_only_when_all_its_chunks_are_released() {
    let mut bench = Bench::new(UringConfig { buffer_count: 2, buffer_bytes: 64, ..small() });
    let (near, far) = bench.pair();
    bench.uring.receive(far);
    let mut held = Vec::new();
    for (byte, len) in [(b'a', 32), (b'b', 64)] {
        bench.uring.send(near, vec![byte; 32]);
        bench.hold(&mut held, len);
    }
    let kept = held.remove(0);
    held.into_iter().for_each(|chunk| bench.uring.release(chunk));
    bench.uring.send(near, vec![b'c'; 1000]);
    assert_eq!(bench.read(far, 1000), vec![b'c'; 1000]);
    assert_eq!(bench.uring.bytes(&kept)[0], b'a');
    bench.uring.release(kept);
}

#[test]
fn what_the_queue_had_no_room_for_is_handed_over_in_the_next_turn() {
    let mut bench = Bench::new(small());
    let (near, far) = bench.pair();
    bench.uring.send(near, b"x".to_vec());
    let entry = super::op::receive(
        bench.uring.sockets.at(far.0).unwrap().raw_fd(),
        super::GROUP,
        Token::new(Op::Receive, far.0),
    );
    let endpoint = bench.uring.sockets.at_mut(far.0).unwrap();
    (endpoint.receiving, endpoint.operations) = (super::Receiving::On, 1);
    bench.uring.backlog.push_back(entry);
    assert_eq!(bench.read(far, 1), b"x");
    assert!(bench.uring.backlog.is_empty());
}

#[test]
fn plain_buffers_can_be_forced() {
    let bench = Bench::new(UringConfig { incremental: false, ..small() });
    assert!(!bench.uring.incremental());
}

#[test]
fn another_thread_wakes_the_reactor() {
    let mut bench = Bench::new(small());
    for _ in 0..3 {
        let waker = bench.uring.waker();
        let thread = std::thread::spawn(move || waker.wake());
        bench.until(|_, completion| matches!(completion, Completion::Woken).then_some(()));
        thread.join().unwrap();
    }
    let waker = bench.uring.waker();
    (0..5).for_each(|_| waker.clone().wake());
    assert_eq!(bench.settle(), ["Woken"]);
}

#[test]
fn a_deadline_ends_a_turn() {
    let mut bench = Bench::new(small());
    for deadline in [Duration::ZERO, Duration::from_millis(2)] {
        let deadline = bench.uring.now().instant + deadline;
        bench.uring.turn(Some(deadline));
        assert!(bench.uring.now().instant >= deadline);
        assert!(bench.uring.next().is_none());
    }
}

#[test]
fn a_stopped_listener_accepts_nobody_and_frees_its_port() {
    let mut bench = Bench::new(small());
    let (near, far) = bench.pair();
    bench.uring.stop_listening();
    bench.uring.stop_listening();
    bench.settle();
    let late = bench.uring.connect(bench.address).unwrap();
    let result = bench.until(|_, completion| match completion {
        Completion::Connected { socket, result } if *socket == late => Some(*result),
        _ => None,
    });
    assert_eq!(result, Err(Errno(libc::ECONNREFUSED)));
    // Those who were there before go on.
    bench.uring.send(near, b"still".to_vec());
    assert_eq!(bench.read(far, 5), b"still");
}

#[test]
fn a_failed_accept_is_told_and_tried_again_after_a_pause() {
    let mut bench = Bench::new(small());
    // Let the real accept end as a stopped one would, then fail it as the kernel would.
    let target = Token::indexed(Op::Accept, 0);
    let entry = super::op::cancel(target, Token::indexed(Op::CancelWake, 0));
    bench.uring.push(entry);
    bench.until(|_, completion| match completion {
        Completion::AcceptFailed { listener, error } => Some((*listener, *error)),
        _ => None,
    });
    assert!(matches!(bench.uring.listeners[0].accepting, Accepting::Pausing(_)));
    // It is armed again without anybody asking, so a new connection is accepted.
    bench.pair();
    assert_eq!(bench.uring.listeners[0].accepting, Accepting::On);
    let failed = bench.uring.on_accept(0, Outcome { result: -libc::EMFILE, flags: 0 });
    assert!(matches!(failed, Some(Completion::AcceptFailed { error: Errno(libc::EMFILE), .. })));
}

#[test]
fn a_missed_cancel_is_asked_for_again() {
    let mut bench = Bench::new(small());
    let (near, _) = bench.pair();
    bench.uring.receive(near);
    bench.uring.close(near);
    // As if the kernel had found nothing; its true answers come after.
    bench.uring.sockets.at_mut(near.0).unwrap().cancels += 1;
    bench.uring.on_socket_cancel(near.0, Outcome { result: -libc::ENOENT, flags: 0 });
    assert_eq!(bench.uring.sockets.at(near.0).unwrap().cancels, 2);
    bench.settle();
    assert!(bench.uring.sockets.at(near.0).is_none());
}

#[test]
fn a_socket_from_elsewhere_is_adopted() {
    let mut bench = Bench::new(small());
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let socket = bench.uring.adopt(OwnedFd::from(ours)).unwrap();
    bench.uring.send(socket, b"hello".to_vec());
    assert_eq!(bench.sent(socket), Ok(5));
    let mut bytes = [0; 5];
    theirs.read_exact(&mut bytes).unwrap();
    theirs.write_all(b"hello yourself").unwrap();
    assert_eq!(bench.read(socket, 14), b"hello yourself");
}

#[test]
fn completions_of_nobody_are_ignored() {
    let mut bench = Bench::new(small());
    for op in [Op::Connect, Op::Receive, Op::Send, Op::CancelReceive, Op::CancelSocket, Op::CancelAccept] {
        let token = Token::new(op, Key::from_bits(12345)).to_bits();
        assert!(bench.uring.on_completion(token, Outcome { result: -1, flags: 0 }).is_none());
    }
    assert!(bench.uring.on_completion(u64::MAX, Outcome { result: 0, flags: 0 }).is_none());
}

#[test]
fn a_reactor_may_end_at_any_time() {
    for turns in 0..4 {
        let mut bench = Bench::new(small());
        let (near, far) = bench.pair();
        bench.uring.send(near, vec![b'x'; 16 << 20]);
        bench.uring.receive(far);
        bench.uring.connect(bench.address).unwrap();
        for _ in 0..turns {
            let now = bench.uring.now().instant;
            bench.uring.turn(Some(now));
        }
        bench.uring.end();
        assert!(bench.uring.is_quiet(), "after {turns} turns: {:?}", bench.uring);
    }
}

/// From here on the calling thread, and only it, gets `errno` from io_uring_setup.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of the kernel's interface"
)]
fn forbid_setup(errno: i32) {
    let filter = |code: u32, k: u32, jf: u8| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let mut program = [
        filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        filter(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_io_uring_setup as u32, 1),
        filter(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32, 0),
        filter(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    // SAFETY: the program lives until the calls return, and binds this thread alone.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            + libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(refused, 0);
}

#[test]
fn a_kernel_that_refuses_is_told_apart() {
    let rows = [
        (libc::EPERM, Unsupported::Forbidden),
        (libc::ENOSYS, Unsupported::Missing),
        (libc::EINVAL, Unsupported::TooOld("SINGLE_ISSUER and DEFER_TASKRUN")),
        (libc::ENOMEM, Unsupported::Memory),
    ];
    for (errno, want) in rows {
        let refused = std::thread::spawn(move || {
            forbid_setup(errno);
            Uring::new(small()).err()
        });
        let refused = refused.join().unwrap();
        // Where the sysctl forbids it as well, that is the better advice.
        assert!(refused == Some(want) || matches!(refused, Some(Unsupported::Disabled(_))), "{refused:?}");
    }
}

mod chaos;
