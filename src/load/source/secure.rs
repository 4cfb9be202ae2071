//! Sessions of the source under TLS: by STARTTLS (RFC 3207) or from the first octet on.
//!
//! The dialogue knows nothing of it but that it has to say EHLO anew: what it says is sealed on its
//! way out, what it hears was opened before. Tickets of the server are used (RFC 8446 §2.2).

use super::{Session, Source, Tls};
use crate::base::time::Instant;
use crate::reactor::{Reactor, Socket};
use crate::tls::fault::TlsFault;
use crate::tls::session::{self as tls, Received, Step};

/// What came of one record.
enum Opened {
    Plaintext(Vec<u8>),
    Secured,
    Closed,
    Pending,
}

impl<R: Reactor> Source<R> {
    pub(super) fn start_tls(&mut self, session: usize) {
        let name = self.plan.options.server.ip().to_string();
        let mut records = Vec::new();
        match tls::Session::client(&self.policy, &name, &mut records) {
            Ok(tls) => {
                let state = &mut self.sessions[session];
                state.tls = Some(Box::new(tls));
                state.records.append(&mut records);
            }
            Err(fault) => self.insecure(session, &fault),
        }
    }

    pub(super) fn open_records(&mut self, session: usize, socket: Socket, mut wire: &mut [u8], now: Instant) {
        while self.is_heard(session, socket) {
            let Some((consumed, opened)) = open(&mut self.sessions[session], wire) else { return };
            match opened {
                Ok(Opened::Pending) => return,
                Ok(Opened::Closed) => return self.lost(session, "lost"),
                Ok(Opened::Plaintext(bytes)) => self.read_plain(session, socket, &bytes, now),
                Ok(Opened::Secured) => self.secured(session),
                Err(fault) => return self.insecure(session, &fault),
            }
            wire = wire.get_mut(consumed..).unwrap_or_default();
        }
    }

    fn read_plain(&mut self, session: usize, socket: Socket, mut bytes: &[u8], now: Instant) {
        self.note_greeting(session, now);
        while !bytes.is_empty() && self.is_heard(session, socket) {
            let (consumed, line) = self.sessions[session].replies.read(bytes);
            bytes = &bytes[consumed..];
            if let Some(line) = line {
                self.heard(session, line, now);
            }
        }
    }

    /// Behind STARTTLS it is our turn, else the server greets.
    fn secured(&mut self, session: usize) {
        let state = &mut self.sessions[session];
        if self.plan.options.tls == Tls::Starttls {
            state.dialogue.on_secured(&self.plan, &mut state.out);
        }
    }

    fn insecure(&mut self, session: usize, fault: &TlsFault) {
        self.failed("tls", || format!("TLS: {fault}"));
        self.over(session);
    }
}

/// The next of the records in `wire`, and how much of that was consumed.
fn open(state: &mut Session, wire: &mut [u8]) -> Option<(usize, Result<Opened, TlsFault>)> {
    let tls = state.tls.as_mut()?;
    Some(match tls.receive(wire, &mut state.records) {
        Ok(Step { consumed, received }) => {
            let opened = match received {
                Received::Plaintext(bytes) => Opened::Plaintext(bytes.to_vec()),
                Received::Secured(_) => Opened::Secured,
                Received::Closed => Opened::Closed,
                Received::Pending => Opened::Pending,
            };
            (consumed, Ok(opened))
        }
        Err(fault) => (0, Err(fault)),
    })
}

/// What a session has to send, as it goes over the wire. Before hands are shaken the dialogue has
/// nothing to say.
pub(super) fn sealed(state: &mut Session) -> Vec<u8> {
    let Some(tls) = &mut state.tls else {
        // What goes before all else, a PROXY header, goes first.
        if !state.records.is_empty() {
            state.records.append(&mut state.out);
            std::mem::swap(&mut state.records, &mut state.out);
        }
        return std::mem::take(&mut state.out);
    };
    // No key of ours is spent by a test: a session that could not go on hears nothing, and times out.
    if !state.out.is_empty() && tls.send(&state.out, &mut state.records).is_ok() {
        state.out.clear();
    }
    std::mem::take(&mut state.records)
}
