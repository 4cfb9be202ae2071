//! Named findings with a score, and the names of those we find ourselves.
//!
//! Patterns bring their own symbols; defects of the message's structure, limits that were hit and
//! tricks played on the reader become symbols here, so that a score, a rule and the record speak of
//! all findings in one way. `[score.symbols]` may give any of them another score.

use std::collections::BTreeSet;

use super::shown::Sign;
use crate::base::suggestion::nearest;
use crate::limits::SYMBOLS_MAX;
use crate::mime::{Defect, Limit, Trick, archive};
use crate::scan::url::Tricks;
use crate::sender::address_list::List;
use crate::sender::author::Flaw;
use crate::sender::helo::Greeting;

/// A rule could not be evaluated and counts as not matched. Told in the record only: no rule sees it,
/// and it has no score.
pub const RULE_ERROR: &str = "RULE_ERROR";

/// What our own symbols begin with.
pub const DEFECT: &str = "MIME_DEFECT_";
pub const LIMIT: &str = "LIMIT_";
pub const TRICK: &str = "HTML_TRICK_";

/// The text of a link shows another owner's host than the one it leads to.
pub const URL_MISLEADS: &str = "URL_MISLEADS";
pub const URL_MISLEADS_SCORE: f64 = 2.5;
/// A link leads to a name that passes for one of `inspect.protect`.
pub const URL_LOOKALIKE: &str = "URL_LOOKALIKE";
pub const URL_LOOKALIKE_SCORE: f64 = 5.0;
/// A link is written so that readers take its host for another one.
pub const URL_TRICK: &str = "URL_TRICK_";
/// A file name shows something harmless for something that runs, or hides what it is.
pub const NAME_DISGUISED: &str = "ATTACHMENT_NAME_DISGUISED";
pub const NAME_DISGUISED_SCORE: f64 = 5.0;
/// A file is another kind than its name says, so that something happens to its reader.
pub const KIND_DISGUISED: &str = "ATTACHMENT_KIND_DISGUISED";
pub const KIND_DISGUISED_SCORE: f64 = 4.0;

/// What the DNS said of who sends; each with the word of its result. They weigh nothing until
/// `[score.symbols]` says so.
pub const SPF: &str = "SPF_";
pub const DKIM: &str = "DKIM_";
pub const DMARC: &str = "DMARC_";
pub const ARC: &str = "ARC_";
/// What a client greets with is not its name.
pub const GREETING: &str = "HELO_";
/// Readers may take somebody else for the author.
pub const FROM: &str = "FROM_";
/// The sender's domain takes no mail (RFC 7505).
pub const SENDER_NULL_MX: &str = "SENDER_NULL_MX";
/// The header section is longer than what is read of it for this.
pub const SENDER_PARTIAL: &str = "SENDER_PARTIAL";
/// Some list did not answer.
pub const DNSBL_UNANSWERED: &str = "DNSBL_UNANSWERED";
/// What symbols of lists begin with.
pub const DNSBL: &str = "DNSBL_";

/// What symbols of lists of links begin with.
pub const URIBL: &str = "URIBL_";
/// Some list of links did not answer.
pub const URIBL_UNANSWERED: &str = "URIBL_UNANSWERED";
/// There were more links than lists are asked about.
pub const URIBL_PARTIAL: &str = "URIBL_PARTIAL";

/// The symbol of what is on a list.
pub fn of_list(list: &List) -> String {
    of(DNSBL, &list.zone)
}

/// The symbol of a link to what is on a list.
pub fn of_link_list(list: &List) -> String {
    of(URIBL, &list.zone)
}

/// Of a defect over which readers differ. Two of them, and a message is suspicious.
pub const DEFECT_SCORE: f64 = 3.0;

/// Newsletters hide their preview text, too: a trick alone says little.
pub const TRICK_SCORE: f64 = 0.0;

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Symbol {
    pub name: String,
    pub score: f64,
    /// How often it was found.
    pub count: u32,
}

/// All findings, in order of their names: equal findings are equal in whatever order they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Symbols(Vec<Symbol>);

impl Symbols {
    /// Counts a symbol that was found before; false if it was not.
    pub(super) fn raise(&mut self, name: &str, score: f64, count: u32) -> bool {
        let Ok(place) = self.place(name) else { return false };
        let symbol = &mut self.0[place];
        symbol.score = symbol.score.max(score);
        symbol.count = symbol.count.saturating_add(count);
        true
    }

    /// Notes a new one; false if there are too many.
    pub(super) fn insert(&mut self, name: &str, score: f64, count: u32) -> bool {
        let Err(place) = self.place(name) else { return false };
        let fits = self.0.len() < SYMBOLS_MAX;
        if fits {
            self.0.insert(place, Symbol { name: name.to_owned(), score, count });
        }
        fits
    }

    pub fn find(&self, name: &str) -> Option<&Symbol> {
        self.place(name).ok().and_then(|place| self.0.get(place))
    }

    pub fn nth(&self, index: usize) -> Option<&Symbol> {
        self.0.get(index)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Symbol> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|symbol| symbol.name.as_str().cmp(name))
    }
}

/// Bounds beside those of the walker, as facts name them.
const LIMITS: [&str; 7] =
    ["attachments", "scan_confirm", "scan_engine", "scan_flood", "scan_streams", "urls", "urls_looked"];

/// Symbols that are no one of many.
const ALONE: [&str; 9] = [
    URL_MISLEADS,
    URL_LOOKALIKE,
    NAME_DISGUISED,
    KIND_DISGUISED,
    SENDER_NULL_MX,
    SENDER_PARTIAL,
    DNSBL_UNANSWERED,
    URIBL_UNANSWERED,
    URIBL_PARTIAL,
];

/// What evaluations of SPF, DKIM, DMARC and ARC come to (RFC 8601 §2.7).
const RESULTS: [&str; 8] =
    ["none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror"];

/// Whether a pattern must not be called so.
pub fn is_reserved(symbol: &str) -> bool {
    symbol == RULE_ERROR
        || ALONE.contains(&symbol)
        || of_senders().any(|name| name == symbol)
        || [DEFECT, LIMIT, TRICK, URL_TRICK, SPF, DKIM, DMARC, ARC, GREETING, DNSBL, URIBL]
            .iter()
            .any(|prefix| symbol.starts_with(prefix))
}

/// All symbols that can be found without a pattern.
pub fn built_in() -> impl Iterator<Item = String> {
    // That something is encrypted is a fact of its own.
    let of_messages = Defect::ALL.iter().filter(|defect| **defect != Defect::Encrypted);
    let defects = of_messages.map(|defect| defect.name());
    let defects = defects.chain(archive::Defect::ALL.iter().map(|defect| defect.name()));
    let tricks = Trick::ALL.iter().map(|trick| of(TRICK, trick.name()));
    let of_urls = Tricks::NAMES.iter().map(|(_, name)| of(URL_TRICK, name));
    let alone = ALONE.iter().map(|name| (*name).to_owned());
    alone
        .chain(defects.map(|name| of(DEFECT, name)))
        .chain(limits().map(|name| of(LIMIT, name)))
        .chain(tricks)
        .chain(of_urls)
        .chain(of_senders())
}

fn of_senders() -> impl Iterator<Item = String> {
    let results = [SPF, DKIM, DMARC, ARC].into_iter();
    let results = results.flat_map(|method| RESULTS.iter().map(move |result| of(method, result)));
    let greetings = Greeting::ALL.iter().map(|greeting| of(GREETING, greeting.name()));
    results
        .chain(greetings)
        .chain(Flaw::ALL.iter().map(|flaw| of(FROM, flaw.name())))
        .chain(Sign::ALL.iter().map(|sign| sign.symbol().to_owned()))
}

/// Whether `name` is a bound's, without what the walker's names begin with.
pub(super) fn is_limit(name: &str) -> bool {
    limits().any(|limit| limit == name)
}

fn limits() -> impl Iterator<Item = &'static str> {
    let of_walker = Limit::ALL.iter().map(|limit| limit.name());
    of_walker.map(|name| name.strip_prefix("limit_").unwrap_or(name)).chain(LIMITS)
}

/// What is wrong with `name` if it is none of `known`; with `*` at its end it is all that begin so.
pub fn unknown(name: &str, known: &BTreeSet<String>) -> Option<String> {
    if let Some(beginning) = name.strip_suffix('*') {
        let found = known.iter().any(|symbol| symbol.starts_with(beginning));
        return (!found).then(|| format!("no symbol begins with `{}`", beginning.escape_debug()));
    }
    if known.contains(name) {
        return None;
    }
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    let hint = nearest(name, &known).map(|nearest| format!("; did you mean `{nearest}`?"));
    Some(format!("nothing finds the symbol `{}`{}", name.escape_debug(), hint.unwrap_or_default()))
}

/// `MIME_DEFECT_BAD_BASE64` for the defect `bad-base64`.
pub fn of(prefix: &str, name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    prefix.chars().chain(name.chars().map(letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_symbols() {
        assert_eq!(of(DEFECT, "bad-base64"), "MIME_DEFECT_BAD_BASE64");
        assert_eq!(of(LIMIT, "header.bytes"), "LIMIT_HEADER_BYTES");
    }

    #[test]
    fn ours_are_reserved_and_each_is_one() {
        let all: Vec<_> = built_in().collect();
        assert!(all.iter().all(|name| is_reserved(name)));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        for name in ["MIME_DEFECT_TYPE_CONFLICT", "LIMIT_DEPTH", "LIMIT_SCAN_FLOOD", "URL_TRICK_USER"] {
            assert!(all.iter().any(|known| known == name), "{name}");
        }
        assert!(is_limit("depth") && is_limit("urls") && !is_limit("limit_depth"));
    }

    #[test]
    fn a_name_that_nothing_finds_is_told() {
        let known = ["PHISH_A", "PHISH_B"].map(str::to_owned).into();
        for (name, hint) in [("PISH_A", "; did you mean `PHISH_A`?"), ("XYZ", "")] {
            assert_eq!(unknown(name, &known), Some(format!("nothing finds the symbol `{name}`{hint}")));
        }
        assert_eq!(unknown("PHISH_C*", &known).as_deref(), Some("no symbol begins with `PHISH_C`"));
        for name in ["PHISH_A", "PHISH_*", "*"] {
            assert_eq!(unknown(name, &known), None);
        }
    }
}
