//! What a person may see of a hit: where it was, and a masked piece of it.
//!
//! Invariants: no card number, account, password or other secret stands whole in any evidence; which
//! pieces are kept does not depend on the order in which streams came to tell them, and so not on where
//! content was cut.

use crate::mime::PartId;
use crate::scan::pattern::Place;
use crate::scan::redact;
use crate::scan::{Hit, Rules};

/// Pieces of evidence that one message keeps.
const EVIDENCE_MAX: usize = 16;
/// Pieces for one symbol.
const EVIDENCE_OF_SYMBOL_MAX: usize = 3;
/// Bytes of the stream that a piece is cut from where the hit's length is not known.
const EVIDENCE_BYTES_MAX: usize = 80;

/// Ordered by where it stands in the message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    at: Spot,
    pub redacted: String,
    pub symbol: String,
    pub place: String,
}

/// Where a hit is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    part: Option<PartId>,
    place: Place,
    end: u64,
    pattern: u32,
}

/// Keeps the piece of `hit` among `kept`, in their order, if it is one of the first: of its symbol and
/// of all.
pub(super) fn keep(
    kept: &mut Vec<Evidence>,
    hit: &Hit<'_>,
    rules: &Rules,
    place: &Place,
    part: Option<PartId>,
) {
    let Some(pattern) = rules.pattern(hit.pattern) else { return };
    let at = Spot { part, place: place.clone(), end: hit.end, pattern: hit.pattern };
    let of_symbol = |piece: &&Evidence| piece.symbol == pattern.symbol;
    let last_of_symbol = kept.iter().filter(of_symbol).nth(EVIDENCE_OF_SYMBOL_MAX - 1);
    let last = kept.get(EVIDENCE_MAX - 1);
    if last_of_symbol.into_iter().chain(last).any(|last| last.at < at) {
        return;
    }
    let piece = cut(hit, rules, at);
    let Err(index) = kept.binary_search(&piece) else { return };
    kept.insert(index, piece);
    let one_too_many = |(_, piece): &(usize, &Evidence)| piece.symbol == pattern.symbol;
    let index = kept.iter().enumerate().filter(one_too_many).nth(EVIDENCE_OF_SYMBOL_MAX);
    if let Some((index, _)) = index {
        kept.remove(index);
    }
    kept.truncate(EVIDENCE_MAX);
}

/// Keeps what was found without a pattern, and in no part: `text` is nobody's secret.
pub(super) fn keep_shown(kept: &mut Vec<Evidence>, symbol: &str, place: Place, text: &str) {
    let end = u64::try_from(kept.len()).unwrap_or_default();
    if kept.len() < EVIDENCE_MAX
        && kept.iter().filter(|piece| piece.symbol == symbol).count() < EVIDENCE_OF_SYMBOL_MAX
    {
        let shown = place.to_string();
        let at = Spot { part: None, place, end, pattern: u32::MAX };
        let redacted = text.to_owned();
        kept.push(Evidence { at, redacted, symbol: symbol.to_owned(), place: shown });
    }
}

/// The piece of `hit`, masked.
fn cut(hit: &Hit<'_>, rules: &Rules, at: Spot) -> Evidence {
    let pattern = rules.pattern(hit.pattern);
    let text = hit.text(EVIDENCE_BYTES_MAX);
    let redacted = match pattern.and_then(|pattern| pattern.check) {
        Some(check) => redact::identifier(check, text),
        None => redact::text(text),
    };
    let place = match at.part {
        Some(PartId(number)) => format!("{} of part {number}", at.place),
        None => at.place.to_string(),
    };
    let symbol = pattern.map(|pattern| pattern.symbol.clone()).unwrap_or_default();
    Evidence { at, redacted, symbol, place }
}
