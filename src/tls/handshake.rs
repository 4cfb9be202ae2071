//! The first life of a session: `rustls` shakes hands, record by record.
//!
//! It is given whole records only, and one at a time: once hands are shaken, what follows is ours to
//! open (`record`). Octets that it still needs stay in `input`, up to a bound.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{CommonState, Error, HandshakeKind, ProtocolVersion};

use super::client_policy::ClientPolicy;
use super::fault::TlsFault;
use super::record::{Kernel, RECORD_BYTES_MAX, Traffic, fill};
use super::secured::{Secured, Trust, Version};
use super::server_policy::{ServerPolicy, Witness};
use super::trust::peer;

/// Octets of a handshake that are held: its longest message, and the record that completes it.
pub const HELD_BYTES_MAX: usize = 64 * 1024 + RECORD_BYTES_MAX;

pub(super) struct Handshake {
    connection: Connection,
    /// What the library still needs, and a record that is not complete.
    input: Vec<u8>,
    /// How much of it was given to the library.
    fed: usize,
}

enum Connection {
    Server(UnbufferedServerConnection, ServerPolicy, Arc<Witness>),
    Client(UnbufferedClientConnection, ClientPolicy, ServerName<'static>),
}

/// Whether the library goes on by itself.
enum Next {
    Again,
    Idle,
}

impl Handshake {
    pub(super) fn server(policy: &ServerPolicy) -> Result<Self, TlsFault> {
        let (config, witness) = policy.config();
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(Connection::Server(connection, policy.clone(), witness)))
    }

    pub(super) fn client(
        policy: &ClientPolicy,
        name: ServerName<'static>,
        out: &mut Vec<u8>,
    ) -> Result<Self, TlsFault> {
        let connection = UnbufferedClientConnection::new(policy.config(), name.clone())?;
        let mut handshake = Self::new(Connection::Client(connection, policy.clone(), name));
        handshake.advance(out)?;
        Ok(handshake)
    }

    const fn new(connection: Connection) -> Self {
        Self { connection, input: Vec::new(), fed: 0 }
    }

    /// Takes records until hands are shaken (true) or there are no more. What follows the last record of
    /// a handshake is not touched.
    pub(super) fn receive(&mut self, wire: &[u8], out: &mut Vec<u8>) -> Result<(usize, bool), TlsFault> {
        let mut consumed = 0;
        loop {
            let rest = wire.get(consumed..).unwrap_or_default();
            let (taken, is_complete) = fill(&mut self.input, self.fed, rest)?;
            consumed += taken;
            if self.input.len() > HELD_BYTES_MAX {
                return Err(TlsFault::TooLarge);
            }
            if !is_complete {
                return Ok((consumed, false));
            }
            self.fed = self.input.len();
            self.advance(out)?;
            if !self.state().is_handshaking() {
                return Ok((consumed, true));
            }
        }
    }

    /// Lets the library do all it can with the records it has.
    fn advance(&mut self, out: &mut Vec<u8>) -> Result<(), TlsFault> {
        loop {
            match self.turn(out) {
                Ok(Next::Again) => {}
                Ok(Next::Idle) => return Ok(()),
                Err(error) => {
                    // The alert is in the library's queue. Once it is out there must be no further turn:
                    // that would look at the same octets again.
                    while self.state().wants_write() && matches!(self.turn(out), Ok(Next::Again)) {}
                    return Err(error.into());
                }
            }
        }
    }

    fn turn(&mut self, out: &mut Vec<u8>) -> Result<Next, Error> {
        let records = self.input.get_mut(..self.fed).unwrap_or_default();
        let (discard, next) = match &mut self.connection {
            Connection::Server(connection, ..) => absorb(connection.process_tls_records(records), out),
            Connection::Client(connection, ..) => absorb(connection.process_tls_records(records), out),
        };
        self.input.drain(..discard.min(self.input.len()));
        self.fed = self.fed.saturating_sub(discard);
        next
    }

    fn state(&self) -> &CommonState {
        match &self.connection {
            Connection::Server(connection, ..) => connection,
            Connection::Client(connection, ..) => connection,
        }
    }

    /// What was established, and the keys.
    pub(super) fn finish(self) -> Result<(Secured, Traffic), TlsFault> {
        if !self.input.is_empty() {
            return Err(TlsFault::protocol("a handshake message behind the last one"));
        }
        let chain = self.state().peer_certificates().unwrap_or_default();
        let trust = match &self.connection {
            Connection::Server(_, policy, _) => policy.trust(chain)?,
            Connection::Client(_, policy, _) => policy.trust(),
        };
        let secured = facts(self.state(), self.server_name(), trust)?;
        let (secrets, kernel) = match self.connection {
            Connection::Server(connection, ..) => {
                let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
                (secrets, Kernel::Server(kernel))
            }
            Connection::Client(connection, ..) => {
                let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
                (secrets, Kernel::Client(kernel))
            }
        };
        let traffic = Traffic::new(secured.version, secrets, kernel)?;
        Ok((secured, traffic))
    }

    fn server_name(&self) -> Option<Box<str>> {
        match &self.connection {
            Connection::Server(.., witness) => witness.asked(),
            Connection::Client(_, _, ServerName::DnsName(name)) => Some(name.as_ref().into()),
            Connection::Client(..) => None,
        }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match &self.connection {
            Connection::Server(..) => "server",
            Connection::Client(..) => "client",
        };
        out.debug_struct("Handshake")
            .field("role", &role)
            .field("held", &self.input.len())
            .finish_non_exhaustive()
    }
}

/// Carries out one step that the library asks for: octets to discard, and whether there is another.
fn absorb<Data>(status: UnbufferedStatus<'_, '_, Data>, out: &mut Vec<u8>) -> (usize, Result<Next, Error>) {
    let next = match status.state {
        Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out).map(|()| Next::Again),
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Next::Again)
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Next::Idle),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
            Err(Error::AlertReceived(rustls::AlertDescription::CloseNotify))
        }
        Ok(_) => Err(Error::General("data before its time".to_owned())),
        Err(error) => Err(error),
    };
    (status.discard, next)
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    if let Err(EncodeError::InsufficientSize(error)) = data.encode(&mut []) {
        out.resize(start + error.required_size, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        data.encode(room).map_err(|error| Error::General(error.to_string()))?;
    }
    Ok(())
}

fn facts(state: &CommonState, server_name: Option<Box<str>>, trust: Trust) -> Result<Secured, TlsFault> {
    let unfinished = || TlsFault::internal("a handshake without a result");
    let version = match state.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => Version::Tls12,
        Some(ProtocolVersion::TLSv1_3) => Version::Tls13,
        _ => return Err(unfinished()),
    };
    let suite = state.negotiated_cipher_suite().ok_or_else(unfinished)?;
    let (cipher, cipher_bits) = cipher(u16::from(suite.suite()));
    let group = state.negotiated_key_exchange_group().and_then(|group| group.name().as_str());
    let own = state.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
    Ok(Secured {
        version,
        cipher,
        cipher_bits,
        key_exchange: group.unwrap_or_default(),
        server_name,
        is_resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        peer: own.and_then(|own| peer(own, trust)).map(Box::new),
    })
}

/// Registered name and length of key of each suite in `provider`.
const fn cipher(suite: u16) -> (&'static str, u16) {
    match suite {
        0x1301 => ("TLS_AES_128_GCM_SHA256", 128),
        0x1302 => ("TLS_AES_256_GCM_SHA384", 256),
        0x1303 => ("TLS_CHACHA20_POLY1305_SHA256", 256),
        0xc02b => ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 128),
        0xc02c => ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 256),
        0xcca9 => ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 256),
        0xc02f => ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 128),
        0xc030 => ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 256),
        0xcca8 => ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 256),
        _ => ("unregistered", 0),
    }
}
