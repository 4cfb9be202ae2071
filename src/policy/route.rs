//! Which next hop a recipient goes to.
//!
//! RFC 5321 §2.3.11: only the host named by the domain may interpret a local part, so local parts
//! compare byte by byte; §4.5.1: `postmaster` is the exception, in any case. Domains compare
//! without regard to ASCII case (§2.4).
//!
//! Invariant: the first route in the file that matches recipient and sender wins, and a look-up costs one probe for each
//! label of the domain, however many routes there are.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::settings::{UpstreamIndex, contains};

/// Whom a route takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `*`: everybody.
    Any,
    /// `example.net`: that domain only.
    Domain(Vec<u8>),
    /// `.example.net`: every domain below it, not itself. Held without the first dot.
    Below(Vec<u8>),
    /// `user@example.net`; an empty domain is the bare `<postmaster>`.
    Address(Vec<u8>, Vec<u8>),
}

/// Whose mail a route takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Senders {
    #[default]
    All,
    /// Clients of these networks, and, if so, users who said who they are.
    Some { networks: Vec<IpNet>, users: bool },
}

impl Senders {
    /// Whether it makes no difference who sends: a network may be all there are.
    pub fn are_all(&self) -> bool {
        match self {
            Self::All => true,
            Self::Some { networks, .. } => networks.iter().any(|network| network.prefix_len() == 0),
        }
    }

    fn admit(&self, client: Submitter) -> bool {
        match self {
            Self::All => true,
            Self::Some { networks, users } => client.is_user && *users || contains(networks, client.ip),
        }
    }
}

/// Who sends, as far as routes ask.
#[derive(Clone, Copy, Debug)]
pub struct Submitter {
    pub ip: IpAddr,
    /// It said who it is, and proved it.
    pub is_user: bool,
}

/// One line of the table: whom it takes, whose mail, and where it goes.
#[derive(Clone, Debug)]
pub struct Route {
    pub recipient: Pattern,
    pub senders: Senders,
    pub upstream: UpstreamIndex,
    /// Its servers are found by the domain: it takes no `<postmaster>`, which has none.
    pub by_domain: bool,
}

/// For everybody's mail.
impl From<(Pattern, UpstreamIndex)> for Route {
    fn from((recipient, upstream): (Pattern, UpstreamIndex)) -> Self {
        Self { recipient, senders: Senders::All, upstream, by_domain: false }
    }
}

/// All routes, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Takes `<postmaster>` when no pattern does.
    first: Entries,
    any: Entries,
    domains: HashMap<Vec<u8>, Entries>,
    below: HashMap<Vec<u8>, Entries>,
    /// Key: `local@domain`. The last `@` divides it, for a domain has none.
    addresses: HashMap<Vec<u8>, Entries>,
}

/// In the order of the file; none follows one that takes everybody's mail.
type Entries = Vec<Entry>;

#[derive(Clone, Debug)]
struct Entry {
    order: usize,
    senders: Senders,
    upstream: UpstreamIndex,
    by_domain: bool,
}

impl Routes {
    /// `routes` in the order of the file.
    pub fn new(routes: impl IntoIterator<Item: Into<Route>>) -> Self {
        let mut table = Self::default();
        for (order, route) in routes.into_iter().enumerate() {
            let Route { recipient, senders, upstream, by_domain } = route.into();
            table.insert(recipient, &Entry { order, senders, upstream, by_domain });
        }
        table
    }

    fn insert(&mut self, pattern: Pattern, entry: &Entry) {
        let places = [
            &mut self.first,
            match pattern {
                Pattern::Any => &mut self.any,
                Pattern::Domain(domain) => self.domains.entry(domain.to_ascii_lowercase()).or_default(),
                Pattern::Below(domain) => self.below.entry(domain.to_ascii_lowercase()).or_default(),
                Pattern::Address(local, domain) => {
                    self.addresses.entry(address_key(&local, &domain)).or_default()
                }
            },
        ];
        for entries in places {
            if entries.last().is_none_or(|last| last.senders != Senders::All || last.by_domain) {
                entries.push(entry.clone());
            }
        }
    }

    /// Whether every recipient has a route for everybody: whoever may connect may relay.
    pub fn takes_everybody(&self) -> bool {
        self.any.iter().any(|entry| entry.senders.are_all())
    }

    /// The next hop of `local@domain`, or `None`: relaying is refused.
    ///
    /// `<postmaster>` without a domain has an empty `domain`; RFC 5321 §4.5.1 wants it accepted, so
    /// it goes to the first route where no pattern names it.
    pub fn route(&self, local: &[u8], domain: &[u8], client: Submitter) -> Option<UpstreamIndex> {
        let key = address_key(local, domain);
        let domain = &key[key.len() - domain.len()..];
        let below = parents(domain).filter_map(|parent| self.below.get(parent));
        let exact = self.addresses.get(&key).into_iter().chain(self.domains.get(domain));
        let admitted = |entries: &'_ Entries| {
            entries
                .iter()
                .find(|entry| entry.senders.admit(client) && !(entry.by_domain && domain.is_empty()))
                .map(|entry| (entry.order, entry.upstream))
        };
        let found = exact.chain(below).chain([&self.any]).filter_map(admitted).min();
        let postmaster = || Some(&self.first).filter(|_| key == b"postmaster@").and_then(admitted);
        found.or_else(postmaster).map(|(_, upstream)| upstream)
    }
}

/// The domains above `domain`, nearest first: `b.c` and `c` for `a.b.c`.
fn parents(domain: &[u8]) -> impl Iterator<Item = &[u8]> {
    memchr::memchr_iter(b'.', domain).map(|dot| &domain[dot + 1..])
}

fn address_key(local: &[u8], domain: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(local.len() + 1 + domain.len());
    key.extend_from_slice(local);
    if local.eq_ignore_ascii_case(b"postmaster") {
        key.make_ascii_lowercase();
    }
    key.push(b'@');
    let at = key.len();
    key.extend_from_slice(domain);
    key[at..].make_ascii_lowercase();
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        let owned = |part: &str| part.as_bytes().to_vec();
        match text.rsplit_once('@') {
            _ if text == "*" => Pattern::Any,
            Some((local, domain)) => Pattern::Address(owned(local), owned(domain)),
            None if text.starts_with('.') => Pattern::Below(owned(&text[1..])),
            None => Pattern::Domain(owned(text)),
        }
    }

    #[track_caller]
    fn check(patterns: &[&str], recipient: &str, want: Option<usize>) {
        let numbered = patterns.iter().enumerate().map(|(n, text)| (pattern(text), UpstreamIndex(n)));
        let (local, domain) = recipient.rsplit_once('@').unwrap_or((recipient, ""));
        let stranger = Submitter { ip: "192.0.2.1".parse().unwrap(), is_user: false };
        let got = Routes::new(numbered).route(local.as_bytes(), domain.as_bytes(), stranger);
        assert_eq!(got.map(|index| index.0), want, "{recipient}");
    }

    #[test]
    fn a_domain_is_itself_in_any_case() {
        let patterns = ["Example.NET"];
        check(&patterns, "a@example.net", Some(0));
        check(&patterns, "a@EXAMPLE.net", Some(0));
        check(&patterns, "a@sub.example.net", None);
        check(&patterns, "a@anexample.net", None);
        check(&patterns, "a@net", None);
    }

    #[test]
    fn a_leading_dot_is_every_domain_below() {
        let patterns = [".example.net"];
        check(&patterns, "a@sub.example.net", Some(0));
        check(&patterns, "a@x.SUB.Example.net", Some(0));
        check(&patterns, "a@example.net", None);
        check(&patterns, "a@anexample.net", None);
    }

    #[test]
    fn local_parts_compare_exactly_but_postmaster() {
        let patterns = ["Info@example.net", "PostMaster@example.org"];
        check(&patterns, "Info@EXAMPLE.net", Some(0));
        check(&patterns, "info@example.net", None);
        check(&patterns, "POSTMASTER@example.org", Some(1));
        check(&patterns, "postmaster@example.net", None);
        check(&patterns, "\"a@b\"@example.net", None);
    }

    #[test]
    fn the_first_match_wins() {
        check(&["*", "example.net"], "a@example.net", Some(0));
        check(&["example.net", "*"], "a@example.net", Some(0));
        check(&["example.net", "*"], "a@example.org", Some(1));
        check(&[".net", ".example.net"], "a@b.example.net", Some(0));
        check(&[".example.net", ".net"], "a@b.example.net", Some(0));
        check(&["example.net", "a@example.net"], "a@example.net", Some(0));
        check(&["a@example.net", "example.net"], "a@example.net", Some(0));
        check(&["a@example.net", "example.net"], "b@example.net", Some(1));
        check(&["example.net", "EXAMPLE.net"], "a@example.net", Some(0));
    }

    #[test]
    fn the_bare_postmaster_always_has_a_route() {
        check(&["example.net", "example.org"], "postmaster", Some(0));
        check(&["example.net", "postmaster@"], "Postmaster", Some(1));
        check(&["example.net"], "info", None);
        check(&["*"], "Postmaster", Some(0));
    }

    #[test]
    fn the_bare_postmaster_has_no_domain_to_look_up() {
        let stranger = Submitter { ip: "192.0.2.1".parse().unwrap(), is_user: false };
        let route = |text: &str, upstream, by_domain| Route {
            by_domain,
            ..Route::from((pattern(text), UpstreamIndex(upstream)))
        };
        let routed = |routes: &[Route], domain: &[u8]| {
            let found = Routes::new(routes.iter().cloned()).route(b"postmaster", domain, stranger);
            found.map(|UpstreamIndex(index)| index)
        };
        let out = [route(".org", 0, true), route("*", 1, true)];
        assert_eq!((routed(&out, b""), routed(&out, b"example.org")), (None, Some(0)));
        let both = [out.as_slice(), &[route("example.net", 2, false)]].concat();
        assert_eq!((routed(&both, b""), routed(&both, b"example.com")), (Some(2), Some(1)));
    }

    #[test]
    fn an_address_literal_is_a_domain() {
        check(&["[192.0.2.1]"], "a@[192.0.2.1]", Some(0));
        check(&["[ipv6:2001:db8::1]"], "a@[IPv6:2001:DB8::1]", Some(0));
    }

    #[test]
    fn nothing_matches_an_empty_table() {
        check(&[], "a@example.net", None);
        check(&[], "postmaster", None);
    }

    #[test]
    fn a_route_may_be_for_some_only() {
        let senders = Senders::Some { networks: vec!["10.0.0.0/8".parse().unwrap()], users: true };
        let route = |text: &str, senders: &Senders, upstream| Route {
            recipient: pattern(text),
            senders: senders.clone(),
            upstream: UpstreamIndex(upstream),
            by_domain: false,
        };
        let routes = Routes::new([
            route("*", &senders, 0),
            route("example.net", &Senders::All, 1),
            route("*", &Senders::Some { networks: Vec::new(), users: true }, 2),
        ]);
        let routed = |domain: &str, ip: &str, is_user| {
            let who = Submitter { ip: ip.parse().unwrap(), is_user };
            routes.route(b"a", domain.as_bytes(), who).map(|UpstreamIndex(index)| index)
        };
        assert_eq!(routed("example.net", "192.0.2.1", false), Some(1));
        assert_eq!(routed("example.org", "192.0.2.1", false), None);
        assert_eq!(routed("example.org", "192.0.2.1", true), Some(0));
        assert_eq!(routed("example.net", "::ffff:10.0.0.1", false), Some(0));
        assert!(!routes.takes_everybody());
    }
}
