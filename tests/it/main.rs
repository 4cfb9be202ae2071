//! The integration tests, in one binary so that they link once.

// A test says what is wrong by panicking.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod checks;
mod harness;
mod inspection;
mod judging;
mod packs;
mod passwd;
mod sender;
mod resolver;
mod simulation;
mod tidy;
mod transcripts;
