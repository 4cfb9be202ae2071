//! ZIP by its local headers, while it streams, and its directory as a witness. APPNOTE 6.3.
//!
//! Records follow each other; each is gathered whole (names and extra fields are short), then acted
//! upon. Between them lies data: stored, deflated, or closed to us (encrypted, or a method that we
//! cannot undo). Where no record begins we look for the next one, and the octets passed over are a
//! defect: programs that read from the directory would never see them, or see others.

mod directory;
mod header;
mod search;

use flate2::Crc;

use super::inflate::{Inflate, Inflated};
use super::{
    ArchiveEvent, Defect, Entry, Limit, Method, Report, gather, is_padding, take, u16_at, u32_at, u64_at,
};
use directory::{Directory, tell_unicode_name};
use header::{Header, Mark, Measure};
use search::Search;

/// Record buffers that grew beyond this for a monstrous extra field are given back.
const HELD_BYTES_KEPT: usize = 8 * 1024;

/// Where we stand in the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A record begins, if nothing is wrong.
    #[default]
    Mark,
    /// The part of a record that has always the same length.
    Fixed(Mark),
    /// The whole record, of so many octets.
    Whole(Mark, usize),
    Data(Body),
    /// Behind the data of an entry that said so.
    Descriptor,
    /// Comments and what else needs not be kept; so many octets.
    Passing(u64),
    /// No record began where one should.
    Lost,
}

/// What an entry's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Stored(u64),
    /// Deflated, in so many octets if that is known.
    Deflated(Option<u64>),
    /// Deflated, but its size says that nothing comes: unless a record begins, it lies.
    Doubtful,
    /// Nothing we can look into, of known length.
    Closed(u64),
    /// Stored or closed, to an end that must be searched.
    Searched,
    /// Within the entry, behind the end of its compressed data.
    Trailing(u64),
}

/// The entry being read.
#[derive(Debug)]
struct Open {
    header: Header,
    /// Where its local header stands.
    offset: u64,
    /// What its data turned out to be.
    measure: Measure,
}

#[derive(Debug, Default)]
pub(super) struct Zip {
    state: State,
    /// The record being gathered, from its first octet.
    held: Vec<u8>,
    /// Octets taken from the input, held ones included.
    at: u64,
    open: Option<Open>,
    pub(super) inflate: Inflate,
    crc: Crc,
    search: Search,
    directory: Directory,
    /// Any record was met; an end record was.
    any: bool,
    ended: bool,
    /// The last four octets of what is being passed over.
    recent: u32,
}

impl Zip {
    pub(super) fn push(&mut self, mut input: &[u8], report: &mut Report<'_>) {
        while self.step(&mut input, report) && !report.over() {}
    }

    /// The file is over. Where it should not be, what came of the last entry is given out, and said
    /// to be cut.
    pub(super) fn finish(&mut self, report: &mut Report<'_>) {
        match self.state {
            State::Mark | State::Lost => {
                let held = std::mem::take(&mut self.held);
                self.stray(&held, report);
            }
            State::Data(body) => {
                match body {
                    Body::Deflated(_) => _ = self.inflate.flush(report),
                    Body::Searched => self.pass_searched(report),
                    _ => {}
                }
                report.defect(Defect::Truncated);
            }
            _ => report.defect(Defect::Truncated),
        }
        if !self.any {
            report.defect(Defect::NotArchive);
        } else if self.open.is_some() || self.directory.has_entries() || self.directory.is_begun() {
            // Whatever the directory would have said of these, or of others, nobody compared.
            report.end();
            report.defect(Defect::DirectoryMissing);
        }
    }

    /// Goes on by one state; false when all input is taken.
    fn step(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        match self.state {
            State::Mark => self.mark(input),
            State::Fixed(mark) => self.fixed(mark, input, report),
            State::Whole(mark, octets) => self.whole(mark, octets, input, report),
            State::Data(body) => self.data(body, input, report),
            State::Descriptor => self.descriptor(input, report),
            State::Passing(left) => self.passing(left, input, report),
            State::Lost => self.lost(input, report),
        }
    }

    /// Holds octets until there are `want`.
    fn fill(&mut self, input: &mut &[u8], want: usize) -> bool {
        let before = self.held.len();
        let filled = gather(&mut self.held, input, want);
        self.at += (self.held.len() - before) as u64;
        filled
    }

    /// Four octets tell what record begins, or that none does.
    fn mark(&mut self, input: &mut &[u8]) -> bool {
        if !self.fill(input, 4) {
            return false;
        }
        self.state = match Mark::of(&self.held) {
            // These two stand before the first record only.
            Some(Mark::Descriptor | Mark::Split) if self.any => State::Lost,
            Some(mark) => State::Fixed(mark),
            None => State::Lost,
        };
        true
    }

    /// The fixed part tells how long the record is. A name too long ends everything here: to read on
    /// without it would be to pass over what may be the entry that matters.
    fn fixed(&mut self, mark: Mark, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        let fixed = mark.fixed_octets();
        if !self.fill(input, fixed) {
            return false;
        }
        let named = matches!(mark, Mark::Local | Mark::Central);
        let name_at = if mark == Mark::Local { 26 } else { 28 };
        if named && usize::from(u16_at(&self.held, name_at)) > report.bounds.name_bytes_max {
            report.limit(Limit::Name);
        }
        self.state = State::Whole(mark, fixed + mark.variable_octets(&self.held));
        true
    }

    /// Acts upon a whole record. Its buffer is used again.
    fn whole(&mut self, mark: Mark, octets: usize, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        if !self.fill(input, octets) {
            return false;
        }
        let record = std::mem::take(&mut self.held);
        let at = self.at - record.len() as u64;
        let trailing = mark.trailing_octets(&record);
        self.recent = 0;
        self.state = if trailing > 0 { State::Passing(trailing) } else { State::Mark };
        self.any = true;
        match mark {
            Mark::Local => self.begin_entry(&record, at, report),
            Mark::Central => {
                self.directory.compare(&Header::central(&record), at, report);
                self.directory.extend_to(self.at + trailing);
            }
            Mark::End64 => self.directory.end64(&record, at),
            Mark::Locator64 => self.directory.locator64(u64_at(&record, 8)),
            Mark::End => {
                report.defect_if(self.ended, Defect::SeveralEnds);
                self.ended = true;
                self.directory.end(&record, at, report);
            }
            Mark::Descriptor | Mark::Split => report.defect(Defect::Spanned),
            Mark::ArchiveExtra => report.tell(ArchiveEvent::Encrypted),
            Mark::DigitalSignature => {}
        }
        self.held = record;
        self.held.clear();
        self.held.shrink_to(HELD_BYTES_KEPT);
        true
    }

    /// Announces an entry. How its data is to be read is decided by its own header alone: what the
    /// directory says of it comes too late for that, and is compared.
    fn begin_entry(&mut self, record: &[u8], offset: u64, report: &mut Report<'_>) {
        let header = Header::local(record);
        // An entry where none is to come any more: a second archive behind the first, or a directory
        // that is none.
        report.defect_if(self.ended, Defect::SeveralEnds);
        report.defect_if(self.directory.is_begun(), Defect::Gap);
        report.entry(Entry {
            name: &header.name,
            encrypted: header.is_encrypted(),
            directory: header.is_directory(),
            method: method(&header),
            size_declared: (header.measure.octets > 0 || !header.has_descriptor())
                .then_some(header.measure.octets),
        });
        if report.over() {
            return;
        }
        tell_unicode_name(&header, report);
        report.defect_if(!header.is_encrypted() && !header.is_scannable(), Defect::UnscannableMethod);
        self.state = State::Data(body(&header, report));
        self.crc.reset();
        self.inflate.begin();
        self.search.begin(header.is_scannable());
        self.open = Some(Open { measure: header.measure, header, offset });
        // Nothing to wait for: an empty entry ends here even if no octet follows.
        if let State::Data(Body::Stored(0) | Body::Closed(0)) = self.state {
            self.data_ends(report);
        }
    }

    fn data(&mut self, body: Body, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        match body {
            Body::Stored(left) => self.stored(left, input, report),
            Body::Deflated(left) => self.deflated(left, input, report),
            Body::Doubtful => self.doubtful(input, report),
            Body::Closed(left) | Body::Trailing(left) => {
                let taken = take(input, left).len() as u64;
                self.at += taken;
                let rest = if let Body::Closed(_) = body { Body::Closed } else { Body::Trailing };
                self.state = State::Data(rest(left - taken));
                if left == taken {
                    self.data_ends(report);
                }
                left == taken
            }
            Body::Searched => self.searched(input, report),
        }
    }

    /// Data that is passed on as it comes, without a copy.
    fn stored(&mut self, left: u64, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        let octets = take(input, left);
        let left = left - octets.len() as u64;
        self.at += octets.len() as u64;
        self.crc.update(octets);
        report.data(octets);
        self.state = State::Data(Body::Stored(left));
        if left > 0 {
            return false;
        }
        if let Some(open) = &mut self.open {
            open.measure.crc = self.crc.sum();
            open.measure.octets = open.measure.packed;
        }
        self.data_ends(report);
        true
    }

    fn deflated(&mut self, left: Option<u64>, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        let (inflated, left) = self.inflate(left, input, report);
        self.state = State::Data(Body::Deflated(left));
        match (inflated, left) {
            (Inflated::Hungry, Some(0)) => {
                // Its size ends it before it does.
                self.inflate.flush(report);
                report.defect(Defect::DataBroken);
                self.stream_ends(left, report);
            }
            (Inflated::Hungry, _) => return false,
            (Inflated::Over, _) => {}
            (Inflated::End, _) => {
                report.defect_if(left.is_some_and(|left| left > 0), Defect::TrailingInEntry);
                self.stream_ends(left, report);
            }
            (Inflated::Broken, Some(_)) => {
                report.defect(Defect::DataBroken);
                self.stream_ends(left, report);
            }
            (Inflated::Broken, None) => {
                // Nothing says where the next record is.
                report.defect(Defect::DataBroken);
                self.close(report);
                self.state = State::Lost;
            }
        }
        true
    }

    /// Inflates what there is; how that stands, and how many octets of the entry are left.
    fn inflate(
        &mut self,
        left: Option<u64>,
        input: &mut &[u8],
        report: &mut Report<'_>,
    ) -> (Inflated, Option<u64>) {
        // What was held to see whether a record begins comes first. A stream may end within it.
        let held = std::mem::take(&mut self.held);
        let mut front = held.as_slice();
        if !front.is_empty() {
            let inflated = self.inflate.push(&mut front, report);
            self.held = front.to_vec();
            if inflated != Inflated::Hungry {
                return (inflated, left);
            }
        }
        let before = *input;
        let mut octets = take(input, left.unwrap_or(u64::MAX));
        let given = octets.len();
        let inflated = self.inflate.push(&mut octets, report);
        let taken = given - octets.len();
        *input = before.get(taken..).unwrap_or_default();
        self.at += taken as u64;
        (inflated, left.map(|left| left - taken as u64))
    }

    /// The compressed data is over; `left` octets of the entry are not.
    fn stream_ends(&mut self, left: Option<u64>, report: &mut Report<'_>) {
        let Some(open) = &mut self.open else { return };
        open.measure.crc = self.inflate.crc.sum();
        open.measure.octets = self.inflate.octets;
        open.measure.packed = self.inflate.packed + left.unwrap_or_default();
        match left {
            Some(left) if left > 0 => self.state = State::Data(Body::Trailing(left)),
            _ => self.data_ends(report),
        }
    }

    /// A header that says deflated and no octets: true of some writers' empty files, otherwise a lie
    /// that only those fall for who read the header (the directory has the true size).
    fn doubtful(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        if !self.fill(input, 4) {
            return false;
        }
        if Mark::of(&self.held).is_some() {
            self.data_ends(report);
        } else {
            report.defect(Defect::SizeMissing);
            self.state = State::Data(Body::Deflated(None));
        }
        true
    }

    /// Data to an end that only its descriptor shows.
    fn searched(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        let before = input.len();
        let Self { search, crc, open, .. } = self;
        let scannable = open.as_ref().is_some_and(|open| open.header.is_scannable());
        let found = search.push(input, |octets| pass(octets, scannable, crc, report));
        self.at += (before - input.len()) as u64;
        let Some(rest) = found else { return false };
        self.held = rest;
        if let Some(open) = &mut self.open {
            open.measure.packed = self.search.passed;
            if scannable {
                open.measure.octets = self.search.passed;
                open.measure.crc = self.crc.sum();
            }
        }
        self.data_ends(report);
        true
    }

    fn pass_searched(&mut self, report: &mut Report<'_>) {
        let Self { search, crc, open, .. } = self;
        let scannable = open.as_ref().is_some_and(|open| open.header.is_scannable());
        search.finish(|octets| pass(octets, scannable, crc, report));
    }

    /// The entry's data is over, and measured.
    fn data_ends(&mut self, report: &mut Report<'_>) {
        self.state = State::Mark;
        let Some(open) = &self.open else { return };
        if open.header.has_descriptor() {
            self.state = State::Descriptor;
        } else {
            self.compare(open.header.measure, report);
            self.close(report);
        }
    }

    /// A descriptor is of one of four lengths, and known by being right. Small numbers may be right in
    /// several, so it counts whether the next record begins behind it.
    fn descriptor(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        let mut fitting = None;
        for layout in Layout::ALL {
            let octets = layout.octets();
            if !self.fill(input, octets + 4) {
                return false;
            }
            let Some(found) = self.described(layout) else { continue };
            let next = self.held.get(octets..).and_then(Mark::of);
            let key = next == Some(Mark::ArchiveExtra) && self.held.len() == octets + 4;
            if key || next.is_some_and(Mark::is_landmark) {
                self.take_descriptor(octets, found, report);
                self.state = State::Mark;
                return true;
            }
            fitting = fitting.or(Some((octets, found)));
        }
        self.state = State::Lost;
        match fitting {
            Some((octets, found)) => self.take_descriptor(octets, found, report),
            None => {
                report.defect(Defect::DescriptorWrong);
                self.close(report);
            }
        }
        true
    }

    /// What the descriptor held says, if it is one of this layout and fits the data before it.
    fn described(&self, layout: Layout) -> Option<Measure> {
        let open = self.open.as_ref()?;
        let found = layout.read(&self.held)?;
        let fits = found.packed == open.measure.packed;
        (fits && (!open.header.is_scannable() || found.octets == open.measure.octets)).then_some(found)
    }

    fn take_descriptor(&mut self, octets: usize, found: Measure, report: &mut Report<'_>) {
        self.held.drain(..octets);
        let Some(open) = &mut self.open else { return };
        if !open.header.is_scannable() {
            open.measure = found;
        }
        // Sizes that the header says although it leaves them to the descriptor.
        let said = open.header.measure;
        let differs = said.packed != found.packed || ![0, found.octets].contains(&said.octets);
        report.defect_if(said.packed > 0 && differs, Defect::SizeDiffers);
        self.compare(found, report);
        self.close(report);
    }

    /// Holds what was said of the data against what it was.
    fn compare(&self, said: Measure, report: &mut Report<'_>) {
        let Some(open) = &self.open else { return };
        report.defect_if(said.crc != open.measure.crc, Defect::ChecksumDiffers);
        report.defect_if(said.octets != open.measure.octets, Defect::SizeDiffers);
        report.defect_if(open.header.is_directory() && open.measure.octets > 0, Defect::DirectoryWithData);
    }

    /// Ends the entry, and leaves its record for the directory to be compared with.
    fn close(&mut self, report: &mut Report<'_>) {
        if let Some(Open { header, offset, measure }) = self.open.take() {
            let end = self.at - self.held.len() as u64;
            self.directory.note(&header, offset, measure, end);
        }
        report.end();
    }

    /// Comments are passed over, but looked at: a program that searches the end record from the file's
    /// end finds first what stands in the last comment.
    fn passing(&mut self, left: u64, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        let octets = take(input, left);
        self.at += octets.len() as u64;
        for &octet in octets {
            self.recent = self.recent << 8 | u32::from(octet);
            let mark = self.recent >> 16 == u32::from(u16::from_be_bytes(*b"PK"));
            if mark && Mark::of(&self.recent.to_be_bytes()).is_some() {
                report.defect(Defect::SignatureInComment);
            }
        }
        let left = left - octets.len() as u64;
        self.state = if left > 0 { State::Passing(left) } else { State::Mark };
        left == 0
    }

    /// Passes over octets until a record begins.
    fn lost(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        loop {
            // What is held began as a record does, and perhaps goes on otherwise.
            let begins = find_landmark(&self.held);
            self.stray(self.held.get(..begins).unwrap_or_default(), report);
            self.held.drain(..begins);
            if self.held.len() >= 4 {
                self.state = State::Mark;
                return true;
            }
            if self.held.is_empty() {
                let passed = take(input, find_landmark(input) as u64);
                self.at += passed.len() as u64;
                self.stray(passed, report);
            }
            if input.is_empty() {
                return false;
            }
            let want = self.held.len() + 1;
            self.fill(input, want);
        }
    }

    /// Octets that belong to nothing. Behind the end, padding is no matter.
    fn stray(&self, octets: &[u8], report: &mut Report<'_>) {
        if self.ended {
            report.defect_if(!is_padding(octets), Defect::Suffix);
        } else if !octets.is_empty() {
            report.defect(if self.any { Defect::Gap } else { Defect::Prefix });
        }
    }
}

/// How a descriptor is written: with its signature in front, with sizes of eight octets.
#[derive(Clone, Copy, Debug)]
struct Layout {
    signed: bool,
    long: bool,
}

impl Layout {
    /// The shortest first.
    const ALL: [Self; 4] = [
        Self { signed: false, long: false },
        Self { signed: true, long: false },
        Self { signed: false, long: true },
        Self { signed: true, long: true },
    ];

    const fn octets(self) -> usize {
        (if self.signed { 8 } else { 4 }) + if self.long { 16 } else { 8 }
    }

    fn read(self, held: &[u8]) -> Option<Measure> {
        let signature = if self.signed { &Mark::Descriptor.octets()[..] } else { &[] };
        let rest = held.strip_prefix(signature)?;
        let sizes = if self.long {
            (u64_at(rest, 4), u64_at(rest, 12))
        } else {
            (u32_at(rest, 4).into(), u32_at(rest, 8).into())
        };
        Some(Measure { crc: u32_at(rest, 0), packed: sizes.0, octets: sizes.1 })
    }
}

/// Where a record worth reading on from begins in `octets`, or may begin at their end. Octet by octet:
/// to search for P alone is quicker in ordinary data and ten times slower in hostile.
fn find_landmark(octets: &[u8]) -> usize {
    let whole = octets.windows(4).position(Mark::may_begin);
    let ends = octets.len().saturating_sub(3)..octets.len();
    let mut at_end = ends.filter(|&at| octets.get(at..).is_some_and(Mark::may_begin));
    whole.or_else(|| at_end.next()).unwrap_or(octets.len())
}

/// Data whose end is being searched.
fn pass(octets: &[u8], scannable: bool, crc: &mut Crc, report: &mut Report<'_>) {
    if scannable {
        crc.update(octets);
        report.data(octets);
    }
}

fn method(header: &Header) -> Method {
    match header.method {
        0 => Method::Stored,
        8 => Method::Deflate,
        other => Method::Other(other),
    }
}

/// What data follows a local header, and how its end will be known.
fn body(header: &Header, report: &mut Report<'_>) -> Body {
    let Measure { packed, octets, .. } = header.measure;
    let unknown = header.size_missing || header.has_descriptor() && packed == 0;
    report.defect_if(header.size_missing, Defect::SizeMissing);
    match (header.is_scannable(), header.is_stored(), unknown) {
        (true, true, true) => {
            // An empty one ends where it begins, descriptor or not.
            report.defect(Defect::StoredUnknownSize);
            Body::Searched
        }
        (true, true, false) => {
            report.defect_if(packed != octets && !header.has_descriptor(), Defect::SizeDiffers);
            Body::Stored(packed)
        }
        (true, false, true) => Body::Deflated(None),
        (true, false, false) if packed == 0 => Body::Doubtful,
        (true, false, false) => Body::Deflated(Some(packed)),
        (false, _, true) => Body::Searched,
        (false, _, false) => Body::Closed(packed),
    }
}
