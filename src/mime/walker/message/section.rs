//! The header section of the part that is being read.
//!
//! Fields beyond the bounds are not told any more, but what they say of structure still counts, and
//! the raw reading shows them: nothing can be hidden behind a long header section.

use super::{Content, Kind, Level, Message, Part, Place, State};
use crate::mime::content_type::{Body, TransferEncoding};
use crate::mime::defect::{Defect, Defects, Limit};
use crate::mime::delimiter;
use crate::mime::encoded_word;
use crate::mime::header::{self, Cursor, Item};
use crate::mime::leaf::Around;
use crate::mime::walker::Shared;
use crate::mime::{Event, Origin, PartId, Sink};

/// Capacity that a body leaves of the longest field of its header section.
const FIELD_BYTES_KEPT: usize = 4096;

impl Message {
    /// Begins a part at its header section. If there are too many, nothing has structure any more,
    /// and the raw reading takes the rest of the message.
    pub(super) fn begin_part(
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
    pub(super) fn header(
        &mut self,
        chunk: &[u8],
        at: usize,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> usize {
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
        if self.state != State::Header {
            splitter.shrink(FIELD_BYTES_KEPT);
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

    /// The content ends in a header section: the last field lacks its line end, or what shows that
    /// it does not go on.
    pub(super) fn finish_header(&mut self, shared: &mut Shared, sink: &mut dyn Sink) {
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
            Some(field) => self.well_formed(field, within, shared, sink),
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

    /// A line without a colon. Some readers take it for the body's first, most pass over it; we do the
    /// latter, for then the fields behind it count, and the raw reading does the former.
    fn no_field(&mut self, octets: &[u8], first: bool, sink: &mut dyn Sink) {
        let mbox = octets.starts_with(b"From ") || octets.starts_with(b">From ");
        let defect = match octets.first() {
            Some(b' ' | b'\t') => Defect::ContinuationFirst,
            _ if mbox && first => Defect::MboxFrom,
            _ => Defect::FieldWithoutColon,
        };
        self.tell(defect, sink);
    }

    /// A field with a name and a value, however odd. What it says of structure counts in any case.
    fn well_formed(
        &mut self,
        field: header::Field<'_>,
        within: bool,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) {
        let name = header::read_name(field.name);
        let mut unfolded = shared.buffers.octets();
        let header::Unfolded { value, blank } = header::unfold(field.value, &mut unfolded);
        if name.disguised || (field.spaced && name.structure.is_some()) {
            self.tell(Defect::StructureFieldDisguised, sink);
        } else if name.invalid {
            self.tell(Defect::FieldNameInvalid, sink);
        } else if field.spaced {
            self.tell(Defect::SpaceBeforeColon, sink);
        }
        let survey = header::survey(value);
        if survey.nul {
            self.tell(Defect::HeaderNul, sink);
        }
        if survey.bare_cr {
            self.tell(Defect::HeaderBareCr, sink);
        }
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
            self.tell_field(field.name, value, survey.mark, shared, sink);
        }
        shared.buffers.put_octets(unfolded);
    }

    /// Most values are their own text and are told as they stand; only what has words or octets
    /// above 127 is put together anew.
    fn tell_field(
        &mut self,
        name: &[u8],
        value: &[u8],
        mark: bool,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) {
        let part = self.part.id;
        if !(mark && encoded_word::suspected(value))
            && let Ok(text) = std::str::from_utf8(value)
        {
            return sink.on(Event::Field { part, name, value, text });
        }
        let mut text = shared.buffers.text();
        let defects = self.fields.words.decode(value, &mut text);
        sink.on(Event::Field { part, name, value, text: &text });
        shared.buffers.put_text(text);
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
        // An encoded message has no delimiters of ours in it: it is decoded as a leaf, and walked there.
        let is_encoded = self.section.head.encoding != TransferEncoding::Identity;
        let opens = !(body == Body::Leaf || body == Body::Message && is_encoded);
        if opens && self.levels.len() + self.around.depth >= shared.bounds.depth {
            self.tell(Defect::Limit(Limit::Depth), sink);
            self.content = Content::Unread;
            return;
        }
        match body {
            Body::Multipart => self.open(Kind::Multipart { place: Place::Before }, sink),
            Body::Armed => {
                self.begin_leaf(shared, sink);
                self.open(Kind::Armed, sink);
            }
            Body::Message if opens => {
                self.open(Kind::Message, sink);
                self.begin_part(self.part.id, Origin::Rfc822, false, shared, sink);
            }
            Body::Message | Body::Leaf => self.begin_leaf(shared, sink),
        }
    }

    /// The header section is cut off, and that of the message that begins where it would have ended.
    pub(super) fn end_headers(&mut self, shared: &mut Shared, sink: &mut dyn Sink) {
        while self.state == State::Header {
            self.end_header(false, shared, sink);
        }
    }

    /// The part has no others within it, as far as its header section says.
    fn begin_leaf(&mut self, shared: &mut Shared, sink: &mut dyn Sink) {
        self.content = Content::Leaf;
        let around = Around { depth: self.around.depth + self.levels.len(), ..self.around };
        if !self.leaf.begin(self.part.id, &self.section, around, shared) {
            self.tell(Defect::Limit(Limit::Depth), sink);
        }
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

    /// What is wrong with boundaries is known only among the others that are open.
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
}
