//! `[[limit]]`: how much of what, of each of whom.

use std::time::Duration;

use super::policy::{Surroundings, condition};
use super::section::{Names, set};
use super::unit;
use crate::base::document::{Item, Section};
use crate::base::quantity;
use crate::limits::LIMITS_MAX;
use crate::policy::condition::{Condition, Phase, Scope};
use crate::policy::limit::{Limits, Moment, Settings, counted, known};
use crate::traffic::limit::{Amount, By, Count, Limit};

const COUNTS: &[(&str, Count)] = &[
    ("connections", Count::Connections),
    ("messages", Count::Messages),
    ("recipients", Count::Recipients),
    ("bytes", Count::Bytes),
    ("refusals", Count::Refusals),
];

const KEYS: &[(&str, Option<By>)] = &[
    ("client.ip", Some(By::ClientIp)),
    ("client.net", Some(By::ClientNet)),
    ("client.asn", None),
    ("sender.domain", Some(By::SenderDomain)),
    ("sender.address", Some(By::SenderAddress)),
    ("recipient.domain", Some(By::RecipientDomain)),
    ("auth.user", Some(By::AuthUser)),
];

const PERIODS: &[(&str, u64)] = &[("s", 1), ("min", 60), ("h", 3600), ("d", 86_400)];

/// Keys of one limit that are remembered.
const ENTRIES: u64 = 100_000;
const ENTRIES_MAX: u64 = 2_000_000;
/// More than this nobody counts; arithmetic has room for it.
const TOKENS_MAX: u64 = 1 << 50;

pub(super) fn limits(root: &mut Section<'_>, scope: Scope<'_>, around: Surroundings<'_>) -> Limits {
    let sections = root.optional_sections("limit");
    if let Some(section) = sections.get(LIMITS_MAX) {
        section.fault(format!("more than {LIMITS_MAX} limits"));
    }
    let mut names = Names::default();
    let limits = sections.into_iter().filter_map(|section| limit(section, &mut names, scope, around));
    Limits::new(limits.collect())
}

fn limit(
    mut section: Section<'_>,
    names: &mut Names,
    scope: Scope<'_>,
    around: Surroundings<'_>,
) -> Option<Settings> {
    let name = names.read(&mut section, "limit");
    let by = section.required("key").and_then(key);
    let count = section.required("count").and_then(|item| item.choice(COUNTS));
    let amount = amount(&mut section, count);
    let when = section.item("when").map(|item| when(item, count, scope, around));
    let exempt = section.item("exempt").map(|item| item.list(unit::network)).unwrap_or_default();
    let alerts = section.item("alert").and_then(Item::flag).unwrap_or(false);
    let mut entries = ENTRIES;
    set(&mut entries, section.item("entries").and_then(|item| item.count(1000..=ENTRIES_MAX)));
    if let (Some(by), Some(count)) = (by, count) {
        check(&section, by, count);
    }
    section.finish();
    let entries = usize::try_from(entries).unwrap_or(usize::MAX);
    let limit = Limit { name, by: by?, count: count?, amount: amount?, entries, alerts };
    let when = match when {
        None => None,
        Some(when) => Some(when?),
    };
    Some(Settings { limit, when, exempt })
}

fn key(item: Item<'_>) -> Option<By> {
    let by = item.choice(KEYS)?;
    if by.is_none() {
        item.fault(
            "networks of clients (client.asn) are not known in this version: client.net is the nearest",
        );
    }
    by
}

/// What is counted and what it is counted for must be known at the same time.
fn check(section: &Section<'_>, by: By, count: Count) {
    if known(by) <= counted(count) {
        return;
    }
    let fault = match (by, count) {
        (By::RecipientDomain, Count::Connections) => {
            "of a connection no recipient is known: count recipients"
        }
        (By::RecipientDomain, _) => "a message has recipients of many domains: count recipients",
        (_, _) => "of a connection only the client is known: key is client.ip or client.net",
    };
    section.fault_at("key", fault);
}

/// `rate` and `burst`, or `concurrent`.
fn amount(section: &mut Section<'_>, count: Option<Count>) -> Option<Amount> {
    let (rate_item, burst, concurrent) =
        (section.item("rate"), section.item("burst"), section.item("concurrent"));
    let amount = match (rate_item, concurrent) {
        (Some(item), None) => item.parse(|text| rate(text, count == Some(Count::Bytes))),
        (None, Some(item)) => item.count(1..=1_000_000).map(|max| Amount::Concurrent { max }),
        (None, None) => {
            section.fault("`rate` or `concurrent` is missing in limit");
            None
        }
        (Some(_), Some(item)) => {
            item.fault("a limit has a rate or is concurrent: make two of it");
            None
        }
    };
    let is_held = matches!(count, None | Some(Count::Connections | Count::Messages));
    if let Some(item) = concurrent.filter(|_| !is_held) {
        item.fault("only connections and messages are there at a time: give it a rate");
    }
    match (amount, burst) {
        (Some(Amount::Rate { tokens, per, .. }), Some(item)) => {
            let burst = match count {
                Some(Count::Bytes) => item.size(1..=TOKENS_MAX),
                _ => item.count(1..=TOKENS_MAX),
            };
            burst.map(|burst| Amount::Rate { tokens, per, burst })
        }
        (amount @ Some(Amount::Concurrent { .. }), Some(item)) => {
            item.fault("with `concurrent` there is no burst");
            amount
        }
        (amount, _) => amount,
    }
}

/// `"100/min"`, of octets `"50MiB/h"`.
fn rate(text: &str, is_size: bool) -> Result<Amount, String> {
    let example = if is_size { "50MiB/h" } else { "100/min" };
    let wrong =
        || format!("`{}` is not a rate; write one like \"{example}\" (s, min, h, d)", text.escape_debug());
    let (number, period) = text.split_once('/').ok_or_else(wrong)?;
    let (_, seconds) = PERIODS.iter().find(|(name, _)| *name == period).ok_or_else(wrong)?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let tokens = match (is_size, digits) {
        (true, false) => quantity::size(number).map_err(|_| wrong())?,
        (false, false) => return Err(wrong()),
        (_, true) => number.parse().map_err(|_| wrong())?,
    };
    if !(1..=TOKENS_MAX).contains(&tokens) {
        return Err(format!("{tokens} is out of range: 1 to {TOKENS_MAX}"));
    }
    Ok(Amount::Rate { tokens, per: Duration::from_secs(*seconds), burst: tokens })
}

/// A condition over what is known when the limit is asked.
fn when(
    item: Item<'_>,
    count: Option<Count>,
    scope: Scope<'_>,
    around: Surroundings<'_>,
) -> Option<Condition> {
    let condition = condition(item, scope, around)?;
    let (phase, place) = match count {
        None => return Some(condition),
        Some(Count::Connections | Count::Refusals) => (Phase::Connect, "somebody connects"),
        Some(count) if counted(count) == Moment::Mail => (Phase::Mail, "MAIL comes"),
        Some(_) => (Phase::Mail, "RCPT comes, but of whom the mail is"),
    };
    if condition.phase() > phase {
        item.fault(format!("asks for what is not known when {place}"));
        return None;
    }
    Some(condition)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MINIMAL, accepted, check_added};
    use super::*;

    fn limits(text: &str) -> Limits {
        accepted(&format!("{MINIMAL}\n{text}")).policy.limits
    }

    fn limit(more: &str) -> String {
        format!("[[limit]]\nname = \"a\"\n{more}")
    }

    #[test]
    fn without_limits_there_is_none() {
        assert!(limits("").is_empty());
    }

    #[test]
    fn all_of_it_is_read() {
        let limits = limits(
            "[[limit]]\nname = \"per-client\"\nkey = \"client.net\"\ncount = \"messages\"\nrate = \"100/min\"\nburst = 200\n\
             when = 'client.auth_user == \"\"'\nexempt = [\"10.0.0.0/8\"]\nalert = true\nentries = 2000000\n\
             [[limit]]\nname = \"b\"\nkey = \"client.ip\"\ncount = \"connections\"\nconcurrent = 50\n",
        );
        let [first, second] = [0, 1].map(|index| limits.find(index).unwrap());
        let minute = Duration::from_secs(60);
        assert_eq!(
            first.limit,
            Limit {
                name: "per-client".to_owned(),
                by: By::ClientNet,
                count: Count::Messages,
                amount: Amount::Rate { tokens: 100, per: minute, burst: 200 },
                entries: 2_000_000,
                alerts: true,
            }
        );
        assert!(first.when.is_some() && first.spares("10.1.2.3".parse().unwrap()));
        assert_eq!(second.limit.amount, Amount::Concurrent { max: 50 });
        assert_eq!(
            (second.limit.entries, second.limit.alerts, second.when.is_none()),
            (100_000, false, true)
        );
    }

    #[test]
    fn rates_have_a_number_and_a_period() {
        let second = Duration::from_secs(1);
        for (text, is_size, want) in [
            ("100/min", false, Some((100, 60 * second))),
            ("5/s", false, Some((5, second))),
            ("2000/h", false, Some((2000, 3600 * second))),
            ("10000/d", false, Some((10_000, 86_400 * second))),
            ("50MiB/h", true, Some((50 << 20, 3600 * second))),
            ("1000/s", true, Some((1000, second))),
            ("50MiB/h", false, None),
            ("0/s", false, None),
            ("5", false, None),
            ("5/m", false, None),
            ("/s", false, None),
            ("-5/s", false, None),
            ("5.5/s", false, None),
            ("99999999999999999999/s", false, None),
        ] {
            let want = want.map(|(tokens, per)| Amount::Rate { tokens, per, burst: tokens });
            assert_eq!(rate(text, is_size).ok(), want, "{text}");
        }
    }

    #[test]
    fn faults_are_told() {
        for (more, wanted) in [
            (
                "key = \"client.asn\"\ncount = \"messages\"\nrate = \"5/s\"\n",
                "13:7: networks of clients (client.asn) are not known in this version: client.net is the nearest",
            ),
            (
                "key = \"client.ipp\"\ncount = \"messages\"\nrate = \"5/s\"\n",
                "13:7: `client.ipp` is not known here; did you mean `client.ip`?",
            ),
            (
                "key = \"client.ip\"\ncount = \"messages\"\n",
                "11:1: `rate` or `concurrent` is missing in limit",
            ),
            (
                "key = \"client.ip\"\ncount = \"messages\"\nrate = \"5/s\"\nconcurrent = 5\n",
                "16:14: a limit has a rate or is concurrent: make two of it",
            ),
            (
                "key = \"client.ip\"\ncount = \"recipients\"\nconcurrent = 5\n",
                "15:14: only connections and messages are there at a time: give it a rate",
            ),
            (
                "key = \"client.ip\"\ncount = \"messages\"\nconcurrent = 5\nburst = 5\n",
                "16:9: with `concurrent` there is no burst",
            ),
            (
                "key = \"client.ip\"\ncount = \"messages\"\nrate = \"5/m\"\n",
                "15:8: `5/m` is not a rate; write one like \"100/min\" (s, min, h, d)",
            ),
            (
                "key = \"client.ip\"\ncount = \"messages\"\nrate = \"5/s\"\nburst = 0\n",
                "16:9: 0 is out of range: 1 to 1125899906842624",
            ),
            (
                "key = \"sender.domain\"\ncount = \"connections\"\nrate = \"5/s\"\n",
                "13:7: of a connection only the client is known: key is client.ip or client.net",
            ),
            (
                "key = \"recipient.domain\"\ncount = \"bytes\"\nrate = \"5/s\"\n",
                "13:7: a message has recipients of many domains: count recipients",
            ),
            (
                "key = \"client.ip\"\ncount = \"connections\"\nrate = \"5/s\"\nwhen = 'sender.domain == \"a\"'\n",
                "16:8: asks for what is not known when somebody connects",
            ),
            (
                "key = \"client.ip\"\ncount = \"messages\"\nrate = \"5/s\"\nwhen = 'message.size > 5'\n",
                "16:8: asks for what is not known when MAIL comes",
            ),
            (
                "key = \"client.ip\"\ncount = \"messages\"\nrate = \"5/s\"\nentries = 5\n",
                "16:11: 5 is out of range: 1000 to 2000000",
            ),
            (
                "key = \"client.ip\"\ncount = \"messages\"\nrate = \"5/s\"\nrates = 5\n",
                "16:1: unknown key `rates` in limit; did you mean `rate`?",
            ),
        ] {
            check_added(&limit(more), &[wanted]);
        }
        let many: String = (0..65)
            .map(|n| {
                format!(
                    "[[limit]]\nname = \"l{n}\"\nkey = \"client.ip\"\ncount = \"messages\"\nrate = \"5/s\"\n"
                )
            })
            .collect();
        check_added(&many, &["331:1: more than 64 limits"]);
    }

    /// What `appliance/postern.toml` shows of limits.
    #[test]
    fn the_shipped_examples_are_accepted() {
        let shipped = include_str!("../../../appliance/postern.toml");
        let begin = shipped.find("#[[limit]]").unwrap();
        let end = begin + shipped[begin..].find("# Sets for rules").unwrap();
        let meant = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
        let lines = shipped[begin..end].lines().filter(meant).map(|line| format!("{}\n", &line[1..]));
        let shown = limits(&lines.collect::<String>());
        assert_eq!(shown.len(), 6);
    }
}
