//! How evenly the workers are loaded: the busiest beside the mean.
//!
//! The kernel gives each connection to a worker by a hash, for good. So with few long connections one worker
//! may have most of the work while others wait, and no sum over all of them shows it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::metrics::Single;
use crate::worker::counters::{Counters, METRICS};

/// The busiest worker in percent of the mean; 100 is even, and as many hundreds as there are workers means
/// that one has it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Balance {
    /// Of the last second's work.
    pub(super) busy: u64,
    /// Of the clients there are now.
    pub(super) sessions: u64,
    /// Of all transactions since the start.
    pub(super) transactions: u64,
}

impl Balance {
    pub(super) fn of(workers: &[Arc<Counters>]) -> Self {
        let over = |read: fn(&Counters) -> u64| percent(workers.iter().map(|worker| read(worker)));
        Self {
            busy: over(|worker| worker.busy_permille.value()),
            sessions: over(|worker| worker.sessions_now.value()),
            transactions: over(transactions),
        }
    }

    /// For the metrics.
    pub(super) fn singles(self) -> [Single<'static>; 3] {
        [
            Single::gauge(
                "imbalance_busy_percent",
                "Busiest worker to the mean, in the last second.",
                self.busy,
            ),
            Single::gauge(
                "imbalance_sessions_percent",
                "Most clients of a worker to the mean.",
                self.sessions,
            ),
            Single::gauge(
                "imbalance_transactions_percent",
                "Most transactions of a worker to the mean, since the start.",
                self.transactions,
            ),
        ]
    }

    /// For the status: ratios.
    pub(super) fn status(self) -> Value {
        let ratio = |percent: u64| percent as f64 / 100.0;
        json!({
            "busy": ratio(self.busy),
            "sessions": ratio(self.sessions),
            "transactions": ratio(self.transactions),
        })
    }
}

fn transactions(worker: &Counters) -> u64 {
    METRICS
        .iter()
        .filter(|metric| metric.name == "transactions_total")
        .map(|metric| (metric.read)(worker).value())
        .sum()
}

/// Where nothing is done, it is done evenly.
fn percent(values: impl Iterator<Item = u64> + Clone) -> u64 {
    let (count, sum) = (values.clone().count() as u64, values.clone().sum::<u64>());
    let most = values.max().unwrap_or(0);
    (most * count * 100).checked_div(sum).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_it_all_is_seen() {
        for (values, want) in [
            (&[][..], 100),
            (&[7], 100),
            (&[0, 0], 100),
            (&[5, 5, 5], 100),
            (&[3, 1], 150),
            (&[9, 0, 0], 300),
            (&[1000, 1000, 999], 100),
        ] {
            assert_eq!(percent(values.iter().copied()), want, "{values:?}");
        }
    }

    #[test]
    fn each_ratio_has_its_own_numbers() {
        let workers: Vec<_> = (0..2).map(|_| Arc::new(Counters::new(&[]))).collect();
        workers[0].busy_permille.set(300);
        workers[1].busy_permille.set(100);
        workers[1].sessions_now.set(4);
        workers[0].delivered.add(3);
        workers[0].refused.add(3);
        workers[1].aborted.add(4);
        let balance = Balance::of(&workers);
        assert_eq!(balance, Balance { busy: 150, sessions: 200, transactions: 120 });
        assert_eq!(balance.status()["busy"], json!(1.5));
        assert_eq!(balance.singles().map(|single| single.value), [150, 200, 120]);
    }
}
