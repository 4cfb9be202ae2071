//! Patterns as their files give them: what to find, where, how often, and what it says.
//!
//! ```toml
//! [[pattern]]
//! symbol = "PHISH_VERIFY_ACCOUNT"
//! score = 2.5
//! match = 'verify your (account|password) within \d+ hours'   # or literal = "…", or phrases = ["…", "…"]
//! in = ["text", "header:subject"]
//! near = { words = ["suspended", "bank"], within = 200 }      # bytes between the ends
//! why = "Asks for credentials under time pressure"
//! ```
//!
//! A `literal` is found anywhere, a phrase as whole words; both are folded like the text they are looked
//! for in. Other keys: `count` (hits needed), `check` (a sum that a hit must satisfy), `flags` (`caseless`,
//! `dotall`, `multiline`), `group`. All faults of a file are told at once, each with line and column; a key
//! that is not known is one.

use std::fmt;
use std::sync::Arc;

use toml::de::DeTable;

use super::database::{self, Width};
use super::expression;
use super::phrase::PHRASE_BYTES_MAX;
use super::required::Flags;
use super::validator::Check;
use crate::base::document::{self, Faults, Item, Position, Section};

/// Patterns in one file.
pub const PATTERNS_MAX: usize = 20_000;
/// Phrases of one pattern.
pub const PHRASES_MAX: usize = 100_000;
/// Largest pattern file.
pub const PATTERN_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
pub const SYMBOL_BYTES_MAX: usize = 64;
pub const WHY_BYTES_MAX: usize = 256;
/// Hits that a pattern may ask for.
pub const COUNT_MAX: u32 = 100;
pub const NEAR_WORDS_MAX: usize = 256;
/// How far a word may be that must be near.
pub const NEAR_BYTES_MAX: u32 = 1024;
const SCORE_MAX: f64 = 100.0;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub file: Arc<str>,
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// One `[[pattern]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    pub symbol: String,
    pub score: f64,
    pub find: Find,
    pub places: Vec<Place>,
    pub check: Option<Check>,
    /// Hits needed in one part.
    pub count: u32,
    pub near: Option<Near>,
    pub why: String,
    pub group: Option<String>,
    pub origin: Origin,
}

/// Where a pattern stands: of its expression, for faults that show only when all are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub file: Arc<str>,
    pub line: usize,
    pub column: usize,
}

impl Origin {
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { file: Arc::clone(&self.file), line: self.line, column: self.column, message: message.into() }
    }
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Find {
    Regex { source: String, flags: ExpressionFlags },
    Literal(String),
    Phrases(Vec<String>),
}

/// `flags` of an expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExpressionFlags {
    pub caseless: bool,
    pub dotall: bool,
    pub multiline: bool,
}

/// Words one of which must be within so many bytes before or after a hit, from end to end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Near {
    pub words: Vec<String>,
    pub within: u32,
}

/// What is looked through.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Visible text, folded.
    Text,
    /// Content as it came, and as whoever ignores MIME would decode it.
    Raw,
    /// Header fields, folded, one a line: `name: value` of all fields, or the values of those of one name,
    /// which is in lower case.
    Header(Option<String>),
    /// Links, folded, one a line.
    Url,
    /// File names, folded, one a line.
    Filename,
    /// The octets of attachments.
    Attachment,
}

impl Place {
    /// As `in` names it.
    pub fn from_name(name: &str) -> Result<Self, String> {
        const NAMES: &str = "text, raw, header, header:NAME, url, filename, attachment";
        Ok(match name {
            "text" => Self::Text,
            "raw" => Self::Raw,
            "header" => Self::Header(None),
            "url" => Self::Url,
            "filename" => Self::Filename,
            "attachment" => Self::Attachment,
            _ => match name.strip_prefix("header:") {
                Some(field) if is_field_name(field) => Self::Header(Some(field.to_ascii_lowercase())),
                Some(_) => return Err(format!("`{}` is no field name", name.escape_debug())),
                None => return Err(format!("`{}` is no place; known: {NAMES}", name.escape_debug())),
            },
        })
    }

    /// Whether what is looked through was folded.
    pub const fn is_folded(&self) -> bool {
        matches!(self, Self::Text | Self::Header(_) | Self::Url | Self::Filename)
    }

    /// Whether it consists of items, one a line.
    pub const fn is_lines(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Url | Self::Filename)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Raw => f.write_str("raw"),
            Self::Header(None) => f.write_str("header"),
            Self::Header(Some(name)) => write!(f, "header:{name}"),
            Self::Url => f.write_str("url"),
            Self::Filename => f.write_str("filename"),
            Self::Attachment => f.write_str("attachment"),
        }
    }
}

/// RFC 5322 §2.2: printable ASCII without the colon.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 76 && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

/// Reads the patterns of `text`, which faults call `file`.
///
/// # Errors
/// All faults.
pub fn parse(file: &str, text: &str) -> Result<Vec<Pattern>, Vec<Fault>> {
    let (file, faults): (Arc<str>, _) = (file.into(), Faults::new(text));
    let mut patterns = Vec::new();
    if text.len() > PATTERN_FILE_BYTES_MAX {
        faults.add(0, format!("the file has {} bytes of {PATTERN_FILE_BYTES_MAX}", text.len()));
    } else {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            faults.add(error.span().map_or(0, |span| span.start), error.message());
        }
        // What the parser made of a broken file is not worth judging.
        if errors.is_empty() {
            patterns = read(Section::root(document.get_ref(), &faults), &file);
        }
    }
    let told = |fault: document::Fault| origin(&file, fault.position).fault(fault.message);
    let faults: Vec<_> = faults.into_list().into_iter().map(told).collect();
    if faults.is_empty() { Ok(patterns) } else { Err(faults) }
}

fn origin(file: &Arc<str>, Position { line, column }: Position) -> Origin {
    Origin { file: Arc::clone(file), line, column }
}

fn read(mut root: Section<'_>, file: &Arc<str>) -> Vec<Pattern> {
    let sections = root.optional_sections("pattern");
    if sections.len() > PATTERNS_MAX {
        root.fault(format!("{} patterns of {PATTERNS_MAX} in one file", sections.len()));
    }
    root.finish();
    sections.into_iter().take(PATTERNS_MAX).filter_map(|section| pattern(section, file)).collect()
}

/// Every key is read before anything is given up, so that all faults are found.
fn pattern(mut section: Section<'_>, file: &Arc<str>) -> Option<Pattern> {
    let symbol = section.required("symbol").and_then(symbol);
    let why = section.required("why").and_then(|item| short(item, WHY_BYTES_MAX));
    let score = section.item("score").map_or(Some(0.0), |item| item.number(-SCORE_MAX..=SCORE_MAX));
    let places = section.required("in").map(places).unwrap_or_default();
    let count = section.item("count").map_or(Some(1), |item| item.count(1..=COUNT_MAX.into()));
    let check = section.item("check").map(|item| (item, item.choice(&checks())));
    let near = section.item("near").map(near);
    let group = section.item("group").map(|item| short(item, SYMBOL_BYTES_MAX));
    let flags = section.item("flags").map(|item| (item, flags(item)));
    let found = find(&mut section, flags.map(|(_, flags)| flags).unwrap_or_default());
    if let (Some((item, _)), Some(Found { find: Find::Literal(_) | Find::Phrases(_), .. })) = (flags, &found)
    {
        item.fault("flags are for `match`");
    }
    if let (Some((item, _)), Some(Found { find: Find::Phrases(_), .. })) = (check, &found) {
        item.fault("a check is for `match`: phrases are what they are");
    }
    let found = found?;
    let origin = origin(file, found.item.position());
    check_find(&found, &places);
    section.finish();
    Some(Pattern {
        symbol: symbol?,
        score: score?,
        find: found.find,
        places,
        check: check.and_then(|(_, check)| check),
        count: count?,
        near: near.flatten(),
        why: why?,
        group: group.flatten(),
        origin,
    })
}

struct Found<'a> {
    item: Item<'a>,
    find: Find,
}

/// One of `match`, `literal` and `phrases`.
fn find<'a>(section: &mut Section<'a>, flags: ExpressionFlags) -> Option<Found<'a>> {
    let keys = ["match", "literal", "phrases"];
    let items = keys.map(|key| section.item(key));
    if items.iter().flatten().count() != 1 {
        section.fault("one of `match`, `literal` and `phrases` is needed");
        return None;
    }
    match items {
        [Some(item), _, _] => {
            Some(Found { item, find: Find::Regex { source: item.text()?.to_owned(), flags } })
        }
        [_, Some(item), _] => Some(Found { item, find: Find::Literal(phrase(item)?) }),
        [_, _, Some(item)] => {
            let phrases: Vec<_> = item.elements_up_to(PHRASES_MAX).into_iter().filter_map(phrase).collect();
            Some(Found { item, find: Find::Phrases(phrases) })
        }
        [None, None, None] => None,
    }
}

fn phrase(item: Item<'_>) -> Option<String> {
    let text = short(item, PHRASE_BYTES_MAX)?;
    let folded = super::normalise::fold(&text);
    if folded.trim().is_empty() {
        item.fault("nothing of it is left when it is folded");
        return None;
    }
    // Compatibility forms may be longer.
    if folded.len() > PHRASE_BYTES_MAX {
        item.fault(format!("folded it has {} bytes of {PHRASE_BYTES_MAX}", folded.len()));
        return None;
    }
    Some(text)
}

fn short(item: Item<'_>, bytes_max: usize) -> Option<String> {
    let text = item.text()?;
    if text.is_empty() || text.len() > bytes_max {
        item.fault(format!("{} bytes are out of range: 1 to {bytes_max}", text.len()));
        return None;
    }
    Some(text.to_owned())
}

fn symbol(item: Item<'_>) -> Option<String> {
    let text = short(item, SYMBOL_BYTES_MAX)?;
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if !text.bytes().all(plain) || !text.starts_with(|first: char| first.is_ascii_uppercase()) {
        item.fault("a symbol is made of A-Z, 0-9 and _, and starts with a letter");
        return None;
    }
    Some(text)
}

fn places(item: Item<'_>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for element in item.elements_up_to(usize::MAX) {
        match element.text().map(Place::from_name) {
            Some(Ok(place)) if places.contains(&place) => element.fault(format!("{place} stands here twice")),
            Some(Ok(place)) => places.push(place),
            Some(Err(message)) => element.fault(message),
            None => {}
        }
    }
    places
}

fn checks() -> Vec<(&'static str, Check)> {
    Check::ALL.iter().map(|check| (check.name(), *check)).collect()
}

fn near(item: Item<'_>) -> Option<Near> {
    let mut section = item.section("near")?;
    let words = section.required("words").map(|item| item.elements_up_to(NEAR_WORDS_MAX));
    let words: Vec<_> = words.unwrap_or_default().into_iter().filter_map(phrase).collect();
    let within = section.required("within").and_then(|item| item.count(1..=NEAR_BYTES_MAX.into()));
    section.finish();
    Some(Near { words, within: within? })
}

fn flags(item: Item<'_>) -> ExpressionFlags {
    let names = [("caseless", 0), ("dotall", 1), ("multiline", 2)];
    let mut flags = ExpressionFlags::default();
    for element in item.elements_up_to(names.len()) {
        match element.choice(&names) {
            Some(0) => flags.caseless = true,
            Some(1) => flags.dotall = true,
            Some(_) => flags.multiline = true,
            None => {}
        }
    }
    flags
}

/// Faults of the expression itself, as far as they show without compiling it.
fn check_find(found: &Found<'_>, places: &[Place]) {
    let Find::Regex { source, flags } = &found.find else { return };
    let mut views: Vec<bool> = places.iter().map(Place::is_folded).collect();
    views.sort_unstable();
    views.dedup();
    for folded in views {
        if let Err(message) = prepare(source, *flags, folded, false) {
            found.item.fault(message);
            return;
        }
    }
}

/// An expression ready for the engines.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) regex: database::Regex,
    pub(super) source: String,
    pub(super) flags: Flags,
    pub(super) portable: bool,
    pub(super) width: Width,
    /// Positions of groups that are repeated.
    pub(super) repeated: u64,
}

/// Translates and asks the library; `lines`: anchors mean lines.
pub(super) fn prepare(
    source: &str,
    flags: ExpressionFlags,
    folded: bool,
    lines: bool,
) -> Result<Prepared, String> {
    let read = expression::translate(source, folded)?;
    let flags = Flags {
        caseless: flags.caseless || read.caseless,
        dotall: flags.dotall,
        multiline: flags.multiline || lines,
    };
    let bit = |set: bool, bit: u32| if set { bit } else { 0 };
    let bits = bit(flags.caseless, database::CASELESS)
        | bit(flags.dotall, database::DOTALL)
        | bit(flags.multiline, database::MULTILINE);
    let text = std::ffi::CString::new(read.source.as_str()).map_err(|_| "NUL: write \\x00".to_owned())?;
    let regex = database::Regex { source: text, flags: bits };
    let width = database::width(&regex)?;
    if width.min == 0 {
        return Err("it matches where nothing is".to_owned());
    }
    Ok(Prepared {
        regex,
        source: read.source,
        flags,
        portable: read.portable,
        width,
        repeated: read.repeated,
    })
}

#[cfg(test)]
mod tests;
