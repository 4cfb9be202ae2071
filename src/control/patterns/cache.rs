//! Compiled patterns on disk, from one start to the next.
//!
//! A file is named by a digest of everything that it was made from, and begins with a digest of the
//! rest. It comes to its name whole or not at all; one that is damaged, or of another release, is made
//! anew. Whoever may write into the folder decides what is found in mail: it is the program's alone.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Source;
use crate::scan::library_version;

/// Files that stay: of the configurations that were used last.
pub const CACHE_FILES_MAX: usize = 8;
/// No file is larger than what the child may say.
const FILE_BYTES_MAX: u64 = 1 << 30;
const SUFFIX: &str = "patterns";
const DIGEST_BYTES: usize = 32;

/// The file for `sources`.
pub(super) fn place(folder: &Path, sources: &[Source]) -> PathBuf {
    let mut digest = Sha256::new();
    let version = library_version();
    let fixed = [env!("CARGO_PKG_VERSION"), &version];
    let texts = sources.iter().flat_map(|source| [source.name.as_str(), &source.text]);
    for text in fixed.into_iter().chain(texts) {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    }
    let name: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(name).with_extension(SUFFIX)
}

/// What was kept there, if it is whole.
pub(super) fn read(place: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(place).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let kept = bytes.split_off(DIGEST_BYTES.min(bytes.len()));
    (Sha256::digest(&kept).as_slice() == bytes).then_some(kept)
}

/// Keeps it, and fewer of the others.
pub(super) fn write(place: &Path, kept: &[u8]) -> io::Result<()> {
    let folder = place.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let unfinished = place.with_extension(format!("{}.unfinished", std::process::id()));
    let mut file = File::create(&unfinished)?;
    file.write_all(&Sha256::digest(kept))?;
    file.write_all(kept)?;
    file.sync_all()?;
    fs::rename(&unfinished, place)?;
    clear(folder)
}

fn clear(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == SUFFIX) {
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    files.sort_unstable();
    let surplus = files.len().saturating_sub(CACHE_FILES_MAX);
    files.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("postern-cache-{}", std::process::id()));
        let source = |text: &str| vec![Source { name: "a".to_owned(), text: text.to_owned() }];
        let first = place(&folder, &source("x"));
        assert_ne!(first, place(&folder, &source("y")));
        assert_eq!(read(&first), None);
        write(&first, b"kept").unwrap();
        assert_eq!(read(&first).as_deref(), Some(&b"kept"[..]));
        let whole = fs::read(&first).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&first, &damaged).unwrap();
            assert_eq!(read(&first), None, "damaged at {at}");
            fs::write(&first, &whole[..at]).unwrap();
            assert_eq!(read(&first), None, "cut at {at}");
        }
        for n in 0..20 {
            write(&place(&folder, &source(&n.to_string())), b"").unwrap();
        }
        assert_eq!(folder.read_dir().unwrap().count(), CACHE_FILES_MAX);
        fs::remove_dir_all(&folder).unwrap();
    }
}
