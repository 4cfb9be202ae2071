//! Tar: formats, long names, checksums, ends.

use super::{Kind, check, check_bounded};
use crate::mime::archive::Bounds;

fn header(name: &str, kind: u8, size: usize, magic: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    block[257..257 + magic.len()].copy_from_slice(magic);
    sign(&mut block);
    block
}

fn sign(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&octet| u32::from(octet)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// An entry of this kind, its data padded to blocks.
fn entry(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut out = header(name, kind, data.len(), b"ustar\x0000");
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn end() -> Vec<u8> {
    vec![0; 1024]
}

#[track_caller]
fn check_tar(parts: &[Vec<u8>], want: &str) {
    check(Kind::Tar, &parts.concat(), want);
}

#[test]
fn entries_come_out_as_they_were_put_in() {
    check_tar(
        &[entry("a", b'0', b"hello"), entry("d/", b'5', b""), entry("d/e", 0, b""), end()],
        "a{hello} d/{} d/e{}",
    );
    check_tar(&[header("a", b'0', 0, b"")], "a{}");
    check_tar(&[header("a", b'0', 0, b"ustar  \0"), end(), vec![0; 2048]], "a{}");
    check_tar(&[entry("a", b'0', &[b'x'; 512])], &format!("a{{{}}}", "x".repeat(512)));
    // The last padding may be missing.
    check(Kind::Tar, &entry("a", b'0', b"hello")[..517], "a{hello}");
}

#[test]
fn a_ustar_prefix_belongs_to_the_name() {
    let mut block = header("b", b'0', 0, b"ustar\x0000");
    block[345..348].copy_from_slice(b"dir");
    sign(&mut block);
    check_tar(&[block.clone(), end()], "dir/b{}");
    // GNU has other things there.
    block[257..265].copy_from_slice(b"ustar  \0");
    sign(&mut block);
    check_tar(&[block, end()], "b{}");
}

#[test]
fn long_names_are_read() {
    let long = "n".repeat(150);
    let gnu = entry("././@LongLink", b'L', format!("{long}\0").as_bytes());
    check_tar(&[gnu, entry(&long[..100], b'0', b"1"), end()], &format!("{long}{{1}}"));
    let pax = entry("x", b'x', format!("160 path={long}\n").as_bytes());
    check_tar(&[pax, entry(&long[..100], b'0', b"1"), end()], &format!("{long}{{1}}"));
    let pax = entry("x", b'x', b"18 path=evil.exe\n");
    check_tar(&[pax, entry("a", b'0', b"1"), end()], "!header_broken a{1}");
    let pax = entry("x", b'x', b"17 path=evil.exe\n");
    check_tar(&[pax, entry("a.txt", b'0', b"1"), end()], "evil.exe{!name_differs~a.txt1}");
    let size = entry("x", b'x', b"9 size=5\n");
    let mut short = header("a", b'0', 0, b"ustar\x0000");
    short.extend_from_slice(&entry("", 0, b"hello")[512..]);
    check_tar(&[size, short, end()], "a{hello}");
    let global = entry("g", b'g', b"17 path=evil.exe\n");
    check_tar(&[global, entry("evil.exe", b'0', b""), end()], "!header_broken evil.exe{}");
    let global = entry("g", b'g', b"19 comment=1234567\n");
    check_tar(&[global, entry("a", b'0', b""), end()], "a{}");
}

#[test]
fn sizes_may_be_binary() {
    let mut block = header("a", b'0', 0, b"ustar  \0");
    block[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x05");
    sign(&mut block);
    block.extend_from_slice(&entry("", 0, b"hello")[512..]);
    check_tar(&[block.clone(), end()], "a{hello}");
    block[126] = 1;
    sign(&mut block[..512]);
    check_tar(&[block[..512].to_vec(), end()], "!header_broken");
}

#[test]
fn what_does_not_fit_is_told() {
    let mut wrong = entry("b", b'0', b"2");
    wrong[0] ^= 1;
    check_tar(&[entry("a", b'0', b"1"), wrong, entry("c", b'0', b"3"), end()], "a{1} !header_checksum c{3}");
    check_tar(&[vec![b'x'; 512], entry("a", b'0', b"1"), end()], "!prefix a{1}");
    check_tar(&[entry("a", b'S', b"1"), end()], "a{!sparse1}");
    let mut holes = header("a", b'S', 1, b"ustar  \0");
    holes[482] = 1;
    sign(&mut holes);
    let (mut more, last) = (vec![0; 512], vec![0; 512]);
    more[504] = 1;
    let data = entry("", 0, b"1")[512..].to_vec();
    check_tar(&[holes, more, last, data, entry("b", b'0', b"2"), end()], "a{!sparse1} b{2}");
    check_tar(&[entry("x", b'x', b"22 GNU.sparse.major=1\n"), entry("a", b'0', b""), end()], "!sparse a{}");
    check_tar(&[entry("a", b'2', b"1"), end()], "a{!size_differs1}");
    check_tar(&[entry("a/", b'5', b"1"), end()], "a/{!directory_with_data1}");
    check_tar(&[entry("../a", b'0', b"1"), end()], "../a{!name_escapes1}");
    check_tar(&[entry("a", b'0', b"1"), end(), b"hidden".to_vec()], "a{1} !suffix");
    check_tar(&[entry("a", b'0', b"1"), vec![0; 512], entry("b", b'0', b"2"), end()], "a{1} !gap b{2}");
    check(Kind::Tar, &entry("a", b'0', b"hello")[..515], "a{hel!truncated}");
    check(Kind::Tar, &entry("a", b'0', b"hello")[..500], "!not_one");
    check(Kind::Tar, &[b'x'; 600], "!prefix !not_one");
    check(Kind::Tar, b"", "!not_one");
}

#[test]
fn bounds_end_it() {
    let bounds = Bounds { name_bytes_max: 3, entries_max: 1, ..Bounds::DEFAULT };
    let archive = [entry("a", b'0', b""), entry("b", b'0', b"")].concat();
    check_bounded(Kind::Tar, bounds, &archive, "a{} ^archive_entries");
    check_bounded(Kind::Tar, bounds, &entry("", b'L', b"abcd\0"), "^archive_name");
    check_bounded(Kind::Tar, bounds, &entry("", b'x', b"13 path=abcd\n"), "^archive_name");
    let huge = header("", b'x', 70_000, b"ustar\x0000");
    check_bounded(Kind::Tar, bounds, &[huge, vec![0; 10]].concat(), "^archive_name");
}
