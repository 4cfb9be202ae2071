//! A quarantined message on its way to the next hop after all: one transaction, over a connection
//! of its own, with the envelope and the identity it came with.
//!
//! It goes straight to the next hop, as a relay would send it up after a verdict that says pass: so
//! no listener of ours needs a way around the verdict that a stranger could find. RFC 5321 §3.3,
//! §4.5.4.1; RFC 3030; RFC 2920.
//!
//! Invariants: what comes from the description is parsed anew, for the file may have been changed;
//! the message counts as sent only when the next hop has said 2xx to its end and did not reset the
//! connection right behind it; recipients that it refused are told apart; what must not go in clear does
//! not go at all.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;
use tokio_uring::fs::File;

use super::disk::Disk;
use crate::policy::mx::{Host, Nowhere, OfDomain, Policies};
use crate::policy::route::{Routes, Submitter};
use crate::policy::settings::{Config, IdentityMode, Upstream, VARIANT};
use crate::policy::tls::Leg;
use crate::relay::quarantine::{Description, Envelope};
use crate::service::conversation::Conversation;
use crate::service::mx::Finder;
use crate::smtp::address::Path;
use crate::smtp::client::Expect;
use crate::smtp::data;
use crate::smtp::extension::Extensions;
use crate::smtp::parameter::{Parameters, append};
use crate::smtp::reply::{Class, Reply};
use crate::smtp::xforward::Identity;

/// Content in one write, and in one BDAT chunk.
const PIECE_BYTES: usize = 64 * 1024;
/// How an error begins when the end of content had gone out.
const UNCERTAIN: &str = "not known whether it arrived";
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where messages can be sent.
#[derive(Clone, Debug, Default)]
pub struct NextHops {
    hostname: String,
    upstreams: Vec<Upstream>,
    routes: Routes,
    /// Who looks up where mail goes, if anybody has to.
    finder: Option<Finder>,
}

impl NextHops {
    pub fn new(config: &Config, finder: Option<Finder>) -> Self {
        let Config { hostname, upstreams, routes, .. } = config;
        let (hostname, upstreams, routes) = (hostname.clone(), upstreams.clone(), routes.clone());
        Self { hostname, upstreams, routes, finder }
    }
}

/// The message's file.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) disk: &'a Disk,
    pub(super) file: &'a File,
    pub(super) name: &'a str,
    /// As described.
    pub(super) size: u64,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) server: SocketAddr,
    /// To the end of content.
    pub(super) reply: String,
    /// Recipients, by their number in the envelope, that did not get it, and what was said to them.
    pub(super) refused: Vec<(usize, String)>,
}

/// Sends it. On an error nothing was taken, as far as can be known; the text says what happened.
pub(super) async fn send(
    next_hops: &NextHops,
    description: &Description,
    message: &Message<'_>,
) -> Result<Sent, String> {
    check_envelope(&description.envelope)?;
    message.check().await?;
    let index = upstream(next_hops, description)?;
    let upstream = &next_hops.upstreams[index];
    let requires_tls = requires_tls(&description.envelope);
    let ways = ways(next_hops, index, &description.envelope, requires_tls).await?;
    let identity = description.client.identity();
    let mut why = "no server".to_owned();
    for (server, leg) in &ways {
        match ready(&next_hops.hostname, upstream, (*server, leg), &identity, requires_tls).await {
            Ok(next_hop) => return Transaction(next_hop).transact(description, &identity, message).await,
            Err(error) => why = format!("{server}: {error}"),
        }
    }
    Err(why)
}

/// A connection on which a transaction may begin.
async fn ready<'a>(
    hostname: &str,
    upstream: &'a Upstream,
    way: (SocketAddr, &'a Leg),
    identity: &Identity,
    requires_tls: bool,
) -> Result<Conversation<'a>, String> {
    let mut next_hop = Conversation::open(hostname, upstream, way, identity).await?;
    if requires_tls && !next_hop.keeps_requiretls() {
        return Err("the next hop does not prove who it is, or does not support REQUIRETLS".to_owned());
    }
    if let Some(auth) = &upstream.auth {
        next_hop.log_in(auth).await?;
    }
    Ok(next_hop)
}

/// The servers, and how each is spoken with; looked up, if they have to be, as for a relay.
async fn ways(
    next_hops: &NextHops,
    index: usize,
    envelope: &Envelope,
    requires_tls: bool,
) -> Result<Vec<(SocketAddr, Leg)>, String> {
    let upstream = &next_hops.upstreams[index];
    if !upstream.is_looked_up() {
        return Ok(upstream.servers.iter().map(|server| (server.address, upstream.tls.leg())).collect());
    }
    let finder = next_hops.finder.as_ref().ok_or("nobody can look its servers up")?;
    let inquiry = OfDomain { upstream: index, domain: domain(envelope)? };
    let hosts = finder.find(&inquiry).await.map_err(|nowhere| nowhere.reply().first_line())?;
    if requires_tls && !hosts.is_certain {
        return Err(Nowhere::Uncertain.reply().first_line());
    }
    let policies = Policies::apart(upstream);
    let leg = |host: &Host| Some((host.address, host.leg(&hosts.domain, &upstream.tls, &policies)?));
    Ok(hosts.hosts.iter().filter_map(leg).collect())
}

/// Of the first recipient: a transaction has one domain where servers are looked up.
fn domain(envelope: &Envelope) -> Result<String, String> {
    let first = envelope.recipients.first().map(|recipient| bracketed(&recipient.address));
    let parsed = first.as_deref().and_then(Path::parse);
    let (path, _) = parsed.ok_or("the description's envelope is damaged")?;
    Ok(String::from_utf8_lossy(path.domain).into_owned())
}

fn requires_tls(envelope: &Envelope) -> bool {
    let parameters = Parameters::parse(envelope.parameters.as_bytes());
    parameters.is_ok_and(|parameters| parameters.find(b"REQUIRETLS").is_some())
}

/// The one it was routed to. If the configuration has it no longer, or a route made it, which may be another's number
/// by now: where all recipients go now.
fn upstream(next_hops: &NextHops, description: &Description) -> Result<usize, String> {
    let Description { client, envelope, .. } = description;
    let ip = client.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let client = Submitter { ip, is_user: client.login.is_some() };
    let mut named = next_hops.upstreams.iter();
    let named = named.position(|known| known.name == envelope.upstream && !known.name.contains(VARIANT));
    if let Some(upstream) = named {
        return Ok(upstream);
    }
    let routed = envelope.recipients.iter().map(|recipient| {
        let bracketed = bracketed(&recipient.address);
        let (path, _) = Path::parse(&bracketed)?;
        next_hops.routes.route(path.local, path.domain, client)
    });
    let mut routed: Vec<_> = routed.collect();
    routed.dedup();
    match routed.as_slice() {
        [Some(index)] => Ok(index.0),
        _ => {
            Err(format!("upstream {:?} is gone, and its recipients have no common route", envelope.upstream))
        }
    }
}

/// Nothing that our own parsers would not have let in goes out.
fn check_envelope(envelope: &Envelope) -> Result<(), String> {
    let is_path = |text: &str| {
        let bracketed = bracketed(text);
        Path::parse(&bracketed).is_some_and(|(path, rest)| path.text == text.as_bytes() && rest.is_empty())
    };
    let is_well = |text: &str| Parameters::parse(text.as_bytes()).is_ok();
    let recipients = &envelope.recipients;
    let well = is_path(&envelope.sender)
        && is_well(&envelope.parameters)
        && !recipients.is_empty()
        && recipients
            .iter()
            .all(|to| !to.address.is_empty() && is_path(&to.address) && is_well(&to.parameters));
    if well { Ok(()) } else { Err("the description's envelope is damaged".to_owned()) }
}

fn bracketed(path: &str) -> Vec<u8> {
    [b"<", path.as_bytes(), b">"].concat()
}

impl Message<'_> {
    /// Whether the file is as long as it was described.
    async fn check(&self) -> Result<(), String> {
        let last = self.size.saturating_sub(1);
        let end = self.read(Vec::with_capacity(2), last).await?;
        if end.len() as u64 == self.size.min(1) {
            Ok(())
        } else {
            Err("the message is not as long as described".to_owned())
        }
    }

    async fn read(&self, buffer: Vec<u8>, position: u64) -> Result<Vec<u8>, String> {
        self.disk.read(self.file, self.name, buffer, position).await.map_err(|failure| failure.text)
    }

    /// The piece at `position`: never empty before the end.
    async fn piece(&self, buffer: Vec<u8>, position: u64) -> Result<Vec<u8>, String> {
        let mut piece = self.read(buffer, position).await?;
        let left = usize::try_from(self.size - position).unwrap_or(usize::MAX);
        piece.truncate(left);
        if piece.is_empty() && left > 0 { Err("the message ends early".to_owned()) } else { Ok(piece) }
    }
}

/// One message on its way over a connection of its own.
struct Transaction<'a>(Conversation<'a>);

impl Transaction<'_> {
    /// Envelope, content, farewell.
    async fn transact(
        &mut self,
        description: &Description,
        identity: &Identity,
        message: &Message<'_>,
    ) -> Result<Sent, String> {
        if self.0.upstream.identity == IdentityMode::Xforward {
            self.0.client.xforward(identity, &mut self.0.out);
        }
        let refused = self.envelope(&description.envelope, message.size).await?;
        let by_bdat = self.0.upstream.chunking && self.0.has(Extensions::CHUNKING);
        let reply =
            if by_bdat { self.content_by_bdat(message).await } else { self.content_by_data(message).await }?;
        if !reply.is_positive() {
            return Err(reply.first_line());
        }
        self.farewell().await?;
        Ok(Sent { server: self.0.server, reply: reply.first_line(), refused })
    }

    /// The recipients that are refused. If all are, or the sender is, the transaction is over.
    async fn envelope(&mut self, envelope: &Envelope, size: u64) -> Result<Vec<(usize, String)>, String> {
        let parameters = self.parameters(envelope, size);
        self.0.client.mail(envelope.sender.as_bytes(), &parameters, &mut self.0.out);
        for (number, to) in (0u32..).zip(&envelope.recipients) {
            self.0.client.rcpt(number, to.address.as_bytes(), to.parameters.as_bytes(), &mut self.0.out);
        }
        let mut refused = Vec::new();
        loop {
            let (expect, reply) = self.0.hear(self.0.upstream.timeout.reply).await?;
            match expect {
                Expect::Mail if !reply.is_positive() => return Err(reply.first_line()),
                Expect::Rcpt(number) if !reply.is_positive() => {
                    refused.push((number as usize, reply.first_line()));
                }
                _ => {}
            }
            if self.0.client.is_quiet() {
                break;
            }
        }
        match refused.first() {
            Some((_, first)) if refused.len() == envelope.recipients.len() => Err(first.clone()),
            _ => Ok(refused),
        }
    }

    /// As the client wrote them, but for SIZE, and BODY where leaving it out changes nothing.
    fn parameters(&self, envelope: &Envelope, size: u64) -> Vec<u8> {
        let mut out: Vec<u8> = Vec::new();
        let Ok(parameters) = Parameters::parse(envelope.parameters.as_bytes()) else { return out };
        let seven_bit = |value: Option<&[u8]>| value.is_some_and(|value| value.eq_ignore_ascii_case(b"7BIT"));
        for parameter in parameters.iter() {
            let is = |keyword: &[u8]| parameter.keyword.eq_ignore_ascii_case(keyword);
            let needless =
                is(b"BODY") && seven_bit(parameter.value) && !self.0.has(Extensions::EIGHT_BIT_MIME);
            let unheard = is(b"AUTH") && !self.0.client.is_authenticated();
            if is(b"SIZE") || needless || unheard {
                continue;
            }
            append(parameter.keyword, parameter.value, &mut out);
        }
        // RFC 4954 §5.
        if self.0.client.is_authenticated() && parameters.find(b"AUTH").is_none() {
            append(b"AUTH", Some(b"<>"), &mut out);
        }
        if self.0.has(Extensions::SIZE) {
            append(b"SIZE", Some(size.to_string().as_bytes()), &mut out);
        }
        out
    }

    /// The reply to the last chunk, or to the first that was refused.
    async fn content_by_bdat(&mut self, message: &Message<'_>) -> Result<Reply, String> {
        let (mut position, mut buffer) = (0, Vec::with_capacity(PIECE_BYTES));
        loop {
            buffer = message.piece(buffer, position).await?;
            position += buffer.len() as u64;
            let last = position == message.size;
            self.0.client.bdat(buffer.len() as u64, last, &mut self.0.out);
            self.0.out.extend_from_slice(&buffer);
            if last {
                return self.hear_the_end().await;
            }
            let (_, reply) = self.0.hear(self.0.upstream.timeout.reply).await?;
            if !reply.is_positive() {
                return Ok(reply);
            }
        }
    }

    async fn content_by_data(&mut self, message: &Message<'_>) -> Result<Reply, String> {
        self.0.client.data(&mut self.0.out);
        let (_, reply) = self.0.hear(self.0.upstream.timeout.reply).await?;
        if reply.class() != Class::Intermediate {
            return Err(reply.first_line());
        }
        let (mut position, mut buffer) = (0, Vec::with_capacity(PIECE_BYTES));
        let (mut at_line_start, mut tail) = (true, VecDeque::from([b'\r', b'\n']));
        while position < message.size {
            buffer = message.piece(buffer, position).await?;
            position += buffer.len() as u64;
            data::stuff(&buffer, &mut at_line_start, &mut self.0.out);
            for byte in buffer.iter().rev().take(2).rev() {
                tail.pop_front();
                tail.push_back(*byte);
            }
            self.0.flush().await?;
        }
        self.0.client.end_of_data(tail == [b'\r', b'\n'], &mut self.0.out);
        self.hear_the_end().await
    }

    /// The reply that decides.
    async fn hear_the_end(&mut self) -> Result<Reply, String> {
        let heard = self.0.hear(self.0.upstream.timeout.end).await;
        heard.map(|(_, reply)| reply).map_err(|why| format!("{UNCERTAIN}: {why}"))
    }

    /// A server that resets the connection right behind its 2xx has not read the end of content:
    /// its word is worth nothing. However else it ends, the message is its own now.
    async fn farewell(&mut self) -> Result<(), String> {
        self.0.client.quit(&mut self.0.out);
        match timeout(FAREWELL, self.0.hear_or_fail(FAREWELL)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                Err(format!("{UNCERTAIN}: the connection was reset behind the 2xx"))
            }
            _ => Ok(()),
        }
    }
}
