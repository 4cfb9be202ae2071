//! Whether a password is right, whoever knows that: a file of users, Dovecot, or a server of an upstream.
//!
//! What must always hold: guessing is slowed for each network, and ends for a while after [`attempts`]'
//! bound, whatever the source; a source that cannot be asked says neither yes nor no.

mod attempts;
mod dovecot;
mod file;
mod trial;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::policy::settings::Config;
use crate::policy::users;
use crate::service::notice::say;
use crate::smtp::sasl::Secret;

pub use crate::relay::auth::Outcome;
pub use file::enroll;

use attempts::Attempts;
use dovecot::Dovecot;
use file::Passwords;
use trial::Trial;

/// How a client is connected that says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub client: SocketAddr,
    pub local: SocketAddr,
}

#[derive(Debug)]
pub struct Authenticator {
    source: Source,
    attempts: Attempts,
}

#[derive(Debug)]
enum Source {
    File(Box<Passwords>),
    Dovecot(Dovecot),
    Upstream(Box<Trial>),
}

/// What a source says of a name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Right,
    /// And this is what the source calls the user.
    RightAs(String),
    Wrong,
    /// It could not be asked, or could not say.
    Unknown,
}

/// Whether a source could be asked when it was last tried. People are told when that changes.
#[derive(Debug, Default)]
struct Presence {
    is_missed: AtomicBool,
}

impl Presence {
    fn missed(&self, name: &dyn fmt::Display, why: &dyn fmt::Display) {
        if !self.is_missed.swap(true, Ordering::Relaxed) {
            say(format_args!("passwords cannot be asked of {name}: {why}"));
        }
    }

    fn found(&self, name: &dyn fmt::Display) {
        if self.is_missed.swap(false, Ordering::Relaxed) {
            say(format_args!("passwords can be asked of {name} again"));
        }
    }
}

impl Authenticator {
    /// # Errors
    /// When the system gives no randomness, or argon2 cannot run; the text says so.
    pub fn new(source: &users::Source, config: &Config) -> Result<Self, String> {
        let source = match source {
            users::Source::File(users) => Source::File(Box::new(Passwords::new(Arc::clone(users))?)),
            users::Source::Dovecot(place) => Source::Dovecot(Dovecot::new(place.clone())),
            users::Source::Upstream(index) => {
                let upstream = config.upstreams[index.0].clone();
                Source::Upstream(Box::new(Trial::new(config.hostname.clone(), upstream)?))
            }
        };
        Ok(Self { source, attempts: Attempts::default() })
    }

    /// Whether `password` is that of `user`. A wrong one is answered late.
    pub async fn verify(&self, origin: Origin, user: &str, password: Secret) -> Outcome {
        let client = origin.client.ip();
        if self.attempts.are_too_many(client, Instant::now()) {
            return Outcome::TooMany;
        }
        let Some(attempt) = self.attempts.begin(client, Instant::now()) else { return Outcome::Busy };
        let word = match &self.source {
            Source::File(passwords) => passwords.verify(user, password).await,
            Source::Dovecot(dovecot) => dovecot.verify(origin, user, &password).await,
            Source::Upstream(trial) => trial.verify(origin, user, password).await,
        };
        drop(attempt);
        match word {
            Word::Right => self.conclude(client, true).await,
            Word::Wrong => self.conclude(client, false).await,
            Word::RightAs(user) => {
                self.attempts.note_right(client, Instant::now());
                Outcome::RightAs { user }
            }
            Word::Unknown => Outcome::Busy,
        }
    }

    /// The keys of `user`, or such as could be somebody's. Only a file has any.
    pub fn keys(&self, client: IpAddr, user: &str) -> Outcome {
        if self.attempts.are_too_many(client, Instant::now()) {
            return Outcome::TooMany;
        }
        match &self.source {
            Source::File(passwords) => passwords.keys(user),
            Source::Dovecot(_) | Source::Upstream(_) => Outcome::Busy,
        }
    }

    /// An attempt has ended elsewhere: SCRAM's proof is looked at by the worker. It may have begun long before
    /// there were too many.
    pub async fn conclude(&self, client: IpAddr, is_right: bool) -> Outcome {
        if self.attempts.are_too_many(client, Instant::now()) {
            return Outcome::TooMany;
        }
        if is_right {
            self.attempts.note_right(client, Instant::now());
            return Outcome::Right;
        }
        sleep(self.attempts.note_wrong(client, Instant::now())).await;
        Outcome::Wrong
    }
}

/// How late a wrong answer is after so many of them.
fn delay(wrong: u32) -> Duration {
    Duration::from_secs(u64::from(wrong.min(5)))
}

#[cfg(test)]
mod tests;
