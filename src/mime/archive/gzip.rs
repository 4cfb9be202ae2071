//! GZIP (RFC 1952): one entry, whatever number of members it is joined from.
//!
//! Everybody who unpacks it joins the members' data, so that is what is scanned; the names of later
//! members are told as aliases. Header checksums, trailers and what comes behind are looked at.

use flate2::Crc;

use super::inflate::{Inflate, Inflated};
use super::{Defect, Entry, Limit, Method, Report, gather, is_padding, name, take, u16_at, u32_at};

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// Header flags (RFC 1952 §2.3.1).
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

/// What comes next in a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Fixed,
    ExtraSize,
    Extra(u64),
    Name,
    Comment,
    HeaderCrc,
    Data,
    Trailer,
    /// No member begins any more.
    Tail,
    /// Nothing more can be read.
    Lost,
}

#[derive(Debug, Default)]
pub(super) struct Gzip {
    state: State,
    held: Vec<u8>,
    name: Vec<u8>,
    flags: u8,
    members: u64,
    header: Crc,
    pub(super) inflate: Inflate,
    /// What members before this one unpacked to; the trailer counts its own only.
    octets_before: u64,
}

impl Gzip {
    pub(super) fn push(&mut self, mut input: &[u8], report: &mut Report<'_>) {
        while self.step(&mut input, report) && !report.over() {}
    }

    pub(super) fn finish(&mut self, report: &mut Report<'_>) {
        match self.state {
            State::Fixed if self.held.is_empty() && self.members > 0 => {}
            State::Fixed if self.members > 0 => self.stray(&self.held, report),
            State::Fixed => report.defect(Defect::NotArchive),
            State::Tail | State::Lost => {}
            State::Data => {
                self.inflate.flush(report);
                report.defect(Defect::Truncated);
            }
            _ => report.defect(Defect::Truncated),
        }
    }

    fn step(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        match self.state {
            State::Fixed => self.fixed(input, report),
            State::ExtraSize => self.extra_size(input),
            State::Extra(left) => self.extra(left, input),
            State::Name => self.name(input, report),
            State::Comment => self.comment(input),
            State::HeaderCrc => self.header_crc(input, report),
            State::Data => self.data(input, report),
            State::Trailer => self.trailer(input, report),
            State::Tail => {
                self.stray(take(input, u64::MAX), report);
                false
            }
            State::Lost => false,
        }
    }

    /// The first octets of a member, if it is one. Everything that comes of the mark is held against it
    /// at once, so that a single octet behind the last member is no beginning.
    fn fixed(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        let whole = gather(&mut self.held, input, 10);
        let compared = MAGIC.len().min(self.held.len());
        if self.held.get(..compared) != MAGIC.get(..compared) {
            report.defect_if(self.members == 0, Defect::NotArchive);
            self.stray(&self.held, report);
            self.state = State::Tail;
            return true;
        }
        if !whole {
            return false;
        }
        self.flags = self.held.get(3).copied().unwrap_or_default();
        report.defect_if(self.flags & RESERVED != 0, Defect::HeaderBroken);
        self.header.reset();
        self.name.clear();
        self.forget();
        self.state = State::ExtraSize;
        true
    }

    /// Lets go of what is held, all of it a part of the header.
    fn forget(&mut self) {
        self.header.update(&self.held);
        self.held.clear();
    }

    fn extra_size(&mut self, input: &mut &[u8]) -> bool {
        if self.flags & EXTRA == 0 {
            self.state = State::Name;
            return true;
        }
        let whole = gather(&mut self.held, input, 2);
        if whole {
            self.state = State::Extra(u16_at(&self.held, 0).into());
            self.forget();
        }
        whole
    }

    fn extra(&mut self, left: u64, input: &mut &[u8]) -> bool {
        let octets = take(input, left);
        self.header.update(octets);
        let left = left - octets.len() as u64;
        self.state = if left > 0 { State::Extra(left) } else { State::Name };
        left == 0
    }

    fn name(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        if self.flags & NAME != 0 {
            let (octets, ended) = until_nul(input);
            self.header.update(octets);
            let octets = octets.strip_suffix(&[0]).unwrap_or(octets);
            if self.name.len() + octets.len() > report.bounds.name_bytes_max {
                report.limit(Limit::Name);
                return false;
            }
            self.name.extend_from_slice(octets);
            if !ended {
                return false;
            }
        }
        self.state = State::Comment;
        true
    }

    fn comment(&mut self, input: &mut &[u8]) -> bool {
        if self.flags & COMMENT != 0 {
            let (octets, ended) = until_nul(input);
            self.header.update(octets);
            if !ended {
                return false;
            }
        }
        self.state = State::HeaderCrc;
        true
    }

    /// The lower half of the header's checksum, where there is one.
    fn header_crc(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        let mut differs = false;
        if self.flags & HEADER_CRC != 0 {
            if !gather(&mut self.held, input, 2) {
                return false;
            }
            differs = u32::from(u16_at(&self.held, 0)) != self.header.sum() & 0xffff;
            self.held.clear();
        }
        self.begin_member(report);
        report.defect_if(differs, Defect::HeaderChecksum);
        self.state = State::Data;
        true
    }

    /// The first member begins the entry; another one goes on with it, its bounds too.
    fn begin_member(&mut self, report: &mut Report<'_>) {
        let name = name::decode(&self.name, false);
        self.members += 1;
        if self.members > 1 {
            report.defect(Defect::SeveralMembers);
            if !name.is_empty() {
                report.alias(&name);
            }
            self.octets_before = self.inflate.octets;
            return self.inflate.continue_with_next();
        }
        self.inflate.begin();
        report.entry(Entry {
            name: &name,
            encrypted: false,
            directory: false,
            method: Method::Deflate,
            size_declared: None,
        });
    }

    fn data(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        match self.inflate.push(input, report) {
            Inflated::Hungry | Inflated::Over => false,
            Inflated::End => {
                self.state = State::Trailer;
                true
            }
            Inflated::Broken => {
                report.defect(Defect::DataBroken);
                self.state = State::Lost;
                true
            }
        }
    }

    /// Checksum and size of this member (RFC 1952 §2.3.1), the latter modulo 2^32.
    fn trailer(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        if !gather(&mut self.held, input, 8) {
            return false;
        }
        let octets = (self.inflate.octets - self.octets_before) & u64::from(u32::MAX);
        report.defect_if(u32_at(&self.held, 0) != self.inflate.crc.sum(), Defect::ChecksumDiffers);
        report.defect_if(u64::from(u32_at(&self.held, 4)) != octets, Defect::SizeDiffers);
        self.held.clear();
        self.state = State::Fixed;
        true
    }

    /// Octets behind the last member. Tapes and some mail programs pad.
    fn stray(&self, octets: &[u8], report: &mut Report<'_>) {
        report.defect_if(!is_padding(octets) && self.members > 0, Defect::Suffix);
    }
}

/// Octets up to the next NUL, that included; and whether there was one.
fn until_nul<'a>(input: &mut &'a [u8]) -> (&'a [u8], bool) {
    let end = memchr::memchr(0, input);
    (take(input, end.map_or(u64::MAX, |end| end as u64 + 1)), end.is_some())
}
