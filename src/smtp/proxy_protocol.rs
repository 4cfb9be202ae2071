//! The PROXY protocol, versions 1 and 2 (HAProxy, proxy-protocol.txt): who is behind a balancer.
//!
//! Strict: the header comes from a trusted peer, so what is not exactly one is a fault of the
//! set-up, and the connection is closed without a greeting.

use crate::limits::{PROXY_V1_LINE_BYTES_MAX, PROXY_V2_HEADER_BYTES_MAX};
use memchr::memchr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SIGNATURE_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
const VERSION_2_LOCAL: u8 = 0x20;
const VERSION_2_PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// The front of what a peer sent, read as a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    Partial,
    /// No addresses: the peer speaks for itself (LOCAL, UNKNOWN), as health checks do.
    Header {
        consumed: usize,
        source: Option<SocketAddr>,
        destination: Option<SocketAddr>,
    },
    Malformed(&'static str),
}

pub fn parse(input: &[u8]) -> Parsed {
    let starts = |signature: &[u8]| {
        let len = signature.len().min(input.len());
        input[..len] == signature[..len]
    };
    if starts(SIGNATURE_V2) {
        return if input.len() < FIXED_BYTES { Parsed::Partial } else { parse_v2(input) };
    }
    if starts(SIGNATURE_V1) {
        return if input.len() < SIGNATURE_V1.len() { Parsed::Partial } else { parse_v1(input) };
    }
    Parsed::Malformed("not a PROXY header")
}

fn parse_v1(input: &[u8]) -> Parsed {
    let within = &input[..input.len().min(PROXY_V1_LINE_BYTES_MAX)];
    let Some(line_end) = memchr(b'\n', within) else {
        return match within.len() {
            PROXY_V1_LINE_BYTES_MAX => Parsed::Malformed("PROXY line too long"),
            _ => Parsed::Partial,
        };
    };
    let consumed = line_end + 1;
    let line = within[..line_end].strip_suffix(b"\r").and_then(|line| str::from_utf8(line).ok());
    let Some(line) = line else { return Parsed::Malformed("PROXY line without CRLF or not ASCII") };
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    match words.as_slice() {
        ["UNKNOWN", ..] => Parsed::Header { consumed, source: None, destination: None },
        [family, source, destination, source_port, destination_port] => {
            let source = socket_address(family, source, source_port);
            let destination = socket_address(family, destination, destination_port);
            if source.is_none() || destination.is_none() {
                return Parsed::Malformed("bad address in PROXY line");
            }
            Parsed::Header { consumed, source, destination }
        }
        _ => Parsed::Malformed("wrong number of words in PROXY line"),
    }
}

fn socket_address(family: &str, address: &str, port: &str) -> Option<SocketAddr> {
    let address = match family {
        "TCP4" => IpAddr::V4(address.parse::<Ipv4Addr>().ok()?),
        "TCP6" => IpAddr::V6(address.parse::<Ipv6Addr>().ok()?),
        _ => return None,
    };
    let canonical = port == "0" || !port.starts_with('0');
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    Some(SocketAddr::new(address, port.parse().ok().filter(|_| canonical && digits)?))
}

/// `input` has the fixed part.
fn parse_v2(input: &[u8]) -> Parsed {
    let (command, family) = (input[12], input[13]);
    let consumed = FIXED_BYTES + usize::from(u16::from_be_bytes([input[14], input[15]]));
    if !matches!(command, VERSION_2_LOCAL | VERSION_2_PROXY) {
        return Parsed::Malformed("unknown PROXY version or command");
    }
    if consumed > PROXY_V2_HEADER_BYTES_MAX {
        return Parsed::Malformed("PROXY header too long");
    }
    let Some(addresses) = input.get(FIXED_BYTES..consumed) else { return Parsed::Partial };
    let none = Parsed::Header { consumed, source: None, destination: None };
    match (command, family) {
        (VERSION_2_LOCAL, _) => none,
        (_, TCP_OVER_IPV4) => header(consumed, addresses, ipv4_pair),
        (_, TCP_OVER_IPV6) => header(consumed, addresses, ipv6_pair),
        // Unspecified, and Unix sockets: nothing to learn of either.
        (_, 0x00 | 0x31) => none,
        _ => Parsed::Malformed("PROXY header for something else than a stream"),
    }
}

type Pair = (SocketAddr, SocketAddr);

fn header(consumed: usize, addresses: &[u8], pair: fn(&[u8]) -> Option<Pair>) -> Parsed {
    match pair(addresses) {
        Some((source, destination)) => {
            Parsed::Header { consumed, source: Some(source), destination: Some(destination) }
        }
        None => Parsed::Malformed("PROXY header too short for its addresses"),
    }
}

fn ipv4_pair(addresses: &[u8]) -> Option<Pair> {
    let (source, rest) = addresses.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    pair(IpAddr::from(*source), IpAddr::from(*destination), rest)
}

fn ipv6_pair(addresses: &[u8]) -> Option<Pair> {
    let (source, rest) = addresses.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    pair(IpAddr::from(*source), IpAddr::from(*destination), rest)
}

fn pair(source: IpAddr, destination: IpAddr, ports: &[u8]) -> Option<Pair> {
    let ports = ports.first_chunk::<4>()?;
    let source = SocketAddr::new(source, u16::from_be_bytes([ports[0], ports[1]]));
    let destination = SocketAddr::new(destination, u16::from_be_bytes([ports[2], ports[3]]));
    Some((source, destination))
}

/// Appends a version 2 header. Addresses of different families go as IPv6, the IPv4 one mapped.
pub fn write_v2(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE_V2);
    out.push(VERSION_2_PROXY);
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.extend([TCP_OVER_IPV4, 0, 12]);
            out.extend(source.octets());
            out.extend(destination.octets());
        }
        (source, destination) => {
            out.extend([TCP_OVER_IPV6, 0, 36]);
            out.extend(as_ipv6(source).octets());
            out.extend(as_ipv6(destination).octets());
        }
    }
    out.extend(source.port().to_be_bytes());
    out.extend(destination.port().to_be_bytes());
}

fn as_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `want`: source and destination.
    #[track_caller]
    fn check(header: &[u8], want: Option<(&str, &str)>) {
        let (source, destination) =
            want.map(|(source, destination)| (source.parse().unwrap(), destination.parse().unwrap())).unzip();
        for more in [&b""[..], b"EHLO x\r\n"] {
            let want = Parsed::Header { consumed: header.len(), source, destination };
            assert_eq!(parse(&[header, more].concat()), want);
        }
        for cut in 0..header.len() {
            assert_eq!(parse(&header[..cut]), Parsed::Partial, "cut at {cut}");
        }
    }

    #[test]
    fn version_1() {
        check(b"PROXY TCP4 192.0.2.1 192.0.2.2 5 25\r\n", Some(("192.0.2.1:5", "192.0.2.2:25")));
        check(b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", Some(("[2001:db8::1]:65535", "[::1]:0")));
        check(b"PROXY UNKNOWN\r\n", None);
        check(b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None);
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let len = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [SIGNATURE_V2, &[command, family][..], &len, addresses].concat()
    }

    #[test]
    fn version_2() {
        let ipv4 = [192, 0, 2, 1, 192, 0, 2, 2, 0, 5, 0, 25];
        let want = Some(("192.0.2.1:5", "192.0.2.2:25"));
        check(&v2(0x21, 0x11, &ipv4), want);
        check(&v2(0x21, 0x11, &[&ipv4[..], &[3, 0, 1, 0]].concat()), want);
        check(&v2(0x20, 0x11, &ipv4), None);
        check(&v2(0x20, 0x00, &[]), None);
        check(&v2(0x21, 0x00, &[1, 2, 3]), None);
        check(&v2(0x21, 0x31, &[0; 216]), None);
        check(&v2(0x20, 0x00, &[0; PROXY_V2_HEADER_BYTES_MAX - FIXED_BYTES]), None);
    }

    #[test]
    fn what_is_malformed() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for input in [
            "EHLO x\r\n",
            "proxy TCP4",
            "\r\nQUIT",
            "PROXY\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 5 25\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 5\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 5 25 \r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 5 25\r\n",
            "PROXY TCP4 ::1 ::1 5 25\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 5 25\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 5 25\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.2 5 25\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +5 25\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 05 25\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 5 25\r\r\n",
            "PROXY \u{e9}\r\n",
            &long,
        ] {
            assert!(matches!(parse(input.as_bytes()), Parsed::Malformed(_)), "{input:?}");
        }
        let too_long = v2(0x20, 0, &[0; PROXY_V2_HEADER_BYTES_MAX - FIXED_BYTES + 1]);
        for input in [
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x12, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x21, &[0; 35]),
            &too_long,
        ] {
            assert!(matches!(parse(input), Parsed::Malformed(_)), "{input:?}");
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for (source, destination, want) in [
            ("192.0.2.1:5", "192.0.2.2:25", None),
            ("[2001:db8::1]:5", "[::1]:25", None),
            ("[::ffff:192.0.2.1]:5", "192.0.2.2:25", Some(("192.0.2.1:5", "192.0.2.2:25"))),
            ("192.0.2.1:5", "[::1]:25", Some(("[::ffff:192.0.2.1]:5", "[::1]:25"))),
        ] {
            let mut out = Vec::new();
            write_v2(source.parse().unwrap(), destination.parse().unwrap(), &mut out);
            check(&out, want.or(Some((source, destination))));
        }
    }
}
