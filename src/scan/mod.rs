//! Finding: patterns from files, compiled once, looked for in every byte while it passes.
//!
//! [`pattern::parse`] reads files, [`Rules::compile`] makes one [`Set`] for each place that some pattern
//! names, and a worker with its [`Scratch`] opens a [`Stream`] of a set for each part that needs it: bytes
//! or text in, [`Hit`]s out, and at its end a [`Shortfall`], which is what could not be looked at. Beside
//! this stand what looks at single things: numbers, links, names, digests.
//!
//! Nothing here knows of mail. No IO, no clock: the cost sheet is given one.

mod confirm;
pub mod cost;
mod database;
pub mod digest;
mod expression;
mod gate;
mod hit;
pub mod lookalike;
#[cfg(test)]
mod naive;
pub mod normalise;
pub mod pattern;
pub mod phrase;
pub mod redact;
pub mod reference;
mod required;
mod rules;
mod set;
mod stream;
pub mod url;
pub mod validator;

pub use database::{EngineFault, library_version};
pub use hit::{
    BYTES_PER_CHECK, CHECKS_FREE, HIT_PATTERNS_MAX, HITS_TOLD_MAX, HITS_WAITING_MAX, Hit, Shortfall,
};
pub use rules::{Choice, Rules};
pub use set::{Set, WORDS_MIN};
pub use stream::{
    BLOCK_BYTES, BYTES_PER_END, CONFIRM_BYTES_FREE, CONFIRM_BYTES_PER_BYTE, ENDS_FREE, IDLE_STREAMS_MAX,
    MATCHES_PER_BLOCK_MAX, STREAM_BUFFER_BYTES, Scratch, Stream, TAIL_BYTES,
};
