//! What a transaction shows of the next hop's server: how long it owes us replies, and what it says of itself.
//!
//! RFC 5321 §4.2.1, §4.2.5; RFC 3463 §3 (the subject of an enhanced code).
//!
//! Measured is the time in which all is said and a reply is due: to the envelope, and to the end of content. What the
//! client takes is no part of it, nor what content takes on its way.
//!
//! Where the line is between a server that cannot and one that will not: 4yz is the server's own trouble if its
//! enhanced code is about the mail system (X.3.X) or about routing (X.4.X). About an address, a mailbox, content or policy
//! (a greylist: 4.7.1) it is an answer like any other. Without an enhanced code it is trouble in reply to MAIL, DATA
//! or content, and an answer to RCPT: there most of them are greylists. 421, silence and a lost
//! connection are failures; but not on a connection that was kept and then says nothing but that, or ends: it was only
//! too old.

use std::time::Duration;

use super::action::{Action, DiscardReason, Heard};
use super::content::Stand;
use super::exchange::CLOSING;
use super::transaction::Hop;
use super::{Context, Relay};
use crate::base::time::Instant;
use crate::smtp::client::Expect;
use crate::smtp::reply::{Class, Reply};
use crate::traffic::breaker::Word;
use crate::traffic::concurrency::Debt;

/// Of one connection that is lent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    /// What is owed, and since when.
    owed: Option<(Debt, Instant)>,
    /// The first replies to an envelope were told.
    told: bool,
    content: Option<Duration>,
    /// The last one decides.
    word: Word,
    /// MAIL was refused: what is said of recipients behind it tells nothing (RFC 2920).
    mail_refused: bool,
    /// The message was taken, whatever became of the connection.
    passed: bool,
}

impl Meter {
    pub(super) fn hear(&mut self, expect: Expect, reply: &Reply) {
        if expect == Expect::Mail {
            self.mail_refused = !reply.is_positive();
        } else if self.mail_refused {
            return;
        }
        if let Some(word) = word(expect, reply) {
            self.word = word;
        }
    }

    /// The next hop has the message.
    pub(super) const fn note_passed(&mut self) {
        self.passed = true;
        self.word = Word::Well;
    }

    /// The connection is given back.
    pub(super) const fn on_returned(&self, retried: bool) -> Heard {
        Heard { word: self.word, content: self.content, passed: self.passed, retried }
    }

    /// The connection is given up.
    pub(super) fn on_lost(&self, reason: DiscardReason, kept: bool, retried: bool) -> Heard {
        let is_stale = kept && self.word == Word::Nothing;
        let word = match reason {
            _ if self.passed => Word::Well,
            DiscardReason::TimedOut => Word::Failed,
            DiscardReason::Closed | DiscardReason::Protocol if is_stale => Word::Nothing,
            DiscardReason::Closed | DiscardReason::Protocol => Word::Failed,
            DiscardReason::Refused
            | DiscardReason::Ahead
            | DiscardReason::Abandoned
            | DiscardReason::Insecure
            | DiscardReason::Unauthenticated
            | DiscardReason::Fault => self.word,
        };
        Heard { word, ..self.on_returned(retried) }
    }
}

/// What a reply says of the server; None: nothing.
fn word(expect: Expect, reply: &Reply) -> Option<Word> {
    // What that says is said by the connection's end.
    if reply.code().to_u16() == CLOSING {
        return None;
    }
    let is_about_rcpt = matches!(expect, Expect::Rcpt(_));
    match expect {
        Expect::Mail | Expect::Rcpt(_) | Expect::Data | Expect::EndOfData | Expect::Bdat { .. } => {}
        _ => return None,
    }
    if reply.class() != Class::Transient {
        return Some(Word::Well);
    }
    let own = match reply.enhanced().and_then(|code| code.split('.').nth(1)) {
        Some(subject) => matches!(subject, "3" | "4"),
        None => !is_about_rcpt,
    };
    Some(if own { Word::Sick } else { Word::Well })
}

impl Relay {
    /// Looks, behind each event, whether the next hop owes a reply now.
    pub(super) fn measure(&mut self, cx: &mut Context<'_>) {
        let debt = self.debt();
        if debt == self.meter.owed.map(|(debt, _)| debt) {
            return;
        }
        match self.meter.owed {
            Some((Debt::Envelope, since)) if !self.meter.told => {
                self.meter.told = true;
                cx.actions.push(Action::Answered(cx.now.instant.since(since)));
            }
            Some((Debt::Content, since)) => self.meter.content = Some(cx.now.instant.since(since)),
            _ => {}
        }
        self.meter.owed = debt.map(|debt| (debt, cx.now.instant));
    }

    /// The connection leaves with the reply that was owed, if it is one.
    pub(super) const fn pay(&mut self, now: Instant) {
        if let Some((Debt::Content, since)) = self.meter.owed {
            self.meter.content = Some(now.since(since));
        }
    }

    fn debt(&self) -> Option<Debt> {
        let transaction = self.transaction.as_deref()?;
        let Hop::Bound(lease) = &transaction.hop else { return None };
        if lease.client.is_quiet() {
            return None;
        }
        match self.stand() {
            Stand::Held | Stand::Asked => Some(Debt::Envelope),
            Stand::Ended => Some(Debt::Content),
            Stand::Data | Stand::Bdat { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: (u16, &str), at_rcpt: Option<Word>, elsewhere: Option<Word>) {
        let reply = Reply::new(reply.0, reply.1, "text");
        let said = |expect| word(expect, &reply);
        let last = Expect::Bdat { last: true };
        assert_eq!(said(Expect::Rcpt(0)), at_rcpt, "{reply:?}");
        assert_eq!(
            [Expect::Mail, Expect::Data, Expect::EndOfData, last].map(said),
            [elsewhere; 4],
            "{reply:?}"
        );
        assert_eq!([Expect::Rset, Expect::Xforward, Expect::Noop].map(said), [None; 3]);
    }

    #[test]
    fn a_server_that_cannot_is_not_one_that_will_not() {
        let (well, sick) = (Some(Word::Well), Some(Word::Sick));
        check((250, "2.0.0"), well, well);
        check((550, "5.3.0"), well, well);
        check((450, "4.7.1"), well, well);
        check((452, "4.2.2"), well, well);
        check((450, "4.1.8"), well, well);
        check((452, "4.5.3"), well, well);
        check((452, "4.3.1"), sick, sick);
        check((451, "4.4.3"), sick, sick);
        check((421, "4.4.2"), None, None);
        // Without a code: a greylist where recipients are asked.
        check((451, ""), well, sick);
    }

    #[test]
    fn what_follows_a_refused_mail_tells_nothing() {
        let mut meter = Meter::default();
        meter.hear(Expect::Mail, &Reply::new(451, "4.3.0", "later"));
        meter.hear(Expect::Rcpt(0), &Reply::new(503, "5.5.1", "no sender"));
        assert_eq!(meter.on_returned(false).word, Word::Sick);
        meter.hear(Expect::Mail, &Reply::new(250, "2.1.0", "ok"));
        assert_eq!(meter.on_returned(false).word, Word::Well);
    }

    #[test]
    fn an_old_connection_that_ends_is_no_failure() {
        use DiscardReason::{Abandoned, Closed, Protocol, Refused, TimedOut};
        let heard = |word, reason, fresh: bool| {
            Meter { word, ..Meter::default() }.on_lost(reason, !fresh, false).word
        };
        for reason in [Closed, Protocol] {
            assert_eq!(heard(Word::Nothing, reason, false), Word::Nothing);
            assert_eq!(heard(Word::Nothing, reason, true), Word::Failed);
            assert_eq!(heard(Word::Well, reason, false), Word::Failed);
        }
        assert_eq!(heard(Word::Nothing, TimedOut, false), Word::Failed);
        assert_eq!(heard(Word::Well, Refused, false), Word::Well);
        assert_eq!(heard(Word::Sick, Abandoned, true), Word::Sick);
        // Whoever took the message may end the connection.
        let mut meter = Meter::default();
        meter.note_passed();
        assert_eq!(
            meter.on_lost(Closed, false, true),
            Heard { word: Word::Well, content: None, passed: true, retried: true }
        );
    }
}
