//! Which addresses mail to the Internet may go to.
//!
//! Whoever has a domain can publish any address for its MX hosts, ours and our neighbours' among them
//! (RFC 6890 lists those that are no host of the Internet).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::policy::settings::contains;

/// Whether `address` is a host of the Internet, or in one of the networks that are allowed besides.
pub fn may_reach(address: IpAddr, private: &[IpNet]) -> bool {
    let address = address.to_canonical();
    contains(private, address) || is_public(address)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && b & 0b1100_0000 == 64;
    // 192.0.0.0/24 is for protocols, and some clouds' machines ask it who they are; 198.18.0.0/15 is for tests.
    let is_special = matches!((a, b, c), (192, 0, 0) | (198, 18 | 19, _));
    let is_reserved = a == 0 || a >= 240;
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || is_shared
        || is_special
        || is_reserved)
}

const fn is_public_v6(address: Ipv6Addr) -> bool {
    // 2000::/3 is all that was ever given out (RFC 4291 §2.4).
    address.segments()[0] & 0xe000 == 0x2000
}

/// The IPv4 host that a translator would reach under it: NAT64 (RFC 6052 §2.1), 6to4 (RFC 3056 §2).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let words = address.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match words {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(pair(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_the_internet_are_reached() {
        for (address, wanted) in [
            ("192.0.2.1", true),
            ("8.8.8.8", true),
            ("100.63.0.1", true),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("100.128.0.1", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("192.0.0.192", false),
            ("192.0.1.1", true),
            ("198.17.255.255", true),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.20.0.1", true),
            ("224.0.0.1", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("2001:db8::1", true),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:192.0.2.1", true),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::c000:201", true),
            ("2002:7f00:1::1", false),
        ] {
            assert_eq!(may_reach(address.parse().unwrap(), &[]), wanted, "{address}");
        }
    }

    #[test]
    fn what_is_allowed_besides_is_reached() {
        let private = ["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        assert!(may_reach("127.0.0.1".parse().unwrap(), &private));
        assert!(may_reach("::ffff:127.0.0.1".parse().unwrap(), &private));
        assert!(may_reach("fd00::1".parse().unwrap(), &private));
        assert!(!may_reach("10.0.0.1".parse().unwrap(), &private));
    }
}
