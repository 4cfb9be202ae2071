//! What a run came to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::series::{Interval, Series};
use crate::base::time::Instant;

/// Longest latency told apart, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;

/// Latency in microseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Quantiles {
    pub count: u64,
    pub mean: f64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    #[serde(rename = "p99.9")]
    pub p999: u64,
    pub max: u64,
}

/// The report of a run; what `--json` prints.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Messages acknowledged.
    pub messages: u64,
    /// Messages begun, or to be begun, that were not.
    pub failed: u64,
    /// Those of them that were refused with 4xx, and with 5xx.
    pub deferred: u64,
    pub rejected: u64,
    /// Messages that were to begin (with a rate), and those that no session was free for before the end.
    pub planned: u64,
    pub unstarted: u64,
    pub seconds: f64,
    /// Messages acknowledged per second.
    pub rate: f64,
    /// Octets of acknowledged content.
    pub bytes: u64,
    pub connects: u64,
    /// Connects that were tried again.
    pub connect_retries: u64,
    /// Replies that were not the ones hoped for, by code; `connect`, `lost` and `timeout`
    /// where none came, `extension` where the server lacks what was asked for.
    pub errors: BTreeMap<String, u64>,
    /// The first error in words.
    pub first_error: Option<String>,
    /// The run ended at the first error.
    pub aborted: bool,
    /// From MAIL to the reply to the end of content; with a rate, from when the message was to begin.
    pub latency_us: Quantiles,
    /// The same to the refusal, of those that were refused.
    pub refused_us: Quantiles,
    /// With a rate: from when a message was to begin to when a session took it up.
    pub behind_us: Quantiles,
    /// The same from the begin of the connect, for the first message of each connection.
    pub first_message_us: Quantiles,
    /// From the begin of the connect to the first octet of the greeting.
    pub greeting_us: Quantiles,
    /// Processor time, user and system.
    pub cpu_seconds: Option<f64>,
    pub cpu_us_per_message: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Interval>,
}

impl Report {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} messages in {:.3} s, {:.0} messages/s, {:.1} MB/s, {} connects",
            self.messages,
            self.seconds,
            self.rate,
            self.bytes as f64 / 1e6 / self.seconds.max(1e-9),
            self.connects
        );
        let latency = &self.latency_us;
        // Writing to memory does not fail.
        _ = write!(
            text,
            "\nlatency µs: p50 {} p90 {} p99 {} p99.9 {} max {}",
            latency.p50, latency.p90, latency.p99, latency.p999, latency.max
        );
        if self.planned > 0 {
            _ = write!(
                text,
                "\n{} planned, {} deferred, {} rejected, {} unstarted; taken up late by µs: p50 {} p99 {} max {}",
                self.planned,
                self.deferred,
                self.rejected,
                self.unstarted,
                self.behind_us.p50,
                self.behind_us.p99,
                self.behind_us.max
            );
        }
        if let Some(cpu) = self.cpu_us_per_message {
            _ = write!(text, "\nprocessor: {cpu:.1} µs per message");
        }
        for (code, count) in &self.errors {
            _ = write!(text, "\nerror {code}: {count}");
        }
        text
    }
}

/// The report while it grows.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) report: Report,
    latency: Histogram<u64>,
    refused: Histogram<u64>,
    behind: Histogram<u64>,
    series: Option<Series>,
    first_message: Histogram<u64>,
    greeting: Histogram<u64>,
}

impl Tally {
    /// With a `step`, what happens from `start` on is told in intervals of it.
    pub(super) fn new(start: Instant, step: Option<Duration>) -> Result<Self, String> {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).map_err(|error| error.to_string());
        let series = step.map(|step| Ok::<_, String>(Series::new(start, step, histogram()?)));
        Ok(Self {
            report: Report::default(),
            latency: histogram()?,
            refused: histogram()?,
            behind: histogram()?,
            series: series.transpose()?,
            first_message: histogram()?,
            greeting: histogram()?,
        })
    }

    /// A message was to begin.
    pub(super) fn planned(&mut self, now: Instant) {
        self.report.planned += 1;
        self.interval(now, |interval| interval.planned += 1);
    }

    /// A session took one up, so long after it was to begin.
    pub(super) fn begun(&mut self, now: Instant, behind: Option<Duration>) {
        behind.into_iter().for_each(|behind| self.behind.saturating_record(micros(behind)));
        self.interval(now, |interval| interval.begun += 1);
    }

    pub(super) fn delivered(
        &mut self,
        now: Instant,
        bytes: u64,
        latency: Duration,
        since_connect: Option<Duration>,
    ) {
        self.report.messages += 1;
        self.report.bytes += bytes;
        self.latency.saturating_record(micros(latency));
        self.series.iter_mut().for_each(|series| series.accepted(now, latency));
        if let Some(latency) = since_connect {
            self.first_message.saturating_record(micros(latency));
        }
    }

    /// A message failed: by a reply with this code, or by none (0), so long after it was to begin.
    pub(super) fn refused(&mut self, now: Instant, code: u16, after: Duration) {
        self.report.failed += 1;
        let class = code / 100;
        self.report.deferred += u64::from(class == 4);
        self.report.rejected += u64::from(class == 5);
        let after = micros(after);
        if matches!(class, 4 | 5) {
            self.refused.saturating_record(after);
        }
        self.interval(now, |interval| match class {
            4 | 5 => {
                *if class == 4 { &mut interval.deferred } else { &mut interval.rejected } += 1;
                interval.refused_max_us = interval.refused_max_us.max(after);
            }
            _ => interval.failed += 1,
        });
    }

    fn interval(&mut self, now: Instant, change: impl FnOnce(&mut Interval)) {
        if let Some(series) = &mut self.series {
            change(series.at(now));
        }
    }

    pub(super) fn greeted(&mut self, latency: Duration) {
        self.greeting.saturating_record(micros(latency));
    }

    /// An error, by what the report is to call it.
    pub(super) fn error(&mut self, name: &str, text: impl FnOnce() -> String) {
        match self.report.errors.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.report.errors.insert(name.to_owned(), 1)),
        }
        self.report.first_error.get_or_insert_with(text);
    }

    pub(super) fn finish(mut self, now: Instant, elapsed: Duration, cpu: Option<Duration>) -> Report {
        let report = &mut self.report;
        report.series = self.series.take().map_or_else(Vec::new, |series| series.finish(now));
        report.refused_us = quantiles(&self.refused);
        report.behind_us = quantiles(&self.behind);
        report.seconds = elapsed.as_secs_f64();
        report.rate = report.messages as f64 / report.seconds.max(1e-9);
        report.latency_us = quantiles(&self.latency);
        report.first_message_us = quantiles(&self.first_message);
        report.greeting_us = quantiles(&self.greeting);
        report.cpu_seconds = cpu.map(|cpu| cpu.as_secs_f64());
        report.cpu_us_per_message = cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / report.messages.max(1) as f64);
        self.report
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    Quantiles {
        count: histogram.len(),
        mean: histogram.mean(),
        p50: histogram.value_at_quantile(0.5),
        p90: histogram.value_at_quantile(0.9),
        p99: histogram.value_at_quantile(0.99),
        p999: histogram.value_at_quantile(0.999),
        max: histogram.max(),
    }
}
