//! Seeds that once failed, each with what it found. They run first, always.

pub(crate) const SEEDS: &[u64] = &[];
