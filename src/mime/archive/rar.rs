//! RAR 4 and 5 by their headers: names, sizes, what is encrypted. (RARLAB technote, both versions.)
//!
//! The packing is nobody's to undo but its owner's; what it stores unpacked is data all the same, and
//! the names are what most rules look at. Headers follow each other, each with so much data behind
//! it; the walk ends at the end header, at headers that are encrypted, or where one is broken.

use super::{ArchiveEvent, Defect, Entry, Limit, Method, Report, gather, is_padding, name, take};
use super::{u16_at, u32_at};

const MARK: &[u8] = b"Rar!\x1a\x07";
/// A header longer than this is taken for broken; with the longest name they have a few thousand.
const HEADER_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Mark,
    /// Version 4: the header's first seven octets, then the whole of it.
    Short,
    ShortWhole(usize),
    /// Version 5: checksum and size, of which the latter has no fixed length.
    Long,
    LongWhole(usize),
    /// So many octets, and whether they are data that is only stored.
    Data(u64, bool),
    Tail,
    /// Nothing more can be read.
    Lost,
}

#[derive(Debug, Default)]
pub(super) struct Rar {
    state: State,
    held: Vec<u8>,
    five: bool,
}

/// A file's header, of either version.
struct File {
    name: String,
    other_name: Option<String>,
    packed: u64,
    octets: Option<u64>,
    stored: bool,
    encrypted: bool,
    directory: bool,
    spanned: bool,
}

impl Rar {
    pub(super) fn push(&mut self, mut input: &[u8], report: &mut Report<'_>) {
        while self.step(&mut input, report) && !report.over() {}
    }

    pub(super) fn finish(&self, report: &mut Report<'_>) {
        match self.state {
            State::Tail | State::Lost => {}
            // Version 4 may end without saying so.
            State::Short if self.held.is_empty() => {}
            State::Mark => report.defect(Defect::NotArchive),
            _ => report.defect(Defect::Truncated),
        }
    }

    fn step(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        match self.state {
            State::Mark => self.mark(input, report),
            State::Short => self.size(input, 7, |held| Some(u16_at(held, 5).into()), report),
            State::Long => self.size(input, 4 + 3, long_size, report),
            State::ShortWhole(octets) | State::LongWhole(octets) => self.whole(octets, input, report),
            State::Data(left, stored) => self.data(left, stored, input, report),
            State::Tail => {
                report.defect_if(!is_padding(take(input, u64::MAX)), Defect::Suffix);
                false
            }
            State::Lost => false,
        }
    }

    /// The mark, by whose seventh octet the versions differ.
    fn mark(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        let whole = gather(&mut self.held, input, 7);
        let compared = MARK.len().min(self.held.len());
        if self.held.get(..compared) != MARK.get(..compared) {
            report.defect(Defect::NotArchive);
            self.state = State::Lost;
            return true;
        }
        if !whole {
            return false;
        }
        self.five = self.held.get(6) == Some(&1);
        // The longer mark of version 5 ends with one more octet.
        if self.five && !gather(&mut self.held, input, 8) {
            return false;
        }
        self.held.clear();
        self.next();
        true
    }

    fn next(&mut self) {
        self.state = if self.five { State::Long } else { State::Short };
    }

    /// Gathers the first `want` octets of a header, which say how many it has.
    fn size(
        &mut self,
        input: &mut &[u8],
        want: usize,
        size: impl Fn(&[u8]) -> Option<usize>,
        report: &mut Report<'_>,
    ) -> bool {
        if !gather(&mut self.held, input, want) {
            return false;
        }
        match size(&self.held).filter(|size| (want..=HEADER_BYTES_MAX).contains(size)) {
            Some(size) if self.five => self.state = State::LongWhole(size),
            Some(size) => self.state = State::ShortWhole(size),
            None => self.lose(Defect::HeaderBroken, report),
        }
        true
    }

    /// Nothing says where the next header would be, so there is none.
    fn lose(&mut self, defect: Defect, report: &mut Report<'_>) {
        report.defect(defect);
        report.defect(Defect::Unscannable);
        self.state = State::Lost;
    }

    fn whole(&mut self, octets: usize, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        if !gather(&mut self.held, input, octets) {
            return false;
        }
        let header = std::mem::take(&mut self.held);
        self.next();
        let read = if self.five { self.long(&header, report) } else { self.short(&header, report) };
        if read.is_none() {
            self.lose(Defect::HeaderBroken, report);
        }
        true
    }

    /// A header of version 4: main, file, end, or one that only has data behind it.
    fn short(&mut self, header: &[u8], report: &mut Report<'_>) -> Option<()> {
        let (kind, flags) = (header.get(2).copied()?, u16_at(header, 3));
        let trailing = if flags & 0x8000 != 0 { u32_at(header, 7).into() } else { 0 };
        match kind {
            0x73 => {
                report.defect_if(flags & 1 != 0, Defect::Spanned);
                if flags & 0x80 != 0 {
                    self.closed(report);
                }
            }
            0x74 => self.file(&short_file(header, flags)?, report),
            0x7b => self.state = State::Tail,
            0x72..=0x7a => self.pass(trailing, false),
            _ => return None,
        }
        Some(())
    }

    /// A header of version 5; all of them begin alike.
    fn long(&mut self, header: &[u8], report: &mut Report<'_>) -> Option<()> {
        let mut fields = Fields(header.get(4..)?);
        fields.number()?;
        let (kind, flags) = (fields.number()?, fields.number()?);
        let extra = if flags & 1 != 0 { fields.number()? } else { 0 };
        let trailing = if flags & 2 != 0 { fields.number()? } else { 0 };
        match kind {
            1 => {
                report.defect_if(fields.number()? & 1 != 0, Defect::Spanned);
                self.pass(trailing, false);
            }
            2 => {
                let mut file = long_file(&mut fields)?;
                file.packed = trailing;
                file.spanned = flags & 0x18 != 0;
                let extra = header.len().checked_sub(usize::try_from(extra).ok()?)?;
                file.encrypted = has_encryption(header.get(extra..)?);
                self.file(&file, report);
            }
            4 => self.closed(report),
            5 => self.state = State::Tail,
            _ => self.pass(trailing, false),
        }
        Some(())
    }

    /// All headers from here on are encrypted.
    fn closed(&mut self, report: &mut Report<'_>) {
        report.tell(ArchiveEvent::Encrypted);
        report.defect(Defect::Unscannable);
        self.state = State::Lost;
    }

    /// Announces a file. What is packed is told once to be beyond us.
    fn file(&mut self, file: &File, report: &mut Report<'_>) {
        if file.name.len() > report.bounds.name_bytes_max {
            return report.limit(Limit::Name);
        }
        report.entry(Entry {
            name: &file.name,
            encrypted: file.encrypted,
            directory: file.directory,
            method: if file.stored { Method::Stored } else { Method::Other(u16::MAX) },
            size_declared: file.octets,
        });
        if report.over() {
            return;
        }
        if let Some(other) = &file.other_name {
            report.defect_if(!name::is_same_in_ascii(&file.name, other), Defect::NameDiffers);
            report.alias(other);
        }
        report.defect_if(file.spanned, Defect::Spanned);
        let packed = !file.stored && file.packed > 0;
        report.defect_if(packed && !file.encrypted, Defect::UnscannableMethod);
        self.pass(file.packed, file.stored && !file.encrypted);
        if file.packed == 0 {
            report.end();
        }
    }

    fn pass(&mut self, octets: u64, stored: bool) {
        if octets > 0 {
            self.state = State::Data(octets, stored);
        }
    }

    fn data(&mut self, left: u64, stored: bool, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        let octets = take(input, left);
        if stored {
            report.data(octets);
        }
        let left = left - octets.len() as u64;
        self.state = State::Data(left, stored);
        if left == 0 {
            report.end();
            self.next();
        }
        left == 0
    }
}

/// The size of a version 5 header with what stands before it: checksum and the size itself.
fn long_size(held: &[u8]) -> Option<usize> {
    let octets = held.get(4..)?;
    let mut fields = Fields(octets);
    let size = usize::try_from(fields.number()?).ok()?;
    size.checked_add(4 + octets.len() - fields.0.len())
}

/// The places of its fields are fixed, but for two that only large files have.
fn short_file(header: &[u8], flags: u16) -> Option<File> {
    let large = flags & 0x100 != 0;
    let high = |at| if large { u64::from(u32_at(header, at)) << 32 } else { 0 };
    let from = if large { 40 } else { 32 };
    let octets = header.get(from..from + usize::from(u16_at(header, 26)))?;
    let (name, other_name) = short_names(octets, flags & 0x200 != 0);
    Some(File {
        name,
        other_name,
        packed: u64::from(u32_at(header, 7)) | high(32),
        octets: Some(u64::from(u32_at(header, 11)) | high(36)),
        stored: header.get(25) == Some(&0x30),
        encrypted: flags & 4 != 0,
        directory: flags & 0xe0 == 0xe0,
        spanned: flags & 3 != 0,
    })
}

/// The name in the writer's code page, and in Unicode where it has more than that can say.
fn short_names(octets: &[u8], unicode: bool) -> (String, Option<String>) {
    let nul = octets.iter().position(|&octet| octet == 0).filter(|_| unicode);
    let Some((plain, encoded)) = nul.and_then(|nul| octets.split_at_checked(nul)) else {
        return (name::decode(octets, unicode), None);
    };
    let shown = name::decode(plain, false);
    let units = expand(plain, encoded.get(1..).unwrap_or_default());
    let wide: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    let differs = wide != shown;
    (shown, differs.then_some(wide))
}

/// Undoes the packing of a version 4 Unicode name: two bits each say whether a unit is an octet, an
/// octet with the common high half, a whole unit, or a run taken from the plain name.
fn expand(plain: &[u8], encoded: &[u8]) -> Vec<u16> {
    let mut units: Vec<u16> = Vec::new();
    let mut octets = encoded.iter().copied();
    let high = u16::from(octets.next().unwrap_or_default()) << 8;
    while let Some(flags) = octets.next() {
        for shift in [6, 4, 2, 0] {
            let Some(octet) = octets.next() else { return units };
            let low = u16::from(octet);
            match flags >> shift & 3 {
                0 => units.push(low),
                1 => units.push(high | low),
                2 => units.push(u16::from(octets.next().unwrap_or_default()) << 8 | low),
                _ => {
                    let correction = if octet & 0x80 != 0 { octets.next() } else { None };
                    let run = plain.iter().skip(units.len()).take(usize::from(octet & 0x7f) + 2);
                    let run = run.map(|&plain| match correction {
                        Some(correction) => high | u16::from(plain.wrapping_add(correction)),
                        None => plain.into(),
                    });
                    let run: Vec<u16> = run.collect();
                    units.extend(run);
                }
            }
        }
    }
    units
}

/// Its fields follow each other, some only when the flags say so.
fn long_file(fields: &mut Fields<'_>) -> Option<File> {
    let flags = fields.number()?;
    let octets = fields.number()?;
    fields.number()?; // attributes
    for bit in [2, 4] {
        // The time and the checksum.
        if flags & bit != 0 {
            fields.skip(4)?;
        }
    }
    let compression = fields.number()?;
    fields.number()?; // the system it was made on
    let length = usize::try_from(fields.number()?).ok()?;
    Some(File {
        name: name::decode(fields.0.get(..length)?, true),
        other_name: None,
        packed: 0,
        octets: (flags & 8 == 0).then_some(octets),
        stored: compression >> 7 & 7 == 0,
        encrypted: false,
        directory: flags & 1 != 0,
        spanned: false,
    })
}

/// Whether a version 5 header's extra records hold the one that says how the data is encrypted.
fn has_encryption(extra: &[u8]) -> bool {
    let mut fields = Fields(extra);
    while let Some(size) = fields.number() {
        let record = fields.0;
        if fields.number() == Some(1) {
            return true;
        }
        let Some(rest) = usize::try_from(size).ok().and_then(|size| record.get(size..)) else { return false };
        fields = Fields(rest);
    }
    false
}

/// The fields of a version 5 header that are not read yet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// Seven bits in each octet, the lowest first; the eighth says that more follow.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&octet, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(octet & 0x7f).checked_shl(shift).unwrap_or_default();
            if octet & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn skip(&mut self, octets: usize) -> Option<()> {
        self.0 = self.0.get(octets..)?;
        Some(())
    }
}
