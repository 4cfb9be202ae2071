//! `postern replay`: which messages a new configuration judges otherwise than an old one, and by what.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::explain::examine::{Examiner, Explanation, SymbolShown};
use super::explain::progress::Progress;
use super::explain::{Options, escaped, files};
use crate::policy::settings::Config;
use crate::service::notice::say;

/// A message whose verdict changes.
#[derive(Debug, PartialEq, Serialize)]
struct Change {
    file: String,
    before: Side,
    after: Side,
    /// Found, or counted, only by the new one; and only by the old one.
    gained: Vec<SymbolShown>,
    lost: Vec<SymbolShown>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Side {
    verdict: &'static str,
    rule: Option<String>,
    score: f64,
}

impl Side {
    fn of(explanation: &Explanation) -> Self {
        let Explanation { verdict, rule, score, .. } = explanation;
        Self { verdict, rule: rule.clone(), score: *score }
    }

    fn words(&self) -> String {
        let rule = self.rule.as_deref().map(|rule| format!(" [{rule}]")).unwrap_or_default();
        format!("{} {:.1}{rule}", self.verdict, self.score)
    }
}

impl Change {
    fn between(old: &Explanation, new: &Explanation) -> Option<Self> {
        let changed = old.verdict != new.verdict;
        changed.then(|| Self {
            file: new.file.clone(),
            before: Side::of(old),
            after: Side::of(new),
            gained: only(&new.symbols, &old.symbols),
            lost: only(&old.symbols, &new.symbols),
        })
    }

    fn words(&self) -> String {
        let mut words = format!("{} -> {}  {}", self.before.words(), self.after.words(), self.file);
        for (sign, symbols) in [('+', &self.gained), ('-', &self.lost)] {
            for SymbolShown { name, score, .. } in symbols {
                words += &format!(" {sign}{name}({score:.1})");
            }
        }
        escaped(&words)
    }
}

/// Symbols of `these` that `those` have not, or with another score.
#[expect(clippy::float_cmp, reason = "the same number of the same file, or another one")]
fn only(these: &[SymbolShown], those: &[SymbolShown]) -> Vec<SymbolShown> {
    let known = |one: &&SymbolShown| those.iter().any(|it| it.name == one.name && it.score == one.score);
    these.iter().filter(|one| !known(one)).cloned().collect()
}

/// Judges everything twice. 1 if any verdict changes, or something could not be read.
pub fn main(new: &Config, old: &Config, options: &Options) -> ExitCode {
    match replay(new, old, options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            say(format_args!("standard output: {error}"));
            ExitCode::from(1)
        }
    }
}

/// Whether nothing changes.
fn replay(new: &Config, old: &Config, options: &Options) -> io::Result<bool> {
    let files = files::meant(&options.paths);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut progress = Progress::new(files.len());
    let mut examiners = (Examiner::new(new, &options.envelope), Examiner::new(old, &options.envelope));
    let (mut changes, mut messages, mut unread) = (BTreeMap::new(), 0_u64, 0_u64);
    for file in files {
        let both = file.and_then(|path| Ok((examiners.0.examine(&path)?, examiners.1.examine(&path)?)));
        match both {
            Ok((new, old)) => {
                messages += 1;
                if let Some(change) = Change::between(&old, &new) {
                    *changes.entry((change.before.verdict, change.after.verdict)).or_insert(0_u64) += 1;
                    show(&change, options.json, &mut out)?;
                }
            }
            Err(error) => {
                unread += 1;
                progress.clear();
                say(format_args!("{}", escaped(&error)));
            }
        }
        progress.step();
    }
    progress.clear();
    if !options.json {
        write!(out, "{}", summary(&changes, messages))?;
    }
    out.flush()?;
    Ok(changes.is_empty() && unread == 0)
}

fn show(change: &Change, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json { writeln!(out, "{}", serde_json::json!(change)) } else { writeln!(out, "{}", change.words()) }
}

fn summary(changes: &BTreeMap<(&str, &str), u64>, messages: u64) -> String {
    let sum: u64 = changes.values().sum();
    let mut words = format!("{sum} of {messages} messages change their verdict\n");
    for ((before, after), count) in changes {
        words += &format!("  {before} -> {after}: {count}\n");
    }
    words
}
