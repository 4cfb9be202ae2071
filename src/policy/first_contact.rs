//! First contact: what is asked of a client, a sender and a recipient that have not met before.
//!
//! RFC 5321 §4.3.1 (who speaks first), RFC 2920 §3.1 (what may be sent together), RFC 6647 (greylisting).
//!
//! Who comes is known by its sender's domain, if SPF or a signature vouches for it, and by its network
//! if not: so a provider with forty addresses passes once.
//!
//! What must always hold: who comes again with the same message passes; what nobody remembers, because
//! nobody could be asked, holds up no message.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::facts::neighbours;
use super::ledger::{About, Key, Lesson, Recalled, Table};
use super::reputation::{Named, Proof};
use super::settings::contains;
use crate::sender::dns::Name;
use crate::sender::helo::said_address;
use crate::sender::registrable;
use crate::smtp::reply::Reply;

/// `[first_contact]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Listeners by their places; none: all where mail comes in.
    pub listeners: Option<Vec<usize>>,
    /// Clients that nothing is asked of.
    pub exempt: Vec<IpNet>,
    pub greeting: Option<Greeting>,
    pub greylist: Option<Greylist>,
    pub tarpit: Option<Tarpit>,
}

/// The greeting lets clients wait that are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub delay: Duration,
    pub early: Early,
}

/// What becomes of a client that speaks before it is greeted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    Reject,
    /// It is a fact.
    Mark,
}

/// Messages of those who have not met are to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greylist {
    /// Not before.
    pub delay: Duration,
    /// Not later.
    pub pending: Duration,
    /// Who has met is remembered so long after its last message.
    pub keep: Duration,
    /// Messages after which an identity has met everybody.
    pub passes: u32,
    /// Every first contact; else only those that a rule says so of.
    pub all: bool,
}

impl Default for Greylist {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        let day = Duration::from_secs(86_400);
        Self { delay: 5 * minute, pending: day, keep: 35 * day, passes: 5, all: true }
    }
}

/// Replies that clients of bad manners wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tarpit {
    pub delay: Duration,
    /// Commands refused after which a client has bad manners; it has them at once if it failed a test.
    pub errors: u32,
}

impl Settings {
    pub fn concerns(&self, listener: usize, client: IpAddr) -> bool {
        self.listeners.as_ref().is_none_or(|listeners| listeners.contains(&listener))
            && !contains(&self.exempt, client)
    }

    /// How long a client that is known is remembered.
    pub fn keep(&self) -> Duration {
        self.greylist.unwrap_or_default().keep
    }
}

/// What a client did that none does that means well. Each is a name in `client.tests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// It spoke before it was greeted (RFC 5321 §4.3.1).
    EarlyTalker,
    /// It sent commands behind one whose reply must be waited for (RFC 2920 §3.1).
    Pipelining,
    /// It spoke another protocol.
    NotSmtp,
    /// A command ended with a bare LF, or held a bare CR (RFC 5321 §2.3.8).
    BareNewline,
    /// It greeted with our own name or address.
    GreetedAsUs,
}

impl Test {
    pub const ALL: [Self; 5] =
        [Self::EarlyTalker, Self::Pipelining, Self::NotSmtp, Self::BareNewline, Self::GreetedAsUs];

    pub const fn name(self) -> &'static str {
        match self {
            Self::EarlyTalker => "early_talker",
            Self::Pipelining => "pipelining",
            Self::NotSmtp => "not_smtp",
            Self::BareNewline => "bare_newline",
            Self::GreetedAsUs => "greeted_as_us",
        }
    }
}

/// The tests that a client failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failed(u8);

const _: () = assert!(Test::ALL.len() <= 8);

impl Failed {
    pub const fn none() -> Self {
        Self(0)
    }

    /// Whether it is a new one.
    pub const fn insert(&mut self, test: Test) -> bool {
        let before = self.0;
        self.0 |= 1 << test as u8;
        self.0 != before
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Test> {
        Test::ALL.into_iter().filter(move |test| self.0 & 1 << *test as u8 != 0)
    }
}

/// Whether `verb`, of any length, is one of HTTP (RFC 9110 §9.3, RFC 5789), as browsers are made to send
/// it to ports of mail.
pub fn is_of_another_protocol(line: &[u8]) -> bool {
    let verb = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let verbs: [&[u8]; 8] = [b"GET", b"POST", b"CONNECT", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"];
    verbs.iter().any(|known| verb.eq_ignore_ascii_case(known))
}

/// Whether a client that says HELO `name` says that it is us.
pub fn greets_as_us(name: &[u8], hostname: &str, local: IpAddr) -> bool {
    let name = std::str::from_utf8(name).unwrap_or_default();
    let bare = name.strip_suffix('.').unwrap_or(name);
    let literal = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(bare);
    said_address(literal) == Some(local.to_canonical()) || bare.eq_ignore_ascii_case(hostname)
}

/// Whether a message is one of a first contact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contact {
    /// Nobody wanted to know, or nobody could say.
    #[default]
    Unasked,
    /// They have met.
    Met,
    /// It is to come again, not before so many seconds.
    Waits { seconds: u64 },
}

impl Contact {
    pub const fn waits(self) -> bool {
        matches!(self, Self::Waits { .. })
    }

    /// What the client hears.
    pub fn reply(self) -> Option<Reply> {
        let Self::Waits { seconds } = self else { return None };
        Some(Reply::new(451, "4.7.1", &format!("greylisted, come again in {seconds} s")))
    }
}

/// As whom a client comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    Domain(String),
    Network(String),
}

impl Identity {
    /// The best that was proven.
    pub fn of(proof: &Proof, client: IpAddr) -> Self {
        let domain = proof.spf.as_ref().or(proof.dkim.as_ref());
        domain.map_or_else(|| Self::network(client), |domain| Self::Domain(domain.clone()))
    }

    /// That of neighbours.
    pub fn network(client: IpAddr) -> Self {
        Self::Network(neighbours(client).to_string())
    }

    /// All that a message may turn out to come as: `sender` is the domain that SPF is asked about.
    pub fn candidates(sender: Option<&Name>, named: Option<&Named>, client: IpAddr) -> Vec<Self> {
        let of_spf = sender.map(|sender| registrable(sender.as_str()).to_owned());
        let of_dkim =
            named.map(|named| named.domain.clone()).filter(|domain| of_spf.as_ref() != Some(domain));
        let domains = of_spf.into_iter().chain(of_dkim).map(Self::Domain);
        domains.chain([Self::network(client)]).collect()
    }

    const fn parts(&self) -> [&str; 2] {
        match self {
            Self::Domain(domain) => ["domain", domain.as_str()],
            Self::Network(network) => ["network", network.as_str()],
        }
    }

    /// Under which it has met everybody.
    fn key(&self) -> Key {
        Key::of(Table::Contact, &self.parts())
    }

    /// Under which its `sender` has met `recipient`.
    fn key_of(&self, sender: &str, recipient: &str) -> Key {
        let [kind, name] = self.parts();
        Key::of(Table::Contact, &[kind, name, sender, recipient])
    }

    /// What is to be recalled of a message from `sender` to `recipients`.
    pub fn keys<'a>(&'a self, sender: &'a str, recipients: &'a [String]) -> impl Iterator<Item = Key> + 'a {
        let of_recipients = recipients.iter().map(move |recipient| self.key_of(sender, recipient));
        [self.key()].into_iter().chain(of_recipients)
    }
}

/// Whether `identity` and all of `recipients` have met.
pub fn contact(
    greylist: &Greylist,
    now: u64,
    recalled: &Recalled,
    identity: &Identity,
    (sender, recipients): (&str, &[String]),
) -> Contact {
    let has_met_all =
        |entry: Option<_>| entry.is_some_and(|entry: super::ledger::Entry| entry.good >= greylist.passes);
    match recalled.find(identity.key()) {
        None => return Contact::Unasked,
        Some(entry) if has_met_all(entry) => return Contact::Met,
        Some(_) => {}
    }
    let delay = greylist.delay.as_secs();
    let wait = |recipient: &String| {
        let entry = recalled.find(identity.key_of(sender, recipient))?;
        Some(match entry {
            Some(entry) if entry.good > 0 => 0,
            // A clock that was set back makes nobody wait longer than a stranger; the ledger forgets it, too.
            Some(entry) => (entry.since + delay).saturating_sub(now).min(delay),
            None => delay,
        })
    };
    match recipients.iter().map(wait).collect::<Option<Vec<_>>>() {
        None => Contact::Unasked,
        Some(waits) => match waits.into_iter().max().unwrap_or(0) {
            0 => Contact::Met,
            seconds => Contact::Waits { seconds },
        },
    }
}

/// What a message that was told to come again teaches, or, with `about` good, one that was delivered.
pub fn lessons(
    greylist: &Greylist,
    now: u64,
    about: About,
    identity: &Identity,
    (sender, recipients): (&str, &[String]),
) -> Vec<Lesson> {
    let keep = if about == About::Met { greylist.pending } else { greylist.keep };
    let until = now + keep.as_secs();
    // Only who was let in counts for the identity as a whole.
    let skipped = usize::from(about == About::Met);
    identity.keys(sender, recipients).skip(skipped).map(|key| Lesson { key, about, until }).collect()
}

/// Under which a client is known that brought mail which was wanted.
pub fn client_key(client: IpAddr) -> Key {
    Key::of(Table::Client, &Identity::network(client).parts())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ledger::Ledger;

    const SENDER: &str = "a@far.test";

    fn recipients(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn far() -> Identity {
        Identity::Domain("far.test".to_owned())
    }

    struct World(Ledger, Greylist);

    impl World {
        fn new() -> Self {
            Self(Ledger::new(1000), Greylist::default())
        }

        /// One message: what becomes of it, learnt as the relay learns it.
        fn send(&mut self, now: u64, identity: &Identity, to: &[&str]) -> Contact {
            let (to, Self(ledger, greylist)) = (recipients(to), self);
            let keys: Vec<_> = identity.keys(SENDER, &to).collect();
            let contact = contact(greylist, now, &ledger.recall(now, &keys), identity, (SENDER, &to));
            let about = if contact.waits() { About::Met } else { About::Good };
            for lesson in lessons(greylist, now, about, identity, (SENDER, &to)) {
                ledger.learn(now, lesson, &mut Vec::new());
            }
            contact
        }
    }

    const fn waits(seconds: u64) -> Contact {
        Contact::Waits { seconds }
    }

    #[test]
    fn who_comes_again_passes() {
        for (second, want) in [
            (0, waits(300)),
            (1, waits(299)),
            (299, waits(1)),
            (300, Contact::Met),
            (86_399, Contact::Met),
            // Too late: a stranger again.
            (86_400, waits(300)),
        ] {
            let mut world = World::new();
            assert_eq!(world.send(1000, &far(), &["b"]), waits(300));
            assert_eq!(world.send(1000 + second, &far(), &["b"]), want, "after {second} s");
        }
    }

    #[test]
    fn who_has_met_is_kept_by_what_comes() {
        const DAY: u64 = 86_400;
        let mut world = World::new();
        world.send(0, &far(), &["b"]);
        for day in [1, 35, 69] {
            assert_eq!(world.send(day * DAY - 1, &far(), &["b"]), Contact::Met, "day {day}");
        }
        assert_eq!(world.send((69 + 35) * DAY, &far(), &["b"]), waits(300));
    }

    #[test]
    fn all_recipients_must_have_met_it() {
        let mut world = World::new();
        world.send(0, &far(), &["b"]);
        assert_eq!(world.send(400, &far(), &["b", "c"]), waits(300));
        assert_eq!(world.send(700, &far(), &["c"]), Contact::Met, "as part of another envelope");
    }

    #[test]
    fn an_identity_passes_after_some_messages() {
        let mut world = World::new();
        world.send(0, &far(), &["b"]);
        (0..5).for_each(|n| assert_eq!(world.send(400 + n, &far(), &["b"]), Contact::Met));
        assert_eq!(world.send(500, &far(), &["z"]), Contact::Met);
        let near = Identity::Domain("near.test".to_owned());
        assert_eq!(world.send(500, &near, &["z"]), waits(300), "nobody else does");
    }

    #[test]
    fn what_nobody_could_say_holds_up_nothing() {
        let to = recipients(&["b"]);
        let none = Recalled::default();
        assert_eq!(contact(&Greylist::default(), 0, &none, &far(), (SENDER, &to)), Contact::Unasked);
        // Nor if only part of it was asked.
        let some = Ledger::new(1).recall(0, &[far().key()]);
        assert_eq!(contact(&Greylist::default(), 0, &some, &far(), (SENDER, &to)), Contact::Unasked);
    }

    #[test]
    fn a_domain_that_vouches_is_the_identity() {
        let client: IpAddr = "192.0.2.7".parse().unwrap();
        let proof = |spf: Option<&str>, dkim: Option<&str>| Proof {
            author: None,
            spf: spf.map(str::to_owned),
            dkim: dkim.map(str::to_owned),
        };
        let domain = |name: &str| Identity::Domain(name.to_owned());
        let network = Identity::Network("192.0.2.0/24".to_owned());
        for (spf, dkim, want) in [
            (Some("far.test"), Some("other.test"), domain("far.test")),
            (None, Some("other.test"), domain("other.test")),
            (None, None, network.clone()),
        ] {
            assert_eq!(Identity::of(&proof(spf, dkim), client), want);
        }
        let named = Named { address: "x@other.test".to_owned(), domain: "other.test".to_owned() };
        let all = Identity::candidates(Name::parse("Mail.Far.test").as_ref(), Some(&named), client);
        assert_eq!(all, [domain("far.test"), domain("other.test"), network.clone()]);
        assert_eq!(Identity::candidates(None, None, client), [network]);
        // Nobody's domain is somebody's network.
        assert_ne!(domain("192.0.2.0/24").key(), Identity::network(client).key());
    }

    #[test]
    fn who_greets_as_us_is_found() {
        for (name, local, want) in [
            ("MX.here.test", "192.0.2.1", true),
            ("mx.here.test.", "192.0.2.1", true),
            ("[192.0.2.1]", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("[IPv6:2001:db8::1]", "2001:db8::1", true),
            ("[192.0.2.2]", "192.0.2.1", false),
            ("here.test", "192.0.2.1", false),
            ("x.mx.here.test", "192.0.2.1", false),
            ("", "192.0.2.1", false),
        ] {
            assert_eq!(greets_as_us(name.as_bytes(), "mx.here.test", local.parse().unwrap()), want, "{name}");
        }
    }

    #[test]
    fn other_protocols_are_found() {
        for line in ["GET / HTTP/1.1", "post /x", "CONNECT 192.0.2.1:25 HTTP/1.0", "HEAD"] {
            assert!(is_of_another_protocol(line.as_bytes()), "{line}");
        }
        for line in ["EHLO get", "GETS", "", "HELP", " GET /"] {
            assert!(!is_of_another_protocol(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn failed_tests_are_a_set() {
        let mut failed = Failed::default();
        assert!(failed.is_empty());
        failed.insert(Test::BareNewline);
        failed.insert(Test::EarlyTalker);
        failed.insert(Test::BareNewline);
        assert_eq!(failed.iter().collect::<Vec<_>>(), [Test::EarlyTalker, Test::BareNewline]);
    }

    #[test]
    fn who_is_exempt_is_asked_nothing() {
        let exempt = vec!["10.0.0.0/8".parse().unwrap()];
        let settings = Settings { exempt, listeners: Some(vec![1]), ..Settings::default() };
        for (listener, client, want) in [
            (1, "192.0.2.1", true),
            (0, "192.0.2.1", false),
            (1, "10.1.1.1", false),
            (1, "::ffff:10.1.1.1", false),
        ] {
            assert_eq!(settings.concerns(listener, client.parse().unwrap()), want, "{listener} {client}");
        }
    }

    /// A clock that was ahead when somebody came for the first time, and is right again.
    #[test]
    fn a_clock_that_was_ahead_makes_nobody_wait_longer_than_a_stranger() {
        const YEAR: u64 = 365 * 86_400;
        for ahead in [600, YEAR] {
            let mut world = World::new();
            assert_eq!(world.send(1000 + ahead, &far(), &["b"]), waits(300));
            assert_eq!(world.send(1000, &far(), &["b"]), waits(300));
            assert_eq!(world.send(1300, &far(), &["b"]), Contact::Met, "{ahead} s ahead");
        }
    }

    /// Those who have met are kept longer than who is to come again, and must not drive these out.
    #[test]
    fn where_it_is_full_strangers_are_let_in_all_the_same() {
        let mut world = World(Ledger::new(40), Greylist::default());
        for n in 0..100 {
            let to = format!("r{n}");
            world.send(n, &Identity::Domain(format!("d{n}.test")), &[&to]);
            world.send(300 + n, &Identity::Domain(format!("d{n}.test")), &[&to]);
        }
        for n in 0..5 {
            assert_eq!(world.send(1000 + n, &Identity::Domain(format!("s{n}.test")), &["b"]), waits(300));
        }
        for n in 0..5 {
            let stranger = Identity::Domain(format!("s{n}.test"));
            assert_eq!(world.send(1400 + n, &stranger, &["b"]), Contact::Met, "{n}");
        }
    }
}
