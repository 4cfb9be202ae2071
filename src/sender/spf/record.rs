//! An SPF record taken apart.
//!
//! RFC 7208 §4.5 (which TXT record is one), §4.6 (terms), §5 and §6; the grammar is in §12. What must
//! always hold: a record is checked to its end before any of it counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Outcome;
use super::macros::{MacroString, Malformed, Place};

/// A record that is as long as a whole DNS message over UDP is already beyond what §3.4 allows.
const RECORD_BYTES_MAX: usize = 16 * 1024;
const VERSION: &str = "v=spf1";

/// A record, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) directives: Vec<Directive<'a>>,
    pub(super) redirect: Option<MacroString<'a>>,
    pub(super) explanation: Option<MacroString<'a>>,
}

/// A mechanism, and what its match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directive<'a> {
    pub(super) outcome: Outcome,
    pub(super) mechanism: Mechanism<'a>,
    /// As it is written, without its qualifier.
    pub(super) text: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism<'a> {
    All,
    Include(MacroString<'a>),
    Address(Hosts<'a>),
    Exchange(Hosts<'a>),
    Pointer(Option<MacroString<'a>>),
    Network(IpNet),
    Exists(MacroString<'a>),
}

/// The addresses of a name, and how many of their bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hosts<'a> {
    /// None for the domain whose record it is.
    pub(super) target: Option<MacroString<'a>>,
    pub(super) v4_bits: u8,
    pub(super) v6_bits: u8,
}

impl Mechanism<'_> {
    /// Whether it counts among those that ask the DNS (§4.6.4).
    pub(super) const fn asks(&self) -> bool {
        !matches!(self, Self::All | Self::Network(_))
    }
}

/// Whether a TXT record is one of SPF (§4.5): the version, then a space or nothing.
pub(super) fn is_record(txt: &[u8]) -> bool {
    let (version, rest) = txt.split_at(VERSION.len().min(txt.len()));
    version.eq_ignore_ascii_case(VERSION.as_bytes()) && matches!(rest.first(), None | Some(b' '))
}

impl<'a> Record<'a> {
    /// Takes a text for which [`is_record`] holds.
    pub(super) fn parse(txt: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(txt).map_err(|_| Malformed)?;
        let terms = text.get(VERSION.len()..).filter(|_| text.len() <= RECORD_BYTES_MAX).ok_or(Malformed)?;
        let mut record = Self { directives: Vec::new(), redirect: None, explanation: None };
        for term in terms.split(' ').filter(|term| !term.is_empty()) {
            record.take(term)?;
        }
        Ok(record)
    }

    fn take(&mut self, term: &'a str) -> Result<(), Malformed> {
        let (name, rest) = term.split_at(term.find([':', '/', '=']).unwrap_or(term.len()));
        match rest.strip_prefix('=') {
            Some(value) => self.take_modifier(name, value),
            None => {
                self.directives.push(Directive::parse(term)?);
                Ok(())
            }
        }
    }

    /// `redirect` and `exp` at most once each; what is unknown is checked and ignored (§6).
    fn take_modifier(&mut self, name: &str, value: &'a str) -> Result<(), Malformed> {
        let held = if name.eq_ignore_ascii_case("redirect") {
            &mut self.redirect
        } else if name.eq_ignore_ascii_case("exp") {
            &mut self.explanation
        } else if is_modifier_name(name) {
            return MacroString::parse(value, Place::Term).map(|_| ());
        } else {
            return Err(Malformed);
        };
        if held.replace(MacroString::parse_domain(value)?).is_some() { Err(Malformed) } else { Ok(()) }
    }
}

fn is_modifier_name(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

impl<'a> Directive<'a> {
    fn parse(term: &'a str) -> Result<Self, Malformed> {
        let (outcome, text) = match term.split_at_checked(1) {
            Some(("+", text)) => (Outcome::Pass, text),
            Some(("-", text)) => (Outcome::Fail, text),
            Some(("~", text)) => (Outcome::SoftFail, text),
            Some(("?", text)) => (Outcome::Neutral, text),
            _ => (Outcome::Pass, term),
        };
        Ok(Self { outcome, mechanism: Mechanism::parse(text)?, text })
    }
}

impl<'a> Mechanism<'a> {
    fn parse(text: &'a str) -> Result<Self, Malformed> {
        let (name, rest) = text.split_at(text.find([':', '/']).unwrap_or(text.len()));
        let value = rest.strip_prefix(':');
        let target = || MacroString::parse_domain(value.ok_or(Malformed)?);
        // Most terms are networks; names are compared without copying them, for there are many.
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            3 if is("ip4") => network::<Ipv4Addr>(value.ok_or(Malformed)?, 32).map(Self::Network),
            3 if is("ip6") => network::<Ipv6Addr>(value.ok_or(Malformed)?, 128).map(Self::Network),
            7 if is("include") => target().map(Self::Include),
            1 if is("a") => Hosts::parse(rest).map(Self::Address),
            2 if is("mx") => Hosts::parse(rest).map(Self::Exchange),
            6 if is("exists") => target().map(Self::Exists),
            3 if is("ptr") && rest.is_empty() => Ok(Self::Pointer(None)),
            3 if is("ptr") => target().map(Some).map(Self::Pointer),
            3 if is("all") && rest.is_empty() => Ok(Self::All),
            _ => Err(Malformed),
        }
    }
}

fn network<Address>(value: &str, bits_max: u8) -> Result<IpNet, Malformed>
where
    Address: std::str::FromStr + Into<IpAddr>,
{
    let (address, bits) = match value.split_once('/') {
        Some((address, digits)) => (address, prefix_length(digits, bits_max)?),
        None => (value, bits_max),
    };
    let address: Address = address.parse().map_err(|_| Malformed)?;
    IpNet::new(address.into(), bits).map_err(|_| Malformed)
}

impl<'a> Hosts<'a> {
    /// What may stand behind `a` and `mx`: a name, and a length for each version (§5.3, §5.6).
    fn parse(rest: &'a str) -> Result<Self, Malformed> {
        let (rest, v6_bits) = split_length(rest, "//", 128)?;
        let (rest, v4_bits) = split_length(rest, "/", 32)?;
        let target = match rest.strip_prefix(':') {
            Some(target) => Some(MacroString::parse_domain(target)?),
            None if rest.is_empty() => None,
            None => return Err(Malformed),
        };
        Ok(Self { target, v4_bits, v6_bits })
    }
}

/// Takes `mark` and the digits behind it off the end. A slash elsewhere belongs to the name.
fn split_length<'a>(text: &'a str, mark: &str, bits_max: u8) -> Result<(&'a str, u8), Malformed> {
    match text.rsplit_once(mark) {
        Some((before, digits)) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            Ok((before, prefix_length(digits, bits_max)?))
        }
        _ => Ok((text, bits_max)),
    }
}

/// No sign, no zero in front (§12).
fn prefix_length(digits: &str, bits_max: u8) -> Result<u8, Malformed> {
    let plain =
        digits.bytes().all(|digit| digit.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let bits = digits.parse().ok().filter(|bits| plain && *bits <= bits_max);
    bits.ok_or(Malformed)
}
