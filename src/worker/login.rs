//! Who we are to the server of an upstream connection, and whether it was told: between TLS and the first
//! transaction. RFC 4954; the mechanisms are in `smtp::sasl::client`.
//!
//! What must always hold: nothing is said in clear, and only SCRAM to who has not proven who it is; where we have to say who we are, no connection is
//! ready before the server has taken it, and has proven itself where the mechanism makes it.

use std::sync::Arc;

use aws_lc_rs::rand;
use base64_simd::{STANDARD, URL_SAFE_NO_PAD};

use crate::policy::login::UpstreamAuth;
use crate::relay::action::DiscardReason;
use crate::smtp::client::Client;
use crate::smtp::reply::Reply;
use crate::smtp::sasl::client::{Derived, Exchange};
use crate::tls::secured::Secured;

/// Octets of a nonce of SCRAM.
const NONCE_BYTES: usize = 18;
/// Of a response that still goes with the command itself: in base64, and with all else in that line, no more
/// than 512 (RFC 4954 §4).
const INITIAL_BYTES_MAX: usize = 360;

#[derive(Debug)]
pub(super) enum Login {
    /// Nobody asks who we are.
    Needless,
    Owed {
        auth: Arc<UpstreamAuth>,
        /// What an earlier connection left.
        known: Option<Derived>,
    },
    UnderWay(Box<Exchange>),
    /// The server took it; with what the next connection need not make once more.
    Taken(Option<Derived>),
}

/// Whether the connection is ready, or why it is of no use.
pub(super) type Said = Result<bool, DiscardReason>;

impl Login {
    pub(super) fn new(auth: Option<&Arc<UpstreamAuth>>, known: Option<Derived>) -> Self {
        match auth {
            Some(auth) => Self::Owed { auth: Arc::clone(auth), known },
            None => Self::Needless,
        }
    }

    /// Whether we have a name of our own on this connection.
    pub(super) const fn is_needless(&self) -> bool {
        matches!(self, Self::Needless)
    }

    /// All else was said: says who we are, if that is owed.
    pub(super) fn begin(
        &mut self,
        client: &mut Client,
        secured: Option<&Secured>,
        out: &mut Vec<u8>,
    ) -> Said {
        let (auth, known) = match self {
            Self::Needless | Self::Taken(_) => return Ok(true),
            Self::UnderWay(_) => return Ok(false),
            Self::Owed { auth, known } => (Arc::clone(auth), known.take()),
        };
        let secured = secured.ok_or(DiscardReason::Insecure)?;
        let means = auth.means_among(&client.capabilities().auth, secured.trust().is_verified());
        let means = means.ok_or(DiscardReason::Unauthenticated)?;
        let nonce = nonce().ok_or(DiscardReason::Fault)?;
        let mut exchange = Exchange::begin(means, &auth.credentials, &nonce, known);
        let initial = exchange.initial(INITIAL_BYTES_MAX);
        client.auth(means.name(), initial.as_ref().map(|response| response.as_slice()), out);
        *self = Self::UnderWay(Box::new(exchange));
        Ok(false)
    }

    /// Takes the reply to AUTH or to a response.
    pub(super) fn on_reply(&mut self, client: &mut Client, reply: &Reply, out: &mut Vec<u8>) -> Said {
        let Self::UnderWay(exchange) = self else { return Err(DiscardReason::Protocol) };
        match reply.code().to_u16() {
            235 if exchange.is_done() => {
                *self = Self::Taken(exchange.take_derived());
                Ok(true)
            }
            334 => {
                let response = challenge(reply).and_then(|challenge| exchange.respond(&challenge).ok());
                client.respond(&response.ok_or(DiscardReason::Unauthenticated)?, out);
                Ok(false)
            }
            // Wrong credentials, not now, no such mechanism: all the same to whoever waits for mail to go.
            _ => Err(DiscardReason::Unauthenticated),
        }
    }

    /// What another connection to the same upstream may begin with.
    pub(super) const fn take_derived(&mut self) -> Option<Derived> {
        match self {
            Self::Taken(derived) => derived.take(),
            _ => None,
        }
    }
}

fn challenge(reply: &Reply) -> Option<Vec<u8>> {
    let mut lines = reply.lines();
    let (Some(only), None) = (lines.next(), lines.next()) else { return None };
    STANDARD.decode_to_vec(only.trim_ascii()).ok()
}

fn nonce() -> Option<String> {
    let mut bytes = [0; NONCE_BYTES];
    rand::fill(&mut bytes).ok().map(|()| URL_SAFE_NO_PAD.encode_to_string(bytes))
}
