//! SPF: whether a domain let an address send in its name.
//!
//! RFC 7208, and RFC 8616 for names and senders that are not ASCII.
//!
//! What must always hold: one check evaluates ten terms that ask the DNS at most, two of them in vain,
//! and ten names of one `mx` or `ptr` (§4.6.4), whatever records say; what the DNS could not answer is
//! `temperror`, and a record with one error in it says nothing but `permerror`.

mod evaluation;
mod macros;
mod record;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use super::dns::{Known, Missing, NAME_BYTES_MAX, Name};
use super::domain::{to_ascii, visible};
use evaluation::Check;
use macros::Values;

/// §2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    None,
    Neutral,
    Pass,
    Fail,
    SoftFail,
    TempError,
    PermError,
}

impl Outcome {
    /// As RFC 8601 §2.7.2 writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// Whose domain was checked (§2.3, §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    MailFrom,
    Helo,
}

/// Why a check came to no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A record does not follow the grammar.
    Syntax,
    /// A domain has several records.
    SeveralRecords,
    /// `include` or `redirect` leads to a domain without a record.
    NoRecord,
    /// More than ten terms ask the DNS.
    TooManyTerms,
    /// More than two of them in vain.
    TooManyVoids,
    /// An `mx` has more than ten names.
    TooManyExchanges,
    /// The DNS did not answer.
    Dns,
}

impl Problem {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::SeveralRecords => "several_records",
            Self::NoRecord => "no_record",
            Self::TooManyTerms => "too_many_terms",
            Self::TooManyVoids => "too_many_voids",
            Self::TooManyExchanges => "too_many_exchanges",
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

/// What a client said of itself, and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub ip: IpAddr,
    /// Of the reverse-path. Where the domain is empty (a null path), HELO is checked instead.
    pub local_part: &'a str,
    pub domain: &'a str,
    pub helo: &'a str,
    /// Our own name, for explanations.
    pub receiver: &'a str,
    /// For explanations.
    pub unix_seconds: u64,
    /// Whether a domain's explanation of its "fail" is wanted: it costs a look-up.
    pub explain: bool,
}

impl Input<'_> {
    /// The same client, checked by its HELO only (§2.3).
    #[must_use]
    pub const fn of_helo(self) -> Self {
        Self { local_part: "", domain: "", ..self }
    }
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spf {
    pub outcome: Outcome,
    pub identity: Identity,
    /// The domain that was checked, as the DNS has it; if it is none, what is visible of what was given.
    pub domain: String,
    /// The mechanism that matched; None if none did.
    pub mechanism: Option<String>,
    /// What the domain says of its "fail", in visible ASCII. Written by strangers.
    pub explanation: Option<String>,
    pub problem: Option<Problem>,
}

/// Checks whether the client may use its sender's domain.
///
/// # Errors
/// [`Missing`] until all that the records ask for is known.
pub fn check_host(known: &Known, input: &Input<'_>) -> Result<Spf, Missing> {
    let null = input.domain.is_empty();
    let given = if null { input.helo } else { input.domain };
    let identity = if null { Identity::Helo } else { Identity::MailFrom };
    let domain = to_ascii(given);
    let Some(name) = sender_domain(&domain) else {
        return Ok(Spf::without_record(identity, given));
    };
    let values = Values {
        ip: input.ip.to_canonical(),
        local_part: if null || input.local_part.is_empty() { "postmaster" } else { input.local_part },
        sender_domain: &domain,
        helo: input.helo,
        receiver: if input.receiver.is_empty() { "unknown" } else { input.receiver },
        unix_seconds: input.unix_seconds,
        domain: "",
        client_name: "",
    };
    let mut check = Check::new(known, values);
    let evaluated = check.run(&name)?;
    let explanation = if input.explain { check.explanation(&evaluated)? } else { None };
    Ok(Spf {
        outcome: evaluated.outcome,
        identity,
        domain: name.as_str().to_owned(),
        mechanism: evaluated.mechanism.map(str::to_owned),
        explanation,
        problem: evaluated.problem,
    })
}

impl Spf {
    fn without_record(identity: Identity, domain: &str) -> Self {
        Self {
            outcome: Outcome::None,
            identity,
            domain: visible(domain, NAME_BYTES_MAX),
            mechanism: None,
            explanation: None,
            problem: None,
        }
    }
}

/// §4.3: what is no domain of several labels has no record. Address literals and addresses are none.
fn sender_domain(domain: &str) -> Option<Name> {
    let host = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let (_, top) = domain.rsplit_once('.')?;
    let number = top.bytes().all(|byte| byte.is_ascii_digit());
    Name::parse(domain).filter(|_| !number && domain.bytes().all(host))
}
