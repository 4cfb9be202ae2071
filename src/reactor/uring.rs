//! The reactor on io_uring: one ring of one thread, one turn.
//!
//! A turn hands all submissions to the kernel, waits, and lets the completions be read one by one.
//! Operations asked for in between only fill the submission queue: one system call a turn.
//!
//! What must always hold:
//! * An entry of the socket table lives until all its operations have completed, so whatever the
//!   kernel points at (descriptor, bytes to send, address) is there as long as it may look.
//! * A completion finds its socket by a key with a generation; one of a closing socket is swallowed.
//! * Completions are handled in the kernel's order: incremental buffers are counted by it.
//! * Every completion is accounted for: each decrements what its submission incremented.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;
use std::{fmt, io, mem, thread};

use io_uring::squeue::Entry;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, Probe, cqueue};

use super::buffers::{Buffers, GROUP};
use super::endpoint::{Ask, Endpoint, Phase, Receiving, Sending, Stop};
use super::token::{Op, Token};
pub use super::unsupported::Unsupported;
use super::waker::{WakeEnd, Waker};
use super::{Chunk, Completion, Errno, Listener, Reactor, Socket, clock, op, socket};
use crate::base::slab::{Key, Slab};
use crate::base::time::{Instant, Moment};

/// How large a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UringConfig {
    /// Submissions of a turn. More are handed over in between, at the price of a system call.
    pub entries: u32,
    /// Completions the kernel holds for us. More than these cost time, but none is lost.
    pub completions: u32,
    /// Receive buffers, a power of two.
    pub buffer_count: u16,
    pub buffer_bytes: u32,
    /// Use incremental buffers where the kernel has them. Off only to try the other way.
    pub incremental: bool,
}

impl Default for UringConfig {
    fn default() -> Self {
        Self {
            entries: 1024,
            completions: 8192,
            buffer_count: 32,
            buffer_bytes: 64 * 1024,
            incremental: true,
        }
    }
}

/// After a failed accept (EMFILE and its like) we wait this long: somebody must close something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// No turn waits longer. The kernel adds a timeout to the time of day, and that must not wrap.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Turns that the end of a reactor waits for what is in the kernel, each at most so long.
const END_TURNS_MAX: u32 = 100;
const END_TURN: Duration = Duration::from_millis(10);

/// Where accepting stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepting {
    /// In the kernel.
    On,
    /// Failed; asked for again then.
    Pausing(Instant),
    /// In the kernel, as is its cancel.
    Stopping,
    Stopped,
}

/// Where the read of the waker's eventfd stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waking {
    /// In the kernel.
    On,
    /// In the kernel for the last time.
    Ending,
    Ended,
}

#[derive(Debug)]
struct Listening {
    /// `None` when stopped.
    fd: Option<OwnedFd>,
    address: SocketAddr,
    accepting: Accepting,
}

/// What a completion says.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    result: i32,
    flags: u32,
}

impl Outcome {
    const fn error(self) -> Option<Errno> {
        if self.result < 0 { Some(Errno(-self.result)) } else { None }
    }

    fn count(self) -> u32 {
        u32::try_from(self.result).unwrap_or(0)
    }

    fn is_last(self) -> bool {
        !cqueue::more(self.flags)
    }
}

/// The reactor of the calling thread. It must stay on the thread that made it.
pub struct Uring {
    ring: IoUring,
    sockets: Slab<Endpoint>,
    buffers: Buffers,
    now: Moment,
    /// What the last turn took, without waiting.
    took: Duration,
    /// Sends asked for since the last turn.
    sends: usize,
    /// Completions of this turn that were not read yet.
    unread: usize,
    /// Completions that no kernel was asked for.
    ready: VecDeque<Completion>,
    /// Submissions that found the queue full and the kernel unwilling.
    backlog: VecDeque<Entry>,
    /// Sockets that found no buffer.
    starved: Vec<Key>,
    listeners: Vec<Listening>,
    /// The earliest end of a pause in accepting.
    accept_again: Option<Instant>,
    wake: WakeEnd,
    waking: Waking,
}

impl fmt::Debug for Uring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Uring")
            .field("sockets", &self.sockets.len())
            .field("listeners", &self.listeners)
            .field("buffers", &self.buffers)
            .finish_non_exhaustive()
    }
}

impl Uring {
    /// Makes the ring of the calling thread.
    ///
    /// # Errors
    /// When the kernel lacks something, or forbids it.
    pub fn new(config: UringConfig) -> Result<Self, Unsupported> {
        let ring = ring(config)?;
        probe(&ring)?;
        let buffers =
            Buffers::new(&ring.submitter(), config.buffer_count, config.buffer_bytes, config.incremental)
                .map_err(|error| refused_buffers(&error))?;
        let wake = WakeEnd::new().map_err(|error| Unsupported::Failed("eventfd", error.into()))?;
        let mut uring = Self {
            ring,
            sockets: Slab::new(),
            buffers,
            now: clock::now(),
            took: Duration::ZERO,
            sends: 0,
            unread: 0,
            ready: VecDeque::new(),
            backlog: VecDeque::new(),
            starved: Vec::new(),
            listeners: Vec::new(),
            accept_again: None,
            wake,
            waking: Waking::On,
        };
        uring.arm_wake();
        Ok(uring)
    }

    /// Listens on `address`. Several reactors may listen on the same one.
    ///
    /// # Errors
    /// When the address is taken or forbidden.
    pub fn listen(&mut self, address: SocketAddr) -> Result<Listener, Errno> {
        let fd = socket::listen(address)?;
        let address = socket::local_address(&fd)?;
        let listener = self.listeners.len();
        self.listeners.push(Listening { fd: Some(fd), address, accepting: Accepting::On });
        self.arm_accept(listener);
        Ok(Listener(listener))
    }

    /// Takes a connected stream socket from elsewhere.
    ///
    /// # Errors
    /// When the descriptor is no socket of use.
    pub fn adopt(&mut self, fd: OwnedFd) -> Result<Socket, Errno> {
        socket::prepare(&fd)?;
        Ok(Socket(self.sockets.insert(Endpoint::new(fd, Phase::Open))))
    }

    /// Where a listener listens: with the port that the kernel chose for port 0.
    pub fn local_addr(&self, listener: Listener) -> Option<SocketAddr> {
        self.listeners.get(listener.0).map(|listening| listening.address)
    }

    /// Wakes this reactor from another thread.
    pub fn waker(&self) -> Waker {
        self.wake.waker()
    }

    /// Sockets whose descriptor is open, those that are closing included.
    pub const fn open_sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Whether receive buffers are consumed incrementally (Linux 6.12).
    pub const fn incremental(&self) -> bool {
        self.buffers.incremental()
    }
}

fn ring(config: UringConfig) -> Result<IoUring, Unsupported> {
    let entries = config.entries.max(1).next_power_of_two();
    let completions = config.completions.next_power_of_two().max(entries * 2);
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(completions)
        .setup_clamp()
        .build(entries)
        .map_err(|error| Unsupported::from_setup(&error))
}

/// Multishot receive and provided buffer rings cannot be asked for by name, but a kernel that took
/// DEFER_TASKRUN (6.1) has both.
fn probe(ring: &IoUring) -> Result<(), Unsupported> {
    if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
        return Err(Unsupported::TooOld("EXT_ARG and NODROP"));
    }
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|error| Unsupported::Failed("the probe of io_uring", error.into()))?;
    match op::OPCODES.iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, name)) => Err(Unsupported::TooOld(name)),
        None => Ok(()),
    }
}

fn refused_buffers(error: &io::Error) -> Unsupported {
    match error.raw_os_error() {
        Some(libc::EINVAL) => Unsupported::TooOld("provided buffer rings"),
        Some(libc::ENOMEM) => Unsupported::Memory,
        errno => Unsupported::Failed("registering buffers", Errno(errno.unwrap_or(libc::EIO))),
    }
}

impl Reactor for Uring {
    fn now(&self) -> Moment {
        self.now
    }

    fn took(&self) -> Duration {
        self.took
    }

    fn connect(&mut self, to: SocketAddr) -> Result<Socket, Errno> {
        Ok(self.connect_by(socket::for_connect(to)?, to))
    }

    fn connect_from(&mut self, from: IpAddr, to: SocketAddr) -> Result<Socket, Errno> {
        Ok(self.connect_by(socket::for_connect_from(from, to)?, to))
    }

    fn receive(&mut self, socket: Socket) {
        self.change_receiving(socket.0, |endpoint| endpoint.receiving.wanted(endpoint.phase));
    }

    fn pause(&mut self, socket: Socket) {
        self.change_receiving(socket.0, |endpoint| endpoint.receiving.unwanted());
    }

    fn pace(&mut self, socket: Socket, stepwise: bool) {
        let Some(endpoint) = self.sockets.at_mut(socket.0) else { return };
        // The way back is taken at the next receive, the way here at once.
        if !mem::replace(&mut endpoint.stepwise, stepwise) && stepwise {
            self.change_receiving(socket.0, |endpoint| endpoint.receiving.restarted());
        }
    }

    fn send(&mut self, socket: Socket, bytes: Vec<u8>) {
        let Some(endpoint) = self.sockets.at_mut(socket.0) else { return };
        match (endpoint.phase, endpoint.sending) {
            (Phase::Open, Sending::Idle) if bytes.is_empty() => self.answer_send(socket, bytes, Ok(0)),
            (Phase::Open, Sending::Idle) => {
                endpoint.buffer = bytes;
                endpoint.sending = Sending::Busy;
                self.push_send(socket.0);
            }
            (Phase::Open, _) => self.answer_send(socket, bytes, Err(Errno(libc::EALREADY))),
            (Phase::Connecting, _) => self.answer_send(socket, bytes, Err(Errno(libc::ENOTCONN))),
            (Phase::Closing, _) => {}
        }
    }

    fn shutdown(&mut self, socket: Socket) {
        let Some(endpoint) = self.sockets.at_mut(socket.0) else { return };
        match (endpoint.phase, endpoint.sending) {
            (Phase::Open, Sending::Idle) => socket::shut(&endpoint.fd),
            (Phase::Open, _) => endpoint.sending = Sending::BusyThenFin,
            (Phase::Connecting | Phase::Closing, _) => {}
        }
    }

    fn close(&mut self, socket: Socket) {
        let Some(endpoint) = self.sockets.at_mut(socket.0) else { return };
        if endpoint.phase == Phase::Closing {
            return;
        }
        endpoint.phase = Phase::Closing;
        self.forget(socket);
        if !self.reap(socket.0) {
            self.cancel_last(socket.0);
        }
    }

    fn reset(&mut self, socket: Socket) {
        match self.sockets.at(socket.0) {
            Some(endpoint) if endpoint.phase != Phase::Closing => socket::reset_on_close(&endpoint.fd),
            _ => return,
        }
        self.close(socket);
    }

    fn stop_listening(&mut self) {
        for listener in 0..self.listeners.len() {
            self.stop(listener);
        }
    }

    fn turn(&mut self, deadline: Option<Instant>) {
        self.accept_after_pauses();
        self.feed_starved();
        self.flush_backlog();
        let deadline = earliest(deadline, self.accept_again);
        let busy = !self.ready.is_empty() || !self.backlog.is_empty();
        let entered = clock::instant();
        let timeout = deadline.map(|deadline| deadline.since(entered).min(WAIT_MAX));
        let wait = !busy && timeout.is_none_or(|timeout| !timeout.is_zero());
        let idle = wait && !self.is_ready();
        self.enter(u32::from(wait), timeout);
        self.unread = self.ring.completion().len();
        let before = mem::replace(&mut self.now, clock::now()).instant;
        self.took = if idle { entered } else { self.now.instant }.since(before);
        self.sends = 0;
    }

    fn next(&mut self) -> Option<Completion> {
        loop {
            if let Some(completion) = self.ready.pop_front() {
                return Some(completion);
            }
            self.unread = self.unread.checked_sub(1)?;
            let entry = self.ring.completion().next()?;
            let outcome = Outcome { result: entry.result(), flags: entry.flags() };
            if let Some(completion) = self.on_completion(entry.user_data(), outcome) {
                return Some(completion);
            }
        }
    }

    fn bytes(&self, chunk: &Chunk) -> &[u8] {
        self.buffers.bytes(chunk)
    }

    fn release(&mut self, chunk: Chunk) {
        self.buffers.release(&chunk);
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Into the kernel.
impl Uring {
    /// Whether the kernel has something for us already, so that a turn will not wait: work that it left for
    /// us, or a send, which is done while it is asked for. That this costs no system call is why what is
    /// done on arrival (a receive's copy) after a wait counts as waiting: the share of work is told a
    /// little too small on an idle worker, and not at all on a busy one.
    fn is_ready(&mut self) -> bool {
        self.sends > 0 || self.ring.submission().taskrun()
    }

    fn connect_by(&mut self, fd: OwnedFd, to: SocketAddr) -> Socket {
        let mut endpoint = Endpoint::new(fd, Phase::Connecting);
        endpoint.buffer = socket::address_bytes(to);
        let key = self.sockets.insert(endpoint);
        self.push_connect(key);
        Socket(key)
    }

    /// Puts an operation where the next turn hands it over.
    fn push(&mut self, entry: Entry) {
        if !self.backlog.is_empty() || !self.try_push(&entry) {
            self.enter(0, None);
            self.flush_backlog();
            if !self.backlog.is_empty() || !self.try_push(&entry) {
                self.backlog.push_back(entry);
            }
        }
    }

    fn try_push(&mut self, entry: &Entry) -> bool {
        // SAFETY: what an entry points at lives until its completion: bytes and address in the
        // socket table, the counter in the waker's end. Both outlive the ring (see `drop`).
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    fn flush_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if !self.try_push(&entry) {
                self.backlog.push_front(entry);
                return;
            }
        }
    }

    /// The one system call: hands over submissions, runs what the kernel deferred, waits for
    /// `want` completions.
    fn enter(&mut self, want: u32, timeout: Option<Duration>) {
        if let Err(error) = self.try_enter(want, timeout) {
            // A lost completion (EBADR) or a bug of ours: the accounts are wrong for good.
            assert!(is_passing(&error), "io_uring_enter: {error}");
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the length of a queue")]
    fn try_enter(&mut self, want: u32, timeout: Option<Duration>) -> io::Result<usize> {
        let timespec = timeout.map(Timespec::from);
        let arguments = match &timespec {
            Some(timespec) => SubmitArgs::new().timespec(timespec),
            None => SubmitArgs::new(),
        };
        let submissions = self.ring.submission().len() as u32;
        // GETEVENTS always: without it neither deferred work is run nor overflow flushed.
        let flags = (EnterFlags::GETEVENTS | EnterFlags::EXT_ARG).bits();
        // SAFETY: the arguments are the kernel's structure and live until the call returns.
        unsafe { self.ring.submitter().enter(submissions, want, flags, Some(&arguments)) }
    }

    fn arm_wake(&mut self) {
        let token = Token::indexed(Op::Wake, 0);
        let entry = op::read(self.wake.fd(), self.wake.counter(), WakeEnd::COUNTER_BYTES, token);
        self.push(entry);
    }

    fn push_connect(&mut self, key: Key) {
        let Some(endpoint) = self.sockets.at_mut(key) else { return };
        endpoint.operations += 1;
        let entry = op::connect(endpoint.raw_fd(), &endpoint.buffer, Token::new(Op::Connect, key));
        self.push(entry);
    }

    fn push_send(&mut self, key: Key) {
        let Some(endpoint) = self.sockets.at_mut(key) else { return };
        endpoint.operations += 1;
        self.sends += 1;
        let entry = op::send(endpoint.raw_fd(), endpoint.unsent(), Token::new(Op::Send, key));
        self.push(entry);
    }

    fn change_receiving(&mut self, key: Key, change: impl FnOnce(&Endpoint) -> (Receiving, Ask)) {
        let Some(endpoint) = self.sockets.at_mut(key) else { return };
        if endpoint.phase == Phase::Closing {
            return;
        }
        let ask;
        (endpoint.receiving, ask) = change(endpoint);
        let fd = endpoint.raw_fd();
        let receive = Token::new(Op::Receive, key);
        let stepwise = endpoint.stepwise;
        match ask {
            Ask::Nothing => {}
            Ask::Receive => {
                endpoint.operations += 1;
                self.push(if stepwise {
                    op::receive_once(fd, GROUP, receive)
                } else {
                    op::receive(fd, GROUP, receive)
                });
            }
            Ask::Cancel => {
                endpoint.cancels += 1;
                self.push(op::cancel(receive, Token::new(Op::CancelReceive, key)));
            }
        }
    }

    /// Most often a receive is all that is left of a closing socket: by its token the kernel finds it
    /// at once, while for a descriptor it looks through everything it has.
    fn cancel_last(&mut self, key: Key) {
        let Some(endpoint) = self.sockets.at_mut(key) else { return };
        match (endpoint.receiving, endpoint.operations) {
            (Receiving::On, 1) => {
                endpoint.cancels += 1;
                let target = Token::new(Op::Receive, key);
                self.push(op::cancel(target, Token::new(Op::CancelReceive, key)));
            }
            (Receiving::Pausing | Receiving::Resuming, 1) => {}
            _ => self.cancel_socket(key),
        }
    }

    fn cancel_socket(&mut self, key: Key) {
        let Some(endpoint) = self.sockets.at_mut(key) else { return };
        endpoint.cancels += 1;
        let entry = op::cancel_socket(endpoint.raw_fd(), Token::new(Op::CancelSocket, key));
        self.push(entry);
    }

    /// Completions of our own making must not outlive the handle either.
    fn forget(&mut self, socket: Socket) {
        self.ready
            .retain(|completion| !matches!(completion, Completion::Sent { socket: of, .. } if *of == socket));
    }

    fn answer_send(&mut self, socket: Socket, mut buffer: Vec<u8>, result: Result<usize, Errno>) {
        buffer.clear();
        self.ready.push_back(Completion::Sent { socket, buffer, result });
    }

    /// Sockets that found no buffer ask again once there is one. All of them: those without a byte to
    /// read take none.
    fn feed_starved(&mut self) {
        if self.starved.is_empty() || !self.buffers.available() {
            return;
        }
        for key in mem::take(&mut self.starved) {
            self.change_receiving(key, |endpoint| endpoint.receiving.fed());
        }
    }
}

/// Whether another turn will do.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ENOMEM)
    )
}

/// Out of the kernel.
impl Uring {
    fn on_completion(&mut self, bits: u64, outcome: Outcome) -> Option<Completion> {
        let Token { op, key } = Token::from_bits(bits)?;
        match op {
            Op::Accept => self.on_accept(key.index(), outcome),
            Op::Connect => self.on_connect(key, outcome),
            Op::Receive => self.on_receive(key, outcome),
            Op::Send => self.on_send(key, outcome),
            Op::CancelReceive => self.on_receive_cancel(key, outcome),
            Op::CancelSocket => self.on_socket_cancel(key, outcome),
            Op::CancelAccept => self.on_accept_cancel(key.index(), outcome),
            Op::CancelWake => None,
            Op::Wake => self.on_wake(),
        }
    }

    fn on_wake(&mut self) -> Option<Completion> {
        if self.waking != Waking::On {
            self.waking = Waking::Ended;
            return None;
        }
        self.arm_wake();
        Some(Completion::Woken)
    }

    fn on_connect(&mut self, key: Key, outcome: Outcome) -> Option<Completion> {
        let endpoint = self.sockets.at_mut(key)?;
        endpoint.operations -= 1;
        if endpoint.phase == Phase::Closing {
            self.reap(key);
            return None;
        }
        endpoint.phase = Phase::Open;
        endpoint.buffer = Vec::new();
        let result = outcome.error().map_or(Ok(()), Err);
        if result.is_ok() {
            self.change_receiving(key, |endpoint| endpoint.receiving.connected());
        }
        Some(Completion::Connected { socket: Socket(key), result })
    }

    fn on_receive(&mut self, key: Key, outcome: Outcome) -> Option<Completion> {
        let chunk = self.take_chunk(outcome);
        let Some(endpoint) = self.sockets.at_mut(key) else {
            self.release_taken(chunk);
            return None;
        };
        endpoint.operations -= u8::from(outcome.is_last());
        if endpoint.phase == Phase::Closing {
            self.release_taken(chunk);
            self.reap(key);
            return None;
        }
        let stop = stop(outcome);
        if outcome.is_last() {
            self.on_receive_stopped(key, stop);
        }
        match (chunk, stop) {
            (Some(chunk), _) => Some(Completion::Received { socket: Socket(key), chunk }),
            (None, Stop::End) => Some(Completion::Ended { socket: Socket(key), error: outcome.error() }),
            (None, Stop::Again | Stop::NoBuffers) => None,
        }
    }

    /// What was received, if anything was.
    fn take_chunk(&mut self, outcome: Outcome) -> Option<Chunk> {
        let buffer = cqueue::buffer_select(outcome.flags)?;
        let last = !cqueue::buffer_more(outcome.flags);
        let chunk = self.buffers.take(buffer, outcome.count(), last);
        if chunk.len > 0 {
            return Some(chunk);
        }
        // End of stream or an error that cost a buffer all the same.
        self.buffers.release(&chunk);
        None
    }

    fn release_taken(&mut self, chunk: Option<Chunk>) {
        if let Some(chunk) = chunk {
            self.buffers.release(&chunk);
        }
    }

    fn on_receive_stopped(&mut self, key: Key, stop: Stop) {
        let stepwise = self.sockets.at(key).is_some_and(|endpoint| endpoint.stepwise);
        let stop = if stepwise && stop == Stop::Again { Stop::NoBuffers } else { stop };
        self.change_receiving(key, |endpoint| endpoint.receiving.stopped(stop));
        if self.sockets.at(key).is_some_and(|endpoint| endpoint.receiving == Receiving::Starved) {
            self.starved.push(key);
        }
    }

    fn on_send(&mut self, key: Key, outcome: Outcome) -> Option<Completion> {
        let endpoint = self.sockets.at_mut(key)?;
        endpoint.operations -= 1;
        if endpoint.phase == Phase::Closing {
            self.reap(key);
            return None;
        }
        endpoint.sent += outcome.count() as usize;
        let error = match outcome.result {
            // Nothing taken and nothing wrong: asking again would go on for ever.
            0 => Some(Errno(libc::EPIPE)),
            _ => outcome.error().filter(|error| !is_interrupted(*error)),
        };
        if error.is_none() && !endpoint.unsent().is_empty() {
            self.push_send(key);
            return None;
        }
        self.finish_send(key, error)
    }

    fn finish_send(&mut self, key: Key, error: Option<Errno>) -> Option<Completion> {
        let endpoint = self.sockets.at_mut(key)?;
        let fin = endpoint.sending == Sending::BusyThenFin;
        let (buffer, sent) = endpoint.take_sent();
        if fin {
            socket::shut(&endpoint.fd);
        }
        Some(Completion::Sent { socket: Socket(key), buffer, result: error.map_or(Ok(sent), Err) })
    }

    fn on_receive_cancel(&mut self, key: Key, outcome: Outcome) -> Option<Completion> {
        let endpoint = self.sockets.at_mut(key)?;
        endpoint.cancels -= 1;
        if endpoint.phase == Phase::Closing {
            if !self.reap(key) && outcome.result < 0 {
                self.cancel_socket(key);
            }
        } else if outcome.result < 0 {
            self.change_receiving(key, |endpoint| endpoint.receiving.cancel_missed());
        }
        None
    }

    fn on_socket_cancel(&mut self, key: Key, outcome: Outcome) -> Option<Completion> {
        let endpoint = self.sockets.at_mut(key)?;
        endpoint.cancels -= 1;
        // The kernel may miss an operation that is just between two states of its own: ask again.
        let missed = outcome.count() < u32::from(endpoint.operations);
        if !self.reap(key) && missed {
            self.cancel_socket(key);
        }
        None
    }

    /// Closes the descriptor and frees the place of a closing socket of which nothing is in the
    /// kernel any more.
    fn reap(&mut self, key: Key) -> bool {
        let quiet = self
            .sockets
            .at(key)
            .is_some_and(|endpoint| endpoint.phase == Phase::Closing && endpoint.is_quiet());
        if quiet {
            self.sockets.remove(key);
        }
        quiet
    }
}

/// How a receive ended, of which no bytes came.
fn stop(outcome: Outcome) -> Stop {
    match outcome.error() {
        None if outcome.result > 0 => Stop::Again,
        Some(Errno(libc::ENOBUFS)) => Stop::NoBuffers,
        Some(Errno(libc::ECANCELED)) => Stop::Again,
        Some(error) if is_interrupted(error) => Stop::Again,
        _ => Stop::End,
    }
}

const fn is_interrupted(error: Errno) -> bool {
    matches!(error.0, libc::EINTR | libc::EAGAIN)
}

/// Listeners.
impl Uring {
    fn arm_accept(&mut self, listener: usize) {
        let Some(listening) = self.listeners.get_mut(listener) else { return };
        let Some(fd) = listening.fd.as_ref().map(AsRawFd::as_raw_fd) else { return };
        listening.accepting = Accepting::On;
        self.push(op::accept(fd, Token::indexed(Op::Accept, listener)));
    }

    fn on_accept(&mut self, listener: usize, outcome: Outcome) -> Option<Completion> {
        let completion = match outcome.error() {
            None => self.accepted(listener, outcome.result),
            Some(error) if is_clients_fault(error) => None,
            Some(error) => Some(Completion::AcceptFailed { listener: Listener(listener), error }),
        };
        if outcome.is_last() {
            self.on_accept_stopped(listener, matches!(completion, Some(Completion::AcceptFailed { .. })));
        }
        match self.listeners.get(listener)?.accepting {
            Accepting::Stopped if outcome.result < 0 => None,
            _ => completion,
        }
    }

    /// A client connected. It may be gone by now.
    fn accepted(&mut self, listener: usize, fd: RawFd) -> Option<Completion> {
        // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let peer = socket::peer_address(&fd).ok()?;
        let bound = self.listeners.get(listener)?.address;
        // Only a listener on all addresses must ask which one it was.
        let local = if bound.ip().is_unspecified() { socket::local_address(&fd).ok()? } else { bound };
        let socket = Socket(self.sockets.insert(Endpoint::new(fd, Phase::Open)));
        Some(Completion::Accepted { listener: Listener(listener), socket, peer, local })
    }

    fn on_accept_stopped(&mut self, listener: usize, failed: bool) {
        let again = self.now.instant + ACCEPT_PAUSE;
        let Some(listening) = self.listeners.get_mut(listener) else { return };
        match listening.accepting {
            Accepting::Stopping | Accepting::Stopped => {
                listening.accepting = Accepting::Stopped;
                listening.fd = None;
            }
            Accepting::On | Accepting::Pausing(_) if failed => {
                listening.accepting = Accepting::Pausing(again);
                self.accept_again = earliest(self.accept_again, Some(again));
            }
            Accepting::On | Accepting::Pausing(_) => self.arm_accept(listener),
        }
    }

    fn accept_after_pauses(&mut self) {
        if self.accept_again.is_none_or(|again| again > self.now.instant) {
            return;
        }
        self.accept_again = None;
        for listener in 0..self.listeners.len() {
            match self.listeners[listener].accepting {
                Accepting::Pausing(again) if again <= self.now.instant => self.arm_accept(listener),
                Accepting::Pausing(again) => self.accept_again = earliest(self.accept_again, Some(again)),
                Accepting::On | Accepting::Stopping | Accepting::Stopped => {}
            }
        }
    }

    fn stop(&mut self, listener: usize) {
        let Some(listening) = self.listeners.get_mut(listener) else { return };
        match listening.accepting {
            Accepting::On => {
                listening.accepting = Accepting::Stopping;
                self.cancel_accept(listener);
            }
            Accepting::Pausing(_) => {
                listening.accepting = Accepting::Stopped;
                listening.fd = None;
            }
            Accepting::Stopping | Accepting::Stopped => {}
        }
    }

    fn cancel_accept(&mut self, listener: usize) {
        let target = Token::indexed(Op::Accept, listener);
        self.push(op::cancel(target, Token::indexed(Op::CancelAccept, listener)));
    }

    fn on_accept_cancel(&mut self, listener: usize, outcome: Outcome) -> Option<Completion> {
        if outcome.result < 0 && self.listeners.get(listener)?.accepting == Accepting::Stopping {
            self.cancel_accept(listener);
        }
        None
    }
}

/// The connection was gone before it was accepted: accept(2) asks to treat these like EAGAIN.
const fn is_clients_fault(error: Errno) -> bool {
    matches!(error.0, libc::ECONNABORTED | libc::EPROTO | libc::EINTR | libc::EAGAIN)
}

/// The end: the kernel must let go of our memory before we free it.
impl Uring {
    fn end(&mut self) {
        for key in self.sockets.keys() {
            self.close(Socket(key));
        }
        self.stop_listening();
        if self.waking == Waking::On {
            self.waking = Waking::Ending;
            self.push(op::cancel(Token::indexed(Op::Wake, 0), Token::indexed(Op::CancelWake, 0)));
        }
        for _ in 0..END_TURNS_MAX {
            if self.is_quiet() {
                return;
            }
            let deadline = clock::instant() + END_TURN;
            self.turn(Some(deadline));
            while let Some(completion) = self.next() {
                self.drop_completion(completion);
            }
        }
    }

    /// A client who comes at the end finds it closed.
    fn drop_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted { socket, .. } => self.close(socket),
            Completion::Received { chunk, .. } => self.release(chunk),
            _ => {}
        }
    }

    /// Nothing of ours is in the kernel.
    fn is_quiet(&self) -> bool {
        let stopped = |listening: &Listening| listening.accepting == Accepting::Stopped;
        self.sockets.is_empty() && self.listeners.iter().all(stopped) && self.waking == Waking::Ended
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.end();
        }
        if self.is_quiet() {
            // Nothing to do about a failure: the pages are unmapped, and no receive is left.
            let _ = self.ring.submitter().unregister_buf_ring(GROUP);
        } else {
            mem::forget(mem::take(&mut self.sockets));
            self.buffers.leak();
            self.wake.leak();
        }
    }
}

#[cfg(test)]
mod tests;
