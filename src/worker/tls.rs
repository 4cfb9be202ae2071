//! TLS between the reactor's chunks and what relays and pools hear, for both legs.
//!
//! RFC 3207: what was said before TLS is forgotten by whoever heard it (`relay::session`, `hop`); here
//! plaintext and records are kept apart. A connection is in clear until its session is put into its
//! pipe; from then on nothing that comes is anything but records.

use crate::base::slab::Key;
use crate::reactor::{Chunk, Reactor};
use crate::relay::action::DiscardReason;
use crate::relay::event::{Ending, Event, Side};
use crate::tls::fault::TlsFault;
use crate::tls::secured::Secured;
use crate::tls::session::{Received, Session, Step};

use super::hop::Progress;
use super::{Owner, Worker};

/// What came of one record.
enum Record {
    /// Its plaintext was heard; what that led to is to be done.
    Heard(Heard),
    Secured(Box<Secured>),
    Closed,
    Failed(TlsFault),
    /// More octets are needed.
    Pending,
}

/// Who heard it.
enum Heard {
    /// A relay, on either side of it.
    Relay(Key),
    Hop(Key, Progress, Vec<u8>),
    Nobody,
}

impl<R: Reactor> Worker<R> {
    /// The relay asked for TLS toward its client, of which `early` has come already.
    pub(super) fn start_client_tls(&mut self, key: Key, mut early: Vec<u8>) {
        let Some(client) = self.clients.at_mut(key) else { return };
        let Some(listener) = client.relay.as_ref().map(|relay| relay.listener()) else { return };
        let policy = self.server_policies.get(listener).and_then(Option::as_ref);
        let session =
            policy.map_or_else(|| Err(TlsFault::Internal("no certificate".into())), Session::server);
        match session {
            Ok(session) => client.pipe.start_tls(session),
            Err(fault) => return self.on_client_insecure(key, &fault),
        }
        if !early.is_empty() {
            self.open_records(Owner::Client(key), &mut early);
        }
    }

    /// The next hop is ready for TLS.
    pub(super) fn start_hop_tls(&mut self, key: Key) {
        let Some(hop) = self.hops.at_mut(key) else { return };
        let Some(server) = self.ways.at(hop.way).map(|way| &way.servers[hop.server]) else { return };
        let Some(toward) = &server.leg.toward else { return };
        let address = server.address.ip().to_string();
        let mut hello = Vec::new();
        let name = toward.name.as_deref().unwrap_or(&address);
        match Session::client(&toward.policy, name, &mut hello) {
            Ok(session) => {
                hop.pipe.queue_records(&mut hello);
                hop.pipe.start_tls(session);
                self.dirty.push(Owner::Hop(key));
            }
            Err(_) => self.on_hop_insecure(key),
        }
    }

    /// A chunk of a connection that has TLS.
    pub(super) fn on_records(&mut self, owner: Owner, chunk: &Chunk) {
        let mut wire = std::mem::take(&mut self.wire);
        wire.extend_from_slice(self.reactor.bytes(chunk));
        self.open_records(owner, &mut wire);
        wire.clear();
        self.wire = wire;
    }

    fn open_records(&mut self, owner: Owner, mut wire: &mut [u8]) {
        let mut out = Vec::new();
        while let Some(mut session) = self.pipe(owner).and_then(|pipe| pipe.take_session()) {
            let (consumed, record) = match session.receive(wire, &mut out) {
                Ok(Step { consumed, received }) => (consumed, self.take_record(owner, received)),
                Err(fault) => (wire.len(), Record::Failed(fault)),
            };
            let Some(pipe) = self.pipe(owner) else { return };
            pipe.put_session(session);
            if !out.is_empty() {
                pipe.queue_records(&mut out);
                self.dirty.push(owner);
            }
            match record {
                Record::Heard(heard) => self.follow(heard),
                Record::Secured(facts) => self.on_secured(owner, facts),
                Record::Closed => return self.on_stream_ended(owner, Ending::Closed),
                Record::Failed(fault) => return self.on_insecure(owner, &fault),
                Record::Pending => return,
            }
            wire = wire.get_mut(consumed..).unwrap_or_default();
        }
    }

    /// Plaintext is heard before its buffer goes.
    fn take_record(&mut self, owner: Owner, received: Received<'_>) -> Record {
        match received {
            Received::Pending => Record::Pending,
            Received::Secured(facts) => Record::Secured(facts),
            Received::Closed => Record::Closed,
            Received::Plaintext(bytes) => Record::Heard(match owner {
                Owner::Client(key) => {
                    self.hear(key, Event::Received(Side::Downstream, bytes));
                    Heard::Relay(key)
                }
                Owner::Hop(key) => self.hear_hop(key, bytes),
            }),
        }
    }

    fn hear_hop(&mut self, key: Key, bytes: &[u8]) -> Heard {
        let Some(hop) = self.hops.at_mut(key) else { return Heard::Nobody };
        if let Some(relay) = hop.lent_to() {
            self.hear(relay, Event::Received(Side::Upstream, bytes));
            return Heard::Relay(relay);
        }
        let mut out = Vec::new();
        let progress = hop.receive(&self.shared.config.hostname, bytes, &mut out);
        Heard::Hop(key, progress, out)
    }

    fn follow(&mut self, heard: Heard) {
        match heard {
            Heard::Relay(key) => self.carry_out(key),
            Heard::Hop(key, progress, mut out) => self.on_hop_progress(key, progress, &mut out),
            Heard::Nobody => {}
        }
    }

    fn on_secured(&mut self, owner: Owner, facts: Box<Secured>) {
        match owner {
            Owner::Client(key) => {
                self.counters.tls_handshakes.increment();
                self.tell(key, Event::Secured(facts));
            }
            Owner::Hop(key) => {
                let Some(hop) = self.hops.at_mut(key) else { return };
                let mut out = Vec::new();
                let progress = hop.on_secured(*facts, &self.shared.config.hostname, &mut out);
                self.on_hop_progress(key, progress, &mut out);
            }
        }
    }

    /// The session ended in a fault; the alert that says so is queued.
    fn on_insecure(&mut self, owner: Owner, fault: &TlsFault) {
        match owner {
            Owner::Client(key) => self.on_client_insecure(key, fault),
            Owner::Hop(key) => self.on_hop_insecure(key),
        }
    }

    fn on_client_insecure(&mut self, key: Key, fault: &TlsFault) {
        self.counters.tls_failures.increment();
        self.tell(key, Event::Insecure(fault.name()));
    }

    /// A hop in the middle of something is broken; one that was just opening has no TLS to offer.
    fn on_hop_insecure(&mut self, key: Key) {
        let Some(hop) = self.hops.at_mut(key) else { return };
        hop.pipe.flush(&mut self.reactor);
        if hop.is_opening() {
            // With TLS 1.3 a server may say no when hands seem shaken to us.
            hop.secured = None;
            return self.spoil(key, DiscardReason::Insecure);
        }
        self.on_hop_ended(key, Ending::Broken);
    }
}
