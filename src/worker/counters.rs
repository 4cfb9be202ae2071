//! What a worker counts, and the table that says what each number means.
//!
//! Invariant: only the worker that owns a [`Counters`] writes it; all others read. So a count is a
//! plain load and store, no locked instruction, and a reader sees a number that was true a moment ago.

use std::sync::atomic::{AtomicU64, Ordering};

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
    pub sessions_refused_proxy: Counter,
    pub sessions_timed_out: Counter,

    pub transactions_delivered: Counter,
    pub transactions_refused: Counter,
    pub transactions_rejected: Counter,
    pub transactions_deferred: Counter,
    pub transactions_abandoned: Counter,
    pub possible_duplicates: Counter,

    pub recipients_accepted: Counter,
    pub recipients_refused: Counter,

    pub refusals_syntax: Counter,
    pub refusals_sequence: Counter,
    pub refusals_relaying: Counter,
    pub refusals_size: Counter,
    pub refusals_newline: Counter,
    pub refusals_line: Counter,
    pub refusals_loop: Counter,
    pub refusals_slow: Counter,

    pub content_bytes: Counter,
    pub received_bytes: Counter,
    pub sent_bytes: Counter,

    pub window_bytes_now: Counter,
    pub windows_refused: Counter,
    pub messages_streamed: Counter,

    pub accept_failures: Counter,
    pub records_dropped: Counter,
    pub panics: Counter,

    /// In the order of the configuration.
    pub upstreams: Box<[UpstreamCounters]>,
}

/// What one worker counts of one upstream.
#[derive(Debug, Default)]
pub struct UpstreamCounters {
    pub connects: Counter,
    pub connect_failures: Counter,
    pub connections_idle: Counter,
    pub connections_bound: Counter,
    pub retries: Counter,
    pub wait_timeouts: Counter,

    pub discards_closed: Counter,
    pub discards_service_closing: Counter,
    pub discards_age: Counter,
    pub discards_idle: Counter,
    pub discards_messages: Counter,
    pub discards_rset: Counter,
    pub discards_aborted: Counter,
    pub discards_malformed: Counter,
    pub discards_timeout: Counter,
}

impl Counters {
    pub fn new(upstreams: usize) -> Self {
        Self { upstreams: (0..upstreams).map(|_| UpstreamCounters::default()).collect(), ..Self::default() }
    }
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

const fn refused_session(reason: &'static str, read: fn(&Counters) -> &Counter) -> Metric<Counters> {
    Metric::counter("sessions_refused_total", "Connections refused before a greeting.", read)
        .with("reason", reason)
}

const fn transaction(disposition: &'static str, read: fn(&Counters) -> &Counter) -> Metric<Counters> {
    Metric::counter("transactions_total", "Transactions ended, by what was done.", read)
        .with("disposition", disposition)
}

const fn recipient(answer: &'static str, read: fn(&Counters) -> &Counter) -> Metric<Counters> {
    Metric::counter("recipients_total", "Recipients answered, by the class of the reply.", read)
        .with("answer", answer)
}

const fn refusal(reason: &'static str, read: fn(&Counters) -> &Counter) -> Metric<Counters> {
    Metric::counter("refusals_total", "Commands and content we refused ourselves.", read)
        .with("reason", reason)
}

const fn discard(reason: &'static str, read: fn(&UpstreamCounters) -> &Counter) -> Metric<UpstreamCounters> {
    Metric::counter("upstream_discards_total", "Upstream connections not kept, by reason.", read)
        .with("reason", reason)
}

/// All of [`Counters`] but its upstreams.
pub static METRICS: [Metric<Counters>; 30] = [
    Metric::counter("sessions_total", "Client connections accepted.", |c| &c.sessions),
    Metric::gauge("sessions", "Client connections now.", |c| &c.sessions_now),
    refused_session("full", |c| &c.sessions_refused_full),
    refused_session("proxy", |c| &c.sessions_refused_proxy),
    Metric::counter("sessions_timed_out_total", "Sessions ended because the client was silent.", |c| {
        &c.sessions_timed_out
    }),
    transaction("delivered", |c| &c.transactions_delivered),
    transaction("refused", |c| &c.transactions_refused),
    transaction("rejected", |c| &c.transactions_rejected),
    transaction("deferred", |c| &c.transactions_deferred),
    transaction("abandoned", |c| &c.transactions_abandoned),
    Metric::counter(
        "possible_duplicates_total",
        "Messages that the next hop may have taken though the client did not hear so.",
        |c| &c.possible_duplicates,
    ),
    recipient("accepted", |c| &c.recipients_accepted),
    recipient("refused", |c| &c.recipients_refused),
    refusal("syntax", |c| &c.refusals_syntax),
    refusal("sequence", |c| &c.refusals_sequence),
    refusal("relaying", |c| &c.refusals_relaying),
    refusal("size", |c| &c.refusals_size),
    refusal("newline", |c| &c.refusals_newline),
    refusal("line", |c| &c.refusals_line),
    refusal("loop", |c| &c.refusals_loop),
    refusal("slow", |c| &c.refusals_slow),
    Metric::counter("content_bytes_total", "Bytes of content received.", |c| &c.content_bytes),
    Metric::counter("received_bytes_total", "Bytes received from clients.", |c| &c.received_bytes),
    Metric::counter("sent_bytes_total", "Bytes sent to clients.", |c| &c.sent_bytes),
    Metric::gauge("window_bytes", "Bytes of the window budget in use.", |c| &c.window_bytes_now),
    Metric::counter("windows_refused_total", "Messages without a window: the budget was spent.", |c| {
        &c.windows_refused
    }),
    Metric::counter("messages_streamed_total", "Messages that outgrew their window.", |c| {
        &c.messages_streamed
    }),
    Metric::counter("accept_failures_total", "Failures to accept a connection.", |c| &c.accept_failures),
    Metric::counter("records_dropped_total", "Records dropped: the queue was full.", |c| &c.records_dropped),
    Metric::counter("panics_total", "Connections ended by a fault of ours.", |c| &c.panics),
];

/// All of [`UpstreamCounters`].
pub static UPSTREAM_METRICS: [Metric<UpstreamCounters>; 15] = [
    Metric::counter("upstream_connects_total", "Connections made to next hops.", |c| &c.connects),
    Metric::counter(
        "upstream_connect_failures_total",
        "Connections that failed to be made or greeted.",
        |c| &c.connect_failures,
    ),
    Metric::gauge("upstream_connections_idle", "Connections parked in the pool.", |c| &c.connections_idle),
    Metric::gauge("upstream_connections_bound", "Connections checked out.", |c| &c.connections_bound),
    Metric::counter("upstream_retries_total", "Silent retries on a fresh connection.", |c| &c.retries),
    Metric::counter("upstream_wait_timeouts_total", "Transactions that got no connection in time.", |c| {
        &c.wait_timeouts
    }),
    discard("closed", |c| &c.discards_closed),
    discard("service_closing", |c| &c.discards_service_closing),
    discard("age", |c| &c.discards_age),
    discard("idle", |c| &c.discards_idle),
    discard("messages", |c| &c.discards_messages),
    discard("rset", |c| &c.discards_rset),
    discard("aborted", |c| &c.discards_aborted),
    discard("malformed", |c| &c.discards_malformed),
    discard("timeout", |c| &c.discards_timeout),
];

// A field without a row would be counted for nobody.
const _: () = assert!(
    size_of::<Counters>() == METRICS.len() * size_of::<Counter>() + size_of::<Box<[UpstreamCounters]>>()
);
const _: () = assert!(size_of::<UpstreamCounters>() == UPSTREAM_METRICS.len() * size_of::<Counter>());

#[cfg(test)]
mod tests {
    use super::*;
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
        check(&METRICS, &Counters::new(0));
        check(&UPSTREAM_METRICS, &UpstreamCounters::default());
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
