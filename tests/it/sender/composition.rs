//! Attacks between what is authenticated and what the reader sees: SPF, DKIM, From and DMARC together.
//!
//! The attacker owns `attack.test`, whose every check passes, and wants to be shown as `legit.test`, which
//! publishes `-all` and `p=reject`. Each row says what comes of it; none may be a pass for `legit.test`.

use std::net::{IpAddr, Ipv4Addr};

use postern::sender::author::Author;
use postern::sender::dmarc::{Checked, Identifier, evaluate};
use postern::sender::dns::{Answer, Kind, Known, Missing, Query, Record};
use postern::sender::lookalike::claims;
use postern::sender::spf::{Input, check_host};
use proptest::prelude::{prop, proptest};

const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66));

fn answer(query: &Query) -> Answer {
    let text = match query.name.as_str() {
        "legit.test" | "mail.legit.test" => "v=spf1 ip4:192.0.2.1 -all",
        "_dmarc.legit.test" => "v=DMARC1; p=reject",
        "attack.test" => "v=spf1 +all",
        "_dmarc.attack.test" => "v=DMARC1; p=none",
        name if name.ends_with(".attack.test") && !name.starts_with("_dmarc") => "v=spf1 +all",
        _ => return Answer::NotFound,
    };
    match query.kind {
        Kind::Txt => Answer::Records { records: vec![Record::Txt(text.into())], is_secure: false },
        _ => Answer::NoData,
    }
}

fn complete<T>(mut evaluate: impl FnMut(&Known) -> Result<T, Missing>) -> T {
    let mut known = Known::default();
    loop {
        match evaluate(&known) {
            Ok(value) => return value,
            Err(Missing(queries)) => queries.into_iter().for_each(|query| {
                let answer = answer(&query);
                known.learn(query, answer);
            }),
        }
    }
}

/// Words of RFC 2047 as far as rows need them.
fn decode(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets).into_owned();
    text.replace("=?utf-8?q?", "")
        .replace("=40", "@")
        .replace("=3C", "<")
        .replace("=3E", ">")
        .replace("=00", "\0")
        .replace("?=", "")
}

fn author(fields: &[(&str, &str)]) -> Author {
    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Author::read(fields, &mut decode)
}

/// What the attacker sends beside From.
#[derive(Clone, Copy)]
struct Envelope<'a> {
    helo: &'a str,
    local_part: &'a str,
    domain: &'a str,
    signatures: &'a [(&'a str, Checked)],
}

/// All that the attacker can have honestly.
const OWN: Envelope<'_> = Envelope {
    helo: "mx.attack.test",
    local_part: "a",
    domain: "attack.test",
    signatures: &[("attack.test", Checked::Pass)],
};

fn verdict(envelope: Envelope<'_>, fields: &[(&str, &str)]) -> String {
    let author = author(fields);
    let Some(domain) = author.domain() else {
        let flaws: Vec<&str> = author.flaws.iter().map(|flaw| flaw.name()).collect();
        return format!("no author: {}", flaws.join(" "));
    };
    let input = Input {
        ip: ATTACKER,
        local_part: envelope.local_part,
        domain: envelope.domain,
        helo: envelope.helo,
        receiver: "",
        unix_seconds: 0,
        explain: false,
    };
    let spf = complete(|known| check_host(known, &input));
    let spf = Identifier { domain: &spf.domain, checked: spf.outcome.into() };
    let signed = envelope.signatures.iter();
    let dkim: Vec<Identifier<'_>> =
        signed.map(|(domain, checked)| Identifier { domain, checked: *checked }).collect();
    let dmarc = complete(|known| evaluate(known, domain, Some(spf), &dkim));
    format!("{} for {domain}{}", dmarc.outcome.name(), if dmarc.is_unsure { ", unsure" } else { "" })
}

#[test]
fn nobody_else_s_envelope_passes_for_an_author() {
    use Checked::{Fail, Pass, TempError};
    let unsigned = Envelope { signatures: &[], ..OWN };
    let from = |domain: &'static str| Envelope { domain, ..unsigned };
    let signed = |signatures: &'static [(&'static str, Checked)]| Envelope { signatures, ..OWN };
    let rows = [
        // Both prove themselves, and nothing of legit.test's.
        (OWN, "fail"),
        (Envelope { helo: "legit.test", domain: "", ..unsigned }, "fail"),
        (Envelope { helo: "mx.attack.test", domain: "", ..unsigned }, "fail"),
        (Envelope { helo: "legit.test", ..unsigned }, "fail"),
        (from("legit.test"), "fail"),
        (from("mail.legit.test"), "fail"),
        (from("nowhere.legit.test"), "fail"),
        (from("legit.test.attack.test"), "fail"),
        // One parser's domain is another's comment, quote or end of string.
        (from("legit.test(.attack.test"), "fail"),
        (from("legit.test\0.attack.test"), "fail"),
        (from("legit.test\".attack.test"), "fail"),
        (from("legit.test'.attack.test"), "fail"),
        (from("legit.test,attack.test"), "fail"),
        (from("legit.test .attack.test"), "fail"),
        (from("legit.test/.attack.test"), "fail"),
        (from("legit.test;.attack.test"), "fail"),
        (Envelope { local_part: "a@legit.test", ..unsigned }, "fail"),
        (Envelope { local_part: "\"a@legit.test\"", ..unsigned }, "fail"),
        (Envelope { local_part: "@legit.test:a", ..unsigned }, "fail"),
        // Signatures.
        (signed(&[("legit.test.attack.test", Pass)]), "fail"),
        (signed(&[("legit.test\0.attack.test", Pass)]), "fail"),
        (signed(&[("legit.test(.attack.test", Pass)]), "fail"),
        (signed(&[("legit.test ", Pass)]), "fail"),
        (signed(&[("legit.test\r\n", Pass)]), "fail"),
        (signed(&[("xlegit.test", Pass)]), "fail"),
        (signed(&[("test", Pass)]), "fail"),
        (signed(&[(".test", Pass)]), "fail"),
        (signed(&[("", Pass)]), "fail"),
        (signed(&[("l\u{435}git.test", Pass)]), "fail"),
        (signed(&[("legit.test", Fail), ("attack.test", Pass)]), "fail"),
        (signed(&[("attack.test", Pass), ("legit.test", TempError)]), "fail"),
    ];
    for (envelope, wanted) in rows {
        let unsure = if envelope.signatures.iter().any(|(_, checked)| *checked == TempError) {
            ", unsure"
        } else {
            ""
        };
        let found = verdict(envelope, &[("From", "Legit <admin@legit.test>")]);
        let what = (
            envelope.helo,
            envelope.local_part,
            envelope.domain,
            envelope.signatures.first().map(|one| one.0),
        );
        assert_eq!(found, format!("{wanted} for legit.test{unsure}"), "{what:?}");
    }
}

/// Values of From, with all the attacker can have honestly, and what comes of them.
const VALUES: &[(&str, &str)] = &[
    // A pass, for the attacker's own name; what the display name says is another module's.
    ("admin@attack.test", "pass for attack.test"),
    ("\"admin@legit.test\" <a@attack.test>", "pass for attack.test"),
    ("legit.test <a@attack.test>", "pass for attack.test"),
    ("admin@legit.test.attack.test", "pass for legit.test.attack.test"),
    ("admin%legit.test@attack.test", "pass for attack.test"),
    // Several mailboxes.
    ("admin@legit.test, a@attack.test", "no author: several_mailboxes several_domains"),
    ("a@attack.test, admin@legit.test", "no author: several_mailboxes several_domains"),
    ("<admin@legit.test>, <a@attack.test>", "no author: several_mailboxes several_domains"),
    ("admin@legit.test,,,<a@attack.test>", "no author: several_mailboxes several_domains"),
    ("admin@legit.test; a@attack.test", "no author: several_mailboxes several_domains malformed"),
    ("Legit: admin@legit.test;, a@attack.test", "no author: several_mailboxes several_domains group"),
    ("Legit: a@attack.test;", "no author: group"),
    ("admin@legit.test: a@attack.test;", "no author: group"),
    ("<admin@legit.test>\\,<a@attack.test>", "no author: several_mailboxes several_domains malformed"),
    // Several addresses in one mailbox.
    ("<admin@legit.test><a@attack.test>", "no author: malformed"),
    ("<admin@legit.test>a@attack.test", "no author: malformed"),
    ("a@attack.test<admin@legit.test>", "no author: address_in_name"),
    ("admin@legit.test <a@attack.test>", "no author: address_in_name"),
    ("<a@attack.test> <admin@legit.test>", "no author: malformed"),
    ("<<admin@legit.test>a@attack.test>", "no author: no_mailbox malformed"),
    ("<admin@legit.test>@attack.test>", "no author: malformed"),
    ("admin@legit.test@attack.test", "no author: no_mailbox malformed"),
    ("\"<admin@legit.test>\" <a@attack.test>", "no author: address_in_name"),
    ("\"Legit <admin@legit.test>, \" <a@attack.test>", "no author: address_in_name"),
    // Quotes, comments, routes and literals.
    ("\"admin@legit.test\"@attack.test", "no author: local_part"),
    ("\"admin@legit.test>\"@attack.test", "no author: local_part"),
    ("\"admin@legit.test\\\"\"@attack.test", "no author: local_part"),
    ("admin(a@attack.test)@legit.test", "no author: comment"),
    ("admin@legit.test(.attack.test)", "no author: comment"),
    ("admin@(legit.test)attack.test", "no author: comment"),
    ("(<admin@legit.test>) <a@attack.test>", "no author: comment address_in_name"),
    ("a@attack.test (admin@legit.test)", "no author: comment"),
    ("<@legit.test:a@attack.test>", "no author: route"),
    ("<@attack.test,@legit.test:a@attack.test>", "no author: route"),
    ("@legit.test:a@attack.test", "no author: group"),
    ("admin@[legit.test]", "no author: literal"),
    ("admin@\"legit.test\"", "no author: malformed"),
    // White space, folds, controls, what is not seen.
    ("admin@legit.test .attack.test", "no author: no_mailbox malformed"),
    ("admin@ legit.test", "no author: spaced"),
    ("admin@legit.test\r\n @attack.test", "no author: no_mailbox malformed"),
    ("admin@legit.test\r\n \r\n <a@attack.test>", "no author: blank_line address_in_name"),
    ("admin@legit.test\0@attack.test", "no author: no_mailbox malformed control"),
    ("admin@legit.test\0 <a@attack.test>", "no author: control address_in_name"),
    ("admin@legit.test\u{7}.attack.test", "no author: control domain_invalid"),
    ("admin\u{ff20}legit.test@attack.test", "no author: local_part"),
    ("admin@legit.test\u{2800}.attack.test", "no author: invisible"),
    ("\u{202e}tset.tigel@nimda <a@attack.test>", "no author: address_in_name invisible"),
    ("admin\u{feff}@legit.test", "no author: invisible"),
    // Encoded words.
    ("=?utf-8?q?admin=40legit.test?=@attack.test", "no author: encoded_address"),
    ("=?utf-8?q?admin=40legit.test=00?=@attack.test", "no author: encoded_address"),
    ("admin@=?utf-8?q?legit.test?=", "no author: encoded_address domain_invalid"),
    ("=?utf-8?q?admin=40legit.test?=", "no author: no_mailbox malformed"),
    ("=?utf-8?q?=3Cadmin=40legit.test=3E?= <a@attack.test>", "no author: address_in_name"),
    ("=?utf-8?q?admin=40legit.test=00?= <a@attack.test>", "no author: control"),
    // Domains.
    ("admin@legit.test.", "no author: domain_invalid"),
    ("admin@legit..test", "no author: domain_invalid"),
    ("admin@legit.test/attack.test", "no author: domain_invalid"),
    ("admin@l\u{435}git.test", "none for xn--lgit-v4d.test"),
    ("admin@LEGIT.test", "fail for legit.test"),
    ("admin@sub.legit.test", "fail for sub.legit.test"),
];

#[test]
fn no_author_is_shown_who_did_not_pass() {
    let found = VALUES.iter().map(|(value, wanted)| (value, verdict(OWN, &[("From", value)]), wanted));
    let differing: Vec<_> = found.filter(|(_, found, wanted)| found != *wanted).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(!VALUES.iter().any(|(_, wanted)| *wanted == "pass for legit.test"));
}

#[test]
fn several_fields_are_no_author() {
    let (legit, attack) = (" admin@legit.test\r\n", " a@attack.test\r\n");
    for fields in [
        &[("From", legit), ("From", attack)][..],
        &[("From", attack), ("From", legit)],
        &[("From", attack), ("from ", legit)],
        &[("From", attack), ("From\0", legit)],
        &[("\u{feff}From", legit), ("From", attack)],
        &[("From", attack), ("Fr\u{8}om", legit)],
        &[("From", attack), ("From", "")],
        &[("From", attack), ("From", attack), ("From", attack), ("From", attack), ("From", legit)],
        &[("From\u{b}", legit)],
        &[("Sender", attack), ("Resent-From", attack)],
        &[],
    ] {
        let found = verdict(OWN, fields);
        assert!(found.starts_with("no author: "), "{fields:?}: {found}");
    }
    // What only looks like it to people is not shown as it.
    assert_eq!(
        verdict(OWN, &[("Sender", legit), ("From-", legit), ("From", attack)]),
        "pass for attack.test"
    );
}

#[test]
fn a_pass_under_another_name_is_told() {
    for value in [
        "\"admin@legit.com\" <a@attack.test>",
        "www.legit.com <a@attack.test>",
        "=?utf-8?q?admin=40legit.com?= <a@attack.test>",
    ] {
        assert_eq!(verdict(OWN, &[("From", value)]), "pass for attack.test", "{value}");
        let claimed = author(&[("From", value)]).mailboxes.iter().flat_map(claims).count();
        assert_eq!(claimed, 1, "{value}");
    }
}

/// What careless clients would show: one reads the first address in angle brackets, one the last, one
/// stops at a NUL, one decodes before it reads, one takes what stands before the first comma.
fn shown_by_careless_clients(value: &str) -> Vec<String> {
    let first = |text: &str| text.split_once('<').map_or(text, |(_, behind)| behind).to_owned();
    let last = |text: &str| text.rsplit_once('<').map_or(text, |(_, behind)| behind).to_owned();
    let decoded = decode(value.as_bytes());
    let cut = |mark: char, text: &str| text.split(mark).next().unwrap_or_default().to_owned();
    let texts = [first(value), last(value), last(&cut('\0', value)), first(&decoded), last(&cut(',', value))];
    texts.iter().filter_map(|text| domain_of(text)).collect()
}

fn domain_of(text: &str) -> Option<String> {
    let (_, behind) = text.split_once('@')?;
    let end = behind.find(|letter: char| !letter.is_ascii_alphanumeric() && !".-".contains(letter));
    Some(behind.split_at(end.unwrap_or(behind.len())).0.to_ascii_lowercase())
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(4000))]
    #[test]
    fn careless_clients_show_nobody_else(pieces in prop::collection::vec(prop::sample::select(&[
        "a", "x y", "@legit.test", "@attack.test", "a@legit.test", "a@attack.test", "<", ">", "<a@attack.test>", "(", ")", "\"",
        "\\", ",", ":", ";", " ", "\r\n ", "[", "]", "=?utf-8?q?a=40legit.test?=", "=00", "\0", ".", "\u{ff20}",
    ][..]), 1..8)) {
        let value = pieces.concat();
        let author = author(&[("From", &value)]);
        if let Some(domain) = author.domain() {
            // A quoted name without an address behind it in brackets is a local part, told elsewhere.
            for shown in shown_by_careless_clients(&value) {
                let in_name = author.mailboxes.iter().any(|one| one.display_name.contains(&shown));
                assert!(shown == domain.as_str() || in_name, "{value:?}: {domain}, and some show {shown}");
            }
        }
    }
}
