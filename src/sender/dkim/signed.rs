//! What a header signature is checked with: one value that can go where the key is looked up.
//!
//! RFC 6376 §3.5 (`a=`, `b=`, `d=`, `s=`) and §3.7 (what is hashed).

use super::canonical::{Canonical, field, signing_field};
use super::digest::{Digest, Hash, Hashing};
use super::outcome::Reason;
use super::tags::{Tags, base64};
use crate::sender::dns::{Kind, Name, Query};
use crate::sender::header_section::{Field, Fields};

const DOMAIN_BYTES_MAX: usize = 253;

/// How it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    RsaSha1,
    RsaSha256,
    /// RFC 8463.
    Ed25519Sha256,
}

impl Algorithm {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"rsa-sha1" => Some(Self::RsaSha1),
            b"rsa-sha256" => Some(Self::RsaSha256),
            b"ed25519-sha256" => Some(Self::Ed25519Sha256),
            _ => None,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaSha1 => "rsa-sha1",
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519Sha256 => "ed25519-sha256",
        }
    }

    pub const fn hash(self) -> Hash {
        match self {
            Self::RsaSha1 => Hash::Sha1,
            Self::RsaSha256 | Self::Ed25519Sha256 => Hash::Sha256,
        }
    }
}

/// A signature over a header, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub algorithm: Algorithm,
    /// `d=`.
    pub domain: Name,
    /// `s=`.
    pub selector: String,
    /// Where the key is.
    pub key: Query,
    pub(super) signature: Vec<u8>,
    pub(super) digest: Digest,
}

/// Who and how, as the tags say; nothing is hashed yet.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) algorithm: Algorithm,
    pub(crate) domain: Name,
    selector: String,
    key: Query,
    signature: Vec<u8>,
    /// Of `b=` in the value of the field.
    pub(crate) place: (usize, usize),
}

impl Claim {
    pub(crate) fn read(tags: &Tags<'_>) -> Result<Self, Reason> {
        let algorithm = Algorithm::parse(required(tags, "a")?).ok_or(Reason::Algorithm)?;
        let domain = domain(required(tags, "d")?).ok_or(Reason::TagBad("d"))?;
        let selector = selector(required(tags, "s")?).ok_or(Reason::TagBad("s"))?;
        let name = Name::parse(&format!("{selector}._domainkey.{domain}")).ok_or(Reason::TagBad("s"))?;
        let signature = base64(required(tags, "b")?).ok_or(Reason::TagBad("b"))?;
        let place = tags.place("b").ok_or(Reason::TagMissing("b"))?;
        Ok(Self { algorithm, domain, selector, key: Query::new(name, Kind::Txt), signature, place })
    }

    pub(crate) fn sign(self, digest: Digest) -> Signed {
        Signed {
            algorithm: self.algorithm,
            domain: self.domain,
            selector: self.selector,
            key: self.key,
            signature: self.signature,
            digest,
        }
    }
}

impl Signed {
    /// Octets that it takes in memory, as far as its signer says how many.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.selector.len() + self.signature.len()
    }
}

pub(crate) fn required<'a>(tags: &Tags<'a>, name: &'static str) -> Result<&'a [u8], Reason> {
    tags.value(name).ok_or(Reason::TagMissing(name))
}

/// A domain as RFC 6376 §3.5 has it; in characters beyond ASCII it is what the DNS knows it as
/// (RFC 8616 §3).
pub(crate) fn domain(text: &[u8]) -> Option<Name> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= DOMAIN_BYTES_MAX)?;
    if text.is_ascii() { host(text) } else { host(&idna::domain_to_ascii(text).ok()?) }
}

fn host(text: &str) -> Option<Name> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    text.split('.').all(is_label).then(|| Name::parse(text)).flatten()
}

fn selector(text: &[u8]) -> Option<String> {
    domain(text).map(|name| name.as_str().to_owned())
}

/// The header fields that a signature covers, hashed.
pub(crate) struct Covering<'a, 'b> {
    pub(crate) fields: &'a Fields<'b>,
    /// The one that carries the signature.
    pub(crate) own: Field<'b>,
    pub(crate) canonical: Canonical,
    /// Octets that may still be hashed for this message.
    pub(crate) effort: &'a mut usize,
}

impl<'b> Covering<'_, 'b> {
    /// Fields of one name are taken from the bottom up, one each time that the name is listed; a
    /// name with no field left stands for that there is none (RFC 6376 §5.4.2).
    pub(crate) fn digest(
        mut self,
        names: &[&[u8]],
        place: (usize, usize),
        hash: Hash,
    ) -> Result<Digest, Reason> {
        let mut text = Vec::with_capacity(2048);
        let mut taken = vec![0_u16; self.fields.all().len()];
        for name in names.iter().filter(|name| !name.is_empty()) {
            let Some(found) = self.next(name, &mut taken) else { continue };
            self.spend(found.raw.len())?;
            field(self.canonical, &found, &mut text);
        }
        self.spend(self.own.raw.len())?;
        signing_field(self.canonical, &self.own, place, &mut text);
        let mut hashing = Hashing::new(hash);
        hashing.update(&text);
        Ok(hashing.digest())
    }

    fn next(&self, name: &[u8], taken: &mut [u16]) -> Option<Field<'b>> {
        let (group, places) = self.fields.places(name);
        let taken = taken.get_mut(group)?;
        loop {
            let place = places.get(places.len().checked_sub(1 + usize::from(*taken))?)?;
            *taken += 1;
            let found = self.fields.all().get(usize::from(*place))?;
            if !std::ptr::eq(found.raw, self.own.raw) {
                return Some(*found);
            }
        }
    }

    fn spend(&mut self, octets: usize) -> Result<(), Reason> {
        *self.effort = self.effort.checked_sub(octets).ok_or(Reason::TooMuch)?;
        Ok(())
    }
}
