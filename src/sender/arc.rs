//! ARC: what others on the way found, sealed so that it can be checked.
//!
//! RFC 8617. Three fields make a set: results, a signature over the message as it was then, a seal
//! over all sets so far. As with DKIM, reading comes first, the body next (the digests of
//! [`Chain::forms`] are made in the same [`BodyHash`](super::dkim::BodyHash)), keys where the DNS is asked,
//! and [`Chain::evaluate`] joins them.
//!
//! * `seal`: a set of our own in front of a message that goes on.
//!
//! Invariant: a chain passes only if every set is whole, every seal verifies and the newest signature
//! does; anything that is not a chain fails as a whole. The sets read are bounded.

use super::dkim::{
    Algorithm, BodyCheck, BodyDigests, BodyForm, Canonical, Claim, EFFORT_OCTETS, Form, Hash, Hashing,
    KeyCheck, Outcome, Reason, Signature, Signed, Tags, Unread, canonical_field, number, required,
    signing_field, trim,
};
use super::dns::{Known, Missing, Name, Query};
use super::header_section::{Field, Fields};

mod seal;

#[cfg(test)]
mod tests;

pub use seal::{BODY_FORM, KeyFault, Sealer, Unsealed};

/// Sets of one chain (RFC 8617 §4.2.1).
pub const SETS_MAX: usize = 50;
/// The newest signatures that are verified: one decides, the others tell since when the message is
/// unchanged.
const SIGNATURES_MAX: usize = 10;
const TIME_DIGITS_MAX: usize = 12;

/// Why a chain fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A field does not say which set it is of.
    NotNumbered,
    Duplicate,
    /// A set lacks a field, or a set is missing.
    Incomplete,
    /// Whoever sealed last already found the chain broken.
    SealedAsFailed,
    /// What a seal says of the sets before it cannot be.
    Validation(usize),
    Seal(usize, Reason),
    /// The newest signature.
    Signature(Reason),
}

impl Fault {
    /// For people. Nothing of it is a peer's.
    pub fn text(self) -> String {
        match self {
            Self::NotNumbered => "a field has no set".to_owned(),
            Self::Duplicate => "a field stands twice".to_owned(),
            Self::Incomplete => "a set is not whole".to_owned(),
            Self::SealedAsFailed => "sealed as failed".to_owned(),
            Self::Validation(set) => format!("seal {set} contradicts itself"),
            Self::Seal(set, reason) => format!("seal {set}: {}", reason.text()),
            Self::Signature(reason) => format!("newest signature: {}", reason.text()),
        }
    }
}

/// What a seal says of the sets before it (RFC 8617 §4.1.3, `cv`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// There are none.
    None,
    Fail,
    Pass,
}

impl Validation {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fail => "fail",
            Self::Pass => "pass",
        }
    }
}

/// What there is of ARC in a header section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    None,
    Broken(Fault),
    Chain(Chain),
}

/// Sets that are whole, as far as fields tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The oldest first.
    seals: Vec<Signed>,
    /// The newest first.
    signatures: Vec<Result<Signature, Unread>>,
}

/// What keys say of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainCheck {
    seals: Vec<KeyCheck>,
    signatures: Vec<Option<KeyCheck>>,
}

/// What a chain turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// none, pass, fail, or temperror if only the DNS is to blame.
    pub outcome: Outcome,
    pub fault: Option<Fault>,
    pub sets: usize,
    /// The oldest set whose signature, and all newer ones, still verify; 0 if all do (RFC 8617 §5.2). Older
    /// than the tenth newest is not looked.
    pub oldest_pass: Option<usize>,
    /// Who sealed, the newest first.
    pub sealers: Vec<Name>,
}

impl Evaluation {
    const fn without_chain(outcome: Outcome, fault: Option<Fault>) -> Self {
        Self { outcome, fault, sets: 0, oldest_pass: None, sealers: Vec::new() }
    }
}

impl Reading {
    pub fn read(fields: &mut Fields<'_>) -> Self {
        match sets(fields) {
            Ok(sets) if sets.is_empty() => Self::None,
            Ok(sets) => Chain::read(&sets, fields).map_or_else(Self::Broken, Self::Chain),
            Err(fault) => Self::Broken(fault),
        }
    }

    /// What a set of ours says of those before it. `evaluation` is what was found of them.
    ///
    /// # Errors
    /// If none may follow them, or the DNS did not say what they are worth (RFC 8617 §5.1).
    pub fn validation(&self, evaluation: Option<&Evaluation>) -> Result<Validation, Unsealed> {
        match (self, evaluation.map(|evaluation| evaluation.outcome)) {
            (Self::None, _) => Ok(Validation::None),
            (Self::Broken(Fault::SealedAsFailed), _) => Err(Unsealed::Over),
            (Self::Broken(_), _) | (Self::Chain(_), Some(Outcome::Fail)) => Ok(Validation::Fail),
            (Self::Chain(_), Some(Outcome::Pass)) => Ok(Validation::Pass),
            (Self::Chain(_), _) => Err(Unsealed::Unsure),
        }
    }

    /// The digests that must be made of the body.
    pub fn forms(&self) -> Vec<BodyForm> {
        match self {
            Self::Chain(chain) => chain.signatures.iter().flatten().map(|signature| signature.body).collect(),
            Self::None | Self::Broken(_) => Vec::new(),
        }
    }

    /// The result if there is no chain to check.
    pub const fn without_chain(&self) -> Option<Evaluation> {
        match self {
            Self::None => Some(Evaluation::without_chain(Outcome::None, None)),
            Self::Broken(fault) => Some(Evaluation::without_chain(Outcome::Fail, Some(*fault))),
            Self::Chain(_) => None,
        }
    }
}

/// The three fields of one set.
#[derive(Clone, Copy, Debug, Default)]
struct Set<'a> {
    results: Option<Field<'a>>,
    signature: Option<Field<'a>>,
    seal: Option<Field<'a>>,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Results,
    Signature,
    Seal,
}

impl Part {
    fn of(name: &[u8]) -> Option<Self> {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match name.len() {
            26 if is(b"ARC-Authentication-Results") => Some(Self::Results),
            21 if is(b"ARC-Message-Signature") => Some(Self::Signature),
            8 if is(b"ARC-Seal") => Some(Self::Seal),
            _ => None,
        }
    }

    /// Which set a field says it is of.
    fn number(self, value: &[u8]) -> Option<usize> {
        let text = match self {
            Self::Results => results_number(value),
            Self::Signature | Self::Seal => Tags::parse(value)?.value("i"),
        };
        let number = usize::try_from(number(text?, 2)?).ok();
        number.filter(|number| (1..=SETS_MAX).contains(number))
    }
}

/// `i=1;` before everything else (RFC 8617 §4.1.1).
fn results_number(value: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b';', value)?;
    let number = trim(value.get(..end)?).strip_prefix(b"i")?;
    trim(number).strip_prefix(b"=").map(trim)
}

impl<'a> Set<'a> {
    const fn slot(&mut self, part: Part) -> &mut Option<Field<'a>> {
        match part {
            Part::Results => &mut self.results,
            Part::Signature => &mut self.signature,
            Part::Seal => &mut self.seal,
        }
    }

    const fn is_whole(&self) -> bool {
        self.results.is_some() && self.signature.is_some() && self.seal.is_some()
    }
}

/// The number of the newest set, as far as fields say one.
fn newest(fields: &Fields<'_>) -> usize {
    let number = |field: &Field<'_>| Part::of(field.name())?.number(field.value());
    fields.all().iter().filter_map(number).max().unwrap_or(0)
}

/// Whether somebody has sealed the sets as failed.
fn is_over(fields: &Fields<'_>) -> bool {
    let says_fail = |field: Field<'_>| {
        let said = Tags::parse(field.value()).and_then(|tags| tags.value("cv"));
        said.is_some_and(|said| said.eq_ignore_ascii_case(b"fail"))
    };
    fields.named(b"ARC-Seal").any(says_fail)
}

/// All sets in order, each whole and none missing.
fn sets<'a>(fields: &Fields<'a>) -> Result<Vec<Set<'a>>, Fault> {
    let mut sets: Vec<Set<'a>> = Vec::new();
    for field in fields.all() {
        let Some(part) = Part::of(field.name()) else { continue };
        let number = part.number(field.value()).ok_or(Fault::NotNumbered)?;
        sets.resize(sets.len().max(number), Set::default());
        let slot = sets.get_mut(number - 1).map(|set| set.slot(part)).ok_or(Fault::NotNumbered)?;
        if slot.replace(*field).is_some() {
            return Err(Fault::Duplicate);
        }
    }
    if sets.iter().all(Set::is_whole) { Ok(sets) } else { Err(Fault::Incomplete) }
}

impl Chain {
    fn read(sets: &[Set<'_>], fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let seals = seals(sets)?;
        fields.index();
        let mut effort = EFFORT_OCTETS;
        let newest = sets.iter().rev().filter_map(|set| set.signature).take(SIGNATURES_MAX);
        let signatures = newest.map(|own| Signature::read(Form::Arc, own, fields, &mut effort)).collect();
        Ok(Self { seals, signatures })
    }

    /// Octets that it takes in memory, as far as its sealers say how many.
    pub fn weight(&self) -> usize {
        let signed = self.signatures.iter().flatten().map(|signature| &signature.signed);
        self.seals.iter().chain(signed).map(Signed::weight).sum()
    }

    /// Everything that has to do with keys. Expensive, and meant for where the DNS is asked.
    ///
    /// # Errors
    /// [`Missing`] with all keys that were not asked for yet.
    pub fn check(&self, known: &Known) -> Result<ChainCheck, Missing> {
        let signed = self.signatures.iter().flatten().map(|signature| &signature.signed);
        let mut keys: Vec<Query> = self.seals.iter().chain(signed).map(|signed| signed.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        known.answers(&keys)?;
        let seals = self.seals.iter().map(|seal| seal.check(false, known)).collect::<Result<_, _>>()?;
        let check = |signature: &Result<Signature, Unread>| {
            signature.as_ref().ok().map(|signature| signature.signed.check(false, known)).transpose()
        };
        Ok(ChainCheck { seals, signatures: self.signatures.iter().map(check).collect::<Result<_, _>>()? })
    }

    /// All that is known together. `now` is in seconds since 1970.
    pub fn evaluate(&self, check: &ChainCheck, body: &BodyDigests, now: u64) -> Evaluation {
        let signatures: Vec<Option<Reason>> = self
            .signatures
            .iter()
            .zip(&check.signatures)
            .map(|(one, key)| fault(one, *key, body, now))
            .collect();
        let seal = |(at, check): (usize, &KeyCheck)| check.reason.map(|reason| Fault::Seal(at + 1, reason));
        let newest = signatures.first().copied().flatten().map(Fault::Signature);
        let faults = || newest.into_iter().chain(check.seals.iter().enumerate().rev().filter_map(seal));
        // What surely is wrong says more than what could not be asked.
        let fault = faults().find(|fault| !is_unanswered(fault)).or_else(|| faults().next());
        let outcome = match fault {
            None => Outcome::Pass,
            Some(fault) if is_unanswered(&fault) => Outcome::TempError,
            Some(_) => Outcome::Fail,
        };
        Evaluation {
            outcome,
            fault,
            sets: self.seals.len(),
            oldest_pass: if fault.is_none() { Some(self.oldest_pass(&signatures)) } else { None },
            sealers: self.seals.iter().rev().map(|seal| seal.domain.clone()).collect(),
        }
    }

    fn oldest_pass(&self, signatures: &[Option<Reason>]) -> usize {
        let passing = signatures.iter().take_while(|fault| fault.is_none()).count();
        if passing == self.seals.len() { 0 } else { self.seals.len() + 1 - passing }
    }
}

const fn is_unanswered(fault: &Fault) -> bool {
    matches!(fault, Fault::Seal(_, Reason::KeyUnanswered) | Fault::Signature(Reason::KeyUnanswered))
}

fn fault(
    signature: &Result<Signature, Unread>,
    key: Option<KeyCheck>,
    body: &BodyDigests,
    now: u64,
) -> Option<Reason> {
    match (signature, key) {
        (Ok(signature), Some(key)) => {
            let found = body.check(&signature.body, &signature.body_hash);
            let is_open = matches!(found, BodyCheck::Matches { octets_unsigned: 1.. });
            signature.evaluate(&key, found, now).reason.or_else(|| is_open.then_some(Reason::BodyChanged))
        }
        (Ok(_), None) => Some(Reason::KeyMissing),
        (Err(unread), _) => Some(unread.reason),
    }
}

/// Each seal covers all sets before it and its own (RFC 8617 §5.1.1). What earlier ones cover is
/// hashed once: the work is that of one pass over all sets.
fn seals(sets: &[Set<'_>]) -> Result<Vec<Signed>, Fault> {
    let mut seals = Vec::with_capacity(sets.len());
    let mut so_far = Hashing::new(Hash::Sha256);
    for (at, set) in sets.iter().enumerate() {
        let Set { results: Some(results), signature: Some(signature), seal: Some(seal) } = set else {
            return Err(Fault::Incomplete);
        };
        let claim = claim(seal, at + 1, at + 1 == sets.len())?;
        let mut text = Vec::with_capacity(2048);
        for field in [results, signature] {
            canonical_field(Canonical::Relaxed, field, &mut text);
        }
        so_far.update(&text);
        let mut own = so_far.clone();
        text.clear();
        signing_field(Canonical::Relaxed, seal, claim.place, &mut text);
        own.update(&text);
        seals.push(claim.sign(own.digest()));
        text.clear();
        canonical_field(Canonical::Relaxed, seal, &mut text);
        so_far.update(&text);
    }
    Ok(seals)
}

/// What the tags of a seal say (RFC 8617 §4.1.3, §5.2 step 3).
fn claim(seal: &Field<'_>, at: usize, is_newest: bool) -> Result<Claim, Fault> {
    let fault = |reason| Fault::Seal(at, reason);
    let tags = Tags::parse(seal.value()).ok_or_else(|| fault(Reason::NotTags))?;
    let said = required(&tags, "cv").map_err(fault)?;
    if is_newest && said.eq_ignore_ascii_case(b"fail") {
        return Err(Fault::SealedAsFailed);
    }
    let can_be: &[u8] = if at == 1 { b"none" } else { b"pass" };
    if !said.eq_ignore_ascii_case(can_be) {
        return Err(Fault::Validation(at));
    }
    if tags.value("h").is_some() {
        return Err(fault(Reason::TagBad("h")));
    }
    if tags.value("t").is_some_and(|time| number(time, TIME_DIGITS_MAX).is_none()) {
        return Err(fault(Reason::TagBad("t")));
    }
    let claim = Claim::read(&tags).map_err(fault)?;
    if claim.algorithm == Algorithm::RsaSha1 { Err(fault(Reason::Algorithm)) } else { Ok(claim) }
}
