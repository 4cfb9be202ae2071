//! `[[rule]]`: a condition over facts, and what is decided if it holds.
//!
//! Rules are asked in the order of the file; the first that holds decides, before the score. A
//! shadow rule is asked and counted, and decides nothing.

use super::condition::{Condition, Phase, Reads, Undecided, World};
use super::verdict::Verdict;
use crate::limits::RULE_REPLY_BYTES_MAX;
use crate::smtp::reply::Reply;

#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    pub when: Condition,
    pub then: Verdict,
    /// What the client hears, where that is ours to say and the rule has words of its own.
    pub reply: Option<Reply>,
    pub shadow: bool,
}

impl Rule {
    /// Whether it decides. One that greylists does so over those alone who have not met, which is known at the
    /// end.
    ///
    /// # Errors
    /// When that cannot be told, or not yet.
    pub fn holds(&self, world: &World<'_>) -> Result<bool, Undecided> {
        let holds = self.when.holds(world)?;
        if !holds || self.then != Verdict::Greylist {
            return Ok(holds);
        }
        if world.phase < Phase::End { Err(Undecided::NotYet) } else { Ok(world.facts.contact.waits()) }
    }
}

/// Place of a rule in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleIndex(pub usize);

/// All rules, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    reads: Reads,
    /// Some rule may refuse content before its end.
    refuses_early: bool,
}

impl Rules {
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut reads = Reads::default();
        rules.iter().for_each(|rule| reads.merge(rule.when.reads()));
        let refuses_early = rules.iter().any(|rule| !rule.shadow && rule.then.refuses());
        Self { rules, reads, refuses_early }
    }

    pub fn iter(&self) -> impl Iterator<Item = (RuleIndex, &Rule)> {
        self.rules.iter().enumerate().map(|(index, rule)| (RuleIndex(index), rule))
    }

    pub fn find(&self, index: RuleIndex) -> Option<&Rule> {
        self.rules.get(index.0)
    }

    pub fn len(&self) -> usize {
        self.rules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What all rules together look at.
    pub const fn reads(&self) -> &Reads {
        &self.reads
    }

    pub const fn refuse_early(&self) -> bool {
        self.refuses_early
    }

    /// Whether any rule could decide at `phase` already.
    pub fn any_at(&self, phase: Phase) -> bool {
        self.rules.iter().any(|rule| rule.when.phase() <= phase)
    }
}

/// The reply that a rule says: an enhanced code of the verdict's class, then words.
///
/// # Errors
/// What is wrong with it.
pub fn reply(text: &str, then: Verdict) -> Result<Reply, String> {
    let Some(code) = then.code() else {
        return Err(format!("with `{}` the next hop replies, not the rule", then.name()));
    };
    if text.len() > RULE_REPLY_BYTES_MAX {
        return Err(format!("longer than {RULE_REPLY_BYTES_MAX} bytes"));
    }
    if let Some(letter) = text.chars().find(|letter| !(' '..='~').contains(letter)) {
        return Err(format!("`{}` cannot stand in a reply: printable ASCII only", letter.escape_debug()));
    }
    let (enhanced, words) = text.split_once(' ').unwrap_or((text, ""));
    let reply = Reply::new(code, enhanced, words.trim());
    let class = code / 100;
    let example = format!("\"{class}.7.1 {}\"", if class == 2 { "accepted" } else { "not accepted here" });
    match reply.enhanced() {
        _ if enhanced.len() == 3 && enhanced.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(format!("without the code {enhanced}, which follows from `then`; write one like {example}"))
        }
        None => Err(format!("begins with no enhanced code; write one like {example}")),
        Some(found) if !found.starts_with(&class.to_string()) => {
            Err(format!("{enhanced} does not fit `{}`; write one like {example}", then.name()))
        }
        Some(_) if words.trim().is_empty() => Err(format!("says nothing; write one like {example}")),
        Some(_) => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(then: Verdict, text: &str, want: Result<&str, &str>) {
        match (reply(text, then), want) {
            (Ok(reply), Ok(want)) => assert_eq!(reply.first_line(), want),
            (Err(message), Err(want)) => assert!(message.contains(want), "{message}"),
            (got, want) => panic!("{got:?} for {want:?}"),
        }
    }

    #[test]
    fn a_reply_fits_its_verdict() {
        check(Verdict::Reject, "5.7.1 no programs here", Ok("550 5.7.1 no programs here"));
        check(Verdict::Defer, "4.7.1 later", Ok("451 4.7.1 later"));
        check(Verdict::Quarantine, "2.6.0 accepted", Ok("250 2.6.0 accepted"));
        check(Verdict::Reject, "4.7.1 later", Err("4.7.1 does not fit `reject`"));
        check(Verdict::Discard, "5.7.1 no", Err("does not fit `discard`"));
        check(Verdict::Tag, "5.7.1 no", Err("the next hop replies"));
    }

    #[test]
    fn a_reply_is_one_printable_line() {
        check(Verdict::Reject, "no programs", Err("no enhanced code"));
        check(Verdict::Reject, "550 5.7.1 no", Err("without the code 550"));
        check(Verdict::Reject, "5.7.1", Err("says nothing"));
        check(Verdict::Reject, "5.7.1  ", Err("says nothing"));
        check(Verdict::Reject, "5.7.1 a\r\n250 b", Err("`\\r` cannot stand"));
        check(Verdict::Reject, "5.7.1 für", Err("`ü` cannot stand"));
        check(Verdict::Reject, &format!("5.7.1 {}", "x".repeat(400)), Err("longer than 400"));
    }
}
