//! `[first_contact]`, `[reputation]` and `[store]`: what is asked of strangers, who is none, and where that
//! is remembered.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::section::set;
use super::shared_store::{self, Address};
use super::{Outside, unit};
use crate::base::document::{Item, Section};
use crate::policy::first_contact::{Early, Greeting, Greylist, Settings, Tarpit};
use crate::policy::reputation;
use crate::policy::sender::{self, DmarcMode};
use crate::policy::settings::{Listener, Store};

const EARLY: &[(&str, Early)] = &[("reject", Early::Reject), ("mark", Early::Mark)];

const DAY: Duration = Duration::from_secs(86_400);
/// RFC 5321 §4.5.3.2.1 has clients wait five minutes; many wait half a minute.
const GREETING: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(20);
/// RFC 5321 §4.5.3.2: so long every client waits for any reply.
const TARPIT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(240);
/// Clients come again for some days (RFC 5321 §4.5.4.1).
const DELAY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
const KEEP: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3650 * 86_400);
/// Errors in a session, before it is ended for them.
const ERRORS: RangeInclusive<u64> = 1..=19;
const ENTRIES: RangeInclusive<u64> = 100..=5_000_000;

/// What these sections say.
#[derive(Debug)]
pub(super) struct Contacts {
    pub(super) first_contact: Option<Settings>,
    pub(super) reputation: Option<reputation::Settings>,
    pub(super) store: Store,
}

impl Contacts {
    pub(super) fn greylist(&self) -> Option<Greylist> {
        self.first_contact.as_ref().and_then(|settings| settings.greylist)
    }
}

pub(super) fn contacts(
    root: &mut Section<'_>,
    listeners: &[Listener],
    sender: Option<&sender::Settings>,
    outside: &dyn Outside,
) -> Contacts {
    let proves = sender.is_some_and(|sender| sender.spf || sender.dmarc != DmarcMode::Off);
    Contacts {
        first_contact: first_contact(root.section("first_contact"), listeners),
        reputation: reputation(root.section("reputation"), proves),
        store: store(root.section("store"), outside),
    }
}

fn first_contact(section: Option<Section<'_>>, listeners: &[Listener]) -> Option<Settings> {
    let mut section = section?;
    let choices: Vec<_> = listeners.iter().enumerate().map(|(n, it)| (it.name.as_str(), n)).collect();
    let named = |item: Item<'_>| {
        let elements = item.some_elements("listener").into_iter();
        elements.filter_map(|element| element.choice(&choices)).collect::<Vec<_>>()
    };
    let settings = Settings {
        listeners: section.item("listener").map(named),
        exempt: section.item("exempt").map(|item| item.list(unit::network)).unwrap_or_default(),
        greeting: greeting(&mut section),
        greylist: section.section("greylist").map(greylist),
        tarpit: tarpit(&mut section),
    };
    section.finish();
    Some(settings)
}

fn greeting(section: &mut Section<'_>) -> Option<Greeting> {
    let delay = section.item("delay");
    let early = section.item("early");
    if let (None, Some(early)) = (delay, early) {
        early.fault("nobody is early without a `delay` of the greeting");
    }
    let early = early.and_then(|item| item.choice(EARLY)).unwrap_or(Early::Reject);
    delay?.duration(GREETING).map(|delay| Greeting { delay, early })
}

/// `{ delay = "5m", pending = "1d", keep = "35d", passes = 5, all = true }`.
fn greylist(mut section: Section<'_>) -> Greylist {
    let mut greylist = Greylist::default();
    set(&mut greylist.delay, section.item("delay").and_then(|item| item.duration(DELAY)));
    set(&mut greylist.pending, section.item("pending").and_then(|item| item.duration(KEEP)));
    set(&mut greylist.keep, section.item("keep").and_then(|item| item.duration(KEEP)));
    set(&mut greylist.passes, section.item("passes").and_then(|item| item.count(1..=1_000_000)));
    set(&mut greylist.all, section.item("all").and_then(Item::flag));
    if greylist.pending <= greylist.delay {
        section.fault_at("pending", "pending is not more than delay: nobody could come again in time");
    }
    section.finish();
    greylist
}

/// `"10s"`, or `{ delay = "10s", errors = 3 }`.
fn tarpit(section: &mut Section<'_>) -> Option<Tarpit> {
    let item = section.item("tarpit")?;
    let errors = 3;
    if !item.is_table() {
        return item.duration(TARPIT).map(|delay| Tarpit { delay, errors });
    }
    let mut section = item.section("tarpit")?;
    let delay = section.required("delay").and_then(|item| item.duration(TARPIT));
    let errors = section.item("errors").map_or(Some(errors), |item| item.count(ERRORS));
    section.finish();
    Some(Tarpit { delay: delay?, errors: errors? })
}

/// `proves` says whether authors are looked at.
fn reputation(section: Option<Section<'_>>, proves: bool) -> Option<reputation::Settings> {
    let mut section = section?;
    let mut settings = reputation::Settings::default();
    set(&mut settings.history, section.item("history").and_then(|item| item.count(1..=1_000_000)));
    set(
        &mut settings.days,
        section.item("days").and_then(|item| item.count(0..=3650)).map(|days: u32| days * DAY),
    );
    set(&mut settings.keep, section.item("keep").and_then(|item| item.duration(KEEP)));
    if !proves {
        section.fault("nobody is known whose address could be forged: add [sender], with spf or dmarc");
    }
    section.finish();
    Some(settings)
}

fn store(section: Option<Section<'_>>, outside: &dyn Outside) -> Store {
    let mut store = Store::default();
    let Some(mut section) = section else { return store };
    let item = section.item("backend");
    let backend = item.and_then(|item| item.parse(backend));
    store.path = section.item("path").and_then(|item| item.parse(folder));
    let entries = section.item("entries");
    set(&mut store.entries_max, entries.and_then(|item| item.count(ENTRIES)));
    match (item, backend) {
        (Some(item), Some(Backend::Shared(address))) => {
            store.shared = shared_store::shared(item, address, &mut section, outside);
            if store.path.is_some() {
                section.fault_at("path", "with this backend nothing is kept on disk here: leave it out");
            }
            if let Some(entries) = entries {
                entries.fault("the shared store says itself how much it keeps: its `maxmemory`");
            }
        }
        // What belongs to it cannot be judged.
        (Some(_), None) => shared_store::pass_over(&mut section),
        (None, _) | (_, Some(Backend::Memory)) => shared_store::refuse(&mut section),
    }
    if item.and_then(Item::as_text) == Some("memory") && store.path.is_some() {
        section.fault_at("path", "with backend = \"memory\" nothing is kept on disk: leave one of them out");
    }
    section.finish();
    store
}

enum Backend {
    Memory,
    Shared(Address),
}

fn backend(text: &str) -> Result<Backend, String> {
    if text == "memory" {
        return Ok(Backend::Memory);
    }
    // Of an address only its beginning is shown: a password may stand in the rest.
    let unknown = || {
        let begin = text.split(':').next().unwrap_or_default();
        format!(
            "`{}` is not known here: \"memory\", \"redis://host:port\", or a `path` instead of a backend",
            begin.escape_debug()
        )
    };
    shared_store::address(text).ok_or_else(unknown)?.map(Backend::Shared)
}

fn folder(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("names no folder".to_owned()) } else { Ok(PathBuf::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MINIMAL, accepted, check_added};
    use super::*;

    fn config(text: &str) -> crate::policy::settings::Config {
        accepted(&format!("{MINIMAL}\n{text}"))
    }

    #[test]
    fn what_is_not_said_is_off() {
        let plain = accepted(MINIMAL);
        assert!(plain.first_contact.is_none() && plain.reputation.is_none() && !plain.listeners[0].outbound);
        assert_eq!(plain.store, Store::default());
        let empty = config("[first_contact]\n");
        assert_eq!(empty.first_contact.as_deref(), Some(&Settings::default()));
        assert!(!empty.policy.greylists_all);
    }

    #[test]
    fn all_of_it_is_read() {
        let config = config(
            "[first_contact]\nlistener = [\"in\"]\nexempt = [\"10.0.0.0/8\"]\ndelay = \"6s\"\nearly = \"mark\"\n\
             greylist = { delay = \"2m\", pending = \"12h\", keep = \"10d\", passes = 2, all = false }\n\
             tarpit = { delay = \"4m\", errors = 5 }\n[sender]\n\
             [reputation]\nhistory = 7\ndays = 1\nkeep = \"9d\"\n[store]\npath = \"store\"\nentries = 1000\n",
        );
        let second = Duration::from_secs(1);
        let want = Settings {
            listeners: Some(vec![0]),
            exempt: vec!["10.0.0.0/8".parse().unwrap()],
            greeting: Some(Greeting { delay: 6 * second, early: Early::Mark }),
            greylist: Some(Greylist {
                delay: 120 * second,
                pending: DAY / 2,
                keep: 10 * DAY,
                passes: 2,
                all: false,
            }),
            tarpit: Some(Tarpit { delay: 240 * second, errors: 5 }),
        };
        assert_eq!(config.first_contact.as_deref(), Some(&want));
        let reputation = reputation::Settings { history: 7, days: DAY, keep: 9 * DAY };
        assert_eq!(config.reputation, Some(reputation));
        assert_eq!(config.store, Store { path: Some("store".into()), entries_max: 1000, shared: None });
    }

    /// What `appliance/postern.toml` shows of these sections.
    #[test]
    fn the_shipped_example_is_accepted() {
        let shipped = include_str!("../../../appliance/postern.toml");
        let begin = shipped.find("#[first_contact]").unwrap();
        let end = shipped.find("# Content is decoded").unwrap();
        let meant = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
        let lines = shipped[begin..end].lines().filter(meant).map(|line| format!("{}\n", &line[1..]));
        let text: String = lines.collect();
        let shown = config(&format!("[sender]\n{}", text.replace("\"inbound\"", "\"in\"")));
        let settings = shown.first_contact.as_deref().unwrap();
        assert_eq!((settings.greylist, settings.tarpit.unwrap().errors), (Some(Greylist::default()), 3));
        assert_eq!(shown.reputation, Some(reputation::Settings::default()));
        assert_eq!(shown.store.entries_max, Store::default().entries_max);
    }

    #[test]
    fn short_forms_have_defaults() {
        let config = config("[first_contact]\ngreylist = {}\ntarpit = \"10s\"\n");
        let settings = config.first_contact.as_deref().unwrap();
        assert_eq!(settings.greylist, Some(Greylist::default()));
        assert_eq!(settings.tarpit, Some(Tarpit { delay: Duration::from_secs(10), errors: 3 }));
        assert!(config.policy.greylists_all);
    }

    #[test]
    fn faults_are_told() {
        for (text, wanted) in [
            ("[first_contact]\nlistener = [\"im\"]\n", "12:13: `im` is not known here; did you mean `in`?"),
            ("[first_contact]\ndelay = \"1h\"\n", "12:9: 3600s is out of range: 10ms to 20s"),
            ("[first_contact]\ntarpit = \"5m\"\n", "12:10: 300s is out of range: 10ms to 240s"),
            (
                "[first_contact]\nearly = \"mark\"\n",
                "12:9: nobody is early without a `delay` of the greeting",
            ),
            (
                "[first_contact]\ngreylist = { delay = \"1h\", pending = \"1h\" }\n",
                "12:38: pending is not more than delay: nobody could come again in time",
            ),
            (
                "[reputation]\n",
                "11:1: nobody is known whose address could be forged: add [sender], with spf or dmarc",
            ),
            (
                "[store]\nbackend = \"memory\"\npath = \"x\"\n",
                "13:8: with backend = \"memory\" nothing is kept on disk: leave one of them out",
            ),
            ("[store]\nentries = 1\n", "12:11: 1 is out of range: 100 to 5000000"),
        ] {
            check_added(text, &[wanted]);
        }
    }

    #[test]
    fn a_rule_greylists_only_where_there_is_a_greylist() {
        let rule = "[[rule]]\nname = \"r\"\nwhen = '!sender.known'\nthen = \"greylist\"\n";
        check_added(rule, &["14:8: there is no greylist: add `greylist` to [first_contact]"]);
        config(&format!("[first_contact]\ngreylist = {{ all = false }}\n{rule}"));
    }
}
