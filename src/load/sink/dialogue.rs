//! The sink's side of one SMTP or LMTP dialogue: octets in, replies out, no IO.
//!
//! RFC 5321, RFC 2033 (LMTP), RFC 3030 (BDAT), RFC 3207 (STARTTLS); lenient where smtp-sink is: arguments are not
//! checked, HELO is not needed, but MAIL, RCPT and DATA come in order. A command ends at CRLF and
//! nowhere else, so that what a proxy lets through is seen as a strict server would see it.
//!
//! Invariant: what is consumed is done with. A command that must wait is not consumed until its
//! time has come, so a dialogue that waits is resumed with the same octets.

use std::net::SocketAddr;
use std::time::Duration;

use memchr::memmem;

use super::Protocol;
use super::books::{Books, Framing, HEAD_BYTES_MAX, Kept, Memory, count};
use super::content::Content;
use super::step::{Fault, Step};

/// Longest command taken, longer than any the proxy may send.
const LINE_BYTES_MAX: usize = 2 * crate::limits::COMMAND_LINE_BYTES_MAX;
/// Content kept for a dump or a test.
const CONTENT_BYTES_MAX: usize = 1 << 30;

/// What the connection does after the replies are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Waits for more octets.
    Read,
    /// Reads nothing for so long, then resumes with what was not consumed.
    Wait(Duration),
    /// Answers nothing until the rules change, then resumes in the same way.
    Hold,
    /// Shakes hands; what else came in clear is nobody's.
    StartTls,
    /// Reads nothing any more.
    Hang,
    Close,
}

/// How far the transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ready,
    Mail,
    Rcpt,
    /// Between two BDAT commands.
    Bdat,
    /// A BDAT was refused; only RSET helps (RFC 3030 §2).
    Broken,
}

/// What the next octets are.
#[derive(Debug)]
enum Phase {
    /// Nothing was said yet.
    Greeting,
    Command,
    /// After 354, before the first octet.
    Body,
    Data(Content),
    Bdat {
        left: u64,
        last: bool,
        refused: bool,
    },
    /// All content is here; the reply to it is owed.
    Finish(Framing),
    /// The 550 of `-A` is owed.
    Abort,
}

/// Whether the octets at hand can say more.
enum Flow {
    /// So many octets were consumed; go on.
    On(usize),
    /// So many octets were consumed; do this.
    Stop(usize, Then),
}

#[derive(Debug)]
pub(super) struct Dialogue {
    peer: SocketAddr,
    phase: Phase,
    stage: Stage,
    protocol: Protocol,
    recipients: u32,
    /// STARTTLS was said: whatever is heard now comes under TLS.
    secured: bool,
    /// The wait owed at this point is over.
    waited: bool,
    /// What is remembered of the transaction, if anything is.
    notes: Option<Box<Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    helo: Option<Vec<u8>>,
    mail: Vec<u8>,
    recipients: Vec<Vec<u8>>,
    xforward: Vec<Vec<u8>>,
    content: Vec<u8>,
}

impl Notes {
    /// Remembers content, as far as it is wanted.
    fn keep(&mut self, bytes: &[u8], memory: Memory) {
        let max = if memory == Memory::Whole { CONTENT_BYTES_MAX } else { HEAD_BYTES_MAX };
        let room = max.saturating_sub(self.content.len());
        self.content.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn forget_transaction(&mut self) {
        *self = Self { helo: self.helo.take(), ..Self::default() };
    }
}

impl Dialogue {
    pub(super) fn new(peer: SocketAddr, books: &Books) -> Self {
        Self {
            peer,
            phase: Phase::Greeting,
            stage: Stage::Ready,
            protocol: if books.options.protocol == Protocol::Lmtp { Protocol::Lmtp } else { Protocol::Smtp },
            recipients: 0,
            secured: false,
            waited: false,
            notes: (books.memory > Memory::Nothing).then(Box::default),
        }
    }

    /// Whether a transaction is under way.
    pub(super) const fn is_busy(&self) -> bool {
        !matches!((self.stage, &self.phase), (Stage::Ready, Phase::Command | Phase::Greeting))
    }

    /// Takes octets, appends replies to `out`, and says how many were consumed and what comes next.
    pub(super) fn receive(&mut self, input: &[u8], books: &mut Books, out: &mut Vec<u8>) -> (usize, Then) {
        let mut at = 0;
        loop {
            match self.advance(&input[at..], books, out) {
                Flow::On(consumed) => at += consumed,
                Flow::Stop(consumed, then) => return (at + consumed, then),
            }
        }
    }

    fn advance(&mut self, input: &[u8], books: &mut Books, out: &mut Vec<u8>) -> Flow {
        match self.phase {
            Phase::Greeting => self.greet(books, out),
            Phase::Abort => Self::abort(books, out),
            Phase::Finish(framing) => self.finish(framing, books, out),
            Phase::Command => self.command(input, books, out),
            _ if input.is_empty() => Flow::Stop(0, Then::Read),
            Phase::Body => self.body(books, out),
            Phase::Data(_) => self.data(input, books),
            Phase::Bdat { .. } => self.bdat_content(input, books, out),
        }
    }

    fn greet(&mut self, books: &mut Books, out: &mut Vec<u8>) -> Flow {
        if let Some(flow) = self.hold(Step::Connect, books) {
            return flow;
        }
        self.phase = Phase::Command;
        if let Some(flow) = Self::fail(Step::Connect, 0, books, out) {
            return flow;
        }
        let name = &books.options.hostname;
        let text = match books.options.protocol {
            _ if books.options.pix => "********".to_owned(),
            Protocol::Smtp => name.clone(),
            Protocol::Esmtp | Protocol::Lmtp => format!("{name} ESMTP"),
        };
        books.reply(out, "220", "", &text);
        Flow::On(0)
    }

    fn abort(books: &Books, out: &mut Vec<u8>) -> Flow {
        books.reply(out, "550", "", "This violates SMTP");
        Flow::Stop(0, Then::Close)
    }

    /// Takes one command line.
    fn command(&mut self, input: &[u8], books: &mut Books, out: &mut Vec<u8>) -> Flow {
        let Some(end) = memmem::find(input, b"\r\n") else {
            if input.len() < LINE_BYTES_MAX {
                return Flow::Stop(0, Then::Read);
            }
            books.reply(out, "500", "5.5.2", "Error: line too long");
            return Flow::Stop(input.len(), Then::Close);
        };
        let line = &input[..end];
        let (word, args) = words(line);
        let step = Step::command(word).filter(|&step| self.understands(step, books));
        if let Some(flow) = step.and_then(|step| self.hold(step, books)) {
            return flow;
        }
        count(&books.counters.commands, 1);
        books.log(step, line);
        let Some(step) = step else {
            let status = if word.is_empty() { "5.5.2" } else { "5.5.1" };
            books.reply(out, "500", status, "Error: unknown command");
            return Flow::On(end + 2);
        };
        // BDAT swallows its octets even when it fails.
        if step != Step::Bdat
            && let Some(flow) = Self::fail(step, end + 2, books, out)
        {
            return flow;
        }
        self.run(step, args, end + 2, books, out)
    }

    /// Whether the options leave this command to us.
    const fn understands(&self, step: Step, books: &Books) -> bool {
        let announce = &books.options.announce;
        match step {
            Step::Ehlo => matches!(books.options.protocol, Protocol::Esmtp),
            Step::Helo => !matches!(books.options.protocol, Protocol::Lmtp),
            Step::Lhlo => matches!(books.options.protocol, Protocol::Lmtp),
            Step::Bdat => announce.chunking,
            Step::Auth => announce.auth,
            Step::Xclient => announce.xclient,
            Step::Xforward => announce.xforward,
            Step::Starttls => self.offers_tls(books),
            _ => true,
        }
    }

    const fn offers_tls(&self, books: &Books) -> bool {
        books.options.tls.is_some() && !self.secured
    }

    fn run(
        &mut self,
        step: Step,
        args: &[u8],
        consumed: usize,
        books: &mut Books,
        out: &mut Vec<u8>,
    ) -> Flow {
        match step {
            Step::Ehlo | Step::Lhlo | Step::Helo => self.hello(step, args, books, out),
            Step::Mail => self.mail(args, books, out),
            Step::Rcpt => self.rcpt(args, books, out),
            Step::Data => return self.data_command(consumed, books, out),
            Step::Bdat => return self.bdat_command(args, consumed, books, out),
            Step::Rset => {
                count(&books.counters.rsets, 1);
                self.reset();
                books.reply(out, "250", "2.1.0", "Ok");
            }
            Step::Starttls => {
                self.reset();
                self.secured = true;
                books.reply(out, "220", "2.0.0", "Ready to start TLS");
                return Flow::Stop(consumed, Then::StartTls);
            }
            Step::Quit => {
                count(&books.counters.quits, 1);
                self.reset();
                books.reply(out, "221", "", "Bye");
                return Flow::Stop(consumed, Then::Close);
            }
            _ => {
                if let Some(notes) = self.notes.as_mut().filter(|_| step == Step::Xforward) {
                    notes.xforward.push(args.to_vec());
                }
                books.reply(out, "250", "2.0.0", "Ok");
            }
        }
        Flow::On(consumed)
    }

    fn hello(&mut self, step: Step, args: &[u8], books: &Books, out: &mut Vec<u8>) {
        self.reset();
        if let Some(notes) = &mut self.notes {
            notes.helo = (!args.is_empty()).then(|| args.to_vec());
        }
        if step == Step::Helo {
            self.protocol = Protocol::Smtp;
            books.reply(out, "250", "", &books.options.hostname);
        } else {
            self.protocol = books.options.protocol;
            books.ehlo_reply(self.offers_tls(books), out);
        }
    }

    fn mail(&mut self, args: &[u8], books: &Books, out: &mut Vec<u8>) {
        if self.stage != Stage::Ready {
            return books.reply(out, "503", "5.5.1", "Error: nested MAIL command");
        }
        self.stage = Stage::Mail;
        if let Some(notes) = &mut self.notes {
            notes.mail = after(args, b"FROM:").to_vec();
        }
        books.reply(out, "250", "2.1.0", "Ok");
    }

    fn rcpt(&mut self, args: &[u8], books: &Books, out: &mut Vec<u8>) {
        if !matches!(self.stage, Stage::Mail | Stage::Rcpt) {
            return books.reply(out, "503", "5.5.1", "Error: need MAIL command");
        }
        self.stage = Stage::Rcpt;
        self.recipients += 1;
        count(&books.counters.recipients, 1);
        if let Some(notes) = &mut self.notes {
            notes.recipients.push(after(args, b"TO:").to_vec());
        }
        books.reply(out, "250", "2.1.5", "Ok");
    }

    fn data_command(&mut self, consumed: usize, books: &Books, out: &mut Vec<u8>) -> Flow {
        if self.stage != Stage::Rcpt {
            books.reply(out, "503", "5.5.1", "Error: need RCPT command");
            return Flow::On(consumed);
        }
        books.reply(out, "354", "", "End data with <CR><LF>.<CR><LF>");
        self.phase = Phase::Body;
        if let Some(delay) = books.options.abort_after {
            self.phase = Phase::Abort;
            return Flow::Stop(consumed, Then::Wait(delay));
        }
        books.options.read_delay.map_or(Flow::On(consumed), |delay| Flow::Stop(consumed, Then::Wait(delay)))
    }

    /// The first octets of content are here.
    fn body(&mut self, books: &mut Books, out: &mut Vec<u8>) -> Flow {
        if let Some(flow) = self.hold(Step::Body, books) {
            return flow;
        }
        self.phase = Phase::Data(Content::new());
        match Self::fail(Step::Body, 0, books, out) {
            // A reply in the middle of content: all that is left is to hang up.
            Some(Flow::On(_)) => Flow::Stop(0, Then::Close),
            Some(flow) => flow,
            None => Flow::On(0),
        }
    }

    fn data(&mut self, input: &[u8], books: &Books) -> Flow {
        let Phase::Data(content) = &mut self.phase else { return Flow::On(0) };
        let (consumed, end) = match &mut self.notes {
            Some(notes) => content.feed(input, |bytes| notes.keep(bytes, books.memory)),
            None => content.feed(input, |_| ()),
        };
        count(&books.counters.bytes, consumed as u64);
        if end {
            self.phase = Phase::Finish(Framing::Data);
        }
        Flow::On(consumed)
    }

    fn bdat_command(&mut self, args: &[u8], consumed: usize, books: &mut Books, out: &mut Vec<u8>) -> Flow {
        count(&books.counters.bdats, 1);
        let Some((octets, last)) = bdat(args) else {
            // How much content follows is not known: what comes next could be anything.
            books.reply(out, "501", "5.5.4", "Error: bad BDAT command");
            return Flow::Stop(consumed, Then::Close);
        };
        let refused = !matches!(self.stage, Stage::Rcpt | Stage::Bdat);
        self.phase = Phase::Bdat { left: octets, last, refused };
        if octets == 0 { self.bdat_end(last, refused, consumed, books, out) } else { Flow::On(consumed) }
    }

    fn bdat_content(&mut self, input: &[u8], books: &mut Books, out: &mut Vec<u8>) -> Flow {
        let Phase::Bdat { left, last, refused } = &mut self.phase else { return Flow::On(0) };
        let len = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
        *left -= len as u64;
        let (end, last, refused) = (*left == 0, *last, *refused);
        if let Some(notes) = self.notes.as_mut().filter(|_| !refused) {
            notes.keep(&input[..len], books.memory);
        }
        count(&books.counters.bytes, len as u64);
        if end { self.bdat_end(last, refused, len, books, out) } else { Flow::On(len) }
    }

    /// The octets of one BDAT command are here.
    fn bdat_end(
        &mut self,
        last: bool,
        refused: bool,
        consumed: usize,
        books: &mut Books,
        out: &mut Vec<u8>,
    ) -> Flow {
        self.phase = Phase::Command;
        if refused {
            let text = if self.stage == Stage::Broken {
                "Error: need RSET command"
            } else {
                "Error: need RCPT command"
            };
            books.reply(out, "503", "5.5.1", text);
            return Flow::On(consumed);
        }
        if let Some(flow) = Self::fail(Step::Bdat, consumed, books, out) {
            self.stage = Stage::Broken;
            return flow;
        }
        self.stage = Stage::Bdat;
        if last {
            self.phase = Phase::Finish(Framing::Bdat);
        } else {
            books.reply(out, "250", "2.0.0", "Ok");
        }
        Flow::On(consumed)
    }

    /// Stores the message, then acknowledges it.
    fn finish(&mut self, framing: Framing, books: &mut Books, out: &mut Vec<u8>) -> Flow {
        if let Some(flow) = self.hold(Step::Dot, books) {
            return flow;
        }
        self.phase = Phase::Command;
        let from = out.len();
        let failed = Self::fail(Step::Dot, 0, books, out);
        let stored = failed.is_none() && self.store(framing, books, out);
        count(if stored { &books.counters.messages } else { &books.counters.refused }, 1);
        if stored {
            let replies = if self.protocol == Protocol::Lmtp { self.recipients } else { 1 };
            (0..replies).for_each(|_| books.reply(out, "250", "2.0.0", "Ok"));
        } else if self.protocol == Protocol::Lmtp {
            // RFC 2033 §4.2: as many replies as recipients, here all the same.
            let refusals = out[from..].repeat((self.recipients as usize).saturating_sub(1));
            out.extend_from_slice(&refusals);
        }
        self.reset();
        failed.unwrap_or(Flow::On(0))
    }

    fn store(&mut self, framing: Framing, books: &mut Books, out: &mut Vec<u8>) -> bool {
        let Some(notes) = &mut self.notes else { return true };
        let message = Kept {
            peer: self.peer,
            protocol: self.protocol,
            helo: notes.helo.clone(),
            mail: std::mem::take(&mut notes.mail),
            recipients: std::mem::take(&mut notes.recipients),
            xforward: std::mem::take(&mut notes.xforward),
            framing,
            content: std::mem::take(&mut notes.content),
        };
        let result = books.store(message);
        if let Err(error) = &result {
            crate::load::console::say("sink", &format!("message not stored: {error}"));
            books.reply(out, "451", "4.3.0", "Error: message not stored");
        }
        result.is_ok()
    }

    /// What RSET does.
    fn reset(&mut self) {
        self.stage = Stage::Ready;
        self.recipients = 0;
        if let Some(notes) = &mut self.notes {
            notes.forget_transaction();
        }
    }

    /// Stops before `step` if a wait is owed; the second time it is over. A message owes what the station's
    /// work on it takes.
    fn hold(&mut self, step: Step, books: &mut Books) -> Option<Flow> {
        if std::mem::take(&mut self.waited) {
            return None;
        }
        if books.options.rules.holds(step) {
            return Some(Flow::Stop(0, Then::Hold));
        }
        let now = books.now;
        let work = books.station.as_mut().filter(|_| step == Step::Dot).map(|station| station.admit(now));
        let told = books.options.rules.wait(step, &mut books.rng);
        let wait = told.into_iter().chain(work).reduce(|told, work| told + work)?;
        self.waited = true;
        Some(Flow::Stop(0, Then::Wait(wait)))
    }

    /// Fails at `step` if the rules say so.
    fn fail(step: Step, consumed: usize, books: &mut Books, out: &mut Vec<u8>) -> Option<Flow> {
        let fault = books.options.rules.fault(step, &mut books.rng)?;
        count(&books.counters.faults, 1);
        match fault {
            Fault::Drop => return Some(Flow::Stop(consumed, Then::Close)),
            Fault::Hang => return Some(Flow::Stop(consumed, Then::Hang)),
            Fault::Goodbye | Fault::Code(421) => {
                books.reply(out, "421", "4.0.0", "Server closing connection");
                return Some(Flow::Stop(consumed, Then::Close));
            }
            Fault::Soft => out.extend_from_slice(books.options.soft_reply.as_bytes()),
            Fault::Hard => out.extend_from_slice(books.options.hard_reply.as_bytes()),
            Fault::Code(code) => {
                let status = format!("{}.3.0", code / 100);
                books.reply(out, &code.to_string(), &status, "Error: command failed");
                return Some(Flow::On(consumed));
            }
        }
        out.extend_from_slice(b"\r\n");
        Some(Flow::On(consumed))
    }
}

/// The command word, and the rest without the white space between.
fn words(line: &[u8]) -> (&[u8], &[u8]) {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line = &line[line.iter().position(|byte| !blank(byte)).unwrap_or(line.len())..];
    let end = line.iter().position(blank).unwrap_or(line.len());
    (&line[..end], line[end..].trim_ascii())
}

/// What follows `FROM:` or `TO:`.
fn after<'a>(args: &'a [u8], prefix: &[u8]) -> &'a [u8] {
    match args.get(..prefix.len()) {
        Some(head) if head.eq_ignore_ascii_case(prefix) => args[prefix.len()..].trim_ascii_start(),
        _ => args,
    }
}

/// Octets and LAST.
fn bdat(args: &[u8]) -> Option<(u64, bool)> {
    let text = std::str::from_utf8(args).ok()?;
    let mut words = text.split_ascii_whitespace();
    let octets = words.next()?.parse().ok()?;
    match (words.next(), words.next()) {
        (None, _) => Some((octets, false)),
        (Some(last), None) if last.eq_ignore_ascii_case("LAST") => Some((octets, true)),
        _ => None,
    }
}
