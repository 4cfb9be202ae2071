//! Rows: what the DNS says, what is set, and where mail goes then.

use super::mta_sts::Policy;
use super::*;
use crate::policy::settings::UpstreamIndex;
use crate::policy::tls::TowardServer;
use crate::tls::client_policy::Authentication;

/// Rows of `name KIND value…`; `~` in front of a row: the answer was not validated. FAILS: no answer of that kind.
fn known(zone: &str) -> Known {
    let mut known = Known::default();
    for row in zone.split('\n').map(str::trim).filter(|row| !row.is_empty()) {
        let (is_secure, row) = row.strip_prefix('~').map_or((true, row), |row| (false, row));
        let mut words = row.split_whitespace();
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        let records: Vec<_> = words.collect();
        let kind_of = |text: &str| match text {
            "MX" => Kind::Mx,
            "A" => Kind::A,
            "AAAA" => Kind::Aaaa,
            "TLSA" => Kind::Tlsa,
            _ => panic!("{text}"),
        };
        let query = Query::new(Name::parse(name).unwrap(), kind_of(kind));
        let answer = match records[..] {
            ["FAILS"] => Answer::Failed,
            ["NXDOMAIN"] => Answer::NotFound,
            ["NODATA"] => Answer::NoData,
            _ => Answer::Records {
                records: records.iter().map(|text| record(query.kind, text)).collect(),
                is_secure,
            },
        };
        known.learn(query, answer);
    }
    known
}

fn record(kind: Kind, text: &str) -> Record {
    match kind {
        Kind::A => Record::A(text.parse().unwrap()),
        Kind::Aaaa => Record::Aaaa(text.parse().unwrap()),
        Kind::Mx => {
            let (preference, exchange) = text.split_once('/').unwrap();
            Record::Mx { preference: preference.parse().unwrap(), exchange: Name::parse(exchange) }
        }
        Kind::Tlsa => {
            let numbers: Vec<u8> = text.split('/').map(|number| number.parse().unwrap()).collect();
            let [usage, selector, matching, octet] = numbers[..] else { panic!("{text}") };
            Record::Tlsa { usage, selector, matching, data: vec![octet; 32] }
        }
        Kind::Txt | Kind::Ptr => panic!("{text}"),
    }
}

fn plain() -> ClientPolicy {
    ClientPolicy::new(Authentication::None, None).unwrap()
}

fn toward() -> TowardServer {
    TowardServer { policy: plain(), name: None }
}

fn settings() -> Settings {
    Settings {
        port: 25,
        private: vec!["10.0.0.0/8".parse().unwrap()],
        mta_sts_port: None,
        connections: 1,
        named: plain(),
    }
}

/// What is found, as text; what the DNS was not asked in the row is asked as absent.
fn found(domain: &str, zone: &str, tls: &UpstreamTls, policy: Option<&str>) -> String {
    let settings = settings();
    let rules = Rules { hostname: "Relay.example", mx: Some(&settings), servers: &[], tls };
    let policy = policy.map(|text| Policy::parse(text.as_bytes()).unwrap());
    let inquiry = OfDomain { upstream: UpstreamIndex(0).0, domain: domain.to_owned() };
    let mut known = known(zone);
    for _ in 0..8 {
        match inquiry.evaluate(&rules, policy.as_ref(), &known) {
            Ok(Ok(hosts)) => return shown(&hosts),
            Ok(Err(nowhere)) => return format!("{nowhere:?}"),
            Err(Missing(queries)) => {
                queries.into_iter().for_each(|query| known.learn(query, Answer::NoData));
            }
        }
    }
    panic!("still asking")
}

fn shown(hosts: &Hosts) -> String {
    let show = |host: &Host| {
        let security = match &host.security {
            Security::AsSet => "as-set".to_owned(),
            Security::Encrypted => "encrypted".to_owned(),
            Security::Named => "named".to_owned(),
            Security::Dane(records) => format!("dane*{}", records.len()),
        };
        let name = host.name.as_deref().unwrap_or("-");
        format!("{} {name} {} {security}", host.preference, host.address)
    };
    hosts.hosts.iter().map(show).collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn check(domain: &str, zone: &str, wanted: &str) {
    assert_eq!(found(domain, zone, &UpstreamTls::Offer(toward()), None), wanted, "{domain} {zone}");
}

#[test]
fn exchangers_come_in_their_order_and_with_all_addresses() {
    let zone = "a.test MX 20/b.test 10/c.test\nb.test A 192.0.2.2 192.0.2.1\nc.test AAAA 2001:db8::1\n\
                c.test A 192.0.2.3";
    let wanted = "10 c.test 192.0.2.3:25 as-set, 10 c.test [2001:db8::1]:25 as-set, \
                  20 b.test 192.0.2.1:25 as-set, 20 b.test 192.0.2.2:25 as-set";
    check("a.test", zone, wanted);
    check("A.Test.", zone, wanted);
    let other = zone.replace("20/b.test 10/c.test", "10/c.test 20/b.test");
    check("a.test", &other.replace("192.0.2.2 192.0.2.1", "192.0.2.1 192.0.2.2"), wanted);
}

#[test]
fn a_domain_without_exchangers_is_its_own() {
    check("a.test", "a.test MX NODATA\na.test A 192.0.2.1", "0 a.test 192.0.2.1:25 as-set");
    check("a.test", "a.test MX NODATA", "NoHost");
    check("a.test", "a.test MX 10/b.test", "NoHost");
    check("a.test", "a.test MX NXDOMAIN", "NoDomain");
    check("a.test", "a.test MX FAILS", "Failed");
    check("a.test", "a.test MX 10/b.test\nb.test A FAILS", "Failed");
    check("", "", "NoDomain");
    check("a..test", "", "NoDomain");
    check("b\u{fc}cher.test", "xn--bcher-kva.test A 192.0.2.1", "0 xn--bcher-kva.test 192.0.2.1:25 as-set");
}

#[test]
fn null_mx_takes_no_mail() {
    check("a.test", "a.test MX 0/.", "NullMx");
    // RFC 7505 §3: beside others it means nothing.
    check("a.test", "a.test MX 0/. 5/b.test\nb.test A 192.0.2.1", "5 b.test 192.0.2.1:25 as-set");
}

#[test]
fn mail_does_not_come_back_to_us() {
    let zone = "b.test A 192.0.2.1\nrelay.example A 192.0.2.9\nc.test A 192.0.2.3\n";
    let with = |mx: &str| format!("{zone}a.test MX {mx}");
    check("a.test", &with("10/relay.example 20/b.test"), "Loop");
    check("a.test", &with("10/b.test 20/relay.example 30/c.test"), "10 b.test 192.0.2.1:25 as-set");
    check("a.test", &with("10/b.test 10/relay.example"), "Loop");
}

#[test]
fn only_hosts_of_the_internet_get_mail() {
    check("a.test", "a.test A 127.0.0.1", "Unreachable");
    check("a.test", "a.test A 10.0.0.1", "0 a.test 10.0.0.1:25 as-set");
    check("a.test", "a.test A 192.168.0.1 192.0.2.1", "0 a.test 192.0.2.1:25 as-set");
    check("[127.0.0.1]", "", "Unreachable");
    check("[192.0.2.1]", "", "0 - 192.0.2.1:25 as-set");
    check("[IPv6:2001:db8::1]", "", "0 - [2001:db8::1]:25 as-set");
    check("[2001:db8::1]", "", "NoDomain");
}

const TLSA: &str = "a.test MX 10/b.test\nb.test A 192.0.2.1\n";

#[test]
fn tlsa_records_count_where_all_that_led_to_them_is_validated() {
    let record = "_25._tcp.b.test TLSA 3/1/1/7 3/1/1/8";
    check("a.test", &format!("{TLSA}{record}"), "10 b.test 192.0.2.1:25 dane*2");
    check("a.test", &format!("~{TLSA}{record}"), "10 b.test 192.0.2.1:25 as-set");
    let insecure = TLSA.replace("b.test A", "~b.test A");
    check("a.test", &format!("{insecure}{record}"), "10 b.test 192.0.2.1:25 as-set");
    check("a.test", &format!("{TLSA}~{record}"), "10 b.test 192.0.2.1:25 as-set");
    // RFC 7672 §2.2: none usable.
    check("a.test", &format!("{TLSA}_25._tcp.b.test TLSA 1/1/1/7"), "10 b.test 192.0.2.1:25 encrypted");
    // §2.1.3: somebody keeps us from knowing.
    check("a.test", &format!("{TLSA}_25._tcp.b.test TLSA FAILS"), "Failed");
    let two =
        "a.test MX 10/b.test 20/c.test\nb.test A 192.0.2.1\nc.test A 192.0.2.2\n_25._tcp.b.test TLSA FAILS";
    check("a.test", two, "20 c.test 192.0.2.2:25 as-set");
    check("a.test", "a.test A 192.0.2.1\n_25._tcp.a.test TLSA 2/0/1/1", "0 a.test 192.0.2.1:25 dane*1");
}

/// RFC 8689 §8.2: names of hosts are proven by the DNS or by a policy.
#[test]
fn whose_hosts_they_are_is_certain_or_not() {
    let certain = |zone: &str, policy: Option<&str>| {
        let settings = settings();
        let tls = UpstreamTls::Verify(toward());
        let rules = Rules { hostname: "relay.example", mx: Some(&settings), servers: &[], tls: &tls };
        let policy = policy.map(|text| Policy::parse(text.as_bytes()).unwrap());
        let inquiry = OfDomain { upstream: 0, domain: "a.test".to_owned() };
        let absent = "\nb.test AAAA NODATA\n_25._tcp.b.test TLSA NODATA";
        let known = known(&format!("{zone}{absent}"));
        inquiry.evaluate(&rules, policy.as_ref(), &known).unwrap().unwrap().is_certain
    };
    let insecure = "~a.test MX 10/b.test\n~b.test A 192.0.2.1";
    assert!(certain(TLSA, None) && !certain(insecure, None));
    assert!(certain(insecure, Some(&policy("enforce", "b.test"))));
    assert!(!certain(insecure, Some(&policy("testing", "b.test"))));
}

fn policy(mode: &str, mx: &str) -> String {
    format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 86400\n")
}

#[test]
fn an_enforced_policy_chooses_hosts_and_asks_for_their_names() {
    let zone = "a.test MX 10/b.test 20/mx.a.test\nb.test A 192.0.2.1\nmx.a.test A 192.0.2.2";
    let offer = UpstreamTls::Offer(toward());
    for (mode, mx, wanted) in [
        ("enforce", "*.a.test", "20 mx.a.test 192.0.2.2:25 named"),
        ("enforce", "b.test", "10 b.test 192.0.2.1:25 named"),
        ("enforce", "c.test", "NotInPolicy"),
        ("testing", "c.test", "10 b.test 192.0.2.1:25 as-set, 20 mx.a.test 192.0.2.2:25 as-set"),
        ("none", "c.test", "10 b.test 192.0.2.1:25 as-set, 20 mx.a.test 192.0.2.2:25 as-set"),
    ] {
        assert_eq!(found("a.test", zone, &offer, Some(&policy(mode, mx))), wanted, "{mode} {mx}");
    }
    // What is ours counts as ours, though the policy does not name it: b.test would send it back.
    let ours = zone.replace("10/b.test", "10/relay.example 15/b.test");
    assert_eq!(found("a.test", &ours, &offer, Some(&policy("enforce", "b.test"))), "Loop");
    // RFC 8461 §2: it does not make good for TLSA records.
    let both = format!("{zone}\n_25._tcp.b.test TLSA 3/1/1/7");
    let enforced = policy("enforce", "b.test");
    assert_eq!(found("a.test", &both, &offer, Some(&enforced)), "10 b.test 192.0.2.1:25 dane*1");
    let unusable = format!("{zone}\n_25._tcp.b.test TLSA 0/0/1/7");
    assert_eq!(found("a.test", &unusable, &offer, Some(&enforced)), "10 b.test 192.0.2.1:25 named");
}

#[test]
fn what_is_set_is_the_least() {
    let verify = UpstreamTls::Verify(toward());
    let dane = UpstreamTls::Dane(toward());
    assert_eq!(found("a.test", TLSA, &verify, None), "10 b.test 192.0.2.1:25 named");
    assert_eq!(found("a.test", TLSA, &dane, None), "NoTlsa");
    let record = format!("{TLSA}_25._tcp.b.test TLSA 3/1/1/7");
    assert_eq!(found("a.test", &record, &verify, None), "10 b.test 192.0.2.1:25 dane*1");
    assert_eq!(found("a.test", &record, &dane, None), "10 b.test 192.0.2.1:25 dane*1");
    let unusable = format!("{TLSA}_25._tcp.b.test TLSA 1/1/1/7");
    assert_eq!(found("a.test", &unusable, &dane, None), "NoTlsa");
    for tls in [verify, dane] {
        assert_eq!(found("[192.0.2.1]", "", &tls, None), "NoName");
    }
}

#[test]
fn named_servers_are_proven_under_their_name() {
    let server = |port: u16| Server { address: ([192, 0, 2, 1], port).into(), weight: 2, rank: 0 };
    let servers = [server(25), server(2525)];
    let name = Some("mx.a.test".into());
    let tls = UpstreamTls::Dane(TowardServer { policy: plain(), name });
    let rules = Rules { hostname: "relay.example", mx: None, servers: &servers, tls: &tls };
    let inquiry = OfDomain { upstream: 0, domain: "whatever.test".to_owned() };
    let found = |zone: &str| match inquiry.evaluate(&rules, None, &known(zone)) {
        Ok(Ok(hosts)) => shown(&hosts),
        other => format!("{other:?}"),
    };
    let one = "_25._tcp.mx.a.test TLSA 3/1/1/1\n_2525._tcp.mx.a.test TLSA ";
    assert_eq!(found(&format!("{one}NODATA")), "0 mx.a.test 192.0.2.1:25 dane*1");
    let both = "0 mx.a.test 192.0.2.1:25 dane*1, 0 mx.a.test 192.0.2.1:2525 dane*1";
    assert_eq!(found(&format!("{one}3/1/1/2")), both);
    assert_eq!(
        found(&format!("~{}", one.replace('\n', "\n~")).replace("TLSA ", "TLSA 3/1/1/3 ")),
        "Ok(Err(NoTlsa))"
    );
    assert_eq!(
        found(&one.replace("3/1/1/1", "FAILS").replace("TLSA \n", "").replacen(
            "2525._tcp.mx.a.test TLSA ",
            "2525._tcp.mx.a.test TLSA FAILS",
            1
        )),
        "Ok(Err(Failed))"
    );
}

#[test]
fn only_the_domain_itself_can_make_it_final() {
    for nowhere in [
        Nowhere::NullMx,
        Nowhere::NoDomain,
        Nowhere::NoHost,
        Nowhere::Loop,
        Nowhere::Unreachable,
        Nowhere::Failed,
        Nowhere::NotInPolicy,
        Nowhere::NoTlsa,
        Nowhere::NoName,
        Nowhere::Uncertain,
    ] {
        let code = nowhere.reply().code().to_u16();
        let is_temporary = matches!(nowhere, Nowhere::Failed | Nowhere::NotInPolicy | Nowhere::NoTlsa);
        assert_eq!(is_temporary, (400..500).contains(&code), "{nowhere:?} {code}");
    }
}
