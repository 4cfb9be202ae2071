//! One more set for a message that goes on: what we found, signed and sealed.
//!
//! RFC 8617 §5.1. The set goes in front of the message; so only one that is still held whole, with its
//! body's digest known, can be sealed. Keys are PEM: PKCS#8, or PKCS#1 for RSA.
//!
//! Invariant: what is sealed is what [`Reading`] found, and a chain that was broken is sealed as failed, by
//! itself, so that nobody later can take it for whole (§5.1.2).

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256};

use super::{Reading, SETS_MAX, Set, sets};
use crate::sender::auth_results::AuthResults;
use crate::sender::dkim::{Algorithm, BodyForm, Canonical, Digest, Hash, Hashing, Outcome, canonical_field};
use crate::sender::dns::Name;
use crate::sender::header_section::Fields;

/// Fields that the signature covers where they are there, and not more of them than are (§4.1.2). Fields
/// that change on the way, and other sets, are not.
const SIGNED: &[&str] = &[
    "from",
    "reply-to",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "dkim-signature",
];
/// Fields that a signature of ours covers. Whoever reads it may have a bound of its own; nothing honest has
/// more.
const NAMES_MAX: usize = 256;
/// Characters of base64 on a line.
const LINE_CHARS: usize = 72;

/// The digest that a seal needs of the body.
pub const BODY_FORM: BodyForm = BodyForm { canonical: Canonical::Relaxed, hash: Hash::Sha256, length: None };

/// Seals in the name of one domain.
#[derive(Debug)]
pub struct Sealer {
    domain: Name,
    selector: String,
    key: Key,
}

enum Key {
    Rsa(Box<KeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.algorithm().name())
    }
}

/// Why nothing can be sealed with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    NotPem,
    /// Neither an RSA key of 2048 to 8192 bits nor an Ed25519 key.
    Unknown,
}

impl Key {
    fn read(pem: &str) -> Result<Self, KeyFault> {
        let der = decoded(pem).ok_or(KeyFault::NotPem)?;
        if let Ok(key) = KeyPair::from_pkcs8(&der).or_else(|_| KeyPair::from_der(&der)) {
            return Ok(Self::Rsa(Box::new(key)));
        }
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| KeyFault::Unknown)?;
        Ok(Self::Ed25519(Box::new(key)))
    }

    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::RsaSha256,
            Self::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// None if the library refuses.
    fn sign(&self, hashing: &Hashing) -> Option<Vec<u8>> {
        let digest = hashing.digest();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let digest = digest.imported(Hash::Sha256)?;
                key.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature).ok()?;
                Some(signature)
            }
            Self::Ed25519(key) => Some(key.sign(digest.octets()).as_ref().to_vec()),
        }
    }
}

/// What is between the first line that begins a private key and the one that ends it.
fn decoded(pem: &str) -> Option<Vec<u8>> {
    let lines = pem.lines().map(str::trim);
    let is_begin = |line: &&str| line.starts_with("-----BEGIN ") && line.ends_with("PRIVATE KEY-----");
    let mut inside = lines.skip_while(|line| !is_begin(line)).skip(1);
    let mut text = String::new();
    loop {
        match inside.next()? {
            line if line.starts_with("-----END ") => break,
            line => text.push_str(line),
        }
    }
    base64_simd::STANDARD.decode_to_vec(text).ok()
}

impl Sealer {
    /// # Errors
    /// What is wrong with the key.
    pub fn new(domain: Name, selector: &str, pem: &str) -> Result<Self, KeyFault> {
        Ok(Self { domain, selector: selector.to_owned(), key: Key::read(pem)? })
    }

    /// The three fields, to be put in front of the message. `results` is what we found, the chain too;
    /// `chain` what was found of the chain so far; `now` in seconds
    /// since 1970. None if there is nothing to seal any more: the chain has no room, was sealed as
    /// failed, or its sets cannot be told apart.
    pub fn seal(
        &self,
        fields: &mut Fields<'_>,
        reading: &Reading,
        chain: Outcome,
        results: &AuthResults,
        body: &Digest,
        now: u64,
    ) -> Option<String> {
        let before = sets(fields).ok().filter(|sets| sets.len() < SETS_MAX)?;
        let validation = match (reading, chain) {
            (Reading::None, _) => "none",
            (Reading::Chain(_), Outcome::Pass) => "pass",
            (Reading::Chain(_), Outcome::Fail) => "fail",
            _ => return None,
        };
        fields.index();
        let at = before.len() + 1;
        let results = results.clone().finish();
        let results = results.strip_prefix("Authentication-Results:")?.trim_start();
        let results = format!("ARC-Authentication-Results: i={at};\r\n\t{results}");
        let message = self.message(fields, at, body, now)?;
        let covered = if validation == "fail" { &[][..] } else { &before[..] };
        let seal = self.seal_field(covered, &[&results, &message], (at, validation, now))?;
        Some([seal, message, results].concat())
    }

    fn who(&self, at: usize, now: u64) -> String {
        let algorithm = self.key.algorithm().name();
        format!("i={at}; a={algorithm}; t={now};\r\n\td={};\r\n\ts={};", self.domain, self.selector)
    }

    fn message(&self, fields: &Fields<'_>, at: usize, body: &Digest, now: u64) -> Option<String> {
        let mut text = Vec::with_capacity(2048);
        let mut names: Vec<&str> = Vec::new();
        for name in SIGNED {
            for place in fields.places(name.as_bytes()).1.iter().rev() {
                names.push(name);
                canonical_field(Canonical::Relaxed, fields.all().get(usize::from(*place))?, &mut text);
            }
        }
        if names.len() > NAMES_MAX {
            return None;
        }
        let hash = base64_simd::STANDARD.encode_to_string(body.octets());
        let field = format!(
            "ARC-Message-Signature: {}\r\n\tc=relaxed/relaxed; bh={hash};\r\n\th={};\r\n\tb=",
            self.who(at, now),
            folded(&names),
        );
        let mut hashing = Hashing::new(Hash::Sha256);
        hashing.update(&text);
        self.signed(field, hashing)
    }

    fn seal_field(
        &self,
        before: &[Set<'_>],
        own: &[&str],
        (at, validation, now): (usize, &str, u64),
    ) -> Option<String> {
        let mut text = Vec::with_capacity(4096);
        for field in before.iter().flat_map(|set| [set.results, set.signature, set.seal]) {
            canonical_field(Canonical::Relaxed, &field?, &mut text);
        }
        for field in own {
            canonical(field, &mut text)?;
        }
        let mut hashing = Hashing::new(Hash::Sha256);
        hashing.update(&text);
        self.signed(format!("ARC-Seal: {}\r\n\tcv={validation}; b=", self.who(at, now)), hashing)
    }

    /// The field with its signature, which covers what was hashed and the field without it.
    fn signed(&self, mut field: String, mut hashing: Hashing) -> Option<String> {
        let mut text = Vec::with_capacity(field.len());
        canonical(&field, &mut text)?;
        hashing.update(text.strip_suffix(b"\r\n")?);
        let signature = base64_simd::STANDARD.encode_to_string(self.key.sign(&hashing)?);
        for line in signature.as_bytes().chunks(LINE_CHARS) {
            field.push_str("\r\n\t");
            field.extend(line.iter().copied().map(char::from));
        }
        field.push_str("\r\n");
        Some(field)
    }
}

/// Names with colons between, in lines that are not too long.
fn folded(names: &[&str]) -> String {
    let (mut text, mut column) = (String::new(), 2);
    for (at, name) in names.iter().enumerate() {
        if column + name.len() > LINE_CHARS {
            text.push_str("\r\n\t");
            column = 1;
        }
        text.push_str(if at == 0 { "" } else { ":" });
        text.push_str(name);
        column += name.len() + 1;
    }
    text
}

fn canonical(field: &str, out: &mut Vec<u8>) -> Option<()> {
    let fields = Fields::read(field.as_bytes()).ok()?;
    canonical_field(Canonical::Relaxed, fields.all().first()?, out);
    Some(())
}
