//! Pattern files: found, read, and compiled for a configuration.
//!
//! Who wrote a pattern is trusted no more than needed: whatever stands in a file ends as rules or as
//! faults, `file:line:column: message`, and all of them at once.
//!
//! * `child`: compiles, where it can do no harm;
//! * `cache`: keeps what was compiled.

pub mod cache;
pub mod child;

use std::path::Path;

use crate::policy::symbol;
use crate::scan::pattern::{self, Fault, Pattern};
use crate::scan::{Choice, Rules};
use crate::service::notice::say;

/// Pattern files of one configuration.
pub const PATTERN_FILES_MAX: usize = 256;
/// Bytes of all of them together.
pub const PATTERN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A pattern file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What faults call it.
    pub name: String,
    pub text: String,
}

/// Reads the patterns of all files.
///
/// # Errors
/// All faults of all files.
pub fn parse(sources: &[Source]) -> Result<Vec<Pattern>, Vec<Fault>> {
    let (mut patterns, mut faults) = (Vec::new(), Vec::new());
    for Source { name, text } in sources {
        match pattern::parse(name, text) {
            Ok(more) => patterns.extend(more),
            Err(more) => faults.extend(more),
        }
    }
    let ours = patterns.iter().filter(|pattern| symbol::is_reserved(&pattern.symbol));
    let taken = |pattern: &Pattern| {
        pattern.origin.fault(format!("{} is a symbol of our own: name it otherwise", pattern.symbol))
    };
    faults.extend(ours.map(taken));
    if faults.is_empty() { Ok(patterns) } else { Err(faults) }
}

/// Reads and compiles in this process, for as long and with as much memory as it takes.
///
/// # Errors
/// All faults.
pub fn compile_here(sources: &[Source]) -> Result<Rules, Vec<Fault>> {
    parse(sources).and_then(|patterns| Rules::compile(patterns, Choice::Never))
}

/// Compiles in a child of this program, or takes what is kept in the folder `cache`.
///
/// # Errors
/// All faults, one line each.
pub fn compile(sources: &[Source], cache: Option<&Path>) -> Result<Rules, Vec<String>> {
    if sources.is_empty() {
        return compile_here(sources).map_err(lines);
    }
    let place = cache.map(|folder| cache::place(folder, sources));
    // What was compiled once can be read without danger: nothing else has that digest.
    let kept = place.as_deref().and_then(cache::read).and_then(|kept| restore(sources, &kept));
    if let Some(rules) = kept {
        return Ok(rules);
    }
    let kept = child::compile(sources)?;
    let rules = restore(sources, &kept);
    if let Some(place) = place
        && let Err(error) = cache::write(&place, &kept)
    {
        say(format_args!("{}: compiled patterns are not kept: {error}", place.display()));
    }
    rules.ok_or_else(|| vec!["the compiled patterns cannot be read back".to_owned()])
}

fn restore(sources: &[Source], kept: &[u8]) -> Option<Rules> {
    Rules::deserialise(parse(sources).ok()?, kept)
}

/// Faults as they are told.
pub fn lines(faults: Vec<Fault>) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// Whether the name of a file is one that `wanted` means, in which `*` stands for any letters. Hidden
/// files are not meant unless `wanted` says so: editors leave theirs beside what they edit.
pub fn is_meant(wanted: &str, name: &str) -> bool {
    if name.starts_with('.') && !wanted.starts_with('.') {
        return false;
    }
    let mut pieces = wanted.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (wanted, name, meant) in [
            ("a.toml", "a.toml", true),
            ("a.toml", "a.tom", false),
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", false),
            (".*", ".toml", true),
            ("*.toml", "a.toml~", false),
            ("*", "a", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*ab*", "aab", true),
        ] {
            assert_eq!(is_meant(wanted, name), meant, "{wanted} {name}");
        }
    }

    #[test]
    fn faults_of_all_files_come_together() {
        let source = |name: &str, symbol: &str| Source {
            name: name.to_owned(),
            text: format!("[[pattern]]\nsymbol = '{symbol}'\nwhy = 'x'\nin = ['text']\nliteral = 'x'\n"),
        };
        assert_eq!(parse(&[source("a", "A"), source("b", "B")]).map(|all| all.len()), Ok(2));
        let faults = parse(&[source("a", "a b"), source("b", "LIMIT_X")]).unwrap_err();
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert!(lines[0].starts_with("a:2:10: a symbol is made of"), "{lines:?}");
        assert!(lines[1].starts_with("b:5:11: LIMIT_X is a symbol of our own"), "{lines:?}");
    }
}
