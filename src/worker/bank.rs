//! The way of limits to the bank of tokens and back: what was claimed in a turn goes there in one question.
//!
//! Nothing waits for it. What has no room in the queue goes with the next turn.

use super::Worker;
use crate::base::time::{Moment, Wall};
use crate::reactor::Reactor;
use crate::relay::question::{Claims, Granted};
use crate::relay::record;
use crate::traffic::bank::Alert;

impl<R: Reactor> Worker<R> {
    /// What was claimed in this turn goes to the bank.
    pub(super) fn ask_bank(&mut self) {
        let now = self.now();
        self.shared.limiter.sweep(now);
        while self.shared.limiter.has_claims() {
            let (claims, alerts) = self.shared.limiter.claims();
            let claims = Box::new(Claims { now, claims, alerts });
            if let Err(claims) = self.asker.claim(claims, &self.counters) {
                return self.shared.limiter.take_back(claims.claims, claims.alerts);
            }
        }
    }

    /// What came from there.
    pub(super) fn hear_bank(&mut self) {
        let now = self.reactor.now();
        for Granted { grants, alerts } in self.asker.take_granted() {
            grants.iter().for_each(|grant| self.shared.limiter.hear(now.instant, grant));
            alerts.into_iter().for_each(|alert| self.alert(now, alert));
        }
    }

    /// Somebody is told who went beyond a limit.
    fn alert(&mut self, now: Moment, alert: Alert) {
        let config = &self.shared.config;
        let Some(settings) = config.policy.limits.find(alert.limit).filter(|_| self.records.is_open()) else {
            return;
        };
        let wait = u64::try_from(alert.until.since(now.instant).as_millis()).unwrap_or(u64::MAX);
        let alert = record::Alert {
            time: now.wall,
            kind: "alert",
            worker: self.shared.worker,
            limit: &settings.limit.name,
            key: record::text(alert.who.as_bytes(), KEY_CHARS_MAX),
            until: Wall::from_millis(now.wall.as_millis().saturating_add(wait)),
            config: &config.hash,
        };
        alert.write_json_line(&mut self.batch);
        self.housekeeping = self.housekeeping.min(now.instant + super::RECORDS_DELAY);
    }

    /// What limits did, for whoever reads the counters.
    pub(super) fn count_limits(&self) {
        for (counters, stats) in self.counters.limits.iter().zip(self.shared.limiter.stats()) {
            counters.set(stats);
        }
    }
}

/// Characters of a key that an alert shows: more than an address may have.
const KEY_CHARS_MAX: usize = 512;
