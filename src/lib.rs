//! Postern: an SMTP proxy that judges every message while its bytes pass, and owns no queue.
//!
//! The map, in reading order. Imports point down this list reversed: a module may know those
//! above it, never those below (`tests/it/tidy.rs` holds that; ARCHITECTURE.md says why).

pub mod limits;

#[forbid(unsafe_code)]
pub mod base;

#[forbid(unsafe_code)]
pub mod smtp;

#[forbid(unsafe_code)]
pub mod mime;

pub mod scan;

#[forbid(unsafe_code)]
pub mod sender;

#[forbid(unsafe_code)]
pub mod tls;

#[forbid(unsafe_code)]
pub mod traffic;

#[forbid(unsafe_code)]
pub mod policy;

#[forbid(unsafe_code)]
pub mod relay;

pub mod reactor;

#[forbid(unsafe_code)]
pub mod worker;

#[forbid(unsafe_code)]
pub mod service;

#[forbid(unsafe_code)]
pub mod control;

#[forbid(unsafe_code)]
pub mod load;
