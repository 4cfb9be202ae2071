//! Dovecot is asked whether a password is right: over one connection that is kept, many questions at a time.
//!
//! What must always hold: a server that is not there, falls silent or speaks something else has said neither
//! yes nor no; every question ends within its time; however many ask, their number is bounded.

mod wire;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::rand;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::{Origin, Presence, Word};
use crate::policy::users::Place;
use crate::smtp::sasl::Secret;

use wire::Said;

/// To connect and to introduce each other.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a server is left alone that did not do that in time.
const PAUSE: Duration = Duration::from_secs(3);
/// For one answer. The server delays what is wrong, the longer the more of it there was.
const ANSWER: Duration = Duration::from_secs(20);
/// Questions under way at a time.
const UNDER_WAY_MAX: usize = 256;
/// Bytes of a line of the server's.
const LINE_BYTES_MAX: usize = 8192;
const RECEIVE_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct Dovecot {
    place: Place,
    /// The one that is kept; whoever finds it broken makes another one.
    connection: Mutex<Kept>,
    places: Semaphore,
    presence: Presence,
}

#[derive(Debug, Default)]
struct Kept {
    connection: Option<Arc<Connection>>,
    /// A server that took no connection in time is not waited for by each client anew.
    hung_until: Option<Instant>,
}

/// Who waits for an answer, by the number of the question; `None`: nobody can any more.
#[expect(clippy::disallowed_types, reason = "of the service thread alone; a worker never sees it")]
type Waiting = std::sync::Mutex<Option<HashMap<u32, oneshot::Sender<Word>>>>;

#[derive(Debug)]
struct Connection {
    stream: Stream,
    /// One line after the other.
    writing: Mutex<()>,
    waiting: Waiting,
    next: AtomicU32,
    /// Answers that came: whether a server is alive shows in it.
    heard: AtomicU32,
    /// What gives the answers out; it ends with the connection.
    listening: OnceLock<AbortHandle>,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Dovecot {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            connection: Mutex::default(),
            places: Semaphore::new(UNDER_WAY_MAX),
            presence: Presence::default(),
        }
    }

    pub(super) async fn verify(&self, origin: Origin, user: &str, password: &Secret) -> Word {
        let Ok(_place) = self.places.try_acquire() else { return Word::Unknown };
        // A connection may have ended unseen a moment ago: then another one is made, once.
        for _ in 0..2 {
            let Some(connection) = self.connected().await else { return Word::Unknown };
            if let Some(word) = connection.ask(origin, user, password).await {
                return word;
            }
        }
        Word::Unknown
    }

    /// The connection that is kept, or a new one. Who waits here waits for the same.
    async fn connected(&self) -> Option<Arc<Connection>> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.connection.as_ref().filter(|connection| connection.is_alive()) {
            return Some(Arc::clone(connection));
        }
        kept.connection = None;
        if kept.hung_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let opened = timeout(CONNECT, Connection::open(&self.place)).await;
        kept.hung_until = opened.is_err().then(|| Instant::now() + PAUSE);
        match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(connection) => {
                self.presence.found(&self.place);
                kept.connection = Some(Arc::clone(&connection));
                Some(connection)
            }
            Err(error) => {
                self.presence.missed(&self.place, &error);
                None
            }
        }
    }
}

impl Connection {
    /// Connects, and waits until the server has said what it can do.
    async fn open(place: &Place) -> io::Result<Arc<Self>> {
        let stream = match place {
            Place::Socket(path) => Stream::Unix(UnixStream::connect(path).await?),
            Place::Loopback(address) => Stream::Tcp(TcpStream::connect(address).await?),
        };
        let mut number = [0; 4];
        rand::fill(&mut number).map_err(|_| io::Error::other("the system gives no random octets"))?;
        // Dovecot reads it as the number of a process: never 0, never below it.
        let number = (u32::from_ne_bytes(number) >> 1).max(1);
        stream.write(wire::introduction(number).as_bytes()).await?;
        let mut input = Vec::new();
        let (mut is_known, mut takes_passwords) = (false, false);
        loop {
            match wire::read(&stream.line(&mut input).await?).map_err(|_| stranger())? {
                Said::Version => is_known = true,
                Said::TakesPasswords => takes_passwords = true,
                Said::Done if !is_known => return Err(stranger()),
                Said::Done if !takes_passwords => return Err(io::Error::other("it has no mechanism PLAIN")),
                Said::Done => break,
                Said::Answer { .. } | Said::Else => {}
            }
        }
        let connection = Arc::new(Self {
            stream,
            writing: Mutex::default(),
            waiting: Waiting::new(Some(HashMap::new())),
            next: AtomicU32::new(1),
            heard: AtomicU32::new(0),
            listening: OnceLock::new(),
        });
        let listening = tokio::spawn(Arc::clone(&connection).listen(input));
        connection.listening.get_or_init(|| listening.abort_handle());
        Ok(connection)
    }

    /// Gives answers to whom they belong, until the connection ends.
    async fn listen(self: Arc<Self>, mut input: Vec<u8>) {
        while let Ok(line) = self.stream.line(&mut input).await {
            match wire::read(&line) {
                Ok(Said::Answer { id, word }) => self.hand_out(id, word),
                Ok(_) => {}
                Err(wire::Stranger) => break,
            }
        }
        self.end();
    }

    fn hand_out(&self, id: u32, word: Word) {
        self.heard.fetch_add(1, Ordering::Relaxed);
        let waiting = self.waiting.lock().ok();
        let asked = waiting.and_then(|mut waiting| waiting.as_mut()?.remove(&id));
        if let Some(asked) = asked {
            // Who asked may have left.
            let _ = asked.send(word);
        }
    }

    fn is_alive(&self) -> bool {
        self.waiting.lock().is_ok_and(|waiting| waiting.is_some())
    }

    /// Nobody waits any more: all hear that there is no answer.
    fn end(&self) {
        if let Ok(mut waiting) = self.waiting.lock() {
            *waiting = None;
        }
        self.listening.get().map(AbortHandle::abort);
    }

    /// `None`: it ended before the question was out.
    async fn ask(&self, origin: Origin, user: &str, password: &Secret) -> Option<Word> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().ok()?.as_mut()?.insert(id, sender);
        let heard = self.heard.load(Ordering::Relaxed);
        let ends = (origin.client.ip(), origin.local.ip());
        let request = wire::request(id, ends, user, password);
        if !self.send(request.as_bytes()).await {
            self.end();
            return None;
        }
        match timeout(ANSWER, answer).await {
            Ok(word) => Some(word.unwrap_or(Word::Unknown)),
            Err(_) => {
                self.give_up(id, heard);
                Some(Word::Unknown)
            }
        }
    }

    /// What is not taken in a moment goes to a server that does not read.
    async fn send(&self, request: &[u8]) -> bool {
        let sending = async {
            let _turn = self.writing.lock().await;
            self.stream.write(request).await
        };
        matches!(timeout(CONNECT, sending).await, Ok(Ok(())))
    }

    /// A server that has answered nobody meanwhile will answer nobody.
    fn give_up(&self, id: u32, heard: u32) {
        if self.heard.load(Ordering::Relaxed) == heard {
            return self.end();
        }
        if let Ok(mut waiting) = self.waiting.lock() {
            waiting.as_mut().and_then(|waiting| waiting.remove(&id));
        }
    }
}

fn stranger() -> io::Error {
    io::Error::other("it does not speak version 1 of the authentication protocol")
}

impl Stream {
    /// One line, without its end. `input` holds what came behind it.
    async fn line(&self, input: &mut Vec<u8>) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', input) {
                let mut line: Vec<u8> = input.drain(..=end).collect();
                line.pop();
                return Ok(line);
            }
            if input.len() > LINE_BYTES_MAX {
                return Err(io::Error::other("a line has no end"));
            }
            let mut bytes = [0; RECEIVE_BYTES];
            match self.read(&mut bytes).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => input.extend_from_slice(&bytes[..count]),
            }
        }
    }

    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Unix(stream) => {
                    stream.readable().await?;
                    stream.try_read(bytes)
                }
                Self::Tcp(stream) => {
                    stream.readable().await?;
                    stream.try_read(bytes)
                }
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match self {
                Self::Unix(stream) => {
                    stream.writable().await?;
                    stream.try_write(bytes)
                }
                Self::Tcp(stream) => {
                    stream.writable().await?;
                    stream.try_write(bytes)
                }
            };
            match written {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
