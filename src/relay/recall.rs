//! What is remembered of those who send and receive a message: asked while its content comes, known when the
//! verdict falls, and learnt from how it ended.
//!
//! It is asked as soon as all is known under which it can be found: behind the header section where the author
//! is looked at, before the content where nobody does. Whose domain vouches for the message turns out at its
//! end: all that it may come as is asked for together.
//!
//! What must always hold: what nobody could say is no reason to hold up a message, nor to let one pass that a
//! rule stops; nothing is learnt of an author that was not proven.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::disposition::Disposition;
use super::question::{Learn, Question, Recall};
use super::sender::Inquiry;
use super::transaction::Transaction;
use super::{Context, Relay};
use crate::limits::{CONTACT_RECIPIENTS_MAX, RECALL_KEYS_MAX};
use crate::policy::first_contact::{self, Greylist, Identity};
use crate::policy::ledger::{About, Key, Lesson, Recalled};
use crate::policy::reputation::{self, Named, Proof};
use crate::policy::settings::Config;
use crate::policy::verdict::Verdict;
use crate::sender::dns::Name;

/// The service has it in memory, or asks a store that has half a second: who waits longer waits for a thread that is in
/// trouble.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What is remembered of one transaction, and what it will teach.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) recalled: Inquiry<Recalled>,
    /// Since it is known who proved to be whom.
    met: Option<Met>,
}

/// Who met whom.
#[derive(Debug)]
struct Met {
    /// What is asked of it as of a stranger.
    settings: Option<Arc<first_contact::Settings>>,
    client: IpAddr,
    identity: Identity,
    proof: Proof,
    pairs: Pairs,
}

/// Sender and recipients, as they are remembered.
#[derive(Debug)]
struct Pairs {
    sender: String,
    recipients: Vec<String>,
}

impl Pairs {
    /// In an order of their own: who comes again may name them in another one.
    fn of(transaction: &Transaction) -> Self {
        let address = |path: &[u8]| reputation::address(&String::from_utf8_lossy(path));
        let mut recipients: Vec<_> = transaction.accepted().map(|it| address(&it.path)).collect();
        recipients.sort_unstable();
        recipients.dedup();
        recipients.truncate(CONTACT_RECIPIENTS_MAX);
        Self { sender: address(&transaction.path), recipients }
    }

    fn parts(&self) -> (&str, &[String]) {
        (&self.sender, &self.recipients)
    }
}

impl Relay {
    /// Whether the client sends for us: its mail is no first contact, and whom it writes to is known.
    pub(super) fn is_ours(&self, config: &Config) -> bool {
        self.session.user.is_some() || config.listeners[self.session.listener].outbound
    }

    /// What is asked of this client as of a stranger.
    pub(super) fn of_strangers(&self, config: &Config) -> Option<Arc<first_contact::Settings>> {
        let settings = config.first_contact.as_ref()?;
        let concerns = settings.concerns(self.session.listener, self.session.client_ip());
        (concerns && !self.is_ours(config)).then(|| Arc::clone(settings))
    }

    fn greylist(&self, config: &Config) -> Option<Greylist> {
        self.of_strangers(config)?.greylist
    }

    /// Asks what is remembered. `domain` is that which SPF is asked about, `named` the author, if one is looked at.
    pub(super) fn recall(&mut self, cx: &mut Context<'_>, domain: Option<&Name>, named: Option<&Named>) {
        if !cx.shared.config.remembers() {
            return;
        }
        let keys = self.keys(&cx.shared.config, domain, named);
        let Some(transaction) = self.transaction.as_deref_mut().filter(|_| !keys.is_empty()) else { return };
        let question = Question::Recall(Recall { now: cx.now.wall.as_secs(), keys });
        transaction.memory.recalled = Inquiry::Asked(cx.actions.ask(&mut self.queries, question, PATIENCE));
    }

    fn keys(&self, config: &Config, domain: Option<&Name>, named: Option<&Named>) -> Vec<Key> {
        let Some(transaction) = self.transaction.as_deref() else { return Vec::new() };
        let greylists = self.greylist(config).is_some();
        let named = named.filter(|_| config.reputation.is_some() && !self.is_ours(config));
        if !greylists && named.is_none() {
            return Vec::new();
        }
        let pairs = Pairs::of(transaction);
        let mut keys = Vec::new();
        if greylists {
            let (sender, recipients) = pairs.parts();
            for identity in Identity::candidates(domain, named, self.session.client_ip()) {
                keys.extend(identity.keys(sender, recipients));
            }
        }
        if let Some(named) = named {
            keys.extend(reputation::keys(named, &pairs.recipients));
        }
        debug_assert!(keys.len() <= RECALL_KEYS_MAX);
        keys
    }

    /// All that can be known is: whether they have met, and how the author stands, become facts.
    pub(super) fn tell_met(&mut self, cx: &Context<'_>, proof: Proof) {
        let config = &cx.shared.config;
        let (settings, client) = (self.of_strangers(config), self.session.client_ip());
        // Nothing was asked, and nothing is learnt of a stranger.
        if settings.is_none() && (config.reputation.is_none() || self.is_ours(config)) {
            return;
        }
        let greylist = settings.as_ref().and_then(|settings| settings.greylist);
        let now = cx.now.wall.as_secs();
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let (pairs, identity) = (Pairs::of(transaction), Identity::of(&proof, client));
        let met = Met { settings, client, identity, proof, pairs };
        let nothing = Recalled::default();
        let recalled = transaction.memory.recalled.found().unwrap_or(&nothing);
        let free = config.sender.as_deref().map(|sender| &sender.freemail);
        let is_shared =
            |domain: &str| free.zip(Name::parse(domain)).is_some_and(|(free, domain)| free.contains(&domain));
        let standing = config.reputation.map(|settings| {
            reputation::standing(&settings, now, recalled, &met.proof, &met.pairs.recipients, is_shared)
        });
        let standing = standing.unwrap_or_default();
        if let Some(content) = transaction.content.as_deref_mut() {
            let facts = content.facts_mut();
            facts.sender.known = standing.is_known;
            facts.sender.correspondent = standing.is_correspondent;
            facts.contact = match greylist {
                // Who is known comes for the first time to nobody.
                Some(_) if standing.is_known => first_contact::Contact::Met,
                Some(greylist) => {
                    first_contact::contact(&greylist, now, recalled, &met.identity, met.pairs.parts())
                }
                None => first_contact::Contact::Unasked,
            };
        }
        transaction.memory.met = Some(met);
    }

    /// The transaction is over: what it taught is kept.
    pub(super) fn learn(
        &mut self,
        cx: &mut Context<'_>,
        transaction: &Transaction,
        disposition: Disposition,
    ) {
        let config = &cx.shared.config;
        if !config.remembers() {
            return;
        }
        let now = cx.now.wall.as_secs();
        let lessons = if self.is_ours(config) {
            lessons_of_ours(config, now, transaction, disposition)
        } else {
            lessons(config, now, transaction, disposition)
        };
        if lessons.is_empty() {
            return;
        }
        let question = Question::Learn(Learn { now, lessons });
        cx.actions.ask(&mut self.queries, question, PATIENCE);
    }
}

/// What a stranger's message teaches.
fn lessons(config: &Config, now: u64, transaction: &Transaction, disposition: Disposition) -> Vec<Lesson> {
    let Some(met) = &transaction.memory.met else { return Vec::new() };
    let verdict = transaction.judgement.as_deref().map(|judgement| judgement.verdict);
    let about = match disposition {
        Disposition::Delivered => Some(About::Good),
        _ if verdict == Some(Verdict::Greylist) => Some(About::Met),
        _ => None,
    };
    let wanted = wanted(disposition, verdict);
    let mut lessons = Vec::new();
    if let (Some(settings), Some(about)) = (&met.settings, about) {
        if let Some(greylist) = &settings.greylist {
            lessons.extend(first_contact::lessons(greylist, now, about, &met.identity, met.pairs.parts()));
        }
        // What is only tagged makes nobody welcome.
        if settings.greeting.is_some() && wanted == Some(About::Good) {
            let (key, until) = (first_contact::client_key(met.client), now + settings.keep().as_secs());
            lessons.push(Lesson { key, about: About::Good, until });
        }
    }
    if let (Some(settings), Some(author), Some(about)) = (&config.reputation, &met.proof.author, wanted) {
        lessons.push(reputation::lesson(settings, now, author, about));
    }
    lessons
}

/// What an end says about who sent; nothing, where it says more about us or the next hop.
fn wanted(disposition: Disposition, verdict: Option<Verdict>) -> Option<About> {
    match disposition {
        Disposition::Delivered if matches!(verdict, Some(Verdict::Tag | Verdict::Redirect(_))) => None,
        Disposition::Delivered => Some(About::Good),
        Disposition::Refused
        | Disposition::RefusedUpstream
        | Disposition::Quarantined
        | Disposition::Discarded => Some(About::Bad),
        Disposition::Deferred
        | Disposition::DeferredUpstream
        | Disposition::Unknown
        | Disposition::Aborted => None,
    }
}

/// What mail of our own teaches: whom it goes to.
fn lessons_of_ours(
    config: &Config,
    now: u64,
    transaction: &Transaction,
    disposition: Disposition,
) -> Vec<Lesson> {
    let Some(settings) = config.reputation.filter(|_| disposition == Disposition::Delivered) else {
        return Vec::new();
    };
    let sender = String::from_utf8_lossy(&transaction.path);
    let paths: Vec<_> = transaction.accepted().map(|it| String::from_utf8_lossy(&it.path)).collect();
    reputation::lessons_of_sent(&settings, now, &sender, paths.iter().map(AsRef::as_ref))
}
