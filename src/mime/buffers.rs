//! Room for what is decoded within one push, shared by all messages of a worker.
//!
//! A piece of a message is decoded, looked at and forgotten before the next piece of any message comes:
//! so what it is decoded into need not be held by each message. Layers lie within each other (an archive
//! in an archive), and each takes buffers of its own while it is at work.
//!
//! Invariant: nothing that is in a buffer outlives the push in which it was taken.

/// Buffers of one kind that are kept: two or three for each layer, of which there are seldom many.
pub const BUFFERS_MAX: usize = 24;
/// The capacity of the largest that is kept: a piece of 32 KiB is three times as much in some charsets.
pub const BUFFER_BYTES_MAX: usize = 128 * 1024;

/// Empty buffers with capacity.
#[derive(Debug, Default)]
pub struct Buffers {
    octets: Vec<Vec<u8>>,
    texts: Vec<String>,
}

impl Buffers {
    /// An empty buffer for octets.
    pub(crate) fn octets(&mut self) -> Vec<u8> {
        self.octets.pop().unwrap_or_default()
    }

    /// An empty buffer for text.
    pub(crate) fn text(&mut self) -> String {
        self.texts.pop().unwrap_or_default()
    }

    /// Takes one back.
    pub(crate) fn put_octets(&mut self, mut buffer: Vec<u8>) {
        if is_kept(buffer.capacity(), self.octets.len()) {
            buffer.clear();
            self.octets.push(buffer);
        }
    }

    /// Takes one back.
    pub(crate) fn put_text(&mut self, mut buffer: String) {
        if is_kept(buffer.capacity(), self.texts.len()) {
            buffer.clear();
            self.texts.push(buffer);
        }
    }
}

fn is_kept(capacity: usize, kept: usize) -> bool {
    (1..=BUFFER_BYTES_MAX).contains(&capacity) && kept < BUFFERS_MAX
}

#[cfg(test)]
mod tests {
    use super::{BUFFER_BYTES_MAX, BUFFERS_MAX, Buffers};

    #[test]
    fn a_buffer_comes_back_empty() {
        let mut buffers = Buffers::default();
        buffers.put_octets(b"Cat".to_vec());
        buffers.put_text("Cat".to_owned());
        let (octets, text) = (buffers.octets(), buffers.text());
        assert_eq!((octets.len(), text.len()), (0, 0));
        assert!(octets.capacity() >= 3 && text.capacity() >= 3);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut buffers = Buffers::default();
        buffers.put_octets(Vec::new());
        buffers.put_octets(Vec::with_capacity(BUFFER_BYTES_MAX + 1));
        assert!(buffers.octets.is_empty());
        (0..=BUFFERS_MAX).for_each(|_| buffers.put_octets(vec![1]));
        assert_eq!(buffers.octets.len(), BUFFERS_MAX);
    }
}
