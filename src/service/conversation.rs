//! A connection to a next hop outside of all pools, from the first octet until a transaction may begin: for what
//! the service does by itself.
//!
//! As a worker would open it (`worker::hop`, `worker::login`): RFC 5321 §3.1, §3.2; RFC 3207; RFC 4954.
//!
//! What must always hold: where TLS is required nothing but EHLO and STARTTLS goes in clear; what was heard in
//! clear is forgotten under TLS; no credentials go in clear, and only SCRAM to who has not proven who it is,
//! whatever is configured.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::rand;
use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::policy::login::UpstreamAuth;
use crate::policy::settings::{IdentityMode, Upstream};
use crate::policy::tls::Leg;
use crate::smtp::client::{Client, Expect};
use crate::smtp::extension::{Capabilities, Extensions};
use crate::smtp::proxy_protocol;
use crate::smtp::reply::{Class, Reply};
use crate::smtp::sasl::client::{Credentials, Exchange, Means};
use crate::smtp::xforward::Identity;
use crate::tls::secured::Trust;
use crate::tls::session::Session;

/// What one read may bring.
const RECEIVE_BYTES: usize = 4096;
/// Octets of a nonce of SCRAM.
const NONCE_BYTES: usize = 18;
/// Of a response that goes with AUTH itself (RFC 4954 §4).
const INITIAL_BYTES_MAX: usize = 360;

/// A connection and what is being said on it.
pub(super) struct Conversation<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) server: SocketAddr,
    leg: &'a Leg,
    pub(super) client: Client,
    /// What is to be said next.
    pub(super) out: Vec<u8>,
    stream: TcpStream,
    tls: Option<Box<Session>>,
    /// What hands were shaken on.
    trust: Trust,
    input: Vec<u8>,
}

impl<'a> Conversation<'a> {
    /// Connects, secures the connection as configured, and says who we are and whom we speak for.
    pub(super) async fn open(
        hostname: &str,
        upstream: &'a Upstream,
        (server, leg): (SocketAddr, &'a Leg),
        identity: &Identity,
    ) -> Result<Self, String> {
        let mut next_hop = Self::greeted(hostname, upstream, (server, leg), identity).await?;
        if let Err(why) = next_hop.secure(hostname).await {
            if !leg.is_offered() {
                return Err(why);
            }
            // What is only offered may fail: then mail goes in clear.
            next_hop = Self::greeted(hostname, upstream, (server, leg), identity).await?;
        }
        if upstream.identity == IdentityMode::Xclient {
            next_hop.introduce_by_xclient(identity).await?;
            next_hop.greet(hostname).await?;
        }
        Ok(next_hop)
    }

    /// Connects, and hears what the server can do in clear.
    async fn greeted(
        hostname: &str,
        upstream: &'a Upstream,
        (server, leg): (SocketAddr, &'a Leg),
        identity: &Identity,
    ) -> Result<Self, String> {
        let connecting = timeout(upstream.timeout.connect, TcpStream::connect(server)).await;
        let stream = connecting.map_err(|_| "no connection in time".to_owned())?.map_err(words)?;
        let (client, input, out) = (Client::new(), Vec::new(), Vec::new());
        let mut next_hop =
            Self { upstream, server, leg, client, out, stream, tls: None, trust: Trust::None, input };
        if upstream.identity == IdentityMode::Proxy {
            next_hop.introduce_by_proxy(identity);
        }
        let (_, greeting) = next_hop.hear(upstream.timeout.connect).await?;
        if greeting.code().to_u16() != 220 {
            return Err(greeting.first_line());
        }
        next_hop.greet(hostname).await?;
        Ok(next_hop)
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

    /// STARTTLS where it is wanted; on an error nothing more may be said.
    async fn secure(&mut self, hostname: &str) -> Result<(), String> {
        let Some(toward) = &self.leg.toward else { return Ok(()) };
        let or_in_clear: fn(String) -> Result<(), String> =
            if self.leg.is_required { Err } else { |_| Ok(()) };
        if !self.has(Extensions::STARTTLS) {
            return or_in_clear("the next hop has no STARTTLS".to_owned());
        }
        self.client.starttls(&mut self.out);
        let (_, reply) = self.hear(self.upstream.timeout.reply).await?;
        if reply.code().to_u16() != 220 {
            return or_in_clear(reply.first_line());
        }
        // Written by somebody who had no part in the handshake.
        if !self.input.is_empty() {
            return Err("something came behind the reply to STARTTLS".to_owned());
        }
        let address = self.server.ip().to_string();
        let name = toward.name.as_deref().unwrap_or(&address);
        let mut hello = Vec::new();
        let session = Session::client(&toward.policy, name, &mut hello).map_err(|fault| fault.to_string())?;
        self.tls = Some(Box::new(session));
        let shaking = timeout(self.upstream.timeout.connect, self.shake_hands(hello)).await;
        shaking.map_err(|_| "no TLS handshake in time".to_owned())?.map_err(words)?;
        self.client.set_capabilities(Capabilities::none());
        self.greet(hostname).await
    }

    async fn shake_hands(&mut self, hello: Vec<u8>) -> io::Result<()> {
        self.write(&hello).await?;
        while !self.is_secured() {
            self.receive().await?;
        }
        Ok(())
    }

    fn is_secured(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.is_secured())
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
        let mut identity = identity.clone();
        if self.upstream.auth.is_some() {
            // Who logs in afterwards must not be somebody already.
            identity.login = None;
        }
        let commands = self.client.xclient(&identity, &mut self.out);
        for _ in 0..commands {
            let (_, reply) = self.hear(self.upstream.timeout.reply).await?;
            if reply.code().to_u16() != 220 {
                return Err(reply.first_line());
            }
        }
        Ok(())
    }

    /// Whether a message that asks for REQUIRETLS may go to it (RFC 8689 §4.2.1).
    pub(super) fn keeps_requiretls(&self) -> bool {
        self.is_secured() && self.trust.is_verified() && self.has(Extensions::REQUIRETLS)
    }

    /// Says who we are, as configured. Without that no mail goes.
    pub(super) async fn log_in(&mut self, auth: &UpstreamAuth) -> Result<(), String> {
        let means = auth.means_among(&self.client.capabilities().auth, self.trust.is_verified());
        let means = means.ok_or("the next hop has no AUTH of ours")?;
        let reply = self.try_credentials(means, &auth.credentials).await?;
        if reply.code().to_u16() == 235 { Ok(()) } else { Err(reply.first_line()) }
    }

    /// One AUTH command: the reply that ended it. A 235 is one that may be believed.
    pub(super) async fn try_credentials(
        &mut self,
        means: Means,
        credentials: &Credentials,
    ) -> Result<Reply, String> {
        if !self.is_secured() || means.needs_proof() && !self.trust.is_verified() {
            return Err("no credentials go to who has not proven who it is".to_owned());
        }
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce).map_err(|_| "the system gives no random octets")?;
        let nonce = URL_SAFE_NO_PAD.encode_to_string(nonce);
        let mut exchange = Exchange::begin(means, credentials, &nonce, None);
        let initial = exchange.initial(INITIAL_BYTES_MAX);
        self.client.auth(means.name(), initial.as_ref().map(|response| response.as_slice()), &mut self.out);
        loop {
            let (_, reply) = self.hear(self.upstream.timeout.reply).await?;
            match reply.code().to_u16() {
                334 => {
                    let challenge = reply.lines().next().unwrap_or_default().trim_ascii();
                    let challenge = STANDARD.decode_to_vec(challenge).ok();
                    let response = challenge.and_then(|challenge| exchange.respond(&challenge).ok());
                    let response = response.ok_or("the next hop does not know the password, or not AUTH")?;
                    self.client.respond(&response, &mut self.out);
                }
                235 if !exchange.is_done() => {
                    return Err("the next hop has not proven that it knows the password".to_owned());
                }
                _ => return Ok(reply),
            }
        }
    }

    /// QUIT, without waiting for what is said to it.
    pub(super) async fn leave(&mut self) {
        self.client.quit(&mut self.out);
        // Nothing depends on it.
        let _ = self.flush().await;
    }

    pub(super) fn has(&self, extension: Extensions) -> bool {
        self.client.capabilities().extensions.contains(extension)
    }

    /// Sends what waits, and hears the next reply.
    pub(super) async fn hear(&mut self, within: Duration) -> Result<(Expect, Reply), String> {
        self.hear_or_fail(within).await.map_err(words)
    }

    pub(super) async fn hear_or_fail(&mut self, within: Duration) -> io::Result<(Expect, Reply)> {
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

    /// Takes what has come, at least one octet of the wire.
    async fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; RECEIVE_BYTES];
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => return self.take(&mut bytes[..count]).await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn take(&mut self, wire: &mut [u8]) -> io::Result<()> {
        let Some(session) = &mut self.tls else {
            self.input.extend_from_slice(wire);
            return Ok(());
        };
        let (input, trust, mut records) = (&mut self.input, &mut self.trust, Vec::new());
        let mut plaintext = |bytes: &[u8]| input.extend_from_slice(bytes);
        let taken =
            session.receive_all(wire, &mut |facts| *trust = facts.trust(), &mut plaintext, &mut records);
        // What is owed goes out after a fault too: the alert.
        let written = self.write(&records).await;
        match taken {
            // What came before its farewell counts.
            Ok(true) if self.input.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => written,
            Err(fault) => Err(io::Error::other(fault.to_string())),
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), String> {
        self.flush_or_fail().await.map_err(words)
    }

    async fn flush_or_fail(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let plain = std::mem::take(&mut self.out);
        let Some(session) = &mut self.tls else { return self.write(&plain).await };
        let mut sealed = Vec::new();
        session.send(&plain, &mut sealed).map_err(|fault| io::Error::other(fault.to_string()))?;
        self.write(&sealed).await
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            timeout(self.upstream.timeout.reply, self.stream.writable()).await??;
            match self.stream.try_write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
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
