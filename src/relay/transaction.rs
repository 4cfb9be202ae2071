//! One transaction: MAIL to the reply for its content (RFC 5321 §3.3).

use std::collections::VecDeque;
use std::sync::Arc;

use ulid::Ulid;

use super::ahead::Ahead;
use super::content::{Content, Stand};
use super::decision::Keeping;
use super::disposition::Disposition;
use super::event::Lease;
use super::lane::Priority;
use super::limits::Taken;
use super::question::Query;
use super::recall::Memory;
use super::seal::Sealing;
use super::sender::Sender;
use crate::base::time::{Instant, Moment};
use crate::policy::inspect::Evidence;
use crate::policy::judge::Judgement;
use crate::policy::mx::Hosts;
use crate::policy::settings::UpstreamIndex;
use crate::policy::verdict::Verdict;
use crate::smtp::parameter::Declared;
use crate::smtp::reply::Reply;
use crate::tls::secured::Secured;
use crate::traffic::limit::Index;

#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: Ulid,
    pub(super) began: Moment,
    /// The reverse-path as the client wrote it, without brackets.
    pub(super) path: Box<[u8]>,
    pub(super) parameters: Box<[u8]>,
    pub(super) declared: Declared,
    /// Within its lane.
    pub(super) priority: Priority,
    pub(super) recipients: Vec<Recipient>,
    /// Replies to RCPT not yet given, in the order of the commands.
    pub(super) owed: VecDeque<Owed>,
    /// Fixed by the first recipient that has a route.
    pub(super) upstream: Option<UpstreamIndex>,
    /// Of the first recipient that has a route, in lower case.
    pub(super) domain: Box<[u8]>,
    /// Where its mail goes, if that was looked up.
    pub(super) hosts: Option<Arc<Hosts>>,
    pub(super) hop: Hop,
    /// On that connection.
    pub(super) ahead: Ahead,
    /// What is asked about who sends.
    pub(super) sender: Option<Box<Sender>>,
    /// The set of ours in front of it.
    pub(super) sealing: Sealing,
    /// What is remembered of those who send and receive it.
    pub(super) memory: Memory,
    /// The server last used, for the record.
    pub(super) server: Option<std::net::SocketAddr>,
    /// What TLS established with it.
    pub(super) secured: Option<Arc<Secured>>,
    /// The next hop said more than it was asked for: its connection is good for nothing else.
    pub(super) spoilt: bool,
    /// The one silent retry was used.
    pub(super) retried: bool,
    /// The next hop's refusal of MAIL: it answers every RCPT.
    pub(super) mail_refused: Option<Reply>,
    /// What everything that follows hears: the transaction cannot succeed any more.
    pub(super) settled: Option<Settled>,
    pub(super) content: Option<Box<Content>>,
    /// What was decided over it.
    pub(super) judgement: Option<Box<Judgement>>,
    /// Its way into quarantine.
    pub(super) keeping: Option<Keeping>,
    /// The next hop's last reply to content.
    pub(super) hop_reply: Option<Reply>,
    pub(super) ended_at: Option<Instant>,
    /// What it has of limits.
    pub(super) taken: Vec<Taken>,
    /// The limit that stopped it, or one of its recipients.
    pub(super) limited: Option<Index>,
}

/// How a transaction ends, known before it has ended.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) reply: Reply,
    pub(super) disposition: Disposition,
}

#[derive(Debug)]
pub(super) enum Hop {
    None,
    /// Where it is was asked under this number.
    LookedUp(Query),
    /// Asked for, not yet there.
    Waiting,
    Bound(Lease),
}

#[derive(Debug)]
pub(super) struct Recipient {
    pub(super) path: Box<[u8]>,
    pub(super) parameters: Box<[u8]>,
    pub(super) state: RecipientState,
}

#[derive(Debug)]
pub(super) enum RecipientState {
    /// The next hop was or will be asked.
    Pending,
    /// What the client was or will be told.
    Answered(Reply),
}

impl Recipient {
    pub(super) fn is_accepted(&self) -> bool {
        matches!(&self.state, RecipientState::Answered(reply) if reply.is_positive())
    }

    pub(super) const fn is_pending(&self) -> bool {
        matches!(self.state, RecipientState::Pending)
    }
}

/// A reply to RCPT that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed(pub(super) usize);

impl Transaction {
    pub(super) fn new(
        id: Ulid,
        began: Moment,
        path: &[u8],
        parameters: Box<[u8]>,
        declared: Declared,
    ) -> Self {
        Self {
            id,
            began,
            path: path.into(),
            parameters,
            declared,
            priority: Priority::default(),
            recipients: Vec::new(),
            owed: VecDeque::new(),
            upstream: None,
            domain: Box::default(),
            hosts: None,
            hop: Hop::None,
            ahead: Ahead::No,
            sender: None,
            sealing: Sealing::None,
            memory: Memory::default(),
            server: None,
            secured: None,
            spoilt: false,
            retried: false,
            mail_refused: None,
            settled: None,
            content: None,
            judgement: None,
            keeping: None,
            hop_reply: None,
            ended_at: None,
            taken: Vec::new(),
            limited: None,
        }
    }

    pub(super) fn accepted(&self) -> impl Iterator<Item = &Recipient> {
        self.recipients.iter().filter(|recipient| recipient.is_accepted())
    }

    /// Whether it goes to another next hop than its recipients'.
    pub(super) fn is_redirected(&self) -> bool {
        self.judgement.as_ref().is_some_and(|it| matches!(it.verdict, Verdict::Redirect(_)))
    }

    /// Whether it was one recipient and its content, as [`super::ahead`] bets; `None` if it says
    /// nothing about that.
    pub(super) fn was_foreseen(&self) -> Option<bool> {
        let asked = self.upstream.is_some() && self.accepted().next().is_some();
        let went_up = self.content.as_ref().is_some_and(|content| content.stand == Stand::Ended);
        asked.then_some(went_up && self.recipients.len() == 1)
    }

    /// What people may see of what was found.
    pub(super) fn evidence(&self) -> &[Evidence] {
        let content = self.content.as_ref().and_then(|content| content.inspection.as_ref());
        content.map(|inspection| inspection.evidence()).unwrap_or_default()
    }

    pub(super) const fn lease_mut(&mut self) -> Option<&mut Lease> {
        match &mut self.hop {
            Hop::Bound(lease) => Some(lease),
            Hop::None | Hop::LookedUp(_) | Hop::Waiting => None,
        }
    }
}
