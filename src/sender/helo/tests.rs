use std::net::IpAddr;

use proptest::prelude::proptest;

use super::super::zone::Zone;
use super::*;

const ROWS: &str = "
    good.test A 192.0.2.1
    good.test A 2001:db8::1
    other.test A 198.51.100.7
    six.test A 2001:db8::9
    broken.test FAILS
    empty.test TXT nothing
    mx.test MX good.test
    null.test MX .
    both.test MX .
    both.test MX good.test
    nulls.test MX .
    nulls.test MX .
    xn--bcher-kva.test A 192.0.2.1
    1.2.0.192.in-addr.arpa PTR good.test
    2.2.0.192.in-addr.arpa PTR good.test
    2.2.0.192.in-addr.arpa PTR broken.test
    3.2.0.192.in-addr.arpa PTR other.test
    3.2.0.192.in-addr.arpa PTR nowhere.test
    4.2.0.192.in-addr.arpa FAILS
    5.2.0.192.in-addr.arpa TXT nothing
    7.2.0.192.in-addr.arpa PTR nowhere.test
    7.2.0.192.in-addr.arpa PTR seven.test
    seven.test A 192.0.2.7
    1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR good.test
";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_name_counts_when_it_leads_back() {
    for (address, wanted, name) in [
        ("192.0.2.1", "pass", Some("good.test")),
        ("::ffff:192.0.2.1", "pass", Some("good.test")),
        ("2001:db8::1", "pass", Some("good.test")),
        ("192.0.2.7", "pass", Some("seven.test")),
        ("192.0.2.2", "temperror", None),
        ("192.0.2.3", "fail", None),
        ("192.0.2.4", "temperror", None),
        ("192.0.2.5", "none", None),
        ("192.0.2.6", "none", None),
    ] {
        let (found, _) = Zone::new(ROWS).run(|known| reverse(known, ip(address)));
        assert_eq!((found.name(), found.confirmed().map(Name::as_str)), (wanted, name), "{address}");
    }
    let (found, _) = Zone::new(ROWS).run(|known| reverse(known, ip("192.0.2.3")));
    assert_eq!(found, Reverse::Unconfirmed(Name::parse("other.test").unwrap()));
}

#[test]
fn no_more_than_ten_names_are_followed() {
    let rows: String = (0..40).map(|n| format!("9.2.0.192.in-addr.arpa PTR n{n}.test\n")).collect();
    let (found, asked) =
        Zone::new(&format!("{rows}n39.test A 192.0.2.9")).run(|known| reverse(known, ip("192.0.2.9")));
    assert_eq!((found.name(), asked.len()), ("fail", 1 + NAMES_MAX));
}

#[test]
fn greetings_are_compared_with_what_is_so() {
    let ours = Ours { names: &["mx.ours.test", "ours"], addresses: &[ip("203.0.113.1")] };
    let long = format!("{}.test", "x".repeat(64));
    for (helo, wanted) in [
        ("good.test", Greeting::Confirmed),
        ("GOOD.test.", Greeting::Confirmed),
        ("b\u{fc}cher.test", Greeting::Confirmed),
        ("other.test", Greeting::Elsewhere),
        ("six.test", Greeting::Elsewhere),
        ("nowhere.test", Greeting::NotFound),
        ("empty.test", Greeting::NotFound),
        ("mx.test", Greeting::NotFound),
        ("broken.test", Greeting::TempError),
        ("[192.0.2.1]", Greeting::Literal),
        ("[IPv6:::ffff:192.0.2.1]", Greeting::Literal),
        ("[192.0.2.2]", Greeting::ForeignLiteral),
        ("[ipv6:2001:db8::1]", Greeting::ForeignLiteral),
        ("[2001:db8::1]", Greeting::ForeignLiteral),
        ("[203.0.113.1]", Greeting::Ours),
        ("[192.0.2.1", Greeting::Malformed),
        ("[]", Greeting::Malformed),
        ("[good.test]", Greeting::Malformed),
        ("[IPv6:]", Greeting::Malformed),
        ("192.0.2.1", Greeting::BareAddress),
        ("2001:db8::1", Greeting::BareAddress),
        ("192.0.2", Greeting::Malformed),
        ("mx.ours.test", Greeting::Ours),
        ("MX.Ours.Test.", Greeting::Ours),
        ("ours", Greeting::Ours),
        ("localhost", Greeting::NotQualified),
        ("", Greeting::Malformed),
        (".", Greeting::Malformed),
        ("a..test", Greeting::Malformed),
        ("-a.test", Greeting::Malformed),
        ("good.test x", Greeting::Malformed),
        ("good.test\0", Greeting::Malformed),
        ("good.test\r\nRSET", Greeting::Malformed),
        (&long, Greeting::Malformed),
    ] {
        let (found, _) = Zone::new(ROWS).run(|known| greeting(known, ip("192.0.2.1"), helo, ours));
        assert_eq!(found, wanted, "{helo:?}");
    }
    // We may call ourselves what we are.
    let (found, _) = Zone::new(ROWS).run(|known| greeting(known, ip("203.0.113.1"), "mx.ours.test", ours));
    assert_eq!(found, Greeting::NotFound);
}

#[test]
fn a_domain_takes_mail_or_says_that_it_does_not() {
    for (domain, wanted) in [
        ("mx.test", MailDomain::Exchange),
        ("good.test", MailDomain::Address),
        ("six.test", MailDomain::Address),
        ("null.test", MailDomain::NullMx),
        ("both.test", MailDomain::Exchange),
        ("nulls.test", MailDomain::NoExchange),
        ("empty.test", MailDomain::NothingThere),
        ("nowhere.test", MailDomain::NotFound),
        ("broken.test", MailDomain::TempError),
    ] {
        let domain = Name::parse(domain).unwrap();
        assert_eq!(Zone::new(ROWS).run(|known| mail_domain(known, &domain)).0, wanted, "{domain}");
    }
}

#[test]
fn names_of_findings_differ() {
    let distinct =
        |names: &[&str]| names.iter().collect::<std::collections::HashSet<_>>().len() == names.len();
    assert!(distinct(&Greeting::ALL.map(Greeting::name)));
    assert!(distinct(&MailDomain::ALL.map(MailDomain::name)));
}

proptest! {
    /// What the DNS is asked for is a name of letters, digits, hyphens and underscores only.
    #[test]
    fn any_greeting_is_judged(helo in "\\PC{0,40}|[a-z0-9.:\\[\\]\\-_]{0,30}") {
        let (_, asked) = Zone::new(ROWS).run(|known| greeting(known, ip("192.0.2.1"), &helo, Ours::default()));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        assert!(asked.len() <= 2 && asked.iter().all(|query| query.name.as_str().bytes().all(is_plain)), "{asked:?}");
    }
}
