//! Words to people about what workers count and cannot say: a worker does not write to where it may block.
//!
//! What must always hold: what goes on and on is said once a minute.

use std::sync::Arc;
use std::time::Duration;

use super::notice::say;
use crate::worker::counters::Counters;

/// How often it is looked.
const ROUND: Duration = Duration::from_secs(1);
/// Looks between two words about the same.
const SILENCE: u32 = 60;

/// Says when connections cannot be accepted.
pub async fn accepts(workers: Vec<Arc<Counters>>) {
    let mut watch = Watch::default();
    loop {
        tokio::time::sleep(ROUND).await;
        let failures = workers.iter().map(|counters| counters.accept_failures.value()).sum();
        if let Some(count) = watch.look(failures) {
            say(format_args!(
                "connections could not be accepted ({count} times): too many open files, or no memory. Accepting goes \
                 on after a pause each time; raise RLIMIT_NOFILE or lower workers.connections"
            ));
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
struct Watch {
    /// What it was when something was said.
    said: u64,
    silence: u32,
}

impl Watch {
    /// By how much it has grown since something was said, if something is to be said now.
    const fn look(&mut self, now: u64) -> Option<u64> {
        self.silence = self.silence.saturating_sub(1);
        if self.silence > 0 || now == self.said {
            return None;
        }
        let grown = now - self.said;
        (self.said, self.silence) = (now, SILENCE);
        Some(grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_once_a_minute() {
        let mut watch = Watch::default();
        assert_eq!([watch.look(0), watch.look(0), watch.look(3)], [None, None, Some(3)]);
        let words: Vec<_> = (1..=180).filter_map(|second| watch.look(3 + second)).collect();
        assert_eq!(words, [60, 60, 60]);
        assert_eq!((0..200).find_map(|_| watch.look(183)), None);
        assert_eq!(watch.look(184), Some(1));
    }
}
