//! Whether a password is right. Users come from a file ([`Users`]); argon2id (RFC 9106) runs on
//! threads of its own, for it is slow on purpose.
//!
//! What must always hold: a user who does not exist costs as much and sounds the same as a wrong
//! password; guessing is slowed for each network, and ends for a while after [`attempts`]' bound;
//! no more than a few hashes are worked on at a time, and only so many wait.

mod attempts;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use aws_lc_rs::{hmac, rand};
use base64_simd::URL_SAFE_NO_PAD;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::policy::users::{User, Users};
use crate::smtp::sasl::{ScramKeys, Secret};

pub use crate::relay::auth::Outcome;

use attempts::Attempts;

/// Hashes worked on at a time: each takes some 20 MiB and 20 ms.
const AT_ONCE: usize = 2;
/// Those that may wait for their turn.
const WAITING_MAX: usize = 64;
/// Octets of a nonce of SCRAM and of a salt.
const RANDOM_BYTES: usize = 18;
/// As RFC 7677 §4 recommends at least; more would slow down the client, not who steals the file.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not 0");

#[derive(Debug)]
pub struct Authenticator {
    users: Arc<Users>,
    /// Somebody nobody knows the password of: looked at in place of those who do not exist.
    nobody: User,
    /// Under which the salts of those are made.
    secret: hmac::Key,
    attempts: Attempts,
    places: Semaphore,
    /// Of those that have a place, who is being looked at.
    turns: Semaphore,
}

impl Authenticator {
    /// # Errors
    /// When the system gives no randomness, or argon2 cannot run; the text says so.
    pub fn new(users: Arc<Users>) -> Result<Self, String> {
        let secret = random().ok_or("the system gives no random octets")?;
        let password = random().ok_or("the system gives no random octets")?;
        Ok(Self {
            users,
            nobody: enroll(&Secret::new(&password))?,
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            attempts: Attempts::default(),
            places: Semaphore::new(AT_ONCE + WAITING_MAX),
            turns: Semaphore::new(AT_ONCE),
        })
    }

    /// Whether `password` is that of `user`. A wrong one is answered late.
    pub async fn verify(&self, client: IpAddr, user: &str, password: Secret) -> Outcome {
        if self.attempts.are_too_many(client, Instant::now()) {
            return Outcome::TooMany;
        }
        let Ok(place) = self.places.try_acquire() else { return Outcome::Busy };
        let known = self.users.user(user);
        let hash = known.unwrap_or(&self.nobody).hash.clone();
        let Ok(turn) = self.turns.acquire().await else { return Outcome::Busy };
        let looked = tokio::task::spawn_blocking(move || is_password(&hash, &password));
        let fits = looked.await.unwrap_or(false);
        drop((turn, place));
        self.conclude(client, fits && known.is_some()).await
    }

    /// The keys of `user`, or such as could be somebody's.
    pub fn keys(&self, client: IpAddr, user: &str) -> Outcome {
        if self.attempts.are_too_many(client, Instant::now()) {
            return Outcome::TooMany;
        }
        let Some(nonce) = random() else { return Outcome::Busy };
        let keys = self.users.user(user).and_then(|user| user.scram.clone());
        let keys = keys.unwrap_or_else(|| self.keys_of_nobody(user));
        Outcome::Keys { keys: Box::new(keys), nonce: URL_SAFE_NO_PAD.encode_to_string(nonce) }
    }

    /// An attempt has ended elsewhere: SCRAM's proof is looked at by the worker.
    pub async fn conclude(&self, client: IpAddr, is_right: bool) -> Outcome {
        if is_right {
            self.attempts.note_right(client);
            return Outcome::Right;
        }
        sleep(self.attempts.note_wrong(client, Instant::now())).await;
        Outcome::Wrong
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
    let salt = random().ok_or("the system gives no random octets")?;
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

/// How late a wrong answer is after so many of them.
fn delay(wrong: u32) -> Duration {
    Duration::from_secs(u64::from(wrong.min(5)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::sasl::{Exchange, Mechanism, Step};

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes())
    }

    fn authenticator() -> Authenticator {
        let mut file = String::new();
        crate::policy::users::write_line("ann", &enroll(&secret("pencil")).unwrap(), &mut file);
        Authenticator::new(Arc::new(Users::parse(&file).unwrap())).unwrap()
    }

    fn client(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Time passes at once whenever all wait.
    fn run<T>(test: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
    }

    #[test]
    fn only_the_right_password_of_an_existing_user_is_right() {
        let authenticator = authenticator();
        run(async {
            for (user, password, want) in [
                ("ann", "pencil", Outcome::Right),
                ("ann", "Pencil", Outcome::Wrong),
                ("bob", "pencil", Outcome::Wrong),
                ("", "", Outcome::Wrong),
            ] {
                assert_eq!(authenticator.verify(client(1), user, secret(password)).await, want, "{user}");
            }
        });
    }

    /// Whoever floods us with passwords has neither all memory nor all cores.
    #[test]
    fn only_so_many_are_looked_at_and_wait() {
        let user = "eve:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA\n";
        let authenticator = Arc::new(Authenticator::new(Arc::new(Users::parse(user).unwrap())).unwrap());
        run(async {
            // Nobody is looked at while the test has all turns.
            let turns = authenticator.turns.acquire_many(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
            let attempts = (0..AT_ONCE + WAITING_MAX + 4).map(|number| {
                let authenticator = Arc::clone(&authenticator);
                let from = IpAddr::from([198, 51, u8::try_from(number).unwrap(), 1]);
                tokio::spawn(async move { authenticator.verify(from, "eve", secret("guess")).await })
            });
            let attempts: Vec<_> = attempts.collect();
            while attempts.iter().filter(|attempt| attempt.is_finished()).count() < 4 {
                tokio::task::yield_now().await;
            }
            drop(turns);
            let mut outcomes = Vec::new();
            for attempt in attempts {
                outcomes.push(attempt.await.unwrap());
            }
            let busy = outcomes.iter().filter(|outcome| **outcome == Outcome::Busy).count();
            let wrong = outcomes.iter().filter(|outcome| **outcome == Outcome::Wrong).count();
            assert_eq!((busy, wrong), (4, AT_ONCE + WAITING_MAX));
            // Who was looked at has left its place to others.
            assert_eq!(authenticator.verify(client(1), "eve", secret("guess")).await, Outcome::Wrong);
        });
    }

    #[test]
    fn guessing_becomes_slow_and_then_ends_for_a_while() {
        let authenticator = authenticator();
        run(async {
            let begin = Instant::now();
            let mut wrong = 0;
            while authenticator.conclude(client(1), false).await == Outcome::Wrong && wrong < 20 {
                wrong += 1;
            }
            assert!(begin.elapsed() > Duration::from_secs(60), "{:?}", begin.elapsed());
            assert_eq!(authenticator.keys(client(1), "ann"), Outcome::TooMany);
            assert_eq!(authenticator.verify(client(1), "ann", secret("pencil")).await, Outcome::TooMany);
            // A neighbour is in the same network, others are not.
            assert_eq!(authenticator.keys(client(2), "ann"), Outcome::TooMany);
            let elsewhere = IpAddr::from([198, 51, 100, 1]);
            assert_eq!(authenticator.verify(elsewhere, "ann", secret("pencil")).await, Outcome::Right);
            sleep(attempts::MEMORY).await;
            assert_eq!(authenticator.verify(client(1), "ann", secret("pencil")).await, Outcome::Right);
        });
    }

    #[test]
    fn scram_runs_with_what_was_enrolled() {
        let authenticator = authenticator();
        let first = b"n,,n=ann,r=abc";
        let (mut exchange, step) = Exchange::begin(Mechanism::ScramSha256, Some(first));
        assert!(matches!(step, Step::Keys { .. }));
        let Outcome::Keys { keys, nonce } = authenticator.keys(client(1), "ann") else { panic!("no keys") };
        assert!(matches!(exchange.take_keys(*keys, &nonce), Step::Challenge(_)));
    }

    #[test]
    fn who_does_not_exist_looks_like_somebody() {
        let authenticator = authenticator();
        let keys = |user| match authenticator.keys(client(1), user) {
            Outcome::Keys { keys, nonce } => (keys, nonce),
            other => panic!("{other:?}"),
        };
        let ((first, nonce), (second, other_nonce)) = (keys("bob"), keys("bob"));
        assert_eq!(first, second);
        assert_ne!(nonce, other_nonce);
        let known = keys("ann").0;
        assert_eq!((first.salt.len(), first.iterations), (known.salt.len(), known.iterations));
        assert_ne!(first.salt, keys("eve").0.salt);
    }
}
