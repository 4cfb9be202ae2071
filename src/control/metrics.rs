//! The numbers of all workers as Prometheus text, format 0.0.4.
//!
//! Each family comes twice: `postern_…` is the sum, `postern_worker_…` has a label for the worker.
//! Two names, so that a sum over one family never counts a thing twice.

use std::fmt::Write;
use std::sync::Arc;

use crate::worker::counters::{
    Counter, Counters, Kind, LANE_METRICS, LIMIT_METRICS, METRICS, Metric, SERVER_METRICS, UPSTREAM_METRICS,
};

/// The content type that goes with [`render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A number that belongs to the process, not to a worker.
#[derive(Debug)]
pub struct Single<'a> {
    pub name: &'a str,
    pub labels: &'a [(&'a str, &'a str)],
    pub help: &'a str,
    pub kind: Kind,
    pub value: u64,
}

/// What an upstream and its servers are called, in the order of the counters.
#[derive(Debug)]
pub struct OfUpstream<'a> {
    pub upstream: &'a str,
    pub servers: Vec<String>,
}

impl<'a> Single<'a> {
    pub const fn gauge(name: &'a str, help: &'a str, value: u64) -> Self {
        Self { name, labels: &[], help, kind: Kind::Gauge, value }
    }

    pub const fn counter(name: &'a str, help: &'a str, value: u64) -> Self {
        Self { kind: Kind::Counter, ..Self::gauge(name, help, value) }
    }
}

/// One series: its value for each worker. Labels are given by the family.
struct Series<'a> {
    labels: Vec<(&'a str, &'a str)>,
    values: Vec<u64>,
}

/// What has counters of its own, by name and in their order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    pub lanes: &'a [&'a str],
    pub limits: &'a [&'a str],
    pub upstreams: &'a [OfUpstream<'a>],
}

/// All of it.
pub fn render(singles: &[Single<'_>], workers: &[Arc<Counters>], names: Names<'_>) -> String {
    let mut out = String::with_capacity(16 * 1024);
    for single in singles {
        head(&mut out, single.name, "", single.help, single.kind);
        line(&mut out, single.name, "", single.labels, single.value);
    }
    for rows in METRICS.chunk_by(|a, b| a.name == b.name) {
        family(&mut out, rows, |metric| vec![total(metric, workers)]);
    }
    let of_upstreams: Vec<_> = names.upstreams.iter().map(|it| it.upstream).collect();
    named(&mut out, &LANE_METRICS, ("lane", names.lanes), |w, n| &w.lanes[n], workers);
    named(&mut out, &LIMIT_METRICS, ("limit", names.limits), |w, n| &w.limits[n], workers);
    named(&mut out, &UPSTREAM_METRICS, ("upstream", &of_upstreams), |w, n| &w.upstreams[n], workers);
    for rows in SERVER_METRICS.chunk_by(|a, b| a.name == b.name) {
        family(&mut out, rows, |metric| {
            let upstreams = names.upstreams.iter().enumerate();
            let servers = upstreams.flat_map(|(n, it)| {
                it.servers.iter().enumerate().map(move |(at, server)| (n, it.upstream, at, server.as_str()))
            });
            servers
                .map(|(n, upstream, at, server)| {
                    series(
                        ("upstream", upstream),
                        Some(("server", server)),
                        |w| (metric.read)(&w.upstreams[n].servers[at]),
                        workers,
                    )
                })
                .collect()
        });
    }
    out
}

fn total<'a>(metric: &Metric<Counters>, workers: &[Arc<Counters>]) -> Series<'a> {
    let values = workers.iter().map(|worker| (metric.read)(worker).value()).collect();
    Series { labels: metric.label.into_iter().collect(), values }
}

/// All families of what has a name, in the order of the names.
fn named<T: 'static>(
    out: &mut String,
    table: &[Metric<T>],
    (label, names): (&str, &[&str]),
    of: fn(&Counters, usize) -> &T,
    workers: &[Arc<Counters>],
) {
    for rows in table.chunk_by(|a, b| a.name == b.name) {
        family(out, rows, |metric| {
            let all = names.iter().enumerate();
            all.map(|(n, name)| series((label, name), metric.label, |w| (metric.read)(of(w, n)), workers))
                .collect()
        });
    }
}

/// The series of one thing that has a name.
fn series<'a>(
    named: (&'a str, &'a str),
    further: Option<(&'a str, &'a str)>,
    read: impl Fn(&Counters) -> &Counter,
    workers: &[Arc<Counters>],
) -> Series<'a> {
    let labels = [named].into_iter().chain(further).collect();
    Series { labels, values: workers.iter().map(|worker| read(worker).value()).collect() }
}

/// A family's sums, then the same for each worker.
fn family<'a, T>(out: &mut String, rows: &[Metric<T>], series: impl Fn(&Metric<T>) -> Vec<Series<'a>>) {
    let Some(first) = rows.first() else { return };
    let all: Vec<_> = rows.iter().flat_map(series).collect();
    head(out, first.name, "", first.help, first.kind);
    for one in &all {
        line(out, first.name, "", &one.labels, one.values.iter().sum());
    }
    head(out, first.name, "worker_", first.help, first.kind);
    for one in &all {
        for (worker, value) in one.values.iter().enumerate() {
            let worker = worker.to_string();
            let labels: Vec<_> =
                std::iter::once(("worker", worker.as_str())).chain(one.labels.iter().copied()).collect();
            line(out, first.name, "worker_", &labels, *value);
        }
    }
}

// Writing to a String cannot fail.
fn head(out: &mut String, name: &str, infix: &str, help: &str, kind: Kind) {
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    };
    let _ = write!(out, "# HELP postern_{infix}{name} {help}\n# TYPE postern_{infix}{name} {kind}\n");
}

fn line(out: &mut String, name: &str, infix: &str, labels: &[(&str, &str)], value: u64) {
    let _ = write!(out, "postern_{infix}{name}");
    for (n, (label, text)) in labels.iter().enumerate() {
        let _ = write!(out, "{}{label}=\"{}\"", if n == 0 { '{' } else { ',' }, escaped(text));
    }
    let _ = writeln!(out, "{} {value}", if labels.is_empty() { "" } else { "}" });
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn two_workers() -> Vec<Arc<Counters>> {
        let workers: Vec<_> = (0..2).map(|_| Arc::new(Counters::new(&[1, 0]))).collect();
        workers[0].sessions.add(3);
        workers[1].sessions.add(4);
        workers[1].upstreams[1].discards_closed.increment();
        workers[1].upstreams[0].servers[0].limit.set(8);
        workers
    }

    fn upstreams() -> [OfUpstream<'static>; 2] {
        let servers = vec!["192.0.2.1:25".to_owned()];
        [OfUpstream { upstream: "a", servers }, OfUpstream { upstream: "b", servers: Vec::new() }]
    }

    #[test]
    fn sums_and_workers_have_their_own_names() {
        let text =
            render(&[], &two_workers(), Names { lanes: &["all"], limits: &[], upstreams: &upstreams() });
        for wanted in [
            "postern_sessions_total 7\n",
            "postern_worker_sessions_total{worker=\"0\"} 3\n",
            "postern_worker_sessions_total{worker=\"1\"} 4\n",
            "postern_upstream_server_limit{upstream=\"a\",server=\"192.0.2.1:25\"} 8\n",
            "postern_upstream_discards_total{upstream=\"a\",reason=\"closed\"} 0\n",
            "postern_upstream_discards_total{upstream=\"b\",reason=\"closed\"} 1\n",
            "postern_worker_upstream_discards_total{worker=\"1\",upstream=\"b\",reason=\"closed\"} 1\n",
        ] {
            assert!(text.contains(wanted), "{wanted}{text}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        let labels = [("version", "a\"b\\c\nd")];
        let single = Single { name: "info", labels: &labels, help: "x", kind: Kind::Gauge, value: 1 };
        assert!(
            render(&[single], &[], Names::default())
                .contains("postern_info{version=\"a\\\"b\\\\c\\nd\"} 1\n")
        );
    }

    /// The format: each family once, HELP and TYPE before its lines, each series once.
    #[test]
    fn the_text_is_well_formed() {
        let (mut families, mut series) = (HashSet::new(), HashSet::new());
        let mut family = String::new();
        let names = Names { lanes: &["all"], limits: &[], upstreams: &upstreams() };
        for line in render(&[], &two_workers(), names).lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split_once(' ').unwrap().0.to_owned();
                assert!(families.insert(family.clone()), "{family} comes twice");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!((name, matches!(kind, "counter" | "gauge")), (family.as_str(), true));
            } else {
                let (key, value) = line.rsplit_once(' ').unwrap();
                assert_eq!(key.split('{').next(), Some(family.as_str()));
                assert!(series.insert(key.to_owned()), "{key} comes twice");
                assert!(value.parse::<u64>().is_ok(), "{line}");
                assert_eq!(key.contains('{'), key.ends_with('}'), "{line}");
            }
        }
        let all = METRICS.chunk_by(|a, b| a.name == b.name).count()
            + LANE_METRICS.chunk_by(|a, b| a.name == b.name).count()
            + LIMIT_METRICS.chunk_by(|a, b| a.name == b.name).count()
            + UPSTREAM_METRICS.chunk_by(|a, b| a.name == b.name).count()
            + SERVER_METRICS.chunk_by(|a, b| a.name == b.name).count();
        assert_eq!(families.len(), 2 * all, "sums and workers");
    }
}
