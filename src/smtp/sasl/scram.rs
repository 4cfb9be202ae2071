//! SCRAM-SHA-256, the server's half (RFC 5802, RFC 7677), without channel binding.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac};
use base64_simd::STANDARD;
use zeroize::Zeroizing;

use super::{Refusal, Step, word};

/// SHA-256.
pub(super) const DIGEST_BYTES: usize = 32;
/// Octets of a client's nonce.
const NONCE_BYTES_MAX: usize = 255;
/// RFC 5802 §7: the client would say `y` if it could bind and thought that we cannot.
const HEADERS: [&str; 2] = ["n,", "y,"];

/// What is stored of a user instead of a password (RFC 5802 §3).
///
/// For a user who does not exist whoever is asked gives some that nobody has the password of, with a
/// salt that is the same each time: else the challenge would tell who exists.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    pub salt: Vec<u8>,
    pub iterations: NonZeroU32,
    pub stored_key: [u8; DIGEST_BYTES],
    pub server_key: [u8; DIGEST_BYTES],
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ScramKeys(…)")
    }
}

impl ScramKeys {
    /// Those of `password`.
    pub fn derive(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let salted = salted_password(password, salt, iterations);
        Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: sha256(&sign(salted.as_slice(), b"Client Key")),
            server_key: sign(salted.as_slice(), b"Server Key"),
        }
    }
}

/// One exchange. The messages are kept as they were sent, for the proof is over them.
#[derive(Debug, Default)]
pub(super) struct Scram {
    user: String,
    /// `n,,` or with an identity: it comes back in the last message.
    header: String,
    client_first: String,
    client_nonce: String,
    server: Option<Server>,
}

#[derive(Debug)]
struct Server {
    keys: ScramKeys,
    first: String,
    nonce: String,
    /// The client was right, and has our signature to acknowledge.
    is_proven: bool,
}

impl Scram {
    pub(super) fn respond(&mut self, response: &[u8]) -> Step {
        let Ok(message) = str::from_utf8(response) else { return Step::Refused(Refusal::Malformed) };
        let step = match &self.server {
            None if self.client_first.is_empty() => self.take_first(message),
            None => None,
            Some(server) if server.is_proven => {
                message.is_empty().then(|| Step::Accepted { user: std::mem::take(&mut self.user) })
            }
            Some(_) => self.take_final(message),
        };
        step.unwrap_or(Step::Refused(Refusal::Malformed))
    }

    /// `n,[a=other],n=user,r=nonce`; extensions behind are passed over, mandatory ones refused.
    fn take_first(&mut self, message: &str) -> Option<Step> {
        let header = HEADERS.into_iter().find(|header| message.starts_with(header))?;
        let (other, bare) = message[header.len()..].split_once(',')?;
        let mut attributes = bare.split(',');
        let user = attributes.next()?.strip_prefix("n=").and_then(unescape)?;
        let nonce = attributes.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?;
        if let Some(other) = other.strip_prefix("a=") {
            if unescape(other)? != user {
                return Some(Step::Refused(Refusal::OtherIdentity));
            }
        } else if !other.is_empty() {
            return None;
        }
        header.len().checked_add(other.len() + 1).map(|end| self.header = message[..end].to_owned())?;
        self.client_first = bare.to_owned();
        self.client_nonce = nonce.to_owned();
        self.user = word(user.as_bytes())?;
        Some(Step::Keys { user: self.user.clone() })
    }

    pub(super) fn take_keys(&mut self, keys: ScramKeys, nonce: &str) -> Step {
        if self.client_first.is_empty() || self.server.is_some() {
            return Step::Refused(Refusal::Malformed);
        }
        let nonce = format!("{}{nonce}", self.client_nonce);
        let salt = STANDARD.encode_to_string(&keys.salt);
        let first = format!("r={nonce},s={salt},i={}", keys.iterations);
        let challenge = first.clone().into_bytes();
        self.server = Some(Server { keys, first, nonce, is_proven: false });
        Step::Challenge(challenge)
    }

    /// `c=header,r=nonce,p=proof`; the proof is last (RFC 5802 §7).
    fn take_final(&mut self, message: &str) -> Option<Step> {
        let server = self.server.as_mut()?;
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next()?.strip_prefix("c=").map(decode)??;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let proof = decode(proof)?;
        let said = [&self.client_first, ",", &server.first, ",", without_proof].concat();
        let fits = binding == self.header.as_bytes() && nonce == server.nonce;
        if !fits || !is_proof(&server.keys.stored_key, said.as_bytes(), &proof) {
            return Some(Step::Refused(Refusal::WrongProof));
        }
        server.is_proven = true;
        let signature = sign(&server.keys.server_key, said.as_bytes());
        Some(Step::Challenge(format!("v={}", STANDARD.encode_to_string(signature)).into_bytes()))
    }
}

/// RFC 5802 §3, what takes long on purpose: all else is made of it.
pub(super) fn salted_password(
    password: &[u8],
    salt: &[u8],
    iterations: NonZeroU32,
) -> Zeroizing<[u8; DIGEST_BYTES]> {
    let mut salted = Zeroizing::new([0; DIGEST_BYTES]);
    let algorithm = aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256;
    aws_lc_rs::pbkdf2::derive(algorithm, iterations, salt, password, salted.as_mut_slice());
    salted
}

/// RFC 5802 §3: the client's key under a mask that only who has the key can make.
pub(super) fn client_proof(client_key: &[u8; DIGEST_BYTES], said: &[u8]) -> [u8; DIGEST_BYTES] {
    masked(client_key, &sha256(client_key), said)
}

/// With the proof it gives the key, with the key the proof.
fn masked(one: &[u8; DIGEST_BYTES], stored_key: &[u8; DIGEST_BYTES], said: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut mask = sign(stored_key, said);
    mask.iter_mut().zip(one).for_each(|(mask, byte)| *mask ^= byte);
    mask
}

fn is_proof(stored_key: &[u8; DIGEST_BYTES], said: &[u8], proof: &[u8]) -> bool {
    let Ok(proof) = <[u8; DIGEST_BYTES]>::try_from(proof) else { return false };
    let client_key = masked(&proof, stored_key, said);
    constant_time::verify_slices_are_equal(&sha256(&client_key), stored_key).is_ok()
}

/// Visible ASCII without a comma.
pub(super) fn is_nonce(text: &str) -> bool {
    let is_visible = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    (1..=NONCE_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_visible)
}

/// `=2C` is a comma, `=3D` an equals sign, and nothing else is escaped (RFC 5802 §5.1).
fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = part.split_at_checked(2)?;
        plain.push(match escaped {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode_to_vec(text).ok()
}

pub(super) fn sign(key: &[u8], message: &[u8]) -> [u8; DIGEST_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    first_bytes(tag.as_ref())
}

fn sha256(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    first_bytes(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn first_bytes(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut digest = [0; DIGEST_BYTES];
    digest.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    digest
}
