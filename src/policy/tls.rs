//! How both legs are encrypted, as an administrator decided.
//!
//! Plain settings, which the mail half may look at: what a session is made from goes through it to the
//! worker unopened. A mode that needs a certificate has one: there is no "offer" without it.

use crate::tls::client_policy::ClientPolicy;
use crate::tls::server_policy::ServerPolicy;

/// TLS toward clients of one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DownstreamTls {
    /// STARTTLS is not known.
    #[default]
    Off,
    /// STARTTLS is announced; who does not want it goes on in clear.
    Offer(ServerPolicy),
    /// Nothing but EHLO, NOOP, QUIT and STARTTLS before TLS (530 5.7.0, RFC 3207 §4).
    Require(ServerPolicy),
    /// TLS from the first octet on (RFC 8314 §3.3).
    Implicit(ServerPolicy),
}

impl DownstreamTls {
    /// What a session is made from; None where there are none.
    pub const fn policy(&self) -> Option<&ServerPolicy> {
        match self {
            Self::Off => None,
            Self::Offer(policy) | Self::Require(policy) | Self::Implicit(policy) => Some(policy),
        }
    }

    /// Whether EHLO announces STARTTLS, as long as there is no TLS yet.
    pub const fn offers_starttls(&self) -> bool {
        matches!(self, Self::Offer(_) | Self::Require(_))
    }

    /// Whether mail in clear is refused.
    pub const fn is_required(&self) -> bool {
        matches!(self, Self::Require(_) | Self::Implicit(_))
    }

    /// Whether a connection begins with a handshake.
    pub const fn is_implicit(&self) -> bool {
        matches!(self, Self::Implicit(_))
    }
}

/// TLS toward the servers of one upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UpstreamTls {
    /// STARTTLS is not asked for.
    #[default]
    Off,
    /// TLS where the server has it, clear where not; no certificate is looked at.
    Offer(TowardServer),
    /// No mail in clear; no certificate is looked at. It keeps out who listens, not who stands between.
    Require(TowardServer),
    /// No mail but to a server that proves who it is.
    Verify(TowardServer),
    /// As TLSA records say: a policy is made for each destination from this one (RFC 7672).
    Dane(TowardServer),
}

/// How one server is spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// None: TLS is not asked for.
    pub toward: Option<TowardServer>,
    /// No mail in clear.
    pub is_required: bool,
}

impl Leg {
    /// TLS where it can be had, else clear.
    pub const fn is_offered(&self) -> bool {
        self.toward.is_some() && !self.is_required
    }
}

/// What a session with a server is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TowardServer {
    pub policy: ClientPolicy,
    /// What the server is called; None: as it was connected to.
    pub name: Option<Box<str>>,
}

impl UpstreamTls {
    /// What a session is made from; None where there are none.
    pub const fn toward_server(&self) -> Option<&TowardServer> {
        match self {
            Self::Off => None,
            Self::Offer(toward) | Self::Require(toward) | Self::Verify(toward) | Self::Dane(toward) => {
                Some(toward)
            }
        }
    }

    /// How each server is spoken with, where the configuration names them.
    pub fn leg(&self) -> Leg {
        Leg { toward: self.toward_server().cloned(), is_required: self.is_required() }
    }

    /// Whether a message may not go in clear, whatever the server announces (4xx then).
    pub const fn is_required(&self) -> bool {
        matches!(self, Self::Require(_) | Self::Verify(_) | Self::Dane(_))
    }

    /// Whether a server proves who it is: what REQUIRETLS asks of a next hop (RFC 8689 §4.2.1).
    pub const fn authenticates(&self) -> bool {
        matches!(self, Self::Verify(_) | Self::Dane(_))
    }
}
