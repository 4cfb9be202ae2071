//! `[inspect]` and `[quarantine]`: how content is looked into, and where it is kept.

use std::path::PathBuf;
use std::time::Duration;

use super::policy::NO_QUARANTINE;
use super::reader::{Item, Section};
use super::section::set;
use super::unit;
use crate::policy::settings::{Inspect, InspectBounds, Quarantine, Spool};
use crate::policy::verdict::Verdict;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_secs(86_400);

/// What may become of a message that hit a bound; `pass` would call it clean.
const LIMIT_VERDICTS: &[(&str, Verdict)] = &[
    ("tag", Verdict::Tag),
    ("defer", Verdict::Defer),
    ("quarantine", Verdict::Quarantine),
    ("reject", Verdict::Reject),
];

const SPOOLS: &[(&str, Spool)] =
    &[("never", Spool::Never), ("suspect", Spool::Suspect), ("always", Spool::Always)];

/// The settings, and what becomes of a message that hits a bound.
pub(super) fn inspect(
    section: Option<Section<'_>>,
    quarantine: Option<&Quarantine>,
    limit_unset: Verdict,
) -> (Inspect, Verdict) {
    let Some(mut section) = section else { return (Inspect::default(), limit_unset) };
    let mut inspect = Inspect { enabled: true, ..Inspect::default() };
    inspect.patterns = section.item("patterns").map(|item| item.list(pattern_path)).unwrap_or_default();
    inspect.budget_ns = section.item("budget").and_then(|item| item.count(1..=1_000_000_000));
    inspect.cache = section.item("cache").and_then(Item::text).map(PathBuf::from);
    inspect.protect = section.item("protect").map(|item| item.list(unit::hostname)).unwrap_or_default();
    inspect.bounds = bounds(&mut section);
    let mut limit = limit_unset;
    set(&mut limit, section.item("limit").and_then(|item| item.choice(LIMIT_VERDICTS)));
    if limit == Verdict::Quarantine && quarantine.is_none() {
        section.fault_at("limit", NO_QUARANTINE);
    }
    section.finish();
    (inspect, limit)
}

fn bounds(section: &mut Section<'_>) -> InspectBounds {
    let mut bounds = InspectBounds::default();
    set(&mut bounds.depth, section.item("depth").and_then(|item| item.count(1..=1000)));
    set(&mut bounds.parts, section.item("parts").and_then(|item| item.count(1..=1_000_000)));
    set(&mut bounds.header_bytes, section.item("header").and_then(|item| item.size(KIB..=64 * MIB)));
    set(&mut bounds.archive_depth, section.item("archive_depth").and_then(|item| item.count(0..=100)));
    set(&mut bounds.expansion_bytes, section.item("expansion").and_then(|item| item.size(0..=1024 * GIB)));
    bounds
}

/// Only the last part of a path names several files.
fn pattern_path(text: &str) -> Result<PathBuf, String> {
    let folder = text.rsplit_once('/').map_or("", |(folder, _)| folder);
    if text.is_empty() || text.ends_with('/') {
        return Err(format!("`{text}` names no file"));
    }
    if folder.contains('*') {
        return Err(format!("`{text}`: `*` can stand in the last part only"));
    }
    Ok(PathBuf::from(text))
}

pub(super) fn quarantine(section: Option<Section<'_>>) -> Option<Quarantine> {
    let mut section = section?;
    let path = section.required("path").and_then(|item| item.parse(store_path)).unwrap_or_default();
    let mut quarantine = Quarantine { path, spool: Spool::Suspect, bytes_max: 10 * GIB, age_max: 30 * DAY };
    set(&mut quarantine.spool, section.item("spool").and_then(|item| item.choice(SPOOLS)));
    set(&mut quarantine.bytes_max, section.item("size").and_then(|item| item.size(MIB..=1024 * 1024 * GIB)));
    let ages = Duration::from_secs(60)..=3650 * DAY;
    set(&mut quarantine.age_max, section.item("age").and_then(|item| item.duration(ages)));
    section.finish();
    Some(quarantine)
}

fn store_path(text: &str) -> Result<PathBuf, String> {
    if text.starts_with("s3:") {
        return Err("a store in S3 is not available in this version; name a folder".to_owned());
    }
    if text.is_empty() { Err("names no folder".to_owned()) } else { Ok(PathBuf::from(text)) }
}
