//! Everything that can happen to a relay.

use std::net::SocketAddr;
use std::sync::Arc;

use super::question::{Answer, Query};
use crate::smtp::client::Client;
use crate::tls::secured::Secured;

/// The two sides of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The side that connected to us.
    Downstream,
    /// The side we connected to.
    Upstream,
}

/// An upstream connection, greeted and clean, lent to a relay for one transaction.
#[derive(Debug)]
pub struct Lease {
    pub client: Box<Client>,
    /// Which server of the upstream this is.
    pub server: SocketAddr,
    /// No transaction was seen on it yet, so it needs no RSET and cannot be stale.
    pub fresh: bool,
    /// It was at rest before: that it ends may have happened long ago.
    pub kept: bool,
    /// What TLS established with it; None: it is in clear.
    pub secured: Option<Arc<Secured>>,
}

/// Why an upstream connection ended under us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// FIN: everything before it was received.
    Closed,
    /// Reset, timeout in the kernel, or a failed send.
    Broken,
}

/// Why there is no connection for a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No server of the upstream can be reached.
    Unreachable,
    /// More wait for one than can be served in time.
    Overloaded,
    /// It was to be a silent retry, and there were too many of them.
    Retries,
}

#[derive(Debug)]
pub enum Event<'a> {
    /// The client is connected; nothing was said yet.
    Opened,
    /// Hands were shaken with the client: all that comes from here on is under TLS.
    Secured(Box<Secured>),
    /// There is no TLS with the client, and nothing else: why, by a word of a closed set.
    Insecure(&'static str),
    Received(Side, &'a [u8]),
    Ended(Side, Ending),
    /// The kernel took this many bytes of what we had queued for that side.
    Sent(Side, usize),
    CheckedOut(Lease),
    CheckOutRefused(Refusal),
    /// A turn after `Confirm`: the connection to the next hop is still there.
    Confirmed,
    /// What came of an `Ask`. A relay ignores what it does not wait for.
    Answered(Query, Answer),
    /// The deadline told by [`Relay::deadline`](super::Relay::deadline) has passed.
    Expired,
    /// Finish what runs, begin nothing new.
    Drain,
    /// Others need the place of a client that is in the middle of nothing.
    Shed,
}
