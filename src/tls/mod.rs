//! TLS 1.2 and 1.3 over bytes that somebody else moves: both roles, no socket, no mail.
//!
//! RFC 8446 (TLS 1.3), RFC 5246 with RFC 7627 and RFC 5288 (TLS 1.2), RFC 9325 (which of it).
//! `rustls` shakes hands and knows certificates; once hands are shaken, records are opened and
//! sealed here, straight between the caller's buffers (`record` says why).
//!
//! * `session`: one connection, either role: the only thing that moves bytes;
//! * `server_policy`, `client_policy`: what is asked of the peer, made once and shared;
//! * `secured`: what a handshake established, as plain facts for rules, records and `Received`;
//! * `fault`: why a session ended, with a name of a closed set;
//! * `identity`, `trust`: certificates and keys of ours, and what peers are measured by;
//! * `dane`: TLSA records against a chain, pure;
//! * `certificate`: the few fields of X.509 that we read ourselves;
//! * `handshake`, `record`: the two lives of a session.
//!
//! What must always hold: nothing a peer sends is plaintext before [`secured::Secured`] was
//! reported; bytes behind an incomplete record are held up to a bound; a stream that ends without
//! close_notify is never taken for one that was closed.

pub mod certificate;
pub mod client_policy;
pub mod dane;
pub mod fault;
pub mod identity;
pub mod secured;
pub mod server_policy;
pub mod session;
pub mod trust;

mod handshake;
mod provider;
mod record;
mod verifier;
