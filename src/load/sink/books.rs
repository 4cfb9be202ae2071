//! What the sink keeps of what it heard: counters, journal, dump, and what a test wants to see.

use std::fmt;
use std::fs::File;
use std::io::{Result, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use memchr::{memchr, memmem};

use super::crowd::Crowd;
use super::dump::Dumper;
use super::options::Options;
use super::station::Station;
use super::step::Step;
use super::{Keep, Protocol};
use crate::base::time::{Instant, Wall};
use crate::load::console;

/// Content in which the journal looks for the message's id.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Longest command text in the system log, as in smtp-sink.
const LOGGED_BYTES_MAX: usize = 100;

/// How the content came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Data,
    Bdat,
}

/// One message as the sink took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub peer: SocketAddr,
    pub protocol: Protocol,
    /// Arguments of the last HELO, EHLO or LHLO.
    pub helo: Option<Vec<u8>>,
    /// What followed `MAIL FROM:`.
    pub mail: Vec<u8>,
    /// What followed each `RCPT TO:`.
    pub recipients: Vec<Vec<u8>>,
    /// Arguments of the XFORWARD commands since the last transaction.
    pub xforward: Vec<Vec<u8>>,
    pub framing: Framing,
    /// Without transparency dots and the end of data.
    pub content: Vec<u8>,
}

/// How much of content has to be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Memory {
    Nothing,
    Head,
    Whole,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What was counted; any thread may look.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: AtomicU64,)* }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
        pub struct Totals { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            pub fn totals(&self) -> Totals {
                Totals { $($name: self.$name.load(Ordering::Acquire),)* }
            }
        }
    };
}

counters! {
    /// Connections accepted, and those that have ended.
    connects,
    sessions,
    /// Connections lost in the middle of a transaction.
    lost,
    /// Connections that were silent for too long.
    timeouts,
    quits,
    commands,
    rsets,
    /// RCPT commands answered 250.
    recipients,
    /// Messages acknowledged, and those refused after their last octet.
    messages,
    refused,
    /// BDAT commands.
    bdats,
    /// Octets of content as sent.
    bytes,
    /// Faults injected.
    faults,
}

/// Adds to a counter that only this thread writes.
pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Release);
}

/// Everything sessions share.
pub(super) struct Books {
    pub(super) options: Options,
    pub(super) counters: Arc<Counters>,
    pub(super) rng: Rng,
    pub(super) wall: Wall,
    pub(super) now: Instant,
    pub(super) station: Option<Station>,
    pub(super) crowd: Crowd,
    pub(super) memory: Memory,
    ehlo: Vec<String>,
    dumper: Option<Dumper>,
    journal: Option<File>,
    keep: Option<Keep>,
    system_log: Option<UnixDatagram>,
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Books {
    /// # Errors
    /// When the journal cannot be opened.
    pub(super) fn open(options: Options, keep: Option<Keep>, now: Instant) -> Result<Self> {
        let journal =
            options.journal.as_ref().map(|path| File::options().append(true).create(true).open(path));
        let dumper = options.dump.clone().map(|dump| Dumper {
            dump,
            start: options.dump_start.clone(),
            hostname: options.hostname.clone(),
        });
        let memory = match (dumper.is_some() || keep.is_some(), journal.is_some()) {
            (true, _) => Memory::Whole,
            (_, true) => Memory::Head,
            _ => Memory::Nothing,
        };
        Ok(Self {
            rng: options.seed.map_or_else(Rng::new, Rng::with_seed),
            ehlo: options.announce.lines(),
            journal: journal.transpose()?,
            system_log: options.rules.logs_any().then(system_log).transpose()?,
            counters: Arc::default(),
            wall: Wall::default(),
            now,
            station: options.capacity.map(Station::new),
            crowd: Crowd::new(now, options.series),
            memory,
            dumper,
            keep,
            options,
        })
    }

    /// Puts a message where it was asked to be put. Only after that may it be acknowledged.
    pub(super) fn store(&mut self, message: Kept) -> Result<()> {
        if let Some(dumper) = &self.dumper {
            let seconds = i64::try_from(self.wall.as_secs()).unwrap_or(i64::MAX);
            dumper.write(&message, seconds, &mut self.rng)?;
        }
        if let Some(journal) = &mut self.journal {
            // One write: a line is there as a whole or not at all, whoever is killed.
            journal.write_all(&journal_line(&message.content))?;
        }
        if let Some(keep) = &mut self.keep {
            keep(message);
        }
        Ok(())
    }

    /// A command for the system log (`-s`) and for the person watching (`-v`).
    pub(super) fn log(&self, step: Option<Step>, line: &[u8]) {
        if self.options.verbose {
            console::say("sink", &console::printable(line));
        }
        let Some(log) =
            self.system_log.as_ref().filter(|_| step.is_some_and(|step| self.options.rules.logs(step)))
        else {
            return;
        };
        // Facility mail, severity info. A log that is full loses lines, not the sink its pace.
        let text = console::printable(&line[..line.len().min(LOGGED_BYTES_MAX)]);
        drop(log.send(format!("<22>postern-sink[{}]: {text}", std::process::id()).as_bytes()));
    }

    /// A reply of one line.
    pub(super) fn reply(&self, out: &mut Vec<u8>, code: &str, status: &str, text: &str) {
        out.extend_from_slice(code.as_bytes());
        out.push(b' ');
        if self.options.announce.enhanced_status_codes && !status.is_empty() {
            out.extend_from_slice(status.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// The reply to EHLO or LHLO.
    pub(super) fn ehlo_reply(&self, offers_tls: bool, out: &mut Vec<u8>) {
        let usual = std::iter::once(&self.options.hostname).chain(&self.ehlo).map(String::as_str);
        let mut lines = usual.chain(offers_tls.then_some("STARTTLS")).peekable();
        while let Some(line) = lines.next() {
            out.extend_from_slice(if lines.peek().is_some() { b"250-" } else { b"250 " });
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn system_log() -> Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect("/dev/log")?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The message's id and a line end.
fn journal_line(content: &[u8]) -> Vec<u8> {
    let mut line = id(content).to_vec();
    line.push(b'\n');
    line
}

/// The id of a message: its X-Load-Id, else its Message-ID.
fn id(content: &[u8]) -> &[u8] {
    let head = memmem::find(content, b"\r\n\r\n").map_or(content, |end| &content[..end]);
    field(head, b"x-load-id:").or_else(|| field(head, b"message-id:")).unwrap_or(b"-")
}

/// The body of the first field with this name, if it is one line.
fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = head;
    loop {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        if rest.len() >= name.len() && rest[..name.len()].eq_ignore_ascii_case(name) {
            return Some(rest[name.len()..end].trim_ascii());
        }
        rest = rest.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn a_message_has_an_id() {
        for (content, want) in [
            ("From: a\r\nMessage-Id: <1@x>\r\n\r\nMessage-ID: <2@x>\r\n", "<1@x>"),
            ("message-id:<1@x>\r\nX-Load-Id: 7\r\n\r\n", "7"),
            ("From: a\r\n\r\nMessage-ID: <2@x>\r\n", "-"),
            ("", "-"),
        ] {
            assert_eq!(id(content.as_bytes()), want.as_bytes(), "{content:?}");
        }
    }
}
