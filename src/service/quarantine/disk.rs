//! The quarantine's folder, written and read through the ring of the service thread.
//!
//! Each call is one thing that the kernel does, and each may fail; what failed is told by file and
//! the system's own words. Everything goes by path: a folder that vanished is an error, not a
//! folder that nobody sees any more.

use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio_uring::fs::{File, OpenOptions, remove_file, rename};

use super::folder::FILE_MODE;
use crate::relay::quarantine::{Failure, FailureKind};

/// What is done to the folder, in the words of a test that counts it or makes it fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Create,
    Write,
    Sync,
    Rename,
    Remove,
    SyncFolder,
    Open,
}

#[derive(Clone)]
pub(super) struct Disk {
    folder: PathBuf,
    #[cfg(test)]
    pub(super) script: Option<std::rc::Rc<tests::Script>>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Disk").field(&self.folder).finish()
    }
}

impl Disk {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            #[cfg(test)]
            script: None,
        }
    }

    /// A new file. That one of this name is there already is an error.
    pub(super) async fn create(&self, name: &str) -> Result<File, Failure> {
        self.before(Step::Create, name).await?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
        options.open(self.folder.join(name)).await.map_err(|error| failure("create", name, &error))
    }

    /// All of `bytes`, at `position`; gives the buffer back.
    pub(super) async fn write(
        &self,
        file: &File,
        name: &str,
        bytes: Vec<u8>,
        position: u64,
    ) -> Result<Vec<u8>, Failure> {
        self.before(Step::Write, name).await?;
        let (result, bytes) = file.write_all_at(bytes, position).await;
        result.map_err(|error| failure("write", name, &error))?;
        Ok(bytes)
    }

    /// What was written is durable when this returns.
    pub(super) async fn sync(&self, file: File, name: &str) -> Result<(), Failure> {
        self.before(Step::Sync, name).await?;
        file.sync_all().await.map_err(|error| failure("sync", name, &error))?;
        file.close().await.map_err(|error| failure("close", name, &error))
    }

    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<(), Failure> {
        self.before(Step::Rename, to).await?;
        let result = rename(self.folder.join(from), self.folder.join(to)).await;
        result.map_err(|error| failure("rename to", to, &error))
    }

    /// Whether there was one.
    pub(super) async fn remove(&self, name: &str) -> Result<bool, Failure> {
        self.before(Step::Remove, name).await?;
        match remove_file(self.folder.join(name)).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failure("remove", name, &error)),
        }
    }

    /// The names of the folder are durable when this returns.
    pub(super) async fn sync_folder(&self) -> Result<(), Failure> {
        const NAME: &str = "the folder";
        self.before(Step::SyncFolder, NAME).await?;
        let folder = File::open(&self.folder).await.map_err(|error| failure("open", NAME, &error))?;
        let synced = folder.sync_all().await;
        // Nothing was written through it: its close can lose nothing.
        let _ = folder.close().await;
        synced.map_err(|error| failure("sync", NAME, &error))
    }

    /// `None`: there is no such file.
    pub(super) async fn open(&self, name: &str) -> Result<Option<File>, Failure> {
        self.before(Step::Open, name).await?;
        match File::open(self.folder.join(name)).await {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failure("open", name, &error)),
        }
    }

    /// What is at `position`, as much as `buffer` has room for; nothing at the end.
    pub(super) async fn read(
        &self,
        file: &File,
        name: &str,
        mut buffer: Vec<u8>,
        position: u64,
    ) -> Result<Vec<u8>, Failure> {
        buffer.clear();
        let (result, buffer) = file.read_at(buffer, position).await;
        result.map_err(|error| failure("read", name, &error))?;
        Ok(buffer)
    }

    /// All of a file of at most `bytes_max` octets; `None` if it is not there.
    pub(super) async fn read_whole(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Failure> {
        const PIECE_BYTES: usize = 64 * 1024;
        let Some(file) = self.open(name).await? else { return Ok(None) };
        let mut whole = Vec::new();
        loop {
            let piece = self.read(&file, name, Vec::with_capacity(PIECE_BYTES), whole.len() as u64).await?;
            if piece.is_empty() {
                break;
            }
            whole.extend_from_slice(&piece);
            if whole.len() as u64 > bytes_max {
                return Err(Failure::new(FailureKind::Disk, format!("{name} is larger than it may be")));
            }
        }
        // It was only read from.
        let _ = file.close().await;
        Ok(Some(whole))
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_async, reason = "tests wait here")]
    async fn before(&self, _step: Step, _name: &str) -> Result<(), Failure> {
        Ok(())
    }

    #[cfg(test)]
    async fn before(&self, step: Step, name: &str) -> Result<(), Failure> {
        let Some(script) = &self.script else { return Ok(()) };
        match script.next(step, name) {
            tests::Fate::Goes => Ok(()),
            tests::Fate::Fails(error) => Err(failure("test", name, &io::Error::from_raw_os_error(error))),
            tests::Fate::Hangs => std::future::pending().await,
        }
    }
}

/// A full disk is the one that an administrator can mend by making room.
fn failure(what: &str, name: &str, error: &io::Error) -> Failure {
    let full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let kind = if full { FailureKind::Full } else { FailureKind::Disk };
    Failure::new(kind, format!("{what} {name}: {error}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::cell::RefCell;

    /// What becomes of a step.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::service::quarantine) enum Fate {
        Goes,
        /// With this error number.
        Fails(i32),
        /// Never comes back, as if the process had been killed before it.
        Hangs,
    }

    /// Lets steps be done and notes them; one of them meets its fate.
    #[derive(Debug)]
    pub(in crate::service::quarantine) struct Script {
        pub(in crate::service::quarantine) done: RefCell<Vec<(Step, String)>>,
        /// From this step on, counted from 0; only this one if it fails.
        pub(in crate::service::quarantine) at: usize,
        pub(in crate::service::quarantine) fate: Fate,
    }

    impl Script {
        pub(in crate::service::quarantine) const fn new(at: usize, fate: Fate) -> Self {
            Self { done: RefCell::new(Vec::new()), at, fate }
        }

        pub(super) fn next(&self, step: Step, name: &str) -> Fate {
            let mut done = self.done.borrow_mut();
            let number = done.len();
            done.push((step, name.to_owned()));
            match self.fate {
                Fate::Hangs if number >= self.at => Fate::Hangs,
                Fate::Fails(_) if number == self.at => self.fate,
                _ => Fate::Goes,
            }
        }
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        for (errno, kind) in [
            (libc::ENOSPC, FailureKind::Full),
            (libc::EDQUOT, FailureKind::Full),
            (libc::EIO, FailureKind::Disk),
            (libc::EACCES, FailureKind::Disk),
        ] {
            let failure = failure("write", "x.eml", &io::Error::from_raw_os_error(errno));
            assert_eq!(failure.kind, kind);
            assert!(failure.text.starts_with("write x.eml: "), "{}", failure.text);
        }
    }
}
