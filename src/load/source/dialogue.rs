//! The source's side of one SMTP or LMTP dialogue: replies in, octets out, no IO.
//!
//! RFC 5321, RFC 2920 (PIPELINING), RFC 3030 (BDAT), RFC 2033 (LMTP), RFC 3207 (STARTTLS).
//!
//! The states are those of the lock-step dialogue. Pipelining only says earlier what lock-step says
//! between the replies; the replies come in the same order and mean the same.

use std::io::Write as _;

use super::clients::xclient;
use super::message::{Bag, Cursor};
use super::options::{Options, Tls};
use crate::load::console;

/// Where in the dialogue something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Connect,
    Greeting,
    Hello,
    Starttls,
    Xclient,
    Mail,
    Rcpt,
    Data,
    Content,
    Rset,
}

impl Step {
    /// In words, as smtp-source says it.
    pub(super) const fn trouble(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Greeting => "bad startup",
            Self::Hello => "HELO rejected",
            Self::Starttls => "STARTTLS rejected",
            Self::Xclient => "XCLIENT rejected",
            Self::Mail => "sender rejected",
            Self::Rcpt => "recipient rejected",
            Self::Data => "DATA rejected",
            Self::Content => "message rejected",
            Self::Rset => "RSET rejected",
        }
    }
}

/// The reply we wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Hello,
    Starttls,
    Xclient,
    /// None: no transaction is under way.
    Idle,
    Mail,
    /// This one, and `left` further ones.
    Rcpt {
        left: u32,
    },
    Data,
    Content {
        left: u32,
    },
    Rset,
    Quit,
}

/// What a reply led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Further replies are to come.
    More,
    /// The server waits for a handshake.
    StartTls,
    /// A transaction may begin.
    Ready,
    /// The message was acknowledged; a transaction may begin.
    Delivered,
    /// The message was refused; a transaction may begin.
    Refused,
    /// The connection is of no use any more.
    Over,
}

/// What a reply was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) progress: Progress,
    /// It was not the one hoped for, here.
    pub(super) failed: Option<Step>,
}

/// What all sessions share.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) options: Options,
    pub(super) bag: Bag,
    /// The next number of `-N`.
    pub(super) serial: u64,
    pub(super) rng: fastrand::Rng,
}

/// What the server announced, as far as we use it.
#[derive(Clone, Copy, Debug, Default)]
struct Announced {
    pipelining: bool,
    chunking: bool,
    eight_bit_mime: bool,
    starttls: bool,
    xclient: bool,
}

#[derive(Debug)]
pub(super) struct Dialogue {
    state: State,
    announced: Announced,
    /// Hands were shaken behind STARTTLS.
    secured: bool,
    /// XCLIENT was said, and taken.
    introduced: bool,
    message: u64,
    /// Recipients accepted.
    accepted: u32,
    /// The transaction cannot succeed; further refusals only follow from that.
    broken: bool,
    cursor: Option<Cursor>,
}

impl Dialogue {
    pub(super) fn new() -> Self {
        Self {
            state: State::Greeting,
            announced: Announced::default(),
            secured: false,
            introduced: false,
            message: 0,
            accepted: 0,
            broken: false,
            cursor: None,
        }
    }

    /// Whether a message was begun and neither acknowledged nor refused.
    pub(super) const fn is_busy(&self) -> bool {
        matches!(self.state, State::Mail | State::Rcpt { .. } | State::Data | State::Content { .. })
    }

    /// Whether the peer may end the connection without harm.
    pub(super) const fn is_leaving(&self) -> bool {
        matches!(self.state, State::Quit)
    }

    /// A line that is not the last of a reply.
    pub(super) fn hear_more(&mut self, line: &[u8]) {
        if self.state != State::Hello {
            return;
        }
        let keyword = line.get(4..).unwrap_or_default().trim_ascii();
        self.announced.pipelining |= keyword.eq_ignore_ascii_case(b"PIPELINING");
        self.announced.chunking |= keyword.eq_ignore_ascii_case(b"CHUNKING");
        self.announced.eight_bit_mime |= keyword.eq_ignore_ascii_case(b"8BITMIME");
        self.announced.starttls |= keyword.eq_ignore_ascii_case(b"STARTTLS");
        let word = keyword.split(|byte| *byte == b' ').next().unwrap_or_default();
        self.announced.xclient |= word.eq_ignore_ascii_case(b"XCLIENT");
    }

    /// Takes a reply, given its code, and appends what is said next to `out`.
    pub(super) fn hear(&mut self, code: u16, plan: &mut Plan, out: &mut Vec<u8>) -> Heard {
        let good = code / 100 == 2;
        if code == 421 {
            let failed = Some(self.step()).filter(|_| !self.is_leaving());
            return Heard { progress: Progress::Over, failed };
        }
        match self.state {
            State::Greeting => self.greeted(good, plan, out),
            State::Hello => self.welcomed(good, plan, out),
            State::Starttls if good => Heard { progress: Progress::StartTls, failed: None },
            State::Starttls => self.over(),
            State::Xclient => self.introduced(good, plan, out),
            State::Mail => self.mail_heard(good, plan, out),
            State::Rcpt { left } => self.rcpt_heard(good, left, plan, out),
            State::Data => self.data_heard(code == 354, plan, out),
            State::Content { left } => self.content_heard(good, left, plan, out),
            State::Rset => self.reset_heard(good),
            // Nothing was asked: whatever this is, it is not for us.
            State::Idle => Heard { progress: Progress::Over, failed: Some(Step::Rset) },
            State::Quit => Heard { progress: Progress::Over, failed: None },
        }
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self, message: u64, plan: &mut Plan, out: &mut Vec<u8>) {
        (self.message, self.accepted, self.broken) = (message, 0, false);
        let eight_bit = self.announced.eight_bit_mime && plan.bag.is_eight_bit(message);
        let body = if eight_bit { " BODY=8BITMIME" } else { "" };
        say(plan, out, format_args!("MAIL FROM:<{}>{body}", plan.options.sender));
        self.state = State::Mail;
        if plan.options.pipeline {
            (1..=plan.options.recipients).rev().for_each(|left| rcpt(left, plan, out));
            self.content_command(plan, out);
        }
    }

    pub(super) fn quit(&mut self, plan: &Plan, out: &mut Vec<u8>) {
        self.state = State::Quit;
        say(plan, out, format_args!("QUIT"));
    }

    /// Appends what fits of the content that is being sent.
    pub(super) fn fill(&mut self, plan: &Plan, out: &mut Vec<u8>) {
        if let Some(cursor) = &mut self.cursor
            && !plan.bag.fill(cursor, out)
        {
            self.cursor = None;
        }
    }

    /// Whether content is still to be sent.
    pub(super) const fn is_sending(&self) -> bool {
        self.cursor.is_some()
    }

    /// Whether the server owes us a reply.
    pub(super) const fn awaits(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Octets of the message under way.
    pub(super) fn octets(&self, plan: &Plan) -> u64 {
        plan.bag.octets(self.message) as u64
    }

    pub(super) const fn message(&self) -> u64 {
        self.message
    }

    /// What the awaited reply answers.
    pub(super) const fn step(&self) -> Step {
        match self.state {
            State::Greeting => Step::Greeting,
            State::Hello => Step::Hello,
            State::Starttls => Step::Starttls,
            State::Xclient => Step::Xclient,
            State::Mail => Step::Mail,
            State::Rcpt { .. } => Step::Rcpt,
            State::Data => Step::Data,
            State::Content { .. } => Step::Content,
            State::Idle | State::Rset | State::Quit => Step::Rset,
        }
    }

    fn greeted(&mut self, good: bool, plan: &Plan, out: &mut Vec<u8>) -> Heard {
        if !good {
            return self.over();
        }
        if plan.options.old {
            return self.at_ease(Progress::Ready);
        }
        self.say_hello(plan, out);
        Heard { progress: Progress::More, failed: None }
    }

    /// Hands were shaken behind STARTTLS: what was announced in clear is forgotten.
    pub(super) fn on_secured(&mut self, plan: &Plan, out: &mut Vec<u8>) {
        (self.secured, self.announced) = (true, Announced::default());
        self.say_hello(plan, out);
    }

    fn say_hello(&mut self, plan: &Plan, out: &mut Vec<u8>) {
        let options = &plan.options;
        let extends =
            options.bdat || options.pipeline || options.tls == Tls::Starttls || options.xclient.is_some();
        let hello = match (options.lmtp, extends) {
            (true, _) => "LHLO",
            (false, true) => "EHLO",
            (false, false) => "HELO",
        };
        self.state = State::Hello;
        say(plan, out, format_args!("{hello} {}", options.hostname));
    }

    fn welcomed(&mut self, good: bool, plan: &mut Plan, out: &mut Vec<u8>) -> Heard {
        if plan.options.tls == Tls::Starttls && !self.secured && good && self.announced.starttls {
            self.state = State::Starttls;
            say(plan, out, format_args!("STARTTLS"));
            return Heard { progress: Progress::More, failed: None };
        }
        let Plan { options, rng, .. } = plan;
        let client = options.xclient.as_mut().filter(|_| good && self.announced.xclient && !self.introduced);
        if let Some(client) = client.map(|clients| clients.next(rng)) {
            self.state = State::Xclient;
            say(plan, out, format_args!("{}", xclient(client)));
            return Heard { progress: Progress::More, failed: None };
        }
        let can = self.can(plan);
        if good && can { self.at_ease(Progress::Ready) } else { self.over() }
    }

    /// XCLIENT begins the session anew: the reply to it is a greeting.
    fn introduced(&mut self, good: bool, plan: &Plan, out: &mut Vec<u8>) -> Heard {
        if !good {
            return self.over();
        }
        self.introduced = true;
        self.announced = Announced::default();
        self.say_hello(plan, out);
        Heard { progress: Progress::More, failed: None }
    }

    /// Whether the server announced what the options need.
    fn can(&self, plan: &Plan) -> bool {
        let Announced { pipelining, chunking, .. } = self.announced;
        let secure = self.secured || plan.options.tls != Tls::Starttls;
        let introduced = self.introduced || plan.options.xclient.is_none();
        secure && introduced && (chunking || !plan.options.bdat) && (pipelining || !plan.options.pipeline)
    }

    fn mail_heard(&mut self, good: bool, plan: &mut Plan, out: &mut Vec<u8>) -> Heard {
        let heard = self.judge(good, Step::Mail);
        self.broken = !good;
        self.state = State::Rcpt { left: plan.options.recipients - 1 };
        if !plan.options.pipeline {
            if good {
                rcpt(plan.options.recipients, plan, out);
            } else {
                self.reset(plan, out);
            }
        }
        heard
    }

    fn rcpt_heard(&mut self, good: bool, left: u32, plan: &mut Plan, out: &mut Vec<u8>) -> Heard {
        let heard = self.judge(good, Step::Rcpt);
        self.accepted += u32::from(good);
        if let Some(next) = left.checked_sub(1) {
            self.state = State::Rcpt { left: next };
            if !plan.options.pipeline {
                rcpt(left, plan, out);
            }
            return heard;
        }
        self.broken |= self.accepted == 0;
        if plan.options.pipeline {
            self.state = self.content_state(plan);
        } else if self.broken {
            self.reset(plan, out);
        } else {
            self.content_command(plan, out);
            self.state = self.content_state(plan);
        }
        heard
    }

    fn data_heard(&mut self, go_on: bool, plan: &Plan, out: &mut Vec<u8>) -> Heard {
        let heard = self.judge(go_on, Step::Data);
        if go_on {
            self.cursor = Some(plan.bag.begin(self.message, out));
            self.fill(plan, out);
            self.state = State::Content { left: self.replies(plan) };
        } else {
            self.reset(plan, out);
        }
        heard
    }

    fn content_heard(&mut self, good: bool, left: u32, plan: &Plan, out: &mut Vec<u8>) -> Heard {
        let mut heard = self.judge(good, Step::Content);
        self.broken |= !good;
        if left > 1 {
            self.state = State::Content { left: left - 1 };
        } else if !self.broken {
            heard.progress = self.at_ease(Progress::Delivered).progress;
        } else if plan.options.bdat {
            self.reset(plan, out);
        } else {
            heard.progress = self.at_ease(Progress::Refused).progress;
        }
        heard
    }

    fn reset_heard(&mut self, good: bool) -> Heard {
        let heard = self.at_ease(Progress::Refused);
        Heard { failed: (!good).then_some(Step::Rset), ..heard }
    }

    /// DATA, or BDAT with the content behind it.
    fn content_command(&mut self, plan: &Plan, out: &mut Vec<u8>) {
        if !plan.options.bdat {
            return say(plan, out, format_args!("DATA"));
        }
        say(plan, out, format_args!("BDAT {} LAST", plan.bag.octets(self.message)));
        self.cursor = Some(plan.bag.begin(self.message, out));
        self.fill(plan, out);
    }

    fn content_state(&self, plan: &Plan) -> State {
        if plan.options.bdat { State::Content { left: self.replies(plan) } } else { State::Data }
    }

    /// Replies to the end of content (RFC 2033 §4.2).
    fn replies(&self, plan: &Plan) -> u32 {
        if plan.options.lmtp { self.accepted.max(1) } else { 1 }
    }

    fn reset(&mut self, plan: &Plan, out: &mut Vec<u8>) {
        self.state = State::Rset;
        say(plan, out, format_args!("RSET"));
    }

    const fn at_ease(&mut self, progress: Progress) -> Heard {
        self.state = State::Idle;
        Heard { progress, failed: None }
    }

    const fn over(&self) -> Heard {
        Heard { progress: Progress::Over, failed: Some(self.step()) }
    }

    /// A refusal counts unless it follows from an earlier one.
    fn judge(&self, good: bool, step: Step) -> Heard {
        Heard { progress: Progress::More, failed: (!good && !self.broken).then_some(step) }
    }
}

/// RCPT when `left` of them are not yet said, this one included.
fn rcpt(left: u32, plan: &mut Plan, out: &mut Vec<u8>) {
    let number = if plan.options.number_recipients {
        plan.serial += 1;
        Some(plan.serial)
    } else {
        Some(u64::from(left)).filter(|&left| left > 1)
    };
    let recipient = &plan.options.recipient;
    match number {
        Some(number) => say(plan, out, format_args!("RCPT TO:<{number}{recipient}>")),
        None => say(plan, out, format_args!("RCPT TO:<{recipient}>")),
    }
}

/// One command line.
fn say(plan: &Plan, out: &mut Vec<u8>, command: std::fmt::Arguments<'_>) {
    if plan.options.verbose {
        console::say("source", &format!(">>> {command}"));
    }
    // Writing to memory does not fail.
    _ = write!(out, "{command}\r\n");
}
