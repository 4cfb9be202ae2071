//! Certificates made on the spot.

use std::sync::OnceLock;

use postern::tls::identity::Identity;
use postern::tls::trust::Authorities;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
    date_time_ymd,
};

/// A certificate and its key as files hold them.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: Vec<u8>,
}

impl Issued {
    pub(crate) fn identity(&self) -> Identity {
        Identity::read(self.certificate.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

/// Who issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    pub(crate) fn trusted(&self) -> Authorities {
        Authorities::read(self.pem.as_bytes()).unwrap()
    }

    pub(crate) fn issue(&self, names: &[&str], algorithm: &'static SignatureAlgorithm) -> Issued {
        self.issue_with(names, algorithm, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = params(names);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let der = certificate.der().to_vec();
        Issued { certificate: certificate.pem(), key: key.serialize_pem(), der }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params.distinguished_name.push(DnType::CommonName, format!("CN of {}", names.join(" ")));
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Issued by itself.
pub(crate) fn self_signed(names: &[&str]) -> Issued {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = params(names).self_signed(&key).unwrap();
    Issued { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
}

/// What most tests need, made once: making RSA keys takes long.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) stranger: Authority,
    pub(crate) ecdsa: Issued,
    pub(crate) rsa: Issued,
    pub(crate) ed25519: Issued,
    /// Another host's.
    pub(crate) other: Issued,
    pub(crate) wildcard: Issued,
    pub(crate) expired: Issued,
    pub(crate) early: Issued,
    /// By nobody we know.
    pub(crate) unknown: Issued,
    /// Clients'.
    pub(crate) client: Issued,
    pub(crate) unknown_client: Issued,
}

pub(crate) const HOST: &str = "mx1.example.net";

pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let (authority, stranger) = (Authority::new("Test Authority"), Authority::new("Stranger"));
        let p256 = &PKCS_ECDSA_P256_SHA256;
        World {
            ecdsa: authority.issue(&[HOST], p256),
            rsa: authority.issue(&[HOST], &PKCS_RSA_SHA256),
            ed25519: authority.issue(&[HOST], &PKCS_ED25519),
            other: authority.issue(&["mx2.example.net", "mail.example.org"], p256),
            wildcard: authority.issue(&["*.wild.example"], p256),
            expired: authority
                .issue_with(&[HOST], p256, |params| params.not_after = date_time_ymd(2020, 1, 1)),
            early: authority
                .issue_with(&[HOST], p256, |params| params.not_before = date_time_ymd(3000, 1, 1)),
            unknown: stranger.issue(&[HOST], p256),
            client: authority.issue(&["client.example.org"], p256),
            unknown_client: stranger.issue(&["client.example.org"], p256),
            authority,
            stranger,
        }
    })
}
