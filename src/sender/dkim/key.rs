//! The key of a signature: its record, and the check with it.
//!
//! RFC 6376 §3.6.1 and §6.1.2, RFC 8301 §3.2 (sizes), RFC 8463 §4 (Ed25519). A name may have several
//! records: each that reads like a key is tried, and the first that verifies decides.

use aws_lc_rs::signature::{
    ED25519, ParsedPublicKey, RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, VerificationAlgorithm,
};

use super::outcome::Reason;
use super::signed::{Algorithm, Signed};
use super::tags::{Tags, items};
use crate::sender::dns::{Answer, Known, Missing, Record};

/// Records of one name that are tried.
const RECORDS_MAX: usize = 4;
const RECORD_BYTES_MAX: usize = 4096;
const RSA_BITS_MIN: usize = 1024;
const RSA_BITS_MAX: usize = 8192;
const ED25519_OCTETS: usize = 32;

/// Whether the signature over the header is right, as far as the key tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyCheck {
    pub reason: Option<Reason>,
    /// `t=y`.
    pub is_testing: bool,
}

impl KeyCheck {
    const fn failed(reason: Reason) -> Self {
        Self { reason: Some(reason), is_testing: false }
    }
}

impl Signed {
    /// `is_of_subdomain` says that the signature names somebody below its domain. This is the
    /// expensive part: one operation with a public key for each record.
    ///
    /// # Errors
    /// [`Missing`] as long as the key was not asked for.
    pub fn check(&self, is_of_subdomain: bool, known: &Known) -> Result<KeyCheck, Missing> {
        let records = match known.answer(&self.key)? {
            Answer::Records { records, .. } => records,
            Answer::NoData | Answer::NotFound => return Ok(KeyCheck::failed(Reason::KeyMissing)),
            Answer::Failed => return Ok(KeyCheck::failed(Reason::KeyUnanswered)),
        };
        let mut found = KeyCheck::failed(Reason::KeyMissing);
        for record in records.iter().filter_map(text).filter(|text| is_key(text)).take(RECORDS_MAX) {
            let check = self.check_with(record, is_of_subdomain);
            if check.reason.is_none() {
                return Ok(check);
            }
            // What one key says of the signature tells more than that another record is no key.
            if matches!(found.reason, Some(Reason::KeyMissing | Reason::KeyBad)) {
                found = check;
            }
        }
        Ok(found)
    }

    fn check_with(&self, record: &[u8], is_of_subdomain: bool) -> KeyCheck {
        let key = match Key::parse(record) {
            Ok(key) => key,
            Err(reason) => return KeyCheck::failed(reason),
        };
        let reason = key.admits(self.algorithm, is_of_subdomain).and_then(|()| key.verify(self)).err();
        KeyCheck { reason, is_testing: key.is_testing }
    }
}

fn text(record: &Record) -> Option<&[u8]> {
    match record {
        Record::Txt(text) => Some(text),
        _ => None,
    }
}

/// Other records may share the name, as when a wildcard answers for it.
fn is_key(record: &[u8]) -> bool {
    let is_other = |tags: Tags<'_>| tags.value("p").is_none() && tags.value("v") != Some(b"DKIM1");
    record.len() > RECORD_BYTES_MAX || !Tags::parse(record).is_some_and(is_other)
}

/// A key record.
#[derive(Debug)]
struct Key<'a> {
    is_ed25519: bool,
    hashes: Option<&'a [u8]>,
    services: Option<&'a [u8]>,
    is_testing: bool,
    is_strict: bool,
    octets: Vec<u8>,
}

impl<'a> Key<'a> {
    fn parse(record: &'a [u8]) -> Result<Self, Reason> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(Reason::KeyLong);
        }
        let tags = Tags::parse(record).ok_or(Reason::KeyBad)?;
        if tags.value("v").is_some_and(|version| version != b"DKIM1" || tags.first() != Some(b"v")) {
            return Err(Reason::KeyBad);
        }
        let is_ed25519 = match tags.value("k") {
            None | Some(b"rsa") => false,
            Some(b"ed25519") => true,
            Some(_) => return Err(Reason::KeyOtherAlgorithm),
        };
        let value = tags.value("p").ok_or(Reason::KeyBad)?;
        if value.is_empty() {
            return Err(Reason::KeyRevoked);
        }
        let has_flag =
            |flag: &[u8]| tags.value("t").is_some_and(|flags| items(flags).any(|item| item == flag));
        Ok(Self {
            is_ed25519,
            hashes: tags.value("h"),
            services: tags.value("s"),
            is_testing: has_flag(b"y"),
            is_strict: has_flag(b"s"),
            octets: super::tags::base64(value).ok_or(Reason::KeyBad)?,
        })
    }

    /// What the domain wants its key used for.
    fn admits(&self, algorithm: Algorithm, is_of_subdomain: bool) -> Result<(), Reason> {
        let hash = algorithm.hash().name().as_bytes();
        let lists = |list: &[u8], wanted: &[u8]| items(list).any(|item| item == wanted);
        if self.is_ed25519 != (algorithm == Algorithm::Ed25519Sha256) {
            return Err(Reason::KeyOtherAlgorithm);
        }
        if self.hashes.is_some_and(|hashes| !lists(hashes, hash)) {
            return Err(Reason::KeyOtherHash);
        }
        if self.services.is_some_and(|services| !lists(services, b"*") && !lists(services, b"email")) {
            return Err(Reason::KeyOtherService);
        }
        if self.is_strict && is_of_subdomain { Err(Reason::KeyIdentityStrict) } else { Ok(()) }
    }

    fn verify(&self, signed: &Signed) -> Result<(), Reason> {
        self.is_sized()?;
        let with: &'static dyn VerificationAlgorithm = match signed.algorithm {
            Algorithm::RsaSha1 => &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::RsaSha256 => &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            Algorithm::Ed25519Sha256 => &ED25519,
        };
        let key = ParsedPublicKey::new(with, &self.octets).map_err(|_| Reason::KeyBad)?;
        let verified = if self.is_ed25519 {
            // What is signed is the digest itself (RFC 8463 §3).
            key.verify_sig(signed.digest.octets(), &signed.signature)
        } else {
            let digest = signed.digest.imported(signed.algorithm.hash()).ok_or(Reason::SignatureWrong)?;
            key.verify_digest_sig(&digest, &signed.signature)
        };
        verified.map_err(|_| Reason::SignatureWrong)
    }

    fn is_sized(&self) -> Result<(), Reason> {
        if self.is_ed25519 {
            return if self.octets.len() == ED25519_OCTETS { Ok(()) } else { Err(Reason::KeyBad) };
        }
        match modulus_bits(&self.octets).ok_or(Reason::KeyBad)? {
            0..RSA_BITS_MIN => Err(Reason::KeyShort),
            RSA_BITS_MIN..=RSA_BITS_MAX => Ok(()),
            _ => Err(Reason::KeyLong),
        }
    }
}

/// Bits of the modulus: of a SubjectPublicKeyInfo, or of the RSAPublicKey within it, which some
/// publish alone. The library reads the key itself; this only looks how large it is.
fn modulus_bits(der: &[u8]) -> Option<usize> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    const INTEGER: u8 = 0x02;
    let (outer, _) = element(der, SEQUENCE)?;
    let numbers = match element(outer, SEQUENCE) {
        Some((_, behind)) => element(element(behind, BIT_STRING)?.0.strip_prefix(&[0])?, SEQUENCE)?.0,
        None => outer,
    };
    let (modulus, _) = element(numbers, INTEGER)?;
    let zeros = modulus.iter().take_while(|octet| **octet == 0).count();
    let significant = modulus.get(zeros..)?;
    let top = significant.first()?;
    Some(significant.len() * 8 - usize::try_from(top.leading_zeros()).ok()?)
}

/// What is within an element with that tag, and what is behind it (X.690 §8.1).
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = der else { return None };
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}
