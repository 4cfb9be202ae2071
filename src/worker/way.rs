//! One way up: servers that a transaction may go to, and the pool of connections to them.
//!
//! Each upstream of the configuration that names its servers is one, for as long as the worker lives. Where
//! servers are looked up, each domain that mail goes to is one, for as long as there is mail and what was
//! found does not change.
//!
//! Invariant: what was learnt of a server (that it cannot do TLS, what it announced) is held with it, and
//! goes when it goes; a connection is only used for what its server had to prove when it was opened.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::hop::Wanted;
use super::pool::Pool;
use crate::base::slab::Key;
use crate::base::time::Instant;
use crate::policy::mx::{Host, Hosts, Policies};
use crate::policy::settings::{self, PoolLimits, Upstream};
use crate::policy::tls::Leg;
use crate::smtp::extension::Capabilities;
use crate::traffic::lane::Shares;

/// How long a server that failed to do TLS is not asked for it again.
const IN_CLEAR: Duration = Duration::from_secs(600);

/// What all ways of one upstream have together.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    /// Connections.
    pub(super) total: usize,
    /// Those among them that are at rest.
    pub(super) parked: usize,
    /// Ways that somebody waits on and that have no connection, first come first.
    pub(super) starving: VecDeque<Key>,
}

#[derive(Debug)]
pub(super) struct Way {
    /// Whose settings hold on it.
    pub(super) upstream: usize,
    pub(super) pool: Pool,
    /// By their numbers in the pool.
    pub(super) servers: Vec<Server>,
    /// What was looked up; None: the configuration names the servers.
    pub(super) hosts: Option<Arc<Hosts>>,
    /// Since when nobody has been on it.
    pub(super) unused_since: Option<Instant>,
}

/// One server, and what was learnt of it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// What a handshake asks for, and whether there must be one.
    pub(super) leg: Leg,
    clear_until: Option<Instant>,
    pub(super) heard: Option<Capabilities>,
}

impl Way {
    /// To the servers that the configuration names; none, where they have to be looked up.
    pub(super) fn configured(
        upstream: usize,
        settings: &Upstream,
        policies: &Policies,
        shares: Shares,
        seed: u64,
    ) -> Self {
        let mut leg = settings.tls.leg();
        if let (Some(toward), Some(own)) = (&mut leg.toward, policies.as_set()) {
            toward.policy = own.clone();
        }
        let server = |it: &settings::Server| Server::new(it.address, leg.clone());
        let servers: &[settings::Server] = if settings.is_looked_up() { &[] } else { &settings.servers };
        Self {
            upstream,
            pool: Pool::new(settings.pool, settings.congestion, shares, servers, seed),
            servers: servers.iter().map(server).collect(),
            hosts: None,
            unused_since: None,
        }
    }

    /// To hosts that were looked up.
    pub(super) fn looked_up(
        upstream: usize,
        settings: &Upstream,
        policies: &Policies,
        hosts: Arc<Hosts>,
        shares: Shares,
        seed: u64,
    ) -> Self {
        let (in_pool, servers): (Vec<_>, Vec<_>) = servers(&hosts, settings, policies).into_iter().unzip();
        let limits = PoolLimits { warm: 0, ..settings.pool };
        let pool = Pool::new(limits, settings.congestion, shares, &in_pool, seed);
        Self { upstream, pool, servers, hosts: Some(hosts), unused_since: None }
    }

    /// What all servers heard so far announced.
    pub(super) fn common_capabilities(&self) -> Option<Capabilities> {
        let heard = self.servers.iter().filter_map(|server| server.heard.clone());
        heard.reduce(|all, server| all.intersect_end_to_end(&server))
    }

    /// Connections that one way may have at most.
    pub(super) fn connections_max(&self, settings: &Upstream) -> usize {
        let of_domain = self.hosts.as_ref().and(settings.mx.as_ref()).map(|mx| mx.connections);
        of_domain.map_or(settings.pool.max, |connections| connections.min(settings.pool.max))
    }

    /// Somebody waits, and there is no connection that could come free.
    pub(super) fn is_starving(&self) -> bool {
        self.hosts.is_some() && self.pool.has_waiters() && self.pool.total() == 0
    }

    /// Nobody has been on it for so long.
    pub(super) fn is_unused(&mut self, now: Instant, patience: Duration) -> bool {
        if self.pool.total() > 0 || self.pool.has_waiters() {
            self.unused_since = None;
            return false;
        }
        now.since(*self.unused_since.get_or_insert(now)) >= patience
    }
}

const fn in_pool(host: &Host) -> settings::Server {
    settings::Server { address: host.address, weight: host.weight, rank: host.preference }
}

/// Those that can prove what they have to; the others get no mail. Addresses of one host share what sessions
/// are made from, which is much larger than they are.
fn servers(hosts: &Hosts, settings: &Upstream, policies: &Policies) -> Vec<(settings::Server, Server)> {
    let mut servers = Vec::new();
    let mut last: Option<(&Host, Option<Leg>)> = None;
    for host in &hosts.hosts {
        let is_same = |other: &Host| other.name == host.name && other.security == host.security;
        let leg = match last.take() {
            Some((other, leg)) if is_same(other) => leg,
            _ => host.leg(&hosts.domain, &settings.tls, policies),
        };
        servers.extend(leg.clone().map(|leg| (in_pool(host), Server::new(host.address, leg))));
        last = Some((host, leg));
    }
    servers
}

impl Server {
    const fn new(address: SocketAddr, leg: Leg) -> Self {
        Self { address, leg, clear_until: None, heard: None }
    }

    /// What a new connection asks for: nothing of a server that could not do it a moment ago, where mail
    /// may go in clear.
    pub(super) fn wanted_tls(&self, now: Instant) -> Wanted {
        match &self.leg.toward {
            None => Wanted::Nothing,
            Some(_) if self.leg.is_required => Wanted::Always,
            Some(_) if self.clear_until.is_some_and(|until| now < until) => Wanted::Nothing,
            Some(_) => Wanted::IfAnnounced,
        }
    }

    /// A handshake failed. Where TLS is only offered, mail goes in clear for a while; says whether it
    /// does.
    pub(super) fn note_tls_failure(&mut self, now: Instant) -> bool {
        let is_offered = self.leg.is_offered();
        if is_offered {
            self.clear_until = Some(now + IN_CLEAR);
        }
        is_offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::mx::Security;
    use crate::policy::settings::{Congestion, IdentityMode, UpstreamTimeouts};
    use crate::policy::tls::{TowardServer, UpstreamTls};
    use crate::tls::client_policy::{Authentication, ClientPolicy};
    use crate::tls::dane::Tlsa;

    fn upstream() -> Upstream {
        let second = Duration::from_secs(1);
        let policy = ClientPolicy::new(Authentication::None, None).unwrap();
        Upstream {
            name: "out".to_owned(),
            servers: Vec::new(),
            mx: None,
            pool: PoolLimits { warm: 0, max: 4, messages: 1, age: second, idle: second, wait: second },
            congestion: Congestion::default(),
            identity: IdentityMode::None,
            tls: UpstreamTls::Offer(TowardServer { policy, name: None }),
            auth: None,
            timeout: UpstreamTimeouts { connect: second, reply: second, end: second },
            chunking: false,
            data_ahead: 0,
        }
    }

    /// Whoever publishes many addresses and many records must not make us hold them once for each address.
    #[test]
    fn addresses_of_one_host_share_what_sessions_are_made_from() {
        let host = |name: &str, last: u8, octet: u8| Host {
            preference: 10,
            name: Some(name.into()),
            address: ([192, 0, 2, last], 25).into(),
            weight: 1,
            security: Security::Dane(
                [Tlsa { usage: 3, selector: 1, matching: 1, data: vec![octet; 32] }].into(),
            ),
        };
        let hosts =
            vec![host("a.test", 1, 1), host("a.test", 2, 1), host("b.test", 3, 1), host("b.test", 3, 2)];
        let hosts = Hosts { domain: "test".into(), is_certain: true, left_out: 0, hosts };
        let settings = upstream();
        let found = servers(&hosts, &settings, &Policies::apart(&settings));
        let policies: Vec<_> =
            found.iter().map(|(_, server)| &server.leg.toward.as_ref().unwrap().policy).collect();
        let [first, second, third, fourth] = policies[..] else { panic!("{policies:?}") };
        assert!(first == second && second != third && third != fourth);
    }
}
