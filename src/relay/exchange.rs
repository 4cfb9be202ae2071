//! What the next hop says, and what its silence or loss means.
//!
//! RFC 5321 §4.2 (replies), §4.5.3.2 (timeouts), §6.1; RFC 3030 §2; PROTOCOL: early replies.
//!
//! A connection that is lost before content went up is replaced once, silently, by a fresh one:
//! until then nothing was promised to the client that the next hop had not promised to us.

use super::action::{Action, DiscardReason};
use super::ahead::Ahead;
use super::content::Stand;
use super::disposition::Disposition;
use super::event::{Ending, Lease};
use super::transaction::{Hop, RecipientState, Settled};
use super::{Context, Relay, Stage};
use crate::smtp::client::Expect;
use crate::smtp::reply::{Class, Reply};

/// The next hop announces that it closes (RFC 5321 §3.8).
pub(super) const CLOSING: u16 = 421;

impl Relay {
    pub(super) fn on_next_hop(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(lease) = self.transaction.as_deref_mut().and_then(|transaction| transaction.lease_mut())
            else {
                return check_the_rest(cx, bytes);
            };
            match lease.client.receive(bytes) {
                Ok((consumed, reply)) => {
                    bytes = &bytes[consumed..];
                    let begin = cx.actions.upstream.len();
                    lease.client.proceed(&mut cx.actions.upstream);
                    self.note_queued(cx, cx.actions.upstream.len() - begin);
                    if let Some((expect, reply)) = reply {
                        self.on_reply(cx, expect, reply);
                    }
                }
                Err(_) if self.is_surplus(bytes) => return,
                Err(_) => return self.lose_next_hop(cx, DiscardReason::Protocol, true),
            }
        }
    }

    /// Two replies to one end of content: if both are 2xx, one of them is true. The message was
    /// taken; the connection is not to be used again.
    fn is_surplus(&mut self, bytes: &[u8]) -> bool {
        let Some(transaction) = self.transaction.as_deref_mut() else { return false };
        let confirming = transaction.settled.is_none() && transaction.hop_reply.is_some();
        transaction.spoilt |= confirming && bytes.first() == Some(&b'2');
        transaction.spoilt && confirming
    }

    fn on_reply(&mut self, cx: &mut Context<'_>, expect: Expect, reply: Reply) {
        self.rearm_hop_deadline(cx);
        self.meter.hear(expect, &reply);
        let closing = reply.code().to_u16() == CLOSING;
        match expect {
            // The loss of a connection that says 421 is handled like its close.
            _ if closing && !is_content(expect) => self.lose_next_hop(cx, DiscardReason::Closed, true),
            Expect::Rset if !reply.is_positive() => self.lose_next_hop(cx, DiscardReason::Protocol, true),
            Expect::Xforward if !reply.is_positive() => self.on_identity_refused(cx),
            Expect::Mail => self.on_mail_reply(cx, reply),
            Expect::Rcpt(index) => self.on_rcpt_reply(cx, index as usize, reply),
            Expect::Data => self.on_data_reply(cx, reply),
            Expect::EndOfData => self.on_content_reply(cx, reply),
            Expect::Bdat { last: true } => self.on_content_reply(cx, reply),
            Expect::Bdat { last: false } => self.on_chunk_reply(cx, reply),
            _ => {}
        }
        self.flush_owed(cx);
        self.pump(cx);
    }

    /// The identity of an earlier client may still stand on that connection: it must not be used.
    /// On a fresh one nobody's does.
    fn on_identity_refused(&mut self, cx: &mut Context<'_>) {
        let fresh = self
            .transaction
            .as_deref_mut()
            .and_then(|transaction| transaction.lease_mut())
            .is_some_and(|lease| lease.fresh);
        if !fresh {
            self.lose_next_hop(cx, DiscardReason::Protocol, true);
        }
    }

    fn on_mail_reply(&mut self, cx: &mut Context<'_>, reply: Reply) {
        match reply.class() {
            Class::Positive => {}
            Class::Intermediate => self.lose_next_hop(cx, DiscardReason::Protocol, true),
            Class::Transient | Class::Permanent => {
                if let Some(transaction) = self.transaction.as_deref_mut() {
                    transaction.mail_refused = Some(reply);
                }
            }
        }
    }

    fn on_rcpt_reply(&mut self, cx: &mut Context<'_>, index: usize, reply: Reply) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        if reply.class() == Class::Intermediate {
            return self.lose_next_hop(cx, DiscardReason::Protocol, true);
        }
        // RFC 2920: RCPT behind a refused MAIL is refused too, for a reason that tells nothing.
        let reply = transaction.mail_refused.clone().unwrap_or(reply);
        let Some(recipient) = transaction.recipients.get_mut(index) else { return };
        if recipient.is_pending() {
            recipient.state = RecipientState::Answered(reply);
        } else if !reply.is_positive() && transaction.is_redirected() {
            // The client has said all, and what it hears is for the whole message.
            self.refuse_by_next_hop(cx, reply);
        } else if !reply.is_positive() {
            // The client was told yes on the connection before; the truth can only be told later.
            self.settle(later(), Disposition::DeferredUpstream);
            self.conclude_if_complete(cx);
        }
    }

    fn on_data_reply(&mut self, cx: &mut Context<'_>, reply: Reply) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        if transaction.ahead == Ahead::Said {
            return self.on_ahead_reply(cx, reply);
        }
        match reply.class() {
            Class::Intermediate => {
                if let Hop::Bound(lease) = &mut transaction.hop {
                    // From now on a reply may come any time, though it is due after the dot only.
                    lease.client.sent(Expect::EndOfData);
                }
                self.set_stand(Stand::Data);
                self.rearm_hop_deadline(cx);
            }
            Class::Positive => self.lose_next_hop(cx, DiscardReason::Protocol, false),
            Class::Transient | Class::Permanent => {
                self.set_stand(Stand::Held);
                self.refuse_by_next_hop(cx, reply);
            }
        }
    }

    /// The reply to DATA that was said ahead of the client.
    fn on_ahead_reply(&mut self, cx: &mut Context<'_>, reply: Reply) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        transaction.ahead = Ahead::No;
        let accepted = transaction.accepted().next().is_some();
        match reply.class() {
            Class::Intermediate if accepted => transaction.ahead = Ahead::Granted,
            // RFC 2920 §3.1: 354 though no recipient is left. Nothing may be sent there.
            Class::Intermediate => self.drop_next_hop(cx, DiscardReason::Ahead),
            Class::Positive => self.lose_next_hop(cx, DiscardReason::Protocol, true),
            Class::Transient | Class::Permanent if accepted => self.refuse_by_next_hop(cx, reply),
            Class::Transient | Class::Permanent => {}
        }
    }

    /// The reply to the end of content, or one that came before it.
    fn on_content_reply(&mut self, cx: &mut Context<'_>, reply: Reply) {
        let ended = self.stand() == Stand::Ended;
        match reply.class() {
            // RFC 5321 §4.1.1.4: only now somebody is responsible. Before the end it is a lie.
            Class::Positive if ended && self.upstream_unsent == 0 => self.confirm(cx, reply),
            Class::Positive | Class::Intermediate => self.lose_next_hop(cx, DiscardReason::Protocol, false),
            Class::Transient | Class::Permanent => self.refuse_by_next_hop(cx, reply),
        }
    }

    fn on_chunk_reply(&mut self, cx: &mut Context<'_>, reply: Reply) {
        match reply.class() {
            Class::Positive => {
                if let Some(content) = self.transaction.as_deref_mut().and_then(|t| t.content.as_deref_mut())
                    && let Stand::Bdat { unanswered } = &mut content.stand
                {
                    *unanswered = unanswered.saturating_sub(1);
                }
            }
            Class::Intermediate => self.lose_next_hop(cx, DiscardReason::Protocol, false),
            Class::Transient | Class::Permanent => self.refuse_by_next_hop(cx, reply),
        }
    }

    /// The next hop refused the message: its words go down when the client listens for them.
    fn refuse_by_next_hop(&mut self, cx: &mut Context<'_>, reply: Reply) {
        if let Some(transaction) = self.transaction.as_deref_mut() {
            transaction.hop_reply = Some(reply.clone());
        }
        let disposition = match reply.class() {
            Class::Permanent => Disposition::RefusedUpstream,
            _ => Disposition::DeferredUpstream,
        };
        let closing = reply.code().to_u16() == CLOSING;
        // 421 speaks of their connection, not of ours.
        let told =
            if closing { Reply::new(451, "4.3.2", "the next hop is closing, come again") } else { reply };
        self.settle(told, disposition);
        if closing {
            self.drop_next_hop(cx, DiscardReason::Closed);
        } else {
            self.release_next_hop(cx);
        }
        self.conclude_if_complete(cx);
    }

    /// A server that resets the connection right behind its 2xx has not read the end of content:
    /// its word counts only if the connection is still there a turn later.
    fn confirm(&mut self, cx: &mut Context<'_>, reply: Reply) {
        if let Some(transaction) = self.transaction.as_deref_mut() {
            transaction.hop_reply = Some(reply);
        }
        cx.actions.push(Action::Confirm);
    }

    pub(super) fn on_confirmed(&mut self, cx: &mut Context<'_>) {
        let confirming = self.stand() == Stand::Ended;
        let transaction = self.transaction.as_deref_mut().filter(|transaction| transaction.settled.is_none());
        let reply = transaction.and_then(|transaction| transaction.hop_reply.take());
        if let Some(reply) = reply.filter(|_| confirming) {
            self.conclude_delivered(cx, reply);
        }
    }

    /// FIN behind a 2xx leaves it true; the connection is no good for another transaction.
    pub(super) fn on_next_hop_ended(&mut self, cx: &mut Context<'_>, ending: Ending) {
        if self.is_answered() && ending == Ending::Closed {
            return self.take_last_word(cx, DiscardReason::Closed);
        }
        self.lose_next_hop(cx, DiscardReason::Closed, true);
    }

    /// The end of content was answered by 2xx, which waits to be confirmed.
    fn is_answered(&self) -> bool {
        self.stand() == Stand::Ended
            && self.transaction.as_ref().is_some_and(|transaction| transaction.hop_reply.is_some())
    }

    /// The 2xx stands, whatever came behind it: to say otherwise would make a duplicate.
    fn take_last_word(&mut self, cx: &mut Context<'_>, reason: DiscardReason) {
        self.meter.note_passed();
        self.drop_next_hop(cx, reason);
        self.on_confirmed(cx);
    }

    pub(super) fn on_next_hop_late(&mut self, cx: &mut Context<'_>) {
        self.hop_deadline = None;
        let waiting =
            self.transaction.as_ref().is_some_and(|transaction| matches!(transaction.hop, Hop::Waiting));
        if waiting {
            self.unbind(cx);
            return self.fail_transaction(cx, no_connection_in_time());
        }
        self.lose_next_hop(cx, DiscardReason::TimedOut, false);
    }

    /// The connection is of no more use. Replaces it if nothing of the content went up on it.
    fn lose_next_hop(&mut self, cx: &mut Context<'_>, reason: DiscardReason, may_retry: bool) {
        let stand = self.stand();
        self.drop_next_hop(cx, reason);
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        transaction.hop_reply = None;
        if stand == Stand::Ended {
            self.settle(later(), Disposition::Unknown);
            return self.conclude_if_complete(cx);
        }
        let untouched = matches!(stand, Stand::Held | Stand::Asked);
        if may_retry && untouched && !transaction.retried && transaction.settled.is_none() {
            transaction.retried = true;
            transaction.mail_refused = None;
            self.set_stand(Stand::Held);
            return self.check_out(cx, true);
        }
        self.fail_transaction(cx, later());
    }

    /// Nothing that follows in this transaction can succeed.
    pub(super) fn fail_transaction(&mut self, cx: &mut Context<'_>, reply: Reply) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        for recipient in &mut transaction.recipients {
            if recipient.is_pending() {
                recipient.state = RecipientState::Answered(reply.clone());
            }
        }
        if transaction.accepted().next().is_some() {
            let is_final = reply.class() == Class::Permanent;
            self.settle(reply, if is_final { Disposition::Refused } else { Disposition::Deferred });
        }
        self.flush_owed(cx);
        self.conclude_if_complete(cx);
    }

    /// Fixes how the transaction ends; the first reason stands.
    pub(super) fn settle(&mut self, reply: Reply, disposition: Disposition) {
        if let Some(transaction) = self.transaction.as_deref_mut() {
            transaction.settled.get_or_insert(Settled { reply, disposition });
            if let Some(content) = transaction.content.as_deref_mut() {
                content.held = Vec::new();
                // Nothing is concluded of it: whoever sends on and on keeps no header section here.
                content.reading = None;
            }
        }
    }

    /// Gives the connection up.
    pub(super) fn drop_next_hop(&mut self, cx: &mut Context<'_>, reason: DiscardReason) {
        if let Some(transaction) = self.transaction.as_deref_mut() {
            transaction.ahead = Ahead::No;
        }
        if let Some(lease) = self.unbind(cx) {
            let heard = self.meter.on_lost(reason, lease.kept, self.is_retried());
            cx.actions.upstream.clear();
            cx.actions.push(Action::Discard(reason, heard));
        }
    }

    /// Takes the connection from the transaction; one that is not there yet is not wanted any more.
    fn unbind(&mut self, cx: &mut Context<'_>) -> Option<Lease> {
        let transaction = self.transaction.as_deref_mut()?;
        let hop = std::mem::replace(&mut transaction.hop, Hop::None);
        self.upstream_unsent = 0;
        self.hop_deadline = None;
        match hop {
            Hop::None => return None,
            Hop::LookedUp(query) => cx.actions.push(Action::CancelAsk(query)),
            Hop::Waiting => cx.actions.push(Action::CancelCheckOut),
            Hop::Bound(lease) => return Some(lease),
        }
        None
    }

    /// Lets go of the connection in the kindest way that is true: RSET where that cancels the
    /// transaction, close where only that does (RFC 5321 §4.1.1.10).
    pub(super) fn release_next_hop(&mut self, cx: &mut Context<'_>) {
        match self.stand() {
            Stand::Held if self.has_said_data() => self.drop_next_hop(cx, DiscardReason::Ahead),
            Stand::Held | Stand::Bdat { .. } => self.check_in(cx, true),
            // A refusal of what the kernel has not even taken: the dot may come to a server that
            // does not wait for one, and content be read as commands.
            Stand::Ended if self.upstream_unsent > 0 => self.drop_next_hop(cx, DiscardReason::Refused),
            // Refused after the end: DATA has reset everything; after BDAT LAST nobody knows.
            Stand::Ended => self.check_in(cx, true),
            Stand::Asked | Stand::Data => {
                let reason = if self.ended { DiscardReason::Abandoned } else { DiscardReason::Refused };
                self.drop_next_hop(cx, reason);
            }
        }
    }

    /// RSET would be content there.
    fn has_said_data(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.ahead != Ahead::No)
    }

    pub(super) fn check_in(&mut self, cx: &mut Context<'_>, reset: bool) {
        let Some(mut lease) = self.unbind(cx) else { return };
        if reset {
            lease.client.rset(&mut cx.actions.upstream);
        }
        self.pay(cx.now.instant);
        let heard = self.meter.on_returned(self.is_retried());
        cx.actions.push(Action::CheckIn(lease.client, heard));
    }

    fn is_retried(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.retried)
    }

    pub(super) fn stand(&self) -> Stand {
        let content = self.transaction.as_ref().and_then(|transaction| transaction.content.as_ref());
        content.map_or(Stand::Held, |content| content.stand)
    }

    pub(super) fn set_stand(&mut self, stand: Stand) {
        if let Some(content) = self.transaction.as_deref_mut().and_then(|t| t.content.as_deref_mut()) {
            content.stand = stand;
        }
    }

    /// Ends the transaction if the client has nothing more to send for it.
    pub(super) fn conclude_if_complete(&mut self, cx: &mut Context<'_>) {
        if self.stage == Stage::Verdict {
            self.conclude_settled(cx);
        }
    }
}

/// The connection was checked in by the reply just seen, and more came behind it: replies that are
/// still owed (to chunks under way, to RSET), or proof that it is not clean.
fn check_the_rest(cx: &mut Context<'_>, mut bytes: &[u8]) {
    let checked_in = cx.actions.list.iter_mut().find(|action| matches!(action, Action::CheckIn(..)));
    let Some(action) = checked_in else { return };
    let Action::CheckIn(client, heard) = action else { return };
    let heard = *heard;
    while !bytes.is_empty() {
        match client.receive(bytes) {
            Ok((_, Some((Expect::Rset, reply)))) if !reply.is_positive() => break,
            Ok((consumed, _)) => {
                bytes = &bytes[consumed..];
                client.proceed(&mut cx.actions.upstream);
            }
            Err(_) => break,
        }
    }
    if !bytes.is_empty() {
        *action = Action::Discard(DiscardReason::Protocol, heard);
    }
}

const fn is_content(expect: Expect) -> bool {
    matches!(expect, Expect::Data | Expect::EndOfData | Expect::Bdat { .. })
}

pub(super) fn no_connection_in_time() -> Reply {
    Reply::new(451, "4.3.2", "no connection to the next hop came free in time, come again")
}

pub(super) fn later() -> Reply {
    Reply::new(451, "4.4.2", "the connection to the next hop was lost, come again")
}
