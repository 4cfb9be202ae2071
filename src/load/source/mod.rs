//! `postern source`: sends mail as fast as the other side takes it, as smtp-source(1) does.
//!
//! [`run`] joins a [`Reactor`] and one dialogue per session. What a turn has to say to one server
//! goes in one write; content is made ready before the first connect.
//!
//! With a rate the loop is open: messages begin when they are planned to, and one that finds no session
//! free waits for one, which its latency tells.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use crate::base::time::Instant;
use crate::load::console;
use crate::reactor::{Chunk, Completion, Errno, Reactor, Socket};
use crate::tls::client_policy::{Authentication, ClientPolicy};
use crate::tls::session as tls;

mod cli;
mod clients;
mod dialogue;
mod message;
mod options;
mod replies;
mod report;
mod schedule;
mod secure;
mod series;
#[cfg(test)]
mod tests;

pub use cli::main;
pub use clients::Addresses;
pub use options::{Content, Options, Pause, Tls};
pub use report::{Quantiles, Report};
pub use series::Interval;

use dialogue::{Dialogue, Plan, Progress, Step};
use message::Bag;
use replies::{Line, Replies};
use report::Tally;
use schedule::Schedule;

/// Connects under way at a time: more would only overflow the other side's queue.
const CONNECTS_MAX: usize = 64;
/// Planned messages that wait for a session; what comes on top of these is told as not begun.
const DUE_MAX: usize = 1 << 20;
/// The wait before a refused connect is tried again.
const CONNECT_AGAIN: Duration = Duration::from_millis(10);
/// How often sessions that hear nothing are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// Write buffers kept for reuse.
const SPARES_MAX: usize = 1024;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Waits for its turn to connect, or to go on.
    Waiting,
    Connecting,
    Connected,
    Finished,
}

#[derive(Debug)]
struct Session {
    standing: Standing,
    socket: Option<Socket>,
    dialogue: Dialogue,
    replies: Replies,
    out: Vec<u8>,
    /// Under TLS, or shaking hands.
    tls: Option<Box<tls::Session>>,
    /// Records not sent yet.
    records: Vec<u8>,
    sending: bool,
    tries_left: u32,
    /// The message was taken from the count, and not begun yet.
    owes: bool,
    /// When that message was to begin, if that was planned.
    planned: Option<Instant>,
    /// Has no message, and waits for one of the plan.
    parked: bool,
    /// The last reply to this message that was no good.
    code: u16,
    /// When the connect began; `None` once its first message is through.
    connect_began: Option<Instant>,
    greeted: bool,
    began: Instant,
    active: Instant,
}

#[derive(Debug)]
struct Source<R: Reactor> {
    reactor: R,
    plan: Plan,
    /// What sessions under TLS are made from; tickets are in it.
    policy: ClientPolicy,
    tally: Tally,
    sessions: Vec<Session>,
    /// Session by index of its socket.
    owners: Vec<usize>,
    /// Messages not taken by a session yet, where no plan has them.
    left: u64,
    plan_of: Option<Schedule>,
    /// No message begins after this.
    until: Option<Instant>,
    /// Planned messages that found no session free, the oldest first.
    due: VecDeque<Instant>,
    /// Sessions that wait for a planned message; whoever waits longest is next, so all get their share.
    idle: VecDeque<usize>,
    connects_max: usize,
    next: u64,
    running: usize,
    connecting: usize,
    to_connect: VecDeque<usize>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    sweep: Instant,
    spares: Vec<Vec<u8>>,
    journal: Option<File>,
    rng: fastrand::Rng,
    aborted: bool,
}

/// Sends what `options` say and reports.
///
/// # Errors
/// When content cannot be read or the journal not be opened; trouble with the server is in the report.
pub fn run<R: Reactor>(options: Options, reactor: R) -> Result<Report, String> {
    let cpu = console::cpu_time();
    let mut source = Source::new(options, reactor)?;
    let began = source.reactor.now().instant;
    (0..source.sessions.len()).for_each(|session| source.start_up(session));
    let mut shown = 0;
    while source.running > 0 && !source.aborted {
        source.turn();
        if source.plan.options.show_counter && shown != source.tally.report.messages {
            shown = source.tally.report.messages;
            console::show(format!("{shown}\r").as_bytes());
        }
    }
    let now = source.reactor.now().instant;
    let elapsed = now.since(began);
    source.tally.report.aborted = source.aborted;
    let cpu = cpu.zip(console::cpu_time()).map(|(before, after)| after.saturating_sub(before));
    Ok(source.tally.finish(now, elapsed, cpu))
}

impl Session {
    fn new(tries_left: u32) -> Self {
        Self {
            standing: Standing::Waiting,
            socket: None,
            dialogue: Dialogue::new(),
            replies: Replies::default(),
            out: Vec::new(),
            tls: None,
            records: Vec::new(),
            sending: false,
            tries_left,
            owes: false,
            planned: None,
            parked: false,
            code: 0,
            connect_began: None,
            greeted: false,
            began: Instant::default(),
            active: Instant::default(),
        }
    }
}

impl<R: Reactor> Source<R> {
    fn new(options: Options, reactor: R) -> Result<Self, String> {
        let journal = options.journal.as_ref().map(|path| {
            File::options()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|error| format!("{}: {error}", path.display()))
        });
        let mut rng = fastrand::Rng::new();
        let now = reactor.now();
        let bag = Bag::open(&options, &date(now.wall.as_secs()), rng.u64(..))?;
        let start = now.instant;
        let plan_of = options.rate.map(|rate| Schedule::new(start, rate, options.lasts, options.messages));
        let mut sessions = Vec::new();
        sessions.resize_with(options.sessions, || Session::new(options.connect_tries));
        Ok(Self {
            reactor,
            policy: ClientPolicy::new(Authentication::None, None)?,
            tally: Tally::new(start, options.series)?,
            // What is to begin on time does not wait for others to be connected.
            connects_max: if plan_of.is_some() { usize::MAX } else { CONNECTS_MAX },
            until: options.lasts.map(|lasts| start + lasts),
            due: VecDeque::new(),
            idle: VecDeque::new(),
            plan_of,
            running: sessions.len(),
            sessions,
            owners: Vec::new(),
            left: options.messages,
            next: 0,
            connecting: 0,
            to_connect: VecDeque::new(),
            timers: BinaryHeap::new(),
            sweep: start + SWEEP,
            spares: Vec::new(),
            journal: journal.transpose()?,
            rng: rng.fork(),
            aborted: false,
            plan: Plan { options, bag, serial: 0, rng },
        })
    }

    fn turn(&mut self) {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let planned = self.plan_of.as_ref().and_then(Schedule::next);
        let deadline = timer.into_iter().chain(planned).fold(self.sweep, Instant::min);
        self.reactor.turn(Some(deadline));
        let now = self.reactor.now().instant;
        while let Some(completion) = self.reactor.next() {
            self.complete(completion, now);
        }
        while let Some(&Reverse((_, session))) = self.timers.peek().filter(|Reverse((at, _))| *at <= now) {
            self.timers.pop();
            self.go_on(session);
        }
        self.begin_planned(now);
        self.connect_next();
        if now >= self.sweep {
            self.end_silent(now);
        }
    }

    fn complete(&mut self, completion: Completion, now: Instant) {
        match completion {
            Completion::Connected { socket, result } => self.connected(socket, result, now),
            Completion::Received { socket, chunk } => self.received(socket, chunk, now),
            Completion::Sent { socket, buffer, result } => self.sent(socket, buffer, result, now),
            Completion::Ended { socket, .. } => {
                if let Some(session) = self.session_of(socket) {
                    self.lost(session, "lost");
                }
            }
            Completion::Accepted { .. } | Completion::AcceptFailed { .. } | Completion::Woken => {}
        }
    }

    /// Begins what is to begin by now, as far as sessions are free; ends those when nothing more is.
    fn begin_planned(&mut self, now: Instant) {
        while let Some(planned) = self.plan_of.as_mut().and_then(|plan| plan.take(now)) {
            self.tally.planned(now);
            match self.idle.pop_front() {
                Some(session) => self.take_up(session, Some(planned)),
                None if self.due.len() < DUE_MAX => self.due.push_back(planned),
                None => self.tally.report.unstarted += 1,
            }
        }
        if self.is_over(now) {
            self.tally.report.unstarted += std::mem::take(&mut self.due).len() as u64;
        }
        if self.due.is_empty() && self.plan_of.as_ref().is_some_and(|plan| plan.next().is_none()) {
            std::mem::take(&mut self.idle).into_iter().for_each(|session| self.leave(session));
        }
    }

    /// Whether the time in which messages begin is over.
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Whether a session that is free now has another message to send, or may have one later.
    fn has_more(&self) -> bool {
        let now = self.reactor.now().instant;
        match &self.plan_of {
            Some(plan) => !self.due.is_empty() || plan.next().is_some(),
            None => self.left > 0 && !self.is_over(now),
        }
    }

    /// Takes the next message for `session`, or finishes it.
    fn start_up(&mut self, session: usize) {
        if !self.has_more() {
            return self.leave(session);
        }
        if self.plan_of.is_none() {
            self.left -= 1;
            return self.take_up(session, None);
        }
        match self.due.pop_front() {
            Some(planned) => self.take_up(session, Some(planned)),
            None => {
                self.sessions[session].parked = true;
                self.idle.push_back(session);
            }
        }
    }

    /// Nothing is left to do for `session` but to say goodbye.
    fn leave(&mut self, session: usize) {
        let state = &mut self.sessions[session];
        state.parked = false;
        if state.socket.is_some() {
            state.dialogue.quit(&self.plan, &mut state.out);
            return self.flush(session);
        }
        state.standing = Standing::Finished;
        self.running -= 1;
    }

    /// Sends a message by `session`, over a connection of its own if there is none.
    fn take_up(&mut self, session: usize, planned: Option<Instant>) {
        let now = self.reactor.now().instant;
        self.tally.begun(now, planned.map(|planned| now.since(planned)));
        let state = &mut self.sessions[session];
        (state.owes, state.parked, state.planned, state.code) = (true, false, planned, 0);
        state.began = planned.unwrap_or(now);
        if self.sessions[session].socket.is_some() {
            self.begin(session);
            self.flush(session);
        } else {
            self.sessions[session].tries_left = self.plan.options.connect_tries;
            self.queue_connect(session);
        }
    }

    /// Goes on with the next message, after the pause between messages.
    fn start_another(&mut self, session: usize) {
        let pause = match self.plan.options.pause {
            Pause::None => return self.start_up(session),
            Pause::Fixed(pause) => pause,
            Pause::Random(most) => most.mul_f64(self.rng.f64()),
        };
        self.timers.push(Reverse((self.reactor.now().instant + pause, session)));
    }

    /// A timer has come.
    fn go_on(&mut self, session: usize) {
        if self.sessions[session].owes {
            self.queue_connect(session);
        } else {
            self.start_up(session);
        }
    }

    fn queue_connect(&mut self, session: usize) {
        self.sessions[session].standing = Standing::Waiting;
        self.to_connect.push_back(session);
        self.connect_next();
    }

    fn connect_next(&mut self) {
        while self.connecting < self.connects_max
            && !self.aborted
            && let Some(session) = self.to_connect.pop_front()
        {
            self.connect(session);
        }
    }

    fn connect(&mut self, session: usize) {
        let now = self.reactor.now().instant;
        match self.open_connection() {
            Ok(socket) => {
                self.connecting += 1;
                self.own(session, socket);
                let session = &mut self.sessions[session];
                session.standing = Standing::Connecting;
                session.connect_began = Some(now);
                session.active = now;
            }
            Err(error) => self.connect_failed(session, error),
        }
    }

    fn open_connection(&mut self) -> Result<Socket, Errno> {
        let options = &mut self.plan.options;
        match &mut options.clients {
            Some(clients) => self.reactor.connect_from(clients.next(&mut self.rng), options.server),
            None => self.reactor.connect(options.server),
        }
    }

    /// From now on completions of `socket` are for `session`.
    fn own(&mut self, session: usize, socket: Socket) {
        let index = socket.0.index();
        if index >= self.owners.len() {
            self.owners.resize(index + 1, usize::MAX);
        }
        self.owners[index] = session;
        let session = &mut self.sessions[session];
        session.socket = Some(socket);
        session.dialogue = Dialogue::new();
        session.replies = Replies::default();
        (session.sending, session.greeted) = (false, false);
        session.out.clear();
        session.records.clear();
        session.tls = None;
    }

    fn session_of(&self, socket: Socket) -> Option<usize> {
        let session = *self.owners.get(socket.0.index())?;
        (self.sessions.get(session)?.socket == Some(socket)).then_some(session)
    }

    fn connected(&mut self, socket: Socket, result: Result<(), Errno>, now: Instant) {
        let Some(session) = self.session_of(socket) else { return };
        self.connecting -= 1;
        if let Err(error) = result {
            self.reactor.close(socket);
            self.sessions[session].socket = None;
            return self.connect_failed(session, error);
        }
        self.tally.report.connects += 1;
        self.sessions[session].standing = Standing::Connected;
        self.sessions[session].active = now;
        self.reactor.receive(socket);
        let options = &mut self.plan.options;
        if let Some(clients) = &mut options.proxy_header {
            let client = clients.next(&mut self.rng);
            let header = clients::proxy_header(client, self.rng.u16(1024..), options.server);
            self.sessions[session].records.extend_from_slice(&header);
        }
        if options.tls == Tls::Implicit {
            self.start_tls(session);
        }
        self.flush(session);
    }

    fn connect_failed(&mut self, session: usize, error: Errno) {
        let state = &mut self.sessions[session];
        state.standing = Standing::Waiting;
        state.tries_left = state.tries_left.saturating_sub(1);
        if state.tries_left > 0 {
            self.tally.report.connect_retries += 1;
            let again = self.reactor.now().instant + CONNECT_AGAIN;
            return self.timers.push(Reverse((again, session)));
        }
        let text = std::io::Error::from_raw_os_error(error.0);
        self.failed("connect", || format!("{}: {text}", Step::Connect.trouble()));
        self.give_up(session);
    }

    /// The message of `session` will not be sent.
    fn give_up(&mut self, session: usize) {
        self.count_refused(session);
        self.sessions[session].owes = false;
        if !self.aborted {
            self.start_another(session);
        }
    }

    fn count_refused(&mut self, session: usize) {
        let (now, state) = (self.reactor.now().instant, &self.sessions[session]);
        self.tally.refused(now, state.code, now.since(state.began));
    }

    fn failed(&mut self, name: &str, text: impl FnOnce() -> String) {
        self.tally.error(name, text);
        self.aborted |= !self.plan.options.keep_going;
    }

    fn received(&mut self, socket: Socket, chunk: Chunk, now: Instant) {
        if let Some(session) = self.session_of(socket) {
            self.sessions[session].active = now;
            if self.sessions[session].tls.is_some() {
                let mut wire = self.reactor.bytes(&chunk).to_vec();
                self.open_records(session, socket, &mut wire, now);
            } else {
                self.read_clear(session, socket, &chunk, now);
            }
            self.flush(session);
        }
        self.reactor.release(chunk);
    }

    fn read_clear(&mut self, session: usize, socket: Socket, chunk: &Chunk, now: Instant) {
        self.note_greeting(session, now);
        let mut at = 0;
        while at < chunk.len as usize
            && self.is_heard(session, socket)
            && self.sessions[session].tls.is_none()
        {
            let (consumed, line) = self.sessions[session].replies.read(&self.reactor.bytes(chunk)[at..]);
            at += consumed;
            if let Some(line) = line {
                self.heard(session, line, now);
            }
        }
    }

    /// Whether what comes from `socket` still is for `session`.
    fn is_heard(&self, session: usize, socket: Socket) -> bool {
        !self.aborted && self.sessions[session].socket == Some(socket)
    }

    fn note_greeting(&mut self, session: usize, now: Instant) {
        let state = &mut self.sessions[session];
        if !std::mem::replace(&mut state.greeted, true)
            && let Some(began) = state.connect_began
        {
            self.tally.greeted(now.since(began));
        }
    }

    fn heard(&mut self, session: usize, line: Line, now: Instant) {
        let state = &mut self.sessions[session];
        if self.plan.options.verbose {
            console::say("source", &format!("<<< {}", console::printable(state.replies.line())));
        }
        // The last line of a reply announces as well.
        state.dialogue.hear_more(state.replies.line());
        let Line::Last(code) = line else { return };
        if state.out.capacity() == 0 {
            state.out = self.spares.pop().unwrap_or_default();
        }
        let heard = state.dialogue.hear(code, &mut self.plan, &mut state.out);
        // A server may close what waits for a message of the plan.
        if let Some(step) = heard.failed.filter(|_| !state.parked) {
            state.code = code;
            let (name, text) = self.complaint(session, step, code);
            self.failed(&name, || text);
        }
        match heard.progress {
            Progress::More => {}
            Progress::StartTls => self.start_tls(session),
            Progress::Ready => self.begin(session),
            Progress::Delivered => self.delivered(session, now),
            Progress::Refused => self.refused(session),
            Progress::Over => self.over(session),
        }
    }

    /// What went wrong: its name in the report, and in words.
    fn complaint(&self, session: usize, step: Step, code: u16) -> (String, String) {
        if step == Step::Hello && code / 100 == 2 {
            let text = "the server does not announce the CHUNKING, PIPELINING or STARTTLS asked for";
            return ("extension".to_owned(), text.to_owned());
        }
        let line = console::printable(self.sessions[session].replies.line());
        (format!("{code:03}"), format!("{}: {line}", step.trouble()))
    }

    /// Begins the message that the session owes.
    fn begin(&mut self, session: usize) {
        let now = self.reactor.now().instant;
        let state = &mut self.sessions[session];
        state.owes = false;
        state.began = state.planned.take().unwrap_or(now);
        if state.out.capacity() == 0 {
            state.out = self.spares.pop().unwrap_or_default();
        }
        state.dialogue.begin(self.next, &mut self.plan, &mut state.out);
        self.next += 1;
    }

    fn delivered(&mut self, session: usize, now: Instant) {
        let state = &mut self.sessions[session];
        let since_connect = state.connect_began.take().map(|began| now.since(began));
        let octets = state.dialogue.octets(&self.plan);
        self.tally.delivered(now, octets, now.since(state.began), since_connect);
        let message = state.dialogue.message();
        if let Err(error) = self.note(message) {
            self.failed("journal", || format!("journal: {error}"));
        }
        self.after_message(session);
    }

    /// One line of the journal: the message was acknowledged.
    fn note(&mut self, message: u64) -> std::io::Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let mut line = Vec::new();
        self.plan.bag.write_id(message, &mut line);
        line.push(b'\n');
        journal.write_all(&line)
    }

    fn refused(&mut self, session: usize) {
        self.count_refused(session);
        self.sessions[session].connect_began = None;
        self.after_message(session);
    }

    fn after_message(&mut self, session: usize) {
        if self.plan.options.keep_session && self.has_more() {
            return self.start_another(session);
        }
        let state = &mut self.sessions[session];
        state.dialogue.quit(&self.plan, &mut state.out);
    }

    /// The server said its last word.
    fn over(&mut self, session: usize) {
        let lost = self.sessions[session].dialogue.is_busy() || self.sessions[session].owes;
        self.drop_socket(session);
        if lost {
            return self.give_up(session);
        }
        // Who waits for a message of the plan goes on waiting, and connects for it anew.
        if !self.aborted && !self.sessions[session].parked {
            self.start_another(session);
        }
    }

    /// The connection broke, or was silent for too long.
    fn lost(&mut self, session: usize, name: &str) {
        let state = &self.sessions[session];
        if state.standing == Standing::Connecting {
            self.connecting -= 1;
        }
        if !state.dialogue.is_leaving() && !state.parked {
            let text = format!("{name} connection: {}", state.dialogue.step().trouble());
            self.failed(name, || text);
        }
        self.over(session);
    }

    /// Ends the connection as smtp-source does, with a reset: no socket is left in TIME_WAIT.
    fn drop_socket(&mut self, session: usize) {
        let state = &mut self.sessions[session];
        state.standing = Standing::Waiting;
        if let Some(socket) = state.socket.take() {
            self.reactor.reset(socket);
        }
        let out = std::mem::take(&mut state.out);
        (state.tls, state.records) = (None, Vec::new());
        self.spare(out);
    }

    fn flush(&mut self, session: usize) {
        let state = &mut self.sessions[session];
        let Some(socket) = state.socket.filter(|_| !state.sending) else { return };
        state.dialogue.fill(&self.plan, &mut state.out);
        let out = secure::sealed(state);
        if out.is_empty() {
            return self.spare(out);
        }
        state.sending = true;
        self.reactor.send(socket, out);
    }

    fn sent(&mut self, socket: Socket, buffer: Vec<u8>, result: Result<usize, Errno>, now: Instant) {
        self.spare(buffer);
        let Some(session) = self.session_of(socket) else { return };
        let state = &mut self.sessions[session];
        (state.sending, state.active) = (false, now);
        if result.is_ok() {
            if state.out.capacity() == 0 && state.dialogue.is_sending() {
                state.out = self.spares.pop().unwrap_or_default();
            }
            self.flush(session);
        }
        // A broken connection is told by its last receive, after the replies that still came.
    }

    fn spare(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && self.spares.len() < SPARES_MAX {
            buffer.clear();
            self.spares.push(buffer);
        }
    }

    fn end_silent(&mut self, now: Instant) {
        self.sweep = now + SWEEP;
        let timeout = self.plan.options.timeout;
        for session in 0..self.sessions.len() {
            let state = &self.sessions[session];
            let waits =
                state.socket.is_some() && (state.dialogue.awaits() || state.standing == Standing::Connecting);
            if waits && now.since(state.active) > timeout {
                self.lost(session, "timeout");
            }
        }
    }
}

/// RFC 5322 §3.3, in UTC.
fn date(seconds: u64) -> String {
    let time = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap_or(i64::MAX)).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S +0000 (UTC)").to_string()
}
