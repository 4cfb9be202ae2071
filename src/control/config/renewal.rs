//! Certificates and keys of listeners, read again while the program runs.
//!
//! Only they: a certificate is renewed every few weeks by a program that nobody looks after, anything
//! else by a person who can restart. What must always hold: the text of the configuration is the one
//! that runs, or nothing is taken; all of it is taken or nothing.

use std::path::Path;

use toml::de::DeTable;

use super::{Beside, Rejected, text_of, tls};
use crate::base::document::{Fault, Faults, Section};
use crate::policy::settings::Config;
use crate::tls::server_policy::ServerPolicy;

/// What sessions of each listener are made from, in the order of the configuration at `path`, of which
/// `running` was made.
///
/// # Errors
/// What cannot be used, with file, line and reason; that the configuration is another one by now.
pub fn certificates(path: &Path, running: &Config) -> Result<Vec<Option<ServerPolicy>>, Rejected> {
    let (name, text) = text_of(path)?;
    if super::section::digest(text.as_bytes()) != running.hash {
        let told = format!(
            "{name}: it is not the configuration that runs; certificates and keys are read again, \
             for everything else a restart is needed"
        );
        return Err(Rejected(vec![told]));
    }
    let faults = Faults::new(&text);
    let (document, errors) = DeTable::parse_recoverable(&text);
    for error in &errors {
        faults.add(error.span().map_or(0, |span| span.start), error.message());
    }
    let outside = Beside { folder: path.with_file_name(""), tells_all: false };
    let mut root = Section::root(document.get_ref(), &faults);
    let listeners = root.sections("listener", "").into_iter();
    let policies = listeners
        .map(|mut section| tls::downstream(section.item("tls"), &outside).policy().cloned())
        .collect();
    let line = |fault: Fault| format!("{name}:{}: {}", fault.position, fault.message);
    let lines: Vec<_> = faults.into_list().into_iter().map(line).collect();
    if lines.is_empty() { Ok(policies) } else { Err(Rejected(lines)) }
}
