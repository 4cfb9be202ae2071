//! A server of an upstream is asked whether a password is right: by logging in to it and leaving.
//!
//! What must always hold: only 235 is a yes and only 535 a no; a yes is remembered for a short time and under a
//! keyed digest, a no never; no more than a few are tried at a time, and only so many wait. That credentials go
//! to no server that has not proven who it is, the configuration sees to.

use std::time::Duration;

use aws_lc_rs::{digest, hmac, rand};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::{Origin, Presence, Word};
use crate::policy::settings::Upstream;
use crate::service::conversation::Conversation;
use crate::service::lately::Lately;
use crate::smtp::sasl::Secret;
use crate::smtp::sasl::client::{Credentials, Means};
use crate::smtp::xforward::Identity;

/// Connections at a time.
const AT_ONCE: usize = 16;
/// Those that may wait for their turn.
const WAITING_MAX: usize = 112;
/// For all of it, the wait included.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a yes is remembered: so long a password goes on to be right that was changed there.
const MEMORY: Duration = Duration::from_secs(60);
/// How many are remembered.
const REMEMBERED_MAX: usize = 8192;

#[derive(Debug)]
pub(super) struct Trial {
    hostname: String,
    upstream: Upstream,
    places: Semaphore,
    /// Of those that have a place, who is trying.
    turns: Semaphore,
    right: Right,
    presence: Presence,
}

impl Trial {
    pub(super) fn new(hostname: String, upstream: Upstream) -> Result<Self, String> {
        Ok(Self {
            hostname,
            upstream,
            places: Semaphore::new(AT_ONCE + WAITING_MAX),
            turns: Semaphore::new(AT_ONCE),
            right: Right::new()?,
            presence: Presence::default(),
        })
    }

    pub(super) async fn verify(&self, origin: Origin, user: &str, password: Secret) -> Word {
        let mark = self.right.mark(user, &password);
        if self.right.knows(&mark, Instant::now()) {
            return Word::Right;
        }
        let Ok(_place) = self.places.try_acquire() else { return Word::Unknown };
        let credentials = Credentials { user: user.to_owned(), password };
        let word = timeout(PATIENCE, self.ask(origin, &credentials)).await.unwrap_or(Word::Unknown);
        if word == Word::Right {
            self.right.note(mark, Instant::now());
        }
        word
    }

    /// The first server that can be reached decides.
    async fn ask(&self, origin: Origin, credentials: &Credentials) -> Word {
        let Ok(_turn) = self.turns.acquire().await else { return Word::Unknown };
        let identity = identity(origin);
        let mut why = "no server".to_owned();
        let leg = self.upstream.tls.leg();
        for server in &self.upstream.servers {
            let way = (server.address, &leg);
            match Conversation::open(&self.hostname, &self.upstream, way, &identity).await {
                Ok(mut next_hop) => return self.try_on(&mut next_hop, credentials).await,
                Err(error) => why = format!("{}: {error}", server.address),
            }
        }
        self.presence.missed(&self.upstream.name, &why);
        Word::Unknown
    }

    async fn try_on(&self, next_hop: &mut Conversation<'_>, credentials: &Credentials) -> Word {
        let reply = if Means::Plain.is_announced(&next_hop.client.capabilities().auth) {
            next_hop.try_credentials(Means::Plain, credentials).await
        } else {
            Err("the server has no AUTH PLAIN".to_owned())
        };
        let (word, why) = match reply {
            Ok(reply) => match reply.code().to_u16() {
                235 => (Word::Right, None),
                535 => (Word::Wrong, None),
                _ => (Word::Unknown, Some(reply.first_line())),
            },
            Err(why) => (Word::Unknown, Some(why)),
        };
        match why {
            None => self.presence.found(&self.upstream.name),
            Some(why) => self.presence.missed(&self.upstream.name, &why),
        }
        next_hop.leave().await;
        word
    }
}

/// Whom the server hears the credentials from, where it is to hear it.
fn identity(Origin { client, local }: Origin) -> Identity {
    Identity {
        addr: Some(client.ip()),
        port: Some(client.port()),
        destination_addr: Some(local.ip()),
        destination_port: Some(local.port()),
        ..Identity::default()
    }
}

/// A user and a password, told by nobody who has not the key.
type Mark = [u8; digest::SHA256_OUTPUT_LEN];

/// What was right a moment ago, and until when that counts.
#[derive(Debug)]
struct Right {
    key: hmac::Key,
    until: Lately<Mark>,
}

impl Right {
    fn new() -> Result<Self, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        let key = key.map_err(|_| "the system gives no random octets")?;
        Ok(Self { key, until: Lately::new(MEMORY, REMEMBERED_MAX) })
    }

    fn mark(&self, user: &str, password: &Secret) -> Mark {
        let mut context = hmac::Context::with_key(&self.key);
        // A name has no NUL.
        for part in [user.as_bytes(), b"\0", password.as_bytes()] {
            context.update(part);
        }
        let mut mark = [0; digest::SHA256_OUTPUT_LEN];
        mark.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        mark
    }

    fn knows(&self, mark: &Mark, now: Instant) -> bool {
        self.until.has(mark, now)
    }

    fn note(&self, mark: Mark, now: Instant) {
        self.until.note(mark, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_remembered_for_a_while_and_only_as_it_was() {
        let right = Right::new().unwrap();
        let (now, secret) = (Instant::now(), |text: &str| Secret::new(text.as_bytes()));
        right.note(right.mark("ann", &secret("pencil")), now);
        for (user, password, after, want) in [
            ("ann", "pencil", Duration::ZERO, true),
            ("ann", "pencil", MEMORY - Duration::from_millis(1), true),
            ("ann", "pencil", MEMORY, false),
            ("ann", "pencils", Duration::ZERO, false),
            ("bob", "pencil", Duration::ZERO, false),
            ("ann\u{0}pen", "cil", Duration::ZERO, false),
        ] {
            assert_eq!(right.knows(&right.mark(user, &secret(password)), now + after), want, "{user}");
        }
        // Another process has another key.
        assert_ne!(right.mark("ann", &secret("x")), Right::new().unwrap().mark("ann", &secret("x")));
    }

    #[test]
    fn however_many_are_right_the_table_has_a_bound() {
        let right = Right::new().unwrap();
        let now = Instant::now();
        let mark = |number: usize| right.mark(&number.to_string(), &Secret::new(b"x"));
        (0..REMEMBERED_MAX + 5).for_each(|number| right.note(mark(number), now));
        assert_eq!(right.until.len(), REMEMBERED_MAX);
        right.note(mark(REMEMBERED_MAX + 7), now + MEMORY);
        assert_eq!(right.until.len(), 1);
    }
}
