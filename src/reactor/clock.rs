//! The clocks. Nothing else reads them: everyone below gets the time as an argument.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use crate::base::time::{Instant, Moment, Wall};

/// Where the monotonic clock starts, the same for all threads. A day is put before it, so that
/// "an hour ago" is a moment too.
static EPOCH: LazyLock<std::time::Instant> = LazyLock::new(monotonic);
const BEFORE_EPOCH: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads both clocks.
pub fn now() -> Moment {
    Moment { instant: instant(), wall: wall() }
}

/// Reads the clock that never goes back.
pub fn instant() -> Instant {
    let epoch = *EPOCH;
    Instant::from_nanos(0) + BEFORE_EPOCH + monotonic().saturating_duration_since(epoch)
}

#[expect(clippy::disallowed_methods, reason = "this is the place that may")]
fn monotonic() -> std::time::Instant {
    std::time::Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the place that may")]
fn wall() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Wall::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{BEFORE_EPOCH, Instant, now};

    #[test]
    fn the_clock_never_goes_back_and_has_a_past() {
        let (first, second) = (now(), now());
        assert!(first.instant <= second.instant);
        assert!(first.instant.since(Instant::from_nanos(0)) >= BEFORE_EPOCH);
        assert!(first.wall.as_secs() > 1_600_000_000);
    }
}
