//! DEFLATE (RFC 1951) in pieces, by the library; what is ours is the bounds.
//!
//! Output is given away in whole buffers, and the bounds are looked at only then: so the same
//! octets hit a bound at the same place whatever the cuts were.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Limit, Report, take};

/// Octets per `Data`. Twice as many would be 3 % quicker, and as much more memory for each level.
const OUTPUT_BYTES: usize = 32 * 1024;

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

/// One stream after another, in the same buffers. They are made when the first is begun.
#[derive(Default)]
pub(super) struct Inflate {
    engine: Option<Box<Engine>>,
    /// Octets taken and given, of this stream.
    pub packed: u64,
    pub octets: u64,
    pub crc: Crc,
    /// Octets in the output buffer.
    filled: usize,
}

struct Engine {
    decompress: Decompress,
    output: [u8; OUTPUT_BYTES],
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
        self.filled = 0;
    }

    /// Begins a stream that counts on: a gzip member behind another is no reason for a new allowance.
    pub(super) fn continue_with_next(&mut self) {
        self.crc.reset();
        if let Some(engine) = &mut self.engine {
            engine.decompress.reset(false);
        }
    }

    /// Inflates `input` to its end, or to the stream's; what is left of it is not the stream's.
    pub(super) fn push(&mut self, input: &mut &[u8], report: &mut Report<'_>) -> Inflated {
        loop {
            let engine = self.engine.get_or_insert_with(Engine::new);
            let decompress = &mut engine.decompress;
            let (taken, given) = (decompress.total_in(), decompress.total_out());
            let output = engine.output.get_mut(self.filled..).unwrap_or_default();
            let result = decompress.decompress(input, output, FlushDecompress::None);
            let (taken, given) = (decompress.total_in() - taken, decompress.total_out() - given);
            take(input, taken);
            self.packed += taken;
            self.filled += usize::try_from(given).unwrap_or_default();
            let state = match result {
                Err(_) => Inflated::Broken,
                Ok(Status::StreamEnd) => Inflated::End,
                Ok(_) if self.filled == OUTPUT_BYTES => {
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

    /// Gives away what has been unpacked; false when a bound was hit by it.
    pub(super) fn flush(&mut self, report: &mut Report<'_>) -> bool {
        let Some(engine) = &self.engine else { return true };
        let output = engine.output.get(..std::mem::take(&mut self.filled)).unwrap_or_default();
        self.crc.update(output);
        self.octets += output.len() as u64;
        let spent = report.budget.expanded_bytes.checked_sub(output.len() as u64);
        report.budget.expanded_bytes = spent.unwrap_or_default();
        // Told before the bound is looked at: whatever has been unpacked is scanned.
        report.data(output);
        let bounds = report.bounds;
        if spent.is_none() {
            report.limit(Limit::Expansion);
        } else if self.octets > bounds.ratio_free_bytes && self.octets / bounds.ratio_max.max(1) > self.packed
        {
            report.limit(Limit::Ratio);
        }
        !report.over()
    }
}

impl Engine {
    fn new() -> Box<Self> {
        Box::new(Self { decompress: Decompress::new(false), output: [0; OUTPUT_BYTES] })
    }
}
