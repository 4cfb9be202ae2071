//! The integration tests, in one binary so that they link once.

// A test says what is wrong by panicking.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod simulation;
mod tidy;
