//! `auth` of an upstream: who we are to its servers. The file of the password is read while it is checked.
//!
//! What must always hold: no password goes where TLS is not sure, and none as it is to a server that did not
//! prove who it is; of a password nothing is in a fault.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Outside, tls};
use crate::base::document::{Item, Section};
use crate::policy::login::UpstreamAuth;
use crate::policy::tls::UpstreamTls;
use crate::smtp::sasl::client::{Credentials, Means};
use crate::smtp::sasl::{Secret, WORD_BYTES_MAX, is_word};

/// What one needs, and a line end or a remark behind it.
const PASSWORD_FILE_BYTES_MAX: usize = 4096;

/// What is known of the server that hears it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Mail may go in clear.
    None,
    /// It is encrypted, to whomever.
    Encrypted,
    Proven,
}

/// `tls` is that of the same upstream; what else is wrong with it is told elsewhere.
pub(super) fn upstream(
    item: Option<Item<'_>>,
    tls: Option<Item<'_>>,
    outside: &dyn Outside,
) -> Option<Arc<UpstreamAuth>> {
    let item = item?;
    let mut section = item.section("auth")?;
    let trust = trust(tls);
    let means = section.item("mechanism").map_or_else(
        || Some(Means::ALL[..if trust == Trust::Encrypted { 1 } else { 2 }].to_vec()),
        |item| chosen(item, trust, tls).map(|means| vec![means]),
    );
    let credentials = match means.as_deref() {
        Some([Means::External]) => without_password(&mut section),
        _ => with_password(&mut section, outside),
    };
    section.finish();
    if trust == Trust::None {
        item.fault(
            "a password goes only where TLS is sure: this upstream needs tls = \"verify\" (or \"require\", for \
             SCRAM-SHA-256 alone)",
        );
    }
    Some(Arc::new(UpstreamAuth { credentials: credentials?, means: means? }))
}

/// A route has its own `tls` toward the same servers: it must be as good.
pub(super) fn check_again(item: Item<'_>, auth: Option<&Arc<UpstreamAuth>>, tls: &UpstreamTls) {
    let Some(auth) = auth else { return };
    let is_safe = !auth.means.iter().any(|means| means.needs_proof()) && tls.is_required();
    if !tls.authenticates() && !is_safe {
        item.fault("this upstream's `auth` needs a server that proves who it is: tls = \"verify\"");
    }
}

fn trust(tls: Option<Item<'_>>) -> Trust {
    match tls.and_then(tls::mode).and_then(Item::as_text) {
        Some("verify" | "dane") => Trust::Proven,
        Some("require") => Trust::Encrypted,
        _ => Trust::None,
    }
}

fn shows_certificate(tls: Option<Item<'_>>) -> bool {
    let table = tls.filter(|item| item.is_table()).and_then(|item| item.section("tls"));
    table.is_some_and(|mut section| section.item("certificate").is_some())
}

/// One mechanism and no other.
fn chosen(item: Item<'_>, trust: Trust, tls: Option<Item<'_>>) -> Option<Means> {
    let names = Means::ALL.map(|means| (means.name(), means));
    let means = item.choice(&names)?;
    if means.needs_proof() && trust == Trust::Encrypted {
        item.fault(format!(
            "{} needs a server that proves who it is: tls = \"verify\"; with \"require\" only SCRAM-SHA-256 is safe",
            means.name()
        ));
    }
    if means == Means::External && !shows_certificate(tls) {
        item.fault(
            "EXTERNAL needs a certificate to show: tls = { mode = \"verify\", certificate = …, key = … }",
        );
    }
    Some(means)
}

/// The certificate says who we are; a name, for whom we want to speak.
fn without_password(section: &mut Section<'_>) -> Option<Credentials> {
    if let Some(file) = section.item("password_file") {
        file.fault("EXTERNAL has no password: the certificate says who we are");
    }
    let user = section.item("user").map_or(Some(String::new()), |item| item.parse(name))?;
    Some(Credentials { user, password: Secret::new(b"") })
}

fn with_password(section: &mut Section<'_>, outside: &dyn Outside) -> Option<Credentials> {
    let user = section.required("user").and_then(|item| item.parse(name));
    let password = section.required("password_file").and_then(|item| password(item, outside));
    Some(Credentials { user: user?, password: password? })
}

pub(super) fn name(text: &str) -> Result<String, String> {
    if is_word(text) {
        Ok(text.to_owned())
    } else {
        Err("a name has 1 to 255 bytes and no control characters".to_owned())
    }
}

/// The first line of the file.
pub(super) fn password(item: Item<'_>, outside: &dyn Outside) -> Option<Secret> {
    let bytes = tls::file(item, "password_file", PASSWORD_FILE_BYTES_MAX, outside)?;
    let bytes = Zeroizing::new(bytes);
    let shown = outside.shown(item.as_text().unwrap_or_default());
    let fault = |why: &str| {
        item.fault(format!("password_file {shown}: {why}"));
        None
    };
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.len() {
        0 => fault("its first line is empty; the password stands there"),
        1..=WORD_BYTES_MAX if str::from_utf8(line).is_err() => {
            fault("the password in its first line is not UTF-8")
        }
        1..=WORD_BYTES_MAX if line.contains(&0) => fault("the password in its first line has a NUL"),
        1..=WORD_BYTES_MAX => Some(Secret::new(line)),
        _ => fault("the password in its first line has more than 255 bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Files;
    use super::*;
    use crate::base::document::Faults;
    use toml::de::DeTable;

    const FOLDER: Files = Files(&[
        ("secret", b" pen cil \r\nmore\n"),
        ("bare", b"pencil"),
        ("empty", b"\npencil\n"),
        ("long", &[b'x'; 256]),
        ("latin", b"p\xe9ncil\n"),
        ("nul", b"pen\0cil\n"),
    ]);

    fn read(text: &str) -> (Option<Arc<UpstreamAuth>>, Vec<String>) {
        let faults = Faults::new(text);
        let document = DeTable::parse(text).unwrap();
        let mut root = Section::root(document.get_ref(), &faults);
        let auth = upstream(root.item("auth"), root.item("tls"), &FOLDER);
        let line = |fault: crate::base::document::Fault| format!("{}: {}", fault.position, fault.message);
        (auth, faults.into_list().into_iter().map(line).collect())
    }

    #[track_caller]
    fn check(tls: &str, auth: &str, password: &str, means: &[Means]) {
        let (read, faults) = read(&format!("tls = {tls}\nauth = {{ {auth} }}\n"));
        assert!(faults.is_empty(), "{faults:?}");
        let read = read.unwrap();
        let Credentials { user, password: is } = &read.credentials;
        assert_eq!(
            (user.as_str(), is.as_bytes(), read.means.as_slice()),
            ("ann", password.as_bytes(), means)
        );
    }

    #[test]
    fn a_name_a_password_and_what_the_server_has() {
        let both = &[Means::ScramSha256, Means::Plain];
        check("\"verify\"", "user = \"ann\", password_file = \"secret\"", " pen cil ", both);
        check(
            "{ mode = \"verify\", ca = \"x\" }",
            "user = \"ann\", password_file = \"bare\"",
            "pencil",
            both,
        );
        let scram = &both[..1];
        check("\"require\"", "user = \"ann\", password_file = \"bare\"", "pencil", scram);
        for (name, means) in [("PLAIN", Means::Plain), ("SCRAM-SHA-256", Means::ScramSha256)] {
            let auth = format!("user = \"ann\", password_file = \"bare\", mechanism = \"{name}\"");
            check("\"verify\"", &auth, "pencil", &[means]);
        }
        let tls = "{ mode = \"verify\", certificate = \"a\", key = \"b\" }";
        check(tls, "user = \"ann\", mechanism = \"EXTERNAL\"", "", &[Means::External]);
        let alone = read(&format!("tls = {tls}\nauth = {{ mechanism = \"EXTERNAL\" }}\n"));
        assert_eq!(alone.0.map(|auth| auth.credentials.user.clone()), Some(String::new()));
        assert_eq!(read("tls = \"verify\"\n"), (None, Vec::new()));
    }

    #[track_caller]
    fn check_faults(tls: &str, auth: &str, want: &[&str]) {
        let (_, faults) = read(&format!("{tls}\nauth = {{ {auth} }}\n"));
        let fits = faults.len() == want.len() && faults.iter().zip(want).all(|(is, want)| is.contains(want));
        assert!(fits, "{tls} {auth}: {faults:#?}");
        assert!(!faults.concat().contains("pen"), "{faults:?}");
    }

    #[test]
    fn a_password_goes_only_where_tls_is_sure() {
        let usual = "user = \"ann\", password_file = \"bare\"";
        for tls in ["", "tls = \"off\"", "tls = \"offer\"", "tls = { mode = \"offer\", certificate = \"a\" }"]
        {
            check_faults(tls, usual, &["2:8: a password goes only where TLS is sure"]);
        }
        let plain = format!("{usual}, mechanism = \"PLAIN\"");
        check_faults("tls = \"require\"", &plain, &["2:60: PLAIN needs a server that proves who it is"]);
        check_faults(
            "tls = \"require\"",
            "mechanism = \"EXTERNAL\"",
            &["2:22: EXTERNAL needs a server", "2:22: EXTERNAL needs a certificate to show"],
        );
        check_faults("tls = \"verify\"", "mechanism = \"EXTERNAL\"", &["2:22: EXTERNAL needs a certificate"]);
    }

    #[test]
    fn a_route_has_no_weaker_tls() {
        let check = |means: &str, again: &str| {
            let auth = format!("user = \"ann\", password_file = \"bare\", mechanism = \"{means}\"");
            let text = format!("tls = \"verify\"\nauth = {{ {auth} }}\nagain = \"{again}\"\n");
            let (faults, document) = (Faults::new(&text), DeTable::parse(&text).unwrap());
            let mut root = Section::root(document.get_ref(), &faults);
            let auth = upstream(root.item("auth"), root.item("tls"), &FOLDER);
            let again = root.item("again").unwrap();
            check_again(again, auth.as_ref(), &tls::upstream(Some(again), &FOLDER));
            faults.into_list().into_iter().map(|fault| fault.message).collect::<String>()
        };
        for (means, again, is_good) in [
            ("PLAIN", "off", false),
            ("PLAIN", "offer", false),
            ("PLAIN", "require", false),
            ("SCRAM-SHA-256", "offer", false),
            ("SCRAM-SHA-256", "require", true),
        ] {
            let told = check(means, again);
            assert_eq!(!told.contains("proves who it is"), is_good, "{means} {again}: {told}");
        }
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let verify = "tls = \"verify\"";
        let file = |name: &str| format!("user = \"ann\", password_file = \"{name}\"");
        check_faults(verify, "", &["`user` is missing in auth", "`password_file` is missing in auth"]);
        for (name, why) in [
            ("none", "no such file"),
            ("empty", "its first line is empty"),
            ("long", "has more than 255 bytes"),
            ("latin", "is not UTF-8"),
            ("nul", "has a NUL"),
        ] {
            check_faults(verify, &file(name), &[&format!("2:40: password_file /etc/postern/{name}: ")]);
            check_faults(verify, &file(name), &[why]);
        }
        check_faults(verify, "user = \"\", password_file = \"bare\"", &["a name has 1 to 255 bytes"]);
        check_faults(verify, "user = \"a\\tb\", password_file = \"bare\"", &["no control characters"]);
        check_faults(
            verify,
            &format!("{}, mechanism = \"LOGIN\"", file("bare")),
            &["`LOGIN` is not known here"],
        );
        check_faults(verify, &format!("{}, mecanism = \"PLAIN\"", file("bare")), &["unknown key `mecanism`"]);
        let tls = "tls = { mode = \"verify\", certificate = \"a\" }";
        check_faults(
            tls,
            "password_file = \"bare\", mechanism = \"EXTERNAL\"",
            &["EXTERNAL has no password"],
        );
    }
}
