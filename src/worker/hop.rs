//! An upstream connection outside of transactions: connect, greeting, EHLO, STARTTLS, XCLIENT, AUTH,
//! RSET, QUIT.
//!
//! RFC 5321 §3.1, §3.2; RFC 3207; Postfix XCLIENT_README (back to the greeting). In a transaction the relay
//! drives the dialogue; before and after it this file does.

use std::sync::Arc;

use crate::base::slab::Key;
use crate::base::time::Instant;
use crate::relay::action::DiscardReason;
use crate::smtp::client::{Client, Expect};
use crate::smtp::extension::{Capabilities, Extensions};
use crate::smtp::reply::{Class, Reply};
use crate::smtp::xforward::Identity;
use crate::tls::secured::Secured;
use crate::traffic::lane::Lane;

use super::conn::Pipe;
use super::login::{Login, Said};
use super::pool::{Loan, Own, Purpose};

/// What an upstream connection is doing.
#[derive(Debug)]
pub(super) enum State {
    /// Not ready yet: connecting, or in the dialogue up to the reply to EHLO.
    Opening(Box<Client>),
    Parked(Box<Client>),
    /// Given back; owes replies up to the one to RSET. Or asked whether its server lives; owes the one to NOOP.
    Resetting(Box<Client>),
    /// Lent to a relay, which has the client half.
    Lent(Key),
    /// QUIT was said.
    Leaving,
}

/// Whom a dedicated connection speaks for, and what became of telling it.
#[derive(Debug)]
pub(super) struct Dedicated {
    pub(super) relay: Key,
    /// Which of its check-outs it is for.
    pub(super) number: u32,
    pub(super) identity: Box<Identity>,
    /// On whose account.
    pub(super) lane: Lane,
    pub(super) told: bool,
}

impl From<Dedicated> for Purpose {
    fn from(Dedicated { relay, number, identity, lane, .. }: Dedicated) -> Self {
        Self::Dedicated { own: Own { relay, number, identity }, lane }
    }
}

/// Whether TLS is asked for on a connection (RFC 3207).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    /// Where the server announces it; in clear where not.
    IfAnnounced,
    /// No mail without it.
    Always,
}

#[derive(Debug)]
pub(super) struct Hop {
    pub(super) pipe: Pipe,
    /// On which it is a connection to this of its servers.
    pub(super) way: Key,
    pub(super) server: usize,
    /// Whose settings hold.
    pub(super) upstream: usize,
    pub(super) state: State,
    pub(super) tls: Wanted,
    /// What TLS established; None: it is in clear.
    pub(super) secured: Option<Arc<Secured>>,
    pub(super) login: Login,
    pub(super) dedicated: Option<Dedicated>,
    pub(super) expires: Instant,
    pub(super) messages: u32,
    /// While it is lent, and until it is at rest again.
    pub(super) loan: Option<Loan>,
    /// Of the step under way.
    pub(super) deadline: Option<Instant>,
    pub(super) armed: Option<Instant>,
}

/// What the bytes of a connection outside of transactions led to.
#[derive(Debug)]
pub(super) enum Progress {
    /// More is to come.
    Going,
    /// STARTTLS was answered 220, and nothing behind it.
    StartTls,
    /// Greeted, EHLO done: ready for a first transaction.
    Ready,
    /// RSET was answered: ready for another one.
    Clean,
    /// Of no use.
    Spoilt(DiscardReason),
}

impl From<Said> for Progress {
    fn from(said: Said) -> Self {
        match said {
            Ok(true) => Self::Ready,
            Ok(false) => Self::Going,
            Err(reason) => Self::Spoilt(reason),
        }
    }
}

impl Hop {
    /// Takes bytes that came outside of a transaction; what is to be said goes to `out`.
    pub(super) fn receive(&mut self, hostname: &str, mut bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        let mut progress = Progress::Going;
        while !bytes.is_empty() {
            let client = match &mut self.state {
                State::Opening(client) | State::Resetting(client) | State::Parked(client) => client,
                State::Lent(_) | State::Leaving => return Progress::Going,
            };
            let Ok((consumed, reply)) = client.receive(bytes) else {
                // Unasked words of a parked connection are nearly always 421.
                return Progress::Spoilt(DiscardReason::Protocol);
            };
            bytes = &bytes[consumed..];
            client.proceed(out);
            if let Some((expect, reply)) = reply {
                progress = self.on_reply(hostname, expect, &reply, out);
            }
            // What it says next makes nothing good.
            if matches!(progress, Progress::Spoilt(_)) {
                return progress;
            }
            // What stands behind the reply was written by somebody who had no part in the handshake.
            if matches!(progress, Progress::StartTls) && !bytes.is_empty() {
                return Progress::Spoilt(DiscardReason::Insecure);
            }
        }
        progress
    }

    fn on_reply(&mut self, hostname: &str, expect: Expect, reply: &Reply, out: &mut Vec<u8>) -> Progress {
        match &self.state {
            State::Opening(_) => self.on_opening_reply(hostname, expect, reply, out),
            State::Resetting(_) if matches!(expect, Expect::Rset | Expect::Noop) && !reply.is_positive() => {
                Progress::Spoilt(DiscardReason::Protocol)
            }
            State::Resetting(client) if client.is_quiet() => Progress::Clean,
            _ => Progress::Going,
        }
    }

    fn on_opening_reply(
        &mut self,
        hostname: &str,
        expect: Expect,
        reply: &Reply,
        out: &mut Vec<u8>,
    ) -> Progress {
        let is_ready = reply.code().to_u16() == 220;
        match expect {
            Expect::Greeting | Expect::Xclient if is_ready => {
                self.say_hello(|client| client.ehlo(hostname.as_bytes(), out))
            }
            Expect::Ehlo if reply.is_positive() => self.secure_or_introduce(out),
            // A server without EHLO has no STARTTLS.
            Expect::Ehlo if self.lacks_tls() => Progress::Spoilt(DiscardReason::Insecure),
            // RFC 5321 §3.2: a server that knows no EHLO may know HELO.
            Expect::Ehlo if reply.class() == Class::Permanent => {
                self.say_hello(|client| client.helo(hostname.as_bytes(), out))
            }
            Expect::Helo if reply.is_positive() => self.introduce(out),
            Expect::Auth => self.on_login_reply(reply, out),
            Expect::Starttls if is_ready => Progress::StartTls,
            Expect::Starttls if self.lacks_tls() => Progress::Spoilt(DiscardReason::Insecure),
            Expect::Starttls => self.introduce(out),
            _ => Progress::Spoilt(DiscardReason::Protocol),
        }
    }

    fn say_hello(&mut self, hello: impl FnOnce(&mut Client)) -> Progress {
        if let State::Opening(client) = &mut self.state {
            hello(client);
        }
        Progress::Going
    }

    /// Behind EHLO: first TLS, then all else.
    fn secure_or_introduce(&mut self, out: &mut Vec<u8>) -> Progress {
        let State::Opening(client) = &mut self.state else { return Progress::Going };
        let is_announced = client.capabilities().extensions.contains(Extensions::STARTTLS);
        if self.secured.is_some() || self.tls == Wanted::Nothing {
            return self.introduce(out);
        }
        if is_announced {
            client.starttls(out);
            return Progress::Going;
        }
        if self.lacks_tls() { Progress::Spoilt(DiscardReason::Insecure) } else { self.introduce(out) }
    }

    /// No mail may go over it as it is.
    fn lacks_tls(&self) -> bool {
        self.tls == Wanted::Always && self.secured.is_none()
    }

    /// Hands were shaken: what was learned in clear is forgotten, and EHLO is said anew (RFC 3207
    /// §4.2).
    pub(super) fn on_secured(&mut self, secured: Secured, hostname: &str, out: &mut Vec<u8>) -> Progress {
        self.secured = Some(Arc::new(secured));
        self.say_hello(|client| {
            client.set_capabilities(Capabilities::none());
            client.ehlo(hostname.as_bytes(), out);
        })
    }

    /// Tells the next hop whom the connection is for, where that is by XCLIENT.
    fn introduce(&mut self, out: &mut Vec<u8>) -> Progress {
        let State::Opening(client) = &mut self.state else { return Progress::Going };
        let Some(dedicated) = self.dedicated.as_mut().filter(|dedicated| !dedicated.told) else {
            return self.log_in(out);
        };
        dedicated.told = true;
        if !client.capabilities().extensions.contains(Extensions::XCLIENT) {
            // The next hop must not take us for the client.
            return Progress::Spoilt(DiscardReason::Protocol);
        }
        if !self.login.is_needless() {
            // Who logs in afterwards must not be somebody already.
            dedicated.identity.login = None;
        }
        client.xclient(&dedicated.identity, out);
        Progress::Going
    }

    /// Behind all else: XCLIENT would make somebody else of us.
    fn log_in(&mut self, out: &mut Vec<u8>) -> Progress {
        let State::Opening(client) = &mut self.state else { return Progress::Going };
        self.login.begin(client, self.secured.as_deref(), out).into()
    }

    fn on_login_reply(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Progress {
        let State::Opening(client) = &mut self.state else { return Progress::Going };
        self.login.on_reply(client, reply, out).into()
    }

    /// Takes the client half for a transaction.
    pub(super) fn lend(&mut self, relay: Key) -> Option<Box<Client>> {
        match std::mem::replace(&mut self.state, State::Lent(relay)) {
            State::Parked(client) | State::Opening(client) | State::Resetting(client) => Some(client),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The dialogue is at rest: ready to be lent.
    pub(super) fn park(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Leaving) {
            State::Opening(client) | State::Resetting(client) => State::Parked(client),
            other => other,
        };
    }

    /// Asks whether anybody is there; the connection is at rest.
    pub(super) fn probe(&mut self, out: &mut Vec<u8>) {
        self.state = match std::mem::replace(&mut self.state, State::Leaving) {
            State::Parked(mut client) => {
                client.noop(out);
                State::Resetting(client)
            }
            other => other,
        };
    }

    pub(super) const fn lent_to(&self) -> Option<Key> {
        match self.state {
            State::Lent(relay) => Some(relay),
            _ => None,
        }
    }

    pub(super) const fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening(_))
    }

    /// Between STARTTLS and the first word under TLS.
    pub(super) const fn is_shaking_hands(&self) -> bool {
        self.pipe.has_tls() && self.secured.is_none()
    }

    /// QUIT was said: no pool counts it any more.
    pub(super) const fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving)
    }

    /// What the server said about itself.
    pub(super) fn capabilities(&self) -> Option<&Capabilities> {
        match &self.state {
            State::Opening(client) | State::Parked(client) | State::Resetting(client) => {
                Some(client.capabilities())
            }
            State::Lent(_) | State::Leaving => None,
        }
    }
}

#[cfg(test)]
mod tests;
