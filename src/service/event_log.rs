//! Records to standard output or a file, one JSON object a line.
//!
//! A thread of its own: a full disk or a pipe that nobody reads must stop neither the admin plane
//! nor the signals. What it cannot write is lost, counted and told once.
//!
//! Invariant: a batch is written whole or not at all, as far as the file allows; batches of one
//! worker keep their order.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use tokio::sync::mpsc;

use super::notice;
use crate::limits::{RECORD_BATCH_BYTES_MAX, RECORD_BATCHES_MAX};
use crate::policy::settings::RecordSink;
use crate::worker::record_queue::{Batch, RecordQueue};

/// Batches gathered into one write.
const BATCHES_PER_WRITE: usize = 64;

/// What others may ask of the log, and read of it.
#[derive(Debug, Default)]
pub struct Shared {
    reopen: AtomicBool,
    lost: AtomicU64,
}

impl Shared {
    /// The next write opens the file anew (after it was rotated away).
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// Records that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// A running log. It ends when every clone of its queue is gone.
#[derive(Debug)]
pub struct EventLog {
    pub queue: RecordQueue,
    pub shared: Arc<Shared>,
    pub thread: Option<JoinHandle<()>>,
}

/// Opens `sink` and starts to write to it.
///
/// # Errors
/// When the file cannot be opened or the thread not started.
pub fn start(sink: &RecordSink) -> Result<EventLog, String> {
    let shared = Arc::new(Shared::default());
    let Some(output) = Output::open(sink)? else {
        return Ok(EventLog { queue: RecordQueue::new(None), shared, thread: None });
    };
    let (sender, receiver) = mpsc::channel(RECORD_BATCHES_MAX);
    let mut log = Log { output, receiver, shared: Arc::clone(&shared), failing: false };
    let thread = Builder::new()
        .name("event-log".to_owned())
        .spawn(move || log.run())
        .map_err(|error| format!("the event log cannot start: {error}"))?;
    Ok(EventLog { queue: RecordQueue::new(Some(sender)), shared, thread: Some(thread) })
}

#[derive(Debug)]
enum Output {
    Stdout,
    File(PathBuf, File),
}

impl Output {
    fn open(sink: &RecordSink) -> Result<Option<Self>, String> {
        match sink {
            RecordSink::Off => Ok(None),
            RecordSink::Stdout => Ok(Some(Self::Stdout)),
            RecordSink::File(path) => match append(path) {
                Ok(file) => Ok(Some(Self::File(path.clone(), file))),
                Err(error) => Err(format!("records: {}: {error}", path.display())),
            },
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File(path, file) = self {
            *file = append(path)?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::File(_, file) => file.write_all(bytes),
        }
    }
}

/// O_APPEND: another process may write to the same file, or cut it.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[derive(Debug)]
struct Log {
    output: Output,
    receiver: mpsc::Receiver<Batch>,
    shared: Arc<Shared>,
    failing: bool,
}

impl Log {
    fn run(&mut self) {
        let mut batches = Vec::with_capacity(BATCHES_PER_WRITE);
        let mut bytes = Vec::with_capacity(RECORD_BATCH_BYTES_MAX);
        while self.receiver.blocking_recv_many(&mut batches, BATCHES_PER_WRITE) > 0 {
            batches.drain(..).for_each(|batch| bytes.extend_from_slice(&batch));
            self.reopen_if_asked();
            let result = self.output.write(&bytes);
            self.note(result, &bytes);
            bytes.clear();
        }
    }

    /// If the new file cannot be had, the old one is better than none.
    fn reopen_if_asked(&mut self) {
        if self.shared.reopen.swap(false, Ordering::Relaxed)
            && let Err(error) = self.output.reopen()
        {
            notice::say(format_args!("records go on into the old file: {error}"));
        }
    }

    /// Counts what was lost; tells when it begins and when it is over.
    fn note(&mut self, result: io::Result<()>, bytes: &[u8]) {
        match result {
            Ok(()) if self.failing => notice::say(format_args!("records are written again")),
            Ok(()) => {}
            Err(error) => {
                let lost = memchr::memchr_iter(b'\n', bytes).count() as u64;
                self.shared.lost.fetch_add(lost, Ordering::Relaxed);
                if !self.failing {
                    notice::say(format_args!("records are lost: {error}"));
                }
                self.failing = true;
                return;
            }
        }
        self.failing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::counters::Counters;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("postern-{}-{name}", std::process::id()))
    }

    fn finish(log: EventLog) -> Arc<Shared> {
        drop(log.queue);
        log.thread.unwrap().join().unwrap();
        log.shared
    }

    #[test]
    fn records_are_appended_in_order() {
        let path = path("order");
        std::fs::write(&path, "old\n").unwrap();
        let log = start(&RecordSink::File(path.clone())).unwrap();
        for n in 0..200 {
            log.queue.push(format!("{n}\n").into_bytes(), &Counters::new(&[]));
        }
        assert_eq!(finish(log).lost(), 0);
        let wanted: String =
            std::iter::once("old\n".to_owned()).chain((0..200).map(|n| format!("{n}\n"))).collect();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), wanted);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_rotated_file_is_opened_anew() {
        let (path, rotated) = (path("rotate"), path("rotate.1"));
        let log = start(&RecordSink::File(path.clone())).unwrap();
        std::fs::rename(&path, &rotated).unwrap();
        log.shared.reopen();
        log.queue.push(b"new\n".to_vec(), &Counters::new(&[]));
        finish(log);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "");
        std::fs::remove_file(&path).and_then(|()| std::fs::remove_file(&rotated)).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let log = start(&RecordSink::File("/dev/full".into())).unwrap();
        log.queue.push(b"a\nb\n".to_vec(), &Counters::new(&[]));
        assert_eq!(finish(log).lost(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = start(&RecordSink::File("/nonexistent/records".into())).unwrap_err();
        assert!(error.contains("/nonexistent/records"), "{error}");
    }
}
