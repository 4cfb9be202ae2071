//! Messages and files in the making.

use std::io::Write as _;

use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

/// Line ends as they are on the wire.
pub(super) fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// One line, however long.
pub(super) fn base64(octets: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(octets)
}

/// Lines of `length`, with LF behind each.
pub(super) fn base64_lines(octets: &[u8], length: usize) -> String {
    let line = base64(octets);
    let lines = line.as_bytes().chunks(length).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
    lines.collect()
}

/// Every octet escaped.
pub(super) fn quoted_printable(octets: &[u8]) -> String {
    let pieces = octets.iter().enumerate().map(|(at, octet)| {
        let soft = if at % 20 == 19 { "=\n" } else { "" };
        format!("={octet:02X}{soft}")
    });
    pieces.collect()
}

/// The old encoding of Unix mail, with its first and last line.
pub(super) fn uuencoded(octets: &[u8], name: &str) -> String {
    let sixth = |value: u32| if value & 63 == 0 { '`' } else { char::from_u32((value & 63) + 32).unwrap() };
    let mut text = format!("begin 644 {name}\n");
    for line in octets.chunks(45) {
        text.push(sixth(u32::try_from(line.len()).unwrap()));
        for group in line.chunks(3) {
            let at = |n: usize| u32::from(group.get(n).copied().unwrap_or(0));
            let word = at(0) << 16 | at(1) << 8 | at(2);
            [18, 12, 6, 0].iter().for_each(|shift| text.push(sixth(word >> shift)));
        }
        text.push('\n');
    }
    text + "`\nend\n"
}

pub(super) fn utf16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

pub(super) fn utf16be(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// Shifted as a whole, which no honest program does to ASCII.
pub(super) fn utf7(text: &str) -> String {
    format!("+{}-", base64(&utf16be(text)).trim_end_matches('='))
}

/// Every character by its number.
pub(super) fn entities(text: &str) -> String {
    text.chars().map(|c| format!("&#{};", u32::from(c))).collect()
}

pub(super) fn html(text: &str) -> String {
    format!("<html><body><p>{}</p></body></html>\n", entities(text))
}

pub(super) fn deflated(octets: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

fn crc(octets: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(octets);
    crc.sum()
}

pub(super) const STORED: u16 = 0;
pub(super) const DEFLATE: u16 = 8;

/// One entry of a zip, and what it says of itself in both places.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) packed: Vec<u8>,
    pub(super) size: u32,
    pub(super) crc: u32,
    pub(super) method: u16,
    pub(super) flags: u16,
    /// What the directory says instead.
    pub(super) central_name: Option<String>,
    pub(super) central_method: Option<u16>,
    /// It is in the directory only; or only in front of its content.
    pub(super) local: bool,
    pub(super) central: bool,
}

impl Entry {
    pub(super) fn new(name: &str, octets: &[u8], method: u16) -> Self {
        let packed = if method == DEFLATE { deflated(octets) } else { octets.to_vec() };
        Self {
            name: name.to_owned(),
            packed,
            size: u32::try_from(octets.len()).unwrap(),
            crc: crc(octets),
            method,
            flags: 0,
            central_name: None,
            central_method: None,
            local: true,
            central: true,
        }
    }

    /// Sizes and sum come behind the content.
    pub(super) fn with_descriptor(mut self) -> Self {
        self.flags |= 8;
        self
    }

    fn sums(&self) -> Vec<u8> {
        let packed = u32::try_from(self.packed.len()).unwrap();
        [self.crc, packed, self.size].iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn write_local(&self, out: &mut Vec<u8>) {
        let words = |values: &[u16]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        let described = self.flags & 8 != 0;
        out.extend(b"PK\x03\x04");
        out.extend(words(&[20, self.flags, self.method, 0, 0x5a00]));
        out.extend(if described { vec![0; 12] } else { self.sums() });
        out.extend(words(&[u16::try_from(self.name.len()).unwrap(), 0]));
        out.extend(self.name.as_bytes());
        out.extend(&self.packed);
        if described {
            out.extend(b"PK\x07\x08");
            out.extend(self.sums());
        }
    }

    fn write_central(&self, offset: u32, out: &mut Vec<u8>) {
        let words = |values: &[u16]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        let name = self.central_name.as_ref().unwrap_or(&self.name);
        out.extend(b"PK\x01\x02");
        out.extend(words(&[20, 20, self.flags, self.central_method.unwrap_or(self.method), 0, 0x5a00]));
        out.extend(self.sums());
        out.extend(words(&[u16::try_from(name.len()).unwrap(), 0, 0, 0, 0, 0, 0]));
        out.extend(offset.to_le_bytes());
        out.extend(name.as_bytes());
    }
}

/// A zip of `entries`.
pub(super) fn zip_of(entries: &[Entry]) -> Vec<u8> {
    let (mut zip, mut directory, mut count) = (Vec::new(), Vec::new(), 0u16);
    for entry in entries {
        let offset = u32::try_from(zip.len()).unwrap();
        if entry.local {
            entry.write_local(&mut zip);
        }
        if entry.central {
            entry.write_central(offset, &mut directory);
            count += 1;
        }
    }
    let at = u32::try_from(zip.len()).unwrap();
    let size = u32::try_from(directory.len()).unwrap();
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend(count.to_le_bytes());
    zip.extend(count.to_le_bytes());
    zip.extend(size.to_le_bytes());
    zip.extend(at.to_le_bytes());
    zip.extend(0u16.to_le_bytes());
    zip
}

pub(super) fn zip(name: &str, octets: &[u8], method: u16) -> Vec<u8> {
    zip_of(&[Entry::new(name, octets, method)])
}

/// One file and the end of the archive.
pub(super) fn tar(name: &str, octets: &[u8]) -> Vec<u8> {
    let mut head = [0u8; 512];
    head[..name.len()].copy_from_slice(name.as_bytes());
    for (at, text) in [
        (100, "0000644\0"),
        (108, "0000000\0"),
        (116, "0000000\0"),
        (136, "00000000000\0"),
        (148, "        "),
    ] {
        head[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    head[124..136].copy_from_slice(format!("{:011o}\0", octets.len()).as_bytes());
    head[156] = b'0';
    head[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = head.iter().copied().map(u32::from).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = head.to_vec();
    tar.extend(octets);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

/// A message with one file in it, as base64.
pub(super) fn attached(name: &str, octets: &[u8]) -> Vec<u8> {
    crlf(&format!(
        "From: a@client.example\nSubject: a file\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Type: text/plain\n\nsee there\n--b\n\
         Content-Type: application/octet-stream; name=\"{name}\"\nContent-Transfer-Encoding: base64\n\n{}\
         --b--\n",
        base64_lines(octets, 76)
    ))
}

/// `message` within `depth` others.
pub(super) fn nested(message: &[u8], depth: usize) -> Vec<u8> {
    let mut all = b"Subject: outside\r\nContent-Type: message/rfc822\r\n\r\n".repeat(depth);
    all.extend(message);
    all
}
