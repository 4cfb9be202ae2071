//! The quarantine's folder: what its files are called, and what may be done there without the
//! service running: looking, and, under the lock, cleaning up and deleting.
//!
//! `ID.eml` is a message, `ID.json` its description, `….part` what is being written. An entry exists
//! exactly when its description has its final name; a message alone was never acknowledged. Names are
//! made of ULIDs and of nothing that came from a peer or from a command line.
//!
//! Plain blocking calls: for the start of the service, and for the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ulid::Ulid;

use crate::limits::DESCRIPTION_BYTES_MAX;
use crate::relay::quarantine::Description;

/// Octets of the token.
const TOKEN_BYTES: usize = 32;
/// What a file takes of a disk: whole blocks.
const BLOCK_BYTES: u64 = 4096;

const FOLDER_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o600;
/// Whoever writes to the folder holds this one locked.
const LOCK: &str = "lock";
/// Whoever can read this one may order releases and deletions.
const TOKEN: &str = "token";
/// Ends the name of what is not whole yet.
const PART: &str = ".part";

/// The file names of one entry.
pub(super) fn message_name(id: Ulid) -> String {
    format!("{id}.eml")
}

pub(super) fn description_name(id: Ulid) -> String {
    format!("{id}.json")
}

/// What a file is called until it is whole.
pub(super) fn part(name: &str) -> String {
    format!("{name}{PART}")
}

/// What rounding up may add to the two files of an entry.
pub(super) const ROUNDING_BYTES: u64 = 2 * BLOCK_BYTES;

/// Bytes that an entry counts for.
pub(super) const fn entry_bytes(message: u64, description: u64) -> u64 {
    message.next_multiple_of(BLOCK_BYTES).saturating_add(description.next_multiple_of(BLOCK_BYTES))
}

/// What a file of the folder is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message(Ulid),
    Description(Ulid),
    Part,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        if name.ends_with(PART) {
            return Some(Self::Part);
        }
        let (stem, extension) = name.split_once('.')?;
        // Only the one spelling that we write: whatever else lies there is not ours.
        let id = Ulid::from_string(stem).ok().filter(|id| id.to_string() == stem)?;
        match extension {
            "eml" => Some(Self::Message(id)),
            "json" => Some(Self::Description(id)),
            _ => None,
        }
    }
}

/// What was found in the folder at the start.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Each whole entry and what it counts for.
    pub(super) entries: BTreeMap<Ulid, u64>,
    /// Files of messages that were never acknowledged, removed.
    pub(super) removed: usize,
    /// Descriptions without a message. Nothing of ours leaves such a thing behind.
    pub(super) bereft: BTreeSet<Ulid>,
}

/// The folder, by its path.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// The right to write to the folder. It ends with this value, and with the process.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] File);

impl Folder {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, for us alone, if it is not there.
    pub(super) fn create(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.0)
    }

    /// The right to write to it; `None` while somebody else has it.
    ///
    /// # Errors
    /// When the lock's file cannot be opened or locked.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        let mut options = OpenOptions::new();
        let file =
            options.write(true).create(true).truncate(false).mode(FILE_MODE).open(self.0.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes a new token.
    pub(super) fn renew_token(&self) -> io::Result<String> {
        let mut random = [0; TOKEN_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let part = self.0.join(part(TOKEN));
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&part)?
            .write_all(token.as_bytes())?;
        fs::rename(part, self.0.join(TOKEN))?;
        Ok(token)
    }

    /// The token of the running service.
    ///
    /// # Errors
    /// When it cannot be read: most likely we may not.
    pub fn token(&self) -> io::Result<String> {
        fs::read_to_string(self.0.join(TOKEN))
    }

    /// Removes what was never acknowledged and says what there is. For the holder of the lock.
    pub(super) fn sweep(&self) -> io::Result<Found> {
        let mut found = Found::default();
        let (mut messages, mut descriptions) = (BTreeMap::new(), BTreeMap::new());
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            match entry.file_name().to_str().and_then(Kind::of) {
                Some(Kind::Message(id)) => _ = messages.insert(id, entry.metadata()?.len()),
                Some(Kind::Description(id)) => _ = descriptions.insert(id, entry.metadata()?.len()),
                Some(Kind::Part) => {
                    fs::remove_file(entry.path())?;
                    found.removed += 1;
                }
                None => {}
            }
        }
        for (id, description) in descriptions {
            match messages.remove(&id) {
                Some(message) => _ = found.entries.insert(id, entry_bytes(message, description)),
                None => _ = found.bereft.insert(id),
            }
        }
        for id in messages.into_keys() {
            fs::remove_file(self.message_path(id))?;
            found.removed += 1;
        }
        Ok(found)
    }

    /// The entries, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn ids(&self) -> io::Result<Vec<Ulid>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            if let Some(Kind::Description(id)) = entry?.file_name().to_str().and_then(Kind::of) {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// What is known of the entry `id`; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read or is not a description.
    pub fn description(&self, id: Ulid) -> io::Result<Option<Description>> {
        let file = match File::open(self.0.join(description_name(id))) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut json = Vec::new();
        file.take(DESCRIPTION_BYTES_MAX).read_to_end(&mut json)?;
        Ok(Some(serde_json::from_slice(&json)?))
    }

    /// Where the message of the entry `id` lies.
    pub fn message_path(&self, id: Ulid) -> PathBuf {
        self.0.join(message_name(id))
    }

    /// Deletes the entry `id`; whether there was one. For the holder of the lock.
    ///
    /// # Errors
    /// When a file cannot be removed. The description goes first: what is left is no entry.
    pub fn delete(&self, id: Ulid, _lock: &Lock) -> io::Result<bool> {
        let was = removed(&self.0.join(description_name(id)))?;
        removed(&self.message_path(id))?;
        File::open(&self.0)?.sync_all()?;
        Ok(was)
    }
}

/// Removes a file; whether there was one.
fn removed(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::quarantine::tests::{Scrap, description};

    #[test]
    fn only_our_own_spelling_is_a_name_of_ours() {
        let id = Ulid::from_parts(1_795_366_104_123, 99);
        let name = message_name(id);
        assert_eq!(Kind::of(&name), Some(Kind::Message(id)));
        assert_eq!(Kind::of(&description_name(id)), Some(Kind::Description(id)));
        assert_eq!(Kind::of(&part(&name)), Some(Kind::Part));
        for strange in
            [name.to_lowercase().as_str(), "", "lock", "token", "x.eml", "../x.eml", &format!("{name}x")]
        {
            assert_eq!(Kind::of(strange), None, "{strange}");
        }
    }

    #[test]
    fn whole_blocks_count() {
        assert_eq!(entry_bytes(0, 1), 4096);
        assert_eq!(entry_bytes(4096, 4097), 12288);
    }

    #[test]
    fn a_sweep_leaves_whole_entries_and_what_is_not_ours() {
        let scrap = Scrap::new();
        let folder = Folder::new(scrap.path());
        let id = |n: u64| Ulid::from_parts(1000 + n, 0);
        let write = |name: String, bytes: &[u8]| fs::write(scrap.path().join(name), bytes).unwrap();
        write(message_name(id(1)), b"whole");
        write(description_name(id(1)), b"{}");
        write(message_name(id(2)), b"never acknowledged");
        write(description_name(id(3)), b"{}");
        write(part(&message_name(id(4))), b"half");
        write(part(&description_name(id(1))), b"half");
        write("README".to_owned(), b"of the administrator");
        let found = folder.sweep().unwrap();
        assert_eq!(found.entries, BTreeMap::from([(id(1), 8192)]));
        assert_eq!((found.removed, found.bereft), (3, BTreeSet::from([id(3)])));
        let mut names: Vec<_> = fs::read_dir(scrap.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [message_name(id(1)), description_name(id(1)), description_name(id(3)), "README".to_owned()]
        );
    }

    #[test]
    fn one_holder_of_the_lock_at_a_time() {
        let scrap = Scrap::new();
        let folder = Folder::new(scrap.path().join("new/below"));
        folder.create().unwrap();
        let lock = folder.lock().unwrap();
        assert!(lock.is_some() && folder.lock().unwrap().is_none());
        drop(lock);
        assert!(folder.lock().unwrap().is_some());
        let mode =
            |path: &Path| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        assert_eq!(mode(folder.path()) & 0o777, FOLDER_MODE);
        assert_eq!(mode(&folder.path().join(LOCK)) & 0o777, FILE_MODE);
    }

    #[test]
    fn each_start_has_a_token_of_its_own() {
        let scrap = Scrap::new();
        let folder = Folder::new(scrap.path());
        let first = folder.renew_token().unwrap();
        assert_eq!(folder.token().unwrap(), first);
        assert_eq!(first.len(), 2 * TOKEN_BYTES);
        assert_ne!(folder.renew_token().unwrap(), first);
    }

    #[test]
    fn an_entry_is_deleted_once() {
        let scrap = Scrap::new();
        let folder = Folder::new(scrap.path());
        let lock = folder.lock().unwrap().unwrap();
        let described = description(5);
        let json = serde_json::to_vec(&described).unwrap();
        fs::write(scrap.path().join(description_name(described.id)), json).unwrap();
        fs::write(folder.message_path(described.id), b"x").unwrap();
        assert_eq!(folder.ids().unwrap(), [described.id]);
        assert_eq!(folder.description(described.id).unwrap(), Some(described.clone()));
        assert!(folder.delete(described.id, &lock).unwrap());
        assert!(!folder.delete(described.id, &lock).unwrap());
        assert_eq!(folder.description(described.id).unwrap(), None);
    }
}
