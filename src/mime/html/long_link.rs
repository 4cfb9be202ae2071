//! A link too long to be held that holds a file itself: `data:` (RFC 2397), told in pieces.
//!
//! What must hold: where pieces end depends on the value alone, not on cuts, and never lies within a
//! reference that is shorter than [`REFERENCE_BYTES_MAX`]; no more than one piece is held.

use memchr::memrchr;

use super::tag::{resolved, target};
use super::{HtmlEvent, Sink, VALUE_BYTES_MAX, append, before, behind};

/// The longest reference that is kept whole: longer ones are only ever written by hand.
const REFERENCE_BYTES_MAX: usize = 64;

/// Such a link, if the value at hand is one.
#[derive(Debug, Default)]
pub(super) struct LongLink {
    state: State,
    /// What was not told yet, as it is written.
    held: String,
    /// A value was told in pieces, and nobody has asked yet.
    told: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No value has become too long.
    #[default]
    None,
    /// It is some other link.
    Other,
    Data,
}

/// Whether a link, as browsers follow it, holds a file.
pub(super) fn is_data(target: &str) -> bool {
    target.get(.."data:".len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

impl LongLink {
    /// A value goes on with `rest` behind `beginning`, which is all of it that is held elsewhere.
    pub(super) fn push(&mut self, beginning: &str, rest: &str, sink: &mut Sink<'_>) {
        if self.state == State::None {
            let begins = is_data(&target(&resolved(beginning)));
            self.state = if begins { State::Data } else { State::Other };
            if begins {
                self.held.push_str(beginning.trim_start_matches(|character| character <= ' '));
            }
        }
        if self.state != State::Data {
            return;
        }
        let mut rest = rest;
        loop {
            let room = VALUE_BYTES_MAX.saturating_sub(self.held.len());
            let taken = rest.floor_char_boundary(room);
            append(rest, VALUE_BYTES_MAX, &mut self.held);
            rest = behind(rest, taken);
            if rest.is_empty() {
                return;
            }
            self.tell_some(sink);
        }
    }

    /// The value is over; whether it was such a link.
    pub(super) fn end(&mut self, sink: &mut Sink<'_>) -> bool {
        let was_data = self.state == State::Data;
        if was_data {
            sink(HtmlEvent::Data { piece: &resolved(&self.held), last: true });
        }
        self.state = State::None;
        self.held.clear();
        self.told |= was_data;
        was_data
    }

    /// Whether the value at hand was told in pieces.
    pub(super) fn take_told(&mut self) -> bool {
        std::mem::take(&mut self.told)
    }

    /// Tells what is held, but for a reference that may go on.
    fn tell_some(&mut self, sink: &mut Sink<'_>) {
        let last = memrchr(b'&', self.held.as_bytes()).unwrap_or(0);
        let goes_on = last > 0 && self.held.len() - last < REFERENCE_BYTES_MAX;
        let end = if goes_on { last } else { self.held.len() };
        sink(HtmlEvent::Data { piece: &resolved(before(&self.held, end)), last: false });
        self.held.drain(..end);
    }
}
