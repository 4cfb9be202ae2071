//! What is looked for in one place, spread over the engines that are cheapest for it.
//!
//! * Phrases of ASCII words, if they are many: by their words ([`Phrases`]).
//! * Literals, other phrases, and literals that stand before a split expression: one Hyperscan database
//!   that holds nothing but literals.
//! * Expressions of digits without a literal: a database that sees only where the digits are ([`Gate`]).
//! * Other expressions: another database, and few literals with them. Expensive ones that can be are split: a literal finds where to look,
//!   [`Confirm`] looks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::confirm::{Confirm, REACH_BYTES_MAX};
use super::database::{Database, Literal, Regex};
use super::expression::REPEATED_POSITIONS_OF_PLACE_MAX;
use super::gate::Gate;
use super::hit::{NearRule, Rule};
use super::normalise;
use super::pattern::{self, Fault, Find, Near, Pattern, Place, Prepared};
use super::phrase::{self, Phrases};
use super::required;
use super::rules;

/// Phrases in one place from which on they are found by their words: that costs the same for one as for
/// ten thousand, about what Hyperscan takes for so many.
pub const WORDS_MIN: usize = 300;

/// Literals that are compiled together with the expressions, if there are any: one pass costs less than two.
const TOGETHER_MAX: usize = WORDS_MIN;

/// One place's share of the patterns, compiled. Shared read-only by all workers.
#[derive(Debug)]
pub struct Set {
    /// Unique in this process.
    pub(super) id: u64,
    pub(super) place: Place,
    pub(super) phrases: Option<Phrases>,
    pub(super) literals: Option<Arc<Database>>,
    pub(super) regexes: Option<Arc<Database>>,
    pub(super) numbers: Option<Arc<Database>>,
    /// Where the numbers are to be looked for.
    pub(super) gate: Gate,
    /// Of phrases, then of literals, then of expressions, then of numbers.
    pub(super) uses: Vec<Use>,
    pub(super) first_literal: u32,
    pub(super) first_regex: u32,
    /// Where the database of expressions starts: with the literals if they are in it.
    pub(super) regex_base: u32,
    pub(super) first_number: u32,
    pub(super) rules: Vec<Rule>,
    pub(super) confirms: Vec<(Confirm, Use)>,
    pub(super) groups: usize,
    /// Digests of what the three databases were made from.
    pub(super) inputs: [[u8; 32]; 3],
}

/// What a find of an engine means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) target: Target,
    /// See [`Match::gap`](super::hit::Match).
    pub(super) gap: u32,
    pub(super) length: Option<u32>,
    /// Only as whole words.
    pub(super) whole: bool,
    /// Rows of ends may be joined in the engine's callback.
    pub(super) joins: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A match of the pattern of this rule.
    Rule(u32),
    /// A word of this group.
    Word(u32),
    /// A literal of this split expression.
    Confirm(u32),
}

/// Which expressions are to be split where that is possible, by pattern.
pub(super) type Chooser<'a> = &'a dyn Fn(u32) -> bool;

/// An expression that can be searched for by literals first.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) literals: Vec<Literal>,
    pub(super) confirm: Confirm,
}

/// Why an expression cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// Some match is longer than any window, or there is no longest.
    Long,
    /// `^`, `$`, or something that other parsers read differently.
    Strange,
    /// Nothing of four bytes must be in a match.
    NoLiteral,
    /// The automaton of the second look would be too large.
    Large,
}

impl Split {
    pub(super) fn of(prepared: &Prepared, folded: bool) -> Result<Self, Whole> {
        let hir = required::parse(&prepared.source, prepared.flags).filter(|_| prepared.portable);
        let hir = hir.filter(|hir| !required::is_anchored(hir)).ok_or(Whole::Strange)?;
        let literals = required::required(&hir).ok_or(Whole::NoLiteral)?;
        let reach = prepared.width.max.and_then(|reach| usize::try_from(reach).ok());
        let reach = reach.filter(|reach| *reach <= REACH_BYTES_MAX).ok_or(Whole::Long)?;
        let literals = literals.into_iter().map(|bytes| Literal { bytes, caseless: !folded }).collect();
        let confirm = Confirm::new(&prepared.source, prepared.flags, reach).ok_or(Whole::Large)?;
        Ok(Self { literals, confirm })
    }
}

impl Prepared {
    /// Where its digits open a gate, if it can stand behind one.
    fn gate(&self) -> Option<Gate> {
        let hir = required::parse(&self.source, self.flags).filter(|_| self.portable)?;
        Gate::of(&hir, self.width.max)
    }
}

impl Set {
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Bytes of the databases, and of the state of one open stream beside its buffer.
    pub fn sizes(&self) -> (usize, usize) {
        let sum = self.databases().into_iter().flatten().map(|database| database.sizes());
        let (bytes, stream) = sum.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        (bytes + self.phrases.as_ref().map_or(0, Phrases::bytes), stream)
    }

    /// Literals, expressions, numbers.
    pub(super) const fn databases(&self) -> [&Option<Arc<Database>>; 3] {
        [&self.literals, &self.regexes, &self.numbers]
    }

    /// Of phrases, literals, expressions (numbers too), split expressions.
    pub fn counts(&self) -> [usize; 4] {
        let all = self.uses.len();
        let (literal, regex) = (self.first_literal as usize, self.first_regex as usize);
        [literal, regex.saturating_sub(literal), all.saturating_sub(regex), self.confirms.len()]
    }

    /// What the phrase, literal or expression of this index in `uses` means.
    pub(super) fn meaning(&self, index: u32) -> Option<&Use> {
        self.uses.get(index as usize)
    }
}

/// Collects what a set is made of.
#[derive(Debug)]
pub(super) struct Builder {
    place: Place,
    phrases: Vec<(Vec<u8>, Use)>,
    literals: Vec<Literal>,
    literal_uses: Vec<Use>,
    regexes: Vec<Regex>,
    regex_uses: Vec<Use>,
    /// Where the expressions came from.
    pub(super) regex_patterns: Vec<u32>,
    numbers: Vec<Regex>,
    number_uses: Vec<Use>,
    pub(super) number_patterns: Vec<u32>,
    gate: Gate,
    rules: Vec<Rule>,
    confirms: Vec<(Confirm, Use)>,
    pub(super) split: Vec<u32>,
    groups: HashMap<Vec<String>, u32>,
    words_min: usize,
    /// Positions of groups that are repeated.
    repeated: u64,
}

impl Builder {
    /// Below `words_min` phrases, Hyperscan finds them as literals.
    pub(super) fn new(place: Place, words_min: usize) -> Self {
        Self {
            place,
            words_min,
            repeated: 0,
            phrases: Vec::new(),
            literals: Vec::new(),
            literal_uses: Vec::new(),
            regexes: Vec::new(),
            regex_uses: Vec::new(),
            regex_patterns: Vec::new(),
            numbers: Vec::new(),
            number_uses: Vec::new(),
            number_patterns: Vec::new(),
            gate: Gate::default(),
            rules: Vec::new(),
            confirms: Vec::new(),
            split: Vec::new(),
            groups: HashMap::new(),
        }
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Adds the pattern of this index.
    pub(super) fn add(&mut self, index: u32, pattern: &Pattern, choose: Chooser<'_>) -> Result<(), Fault> {
        let near = pattern.near.as_ref().map(|near| self.near(near));
        let rule = count(self.rules.len());
        self.rules.push(Rule { pattern: index, check: pattern.check, near });
        let target = Target::Rule(rule);
        match &pattern.find {
            Find::Regex { source, flags } => {
                let prepared =
                    pattern::prepare(source, *flags, self.place.is_folded(), self.place.is_lines())
                        .map_err(|message| pattern.origin.fault(message))?;
                self.repeated += prepared.repeated;
                if self.repeated > REPEATED_POSITIONS_OF_PLACE_MAX {
                    let max = REPEATED_POSITIONS_OF_PLACE_MAX;
                    let what =
                        format!("with this all expressions of one place have more than {max} positions");
                    return Err(pattern.origin.fault(what + " in groups that are repeated"));
                }
                self.regex(index, prepared, target, pattern.check.is_some(), choose);
            }
            Find::Literal(text) => {
                let bytes = self.fold(text);
                let length = count(bytes.len());
                let joins = pattern.check.is_none();
                self.literal(bytes, Use { target, gap: length, length: Some(length), whole: false, joins });
            }
            Find::Phrases(phrases) => phrases.iter().for_each(|text| self.phrase(text, target)),
        }
        Ok(())
    }

    /// The group of words, the same for all patterns that name the same words.
    fn near(&mut self, near: &Near) -> NearRule {
        let next = count(self.groups.len());
        if let Some(group) = self.groups.get(&near.words) {
            return NearRule { group: *group, within: near.within };
        }
        self.groups.insert(near.words.clone(), next);
        near.words.iter().for_each(|word| self.phrase(word, Target::Word(next)));
        NearRule { group: next, within: near.within }
    }

    fn phrase(&mut self, text: &str, target: Target) {
        let bytes = self.fold(text.trim());
        let length = count(bytes.len());
        let meaning = Use { target, gap: length, length: Some(length), whole: true, joins: false };
        if phrase::is_wordy(&bytes) {
            self.phrases.push((bytes, meaning));
        } else {
            self.literal(bytes, meaning);
        }
    }

    fn literal(&mut self, bytes: Vec<u8>, meaning: Use) {
        self.literals.push(Literal { bytes, caseless: false });
        self.literal_uses.push(meaning);
    }

    fn regex(&mut self, index: u32, prepared: Prepared, target: Target, checked: bool, choose: Chooser<'_>) {
        let gap = prepared.width.min;
        let meaning = Use { target, gap, length: None, whole: false, joins: !checked };
        if choose(index)
            && let Ok(split) = Split::of(&prepared, self.place.is_folded())
        {
            let target = Target::Confirm(count(self.confirms.len()));
            let reach = count(split.confirm.reach());
            for literal in split.literals {
                self.literals.push(literal);
                self.literal_uses.push(Use { target, gap: reach, joins: true, ..meaning });
            }
            self.confirms.push((split.confirm, meaning));
            self.split.push(index);
            return;
        }
        if let Some(gate) = prepared.gate().filter(|gate| self.gate.has_room_for(gate)) {
            self.gate.join(gate);
            self.numbers.push(prepared.regex);
            self.number_uses.push(meaning);
            self.number_patterns.push(index);
            return;
        }
        self.regexes.push(prepared.regex);
        self.regex_uses.push(meaning);
        self.regex_patterns.push(index);
    }

    fn fold(&self, text: &str) -> Vec<u8> {
        if self.place.is_folded() {
            normalise::fold_inside(text).into_bytes()
        } else {
            text.as_bytes().to_vec()
        }
    }

    /// The phrases to find by their words: none if they are few, and not those that share their last words
    /// with too many others. The rest becomes literals.
    fn phrases(&mut self) -> Option<Phrases> {
        if self.phrases.len() < self.words_min {
            for (text, meaning) in std::mem::take(&mut self.phrases) {
                self.literal(text, meaning);
            }
        }
        loop {
            let keyed: Vec<_> = self.phrases.iter().map(|(text, _)| text.as_slice()).zip(0..).collect();
            let (phrases, mut crowd) = Phrases::new(&keyed);
            if crowd.is_empty() {
                return (!self.phrases.is_empty()).then_some(phrases);
            }
            crowd.sort_unstable();
            for index in crowd.into_iter().rev() {
                let (text, meaning) = self.phrases.swap_remove(index);
                self.literal(text, meaning);
            }
        }
    }

    /// The finished set. The arguments make the databases, or bring them from where they are kept; the second
    /// is told how many of its expressions were literals.
    pub(super) fn finish<E>(
        mut self,
        literals: impl FnOnce(&[Literal]) -> Result<Arc<Database>, E>,
        regexes: impl FnOnce(&[Regex], usize) -> Result<Arc<Database>, E>,
        numbers: impl FnOnce(&[Regex]) -> Result<Arc<Database>, E>,
    ) -> Result<(Set, Vec<u32>), E> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let phrases = self.phrases();
        let together = if self.regexes.is_empty() || self.literals.len() > TOGETHER_MAX {
            0
        } else {
            let all = self.literals.drain(..).map(|literal| literal.to_regex());
            self.regexes.splice(0..0, all).for_each(drop);
            self.literal_uses.len()
        };
        let inputs = [
            rules::literal_inputs(&self.literals),
            rules::regex_inputs(&self.regexes),
            rules::regex_inputs(&self.numbers),
        ];
        let literals = if self.literals.is_empty() { None } else { Some(literals(&self.literals)?) };
        let regexes = if self.regexes.is_empty() { None } else { Some(regexes(&self.regexes, together)?) };
        let numbers = if self.numbers.is_empty() { None } else { Some(numbers(&self.numbers)?) };
        let mut uses: Vec<Use> = self.phrases.iter().map(|(_, meaning)| *meaning).collect();
        let first_literal = count(uses.len());
        uses.append(&mut self.literal_uses);
        let first_regex = count(uses.len());
        uses.append(&mut self.regex_uses);
        let first_number = count(uses.len());
        uses.append(&mut self.number_uses);
        let set = Set {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            place: self.place,
            phrases,
            literals,
            regexes,
            numbers,
            gate: self.gate,
            uses,
            first_literal,
            first_regex,
            regex_base: if together > 0 { first_literal } else { first_regex },
            first_number,
            rules: self.rules,
            confirms: self.confirms,
            groups: self.groups.len(),
            inputs,
        };
        Ok((set, self.split))
    }
}

/// Sets are bounded far below this.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
