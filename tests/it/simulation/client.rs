//! SMTP clients: scripts of commands, sent one by one or in groups, over a connection that may end
//! at any octet. They check every reply: well-formed, in order, one for each command, their own.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::checker::{Fate, Identity, Ledger, Tag, Transaction};
use super::network::{ConnId, MILLIS, Network, SECONDS, Toward};

/// What a reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Greeting,
    Ehlo,
    Helo,
    Mail(Tag),
    Rcpt(Tag, usize),
    Data(Tag),
    /// The end of data.
    End(Tag),
    Bdat(Tag, bool),
    Rset,
    Noop,
    Vrfy,
    Junk,
    Quit,
}

impl Kind {
    const fn tag(self) -> Option<Tag> {
        match self {
            Self::Mail(tag) | Self::Rcpt(tag, _) | Self::Data(tag) | Self::End(tag) | Self::Bdat(tag, _) => {
                Some(tag)
            }
            _ => None,
        }
    }

    const fn is_content(self) -> bool {
        matches!(self, Self::End(_) | Self::Bdat(_, true))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) what: What,
    /// Not before everything is answered.
    pub(crate) wait: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Hello { helo: String, esmtp: bool },
    Command { line: Vec<u8>, kind: Kind },
    Content { tag: Tag },
    Pause(u64),
}

/// What goes wrong on the client's side, once so many octets are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Misdeed {
    /// FIN, and reads on.
    HalfClose,
    Close,
    Reset,
    /// Writes no more.
    Stall,
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) misdeed: Option<(u64, Misdeed)>,
    /// Octets that it reads at a time, and how long it rests after that.
    pub(crate) reads: (usize, u64),
    /// Octets that it writes at a time, and how long it rests after that.
    pub(crate) writes: (usize, u64),
}

/// Where a transaction stands, as the client sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    mail: bool,
    recipients: usize,
    data: bool,
    /// MAIL was accepted, and nothing has ended the transaction.
    open: bool,
    /// A chunk was refused, or the content was answered.
    over: bool,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) conn: Option<ConnId>,
    pub(crate) script: VecDeque<Step>,
    pub(crate) manner: Manner,
    identity: (String, bool),
    out: Vec<u8>,
    out_at: usize,
    /// Octets ever put into `out`.
    queued: u64,
    written: u64,
    input: Vec<u8>,
    reply: Vec<u8>,
    expects: VecDeque<(Kind, u64)>,
    progress: Progress,
    read_again: u64,
    write_again: u64,
    resume_at: u64,
    /// It will write no more.
    mute: bool,
    /// It heard that the session ends.
    dismissed: bool,
    /// What it sends is so large that the worker may leave.
    may_be_left: bool,
    /// The network or the worker's kernel broke its connection by our order.
    pub(crate) disturbed: bool,
    pub(crate) done: bool,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, script: Vec<Step>, manner: Manner) -> Self {
        Self {
            address,
            conn: None,
            script: script.into(),
            manner,
            identity: (String::new(), false),
            out: Vec::new(),
            out_at: 0,
            queued: 0,
            written: 0,
            input: Vec::new(),
            reply: Vec::new(),
            expects: VecDeque::from([(Kind::Greeting, 0)]),
            progress: Progress::default(),
            read_again: 0,
            write_again: 0,
            resume_at: 0,
            mute: false,
            dismissed: false,
            may_be_left: false,
            disturbed: false,
            done: false,
        }
    }

    fn behaves(&self) -> bool {
        self.manner.misdeed.is_none() && !self.disturbed && !self.may_be_left
    }

    /// Does all that can be done now.
    pub(crate) fn poll(&mut self, network: &mut Network, ledger: &mut Ledger) {
        let Some(conn) = self.conn else { return };
        if self.done {
            return;
        }
        self.listen(network, ledger, conn);
        self.act(network, ledger);
        self.speak(network, conn);
        self.end(network, ledger, conn);
    }

    fn listen(&mut self, network: &mut Network, ledger: &mut Ledger, conn: ConnId) {
        if network.now < self.read_again {
            return;
        }
        let (max, rest) = self.manner.reads;
        let read = network.read(conn, Toward::Peer, max, &mut self.input);
        if read > 0 && rest > 0 {
            self.read_again = network.now + rest;
            network.poll_at(conn, self.read_again);
        }
        while let Some(end) = memchr::memchr(b'\n', &self.input) {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            self.on_line(network, ledger, &line);
        }
    }

    fn on_line(&mut self, network: &mut Network, ledger: &mut Ledger, line: &[u8]) {
        let who = self.address.port();
        network.note(|| format!("C{who} S: {}", line.escape_ascii()));
        let well = is_well_formed(line) && (self.reply.is_empty() || self.reply[..3] == line[..3]);
        ledger.hold(network, well, || format!("C{who} heard a malformed reply: {}", line.escape_ascii()));
        self.reply.extend_from_slice(line);
        if well && line[3] == b'-' {
            return;
        }
        let reply = std::mem::take(&mut self.reply);
        if well {
            self.on_reply(network, ledger, &String::from_utf8_lossy(&reply));
        }
    }

    fn on_reply(&mut self, network: &mut Network, ledger: &mut Ledger, reply: &str) {
        let code: u16 = reply[..3].parse().unwrap_or(0);
        let who = self.address.port();
        ledger.hold(network, !self.dismissed, || format!("C{who} heard {reply:?} behind a farewell"));
        if code == 421 {
            // A last chunk that was refused is over for the worker, though RSET comes first.
            let shed = self.progress.open && !self.progress.over && reply.contains("busy with others");
            ledger.hold(network, !shed, || format!("C{who} was shed in a transaction"));
            self.dismissed = true;
            return;
        }
        let Some((kind, since)) = self.expects.pop_front() else {
            return ledger.violate(network, format!("C{who} heard {reply:?}, which answers nothing"));
        };
        check_code(network, ledger, who, kind, code, reply);
        if let Some(tag) = kind.tag() {
            self.check_tag(network, ledger, tag, kind, code, reply);
        }
        let waited = network.now.saturating_sub(since);
        ledger.hold(network, waited < REPLY_WITHIN, || {
            format!("C{who} waited {} ms for {reply:?} to {kind:?}", waited / MILLIS)
        });
        self.learn(network, ledger, kind, code);
        // These end a session: where the stream stands is in doubt.
        let in_doubt = matches!(kind, Kind::End(_)) && reply.starts_with("550 5.5.2");
        self.dismissed |= kind == Kind::Quit || in_doubt;
        // Nobody waits for the end of a chunk that could never be a message, and where DATA with a
        // bare newline ends is in doubt, whatever the reply that was settled before it came.
        let hopeless = matches!(kind, Kind::Bdat(tag, _) | Kind::End(tag)
            if ledger.transactions[tag].forbidden && code >= 400);
        self.may_be_left |= hopeless;
    }

    /// A reply that speaks of a transaction speaks of this one; a 5xx has a reason.
    fn check_tag(
        &self,
        network: &mut Network,
        ledger: &mut Ledger,
        tag: Tag,
        kind: Kind,
        code: u16,
        reply: &str,
    ) {
        let who = self.address.port();
        let told = reply.split("hop:t").nth(1).and_then(|rest| rest.split(';').next()?.parse::<Tag>().ok());
        ledger.hold(network, told.is_none_or(|told| told == tag), || {
            format!("C{who} heard about another transaction: {reply:?} to {kind:?}")
        });
        let promise = matches!(kind, Kind::Rcpt(..)) || kind.is_content();
        let ours_to_take = kind.is_content() && ledger.transactions[tag].fate != Fate::Delivered;
        ledger.hold(network, ours_to_take || !(promise && code < 300 && told.is_none()), || {
            format!("C{who} heard {reply:?} to {kind:?}, which no next hop said")
        });
        let earned = self.progress.mail && (self.progress.recipients > 0 || matches!(kind, Kind::Rcpt(..)));
        let pardoned = matches!(kind, Kind::Mail(_)) || !earned || self.progress.over;
        let ours = code >= 500 && told.is_none() && !ledger.transactions[tag].refusable;
        let expected = pardoned && code == 503 || !earned && code == 554;
        ledger.hold(network, !ours || expected, || {
            format!("C{who} heard {reply:?} to {kind:?}: for good, and it is no fault of its own")
        });
        let false_refusal = code >= 500 && told.is_some() && !ledger.transactions[tag].refused_by_hop;
        ledger.hold(network, !false_refusal, || format!("C{who} heard {reply:?}, and no next hop said so"));
    }

    fn learn(&mut self, network: &mut Network, ledger: &mut Ledger, kind: Kind, code: u16) {
        let yes = code < 300;
        match kind {
            Kind::Mail(_) => self.progress = Progress { mail: yes, open: yes, ..Progress::default() },
            Kind::Rcpt(tag, index) if yes => {
                self.progress.recipients += 1;
                ledger.transactions[tag].heard.push(index);
            }
            Kind::Data(_) => self.progress.data = code == 354,
            Kind::Bdat(_, false) if !yes => self.progress.over = true,
            Kind::End(tag) | Kind::Bdat(tag, true) => {
                self.progress.over = true;
                self.progress.open &= !yes && matches!(kind, Kind::Bdat(..));
                ledger.transactions[tag].answered = true;
                if yes {
                    ledger.on_acknowledged(network, tag);
                }
            }
            Kind::Rset | Kind::Ehlo | Kind::Helo => self.progress = Progress::default(),
            _ => {}
        }
    }

    /// Takes the steps of the script that may be taken.
    fn act(&mut self, network: &mut Network, ledger: &mut Ledger) {
        while !self.mute && !self.dismissed && network.now >= self.resume_at && self.out.len() < 128 * 1024 {
            let Some(step) = self.script.front() else { return };
            let greeted = !matches!(self.expects.front(), Some((Kind::Greeting, _)));
            if !greeted || step.wait && !self.expects.is_empty() {
                return;
            }
            let Some(step) = self.script.pop_front() else { return };
            match step.what {
                What::Hello { helo, esmtp } => self.hello(network, helo, esmtp),
                What::Command { line, kind } => self.command(network, ledger, &line, kind, step.wait),
                What::Content { tag } => self.content(network, ledger, tag),
                What::Pause(pause) => self.pause(network, pause),
            }
        }
    }

    fn pause(&mut self, network: &mut Network, pause: u64) {
        self.resume_at = network.now + pause;
        if let Some(conn) = self.conn {
            network.poll_at(conn, self.resume_at);
        }
    }

    fn hello(&mut self, network: &mut Network, helo: String, esmtp: bool) {
        let verb = if esmtp { "EHLO" } else { "HELO" };
        let kind = if esmtp { Kind::Ehlo } else { Kind::Helo };
        self.put(network, format!("{verb} {helo}\r\n").as_bytes(), Some(kind));
        self.identity = (helo, esmtp);
    }

    fn command(&mut self, network: &mut Network, ledger: &mut Ledger, line: &[u8], kind: Kind, wait: bool) {
        // Who waits for answers heeds them.
        let hopeless = match kind {
            Kind::Rcpt(..) => !self.progress.mail,
            Kind::Data(_) | Kind::Bdat(..) => {
                !self.progress.mail || self.progress.recipients == 0 || self.progress.over
            }
            _ => false,
        };
        if wait && hopeless {
            return;
        }
        if let Kind::Mail(tag) = kind
            && let Some(conn) = self.conn
        {
            let (helo, esmtp) = self.identity.clone();
            if self.expects.is_empty() && self.progress.open {
                self.put(network, b"RSET\r\n", Some(Kind::Rset));
            }
            ledger.transactions[tag].conn = conn;
            ledger.transactions[tag].identity = Identity { address: self.address, helo, esmtp };
        }
        self.put(network, line, Some(kind));
        if let Kind::Bdat(tag, true) = kind {
            ledger.transactions[tag].complete_at = Some(self.queued);
        }
    }

    fn content(&mut self, network: &mut Network, ledger: &mut Ledger, tag: Tag) {
        if !self.progress.data {
            return;
        }
        self.progress.data = false;
        let wire = stuffed(&ledger.transactions[tag].content);
        self.put(network, &wire, Some(Kind::End(tag)));
        ledger.transactions[tag].complete_at = Some(self.queued);
    }

    fn put(&mut self, network: &mut Network, bytes: &[u8], kind: Option<Kind>) {
        let who = self.address.port();
        network.note(|| format!("C{who} C: {}", bytes[..bytes.len().min(70)].escape_ascii()));
        self.out.extend_from_slice(bytes);
        self.queued += bytes.len() as u64;
        self.expects.extend(kind.map(|kind| (kind, u64::MAX)));
    }

    fn speak(&mut self, network: &mut Network, conn: ConnId) {
        while !self.mute && network.now >= self.write_again && self.out_at < self.out.len() {
            let (max, rest) = self.manner.writes;
            let until_misdeed =
                self.manner.misdeed.map_or(u64::MAX, |(at, _)| at.saturating_sub(self.written));
            let max = max.min(usize::try_from(until_misdeed).unwrap_or(usize::MAX));
            let end = self.out.len().min(self.out_at.saturating_add(max));
            let count = network.write(conn, Toward::Worker, &self.out[self.out_at..end]);
            self.out_at += count;
            self.written += count as u64;
            if let Some((at, misdeed)) = self.manner.misdeed.filter(|(at, _)| *at <= self.written) {
                return self.misbehave(network, conn, at, misdeed);
            }
            if count == 0 {
                return;
            }
            if rest > 0 {
                self.write_again = network.now + rest;
                network.poll_at(conn, self.write_again);
            }
        }
        if self.out_at == self.out.len() {
            self.out.clear();
            self.out_at = 0;
            // From here on the worker owes what is asked.
            for (_, since) in self.expects.iter_mut().filter(|(_, since)| *since == u64::MAX) {
                *since = network.now;
            }
        }
    }

    fn misbehave(&mut self, network: &mut Network, conn: ConnId, at: u64, misdeed: Misdeed) {
        let who = self.address.port();
        network.note(|| format!("C{who} does {misdeed:?} behind octet {at}"));
        self.mute = true;
        match misdeed {
            Misdeed::HalfClose => network.fin(conn, Toward::Worker),
            Misdeed::Close => {
                network.close(conn, Toward::Peer);
                self.done = true;
            }
            Misdeed::Reset => {
                network.abort(conn, Toward::Peer);
                self.done = true;
            }
            Misdeed::Stall => {}
        }
    }

    /// Leaves when everything is said and heard, or when the worker has gone.
    fn end(&mut self, network: &mut Network, ledger: &mut Ledger, conn: ConnId) {
        let half = &network.conns[conn].to_peer;
        if half.is_over() && half.unread() == 0 {
            self.done = true;
            let owed: Vec<Kind> = self.expects.iter().map(|(kind, _)| *kind).collect();
            let who = self.address.port();
            let torn = self.behaves() && !half.reset && !(self.input.is_empty() && self.reply.is_empty());
            ledger.hold(network, !torn, || format!("C{who} heard half a reply"));
            let left = self.behaves() && !self.dismissed && !owed.is_empty();
            ledger.hold(network, !left, || format!("C{who} was left without a reply to {owed:?}"));
            network.close(conn, Toward::Peer);
        } else if self.dismissed && network.conns[conn].to_peer.unread() == 0 {
            // The worker closes first; a client that hears its farewell goes too.
            network.fin(conn, Toward::Worker);
            self.mute = true;
        }
    }
}

/// No reply takes longer: every timeout of the configuration together, with margin for silence
/// that is broken just in time.
pub(crate) const REPLY_WITHIN: u64 = 120 * SECONDS;

fn is_well_formed(line: &[u8]) -> bool {
    let Some(text) = line.strip_suffix(b"\r\n") else { return false };
    line.len() <= 512
        && text.len() >= 4
        && (b'2'..=b'5').contains(&text[0])
        && text[1].is_ascii_digit()
        && text[2].is_ascii_digit()
        && matches!(text[3], b' ' | b'-')
        && text.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

fn check_code(network: &mut Network, ledger: &mut Ledger, who: u16, kind: Kind, code: u16, reply: &str) {
    let allowed = match kind {
        Kind::Greeting => code == 220,
        Kind::Ehlo | Kind::Helo | Kind::Rset | Kind::Noop => code == 250,
        Kind::Vrfy => code == 252,
        Kind::Quit => code == 221,
        Kind::Junk => code >= 500,
        Kind::Data(_) => code == 354 || code >= 400,
        Kind::Mail(_) | Kind::Rcpt(..) | Kind::End(_) | Kind::Bdat(..) => !(300..400).contains(&code),
    };
    ledger.hold(network, allowed, || format!("C{who} heard {reply:?} to {kind:?}"));
}

fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 64);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    if !content.is_empty() && !content.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

impl Transaction {
    pub(crate) fn new(content: Vec<u8>, refusable: bool, forbidden: bool) -> Self {
        Self {
            conn: 0,
            identity: Identity { address: ([0, 0, 0, 0], 0).into(), helo: String::new(), esmtp: false },
            content,
            fate: Fate::Delivered,
            refusable,
            forbidden,
            complete_at: None,
            heard: Vec::new(),
            accepted: 0,
            ended: 0,
            accepted_recipients: Vec::new(),
            acknowledged: false,
            answered: false,
            lied: false,
            refused_by_hop: false,
        }
    }
}
