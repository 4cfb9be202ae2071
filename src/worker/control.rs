//! What a worker is given at its start, and what it may be told while it runs.
//!
//! Orders come over a channel that the worker looks into when its reactor says it was woken; so
//! nothing here is on the path of a message.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;

use super::ask::QuestionQueue;
use super::counters::Counters;
use super::record_queue::RecordQueue;
use crate::policy::settings::Config;
use crate::tls::server_policy::ServerPolicy;

/// What a worker may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Accept no more; let transactions finish, within the configured time; then end.
    Drain,
    /// End now: sessions get 421.
    Stop,
    /// Sessions of each listener that begin from now on are made from these; the others go on.
    Certificates(Arc<[Option<ServerPolicy>]>),
}

/// Ends the sleep of a worker's reactor, from any thread.
#[derive(Clone)]
pub struct Wake(Arc<dyn Fn() + Send + Sync>);

impl Wake {
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}

/// Everything a worker thread is given. It is already pinned to its core.
#[derive(Debug)]
pub struct Setup {
    /// From 0; the record's `worker`.
    pub index: usize,
    pub config: Arc<Config>,
    pub counters: Arc<Counters>,
    pub records: RecordQueue,
    pub questions: QuestionQueue,
    pub orders: mpsc::Receiver<Order>,
    pub ready: Ready,
}

/// How a worker says that it listens, or why it cannot. Whoever drops it unsaid has failed too.
#[derive(Debug)]
pub struct Ready(mpsc::Sender<Started>);

/// A worker's first words, with its index.
pub type Started = (usize, Result<Wake, String>);

impl Ready {
    pub fn new(sender: mpsc::Sender<Started>) -> Self {
        Self(sender)
    }

    pub fn say(self, worker: usize, result: Result<Wake, String>) {
        // Whoever asked has given up: there is nobody to tell.
        let _ = self.0.send((worker, result));
    }
}

/// The other end of a worker: to give it orders.
#[derive(Debug)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
    wake: Wake,
}

impl Handle {
    pub fn new(orders: mpsc::Sender<Order>, wake: Wake) -> Self {
        Self { orders, wake }
    }

    pub fn send(&self, order: Order) {
        // A worker that has ended needs no order.
        if self.orders.send(order).is_ok() {
            self.wake.wake();
        }
    }
}
