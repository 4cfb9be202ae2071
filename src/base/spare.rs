//! Empty buffers with capacity, to be used again.
//!
//! A buffer that grows from nothing is copied several times, and fresh memory must be cleared by
//! the kernel page by page: for content both cost more than sending it. Small ones (commands,
//! replies) and large ones (content) are kept apart, so that neither takes the other's place.

/// Buffers kept of each kind.
const BUFFERS_MAX: usize = 64;
/// Capacity from which a buffer is large, what a new large one gets, and the largest that is kept.
const LARGE_BYTES_MIN: usize = 8 * 1024;
const LARGE_BYTES: usize = 16 * 1024;
const LARGE_BYTES_MAX: usize = 512 * 1024;

#[derive(Debug, Default)]
pub struct Spare {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl Spare {
    /// An empty buffer for commands and replies.
    pub fn take(&mut self) -> Vec<u8> {
        self.small.pop().unwrap_or_default()
    }

    /// An empty buffer for content.
    pub fn take_large(&mut self) -> Vec<u8> {
        self.large.pop().unwrap_or_else(|| Vec::with_capacity(LARGE_BYTES))
    }

    /// Keeps `buffer` for the next who takes one, unless there are enough.
    pub fn put(&mut self, mut buffer: Vec<u8>) {
        let kept = match buffer.capacity() {
            0 | LARGE_BYTES_MAX.. => return,
            LARGE_BYTES_MIN.. => &mut self.large,
            _ => &mut self.small,
        };
        if kept.len() < BUFFERS_MAX {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BUFFERS_MAX, LARGE_BYTES_MAX, Spare};

    #[test]
    fn a_buffer_comes_back_empty_and_to_its_kind() {
        let mut spare = Spare::default();
        spare.put(vec![1; 100]);
        spare.put(vec![1; 100_000]);
        let (small, large) = (spare.take(), spare.take_large());
        assert_eq!((small.len(), large.len()), (0, 0));
        assert!(small.capacity() < large.capacity());
        assert_eq!(spare.take().capacity(), 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut spare = Spare::default();
        spare.put(Vec::with_capacity(LARGE_BYTES_MAX));
        (0..=BUFFERS_MAX).for_each(|_| spare.put(vec![1; 100]));
        assert_eq!((spare.small.len(), spare.large.len()), (BUFFERS_MAX, 0));
    }
}
