//! Empty buffers with capacity, to be used again.
//!
//! A buffer that grows from nothing is copied several times, and fresh memory must be cleared by
//! the kernel page by page: for content both cost more than sending it. Small ones (commands,
//! replies) and large ones (content) are kept apart, so that neither takes the other's place.

use crate::limits::{SPARE_BUFFERS_MAX, SPARE_GROWN_BYTES_MAX as GROWN_BYTES_MAX};

/// Capacity of a buffer for content that may be small, and for content that is not.
const MEDIUM_BYTES: usize = 16 * 1024;
const LARGE_BYTES: usize = 96 * 1024;
const LARGE_BYTES_PLUS: usize = LARGE_BYTES + 1;

#[derive(Debug, Default)]
pub struct Spare {
    small: Vec<Vec<u8>>,
    medium: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    grown: Vec<Vec<u8>>,
}

impl Spare {
    /// An empty buffer for commands and replies.
    pub fn take_small(&mut self) -> Vec<u8> {
        self.small.pop().unwrap_or_default()
    }

    /// An empty buffer for the beginning of content.
    pub fn take_medium(&mut self) -> Vec<u8> {
        self.medium.pop().unwrap_or_else(|| Vec::with_capacity(MEDIUM_BYTES))
    }

    /// An empty buffer for more of it.
    pub fn take_large(&mut self) -> Vec<u8> {
        self.large.pop().unwrap_or_else(|| Vec::with_capacity(LARGE_BYTES))
    }

    /// Makes room for `more` bytes in `buffer`, by one move into a larger one if it is too small.
    pub fn make_room(&mut self, buffer: &mut Vec<u8>, more: usize) {
        let wanted = buffer.len() + more;
        if buffer.capacity() >= wanted {
            return;
        }
        let mut larger = if wanted <= MEDIUM_BYTES {
            self.take_medium()
        } else if wanted <= LARGE_BYTES {
            self.take_large()
        } else {
            self.take_grown(wanted)
        };
        larger.extend_from_slice(buffer);
        self.put(std::mem::replace(buffer, larger));
    }

    /// An empty buffer for the last step of a window: apart from the others, so that a stream does
    /// not hold the memory of a window.
    fn take_grown(&mut self, wanted: usize) -> Vec<u8> {
        let mut grown = self.grown.pop().unwrap_or_default();
        grown.reserve_exact(wanted.max(GROWN_BYTES_MAX.min(wanted + LARGE_BYTES)));
        grown
    }

    /// Keeps `buffer` for the next who takes one, unless there are enough.
    pub fn put(&mut self, mut buffer: Vec<u8>) {
        let kept = match buffer.capacity() {
            0 => return,
            1..MEDIUM_BYTES => &mut self.small,
            MEDIUM_BYTES..LARGE_BYTES => &mut self.medium,
            LARGE_BYTES => &mut self.large,
            LARGE_BYTES_PLUS..=GROWN_BYTES_MAX => &mut self.grown,
            // Grown for one message beyond what others need.
            _ => return,
        };
        if kept.len() < SPARE_BUFFERS_MAX {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GROWN_BYTES_MAX, LARGE_BYTES, SPARE_BUFFERS_MAX, Spare};

    #[test]
    fn a_buffer_comes_back_empty_and_to_its_kind() {
        let mut spare = Spare::default();
        spare.put(vec![1; 100]);
        spare.put(vec![1; 100_000]);
        let (small, medium) = (spare.take_small(), spare.take_medium());
        assert_eq!((small.len(), medium.len()), (0, 0));
        assert!(small.capacity() < medium.capacity());
        assert_eq!(spare.take_small().capacity(), 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut spare = Spare::default();
        spare.put(Vec::with_capacity(GROWN_BYTES_MAX + 1));
        (0..=SPARE_BUFFERS_MAX).for_each(|_| spare.put(vec![1; 100]));
        assert_eq!((spare.small.len(), spare.medium.len(), spare.large.len()), (SPARE_BUFFERS_MAX, 0, 0));
    }

    #[test]
    fn content_moves_once_when_it_outgrows_its_first_buffer() {
        let mut spare = Spare::default();
        let mut buffer = spare.take_medium();
        buffer.extend_from_slice(b"begin");
        spare.make_room(&mut buffer, 90_000);
        assert_eq!((&buffer[..], buffer.capacity()), (&b"begin"[..], LARGE_BYTES));
        assert_eq!(spare.medium.len(), 1);
    }
}
