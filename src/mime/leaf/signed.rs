//! Signed data of CMS: the content stands in the clear between two headers, and is read as a part.
//!
//! RFC 5652 §3 (ContentInfo), §5 (SignedData), X.690 §8 (BER), RFC 8551 §3.5 (`application/pkcs7-mime`).
//! Of the structure only so much is read as leads to the content: an OCTET STRING, in one piece or in
//! many, right below a `[0]`. What is signed beside it and certificates never have that place.
//!
//! What must hold: the result does not depend on cuts; the stack of open values is bounded; content
//! that cannot be read has a name.

use memchr::memmem;

use super::file::{Around, File};
use crate::mime::content_type::Head;
use crate::mime::defect::{Defect, Defects};
use crate::mime::walker::Shared;
use crate::mime::{Origin, PartId, Sink, archive, base64};

/// Values within each other; the content of signed data lies six deep, pieces one or two deeper.
const DEPTH_MAX: usize = 32;
/// Octets of a value's header: a tag of one octet, a length of up to nine.
const HEADER_BYTES_MAX: usize = 10;
/// Octets in which the type of the whole is looked for.
const TYPE_BYTES_MAX: usize = 32;

/// ContentInfo, its `[0]` and SignedData lie around the EncapsulatedContentInfo.
const AROUND_CONTENT: usize = 3;

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
/// An OCTET STRING in pieces.
const PIECES: u8 = 0x24;
/// `[0]`
const EXPLICIT: u8 = 0xa0;
const CONSTRUCTED: u8 = 0x20;

/// What the whole is, by its object identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// Data or signed data.
    Clear,
    /// It takes a key to read it.
    Encrypted,
    /// Anything else, compressed data for one.
    Other,
}

/// What begins at `head`, if it is of CMS.
pub(super) fn wrapping(head: &[u8]) -> Option<Wrapping> {
    let front = head.get(..TYPE_BYTES_MAX.min(head.len()))?.strip_prefix(b"\x30")?;
    let behind = |mark: &[u8]| memmem::find(front, mark).and_then(|at| front.get(at + mark.len()));
    if let Some(last) = behind(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07") {
        return Some(match last {
            1 | 2 => Wrapping::Clear,
            3 | 4 | 6 => Wrapping::Encrypted,
            _ => Wrapping::Other,
        });
    }
    let last = behind(b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01")?;
    Some(if *last == 23 { Wrapping::Encrypted } else { Wrapping::Other })
}

/// A value that is open.
#[derive(Clone, Copy, Debug)]
struct Value {
    tag: u8,
    /// Where it ends; nothing if its end is marked.
    end: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    /// In a value that has no others in it; so much of it is left.
    Within { left: u64, is_content: bool },
    /// The content is over: nothing else matters.
    Over,
    /// It is no BER, or lies too deep.
    Broken,
}

/// Finds the content.
#[derive(Debug, Default)]
struct Reader {
    state: State,
    open: Vec<Value>,
    header: Vec<u8>,
    at: u64,
    /// Some of the content was there.
    begun: bool,
}

impl Reader {
    /// Appends to `content` what of it is in `octets`.
    fn push(&mut self, octets: &[u8], content: &mut Vec<u8>) {
        let mut rest = octets;
        while !rest.is_empty() {
            match self.state {
                State::Over | State::Broken => return,
                State::Header => {
                    let (octet, after) = (rest[0], &rest[1..]);
                    rest = after;
                    self.at += 1;
                    self.header.push(octet);
                    if let Some((tag, length)) = self.header() {
                        self.header.clear();
                        self.begin(tag, length);
                    }
                }
                State::Within { left, is_content } => {
                    let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let (piece, after) = rest.split_at(taken);
                    rest = after;
                    self.at += taken as u64;
                    if is_content {
                        content.extend_from_slice(piece);
                    }
                    let left = left - taken as u64;
                    self.state = State::Within { left, is_content };
                    if left == 0 {
                        self.end_values();
                    }
                }
            }
        }
    }

    /// The header that is held, if it is whole: a tag, and a length or none.
    fn header(&mut self) -> Option<(u8, Option<u64>)> {
        let (&tag, length) = self.header.split_first()?;
        let (&first, more) = length.split_first()?;
        let count = usize::from(first & 0x7f);
        let is_long = first > 0x80;
        // Tags of several octets have no place here.
        if tag & 0x1f == 0x1f || is_long && count > HEADER_BYTES_MAX - 2 {
            self.state = State::Broken;
            return None;
        }
        match first {
            0x80 => Some((tag, None)),
            _ if !is_long => Some((tag, Some(u64::from(first)))),
            _ if more.len() < count => None,
            _ => Some((tag, Some(more.iter().fold(0, |length, octet| length << 8 | u64::from(*octet))))),
        }
    }

    /// A value begins.
    fn begin(&mut self, tag: u8, length: Option<u64>) {
        if (tag, length) == (0, Some(0)) {
            return self.end_marked();
        }
        let end = length.map(|length| self.at.saturating_add(length));
        match length {
            _ if tag & CONSTRUCTED != 0 => {
                if self.open.len() == DEPTH_MAX {
                    self.state = State::Broken;
                    return;
                }
                self.open.push(Value { tag, end });
                self.end_values();
            }
            Some(left) => {
                let is_content = tag == OCTET_STRING && self.is_in_place();
                self.begun |= is_content && left > 0;
                self.state = State::Within { left, is_content };
                if left == 0 {
                    self.end_values();
                }
            }
            None => self.state = State::Broken,
        }
    }

    /// Whether an OCTET STRING that begins here is of the content.
    fn is_in_place(&self) -> bool {
        self.open.iter().rev().find(|value| value.tag != PIECES).is_some_and(|value| value.tag == EXPLICIT)
    }

    /// An end mark: of the value that is open, which must be one that has such.
    fn end_marked(&mut self) {
        match self.open.pop() {
            Some(value) if value.end.is_none() => {
                self.end(value);
                self.end_values();
            }
            _ => self.state = State::Broken,
        }
    }

    /// All values that end where we stand.
    fn end_values(&mut self) {
        self.state = if matches!(self.state, State::Over) { State::Over } else { State::Header };
        while let Some(value) = self.open.pop_if(|value| value.end.is_some_and(|end| end <= self.at)) {
            // A value does not go on behind the one that it is in.
            if value.end.is_some_and(|end| end < self.at) {
                self.state = State::Broken;
                return;
            }
            self.end(value);
        }
    }

    fn end(&mut self, value: Value) {
        // A signature that stands beside what it signs has an EncapsulatedContentInfo without content.
        let without = value.tag == SEQUENCE && self.open.len() == AROUND_CONTENT;
        if value.tag == EXPLICIT && self.begun || without || self.open.is_empty() {
            self.state = State::Over;
        }
    }
}

/// Undoes the lines of base64 that some write it in, without saying so.
#[derive(Debug)]
struct Armour {
    decoder: base64::Decoder,
    line_start: bool,
    /// `-----BEGIN PKCS7-----` and the like.
    in_mark: bool,
}

impl Armour {
    fn new() -> Self {
        let decoder = base64::Decoder::new(base64::Padding::Concatenate);
        Self { decoder, line_start: true, in_mark: false }
    }

    /// `characters` is room to work in.
    fn push(&mut self, octets: &[u8], characters: &mut Vec<u8>, out: &mut Vec<u8>) {
        characters.clear();
        for octet in octets {
            self.in_mark = if self.line_start { *octet == b'-' } else { self.in_mark };
            self.line_start = *octet == b'\n';
            if !self.in_mark {
                characters.push(*octet);
            }
        }
        self.decoder.push(characters, out);
    }
}

/// Signed data that is being read.
#[derive(Debug)]
pub(super) struct Signed {
    reader: Reader,
    armour: Option<Box<Armour>>,
    /// What its content is named.
    head: Head,
    around: Around,
    file: Option<File>,
    limits: Defects,
    /// What says what the whole is, where lines had to be decoded first.
    front: Vec<u8>,
}

impl Signed {
    /// `name` is that of the whole; `armoured`, if it is lines of base64.
    pub(super) fn new(name: &str, armoured: bool, around: Around) -> Self {
        let inner = name.rsplit_once('.').map(|(inner, _)| inner).filter(|inner| inner.contains('.'));
        let names = inner.into_iter().map(str::to_owned).collect();
        Self {
            reader: Reader::default(),
            armour: armoured.then(|| Box::new(Armour::new())),
            head: Head { names, ..Head::default() },
            around,
            file: None,
            limits: Defects::EMPTY,
            front: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, octets: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        let mut content = shared.buffers.octets();
        match &mut self.armour {
            None => self.reader.push(octets, &mut content),
            Some(armour) => {
                let (mut characters, mut lines) = (shared.buffers.octets(), shared.buffers.octets());
                armour.push(octets, &mut characters, &mut lines);
                let room = lines.len().min(TYPE_BYTES_MAX - self.front.len());
                self.front.extend_from_slice(&lines[..room]);
                self.reader.push(&lines, &mut content);
                shared.buffers.put_octets(characters);
                shared.buffers.put_octets(lines);
            }
        }
        if !content.is_empty() {
            self.read(&content, part, shared, sink);
        }
        shared.buffers.put_octets(content);
    }

    /// Some of the content: a part of its own.
    fn read(&mut self, content: &[u8], part: PartId, shared: &mut Shared, sink: &mut dyn Sink) {
        if self.file.is_none() && self.limits.is_empty() {
            let (head, around) = (&self.head, self.around);
            let file = File::begin(part, Origin::Archive, head, around, &mut self.limits, shared, sink);
            self.file = file.map(File::of_entity);
        }
        if let Some(file) = &mut self.file {
            file.push(content, shared, sink);
        }
    }

    /// The whole is over, and the content with it; what was wrong.
    pub(super) fn finish(&mut self, shared: &mut Shared, sink: &mut dyn Sink) -> Option<Defect> {
        if let Some(file) = self.file.take() {
            file.end(shared, sink);
        }
        match (self.reader.state, wrapping(&self.front)) {
            (_, Some(Wrapping::Encrypted)) => Some(Defect::Encrypted),
            (_, Some(Wrapping::Other)) => Some(Defect::Archive(archive::Defect::Unscannable)),
            // Lines that were no base64 of it.
            (_, None) if self.armour.is_some() => None,
            (State::Over, _) => None,
            (State::Broken, _) => Some(Defect::Archive(archive::Defect::Unscannable)),
            (State::Header | State::Within { .. }, _) => Some(Defect::Archive(archive::Defect::Truncated)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value with a length of one octet, or of three.
    fn value(tag: u8, octets: &[u8]) -> Vec<u8> {
        let length = u16::try_from(octets.len()).unwrap();
        let [high, low] = length.to_be_bytes();
        let header = if length < 128 { vec![tag, low] } else { vec![tag, 0x82, high, low] };
        [header, octets.to_vec()].concat()
    }

    fn marked(tag: u8, octets: &[u8]) -> Vec<u8> {
        [&[tag, 0x80], octets, &[0, 0]].concat()
    }

    const OF_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    const OF_SIGNED: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";

    fn signed(wrap: fn(u8, &[u8]) -> Vec<u8>, content: &[u8]) -> Vec<u8> {
        let info = wrap(0x30, &[OF_DATA, &wrap(EXPLICIT, content)].concat());
        let certificate = value(EXPLICIT, &value(0x30, &value(OCTET_STRING, b"no content")));
        let inner = [&b"\x02\x01\x01\x31\x00"[..], &info, &certificate, &value(0x31, b"")].concat();
        wrap(0x30, &[OF_SIGNED, &wrap(EXPLICIT, &wrap(0x30, &inner))].concat())
    }

    #[track_caller]
    fn check(octets: &[u8], want: &str, state: State) {
        for cut in 0..=octets.len() {
            let (mut reader, mut content) = (Reader::default(), Vec::new());
            reader.push(&octets[..cut], &mut content);
            reader.push(&octets[cut..], &mut content);
            assert_eq!(
                (String::from_utf8_lossy(&content).as_ref(), reader.state),
                (want, state),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn content_is_found_in_one_piece_and_in_many() {
        let pieces = [value(OCTET_STRING, b"Ca"), value(PIECES, &value(OCTET_STRING, b"t"))].concat();
        for wrap in [value, marked] {
            let whole = signed(wrap, &value(OCTET_STRING, b"Cat"));
            assert_eq!(wrapping(&whole), Some(Wrapping::Clear));
            check(&whole, "Cat", State::Over);
            check(&signed(wrap, &wrap(PIECES, &pieces)), "Cat", State::Over);
        }
        let (whole, beside) = (signed(value, b""), signed(marked, b""));
        check(&beside[..beside.len() - 20], "", State::Over);
        check(&whole, "", State::Over);
        let long = "x".repeat(300);
        check(&signed(value, &value(OCTET_STRING, long.as_bytes())), &long, State::Over);
    }

    #[test]
    fn what_is_broken_or_cut_is_told() {
        let whole = signed(value, &value(OCTET_STRING, b"Cat"));
        check(b"\x30\x1f\xff\xff", "", State::Broken);
        check(b"\x30\x89", "", State::Broken);
        check(b"\x30\x80\x04\x80", "", State::Broken);
        check(b"\x30\x03\x04\x05xxxxx", "", State::Broken);
        check(&b"\x30\x80".repeat(DEPTH_MAX + 1), "", State::Broken);
        check(&whole[..20], "", State::Header);
        assert_eq!(wrapping(b"PK\x03\x04"), None);
        assert_eq!(
            wrapping(b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0"),
            Some(Wrapping::Encrypted)
        );
    }
}
