//! MAIL and RCPT: checked and answered here as far as we can, routed, and asked of the next hop.
//!
//! RFC 5321 §3.3, §4.1.1.2, §4.1.1.3, §4.1.1.11; RFC 1870; RFC 6531 §3.4; RFC 2920.
//!
//! MAIL is answered by us; the first recipient that has a route fixes the next hop, and only then a
//! connection is checked out. From there RCPT goes up as it comes, and the next hop's replies come
//! down in the order of the commands.

use std::sync::Arc;

use ulid::Ulid;

use super::action::{Action, DiscardReason, Heard};
use super::ahead::{Ahead, Foresight};
use super::disposition::Disposition;
use super::event::{Lease, Refusal};
use super::meter::Meter;
use super::session::Session;
use super::transaction::{Hop, Owed, Recipient, RecipientState, Transaction};
use super::{Context, Relay};
use crate::limits::TRACE_FIELD_BYTES_MAX;
use crate::policy::settings::{Config, IdentityMode, UpstreamIndex};
use crate::smtp::client::Client;
use crate::smtp::command::{Mail, Rcpt};
use crate::smtp::extension::{Capabilities, Extensions};
use crate::smtp::parameter::{self, Declared, Parameters, append};
use crate::smtp::reply::Reply;

const SENDER_OK: &[u8] = b"250 2.1.0 sender ok\r\n";
const PRIORITY_CHANGED: &[u8] = b"250 2.3.6 sender ok, but not its priority\r\n";

impl Relay {
    pub(super) fn on_mail(&mut self, cx: &mut Context<'_>, mail: &Mail<'_>) {
        match self.check_mail(cx, mail) {
            Ok(declared) => {
                self.recall_conduct(cx.now.instant, cx.shared);
                self.session.transactions += 1;
                let id = Ulid::from_parts(cx.now.wall.as_millis(), cx.shared.random.u128(..));
                let parameters = self.kept_parameters(cx, mail.parameters);
                let mut transaction = Transaction::new(id, cx.now, mail.path.text, parameters, declared);
                let priority = self.priority(&cx.shared.config, &declared);
                transaction.priority = priority;
                self.transaction = Some(Box::new(transaction));
                self.find_lane_of_sender(cx);
                if self.is_deferred(cx.shared) {
                    return self.defer_mail(cx);
                }
                if !self.admits_mail(cx) {
                    return;
                }
                // RFC 6710 §4.1: a client whose priority was changed hears so.
                self.say_wire(cx, if priority.is_changed { PRIORITY_CHANGED } else { SENDER_OK });
                self.ask_about_client(cx);
            }
            Err(reply) => self.complain(cx, &reply),
        }
    }

    /// Others come first; nothing was promised yet.
    fn defer_mail(&mut self, cx: &mut Context<'_>) {
        let reply = Reply::new(450, "4.3.2", "busy with others, come again");
        let id = self.transaction.as_deref().map(|transaction| transaction.id.to_string());
        let reply = reply.with_id(&id.unwrap_or_default());
        self.settle(reply.clone(), Disposition::Deferred);
        self.abandon_transaction(cx, &reply.first_line());
        self.say(cx, &reply);
    }

    fn check_mail(&self, cx: &Context<'_>, mail: &Mail<'_>) -> Result<Declared, Reply> {
        let workers = &cx.shared.config.workers;
        if self.session.transactions >= workers.transactions {
            // RFC 9422 §3: the client was told MAILMAX.
            return Err(Reply::new(451, "4.5.3", "too many messages in this session"));
        }
        let mut offered = cx.shared.offer.extensions();
        if self.session.secured.is_none() {
            offered.remove(Extensions::REQUIRETLS);
        }
        if self.knows_auth(cx) {
            offered.insert(Extensions::AUTH);
        }
        if cx.shared.config.listeners[self.session.listener].mt_priority.is_some() {
            offered.insert(Extensions::MT_PRIORITY);
        }
        let declared = parameter::check_mail(mail.parameters, offered).map_err(|error| error.reply())?;
        if declared.size.is_some_and(|size| size > size_limit(cx)) {
            return Err(Reply::new(552, "5.3.4", "message size exceeds the limit"));
        }
        if mail.path.utf8 && !declared.smtputf8 {
            return Err(Reply::new(553, "5.6.7", "this address needs SMTPUTF8"));
        }
        Ok(declared)
    }

    pub(super) fn on_rcpt(&mut self, cx: &mut Context<'_>, rcpt: &Rcpt<'_>) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let index = transaction.recipients.len();
        let judged = check_rcpt(cx, &self.session, transaction, rcpt);
        let judged =
            judged.and_then(|upstream| self.admit_recipient(cx, rcpt.path.domain).map(|()| upstream));
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let state = match &judged {
            Ok(_) => RecipientState::Pending,
            Err(reply) => RecipientState::Answered(reply.clone()),
        };
        // Recipients beyond the limit are answered and forgotten: memory is bounded.
        if index >= recipients_kept_max(cx) {
            let reply = judged.err().unwrap_or_else(too_many_recipients);
            return self.say(cx, &reply);
        }
        let (path, parameters) = (rcpt.path.text.into(), rcpt.parameters.as_bytes().into());
        transaction.recipients.push(Recipient { path, parameters, state });
        transaction.owed.push_back(Owed(index));
        if let Ok(upstream) = judged {
            if transaction.upstream.is_none() {
                transaction.domain = rcpt.path.domain.to_ascii_lowercase().into();
            }
            self.ask_next_hop(cx, upstream, index);
        }
        self.flush_owed(cx);
    }

    /// Sends RCPT up, or asks for a connection to send it on.
    fn ask_next_hop(&mut self, cx: &mut Context<'_>, upstream: UpstreamIndex, index: usize) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        transaction.upstream = Some(upstream);
        let is_unknown = cx.shared.config.upstreams[upstream.0].is_looked_up() && transaction.hosts.is_none();
        match &mut transaction.hop {
            Hop::LookedUp(_) | Hop::Waiting => {}
            Hop::None if is_unknown => self.look_up(cx, upstream),
            Hop::None => self.check_out(cx, false),
            Hop::Bound(_) if transaction.ahead != Ahead::No => {
                self.drop_next_hop(cx, DiscardReason::Ahead);
                self.check_out(cx, false);
            }
            Hop::Bound(lease) => {
                let begin = cx.actions.upstream.len();
                let recipient = &transaction.recipients[index];
                let number = u32::try_from(index).unwrap_or(u32::MAX);
                lease.client.rcpt(number, &recipient.path, &recipient.parameters, &mut cx.actions.upstream);
                self.note_queued(cx, cx.actions.upstream.len() - begin);
                self.arm_hop_deadline(cx);
            }
        }
    }

    pub(super) fn check_out(&mut self, cx: &mut Context<'_>, fresh: bool) {
        let standing = self.standing();
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let Some(upstream) = transaction.upstream else { return };
        let settings = &cx.shared.config.upstreams[upstream.0];
        let dedicated = settings.identity.is_dedicated();
        let hosts = transaction.hosts.clone().filter(|_| settings.is_looked_up());
        let identity = dedicated.then(|| Box::new(self.session.identity()));
        transaction.hop = Hop::Waiting;
        self.hop_deadline = Some(cx.now.instant + settings.pool.wait);
        cx.actions.push(Action::CheckOut {
            upstream: upstream.0,
            hosts,
            fresh,
            standing,
            bound: transaction.accepted().next().is_some(),
            identity,
        });
    }

    /// A connection is there: the whole envelope so far goes up in one write.
    pub(super) fn on_checked_out(&mut self, cx: &mut Context<'_>, mut lease: Lease) {
        let Some(transaction) = self.transaction.as_deref_mut() else {
            return cx.actions.push(Action::CheckIn(lease.client, Heard::default()));
        };
        if let Some(reply) = unfit(transaction, &lease) {
            return self.turn_back(cx, lease, reply);
        }
        let mode = transaction
            .upstream
            .map_or(IdentityMode::None, |index| cx.shared.config.upstreams[index.0].identity);
        let out = &mut cx.actions.upstream;
        let begin = out.len();
        if !lease.fresh {
            lease.client.rset(out);
        }
        if mode == IdentityMode::Xforward {
            lease.client.xforward(&self.session.identity(), out);
        }
        let parameters = forwarded_parameters(transaction, &lease.client);
        lease.client.mail(&transaction.path, &parameters, out);
        for (index, recipient) in (0u32..).zip(&transaction.recipients) {
            if recipient.is_pending() || recipient.is_accepted() {
                lease.client.rcpt(index, &recipient.path, &recipient.parameters, out);
            }
        }
        if says_data_ahead(transaction, &lease.client, &cx.shared.config, &cx.shared.foresight) {
            lease.client.data(out);
            transaction.ahead = Ahead::Said;
        }
        let queued = out.len() - begin;
        transaction.server = Some(lease.server);
        transaction.secured.clone_from(&lease.secured);
        transaction.hop = Hop::Bound(lease);
        self.bound_since = cx.now.instant;
        self.meter = Meter::default();
        self.note_queued(cx, queued);
        self.rearm_hop_deadline(cx);
    }

    /// This very server cannot do what the transaction asks. Another host of the domain may (RFC 8689 §4.2.1).
    fn turn_back(&mut self, cx: &mut Context<'_>, lease: Lease, reply: Reply) {
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        transaction.hop = Hop::None;
        cx.actions.push(Action::CheckIn(lease.client, Heard::default()));
        self.hop_deadline = None;
        if let Some(others) = transaction.hosts.as_ref().and_then(|hosts| hosts.without(lease.server)) {
            transaction.hosts = Some(Arc::new(others));
            return self.check_out(cx, false);
        }
        self.fail_transaction(cx, reply);
    }

    pub(super) fn on_check_out_refused(&mut self, cx: &mut Context<'_>, why: Refusal) {
        let reply = match why {
            Refusal::Unreachable => Reply::new(451, "4.4.1", "the next hop cannot be reached, come again"),
            Refusal::Overloaded => super::exchange::no_connection_in_time(),
            Refusal::Retries => super::exchange::later(),
        };
        if let Some(transaction) = self.transaction.as_deref_mut() {
            transaction.hop = Hop::None;
        }
        self.hop_deadline = None;
        self.fail_transaction(cx, reply);
    }

    /// Gives the replies to RCPT whose turn has come.
    pub(super) fn flush_owed(&mut self, cx: &mut Context<'_>) {
        while let Some(reply) = self.transaction.as_deref_mut().and_then(next_owed) {
            self.say(cx, &reply);
            self.note_recipient(cx, &reply);
        }
        self.end_if_harvesting(cx);
    }

    pub(super) fn owes_replies(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| !transaction.owed.is_empty())
    }

    /// Whether one more RCPT can be taken before earlier ones are answered.
    pub(super) fn has_room_for_rcpt(&self, cx: &Context<'_>) -> bool {
        let kept = self.transaction.as_ref().map_or(0, |transaction| transaction.recipients.len());
        kept < recipients_kept_max(cx)
    }

    pub(super) fn arm_hop_deadline(&mut self, cx: &Context<'_>) {
        if self.hop_deadline.is_none() {
            self.rearm_hop_deadline(cx);
        }
    }
}

/// Whether the client will, most likely, send content for the one recipient it has named.
fn says_data_ahead(
    transaction: &Transaction,
    client: &Client,
    config: &Config,
    foresight: &[Foresight],
) -> bool {
    let Some(UpstreamIndex(upstream)) = transaction.upstream else { return false };
    let alone = matches!(&transaction.recipients[..], [only] if only.is_pending());
    alone
        && !transaction.retried
        && client.pipelines()
        && !super::flow::sends_chunks(client, config, upstream)
        && foresight[upstream].expects_data()
}

/// The next reply to RCPT, if it is known.
fn next_owed(transaction: &mut Transaction) -> Option<Reply> {
    let &Owed(index) = transaction.owed.front()?;
    let RecipientState::Answered(reply) = &transaction.recipients[index].state else { return None };
    let reply = reply.clone();
    transaction.owed.pop_front();
    Some(reply)
}

fn recipients_kept_max(cx: &Context<'_>) -> usize {
    // Refused ones are kept for the record, up to as many again.
    cx.shared.config.workers.recipients as usize * 2
}

/// What EHLO announced as SIZE: the least of what we and the next hops take.
pub(super) fn size_limit(cx: &Context<'_>) -> u64 {
    let offered = cx.shared.offer.size;
    let own = cx.shared.config.workers.message;
    if offered == 0 { own } else { offered.min(own) }
}

/// Whether this recipient may be asked of a next hop, and of which.
fn check_rcpt(
    cx: &Context<'_>,
    session: &Session,
    transaction: &Transaction,
    rcpt: &Rcpt<'_>,
) -> Result<UpstreamIndex, Reply> {
    if let Some(reply) = &transaction.mail_refused {
        return Err(reply.clone());
    }
    if let Some(settled) = &transaction.settled {
        return Err(settled.reply.clone());
    }
    let open =
        transaction.recipients.iter().filter(|recipient| recipient.is_pending() || recipient.is_accepted());
    if open.count() >= cx.shared.config.workers.recipients as usize {
        return Err(too_many_recipients());
    }
    let offered = cx.shared.offer.extensions();
    let declared = parameter::check_rcpt(rcpt.parameters, offered).map_err(|error| error.reply())?;
    if rcpt.path.is_null() {
        return Err(Reply::new(501, "5.1.3", "a recipient is needed"));
    }
    if rcpt.path.utf8 && !transaction.declared.smtputf8 {
        return Err(Reply::new(553, "5.6.7", "this address needs SMTPUTF8"));
    }
    let upstream = cx.shared.config.routes.route(rcpt.path.local, rcpt.path.domain, session.as_submitter());
    let upstream =
        upstream.ok_or_else(|| Reply::new(550, "5.1.2", "relaying refused: no route to this domain"))?;
    let by_domain = cx.shared.config.upstreams[upstream.0].mx.is_some();
    let differs = |fixed: UpstreamIndex| {
        fixed != upstream || by_domain && !rcpt.path.domain.eq_ignore_ascii_case(&transaction.domain)
    };
    if transaction.upstream.is_some_and(differs) {
        return Err(Reply::new(452, "4.5.3", "this recipient needs a transaction of its own"));
    }
    check_capabilities(cx, transaction, &declared, upstream)?;
    Ok(upstream)
}

fn too_many_recipients() -> Reply {
    Reply::new(452, "4.5.3", "too many recipients, come again with the others")
}

/// Whether another next hop can take a transaction that was accepted for one.
pub(super) fn can_carry(cx: &Context<'_>, transaction: &Transaction, upstream: UpstreamIndex) -> bool {
    let parameters = transaction.accepted().map(|recipient| Parameters::parse(&recipient.parameters));
    let offered = cx.shared.offer.extensions();
    let declared = parameters.map(|it| it.ok().and_then(|it| parameter::check_rcpt(it, offered).ok()));
    declared.into_iter().all(|declared| {
        declared.is_some_and(|rcpt| check_capabilities(cx, transaction, &rcpt, upstream).is_ok())
    })
}

/// Whether the next hop of this recipient can do what the transaction asks, as far as it was heard.
fn check_capabilities(
    cx: &Context<'_>,
    transaction: &Transaction,
    rcpt: &Declared,
    upstream: UpstreamIndex,
) -> Result<(), Reply> {
    let Some(capabilities) = &cx.shared.capabilities[upstream.0] else { return Ok(()) };
    keeps(capabilities, &transaction.declared, rcpt)
}

/// Why no mail of this transaction may go over this connection, whatever was heard of other servers.
fn unfit(transaction: &Transaction, lease: &Lease) -> Option<Reply> {
    let is_proven = lease.secured.as_ref().is_some_and(|secured| secured.trust().is_verified());
    if transaction.declared.require_tls && !is_proven {
        // RFC 8689 §4.2.1.
        return Some(Reply::new(550, "5.7.10", "REQUIRETLS: the next hop does not prove who it is"));
    }
    // Of servers that are the upstream's own it was heard before; these may have changed, and say so themselves.
    let is_stranger = transaction.hosts.is_some() || transaction.declared.require_tls;
    let capabilities = Some(lease.client.capabilities()).filter(|_| is_stranger)?;
    keeps(capabilities, &transaction.declared, &Declared::default()).err()
}

/// Whether what was asked in MAIL and RCPT is something that a server can do (RFC 5321 §4.1.1.11).
fn keeps(capabilities: &Capabilities, mail: &Declared, rcpt: &Declared) -> Result<(), Reply> {
    let lacks = |extension| !capabilities.extensions.contains(extension);
    if mail.require_tls && lacks(Extensions::REQUIRETLS) {
        return Err(Reply::new(550, "5.7.30", "the next hop does not support REQUIRETLS"));
    }
    if mail.smtputf8 && lacks(Extensions::SMTPUTF8) {
        return Err(Reply::new(550, "5.6.7", "the next hop does not support SMTPUTF8"));
    }
    if mail.eight_bit && lacks(Extensions::EIGHT_BIT_MIME) {
        return Err(Reply::new(554, "5.6.3", "the next hop does not support 8BITMIME"));
    }
    if (mail.dsn || rcpt.dsn) && lacks(Extensions::DSN) {
        return Err(Reply::new(555, "5.5.4", "the next hop does not support DSN"));
    }
    match (mail.size, capabilities.size) {
        (Some(size), Some(limit)) if limit > 0 && size > limit => {
            Err(Reply::new(552, "5.3.4", "message size exceeds the next hop's limit"))
        }
        _ => Ok(()),
    }
}

/// The parameters of MAIL for a next hop: unchanged, but SIZE counts our field too (RFC 1870 §6.1),
/// and what the next hop does not know is left out where leaving it out changes nothing.
fn forwarded_parameters(transaction: &Transaction, client: &Client) -> Vec<u8> {
    let capabilities = client.capabilities();
    let size = capabilities.extensions.contains(Extensions::SIZE);
    let eight_bit = capabilities.extensions.contains(Extensions::EIGHT_BIT_MIME);
    let mut forwarded = Vec::with_capacity(transaction.parameters.len() + 8);
    let Ok(parameters) = Parameters::parse(&transaction.parameters) else { return forwarded };
    for parameter in parameters.iter() {
        let is = |keyword: &[u8]| parameter.keyword.eq_ignore_ascii_case(keyword);
        // A server that lost 8BITMIME since it was heard must refuse BODY=8BITMIME itself.
        let keep = (size || !is(b"SIZE")) && (eight_bit || transaction.declared.eight_bit || !is(b"BODY"));
        let keep = keep && (client.is_authenticated() || !is(b"AUTH")) && !is(b"MT-PRIORITY");
        if !keep {
            continue;
        }
        if is(b"SIZE") {
            let declared = transaction.declared.size.unwrap_or(0).saturating_add(TRACE_FIELD_BYTES_MAX);
            append(parameter.keyword, Some(declared.to_string().as_bytes()), &mut forwarded);
        } else {
            append(parameter.keyword, parameter.value, &mut forwarded);
        }
    }
    if let Some(priority) =
        transaction.priority.granted.filter(|_| capabilities.extensions.contains(Extensions::MT_PRIORITY))
    {
        append(b"MT-PRIORITY", Some(priority.to_string().as_bytes()), &mut forwarded);
    }
    if client.is_authenticated() && parameters.find(b"AUTH").is_none() {
        // RFC 4954 §5: that is what they say that trust nobody's word.
        append(b"AUTH", Some(b"<>"), &mut forwarded);
    }
    forwarded
}
