//! A quarantined message on its way to the next hop after all: one SMTP dialogue, over a connection
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

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_uring::fs::File;

use super::disk::Disk;
use crate::policy::route::{Routes, Submitter};
use crate::policy::settings::{Config, IdentityMode, Upstream};
use crate::relay::quarantine::{Description, Envelope};
use crate::smtp::address::Path;
use crate::smtp::client::{Client, Expect};
use crate::smtp::data;
use crate::smtp::extension::Extensions;
use crate::smtp::parameter::Parameters;
use crate::smtp::proxy_protocol;
use crate::smtp::reply::{Class, Reply};
use crate::smtp::xforward::Identity;

/// Content in one write, and in one BDAT chunk.
const PIECE_BYTES: usize = 64 * 1024;
/// What one read from the next hop may bring.
const RECEIVE_BYTES: usize = 4096;
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
        match Dialogue::open(&next_hops.hostname, upstream, server.address, &identity).await {
            Ok(mut dialogue) => return dialogue.transact(description, &identity, message).await,
            Err(error) => why = format!("{}: {error}", server.address),
        }
    }
    Err(why)
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

/// A connection to a next hop and what is being said on it.
struct Dialogue<'a> {
    upstream: &'a Upstream,
    server: SocketAddr,
    stream: TcpStream,
    client: Client,
    input: Vec<u8>,
    out: Vec<u8>,
}

impl<'a> Dialogue<'a> {
    /// Connects and says who we are and whom we speak for.
    async fn open(
        hostname: &str,
        upstream: &'a Upstream,
        server: SocketAddr,
        identity: &Identity,
    ) -> Result<Self, String> {
        let connecting = timeout(upstream.timeout.connect, TcpStream::connect(server)).await;
        let stream = connecting.map_err(|_| "no connection in time".to_owned())?.map_err(words)?;
        let (input, out) = (Vec::new(), Vec::new());
        let mut dialogue = Self { upstream, server, stream, client: Client::new(), input, out };
        if upstream.identity == IdentityMode::Proxy {
            dialogue.introduce_by_proxy(identity);
        }
        let (_, greeting) = dialogue.hear(upstream.timeout.connect).await?;
        if greeting.code().to_u16() != 220 {
            return Err(greeting.first_line());
        }
        dialogue.greet(hostname).await?;
        if upstream.identity == IdentityMode::Xclient {
            dialogue.introduce_by_xclient(identity).await?;
            dialogue.greet(hostname).await?;
        }
        Ok(dialogue)
    }

    async fn greet(&mut self, hostname: &str) -> Result<(), String> {
        self.client.ehlo(hostname.as_bytes(), &mut self.out);
        let (_, mut reply) = self.hear(self.upstream.timeout.reply).await?;
        if reply.class() == Class::Permanent {
            self.client.helo(hostname.as_bytes(), &mut self.out);
            (_, reply) = self.hear(self.upstream.timeout.reply).await?;
        }
        if reply.is_positive() { Ok(()) } else { Err(reply.first_line()) }
    }

    fn introduce_by_proxy(&mut self, identity: &Identity) {
        let source = identity.addr.zip(identity.port).map(SocketAddr::from);
        let local = identity.destination_addr.zip(identity.destination_port).map(SocketAddr::from);
        if let Some((source, local)) = source.zip(local) {
            proxy_protocol::write_v2(source, local, &mut self.out);
        }
    }

    async fn introduce_by_xclient(&mut self, identity: &Identity) -> Result<(), String> {
        if !self.has(Extensions::XCLIENT) {
            return Err("the next hop takes no XCLIENT".to_owned());
        }
        let commands = self.client.xclient(identity, &mut self.out);
        for _ in 0..commands {
            let (_, reply) = self.hear(self.upstream.timeout.reply).await?;
            if reply.code().to_u16() != 220 {
                return Err(reply.first_line());
            }
        }
        Ok(())
    }

    fn has(&self, extension: Extensions) -> bool {
        self.client.capabilities().extensions.contains(extension)
    }

    /// Envelope, content, farewell.
    async fn transact(
        &mut self,
        description: &Description,
        identity: &Identity,
        message: &Message<'_>,
    ) -> Result<Sent, String> {
        if self.upstream.identity == IdentityMode::Xforward {
            self.client.xforward(identity, &mut self.out);
        }
        let refused = self.envelope(&description.envelope, message.size).await?;
        let by_bdat = self.upstream.chunking && self.has(Extensions::CHUNKING);
        let reply =
            if by_bdat { self.content_by_bdat(message).await } else { self.content_by_data(message).await }?;
        if !reply.is_positive() {
            return Err(reply.first_line());
        }
        self.farewell().await?;
        Ok(Sent { server: self.server, reply: reply.first_line(), refused })
    }

    /// The recipients that are refused. If all are, or the sender is, the transaction is over.
    async fn envelope(&mut self, envelope: &Envelope, size: u64) -> Result<Vec<(usize, String)>, String> {
        let parameters = self.parameters(envelope, size);
        self.client.mail(envelope.sender.as_bytes(), &parameters, &mut self.out);
        for (number, to) in (0u32..).zip(&envelope.recipients) {
            self.client.rcpt(number, to.address.as_bytes(), to.parameters.as_bytes(), &mut self.out);
        }
        let mut refused = Vec::new();
        loop {
            let (expect, reply) = self.hear(self.upstream.timeout.reply).await?;
            match expect {
                Expect::Mail if !reply.is_positive() => return Err(reply.first_line()),
                Expect::Rcpt(number) if !reply.is_positive() => {
                    refused.push((number as usize, reply.first_line()));
                }
                _ => {}
            }
            if self.client.is_quiet() {
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
            let needless = is(b"BODY") && seven_bit(parameter.value) && !self.has(Extensions::EIGHT_BIT_MIME);
            if is(b"SIZE") || needless {
                continue;
            }
            out.extend_from_slice(if out.is_empty() { b"" } else { b" " });
            out.extend_from_slice(parameter.keyword);
            if let Some(value) = parameter.value {
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
        if self.has(Extensions::SIZE) {
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
            self.client.bdat(buffer.len() as u64, last, &mut self.out);
            self.out.extend_from_slice(&buffer);
            if last {
                return self.hear_the_end().await;
            }
            let (_, reply) = self.hear(self.upstream.timeout.reply).await?;
            if !reply.is_positive() {
                return Ok(reply);
            }
        }
    }

    async fn content_by_data(&mut self, message: &Message<'_>) -> Result<Reply, String> {
        self.client.data(&mut self.out);
        let (_, reply) = self.hear(self.upstream.timeout.reply).await?;
        if reply.class() != Class::Intermediate {
            return Err(reply.first_line());
        }
        let (mut position, mut buffer) = (0, Vec::with_capacity(PIECE_BYTES));
        let (mut at_line_start, mut tail) = (true, VecDeque::from([b'\r', b'\n']));
        while position < message.size {
            buffer = message.piece(buffer, position).await?;
            position += buffer.len() as u64;
            data::stuff(&buffer, &mut at_line_start, &mut self.out);
            for byte in buffer.iter().rev().take(2).rev() {
                tail.pop_front();
                tail.push_back(*byte);
            }
            self.flush().await?;
        }
        self.client.end_of_data(tail == [b'\r', b'\n'], &mut self.out);
        self.hear_the_end().await
    }

    /// The reply that decides.
    async fn hear_the_end(&mut self) -> Result<Reply, String> {
        let heard = self.hear(self.upstream.timeout.end).await;
        heard.map(|(_, reply)| reply).map_err(|why| format!("{UNCERTAIN}: {why}"))
    }

    /// A server that resets the connection right behind its 2xx has not read the end of content:
    /// its word is worth nothing. However else it ends, the message is its own now.
    async fn farewell(&mut self) -> Result<(), String> {
        self.client.quit(&mut self.out);
        match timeout(FAREWELL, self.hear_or_fail(FAREWELL)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                Err(format!("{UNCERTAIN}: the connection was reset behind the 2xx"))
            }
            _ => Ok(()),
        }
    }

    /// Sends what waits, and hears the next reply.
    async fn hear(&mut self, within: Duration) -> Result<(Expect, Reply), String> {
        self.hear_or_fail(within).await.map_err(words)
    }

    async fn hear_or_fail(&mut self, within: Duration) -> io::Result<(Expect, Reply)> {
        self.flush_or_fail().await?;
        loop {
            let (consumed, answer) =
                self.client.receive(&self.input).map_err(|error| io::Error::other(format!("{error:?}")))?;
            self.input.drain(..consumed);
            self.client.proceed(&mut self.out);
            self.flush_or_fail().await?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
            if consumed == 0 || self.input.is_empty() {
                timeout(within, self.receive()).await??;
            }
        }
    }

    async fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; RECEIVE_BYTES];
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.input.extend_from_slice(&bytes[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn flush(&mut self) -> Result<(), String> {
        self.flush_or_fail().await.map_err(words)
    }

    async fn flush_or_fail(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.out.len() {
            timeout(self.upstream.timeout.reply, self.stream.writable()).await??;
            match self.stream.try_write(&self.out[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        Ok(())
    }
}

fn words(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "no reply in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "the next hop closed the connection".to_owned(),
        _ => error.to_string(),
    }
}
