//! A socket's outgoing half: what is queued, what the kernel has, and how it ends.

use crate::reactor::{Reactor, Socket};

/// How a connection of ours ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    No,
    /// When all queued bytes are sent.
    WhenSent,
    /// FIN was sent; what the peer still sends is read and dropped, so that no reset destroys our
    /// last reply on its way.
    Lingering,
}

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) socket: Socket,
    out: Vec<u8>,
    sending: bool,
    pub(super) close: Close,
}

impl Pipe {
    pub(super) const fn new(socket: Socket) -> Self {
        Self { socket, out: Vec::new(), sending: false, close: Close::No }
    }

    /// Queues `bytes`, leaving an empty buffer in their place.
    pub(super) fn queue(&mut self, bytes: &mut Vec<u8>) {
        if self.out.is_empty() {
            std::mem::swap(&mut self.out, bytes);
        } else {
            self.out.append(bytes);
        }
    }

    /// Hands what is queued to the kernel, unless it still has the last piece.
    pub(super) fn flush<R: Reactor>(&mut self, reactor: &mut R) {
        if !self.sending && !self.out.is_empty() {
            self.sending = true;
            reactor.send(self.socket, std::mem::take(&mut self.out));
        }
    }

    /// The kernel took the last piece.
    pub(super) const fn on_sent(&mut self) {
        self.sending = false;
    }

    /// Bytes that the kernel does not have yet.
    pub(super) const fn queued_bytes(&self) -> usize {
        self.out.len()
    }

    pub(super) const fn is_drained(&self) -> bool {
        !self.sending && self.out.is_empty()
    }
}
