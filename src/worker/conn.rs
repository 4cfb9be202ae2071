//! A socket's outgoing half: what is queued, what the kernel has, and how it ends.

use std::collections::VecDeque;

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
    /// Sent one after the other; large ones are never copied together.
    out: VecDeque<Vec<u8>>,
    sending: bool,
    pub(super) close: Close,
}

/// Up to here bytes are put behind those that wait already instead of into a write of their own.
const JOINED_BYTES_MAX: usize = 4096;

impl Pipe {
    pub(super) const fn new(socket: Socket) -> Self {
        Self { socket, out: VecDeque::new(), sending: false, close: Close::No }
    }

    /// Queues `bytes`, leaving an empty buffer in their place.
    pub(super) fn queue(&mut self, bytes: &mut Vec<u8>) {
        match self.out.back_mut() {
            Some(last) if bytes.len() <= JOINED_BYTES_MAX && last.len() <= JOINED_BYTES_MAX => {
                last.append(bytes)
            }
            _ => self.out.push_back(std::mem::take(bytes)),
        }
    }

    /// Hands what is queued to the kernel, unless it still has the last piece.
    pub(super) fn flush<R: Reactor>(&mut self, reactor: &mut R) {
        if self.sending {
            return;
        }
        if let Some(bytes) = self.out.pop_front() {
            self.sending = true;
            reactor.send(self.socket, bytes);
            if self.out.is_empty() {
                // An idle connection holds no memory for what it might send.
                self.out = VecDeque::new();
            }
        }
    }

    /// The kernel took the last piece.
    pub(super) const fn on_sent(&mut self) {
        self.sending = false;
    }

    /// Bytes that the kernel does not have yet.
    pub(super) fn queued_bytes(&self) -> usize {
        self.out.iter().map(Vec::len).sum()
    }

    pub(super) fn is_drained(&self) -> bool {
        !self.sending && self.out.is_empty()
    }
}
