//! `tls` of a listener and of an upstream: certificates are read and keys tried while it is checked.
//!
//! What must always hold: whatever cannot be loaded is a fault that names the file and says why; no
//! setting that looks at nothing is passed over in silence.

use super::Outside;
use crate::base::document::{Item, Section};
use crate::policy::tls::{DownstreamTls, TowardServer, UpstreamTls};
use crate::tls::client_policy::{Authentication, ClientPolicy, server_name};
use crate::tls::identity::{Identity, IdentityFault};
use crate::tls::secured::Fingerprint;
use crate::tls::server_policy::{ClientCertificates, ServerPolicy, Trusted};
use crate::tls::trust::{Authorities, SYSTEM_AUTHORITIES};

/// A chain of certificates, or a key.
const IDENTITY_FILE_BYTES_MAX: usize = 1 << 20;
/// All public authorities together have a quarter of a mebibyte.
const AUTHORITIES_FILE_BYTES_MAX: usize = 8 << 20;

#[derive(Clone, Copy)]
enum Downstream {
    Off,
    Offer,
    Require,
    Implicit,
}

const DOWNSTREAM: &[(&str, Downstream)] = &[
    ("off", Downstream::Off),
    ("offer", Downstream::Offer),
    ("require", Downstream::Require),
    ("implicit", Downstream::Implicit),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Upstream {
    Off,
    Offer,
    Require,
    Verify,
    Dane,
}

const UPSTREAM: &[(&str, Upstream)] = &[
    ("off", Upstream::Off),
    ("offer", Upstream::Offer),
    ("require", Upstream::Require),
    ("verify", Upstream::Verify),
    ("dane", Upstream::Dane),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    None,
    Ask,
    Require,
}

const WANTED: &[(&str, Wanted)] =
    &[("none", Wanted::None), ("ask", Wanted::Ask), ("require", Wanted::Require)];

const IDENTITY_KEYS: [&str; 2] = ["certificate", "key"];
const CLIENT_KEYS: [&str; 3] = ["client_certificate", "client_ca", "client_fingerprint"];
const SERVER_KEYS: [&str; 3] = ["ca", "name", "fingerprint"];

const LOOKS_AT_NONE: &str = "this mode looks at no certificate: write mode = \"verify\"";
const BY_DNS: &str = "with dane the DNS says which certificates are good";

/// `"off"`, or a table with what the other modes need.
pub(super) fn downstream(item: Option<Item<'_>>, outside: &dyn Outside) -> DownstreamTls {
    let Some(item) = item else { return DownstreamTls::Off };
    if !item.is_table() {
        if let Some(Downstream::Offer | Downstream::Require | Downstream::Implicit) = item.choice(DOWNSTREAM)
        {
            item.fault("a certificate is needed: tls = { mode = …, certificate = \"FILE\", key = \"FILE\" }");
        }
        return DownstreamTls::Off;
    }
    let Some(mut section) = item.section("tls") else { return DownstreamTls::Off };
    let mode = section.required("mode").and_then(|item| item.choice(DOWNSTREAM));
    let policy = match mode {
        Some(Downstream::Off) | None => {
            pass_over(&mut section, IDENTITY_KEYS.iter().chain(&CLIENT_KEYS));
            None
        }
        Some(_) => server_policy(&mut section, outside),
    };
    section.finish();
    match (mode, policy) {
        (Some(Downstream::Offer), Some(policy)) => DownstreamTls::Offer(policy),
        (Some(Downstream::Require), Some(policy)) => DownstreamTls::Require(policy),
        (Some(Downstream::Implicit), Some(policy)) => DownstreamTls::Implicit(policy),
        _ => DownstreamTls::Off,
    }
}

/// What is switched off may stay in the file.
fn pass_over<'k>(section: &mut Section<'_>, keys: impl Iterator<Item = &'k &'static str>) {
    keys.for_each(|key| {
        section.item(key);
    });
}

fn server_policy(section: &mut Section<'_>, outside: &dyn Outside) -> Option<ServerPolicy> {
    let certificates = section.required("certificate").map(one_or_more);
    let keys = section.required("key").map(one_or_more);
    let clients = client_certificates(section, outside);
    let identities = identities(section, &certificates?, &keys?, outside);
    ServerPolicy::new(identities?, &clients?).map_err(|why| section.fault_at("client_ca", why)).ok()
}

/// One path, or an array of them.
fn one_or_more(item: Item<'_>) -> Vec<Item<'_>> {
    if item.as_text().is_some() { vec![item] } else { item.some_elements("file") }
}

fn identities(
    section: &Section<'_>,
    certificates: &[Item<'_>],
    keys: &[Item<'_>],
    outside: &dyn Outside,
) -> Option<Vec<Identity>> {
    let pairs = certificates.iter().zip(keys);
    let read: Vec<_> = pairs.map(|(certificate, key)| identity(*certificate, *key, outside)).collect();
    if certificates.len() != keys.len() {
        let (some, others) = (certificates.len(), keys.len());
        section.fault_at(
            "key",
            format!(
                "certificates: {some}, keys: {others}; each certificate needs its key, in the same order"
            ),
        );
        return None;
    }
    read.into_iter().collect()
}

fn identity(certificate: Item<'_>, key: Item<'_>, outside: &dyn Outside) -> Option<Identity> {
    let chain = file(certificate, "certificate", IDENTITY_FILE_BYTES_MAX, outside);
    let secret = file(key, "key", IDENTITY_FILE_BYTES_MAX, outside);
    let fault = match Identity::read(&chain?, &secret?) {
        Ok(identity) => return Some(identity),
        Err(fault) => fault,
    };
    let shown = |item: Item<'_>| outside.shown(item.as_text().unwrap_or_default());
    match fault {
        IdentityFault::Certificate(why) => {
            certificate.fault(format!("certificate {}: {why}", shown(certificate)))
        }
        IdentityFault::Key(why) => key.fault(format!("key {}: {why}", shown(key))),
        IdentityFault::Mismatch => {
            key.fault(format!("{} is not the key of certificate {}", shown(key), shown(certificate)));
        }
    }
    None
}

pub(super) fn file(item: Item<'_>, what: &str, bytes_max: usize, outside: &dyn Outside) -> Option<Vec<u8>> {
    let path = item.text()?;
    let read = outside.read(path, bytes_max);
    read.map_err(|why| item.fault(format!("{what} {}: {why}", outside.shown(path)))).ok()
}

fn client_certificates(section: &mut Section<'_>, outside: &dyn Outside) -> Option<ClientCertificates> {
    let item = section.item("client_certificate");
    let wanted = item.map_or(Some(Wanted::None), |item| item.choice(WANTED));
    let authorities = section.item("client_ca").map(|item| authorities(item, outside));
    let pins = section.item("client_fingerprint").map(fingerprints);
    let trusted = || {
        Some(Trusted {
            authorities: authorities.clone().map_or(Some(None), |read| read.map(Some))?,
            pins: pins.clone().unwrap_or_default(),
        })
    };
    match wanted? {
        Wanted::None => {
            let idle =
                ["client_ca", "client_fingerprint"].into_iter().zip([authorities.is_some(), pins.is_some()]);
            let idle = idle.filter(|(_, is_set)| *is_set);
            idle.for_each(|(key, _)| {
                section.fault_at(key, "no certificate is asked for: set client_certificate")
            });
            Some(ClientCertificates::None)
        }
        Wanted::Ask => trusted().map(ClientCertificates::Ask),
        Wanted::Require if authorities.is_none() && pins.is_none() => {
            section.fault_at(
                "client_certificate",
                "which ones are believed? set client_ca or client_fingerprint",
            );
            None
        }
        Wanted::Require => trusted().map(ClientCertificates::Require),
    }
}

pub(super) fn authorities(item: Item<'_>, outside: &dyn Outside) -> Option<Authorities> {
    let pem = file(item, "authorities", AUTHORITIES_FILE_BYTES_MAX, outside)?;
    let shown = outside.shown(item.as_text().unwrap_or_default());
    Authorities::read(&pem).map_err(|why| item.fault(format!("authorities {shown}: {why}"))).ok()
}

fn fingerprints(item: Item<'_>) -> Vec<Fingerprint> {
    let items = if item.as_text().is_some() { vec![item] } else { item.some_elements("fingerprint") };
    let read = |text: &str| {
        let wrong = || format!("`{}` is no SHA-256: 64 hexadecimal digits", text.escape_debug());
        Fingerprint::parse(text).ok_or_else(wrong)
    };
    items.into_iter().filter_map(|item| item.parse(read)).collect()
}

/// Where there is nothing to be read: in TLS where the server has it, to whomever.
pub(super) fn offered() -> UpstreamTls {
    let policy = ClientPolicy::new(Authentication::None, None);
    policy.map_or(UpstreamTls::Off, |policy| UpstreamTls::Offer(TowardServer { policy, name: None }))
}

/// What names the mode, in either form; what is wrong with it is told by who reads it.
pub(super) fn mode(item: Item<'_>) -> Option<Item<'_>> {
    if item.is_table() {
        item.section("tls").and_then(|mut section| section.item("mode"))
    } else {
        Some(item)
    }
}

/// A mode, or a table with it and what it needs.
pub(super) fn upstream(item: Option<Item<'_>>, outside: &dyn Outside) -> UpstreamTls {
    let Some(item) = item else { return UpstreamTls::Off };
    let mut section = if item.is_table() { item.section("tls") } else { None };
    let named = match &mut section {
        Some(section) => section.required("mode"),
        None => Some(item),
    };
    let mode = named.and_then(|item| item.choice(UPSTREAM)).unwrap_or(Upstream::Off);
    let toward = match (mode, &mut section) {
        (Upstream::Off, Some(section)) => {
            pass_over(section, IDENTITY_KEYS.iter().chain(&SERVER_KEYS));
            None
        }
        (Upstream::Off, None) => None,
        _ => toward_server(mode, item, section.as_mut(), outside),
    };
    if let Some(section) = section {
        section.finish();
    }
    match (mode, toward) {
        (Upstream::Offer, Some(toward)) => UpstreamTls::Offer(toward),
        (Upstream::Require, Some(toward)) => UpstreamTls::Require(toward),
        (Upstream::Verify, Some(toward)) => UpstreamTls::Verify(toward),
        (Upstream::Dane, Some(toward)) => UpstreamTls::Dane(toward),
        _ => UpstreamTls::Off,
    }
}

fn toward_server(
    mode: Upstream,
    item: Item<'_>,
    mut section: Option<&mut Section<'_>>,
    outside: &dyn Outside,
) -> Option<TowardServer> {
    let identity = section.as_mut().map_or(Some(None), |section| own_identity(section, outside));
    let names = section.as_mut().and_then(|section| section.item("name"));
    let names: Vec<_> =
        names.map(one_or_more).unwrap_or_default().into_iter().filter_map(Item::text).collect();
    let authentication = match (mode, section) {
        (Upstream::Verify, section) => authentication(item, section, &names, outside),
        (_, Some(section)) => {
            for key in ["ca", "fingerprint"] {
                if section.item(key).is_some() {
                    let why = if mode == Upstream::Dane { BY_DNS } else { LOOKS_AT_NONE };
                    section.fault_at(key, why);
                }
            }
            Some(Authentication::None)
        }
        (_, None) => Some(Authentication::None),
    };
    let policy = ClientPolicy::new(authentication?, identity?).map_err(|why| item.fault(why)).ok()?;
    Some(TowardServer { policy, name: names.first().map(|name| (*name).into()) })
}

/// The certificate that we show, if there is one.
fn own_identity(section: &mut Section<'_>, outside: &dyn Outside) -> Option<Option<Identity>> {
    match (section.item("certificate"), section.item("key")) {
        (None, None) => Some(None),
        (Some(certificate), Some(key)) => identity(certificate, key, outside).map(Some),
        (certificate, _) => {
            let (here, missing) =
                if certificate.is_some() { ("certificate", "key") } else { ("key", "certificate") };
            section.fault_at(here, format!("`{missing}` is missing beside it"));
            None
        }
    }
}

/// What `verify` looks at: listed keys alone, or a chain to an authority and a name.
fn authentication(
    item: Item<'_>,
    section: Option<&mut Section<'_>>,
    names: &[&str],
    outside: &dyn Outside,
) -> Option<Authentication> {
    let (ca, pins) = match section {
        Some(section) => {
            let (ca, pins) = (section.item("ca"), section.item("fingerprint"));
            if let (Some(_), Some(pins)) = (ca, pins) {
                pins.fault("a listed certificate needs no authority: set `ca` or `fingerprint`");
            }
            (ca, pins)
        }
        None => (None, None),
    };
    if let Some(pins) = pins {
        return Some(Authentication::Pinned(fingerprints(pins)));
    }
    let authorities = match ca {
        Some(ca) => authorities(ca, outside),
        None => system_authorities(item, outside),
    };
    let read = |name: &&str| {
        let parsed = server_name(name);
        if parsed.is_none() {
            item.fault(format!("`{}` is neither a host name nor an address", name.escape_debug()));
        }
        parsed
    };
    let names: Option<Vec<_>> = names.iter().map(read).collect();
    Some(Authentication::Authorities { authorities: authorities?, names: names? })
}

pub(super) fn system_authorities(item: Item<'_>, outside: &dyn Outside) -> Option<Authorities> {
    let pem = outside.read(SYSTEM_AUTHORITIES, AUTHORITIES_FILE_BYTES_MAX);
    let read = pem.and_then(|pem| Authorities::read(&pem));
    let fault = |why| item.fault(format!("authorities {SYSTEM_AUTHORITIES}: {why}; name a file with `ca`"));
    read.map_err(fault).ok()
}

#[cfg(test)]
mod tests;
