//! The kernel half: sockets, completions, one turn. Not one word of mail in here.
//!
//! [`Reactor`] is what a worker sees. `uring` implements it on io_uring; the simulation implements
//! it on a virtual network with virtual time, so that the same worker runs under both.
//!
//! What must always hold:
//! * A [`Socket`] is a handle with a generation. Calls with a stale handle do nothing, and after
//!   [`Reactor::close`] no completion of that socket is ever delivered: giving up is always safe.
//! * The table behind the handle owns the descriptor, the buffer being sent and the count of
//!   operations in the kernel; a descriptor is closed when that count is zero.
//! * One receive and one send per socket are in the kernel at a time.
//! * A [`Chunk`] is owned by whoever took it from [`Reactor::next`] until [`Reactor::release`].

pub mod clock;
pub mod cpu;
pub mod memory;
pub mod uring;
pub mod waker;

mod buffers;
mod endpoint;
mod op;
mod socket;
mod token;
mod unsupported;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use std::{fmt, io};

use crate::base::slab::Key;
use crate::base::time::{Instant, Moment};

/// A connected (or connecting) TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Socket(pub Key);

/// Index of a listening socket, in the order in which they were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listener(pub usize);

/// The kernel's error number (`errno`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(out)
    }
}

impl std::error::Error for Errno {}

/// Received bytes, still in the reactor's buffers.
#[derive(Debug)]
pub struct Chunk {
    /// Which buffer. Its meaning is the reactor's own.
    pub buffer: u32,
    pub offset: u32,
    pub len: u32,
    /// The kernel is done with the buffer: it may be given back on release.
    pub last: bool,
}

/// What the kernel did since the last turn.
#[derive(Debug)]
pub enum Completion {
    /// A client connected. Nothing is received until [`Reactor::receive`].
    Accepted { listener: Listener, socket: Socket, peer: SocketAddr, local: SocketAddr },
    /// Accepting failed (for instance EMFILE). The reactor goes on by itself after a pause.
    AcceptFailed { listener: Listener, error: Errno },
    /// The connect asked for has ended. On an error the socket still wants [`Reactor::close`].
    Connected { socket: Socket, result: Result<(), Errno> },
    /// At least one byte.
    Received { socket: Socket, chunk: Chunk },
    /// The peer sent FIN (`None`) or the connection broke. The last receive completion of a socket.
    Ended { socket: Socket, error: Option<Errno> },
    /// The whole buffer was taken by the kernel, or the connection broke. The buffer comes back
    /// empty, its capacity for reuse.
    Sent { socket: Socket, buffer: Vec<u8>, result: Result<usize, Errno> },
    /// Another thread called the reactor's waker.
    Woken,
}

/// One thread's view of the kernel.
pub trait Reactor {
    /// Both clocks, as read at the end of the last [`turn`](Self::turn).
    fn now(&self) -> Moment;

    /// What was done between the end of the [`turn`](Self::turn) before and that of the last one, waiting
    /// for something to happen left out. Where time passes only while nothing is done, that is nothing.
    fn took(&self) -> Duration {
        Duration::ZERO
    }

    /// Starts to connect; [`Completion::Connected`] tells the end. Nothing is received until
    /// [`receive`](Self::receive).
    ///
    /// # Errors
    /// When no socket can be made (EMFILE, ENOBUFS).
    fn connect(&mut self, to: SocketAddr) -> Result<Socket, Errno>;

    /// The same from one of this machine's addresses.
    ///
    /// # Errors
    /// When that is none of its addresses. A reactor without addresses of its own refuses them all.
    fn connect_from(&mut self, _from: IpAddr, _to: SocketAddr) -> Result<Socket, Errno> {
        Err(Errno(libc::EADDRNOTAVAIL))
    }

    /// Begins, or after [`pause`](Self::pause) goes on, to receive. Idempotent.
    fn receive(&mut self, socket: Socket);

    /// Stops receiving, so that the kernel's window closes toward the peer. Completions already
    /// under way still arrive. Idempotent.
    fn pause(&mut self, socket: Socket);

    /// Whether at most one buffer a turn is received from this socket. For streams that must not
    /// take more memory than one step needs, at the price of asking for each step.
    fn pace(&mut self, socket: Socket, stepwise: bool);

    /// Sends all of `bytes`. The caller waits for [`Completion::Sent`] before the next send on the
    /// same socket.
    fn send(&mut self, socket: Socket, bytes: Vec<u8>);

    /// Sends FIN; receiving goes on. For a last reply that must not be lost to a reset.
    fn shutdown(&mut self, socket: Socket);

    /// Ends the connection and forgets the handle. What was not sent yet is dropped.
    fn close(&mut self, socket: Socket);

    /// Ends the connection with a reset and forgets the handle.
    fn reset(&mut self, socket: Socket);

    /// Stops accepting on all listeners, and closes them.
    fn stop_listening(&mut self);

    /// Hands all submissions to the kernel and waits for completions, at most until `deadline`.
    fn turn(&mut self, deadline: Option<Instant>);

    /// The next completion of this turn.
    fn next(&mut self) -> Option<Completion>;

    /// The bytes of a chunk.
    fn bytes(&self, chunk: &Chunk) -> &[u8];

    /// Gives a chunk back.
    fn release(&mut self, chunk: Chunk);
}
