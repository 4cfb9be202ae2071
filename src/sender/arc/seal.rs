//! One more set for a message that goes on: what we found, signed and sealed.
//!
//! RFC 8617 §5.1. The set goes in front of the message; so only one that is still held whole, with its
//! body's digest known, can be sealed. Keys are PEM: PKCS#8, or PKCS#1 for RSA.
//!
//! Invariant: what is sealed is what was found, and a chain that was broken is sealed as failed, by itself and
//! once, so that nobody later can take it for whole (§5.1.2).

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};

use super::{SETS_MAX, Set, Validation, is_over, newest, sets};
use crate::sender::dkim::{Algorithm, BodyForm, Canonical, Digest, Hash, Hashing, canonical_field};
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

impl KeyFault {
    /// For people, behind the name of the file.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotPem => "holds no private key in PEM",
            Self::Unknown => {
                "is neither an RSA key of 2048 to 8192 bits nor an Ed25519 key, in PKCS#8 or PKCS#1"
            }
        }
    }
}

/// Why a message has no set of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsealed {
    /// It began to stream before all was known.
    Streamed,
    /// What its sets are worth could not be asked.
    Unsure,
    /// Its sets were sealed as failed: none follows them.
    Over,
    /// It has as many sets as there can be.
    Full,
    /// Its header section is longer, or has more fields, than what is signed.
    TooLong,
    /// Too many wait to be sealed.
    Busy,
    /// The key did not sign.
    Refused,
}

impl Unsealed {
    /// For records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Streamed => "streamed",
            Self::Unsure => "unsure",
            Self::Over => "over",
            Self::Full => "sets",
            Self::TooLong => "header",
            Self::Busy => "busy",
            Self::Refused => "refused",
        }
    }
}

impl PartialEq for Sealer {
    fn eq(&self, other: &Self) -> bool {
        let named = (&self.domain, &self.selector) == (&other.domain, &other.selector);
        named && self.key.public() == other.key.public()
    }
}

impl Key {
    fn public(&self) -> &[u8] {
        match self {
            Self::Rsa(key) => key.public_key().as_ref(),
            Self::Ed25519(key) => key.public_key().as_ref(),
        }
    }

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

    /// The three fields, to be put in front of the message. `validation` is what was found of the sets so
    /// far; `results` all that we found, as Authentication-Results; `now` in seconds since 1970.
    ///
    /// # Errors
    /// Why there are none.
    pub fn seal(
        &self,
        fields: &mut Fields<'_>,
        validation: Validation,
        results: &str,
        body: &Digest,
        now: u64,
    ) -> Result<String, Unsealed> {
        if is_over(fields) {
            return Err(Unsealed::Over);
        }
        let at = newest(fields) + 1;
        if at > SETS_MAX {
            return Err(Unsealed::Full);
        }
        // What failed cannot be put in order, and is not covered (§5.1.2).
        let before = if validation == Validation::Pass { sets(fields).ok() } else { Some(Vec::new()) };
        let before = before.ok_or(Unsealed::Unsure)?;
        fields.index();
        if signed_names(fields).count() > NAMES_MAX {
            return Err(Unsealed::TooLong);
        }
        let results = results.strip_prefix("Authentication-Results:").ok_or(Unsealed::Refused)?.trim_start();
        let results = format!("ARC-Authentication-Results: i={at};\r\n\t{results}");
        let sealed = self.message(fields, at, body, now).and_then(|message| {
            let seal = self.seal_field(&before, &[&results, &message], (at, validation, now))?;
            Some([seal, message, results].concat())
        });
        sealed.ok_or(Unsealed::Refused)
    }

    fn who(&self, at: usize, now: u64) -> String {
        let algorithm = self.key.algorithm().name();
        format!("i={at}; a={algorithm}; t={now};\r\n\td={};\r\n\ts={};", self.domain, self.selector)
    }

    fn message(&self, fields: &Fields<'_>, at: usize, body: &Digest, now: u64) -> Option<String> {
        let mut text = Vec::with_capacity(2048);
        let mut names: Vec<&str> = Vec::new();
        for (name, place) in signed_names(fields) {
            names.push(name);
            canonical_field(Canonical::Relaxed, fields.all().get(place)?, &mut text);
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
        (at, validation, now): (usize, Validation, u64),
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
        self.signed(format!("ARC-Seal: {}\r\n\tcv={}; b=", self.who(at, now), validation.name()), hashing)
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

/// Fields that are signed, in their order, and where they stand. Those of one name from below, as whoever
/// verifies takes them.
fn signed_names<'f>(fields: &'f Fields<'_>) -> impl Iterator<Item = (&'static str, usize)> + 'f {
    SIGNED.iter().flat_map(|name| {
        let places = fields.places(name.as_bytes()).1.iter().rev();
        places.map(|place| (*name, usize::from(*place)))
    })
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
