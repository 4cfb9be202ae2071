//! Which next hop a recipient goes to.
//!
//! RFC 5321 §2.3.11: only the host named by the domain may interpret a local part, so local parts
//! compare byte by byte; §4.5.1: `postmaster` is the exception, in any case. Domains compare
//! without regard to ASCII case (§2.4).
//!
//! Invariant: the first route in the file that matches wins, and a look-up costs one probe for each
//! label of the domain, however many routes there are.

use std::collections::HashMap;

use super::settings::UpstreamIndex;

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

/// All routes, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Takes `<postmaster>` when no pattern does.
    first: Option<Entry>,
    any: Option<Entry>,
    domains: HashMap<Vec<u8>, Entry>,
    below: HashMap<Vec<u8>, Entry>,
    /// Key: `local@domain`. The last `@` divides it, for a domain has none.
    addresses: HashMap<Vec<u8>, Entry>,
}

/// Smaller is earlier in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    order: usize,
    upstream: UpstreamIndex,
}

impl Routes {
    /// `routes` in the order of the file; of two equal patterns the first stays.
    pub fn new(routes: impl IntoIterator<Item = (Pattern, UpstreamIndex)>) -> Self {
        let mut table = Self::default();
        for (order, (pattern, upstream)) in routes.into_iter().enumerate() {
            table.insert(pattern, Entry { order, upstream });
        }
        table
    }

    fn insert(&mut self, pattern: Pattern, entry: Entry) {
        self.first.get_or_insert(entry);
        match pattern {
            Pattern::Any => *self.any.get_or_insert(entry),
            Pattern::Domain(domain) => *self.domains.entry(domain.to_ascii_lowercase()).or_insert(entry),
            Pattern::Below(domain) => *self.below.entry(domain.to_ascii_lowercase()).or_insert(entry),
            Pattern::Address(local, domain) => {
                *self.addresses.entry(address_key(&local, &domain)).or_insert(entry)
            }
        };
    }

    /// Whether every recipient has a route: whoever may connect may relay.
    pub fn takes_everybody(&self) -> bool {
        self.any.is_some()
    }

    /// The next hop of `local@domain`, or `None`: relaying is refused.
    ///
    /// `<postmaster>` without a domain has an empty `domain`; RFC 5321 §4.5.1 wants it accepted, so
    /// it goes to the first route where no pattern names it.
    pub fn route(&self, local: &[u8], domain: &[u8]) -> Option<UpstreamIndex> {
        let key = address_key(local, domain);
        let domain = &key[key.len() - domain.len()..];
        let below = parents(domain).filter_map(|parent| self.below.get(parent));
        let exact = self.addresses.get(&key).into_iter().chain(self.domains.get(domain));
        let found = exact.chain(below).chain(self.any.as_ref()).min();
        let postmaster = self.first.as_ref().filter(|_| key == b"postmaster@");
        found.or(postmaster).map(|entry| entry.upstream)
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
        let got = Routes::new(numbered).route(local.as_bytes(), domain.as_bytes());
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
    fn an_address_literal_is_a_domain() {
        check(&["[192.0.2.1]"], "a@[192.0.2.1]", Some(0));
        check(&["[ipv6:2001:db8::1]"], "a@[IPv6:2001:DB8::1]", Some(0));
    }

    #[test]
    fn nothing_matches_an_empty_table() {
        check(&[], "a@example.net", None);
        check(&[], "postmaster", None);
    }
}
