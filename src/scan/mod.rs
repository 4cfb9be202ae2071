//! Finding: patterns from files, compiled once, looked for in every byte while it passes.

mod confirm;
mod database;
mod expression;
mod hit;
#[cfg(test)]
mod naive;
pub mod normalise;
pub mod pattern;
pub mod phrase;
pub mod reference;
mod required;
mod rules;
mod set;
mod stream;
pub mod validator;

pub use database::{EngineFault, library_version};
pub use hit::{Hit, Shortfall};
pub use rules::{Choice, Rules};
pub use set::Set;
pub use stream::{Scratch, Stream};
