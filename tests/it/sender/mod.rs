//! Who is really sending, against what others wrote to test it: files of a folder that `POSTERN_CORPUS`
//! names. Rows of our own are beside each module.

// A test says what it skipped.
#![allow(clippy::print_stdout)]

mod arc;
mod composition;
mod dkim;
mod spf;
mod yaml;

use std::fs;
use std::path::{Path, PathBuf};

/// Files called `name` below the folder; None if there is no folder, and the test says that it skips.
fn corpus(name: &str) -> Option<Vec<PathBuf>> {
    let Some(folder) = std::env::var_os("POSTERN_CORPUS") else {
        println!("skipped: POSTERN_CORPUS names no folder");
        return None;
    };
    let mut found = Vec::new();
    search(Path::new(&folder), name, &mut found);
    if found.is_empty() {
        println!("skipped: no {name} in {}", folder.display());
        return None;
    }
    Some(found)
}

fn search(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            search(&path, name, found);
        } else if path.file_name().is_some_and(|file| file == name) {
            found.push(path);
        }
    }
}
