//! Finding: patterns from files, compiled once, looked for in every byte while it passes.

mod database;
pub mod normalise;
pub mod phrase;
pub mod reference;
