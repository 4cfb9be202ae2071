//! The oracle of the tests: what must be found, by trying everything everywhere.
//!
//! Each pattern by itself, over the whole text at once: expressions from every start, phrases by comparing,
//! `near` by looking at all pairs. No Hyperscan, no blocks, no tail, no table.

use regex_automata::hybrid::dfa::{DFA, OverlappingState};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use super::normalise::{fold, fold_inside};
use super::pattern::{Find, Pattern, Place, Prepared, prepare};
use super::phrase::{is_word, is_wordy};

/// The hits that `patterns` have in all of `text` (as it is pushed), by pattern and end.
pub(super) fn hits(patterns: &[Pattern], place: &Place, text: &[u8]) -> Vec<(u32, u64)> {
    let mut hits = Vec::new();
    for (index, pattern) in (0..).zip(patterns).filter(|(_, pattern)| pattern.places.contains(place)) {
        for end in occurrences(pattern, place, text) {
            if is_near(pattern, place, text, end) {
                hits.push((index, end as u64));
            }
        }
    }
    hits
}

/// Ends of occurrences, in order.
fn occurrences(pattern: &Pattern, place: &Place, text: &[u8]) -> Vec<usize> {
    let (mut last, mut found) = (0, Vec::new());
    for (end, gap) in matches(pattern, place, text) {
        match pattern.check {
            Some(check) => {
                let start = check.find(&text[..end], end).map(|place| place.start);
                if start.is_some_and(|start| start >= last) {
                    found.push(end);
                    last = end;
                }
            }
            None => {
                if last == 0 || end >= last + gap {
                    found.push(end);
                }
                last = end;
            }
        }
    }
    found
}

/// All ends, each with the length of the shortest match.
fn matches(pattern: &Pattern, place: &Place, text: &[u8]) -> Vec<(usize, usize)> {
    match &pattern.find {
        Find::Regex { source, flags } => {
            let prepared = prepare(source, *flags, place.is_folded(), place.is_lines()).unwrap();
            let ends = regex_ends(&prepared, text);
            ends.into_iter().map(|end| (end, prepared.width.min as usize)).collect()
        }
        Find::Literal(literal) => {
            let literal = if place.is_folded() { fold_inside(literal) } else { literal.clone() };
            literal_ends(literal.as_bytes(), text).map(|end| (end, literal.len())).collect()
        }
        Find::Phrases(phrases) => phrase_ends(phrases, place, text),
    }
}

fn is_near(pattern: &Pattern, place: &Place, text: &[u8], end: usize) -> bool {
    let Some(near) = &pattern.near else { return true };
    let mut words = phrase_ends(&near.words, place, text).into_iter();
    words.any(|(word, _)| word.abs_diff(end) <= near.within as usize)
}

/// Every end of a match from every start.
fn regex_ends(prepared: &Prepared, text: &[u8]) -> Vec<usize> {
    let flags = prepared.flags;
    let syntax = syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(flags.caseless)
        .dot_matches_new_line(flags.dotall)
        .multi_line(flags.multiline);
    let dfa = DFA::builder()
        .syntax(syntax)
        .thompson(thompson::Config::new().utf8(false))
        .configure(DFA::config().match_kind(MatchKind::All))
        .build(&prepared.source)
        .unwrap();
    let (mut cache, mut ends) = (dfa.create_cache(), Vec::new());
    for start in 0..text.len() {
        let input = Input::new(text).range(start..).anchored(Anchored::Yes);
        let mut state = OverlappingState::start();
        loop {
            dfa.try_search_overlapping_fwd(&mut cache, &input, &mut state).unwrap();
            let Some(end) = state.get_match() else { break };
            ends.push(end.offset());
        }
    }
    ends.sort_unstable();
    ends.dedup();
    ends
}

fn literal_ends<'a>(literal: &'a [u8], text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    (literal.len()..=text.len()).filter(move |end| &text[end - literal.len()..*end] == literal)
}

/// In the order of their ends; at one end those that are found by their words come first.
fn phrase_ends(phrases: &[String], place: &Place, text: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (index, phrase) in phrases.iter().enumerate() {
        let phrase =
            if place.is_folded() { fold(phrase).trim().to_owned() } else { phrase.trim().to_owned() };
        let phrase = phrase.as_bytes();
        for end in literal_ends(phrase, text) {
            let start = end - phrase.len();
            let joined = |at: usize| at > 0 && at < text.len() && is_word(text[at - 1]) && is_word(text[at]);
            if !joined(start) && !joined(end) {
                found.push((end, !is_wordy(phrase), index, phrase.len()));
            }
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(end, _, _, length)| (end, length)).collect()
}
