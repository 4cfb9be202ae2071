//! Archives written by a small writer of our own, read at every cut.
//!
//! What an archive tells is written down in one line: `name{data}` for an entry (`#` behind the name:
//! encrypted; `:method` for one that cannot be undone), `!defect`, `~alias`, `#` for encrypted as a
//! whole, `^limit`.

mod gzip;
mod random;
mod rar;
mod tar;
mod zip;
mod zip_lies;
mod zip_writer;

use super::{Archive, ArchiveEvent, Bounds, Budget, Method};
use crate::mime::kind::Kind;

/// Joins events to the line they are compared by; and whether an entry is open.
#[derive(Default)]
struct Line(Vec<u8>, bool);

impl Line {
    fn take(&mut self, event: ArchiveEvent<'_>) {
        match event {
            ArchiveEvent::Entry(entry) => {
                self.word(entry.name);
                if entry.encrypted {
                    self.0.push(b'#');
                }
                if let Method::Other(_) = entry.method {
                    self.0.push(b':');
                    self.0.extend_from_slice(entry.method.name().as_bytes());
                }
                self.0.push(b'{');
                self.1 = true;
            }
            ArchiveEvent::Data(octets) => self.0.extend_from_slice(octets),
            ArchiveEvent::EndEntry { .. } => {
                self.0.push(b'}');
                self.1 = false;
            }
            ArchiveEvent::Alias(name) => self.word(&format!("~{name}")),
            ArchiveEvent::Encrypted => self.word("#"),
            ArchiveEvent::Defect(defect) => {
                self.word(&format!("!{}", defect.name().strip_prefix("archive_").unwrap()));
            }
            ArchiveEvent::Limit(limit) => {
                self.word(&format!("^{}", limit.name().strip_prefix("limit_").unwrap()));
            }
        }
    }

    /// Within an entry all words stand together.
    fn word(&mut self, word: &str) {
        if !self.1 && !self.0.is_empty() {
            self.0.push(b' ');
        }
        self.0.extend_from_slice(word.as_bytes());
    }
}

/// What `pieces` of an archive tell, one after the other.
fn read<'a>(kind: Kind, bounds: Bounds, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut line, mut open, mut octets) = (Line::default(), false, 0);
    let mut archive = Archive::new(kind, 0, bounds);
    let mut budget = Budget::new(&bounds);
    let mut on = |_: &mut Budget, event: ArchiveEvent<'_>| {
        // Entries come in pairs, never within each other, and count what they gave.
        match event {
            ArchiveEvent::Entry(_) => assert!(!std::mem::replace(&mut open, true)),
            ArchiveEvent::Data(data) => {
                assert!(open && !data.is_empty());
                octets += data.len() as u64;
            }
            ArchiveEvent::EndEntry { octets: said } => {
                assert!(std::mem::take(&mut open));
                assert_eq!(said, std::mem::take(&mut octets));
            }
            _ => {}
        }
        line.take(event);
    };
    for piece in pieces {
        archive.push(piece, &mut budget, &mut on);
    }
    archive.finish(&mut budget, &mut on);
    assert!(!open && archive.is_over());
    line.0
}

#[track_caller]
fn check_bounded(kind: Kind, bounds: Bounds, archive: &[u8], want: &str) {
    for cut in 0..=archive.len() {
        let (front, back) = archive.split_at(cut);
        let halves = read(kind, bounds, [front, back]);
        assert_eq!(String::from_utf8_lossy(&halves), want, "cut at {cut}");
    }
    check_pieces(kind, bounds, archive, want);
}

/// As [`check_bounded`], for what unpacks to so much that every cut would take long.
#[track_caller]
fn check_pieces(kind: Kind, bounds: Bounds, archive: &[u8], want: &str) {
    for size in [archive.len().max(1), 1, 7] {
        let pieces = read(kind, bounds, archive.chunks(size));
        assert_eq!(String::from_utf8_lossy(&pieces), want, "in pieces of {size}");
    }
}

#[track_caller]
fn check(kind: Kind, archive: &[u8], want: &str) {
    check_bounded(kind, Bounds::DEFAULT, archive, want);
}

#[test]
fn a_kind_that_cannot_be_opened_is_a_defect() {
    for kind in [Kind::Xz, Kind::Bzip2, Kind::Cab, Kind::SevenZip, Kind::Ace, Kind::Zstd] {
        check(kind, b"", "!unscannable");
        check(kind, b"whatever it may hold, and however long", "!unscannable");
    }
}

#[test]
fn a_7z_whose_end_header_names_the_cipher_is_encrypted() {
    let archive = |codec: &[u8]| {
        let mut archive = b"7z\xbc\xaf\x27\x1c\0\x04crc ".to_vec();
        archive.extend_from_slice(&5_u64.to_le_bytes());
        archive.extend_from_slice(&(codec.len() as u64 + 4).to_le_bytes());
        archive.extend_from_slice(b"crc data.");
        archive.extend_from_slice(b"\x17\x06..");
        archive.extend_from_slice(codec);
        archive
    };
    check(Kind::SevenZip, &archive(b"\x06\xf1\x07\x01"), "!unscannable #");
    check(Kind::SevenZip, &archive(b"\x03\x01\x01"), "!unscannable");
    let cut = archive(b"\x03\x01\x01");
    check(Kind::SevenZip, &cut[..cut.len() - 1], "!unscannable !truncated");
}

#[test]
fn an_archive_too_deep_is_not_opened() {
    let bounds = Bounds { depth_max: 0, ..Bounds::DEFAULT };
    check_bounded(Kind::Zip, bounds, b"PK\x05\x06", "^archive_depth");
}

#[test]
fn a_budget_is_shared_by_what_nests() {
    let inner = zip_writer::Zip::of([zip_writer::Member::deflated("b", &[b'b'; 60])]).build();
    let outer = zip_writer::Zip::of([zip_writer::Member::deflated("a", &inner)]).build();
    let bounds = Bounds { expanded_bytes_max: inner.len() as u64 + 59, ..Bounds::DEFAULT };
    let mut budget = Budget::new(&bounds);
    let mut child = Archive::new(Kind::Zip, 1, bounds);
    let mut limits = Vec::new();
    Archive::new(Kind::Zip, 0, bounds).push(&outer, &mut budget, &mut |budget, event| {
        if let ArchiveEvent::Data(octets) = event {
            child.push(octets, budget, &mut |_, event| {
                if let ArchiveEvent::Limit(limit) = event {
                    limits.push(limit);
                }
            });
        }
    });
    assert_eq!(limits, [super::Limit::Expansion]);
    // The outer one's block had set all of it aside, and gave back what it did not take.
    assert_eq!((budget.expanded_bytes, budget.entries), (59, bounds.entries_max - 2));
}
