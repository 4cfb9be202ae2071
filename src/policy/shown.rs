//! Whom a reader is shown beside the author's address: names that pass for somebody else's, domains that pass
//! for protected ones, answers that go elsewhere.
//!
//! Nothing here asks the DNS: it is read off the header section. None of it proves anything by itself, and
//! lists of subscribers and forms on web sites do all of it honestly; scores are set accordingly.
//!
//! What must always hold: what is found does not depend on where content was cut, and is a name out of
//! [`Sign::ALL`], so that nothing a sender wrote becomes a fact by itself.

use std::collections::HashSet;

use super::facts::{Facts, Message};
use super::sender::Settings;
use crate::scan::lookalike::{LookalikeKind, Protected};
use crate::sender::author::{Author, Decode, Mailbox};
use crate::sender::dns::Name;
use crate::sender::header_section::Fields;
use crate::sender::lookalike::{ReplyTo, claims, reply_to};

/// Reply-To fields of one message that are read: readers know one.
const REPLY_FIELDS_MAX: usize = 4;

/// One finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The name holds an address of somebody else's.
    NameAddress,
    /// The name holds a host's name of somebody else's.
    NameDomain,
    /// The name is that of one of `sender.people`, and the address is none of theirs.
    NamePerson,
    /// The domain passes for one of `inspect.protect`.
    Lookalike,
    /// The domain is one of those under another suffix: the same owner's in another country, often.
    OtherSuffix,
    /// Answers go to another organisation.
    ReplyOther,
    /// Answers go to a domain of `sender.freemail`, and the author's is none.
    ReplyFreemail,
    /// Where answers go cannot be read in one way.
    ReplyUnreadable,
}

impl Sign {
    pub const ALL: [Self; 8] = [
        Self::NameAddress,
        Self::NameDomain,
        Self::NamePerson,
        Self::Lookalike,
        Self::OtherSuffix,
        Self::ReplyOther,
        Self::ReplyFreemail,
        Self::ReplyUnreadable,
    ];

    /// In `message.shown`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NameAddress => "name_address",
            Self::NameDomain => "name_domain",
            Self::NamePerson => "name_person",
            Self::Lookalike => "lookalike",
            Self::OtherSuffix => "lookalike_suffix",
            Self::ReplyOther => "reply_to_other_domain",
            Self::ReplyFreemail => "reply_to_freemail",
            Self::ReplyUnreadable => "reply_to_unreadable",
        }
    }

    pub const fn symbol(self) -> &'static str {
        match self {
            Self::NameAddress => "FROM_NAME_ADDRESS",
            Self::NameDomain => "FROM_NAME_DOMAIN",
            Self::NamePerson => "FROM_NAME_PERSON",
            Self::Lookalike => "FROM_LOOKALIKE",
            Self::OtherSuffix => "FROM_LOOKALIKE_SUFFIX",
            Self::ReplyOther => "REPLY_TO_OTHER_DOMAIN",
            Self::ReplyFreemail => "REPLY_TO_FREEMAIL",
            Self::ReplyUnreadable => "REPLY_TO_UNREADABLE",
        }
    }

    /// What nobody does by chance weighs something by itself; the rest is for rules and `[score.symbols]`.
    pub const fn score(self) -> f64 {
        match self {
            Self::NamePerson => 4.0,
            Self::Lookalike => 5.0,
            Self::NameAddress => 1.0,
            Self::ReplyFreemail => 0.5,
            Self::NameDomain | Self::OtherSuffix | Self::ReplyOther | Self::ReplyUnreadable => 0.0,
        }
    }
}

/// Domains where anybody has an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains(HashSet<Name>);

impl Domains {
    pub fn insert(&mut self, domain: Name) {
        self.0.insert(domain);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `domain` is one of them, or below one.
    pub fn contains(&self, domain: &Name) -> bool {
        let parents = memchr::memchr_iter(b'.', domain.as_str().as_bytes());
        let mut parents = parents.filter_map(|dot| Name::parse(domain.as_str().get(dot + 1..)?));
        self.0.contains(domain) || parents.any(|parent| self.0.contains(&parent))
    }
}

/// Reads where answers go.
pub(super) fn replies(fields: &Fields<'_>, decode: &mut Decode<'_>) -> Vec<Author> {
    let fields = fields.named(b"Reply-To").take(REPLY_FIELDS_MAX);
    fields.map(|field| Author::read_value(field.value(), decode)).collect()
}

/// All that is found.
pub fn signs(
    settings: &Settings,
    protected: Option<&Protected>,
    author: &Author,
    replies: &[Author],
) -> Vec<Sign> {
    let claims: Vec<_> = author.mailboxes.iter().flat_map(claims).collect();
    let kind = |domain: &Name| protected.and_then(|protected| Some(protected.look(domain.as_str())?.kind));
    let kinds: Vec<LookalikeKind> = author.domains().filter_map(kind).collect();
    let to: Vec<ReplyTo> = replies.iter().map(|replies| reply_to(author, replies)).collect();
    let is_free = |domain: &Name| settings.freemail.contains(domain);
    let to_free = |to: &ReplyTo| matches!(to, ReplyTo::Other(domain) if is_free(domain));
    let holds = |sign: &Sign| match sign {
        Sign::NameAddress => claims.iter().any(|claim| claim.is_address),
        Sign::NameDomain => claims.iter().any(|claim| !claim.is_address),
        Sign::NamePerson => author.mailboxes.iter().any(|one| settings.people.is_impersonated_by(one)),
        Sign::Lookalike => kinds.iter().any(|kind| *kind != LookalikeKind::Suffix),
        Sign::OtherSuffix => kinds.contains(&LookalikeKind::Suffix),
        Sign::ReplyOther => to.iter().any(|to| matches!(to, ReplyTo::Other(_))),
        Sign::ReplyFreemail => to.iter().any(to_free) && !author.domains().any(is_free),
        Sign::ReplyUnreadable => to.contains(&ReplyTo::Unreadable),
    };
    Sign::ALL.into_iter().filter(holds).collect()
}

/// Tells it, and what is wrong with From.
pub fn tell_shown(
    settings: &Settings,
    protected: Option<&Protected>,
    author: &Author,
    replies: &[Author],
    facts: &mut Facts,
) {
    for flaw in author.flaws.iter() {
        facts.add_symbol(&super::symbol::of(super::symbol::FROM, flaw.name()), 0.0, 1);
    }
    let guessed = guess(author, facts);
    for sign in signs(settings, protected, guessed.as_ref().unwrap_or(author), replies) {
        facts.add_sign(sign);
    }
}

/// What cannot be read in one way is shown to readers all the same: then what inspection made of it, as they
/// do, is looked at, too. Without this a slip in From would hide whose name it bears.
fn guess(author: &Author, facts: &Facts) -> Option<Author> {
    let Message { from_name, from_domain, .. } = &facts.message;
    if author.domain().is_some() || from_name.is_unknown() {
        return None;
    }
    let domain = Name::parse(from_domain.as_str());
    let shown = Mailbox { display_name: from_name.as_str().to_owned(), local_part: String::new(), domain };
    let mut guessed = author.clone();
    guessed.mailboxes.push(shown);
    Some(guessed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sender::lookalike::People;

    fn settings() -> Settings {
        let mut people = People::default();
        people.add("Anna Director", &["anna@mine.test", "director.test"]).unwrap();
        let mut freemail = Domains::default();
        freemail.insert(Name::parse("free.test").unwrap());
        Settings { people: Arc::new(people), freemail: Arc::new(freemail), ..Settings::default() }
    }

    #[track_caller]
    fn check(section: &str, wanted: &[&str]) {
        let mut decode = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let fields = Fields::read(section.as_bytes()).unwrap();
        let all = fields.all().iter().map(|field| (field.name(), field.value()));
        let author = Author::read(all, &mut decode);
        let replies = replies(&fields, &mut decode);
        let protected = Protected::new(["mybank.test"]);
        let mut facts = Facts::default();
        tell_shown(&settings(), Some(&protected), &author, &replies, &mut facts);
        let shown: Vec<&str> = facts.message.shown.iter().collect();
        assert_eq!(shown, wanted, "{section}");
        for sign in Sign::ALL {
            let symbol = facts.symbols.find(sign.symbol());
            assert_eq!(symbol.is_some(), wanted.contains(&sign.name()), "{section}");
        }
    }

    #[test]
    fn what_a_reader_is_shown() {
        for (section, wanted) in [
            ("From: Jane <a@mine.test>\r\n", &[][..]),
            ("From: Anna Director <anna@mine.test>\r\n", &[]),
            ("From: Anna Director <x@www.director.test>\r\n", &[]),
            ("From: Anna Director <other@mine.test>\r\n", &["name_person"]),
            ("From: \"Director, Anna\" <a@free.test>\r\n", &["name_person"]),
            ("From: \"service@bank.com\" <a@mine.test>\r\n", &["name_address"]),
            ("From: \"www.bank.com\" <a@mine.test>\r\n", &["name_domain"]),
            ("From: <a@mybank.test>\r\n", &[]),
            ("From: <a@mybank-login.test>\r\n", &["lookalike"]),
            ("From: <a@mybank.example>\r\n", &["lookalike_suffix"]),
            ("From: <a@mine.test>\r\nReply-To: b@mine.test\r\n", &[]),
            ("From: <a@mine.test>\r\nReply-To: b@other.test\r\n", &["reply_to_other_domain"]),
            (
                "From: <a@mine.test>\r\nreply-to: b@mail.free.test\r\n",
                &["reply_to_freemail", "reply_to_other_domain"],
            ),
            ("From: <a@free.test>\r\nReply-To: b@free.test\r\n", &[]),
            ("From: <a@mine.test>\r\nReply-To: b\r\n", &["reply_to_unreadable"]),
            (
                "From: <a@mine.test>\r\nReply-To: b@mine.test\r\nReply-To: b@other.test\r\n",
                &["reply_to_other_domain"],
            ),
        ] {
            check(section, wanted);
        }
    }

    #[test]
    fn what_readers_guess_of_a_broken_field_is_looked_at() {
        for (name, domain, wanted) in [
            ("Director, Anna", "other.test", &["name_person"][..]),
            ("Anna Director", "mine.test", &[]),
            ("Anna Director", "", &["name_person"]),
            ("x@bank.com, Inc.", "mybank-login.test", &["lookalike", "name_address"]),
        ] {
            let mut facts = Facts::default();
            facts.set_from(domain, name);
            let broken = Author::read_value(b"=?utf-8?q?a,_b?= <x@y>", &mut |_| String::new());
            tell_shown(&settings(), Some(&Protected::new(["mybank.test"])), &broken, &[], &mut facts);
            assert_eq!(facts.message.shown.iter().collect::<Vec<_>>(), wanted, "{name} {domain}");
        }
        let mut facts = Facts::default();
        tell_shown(&settings(), None, &Author::default(), &[], &mut facts);
        assert!(facts.message.shown.is_empty());
    }

    #[test]
    fn what_is_below_a_domain_is_of_it() {
        let freemail = settings().freemail;
        let contains = |name: &str| freemail.contains(&Name::parse(name).unwrap());
        assert!(contains("free.test") && contains("a.b.free.test"));
        assert!(!contains("xfree.test") && !contains("test") && !contains("free.test.net"));
    }
}
