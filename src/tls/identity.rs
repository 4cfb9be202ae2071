//! Who we are: a certificate chain and its key, from PEM (RFC 7468).

use std::fmt;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate;
use super::provider::provider;

/// Certificates of one chain: more are a bundle that was given by mistake.
const CHAIN_MAX: usize = 16;

/// A certificate chain and the key of its first certificate.
#[derive(Clone)]
pub struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    /// Lower-case DNS names of the certificate, wildcards among them.
    names: Vec<String>,
    not_after: Option<u64>,
}

impl Identity {
    /// Reads a chain, our own certificate first, and its key, from the texts of their files.
    ///
    /// # Errors
    /// What is wrong, and with which of the two.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Self, IdentityFault> {
        let chain = read_chain(chain).map_err(IdentityFault::Certificate)?;
        let own = chain.first().map(AsRef::as_ref).and_then(certificate::fields);
        let own = own.ok_or_else(|| IdentityFault::Certificate("it is no X.509 certificate".to_owned()))?;
        let (names, not_after) = (dns_names(&own), own.not_after);
        let key = read_key(key).map_err(IdentityFault::Key)?;
        let loaded = provider().key_provider.load_private_key(key);
        let key = loaded.map_err(|error| IdentityFault::Key(error.to_string()))?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => IdentityFault::Mismatch,
            other => IdentityFault::Certificate(other.to_string()),
        })?;
        Ok(Self { key: Arc::new(certified), names, not_after })
    }

    /// Names it is good for, as they stand in the certificate, in lower case.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Seconds since 1970 after which nobody has to believe it.
    pub const fn not_after(&self) -> Option<u64> {
        self.not_after
    }

    /// Whether it may be shown to a client that asked for `name`, which is in lower case.
    pub fn is_for(&self, name: &str) -> bool {
        let below = name.split_once('.').map(|(_, parent)| parent);
        self.names
            .iter()
            .any(|own| own == name || own.strip_prefix("*.").is_some_and(|parent| below == Some(parent)))
    }

    /// Elliptic curves sign an order faster than RSA: where a client takes both, they go first.
    pub(super) fn is_rsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::RSA
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Identity").field("names", &self.names).finish_non_exhaustive()
    }
}

fn dns_names(own: &certificate::Fields<'_>) -> Vec<String> {
    let names = if own.names.is_empty() { std::slice::from_ref(&own.common_name) } else { &own.names };
    names.iter().filter(|name| !name.is_empty()).map(|name| name.to_ascii_lowercase()).collect()
}

fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).take(CHAIN_MAX + 1).collect();
    let chain = chain.map_err(|error| format!("it is no PEM: {error}"))?;
    match chain.len() {
        0 => Err("it holds no certificate in PEM".to_owned()),
        1..=CHAIN_MAX => Ok(chain),
        _ => Err(format!("it holds more than {CHAIN_MAX} certificates")),
    }
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    use rustls::pki_types::pem::Error;
    if pem.windows(9).any(|window| window == b"ENCRYPTED") {
        return Err("it is encrypted, and nobody is there to be asked for its passphrase".to_owned());
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => "it holds no private key in PEM".to_owned(),
        other => format!("it is no PEM: {other}"),
    })
}

/// Why a certificate and a key cannot be used, and which of them is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityFault {
    Certificate(String),
    Key(String),
    /// Both are good, but not of each other.
    Mismatch,
}
