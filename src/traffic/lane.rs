//! Lanes: classes of mail, from that which is served first to that which waits first, and what is each one's own.
//!
//! A share is a part of something that there is only so much of: connections, connections to a next hop, memory of
//! windows. While there is enough, whoever comes gets it: what nobody uses lies idle for nobody. What must
//! always hold: a lane that has less than its share finds some of it free, however much the others want; so a
//! lane beyond its share leaves a quarter of what each other one has not taken yet. A quarter, for what is taken
//! comes back in a moment, and all of it lying idle would cost the others more than it gains.

/// Lanes that one configuration may have.
pub const LANES_MAX: usize = 8;

/// Of what a lane has not taken of its share, one part in so many is kept free for it.
const KEPT: usize = 4;

/// Place of a lane in the configuration: the lower, the better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub u8);

impl Lane {
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where somebody stands who waits for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub lane: Lane,
    /// Within the lane the higher is served first (RFC 6710 §4: -9 to 9).
    pub priority: i8,
    /// Whose it is: of several who wait with one lane and priority nobody gets more than the others. 0: nobody in particular.
    pub client: u64,
}

/// How much of something each lane has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used([usize; LANES_MAX]);

impl Used {
    pub const fn of(&self, lane: Lane) -> usize {
        self.0[lane.index() % LANES_MAX]
    }

    pub const fn add(&mut self, lane: Lane, amount: usize) {
        self.0[lane.index() % LANES_MAX] += amount;
    }

    pub const fn remove(&mut self, lane: Lane, amount: usize) {
        let used = &mut self.0[lane.index() % LANES_MAX];
        *used = used.saturating_sub(amount);
    }

    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }
}

/// What part each lane has, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    percent: [u32; LANES_MAX],
    lanes: u8,
}

impl Default for Shares {
    fn default() -> Self {
        Self::new(&[100])
    }
}

impl Shares {
    /// Of as many lanes as there are parts; those beyond [`LANES_MAX`] have none. Their sum is 100 at most.
    pub fn new(parts: &[u32]) -> Self {
        let mut percent = [0; LANES_MAX];
        percent.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        let lanes = u8::try_from(parts.len().min(LANES_MAX)).unwrap_or(1);
        Self { percent, lanes: lanes.max(1) }
    }

    /// All lanes, the best first.
    pub fn lanes(&self) -> impl DoubleEndedIterator<Item = Lane> + use<> {
        (0..self.lanes).map(Lane)
    }

    pub const fn count(&self) -> u8 {
        self.lanes
    }

    /// A lane that is not there is the worst.
    pub fn known(&self, lane: Lane) -> Lane {
        lane.min(Lane(self.lanes - 1))
    }

    /// There is nobody to keep anything for.
    pub const fn is_one(&self) -> bool {
        self.lanes == 1
    }

    pub const fn percent(&self, lane: Lane) -> u32 {
        self.percent[lane.index() % LANES_MAX]
    }

    /// How much of `capacity` is the lane's own.
    pub const fn reserve(&self, lane: Lane, capacity: usize) -> usize {
        // Divided first, so that no capacity is too large.
        let percent = self.percent(lane) as usize;
        capacity / 100 * percent + capacity % 100 * percent / 100
    }

    /// How much more of `capacity` the lane may take.
    pub fn available(&self, lane: Lane, used: &Used, capacity: usize) -> usize {
        let free = capacity.saturating_sub(used.total());
        let own = self.reserve(lane, capacity).saturating_sub(used.of(lane));
        own.min(free).max(free.saturating_sub(self.kept_from(lane, used, capacity)))
    }

    /// How much must be free for lanes other than this one.
    pub fn kept_from(&self, lane: Lane, used: &Used, capacity: usize) -> usize {
        self.lanes().filter(|other| *other != lane).map(|other| self.kept_for(other, used, capacity)).sum()
    }

    /// How much is to be free for all lanes that have taken little.
    pub fn kept(&self, used: &Used, capacity: usize) -> usize {
        self.lanes().map(|lane| self.kept_for(lane, used, capacity)).sum()
    }

    fn kept_for(&self, lane: Lane, used: &Used, capacity: usize) -> usize {
        let own = self.reserve(lane, capacity);
        own.div_ceil(KEPT).min(own.saturating_sub(used.of(lane)))
    }

    /// Whether the lane has more than its share.
    pub const fn is_beyond(&self, lane: Lane, used: &Used, capacity: usize) -> bool {
        used.of(lane) > self.reserve(lane, capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(amounts: &[usize]) -> Used {
        let mut used = Used::default();
        (0..).map(Lane).zip(amounts).for_each(|(lane, amount)| used.add(lane, *amount));
        used
    }

    #[track_caller]
    fn check(parts: &[u32], capacity: usize, amounts: &[usize], want: &[usize]) {
        let (shares, used) = (Shares::new(parts), used(amounts));
        let available: Vec<_> = shares.lanes().map(|lane| shares.available(lane, &used, capacity)).collect();
        assert_eq!(available, want, "{parts:?} of {capacity}, taken {amounts:?}");
    }

    #[test]
    fn one_lane_has_all() {
        check(&[100], 10, &[0], &[10]);
        check(&[100], 10, &[9], &[1]);
        check(&[100], 10, &[12], &[0]);
    }

    #[test]
    fn what_nobody_uses_is_lent_but_for_a_quarter() {
        check(&[50, 30], 100, &[], &[92, 87]);
        // The second has all that is lent; the first finds a quarter of its share free.
        check(&[50, 30], 100, &[0, 87], &[13, 0]);
        // What it takes of it is not kept any more.
        check(&[50, 30], 100, &[10, 87], &[3, 0]);
        check(&[50, 30], 100, &[37, 30], &[33, 20]);
        check(&[50, 30], 100, &[40, 30], &[30, 20]);
        check(&[50, 30], 100, &[50, 30], &[20, 20]);
        // A worse lane has a share too.
        check(&[50, 30], 100, &[92, 0], &[0, 8]);
        // Whoever has no share takes what is left.
        check(&[50, 0], 100, &[0, 0], &[100, 87]);
    }

    #[test]
    fn small_capacities_keep_one_for_those_who_have_a_share_of_one() {
        check(&[50, 30], 1, &[], &[1, 1]);
        check(&[50, 30], 2, &[], &[2, 1]);
        check(&[50, 30], 2, &[0, 1], &[1, 0]);
        check(&[50, 30], 4, &[1, 1], &[2, 1]);
        check(&[50, 30], 0, &[], &[0, 0]);
    }

    /// However lanes come and go, one that has less than its share gets some, as soon as what is kept of it is free
    /// or any is; nobody ever has more than there is.
    #[test]
    fn shares_are_kept_whoever_comes() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let capacity = random.usize(1..300);
            let shares = Shares::new(&[random.u32(..50), random.u32(..30), random.u32(..20)]);
            let mut used = Used::default();
            for _ in 0..600 {
                let lane = Lane(random.u8(..3));
                if random.u8(..3) > 0 {
                    let amount = shares.available(lane, &used, capacity).min(random.usize(1..4));
                    used.add(lane, amount);
                } else {
                    used.remove(lane, random.usize(..3));
                }
                assert!(used.total() <= capacity);
                // Nobody took what is kept for those who have taken little.
                for lane in shares.lanes() {
                    let own = shares.reserve(lane, capacity);
                    let others: usize = shares.lanes().filter(|it| *it != lane).map(|it| used.of(it)).sum();
                    let lent =
                        shares.lanes().filter(|it| *it != lane && shares.is_beyond(*it, &used, capacity));
                    if used.of(lane) == 0 && own > 0 && lent.count() == 0 {
                        assert!(capacity - others >= own, "{shares:?} {used:?} {capacity}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_lane_that_others_crowd_out_finds_a_quarter_of_its_share() {
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..500 {
            let capacity = random.usize(1..1000);
            let shares = Shares::new(&[random.u32(1..50), random.u32(..50)]);
            let mut used = Used::default();
            // The second takes whatever it gets before the first comes.
            while let more @ 1.. = shares.available(Lane(1), &used, capacity) {
                used.add(Lane(1), random.usize(1..=more));
            }
            let kept = shares.reserve(Lane(0), capacity).div_ceil(4);
            assert!(shares.available(Lane(0), &used, capacity) >= kept, "{shares:?} {used:?} {capacity}");
        }
    }
}
