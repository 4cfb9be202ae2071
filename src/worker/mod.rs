//! One pinned thread with its ring: what it counts, what it is told, where its records go.

pub mod control;
pub mod counters;
pub mod record_queue;
