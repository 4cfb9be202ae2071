//! Random archives against what was put in, and random octets against themselves at other cuts.

use proptest::collection::vec;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::zip_writer::{Member, Zip};
use super::{Archive, ArchiveEvent, Bounds, Budget, Kind, read};
use crate::mime::archive::Defect;

/// Contents that a search for ends must not stumble over.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"PK\x03\x04".to_vec()),
        Just(b"PK\x07\x08".to_vec()),
        Just(b"PK\x01\x02".to_vec()),
        Just(b"PK".to_vec()),
        Just(vec![0; 8]),
        vec(any::<u8>(), 0..40),
        Just(vec![b'a'; 1000]),
    ];
    vec(word, 0..8).prop_map(|words| words.concat())
}

fn member() -> impl Strategy<Value = Member> {
    let descriptor = prop_oneof![Just(None), any::<(bool, bool)>().prop_map(Some)];
    ("[a-z]{1,8}", content(), any::<bool>(), descriptor).prop_map(|(name, content, deflated, descriptor)| {
        match (deflated, descriptor) {
            (true, None) => Member::deflated(&name, &content),
            (true, Some((signed, long))) => Member::deflated(&name, &content).described(signed, long),
            (false, None) => Member::stored(&name, &content),
            // Content that begins as the descriptor of no content cannot be told from that.
            (false, Some((signed, long))) => {
                Member::stored(&name, &[b"x", &content[..]].concat()).described(signed, long)
            }
        }
    })
}

/// Pieces of random sizes.
fn pieces<'a>(octets: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = octets;
    let mut sizes = sizes.iter().copied().cycle();
    std::iter::from_fn(move || {
        let size = sizes.next().unwrap_or(1).clamp(1, rest.len().max(1));
        let (piece, behind) = rest.split_at_checked(size)?;
        rest = behind;
        Some(piece)
    })
}

fn entries(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
    let mut budget = Budget::new(&Bounds::DEFAULT);
    Archive::new(Kind::Zip, 0, Bounds::DEFAULT).push(archive, &mut budget, &mut |_, event| match event {
        ArchiveEvent::Entry(entry) => entries.push((entry.name.to_owned(), Vec::new())),
        ArchiveEvent::Data(data) => entries.last_mut().unwrap().1.extend_from_slice(data),
        _ => {}
    });
    entries
}

fn defects(archive: &[u8]) -> Vec<Defect> {
    let mut defects = Vec::new();
    let mut budget = Budget::new(&Bounds::DEFAULT);
    let mut on = |_: &mut Budget, event: ArchiveEvent<'_>| {
        if let ArchiveEvent::Defect(defect) = event {
            defects.push(defect);
        }
    };
    let mut reader = Archive::new(Kind::Zip, 0, Bounds::DEFAULT);
    reader.push(archive, &mut budget, &mut on);
    reader.finish(&mut budget, &mut on);
    defects
}

fn unpacked(member: &Member) -> Vec<u8> {
    if member.method == 0 {
        return member.packed.clone();
    }
    let mut out = Vec::with_capacity(member.measure.2 as usize + 16);
    let flush = flate2::FlushDecompress::Finish;
    flate2::Decompress::new(false).decompress_vec(&member.packed, &mut out, flush).unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_was_put_in_comes_out(members in vec(member(), 0..6), sizes in vec(1_usize..50, 1..10)) {
        let archive = Zip::of(members.clone()).build();
        let want: Vec<_> = members
            .iter()
            .map(|member| (String::from_utf8(member.name.clone()).unwrap(), unpacked(member)))
            .collect();
        prop_assert_eq!(entries(&archive), want);
        let whole = read(Kind::Zip, Bounds::DEFAULT, [&archive[..]]);
        prop_assert!(whole == read(Kind::Zip, Bounds::DEFAULT, pieces(&archive, &sizes)));
        // Nothing is wrong with it but what a writer of streams does and a scanner must say.
        let defects = defects(&archive);
        let allowed = |defect: &Defect| matches!(defect, Defect::StoredUnknownSize | Defect::DuplicateName);
        prop_assert!(defects.iter().all(allowed), "{:?}", defects);
    }

    #[test]
    fn a_damaged_archive_tells_the_same_at_every_cut(
        members in vec(member(), 1..5),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        sizes in vec(1_usize..80, 1..10),
    ) {
        let mut archive = Zip::of(members).build();
        for (at, octet) in damage {
            let at = at.index(archive.len());
            archive[at] = octet;
        }
        let bounds = Bounds { expanded_bytes_max: 4096, ..Bounds::DEFAULT };
        let whole = read(Kind::Zip, bounds, [&archive[..]]);
        prop_assert!(whole == read(Kind::Zip, bounds, pieces(&archive, &sizes)));
        prop_assert!(whole == read(Kind::Zip, bounds, archive.chunks(1)));
    }

    #[test]
    fn any_octets_tell_the_same_at_every_cut(
        words in vec(prop_oneof![
            Just(b"PK\x03\x04".to_vec()), Just(b"PK\x01\x02".to_vec()), Just(b"PK\x05\x06".to_vec()),
            Just(b"\x1f\x8b\x08\0".to_vec()), Just(b"Rar!\x1a\x07\0".to_vec()), Just(vec![0; 20]),
            vec(any::<u8>(), 0..30),
        ], 0..12),
        sizes in vec(1_usize..40, 1..10),
    ) {
        let octets = words.concat();
        for kind in [Kind::Zip, Kind::Gzip, Kind::Tar, Kind::Rar, Kind::SevenZip] {
            let whole = read(kind, Bounds::DEFAULT, [&octets[..]]);
            prop_assert!(whole == read(kind, Bounds::DEFAULT, pieces(&octets, &sizes)));
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_bound_is_hit_at_the_same_place_at_every_cut(
        seeds in vec((any::<u8>(), 1_usize..60_000), 1..8),
        ratio_max in 2_u64..400,
        expanded_bytes_max in 0_u64..200_000,
        sizes in vec(1_usize..200, 1..10),
    ) {
        let content: Vec<u8> = seeds.iter().flat_map(|&(octet, count)| {
            (0..count).map(move |at| if octet < 128 { octet } else { (at * at).to_le_bytes()[1] ^ octet })
        }).collect();
        let archive = Zip::of([Member::deflated("a", &content), Member::stored("b", b"2")]).build();
        let bounds = Bounds { ratio_max, expanded_bytes_max, ratio_free_bytes: 1000, ..Bounds::DEFAULT };
        let whole = read(Kind::Zip, bounds, [&archive[..]]);
        prop_assert!(whole == read(Kind::Zip, bounds, pieces(&archive, &sizes)));
    }
}
