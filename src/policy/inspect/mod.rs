//! Content → facts: the walker's events meet the patterns, while the content passes.
//!
//! * `engine`: what a configuration looks for, compiled; immutable, shared by all workers;
//! * `finder`: takes the walker's events and keeps the streams that are open;
//! * `lines`: places that consist of items (header fields, links, file names);
//! * `evidence`: what a person may see of a hit.
//!
//! What must always hold: every octet of content is seen by the walker and by the raw place before
//! [`Inspection::finish`] returns; facts do not depend on where the content was cut; whatever was not
//! looked at is a limit among the facts, never silence; one message holds at most
//! [`STREAMS_OPEN_MAX`] streams and the walker.

mod engine;
mod evidence;
mod finder;
mod lines;
pub mod outline;

use std::sync::Arc;

use super::facts::Facts;
use crate::mime::{Buffers, Walker};
use crate::scan::Scratch;
use crate::scan::pattern::Place;

pub use engine::Engine;
pub use evidence::Evidence;
use finder::{Finder, Finding};
use outline::Outline;

/// Streams that one message may have open at a time.
pub const STREAMS_OPEN_MAX: usize = 32;
/// Inspections that a worker keeps for the next message.
pub const INSPECTIONS_IDLE_MAX: usize = 16;

/// What one worker needs for all its inspections.
#[derive(Debug)]
pub struct Bench {
    scratch: Scratch,
    buffers: Buffers,
    #[expect(clippy::vec_box, reason = "they are handed out and taken back as they are: large")]
    idle: Vec<Box<Inspection>>,
    /// For which engine all of this is.
    served: Option<Arc<Engine>>,
}

impl Bench {
    pub fn new() -> Self {
        Self { scratch: Scratch::new(), buffers: Buffers::default(), idle: Vec::new(), served: None }
    }

    /// Begins to look into a message.
    pub fn begin(&mut self, engine: &Arc<Engine>) -> Box<Inspection> {
        self.serve(engine);
        self.idle.pop().unwrap_or_else(|| Box::new(Inspection::new(engine)))
    }

    /// Takes an inspection back, finished or not.
    pub fn end(&mut self, mut inspection: Box<Inspection>) {
        let current = self.served.as_ref().is_some_and(|served| inspection.is_of(served));
        inspection.reset(&mut self.scratch);
        if current && self.idle.len() < INSPECTIONS_IDLE_MAX {
            self.idle.push(inspection);
        }
    }

    fn serve(&mut self, engine: &Arc<Engine>) {
        if self.served.as_ref().is_some_and(|served| Arc::ptr_eq(served, engine)) {
            return;
        }
        self.idle.clear();
        // What the library cannot make ready fails again when a stream is opened, and is told there.
        let _ = self.scratch.serve(engine.rules());
        self.served = Some(Arc::clone(engine));
    }
}

/// One message that is looked into.
#[derive(Debug)]
pub struct Inspection {
    walker: Walker,
    finder: Finder,
}

impl Inspection {
    fn new(engine: &Arc<Engine>) -> Self {
        Self { walker: Walker::new(engine.bounds()), finder: Finder::new(Arc::clone(engine)) }
    }

    /// Takes the next piece of content: unstuffed, CRLF line ends only.
    pub fn push(&mut self, content: &[u8], bench: &mut Bench) {
        let Bench { scratch, buffers, .. } = bench;
        self.finder.on_raw(content, scratch);
        self.walker.lend(buffers);
        self.walker.push(content, &mut Finding { finder: &mut self.finder, scratch });
        self.walker.lend(buffers);
    }

    /// The content is over: all facts of it are known.
    pub fn finish(&mut self, bench: &mut Bench) {
        let Bench { scratch, buffers, .. } = bench;
        self.walker.lend(buffers);
        self.walker.finish(&mut Finding { finder: &mut self.finder, scratch });
        self.walker.lend(buffers);
        self.finder.finish(scratch);
    }

    pub const fn facts(&self) -> &Facts {
        &self.finder.found.facts
    }

    pub const fn facts_mut(&mut self) -> &mut Facts {
        &mut self.finder.found.facts
    }

    /// What a list has of the message's links. Only behind [`Inspection::finish`].
    pub fn note_listed(&mut self, symbol: &str, host: &str) {
        evidence::keep_shown(&mut self.finder.found.evidence, symbol, Place::Url, host);
    }

    pub fn evidence(&self) -> &[Evidence] {
        &self.finder.found.evidence
    }

    /// Notes the parts too, for whoever wants to see them.
    pub fn draw_outline(&mut self) {
        self.finder.outline = Some(Outline::default());
    }

    pub const fn outline(&self) -> Option<&Outline> {
        self.finder.outline.as_ref()
    }

    fn is_of(&self, engine: &Arc<Engine>) -> bool {
        Arc::ptr_eq(&self.finder.engine, engine)
    }

    fn reset(&mut self, scratch: &mut Scratch) {
        self.walker.reset();
        self.finder.reset(scratch);
    }
}

#[cfg(test)]
mod tests;
