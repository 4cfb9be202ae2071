//! A relay between a scripted client and a scripted next hop, in virtual time.
//!
//! It does with the relay's actions what a worker does, and nothing more: bytes first, then the
//! list in order; a turn is over when a step of the transcript is.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use postern::base::time::{Instant, Moment, Wall};
use postern::policy::condition::Phase;
use postern::policy::ledger::Ledger;
use postern::relay::action::{Action, Actions};
use postern::relay::auth::Claim;
use postern::relay::event::{Ending, Event, Lease, Refusal, Side};
use postern::relay::quarantine::Spool;
use postern::relay::question::{Answer, Query, Question, Unknown};
use postern::relay::record::Record;
use postern::relay::{Relay, Shared};
use postern::smtp::client::{Client, Expect};
use postern::smtp::extension::Capabilities;
use postern::tls::secured::{Secured, Version};
use postern::traffic::bank::Bank;
use postern::traffic::register::Capacity;

use super::script::{Dialogue, Input, Step};
use super::settings::{Opening, Pool, Settings};
use super::text;

/// How what is written in one line is torn when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    AsWritten,
    /// Input number so and so, before this octet.
    At(usize, usize),
    EveryByte,
    /// All consecutive lines of one side in one segment.
    Joined(Side),
}

/// The connection to the next hop.
#[derive(Debug)]
enum Hop {
    None,
    Lent,
    /// In the pool; perhaps it still owes the reply to RSET.
    Parked(Box<Client>),
}

/// What was sent up on one connection, and how that ended.
#[derive(Clone, Default, PartialEq, Eq)]
struct Sent {
    bytes: Vec<u8>,
    end: String,
}

/// What all parties have heard when a dialogue is over.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    downstream: Vec<u8>,
    upstream: Vec<Sent>,
    client_end: String,
    records: Vec<String>,
    /// What lies in the store.
    stored: Vec<u8>,
}

impl Outcome {
    /// Whether nobody can tell the difference: how much of a message that came to nothing had gone
    /// up before depends on when its bytes came.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let like = |(one, other): (&Sent, &Sent)| {
            let aborted = one.end.starts_with("abort")
                && (one.bytes.starts_with(&other.bytes) || other.bytes.starts_with(&one.bytes));
            // Whether the relay or the pool finds a surplus reply depends on when it comes.
            let spoilt = |sent: &Sent| matches!(sent.end.as_str(), "spoilt" | "abort protocol");
            let ends_like = one.end == other.end || spoilt(one) && spoilt(other);
            ends_like && (one.bytes == other.bytes || aborted)
        };
        self.downstream == other.downstream
            && self.client_end == other.client_end
            && self.records == other.records
            && self.stored == other.stored
            && self.upstream.len() == other.upstream.len()
            && self.upstream.iter().zip(&other.upstream).all(like)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in text::lines("  S:", &self.downstream, false) {
            writeln!(f, "{line}")?;
        }
        for sent in &self.upstream {
            for line in text::lines("  U>", &sent.bytes, false) {
                writeln!(f, "{line}")?;
            }
            writeln!(f, "  U! {}", sent.end)?;
        }
        writeln!(f, "  C! {}\n  {}", self.client_end, self.records.join("\n  "))
    }
}

/// What followed from a step, in the order in which it is written down.
#[derive(Debug, Default)]
struct Output {
    upstream: Vec<String>,
    upstream_bytes: Vec<u8>,
    downstream: Vec<u8>,
    client: Vec<String>,
    service: Vec<String>,
    records: Vec<String>,
}

pub(super) struct World {
    relay: Relay,
    shared: Shared,
    settings: Settings,
    now: Moment,
    over: bool,
    hop: Hop,
    /// Number of the connection that `hop` is.
    connection: usize,
    /// Whether a fresh one is wanted, of those that wait for a connection.
    asked: Option<bool>,
    /// Of which next hop.
    upstream: usize,
    confirming: bool,
    /// What the store has been given.
    given: Vec<u8>,
    /// What was asked about who sends, and not answered yet.
    inquiries: Vec<(Query, Question)>,
    /// What is remembered.
    ledger: Ledger,
    /// Who lends tokens of limits.
    bank: Bank,
    /// Under which number the service side was asked last.
    query: Query,
    client_reads: bool,
    next_hop_reads: bool,
    unsent: [usize; 2],
    output: Output,
    outcome: Outcome,
}

/// Plays the dialogue. Gives what followed from each step, and the outcome.
pub(super) fn play(dialogue: &Dialogue, cut: Cut) -> (Vec<Vec<String>>, Outcome) {
    let mut world = World::new(Settings::new(&dialogue.settings));
    world.open();
    let mut steps = Vec::new();
    let mut index = 0;
    for step in &dialogue.steps {
        world.play_step(step, cut, &mut index);
        steps.push(world.take_output());
    }
    assert!(!world.over || world.shared.tarpits == world.settings.tarpits, "who is gone is held back");
    (steps, world.outcome)
}

impl World {
    fn new(settings: Settings) -> Self {
        let now = Moment {
            instant: Instant::from_nanos(1_000_000_000_000),
            wall: Wall::from_millis(1_795_366_104_000),
        };
        let config = Arc::new(settings.config.clone());
        let mut shared = Shared::new(Arc::clone(&config), 0, 1);
        for (slot, announced) in shared.capabilities.iter_mut().zip(&settings.announced) {
            *slot = announced.as_deref().map(|lines| greeted(lines).capabilities().clone());
        }
        shared.announce();
        shared.tarpits = settings.tarpits;
        shared.hurried = settings.hurried;
        shared.demand.fill(settings.demand);
        for turn in 0..settings.overload {
            // Behind each other, before the dialogue.
            shared.bar.update(Instant::from_nanos(turn * 100_000_000), true);
        }
        let peer: SocketAddr = settings.client.parse().expect("an address");
        for (deed, count) in &settings.deeds {
            shared.register.note(now.instant, peer.ip(), *deed, *count);
        }
        for _ in 0..settings.here {
            let _seat = shared.register.enter(now.instant, peer.ip(), Capacity { address: 0, network: 0 });
        }
        let local = "198.51.100.25:25".parse().expect("an address");
        let mut relay = Relay::new(now.instant, &config, 0, peer, local);
        relay.place(now.instant, &shared, Phase::Connect);
        Self {
            relay,
            shared,
            settings,
            now,
            over: false,
            hop: Hop::None,
            connection: 0,
            asked: None,
            upstream: 0,
            confirming: false,
            given: Vec::new(),
            inquiries: Vec::new(),
            ledger: Ledger::new(1000),
            bank: Bank::new(config.policy.limits.iter(), 1),
            query: Query::default(),
            client_reads: true,
            next_hop_reads: true,
            unsent: [0; 2],
            output: Output::default(),
            outcome: Outcome::default(),
        }
    }

    /// What goes before the first line.
    fn open(&mut self) {
        self.deliver(Event::Opened);
        let lines: &[&str] = match self.settings.opening {
            Opening::Nothing => return self.finish_turn(),
            Opening::Helo => &["HELO client.example"],
            Opening::Ehlo => &["EHLO client.example"],
            Opening::Envelope => {
                &["EHLO client.example", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>"]
            }
        };
        for line in lines {
            self.client_sends(format!("{line}\r\n").as_bytes());
        }
        self.finish_turn();
        // A next hop without PIPELINING hears one command at a time.
        while !self.output.upstream_bytes.is_empty() {
            let bytes = std::mem::take(&mut self.output.upstream_bytes);
            let commands = bytes.iter().filter(|byte| **byte == b'\n').count();
            self.next_hop_sends(self.connection, "250 2.0.0 ok\r\n".repeat(commands).as_bytes());
            self.finish_turn();
        }
        self.output = Output::default();
    }

    fn play_step(&mut self, step: &Step, cut: Cut, index: &mut usize) {
        let mut inputs = step.inputs.iter().peekable();
        while let Some((_, _, input)) = inputs.next() {
            let mut input = input.clone();
            while let Some((_, _, next)) = inputs.peek()
                && join(&mut input, next, cut)
            {
                inputs.next();
            }
            self.take(&input, cut, *index);
            *index += 1;
        }
        self.finish_turn();
    }

    fn take(&mut self, input: &Input, cut: Cut, index: usize) {
        match input {
            Input::Client(bytes) => {
                pieces(bytes, cut, index).into_iter().for_each(|piece| self.client_sends(piece));
            }
            Input::NextHop(bytes) => {
                // What is left of a line is not for the connection that replaces this one.
                let connection = self.connection;
                for piece in pieces(bytes, cut, index) {
                    self.next_hop_sends(connection, piece);
                }
            }
            Input::ClientEnds(ending) => self.deliver(Event::Ended(Side::Downstream, *ending)),
            Input::NextHopEnds(ending) => self.next_hop_ends(*ending),
            Input::Secured => self.deliver(Event::Secured(Box::new(secured()))),
            Input::Insecure => self.deliver(Event::Insecure("not_tls")),
            Input::ClientReads(reads) => self.client_reads = *reads,
            Input::NextHopReads(reads) => self.next_hop_reads = *reads,
            Input::Grant { fresh } => self.grant(*fresh),
            Input::Refuse => {
                self.asked = None;
                self.deliver(Event::CheckOutRefused(Refusal::Unreachable));
            }
            Input::Answer(answer) => self.deliver(Event::Answered(self.query, answer.clone())),
            Input::Dns { late } => self.answer_inquiries(*late),
            Input::Wait(duration) => self.wait(*duration),
            Input::Drain => self.deliver(Event::Drain),
            Input::Shed => self.deliver(Event::Shed),
        }
    }

    fn client_sends(&mut self, bytes: &[u8]) {
        self.deliver(Event::Received(Side::Downstream, bytes));
    }

    fn next_hop_sends(&mut self, connection: usize, bytes: &[u8]) {
        if connection != self.connection {
            return;
        }
        match &mut self.hop {
            Hop::Lent => self.deliver(Event::Received(Side::Upstream, bytes)),
            Hop::Parked(client) => {
                let mut out = Vec::new();
                if !stays_clean(client, bytes, &mut out) {
                    self.end_connection("spoilt");
                }
                self.output.upstream_bytes.extend_from_slice(&out);
            }
            Hop::None => {}
        }
    }

    fn next_hop_ends(&mut self, ending: Ending) {
        match self.hop {
            Hop::Lent => self.deliver(Event::Ended(Side::Upstream, ending)),
            Hop::Parked(_) => self.end_connection("spoilt"),
            Hop::None => {}
        }
    }

    fn deliver(&mut self, event: Event<'_>) {
        if self.over {
            return;
        }
        let mut actions = Actions::default();
        self.relay.handle(self.now, event, &mut self.shared, &mut actions);
        self.carry_out(actions);
        self.lend();
        if let Some(fresh) = self.asked.filter(|_| self.settings.pool != Pool::Busy) {
            self.grant(fresh || self.settings.pool == Pool::Ready);
        }
    }

    /// The bank is heard at once. An alert is a line of its own.
    fn lend(&mut self) {
        while self.shared.limiter.has_claims() {
            let (claims, alerts) = self.shared.limiter.claims();
            for claim in claims {
                let grant = self.bank.claim(self.now.instant, &claim).grant;
                grant.iter().for_each(|grant| self.shared.limiter.hear(self.now.instant, grant));
            }
            for alert in alerts.into_iter().filter(|alert| self.bank.alert(self.now.instant, alert)) {
                let name = self.settings.config.policy.limits.names().nth(alert.limit.into());
                let wait = alert.until.since(self.now.instant).as_secs();
                let line = format!("R: alert {} {} for {wait}s", name.unwrap_or_default(), alert.who);
                self.outcome.records.push(line.clone());
                self.output.records.push(line);
            }
        }
    }

    fn carry_out(&mut self, actions: Actions) {
        self.outcome.downstream.extend_from_slice(&actions.downstream);
        self.output.downstream.extend_from_slice(&actions.downstream);
        self.unsent[0] += actions.downstream.len();
        if !actions.upstream.is_empty() {
            assert!(matches!(self.hop, Hop::Lent), "bytes for a next hop that is not there");
            let sent = self.outcome.upstream.last_mut().expect("a connection was lent");
            sent.bytes.extend_from_slice(&actions.upstream);
            self.output.upstream_bytes.extend_from_slice(&actions.upstream);
            self.unsent[1] += actions.upstream.len();
        }
        for action in actions.list {
            self.carry_out_one(action);
        }
    }

    fn carry_out_one(&mut self, action: Action) {
        match action {
            Action::Pace { .. } => {}
            Action::Ask {
                query,
                question:
                    question @ (Question::Client(_)
                    | Question::Author(_)
                    | Question::Links(_)
                    | Question::Seal(_)
                    | Question::NextHop(_)
                    | Question::Recall(_)),
                ..
            } => {
                self.output.service.push(asked(&question));
                self.inquiries.push((query, question));
            }
            Action::Ask { question: question @ Question::Learn(_), .. } => {
                self.give(&question);
                self.output.service.push(asked(&question));
            }
            Action::Ask { query, question, .. } => {
                self.query = query;
                self.give(&question);
                self.output.service.push(asked(&question));
            }
            Action::CancelAsk(query) => {
                self.inquiries.retain(|(asked, _)| *asked != query);
                self.output.service.push("Q> cancel".to_owned());
            }
            Action::CheckOut { upstream, hosts, fresh, standing, .. } => {
                let other = if upstream > 0 { " other" } else { "" };
                let hosts = hosts.iter().flat_map(|hosts| &hosts.hosts);
                let name: String =
                    hosts.fold(other.to_owned(), |name, host| format!("{name} {}", host.address));
                self.asked = Some(fresh);
                self.upstream = upstream;
                let priority = match standing.priority {
                    0 => String::new(),
                    priority => format!(" priority {priority}"),
                };
                self.say_upstream(&format!("checkout{name}{}{priority}", if fresh { " fresh" } else { "" }));
            }
            Action::CancelCheckOut => {
                if self.asked.take().is_some() {
                    self.say_upstream("cancel");
                }
            }
            Action::CheckIn(client, _) => {
                self.say_upstream("checkin");
                self.unsent[1] = 0;
                self.hop = Hop::Parked(client);
            }
            Action::Discard(reason, _) => self.end_connection(&format!("abort {reason:?}").to_lowercase()),
            Action::Answered(_) => {}
            Action::Confirm => self.confirming = true,
            Action::StartTls { early } => {
                let early =
                    if early.is_empty() { String::new() } else { format!(" after {} octets", early.len()) };
                self.output.client.push(format!("C! handshake{early}"));
            }
            Action::Pause => self.output.client.push("C! pause".to_owned()),
            Action::Resume => self.output.client.push("C! resume".to_owned()),
            Action::Finish { linger } => self.end_client(if linger { "linger" } else { "close" }),
            Action::Abort => self.end_client("abort"),
            Action::Record(record) => self.note(&record),
        }
    }

    fn give(&mut self, question: &Question) {
        match question {
            Question::Quarantine(Spool::Append(bytes)) => self.given.extend_from_slice(bytes),
            Question::Quarantine(Spool::Commit(_)) => self.outcome.stored.append(&mut self.given),
            Question::Quarantine(Spool::Begin { .. } | Spool::Abort) => self.given.clear(),
            Question::Learn(learn) => {
                let lessons = learn.lessons.iter();
                lessons.for_each(|lesson| self.ledger.learn(learn.now, *lesson, &mut Vec::new()));
            }
            _ => {}
        }
    }

    /// Answers all inquiries that are open, each with what the zone of the transcript says.
    fn answer_inquiries(&mut self, late: bool) {
        for (query, question) in std::mem::take(&mut self.inquiries) {
            let answer = match &question {
                _ if late => Answer::Unknown(Unknown::Late),
                Question::Recall(recall) => Answer::Recalled(self.ledger.recall(recall.now, &recall.keys)),
                question => self.settings.look_up(question),
            };
            self.deliver(Event::Answered(query, answer));
        }
    }

    fn note(&mut self, record: &Record) {
        let mut line = Vec::new();
        record.write_json_line(&mut line);
        serde_json::from_slice::<serde_json::Value>(&line).expect("a record is JSON");
        let line = format!("R: {} {}", record.disposition.name(), record.reply);
        let mut line = text::without_id(line.trim_end());
        if let Some(user) = &record.client.user {
            line = format!("{line} [user {user}]");
        }
        if let Some(lane) = &record.lane {
            line = format!("{line} [lane {lane}]");
        }
        if let Some(seal) = record.seal {
            line = format!("{line} [seal {seal}]");
        }
        if let Some(limit) = &record.limit {
            line = format!("{line} [limit {limit}]");
        }
        if let Some(hop) = record.next_hop.as_ref().filter(|_| self.settings.shows_next_hop) {
            line = format!("{line} [{} {}]", hop.name, hop.server);
        }
        self.outcome.records.push(line.clone());
        self.output.records.push(line);
    }

    fn end_client(&mut self, how: &str) {
        self.over = true;
        how.clone_into(&mut self.outcome.client_end);
        self.output.client.push(format!("C! {how}"));
    }

    fn end_connection(&mut self, how: &str) {
        assert!(!matches!(self.hop, Hop::None), "a connection ends that is not there");
        self.say_upstream(how);
        if let Some(sent) = self.outcome.upstream.last_mut() {
            how.clone_into(&mut sent.end);
        }
        self.hop = Hop::None;
        self.unsent[1] = 0;
        self.connection += 1;
        self.confirming = false;
    }

    fn say_upstream(&mut self, what: &str) {
        self.flush_upstream();
        self.output.upstream.push(format!("U! {what}"));
    }

    fn flush_upstream(&mut self) {
        let bytes = std::mem::take(&mut self.output.upstream_bytes);
        self.output.upstream.extend(text::lines("U>", &bytes, self.settings.full_trace));
    }

    /// Lends the connection that is parked, or a new one.
    fn grant(&mut self, fresh: bool) {
        self.asked = None;
        let parked = match std::mem::replace(&mut self.hop, Hop::None) {
            Hop::Parked(client) if client.is_quiet() => Some(client),
            _ => None,
        };
        let fresh = fresh && parked.is_none();
        if parked.is_none() {
            self.connection += 1;
            self.outcome.upstream.push(Sent::default());
        }
        let announced = self.settings.server_announces.as_ref().or(self.settings.announced[0].as_ref());
        let client = parked.unwrap_or_else(|| Box::new(greeted(announced.map_or("", String::as_str))));
        let named = self.settings.config.upstreams[self.upstream].servers.first();
        let server = named.map_or_else(|| ([192, 0, 2, 25], 25).into(), |server| server.address);
        self.hop = Hop::Lent;
        self.deliver(Event::CheckedOut(Lease { client, server, fresh, kept: !fresh, secured: None }));
    }

    /// The kernel takes what was queued, and a confirmation that was asked for comes.
    fn finish_turn(&mut self) {
        loop {
            let [downstream, upstream] = self.unsent;
            if self.client_reads && downstream > 0 {
                self.unsent[0] = 0;
                self.deliver(Event::Sent(Side::Downstream, downstream));
            } else if self.next_hop_reads && upstream > 0 {
                self.unsent[1] = 0;
                self.deliver(Event::Sent(Side::Upstream, upstream));
            } else if std::mem::take(&mut self.confirming) {
                self.deliver(Event::Confirmed);
            } else {
                return;
            }
        }
    }

    /// Time passes, and what is due in it happens.
    fn wait(&mut self, duration: Duration) {
        let end = self.now.instant + duration;
        let mut events = 0;
        while let Some(deadline) = self.relay.deadline(&self.shared).filter(|due| *due <= end && !self.over) {
            self.pass(deadline.max(self.now.instant));
            self.deliver(Event::Expired);
            self.finish_turn();
            events += 1;
            assert!(events < 100, "a deadline that passed stays");
        }
        self.pass(end);
    }

    fn pass(&mut self, to: Instant) {
        let millis = to.since(self.now.instant).as_millis();
        let wall = self.now.wall.as_millis() + u64::try_from(millis).expect("a short time");
        self.now = Moment { instant: to, wall: Wall::from_millis(wall) };
    }

    fn take_output(&mut self) -> Vec<String> {
        self.flush_upstream();
        let output = std::mem::take(&mut self.output);
        let mut lines = output.upstream;
        lines.extend(output.service);
        lines.extend(text::lines("S:", &output.downstream, self.settings.full_trace));
        lines.extend(output.client);
        lines.extend(output.records);
        lines
    }
}

/// A relay that panics while it ends its transaction, and the worker's last resort behind it. Gives
/// the actions that follow, and what is then missing of the window budget.
pub(super) fn break_at_the_end(dialogue: &Dialogue) -> (Vec<Action>, usize) {
    let mut world = World::new(Settings::new(&dialogue.settings));
    world.open();
    let mut index = 0;
    dialogue.steps.iter().for_each(|step| world.play_step(step, Cut::AsWritten, &mut index));
    assert!(world.shared.windows.total() > 0);
    // A table without the row that every end looks up.
    world.shared.foresight.clear();
    let mut actions = Actions::default();
    let event = Event::Received(Side::Downstream, b"RSET\r\n");
    let World { relay, shared, now, .. } = &mut world;
    let broken = catch_unwind(AssertUnwindSafe(|| relay.handle(*now, event, shared, &mut actions)));
    assert!(broken.is_err(), "it did not panic");
    relay.on_panic(now.instant, shared, &mut actions);
    (actions.list, world.shared.windows.total())
}

/// A question as it is written down.
fn asked(question: &Question) -> String {
    match question {
        Question::Quarantine(Spool::Begin { .. }) => "Q> begin".to_owned(),
        Question::Quarantine(Spool::Append(bytes)) => format!("Q> append {}", bytes.len()),
        Question::Quarantine(Spool::Commit(description)) => {
            let recipients = description.envelope.recipients.iter().map(|to| to.address.as_str());
            let recipients: Vec<_> = recipients.collect();
            format!("Q> commit from <{}> to {}", description.envelope.sender, recipients.join(", "))
        }
        Question::Quarantine(Spool::Abort) => "Q> abort".to_owned(),
        Question::Auth(attempt) => claimed(&attempt.claim),
        Question::Client(about) => {
            format!("Q> client {} from <{}@{}>", about.ip, about.local_part, about.domain)
        }
        Question::Author(_) => "Q> author".to_owned(),
        Question::NextHop(about) => format!("Q> hosts of {}", about.domain),
        Question::Links(_) => "Q> links".to_owned(),
        Question::Seal(_) => "Q> seal".to_owned(),
        Question::Claims(_) => "Q> claims".to_owned(),
        Question::Recall(recall) => format!("Q> recall {}", recall.keys.len()),
        Question::Learn(learn) => {
            let lessons = learn.lessons.iter();
            let lessons: Vec<_> =
                lessons.map(|it| format!("{} {:?}", it.key.table.name(), it.about)).collect();
            format!("Q> learn {}", lessons.join(", ").to_lowercase())
        }
    }
}

/// What a client says of itself. Its password too: nobody else has it.
fn claimed(claim: &Claim) -> String {
    match claim {
        Claim::Password { user, password } => {
            format!("Q> is {user}'s password {}?", String::from_utf8_lossy(password.as_bytes()))
        }
        Claim::Keys { user } => format!("Q> keys of {user}?"),
        Claim::Proof { is_right } => format!("Q> the proof is {}", if *is_right { "right" } else { "wrong" }),
    }
}

/// A connection behind its greeting and EHLO.
fn greeted(announced: &str) -> Client {
    let mut client = Client::new();
    let mut out = Vec::new();
    client.receive(b"220 next.example ESMTP\r\n").expect("a greeting");
    client.ehlo(b"mx.example.net", &mut out);
    let lines: Vec<&str> = announced.split(", ").filter(|line| !line.is_empty()).collect();
    let mut reply =
        String::from(if lines.is_empty() { "250 next.example\r\n" } else { "250-next.example\r\n" });
    for (index, line) in lines.iter().enumerate() {
        let separator = if index + 1 == lines.len() { ' ' } else { '-' };
        reply.push_str(&format!("250{separator}{line}\r\n"));
    }
    client.receive(reply.as_bytes()).expect("a reply to EHLO");
    assert!(*client.capabilities() != Capabilities::none() || lines.is_empty());
    client
}

/// What a pool does with the bytes of a connection in it.
fn stays_clean(client: &mut Client, mut bytes: &[u8], out: &mut Vec<u8>) -> bool {
    while !bytes.is_empty() {
        match client.receive(bytes) {
            Ok((_, Some((Expect::Rset, reply)))) if !reply.is_positive() => return false,
            Ok((consumed, _)) => {
                bytes = &bytes[consumed..];
                client.proceed(out);
            }
            Err(_) => return false,
        }
    }
    true
}

/// Puts `next` behind `input`, if both come in one segment.
fn join(input: &mut Input, next: &Input, cut: Cut) -> bool {
    match (input, next, cut) {
        (Input::Client(bytes), Input::Client(more), Cut::Joined(Side::Downstream))
        | (Input::NextHop(bytes), Input::NextHop(more), Cut::Joined(Side::Upstream)) => {
            bytes.extend_from_slice(more);
            true
        }
        _ => false,
    }
}

fn pieces(bytes: &[u8], cut: Cut, index: usize) -> Vec<&[u8]> {
    match cut {
        Cut::At(input, at) if input == index => {
            let (head, tail) = bytes.split_at(at);
            [head, tail].into_iter().filter(|piece| !piece.is_empty()).collect()
        }
        Cut::EveryByte => bytes.chunks(1).collect(),
        _ => vec![bytes],
    }
}

/// What most handshakes establish.
fn secured() -> Secured {
    Secured {
        version: Version::Tls13,
        cipher: "TLS_AES_128_GCM_SHA256",
        cipher_bits: 128,
        key_exchange: "X25519MLKEM768",
        server_name: None,
        is_resumed: false,
        peer: None,
    }
}
