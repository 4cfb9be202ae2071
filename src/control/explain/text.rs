//! What people see of an explanation.

use std::fmt::{self, Display, Write};

use super::Summary;
use super::examine::{Explanation, PartShown, gb_per_s};
use crate::control::quarantine_command::is_harmful;

/// Symbols that a line or a summary names.
const SYMBOLS_IN_LINE: usize = 6;
const SYMBOLS_IN_SUMMARY: usize = 20;
/// Lines of links and parts for one message.
const LISTED_MAX: usize = 50;

/// Text of others on one line: what is no plain text is written as its number.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_harmful(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// One message on one line.
pub(super) fn line(explanation: &Explanation) -> String {
    let Explanation { verdict, score, file, rule, .. } = explanation;
    let rule = rule.as_deref().map(|rule| format!(" [{rule}]")).unwrap_or_default();
    let symbols = explanation.symbols.iter().map(|symbol| symbol.name.as_str());
    let named: Vec<_> = symbols.take(SYMBOLS_IN_LINE).collect();
    let more = explanation.symbols.len().saturating_sub(SYMBOLS_IN_LINE);
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    escaped(&format!("{verdict:<10} {score:>6.1}  {file}{rule} {}{more}", named.join(" ")))
        .trim_end()
        .to_owned()
}

/// Everything about one message.
pub(super) fn whole(explanation: &Explanation) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = head(explanation, &mut out);
    let _ = findings(explanation, &mut out);
    let _ = contents(explanation, &mut out);
    let _ = cost(explanation, &mut out);
    out
}

fn row(out: &mut String, name: &str, words: impl Display) -> fmt::Result {
    writeln!(out, "{name:<11} {}", escaped(&words.to_string()))
}

fn head(explanation: &Explanation, out: &mut String) -> fmt::Result {
    let Explanation { file, notes, verdict, rule, score, reply, size, window, .. } = explanation;
    row(out, "file", file)?;
    for note in notes {
        row(out, "note", note)?;
    }
    match rule {
        Some(rule) => row(out, "verdict", format_args!("{verdict}, by {rule}"))?,
        None => row(out, "verdict", verdict)?,
    }
    row(out, "score", format_args!("{score:.1}"))?;
    if let Some(reply) = reply {
        row(out, "reply", reply)?;
    }
    let held = if *window { "held until the verdict" } else { "it streams: larger than the window" };
    row(out, "size", format_args!("{size} octets, {held}"))?;
    if let Some(octets) = explanation.refused_after {
        row(out, "refused", format_args!("after {octets} octets"))?;
    }
    let message = &explanation.message;
    row(out, "from", format_args!("{} ({})", message.from_domain, message.from_name))?;
    row(out, "subject", &message.subject)
}

fn findings(explanation: &Explanation, out: &mut String) -> fmt::Result {
    for symbol in &explanation.symbols {
        row(out, "symbol", format_args!("{:>6.1} {} x{}", symbol.score, symbol.name, symbol.count))?;
    }
    for evidence in &explanation.evidence {
        row(
            out,
            "evidence",
            format_args!("{} in {}: {}", evidence.symbol, evidence.place, evidence.redacted),
        )?;
    }
    for (name, list) in [
        ("defects", &explanation.defects),
        ("limits", &explanation.limits),
        ("tricks", &explanation.tricks),
        ("cut", &explanation.cut),
        ("shadows", &explanation.shadows),
        ("errors", &explanation.errors),
    ] {
        if !list.is_empty() {
            row(out, name, list.join(", "))?;
        }
    }
    Ok(())
}

fn contents(explanation: &Explanation, out: &mut String) -> fmt::Result {
    let mut depths: Vec<(u32, usize)> = Vec::new();
    for part in explanation.parts.iter().take(LISTED_MAX) {
        let above = depths.iter().rfind(|(above, _)| *above == part.parent && part.part != part.parent);
        let depth = above.map_or(0, |(_, depth)| depth + 1);
        depths.push((part.part, depth));
        row(out, "part", format_args!("{:indent$}{}", "", described(part), indent = 2 * depth.min(20)))?;
    }
    let more = explanation.parts.len().saturating_sub(LISTED_MAX) as u64 + explanation.parts_unlisted;
    if more > 0 {
        row(out, "part", format_args!("… and {more} more"))?;
    }
    for attachment in explanation.attachments.iter().take(LISTED_MAX) {
        let sealed = if attachment.encrypted { ", encrypted" } else { "" };
        let (name, kind, size, sum) =
            (&attachment.name, &attachment.kind, attachment.size, &attachment.sha256);
        row(out, "attachment", format_args!("\"{name}\" {kind}, {size} octets{sealed}, sha256 {sum}"))?;
    }
    for url in explanation.urls.iter().take(LISTED_MAX) {
        let shown =
            if url.text_host.is_empty() { String::new() } else { format!(", shown as {}", url.text_host) };
        row(out, "url", format_args!("{} ({}){shown}", url.host, url.domain))?;
    }
    Ok(())
}

fn described(part: &PartShown) -> String {
    let mut out = format!("{} {} {}", part.part, part.origin, part.media_type);
    let kind = part.kind.filter(|kind| *kind != "unknown");
    for words in [kind, part.name.as_deref()].into_iter().flatten() {
        let _ = write!(out, ", {words}");
    }
    let _ = write!(out, ", {}, {} octets", part.encoding, part.octets);
    if !part.defects.is_empty() {
        let _ = write!(out, "; {}", part.defects.join(", "));
    }
    out
}

fn cost(explanation: &Explanation, out: &mut String) -> fmt::Result {
    let cost = &explanation.cost;
    let words = format_args!(
        "{} octets: {} ns decoding, {} ns looking, {} ns judging; {:.3} GB/s",
        cost.octets, cost.decode_ns, cost.inspect_ns, cost.judge_ns, cost.gb_per_s
    );
    row(out, "cost", words)
}

/// What came out over many messages.
pub(super) fn summary(sum: &Summary) -> String {
    let mut out = String::new();
    let of = |count: u64| format!("{count:>8} {:>5.1} %", percent(count, sum.messages));
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "\n{} messages, {} octets, {:.3} GB/s",
        sum.messages,
        sum.octets,
        gb_per_s(sum.octets, sum.ns)
    );
    for (verdict, count) in &sum.verdicts {
        let _ = writeln!(out, "  {verdict:<40}{}", of(*count));
    }
    let mut symbols: Vec<_> = sum.symbols.iter().collect();
    symbols.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (symbol, count) in symbols.iter().take(SYMBOLS_IN_SUMMARY) {
        let _ = writeln!(out, "  {symbol:<40}{}", of(**count));
    }
    if sum.unread > 0 {
        let _ = writeln!(out, "{} could not be read", sum.unread);
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn percent(count: u64, of: u64) -> f64 {
    100.0 * count as f64 / of.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(escaped("a\u{1b}[2J\r\nb\u{202e}ü"), "a\\u{1b}[2J\\r\\nb\\u{202e}ü");
    }
}
