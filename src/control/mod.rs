//! Configuration, boot, the admin plane: what an administrator holds on to.

pub mod admin;
mod balance;
pub mod boot;
pub mod check;
mod check_patterns;
pub mod config;
pub mod ctl;
pub mod explain;
pub mod metrics;
pub mod passwd;
pub mod patterns;
pub mod quarantine_command;
mod quarantine_pages;
pub mod replay;
pub mod signal;
