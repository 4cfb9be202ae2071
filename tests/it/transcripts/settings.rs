//! The `=` lines of a dialogue: configuration, and what the next hops announce.

use std::sync::Arc;
use std::time::Duration;

use postern::limits::TARPITS_MAX;
use postern::policy::condition::{Condition, Scope};
use postern::policy::conduct;
use postern::policy::first_contact::{Early, Greeting, Greylist, Tarpit};
use postern::policy::inspect::Engine;
use postern::policy::judge::Policy;
use postern::policy::lane::{self, Lanes};
use postern::policy::limit;
use postern::policy::lists::Lists;
use postern::policy::mx;
use postern::policy::reputation;
use postern::policy::route::{Pattern, Routes};
use postern::policy::rule::{Rule, Rules};
use postern::policy::sender::{self, DmarcMode};
use postern::policy::settings::{
    BareNewlinePolicy, Config, Congestion, Cpus, DownstreamTimeouts, IdentityMode, Inspect, Listener,
    PoolLimits, Quarantine, RecordSink, Server, Spool, Store, Upstream, UpstreamIndex, UpstreamTimeouts,
    Workers,
};

use postern::policy::tls::{DownstreamTls, UpstreamTls};
use postern::policy::users::{DownstreamAuth, Source};
use postern::policy::verdict::Verdict;
use postern::relay::question::{Answer, Question};
use postern::relay::yielding::Demand;
use postern::scan::{self, Choice, pattern};
use postern::sender::address_list::List;
use postern::sender::dns::{self, Kind, Known, Missing, Name, Record};
use postern::smtp::sasl::Mechanism;
use postern::tls::client_policy::{Authentication, ClientPolicy};
use postern::tls::server_policy::{ClientCertificates, ServerPolicy};
use postern::traffic::conduct::Deed;
use postern::traffic::limit::{Amount, By, Count, Limit};

use super::script::duration;
use crate::harness::authority::world;
use crate::simulation::{inquiring, sealer};

/// How far the dialogue has got before its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// The client has just connected.
    Nothing,
    Helo,
    Ehlo,
    /// MAIL and one RCPT were accepted.
    Envelope,
}

/// What a transaction gets when it asks for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    /// The parked one, or a new one.
    Ready,
    /// One that was used before.
    Used,
    /// Nothing before the transcript grants it.
    Busy,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) client: String,
    /// What each next hop announces; `None`: it was never heard.
    pub(super) announced: [Option<String>; 2],
    /// What the server that is handed out announces, if it is not what was heard before.
    pub(super) server_announces: Option<String>,
    pub(super) opening: Opening,
    pub(super) pool: Pool,
    /// The whole Received field is shown.
    pub(super) full_trace: bool,
    /// Clients of the worker that are held back already.
    pub(super) tarpits: usize,
    /// Places for clients are short.
    pub(super) hurried: bool,
    /// How much connections to next hops are wanted.
    pub(super) demand: Demand,
    /// What clients at the same address have done before.
    pub(super) deeds: Vec<(Deed, u16)>,
    /// How many of them are here already.
    pub(super) here: usize,
    /// So many times the worker was overloaded.
    pub(super) overload: u64,
    /// Records show where the message went.
    pub(super) shows_next_hop: bool,
    /// How much may come.
    limits: Vec<limit::Settings>,
    /// What is looked for.
    patterns: String,
    /// What the DNS says; all else is not found.
    zone: Vec<(dns::Query, Vec<Record>)>,
}

impl Settings {
    pub(super) fn new(lines: &[String]) -> Self {
        let announced = Some("PIPELINING, SIZE, 8BITMIME, SMTPUTF8, DSN".to_owned());
        let mut settings = Self {
            config: config(),
            client: "192.0.2.1:40000".to_owned(),
            announced: [announced.clone(), announced],
            server_announces: None,
            opening: Opening::Ehlo,
            pool: Pool::Ready,
            full_trace: false,
            tarpits: 0,
            hurried: false,
            demand: Demand::Low,
            deeds: Vec::new(),
            here: 0,
            overload: 0,
            shows_next_hop: false,
            limits: Vec::new(),
            patterns: String::new(),
            zone: Vec::new(),
        };
        for line in lines {
            settings.take(line).unwrap_or_else(|| panic!("not a setting: {line}"));
        }
        settings.compile();
        settings
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "start" => self.opening = Opening::Nothing,
            "helo" => self.opening = Opening::Helo,
            "envelope" => self.opening = Opening::Envelope,
            "as" if value == "written" => {}
            "trace" => self.full_trace = true,
            "hop" => self.shows_next_hop = true,
            "client" => value.clone_into(&mut self.client),
            "pool" => {
                self.pool = match value {
                    "used" => Pool::Used,
                    "busy" => Pool::Busy,
                    _ => return None,
                }
            }
            "announces" => self.announced[0] = Some(value.to_owned()),
            "unheard" => self.announced[0] = None,
            "server" => self.server_announces = Some(value.strip_prefix("announces ")?.to_owned()),
            "other" => self.take_other(value)?,
            "sender" => {
                let settings = sender(value)?;
                self.config.policy.enforces_dmarc = settings.dmarc == DmarcMode::Enforce;
                self.config.sender = Some(Arc::new(settings));
            }
            "dns" => self.take_record(value)?,
            "find" => self.take_pattern(value)?,
            "rule" => self.take_rule(value)?,
            "greylist" | "greeting" | "tarpit" => self.take_first_contact(word, value)?,
            "reputation" => self.config.reputation = Some(reputation::Settings::default()),
            "hurried" => self.hurried = true,
            "demand" => self.demand = if value == "waiting" { Demand::Waiting } else { Demand::High },
            "unknown" => self.config.conduct.unknown = value.parse().ok()?,
            "connections" => self.config.conduct.capacity.address = value.parse().ok()?,
            "here" => self.here = value.parse().ok()?,
            "did" => self.deeds.push(deed(value)?),
            "lane" => self.take_lane(value)?,
            "overload" => self.overload = value.parse().ok()?,
            "tarpits" => self.tarpits = TARPITS_MAX,
            "limit" => self.take_limit(value)?,
            "spool" => self.take_spool(value)?,
            "mx" => self.take_mx(),
            _ => return self.take_config(word, value),
        }
        Some(())
    }

    /// A second next hop, for the recipients at example.com.
    fn take_other(&mut self, value: &str) -> Option<()> {
        self.config.upstreams.push(upstream("other", "198.51.100.2:25"));
        self.config.routes = Routes::new([
            (Pattern::Domain(b"example.net".to_vec()), UpstreamIndex(0)),
            (Pattern::Domain(b"example.com".to_vec()), UpstreamIndex(1)),
        ]);
        if let Some(announced) = value.strip_prefix("announces ") {
            self.announced[1] = Some(announced.to_owned());
        }
        value.is_empty().then_some(()).or_else(|| value.starts_with("announces ").then_some(()))
    }

    /// `SYMBOL SCORE what is looked for`, in text and in octets of any kind.
    fn take_pattern(&mut self, value: &str) -> Option<()> {
        let mut words = value.splitn(3, ' ');
        let (symbol, score, literal) = (words.next()?, words.next()?, words.next()?);
        self.patterns.push_str(&format!(
            "[[pattern]]\nsymbol = {symbol:?}\nscore = {score}\nliteral = {literal:?}\n\
             in = [\"text\", \"attachment\"]\nwhy = \"a test\"\n"
        ));
        Some(())
    }

    /// `NAME THEN a condition`.
    fn take_rule(&mut self, value: &str) -> Option<()> {
        let mut words = value.splitn(3, ' ');
        let (name, then, when) = (words.next()?, words.next()?, words.next()?);
        let then = match then {
            "tag" => Verdict::Tag,
            "greylist" => Verdict::Greylist,
            "defer" => Verdict::Defer,
            "reject" => Verdict::Reject,
            "quarantine" => Verdict::Quarantine,
            "discard" => Verdict::Discard,
            "redirect" => Verdict::Redirect(UpstreamIndex(1)),
            _ => return None,
        };
        let when = condition(when);
        let policy = &mut self.config.policy;
        let mut rules: Vec<Rule> = policy.rules.iter().map(|(_, rule)| rule.clone()).collect();
        rules.push(Rule { name: name.to_owned(), when, then, reply: None, shadow: false });
        policy.rules = Rules::new(rules);
        Some(())
    }

    /// `NAME SHARE`, or with a condition behind it.
    fn take_lane(&mut self, value: &str) -> Option<()> {
        let mut words = value.splitn(3, ' ');
        let (name, share, when) = (words.next()?, words.next()?.parse().ok()?, words.next());
        let when = when.map(condition);
        let lanes = &mut self.config.policy.lanes;
        let lane = lane::Settings { name: name.to_owned(), when, share };
        let is_default = lanes.names().next() == Some("all");
        let before = if is_default { Vec::new() } else { lanes.iter().cloned().collect() };
        *lanes = Lanes::new(before.into_iter().chain([lane]).collect());
        Some(())
    }

    /// Servers are looked up, for everybody's mail to anybody.
    fn take_mx(&mut self) {
        let upstream = &mut self.config.upstreams[0];
        upstream.servers.clear();
        upstream.mx = Some(mx::Settings {
            port: 25,
            private: Vec::new(),
            mta_sts_port: None,
            connections: 4,
            named: ClientPolicy::new(Authentication::None, None).expect("a policy"),
        });
        self.config.routes = Routes::new([(Pattern::Any, UpstreamIndex(0))]);
    }

    /// `greylist all` or `greylist rules`, `greeting 6s reject` or `greeting 6s mark`, `tarpit 10s`.
    fn take_first_contact(&mut self, word: &str, value: &str) -> Option<()> {
        let mut settings = self.config.first_contact.as_deref().cloned().unwrap_or_default();
        match word {
            "greylist" => {
                let all = value == "all";
                settings.greylist = Some(Greylist { all, ..Greylist::default() });
                self.config.policy.greylists_all = all;
            }
            "greeting" => {
                let (delay, early) = value.split_once(' ')?;
                let early = if early == "mark" { Early::Mark } else { Early::Reject };
                settings.greeting = Some(Greeting { delay: duration(delay)?, early });
            }
            _ => settings.tarpit = Some(Tarpit { delay: duration(value)?, errors: 3 }),
        }
        self.config.first_contact = Some(Arc::new(settings));
        Some(())
    }

    /// `NAME KEY COUNT TOKENS/SECONDS` or `NAME KEY COUNT TOKENS`, and `when a condition`.
    fn take_limit(&mut self, value: &str) -> Option<()> {
        let (value, when) =
            value.split_once(" when ").map_or((value, None), |(value, when)| (value, Some(when)));
        let words: Vec<_> = value.split(' ').collect();
        let &[name, key, count, amount] = &words[..] else { return None };
        let by = match key {
            "client.ip" => By::ClientIp,
            "client.net" => By::ClientNet,
            "sender.domain" => By::SenderDomain,
            "sender.address" => By::SenderAddress,
            "recipient.domain" => By::RecipientDomain,
            "auth.user" => By::AuthUser,
            _ => return None,
        };
        let count = match count {
            "connections" => Count::Connections,
            "messages" => Count::Messages,
            "recipients" => Count::Recipients,
            "bytes" => Count::Bytes,
            "refusals" => Count::Refusals,
            _ => return None,
        };
        let amount = match amount.split_once('/') {
            None => Amount::Concurrent { max: amount.parse().ok()? },
            Some((tokens, seconds)) => {
                let (tokens, per) = (tokens.parse().ok()?, Duration::from_secs(seconds.parse().ok()?));
                Amount::Rate { tokens, per, burst: tokens }
            }
        };
        let when = when.map(condition);
        let limit = Limit { name: name.to_owned(), by, count, amount, entries: 100, alerts: true };
        self.limits.push(limit::Settings { limit, when, exempt: Vec::new() });
        self.config.policy.limits = limit::Limits::new(self.limits.clone());
        Some(())
    }

    fn take_spool(&mut self, value: &str) -> Option<()> {
        let spool = match value {
            "never" => Spool::Never,
            "suspect" => Spool::Suspect,
            "always" => Spool::Always,
            _ => return None,
        };
        let age_max = Duration::from_secs(1);
        self.config.quarantine = Some(Quarantine { path: "q".into(), spool, bytes_max: 1 << 30, age_max });
        Some(())
    }

    /// `name A 192.0.2.1`, `name TXT text`, `name PTR name`.
    fn take_record(&mut self, value: &str) -> Option<()> {
        let mut words = value.splitn(3, ' ');
        let (name, kind, data) = (Name::parse(words.next()?)?, words.next()?, words.next()?);
        let (kind, record) = match kind {
            "A" => (Kind::A, Record::A(data.parse().ok()?)),
            "TXT" => (Kind::Txt, Record::Txt(data.into())),
            "PTR" => (Kind::Ptr, Record::Ptr(Name::parse(data)?)),
            "MX" => {
                let (preference, exchange) = data.split_once(' ')?;
                let preference = preference.parse().ok()?;
                (Kind::Mx, Record::Mx { preference, exchange: Name::parse(exchange) })
            }
            _ => return None,
        };
        self.zone.push((dns::Query::new(name, kind), vec![record]));
        Some(())
    }

    /// The answer of a service that asks this zone.
    pub(super) fn look_up(&self, question: &Question) -> Answer {
        let settings = self.config.sender.as_deref().cloned().unwrap_or_default();
        let settings = &settings;
        let rules = mx::Rules::new(&self.config.hostname, &self.config.upstreams[0]);
        let mut known = Known::default();
        loop {
            let answer = match question {
                Question::Client(client) => {
                    client.evaluate(settings, &known).map(|found| Answer::Client(Box::new(found)))
                }
                Question::Author(author) => {
                    author.evaluate(&known).map(|found| Answer::Author(Box::new(found)))
                }
                Question::NextHop(domain) => {
                    domain.evaluate(&rules, None, &known).map(|found| Answer::NextHop(found.map(Arc::new)))
                }
                Question::Links(links) => {
                    links.evaluate(settings, &known).map(|found| Answer::Links(Box::new(found)))
                }
                // Nobody signs a transcript.
                Question::Seal(_) => Ok(Answer::Sealed(Ok("ARC-Seal: i=1; cv=none\r\n".to_owned()))),
                other => panic!("the DNS knows nothing of {other:?}"),
            };
            match answer {
                Ok(answer) => return answer,
                Err(Missing(queries)) => queries.into_iter().for_each(|query| self.learn(&mut known, query)),
            }
        }
    }

    fn learn(&self, known: &mut Known, query: dns::Query) {
        let found = self.zone.iter().find(|(name, _)| *name == query);
        let of_name = || self.zone.iter().any(|(known, _)| known.name == query.name);
        let answer = match found {
            Some((_, records)) => dns::Answer::Records { records: records.clone(), is_secure: false },
            None if of_name() => dns::Answer::NoData,
            None => dns::Answer::NotFound,
        };
        known.learn(query, answer);
    }

    /// Content is looked into if something is looked for.
    fn compile(&mut self) {
        let policy = &self.config.policy;
        if self.patterns.is_empty() && policy.rules.is_empty() {
            return;
        }
        let patterns = pattern::parse("transcript", &self.patterns).expect("patterns");
        let rules = scan::Rules::compile(patterns, Choice::Never).expect("rules");
        let inspect = Inspect { enabled: true, ..Inspect::default() };
        self.config.engine = Some(Arc::new(Engine::new(rules, &inspect, policy.rules.reads())));
    }

    fn take_config(&mut self, word: &str, value: &str) -> Option<()> {
        let workers = &mut self.config.workers;
        let listener = self.config.listeners.first_mut()?;
        match word {
            "window" => workers.window = value.parse().ok()?,
            "budget" => workers.window_budget = value.parse().ok()?,
            "message" => workers.message = value.parse().ok()?,
            "line" => workers.line = value.parse().ok()?,
            "recipients" => workers.recipients = value.parse().ok()?,
            "transactions" => workers.transactions = value.parse().ok()?,
            "received" => workers.received = value.parse().ok()?,
            "min_rate" => workers.min_rate = value.parse().ok()?,
            "replace" => listener.bare_newline = BareNewlinePolicy::Replace(vec![value.parse().ok()?]),
            "proxy_protocol" => listener.proxy_protocol.push(value.parse().ok()?),
            "outbound" => listener.outbound = true,
            "mt_priority" => listener.mt_priority = Some(vec![value.parse().ok()?]),
            "xclient" => listener.xclient.push(value.parse().ok()?),
            "tls" => listener.tls = downstream_tls(value)?,
            "auth" => listener.auth = Some(auth(value)?),
            "chunking" => self.config.upstreams[0].chunking = value != "off",
            "data_ahead" => self.config.upstreams[0].data_ahead = value.parse().ok()?,
            "tag" => self.config.policy.thresholds.tag = value.parse().ok(),
            "quarantine" => self.config.policy.thresholds.quarantine = value.parse().ok(),
            "reject" => self.config.policy.thresholds.reject = value.parse().ok(),
            "identity" => {
                self.config.upstreams[0].identity = match value {
                    "xforward" => IdentityMode::Xforward,
                    "xclient" => IdentityMode::Xclient,
                    _ => return None,
                }
            }
            "wait" => self.config.upstreams[0].pool.wait = duration(value)?,
            _ => return None,
        }
        Some(())
    }
}

/// `guesses 30`.
fn deed(value: &str) -> Option<(Deed, u16)> {
    let (word, count) = value.split_once(' ')?;
    let deed = match word {
        "unknown" => Deed::UnknownRecipient,
        "junk" => Deed::Junk,
        "guesses" => Deed::Guessed,
        "mail" => Deed::Delivered,
        _ => return None,
    };
    Some((deed, count.parse().ok()?))
}

fn condition(when: &str) -> Condition {
    let scope = Scope { lists: &Lists::default(), symbols: None, kinds: &[] };
    Condition::compile(when, scope).expect("a condition")
}

fn config() -> Config {
    Config {
        hostname: "mx.example.net".to_owned(),
        workers: workers(),
        listeners: vec![Listener {
            name: "inbound".to_owned(),
            addresses: Vec::new(),
            proxy_protocol: Vec::new(),
            xclient: Vec::new(),
            bare_newline: BareNewlinePolicy::Reject,
            tls: DownstreamTls::Off,
            auth: None,
            mt_priority: None,
            outbound: false,
        }],
        upstreams: vec![upstream("mailstore", "198.51.100.1:25")],
        routes: Routes::new([(Pattern::Domain(b"example.net".to_vec()), UpstreamIndex(0))]),
        policy: Policy::default(),
        inspect: Inspect::default(),
        engine: None,
        sender: None,
        first_contact: None,
        reputation: None,
        conduct: conduct::Settings::default(),
        store: Store::default(),
        quarantine: None,
        admin: None,
        records: RecordSink::Off,
        hash: "transcript".to_owned(),
    }
}

fn workers() -> Workers {
    Workers {
        cpus: Cpus::Auto,
        connections: 100,
        window: 128 * 1024,
        window_budget: 1024 * 1024,
        message: 1_000_000,
        line: 100_000,
        recipients: 100,
        transactions: 100,
        received: 50,
        min_rate: 0,
        timeout: DownstreamTimeouts {
            command: Duration::from_secs(300),
            content: Duration::from_secs(180),
            drain: Duration::from_secs(60),
        },
    }
}

fn upstream(name: &str, address: &str) -> Upstream {
    Upstream {
        name: name.to_owned(),
        servers: vec![Server { address: address.parse().expect("an address"), weight: 1, rank: 0 }],
        mx: None,
        pool: PoolLimits {
            warm: 1,
            max: 10,
            messages: 100,
            age: Duration::from_secs(900),
            idle: Duration::from_secs(60),
            wait: Duration::from_secs(10),
        },
        congestion: Congestion::default(),
        identity: IdentityMode::None,
        tls: UpstreamTls::Off,
        timeout: UpstreamTimeouts {
            connect: Duration::from_secs(5),
            reply: Duration::from_secs(30),
            end: Duration::from_secs(300),
        },
        chunking: true,
        auth: None,
        data_ahead: 0,
    }
}

/// `offer` or `require`, with the mechanisms if not all are meant.
fn auth(value: &str) -> Option<DownstreamAuth> {
    let mut words = value.split(' ');
    let required = match words.next()? {
        "offer" => false,
        "require" => true,
        _ => return None,
    };
    let named: Option<Vec<_>> = words.map(|name| Mechanism::named(name.as_bytes())).collect();
    let mechanisms = named.filter(|named| !named.is_empty()).unwrap_or_else(|| Mechanism::ALL.to_vec());
    Some(DownstreamAuth {
        source: Source::File(Arc::default()),
        mechanisms,
        required,
        trusted: false,
        owners: Arc::default(),
    })
}

fn downstream_tls(mode: &str) -> Option<DownstreamTls> {
    let identity = world().ecdsa.identity();
    let policy = ServerPolicy::new(vec![identity], &ClientCertificates::None).ok()?;
    match mode {
        "offer" => Some(DownstreamTls::Offer(policy)),
        "require" => Some(DownstreamTls::Require(policy)),
        "implicit" => Some(DownstreamTls::Implicit(policy)),
        _ => None,
    }
}

/// `[sender]` with its defaults but for what is named.
fn sender(value: &str) -> Option<sender::Settings> {
    let mut settings = inquiring();
    for word in value.split_ascii_whitespace() {
        match word {
            "mark" => settings.dmarc = DmarcMode::Mark,
            "enforce" => settings.dmarc = DmarcMode::Enforce,
            "results" => settings.results = true,
            "list" => {
                settings.dnsbl.push(List { zone: "list.example".to_owned(), weight: 20.0, ..List::default() })
            }
            "seal" => settings.seal = Some(sealer()),
            "links" => settings.uribl.push(List {
                zone: "links.example".to_owned(),
                weight: 20.0,
                ..List::default()
            }),
            _ => return None,
        }
    }
    Some(settings)
}
