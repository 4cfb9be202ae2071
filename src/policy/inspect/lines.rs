//! Places that consist of items: header fields, links, file names. One stream each for a message.
//!
//! Most messages have few items, and a stream is large: the first ones wait as they are, and a stream is
//! opened when they become many, else at the end. Items are looked at in their order in any case.

use std::sync::Arc;

use super::engine::Engine;
use super::finder::Found;
use crate::scan::{Scratch, Set, Stream};

/// Bytes of items that wait for a stream.
const WAITING_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug, Default)]
pub(super) struct Lines {
    open: Vec<Items>,
    line: String,
}

/// The items of one place.
#[derive(Debug)]
struct Items {
    set: Arc<Set>,
    stream: Option<Stream>,
    /// Those that no stream has seen, one behind the other, and where each ends.
    waiting: String,
    ends: Vec<usize>,
}

impl Items {
    fn new(set: &Arc<Set>) -> Self {
        Self { set: Arc::clone(set), stream: None, waiting: String::new(), ends: Vec::new() }
    }

    fn push(&mut self, item: &str, engine: &Engine, found: &mut Found, scratch: &mut Scratch) {
        if self.stream.is_none() && self.waiting.len() + item.len() <= WAITING_BYTES_MAX {
            self.waiting.push_str(item);
            self.ends.push(self.waiting.len());
            return;
        }
        let stream = self.stream(engine, found, scratch);
        let place = stream.set().place().clone();
        stream.push_line(item, scratch, &mut |hit| found.on_hit(engine, &place, None, &hit));
    }

    /// The stream, which has seen all that waited.
    fn stream(&mut self, engine: &Engine, found: &mut Found, scratch: &mut Scratch) -> &mut Stream {
        let stream = self.stream.get_or_insert_with(|| scratch.open(&self.set));
        let mut begin = 0;
        for end in std::mem::take(&mut self.ends) {
            let item = self.waiting.get(begin..end).unwrap_or_default();
            stream.push_line(item, scratch, &mut |hit| found.on_hit(engine, self.set.place(), None, &hit));
            begin = end;
        }
        self.waiting = String::new();
        stream
    }

    fn finish(mut self, engine: &Engine, found: &mut Found, scratch: &mut Scratch) {
        self.stream(engine, found, scratch);
        let Some(mut stream) = self.stream else { return };
        let place = self.set.place();
        let shortfall = stream.finish(scratch, &mut |hit| found.on_hit(engine, place, None, &hit));
        found.on_shortfall(shortfall);
        scratch.park(stream);
    }
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
        let known = self.open.iter().position(|items| Arc::ptr_eq(&items.set, set));
        let index = known.unwrap_or_else(|| {
            self.open.push(Items::new(set));
            self.open.len() - 1
        });
        if let Some(items) = self.open.get_mut(index) {
            items.push(item, engine, found, scratch);
        }
    }

    pub(super) fn finish(&mut self, engine: &Engine, found: &mut Found, scratch: &mut Scratch) {
        self.open.drain(..).for_each(|items| items.finish(engine, found, scratch));
    }

    pub(super) fn reset(&mut self, scratch: &mut Scratch) {
        self.open.drain(..).filter_map(|items| items.stream).for_each(|stream| scratch.park(stream));
    }
}
