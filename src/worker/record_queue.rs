//! A worker's end of the queue to the event log.
//!
//! Invariant: a worker never waits for the log. A full queue loses the batch, and a counter says so.

use tokio::sync::mpsc;

use super::counters::Counters;

/// Whole JSON lines, each ended by LF.
pub type Batch = Vec<u8>;

/// Where a worker hands its records over.
#[derive(Clone, Debug)]
pub struct RecordQueue(Option<mpsc::Sender<Batch>>);

impl RecordQueue {
    /// `None`: nobody wants records.
    pub fn new(sender: Option<mpsc::Sender<Batch>>) -> Self {
        Self(sender)
    }

    /// Whether it is worth making a record at all.
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Hands over `batch`, or drops and counts its records.
    pub fn push(&self, batch: Batch, counters: &Counters) {
        let Some(sender) = &self.0 else { return };
        if let Err(mpsc::error::TrySendError::Full(batch) | mpsc::error::TrySendError::Closed(batch)) =
            sender.try_send(batch)
        {
            counters.records_dropped.add(memchr::memchr_iter(b'\n', &batch).count() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_counts_its_loss() {
        let counters = Counters::new(&[]);
        let (sender, receiver) = mpsc::channel(1);
        let queue = RecordQueue::new(Some(sender));
        queue.push(b"{}\n".to_vec(), &counters);
        assert_eq!(counters.records_dropped.value(), 0);
        queue.push(b"{}\n{}\n".to_vec(), &counters);
        assert_eq!(counters.records_dropped.value(), 2);
        drop(receiver);
        queue.push(b"{}\n".to_vec(), &counters);
        assert_eq!(counters.records_dropped.value(), 3);
    }

    #[test]
    fn nobody_listening_is_no_loss() {
        let counters = Counters::new(&[]);
        let queue = RecordQueue::new(None);
        queue.push(b"{}\n".to_vec(), &counters);
        assert_eq!((queue.is_open(), counters.records_dropped.value()), (false, 0));
    }
}
