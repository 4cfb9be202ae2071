//! Configuration, boot, the admin plane: what an administrator holds on to.

pub mod config;
pub mod metrics;
