//! A capacity that is known: so many messages at a time, each for so long, the others in a queue.
//!
//! The time to answer follows from who came before, so nothing but the times at which places become free is
//! remembered. Whoever hangs up while he waits has his place all the same: a server that was given a message
//! does not know that nobody waits for its answer, and this is what makes retries dangerous.
//!
//! Invariant: in any stretch of time no more than `places` messages are in work, and none waits while a place
//! is free.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::base::time::Instant;

/// How much a station can do: `places` / `service` messages a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub places: usize,
    pub service: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Station {
    service: Duration,
    /// When each place is free.
    free: BinaryHeap<Reverse<Instant>>,
}

impl Station {
    pub(super) fn new(capacity: Capacity) -> Self {
        let free = vec![Reverse(Instant::default()); capacity.places.max(1)];
        Self { service: capacity.service, free: free.into() }
    }

    /// How long a message takes that comes at `now`, its wait in the queue included.
    pub(super) fn admit(&mut self, now: Instant) -> Duration {
        let Some(mut next) = self.free.peek_mut() else { return self.service };
        let done = next.0.max(now) + self.service;
        *next = Reverse(done);
        done.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn who_comes_too_many_waits() {
        let mut station = Station::new(Capacity { places: 2, service: Duration::from_millis(10) });
        let waits = [0, 0, 0, 0, 0, 25, 25, 100].map(|ms| station.admit(at(ms)).as_millis());
        assert_eq!(waits, [10, 10, 20, 20, 30, 10, 15, 10]);
    }

    /// The oracle goes through time in steps, with a queue and places as they are.
    #[test]
    fn it_is_a_queue_before_places() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..100 {
            let (places, service) = (rng.usize(1..5), rng.u64(1..20));
            let mut comes: Vec<u64> = (0..60).map(|_| rng.u64(0..300)).collect();
            comes.sort_unstable();
            let (mut work, mut queue, mut done) = (Vec::new(), std::collections::VecDeque::new(), Vec::new());
            for now in 0..2000 {
                work.retain(|&(began, came)| {
                    let over = began + service == now;
                    done.extend(over.then_some((came, now)));
                    !over
                });
                queue.extend(comes.iter().filter(|came| **came == now));
                while work.len() < places
                    && let Some(came) = queue.pop_front()
                {
                    work.push((now, came));
                }
            }
            let mut station = Station::new(Capacity { places, service: Duration::from_millis(service) });
            let mut got: Vec<_> =
                comes.iter().map(|&came| (came, at(came) + station.admit(at(came)))).collect();
            let mut want: Vec<_> = done.into_iter().map(|(came, end)| (came, at(end))).collect();
            got.sort_unstable();
            want.sort_unstable();
            assert_eq!(got, want);
        }
    }
}
