//! AUTH toward a client: the dialogue. RFC 4954; the mechanisms are in `smtp::sasl`, and whether a
//! password is right the service side says.
//!
//! What must always hold:
//! * AUTH is neither announced nor taken in clear;
//! * what a client sends while an exchange is under way is a response and never a command, and what it
//!   sends while its proof is looked at waits;
//! * no worker waits for that: the answer comes as an event, and whatever is no yes is a no;
//! * a name is the session's only after the service said that the password or the proof is right.

use std::net::SocketAddr;
use std::time::Duration;

use base64_simd::STANDARD;
use zeroize::Zeroizing;

use super::question::{Answer, Query, Question};
use super::{Context, Relay, Stage};
use crate::limits::AUTH_LINE_BYTES_MAX;
use crate::policy::condition::Phase;
use crate::policy::settings::Config;
use crate::policy::users::DownstreamAuth;
use crate::smtp::command::Verb;
use crate::smtp::line::{Line, next_line};
use crate::smtp::parameter::{Parameters, append};
use crate::smtp::reply::Reply;
use crate::smtp::sasl::{Exchange, Mechanism, Refusal, ScramKeys, Secret, Step};
use crate::traffic::conduct::Deed;

/// Wrong passwords after which a client is sent away.
const FAILURES_MAX: u32 = 3;
/// How long the service may take: hashing, its queue, and what it adds for a wrong one.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the service side is asked about a client that says who it is.
#[derive(Debug)]
pub struct Attempt {
    /// Whose users are meant.
    pub listener: usize,
    pub client: SocketAddr,
    /// Where it connected to.
    pub local: SocketAddr,
    pub claim: Claim,
}

#[derive(Debug)]
pub enum Claim {
    /// That this is the user's password.
    Password { user: String, password: Secret },
    /// None yet: what SCRAM goes on with is wanted.
    Keys { user: String },
    /// A proof was looked at here; the outcome is counted, and a wrong one told late.
    Proof { is_right: bool },
}

impl Attempt {
    /// Octets of it that the client chose.
    pub fn weight(&self) -> usize {
        match &self.claim {
            Claim::Password { user, password } => user.len() + password.as_bytes().len(),
            Claim::Keys { user } => user.len(),
            Claim::Proof { .. } => 0,
        }
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Right,
    /// The same, and whoever knows the user calls it so: that is the name from here on.
    RightAs {
        user: String,
    },
    Wrong,
    /// What the user's SCRAM exchange goes on with; the nonce is fresh.
    Keys {
        keys: Box<ScramKeys>,
        nonce: String,
    },
    /// Too many wrong ones from there: not even looked at.
    TooMany,
    /// It cannot be looked at now: too many are, or whoever knows the user is not there.
    Busy,
}

/// The mechanism, and the initial response if there is one.
type Begin = (Mechanism, Option<Zeroizing<Vec<u8>>>);

/// One AUTH command under way.
#[derive(Debug)]
pub(super) struct Dialogue {
    exchange: Exchange,
    /// Under which number the service was asked last.
    query: Option<Query>,
    /// Who the client is if the answer is `Right`; none where that would be no answer.
    claimed: Option<String>,
}

impl Relay {
    pub(super) fn on_auth(&mut self, cx: &mut Context<'_>, arguments: &[u8]) {
        match self.check_auth(cx, arguments) {
            Ok((mechanism, initial)) => {
                let (exchange, step) = Exchange::begin(mechanism, initial.as_ref().map(|it| it.as_slice()));
                self.session.exchange = Some(Box::new(Dialogue { exchange, query: None, claimed: None }));
                self.on_step(cx, step);
            }
            Err(reply) => self.complain(cx, &reply),
        }
    }

    fn check_auth(&self, cx: &Context<'_>, arguments: &[u8]) -> Result<Begin, Reply> {
        let Some(auth) = self.auth(cx) else {
            return Err(Reply::new(502, "5.5.1", "command not implemented"));
        };
        if self.session.secured.is_none() {
            return Err(Reply::new(538, "5.7.11", "encryption is needed: say STARTTLS first"));
        }
        if self.session.user.is_some() {
            return Err(Reply::new(503, "5.5.1", "authenticated already"));
        }
        if !self.session.is_esmtp {
            return Err(Reply::new(503, "5.5.1", "say EHLO first"));
        }
        let mut words = arguments.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let mechanism = words.next().and_then(Mechanism::named);
        let mechanism = mechanism.filter(|mechanism| auth.mechanisms.contains(mechanism));
        let mechanism = mechanism.ok_or_else(|| Reply::new(504, "5.5.4", "mechanism not supported"))?;
        let initial = match (words.next(), words.next()) {
            (None, _) => None,
            // RFC 4954 §4: a response of no octets, as against none.
            (Some(b"="), None) => Some(Zeroizing::default()),
            (Some(text), None) => Some(decode(text).ok_or_else(not_base64)?),
            _ => return Err(Reply::new(501, "5.5.4", "too many arguments")),
        };
        Ok((mechanism, initial))
    }

    /// Who may speak as whom where this client connected.
    fn auth<'a>(&self, cx: &'a Context<'_>) -> Option<&'a DownstreamAuth> {
        cx.shared.config.listeners[self.session.listener].auth.as_ref()
    }

    /// What EHLO announces; none in clear, and none to who has said it already (RFC 4954 §4).
    pub(super) fn offered_mechanisms(&self, cx: &Context<'_>) -> Vec<Mechanism> {
        let may = self.session.secured.is_some() && self.session.user.is_none();
        self.auth(cx).filter(|_| may).map(|auth| auth.mechanisms.clone()).unwrap_or_default()
    }

    /// RFC 4954 §5: whether MAIL may have AUTH=.
    pub(super) fn knows_auth(&self, cx: &Context<'_>) -> bool {
        self.session.secured.is_some() && self.auth(cx).is_some()
    }

    /// What is kept of the parameters of MAIL: AUTH= only of users whose word counts here.
    pub(super) fn kept_parameters(&self, cx: &Context<'_>, parameters: Parameters<'_>) -> Box<[u8]> {
        let is_trusted = self.session.user.is_some() && self.auth(cx).is_some_and(|auth| auth.trusted);
        if is_trusted { parameters.as_bytes().into() } else { without_auth(parameters) }
    }

    /// Whether the user may send from this address; nobody in particular may not.
    pub(super) fn owns(&self, config: &Config, address: &[u8]) -> bool {
        let auth = config.listeners[self.session.listener].auth.as_ref();
        let (Some(user), Ok(address)) = (self.session.user.as_deref(), str::from_utf8(address)) else {
            return false;
        };
        auth.is_some_and(|auth| auth.owners.allow(user, address))
    }

    /// RFC 4954 §6: where users are to say who they are, mail of others is refused.
    pub(super) fn needs_auth(&self, cx: &Context<'_>, verb: Verb) -> bool {
        let is_required = self.auth(cx).is_some_and(|auth| auth.required);
        is_required && self.session.user.is_none() && verb == Verb::Mail
    }

    /// Takes one line that answers a challenge.
    pub(super) fn take_response(&mut self, cx: &mut Context<'_>, input: &[u8]) -> usize {
        match next_line(input, AUTH_LINE_BYTES_MAX) {
            Line::Partial => 0,
            Line::TooLong => {
                self.say_and_close(cx, &Reply::new(500, "5.5.6", "authentication line too long"));
                0
            }
            Line::Whole { line, consumed } => {
                self.on_response(cx, line);
                consumed
            }
        }
    }

    fn on_response(&mut self, cx: &mut Context<'_>, line: &[u8]) {
        let Some(dialogue) = &mut self.session.exchange else { return };
        if line == b"*" {
            return self.on_step(cx, Step::Refused(Refusal::Cancelled));
        }
        match decode(line) {
            Some(response) => {
                let step = dialogue.exchange.respond(&response);
                self.on_step(cx, step);
            }
            None => self.end_exchange(cx, &not_base64()),
        }
    }

    fn on_step(&mut self, cx: &mut Context<'_>, step: Step) {
        match step {
            Step::Challenge(text) => self.challenge(cx, &text),
            Step::Verify { user, password } => {
                self.claim(cx, Some(user.clone()), Claim::Password { user, password });
            }
            Step::Keys { user } => self.claim(cx, None, Claim::Keys { user }),
            Step::Accepted { user } => self.claim(cx, Some(user), Claim::Proof { is_right: true }),
            Step::Refused(Refusal::WrongProof) => self.claim(cx, None, Claim::Proof { is_right: false }),
            Step::Refused(Refusal::OtherIdentity) => self.on_wrong(cx),
            Step::Refused(Refusal::Malformed) => {
                self.end_exchange(cx, &Reply::new(501, "5.5.2", "not what the mechanism asks for"));
            }
            Step::Refused(Refusal::Cancelled) => {
                self.end_exchange(cx, &Reply::new(501, "5.7.0", "authentication cancelled"));
            }
        }
    }

    fn challenge(&mut self, cx: &mut Context<'_>, text: &[u8]) {
        let line = format!("334 {}\r\n", STANDARD.encode_to_string(text));
        self.stage = Stage::Response;
        self.say_wire(cx, line.as_bytes());
    }

    /// Asks the service; what the client sends meanwhile waits.
    fn claim(&mut self, cx: &mut Context<'_>, claimed: Option<String>, claim: Claim) {
        let Some(dialogue) = &mut self.session.exchange else { return };
        dialogue.claimed = claimed;
        self.stage = Stage::Proving;
        let (listener, client, local) = (self.session.listener, self.session.client, self.session.local);
        let question = Question::Auth(Box::new(Attempt { listener, client, local, claim }));
        dialogue.query = Some(cx.actions.ask(&mut self.queries, question, PATIENCE));
    }

    /// Whether what is answered under this number concerns an exchange.
    pub(super) fn awaits_proof(&self, query: Query) -> bool {
        let asked = self.session.exchange.as_ref().and_then(|dialogue| dialogue.query);
        self.stage == Stage::Proving && asked == Some(query)
    }

    pub(super) fn on_attempted(&mut self, cx: &mut Context<'_>, answer: Answer) {
        let Some(dialogue) = &mut self.session.exchange else { return };
        match (answer, dialogue.claimed.take()) {
            (Answer::Auth(Outcome::Right), Some(user)) => self.on_right(cx, user),
            (Answer::Auth(Outcome::RightAs { user }), Some(_)) => self.on_right(cx, user),
            (Answer::Auth(Outcome::Wrong), _) => self.on_wrong(cx),
            (Answer::Auth(Outcome::Keys { keys, nonce }), None) => {
                let step = dialogue.exchange.take_keys(*keys, &nonce);
                self.on_step(cx, step);
            }
            (Answer::Auth(Outcome::TooMany), _) => {
                self.note_deed(cx, Deed::Guessed);
                let text = "too many wrong passwords from your network, come again later";
                self.end_exchange(cx, &Reply::new(454, "4.7.0", text));
            }
            _ => self.end_exchange(cx, &Reply::new(454, "4.7.0", "cannot be looked at now, come again")),
        }
    }

    fn on_right(&mut self, cx: &mut Context<'_>, user: String) {
        self.note_deed(cx, Deed::Proved);
        self.session.user = Some(user.into());
        // A user is no stranger.
        self.give_seat_back(cx.shared);
        self.place(cx.now.instant, cx.shared, Phase::Mail);
        self.end_exchange(cx, &Reply::new(235, "2.7.0", "authenticated"));
    }

    fn on_wrong(&mut self, cx: &mut Context<'_>) {
        self.session.failures += 1;
        self.note_deed(cx, Deed::Guessed);
        self.end_exchange(cx, &Reply::new(535, "5.7.8", "authentication credentials invalid"));
        if self.session.failures >= FAILURES_MAX {
            self.say_and_close(cx, &Reply::new(421, "4.7.0", "too many wrong passwords"));
        }
    }

    /// From here on lines are commands again.
    fn end_exchange(&mut self, cx: &mut Context<'_>, reply: &Reply) {
        self.session.exchange = None;
        self.stage = Stage::Command;
        if reply.is_positive() {
            self.say(cx, reply);
        } else {
            self.complain(cx, reply);
        }
        if self.stage == Stage::Command {
            self.await_command(cx);
        }
    }
}

/// The parameters of MAIL but for AUTH=. RFC 4954 §5: who is not trusted to say for whom else it speaks has
/// said `AUTH=<>`, and that is what a next hop hears that we log in to; others hear nothing.
fn without_auth(parameters: Parameters<'_>) -> Box<[u8]> {
    if parameters.find(b"AUTH").is_none() {
        return parameters.as_bytes().into();
    }
    let others = parameters.iter().filter(|parameter| !parameter.keyword.eq_ignore_ascii_case(b"AUTH"));
    let mut out = Vec::new();
    others.for_each(|parameter| append(parameter.keyword, parameter.value, &mut out));
    out.into()
}

fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode_to_vec(text).ok().map(Zeroizing::new)
}

fn not_base64() -> Reply {
    Reply::new(501, "5.5.2", "this is not base64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parameters: &str, want: &str) {
        let left = without_auth(Parameters::parse(parameters.as_bytes()).unwrap());
        assert_eq!(String::from_utf8_lossy(&left), want);
    }

    #[test]
    fn nothing_of_auth_is_left_of_parameters() {
        check("", "");
        check("AUTH=<>", "");
        check("SIZE=5 auth=e+3Dmc2@example.com  SMTPUTF8", "SIZE=5 SMTPUTF8");
        check("SIZE=5  BODY=7BIT", "SIZE=5  BODY=7BIT");
    }

    #[test]
    fn no_password_is_shown() {
        let claim = Claim::Password { user: "ann".to_owned(), password: Secret::new(b"pencil") };
        let (client, local) = (([192, 0, 2, 1], 50_000).into(), ([192, 0, 2, 2], 587).into());
        let attempt = Attempt { listener: 0, client, local, claim };
        let shown = format!("{:?}", Question::Auth(Box::new(attempt)));
        assert!(shown.contains("ann") && !shown.contains("pencil"), "{shown}");
    }
}
