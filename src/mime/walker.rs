//! The push walker: content in at any cut, events out.
//!
//! What holds for all of it is said in the module above; how one message is walked in [`message`].

mod message;

pub(crate) use message::Message;

use memchr::memmem::Finder;

use crate::mime::{Bounds, Origin, PartId, Sink, archive};

/// What all messages and archives within one message share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) bounds: Bounds,
    /// What archives may still unpack.
    pub(crate) archives: archive::Budget,
    /// Finds what delimiters begin with.
    pub(crate) hyphens: Finder<'static>,
    next_part: u32,
}

impl Shared {
    fn new(bounds: Bounds) -> Self {
        let archives = archive::Budget::new(&bounds.archive);
        let hyphens = Finder::new(b"--");
        Self { bounds, archives, hyphens, next_part: 0 }
    }

    fn reset(&mut self) {
        self.archives = archive::Budget::new(&self.bounds.archive);
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

    /// Ready for the next message; buffers are kept, large ones given back.
    pub fn reset(&mut self) {
        self.message.reset();
        self.shared.reset();
        self.begun = false;
    }

    fn begin(&mut self, sink: &mut dyn Sink) {
        if !std::mem::replace(&mut self.begun, true) {
            self.message.begin(PartId::MESSAGE, Origin::Message, 0, &mut self.shared, sink);
        }
    }
}

#[cfg(test)]
mod tests;
