//! A sink on a thread of its own, for tests and the demonstration.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use super::{Counters, Keep, Options, Sink, Totals};
use crate::reactor::Errno;
use crate::reactor::uring::{Uring, UringConfig};
use crate::reactor::waker::Waker;

/// A sink that serves until this is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// What the thread tells when it listens.
struct Face {
    address: SocketAddr,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    waker: Waker,
}

/// Starts a sink that listens on `address`; port 0 finds a free one.
///
/// # Errors
/// A sentence, when the ring, the address or the journal cannot be had.
pub fn start(options: Options, keep: Option<Keep>, address: SocketAddr) -> Result<Running, String> {
    let (face, ready) = channel();
    let run = move || serve(options, keep, address, &face);
    let thread =
        std::thread::Builder::new().name("sink".to_owned()).spawn(run).map_err(|error| error.to_string())?;
    let face = ready.recv().map_err(|_| "the sink's thread ended".to_owned())??;
    Ok(Running {
        address: face.address,
        counters: face.counters,
        stop: face.stop,
        waker: face.waker,
        thread: Some(thread),
    })
}

fn serve(options: Options, keep: Option<Keep>, address: SocketAddr, face: &Sender<Result<Face, String>>) {
    match open(options, keep, address) {
        Ok((mut sink, ready)) => {
            if face.send(Ok(ready)).is_ok() {
                sink.run();
            }
        }
        Err(error) => drop(face.send(Err(error))),
    }
}

fn open(options: Options, keep: Option<Keep>, address: SocketAddr) -> Result<(Sink<Uring>, Face), String> {
    let (reactor, address) = listen(address)?;
    let waker = reactor.waker();
    let mut sink = Sink::new(options, keep, reactor).map_err(|error| error.to_string())?;
    sink.can_listen((again, address));
    let face = Face { address, counters: sink.counters(), stop: sink.stop_flag(), waker };
    Ok((sink, face))
}

pub(super) fn again(reactor: &mut Uring, address: SocketAddr) -> Result<(), Errno> {
    reactor.listen(address).map(drop)
}

/// A ring that listens, and where.
pub(super) fn listen(address: SocketAddr) -> Result<(Uring, SocketAddr), String> {
    let mut reactor = Uring::new(UringConfig::default()).map_err(|error| error.to_string())?;
    let listener = reactor.listen(address).map_err(|error| format!("{address}: {error:?}"))?;
    let address = reactor.local_addr(listener).ok_or("the listener has no address")?;
    Ok((reactor, address))
}

impl Running {
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counters now.
    pub fn totals(&self) -> Totals {
        self.counters.totals()
    }

    /// Ends the sink and says what it had.
    pub fn stop(mut self) -> Totals {
        self.end();
        self.counters.totals()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
