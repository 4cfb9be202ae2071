//! Facts → verdict. Asked when the last byte of content was seen and before its end goes up; and,
//! as facts come in, whether a refusal stands already.
//!
//! In this order: what is refused without a rule (size, loop); the first rule that holds; then the
//! graver of what the score says, of what policy says about a message that could not be looked at to
//! its end, of what the author's domain asks for (DMARC), and of what a first contact has to wait for.
//!
//! A rule that greylists decides only over those who have not met; for all others it is as if it did not hold.
//!
//! Invariant: a message that is refused early would have been refused at its end, whatever was still
//! to come, and in the same way: for good or for now. Only the reason may be another one, if there
//! are two.

use super::condition::{Condition, Phase, Undecided, World};
use super::facts::Facts;
use super::lane::Lanes;
use super::limit::Limits;
use super::lists::Lists;
use super::rule::{RuleIndex, Rules};
use super::score::{Scores, Thresholds};
use super::sender::Objection;
use super::settings::Workers;
use super::symbol::RULE_ERROR;
use super::verdict::{Refusal, Verdict};
use crate::sender::dmarc;
use crate::smtp::reply::Reply;
use crate::traffic::lane::Lane;

/// All that decides.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What becomes of a message that hit a bound of inspection, at the least.
    pub limit: Verdict,
    pub rules: Rules,
    pub scores: Scores,
    pub thresholds: Thresholds,
    pub lists: Lists,
    /// Who is served first.
    pub lanes: Lanes,
    /// How much may come.
    pub limits: Limits,
    /// What an author's domain asks for is done, if no rule decides otherwise.
    pub enforces_dmarc: bool,
    /// There is a quarantine.
    pub keeps: bool,
    /// Every first contact has to come again, if no rule decides otherwise.
    pub greylists_all: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Not for ever: an administrator may see to it, and the sender still has the message.
            limit: Verdict::Defer,
            rules: Rules::default(),
            scores: Scores::default(),
            thresholds: Thresholds::default(),
            lists: Lists::default(),
            lanes: Lanes::default(),
            limits: Limits::default(),
            enforces_dmarc: false,
            keeps: false,
            greylists_all: false,
        }
    }
}

/// What was decided, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    pub cause: Cause,
    pub score: f64,
    /// Each with the score that it has here.
    pub symbols: Vec<Scored>,
    /// Shadow rules that hold.
    pub shadows: Vec<RuleIndex>,
    /// Rules that could not be asked, and why; they count as not matched.
    pub errors: Vec<(RuleIndex, Undecided)>,
    /// What the client is to hear, without the decision id; `None` where the next hop replies.
    pub reply: Option<Reply>,
}

/// A symbol as it is told in the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    pub name: String,
    pub score: f64,
    pub count: u32,
}

/// Where a verdict comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing spoke against the message.
    Nothing,
    /// Built in.
    Refusal,
    Rule(RuleIndex),
    Score,
    /// A bound of inspection was hit.
    Limit,
    /// The author's domain says that it did not send this.
    Dmarc,
    /// Those who send and receive it have not met.
    Contact,
}

impl Policy {
    /// The name of the rule that decided, or of what is decided without a rule; for the record.
    pub fn cause_name(&self, cause: Cause) -> Option<&str> {
        match cause {
            Cause::Nothing => None,
            Cause::Refusal => Some("built-in"),
            Cause::Rule(index) => self.rules.find(index).map(|rule| rule.name.as_str()),
            Cause::Score => Some("score"),
            Cause::Limit => Some("limit"),
            Cause::Dmarc => Some("dmarc"),
            Cause::Contact => Some("first-contact"),
        }
    }

    /// The lane of who and what `facts` tell, as far as they are known at `phase`.
    pub fn lane(&self, facts: &Facts, phase: Phase) -> Lane {
        self.lanes.find(&self.world(facts, phase))
    }

    /// Whether `when` is known to be true at `phase`.
    pub fn holds(&self, when: &Condition, facts: &Facts, phase: Phase) -> bool {
        when.holds(&self.world(facts, phase)) == Ok(true)
    }

    fn world<'a>(&'a self, facts: &'a Facts, phase: Phase) -> World<'a> {
        let score = self.scores.sum(&facts.symbols);
        World { facts, lists: &self.lists, scores: &self.scores, score, phase }
    }
}

/// What is refused without a rule.
const fn refusal(facts: &Facts, workers: &Workers) -> Option<Refusal> {
    if facts.message.size > workers.message {
        return Some(Refusal::TooLarge);
    }
    if facts.message.received > workers.received {
        return Some(Refusal::Loop);
    }
    None
}

/// The verdict over a whole message.
pub fn judge(facts: &Facts, policy: &Policy, workers: &Workers) -> Judgement {
    let world = policy.world(facts, Phase::End);
    let Asked { first, shadows, errors } = ask(policy, &world);
    let (verdict, cause) = match (refusal(facts, workers), first) {
        (Some(refusal), _) => (Verdict::Refuse(refusal), Cause::Refusal),
        (None, Some((index, verdict))) => (verdict, Cause::Rule(index)),
        (None, None) => without_rule(policy, &world),
    };
    let mut judgement = Judgement { shadows, ..judgement(policy, &world, verdict, cause) };
    if !errors.is_empty() {
        let count = u32::try_from(errors.len()).unwrap_or(u32::MAX);
        judgement.symbols.push(Scored { name: RULE_ERROR.to_owned(), score: 0.0, count });
        judgement.errors = errors;
    }
    judgement
}

/// A refusal that stands already, whatever is still to come. `facts` are those that are known at
/// `phase`; before [`Phase::Content`] nothing of the content needs to be.
pub fn judge_early(facts: &Facts, policy: &Policy, workers: &Workers, phase: Phase) -> Option<Judgement> {
    if let Some(refusal) = refusal(facts, workers) {
        let world = policy.world(facts, phase);
        return Some(judgement(policy, &world, Verdict::Refuse(refusal), Cause::Refusal));
    }
    let by_score = policy.thresholds.reject.is_some() && policy.scores.only_grow();
    if !policy.rules.refuse_early() && !by_score {
        return None;
    }
    let world = policy.world(facts, phase);
    let (verdict, cause) = early_verdict(policy, &world)?;
    verdict.refuses().then(|| judgement(policy, &world, verdict, cause))
}

/// The verdict that all outcomes of what is undecided agree on.
fn early_verdict(policy: &Policy, world: &World<'_>) -> Option<(Verdict, Cause)> {
    // What an earlier rule would decide that cannot be told yet.
    let mut open: Option<Verdict> = None;
    for (index, rule) in policy.rules.iter().filter(|(_, rule)| !rule.shadow) {
        match rule.holds(world) {
            Ok(true) if open.is_none_or(|open| open == rule.then) => {
                return Some((rule.then, Cause::Rule(index)));
            }
            Ok(true) => return None,
            Ok(false) => {}
            // Whatever kept it from answering, it may answer at the end.
            Err(_) if open.is_some_and(|open| open != rule.then) => return None,
            Err(_) => open = Some(rule.then),
        }
    }
    // No verdict is graver than reject, and a score that only grows will not fall below it.
    let (verdict, cause) = without_rule(policy, world);
    let stands = match cause {
        Cause::Score => policy.scores.only_grow(),
        Cause::Limit => true,
        _ => false,
    };
    let agreed = verdict == Verdict::Reject && open.is_none_or(|open| open == Verdict::Reject);
    (agreed && stands).then_some((verdict, cause))
}

/// What score and limits say.
fn without_rule(policy: &Policy, world: &World<'_>) -> (Verdict, Cause) {
    let by_score = policy.thresholds.verdict(world.score);
    let by_limit = if world.facts.message.limits.is_empty() { Verdict::Pass } else { policy.limit };
    let by_dmarc = by_dmarc(policy, world.facts);
    let waits = policy.greylists_all && world.facts.contact.waits();
    let by_contact = if waits { Verdict::Greylist } else { Verdict::Pass };
    let verdict = by_score.graver(by_limit).graver(by_dmarc).graver(by_contact);
    let cause = match verdict {
        Verdict::Pass => Cause::Nothing,
        verdict if verdict == by_score => Cause::Score,
        verdict if verdict == by_limit => Cause::Limit,
        Verdict::Greylist => Cause::Contact,
        _ => Cause::Dmarc,
    };
    (verdict, cause)
}

/// What the author's domain asks for (RFC 7489 §6.3, `p`), where it can be told.
fn by_dmarc(policy: &Policy, facts: &Facts) -> Verdict {
    match facts.sender.objection.filter(|_| policy.enforces_dmarc) {
        None | Some(Objection::Disowned(dmarc::Policy::None)) => Verdict::Pass,
        Some(Objection::Disowned(dmarc::Policy::Quarantine)) if policy.keeps => Verdict::Quarantine,
        Some(Objection::Disowned(dmarc::Policy::Quarantine)) => Verdict::Tag,
        Some(Objection::Disowned(dmarc::Policy::Reject)) => Verdict::Refuse(Refusal::Dmarc),
        Some(Objection::SeveralAuthors) => Verdict::Refuse(Refusal::SeveralAuthors),
        // RFC 7489 §6.6.2, step 6: it may yet turn out to be the author's.
        Some(Objection::Unsure) => Verdict::Defer,
    }
}

/// What the rules say.
#[derive(Debug, Default)]
struct Asked {
    /// The first that holds and is no shadow.
    first: Option<(RuleIndex, Verdict)>,
    shadows: Vec<RuleIndex>,
    errors: Vec<(RuleIndex, Undecided)>,
}

fn ask(policy: &Policy, world: &World<'_>) -> Asked {
    let mut asked = Asked::default();
    for (index, rule) in policy.rules.iter() {
        if asked.first.is_some() && !rule.shadow {
            continue;
        }
        match rule.holds(world) {
            Ok(false) => {}
            Ok(true) if rule.shadow => asked.shadows.push(index),
            Ok(true) => asked.first = Some((index, rule.then)),
            Err(why) => asked.errors.push((index, why)),
        }
    }
    asked
}

fn judgement(policy: &Policy, world: &World<'_>, verdict: Verdict, cause: Cause) -> Judgement {
    let of_rule = match cause {
        Cause::Rule(index) => policy.rules.find(index).and_then(|rule| rule.reply.clone()),
        _ => None,
    };
    let of_contact = world.facts.contact.reply().filter(|_| verdict == Verdict::Greylist);
    let scored = world.facts.symbols.iter().map(|symbol| Scored {
        name: symbol.name.clone(),
        score: policy.scores.of(symbol),
        count: symbol.count,
    });
    Judgement {
        verdict,
        cause,
        score: world.score,
        symbols: scored.collect(),
        shadows: Vec::new(),
        errors: Vec::new(),
        reply: of_rule.or(of_contact).or_else(|| verdict.reply()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::condition::{Condition, Scope};
    use crate::policy::facts::Known;
    use crate::policy::first_contact::Contact;
    use crate::policy::rule::{self, Rule};
    use crate::policy::settings::{Cpus, DownstreamTimeouts};

    fn policy(rules: &[(&str, Verdict)]) -> Policy {
        let lists = Lists::default();
        let scope = Scope { lists: &lists, symbols: None, kinds: &[] };
        let rule = |(when, then): &(&str, Verdict)| {
            let (when, shadow) = when.strip_prefix("shadow: ").map_or((*when, false), |when| (when, true));
            let when = Condition::compile(when, scope).unwrap();
            let reply = (*then == Verdict::Reject).then(|| rule::reply("5.7.1 no", *then).unwrap());
            Rule { name: "r".to_owned(), when, then: *then, reply, shadow }
        };
        Policy {
            limit: Verdict::Defer,
            rules: Rules::new(rules.iter().map(rule).collect()),
            scores: Scores::default(),
            thresholds: Thresholds {
                tag: Some(5.0),
                quarantine: Some(10.0),
                reject: Some(15.0),
                ..Default::default()
            },
            lists,
            ..Policy::default()
        }
    }

    fn workers() -> Workers {
        let second = std::time::Duration::from_secs(1);
        Workers {
            cpus: Cpus::Auto,
            connections: 1,
            window: 0,
            window_budget: 0,
            message: 1000,
            line: 1000,
            recipients: 100,
            transactions: 1,
            received: 50,
            min_rate: 0,
            timeout: DownstreamTimeouts { command: second, content: second, drain: second },
        }
    }

    fn with_program() -> Facts {
        let mut facts = Facts::default();
        let place = facts.add_attachment("a.exe", "").unwrap();
        facts.attachments[place].kind = Known::new("executable");
        facts
    }

    fn scored(score: f64) -> Facts {
        let mut facts = Facts::default();
        facts.add_symbol("A", score, 1);
        facts
    }

    const PROGRAM: &str = "attachments.exists(a, a.kind == \"executable\")";
    const LARGE: &str = "message.size > 100";

    #[track_caller]
    fn check(rules: &[(&str, Verdict)], facts: &Facts, verdict: Verdict, cause: Cause) -> Judgement {
        let judgement = judge(facts, &policy(rules), &workers());
        assert_eq!((judgement.verdict, judgement.cause), (verdict, cause));
        judgement
    }

    #[test]
    fn nothing_is_a_pass() {
        let judgement = check(&[], &Facts::default(), Verdict::Pass, Cause::Nothing);
        assert_eq!(judgement.reply, None);
    }

    #[test]
    fn what_is_refused_without_a_rule_comes_first() {
        let mut facts = Facts::default();
        facts.message.size = 1001;
        check(&[("true", Verdict::Pass)], &facts, Verdict::Refuse(Refusal::TooLarge), Cause::Refusal);
        facts.message.size = 1000;
        facts.message.received = 51;
        check(&[], &facts, Verdict::Refuse(Refusal::Loop), Cause::Refusal);
    }

    #[test]
    fn the_first_rule_that_holds_decides_before_the_score() {
        let rules = [("false", Verdict::Discard), (PROGRAM, Verdict::Reject), ("true", Verdict::Tag)];
        let judgement = check(&rules, &with_program(), Verdict::Reject, Cause::Rule(RuleIndex(1)));
        assert_eq!(judgement.reply.unwrap().first_line(), "550 5.7.1 no");
        check(&rules, &scored(100.0), Verdict::Tag, Cause::Rule(RuleIndex(2)));
        check(&[("true", Verdict::Pass)], &scored(100.0), Verdict::Pass, Cause::Rule(RuleIndex(0)));
    }

    #[test]
    fn shadow_rules_are_told_and_decide_nothing() {
        let rules = [
            ("shadow: true", Verdict::Reject),
            ("true", Verdict::Tag),
            ("shadow: score > 1.0", Verdict::Reject),
        ];
        let judgement = check(&rules, &scored(2.0), Verdict::Tag, Cause::Rule(RuleIndex(1)));
        assert_eq!(judgement.shadows, [RuleIndex(0), RuleIndex(2)]);
    }

    #[test]
    fn a_rule_that_cannot_be_asked_is_not_matched_and_is_told() {
        let rules = [("attachments[3].size == 1", Verdict::Reject), ("true", Verdict::Tag)];
        let judgement = check(&rules, &Facts::default(), Verdict::Tag, Cause::Rule(RuleIndex(1)));
        assert_eq!(judgement.errors, [(RuleIndex(0), Undecided::OutOfRange)]);
        assert_eq!((judgement.symbols[0].name.as_str(), judgement.symbols[0].count), (RULE_ERROR, 1));
    }

    #[test]
    fn the_score_decides_where_no_rule_does() {
        for (score, want) in
            [(4.9, Verdict::Pass), (5.0, Verdict::Tag), (10.0, Verdict::Quarantine), (15.0, Verdict::Reject)]
        {
            let cause = if want == Verdict::Pass { Cause::Nothing } else { Cause::Score };
            let judgement = check(&[], &scored(score), want, cause);
            assert!((judgement.score - score).abs() < 1e-9 && judgement.symbols.len() == 1);
        }
    }

    #[test]
    fn a_limit_is_never_clean() {
        let mut facts = Facts::default();
        facts.add_limit("depth");
        let judgement = check(&[], &facts, Verdict::Defer, Cause::Limit);
        assert_eq!(judgement.symbols[0].name, "LIMIT_DEPTH");
        facts.add_symbol("A", 12.0, 1);
        check(&[], &facts, Verdict::Quarantine, Cause::Score);
        check(&[("true", Verdict::Pass)], &facts, Verdict::Pass, Cause::Rule(RuleIndex(0)));
    }

    #[track_caller]
    fn check_early(rules: &[(&str, Verdict)], facts: &Facts, want: Option<Verdict>) {
        let early = judge_early(facts, &policy(rules), &workers(), Phase::Content);
        assert_eq!(early.map(|judgement| judgement.verdict), want);
    }

    #[test]
    fn a_forbidden_kind_is_refused_before_the_end() {
        let program = with_program();
        check_early(&[(PROGRAM, Verdict::Reject)], &program, Some(Verdict::Reject));
        check_early(&[(PROGRAM, Verdict::Reject)], &Facts::default(), None);
        check_early(&[(LARGE, Verdict::Reject), (PROGRAM, Verdict::Reject)], &program, Some(Verdict::Reject));
        check_early(
            &[("client.port == 1", Verdict::Pass), (PROGRAM, Verdict::Reject)],
            &program,
            Some(Verdict::Reject),
        );
    }

    #[test]
    fn what_an_earlier_rule_may_still_decide_waits() {
        let program = with_program();
        check_early(&[(LARGE, Verdict::Pass), (PROGRAM, Verdict::Reject)], &program, None);
        check_early(&[(LARGE, Verdict::Defer), (PROGRAM, Verdict::Reject)], &program, None);
        check_early(&[(PROGRAM, Verdict::Quarantine), ("true", Verdict::Reject)], &program, None);
        check_early(&[("shadow: true", Verdict::Reject)], &program, None);
    }

    #[test]
    fn a_score_or_size_that_is_reached_is_refused_before_the_end() {
        check_early(&[], &scored(15.0), Some(Verdict::Reject));
        check_early(&[], &scored(14.0), None);
        check_early(&[(LARGE, Verdict::Reject)], &scored(15.0), Some(Verdict::Reject));
        check_early(&[(LARGE, Verdict::Tag)], &scored(15.0), None);
        let mut large = Facts::default();
        large.message.size = 1001;
        check_early(&[], &large, Some(Verdict::Refuse(Refusal::TooLarge)));
        let mut falling = policy(&[]);
        falling.scores.note_patterns([-1.0]);
        assert_eq!(judge_early(&scored(15.0), &falling, &workers(), Phase::Content), None);
    }

    #[test]
    fn a_client_can_be_refused_before_it_says_anything() {
        let policy = policy(&[("client.port == 7", Verdict::Reject), (PROGRAM, Verdict::Reject)]);
        let mut facts = Facts::default();
        assert_eq!(judge_early(&facts, &policy, &workers(), Phase::Connect), None);
        facts.client.port = 7;
        let early = judge_early(&facts, &policy, &workers(), Phase::Connect).unwrap();
        assert_eq!(early.cause, Cause::Rule(RuleIndex(0)));
    }

    fn met(contact: Contact) -> Facts {
        let mut facts = Facts::default();
        facts.contact = contact;
        facts
    }

    #[test]
    fn a_first_contact_that_a_rule_asks_about_comes_again() {
        let waits = Contact::Waits { seconds: 290 };
        let rules = [("client.port == 7", Verdict::Greylist), ("true", Verdict::Tag)];
        for (port, contact, want, cause) in [
            (7, waits, Verdict::Greylist, Cause::Rule(RuleIndex(0))),
            // Who has met is judged by what follows; so is whom nobody could ask about.
            (7, Contact::Met, Verdict::Tag, Cause::Rule(RuleIndex(1))),
            (7, Contact::Unasked, Verdict::Tag, Cause::Rule(RuleIndex(1))),
            (8, waits, Verdict::Tag, Cause::Rule(RuleIndex(1))),
        ] {
            let mut facts = met(contact);
            facts.client.port = port;
            let judgement = check(&rules, &facts, want, cause);
            if want == Verdict::Greylist {
                let reply = judgement.reply.unwrap().first_line();
                assert_eq!(reply, "451 4.7.1 greylisted, come again in 290 s");
            }
        }
        let shadow = [("shadow: true", Verdict::Greylist)];
        let told = |contact| check(&shadow, &met(contact), Verdict::Pass, Cause::Nothing).shadows.len();
        assert_eq!((told(waits), told(Contact::Met)), (1, 0));
    }

    #[test]
    fn every_first_contact_comes_again_if_nothing_else_is_decided() {
        let facts = |score, contact| {
            let mut facts = scored(score);
            facts.contact = contact;
            facts
        };
        let waits = Contact::Waits { seconds: 1 };
        for (rules, score, contact, want) in [
            (&[][..], 0.0, waits, Verdict::Greylist),
            (&[], 5.0, waits, Verdict::Greylist),
            (&[], 10.0, waits, Verdict::Quarantine),
            (&[], 0.0, Contact::Met, Verdict::Pass),
            (&[("true", Verdict::Pass)], 0.0, waits, Verdict::Pass),
        ] {
            let mut policy = Policy { greylists_all: true, ..policy(rules) };
            let judgement = judge(&facts(score, contact), &policy, &workers());
            assert_eq!(judgement.verdict, want, "{score} {contact:?}");
            assert_eq!(judgement.cause == Cause::Contact, want == Verdict::Greylist);
            policy.greylists_all = false;
            assert_ne!(judge(&facts(score, contact), &policy, &workers()).verdict, Verdict::Greylist);
        }
    }

    /// Whether they have met is known at the end only.
    #[test]
    fn nothing_is_decided_early_behind_a_greylist() {
        let program = with_program();
        check_early(&[("true", Verdict::Greylist)], &program, None);
        check_early(&[("true", Verdict::Greylist), (PROGRAM, Verdict::Reject)], &program, None);
        check_early(&[("true", Verdict::Greylist), ("true", Verdict::Greylist)], &program, None);
        check_early(
            &[("false", Verdict::Greylist), (PROGRAM, Verdict::Reject)],
            &program,
            Some(Verdict::Reject),
        );
        check_early(
            &[(PROGRAM, Verdict::Reject), ("true", Verdict::Greylist)],
            &program,
            Some(Verdict::Reject),
        );
        check_early(&[(LARGE, Verdict::Defer), ("true", Verdict::Greylist)], &program, None);
    }

    #[test]
    fn what_an_author_s_domain_asks_for_is_done_where_it_is_enforced() {
        use dmarc::Policy as Wants;
        for (objection, keeps, want) in [
            (Objection::Disowned(Wants::None), true, Verdict::Pass),
            (Objection::Disowned(Wants::Quarantine), true, Verdict::Quarantine),
            (Objection::Disowned(Wants::Quarantine), false, Verdict::Tag),
            (Objection::Disowned(Wants::Reject), true, Verdict::Refuse(Refusal::Dmarc)),
            (Objection::SeveralAuthors, true, Verdict::Refuse(Refusal::SeveralAuthors)),
            (Objection::Unsure, true, Verdict::Defer),
        ] {
            let mut facts = Facts::default();
            facts.sender.objection = Some(objection);
            let mut policy = Policy { keeps, enforces_dmarc: true, ..policy(&[]) };
            let judged = judge(&facts, &policy, &workers());
            assert_eq!(judged.verdict, want, "{objection:?}");
            assert_eq!(judged.cause == Cause::Dmarc, want != Verdict::Pass);
            policy.enforces_dmarc = false;
            assert_eq!(judge(&facts, &policy, &workers()).verdict, Verdict::Pass);
        }
        // A rule of the administrator's comes first.
        let mut facts = Facts::default();
        facts.sender.objection = Some(Objection::Disowned(Wants::Reject));
        let policy = Policy { enforces_dmarc: true, ..policy(&[("true", Verdict::Pass)]) };
        assert_eq!(judge(&facts, &policy, &workers()).verdict, Verdict::Pass);
    }
}
