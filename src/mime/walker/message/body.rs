//! The body of the part that is being read, up to the next delimiter.
//!
//! RFC 2046 §5.1.1: a delimiter stands at the beginning of a line, and the line end before it is its
//! own. What may become one is held until its line is complete; all else passes in whole blocks.

use memchr::memchr;

use super::{Content, Message, State};
use crate::mime::defect::{Defect, Limit};
use crate::mime::delimiter::{self, Match};
use crate::mime::walker::Shared;
use crate::mime::{Event, Origin, Sink};

impl Message {
    /// Reads a body in `chunk` from `at` on, to its end or to the next delimiter; where that is.
    pub(super) fn body(
        &mut self,
        chunk: &[u8],
        at: usize,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> usize {
        let rest = &chunk[at..];
        if self.boundaries.is_empty() {
            self.content(rest, shared, sink);
            return chunk.len();
        }
        if self.line_start || !self.held.is_empty() {
            return at + self.held_line(rest, shared, sink);
        }
        at + self.lines(rest, shared, sink)
    }

    /// Looks for delimiters behind line ends that `octets` hold, and passes on all before the first.
    fn lines(&mut self, octets: &[u8], shared: &mut Shared, sink: &mut dyn Sink) -> usize {
        let mut from = 0;
        while let Some(found) = shared.hyphens.find(&octets[from..]) {
            let hyphens = from + found;
            let line = &octets[hyphens + 2..];
            from = hyphens + 2 + line.iter().take_while(|byte| **byte == b'-').count();
            let Some(before) = Before::of(&octets[..hyphens]) else {
                continue;
            };
            let begin = hyphens - before.bytes;
            let Some(line) = Line::cut(line) else {
                return self.hold(octets, begin, shared, sink);
            };
            if let Some(found) = self.boundaries.find(line.text) {
                let end = hyphens + 2 + line.bytes;
                self.content(&octets[..begin], shared, sink);
                if self.state == State::Opaque {
                    return begin;
                }
                self.pass(&octets[begin..hyphens], shared, sink);
                self.skip_line = !line.ended;
                let found = Match { extended: found.extended || before.odd, ..found };
                self.delimiter(found, &octets[hyphens..end], shared, sink);
                return end;
            }
        }
        self.hold(octets, octets.len() - unfinished(octets), shared, sink)
    }

    /// Passes on what stands before `begin`, and keeps the rest until more has come.
    fn hold(&mut self, octets: &[u8], begin: usize, shared: &mut Shared, sink: &mut dyn Sink) -> usize {
        self.content(&octets[..begin], shared, sink);
        if self.state == State::Opaque {
            return begin;
        }
        self.held.extend_from_slice(&octets[begin..]);
        octets.len()
    }

    /// Goes on with a line whose beginning is held, until it is known what it is.
    fn held_line(&mut self, octets: &[u8], shared: &mut Shared, sink: &mut dyn Sink) -> usize {
        let mut at = 0;
        while beginning(&self.held, self.line_start) == Beginning::Open {
            let Some(byte) = octets.get(at) else {
                return at;
            };
            self.held.push(*byte);
            if beginning(&self.held, self.line_start) == Beginning::None {
                self.held.pop();
                self.release_held(self.held.len(), shared, sink);
                return at;
            }
            at += 1;
        }
        let before = self.held.iter().position(|byte| *byte == b'-').unwrap_or_default();
        let room = delimiter::LINE_BYTES_MAX - (self.held.len() - before - 2);
        let piece = &octets[at..octets.len().min(at + room)];
        let piece = &piece[..memchr(b'\n', piece).map_or(piece.len(), |end| end + 1)];
        let piece_bytes = piece.len();
        self.held.extend_from_slice(piece);
        at += piece_bytes;
        if let Some(line) = Line::cut(&self.held[before + 2..]) {
            let (found, ended) = (self.boundaries.find(line.text), line.ended);
            self.decide_held(found, before, ended, shared, sink);
        }
        // Only what came before `octets` need be held.
        if self.held.len() <= piece_bytes {
            at -= self.held.len();
            self.held.clear();
        }
        at
    }

    /// The line that is held is complete: it is the delimiter that was `found`, or content.
    fn decide_held(
        &mut self,
        found: Option<Match>,
        before: usize,
        ended: bool,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) {
        let Some(found) = found else {
            // The line end may begin the next delimiter.
            let next = unfinished(&self.held);
            return self.release_held(self.held.len() - next, shared, sink);
        };
        let held = std::mem::take(&mut self.held);
        let odd = match Before::of(&held[..before]) {
            Some(before) => before.odd,
            None => before > 0,
        };
        self.line_start = false;
        self.skip_line = !ended;
        self.pass(&held[..before], shared, sink);
        let found = Match { extended: found.extended || odd, ..found };
        self.delimiter(found, &held[before..], shared, sink);
        self.held = held;
        self.held.clear();
    }

    /// What is held is content, up to `bytes`.
    fn release_held(&mut self, bytes: usize, shared: &mut Shared, sink: &mut dyn Sink) {
        let mut held = std::mem::take(&mut self.held);
        self.line_start = false;
        self.content(&held[..bytes], shared, sink);
        held.drain(..bytes);
        if self.state == State::Opaque {
            self.pass(&held, shared, sink);
            held.clear();
        }
        self.held = held;
    }

    /// The rest of an extended delimiter's line.
    pub(super) fn skip(
        &mut self,
        chunk: &[u8],
        at: usize,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> usize {
        let end = memchr(b'\n', &chunk[at..]).map(|found| at + found + 1);
        self.skip_line = end.is_none();
        let end = end.unwrap_or(chunk.len());
        self.pass(&chunk[at..end], shared, sink);
        end
    }

    /// The content ends in a body: what is held is a last delimiter without line end, or content.
    pub(super) fn finish_body(&mut self, shared: &mut Shared, sink: &mut dyn Sink) {
        if self.held.is_empty() || self.boundaries.is_empty() {
            return;
        }
        let before = self.held.iter().position(|byte| *byte == b'-').unwrap_or_default();
        let found = match beginning(&self.held, self.line_start) {
            Beginning::Whole => self.boundaries.find(&self.held[before + 2..]),
            Beginning::Open | Beginning::None => None,
        };
        self.decide_held(found, before, true, shared, sink);
        self.release_held(self.held.len(), shared, sink);
        self.skip_line = false;
    }

    /// Octets of the body that are no delimiter. Line ends and white space outside of the parts of a
    /// multipart are nothing; anything more becomes a part.
    fn content(&mut self, octets: &[u8], shared: &mut Shared, sink: &mut dyn Sink) {
        if octets.is_empty() {
            return;
        }
        self.pass(octets, shared, sink);
        match self.content {
            Content::Leaf | Content::Outside(_) => self.leaf.push(octets, shared, sink),
            Content::Nothing => self.begin_outside(octets.trim_ascii_start(), shared, sink),
            Content::Unread => {}
        }
    }

    /// Something stands before the first delimiter or after the last: a part of its own.
    fn begin_outside(&mut self, octets: &[u8], shared: &mut Shared, sink: &mut dyn Sink) {
        if octets.is_empty() {
            return;
        }
        let parent = self.levels.last().map_or(self.root, |level| level.part.id);
        let Some(id) = shared.part() else {
            self.tell_level(self.levels.len().saturating_sub(1), Defect::Limit(Limit::Parts), sink);
            if let Some(raw) = self.raw.as_mut().filter(|_| self.fresh) {
                raw.push(octets, self.root, shared, sink);
            }
            self.state = State::Opaque;
            return;
        };
        sink.on(Event::Begin { part: id, parent, origin: Origin::Preamble });
        self.content = Content::Outside(id);
        self.leaf.begin_raw(id, self.raw.is_some(), self.around.archives);
        self.leaf.push(octets, shared, sink);
    }
}

/// What stands behind two hyphens at the beginning of a line.
struct Line<'a> {
    text: &'a [u8],
    /// With its line end.
    bytes: usize,
    /// It has one.
    ended: bool,
}

impl<'a> Line<'a> {
    /// The line at the beginning of `octets`, if enough of it is there to decide on.
    fn cut(octets: &'a [u8]) -> Option<Self> {
        let window = &octets[..octets.len().min(delimiter::LINE_BYTES_MAX)];
        match memchr(b'\n', window) {
            Some(end) => Some(Self { text: &window[..end], bytes: end + 1, ended: true }),
            None if window.len() == delimiter::LINE_BYTES_MAX => {
                Some(Self { text: window, bytes: window.len(), ended: false })
            }
            None => None,
        }
    }
}

/// White space before a delimiter that some readers overlook.
const INDENT_BYTES_MAX: usize = 8;

/// What stands between the content and two hyphens, if these begin a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Before {
    /// The line end, and white space behind it.
    bytes: usize,
    /// Not just a line end: only some readers see a delimiter behind it.
    odd: bool,
}

impl Before {
    /// `octets` stand before the hyphens.
    fn of(octets: &[u8]) -> Option<Self> {
        let indent = octets.iter().rev().take(INDENT_BYTES_MAX).take_while(|byte| is_indent(**byte)).count();
        let (newline, bare) = match octets[..octets.len() - indent] {
            [.., b'\r', b'\n'] => (2, false),
            [.., b'\n'] => (1, false),
            [.., b'\r'] => (1, true),
            _ => return None,
        };
        Some(Self { bytes: newline + indent, odd: bare || indent > 0 })
    }
}

const fn is_indent(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b)
}

/// How far octets are the beginning of a delimiter's line: the line end before it, and two hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    None,
    /// So far.
    Open,
    Whole,
}

/// `line_start`: the line end before was something else's.
fn beginning(octets: &[u8], line_start: bool) -> Beginning {
    let rest = match octets {
        _ if line_start => octets,
        [b'\r', b'\n', rest @ ..] | [b'\n' | b'\r', rest @ ..] => rest,
        _ => return Beginning::None,
    };
    let indent = rest.iter().take(INDENT_BYTES_MAX).take_while(|byte| is_indent(**byte)).count();
    match &rest[indent..] {
        [] | [b'-'] => Beginning::Open,
        [b'-', b'-', ..] => Beginning::Whole,
        _ => Beginning::None,
    }
}

/// How many octets at the end of `octets` may be the beginning of a delimiter's line.
fn unfinished(octets: &[u8]) -> usize {
    let hyphen = usize::from(octets.ends_with(b"-"));
    Before::of(&octets[..octets.len() - hyphen]).map_or(0, |before| before.bytes + hyphen)
}
