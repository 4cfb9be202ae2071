//! A scripted next hop: keeps everything it receives, and does what the script says at each step.
//!
//! It is strict in what it takes for an end of data (`<CRLF>.<CRLF>` and nothing else) and keeps
//! the wire as it came, so that a test can look for what a lenient server would see in it.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use memchr::memmem;
use rustls::{HandshakeKind, ServerConfig};
use socket2::SockRef;

use super::PATIENCE;
use super::secure::Tls;

/// Where a session stands when the script is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Before the greeting.
    Connect,
    Ehlo,
    Helo,
    Xforward,
    Xclient,
    Starttls,
    /// The first octets of the client's handshake are there.
    Handshake,
    Mail,
    Rcpt,
    Data,
    /// The first octets of content are there, by DATA or BDAT, and the end is not answered yet.
    Body,
    Dot,
    Bdat,
    BdatLast,
    Rset,
    Noop,
    Quit,
    Other,
}

/// A step: where, on which connection, and the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) at: At,
    /// Connections are counted from 0.
    pub(crate) session: usize,
    /// Transactions of this connection before the present one.
    pub(crate) transaction: usize,
    pub(crate) line: &'a str,
}

/// What is done at a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    /// What a server does that likes everything.
    Usual,
    Say(Vec<u8>),
    /// Each byte in a segment of its own.
    SayInPieces(Vec<u8>),
    SayAndFin(Vec<u8>),
    SayAndReset(Vec<u8>),
    /// Reads on, and never says a word.
    Silence,
    /// Reads no more, and says nothing.
    Stall,
}

impl Do {
    pub(crate) fn say(reply: &str) -> Self {
        Self::Say(format!("{reply}\r\n").into_bytes())
    }
}

type Script = dyn Fn(Step<'_>) -> Do + Send + Sync;

/// What a server is like.
pub(crate) struct Plan {
    /// The lines of the reply to EHLO behind the name.
    pub(crate) extensions: Vec<String>,
    pub(crate) script: Box<Script>,
    /// Closes connections that are silent for so long.
    pub(crate) idle: Option<Duration>,
    /// Announces STARTTLS and has this to show.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

pub(crate) const EXTENSIONS: [&str; 7] =
    ["PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING"];

impl Plan {
    /// Likes everything and can do everything, by BDAT.
    pub(crate) fn bdat() -> Self {
        Self::with(&EXTENSIONS)
    }

    /// The same without CHUNKING.
    pub(crate) fn data() -> Self {
        Self::with(&EXTENSIONS[..6])
    }

    pub(crate) fn with(extensions: &[&str]) -> Self {
        let extensions = extensions.iter().map(ToString::to_string).collect();
        Self { extensions, script: Box::new(|_| Do::Usual), idle: None, tls: None }
    }

    pub(crate) fn script(mut self, script: impl Fn(Step<'_>) -> Do + Send + Sync + 'static) -> Self {
        self.script = Box::new(script);
        self
    }

    pub(crate) fn tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    pub(crate) fn start(self) -> Upstream {
        self.start_at(SocketAddr::new(super::loopback(), 0))
    }

    pub(crate) fn start_at(self, address: SocketAddr) -> Upstream {
        Upstream::start(self, address)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("extensions", &self.extensions).finish_non_exhaustive()
    }
}

/// A message this server has said 2xx to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) session: usize,
    /// The command lines, RSET and identity included.
    pub(crate) commands: Vec<String>,
    /// As it came: stuffed, with its end of data, if by DATA.
    pub(crate) wire: Vec<u8>,
    pub(crate) content: Vec<u8>,
}

impl Message {
    /// The content behind the Received field that the proxy put in front.
    #[track_caller]
    pub(crate) fn original(&self) -> &[u8] {
        without_trace(&self.content)
    }

    pub(crate) fn recipients(&self) -> Vec<&str> {
        self.commands.iter().filter(|line| line.starts_with("RCPT")).map(String::as_str).collect()
    }
}

/// `content` behind its first header field, which must be a Received of the proxy.
#[track_caller]
pub(crate) fn without_trace(content: &[u8]) -> &[u8] {
    assert!(content.starts_with(b"Received: from "), "{:?}", String::from_utf8_lossy(content));
    let mut at = 0;
    loop {
        at += memchr::memchr(b'\n', &content[at..]).unwrap() + 1;
        if !matches!(content.get(at), Some(b' ' | b'\t')) {
            return &content[at..];
        }
    }
}

/// What the server has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Connections accepted.
    pub(crate) sessions: usize,
    pub(crate) open: usize,
    pub(crate) commands: Vec<(usize, String)>,
    /// Those of them that came in clear.
    pub(crate) in_clear: Vec<String>,
    /// Connections on which hands were shaken, and how.
    pub(crate) secured: Vec<(usize, HandshakeKind)>,
    /// Handshakes that came to nothing.
    pub(crate) insecure: usize,
    pub(crate) messages: Vec<Message>,
    /// Times that content began and the script has had its say.
    pub(crate) bodies: usize,
    /// Connections that ended in the middle of content.
    pub(crate) aborted: usize,
    /// Everything that each connection sent.
    pub(crate) raw: Vec<Vec<u8>>,
    /// Copies of the connections that are open, to end them from outside.
    streams: Vec<(usize, TcpStream)>,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    seen: Mutex<Seen>,
    changed: Condvar,
    over: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn note<T>(&self, note: impl FnOnce(&mut Seen) -> T) -> T {
        let result = note(&mut self.seen());
        self.changed.notify_all();
        result
    }
}

/// The running server. It ends with this value.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Upstream {
    fn start(plan: Plan, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            plan,
            seen: Mutex::default(),
            changed: Condvar::new(),
            over: AtomicBool::new(false),
        });
        let held = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &held));
        Self { address, shared }
    }

    /// What was seen up to now.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen()
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.seen().messages.clone()
    }

    /// Waits until `condition` holds of what was seen.
    #[track_caller]
    pub(crate) fn await_seen(&self, condition: impl Fn(&Seen) -> bool) -> MutexGuard<'_, Seen> {
        let (seen, late) = self
            .shared
            .changed
            .wait_timeout_while(self.seen(), PATIENCE, |seen| !condition(seen))
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(!late.timed_out(), "not seen: {:?}, {} messages", seen.commands, seen.messages.len());
        seen
    }

    /// Forgets what it has seen of messages and commands.
    pub(crate) fn forget(&self) {
        let mut seen = self.seen();
        seen.messages.clear();
        seen.commands.clear();
        seen.in_clear.clear();
        seen.raw.iter_mut().for_each(Vec::clear);
        seen.aborted = 0;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        self.shared.note(|seen| {
            for (_, stream) in &seen.streams {
                // It may be closed by now.
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        // Ends the wait in accept; if that fails the thread ends with the test.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.over.load(Ordering::Acquire) {
            return;
        }
        // Replies in pieces are to leave in pieces.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let Ok(copy) = stream.try_clone() else { continue };
        let session = shared.note(|seen| {
            seen.streams.push((seen.sessions, copy));
            seen.raw.push(Vec::new());
            seen.open += 1;
            seen.sessions += 1;
            seen.sessions - 1
        });
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let mut server = Session::new(stream, session, Arc::clone(&shared));
            // However it ends: the test sees what came of it.
            let _ = server.run();
            let in_content = server.in_content;
            shared.note(|seen| {
                seen.streams.retain(|(of, _)| *of != session);
                drop(server);
                seen.open -= 1;
                seen.aborted += usize::from(in_content);
            });
        });
    }
}

/// The connection is over for this server.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

struct Session {
    stream: TcpStream,
    tls: Option<Tls>,
    session: usize,
    shared: Arc<Shared>,
    input: Vec<u8>,
    transaction: usize,
    commands: Vec<String>,
    wire: Vec<u8>,
    content: Vec<u8>,
    has_sender: bool,
    recipients: usize,
    in_content: bool,
}

impl Session {
    const fn new(stream: TcpStream, session: usize, shared: Arc<Shared>) -> Self {
        Self {
            stream,
            tls: None,
            session,
            shared,
            input: Vec::new(),
            transaction: 0,
            commands: Vec::new(),
            wire: Vec::new(),
            content: Vec::new(),
            has_sender: false,
            recipients: 0,
            in_content: false,
        }
    }

    fn run(&mut self) -> Result<(), Over> {
        self.step(At::Connect, "", "220 hop.example ESMTP")?;
        loop {
            let line = self.line()?;
            self.shared.note(|seen| {
                seen.commands.push((self.session, line.clone()));
                if self.tls.is_none() {
                    seen.in_clear.push(line.clone());
                }
            });
            self.commands.push(line.clone());
            self.command(&line)?;
        }
    }

    fn command(&mut self, line: &str) -> Result<(), Over> {
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => self.ehlo(line),
            "HELO" => self.step(At::Helo, line, "250 hop.example").map(drop),
            "XFORWARD" => self.step(At::Xforward, line, "250 2.0.0 ok").map(drop),
            "XCLIENT" => self.step(At::Xclient, line, "220 hop.example ESMTP").map(drop),
            "STARTTLS" if self.announces_tls() => self.starttls(line),
            "MAIL" => self.mail(line),
            "RCPT" => self.rcpt(line),
            "DATA" => self.data(line),
            "BDAT" => self.bdat(line),
            "RSET" => {
                self.forget();
                self.step(At::Rset, line, "250 2.0.0 ok").map(drop)
            }
            "NOOP" => self.step(At::Noop, line, "250 2.0.0 ok").map(drop),
            "QUIT" => {
                self.step(At::Quit, line, "221 2.0.0 bye")?;
                Err(Over)
            }
            _ => self.step(At::Other, line, "500 5.5.2 what").map(drop),
        }
    }

    fn ehlo(&mut self, line: &str) -> Result<(), Over> {
        self.forget();
        let mut lines = vec!["hop.example".to_owned()];
        lines.extend(self.shared.plan.extensions.iter().cloned());
        lines.extend(self.announces_tls().then(|| "STARTTLS".to_owned()));
        let last = lines.len() - 1;
        let reply = lines.iter().enumerate().map(|(n, text)| {
            let (dash, end) = if n == last { (' ', "") } else { ('-', "\r\n") };
            format!("250{dash}{text}{end}")
        });
        let reply: String = reply.collect();
        self.step(At::Ehlo, line, &reply).map(drop)
    }

    fn announces_tls(&self) -> bool {
        self.shared.plan.tls.is_some() && self.tls.is_none()
    }

    fn starttls(&mut self, line: &str) -> Result<(), Over> {
        let Some(config) = self.shared.plan.tls.clone() else { return Err(Over) };
        self.forget();
        if !self.step(At::Starttls, line, "220 2.0.0 go")? {
            return Ok(());
        }
        // What is read up to here is the client's hello; who sends none is counted as well.
        let shaken = self.read().and_then(|()| match self.ask(At::Handshake, line) {
            Do::Usual => {
                let early = std::mem::take(&mut self.input);
                Ok(Tls::server(&config, &early, &mut self.stream)?)
            }
            other => self.answer(other, "").and(Err(Over)),
        });
        match shaken {
            Ok(tls) => {
                let kind = tls.0.handshake_kind().ok_or(Over)?;
                self.tls = Some(tls);
                self.shared.note(|seen| seen.secured.push((self.session, kind)));
                Ok(())
            }
            Err(over) => {
                self.shared.note(|seen| seen.insecure += 1);
                Err(over)
            }
        }
    }

    fn mail(&mut self, line: &str) -> Result<(), Over> {
        if self.has_sender {
            return self.answer(Do::say("503 5.5.1 nested MAIL"), "").map(drop);
        }
        self.has_sender = self.step(At::Mail, line, "250 2.1.0 ok")?;
        Ok(())
    }

    fn rcpt(&mut self, line: &str) -> Result<(), Over> {
        if !self.has_sender {
            return self.answer(Do::say("503 5.5.1 MAIL first"), "").map(drop);
        }
        self.recipients += usize::from(self.step(At::Rcpt, line, "250 2.1.5 ok")?);
        Ok(())
    }

    fn data(&mut self, line: &str) -> Result<(), Over> {
        if self.recipients == 0 {
            return self.answer(Do::say("503 5.5.1 RCPT first"), "").map(drop);
        }
        if !self.step(At::Data, line, "354 go")? {
            return Ok(());
        }
        self.in_content = true;
        let answered = self.body(line, 1)?;
        let mut searched = 0;
        let end = loop {
            // The CRLF of the command line counts as the one before a dot.
            if self.input.starts_with(b".\r\n") {
                break 3;
            }
            if let Some(at) = memmem::find(&self.input[searched..], b"\r\n.\r\n") {
                break searched + at + 5;
            }
            searched = self.input.len().saturating_sub(4);
            self.read()?;
        };
        self.wire = self.input.drain(..end).collect();
        self.content = unstuffed(&self.wire);
        self.end(At::Dot, line, answered)
    }

    fn bdat(&mut self, line: &str) -> Result<(), Over> {
        let mut words = line.split(' ').skip(1);
        let octets = words.next().and_then(|octets| octets.parse::<usize>().ok()).ok_or(Over)?;
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        self.in_content = true;
        let begins = octets > 0 && self.content.is_empty();
        let answered = if begins { self.body(line, 1)? } else { false };
        while self.input.len() < octets {
            self.read()?;
        }
        self.content.extend(self.input.drain(..octets));
        if self.recipients == 0 {
            self.in_content = false;
            return self.answer(Do::say("503 5.5.1 RCPT first"), "").map(drop);
        }
        if last {
            self.wire.clone_from(&self.content);
            return self.end(At::BdatLast, line, answered);
        }
        if !answered {
            self.step(At::Bdat, line, "250 2.0.0 ok")?;
        }
        Ok(())
    }

    /// Asks the script once content is there; says whether it has given its reply already.
    fn body(&mut self, line: &str, octets: usize) -> Result<bool, Over> {
        while self.input.len() < octets {
            self.read()?;
        }
        let action = self.ask(At::Body, line);
        let begun = |seen: &mut Seen| seen.bodies += 1;
        match action {
            Do::Usual => {
                self.shared.note(begun);
                Ok(false)
            }
            // These come back only when the connection is over.
            Do::Silence | Do::Stall | Do::SayAndFin(_) => {
                self.shared.note(begun);
                self.answer(action, "").map(|_| true)
            }
            other => {
                let answered = self.answer(other, "").map(|_| true);
                self.shared.note(begun);
                answered
            }
        }
    }

    fn end(&mut self, at: At, line: &str, answered: bool) -> Result<(), Over> {
        let action = if answered { Do::Say(Vec::new()) } else { self.ask(at, line) };
        let accepts = match &action {
            Do::Usual => true,
            Do::Say(reply) | Do::SayInPieces(reply) | Do::SayAndFin(reply) | Do::SayAndReset(reply) => {
                reply.starts_with(b"2")
            }
            Do::Silence | Do::Stall => false,
        };
        self.in_content = false;
        if accepts {
            let message = Message {
                session: self.session,
                commands: self.commands.clone(),
                wire: self.wire.clone(),
                content: self.content.clone(),
            };
            self.shared.note(|seen| seen.messages.push(message));
        }
        self.transaction += 1;
        self.forget();
        self.answer(action, "250 2.0.0 accepted").map(drop)
    }

    fn forget(&mut self) {
        self.commands.clear();
        self.wire.clear();
        self.content.clear();
        self.has_sender = false;
        self.recipients = 0;
        self.in_content = false;
    }

    fn ask(&self, at: At, line: &str) -> Do {
        let (session, transaction) = (self.session, self.transaction);
        (self.shared.plan.script)(Step { at, session, transaction, line })
    }

    fn step(&mut self, at: At, line: &str, usual: &str) -> Result<bool, Over> {
        let action = self.ask(at, line);
        self.answer(action, usual)
    }

    /// Does it; whether the reply was positive (2yz, 3yz).
    fn answer(&mut self, action: Do, usual: &str) -> Result<bool, Over> {
        let usual = format!("{usual}\r\n").into_bytes();
        let is_positive = |reply: &[u8]| matches!(reply.first(), Some(b'2' | b'3'));
        match action {
            Do::Usual => self.say(&usual).map(|()| is_positive(&usual)),
            Do::Say(reply) => self.say(&reply).map(|()| is_positive(&reply)),
            Do::SayInPieces(reply) => {
                for byte in reply.chunks(1) {
                    self.say(byte)?;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(is_positive(&reply))
            }
            Do::SayAndFin(reply) => {
                self.say(&reply)?;
                self.stream.shutdown(Shutdown::Write)?;
                self.drain()
            }
            Do::SayAndReset(reply) => {
                self.say(&reply)?;
                SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
                Err(Over)
            }
            Do::Silence => self.drain(),
            Do::Stall => {
                let over = |_: &mut Seen| !self.shared.over.load(Ordering::Acquire);
                drop(self.shared.changed.wait_while(self.shared.seen(), over));
                Err(Over)
            }
        }
    }

    fn say(&mut self, bytes: &[u8]) -> Result<(), Over> {
        match &mut self.tls {
            Some(tls) => Ok(tls.write(&mut self.stream, bytes)?),
            None => Ok(self.stream.write_all(bytes)?),
        }
    }

    /// Reads to the end of the connection.
    fn drain(&mut self) -> Result<bool, Over> {
        loop {
            self.input.clear();
            self.read()?;
        }
    }

    fn line(&mut self) -> Result<String, Over> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            let idle = if self.input.is_empty() { self.shared.plan.idle } else { None };
            self.read_within(idle)?;
        }
    }

    fn read(&mut self) -> Result<(), Over> {
        self.read_within(None)
    }

    fn read_within(&mut self, limit: Option<Duration>) -> Result<(), Over> {
        self.stream.set_read_timeout(limit)?;
        let mut piece = vec![0; 64 * 1024];
        loop {
            let read = match &mut self.tls {
                Some(tls) => tls.read(&mut self.stream, &mut piece),
                None => self.stream.read(&mut piece),
            };
            match read {
                Ok(0) => return Err(Over),
                Ok(count) => {
                    self.input.extend_from_slice(&piece[..count]);
                    self.shared.note(|seen| seen.raw[self.session].extend_from_slice(&piece[..count]));
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The content of a wire that ends with its end of data.
pub(crate) fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let body = &wire[..wire.len() - 3];
    let mut content = Vec::with_capacity(body.len());
    let mut rest = body;
    loop {
        rest = rest.strip_prefix(b".").unwrap_or(rest);
        match memmem::find(rest, b"\r\n") {
            Some(at) => {
                content.extend_from_slice(&rest[..at + 2]);
                rest = &rest[at + 2..];
            }
            None => {
                content.extend_from_slice(rest);
                return content;
            }
        }
    }
}
