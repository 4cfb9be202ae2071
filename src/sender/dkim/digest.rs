//! The hashes of DKIM (RFC 6376 §3.3, RFC 8301), as values that can be sent and compared.

use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

const OCTETS_MAX: usize = 32;

/// A hash algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// Broken: evaluated, but what it signed is not believed (RFC 8301 §3.1).
    Sha1,
    Sha256,
}

impl Hash {
    pub(super) const ALL: [Self; 2] = [Self::Sha1, Self::Sha256];

    pub(super) const fn octets(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => OCTETS_MAX,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    const fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &SHA256,
        }
    }
}

/// What a hash gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    octets: [u8; OCTETS_MAX],
    length: usize,
}

impl Digest {
    /// None if no hash gives so many octets.
    pub(super) fn from_octets(from: &[u8], hash: Hash) -> Option<Self> {
        let mut octets = [0; OCTETS_MAX];
        let length = hash.octets();
        octets.get_mut(..length).filter(|_| from.len() == length)?.copy_from_slice(from);
        Some(Self { octets, length })
    }

    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    /// As the library takes it.
    pub(crate) fn imported(&self, hash: Hash) -> Option<aws_lc_rs::digest::Digest> {
        aws_lc_rs::digest::Digest::import_less_safe(self.octets(), hash.algorithm()).ok()
    }
}

/// A hash at work.
#[derive(Clone)]
pub(crate) struct Hashing {
    hash: Hash,
    context: Context,
}

impl Hashing {
    pub(crate) fn new(hash: Hash) -> Self {
        Self { hash, context: Context::new(hash.algorithm()) }
    }

    pub(crate) fn update(&mut self, octets: &[u8]) {
        self.context.update(octets);
    }

    pub(super) const fn hash(&self) -> Hash {
        self.hash
    }

    /// Of what has come so far.
    pub(crate) fn digest(&self) -> Digest {
        let found = self.context.clone().finish();
        let mut octets = [0; OCTETS_MAX];
        octets.iter_mut().zip(found.as_ref()).for_each(|(to, from)| *to = *from);
        Digest { octets, length: self.hash.octets() }
    }
}

impl std::fmt::Debug for Hashing {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.hash.name())
    }
}
