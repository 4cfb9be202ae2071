//! Zips whose two halves tell different things, or that hide something.

use super::zip_writer::{Member, Zip, deflate};
use super::{Kind, check, check_bounded};
use crate::mime::archive::Bounds;

fn member() -> Member {
    Member::stored("a", b"hello")
}

#[track_caller]
fn check_one(member: Member, want: &str) {
    check(Kind::Zip, &Zip::of([member]).build(), want);
}

#[test]
fn a_directory_that_says_something_else_is_told() {
    check_one(Member { central_name: Some(b"a.exe".to_vec()), ..member() }, "a{hello} !name_differs ~a.exe");
    check_one(Member { central_measure: Some((0, 5, 5)), ..member() }, "a{hello} !size_differs");
    check_one(
        Member { central_measure: Some((member().measure.0, 50, 5)), ..member() },
        "a{hello} !size_differs",
    );
    check_one(Member { central_method: Some(8), ..member() }, "a{hello} !method_differs");
    check_one(Member { central_flags: Some(1), ..member() }, "a{hello} !encryption_differs #");
    check_one(Member { flags: 1, central_flags: Some(0), ..member() }, "a#{} !encryption_differs #");
}

#[test]
fn an_entry_on_one_side_only_is_told() {
    let hidden = || Member::stored("hidden.exe", b"MZ");
    let local = Zip::of([member(), Member { not_central: true, ..hidden() }]);
    check(Kind::Zip, &local.build(), "a{hello} hidden.exe{MZ} !local_only");
    let central = Zip::of([member(), Member { not_local: true, ..hidden() }]);
    check(Kind::Zip, &central.build(), "a{hello} !central_only ~hidden.exe");
    let encrypted = Zip::of([member(), Member { not_local: true, flags: 1, ..hidden() }]);
    check(Kind::Zip, &encrypted.build(), "a{hello} !central_only ~hidden.exe #");
}

#[test]
fn entries_that_share_octets_are_told() {
    // Two names for one local header.
    let twice = Member { not_local: true, central_offset: Some(0), ..Member::stored("b", b"hello") };
    check(Kind::Zip, &Zip::of([member(), twice]).build(), "a{hello} !overlap !central_only ~b");
    // An entry within the data of another one, which stream readers never see.
    let inner =
        Zip { no_end: true, ..Zip::of([Member { not_central: true, ..Member::stored("b", b"2") }]) }.build();
    let within = Member { not_local: true, central_offset: Some(31), ..Member::stored("b", b"2") };
    let shown = String::from_utf8_lossy(&inner).into_owned();
    check(
        Kind::Zip,
        &Zip::of([Member::stored("a", &inner), within]).build(),
        &format!("a{{{shown}}} !overlap !central_only ~b"),
    );
}

#[test]
fn a_flood_of_listed_entries_ends_at_a_bound() {
    let twice = |octets| Member {
        not_local: true,
        central_offset: Some(0),
        central_measure: Some((0, 5, octets)),
        ..Member::stored("b", b"hello")
    };
    let bounds = Bounds { expanded_bytes_max: 100, entries_max: 3, ..Bounds::DEFAULT };
    let deep = Zip::of([member(), twice(50), twice(66), twice(5)]).build();
    check_bounded(Kind::Zip, bounds, &deep, "a{hello} !overlap !central_only ~b ~b ^expansion");
    let many = Zip::of([member(), twice(5), twice(5), twice(5), twice(5)]).build();
    check_bounded(Kind::Zip, bounds, &many, "a{hello} !overlap !central_only ~b ~b ~b ^archive_entries");
}

#[test]
fn data_that_is_not_what_its_header_says_is_told() {
    let crc = member().measure.0;
    check_one(Member { measure: (1, 5, 5), ..member() }, "a{hello!checksum_differs} !size_differs");
    check_one(Member { local_measure: Some((crc, 5, 50)), ..member() }, "a{!size_differshello}");
    let deflated = Member::deflated("a", b"hello hello hello");
    let (crc, packed, octets) = deflated.measure;
    check_one(
        Member { local_measure: Some((crc, packed, octets + 1)), ..deflated.clone() },
        "a{hello hello hello!size_differs}",
    );
    // Octets behind the end of the stream, within the entry.
    let mut trailing = deflated.clone();
    trailing.packed.extend_from_slice(b"hidden");
    trailing.measure.1 += 6;
    check_one(trailing.clone(), "a{hello hello hello!trailing_in_entry}");
    check_one(
        Member {
            packed: deflated.packed[..packed as usize - 4].to_vec(),
            measure: (crc, packed - 4, octets),
            ..deflated.clone()
        },
        "a{hello!data_broken!checksum_differs!size_differs}",
    );
    let mut broken = Member::deflated("a", &[b'x'; 300]);
    broken.packed[0] |= 7;
    check_one(broken.clone(), "a{!data_broken!checksum_differs!size_differs}");
    // Of unknown length: nothing says where the next entry is.
    let next = Member::stored("b", b"2");
    let archive = Zip::of([broken.described(true, false), next]);
    check(Kind::Zip, &archive.build(), "a{!data_broken} !gap b{2} !size_differs");
}

#[test]
fn a_size_that_is_missing_is_told_and_the_data_read() {
    let deflated = Member { local_measure: Some((0, 0, 0)), ..Member::deflated("a", b"hello hello") };
    check(
        Kind::Zip,
        &Zip::of([deflated, Member::stored("b", b"2")]).build(),
        "a{!size_missinghello hello!checksum_differs!size_differs} b{2}",
    );
    // A stream that ends within the octets looked at, and one that is there although none should be.
    let mut tiny = Member::deflated("a", b"");
    tiny.local_measure = Some((0, 0, 0));
    assert!(tiny.packed.len() < 4);
    check_one(tiny, "a{!size_missing}");
    let stored = Member { local_measure: Some((0, 0, 0)), ..member() };
    check_one(stored, "a{} !gap !size_differs");
}

#[test]
fn a_descriptor_that_does_not_fit_is_told() {
    let mut wrong = Member::deflated("a", b"hello").described(true, false);
    wrong.descriptor_measure = Some((1, 2, 3));
    check(
        Kind::Zip,
        &Zip::of([wrong, Member::stored("b", b"2")]).build(),
        "a{hello!descriptor_wrong} !gap b{2}",
    );
    let mut crc = Member::deflated("a", b"hello").described(true, false);
    crc.descriptor_measure = Some((1, crc.measure.1, 5));
    check_one(crc, "a{hello!checksum_differs}");
    // The header says a size although the descriptor is to, and another one.
    let mut both = Member::deflated("a", b"hello").described(false, false);
    both.local_measure = Some((0, both.measure.1, 50));
    check_one(both, "a{hello!size_differs}");
    // Stored data that holds what looks like its own end: we stop there, others go on.
    let fake = [b"12345", &b"PK\x07\x08\0\0\0\0\x05\0\0\0\x05\0\0\0"[..], b"hidden"].concat();
    check_one(
        Member::stored("a", &fake).described(true, false),
        "a{!stored_unknown_size12345!checksum_differs} !gap !size_differs",
    );
}

#[test]
fn octets_that_belong_to_nothing_are_told() {
    let prefixed = Member { before: b"MZ this is a program PK".to_vec(), ..member() };
    check_one(prefixed.clone(), "!prefix a{hello}");
    // Offsets may count from the archive's beginning instead of the file's.
    let relative = Zip { uncounted: prefixed.before.len(), ..Zip::of([prefixed]) };
    check(Kind::Zip, &relative.build(), "!prefix a{hello}");
    check_one(Member { behind: b"hidden".to_vec(), ..member() }, "a{hello} !gap");
    let mut zip = Zip::of([member()]);
    zip.suffix = b"hidden".to_vec();
    check(Kind::Zip, &zip.build(), "a{hello} !suffix");
    zip.suffix = b"h".to_vec();
    check(Kind::Zip, &zip.build(), "a{hello} !suffix");
    zip.suffix = Vec::new();
    zip.before_directory = b"P?K".to_vec();
    check(Kind::Zip, &zip.build(), "a{hello} !gap");
    zip.before_directory = Vec::new();
    zip.before_end = b"gap".to_vec();
    check(Kind::Zip, &zip.build(), "a{hello} !gap");
}

#[test]
fn several_archives_in_one_are_told() {
    let one = Zip::of([member()]).build();
    let mut next = Zip::of([Member::stored("b", b"2")]);
    next.members[0].before = one.clone();
    check(Kind::Zip, &next.build(), "a{hello} !several_ends b{2}");
    next.uncounted = one.len();
    check(Kind::Zip, &next.build(), "a{hello} !several_ends b{2}");
    // Two ends, one of which nobody needs.
    let mut zip = Zip::of([member()]);
    zip.suffix = Zip::of([]).build();
    check(Kind::Zip, &zip.build(), "a{hello} !several_ends");
    // The same, hidden in the comment of the first.
    zip.comment = zip.suffix.clone();
    zip.suffix = Vec::new();
    check(Kind::Zip, &zip.build(), "a{hello} !signature_in_comment");
    zip.comment = Vec::new();
    zip.members[0].central_comment = b"xPK\x05\x06".to_vec();
    check(Kind::Zip, &zip.build(), "a{hello} !signature_in_comment");
}

#[test]
fn an_end_record_that_does_not_fit_is_told() {
    let zip = Zip::of([member()]);
    check(Kind::Zip, &Zip { count: Some(2), ..zip.clone() }.build(), "a{hello} !count_differs");
    let elsewhere = "a{hello} !directory_elsewhere";
    check(Kind::Zip, &Zip { directory_offset: Some(7), ..zip.clone() }.build(), elsewhere);
    check(Kind::Zip, &Zip { directory_size: Some(7), ..zip.clone() }.build(), elsewhere);
    check(Kind::Zip, &Zip { disk: 1, ..zip.clone() }.build(), "a{hello} !spanned");
    check(Kind::Zip, &Zip { no_end: true, ..zip }.build(), "a{hello} !directory_missing");
}

#[test]
fn an_archive_that_stops_early_is_told() {
    let zip = Zip::of([member()]).build();
    let deflated = Zip::of([Member::deflated("a", b"hello hello")]).build();
    for (octets, want) in [
        (&zip[..0], "!not_one".to_owned()),
        (&zip[..3], "!prefix !not_one".to_owned()),
        (&zip[..20], "!truncated !not_one".to_owned()),
        (&zip[..33], "a{he!truncated} !directory_missing".to_owned()),
        (&zip[..36], "a{hello} !directory_missing".to_owned()),
        (&zip[..50], "a{hello} !truncated !directory_missing".to_owned()),
        (&zip[..zip.len() - 1], "a{hello} !truncated !directory_missing".to_owned()),
        (&deflated[..37], "a{hello!truncated} !directory_missing".to_owned()),
    ] {
        check(Kind::Zip, octets, &want);
    }
    check(Kind::Zip, b"no zip at all, not even PK", "!prefix !not_one");
    let comment = Zip { comment: b"long".to_vec(), ..Zip::of([]) }.build();
    check(Kind::Zip, &comment[..comment.len() - 1], "!truncated");
}

#[test]
fn a_split_archive_and_an_encrypted_directory_are_told() {
    let mut zip = Zip::of([member()]);
    zip.members[0].before = b"PK00".to_vec();
    check(Kind::Zip, &zip.build(), "!spanned a{hello}");
    zip.members[0].before = b"PK\x07\x08".to_vec();
    check(Kind::Zip, &zip.build(), "!spanned a{hello}");
    let mut zip = Zip::of([Member { flags: 1 | 1 << 13, ..member() }]);
    zip.before_directory = b"PK\x06\x08\x03\0\0\0key".to_vec();
    check(Kind::Zip, &zip.build(), "a#{} #");
}

#[test]
fn a_deflated_stream_may_be_searched_for_no_end() {
    // Garbage that deflate takes for good must not swallow the rest unsaid.
    let stream = deflate(b"12345678");
    let raw = Member { packed: stream[..stream.len() - 2].to_vec(), ..Member::deflated("a", b"12345678") };
    let told = super::read(Kind::Zip, Bounds::DEFAULT, [&Zip::of([raw.described(true, false)]).build()[..]]);
    assert!(String::from_utf8_lossy(&told).contains('!'));
}
