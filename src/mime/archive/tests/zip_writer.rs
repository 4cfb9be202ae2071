//! Writes zips, true ones and such that lie.

use flate2::{Compress, Compression, Crc, FlushCompress};

/// Checksum, packed size, size.
pub(super) type Measure = (u32, u32, u32);

#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    pub name: Vec<u8>,
    pub packed: Vec<u8>,
    pub measure: Measure,
    pub method: u16,
    pub flags: u16,
    pub extra: Vec<u8>,
    /// Behind the data: with signature, in eight octets.
    pub descriptor: Option<(bool, bool)>,
    /// What the descriptor says instead.
    pub descriptor_measure: Option<Measure>,
    /// What the local header says instead.
    pub local_measure: Option<Measure>,
    pub central_name: Option<Vec<u8>>,
    pub central_measure: Option<Measure>,
    pub central_method: Option<u16>,
    pub central_flags: Option<u16>,
    pub central_offset: Option<u32>,
    pub central_extra: Option<Vec<u8>>,
    pub central_comment: Vec<u8>,
    /// Before the local header, and behind the data.
    pub before: Vec<u8>,
    pub behind: Vec<u8>,
    pub not_local: bool,
    pub not_central: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Zip {
    pub members: Vec<Member>,
    pub comment: Vec<u8>,
    pub suffix: Vec<u8>,
    pub before_directory: Vec<u8>,
    pub before_end: Vec<u8>,
    /// What the end record says instead.
    pub count: Option<u16>,
    pub directory_offset: Option<u32>,
    pub directory_size: Option<u32>,
    pub disk: u16,
    pub no_end: bool,
    pub zip64: bool,
    pub zip64_count: Option<u64>,
    /// Octets that stand before it and that its offsets leave out.
    pub uncounted: usize,
}

pub(super) fn crc(octets: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(octets);
    crc.sum()
}

pub(super) fn deflate(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 1024);
    Compress::new(Compression::default(), false)
        .compress_vec(octets, &mut out, FlushCompress::Finish)
        .unwrap();
    out
}

fn len(octets: &[u8]) -> u32 {
    octets.len().try_into().unwrap()
}

fn short(octets: &[u8]) -> [u8; 2] {
    u16::try_from(octets.len()).unwrap().to_le_bytes()
}

pub(super) fn extra(id: u16, value: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], &short(value), value].concat()
}

impl Member {
    pub(super) fn stored(name: &str, content: &[u8]) -> Self {
        let measure = (crc(content), len(content), len(content));
        Self { name: name.into(), packed: content.to_vec(), measure, ..Self::default() }
    }

    pub(super) fn deflated(name: &str, content: &[u8]) -> Self {
        let packed = deflate(content);
        let measure = (crc(content), len(&packed), len(content));
        Self { name: name.into(), packed, measure, method: 8, ..Self::default() }
    }

    /// What nobody reads without the password: any octets do.
    pub(super) fn encrypted(name: &str, octets: &[u8]) -> Self {
        Self { flags: 1, ..Self::stored(name, octets) }
    }

    /// Says its measure behind its data, and nothing before.
    pub(super) fn described(self, signed: bool, long: bool) -> Self {
        let flags = self.flags | 1 << 3;
        Self { descriptor: Some((signed, long)), local_measure: Some((0, 0, 0)), flags, ..self }
    }

    fn local(&self) -> Vec<u8> {
        let mut out = self.before.clone();
        let (crc, packed, octets) = self.local_measure.unwrap_or(self.measure);
        out.extend_from_slice(b"PK\x03\x04\x14\0");
        for number in [self.flags, self.method, 0, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [crc, packed, octets] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&short(&self.name));
        out.extend_from_slice(&short(&self.extra));
        for part in [&self.name, &self.extra, &self.packed] {
            out.extend_from_slice(part);
        }
        if let Some((signed, long)) = self.descriptor {
            let (crc, packed, octets) = self.descriptor_measure.unwrap_or(self.measure);
            out.extend_from_slice(if signed { b"PK\x07\x08" } else { b"" });
            out.extend_from_slice(&crc.to_le_bytes());
            for size in [packed, octets] {
                out.extend_from_slice(&u64::from(size).to_le_bytes()[..if long { 8 } else { 4 }]);
            }
        }
        out.extend_from_slice(&self.behind);
        out
    }

    fn central(&self, offset: u32) -> Vec<u8> {
        let name = self.central_name.as_ref().unwrap_or(&self.name);
        let extra = self.central_extra.as_ref().unwrap_or(&self.extra);
        let (crc, packed, octets) = self.central_measure.unwrap_or(self.measure);
        let mut out = b"PK\x01\x02\x14\0\x14\0".to_vec();
        let (flags, method) =
            (self.central_flags.unwrap_or(self.flags), self.central_method.unwrap_or(self.method));
        for number in [flags, method, 0, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [crc, packed, octets] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for part in [name, extra, &self.central_comment] {
            out.extend_from_slice(&short(part));
        }
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.central_offset.unwrap_or(offset).to_le_bytes());
        for part in [name, extra, &self.central_comment] {
            out.extend_from_slice(part);
        }
        out
    }
}

impl Zip {
    pub(super) fn of(members: impl IntoIterator<Item = Member>) -> Self {
        Self { members: members.into_iter().collect(), ..Self::default() }
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let (mut out, mut offsets) = (Vec::new(), Vec::new());
        for member in &self.members {
            offsets.push(u32::try_from(out.len() + member.before.len() - self.uncounted).unwrap_or_default());
            if !member.not_local {
                out.extend_from_slice(&member.local());
            }
        }
        out.extend_from_slice(&self.before_directory);
        let begins = len(&out) - u32::try_from(self.uncounted).unwrap();
        let listed = || self.members.iter().zip(&offsets).filter(|(member, _)| !member.not_central);
        for (member, offset) in listed() {
            out.extend_from_slice(&member.central(*offset));
        }
        let size = len(&out) - u32::try_from(self.uncounted).unwrap() - begins;
        let size = self.directory_size.unwrap_or(size);
        let count = u16::try_from(listed().count()).unwrap();
        let count = self.count.unwrap_or(count);
        out.extend_from_slice(&self.before_end);
        if self.zip64 {
            let count = self.zip64_count.unwrap_or_else(|| count.into());
            out.extend_from_slice(&end64(count, size.into(), begins.into(), out.len() as u64));
        }
        if !self.no_end {
            out.extend_from_slice(b"PK\x05\x06");
            for number in [self.disk, self.disk, count, count] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            for number in [size, self.directory_offset.unwrap_or(begins)] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&short(&self.comment));
            out.extend_from_slice(&self.comment);
        }
        out.extend_from_slice(&self.suffix);
        out
    }
}

fn end64(count: u64, size: u64, offset: u64, at: u64) -> Vec<u8> {
    let mut out = b"PK\x06\x06".to_vec();
    out.extend_from_slice(&44_u64.to_le_bytes());
    out.extend_from_slice(&[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [count, count, size, offset] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(b"PK\x06\x07\0\0\0\0");
    out.extend_from_slice(&at.to_le_bytes());
    out.extend_from_slice(&1_u32.to_le_bytes());
    out
}
