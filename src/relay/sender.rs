//! Who is really sending: asked as soon as it can be, and known when the verdict falls.
//!
//! The client is asked about when MAIL was accepted, the author when the header section has passed; both
//! inquiries run on the service side while content comes. The body is digested meanwhile. The verdict
//! waits for what is still open, and no longer than `sender.timeout`: an inquiry without an answer is one
//! with "temperror" in it. What was found may be sealed then (`seal`).

use std::sync::Arc;
use std::time::Duration;

use super::action::Action;
use super::question::{Answer, Query, Question};
use super::seal::Sealing;
use super::session::Session;
use super::transaction::Transaction;
use super::{Context, Relay, Stage};
use crate::policy::inspect::{Engine, Inspection};
use crate::policy::links::{Looked, OfLinks, tell_links};
use crate::policy::reputation::{Named, Proof};
use crate::policy::seal::Draft;
use crate::policy::sender::{
    AuthorFound, ClientFound, OfClient, Settings, Signing, results_field, tell_author, tell_client,
};
use crate::policy::shown::tell_shown;
use crate::policy::symbol;
use crate::sender::address_list::Listings;
use crate::sender::auth_results::Removal;
use crate::sender::dns::Name;
use crate::sender::header_section::HeaderSection;
use crate::sender::to_ascii;

/// What becomes of one inquiry.
#[derive(Debug, Default)]
pub(super) enum Inquiry<T> {
    /// It was not begun.
    #[default]
    None,
    Asked(Query),
    /// None: nobody could say.
    Ended(Option<T>),
}

impl<T> Inquiry<T> {
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Asked(_))
    }

    /// The number under which it is asked, if it is.
    pub(super) const fn asked(&self) -> Option<Query> {
        if let Self::Asked(query) = self { Some(*query) } else { None }
    }

    pub(super) const fn found(&self) -> Option<&T> {
        match self {
            Self::Ended(found) => found.as_ref(),
            Self::None | Self::Asked(_) => None,
        }
    }

    /// Whether it was asked under this number.
    pub(super) fn is(&self, query: Query) -> bool {
        matches!(self, Self::Asked(asked) if *asked == query)
    }
}

/// What is asked about one transaction.
#[derive(Debug)]
pub(super) struct Sender {
    client: Inquiry<Box<ClientFound>>,
    author: Inquiry<Box<AuthorFound>>,
    links: Inquiry<Box<Listings>>,
}

impl Sender {
    pub(super) const fn is_open(&self) -> bool {
        self.client.is_open() || self.author.is_open() || self.links.is_open()
    }
}

/// What is learnt of the author while content passes.
#[derive(Debug)]
pub(super) struct Reading {
    settings: Arc<Settings>,
    state: ReadingState,
    /// Takes out fields that claim to be our results.
    removal: Option<Removal>,
    /// The header section is complete, and its inquiry not begun.
    is_due: bool,
}

#[derive(Debug)]
enum ReadingState {
    /// Nothing is asked about this client.
    Nothing,
    Header(HeaderSection),
    Body(Box<Signing>),
}

impl Reading {
    /// `asks` says whether anything is asked about the client; fields that claim to be ours go anyhow.
    pub(super) fn new(settings: &Arc<Settings>, hostname: &str, asks: bool) -> Self {
        let header = || ReadingState::Header(HeaderSection::default());
        Self {
            settings: Arc::clone(settings),
            state: if asks { header() } else { ReadingState::Nothing },
            removal: settings.results.then(|| Removal::new(hostname)),
            is_due: false,
        }
    }

    /// Whether anything is asked about the author.
    pub(super) const fn asks(&self) -> bool {
        !matches!(self.state, ReadingState::Nothing)
    }

    /// Takes the next piece of content as it came.
    pub(super) fn push(&mut self, content: &[u8]) {
        match &mut self.state {
            ReadingState::Nothing => {}
            ReadingState::Body(signing) => signing.push_body(content),
            ReadingState::Header(section) => {
                let length = section.push(content);
                if section.is_complete() {
                    let mut signing = Box::new(Signing::read(&self.settings, section));
                    signing.push_body(content.get(length..).unwrap_or_default());
                    self.state = ReadingState::Body(signing);
                    self.is_due = true;
                }
            }
        }
    }

    /// Takes what claims to be ours out of what was appended to `held` from `begin` on.
    pub(super) fn take_out(&mut self, held: &mut Vec<u8>, begin: usize) {
        let Some(removal) = self.removal.as_mut().filter(|removal| !removal.is_done()) else { return };
        let piece = held.split_off(begin);
        removal.push(&piece, held);
    }

    /// Content has ended.
    pub(super) fn finish(&mut self, held: &mut Vec<u8>) {
        if let Some(removal) = self.removal.take() {
            removal.finish(held);
        }
        if let ReadingState::Header(section) = &self.state {
            self.state = ReadingState::Body(Box::new(Signing::read(&self.settings, section)));
            self.is_due = true;
        }
    }
}

impl Relay {
    /// The envelope's first half is known.
    pub(super) fn ask_about_client(&mut self, cx: &mut Context<'_>) {
        let config = &cx.shared.config;
        let Some(settings) = config.sender.as_deref() else { return };
        let client = self.session.client_ip();
        // A user is at home anywhere: nothing in the DNS speaks for where mail is submitted from.
        if self.session.user.is_some() || !settings.concerns(client) {
            return;
        }
        let helo = greeted(&self.session);
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let (local_part, domain) = split(&transaction.path);
        let inquiry = OfClient {
            ip: client,
            helo: String::from_utf8_lossy(helo).into_owned(),
            local_part,
            domain,
            receiver: config.hostname.clone(),
            unix_seconds: cx.now.wall.as_secs(),
        };
        let question = Question::Client(Box::new(inquiry));
        let client = Inquiry::Asked(cx.actions.ask(&mut self.queries, question, patience(settings)));
        transaction.sender = Some(Box::new(Sender { client, author: Inquiry::None, links: Inquiry::None }));
    }

    /// The header section has passed: who signed, and who says to have written it?
    pub(super) fn ask_about_author(&mut self, cx: &mut Context<'_>) {
        let Some(settings) = cx.shared.config.sender.as_deref() else { return };
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let content = transaction.content.as_deref_mut();
        let Some(reading) = content.and_then(|content| content.reading.as_deref_mut()) else { return };
        if !std::mem::take(&mut reading.is_due) {
            return;
        }
        let ReadingState::Body(signing) = &reading.state else { return };
        let sender = asked_domain(&transaction.path, greeted(&self.session));
        let remembers = cx.shared.config.remembers();
        let named = remembers.then(|| Named::of(&signing.author)).flatten();
        let domain = sender.clone().filter(|_| remembers);
        let inquiry = signing.inquiry(settings, sender);
        let Some(asked) = transaction.sender.as_deref_mut() else { return };
        let question = Question::Author(Box::new(inquiry));
        asked.author = Inquiry::Asked(cx.actions.ask(&mut self.queries, question, patience(settings)));
        self.recall(cx, domain.as_ref(), named.as_ref());
    }

    /// No author is looked at: what is remembered of the envelope is asked before its content.
    pub(super) fn recall_without_author(&mut self, cx: &mut Context<'_>) {
        if !cx.shared.config.remembers() {
            return;
        }
        let Some(transaction) = self.transaction.as_deref() else { return };
        let reading = transaction.content.as_deref().and_then(|content| content.reading.as_deref());
        if reading.is_some_and(Reading::asks) {
            return;
        }
        let asks = transaction.sender.is_some();
        let domain = asks.then(|| asked_domain(&transaction.path, greeted(&self.session))).flatten();
        self.recall(cx, domain.as_ref(), None);
    }

    /// Content was looked into to its end: where do its links lead?
    pub(super) fn ask_about_links(&mut self, cx: &mut Context<'_>) {
        let Some(settings) = cx.shared.config.sender.as_deref() else { return };
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        let Some(asked) = transaction.sender.as_deref_mut() else { return };
        let Some(content) = transaction.content.as_deref_mut() else { return };
        let Some(inquiry) = OfLinks::new(settings, content.facts()) else { return };
        let question = Question::Links(Box::new(inquiry));
        asked.links = Inquiry::Asked(cx.actions.ask(&mut self.queries, question, patience(settings)));
    }

    /// Whether the verdict has to wait for an answer.
    pub(super) fn waits_for_sender(&self) -> bool {
        let Some(transaction) = self.transaction.as_deref() else { return false };
        transaction.memory.recalled.is_open() || transaction.sender.as_deref().is_some_and(Sender::is_open)
    }

    /// Content is complete, and nobody may let its end go up yet.
    pub(super) fn waits_for_verdict(&self) -> bool {
        let content = self.transaction.as_deref().and_then(|transaction| transaction.content.as_deref());
        content.is_some_and(|content| content.complete) && (self.waits_for_sender() || self.waits_for_seal())
    }

    /// Whether what is answered under this number concerns one of these inquiries.
    pub(super) fn awaits_found(&self, query: Query) -> bool {
        let Some(transaction) = self.transaction.as_deref() else { return false };
        let sender = transaction.sender.as_deref();
        transaction.memory.recalled.is(query)
            || sender.is_some_and(|sender| {
                sender.client.is(query) || sender.author.is(query) || sender.links.is(query)
            })
    }

    pub(super) fn on_found(&mut self, cx: &mut Context<'_>, query: Query, answer: Answer) {
        let waited = self.waits_for_verdict();
        let Some(transaction) = self.transaction.as_deref_mut() else { return };
        match (transaction.sender.as_deref_mut(), answer) {
            (_, Answer::Recalled(recalled)) => {
                transaction.memory.recalled = Inquiry::Ended(Some(recalled));
            }
            _ if transaction.memory.recalled.is(query) => {
                transaction.memory.recalled = Inquiry::Ended(None);
            }
            (Some(sender), Answer::Client(found)) => sender.client = Inquiry::Ended(Some(found)),
            (Some(sender), Answer::Author(found)) => sender.author = Inquiry::Ended(Some(found)),
            (Some(sender), Answer::Links(found)) => sender.links = Inquiry::Ended(Some(found)),
            (Some(sender), _) if sender.client.is(query) => sender.client = Inquiry::Ended(None),
            (Some(sender), _) if sender.links.is(query) => sender.links = Inquiry::Ended(None),
            (Some(sender), _) => sender.author = Inquiry::Ended(None),
            (None, _) => {}
        }
        if waited && !self.waits_for_sender() && self.stage == Stage::Verdict && !self.is_settled() {
            self.decide(cx);
            self.conclude_if_settled(cx);
        }
    }

    /// All that can be known is: it becomes facts, and a field for the next hop.
    pub(super) fn tell_sender(&mut self, cx: &Context<'_>) {
        let proof = self.tell_found(cx).unwrap_or_default();
        self.tell_met(cx, proof);
    }

    /// What the inquiries found; gives what of it is proof.
    fn tell_found(&mut self, cx: &Context<'_>) -> Option<Proof> {
        let config = &cx.shared.config;
        let settings = config.sender.as_deref()?;
        let transaction = self.transaction.as_deref_mut()?;
        let sender = transaction.sender.take()?;
        let content = transaction.content.as_deref_mut()?;
        let client = sender.client.found().map(|found| &**found);
        let author = sender.author.found().map(|found| &**found);
        let signing = match content.reading.take().map(|reading| reading.state) {
            Some(ReadingState::Body(signing)) => Some(signing),
            _ => None,
        };
        let now = cx.now.wall.as_secs();
        let concluded = signing.map(|signing| signing.conclude(settings, client, author, now));
        tell_client(settings, client, content.facts_mut());
        let looked = match &sender.links {
            Inquiry::None => Looked::NoLinks,
            Inquiry::Ended(Some(found)) => Looked::Found(found),
            Inquiry::Asked(_) | Inquiry::Ended(None) => Looked::Unanswered,
        };
        tell_links(settings, looked, content.facts_mut());
        if let (Looked::Found(found), Some(inspection)) = (looked, content.inspection.as_deref_mut()) {
            note_listed(settings, found, inspection);
        }
        if let Some(concluded) = &concluded {
            tell_author(concluded, content.facts_mut());
            let protected = config.engine.as_deref().map(Engine::protected);
            let (author, replies) = (&concluded.author, &concluded.replies);
            tell_shown(settings, protected, author, replies, content.facts_mut());
        }
        let is_written = settings.results || settings.seal.is_some();
        let results = if is_written {
            results_field(&config.hostname, client, concluded.as_ref())
        } else {
            String::new()
        };
        if settings.results {
            content.put_fields(&results);
        }
        let spf = client.and_then(|found| found.spf.as_ref());
        let proof = config.remembers().then(|| Proof::of(spf, concluded.as_ref()));
        if let Some((sealer, concluded)) = settings.seal.clone().zip(concluded) {
            let draft = |(validation, body)| Box::new(Draft { sealer, validation, results, body, now });
            transaction.sealing = Sealing::Drawn(concluded.to_seal.map(draft));
        }
        proof
    }

    /// The transaction is over: nobody waits for answers any more.
    pub(super) fn break_off_inquiries(cx: &mut Context<'_>, transaction: &mut Transaction) {
        let sender = transaction.sender.take();
        let of_sender = sender.map(|it| [it.client.asked(), it.author.asked(), it.links.asked()]);
        let open = of_sender.into_iter().flatten().flatten().chain(transaction.memory.recalled.asked());
        open.for_each(|query| cx.actions.push(Action::CancelAsk(query)));
    }
}

/// Who looks for the reason of a score wants to see which link it was.
fn note_listed(settings: &Settings, found: &Listings, inspection: &mut Inspection) {
    for listing in &found.found {
        if let Some(list) = settings.uribl.get(listing.list) {
            inspection.note_listed(&symbol::of_link_list(list), &listing.what);
        }
    }
}

/// The domain that SPF is asked about, as the DNS has it: whoever asks for another one does not find what
/// SPF proved.
fn asked_domain(path: &[u8], greeted: &[u8]) -> Option<Name> {
    let (_, domain) = split(path);
    let greeted = String::from_utf8_lossy(greeted);
    Name::parse(&to_ascii(if domain.is_empty() { &greeted } else { &domain }))
}

/// How the client greeted: whoever speaks for another one says how that did.
fn greeted(session: &Session) -> &[u8] {
    let forwarded = session.forwarded.as_deref().filter(|identity| identity.addr.is_some());
    let helo = forwarded.map_or(session.helo.as_deref(), |identity| identity.helo.as_deref());
    helo.unwrap_or_default()
}

/// The service ends an inquiry by itself in time; who waits a little longer hears what it found.
fn patience(settings: &Settings) -> Duration {
    settings.patience + Duration::from_secs(1)
}

/// Local part and domain of a path, both empty for the null path.
fn split(path: &[u8]) -> (String, String) {
    let path = String::from_utf8_lossy(path);
    path.rsplit_once('@').map_or_else(
        || (path.clone().into_owned(), String::new()),
        |(local, domain)| (local.to_owned(), domain.to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sender::dns::Known;
    use crate::sender::spf;

    #[test]
    fn the_domain_is_the_one_that_spf_is_asked_about() {
        for (path, greeted, want) in [
            ("a@Far.test", "mx.far.test", Some("far.test")),
            ("a@b\u{fc}cher.test", "mx.far.test", Some("xn--bcher-kva.test")),
            ("", "mx.Far.test.", Some("mx.far.test")),
            ("", "b\u{fc}cher.test", Some("xn--bcher-kva.test")),
            // It is asked about nobody else.
            ("a@b..test", "mx.far.test", None),
        ] {
            let asked = asked_domain(path.as_bytes(), greeted.as_bytes());
            assert_eq!(asked.as_ref().map(Name::as_str), want, "{path} {greeted}");
            let (local_part, domain) = split(path.as_bytes());
            let input = spf::Input {
                ip: "192.0.2.1".parse().unwrap(),
                local_part: &local_part,
                domain: &domain,
                helo: greeted,
                receiver: "",
                unix_seconds: 0,
                explain: false,
            };
            let missing = spf::check_host(&Known::default(), &input).err();
            let names = missing.into_iter().flat_map(|missing| missing.0).map(|query| query.name);
            assert_eq!(names.collect::<Vec<_>>(), asked.into_iter().collect::<Vec<_>>(), "{path} {greeted}");
        }
    }
}
