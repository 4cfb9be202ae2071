//! Finding: patterns from files, compiled once, looked for in every byte while it passes.

mod database;
mod expression;
pub mod normalise;
pub mod pattern;
pub mod phrase;
pub mod reference;
mod required;
pub mod validator;
