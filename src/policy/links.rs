//! Where links lead, as lists in the DNS see it (URIBL): what is asked of them, and what follows.
//!
//! RFC 5782. Links are known when content has ended; then their hosts are asked about, all at once, on the
//! service side. The verdict waits for the answer as for all others about a message.
//!
//! What must always hold: a list that does not answer lists nothing, and that is told; links that were not
//! asked about are told too.

use super::facts::{Facts, Known as Fact, Url};
use super::sender::Settings;
use super::symbol;
use crate::scan::url::registrable;
use crate::sender::address_list::{self, Listings};
use crate::sender::dns::{Known, Missing};
use crate::sender::spf::Outcome;

/// Hosts that one inquiry names. Lists are asked for fewer ([`address_list::HOSTS_MAX`]): hosts of one owner
/// are one name to most.
const HOSTS_MAX: usize = 8 * address_list::HOSTS_MAX;

/// About the hosts of one message's links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfLinks {
    hosts: Vec<String>,
    /// There were more.
    is_partial: bool,
}

impl OfLinks {
    /// None if there is nothing to ask, or nobody.
    pub fn new(settings: &Settings, facts: &Facts) -> Option<Self> {
        if settings.uribl.is_empty() || facts.urls.is_empty() {
            return None;
        }
        let author = registrable(facts.message.from_domain.as_str());
        let mut urls: Vec<&Url> = facts.urls.iter().collect();
        // Facts are sorted by text: without this, whoever writes many links chooses which are asked about.
        urls.sort_by_cached_key(|url| suspicion(url, author));
        let mut hosts: Vec<String> = Vec::new();
        let mut is_partial = false;
        for url in urls {
            if hosts.contains(&url.host) {
                continue;
            }
            if hosts.len() == HOSTS_MAX {
                is_partial = true;
                break;
            }
            hosts.push(url.host.clone());
        }
        Some(Self { hosts, is_partial })
    }

    /// Octets that it takes in memory, as far as senders say how many.
    pub fn weight(&self) -> usize {
        self.hosts.iter().map(String::len).sum()
    }

    /// # Errors
    /// [`Missing`] until all of it is known.
    pub fn evaluate(&self, settings: &Settings, known: &Known) -> Result<Listings, Missing> {
        let hosts = self.hosts.iter().map(String::as_str);
        let mut listings = address_list::of_hosts(known, &settings.uribl, hosts)?;
        listings.is_partial |= self.is_partial;
        Ok(listings)
    }
}

/// Links that show another host than they lead to come first, those to the author's own last. `author` is
/// registrable.
fn suspicion(url: &Url, author: &str) -> u8 {
    let shows_other = !url.text_host.is_empty() && registrable(&url.text_host) != url.domain;
    match (shows_other, author == url.domain) {
        (true, _) => 0,
        (false, false) => 1,
        (false, true) => 2,
    }
}

/// What became of the question.
#[derive(Clone, Copy, Debug)]
pub enum Looked<'a> {
    /// There was no link to ask about.
    NoLinks,
    Found(&'a Listings),
    /// Nobody could be asked, or the answer did not come in time.
    Unanswered,
}

/// Tells what lists say of links.
pub fn tell_links(settings: &Settings, looked: Looked<'_>, facts: &mut Facts) {
    if settings.uribl.is_empty() {
        return;
    }
    let nothing = Listings::default();
    let (listings, is_unanswered) = match looked {
        Looked::NoLinks => (&nothing, false),
        Looked::Found(listings) => (listings, !listings.unanswered.is_empty()),
        Looked::Unanswered => (&nothing, true),
    };
    for listing in &listings.found {
        if let Some(list) = settings.uribl.get(listing.list) {
            facts.add_symbol(&symbol::of_link_list(list), listing.weight, 1);
        }
    }
    if is_unanswered {
        facts.add_symbol(symbol::URIBL_UNANSWERED, 0.0, 1);
    }
    if listings.is_partial {
        facts.add_symbol(symbol::URIBL_PARTIAL, 0.0, 1);
    }
    facts.message.uribl = Fact::new(match (listings.found.is_empty(), is_unanswered) {
        (false, _) => "listed",
        (true, true) => Outcome::TempError.name(),
        (true, false) => Outcome::None.name(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sender::address_list::List;
    use crate::sender::zone::Zone;

    fn settings() -> Settings {
        let list = |zone: &str, weight| List { zone: zone.to_owned(), weight, ..List::default() };
        Settings { uribl: vec![list("uri.test", 4.0), list("dead.test", 2.0)], ..Settings::default() }
    }

    fn facts(urls: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::default();
        facts.set_from("own.test", "");
        for (host, text_host) in urls {
            facts.add_url(host, registrable(host), text_host);
        }
        facts
    }

    #[track_caller]
    fn check(urls: &[(&str, &str)], zone: &str, fact: &str, symbols: &[(&str, f64)]) {
        let (settings, mut facts) = (settings(), facts(urls));
        match OfLinks::new(&settings, &facts) {
            None => tell_links(&settings, Looked::NoLinks, &mut facts),
            Some(of_links) => {
                let (listings, _) = Zone::new(zone).run(|known| of_links.evaluate(&settings, known));
                tell_links(&settings, Looked::Found(&listings), &mut facts);
            }
        }
        let found: Vec<(&str, f64)> = facts.symbols.iter().map(|it| (it.name.as_str(), it.score)).collect();
        assert_eq!((facts.message.uribl.as_str(), &found[..]), (fact, symbols));
    }

    #[test]
    fn what_lists_say_becomes_facts() {
        let good = ("www.good.test", "");
        let bad = ("www.bad.test", "");
        let bad_row = "bad.test.uri.test A 127.0.0.2\n";
        let fails = "bad.test.dead.test FAILS\ngood.test.dead.test FAILS\n";
        let unanswered = ("URIBL_UNANSWERED", 0.0);
        check(&[], bad_row, "none", &[]);
        check(&[good], bad_row, "none", &[]);
        check(&[good, bad], bad_row, "listed", &[("URIBL_URI_TEST", 4.0)]);
        check(&[good], fails, "temperror", &[unanswered]);
        let both = [bad_row, fails].concat();
        check(&[good, bad], &both, "listed", &[unanswered, ("URIBL_URI_TEST", 4.0)]);
    }

    #[test]
    fn without_an_answer_nothing_counts() {
        let mut facts = facts(&[("a.test", "")]);
        tell_links(&settings(), Looked::Unanswered, &mut facts);
        assert_eq!(facts.message.uribl.as_str(), "temperror");
        assert!(facts.symbols.iter().all(|symbol| symbol.score == 0.0));
        tell_links(&Settings::default(), Looked::Unanswered, &mut Facts::default());
        assert!(OfLinks::new(&Settings::default(), &facts).is_none());
    }

    #[test]
    fn what_misleads_is_asked_about_first_and_what_is_beyond_the_bound_is_told() {
        let hosts: Vec<String> = (0..HOSTS_MAX).map(|n| format!("n{n}.test")).collect();
        let mut urls: Vec<(&str, &str)> = hosts.iter().map(|host| (host.as_str(), "")).collect();
        urls.extend([("a.own.test", ""), ("z.other.test", "bank.test"), ("z.other.test", "")]);
        let (settings, mut facts) = (settings(), facts(&urls));
        let of_links = OfLinks::new(&settings, &facts).unwrap();
        assert_eq!((of_links.hosts.len(), of_links.is_partial), (HOSTS_MAX, true));
        assert_eq!(of_links.hosts[0], "z.other.test");
        assert!(!of_links.hosts.iter().any(|host| host == "a.own.test"));
        let (listings, asked) = Zone::new("").run(|known| of_links.evaluate(&settings, known));
        assert_eq!(asked.len(), 2 * address_list::HOSTS_MAX);
        tell_links(&settings, Looked::Found(&listings), &mut facts);
        assert!(facts.symbols.find("URIBL_PARTIAL").is_some());
    }
}
