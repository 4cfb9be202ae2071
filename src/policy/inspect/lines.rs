//! Places that consist of items: header fields, links, file names. One stream each for a message.

use std::sync::Arc;

use super::engine::Engine;
use super::finder::Found;
use crate::scan::pattern::Place;
use crate::scan::{Scratch, Set, Stream};

#[derive(Debug, Default)]
pub(super) struct Lines {
    open: Vec<Stream>,
    line: String,
}

impl Lines {
    /// A header field: `name: text`, and the text alone for patterns of that name.
    pub(super) fn field(
        &mut self,
        name: &str,
        text: &str,
        engine: &Engine,
        found: &mut Found,
        scratch: &mut Scratch,
    ) {
        if let Some(set) = &engine.header {
            let mut line = std::mem::take(&mut self.line);
            line.clear();
            line.extend([name, ": ", text]);
            self.push(set, &line, engine, found, scratch);
            self.line = line;
        }
        let named = engine.named_headers.then(|| engine.rules().header_set(name.as_bytes()));
        if let Some(set) = named.flatten() {
            self.push(set, text, engine, found, scratch);
        }
    }

    /// One item of `set`.
    pub(super) fn push(
        &mut self,
        set: &Arc<Set>,
        item: &str,
        engine: &Engine,
        found: &mut Found,
        scratch: &mut Scratch,
    ) {
        let known = self.open.iter().position(|stream| Arc::ptr_eq(stream.set(), set));
        let index = known.unwrap_or_else(|| {
            self.open.push(scratch.open(set));
            self.open.len() - 1
        });
        if let Some(stream) = self.open.get_mut(index) {
            stream.push_line(item, scratch, &mut |hit| found.on_hit(engine, set.place(), None, &hit));
        }
    }

    pub(super) fn finish(&mut self, engine: &Engine, found: &mut Found, scratch: &mut Scratch) {
        for mut stream in self.open.drain(..) {
            let set = Arc::clone(stream.set());
            let place: &Place = set.place();
            let shortfall = stream.finish(scratch, &mut |hit| found.on_hit(engine, place, None, &hit));
            found.on_shortfall(shortfall);
            scratch.park(stream);
        }
    }

    pub(super) fn reset(&mut self, scratch: &mut Scratch) {
        self.open.drain(..).for_each(|stream| scratch.park(stream));
    }
}
