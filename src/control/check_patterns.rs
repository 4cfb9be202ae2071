//! The cost sheet of patterns: what each takes, measured here and now, and what is too much.

use std::fmt::{self, Write};

use super::check::bytes;
use super::explain::escaped;
use crate::limits::{FACTS_BYTES_MAX, Holder};
use crate::mime::archive::NAME_BYTES_MAX;
use crate::mime::content_type::PARAMETER_BYTES_MAX;
use crate::mime::delimiter::BOUNDARY_BYTES_MAX;
use crate::mime::{self, FIELD_BYTES_MAX, buffers, html, raw_view};
use crate::policy::inspect::{Engine, INSPECTIONS_IDLE_MAX, STREAMS_OPEN_MAX};
use crate::reactor::clock;
use crate::scan::cost::{self, PLACE_NS_PER_KIB_MAX, Row, Sheet};
use crate::scan::{IDLE_STREAMS_MAX, Rules, STREAM_BUFFER_BYTES, Set};

/// Rows that are shown, the dearest first; the rest is summed.
const ROWS_MAX: usize = 200;
/// An archive: the decoder with its window of 32 KiB (RFC 1951) and its tables, the record that is gathered.
const ARCHIVE_BYTES: usize = 64 * 1024;
/// One part within another: its boundary, its head.
const PART_BYTES: usize = BOUNDARY_BYTES_MAX + NAME_BYTES_MAX + 2048;
/// A message that was encoded: the same, its decoders, the blocks that several readers share.
const MESSAGE_BYTES: usize = PART_BYTES + mime::MESSAGE_BYTES + 3 * 4096;
/// What one reading holds of its content: a field and its parameters while they are read, attributes,
/// links and gathered text of HTML that is read in two ways, lines that may be encoded.
const READING_BYTES: usize = 2 * FIELD_BYTES_MAX
    + PARAMETER_BYTES_MAX
    + 4 * (html::VALUE_BYTES_MAX + html::LINK_TEXT_BYTES_MAX + raw_view::LINE_BYTES_MAX);

/// Measures all patterns.
pub(super) fn measure(rules: &Rules, progress: &mut dyn FnMut(usize, usize)) -> Sheet {
    let begun = clock::instant();
    let mut now = || u64::try_from(clock::instant().since(begun).as_nanos()).unwrap_or(u64::MAX);
    cost::measure(rules, &mut now, progress)
}

/// What all patterns of one place may cost.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn budget(configured: Option<u64>) -> f64 {
    configured.map_or(PLACE_NS_PER_KIB_MAX, |ns| ns as f64)
}

/// The sheet, for people.
pub(super) fn write(out: &mut String, sheet: &Sheet, rules: &Rules, budget: f64) -> fmt::Result {
    writeln!(out, "\npatterns: nanoseconds for a KiB of the built-in text, as measured here")?;
    writeln!(
        out,
        "  {:>8} {:>8} {:>9}  {:<11}{:<15} symbol",
        "ns/KiB", "state B", "hits/KiB", "way", "place"
    )?;
    let mut rows: Vec<&Row> = sheet.rows.iter().collect();
    rows.sort_by(|one, other| other.ns_per_kib.total_cmp(&one.ns_per_kib));
    for row in rows.iter().take(ROWS_MAX) {
        writeln!(out, "{}", described(row, rules))?;
    }
    if let Some(rest) = rows.get(ROWS_MAX..).filter(|rest| !rest.is_empty()) {
        let sum: f64 = rest.iter().map(|row| row.ns_per_kib).sum();
        writeln!(out, "  {sum:>8.1} the other {} together", rest.len())?;
    }
    advice(out, &rows, rules)?;
    totals(out, sheet, rules, budget)
}

fn symbol(row: &Row, rules: &Rules) -> String {
    rules.pattern(row.pattern).map(|pattern| pattern.symbol.clone()).unwrap_or_default()
}

fn described(row: &Row, rules: &Rules) -> String {
    let literals =
        if row.literals.is_empty() { String::new() } else { format!("  by {}", row.literals.join(", ")) };
    let words = format!(
        "  {:>8.1} {:>8} {:>9.2}  {:<11}{:<15} {}{literals}",
        row.ns_per_kib,
        row.state_bytes,
        row.hits_per_kib,
        row.way.name(),
        row.place.to_string(),
        symbol(row, rules),
    );
    escaped(&words)
}

fn advice(out: &mut String, rows: &[&Row], rules: &Rules) -> fmt::Result {
    let mut advised = rows.iter().filter_map(|row| Some((row, row.advice.as_ref()?))).peekable();
    if advised.peek().is_some() {
        writeln!(out, "\nadvice")?;
    }
    for (row, advice) in advised {
        let at = rules.pattern(row.pattern).map(|pattern| pattern.origin.fault(advice.as_str()));
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        writeln!(out, "  {} in {}: {}", symbol(row, rules), row.place, escaped(&at))?;
    }
    Ok(())
}

fn totals(out: &mut String, sheet: &Sheet, rules: &Rules, budget: f64) -> fmt::Result {
    writeln!(out, "\nplaces, each with all its patterns; {budget:.0} ns/KiB may be taken in each")?;
    for total in &sheet.totals {
        let patterns = sheet.rows.iter().filter(|row| row.place == total.place).count();
        let counts = rules.set(&total.place).map(|set| counted(set)).unwrap_or_default();
        writeln!(
            out,
            "  {:>8.1} ns/KiB  {:<15}{patterns} patterns{counts}; database {}, stream {}",
            total.ns_per_kib,
            total.place.to_string(),
            bytes(total.database_bytes),
            bytes(total.stream_bytes)
        )?;
    }
    Ok(())
}

fn counted(set: &Set) -> String {
    let [words, literals, expressions, split] = set.counts();
    format!(" ({words} words, {literals} literals, {expressions} expressions, {split} split)")
}

/// What inspection may hold in one worker with so many messages in flight.
pub(super) fn holders(engine: &Engine, messages: usize) -> [Holder; 5] {
    let bounds = engine.bounds();
    let sets = engine.rules().sets().iter();
    let stream = sets.map(|set| STREAM_BUFFER_BYTES + set.sizes().1).max().unwrap_or(0);
    let own = |set: usize| if set > 0 { STREAMS_OPEN_MAX + set } else { 0 };
    let streams = own(engine.rules().sets().len());
    let walker = (1 + mime::SECOND_READINGS_MAX) * READING_BYTES
        + mime::MESSAGES_MAX * MESSAGE_BYTES
        + bounds.depth.saturating_mul(PART_BYTES)
        + mime::archives_max(&bounds.archive).saturating_mul(ARCHIVE_BYTES);
    let inspections = messages.saturating_add(INSPECTIONS_IDLE_MAX);
    [
        Holder { name: "streams of inspections", count: messages.saturating_mul(streams), each: stream },
        Holder {
            name: "streams kept for the next",
            count: if streams > 0 { IDLE_STREAMS_MAX } else { 0 },
            each: stream,
        },
        Holder { name: "walkers", count: inspections, each: walker },
        Holder { name: "what is decoded", count: 2 * buffers::BUFFERS_MAX, each: buffers::BUFFER_BYTES_MAX },
        Holder { name: "facts", count: inspections, each: 2 * FACTS_BYTES_MAX },
    ]
}
