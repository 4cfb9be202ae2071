//! One message on its way into the quarantine: a task that hears a relay's words and writes.
//!
//! In this order: content to `ID.eml.part`; then, at the commit, that file is synced, the description
//! is written to `ID.json.part` and synced, both get their final names (the message first), and the
//! folder is synced. Only then it answers that the message is stored.
//!
//! Invariants:
//! * whenever the process is killed, the entry is whole or is none: its description has its final name
//!   or not;
//! * whatever fails before the answer leaves nothing behind, as far as the disk allows, and is answered;
//! * in memory is only what is being written: words wait in a queue that its sender keeps short.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_uring::fs::File;
use ulid::Ulid;

use super::folder::{ROUNDING_BYTES, description_name, entry_bytes, message_name, part};
use super::{Inner, Way, Word};
use crate::limits::DESCRIPTION_BYTES_MAX;
use crate::relay::quarantine::{Description, Failure, FailureKind, Spool, Spooled};
use crate::worker::ask::Freight;

/// Words that are taken from the queue at a time; their content goes into one write.
const WORDS_PER_WRITE: usize = 64;
/// A relay that says nothing for so long is not there any more. Longer than a client may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(900);

/// What became of a message.
#[derive(Debug)]
pub(super) enum End {
    Stored,
    /// The relay said so, or has gone: nobody waits for an answer.
    Aborted,
    Failed(Failure),
}

/// Failing and breaking off leave by the same door.
impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The message and what was done for it up to now.
struct Spooling<'a> {
    store: &'a Inner,
    way: &'a Way,
    id: Ulid,
    message: String,
    description: String,
    written: u64,
    reserved: u64,
    /// Names that may exist and must not remain if it is not stored.
    made: Vec<String>,
    /// Of its last words, which are in memory to the end.
    last: Vec<Freight>,
}

/// Hears `words` to their end.
pub(super) async fn run(
    store: &Inner,
    way: &Way,
    (id, size): (Ulid, u64),
    mut words: mpsc::Receiver<Word>,
) -> End {
    let mut spooling = Spooling {
        store,
        way,
        id,
        message: message_name(id),
        description: description_name(id),
        written: 0,
        reserved: 0,
        made: Vec::new(),
        last: Vec::new(),
    };
    match spooling.store(size, &mut words).await {
        Ok(bytes) => {
            store.index.borrow_mut().insert(id, bytes);
            End::Stored
        }
        Err(end) => {
            spooling.clear().await;
            end
        }
    }
}

/// However it ends, what was set aside for it is free again.
impl Drop for Spooling<'_> {
    fn drop(&mut self) {
        self.store.index.borrow_mut().release(self.reserved);
    }
}

impl Spooling<'_> {
    /// The bytes that the entry counts for.
    async fn store(&mut self, size: u64, words: &mut mpsc::Receiver<Word>) -> Result<u64, End> {
        if !self.store.index.borrow().has_room(size.saturating_add(ROUNDING_BYTES)) {
            return Err(full().into());
        }
        self.reserve(ROUNDING_BYTES)?;
        // Nothing that was accepted is ever written over.
        if self.store.index.borrow().contains(self.id) {
            return Err(disorder("a message with this id is there already").into());
        }
        let part = part(&self.message);
        let file = self.store.disk.create(&part).await?;
        self.made.push(part.clone());
        let description = self.take_content(&file, &part, words).await?;
        self.commit(file, description, words).await
    }

    /// Everything up to the commit.
    async fn take_content(
        &mut self,
        file: &File,
        part: &str,
        words: &mut mpsc::Receiver<Word>,
    ) -> Result<Box<Description>, End> {
        let mut batch = Vec::with_capacity(WORDS_PER_WRITE);
        loop {
            match timeout(SILENCE_MAX, words.recv_many(&mut batch, WORDS_PER_WRITE)).await {
                Ok(0) | Err(_) => return Err(End::Aborted),
                Ok(_) => {}
            }
            let Gathered { content, words: count, end, freights } = gathered(batch.drain(..));
            self.append(file, part, content, count).await?;
            if end.is_some() {
                self.last = freights;
            }
            match end {
                None => {}
                Some(Spool::Commit(description)) => return Ok(description),
                Some(Spool::Abort) => return Err(End::Aborted),
                Some(Spool::Begin { .. } | Spool::Append(_)) => {
                    return Err(disorder("a second beginning").into());
                }
            }
        }
    }

    async fn append(
        &mut self,
        file: &File,
        part: &str,
        content: Vec<u8>,
        words: usize,
    ) -> Result<(), Failure> {
        let octets = content.len();
        if words == 0 {
            return Ok(());
        }
        self.reserve(octets as u64)?;
        self.store.disk.write(file, part, content, self.written).await?;
        self.written += octets as u64;
        self.way.say(Spooled::Taken { words, octets });
        Ok(())
    }

    fn reserve(&mut self, bytes: u64) -> Result<(), Failure> {
        if !self.store.index.borrow_mut().reserve(bytes) {
            return Err(full());
        }
        self.reserved += bytes;
        Ok(())
    }

    /// Makes it an entry.
    async fn commit(
        &mut self,
        file: File,
        mut description: Box<Description>,
        words: &mut mpsc::Receiver<Word>,
    ) -> Result<u64, End> {
        if description.id != self.id {
            return Err(disorder("a description of another message").into());
        }
        description.size = self.written;
        let disk = &self.store.disk;
        let (message, message_part) = (self.message.clone(), part(&self.message));
        let (name, name_part) = (self.description.clone(), part(&self.description));
        disk.sync(file, &message_part).await?;
        let json = json(&description)?;
        let json_bytes = json.len() as u64;
        if json_bytes > DESCRIPTION_BYTES_MAX {
            return Err(disorder("a description that nobody would read").into());
        }
        self.reserve(json_bytes)?;
        self.made.push(name_part.clone());
        self.store.write_new(&name_part, json).await?;
        // The last moment to hear that nobody waits any more; what comes later finds it stored.
        if !matches!(words.try_recv(), Err(mpsc::error::TryRecvError::Empty)) {
            return Err(End::Aborted);
        }
        self.made.push(message.clone());
        disk.rename(&message_part, &message).await?;
        self.made.push(name.clone());
        disk.rename(&name_part, &name).await?;
        disk.sync_folder().await?;
        Ok(entry_bytes(self.written, json_bytes))
    }

    /// Removes what was made; the description first, as always.
    async fn clear(&mut self) {
        while let Some(name) = self.made.pop() {
            // What cannot be removed now is removed at the next start: nobody was told that it is kept.
            let _ = self.store.disk.remove(&name).await;
        }
    }
}

/// Words of one batch.
#[derive(Default)]
struct Gathered {
    /// Of all up to the first that has none.
    content: Vec<u8>,
    words: usize,
    /// That first one.
    end: Option<Spool>,
    /// They weigh until the content is written.
    freights: Vec<Freight>,
}

fn gathered(words: impl Iterator<Item = Word>) -> Gathered {
    let mut gathered = Gathered::default();
    for (word, freight) in words {
        gathered.freights.push(freight);
        match word {
            // Behind its end a relay says nothing, or that it does not want it after all.
            _ if gathered.end.is_some() => gathered.end = Some(Spool::Abort),
            Spool::Append(bytes) => {
                gathered.words += 1;
                match gathered.content.is_empty() {
                    true => gathered.content = bytes,
                    false => gathered.content.extend_from_slice(&bytes),
                }
            }
            end => gathered.end = Some(end),
        }
    }
    gathered
}

pub(super) fn json(description: &Description) -> Result<Vec<u8>, Failure> {
    let json = serde_json::to_vec_pretty(description);
    let mut json = json.map_err(|error| Failure::new(FailureKind::Disk, format!("description: {error}")))?;
    json.push(b'\n');
    Ok(json)
}

fn full() -> Failure {
    Failure::new(FailureKind::Full, "the quarantine is full")
}

fn disorder(text: &str) -> Failure {
    Failure::new(FailureKind::Disorder, text)
}
