//! Values as people write them: networks, addresses, names.
//!
//! Each function takes the text of a TOML string and says in words what is wrong with it.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::limits::{DOMAIN_BYTES_MAX, LOCAL_PART_BYTES_MAX};
use crate::policy::route::Pattern;

/// RFC 1035 §2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// `"10.0.0.0/8"`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| {
        format!("`{text}` is not a network; write one like \"10.0.0.0/8\" or \"2001:db8::/32\"")
    })?;
    if network.trunc() != network {
        return Err(format!("`{text}` has bits beyond its prefix; the network is \"{}\"", network.trunc()));
    }
    Ok(network)
}

/// `"127.0.0.1:25"` or `"[::1]:25"`.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    if text == "mx" {
        return Err("servers are looked up or named, not both: servers = \"mx\" stands alone".to_owned());
    }
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err(format!("`{text}` has no port; write one like \"127.0.0.1:25\" or \"[::1]:25\""));
    }
    let address: SocketAddr = text.parse().map_err(|_| {
        format!("`{text}` is not an address; write one like \"127.0.0.1:25\" or \"[::1]:25\" (host names are not available in this version)")
    })?;
    if address.port() == 0 {
        return Err(format!("`{text}`: port 0 is no port"));
    }
    Ok(address)
}

/// A name that may stand in EHLO and Received: RFC 5321 §2.3.5, RFC 1123 §2.1.
pub(super) fn hostname(text: &str) -> Result<String, String> {
    if is_domain(text) && text.is_ascii() {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a host name; write one like \"mx1.example.net\""))
    }
}

/// One entry of a route's `recipient`.
pub(super) fn recipient(text: &str) -> Result<Pattern, String> {
    pattern(text).ok_or_else(|| {
        format!(
            "`{text}` is not a recipient; write \"example.net\", \".example.net\" (all below it), \
             \"user@example.net\" or \"*\""
        )
    })
}

fn pattern(text: &str) -> Option<Pattern> {
    if text == "*" {
        return Some(Pattern::Any);
    }
    if text.eq_ignore_ascii_case("postmaster") {
        return Some(Pattern::Address(b"postmaster".to_vec(), Vec::new()));
    }
    if let Some((local, domain)) = text.rsplit_once('@') {
        let is_local =
            !local.is_empty() && local.len() <= LOCAL_PART_BYTES_MAX && !local.contains(char::is_control);
        return (is_local && is_domain_or_literal(domain))
            .then(|| Pattern::Address(local.as_bytes().to_vec(), domain.as_bytes().to_vec()));
    }
    if let Some(parent) = text.strip_prefix('.') {
        return is_domain(parent).then(|| Pattern::Below(parent.as_bytes().to_vec()));
    }
    is_domain_or_literal(text).then(|| Pattern::Domain(text.as_bytes().to_vec()))
}

fn is_domain_or_literal(text: &str) -> bool {
    is_domain(text) || is_literal(text)
}

/// `[192.0.2.1]` or `[IPv6:2001:db8::1]`: RFC 5321 §4.1.3.
fn is_literal(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| match inner.split_at_checked(5) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("IPv6:") => rest.parse::<std::net::Ipv6Addr>().is_ok(),
        _ => inner.parse::<std::net::Ipv4Addr>().is_ok(),
    })
}

/// Labels of letters, digits and inner hyphens; UTF-8 letters too (RFC 6531 §3.3).
fn is_domain(text: &str) -> bool {
    text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let may =
        |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || (!c.is_ascii() && c.is_alphanumeric());
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.chars().all(may)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_exact() {
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        assert!(network("10.0.0.1/8").unwrap_err().contains("\"10.0.0.0/8\""));
        assert!(network("10.0.0.0/33").is_err());
        assert!(network("localhost").is_err());
    }

    #[test]
    fn addresses_have_a_port() {
        assert!(socket_address("127.0.0.1:25").is_ok());
        assert!(socket_address("[::1]:25").is_ok());
        for (text, want) in [
            ("127.0.0.1", "no port"),
            ("::1", "no port"),
            ("[::1]", "no port"),
            ("127.0.0.1:0", "port 0"),
            ("localhost:25", "host names are not available"),
            ("mx", "stands alone"),
        ] {
            assert!(socket_address(text).unwrap_err().contains(want), "{text}");
        }
    }

    #[test]
    fn host_names_are_ascii_labels() {
        for good in ["localhost", "mx1.example.net", "a-b.c", "1.2"] {
            assert!(hostname(good).is_ok(), "{good}");
        }
        for bad in
            ["", ".", "a.", ".a", "a..b", "-a", "a-", "a b", "a\r\n", "mëx", "[127.0.0.1]", &"a".repeat(64)]
        {
            assert!(hostname(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn recipients_have_five_forms() {
        let owned = |text: &str| text.as_bytes().to_vec();
        for (text, want) in [
            ("*", Some(Pattern::Any)),
            ("example.net", Some(Pattern::Domain(owned("example.net")))),
            ("[192.0.2.1]", Some(Pattern::Domain(owned("[192.0.2.1]")))),
            ("[IPv6:2001:db8::1]", Some(Pattern::Domain(owned("[IPv6:2001:db8::1]")))),
            ("bücher.example", Some(Pattern::Domain(owned("bücher.example")))),
            (".example.net", Some(Pattern::Below(owned("example.net")))),
            ("a@example.net", Some(Pattern::Address(owned("a"), owned("example.net")))),
            ("Postmaster", Some(Pattern::Address(owned("postmaster"), Vec::new()))),
            ("", None),
            (".", None),
            ("*.example.net", None),
            ("@example.net", None),
            ("a@", None),
            ("a@*", None),
            ("a@.example.net", None),
            ("[192.0.2]", None),
            ("exa mple.net", None),
        ] {
            assert_eq!(recipient(text).ok(), want, "{text}");
        }
    }
}
