//! Who waits, in which order they are let through, and who is sent away when too many do.
//!
//! Each lane has a queue: of whoever waits in it the higher priority is first (RFC 6710), then whose client has had fewer
//! turns, then whoever came first. (Start-time fair queueing, Goyal and others, 1996: a client's next turn starts when its
//! last one is over, in the lane's virtual time, or now.) Lanes
//! take turns by virtual time, as deficit round robin does it too, but with one waiter as its quantum: whoever is let
//! through moves its lane's clock by one over its share, and the lane whose clock is behind is next. A lane
//! that was empty begins with the present: nobody saves turns up.
//!
//! Who may go at all is not decided here ([`Shares`] keeps free what is another lane's own; a pool
//! knows who wants what): whoever may not is passed over, and keeps its place.
//!
//! What must always hold: while two lanes have somebody who may go, what they get differs from their shares by less than
//! one turn of each; nobody is passed by one of the same lane, priority and client that came later; whoever is sent away is the
//! newest of the worst lane that has more than its share of those who wait; there are never more than
//! [`WAITERS_MAX`].

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

use super::lane::{Lane, Shares, Standing};
use crate::base::time::Instant;
use crate::limits::WAITERS_MAX;

/// What one turn moves the clock of a lane that has all: divided by its percents.
const TURN: u64 = 100 << 20;

#[derive(Clone, Debug)]
struct Waiter<T> {
    priority: i8,
    since: Instant,
    /// When its turn starts, in the turns of its lane's clients.
    starts_at: u64,
    /// Whether it may be sent away.
    is_bound: bool,
    who: T,
}

#[derive(Clone, Debug)]
struct Queue<T> {
    /// The first is next.
    waiters: VecDeque<Waiter<T>>,
    /// Virtual time of its next turn.
    turn_at: u64,
    /// When the turn started that was last.
    started: u64,
    /// When the last turn of each client that waits is over.
    over_at: HashMap<u64, u64>,
}

impl<T> Queue<T> {
    /// When the next turn of this client starts.
    fn start(&mut self, client: u64) -> u64 {
        if client == 0 {
            return self.started;
        }
        if self.waiters.is_empty() || self.over_at.len() > WAITERS_MAX {
            self.over_at.clear();
        }
        let over_at = self.over_at.entry(client).or_default();
        let starts_at = (*over_at).max(self.started);
        *over_at = starts_at + 1;
        starts_at
    }
}

/// Those who wait for one thing.
#[derive(Clone, Debug)]
pub struct Turnstile<T> {
    shares: Shares,
    queues: Vec<Queue<T>>,
    len: usize,
    /// Virtual time: of the turn that was last.
    now: u64,
}

impl<T> Turnstile<T> {
    pub fn new(shares: Shares) -> Self {
        let queue = |_| Queue { waiters: VecDeque::new(), turn_at: 0, started: 0, over_at: HashMap::new() };
        Self { shares, queues: shares.lanes().map(queue).collect(), len: 0, now: 0 }
    }

    /// Somebody comes. `is_bound`: it must not be sent away, for it was promised something.
    pub fn push(&mut self, now: Instant, standing: Standing, is_bound: bool, who: T) {
        let lane = self.shares.known(standing.lane).index();
        let queue = &mut self.queues[lane];
        if queue.waiters.is_empty() {
            queue.turn_at = queue.turn_at.max(self.now);
        }
        let starts_at = queue.start(standing.client);
        let waiter = Waiter { priority: standing.priority, since: now, starts_at, is_bound, who };
        let order = |waiter: &Waiter<T>| (Reverse(waiter.priority), waiter.starts_at);
        // Nearly always the last place.
        let mut at = queue.waiters.len();
        if queue.waiters.back().is_some_and(|last| order(last) > order(&waiter)) {
            at = queue.waiters.partition_point(|other| order(other) <= order(&waiter));
        }
        queue.waiters.insert(at, waiter);
        self.len += 1;
    }

    /// Lets the next one through of those that may go.
    pub fn next(&mut self, may_go: impl Fn(Lane, &T) -> bool) -> Option<(Lane, T)> {
        if self.len == 0 {
            return None;
        }
        let first = |(lane, queue): (u8, &Queue<T>)| {
            let at = queue.waiters.iter().position(|waiter| may_go(Lane(lane), &waiter.who))?;
            Some((queue.turn_at, lane, at))
        };
        let (turn_at, lane, at) = (0..).zip(&self.queues).filter_map(first).min()?;
        let percent = self.shares.percent(Lane(lane)).max(1);
        let queue = &mut self.queues[usize::from(lane)];
        queue.turn_at += TURN / u64::from(percent);
        self.now = self.now.max(turn_at);
        self.len -= 1;
        let waiter = queue.waiters.remove(at)?;
        queue.started = queue.started.max(waiter.starts_at);
        Some((Lane(lane), waiter.who))
    }

    /// Somebody waits no longer.
    pub fn cancel(&mut self, is: impl Fn(&T) -> bool) -> Option<T> {
        for queue in &mut self.queues {
            if let Some(at) = queue.waiters.iter().position(|waiter| is(&waiter.who)) {
                self.len -= 1;
                return queue.waiters.remove(at).map(|waiter| waiter.who);
            }
        }
        None
    }

    /// Sends the newest away of the worst lane that has more than its share, if any there may be.
    pub fn shed(&mut self) -> Option<T> {
        let lanes = self.shares.lanes().rev();
        let (mut beyond, mut others): (Vec<_>, Vec<_>) = lanes.partition(|lane| self.is_beyond(*lane));
        beyond.append(&mut others);
        beyond.into_iter().find_map(|lane| self.shed_of(lane))
    }

    fn shed_of(&mut self, lane: Lane) -> Option<T> {
        let waiters = &mut self.queues[lane.index()].waiters;
        let loose = waiters.iter().enumerate().filter(|(_, waiter)| !waiter.is_bound);
        // The last of those that came last is the one of the least priority.
        let (at, _) = loose.max_by_key(|(at, waiter)| (waiter.since, *at))?;
        self.len -= 1;
        waiters.remove(at).map(|waiter| waiter.who)
    }

    fn is_beyond(&self, lane: Lane) -> bool {
        let percent: u64 = self.shares.lanes().map(|lane| u64::from(self.shares.percent(lane))).sum();
        let waiting = self.queues[lane.index()].waiters.len() as u64;
        waiting * percent.max(1) > self.len as u64 * u64::from(self.shares.percent(lane))
    }

    /// All of them go, in no order that matters.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        self.len = 0;
        self.queues.iter_mut().flat_map(|queue| queue.waiters.drain(..)).map(|waiter| waiter.who)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Lane, &T)> {
        let lanes = (0..).map(Lane).zip(&self.queues);
        lanes.flat_map(|(lane, queue)| queue.waiters.iter().map(move |waiter| (lane, &waiter.who)))
    }

    /// Lanes in which somebody waits.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> {
        (0..).map(Lane).zip(&self.queues).filter(|(_, queue)| !queue.waiters.is_empty()).map(|(lane, _)| lane)
    }

    /// Since when the one waits that has waited longest.
    pub fn oldest(&self) -> Option<Instant> {
        self.queues.iter().flat_map(|queue| queue.waiters.iter()).map(|waiter| waiter.since).min()
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One more would be too many.
    pub const fn is_full(&self) -> bool {
        self.len >= WAITERS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Waiters by lane and priority; their names are their numbers.
    fn turnstile(parts: &[u32], waiters: &[(u8, i8)]) -> Turnstile<usize> {
        let mut turnstile = Turnstile::new(Shares::new(parts));
        for (who, &(lane, priority)) in waiters.iter().enumerate() {
            turnstile.push(at(who as u64), Standing { lane: Lane(lane), priority, client: 0 }, false, who);
        }
        turnstile
    }

    #[track_caller]
    fn check(parts: &[u32], waiters: &[(u8, i8)], want: &[usize]) {
        let mut turnstile = turnstile(parts, waiters);
        let order: Vec<_> = std::iter::from_fn(|| turnstile.next(|_, _| true)).map(|(_, who)| who).collect();
        assert_eq!(order, want, "{parts:?} {waiters:?}");
        assert!(turnstile.is_empty());
    }

    #[test]
    fn the_higher_priority_is_first_and_then_whoever_came_first() {
        check(&[100], &[(0, 0), (0, 0), (0, 0)], &[0, 1, 2]);
        check(&[100], &[(0, 0), (0, 5), (0, -3), (0, 5), (0, 0)], &[1, 3, 0, 4, 2]);
    }

    /// Of clients that wait in one lane each gets as many turns as the others, however many it wants.
    #[test]
    fn clients_of_a_lane_take_turns() {
        let mut turnstile = Turnstile::new(Shares::default());
        let push = |turnstile: &mut Turnstile<u64>, client| {
            turnstile.push(at(0), Standing { client, ..Standing::default() }, false, client);
        };
        (0..5).for_each(|_| push(&mut turnstile, 1));
        (0..2).for_each(|_| push(&mut turnstile, 2));
        let mut order: Vec<_> =
            (0..4).filter_map(|_| turnstile.next(|_, _| true)).map(|(_, who)| who).collect();
        // Who comes now has not had less for having been away.
        (0..2).for_each(|_| push(&mut turnstile, 3));
        order.extend(std::iter::from_fn(|| turnstile.next(|_, _| true)).map(|(_, who)| who));
        assert_eq!(order, [1, 2, 1, 2, 3, 1, 3, 1, 1]);
        assert!(turnstile.is_empty());
    }

    #[test]
    fn lanes_take_turns_by_their_shares() {
        check(&[50, 50], &[(1, 0), (1, 0), (0, 0), (0, 0)], &[2, 0, 3, 1]);
        check(&[75, 25], &[(1, 0), (1, 0), (0, 0), (0, 0), (0, 0), (0, 0)], &[2, 0, 3, 4, 5, 1]);
        // Priority raises within a lane only; a lane that is not there is the worst.
        check(&[50, 50], &[(1, 9), (7, 0), (0, -9)], &[2, 0, 1]);
        // Whoever has no share waits long, and not for ever.
        check(&[100, 0], &[(1, 0), (0, 0), (0, 0)], &[1, 0, 2]);
    }

    #[test]
    fn whoever_may_not_go_keeps_its_place() {
        let mut turnstile = turnstile(&[50, 50], &[(0, 0), (1, 0), (0, 0)]);
        assert_eq!(turnstile.next(|lane, _| lane == Lane(1)), Some((Lane(1), 1)));
        assert_eq!(turnstile.next(|_, who| *who != 0), Some((Lane(0), 2)));
        assert_eq!(turnstile.next(|_, who| *who != 0), None);
        assert_eq!(turnstile.next(|_, _| true), Some((Lane(0), 0)));
    }

    #[test]
    fn an_empty_lane_saves_no_turns_up() {
        let mut turnstile = turnstile(&[50, 50], &[(1, 0); 100]);
        (0..90).for_each(|_| {
            turnstile.next(|_, _| true);
        });
        (0..100).for_each(|who| turnstile.push(at(200), Standing::default(), false, 1000 + who));
        let firsts = (0..10).filter_map(|_| turnstile.next(|_, _| true)).filter(|(lane, _)| lane.0 == 0);
        // Half of them, and the one turn that was the other lane's last.
        assert_eq!(firsts.count(), 6);
    }

    #[track_caller]
    fn check_shed(parts: &[u32], waiters: &[(u8, i8)], want: &[usize]) {
        let mut turnstile = turnstile(parts, waiters);
        let shed: Vec<_> = want.iter().filter_map(|_| turnstile.shed()).collect();
        assert_eq!(shed, want, "{parts:?} {waiters:?}");
    }

    #[test]
    fn the_newest_of_the_worst_lane_beyond_its_share_is_sent_away() {
        check_shed(&[100], &[(0, 0), (0, 9), (0, 0)], &[2, 1, 0]);
        check_shed(&[50, 50], &[(1, 0), (0, 0), (1, 0), (0, 0), (0, 0)], &[4, 2, 3]);
        check_shed(&[50, 30, 20], &[(0, 0), (0, 0), (1, 0), (2, 0), (1, 0)], &[4, 3, 2]);
    }

    #[test]
    fn whoever_was_promised_something_stays() {
        let mut turnstile = Turnstile::new(Shares::default());
        turnstile.push(at(0), Standing::default(), false, 0);
        turnstile.push(at(1), Standing::default(), true, 1);
        assert_eq!((turnstile.shed(), turnstile.shed()), (Some(0), None));
        assert_eq!((turnstile.len(), turnstile.oldest()), (1, Some(at(1))));
        assert_eq!((turnstile.cancel(|who| *who == 1), turnstile.oldest()), (Some(1), None));
    }

    /// While all lanes have somebody, none is more than one turn of each away from its share.
    #[test]
    fn shares_are_held_within_one_turn() {
        let mut random = fastrand::Rng::with_seed(13);
        for _ in 0..100 {
            let parts: Vec<_> = (0..random.usize(2..=8)).map(|_| random.u32(1..=12)).collect();
            let lanes = parts.len();
            let mut turnstile = turnstile(&parts, &[]);
            let push = |turnstile: &mut Turnstile<usize>, lane: usize| {
                let lane = Lane(u8::try_from(lane).unwrap());
                turnstile.push(at(0), Standing { lane, ..Standing::default() }, false, 0);
            };
            (0..lanes).for_each(|lane| push(&mut turnstile, lane));
            let mut served = vec![0_u32; lanes];
            for turn in 1..2000_u32 {
                let (lane, _) = turnstile.next(|_, _| true).unwrap();
                served[lane.index()] += 1;
                push(&mut turnstile, lane.index());
                let all: u32 = parts.iter().sum();
                for (lane, part) in parts.iter().enumerate() {
                    let due = f64::from(turn) * f64::from(*part) / f64::from(all);
                    let off = (f64::from(served[lane]) - due).abs();
                    assert!(off < lanes as f64, "{parts:?} turn {turn}: lane {lane} has {served:?}");
                }
            }
        }
    }

    /// Against a plain list: of one lane and priority nobody passes whoever came before, and none is lost.
    #[test]
    fn nobody_is_passed_and_nobody_is_lost() {
        let mut random = fastrand::Rng::with_seed(17);
        for _ in 0..100 {
            let mut turnstile = turnstile(&[50, 30, 20], &[]);
            let mut list: Vec<(Standing, usize)> = Vec::new();
            for who in 0..300 {
                match random.u8(..5) {
                    0..3 => {
                        let standing =
                            Standing { lane: Lane(random.u8(..3)), priority: random.i8(-1..=1), client: 0 };
                        turnstile.push(at(who as u64), standing, false, who);
                        list.push((standing, who));
                    }
                    3 => {
                        let odd = random.bool();
                        let may_go = |_: Lane, who: &usize| who % 2 == usize::from(odd);
                        let next = turnstile.next(may_go).map(|(_, who)| who);
                        let mut able = list.iter().filter(|(_, who)| may_go(Lane(0), who));
                        assert_eq!(next.is_some(), able.clone().next().is_some());
                        let Some(next) = next else { continue };
                        let (standing, _) = *able.find(|(_, who)| *who == next).unwrap();
                        let passed =
                            list.iter().filter(|(_, who)| may_go(Lane(0), who)).any(|(other, who)| {
                                other.lane == standing.lane
                                    && (other.priority > standing.priority
                                        || other.priority == standing.priority && *who < next)
                            });
                        assert!(!passed);
                        list.retain(|(_, who)| *who != next);
                    }
                    _ => {
                        let gone = list.pop().map(|(_, who)| who);
                        assert_eq!(turnstile.cancel(|who| Some(*who) == gone), gone);
                    }
                }
                assert_eq!(turnstile.len(), list.len());
                assert_eq!(turnstile.oldest(), list.iter().map(|(_, who)| at(*who as u64)).min());
                assert_eq!(turnstile.iter().count(), list.len());
            }
        }
    }
}
