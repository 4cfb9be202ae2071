//! Octets that are read as few programs do: EBCDIC, UTF-8 in longer forms than it has, and ASCII whose
//! eighth bit is dropped.
//!
//! Of EBCDIC there are many code pages, which differ in signs and letters with accents; letters and
//! digits are the same in all of them, so one page stands for all (IBM 037, which is Latin-1 in another
//! order). RFC 3629 §3 forbids overlong forms, and what they hide is why.
//!
//! What must hold: the result does not depend on cuts, and no more than a character is held.

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loose {
    Ebcdic,
    OverlongUtf8,
    SevenBit,
}

/// Reads octets so.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    manner: Loose,
    /// The character at hand, and how many octets of it are still to come.
    number: u32,
    left: u8,
}

impl Decoder {
    pub(super) const fn new(manner: Loose) -> Self {
        Self { manner, number: 0, left: 0 }
    }

    pub(super) fn push(&mut self, input: &[u8], out: &mut String) {
        match self.manner {
            Loose::Ebcdic => out.extend(input.iter().map(|octet| char::from(IBM_037[usize::from(*octet)]))),
            Loose::SevenBit => out.extend(input.iter().map(|octet| char::from(octet & 0x7f))),
            Loose::OverlongUtf8 => input.iter().for_each(|octet| self.utf8(*octet, out)),
        }
    }

    /// The next octet of UTF-8, whose characters may be longer than they need be.
    fn utf8(&mut self, octet: u8, out: &mut String) {
        match (octet, self.left) {
            (0x80..=0xbf, 1..) => {
                self.number = self.number << 6 | u32::from(octet & 0x3f);
                self.left -= 1;
                if self.left == 0 {
                    out.push(char::from_u32(self.number).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                return;
            }
            (_, 1..) => out.push(char::REPLACEMENT_CHARACTER),
            _ => {}
        }
        let (number, left) = match octet {
            0..=0x7f => (u32::from(octet), 0),
            0xc0..=0xdf => (u32::from(octet & 0x1f), 1),
            0xe0..=0xef => (u32::from(octet & 0x0f), 2),
            0xf0..=0xf7 => (u32::from(octet & 0x07), 3),
            _ => (u32::from(char::REPLACEMENT_CHARACTER), 0),
        };
        (self.number, self.left) = (number, left);
        if left == 0 {
            out.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }
}

/// Whether a label in lower case is of a code page of EBCDIC.
pub(super) fn is_ebcdic(label: &str) -> bool {
    let prefixes = ["csibm", "x-ibm", "ibm-", "ibm", "x-cp", "cp"];
    let number = prefixes.iter().find_map(|prefix| label.strip_prefix(prefix));
    label.contains("ebcdic") || number.is_some_and(|number| PAGES.contains(&number.trim_start_matches('0')))
}

/// Code pages of EBCDIC by number, without zeros in front.
const PAGES: [&str; 32] = [
    "37", "273", "277", "278", "280", "284", "285", "290", "297", "420", "423", "424", "500", "833", "838",
    "870", "871", "875", "880", "905", "924", "1025", "1026", "1047", "1140", "1141", "1142", "1143", "1146",
    "1147", "1148", "1149",
];

static IBM_037: [u8; 256] = [
    0x00, 0x01, 0x02, 0x03, 0x9c, 0x09, 0x86, 0x7f, 0x97, 0x8d, 0x8e, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10,
    0x11, 0x12, 0x13, 0x9d, 0x85, 0x08, 0x87, 0x18, 0x19, 0x92, 0x8f, 0x1c, 0x1d, 0x1e, 0x1f, 0x80, 0x81,
    0x82, 0x83, 0x84, 0x0a, 0x17, 0x1b, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x05, 0x06, 0x07, 0x90, 0x91, 0x16,
    0x93, 0x94, 0x95, 0x96, 0x04, 0x98, 0x99, 0x9a, 0x9b, 0x14, 0x15, 0x9e, 0x1a, 0x20, 0xa0, 0xe2, 0xe4,
    0xe0, 0xe1, 0xe3, 0xe5, 0xe7, 0xf1, 0xa2, 0x2e, 0x3c, 0x28, 0x2b, 0x7c, 0x26, 0xe9, 0xea, 0xeb, 0xe8,
    0xed, 0xee, 0xef, 0xec, 0xdf, 0x21, 0x24, 0x2a, 0x29, 0x3b, 0xac, 0x2d, 0x2f, 0xc2, 0xc4, 0xc0, 0xc1,
    0xc3, 0xc5, 0xc7, 0xd1, 0xa6, 0x2c, 0x25, 0x5f, 0x3e, 0x3f, 0xf8, 0xc9, 0xca, 0xcb, 0xc8, 0xcd, 0xce,
    0xcf, 0xcc, 0x60, 0x3a, 0x23, 0x40, 0x27, 0x3d, 0x22, 0xd8, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67,
    0x68, 0x69, 0xab, 0xbb, 0xf0, 0xfd, 0xfe, 0xb1, 0xb0, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71,
    0x72, 0xaa, 0xba, 0xe6, 0xb8, 0xc6, 0xa4, 0xb5, 0x7e, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
    0xa1, 0xbf, 0xd0, 0xdd, 0xde, 0xae, 0x5e, 0xa3, 0xa5, 0xb7, 0xa9, 0xa7, 0xb6, 0xbc, 0xbd, 0xbe, 0x5b,
    0x5d, 0xaf, 0xa8, 0xb4, 0xd7, 0x7b, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0xad, 0xf4,
    0xf6, 0xf2, 0xf3, 0xf5, 0x7d, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, 0x50, 0x51, 0x52, 0xb9, 0xfb, 0xfc,
    0xf9, 0xfa, 0xff, 0x5c, 0xf7, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0xb2, 0xd4, 0xd6, 0xd2,
    0xd3, 0xd5, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0xb3, 0xdb, 0xdc, 0xd9, 0xda,
    0x9f,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(manner: Loose, input: &[u8], want: &str) {
        for cut in 0..=input.len() {
            let (mut decoder, mut out) = (Decoder::new(manner), String::new());
            decoder.push(&input[..cut], &mut out);
            decoder.push(&input[cut..], &mut out);
            assert_eq!(out, want, "cut at {cut}");
        }
    }

    #[test]
    fn octets_are_read_so() {
        check(Loose::Ebcdic, b"\xc3\x81\xa3\x40\xf9", "Cat 9");
        check(Loose::SevenBit, b"\xc3a\xf4", "Cat");
        check(Loose::OverlongUtf8, b"\xc1\x83\xe0\x81\xa1\xf0\x80\x81\xb4 \xc3\xa4", "Cat \u{e4}");
        check(Loose::OverlongUtf8, b"\xc1C\xffa", "\u{fffd}C\u{fffd}a");
    }

    #[test]
    fn labels_of_ebcdic_are_known() {
        assert!(["ibm037", "cp500", "ibm-1047", "csibm273", "ebcdic-cp-us"].into_iter().all(is_ebcdic));
        assert!(!["ibm866", "cp1252", "ibm", "utf-8", ""].into_iter().any(is_ebcdic));
    }
}
