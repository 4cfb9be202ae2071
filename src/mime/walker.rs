//! The push walker: content in at any cut, events out.
//!
//! What holds for all of it is said in the module above; how one message is walked in [`message`].

mod message;

pub use message::MESSAGE_BYTES;
pub(crate) use message::Message;

use memchr::memmem::Finder;

use crate::mime::leaf::Around;
use crate::mime::{Bounds, Buffers, Origin, PartId, Sink, archive};

/// What all messages and archives within one message share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) bounds: Bounds,
    /// What archives may still unpack.
    pub(crate) archives: archive::Budget,
    pub(crate) buffers: Buffers,
    pub(crate) open: Opened,
    /// Finds what delimiters begin with.
    pub(crate) hyphens: Finder<'static>,
    next_part: u32,
}

/// What is open at a time, in all readings together: each second reading may open as much as the first
/// one, so that depth alone would not bound it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opened {
    pub(crate) archives: usize,
    /// Messages that were encoded.
    pub(crate) messages: usize,
    pub(crate) second_readings: usize,
}

/// Second readings that are open at a time.
pub const SECOND_READINGS_MAX: usize = 4;
/// Messages that were encoded, open at a time. One in another, they do not reach it.
pub const MESSAGES_MAX: usize = 128;

/// Archives that are open at a time: in two readings as many as may lie in each other.
pub const fn archives_max(bounds: &archive::Bounds) -> usize {
    2 * (bounds.depth_max + 1)
}

impl Opened {
    /// Counts one more in `count`, unless there are `max`.
    pub(crate) const fn count(count: &mut usize, max: usize) -> bool {
        let fits = *count < max;
        *count += fits as usize;
        fits
    }
}

impl Shared {
    fn new(bounds: Bounds) -> Self {
        let archives = archive::Budget::new(&bounds.archive);
        let hyphens = Finder::new(b"--");
        Self { bounds, archives, buffers: Buffers::default(), open: Opened::default(), hyphens, next_part: 0 }
    }

    fn reset(&mut self) {
        self.archives = archive::Budget::new(&self.bounds.archive);
        self.open = Opened::default();
        self.next_part = 0;
    }

    /// The number of the next part, unless there are too many.
    pub(crate) const fn part(&mut self) -> Option<PartId> {
        if self.next_part >= self.bounds.parts {
            return None;
        }
        let part = PartId(self.next_part);
        self.next_part += 1;
        Some(part)
    }
}

/// Walks one message after the other.
#[derive(Debug)]
pub struct Walker {
    message: Message,
    shared: Shared,
    begun: bool,
}

impl Walker {
    pub fn new(bounds: Bounds) -> Self {
        Self { message: Message::default(), shared: Shared::new(bounds), begun: false }
    }

    /// Takes the next octets of the content: CRLF line ends, unstuffed.
    pub fn push<S: Sink>(&mut self, content: &[u8], sink: &mut S) {
        self.begin(sink);
        self.message.push(content, &mut self.shared, sink);
    }

    /// The content is complete: ends every part.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) {
        self.begin(sink);
        self.message.finish(&mut self.shared, sink);
    }

    /// Exchanges the buffers it works in for those of `buffers`: a worker lends its own for each push.
    pub const fn lend(&mut self, buffers: &mut Buffers) {
        std::mem::swap(&mut self.shared.buffers, buffers);
    }

    /// Ready for the next message; buffers are kept, large ones given back.
    pub fn reset(&mut self) {
        self.message.reset();
        self.shared.reset();
        self.begun = false;
    }

    fn begin(&mut self, sink: &mut dyn Sink) {
        if !std::mem::replace(&mut self.begun, true) {
            let around = Around::default();
            self.message.begin(PartId::MESSAGE, Origin::Message, around, &mut self.shared, sink);
        }
    }
}

#[cfg(test)]
mod tests;
