//! A DKIM-Signature field, and the ARC-Message-Signature field that differs little from it.
//!
//! RFC 6376 §3.5 and §6.1.1, RFC 8617 §4.1.2. What is read here is all that a signature can be judged by
//! without the key and the body; the value goes to wherever those are.

use super::body::{BodyCheck, BodyForm};
use super::canonical::Canonical;
use super::digest::{Digest, Hash};
use super::key::KeyCheck;
use super::outcome::{Outcome, Reason};
use super::signed::{Algorithm, Claim, Covering, Signed, domain, required};
use super::tags::{Tags, base64, items, number, unquoted};
use crate::sender::dns::Name;
use crate::sender::header_section::{Field, Fields};

/// Names one signature may list in `h=`.
const NAMES_MAX: usize = 1024;
const LENGTH_DIGITS_MAX: usize = 76;
const TIME_DIGITS_MAX: usize = 12;
const LOCAL_BYTES_MAX: usize = 256;

/// Which of the two fields it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Dkim,
    Arc,
}

/// A signature that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub signed: Signed,
    /// Who signed within the domain; in ARC nobody is named.
    pub identity: Option<Identity>,
    pub body: BodyForm,
    /// `bh=`.
    pub body_hash: Digest,
    /// Seconds since 1970.
    pub signed_at: Option<u64>,
    pub expires_at: Option<u64>,
    /// Whether a From field is there that it does not cover.
    pub has_unsigned_from: bool,
}

/// `i=`, or `@` and the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub local: Vec<u8>,
    pub domain: Name,
}

/// One that could not, with what could be read of who it claims to be from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub reason: Reason,
    pub domain: Option<Name>,
}

/// What a signature turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub domain: Option<Name>,
    pub selector: Option<String>,
    pub identity: Option<Identity>,
    pub algorithm: Option<Algorithm>,
    /// The domain says of its key that it is being tried out.
    pub is_testing: bool,
    /// Octets of the body that `l=` left open to anybody.
    pub octets_unsigned: u64,
    pub has_unsigned_from: bool,
}

impl Evaluation {
    /// Whether its domain may stand for the message. One that leaves part of the body or a From field
    /// unsigned verifies, and says nothing about what a reader sees.
    pub fn vouches(&self) -> bool {
        self.outcome == Outcome::Pass && self.octets_unsigned == 0 && !self.has_unsigned_from
    }
}

impl Signature {
    pub(crate) fn read(
        form: Form,
        own: Field<'_>,
        fields: &Fields<'_>,
        effort: &mut usize,
    ) -> Result<Self, Unread> {
        let tags = Tags::parse(own.value()).ok_or(Unread { reason: Reason::NotTags, domain: None })?;
        let claimed = tags.value("d").and_then(domain);
        Self::from_tags(form, &tags, own, fields, effort).map_err(|reason| Unread { reason, domain: claimed })
    }

    fn from_tags(
        form: Form,
        tags: &Tags<'_>,
        own: Field<'_>,
        fields: &Fields<'_>,
        effort: &mut usize,
    ) -> Result<Self, Reason> {
        if form == Form::Dkim && required(tags, "v")? != b"1" {
            return Err(Reason::Version);
        }
        let claim = Claim::read(tags)?;
        if form == Form::Arc && claim.algorithm == Algorithm::RsaSha1 {
            return Err(Reason::Algorithm);
        }
        let (header, body) = canonicals(form, tags.value("c"))?;
        let hash = claim.algorithm.hash();
        let body_hash = base64(required(tags, "bh")?).and_then(|octets| Digest::from_octets(&octets, hash));
        let identity = identity(form, tags, &claim.domain)?;
        let (signed_at, expires_at) = times(tags)?;
        let names = names(form, required(tags, "h")?)?;
        is_dns(tags.value("q"))?;
        let covering = Covering { fields, own, canonical: header, effort };
        let place = claim.place;
        Ok(Self {
            identity,
            body: BodyForm { canonical: body, hash, length: length(tags)? },
            body_hash: body_hash.ok_or(Reason::TagBad("bh"))?,
            signed_at,
            expires_at,
            has_unsigned_from: has_unsigned_from(&names, fields),
            signed: claim.sign(covering.digest(&names, place, hash)?),
        })
    }

    /// Whether `i=` is below `d=` and not the same, which a key may forbid.
    pub fn is_of_subdomain(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.domain != self.signed.domain)
    }

    /// All that is known together. `now` is in seconds since 1970.
    pub fn evaluate(&self, key: &KeyCheck, body: BodyCheck, now: u64) -> Evaluation {
        let reason = key.reason.or(match body {
            BodyCheck::Differs => Some(Reason::BodyChanged),
            BodyCheck::TooShort => Some(Reason::BodyShort),
            BodyCheck::Matches { .. } => None,
        });
        let expired = || self.expires_at.is_some_and(|at| at <= now).then_some(Reason::Expired);
        let weak = || (self.body.hash == Hash::Sha1).then_some(Reason::WeakHash);
        let reason = reason.or_else(expired).or_else(weak);
        let outcome = reason.map_or(Outcome::Pass, Reason::outcome);
        Evaluation {
            // What fails under a key that is being tried out counts as no signature (RFC 6376 §3.6.1).
            outcome: if key.is_testing && outcome == Outcome::Fail { Outcome::Neutral } else { outcome },
            reason,
            domain: Some(self.signed.domain.clone()),
            selector: Some(self.signed.selector.clone()),
            identity: self.identity.clone(),
            algorithm: Some(self.signed.algorithm),
            is_testing: key.is_testing,
            octets_unsigned: match body {
                BodyCheck::Matches { octets_unsigned } => octets_unsigned,
                BodyCheck::Differs | BodyCheck::TooShort => 0,
            },
            has_unsigned_from: self.has_unsigned_from,
        }
    }
}

impl Unread {
    pub fn evaluate(&self) -> Evaluation {
        Evaluation {
            outcome: self.reason.outcome(),
            reason: Some(self.reason),
            domain: self.domain.clone(),
            selector: None,
            identity: None,
            algorithm: None,
            is_testing: false,
            octets_unsigned: 0,
            has_unsigned_from: false,
        }
    }
}

/// Of the header and of the body. ARC's authors hold what says nothing to be relaxed in both: so
/// their test suite has it, while RFC 8617 is silent.
fn canonicals(form: Form, value: Option<&[u8]>) -> Result<(Canonical, Canonical), Reason> {
    let one = |text: &[u8]| match text {
        b"simple" => Ok(Canonical::Simple),
        b"relaxed" => Ok(Canonical::Relaxed),
        _ => Err(Reason::Canonicalization),
    };
    let unsaid = if form == Form::Arc { Canonical::Relaxed } else { Canonical::Simple };
    let Some(value) = value else { return Ok((unsaid, unsaid)) };
    let mut parts = value.splitn(2, |octet| *octet == b'/');
    let header = one(parts.next().unwrap_or_default())?;
    Ok((header, parts.next().map_or(Ok(Canonical::Simple), one)?))
}

/// What `h=` lists. Old seals have been made over lists with gaps; RFC 6376 knows none.
fn names(form: Form, value: &[u8]) -> Result<Vec<&[u8]>, Reason> {
    let names: Vec<&[u8]> = items(value).take(NAMES_MAX + 1).collect();
    let is_name = |name: &&[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let has = |name: &[u8]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
    if names.len() > NAMES_MAX {
        return Err(Reason::TooMuch);
    }
    match form {
        Form::Dkim if !names.iter().all(is_name) => Err(Reason::TagBad("h")),
        Form::Dkim if !has(b"from") => Err(Reason::FromNotSigned),
        Form::Arc if has(b"arc-seal") => Err(Reason::SealSigned),
        Form::Dkim | Form::Arc => Ok(names),
    }
}

fn has_unsigned_from(names: &[&[u8]], fields: &Fields<'_>) -> bool {
    let listed = names.iter().filter(|name| name.eq_ignore_ascii_case(b"from")).count();
    fields.places(b"from").1.len() > listed
}

/// In ARC `i=` is the number of the set.
fn identity(form: Form, tags: &Tags<'_>, of: &Name) -> Result<Option<Identity>, Reason> {
    let value = match (form, tags.value("i")) {
        (Form::Arc, _) => return Ok(None),
        (Form::Dkim, None) => return Ok(Some(Identity { local: Vec::new(), domain: of.clone() })),
        (Form::Dkim, Some(value)) => unquoted(value).ok_or(Reason::TagBad("i"))?,
    };
    let at = memchr::memrchr(b'@', &value).filter(|at| *at <= LOCAL_BYTES_MAX).ok_or(Reason::TagBad("i"))?;
    let (local, rest) = value.split_at(at);
    let domain = rest.get(1..).and_then(domain).ok_or(Reason::TagBad("i"))?;
    let is_within = domain.as_str().strip_suffix(of.as_str());
    if !is_within.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) {
        return Err(Reason::IdentityOutside);
    }
    Ok(Some(Identity { local: local.to_vec(), domain }))
}

fn times(tags: &Tags<'_>) -> Result<(Option<u64>, Option<u64>), Reason> {
    let time = |name: &'static str| match tags.value(name) {
        None => Ok(None),
        Some(value) => number(value, TIME_DIGITS_MAX).map(Some).ok_or(Reason::TagBad(name)),
    };
    let (signed_at, expires_at) = (time("t")?, time("x")?);
    let is_backwards = signed_at.zip(expires_at).is_some_and(|(signed, expires)| expires <= signed);
    if is_backwards { Err(Reason::TagBad("x")) } else { Ok((signed_at, expires_at)) }
}

fn length(tags: &Tags<'_>) -> Result<Option<u64>, Reason> {
    match tags.value("l") {
        None => Ok(None),
        Some(value) => number(value, LENGTH_DIGITS_MAX).map(Some).ok_or(Reason::TagBad("l")),
    }
}

fn is_dns(methods: Option<&[u8]>) -> Result<(), Reason> {
    let is_known = methods.is_none_or(|methods| items(methods).any(|method| method == b"dns/txt"));
    if is_known { Ok(()) } else { Err(Reason::QueryMethod) }
}
