//! Rows of what decides: a piece of a file, and what is said about it.

use std::path::Path;

use super::super::tests::{MINIMAL, accepted, check_added};
use super::super::{Outside, Rejected, read_with};
use crate::control::patterns::{self, Source};
use crate::policy::judge::{Cause, judge};
use crate::policy::lists::ListKind;
use crate::policy::rule::RuleIndex;
use crate::policy::settings::{Config, Spool, UpstreamIndex};
use crate::policy::verdict::Verdict;
use crate::scan::Rules;

const ALL: &str = r#"[inspect]
patterns = ["patterns/*.toml"]
budget = 900
cache = "cache"
protect = ["bank.example"]
limit = "quarantine"
depth = 20
parts = 100
header = "64KiB"
archive_depth = 3
expansion = "10MiB"
[quarantine]
path = "quarantine"
spool = "always"
size = "1GiB"
age = "7d"
[lists]
partners = "partners.txt"
kinds = ["executable", "script"]
friends = { file = "friends.txt", kind = "domains" }
[score]
tag = 5
defer = 7.5
quarantine = 10
reject = 15.0
symbols = { DLP_CARD = 9.5, MIME_DEFECT_TYPE_CONFLICT = -1 }
groups = { phishing = { symbols = ["DLP_*"], max = 8 } }
[[rule]]
name = "partners"
when = 'client.ip in lists.partners'
then = "pass"
[[rule]]
name = "programs"
when = 'attachments.exists(a, a.kind in ["executable"] || a.kind in lists.kinds)'
then = "reject"
reply = "5.7.1 executable attachments are not accepted here"
[[rule]]
name = "elsewhere"
when = "sender.domain in lists.friends"
then = "redirect"
to = "store"
shadow = true
"#;

const PATTERNS: &str = "[[pattern]]
symbol = 'DLP_CARD'
score = 2
why = 'x'
in = ['text']
match = '(a|b)cd'
";

/// The files beside the configuration.
struct Files;

impl Outside for Files {
    fn shown(&self, path: &str) -> String {
        path.to_owned()
    }

    fn read(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let text = match path {
            "partners.txt" => "10.0.0.0/8 # all\n",
            "friends.txt" => "example.org\n",
            "broken.txt" => "10.0.0.0/8\nlan\n\n10.0.0.1/8\n",
            "patterns/a.toml" => PATTERNS,
            "patterns/b.toml" => &PATTERNS.replace("DLP_CARD", "OTHER").replace("2", "-2"),
            "broken/a.toml" => &PATTERNS.replace("(a", "a"),
            "broken/b.toml" => &PATTERNS.replace("DLP_CARD", "dlp").replace("why", "wy"),
            "latin1.toml" => return Ok(b"# \xe9".to_vec()),
            "large.toml" => return Err(format!("it has more than {bytes_max} bytes")),
            _ => return Err("No such file".to_owned()),
        };
        Ok(text.as_bytes().to_vec())
    }

    fn names(&self, folder: &str) -> Result<Vec<String>, String> {
        match folder {
            "patterns" | "broken" => Ok(["b.toml", "a.toml", "a.toml~", ".a.toml"].map(str::to_owned).into()),
            "" => Ok(Vec::new()),
            _ => Err("No such folder".to_owned()),
        }
    }

    fn compile(&self, sources: &[Source], _: Option<&Path>) -> Result<Rules, Vec<String>> {
        patterns::compile_here(sources).map_err(patterns::lines)
    }
}

#[track_caller]
fn read_all(text: &str) -> Config {
    read_with("p.toml", &format!("{MINIMAL}{text}"), &Files).unwrap()
}

/// `wanted` without the file's name; lines count from 11.
#[track_caller]
fn check(text: &str, wanted: &[&str]) {
    let wanted = wanted.iter().map(|line| format!("p.toml:{line}")).collect();
    let got = read_with("p.toml", &format!("{MINIMAL}{text}"), &Files);
    assert_eq!(got.err(), Some(Rejected(wanted)), "{text}");
}

#[test]
fn nothing_decides_by_default() {
    let config = accepted(MINIMAL);
    assert!(config.policy.rules.is_empty() && config.quarantine.is_none() && !config.inspect.enabled);
    assert_eq!(config.policy.limit, Verdict::Defer);
    assert_eq!(config.policy.thresholds.verdict(1000.0), Verdict::Pass);
}

#[test]
fn every_key_of_inspection_is_read() {
    let config = read_all(ALL);
    let inspect = &config.inspect;
    assert!(inspect.enabled && inspect.patterns.len() == 1 && inspect.cache.is_some());
    assert_eq!(
        (inspect.budget_ns, inspect.protect.as_slice()),
        (Some(900), &["bank.example".to_owned()][..])
    );
    assert_eq!((inspect.bounds.depth, inspect.bounds.parts, inspect.bounds.header_bytes), (20, 100, 65_536));
    assert_eq!((inspect.bounds.archive_depth, inspect.bounds.expansion_bytes), (3, 10 << 20));
    assert_eq!(config.policy.limit, Verdict::Quarantine);
    let quarantine = config.quarantine.unwrap();
    assert_eq!((quarantine.spool, quarantine.bytes_max), (Spool::Always, 1 << 30));
    assert_eq!(quarantine.age_max.as_secs(), 7 * 86_400);
}

#[test]
fn every_key_of_policy_is_read() {
    let policy = read_all(ALL).policy;
    let kinds: Vec<_> = policy.lists.iter().map(|(name, list)| (name, list.kind())).collect();
    let want = [("partners", ListKind::Networks), ("kinds", ListKind::Names), ("friends", ListKind::Domains)];
    assert_eq!(kinds, want);
    assert_eq!(policy.thresholds.verdict(7.5), Verdict::Defer);
    assert!(!policy.scores.only_grow());
    let rules: Vec<_> = policy.rules.iter().map(|(_, rule)| (rule.then, rule.shadow)).collect();
    let redirect = Verdict::Redirect(UpstreamIndex(0));
    assert_eq!(rules, [(Verdict::Pass, false), (Verdict::Reject, false), (redirect, true)]);
    assert!(policy.rules.reads().attachments && !policy.rules.reads().digests);
}

#[test]
fn what_was_read_decides() {
    let config = read_all(ALL);
    let mut facts = crate::policy::facts::Facts::default();
    let place = facts.add_attachment("a.vbs", "").unwrap();
    facts.attachments[place].kind = crate::policy::facts::Known::new("script");
    let judgement = judge(&facts, &config.policy, &config.workers);
    assert_eq!(judgement.cause, Cause::Rule(RuleIndex(1)));
    let reply = judgement.reply.unwrap().first_line();
    assert_eq!(reply, "550 5.7.1 executable attachments are not accepted here");
    facts.client.ip = crate::policy::facts::Known::new("10.1.2.3");
    assert_eq!(judge(&facts, &config.policy, &config.workers).verdict, Verdict::Pass);
}

fn rule(lines: &str) -> String {
    format!("[inspect]\n[[rule]]\nname = \"x\"\n{lines}\n")
}

#[test]
fn faults_of_when_stand_where_they_are() {
    check(
        &rule("when = 'clent.ip == \"x\" || urls.exists(u, u.hots == \"\")'\nthen = \"reject\""),
        &[
            "14:9: there is no fact `clent`; did you mean `client`?",
            "14:44: a URL has no `hots`; did you mean `host`?",
        ],
    );
    check(
        &rule("when = '''\ntrue &&\n  nothing'''\nthen = \"reject\""),
        &[
            "16:3: there is no fact `nothing`; known: client, sender, recipients, lane, message, attachments, urls, \
             symbols, score, lists",
        ],
    );
    // Escapes: the text is not to be found in the file.
    check(
        &rule("when = \"\\\"x\\\" == lan\"\nthen = \"reject\""),
        &["14:8: there is no fact `lan`; did you mean `lane`?"],
    );
    check(&rule("when = 'client.ip =='\nthen = \"reject\""), &["14:21: mismatched input '<EOF>'"]);
    check(
        &rule("when = 'client.port'\nthen = \"tag\""),
        &["14:15: expected true or false, found a whole number"],
    );
}

#[test]
fn all_faults_of_a_rule_are_told_at_once() {
    check(
        &rule("when = 'x'\nthen = \"rejct\"\nreply = \"no\"\nshadow = 1\nnow = true"),
        &[
            "14:9: there is no fact `x`; known: client, sender, recipients, lane, message, attachments, urls, \
             symbols, score, lists",
            "15:8: `rejct` is not known here; did you mean `reject`?",
            "17:10: expected true or false, found a whole number",
            "18:1: unknown key `now` in rule; known: name, when, then, to, reply, shadow",
        ],
    );
    check(
        "[[rule]]\n",
        &[
            "11:1: `name` is missing in rule",
            "11:1: `when` is missing in rule",
            "11:1: `then` is missing in rule",
        ],
    );
    check("[rule]\n", &["11:1: write [[rule]] with two brackets: there may be several"]);
    let one = "[[rule]]\nname = \"a\"\nwhen = 'true'\nthen = \"tag\"\n";
    check(&one.repeat(2), &["16:8: another rule is called `a` already"]);
}

#[test]
fn verdicts_need_what_they_need() {
    for (lines, wanted) in [
        (
            "then = \"redirect\"",
            "12:1: `to` is missing in rule: the upstream that messages are redirected to",
        ),
        ("then = \"redirect\"\nto = \"stor\"", "16:6: `stor` is not known here; did you mean `store`?"),
        ("then = \"reject\"\nto = \"store\"", "16:6: `to` is for redirect; with `reject` it says nothing"),
        ("then = \"quarantine\"", "15:8: there is no quarantine: add [quarantine] with a `path`"),
        (
            "then = \"reject\"\nreply = \"4.7.1 later\"",
            "16:9: 4.7.1 does not fit `reject`; write one like \"5.7.1 not accepted here\"",
        ),
        ("then = \"tag\"\nreply = \"2.0.0 ok\"", "16:9: with `tag` the next hop replies, not the rule"),
    ] {
        check(&rule(&format!("when = 'true'\n{lines}")), &[wanted]);
    }
}

#[test]
fn rules_over_content_need_inspection() {
    let of = |when: &str| format!("[[rule]]\nname = \"x\"\nwhen = '{when}'\nthen = \"tag\"\n");
    let wanted = "13:8: asks for what only inspection finds: add [inspect]";
    for when in ["score > 1.0", "size(urls) > 1", "message.subject == \"\"", "\"A\" in symbols"] {
        check(&of(when), &[wanted]);
    }
    for when in ["message.size > 1", "client.port == 1", "sender.dmarc == \"pass\""] {
        read_all(&of(when));
    }
}

#[test]
fn scores_are_checked() {
    for (lines, wanted) in [
        ("tag = \"5\"", "12:7: expected a number, found a string"),
        ("tag = nan", "12:7: nan is out of range: -1000 to 1000"),
        ("reject = 1e9", "12:10: 1e9 is out of range: -1000 to 1000"),
        ("tag = 5\nreject = 4.5", "13:10: reject = 4.5 is less than tag = 5"),
        ("quarantine = 5", "12:14: there is no quarantine: add [quarantine] with a `path`"),
        ("symbols = { URL_MISLEADS = true }", "12:28: expected a number, found true or false"),
        ("groups = { g = { symbols = [\"URL_*\"] } }", "12:16: `max` is missing in group"),
        ("tga = 5", "12:1: unknown key `tga` in score; did you mean `tag`?"),
    ] {
        check(&format!("[score]\n{lines}\n"), &[wanted]);
    }
}

#[test]
fn scores_are_of_symbols_that_something_finds() {
    let with = |lines: &str| format!("[inspect]\npatterns = [\"patterns/a.toml\"]\n[score]\n{lines}\n");
    for (line, wanted) in [
        (
            "symbols = { DLP_CADR = 1 }",
            "14:24: nothing finds the symbol `DLP_CADR`; did you mean `DLP_CARD`?",
        ),
        (
            "symbols = { MIME_DEFECT_TYP_CONFLICT = 1 }",
            "14:40: nothing finds the symbol `MIME_DEFECT_TYP_CONFLICT`; did you mean \
             `MIME_DEFECT_TYPE_CONFLICT`?",
        ),
        ("symbols = { RULE_ERROR = 1 }", "14:26: nothing finds the symbol `RULE_ERROR`"),
        (
            "groups = { g = { symbols = [\"DLP_CARD\", \"URL_TRICKS_*\"], max = 1 } }",
            "14:41: no symbol begins with `URL_TRICKS_`",
        ),
    ] {
        check(&with(line), &[wanted]);
    }
    read_all(&with("symbols = { LIMIT_SCAN_FLOOD = 2 }\ngroups = { g = { symbols = [\"*\"], max = 1 } }"));
    // Nothing is looked for: what others find says nothing.
    check("[score]\nsymbols = { DLP_CARD = 1 }\n", &["12:24: nothing finds the symbol `DLP_CARD`"]);
    // What patterns with faults find is not known; only their faults are told.
    let broken = format!("{MINIMAL}{}", with("symbols = { DLP_CADR = 1 }").replace("patterns/a", "broken/a"));
    let Err(Rejected(lines)) = read_with("p.toml", &broken, &Files) else { panic!("it has faults") };
    assert!(lines.iter().all(|line| line.starts_with("broken/a.toml:")), "{lines:?}");
}

#[test]
fn lists_are_checked() {
    let kinds = "domains, addresses, networks, hashes, names";
    for (line, wanted) in [
        ("a = \"gone.txt\"", "12:5: gone.txt: No such file".to_owned()),
        ("a = { file = \"gone.txt\" }", "12:14: gone.txt: No such file".to_owned()),
        ("a = { kind = \"names\" }", "12:5: a list has a `file` or `entries`".to_owned()),
        ("a = { entries = [], kind = \"words\" }", format!("12:28: `words` is not known here; known: {kinds}")),
        ("a-b = []", "12:7: `a-b` cannot be written behind `lists.`: letters, digits and `_`".to_owned()),
        ("a = 1", "12:5: expected an array, found a whole number".to_owned()),
        (
            "a = [\"10.0.0.0/8\", \"lan\"]",
            "12:20: `lan` is not a network like \"10.0.0.0/8\" (no bits beyond its prefix); a list is of one \
             kind, which `kind` can name"
                .to_owned(),
        ),
    ] {
        check(&format!("[lists]\n{line}\n"), &[&wanted]);
    }
    let not = "is not a network like \"10.0.0.0/8\" (no bits beyond its prefix); a list is of one kind, which `kind` \
               can name";
    check(
        "[lists]\na = \"broken.txt\"\n[[rule]]\nname = \"x\"\nwhen = 'client.ip in lists.a || lane in lists.b'\nthen = \"tag\"\n",
        &[
            &format!("12:5: broken.txt:2: `lan` {not}"),
            &format!("12:5: broken.txt:4: `10.0.0.1/8` {not}"),
            "15:46: there is no list `b`; did you mean `a`?",
        ],
    );
    check_added(
        "[lists]\na = \"partners.txt\"\n",
        &["12:5: partners.txt: there is no folder to look for it"],
    );
}

#[test]
fn inspection_and_quarantine_are_checked() {
    for (lines, wanted) in [
        ("[inspect]\npatterns = [\"a.toml\"]", "12:13: a.toml: No such file"),
        ("[inspect]\npatterns = [\"*.toml\"]", "12:13: *.toml: there is no such file"),
        ("[inspect]\npatterns = [\"no/*.toml\"]", "12:13: no/: No such folder"),
        ("[inspect]\npatterns = [\"latin1.toml\"]", "12:13: latin1.toml: not UTF-8 at byte 2"),
        ("[inspect]\npatterns = [\"large.toml\"]", "12:13: large.toml: it has more than 16777216 bytes"),
        (
            "[inspect]\nlimit = \"pass\"",
            "12:9: `pass` is not known here; known: tag, defer, quarantine, reject",
        ),
        ("[inspect]\nlimit = \"quarantine\"", "12:9: there is no quarantine: add [quarantine] with a `path`"),
        ("[inspect]\npatterns = [\"*/a.toml\"]", "12:13: `*/a.toml`: `*` can stand in the last part only"),
        (
            "[inspect]\nprotect = [\"a b\"]",
            "12:12: `a b` is not a host name; write one like \"mx1.example.net\"",
        ),
        ("[inspect]\nbudget = 0", "12:10: 0 is out of range: 1 to 1000000000"),
        ("[inspect]\nparst = 1", "12:1: unknown key `parst` in inspect; did you mean `parts`?"),
        ("[quarantine]", "11:1: `path` is missing in quarantine"),
        (
            "[quarantine]\npath = \"s3://b/p\"",
            "12:8: a store in S3 is not available in this version; name a folder",
        ),
        (
            "[quarantine]\npath = \"q\"\nspool = \"sometimes\"",
            "13:9: `sometimes` is not known here; known: never, suspect, always",
        ),
    ] {
        check(&format!("{lines}\n"), &[wanted]);
    }
}

#[test]
fn patterns_are_compiled() {
    assert!(accepted(MINIMAL).engine.is_none());
    let config = read_all("[inspect]\n");
    assert!(config.engine.unwrap().rules().patterns().is_empty() && config.policy.scores.only_grow());
    let config = read_all("[inspect]\npatterns = [\"patterns/*.toml\", \"patterns/a.toml\"]\n");
    let engine = config.engine.unwrap();
    let symbols: Vec<_> = engine.rules().patterns().iter().map(|pattern| pattern.symbol.as_str()).collect();
    assert_eq!(symbols, ["DLP_CARD", "OTHER"]);
    assert!(!config.policy.scores.only_grow());
}

#[test]
fn faults_of_patterns_come_with_the_others() {
    let text = "[inspect]\npatterns = [\"broken/*.toml\"]\nparst = 1\n";
    let Rejected(lines) = read_with("p.toml", &format!("{MINIMAL}{text}"), &Files).unwrap_err();
    let wanted = [
        "p.toml:13:1: unknown key `parst`",
        "broken/a.toml:6:9: ",
        "broken/b.toml:1:1: `why` is missing",
        "broken/b.toml:2:10: a symbol is made of",
        "broken/b.toml:4:1: unknown key `wy`",
    ];
    assert_eq!(lines.len(), wanted.len(), "{lines:#?}");
    for (line, wanted) in lines.iter().zip(wanted) {
        assert!(line.starts_with(wanted), "{line}");
    }
}

#[test]
fn rules_know_what_can_be_found() {
    let of = |when: &str| {
        let rule = format!("[[rule]]\nname = \"x\"\nwhen = '{when}'\nthen = \"tag\"\n");
        format!("[inspect]\npatterns = [\"patterns/a.toml\"]\n{rule}")
    };
    read_all(&of("has(symbols.DLP_CARD) || has(symbols.LIMIT_DEPTH)"));
    read_all(&of("attachments.exists(a, a.kind == \"executable\")"));
    check(
        &of("has(symbols.DLP_CADR)"),
        &["15:20: nothing finds the symbol `DLP_CADR`; did you mean `DLP_CARD`?"],
    );
    let text = of("attachments.exists(a, a.kind == \"exe\")");
    let Rejected(lines) = read_with("p.toml", &format!("{MINIMAL}{text}"), &Files).unwrap_err();
    assert!(lines.len() == 1 && lines[0].contains("`exe`"), "{lines:#?}");
}
