//! What a next hop has to prove, and what we show it.
//!
//! `offer` and `require` of a configuration are [`Authentication::None`]: against those who listen on
//! the wire, not against one who stands in the middle of it. `verify` and `dane` are the others.
//!
//! What must always hold: sessions are resumed only under the policy they began under, so that what
//! was not authenticated once never becomes so.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::SignatureScheme;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::dane::Tlsa;
use super::identity::Identity;
use super::provider::provider;
use super::secured::{Fingerprint, Trust};
use super::trust::Authorities;
use super::verifier::ServerVerifier;

/// Servers whose tickets are kept.
const SERVERS_REMEMBERED: usize = 256;

/// How a next hop is authenticated.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// Any certificate will do.
    None,
    /// A chain to a known authority, for one of `names`; if there are none, for the name connected to.
    Authorities { authorities: Authorities, names: Vec<ServerName<'static>> },
    /// A listed certificate or key: names, dates and issuers do not count.
    Pinned(Vec<Fingerprint>),
    /// What the DNS says, for one of `names` (RFC 7672). The records are usable ones.
    Dane { records: Vec<Tlsa>, names: Vec<ServerName<'static>> },
}

impl Authentication {
    /// Of a server that passed.
    const fn trust(&self) -> Trust {
        match self {
            Self::None => Trust::None,
            Self::Authorities { .. } => Trust::Authority,
            Self::Pinned(_) => Trust::Pinned,
            Self::Dane { .. } => Trust::Dane,
        }
    }
}

/// A name to connect to or to expect; None if it is neither a host name nor an address.
pub fn server_name(text: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(text.strip_suffix('.').unwrap_or(text).to_owned()).ok()
}

/// See the top of the file. Cheap to clone.
#[derive(Clone)]
pub struct ClientPolicy(Arc<Inner>);

struct Inner {
    config: Arc<ClientConfig>,
    identity: Option<Identity>,
    trust: Trust,
}

impl ClientPolicy {
    /// # Errors
    /// When the library refuses, which it has no reason to.
    pub fn new(authentication: Authentication, identity: Option<Identity>) -> Result<Self, String> {
        let trust = authentication.trust();
        let config = config(authentication, identity.clone()).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(Inner { config: Arc::new(config), identity, trust })))
    }

    /// The same identity of ours toward servers that have to prove something else.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with(&self, authentication: Authentication) -> Result<Self, String> {
        Self::new(authentication, self.0.identity.clone())
    }

    /// What the library makes sessions from, for HTTPS: sessions of mail are made by [`super::session`].
    pub fn for_https(&self) -> Arc<ClientConfig> {
        self.config()
    }

    /// The same for another worker: tickets that it is given are its own, so that none waits for another.
    pub fn apart(&self) -> Self {
        let mut config = ClientConfig::clone(&self.0.config);
        config.resumption = Resumption::in_memory_sessions(SERVERS_REMEMBERED);
        let (identity, trust) = (self.0.identity.clone(), self.0.trust);
        Self(Arc::new(Inner { config: Arc::new(config), identity, trust }))
    }

    /// Whether it is for servers whose certificates or keys are listed.
    pub fn is_pinned(&self) -> bool {
        self.0.trust == Trust::Pinned
    }

    /// Whether a server has to prove who it is.
    pub fn authenticates(&self) -> bool {
        self.0.trust.is_verified()
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.config)
    }

    pub(super) fn trust(&self) -> Trust {
        self.0.trust
    }
}

/// All workers look at the same one.
const _: () = shared::<ClientPolicy>();
const fn shared<T: Send + Sync>() {}

impl fmt::Debug for ClientPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ClientPolicy")
            .field("trust", &self.0.trust)
            .field("identity", &self.0.identity)
            .finish_non_exhaustive()
    }
}

/// The same policy, not an equal one: no two of them resume each other's sessions.
impl PartialEq for ClientPolicy {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ClientPolicy {}

fn config(authentication: Authentication, identity: Option<Identity>) -> Result<ClientConfig, rustls::Error> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13, &TLS12])?;
    let verifier = Arc::new(ServerVerifier(authentication));
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(Own(identity)));
    config.resumption = Resumption::in_memory_sessions(SERVERS_REMEMBERED);
    config.enable_secret_extraction = true;
    Ok(config)
}

/// The certificate we show to servers that ask.
#[derive(Debug)]
struct Own(Option<Identity>);

impl ResolvesClientCert for Own {
    fn resolve(&self, _issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let own = self.0.as_ref()?;
        own.key.key.choose_scheme(schemes).map(|_| Arc::clone(&own.key))
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}
