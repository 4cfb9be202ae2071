//! What a client's address, its greeting and its sender's domain are to the DNS.
//!
//! RFC 1912 §2.1 (names of addresses and back), RFC 5321 §4.1.1.1 and §4.1.3 (HELO), RFC 5321 §5.1 and
//! RFC 7505 (whether a domain takes mail).
//!
//! What must always hold: a name counts only when the DNS leads from it back to the client's address; no
//! more than [`NAMES_MAX`] names of one client or domain are followed.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use super::dns::{Answer, Kind, Known, Missing, Name, Query, Record};
use super::domain::host_name;

/// Names of one address, or exchanges of one domain, that are followed.
const NAMES_MAX: usize = 10;

/// Whether the client's address has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reverse {
    /// A name that leads back to the address.
    Confirmed(Name),
    /// Names, of which none leads back; the first of them.
    Unconfirmed(Name),
    /// The DNS has no name for it.
    Nameless,
    TempError,
}

impl Reverse {
    /// The name that may be shown and compared.
    pub const fn confirmed(&self) -> Option<&Name> {
        match self {
            Self::Confirmed(name) => Some(name),
            _ => None,
        }
    }

    pub const fn name(&self) -> &'static str {
        match self {
            Self::Confirmed(_) => "pass",
            Self::Unconfirmed(_) => "fail",
            Self::Nameless => "none",
            Self::TempError => "temperror",
        }
    }
}

/// Looks the client's name up, and back.
///
/// # Errors
/// [`Missing`] until that is known.
pub fn reverse(known: &Known, ip: IpAddr) -> Result<Reverse, Missing> {
    let ip = ip.to_canonical();
    let zone = if ip.is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
    let Some(query) = Name::reverse(ip, zone) else { return Ok(Reverse::Nameless) };
    let answer = known.answer(&Query::new(query, Kind::Ptr))?;
    let names: Vec<&Name> = answer.records().iter().filter_map(pointer).take(NAMES_MAX).collect();
    let answers = known.answers(&addresses_of(&names, ip))?;
    let confirmed = names.iter().zip(&answers).find(|(_, answer)| leads_to(answer, ip));
    let failed = answers.iter().chain([&answer]).any(|answer| matches!(answer, Answer::Failed));
    Ok(match (confirmed, names.first()) {
        (Some((name, _)), _) => Reverse::Confirmed((*name).clone()),
        _ if failed => Reverse::TempError,
        (None, Some(first)) => Reverse::Unconfirmed((*first).clone()),
        (None, None) => Reverse::Nameless,
    })
}

/// What a client said its name is, compared with what is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Greeting {
    /// A name that leads to the client.
    Confirmed,
    /// A name that leads elsewhere.
    Elsewhere,
    /// A name that leads nowhere.
    NotFound,
    /// The client's own address, as a literal.
    Literal,
    /// The literal of another address.
    ForeignLiteral,
    /// An address without brackets, which is no name.
    BareAddress,
    /// A name without a dot.
    NotQualified,
    /// Neither a name nor a literal.
    Malformed,
    /// Our own name, or our own address.
    Ours,
    TempError,
}

impl Greeting {
    pub const ALL: [Self; 10] = [
        Self::Confirmed,
        Self::Elsewhere,
        Self::NotFound,
        Self::Literal,
        Self::ForeignLiteral,
        Self::BareAddress,
        Self::NotQualified,
        Self::Malformed,
        Self::Ours,
        Self::TempError,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "pass",
            Self::Elsewhere => "elsewhere",
            Self::NotFound => "not_found",
            Self::Literal => "literal",
            Self::ForeignLiteral => "foreign_literal",
            Self::BareAddress => "bare_address",
            Self::NotQualified => "not_qualified",
            Self::Malformed => "malformed",
            Self::Ours => "ours",
            Self::TempError => "temperror",
        }
    }
}

/// Who we are: a client has no business to greet with that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ours<'a> {
    pub names: &'a [&'a str],
    pub addresses: &'a [IpAddr],
}

/// Checks a greeting's text, and where its name leads.
///
/// # Errors
/// [`Missing`] until that is known.
pub fn greeting(known: &Known, ip: IpAddr, helo: &str, ours: Ours<'_>) -> Result<Greeting, Missing> {
    let ip = ip.to_canonical();
    if let Some(literal) = literal(helo) {
        return Ok(of_literal(literal, ip, ours));
    }
    if helo.parse::<IpAddr>().is_ok() {
        return Ok(Greeting::BareAddress);
    }
    let text = helo.strip_suffix('.').unwrap_or(helo);
    let Some(name) = host_name(text) else { return Ok(Greeting::Malformed) };
    if ours.names.iter().any(|own| own.eq_ignore_ascii_case(name.as_str())) && !ours.addresses.contains(&ip) {
        return Ok(Greeting::Ours);
    }
    if !name.as_str().contains('.') {
        return Ok(Greeting::NotQualified);
    }
    of_name(known, &name, ip)
}

/// What stands between the brackets of a literal, if it is one at all.
fn literal(helo: &str) -> Option<Option<IpAddr>> {
    helo.strip_prefix('[')?.strip_suffix(']').map(said_address)
}

/// The address that a client means by what it says between brackets, or instead of a name. IPv6 addresses have a
/// tag (RFC 5321 §4.1.3), which some clients leave out.
pub fn said_address(said: &str) -> Option<IpAddr> {
    let tag = said.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    let address = said.get(tag.map_or(0, str::len)..).unwrap_or_default();
    address.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn of_literal(literal: Option<IpAddr>, ip: IpAddr, ours: Ours<'_>) -> Greeting {
    match literal {
        None => Greeting::Malformed,
        Some(address) if address == ip => Greeting::Literal,
        Some(address) if ours.addresses.contains(&address) => Greeting::Ours,
        Some(_) => Greeting::ForeignLiteral,
    }
}

/// Both kinds of address are asked for: a name that leads to a client's other address does lead somewhere.
fn of_name(known: &Known, name: &Name, ip: IpAddr) -> Result<Greeting, Missing> {
    let queries = [Kind::A, Kind::Aaaa].map(|kind| Query::new(name.clone(), kind));
    let answers = known.answers(&queries)?;
    let any = |what: fn(&Answer) -> bool| answers.iter().any(|answer| what(answer));
    Ok(if answers.iter().any(|answer| leads_to(answer, ip)) {
        Greeting::Confirmed
    } else if any(|answer| matches!(answer, Answer::Failed)) {
        Greeting::TempError
    } else if any(|answer| !answer.is_void()) {
        Greeting::Elsewhere
    } else {
        Greeting::NotFound
    })
}

/// Whether a domain takes mail: one that does not cannot have sent what wants an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MailDomain {
    /// It has exchanges.
    Exchange,
    /// It has none, but an address of its own (RFC 5321 §5.1).
    Address,
    /// It says that it takes none (RFC 7505).
    NullMx,
    /// Its exchanges have no name that could be looked up.
    NoExchange,
    /// The name is there, with nothing that takes mail.
    NothingThere,
    /// The name is not there.
    NotFound,
    TempError,
}

impl MailDomain {
    pub const ALL: [Self; 7] = [
        Self::Exchange,
        Self::Address,
        Self::NullMx,
        Self::NoExchange,
        Self::NothingThere,
        Self::NotFound,
        Self::TempError,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Exchange => "mx",
            Self::Address => "address",
            Self::NullMx => "null_mx",
            Self::NoExchange => "no_exchange",
            Self::NothingThere => "nothing_there",
            Self::NotFound => "not_found",
            Self::TempError => "temperror",
        }
    }
}

/// Looks a sender's domain up.
///
/// # Errors
/// [`Missing`] until that is known.
pub fn mail_domain(known: &Known, domain: &Name) -> Result<MailDomain, Missing> {
    match known.answer(&Query::new(domain.clone(), Kind::Mx))? {
        Answer::Failed => Ok(MailDomain::TempError),
        Answer::NotFound => Ok(MailDomain::NotFound),
        Answer::NoData => of_address(known, domain),
        Answer::Records { records, .. } => Ok(of_exchanges(records)),
    }
}

/// A null MX stands alone; beside others it is an error of theirs, and they count (RFC 7505 §3).
fn of_exchanges(records: &[Record]) -> MailDomain {
    let named = records.iter().any(|record| matches!(record, Record::Mx { exchange: Some(_), .. }));
    match records {
        _ if named => MailDomain::Exchange,
        [Record::Mx { exchange: None, .. }] => MailDomain::NullMx,
        _ => MailDomain::NoExchange,
    }
}

fn of_address(known: &Known, domain: &Name) -> Result<MailDomain, Missing> {
    let answers = known.answers(&[Kind::A, Kind::Aaaa].map(|kind| Query::new(domain.clone(), kind)))?;
    let any = |what: fn(&Answer) -> bool| answers.iter().any(|answer| what(answer));
    Ok(if any(|answer| !answer.records().is_empty()) {
        MailDomain::Address
    } else if any(|answer| matches!(answer, Answer::Failed)) {
        MailDomain::TempError
    } else {
        MailDomain::NothingThere
    })
}

fn pointer(record: &Record) -> Option<&Name> {
    match record {
        Record::Ptr(name) => Some(name),
        _ => None,
    }
}

fn addresses_of(names: &[&Name], ip: IpAddr) -> Vec<Query> {
    let kind = if ip.is_ipv4() { Kind::A } else { Kind::Aaaa };
    names.iter().map(|name| Query::new((*name).clone(), kind)).collect()
}

fn leads_to(answer: &Answer, ip: IpAddr) -> bool {
    answer.records().iter().any(|record| match record {
        Record::A(address) => ip == *address,
        Record::Aaaa(address) => ip == *address,
        _ => false,
    })
}
