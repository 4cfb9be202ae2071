//! The black-box checks: the real program between scripted peers, each check by its number.
//!
//! A check states what a client and a next hop may see, never how it comes about. Where the full
//! size of a check is for machines of its own, a constant at its head says to what it is scaled.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the peers of the product are plain blocking programs"
)]

mod abuse;
mod auth;
mod congestion;
mod contact;
mod dialogue;
mod faults;
mod framing;
mod lanes;
mod limits;
mod login;
mod mx;
mod process;
mod quarantine;
mod reload;
mod resources;
mod sealing;
mod sender;
mod tls;
mod trust;

use super::harness::client::{Client, Heard};
use super::harness::proxy::{Proxy, Setup};
use super::harness::upstream::{At, Do, EXTENSIONS, Plan, Step, Upstream};
use super::harness::{Folder, PATIENCE, eventually, in_parallel};

/// A next hop and the proxy in front of it.
fn pair(plan: Plan) -> (Upstream, Proxy) {
    let upstream = plan.start();
    let proxy = Setup::toward(upstream.address).start();
    (upstream, proxy)
}

/// Sends so much through `proxy` that each of its receive buffers was filled once: from then on
/// they are there for good, and what grows is something else.
fn warm(proxy: &Proxy) {
    let large = ("x".repeat(78) + "\r\n").repeat(400_000);
    assert_eq!(proxy.session().message("b@hop.example", large.as_bytes()).code, 250);
}
