//! Why a session ended: whose fault it is, under a name of a closed set.
//!
//! Names become labels of metrics and words in records, so there are few of them and nothing a peer
//! says is among them. Details are for people, and hold no octet of the peer.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error};

/// The end of a session. Its alert is in the caller's buffer already, where one is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// What came is no TLS at all: plain SMTP, or noise.
    NotTls,
    /// A message that TLS does not allow, or not there.
    Protocol(Box<str>),
    /// A record that was changed on its way, or sealed with another key.
    Forged,
    /// No version, cipher or signature in common.
    Incompatible(Box<str>),
    /// The peer's certificate is not what was asked for.
    Certificate(CertificateFault),
    /// The peer ended it and says why, by the registered name.
    Alert(&'static str),
    /// More would have been held than the bound.
    TooLarge,
    /// As much was sealed with one key as may be, and this version cannot change it.
    KeySpent,
    /// Not in a state for what was asked, or the library refused: our own.
    Internal(Box<str>),
}

/// What is wrong with a peer's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateFault {
    Missing,
    Malformed,
    Expired,
    NotYetValid,
    UnknownIssuer,
    WrongName,
    NotPinned,
    NoTlsaMatch,
    BadSignature,
    Other,
}

impl CertificateFault {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "certificate_missing",
            Self::Malformed => "certificate_malformed",
            Self::Expired => "certificate_expired",
            Self::NotYetValid => "certificate_not_yet_valid",
            Self::UnknownIssuer => "certificate_unknown_issuer",
            Self::WrongName => "certificate_wrong_name",
            Self::NotPinned => "certificate_not_pinned",
            Self::NoTlsaMatch => "certificate_no_tlsa_match",
            Self::BadSignature => "certificate_bad_signature",
            Self::Other => "certificate_refused",
        }
    }
}

impl TlsFault {
    pub(super) fn protocol(what: &str) -> Self {
        Self::Protocol(what.into())
    }

    pub(super) fn internal(what: &str) -> Self {
        Self::Internal(what.into())
    }

    /// One of few words.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::Protocol(_) => "protocol",
            Self::Forged => "forged",
            Self::Incompatible(_) => "incompatible",
            Self::Certificate(fault) => fault.name(),
            Self::Alert(_) => "alert",
            Self::TooLarge => "too_large",
            Self::KeySpent => "key_spent",
            Self::Internal(_) => "internal",
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(detail) | Self::Incompatible(detail) | Self::Internal(detail) => {
                write!(out, "{} ({detail})", self.name())
            }
            Self::Alert(alert) => write!(out, "alert {alert}"),
            _ => out.write_str(self.name()),
        }
    }
}

impl std::error::Error for TlsFault {}

impl From<Error> for TlsFault {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::Certificate(certificate_fault(&error)),
            Error::NoCertificatesPresented => Self::Certificate(CertificateFault::Missing),
            Error::PeerIncompatible(why) => Self::Incompatible(format!("{why:?}").into()),
            Error::AlertReceived(alert) => Self::Alert(alert_name(alert)),
            Error::DecryptError => Self::Forged,
            Error::PeerSentOversizedRecord => Self::TooLarge,
            Error::PeerMisbehaved(why) => Self::Protocol(format!("{why:?}").into()),
            Error::InvalidMessage(why) => Self::Protocol(format!("{why:?}").into()),
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
                Self::protocol("a message out of turn")
            }
            other => Self::Internal(other.to_string().into()),
        }
    }
}

fn certificate_fault(error: &CertificateError) -> CertificateFault {
    use CertificateError as E;
    match error {
        E::BadEncoding | E::UnhandledCriticalExtension => CertificateFault::Malformed,
        E::Expired | E::ExpiredContext { .. } => CertificateFault::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => CertificateFault::NotYetValid,
        E::UnknownIssuer => CertificateFault::UnknownIssuer,
        E::NotValidForName | E::NotValidForNameContext { .. } => CertificateFault::WrongName,
        E::BadSignature => CertificateFault::BadSignature,
        E::Other(other) => {
            let told = other.0.downcast_ref::<Told>().map(|told| told.0);
            told.unwrap_or(CertificateFault::Other)
        }
        _ => CertificateFault::Other,
    }
}

/// A fault that one of our verifiers found, on its way through the library.
#[derive(Debug)]
pub(super) struct Told(pub(super) CertificateFault);

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.name())
    }
}

impl std::error::Error for Told {}

/// The registered name of an alert (RFC 8446 §6), "unregistered" for any other.
pub(super) fn alert_name(alert: AlertDescription) -> &'static str {
    match u8::from(alert) {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "unregistered",
    }
}
