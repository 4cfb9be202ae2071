//! One message being walked: header sections, multiparts, messages in them.
//!
//! RFC 5322 §2.1, RFC 2046 §5.1 and §5.2.1. Parts that are open form a stack; the innermost is in its
//! header section or in its body. A delimiter of any open multipart, seen at the beginning of a line
//! in either, ends all that is inside of it.
//!
//! Where the structure can be read in two ways, the reading goes on in one, and from there on the
//! whole rest of the message also passes a [`RawView`], which knows no structure.

use memchr::{memchr, memchr2};

use crate::mime::content_type::{Body, Section, TransferEncoding};
use crate::mime::defect::{Defect, Defects, Limit};
use crate::mime::delimiter::{self, Boundaries, Match};
use crate::mime::encoded_word;
use crate::mime::header::{self, Cursor, Item, Splitter};
use crate::mime::leaf::{Leaf, Raw};
use crate::mime::walker::Shared;
use crate::mime::{Event, Origin, PartId, Sink};

/// Octets that the raw reading and the structure take in turns.
const BLOCK_BYTES: usize = 1024;
/// Capacity that a buffer may keep for the next message.
const KEPT_BYTES_MAX: usize = 64 * 1024;

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
    /// Messages around this one and multiparts around them.
    depth: usize,
    /// Octets that have been read.
    seen: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
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
    unfolded: Vec<u8>,
    text: String,
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
        depth: usize,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) {
        self.depth = depth;
        self.root = parent;
        self.begin_part(parent, origin, false, shared, sink);
        if self.state != State::Opaque {
            self.root = self.part.id;
        }
    }

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
        self.fields.unfolded.shrink_to(KEPT_BYTES_MAX);
        self.fields.text.shrink_to(KEPT_BYTES_MAX);
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
        if defect.serious() && !defect.is_of_names() && self.raw.is_none() {
            self.raw = Some(Box::new(Raw::new(false)));
            self.fresh = true;
        }
    }

    // Header sections.

    fn begin_part(
        &mut self,
        parent: PartId,
        origin: Origin,
        in_digest: bool,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) {
        self.content = Content::Nothing;
        let Some(id) = shared.part() else {
            self.part = Part { id: parent, defects: Defects::EMPTY };
            self.tell(Defect::Limit(Limit::Parts), sink);
            self.content = Content::Unread;
            self.state = State::Opaque;
            return;
        };
        self.part = Part { id, defects: Defects::EMPTY };
        sink.on(Event::Begin { part: id, parent, origin });
        self.section.reset(in_digest);
        self.fields.reset();
        self.splitter.reset();
        self.state = State::Header;
    }

    /// Reads header sections in `chunk` from `at` on; where they end.
    fn header(&mut self, chunk: &[u8], at: usize, shared: &mut Shared, sink: &mut dyn Sink) -> usize {
        let mut splitter = std::mem::take(&mut self.splitter);
        let mut cursor = Cursor::new(at);
        while self.state == State::Header && !self.skip_line && !self.fresh {
            let Some(item) = splitter.next(chunk, &mut cursor, shared.bounds.field_bytes) else {
                break;
            };
            let octets = splitter.found(chunk, &mut cursor);
            match item {
                Item::FirstLine if !self.first_line(octets, shared, sink) => continue,
                Item::FirstLine => {
                    splitter.take_line(&mut cursor);
                    continue;
                }
                Item::Field => self.field(octets, shared, sink),
                Item::LongField => {
                    self.tell(Defect::Limit(Limit::FieldBytes), sink);
                    self.field(octets, shared, sink);
                }
                Item::Skipped => self.pass(octets, shared, sink),
            }
            splitter.release(&mut cursor);
        }
        self.splitter = splitter;
        cursor.at()
    }

    /// Whether a complete line where a field may begin is none: the empty line or a delimiter.
    fn first_line(&mut self, line: &[u8], shared: &mut Shared, sink: &mut dyn Sink) -> bool {
        if header::is_empty_line(line) {
            self.pass(line, shared, sink);
            self.end_header(true, shared, sink);
            return true;
        }
        let Some(behind) = line.strip_prefix(b"--") else {
            return false;
        };
        let mut found = self.boundaries.find(behind);
        let own = found.is_none() && self.section.expects(behind);
        if found.is_none() && !own {
            return false;
        }
        self.end_headers(shared, sink);
        if own {
            // The multipart's own first delimiter, and no empty line before it.
            self.tell_level(self.levels.len().saturating_sub(1), Defect::DelimiterInHeader, sink);
            found = self.boundaries.find(behind);
        }
        match found {
            Some(found) => self.delimiter(found, line, shared, sink),
            None => self.pass(line, shared, sink),
        }
        true
    }

    fn finish_header(&mut self, shared: &mut Shared, sink: &mut dyn Sink) {
        let mut splitter = std::mem::take(&mut self.splitter);
        let rest = splitter.rest();
        if !rest.is_empty() && !self.first_line(rest, shared, sink) {
            self.field(rest, shared, sink);
        }
        splitter.reset();
        self.splitter = splitter;
    }

    /// One field with its line ends.
    fn field(&mut self, octets: &[u8], shared: &mut Shared, sink: &mut dyn Sink) {
        let within = self.count_field(octets, shared, sink);
        let first = self.fields.count == 1;
        match header::split(octets) {
            None => self.no_field(octets, first, sink),
            Some(field) => self.well_formed(field, within, sink),
        }
        self.pass(octets, shared, sink);
    }

    /// Whether the field is within the bounds of its section. Fields beyond are not told, but what
    /// they say of structure still counts.
    fn count_field(&mut self, octets: &[u8], shared: &Shared, sink: &mut dyn Sink) -> bool {
        self.fields.bytes += octets.len();
        self.fields.count += 1;
        let bounds = &shared.bounds;
        if self.fields.bytes > bounds.header_bytes {
            self.tell(Defect::Limit(Limit::HeaderBytes), sink);
        }
        if self.fields.count > bounds.fields {
            self.tell(Defect::Limit(Limit::Fields), sink);
        }
        self.fields.bytes <= bounds.header_bytes && self.fields.count <= bounds.fields
    }

    fn no_field(&mut self, octets: &[u8], first: bool, sink: &mut dyn Sink) {
        let mbox = octets.starts_with(b"From ") || octets.starts_with(b">From ");
        let defect = match octets.first() {
            Some(b' ' | b'\t') => Defect::ContinuationFirst,
            _ if mbox && first => Defect::MboxFrom,
            _ => Defect::FieldWithoutColon,
        };
        self.tell(defect, sink);
    }

    fn well_formed(&mut self, field: header::Field<'_>, within: bool, sink: &mut dyn Sink) {
        let name = header::read_name(field.name);
        let mut unfolded = std::mem::take(&mut self.fields.unfolded);
        let header::Unfolded { value, blank } = header::unfold(field.value, &mut unfolded);
        if name.disguised || (field.spaced && name.structure.is_some()) {
            self.tell(Defect::StructureFieldDisguised, sink);
        } else if name.invalid {
            self.tell(Defect::FieldNameInvalid, sink);
        } else if field.spaced {
            self.tell(Defect::SpaceBeforeColon, sink);
        }
        self.controls(value, sink);
        if let Some(structure) = name.structure {
            if self.fields.blank {
                self.tell(Defect::StructureAfterBlank, sink);
            }
            self.section.field(structure, value);
        }
        if blank {
            self.fields.blank = true;
            self.tell(Defect::BlankContinuation, sink);
        }
        if within {
            self.tell_field(field.name, value, sink);
        }
        self.fields.unfolded = unfolded;
    }

    fn controls(&mut self, value: &[u8], sink: &mut dyn Sink) {
        if memchr2(0, b'\r', value).is_none() {
            return;
        }
        if memchr(0, value).is_some() {
            self.tell(Defect::HeaderNul, sink);
        }
        if memchr(b'\r', value).is_some() {
            self.tell(Defect::HeaderBareCr, sink);
        }
    }

    fn tell_field(&mut self, name: &[u8], value: &[u8], sink: &mut dyn Sink) {
        let part = self.part.id;
        let plain = if encoded_word::suspected(value) { None } else { std::str::from_utf8(value).ok() };
        if let Some(text) = plain {
            return sink.on(Event::Field { part, name, value, text });
        }
        let defects = self.fields.words.decode(value, &mut self.fields.text);
        sink.on(Event::Field { part, name, value, text: &self.fields.text });
        for defect in defects.iter() {
            self.tell(defect, sink);
        }
    }

    /// The header section is over, by an empty line or because something else begins.
    fn end_header(&mut self, ended: bool, shared: &mut Shared, sink: &mut dyn Sink) {
        if !ended {
            self.tell(Defect::HeaderUnended, sink);
        }
        self.section.close();
        for defect in self.section.defects.iter() {
            self.tell(defect, sink);
        }
        sink.on(Event::Head { part: self.part.id, head: &self.section.head });
        self.state = State::Body;
        self.line_start = true;
        let body = self.section.body();
        let is_encoded = self.section.head.encoding != TransferEncoding::Identity;
        let opens = !(body == Body::Leaf || body == Body::Message && is_encoded);
        if opens && self.levels.len() + self.depth >= shared.bounds.depth {
            self.tell(Defect::Limit(Limit::Depth), sink);
            self.content = Content::Unread;
            return;
        }
        match body {
            Body::Multipart => self.open(Kind::Multipart { place: Place::Before }, sink),
            Body::Armed => {
                self.begin_leaf();
                self.open(Kind::Armed, sink);
            }
            Body::Message if opens => {
                self.open(Kind::Message, sink);
                self.begin_part(self.part.id, Origin::Rfc822, false, shared, sink);
            }
            Body::Message | Body::Leaf => self.begin_leaf(),
        }
    }

    /// The header section is cut off, and that of the message that begins where it would have ended.
    fn end_headers(&mut self, shared: &mut Shared, sink: &mut dyn Sink) {
        while self.state == State::Header {
            self.end_header(false, shared, sink);
        }
    }

    fn begin_leaf(&mut self) {
        self.content = Content::Leaf;
        self.leaf.begin(self.part.id, &self.section, self.depth + self.levels.len());
    }

    /// The part that was being read is one that has others within it.
    fn open(&mut self, kind: Kind, sink: &mut dyn Sink) {
        let level = self.levels.len();
        if kind != Kind::Message {
            self.check_boundaries(sink);
            self.boundaries.open(level, self.section.boundaries.iter());
        }
        let digest = self.section.is_digest();
        self.levels.push(Level { part: self.part, kind, digest, from: self.seen });
    }

    fn check_boundaries(&mut self, sink: &mut dyn Sink) {
        let reused = self.section.boundaries.iter().any(|boundary| self.boundaries.has(boundary));
        let long = self.section.boundaries.iter().any(|it| it.len() > delimiter::BOUNDARY_BYTES_MAX);
        if reused {
            self.tell(Defect::BoundaryReused, sink);
        }
        if long {
            self.tell(Defect::BoundaryLong, sink);
        }
    }

    // Bodies.

    /// Reads a body in `chunk` from `at` on, to its end or to the next delimiter; where that is.
    fn body(&mut self, chunk: &[u8], at: usize, shared: &mut Shared, sink: &mut dyn Sink) -> usize {
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
        while let Some(found) = shared.delimiters.find(&octets[from..]) {
            let newline = from + found;
            let begin = if octets[..newline].ends_with(b"\r") { newline - 1 } else { newline };
            let Some(line) = Line::cut(&octets[newline + 3..]) else {
                return self.hold(octets, begin, shared, sink);
            };
            if let Some(found) = self.boundaries.find(line.text) {
                self.content(&octets[..begin], shared, sink);
                self.pass(&octets[begin..=newline], shared, sink);
                let end = newline + 3 + line.bytes;
                self.skip_line = !line.ended;
                self.delimiter(found, &octets[newline + 1..end], shared, sink);
                return end;
            }
            from = newline + 1;
        }
        self.hold(octets, octets.len() - unfinished(octets), shared, sink)
    }

    /// Passes on what stands before `begin`, and keeps the rest until more has come.
    fn hold(&mut self, octets: &[u8], begin: usize, shared: &mut Shared, sink: &mut dyn Sink) -> usize {
        self.content(&octets[..begin], shared, sink);
        self.held.extend_from_slice(&octets[begin..]);
        octets.len()
    }

    /// Goes on with a line whose beginning is held, until it is known what it is.
    fn held_line(&mut self, octets: &[u8], shared: &mut Shared, sink: &mut dyn Sink) -> usize {
        let mut at = 0;
        while let Some(next) = self.wanted() {
            match octets.get(at) {
                None => return at,
                Some(byte) if *byte == next => self.held.push(*byte),
                Some(_) => {
                    self.release_held(self.held.len(), shared, sink);
                    return at;
                }
            }
            at += 1;
        }
        let newline = self.newline_bytes();
        let room = delimiter::LINE_BYTES_MAX - (self.held.len() - newline - 2);
        let piece = &octets[at..octets.len().min(at + room)];
        let piece = &piece[..memchr(b'\n', piece).map_or(piece.len(), |end| end + 1)];
        let piece_bytes = piece.len();
        self.held.extend_from_slice(piece);
        at += piece_bytes;
        if let Some(line) = Line::cut(&self.held[newline + 2..]) {
            let (found, ended) = (self.boundaries.find(line.text), line.ended);
            self.decide_held(found, newline, ended, shared, sink);
        }
        // Only what came before `octets` need be held.
        if self.held.len() <= piece_bytes {
            at -= self.held.len();
            self.held.clear();
        }
        at
    }

    /// The octet that must come next if what is held is to become a delimiter.
    fn wanted(&self) -> Option<u8> {
        match self.held.as_slice() {
            b"\r" => Some(b'\n'),
            b"" | b"\r\n" | b"\n" | b"\r\n-" | b"\n-" | b"-" => Some(b'-'),
            _ => None,
        }
    }

    /// How much of what is held is the line end before the line.
    fn newline_bytes(&self) -> usize {
        if self.held.starts_with(b"\r") { 2 } else { usize::from(self.held.starts_with(b"\n")) }
    }

    fn decide_held(
        &mut self,
        found: Option<Match>,
        newline: usize,
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
        self.line_start = false;
        self.skip_line = !ended;
        self.pass(&held[..newline], shared, sink);
        self.delimiter(found, &held[newline..], shared, sink);
        self.held = held;
        self.held.clear();
    }

    /// What is held is content, up to `bytes`.
    fn release_held(&mut self, bytes: usize, shared: &mut Shared, sink: &mut dyn Sink) {
        let mut held = std::mem::take(&mut self.held);
        self.line_start = false;
        self.content(&held[..bytes], shared, sink);
        held.drain(..bytes);
        self.held = held;
    }

    /// The rest of an extended delimiter's line.
    fn skip(&mut self, chunk: &[u8], at: usize, shared: &mut Shared, sink: &mut dyn Sink) -> usize {
        let end = memchr(b'\n', &chunk[at..]).map(|found| at + found + 1);
        self.skip_line = end.is_none();
        let end = end.unwrap_or(chunk.len());
        self.pass(&chunk[at..end], shared, sink);
        end
    }

    fn finish_body(&mut self, shared: &mut Shared, sink: &mut dyn Sink) {
        if self.held.is_empty() || self.boundaries.is_empty() {
            return;
        }
        let newline = self.newline_bytes();
        let found = match self.wanted() {
            Some(_) => None,
            None => self.boundaries.find(&self.held[newline + 2..]),
        };
        self.decide_held(found, newline, true, shared, sink);
        self.release_held(self.held.len(), shared, sink);
        self.skip_line = false;
    }

    /// Octets of the body that are no delimiter.
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
        self.leaf.begin_raw(id, self.raw.is_some());
        self.leaf.push(octets, shared, sink);
    }

    // Structure.

    /// A delimiter stands in `line`.
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

/// How many octets at the end of `octets` may begin a line end and a delimiter's first hyphen.
fn unfinished(octets: &[u8]) -> usize {
    let ends = |end: &[u8]| octets.ends_with(end);
    match () {
        () if ends(b"\r\n-") => 3,
        () if ends(b"\r\n") || ends(b"\n-") => 2,
        () if ends(b"\r") || ends(b"\n") => 1,
        () => 0,
    }
}
