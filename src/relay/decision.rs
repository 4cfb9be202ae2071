//! What is decided over a message, and what becomes of it.
//!
//! DESIGN: the verdict falls when the last octet was seen and before the end of content goes up. A
//! message that is still held whole can be tagged, kept, redirected or thrown away; one that streams
//! can be let through or refused, and kept only if its copy began in time.
//!
//! Invariants: a 2xx for a message that was kept is said only behind `Stored`; whatever cannot be
//! done as it was decided is refused, never let through.

use super::action::Action;
use super::content::Stand;
use super::disposition::Disposition;
use super::quarantine::{
    ClientFacts, Description, Envelope, EvidenceFacts, Spool, Spooled, SymbolFacts, Unanswered,
};
use super::question::{Answer, Query, Question};
use super::tag;
use super::transaction::Transaction;
use super::{Context, Relay, Stage};
use crate::policy::condition::Phase;
use crate::policy::facts::{self, Facts, Known};
use crate::policy::judge::{Judgement, judge, judge_early};
use crate::policy::settings::{self, Config, UpstreamIndex};
use crate::policy::verdict::Verdict;
use crate::smtp::reply::{Class, Reply};

use std::time::Duration;

/// How long the store may take for each step.
const STORE_PATIENCE: Duration = Duration::from_secs(30);

/// A message that is being kept.
#[derive(Debug)]
pub(super) struct Keeping {
    query: Query,
    unanswered: Unanswered,
    state: KeepingState,
}

#[derive(Debug)]
enum KeepingState {
    /// A copy goes to the store while it is not decided yet.
    Copying,
    /// All of it is there and shall stay.
    Committed,
    /// The store could not.
    Failed(Reply),
}

impl Keeping {
    /// Whether the store must catch up before more content comes.
    pub(super) const fn is_behind(&self) -> bool {
        self.unanswered.is_much()
    }
}

impl Relay {
    /// Who sends, from where, to whom: as rules see it.
    pub(super) fn tell_envelope(&self, config: &Config, facts: &mut Facts) {
        let Some(transaction) = self.transaction.as_deref() else { return };
        let session = &self.session;
        session.tell_client(config, &mut facts.client);
        facts.lane = Known::new(config.policy.lanes.name(session.lane).to_owned());
        self.tell_path(config, &transaction.path, &mut facts.sender);
        // All of them: how many there may be is bounded by `workers.recipients`.
        let recipients = transaction.accepted();
        facts.recipients = recipients.map(|recipient| lower_domain(&recipient.path)).collect();
    }

    /// Who sends, by the reverse path.
    pub(super) fn tell_path(&self, config: &Config, path: &[u8], sender: &mut facts::Sender) {
        sender.address = facts::text(path);
        sender.owned = self.owns(config, path);
        sender.domain = facts::text(&domain(path));
    }

    fn note_judgement(&mut self, judgement: Judgement) {
        if let Some(transaction) = self.transaction.as_deref_mut() {
            transaction.judgement = Some(Box::new(judgement));
        }
    }

    /// More is known: does a refusal stand already, whatever is still to come?
    pub(super) fn judge_early(&mut self, cx: &mut Context<'_>, phase: Phase) {
        let Some(content) = self.transaction.as_deref_mut().and_then(|t| t.content.as_deref_mut()) else {
            return;
        };
        let config = &cx.shared.config;
        let early = judge_early(content.facts(), &config.policy, &config.workers, phase);
        let Some(judgement) = early else { return };
        let reply = judgement.reply.clone();
        self.note_judgement(judgement);
        if let Some(reply) = reply.or_else(|| Verdict::Defer.reply()) {
            self.turn_away(cx, reply);
        }
    }

    /// The last octet was seen and looked at: this is where the verdict falls.
    pub(super) fn decide(&mut self, cx: &mut Context<'_>) {
        self.tell_sender(cx);
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let Some(content) = transaction.content.as_deref_mut() else { return };
        let judgement = judge(content.facts(), &cx.shared.config.policy, &cx.shared.config.workers);
        let (verdict, reply) = (judgement.verdict, judgement.reply.clone());
        if verdict == Verdict::Tag {
            content.put_fields(&tag::fields(&judgement));
        }
        self.note_judgement(judgement);
        let reply = reply.or_else(|| verdict.reply());
        if matches!(verdict, Verdict::Pass | Verdict::Tag | Verdict::Redirect(_)) {
            self.seal(cx);
        }
        match (verdict, reply) {
            (Verdict::Pass | Verdict::Tag, _) => self.pump(cx),
            (Verdict::Redirect(upstream), _) => self.redirect(cx, upstream),
            (Verdict::Quarantine, _) => self.keep(cx),
            (Verdict::Discard, Some(reply)) => self.throw_away(cx, reply),
            (_, reply) => self.turn_away(cx, reply.unwrap_or_else(undecided)),
        }
    }

    /// Refused: nothing of it goes up any more.
    pub(super) fn turn_away(&mut self, cx: &mut Context<'_>, reply: Reply) {
        let permanent = reply.class() == Class::Permanent;
        self.settle(reply, if permanent { Disposition::Refused } else { Disposition::Deferred });
        self.release_next_hop(cx);
        if let Some(content) = self.transaction.as_deref_mut().and_then(|t| t.content.as_deref_mut()) {
            content.tolerate();
        }
    }

    fn throw_away(&mut self, cx: &mut Context<'_>, reply: Reply) {
        self.release_next_hop(cx);
        self.conclude(cx, reply, Disposition::Discarded);
    }

    /// To another next hop than its recipients'. Only the next hop that takes a message may have seen it.
    fn redirect(&mut self, cx: &mut Context<'_>, upstream: UpstreamIndex) {
        let fits = self.transaction.as_deref().is_some_and(|transaction| {
            let held = transaction.content.as_ref().is_some_and(|content| content.is_whole());
            held && super::envelope::can_carry(cx, transaction, upstream)
        });
        if !fits {
            let reply = Reply::new(451, "4.3.5", "this message cannot be sent where it must go, come again");
            return self.turn_away(cx, reply);
        }
        self.release_next_hop(cx);
        if let Some(transaction) = self.transaction.as_deref_mut() {
            // Whose recipients they were gets no content of them.
            if let Some(UpstreamIndex(before)) = transaction.upstream.replace(upstream) {
                cx.shared.foresight[before].learn(false);
            }
            // Nor was anything said of it to that next hop before.
            transaction.server = None;
            transaction.mail_refused = None;
            self.set_stand(Stand::Held);
            self.check_out(cx, false);
        }
    }

    /// Into the store, which then has the message instead of the next hop.
    fn keep(&mut self, cx: &mut Context<'_>) {
        self.begin_copy_of_held(cx);
        let described = self.describe(&cx.shared.config);
        self.release_next_hop(cx);
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let failed = match (&mut transaction.keeping, described) {
            (Some(Keeping { state: KeepingState::Failed(reply), .. }), _) => reply.clone(),
            (Some(keeping), Some(description)) => {
                keeping.state = KeepingState::Committed;
                keeping.unanswered.add(0);
                let question = Question::Quarantine(Spool::Commit(Box::new(description)));
                return cx.actions.push(Action::Ask {
                    query: keeping.query,
                    question,
                    patience: STORE_PATIENCE,
                });
            }
            // It streamed, and no copy of it was begun.
            (None, _) => Verdict::Reject.reply().unwrap_or_else(undecided),
            (Some(_), None) => undecided(),
        };
        self.turn_away(cx, failed);
    }

    /// A message that is held whole goes to the store in one piece.
    fn begin_copy_of_held(&mut self, cx: &mut Context<'_>) {
        let Some(content) = self.transaction.as_deref_mut().and_then(|t| t.content.as_deref_mut()) else {
            return;
        };
        if content.is_whole() {
            let held = std::mem::take(&mut content.held);
            self.begin_copy(cx, held);
        }
    }

    fn begin_copy(&mut self, cx: &mut Context<'_>, begin: Vec<u8>) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        if transaction.keeping.is_some() {
            return;
        }
        let size = transaction.declared.size.unwrap_or(0);
        let question = Question::Quarantine(Spool::Begin { id: transaction.id, size });
        let query = cx.actions.ask(&mut self.queries, question, STORE_PATIENCE);
        transaction.keeping =
            Some(Keeping { query, unanswered: Unanswered::default(), state: KeepingState::Copying });
        self.copy(cx, begin);
    }

    /// One piece more to the store.
    fn copy(&mut self, cx: &mut Context<'_>, piece: Vec<u8>) {
        let Some(keeping) = self.transaction.as_deref_mut().and_then(|t| t.keeping.as_mut()) else { return };
        if !piece.is_empty() && matches!(keeping.state, KeepingState::Copying) {
            keeping.unanswered.add(piece.len());
            let question = Question::Quarantine(Spool::Append(piece));
            cx.actions.push(Action::Ask { query: keeping.query, question, patience: STORE_PATIENCE });
        }
    }

    /// Content was taken, from `begin` on in what is held: a copy that was begun goes on.
    pub(super) fn copy_content(&mut self, cx: &mut Context<'_>, begin: usize) {
        let Some(transaction) = self.transaction.as_deref() else { return };
        let Some(content) = transaction.content.as_deref().filter(|_| transaction.keeping.is_some()) else {
            return;
        };
        let piece = content.held.get(begin..).unwrap_or_default().to_vec();
        self.copy(cx, piece);
    }

    /// The window is full, and the message will stream: a copy of it is begun now or never.
    pub(super) fn copy_before_streaming(&mut self, cx: &mut Context<'_>) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let Some(content) = transaction.content.as_deref_mut() else { return };
        let streams = content.stand == Stand::Held && content.overflows() && !content.complete;
        let open = transaction.keeping.is_none() && transaction.settled.is_none();
        if streams && open && asks_for_copy(&cx.shared.config, content.facts()) {
            let begin = content.held.clone();
            self.begin_copy(cx, begin);
        }
    }

    pub(super) fn on_answered(&mut self, cx: &mut Context<'_>, query: Query, answer: &Answer) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let Some(keeping) = transaction.keeping.as_mut().filter(|keeping| keeping.query == query) else {
            return;
        };
        let committed = matches!(keeping.state, KeepingState::Committed);
        match (answer, answer.refusal()) {
            (Answer::Quarantine(Spooled::Taken { words, octets }), _) => {
                keeping.unanswered.take(*words, *octets);
            }
            (Answer::Quarantine(Spooled::Stored), _) if committed => self.on_stored(cx),
            (_, Some(reply)) if committed => {
                transaction.keeping = None;
                self.settle(reply, Disposition::Deferred);
                self.conclude_settled(cx);
            }
            (_, reply) => {
                keeping.unanswered = Unanswered::default();
                keeping.state = KeepingState::Failed(reply.unwrap_or_else(undecided));
            }
        }
    }

    /// It is durable: the message is ours now, and the client may hear so.
    fn on_stored(&mut self, cx: &mut Context<'_>) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        transaction.keeping = None;
        let own = transaction.judgement.as_ref().and_then(|judgement| judgement.reply.clone());
        let reply = own.filter(Reply::is_positive).or_else(|| Verdict::Quarantine.reply());
        self.conclude(cx, reply.unwrap_or_else(undecided), Disposition::Quarantined);
    }

    /// The transaction is over: a copy that nobody wants is not kept.
    pub(super) fn break_off_copy(cx: &mut Context<'_>, transaction: &mut Transaction) {
        if let Some(keeping) = transaction.keeping.take()
            && !matches!(keeping.state, KeepingState::Failed(_))
        {
            cx.actions.push(Action::CancelAsk(keeping.query));
        }
    }

    fn describe(&self, config: &Config) -> Option<Description> {
        let transaction = self.transaction.as_deref()?;
        let UpstreamIndex(upstream) = transaction.upstream?;
        let name = &config.upstreams[upstream].name;
        let mut envelope = Envelope::new(&transaction.path, &transaction.parameters, name)?;
        for recipient in transaction.accepted() {
            envelope = envelope.with(&recipient.path, &recipient.parameters)?;
        }
        let client = ClientFacts::from(&self.session.identity());
        let mut description = Description::new(transaction.id, client, envelope);
        description.listener.clone_from(&config.listeners[self.session.listener].name);
        description.config.clone_from(&config.hash);
        if let Some(judgement) = transaction.judgement.as_deref() {
            description.rule = config.policy.cause_name(judgement.cause).map(str::to_owned);
            description.score = judgement.score;
            let facts = |score, count| SymbolFacts { score, count };
            let named = judgement.symbols.iter().map(|it| (it.name.clone(), facts(it.score, it.count)));
            description.symbols = named.collect();
        }
        let evidence = transaction.evidence().iter().map(|evidence| EvidenceFacts {
            symbol: evidence.symbol.clone(),
            place: evidence.place.clone(),
            redacted: evidence.redacted.clone(),
        });
        description.evidence = evidence.collect();
        Some(description)
    }

    /// Whether no content may come because the store is behind.
    pub(super) fn waits_for_store(&self) -> bool {
        let keeping = self.transaction.as_ref().and_then(|transaction| transaction.keeping.as_ref());
        self.stage != Stage::Verdict && keeping.is_some_and(Keeping::is_behind)
    }
}

/// Whether a copy is to be kept of a message that begins to stream.
fn asks_for_copy(config: &Config, facts: &Facts) -> bool {
    let Some(quarantine) = &config.quarantine else { return false };
    match quarantine.spool {
        settings::Spool::Never => false,
        settings::Spool::Always => true,
        settings::Spool::Suspect => {
            let score = config.policy.scores.sum(&facts.symbols);
            config.policy.thresholds.verdict(score) != Verdict::Pass || !facts.message.limits.is_empty()
        }
    }
}

fn undecided() -> Reply {
    Reply::new(451, "4.3.0", "cannot be decided now, come again")
}

/// What stands behind the last `@`, in lower case.
fn domain(path: &[u8]) -> Vec<u8> {
    let at = memchr::memrchr(b'@', path).map_or(path.len(), |at| at + 1);
    path[at..].to_ascii_lowercase()
}

fn lower_domain(path: &[u8]) -> String {
    let at = memchr::memrchr(b'@', path).unwrap_or(path.len());
    let (local, domain) = path.split_at(at);
    let mut address = String::from_utf8_lossy(local).into_owned();
    address.push_str(&String::from_utf8_lossy(domain).to_lowercase());
    address
}
