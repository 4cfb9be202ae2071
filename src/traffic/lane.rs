//! Lanes: classes of mail, from that which is served first to that which waits first.

/// Lanes that one configuration may have.
pub const LANES_MAX: usize = 8;

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
}
