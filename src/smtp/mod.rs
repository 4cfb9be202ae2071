//! SMTP as bytes: what may be said, how it is framed, what it means. RFC 5321 and its extensions.
//!
//! Pure: no IO, no clock, no socket. Every function takes bytes and gives values, or appends
//! bytes to what its caller owns.

pub mod address;
pub mod bdat;
pub mod client;
pub mod command;
pub mod data;
pub mod extension;
pub mod line;
pub mod parameter;
pub mod proxy_protocol;
pub mod reply;
pub mod sasl;
pub mod server;
pub mod xforward;
