//! Lists in the DNS: of addresses (DNSBL, DNSWL) and of the domains that links lead to (URIBL).
//!
//! RFC 5782. A list answers with addresses in 127.0.0.0/8 that say why; which of them count, and how
//! much, is the administrator's to say.
//!
//! What must always hold: only what the administrator's filters name is a listing. An answer from outside
//! 127.0.0.0/8, or one that lists use to say that they did not answer, is none: a list that was given up,
//! or that refuses us, must not list the whole world.

mod filter;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};

use super::dns::{Answer, Kind, Known, Missing, Name, Query, Record};
use super::domain::{registrable, to_ascii};

pub use filter::{Filter, FilterError};

/// Names and addresses of one message's links that one list is asked for; more are told
/// ([`Listings::is_partial`]).
pub const HOSTS_MAX: usize = 20;

/// One list, as it is configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    /// Where it is asked.
    pub zone: String,
    /// Which answers count. The first that fits decides; without any, every answer of RFC 5782 counts.
    pub filters: Vec<(Filter, f64)>,
    /// What a listing weighs if there are no filters; less than zero on a list of the welcome.
    pub weight: f64,
    /// Of links: it is asked for the whole name of a host, not for what its owner registered.
    pub whole_hosts: bool,
    /// Of links: it is asked for addresses in place of names, too. Some lists answer that with an error.
    pub addresses: bool,
}

/// Something is on a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Which of the lists that were asked.
    pub list: usize,
    /// What is on it: an address, or a domain.
    pub what: String,
    /// The answer that weighs most.
    pub code: Ipv4Addr,
    /// Of all the answers that count, each filter once.
    pub weight: f64,
}

/// What lists said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listings {
    pub found: Vec<Listing>,
    /// Lists that did not answer, or answered that they do not.
    pub unanswered: Vec<usize>,
    /// There were more hosts than were looked up.
    pub is_partial: bool,
}

impl Listings {
    pub fn weight(&self) -> f64 {
        self.found.iter().map(|listing| listing.weight).sum()
    }
}

/// Asks all lists for a client's address, at once.
///
/// # Errors
/// [`Missing`] until all have answered.
pub fn of_address(known: &Known, lists: &[List], ip: IpAddr) -> Result<Listings, Missing> {
    let subject = || vec![(ip.to_canonical().to_string(), Subject::Address(ip))];
    ask(known, lists, &lists.iter().map(|_| subject()).collect::<Vec<_>>(), false)
}

/// Asks all lists for the hosts of links, at once: for an address as it is where a list has any, for a name
/// by what its owner registered where a list does not want all of it. Each is asked for once.
///
/// # Errors
/// [`Missing`] until all have answered.
pub fn of_hosts<'a>(
    known: &Known,
    lists: &[List],
    hosts: impl IntoIterator<Item = &'a str>,
) -> Result<Listings, Missing> {
    let hosts: Vec<&str> = hosts.into_iter().collect();
    let (subjects, whole): (Vec<_>, Vec<bool>) = lists.iter().map(|list| list.subjects(&hosts)).unzip();
    ask(known, lists, &subjects, whole.contains(&false))
}

/// What is looked up in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Address(IpAddr),
    /// The name is the text beside it.
    Domain,
}

/// None for what no list could have: names without a dot, and what is no name.
fn subject(host: &str, whole: bool) -> Option<(String, Subject)> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        return Some((ip.to_string(), Subject::Address(ip)));
    }
    let is_host = |name: &Name| name.as_str().contains('.') && !name.as_str().contains(' ');
    let name = Name::parse(&to_ascii(host)).filter(is_host)?;
    let asked = if whole { name.as_str() } else { registrable(name.as_str()) };
    Some((asked.to_owned(), Subject::Domain))
}

fn ask(
    known: &Known,
    lists: &[List],
    subjects: &[Vec<(String, Subject)>],
    is_partial: bool,
) -> Result<Listings, Missing> {
    let of_lists = lists.iter().enumerate().zip(subjects);
    let pairs = of_lists.flat_map(|(list, subjects)| subjects.iter().map(move |subject| (list, subject)));
    let asked = pairs.filter_map(|((place, list), (what, subject))| {
        Some(((place, list, what), question(list, what, *subject)?))
    });
    let (asked, queries): (Vec<_>, Vec<Query>) = asked.unzip();
    let answers = known.answers(&queries)?;
    // With the list's zone behind it a long name is none that can be asked for.
    let is_partial = is_partial || asked.len() < subjects.iter().map(Vec::len).sum();
    let mut listings = Listings { is_partial, ..Listings::default() };
    for ((place, list, what), answer) in asked.into_iter().zip(answers) {
        listings.take(place, list, what, answer);
    }
    Ok(listings)
}

fn question(list: &List, what: &str, subject: Subject) -> Option<Query> {
    let name = match subject {
        Subject::Address(ip) => Name::reverse(ip, &list.zone),
        Subject::Domain => Name::parse(&format!("{what}.{}", list.zone)),
    };
    name.map(|name| Query::new(name, Kind::A))
}

impl Listings {
    fn take(&mut self, place: usize, list: &List, what: &str, answer: &Answer) {
        let codes: Vec<Ipv4Addr> = answer.records().iter().filter_map(code).collect();
        if matches!(answer, Answer::Failed) || codes.iter().any(|code| !is_listing(*code)) {
            if !self.unanswered.contains(&place) {
                self.unanswered.push(place);
            }
            return;
        }
        let weighed = list.weigh(&codes);
        let heaviest = weighed.iter().max_by(|one, other| one.1.abs().total_cmp(&other.1.abs()));
        if let Some((code, _)) = heaviest {
            let weight = weighed.iter().map(|(_, weight)| weight).sum();
            self.found.push(Listing { list: place, what: what.to_owned(), code: *code, weight });
        }
    }
}

fn code(record: &Record) -> Option<Ipv4Addr> {
    match record {
        Record::A(address) => Some(*address),
        _ => None,
    }
}

/// Answers that mean a listing (RFC 5782 §2.1). 127.0.0.1 must never be one (§5), and in 127.255.255.0/24
/// lists say that they do not serve the resolver that asks.
const fn is_listing(code: Ipv4Addr) -> bool {
    match code.octets() {
        [127, 0, 0, 0 | 1] | [127, 255, 255, _] => false,
        [first, ..] => first == 127,
    }
}

impl List {
    /// What this list is asked for, and whether that is all.
    fn subjects(&self, hosts: &[&str]) -> (Vec<(String, Subject)>, bool) {
        let mut subjects: Vec<(String, Subject)> = Vec::new();
        let found = hosts.iter().filter_map(|host| subject(host, self.whole_hosts));
        for subject in found.filter(|(_, subject)| self.addresses || *subject == Subject::Domain) {
            if subjects.contains(&subject) {
                continue;
            }
            if subjects.len() == HOSTS_MAX {
                return (subjects, false);
            }
            subjects.push(subject);
        }
        (subjects, true)
    }

    /// Answers that count, and what they weigh; each filter counts once.
    fn weigh(&self, codes: &[Ipv4Addr]) -> Vec<(Ipv4Addr, f64)> {
        if self.filters.is_empty() {
            return codes.first().map(|code| (*code, self.weight)).into_iter().collect();
        }
        let mut weighed: Vec<(usize, Ipv4Addr, f64)> = Vec::new();
        for code in codes {
            let fits = self.filters.iter().enumerate().find(|(_, (filter, _))| filter.fits(*code));
            let Some((place, (_, weight))) = fits else { continue };
            if !weighed.iter().any(|(other, ..)| *other == place) {
                weighed.push((place, *code, *weight));
            }
        }
        weighed.into_iter().map(|(_, code, weight)| (code, weight)).collect()
    }
}
