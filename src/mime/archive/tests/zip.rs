//! Zips as honest writers write them: nothing is wrong with any of these.

use super::zip_writer::{Member, Zip, crc, extra};
use super::{Kind, check, check_bounded, check_pieces};
use crate::mime::archive::Bounds;

#[track_caller]
fn check_zip(members: impl IntoIterator<Item = Member>, want: &str) {
    check(Kind::Zip, &Zip::of(members).build(), want);
}

#[test]
fn entries_come_out_as_they_were_put_in() {
    check_zip([], "");
    check_zip([Member::stored("a.txt", b"hello")], "a.txt{hello}");
    check_zip([Member::deflated("a.txt", b"hello hello hello")], "a.txt{hello hello hello}");
    check_zip([Member::stored("d/", b""), Member::stored("d/e", b"")], "d/{} d/e{}");
    check_zip([Member::deflated("e", b"")], "e{}");
    check_zip(
        [Member::stored("a", b"1"), Member::deflated("b", b"22"), Member::stored("c", b"333")],
        "a{1} b{22} c{333}",
    );
}

#[test]
fn a_deflated_entry_may_say_its_size_behind_it() {
    for (signed, long) in [(false, false), (true, false), (false, true), (true, true)] {
        let members = [
            Member::deflated("a", b"aaaaaaaaaaaa").described(signed, long),
            Member::deflated("b", b"").described(signed, long),
            Member::stored("c", b"3"),
        ];
        check_zip(members, "a{aaaaaaaaaaaa} b{} c{3}");
    }
}

#[test]
fn a_stored_entry_that_says_its_size_behind_it_is_read_and_told() {
    let inner = Zip::of([Member::stored("x", b"P").described(true, false)]).build();
    for (signed, long) in [(false, false), (true, false), (false, true), (true, true)] {
        let members = [
            Member::stored("a", b"PK\x03\x04PK\x07\x08PPPP").described(signed, long),
            Member::stored("b", b"").described(signed, long),
            Member::stored("c", &inner).described(signed, long),
            Member::stored("d", b"4"),
        ];
        let inner = String::from_utf8_lossy(&inner);
        let want = format!("a{{!stored_unknown_sizePK\x03\x04PK\x07\x08PPPP}} b{{}} c{{{inner}}} d{{4}}");
        check_zip(members, &want);
    }
    // Long ones are passed on in pieces.
    let long = [b"P", &[b'.'; 30_000][..], b"PK\x03\x04"].concat();
    let archive = Zip::of([Member::stored("a", &long).described(true, false)]).build();
    let told = super::read(Kind::Zip, Bounds::DEFAULT, archive.chunks(1000));
    let want = [b"a{!stored_unknown_size", &long[..], b"}"].concat();
    assert!(told == want);
}

#[test]
fn what_cannot_be_read_is_passed_over_and_told() {
    check_zip([Member::encrypted("a.exe", b"PK\x03\x04 secret"), Member::stored("b", b"2")], "a.exe#{} b{2}");
    check_zip([Member::encrypted("a", b"secret").described(true, false)], "a#{}");
    check_zip([Member::encrypted("a", b"secret").described(false, true)], "a#{}");
    let deflate64 = Member { method: 9, ..Member::stored("a", b"??") };
    check_zip([deflate64.clone(), Member::stored("b", b"2")], "a:deflate64{!unscannable_method} b{2}");
    check_zip([deflate64.described(true, false)], "a:deflate64{!unscannable_method}");
    for (method, name) in [(12, "bzip2"), (14, "lzma"), (93, "zstd"), (95, "xz"), (98, "ppmd"), (77, "other")]
    {
        let member = Member { method, ..Member::stored("a", b"??") };
        check_zip([member], &format!("a:{name}{{!unscannable_method}}"));
    }
}

#[test]
fn winzip_aes_is_encrypted_with_its_true_method() {
    let aes = Member {
        method: 99,
        flags: 1,
        extra: extra(0x9901, b"\x02\0AE\x03\x08\0"),
        ..Member::stored("a", b"secret")
    };
    check_zip([aes.clone()], "a#{}");
    // Without its extra field it is encrypted all the same, and so it is if the flag is not set.
    check_zip([Member { extra: Vec::new(), ..aes.clone() }], "a#:aes{}");
    check_zip([Member { flags: 0, ..aes }], "a#{}");
}

#[test]
fn zip64_sizes_are_read() {
    let sizes =
        |sizes: &[u64]| extra(1, &sizes.iter().flat_map(|size| size.to_le_bytes()).collect::<Vec<u8>>());
    let all = u32::MAX;
    let member = Member::stored("a", b"12345");
    let long = Member {
        local_measure: Some((member.measure.0, all, all)),
        central_measure: Some((member.measure.0, all, all)),
        central_offset: Some(all),
        extra: sizes(&[5, 5]),
        central_extra: Some(sizes(&[5, 5, 0])),
        ..member
    };
    let mut archive = Zip { zip64: true, ..Zip::of([long.clone()]) };
    check(Kind::Zip, &archive.build(), "a{12345}");
    archive.count = Some(u16::MAX);
    archive.zip64_count = Some(1);
    archive.directory_offset = Some(all);
    check(Kind::Zip, &archive.build(), "a{12345}");
    archive.zip64_count = Some(2);
    check(Kind::Zip, &archive.build(), "a{12345} !count_differs");
    archive.count = Some(1);
    check(Kind::Zip, &archive.build(), "a{12345} !zip64_differs !count_differs");
    let missing =
        Member { extra: Vec::new(), central_extra: None, method: 8, packed: b"\x03\0".to_vec(), ..long };
    let archive = Zip::of([Member { central_offset: None, central_measure: Some((0, 2, 0)), ..missing }]);
    check(Kind::Zip, &archive.build(), "a{!size_missing!checksum_differs!size_differs}");
}

#[test]
fn names_are_told_decoded_and_with_what_is_wrong() {
    let named = |name: &[u8], flags| Member { name: name.to_vec(), flags, ..Member::stored("", b"") };
    check_zip([named(b"M\x81ller.txt", 0)], "Müller.txt{}");
    check_zip([named("Müller.txt".as_bytes(), 1 << 11)], "Müller.txt{}");
    check_zip([named(b"\xff", 1 << 11)], "\u{fffd}{!name_invalid}");
    check_zip([named(b"a.txt\0.exe", 0)], "a.txt\0.exe{!name_invalid}");
    check_zip([named(b"../a", 0), named(b"b", 0)], "../a{!name_escapes} b{}");
    check_zip([Member::stored("a", b"1"), Member::stored("a", b"2")], "a{1} a{2} !duplicate_name");
    check_zip([Member::stored("d/", b"1")], "d/{1!directory_with_data}");
}

#[test]
fn a_unicode_path_that_says_the_same_is_told_and_another_one_is_a_defect() {
    let path = |name: &str, of: &[u8]| {
        extra(0x7075, &[b"\x01", &crc(of).to_le_bytes()[..], name.as_bytes()].concat())
    };
    let member = Member { name: b"M?ller.txt".to_vec(), ..Member::stored("", b"1") };
    let same = Member { extra: path("Müller.txt", b"M?ller.txt"), ..member.clone() };
    check_zip([same], "M?ller.txt{~Müller.txt1} ~Müller.txt");
    let other = Member { extra: path("virus.exe", b"M?ller.txt"), ..member.clone() };
    check_zip([other], "M?ller.txt{!name_differs~virus.exe1} ~virus.exe");
    let central = Member { central_extra: Some(path("virus.exe", b"M?ller.txt")), ..member };
    check_zip([central], "M?ller.txt{1} !name_differs ~virus.exe");
}

#[test]
fn padding_and_an_innocent_comment_are_no_defects() {
    let mut zip = Zip::of([Member::stored("a", b"1")]);
    zip.comment = b"made by hand".to_vec();
    zip.members[0].central_comment = b"PK".to_vec();
    zip.suffix = b"\r\n\0\0".to_vec();
    check(Kind::Zip, &zip.build(), "a{1}");
}

#[test]
fn bounds_end_it() {
    let bounds = Bounds::DEFAULT;
    let zeros = Zip::of([Member::stored("a", b"1"), Member::deflated("b", &[0; 300_000])]).build();
    let few = Bounds { entries_max: 1, ..bounds };
    check_pieces(Kind::Zip, few, &zeros, "a{1} ^archive_entries");
    let short = Bounds { name_bytes_max: 2, ..bounds };
    let long_name = Zip::of([Member::stored("a", b"1"), Member::stored("abc", b"")]).build();
    check_bounded(Kind::Zip, short, &long_name, "a{1} ^archive_name");
    let zeros_out = |count| "\0".repeat(count);
    // Bounds are looked at once per buffer.
    let ratio = Bounds { ratio_max: 100, ratio_free_bytes: 100_000, ..bounds };
    check_pieces(Kind::Zip, ratio, &zeros, &format!("a{{1}} b{{{}^archive_ratio}}", zeros_out(131_072)));
    let total = Bounds { expanded_bytes_max: 70_000, ..bounds };
    check_pieces(Kind::Zip, total, &zeros, &format!("a{{1}} b{{{}^expansion}}", zeros_out(98_304)));
}
