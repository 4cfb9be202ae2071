//! What the records of a zip say: local and central headers, extra fields, end records.
//!
//! APPNOTE 4.3.7 (local), 4.3.12 (central), 4.3.14-16 (ends), 4.5.3 (zip64), 4.6.9 (Unicode path),
//! and the WinZip AES note (extra field 0x9901).
//!
//! A record is parsed only when all of it is there; a field that its record is too short for reads as
//! zero or as absent, never as a panic.

use super::super::{name, u16_at, u32_at, u64_at};

/// How a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Local,
    Central,
    End,
    End64,
    Locator64,
    Descriptor,
    DigitalSignature,
    ArchiveExtra,
    /// In front of what was to be split and was not.
    Split,
}

impl Mark {
    const ALL: [Self; 9] = [
        Self::Local,
        Self::Central,
        Self::End,
        Self::End64,
        Self::Locator64,
        Self::Descriptor,
        Self::DigitalSignature,
        Self::ArchiveExtra,
        Self::Split,
    ];

    pub(super) const fn octets(self) -> [u8; 4] {
        match self {
            Self::Local => *b"PK\x03\x04",
            Self::Central => *b"PK\x01\x02",
            Self::End => *b"PK\x05\x06",
            Self::End64 => *b"PK\x06\x06",
            Self::Locator64 => *b"PK\x06\x07",
            Self::Descriptor => *b"PK\x07\x08",
            Self::DigitalSignature => *b"PK\x05\x05",
            Self::ArchiveExtra => *b"PK\x06\x08",
            Self::Split => *b"PK00",
        }
    }

    pub(super) fn of(octets: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| octets.starts_with(&mark.octets()))
    }

    /// Whether this is worth reading on from when we are lost; the others are met only in order.
    pub(super) const fn is_landmark(self) -> bool {
        Self::may_begin(&self.octets())
    }

    /// Whether a landmark begins with `octets`, or `octets` with one. A pattern, for it is asked of
    /// every P in what may be long and hostile.
    pub(super) const fn may_begin(octets: &[u8]) -> bool {
        matches!(
            octets,
            [] | [b'P']
                | [b'P', b'K']
                | [b'P', b'K', 1 | 3 | 5 | 6]
                | [b'P', b'K', 1, 2, ..]
                | [b'P', b'K', 3, 4, ..]
                | [b'P', b'K', 5, 6, ..]
                | [b'P', b'K', 6, 6, ..]
        )
    }

    /// Octets of the record before anything of variable length.
    pub(super) const fn fixed_octets(self) -> usize {
        match self {
            Self::Local => 30,
            Self::Central => 46,
            Self::End => 22,
            Self::End64 => 56,
            Self::Locator64 => 20,
            Self::Descriptor | Self::Split => 4,
            Self::DigitalSignature => 6,
            Self::ArchiveExtra => 8,
        }
    }

    /// Octets that its fixed part says to be gathered with it.
    pub(super) fn variable_octets(self, fixed: &[u8]) -> usize {
        let (name, extra) = match self {
            Self::Local => (u16_at(fixed, 26), u16_at(fixed, 28)),
            Self::Central => (u16_at(fixed, 28), u16_at(fixed, 30)),
            _ => (0, 0),
        };
        usize::from(name) + usize::from(extra)
    }

    /// Octets that its fixed part says to follow, and that need not be kept.
    pub(super) fn trailing_octets(self, fixed: &[u8]) -> u64 {
        match self {
            Self::Central => u16_at(fixed, 32).into(),
            Self::End => u16_at(fixed, 20).into(),
            Self::End64 => u64_at(fixed, 4).saturating_sub(44),
            Self::DigitalSignature => u16_at(fixed, 4).into(),
            Self::ArchiveExtra => u32_at(fixed, 4).into(),
            _ => 0,
        }
    }
}

const _: () = assert!(Mark::Local.is_landmark() && Mark::Central.is_landmark());
const _: () = assert!(Mark::End.is_landmark() && Mark::End64.is_landmark());
const _: () = assert!(!Mark::Locator64.is_landmark() && !Mark::Descriptor.is_landmark());

const ENCRYPTED: u16 = 1;
const DESCRIPTOR: u16 = 1 << 3;
const STRONGLY_ENCRYPTED: u16 = 1 << 6;
const UTF8: u16 = 1 << 11;
/// The directory is encrypted, and local headers say nothing true.
const MASKED: u16 = 1 << 13;

const STORED: u16 = 0;
const DEFLATE: u16 = 8;
const AES: u16 = 99;

const ZIP64_EXTRA: u16 = 0x0001;
const UNICODE_PATH_EXTRA: u16 = 0x7075;
const AES_EXTRA: u16 = 0x9901;

/// In a size or an offset: it stands in the zip64 extra field.
const IN_ZIP64: u32 = u32::MAX;

/// What data there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Measure {
    pub crc: u32,
    pub packed: u64,
    pub octets: u64,
}

/// A local or a central header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub name: String,
    /// The same in Unicode, where an extra field says it and it differs.
    pub unicode_name: Option<String>,
    pub method: u16,
    pub measure: Measure,
    /// Where the local header is to be found; in a central header.
    pub offset: u64,
    pub disk: u16,
    /// A size was to stand in a zip64 field that is not there.
    pub size_missing: bool,
    flags: u16,
}

impl Header {
    /// APPNOTE 4.3.7.
    pub(super) fn local(record: &[u8]) -> Self {
        let mut header = Self::at(record, 6);
        header.read_names(record, 26, 30, false);
        header
    }

    /// APPNOTE 4.3.12.
    pub(super) fn central(record: &[u8]) -> Self {
        let mut header = Self::at(record, 8);
        header.disk = u16_at(record, 34);
        header.offset = u32_at(record, 42).into();
        header.read_names(record, 28, 46, true);
        header
    }

    /// Each of several marks is enough: programs differ in which one they look at.
    pub(super) const fn is_encrypted(&self) -> bool {
        self.flags & (ENCRYPTED | STRONGLY_ENCRYPTED | MASKED) != 0 || self.method == AES
    }

    /// Whether a descriptor follows the data.
    pub(super) const fn has_descriptor(&self) -> bool {
        self.flags & DESCRIPTOR != 0
    }

    pub(super) const fn is_stored(&self) -> bool {
        self.method == STORED
    }

    pub(super) const fn is_scannable(&self) -> bool {
        matches!(self.method, STORED | DEFLATE) && !self.is_encrypted()
    }

    /// By its name, as most programs decide; the attributes of the directory are one system's own.
    pub(super) fn is_directory(&self) -> bool {
        self.name.ends_with(['/', '\\'])
    }

    /// What both kinds of header have in one order, from the flags on.
    fn at(record: &[u8], flags: usize) -> Self {
        Self {
            flags: u16_at(record, flags),
            method: u16_at(record, flags + 2),
            measure: Measure {
                crc: u32_at(record, flags + 8),
                packed: u32_at(record, flags + 12).into(),
                octets: u32_at(record, flags + 16).into(),
            },
            ..Self::default()
        }
    }

    /// Reads the name, and the extra fields that change what the fixed part says.
    fn read_names(&mut self, record: &[u8], lengths: usize, name: usize, central: bool) {
        let extra = name + usize::from(u16_at(record, lengths));
        let octets = record.get(name..extra).unwrap_or_default();
        self.name = name::decode(octets, self.flags & UTF8 != 0);
        let mut zip64 = None;
        let mut fields = record.get(extra..).unwrap_or_default();
        while let Some((id, value)) = extra_field(&mut fields) {
            match id {
                ZIP64_EXTRA => zip64 = zip64.or(Some(value)),
                UNICODE_PATH_EXTRA => self.read_unicode_path(value),
                // What is packed is packed by this method; that it is encrypted says the flag.
                AES_EXTRA if self.method == AES => {
                    self.method = u16_at(value, 5);
                    self.flags |= ENCRYPTED;
                }
                _ => {}
            }
        }
        self.read_zip64(zip64.unwrap_or_default(), central);
    }

    /// Version and checksum of the name that it stands for come first. A stale checksum should make
    /// readers pass over it; not all look.
    fn read_unicode_path(&mut self, value: &[u8]) {
        let name = name::decode(value.get(5..).unwrap_or_default(), true);
        if name != self.name {
            self.unicode_name = Some(name);
        }
    }

    /// Only those values stand in the field that do not fit where they should be, in this order.
    fn read_zip64(&mut self, mut value: &[u8], central: bool) {
        let Measure { packed, octets, .. } = &mut self.measure;
        for place in [octets, packed].into_iter().chain(central.then_some(&mut self.offset)) {
            if *place != u64::from(IN_ZIP64) {
                continue;
            }
            match value.split_first_chunk() {
                Some((octets, rest)) => (*place, value) = (u64::from_le_bytes(*octets), rest),
                None => self.size_missing = true,
            }
        }
    }
}

/// The next extra field, its id and its value; a value cut short is what there is of it.
fn extra_field<'a>(fields: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let (id, size) = (u16_at(fields, 0), usize::from(u16_at(fields, 2)));
    let value = fields.get(4..)?;
    let (value, rest) = value.split_at(size.min(value.len()));
    *fields = rest;
    Some((id, value))
}

/// What an end record says, of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub disk: u32,
    pub directory_disk: u32,
    pub count: u64,
    pub size: u64,
    pub offset: u64,
}

impl End {
    /// APPNOTE 4.3.16.
    pub(super) fn short(record: &[u8]) -> Self {
        Self {
            disk: u16_at(record, 4).into(),
            directory_disk: u16_at(record, 6).into(),
            count: u16_at(record, 10).into(),
            size: u32_at(record, 12).into(),
            offset: u32_at(record, 16).into(),
        }
    }

    /// APPNOTE 4.3.14, version 1; the second describes encrypted directories, which nobody writes.
    pub(super) fn long(record: &[u8]) -> Self {
        Self {
            disk: u32_at(record, 16),
            directory_disk: u32_at(record, 20),
            count: u64_at(record, 32),
            size: u64_at(record, 40),
            offset: u64_at(record, 48),
        }
    }

    /// Whether every value of this short record is the long one's, or says that it stands there.
    pub(super) fn agrees_with(&self, long: &Self) -> bool {
        let same = |short: u64, long: u64, absent: u64| short == long || short == absent;
        let (short, word) = (u64::from(u16::MAX), u64::from(u32::MAX));
        same(self.disk.into(), long.disk.into(), short)
            && same(self.directory_disk.into(), long.directory_disk.into(), short)
            && same(self.count, long.count, short)
            && same(self.size, long.size, word)
            && same(self.offset, long.offset, word)
    }
}
