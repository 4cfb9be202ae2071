//! Who is known here: those that mail went to, and domains that sent for a while and were wanted.
//!
//! What must always hold: nobody is known by an address that anybody can write. An author is known only
//! where it was proven that this message is its domain's: by DMARC, or by SPF for that very domain. A
//! known correspondent whose name is forged is a stranger.

use std::time::Duration;

use super::ledger::{About, Key, Lesson, Recalled, Table};
use super::sender::{Alignment, Concluded};
use crate::limits::CORRESPONDENTS_LEARNT_MAX;
use crate::sender::author::Author;
use crate::sender::dmarc;
use crate::sender::spf::{self, Spf};
use crate::sender::{registrable, to_ascii};

/// Of so many messages one at most may have been refused.
const MESSAGES_PER_REFUSAL: u32 = 20;

/// `[reputation]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Messages that a domain must have sent, and for how long at least.
    pub history: u32,
    pub days: Duration,
    /// After so long without mail all is forgotten.
    pub keep: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { history: 20, days: 3 * day, keep: 180 * day }
    }
}

/// An address as it is remembered: nobody gets two mailboxes by the case of letters.
pub fn address(path: &str) -> String {
    let (local, domain) = path.rsplit_once('@').unwrap_or((path, ""));
    format!("{}@{}", local.to_lowercase(), to_ascii(domain).to_ascii_lowercase())
}

/// The author that all readers see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub address: String,
    /// What its owner registered.
    pub domain: String,
}

impl Named {
    /// None if readers may see several, or none.
    pub fn of(author: &Author) -> Option<Self> {
        let (domain, [mailbox]) = (author.domain()?.as_str(), &author.mailboxes[..]) else { return None };
        let address = address(&format!("{}@{domain}", mailbox.local_part));
        Some(Self { address, domain: registrable(domain).to_owned() })
    }
}

/// What was proven of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The author, if the message is its domain's.
    pub author: Option<Named>,
    /// The domain that let the client send.
    pub spf: Option<String>,
    /// The domain of the author's owner, if that signed.
    pub dkim: Option<String>,
}

impl Proof {
    /// `spf` is that of the envelope; `concluded` is None if the content was not looked at.
    pub fn of(spf: Option<&Spf>, concluded: Option<&Concluded>) -> Self {
        let passed = spf.filter(|spf| spf.outcome == spf::Outcome::Pass);
        let named = concluded.and_then(|concluded| Named::of(&concluded.author));
        let is_proven = concluded.is_some_and(|concluded| is_proven(concluded, passed));
        let dkim = concluded.zip(named.as_ref()).and_then(|(concluded, named)| {
            let mut vouched = concluded.dkim.iter().filter(|signature| signature.vouches());
            let is_own = |domain: &str| registrable(domain) == named.domain;
            vouched.find_map(|signature| signature.domain.as_ref().filter(|domain| is_own(domain.as_str())))
        });
        Self {
            dkim: dkim.map(|domain| registrable(domain.as_str()).to_owned()),
            spf: passed.map(|spf| registrable(&spf.domain.to_ascii_lowercase()).to_owned()),
            author: named.filter(|_| is_proven),
        }
    }
}

fn is_proven(concluded: &Concluded, passed: Option<&Spf>) -> bool {
    let by_dmarc = match &concluded.dmarc {
        Some(Alignment::Known(dmarc)) => match dmarc.outcome {
            dmarc::Outcome::Pass => true,
            // It says itself that this is not its own.
            dmarc::Outcome::Fail => return false,
            _ => false,
        },
        Some(Alignment::Ambiguous) => return false,
        Some(Alignment::Unanswered) | None => false,
    };
    let of_mail = passed.filter(|spf| spf.identity == spf::Identity::MailFrom);
    let author = concluded.author.domain();
    let by_spf = of_mail.zip(author).is_some_and(|(spf, author)| {
        let passed = spf.domain.strip_suffix('.').unwrap_or(&spf.domain);
        passed.eq_ignore_ascii_case(author.as_str())
    });
    by_dmarc || by_spf
}

/// Somebody whom mail went to.
fn correspondent(author: &str) -> Key {
    Key::of(Table::Correspondent, &[author])
}

/// Somebody whom mail of `recipient` went to.
fn correspondent_of(author: &str, recipient: &str) -> Key {
    Key::of(Table::Correspondent, &[author, recipient])
}

fn history(domain: &str) -> Key {
    Key::of(Table::History, &[domain])
}

/// What is to be recalled of an author who may yet be proven.
pub fn keys(named: &Named, recipients: &[String]) -> Vec<Key> {
    let of_recipients = recipients.iter().map(|recipient| correspondent_of(&named.address, recipient));
    [correspondent(&named.address), history(&named.domain)].into_iter().chain(of_recipients).collect()
}

/// How an author stands here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub is_known: bool,
    /// A recipient of this message wrote to the author before.
    pub is_correspondent: bool,
}

/// How the author of a message to `recipients` stands. Where anybody has an address (`is_shared`) others' mail says
/// nothing of this author's.
pub fn standing(
    settings: &Settings,
    now: u64,
    recalled: &Recalled,
    proof: &Proof,
    recipients: &[String],
    is_shared: impl FnOnce(&str) -> bool,
) -> Standing {
    let Some(author) = &proof.author else { return Standing::default() };
    let is_there = |key| recalled.entry(key).is_some();
    let is_correspondent =
        recipients.iter().any(|recipient| is_there(correspondent_of(&author.address, recipient)));
    let has_history = recalled.entry(history(&author.domain)).is_some_and(|entry| {
        let is_old = now.saturating_sub(entry.since) >= settings.days.as_secs();
        let is_wanted = entry.bad.saturating_mul(MESSAGES_PER_REFUSAL) <= entry.good;
        entry.good >= settings.history && is_old && is_wanted
    });
    let has_history = has_history && !is_shared(&author.domain);
    let is_known = is_correspondent || is_there(correspondent(&author.address)) || has_history;
    Standing { is_known, is_correspondent }
}

/// What a message of a proven author teaches.
pub fn lesson(settings: &Settings, now: u64, author: &Named, about: About) -> Lesson {
    Lesson { key: history(&author.domain), about, until: now + settings.keep.as_secs() }
}

/// What a message that went out teaches: to whom its sender writes. Nobody writes what has no sender: an answer that
/// a machine gives to a stranger makes no friend (RFC 3834 §3.3).
pub fn lessons_of_sent<'a>(
    settings: &Settings,
    now: u64,
    sender: &str,
    recipients: impl Iterator<Item = &'a str>,
) -> Vec<Lesson> {
    let (sender, until) = (address(sender), now + settings.keep.as_secs());
    let count = if sender == address("") { 0 } else { CORRESPONDENTS_LEARNT_MAX };
    let keys = recipients.take(count).flat_map(|recipient| {
        let recipient = address(recipient);
        [correspondent(&recipient), correspondent_of(&recipient, &sender)]
    });
    keys.map(|key| Lesson { key, about: About::Good, until }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ledger::Ledger;

    const DAY: u64 = 86_400;

    fn named(text: &str) -> Named {
        let (_, domain) = text.rsplit_once('@').unwrap();
        Named { address: address(text), domain: registrable(domain).to_owned() }
    }

    fn learn(ledger: &mut Ledger, now: u64, lessons: impl IntoIterator<Item = Lesson>) {
        lessons.into_iter().for_each(|lesson| ledger.learn(now, lesson, &mut Vec::new()));
    }

    /// How `author`, proven or not, stands toward b@here.test.
    fn stands(ledger: &Ledger, now: u64, author: &str, is_proven: bool) -> (bool, bool) {
        let (named, recipients) = (named(author), ["b@here.test".to_owned()]);
        let recalled = ledger.recall(now, &keys(&named, &recipients));
        let proof = Proof { author: Some(named).filter(|_| is_proven), ..Proof::default() };
        let is_shared = |domain: &str| domain == "free.test";
        let standing = standing(&Settings::default(), now, &recalled, &proof, &recipients, is_shared);
        (standing.is_known, standing.is_correspondent)
    }

    #[test]
    fn who_was_written_to_is_known_if_it_is_proven() {
        let mut ledger = Ledger::new(100);
        let settings = Settings::default();
        learn(&mut ledger, 0, lessons_of_sent(&settings, 0, "B@here.test", ["Friend@Far.test"].into_iter()));
        learn(&mut ledger, 0, lessons_of_sent(&settings, 0, "c@here.test", ["other@far.test"].into_iter()));
        for (author, is_proven, want) in [
            ("friend@far.test", true, (true, true)),
            ("friend@far.test", false, (false, false)),
            // To somebody else here.
            ("other@far.test", true, (true, false)),
            ("stranger@far.test", true, (false, false)),
        ] {
            assert_eq!(stands(&ledger, 5, author, is_proven), want, "{author} {is_proven}");
        }
        assert_eq!(stands(&ledger, 181 * DAY, "friend@far.test", true), (false, false));
    }

    #[test]
    fn what_a_machine_answers_makes_nobody_known() {
        let settings = Settings::default();
        assert_eq!(lessons_of_sent(&settings, 0, "", ["a@far.test"].into_iter()), []);
        let many = (0..500).map(|_| "a@far.test");
        assert_eq!(lessons_of_sent(&settings, 0, "b@here.test", many).len(), 2 * CORRESPONDENTS_LEARNT_MAX);
    }

    #[test]
    fn a_domain_is_known_by_its_history() {
        let author = named("a@mail.far.co.uk");
        for (good, bad, days, want) in [
            (20, 0, 3, true),
            (19, 0, 3, false),
            (20, 0, 2, false),
            (20, 1, 3, true),
            (39, 2, 3, false),
            (40, 2, 3, true),
        ] {
            let mut ledger = Ledger::new(100);
            let abouts = (0..good).map(|_| About::Good).chain((0..bad).map(|_| About::Bad));
            let settings = Settings::default();
            learn(&mut ledger, 0, abouts.map(|about| lesson(&settings, 0, &author, about)));
            // Another name of the same owner.
            let (known, _) = stands(&ledger, days * DAY, "x@far.co.uk", true);
            assert_eq!(known, want, "{good} {bad} {days}");
            assert!(!stands(&ledger, days * DAY, "x@far.co.uk", false).0);
        }
    }

    #[test]
    fn where_anybody_has_an_address_nobody_is_known_by_others() {
        let (mut ledger, settings) = (Ledger::new(100), Settings::default());
        let author = named("a@free.test");
        learn(&mut ledger, 0, (0..99).map(|_| lesson(&settings, 0, &author, About::Good)));
        assert!(!stands(&ledger, 9 * DAY, "x@free.test", true).0);
    }

    fn spf(domain: &str, identity: spf::Identity) -> Spf {
        let domain = domain.to_owned();
        let outcome = spf::Outcome::Pass;
        Spf { outcome, identity, domain, mechanism: None, explanation: None, problem: None }
    }

    fn concluded(from: &str, dmarc: Option<dmarc::Outcome>) -> Concluded {
        let author = Author::read_value(from.as_bytes(), &mut |_| String::new());
        let dmarc = dmarc.map(|outcome| {
            Alignment::Known(dmarc::Dmarc {
                outcome,
                policy: dmarc::Policy::None,
                is_spf_aligned: false,
                is_dkim_aligned: false,
                is_unsure: false,
                record_domain: None,
                problem: None,
            })
        });
        Concluded::new(author, dmarc)
    }

    #[test]
    fn only_what_was_proven_counts() {
        use dmarc::Outcome::{Fail, None as NoPolicy, Pass};
        use spf::Identity::{Helo, MailFrom};
        for (from, dmarc, passed, want) in [
            ("<A@far.test>", Some(Pass), None, Some("a@far.test")),
            ("<a@far.test>", Some(NoPolicy), None, None),
            ("<a@far.test>", Some(NoPolicy), Some(("far.test", MailFrom)), Some("a@far.test")),
            ("<a@far.test>", None, Some(("Far.test.", MailFrom)), Some("a@far.test")),
            // Somebody else's domain, or a neighbour's, vouches for no author.
            ("<a@far.test>", Some(NoPolicy), Some(("evil.test", MailFrom)), None),
            ("<a@far.test>", Some(NoPolicy), Some(("mail.far.test", MailFrom)), None),
            ("<a@far.test>", Some(NoPolicy), Some(("far.test", Helo)), None),
            ("<a@far.test>", Some(Fail), Some(("far.test", MailFrom)), None),
            // Readers may see either.
            ("<a@far.test>, <b@evil.test>", None, Some(("far.test", MailFrom)), None),
            ("<a@far.test>, <b@far.test>", Some(Pass), None, None),
        ] {
            let passed = passed.map(|(domain, identity)| spf(domain, identity));
            let proof = Proof::of(passed.as_ref(), Some(&concluded(from, dmarc)));
            let author = proof.author.as_ref().map(|author| author.address.as_str());
            assert_eq!(author, want, "{from} {dmarc:?} {passed:?}");
        }
    }

    #[test]
    fn addresses_are_compared_without_their_case() {
        assert_eq!(address("A.b@B\u{fc}cher.Test"), "a.b@xn--bcher-kva.test");
        assert_eq!(address(""), "@");
    }
}
