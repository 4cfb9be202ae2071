//! The admin plane: metrics, health and orders over HTTP, on the service thread.
//!
//! Loopback only in this version. A browser on the same machine could still be made to post here
//! by any web page; so a POST that names an origin is refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Given;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::balance::Balance;
use super::boot::Notice;
use super::metrics::{self, Names, Single};
use super::quarantine_pages;
use crate::limits::QUARANTINE_ENTRIES_MAX;
use crate::policy::ledger::Table;
use crate::policy::settings::{self, Config, Quarantine};
use crate::service::bank;
use crate::service::event_log;
use crate::service::notice::say;
use crate::service::quarantine::Counts;
use crate::service::quarantine::order::Desk;
use crate::service::store;
use crate::worker::control::Order;
use crate::worker::counters::{Counters, Kind, METRICS, Metric, UPSTREAM_METRICS};

/// Where the process stands, for whoever asks whether it is ready.
#[derive(Debug, Default)]
pub struct Phase(AtomicU8);

impl Phase {
    pub const STARTING: u8 = 0;
    pub const SERVING: u8 = 1;
    pub const DRAINING: u8 = 2;

    pub fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    pub fn name(&self) -> &'static str {
        match self.0.load(Ordering::Relaxed) {
            Self::STARTING => "starting",
            Self::SERVING => "serving",
            _ => "draining",
        }
    }
}

/// What the handlers look at.
#[derive(Clone, Debug)]
pub struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Arc<Config>,
    counters: Vec<Arc<Counters>>,
    log: Arc<event_log::Shared>,
    notices: Sender<Notice>,
    phase: Arc<Phase>,
    quarantine: Option<Desk>,
    store: Option<Arc<store::Stats>>,
    bank: Arc<bank::Stats>,
    begun: Instant,
}

impl State {
    pub fn new(
        config: Arc<Config>,
        counters: Vec<Arc<Counters>>,
        log: Arc<event_log::Shared>,
        notices: Sender<Notice>,
        phase: Arc<Phase>,
        quarantine: Option<Desk>,
        store: Option<Arc<store::Stats>>,
        bank: Arc<bank::Stats>,
    ) -> Self {
        let begun = Instant::now();
        Self(Arc::new(Inner { config, counters, log, notices, phase, quarantine, store, bank, begun }))
    }
}

/// The bound listener.
#[derive(Debug)]
pub struct Admin(TcpListener);

impl Admin {
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, String> {
        let listener = TcpListener::bind(address).await;
        listener.map(Self).map_err(|error| format!("admin.address {address}: {error}"))
    }

    /// Serves to the end of the process.
    pub async fn serve(self, state: State) {
        if let Err(error) = axum::serve(self.0, router(state)).await {
            say(format_args!("the admin plane ended: {error}"));
        }
    }
}

fn router(state: State) -> Router {
    let quarantine = quarantine_pages::router(state.0.quarantine.clone());
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/api/status", get(async |Given(state): Given<State>| Json(status(&state.0))))
        .route("/api/drain", post(async |state, headers: HeaderMap| order(state, &headers, Order::Drain)))
        .route("/api/reload", post(reload))
        .route("/api/stop", post(async |state, headers: HeaderMap| order(state, &headers, Order::Stop)))
        .with_state(state)
        .merge(quarantine)
}

async fn metrics_text(Given(state): Given<State>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text(&state.0))
}

async fn ready(Given(state): Given<State>) -> (StatusCode, String) {
    let phase = state.0.phase.name();
    let code = if phase == "serving" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{phase}\n"))
}

/// The runtime has written an answer long before this is over: both are on its one thread.
const ANSWERED_WITHIN: Duration = Duration::from_millis(50);

type Answer = (StatusCode, Json<Value>);

/// What is ordered may end the process: whoever ordered it hears that it was heard first.
fn order(Given(state): Given<State>, headers: &HeaderMap, order: Order) -> Answer {
    if headers.contains_key(header::ORIGIN) {
        return from_a_web_page();
    }
    let ordered = format!("{order:?}").to_ascii_lowercase();
    let notices = state.0.notices.clone();
    tokio::spawn(async move {
        sleep(ANSWERED_WITHIN).await;
        // Without a main thread the process is ending anyway.
        let _ = notices.send(Notice::Ordered(order));
    });
    (StatusCode::ACCEPTED, Json(json!({ "ordered": ordered })))
}

/// Certificates, read again; 409 with every fault where they cannot be used.
async fn reload(Given(state): Given<State>, headers: HeaderMap) -> Answer {
    if headers.contains_key(header::ORIGIN) {
        return from_a_web_page();
    }
    let (answer, reloaded) = oneshot::channel();
    if state.0.notices.send(Notice::Reload(Some(answer))).is_err() {
        return is_ending();
    }
    match reloaded.await {
        Ok(Ok(listeners)) => (StatusCode::OK, Json(json!({ "listeners_with_certificates": listeners }))),
        Ok(Err(rejected)) => (StatusCode::CONFLICT, Json(json!({ "errors": rejected.0 }))),
        Err(_) => is_ending(),
    }
}

fn from_a_web_page() -> Answer {
    (StatusCode::FORBIDDEN, Json(json!({ "error": "orders do not come from web pages" })))
}

fn is_ending() -> Answer {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "the process is ending" })))
}

fn text(state: &Inner) -> String {
    let info = [("version", env!("CARGO_PKG_VERSION")), ("config", state.config.hash.as_str())];
    let mut singles = vec![
        Single { labels: &info, ..Single::gauge("info", "Version and configuration.", 1) },
        Single::gauge("uptime_seconds", "Seconds since the start.", state.begun.elapsed().as_secs()),
        Single::gauge("resident_memory_bytes", "Resident memory of the process.", resident_bytes()),
        Single::counter("records_lost_total", "Records that could not be written.", state.log.lost()),
    ];
    singles.extend(Balance::of(&state.counters).singles());
    singles.extend(state.quarantine.iter().flat_map(|desk| quarantine(desk.stats().counts())));
    singles.extend(state.store.iter().flat_map(|stats| remembered(stats)));
    let limits: Vec<_> = state.config.policy.limits.names().collect();
    if !limits.is_empty() {
        singles.extend(counted(&state.bank, limits.len()));
    }
    let lanes: Vec<_> = state.config.policy.lanes.names().collect();
    let names = Names { lanes: &lanes, limits: &limits, upstreams: &upstreams(&state.config) };
    metrics::render(&singles, &state.counters, names)
}

fn quarantine(counts: Counts) -> [Single<'static>; 7] {
    [
        Single::gauge("quarantine_entries", "Messages in the quarantine.", counts.entries),
        Single::gauge("quarantine_bytes", "Bytes of disk that they take.", counts.bytes),
        Single::counter("quarantine_stored_total", "Messages stored.", counts.stored),
        Single::counter("quarantine_failed_total", "Messages that could not be stored.", counts.failed),
        Single::counter("quarantine_expired_total", "Messages deleted because of their age.", counts.expired),
        Single::counter("quarantine_released_total", "Messages sent on by order.", counts.released),
        Single::counter("quarantine_deleted_total", "Messages deleted by order.", counts.deleted),
    ]
}

fn counted(stats: &bank::Stats, limits: usize) -> Vec<Single<'static>> {
    let sum = |read: fn(&bank::Stats, usize) -> u64| (0..limits).map(|limit| read(stats, limit)).sum();
    let mut all = vec![
        Single::gauge("limit_keys", "Keys that limits remember.", sum(bank::Stats::keys)),
        Single::counter(
            "limit_keys_forgotten_total",
            "Keys that had to go for others.",
            sum(bank::Stats::forgotten),
        ),
    ];
    if let Some(store) = stats.store() {
        all.extend([
            Single::counter(
                "limit_store_claims_total",
                "What the shared store was asked for limits.",
                store.claims(),
            ),
            Single::counter(
                "limit_store_unanswered_total",
                "Of that, what it did not answer.",
                store.unanswered(),
            ),
            Single::counter(
                "limit_store_alone_total",
                "Leases given without the store: it was silent.",
                store.alone(),
            ),
        ]);
    }
    all
}

fn remembered(stats: &store::Stats) -> Vec<Single<'static>> {
    let mut all = vec![
        Single::gauge(
            "store_failing",
            "1: the disk, or the store that is shared, does not take what is learnt.",
            stats.is_failing().into(),
        ),
        Single::counter(
            "store_written_total",
            "Changes that are safe on disk, or in the shared store.",
            stats.written(),
        ),
        Single::counter("store_lost_total", "Changes that were not written there.", stats.lost()),
    ];
    if stats.is_shared() {
        let help = "Questions that the shared store did not answer.";
        all.push(Single::counter("store_unanswered_total", help, stats.unanswered()));
        return all;
    }
    let entries = Table::ALL.into_iter().map(|table| stats.entries(table)).sum();
    all.push(Single::gauge("store_entries", "Entries that are remembered.", entries));
    all.push(Single::counter(
        "store_evicted_total",
        "Entries forgotten before their time: no room.",
        stats.evicted(),
    ));
    all
}

fn upstream_names(config: &Config) -> Vec<&str> {
    config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect()
}

/// The same with their servers.
fn upstreams(config: &Config) -> Vec<metrics::OfUpstream<'_>> {
    let server = |server: &settings::Server| server.address.to_string();
    let names = |upstream: &'_ settings::Upstream| upstream.servers.iter().map(server).collect();
    let upstreams = config.upstreams.iter();
    upstreams
        .map(|upstream| metrics::OfUpstream { upstream: &upstream.name, servers: names(upstream) })
        .collect()
}

/// From /proc/self/statm; 0 where that cannot be read.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

fn status(state: &Inner) -> Value {
    let names = upstream_names(&state.config);
    let worker = |(index, counters): (usize, &Arc<Counters>)| worker_status(index, counters, &names);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": state.phase.name(),
        "hostname": state.config.hostname,
        "config": state.config.hash,
        "uptime_seconds": state.begun.elapsed().as_secs(),
        "resident_memory_bytes": resident_bytes(),
        "records_lost": state.log.lost(),
        "quarantine": quarantine_status(state),
        "imbalance": Balance::of(&state.counters).status(),
        "workers": state.counters.iter().enumerate().map(worker).collect::<Vec<_>>(),
    })
}

/// `null` where nothing is kept.
fn quarantine_status(state: &Inner) -> Value {
    let (Some(settings), Some(desk)) = (&state.config.quarantine, &state.quarantine) else {
        return Value::Null;
    };
    let counts = desk.stats().counts();
    json!({
        "state": room(counts, settings, state.config.workers.message),
        "path": settings.path.display().to_string(),
        "entries": counts.entries,
        "bytes": counts.bytes,
        "bytes_max": settings.bytes_max,
        "age_max_seconds": settings.age_max.as_secs(),
        "stored": counts.stored,
        "failed": counts.failed,
        "expired": counts.expired,
        "released": counts.released,
        "deleted": counts.deleted,
    })
}

/// What still fits: any message, not the largest ones, or none.
const fn room(counts: Counts, settings: &Quarantine, message_max: u64) -> &'static str {
    let left = settings.bytes_max.saturating_sub(counts.bytes);
    if left == 0 || counts.entries >= QUARANTINE_ENTRIES_MAX as u64 {
        "full"
    } else if left < message_max {
        "tight"
    } else {
        "open"
    }
}

fn worker_status(index: usize, counters: &Counters, names: &[&str]) -> Value {
    let mut status = numbers(&METRICS, counters);
    let upstream = |(name, counters): (&&str, _)| {
        let mut numbers = numbers(&UPSTREAM_METRICS, counters);
        numbers["name"] = json!(name);
        numbers
    };
    status["worker"] = json!(index);
    status["upstreams"] = names.iter().zip(&counters.upstreams).map(upstream).collect();
    status
}

/// One member for each series; those with a label are `{"family": {"label value": n}}`.
fn numbers<T>(metrics: &[Metric<T>], counters: &T) -> Value {
    let mut numbers = json!({});
    for metric in metrics {
        let name = metric.name.trim_end_matches("_total").trim_start_matches("upstream_");
        let value = json!((metric.read)(counters).value());
        match metric.label {
            // The gauge `sessions` and the counter `sessions_total` are two things.
            None if metric.kind == Kind::Gauge => numbers[format!("{name}_now")] = value,
            None => numbers[name] = value,
            Some((_, label)) => numbers[name][label] = value,
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config::read;
    use crate::policy::settings::Spool;
    use std::sync::mpsc;

    fn state() -> (State, mpsc::Receiver<Notice>) {
        let config = read("demo.toml", include_str!("../../appliance/demo.toml")).unwrap();
        let (notices, inbox) = mpsc::channel();
        let counters = vec![Arc::new(Counters::of(&config))];
        counters[0].sessions.add(7);
        counters[0].sessions_now.add(2);
        counters[0].upstreams[0].connections_idle.set(3);
        let log = Arc::new(event_log::Shared::default());
        let phase = Arc::new(Phase::default());
        (State::new(Arc::new(config), counters, log, notices, phase, None, None, Arc::default()), inbox)
    }

    /// Whatever is configured, each family is told of once.
    #[test]
    fn no_family_of_metrics_comes_twice() {
        let limit = "[[limit]]\nname = \"a\"\nkey = \"client.ip\"\ncount = \"messages\"\nrate = \"5/min\"\n";
        let demo = include_str!("../../appliance/demo.toml");
        let config = read("demo.toml", &format!("{demo}\n{limit}")).unwrap();
        let State(inner) = state().0;
        let counters = vec![Arc::new(Counters::of(&config))];
        let bank = bank::Bank::stats(&config.policy.limits, true);
        let (notices, _inbox) = mpsc::channel();
        let (log, phase) = (Arc::clone(&inner.log), Arc::new(Phase::default()));
        let store = Some(Arc::default());
        let state = State::new(Arc::new(config), counters, log, notices, phase, None, store, bank);
        let text = text(&state.0);
        let mut families: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let all = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), all, "{text}");
        assert!(text.contains("postern_limit_store_alone_total 0\n") && all > 50);
    }

    #[test]
    fn status_shows_pools_of_each_worker() {
        let status = status(&state().0.0);
        let worker = &status["workers"][0];
        assert_eq!((&worker["sessions"], &worker["sessions_now"]), (&json!(7), &json!(2)));
        assert_eq!(worker["transactions"]["delivered"], json!(0));
        assert_eq!(worker["upstreams"][0]["name"], json!("sink"));
        assert_eq!(worker["upstreams"][0]["connections_idle_now"], json!(3));
        assert_eq!(status["state"], json!("starting"));
        assert_eq!(status["imbalance"], json!({ "busy": 1.0, "sessions": 1.0, "transactions": 1.0 }));
        assert_eq!(
            (&worker["turn_lag_microseconds_now"], &worker["busy_permille_now"]),
            (&json!(0), &json!(0))
        );
    }

    #[test]
    fn status_shows_no_quarantine_where_none_is() {
        assert_eq!(status(&state().0.0)["quarantine"], Value::Null);
    }

    #[test]
    fn the_room_of_the_quarantine_is_told() {
        let age_max = Duration::from_secs(60);
        let settings = Quarantine { path: "q".into(), spool: Spool::Suspect, bytes_max: 100, age_max };
        for (entries, bytes, want) in [
            (0, 0, "open"),
            (3, 60, "open"),
            (3, 61, "tight"),
            (3, 99, "tight"),
            (3, 100, "full"),
            (3, 200, "full"),
            (QUARANTINE_ENTRIES_MAX as u64, 0, "full"),
        ] {
            let counts = Counts { entries, bytes, ..Counts::default() };
            assert_eq!(room(counts, &settings, 40), want, "{entries} {bytes}");
        }
    }

    #[test]
    fn metrics_tell_version_and_memory() {
        let text = text(&state().0.0);
        assert!(
            text.contains(concat!("postern_info{version=\"", env!("CARGO_PKG_VERSION"), "\",config=\"")),
            "{text}"
        );
        assert!(text.contains("postern_upstream_connections_idle{upstream=\"sink\"} 3\n"), "{text}");
        assert!(resident_bytes() > 1 << 20);
    }

    #[test]
    fn an_order_from_a_web_page_is_refused() {
        let (state, inbox) = state();
        let mut headers = HeaderMap::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            assert_eq!(order(Given(state.clone()), &headers, Order::Drain).0, StatusCode::ACCEPTED);
            assert!(inbox.try_recv().is_err(), "the answer comes first");
            sleep(ANSWERED_WITHIN * 2).await;
            assert!(matches!(inbox.try_recv(), Ok(Notice::Ordered(Order::Drain))));
            headers.insert(header::ORIGIN, header::HeaderValue::from_static("http://elsewhere.example"));
            assert_eq!(order(Given(state), &headers, Order::Stop).0, StatusCode::FORBIDDEN);
            sleep(ANSWERED_WITHIN * 2).await;
            assert!(inbox.try_recv().is_err());
        });
    }
}
