//! One message being walked: header sections, multiparts, messages in them.
//!
//! RFC 5322 §2.1, RFC 2046 §5.1 and §5.2.1. Parts that are open form a stack; the innermost is in its
//! header section or in its body. A delimiter of any open multipart, seen at the beginning of a line
//! in either, ends all that is inside of it.
//!
//! Where the structure can be read in two ways, the reading goes on in one, and from there on the
//! whole rest of the message is also read [`Raw`], without any structure.
//!
//! What must always hold: a part that was begun is ended; a part within another is ended before it;
//! what is held is a field and a line, each to a bound.

mod body;
mod section;

use crate::mime::content_type::Section;
use crate::mime::defect::{Defect, Defects};
use crate::mime::delimiter::{Boundaries, Match};
use crate::mime::encoded_word;
use crate::mime::header::Splitter;
use crate::mime::leaf::{Around, Leaf, Raw};
use crate::mime::walker::Shared;
use crate::mime::{Event, Origin, PartId, Sink};

/// Octets that the raw reading and the structure take in turns.
const BLOCK_BYTES: usize = 1024;
/// Capacity that a buffer may keep for the next message.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// What one takes beside what it holds of its content.
pub const MESSAGE_BYTES: usize = size_of::<Message>();

/// The walker of one message: the whole content, or a message that was encoded within it.
#[derive(Debug, Default)]
pub(crate) struct Message {
    state: State,
    content: Content,
    /// The parts around the one that is being read, outermost first.
    levels: Vec<Level>,
    boundaries: Boundaries,
    /// The part that is being read: in its header section, or a leaf.
    part: Part,
    section: Section,
    fields: Fields,
    splitter: Splitter,
    leaf: Leaf,
    /// What may turn out to be a delimiter: a line end and what follows it.
    held: Vec<u8>,
    /// A body line begins, whose line end belongs to something else.
    line_start: bool,
    /// The rest of this line is of no meaning: it belongs to an extended delimiter.
    skip_line: bool,
    /// The whole rest of the message, whatever its structure.
    raw: Option<Box<Raw>>,
    /// The content from where the raw reading began, until there is a block of it. The raw reading
    /// takes each block before the structure does: so their events have one order, wherever the
    /// input was cut.
    block: Vec<u8>,
    /// The raw reading began in what is being taken.
    fresh: bool,
    /// The part that is the message itself.
    root: PartId,
    /// Messages around this one and multiparts around them; archives.
    around: Around,
    /// Octets that have been read.
    seen: u64,
}

/// What the next octets are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    /// A body, or what stands between the parts of a multipart.
    Body,
    /// Too many parts: nothing is looked for any more.
    Opaque,
}

/// Where octets of a body go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Content {
    /// Outside of the parts of a multipart, and nothing but line ends seen so far.
    #[default]
    Nothing,
    /// The same, and a part was made of it.
    Outside(PartId),
    /// The leaf that is `Message::part`.
    Leaf,
    /// Only the raw view sees it: it lies too deep.
    Unread,
}

/// A part, as far as it matters while it is open.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    id: PartId,
    /// Told so far.
    defects: Defects,
}

/// A part that has others within it, and is open.
#[derive(Clone, Copy, Debug)]
struct Level {
    part: Part,
    kind: Kind,
    /// Parts within it are messages by default.
    digest: bool,
    /// What had been read when its body began.
    from: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A message/rfc822: the message in it is a part of its own.
    Message,
    /// No delimiter was seen yet and to most readers it is a leaf.
    Armed,
    Multipart {
        place: Place,
    },
}

/// Where in a multipart we stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Inside,
    After,
}

/// What is known of the header section that is being read, and buffers for its fields.
#[derive(Debug, Default)]
struct Fields {
    bytes: usize,
    count: usize,
    /// A continuation line of white space was seen.
    blank: bool,
    words: encoded_word::Reader,
}

impl Fields {
    const fn reset(&mut self) {
        self.bytes = 0;
        self.count = 0;
        self.blank = false;
    }
}

impl Message {
    /// Begins at the header section of a new message that came out of `parent`.
    pub(crate) fn begin(
        &mut self,
        parent: PartId,
        origin: Origin,
        around: Around,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) {
        self.around = around;
        self.root = parent;
        self.begin_part(parent, origin, false, shared, sink);
        if self.state != State::Opaque {
            self.root = self.part.id;
        }
    }

    /// Takes the next octets: straight from the chunk, until some defect asks for the raw reading.
    pub(crate) fn push(&mut self, chunk: &[u8], shared: &mut Shared, sink: &mut dyn Sink) {
        let mut at = 0;
        while at < chunk.len() && self.raw.is_none() {
            at = self.step(chunk, at, shared, sink);
        }
        self.fresh = false;
        let mut rest = &chunk[at..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(piece);
            rest = after;
            if self.block.len() == BLOCK_BYTES {
                self.take_block(shared, sink);
            }
        }
    }

    /// A block goes to the raw reading first, then to the structure.
    fn take_block(&mut self, shared: &mut Shared, sink: &mut dyn Sink) {
        let block = std::mem::take(&mut self.block);
        if let Some(raw) = &mut self.raw {
            raw.push(&block, self.root, shared, sink);
        }
        let mut at = 0;
        while at < block.len() {
            at = self.step(&block, at, shared, sink);
        }
        self.block = block;
        self.block.clear();
    }

    /// Reads on in `chunk` from `at`, up to where something ends or begins; where that is.
    fn step(&mut self, chunk: &[u8], at: usize, shared: &mut Shared, sink: &mut dyn Sink) -> usize {
        match self.state {
            _ if self.skip_line => self.skip(chunk, at, shared, sink),
            State::Header => self.header(chunk, at, shared, sink),
            State::Body => self.body(chunk, at, shared, sink),
            State::Opaque => {
                self.seen += (chunk.len() - at) as u64;
                chunk.len()
            }
        }
    }

    /// Ends all parts, innermost first.
    pub(crate) fn finish(&mut self, shared: &mut Shared, sink: &mut dyn Sink) {
        self.take_block(shared, sink);
        match self.state {
            State::Header => self.finish_header(shared, sink),
            State::Body => self.finish_body(shared, sink),
            State::Opaque => {}
        }
        // A last delimiter without line end may have begun a part.
        self.end_headers(shared, sink);
        if let Some(mut raw) = self.raw.take() {
            raw.finish(self.root, shared, sink);
        }
        self.close_inside(0, shared, sink);
    }

    /// Forgets the message, finished or not; keeps the buffers, unless they grew.
    pub(crate) fn reset(&mut self) {
        self.state = State::Header;
        self.content = Content::Nothing;
        self.levels.clear();
        self.boundaries.clear();
        self.part = Part::default();
        self.splitter.reset();
        self.leaf.reset();
        self.held.clear();
        self.line_start = false;
        self.skip_line = false;
        self.raw = None;
        self.fresh = false;
        self.block.clear();
        self.seen = 0;
        self.splitter.shrink(KEPT_BYTES_MAX);
    }

    /// Octets whose meaning is settled: counted, and shown to the raw reading if it began in them.
    fn pass(&mut self, octets: &[u8], shared: &mut Shared, sink: &mut dyn Sink) {
        self.seen += octets.len() as u64;
        if let Some(raw) = self.raw.as_mut().filter(|_| self.fresh) {
            raw.push(octets, self.root, shared, sink);
        }
    }

    /// Tells a defect of the part that is being read.
    fn tell(&mut self, defect: Defect, sink: &mut dyn Sink) {
        if self.part.defects.insert(defect) {
            sink.on(Event::Defect { part: self.part.id, defect });
            self.doubt(defect);
        }
    }

    /// The same of an open part around it.
    fn tell_level(&mut self, level: usize, defect: Defect, sink: &mut dyn Sink) {
        let Some(Level { part, .. }) = self.levels.get_mut(level) else {
            return;
        };
        if part.defects.insert(defect) {
            sink.on(Event::Defect { part: part.id, defect });
            self.doubt(defect);
        }
    }

    /// From here on the message is also read raw, if a defect makes its structure doubtful.
    fn doubt(&mut self, defect: Defect) {
        if defect.unsettles() && self.raw.is_none() {
            self.raw = Some(Box::new(Raw::new(false, self.around.archives)));
            self.fresh = true;
        }
    }

    /// A delimiter stands in `line`: what was inside of its level is over, and its next part begins,
    /// or what follows its parts.
    fn delimiter(&mut self, found: Match, line: &[u8], shared: &mut Shared, sink: &mut dyn Sink) {
        let level = found.level;
        self.close_inside(level + 1, shared, sink);
        if found.extended {
            self.tell_level(level, Defect::DelimiterExtended, sink);
        }
        if found.collides {
            self.tell_level(level, Defect::DelimiterCollides, sink);
        }
        if found.adopted {
            self.boundaries.adopt(level, line.get(2..).unwrap_or_default());
        }
        self.enter(level, found.close, sink);
        self.pass(line, shared, sink);
        self.state = State::Body;
        self.line_start = true;
        self.content = Content::Nothing;
        if !found.close {
            let Some(parent) = self.levels.last().map(|level| level.part.id) else {
                return;
            };
            let digest = matches!(self.levels.last(), Some(Level { digest: true, .. }));
            self.begin_part(parent, Origin::Multipart, digest, shared, sink);
        }
    }

    /// Steps over a delimiter of `level`.
    fn enter(&mut self, level: usize, close: bool, sink: &mut dyn Sink) {
        let Some(Level { kind, .. }) = self.levels.get_mut(level) else {
            return;
        };
        let place = if close { Place::After } else { Place::Inside };
        let before = std::mem::replace(kind, Kind::Multipart { place });
        match before {
            Kind::Armed => self.tell_level(level, Defect::MultipartUndeclared, sink),
            Kind::Multipart { place: Place::After } if !close => {
                self.tell_level(level, Defect::PartAfterEnd, sink);
            }
            Kind::Multipart { .. } | Kind::Message => {}
        }
    }

    /// Ends the part that is being read and all levels from `level` on.
    fn close_inside(&mut self, level: usize, shared: &mut Shared, sink: &mut dyn Sink) {
        let content = std::mem::replace(&mut self.content, Content::Nothing);
        match content {
            Content::Leaf => {
                let octets = self.leaf.finish(shared, sink);
                // A leaf that became a multipart goes on as that.
                let same = self.levels.last().is_some_and(|level| level.part.id == self.part.id);
                if !same {
                    sink.on(Event::End { part: self.part.id, octets });
                }
            }
            Content::Outside(id) => {
                let octets = self.leaf.finish(shared, sink);
                sink.on(Event::End { part: id, octets });
            }
            Content::Unread if self.state != State::Opaque => {
                sink.on(Event::End { part: self.part.id, octets: 0 });
            }
            Content::Unread | Content::Nothing => {}
        }
        while self.levels.len() > level {
            if let Some(level) = self.levels.pop() {
                self.close_level(level, sink);
            }
        }
        self.boundaries.close(level);
    }

    /// Ends a part that has others within it, all of which have ended.
    fn close_level(&self, mut level: Level, sink: &mut dyn Sink) {
        let defect = match level.kind {
            Kind::Multipart { place: Place::Before } => Some(Defect::BoundaryUnseen),
            Kind::Multipart { place: Place::Inside } => Some(Defect::EndMissing),
            Kind::Multipart { place: Place::After } | Kind::Armed | Kind::Message => None,
        };
        let part = level.part.id;
        if let Some(defect) = defect.filter(|defect| level.part.defects.insert(*defect)) {
            sink.on(Event::Defect { part, defect });
        }
        sink.on(Event::End { part, octets: self.seen - level.from });
    }
}
