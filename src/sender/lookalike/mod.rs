//! Whom a message seems to be from, beside whom it is from: names that hold other addresses, names of
//! people that are protected, answers that go elsewhere.
//!
//! Hosts that look like protected ones are `scan::lookalike`'s; policy asks it about
//! [`super::author::Author::domains`].
//!
//! What must always hold: what is found is a fact about what a reader sees; none of it says that a
//! message is authentic. A look costs one pass over a name of bounded length.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::author::{Author, Flaw, Mailbox};
use super::dns::Name;
use super::domain::{host_name, is_within, registrable};

/// Characters of a display name that are looked at.
const NAME_CHARS_MAX: usize = 512;
/// Domains that one name may hold and that are told.
const CLAIMS_MAX: usize = 4;
/// Words of a person's name.
const WORDS_MAX: usize = 8;

/// A domain that a display name holds, and that is not the author's organisation's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub domain: Name,
    /// It stands behind an `@`: a whole address, not only a host's name.
    pub is_address: bool,
}

/// Other domains in the name that a reader sees instead of the address.
pub fn claims(mailbox: &Mailbox) -> Vec<Claim> {
    let mut found: Vec<Claim> = Vec::new();
    let name: String = mailbox.display_name.chars().take(NAME_CHARS_MAX).map(plain).collect();
    for word in name.split(|letter: char| !is_of_address(letter)) {
        let claim = claim(word).filter(|claim| !is_own(&claim.domain, mailbox));
        let Some(claim) = claim else { continue };
        if found.len() < CLAIMS_MAX && !found.contains(&claim) {
            found.push(claim);
        }
    }
    found
}

/// Full-width and small forms of what separates the parts of an address.
const fn plain(letter: char) -> char {
    match letter {
        '\u{ff20}' | '\u{fe6b}' => '@',
        '\u{ff0e}' | '\u{fe52}' | '\u{3002}' | '\u{ff61}' | '\u{2024}' => '.',
        other => other,
    }
}

fn is_of_address(letter: char) -> bool {
    letter.is_alphanumeric() || "@.-_+".contains(letter)
}

/// A word with a dot is a host's name only under a suffix that exists.
fn claim(word: &str) -> Option<Claim> {
    let (is_address, host) = word.rsplit_once('@').map_or((false, word), |(_, host)| (true, host));
    let domain = host_name(host.trim_matches(['.', '-']))?;
    let suffix = psl::suffix(domain.as_str().as_bytes())?;
    let is_host = suffix.is_known() && suffix.as_bytes().len() < domain.as_str().len();
    is_host.then_some(Claim { domain, is_address })
}

fn is_own(claimed: &Name, mailbox: &Mailbox) -> bool {
    let own = mailbox.domain.as_ref().map(|domain| registrable(domain.as_str()));
    own == Some(registrable(claimed.as_str()))
}

/// Where answers go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyTo {
    /// To the author's domain, or one of the same organisation.
    Same,
    /// To somebody else; the first domain that is not the author's.
    Other(Name),
    /// The field cannot be read in one way.
    Unreadable,
}

impl ReplyTo {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Other(_) => "other",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Compares Reply-To (read by [`Author::read_value`]) with the author.
pub fn reply_to(author: &Author, replies: &Author) -> ReplyTo {
    let own =
        |domain: &Name| author.domains().any(|own| registrable(own.as_str()) == registrable(domain.as_str()));
    let harmless = |flaw: Flaw| matches!(flaw, Flaw::SeveralMailboxes | Flaw::SeveralDomains);
    match replies.domains().find(|domain| !own(domain)) {
        Some(other) => ReplyTo::Other(other.clone()),
        None if replies.flaws.iter().all(harmless) => ReplyTo::Same,
        None => ReplyTo::Unreadable,
    }
}

/// People whose names are protected, and where they write from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// Whose words, folded and in order; where from.
    names: HashMap<Vec<String>, Vec<Home>>,
}

/// Where somebody writes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Home {
    /// Local part in lower case, and domain.
    Address(String, Name),
    /// Any address in it or below it.
    Domain(Name),
}

/// Why somebody cannot be protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonFault {
    /// A name without two words is too common.
    Name,
    /// Which of the addresses is neither an address nor a domain.
    Home(usize),
}

impl People {
    /// Protects a name as people write it; `homes` are addresses, and domains all of whose addresses are the
    /// person's.
    ///
    /// # Errors
    /// Why nobody would be protected by that.
    pub fn add(&mut self, name: &str, homes: &[&str]) -> Result<(), PersonFault> {
        let words = words(name);
        if words.len() < 2 {
            return Err(PersonFault::Name);
        }
        let home = |(at, text): (usize, &&str)| Home::read(text).ok_or(PersonFault::Home(at));
        let homes = homes.iter().enumerate().map(home).collect::<Result<Vec<_>, _>>()?;
        self.names.entry(words).or_default().extend(homes);
        Ok(())
    }

    /// Names that are protected.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether a mailbox bears a protected name, and is none of that person's.
    pub fn is_impersonated_by(&self, mailbox: &Mailbox) -> bool {
        let homes = if self.is_empty() { None } else { self.names.get(&words(&mailbox.display_name)) };
        homes.is_some_and(|homes| !homes.iter().any(|home| home.is_of(mailbox)))
    }
}

impl Home {
    fn read(text: &str) -> Option<Self> {
        match text.rsplit_once('@') {
            Some(("", _)) => None,
            Some((local, domain)) => Some(Self::Address(local.to_lowercase(), host_name(domain)?)),
            None => host_name(text).map(Self::Domain),
        }
    }

    fn is_of(&self, mailbox: &Mailbox) -> bool {
        let Some(domain) = &mailbox.domain else { return false };
        match self {
            Self::Domain(own) => is_within(domain, own),
            // Of what is no address by the grammar only the domain may be known.
            Self::Address(local, own) => {
                own == domain
                    && (mailbox.local_part.is_empty() || mailbox.local_part.to_lowercase() == *local)
            }
        }
    }
}

/// The words of a name without case, accents and order, of whatever stands between them. What is in
/// brackets is mostly a department or an address.
fn words(name: &str) -> Vec<String> {
    let name = name.split(['(', '<', '[']).next().unwrap_or_default();
    let letters = name.chars().take(NAME_CHARS_MAX).nfkd().filter(|letter| !is_combining_mark(*letter));
    let folded: String = letters.flat_map(char::to_lowercase).collect();
    let parts = folded.split(|letter: char| !letter.is_alphanumeric()).filter(|part| !part.is_empty());
    let mut words: Vec<String> = parts.take(WORDS_MAX).map(str::to_owned).collect();
    words.sort_unstable();
    words
}
