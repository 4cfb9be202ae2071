//! One socket in the reactor's table: what it is doing, and what of it is in the kernel.
//!
//! What must always hold: the descriptor, and the bytes that the kernel may still read, live until
//! the last of the socket's operations has completed.

use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The connect is in the kernel; `Endpoint::buffer` holds the address.
    Connecting,
    Open,
    /// The owner has forgotten the handle; the last operations are awaited.
    Closing,
}

/// Where receiving stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    /// Not wanted, not in the kernel.
    Off,
    /// Wanted as soon as the connect has ended.
    Early,
    /// Wanted and in the kernel.
    On,
    /// No longer wanted; in the kernel, as is its cancel.
    Pausing,
    /// Wanted again; the cancel of the old receive is still under way.
    Resuming,
    /// Wanted, to be asked for at the next turn: there was no buffer, or it may have one a turn.
    Starved,
    /// The stream has ended. For good.
    Ended,
}

/// What must be asked of the kernel after a change of [`Receiving`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Nothing,
    Receive,
    Cancel,
}

/// How a receive left the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Cancelled, or the kernel only wants to be asked again.
    Again,
    /// Not before the next turn.
    NoBuffers,
    End,
}

impl Receiving {
    /// The owner wants to receive.
    pub(super) const fn wanted(self, phase: Phase) -> (Self, Ask) {
        match (self, phase) {
            (Self::Off, Phase::Connecting) => (Self::Early, Ask::Nothing),
            (Self::Off, Phase::Open) => (Self::On, Ask::Receive),
            (Self::Pausing, _) => (Self::Resuming, Ask::Nothing),
            _ => (self, Ask::Nothing),
        }
    }

    /// The owner does not want to receive.
    pub(super) const fn unwanted(self) -> (Self, Ask) {
        match self {
            Self::On => (Self::Pausing, Ask::Cancel),
            Self::Resuming => (Self::Pausing, Ask::Nothing),
            Self::Early | Self::Starved => (Self::Off, Ask::Nothing),
            Self::Off | Self::Pausing | Self::Ended => (self, Ask::Nothing),
        }
    }

    /// The owner wants to receive in another way.
    pub(super) const fn restarted(self) -> (Self, Ask) {
        match self {
            Self::On => (Self::Resuming, Ask::Cancel),
            _ => (self, Ask::Nothing),
        }
    }

    /// The receive has left the kernel.
    pub(super) const fn stopped(self, stop: Stop) -> (Self, Ask) {
        match (self, stop) {
            (_, Stop::End) => (Self::Ended, Ask::Nothing),
            (Self::On | Self::Resuming, Stop::Again) => (Self::On, Ask::Receive),
            (Self::On | Self::Resuming, Stop::NoBuffers) => (Self::Starved, Ask::Nothing),
            (Self::Pausing, _) => (Self::Off, Ask::Nothing),
            _ => (self, Ask::Nothing),
        }
    }

    /// The connect has succeeded.
    pub(super) const fn connected(self) -> (Self, Ask) {
        match self {
            Self::Early => (Self::On, Ask::Receive),
            _ => (self, Ask::Nothing),
        }
    }

    /// There are buffers again.
    pub(super) const fn fed(self) -> (Self, Ask) {
        match self {
            Self::Starved => (Self::On, Ask::Receive),
            _ => (self, Ask::Nothing),
        }
    }

    /// The kernel found no receive to cancel.
    pub(super) const fn cancel_missed(self) -> (Self, Ask) {
        match self {
            // It was between two states of the kernel's. A later cancel finds it.
            Self::Pausing => (self, Ask::Cancel),
            // It goes on as if it had never been paused; the next pause needs a new cancel.
            Self::Resuming => (Self::On, Ask::Nothing),
            _ => (self, Ask::Nothing),
        }
    }
}

/// Where sending stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Idle,
    /// In the kernel.
    Busy,
    /// In the kernel; FIN follows.
    BusyThenFin,
}

/// A socket. There are tens of thousands of these, most of them idle.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) fd: OwnedFd,
    pub(super) phase: Phase,
    pub(super) receiving: Receiving,
    pub(super) sending: Sending,
    /// It gets one buffer a turn.
    pub(super) stepwise: bool,
    /// Operations in the kernel, cancels not counted.
    pub(super) operations: u8,
    /// Cancels in the kernel.
    pub(super) cancels: u8,
    /// What is being sent; while connecting, the address.
    pub(super) buffer: Vec<u8>,
    /// How much of `buffer` the kernel has taken.
    pub(super) sent: usize,
}

const _: () = assert!(size_of::<Endpoint>() <= 48);

impl Endpoint {
    pub(super) const fn new(fd: OwnedFd, phase: Phase) -> Self {
        Self {
            fd,
            phase,
            receiving: Receiving::Off,
            sending: Sending::Idle,
            stepwise: false,
            operations: 0,
            cancels: 0,
            buffer: Vec::new(),
            sent: 0,
        }
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Nothing of it is in the kernel.
    pub(super) const fn is_quiet(&self) -> bool {
        self.operations == 0 && self.cancels == 0
    }

    /// What is still to be sent.
    pub(super) fn unsent(&self) -> &[u8] {
        self.buffer.get(self.sent..).unwrap_or_default()
    }

    /// Ends the send: what was its buffer, emptied, and how much was sent.
    pub(super) fn take_sent(&mut self) -> (Vec<u8>, usize) {
        self.sending = Sending::Idle;
        let mut buffer = mem::take(&mut self.buffer);
        buffer.clear();
        (buffer, mem::take(&mut self.sent))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::{Ask, Endpoint, Phase, Receiving, Stop};
    use Receiving::{Early, Ended, Off, On, Pausing, Resuming, Starved};

    const ALL: [Receiving; 7] = [Off, Early, On, Pausing, Resuming, Starved, Ended];

    const fn in_kernel(receiving: Receiving) -> bool {
        matches!(receiving, On | Pausing | Resuming)
    }

    #[test]
    fn one_receive_is_in_the_kernel_at_a_time() {
        for from in ALL {
            let open = Phase::Open;
            for (to, ask) in [
                from.wanted(open),
                from.unwanted(),
                from.restarted(),
                from.connected(),
                from.fed(),
                from.cancel_missed(),
            ] {
                assert_eq!(ask == Ask::Receive, !in_kernel(from) && in_kernel(to), "{from:?} {to:?}");
                assert!(ask != Ask::Cancel || in_kernel(from), "{from:?} {to:?}");
                assert!(in_kernel(to) || !in_kernel(from), "{from:?} {to:?}");
            }
            for stop in [Stop::Again, Stop::NoBuffers, Stop::End] {
                let (to, ask) = from.stopped(stop);
                assert_eq!(ask == Ask::Receive, in_kernel(from) && in_kernel(to), "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn a_cancel_under_way_keeps_the_descriptor() {
        let (fd, _) = UnixStream::pair().unwrap();
        let mut endpoint = Endpoint::new(fd.into(), Phase::Closing);
        assert!(endpoint.is_quiet());
        endpoint.cancels = 1;
        assert!(!endpoint.is_quiet());
    }

    #[test]
    fn wanting_and_not_wanting_are_idempotent() {
        for from in ALL {
            for phase in [Phase::Connecting, Phase::Open] {
                let (wanted, _) = from.wanted(phase);
                assert_eq!(wanted.wanted(phase), (wanted, Ask::Nothing));
            }
            let (unwanted, _) = from.unwanted();
            assert_eq!(unwanted.unwanted(), (unwanted, Ask::Nothing));
        }
    }
}
