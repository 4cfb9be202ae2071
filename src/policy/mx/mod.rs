//! Which hosts take mail for a domain, and what proves that they are the right ones.
//!
//! RFC 5321 §5 (MX), RFC 7505 (null MX), RFC 7672 (DANE), RFC 8461 (MTA-STS). A function of what the DNS
//! said ([`Known`]) and of the domain's MTA-STS policy, run where both can be asked for; the relay asks at
//! the first recipient. Of upstreams whose servers are named only the TLSA records are asked for.
//!
//! What must always hold: a host that the domain's policy or TLSA records rule out is not among the
//! answers; what the DNS could not say of hosts and their records defers the message (that of a policy that was
//! never heard does not: RFC 8461 §5.1); equal answers give equal [`Hosts`], in whatever order records came.

pub mod mta_sts;
mod reach;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::settings::{Server, Upstream};
use super::tls::{Leg, TowardServer, UpstreamTls};
use crate::sender::dns::{Answer, Kind, Known, Missing, Name, Query, Record};
use crate::sender::to_ascii;
use crate::smtp::address::literal_address;
use crate::smtp::reply::Reply;
use crate::tls::client_policy::{Authentication, ClientPolicy, server_name};
use crate::tls::dane::{Tlsa, is_usable};
use mta_sts::{Mode, Policy};
pub use reach::may_reach;

/// Hosts of one domain that are looked at, best ones first.
const HOSTS_MAX: usize = 8;
/// Addresses of one host.
const ADDRESSES_MAX: usize = 8;
/// TLSA records of one host.
const TLSA_MAX: usize = 32;

/// How servers are found by the domain of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub port: u16,
    /// Networks that hosts may be in though they are none of the Internet's.
    pub private: Vec<IpNet>,
    /// Where policies of domains are fetched from; None: they are not asked for.
    pub mta_sts_port: Option<u16>,
    /// Connections of one worker toward one domain.
    pub connections: usize,
    /// For hosts that must prove their name to an authority.
    pub named: ClientPolicy,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfDomain {
    /// Whose settings hold.
    pub upstream: usize,
    /// As the recipient's address has it: a name, in UTF-8 or not, or an address literal.
    pub domain: String,
}

/// Where mail for one domain goes. Compares equal where nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// In the form the DNS has it.
    pub domain: Box<str>,
    /// That they are the domain's is proven too, by the DNS or by its policy (RFC 8689 §8.2).
    pub is_certain: bool,
    /// So many of them are not there, for they cannot do what a message asks.
    pub left_out: usize,
    /// In order of preference; at least one.
    pub hosts: Vec<Host>,
}

impl Hosts {
    /// All but the host at this address. None: there is no other.
    pub fn without(&self, address: SocketAddr) -> Option<Self> {
        let left_out = self.hosts.iter().find(|host| host.address == address)?;
        let others = self.hosts.iter().filter(|host| host.name != left_out.name);
        let hosts: Vec<_> = others.cloned().collect();
        let (domain, is_certain, left_out) = (self.domain.clone(), self.is_certain, self.left_out + 1);
        (!hosts.is_empty()).then_some(Self { domain, is_certain, left_out, hosts })
    }
}

/// One address of one host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// Lower ones are tried first.
    pub preference: u16,
    /// None: it is known by its address only.
    pub name: Option<Box<str>>,
    pub address: SocketAddr,
    pub weight: u32,
    pub security: Security,
}

/// What holds on connections to a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Security {
    /// What the upstream's `tls` says.
    AsSet,
    /// No mail in clear, whoever answers: there are TLSA records, and none is usable (RFC 7672 §2.2).
    Encrypted,
    /// The host proves its name to an authority (RFC 8461 §4.2).
    Named,
    /// One of the records matches (RFC 7672). All addresses of a host share them.
    Dane(Arc<[Tlsa]>),
}

/// What sessions toward hosts of one upstream are made from.
#[derive(Clone, Debug)]
pub struct Policies {
    as_set: Option<ClientPolicy>,
    /// For hosts that must prove their name to an authority.
    named: Option<ClientPolicy>,
}

impl Policies {
    /// With tickets of its own.
    pub fn apart(upstream: &Upstream) -> Self {
        Self {
            as_set: upstream.tls.toward_server().map(|toward| toward.policy.apart()),
            named: upstream.mx.as_ref().map(|mx| mx.named.apart()),
        }
    }

    /// As the upstream's `tls` says, whoever the server is.
    pub const fn as_set(&self) -> Option<&ClientPolicy> {
        self.as_set.as_ref()
    }
}

impl Host {
    /// How it is spoken with, for mail to `domain`. None: what it has to prove cannot be asked of it.
    pub fn leg(&self, domain: &str, tls: &UpstreamTls, policies: &Policies) -> Option<Leg> {
        let name = self.name.clone();
        let toward = |policy: &Option<ClientPolicy>| {
            policy.clone().map(|policy| TowardServer { policy, name: name.clone() })
        };
        let (toward, is_required) = match &self.security {
            Security::AsSet => (toward(&policies.as_set), tls.is_required()),
            Security::Encrypted => (toward(&policies.as_set), true),
            Security::Named => (toward(&policies.named), true),
            Security::Dane(records) => {
                // RFC 7672 §3.2.2: the host's own name, and the domain's.
                let names = name.as_deref().into_iter().chain([domain]).filter_map(server_name).collect();
                let authentication = Authentication::Dane { records: records.to_vec(), names };
                (toward(&policies.as_set.as_ref()?.with(authentication).ok()), true)
            }
        };
        (toward.is_some() || !is_required).then_some(Leg { toward, is_required })
    }
}

/// What came of it.
pub type Found = Result<Hosts, Nowhere>;

/// Why there is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nowhere {
    /// The domain takes no mail (RFC 7505).
    NullMx,
    /// There is no such domain.
    NoDomain,
    /// It has no host, or none with an address.
    NoHost,
    /// Its best host is called as we are (RFC 5321 §5.1).
    Loop,
    /// None of its addresses is one of the Internet.
    Unreachable,
    /// The DNS does not say.
    Failed,
    /// Its MTA-STS policy names none of its hosts.
    NotInPolicy,
    /// No host has TLSA records that could prove it, which the upstream's `tls` asks for.
    NoTlsa,
    /// It is an address, which proves nothing.
    NoName,
    /// Nothing proves whose hosts they are, which REQUIRETLS asks for (RFC 8689 §8.2).
    Uncertain,
}

impl Nowhere {
    /// What the recipients hear: 5yz only of what the domain itself says for certain.
    pub fn reply(self) -> Reply {
        let (code, enhanced, text) = match self {
            Self::NullMx => (556, "5.1.10", "the domain of the recipient accepts no mail (null MX)"),
            Self::NoDomain => (550, "5.1.2", "the domain of the recipient does not exist"),
            Self::NoHost => (550, "5.4.4", "the domain of the recipient has no host for mail"),
            Self::Loop => (554, "5.4.6", "mail for the domain of the recipient would loop back here"),
            Self::Unreachable => {
                (550, "5.4.4", "the domain of the recipient leads to no host of the Internet")
            }
            Self::Failed => (451, "4.4.3", "the domain of the recipient cannot be looked up, come again"),
            Self::NotInPolicy => (451, "4.7.5", "no host of the domain is in its MTA-STS policy, come again"),
            Self::NoTlsa => (451, "4.7.5", "no host of the domain can be authenticated by DANE, come again"),
            Self::Uncertain => {
                (550, "5.7.10", "REQUIRETLS: nothing proves which hosts are those of the domain")
            }
            Self::NoName => (550, "5.7.10", "a host without a name cannot be authenticated"),
        };
        Reply::new(code, enhanced, text)
    }
}

/// What an upstream asks of the hosts that are found for it.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Our own name: what leads to it leads back.
    pub hostname: &'a str,
    /// None: `servers` are named.
    pub mx: Option<&'a Settings>,
    pub servers: &'a [Server],
    pub tls: &'a UpstreamTls,
}

impl<'a> Rules<'a> {
    pub fn new(hostname: &'a str, upstream: &'a Upstream) -> Self {
        Self { hostname, mx: upstream.mx.as_ref(), servers: &upstream.servers, tls: &upstream.tls }
    }
}

impl OfDomain {
    /// Octets that travel with it.
    pub const fn weight(&self) -> usize {
        self.domain.len()
    }

    /// The domain whose MTA-STS policy counts.
    pub fn policy_domain(&self) -> Option<Name> {
        // What was meant for an address literal and is none is no name either.
        Name::parse(&to_ascii(&self.domain)).filter(|name| !name.as_str().starts_with('['))
    }

    /// # Errors
    /// What must be asked before.
    pub fn evaluate(
        &self,
        rules: &Rules<'_>,
        policy: Option<&Policy>,
        known: &Known,
    ) -> Result<Found, Missing> {
        let Some(settings) = rules.mx else { return named_servers(rules, known) };
        if let Some(address) = literal(&self.domain) {
            return Ok(at_address(rules, settings, &self.domain, address));
        }
        let Some(domain) = self.policy_domain() else { return Ok(Err(Nowhere::NoDomain)) };
        let policy = policy.filter(|policy| policy.mode == Mode::Enforce);
        let exchangers = match Exchangers::read(&domain, rules, policy, known)? {
            Ok(exchangers) => exchangers,
            Err(nowhere) => return Ok(Err(nowhere)),
        };
        let is_certain = exchangers.is_secure || policy.is_some();
        let reached = exchangers.reach(settings, known)?;
        let hosts = reached.secure(rules, settings, policy.is_some(), known)?;
        Ok(hosts.map(|hosts| Hosts { domain: domain.as_str().into(), is_certain, left_out: 0, hosts }))
    }
}

/// RFC 5321 §4.1.3.
fn literal(domain: &str) -> Option<IpAddr> {
    literal_address(domain.strip_prefix('[')?.strip_suffix(']')?)
}

fn at_address(rules: &Rules<'_>, settings: &Settings, domain: &str, address: IpAddr) -> Found {
    if rules.tls.authenticates() {
        return Err(Nowhere::NoName);
    }
    if !may_reach(address, &settings.private) {
        return Err(Nowhere::Unreachable);
    }
    let address = SocketAddr::new(address, settings.port);
    let host = Host { preference: 0, name: None, address, weight: 1, security: Security::AsSet };
    Ok(Hosts { domain: domain.into(), is_certain: true, left_out: 0, hosts: vec![host] })
}

/// Servers that an administrator named, and TLSA records under the name they are to have.
fn named_servers(rules: &Rules<'_>, known: &Known) -> Result<Found, Missing> {
    let name = rules.tls.toward_server().and_then(|toward| toward.name.as_deref()).and_then(Name::parse);
    let Some(name) = name else { return Ok(Err(Nowhere::NoName)) };
    let mut ports: Vec<u16> = rules.servers.iter().map(|server| server.address.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    let queries: Vec<_> = ports.iter().filter_map(|port| tlsa_query(&name, *port)).collect();
    let answers = known.answers(&queries)?;
    let of_port = |port: u16| {
        let answer = ports.iter().position(|each| *each == port).and_then(|place| answers.get(place));
        answer.map_or(Proof::Failed, |answer| proof(answer))
    };
    let (mut hosts, mut failed) = (Vec::new(), false);
    for server in rules.servers {
        match of_port(server.address.port()) {
            Proof::Records(records) => hosts.push(Host {
                preference: server.rank,
                name: Some(name.as_str().into()),
                address: server.address,
                weight: server.weight,
                security: Security::Dane(records.into()),
            }),
            proof => failed |= proof == Proof::Failed,
        }
    }
    Ok(finish(hosts, if failed { Nowhere::Failed } else { Nowhere::NoTlsa }).map(|hosts| Hosts {
        domain: name.as_str().into(),
        is_certain: true,
        left_out: 0,
        hosts,
    }))
}

/// Hosts in an order that does not depend on that of the records; `otherwise` if there is none.
fn finish(mut hosts: Vec<Host>, otherwise: Nowhere) -> Result<Vec<Host>, Nowhere> {
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.is_empty() { Err(otherwise) } else { Ok(hosts) }
}

/// The hosts that a domain names, best ones first.
#[derive(Debug)]
struct Exchangers {
    hosts: Vec<(u16, Name)>,
    /// Nobody on the way can have put them there.
    is_secure: bool,
}

impl Exchangers {
    fn read(
        domain: &Name,
        rules: &Rules<'_>,
        policy: Option<&Policy>,
        known: &Known,
    ) -> Result<Result<Self, Nowhere>, Missing> {
        let (mut hosts, is_secure) = match known.answer(&Query::new(domain.clone(), Kind::Mx))? {
            Answer::Records { records, is_secure } => match exchangers(records) {
                hosts if hosts.is_empty() => return Ok(Err(Nowhere::NullMx)),
                hosts => (hosts, *is_secure),
            },
            // RFC 5321 §5.1: the domain itself. Its own TLSA records prove it, whoever says that there is no MX.
            Answer::NoData => (vec![(0, domain.clone())], true),
            Answer::NotFound => return Ok(Err(Nowhere::NoDomain)),
            Answer::Failed => return Ok(Err(Nowhere::Failed)),
        };
        // Ours counts though no policy names it: those behind it would send the mail to us.
        let ours = hosts.iter().find(|(_, host)| host.as_str().eq_ignore_ascii_case(rules.hostname));
        let ours = ours.map(|(preference, _)| *preference);
        if let Some(policy) = policy {
            hosts.retain(|(_, host)| policy.allows(host));
            if hosts.is_empty() {
                return Ok(Err(Nowhere::NotInPolicy));
            }
        }
        Ok(before_us(hosts, ours).map(|hosts| Self { hosts, is_secure }))
    }

    /// Where the hosts are.
    fn reach(self, settings: &Settings, known: &Known) -> Result<Reached, Missing> {
        let queries: Vec<_> = self
            .hosts
            .iter()
            .flat_map(|(_, host)| [Kind::A, Kind::Aaaa].map(|kind| Query::new(host.clone(), kind)))
            .collect();
        let answers = known.answers(&queries)?;
        let mut reached = Reached { hosts: Vec::new(), has_failed: false, has_private: false };
        for ((preference, name), answers) in self.hosts.into_iter().zip(answers.chunks(2)) {
            reached.has_failed |= answers.iter().any(|answer| **answer == Answer::Failed);
            let all: Vec<_> =
                answers.iter().flat_map(|answer| answer.records()).filter_map(Record::address).collect();
            let mut addresses: Vec<_> =
                all.iter().copied().filter(|address| may_reach(*address, &settings.private)).collect();
            reached.has_private |= addresses.len() < all.len();
            addresses.sort_unstable();
            addresses.truncate(ADDRESSES_MAX);
            if !addresses.is_empty() {
                let is_secure = self.is_secure && answers.iter().all(|answer| is_sure(answer));
                reached.hosts.push(ReachedHost { preference, name, addresses, is_secure });
            }
        }
        Ok(reached)
    }
}

/// The exchangers of records, best ones first; null ones are none.
fn exchangers(records: &[Record]) -> Vec<(u16, Name)> {
    let named = records.iter().filter_map(|record| match record {
        Record::Mx { preference, exchange } => Some((*preference, exchange.clone()?)),
        _ => None,
    });
    let mut hosts: Vec<_> = named.collect();
    hosts.sort_unstable();
    hosts.dedup_by(|later, earlier| later.1 == earlier.1);
    hosts.truncate(HOSTS_MAX);
    hosts
}

/// RFC 5321 §5.1: where we are an exchanger ourselves, only better ones are asked.
fn before_us(mut hosts: Vec<(u16, Name)>, ours: Option<u16>) -> Result<Vec<(u16, Name)>, Nowhere> {
    hosts.retain(|(preference, _)| ours.is_none_or(|ours| *preference < ours));
    if hosts.is_empty() { Err(Nowhere::Loop) } else { Ok(hosts) }
}

/// Nobody on the way put these records there. That there are none leads nowhere.
const fn is_sure(answer: &Answer) -> bool {
    match answer {
        Answer::Records { is_secure, .. } => *is_secure,
        _ => true,
    }
}

#[derive(Debug)]
struct Reached {
    hosts: Vec<ReachedHost>,
    /// Of some the DNS did not say where they are.
    has_failed: bool,
    /// Some are where no mail to the Internet goes.
    has_private: bool,
}

#[derive(Debug)]
struct ReachedHost {
    preference: u16,
    name: Name,
    addresses: Vec<IpAddr>,
    is_secure: bool,
}

impl Reached {
    /// What each host has to prove; those that cannot are left out.
    fn secure(
        self,
        rules: &Rules<'_>,
        settings: &Settings,
        is_in_policy: bool,
        known: &Known,
    ) -> Result<Result<Vec<Host>, Nowhere>, Missing> {
        let proofs = self.proofs(settings, known)?;
        let (mut hosts, mut failed, mut unproven) = (Vec::new(), self.has_failed, false);
        let none = match self {
            Self { has_private: true, .. } => Nowhere::Unreachable,
            _ => Nowhere::NoHost,
        };
        for (host, proof) in self.hosts.into_iter().zip(proofs) {
            let security = match demanded(rules.tls, is_in_policy, proof) {
                Ok(security) => security,
                Err(nowhere) => {
                    failed |= nowhere == Nowhere::Failed;
                    unproven |= nowhere == Nowhere::NoTlsa;
                    continue;
                }
            };
            hosts.extend(host.addresses.iter().map(|address| Host {
                preference: host.preference,
                name: Some(host.name.as_str().into()),
                address: SocketAddr::new(*address, settings.port),
                weight: 1,
                security: security.clone(),
            }));
        }
        let otherwise = match (failed, unproven) {
            (true, _) => Nowhere::Failed,
            (false, true) => Nowhere::NoTlsa,
            (false, false) => none,
        };
        Ok(finish(hosts, otherwise))
    }

    /// RFC 7672 §2.2.1: TLSA records are asked for only where all that led to the host is secure.
    fn proofs(&self, settings: &Settings, known: &Known) -> Result<Vec<Proof>, Missing> {
        let query = |host: &ReachedHost| tlsa_query(&host.name, settings.port).filter(|_| host.is_secure);
        let of_hosts: Vec<Option<Query>> = self.hosts.iter().map(query).collect();
        let queries: Vec<Query> = of_hosts.iter().flatten().cloned().collect();
        let mut answers = known.answers(&queries)?.into_iter();
        let answered = |query: Option<Query>| query.and_then(|_| answers.next()).map_or(Proof::None, proof);
        Ok(of_hosts.into_iter().map(answered).collect())
    }
}

fn tlsa_query(host: &Name, port: u16) -> Option<Query> {
    Name::parse(&format!("_{port}._tcp.{host}")).map(|name| Query::new(name, Kind::Tlsa))
}

/// What TLSA records of a host there are.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    None,
    /// Usable ones.
    Records(Vec<Tlsa>),
    /// There are some, of which none can be used.
    Unusable,
    /// The DNS does not say, which may be somebody's wish (RFC 7672 §2.1).
    Failed,
}

fn proof(answer: &Answer) -> Proof {
    let Answer::Records { records, is_secure: true } = answer else {
        return if *answer == Answer::Failed { Proof::Failed } else { Proof::None };
    };
    let tlsa = records.iter().take(TLSA_MAX).filter_map(|record| match record {
        Record::Tlsa { usage, selector, matching, data } => {
            Some(Tlsa { usage: *usage, selector: *selector, matching: *matching, data: data.clone() })
        }
        _ => None,
    });
    let mut usable: Vec<_> = tlsa.filter(is_usable).collect();
    usable.sort_unstable();
    if usable.is_empty() { Proof::Unusable } else { Proof::Records(usable) }
}

/// What a host has to prove, by what is set, by the domain's policy, and by its TLSA records.
///
/// RFC 8461 §2: a policy does not make good for records that do not match.
fn demanded(tls: &UpstreamTls, is_in_policy: bool, proof: Proof) -> Result<Security, Nowhere> {
    match (proof, tls) {
        (Proof::Failed, _) => Err(Nowhere::Failed),
        (Proof::Records(records), _) => Ok(Security::Dane(records.into())),
        (_, UpstreamTls::Dane(_)) => Err(Nowhere::NoTlsa),
        (_, UpstreamTls::Verify(_)) => Ok(Security::Named),
        _ if is_in_policy => Ok(Security::Named),
        (Proof::Unusable, _) => Ok(Security::Encrypted),
        (Proof::None, _) => Ok(Security::AsSet),
    }
}
