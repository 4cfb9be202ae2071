//! What peers' certificates are measured by: authorities, fingerprints.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::certificate;
use super::secured::{Fingerprint, Peer, Trust};
use sha2::{Digest, Sha256};

/// Where distributions keep the certificates of public authorities in one file.
pub const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Certificates of authorities that are believed.
#[derive(Clone, Debug)]
pub struct Authorities(pub(super) Arc<RootCertStore>);

impl Authorities {
    /// Reads a bundle in PEM. A certificate in it that cannot be used is passed over, as long as
    /// there is another: public bundles hold very old ones.
    ///
    /// # Errors
    /// Why it holds none at all.
    pub fn read(pem: &[u8]) -> Result<Self, String> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.map_err(|error| format!("it is no PEM: {error}"))?;
        let mut store = RootCertStore::empty();
        let (added, unusable) = store.add_parsable_certificates(certificates);
        match (added, unusable) {
            (0, 0) => Err("it holds no certificate in PEM".to_owned()),
            (0, _) => Err("no certificate in it can be used".to_owned()),
            _ => Ok(Self(Arc::new(store))),
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(super) fn sha256(octets: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(octets).into())
}

/// Whether the certificate, or its key, is listed.
pub(super) fn is_pinned(certificate: &[u8], pins: &[Fingerprint]) -> bool {
    if pins.is_empty() {
        return false;
    }
    let key = certificate::fields(certificate).map(|fields| sha256(fields.key));
    pins.contains(&sha256(certificate)) || key.is_some_and(|key| pins.contains(&key))
}

/// What is told about a peer. None if its certificate is none, which no handshake lets pass.
pub(super) fn peer(certificate: &[u8], trust: Trust) -> Option<Peer> {
    let fields = certificate::fields(certificate)?;
    Some(Peer {
        certificate: sha256(certificate),
        key: sha256(fields.key),
        common_name: fields.common_name.into(),
        issuer: fields.issuer.into(),
        names: fields.names.into_iter().map(Into::into).collect(),
        trust,
    })
}
