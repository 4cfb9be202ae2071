//! What a worker must never wait for: one thread with tokio-uring's runtime, and the event log.
//!
//! * `answer`: takes the questions of workers, each to whom it concerns;
//! * `bank`: tokens of limits, lent to workers;
//! * `authenticator`: whether a password is right;
//! * `conversation`: a connection to a next hop of the service's own;
//! * `dns`: what evaluations of `sender` and `policy::mx` must know;
//! * `lately`: what happened a moment ago;
//! * `lender`: where tokens of limits come from that several machines share;
//! * `mx`, `mta_sts`: where mail for a domain goes;
//! * `quarantine`: messages held back, on disk;
//! * `redis`: the way to a store that several machines share;
//! * `sender`: inquiries about who sends;
//! * `store`: what is remembered from one message to the next;
//! * `event_log`, `notice`, `watch`: records, and words to people.

pub mod answer;
pub mod authenticator;
pub mod bank;
mod conversation;
pub mod dns;
pub mod event_log;
mod lately;
pub mod lender;
mod mta_sts;
pub mod mx;
pub mod notice;
pub mod quarantine;
pub mod redis;
pub mod sender;
pub mod store;
pub mod watch;

use std::io;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

/// Starts the service thread; `main` runs on it to its end.
///
/// # Errors
/// When the thread or its ring cannot be had; the text says which kernel or sysctl it needs.
pub fn start<F>(main: impl FnOnce() -> F + Send + 'static) -> Result<JoinHandle<()>, String>
where
    F: Future<Output = ()>,
{
    let (ready, started) = mpsc::channel();
    let thread = Builder::new().name("service".to_owned()).spawn(move || match runtime() {
        Ok(runtime) => {
            // The starter waits for this one word.
            let _ = ready.send(Ok(()));
            runtime.block_on(main());
        }
        Err(error) => {
            let _ = ready.send(Err(refused(&error)));
        }
    });
    let thread = thread.map_err(|error| format!("the service thread cannot start: {error}"))?;
    match started.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(message)) => Err(message),
        Err(mpsc::RecvError) => Err("the service thread ended at its start".to_owned()),
    }
}

/// COOP_TASKRUN spares interrupts, SINGLE_ISSUER locks: without them this runtime costs twice as
/// much as plain epoll.
fn runtime() -> io::Result<tokio_uring::Runtime> {
    let mut ring = tokio_uring::uring_builder();
    ring.setup_coop_taskrun().setup_single_issuer();
    tokio_uring::Runtime::new(tokio_uring::builder().entries(256).uring_builder(&ring))
}

fn refused(error: &io::Error) -> String {
    let hint = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "io_uring is switched off here: see `sysctl kernel.io_uring_disabled` (0 allows it) or the container's seccomp profile"
        }
        Some(libc::ENOSYS) => "this kernel has no io_uring, or the container's seccomp profile hides it",
        Some(libc::EINVAL) => "this kernel is too old: Linux 6.1 is needed",
        Some(libc::ENOMEM) => "not enough locked memory: raise RLIMIT_MEMLOCK",
        _ => "the service thread needs io_uring",
    };
    format!("io_uring refused: {error} ({hint})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_remedy() {
        for (errno, wanted) in [
            (libc::EPERM, "kernel.io_uring_disabled"),
            (libc::ENOSYS, "seccomp"),
            (libc::EINVAL, "Linux 6.1"),
            (libc::ENOMEM, "RLIMIT_MEMLOCK"),
            (libc::EIO, "needs io_uring"),
        ] {
            assert!(refused(&io::Error::from_raw_os_error(errno)).contains(wanted));
        }
    }

    #[test]
    fn the_runtime_runs_to_its_end() {
        let (sender, receiver) = mpsc::channel();
        let thread = start(move || async move { sender.send(5).unwrap() }).unwrap();
        assert_eq!(receiver.recv(), Ok(5));
        thread.join().unwrap();
    }
}
