use super::{AuthResults, Removal, is_forged};
use crate::sender::dkim::{Algorithm, Evaluation, Identity, Outcome, Reason};
use crate::sender::dns::Name;
use crate::sender::{arc, dkim};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

#[test]
fn results_are_written_in_lines_of_their_own() {
    let field = AuthResults::new("mx.example.org")
        .method("spf", "pass", None)
        .property("smtp.mailfrom", b"a@example.com")
        .method("dkim", "fail", Some("body hash does not verify"))
        .property("header.d", b"example.com")
        .property("header.s", b"a-selector-with-a-rather-long-name")
        .method("dmarc", "none", None)
        .finish();
    let want = "Authentication-Results: mx.example.org;\r\n\tspf=pass smtp.mailfrom=a@example.com;\r\n\t\
                dkim=fail reason=\"body hash does not verify\" header.d=example.com\r\n\t\
                header.s=a-selector-with-a-rather-long-name;\r\n\tdmarc=none\r\n";
    assert_eq!(field, want);
    let none = AuthResults::new("mx.example.org").finish();
    assert_eq!(none, "Authentication-Results: mx.example.org; none\r\n");
}

fn evaluation() -> Evaluation {
    let domain = Name::parse("example.org").unwrap();
    Evaluation {
        outcome: Outcome::Pass,
        reason: None,
        domain: Some(domain.clone()),
        selector: Some("sel".to_owned()),
        identity: Some(Identity { local: b"a b\r\n".to_vec(), domain }),
        algorithm: Some(Algorithm::RsaSha256),
        is_testing: false,
        octets_unsigned: 0,
        has_unsigned_from: false,
    }
}

#[track_caller]
fn check_dkim(found: &Evaluation, want: &str) {
    let field = AuthResults::new("id").dkim(found).finish().replace("\r\n\t", " ");
    assert_eq!(field, format!("Authentication-Results: id; {want}\r\n"));
}

#[test]
fn a_signature_is_told_with_who_made_it() {
    let who = "header.d=example.org header.i=\"a b??@example.org\" header.s=sel header.a=rsa-sha256";
    check_dkim(&evaluation(), &format!("dkim=pass {who}"));
    let open = Evaluation { octets_unsigned: 1, ..evaluation() };
    check_dkim(&open, &format!("dkim=pass reason=\"part of the body is not signed\" {who}"));
    let two = Evaluation { has_unsigned_from: true, ..evaluation() };
    check_dkim(&two, &format!("dkim=pass reason=\"a From field is not signed\" {who}"));
    let reason = Reason::TagMissing("d");
    let unread = dkim::Unread { reason, domain: None }.evaluate();
    check_dkim(&unread, "dkim=neutral reason=\"no d= tag\"");
}

#[test]
fn a_chain_is_told_with_how_old_it_is() {
    let found = |outcome, fault, oldest_pass| {
        let found = arc::Evaluation { outcome, fault, sets: 2, oldest_pass, sealers: Vec::new() };
        AuthResults::new("id").arc(&found).finish().replace("\r\n\t", " ")
    };
    let pass = found(Outcome::Pass, None, Some(0));
    assert_eq!(pass, "Authentication-Results: id; arc=pass header.oldest-pass=0\r\n");
    let fault = arc::Fault::Seal(2, Reason::KeyMissing);
    let fail = found(Outcome::Fail, Some(fault), None);
    assert_eq!(fail, "Authentication-Results: id; arc=fail reason=\"seal 2: no key\"\r\n");
}

#[track_caller]
fn check_value(value: &[u8], want: &str) {
    let field = AuthResults::new("id").method("auth", "pass", None).property("smtp.auth", value).finish();
    let text = field.strip_prefix("Authentication-Results: id;\r\n\tauth=pass").unwrap();
    assert_eq!(text.trim_start().strip_prefix("smtp.auth=").unwrap(), format!("{want}\r\n"));
}

#[test]
fn no_octet_of_a_value_ends_it() {
    check_value(b"a.b@example.org", "a.b@example.org");
    check_value(b"", "\"\"");
    check_value(b"a b", "\"a b\"");
    check_value(b"a;spf=pass", "\"a;spf=pass\"");
    check_value(b"a@b@c", "\"a@b@c\"");
    check_value(b"\"\\", "\"\\\"\\\\\"");
    check_value(b"a\r\nX: y", "\"a??X: y\"");
    check_value(b"a(b)\0\x1b\xff", "\"a(b)???\"");
    check_value("x".repeat(300).as_bytes(), &format!("\"{}...\"", "x".repeat(256)));
}

#[test]
fn our_name_is_known_in_any_writing() {
    for value in [
        "mx.example.org; spf=pass",
        " MX.Example.ORG;",
        "\r\n\tmx.example.org;",
        "mx.example.org",
        "mx.example.org 1; x",
        "(a (b) \\) c) mx.example.org (d);",
        "\"mx.example.org\";",
        "\"mx\\.example.org\" ;",
        "mx.example.org.;",
        "mx.example.org(1);",
        "\"mx.\r\n example.org\";",
        // What cannot be read, but somebody may read as ours.
        "(a mx.example.org;",
        "\"mx.example.org;",
        "a mx.example.org;",
        ";mx.example.org",
        "=mx.exam\r\n ple.org;",
        "mx.example.org=spf",
        "<mx.example.org>;",
    ] {
        for name in ["Authentication-Results:", "authentication-RESULTS \t:"] {
            assert!(is_forged(format!("{name}{value}\r\n").as_bytes(), "mx.example.org"), "{name}{value}");
        }
    }
}

#[test]
fn others_fields_are_let_be() {
    for field in [
        "Authentication-Results: mx.example.com; spf=pass (mx.example.org)",
        "Authentication-Results: xmx.example.org; none",
        "Authentication-Results: (mx.example.org) other; none",
        "Authentication-Results: ; spf=pass",
        "Authentication-Results mx.example.org",
        "X-Authentication-Results: mx.example.org; none",
        "ARC-Authentication-Results: i=1; mx.example.org; none",
        "Subject: mx.example.org",
    ] {
        assert!(!is_forged(format!("{field}\r\n").as_bytes(), "mx.example.org"), "{field}");
    }
}

fn removed(pieces: &[&[u8]]) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let mut removal = Removal::new("us");
    pieces.iter().for_each(|piece| removal.push(piece, &mut out));
    let count = removal.finish(&mut out);
    (out, count)
}

#[track_caller]
fn check(content: &str, want: &str, count: usize) {
    for cut in 0..=content.len() {
        let (before, behind) = content.as_bytes().split_at(cut);
        let (out, found) = removed(&[before, behind]);
        assert_eq!((String::from_utf8_lossy(&out).as_ref(), found), (want, count), "cut at {cut}");
    }
    let octets: Vec<&[u8]> = content.as_bytes().chunks(1).collect();
    assert_eq!(removed(&octets), (want.as_bytes().to_vec(), count));
}

#[test]
fn forged_fields_are_taken_out_and_nothing_else() {
    check(
        "A: b\r\n\r\nAuthentication-Results: us; x\r\n",
        "A: b\r\n\r\nAuthentication-Results: us; x\r\n",
        0,
    );
    check("Authentication-Results: us; x\r\nA: b\r\n\r\nc", "A: b\r\n\r\nc", 1);
    check(
        "A: b\r\nauthentication-results :\r\n us;\r\n\tx\r\nC: d\r\n e\r\n\r\n",
        "A: b\r\nC: d\r\n e\r\n\r\n",
        1,
    );
    check("Authentication-Results: us; x\r\nAuthentication-Results: us; y\r\n\r\n", "\r\n", 2);
    check("Authentication-Results: them;\r\n us\r\n\r\n", "Authentication-Results: them;\r\n us\r\n\r\n", 0);
    check(
        "Authentication-Result: us;\r\nAuth\r\nAuthentication-Results\r\nA : us\r\n\r\n",
        "Authentication-Result: us;\r\nAuth\r\nAuthentication-Results\r\nA : us\r\n\r\n",
        0,
    );
    check("Authentication-Results\r\n : us\r\n\r\n", "\r\n", 1);
    check(
        "Authentication-Results\r\nAuthentication-Results: us\r\n\r\n",
        "Authentication-Results\r\n\r\n",
        1,
    );
    check("Authentication-Results\r\n\r\n: us\r\n", "Authentication-Results\r\n\r\n: us\r\n", 0);
    check("\r\nAuthentication-Results: us\r\n", "\r\nAuthentication-Results: us\r\n", 0);
    check(" Authentication-Results: us\r\n\r\n", " Authentication-Results: us\r\n\r\n", 0);
    check("A: b\nAuthentication-Results: us\r\n\r\n", "A: b\nAuthentication-Results: us\r\n\r\n", 0);
}

#[test]
fn content_may_end_anywhere() {
    check("", "", 0);
    check("Authentication-Res", "Authentication-Res", 0);
    check("Authentication-Results: us", "", 1);
    check("Authentication-Results: us\r\n", "", 1);
    check("Authentication-Results: them\r\n", "Authentication-Results: them\r\n", 0);
    check("A: b\r", "A: b\r", 0);
}

#[test]
fn a_field_that_is_longer_than_any_honest_one_goes() {
    let long = format!("Authentication-Results: them; {}\r\nA: b\r\n\r\n", "x".repeat(70_000));
    assert_eq!(removed(&[long.as_bytes()]), (b"A: b\r\n\r\n".to_vec(), 1));
    let spaces = format!("Authentication-Results{}: us\r\nA: b\r\n\r\n", " ".repeat(70_000));
    assert_eq!(removed(&[spaces.as_bytes()]), (b"A: b\r\n\r\n".to_vec(), 1));
}

/// With all of it at hand, field after field.
fn naive(content: &str) -> String {
    let end = if content.starts_with("\r\n") {
        0
    } else {
        content.find("\r\n\r\n").map_or(content.len(), |at| at + 2)
    };
    let (header, rest) = content.split_at(end);
    let mut fields: Vec<String> = Vec::new();
    for line in header.split_inclusive("\r\n") {
        match fields.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => field.push_str(line),
            _ => fields.push(line.to_owned()),
        }
    }
    fields.retain(|field| !is_forged(field.as_bytes(), "us"));
    fields.concat() + rest
}

fn content() -> impl Strategy<Value = String> {
    let pieces = vec![
        "Authentication-Results",
        "authentication-",
        "results",
        ":",
        " us;",
        "them;",
        "\r\n",
        "\r\n",
        " ",
        "\t",
        "A: b",
        "(",
        "\"",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn streaming_removes_what_the_naive_reader_does(content in content(), size in 1_usize..20) {
        let pieces: Vec<&[u8]> = content.as_bytes().chunks(size).collect();
        prop_assert_eq!(String::from_utf8(removed(&pieces).0).unwrap(), naive(&content));
    }

    #[test]
    fn any_value_stays_one_value(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let field = AuthResults::new("us").method("auth", "pass", None).property("smtp.auth", &octets).finish();
        prop_assert!(field.bytes().all(|octet| matches!(octet, b' '..=b'~' | b'\r' | b'\n' | b'\t')));
        prop_assert_eq!(field.matches("\r\n").count(), field.matches("\r\n\t").count() + 1);
        let quotes = field.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        prop_assert!(quotes == 0 || quotes == 2);
        prop_assert!(quotes == 2 || !field[30..].contains(['(', ')', ',']));
    }
}
