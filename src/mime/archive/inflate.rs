//! DEFLATE (RFC 1951) in pieces, by the library; what is ours is the bounds.
//!
//! The bounds are looked at where a block of output is full, and at the stream's end: so the same octets
//! hit a bound at the same place whatever the cuts were. What a block may take of the budget is set aside
//! when it begins, so that archives within this one find the same left at every cut.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Limit, Report, take};

/// Octets of a block. Twice as many would be 3 % quicker.
const BLOCK_BYTES: usize = 32 * 1024;

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inflated {
    Hungry,
    /// The stream's own end.
    End,
    Broken,
    /// A bound was hit and told.
    Over,
}

/// One stream after another, in the same decoder. It is made when the first is begun.
#[derive(Default)]
pub(super) struct Inflate {
    decompress: Option<Box<Decompress>>,
    /// Room for output, of no meaning between pushes.
    pub room: Vec<u8>,
    /// Octets taken and given, of this stream.
    pub packed: u64,
    pub octets: u64,
    pub crc: Crc,
    /// Octets given of the block, and what was set aside for it.
    filled: usize,
    reserved: u64,
}

impl std::fmt::Debug for Inflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflate").field("packed", &self.packed).field("octets", &self.octets).finish()
    }
}

impl Inflate {
    /// Begins a stream whose counts and bounds start anew.
    pub(super) fn begin(&mut self) {
        self.continue_with_next();
        self.packed = 0;
        self.octets = 0;
        (self.filled, self.reserved) = (0, 0);
    }

    /// Begins a stream that counts on: a gzip member behind another is no reason for a new allowance.
    pub(super) fn continue_with_next(&mut self) {
        self.crc.reset();
        if let Some(decompress) = &mut self.decompress {
            decompress.reset(false);
        }
    }

    /// Inflates `input` to its end, or to the stream's; what is left of it is not the stream's.
    pub(super) fn push(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> Inflated {
        if self.room.len() < BLOCK_BYTES {
            self.room.resize(BLOCK_BYTES, 0);
        }
        loop {
            let decompress = self.decompress.get_or_insert_with(|| Box::new(Decompress::new(false)));
            let (taken, given) = (decompress.total_in(), decompress.total_out());
            let output = self.room.get_mut(..BLOCK_BYTES - self.filled).unwrap_or_default();
            let result = decompress.decompress(input, output, FlushDecompress::None);
            let (taken, given) = (decompress.total_in() - taken, decompress.total_out() - given);
            take(input, taken);
            self.packed += taken;
            self.give(usize::try_from(given).unwrap_or_default(), report);
            let state = match result {
                Err(_) => Inflated::Broken,
                Ok(Status::StreamEnd) => Inflated::End,
                Ok(_) if self.filled == BLOCK_BYTES => {
                    if !self.flush(report) {
                        return Inflated::Over;
                    }
                    continue;
                }
                Ok(_) if input.is_empty() => return Inflated::Hungry,
                // Room on both sides and nothing moved: the library promises that this is never so.
                Ok(_) if taken == 0 && given == 0 => Inflated::Broken,
                Ok(_) => continue,
            };
            return if self.flush(report) { state } else { Inflated::Over };
        }
    }

    /// Gives away what has been unpacked, whatever bound it hits: it is scanned.
    fn give(&mut self, octets: usize, report: &mut Report<'_>) {
        if self.filled == 0 && octets > 0 {
            self.reserved = report.budget.expanded_bytes.min(BLOCK_BYTES as u64);
            report.budget.expanded_bytes -= self.reserved;
        }
        let output = self.room.get(..octets).unwrap_or_default();
        self.filled += octets;
        self.octets += octets as u64;
        self.crc.update(output);
        report.data(output);
    }

    /// The block is over, full or not; false when a bound was hit by it.
    pub(super) fn flush(&mut self, report: &mut Report<'_>) -> bool {
        let filled = std::mem::take(&mut self.filled) as u64;
        let reserved = std::mem::take(&mut self.reserved);
        report.budget.expanded_bytes += reserved.saturating_sub(filled);
        let bounds = report.bounds;
        if filled > reserved {
            report.limit(Limit::Expansion);
        } else if self.octets > bounds.ratio_free_bytes && self.octets / bounds.ratio_max.max(1) > self.packed
        {
            report.limit(Limit::Ratio);
        }
        !report.over()
    }
}
