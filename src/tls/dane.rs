//! TLSA records against the certificates a server showed (RFC 6698, RFC 7671, RFC 7672).
//!
//! Only usages 2 (DANE-TA) and 3 (DANE-EE) mean something for mail (RFC 7672 §3.1); all others are
//! unusable, and so is a record whose data cannot be what it says. Where the DNS has records and none
//! is usable, mail is encrypted and the server not authenticated (RFC 7672 §2.2): [`is_usable`] tells.
//!
//! What must always hold: a match of usage 3 asks nothing else of a certificate, neither its names nor
//! its dates (RFC 7671 §5.1); one of usage 2 asks for a chain up to the matched certificate, its dates,
//! and one of the names (§5.2). Of digests of one usage and selector only the strongest counts (§9).

use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256, Sha512};

use super::certificate;
use super::fault::{CertificateFault, TlsFault};
use super::provider::signatures;

/// Certificates of a chain that are looked at.
const CHAIN_MAX: usize = 16;
/// Records of one server that are looked at, in the order in which they came.
const RECORDS_MAX: usize = 32;
/// Certificates that a chain is tried under: each may cost as many signatures as the chain is long.
const ANCHORS_MAX: usize = 4;

const FULL: u8 = 0;
const SHA_256: u8 = 1;
const SHA_512: u8 = 2;

/// RFC 6698 §2.1, as it stands in the DNS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tlsa {
    pub usage: u8,
    pub selector: u8,
    pub matching: u8,
    pub data: Vec<u8>,
}

/// Which kind of record matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// Usage 3: this very certificate, or its key.
    EndEntity,
    /// Usage 2: a certificate that issued it.
    TrustAnchor,
}

/// Whether a record can authenticate anything in mail.
pub fn is_usable(record: &Tlsa) -> bool {
    let data_is_good = match record.matching {
        FULL => !record.data.is_empty(),
        SHA_256 => record.data.len() == 32,
        SHA_512 => record.data.len() == 64,
        _ => false,
    };
    matches!(record.usage, 2 | 3) && record.selector <= 1 && data_is_good
}

/// What `records` say of `chain`, the server's own certificate first. `names` are those a certificate
/// may be for (RFC 7672 §3.2.2), `now` is in seconds since 1970.
///
/// # Errors
/// What came nearest: [`CertificateFault::NoTlsaMatch`] if nothing matched; else what was wrong with the
/// chain under the certificate that did.
pub fn verify(
    records: &[Tlsa],
    chain: &[CertificateDer<'_>],
    names: &[ServerName<'_>],
    now: u64,
) -> Result<Match, CertificateFault> {
    let (own, above) = chain.split_first().ok_or(CertificateFault::Missing)?;
    let above = above.get(..CHAIN_MAX).unwrap_or(above);
    let records = strongest(records);
    if records.iter().any(|record| record.usage == 3 && matches(record, own)) {
        return Ok(Match::EndEntity);
    }
    let mut fault = CertificateFault::NoTlsaMatch;
    for anchor in anchors(&records, above).into_iter().take(ANCHORS_MAX) {
        match under(anchor, own, above, names, now) {
            Ok(()) => return Ok(Match::TrustAnchor),
            Err(nearest) => fault = nearest,
        }
    }
    Err(fault)
}

/// Usable records without the digests that a stronger one of the same usage and selector displaces.
fn strongest(records: &[Tlsa]) -> Vec<&Tlsa> {
    let usable: Vec<_> = records.iter().take(RECORDS_MAX).filter(|record| is_usable(record)).collect();
    let displaced = |weak: &Tlsa| {
        let same = |other: &&Tlsa| (other.usage, other.selector) == (weak.usage, weak.selector);
        weak.matching == SHA_256
            && usable.iter().filter(|other| same(other)).any(|other| other.matching == SHA_512)
    };
    usable.iter().copied().filter(|record| !displaced(record)).collect()
}

fn matches(record: &Tlsa, certificate: &[u8]) -> bool {
    let selected = match record.selector {
        0 => Some(certificate),
        _ => certificate::fields(certificate).map(|fields| fields.key),
    };
    selected.is_some_and(|selected| match record.matching {
        FULL => record.data == selected,
        SHA_256 => record.data == Sha256::digest(selected).as_slice(),
        _ => record.data == Sha512::digest(selected).as_slice(),
    })
}

/// Certificates that records of usage 2 make believed: of the chain, and those that are in the DNS whole.
fn anchors<'a>(records: &[&'a Tlsa], above: &'a [CertificateDer<'_>]) -> Vec<&'a [u8]> {
    let of_anchors = || records.iter().filter(|record| record.usage == 2);
    let shown = above.iter().map(AsRef::as_ref);
    let matched = shown.filter(|shown| of_anchors().any(|record| matches(record, shown)));
    let whole = of_anchors().filter(|record| (record.selector, record.matching) == (0, FULL));
    matched.chain(whole.map(|record| record.data.as_slice())).collect()
}

/// Whether `own` is good for one of `names`, and issued under `anchor`.
fn under(
    anchor: &[u8],
    own: &CertificateDer<'_>,
    above: &[CertificateDer<'_>],
    names: &[ServerName<'_>],
    now: u64,
) -> Result<(), CertificateFault> {
    let dates = certificate::fields(anchor).ok_or(CertificateFault::Malformed)?;
    if dates.not_after.is_none_or(|end| end < now) {
        return Err(CertificateFault::Expired);
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(anchor)).map_err(|_| CertificateFault::Malformed)?;
    let parsed = ParsedCertificate::try_from(own).map_err(|_| CertificateFault::Malformed)?;
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
    verify_server_cert_signed_by_trust_anchor(&parsed, &roots, above, now, signatures().all)
        .map_err(fault)?;
    let named = names.iter().any(|name| verify_server_name(&parsed, name).is_ok());
    if named { Ok(()) } else { Err(CertificateFault::WrongName) }
}

fn fault(error: rustls::Error) -> CertificateFault {
    match TlsFault::from(error) {
        TlsFault::Certificate(fault) => fault,
        _ => CertificateFault::Other,
    }
}
