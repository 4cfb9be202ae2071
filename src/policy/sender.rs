//! Who is really sending, as policy sees it: what is asked about one message, and what follows.
//!
//! Two inquiries, each as early as it can be: about the client, when the envelope is known, and about
//! the author, when the header section is. Both are functions of what the DNS said ([`Known`]), run
//! where it can be asked. What needs the body too is concluded when that has ended.
//!
//! What must always hold: nothing that could not be asked counts as passed; who vouches for the author
//! did so for what a reader sees.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::facts::{Facts, Known as Fact, Signature as SignatureFact};
use super::settings::contains;
use super::shown::{self, Domains};
use super::symbol;
use crate::mime::defect::Limit;
use crate::mime::encoded_word;
use crate::sender::address_list::{self, List, Listings};
use crate::sender::arc::{self, Chain, ChainCheck, Sealer, Unsealed, Validation};
use crate::sender::auth_results::AuthResults;
use crate::sender::author::{Author, Flaw};
use crate::sender::dkim::{self, BodyDigests, BodyHash, Digest, KeyCheck, Signatures, Signed};
use crate::sender::dmarc::{self, Checked, Dmarc, Identifier};
use crate::sender::dns::{Known, Missing, Name, Query};
use crate::sender::header_section::{Fields, HeaderSection};
use crate::sender::helo::{self, Greeting, MailDomain, Ours, Reverse};
use crate::sender::lookalike::People;
use crate::sender::spf::{self, Spf};

/// Whom to ask for what stands in the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// Those of `/etc/resolv.conf`.
    System,
    Servers(Vec<SocketAddr>),
}

/// What becomes of a message whose author's domain disowns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmarcMode {
    /// It is not looked at.
    Off,
    /// It is a fact.
    Mark,
    /// What the domain asks for is done, if no rule decides otherwise.
    Enforce,
}

/// `[sender]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub resolver: Resolver,
    /// The AD bit of its answers means something.
    pub validates: bool,
    /// For all that is asked about one message in one inquiry.
    pub patience: Duration,
    /// Questions of one inquiry.
    pub questions: usize,
    /// Clients that nothing is asked about.
    pub exempt: Vec<IpNet>,
    pub spf: bool,
    pub dkim: bool,
    pub arc: bool,
    pub dmarc: DmarcMode,
    /// Each with the symbol of its zone: [`symbol::of_list`].
    pub dnsbl: Vec<List>,
    /// Asked about links, each with the symbol of its zone: [`symbol::of_link_list`].
    pub uribl: Vec<List>,
    /// Whose names nobody else should bear.
    pub people: Arc<People>,
    /// Where anybody has an address.
    pub freemail: Arc<Domains>,
    /// In whose name what was found is sealed (ARC).
    pub seal: Option<Arc<Sealer>>,
    /// Authentication-Results is written into messages that are held whole.
    pub results: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            resolver: Resolver::System,
            validates: false,
            patience: Duration::from_secs(8),
            questions: 100,
            exempt: Vec::new(),
            spf: true,
            dkim: true,
            arc: true,
            dmarc: DmarcMode::Mark,
            dnsbl: Vec::new(),
            uribl: Vec::new(),
            people: Arc::default(),
            freemail: Arc::default(),
            seal: None,
            results: true,
        }
    }
}

impl Settings {
    /// Whether anything is asked about this client.
    pub fn concerns(&self, client: IpAddr) -> bool {
        !contains(&self.exempt, client)
    }

    /// All that something on a list may weigh.
    pub fn weights(&self) -> impl Iterator<Item = f64> {
        let of = |list: &List| {
            list.filters.iter().map(|(_, weight)| *weight).chain([list.weight]).collect::<Vec<_>>()
        };
        self.dnsbl.iter().chain(&self.uribl).flat_map(of)
    }

    /// Whether the content is looked at.
    pub fn reads_content(&self) -> bool {
        let names = !self.people.is_empty() || !self.freemail.is_empty();
        self.dkim || self.arc || self.dmarc != DmarcMode::Off || self.results || self.seal.is_some() || names
    }
}

/// About the client, and the sender that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfClient {
    pub ip: IpAddr,
    pub helo: String,
    pub local_part: String,
    /// Empty for the null path.
    pub domain: String,
    pub receiver: String,
    pub unix_seconds: u64,
}

/// What became of that.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientFound {
    pub reverse: Reverse,
    pub greeting: Greeting,
    /// None for the null path, and for what is no domain.
    pub mail_domain: Option<MailDomain>,
    /// None if it is not looked at.
    pub spf: Option<Spf>,
    pub listings: Listings,
}

/// Collects what several evaluations miss, so that all of it is asked at once.
#[derive(Default)]
struct Gaps(Vec<Query>);

impl Gaps {
    fn note<T>(&mut self, evaluated: Result<T, Missing>) -> Option<T> {
        evaluated.map_err(|Missing(queries)| self.0.extend(queries)).ok()
    }

    fn all<T>(mut self, found: Option<T>) -> Result<T, Missing> {
        self.0.sort_unstable();
        self.0.dedup();
        found.ok_or(Missing(self.0))
    }
}

impl OfClient {
    /// # Errors
    /// [`Missing`] until all of it is known.
    pub fn evaluate(&self, settings: &Settings, known: &Known) -> Result<ClientFound, Missing> {
        let mut gaps = Gaps::default();
        let reverse = gaps.note(helo::reverse(known, self.ip));
        let ours = Ours { names: &[&self.receiver], addresses: &[] };
        let greeting = gaps.note(helo::greeting(known, self.ip, &self.helo, ours));
        let domain = Name::parse(&self.domain);
        let mail_domain = gaps.note(domain.map(|domain| helo::mail_domain(known, &domain)).transpose());
        let spf = if settings.spf { gaps.note(self.spf(known).map(Some)) } else { Some(None) };
        let listings = gaps.note(address_list::of_address(known, &settings.dnsbl, self.ip));
        let found = || {
            let (reverse, greeting, mail_domain) = (reverse?, greeting?, mail_domain?);
            Some(ClientFound { reverse, greeting, mail_domain, spf: spf?, listings: listings? })
        };
        gaps.all(found())
    }

    fn spf(&self, known: &Known) -> Result<Spf, Missing> {
        let input = spf::Input {
            ip: self.ip,
            local_part: &self.local_part,
            domain: &self.domain,
            helo: &self.helo,
            receiver: &self.receiver,
            unix_seconds: self.unix_seconds,
            explain: false,
        };
        spf::check_host(known, &input)
    }
}

/// About the author, and who signed for the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfAuthor {
    /// None if DMARC is not looked at, or readers may take several for the author.
    author: Option<Name>,
    /// Each with whether it names somebody below its domain.
    signed: Vec<(Signed, bool)>,
    chain: Option<Chain>,
    /// That of SPF.
    sender: Option<Name>,
}

/// What became of that, as far as the body is not needed.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorFound {
    keys: Vec<KeyCheck>,
    chain: Option<ChainCheck>,
    /// What DMARC goes by.
    known: Known,
}

impl OfAuthor {
    /// Octets that it takes in memory, as far as senders say how many.
    pub fn weight(&self) -> usize {
        let of_signatures: usize = self.signed.iter().map(|(signed, _)| signed.weight()).sum();
        of_signatures + self.chain.as_ref().map_or(0, Chain::weight)
    }

    /// # Errors
    /// [`Missing`] until all of it is known.
    pub fn evaluate(&self, known: &Known) -> Result<AuthorFound, Missing> {
        let mut gaps = Gaps::default();
        let checks = self.signed.iter().map(|(signed, below)| gaps.note(signed.check(*below, known)));
        let keys: Vec<Option<KeyCheck>> = checks.collect();
        let chain = gaps.note(self.chain.as_ref().map(|chain| chain.check(known)).transpose());
        if let Some(author) = &self.author {
            // Whatever the body turns out to be, all that may be asked for then is known by now.
            for name in self.signed.iter().map(|(signed, _)| &signed.domain).chain(&self.sender) {
                let identifier = Identifier { domain: name.as_str(), checked: Checked::Pass };
                gaps.note(dmarc::evaluate(known, author, None, &[identifier]));
            }
            gaps.note(dmarc::evaluate(known, author, None, &[]));
        }
        let found = || Some((keys.into_iter().collect::<Option<_>>()?, chain?));
        let found = if gaps.0.is_empty() { found() } else { None };
        let (keys, chain) = gaps.all(found)?;
        Ok(AuthorFound { keys, chain, known: known.clone() })
    }
}

/// What a header section says of author and signatures; then the body is digested.
#[derive(Debug)]
pub struct Signing {
    pub author: Author,
    /// Where answers go, by each field that says so.
    pub replies: Vec<Author>,
    signatures: Signatures,
    arc: arc::Reading,
    body: BodyHash,
    is_partial: bool,
}

impl Signing {
    /// Reads a header section that is complete.
    pub fn read(settings: &Settings, section: &HeaderSection) -> Self {
        match section.fields() {
            Ok(mut fields) => Self::of_fields(settings, &mut fields),
            Err(_) => Self {
                author: Author::read([], &mut |_| String::new()),
                replies: Vec::new(),
                signatures: Signatures::default(),
                arc: arc::Reading::None,
                body: BodyHash::new(&[]),
                is_partial: true,
            },
        }
    }

    fn of_fields(settings: &Settings, fields: &mut Fields<'_>) -> Self {
        let mut words = encoded_word::Reader::default();
        let mut decode = |octets: &[u8]| {
            let mut text = String::new();
            words.decode(octets, &mut text);
            text
        };
        let author =
            Author::read(fields.all().iter().map(|field| (field.name(), field.value())), &mut decode);
        let replies = shown::replies(fields, &mut decode);
        let signatures = if settings.dkim { Signatures::read(fields) } else { Signatures::default() };
        let arc = if settings.arc { arc::Reading::read(fields) } else { arc::Reading::None };
        let of_seal = settings.seal.as_ref().map(|_| arc::BODY_FORM);
        let forms: Vec<_> = signatures.forms().into_iter().chain(arc.forms()).chain(of_seal).collect();
        Self { author, replies, signatures, arc, body: BodyHash::new(&forms), is_partial: false }
    }

    pub fn push_body(&mut self, body: &[u8]) {
        self.body.push(body);
    }

    /// What is to be asked.
    pub fn inquiry(&self, settings: &Settings, sender: Option<Name>) -> OfAuthor {
        let read = self.signatures.read.iter().flatten();
        OfAuthor {
            author: self.author.domain().filter(|_| settings.dmarc != DmarcMode::Off).cloned(),
            signed: read.map(|signature| (signature.signed.clone(), signature.is_of_subdomain())).collect(),
            chain: match &self.arc {
                arc::Reading::Chain(chain) => Some(chain.clone()),
                arc::Reading::None | arc::Reading::Broken(_) => None,
            },
            sender: sender.filter(|_| settings.spf),
        }
    }

    /// The body has ended. `found` is None if nobody could be asked.
    pub fn conclude(
        self,
        settings: &Settings,
        client: Option<&ClientFound>,
        found: Option<&AuthorFound>,
        now: u64,
    ) -> Concluded {
        let digests = self.body.finish();
        let dkim = evaluate_dkim(&self.signatures, found, &digests, now);
        let arc = evaluate_arc(&self.arc, found, &digests, now);
        let to_seal = if self.is_partial {
            Err(Unsealed::TooLong)
        } else {
            let body = digests.digest(&arc::BODY_FORM).copied().ok_or(Unsealed::Refused);
            body.and_then(|body| Ok((self.arc.validation(arc.as_ref())?, body)))
        };
        let spf = client.and_then(|found| found.spf.clone());
        let dmarc = (settings.dmarc != DmarcMode::Off)
            .then(|| evaluate_dmarc(&self.author, settings, spf.as_ref(), &dkim, found));
        Concluded {
            author: self.author,
            replies: self.replies,
            spf,
            dkim,
            arc,
            dmarc,
            to_seal,
            is_partial: self.is_partial,
        }
    }
}

fn evaluate_dkim(
    signatures: &Signatures,
    found: Option<&AuthorFound>,
    digests: &BodyDigests,
    now: u64,
) -> Vec<dkim::Evaluation> {
    let mut keys = found.map(|found| found.keys.iter()).unwrap_or_default();
    let unanswered = KeyCheck { reason: Some(dkim::Reason::KeyUnanswered), is_testing: false };
    let evaluate = |signature: &Result<dkim::Signature, dkim::Unread>| match signature {
        Ok(signature) => {
            let body = digests.check(&signature.body, &signature.body_hash);
            signature.evaluate(keys.next().unwrap_or(&unanswered), body, now)
        }
        Err(unread) => unread.evaluate(),
    };
    signatures.read.iter().map(evaluate).collect()
}

fn evaluate_arc(
    arc: &arc::Reading,
    found: Option<&AuthorFound>,
    digests: &BodyDigests,
    now: u64,
) -> Option<arc::Evaluation> {
    match arc {
        arc::Reading::Chain(chain) => Some(chain.evaluate(found?.chain.as_ref()?, digests, now)),
        arc::Reading::None | arc::Reading::Broken(_) => arc.without_chain(),
    }
}

/// What speaks against the author that a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// Its domain did not send this, and asks for so much.
    Disowned(dmarc::Policy),
    /// So it seems, but something could not be checked now.
    Unsure,
    /// Readers see one or the other.
    SeveralAuthors,
}

/// DMARC of a message, or why there is none to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alignment {
    Known(Dmarc),
    /// Readers may take several for the author: nothing passes for any of them.
    Ambiguous,
    /// The DNS did not say.
    Unanswered,
}

fn evaluate_dmarc(
    author: &Author,
    settings: &Settings,
    spf: Option<&Spf>,
    dkim: &[dkim::Evaluation],
    found: Option<&AuthorFound>,
) -> Alignment {
    let Some(domain) = author.domain() else { return Alignment::Ambiguous };
    let Some(found) = found else { return Alignment::Unanswered };
    let of_spf = spf.map(|spf| Identifier { domain: &spf.domain, checked: spf.outcome.into() });
    let unanswered = Identifier { domain: "", checked: Checked::TempError };
    let of_spf = of_spf.or_else(|| settings.spf.then_some(unanswered));
    // A signature that leaves part of what is read to anybody is none for this purpose.
    let counts =
        |signature: &&dkim::Evaluation| signature.outcome != dkim::Outcome::Pass || signature.vouches();
    let of_dkim: Vec<Identifier<'_>> = dkim
        .iter()
        .filter(counts)
        .filter_map(|signature| {
            let domain = signature.domain.as_ref()?.as_str();
            Some(Identifier { domain, checked: signature.outcome.into() })
        })
        .collect();
    dmarc::evaluate(&found.known, domain, of_spf, &of_dkim).map_or(Alignment::Unanswered, Alignment::Known)
}

/// All that is known of who sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Concluded {
    pub author: Author,
    pub replies: Vec<Author>,
    pub spf: Option<Spf>,
    pub dkim: Vec<dkim::Evaluation>,
    pub arc: Option<arc::Evaluation>,
    pub dmarc: Option<Alignment>,
    /// What a seal would say of the sets before it, and of which body.
    pub to_seal: Result<(Validation, Digest), Unsealed>,
    /// The header section was beyond what is read.
    is_partial: bool,
}

#[cfg(test)]
impl Concluded {
    /// Of an author without signatures.
    pub(super) fn new(author: Author, dmarc: Option<Alignment>) -> Self {
        let (replies, to_seal) = (Vec::new(), Err(Unsealed::Unsure));
        let (spf, dkim, arc) = (None, Vec::new(), None);
        Self { author, replies, spf, dkim, arc, dmarc, to_seal, is_partial: false }
    }
}

impl Alignment {
    /// The word for it in facts and fields (RFC 8601 §2.7, RFC 7489 §11.2).
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Known(dmarc) => dmarc.outcome.name(),
            Self::Ambiguous => "permerror",
            Self::Unanswered => "temperror",
        }
    }

    /// What speaks against the author that is shown.
    fn objection(&self, author: &Author) -> Option<Objection> {
        let several = [Flaw::SeveralFields, Flaw::FieldDisguised, Flaw::SeveralDomains];
        match self {
            Self::Known(dmarc) if dmarc.outcome != dmarc::Outcome::Fail => None,
            Self::Known(dmarc) if dmarc.policy == dmarc::Policy::None || !dmarc.is_unsure => {
                Some(Objection::Disowned(dmarc.policy))
            }
            Self::Known(_) => Some(Objection::Unsure),
            Self::Ambiguous => {
                several.iter().any(|flaw| author.flaws.contains(*flaw)).then_some(Objection::SeveralAuthors)
            }
            Self::Unanswered => None,
        }
    }
}

/// Tells what is known of the client; `found` is None if nobody could be asked.
pub fn tell_client(settings: &Settings, found: Option<&ClientFound>, facts: &mut Facts) {
    let Some(found) = found else {
        facts.client.ptr = Fact::new(spf::Outcome::TempError.name());
        if settings.spf {
            facts.sender.spf = Fact::new(spf::Outcome::TempError.name());
        }
        return;
    };
    let name = found.reverse.confirmed().map(ToString::to_string);
    facts.client.ptr = Fact::new(name.unwrap_or_else(|| found.reverse.name().to_owned()));
    if found.greeting != Greeting::Confirmed {
        facts.add_symbol(&symbol::of(symbol::GREETING, found.greeting.name()), 0.0, 1);
    }
    if let Some(spf) = &found.spf {
        facts.sender.spf = Fact::new(spf.outcome.name());
        facts.add_symbol(&symbol::of(symbol::SPF, spf.outcome.name()), 0.0, 1);
    }
    if found.mail_domain == Some(MailDomain::NullMx) {
        facts.add_symbol(symbol::SENDER_NULL_MX, 0.0, 1);
    }
    for listing in &found.listings.found {
        if let Some(list) = settings.dnsbl.get(listing.list) {
            facts.add_symbol(&symbol::of_list(list), listing.weight, 1);
        }
    }
    if !found.listings.unanswered.is_empty() {
        facts.add_symbol(symbol::DNSBL_UNANSWERED, 0.0, 1);
    }
}

/// Tells what is known of author and signatures.
pub fn tell_author(concluded: &Concluded, facts: &mut Facts) {
    for signature in &concluded.dkim {
        let domain = signature.domain.as_ref().map(ToString::to_string).unwrap_or_default();
        let result = Fact::new(signature.outcome.name());
        facts.sender.dkim.push(SignatureFact { domain: Fact::new(domain), result });
        facts.add_symbol(&symbol::of(symbol::DKIM, signature.outcome.name()), 0.0, 1);
    }
    if let Some(dmarc) = &concluded.dmarc {
        facts.sender.dmarc = Fact::new(dmarc.name());
        facts.sender.objection = dmarc.objection(&concluded.author);
        facts.add_symbol(&symbol::of(symbol::DMARC, dmarc.name()), 0.0, 1);
    }
    if let Some(arc) = concluded.arc.as_ref().filter(|arc| arc.sets > 0 || arc.fault.is_some()) {
        facts.add_symbol(&symbol::of(symbol::ARC, arc.outcome.name()), 0.0, 1);
    }
    if concluded.is_partial {
        facts.add_symbol(symbol::SENDER_PARTIAL, 0.0, 1);
        // Who is its author nobody looked for: that is not "none".
        facts.add_limit(Limit::HeaderBytes.name());
    }
}

/// The field that tells the next hop (RFC 8601).
pub fn results_field(hostname: &str, found: Option<&ClientFound>, concluded: Option<&Concluded>) -> String {
    let mut field = AuthResults::new(hostname);
    if let Some(spf) = found.and_then(|found| found.spf.as_ref()) {
        let of = match spf.identity {
            spf::Identity::MailFrom => "smtp.mailfrom",
            spf::Identity::Helo => "smtp.helo",
        };
        let problem = spf.problem.map(spf::Problem::name);
        field = field.method("spf", spf.outcome.name(), problem).property(of, spf.domain.as_bytes());
    }
    if let Some(found) = found {
        let reverse = &found.reverse;
        let passed = if reverse.confirmed().is_some() { "pass" } else { reverse.name() };
        field = field.method("iprev", passed, None);
    }
    let Some(concluded) = concluded else { return field.finish() };
    for signature in &concluded.dkim {
        field = field.dkim(signature);
    }
    if let Some(arc) = concluded.arc.as_ref().filter(|arc| arc.sets > 0) {
        field = field.arc(arc);
    }
    if let Some(dmarc) = &concluded.dmarc {
        field = field.method("dmarc", dmarc.name(), None);
        if let Some(domain) = concluded.author.domain() {
            field = field.property("header.from", domain.as_str().as_bytes());
        }
    }
    field.finish()
}
