//! The configuration file: read, checked, and made into a snapshot.
//!
//! TOML 1.0; what may stand in it is told in `appliance/postern.toml`. Every fault is reported at
//! once as `file:line:column: message`. A part of the language that this version has not built is
//! a fault too: nothing is silently ignored.
//!
//! Invariant: a [`Config`] comes out only if there was no fault. While reading, a wrong value is
//! replaced by its default so that what follows it is checked as well.

mod auth;
mod conduct;
mod contact;
mod inspect;
mod lane;
mod limit;
mod login;
mod mx;
mod policy;
mod renewal;
mod section;
mod sender;
mod shared_store;
mod tls;
mod unit;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::patterns::{self, Source};
use crate::base::document::{Fault, Faults, Section};
use crate::policy::settings::Config;
use crate::scan::Rules;

pub(super) use inspect::MEANT_FROM;
pub use renewal::certificates;

/// Where the configuration is when nobody says otherwise.
pub const PATH: &str = "/etc/postern/postern.toml";

/// Everything that is wrong with a file, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Rejected(pub Vec<String>);

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// All faults of the file, or the one line that says why it cannot be read.
pub fn load(path: &Path) -> Result<Config, Rejected> {
    load_beside(path, false)
}

/// The same, for whoever wants to know all facts of a message and not only those that decide.
///
/// # Errors
/// As for [`load`].
pub fn load_telling_all(path: &Path) -> Result<Config, Rejected> {
    load_beside(path, true)
}

fn load_beside(path: &Path, tells_all: bool) -> Result<Config, Rejected> {
    let (name, text) = text_of(path)?;
    let mut config = read_with(&name, &text, &Beside { folder: path.with_file_name(""), tells_all })?;
    section::beside(path, &mut config);
    Ok(config)
}

/// The file's name, as messages call it, and what it holds.
fn text_of(path: &Path) -> Result<(String, String), Rejected> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        Rejected(vec![format!("{name}: not UTF-8 at byte {}", error.utf8_error().valid_up_to())])
    })?;
    Ok((name, text))
}

/// What a configuration names outside of itself. Paths are as they stand in it.
pub trait Outside {
    /// What messages call the file at `path`.
    fn shown(&self, path: &str) -> String;

    /// The file at `path`, if it is one and has no more than `bytes_max` bytes.
    ///
    /// # Errors
    /// Why not.
    fn read(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, String>;

    /// Names of what is in a folder; of where the configuration is, for the empty path.
    ///
    /// # Errors
    /// Why it cannot be looked into.
    fn names(&self, folder: &str) -> Result<Vec<String>, String>;

    /// Compiles patterns; `cache` is the folder in which that is kept.
    ///
    /// # Errors
    /// All faults of the patterns, one line each.
    fn compile(&self, sources: &[Source], cache: Option<&Path>) -> Result<Rules, Vec<String>>;

    /// Whether facts are wanted that no rule asks for.
    fn tells_all(&self) -> bool {
        false
    }
}

/// For a text that can name no other files.
struct Nowhere;

impl Outside for Nowhere {
    fn shown(&self, path: &str) -> String {
        path.to_owned()
    }

    fn read(&self, _: &str, _: usize) -> Result<Vec<u8>, String> {
        Err("there is no folder to look for it".to_owned())
    }

    fn names(&self, _: &str) -> Result<Vec<String>, String> {
        Err("there is no folder to look for it".to_owned())
    }

    fn compile(&self, sources: &[Source], _: Option<&Path>) -> Result<Rules, Vec<String>> {
        patterns::compile_here(sources).map_err(patterns::lines)
    }
}

/// Files beside the configuration's own.
struct Beside {
    folder: PathBuf,
    tells_all: bool,
}

impl Outside for Beside {
    fn shown(&self, path: &str) -> String {
        self.folder.join(path).display().to_string()
    }

    fn read(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let read = || {
            let path = self.folder.join(path);
            // What is no file may have no end, or never begin.
            if !path.metadata()?.is_file() {
                return Err(std::io::Error::other("it is no file"));
            }
            let mut bytes = Vec::new();
            File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error: std::io::Error| error.to_string())?;
        if bytes.len() > bytes_max { Err(format!("it has more than {bytes_max} bytes")) } else { Ok(bytes) }
    }

    fn tells_all(&self) -> bool {
        self.tells_all
    }

    fn names(&self, folder: &str) -> Result<Vec<String>, String> {
        let read = || {
            let entries = self.folder.join(folder).join("").read_dir()?;
            let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            names.collect::<std::io::Result<Vec<_>>>()
        };
        read().map_err(|error| error.to_string())
    }

    fn compile(&self, sources: &[Source], cache: Option<&Path>) -> Result<Rules, Vec<String>> {
        let cache = cache.map(|cache| self.folder.join(cache));
        patterns::compile(sources, cache.as_deref())
    }
}

/// Checks `text`, which messages call `file`, and which can name no other files.
///
/// # Errors
/// All faults.
pub fn read(file: &str, text: &str) -> Result<Config, Rejected> {
    read_with(file, text, &Nowhere)
}

/// Checks `text`, which messages call `file`; `outside` gives it what it names.
///
/// # Errors
/// All faults, those of the file itself first.
pub fn read_with(file: &str, text: &str, outside: &dyn Outside) -> Result<Config, Rejected> {
    let faults = Faults::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        faults.add(error.span().map_or(0, |span| span.start), error.message());
    }
    // What the parser made of a broken file is not worth judging.
    let mut of_patterns = Vec::new();
    let config = errors.is_empty().then(|| {
        section::config(Section::root(document.get_ref(), &faults), text, outside, &mut of_patterns)
    });
    let line = |fault: Fault| format!("{file}:{}: {}", fault.position, fault.message);
    let mut lines: Vec<_> = faults.into_list().into_iter().map(line).collect();
    lines.append(&mut of_patterns);
    config.filter(|_| lines.is_empty()).ok_or(Rejected(lines))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Rejected {
    let hint = if error.kind() == std::io::ErrorKind::NotFound {
        format!(" (name one with --config FILE, or try `postern run --demo`; the default is {PATH})")
    } else {
        String::new()
    };
    Rejected(vec![format!("{}: {error}{hint}", path.display())])
}

#[cfg(test)]
mod tests;
