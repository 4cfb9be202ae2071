//! From a domain up to the root: which records there are, and whose the domain is.
//!
//! RFC 7489 §3.2 takes the organisation's domain from the public suffix list. Its successor (RFC 9989,
//! section on the tree walk) takes it from records: where one of them says where a boundary is (`psd`), that
//! is followed; else the list, so that nothing changes for who publishes as before.
//!
//! What must always hold: eight questions at most, all asked at once.

use super::super::dns::{Answer, Kind, Known, Missing, Name, Query, Record as DnsRecord};
use super::super::domain::registrable;
use super::record::{self, Boundary, Record, Useless};

/// Names that are asked for, the domain itself included.
const STEPS_MAX: usize = 8;

/// What there is at one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Record(Record),
    Useless,
    Several,
    Failed,
}

/// A domain and the names above it, with what there is at each.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    steps: Vec<(Name, Found)>,
}

impl Walk {
    pub(super) fn new(known: &Known, domain: &Name) -> Result<Self, Missing> {
        let names = names(domain);
        // A name that is too long to be asked for has no record.
        let asked: Vec<(Name, Query)> =
            names.into_iter().filter_map(|name| question(&name).map(|query| (name, query))).collect();
        let queries: Vec<Query> = asked.iter().map(|(_, query)| query.clone()).collect();
        let answers = known.answers(&queries)?;
        let steps = asked.into_iter().zip(answers).map(|((name, _), answer)| (name, found(answer)));
        let mut walk = Self { steps: steps.collect() };
        walk.stop_at_boundary();
        Ok(walk)
    }

    /// What is above a boundary has no say.
    fn stop_at_boundary(&mut self) {
        let boundary = self.steps.iter().position(|(_, found)| found.boundary().is_some());
        self.steps.truncate(boundary.map_or(STEPS_MAX, |place| place + 1));
    }

    pub(super) fn at(&self, name: &Name) -> &Found {
        self.steps.iter().find(|(step, _)| step == name).map_or(&Found::Nothing, |(_, found)| found)
    }

    /// The record of a public suffix that the domain is under.
    pub(super) fn public_suffix(&self) -> Option<(&Name, &Record)> {
        let (name, found) = self.steps.get(1..)?.last()?;
        match found {
            Found::Record(record) if record.boundary == Some(Boundary::PublicSuffix) => Some((name, record)),
            _ => None,
        }
    }

    /// The domain of the organisation whose domain it is.
    pub(super) fn organisation(&self) -> Option<&Name> {
        let (last, found) = self.steps.last()?;
        let (first, _) = self.steps.first()?;
        match found.boundary() {
            Some(Boundary::Organisation) => Some(last),
            // Its own: nobody else's name is one below it on the way here.
            Some(Boundary::PublicSuffix) if self.steps.len() == 1 => Some(first),
            Some(Boundary::PublicSuffix) => self.steps.iter().rev().nth(1).map(|(name, _)| name),
            None => self.registered().or(Some(first)),
        }
    }

    fn registered(&self) -> Option<&Name> {
        let (first, _) = self.steps.first()?;
        let registered = registrable(first.as_str());
        self.steps.iter().map(|(name, _)| name).find(|name| name.as_str() == registered)
    }
}

impl Found {
    const fn boundary(&self) -> Option<Boundary> {
        match self {
            Self::Record(record) => record.boundary,
            _ => None,
        }
    }
}

/// The domain, and the names above it; of one with many labels those in the middle are left out.
fn names(domain: &Name) -> Vec<Name> {
    let mut names = vec![domain.clone()];
    let mut rest = domain.as_str();
    while let Some((_, above)) = rest.split_once('.') {
        rest = above;
        if rest.split('.').count() < STEPS_MAX {
            names.extend(Name::parse(rest));
        }
    }
    names
}

fn question(name: &Name) -> Option<Query> {
    Name::parse(&format!("_dmarc.{name}")).map(|name| Query::new(name, Kind::Txt))
}

fn found(answer: &Answer) -> Found {
    if matches!(answer, Answer::Failed) {
        return Found::Failed;
    }
    let texts = answer.records().iter().filter_map(|record| match record {
        DnsRecord::Txt(text) if record::is_record(text) => Some(text),
        _ => None,
    });
    let texts: Vec<&Vec<u8>> = texts.collect();
    match texts[..] {
        [] => Found::Nothing,
        [text] => match Record::parse(text) {
            Ok(record) => Found::Record(record),
            Err(Useless) => Found::Useless,
        },
        _ => Found::Several,
    }
}
