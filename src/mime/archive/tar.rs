//! TAR: blocks of 512 octets, a header and its data in turn. POSIX ustar and pax, GNU long names.
//!
//! Names and sizes may be said anew by a pax record or a GNU header in front of an entry; readers that
//! know neither see the short ones, which is why those are told as well where they differ in more
//! than being cut. A header whose checksum is wrong is none, and we look for the next block that is
//! one: a reader that does not care about checksums would go on here, therefore the defect.

use super::{Defect, Entry, Limit, Method, Report, gather, is_padding, name, take};

const BLOCK: usize = 512;
const BLOCK_OCTETS: u64 = BLOCK as u64;
/// The records of one pax header that we keep; GNU tar writes a few hundred octets.
const PAX_BYTES_MAX: u64 = 64 * 1024;

/// Where fields stand in a header block.
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const MAGIC: std::ops::Range<usize> = 257..262;
const PREFIX: std::ops::Range<usize> = 345..500;
/// Whether a map of holes goes on in a block of its own, and whether it does behind that.
const MORE_HOLES: usize = 482;
const MORE_HOLES_STILL: usize = 504;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    /// More of a GNU map of holes, then as below.
    Holes(u64, u64),
    /// So many octets of the entry, then so many of padding.
    Data(u64, u64),
    /// Records or a long name, to be kept, of the header's kind.
    Kept(Kept, u64, u64),
    /// Padding, or what an entry has that is no data.
    Passing(u64),
    /// Behind the two empty blocks.
    Tail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Pax,
    PaxForAll,
    LongName,
}

#[derive(Debug, Default)]
pub(super) struct Tar {
    state: State,
    held: Vec<u8>,
    /// Said anew for the next entry.
    name: Option<Vec<u8>>,
    size: Option<u64>,
    empty_blocks: u32,
    any: bool,
    lost: bool,
}

impl Tar {
    pub(super) fn push(&mut self, mut input: &[u8], report: &mut Report<'_>) {
        while self.step(&mut input, report) && !report.over() {}
    }

    pub(super) fn finish(&self, report: &mut Report<'_>) {
        match self.state {
            State::Tail => {}
            // Some writers end with one empty block or none, and everybody takes that.
            State::Header if self.held.is_empty() && self.any => {}
            // The last padding may be missing.
            State::Passing(left) if left < BLOCK_OCTETS => {}
            _ => report.defect(if self.any { Defect::Truncated } else { Defect::NotArchive }),
        }
        report.defect_if(!self.any, Defect::NotArchive);
    }

    fn step(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        match self.state {
            State::Header => self.header(input, report),
            State::Holes(size, padding) => self.holes(size, padding, input, report),
            State::Data(left, padding) => self.data(left, padding, input, report),
            State::Kept(kept, left, padding) => self.kept(kept, left, padding, input, report),
            State::Passing(left) => {
                let left = left - take(input, left).len() as u64;
                self.state = if left > 0 { State::Passing(left) } else { State::Header };
                left == 0
            }
            State::Tail => {
                report.defect_if(!is_padding(take(input, u64::MAX)), Defect::Suffix);
                false
            }
        }
    }

    /// A block is a header, empty, or nothing that should be here.
    fn header(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        if !gather(&mut self.held, input, BLOCK) {
            return false;
        }
        let block = std::mem::take(&mut self.held);
        if block.iter().all(|&octet| octet == 0) {
            self.empty_blocks += 1;
            if self.empty_blocks == 2 && self.any {
                self.state = State::Tail;
            }
        } else if has_checksum(&block) {
            report.defect_if(self.empty_blocks > 0, Defect::Gap);
            self.empty_blocks = 0;
            self.lost = false;
            self.any = true;
            self.begin(&block, report);
        } else {
            // Told once for a run of blocks: the first may be a header, the rest is what it had.
            report.defect_if(!self.lost && self.any, Defect::HeaderChecksum);
            report.defect_if(!self.any, Defect::Prefix);
            self.lost = true;
        }
        self.held = block;
        self.held.clear();
        true
    }

    /// What a header begins. The kinds that only say more of the next one are kept, up to a bound.
    fn begin(&mut self, block: &[u8], report: &mut Report<'_>) {
        let kind = block.get(TYPE).copied().unwrap_or_default();
        let Some(size) = number(block.get(SIZE).unwrap_or_default()) else {
            report.defect(Defect::HeaderBroken);
            return;
        };
        let padding = |size: u64| size.wrapping_neg() % BLOCK_OCTETS;
        match kind {
            b'x' => self.state = State::Kept(Kept::Pax, size, padding(size)),
            b'g' => self.state = State::Kept(Kept::PaxForAll, size, padding(size)),
            b'L' => self.state = State::Kept(Kept::LongName, size, padding(size)),
            // The target of a link, as long: no program shows it as a name.
            b'K' => self.state = passing(size.saturating_add(padding(size))),
            _ => {
                let size = self.size.take().unwrap_or(size);
                self.begin_entry(block, kind, size, report);
                self.state = State::Data(size, padding(size));
                if kind == b'S' && block.get(MORE_HOLES) == Some(&1) {
                    self.state = State::Holes(size, padding(size));
                } else if size == 0 {
                    report.end();
                    self.state = State::Header;
                }
            }
        }
    }

    /// Announces an entry by its long name, where one was said, and holds the short one against it.
    fn begin_entry(&mut self, block: &[u8], kind: u8, size: u64, report: &mut Report<'_>) {
        let short = short_name(block);
        let long = self.name.take();
        let shown = name::decode(long.as_deref().unwrap_or(&short), false);
        report.entry(Entry {
            name: &shown,
            encrypted: false,
            directory: kind == b'5' || shown.ends_with('/'),
            method: Method::Stored,
            size_declared: Some(size),
        });
        if report.over() {
            return;
        }
        if long.is_some_and(|long| !is_cut(&short, &long)) {
            report.defect(Defect::NameDiffers);
            report.alias(&name::decode(&short, false));
        }
        report.defect_if(kind == b'S', Defect::Sparse);
        report.defect_if(kind == b'5' && size > 0, Defect::DirectoryWithData);
        report.defect_if(kind == b'M', Defect::Spanned);
        // Links and devices have no data: where one says it has, some pass over it and some do not.
        report.defect_if(matches!(kind, b'1'..=b'4' | b'6') && size > 0, Defect::SizeDiffers);
    }

    /// Blocks that go on with the map stand before the data and are not counted as such.
    fn holes(&mut self, size: u64, padding: u64, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        if !gather(&mut self.held, input, BLOCK) {
            return false;
        }
        if self.held.get(MORE_HOLES_STILL) != Some(&1) {
            self.state = State::Data(size, padding);
            if size == 0 {
                report.end();
                self.state = State::Header;
            }
        }
        self.held.clear();
        true
    }

    fn data(&mut self, left: u64, padding: u64, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        let octets = take(input, left);
        let left = left - octets.len() as u64;
        report.data(octets);
        self.state = State::Data(left, padding);
        if left == 0 {
            report.end();
            self.state = passing(padding);
        }
        left == 0
    }

    fn kept(
        &mut self,
        kept: Kept,
        left: u64,
        padding: u64,
        input: &mut &[u8],
        report: &mut Report<'_>,
    ) -> bool {
        let bound =
            if kept == Kept::LongName { report.bounds.name_bytes_max as u64 + 1 } else { PAX_BYTES_MAX };
        if left.saturating_add(self.held.len() as u64) > bound {
            report.limit(Limit::Name);
            return false;
        }
        let octets = take(input, left);
        self.held.extend_from_slice(octets);
        let left = left - octets.len() as u64;
        self.state = State::Kept(kept, left, padding);
        if left > 0 {
            return false;
        }
        let held = std::mem::take(&mut self.held);
        match kept {
            Kept::LongName => self.name = Some(until_nul(&held).to_vec()),
            Kept::Pax => self.pax(&held, report),
            Kept::PaxForAll => {
                // What they say for all entries is dates and owners; a name or a size would be a lie.
                let before = (self.name.clone(), self.size);
                self.pax(&held, report);
                report.defect_if((self.name.clone(), self.size) != before, Defect::HeaderBroken);
            }
        }
        self.state = passing(padding);
        true
    }

    /// Records of the form `length SP keyword=value LF` (POSIX pax).
    fn pax(&mut self, mut records: &[u8], report: &mut Report<'_>) {
        while !is_padding(records) {
            let Some((keyword, value)) = pax_record(&mut records) else {
                return report.defect(Defect::HeaderBroken);
            };
            match keyword {
                b"path" if value.len() > report.bounds.name_bytes_max => report.limit(Limit::Name),
                b"path" => self.name = Some(value.to_vec()),
                b"size" => match decimal(value) {
                    Some(size) => self.size = Some(size),
                    None => report.defect(Defect::HeaderBroken),
                },
                // How GNU tar hides the true name of a file with holes.
                b"GNU.sparse.name" => report.alias(&name::decode(value, false)),
                _ => {}
            }
            report.defect_if(keyword.starts_with(b"GNU.sparse."), Defect::Sparse);
        }
    }
}

fn passing(octets: u64) -> State {
    if octets > 0 { State::Passing(octets) } else { State::Header }
}

fn pax_record<'a>(records: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let space = records.iter().take(8).position(|&octet| octet == b' ')?;
    let length = usize::try_from(decimal(records.get(..space)?)?).ok()?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = memchr::memchr(b'=', record)?;
    *records = records.get(length..)?;
    Some((record.get(..equals)?, record.get(equals + 1..)?))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Octal digits, or binary where the first bit says so (GNU, for large files).
fn number(field: &[u8]) -> Option<u64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let (high, low) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
        let small = first == 0x80 && high.iter().all(|&octet| octet == 0);
        return small
            .then(|| u64::from_be_bytes(low.try_into().unwrap_or_default()))
            .filter(|n| n >> 62 == 0);
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|octet| matches!(octet, 0 | b' ')).unwrap_or(digits.len());
    digits.get(..end)?.iter().try_fold(0_u64, |number, &octet| {
        matches!(octet, b'0'..=b'7').then(|| number << 3 | u64::from(octet - b'0'))
    })
}

/// Whether this block is a header: its checksum counts its octets, its own field as spaces. Old
/// programs counted them as signed.
pub(super) fn has_checksum(block: &[u8]) -> bool {
    let Some(said) = block.get(CHECKSUM).and_then(number) else { return false };
    let octets =
        || block.iter().enumerate().map(|(at, &octet)| if CHECKSUM.contains(&at) { b' ' } else { octet });
    let unsigned: i64 = octets().map(i64::from).sum();
    let signed: i64 = octets().map(|octet| i64::from(octet.cast_signed())).sum();
    let said = i64::try_from(said).unwrap_or(-1);
    block.len() == BLOCK && (said == unsigned || said == signed)
}

fn until_nul(octets: &[u8]) -> &[u8] {
    octets.split(|&octet| octet == 0).next().unwrap_or_default()
}

/// Only ustar has a prefix there; GNU has other things.
fn short_name(block: &[u8]) -> Vec<u8> {
    let field = |range| block.get::<std::ops::Range<usize>>(range).map_or(&[][..], until_nul);
    let posix = block.get(MAGIC.start..MAGIC.end + 1).is_some_and(|magic| magic == b"ustar\0");
    let mut name = if posix { field(PREFIX).to_vec() } else { Vec::new() };
    if !name.is_empty() {
        name.push(b'/');
    }
    name.extend_from_slice(field(NAME));
    name
}

/// Whether `short` is what fits of `long`, as writers leave it there for old readers: GNU tar its first
/// octets; others an own spelling with the same last part, or its beginning.
fn is_cut(short: &[u8], long: &[u8]) -> bool {
    let last = |name: &[u8]| -> Vec<u8> {
        let name = name.strip_suffix(b"/").unwrap_or(name);
        name.rsplit(|&octet| octet == b'/').next().unwrap_or_default().to_vec()
    };
    let plain = |name: &[u8]| name::decode(name, true);
    let (short_last, long_last) = (last(short), last(long));
    long.starts_with(short)
        || long_last.starts_with(&short_last)
        || name::is_same_in_ascii(&plain(&short_last), &plain(&long_last))
}
