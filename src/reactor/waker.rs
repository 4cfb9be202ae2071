//! Waking a reactor from another thread: an eventfd that the ring reads.
//!
//! Wakes coalesce: many before the reactor looks are one `Woken`.

use std::cell::UnsafeCell;
use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::Arc;

/// Wakes its reactor. May be cloned and sent anywhere.
#[derive(Clone, Debug)]
pub struct Waker {
    eventfd: Arc<File>,
}

impl Waker {
    pub fn wake(&self) {
        // It can only fail when the counter is full, and then the reactor is awake already.
        let _ = (&*self.eventfd).write(&1u64.to_ne_bytes());
    }
}

/// The reactor's end: the eventfd and the eight bytes that the kernel reads its counter into.
#[derive(Debug)]
pub(super) struct WakeEnd {
    waker: Waker,
    counter: Box<UnsafeCell<u64>>,
}

impl WakeEnd {
    /// Bytes of one read of an eventfd.
    pub(super) const COUNTER_BYTES: u32 = 8;

    pub(super) fn new() -> io::Result<Self> {
        // Without EFD_NONBLOCK: the ring would get EAGAIN instead of waiting.
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else knows it.
        let eventfd = Arc::new(unsafe { File::from_raw_fd(fd) });
        Ok(Self { waker: Waker { eventfd }, counter: Box::new(UnsafeCell::new(0)) })
    }

    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(super) fn fd(&self) -> RawFd {
        self.waker.eventfd.as_raw_fd()
    }

    /// Never gives the memory back: the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        mem::forget(mem::take(&mut self.counter));
    }

    /// Where the kernel may write [`Self::COUNTER_BYTES`]; nobody reads it.
    pub(super) fn counter(&self) -> *mut u8 {
        self.counter.get().cast()
    }
}
