//! Many clients on one machine: from which addresses connections come, and for whom they speak.
//!
//! A proxy that counts by network must be shown networks. A connection may really come from another address
//! (all of 127.0.0.0/8 is ours), or say that it does: by a PROXY header (version 2 of HAProxy's
//! specification, §2.2), or by XCLIENT (Postfix's XCLIENT_README), which servers take only from whom they trust.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// The addresses of a network, in turn or at random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    first: u128,
    count: u128,
    v4: bool,
    next: u128,
    random: bool,
}

impl Addresses {
    /// All addresses of `net` but, in a network of IPv4, its first and last: those are nobody's.
    pub fn new(net: IpNet, random: bool) -> Self {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let (v4, single) = (net.addr().is_ipv4(), net.max_prefix_len() - net.prefix_len() < 2);
        let margin = u128::from(v4 && !single);
        let (first, last) = (bits(net.network()) + margin, bits(net.broadcast()) - margin);
        // All of IPv6 is one less than it has: nobody misses `::`.
        Self { first, count: (last - first).saturating_add(1), v4, next: 0, random }
    }

    pub(super) fn next(&mut self, rng: &mut fastrand::Rng) -> IpAddr {
        let offset = if self.random { rng.u128(0..self.count) } else { self.next };
        self.next = (self.next + 1) % self.count;
        let bits = self.first + offset;
        match u32::try_from(bits) {
            Ok(bits) if self.v4 => Ipv4Addr::from_bits(bits).into(),
            _ => Ipv6Addr::from_bits(bits).into(),
        }
    }
}

/// The header by which a connection to `server` says that it is `client`'s. The port is made up.
pub(super) fn proxy_header(client: IpAddr, port: u16, server: SocketAddr) -> Vec<u8> {
    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    const VERSION_2_PROXY: u8 = 0x21;
    const TCP_OVER_IPV4: u8 = 0x11;
    const TCP_OVER_IPV6: u8 = 0x21;
    let mut header = SIGNATURE.to_vec();
    header.push(VERSION_2_PROXY);
    match (client, server.ip()) {
        (IpAddr::V4(client), IpAddr::V4(server)) => {
            header.extend_from_slice(&[TCP_OVER_IPV4, 0, 12]);
            header.extend_from_slice(&client.octets());
            header.extend_from_slice(&server.octets());
        }
        (client, server) => {
            header.extend_from_slice(&[TCP_OVER_IPV6, 0, 36]);
            header.extend_from_slice(&wide(client).octets());
            header.extend_from_slice(&wide(server).octets());
        }
    }
    header.extend_from_slice(&port.to_be_bytes());
    header.extend_from_slice(&server.port().to_be_bytes());
    header
}

const fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// An address as XCLIENT has it.
pub(super) fn xclient(client: IpAddr) -> String {
    match client {
        IpAddr::V4(address) => format!("XCLIENT ADDR={address}"),
        IpAddr::V6(address) => format!("XCLIENT ADDR=IPV6:{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(net: &str, random: bool) -> Addresses {
        Addresses::new(net.parse().unwrap(), random)
    }

    #[track_caller]
    fn check(net: &str, want: &[&str]) {
        let (mut addresses, mut rng) = (addresses(net, false), fastrand::Rng::with_seed(7));
        let got: Vec<_> = (0..want.len()).map(|_| addresses.next(&mut rng).to_string()).collect();
        assert_eq!(got, want, "{net}");
    }

    #[test]
    fn addresses_come_in_turn() {
        check("127.1.0.0/30", &["127.1.0.1", "127.1.0.2", "127.1.0.1"]);
        check("127.1.0.0/31", &["127.1.0.0", "127.1.0.1", "127.1.0.0"]);
        check("127.1.0.9/32", &["127.1.0.9", "127.1.0.9"]);
        check("2001:db8::/127", &["2001:db8::", "2001:db8::1", "2001:db8::"]);
        check("::/0", &["::", "::1"]);
        check("0.0.0.0/0", &["0.0.0.1", "0.0.0.2"]);
    }

    #[test]
    fn random_addresses_are_of_the_network() {
        let mut rng = fastrand::Rng::with_seed(7);
        for net in ["127.1.0.0/16", "2001:db8::/32", "::/0", "10.0.0.0/29"] {
            let (mut addresses, net) = (addresses(net, true), net.parse::<IpNet>().unwrap());
            let got: std::collections::HashSet<_> = (0..1000).map(|_| addresses.next(&mut rng)).collect();
            assert!(got.iter().all(|address| net.contains(address)), "{net}");
            assert!(got.len() > 900 || got.len() == 6, "{net}: {}", got.len());
        }
    }

    #[test]
    fn a_header_is_laid_out_as_specified() {
        let server = "127.0.0.1:25".parse().unwrap();
        let head = |family| [&b"\r\n\r\n\0\r\nQUIT\n\x21"[..], family].concat();
        let v4 = proxy_header("192.0.2.1".parse().unwrap(), 258, server);
        assert_eq!(v4, [&head(&[0x11, 0, 12])[..], &[192, 0, 2, 1, 127, 0, 0, 1, 1, 2, 0, 25]].concat());
        let v6 = proxy_header("2001:db8::1".parse().unwrap(), 258, server);
        assert_eq!((v6.len(), &v6[..16]), (16 + 36, &head(&[0x21, 0, 36])[..]));
        assert_eq!(
            (&v6[16..20], &v6[42..]),
            (&[0x20, 1, 0xd, 0xb8][..], &[0xff, 0xff, 127, 0, 0, 1, 1, 2, 0, 25][..])
        );
    }

    #[test]
    fn xclient_names_the_family() {
        assert_eq!(xclient("192.0.2.1".parse().unwrap()), "XCLIENT ADDR=192.0.2.1");
        assert_eq!(xclient("2001:db8::1".parse().unwrap()), "XCLIENT ADDR=IPV6:2001:db8::1");
    }
}
