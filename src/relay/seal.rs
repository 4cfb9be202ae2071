//! A set of our own in front of a message that goes on (ARC, RFC 8617).
//!
//! What it says is drawn up with the verdict; it is signed on the service side, and the end of content waits
//! for that, but not long: a message whose seal does not come goes on without one, and its record says so.
//!
//! Invariant: only a message of which the next hop has seen nothing is sealed, with the header section and
//! the body that go up.

use std::time::Duration;

use super::action::Action;
use super::question::{Answer, Query, Question};
use super::transaction::Transaction;
use super::{Context, Relay, Stage};
use crate::policy::seal::{Draft, OfSeal};
use crate::sender::arc::Unsealed;

/// Signing takes milliseconds; if nobody comes to it for so long, mail matters more.
const PATIENCE: Duration = Duration::from_secs(5);

/// What becomes of one message's seal.
#[derive(Debug, Default)]
pub(super) enum Sealing {
    /// There will be none.
    #[default]
    None,
    /// What it will say if the message goes on, or why there will be none then.
    Drawn(Result<Box<Draft>, Unsealed>),
    Asked(Query),
    /// How it ended, for the record.
    Ended(&'static str),
}

impl Sealing {
    const fn is_open(&self) -> bool {
        matches!(self, Self::Asked(_))
    }

    /// How it ended, if it was to be.
    pub(super) const fn word(&self) -> Option<&'static str> {
        match self {
            Self::Ended(word) => Some(word),
            Self::None | Self::Drawn(_) | Self::Asked(_) => None,
        }
    }
}

impl Relay {
    /// The message goes on: what was found is sealed.
    pub(super) fn seal(&mut self, cx: &mut Context<'_>) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let Sealing::Drawn(drawn) = std::mem::take(&mut transaction.sealing) else { return };
        transaction.sealing = match drawn.and_then(|draft| of_transaction(*draft, transaction)) {
            Err(why) => Sealing::Ended(why.name()),
            Ok(of_seal) => {
                let question = Question::Seal(Box::new(of_seal));
                Sealing::Asked(cx.actions.ask(&mut self.queries, question, PATIENCE))
            }
        };
    }

    pub(super) fn waits_for_seal(&self) -> bool {
        self.transaction.as_deref().is_some_and(|transaction| transaction.sealing.is_open())
    }

    /// Whether what is answered under this number is a seal.
    pub(super) fn awaits_seal(&self, query: Query) -> bool {
        let sealing = self.transaction.as_deref().map(|transaction| &transaction.sealing);
        matches!(sealing, Some(Sealing::Asked(asked)) if *asked == query)
    }

    pub(super) fn on_sealed(&mut self, cx: &mut Context<'_>, answer: Answer) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let Some(content) = transaction.content.as_deref_mut() else { return };
        let word = match answer {
            Answer::Sealed(Ok(set)) => {
                content.put_fields(&set);
                SEALED
            }
            Answer::Sealed(Err(why)) => why.name(),
            Answer::Unknown(unknown) => unknown.name(),
            _ => Unsealed::Refused.name(),
        };
        transaction.sealing = Sealing::Ended(word);
        if self.stage == Stage::Verdict && !self.is_settled() {
            self.pump(cx);
            self.conclude_if_settled(cx);
        }
    }

    /// The transaction is over: nobody waits for its seal any more.
    pub(super) fn break_off_seal(cx: &mut Context<'_>, transaction: &Transaction) {
        if let Sealing::Asked(query) = transaction.sealing {
            cx.actions.push(Action::CancelAsk(query));
        }
    }
}

const SEALED: &str = "sealed";

fn of_transaction(draft: Draft, transaction: &Transaction) -> Result<OfSeal, Unsealed> {
    let content = transaction.content.as_deref().filter(|content| content.is_whole());
    Ok(OfSeal { draft, header: content.ok_or(Unsealed::Streamed)?.header() })
}
