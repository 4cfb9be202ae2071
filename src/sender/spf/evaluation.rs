//! One check under way: records, the terms in them, and the records that those lead to.
//!
//! RFC 7208 §4 to §6. What must always hold: see the limits below (§4.6.4). Whatever is missing of the
//! DNS ends the evaluation at once; it begins anew when that is known.

use ipnet::IpNet;

use super::super::dns::{Answer, Kind, Known, Missing, Name, Query, Record as DnsRecord};
use super::super::domain::{is_within, visible};
use super::macros::{MacroString, Place, Values};
use super::record::{self, Hosts, Mechanism, Record};
use super::{Outcome, Problem};

/// §4.6.4: terms of one check that ask the DNS.
pub(super) const TERMS_MAX: usize = 10;
/// §4.6.4: those of them to which the DNS has nothing.
pub(super) const VOIDS_MAX: usize = 2;
/// §4.6.4: names of one `mx`, and of one `ptr`.
pub(super) const NAMES_MAX: usize = 10;
/// What is kept of an explanation: it has to fit into a reply's lines.
pub(super) const EXPLANATION_BYTES_MAX: usize = 256;

/// Why an evaluation ends before its result.
enum Stop {
    Missing(Missing),
    Problem(Problem),
}

impl From<Missing> for Stop {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// What one domain's record says.
#[derive(Debug)]
pub(super) struct Evaluated<'a> {
    pub(super) outcome: Outcome,
    pub(super) mechanism: Option<&'a str>,
    pub(super) problem: Option<Problem>,
    /// Where the domain explains its "fail", and the domain.
    explained: Option<(MacroString<'a>, Name)>,
}

impl Evaluated<'_> {
    const fn plain(outcome: Outcome) -> Self {
        Self { outcome, mechanism: None, problem: None, explained: None }
    }

    fn stopped(problem: Problem) -> Self {
        Self { problem: Some(problem), ..Self::plain(problem.outcome()) }
    }
}

/// One check under way, over all the records that it leads to.
#[derive(Debug)]
pub(super) struct Check<'a> {
    known: &'a Known,
    values: Values<'a>,
    terms: usize,
    voids: usize,
}

impl<'a> Check<'a> {
    pub(super) const fn new(known: &'a Known, values: Values<'a>) -> Self {
        Self { known, values, terms: 0, voids: 0 }
    }

    /// The result for a domain, errors included.
    pub(super) fn run(&mut self, domain: &Name) -> Result<Evaluated<'a>, Missing> {
        match self.evaluate(domain) {
            Ok(evaluated) => Ok(evaluated),
            Err(Stop::Missing(missing)) => Err(missing),
            Err(Stop::Problem(problem)) => Ok(Evaluated::stopped(problem)),
        }
    }

    fn evaluate(&mut self, domain: &Name) -> Result<Evaluated<'a>, Stop> {
        let Some(record) = self.record(domain)? else { return Ok(Evaluated::plain(Outcome::None)) };
        for directive in &record.directives {
            if self.matches(&directive.mechanism, domain)? {
                return Ok(Evaluated {
                    outcome: directive.outcome,
                    mechanism: Some(directive.text),
                    problem: None,
                    explained: record.explanation.map(|explanation| (explanation, domain.clone())),
                });
            }
        }
        match record.redirect {
            Some(target) => self.redirect(&target, domain),
            None => Ok(Evaluated::plain(Outcome::Neutral)),
        }
    }

    /// The one record of a domain (§4.4, §4.5), checked.
    fn record(&self, domain: &Name) -> Result<Option<Record<'a>>, Stop> {
        let mut records = self.texts(domain)?.filter(|text| record::is_record(text));
        let Some(text) = records.next() else { return Ok(None) };
        if records.next().is_some() {
            return Err(Problem::SeveralRecords.into());
        }
        Ok(Some(Record::parse(text).map_err(|_| Problem::Syntax)?))
    }

    fn texts(&self, name: &Name) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, Stop> {
        let answer = self.answer(name, Kind::Txt)?;
        Ok(answer.records().iter().filter_map(|record| match record {
            DnsRecord::Txt(text) => Some(text.as_slice()),
            _ => None,
        }))
    }

    fn answer(&self, name: &Name, kind: Kind) -> Result<&'a Answer, Stop> {
        match self.known.answer(&Query::new(name.clone(), kind))? {
            Answer::Failed => Err(Problem::Dns.into()),
            answer => Ok(answer),
        }
    }

    fn matches(&mut self, mechanism: &Mechanism<'a>, domain: &Name) -> Result<bool, Stop> {
        if mechanism.asks() {
            self.count_term()?;
        }
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Network(network) => Ok(network.contains(&self.values.ip)),
            Mechanism::Include(target) => self.include(target, domain),
            Mechanism::Exists(target) => self.exists(target, domain),
            Mechanism::Address(hosts) => self.address(hosts, domain),
            Mechanism::Exchange(hosts) => self.exchange(hosts, domain),
            Mechanism::Pointer(target) => self.pointer(target.as_ref(), domain),
        }
    }

    fn count_term(&mut self) -> Result<(), Problem> {
        self.terms += 1;
        if self.terms > TERMS_MAX { Err(Problem::TooManyTerms) } else { Ok(()) }
    }

    /// A term counts once, however many of its own look-ups are void.
    fn count_void(&mut self, void: bool) -> Result<(), Problem> {
        self.voids += usize::from(void);
        if self.voids > VOIDS_MAX { Err(Problem::TooManyVoids) } else { Ok(()) }
    }

    /// The name a term is about; None if no server can have it, and the term does not match (§4.8).
    fn target(&self, target: &MacroString<'_>, domain: &Name) -> Result<Option<Name>, Stop> {
        let client = if target.asks_name() { self.client_name(domain)? } else { None };
        Ok(target.expand_name(&self.values_for(domain, client.as_ref())))
    }

    fn target_or(&self, target: Option<&MacroString<'_>>, domain: &Name) -> Result<Option<Name>, Stop> {
        target.map_or_else(|| Ok(Some(domain.clone())), |target| self.target(target, domain))
    }

    fn values_for<'b>(&self, domain: &'b Name, client: Option<&'b Name>) -> Values<'b>
    where
        'a: 'b,
    {
        Values { domain: domain.as_str(), client_name: client.map_or("unknown", Name::as_str), ..self.values }
    }

    /// §5.2: only a "pass" matches, and there must be a record.
    fn include(&mut self, target: &MacroString<'a>, domain: &Name) -> Result<bool, Stop> {
        let target = self.target(target, domain)?.ok_or(Problem::NoRecord)?;
        match self.evaluate(&target)?.outcome {
            Outcome::None => Err(Problem::NoRecord.into()),
            outcome => Ok(outcome == Outcome::Pass),
        }
    }

    /// §6.1: the other domain's result, as if it had been asked for.
    fn redirect(&mut self, target: &MacroString<'a>, domain: &Name) -> Result<Evaluated<'a>, Stop> {
        self.count_term()?;
        let target = self.target(target, domain)?.ok_or(Problem::NoRecord)?;
        let evaluated = self.evaluate(&target)?;
        if evaluated.outcome == Outcome::None { Err(Problem::NoRecord.into()) } else { Ok(evaluated) }
    }

    /// §5.7: any address of version 4, whatever the client's.
    fn exists(&mut self, target: &MacroString<'_>, domain: &Name) -> Result<bool, Stop> {
        let Some(name) = self.target(target, domain)? else { return Ok(false) };
        let answer = self.answer(&name, Kind::A)?;
        self.count_void(answer.is_void())?;
        Ok(!answer.is_void())
    }

    fn address(&mut self, hosts: &Hosts<'_>, domain: &Name) -> Result<bool, Stop> {
        let Some(name) = self.target_or(hosts.target.as_ref(), domain)? else { return Ok(false) };
        let answer = self.answer(&name, self.address_kind())?;
        self.count_void(answer.is_void())?;
        Ok(self.has_client(answer, hosts))
    }

    /// §5.4; more than ten names are an error before any of them is asked for.
    fn exchange(&mut self, hosts: &Hosts<'_>, domain: &Name) -> Result<bool, Stop> {
        let Some(name) = self.target_or(hosts.target.as_ref(), domain)? else { return Ok(false) };
        let answer = self.answer(&name, Kind::Mx)?;
        let exchanges: Vec<&Name> = answer.records().iter().filter_map(exchange).collect();
        if exchanges.len() > NAMES_MAX {
            return Err(Problem::TooManyExchanges.into());
        }
        let answers = self.known.answers(&self.addresses_of(&exchanges))?;
        self.count_void(answer.is_void() || answers.iter().any(|answer| answer.is_void()))?;
        if answers.iter().any(|answer| self.has_client(answer, hosts)) {
            return Ok(true);
        }
        let failed = answers.iter().any(|answer| matches!(answer, Answer::Failed));
        if failed { Err(Problem::Dns.into()) } else { Ok(false) }
    }

    /// §5.5: a confirmed name of the client is the target or below it.
    fn pointer(&mut self, target: Option<&MacroString<'_>>, domain: &Name) -> Result<bool, Stop> {
        let Some(target) = self.target_or(target, domain)? else { return Ok(false) };
        let void = self.known.answer(&self.reverse_query()?)?.is_void();
        self.count_void(void)?;
        Ok(self.client_names()?.iter().any(|name| is_within(name, &target)))
    }

    const fn address_kind(&self) -> Kind {
        if self.values.ip.is_ipv4() { Kind::A } else { Kind::Aaaa }
    }

    fn addresses_of(&self, names: &[&Name]) -> Vec<Query> {
        names.iter().map(|name| Query::new((*name).clone(), self.address_kind())).collect()
    }

    /// Whether the client is one of the addresses, or in the network of one.
    fn has_client(&self, answer: &Answer, hosts: &Hosts<'_>) -> bool {
        answer.records().iter().any(|record| {
            let network = match record {
                DnsRecord::A(address) => IpNet::new((*address).into(), hosts.v4_bits),
                DnsRecord::Aaaa(address) => IpNet::new((*address).into(), hosts.v6_bits),
                _ => return false,
            };
            network.is_ok_and(|network| network.contains(&self.values.ip))
        })
    }

    fn reverse_query(&self) -> Result<Query, Stop> {
        let zone = if self.values.ip.is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
        let name = Name::reverse(self.values.ip, zone).ok_or(Problem::Dns)?;
        Ok(Query::new(name, Kind::Ptr))
    }

    /// The client's names that lead back to it: of the first ten, those that the DNS can confirm (§5.5).
    fn client_names(&self) -> Result<Vec<&'a Name>, Stop> {
        let answer = self.known.answer(&self.reverse_query()?)?;
        let names: Vec<&Name> = answer.records().iter().filter_map(pointer).take(NAMES_MAX).collect();
        let answers = self.known.answers(&self.addresses_of(&names))?;
        let exact = Hosts { target: None, v4_bits: 32, v6_bits: 128 };
        let confirmed = names.into_iter().zip(answers).filter(|(_, answer)| self.has_client(answer, &exact));
        Ok(confirmed.map(|(name, _)| name).collect())
    }

    /// The name for the macro `p` (§7.3): the domain itself, else one below it, else any.
    fn client_name(&self, domain: &Name) -> Result<Option<Name>, Stop> {
        let names = self.client_names()?;
        let itself = names.iter().find(|name| **name == domain);
        let below = || names.iter().find(|name| is_within(name, domain));
        Ok(itself.or_else(below).or_else(|| names.first()).map(|name| (*name).clone()))
    }

    /// What the domain says of its "fail" (§6.2). Any error on the way there means: nothing.
    pub(super) fn explanation(&self, evaluated: &Evaluated<'_>) -> Result<Option<String>, Missing> {
        let Some((target, domain)) = &evaluated.explained else { return Ok(None) };
        if evaluated.outcome != Outcome::Fail {
            return Ok(None);
        }
        match self.explained(target, domain) {
            Ok(text) => Ok(text),
            Err(Stop::Missing(missing)) => Err(missing),
            Err(Stop::Problem(_)) => Ok(None),
        }
    }

    fn explained(&self, target: &MacroString<'_>, domain: &Name) -> Result<Option<String>, Stop> {
        let Some(name) = self.target(target, domain)? else { return Ok(None) };
        let mut texts = self.texts(&name)?;
        let (Some(text), None) = (texts.next(), texts.next()) else { return Ok(None) };
        let text = std::str::from_utf8(text).map_err(|_| Problem::Syntax)?;
        let text = MacroString::parse(text, Place::Explanation).map_err(|_| Problem::Syntax)?;
        let client = if text.asks_name() { self.client_name(domain)? } else { None };
        // Macros bring the sender's own octets in.
        Ok(text
            .expand(&self.values_for(domain, client.as_ref()))
            .map(|text| visible(&text, EXPLANATION_BYTES_MAX)))
    }
}

fn exchange(record: &DnsRecord) -> Option<&Name> {
    match record {
        DnsRecord::Mx { exchange, .. } => exchange.as_ref(),
        _ => None,
    }
}

fn pointer(record: &DnsRecord) -> Option<&Name> {
    match record {
        DnsRecord::Ptr(name) => Some(name),
        _ => None,
    }
}
