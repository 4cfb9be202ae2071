//! Archives that nobody here can open: known by kind, and looked at only for whether they say to be
//! encrypted.
//!
//! 7z keeps its headers at the end; where they are is said at the beginning, and the codec of what is
//! encrypted stands there in the open (7zFormat.txt, codec 06 F1 07 01).

use memchr::memmem;

use super::{ArchiveEvent, Defect, Report, gather, take, u64_at};

const SEVEN_ZIP: &[u8] = b"7z\xbc\xaf\x27\x1c";
const SEVEN_ZIP_HEADER_OCTETS: usize = 32;
const SEVEN_ZIP_AES: &[u8] = b"\x06\xf1\x07\x01";
/// What is kept of the header at the end. An encoded one has a few dozen octets; of a plain one this
/// is the beginning, where the codecs stand.
const END_HEADER_BYTES_MAX: u64 = 4096;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Begin,
    /// Octets until the header at the end, and its size.
    Passing(u64, u64),
    EndHeader(u64),
    Done,
}

#[derive(Debug, Default)]
pub(super) struct Closed {
    state: State,
    held: Vec<u8>,
}

impl Closed {
    pub(super) fn push(&mut self, mut input: &[u8], report: &mut Report<'_>) {
        report.defect(Defect::Unscannable);
        while self.step(&mut input, report) {}
    }

    pub(super) fn finish(&self, report: &mut Report<'_>) {
        report.defect(Defect::Unscannable);
        report.defect_if(matches!(self.state, State::Passing(..) | State::EndHeader(_)), Defect::Truncated);
    }

    fn step(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> bool {
        match self.state {
            State::Begin => {
                let whole = gather(&mut self.held, input, SEVEN_ZIP_HEADER_OCTETS);
                let compared = SEVEN_ZIP.len().min(self.held.len());
                if self.held.get(..compared) != SEVEN_ZIP.get(..compared) {
                    self.state = State::Done;
                } else if whole {
                    let (offset, size) = (u64_at(&self.held, 12), u64_at(&self.held, 20));
                    self.state = State::Passing(offset, size.min(END_HEADER_BYTES_MAX));
                    self.held.clear();
                }
                whole
            }
            State::Passing(left, size) => {
                let left = left - take(input, left).len() as u64;
                self.state = if left > 0 { State::Passing(left, size) } else { State::EndHeader(size) };
                left == 0
            }
            State::EndHeader(size) => {
                let whole = gather(&mut self.held, input, usize::try_from(size).unwrap_or_default());
                if whole {
                    if memmem::find(&self.held, SEVEN_ZIP_AES).is_some() {
                        report.tell(ArchiveEvent::Encrypted);
                    }
                    self.held = Vec::new();
                    self.state = State::Done;
                }
                whole
            }
            State::Done => false,
        }
    }
}
