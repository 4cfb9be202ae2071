//! `[conduct]`: whose conduct is remembered, and what makes it suspect.

use std::ops::RangeInclusive;

use super::section::set;
use super::unit;
use crate::base::document::{Item, Section};
use crate::policy::conduct::Settings;
use crate::traffic::conduct::{Bounds, THRESHOLD_MAX};

/// What fits a set of the table, up to some hundred megabytes a worker.
const ENTRIES: RangeInclusive<u64> = 8..=4_000_000;
const CONNECTIONS: RangeInclusive<u64> = 0..=1_000_000;
const UNKNOWN: RangeInclusive<u64> = 0..=100_000;
const THRESHOLD: RangeInclusive<u64> = 1..=THRESHOLD_MAX as u64;

pub(super) fn conduct(section: Option<Section<'_>>) -> Settings {
    let mut settings = Settings::default();
    let Some(mut section) = section else { return settings };
    set(&mut settings.entries, section.item("entries").and_then(|item| item.count(ENTRIES)));
    let Settings { capacity, thresholds, .. } = &mut settings;
    set(&mut capacity.address, section.item("connections").and_then(|item| item.count(CONNECTIONS)));
    // Who raises the one and says nothing of the other means both.
    capacity.network = capacity.network.max(capacity.address);
    set(&mut capacity.network, section.item("network_connections").and_then(|item| item.count(CONNECTIONS)));
    for (key, bounds) in [
        ("harvest", &mut thresholds.harvest),
        ("junk", &mut thresholds.junk),
        ("guesses", &mut thresholds.guesses),
        ("slow", &mut thresholds.slow),
        ("refused", &mut thresholds.refused),
    ] {
        set(bounds, section.item(key).map(|item| of_offence(item, key, *bounds)));
    }
    set(&mut thresholds.good, section.item("good").and_then(|item| item.count(THRESHOLD)));
    set(&mut settings.unknown, section.item("unknown").and_then(|item| item.count(UNKNOWN)));
    set(&mut settings.exempt, section.item("exempt").map(|item| item.list(unit::network)));
    if capacity_of_network_is_less(&settings) {
        section.fault_at("network_connections", "less than `connections`: an address is part of its network");
    }
    section.finish();
    settings
}

const fn capacity_of_network_is_less(settings: &Settings) -> bool {
    let (address, network) = (settings.capacity.address, settings.capacity.network);
    network > 0 && network < address
}

/// `{ suspect = 10, bad = 30 }`.
fn of_offence(item: Item<'_>, key: &'static str, mut bounds: Bounds) -> Bounds {
    let Some(mut section) = item.section(key) else { return bounds };
    set(&mut bounds.suspect, section.item("suspect").and_then(|item| item.count(THRESHOLD)));
    set(&mut bounds.bad, section.item("bad").and_then(|item| item.count(THRESHOLD)));
    if bounds.bad < bounds.suspect {
        section.fault(format!("bad = {} is less than suspect = {}", bounds.bad, bounds.suspect));
    }
    section.finish();
    bounds
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MINIMAL, accepted, check_added};
    use super::*;
    use crate::traffic::conduct::Thresholds;
    use crate::traffic::register::Capacity;

    #[test]
    fn it_is_on_without_being_asked_for() {
        assert_eq!(accepted(MINIMAL).conduct, Settings::default());
        assert_eq!(accepted(&format!("{MINIMAL}[conduct]\n")).conduct, Settings::default());
    }

    #[test]
    fn all_of_it_is_read() {
        let config = accepted(&format!(
            "{MINIMAL}[conduct]\nentries = 1000\nconnections = 5\nnetwork_connections = 0\nunknown = 7\ngood = 3\n\
             harvest = {{ suspect = 1, bad = 2 }}\njunk = {{ suspect = 3, bad = 4 }}\nguesses = {{ bad = 1000 }}\n\
             slow = {{ suspect = 7, bad = 7 }}\nrefused = {{ suspect = 9, bad = 10 }}\nexempt = [\"10.0.0.0/8\"]\n"
        ));
        let bounds = |suspect, bad| Bounds { suspect, bad };
        let want = Settings {
            entries: 1000,
            capacity: Capacity { address: 5, network: 0 },
            unknown: 7,
            thresholds: Thresholds {
                harvest: bounds(1, 2),
                junk: bounds(3, 4),
                guesses: bounds(10, 1000),
                slow: bounds(7, 7),
                refused: bounds(9, 10),
                good: 3,
            },
            exempt: vec!["10.0.0.0/8".parse().unwrap()],
        };
        assert_eq!(config.conduct, want);
    }

    /// What `appliance/postern.toml` shows is what holds without it.
    #[test]
    fn the_shipped_example_shows_the_defaults() {
        let shipped = include_str!("../../../appliance/postern.toml");
        let begin = shipped.find("#[conduct]").unwrap();
        let end = shipped[begin..].find("\n\n").unwrap();
        let meant = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
        let lines = shipped[begin..begin + end].lines().filter(meant).map(|line| format!("{}\n", &line[1..]));
        let text: String = lines.collect();
        assert_eq!(accepted(&format!("{MINIMAL}{text}")).conduct, Settings::default());
        for key in ["entries", "network_connections", "unknown", "harvest", "refused", "good", "exempt"] {
            assert!(text.contains(key), "{key}");
        }
    }

    #[test]
    fn faults_are_told() {
        for (text, wanted) in [
            ("[conduct]\nentries = 1\n", "12:11: 1 is out of range: 8 to 4000000"),
            (
                "[conduct]\nnetwork_connections = 49\n",
                "12:23: less than `connections`: an address is part of its network",
            ),
            ("[conduct]\njunk = { suspect = 41 }\n", "12:8: bad = 40 is less than suspect = 41"),
            ("[conduct]\ngood = 0\n", "12:8: 0 is out of range: 1 to 1000"),
            (
                "[conduct]\nexempt = [\"x\"]\n",
                "12:11: `x` is not a network; write one like \"10.0.0.0/8\" or \"2001:db8::/32\"",
            ),
        ] {
            check_added(text, &[wanted]);
        }
    }
}
