//! `postern explain`: messages from files, judged as the proxy would judge them, and why.
//!
//! * `content`: from a file to content as it comes over the wire;
//! * `examine`: one message through decoder, inspection and judge, in the order of the proxy;
//! * `files`: which files are meant;
//! * `text`: what people see of it.
//!
//! Nothing is sent and nothing is kept. Invariant: no control character of a message reaches the
//! terminal, and no secret that its evidence would not show.

mod content;
pub mod examine;
pub mod files;
pub mod progress;
mod text;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::policy::settings::Config;
use crate::service::notice::say;
use examine::{Examiner, Explanation};
use progress::Progress;

pub use examine::Envelope;
pub use text::escaped;

/// What was asked.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Who sends to whom; what is not said is a fact that is not known.
    pub envelope: Envelope,
    pub json: bool,
    /// Files, and folders of them.
    pub paths: Vec<PathBuf>,
}

/// Judges all of it. 1 if something could not be read.
pub fn main(config: &Config, options: &Options) -> ExitCode {
    match explain(config, options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            say(format_args!("standard output: {error}"));
            ExitCode::from(1)
        }
    }
}

/// Whether everything could be read.
fn explain(config: &Config, options: &Options) -> io::Result<bool> {
    let files = files::meant(&options.paths);
    let alone = files.len() == 1;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut progress = Progress::new(files.len());
    let mut examiner = Examiner::new(config, &options.envelope);
    let mut sum = Summary::default();
    if config.engine.is_none() {
        say(format_args!("there is no [inspect]: only size and envelope decide"));
    }
    if config.sender.is_some() {
        say(format_args!("the DNS is not asked: what it says of senders and links is not known here"));
    }
    for file in files {
        match file.and_then(|path| examiner.examine(&path)) {
            Ok(explanation) => {
                sum.add(&explanation);
                show(&explanation, options.json, alone, &mut out)?;
            }
            Err(error) => {
                sum.unread += 1;
                progress.clear();
                say(format_args!("{}", escaped(&error)));
            }
        }
        progress.step();
    }
    progress.clear();
    if !alone && !options.json {
        write!(out, "{}", text::summary(&sum))?;
    }
    out.flush()?;
    Ok(sum.unread == 0)
}

fn show(explanation: &Explanation, json: bool, alone: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        writeln!(out, "{}", serde_json::json!(explanation))
    } else if alone {
        write!(out, "{}", text::whole(explanation))
    } else {
        writeln!(out, "{}", text::line(explanation))
    }
}

/// What came out over all messages.
#[derive(Debug, Default)]
struct Summary {
    verdicts: BTreeMap<&'static str, u64>,
    /// In how many messages each symbol was found.
    symbols: BTreeMap<String, u64>,
    messages: u64,
    unread: u64,
    octets: u64,
    ns: u64,
}

impl Summary {
    fn add(&mut self, explanation: &Explanation) {
        self.messages += 1;
        *self.verdicts.entry(explanation.verdict).or_default() += 1;
        for symbol in &explanation.symbols {
            *self.symbols.entry(symbol.name.clone()).or_default() += 1;
        }
        self.octets += explanation.cost.octets;
        self.ns += explanation.cost.total_ns();
    }
}

/// Whether nobody but a person looks at both outputs.
fn is_watched() -> bool {
    io::stderr().is_terminal() && !io::stdout().is_terminal()
}
