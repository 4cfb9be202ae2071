//! `[[rule]]`, `[[lane]]`, `[[limit]]`, `[score]` and `[lists]`: what decides over a message.

use std::collections::{BTreeSet, HashMap};

use super::lane::lanes;
use super::limit::limits;
use super::section::{Names, known_upstream, set};
use crate::base::document::{Item, Section};
use crate::limits::{RULES_MAX, SCORE_GROUP_NAMES_MAX, SCORE_GROUPS_MAX, SCORE_MAX};
use crate::policy::condition::{Condition, Scope};
use crate::policy::judge::Policy;
use crate::policy::lists::{LineFault, List, ListKind, Lists};
use crate::policy::rule::{self, Rule, Rules};
use crate::policy::score::{Group, Scores, Thresholds};
use crate::policy::settings::{Inspect, Quarantine, Upstream, UpstreamIndex};
use crate::policy::symbol;
use crate::policy::verdict::Verdict;

/// What `then` may say; where a redirected message goes is told apart.
const VERDICTS: &[(&str, Verdict)] = &[
    ("pass", Verdict::Pass),
    ("tag", Verdict::Tag),
    ("defer", Verdict::Defer),
    ("greylist", Verdict::Greylist),
    ("reject", Verdict::Reject),
    ("quarantine", Verdict::Quarantine),
    ("discard", Verdict::Discard),
    ("redirect", Verdict::Redirect(UpstreamIndex(0))),
];

/// Reads a file that the configuration names.
type Files<'a> = dyn Fn(&str) -> Result<Vec<u8>, String> + 'a;

/// What else of the configuration rules depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) upstreams: &'a [Upstream],
    pub(super) inspect: &'a Inspect,
    pub(super) quarantine: Option<&'a Quarantine>,
    /// First contacts can be told to come again.
    pub(super) greylists: bool,
    /// All symbols that can be found; `None`: not known.
    pub(super) symbols: Option<&'a BTreeSet<String>>,
    /// All kinds that files can be of; none: not known.
    pub(super) kinds: &'a [&'a str],
}

/// `limit` is what `[inspect]` says about messages that could not be looked at to their end.
pub(super) fn policy(
    root: &mut Section<'_>,
    limit: Verdict,
    files: &Files<'_>,
    around: Surroundings<'_>,
) -> Policy {
    let lists = lists(root.section("lists"), files);
    let (scores, thresholds) = score(root.section("score"), around);
    let sections = root.optional_sections("rule");
    if let Some(section) = sections.get(RULES_MAX) {
        section.fault(format!("more than {RULES_MAX} rules"));
    }
    let mut names = Names::default();
    // Without inspection a rule over symbols has a graver fault than their names.
    let symbols = around.symbols.filter(|_| around.inspect.enabled);
    let scope = Scope { lists: &lists, symbols, kinds: around.kinds };
    let rules = sections.into_iter().filter_map(|section| rule(section, &mut names, scope, around));
    let rules = Rules::new(rules.collect());
    let lanes = lanes(root, scope, around);
    let limits = limits(root, scope, around);
    Policy { limit, rules, scores, thresholds, lanes, limits, lists, ..Policy::default() }
}

fn rule(
    mut section: Section<'_>,
    names: &mut Names,
    scope: Scope<'_>,
    around: Surroundings<'_>,
) -> Option<Rule> {
    let name = names.read(&mut section, "rule");
    let when = section.required("when").and_then(|item| condition(item, scope, around));
    let then = section.required("then").and_then(|item| item.choice(VERDICTS));
    let to = section.item("to");
    let then = then.and_then(|then| destination(&section, then, to, around.upstreams));
    let reply = section.item("reply");
    let reply = then.and_then(|then| reply?.parse(|text| rule::reply(text, then)));
    let shadow = section.item("shadow").and_then(Item::flag).unwrap_or(false);
    if then == Some(Verdict::Quarantine) && around.quarantine.is_none() {
        section.fault_at("then", NO_QUARANTINE);
    }
    if then == Some(Verdict::Greylist) && !around.greylists {
        section.fault_at("then", "there is no greylist: add `greylist` to [first_contact]");
    }
    section.finish();
    Some(Rule { name, when: when?, then: then?, reply, shadow })
}

pub(super) const NO_QUARANTINE: &str = "there is no quarantine: add [quarantine] with a `path`";

/// The expression of `when`; each fault is told where it stands, if the text can be found in the file.
pub(super) fn condition(item: Item<'_>, scope: Scope<'_>, around: Surroundings<'_>) -> Option<Condition> {
    let text = item.text()?;
    match Condition::compile(text, scope) {
        Ok(condition) if condition.reads().content && !around.inspect.enabled => {
            item.fault("asks for what only inspection finds: add [inspect]");
            None
        }
        Ok(condition) => Some(condition),
        Err(faults) => {
            for fault in faults {
                item.fault_within(fault.offset, fault.message);
            }
            None
        }
    }
}

/// `to` belongs to `redirect`, and to nothing else.
fn destination(
    section: &Section<'_>,
    then: Verdict,
    to: Option<Item<'_>>,
    upstreams: &[Upstream],
) -> Option<Verdict> {
    match (then, to) {
        (Verdict::Redirect(_), Some(to)) => {
            let upstream = known_upstream(to, upstreams);
            if upstream.is_some_and(|UpstreamIndex(index)| upstreams[index].is_looked_up()) {
                to.fault("its servers depend on the recipient: redirect to an upstream that names them");
            }
            upstream.map(Verdict::Redirect)
        }
        (Verdict::Redirect(_), None) => {
            section.fault("`to` is missing in rule: the upstream that messages are redirected to");
            None
        }
        (then, Some(to)) => {
            to.fault(format!("`to` is for redirect; with `{}` it says nothing", then.name()));
            Some(then)
        }
        (then, None) => Some(then),
    }
}

fn score(section: Option<Section<'_>>, around: Surroundings<'_>) -> (Scores, Thresholds) {
    let mut thresholds = Thresholds::default();
    let Some(mut section) = section else { return (Scores::default(), thresholds) };
    let mut before: Option<(&str, f64)> = None;
    let Thresholds { tag, defer, quarantine, reject } = &mut thresholds;
    for (key, place) in [("tag", tag), ("defer", defer), ("quarantine", quarantine), ("reject", reject)] {
        let Some(value) = section.item(key).and_then(|item| item.number(-SCORE_MAX..=SCORE_MAX)) else {
            continue;
        };
        if let Some((lower, least)) = before.filter(|(_, least)| *least > value) {
            section.fault_at(key, format!("{key} = {value} is less than {lower} = {least}"));
        }
        *place = Some(value);
        before = Some((key, value));
    }
    if thresholds.quarantine.is_some() && around.quarantine.is_none() {
        section.fault_at("quarantine", NO_QUARANTINE);
    }
    let symbols = around.symbols;
    let changed = section.section("symbols").map(|section| changed_scores(section, symbols));
    let groups = section.section("groups").map(|section| groups(section, symbols));
    section.finish();
    (Scores::new(changed.unwrap_or_default(), groups.unwrap_or_default()), thresholds)
}

/// `symbols`: all that can be found, if that is known.
fn changed_scores(section: Section<'_>, symbols: Option<&BTreeSet<String>>) -> HashMap<String, f64> {
    let mut scores = HashMap::new();
    for (name, item) in section.entries() {
        if let Some(message) = symbols.and_then(|symbols| symbol::unknown(name, symbols)) {
            item.fault(message);
        }
        scores.extend(item.number(-SCORE_MAX..=SCORE_MAX).map(|score| (name.to_owned(), score)));
    }
    scores
}

/// `phishing = { symbols = ["PHISH_*"], max = 8.0 }`.
fn groups(section: Section<'_>, known: Option<&BTreeSet<String>>) -> Vec<Group> {
    let entries = section.entries();
    if let Some((_, item)) = entries.get(SCORE_GROUPS_MAX) {
        item.fault(format!("more than {SCORE_GROUPS_MAX} groups"));
    }
    let mut names_left = SCORE_GROUP_NAMES_MAX;
    let mut groups = Vec::new();
    for (name, item) in entries {
        let Some(mut section) = item.section("group") else { continue };
        let name_of = |name: &str| match known.and_then(|known| symbol::unknown(name, known)) {
            Some(message) => Err(message),
            None => Ok(name.to_owned()),
        };
        let symbols = section.required("symbols").map(|item| item.list(name_of));
        let max = section.required("max").and_then(|item| item.number(0.0..=SCORE_MAX));
        section.finish();
        let symbols = symbols.unwrap_or_default();
        match names_left.checked_sub(symbols.len()) {
            Some(left) => names_left = left,
            None => item.fault(format!("more than {SCORE_GROUP_NAMES_MAX} names in all groups")),
        }
        let mut max_of_group = SCORE_MAX;
        set(&mut max_of_group, max);
        groups.push(Group { name: name.to_owned(), symbols, max: max_of_group });
    }
    groups
}

fn lists(section: Option<Section<'_>>, files: &Files<'_>) -> Lists {
    let mut lists = Lists::default();
    let Some(section) = section else { return lists };
    for (name, item) in section.entries() {
        if !is_identifier(name) {
            item.fault(format!(
                "`{}` cannot be written behind `lists.`: letters, digits and `_`",
                name.escape_debug()
            ));
        }
        lists.add(name, list(item, files));
    }
    lists
}

/// `"file"`, `["entry", …]`, or `{ file = "…", kind = "domains" }`, or with `entries`.
fn list(item: Item<'_>, files: &Files<'_>) -> Option<List> {
    if item.as_text().is_some() {
        return list_of_file(item, None, files);
    }
    if !item.is_table() {
        return list_of_entries(item, None);
    }
    let mut section = item.section("lists")?;
    let kind = section.item("kind").and_then(|item| item.choice(&ListKind::ALL));
    let (file, entries) = (section.item("file"), section.item("entries"));
    section.finish();
    match (file, entries) {
        (Some(file), None) => list_of_file(file, kind, files),
        (None, Some(entries)) => list_of_entries(entries, kind),
        _ => {
            item.fault("a list has a `file` or `entries`");
            None
        }
    }
}

fn list_of_file(item: Item<'_>, kind: Option<ListKind>, files: &Files<'_>) -> Option<List> {
    let path = item.text()?;
    let bytes = match files(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            item.fault(format!("{path}: {error}"));
            return None;
        }
    };
    let told = |faults: Vec<LineFault>| {
        for LineFault { line, message } in faults {
            item.fault(format!("{path}:{line}: {message}"));
        }
    };
    List::read(&bytes, kind).map_err(told).ok()
}

fn list_of_entries(item: Item<'_>, kind: Option<ListKind>) -> Option<List> {
    let elements = item.elements();
    let entries: Vec<_> = elements.iter().filter_map(|element| element.text()).collect();
    let numbered = entries.iter().enumerate().map(|(index, entry)| (index, *entry));
    let told = |faults: Vec<LineFault>| {
        for LineFault { line, message } in faults {
            elements.get(line).unwrap_or(&item).fault(message);
        }
    };
    List::from_entries(numbered, kind).map_err(told).ok()
}

fn is_identifier(name: &str) -> bool {
    let may = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(may) && !name.as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests;
