//! From a seed to a world: a configuration, servers and clients with their scripts.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use postern::policy::condition::{Condition, Scope};
use postern::policy::conduct;
use postern::policy::first_contact::{self, Early, Greeting, Greylist, Tarpit};
use postern::policy::inspect::Engine;
use postern::policy::judge::Policy;
use postern::policy::lists::Lists;
use postern::policy::mx;
use postern::policy::route::{Pattern, Routes};
use postern::policy::rule::{Rule, Rules};
use postern::policy::sender::Settings;
use postern::policy::settings::{
    BareNewlinePolicy, Config, Congestion, Cpus, DownstreamTimeouts, IdentityMode, Inspect, Listener,
    PoolLimits, Quarantine, RecordSink, Server as ServerSetting, Spool, Store, Upstream, UpstreamIndex,
    UpstreamTimeouts, Workers,
};
use postern::policy::tls::{DownstreamTls, UpstreamTls};
use postern::policy::verdict::Verdict;
use postern::scan;
use postern::tls::client_policy::{Authentication, ClientPolicy};
use postern::traffic::conduct::{Bounds, Thresholds};
use postern::traffic::register::Capacity;

use super::checker::{Fate, Tag, Transaction};
use super::client::{Client, Kind, Manner, Misdeed, Step, What};
use super::flood;
use super::network::{MICROS, MILLIS, SECONDS, Weather};
use super::next_hop::{Announced, At, IDLE, STEPS, Server, TROUBLES, Trouble};
use super::service::{inquiring, sealer};

/// How much goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Nothing: every good message must be accepted.
    Calm,
    /// Servers stumble.
    Servers,
    /// Clients misbehave.
    Clients,
    /// Both, the kernel, and a drain.
    Storm,
    /// Far more clients than there is room for, and a few whose lane has a share: nothing of theirs may suffer.
    Flood,
}

impl Mood {
    const fn servers(self) -> bool {
        matches!(self, Self::Servers | Self::Storm)
    }

    const fn clients(self) -> bool {
        matches!(self, Self::Clients | Self::Storm)
    }
}

/// A world, before it begins.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) mood: Mood,
    pub(crate) config: Config,
    pub(crate) weather: Weather,
    pub(crate) servers: Vec<Server>,
    pub(crate) clients: Vec<(u64, Client)>,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) kernel_fails_one_in: u64,
    pub(crate) drain_at: Option<u64>,
    /// Servers of each upstream, where they are looked up.
    pub(crate) hosts: Vec<Vec<SocketAddr>>,
    /// Turns may take long.
    pub(crate) is_slow: bool,
}

type Random = fastrand::Rng;

impl Scenario {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::with_seed(seed);
        let mood = [Mood::Calm, Mood::Servers, Mood::Servers, Mood::Clients, Mood::Storm][random.usize(..5)];
        Self::with_mood(&mut random, mood)
    }

    pub(crate) fn with_mood(random: &mut Random, mood: Mood) -> Self {
        if mood == Mood::Flood {
            return flood::scenario(random);
        }
        let upstreams = if random.u8(..4) == 0 { 2 } else { 1 };
        let servers = servers(random, mood, upstreams);
        let config = config(random, mood, &servers, upstreams);
        let mut transactions = Vec::new();
        let clients = clients(random, mood, &config, &servers, &mut transactions);
        let storm = mood == Mood::Storm;
        let mut scenario = Self {
            mood,
            weather: weather(random, mood),
            servers,
            clients,
            transactions,
            kernel_fails_one_in: if storm && random.bool() { 20 } else { 0 },
            drain_at: (storm && random.u8(..4) == 0).then(|| random.u64(..10) * SECONDS),
            config,
            hosts: Vec::new(),
            is_slow: false,
        };
        // A die of its own, as for inquiries.
        if random.clone().u8(..5) == 1 {
            scenario.look_up();
        }
        if random.bool() {
            scenario.judge_some(random);
        }
        scenario
    }

    /// Nobody knows the servers before the DNS was asked: they promise the same, then.
    fn look_up(&mut self) {
        for (index, upstream) in self.config.upstreams.iter_mut().enumerate() {
            let addresses = self.servers.iter().filter(|server| server.upstream == index);
            self.hosts.push(addresses.map(|server| server.address).collect());
            upstream.servers.clear();
            (upstream.pool.warm, upstream.data_ahead) = (0, 0);
            upstream.mx = Some(mx::Settings {
                port: 25,
                private: Vec::new(),
                mta_sts_port: None,
                connections: upstream.pool.max,
                named: ClientPolicy::new(Authentication::None, None).unwrap(),
            });
        }
        for announced in self.servers.iter_mut().flat_map(|server| &mut server.announced) {
            announced.eight_bit = announced.ehlo;
            announced.size = None;
        }
    }

    /// Some messages are not to reach their next hop: rules by their senders say so.
    fn judge_some(&mut self, random: &mut Random) {
        let calm = self.mood == Mood::Calm;
        let mut senders = [Vec::new(), Vec::new()];
        for (tag, transaction) in self.transactions.iter_mut().enumerate() {
            let (fate, list) = match random.u8(..8) {
                0 | 1 => (Fate::Kept, 0),
                2 => (Fate::Discarded, 1),
                _ => continue,
            };
            transaction.fate = fate;
            senders[list].push(format!("\"t{tag}@client.example\""));
        }
        let spools = [Spool::Never, Spool::Suspect, Spool::Always];
        let spool = if calm { Spool::Always } else { spools[random.usize(..3)] };
        // What streams and was not copied is refused.
        for transaction in &mut self.transactions {
            transaction.refusable |= transaction.fate == Fate::Kept && spool != Spool::Always;
        }
        let age_max = Duration::from_secs(1);
        let path = "quarantine".into();
        self.config.quarantine = Some(Quarantine { path, spool, bytes_max: 1 << 30, age_max });
        let verdicts = [Verdict::Quarantine, Verdict::Discard];
        let rules = senders.iter().zip(verdicts).filter(|(senders, _)| !senders.is_empty());
        let rules =
            rules.map(|(senders, then)| rule(&format!("sender.address in [{}]", senders.join(", ")), then));
        self.config.policy.rules = Rules::new(rules.collect());
        self.config.engine = Some(Arc::clone(&ENGINE));
    }
}

/// Looks into content, and for nothing in it.
static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| {
    let nothing = scan::Rules::compile(Vec::new(), scan::Choice::Never).unwrap();
    Arc::new(Engine::new(nothing, &Inspect::default(), Rules::default().reads()))
});

pub(super) fn condition(when: &str) -> Condition {
    Condition::compile(when, Scope { lists: &Lists::default(), symbols: None, kinds: &[] }).unwrap()
}

fn rule(when: &str, then: Verdict) -> Rule {
    Rule { name: then.name().to_owned(), when: condition(when), then, reply: None, shadow: false }
}

pub(super) fn weather(random: &mut Random, mood: Mood) -> Weather {
    let calm = mood == Mood::Calm;
    let latency_steps_max = [1, 20, 400][random.usize(..3)];
    let late_one_in = [0, 10, 100][random.usize(..3)];
    let slow = latency_steps_max > 1 || late_one_in > 0;
    // A thin and long line takes longer than timeouts allow; that is nothing to be calm about.
    let least = if calm && slow { 65_536 } else { [600, 4096, 65_536][random.usize(..3)] };
    Weather {
        latency_steps_max,
        late_one_in,
        late_send_one_in: if calm { 0 } else { [0, 0, 5][random.usize(..3)] },
        buffer: (least, least * 4),
        tiny: random.bool(),
    }
}

fn chance(random: &mut Random, one_in: u32) -> bool {
    random.u32(..one_in) == 0
}

pub(super) fn servers(random: &mut Random, mood: Mood, upstreams: usize) -> Vec<Server> {
    let count = upstreams + random.usize(..2);
    let troubles = if mood.servers() { troubles(random) } else { Vec::new() };
    let xforward = random.u8(..4) > 0;
    (0..count)
        .map(|index| {
            let bad = mood.servers() && random.u8(..3) > 0;
            let variants = if mood.servers() && chance(random, 4) { 2 } else { 1 };
            Server {
                address: SocketAddr::from(([198, 51, 100, u8::try_from(index + 1).unwrap()], 25)),
                upstream: index % upstreams,
                announced: (0..variants).map(|_| announced(random, mood, xforward)).collect(),
                troubles: troubles.clone(),
                trouble_one_in: if bad { [2, 6, 25][random.usize(..3)] } else { 0 },
                refuses_one_in: if bad { [0, 2, 10][random.usize(..3)] } else { 0 },
                idle: (bad && chance(random, 3)).then_some(IDLE),
                reads: reads(random),
                sessions: 0,
            }
        })
        .collect()
}

/// One kind of trouble at one step, or all kinds everywhere.
fn troubles(random: &mut Random) -> Vec<(At, Trouble)> {
    let all = STEPS.iter().flat_map(|&at| TROUBLES.iter().map(move |&trouble| (at, trouble)));
    let all: Vec<_> = all.filter(|&(at, trouble)| is_sensible(at, trouble)).collect();
    match random.u8(..3) {
        0 => all,
        1 => {
            let at = STEPS[random.usize(..STEPS.len())];
            all.into_iter().filter(|(step, _)| *step == at).collect()
        }
        _ => {
            let trouble = TROUBLES[random.usize(..TROUBLES.len())];
            all.into_iter().filter(|(_, kind)| *kind == trouble).collect()
        }
    }
}

/// A surplus reply in the middle of a dialogue shifts all that follow, and none can tell: only the
/// one behind the content is provably surplus.
fn is_sensible(at: At, trouble: Trouble) -> bool {
    match trouble {
        Trouble::Early | Trouble::EarlyReset => at == At::Body,
        Trouble::Twice => at == At::End,
        Trouble::SaidFin | Trouble::SaidReset | Trouble::Slow => at != At::Body,
        _ => true,
    }
}

fn announced(random: &mut Random, mood: Mood, xforward: bool) -> Announced {
    let ehlo = mood == Mood::Calm || !chance(random, 12);
    Announced {
        ehlo,
        pipelining: random.bool(),
        chunking: ehlo && random.bool(),
        eight_bit: ehlo && random.u8(..4) > 0,
        size: (ehlo && random.bool()).then_some([200_000, 1_000_000][random.usize(..2)]),
        xforward: ehlo && xforward,
        mail_max: (ehlo && chance(random, 4)).then(|| random.u32(1..5)),
    }
}

fn reads(random: &mut Random) -> (usize, u64) {
    match random.u8(..8) {
        0 => (1000, MILLIS),
        1 => (20_000, 5 * MILLIS),
        _ => (256 * 1024, 0),
    }
}

/// Nobody, or somebody who is asked about all and may seal what goes on.
fn sender(mut random: Random) -> Option<Arc<Settings>> {
    let (asks, seals) = (random.u8(..3) == 0, random.bool());
    asks.then(|| Arc::new(Settings { seal: seals.then(sealer), ..inquiring() }))
}

pub(super) fn config(random: &mut Random, mood: Mood, servers: &[Server], upstreams: usize) -> Config {
    let patterns = (0..upstreams).map(|index| (Pattern::Domain(domain(index).into()), UpstreamIndex(index)));
    let addresses = |index: usize| servers.iter().filter(move |server| server.upstream == index);
    let identity = if random.u8(..4) > 0 { IdentityMode::Xforward } else { IdentityMode::None };
    Config {
        hostname: "mx.sim.example".to_owned(),
        workers: workers(random, mood),
        listeners: vec![Listener {
            name: "in".to_owned(),
            addresses: Vec::new(),
            proxy_protocol: Vec::new(),
            xclient: Vec::new(),
            bare_newline: BareNewlinePolicy::Reject,
            tls: DownstreamTls::Off,
            auth: None,
            mt_priority: None,
            outbound: false,
        }],
        upstreams: (0..upstreams)
            .map(|index| {
                let servers = addresses(index);
                upstream(random, mood, identity, servers.map(|server| server.address).collect())
            })
            .collect(),
        routes: Routes::new(patterns),
        policy: Policy { greylists_all: true, ..Policy::default() },
        inspect: Inspect::default(),
        engine: None,
        // A die of its own: the others fall as they did before there were inquiries.
        sender: sender(random.clone()),
        first_contact: strangers(&mut random.clone(), mood).map(Arc::new),
        reputation: None,
        conduct: conduct(&mut random.clone(), mood),
        store: Store::default(),
        quarantine: None,
        admin: None,
        records: RecordSink::Off,
        hash: "sim".to_owned(),
    }
}

/// In some worlds where clients misbehave few may come at a time, and little is suspect already.
fn conduct(random: &mut Random, mood: Mood) -> conduct::Settings {
    let settings = conduct::Settings { exempt: Vec::new(), ..conduct::Settings::default() };
    if !mood.clients() || random.u8(..3) > 0 {
        return settings;
    }
    let bounds = Bounds { suspect: 1, bad: 2 };
    let thresholds =
        Thresholds { harvest: bounds, junk: bounds, slow: bounds, refused: bounds, ..Thresholds::default() };
    let capacity = Capacity { address: random.u32(1..4), network: random.u32(4..9) };
    conduct::Settings { entries: 8, capacity, unknown: 2, thresholds, ..settings }
}

/// What is asked of strangers, in some worlds. Where all is to go well, nobody has to come again.
fn strangers(random: &mut Random, mood: Mood) -> Option<first_contact::Settings> {
    let second = Duration::from_secs(1);
    if mood == Mood::Calm || random.u8(..4) > 0 {
        return None;
    }
    let greylist = Greylist { delay: second, passes: 3, all: true, ..Greylist::default() };
    let greeting = Greeting { delay: second / 2, early: Early::Mark };
    Some(first_contact::Settings {
        greylist: Some(greylist),
        greeting: random.bool().then_some(greeting),
        tarpit: random.bool().then_some(Tarpit { delay: second, errors: 1 }),
        ..first_contact::Settings::default()
    })
}

fn domain(upstream: usize) -> String {
    format!("hop{upstream}.example")
}

fn workers(random: &mut Random, mood: Mood) -> Workers {
    let calm = mood == Mood::Calm;
    let window = [0, 1024, 8192, 32_768, 131_072][random.usize(..5)];
    Workers {
        cpus: Cpus::Auto,
        connections: if calm || random.u8(..8) > 0 { 100 } else { 2 },
        window,
        window_budget: window * [1, 2, 8][random.usize(..3)],
        message: if calm { 1_000_000 } else { [50_000, 300_000, 1_000_000][random.usize(..3)] },
        line: 1000,
        recipients: if calm { 100 } else { [1, 3, 100][random.usize(..3)] },
        transactions: if calm { 100 } else { [2, 100][random.usize(..2)] },
        received: 50,
        min_rate: 0,
        timeout: DownstreamTimeouts {
            command: Duration::from_secs(20),
            content: Duration::from_secs(10),
            drain: Duration::from_secs(15),
        },
    }
}

fn upstream(random: &mut Random, mood: Mood, identity: IdentityMode, servers: Vec<SocketAddr>) -> Upstream {
    let calm = mood == Mood::Calm;
    let max = random.usize(1..=4);
    Upstream {
        name: "hop".to_owned(),
        servers: servers.into_iter().map(|address| ServerSetting { address, weight: 1, rank: 0 }).collect(),
        pool: PoolLimits {
            warm: random.usize(..=max.min(2)),
            max,
            messages: [1, 3, 100][random.usize(..3)],
            age: Duration::from_secs([2, 900][random.usize(..2)]),
            idle: Duration::from_secs([1, 60][random.usize(..2)]),
            wait: Duration::from_secs(if calm { 300 } else { 5 }),
        },
        congestion: Congestion::default(),
        identity,
        tls: UpstreamTls::Off,
        timeout: UpstreamTimeouts {
            connect: Duration::from_secs(2),
            reply: Duration::from_secs(3),
            end: Duration::from_secs(4),
        },
        mx: None,
        chunking: random.u8(..4) > 0,
        auth: None,
        data_ahead: random.u32(..3),
    }
}

fn clients(
    random: &mut Random,
    mood: Mood,
    config: &Config,
    servers: &[Server],
    transactions: &mut Vec<Transaction>,
) -> Vec<(u64, Client)> {
    let count = random.usize(1..=6);
    let over = random.u64(1..=5) * SECONDS;
    let mut script = Scripter { mood, config, servers, transactions, pace: random.u8(..3) };
    (0..count)
        .map(|index| {
            let address = SocketAddr::from((
                [203, 0, 113, u8::try_from(index).unwrap()],
                40_000 + u16::try_from(index).unwrap(),
            ));
            let script = script.session(random, index);
            (random.u64(..over), Client::new(address, script, manner(random, mood)))
        })
        .collect()
}

pub(super) fn manner(random: &mut Random, mood: Mood) -> Manner {
    let misdeed = mood.clients() && random.bool();
    let misdeeds = [Misdeed::HalfClose, Misdeed::Close, Misdeed::Reset, Misdeed::Stall];
    let at = [300, 3000, 100_000][random.usize(..3)];
    Manner {
        misdeed: misdeed.then(|| (random.u64(..at), misdeeds[random.usize(..4)])),
        reads: if chance(random, 6) { (random.usize(1..=64), 20 * MILLIS) } else { (65_536, 0) },
        writes: match random.u8(..8) {
            0 => (random.usize(1..=2000), random.u64(1..=20) * MILLIS / 4),
            1 => (1460, 200 * MICROS),
            _ => (usize::MAX, 0),
        },
    }
}

/// Writes what clients are going to say.
pub(super) struct Scripter<'a> {
    pub(super) mood: Mood,
    pub(super) config: &'a Config,
    pub(super) servers: &'a [Server],
    pub(super) transactions: &'a mut Vec<Transaction>,
    pub(super) pace: u8,
}

impl Scripter<'_> {
    pub(super) fn session(&mut self, random: &mut Random, index: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let esmtp = random.u8(..5) > 0;
        let pipelines = esmtp && random.bool();
        steps.push(hello(index, 0, esmtp));
        for number in 0..random.usize(1..=4) {
            if chance(random, 3) {
                steps.push(self.pause(random));
            }
            if chance(random, 3) {
                steps.push(aside(random, index, number, esmtp));
            }
            self.transaction(random, esmtp, pipelines, &mut steps);
        }
        let quits = random.u8(..8) > 0 || !self.mood.clients();
        if quits {
            steps.push(command("QUIT\r\n".into(), Kind::Quit, !pipelines));
        }
        steps
    }

    fn pause(&self, random: &mut Random) -> Step {
        let limit = [100 * MILLIS, 3 * SECONDS, IDLE + IDLE / 10][usize::from(self.pace)];
        let least = if self.pace == 2 { IDLE - IDLE / 10 } else { 0 };
        Step { what: What::Pause(random.u64(least..=limit)), wait: true }
    }

    fn transaction(&mut self, random: &mut Random, esmtp: bool, pipelines: bool, steps: &mut Vec<Step>) {
        let tag: Tag = self.transactions.len();
        let chunks = esmtp && random.bool();
        let (content, faulty) = content(random, tag, chunks, self.mood);
        let len = content.len();
        let limit = self.servers.iter().flat_map(|server| &server.announced).filter_map(|a| a.size).min();
        let ours = usize::try_from(self.config.workers.message).unwrap();
        let limit = limit.unwrap_or(usize::MAX).min(ours);
        let upstream = random.usize(..self.config.upstreams.len());
        let size = if esmtp && random.bool() { format!(" SIZE={len}") } else { String::new() };
        let begin = steps.len();
        let mail = format!("MAIL FROM:<t{tag}@client.example>{size}\r\n");
        steps.push(command(mail.into(), Kind::Mail(tag), !pipelines));
        for index in 0..[1, 1, 2, 5][random.usize(..4)] {
            let rcpt = format!("RCPT TO:<r{index}.t{tag}@{}>\r\n", domain(upstream));
            steps.push(command(rcpt.into(), Kind::Rcpt(tag, index), !pipelines));
        }
        if self.mood.clients() && chance(random, 8) {
            steps.push(command("RSET\r\n".into(), Kind::Rset, !pipelines));
        } else if chunks {
            self.chunks(random, tag, &content, pipelines, steps);
        } else {
            steps.push(command("DATA\r\n".into(), Kind::Data(tag), !pipelines));
            steps.push(Step { what: What::Content { tag }, wait: true });
        }
        // What cannot be pipelined begins a group anew; so does who wants to be sure.
        let behind_data = begin > 0 && matches!(steps[begin - 1].what, What::Content { .. });
        steps[begin].wait |= !behind_data || chance(random, 2);
        // A next hop counts our Received field too.
        let refusable = faulty || len + 1536 > limit;
        self.transactions.push(Transaction::new(content, refusable, faulty || len > ours));
    }

    fn chunks(&self, random: &mut Random, tag: Tag, content: &[u8], pipelines: bool, steps: &mut Vec<Step>) {
        let mut rest = content;
        loop {
            let max = [10, 5000, 100_000, 1_000_000][random.usize(..4)];
            let last = rest.len() <= max && random.u8(..4) > 0;
            let (chunk, behind) =
                rest.split_at(random.usize(..=max).min(rest.len()).max(if last { rest.len() } else { 0 }));
            rest = behind;
            let mut line =
                format!("BDAT {}{}\r\n", chunk.len(), if last { " LAST" } else { "" }).into_bytes();
            line.extend_from_slice(chunk);
            steps.push(command(line, Kind::Bdat(tag, last), !pipelines || random.bool()));
            if last {
                return;
            }
        }
    }
}

fn command(line: Vec<u8>, kind: Kind, wait: bool) -> Step {
    Step { what: What::Command { line, kind }, wait }
}

fn hello(index: usize, number: usize, esmtp: bool) -> Step {
    Step { what: What::Hello { helo: format!("c{index}n{number}.client.example"), esmtp }, wait: true }
}

/// Something between transactions.
fn aside(random: &mut Random, index: usize, number: usize, esmtp: bool) -> Step {
    match random.u8(..5) {
        0 => command("NOOP\r\n".into(), Kind::Noop, true),
        1 => command("VRFY somebody\r\n".into(), Kind::Vrfy, true),
        2 => command("XYZZY\r\n".into(), Kind::Junk, true),
        3 => hello(index, number + 1, esmtp),
        _ => command("RSET\r\n".into(), Kind::Rset, true),
    }
}

/// A message, and whether it has a fault.
fn content(random: &mut Random, tag: Tag, chunks: bool, mood: Mood) -> (Vec<u8>, bool) {
    let len = match random.u8(..10) {
        0 => 0,
        1..5 => random.usize(..2000),
        5..8 => random.usize(..30_000),
        8 => random.usize(..120_000),
        _ => random.usize(..400_000),
    };
    if len == 0 {
        return (Vec::new(), false);
    }
    let mut content = format!("Subject: t{tag}\r\nReceived: from a\r\n\tby b\r\n\r\n").into_bytes();
    while content.len() < len {
        write_line(random, &mut content);
    }
    if chunks && chance(random, 4) {
        content.truncate(content.len() - 2);
    }
    let faulty = mood.clients() && chance(random, 10);
    if faulty {
        let at = random.usize(..=content.len() - 4);
        let fault: [&[u8]; 5] = [b"x\n.\r\n", b"x\ry", b"x\n.\nMAIL FROM:<evil@x>\r\n", b"\0", b"x\r\r\ny"];
        content.splice(at..at, fault[random.usize(..5)].iter().copied());
        // A fault may not heal itself by what it fell between.
        content.splice(at..at, *b"y");
    }
    (content, faulty)
}

fn write_line(random: &mut Random, content: &mut Vec<u8>) {
    let len = match random.u8(..10) {
        0 => 0,
        1..8 => random.usize(1..=78),
        _ => random.usize(1..=998),
    };
    if random.u8(..6) == 0 {
        content.extend_from_slice([&b"."[..], b"..", b"...x"][random.usize(..3)]);
    }
    let letter = random.u8(b' '..=b'~');
    let len = len.min(994);
    content.resize(content.len() + len, letter);
    if let Some(last) = content.last_mut().filter(|_| len > 0) {
        *last = random.u8(b'a'..=b'z');
    }
    content.extend_from_slice(b"\r\n");
}
