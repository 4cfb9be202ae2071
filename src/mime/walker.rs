//! The push walker.

use crate::mime::{Bounds, Sink};

#[derive(Debug)]
pub struct Walker {
    bounds: Bounds,
}

impl Walker {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds }
    }

    pub fn push<S: Sink>(&mut self, _content: &[u8], _sink: &mut S) {}

    pub fn finish<S: Sink>(&mut self, _sink: &mut S) {}

    /// Ready for the next message; buffers are kept.
    pub fn reset(&mut self) {
        *self = Self::new(self.bounds);
    }
}
