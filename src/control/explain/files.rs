//! Which files are meant by paths: files as they are, folders with all that is in them.

use std::io;
use std::path::{Path, PathBuf};

/// Folders within folders that are gone into.
pub const FOLDER_DEPTH_MAX: usize = 64;

/// All files, each folder's in the order of their names; or why one cannot be had.
pub fn meant(paths: &[PathBuf]) -> Vec<Result<PathBuf, String>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, 0, &mut files);
        } else {
            files.push(Ok(path.clone()));
        }
    }
    files
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<Result<PathBuf, String>>) {
    if depth == FOLDER_DEPTH_MAX {
        files.push(Err(format!(
            "{}: more than {FOLDER_DEPTH_MAX} folders within each other",
            folder.display()
        )));
        return;
    }
    let entries = match sorted(folder) {
        Ok(entries) => entries,
        Err(error) => return files.push(Err(format!("{}: {error}", folder.display()))),
    };
    for path in entries {
        // A link to a folder may lead back to where we are.
        let link = path.is_symlink();
        if path.is_dir() {
            if !link {
                walk(&path, depth + 1, files);
            }
        } else {
            files.push(Ok(path));
        }
    }
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries =
        folder.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort_unstable();
    Ok(entries)
}
