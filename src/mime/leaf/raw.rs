//! Content as it is, and what comes out where it looks encoded, whatever its structure says.
//!
//! The lines themselves are the reading [`Reading::Raw`], what they decode to is
//! [`Reading::Decoded`]. An empty line or one that begins with two hyphens ends what was encoded
//! before it; what is a file by its first octets becomes a part of its own, as an attachment would.

use memchr::memchr;

use super::PIECE_BYTES;
use super::content::is_printable;
use super::file::{Around, File};
use crate::mime::content_type::Head;
use crate::mime::defect::Defects;
use crate::mime::kind::{Kind, Sniffer};
use crate::mime::raw_view::RawView;
use crate::mime::walker::Shared;
use crate::mime::{Event, Origin, PartId, Reading, Sink, charset};

/// Reads a region of a message raw.
#[derive(Debug)]
pub(crate) struct Raw {
    lines: Voice,
    decoded: Voice,
    view: RawView,
    /// What the view gave and nobody has taken yet: between pushes the beginning of a line at most.
    octets: Vec<u8>,
    /// The beginning of a line that may end a stretch.
    start: Vec<u8>,
    /// Behind the beginning of a line.
    in_line: bool,
    /// What the stretch at hand is, once something has come out.
    sniffer: Sniffer,
    file: Option<File>,
    is_text: bool,
    /// Files are not looked for: another raw reading does it.
    only_lines: bool,
    limits: Defects,
    archives: usize,
}

/// One reading's octets and text.
#[derive(Debug)]
struct Voice {
    reading: Reading,
    charset: charset::Decoder,
}

impl Voice {
    fn new(reading: Reading) -> Self {
        Self { reading, charset: charset::Decoder::new(None) }
    }

    fn push(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        if octets.is_empty() {
            return;
        }
        sink.on(Event::Data { part, reading: self.reading, bytes: octets });
        let mut text = shared.buffers.text();
        self.charset.push(octets, &mut text);
        self.tell(text, part, shared, sink);
    }

    fn finish(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let mut text = shared.buffers.text();
        self.charset.finish(&mut text);
        self.tell(text, part, shared, sink);
    }

    fn tell(&mut self, mut text: String, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        if !text.is_empty() {
            sink.on(Event::Text { part, reading: self.reading, text: &text });
        }
        // A second reading is kept until it is taken; here it has no place.
        self.charset.take_second(&mut text);
        shared.buffers.put_text(text);
    }
}

impl Raw {
    /// `only_lines`: nothing is decoded, because that is done elsewhere or must not be. It lies `archives`
    /// archives deep.
    pub(crate) fn new(only_lines: bool, archives: usize) -> Self {
        Self {
            lines: Voice::new(Reading::Raw),
            decoded: Voice::new(Reading::Decoded),
            view: RawView::new(),
            octets: Vec::new(),
            start: Vec::new(),
            in_line: false,
            sniffer: Sniffer::new(),
            file: None,
            is_text: true,
            only_lines,
            limits: Defects::EMPTY,
            archives,
        }
    }

    /// Takes the next lines of `part`, in pieces of any size.
    pub(crate) fn push(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let small = std::mem::replace(&mut self.octets, shared.buffers.octets());
        self.octets.extend_from_slice(&small);
        for piece in octets.chunks(PIECE_BYTES) {
            self.lines.push(piece, part, shared, sink);
            if !self.only_lines {
                self.stretches(piece, part, shared, sink);
            }
        }
        let left = self.octets.as_slice().to_vec();
        shared.buffers.put_octets(std::mem::replace(&mut self.octets, left));
    }

    pub(crate) fn finish(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        self.lines.finish(part, shared, sink);
        let start = std::mem::take(&mut self.start);
        self.view.push(&start, &mut self.octets);
        self.end_stretch(part, shared, sink);
        self.decoded.finish(part, shared, sink);
    }

    /// Gives the view whole stretches, one after the other. Without these, what stands encoded in two
    /// parts would come out as one, and a file be looked for in the middle of it.
    fn stretches(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let mut rest = octets;
        while !rest.is_empty() {
            if !self.in_line {
                rest = self.line_start(rest, part, shared, sink);
                continue;
            }
            // Lines that end no stretch go on together.
            let mut end = 0;
            while let Some(newline) = memchr(b'\n', &rest[end..]) {
                end += newline + 1;
                self.in_line = false;
                match &rest[end..] {
                    [b'\r' | b'\n', ..] | [b'-', b'-', ..] | [b'-'] | [] => break,
                    _ => self.in_line = true,
                }
            }
            let taken = if self.in_line { rest.len() } else { end };
            self.view.push(&rest[..taken], &mut self.octets);
            rest = &rest[taken..];
            self.decoded(part, shared, sink);
        }
    }

    /// The first octets of a line: whether it ends the stretch.
    fn line_start<'a>(
        &mut self,
        octets: &'a [u8],
        part: PartId,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> &'a [u8] {
        let (byte, rest) = (octets[0], &octets[1..]);
        self.start.push(byte);
        let ends = match self.start.as_slice() {
            b"-" => return rest,
            b"--" | b"\r" | b"\n" => true,
            _ => false,
        };
        if ends {
            self.end_stretch(part, shared, sink);
        }
        self.view.push(&self.start, &mut self.octets);
        self.in_line = byte != b'\n';
        self.start.clear();
        rest
    }

    /// Passes on what the view gave: to the file it is of, or as it is.
    fn decoded(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let octets = std::mem::take(&mut self.octets);
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            if self.sniffer.kind().is_some() {
                self.take(rest, part, shared, sink);
                break;
            }
            let sniffed = self.sniffer.push(rest);
            rest = rest.get(sniffed.taken..).unwrap_or_default();
            if sniffed.kind.is_some() {
                self.begin_stretch(part, shared, sink);
            }
        }
        self.octets = octets;
        self.octets.clear();
    }

    /// It is known what the stretch is.
    fn begin_stretch(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let sniffer = std::mem::take(&mut self.sniffer);
        // Octets that are no text would only be taken for some.
        self.is_text = sniffer.kind() != Some(Kind::Unknown) || is_printable(sniffer.head());
        if sniffer.kind().is_some_and(is_file) {
            // No messages are looked for in it: there, lines are read raw again.
            let around = Around { depth: shared.bounds.depth, archives: self.archives };
            let (head, limits) = (Head::default(), &mut self.limits);
            self.file = File::begin(part, Origin::Guessed, &head, around, limits, shared, sink);
        }
        self.take(sniffer.head(), part, shared, sink);
        self.sniffer = sniffer;
    }

    /// Decoded octets of the stretch, once it is known what it is.
    fn take(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        match &mut self.file {
            Some(file) => file.push(octets, shared, sink),
            None if self.is_text => self.decoded.push(octets, part, shared, sink),
            None => sink.on(Event::Data { part, reading: Reading::Decoded, bytes: octets }),
        }
    }

    /// The stretch is over: what the view holds of it comes out, and a file ends.
    fn end_stretch(&mut self, part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        self.view.finish(&mut self.octets);
        self.decoded(part, shared, sink);
        if self.sniffer.kind().is_none() && !self.sniffer.head().is_empty() {
            self.sniffer.finish();
            self.begin_stretch(part, shared, sink);
        }
        self.sniffer.reset();
        if let Some(file) = self.file.take() {
            file.end(shared, sink);
        }
    }
}

/// Whether a stretch of this kind is an attachment more likely than text.
const fn is_file(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Empty
            | Kind::Unknown
            | Kind::Text
            | Kind::Script
            | Kind::Html
            | Kind::Xml
            | Kind::Email
            | Kind::Calendar
            | Kind::Contact
            | Kind::Certificate
            | Kind::Pgp
    )
}
