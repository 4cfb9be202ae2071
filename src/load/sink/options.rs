//! What the sink is told to do, in the program's own words; `cli` reads it from smtp-sink's.

use std::path::PathBuf;
use std::time::Duration;

use super::plan::Plan;
use super::station::Capacity;
use super::step::Rules;
use crate::tls::server_policy::ServerPolicy;

/// What the EHLO reply announces, and what is understood only because of that.
#[derive(Clone, Debug)]
pub struct Announce {
    pub pipelining: bool,
    pub eight_bit_mime: bool,
    pub auth: bool,
    pub xclient: bool,
    pub xforward: bool,
    pub enhanced_status_codes: bool,
    pub dsn: bool,
    pub chunking: bool,
    pub smtputf8: bool,
    pub size: Option<u64>,
}

/// Which dialogue is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// EHLO and HELO.
    Esmtp,
    /// HELO only (`-e`).
    Smtp,
    /// LHLO, and a reply per recipient (`-L`).
    Lmtp,
}

/// Where messages are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dump {
    /// A file for each, named by the template and a random number (`-d`).
    Each(PathBuf),
    /// All into one file, named by the template (`-D`).
    All(PathBuf),
}

#[derive(Clone, Debug)]
pub struct Options {
    pub hostname: String,
    pub protocol: Protocol,
    /// The greeting looks like that of a Cisco PIX (`-P`).
    pub pix: bool,
    pub announce: Announce,
    /// STARTTLS is announced, and these sessions are made from this.
    pub tls: Option<ServerPolicy>,
    pub rules: Rules,
    /// How they change while the sink runs.
    pub plan: Plan,
    /// What it can do at the end of content; without one, anything.
    pub capacity: Option<Capacity>,
    /// What is told at the end is told in intervals of this, too.
    pub series: Option<Duration>,
    /// Replies of `-r` and `-f`.
    pub soft_reply: String,
    pub hard_reply: String,
    /// Sessions at a time; further ones wait for their greeting.
    pub sessions_max: usize,
    /// End after so many sessions, or messages.
    pub sessions_total: Option<u64>,
    pub messages_total: Option<u64>,
    pub timeout: Duration,
    /// After 354, wait this long and give up with 550 (`-A`).
    pub abort_after: Option<Duration>,
    /// Wait this long between 354 and the first read (`-H`).
    pub read_delay: Option<Duration>,
    pub dump: Option<Dump>,
    /// Goes in front of each dumped message (`-S`).
    pub dump_start: Vec<u8>,
    /// Gets a line for each message before it is acknowledged.
    pub journal: Option<PathBuf>,
    /// A running counter on stdout (`-c`).
    pub show_counters: bool,
    pub verbose: bool,
    /// Of the percentages of `rules`; without one every run differs.
    pub seed: Option<u64>,
}

impl Default for Options {
    /// As smtp-sink without options, but for the sessions at a time.
    fn default() -> Self {
        Self {
            hostname: "smtp-sink".to_owned(),
            protocol: Protocol::Esmtp,
            pix: false,
            announce: Announce::default(),
            tls: None,
            rules: Rules::default(),
            plan: Plan::default(),
            capacity: None,
            series: None,
            soft_reply: "450 4.3.0 Error: command failed".to_owned(),
            hard_reply: "500 5.3.0 Error: command failed".to_owned(),
            sessions_max: usize::MAX,
            sessions_total: None,
            messages_total: None,
            timeout: Duration::from_secs(100),
            abort_after: None,
            read_delay: None,
            dump: None,
            dump_start: Vec::new(),
            journal: None,
            show_counters: false,
            verbose: false,
            seed: None,
        }
    }
}

impl Default for Announce {
    /// What smtp-sink announces: no CHUNKING, SIZE or SMTPUTF8.
    fn default() -> Self {
        Self {
            pipelining: true,
            eight_bit_mime: true,
            auth: true,
            xclient: true,
            xforward: true,
            enhanced_status_codes: true,
            dsn: true,
            chunking: false,
            smtputf8: false,
            size: None,
        }
    }
}

impl Announce {
    /// The lines of the EHLO reply after the first.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = [
            (self.pipelining, "PIPELINING"),
            (self.eight_bit_mime, "8BITMIME"),
            (self.auth, "AUTH PLAIN LOGIN"),
            (self.xclient, "XCLIENT NAME HELO"),
            (self.xforward, "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"),
            (self.enhanced_status_codes, "ENHANCEDSTATUSCODES"),
            (self.dsn, "DSN"),
            (self.chunking, "CHUNKING"),
            (self.smtputf8, "SMTPUTF8"),
        ]
        .iter()
        .filter(|(announced, _)| *announced)
        .map(|(_, line)| (*line).to_owned())
        .collect();
        lines.extend(self.size.map(|size| format!("SIZE {size}")));
        lines
    }
}
