//! The integration tests, in one binary so that they link once.

// A test says what is wrong by panicking.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod checks;
mod harness;
mod inspection;
mod judging;
mod packs;
mod passwd;
mod resolver;
mod sender;
mod simulation;
mod tidy;
mod tls;
mod transcripts;
