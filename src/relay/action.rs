//! Everything that a relay can ask for. The worker carries out all of it before the next event.

use std::sync::Arc;
use std::time::Duration;

use super::event::Side;
use super::question::{Query, Question};
use super::record::Record;
use crate::policy::mx::Hosts;
use crate::smtp::client::Client;
use crate::smtp::xforward::Identity;
use crate::traffic::breaker::Word;
use crate::traffic::lane::Standing;

/// Why an upstream connection is given up instead of returned to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiscardReason {
    /// It was closed, or announced so by 421, while it was ours.
    Closed,
    /// It broke the protocol: malformed, unexpected or surplus replies.
    Protocol,
    /// It did not answer, or did not take our bytes, in time.
    TimedOut,
    /// Content refused after DATA: closing without the dot is the only way to cancel it.
    Refused,
    /// DATA was said ahead of the client, in vain.
    Ahead,
    /// The client left in the middle of DATA.
    Abandoned,
    /// It has no TLS where mail must not go in clear.
    Insecure,
    /// Its server did not take who we are, or did not prove who it is.
    Unauthenticated,
    /// A bug of ours.
    Fault,
}

/// What came of a connection that was lent, as far as it says something of its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub word: Word,
    /// How long it owed the reply to the end of content, if it gave it.
    pub content: Option<Duration>,
    /// It took the message.
    pub passed: bool,
    /// It was a silent retry.
    pub retried: bool,
}

#[derive(Debug)]
pub enum Action {
    /// Asks for an upstream connection; answered by `CheckedOut` or `CheckOutRefused`.
    CheckOut {
        upstream: usize,
        /// Where its servers are, if they had to be looked up.
        hosts: Option<Arc<Hosts>>,
        /// Do not hand out one that was used before: the last one was stale.
        fresh: bool,
        /// Who is served first where several wait.
        standing: Standing,
        /// Some of its recipients were accepted: it is not sent away for others.
        bound: bool,
        /// Whom a dedicated connection speaks for (XCLIENT, PROXY); pooled ones speak for nobody.
        identity: Option<Box<Identity>>,
    },
    /// The connection asked for is no longer wanted.
    CancelCheckOut,
    /// Gives the connection back. What it still owes is a reply to RSET, if anything.
    CheckIn(Box<Client>, Heard),
    Discard(DiscardReason, Heard),
    /// The next hop answered the envelope, so long after it had it.
    Answered(Duration),
    /// Look once more at the next hop's connection, without waiting: if nothing ended it, answer
    /// with `Confirmed`.
    Confirm,
    /// Ask the service side. What is owed comes as `Answered` with the same number, within
    /// `patience` of the last progress. Several under one number are a conversation.
    Ask {
        query: Query,
        question: Question,
        patience: Duration,
    },
    /// No answer under this number is wanted any more; a conversation is broken off.
    CancelAsk(Query),
    /// Receive from the client in steps of one buffer a turn, or freely again.
    Pace {
        stepwise: bool,
    },
    /// Speak TLS with the client behind what was said so far: answered by `Secured` or `Insecure`.
    StartTls {
        /// What it has sent of it already.
        early: Vec<u8>,
    },
    /// Stop and go on reading from the client.
    Pause,
    Resume,
    /// Close the client's connection once everything queued was sent.
    Finish {
        /// The client may still be sending: FIN first, so that our last reply is not lost to a
        /// reset.
        linger: bool,
    },
    /// Close it now.
    Abort,
    Record(Box<Record>),
}

/// What follows from one event: bytes for both sides first, then the list in order.
#[derive(Debug, Default)]
pub struct Actions {
    pub downstream: Vec<u8>,
    pub upstream: Vec<u8>,
    pub list: Vec<Action>,
}

impl Actions {
    pub fn push(&mut self, action: Action) {
        self.list.push(action);
    }

    /// Asks under a number of its own, the next of `queries`.
    pub(super) fn ask(&mut self, queries: &mut Query, question: Question, patience: Duration) -> Query {
        *queries = queries.next();
        self.push(Action::Ask { query: *queries, question, patience });
        *queries
    }

    /// The bytes queued for `side`.
    pub const fn bytes(&mut self, side: Side) -> &mut Vec<u8> {
        match side {
            Side::Downstream => &mut self.downstream,
            Side::Upstream => &mut self.upstream,
        }
    }
}
