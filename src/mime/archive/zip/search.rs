//! Where data ends whose size is said only behind it.
//!
//! A compressed stream knows its own end; what is stored, encrypted or packed by an unknown method
//! does not. A data descriptor (APPNOTE 4.3.9) then gives its size, with or without a signature in
//! front, and in four or eight octets. We take for the end the first descriptor that gives the very
//! number of octets that came before it. An archive stored within has descriptors of its own, but
//! theirs count from elsewhere.

use memchr::memchr;

use super::super::{take, u32_at, u64_at};
use super::header::Mark;

/// Checksum, and both sizes in eight octets: the longest descriptor without signature.
const DESCRIPTOR_OCTETS_MAX: usize = 20;
/// Signature, checksum and the lower half of the packed size: enough to know a descriptor by.
const AHEAD_OCTETS: usize = 12;
/// Octets gathered before they are passed on.
const WINDOW_OCTETS: usize = 8 * 1024;

#[derive(Debug, Default)]
pub(super) struct Search {
    /// The data's last octets: not passed on yet, for they may be a descriptor.
    window: Vec<u8>,
    /// Octets of the window in which no end begins.
    looked: usize,
    /// Octets passed on.
    pub passed: u64,
    stored: bool,
}

impl Search {
    pub(super) fn begin(&mut self, stored: bool) {
        self.stored = stored;
        self.window.clear();
        self.looked = 0;
        self.passed = 0;
    }

    /// Passes data on until its end is found; then what came of the descriptor and of the record
    /// behind it.
    pub(super) fn push(&mut self, input: &mut &[u8], mut pass: impl FnMut(&[u8])) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.candidate() {
                let missing = (at + AHEAD_OCTETS).saturating_sub(self.window.len());
                self.window.extend_from_slice(take(input, missing as u64));
                if self.window.len() < at + AHEAD_OCTETS {
                    return None;
                }
                if let Some(end) = self.end_before(at) {
                    let rest = self.window.split_off(end);
                    self.release(end, &mut pass);
                    return Some(rest);
                }
                self.looked = at + 1;
            } else {
                self.looked = self.window.len();
                let next = memchr(b'P', input).map_or(input.len(), |at| at + 1);
                self.window.extend_from_slice(take(input, next.min(WINDOW_OCTETS) as u64));
            }
            let all = self.looked == self.window.len() && input.is_empty();
            if all || self.window.len() > WINDOW_OCTETS {
                self.release(self.looked.saturating_sub(DESCRIPTOR_OCTETS_MAX), &mut pass);
            }
            if all {
                return None;
            }
        }
    }

    /// Passes on what is held: no end will come.
    pub(super) fn finish(&mut self, mut pass: impl FnMut(&[u8])) {
        self.release(self.window.len(), &mut pass);
    }

    fn release(&mut self, count: usize, pass: &mut impl FnMut(&[u8])) {
        pass(self.window.get(..count).unwrap_or_default());
        self.window.drain(..count);
        self.looked = self.looked.saturating_sub(count);
        self.passed += count as u64;
    }

    fn candidate(&self) -> Option<usize> {
        let rest = self.window.get(self.looked..)?;
        memchr(b'P', rest).map(|at| self.looked + at)
    }

    /// Where in the window the data ends, if the mark at `at` shows it.
    fn end_before(&self, at: usize) -> Option<usize> {
        let mark = Mark::of(self.window.get(at..)?)?;
        // Nothing has the checksum 0, and the sizes 0 are common.
        let nothing = |end: usize| !self.stored || u32_at(&self.window, end) == 0;
        let gives = |end: &usize, size: u64| size == self.passed + *end as u64 && (size > 0 || nothing(*end));
        // The lower half alone: what is longer than 4 GiB is compared as a whole later.
        let low = |end: usize| u64::from(u32_at(&self.window, end));
        match mark {
            Mark::Descriptor => {
                (low(at + 8) == (self.passed + at as u64) & u64::from(u32::MAX)).then_some(at)
            }
            Mark::Local | Mark::Central => {
                let high = |end| u64_at(&self.window, end);
                // What is stored has one size, said twice.
                let same = |one, other| !self.stored || one == other;
                let short = |end: &usize| gives(end, low(end + 4)) && same(low(end + 4), low(end + 8));
                let long = |end: &usize| gives(end, high(end + 4)) && same(high(end + 4), high(end + 12));
                let found = at.checked_sub(12).filter(short);
                found.or_else(|| at.checked_sub(20).filter(long))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Search, WINDOW_OCTETS};

    #[test]
    fn the_window_stays_small_whatever_comes() {
        for word in [&b"PK\x07\x08"[..], b"P", b"PK\x03\x04........", b"........."] {
            let input = word.repeat(100_000);
            let mut search = Search::default();
            search.begin(true);
            let mut passed = Vec::new();
            for mut piece in input.chunks(50_000) {
                assert!(search.push(&mut piece, |octets| passed.extend_from_slice(octets)).is_none());
                assert!(search.window.capacity() <= 4 * WINDOW_OCTETS);
            }
            search.finish(|octets| passed.extend_from_slice(octets));
            assert!(passed == input);
        }
    }
}
