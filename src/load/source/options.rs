//! What the source is told to do, in the program's own words; `cli` reads it from smtp-source's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::clients::Addresses;

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A few lines.
    Short,
    /// So many octets of lines of 80 (`-l`).
    Length(usize),
    /// This file, header and body (`-F`).
    File(PathBuf),
    /// Every file of this directory in turn (`--mix`).
    Mix(PathBuf),
}

/// The wait between the messages of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    None,
    /// `-w`
    Fixed(Duration),
    /// From nothing to this (`-R`).
    Random(Duration),
}

/// Whether sessions are under TLS. No certificate is looked at; tickets are kept and used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    No,
    /// By STARTTLS, which must be announced.
    Starttls,
    /// From the first octet on.
    Implicit,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub server: SocketAddr,
    pub sessions: usize,
    pub messages: u64,
    /// Messages a second, begun on time whatever comes of them; without it a session begins its next
    /// message when the one before has ended.
    pub rate: Option<f64>,
    /// No message is begun after so long.
    pub lasts: Option<Duration>,
    /// Where connections come from.
    pub clients: Option<Addresses>,
    /// Each connection begins with a PROXY header (version 2) for one of these.
    pub proxy_header: Option<Addresses>,
    /// Each session says XCLIENT for one of these.
    pub xclient: Option<Addresses>,
    /// The report is told in intervals, too.
    pub series: Option<Duration>,
    pub content: Content,
    pub hostname: String,
    pub sender: String,
    pub recipient: String,
    /// Recipients per message.
    pub recipients: u32,
    /// A number that does not repeat goes in front of each recipient (`-N`).
    pub number_recipients: bool,
    pub subject: Option<String>,
    /// No HELO and no header (`-o`).
    pub old: bool,
    pub lmtp: bool,
    /// Further messages use the same connection (`-d`).
    pub keep_session: bool,
    /// Errors are counted, not the end (`-A`).
    pub keep_going: bool,
    /// Tries before a refused connection is an error (`-C`).
    pub connect_tries: u32,
    pub pause: Pause,
    pub tls: Tls,
    /// BDAT instead of DATA.
    pub bdat: bool,
    /// MAIL, RCPT and DATA, or BDAT with the content, in one write.
    pub pipeline: bool,
    /// Gets a line with the id of each acknowledged message.
    pub journal: Option<PathBuf>,
    /// How long a reply may take.
    pub timeout: Duration,
    pub show_counter: bool,
    pub verbose: bool,
}

impl Options {
    /// As smtp-source with no options.
    pub fn new(server: SocketAddr) -> Self {
        let hostname = crate::load::console::hostname();
        Self {
            server,
            sessions: 1,
            messages: 1,
            rate: None,
            lasts: None,
            clients: None,
            proxy_header: None,
            xclient: None,
            series: None,
            content: Content::Short,
            sender: format!("foo@{hostname}"),
            recipient: format!("foo@{hostname}"),
            hostname,
            recipients: 1,
            number_recipients: false,
            subject: None,
            old: false,
            lmtp: false,
            keep_session: false,
            keep_going: false,
            connect_tries: 1,
            pause: Pause::None,
            tls: Tls::No,
            bdat: false,
            pipeline: false,
            journal: None,
            timeout: Duration::from_secs(300),
            show_counter: false,
            verbose: false,
        }
    }
}
