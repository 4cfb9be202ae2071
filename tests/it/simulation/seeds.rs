//! Seeds that once failed, each with what it found. They run first, always.

pub(crate) const SEEDS: &[u64] = &[
    316,   // Connections that had said QUIT were bounded by nothing.
    11055, // A draining pool parked a connection that its waiter did not want.
    6923,  // A way that was looked up while draining kept its connection.
    5304,  // Who was still there when a drain ended heard its farewell twice.
];
