//! Limits in a session: asked when somebody connects, says MAIL or RCPT, and told what was used and refused.
//!
//! When which limit is asked is a table ([`step`](crate::policy::limit::step)). RFC 5321 §4.2.1: what is beyond a
//! limit now may come again: the client hears 450, or 421 where a connection is refused, and never 5yz.
//!
//! What must always hold: nothing waits for an answer; what is held is given back once, whatever ends the
//! connection or transaction; a message that is refused by one limit counts for no other; content that was begun
//! is never refused.

use std::sync::Arc;

use super::disposition::Disposition;
use super::transaction::Transaction;
use super::{Context, Relay, Shared};
use crate::base::time::Instant;
use crate::policy::condition::Phase;
use crate::policy::facts::Facts;
use crate::policy::limit::{Limits, Moment, Settings, Step, Subject};
use crate::smtp::reply::{Class, Reply};
use crate::traffic::limit::{Count, Index};
use crate::traffic::limiter::Decision;
use crate::traffic::table::Key;

/// What was taken from a limit, and how it is settled at the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    limit: Index,
    key: Key,
    step: Step,
    tokens: i64,
}

/// Who is stopped, by what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped {
    pub(super) limit: Index,
    count: Count,
}

impl Stopped {
    /// Whether all that comes from there is turned away.
    const fn ends_session(self) -> bool {
        matches!(self.count, Count::Connections | Count::Refusals)
    }

    fn reply(self, id: &str) -> Reply {
        let text = match self.count {
            Count::Connections => "too many connections, come again later",
            Count::Messages => "too many messages, come again later",
            Count::Recipients => "too many recipients, come again later",
            Count::Bytes => "too many octets, come again later",
            Count::Refusals => "too much was refused, come again later",
        };
        let reply = match self.ends_session() {
            true => Reply::new(421, "4.7.0", text),
            false => Reply::new(450, "4.7.1", text),
        };
        reply.with_id(id)
    }
}

impl Relay {
    /// Whether a connection may begin; if not, the client hears so, where it can be said in clear.
    pub(super) fn admits_connection(&mut self, cx: &mut Context<'_>) -> bool {
        self.give_back_connection(cx.now.instant, cx.shared);
        if cx.shared.config.policy.limits.is_empty() || self.session.is_unsaid() {
            return true;
        }
        match self.ask_limits(cx, Moment::Open, &[], &[], 0) {
            Ok(held) => {
                self.session.held = held;
                true
            }
            Err(stopped) => {
                self.turn_away_connection(cx, stopped);
                false
            }
        }
    }

    fn turn_away_connection(&mut self, cx: &mut Context<'_>, stopped: Stopped) {
        let id = ulid::Ulid::from_parts(cx.now.wall.as_millis(), cx.shared.random.u128(..));
        let reply = stopped.reply(&id.to_string());
        self.record_turned_away(cx, id, &reply, stopped.limit);
        if !self.is_mute(cx) {
            self.say(cx, &reply);
        }
        self.close(cx, true);
    }

    /// Whether this transaction may begin; if not, the client hears so and it is over.
    pub(super) fn admits_mail(&mut self, cx: &mut Context<'_>) -> bool {
        if cx.shared.config.policy.limits.at(Moment::Mail).is_empty() {
            return true;
        }
        let Some(transaction) = self.transaction.as_deref() else { return true };
        let size = transaction.declared.size.unwrap_or(0);
        let result = self.ask_limits(cx, Moment::Mail, &transaction.path, &[], size);
        let Some(transaction) = self.transaction.as_deref_mut() else { return true };
        match result {
            Ok(taken) => {
                transaction.taken = taken;
                true
            }
            Err(stopped) => {
                transaction.limited = Some(stopped.limit);
                let reply = stopped.reply(&transaction.id.to_string());
                self.stop_mail(cx, stopped, &reply);
                false
            }
        }
    }

    fn stop_mail(&mut self, cx: &mut Context<'_>, stopped: Stopped, reply: &Reply) {
        self.settle(reply.clone(), Disposition::Deferred);
        self.abandon_transaction(cx, &reply.first_line());
        match stopped.ends_session() {
            true => self.say_and_close(cx, reply),
            false => self.complain(cx, reply),
        }
    }

    /// Whether one more recipient may be asked of a next hop.
    ///
    /// # Errors
    /// What the client hears otherwise.
    pub(super) fn admit_recipient(&mut self, cx: &mut Context<'_>, domain: &[u8]) -> Result<(), Reply> {
        if cx.shared.config.policy.limits.at(Moment::Recipient).is_empty() {
            return Ok(());
        }
        let Some(transaction) = self.transaction.as_deref() else { return Ok(()) };
        let Err(stopped) = self.ask_limits(cx, Moment::Recipient, &transaction.path, domain, 0) else {
            return Ok(());
        };
        let Some(transaction) = self.transaction.as_deref_mut() else { return Ok(()) };
        transaction.limited = Some(stopped.limit);
        Err(stopped.reply(&transaction.id.to_string()))
    }

    /// Asks all limits of `moment`: takes from all of them, or from none.
    fn ask_limits(
        &self,
        cx: &mut Context<'_>,
        moment: Moment,
        sender: &[u8],
        recipient: &[u8],
        size: u64,
    ) -> Result<Vec<Taken>, Stopped> {
        let Context { now, shared, .. } = cx;
        let config = Arc::clone(&shared.config);
        let limits = &config.policy.limits;
        let subject = self.subject(sender, recipient);
        let mut question = Asking { relay: self, shared, subject, moment, facts: None };
        let mut taken = Vec::new();
        for (index, step) in limits.at(moment) {
            let Some((settings, key)) = question.concerns(limits, *index) else { continue };
            let tokens = if *step == Step::Book { i64::try_from(size).unwrap_or(i64::MAX) } else { 1 };
            let limiter = &mut question.shared.limiter;
            let decision = match step {
                Step::Take | Step::Hold => limiter.take(now.instant, *index, key),
                Step::Book | Step::Look => limiter.admits(now.instant, *index, key),
            };
            if let Decision::Refuse { until, is_news } = decision {
                if is_news {
                    limiter.report(*index, key, subject.shown(settings.limit.by), until);
                }
                taken.iter().for_each(|it| undo(now.instant, question.shared, it));
                return Err(Stopped { limit: *index, count: settings.limit.count });
            }
            if *step == Step::Book && tokens > 0 {
                limiter.book(now.instant, *index, key, tokens);
            }
            if *step != Step::Look {
                taken.push(Taken { limit: *index, key, step: *step, tokens });
            }
        }
        Ok(taken)
    }

    fn subject<'a>(&'a self, sender: &'a [u8], recipient: &'a [u8]) -> Subject<'a> {
        Subject { client: self.session.client_ip(), user: self.session.user.as_deref(), sender, recipient }
    }

    /// The client hears a refusal: it is counted, whoever it comes from.
    pub(super) fn note_refusal(&self, cx: &mut Context<'_>, reply: &Reply) {
        let refuses = matches!(reply.class(), Class::Transient | Class::Permanent);
        // 421 says that we go, not that something was refused.
        if !refuses || reply.code().to_u16() == 421 || !cx.shared.config.policy.limits.counts_refusals() {
            return;
        }
        let config = Arc::clone(&cx.shared.config);
        let limits = &config.policy.limits;
        let sender = self.transaction.as_deref().map(|transaction| &*transaction.path).unwrap_or_default();
        let subject = self.subject(sender, &[]);
        let now = cx.now.instant;
        let mut question =
            Asking { relay: self, shared: cx.shared, subject, moment: Moment::Mail, facts: None };
        for (index, _) in limits.at(Moment::Mail).iter().filter(|(_, step)| *step == Step::Look) {
            if let Some((_, key)) = question.concerns(limits, *index) {
                question.shared.limiter.book(now, *index, key, 1);
            }
        }
    }

    /// The connection is over, or somebody else's now.
    pub(super) fn give_back_connection(&mut self, now: Instant, shared: &mut Shared) {
        for taken in std::mem::take(&mut self.session.held) {
            settle(now, shared, &taken, 0);
        }
    }
}

/// The transaction is over: what it held comes back, and what it had of octets is booked.
pub(super) fn settle_transaction(now: Instant, shared: &mut Shared, transaction: &mut Transaction) {
    let octets = transaction.content.as_deref().map_or(0, |content| content.octets);
    for taken in std::mem::take(&mut transaction.taken) {
        settle(now, shared, &taken, octets);
    }
}

fn settle(now: Instant, shared: &mut Shared, taken: &Taken, octets: u64) {
    match taken.step {
        Step::Hold => shared.limiter.give(now, taken.limit, taken.key),
        Step::Book => {
            let rest = i64::try_from(octets).unwrap_or(i64::MAX) - taken.tokens;
            shared.limiter.book(now, taken.limit, taken.key, rest);
        }
        Step::Take | Step::Look => {}
    }
}

/// Another limit said no: it is as if this one had not been asked.
fn undo(now: Instant, shared: &mut Shared, taken: &Taken) {
    shared.limiter.book(now, taken.limit, taken.key, -taken.tokens);
}

/// What limits are asked about; facts are put together only if a condition wants them.
struct Asking<'a> {
    relay: &'a Relay,
    shared: &'a mut Shared,
    subject: Subject<'a>,
    moment: Moment,
    facts: Option<Facts>,
}

impl Asking<'_> {
    /// Whether a limit holds for whom it is about, and under which key.
    fn concerns<'l>(&mut self, limits: &'l Limits, index: Index) -> Option<(&'l Settings, Key)> {
        let settings = limits.find(index).filter(|settings| !settings.spares(self.subject.client))?;
        let key = self.subject.key(settings.limit.by, limits.seed)?;
        self.holds(settings).then_some((settings, key))
    }

    fn holds(&mut self, settings: &Settings) -> bool {
        let Some(when) = &settings.when else { return true };
        let (relay, config) = (self.relay, &self.shared.config);
        let facts = self.facts.get_or_insert_with(|| {
            let mut facts = Facts::default();
            relay.session.tell_client(config, &mut facts.client);
            relay.tell_path(config, self.subject.sender, &mut facts.sender);
            facts
        });
        let phase = if self.moment == Moment::Open { Phase::Connect } else { Phase::Mail };
        config.policy.holds(when, facts, phase)
    }
}
