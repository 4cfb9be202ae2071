//! What is asked of the DNS, what it answers, and what is known so far.
//!
//! Names are as the DNS compares them: lower-case ASCII without the final dot. Text that is not a
//! name (too long, empty labels) never becomes a question: see [`Name::parse`] (RFC 1035 §2.3.4).

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets of a name in text form (RFC 1035 §2.3.4, less length octets and root).
pub const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A name that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// None if no name server could have it. A final dot is taken off. Labels may hold any visible
    /// ASCII and spaces: SPF macros and service labels need more than letters, digits and hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let label_is_good = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        };
        let good = text.len() <= NAME_BYTES_MAX && text.split('.').all(label_is_good);
        good.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The name under which an address is looked up in a reverse zone or a list (RFC 1035 §3.5,
    /// RFC 3596 §2.5, RFC 5782 §2.1).
    pub fn reverse(address: IpAddr, zone: &str) -> Option<Self> {
        let labels = match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}")
            }
            IpAddr::V6(address) => {
                let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
                nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".")
            }
        };
        Self::parse(&format!("{labels}.{zone}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Which records are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    A,
    Aaaa,
    Mx,
    Txt,
    Ptr,
    Tlsa,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Query {
    pub name: Name,
    pub kind: Kind,
}

impl Query {
    pub const fn new(name: Name, kind: Kind) -> Self {
        Self { name, kind }
    }
}

/// The value of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    /// An exchange of `.` (null MX, RFC 7505) is None.
    Mx {
        preference: u16,
        exchange: Option<Name>,
    },
    /// All strings of it, joined without a space (RFC 7208 §3.3, RFC 6376 §3.6.2.2).
    Txt(Vec<u8>),
    Ptr(Name),
    /// RFC 6698 §2.1.
    Tlsa {
        usage: u8,
        selector: u8,
        matching: u8,
        data: Vec<u8>,
    },
}

impl Record {
    /// Where a host is, if it says that.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::A(address) => Some(IpAddr::V4(*address)),
            Self::Aaaa(address) => Some(IpAddr::V6(*address)),
            _ => None,
        }
    }
}

/// What the DNS said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// At least one record of the kind asked for.
    Records { records: Vec<Record>, is_secure: bool },
    /// The name exists, but has no such record.
    NoData,
    /// The name does not exist (NXDOMAIN).
    NotFound,
    /// No answer: timeout, SERVFAIL, refused, failed validation.
    Failed,
}

impl Answer {
    pub fn records(&self) -> &[Record] {
        match self {
            Self::Records { records, .. } => records,
            _ => &[],
        }
    }

    /// No record, and the DNS is sure of it ("void", RFC 7208 §4.6.4).
    pub const fn is_void(&self) -> bool {
        matches!(self, Self::NoData | Self::NotFound)
    }
}

/// What an evaluation must know before it can go on. Asked all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub Vec<Query>);

/// What was answered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(HashMap<Query, Answer>);

impl Known {
    /// # Errors
    /// [`Missing`] if it was not asked yet.
    pub fn answer(&self, query: &Query) -> Result<&Answer, Missing> {
        self.0.get(query).ok_or_else(|| Missing(vec![query.clone()]))
    }

    /// All of them, or all that are missing at once.
    ///
    /// # Errors
    /// [`Missing`] if any was not asked yet.
    pub fn answers(&self, queries: &[Query]) -> Result<Vec<&Answer>, Missing> {
        let missing: Vec<Query> =
            queries.iter().filter(|query| !self.0.contains_key(query)).cloned().collect();
        if missing.is_empty() {
            Ok(queries.iter().map(|query| &self.0[query]).collect())
        } else {
            Err(Missing(missing))
        }
    }

    pub fn learn(&mut self, query: Query, answer: Answer) {
        self.0.insert(query, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<String> {
        Name::parse(text).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn what_no_server_can_have_is_no_name() {
        assert_eq!(name("Example.NET."), Some("example.net".to_owned()));
        assert_eq!(name("_dmarc.example"), Some("_dmarc.example".to_owned()));
        let long = "a".repeat(64);
        for text in ["", ".", "a..b", ".a", "a\r\nb", "ä.example", long.as_str()] {
            assert_eq!(name(text), None, "{text}");
        }
        assert_eq!(name(&"a.".repeat(127)).map(|name| name.len()), Some(NAME_BYTES_MAX));
        assert_eq!(name(&"a.".repeat(128)), None);
    }

    #[test]
    fn addresses_are_looked_up_backwards() {
        let reverse =
            |address: &str, zone| Name::reverse(address.parse().unwrap(), zone).unwrap().to_string();
        assert_eq!(reverse("192.0.2.5", "in-addr.arpa"), "5.2.0.192.in-addr.arpa");
        assert_eq!(reverse("::ffff:192.0.2.5", "list.example"), "5.2.0.192.list.example");
        let v6 = reverse("2001:db8::1", "ip6.arpa");
        assert!(v6.starts_with("1.0.0.0.0.") && v6.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"), "{v6}");
    }

    #[test]
    fn what_is_missing_is_told_at_once() {
        let query = |text: &str| Query::new(Name::parse(text).unwrap(), Kind::Txt);
        let mut known = Known::default();
        known.learn(query("b"), Answer::NotFound);
        let missing = known.answers(&[query("a"), query("b"), query("c")]);
        assert_eq!(missing, Err(Missing(vec![query("a"), query("c")])));
        known.learn(query("a"), Answer::Failed);
        known.learn(query("c"), Answer::NoData);
        let voids: Vec<bool> = known
            .answers(&[query("a"), query("b"), query("c")])
            .unwrap()
            .iter()
            .map(|a| a.is_void())
            .collect();
        assert_eq!(voids, [false, true, true]);
    }
}
