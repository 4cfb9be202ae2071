//! Who may speak as whom, and who knows that: mostly a file of users, made by `postern passwd`.
//!
//! One user a line: name, hash of the password (argon2id in the string format of the password hashing
//! competition), and what SCRAM-SHA-256 needs, separated by colons. The last may be missing: such a
//! user has PLAIN and LOGIN only. Empty lines and those that begin with `#` say nothing.
//!
//! ```text
//! ann:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$…:4096,<salt>,<stored key>,<server key>
//! ```
//!
//! Invariant: nothing of a hash or key is in an error text or in `Debug`.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use base64_simd::STANDARD;

use crate::policy::lists::LineFault;
use crate::policy::owners::Owners;
use crate::policy::settings::UpstreamIndex;
use crate::smtp::sasl::{Mechanism, ScramKeys, is_word};

/// Bytes of a file of users.
pub const USER_FILE_BYTES_MAX: u64 = 64 << 20;
/// RFC 7677 §4 asks for 4096 at least; more than this would keep a client busy for seconds.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;
const HASH_PREFIX: &str = "$argon2id$";

/// How clients of a listener say who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownstreamAuth {
    pub source: Source,
    /// In the order in which they are announced; at least one.
    pub mechanisms: Vec<Mechanism>,
    /// Mail of others is refused (RFC 4954 §6).
    pub required: bool,
    /// What a user says in AUTH= of MAIL goes on to next hops that we log in to (RFC 4954 §5).
    pub trusted: bool,
    /// From which addresses users may send beside their own names: `sender.owned` for rules.
    pub owners: Arc<Owners>,
}

/// Who knows the users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(Arc<Users>),
    /// Dovecot's authentication server, where it listens for clients of its own.
    Dovecot(Place),
    /// A server of this upstream, by trying to log in to it.
    Upstream(UpstreamIndex),
}

/// Where a server on this machine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Socket(PathBuf),
    Loopback(SocketAddr),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(out, "unix:{}", path.display()),
            Self::Loopback(address) => address.fmt(out),
        }
    }
}

impl Source {
    /// The mechanisms that it can serve. SCRAM needs what is stored of a user, and only a file tells that; all
    /// others are shown a password and say whether it is right.
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        let all = Mechanism::ALL.into_iter();
        all.filter(|it| matches!(self, Self::File(_)) || *it != Mechanism::ScramSha256).collect()
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Of the password, as argon2id writes it.
    pub hash: String,
    pub scram: Option<ScramKeys>,
}

impl fmt::Debug for User {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("User(…)")
    }
}

/// By name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(HashMap<String, User>);

impl Users {
    /// Reads the whole file.
    ///
    /// # Errors
    /// All that is wrong, not only the first.
    pub fn parse(text: &str) -> Result<Self, Vec<LineFault>> {
        let mut users = HashMap::new();
        let mut faults = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| says_something(line)) {
            let told = user(line).and_then(|(name, user)| match users.insert(name.to_owned(), user) {
                None => Ok(()),
                Some(_) => Err("this user is named twice".to_owned()),
            });
            faults.extend(told.err().map(|message| LineFault { line: index + 1, message }));
        }
        if faults.is_empty() { Ok(Self(users)) } else { Err(faults) }
    }

    pub fn user(&self, name: &str) -> Option<&User> {
        self.0.get(name)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn says_something(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

fn user(line: &str) -> Result<(&str, User), String> {
    let mut words = line.trim_end().split(':');
    let (Some(name), Some(hash), scram, None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("this is not name:hash or name:hash:keys; postern passwd makes such lines".to_owned());
    };
    if !is_name(name) {
        return Err("a name has 1 to 255 bytes, no control characters and no colon".to_owned());
    }
    if !hash.starts_with(HASH_PREFIX) {
        return Err("the hash is not argon2id's ($argon2id$…); postern passwd makes one".to_owned());
    }
    let scram =
        scram.map(|text| keys(text).ok_or("the keys of SCRAM-SHA-256 are not iterations,salt,key,key"));
    Ok((name, User { hash: hash.to_owned(), scram: scram.transpose()? }))
}

/// Whether `name` can be a user's: it stands in records, and a colon would end it in the file.
pub fn is_name(name: &str) -> bool {
    is_word(name) && !name.contains(':')
}

fn keys(text: &str) -> Option<ScramKeys> {
    let words: Vec<&str> = text.split(',').collect();
    let [iterations, salt, stored_key, server_key] = words[..] else { return None };
    let key = |text| STANDARD.decode_to_vec(text).ok()?.try_into().ok();
    let iterations = iterations.parse().ok().filter(|iterations| ITERATIONS.contains(iterations))?;
    Some(ScramKeys {
        salt: STANDARD.decode_to_vec(salt).ok().filter(|salt| !salt.is_empty())?,
        iterations: NonZeroU32::new(iterations)?,
        stored_key: key(stored_key)?,
        server_key: key(server_key)?,
    })
}

/// The line of a user, with its end.
pub fn write_line(name: &str, user: &User, out: &mut String) {
    out.extend([name, ":", &user.hash]);
    if let Some(keys) = &user.scram {
        let base64 = |bytes: &[u8]| STANDARD.encode_to_string(bytes);
        let (salt, stored, server) = (base64(&keys.salt), base64(&keys.stored_key), base64(&keys.server_key));
        // Writing into a string cannot fail.
        let _ = write!(out, ":{},{salt},{stored},{server}", keys.iterations);
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(password: &str) -> User {
        let keys = ScramKeys::derive(password.as_bytes(), b"salt", NonZeroU32::new(4096).unwrap());
        User { hash: "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA".to_owned(), scram: Some(keys) }
    }

    #[test]
    fn what_is_written_is_read() {
        let (ann, bob) = (user("a"), User { scram: None, ..user("b") });
        let mut text = "# users\n\n".to_owned();
        write_line("ann@example.net", &ann, &mut text);
        write_line("böb", &bob, &mut text);
        let users = Users::parse(&text).unwrap();
        assert_eq!(
            (users.len(), users.user("ann@example.net"), users.user("böb")),
            (2, Some(&ann), Some(&bob))
        );
        assert_eq!(users.user("ANN@example.net"), None);
        assert!(Users::parse("").unwrap().is_empty());
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "ann\n\n:$argon2id$x\nbob:secret\nbob:$argon2id$x:1,2\nb\tb:$argon2id$x\n\
                    eve:$argon2id$x\neve:$argon2id$x\nx:$argon2id$x:1:2\nx:$argon2id$x:100,c2E=,YQ==,YQ==\n";
        let faults = Users::parse(text).unwrap_err();
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 8, 9, 10]);
        let told: String = faults.into_iter().map(|fault| fault.message).collect();
        assert!(told.contains("postern passwd") && told.contains("twice"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }

    #[test]
    fn keys_are_not_shown() {
        let shown = format!("{:?}", user("a"));
        assert_eq!(shown, "User(…)");
    }
}
