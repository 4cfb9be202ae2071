//! Links: found in text while it streams, read as the programs that follow them do.
//!
//! WHATWG URL (what browsers do with what people write), RFC 3986 for the names of the parts, UTS #46,
//! and the Public Suffix List for what one owner registers.
//!
//! Invariants: a [`Url`]'s host is in its one canonical form, however it was written; links are found
//! alike at every cut of the text; nothing is read further than [`URL_BYTES_MAX`], and what was cut says
//! so ([`Tricks::TOO_LONG`]).

mod embedded;
mod extractor;
mod host;
mod percent;
mod trick;

use std::borrow::Cow;

pub use extractor::{Extractor, Found, PIECE_BYTES_MAX, Shape};
pub use trick::Tricks;

use host::Host;

/// Bytes of a link that are looked at.
pub const URL_BYTES_MAX: usize = 2048;
/// Links inside one link that are read.
pub const EMBEDDED_MAX: usize = 8;

/// Schemes whose links have a host after slashes, and how they are called here. `hxxp` is what people
/// write so that nobody clicks it.
const WEB_SCHEMES: &[(&str, &str)] = &[
    ("http", "http"),
    ("https", "https"),
    ("ftp", "ftp"),
    ("ws", "ws"),
    ("wss", "wss"),
    ("hxxp", "http"),
    ("hxxps", "https"),
];

/// Other schemes with a meaning of their own in mail.
const OTHER_SCHEMES: &[&str] = &[
    "mailto",
    "data",
    "javascript",
    "vbscript",
    "file",
    "tel",
    "sms",
    "cid",
    "mid",
    "blob",
    "intent",
    "about",
];

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Lower case; empty where none was written.
    pub scheme: Cow<'static, str>,
    /// Lower-case ASCII or an address; empty for schemes without one (`data`, `javascript`).
    pub host: String,
    /// The host as it is shown, where that differs (IDNA).
    pub shown: Option<String>,
    pub port: Option<u16>,
    /// What follows the host: path, query, fragment; as it was written.
    pub rest: String,
    /// The host that the link's own text shows, if it shows one.
    pub text_host: Option<String>,
    pub tricks: Tricks,
    /// Bytes at the host's end that are the registrable domain.
    domain_bytes: usize,
}

impl Url {
    /// Reads the target of a link, or what looks like one in text. `None`: it leads nowhere by itself
    /// (a path, a fragment, nothing).
    pub fn parse(target: &str) -> Option<Self> {
        let target = without_breaks(target);
        match split_scheme(&target) {
            Some((scheme, after)) if scheme.eq_ignore_ascii_case("mailto") => Self::of_mailto(after),
            Some((scheme, after)) => {
                match WEB_SCHEMES.iter().find(|(written, _)| scheme.eq_ignore_ascii_case(written)) {
                    Some((written, name)) => Self::of_web(name, written != name, after),
                    None => Self::of_other(scheme.to_ascii_lowercase(), after),
                }
            }
            None if is_relative_to_scheme(&target) => Self::of_web("", false, &target),
            None if is_bare(&target) => Self::of_name(&target),
            None => None,
        }
    }

    /// Reads `local@domain`.
    pub fn of_address(address: &str) -> Option<Self> {
        Self::of_mailto(address)
    }

    /// The name that one owner registers (by the Public Suffix List), or the host where there is none.
    pub fn domain(&self) -> &str {
        self.host.get(self.host.len().saturating_sub(self.domain_bytes)..).unwrap_or_default()
    }

    /// Notes the host that `text`, the link's own, shows to people.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Self {
        self.text_host = extractor::first(text).map(|url| url.host);
        self
    }

    /// Whether the link's text shows another owner's host than the one it leads to.
    pub fn misleads(&self) -> bool {
        self.text_host.as_ref().is_some_and(|shown| registrable(shown) != self.domain())
    }

    /// Links to other owners that this one carries inside, and those inside them: where redirectors keep
    /// their target. Not more than [`EMBEDDED_MAX`].
    pub fn embedded(&self) -> Vec<Self> {
        let mut found = Vec::new();
        embedded::targets(self, &mut found);
        let mut next = 0;
        while let Some(url) = found.get(next).cloned() {
            embedded::targets(&url, &mut found);
            next += 1;
        }
        found
    }

    /// Appends the link as patterns for links see it: canonical host, octets of the rest decoded.
    pub fn write(&self, out: &mut String) {
        let scheme = if self.scheme.is_empty() { "http" } else { &self.scheme };
        match self.host.as_str() {
            "" => out.extend([scheme, ":"]),
            host if host.contains(':') => out.extend([scheme, "://[", host, "]"]),
            host => out.extend([scheme, "://", host]),
        }
        if let Some(port) = self.port {
            out.extend([":", &port.to_string()]);
        }
        out.push_str(&percent::decode(&self.rest));
    }

    /// Reads a host without a scheme, and what follows it.
    fn of_name(text: &str) -> Option<Self> {
        Self::of_authority("", text)
    }

    fn of_web(scheme: &'static str, defanged: bool, after: &str) -> Option<Self> {
        let authority = after.trim_start_matches(['/', '\\']);
        let mut url = Self::of_authority(scheme, authority)?;
        let slashes = after.get(..after.len() - authority.len());
        url.tricks.add_if(slashes != Some("//"), Tricks::SLASHES);
        url.tricks.add_if(defanged, Tricks::DEFANGED);
        Some(url)
    }

    /// Host and what belongs to it, up to a slash, a question mark or a fragment. All of it is read,
    /// however long: the last `@` decides.
    fn of_authority(scheme: &'static str, text: &str) -> Option<Self> {
        let end = text.find(['/', '\\', '?', '#']).unwrap_or(text.len());
        let (authority, rest) = text.split_at_checked(end)?;
        let (user, place) =
            authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        let (written, port) = split_port(place);
        let host = Host::read(written)?;
        let mut url = Self::new(scheme.into(), host, rest);
        url.port = port.filter(|port| {
            !matches!((scheme, port), ("http" | "ws" | "", 80) | ("https" | "wss", 443) | ("ftp", 21))
        });
        url.tricks.add_if(user.is_some(), Tricks::USER);
        url.tricks.add_if(url.port.is_some(), Tricks::PORT);
        url.tricks.add_if(text.len() > URL_BYTES_MAX, Tricks::TOO_LONG);
        Some(url)
    }

    /// The first address of a mail link.
    fn of_mailto(after: &str) -> Option<Self> {
        let end = after.find(['?', ',', ';']).unwrap_or(after.len());
        let (address, rest) = after.split_at_checked(end)?;
        let address = percent::decode(address);
        let (_, domain) = address.rsplit_once('@')?;
        Some(Self::new("mailto".into(), Host::read(domain.trim())?, rest))
    }

    /// Schemes of which only some have a host.
    fn of_other(scheme: String, after: &str) -> Option<Self> {
        let known = OTHER_SCHEMES.contains(&scheme.as_str());
        let host = |after: &str| {
            let end = after.find(['/', '\\', '?', '#']).unwrap_or(after.len());
            Host::read(split_port(after.get(..end)?).0)
        };
        match after.strip_prefix("//").and_then(host) {
            Some(host) => Some(Self::new(scheme.into(), host, "")),
            None if known => {
                let none = Host { name: String::new(), shown: None, tricks: Tricks::default() };
                Some(Self::new(scheme.into(), none, after))
            }
            None => None,
        }
    }

    fn new(scheme: Cow<'static, str>, host: Host, rest: &str) -> Self {
        let domain_bytes = registrable(&host.name).len();
        let mut tricks = host.tricks;
        tricks.add_if(rest.len() > URL_BYTES_MAX, Tricks::TOO_LONG);
        let rest = rest.get(..rest.floor_char_boundary(URL_BYTES_MAX)).unwrap_or_default().to_owned();
        Self {
            scheme,
            host: host.name,
            shown: host.shown,
            port: None,
            rest,
            text_host: None,
            tricks,
            domain_bytes,
        }
    }
}

/// The part of `host` that one owner registers, by the Public Suffix List; all of it where it is a public
/// suffix itself or an address.
pub fn registrable(host: &str) -> &str {
    let last = host.rsplit('.').next().unwrap_or_default();
    if host.contains(':') || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return host;
    }
    let domain = psl::domain(host.as_bytes()).map_or(host.len(), |domain| domain.as_bytes().len());
    host.get(host.len().saturating_sub(domain)..).unwrap_or_default()
}

/// Whether the Public Suffix List has the end of `host`, and something stands before it.
fn has_public_suffix(host: &str) -> bool {
    psl::domain(host.as_bytes()).is_some_and(|domain| domain.suffix().is_known())
}

/// Programs strip white space around a link, and line ends and tabs inside it.
fn without_breaks(target: &str) -> Cow<'_, str> {
    let target = target.trim_matches(|c: char| c <= ' ' || c.is_whitespace());
    if target.contains(['\t', '\r', '\n']) {
        return Cow::Owned(target.chars().filter(|c| !matches!(c, '\t' | '\r' | '\n')).collect());
    }
    Cow::Borrowed(target)
}

/// The scheme and what follows its colon. A dot makes it a host with a port.
fn split_scheme(target: &str) -> Option<(&str, &str)> {
    const SCHEME_BYTES_MAX: usize = 32;
    let (scheme, after) = target.split_once(':')?;
    let lettered = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let written = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-'));
    (lettered && written && scheme.len() <= SCHEME_BYTES_MAX).then_some((scheme, after))
}

/// Whether two slashes of either kind come first: a link of the same scheme as the page, which mail has not.
const fn is_relative_to_scheme(target: &str) -> bool {
    matches!(target.as_bytes(), [b'/' | b'\\', b'/' | b'\\', ..])
}

/// Whether a target without a scheme is a host all the same: programs add the scheme.
fn is_bare(target: &str) -> bool {
    let end = target.find(['/', '\\', '?', '#', ':']).unwrap_or(target.len());
    let host = target.get(..end).unwrap_or_default();
    // An address's local part would hide the host.
    let www = host.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www."));
    www || Host::read(host).is_some_and(|host| has_public_suffix(&host.name))
}

/// Host and port. A port that is none is left out: programs that follow such a link ignore it.
fn split_port(place: &str) -> (&str, Option<u16>) {
    match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (place, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{Url, registrable};

    /// `want` is `scheme host domain rest` and the tricks.
    #[track_caller]
    fn check(target: &str, want: &str) {
        let url = Url::parse(target).unwrap();
        let parts = [&*url.scheme, &url.host, url.domain(), &url.rest]
            .map(|part| if part.is_empty() { "-" } else { part });
        let tricks: String = url.tricks.names().map(|name| format!(" {name}")).collect();
        assert_eq!(format!("{}{tricks}", parts.join(" ")), want, "{target}");
    }

    #[test]
    fn targets_are_read_as_browsers_do() {
        check("http://www.Example.co.uk/a?b#c", "http www.example.co.uk example.co.uk /a?b#c");
        check("  ht\ntps://exa\tmple.com\r\n/x ", "https example.com example.com /x");
        check("https:example.com", "https example.com example.com - slashes");
        check("https:/\\example.com\\x", "https example.com example.com \\x slashes");
        check("https:///example.com", "https example.com example.com - slashes");
        check("//example.com/x", "- example.com example.com /x");
        check("\\\\example.com", "- example.com example.com - slashes");
        check("www.example.com", "- www.example.com example.com -");
        check("example.com/x", "- example.com example.com /x");
        check("www.example.com:8080/x", "- www.example.com example.com /x port");
        check("hxxps://evil.example/", "https evil.example evil.example / defanged");
        check("http://example.com:80/", "http example.com example.com /");
        check("http://example.com:81/", "http example.com example.com / port");
        check("http://example.com:x/", "http example.com example.com /");
        check("http://paypal.com@evil.com/", "http evil.com evil.com / user");
        check("http://paypal.com%2Fx:y@evil.com?@good.com", "http evil.com evil.com ?@good.com user");
        check("http://good.com\\@evil.com", "http good.com good.com \\@evil.com");
        check("http://0x7f.1/", "http 127.0.0.1 127.0.0.1 / address address_obscured");
        check("http://[2001:db8::1]:8080/", "http 2001:db8::1 2001:db8::1 / address port");
        check("http://evil.github.io/x", "http evil.github.io evil.github.io /x");
        check("http://github.io/x", "http github.io github.io /x");
        check("http://localhost/", "http localhost localhost /");
        check(
            "http://p\u{430}ypal.com/",
            "http xn--pypal-4ve.com xn--pypal-4ve.com / international scripts_mixed",
        );
    }

    #[test]
    fn other_schemes() {
        check("mailto:Joe@Example.com?subject=x", "mailto example.com example.com ?subject=x");
        check("mailto:joe%40example.com,b@c.de", "mailto example.com example.com ,b@c.de");
        check("JavaScript:alert(1)", "javascript - - alert(1)");
        check("data:text/html,x", "data - - text/html,x");
        check("file://host.example/share", "file host.example host.example -");
        check("tel:+123", "tel - - +123");
    }

    #[test]
    fn what_leads_nowhere_is_none() {
        for target in [
            "",
            "#top",
            "/path",
            "?q",
            "page.html",
            "http://",
            "http:///",
            "mailto:",
            "mailto:joe",
            "x:y",
            "a b.com",
            "http://a b/",
        ] {
            assert_eq!(Url::parse(target), None, "{target}");
        }
    }

    #[test]
    fn long_links_are_cut_but_their_host_is_not() {
        let user = "u".repeat(5000);
        let url = Url::parse(&format!("http://{user}@evil.example/{user}é")).unwrap();
        assert_eq!((url.host.as_str(), url.rest.len()), ("evil.example", super::URL_BYTES_MAX));
        assert_eq!(url.tricks.names().collect::<Vec<_>>(), ["user", "too_long"]);
    }

    #[test]
    fn a_text_that_shows_another_host_misleads() {
        let misleads = |target: &str, text: &str| Url::parse(target).unwrap().with_text(text).misleads();
        assert!(misleads("http://evil.example/", "https://www.paypal.com/login"));
        assert!(misleads("http://evil.example/", "Go to paypal.com now"));
        assert!(misleads("http://192.0.2.1/", "http://192.0.2.2/"));
        assert!(!misleads("http://login.paypal.com/", "www.paypal.com"));
        assert!(!misleads("http://evil.example/", "click here, joe@paypal.com"));
        let url = Url::parse("http://evil.example/").unwrap().with_text("see www.paypal.com/x");
        assert_eq!(url.text_host.as_deref(), Some("www.paypal.com"));
    }

    #[test]
    fn patterns_see_one_form() {
        let write = |target: &str| {
            let mut out = String::new();
            Url::parse(target).unwrap().write(&mut out);
            out
        };
        assert_eq!(write("HTTP://u@EXAMPLE.com:81/%41?b=%20"), "http://example.com:81/A?b= ");
        assert_eq!(write("www.example.com"), "http://www.example.com");
        assert_eq!(write("javascript:x"), "javascript:x");
    }

    #[test]
    fn a_domain_is_what_one_registers() {
        for (host, want) in [
            ("a.b.example.co.uk", "example.co.uk"),
            ("example.com", "example.com"),
            ("co.uk", "co.uk"),
            ("192.0.2.1", "192.0.2.1"),
            ("::1", "::1"),
            ("a.example.unknown", "example.unknown"),
            ("", ""),
            ("a.xn--55qx5d.cn", "a.xn--55qx5d.cn"),
        ] {
            assert_eq!(registrable(host), want, "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_target_panics(target in any::<String>(), web in "(http|mailto|data)?:?[/\\\\@:a-z.%0-9\\[\\]]{0,40}") {
            for target in [target, web] {
                let Some(url) = Url::parse(&target) else { continue };
                prop_assert!(url.host.ends_with(url.domain()));
                url.embedded();
                let mut out = String::new();
                url.write(&mut out);
                let web = ["", "http", "https", "ftp"].contains(&&*url.scheme);
                prop_assert!(!web || Url::parse(&out).is_some_and(|again| again.host == url.host), "{} {}", target, out);
            }
        }
    }
}
