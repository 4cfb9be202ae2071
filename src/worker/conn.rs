//! A connection's outgoing half, in clear or under TLS: what is queued, what the kernel has, and how it
//! ends.
//!
//! Whoever queues bytes need not know whether they are sealed on their way. What was queued is counted
//! in octets of plaintext for those who wait until it is sent.

use std::collections::VecDeque;

use crate::reactor::{Reactor, Socket};
use crate::tls::session::Session;

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

/// What goes to the kernel in one send.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    /// Octets of plaintext in it.
    plain: usize,
}

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) socket: Socket,
    /// There is TLS, or will be as soon as hands are shaken.
    tls: Option<Box<Session>>,
    /// Sent one after the other; large ones are never copied together.
    out: VecDeque<Piece>,
    /// Octets of plaintext in the piece that the kernel has.
    sending: Option<usize>,
    /// Something could not be sealed: nothing may follow it.
    is_broken: bool,
    pub(super) close: Close,
}

/// Up to here bytes are put behind those that wait already instead of into a write of their own.
const JOINED_BYTES_MAX: usize = 4096;

impl Pipe {
    pub(super) const fn new(socket: Socket) -> Self {
        Self { socket, tls: None, out: VecDeque::new(), sending: None, is_broken: false, close: Close::No }
    }

    /// Queues `bytes`, leaving an empty buffer in their place.
    pub(super) fn queue(&mut self, bytes: &mut Vec<u8>) {
        let plain = bytes.len();
        let Some(session) = &mut self.tls else { return self.push(bytes, plain) };
        let mut sealed = Vec::new();
        if session.send(bytes, &mut sealed).is_err() {
            self.is_broken = true;
        }
        bytes.clear();
        self.push(&mut sealed, plain);
    }

    /// Queues what TLS itself has to say: as it is.
    pub(super) fn queue_records(&mut self, records: &mut Vec<u8>) {
        self.push(records, 0);
    }

    fn push(&mut self, bytes: &mut Vec<u8>, plain: usize) {
        if bytes.is_empty() {
            return;
        }
        match self.out.back_mut() {
            Some(last) if bytes.len() <= JOINED_BYTES_MAX && last.bytes.len() <= JOINED_BYTES_MAX => {
                last.bytes.append(bytes);
                last.plain += plain;
            }
            _ => self.out.push_back(Piece { bytes: std::mem::take(bytes), plain }),
        }
    }

    /// From here on all that is queued is sealed, and all that comes is records.
    pub(super) fn start_tls(&mut self, session: Session) {
        self.tls = Some(Box::new(session));
    }

    pub(super) const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether something may be said: in clear, or sealed.
    pub(super) fn can_speak(&self) -> bool {
        self.tls.as_ref().is_none_or(|session| session.is_secured())
    }

    /// Whether the end of the stream is the end of what the peer had to say (RFC 8446 §6.1).
    pub(super) fn ends_cleanly(&self) -> bool {
        self.tls.as_ref().is_none_or(|session| session.is_cleanly_closed())
    }

    /// The session, for as long as what it holds is looked at; nothing may be queued meanwhile.
    pub(super) const fn take_session(&mut self) -> Option<Box<Session>> {
        self.tls.take()
    }

    pub(super) fn put_session(&mut self, session: Box<Session>) {
        self.tls = Some(session);
    }

    /// Nothing is queued any more; the connection ends when all was sent.
    pub(super) fn end(&mut self) {
        if let Some(session) = &mut self.tls {
            let mut farewell = Vec::new();
            session.close(&mut farewell);
            self.push(&mut farewell, 0);
        }
        self.close = Close::WhenSent;
    }

    /// Hands what is queued to the kernel, unless it still has the last piece.
    pub(super) fn flush<R: Reactor>(&mut self, reactor: &mut R) {
        if self.sending.is_some() {
            return;
        }
        if let Some(Piece { bytes, plain }) = self.out.pop_front() {
            self.sending = Some(plain);
            reactor.send(self.socket, bytes);
            if self.out.is_empty() {
                // An idle connection holds no memory for what it might send.
                self.out = VecDeque::new();
            }
        }
    }

    /// The kernel took the last piece; gives the octets of plaintext that were in it.
    pub(super) fn on_sent(&mut self) -> usize {
        self.sending.take().unwrap_or(0)
    }

    /// Bytes that the kernel does not have yet.
    pub(super) fn queued_bytes(&self) -> usize {
        self.out.iter().map(|piece| piece.bytes.len()).sum()
    }

    pub(super) fn is_drained(&self) -> bool {
        self.sending.is_none() && self.out.is_empty()
    }

    pub(super) const fn is_broken(&self) -> bool {
        self.is_broken
    }
}
