//! Paths: the addresses of MAIL and RCPT. RFC 5321 §4.1.2, with UTF-8 as in RFC 6531 §3.3.
//!
//! Invariant: a [`Path`] has no control character, no space outside a quoted string and no angle
//! bracket outside one, so that written between brackets it is read the same by the next hop.

use crate::limits::{DOMAIN_BYTES_MAX, LOCAL_PART_BYTES_MAX, PATH_BYTES_MAX};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest label of a domain name (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

// A path that both of its parts allow is always allowed: RFC 5321 §4.5.3.1 asks for no less.
const _: () = assert!(LOCAL_PART_BYTES_MAX + DOMAIN_BYTES_MAX + b"<@>".len() >= PATH_BYTES_MAX);

/// An address as it stood between the brackets, without a source route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    /// Local part, `@` and domain; empty for the null reverse-path.
    pub text: &'a [u8],
    /// With its quotes, if it is quoted.
    pub local: &'a [u8],
    /// Name or literal with its brackets; empty for `<>` and for `<postmaster>`.
    pub domain: &'a [u8],
    /// Something in it is not ASCII: RFC 6531 asks for SMTPUTF8.
    pub utf8: bool,
}

impl<'a> Path<'a> {
    /// `<>`, where bounces come from.
    pub const NULL: Path<'static> = Path { text: b"", local: b"", domain: b"", utf8: false };

    pub const fn is_null(&self) -> bool {
        self.text.is_empty()
    }

    /// The path at the start of `input`, and what follows its closing bracket.
    ///
    /// Takes what MAIL or RCPT might: the null path, and a local part without a domain only if it
    /// is `postmaster`.
    pub fn parse(input: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let input = after_source_route(input.strip_prefix(b"<")?)?;
        if let Some(rest) = input.strip_prefix(b">") {
            return Some((Self::NULL, rest));
        }
        let (local, rest) = split_local_part(input)?;
        let (domain, rest) = match rest.strip_prefix(b"@") {
            Some(rest) => split_domain(rest)?,
            None if local.eq_ignore_ascii_case(b"postmaster") => (&rest[..0], rest),
            None => return None,
        };
        let text = &input[..input.len() - rest.len()];
        let utf8 = !text.is_ascii();
        if utf8 && !is_text(text) {
            return None;
        }
        Some((Self { text, local, domain, utf8 }, rest.strip_prefix(b">")?))
    }
}

/// RFC 5321 §4.1.2, Appendix C: a source route SHOULD be ignored.
fn after_source_route(input: &[u8]) -> Option<&[u8]> {
    if !input.starts_with(b"@") {
        return Some(input);
    }
    let mut rest = input;
    loop {
        (_, rest) = split_domain(rest.strip_prefix(b"@")?)?;
        if input.len() - rest.len() > PATH_BYTES_MAX {
            return None;
        }
        match rest.split_first()? {
            (b',', next) => rest = next,
            // After a route there must be somebody it leads to.
            (b':', mailbox) => return (!mailbox.starts_with(b">")).then_some(mailbox),
            _ => return None,
        }
    }
}

fn split_local_part(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = if input.starts_with(b"\"") { quoted_string_len(input)? } else { dot_string_len(input)? };
    (len <= LOCAL_PART_BYTES_MAX).then(|| input.split_at(len))
}

/// `Quoted-string = DQUOTE *QcontentSMTP DQUOTE`
fn quoted_string_len(input: &[u8]) -> Option<usize> {
    let mut bytes = input.iter().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' if matches!(bytes.next()?.1, b' '..=b'~') => {}
            b'\\' => return None,
            b' '..=b'~' | 0x80.. => {}
            _ => return None,
        }
    }
    None
}

/// `Dot-string = Atom *("." Atom)`, and dots anywhere: mobile carriers gave such addresses to
/// people for years, and their mail is as good as any.
fn dot_string_len(input: &[u8]) -> Option<usize> {
    let len = input.iter().position(|byte| *byte != b'.' && !is_atext(*byte)).unwrap_or(input.len());
    (len > 0).then_some(len)
}

/// RFC 5322 §3.2.3, and RFC 6531 §3.3.
const fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
        || byte >= 0x80
}

fn split_domain(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = if input.starts_with(b"[") { address_literal_len(input)? } else { domain_len(input)? };
    (len <= DOMAIN_BYTES_MAX).then(|| input.split_at(len))
}

/// `Domain = sub-domain *("." sub-domain)`; letters, digits, inner hyphens, U-labels, and the
/// underscores that real host names have.
fn domain_len(input: &[u8]) -> Option<usize> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | 0x80..);
    let len = input.iter().position(|byte| !is_name(byte)).unwrap_or(input.len());
    input[..len].split(|byte| *byte == b'.').all(is_label).then_some(len)
}

fn is_label(label: &[u8]) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len()) && !label.starts_with(b"-") && !label.ends_with(b"-")
}

/// `address-literal`, RFC 5321 §4.1.3.
fn address_literal_len(input: &[u8]) -> Option<usize> {
    let len = input.iter().position(|byte| *byte == b']')? + 1;
    let inner = str::from_utf8(&input[1..len - 1]).ok()?;
    let valid = match inner.split_once(':') {
        Some((tag, content)) if !tag.eq_ignore_ascii_case("IPv6") => {
            is_tag(tag) && !content.is_empty() && content.bytes().all(is_dcontent)
        }
        _ => literal_address(inner).is_some(),
    };
    valid.then_some(len)
}

/// The address between the brackets of an `address-literal`: `192.0.2.1` or `IPv6:2001:db8::1`.
pub fn literal_address(inner: &str) -> Option<IpAddr> {
    match inner.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => {
            address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// `Ldh-str`
fn is_tag(tag: &str) -> bool {
    !tag.is_empty()
        && !tag.ends_with('-')
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

const fn is_dcontent(byte: u8) -> bool {
    matches!(byte, b'!'..=b'Z' | b'^'..=b'~')
}

/// UTF-8 without control characters, those beyond ASCII included.
fn is_text(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `want`: text, local part, domain.
    #[track_caller]
    fn check(input: &str, want: Option<(&str, &str, &str)>) {
        let got = Path::parse(input.as_bytes()).map(|(path, rest)| {
            assert_eq!(rest, b"");
            assert_eq!(path.utf8, !path.text.is_ascii());
            [path.text, path.local, path.domain].map(|part| str::from_utf8(part).unwrap())
        });
        assert_eq!(got, want.map(|(text, local, domain)| [text, local, domain]), "{input:?}");
        for cut in 0..input.len() {
            assert_eq!(Path::parse(&input.as_bytes()[..cut]), None, "{input:?} cut at {cut}");
        }
    }

    #[test]
    fn mailboxes() {
        check("<a@b>", Some(("a@b", "a", "b")));
        check("<a.b+c=d@e-f.g1.example>", Some(("a.b+c=d@e-f.g1.example", "a.b+c=d", "e-f.g1.example")));
        check("<!#$%&'*+-/=?^_`{|}~@x.y>", Some(("!#$%&'*+-/=?^_`{|}~@x.y", "!#$%&'*+-/=?^_`{|}~", "x.y")));
        check("<.a..b.@c_d>", Some((".a..b.@c_d", ".a..b.", "c_d")));
        check("<>", Some(("", "", "")));
        check("<PostMaster>", Some(("PostMaster", "PostMaster", "")));
    }

    #[test]
    fn quoted_local_parts_keep_their_quotes() {
        check("<\"a b>@c\\\"\"@d>", Some(("\"a b>@c\\\"\"@d", "\"a b>@c\\\"\"", "d")));
        check("<\"\"@d>", Some(("\"\"@d", "\"\"", "d")));
        for input in ["<\"a@d>", "<\"a\tb\"@d>", "<\"a\"b@d>", "<\"a\\\r\"@d>", "<\"a\\\"@d>"] {
            check(input, None);
        }
    }

    #[test]
    fn source_routes_are_dropped() {
        check("<@x,@y.z:a@b>", Some(("a@b", "a", "b")));
        for input in ["<@x:>", "<@x>", "<@x,a@b>", "<@x,:a@b>", "<@:a@b>", "<@x:@y:a@b>"] {
            check(input, None);
        }
        check(&format!("<{}@x:a@b>", "@longer.example,".repeat(16)), None);
    }

    #[test]
    fn address_literals() {
        check("<a@[192.0.2.1]>", Some(("a@[192.0.2.1]", "a", "[192.0.2.1]")));
        check("<a@[IPv6:2001:db8::1]>", Some(("a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]")));
        check("<a@[x-y:z]>", Some(("a@[x-y:z]", "a", "[x-y:z]")));
        for input in ["<a@[]>", "<a@[300.0.2.1]>", "<a@[IPv6:x]>", "<a@[-:]>", "<a@[x:\\]>", "<a@[192.0.2.1>"]
        {
            check(input, None);
        }
    }

    #[test]
    fn utf8_is_taken_and_told() {
        check("<pelé@exámple.org>", Some(("pelé@exámple.org", "pelé", "exámple.org")));
        check("<\"pelé\"@b>", Some(("\"pelé\"@b", "\"pelé\"", "b")));
        assert_eq!(Path::parse(b"<a\xff@b>"), None);
        check("<a\u{85}@b>", None);
    }

    #[test]
    fn what_is_no_path() {
        for input in [
            "a@b",
            "<a>",
            "<a@>",
            "<@b>",
            "<a@b",
            "<a@b>>",
            "<a b@c>",
            "<a@b c>",
            "<a@b.>",
            "<a@.b>",
            "<a@-b>",
            "<a@b->",
            "<a@b@c>",
            "<a<@b>",
            "<a@b\r\n>",
            "<a\0@b>",
            "< >",
        ] {
            if let Some((_, rest)) = Path::parse(input.as_bytes()) {
                assert_eq!(rest, b">", "{input:?}");
            }
        }
    }

    #[test]
    fn parts_are_bounded() {
        let domain = |len: usize| {
            let mut labels = vec!["d".repeat(49); len / 50];
            labels.push("e".repeat(len % 50));
            labels.join(".")
        };
        for (local, domain_len, valid) in [(64, 191, true), (65, 10, false), (1, 255, true), (1, 256, false)]
        {
            let input = format!("<{}@{}>", "l".repeat(local), domain(domain_len));
            assert_eq!(Path::parse(input.as_bytes()).is_some(), valid, "{local} {domain_len}");
        }
        assert!(Path::parse(format!("<a@{}>", "d".repeat(63)).as_bytes()).is_some());
        assert!(Path::parse(format!("<a@{}>", "d".repeat(64)).as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn a_path_is_read_the_same_again(input in "<[@,:a.\"\\\\ \\[\\]1é<-]{0,20}@[a.1\\[\\]:-]{0,8}>[> ]?") {
            if let Some((path, rest)) = Path::parse(input.as_bytes()) {
                prop_assert!(input.as_bytes().ends_with(rest));
                let again = [b"<", path.text, b">"].concat();
                prop_assert_eq!(Path::parse(&again), Some((path, &b""[..])));
                prop_assert!(path.local.len() <= LOCAL_PART_BYTES_MAX && path.domain.len() <= DOMAIN_BYTES_MAX);
            }
        }
    }
}
