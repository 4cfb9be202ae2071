//! Where the mail of a recipient goes, if that has to be looked up: asked at the first recipient, and its
//! reply waits for the answer.
//!
//! RFC 5321 §5.1; RFC 7505 §3; [`crate::policy::mx`] says what follows from what the DNS says.
//!
//! What must always hold: nothing is said to a host that was not among the answers; a recipient whose domain
//! cannot be looked up hears 4yz; what one domain answers decides over no other's recipients.

use std::sync::Arc;

use super::question::{Answer, Query, Question};
use super::transaction::{Hop, RecipientState};
use super::{Context, Relay};
use crate::policy::mx::{Hosts, Nowhere, OfDomain};
use crate::policy::settings::{Upstream, UpstreamIndex};
use crate::smtp::extension::{Capabilities, Extensions};

/// What is promised for an upstream before any server of it was heard: nothing, where they are known. Of
/// those that are looked up nobody knows; most can do this, and for the others a recipient is refused.
pub(super) fn promised(upstream: &Upstream) -> Option<Capabilities> {
    let extensions = Extensions::SIZE
        .union(Extensions::EIGHT_BIT_MIME)
        .union(Extensions::SMTPUTF8)
        .union(Extensions::REQUIRETLS);
    upstream.is_looked_up().then(|| Capabilities { extensions, ..Capabilities::none() })
}

/// What of it we may promise in our turn: REQUIRETLS only if every server proves who it is.
pub(super) fn kept(heard: &Capabilities, upstream: &Upstream) -> Capabilities {
    let mut kept = heard.clone();
    if !upstream.is_looked_up() && !upstream.tls.authenticates() {
        kept.extensions.remove(Extensions::REQUIRETLS);
    }
    kept
}

impl Relay {
    /// Asks for the hosts of this recipient's domain.
    pub(super) fn look_up(&mut self, cx: &mut Context<'_>, UpstreamIndex(upstream): UpstreamIndex) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let domain = String::from_utf8_lossy(&transaction.domain).into_owned();
        let question = Question::NextHop(Box::new(OfDomain { upstream, domain }));
        let timeout = &cx.shared.config.upstreams[upstream].timeout;
        let patience = timeout.connect + timeout.reply;
        transaction.hop = Hop::LookedUp(cx.actions.ask(&mut self.queries, question, patience));
    }

    /// Whether what is answered under this number says where mail goes.
    pub(super) fn awaits_hosts(&self, query: Query) -> bool {
        let hop = self.transaction.as_deref().map(|transaction| &transaction.hop);
        matches!(hop, Some(Hop::LookedUp(asked)) if *asked == query)
    }

    pub(super) fn on_hosts(&mut self, cx: &mut Context<'_>, answer: Answer) {
        let found = match answer {
            Answer::NextHop(found) => found,
            _ => Err(Nowhere::Failed),
        };
        match found {
            Ok(hosts) => self.on_looked_up(cx, hosts),
            Err(nowhere) => self.on_nowhere(cx, nowhere),
        }
    }

    fn on_looked_up(&mut self, cx: &mut Context<'_>, hosts: Arc<Hosts>) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        if transaction.declared.require_tls && !hosts.is_certain {
            return self.on_nowhere(cx, Nowhere::Uncertain);
        }
        transaction.hosts = Some(hosts);
        transaction.hop = Hop::None;
        self.check_out(cx, false);
    }

    /// All recipients so far are of that domain: the next one may be of another.
    fn on_nowhere(&mut self, cx: &mut Context<'_>, nowhere: Nowhere) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let reply = nowhere.reply();
        for recipient in transaction.recipients.iter_mut().filter(|recipient| recipient.is_pending()) {
            recipient.state = RecipientState::Answered(reply.clone());
        }
        transaction.hop = Hop::None;
        transaction.upstream = None;
        self.flush_owed(cx);
    }
}
