use std::collections::HashMap;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use toml::de::DeTable;

use super::{Item, Outside, SYSTEM_AUTHORITIES, downstream, upstream};
use crate::base::document::{Faults, Section};
use crate::policy::tls::{DownstreamTls, UpstreamTls};

/// Files that exist nowhere else.
struct Folder(HashMap<&'static str, String>);

impl Outside for Folder {
    fn shown(&self, path: &str) -> String {
        format!("/etc/postern/{path}")
    }

    fn read(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let text = self.0.get(path).ok_or("No such file")?;
        if text.len() > bytes_max { Err("too large".to_owned()) } else { Ok(text.clone().into_bytes()) }
    }

    fn names(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn compile(
        &self,
        _: &[crate::control::patterns::Source],
        _: Option<&std::path::Path>,
    ) -> Result<crate::scan::Rules, Vec<String>> {
        Err(Vec::new())
    }
}

fn folder() -> Folder {
    let make = |name: &str| {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let ((mx1, mx1_key), (mx2, mx2_key)) = (make("mx1.example.net"), make("mx2.example.net"));
    let files = [("mx1.pem", mx1.clone()), ("mx1.key", mx1_key), ("mx2.pem", mx2), ("mx2.key", mx2_key)];
    let more = [("ca.pem", mx1.clone()), ("empty", String::new()), (SYSTEM_AUTHORITIES, mx1)];
    Folder(files.into_iter().chain(more).collect())
}

fn read<T>(
    text: &str,
    outside: &dyn Outside,
    read: impl Fn(Option<Item<'_>>, &dyn Outside) -> T,
) -> (T, Vec<String>) {
    let faults = Faults::new(text);
    let document = DeTable::parse(text).unwrap();
    let value = read(Section::root(document.get_ref(), &faults).item("tls"), outside);
    let lines =
        faults.into_list().into_iter().map(|fault| format!("f:{}: {}", fault.position, fault.message));
    (value, lines.collect())
}

#[track_caller]
fn check_downstream(text: &str, want: fn(&DownstreamTls) -> bool) {
    let (found, lines) = read(text, &folder(), downstream);
    assert!(lines.is_empty() && want(&found), "{found:?} {lines:?}");
}

#[track_caller]
fn check_upstream(text: &str, want: fn(&UpstreamTls) -> bool) {
    let (found, lines) = read(text, &folder(), upstream);
    assert!(lines.is_empty() && want(&found), "{found:?} {lines:?}");
}

#[track_caller]
fn check_faults(text: &str, want_downstream: Option<&[&str]>, want_upstream: Option<&[&str]>) {
    if let Some(want) = want_downstream {
        let (found, lines) = read(text, &folder(), downstream);
        assert_eq!(lines, want);
        assert!(found.policy().is_none() || want.iter().any(|line| line.contains("unknown key")));
    }
    if let Some(want) = want_upstream {
        assert_eq!(read(text, &folder(), upstream).1, want);
    }
}

#[test]
fn a_listener_has_its_certificates() {
    const OWN: &str = "certificate = \"mx1.pem\", key = \"mx1.key\"";
    check_downstream("", |tls| *tls == DownstreamTls::Off);
    check_downstream("tls = \"off\"", |tls| *tls == DownstreamTls::Off);
    check_downstream("tls = { mode = \"off\", certificate = \"gone.pem\" }", |tls| {
        *tls == DownstreamTls::Off
    });
    let mode = |mode: &str, more: &str| format!("tls = {{ mode = \"{mode}\", {OWN}{more} }}");
    check_downstream(&mode("offer", ""), |tls| tls.offers_starttls() && !tls.is_required());
    check_downstream(&mode("require", ""), |tls| tls.offers_starttls() && tls.is_required());
    check_downstream(&mode("implicit", ""), |tls| {
        tls.is_implicit() && tls.is_required() && !tls.offers_starttls()
    });
    check_downstream(&mode("offer", ", client_certificate = \"ask\""), |tls| tls.policy().is_some());
    check_downstream(&mode("offer", ", client_certificate = \"require\", client_ca = \"ca.pem\""), |tls| {
        tls.policy().is_some()
    });
    let several = "tls = { mode = \"offer\", certificate = [\"mx1.pem\", \"mx2.pem\"], key = [\"mx1.key\", \"mx2.key\"] }";
    check_downstream(several, |tls| {
        let names: Vec<_> = tls.policy().unwrap().identities().iter().flat_map(|own| own.names()).collect();
        names == ["mx1.example.net", "mx2.example.net"]
    });
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let check = |text: &str, want: &[&str]| check_faults(text, Some(want), None);
    check("tls = 1", &["f:1:7: expected a string, found a whole number"]);
    check("tls = \"ofer\"", &["f:1:7: `ofer` is not known here; did you mean `offer`?"]);
    check(
        "tls = \"offer\"",
        &["f:1:7: a certificate is needed: tls = { mode = …, certificate = \"FILE\", key = \"FILE\" }"],
    );
    check("tls = {}", &["f:1:7: `mode` is missing in tls"]);
    check(
        "tls = { mode = \"offer\" }",
        &["f:1:7: `certificate` is missing in tls", "f:1:7: `key` is missing in tls"],
    );
    check(
        "[tls]\nmode = \"offer\"\ncertificate = \"x.pem\"\nkey = \"mx1.key\"",
        &["f:3:15: certificate /etc/postern/x.pem: No such file"],
    );
    check(
        "[tls]\nmode = \"offer\"\ncertificate = \"mx1.pem\"\nkey = \"mx2.key\"",
        &["f:4:7: /etc/postern/mx2.key is not the key of certificate /etc/postern/mx1.pem"],
    );
    check(
        "[tls]\nmode = \"offer\"\ncertificate = \"empty\"\nkey = \"mx2.key\"",
        &["f:3:15: certificate /etc/postern/empty: it holds no certificate in PEM"],
    );
    check(
        "[tls]\nmode = \"offer\"\ncertificate = \"mx1.pem\"\nkey = \"mx1.pem\"",
        &["f:4:7: key /etc/postern/mx1.pem: it holds no private key in PEM"],
    );
    check(
        "[tls]\nmode = \"offer\"\ncertificate = [\"mx1.pem\", \"mx2.pem\"]\nkey = \"mx1.key\"",
        &["f:4:7: certificates: 2, keys: 1; each certificate needs its key, in the same order"],
    );
    check(
        "[tls]\nmode = \"offer\"\ncertificate = \"mx1.pem\"\nkey = \"mx1.key\"\nclient_certficate = \"ask\"",
        &["f:5:1: unknown key `client_certficate` in tls; did you mean `client_certificate`?"],
    );
}

#[test]
fn clients_certificates_need_somebody_to_believe() {
    let check = |more: &str, want: &[&str]| {
        let text = format!("[tls]\nmode = \"offer\"\ncertificate = \"mx1.pem\"\nkey = \"mx1.key\"\n{more}");
        let lines = read(&text, &folder(), downstream).1;
        assert_eq!(lines, want);
    };
    check(
        "client_certificate = \"require\"",
        &["f:5:22: which ones are believed? set client_ca or client_fingerprint"],
    );
    check("client_ca = \"ca.pem\"", &["f:5:13: no certificate is asked for: set client_certificate"]);
    check(
        "client_certificate = \"ask\"\nclient_ca = \"empty\"",
        &["f:6:13: authorities /etc/postern/empty: it holds no certificate in PEM"],
    );
    check(
        "client_certificate = \"ask\"\nclient_fingerprint = [\"00\"]",
        &["f:6:23: `00` is no SHA-256: 64 hexadecimal digits"],
    );
    let good = "ab".repeat(32);
    check(&format!("client_certificate = \"require\"\nclient_fingerprint = \"{good}\""), &[]);
}

#[test]
fn an_upstream_says_what_it_looks_at() {
    check_upstream("", |tls| *tls == UpstreamTls::Off);
    check_upstream("tls = \"off\"", |tls| *tls == UpstreamTls::Off);
    check_upstream("tls = \"offer\"", |tls| matches!(tls, UpstreamTls::Offer(_)) && !tls.is_required());
    check_upstream("tls = \"require\"", |tls| tls.is_required() && !tls.authenticates());
    check_upstream("tls = \"verify\"", |tls| tls.is_required() && tls.authenticates());
    check_upstream("tls = { mode = \"verify\", ca = \"ca.pem\", name = \"mx.example\" }", |tls| {
        tls.toward_server().is_some_and(|toward| toward.name.as_deref() == Some("mx.example"))
    });
    check_upstream("tls = { mode = \"require\", certificate = \"mx1.pem\", key = \"mx1.key\" }", |tls| {
        tls.is_required()
    });
    let pinned = format!("tls = {{ mode = \"verify\", fingerprint = [\"{}\"] }}", "0a".repeat(32));
    check_upstream(&pinned, |tls| tls.toward_server().is_some_and(|toward| toward.policy.authenticates()));
}

#[test]
fn an_upstream_that_cannot_be_verified_says_why() {
    let check = |text: &str, want: &[&str]| check_faults(text, None, Some(want));
    check(
        "[tls]\nmode = \"dane\"\nca = \"ca.pem\"",
        &["f:3:6: with dane the DNS says which certificates are good"],
    );
    check(
        "tls = \"implicit\"",
        &["f:1:7: `implicit` is not known here; known: off, offer, require, verify, dane"],
    );
    check(
        "[tls]\nmode = \"require\"\nca = \"ca.pem\"",
        &["f:3:6: this mode looks at no certificate: write mode = \"verify\""],
    );
    check("[tls]\nmode = \"verify\"\nca = \"gone\"", &["f:3:6: authorities /etc/postern/gone: No such file"]);
    check(
        "[tls]\nmode = \"verify\"\nca = \"ca.pem\"\nfingerprint = []",
        &[
            "f:4:15: a listed certificate needs no authority: set `ca` or `fingerprint`",
            "f:4:15: at least one fingerprint is needed",
        ],
    );
    check("[tls]\nmode = \"verify\"\ncertificate = \"mx1.pem\"", &["f:3:15: `key` is missing beside it"]);
    let without = Folder(HashMap::new());
    let lines = read("tls = \"verify\"", &without, upstream).1;
    assert_eq!(
        lines,
        [format!("f:1:7: authorities {SYSTEM_AUTHORITIES}: No such file; name a file with `ca`")]
    );
}
