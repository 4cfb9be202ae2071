//! What must hold, whatever happens: the books of a run, kept by clients and next hops.
//!
//! A transaction has a tag that stands in its reverse-path, its recipients and every reply that a
//! next hop gives to it: so a reply, an identity or a piece of content that is not its own shows.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::network::{ConnId, Network};

/// An index into [`Ledger::transactions`].
pub(crate) type Tag = usize;

/// Who a client said it is when it began a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) address: SocketAddr,
    pub(crate) helo: String,
    pub(crate) esmtp: bool,
}

/// What a transaction's rule wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// No rule: it goes to its next hop.
    Delivered,
    /// Into quarantine.
    Kept,
    Discarded,
}

/// One transaction of a client, and what became of it.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) conn: ConnId,
    pub(crate) identity: Identity,
    pub(crate) content: Vec<u8>,
    pub(crate) fate: Fate,
    /// It may be refused for what it is: too large for some.
    pub(crate) refusable: bool,
    /// It must be refused: a bare newline, too large for us.
    pub(crate) forbidden: bool,
    /// Octets of the client's stream at the end of content, once it is sent.
    pub(crate) complete_at: Option<u64>,
    /// Recipients whose 2xx the client heard.
    pub(crate) heard: Vec<usize>,
    /// Times that a next hop read it to its end and said 2xx.
    pub(crate) accepted: u32,
    /// Times that a next hop read it to its end.
    pub(crate) ended: u32,
    /// The recipients that were accepted with it.
    pub(crate) accepted_recipients: Vec<usize>,
    /// The client heard 2xx for its content.
    pub(crate) acknowledged: bool,
    /// The reply to its content, of whatever kind.
    pub(crate) answered: bool,
    /// A next hop said 2xx that no reader can tell from a true one.
    pub(crate) lied: bool,
    /// A next hop said 5xx in it.
    pub(crate) refused_by_hop: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) violations: Vec<String>,
    pub(crate) acknowledged: u64,
    /// Messages that lie in the store, and are as they were sent.
    pub(crate) stored: HashSet<Tag>,
    pub(crate) accepted: u64,
}

impl Ledger {
    pub(crate) fn violate(&mut self, network: &mut Network, what: String) {
        network.note(|| format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    pub(crate) fn hold(&mut self, network: &mut Network, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violate(network, what());
        }
    }

    /// A next hop has read what it takes for the whole content of `tag`.
    pub(crate) fn on_content_end(
        &mut self,
        network: &mut Network,
        tag: Tag,
        content: &[u8],
        raw_data: bool,
        recipients: &[usize],
    ) {
        let Some(transaction) = self.transactions.get_mut(tag) else {
            return self.violate(network, format!("content for t{tag}, which nobody began"));
        };
        transaction.ended += 1;
        transaction.accepted_recipients = recipients.to_vec();
        let taken = network.conns[transaction.conn].to_worker.taken;
        let complete = transaction.complete_at.is_some_and(|at| at <= taken);
        let stripped = without_trace(content);
        let exact = stripped.is_some_and(|stripped| is_same(stripped, &transaction.content, raw_data));
        let forbidden = transaction.forbidden || transaction.fate != Fate::Delivered;
        let twice = transaction.ended > 1;
        let lengths = (content.len(), transaction.content.len());
        self.hold(network, complete, || format!("the end of t{tag} went up before the client sent it"));
        self.hold(network, exact, || format!("t{tag} went up changed: {lengths:?} octets"));
        self.hold(network, !forbidden, || format!("t{tag} went up though it must be refused"));
        self.hold(network, !twice, || format!("t{tag} went up twice"));
    }

    pub(crate) fn on_accepted(&mut self, tag: Tag) {
        if let Some(transaction) = self.transactions.get_mut(tag) {
            transaction.accepted += 1;
            self.accepted += 1;
        }
    }

    /// The client heard 2xx for its content.
    pub(crate) fn on_acknowledged(&mut self, network: &mut Network, tag: Tag) {
        let transaction = &mut self.transactions[tag];
        transaction.acknowledged = true;
        self.acknowledged += 1;
        let accepted = match transaction.fate {
            Fate::Delivered => transaction.accepted > 0 || transaction.lied,
            Fate::Kept => self.stored.contains(&tag),
            Fate::Discarded => true,
        };
        let mut heard = transaction.heard.clone();
        heard.sort_unstable();
        let mut taken = transaction.accepted_recipients.clone();
        taken.sort_unstable();
        let same = heard == taken || transaction.lied || transaction.fate != Fate::Delivered;
        self.hold(network, accepted, || format!("t{tag} was acknowledged and nobody has it"));
        self.hold(network, same, || {
            format!("t{tag}: the client heard yes for {heard:?}, accepted {taken:?}")
        });
    }

    /// The store says that it has `content` of a sender whose name is its tag.
    pub(crate) fn on_stored(&mut self, network: &mut Network, sender: &str, content: &[u8]) {
        let tag = sender.strip_prefix('t').and_then(|rest| rest.split('@').next()?.parse::<Tag>().ok());
        let kept = tag.filter(|tag| {
            let Some(transaction) = self.transactions.get(*tag) else { return false };
            let same = |sent: &[u8]| is_same(sent, &transaction.content, true) || sent == transaction.content;
            transaction.fate == Fate::Kept && without_trace(content).is_some_and(same)
        });
        let octets = content.len();
        self.hold(network, kept.is_some(), || {
            format!("{octets} octets of {sender} were stored, and not as sent")
        });
        self.stored.extend(kept);
    }

    /// What a next hop believes about the client of `tag`. `None`: it was not told.
    pub(crate) fn on_identity(&mut self, network: &mut Network, tag: Tag, told: &HashMap<String, String>) {
        let Some(transaction) = self.transactions.get(tag) else { return };
        let identity = transaction.identity.clone();
        for (name, value) in told {
            let want = match name.as_str() {
                "ADDR" => identity.address.ip().to_string(),
                "PORT" => identity.address.port().to_string(),
                "HELO" => identity.helo.clone(),
                "PROTO" if identity.esmtp => "ESMTP".to_owned(),
                "PROTO" => "SMTP".to_owned(),
                _ => continue,
            };
            self.hold(network, *value == want, || format!("t{tag}: {name} is {value}, should be {want}"));
        }
    }
}

/// Without the one Received field that we put in front.
fn without_trace(content: &[u8]) -> Option<&[u8]> {
    if !content.starts_with(b"Received: from ") {
        return None;
    }
    let mut from = 0;
    loop {
        let end = from + memchr::memchr(b'\n', &content[from..])? + 1;
        match content.get(end) {
            Some(b' ' | b'\t') => from = end,
            _ => return Some(&content[end..]),
        }
    }
}

/// DATA cannot say that the last line has no end.
fn is_same(got: &[u8], want: &[u8], raw_data: bool) -> bool {
    let unended = raw_data && !want.is_empty() && !want.ends_with(b"\r\n");
    match unended {
        true => got.strip_suffix(b"\r\n") == Some(want),
        false => got == want,
    }
}
