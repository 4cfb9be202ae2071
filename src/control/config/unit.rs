//! Values as people write them: sizes, durations, rates, networks, addresses, names.
//!
//! Each function takes the text of a TOML string and says in words what is wrong with it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::limits::{DOMAIN_BYTES_MAX, LOCAL_PART_BYTES_MAX};
use crate::policy::route::Pattern;

const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

const DURATIONS_MS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// RFC 1035 §2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// `"128KiB"` → bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    quantity(text, SIZES)
        .ok_or_else(|| format!("`{text}` is not a size; write one like \"128KiB\" (B, KiB, MiB, GiB)"))
}

/// `"15m"` → 15 minutes.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let millis = quantity(text, DURATIONS_MS);
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is not a duration; write one like \"15m\" (ms, s, m, h, d)"))
}

/// `"500B/s"` → bytes a second.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    text.strip_suffix("/s")
        .and_then(|size| quantity(size, SIZES))
        .ok_or_else(|| format!("`{text}` is not a rate; write one like \"500B/s\" (B, KiB, MiB, GiB)"))
}

/// A whole number and one of `units`, nothing between them.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

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
        return Err("MX look-up is not available in this version; list the servers' addresses".to_owned());
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
    fn sizes_have_binary_units() {
        for (text, want) in [
            ("0B", Some(0)),
            ("512B", Some(512)),
            ("128KiB", Some(131_072)),
            ("1GiB", Some(1 << 30)),
            ("128", None),
            ("KiB", None),
            ("", None),
            ("1 KiB", None),
            ("1KB", None),
            ("1kib", None),
            ("-1B", None),
            ("1.5MiB", None),
            ("99999999999999999999B", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(size(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn durations_have_one_unit() {
        for (text, want) in [
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("15m", Some(900_000)),
            ("1d", Some(86_400_000)),
            ("15", None),
            ("1h30m", None),
            ("1 s", None),
            ("1S", None),
        ] {
            assert_eq!(duration(text).ok(), want.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn rates_are_sizes_per_second() {
        for (text, want) in
            [("500B/s", Some(500)), ("1KiB/s", Some(1024)), ("500", None), ("500B", None), ("1/s", None)]
        {
            assert_eq!(rate(text).ok(), want, "{text}");
        }
    }

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
            ("mx", "MX look-up is not available"),
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
