//! What a worker counts, and the table that says what each number means.
//!
//! Invariant: only the worker that owns a [`Counters`] writes it; all others read. So a count is a
//! plain load and store, no locked instruction, and a reader sees a number that was true a moment ago.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::policy::settings::Config;
use crate::relay::action::DiscardReason;
use crate::relay::conduct::Tally;
use crate::relay::disposition::Disposition;
use crate::relay::record::Record;
use crate::traffic::conduct::Conduct;
use crate::traffic::lag::Lag;
use crate::traffic::lane::Lane;
use crate::traffic::limiter::Stats;
use crate::traffic::register::Register;

/// Why sessions are ended: two of them for what clients did, and what was awaited of those that were too slow.
const ENDS: [&str; 7] =
    ["harvest", "junk", "slow_proxy", "slow_handshake", "slow_command", "slow_auth", "slow_content"];

/// A number with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.set(self.value().wrapping_add(count));
    }

    pub fn increment(&self) {
        self.add(1);
    }

    /// For gauges only.
    pub fn decrement(&self) {
        self.set(self.value().saturating_sub(1));
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything one worker counts.
#[derive(Debug, Default)]
pub struct Counters {
    pub sessions: Counter,
    pub sessions_now: Counter,
    pub sessions_refused_full: Counter,
    pub sessions_refused_address: Counter,
    pub sessions_refused_network: Counter,
    pub sessions_ended: [Counter; ENDS.len()],
    pub clients: [Counter; Conduct::ALL.len()],
    pub register_entries: Counter,
    pub register_evicted: Counter,
    pub yielded: Counter,
    pub tls_handshakes: Counter,
    pub tls_failures: Counter,

    pub delivered: Counter,
    pub refused: Counter,
    pub deferred: Counter,
    pub refused_upstream: Counter,
    pub deferred_upstream: Counter,
    pub unknown: Counter,
    pub quarantined: Counter,
    pub discarded: Counter,
    pub aborted: Counter,

    pub recipients_accepted: Counter,
    pub recipients_refused: Counter,

    pub content_bytes: Counter,
    pub received_bytes: Counter,
    pub sent_bytes: Counter,
    pub window_bytes_now: Counter,
    pub messages_streamed: Counter,

    pub busy_us: Counter,
    pub busy_permille: Counter,
    pub turn_lag_us: Counter,
    pub turns_100us: Counter,
    pub turns_1ms: Counter,
    pub turns_10ms: Counter,
    pub turns_100ms: Counter,
    pub turns_longer: Counter,

    pub accept_failures: Counter,
    pub records_dropped: Counter,
    pub panics: Counter,

    pub questions: Counter,
    pub questions_full: Counter,
    pub questions_gone: Counter,
    pub answers_late: Counter,
    pub answers_stale: Counter,

    /// In the order of the configuration, as is what follows.
    pub lanes: Box<[LaneCounters]>,
    pub limits: Box<[LimitCounters]>,
    pub upstreams: Box<[UpstreamCounters]>,
}

/// What one worker counts of one lane.
#[derive(Debug, Default)]
pub struct LaneCounters {
    pub sessions_now: Counter,
    pub turned_away: Counter,
    pub shed: Counter,
    pub transactions: Counter,
    pub deferred: Counter,
}

/// What one worker counts of one limit.
#[derive(Debug, Default)]
pub struct LimitCounters {
    pub passed: Counter,
    pub refused: Counter,
    pub on_credit: Counter,
    pub alone: Counter,
    pub evicted: Counter,
}

impl LimitCounters {
    pub fn set(&self, stats: Stats) {
        self.passed.set(stats.passed);
        self.refused.set(stats.refused);
        self.on_credit.set(stats.on_credit);
        self.alone.set(stats.alone);
        self.evicted.set(stats.evicted);
    }
}

/// What one worker counts of one upstream.
#[derive(Debug, Default)]
pub struct UpstreamCounters {
    pub connects: Counter,
    pub connect_failures: Counter,
    pub connections_idle: Counter,
    pub connections_bound: Counter,
    pub retries: Counter,
    pub retired: Counter,

    pub waiting: Counter,
    pub oldest_wait_ms: Counter,
    pub refused_overloaded: Counter,
    pub refused_unreachable: Counter,
    pub refused_retries: Counter,
    pub trips: Counter,
    pub probes: Counter,
    pub ejections: Counter,

    pub discards_closed: Counter,
    pub discards_protocol: Counter,
    pub discards_timed_out: Counter,
    pub discards_refused: Counter,
    pub discards_ahead: Counter,
    pub discards_abandoned: Counter,
    pub discards_fault: Counter,
    pub discards_insecure: Counter,
    pub discards_auth: Counter,

    /// In the order of the configuration; none where they are looked up.
    pub servers: Box<[ServerCounters]>,
}

/// What one worker shows of one server.
#[derive(Debug, Default)]
pub struct ServerCounters {
    pub limit: Counter,
    pub in_hand: Counter,
    pub open: Counter,
    pub ejected: Counter,
}

impl UpstreamCounters {
    /// Connections given up for this reason.
    pub const fn discard(&self, reason: DiscardReason) -> &Counter {
        match reason {
            DiscardReason::Closed => &self.discards_closed,
            DiscardReason::Protocol => &self.discards_protocol,
            DiscardReason::TimedOut => &self.discards_timed_out,
            DiscardReason::Refused => &self.discards_refused,
            DiscardReason::Ahead => &self.discards_ahead,
            DiscardReason::Abandoned => &self.discards_abandoned,
            DiscardReason::Fault => &self.discards_fault,
            DiscardReason::Insecure => &self.discards_insecure,
            DiscardReason::Unauthenticated => &self.discards_auth,
        }
    }
}

fn some<T: Default>(count: usize) -> Box<[T]> {
    (0..count).map(|_| T::default()).collect()
}

impl Counters {
    /// For upstreams with so many servers each.
    pub fn new(upstreams: &[usize]) -> Self {
        let upstream = |&servers: &usize| UpstreamCounters {
            servers: (0..servers).map(|_| ServerCounters::default()).collect(),
            ..UpstreamCounters::default()
        };
        Self { upstreams: upstreams.iter().map(upstream).collect(), lanes: some(1), ..Self::default() }
    }

    /// With what it takes to count all that is named in `config`.
    pub fn of(config: &Config) -> Self {
        let lanes = some(config.policy.lanes.shares().count().into());
        Self { lanes, limits: some(config.policy.limits.len()), ..Self::new(&config.servers()) }
    }

    /// Counts a transaction of `lane` that ended.
    pub fn count(&self, record: &Record, lane: Lane) {
        let of_lane = &self.lanes[lane.index()];
        of_lane.transactions.increment();
        if matches!(record.disposition, Disposition::Deferred | Disposition::DeferredUpstream) {
            of_lane.deferred.increment();
        }
        self.disposition(record.disposition).increment();
        self.content_bytes.add(record.size);
        if record.size > 0 && !record.window {
            self.messages_streamed.increment();
        }
        for recipient in &record.recipients {
            let accepted = recipient.reply.starts_with('2');
            if accepted { &self.recipients_accepted } else { &self.recipients_refused }.increment();
        }
    }

    /// What relays counted themselves.
    pub fn count_conduct(&self, tally: &Tally, register: &Register) {
        self.sessions_refused_address.set(tally.full_address);
        self.sessions_refused_network.set(tally.full_network);
        let ends = [tally.harvests, tally.junk].into_iter().chain(tally.slow);
        self.sessions_ended.iter().zip(ends).for_each(|(counter, value)| counter.set(value));
        self.clients.iter().zip(tally.conducts).for_each(|(counter, value)| counter.set(value));
        self.register_entries.set(register.len() as u64);
        self.register_evicted.set(register.evicted());
        self.yielded.set(tally.yielded);
    }

    /// Tells how long turns take. Plain stores into lines of our own: nothing that a turn would feel.
    pub fn count_turn(&self, lag: &Lag) {
        self.busy_us.set(micros(lag.busy()));
        self.busy_permille.set(lag.share().into());
        self.turn_lag_us.set(micros(lag.mean()));
        self.turns(micros(lag.last())).increment();
    }

    const fn turns(&self, us: u64) -> &Counter {
        match us {
            0..100 => &self.turns_100us,
            100..1_000 => &self.turns_1ms,
            1_000..10_000 => &self.turns_10ms,
            10_000..100_000 => &self.turns_100ms,
            _ => &self.turns_longer,
        }
    }

    const fn disposition(&self, disposition: Disposition) -> &Counter {
        match disposition {
            Disposition::Delivered => &self.delivered,
            Disposition::Refused => &self.refused,
            Disposition::Deferred => &self.deferred,
            Disposition::RefusedUpstream => &self.refused_upstream,
            Disposition::DeferredUpstream => &self.deferred_upstream,
            Disposition::Unknown => &self.unknown,
            Disposition::Quarantined => &self.quarantined,
            Disposition::Discarded => &self.discarded,
            Disposition::Aborted => &self.aborted,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// What is now.
    Gauge,
}

/// One number's meaning. Rows of one family stand together and differ in their label.
#[derive(Debug)]
pub struct Metric<T> {
    /// Without the product's prefix.
    pub name: &'static str,
    /// A further label and its value.
    pub label: Option<(&'static str, &'static str)>,
    pub help: &'static str,
    pub kind: Kind,
    pub read: fn(&T) -> &Counter,
}

impl<T> Metric<T> {
    const fn counter(name: &'static str, help: &'static str, read: fn(&T) -> &Counter) -> Self {
        Self { name, label: None, help, kind: Kind::Counter, read }
    }

    const fn gauge(name: &'static str, help: &'static str, read: fn(&T) -> &Counter) -> Self {
        Self { name, label: None, help, kind: Kind::Gauge, read }
    }

    const fn with(mut self, label: &'static str, value: &'static str) -> Self {
        self.label = Some((label, value));
        self
    }
}

const fn transaction(disposition: Disposition, read: fn(&Counters) -> &Counter) -> Metric<Counters> {
    let help = "Transactions ended, by disposition; unknown ones may arrive twice.";
    Metric::counter("transactions_total", help, read).with("disposition", disposition.name())
}

const fn recipient(answer: &'static str, read: fn(&Counters) -> &Counter) -> Metric<Counters> {
    Metric::counter("recipients_total", "Recipients answered, by the class of the reply.", read)
        .with("answer", answer)
}

const fn turned_away(why: &'static str, read: fn(&Counters) -> &Counter) -> Metric<Counters> {
    let help = "Connections turned away with 421: no room, or too many from that address or network.";
    Metric::counter("sessions_refused_total", help, read).with("why", why)
}

const fn ended(place: usize, read: fn(&Counters) -> &Counter) -> Metric<Counters> {
    let help = "Sessions ended for what their clients did, or did too slowly.";
    Metric::counter("sessions_ended_total", help, read).with("why", ENDS[place])
}

const fn client(conduct: Conduct, read: fn(&Counters) -> &Counter) -> Metric<Counters> {
    let help = "Sessions of strangers, by what was to be expected of them when they came.";
    Metric::counter("clients_total", help, read).with("conduct", conduct.name())
}

const fn turn(took: &'static str, read: fn(&Counters) -> &Counter) -> Metric<Counters> {
    Metric::counter(
        "turns_total",
        "Turns, by what they took at most: all ready connections wait for one.",
        read,
    )
    .with("took", took)
}

const fn unknown(reason: &'static str, read: fn(&Counters) -> &Counter) -> Metric<Counters> {
    Metric::counter("answers_unknown_total", "Questions without an answer, by reason.", read)
        .with("reason", reason)
}

const fn discard(reason: &'static str, read: fn(&UpstreamCounters) -> &Counter) -> Metric<UpstreamCounters> {
    Metric::counter("upstream_discards_total", "Upstream connections given up, by reason.", read)
        .with("reason", reason)
}

/// All of [`Counters`] but its upstreams and lanes.
pub static METRICS: [Metric<Counters>; 53] = [
    Metric::counter("sessions_total", "Client connections accepted.", |c| &c.sessions),
    Metric::gauge("sessions", "Client connections now.", |c| &c.sessions_now),
    turned_away("full", |c| &c.sessions_refused_full),
    turned_away("address", |c| &c.sessions_refused_address),
    turned_away("network", |c| &c.sessions_refused_network),
    ended(0, |c| &c.sessions_ended[0]),
    ended(1, |c| &c.sessions_ended[1]),
    ended(2, |c| &c.sessions_ended[2]),
    ended(3, |c| &c.sessions_ended[3]),
    ended(4, |c| &c.sessions_ended[4]),
    ended(5, |c| &c.sessions_ended[5]),
    ended(6, |c| &c.sessions_ended[6]),
    client(Conduct::Good, |c| &c.clients[0]),
    client(Conduct::Unknown, |c| &c.clients[1]),
    client(Conduct::Suspect, |c| &c.clients[2]),
    client(Conduct::Bad, |c| &c.clients[3]),
    Metric::gauge("conduct_entries", "Addresses whose conduct is remembered.", |c| &c.register_entries),
    Metric::counter(
        "conduct_evicted_total",
        "Addresses forgotten for others, with something to remember.",
        |c| &c.register_evicted,
    ),
    Metric::counter(
        "upstream_yielded_total",
        "Upstream connections that slow clients gave back for others.",
        |c| &c.yielded,
    ),
    Metric::counter("tls_handshakes_total", "TLS handshakes with clients.", |c| &c.tls_handshakes),
    Metric::counter("tls_failures_total", "TLS handshakes and sessions with clients that failed.", |c| {
        &c.tls_failures
    }),
    transaction(Disposition::Delivered, |c| &c.delivered),
    transaction(Disposition::Refused, |c| &c.refused),
    transaction(Disposition::Deferred, |c| &c.deferred),
    transaction(Disposition::RefusedUpstream, |c| &c.refused_upstream),
    transaction(Disposition::DeferredUpstream, |c| &c.deferred_upstream),
    transaction(Disposition::Unknown, |c| &c.unknown),
    transaction(Disposition::Quarantined, |c| &c.quarantined),
    transaction(Disposition::Discarded, |c| &c.discarded),
    transaction(Disposition::Aborted, |c| &c.aborted),
    recipient("accepted", |c| &c.recipients_accepted),
    recipient("refused", |c| &c.recipients_refused),
    Metric::counter("content_bytes_total", "Octets of content received.", |c| &c.content_bytes),
    Metric::counter("received_bytes_total", "Bytes received from clients.", |c| &c.received_bytes),
    Metric::counter("sent_bytes_total", "Bytes sent to clients.", |c| &c.sent_bytes),
    Metric::gauge("window_bytes", "Bytes of the window budget in use.", |c| &c.window_bytes_now),
    Metric::counter("messages_streamed_total", "Messages that outgrew their window.", |c| {
        &c.messages_streamed
    }),
    Metric::counter("busy_microseconds_total", "Time not spent waiting for the kernel.", |c| &c.busy_us),
    Metric::gauge("busy_permille", "The same in the last second: 1000 is a worker that never waits.", |c| {
        &c.busy_permille
    }),
    Metric::gauge(
        "turn_lag_microseconds",
        "How long the turn lasts that somebody meets who becomes ready; none counts as 0.",
        |c| &c.turn_lag_us,
    ),
    turn("100us", |c| &c.turns_100us),
    turn("1ms", |c| &c.turns_1ms),
    turn("10ms", |c| &c.turns_10ms),
    turn("100ms", |c| &c.turns_100ms),
    turn("longer", |c| &c.turns_longer),
    Metric::counter("accept_failures_total", "Failures to accept a connection.", |c| &c.accept_failures),
    Metric::counter("records_dropped_total", "Records dropped: the queue was full.", |c| &c.records_dropped),
    Metric::counter("panics_total", "Connections ended by a fault of ours.", |c| &c.panics),
    Metric::counter("questions_total", "Questions and words put to the service side.", |c| &c.questions),
    unknown("full", |c| &c.questions_full),
    unknown("gone", |c| &c.questions_gone),
    unknown("late", |c| &c.answers_late),
    Metric::counter("answers_stale_total", "Answers that nobody waited for any more.", |c| &c.answers_stale),
];

/// All of [`LaneCounters`].
pub static LANE_METRICS: [Metric<LaneCounters>; 5] = [
    Metric::gauge("lane_sessions", "Client connections now, by lane.", |c| &c.sessions_now),
    Metric::counter("lane_turned_away_total", "Connections for which their lane had no room.", |c| {
        &c.turned_away
    }),
    Metric::counter("lane_shed_total", "Idle connections that had to go for other lanes.", |c| &c.shed),
    Metric::counter("lane_transactions_total", "Transactions ended and connections refused, by lane.", |c| {
        &c.transactions
    }),
    Metric::counter("lane_deferred_total", "Those of them that have to come again.", |c| &c.deferred),
];

/// All of [`LimitCounters`].
pub static LIMIT_METRICS: [Metric<LimitCounters>; 5] = [
    Metric::counter("limit_passed_total", "What a limit let pass.", |c| &c.passed),
    Metric::counter("limit_refused_total", "What was beyond a limit.", |c| &c.refused),
    Metric::counter("limit_on_credit_total", "What passed before the bank of tokens was heard.", |c| {
        &c.on_credit
    }),
    Metric::counter("limit_alone_total", "What passed because the bank of tokens is silent.", |c| &c.alone),
    Metric::counter("limit_evicted_total", "Leases that had to go for those of other keys.", |c| &c.evicted),
];

const fn refusal(reason: &'static str, read: fn(&UpstreamCounters) -> &Counter) -> Metric<UpstreamCounters> {
    let help = "Transactions told to come again without waiting for a connection, by reason.";
    Metric::counter("upstream_refusals_total", help, read).with("reason", reason)
}

/// All of [`UpstreamCounters`] but its servers.
pub static UPSTREAM_METRICS: [Metric<UpstreamCounters>; 23] = [
    Metric::counter("upstream_connects_total", "Connections begun to next hops.", |c| &c.connects),
    Metric::counter(
        "upstream_connect_failures_total",
        "Connections that failed to be made or greeted.",
        |c| &c.connect_failures,
    ),
    Metric::gauge("upstream_connections_idle", "Connections parked in the pool.", |c| &c.connections_idle),
    Metric::gauge("upstream_connections_bound", "Connections in use or being made.", |c| {
        &c.connections_bound
    }),
    Metric::counter("upstream_retries_total", "Silent retries on a fresh connection.", |c| &c.retries),
    Metric::counter("upstream_retired_total", "Connections ended by QUIT: old, idle or worn.", |c| {
        &c.retired
    }),
    Metric::gauge("upstream_waiting", "Transactions that wait for a connection.", |c| &c.waiting),
    Metric::gauge("upstream_waiting_oldest_milliseconds", "For how long the first of them waits.", |c| {
        &c.oldest_wait_ms
    }),
    refusal("overloaded", |c| &c.refused_overloaded),
    refusal("unreachable", |c| &c.refused_unreachable),
    refusal("retries", |c| &c.refused_retries),
    Metric::counter("upstream_trips_total", "Times that a server's breaker opened.", |c| &c.trips),
    Metric::counter("upstream_probes_total", "Probes of servers whose breaker is open.", |c| &c.probes),
    Metric::counter(
        "upstream_ejections_total",
        "Times that a server was ejected: far from the others.",
        |c| &c.ejections,
    ),
    discard("closed", |c| &c.discards_closed),
    discard("protocol", |c| &c.discards_protocol),
    discard("timed_out", |c| &c.discards_timed_out),
    discard("refused", |c| &c.discards_refused),
    discard("data_ahead_in_vain", |c| &c.discards_ahead),
    discard("abandoned", |c| &c.discards_abandoned),
    discard("insecure", |c| &c.discards_insecure),
    discard("auth", |c| &c.discards_auth),
    discard("fault", |c| &c.discards_fault),
];

/// All of [`ServerCounters`].
pub static SERVER_METRICS: [Metric<ServerCounters>; 4] = [
    Metric::gauge("upstream_server_limit", "Transactions that the server may have in hand.", |c| &c.limit),
    Metric::gauge("upstream_server_in_hand", "Transactions that it has in hand.", |c| &c.in_hand),
    Metric::gauge("upstream_server_open", "Workers whose breaker of the server is not closed.", |c| &c.open),
    Metric::gauge("upstream_server_ejected", "Workers that have ejected the server.", |c| &c.ejected),
];

// A field without a row would be counted for nobody.
const _: () = assert!(
    size_of::<Counters>()
        == METRICS.len() * size_of::<Counter>()
            + size_of::<Box<[UpstreamCounters]>>()
            + size_of::<Box<[LaneCounters]>>()
            + size_of::<Box<[LimitCounters]>>()
);
const _: () = assert!(size_of::<LimitCounters>() == LIMIT_METRICS.len() * size_of::<Counter>());
const _: () = assert!(size_of::<LaneCounters>() == LANE_METRICS.len() * size_of::<Counter>());
const _: () = assert!(
    size_of::<UpstreamCounters>()
        == UPSTREAM_METRICS.len() * size_of::<Counter>() + size_of::<Box<[ServerCounters]>>()
);
const _: () = assert!(size_of::<ServerCounters>() == SERVER_METRICS.len() * size_of::<Counter>());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;
    use std::collections::HashSet;

    #[track_caller]
    fn check<T>(metrics: &[Metric<T>], counters: &T) {
        let fields: HashSet<_> =
            metrics.iter().map(|metric| std::ptr::from_ref((metric.read)(counters))).collect();
        assert_eq!(fields.len(), metrics.len(), "two rows read one field");
        let series: HashSet<_> = metrics.iter().map(|metric| (metric.name, metric.label)).collect();
        assert_eq!(series.len(), metrics.len(), "two rows are one series");
        for metric in metrics {
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        }
    }

    #[test]
    fn each_field_has_one_row() {
        check(&METRICS, &Counters::new(&[]));
        check(&LANE_METRICS, &LaneCounters::default());
        check(&LIMIT_METRICS, &LimitCounters::default());
        check(&UPSTREAM_METRICS, &UpstreamCounters::default());
        check(&SERVER_METRICS, &ServerCounters::default());
    }

    #[test]
    fn a_turn_is_counted_by_what_it_took() {
        let counters = Counters::new(&[]);
        let mut now = Instant::from_nanos(0);
        let mut lag = Lag::new(now);
        for us in [0, 99, 100, 999, 1_000, 9_999, 10_000, 99_999, 100_000, 5_000_000] {
            now = now + Duration::from_micros(us);
            lag.observe(now, Duration::from_micros(us));
            counters.count_turn(&lag);
        }
        let turns = METRICS.iter().filter(|metric| metric.name == "turns_total");
        assert_eq!(turns.map(|metric| (metric.read)(&counters).value()).collect::<Vec<_>>(), [2; 5]);
        assert_eq!((counters.busy_us.value(), counters.busy_permille.value()), (5_222_196, 1000));
        assert!((4_900_000..=5_000_000).contains(&counters.turn_lag_us.value()));
    }

    #[test]
    fn a_gauge_stays_at_zero() {
        let counter = Counter::default();
        counter.increment();
        counter.decrement();
        counter.decrement();
        assert_eq!(counter.value(), 0);
    }
}
