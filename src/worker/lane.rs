//! Who has room, who is shed, and who is first: lanes over the connections of one worker.
//!
//! What must always hold: a lane that has less than its share of connections finds room, or somebody idle of a
//! lane beyond its own goes for it; nobody goes who is in a transaction.

use super::counters::Counters;
use std::time::Duration;

use super::downstream::Downstream;
use super::{Owner, Worker};
use crate::base::slab::Key;
use crate::base::time::Instant;
use crate::reactor::{Completion, Reactor};
use crate::relay::event::Event;
use crate::traffic::lane::{LANES_MAX, Lane, Used};

/// Turns that take so long, at the mean, are a reason to look whom time is spent on.
const SHORT_OF_TIME: Duration = Duration::from_millis(1);
/// Clients that one round of housekeeping sheds.
const SHED_MAX: usize = 64;

/// How many clients each lane has.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    used: Used,
}

impl Occupancy {
    pub(super) fn enter(&mut self, lane: Lane, counters: &Counters) {
        self.used.add(lane, 1);
        self.tell(lane, counters);
    }

    pub(super) fn leave(&mut self, lane: Lane, counters: &Counters) {
        self.used.remove(lane, 1);
        self.tell(lane, counters);
    }

    fn tell(&self, lane: Lane, counters: &Counters) {
        counters.lanes[lane.index()].sessions_now.set(self.used.of(lane) as u64);
    }
}

impl<R: Reactor> Worker<R> {
    /// Whether one more client of this lane may come.
    pub(super) fn has_room_for(&mut self, lane: Lane) -> bool {
        let capacity = self.shared.config.workers.connections;
        let has_room =
            self.shared.config.policy.lanes.shares().available(lane, &self.lanes.used, capacity) > 0;
        if self.lacks_room() > 0 {
            // Some have to go, soon: who comes next may be of a lane that has little.
            self.housekeeping = self.housekeeping.min(self.now() + super::HOUSEKEEPING_PRESSED);
        }
        has_room
    }

    /// More became known of a client.
    pub(super) fn note_lane(&mut self, key: Key) {
        let Some(client) = self.clients.at_mut(key) else { return };
        let Some(relay) = &client.relay else { return };
        let (Some(before), now) = (client.lane, relay.lane()) else { return };
        if before != now {
            client.lane = Some(now);
            self.lanes.leave(before, &self.counters);
            self.lanes.enter(now, &self.counters);
        }
    }

    /// Connections that are missing of those that are kept for lanes which have little.
    fn lacks_room(&self) -> usize {
        let lanes = &self.shared.config.policy.lanes;
        if lanes.is_one() {
            return 0;
        }
        let capacity = self.shared.config.workers.connections;
        let free = capacity.saturating_sub(self.lanes.used.total());
        lanes.shares().kept(&self.lanes.used, capacity).saturating_sub(free)
    }

    /// Sends some of those away whose places are kept for others; says whether there are more.
    pub(super) fn shed(&mut self) -> bool {
        let lacking = self.lacks_room();
        if lacking == 0 {
            return false;
        }
        for (lane, key) in self.superfluous(lacking.min(SHED_MAX)) {
            self.counters.lanes[lane.index()].shed.increment();
            self.tell(key, Event::Shed);
            self.carry_out_pool_orders();
        }
        true
    }

    /// Those who are idle in lanes beyond their share: of the worst lane first, the newest first.
    fn superfluous(&self, count: usize) -> Vec<(Lane, Key)> {
        let capacity = self.shared.config.workers.connections;
        let shares = self.shared.config.policy.lanes.shares();
        let beyond = |lane: Lane| self.lanes.used.of(lane).saturating_sub(shares.reserve(lane, capacity));
        let is_idle = |client: &Downstream| client.relay.as_ref().is_some_and(|relay| relay.is_idle());
        let mut found = Vec::new();
        for lane in shares.lanes().rev().filter(|lane| beyond(*lane) > 0) {
            let of_lane =
                self.clients.iter().filter(|(_, client)| client.lane == Some(lane) && is_idle(client));
            let mut idle: Vec<(Instant, Key)> = of_lane.map(|(key, client)| (client.since, key)).collect();
            idle.sort_unstable_by(|a, b| b.cmp(a));
            let left = (count - found.len()).min(beyond(lane));
            found.extend(idle.into_iter().take(left).map(|(_, key)| (lane, key)));
        }
        found
    }

    /// So much was read of a client. Where its lane has read more than it may, it sits out for a while: its own
    /// kernel holds what it sends then.
    pub(super) fn note_intake(&mut self, key: Key, octets: usize) {
        if self.shared.config.policy.lanes.is_one() {
            return;
        }
        let Some(client) = self.clients.at_mut(key) else { return };
        let Some(lane) = client.lane else { return };
        if self.intake.take(lane, octets) && self.is_short_of_time() && !self.sits_out(key) {
            self.on_socket(key, R::pause);
            self.sitting_out.push(key);
            if let Some(client) = self.clients.at_mut(key) {
                client.sits_out = true;
            }
        }
    }

    pub(super) fn sits_out(&self, key: Key) -> bool {
        self.clients.at(key).is_some_and(|client| client.sits_out)
    }

    /// Turns are long: each keeps all others waiting.
    fn is_short_of_time(&self) -> bool {
        self.lag.mean() > SHORT_OF_TIME
    }

    /// A new turn: some of those who sat out are read again.
    pub(super) fn refill_intake(&mut self) {
        let lanes = &self.shared.config.policy.lanes;
        if lanes.is_one() {
            return;
        }
        let mut waiting = [false; LANES_MAX];
        for lane in self.sitting_out.iter().filter_map(|key| self.clients.at(*key)?.lane) {
            waiting[lane.index()] = true;
        }
        self.intake.refill(lanes.shares(), self.is_short_of_time(), |lane| waiting[lane.index()]);
        for key in std::mem::take(&mut self.sitting_out) {
            self.read_again(key);
        }
    }

    fn read_again(&mut self, key: Key) {
        let Some(client) = self.clients.at_mut(key) else { return };
        if client.lane.is_some_and(|lane| self.intake.is_overdrawn(lane)) {
            return self.sitting_out.push(key);
        }
        client.sits_out = false;
        // Who was sent away meanwhile is listened to until it has gone.
        if client.relay.as_ref().is_none_or(|relay| relay.reads()) {
            self.on_socket(key, R::receive);
        }
    }

    /// Completions of this turn, those of better lanes first; of one socket in their order.
    pub(super) fn reap(&mut self, reaped: &mut Vec<(Lane, Completion)>) {
        let has_lanes = !self.shared.config.policy.lanes.is_one();
        while let Some(completion) = self.reactor.next() {
            reaped.push((if has_lanes { self.lane_of(&completion) } else { Lane(0) }, completion));
        }
        if has_lanes {
            reaped.sort_by_key(|(lane, _)| *lane);
        }
    }

    fn lane_of(&self, completion: &Completion) -> Lane {
        let socket = match completion {
            Completion::Accepted { .. } => return self.shared.config.policy.lanes.others(),
            Completion::AcceptFailed { .. } | Completion::Woken => return Lane(0),
            Completion::Connected { socket, .. }
            | Completion::Received { socket, .. }
            | Completion::Ended { socket, .. }
            | Completion::Sent { socket, .. } => *socket,
        };
        let client = match self.owner(socket) {
            Some(Owner::Client(key)) => Some(key),
            Some(Owner::Hop(key)) => self.hops.at(key).and_then(|hop| hop.lent_to()),
            None => None,
        };
        // Nobody's are short, and others may wait for them.
        client.and_then(|key| self.clients.at(key)?.lane).unwrap_or_default()
    }
}
