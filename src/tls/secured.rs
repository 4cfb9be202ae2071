//! What a handshake established: plain facts, for rules, records and the `Received` field.
//!
//! Text in here came from the peer. It has no control characters, and is bounded; whoever writes it
//! into a header or a line escapes it all the same.

use std::fmt;

/// Which protocol is spoken. There are no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    Tls12,
    Tls13,
}

impl Version {
    /// As Postfix, OpenSSL and readers of `Received` fields know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }
}

/// The result of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    pub version: Version,
    /// By its registered name, as `TLS_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
    /// Of the key.
    pub cipher_bits: u16,
    /// By its registered name, as `X25519MLKEM768`; empty where an old session was resumed without
    /// a new exchange.
    pub key_exchange: &'static str,
    /// The name a client asked for (SNI), or that we asked for.
    pub server_name: Option<Box<str>>,
    /// No certificates were exchanged: those of the session that was resumed hold.
    pub is_resumed: bool,
    /// Whom we speak with, if it showed a certificate.
    pub peer: Option<Box<Peer>>,
}

impl Secured {
    /// How the peer's certificate was judged.
    pub fn trust(&self) -> Trust {
        self.peer.as_ref().map_or(Trust::None, |peer| peer.trust)
    }
}

impl fmt::Display for Secured {
    /// `TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128 bits), key exchange X25519`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} with cipher {} ({} bits)", self.version.name(), self.cipher, self.cipher_bits)?;
        if self.key_exchange.is_empty() {
            Ok(())
        } else {
            write!(out, ", key exchange {}", self.key_exchange)
        }
    }
}

/// The certificate a peer showed, and holds the key of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// SHA-256 of the certificate.
    pub certificate: Fingerprint,
    /// SHA-256 of its public key (SubjectPublicKeyInfo).
    pub key: Fingerprint,
    /// The subject's common name; empty if it has none.
    pub common_name: Box<str>,
    /// The issuer's common name; empty if it has none.
    pub issuer: Box<str>,
    /// Subject alternative names: DNS names, mail and IP addresses.
    pub names: Vec<Box<str>>,
    pub trust: Trust,
}

/// Why a certificate is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// It is not: nobody asked, or it did not prove what was asked.
    None,
    /// A known authority issued it, for the expected name where there is one.
    Authority,
    /// Its fingerprint, or that of its key, is listed.
    Pinned,
    /// A TLSA record says so.
    Dane,
}

impl Trust {
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Authority => "authority",
            Self::Pinned => "pinned",
            Self::Dane => "dane",
        }
    }

    pub const fn is_verified(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// SHA-256 of a certificate or of its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// 64 hexadecimal digits, with or without colons between the octets.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let mut octets = [0; 32];
        if digits.len() != 2 * octets.len() {
            return None;
        }
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble =
                |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            *octet = nibble(*pair.first()?)? << 4 | nibble(*pair.last()?)?;
        }
        Some(Self(octets))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(out, "{octet:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn fingerprints_are_read_with_and_without_colons() {
        let plain = "00ff".repeat(16);
        let colons = ["00:FF"; 16].join(":");
        for text in [&plain, &colons] {
            assert_eq!(Fingerprint::parse(text).map(|print| print.to_string()), Some(plain.clone()));
        }
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"ä".repeat(32)] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }
}
