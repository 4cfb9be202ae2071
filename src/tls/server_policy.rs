//! What a listener shows to clients, and asks of them.
//!
//! A policy is made once and shared by all workers. New certificates are a new policy: sessions that
//! began under the old one go on under it.
//!
//! What must always hold: each policy has ticket keys of its own, which never leave it. A ticket of a
//! listener that asks nothing is no ticket at one that asks for a certificate (RFC 8446 §4.6.1 leaves
//! that to us), and a ticket of before a reload is none after it: both fall back to a full handshake.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::fault::{CertificateFault, TlsFault};
use super::identity::Identity;
use super::provider::provider;
use super::secured::{Fingerprint, Trust};
use super::trust::Authorities;
use super::verifier::ClientVerifier;

/// Tickets a client is given: one connection at a time is what a mail client comes back with.
const TICKETS: usize = 1;

/// Which clients are believed. Either is enough.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    pub authorities: Option<Authorities>,
    /// Of certificates or of their keys.
    pub pins: Vec<Fingerprint>,
}

/// What is asked of clients.
#[derive(Clone, Debug, Default)]
pub enum ClientCertificates {
    /// Nothing.
    #[default]
    None,
    /// A certificate, if they have one. Any will do; whether it is believed is a fact.
    Ask(Trusted),
    /// A certificate that is believed; without it there is no session.
    Require(Trusted),
}

/// See the top of the file. Cheap to clone.
#[derive(Clone)]
pub struct ServerPolicy(Arc<Inner>);

struct Inner {
    config: Arc<ServerConfig>,
    clients: Option<Arc<ClientVerifier>>,
    identities: Arc<Certificates>,
}

impl ServerPolicy {
    /// The first identity is shown to clients that name no other.
    ///
    /// # Errors
    /// When there is no identity, or authorities without a certificate.
    pub fn new(identities: Vec<Identity>, clients: &ClientCertificates) -> Result<Self, String> {
        if identities.is_empty() {
            return Err("a certificate is needed".to_owned());
        }
        let identities = Arc::new(Certificates(identities));
        let verifier = |trusted, is_mandatory| {
            ClientVerifier::new(trusted, is_mandatory)
                .map(Arc::new)
                .map(Some)
                .map_err(|error| error.to_string())
        };
        let clients = match clients {
            ClientCertificates::None => None,
            ClientCertificates::Ask(trusted) => verifier(trusted, false)?,
            ClientCertificates::Require(trusted) => verifier(trusted, true)?,
        };
        let config = config(&identities, clients.as_ref()).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(Inner { config: Arc::new(config), clients, identities })))
    }

    /// What it shows, in the order given.
    pub fn identities(&self) -> &[Identity] {
        &self.0.identities.0
    }

    /// What one connection is made from. The library does not tell which name a client asked for, but it
    /// asks for the certificate of that name: so each connection gets a witness to ask.
    pub(super) fn config(&self) -> (Arc<ServerConfig>, Arc<Witness>) {
        let identities = Arc::clone(&self.0.identities);
        let witness = Arc::new(Witness { identities, asked: OnceLock::new() });
        let mut config = ServerConfig::clone(&self.0.config);
        config.cert_resolver = Arc::clone(&witness) as _;
        (Arc::new(config), witness)
    }

    /// Why a client is believed that showed `chain`, if it showed any: now, and not when the session
    /// that it may have resumed began.
    pub(super) fn trust(&self, chain: &[CertificateDer<'_>]) -> Result<Trust, TlsFault> {
        let Some(clients) = &self.0.clients else { return Ok(Trust::None) };
        let now = self.0.config.time_provider.current_time();
        let judged = match (chain.split_first(), now) {
            (Some((own, above)), Some(now)) => clients.judge(own, above, now).map_err(TlsFault::from),
            _ => Err(TlsFault::Certificate(CertificateFault::Missing)),
        };
        if clients.is_mandatory() { judged } else { Ok(judged.unwrap_or(Trust::None)) }
    }
}

/// All workers look at the same one.
const _: () = shared::<ServerPolicy>();
const fn shared<T: Send + Sync>() {}

impl fmt::Debug for ServerPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        out.debug_struct("ServerPolicy")
            .field("identities", &inner.identities)
            .field("clients", &inner.clients)
            .finish_non_exhaustive()
    }
}

/// The same policy, not an equal one: no two of them take each other's tickets.
impl PartialEq for ServerPolicy {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ServerPolicy {}

fn config(
    identities: &Arc<Certificates>,
    clients: Option<&Arc<ClientVerifier>>,
) -> Result<ServerConfig, rustls::Error> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients) as _),
        None => builder.with_no_client_auth(),
    };
    let shared = Witness { identities: Arc::clone(identities), asked: OnceLock::new() };
    let mut config = builder.with_cert_resolver(Arc::new(shared));
    // Sessions are remembered by clients alone: a table of ours would be shared by all workers.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = TICKETS;
    config.ignore_client_order = true;
    config.enable_secret_extraction = true;
    Ok(config)
}

/// Our certificates, and which of them a client gets to see.
#[derive(Debug)]
struct Certificates(Vec<Identity>);

impl Certificates {
    /// Those for the name the client asked for, else those of the first one's names, else any.
    fn choose(&self, name: Option<&str>, fits: impl Fn(&Identity) -> bool) -> Option<&Identity> {
        let first = self.0.first()?;
        let asked = |own: &Identity| name.is_some_and(|name| own.is_for(name));
        let usual = |own: &Identity| own.names() == first.names();
        let fitting = || self.0.iter().filter(|own| fits(own));
        let best =
            |of: &dyn Fn(&Identity) -> bool| fitting().filter(|own| of(own)).min_by_key(|own| own.is_rsa());
        // Where nothing fits the library says so, with the alert that is owed.
        best(&asked).or_else(|| best(&usual)).or_else(|| best(&|_| true)).or(Some(first))
    }
}

/// Chooses the certificate for one connection, and remembers for which name.
#[derive(Debug)]
pub(super) struct Witness {
    identities: Arc<Certificates>,
    asked: OnceLock<Box<str>>,
}

impl Witness {
    pub(super) fn asked(&self) -> Option<Box<str>> {
        self.asked.get().cloned()
    }
}

impl ResolvesServerCert for Witness {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let fits = |own: &Identity| own.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let chosen = self.identities.choose(name.as_deref(), fits);
        // A second hello (after a retry request) has the same name (RFC 8446 §4.1.2).
        name.map(|name| self.asked.set(name.into()));
        chosen.map(|own| Arc::clone(&own.key))
    }
}
