//! What each table of the file may hold, its defaults, and what must fit together.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Outside;
use super::inspect::{ReadInspect, inspect, quarantine};
use super::policy::{Surroundings, policy};
use super::sender::sender;
use super::{auth, conduct, contact, login, mx, tls, unit};
use crate::base::document::{Item, Position, Section};
use crate::control::patterns::Source;
use crate::limits::LIST_FILE_BYTES_MAX;
use crate::limits::WINDOW_KEPT_BYTES_MAX;
use crate::mime::kind::Kind;
use crate::policy::inspect::Engine;
use crate::policy::judge::Policy;
use crate::policy::route::{Pattern, Route, Routes, Senders};
use crate::policy::score::Thresholds;
use crate::policy::sender::{DmarcMode, Settings};
use crate::policy::settings::{
    BareNewlinePolicy, Config, Congestion, Cpus, DownstreamTimeouts, IdentityMode, Inspect, Listener,
    PoolLimits, RecordSink, Server, Upstream, UpstreamIndex, UpstreamTimeouts, VARIANT, Workers,
};
use crate::policy::symbol;
use crate::policy::tls::UpstreamTls;
use crate::scan::Rules;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Named in the language, not built in this version.
const ABSENT: [&str; 1] = ["scanners"];

const IDENTITIES: &[(&str, IdentityMode)] = &[
    ("none", IdentityMode::None),
    ("xforward", IdentityMode::Xforward),
    ("xclient", IdentityMode::Xclient),
    ("proxy", IdentityMode::Proxy),
];

/// Connections of one worker to one upstream: kept ready, and all.
const WARM: usize = 2;
const POOL_MAX: usize = 32;
/// All domains share them.
const POOL_OF_MX_MAX: usize = 128;

/// A miss costs a connection: so at most one of as many messages does.
const DATA_AHEAD: u32 = 128;

/// Where the admin plane listens when nobody says otherwise.
const ADMIN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8025));

/// A timeout of 0 would end everything, one of weeks nothing.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);

/// Reads the whole document; the result is worth something only if no fault was noted, neither among
/// those of the document nor in `of_patterns`.
pub(super) fn config(
    mut root: Section<'_>,
    source: &str,
    outside: &dyn Outside,
    of_patterns: &mut Vec<String>,
) -> Config {
    let hostname = root.required("hostname").and_then(|item| item.parse(unit::hostname)).unwrap_or_default();
    let quarantine = quarantine(root.section("quarantine"));
    let workers = workers(root.section("workers"), quarantine.is_some());
    let mut taken = Addresses::default();
    let (mut listeners, users) = listeners(&mut root, &mut taken, outside);
    let unset = Policy::default().limit;
    let ReadInspect { inspect, limit, sources } =
        inspect(root.section("inspect"), quarantine.as_ref(), unset, outside);
    let sender = sender(root.section("sender"), inspect.enabled, outside);
    let conduct = conduct::conduct(root.section("conduct"));
    let contacts = contact::contacts(&mut root, &listeners, sender.as_ref(), outside);
    let validates = sender.as_ref().is_some_and(|sender| sender.validates);
    let mut upstreams = upstreams(&mut root, validates, outside);
    for (listener, [auth, tls]) in listeners.iter_mut().zip(users) {
        listener.auth = auth::downstream(auth, tls, &upstreams, outside);
    }
    let routes = routes(&mut root, &mut upstreams, validates, outside);
    let rules = sources.and_then(|sources| compile(&sources, inspect.cache.as_deref(), outside, of_patterns));
    // Of patterns with faults nobody knows what they find.
    let symbols = (rules.is_some() || !inspect.enabled).then(|| symbols(rules.as_ref(), sender.as_ref()));
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let around = Surroundings {
        upstreams: &upstreams,
        inspect: &inspect,
        quarantine: quarantine.as_ref(),
        greylists: contacts.greylist().is_some(),
        symbols: symbols.as_ref(),
        kinds: &kinds,
    };
    let files = |path: &str| outside.read(path, LIST_FILE_BYTES_MAX);
    let mut policy = policy(&mut root, limit, &files, around);
    policy.keeps = quarantine.is_some();
    policy.limits.machines = contacts.store.shared.as_ref().map_or(1, |shared| shared.machines);
    policy.greylists_all = contacts.greylist().is_some_and(|greylist| greylist.all);
    if let Some(sender) = &sender {
        policy.enforces_dmarc = sender.dmarc == DmarcMode::Enforce;
        policy.scores.note_patterns(sender.weights());
    }
    let engine = rules.map(|rules| engine(rules, &mut policy, sender.as_ref(), &inspect, outside));
    let admin = admin(root.section("admin"), &mut taken);
    let records = records(root.section("log"));
    ABSENT.into_iter().for_each(|key| root.absent(key));
    root.finish();
    Config {
        hostname,
        workers,
        listeners,
        upstreams,
        routes,
        policy,
        inspect,
        engine,
        sender: sender.map(Arc::new),
        conduct,
        first_contact: contacts.first_contact.map(Arc::new),
        reputation: contacts.reputation,
        store: contacts.store,
        quarantine,
        admin,
        records,
        hash: digest(source.as_bytes()),
    }
}

/// What content is looked through for: what patterns, rules and lists ask for.
fn engine(
    rules: Rules,
    policy: &mut Policy,
    sender: Option<&Settings>,
    inspect: &Inspect,
    outside: &dyn Outside,
) -> Arc<Engine> {
    policy.scores.note_patterns(rules.patterns().iter().map(|pattern| pattern.score));
    let mut reads = policy.rules.reads().clone();
    // Links are symbols too, which count where a sum or a rule asks for any.
    let counts = policy.thresholds != Thresholds::default() || reads.symbols || reads.score;
    reads.digests |= outside.tells_all();
    let lists_links = sender.is_some_and(|sender| !sender.uribl.is_empty());
    reads.urls |= counts || lists_links || outside.tells_all();
    Arc::new(Engine::new(rules, inspect, &reads))
}

/// Compiles what was read; no patterns at all make rules too.
fn compile(
    sources: &[Source],
    cache: Option<&Path>,
    outside: &dyn Outside,
    of_patterns: &mut Vec<String>,
) -> Option<Rules> {
    outside.compile(sources, cache).map_err(|mut lines| of_patterns.append(&mut lines)).ok()
}

/// All that can be found, by patterns and without.
fn symbols(rules: Option<&Rules>, sender: Option<&Settings>) -> BTreeSet<String> {
    let of_patterns = rules.into_iter().flat_map(Rules::patterns).map(|pattern| pattern.symbol.clone());
    let of_lists = sender.into_iter().flat_map(|sender| &sender.dnsbl).map(symbol::of_list);
    let of_link_lists = sender.into_iter().flat_map(|sender| &sender.uribl).map(symbol::of_link_list);
    of_patterns.chain(of_lists).chain(of_link_lists).chain(symbol::built_in()).collect()
}

/// Paths of the file are meant from where the file is, and whole from now on: messages name them.
pub(super) fn beside(file: &Path, config: &mut Config) {
    let folder = file.with_file_name("");
    let folder = std::path::absolute(folder.join(".")).unwrap_or(folder);
    let settle = |path: &mut PathBuf| *path = folder.join(&path);
    if let RecordSink::File(path) = &mut config.records {
        settle(path);
    }
    config.inspect.patterns.iter_mut().chain(&mut config.inspect.cache).for_each(settle);
    config.store.path.iter_mut().for_each(settle);
    config.quarantine.iter_mut().for_each(|quarantine| settle(&mut quarantine.path));
}

/// `keeps` says whether there is a quarantine.
fn workers(section: Option<Section<'_>>, keeps: bool) -> Workers {
    let mut workers = Workers {
        cpus: Cpus::Auto,
        connections: 20_000,
        window: 128 << 10,
        window_budget: 256 << 20,
        message: 50 * MIB,
        line: MIB,
        recipients: 1000,
        transactions: 10_000,
        received: 50,
        min_rate: 500,
        timeout: downstream_timeouts(None),
    };
    let Some(mut section) = section else { return workers };
    set(&mut workers.cpus, section.item("cpus").and_then(cpus));
    set(&mut workers.connections, section.item("connections").and_then(|item| item.count(1..=1_000_000)));
    set(&mut workers.window, section.item("window").and_then(|item| item.size(0..=64 * MIB)));
    set(&mut workers.window_budget, section.item("window_budget").and_then(|item| item.size(0..=1024 * GIB)));
    set(&mut workers.message, section.item("message").and_then(|item| item.size(KIB..=1024 * GIB)));
    // RFC 5321 §4.5.3.1.6: a line of 1000 bytes must be taken.
    set(&mut workers.line, section.item("line").and_then(|item| item.size(1000..=1024 * GIB)));
    // RFC 5321 §4.5.3.1.8: so must 100 recipients.
    set(&mut workers.recipients, section.item("recipients").and_then(|item| item.count(100..=100_000)));
    set(
        &mut workers.transactions,
        section.item("transactions").and_then(|item| item.count(1..=u32::MAX.into())),
    );
    set(&mut workers.received, section.item("received").and_then(|item| item.count(10..=1000)));
    set(&mut workers.min_rate, section.item("min_rate").and_then(Item::rate));
    workers.timeout = downstream_timeouts(section.section("timeout"));
    if workers.window_budget < workers.window {
        section.fault_at("window_budget", "window_budget is less than one window");
    }
    if keeps && workers.window > WINDOW_KEPT_BYTES_MAX {
        section.fault_at("window", "more than 15MiB: what is held whole could not be put into quarantine");
    }
    section.finish();
    workers
}

fn downstream_timeouts(section: Option<Section<'_>>) -> DownstreamTimeouts {
    let mut timeouts = DownstreamTimeouts {
        command: Duration::from_secs(300),
        content: Duration::from_secs(180),
        drain: Duration::from_secs(30),
    };
    let Some(mut section) = section else { return timeouts };
    set(&mut timeouts.command, section.item("command").and_then(|item| item.duration(TIMEOUT)));
    set(&mut timeouts.content, section.item("content").and_then(|item| item.duration(TIMEOUT)));
    set(&mut timeouts.drain, section.item("drain").and_then(|item| item.duration(TIMEOUT)));
    section.finish();
    timeouts
}

/// `"auto"`, `"cores"` or a list of core numbers.
fn cpus(item: Item<'_>) -> Option<Cpus> {
    if item.as_text().is_some() {
        let by_core = item.choice(&[("auto", false), ("cores", true)])?;
        return Some(if by_core { Cpus::Cores } else { Cpus::Auto });
    }
    let mut cores: Vec<usize> = Vec::new();
    for element in item.some_elements("core") {
        match element.count::<usize>(0..=4095) {
            Some(core) if cores.contains(&core) => element.fault(format!("core {core} is named twice")),
            Some(core) => cores.push(core),
            None => {}
        }
    }
    Some(Cpus::List(cores))
}

/// `auth` and `tls` of a listener as they stand there: an upstream may be meant in them.
type OfUsers<'a> = [Option<Item<'a>>; 2];

fn listeners<'a>(
    root: &mut Section<'a>,
    taken: &mut Addresses,
    outside: &dyn Outside,
) -> (Vec<Listener>, Vec<OfUsers<'a>>) {
    let sections = root.sections("listener", "");
    let mut names = Names::default();
    sections.into_iter().map(|section| listener(section, &mut names, taken, outside)).unzip()
}

fn listener<'a>(
    mut section: Section<'a>,
    names: &mut Names,
    taken: &mut Addresses,
    outside: &dyn Outside,
) -> (Listener, OfUsers<'a>) {
    let name = names.read(&mut section, "listener");
    let addresses = section.required("address").map(|item| taken.listen(item)).unwrap_or_default();
    let of_users = [section.item("auth"), section.item("tls")];
    let tls = tls::downstream(of_users[1], outside);
    let mut networks = |key| section.item(key).map(|item| item.list(unit::network)).unwrap_or_default();
    let (proxy_protocol, xclient) = (networks("proxy_protocol"), networks("xclient"));
    let mt_priority = section.item("mt_priority").map(|item| item.list(unit::network));
    let bare_newline =
        section.item("bare_newline").and_then(bare_newline).unwrap_or(BareNewlinePolicy::Reject);
    let outbound = section.item("outbound").and_then(Item::flag).unwrap_or(false);
    section.finish();
    let listener = Listener {
        name,
        addresses,
        proxy_protocol,
        xclient,
        bare_newline,
        tls,
        auth: None,
        mt_priority,
        outbound,
    };
    (listener, of_users)
}

/// `"reject"` or `{ replace = [networks] }`.
fn bare_newline(item: Item<'_>) -> Option<BareNewlinePolicy> {
    if !item.is_table() {
        return item.choice(&[("reject", ())]).map(|()| BareNewlinePolicy::Reject);
    }
    let mut section = item.section("bare_newline")?;
    let networks = section.required("replace").map(|item| item.list(unit::network));
    section.finish();
    networks.map(BareNewlinePolicy::Replace)
}

fn upstreams(root: &mut Section<'_>, validates: bool, outside: &dyn Outside) -> Vec<Upstream> {
    let sections = root.sections("upstream", "");
    let mut names = Names::default();
    let mut upstreams: Vec<_> =
        sections.into_iter().map(|section| upstream(section, &mut names, validates, outside)).collect();
    let routes = root.optional_sections("route");
    let asks_for_mx = routes.into_iter().filter_map(|mut section| section.item("upstream"));
    let asks_for_mx = asks_for_mx.into_iter().find(|item| item.as_text() == Some(mx::MX));
    if let Some(item) = asks_for_mx.filter(|_| upstreams.iter().all(|upstream| upstream.name != mx::MX)) {
        upstreams.push(the_internet(item, outside));
    }
    upstreams
}

/// What `upstream = "mx"` of a route means where no upstream has that name.
fn the_internet(item: Item<'_>, outside: &dyn Outside) -> Upstream {
    let tls = tls::offered();
    let pool = pool(None, Kept::Never(NOBODY_KNOWS), POOL_OF_MX_MAX);
    Upstream {
        name: mx::MX.to_owned(),
        servers: Vec::new(),
        mx: mx::settings(item, None, &tls, &pool, IdentityMode::None, outside),
        pool,
        congestion: Congestion::default(),
        identity: IdentityMode::None,
        tls,
        auth: None,
        timeout: upstream_timeouts(None),
        chunking: true,
        data_ahead: 0,
    }
}

fn upstream(mut section: Section<'_>, names: &mut Names, validates: bool, outside: &dyn Outside) -> Upstream {
    let name = names.read(&mut section, "upstream");
    let item = section.required("servers");
    let by_mx = item.filter(|item| item.as_text() == Some(mx::MX));
    let servers = item.filter(|_| by_mx.is_none()).map(servers).unwrap_or_default();
    let secured = section.item("tls");
    let tls = match secured {
        None if by_mx.is_some() => tls::offered(),
        item => tls::upstream(item, outside),
    };
    check_dane(&section, &tls, by_mx.is_some(), validates);
    let auth = section.item("auth").filter(|item| is_known_there(*item, by_mx.is_some()));
    let auth = login::upstream(auth, secured, outside);
    let identity =
        section.item("identity").and_then(|item| item.choice(IDENTITIES)).unwrap_or(IdentityMode::None);
    let is_looked_up = by_mx.is_some() || matches!(tls, UpstreamTls::Dane(_));
    let kept = match identity.is_dedicated() {
        true => Kept::Never("with this identity each connection belongs to one client: warm must be 0"),
        false if is_looked_up => Kept::Never(NOBODY_KNOWS),
        false => Kept::Warm,
    };
    let max = if by_mx.is_some() { POOL_OF_MX_MAX } else { POOL_MAX };
    let pool = pool(section.section("pool"), kept, max);
    let congestion = congestion(section.section("congestion"), &pool);
    let of_mx = section.section("mx");
    let mx = match (by_mx, of_mx) {
        (Some(item), of_mx) => mx::settings(item, of_mx, &tls, &pool, identity, outside),
        (None, Some(of_mx)) => {
            of_mx.fault("it belongs to servers = \"mx\"");
            None
        }
        (None, None) => None,
    };
    let timeout = upstream_timeouts(section.section("timeout"));
    let chunking = section.item("chunking").and_then(Item::flag).unwrap_or(true);
    let data_ahead =
        section.item("data_ahead").map_or(Some(DATA_AHEAD), |item| item.count(0..=u32::MAX.into()));
    section.finish();
    // Of strangers' servers nobody knows what comes next.
    let data_ahead = if is_looked_up { 0 } else { data_ahead.unwrap_or(DATA_AHEAD) };
    Upstream { name, servers, mx, pool, congestion, identity, tls, auth, timeout, chunking, data_ahead }
}

/// Whoever has a domain says which servers take its mail: nobody has a name there.
fn is_known_there(auth: Item<'_>, by_mx: bool) -> bool {
    if by_mx {
        auth.fault("servers that are found by MX are strangers, who hear no password: name the servers");
    }
    !by_mx
}

const NOT_VALIDATED: &str = "dane needs answers that were validated: [sender] validates = true";

/// TLSA records stand under a name, and prove something only where the DNS is validated.
fn check_dane(section: &Section<'_>, tls: &UpstreamTls, by_mx: bool, validates: bool) {
    let UpstreamTls::Dane(toward) = tls else { return };
    if !validates {
        section.fault_at("tls", NOT_VALIDATED);
    }
    if toward.name.is_none() && !by_mx {
        section.fault_at(
            "tls",
            "under which name are the TLSA records? tls = { mode = \"dane\", name = \"mx.example.net\" }",
        );
    }
}

/// A list of addresses, each alone or with a weight.
fn servers(item: Item<'_>) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for element in item.some_elements("server") {
        match server(element) {
            Some(server) if servers.iter().any(|other| other.address == server.address) => {
                element.fault(format!("server {} is named twice; give it a weight instead", server.address));
            }
            Some(server) => servers.push(server),
            None => {}
        }
    }
    servers
}

fn server(item: Item<'_>) -> Option<Server> {
    if !item.is_table() {
        return item.parse(unit::socket_address).map(|address| Server { address, weight: 1, rank: 0 });
    }
    let mut section = item.section("servers")?;
    let address = section.required("address").and_then(|item| item.parse(unit::socket_address));
    let weight = section.item("weight").map_or(Some(1), |item| item.count(1..=1000));
    section.finish();
    Some(Server { address: address?, weight: weight?, rank: 0 })
}

/// How long a transaction waits for a connection. RFC 5321 §4.5.3.2.3: a client gives the reply to RCPT five minutes. Within
/// them a connection may have to be had and the envelope answered (`timeout.reply`: 30 s) twice, if the first one is
/// lost: 2 * (100 s + 30 s), and some time for the network. Whoever sets more has next hops that answer sooner.
const WAIT: Duration = Duration::from_secs(100);
const WAIT_MAX: Duration = Duration::from_secs(240);

/// Whether connections are kept ready though nobody asks.
#[derive(Clone, Copy)]
enum Kept {
    Warm,
    /// Why not.
    Never(&'static str),
}

const NOBODY_KNOWS: &str = "servers are looked up when there is mail: warm must be 0";

fn pool(section: Option<Section<'_>>, kept: Kept, max: usize) -> PoolLimits {
    let warm = if matches!(kept, Kept::Warm) { WARM } else { 0 };
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let mut pool = PoolLimits { warm, max, messages: 500, age: minutes(15), idle: minutes(1), wait: WAIT };
    let Some(mut section) = section else { return pool };
    set(&mut pool.max, section.item("max").and_then(|item| item.count(1..=100_000)));
    pool.warm =
        section.item("warm").and_then(|item| item.count(0..=100_000)).unwrap_or_else(|| warm.min(pool.max));
    set(&mut pool.messages, section.item("messages").and_then(|item| item.count(1..=u32::MAX.into())));
    set(&mut pool.age, section.item("age").and_then(|item| item.duration(TIMEOUT)));
    set(&mut pool.idle, section.item("idle").and_then(|item| item.duration(TIMEOUT)));
    set(&mut pool.wait, section.item("wait").and_then(|item| item.duration(Duration::ZERO..=WAIT_MAX)));
    if pool.warm > pool.max {
        section.fault_at("warm", format!("warm = {} is more than max = {}", pool.warm, pool.max));
    }
    if let (1.., Kept::Never(why)) = (pool.warm, kept) {
        section.fault_at("warm", why);
    }
    section.finish();
    pool
}

fn congestion(section: Option<Section<'_>>, pool: &PoolLimits) -> Congestion {
    let mut congestion = Congestion::default();
    congestion.min = congestion.min.min(pool.max);
    let Some(mut section) = section else { return congestion };
    set(&mut congestion.adapts, section.item("adaptive").and_then(Item::flag));
    set(&mut congestion.min, section.item("min").and_then(|item| item.count(1..=100_000)));
    set(&mut congestion.ejects, section.item("eject").and_then(Item::flag));
    if congestion.min > pool.max {
        section.fault_at("min", format!("min = {} is more than pool.max = {}", congestion.min, pool.max));
    }
    section.finish();
    congestion
}

fn upstream_timeouts(section: Option<Section<'_>>) -> UpstreamTimeouts {
    let mut timeouts = UpstreamTimeouts {
        connect: Duration::from_secs(5),
        reply: Duration::from_secs(30),
        end: Duration::from_secs(300),
    };
    let Some(mut section) = section else { return timeouts };
    set(&mut timeouts.connect, section.item("connect").and_then(|item| item.duration(TIMEOUT)));
    set(&mut timeouts.reply, section.item("reply").and_then(|item| item.duration(TIMEOUT)));
    set(&mut timeouts.end, section.item("end").and_then(|item| item.duration(TIMEOUT)));
    section.finish();
    timeouts
}

fn routes(
    root: &mut Section<'_>,
    upstreams: &mut Vec<Upstream>,
    validates: bool,
    outside: &dyn Outside,
) -> Routes {
    let sections = root.sections("route", ": without it every recipient is refused");
    let mut seen = HashMap::new();
    let mut routes = Vec::new();
    for mut section in sections {
        let senders = senders(&mut section);
        let items = section.required("recipient").map(Item::elements).unwrap_or_default();
        let patterns: Vec<_> =
            items.into_iter().filter_map(|item| recipient(item, &senders, &mut seen)).collect();
        let upstream = section.required("upstream").and_then(|item| known_upstream(item, upstreams));
        if let Some(UpstreamIndex(index)) = upstream {
            check_openness(&section, &patterns, &senders, &upstreams[index]);
        }
        let upstream = match (upstream, section.item("tls")) {
            (Some(upstream), Some(item)) => Some(with_tls(item, upstream, upstreams, validates, outside)),
            (upstream, _) => upstream,
        };
        section.finish();
        let by_domain = upstream.is_some_and(|UpstreamIndex(index)| upstreams[index].mx.is_some());
        let route =
            |(recipient, upstream)| Route { recipient, senders: senders.clone(), upstream, by_domain };
        routes.extend(patterns.into_iter().zip(upstream.into_iter().cycle()).map(route));
    }
    Routes::new(routes)
}

/// Whose mail it takes: everybody's, if nothing else is said.
fn senders(section: &mut Section<'_>) -> Senders {
    let (clients, users) = (section.item("clients"), section.item("authenticated"));
    if clients.is_none() && users.is_none() {
        return Senders::All;
    }
    let networks = clients.map(|item| item.list(unit::network)).unwrap_or_default();
    let users = users.and_then(Item::flag).unwrap_or(false);
    if networks.is_empty() && !users {
        section.fault("it takes nobody's mail: name networks in `clients`, or set authenticated = true");
    }
    Senders::Some { networks, users }
}

/// Nobody relays to the Internet for whoever asks.
fn check_openness(section: &Section<'_>, patterns: &[Pattern], senders: &Senders, upstream: &Upstream) {
    if upstream.mx.is_some() && senders.are_all() && patterns.contains(&Pattern::Any) {
        section.fault_at(
            "recipient",
            "anybody could send to anybody: say whose mail goes out, clients = [\"10.0.0.0/8\"] or \
             authenticated = true",
        );
    }
}

/// The same upstream, to be spoken with as `item` says: TLS by the domain of the recipient.
fn with_tls(
    item: Item<'_>,
    UpstreamIndex(index): UpstreamIndex,
    upstreams: &mut Vec<Upstream>,
    validates: bool,
    outside: &dyn Outside,
) -> UpstreamIndex {
    let tls = tls::upstream(Some(item), outside);
    let mut upstream = upstreams[index].clone();
    if upstream.mx.is_some() && tls == UpstreamTls::Off {
        item.fault("mail to the Internet goes under TLS where it can: tls is offer, require, verify or dane");
    }
    if matches!(tls, UpstreamTls::Dane(_)) && upstream.mx.is_none() {
        item.fault("dane is for upstreams with servers = \"mx\", or an upstream's own `tls`");
    } else if matches!(tls, UpstreamTls::Dane(_)) && !validates {
        item.fault(NOT_VALIDATED);
    }
    login::check_again(item, upstream.auth.as_ref(), &tls);
    if let (UpstreamTls::Verify(toward), Some(mx)) = (&tls, &mut upstream.mx) {
        mx.named = toward.policy.clone();
    }
    upstream.name = format!("{}{VARIANT}{}", upstream.name, upstreams.len());
    upstream.tls = tls;
    upstreams.push(upstream);
    UpstreamIndex(upstreams.len() - 1)
}

/// A pattern that can still match after those before it.
fn recipient(item: Item<'_>, senders: &Senders, seen: &mut HashMap<Pattern, Position>) -> Option<Pattern> {
    let pattern = item.parse(unit::recipient)?;
    let folded = folded(&pattern);
    if let Some(place) = seen.get(&folded).or_else(|| seen.get(&Pattern::Any)) {
        item.fault(format!(
            "`{}` is never reached: {place} takes it first",
            item.as_text().unwrap_or_default()
        ));
        return None;
    }
    if *senders == Senders::All {
        seen.insert(folded, item.position());
    }
    Some(pattern)
}

/// Equal for patterns that match the same recipients.
fn folded(pattern: &Pattern) -> Pattern {
    match pattern {
        Pattern::Any => Pattern::Any,
        Pattern::Domain(domain) => Pattern::Domain(domain.to_ascii_lowercase()),
        Pattern::Below(domain) => Pattern::Below(domain.to_ascii_lowercase()),
        Pattern::Address(local, domain) => Pattern::Address(local.clone(), domain.to_ascii_lowercase()),
    }
}

pub(super) fn known_upstream(item: Item<'_>, upstreams: &[Upstream]) -> Option<UpstreamIndex> {
    let choices: Vec<_> = upstreams
        .iter()
        .enumerate()
        .filter(|(_, upstream)| !upstream.name.contains(VARIANT))
        .map(|(n, upstream)| (upstream.name.as_str(), UpstreamIndex(n)))
        .collect();
    item.choice(&choices)
}

/// On by default, for `postern ctl` finds it there; `"off"` for nowhere.
fn admin(section: Option<Section<'_>>, taken: &mut Addresses) -> Option<SocketAddr> {
    let item = section.and_then(|mut section| {
        let item = section.item("address");
        section.finish();
        item
    });
    let Some(item) = item else { return Some(ADMIN).filter(|address| !taken.0.contains(address)) };
    if item.as_text() == Some("off") {
        return None;
    }
    let address = item.parse(unit::socket_address)?;
    if !address.ip().is_loopback() {
        item.fault(
            "an address that is not loopback needs a token file, which is not available in this version",
        );
    }
    taken.add(item, address)
}

fn records(section: Option<Section<'_>>) -> RecordSink {
    let Some(mut section) = section else { return RecordSink::Stdout };
    let text = section.item("records").and_then(Item::text);
    section.finish();
    match text {
        None | Some("stdout") => RecordSink::Stdout,
        Some("off") => RecordSink::Off,
        Some(path) => RecordSink::File(path.into()),
    }
}

/// Addresses that this process listens on.
#[derive(Debug, Default)]
struct Addresses(Vec<SocketAddr>);

impl Addresses {
    fn listen(&mut self, list: Item<'_>) -> Vec<SocketAddr> {
        list.some_elements("address")
            .into_iter()
            .filter_map(|item| self.add(item, item.parse(unit::socket_address)?))
            .collect()
    }

    fn add(&mut self, item: Item<'_>, address: SocketAddr) -> Option<SocketAddr> {
        if self.0.contains(&address) {
            item.fault(format!("{address} is listened on already"));
            return None;
        }
        self.0.push(address);
        Some(address)
    }
}

/// Names of one kind of thing. They become labels of metrics, so they are kept plain.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    pub(super) fn read(&mut self, section: &mut Section<'_>, kind: &str) -> String {
        let Some(item) = section.required("name") else { return String::new() };
        let name = item.parse(plain_name).unwrap_or_default();
        if !name.is_empty() && self.0.contains(&name) {
            item.fault(format!("another {kind} is called `{name}` already"));
        }
        self.0.push(name.clone());
        name
    }
}

fn plain_name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not a name: letters, digits, `-`, `_` and `.`, at most 64", text.escape_debug()))
    }
}

pub(super) fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// FNV-1a, 64 bits, in hex: tells snapshots apart in records, proves nothing.
pub(super) fn digest(bytes: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn digest_is_fnv_1a() {
        assert_eq!(digest(b""), "cbf29ce484222325");
        assert_eq!(digest(b"a"), "af63dc4c8601ec8c");
        assert_eq!(digest(b"foobar"), "85944171f73967e8");
    }
}
