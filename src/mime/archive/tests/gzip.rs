//! Gzip: members, names, checksums, what is behind.

use super::zip_writer::{crc, deflate};
use super::{Kind, check, check_bounded, check_pieces};
use crate::mime::archive::Bounds;

/// A member with these flags, the fields that they announce, and its data.
fn member(flags: u8, fields: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = b"\x1f\x8b\x08".to_vec();
    out.push(flags);
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(fields);
    if flags & 2 != 0 {
        let header = crc(&out).to_le_bytes();
        out.extend_from_slice(&header[..2]);
    }
    out.extend_from_slice(&deflate(content));
    out.extend_from_slice(&crc(content).to_le_bytes());
    out.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
    out
}

#[track_caller]
fn check_gzip(archive: &[u8], want: &str) {
    check(Kind::Gzip, archive, want);
}

#[test]
fn a_member_is_an_entry_with_or_without_a_name() {
    check_gzip(&member(0, b"", b"hello"), "{hello}");
    check_gzip(&member(0, b"", b""), "{}");
    check_gzip(&member(8, b"a.txt\0", b"hello"), "a.txt{hello}");
    check_gzip(&member(4, b"\x03\0xyz", b"hello"), "{hello}");
    check_gzip(&member(2 | 4 | 8 | 16, b"\x03\0xyza\0comment\0", b"hello"), "a{hello}");
    check_gzip(&member(8, b"M\x81ller\0", b""), "Müller{}");
}

#[test]
fn members_join() {
    let two = [member(8, b"a\0", b"hel"), member(8, b"b\0", b"lo"), member(0, b"", b"!")].concat();
    check_gzip(&two, "a{hel!several_members~blo!}");
    check_gzip(&[member(0, b"", b"1"), vec![0; 40]].concat(), "{1}");
}

#[test]
fn what_does_not_fit_is_told() {
    let good = member(2, b"", b"hello");
    let with = |at: usize, octet: u8| {
        let mut archive = good.clone();
        archive[at] ^= octet;
        archive
    };
    let end = good.len();
    check_gzip(&with(10, 1), "{!header_checksumhello}");
    check_gzip(&with(end - 8, 1), "{hello!checksum_differs}");
    check_gzip(&with(end - 1, 1), "{hello!size_differs}");
    check_gzip(&with(3, 0x80), "!header_broken {!header_checksumhello}");
    check_gzip(&with(2, 1), "!not_one");
    check_gzip(&with(12, 7), "{!data_broken}");
    check_gzip(&[good.clone(), b"hidden".to_vec()].concat(), "{hello!suffix}");
    check_gzip(&[good.clone(), b"\x1f".to_vec()].concat(), "{hello!suffix}");
    check_gzip(&[good.clone(), b"\0\0x".to_vec()].concat(), "{hello!suffix}");
    for (octets, want) in [
        (0, "!not_one"),
        (3, "!not_one"),
        (11, "!truncated"),
        (15, "{he!truncated}"),
        (end - 1, "{hello!truncated}"),
    ] {
        check_gzip(&good[..octets], want);
    }
}

#[test]
fn bounds_end_it() {
    let bounds = Bounds { name_bytes_max: 3, ratio_max: 100, ratio_free_bytes: 1000, ..Bounds::DEFAULT };
    check_bounded(Kind::Gzip, bounds, &member(8, b"abc\0", b"1"), "abc{1}");
    check_bounded(Kind::Gzip, bounds, &member(8, b"abcd\0", b"1"), "^archive_name");
    let zeros = "\0".repeat(60_000);
    let bomb = member(0, b"", zeros.as_bytes());
    check_pieces(Kind::Gzip, bounds, &bomb, &format!("{{{}^archive_ratio}}", &zeros[..32_768]));
    // Another member is no new allowance.
    let half = "\0".repeat(600);
    let two = [member(0, b"", half.as_bytes()), member(0, b"", half.as_bytes())].concat();
    let tight = Bounds { ratio_max: 10, ..bounds };
    check_bounded(Kind::Gzip, tight, &two, &format!("{{{half}!several_members{half}^archive_ratio}}"));
}
