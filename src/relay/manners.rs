//! Manners of a client: who waits for the greeting, who sends what nobody does that means well, and whose
//! replies are held back for it.
//!
//! RFC 5321 §4.3.1: the server speaks first; who cannot wait for that is in a hurry for a reason. Whether a
//! client is known is asked meanwhile, and one that is known waits no longer than that takes. RFC 2920 §3.1:
//! some commands are the last of their group. RFC 5321 §4.5.3.2: a client waits minutes for a reply.
//!
//! What must always hold: nobody waits but by the relay's own deadline; how many are held back at a time is
//! bounded for each worker; what nobody could say makes nobody wait.

use std::time::Duration;

use super::action::Action;
use super::question::{Answer, Query, Question, Recall};
use super::recall::PATIENCE;
use super::{Context, Relay, Stage};
use crate::base::time::Instant;
use crate::limits::TARPITS_MAX;
use crate::policy::first_contact::{
    Early, Failed, Greeting, Test, client_key, greets_as_us, is_of_another_protocol,
};
use crate::smtp::command::{Command, Refused};
use crate::smtp::reply::Reply;

/// What lasts from connect to close.
#[derive(Debug, Default)]
pub(super) struct Manners {
    failed: Failed,
    wait: Wait,
}

/// Whether the client waits for us by our own will.
#[derive(Clone, Copy, Debug, Default)]
enum Wait {
    #[default]
    No,
    /// For the greeting. Whether it is known is asked under the number, if it is.
    Greeting { until: Instant, asked: Option<Query> },
    /// For the reply to its next command, which is not looked at before.
    Held { until: Instant },
    /// It has waited: its next command is taken.
    Over,
}

impl Manners {
    pub(super) const fn failed(&self) -> Failed {
        self.failed
    }

    /// Somebody else is the client now, or may have been.
    pub(super) const fn forget(&mut self) {
        self.failed = Failed::none();
    }

    /// When the wait is over.
    pub(super) const fn until(&self) -> Option<Instant> {
        match self.wait {
            Wait::Greeting { until, .. } | Wait::Held { until } => Some(until),
            Wait::No | Wait::Over => None,
        }
    }

    pub(super) const fn is_held(&self) -> bool {
        matches!(self.wait, Wait::Held { .. })
    }

    /// The number under which it is asked whether the client is known.
    const fn asked(&self) -> Option<Query> {
        match self.wait {
            Wait::Greeting { asked, .. } => asked,
            Wait::No | Wait::Held { .. } | Wait::Over => None,
        }
    }
}

impl Relay {
    /// Greets: at once, or, if the client is to wait and not known, when it has waited.
    pub(super) fn greet_in_time(&mut self, cx: &mut Context<'_>) {
        let slowness = self.slowness(cx.shared);
        let Some(greeting) = self.greeting(cx) else { return self.greet_slowly(cx, slowness) };
        self.stage = Stage::Greeting;
        let until = cx.now.instant + greeting.delay.max(slowness.unwrap_or_default());
        let recall = Recall { now: cx.now.wall.as_secs(), keys: vec![client_key(self.session.client_ip())] };
        let asked = Some(cx.actions.ask(&mut self.queries, Question::Recall(recall), PATIENCE));
        self.session.manners.wait = Wait::Greeting { until, asked };
    }

    /// Others come first: whoever that concerns waits, known or not.
    fn greet_slowly(&mut self, cx: &mut Context<'_>, slowness: Option<Duration>) {
        let Some(delay) = slowness else { return self.greet(cx) };
        self.stage = Stage::Greeting;
        self.session.manners.wait = Wait::Greeting { until: cx.now.instant + delay, asked: None };
    }

    fn greeting(&self, cx: &Context<'_>) -> Option<Greeting> {
        // Who may say who the client is, is none itself.
        let settings = self.of_strangers(&cx.shared.config).filter(|_| !self.session.is_trusted)?;
        settings.greeting
    }

    fn greet_now(&mut self, cx: &mut Context<'_>) {
        cx.actions.list.extend(self.session.manners.asked().map(Action::CancelAsk));
        self.session.manners.wait = Wait::No;
        self.await_command(cx);
        self.greet(cx);
    }

    /// Whether it is asked under this number if the client is known.
    pub(super) fn awaits_acquaintance(&self, query: Query) -> bool {
        self.stage == Stage::Greeting && self.session.manners.asked() == Some(query)
    }

    pub(super) fn on_acquaintance(&mut self, cx: &mut Context<'_>, answer: &Answer) {
        let Wait::Greeting { asked, .. } = &mut self.session.manners.wait else { return };
        *asked = None;
        let key = client_key(self.session.client_ip());
        match answer {
            Answer::Recalled(recalled) if recalled.entry(key).is_none() => {}
            _ => self.greet_now(cx),
        }
    }

    /// Input before the greeting.
    pub(super) fn take_early(&mut self, cx: &mut Context<'_>) -> usize {
        // Who is known may be in a hurry.
        if self.session.manners.asked().is_some() {
            return 0;
        }
        match self.greeting(cx).map(|greeting| greeting.early) {
            Some(Early::Reject) => {
                self.refuse_connection(cx, "it spoke before it was greeted");
                self.say(cx, &Reply::new(554, "5.5.1", "you spoke before you were greeted"));
                self.close(cx, true);
            }
            _ => self.fail(cx, Test::EarlyTalker),
        }
        0
    }

    /// The wait is over.
    pub(super) fn on_waited(&mut self, cx: &mut Context<'_>) {
        if self.stage == Stage::Greeting {
            return self.greet_now(cx);
        }
        self.let_go(cx.shared);
        self.session.manners.wait = Wait::Over;
    }

    /// Nobody is held back here any more.
    pub(super) fn let_go(&mut self, shared: &mut super::Shared) {
        if self.session.manners.is_held() {
            self.session.manners.wait = Wait::No;
            shared.tarpits = shared.tarpits.saturating_sub(1);
        }
    }

    /// Whether the next command has to wait, as that of a client with bad manners.
    pub(super) fn holds_back(&mut self, cx: &mut Context<'_>) -> bool {
        match self.session.manners.wait {
            Wait::Held { .. } | Wait::Greeting { .. } => return true,
            Wait::Over => {
                self.session.manners.wait = Wait::No;
                return false;
            }
            Wait::No => {}
        }
        let is_clean = self.session.manners.failed.is_empty() && self.session.errors == 0;
        if is_clean || cx.shared.tarpits >= TARPITS_MAX {
            return false;
        }
        let Some(tarpit) = self.of_strangers(&cx.shared.config).and_then(|settings| settings.tarpit) else {
            return false;
        };
        if self.session.manners.failed.is_empty() && self.session.errors < tarpit.errors {
            return false;
        }
        cx.shared.tarpits += 1;
        self.session.manners.wait = Wait::Held { until: cx.now.instant + tarpit.delay };
        true
    }

    fn fail(&mut self, cx: &Context<'_>, test: Test) {
        if self.of_strangers(&cx.shared.config).is_some() {
            self.session.manners.failed.insert(test);
        }
    }

    /// Looks at how a command came: `line` with its end, and whether more came with it.
    pub(super) fn test_command(
        &mut self,
        cx: &Context<'_>,
        line: &[u8],
        parsed: &Result<Command<'_>, Refused>,
        is_last: bool,
    ) {
        if cx.shared.config.first_contact.is_none() {
            return;
        }
        let content = line.strip_suffix(b"\r\n");
        if content.is_none_or(|content| content.contains(&b'\r')) {
            self.fail(cx, Test::BareNewline);
        }
        if parsed.is_err() && is_of_another_protocol(content.unwrap_or(line).trim_ascii_end()) {
            self.fail(cx, Test::NotSmtp);
        }
        if let Ok(command) = parsed {
            if !is_last && self.ends_group(command) {
                self.fail(cx, Test::Pipelining);
            }
            if let Command::Helo(name) | Command::Ehlo(name) = command
                && greets_as_us(name, &cx.shared.config.hostname, self.session.local.ip())
            {
                self.fail(cx, Test::GreetedAsUs);
            }
        }
    }

    /// Whether nothing may come before the reply to it. Without EHLO nobody has offered more.
    const fn ends_group(&self, command: &Command<'_>) -> bool {
        match command {
            Command::Ehlo(_) | Command::Helo(_) | Command::Vrfy(_) | Command::Expn(_) | Command::Noop => true,
            Command::Mail(_) | Command::Rcpt(_) | Command::Rset => !self.session.is_esmtp,
            _ => false,
        }
    }
}
