//! DMARC: whether what was authenticated is the author's, and what the author's domain wants if not.
//!
//! RFC 7489, and of its successor (RFC 9989) the tree walk and the tags `np`, `psd` and `t`. `pct` is as
//! the successor has it: gone, but for 0, which was used for a test.
//!
//! What must always hold: "pass" needs an identifier that passed and is of the author's own organisation;
//! a policy that the DNS could not tell is `temperror`, never "none".

mod record;
#[cfg(test)]
mod tests;
mod walk;

use super::dkim;
use super::dns::{Answer, Kind, Known, Missing, Name, Query};
use super::domain::is_within;
use super::spf;
use record::Record;
use walk::{Found, Walk};

/// Signatures that are looked at; more are not verified either.
const SIGNATURES_MAX: usize = 10;

/// RFC 7489 §11.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// No policy applies.
    None,
    Pass,
    Fail,
    TempError,
    PermError,
}

impl Outcome {
    /// As RFC 8601 §2.7 writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// What a domain wants done with mail that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    None,
    Quarantine,
    Reject,
}

impl Policy {
    pub const ALL: [Self; 3] = [Self::None, Self::Quarantine, Self::Reject];

    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    /// What a domain that only tests wants instead.
    const fn less(self) -> Self {
        match self {
            Self::Reject => Self::Quarantine,
            _ => Self::None,
        }
    }
}

/// Why there is no policy though there is a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The name has several records.
    SeveralRecords,
    /// The record has no policy that is known, and wants no reports.
    NoPolicy,
    /// The DNS did not answer.
    Dns,
}

impl Problem {
    pub const fn name(self) -> &'static str {
        match self {
            Self::SeveralRecords => "several_records",
            Self::NoPolicy => "no_policy",
            Self::Dns => "dns",
        }
    }

    const fn outcome(self) -> Outcome {
        match self {
            Self::Dns => Outcome::TempError,
            _ => Outcome::PermError,
        }
    }
}

/// What became of an identifier's own check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    Pass,
    Fail,
    /// It could not be checked now.
    TempError,
}

impl From<spf::Outcome> for Checked {
    fn from(outcome: spf::Outcome) -> Self {
        match outcome {
            spf::Outcome::Pass => Self::Pass,
            spf::Outcome::TempError => Self::TempError,
            _ => Self::Fail,
        }
    }
}

impl From<dkim::Outcome> for Checked {
    fn from(outcome: dkim::Outcome) -> Self {
        match outcome {
            dkim::Outcome::Pass => Self::Pass,
            dkim::Outcome::TempError => Self::TempError,
            _ => Self::Fail,
        }
    }
}

/// A domain that SPF or a DKIM signature speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Identifier<'a> {
    pub domain: &'a str,
    pub checked: Checked,
}

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dmarc {
    pub outcome: Outcome,
    /// What the record wants for this author's domain, should it fail.
    pub policy: Policy,
    pub is_spf_aligned: bool,
    pub is_dkim_aligned: bool,
    /// Nothing passed, but something of the author's could not be checked now: a "fail" may be none.
    pub is_unsure: bool,
    /// Whose record it is.
    pub record_domain: Option<Name>,
    pub problem: Option<Problem>,
}

/// Evaluates DMARC for one author's domain.
///
/// # Errors
/// [`Missing`] until all records that decide are known.
pub fn evaluate(
    known: &Known,
    author: &Name,
    spf: Option<Identifier<'_>>,
    dkim: &[Identifier<'_>],
) -> Result<Dmarc, Missing> {
    let walk = Walk::new(known, author)?;
    let (domain, record) = match applicable(&walk, author) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Dmarc::without_policy(Outcome::None, None)),
        Err(problem) => return Ok(Dmarc::without_policy(problem.outcome(), Some(problem))),
    };
    let policy = policy_of(known, author, domain, record)?;
    let author = Author { known, domain: author, organisation: walk.organisation().unwrap_or(author) };
    let spf = author.best(spf.as_slice(), record.is_spf_strict)?;
    let dkim = author.best(dkim.get(..SIGNATURES_MAX).unwrap_or(dkim), record.is_dkim_strict)?;
    let passes = [spf, dkim].contains(&Some(Checked::Pass));
    Ok(Dmarc {
        outcome: if passes { Outcome::Pass } else { Outcome::Fail },
        policy,
        is_spf_aligned: spf == Some(Checked::Pass),
        is_dkim_aligned: dkim == Some(Checked::Pass),
        is_unsure: !passes && [spf, dkim].contains(&Some(Checked::TempError)),
        record_domain: Some(domain.clone()),
        problem: None,
    })
}

impl Dmarc {
    const fn without_policy(outcome: Outcome, problem: Option<Problem>) -> Self {
        Self {
            outcome,
            policy: Policy::None,
            is_spf_aligned: false,
            is_dkim_aligned: false,
            is_unsure: false,
            record_domain: None,
            problem,
        }
    }
}

/// The record that applies: the domain's own, its organisation's, or that of the suffix both are under.
fn applicable<'a>(walk: &'a Walk, author: &'a Name) -> Result<Option<(&'a Name, &'a Record)>, Problem> {
    let organisation = walk.organisation().unwrap_or(author);
    for name in [author, organisation] {
        match walk.at(name) {
            Found::Record(record) => return Ok(Some((name, record))),
            Found::Useless => return Err(Problem::NoPolicy),
            Found::Several => return Err(Problem::SeveralRecords),
            Found::Failed => return Err(Problem::Dns),
            Found::Nothing => {}
        }
    }
    Ok(walk.public_suffix())
}

/// The record's policy for the author's domain, which may be below it, and may not exist.
fn policy_of(known: &Known, author: &Name, domain: &Name, record: &Record) -> Result<Policy, Missing> {
    let policy = if author == domain {
        record.policy
    } else {
        let absent = match record.absent {
            Some(policy) if is_absent(known, author)? => Some(policy),
            _ => None,
        };
        absent.or(record.subdomains).unwrap_or(record.policy)
    };
    Ok(if record.is_test { policy.less() } else { policy })
}

/// Whether nothing of any kind is at a name (RFC 8020).
fn is_absent(known: &Known, name: &Name) -> Result<bool, Missing> {
    Ok(matches!(known.answer(&Query::new(name.clone(), Kind::A))?, Answer::NotFound))
}

/// The author's domain, and what aligns with it.
struct Author<'a> {
    known: &'a Known,
    domain: &'a Name,
    organisation: &'a Name,
}

impl Author<'_> {
    /// The best that came of the identifiers that are aligned; None if none is.
    fn best(&self, identifiers: &[Identifier<'_>], is_strict: bool) -> Result<Option<Checked>, Missing> {
        let mut best = None;
        for identifier in identifiers.iter().filter(|identifier| identifier.checked != Checked::Fail) {
            if best != Some(Checked::Pass) && self.aligns(identifier.domain, is_strict)? {
                best = Some(identifier.checked);
            }
        }
        Ok(best)
    }

    /// The same domain, or, unless that is asked for, one of the same organisation (RFC 7489 §3.1).
    fn aligns(&self, domain: &str, is_strict: bool) -> Result<bool, Missing> {
        let Some(domain) = Name::parse(domain) else { return Ok(false) };
        if domain == *self.domain {
            return Ok(true);
        }
        if domain == *self.organisation {
            return Ok(!is_strict);
        }
        if is_strict || !is_within(&domain, self.organisation) {
            return Ok(false);
        }
        Ok(Walk::new(self.known, &domain)?.organisation() == Some(self.organisation))
    }
}
