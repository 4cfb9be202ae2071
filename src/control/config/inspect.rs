//! `[inspect]` and `[quarantine]`: how content is looked into, and where it is kept.

use std::path::PathBuf;
use std::time::Duration;

use super::Outside;
use super::policy::NO_QUARANTINE;
use super::section::set;
use super::unit;
use crate::base::document::{Item, Section};
use crate::control::patterns::{self, PATTERN_BYTES_MAX, PATTERN_FILES_MAX, Source};
use crate::policy::settings::{Inspect, InspectBounds, Quarantine, Spool};
use crate::policy::verdict::Verdict;
use crate::scan::pattern::PATTERN_FILE_BYTES_MAX;

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

/// For whoever looks for a folder elsewhere.
pub(in crate::control) const MEANT_FROM: &str = "a relative path is meant from the configuration's folder";

const SPOOLS: &[(&str, Spool)] =
    &[("never", Spool::Never), ("suspect", Spool::Suspect), ("always", Spool::Always)];

/// `[inspect]` as it was read.
pub(super) struct ReadInspect {
    pub(super) inspect: Inspect,
    /// What becomes of a message that hits a bound.
    pub(super) limit: Verdict,
    /// The pattern files; `None` without the section, and if not all of them could be read.
    pub(super) sources: Option<Vec<Source>>,
}

pub(super) fn inspect(
    section: Option<Section<'_>>,
    quarantine: Option<&Quarantine>,
    limit_unset: Verdict,
    outside: &dyn Outside,
) -> ReadInspect {
    let Some(mut section) = section else {
        return ReadInspect { inspect: Inspect::default(), limit: limit_unset, sources: None };
    };
    let mut inspect = Inspect { enabled: true, ..Inspect::default() };
    let mut files = PatternFiles::new(outside);
    section.item("patterns").into_iter().flat_map(Item::elements).for_each(|item| files.add(item));
    inspect.patterns = files.paths;
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
    ReadInspect { inspect, limit, sources: files.whole.then_some(files.sources) }
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

/// The files that `patterns` means, each once.
struct PatternFiles<'a> {
    outside: &'a dyn Outside,
    /// As they are written.
    paths: Vec<PathBuf>,
    sources: Vec<Source>,
    bytes_left: usize,
    /// Nothing was wrong so far.
    whole: bool,
}

impl<'a> PatternFiles<'a> {
    fn new(outside: &'a dyn Outside) -> Self {
        Self { outside, paths: Vec::new(), sources: Vec::new(), bytes_left: PATTERN_BYTES_MAX, whole: true }
    }

    fn add(&mut self, item: Item<'_>) {
        let before = self.whole;
        self.whole = false;
        let Some(path) = item.parse(pattern_path) else { return };
        match self.meant(&path).and_then(|files| files.iter().try_for_each(|file| self.read(file))) {
            Ok(()) => self.whole = before,
            Err(message) => item.fault(message),
        }
        self.paths.push(PathBuf::from(path));
    }

    /// The files that `path` means, in order of their names.
    fn meant(&self, path: &str) -> Result<Vec<String>, String> {
        let (folder, wanted) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
        if !wanted.contains('*') {
            return Ok(vec![path.to_owned()]);
        }
        let prefix = path.strip_suffix(wanted).unwrap_or_default();
        let mut names = self
            .outside
            .names(if prefix == "/" { prefix } else { folder })
            .map_err(|error| format!("{}: {error}", self.outside.shown(prefix)))?;
        names.retain(|name| patterns::is_meant(wanted, name));
        names.sort_unstable();
        if names.is_empty() {
            return Err(format!("{}: there is no such file", self.outside.shown(path)));
        }
        Ok(names.into_iter().map(|name| format!("{prefix}{name}")).collect())
    }

    fn read(&mut self, path: &str) -> Result<(), String> {
        let name = self.outside.shown(path);
        if self.sources.iter().any(|source| source.name == name) {
            return Ok(());
        }
        if self.sources.len() == PATTERN_FILES_MAX {
            return Err(format!("more than {PATTERN_FILES_MAX} pattern files"));
        }
        let bytes =
            self.outside.read(path, PATTERN_FILE_BYTES_MAX).map_err(|error| format!("{name}: {error}"))?;
        self.bytes_left = self
            .bytes_left
            .checked_sub(bytes.len())
            .ok_or_else(|| format!("more than {} MiB of pattern files", PATTERN_BYTES_MAX >> 20))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| format!("{name}: not UTF-8 at byte {}", error.utf8_error().valid_up_to()))?;
        self.sources.push(Source { name, text });
        Ok(())
    }
}

/// Only the last part of a path names several files.
fn pattern_path(text: &str) -> Result<String, String> {
    let folder = text.rsplit_once('/').map_or("", |(folder, _)| folder);
    if text.is_empty() || text.ends_with('/') {
        return Err(format!("`{text}` names no file"));
    }
    if folder.contains('*') {
        return Err(format!("`{text}`: `*` can stand in the last part only"));
    }
    Ok(text.to_owned())
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
    if text.is_empty() { Err(format!("names no folder; {MEANT_FROM}")) } else { Ok(PathBuf::from(text)) }
}
