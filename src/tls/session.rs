//! One TLS connection, either role: bytes of the wire in, bytes of the wire and plaintext out.
//!
//! The caller moves bytes and owns all buffers. It calls [`Session::receive`] until that says
//! [`Received::Pending`], one thing at a time, so that it can act on each before it asks for the next;
//! whatever is in `out` after any call goes to the peer, after an error too (the alert), and in the order
//! in which it came. How long a handshake may take is the caller's to bound.
//!
//! What must always hold: no plaintext comes out before [`Received::Secured`], none after
//! [`Received::Closed`] or an error. The end of a stream is a closed session only if
//! [`is_cleanly_closed`](Session::is_cleanly_closed) says so; all else was cut off (RFC 8446 §6.1).

use super::client_policy::{ClientPolicy, server_name};
use super::fault::TlsFault;
pub use super::handshake::HELD_BYTES_MAX as HANDSHAKE_BYTES_MAX;
use super::handshake::Handshake;
use super::record::{Found, Place, Traffic};
use super::secured::Secured;
use super::server_policy::ServerPolicy;

/// See the top of the file. A session that waits for its peer holds no buffer.
#[derive(Debug)]
pub struct Session(Stage);

#[derive(Debug)]
enum Stage {
    Handshake(Box<Handshake>),
    Traffic(Box<Traffic>),
    /// It ended in a fault, or changes its stage in this moment.
    Ended,
}

/// How far a call came.
#[derive(Debug)]
pub struct Step<'a> {
    /// Octets of the input that are done with. The rest is for the next call.
    pub consumed: usize,
    pub received: Received<'a>,
}

/// What a peer sent, once.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// All input was consumed; more is needed.
    Pending,
    /// Hands are shaken: from here on there is plaintext.
    Secured(Box<Secured>),
    /// The content of one record, at least one octet.
    Plaintext(&'a [u8]),
    /// The peer will send no more (close_notify).
    Closed,
}

impl Session {
    /// Waits for a client.
    ///
    /// # Errors
    /// [`TlsFault::Internal`] when the library refuses.
    pub fn server(policy: &ServerPolicy) -> Result<Self, TlsFault> {
        Handshake::server(policy).map(|handshake| Self(Stage::Handshake(Box::new(handshake))))
    }

    /// Greets a server, which is known as `name`: a host name, or an address where there is none.
    ///
    /// # Errors
    /// [`TlsFault::Internal`] when `name` is neither, or the library refuses.
    pub fn client(policy: &ClientPolicy, name: &str, out: &mut Vec<u8>) -> Result<Self, TlsFault> {
        let parsed = server_name(name).ok_or_else(|| TlsFault::internal("no name of a server"))?;
        let handshake = Handshake::client(policy, parsed, out)?;
        Ok(Self(Stage::Handshake(Box::new(handshake))))
    }

    /// Takes octets of the wire, in which records are opened where they stand.
    ///
    /// # Errors
    /// Why the session has ended. What `out` then holds is the last that is sent.
    pub fn receive<'a>(&'a mut self, wire: &'a mut [u8], out: &mut Vec<u8>) -> Result<Step<'a>, TlsFault> {
        let result = match &mut self.0 {
            Stage::Handshake(handshake) => match handshake.receive(wire, out) {
                Ok((consumed, true)) => return self.secure(consumed),
                Ok((consumed, false)) => return Ok(Step { consumed, received: Received::Pending }),
                Err(fault) => Err(fault),
            },
            Stage::Traffic(traffic) => traffic.receive(wire, out),
            Stage::Ended => Err(TlsFault::internal("the session has ended")),
        };
        let fault = match result {
            Ok(found) => return Ok(self.step(found, wire)),
            Err(fault) => fault,
        };
        self.0 = Stage::Ended;
        Err(fault)
    }

    /// The keys take over from the handshake.
    fn secure(&mut self, consumed: usize) -> Result<Step<'_>, TlsFault> {
        let Stage::Handshake(handshake) = std::mem::replace(&mut self.0, Stage::Ended) else {
            return Err(TlsFault::internal("hands are shaken once"));
        };
        let (facts, traffic) = handshake.finish()?;
        self.0 = Stage::Traffic(Box::new(traffic));
        Ok(Step { consumed, received: Received::Secured(Box::new(facts)) })
    }

    fn step<'a>(&'a self, (consumed, found): (usize, Found), wire: &'a [u8]) -> Step<'a> {
        let received = match (found, &self.0) {
            (Found::Closed, _) => Received::Closed,
            (Found::Plaintext(Place::Input(range)), _) => {
                Received::Plaintext(wire.get(range).unwrap_or_default())
            }
            (Found::Plaintext(Place::Held(range)), Stage::Traffic(traffic)) => {
                Received::Plaintext(traffic.held(range))
            }
            _ => Received::Pending,
        };
        Step { consumed, received }
    }

    /// The same for who need not stop between one record and the next; true when the peer closed.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive); records before the fault were given to `plaintext`.
    pub fn receive_all(
        &mut self,
        mut wire: &mut [u8],
        secured: &mut impl FnMut(Box<Secured>),
        plaintext: &mut impl FnMut(&[u8]),
        out: &mut Vec<u8>,
    ) -> Result<bool, TlsFault> {
        loop {
            let Step { consumed, received } = self.receive(wire, out)?;
            match received {
                Received::Pending => return Ok(false),
                Received::Secured(facts) => secured(facts),
                Received::Plaintext(octets) => plaintext(octets),
                Received::Closed => return Ok(true),
            }
            wire = wire.get_mut(consumed..).unwrap_or_default();
        }
    }

    /// Seals `plaintext` behind what is in `out`.
    ///
    /// # Errors
    /// [`TlsFault::Internal`] before hands are shaken and after the session ended,
    /// [`TlsFault::KeySpent`] after more than any mail needs.
    pub fn send(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TlsFault> {
        match &mut self.0 {
            Stage::Traffic(traffic) => traffic.send(plaintext, out),
            _ => Err(TlsFault::internal("nothing can be sent now")),
        }
    }

    /// Says that we will send no more (close_notify). Once; nothing before hands are shaken.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if let Stage::Traffic(traffic) = &mut self.0 {
            traffic.close(out);
        }
    }

    /// Whether there is plaintext already.
    pub const fn is_secured(&self) -> bool {
        matches!(self.0, Stage::Traffic(_))
    }

    /// Whether the peer said that it will send no more. If it did not, what came last may be missing
    /// something.
    pub fn is_cleanly_closed(&self) -> bool {
        matches!(&self.0, Stage::Traffic(traffic) if traffic.is_closed())
    }
}

#[cfg(test)]
mod tests;
