//! RAR headers of both versions, made here; no data of theirs is ever unpacked.

use super::{Kind, check};

const OLD: &[u8] = b"Rar!\x1a\x07\0";
const NEW: &[u8] = b"Rar!\x1a\x07\x01\0";

fn old(kind: u8, flags: u16, rest: &[u8]) -> Vec<u8> {
    let size = u16::try_from(7 + rest.len()).unwrap();
    [&[0, 0, kind][..], &flags.to_le_bytes(), &size.to_le_bytes(), rest].concat()
}

fn old_file(name: &[u8], flags: u16, method: u8, packed: &[u8]) -> Vec<u8> {
    let size = u32::try_from(packed.len()).unwrap().to_le_bytes();
    let length = u16::try_from(name.len()).unwrap().to_le_bytes();
    let rest = [&size[..], &size, &[0; 9], &[29, method], &length, &[0; 4], name].concat();
    [old(0x74, flags | 0x8000, &rest), packed.to_vec()].concat()
}

/// A header of version 5: all its numbers are below 128.
fn new(fields: &[u8]) -> Vec<u8> {
    [&[0; 4][..], &[u8::try_from(fields.len()).unwrap()], fields].concat()
}

fn new_file(name: &[u8], extra: &[u8], method: u16, packed: &[u8]) -> Vec<u8> {
    let compression = [0x80 | u8::try_from(method & 1).unwrap() << 7 & 0x7f, u8::try_from(method).unwrap()];
    let (extra_size, size) = (u8::try_from(extra.len()).unwrap(), u8::try_from(packed.len()).unwrap());
    let length = u8::try_from(name.len()).unwrap();
    let fields =
        [&[2, 3, extra_size, size, 0, size, 32][..], &compression, &[0, length], name, extra].concat();
    [new(&fields), packed.to_vec()].concat()
}

#[test]
fn names_and_what_is_stored_come_out() {
    let end = old(0x7b, 0x4000, b"");
    let main = old(0x73, 0, &[0; 6]);
    let archive = |files: &[Vec<u8>]| [OLD, &main, &files.concat(), &end].concat();
    check(
        Kind::Rar,
        &archive(&[old_file(b"a.txt", 0, 0x30, b"hello"), old_file(b"d", 0xe0, 0x30, b"")]),
        "a.txt{hello} d{}",
    );
    check(Kind::Rar, &archive(&[old_file(b"a.exe", 0, 0x33, b"????")]), "a.exe:other{!unscannable_method}");
    check(Kind::Rar, &archive(&[old_file(b"a.exe", 4, 0x33, b"????")]), "a.exe#:other{}");
    check(Kind::Rar, &archive(&[old_file(b"a", 2, 0x30, b"1")]), "a{!spanned1}");
    check(Kind::Rar, &[OLD, &old(0x73, 0x80, &[0; 6]), b"secret"].concat(), "# !unscannable");

    let end = new(&[5, 0, 0]);
    let main = new(&[1, 0, 0]);
    let archive = |files: &[Vec<u8>]| [NEW, &main, &files.concat(), &end].concat();
    check(
        Kind::Rar,
        &archive(&[new_file("ä.txt".as_bytes(), b"", 0, b"hello"), new_file(b"e", b"", 0, b"")]),
        "ä.txt{hello} e{}",
    );
    check(Kind::Rar, &archive(&[new_file(b"a.exe", b"", 3, b"????")]), "a.exe:other{!unscannable_method}");
    check(Kind::Rar, &archive(&[new_file(b"a", b"\x02\x03.\x02\x01.", 3, b"????")]), "a#:other{}");
    check(Kind::Rar, &[NEW, &new(&[4, 0, 0]), b"secret"].concat(), "# !unscannable");
}

#[test]
fn a_unicode_name_is_unpacked() {
    // Two plain octets, one with the common high half, one whole unit; then a run.
    let name = b"a_c.exe\0\x04\x00a\x04b\x00_";
    let archive = |name: &[u8]| [OLD, &old_file(name, 0x200, 0x30, b""), &old(0x7b, 0, b"")].concat();
    check(Kind::Rar, &archive(name), "a_c.exe{!name_differs~a\u{4}b\0!name_invalid}");
    let name = b"a?.txt\0\x04\x1c a\x3b\x02";
    let encoded = [&name[..7], b"\x04\x1ca\x3b\x02"].concat();
    check(Kind::Rar, &archive(&encoded), "a?.txt{~aл.txt}");
    check(Kind::Rar, &archive("ä.txt".as_bytes()), "ä.txt{}");
}

#[test]
fn what_does_not_fit_is_told() {
    check(Kind::Rar, b"", "!not_one");
    check(Kind::Rar, b"Rar!", "!not_one");
    check(Kind::Rar, b"no rar at all", "!not_one");
    check(Kind::Rar, &[OLD, &[0; 7]].concat(), "!header_broken !unscannable");
    check(Kind::Rar, &[OLD, &old(0x10, 0, b"")].concat(), "!header_broken !unscannable");
    check(Kind::Rar, &[OLD, &old(0x74, 0, b"short")].concat(), "!header_broken !unscannable");
    check(Kind::Rar, &[NEW, &[0; 7]].concat(), "!header_broken !unscannable");
    check(Kind::Rar, &[NEW, &[0xff; 9]].concat(), "!header_broken !unscannable");
    check(Kind::Rar, &[OLD, &old_file(b"a", 0, 0x30, b"hello")[..35]].concat(), "a{he!truncated}");
    check(Kind::Rar, &[OLD, &old(0x7b, 0, b""), b"hidden"].concat(), "!suffix");
}
