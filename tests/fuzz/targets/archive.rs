//! Archives: entries come in pairs within their budget, and are the same at every cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::mime::archive::{Archive, ArchiveEvent, Bounds, Budget};
use postern::mime::kind::Kind;

const KINDS: [Kind; 5] = [Kind::Zip, Kind::Gzip, Kind::Tar, Kind::Rar, Kind::SevenZip];
const BOUNDS: Bounds =
    Bounds { expanded_bytes_max: 1 << 16, entries_max: 20, ratio_free_bytes: 1 << 10, ..Bounds::DEFAULT };

#[derive(Debug, Default, PartialEq)]
struct Told {
    events: Vec<String>,
    data: Vec<u8>,
    open: bool,
}

impl Told {
    fn on(&mut self, event: ArchiveEvent<'_>) {
        match event {
            ArchiveEvent::Data(data) => {
                assert!(self.open);
                self.data.extend_from_slice(data);
                return;
            }
            ArchiveEvent::Entry(_) => assert!(!std::mem::replace(&mut self.open, true)),
            ArchiveEvent::EndEntry { .. } => assert!(std::mem::take(&mut self.open)),
            _ => {}
        }
        self.events.push(format!("{event:?} at {}", self.data.len()));
    }
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (kind, size, octets) = input;
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let whole = told(kind, octets, octets.len().max(1));
    assert!(!whole.open && whole.data.len() as u64 <= BOUNDS.expanded_bytes_max + octets.len() as u64);
    assert_eq!(told(kind, octets, 1), whole);
    assert_eq!(told(kind, octets, usize::from(size).max(1)), whole);
});

fn told(kind: Kind, octets: &[u8], size: usize) -> Told {
    let mut told = Told::default();
    let mut archive = Archive::new(kind, 0, BOUNDS);
    let mut budget = Budget::new(&BOUNDS);
    for piece in octets.chunks(size) {
        archive.push(piece, &mut budget, &mut |_, event| told.on(event));
    }
    archive.finish(&mut budget, &mut |_, event| told.on(event));
    told
}
