//! The configuration file: read, checked, and made into a snapshot.
//!
//! TOML 1.0; what may stand in it is told in `appliance/postern.toml`. Every fault is reported at
//! once as `file:line:column: message`. A part of the language that this version has not built is
//! a fault too: nothing is silently ignored.
//!
//! Invariant: a [`Config`] comes out only if there was no fault. While reading, a wrong value is
//! replaced by its default so that what follows it is checked as well.

mod inspect;
mod policy;
mod reader;
mod section;
mod unit;

use std::fmt;
use std::path::Path;

use toml::de::DeTable;

use crate::policy::settings::Config;
use reader::{Faults, Section};

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
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        Rejected(vec![format!("{name}: not UTF-8 at byte {}", error.utf8_error().valid_up_to())])
    })?;
    let beside = |file: &str| {
        let path = path.with_file_name("").join(file);
        std::fs::read(path).map_err(|error| error.to_string())
    };
    let mut config = read_with(&name, &text, &beside)?;
    section::beside(path, &mut config);
    Ok(config)
}

/// Reads a file that the configuration names.
pub type Files<'a> = dyn Fn(&str) -> Result<Vec<u8>, String> + 'a;

/// Checks `text`, which messages call `file`, and which can name no other files.
///
/// # Errors
/// All faults.
pub fn read(file: &str, text: &str) -> Result<Config, Rejected> {
    read_with(file, text, &|_| Err("there is no folder to look for it".to_owned()))
}

/// Checks `text`, which messages call `file`; `files` gives it what it names.
///
/// # Errors
/// All faults.
pub fn read_with(file: &str, text: &str, files: &Files<'_>) -> Result<Config, Rejected> {
    let faults = Faults::default();
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        faults.add(error.span().map_or(0, |span| span.start), error.message());
    }
    // What the parser made of a broken file is not worth judging.
    let config =
        errors.is_empty().then(|| section::config(Section::root(document.get_ref(), &faults), text, files));
    let lines = faults.into_lines(file, text);
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
