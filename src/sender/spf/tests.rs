use super::super::dns::Query;
use proptest::prelude::{Strategy, prop, proptest};

use super::super::zone::Zone;
use super::evaluation::{EXPLANATION_BYTES_MAX, NAMES_MAX, TERMS_MAX};
use super::{Identity, Input, Outcome, Problem, Spf, check_host};

/// Names that rows refer to.
const HOSTS: &str = "
    host.test A 192.0.2.1
    host.test A 2001:db8::1
    other.test A 198.51.100.7
    four.test A 192.0.2.9
    a.b-c.test A 192.0.2.1
    a:b/c.test A 192.0.2.1
    mail.test MX host.test
    mail.test MX other.test
    null.test MX .
    empty.test TXT nothing
    void-exchange.test MX nowhere.test
    half-exchange.test MX broken.test
    half-exchange.test MX host.test
    broken-exchange.test MX broken.test
    broken.test FAILS
    1.2.0.192.in-addr.arpa PTR fake.example.net
    1.2.0.192.in-addr.arpa PTR host.test
    1.2.0.192.in-addr.arpa PTR broken.test
    passes.test TXT v=spf1 +all
    fails.test TXT v=spf1 -all exp=why.test
    soft.test TXT v=spf1 ~all
    neutral.test TXT v=spf1 ?all
    default.test TXT v=spf1
    bad.test TXT v=spf1 moo
    twice.test TXT v=spf1 -all
    twice.test TXT v=spf1 +all
    why.test TXT Not for %{i} of %{d}.
    twowhys.test TXT one
    twowhys.test TXT two
";

fn input<'a>(ip: &str, sender: &'a str, helo: &'a str) -> Input<'a> {
    let (local_part, domain) = sender.rsplit_once('@').unwrap_or(("", ""));
    let ip = ip.parse().unwrap();
    Input {
        ip,
        local_part,
        domain,
        helo,
        receiver: "mx.receiver.test",
        unix_seconds: 1_700_000_000,
        explain: true,
    }
}

#[track_caller]
fn run(rows: &str, input: &Input<'_>) -> (Spf, Vec<Query>) {
    Zone::new(&format!("{HOSTS}{rows}")).run(|known| check_host(known, input))
}

/// One record at `d.test`.
#[track_caller]
fn of_record(record: &str, ip: &str) -> Spf {
    let rows = format!("d.test TXT {record}\nd.test A 192.0.2.1\nd.test MX host.test\n");
    run(&rows, &input(ip, "user@d.test", "helo.test")).0
}

#[track_caller]
fn check(ip: &str, rows: &[(&str, &str)]) {
    for (record, wanted) in rows {
        let spf = of_record(record, ip);
        assert_eq!(spf.outcome.name(), *wanted, "{record}: {spf:?}");
    }
}

#[track_caller]
fn check_problem(problem: Problem, records: &[&str]) {
    for record in records {
        let spf = of_record(record, "192.0.2.1");
        assert_eq!((spf.outcome, spf.problem), (problem.outcome(), Some(problem)), "{record}");
    }
}

#[test]
fn what_is_no_spf_record_is_passed_over() {
    check(
        "192.0.2.1",
        &[
            ("v=spf1", "neutral"),
            ("V=SPF1 -all", "fail"),
            ("v=spf1   -all", "fail"),
            ("v=spf1 -all   ", "fail"),
            ("v=spf10 -all", "none"),
            ("v=spf1\t-all", "none"),
            ("v=spf1,-all", "none"),
            ("v=spf2.0/mfrom -all", "none"),
            (" v=spf1 -all", "none"),
            ("spf1 -all", "none"),
            ("v = spf1 -all", "none"),
            ("\u{feff}v=spf1 -all", "none"),
        ],
    );
}

/// Each has one error, mostly behind what would match.
const BROKEN: &[&str] = &[
    // Terms that are none.
    "v=spf1 +all moo",
    "v=spf1 +all -",
    "v=spf1 +all --all",
    "v=spf1 +all +-all",
    "v=spf1 +all all.",
    "v=spf1 +all all:x.test",
    "v=spf1 +all all/8",
    "v=spf1 +all allx",
    "v=spf1 +all ip",
    "v=spf1 +all\t-all",
    "v=spf1 +all\r",
    "v=spf1 +all \u{e4}",
    "v=spf1 +all x=\u{e4}",
    "v=spf1 +all a:x\0.test",
    // Names.
    "v=spf1 +all include",
    "v=spf1 +all include:",
    "v=spf1 +all include:passes.test/24",
    "v=spf1 +all exists",
    "v=spf1 +all exists:",
    "v=spf1 +all a:",
    "v=spf1 +all a:test",
    "v=spf1 +all a:test.",
    "v=spf1 +all a:x.test..",
    "v=spf1 +all a:x.123",
    "v=spf1 +all a:192.0.2.1",
    "v=spf1 +all a:x.-test",
    "v=spf1 +all a:x.test-",
    "v=spf1 +all a:x.te_st",
    "v=spf1 +all a:x.test:25",
    "v=spf1 +all a,x.test",
    "v=spf1 +all mx:",
    "v=spf1 +all mx:x",
    "v=spf1 +all ptr:",
    "v=spf1 +all ptr/24",
    "v=spf1 +all ptr:x",
    // Lengths.
    "v=spf1 +all a/",
    "v=spf1 +all a//",
    "v=spf1 +all a/33",
    "v=spf1 +all a//129",
    "v=spf1 +all a/024",
    "v=spf1 +all a/+24",
    "v=spf1 +all a/24/64",
    "v=spf1 +all a/24//",
    "v=spf1 +all a//64/24",
    "v=spf1 +all a:x.test/999999999999",
    "v=spf1 +all mx/-1",
    "v=spf1 +all mx///64",
    // Networks.
    "v=spf1 +all ip4",
    "v=spf1 +all ip4:",
    "v=spf1 +all ip4/24",
    "v=spf1 +all ip4:192.0.2",
    "v=spf1 +all ip4:192.0.2.256",
    "v=spf1 +all ip4:192.0.2.01",
    "v=spf1 +all ip4:192.0.2.1/33",
    "v=spf1 +all ip4:192.0.2.1/",
    "v=spf1 +all ip4:192.0.2.1//32",
    "v=spf1 +all ip4:192.0.2.1:25",
    "v=spf1 +all ip4:2001:db8::1",
    "v=spf1 +all ip6:192.0.2.1",
    "v=spf1 +all ip6:2001:db8::1/129",
    "v=spf1 +all ip6:2001:db8:::1",
    "v=spf1 +all ip6:[2001:db8::1]",
    "v=spf1 +all ip6:fe80::1%eth0",
    // Modifiers.
    "v=spf1 +all redirect=",
    "v=spf1 +all redirect=test",
    "v=spf1 +all redirect:passes.test",
    "v=spf1 +all +redirect=passes.test",
    "v=spf1 redirect=passes.test redirect=passes.test",
    "v=spf1 +all exp=",
    "v=spf1 +all exp=-all",
    "v=spf1 +all exp=why.test EXP=why.test",
    "v=spf1 +all =x",
    "v=spf1 +all 1x=y",
    "v=spf1 +all x+y=z",
    "v=spf1 +all x:y=z",
    "v=spf1 +all x=%",
    "v=spf1 +all x=%{",
    // Macros.
    "v=spf1 +all a:%.test",
    "v=spf1 +all a:%a.test",
    "v=spf1 +all a:%{}.test",
    "v=spf1 +all a:%{x}.test",
    "v=spf1 +all a:%{d0}.test",
    "v=spf1 +all a:%{d2rr}.test",
    "v=spf1 +all a:%{dr2}.test",
    "v=spf1 +all a:%{d*}.test",
    "v=spf1 +all a:%{d .}.test",
    "v=spf1 +all a:%(d).test",
    "v=spf1 +all a:%{d.test",
    "v=spf1 +all a:%{d}test",
    "v=spf1 +all a:%{c}.test",
    "v=spf1 +all a:%{r}.test",
    "v=spf1 +all a:%{t}.test",
];

#[test]
fn one_error_anywhere_spoils_a_record() {
    check_problem(Problem::Syntax, BROKEN);
}

#[test]
fn what_the_grammar_allows_is_no_error() {
    check(
        "192.0.2.1",
        &[
            ("v=spf1 x=", "neutral"),
            ("v=spf1 x.y-z_1=a:b/c=d", "neutral"),
            ("v=spf1 x=%{d}%%%_%-", "neutral"),
            ("v=spf1 All", "pass"),
            ("v=spf1 IP4:192.0.2.1", "pass"),
            ("v=spf1 A:HOST.TEST", "pass"),
            ("v=spf1 a:host.test.", "pass"),
            ("v=spf1 a:a.b-c.test", "pass"),
            ("v=spf1 a:a:b/c.test", "pass"),
            ("v=spf1 a:x.xn--p1ai ?all", "neutral"),
            ("v=spf1 a:%{d}", "pass"),
            ("v=spf1 a:%{D1R}.test", "pass"),
            ("v=spf1 exists:%{d/}/24 ?all", "permerror"),
            ("v=spf1 a:%{d/}/32", "pass"),
            ("v=spf1 a:x%%", "neutral"),
            ("v=spf1 a:%{d99999999999999999999999}", "pass"),
            ("v=spf1 a/32//128", "pass"),
            ("v=spf1 a/0//0", "pass"),
        ],
    );
}

#[test]
fn networks_match_their_addresses() {
    check(
        "192.0.2.1",
        &[
            ("v=spf1 ip4:192.0.2.1 -all", "pass"),
            ("v=spf1 ip4:192.0.2.2 -all", "fail"),
            ("v=spf1 ip4:192.0.2.200/24 -all", "pass"),
            ("v=spf1 ip4:192.0.2.2/31 -all", "fail"),
            ("v=spf1 ip4:1.2.3.4/0 -all", "pass"),
            ("v=spf1 ip6:::/0 -all", "fail"),
            ("v=spf1 ip6:::ffff:192.0.2.1 -all", "fail"),
            ("v=spf1 ~ip4:192.0.2.1 -all", "softfail"),
            ("v=spf1 ?ip4:192.0.2.1 -all", "neutral"),
            ("v=spf1 -ip4:192.0.2.1 +all", "fail"),
            ("v=spf1 +ip4:192.0.2.1 -all", "pass"),
        ],
    );
    check(
        "2001:db8::1",
        &[
            ("v=spf1 ip6:2001:db8::1 -all", "pass"),
            ("v=spf1 ip6:2001:DB8:0::/32 -all", "pass"),
            ("v=spf1 ip6:2001:db9::/32 -all", "fail"),
            ("v=spf1 ip4:0.0.0.0/0 -all", "fail"),
            ("v=spf1 a:host.test -all", "pass"),
            ("v=spf1 a:host.test/0 -all", "pass"),
            ("v=spf1 a:four.test//0 -all", "fail"),
            ("v=spf1 mx:mail.test -all", "pass"),
        ],
    );
    check("::ffff:192.0.2.1", &[("v=spf1 ip4:192.0.2.1 -all", "pass"), ("v=spf1 ip6:::/0 -all", "fail")]);
}

#[test]
fn names_match_by_what_the_dns_has() {
    check(
        "192.0.2.1",
        &[
            ("v=spf1 a -all", "pass"),
            ("v=spf1 a:other.test -all", "fail"),
            ("v=spf1 a:four.test -all", "fail"),
            ("v=spf1 a:four.test/28 -all", "pass"),
            ("v=spf1 a:nowhere.test/0 -all", "fail"),
            ("v=spf1 a:empty.test -all", "fail"),
            ("v=spf1 a:broken.test -all", "temperror"),
            ("v=spf1 mx -all", "pass"),
            ("v=spf1 mx:mail.test -all", "pass"),
            ("v=spf1 mx:other.test -all", "fail"),
            ("v=spf1 mx:null.test/0 -all", "fail"),
            ("v=spf1 mx:void-exchange.test/0 -all", "fail"),
            ("v=spf1 mx:half-exchange.test -all", "pass"),
            ("v=spf1 mx:broken-exchange.test -all", "temperror"),
            ("v=spf1 mx:broken.test -all", "temperror"),
            ("v=spf1 ptr:host.test -all", "pass"),
            ("v=spf1 ptr:test -all", "permerror"),
            ("v=spf1 ptr:x.host.test -all", "fail"),
            ("v=spf1 ptr:st.test -all", "fail"),
            ("v=spf1 ptr:example.net -all", "fail"),
            ("v=spf1 exists:other.test -all", "pass"),
            ("v=spf1 exists:nowhere.test -all", "fail"),
            ("v=spf1 exists:broken.test -all", "temperror"),
            ("v=spf1 a:x..test -all", "fail"),
            (
                "v=spf1 exists:%{l}%{l}%{l}%{l}%{l}%{l}%{l}%{l}%{l}%{l}%{l}%{l}%{l}%{l}%{l}%{l}.test -all",
                "fail",
            ),
        ],
    );
    // Without a name of its own, and where that cannot be said.
    check("192.0.2.77", &[("v=spf1 ptr -all", "fail"), ("v=spf1 exists:%{p}.test -all", "fail")]);
    let unsure = "77.2.0.192.in-addr.arpa FAILS\nd.test TXT v=spf1 ptr -all\n";
    assert_eq!(run(unsure, &input("192.0.2.77", "user@d.test", "h.test")).0.outcome, Outcome::Fail);
}

#[test]
fn includes_and_redirects() {
    check(
        "192.0.2.1",
        &[
            ("v=spf1 include:passes.test -all", "pass"),
            ("v=spf1 -include:passes.test +all", "fail"),
            ("v=spf1 include:fails.test ~all", "softfail"),
            ("v=spf1 include:soft.test -all", "fail"),
            ("v=spf1 include:neutral.test -all", "fail"),
            ("v=spf1 include:default.test -all", "fail"),
            ("v=spf1 include:bad.test +all", "permerror"),
            ("v=spf1 include:twice.test +all", "permerror"),
            ("v=spf1 include:broken.test +all", "temperror"),
            ("v=spf1 include:nowhere.test +all", "permerror"),
            ("v=spf1 include:empty.test +all", "permerror"),
            ("v=spf1 include:x..test +all", "permerror"),
            ("v=spf1 redirect=passes.test", "pass"),
            ("v=spf1 redirect=soft.test", "softfail"),
            ("v=spf1 redirect=default.test", "neutral"),
            ("v=spf1 redirect=passes.test -all", "fail"),
            ("v=spf1 redirect=passes.test -ip4:192.0.2.1", "fail"),
            ("v=spf1 redirect=nowhere.test", "permerror"),
            ("v=spf1 redirect=empty.test", "permerror"),
            ("v=spf1 redirect=bad.test", "permerror"),
            ("v=spf1 redirect=broken.test", "temperror"),
            ("v=spf1 redirect=nowhere.test ?all", "neutral"),
        ],
    );
    check_problem(Problem::NoRecord, &["v=spf1 include:empty.test", "v=spf1 redirect=%{d}..test"]);
    check_problem(Problem::SeveralRecords, &["v=spf1 include:twice.test"]);
    check_problem(Problem::Dns, &["v=spf1 include:broken.test"]);
}

/// `a` as often as that; none of them matches, and the DNS has something to each.
fn asking(terms: usize, end: &str) -> String {
    format!("v=spf1{} {end}", " a:other.test".repeat(terms))
}

#[test]
fn an_evaluation_stops_at_its_limits() {
    let others = |count: usize| -> String {
        (0..count).map(|n| format!("many.test MX m{n}.test\nm{n}.test A 198.51.100.1\n")).collect()
    };
    let of = |record: &str, rows: &str| {
        let rows = format!("d.test TXT {record}\n{rows}");
        let (spf, asked) = run(&rows, &input("192.0.2.1", "user@d.test", "helo.test"));
        assert!(asked.len() <= 1 + TERMS_MAX * (1 + NAMES_MAX), "{}", asked.len());
        (spf.outcome.name(), spf.problem.map(Problem::name))
    };
    assert_eq!(of(&asking(10, "+all"), ""), ("pass", None));
    assert_eq!(of(&asking(11, "+all"), ""), ("permerror", Some("too_many_terms")));
    assert_eq!(of(&asking(10, "redirect=passes.test"), ""), ("permerror", Some("too_many_terms")));
    assert_eq!(of(&asking(9, "redirect=passes.test"), ""), ("pass", None));
    assert_eq!(of(&asking(10, "ip4:192.0.2.1"), ""), ("pass", None));
    assert_eq!(of("v=spf1 include:d.test", ""), ("permerror", Some("too_many_terms")));
    assert_eq!(of("v=spf1 redirect=d.test", ""), ("permerror", Some("too_many_terms")));
    let nested = format!("i.test TXT {}\n", asking(6, "?all"));
    assert_eq!(of("v=spf1 include:i.test a:other.test +all", &nested), ("pass", None));
    assert_eq!(
        of("v=spf1 include:i.test include:i.test +all", &nested),
        ("permerror", Some("too_many_terms"))
    );
    // In vain.
    assert_eq!(of("v=spf1 a:n1.test exists:n2.test +all", ""), ("pass", None));
    assert_eq!(of("v=spf1 a:n1.test mx:n2.test a:n3.test +all", ""), ("permerror", Some("too_many_voids")));
    assert_eq!(of("v=spf1 a:n1.test a:n2.test ip4:192.0.2.1 a:n3.test", ""), ("pass", None));
    let exchange = "v=spf1 mx:void-exchange.test a:n2.test a:n3.test +all";
    assert_eq!(of(exchange, ""), ("permerror", Some("too_many_voids")));
    // Names of one term.
    assert_eq!(of("v=spf1 mx:many.test +all", &others(10)), ("pass", None));
    assert_eq!(of("v=spf1 mx:many.test +all", &others(11)), ("permerror", Some("too_many_exchanges")));
    let names = |count: usize| -> String {
        let name = |n: usize| {
            format!(
                "5.2.0.192.in-addr.arpa PTR p{n}.d.test\np{n}.d.test A 192.0.2.{}\n",
                if n + 1 == count { 5 } else { 6 }
            )
        };
        (0..count).map(name).collect()
    };
    for (count, wanted) in [(10, Outcome::Pass), (11, Outcome::Fail)] {
        let rows = format!("d.test TXT v=spf1 ptr -all\n{}", names(count));
        let (spf, asked) = run(&rows, &input("192.0.2.5", "user@d.test", "helo.test"));
        assert_eq!((spf.outcome, asked.len()), (wanted, 12), "{count}");
    }
}

/// What `text` says when it explains a "fail".
#[track_caller]
fn explained(text: &str, input: &Input<'_>) -> Option<String> {
    let rows = format!("{} TXT v=spf1 -all exp=e.test\ne.test TXT {text}\n", input.domain);
    run(&rows, input).0.explanation
}

#[test]
fn macros_expand() {
    let v4 = input("192.0.2.1", "strong-bad.x@mail.d.test", "helo.test");
    for (text, wanted) in [
        ("%{s}", "strong-bad.x@mail.d.test"),
        ("%{l}", "strong-bad.x"),
        ("%{o}", "mail.d.test"),
        ("%{d}", "mail.d.test"),
        ("%{h}", "helo.test"),
        ("%{i}", "192.0.2.1"),
        ("%{c}", "192.0.2.1"),
        ("%{v}", "in-addr"),
        ("%{p}", "host.test"),
        ("%{r}", "mx.receiver.test"),
        ("%{t}", "1700000000"),
        ("%{d4}", "mail.d.test"),
        ("%{d2}", "d.test"),
        ("%{d1}", "test"),
        ("%{dr}", "test.d.mail"),
        ("%{d1r}", "mail"),
        ("%{d2R}", "d.mail"),
        ("%{ir}", "1.2.0.192"),
        ("%{i3r}", "2.0.192"),
        ("%{l-}", "strong.bad.x"),
        ("%{lr-}", "bad.x.strong"),
        ("%{l1r-}", "strong"),
        ("%{lr.-}", "x.bad.strong"),
        ("%{s-@}", "NONE"),
        ("%{S}", "strong-bad.x%40mail.d.test"),
        ("%{ir}.%{v}.arpa", "1.2.0.192.in-addr.arpa"),
        ("a%%b%_c%-d", "a%b c%20d"),
        ("  two  spaces ", "  two  spaces "),
        ("%{x}", "NONE"),
        ("%{i", "NONE"),
        ("100%", "NONE"),
        ("\u{e4}", "NONE"),
        ("a\tb", "NONE"),
    ] {
        assert_eq!(explained(text, &v4).as_deref().unwrap_or("NONE"), wanted, "{text}");
    }
}

#[test]
fn macros_of_other_clients() {
    let v6 = input("2001:db8::cb01", "~jack&jill=up@d.test", "[192.0.2.1]");
    let nibbles = "2.0.0.1.0.D.B.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.C.B.0.1";
    for (text, wanted) in [
        ("%{i}", nibbles),
        ("%{c}", "2001:db8::cb01"),
        ("%{v}", "ip6"),
        ("%{p}", "unknown"),
        ("%{h}", "[192.0.2.1]"),
        ("%{L}", "~jack%26jill%3Dup"),
        ("%{i2r}", "0.2"),
    ] {
        assert_eq!(explained(text, &v6).as_deref(), Some(wanted), "{text}");
    }
    let null = input("192.0.2.1", "", "d.test");
    let rows = "d.test TXT v=spf1 -all exp=e.test\ne.test TXT %{s} %{l} %{o} %{h}\n";
    let wanted = Some("postmaster@d.test postmaster d.test d.test");
    assert_eq!(run(rows, &null).0.explanation.as_deref(), wanted);
    let hostile = input("192.0.2.1", "a\r\nb\u{e4}\0@d.test", "x");
    assert_eq!(explained("%{l}", &hostile).as_deref(), Some("a??b??"));
}

#[test]
fn the_name_for_p_is_the_nearest() {
    let names = "
        4.2.0.192.in-addr.arpa PTR any.test
        4.2.0.192.in-addr.arpa PTR below.d.test
        any.test A 192.0.2.4
        below.d.test A 192.0.2.4
        e.test TXT %{p}
        d.test TXT v=spf1 -all exp=e.test
        any.test TXT v=spf1 -all exp=e.test
        else.test TXT v=spf1 -all exp=e.test";
    for (domain, wanted) in [("d.test", "below.d.test"), ("any.test", "any.test"), ("else.test", "any.test")]
    {
        let sender = format!("u@{domain}");
        let (spf, _) = run(names, &input("192.0.2.4", &sender, "h.test"));
        assert_eq!(spf.explanation.as_deref(), Some(wanted), "{domain}");
    }
}

#[test]
fn long_names_lose_labels_on_the_left() {
    let label = "x".repeat(50);
    let domain = format!("{label}.{label}.d.test");
    let kept = format!("{domain}.{domain}");
    assert!(kept.len() < 253);
    let rows =
        format!("{domain} TXT v=spf1 exists:{}%{{d}}.%{{d}} -all\n{kept} A 127.0.0.1\n", "y.".repeat(120));
    assert_eq!(run(&rows, &input("192.0.2.1", &format!("u@{domain}"), "h.test")).0.outcome, Outcome::Fail);
    let rows =
        format!("{domain} TXT v=spf1 exists:{}.%{{d}}.%{{d}} -all\n{kept} A 127.0.0.1\n", "y".repeat(200));
    assert_eq!(run(&rows, &input("192.0.2.1", &format!("u@{domain}"), "h.test")).0.outcome, Outcome::Pass);
}

#[test]
fn what_expands_without_end_matches_nothing() {
    let record = format!("v=spf1 a:{}.host.test -all", "%{s}".repeat(3000));
    let local_part = "l".repeat(64);
    let rows = format!("d.test TXT {record}\n");
    assert_eq!(
        run(&rows, &input("192.0.2.1", &format!("{local_part}@d.test"), "h.test")).0.outcome,
        Outcome::Fail
    );
    let repeated = "%{s}".repeat(3000);
    assert_eq!(explained(&repeated, &input("192.0.2.1", "user@d.test", "h.test")), None);
    let long = format!("v=spf1 {}+all", "ip4:198.51.100.1 ".repeat(1000));
    assert_eq!(of_record(&long, "192.0.2.1").problem, Some(Problem::Syntax));
}

#[test]
fn a_fail_is_explained_by_the_record_that_failed() {
    let explanation = |record: &str| of_record(record, "192.0.2.1").explanation;
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(explanation("v=spf1 -all exp=why.test"), said("Not for 192.0.2.1 of d.test."));
    assert_eq!(
        explanation("v=spf1 redirect=fails.test exp=twowhys.test"),
        said("Not for 192.0.2.1 of fails.test.")
    );
    assert_eq!(explanation("v=spf1 include:fails.test -all"), None);
    assert_eq!(explanation("v=spf1 -all"), None);
    assert_eq!(explanation("v=spf1 ~all exp=why.test"), None);
    assert_eq!(explanation("v=spf1 +all exp=why.test"), None);
    assert_eq!(explanation("v=spf1 -all exp=twowhys.test"), None);
    assert_eq!(explanation("v=spf1 -all exp=nowhere.test"), None);
    assert_eq!(explanation("v=spf1 -all exp=broken.test"), None);
    assert_eq!(explanation("v=spf1 -all exp=x..test"), None);
    let unasked = Input { explain: false, ..input("192.0.2.1", "u@fails.test", "h.test") };
    let (spf, asked) = run("", &unasked);
    assert_eq!((spf.outcome, spf.explanation, asked.len()), (Outcome::Fail, None, 1));
    let long = format!("d.test TXT v=spf1 -all exp=e.test\ne.test TXT {}\n", "x".repeat(1000));
    let (spf, _) = run(&long, &input("192.0.2.1", "u@d.test", "h.test"));
    assert_eq!(spf.explanation.unwrap().len(), EXPLANATION_BYTES_MAX);
}

#[test]
fn what_is_no_domain_has_no_record() {
    let label = format!("u@{}.test", "x".repeat(64));
    let long = format!("u@{}test", "x.".repeat(130));
    for sender in [
        "u@test",
        "u@[192.0.2.1]",
        "u@192.0.2.1",
        "u@a..test",
        "u@.test",
        "u@ d.test",
        "u@d.test\0",
        "u@d!.test",
        &label,
        &long,
    ] {
        let (spf, asked) = run("", &input("192.0.2.1", sender, "passes.test"));
        assert_eq!(
            (spf.outcome, spf.identity, asked.len()),
            (Outcome::None, Identity::MailFrom, 0),
            "{sender}"
        );
    }
    for helo in ["", "localhost", "[192.0.2.1]", "192.0.2.1", "a b.test"] {
        let (spf, asked) = run("", &input("192.0.2.1", "", helo));
        assert_eq!((spf.outcome, spf.identity, asked.len()), (Outcome::None, Identity::Helo, 0), "{helo}");
    }
}

#[test]
fn what_is_told_of_a_domain_is_visible() {
    for (helo, wanted) in [("a\r\nX: y", "a??X: y"), ("\u{1b}[0m\0", "?[0m?"), ("b\u{fc}", "b?")] {
        assert_eq!(run("", &input("192.0.2.1", "", helo)).0.domain, wanted);
    }
    let long = "x".repeat(65_536);
    assert_eq!(run("", &input("192.0.2.1", "", &long)).0.domain.len(), 253);
}

#[test]
fn the_identity_is_the_sender_or_helo() {
    let (spf, _) = run("", &input("192.0.2.1", "u@Passes.Test.", "fails.test"));
    let found = (spf.outcome, spf.identity, spf.domain.as_str(), spf.mechanism.as_deref());
    assert_eq!(found, (Outcome::Pass, Identity::MailFrom, "passes.test", Some("all")));
    let of_helo = input("192.0.2.1", "u@passes.test", "fails.test").of_helo();
    let (spf, _) = run("", &of_helo);
    assert_eq!(
        (spf.outcome, spf.identity, spf.domain.as_str()),
        (Outcome::Fail, Identity::Helo, "fails.test")
    );
    let (spf, _) = run("", &input("192.0.2.1", "u@broken.test", "h.test"));
    assert_eq!((spf.outcome, spf.problem), (Outcome::TempError, Some(Problem::Dns)));
    let (spf, _) = run("", &input("192.0.2.1", "u@nowhere.test", "h.test"));
    assert_eq!((spf.outcome, spf.problem), (Outcome::None, None));
}

#[test]
fn the_mechanism_that_matched_is_told() {
    let mechanism = |record: &str| of_record(record, "192.0.2.1").mechanism;
    assert_eq!(mechanism("v=spf1 ip4:1.2.3.4 ~IP4:192.0.2.0/24 -all").as_deref(), Some("IP4:192.0.2.0/24"));
    assert_eq!(mechanism("v=spf1 include:passes.test -all").as_deref(), Some("include:passes.test"));
    assert_eq!(mechanism("v=spf1 redirect=passes.test").as_deref(), Some("all"));
    assert_eq!(mechanism("v=spf1 a:other.test"), None);
}

#[test]
fn names_beyond_ascii_are_asked_in_their_ascii_form() {
    let rows = "xn--bcher-kva.test TXT v=spf1 exists:%{d} -all\nxn--bcher-kva.test A 127.0.0.2\n";
    let (spf, _) = run(rows, &input("192.0.2.1", "u@B\u{fc}cher.test", "h.test"));
    assert_eq!((spf.outcome, spf.domain.as_str()), (Outcome::Pass, "xn--bcher-kva.test"));
    let rows = "d.test TXT v=spf1 exists:%{l}.host.test -all\n";
    let (spf, _) = run(rows, &input("192.0.2.1", "j\u{fc}rgen@d.test", "h.test"));
    assert_eq!(spf.outcome, Outcome::Fail);
}

/// Records from pieces of the grammar, in any order.
fn any_record() -> impl Strategy<Value = String> {
    let pieces = [
        " ",
        " ",
        "all",
        "a",
        "mx",
        "ptr",
        "ip4",
        "ip6",
        "include",
        "exists",
        "redirect",
        "exp",
        "x",
        ":",
        ":",
        "=",
        "/",
        "//",
        "24",
        "0",
        "-",
        "~",
        "?",
        "+",
        "d.test",
        "host.test",
        "mail.test",
        "%{d}",
        "%{l}",
        "%{p}",
        "%{ir}",
        "%{",
        "}",
        "%%",
        ".",
        "192.0.2.0",
        "2001:db8::",
        "\u{e4}",
        "\0",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_record_comes_to_an_end(record in any_record(), v6 in proptest::bool::ANY) {
        let ip = if v6 { "2001:db8::1" } else { "192.0.2.1" };
        let rows = format!("d.test TXT v=spf1 {record}\n");
        let (spf, asked) = run(&rows, &input(ip, "user@d.test", "helo.test"));
        assert!(asked.len() <= 1 + TERMS_MAX * (1 + NAMES_MAX), "{} questions", asked.len());
        let is_error = matches!(spf.outcome, Outcome::TempError | Outcome::PermError);
        assert_eq!(spf.problem.is_some(), is_error, "{spf:?}");
    }
}
