//! The dialogue outside of mail: greeting, PROXY header, HELO, STARTTLS, and the small commands. AUTH is in
//! `auth`.
//!
//! RFC 5321 §3.1, §3.2, §4.1.1; RFC 3207; the PROXY protocol; Postfix XCLIENT_README and XFORWARD_README.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::auth::Dialogue;
use super::conduct::{Awaited, Doings};
use super::event::Ending;
use super::limits::Taken;
use super::manners::Manners;
use super::{Action, Context, Relay, Stage};
use crate::limits::{COMMAND_LINE_BYTES_MAX, REPLIES_PENDING_BYTES_MAX};
use crate::policy::condition::Phase;
use crate::policy::route::Submitter;
use crate::policy::settings::Config;
use crate::smtp::command::{self, Bdat, Command, Refused, Verb};
use crate::smtp::data::BareNewline;
use crate::smtp::extension::Extensions;
use crate::smtp::line::{Line, next_line};
use crate::smtp::proxy_protocol::{self, Parsed};
use crate::smtp::reply::Reply;
use crate::smtp::server;
use crate::smtp::xforward::{self, Identity, Proto};
use crate::tls::secured::Secured;
use crate::traffic::conduct::{Conduct, Deed};
use crate::traffic::lane::Lane;
use crate::traffic::patience::{Pace, Patience};
use crate::traffic::register::Seat;

/// How long a client may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a drained client may take for its next command before it hears 421 unasked.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
/// How long a balancer may take for its PROXY header (Postfix: smtpd_upstream_proxy_timeout, 5 s).
pub(super) const PROXY_HEADER: Duration = Duration::from_secs(10);

/// What lasts from connect to close.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) listener: usize,
    /// The client as the connection says: the peer, or what PROXY said.
    peer: SocketAddr,
    /// The client as we know it: the same, or what XCLIENT said.
    pub(super) client: SocketAddr,
    /// Its name, if XCLIENT said one.
    name: Option<Box<[u8]>>,
    pub(super) local: SocketAddr,
    /// And has not said yet for whom.
    pub(super) must_speak_proxy: bool,
    /// What TLS established; None: the session is in clear.
    pub(super) secured: Option<Box<Secured>>,
    /// Who the client has proven to be, or was said to be by XCLIENT.
    pub(super) user: Option<Box<str>>,
    /// AUTH is under way.
    pub(super) exchange: Option<Box<Dialogue>>,
    /// Wrong passwords.
    pub(super) failures: u32,
    /// May use XCLIENT and XFORWARD.
    pub(super) is_trusted: bool,
    pub(super) bare_newline: BareNewline,
    /// The argument of HELO or EHLO.
    pub(super) helo: Option<Box<[u8]>>,
    pub(super) is_esmtp: bool,
    /// Whom the client says it speaks for (XFORWARD).
    pub(super) forwarded: Option<Box<Identity>>,
    pub(super) transactions: u32,
    pub(super) errors: u32,
    pub(super) manners: Manners,
    pub(super) doings: Doings,
    /// What is to be expected of the client.
    pub(super) conduct: Conduct,
    /// Where its connection is counted.
    pub(super) seat: Option<Seat>,
    /// How long it may take.
    pub(super) patience: Patience,
    /// How fast content comes.
    pub(super) pace: Pace,
    /// As far as it is known.
    pub(super) lane: Lane,
    /// What the connection holds of limits.
    pub(super) held: Vec<Taken>,
}

impl Session {
    pub(super) fn new(config: &Config, listener: usize, peer: SocketAddr, local: SocketAddr) -> Self {
        let mut session = Self {
            listener,
            peer,
            client: peer,
            name: None,
            local,
            must_speak_proxy: config.listeners[listener].must_speak_proxy(peer.ip()),
            secured: None,
            user: None,
            exchange: None,
            failures: 0,
            is_trusted: config.listeners[listener].may_xclient(peer.ip()),
            bare_newline: BareNewline::Refuse,
            helo: None,
            is_esmtp: false,
            forwarded: None,
            transactions: 0,
            errors: 0,
            manners: Manners::default(),
            doings: Doings::default(),
            conduct: Conduct::default(),
            seat: None,
            patience: config.workers.patience(),
            pace: Pace::default(),
            lane: config.policy.lanes.others(),
            held: Vec::new(),
        };
        session.set_client(config, peer);
        session
    }

    /// The client is at `address`: what its network may do follows.
    fn set_client(&mut self, config: &Config, address: SocketAddr) {
        self.client = address;
        let listener = &config.listeners[self.listener];
        let replaces = listener.replaces_bare_newline(address.ip());
        self.bare_newline = if replaces { BareNewline::Replace } else { BareNewline::Refuse };
    }

    /// All that was said before TLS: anybody on the way may have said it (RFC 3207 §4.2).
    fn forget(&mut self, config: &Config) {
        self.set_client(config, self.peer);
        self.name = None;
        self.helo = None;
        self.is_esmtp = false;
        self.forwarded = None;
        self.user = None;
        self.exchange = None;
        self.manners.forget();
    }

    /// Nobody but the connection, and PROXY in front of it, says who the client is.
    fn is_as_connected(&self) -> bool {
        self.client == self.peer && self.forwarded.is_none()
    }

    /// Whoever is connected may or must say who the client is, and has not said it: it is none itself.
    pub(super) fn is_unsaid(&self) -> bool {
        (self.must_speak_proxy || self.is_trusted) && self.is_as_connected()
    }

    /// Whose address it is that the client comes from: its own, or the one it speaks for.
    pub(super) fn client_ip(&self) -> IpAddr {
        let forwarded = self.forwarded.as_deref().and_then(|identity| identity.addr);
        forwarded.unwrap_or_else(|| self.client.ip())
    }

    /// As routes see it. XFORWARD is for others' records: it opens no way.
    pub(super) const fn as_submitter(&self) -> Submitter {
        Submitter { ip: self.client.ip(), is_user: self.user.is_some() }
    }

    /// Whom we speak for toward the next hop.
    pub(super) fn identity(&self) -> Identity {
        if let Some(identity) = &self.forwarded {
            return (**identity).clone();
        }
        Identity {
            name: self.name.as_deref().map(<[u8]>::to_vec),
            addr: Some(self.client.ip()),
            port: Some(self.client.port()),
            helo: self.helo.as_deref().map(<[u8]>::to_vec),
            proto: if self.is_esmtp { Proto::Esmtp } else { Proto::Smtp },
            login: self.user.as_deref().map(|user| user.as_bytes().to_vec()),
            destination_addr: Some(self.local.ip()),
            destination_port: Some(self.local.port()),
            ..Identity::default()
        }
    }
}

impl Relay {
    pub(super) fn on_opened(&mut self, cx: &mut Context<'_>) {
        if self.stage == Stage::Command {
            self.begin(cx, Vec::new());
        }
    }

    /// The first word is ours, or TLS comes before it. `early` came behind a PROXY header.
    fn begin(&mut self, cx: &mut Context<'_>, early: Vec<u8>) {
        if !self.welcome(cx) || !self.admits_connection(cx) {
            return;
        }
        if cx.shared.config.listeners[self.session.listener].tls.is_implicit() {
            self.start_tls(cx, early);
        } else {
            self.greet_in_time(cx);
        }
    }

    /// Nothing can be said, for hands have to be shaken first.
    pub(super) fn is_mute(&self, cx: &Context<'_>) -> bool {
        cx.shared.config.listeners[self.session.listener].tls.is_implicit() && self.session.secured.is_none()
    }

    fn start_tls(&mut self, cx: &mut Context<'_>, early: Vec<u8>) {
        self.stage = Stage::Handshake;
        self.await_client(cx.now.instant, HANDSHAKE.min(self.session.patience.command));
        cx.actions.push(Action::StartTls { early });
    }

    /// RFC 3207 §4: the session begins anew; only the greeting is not said again.
    pub(super) fn on_secured(&mut self, cx: &mut Context<'_>, secured: Box<Secured>) {
        if !self.session.is_as_connected() {
            // Who was named in clear is not the client any more.
            self.session.doings = Doings::default();
            self.give_seat_back(cx.shared);
            self.give_back_connection(cx.now.instant, cx.shared);
        }
        self.session.forget(&cx.shared.config);
        self.session.secured = Some(secured);
        self.place(cx.now.instant, cx.shared, Phase::Connect);
        self.await_command(cx);
        if cx.shared.config.listeners[self.session.listener].tls.is_implicit() {
            self.greet_in_time(cx);
        }
    }

    /// No TLS came about, or it broke: nothing can be said any more.
    pub(super) fn on_insecure(&mut self, cx: &mut Context<'_>, why: &'static str) {
        if self.stage == Stage::Handshake {
            self.refuse_connection(cx, why);
        }
        self.abandon_transaction(cx, "");
        self.stage = Stage::Over;
        cx.actions.push(Action::Finish { linger: true });
    }

    pub(super) fn greet(&mut self, cx: &mut Context<'_>) {
        let text = format!("{} ESMTP Postern", cx.shared.config.hostname);
        self.say(cx, &Reply::new(220, "", &text));
    }

    /// A listed network speaks PROXY first; anything else from it gets no banner at all.
    pub(super) fn take_proxy_header(&mut self, cx: &mut Context<'_>, input: &[u8]) -> usize {
        match proxy_protocol::parse(input) {
            Parsed::Partial => 0,
            Parsed::Malformed(_) => {
                self.refuse_connection(cx, "malformed PROXY header");
                self.stage = Stage::Over;
                cx.actions.push(Action::Abort);
                0
            }
            Parsed::Header { consumed, source, destination } => {
                if let Some(source) = source {
                    self.session.must_speak_proxy = false;
                    self.session.peer = source;
                    // The balancer may be trusted; whom it speaks for is somebody else.
                    let listener = &cx.shared.config.listeners[self.session.listener];
                    self.session.is_trusted = listener.may_xclient(source.ip());
                    self.session.set_client(&cx.shared.config, source);
                }
                self.session.local = destination.unwrap_or(self.session.local);
                self.stage = Stage::Command;
                self.place(cx.now.instant, cx.shared, Phase::Connect);
                if cx.shared.config.listeners[self.session.listener].tls.is_implicit() {
                    self.begin(cx, input[consumed..].to_vec());
                    return input.len();
                }
                self.begin(cx, Vec::new());
                consumed
            }
        }
    }

    /// Takes one command line, unless an earlier one is not answered yet.
    pub(super) fn take_command(&mut self, cx: &mut Context<'_>, input: &[u8]) -> usize {
        if self.downstream_unsent >= REPLIES_PENDING_BYTES_MAX {
            return 0;
        }
        let (line, consumed) = match next_line(input, COMMAND_LINE_BYTES_MAX) {
            Line::Partial => return 0,
            Line::TooLong => {
                self.note_deed(cx, Deed::Junk);
                self.say_and_close(cx, &Reply::new(500, "5.5.6", "command line too long"));
                return 0;
            }
            Line::Whole { line, consumed } => (line, consumed),
        };
        let parsed = command::parse(line);
        // RCPT may follow RCPT; everything else waits until all of those are answered.
        let overtakes = matches!(parsed, Ok(Command::Rcpt(_))) && self.has_room_for_rcpt(cx);
        if self.owes_replies() && !overtakes || self.holds_back(cx) {
            return 0;
        }
        self.test_command(cx, &input[..consumed], &parsed, consumed == input.len());
        match parsed {
            Ok(Command::Data) if self.server_stage().admits(Verb::Data) && consumed < input.len() => {
                self.on_early_content(cx);
            }
            // RFC 3207 §4: what was sent behind it in clear is nobody's command under TLS.
            Ok(Command::Starttls) if consumed < input.len() && self.may_start_tls(cx) => {
                self.on_early_handshake(cx);
            }
            Ok(command) => self.on_command(cx, command),
            Err(refused) => self.on_refused_command(cx, refused),
        }
        consumed
    }

    fn on_command(&mut self, cx: &mut Context<'_>, command: Command<'_>) {
        let verb = command.verb();
        if self.draining && self.transaction.is_none() && verb != Verb::Quit {
            return self.say_and_close(cx, &Reply::new(421, "4.3.2", "shutting down, come again soon"));
        }
        if self.needs_tls(cx, verb) {
            let reply = Reply::new(530, "5.7.0", "must issue a STARTTLS command first");
            return self.refuse_command(cx, command, reply);
        }
        if !self.server_stage().admits(verb) {
            let reply = self.server_stage().refusal(verb);
            return self.refuse_command(cx, command, reply);
        }
        if self.needs_auth(cx, verb) {
            return self.complain(cx, &Reply::new(530, "5.7.0", "authentication required"));
        }
        match command {
            Command::Helo(name) => self.on_helo(cx, name),
            Command::Ehlo(name) => self.on_ehlo(cx, name),
            Command::Mail(mail) => self.on_mail(cx, &mail),
            Command::Rcpt(rcpt) => self.on_rcpt(cx, &rcpt),
            Command::Data => self.on_data(cx),
            Command::Bdat(bdat) => self.on_bdat(cx, bdat),
            Command::Rset => self.on_rset(cx),
            Command::Noop => self.say(cx, &Reply::new(250, "2.0.0", "ok")),
            Command::Quit => self.on_quit(cx),
            // RFC 5321 §3.5.3: neither confirmed nor denied.
            Command::Vrfy(_) => {
                self.say(cx, &Reply::new(252, "2.5.2", "cannot verify, but will take the message and try"));
            }
            Command::Help => self.on_help(cx),
            Command::Xforward(arguments) => self.on_xforward(cx, arguments),
            Command::Xclient(arguments) => self.on_xclient(cx, arguments),
            Command::Starttls => self.on_starttls(cx),
            Command::Auth(arguments) => self.on_auth(cx, arguments),
            Command::Expn(_) | Command::Etrn => {
                self.complain(cx, &Reply::new(502, "5.5.1", "command not implemented"));
            }
        }
        if leads_nowhere(verb) {
            self.note_idle_command(cx);
        }
    }

    /// RFC 2920 §3.1: DATA is the last of its group. What comes behind it before our 354 was sent
    /// without looking at our replies; a message in it could hide commands or be hidden in them.
    fn on_early_content(&mut self, cx: &mut Context<'_>) {
        self.say_and_close(cx, &Reply::new(554, "5.5.0", "nothing may follow DATA before 354"));
    }

    /// Where RFC 5321 sees this session.
    fn server_stage(&self) -> server::Stage {
        match &self.transaction {
            None if self.session.helo.is_none() => server::Stage::Start,
            None => server::Stage::Ready,
            Some(transaction) if transaction.content.is_some() => server::Stage::Bdat,
            Some(transaction) if transaction.recipients.is_empty() => server::Stage::Mail,
            Some(_) => server::Stage::Rcpt,
        }
    }

    /// RFC 3207 §4: where TLS is required, everything else has to wait.
    fn needs_tls(&self, cx: &Context<'_>, verb: Verb) -> bool {
        let comes_before = matches!(verb, Verb::Ehlo | Verb::Helo | Verb::Noop | Verb::Quit | Verb::Starttls);
        let is_required = cx.shared.config.listeners[self.session.listener].tls.is_required();
        is_required && self.session.secured.is_none() && !comes_before
    }

    fn on_starttls(&mut self, cx: &mut Context<'_>) {
        if self.session.secured.is_some() {
            return self.complain(cx, &Reply::new(503, "5.5.1", "TLS is active already"));
        }
        if !self.offers_starttls(cx) {
            return self.complain(cx, &Reply::new(502, "5.5.1", "command not implemented"));
        }
        self.say(cx, &Reply::new(220, "2.0.0", "ready to start TLS"));
        self.start_tls(cx, Vec::new());
    }

    fn offers_starttls(&self, cx: &Context<'_>) -> bool {
        let listener = &cx.shared.config.listeners[self.session.listener];
        listener.tls.offers_starttls() && self.session.secured.is_none()
    }

    fn may_start_tls(&self, cx: &Context<'_>) -> bool {
        self.offers_starttls(cx) && self.server_stage().admits(Verb::Starttls)
    }

    fn on_early_handshake(&mut self, cx: &mut Context<'_>) {
        self.say_and_close(cx, &Reply::new(554, "5.5.0", "nothing may follow STARTTLS before 220"));
    }

    /// A refused chunk is read all the same, and not as commands.
    fn refuse_command(&mut self, cx: &mut Context<'_>, command: Command<'_>, reply: Reply) {
        match command {
            Command::Bdat(bdat) => self.swallow_chunk(cx, bdat, reply),
            _ => self.complain(cx, &reply),
        }
    }

    fn on_refused_command(&mut self, cx: &mut Context<'_>, refused: Refused) {
        let reply = refused.error.reply();
        match refused.bdat {
            Some(bdat) => {
                // RFC 3030 §2: behind a refused chunk only RSET is sure; nothing of it may go on.
                self.abandon_transaction(cx, &reply.first_line());
                self.swallow_chunk(cx, bdat, reply);
            }
            // Content follows, and nobody knows how much: it must not be read as commands.
            None if refused.verb == Some(Verb::Bdat) => self.say_and_close(cx, &reply),
            None => self.complain(cx, &reply),
        }
    }

    /// An error reply; too many of them end the session.
    pub(super) fn complain(&mut self, cx: &mut Context<'_>, reply: &Reply) {
        self.session.errors += 1;
        self.say(cx, reply);
        self.note_error(cx, reply);
        self.end_if_erring(cx);
    }

    /// RFC 3030 §2: the octets of a chunk are consumed whatever becomes of it.
    pub(super) fn swallow_chunk(&mut self, cx: &mut Context<'_>, bdat: Bdat, reply: Reply) {
        // Nobody waits for the end of a chunk that could never be a message.
        if bdat.octets > cx.shared.config.workers.message.saturating_mul(4) {
            return self.say_and_close(cx, &reply);
        }
        if bdat.octets == 0 {
            return self.complain(cx, &reply);
        }
        self.swallow_reply = Some(reply);
        self.stage = Stage::Swallow { left: bdat.octets };
        self.await_content(cx);
    }

    pub(super) fn swallow(&mut self, cx: &mut Context<'_>, input: &[u8], left: u64) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let left = left - taken as u64;
        self.note_content_progress(cx, taken, left == 0);
        if !matches!(self.stage, Stage::Swallow { .. }) {
            return 0;
        }
        self.stage = if left > 0 { Stage::Swallow { left } } else { Stage::Command };
        if left == 0
            && let Some(reply) = self.swallow_reply.take()
        {
            self.complain(cx, &reply);
        }
        taken
    }

    fn on_helo(&mut self, cx: &mut Context<'_>, name: &[u8]) {
        self.abandon_transaction(cx, "");
        self.session.helo = Some(name.into());
        self.session.is_esmtp = false;
        let hostname = cx.shared.config.hostname.clone();
        self.say(cx, &Reply::new(250, "", &hostname));
    }

    fn on_ehlo(&mut self, cx: &mut Context<'_>, name: &[u8]) {
        self.abandon_transaction(cx, "");
        self.session.helo = Some(name.into());
        self.session.is_esmtp = true;
        let mut offer = cx.shared.offer.clone();
        offer.xforward = self.session.is_trusted;
        offer.xclient = self.session.is_trusted;
        offer.starttls = self.offers_starttls(cx);
        if self.session.secured.is_none() {
            offer.end_to_end.remove(Extensions::REQUIRETLS);
        }
        offer.mt_priority = cx.shared.config.listeners[self.session.listener].mt_priority.is_some();
        offer.auth = self.offered_mechanisms(cx);
        let begin = cx.actions.downstream.len();
        offer.ehlo_reply(&cx.shared.config.hostname, &mut cx.actions.downstream);
        self.downstream_unsent += cx.actions.downstream.len() - begin;
        self.await_client(cx.now.instant, self.session.patience.command);
    }

    fn on_rset(&mut self, cx: &mut Context<'_>) {
        self.abandon_transaction(cx, "");
        self.say(cx, &Reply::new(250, "2.0.0", "ok"));
    }

    fn on_quit(&mut self, cx: &mut Context<'_>) {
        self.abandon_transaction(cx, "");
        self.say(cx, &Reply::new(221, "2.0.0", "bye"));
        self.close(cx, false);
    }

    fn on_help(&mut self, cx: &mut Context<'_>) {
        let tls = if self.offers_starttls(cx) { " STARTTLS" } else { "" };
        let text = format!("commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP{tls}");
        self.say(cx, &Reply::new(214, "2.0.0", &text));
    }

    fn on_xforward(&mut self, cx: &mut Context<'_>, arguments: &[u8]) {
        if !self.may_tell_identity(cx) {
            return;
        }
        let mut identity = self.session.forwarded.take().unwrap_or_default();
        self.session.doings = Doings::default();
        let parsed = xforward::parse_xforward(arguments, &mut identity);
        self.session.forwarded = Some(identity);
        match parsed {
            Ok(()) => self.say(cx, &Reply::new(250, "2.0.0", "ok")),
            Err(reply) => self.complain(cx, &reply),
        }
    }

    /// XCLIENT changes who the client is and goes back to the greeting.
    fn on_xclient(&mut self, cx: &mut Context<'_>, arguments: &[u8]) {
        if !self.may_tell_identity(cx) {
            return;
        }
        let mut identity = Identity::default();
        if let Err(reply) = xforward::parse_xclient(arguments, &mut identity) {
            return self.complain(cx, &reply);
        }
        let ip = identity.addr.unwrap_or_else(|| self.session.client.ip());
        let port = identity.port.unwrap_or_else(|| self.session.client.port());
        self.session.set_client(&cx.shared.config, SocketAddr::new(ip, port));
        self.session.manners.forget();
        self.session.name = identity.name.map(Vec::into_boxed_slice);
        self.session.helo = None;
        self.session.forwarded = None;
        // Whoever logged in before was the client before.
        let user = identity.login.and_then(|login| String::from_utf8(login).ok());
        self.session.user = user.map(String::into_boxed_str);
        self.session.doings = Doings::default();
        self.give_seat_back(cx.shared);
        self.place(cx.now.instant, cx.shared, Phase::Helo);
        if self.welcome(cx) && self.admits_connection(cx) {
            self.greet(cx);
        }
    }

    fn may_tell_identity(&mut self, cx: &mut Context<'_>) -> bool {
        if self.session.is_trusted && self.transaction.is_none() {
            return true;
        }
        let reply = if self.session.is_trusted {
            Reply::new(503, "5.5.1", "a transaction is in progress")
        } else {
            Reply::new(550, "5.7.0", "insufficient authorization")
        };
        self.complain(cx, &reply);
        false
    }

    /// FIN or a broken connection. A half-closed client still hears the reply to what it sent whole.
    pub(super) fn on_client_ended(&mut self, cx: &mut Context<'_>, ending: Ending) {
        self.ended = true;
        // Nothing went up that could not be taken back: whoever comes again gets no second copy.
        let is_undecided = self.stage != Stage::Verdict || self.waits_for_verdict();
        if ending == Ending::Broken && is_undecided {
            self.abandon_transaction(cx, "");
            self.stage = Stage::Over;
            cx.actions.push(Action::Abort);
        }
    }

    /// After FIN: done as soon as nothing that was sent whole is unanswered.
    pub(super) fn close_after_end(&mut self, cx: &mut Context<'_>) {
        let pending = matches!(self.stage, Stage::Verdict | Stage::Proving)
            || self.owes_replies()
            || self.session.manners.is_held();
        if self.ended && !pending && self.stage != Stage::Over {
            self.close(cx, false);
        }
    }

    pub(super) fn on_client_late(&mut self, cx: &mut Context<'_>) {
        if !self.draining {
            self.note_slow(cx, self.awaited());
        }
        if matches!(self.stage, Stage::ProxyHeader | Stage::Handshake) {
            let in_proxy = self.stage == Stage::ProxyHeader;
            let why = if in_proxy { "no PROXY header in time" } else { "no TLS handshake in time" };
            self.refuse_connection(cx, why);
            self.stage = Stage::Over;
            return cx.actions.push(Action::Abort);
        }
        let reply = if self.draining {
            Reply::new(421, "4.3.2", "shutting down, come again soon")
        } else {
            Reply::new(421, "4.4.2", "timeout, closing")
        };
        self.say_and_close(cx, &reply);
    }

    /// What the client is to do next.
    const fn awaited(&self) -> Awaited {
        match self.stage {
            Stage::ProxyHeader => Awaited::Proxy,
            Stage::Handshake => Awaited::Handshake,
            Stage::Response => Awaited::Auth,
            Stage::Data | Stage::Chunk { .. } | Stage::Swallow { .. } => Awaited::Content,
            Stage::Greeting | Stage::Command | Stage::Proving | Stage::Verdict | Stage::Over => {
                Awaited::Command
            }
        }
    }

    pub(super) fn on_drain(&mut self, cx: &mut Context<'_>) {
        self.draining = true;
        if self.transaction.is_none()
            && matches!(self.stage, Stage::Greeting | Stage::Command | Stage::Response)
        {
            self.say_and_close(cx, &Reply::new(421, "4.3.2", "shutting down, come again soon"));
        }
    }

    /// The next command is awaited; a client that drains has little time for it.
    pub(super) fn await_command(&mut self, cx: &Context<'_>) {
        self.stage = Stage::Command;
        let limit = if self.draining { DRAIN_GRACE } else { self.session.patience.command };
        self.await_client(cx.now.instant, limit);
    }
}

/// Commands that some of are needed, and many of are for nothing (Postfix: smtpd_junk_command_limit).
const fn leads_nowhere(verb: Verb) -> bool {
    matches!(verb, Verb::Helo | Verb::Ehlo | Verb::Noop | Verb::Rset | Verb::Vrfy | Verb::Help)
}
