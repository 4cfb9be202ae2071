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
use crate::policy::route::{Routes, Submitter};
use crate::policy::settings::{Config, IdentityMode, Upstream};
use crate::relay::quarantine::{Description, Envelope};
use crate::service::conversation::Conversation;
use crate::smtp::address::Path;
use crate::smtp::client::Expect;
use crate::smtp::data;
use crate::smtp::extension::Extensions;
use crate::smtp::parameter::Parameters;
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
}

impl From<&Config> for NextHops {
    fn from(config: &Config) -> Self {
        let Config { hostname, upstreams, routes, .. } = config;
        Self { hostname: hostname.clone(), upstreams: upstreams.clone(), routes: routes.clone() }
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
    let upstream = upstream(next_hops, description)?;
    check_clear(upstream, &description.envelope)?;
    let identity = description.client.identity();
    let mut why = "no server".to_owned();
    for server in &upstream.servers {
        match ready(next_hops, upstream, server.address, &identity).await {
            Ok(next_hop) => return Transaction(next_hop).transact(description, &identity, message).await,
            Err(error) => why = format!("{}: {error}", server.address),
        }
    }
    Err(why)
}

/// A connection on which a transaction may begin.
async fn ready<'a>(
    next_hops: &NextHops,
    upstream: &'a Upstream,
    server: SocketAddr,
    identity: &Identity,
) -> Result<Conversation<'a>, String> {
    let mut next_hop = Conversation::open(&next_hops.hostname, upstream, server, identity).await?;
    if let Some(auth) = &upstream.auth {
        next_hop.log_in(auth).await?;
    }
    Ok(next_hop)
}

/// The one it was routed to. If the configuration has it no longer, where all recipients go now.
fn upstream<'a>(next_hops: &'a NextHops, description: &Description) -> Result<&'a Upstream, String> {
    let Description { client, envelope, .. } = description;
    let ip = client.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let client = Submitter { ip, is_user: client.login.is_some() };
    if let Some(upstream) = next_hops.upstreams.iter().find(|upstream| upstream.name == envelope.upstream) {
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
        [Some(index)] => Ok(&next_hops.upstreams[index.0]),
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

/// What is said here is said in clear, and to servers with a name.
fn check_clear(upstream: &Upstream, envelope: &Envelope) -> Result<(), String> {
    let requires_tls = Parameters::parse(envelope.parameters.as_bytes()).is_ok_and(|parameters| {
        parameters.iter().any(|parameter| parameter.keyword.eq_ignore_ascii_case(b"REQUIRETLS"))
    });
    if upstream.tls.is_required() || requires_tls {
        return Err("it must not go in clear, and what is released does".to_owned());
    }
    if upstream.is_looked_up() {
        return Err("its next hop is looked up, which is not done for what is released".to_owned());
    }
    Ok(())
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
            out.extend_from_slice(if out.is_empty() { b"" } else { b" " });
            out.extend_from_slice(parameter.keyword);
            if let Some(value) = parameter.value {
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
        // RFC 4954 §5.
        if self.0.client.is_authenticated() && parameters.find(b"AUTH").is_none() {
            out.extend_from_slice(if out.is_empty() { b"" } else { b" " });
            out.extend_from_slice(b"AUTH=<>");
        }
        if self.0.has(Extensions::SIZE) {
            out.extend_from_slice(if out.is_empty() { b"" } else { b" " });
            out.extend_from_slice(format!("SIZE={size}").as_bytes());
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
