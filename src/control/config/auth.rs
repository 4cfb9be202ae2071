//! `auth` of a listener: who knows its users. A file of them is read while it is checked.
//!
//! What must always hold: no password can be asked for in clear; every fault of the file of users is told
//! with its line, and nothing of a hash or key.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::section::known_upstream;
use super::{Outside, tls};
use crate::base::document::{Item, Section};
use crate::policy::lists::LineFault;
use crate::policy::owners::Owners;
use crate::policy::settings::Upstream;
use crate::policy::tls::UpstreamTls;
use crate::policy::users::{DownstreamAuth, Place, Source, USER_FILE_BYTES_MAX, Users};
use crate::smtp::sasl::Mechanism;

/// Faults told of one file; the rest is the same mistake once more.
const FAULTS_MAX: usize = 20;
/// Who may know the users.
const SOURCES: [&str; 3] = ["users", "dovecot", "upstream"];

/// `tls` is that of the same listener.
pub(super) fn downstream(
    item: Option<Item<'_>>,
    tls: Option<Item<'_>>,
    upstreams: &[Upstream],
    outside: &dyn Outside,
) -> Option<DownstreamAuth> {
    let item = item?;
    let mut section = item.section("auth")?;
    let source = source(item, &mut section, upstreams, outside);
    let mechanisms = mechanisms(section.item("mechanisms"), source.as_ref());
    // Whoever sets up users wants mail of theirs, until it is said that others may send as well.
    let required = section.item("required").map_or(Some(true), Item::flag).unwrap_or(true);
    let trusted = section.item("trusted").and_then(Item::flag).unwrap_or(false);
    let owners = section
        .item("senders")
        .map_or_else(|| Some(Owners::default()), |item| by_lines(item, "senders", outside, Owners::parse));
    section.finish();
    if is_off(tls) {
        item.fault(
            "passwords would go in clear: this listener needs tls = { mode = \"require\", certificate = …, \
             key = … }, or \"offer\" or \"implicit\"",
        );
    }
    Some(DownstreamAuth { source: source?, mechanisms, required, trusted, owners: Arc::new(owners?) })
}

/// What else is wrong with it is told elsewhere.
fn is_off(tls: Option<Item<'_>>) -> bool {
    tls.is_none_or(|item| tls::mode(item).and_then(Item::as_text) == Some("off"))
}

/// One of those who may know users, and no other.
fn source(
    item: Item<'_>,
    section: &mut Section<'_>,
    upstreams: &[Upstream],
    outside: &dyn Outside,
) -> Option<Source> {
    let named = SOURCES.map(|key| section.item(key));
    if named.iter().flatten().count() != 1 {
        item.fault(format!("who knows the users? write one of {}", SOURCES.join(", ")));
    }
    match named {
        [Some(item), None, None] => {
            by_lines(item, "users", outside, Users::parse).map(|users| Source::File(Arc::new(users)))
        }
        [None, Some(item), None] => item.parse(place).map(Source::Dovecot),
        [None, None, Some(item)] => trial(item, upstreams),
        _ => None,
    }
}

/// Passwords of clients go to its servers as they are: these prove who they are, or none goes.
fn trial(item: Item<'_>, upstreams: &[Upstream]) -> Option<Source> {
    let index = known_upstream(item, upstreams)?;
    let upstream = &upstreams[index.0];
    // By MX servers are strangers, and what the DNS says of a certificate is not asked for this.
    if !matches!(upstream.tls, UpstreamTls::Verify(_)) || upstream.is_looked_up() {
        item.fault(format!(
            "passwords would go to whoever answers: upstream `{}` needs tls = \"verify\" (by a name, or by a fingerprint)",
            upstream.name
        ));
    }
    Some(Source::Upstream(index))
}

/// Names and passwords go there as they are: it is on this machine, or nothing is said to it.
fn place(text: &str) -> Result<Place, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = PathBuf::from(path);
        return if path.is_absolute() {
            Ok(Place::Socket(path))
        } else {
            Err("a socket is named from the root on: \"unix:/run/dovecot/auth-client\"".to_owned())
        };
    }
    let address: SocketAddr = text.parse().map_err(|_| {
        format!(
            "`{}` is not a place; write one like \"unix:/run/dovecot/auth-client\" or \"127.0.0.1:12345\"",
            text.escape_debug()
        )
    })?;
    if address.ip().is_loopback() {
        Ok(Place::Loopback(address))
    } else {
        Err("passwords would go in clear: write an address of this machine (127.0.0.1, [::1]) or a socket"
            .to_owned())
    }
}

fn mechanisms(item: Option<Item<'_>>, source: Option<&Source>) -> Vec<Mechanism> {
    let served = source.map_or_else(|| Mechanism::ALL.to_vec(), Source::mechanisms);
    let Some(item) = item else { return served };
    let names = Mechanism::ALL.map(|mechanism| (mechanism.name(), mechanism));
    let mut mechanisms = Vec::new();
    for element in item.some_elements("mechanism") {
        match element.choice(&names) {
            Some(mechanism) if !served.contains(&mechanism) => element.fault(format!(
                "{} needs what is stored of a user, which only a file of users tells: write PLAIN, LOGIN",
                mechanism.name()
            )),
            Some(mechanism) if mechanisms.contains(&mechanism) => {
                element.fault(format!("{} is named twice", mechanism.name()));
            }
            Some(mechanism) => mechanisms.push(mechanism),
            None => {}
        }
    }
    mechanisms
}

/// What a file holds, `what` it is called; faults of it come with their lines.
fn by_lines<T>(
    item: Item<'_>,
    what: &str,
    outside: &dyn Outside,
    parse: impl FnOnce(&str) -> Result<T, Vec<LineFault>>,
) -> Option<T> {
    let bytes_max = usize::try_from(USER_FILE_BYTES_MAX).unwrap_or(usize::MAX);
    let bytes = tls::file(item, what, bytes_max, outside)?;
    let shown = outside.shown(item.as_text().unwrap_or_default());
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        item.fault(format!("{what} {shown}:{line}: not UTF-8"));
    });
    parse(&text.ok()?)
        .map_err(|faults| {
            for LineFault { line, message } in faults.into_iter().take(FAULTS_MAX) {
                item.fault(format!("{what} {shown}:{line}: {message}"));
            }
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Files;
    use super::*;
    use crate::base::document::Faults;
    use toml::de::DeTable;

    const FOLDER: Files = Files(&[
        ("users", b"# users\nann:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA\n"),
        ("bad", b"ann:secret\n\nbob\n"),
        ("senders", b"info@example.net ann\n"),
        ("latin", b"# x\n\n# \xe9\n"),
    ]);

    const TLS: &str = "tls = { mode = \"require\", certificate = \"a\", key = \"b\" }\n";

    fn read(text: &str) -> (Option<DownstreamAuth>, Vec<String>) {
        let faults = Faults::new(text);
        let document = DeTable::parse(text).unwrap();
        let mut root = Section::root(document.get_ref(), &faults);
        let auth = downstream(root.item("auth"), root.item("tls"), &[], &FOLDER);
        let line = |fault: crate::base::document::Fault| format!("{}: {}", fault.position, fault.message);
        (auth, faults.into_list().into_iter().map(line).collect())
    }

    #[track_caller]
    fn check(auth: &str, want: &[Mechanism], required: bool) {
        let (auth, faults) = read(&format!("{TLS}auth = {{ users = \"users\"{auth} }}\n"));
        let auth = auth.unwrap_or_else(|| panic!("{faults:?}"));
        let Source::File(users) = &auth.source else { panic!("{auth:?}") };
        assert_eq!((users.len(), auth.mechanisms.as_slice(), auth.required), (1, want, required));
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn mechanisms_come_in_the_order_in_which_they_are_named() {
        check("", &Mechanism::ALL, true);
        let trusted = |more| read(&format!("{TLS}auth = {{ users = \"users\"{more} }}\n")).0.unwrap().trusted;
        assert_eq!([trusted(""), trusted(", trusted = true")], [false, true]);
        check(", mechanisms = [\"PLAIN\"], required = false", &[Mechanism::Plain], false);
        let both = &[Mechanism::Login, Mechanism::ScramSha256];
        check(", mechanisms = [\"LOGIN\", \"SCRAM-SHA-256\"]", both, true);
        assert_eq!(read(TLS), (None, Vec::new()));
    }

    #[track_caller]
    fn check_faults(text: &str, want: &[&str]) {
        let (_, faults) = read(text);
        let fits = faults.len() == want.len() && faults.iter().zip(want).all(|(is, want)| is.contains(want));
        assert!(fits, "{text}: {faults:#?}");
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let auth = |text: &str| format!("{TLS}auth = {{ {text} }}\n");
        check_faults(&auth("users = \"bad\""), &["users /etc/postern/bad:1: ", "users /etc/postern/bad:3: "]);
        check_faults(&auth("users = \"latin\""), &["2:18: users /etc/postern/latin:3: not UTF-8"]);
        check_faults(&auth("users = \"none\""), &["2:18: users /etc/postern/none: no such file"]);
        check_faults(&auth("users = \"users\", senders = \"senders\""), &[]);
        let bad = "senders /etc/postern/bad:1: this is neither an address";
        check_faults(&auth("users = \"users\", senders = \"bad\""), &[bad, "senders /etc/postern/bad:3: "]);
        check_faults(
            &auth("users = \"users\", senders = \"none\""),
            &["senders /etc/postern/none: no such file"],
        );
        check_faults(
            &auth("required = true"),
            &["2:8: who knows the users? write one of users, dovecot, upstream"],
        );
        check_faults(&auth("users = \"users\", mechanisms = []"), &["at least one mechanism"]);
        check_faults(
            &auth("users = \"users\", mechanisms = [\"PLAIN\", \"CRAM-MD5\", \"PLAIN\"]"),
            &["`CRAM-MD5` is not known", "PLAIN is named twice"],
        );
        check_faults(&auth("users = \"users\", wanted = true"), &["unknown key"]);
    }

    #[test]
    fn dovecot_is_asked_on_this_machine() {
        let dovecot = |place: &str| read(&format!("{TLS}auth = {{ dovecot = \"{place}\" }}\n"));
        for (text, place) in [
            ("unix:/run/dovecot/auth-client", Place::Socket("/run/dovecot/auth-client".into())),
            ("127.0.0.1:12345", Place::Loopback("127.0.0.1:12345".parse().unwrap())),
            ("[::1]:12345", Place::Loopback("[::1]:12345".parse().unwrap())),
        ] {
            let (auth, faults) = dovecot(text);
            let auth = auth.unwrap_or_else(|| panic!("{faults:?}"));
            let want = vec![Mechanism::Plain, Mechanism::Login];
            assert_eq!((auth.source, auth.mechanisms, faults), (Source::Dovecot(place), want, Vec::new()));
        }
        for (text, want) in [
            ("unix:run/auth", "2:20: a socket is named from the root on"),
            ("/run/auth", "2:20: `/run/auth` is not a place"),
            ("192.0.2.1:12345", "2:20: passwords would go in clear"),
            ("localhost:12345", "is not a place"),
        ] {
            let (auth, faults) = dovecot(text);
            assert!(auth.is_none() && faults.len() == 1 && faults[0].contains(want), "{faults:?}");
        }
        let auth = |text: &str| format!("{TLS}auth = {{ dovecot = \"unix:/a\", {text} }}\n");
        check_faults(&auth("users = \"users\""), &["write one of users, dovecot, upstream"]);
        check_faults(&auth("mechanisms = [\"SCRAM-SHA-256\"]"), &["only a file of users tells"]);
        check_faults(&auth("mechanisms = [\"LOGIN\"]"), &[]);
    }

    #[test]
    fn a_password_is_not_asked_for_in_clear() {
        for tls in ["", "tls = \"off\"\n", "tls = { mode = \"off\", certificate = \"a\" }\n"] {
            check_faults(&format!("{tls}auth = {{ users = \"users\" }}\n"), &["passwords would go in clear"]);
        }
    }
}
