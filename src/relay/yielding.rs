//! A connection to a next hop that a slow client has, while there are few of them.
//!
//! A transaction has one from its first recipient on, for the next hop answers for that. A client that then takes
//! its time, for the next command or for content, would keep it from others: as many clients as there are
//! connections could stop all mail with a few octets a minute. So where half of them or more are taken, whoever
//! has one for some time gives it back by RSET, and goes on without: what comes is held as before, and when it is
//! complete, or too long to be held, a connection is asked for again and the envelope said once more.
//!
//! What must always hold: a connection goes back only while nothing of the content went up, nothing is owed, and
//! RSET cancels all that was said; and one that belongs to the client alone is not given to others.

use std::time::Duration;

use super::ahead::Ahead;
use super::content::Stand;
use super::transaction::{Hop, Transaction};
use super::{Context, Relay, Shared};
use crate::base::time::Instant;

/// How much the connections of an upstream are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    #[default]
    Low,
    /// Half of them or more are taken.
    High,
    /// Somebody waits for one.
    Waiting,
}

impl Demand {
    /// So long a client may have a connection by itself, from RCPT to the end of what fits the window. Most need
    /// some round trips of their own.
    const fn hold(self) -> Option<Duration> {
        match self {
            Self::Low => None,
            Self::High => Some(Duration::from_secs(2)),
            Self::Waiting => Some(Duration::from_millis(250)),
        }
    }
}

impl Relay {
    /// When the connection is to be given back.
    pub(super) fn yields_at(&self, shared: &Shared) -> Option<Instant> {
        let transaction = self.transaction.as_deref().filter(|it| may_yield(it))?;
        let upstream = transaction.upstream?.0;
        let is_pooled = !shared.config.upstreams[upstream].identity.is_dedicated();
        let hold = shared.demand.get(upstream).copied().unwrap_or_default().hold()?;
        (is_pooled && self.upstream_unsent == 0).then_some(self.bound_since + hold)
    }

    pub(super) fn yield_next_hop(&mut self, cx: &mut Context<'_>) {
        cx.shared.tally.yielded += 1;
        self.check_in(cx, true);
    }

    /// Whether a connection that was given back is needed again now.
    pub(super) fn lacks_next_hop(&self) -> bool {
        let Some(transaction) = self.transaction.as_deref() else { return false };
        let is_ready =
            transaction.content.as_deref().is_some_and(|content| content.complete || content.overflows());
        is_ready && matches!(transaction.hop, Hop::None) && transaction.upstream.is_some()
    }
}

fn may_yield(transaction: &Transaction) -> bool {
    let Hop::Bound(lease) = &transaction.hop else { return false };
    let is_untouched = transaction
        .content
        .as_deref()
        .is_none_or(|content| content.stand == Stand::Held && !content.complete && !content.overflows());
    is_untouched
        && lease.client.is_quiet()
        && transaction.ahead == Ahead::No
        && transaction.owed.is_empty()
        && transaction.settled.is_none()
        && transaction.mail_refused.is_none()
}
