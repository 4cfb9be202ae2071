//! Symbols → sum → verdict: `[score]`.
//!
//! Each symbol counts once with its score, which `[score.symbols]` may change; the symbols of a
//! group together count at most its `max`, so that ten ways to say one thing do not add up to a
//! certainty. The sum is rounded to thousandths: the order of addition must not decide.

use std::collections::HashMap;

use super::symbol::{Symbol, Symbols};
use super::verdict::Verdict;

/// What symbols count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    changed: HashMap<String, f64>,
    groups: Vec<Group>,
    /// Some symbol lowers the sum.
    some_lower: bool,
}

/// Symbols that say the same thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub name: String,
    /// Names; one that ends with `*` is all that begin so.
    pub symbols: Vec<String>,
    /// What they count together at most.
    pub max: f64,
}

impl Group {
    fn holds(&self, symbol: &str) -> bool {
        self.symbols.iter().any(|name| match name.strip_suffix('*') {
            Some(beginning) => symbol.starts_with(beginning),
            None => name == symbol,
        })
    }
}

impl Scores {
    /// A symbol is of the first group that holds it.
    pub fn new(changed: HashMap<String, f64>, groups: Vec<Group>) -> Self {
        let some_lower = changed.values().any(|score| *score < 0.0);
        Self { changed, groups, some_lower }
    }

    /// Takes notice of the scores that patterns bring.
    pub fn note_patterns(&mut self, scores: impl IntoIterator<Item = f64>) {
        self.some_lower |= scores.into_iter().any(|score| score < 0.0);
    }

    /// Whether a sum that was reached cannot become less.
    pub const fn only_grow(&self) -> bool {
        !self.some_lower
    }

    /// Names that `[score.symbols]` changes.
    pub fn changed(&self) -> impl Iterator<Item = &str> {
        self.changed.keys().map(String::as_str)
    }

    /// What `symbol` counts here.
    pub fn of(&self, symbol: &Symbol) -> f64 {
        if self.changed.is_empty() {
            return symbol.score;
        }
        self.changed.get(&symbol.name).copied().unwrap_or(symbol.score)
    }

    pub fn sum(&self, symbols: &Symbols) -> f64 {
        let sum = if self.groups.is_empty() {
            symbols.iter().map(|symbol| self.of(symbol)).sum()
        } else {
            self.sum_of_groups(symbols)
        };
        // The sum of nothing is a negative zero.
        (sum * 1000.0).round() / 1000.0 + 0.0
    }

    fn sum_of_groups(&self, symbols: &Symbols) -> f64 {
        let mut alone = 0.0;
        let mut groups = vec![0.0; self.groups.len()];
        for symbol in symbols.iter() {
            let score = self.of(symbol);
            let place = self.groups.iter().position(|group| group.holds(&symbol.name));
            match place.and_then(|place| groups.get_mut(place)) {
                Some(sum) => *sum += score,
                None => alone += score,
            }
        }
        let capped = self.groups.iter().zip(groups).map(|(group, sum): (_, f64)| sum.min(group.max));
        alone + capped.sum::<f64>()
    }
}

/// From which sum on a message is what. One that is not set is never reached.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    pub tag: Option<f64>,
    pub defer: Option<f64>,
    pub quarantine: Option<f64>,
    pub reject: Option<f64>,
}

impl Thresholds {
    pub fn verdict(&self, score: f64) -> Verdict {
        let reached = |threshold: Option<f64>| threshold.is_some_and(|threshold| score >= threshold);
        if reached(self.reject) {
            Verdict::Reject
        } else if reached(self.quarantine) {
            Verdict::Quarantine
        } else if reached(self.defer) {
            Verdict::Defer
        } else if reached(self.tag) {
            Verdict::Tag
        } else {
            Verdict::Pass
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::facts::Facts;

    fn symbols(found: &[(&str, f64)]) -> Symbols {
        let mut facts = Facts::default();
        for (name, score) in found {
            facts.add_symbol(name, *score, 1);
        }
        facts.symbols
    }

    #[track_caller]
    fn check(changed: &[(&str, f64)], groups: &[(&[&str], f64)], found: &[(&str, f64)], want: f64) {
        let changed = changed.iter().map(|(name, score)| ((*name).to_owned(), *score)).collect();
        let group = |(names, max): &(&[&str], f64)| Group {
            name: String::new(),
            symbols: names.iter().map(|name| (*name).to_owned()).collect(),
            max: *max,
        };
        let scores = Scores::new(changed, groups.iter().map(group).collect());
        let sum = scores.sum(&symbols(found));
        assert!((sum - want).abs() < f64::EPSILON, "{sum} for {want}");
    }

    #[test]
    fn scores_add_up() {
        check(&[], &[], &[], 0.0);
        check(&[], &[], &[("A", 0.1), ("B", 0.2)], 0.3);
        check(&[], &[], &[("A", 5.0), ("B", -1.5)], 3.5);
    }

    #[test]
    fn an_administrator_knows_better() {
        check(&[("A", 0.0), ("C", 9.0)], &[], &[("A", 5.0), ("B", 1.0)], 1.0);
        check(&[("A", -2.0)], &[], &[("A", 5.0)], -2.0);
    }

    #[test]
    fn a_group_counts_its_most() {
        let found = [("PHISH_A", 3.0), ("PHISH_B", 3.0), ("OTHER", 1.0), ("X", 4.0)];
        check(&[], &[(&["PHISH_*"], 4.0)], &found, 9.0);
        check(&[], &[(&["PHISH_*"], 40.0)], &found, 11.0);
        check(&[], &[(&["PHISH_A", "X"], 5.0), (&["*"], 2.0)], &found, 7.0);
    }

    #[test]
    fn scores_only_grow_while_none_is_negative() {
        let mut scores = Scores::default();
        scores.note_patterns([1.0, 0.0]);
        assert!(scores.only_grow());
        scores.note_patterns([-0.1]);
        assert!(!scores.only_grow());
        assert!(!Scores::new(HashMap::from([("A".to_owned(), -1.0)]), Vec::new()).only_grow());
    }

    #[test]
    fn the_gravest_threshold_that_is_reached_decides() {
        let all = Thresholds { tag: Some(5.0), defer: Some(7.0), quarantine: Some(10.0), reject: Some(15.0) };
        for (score, want) in [
            (4.999, Verdict::Pass),
            (5.0, Verdict::Tag),
            (7.0, Verdict::Defer),
            (10.0, Verdict::Quarantine),
            (15.0, Verdict::Reject),
        ] {
            assert_eq!(all.verdict(score), want, "{score}");
        }
        assert_eq!(Thresholds::default().verdict(1e9), Verdict::Pass);
        let only_tag = Thresholds { tag: Some(-1.0), ..Thresholds::default() };
        assert_eq!(only_tag.verdict(0.0), Verdict::Tag);
    }
}
