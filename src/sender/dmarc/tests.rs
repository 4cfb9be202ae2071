use proptest::prelude::{prop, proptest};

use super::super::dns::{Name, Query};
use super::super::zone::Zone;
use super::super::{dkim, spf};
use super::{Checked, Dmarc, Identifier, Outcome, Policy, Problem, evaluate};

const NOBODY: &[(&str, Checked)] = &[];

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[track_caller]
fn run(rows: &str, author: &str, spf: &[(&str, Checked)], dkim: &[(&str, Checked)]) -> (Dmarc, Vec<Query>) {
    let identifier = |(domain, checked): &(&'static str, Checked)| Identifier { domain, checked: *checked };
    let leak = |list: &[(&str, Checked)]| -> Vec<Identifier<'static>> {
        list.iter().map(|(domain, checked)| identifier(&(domain.to_string().leak(), *checked))).collect()
    };
    let (spf, dkim) = (leak(spf).first().copied(), leak(dkim));
    Zone::new(rows).run(|known| evaluate(known, &name(author), spf, &dkim))
}

/// What the record at `d.test` wants for `author`, of which nothing passed.
#[track_caller]
fn wanted(record: &str, author: &str) -> (&'static str, &'static str) {
    let rows = format!("_dmarc.d.test TXT {record}\nd.test A 192.0.2.1\nhere.d.test A 192.0.2.1\n");
    let (dmarc, _) = run(&rows, author, NOBODY, NOBODY);
    (dmarc.outcome.name(), dmarc.policy.name())
}

#[test]
fn records_begin_with_their_version() {
    for (record, outcome) in [
        ("v=DMARC1; p=reject", "fail"),
        ("v=DMARC1;p=reject;", "fail"),
        ("v = DMARC1 ; p = reject ", "fail"),
        (" v=DMARC1; p=reject", "none"),
        ("V=DMARC1;p=reject", "fail"),
        ("v=DMARC1", "permerror"),
        ("v=dmarc1; p=reject", "none"),
        ("v=DMARC2; p=reject", "none"),
        ("v=DMARC10; p=reject", "none"),
        ("v=DMARC1 p=reject", "none"),
        ("p=reject; v=DMARC1", "none"),
        ("DMARC1; p=reject", "none"),
        ("v=spf1 -all", "none"),
        ("", "none"),
    ] {
        assert_eq!(wanted(record, "d.test").0, outcome, "{record:?}");
    }
}

#[test]
fn a_policy_is_for_the_domain_and_for_what_is_below() {
    for (tags, own, below, absent) in [
        ("p=none", "none", "none", "none"),
        ("p=reject", "reject", "reject", "reject"),
        ("p=Quarantine", "quarantine", "quarantine", "quarantine"),
        ("p=reject; sp=none", "reject", "none", "none"),
        ("p=none; sp=reject", "none", "reject", "reject"),
        ("p=none; np=reject", "none", "none", "reject"),
        ("p=reject; sp=quarantine; np=none", "reject", "quarantine", "none"),
        ("p=reject; t=y", "quarantine", "quarantine", "quarantine"),
        ("p=quarantine; t=y; np=reject", "none", "none", "quarantine"),
        ("p=reject; t=n", "reject", "reject", "reject"),
        ("p=reject; pct=0", "quarantine", "quarantine", "quarantine"),
        ("p=reject; pct=5", "reject", "reject", "reject"),
        ("p=reject; p=none", "reject", "reject", "reject"),
        ("x=y; p=reject; zz; =; y=", "reject", "reject", "reject"),
        ("p=reject; rua=", "reject", "reject", "reject"),
        ("p=odd; rua=mailto:r@d.test", "none", "none", "none"),
        ("rua=mailto:r@d.test", "none", "none", "none"),
        ("p=reject; sp=odd; rua=MAILTO:r@d.test", "none", "none", "none"),
        ("p=reject; np=odd; rua=mailto:r@d.test", "none", "none", "none"),
    ] {
        let record = format!("v=DMARC1; {tags}");
        let found = ["d.test", "here.d.test", "nowhere.d.test"].map(|author| wanted(&record, author));
        assert_eq!(found, [("fail", own), ("fail", below), ("fail", absent)], "{record}");
    }
    for tags in
        ["p=odd", "sp=reject", "p=", "p=reject; sp=odd", "p=reject; np=odd", "p=odd; rua=https://d.test"]
    {
        assert_eq!(wanted(&format!("v=DMARC1; {tags}"), "d.test"), ("permerror", "none"), "{tags}");
    }
}

#[test]
fn what_there_is_decides() {
    let check = |rows: &str, outcome: Outcome, problem: Option<Problem>, at: Option<&str>| {
        let (dmarc, _) = run(rows, "mail.d.test", &[("d.test", Checked::Pass)], NOBODY);
        let found = (dmarc.outcome, dmarc.problem, dmarc.record_domain.as_ref().map(Name::as_str));
        assert_eq!(found, (outcome, problem, at), "{rows}");
    };
    let own = "_dmarc.mail.d.test TXT v=DMARC1;p=none\n";
    let above = "_dmarc.d.test TXT v=DMARC1;p=reject\n";
    check("", Outcome::None, None, None);
    check(own, Outcome::Pass, None, Some("mail.d.test"));
    check(above, Outcome::Pass, None, Some("d.test"));
    check(&[own, above].concat(), Outcome::Pass, None, Some("mail.d.test"));
    check(&[own, own].concat(), Outcome::PermError, Some(Problem::SeveralRecords), None);
    check(&[above, above].concat(), Outcome::PermError, Some(Problem::SeveralRecords), None);
    check(&[own, own, above].concat(), Outcome::PermError, Some(Problem::SeveralRecords), None);
    check("_dmarc.mail.d.test FAILS\n", Outcome::TempError, Some(Problem::Dns), None);
    check("_dmarc.d.test FAILS\n", Outcome::TempError, Some(Problem::Dns), None);
    check(&[own, "_dmarc.d.test FAILS\n"].concat(), Outcome::Pass, None, Some("mail.d.test"));
    check("_dmarc.test FAILS\n", Outcome::None, None, None);
    check("_dmarc.test TXT v=DMARC1;p=reject\n", Outcome::None, None, None);
    check("_dmarc.mail.d.test TXT v=spf1 -all\n", Outcome::None, None, None);
    check(&[own, "_dmarc.mail.d.test TXT other\n"].concat(), Outcome::Pass, None, Some("mail.d.test"));
}

/// Who aligns with an author at `author.d.test`, by a record with `tags`.
#[track_caller]
fn alignment(tags: &str, spf: &[(&str, Checked)], dkim: &[(&str, Checked)]) -> (Outcome, bool, bool, bool) {
    let rows = format!("_dmarc.author.d.test TXT v=DMARC1; p=reject; {tags}\n");
    let (dmarc, _) = run(&rows, "author.d.test", spf, dkim);
    (dmarc.outcome, dmarc.is_spf_aligned, dmarc.is_dkim_aligned, dmarc.is_unsure)
}

#[test]
fn what_passed_is_aligned_or_does_not_count() {
    use Checked::{Fail, Pass, TempError};
    let passed = |domain: &'static str| [(domain, Pass)];
    for (domain, relaxed, strict) in [
        ("author.d.test", true, true),
        ("AUTHOR.D.Test.", true, true),
        ("d.test", true, false),
        ("other.d.test", true, false),
        ("a.b.c.author.d.test", true, false),
        ("xd.test", false, false),
        ("d.test.attacker.test", false, false),
        ("author.d.test.attacker.test", false, false),
        ("test", false, false),
        ("", false, false),
        ("d.test\0.attacker.test", false, false),
        ("d.test(.attacker.test", false, false),
    ] {
        let outcome = |passes| if passes { Outcome::Pass } else { Outcome::Fail };
        assert_eq!(
            alignment("", &passed(domain), NOBODY),
            (outcome(relaxed), relaxed, false, false),
            "{domain}"
        );
        assert_eq!(
            alignment("", NOBODY, &passed(domain)),
            (outcome(relaxed), false, relaxed, false),
            "{domain}"
        );
        let spf = alignment("aspf=s;adkim=r", &passed(domain), &passed("x.test"));
        assert_eq!(spf, (outcome(strict), strict, false, false), "{domain}");
        let dkim = alignment("aspf=r;adkim=S", NOBODY, &passed(domain));
        assert_eq!(dkim, (outcome(strict), false, strict, false), "{domain}");
    }
    assert_eq!(alignment("", &[("d.test", Fail)], &[("d.test", Fail)]), (Outcome::Fail, false, false, false));
    assert_eq!(alignment("", &[("d.test", TempError)], NOBODY), (Outcome::Fail, false, false, true));
    assert_eq!(alignment("", &[("x.test", TempError)], NOBODY), (Outcome::Fail, false, false, false));
    assert_eq!(
        alignment("", &[("d.test", TempError)], &passed("d.test")),
        (Outcome::Pass, false, true, false)
    );
    let both = [("d.test", TempError), ("x.test", Pass), ("d.test", Pass), ("d.test", Fail)];
    assert_eq!(alignment("", NOBODY, &both), (Outcome::Pass, false, true, false));
    let other_order = [("d.test", Pass), ("author.d.test", TempError)];
    assert_eq!(alignment("", NOBODY, &other_order), (Outcome::Pass, false, true, false));
    let eleventh = [[("x.test", Pass); 10].to_vec(), vec![("d.test", Pass)]].concat();
    assert_eq!(alignment("", NOBODY, &eleventh).0, Outcome::Fail);
}

#[test]
fn results_of_both_methods_pass_fail_or_are_open() {
    assert_eq!(Checked::from(spf::Outcome::Pass), Checked::Pass);
    assert_eq!(Checked::from(spf::Outcome::TempError), Checked::TempError);
    assert_eq!(Checked::from(spf::Outcome::SoftFail), Checked::Fail);
    assert_eq!(Checked::from(dkim::Outcome::Pass), Checked::Pass);
    assert_eq!(Checked::from(dkim::Outcome::TempError), Checked::TempError);
    assert_eq!(Checked::from(dkim::Outcome::Policy), Checked::Fail);
}

#[test]
fn suffixes_of_the_list_separate_organisations() {
    let rows = "_dmarc.mine.co.uk TXT v=DMARC1;p=reject\n_dmarc.mine.github.io TXT v=DMARC1;p=reject\n";
    for (author, other, outcome) in [
        ("mine.co.uk", "mail.mine.co.uk", Outcome::Pass),
        ("mine.co.uk", "co.uk", Outcome::Fail),
        ("mine.co.uk", "other.co.uk", Outcome::Fail),
        ("a.mine.github.io", "b.mine.github.io", Outcome::Pass),
        ("mine.github.io", "other.github.io", Outcome::Fail),
        ("mine.github.io", "github.io", Outcome::Fail),
    ] {
        assert_eq!(
            run(rows, author, &[(other, Checked::Pass)], NOBODY).0.outcome,
            outcome,
            "{author} {other}"
        );
    }
}

#[test]
fn records_say_where_an_organisation_ends() {
    let rows = "
        _dmarc.d.test TXT v=DMARC1; p=reject
        _dmarc.own.d.test TXT v=DMARC1; p=none; psd=n
        _dmarc.suffix.test TXT v=DMARC1; p=reject; sp=quarantine; np=reject; psd=y
        _dmarc.below.suffix.test TXT v=DMARC1; p=none
        exists.suffix.test A 192.0.2.1";
    for (author, other, outcome, policy, at) in [
        ("d.test", "x.d.test", Outcome::Pass, Policy::Reject, "d.test"),
        // A department on its own is not its organisation, nor the other way round.
        ("d.test", "own.d.test", Outcome::Fail, Policy::Reject, "d.test"),
        ("own.d.test", "d.test", Outcome::Fail, Policy::None, "own.d.test"),
        ("a.own.d.test", "b.own.d.test", Outcome::Pass, Policy::None, "own.d.test"),
        ("a.d.test", "a.own.d.test", Outcome::Fail, Policy::Reject, "d.test"),
        // What others register below a suffix is theirs.
        ("below.suffix.test", "x.below.suffix.test", Outcome::Pass, Policy::None, "below.suffix.test"),
        ("below.suffix.test", "suffix.test", Outcome::Fail, Policy::None, "below.suffix.test"),
        ("a.below.suffix.test", "b.suffix.test", Outcome::Fail, Policy::None, "below.suffix.test"),
        ("exists.suffix.test", "below.suffix.test", Outcome::Fail, Policy::Quarantine, "suffix.test"),
        ("nowhere.suffix.test", "below.suffix.test", Outcome::Fail, Policy::Reject, "suffix.test"),
        ("nowhere.suffix.test", "a.nowhere.suffix.test", Outcome::Pass, Policy::Reject, "suffix.test"),
        // A suffix may itself be an author.
        ("suffix.test", "suffix.test", Outcome::Pass, Policy::Reject, "suffix.test"),
        ("suffix.test", "below.suffix.test", Outcome::Fail, Policy::Reject, "suffix.test"),
    ] {
        let (dmarc, _) = run(rows, author, &[(other, Checked::Pass)], NOBODY);
        let found = (dmarc.outcome, dmarc.policy, dmarc.record_domain.as_ref().map(Name::as_str));
        assert_eq!(found, (outcome, policy, Some(at)), "{author} {other}");
    }
}

#[test]
fn a_walk_asks_eight_times_at_most() {
    let author = "a.b.c.d.e.f.g.h.i.j.k.test";
    let (dmarc, asked) = run("_dmarc.k.test TXT v=DMARC1;p=reject\n", author, NOBODY, NOBODY);
    assert_eq!((dmarc.outcome, dmarc.policy, asked.len()), (Outcome::Fail, Policy::Reject, 8));
    assert!(asked.iter().any(|query| query.name.as_str() == "_dmarc.f.g.h.i.j.k.test"));
    assert!(!asked.iter().any(|query| query.name.as_str() == "_dmarc.e.f.g.h.i.j.k.test"));
    let same = vec![("b.k.test", Checked::TempError); 40];
    let (_, asked) = run("_dmarc.k.test TXT v=DMARC1;p=reject\n", author, NOBODY, &same);
    assert_eq!(asked.len(), 9);
    let strangers: Vec<(String, Checked)> = (0..10).map(|n| (format!("s{n}.test"), Checked::Pass)).collect();
    let strangers: Vec<(&str, Checked)> =
        strangers.iter().map(|(domain, checked)| (domain.as_str(), *checked)).collect();
    let (_, asked) = run("_dmarc.k.test TXT v=DMARC1;p=reject\n", author, NOBODY, &strangers);
    assert_eq!(asked.len(), 8);
    let long = format!("{}test", "xxxx.".repeat(49));
    let (dmarc, asked) = run("", &long, NOBODY, NOBODY);
    assert_eq!((dmarc.outcome, asked.len()), (Outcome::None, 7));
}

proptest! {
    /// Whatever records say: a pass needs somebody of the organisation, and no policy comes from nowhere.
    #[test]
    fn any_records_are_evaluated(pieces in prop::collection::vec(prop::sample::select(&[
        "v=DMARC1", ";", "; ", "p", "sp", "np", "t", "psd", "adkim", "aspf", "rua", "=", " = ", "none", "quarantine", "reject", "y",
        "n", "s", "mailto:r@d.test", "\nd.test TXT x", "\n_dmarc.d.test TXT v=DMARC1;", "\n_dmarc.test TXT v=DMARC1;p=none;",
    ][..]), 0..24)) {
        let rows = format!("_dmarc.mail.d.test TXT v=DMARC1;{}\n", pieces.concat());
        let (dmarc, asked) = run(&rows, "mail.d.test", &[("e.test", Checked::Pass)], &[("d.test.e.test", Checked::Pass)]);
        assert!(dmarc.outcome != Outcome::Pass && asked.len() <= 8, "{rows}: {dmarc:?}");
        assert_eq!(dmarc.record_domain.is_some(), dmarc.outcome == Outcome::Fail, "{rows}: {dmarc:?}");
        assert!(dmarc.policy == Policy::None || rows.contains(dmarc.policy.name()) || dmarc.policy == Policy::Quarantine, "{rows}");
    }
}
