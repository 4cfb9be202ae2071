//! `[[lane]]`: which mail is served first, by conditions over what is known before its content comes.
//!
//! The first lane of the file is the best. Conditions are asked in the order of the file; the first that holds
//! says the lane, and who fits none is in the lane that has no condition. They are asked again as more becomes
//! known: at connect, behind a PROXY header, XCLIENT and AUTH, and at MAIL. What is known later only is not known
//! then: such a condition does not hold.

use super::condition::{Condition, World};
use crate::traffic::lane::{Lane, Shares};

/// One lane as the administrator wrote it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: String,
    /// None: whoever fits no other.
    pub when: Option<Condition>,
    /// Percent of connections, of connections to each next hop and of windows that are its own.
    pub share: u32,
}

/// All lanes, the best first; at least one.
#[derive(Clone, Debug)]
pub struct Lanes {
    lanes: Vec<Settings>,
    others: Lane,
    shares: Shares,
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new(vec![Settings { name: "all".to_owned(), when: None, share: 100 }])
    }
}

impl Lanes {
    /// Of these, which are at most as many as there may be.
    pub fn new(lanes: Vec<Settings>) -> Self {
        let shares = Shares::new(&lanes.iter().map(|lane| lane.share).collect::<Vec<_>>());
        let without = shares.lanes().zip(&lanes).find(|(_, lane)| lane.when.is_none());
        let others = without.map(|(lane, _)| lane).or_else(|| shares.lanes().next_back()).unwrap_or_default();
        Self { lanes, others, shares }
    }

    /// There is nothing to find out.
    pub const fn is_one(&self) -> bool {
        self.lanes.len() <= 1
    }

    pub const fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Where whoever is in that fits no condition.
    pub const fn others(&self) -> Lane {
        self.others
    }

    pub fn name(&self, lane: Lane) -> &str {
        self.lanes.get(lane.index()).map_or("", |lane| &lane.name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lanes.iter().map(|lane| lane.name.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Settings> {
        self.lanes.iter()
    }

    /// The lane, as far as it can be told of `world`.
    pub fn find(&self, world: &World<'_>) -> Lane {
        let holds = |lane: &Settings| lane.when.as_ref().is_some_and(|when| when.holds(world) == Ok(true));
        self.shares.lanes().zip(&self.lanes).find(|(_, lane)| holds(lane)).map_or(self.others, |it| it.0)
    }
}
