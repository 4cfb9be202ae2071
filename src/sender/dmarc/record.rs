//! A DMARC record taken apart.
//!
//! RFC 7489 §6.3, and the tags of its successor: `np`, `psd`, `t`. What is unknown is passed over; what
//! has a wrong value counts as absent, unless it says what is to be done with mail.

use super::Policy;

/// A record, as far as an evaluation needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) policy: Policy,
    pub(super) subdomains: Option<Policy>,
    /// For names below that do not exist.
    pub(super) absent: Option<Policy>,
    pub(super) is_spf_strict: bool,
    pub(super) is_dkim_strict: bool,
    pub(super) boundary: Option<Boundary>,
    /// `t=y`, or `pct=0`, which was used for the same: one step less than the policy says.
    pub(super) is_test: bool,
}

/// `psd`: what the name is in the tree of domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    /// `y`: others register names below it.
    PublicSuffix,
    /// `n`: one organisation's, whatever is above.
    Organisation,
}

/// The record says neither what to do nor whom to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Useless;

/// Whether a TXT record is one of DMARC: the version stands first, and in these letters (§6.3).
pub(super) fn is_record(txt: &[u8]) -> bool {
    let version = txt.split(|byte| *byte == b';').next().unwrap_or_default();
    let Some(equals) = version.iter().position(|byte| *byte == b'=') else { return false };
    let (name, value) = version.split_at(equals);
    name.trim_ascii_end().eq_ignore_ascii_case(b"v")
        && value.get(1..).map(<[u8]>::trim_ascii) == Some(b"DMARC1")
}

impl Record {
    /// Takes a text for which [`is_record`] holds.
    pub(super) fn parse(txt: &[u8]) -> Result<Self, Useless> {
        let tag = |name: &str| tag(txt, name);
        let is = |name: &str, wanted: &str| {
            tag(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted.as_bytes()))
        };
        let policies = [tag("p"), tag("sp"), tag("np")].map(|value| value.map(policy));
        let wrong = policies[0].is_none() || policies.contains(&Some(None));
        if wrong
            && !tag("rua")
                .is_some_and(|value| value.windows(7).any(|text| text.eq_ignore_ascii_case(b"mailto:")))
        {
            return Err(Useless);
        }
        // What asks for something unknown asks for nothing, but wants to be told (§6.6.3).
        let [policy, subdomains, absent] =
            if wrong { [Some(Policy::None), None, None] } else { policies.map(Option::flatten) };
        let boundary = match tag("psd") {
            Some(b"y" | b"Y") => Some(Boundary::PublicSuffix),
            Some(b"n" | b"N") => Some(Boundary::Organisation),
            _ => None,
        };
        Ok(Self {
            policy: policy.unwrap_or(Policy::None),
            subdomains,
            absent,
            is_spf_strict: is("aspf", "s"),
            is_dkim_strict: is("adkim", "s"),
            boundary,
            is_test: is("t", "y") || is("pct", "0"),
        })
    }
}

fn policy(value: &[u8]) -> Option<Policy> {
    Policy::ALL.into_iter().find(|policy| value.eq_ignore_ascii_case(policy.name().as_bytes()))
}

/// The value of the first tag of a name.
fn tag<'a>(txt: &'a [u8], name: &str) -> Option<&'a [u8]> {
    txt.split(|byte| *byte == b';').find_map(|part| {
        let equals = part.iter().position(|byte| *byte == b'=')?;
        let (found, value) = part.split_at(equals);
        let value = value.get(1..)?.trim_ascii();
        found.trim_ascii().eq_ignore_ascii_case(name.as_bytes()).then_some(value)
    })
}
