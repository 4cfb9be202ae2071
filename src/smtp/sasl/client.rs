//! AUTH toward a server: the client's half of the mechanisms. RFC 4954; PLAIN RFC 4616, SCRAM-SHA-256
//! RFC 5802 and RFC 7677, EXTERNAL RFC 4422 appendix A.
//!
//! Pure: whoever speaks with the server brings a nonce and its challenges, decoded from base64.
//!
//! What must always hold: a secret is in no `Debug` text and is overwritten when it is dropped; a
//! server that has to prove that it knows the password is believed only when it has ([`Exchange::is_done`]).

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use aws_lc_rs::constant_time;
use base64_simd::STANDARD;
use zeroize::Zeroizing;

use super::Secret;
use super::scram::{DIGEST_BYTES, client_proof, decode, is_nonce, salted_password, sign};

/// RFC 7677 §4 asks for 4096 at least: with fewer, a server that is none would have the password soon. More
/// than these would keep a worker busy for longer than others should wait.
const ITERATIONS: RangeInclusive<u32> = 4096..=65_536;
/// Octets of a salt.
const SALT_BYTES_MAX: usize = 256;
/// What says that nothing is bound to the channel, in base64 where it comes back: `n,,`.
const HEADER: &str = "n,,";
const HEADER_BASE64: &str = "biws";

/// By what we prove who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Means {
    ScramSha256,
    Plain,
    /// The certificate that was shown in the handshake says it all.
    External,
}

impl Means {
    pub const ALL: [Self; 3] = [Self::ScramSha256, Self::Plain, Self::External];

    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::External => "EXTERNAL",
        }
    }

    /// Whether it is for a server alone that has proven who it is.
    pub const fn needs_proof(self) -> bool {
        !matches!(self, Self::ScramSha256)
    }

    /// Whether it is among the mechanisms that a server announces.
    pub fn is_announced(self, mechanisms: &[u8]) -> bool {
        let mut words = mechanisms.split(|byte| *byte == b' ');
        words.any(|word| word.eq_ignore_ascii_case(self.name().as_bytes()))
    }
}

/// Who we are to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// With EXTERNAL whom we want to speak for; empty: whom the certificate names.
    pub user: String,
    /// Not looked at with EXTERNAL.
    pub password: Secret,
}

/// The server cannot be followed any longer, or is none that knows the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distrust;

/// What is made of a password at great cost: the same for every connection with the same salt.
#[derive(Clone)]
pub struct Derived {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    client_key: Zeroizing<[u8; DIGEST_BYTES]>,
    server_key: Zeroizing<[u8; DIGEST_BYTES]>,
}

impl fmt::Debug for Derived {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Derived(…)")
    }
}

/// Octets that answer a challenge, or begin.
pub type Response = Zeroizing<Vec<u8>>;

/// One AUTH command, from its first word to its outcome.
#[derive(Debug)]
pub struct Exchange {
    step: Step,
    scram: Option<Box<Scram>>,
}

#[derive(Debug)]
enum Step {
    /// What comes first was not said yet.
    Begin(Secret),
    /// The server's first message is awaited.
    First,
    /// The server's last message is awaited: that it knows the password.
    Last,
    /// Nothing is left but the server's word.
    Said,
}

#[derive(Debug)]
struct Scram {
    password: Secret,
    known: Option<Derived>,
    client_first: String,
    nonce: String,
    /// What the server has to sign with.
    signature: Zeroizing<Vec<u8>>,
}

impl Exchange {
    /// `nonce` is fresh and cannot be guessed: visible ASCII without a comma. `known` is what an earlier
    /// exchange with the same credentials left ([`take_derived`](Self::take_derived)).
    pub fn begin(means: Means, credentials: &Credentials, nonce: &str, known: Option<Derived>) -> Self {
        let Credentials { user, password } = credentials;
        let (first, scram) = match means {
            Means::External => (Zeroizing::new(user.as_bytes().to_vec()), None),
            Means::Plain => (plain(user, password), None),
            Means::ScramSha256 => {
                let client_first = format!("n={},r={nonce}", escape(user));
                let first = Zeroizing::new([HEADER, &client_first].concat().into_bytes());
                let (nonce, signature) = (nonce.to_owned(), Zeroizing::default());
                let password = password.clone();
                (first, Some(Box::new(Scram { password, known, client_first, nonce, signature })))
            }
        };
        Self { step: Step::Begin(Secret::new(&first)), scram }
    }

    /// What goes with the command itself, if it has no more than `octets_max`; else it is owed to an empty
    /// challenge (RFC 4954 §4).
    pub fn initial(&mut self, octets_max: usize) -> Option<Response> {
        match &self.step {
            Step::Begin(first) if first.as_bytes().len() <= octets_max => self.first(),
            _ => None,
        }
    }

    fn first(&mut self) -> Option<Response> {
        let next = if self.scram.is_some() { Step::First } else { Step::Said };
        match std::mem::replace(&mut self.step, next) {
            Step::Begin(first) => Some(Zeroizing::new(first.as_bytes().to_vec())),
            other => {
                self.step = other;
                None
            }
        }
    }

    /// Takes a challenge and gives what answers it.
    ///
    /// # Errors
    /// When it is not what the mechanism has at this point, or the server is not who it should be.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Response, Distrust> {
        match (&self.step, &mut self.scram) {
            (Step::Begin(_), _) if challenge.is_empty() => self.first().ok_or(Distrust),
            (Step::First, Some(scram)) => {
                let response = scram.take_first(challenge).ok_or(Distrust)?;
                self.step = Step::Last;
                Ok(response)
            }
            (Step::Last, Some(scram)) if scram.is_signature(challenge) => {
                self.step = Step::Said;
                Ok(Zeroizing::default())
            }
            _ => Err(Distrust),
        }
    }

    /// Whether all was said, and the server has proven what it has to: now its yes is one.
    pub const fn is_done(&self) -> bool {
        matches!(self.step, Step::Said)
    }

    /// What need not be made once more.
    pub fn take_derived(&mut self) -> Option<Derived> {
        self.scram.as_mut().and_then(|scram| scram.known.take())
    }
}

impl Scram {
    /// `r=nonce,s=salt,i=iterations`; extensions behind are passed over, a mandatory one in front is not.
    fn take_first(&mut self, challenge: &[u8]) -> Option<Response> {
        let message = str::from_utf8(challenge).ok()?;
        let mut attributes = message.split(',');
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let ours = nonce.strip_prefix(self.nonce.as_str());
        // Ours, and something of theirs behind it.
        ours.filter(|theirs| is_nonce(theirs))?;
        let salt = attributes.next()?.strip_prefix("s=").map(decode)??;
        let iterations = attributes.next()?.strip_prefix("i=")?.parse().ok()?;
        let is_salt = (1..=SALT_BYTES_MAX).contains(&salt.len());
        let iterations = Some(iterations).filter(|count| is_salt && ITERATIONS.contains(count))?;
        let derived = self.derive(salt, NonZeroU32::new(iterations)?);
        let without_proof = format!("c={HEADER_BASE64},r={nonce}");
        let said = [&self.client_first, ",", message, ",", &without_proof].concat();
        let proof = client_proof(&derived.client_key, said.as_bytes());
        self.signature = Zeroizing::new(sign(derived.server_key.as_slice(), said.as_bytes()).to_vec());
        self.known = Some(derived);
        Some(Zeroizing::new(format!("{without_proof},p={}", STANDARD.encode_to_string(proof)).into_bytes()))
    }

    fn derive(&mut self, salt: Vec<u8>, iterations: NonZeroU32) -> Derived {
        let known = self.known.take();
        if let Some(known) = known.filter(|known| known.salt == salt && known.iterations == iterations) {
            return known;
        }
        let salted = salted_password(self.password.as_bytes(), &salt, iterations);
        let client_key = Zeroizing::new(sign(salted.as_slice(), b"Client Key"));
        let server_key = Zeroizing::new(sign(salted.as_slice(), b"Server Key"));
        Derived { salt, iterations, client_key, server_key }
    }

    /// `v=signature`; `e=` says why not.
    fn is_signature(&self, challenge: &[u8]) -> bool {
        let text = challenge.strip_prefix(b"v=").and_then(|text| str::from_utf8(text).ok());
        let signature = text.and_then(|text| decode(text.split(',').next().unwrap_or_default()));
        signature.is_some_and(|signature| {
            constant_time::verify_slices_are_equal(&signature, &self.signature).is_ok()
        })
    }
}

/// RFC 4616 §2: a user who speaks for nobody else, and the password.
pub fn plain(user: &str, password: &Secret) -> Response {
    Zeroizing::new([b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat())
}

/// RFC 5802 §5.1.
fn escape(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C")
}

#[cfg(test)]
mod tests;
