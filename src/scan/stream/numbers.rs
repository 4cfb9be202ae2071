//! The database of numbers, at work only where the gate says that its matches may be.
//!
//! The engine knows of what is before a span nothing, and takes a span's start for the start of a word. So a
//! span starts one longest match early, and an end that a match from the first byte may have does not count;
//! it ends one byte late, for what stands behind a number. Spans that are close are one, and one that is
//! close to the end of the block goes on with the next: no byte is scanned twice.

use std::ops::Range;

use super::{BLOCK_BYTES, Engine, Noted, Notes, ORIGIN, Stream, TAIL_BYTES};
use crate::scan::database::{self, Scanned};
use crate::scan::gate::{CELL_BYTES, REACH_BYTES_MAX};

/// Starting anew costs about what scanning so much does.
const CLOSE_BYTES: usize = 256;

const _: () = assert!(TAIL_BYTES > 2 * REACH_BYTES_MAX + 2 * CELL_BYTES + CLOSE_BYTES);
const _: () = assert!(BLOCK_BYTES.is_multiple_of(CELL_BYTES));

/// Where the numbers of one stream stand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spot {
    /// Digits of the last cell.
    digits: u32,
    /// Where the span ends that is not over, in the stream.
    open: Option<u64>,
    /// Ends up to here do not count in it.
    after: u64,
}

impl Stream {
    pub(super) fn run_numbers(
        &mut self,
        last: bool,
        scratch: &mut database::Scratch,
        matches: &mut Vec<Noted>,
    ) {
        let Some(mut engine) = self.numbers.take() else { return };
        let mut spans = std::mem::take(&mut self.spans);
        self.find_spans(last, &mut spans);
        for span in spans.drain(..) {
            self.run_span(span, &mut engine, scratch, matches);
        }
        if last {
            self.end_numbers(&mut engine, scratch, matches);
        }
        self.spans = spans;
        self.numbers = Some(engine);
    }

    /// The spans of this block in order, by their place in the buffer.
    fn find_spans(&mut self, last: bool, spans: &mut Vec<Range<usize>>) {
        let gate = &self.set.gate;
        let (valid, end) = (ORIGIN - self.held, ORIGIN + self.filled);
        let first = self.spot.open.map(|to| ORIGIN..self.place(to));
        spans.extend(first);
        let floor = if self.spot.open.is_some() { ORIGIN } else { valid };
        gate.look(&mut self.spot.digits, (&self.buffer, valid), ORIGIN..end, &mut |region| {
            let from = region.start.saturating_sub(gate.reach() + 1).max(floor);
            let to = region.end + 1;
            match spans.last_mut() {
                // A later region may start before an earlier one, by a cell at most.
                Some(span) if from <= span.end + CLOSE_BYTES => {
                    span.start = span.start.min(from);
                    span.end = span.end.max(to);
                }
                _ => spans.push(from..to),
            }
        });
        let reach_back = CELL_BYTES + gate.reach() + 1 + CLOSE_BYTES;
        if let Some(span) = spans.last_mut().filter(|span| !last && span.end + reach_back >= end) {
            span.end = span.end.max(end + 1);
        }
    }

    /// Scans what of `span` is in the block, and leaves it open if there is more.
    fn run_span(
        &mut self,
        span: Range<usize>,
        engine: &mut Engine,
        scratch: &mut database::Scratch,
        matches: &mut Vec<Noted>,
    ) {
        let (start, filled) = (self.offset(span.start), ORIGIN + self.filled);
        if self.spot.open.is_none() {
            engine.base = start;
            // The stream's start is the start of a word.
            self.spot.after = if start == 0 { 0 } else { start + self.set.gate.reach() as u64 };
        }
        let bytes = self.buffer.get(span.start..span.end.min(filled)).unwrap_or_default();
        let mut notes = Notes::new(&self.set, self.set.first_number, engine, self.length(), matches);
        notes.after = self.spot.after;
        let mut result = engine.state.scan(bytes, scratch, &mut notes);
        let (flood, ends) = (notes.flood, notes.ends);
        let goes_on = span.end > filled && result != Ok(Scanned::Stopped);
        self.spot.open = goes_on.then(|| self.offset(span.end));
        if !goes_on {
            result = engine.state.abandon().and(result);
        }
        engine.ends = ends;
        self.shortfall.flood |= flood;
        self.shortfall.engine |= result.is_err();
    }

    /// The stream is over: what is open may end with it.
    fn end_numbers(
        &mut self,
        engine: &mut Engine,
        scratch: &mut database::Scratch,
        matches: &mut Vec<Noted>,
    ) {
        if self.spot.open.take().is_none() {
            return;
        }
        let mut notes = Notes::new(&self.set, self.set.first_number, engine, self.length(), matches);
        notes.after = self.spot.after;
        let result = engine.state.finish(scratch, &mut notes);
        self.shortfall.flood |= notes.flood;
        self.shortfall.engine |= result.is_err();
    }

    /// Where in the buffer the byte at `offset` of the stream is, or will be.
    fn place(&self, offset: u64) -> usize {
        ORIGIN + usize::try_from(offset.saturating_sub(self.at)).unwrap_or(0)
    }

    /// Where in the stream the byte at `place` of the buffer is.
    const fn offset(&self, place: usize) -> u64 {
        (self.at + place as u64).saturating_sub(ORIGIN as u64)
    }
}
