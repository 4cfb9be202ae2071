//! The two ends of a connection, and a wire between them that cuts what it carries.

use std::io::{Read, Write};
use std::sync::Arc;

use postern::tls::client_policy::ClientPolicy;
use postern::tls::fault::TlsFault;
use postern::tls::secured::Secured;
use postern::tls::server_policy::ServerPolicy;
use postern::tls::session::{Received, Session, Step};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, Connection, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::harness::authority::{HOST, Issued, world};

pub(super) trait Peer {
    fn take(&mut self, wire: &[u8]);
    fn out(&mut self) -> Vec<u8>;
    fn say(&mut self, plaintext: &[u8]);
    fn close(&mut self);
    fn heard(&self) -> &[u8];
    fn is_closed(&self) -> bool;
}

/// Our own session, and what came of it.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) session: Session,
    pub(super) out: Vec<u8>,
    pub(super) secured: Option<Box<Secured>>,
    pub(super) heard: Vec<u8>,
    pub(super) fault: Option<TlsFault>,
    pub(super) closed: bool,
}

impl Ours {
    pub(super) fn server(policy: &ServerPolicy) -> Self {
        Self::new(Session::server(policy).unwrap(), Vec::new())
    }

    pub(super) fn client(policy: &ClientPolicy) -> Self {
        Self::client_of(policy, HOST)
    }

    pub(super) fn client_of(policy: &ClientPolicy, name: &str) -> Self {
        let mut out = Vec::new();
        Self::new(Session::client(policy, name, &mut out).unwrap(), out)
    }

    fn new(session: Session, out: Vec<u8>) -> Self {
        Self { session, out, secured: None, heard: Vec::new(), fault: None, closed: false }
    }

    /// What the handshake established. Panics with the fault if there was none.
    #[track_caller]
    pub(super) fn secured(&self) -> &Secured {
        assert_eq!(self.fault, None);
        self.secured.as_deref().expect("hands are not shaken")
    }

    /// One step: how much was consumed, None when there is nothing more to do.
    fn step(&mut self, wire: &mut [u8]) -> Option<usize> {
        let given = wire.len();
        let step = self.session.receive(wire, &mut self.out).map_err(|fault| self.fault = Some(fault));
        let Step { consumed, received } = step.ok()?;
        match received {
            Received::Pending => {
                assert_eq!(consumed, given, "who waits for more has taken all");
                return None;
            }
            Received::Secured(secured) => {
                assert!(self.secured.replace(secured).is_none(), "hands are shaken once");
            }
            Received::Plaintext(octets) => {
                assert!(!octets.is_empty() && self.secured.is_some() && !self.closed);
                self.heard.extend_from_slice(octets);
            }
            Received::Closed => {
                self.closed = true;
                return None;
            }
        }
        Some(consumed)
    }
}

impl Peer for Ours {
    fn take(&mut self, wire: &[u8]) {
        let (mut wire, mut at) = (wire.to_vec(), 0);
        while self.fault.is_none()
            && let Some(consumed) = self.step(&mut wire[at..])
        {
            at += consumed;
        }
    }

    fn out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn say(&mut self, plaintext: &[u8]) {
        self.session.send(plaintext, &mut self.out).unwrap();
    }

    fn close(&mut self) {
        self.session.close(&mut self.out);
    }

    fn heard(&self) -> &[u8] {
        &self.heard
    }

    fn is_closed(&self) -> bool {
        assert_eq!(self.closed, self.session.is_cleanly_closed());
        self.closed
    }
}

/// The library's own connection.
pub(super) struct Reference {
    pub(super) connection: Connection,
    pub(super) heard: Vec<u8>,
    pub(super) fault: Option<rustls::Error>,
    closed: bool,
}

impl Reference {
    pub(super) fn server(config: ServerConfig) -> Self {
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        Self::new(connection.into())
    }

    pub(super) fn client(config: ClientConfig) -> Self {
        let name = HOST.try_into().unwrap();
        Self::new(rustls::ClientConnection::new(Arc::new(config), name).unwrap().into())
    }

    fn new(mut connection: Connection) -> Self {
        connection.set_buffer_limit(None);
        Self { connection, heard: Vec::new(), fault: None, closed: false }
    }
}

impl Peer for Reference {
    fn take(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() && self.fault.is_none() {
            if self.connection.read_tls(&mut wire).unwrap() == 0 {
                return;
            }
            match self.connection.process_new_packets() {
                Ok(state) => {
                    let mut plaintext = vec![0; state.plaintext_bytes_to_read()];
                    self.connection.reader().read_exact(&mut plaintext).unwrap();
                    self.heard.append(&mut plaintext);
                    self.closed |= state.peer_has_closed();
                }
                Err(error) => self.fault = Some(error),
            }
        }
    }

    fn out(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut out).unwrap();
        }
        out
    }

    fn say(&mut self, plaintext: &[u8]) {
        self.connection.writer().write_all(plaintext).unwrap();
    }

    fn close(&mut self) {
        self.connection.send_close_notify();
    }

    fn heard(&self) -> &[u8] {
        &self.heard
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

/// One direction: everything it carries is cut once, at an octet counted from its beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wire {
    pub(super) cut: usize,
    pub(super) carried: usize,
}

impl Wire {
    pub(super) const WHOLE: Self = Self { cut: usize::MAX, carried: 0 };

    pub(super) const fn cut_at(cut: usize) -> Self {
        Self { cut, carried: 0 }
    }

    pub(super) fn carry(&mut self, octets: &[u8], to: &mut impl Peer) {
        let cut = self.cut.saturating_sub(self.carried).min(octets.len());
        self.carried += octets.len();
        let (head, tail) = octets.split_at(cut);
        for piece in [head, tail] {
            if !piece.is_empty() {
                to.take(piece);
            }
        }
    }
}

/// Carries what both have to say until neither has anything.
pub(super) fn exchange_over(a: &mut impl Peer, b: &mut impl Peer, there: &mut Wire, back: &mut Wire) {
    loop {
        let (from_a, from_b) = (a.out(), b.out());
        if from_a.is_empty() && from_b.is_empty() {
            return;
        }
        there.carry(&from_a, b);
        back.carry(&from_b, a);
    }
}

pub(super) fn exchange(a: &mut impl Peer, b: &mut impl Peer) {
    exchange_over(a, b, &mut Wire::WHOLE.clone(), &mut Wire::WHOLE.clone());
}

/// Both say something long, and close.
#[track_caller]
pub(super) fn converse(a: &mut impl Peer, b: &mut impl Peer) {
    let (question, answer) = (text(40_000, 1), text(50_000, 2));
    a.say(&question);
    b.say(&answer);
    exchange(a, b);
    assert!(b.heard() == question && a.heard() == answer);
    a.close();
    b.close();
    exchange(a, b);
    assert!(a.is_closed() && b.is_closed());
}

/// Octets that repeat nowhere near each other.
pub(super) fn text(len: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| random.u8(..)).collect()
}

/// The library's client, which knows our authority and has a certificate if one is given.
pub(super) fn reference_client(
    version: &'static SupportedProtocolVersion,
    identity: Option<&Issued>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(world().authority.der.clone())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        Some(own) => {
            let (chain, key) = pem(own);
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    }
}

/// The library's server.
pub(super) fn reference_server(version: &'static SupportedProtocolVersion, own: &Issued) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (chain, key) = pem(own);
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config
}

fn pem(own: &Issued) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = vec![CertificateDer::from(own.der.clone())];
    (chain, PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap())
}
