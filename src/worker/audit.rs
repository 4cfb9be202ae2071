//! What a worker holds at the moment: for tests that ask whether anything was lost or kept.

use super::Worker;

/// Counts and bytes at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Client connections.
    pub clients: usize,
    /// Upstream connections in whatever state.
    pub hops: usize,
    /// Bytes of the window budget that messages hold.
    pub window_taken: usize,
    /// Content, input and output that is not in the reactor's hands.
    pub held_bytes: usize,
    /// Questions to the service side whose last answer has not come.
    pub questions: usize,
    pub pools: Vec<PoolAudit>,
}

/// As one pool counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolAudit {
    /// Whose connections it has.
    pub upstream: usize,
    pub total: usize,
    pub parked: usize,
    pub waits: bool,
    /// Connections that the worker has for it, those that say QUIT left out.
    pub hops: usize,
}

impl<R> Worker<R> {
    /// Walks over everything: not for the path of a message.
    pub fn audit(&self) -> Audit {
        let pools = self.ways.iter().map(|(key, way)| PoolAudit {
            upstream: way.upstream,
            total: way.pool.total(),
            parked: way.pool.parked(),
            waits: way.pool.has_waiters(),
            hops: self.hops.iter().filter(|(_, hop)| hop.way == key && !hop.is_leaving()).count(),
        });
        let clients = self.clients.iter().map(|(_, client)| {
            client.pipe.queued_bytes() + client.relay.as_ref().map_or(0, |relay| relay.held_bytes())
        });
        let hops = self.hops.iter().map(|(_, hop)| hop.pipe.queued_bytes());
        Audit {
            clients: self.clients.len(),
            hops: self.hops.len(),
            window_taken: self.shared.windows.total(),
            held_bytes: clients.sum::<usize>() + hops.sum::<usize>(),
            questions: self.asker.open(),
            pools: pools.collect(),
        }
    }
}
