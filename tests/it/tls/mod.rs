//! TLS sessions without a socket: against themselves, and against the library's own connections.
//!
//! A session is half `rustls` and half ours, so every version and cipher is also spoken with
//! `rustls::Connection`, which knows nothing of our half.

mod dane;
mod handshake;
mod hostile;
mod peer;
mod records;
mod resumption;
mod trust;
