//! Users of a file ([`Users`]). argon2id (RFC 9106) runs on threads of its own, for it is slow on purpose.
//!
//! What must always hold: a user who does not exist costs as much and sounds the same as a wrong
//! password; no more than a few hashes are worked on at a time, and only so many wait.

use std::num::NonZeroU32;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use aws_lc_rs::{hmac, rand};
use base64_simd::URL_SAFE_NO_PAD;
use tokio::sync::Semaphore;

use super::{Outcome, Word};
use crate::policy::users::{User, Users};
use crate::smtp::sasl::{ScramKeys, Secret};

/// Hashes worked on at a time: each takes some 20 MiB and 20 ms.
pub(super) const AT_ONCE: usize = 2;
/// Those that may wait for their turn.
pub(super) const WAITING_MAX: usize = 64;
/// Octets of a nonce of SCRAM and of a salt.
const RANDOM_BYTES: usize = 18;
const NO_RANDOM: &str = "the system gives no random octets";
/// As RFC 7677 §4 recommends at least; more would slow down the client, not who steals the file.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not 0");

#[derive(Debug)]
pub(super) struct Passwords {
    users: Arc<Users>,
    /// Somebody nobody knows the password of: looked at in place of those who do not exist.
    nobody: User,
    /// Under which the salts of those are made.
    secret: hmac::Key,
    places: Semaphore,
    /// Of those that have a place, who is being looked at.
    pub(super) turns: Semaphore,
}

impl Passwords {
    pub(super) fn new(users: Arc<Users>) -> Result<Self, String> {
        let secret = random().ok_or(NO_RANDOM)?;
        let password = random().ok_or(NO_RANDOM)?;
        Ok(Self {
            users,
            nobody: enroll(&Secret::new(&password))?,
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            places: Semaphore::new(AT_ONCE + WAITING_MAX),
            turns: Semaphore::new(AT_ONCE),
        })
    }

    pub(super) async fn verify(&self, user: &str, password: Secret) -> Word {
        let Ok(place) = self.places.try_acquire() else { return Word::Unknown };
        let known = self.users.user(user);
        let hash = known.unwrap_or(&self.nobody).hash.clone();
        let Ok(turn) = self.turns.acquire().await else { return Word::Unknown };
        let looked = tokio::task::spawn_blocking(move || is_password(&hash, &password));
        let fits = looked.await.unwrap_or(false);
        drop((turn, place));
        if fits && known.is_some() { Word::Right } else { Word::Wrong }
    }

    /// The keys of `user`, or such as could be somebody's.
    pub(super) fn keys(&self, user: &str) -> Outcome {
        let Some(nonce) = random() else { return Outcome::Busy };
        let keys = self.users.user(user).and_then(|user| user.scram.clone());
        let keys = keys.unwrap_or_else(|| self.keys_of_nobody(user));
        Outcome::Keys { keys: Box::new(keys), nonce: URL_SAFE_NO_PAD.encode_to_string(nonce) }
    }

    /// The same for the same name, so that asking twice tells nothing.
    fn keys_of_nobody(&self, user: &str) -> ScramKeys {
        let salt = hmac::sign(&self.secret, user.as_bytes());
        let mut keys = self.nobody.scram.clone().unwrap_or_else(|| ScramKeys {
            salt: Vec::new(),
            iterations: ITERATIONS,
            stored_key: [0; 32],
            server_key: [0; 32],
        });
        keys.salt = salt.as_ref().iter().take(RANDOM_BYTES).copied().collect();
        keys
    }
}

/// What is stored of a new user.
///
/// # Errors
/// When the system gives no randomness, or argon2 cannot run; the text says so.
pub fn enroll(password: &Secret) -> Result<User, String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash = hash.map_err(|error| format!("argon2 does not run: {error}"))?.to_string();
    let salt = random().ok_or(NO_RANDOM)?;
    Ok(User { hash, scram: Some(ScramKeys::derive(password.as_bytes(), &salt, ITERATIONS)) })
}

fn is_password(hash: &str, password: &Secret) -> bool {
    let hash = PasswordHash::new(hash);
    hash.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

fn random() -> Option<[u8; RANDOM_BYTES]> {
    let mut bytes = [0; RANDOM_BYTES];
    rand::fill(&mut bytes).ok().map(|()| bytes)
}
