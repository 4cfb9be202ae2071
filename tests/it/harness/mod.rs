//! What the loopback tests stand on: the real program, scripted next hops, scripted clients.
//!
//! Everything here blocks, reads the clock and sleeps, in threads of the test: the rules against
//! that are for the product. A test waits for events (a line on standard error, a reply, a message
//! at the next hop), each wait with a bound that only a failing test reaches.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the peers of the product are plain blocking programs"
)]

pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod dovecot;
pub(crate) mod name_server;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod secure;
pub(crate) mod upstream;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits for what must come. Only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The loopback address of this test process.
pub(crate) fn loopback() -> IpAddr {
    let [low, high, ..] = std::process::id().to_le_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 1 + high % 100, low, 1))
}

/// An address nobody listens on. Each test process has a loopback address of its own and counts
/// its ports: nobody else gets the same. It is not tried out, for a child that is just being
/// started would hold the socket a moment longer than we do.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    SocketAddr::new(loopback(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A folder that goes with the test.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("postern-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Looks at `condition` until it holds: for facts of the kernel that announce themselves to nobody
/// (RSS, descriptors). Says whether it came to hold.
pub(crate) fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `task(0)..task(count)` on `threads` threads; a panic of one fails the test.
pub(crate) fn in_parallel(threads: usize, count: usize, task: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    task(index);
                }
            });
        }
    });
}
