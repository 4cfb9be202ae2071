//! What a run came to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

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
    /// From MAIL to the reply to the end of content.
    pub latency_us: Quantiles,
    /// The same from the begin of the connect, for the first message of each connection.
    pub first_message_us: Quantiles,
    /// From the begin of the connect to the first octet of the greeting.
    pub greeting_us: Quantiles,
    /// Processor time, user and system.
    pub cpu_seconds: Option<f64>,
    pub cpu_us_per_message: Option<f64>,
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
    first_message: Histogram<u64>,
    greeting: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Result<Self, String> {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).map_err(|error| error.to_string());
        Ok(Self {
            report: Report::default(),
            latency: histogram()?,
            first_message: histogram()?,
            greeting: histogram()?,
        })
    }

    pub(super) fn delivered(&mut self, bytes: u64, latency: Duration, since_connect: Option<Duration>) {
        self.report.messages += 1;
        self.report.bytes += bytes;
        self.latency.saturating_record(micros(latency));
        if let Some(latency) = since_connect {
            self.first_message.saturating_record(micros(latency));
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

    pub(super) fn finish(mut self, elapsed: Duration, cpu: Option<Duration>) -> Report {
        let report = &mut self.report;
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

fn micros(duration: Duration) -> u64 {
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
