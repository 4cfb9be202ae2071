//! What an administrator decided, as plain data: one immutable snapshot per configuration file.
//!
//! `control::config` reads and checks the file and is the only one to build these; worker and relay
//! only look. Everything here is already checked: an [`UpstreamIndex`] is in range, a weight is at
//! least 1, `warm` is at most `max`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use super::conduct;
use super::first_contact;
use super::inspect::Engine;
use super::judge::Policy;
use super::login::UpstreamAuth;
use super::mx;
use super::reputation;
use super::route::Routes;
use super::sender;
use super::tls::{DownstreamTls, UpstreamTls};
use super::users::DownstreamAuth;
use crate::smtp::sasl::Secret;
use crate::tls::client_policy::ClientPolicy;
use crate::traffic::patience::Patience;

/// One configuration. A transaction is judged by exactly one of these.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our name in the greeting, EHLO and Received.
    pub hostname: String,
    pub workers: Workers,
    pub listeners: Vec<Listener>,
    pub upstreams: Vec<Upstream>,
    pub routes: Routes,
    /// What decides over a message.
    pub policy: Policy,
    pub inspect: Inspect,
    /// What content is looked through for; `None`: it is not.
    pub engine: Option<Arc<Engine>>,
    /// What is asked about who sends; `None`: nothing.
    pub sender: Option<Arc<sender::Settings>>,
    /// How it is remembered who behaves how.
    pub conduct: conduct::Settings,
    /// What is asked of those who have not met; `None`: nothing.
    pub first_contact: Option<Arc<first_contact::Settings>>,
    /// Who counts as known; `None`: nobody.
    pub reputation: Option<reputation::Settings>,
    /// Where that is remembered.
    pub store: Store,
    /// Where messages are kept that nobody shall get unseen; `None`: nowhere.
    pub quarantine: Option<Quarantine>,
    /// Where the admin plane listens; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    pub records: RecordSink,
    /// Names this snapshot in records: a digest of the file's bytes.
    pub hash: String,
}

impl Config {
    /// Whether recipients of different domains may need transactions of their own.
    pub fn routes_apart(&self) -> bool {
        self.upstreams.len() > 1 || self.upstreams.iter().any(|upstream| upstream.mx.is_some())
    }

    /// Whether anything is remembered from one message to the next.
    pub const fn remembers(&self) -> bool {
        self.first_contact.is_some() || self.reputation.is_some()
    }
}

/// What holds for each worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    pub cpus: Cpus,
    /// Client connections of one worker.
    pub connections: usize,
    /// Bytes of content held back of each message; 0 streams always.
    pub window: usize,
    /// Bytes of all windows of one worker together.
    pub window_budget: usize,
    /// Bytes of the largest message (SIZE).
    pub message: u64,
    /// Bytes of the longest line of content, CRLF included.
    pub line: u64,
    /// Recipients of one transaction (RCPTMAX).
    pub recipients: u32,
    /// Transactions of one session (MAILMAX).
    pub transactions: u32,
    /// Received fields that a message may bring; more is a loop.
    pub received: u32,
    /// Bytes a second below which content counts as stalled; 0 never.
    pub min_rate: u64,
    pub timeout: DownstreamTimeouts,
}

impl Workers {
    /// How long a client may take that nothing else is said of.
    pub const fn patience(&self) -> Patience {
        Patience { command: self.timeout.command, content: self.timeout.content, min_rate: self.min_rate }
    }
}

/// Which CPUs get a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// One for each that we may run on and that a quota pays for.
    Auto,
    /// One for each physical core: what SMT adds is left to the kernel and the service thread.
    Cores,
    /// One for each in the list.
    List(Vec<usize>),
}

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownstreamTimeouts {
    /// For the next command.
    pub command: Duration,
    /// For the next bytes of content.
    pub content: Duration,
    /// For all that runs when we are told to drain.
    pub drain: Duration,
}

/// Where clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub addresses: Vec<SocketAddr>,
    /// Networks whose connections must begin with a PROXY header.
    pub proxy_protocol: Vec<IpNet>,
    /// Networks that may use XCLIENT and XFORWARD toward us.
    pub xclient: Vec<IpNet>,
    pub bare_newline: BareNewlinePolicy,
    pub tls: DownstreamTls,
    /// `None`: AUTH is not known.
    pub auth: Option<DownstreamAuth>,
    /// Networks whose word about priorities counts (RFC 6710), beside that of users; `None`: nobody's is heard.
    pub mt_priority: Option<Vec<IpNet>>,
    /// Mail of our own comes here: whom it goes to is known from then on.
    pub outbound: bool,
}

impl Listener {
    /// Whether who comes here may be nobody of ours: on a listener of our own mail, who has not logged in where one
    /// can.
    pub const fn has_strangers(&self) -> bool {
        !self.outbound || self.auth.is_some()
    }

    /// Whether a connection from `peer` must begin with a PROXY header.
    pub fn must_speak_proxy(&self, peer: IpAddr) -> bool {
        contains(&self.proxy_protocol, peer)
    }

    /// Whether a client at `peer` may tell us who the client is.
    pub fn may_xclient(&self, peer: IpAddr) -> bool {
        contains(&self.xclient, peer)
    }

    /// Whether a client at `peer` may raise its mail above others'.
    pub fn may_raise(&self, peer: IpAddr) -> bool {
        self.mt_priority.as_ref().is_some_and(|networks| contains(networks, peer))
    }

    /// Whether bare newlines of a client at `peer` are replaced instead of refused.
    pub fn replaces_bare_newline(&self, peer: IpAddr) -> bool {
        match &self.bare_newline {
            BareNewlinePolicy::Reject => false,
            BareNewlinePolicy::Replace(networks) => contains(networks, peer),
        }
    }
}

/// What becomes of a bare CR, bare LF or NUL in content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BareNewlinePolicy {
    Reject,
    /// Replaced for clients of these networks, refused for all others.
    Replace(Vec<IpNet>),
}

/// Place of an [`Upstream`] in [`Config::upstreams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamIndex(pub usize);

/// Between an upstream's name and the number of one that differs from it in its `tls`, as a route of it says; in no name
/// of a file.
pub const VARIANT: char = '+';

/// A next hop: servers that are equal to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub name: String,
    /// None where they are found by recipients' domains.
    pub servers: Vec<Server>,
    /// How they are found, if they are.
    pub mx: Option<mx::Settings>,
    pub pool: PoolLimits,
    pub congestion: Congestion,
    pub identity: IdentityMode,
    pub tls: UpstreamTls,
    /// Who we are to its servers; `None`: nobody asks.
    pub auth: Option<Arc<UpstreamAuth>>,
    pub timeout: UpstreamTimeouts,
    /// BDAT is used where the server announces CHUNKING.
    pub chunking: bool,
    /// Messages in a row that were one recipient and its content, after which DATA is said together
    /// with RCPT to a next hop without CHUNKING; 0: never.
    pub data_ahead: u32,
}

impl Upstream {
    /// Whether it must be asked where a recipient's mail goes, before a connection can be.
    pub const fn is_looked_up(&self) -> bool {
        self.mx.is_some() || matches!(self.tls, UpstreamTls::Dane(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    pub address: SocketAddr,
    /// Its share of new connections among the servers of the upstream; at least 1.
    pub weight: u32,
    /// Only where no server of a lower one can be reached this one is tried.
    pub rank: u16,
}

/// Bounds of one worker's pool toward one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections kept greeted and ready, even when nobody asks.
    pub warm: usize,
    /// Connections, busy ones included.
    pub max: usize,
    /// Messages after which a connection is replaced.
    pub messages: u32,
    /// Age after which a connection is replaced.
    pub age: Duration,
    /// Time parked after which a connection beyond `warm` is closed.
    pub idle: Duration,
    /// Time a transaction waits for a connection before `451 4.3.2`.
    pub wait: Duration,
}

impl Config {
    /// How many servers each upstream names.
    pub fn servers(&self) -> Vec<usize> {
        self.upstreams.iter().map(|upstream| upstream.servers.len()).collect()
    }
}

/// How much of its pool an upstream gets, as its servers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Congestion {
    /// Transactions that a server may have in hand however slow it is.
    pub min: usize,
    /// How many it may have follows how fast it answers; else it is always `pool.max`.
    pub adapts: bool,
    /// A server that is far from the others gets nothing for a while.
    pub ejects: bool,
}

impl Default for Congestion {
    fn default() -> Self {
        Self { min: 4, adapts: true, ejects: true }
    }
}

/// How the next hop hears who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityMode {
    None,
    /// XFORWARD with each transaction.
    Xforward,
    /// XCLIENT, on a connection of the session's own.
    Xclient,
    /// PROXY v2, on a connection of the session's own.
    Proxy,
}

impl IdentityMode {
    /// Whether a connection belongs to one client and must not be pooled.
    pub const fn is_dedicated(self) -> bool {
        matches!(self, Self::Xclient | Self::Proxy)
    }
}

/// How long a next hop may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// To connect and to greet.
    pub connect: Duration,
    /// For the reply to a command.
    pub reply: Duration,
    /// For the reply to the end of content.
    pub end: Duration,
}

/// How content is looked into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspect {
    /// Content is looked into at all.
    pub enabled: bool,
    /// Pattern files; the last part of a path may have `*`.
    pub patterns: Vec<PathBuf>,
    /// Nanoseconds for each KB of text that all patterns together may cost; `None`: as built in.
    pub budget_ns: Option<u64>,
    /// Where compiled patterns are kept from one start to the next; `None`: nowhere.
    pub cache: Option<PathBuf>,
    /// Domains that others may want to look like.
    pub protect: Vec<String>,
    pub bounds: InspectBounds,
}

/// How far into one message inspection goes. What hits a bound is a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectBounds {
    /// Multiparts and messages within each other.
    pub depth: usize,
    /// Parts, archive entries among them.
    pub parts: u32,
    /// Bytes of one header section.
    pub header_bytes: usize,
    /// Archives within archives.
    pub archive_depth: usize,
    /// Bytes that all archives of one message unpack to.
    pub expansion_bytes: u64,
}

impl Default for InspectBounds {
    fn default() -> Self {
        Self {
            depth: 100,
            parts: 10_000,
            header_bytes: 1 << 20,
            archive_depth: 8,
            expansion_bytes: 256 << 20,
        }
    }
}

/// The store of messages that were not let through and not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    pub path: PathBuf,
    pub spool: Spool,
    /// Bytes of all messages in it.
    pub bytes_max: u64,
    /// Older messages are deleted.
    pub age_max: Duration,
}

/// What is remembered from one message to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// A folder; `None`: it is forgotten when the process ends.
    pub path: Option<PathBuf>,
    /// Entries of each of its tables.
    pub entries_max: usize,
    /// `None`: it is this process' own.
    pub shared: Option<Arc<SharedStore>>,
}

/// Where Redis or Valkey is, which several machines have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedStore {
    /// One server; of a cluster at least one, which tells of the others.
    pub nodes: Vec<(String, u16)>,
    pub is_cluster: bool,
    /// `None`: in clear.
    pub tls: Option<ClientPolicy>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub database: u16,
    /// Where the names of all keys begin.
    pub prefix: String,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// That have it in common: so finely are limits lent.
    pub machines: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self { path: None, entries_max: 200_000, shared: None }
    }
}

impl SharedStore {
    /// What all who share it make keys under that others cannot make, as far as the store has a password.
    pub fn secret(&self) -> u128 {
        let mut digest = Sha256::new();
        digest.update(self.password.as_ref().map_or(&b""[..], Secret::as_bytes));
        digest.update([0]);
        digest.update(&self.prefix);
        digest.finalize().iter().take(16).fold(0, |secret, octet| secret << 8 | u128::from(*octet))
    }
}

/// Of which messages that stream a copy is kept while they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spool {
    Never,
    /// Of those whose score, at the end of the window, asks for it.
    Suspect,
    Always,
}

/// Where records go, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordSink {
    Stdout,
    File(PathBuf),
    Off,
}

/// An IPv4 client that reaches a dual-stack listener has a mapped address; it is the IPv4 network
/// that the administrator wrote down.
pub(super) fn contains(networks: &[IpNet], peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    networks.iter().any(|network| network.contains(&peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_in_their_ipv4_network() {
        let networks = ["10.0.0.0/8".parse().unwrap()];
        assert!(contains(&networks, "10.1.2.3".parse().unwrap()));
        assert!(contains(&networks, "::ffff:10.1.2.3".parse().unwrap()));
        assert!(!contains(&networks, "11.0.0.1".parse().unwrap()));
        assert!(!contains(&networks, "::1".parse().unwrap()));
    }
}
