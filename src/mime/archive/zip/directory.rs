//! The directory at a zip's end, compared with the entries that were read before it.
//!
//! APPNOTE 4.3.12-16. Programs that unpack from a file believe the directory, those that unpack a
//! stream believe the local headers; whoever makes them differ shows one file to a scanner and
//! another one to its victim. So each entry read leaves a small record, each central header is held
//! against the record at its offset, and at the end record nothing may be left over on either side.
//!
//! A record holds digests of what is compared whole. They are keyed anew for each archive, by a key
//! that nobody outside can know, so that no two names can be made to look the same.

use std::hash::{BuildHasher, RandomState};

use super::super::{Defect, Limit, Report, name};
use super::header::{End, Header, Measure};
use crate::mime::archive::ArchiveEvent;

/// An entry that was read.
#[derive(Clone, Copy, Debug)]
struct Record {
    name: u64,
    measure: u32,
    offset_low: u32,
    offset_high: u16,
    method: u16,
    encrypted: bool,
    directory: bool,
    listed: bool,
}

/// 10,000 entries must not take more than what a message may have of its own (256 KiB).
const _: () = assert!(size_of::<Record>() <= 24);
/// Records made room for at a time: doubling would leave half of the room unused.
const RECORDS_STEP: usize = 512;

impl Record {
    fn offset(&self) -> u64 {
        u64::from(self.offset_high) << 32 | u64::from(self.offset_low)
    }
}

/// What has been read of one archive, and what its directory said so far.
#[derive(Debug, Default)]
pub(super) struct Directory {
    records: Vec<Record>,
    keys: RandomState,
    /// Where the archive's first local header stands: offsets count from there or from the file's
    /// beginning.
    base: u64,
    /// Where the last entry's data ends.
    data_end: u64,
    /// Where the directory begins, and its last header ends.
    begins: Option<u64>,
    ends: u64,
    listed: u64,
    /// Octets that entries listed but not read would unpack to.
    unread: u64,
    end64: Option<(u64, End)>,
    locator: Option<u64>,
}

impl Directory {
    pub(super) const fn has_entries(&self) -> bool {
        !self.records.is_empty()
    }

    /// Whether central headers came, and no end record yet.
    pub(super) const fn is_begun(&self) -> bool {
        self.begins.is_some()
    }

    /// Notes an entry that was read: its header, where that stands, what its data really was, and
    /// where it ended.
    pub(super) fn note(&mut self, header: &Header, offset: u64, measure: Measure, data_end: u64) {
        if self.records.is_empty() && self.begins.is_none() {
            self.base = offset;
        }
        self.data_end = data_end;
        if self.records.len() == self.records.capacity() {
            self.records.reserve_exact(RECORDS_STEP);
        }
        self.records.push(Record {
            name: self.keys.hash_one(&header.name),
            measure: self.digest(measure),
            offset_low: (offset & u64::from(u32::MAX)).try_into().unwrap_or_default(),
            offset_high: (offset >> 32).try_into().unwrap_or(u16::MAX),
            method: header.method,
            encrypted: header.is_encrypted(),
            directory: header.is_directory(),
            listed: false,
        });
    }

    /// Compares a central header, which stands at `at`, with what was read at its offset.
    pub(super) fn compare(&mut self, header: &Header, at: u64, report: &mut Report<'_>) {
        self.begins.get_or_insert(at);
        self.listed += 1;
        report.defect_if(header.disk != 0, Defect::Spanned);
        let Some(index) = self.find(header.offset) else {
            report.defect_if(header.offset < self.data_end, Defect::Overlap);
            return self.unread(header, report);
        };
        let (name, measure) = (self.keys.hash_one(&header.name), self.digest(header.measure));
        let Some(record) = self.records.get_mut(index) else { return };
        if std::mem::replace(&mut record.listed, true) {
            report.defect(Defect::Overlap);
            return self.unread(header, report);
        }
        if record.name != name {
            report.defect(Defect::NameDiffers);
            report.alias(&header.name);
        }
        tell_unicode_name(header, report);
        report.defect_if(record.measure != measure, Defect::SizeDiffers);
        report.defect_if(record.method != header.method, Defect::MethodDiffers);
        if record.encrypted != header.is_encrypted() {
            report.defect(Defect::EncryptionDiffers);
            report.tell(ArchiveEvent::Encrypted);
        }
    }

    /// Notes where the directory's last header ends, its comment included.
    pub(super) fn extend_to(&mut self, at: u64) {
        self.ends = at;
    }

    pub(super) fn end64(&mut self, record: &[u8], at: u64) {
        self.end64 = Some((at, End::long(record)));
    }

    pub(super) fn locator64(&mut self, offset: u64) {
        self.locator = Some(offset);
    }

    /// Holds the end record, which stands at `at`, against all that came before it; then forgets it,
    /// for another archive may follow.
    pub(super) fn end(&mut self, record: &[u8], at: u64, report: &mut Report<'_>) {
        let short = End::short(record);
        let end = self.true_end(short, report);
        report.defect_if(end.disk != 0 || end.directory_disk != 0, Defect::Spanned);
        let modulus = if self.end64.is_some() { u64::MAX } else { 1 << 16 };
        report.defect_if(end.count != self.listed % modulus, Defect::CountDiffers);
        let begins = self.begins.unwrap_or(at);
        let places = [begins, begins.saturating_sub(self.base)];
        let there = match self.listed {
            0 => end.size == 0,
            _ => places.contains(&end.offset) && end.size == self.ends.saturating_sub(begins),
        };
        report.defect_if(!there, Defect::DirectoryElsewhere);
        report.defect_if(self.records.iter().any(|record| !record.listed), Defect::LocalOnly);
        report.defect_if(self.has_duplicates(), Defect::DuplicateName);
        *self = Self { records: std::mem::take(&mut self.records), ..Self::default() };
        self.records.clear();
    }

    /// The end record to believe: the zip64 one where there is one.
    fn true_end(&self, short: End, report: &mut Report<'_>) -> End {
        let Some((at, long)) = self.end64 else {
            report.defect_if(self.locator.is_some(), Defect::Zip64Differs);
            return short;
        };
        let places = [at, at.saturating_sub(self.base)];
        let found = self.locator.is_some_and(|offset| places.contains(&offset));
        report.defect_if(!found || !short.agrees_with(&long), Defect::Zip64Differs);
        long
    }

    /// An entry that the directory lists and that we have not read. Some program will show it, so its
    /// name is told, and what it would unpack to is held against what is left.
    fn unread(&mut self, header: &Header, report: &mut Report<'_>) {
        report.defect(Defect::CentralOnly);
        report.alias(&header.name);
        tell_unicode_name(header, report);
        if header.is_encrypted() {
            report.tell(ArchiveEvent::Encrypted);
        }
        let Measure { packed, octets, .. } = header.measure;
        self.unread = self.unread.saturating_add(octets.saturating_sub(packed));
        if self.unread > report.budget.expanded_bytes {
            report.limit(Limit::Expansion);
        } else if self.listed > report.bounds.entries_max.into() {
            report.limit(Limit::Entries);
        }
    }

    /// The record at `offset`. Records stand in the order of their offsets.
    fn find(&self, offset: u64) -> Option<usize> {
        let at = |offset| self.records.binary_search_by_key(&offset, Record::offset).ok();
        at(offset).or_else(|| at(offset.checked_add(self.base)?))
    }

    /// Half of the digest: what is compared is one pair at a time, never many with many.
    fn digest(&self, measure: Measure) -> u32 {
        (self.keys.hash_one(measure) >> 32).try_into().unwrap_or_default()
    }

    /// Whether two files have one name: the later replaces the earlier, or does not, as programs please.
    fn has_duplicates(&self) -> bool {
        let files = self.records.iter().filter(|record| !record.directory);
        let mut names: Vec<u64> = files.map(|record| record.name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [one, next] if one == next))
    }
}

/// Tells a name that only those see who look into the extra fields.
pub(super) fn tell_unicode_name(header: &Header, report: &mut Report<'_>) {
    if let Some(unicode) = &header.unicode_name {
        report.defect_if(!name::is_same_in_ascii(&header.name, unicode), Defect::NameDiffers);
        report.alias(unicode);
    }
}
