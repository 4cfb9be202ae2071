//! Which answers of a list count.
//!
//! Written as `127.0.0.2`, as a range `127.0.0.4-7` or `127.0.0.4-127.0.1.7`, as a network
//! `127.0.0.0/28`, or by bits of the last octet, `127.0.0.&12`: any of them is enough.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;

/// A set of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    Range(Ipv4Addr, Ipv4Addr),
    Network(Ipv4Net),
    /// The first three octets are these, and the last has at least one of the bits.
    Bits([u8; 3], u8),
}

/// The text is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterError;

impl fmt::Display for FilterError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(
            "an answer is written as 127.0.0.2, 127.0.0.4-7, 127.0.0.0/28 or 127.0.0.&12, within 127.0.0.0/8",
        )
    }
}

impl std::error::Error for FilterError {}

impl Filter {
    pub fn fits(&self, code: Ipv4Addr) -> bool {
        match self {
            Self::Range(first, last) => (first..=last).contains(&&code),
            Self::Network(network) => network.contains(&code),
            Self::Bits(prefix, bits) => {
                let [a, b, c, last] = code.octets();
                [a, b, c] == *prefix && last & bits != 0
            }
        }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let filter = if let Some((prefix, bits)) = text.split_once(".&") {
            bits_of(prefix, bits)
        } else if text.contains('/') {
            text.parse().ok().map(Self::Network)
        } else if let Some((first, last)) = text.split_once('-') {
            range(first, last)
        } else {
            text.parse().ok().map(|code| Self::Range(code, code))
        };
        filter.filter(Self::is_loopback).ok_or(FilterError)
    }
}

impl Filter {
    /// Nothing outside 127.0.0.0/8 is an answer.
    fn is_loopback(&self) -> bool {
        match self {
            Self::Range(first, last) => first <= last && first.is_loopback() && last.is_loopback(),
            Self::Network(network) => network.prefix_len() >= 8 && network.addr().is_loopback(),
            Self::Bits([first, ..], bits) => *first == 127 && *bits != 0,
        }
    }
}

fn bits_of(prefix: &str, bits: &str) -> Option<Filter> {
    let [a, b, c, _] = format!("{prefix}.0").parse::<Ipv4Addr>().ok()?.octets();
    Some(Filter::Bits([a, b, c], bits.parse().ok()?))
}

/// The end is an address, or only its last octet.
fn range(first: &str, last: &str) -> Option<Filter> {
    let first: Ipv4Addr = first.parse().ok()?;
    let [a, b, c, _] = first.octets();
    let last = last.parse().ok().or_else(|| Some(Ipv4Addr::new(a, b, c, last.parse().ok()?)))?;
    Some(Filter::Range(first, last))
}
