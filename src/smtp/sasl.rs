//! AUTH toward a client: the server's half of the mechanisms. RFC 4954; PLAIN RFC 4616, LOGIN as
//! everybody speaks it (it has no RFC), SCRAM-SHA-256 RFC 5802 and RFC 7677.
//!
//! Nothing in here knows a password file: a mechanism says what it must know ([`Step::Verify`],
//! [`Step::Keys`]) and goes on when it is told.
//!
//! What must always hold: a secret is in no `Debug` text and is overwritten when it is dropped; who
//! does not exist gets the same challenges as who does (that is for whoever gives the keys, see
//! [`ScramKeys`]); after a refusal the exchange is over.

pub mod client;
mod scram;

use std::fmt;

use zeroize::Zeroizing;

pub use scram::ScramKeys;

use scram::Scram;

/// Octets of a name or of a password.
pub const WORD_BYTES_MAX: usize = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    Plain,
    Login,
    ScramSha256,
}

impl Mechanism {
    /// In the order in which they are announced, the best first.
    pub const ALL: [Self; 3] = [Self::ScramSha256, Self::Plain, Self::Login];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|known| name.eq_ignore_ascii_case(known.name().as_bytes()))
    }
}

/// A password on its way to whoever can say whether it is right.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

/// Why an exchange ended without a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `*` instead of a response (RFC 4954 §4).
    Cancelled,
    /// Not what the mechanism asks for at this point.
    Malformed,
    /// To speak for somebody else was asked for, which nobody may.
    OtherIdentity,
    /// The proof does not fit.
    WrongProof,
}

/// What follows from a response.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// To be sent in base64 behind 334.
    Challenge(Vec<u8>),
    /// Is this the password of this user? The exchange is over; the answer decides.
    Verify {
        user: String,
        password: Secret,
    },
    /// The keys of this user are needed: [`Exchange::take_keys`].
    Keys {
        user: String,
    },
    /// The client has proven to be this user.
    Accepted {
        user: String,
    },
    Refused(Refusal),
}

/// One AUTH command, from its first word to its outcome.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    Plain,
    LoginUser,
    LoginPassword { user: String },
    Scram(Box<Scram>),
    Over,
}

impl Exchange {
    /// Begins, with the initial response if the client sent one.
    pub fn begin(mechanism: Mechanism, initial: Option<&[u8]>) -> (Self, Step) {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
            Mechanism::ScramSha256 => State::Scram(Box::default()),
        };
        let mut exchange = Self(state);
        let step = match (initial, mechanism) {
            (Some(response), _) => exchange.respond(response),
            (None, Mechanism::Login) => Step::Challenge(b"Username:".to_vec()),
            (None, _) => Step::Challenge(Vec::new()),
        };
        (exchange, step)
    }

    /// Takes a response, decoded from base64.
    pub fn respond(&mut self, response: &[u8]) -> Step {
        match std::mem::replace(&mut self.0, State::Over) {
            State::Plain => plain(response),
            State::LoginUser => match word(response) {
                Some(user) => {
                    self.0 = State::LoginPassword { user };
                    Step::Challenge(b"Password:".to_vec())
                }
                None => Step::Refused(Refusal::Malformed),
            },
            State::LoginPassword { user } => verify(user, response),
            State::Scram(mut scram) => {
                let step = scram.respond(response);
                if matches!(step, Step::Challenge(_) | Step::Keys { .. }) {
                    self.0 = State::Scram(scram);
                }
                step
            }
            State::Over => Step::Refused(Refusal::Malformed),
        }
    }

    /// What [`Step::Keys`] asked for. `nonce` is fresh and cannot be guessed: visible ASCII without
    /// a comma.
    pub fn take_keys(&mut self, keys: ScramKeys, nonce: &str) -> Step {
        match &mut self.0 {
            State::Scram(scram) => scram.take_keys(keys, nonce),
            _ => Step::Refused(Refusal::Malformed),
        }
    }
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
fn plain(response: &[u8]) -> Step {
    let mut words = response.split(|byte| *byte == 0);
    let (Some(other), Some(user), Some(password), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Step::Refused(Refusal::Malformed);
    };
    if !other.is_empty() && other != user {
        return Step::Refused(Refusal::OtherIdentity);
    }
    match word(user) {
        Some(user) => verify(user, password),
        None => Step::Refused(Refusal::Malformed),
    }
}

fn verify(user: String, password: &[u8]) -> Step {
    if (1..=WORD_BYTES_MAX).contains(&password.len()) && !password.contains(&0) {
        Step::Verify { user, password: Secret::new(password) }
    } else {
        Step::Refused(Refusal::Malformed)
    }
}

fn word(bytes: &[u8]) -> Option<String> {
    str::from_utf8(bytes).ok().filter(|text| is_word(text)).map(str::to_owned)
}

/// Whether it may stand in records and fields as a name: no control characters, not too long.
pub fn is_word(text: &str) -> bool {
    (1..=WORD_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests;
