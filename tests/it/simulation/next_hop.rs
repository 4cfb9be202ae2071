//! Next hops: SMTP servers that behave, or lie at a step. They check what they are told: only
//! whole commands in a lawful order, no bare CR, LF or NUL, content with one end, the right names.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::checker::{Ledger, Tag};
use super::network::{ConnId, MILLIS, Network, SECONDS, Toward};

/// Where in a dialogue a server may stumble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Greeting,
    Ehlo,
    Rset,
    Xforward,
    Mail,
    Rcpt,
    Data,
    /// After some octets of content.
    Body,
    End,
    Quit,
}

pub(crate) const STEPS: [At; 10] = [
    At::Greeting,
    At::Ehlo,
    At::Rset,
    At::Xforward,
    At::Mail,
    At::Rcpt,
    At::Data,
    At::Body,
    At::End,
    At::Quit,
];

/// What it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Transient,
    Permanent,
    /// 421, and closes.
    Closing,
    Garbage,
    /// A reply of a class that does not belong here.
    Wrong,
    /// Reads on and never says a word.
    Silence,
    /// Reads no more.
    Deaf,
    Fin,
    Reset,
    /// The right reply, and then the end.
    SaidFin,
    SaidReset,
    /// Two replies in one write.
    Twice,
    Slow,
    /// 250 before the content has ended.
    Early,
    /// The same with a reset in one breath.
    EarlyReset,
}

pub(crate) const TROUBLES: [Trouble; 15] = [
    Trouble::Transient,
    Trouble::Permanent,
    Trouble::Closing,
    Trouble::Garbage,
    Trouble::Wrong,
    Trouble::Silence,
    Trouble::Deaf,
    Trouble::Fin,
    Trouble::Reset,
    Trouble::SaidFin,
    Trouble::SaidReset,
    Trouble::Twice,
    Trouble::Slow,
    Trouble::Early,
    Trouble::EarlyReset,
];

/// What a server announces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced {
    pub(crate) ehlo: bool,
    pub(crate) pipelining: bool,
    pub(crate) chunking: bool,
    pub(crate) eight_bit: bool,
    pub(crate) size: Option<usize>,
    pub(crate) xforward: bool,
    pub(crate) mail_max: Option<u32>,
}

/// A server of an upstream.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) upstream: usize,
    /// One of these, by turns, at each connect.
    pub(crate) announced: Vec<Announced>,
    /// Which troubles it has.
    pub(crate) troubles: Vec<(At, Trouble)>,
    /// One step in so many is troubled.
    pub(crate) trouble_one_in: u64,
    /// One connect in so many is refused, or never answered; 0: none.
    pub(crate) refuses_one_in: u64,
    /// Closes idle connections after so long.
    pub(crate) idle: Option<u64>,
    /// Octets that it reads at a time, and how long it rests after that.
    pub(crate) reads: (usize, u64),
    pub(crate) sessions: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Command,
    Data,
    Chunk {
        left: u64,
        last: bool,
    },
    /// Reads and drops, says nothing.
    Mute,
    Deaf,
    Gone,
}

/// What follows once a reply is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    Fin,
    Reset,
    /// It has taken the message.
    Accepted(Tag),
}

#[derive(Debug)]
pub(crate) struct Session {
    conn: ConnId,
    announced: Announced,
    troubles: Vec<(At, Trouble)>,
    trouble_one_in: u64,
    idle: Option<u64>,
    reads: (usize, u64),
    state: State,
    input: Vec<u8>,
    out: Vec<u8>,
    /// A reply that takes its time.
    busy: Option<(u64, Vec<u8>, Vec<Then>)>,
    /// Closes when `out` is written.
    fin_after: bool,
    read_again: u64,
    last_heard: u64,
    tag: Option<Tag>,
    last_tag: Tag,
    recipients: Vec<usize>,
    content: Vec<u8>,
    /// DATA: up to where `content` was searched for its end.
    searched: usize,
    /// The trouble of this content, at that octet.
    body: Option<(usize, Trouble)>,
    /// It has said something about this content already.
    spoken: bool,
    /// RCPT was said in this transaction.
    asked: bool,
    /// A chunk was refused: nothing but RSET helps.
    spoilt: bool,
    told: HashMap<String, String>,
    mails: u32,
}

/// How all content begins that goes up.
const TRACE: &[u8] = b"Received:";

impl Session {
    pub(crate) fn new(server: &mut Server, conn: ConnId) -> Self {
        let announced = server.announced[server.sessions % server.announced.len()];
        server.sessions += 1;
        Self {
            conn,
            announced,
            troubles: server.troubles.clone(),
            trouble_one_in: server.trouble_one_in,
            idle: server.idle,
            reads: server.reads,
            state: State::Command,
            input: Vec::new(),
            out: Vec::new(),
            busy: None,
            fin_after: false,
            read_again: 0,
            last_heard: 0,
            tag: None,
            last_tag: 0,
            recipients: Vec::new(),
            content: Vec::new(),
            searched: 0,
            body: None,
            spoken: false,
            asked: false,
            spoilt: false,
            told: HashMap::new(),
            mails: 0,
        }
    }

    pub(crate) fn greet(&mut self, network: &mut Network, ledger: &mut Ledger) {
        self.answer(network, ledger, At::Greeting, "220 next.hop.example ready\r\n");
        self.poll(network, ledger);
    }

    pub(crate) fn poll(&mut self, network: &mut Network, ledger: &mut Ledger) {
        if self.state == State::Gone {
            return;
        }
        self.finish_reply(network, ledger);
        self.speak(network);
        self.listen(network, ledger);
        self.speak(network);
        self.end(network);
    }

    fn finish_reply(&mut self, network: &mut Network, ledger: &mut Ledger) {
        if self.busy.as_ref().is_some_and(|(time, ..)| *time <= network.now)
            && let Some((_, reply, then)) = self.busy.take()
        {
            self.say(network, ledger, &reply, &then);
        }
    }

    fn listen(&mut self, network: &mut Network, ledger: &mut Ledger) {
        let ready = self.busy.is_none() && network.now >= self.read_again && self.out.len() < 64 * 1024;
        if !ready || matches!(self.state, State::Deaf | State::Gone) || self.fin_after {
            return;
        }
        let (max, rest) = self.reads;
        let read = network.read(self.conn, Toward::Peer, max, &mut self.input);
        if read > 0 {
            self.last_heard = network.now;
            if rest > 0 {
                self.read_again = network.now + rest;
                network.poll_at(self.conn, self.read_again);
            } else if network.conns[self.conn].to_peer.unread() > 0 {
                network.poll(self.conn);
            }
        }
        while self.busy.is_none() && !self.fin_after && self.take(network, ledger) {}
    }

    /// Takes one piece of input; false if there is none.
    fn take(&mut self, network: &mut Network, ledger: &mut Ledger) -> bool {
        match self.state {
            State::Command => self.take_line(network, ledger),
            State::Data => self.take_data(network, ledger),
            State::Chunk { left, last } => self.take_chunk(network, ledger, left, last),
            State::Mute => {
                self.input.clear();
                false
            }
            State::Deaf | State::Gone => false,
        }
    }

    fn take_line(&mut self, network: &mut Network, ledger: &mut Ledger) -> bool {
        let Some(end) = memchr::memchr(b'\n', &self.input) else { return false };
        let line: Vec<u8> = self.input.drain(..=end).collect();
        let conn = self.conn;
        network.note(|| format!("H{conn} C: {}", line.escape_ascii()));
        let whole = line.strip_suffix(b"\r\n").filter(|line| !line.iter().any(u8::is_ascii_control));
        match whole.map(String::from_utf8_lossy) {
            Some(command) => self.on_command(network, ledger, &command),
            None => ledger.violate(network, format!("H{conn} was told {}", line.escape_ascii())),
        }
        true
    }

    fn on_command(&mut self, network: &mut Network, ledger: &mut Ledger, command: &str) {
        let verb = command.split(' ').next().unwrap_or_default();
        match verb {
            "EHLO" if self.announced.ehlo => {
                let reply = ehlo_reply(self.announced);
                self.answer(network, ledger, At::Ehlo, &reply);
            }
            "EHLO" => self.plain(network, ledger, "502 5.5.1 what is EHLO\r\n"),
            "HELO" => {
                // Who was told nothing can heed nothing.
                self.announced = Announced {
                    ehlo: false,
                    chunking: false,
                    xforward: false,
                    mail_max: None,
                    ..self.announced
                };
                self.plain(network, ledger, "250 next.hop.example\r\n");
            }
            "RSET" => {
                self.reset();
                self.answer(network, ledger, At::Rset, "250 2.0.0 reset\r\n");
            }
            // Asked between transactions whether it lives.
            "NOOP" if self.tag.is_none() => {
                self.answer(network, ledger, At::Rset, "250 2.0.0 ok\r\n");
            }
            "XFORWARD" => self.on_xforward(network, ledger, command),
            "MAIL" => self.on_mail(network, ledger, command),
            "RCPT" => self.on_rcpt(network, ledger, command),
            "DATA" => self.on_data(network, ledger),
            "BDAT" => self.on_bdat(network, ledger, command),
            "QUIT" => {
                self.answer(network, ledger, At::Quit, "221 2.0.0 bye\r\n");
                self.fin_after = true;
            }
            _ => ledger.violate(network, format!("a next hop was told {command:?}")),
        }
    }

    fn reset(&mut self) {
        self.tag = None;
        self.recipients.clear();
        self.asked = false;
        self.content.clear();
        self.searched = 0;
        self.spoilt = false;
        self.spoken = false;
        self.body = None;
    }

    fn on_xforward(&mut self, network: &mut Network, ledger: &mut Ledger, command: &str) {
        let (announced, idle) = (self.announced.xforward, self.tag.is_none());
        ledger.hold(network, announced && idle, || format!("{command:?} where it does not belong"));
        if !self.answer(network, ledger, At::Xforward, "250 2.0.0 noted\r\n") {
            return;
        }
        for word in command.split(' ').skip(1) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match value {
                "[UNAVAILABLE]" => self.told.remove(name),
                _ => self.told.insert(name.to_owned(), value.to_owned()),
            };
        }
    }

    fn on_mail(&mut self, network: &mut Network, ledger: &mut Ledger, command: &str) {
        let idle = self.tag.is_none() && !self.spoilt;
        ledger.hold(network, idle, || format!("{command:?} inside a transaction"));
        self.mails += 1;
        let within = self.announced.mail_max.is_none_or(|max| self.mails <= max);
        ledger.hold(network, within, || format!("{command:?} beyond MAILMAX"));
        let Some(tag) = number_behind(command, "FROM:<t") else {
            return ledger.violate(network, format!("a reverse-path nobody gave: {command:?}"));
        };
        self.reset();
        self.last_tag = tag;
        if self.answer(network, ledger, At::Mail, &format!("250 2.1.0 hop:t{tag}; sender\r\n")) {
            self.tag = Some(tag);
        }
    }

    fn on_rcpt(&mut self, network: &mut Network, ledger: &mut Ledger, command: &str) {
        let tag = self.last_tag;
        let Some(index) = number_behind(command, "TO:<r") else {
            return ledger.violate(network, format!("a recipient nobody gave: {command:?}"));
        };
        let own = number_behind(command, ".t") == Some(tag);
        ledger.hold(network, own, || format!("{command:?} in the transaction of t{tag}"));
        self.asked = true;
        if self.tag.is_none() {
            let reply = format!("503 5.5.1 hop:t{tag}; no sender\r\n");
            return self.refuse(network, ledger, &reply);
        }
        let reply = format!("250 2.1.5 hop:t{tag}; recipient r{index}\r\n");
        if self.answer(network, ledger, At::Rcpt, &reply) {
            self.recipients.push(index);
        }
    }

    /// Content may come: an honest server answers 354, or takes chunks.
    fn admits_content(&self) -> bool {
        self.tag.is_some() && !self.recipients.is_empty()
    }

    fn on_data(&mut self, network: &mut Network, ledger: &mut Ledger) {
        let admits = self.asked && self.content.is_empty() && !self.spoilt;
        ledger.hold(network, admits, || "DATA without RCPT".to_owned());
        let tag = self.last_tag;
        // RFC 2920 §3.1: DATA in one group with RCPT. If none was accepted a server may say 354 all
        // the same, and waits for a lone dot.
        if !self.admits_content() && network.random.bool() {
            return self.refuse(network, ledger, &format!("503 5.5.1 hop:t{tag}; no recipients\r\n"));
        }
        if self.answer(network, ledger, At::Data, &format!("354 hop:t{tag}; go on\r\n")) {
            self.state = if self.state == State::Command { State::Data } else { self.state };
            self.plan_body(network);
        }
    }

    fn on_bdat(&mut self, network: &mut Network, ledger: &mut Ledger, command: &str) {
        let (chunking, admits) = (self.announced.chunking, self.admits_content() || self.spoilt);
        ledger.hold(network, chunking && admits, || format!("{command:?} where it does not belong"));
        let Some(left) = number_behind(command, "BDAT ") else {
            return ledger.violate(network, format!("{command:?}"));
        };
        let last = command.ends_with(" LAST");
        if self.content.is_empty() {
            self.plan_body(network);
        }
        self.state = State::Chunk { left: left as u64, last };
    }

    fn plan_body(&mut self, network: &mut Network) {
        let most = [100, 10_000, 200_000][network.random.usize(..3)];
        let octets = network.random.usize(..=most);
        self.body = self.trouble(network, At::Body).map(|trouble| (octets, trouble));
        self.spoken = false;
    }

    fn take_data(&mut self, network: &mut Network, ledger: &mut Ledger) -> bool {
        if self.input.is_empty() {
            return false;
        }
        ledger.hold(network, self.admits_content(), || "content without recipients".to_owned());
        let fresh = self.content.is_empty();
        self.content.append(&mut self.input);
        let begin = &self.content[..self.content.len().min(TRACE.len())];
        ledger.hold(network, TRACE.starts_with(begin), || "a command where content was due".to_owned());
        let end = if fresh && self.content.starts_with(b".\r\n") {
            Some(3)
        } else {
            let found = memchr::memmem::find(&self.content[self.searched..], b"\r\n.\r\n");
            found.map(|at| self.searched + at + 5)
        };
        self.searched = self.content.len().saturating_sub(4);
        if end.is_none() && self.content.len() < 5 {
            // Too short to tell `.<CRLF>` at the start from other things: look at it again.
            self.input = std::mem::take(&mut self.content);
            self.searched = 0;
            return false;
        }
        let Some(end) = end else { return self.trip(network, ledger) };
        self.input = self.content.split_off(end);
        if self.is_tripped() {
            return self.trip(network, ledger);
        }
        self.state = State::Command;
        self.check_raw(network, ledger);
        self.content.truncate(end - 3);
        self.content = unstuffed(&self.content);
        self.on_end(network, ledger, true);
        true
    }

    fn take_chunk(&mut self, network: &mut Network, ledger: &mut Ledger, left: u64, last: bool) -> bool {
        if self.input.is_empty() && left > 0 {
            return false;
        }
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.input.len());
        self.content.extend(self.input.drain(..count));
        let left = left - count as u64;
        self.state = State::Chunk { left, last };
        if !self.spoilt && self.is_tripped() && (left > 0 || !last) {
            return self.trip(network, ledger);
        }
        if left > 0 {
            return true;
        }
        self.state = State::Command;
        let tag = self.last_tag;
        match (self.spoilt, last) {
            (true, _) => self.refuse(network, ledger, &format!("503 5.5.1 hop:t{tag}; no more\r\n")),
            (false, true) => {
                self.check_raw(network, ledger);
                self.on_end(network, ledger, false);
            }
            (false, false) => self.plain(network, ledger, &format!("250 2.0.0 hop:t{tag}; chunk\r\n")),
        }
        true
    }

    fn is_tripped(&self) -> bool {
        self.body.is_some_and(|(at, _)| self.content.len() >= at)
    }

    /// The trouble of this content, once it has come so far.
    fn trip(&mut self, network: &mut Network, ledger: &mut Ledger) -> bool {
        let Some((_, trouble)) = self.body.filter(|_| self.is_tripped()) else { return false };
        self.body = None;
        let tag = self.last_tag;
        let conn = self.conn;
        network.note(|| format!("H{conn} does {trouble:?} within the content"));
        match trouble {
            Trouble::Early | Trouble::EarlyReset => {
                self.spoken = true;
                ledger.transactions[tag].lied |= trouble == Trouble::Early;
                let then = if trouble == Trouble::Early { Then::Nothing } else { Then::Reset };
                let reply = format!("250 2.0.0 hop:t{tag}; early\r\n");
                self.say(network, ledger, reply.as_bytes(), &[then]);
            }
            Trouble::Transient | Trouble::Permanent => {
                self.stumble(network, ledger, trouble, "", At::Body);
                // A chunk is read to its end all the same; who sent DATA can only close.
                self.spoilt = true;
                self.spoken = true;
                if self.state == State::Data {
                    self.state = State::Mute;
                }
            }
            _ => self.stumble(network, ledger, trouble, "", At::Body),
        }
        true
    }

    /// All of the content was read.
    fn on_end(&mut self, network: &mut Network, ledger: &mut Ledger, raw_data: bool) {
        let Some(tag) = self.tag else { return };
        let content = std::mem::take(&mut self.content);
        let recipients = self.recipients.clone();
        // Not at MAIL: that is pipelined behind XFORWARD, and goes up before the reply to it.
        ledger.on_identity(network, tag, &self.told);
        ledger.on_content_end(network, tag, &content, raw_data, &recipients);
        let spoken = self.spoken;
        self.reset();
        if spoken {
            return ledger.on_accepted(tag);
        }
        let too_large = self.announced.size.is_some_and(|size| content.len() > size);
        if too_large {
            return self.refuse(network, ledger, &format!("552 5.3.4 hop:t{tag}; too large\r\n"));
        }
        self.answer(network, ledger, At::End, &format!("250 2.0.0 hop:t{tag}; accepted\r\n"));
    }

    /// Nothing may come that another server could take for an end (PROTOCOL: smuggling).
    fn check_raw(&self, network: &mut Network, ledger: &mut Ledger) {
        let raw = &self.content;
        let lines = memchr::memchr_iter(b'\n', raw).count();
        let returns = memchr::memchr_iter(b'\r', raw).count();
        let pairs = memchr::memmem::find_iter(raw, b"\r\n").count();
        let clean = lines == pairs && returns == pairs && memchr::memchr(0, raw).is_none();
        let tag = self.last_tag;
        ledger.hold(network, clean, || format!("t{tag} went up with a bare CR, LF or NUL"));
    }

    fn trouble(&self, network: &mut Network, at: At) -> Option<Trouble> {
        if self.trouble_one_in == 0 || network.random.u64(..self.trouble_one_in) > 0 {
            return None;
        }
        let mine: Vec<Trouble> =
            self.troubles.iter().filter(|(step, _)| *step == at).map(|(_, trouble)| *trouble).collect();
        (!mine.is_empty()).then(|| mine[network.random.usize(..mine.len())])
    }

    fn plain(&mut self, network: &mut Network, ledger: &mut Ledger, reply: &str) {
        self.say(network, ledger, reply.as_bytes(), &[]);
    }

    /// A refusal that is no trouble but the rule.
    fn refuse(&mut self, network: &mut Network, ledger: &mut Ledger, reply: &str) {
        if let Some(transaction) = ledger.transactions.get_mut(self.last_tag) {
            transaction.refused_by_hop = true;
        }
        self.plain(network, ledger, reply);
    }

    /// Says `good`, or stumbles. Whether what `good` promises holds.
    fn answer(&mut self, network: &mut Network, ledger: &mut Ledger, at: At, good: &str) -> bool {
        let accepted = match self.tag_of_end(at) {
            Some(tag) => Then::Accepted(tag),
            None => Then::Nothing,
        };
        let trouble = self.trouble(network, at);
        if let Some(trouble) = trouble {
            let conn = self.conn;
            network.note(|| format!("H{conn} does {trouble:?} at {at:?}"));
        }
        match trouble {
            None => self.say(network, ledger, good.as_bytes(), &[accepted]),
            Some(Trouble::Slow) => {
                let delay = network.random.u64(1..=1800) * MILLIS;
                self.busy = Some((network.now + delay, good.as_bytes().to_vec(), vec![accepted]));
                network.poll_at(self.conn, network.now + delay);
            }
            Some(Trouble::Twice) => {
                self.say(network, ledger, format!("{good}{good}").as_bytes(), &[accepted]);
            }
            Some(Trouble::SaidFin) => self.say(network, ledger, good.as_bytes(), &[accepted, Then::Fin]),
            Some(Trouble::SaidReset) => self.say(network, ledger, good.as_bytes(), &[accepted, Then::Reset]),
            Some(trouble) => {
                self.stumble(network, ledger, trouble, good, at);
                return false;
            }
        }
        true
    }

    fn tag_of_end(&self, at: At) -> Option<Tag> {
        (at == At::End).then_some(self.last_tag)
    }

    fn stumble(&mut self, network: &mut Network, ledger: &mut Ledger, trouble: Trouble, good: &str, at: At) {
        let tag = self.last_tag;
        match trouble {
            Trouble::Transient => self.plain(network, ledger, &format!("451 4.3.0 hop:t{tag}; later\r\n")),
            Trouble::Permanent => self.refuse(network, ledger, &format!("554 5.7.1 hop:t{tag}; never\r\n")),
            Trouble::Closing => self.say(network, ledger, b"421 4.3.2 hop closes\r\n", &[Then::Fin]),
            Trouble::Garbage => {
                let garbage: [&[u8]; 6] = [
                    b"\x00\xff\r\n",
                    b"25 ok\r\n",
                    b"250-a\r\n251 b\r\n",
                    b"250 ok\n",
                    b"999 x\r\n",
                    b"\r\n",
                ];
                let garbage = garbage[network.random.usize(..garbage.len())];
                self.say(network, ledger, garbage, &[]);
            }
            Trouble::Wrong => {
                let wrong = if good.starts_with("354") { "250" } else { "354" };
                self.plain(network, ledger, &format!("{wrong} hop:t{tag}; wrong at {at:?}\r\n"));
            }
            Trouble::Silence => self.state = State::Mute,
            Trouble::Deaf => self.state = State::Deaf,
            Trouble::Fin => self.fin_after = true,
            _ => self.say(network, ledger, b"", &[Then::Reset]),
        }
    }

    fn say(&mut self, network: &mut Network, ledger: &mut Ledger, reply: &[u8], then: &[Then]) {
        let conn = self.conn;
        network.note(|| format!("H{conn} S: {}", reply.escape_ascii()));
        self.out.extend_from_slice(reply);
        self.speak(network);
        for then in then {
            match then {
                Then::Nothing => {}
                Then::Fin => self.fin_after = true,
                Then::Accepted(tag) => ledger.on_accepted(*tag),
                Then::Reset => {
                    network.abort(self.conn, Toward::Peer);
                    self.state = State::Gone;
                }
            }
        }
    }

    fn speak(&mut self, network: &mut Network) {
        if !self.out.is_empty() && self.state != State::Gone {
            let count = network.write(self.conn, Toward::Worker, &self.out);
            self.out.drain(..count);
        }
    }

    fn end(&mut self, network: &mut Network) {
        if self.state == State::Gone {
            return;
        }
        let over = network.conns[self.conn].to_peer.is_over() && self.state != State::Deaf;
        let done = self.fin_after && self.out.is_empty() && self.busy.is_none();
        if over || done || network.conns[self.conn].to_peer.reset {
            network.close(self.conn, Toward::Peer);
            self.state = State::Gone;
            return;
        }
        self.end_if_idle(network);
    }

    fn end_if_idle(&mut self, network: &mut Network) {
        let Some(idle) = self.idle else { return };
        if self.tag.is_some() || self.state != State::Command || self.busy.is_some() {
            return;
        }
        let until = self.last_heard + idle;
        if until > network.now {
            return network.poll_at(self.conn, until);
        }
        if network.random.bool() {
            self.out.extend_from_slice(b"421 4.4.2 idle too long\r\n");
            self.speak(network);
        }
        network.close(self.conn, Toward::Peer);
        self.state = State::Gone;
    }
}

fn ehlo_reply(announced: Announced) -> String {
    let mut lines = vec!["next.hop.example".to_owned(), "ENHANCEDSTATUSCODES".to_owned()];
    let mut add = |announced: bool, line: &str| {
        if announced {
            lines.push(line.to_owned());
        }
    };
    add(announced.pipelining, "PIPELINING");
    add(announced.chunking, "CHUNKING");
    add(announced.eight_bit, "8BITMIME");
    add(announced.xforward, "XFORWARD NAME ADDR PORT PROTO HELO SOURCE");
    if let Some(size) = announced.size {
        add(true, &format!("SIZE {size}"));
    }
    if let Some(max) = announced.mail_max {
        add(true, &format!("LIMITS MAILMAX={max}"));
    }
    let last = lines.len() - 1;
    let line = |(at, line): (usize, &String)| format!("250{}{line}\r\n", if at == last { ' ' } else { '-' });
    lines.iter().enumerate().map(line).collect()
}

/// The number behind the first `mark`.
fn number_behind(text: &str, mark: &str) -> Option<usize> {
    let rest = &text[text.find(mark)? + mark.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn unstuffed(raw: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(raw.len());
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    content
}

/// An idle limit that lies near the pauses of clients.
pub(crate) const IDLE: u64 = SECONDS;
