//! How a transaction ends: the reply that was earned, and the record.

use super::action::{Action, DiscardReason, Heard};
use super::disposition::Disposition;
use super::limits;
use super::record::{
    ClientFacts, Evidence, Millis, NextHop, RecipientFacts, Record, SenderFacts, Symbols, text,
};
use super::transaction::{Recipient, RecipientState, Settled, Transaction};
use super::{Context, Relay, Stage};
use crate::base::time::Instant;
use crate::policy::inspect::Evidence as Found;
use crate::policy::judge::{Judgement, Policy};
use crate::smtp::reply::Reply;
use crate::tls::secured::Secured;
use crate::traffic::limit::Index;

/// Characters of a peer's text that a record keeps.
const TEXT_CHARS_MAX: usize = 512;

impl Relay {
    /// The next hop took responsibility: so may we say (RFC 5321 §6.1).
    pub(super) fn conclude_delivered(&mut self, cx: &mut Context<'_>, reply: Reply) {
        self.meter.note_passed();
        if self.transaction.as_ref().is_some_and(|transaction| transaction.spoilt) {
            self.drop_next_hop(cx, DiscardReason::Protocol);
        }
        // After 2xx for content nothing is left of the transaction on that connection.
        self.check_in(cx, false);
        if let Some(transaction) = self.transaction.as_deref_mut() {
            transaction.hop_reply = Some(reply.clone());
        }
        self.conclude(cx, reply, Disposition::Delivered);
    }

    /// Ends with what was settled before.
    pub(super) fn conclude_settled(&mut self, cx: &mut Context<'_>) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let Some(Settled { reply, disposition }) = transaction.settled.take() else { return };
        let ours = matches!(disposition, Disposition::Refused | Disposition::Deferred | Disposition::Unknown);
        let reply = if ours { reply.with_id(&transaction.id.to_string()) } else { reply };
        self.conclude(cx, reply, disposition);
    }

    pub(super) fn conclude_if_settled(&mut self, cx: &mut Context<'_>) {
        if self.is_settled() {
            self.conclude_settled(cx);
        }
    }

    /// How the transaction ends is known.
    pub(super) fn is_settled(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.settled.is_some())
    }

    pub(super) fn conclude(&mut self, cx: &mut Context<'_>, reply: Reply, disposition: Disposition) {
        self.say(cx, &reply);
        self.await_command(cx);
        self.end_transaction(cx, &reply.first_line(), disposition);
    }

    /// RSET, a new EHLO, QUIT, or the client's end in the middle of a transaction.
    pub(super) fn abandon_transaction(&mut self, cx: &mut Context<'_>, reply: &str) {
        self.session.forwarded = None;
        let Some(transaction) = self.transaction.as_deref() else { return };
        let waits = |recipient: &Recipient| recipient.is_pending() || recipient.is_accepted();
        let refused = !transaction.recipients.is_empty() && !transaction.recipients.iter().any(waits);
        let disposition = match &transaction.settled {
            Some(settled) => settled.disposition,
            None if refused => refused_by(transaction),
            None => Disposition::Aborted,
        };
        self.end_transaction(cx, reply, disposition);
    }

    fn end_transaction(&mut self, cx: &mut Context<'_>, reply: &str, disposition: Disposition) {
        self.note_end(cx, disposition);
        self.release_next_hop(cx);
        self.hop_deadline = None;
        self.swallow_reply = None;
        self.session.forwarded = None;
        let Some(mut transaction) = self.transaction.take() else { return };
        if let (Some(upstream), Some(right)) = (transaction.upstream, transaction.was_foreseen()) {
            cx.shared.foresight[upstream.0].learn(right);
        }
        let record = self.record(cx, &transaction, reply, disposition);
        cx.actions.push(Action::Record(Box::new(record)));
        limits::settle_transaction(cx.now.instant, cx.shared, &mut transaction);
        self.learn(cx, &transaction, disposition);
        Self::break_off_copy(cx, &mut transaction);
        Self::break_off_inquiries(cx, &mut transaction);
        Self::break_off_seal(cx, &transaction);
        cx.shared.give_window_back(std::mem::take(&mut self.window_taken));
        give_back(cx, &mut transaction);
    }

    fn record(
        &self,
        cx: &Context<'_>,
        transaction: &Transaction,
        reply: &str,
        disposition: Disposition,
    ) -> Record {
        let content = transaction.content.as_deref();
        let judgement = transaction.judgement.as_deref();
        let policy = &cx.shared.config.policy;
        let since = |at: Option<Instant>| {
            at.map_or(0.0, |at| at.since(transaction.began.instant).as_secs_f64() * 1e3)
        };
        let waited = transaction.ended_at.map_or(0.0, |at| cx.now.instant.since(at).as_secs_f64() * 1e3);
        Record {
            id: transaction.id.to_string(),
            sender: SenderFacts { address: text(&transaction.path, TEXT_CHARS_MAX) },
            recipients: recipients(transaction),
            size: content.map_or(0, |content| content.octets),
            verdict: judgement.map_or_else(|| verdict(disposition), |judgement| judgement.verdict.name()),
            rule: judgement.and_then(|judgement| policy.cause_name(judgement.cause)).map(str::to_owned),
            score: judgement.map_or(0.0, |judgement| judgement.score),
            symbols: judgement.map(symbols).unwrap_or_default(),
            evidence: transaction.evidence().iter().map(evidence).collect(),
            shadow: judgement.map(|judgement| shadows(judgement, policy)).unwrap_or_default(),
            disposition,
            limit: limit_name(cx, transaction.limited),
            reply: text(reply.as_bytes(), TEXT_CHARS_MAX),
            next_hop: next_hop(cx, transaction),
            seal: transaction.sealing.word(),
            window: content.is_some_and(|content| content.judged_in_window),
            ms: Millis {
                total: since(Some(cx.now.instant)),
                first_byte: since(content.and_then(|content| content.first_byte)),
                upstream: waited,
                ask: 0.0,
            },
            ..self.blank_record(cx)
        }
    }

    /// A limit that is reached already, before it said MAIL.
    pub(super) fn record_turned_away(
        &self,
        cx: &mut Context<'_>,
        id: ulid::Ulid,
        reply: &Reply,
        limit: Index,
    ) {
        let record = Record {
            id: id.to_string(),
            reply: reply.first_line(),
            verdict: "defer",
            disposition: Disposition::Deferred,
            limit: limit_name(cx, Some(limit)),
            ..self.blank_record(cx)
        };
        cx.actions.push(Action::Record(Box::new(record)));
    }

    /// A connection that is turned away before it said MAIL has a record too.
    pub(super) fn refuse_connection(&self, cx: &mut Context<'_>, why: &'static str) {
        let id = ulid::Ulid::from_parts(cx.now.wall.as_millis(), cx.shared.random.u128(..));
        let record = Record { id: id.to_string(), reply: why.to_owned(), ..self.blank_record(cx) };
        cx.actions.push(Action::Record(Box::new(record)));
    }

    fn blank_record(&self, cx: &Context<'_>) -> Record {
        let config = &cx.shared.config;
        Record {
            time: cx.now.wall,
            id: String::new(),
            worker: cx.shared.worker,
            listener: config.listeners[self.session.listener].name.clone(),
            client: ClientFacts {
                ip: self.session.client.ip(),
                port: self.session.client.port(),
                helo: text(self.session.helo.as_deref().unwrap_or_default(), TEXT_CHARS_MAX),
                tls: self.session.secured.as_deref().map(shown_tls),
                user: self.session.user.as_deref().map(|user| text(user.as_bytes(), TEXT_CHARS_MAX)),
            },
            sender: SenderFacts { address: String::new() },
            recipients: Vec::new(),
            size: 0,
            verdict: "reject",
            rule: None,
            score: 0.0,
            symbols: Symbols::default(),
            evidence: Vec::new(),
            shadow: Vec::new(),
            disposition: Disposition::Refused,
            limit: None,
            reply: String::new(),
            next_hop: None,
            seal: None,
            lane: (!config.policy.lanes.is_one())
                .then(|| config.policy.lanes.name(self.session.lane).to_owned()),
            window: false,
            ms: Millis::default(),
            config: config.hash.clone(),
        }
    }

    /// A bug of ours ended the event half way: says so, and lets go of everything.
    pub fn on_panic(&mut self, now: Instant, shared: &mut super::Shared, actions: &mut super::Actions) {
        self.stage = Stage::Over;
        actions.upstream.clear();
        actions.list.clear();
        // Where it came to grief is not known: what it has is given back from what it had taken.
        shared.give_window_back(std::mem::take(&mut self.window_taken));
        self.let_go(shared);
        self.give_back_connection(now, shared);
        if let Some(mut transaction) = self.transaction.take() {
            limits::settle_transaction(now, shared, &mut transaction);
        }
        // The worker knows whether there is a connection; the pool must not get it back.
        actions.push(Action::Discard(DiscardReason::Fault, Heard::default()));
        actions.push(Action::CancelCheckOut);
        Reply::new(421, "4.3.0", "internal error, closing").write(&mut actions.downstream);
        actions.push(Action::Finish { linger: true });
    }
}

fn limit_name(cx: &Context<'_>, limit: Option<Index>) -> Option<String> {
    limit.and_then(|limit| cx.shared.config.policy.limits.find(limit)).map(|it| it.limit.name.clone())
}

/// What content had goes to the next one.
fn give_back(cx: &mut Context<'_>, transaction: &mut Transaction) {
    let Some(content) = &mut transaction.content else { return };
    cx.shared.spare.put(std::mem::take(&mut content.held));
    if let Some(inspection) = content.inspection.take() {
        cx.shared.bench.end(inspection);
    }
    if content.stepwise {
        cx.actions.push(Action::Pace { stepwise: false });
    }
}

/// Who turned all recipients away, and for how long.
fn refused_by(transaction: &Transaction) -> Disposition {
    let upstream = transaction.server.is_some();
    let permanent = transaction.recipients.iter().all(|recipient| match &recipient.state {
        RecipientState::Answered(reply) => reply.code().to_u16() >= 500,
        RecipientState::Pending => false,
    });
    match (upstream, permanent) {
        (true, true) => Disposition::RefusedUpstream,
        (true, false) => Disposition::DeferredUpstream,
        (false, true) => Disposition::Refused,
        (false, false) => Disposition::Deferred,
    }
}

const fn verdict(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Refused => "reject",
        Disposition::Deferred => "defer",
        Disposition::Quarantined => "quarantine",
        Disposition::Discarded => "discard",
        _ => "pass",
    }
}

fn symbols(judgement: &Judgement) -> Symbols {
    Symbols(judgement.symbols.iter().map(|symbol| (symbol.name.clone(), symbol.score)).collect())
}

fn evidence(evidence: &Found) -> Evidence {
    Evidence {
        symbol: evidence.symbol.clone(),
        place: evidence.place.clone(),
        redacted: evidence.redacted.clone(),
    }
}

/// Rules that would have decided, had they been asked to.
fn shadows(judgement: &Judgement, policy: &Policy) -> Vec<String> {
    let rules = judgement.shadows.iter().filter_map(|index| policy.rules.find(*index));
    rules.map(|rule| rule.name.clone()).collect()
}

fn recipients(transaction: &Transaction) -> Vec<RecipientFacts> {
    let facts = |recipient: &Recipient| RecipientFacts {
        address: text(&recipient.path, TEXT_CHARS_MAX),
        reply: match &recipient.state {
            RecipientState::Answered(reply) => text(reply.first_line().as_bytes(), TEXT_CHARS_MAX),
            RecipientState::Pending => String::new(),
        },
    };
    transaction.recipients.iter().map(facts).collect()
}

fn next_hop(cx: &Context<'_>, transaction: &Transaction) -> Option<NextHop> {
    let index = transaction.upstream?;
    let reply = transaction.hop_reply.as_ref().map(Reply::first_line).unwrap_or_default();
    Some(NextHop {
        name: cx.shared.config.upstreams[index.0].name.clone(),
        server: transaction.server.map(|server| server.to_string()).unwrap_or_default(),
        reply: text(reply.as_bytes(), TEXT_CHARS_MAX),
        tls: transaction.secured.as_deref().map(shown_tls),
    })
}

/// `TLSv1.3 TLS_AES_128_GCM_SHA256 authority`: the last is why the peer's certificate is believed.
fn shown_tls(secured: &Secured) -> String {
    [secured.version.name(), secured.cipher, secured.trust().name()].join(" ")
}
