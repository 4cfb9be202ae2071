//! A scripted client: sends bytes as told, and expects replies in time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use socket2::SockRef;

use super::PATIENCE;
use super::authority::HOST;
use super::secure::Tls;

/// One reply as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// The lines without code and CRLF.
    pub(crate) lines: Vec<String>,
    pub(crate) raw: Vec<u8>,
}

impl Reply {
    pub(crate) const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    pub(crate) const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Code and text of a reply of one line.
    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" / "))
    }
}

/// What a client heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Reply(Reply),
    /// FIN or RST.
    Closed,
    /// Nothing, to the end of its patience.
    Nothing,
}

impl Heard {
    pub(crate) const fn code(&self) -> Option<u16> {
        match self {
            Self::Reply(reply) => Some(reply.code),
            Self::Closed | Self::Nothing => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    tls: Option<Tls>,
    input: Vec<u8>,
    /// How long a reply may take.
    pub(crate) patience: Duration,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// From an address of its own: any of 127.0.0.0/8.
    pub(crate) fn connect_from(source: &str, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&format!("{source}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, tls: None, input: Vec::new(), patience: PATIENCE }
    }

    /// Another hand on the same connection in clear, to write while the first one reads.
    pub(crate) fn share(of: &Self) -> Self {
        Self::over(of.stream.try_clone().unwrap())
    }

    #[track_caller]
    pub(crate) fn greeted(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        assert_eq!(client.reply().code, 220);
        client
    }

    /// Shakes hands at once, with a server that calls itself [`HOST`].
    pub(crate) fn start_tls(&mut self, config: &Arc<ClientConfig>) -> io::Result<()> {
        self.start_tls_behind(b"", config)
    }

    /// The same, in one segment with what is said `before` it.
    pub(crate) fn start_tls_behind(&mut self, before: &[u8], config: &Arc<ClientConfig>) -> io::Result<()> {
        self.stream.set_read_timeout(Some(self.patience)).unwrap();
        self.tls = Some(Tls::client(config, HOST, before, &mut self.stream)?);
        Ok(())
    }

    /// Connects to a listener that begins with TLS, and reads its greeting.
    #[track_caller]
    pub(crate) fn implicit(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let mut client = Self::connect(address);
        client.start_tls(config).unwrap();
        assert_eq!(client.reply().code, 220);
        client
    }

    /// STARTTLS, which must be announced, the handshake, and EHLO anew.
    #[track_caller]
    pub(crate) fn starttls(&mut self, config: &Arc<ClientConfig>) {
        let announced = self.command("EHLO client.example");
        assert!(announced.lines.iter().any(|line| line == "STARTTLS"), "{announced:?}");
        assert_eq!(self.command("STARTTLS").code, 220);
        self.start_tls(config).unwrap();
        let announced = self.command("EHLO client.example");
        assert!(announced.lines.iter().all(|line| line != "STARTTLS"), "{announced:?}");
    }

    /// The session, for what it established.
    pub(crate) fn tls(&self) -> &rustls::Connection {
        &self.tls.as_ref().unwrap().0
    }

    /// Ends its half of the session as TLS wants it.
    pub(crate) fn close_notify(&mut self) {
        self.tls.as_mut().unwrap().close(&mut self.stream).unwrap();
    }

    /// Whether the server's half has ended, and was ended by the server itself.
    pub(crate) fn was_closed_cleanly(&mut self) -> bool {
        self.stream.set_read_timeout(Some(self.patience)).unwrap();
        matches!(self.read(&mut [0; 1]), Ok(0))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.write(&mut self.stream, bytes),
            None => self.stream.write_all(bytes),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.read(&mut self.stream, into),
            None => self.stream.read(into),
        }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.write(bytes).unwrap();
    }

    /// A peer that may be gone by now is told all the same.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.write(bytes).is_ok()
    }

    /// In writes of `size` bytes; says whether all of them were taken.
    pub(crate) fn send_in_pieces(&mut self, bytes: &[u8], size: usize) -> bool {
        bytes.chunks(size).all(|piece| self.write(piece).is_ok())
    }

    pub(crate) fn hear_within(&mut self, limit: Duration) -> Heard {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(reply) = self.take_reply() {
                return Heard::Reply(reply);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Heard::Nothing;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut piece = [0; 16 * 1024];
            match self.read(&mut piece) {
                Ok(0) => return Heard::Closed,
                Ok(count) => self.input.extend_from_slice(&piece[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Heard::Closed,
            }
        }
    }

    pub(crate) fn hear(&mut self) -> Heard {
        self.hear_within(self.patience)
    }

    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        match self.hear() {
            Heard::Reply(reply) => reply,
            other => panic!("no reply but {other:?}, {:?} before", String::from_utf8_lossy(&self.input)),
        }
    }

    /// Everything that comes until the connection closes; `None` if it stays open.
    pub(crate) fn hear_to_the_end(&mut self, limit: Duration) -> Option<Vec<Reply>> {
        let deadline = Instant::now() + limit;
        let mut replies = Vec::new();
        loop {
            match self.hear_within(deadline.saturating_duration_since(Instant::now())) {
                Heard::Reply(reply) => replies.push(reply),
                Heard::Closed => return Some(replies),
                Heard::Nothing => return None,
            }
        }
    }

    /// One whole reply of what came. A malformed one fails the test: every reply of ours is read
    /// through here.
    fn take_reply(&mut self) -> Option<Reply> {
        let mut lines = Vec::new();
        let mut begin = 0;
        loop {
            let end = begin + self.input[begin..].windows(2).position(|pair| pair == b"\r\n")?;
            let line = std::str::from_utf8(&self.input[begin..end]).unwrap();
            begin = end + 2;
            assert!(line.len() + 2 <= 512 && !line.contains(['\r', '\n', '\0']), "reply line {line:?}");
            let code = line.get(..3).unwrap().parse::<u16>().unwrap();
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            let raw = self.input.drain(..begin).collect();
            return Some(Reply { code, lines, raw });
        }
    }

    #[track_caller]
    pub(crate) fn command(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// MAIL and one RCPT, both accepted.
    #[track_caller]
    pub(crate) fn envelope(&mut self, sender: &str, recipient: &str) {
        let reply = self.command(&format!("MAIL FROM:<{sender}>"));
        assert_eq!(reply.code, 250, "{reply:?}");
        let reply = self.command(&format!("RCPT TO:<{recipient}>"));
        assert_eq!(reply.code, 250, "{reply:?}");
    }

    /// A whole message by DATA; `content` must end with CRLF and be stuffed where it needs to be.
    #[track_caller]
    pub(crate) fn message(&mut self, recipient: &str, content: &[u8]) -> Reply {
        self.envelope("a@client.example", recipient);
        assert_eq!(self.command("DATA").code, 354);
        self.send(&[content, b".\r\n"].concat());
        self.reply()
    }

    /// A whole message, whatever the proxy says on the way: the last reply.
    pub(crate) fn attempt(&mut self, recipient: &str, content: &[u8]) -> Heard {
        let steps =
            [b"MAIL FROM:<a@client.example>\r\n".to_vec(), format!("RCPT TO:<{recipient}>\r\n").into_bytes()];
        for step in steps {
            if !self.try_send(&step) {
                return Heard::Closed;
            }
            match self.hear() {
                Heard::Reply(reply) if reply.is_positive() => {}
                other => return other,
            }
        }
        self.try_send(b"DATA\r\n");
        match self.hear() {
            Heard::Reply(reply) if reply.code == 354 => {}
            other => return other,
        }
        self.try_send(content);
        self.try_send(b".\r\n");
        self.hear()
    }

    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with RST.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
