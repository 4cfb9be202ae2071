//! What a relay may ask of the service side, and what it may hear back.
//!
//! A worker never waits: a question goes out with the relay's own number ([`Query`]), the relay goes
//! on with what it can do meanwhile, and answers come as events. A question that could not be put,
//! or whose answer did not come in time, is answered all the same: [`Unknown`]. What that means for
//! the message is for policy to say; it never means that all is well.

use std::sync::Arc;

use super::auth::{Attempt, Outcome};
use super::quarantine::{Spool, Spooled};
use crate::base::time::Instant;
use crate::limits::{ASKED_BYTES_MAX, INQUIRY_BYTES};
use crate::policy::ledger::{Key, Lesson, Recalled};
use crate::policy::links::OfLinks;
use crate::policy::mx::{Hosts, Nowhere, OfDomain};
use crate::policy::seal::OfSeal;
use crate::policy::sender::{AuthorFound, ClientFound, OfAuthor, OfClient};
use crate::sender::address_list::Listings;
use crate::sender::arc::Unsealed;
use crate::smtp::reply::Reply;
use crate::traffic::bank::{Alert, Claim, Grant};

/// A relay's own number for what it asked. Not used again for another question while an answer to
/// the first may still come: a relay just counts up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Query(pub u32);

impl Query {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// One question, or one word of a conversation with several under the same [`Query`].
#[derive(Debug)]
pub enum Question {
    Quarantine(Spool),
    /// About the client and the sender that it names.
    Client(Box<OfClient>),
    /// About the author and who signed.
    Author(Box<OfAuthor>),
    /// About where links lead.
    Links(Box<OfLinks>),
    /// What is to be sealed.
    Seal(Box<OfSeal>),
    /// About a client that says who it is.
    Auth(Box<Attempt>),
    /// About where mail for a domain goes.
    NextHop(Box<OfDomain>),
    /// What is remembered of these.
    Recall(Recall),
    /// What is to be remembered.
    Learn(Learn),
    /// What a worker used of limits, and wants of them. Nobody's relay asks it.
    Claims(Box<Claims>),
}

/// What goes to the bank of tokens together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    pub now: Instant,
    pub claims: Vec<Claim>,
    pub alerts: Vec<Alert>,
}

/// What comes from there, and whom an administrator is to hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    pub grants: Vec<Grant>,
    pub alerts: Vec<Alert>,
}

/// Keys of the ledger, and the second of the wall clock in which it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    pub now: u64,
    pub keys: Vec<Key>,
}

/// Lessons, and the second of the wall clock in which they were learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learn {
    pub now: u64,
    pub lessons: Vec<Lesson>,
}

impl Question {
    /// Octets of content that travel with it.
    pub const fn octets(&self) -> usize {
        match self {
            Self::Quarantine(Spool::Append(bytes)) => bytes.len(),
            _ => 0,
        }
    }

    /// Octets that it takes in memory, as far as peers say how many.
    pub fn weight(&self) -> usize {
        match self {
            Self::Quarantine(Spool::Append(bytes)) => bytes.len(),
            Self::Quarantine(Spool::Commit(description)) => description.envelope.weight(),
            Self::Quarantine(Spool::Begin { .. } | Spool::Abort) => 0,
            Self::Client(_) => INQUIRY_BYTES,
            Self::Author(author) => INQUIRY_BYTES + author.weight(),
            Self::Seal(of_seal) => INQUIRY_BYTES + of_seal.weight(),
            Self::Links(links) => INQUIRY_BYTES + links.weight(),
            Self::Auth(attempt) => INQUIRY_BYTES + attempt.weight(),
            Self::NextHop(domain) => INQUIRY_BYTES + domain.weight(),
            Self::Recall(recall) => size_of_val(&recall.keys[..]),
            Self::Learn(learn) => size_of_val(&learn.lessons[..]),
            Self::Claims(claims) => size_of_val(&claims.claims[..]),
        }
    }

    /// Up to which weight of all questions together this one is put. Inquiries leave room for
    /// messages that are to be kept: whoever floods us with MAIL must not keep those from their place.
    pub const fn ceiling(&self) -> usize {
        match self {
            Self::Quarantine(_) => ASKED_BYTES_MAX,
            _ => ASKED_BYTES_MAX / 2,
        }
    }

    /// Whether an answer is owed even if all goes well.
    pub const fn wants_answer(&self) -> bool {
        match self {
            Self::Quarantine(Spool::Append(_) | Spool::Commit(_)) => true,
            Self::Client(_) | Self::Author(_) | Self::Links(_) | Self::Seal(_) => true,
            Self::Auth(_) | Self::NextHop(_) | Self::Recall(_) => true,
            Self::Learn(_) | Self::Claims(_) => false,
            Self::Quarantine(Spool::Begin { .. } | Spool::Abort) => false,
        }
    }

    /// Whether nothing more is said or heard under its [`Query`].
    pub const fn ends(&self) -> bool {
        matches!(self, Self::Quarantine(Spool::Abort))
    }

    /// What the service must hear when nobody waits for its answer any more, if it must at all.
    pub const fn retraction(&self) -> Option<Self> {
        match self {
            Self::Quarantine(_) => Some(Self::Quarantine(Spool::Abort)),
            // A wrong password counts though its client has left.
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Quarantine(Spooled),
    Client(Box<ClientFound>),
    Author(Box<AuthorFound>),
    Links(Box<Listings>),
    /// The set that goes in front.
    Sealed(Result<String, Unsealed>),
    Auth(Outcome),
    NextHop(Result<Arc<Hosts>, Nowhere>),
    Recalled(Recalled),
    /// To the worker, not to a relay of it.
    Granted(Box<Granted>),
    Unknown(Unknown),
}

impl Answer {
    /// Whether no other answer follows under the same [`Query`].
    pub const fn is_last(&self) -> bool {
        !matches!(self, Self::Quarantine(Spooled::Taken { .. }))
    }

    /// What the client hears of an answer that is no yes. Always 4yz: the message stays with it.
    pub fn refusal(&self) -> Option<Reply> {
        match self {
            Self::Quarantine(Spooled::Taken { .. } | Spooled::Stored) => None,
            // What these mean is said where they are asked for.
            Self::Client(_) | Self::Author(_) | Self::Links(_) | Self::Sealed(_) => None,
            Self::Auth(_) | Self::NextHop(_) | Self::Recalled(_) | Self::Granted(_) => None,
            Self::Quarantine(Spooled::Failed(failure)) => Some(failure.reply()),
            Self::Unknown(_) => Some(Reply::new(451, "4.3.0", "cannot be decided now, come again")),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// The question could not be put: too many are under way.
    Full,
    /// The answer did not come in time. If it comes yet, nobody hears it.
    Late,
    /// Nobody is there who could answer.
    Gone,
}

impl Unknown {
    /// For records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Late => "late",
            Self::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::quarantine::{Failure, FailureKind};

    #[test]
    fn whatever_is_no_yes_is_a_4yz() {
        let failed = |kind| Answer::Quarantine(Spooled::Failed(Failure::new(kind, "x")));
        let kinds = [FailureKind::Full, FailureKind::Busy, FailureKind::Disk, FailureKind::Disorder];
        let unknown = [Unknown::Full, Unknown::Late, Unknown::Gone].map(Answer::Unknown);
        for answer in kinds.map(failed).into_iter().chain(unknown) {
            let reply = answer.refusal().expect("a reply");
            assert!((400..500).contains(&reply.code().to_u16()), "{answer:?}");
            assert!(answer.is_last());
        }
        let taken = Answer::Quarantine(Spooled::Taken { words: 1, octets: 5 });
        assert!(taken.refusal().is_none() && !taken.is_last());
        let stored = Answer::Quarantine(Spooled::Stored);
        assert!(stored.refusal().is_none() && stored.is_last());
    }

    #[test]
    fn only_appended_content_counts() {
        let append = Question::Quarantine(Spool::Append(vec![0; 7]));
        assert_eq!((append.octets(), append.wants_answer(), append.ends()), (7, true, false));
        let abort = append.retraction().expect("a retraction");
        assert_eq!((abort.octets(), abort.wants_answer(), abort.ends()), (0, false, true));
    }
}
