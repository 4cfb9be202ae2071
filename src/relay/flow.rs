//! Content under way: taken from the client by DATA or BDAT, held in the window or streamed up by
//! DATA or BDAT, and the place where the verdict falls.
//!
//! RFC 5321 §4.1.1.4; RFC 3030; RFC 1870 §6.
//!
//! Invariants: the end of content goes up only behind a verdict that says pass; a refused DATA
//! sender is listened to up to its dot, so that it hears the refusal; memory per message is the
//! window plus a constant, whatever its size.

use super::action::Action;
use super::ahead::Ahead;
use super::conduct::Awaited;
use super::content::{Content, Stand};
use super::envelope::size_limit;
use super::sender::Reading;
use super::session::Session;
use super::trace_field::Trace;
use super::transaction::{Hop, Transaction};
use super::{Context, Relay, Shared, Stage};
use crate::base::spare::Spare;
use crate::limits::{COMMAND_LINE_BYTES_MAX, RECEIVE_BUFFER_BYTES};
use crate::policy::condition::Phase;
use crate::policy::settings::Config;
use crate::policy::verdict::Refusal;
use crate::smtp::client::{Client, Expect};
use crate::smtp::command::Bdat;
use crate::smtp::data::{ContentFault, Framing};
use crate::smtp::extension::Extensions;
use crate::smtp::reply::Reply;
use crate::traffic::patience::{Pace, Patience};

/// Content from which on it goes up while a message streams, in a BDAT chunk or behind DATA: a step of
/// receiving always does, and what is left of one does not with the next one outgrow a buffer.
const CHUNK_BYTES: usize = RECEIVE_BUFFER_BYTES / 2 - COMMAND_LINE_BYTES_MAX;
/// Held content from which the rest is received in steps: a large message, most likely.
const STEPWISE_BYTES: usize = 32 * 1024;
/// Chunks under way at a time (RFC 3030 has one reply for each).
const CHUNKS_UNANSWERED_MAX: usize = 4;

impl Relay {
    pub(super) fn on_data(&mut self, cx: &mut Context<'_>) {
        let Some(transaction) = self.transaction.as_deref() else { return };
        if let Some(reply) = no_content_reply(transaction) {
            return self.complain(cx, &reply);
        }
        self.begin_content(cx, Framing::Data);
        if self.is_settled() {
            return self.conclude_settled(cx);
        }
        self.stage = Stage::Data;
        self.say_wire(cx, b"354 end data with <CR><LF>.<CR><LF>\r\n");
        self.await_content(cx);
    }

    pub(super) fn on_bdat(&mut self, cx: &mut Context<'_>, bdat: Bdat) {
        let Some(transaction) = self.transaction.as_deref() else { return };
        // A refusal in the middle of content is told, and concluded, at the end of this chunk.
        if transaction.content.is_none()
            && let Some(reply) = no_content_reply(transaction)
        {
            return self.swallow_chunk(cx, bdat, reply);
        }
        let begun = transaction.content.as_ref().map_or(0, |content| content.octets);
        if transaction.content.is_none() {
            self.begin_content(cx, Framing::Bdat);
        }
        let limit = size_limit(cx);
        if begun.saturating_add(bdat.octets) > limit {
            self.refuse_content(cx, Refusal::TooLarge);
            if bdat.octets > limit.saturating_mul(4) {
                return self.close_refused(cx);
            }
        }
        self.stage = Stage::Chunk { left: bdat.octets, last: bdat.last };
        self.await_content(cx);
        if bdat.octets == 0 {
            self.on_chunk_complete(cx, bdat.last);
        }
    }

    /// Our Received field goes in front of the first octet; rules that need none of it may refuse.
    fn begin_content(&mut self, cx: &mut Context<'_>, framing: Framing) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let workers = &cx.shared.config.workers;
        let (line_max, wanted) = (workers.line, workers.window);
        let window = cx.shared.take_window(self.session.lane, wanted);
        let mut held = cx.shared.spare.take_medium();
        self.window_taken = (self.session.lane, window);
        let session = &self.session;
        let identity = session.forwarded.as_deref();
        let mut id = [0; ulid::ULID_LEN];
        let trace = Trace {
            helo: identity
                .and_then(|identity| identity.helo.as_deref())
                .or(session.helo.as_deref())
                .unwrap_or_default(),
            client: session.client_ip(),
            by: &cx.shared.config.hostname,
            with: protocol(session, transaction.declared.smtputf8),
            secured: session.secured.as_deref(),
            id: transaction.id.array_to_str(&mut id),
            recipient: only_recipient(transaction),
            date: cx.shared.date.at(cx.now.wall),
        };
        trace.write(&mut held);
        let inspection = cx.shared.config.engine.as_ref().map(|engine| cx.shared.bench.begin(engine));
        let mut content = Content::new(framing, session.bare_newline, line_max, held, window, inspection);
        if let Some(settings) = &cx.shared.config.sender
            && (transaction.sender.is_some() || self.session.user.is_some())
            && (settings.reads_content() || cx.shared.config.reputation.is_some())
        {
            let asks = transaction.sender.is_some();
            content.reading = Some(Box::new(Reading::new(settings, &cx.shared.config.hostname, asks)));
        }
        let some_rules = !cx.shared.config.policy.rules.is_empty();
        if some_rules {
            self.tell_envelope(&cx.shared.config, content.facts_mut());
        }
        if let Some(transaction) = self.transaction.as_deref_mut() {
            transaction.content = Some(Box::new(content));
        }
        if some_rules {
            self.judge_early(cx, Phase::Rcpt);
        }
        if !self.is_settled() {
            self.recall_without_author(cx);
        }
    }

    pub(super) fn await_content(&mut self, cx: &Context<'_>) {
        self.session.pace = Pace::default();
        self.await_client(cx.now.instant, self.session.patience.content);
    }

    /// Octets of content came, with its end or not: neither silent nor, over time, too slow?
    pub(super) fn note_content_progress(&mut self, cx: &mut Context<'_>, octets: usize, end: bool) {
        let Patience { content, min_rate, .. } = self.session.patience;
        self.await_client(cx.now.instant, content);
        if self.session.pace.is_slow(cx.now.instant, octets, min_rate) && !end {
            self.note_slow(cx, Awaited::Content);
            self.say_and_close(cx, &Reply::new(421, "4.4.2", "content comes too slowly, closing"));
        }
    }

    pub(super) fn take_data(&mut self, cx: &mut Context<'_>, input: &[u8]) -> usize {
        let Some((consumed, end)) = self.take_content(cx, input) else { return 0 };
        self.note_content_progress(cx, consumed, end);
        if self.stage != Stage::Data {
            return 0;
        }
        if end {
            self.on_content_complete(cx);
        } else {
            self.pump(cx);
        }
        consumed
    }

    pub(super) fn take_chunk(&mut self, cx: &mut Context<'_>, input: &[u8], left: u64, last: bool) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let settled = self.transaction.as_ref().is_none_or(|transaction| transaction.settled.is_some());
        if !settled {
            // A fault settles the transaction; the octets are consumed all the same.
            let _ = self.take_content(cx, &input[..taken]);
        }
        self.note_content_progress(cx, taken, left == taken as u64);
        let Stage::Chunk { left, .. } = self.stage else { return 0 };
        let left = left - taken as u64;
        self.stage = Stage::Chunk { left, last };
        if left == 0 {
            self.on_chunk_complete(cx, last);
        } else {
            self.pump(cx);
        }
        taken
    }

    /// Decodes into the window; `None` if the session is over by a fault.
    fn take_content(&mut self, cx: &mut Context<'_>, input: &[u8]) -> Option<(usize, bool)> {
        let transaction = self.transaction.as_deref_mut()?;
        let settled = transaction.settled.is_some();
        let content = transaction.content.as_deref_mut()?;
        let begin = content.held.len();
        let Shared { spare, bench, .. } = &mut *cx.shared;
        let (consumed, end) = match content.take(cx.now.instant, input, spare, bench) {
            Ok(taken) => taken,
            Err((consumed, fault)) => {
                self.on_content_fault(cx, fault);
                return self.take_the_rest(cx, input, consumed);
            }
        };
        if settled {
            content.forget_held(&mut cx.shared.spare);
        } else if content.octets > size_limit(cx) {
            self.refuse_content(cx, Refusal::TooLarge);
        } else {
            self.look_ahead(cx, begin, end);
        }
        Some((consumed, end))
    }

    /// What is known of it already may decide, and the store may want it.
    fn look_ahead(&mut self, cx: &mut Context<'_>, begin: usize, end: bool) {
        self.ask_about_author(cx);
        if cx.shared.config.engine.is_some() && !end {
            self.judge_early(cx, Phase::Content);
        }
        let settled = self.transaction.as_ref().is_none_or(|transaction| transaction.settled.is_some());
        if cx.shared.config.quarantine.is_some() && !settled {
            self.copy_content(cx, begin);
        }
    }

    /// Behind a fault: a DATA sender is listened to up to its dot.
    fn take_the_rest(&mut self, cx: &mut Context<'_>, input: &[u8], before: usize) -> Option<(usize, bool)> {
        if self.stage != Stage::Data {
            return None;
        }
        let (consumed, end) = self.take_content(cx, &input[before..])?;
        Some((before + consumed, end))
    }

    fn on_content_fault(&mut self, cx: &mut Context<'_>, fault: ContentFault) {
        let refusal = match fault {
            ContentFault::BareCr | ContentFault::BareLf => Refusal::BareNewline,
            ContentFault::Nul => Refusal::Nul,
            ContentFault::LineTooLong => Refusal::LineTooLong,
        };
        self.refuse_content(cx, refusal);
        // Where DATA ends may be in doubt now; the length of a chunk never is.
        if self.stage == Stage::Data && refusal.is_ambiguous() {
            self.close_refused(cx);
        }
    }

    /// The verdict is known early: nothing more goes up.
    fn refuse_content(&mut self, cx: &mut Context<'_>, refusal: Refusal) {
        self.turn_away(cx, refusal.reply());
    }

    /// Says the refusal at once and closes.
    fn close_refused(&mut self, cx: &mut Context<'_>) {
        self.conclude_settled(cx);
        self.close(cx, true);
    }

    fn on_chunk_complete(&mut self, cx: &mut Context<'_>, last: bool) {
        let Some(transaction) = self.transaction.as_deref() else { return };
        // A BDAT sender hears a refusal at the end of the chunk.
        if transaction.settled.is_some() {
            return self.conclude_settled(cx);
        }
        if last {
            return self.on_content_complete(cx);
        }
        self.say_wire(cx, b"250 2.0.0 chunk received\r\n");
        self.stage = Stage::Command;
        self.pump(cx);
    }

    /// The client has sent everything: this is where the verdict falls.
    fn on_content_complete(&mut self, cx: &mut Context<'_>) {
        self.stage = Stage::Verdict;
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        transaction.ended_at = Some(cx.now.instant);
        if transaction.settled.is_some() {
            return self.conclude_settled(cx);
        }
        let Some(content) = transaction.content.as_deref_mut() else { return };
        let begin = content.held.len();
        match content.complete() {
            Ok(()) => {
                self.copy_content(cx, begin);
                self.look_to_the_end(cx);
                if self.waits_for_sender() {
                    return;
                }
                self.decide(cx);
            }
            Err(_) => self.refuse_content(cx, Refusal::BareNewline),
        }
        self.conclude_if_settled(cx);
    }

    /// All facts of the content are known, and all that is asked about it can be.
    fn look_to_the_end(&mut self, cx: &mut Context<'_>) {
        self.ask_about_author(cx);
        let content =
            self.transaction.as_deref_mut().and_then(|transaction| transaction.content.as_deref_mut());
        if let Some(inspection) = content.and_then(|content| content.inspection.as_deref_mut()) {
            inspection.finish(&mut cx.shared.bench);
        }
        self.ask_about_links(cx);
    }

    /// Sends up what may go up now.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) {
        let stalled = self.is_stalled(cx.now.instant);
        if cx.shared.config.quarantine.is_some() {
            self.copy_before_streaming(cx);
        }
        if self.waits_for_verdict() || self.is_settled() {
            return;
        }
        if self.lacks_next_hop() {
            return self.check_out(cx, false);
        }
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let Hop::Bound(lease) = &mut transaction.hop else { return };
        let Some(content) = transaction.content.as_deref_mut() else { return };
        if !content.stepwise && !content.complete && content.held.len() >= STEPWISE_BYTES {
            // A step goes up, or waits, before the next one comes.
            content.stepwise = true;
            cx.actions.list.push(Action::Pace { stepwise: true });
        }
        let begin = cx.actions.upstream.len();
        // A kernel that did not take all of the last step gets the next one when it has.
        let flows = !stalled;
        let chunking =
            transaction.upstream.is_some_and(|index| sends_chunks(&lease.client, &cx.shared.config, index.0));
        let out = &mut cx.actions.upstream;
        if content.stand == Stand::Held
            && lease.client.is_quiet()
            && (content.complete || content.overflows())
        {
            if chunking {
                content.stand = Stand::Bdat { unanswered: 0 };
            } else if transaction.ahead == Ahead::Granted {
                transaction.ahead = Ahead::No;
                lease.client.sent(Expect::EndOfData);
                content.stand = Stand::Data;
            } else {
                lease.client.data(out);
                content.stand = Stand::Asked;
            }
        }
        match content.stand {
            Stand::Held | Stand::Asked | Stand::Ended => {}
            Stand::Data => pump_data(content, flows, out, &mut cx.shared.spare),
            Stand::Bdat { .. } => pump_chunks(content, &mut lease.client, flows, out, &mut cx.shared.spare),
        }
        let queued = cx.actions.upstream.len() - begin;
        self.note_queued(cx, queued);
        if queued > 0 && matches!(self.stage, Stage::Verdict) {
            self.rearm_hop_deadline(cx);
        } else if queued > 0 {
            self.arm_hop_deadline(cx);
        }
    }
}

/// Whether content goes up in BDAT chunks.
pub(super) fn sends_chunks(client: &Client, config: &Config, upstream: usize) -> bool {
    client.capabilities().extensions.contains(Extensions::CHUNKING) && config.upstreams[upstream].chunking
}

/// Why content may not come now, though its command may: no recipient, or no hope.
fn no_content_reply(transaction: &Transaction) -> Option<Reply> {
    if transaction.accepted().next().is_none() {
        return Some(Reply::new(554, "5.5.1", "no valid recipients"));
    }
    transaction.settled.as_ref().map(|settled| settled.reply.clone())
}

/// Others must not learn of each other (RFC 5321 §7.2).
fn only_recipient(transaction: &Transaction) -> Option<&[u8]> {
    let mut accepted = transaction.accepted();
    let first = accepted.next()?;
    accepted.next().is_none().then_some(&*first.path)
}

/// A few large writes cost the kernel much less than many small ones.
fn pump_data(content: &mut Content, flows: bool, out: &mut Vec<u8>, spare: &mut Spare) {
    let worth_it = content.held.len() >= CHUNK_BYTES && flows;
    if !worth_it && !content.complete {
        return;
    }
    content.move_stuffed(out, spare);
    if content.complete {
        content.stand = Stand::Ended;
    }
}

fn pump_chunks(
    content: &mut Content,
    client: &mut Client,
    flows: bool,
    out: &mut Vec<u8>,
    spare: &mut Spare,
) {
    let Stand::Bdat { unanswered } = &mut content.stand else { return };
    let unanswered_max = if client.pipelines() { CHUNKS_UNANSWERED_MAX } else { 1 };
    let worth_it = content.complete || content.held.len() >= CHUNK_BYTES && flows;
    if !worth_it || *unanswered >= unanswered_max {
        return;
    }
    *unanswered += 1;
    client.bdat(content.held.len() as u64, content.complete, out);
    content.move_plain(out, spare);
    if content.complete {
        content.stand = Stand::Ended;
    }
}

/// RFC 3848, RFC 6531 §4.3: S for TLS, A for a client that proved who it is.
const fn protocol(session: &Session, smtputf8: bool) -> &'static str {
    match (smtputf8, session.is_esmtp, session.secured.is_some(), session.user.is_some()) {
        (true, _, false, false) => "UTF8SMTP",
        (true, _, false, true) => "UTF8SMTPA",
        (true, _, true, false) => "UTF8SMTPS",
        (true, _, true, true) => "UTF8SMTPSA",
        (false, true, false, false) => "ESMTP",
        (false, true, false, true) => "ESMTPA",
        (false, true, true, false) => "ESMTPS",
        (false, true, true, true) => "ESMTPSA",
        (false, false, ..) => "SMTP",
    }
}
