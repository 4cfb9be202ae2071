//! Where to connect or listen: `[inet:][host][:port]` as Postfix writes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};

/// Which addresses of a name may be used (`-4`, `-6`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    V4,
    V6,
}

impl Family {
    /// As the two switches say it.
    pub(super) const fn from_switches(v4: bool, v6: bool) -> Self {
        match (v4, v6) {
            (true, false) => Self::V4,
            (false, true) => Self::V6,
            _ => Self::Any,
        }
    }

    const fn admits(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }

    const fn any_interface(self) -> IpAddr {
        match self {
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            Self::V4 | Self::Any => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }
}

/// The first address of `text` in `family`; `port` is what a missing port means.
pub(super) fn remote(text: &str, family: Family, port: u16) -> Result<SocketAddr, String> {
    let (host, service) = split(text)?;
    let port = service.map_or(Ok(port), number)?;
    if host.is_empty() {
        return Err(format!("{text}: no host"));
    }
    lookup(host, port, family)
}

/// What to listen on; a missing host is every interface.
pub(super) fn local(text: &str, family: Family) -> Result<SocketAddr, String> {
    let (host, service) = match split(text)? {
        // Without a colon the whole is the port, as in smtp-sink.
        (port, None) => ("", port),
        (host, Some(port)) => (host, port),
    };
    let port = number(service)?;
    if host.is_empty() {
        return Ok(SocketAddr::new(family.any_interface(), port));
    }
    lookup(host, port, family)
}

/// Host and port, the brackets of an address literal taken off.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if text.starts_with("unix:") {
        return Err(format!("{text}: UNIX-domain sockets are not in this version"));
    }
    let text = text.strip_prefix("inet:").unwrap_or(text);
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| format!("{text}: no closing bracket"))?;
        return Ok((host, rest.strip_prefix(':')));
    }
    Ok(text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

/// A port by number, or by one of the names that mail has.
fn number(service: &str) -> Result<u16, String> {
    match service {
        "smtp" => Ok(25),
        "lmtp" => Ok(24),
        "submission" => Ok(587),
        _ => service.parse().map_err(|_| format!("{service}: not a port number")),
    }
}

fn lookup(host: &str, port: u16, family: Family) -> Result<SocketAddr, String> {
    let mut found = (host, port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    found.find(|address| family.admits(address)).ok_or_else(|| format!("{host}: no such address"))
}

#[cfg(test)]
mod tests {
    use super::{Family, local, remote};

    #[track_caller]
    fn check_remote(text: &str, want: &str) {
        assert_eq!(remote(text, Family::Any, 25).unwrap().to_string(), want, "{text}");
    }

    #[test]
    fn hosts_have_ports_brackets_and_prefixes() {
        check_remote("127.0.0.1", "127.0.0.1:25");
        check_remote("inet:127.0.0.1:2525", "127.0.0.1:2525");
        check_remote("[::1]:2525", "[::1]:2525");
        check_remote("inet:[127.0.0.1]", "127.0.0.1:25");
        check_remote("127.0.0.1:submission", "127.0.0.1:587");
    }

    #[test]
    fn a_sink_may_name_only_a_port() {
        for (text, want) in [(":2526", "0.0.0.0:2526"), ("2526", "0.0.0.0:2526"), ("[::1]:25", "[::1]:25")] {
            assert_eq!(local(text, Family::Any).unwrap().to_string(), want, "{text}");
        }
        assert_eq!(local(":25", Family::V6).unwrap().to_string(), "[::]:25");
    }

    #[test]
    fn what_cannot_be_an_address_is_said() {
        for text in ["unix:/tmp/x", "127.0.0.1:http", "[::1", ":25"] {
            assert!(remote(text, Family::Any, 25).is_err(), "{text}");
        }
        assert!(remote("127.0.0.1", Family::V6, 25).is_err());
    }
}
