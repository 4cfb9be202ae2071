//! The buffers that the kernel receives into: one provided buffer ring for all sockets.
//!
//! Where the kernel can (Linux 6.12), buffers are consumed incrementally: a receive takes from the
//! head buffer only what came, the next one goes on behind it. So small reads waste nothing and
//! large buffers serve bulk. Without that each receive takes a whole buffer.
//!
//! What must always hold:
//! * A buffer belongs to the kernel or to the holders of its chunks. It goes back to the kernel when the
//!   kernel is done with it and no chunk of it is held.
//! * A chunk lies in what the kernel has filled; nobody writes there while the chunk is held.

use std::io;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::{BufRingEntry, IOU_PBUF_RING_INC};

use super::Chunk;

/// The one buffer group of a ring.
pub(super) const GROUP: u16 = 0;

/// The kernel's bound for a buffer ring.
const BUFFERS_MAX: u16 = 1 << 15;
const PAGE_BYTES: usize = 4096;

/// Pages of our own, zero at first and not there before they are touched.
#[derive(Debug)]
struct Pages {
    start: NonNull<u8>,
    len: usize,
}

impl Pages {
    fn new(len: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping where the kernel likes it touches no memory of ours.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
        match NonNull::new(start.cast::<u8>()) {
            Some(address) if start != libc::MAP_FAILED => Ok(Self { start: address, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.len == 0 {
            return; // Leaked.
        }
        // SAFETY: the mapping is ours, and whoever points into it ends with us.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// What we know of one buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Fill {
    /// Bytes the kernel has written so far.
    filled: u32,
    /// Chunks taken from it and not released.
    held: u32,
    /// The kernel is done with it.
    done: bool,
}

/// The buffers and the ring through which the kernel gets them.
#[derive(Debug)]
pub(super) struct Buffers {
    /// The ring's entries first, then the buffers.
    pages: Pages,
    fills: Box<[Fill]>,
    buffer_bytes: u32,
    /// Where the buffers begin in `pages`.
    buffers_start: usize,
    /// Where the next entry goes; wraps.
    tail: u16,
    /// Buffers that are not the kernel's now.
    away: usize,
    incremental: bool,
}

impl Buffers {
    /// Allocates and registers `count` buffers (a power of two is made of it), incremental
    /// ones if `incremental` and the kernel has them.
    pub(super) fn new(
        submitter: &Submitter<'_>,
        count: u16,
        buffer_bytes: u32,
        incremental: bool,
    ) -> io::Result<Self> {
        let count = count.clamp(1, BUFFERS_MAX).next_power_of_two();
        let buffer_bytes = buffer_bytes.max(1);
        let ring_bytes = usize::from(count) * size_of::<BufRingEntry>();
        let buffers_start = ring_bytes.next_multiple_of(PAGE_BYTES);
        let pages = Pages::new(buffers_start + usize::from(count) * buffer_bytes as usize)?;
        let fills = vec![Fill::default(); usize::from(count)].into_boxed_slice();
        let mut buffers = Self {
            pages,
            fills,
            buffer_bytes,
            buffers_start,
            tail: 0,
            away: usize::from(count),
            incremental,
        };
        buffers.register(submitter, count)?;
        for buffer in 0..count {
            buffers.give(buffer);
        }
        Ok(buffers)
    }

    /// A kernel without incremental consumption refuses the flag.
    fn register(&mut self, submitter: &Submitter<'_>, count: u16) -> io::Result<()> {
        if self.incremental {
            match self.register_with(submitter, count, IOU_PBUF_RING_INC) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.incremental = false,
                ended => return ended,
            }
        }
        self.register_with(submitter, count, 0)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the flags are an u16 in the kernel's interface")]
    fn register_with(&self, submitter: &Submitter<'_>, count: u16, flags: u32) -> io::Result<()> {
        let ring = self.pages.start.as_ptr().expose_provenance() as u64;
        // SAFETY: `pages` begins with room for `count` entries and lives until the reactor has
        // unregistered the group, or is leaked.
        unsafe { submitter.register_buf_ring_with_flags(ring, count, GROUP, flags as u16) }
    }

    /// Whether buffers are consumed incrementally.
    pub(super) const fn incremental(&self) -> bool {
        self.incremental
    }

    /// Whether the kernel has a buffer, as far as we know.
    pub(super) fn available(&self) -> bool {
        self.away < self.fills.len()
    }

    /// Chunks that were taken and not released.
    #[cfg(test)]
    pub(super) fn held(&self) -> u32 {
        self.fills.iter().map(|fill| fill.held).sum()
    }

    /// Never gives the memory back: the kernel may still write to it.
    pub(super) const fn leak(&mut self) {
        self.pages.len = 0;
    }

    /// Takes what a completion says was received: `len` bytes in `buffer`. `last` if the kernel
    /// is done with it. Completions must be shown in the kernel's order.
    pub(super) fn take(&mut self, buffer: u16, len: u32, last: bool) -> Chunk {
        let fill = &mut self.fills[usize::from(buffer)];
        let offset = fill.filled;
        fill.filled += len;
        fill.held += 1;
        if last && !fill.done {
            fill.done = true;
            self.away += 1;
        }
        assert!(fill.filled <= self.buffer_bytes, "the kernel wrote past a buffer's end");
        Chunk { buffer: u32::from(buffer), offset, len, last }
    }

    pub(super) fn bytes(&self, chunk: &Chunk) -> &[u8] {
        let fill = &self.fills[chunk.buffer as usize];
        assert!(fill.held > 0 && chunk.offset.saturating_add(chunk.len) <= fill.filled, "a forged chunk");
        let start = self.start_of(chunk.buffer) + chunk.offset as usize;
        // SAFETY: inside `pages` (just checked); the kernel has written these bytes and writes
        // only behind `filled` until the buffer is given back, which waits for all holders.
        unsafe { slice::from_raw_parts(self.pages.start.as_ptr().add(start), chunk.len as usize) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "it came from an u16, or `fills` refuses it")]
    pub(super) fn release(&mut self, chunk: &Chunk) {
        let fill = &mut self.fills[chunk.buffer as usize];
        fill.held = fill.held.saturating_sub(1);
        if fill.held == 0 && fill.done {
            self.give(chunk.buffer as u16);
        }
    }

    const fn start_of(&self, buffer: u32) -> usize {
        self.buffers_start + buffer as usize * self.buffer_bytes as usize
    }

    /// Hands a whole buffer to the kernel.
    fn give(&mut self, buffer: u16) {
        self.fills[usize::from(buffer)] = Fill::default();
        let start = self.start_of(u32::from(buffer));
        let entries = self.pages.start.as_ptr().cast::<BufRingEntry>();
        let index = usize::from(self.tail) & (self.fills.len() - 1);
        // SAFETY: `start` and `index` are inside `pages`, whose start is aligned to a page. The
        // entry is ours until the tail below has passed it, as fewer than all buffers are queued.
        let (address, entry) = unsafe { (self.pages.start.as_ptr().add(start), &mut *entries.add(index)) };
        entry.set_addr(address.expose_provenance() as u64);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry, aligned, and is shared with the kernel, which
        // only reads it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        self.away -= 1;
    }
}
