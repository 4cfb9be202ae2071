//! What the library asks about peers' certificates, and how policies answer.
//!
//! What must always hold: whatever a policy lets pass, the peer proved in this handshake that it has
//! the key of the certificate it showed; the two signature checks below are the library's own.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use super::client_policy::Authentication;
use super::dane;
use super::fault::{CertificateFault, Told};
use super::provider::{provider, signatures};
use super::secured::{Fingerprint, Trust};
use super::server_policy::Trusted;
use super::trust::is_pinned;

fn told(fault: CertificateFault) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Told(fault)))))
}

/// Judges certificates of clients.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    /// Whether a client may do without, and be somebody else than it should.
    is_mandatory: bool,
    pins: Vec<Fingerprint>,
    authorities: Option<Arc<dyn ClientCertVerifier>>,
}

impl ClientVerifier {
    pub(super) fn new(trusted: &Trusted, is_mandatory: bool) -> Result<Self, VerifierBuilderError> {
        let build = |roots: &Arc<_>| {
            WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider()).build()
        };
        let authorities =
            trusted.authorities.as_ref().map(|authorities| build(&authorities.0)).transpose()?;
        Ok(Self { is_mandatory, pins: trusted.pins.clone(), authorities })
    }

    pub(super) const fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }

    /// Why a client is believed.
    pub(super) fn judge(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Trust, Error> {
        if is_pinned(own, &self.pins) {
            return Ok(Trust::Pinned);
        }
        let authorities = self.authorities.as_ref().ok_or_else(|| told(CertificateFault::NotPinned))?;
        authorities.verify_client_cert(own, above, now).map(|_| Trust::Authority)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // With fingerprints any authority may have issued it: a hint would keep clients from showing it.
        self.authorities
            .as_ref()
            .filter(|_| self.pins.is_empty())
            .map_or(&[], |inner| inner.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.is_mandatory {
            self.judge(end_entity, intermediates, now)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &signatures())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &signatures())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signatures().supported_schemes()
    }
}

/// Judges certificates of next hops.
#[derive(Debug)]
pub(super) struct ServerVerifier(pub(super) Authentication);

impl ServerVerifier {
    fn judge(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        connected_to: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        match &self.0 {
            Authentication::None => Ok(()),
            Authentication::Pinned(pins) if is_pinned(own, pins) => Ok(()),
            Authentication::Pinned(_) => Err(told(CertificateFault::NotPinned)),
            Authentication::Authorities { authorities, names } => {
                let parsed = ParsedCertificate::try_from(own)?;
                let algorithms = signatures().all;
                verify_server_cert_signed_by_trust_anchor(&parsed, &authorities.0, above, now, algorithms)?;
                let expected = if names.is_empty() { std::slice::from_ref(connected_to) } else { names };
                let named = expected.iter().any(|name| verify_server_name(&parsed, name).is_ok());
                if named { Ok(()) } else { Err(CertificateError::NotValidForName.into()) }
            }
            Authentication::Dane { records, names } => {
                let chain: Vec<_> = std::iter::once(own).chain(above).cloned().collect();
                dane::verify(records, &chain, names, now.as_secs()).map(|_| ()).map_err(told)
            }
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates, server_name, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &signatures())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &signatures())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signatures().supported_schemes()
    }
}
