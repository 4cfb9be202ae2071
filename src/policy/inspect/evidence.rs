//! What a person may see of a hit: where it was, and a masked piece of it.
//!
//! Invariant: no card number, account, password or other secret stands whole in any evidence.

use crate::scan::redact;
use crate::scan::{Hit, Rules};

/// Pieces of evidence that one message keeps.
pub(super) const EVIDENCE_MAX: usize = 16;
/// Bytes of the stream that a piece is cut from where the hit's length is not known.
pub(super) const EVIDENCE_BYTES_MAX: usize = 80;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub symbol: String,
    pub place: String,
    pub redacted: String,
}

/// The piece of `hit`, masked.
pub(super) fn cut(hit: &Hit<'_>, rules: &Rules, place: String) -> Option<Evidence> {
    let pattern = rules.pattern(hit.pattern)?;
    let text = hit.text(EVIDENCE_BYTES_MAX);
    let redacted = match pattern.check {
        Some(check) => redact::identifier(check, text),
        None => redact::text(text),
    };
    Some(Evidence { symbol: pattern.symbol.clone(), place, redacted })
}
