//! The second look at expensive expressions: where a literal was found that a match must contain, the bytes
//! around it are searched, and nowhere else.
//!
//! Exact, not an estimate: an expression is split only if its matches have a longest length (its reach), so
//! every match lies within one reach of its literal, and the search reports the same ends as Hyperscan
//! would: all of them. Nobody can tell from the hits whether an expression was split. One exception is known:
//! where what follows a `\b` may be nothing (`x\by?`), Hyperscan 5.4 leaves out the shorter of two ends.

use regex_automata::hybrid::dfa::{Cache, DFA, OverlappingState};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchError, MatchKind};

use super::required::Flags;

/// Longest match of an expression that may be split; two of them and a byte must fit the tail.
pub(super) const REACH_BYTES_MAX: usize = 1536;
/// Memory of one automaton, and of what it remembers in one worker.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;
const CACHE_BYTES_MAX: usize = 256 * 1024;

/// An expression to be searched for in windows.
#[derive(Debug)]
pub(super) struct Confirm {
    automaton: DFA,
    reach: usize,
}

impl Confirm {
    /// `None` if it would be too large.
    pub(super) fn new(source: &str, flags: Flags, reach: usize) -> Option<Self> {
        let syntax = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .case_insensitive(flags.caseless)
            .dot_matches_new_line(flags.dotall)
            .multi_line(flags.multiline);
        let nfa = thompson::Config::new().utf8(false).nfa_size_limit(Some(AUTOMATON_BYTES_MAX));
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE_BYTES_MAX)
            .skip_cache_capacity_check(true);
        let automaton = DFA::builder().syntax(syntax).thompson(nfa).configure(config).build(source).ok()?;
        Some(Self { automaton, reach })
    }

    /// Longest match in bytes.
    pub(super) const fn reach(&self) -> usize {
        self.reach
    }

    pub(super) fn cache(&self) -> Cache {
        self.automaton.create_cache()
    }

    /// Gives the ends of all matches that lie in `from..to` of `text`, which is looked at beyond for what is
    /// beside them.
    pub(super) fn ends(
        &self,
        cache: &mut Cache,
        text: &[u8],
        (from, to): (usize, usize),
        found: &mut impl FnMut(usize),
    ) -> Result<(), MatchError> {
        if from > to || to > text.len() {
            return Ok(());
        }
        let input = Input::new(text).range(from..to);
        let mut state = OverlappingState::start();
        loop {
            self.automaton.try_search_overlapping_fwd(cache, &input, &mut state)?;
            match state.get_match() {
                Some(end) => found(end.offset()),
                None => return Ok(()),
            }
        }
    }
}
