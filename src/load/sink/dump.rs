//! Messages on disk, in smtp-sink's format: what was said about the message as header lines of
//! ours, the content with line ends of this system, an empty line.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use memchr::memchr_iter;

use super::options::Dump;
use super::{Kept, Protocol};

/// Names tried for one message before its dump is given up.
const NAMES_TRIED_MAX: u32 = 16;

/// What is the same for all messages.
#[derive(Debug)]
pub(super) struct Dumper {
    pub(super) dump: Dump,
    pub(super) start: Vec<u8>,
    pub(super) hostname: String,
}

impl Dumper {
    /// Writes one message. When this returns, a reader of the file finds it complete.
    pub(super) fn write(&self, message: &Kept, seconds: i64, rng: &mut Rng) -> Result<()> {
        let time = Timestamp::from_second(seconds).map_err(Error::other)?.to_zoned(TimeZone::UTC);
        let (mut file, id) = match &self.dump {
            Dump::Each(template) => new_file(&expand(template, &time)?, rng)?,
            Dump::All(template) => {
                (open(OpenOptions::new().append(true).create(true), &expand(template, &time)?)?, {
                    number(rng)
                })
            }
        };
        let mut text = self.start.clone();
        header(
            message,
            &self.hostname,
            &id,
            &time.strftime("%a, %d %b %Y %H:%M:%S +0000 (UTC)").to_string(),
            &mut text,
        );
        local_lines(&message.content, &mut text);
        text.push(b'\n');
        file.write_all(&text)
    }
}

/// strftime(3) over the template.
fn expand(template: &Path, time: &jiff::Zoned) -> Result<PathBuf> {
    let template = template.to_str().ok_or_else(|| Error::other("dump template is not UTF-8"))?;
    jiff::fmt::strtime::format(template, time).map(PathBuf::from).map_err(Error::other)
}

fn number(rng: &mut Rng) -> String {
    format!("{:08x}", rng.u32(..))
}

/// A file that did not exist, and the number that makes its name unique.
fn new_file(base: &Path, rng: &mut Rng) -> Result<(File, String)> {
    for _ in 0..NAMES_TRIED_MAX {
        let id = number(rng);
        let mut name = base.as_os_str().to_owned();
        name.push(&id);
        match open(OpenOptions::new().write(true).create_new(true), Path::new(&name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => return result.map(|file| (file, id)),
        }
    }
    Err(Error::other("no free dump file name"))
}

/// Opens, making missing directories first.
fn open(options: &mut OpenOptions, path: &Path) -> Result<File> {
    options.mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(path.parent().unwrap_or_else(|| Path::new(".")))?;
            options.open(path)
        }
        result => result,
    }
}

/// The header lines smtp-sink writes.
fn header(message: &Kept, hostname: &str, id: &str, date: &str, text: &mut Vec<u8>) {
    let mut field = |name: &str, value: &[u8]| {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(value);
        text.push(b'\n');
    };
    let ip = message.peer.ip().to_canonical();
    let address = if ip.is_ipv6() { format!("ipv6:{ip}") } else { ip.to_string() };
    let protocol = match message.protocol {
        Protocol::Smtp => "SMTP",
        Protocol::Esmtp => "ESMTP",
        Protocol::Lmtp => "LMTP",
    };
    field("X-Client-Addr: ", address.as_bytes());
    field("X-Client-Proto: ", protocol.as_bytes());
    if let Some(helo) = &message.helo {
        field("X-Helo-Args: ", helo);
    }
    field("X-Mail-Args: ", &message.mail);
    for recipient in &message.recipients {
        field("X-Rcpt-Args: ", recipient);
    }
    field(
        "Received: from ",
        &[message.helo.as_deref().unwrap_or(address.as_bytes()), b" ([", address.as_bytes(), b"])"].concat(),
    );
    field("\tby ", format!("{hostname} (smtp-sink) with {protocol} id {id};").as_bytes());
    field("\t", date.as_bytes());
}

/// Appends `content` with LF for CRLF.
fn local_lines(content: &[u8], text: &mut Vec<u8>) {
    let mut from = 0;
    for cr in memchr_iter(b'\r', content).filter(|&at| content.get(at + 1) == Some(&b'\n')) {
        text.extend_from_slice(&content[from..cr]);
        from = cr + 1;
    }
    text.extend_from_slice(&content[from..]);
}

#[cfg(test)]
mod tests {
    use super::{Kept, Protocol, header, local_lines};
    use crate::load::sink::Framing;

    #[test]
    fn the_header_is_smtp_sinks() {
        let message = Kept {
            peer: "127.0.0.1:4711".parse().unwrap(),
            protocol: Protocol::Esmtp,
            helo: Some(b"x y".to_vec()),
            mail: b"<a@b> SIZE=11".to_vec(),
            recipients: vec![b"<c@d>".to_vec(), b"c@d".to_vec()],
            xforward: Vec::new(),
            framing: Framing::Data,
            content: Vec::new(),
        };
        let mut text = Vec::new();
        header(&message, "sinkhost", "28f97f2c", "Sun, 22 Nov 2026 17:07:29 +0000 (UTC)", &mut text);
        let want = "X-Client-Addr: 127.0.0.1\nX-Client-Proto: ESMTP\nX-Helo-Args: x y\nX-Mail-Args: <a@b> SIZE=11\n\
            X-Rcpt-Args: <c@d>\nX-Rcpt-Args: c@d\nReceived: from x y ([127.0.0.1])\n\
            \tby sinkhost (smtp-sink) with ESMTP id 28f97f2c;\n\tSun, 22 Nov 2026 17:07:29 +0000 (UTC)\n";
        assert_eq!(String::from_utf8(text).unwrap(), want);
    }

    #[test]
    fn only_whole_line_ends_are_translated() {
        let mut text = Vec::new();
        local_lines(b"a\r\nb\rc\nd\r\r\n\r\n\r", &mut text);
        assert_eq!(text, b"a\nb\rc\nd\r\n\n\r");
    }
}
