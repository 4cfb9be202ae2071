//! Three-sided transcripts, in the notation of RFC 5321 Appendix D: `C:` from the client, `S:` to
//! it, `U>` to the next hop, `U:` from it.
//!
//! The dialogues are in tests/data/transcripts. Other lines in them:
//!
//! * `=` a setting of the dialogue; `C~` and `U~` bytes without a line end;
//! * `C! fin`, `C! reset`, `U! fin`, `U! reset` how a side ends; `C! stalls`, `U! stalls` it takes
//!   no more of our bytes, until `reads`;
//! * `T: +30s` time passes; `drain`; `U! grant`, `U! grant pooled`, `U! refuse` what a busy pool
//!   answers;
//! * `= auth` AUTH as the listener has it; `Q: right`, `wrong`, `keys`, `busy`, `too many` what the service says;
//! * `= hop` lets `R:` show the next hop that the record names;
//! * expected: `U! checkout`, `checkin`, `abort` with the reason, `spoilt` (in the pool);
//!   `C! close`, `linger`, `abort`, `pause`, `resume`; `R:` the record's disposition and reply.
//!
//! What follows from one step is written up first, then down, then the record; `…` stands for
//! anything. Each dialogue is played as written, with each line cut at every octet, byte by byte,
//! and with all that one side says in a row in one segment: nobody may hear a difference.
//! `UPDATE_TRANSCRIPTS=1` rewrites what is expected.

mod script;
mod settings;
mod text;
mod world;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{env, fs};

use postern::relay::action::{Action, DiscardReason};
use postern::relay::event::Side;

use script::{Dialogue, Input, Step};
use world::{Cut, Outcome, break_at_the_end, play};

/// A dialogue with much content is cut at no more than so many places.
const CUTS_MAX: usize = 2000;
const CUTS_OF_MUCH_MAX: usize = 50;
/// What much is.
const MUCH_BYTES: usize = 10_000;

#[test]
fn dialogues_go_as_written() {
    let update = env::var_os("UPDATE_TRANSCRIPTS").is_some();
    let mut failures = String::new();
    for file in files() {
        let content = fs::read_to_string(&file).expect("a transcript is read");
        let dialogues = script::parse(&content);
        let played: Vec<Vec<Vec<String>>> = dialogues
            .iter()
            .map(|dialogue| guarded(&file, dialogue, || play(dialogue, Cut::AsWritten).0))
            .collect();
        if update {
            fs::write(&file, rewritten(&content, &dialogues, &played)).expect("a transcript is written");
            continue;
        }
        for (dialogue, steps) in dialogues.iter().zip(&played) {
            failures.push_str(&differences(&file, dialogue, steps));
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn nobody_hears_where_a_line_was_cut() {
    replay(|dialogue| {
        let inputs = dialogue.steps.iter().flat_map(|step| &step.inputs).enumerate();
        let cuts =
            inputs.flat_map(|(index, (_, _, input))| (1..bytes(input)).map(move |at| Cut::At(index, at)));
        let cuts: Vec<Cut> = cuts.collect();
        let cuts_max = if cuts.len() > MUCH_BYTES { CUTS_OF_MUCH_MAX } else { CUTS_MAX };
        let every = cuts.len().div_ceil(cuts_max).max(1);
        cuts.into_iter().step_by(every).collect()
    });
}

#[test]
fn nobody_hears_that_bytes_came_one_by_one() {
    replay(|_| vec![Cut::EveryByte]);
}

#[test]
fn nobody_hears_that_lines_came_together() {
    replay(|_| vec![Cut::Joined(Side::Downstream), Cut::Joined(Side::Upstream)]);
}

/// A bug in the very end of a transaction must cost that connection and nothing else.
#[test]
fn a_panic_at_the_end_of_a_transaction_gives_everything_back() {
    let dialogues = script::parse("# content is under way\n= envelope\nC: BDAT 2\nC~ ab\n");
    let (actions, missing) = break_at_the_end(&dialogues[0]);
    assert!(actions.iter().any(|it| matches!(it, Action::Discard(DiscardReason::Fault, _))), "{actions:?}");
    assert_eq!(missing, 0, "window is lost");
}

#[track_caller]
fn replay(variants: impl Fn(&Dialogue) -> Vec<Cut>) {
    let mut failures = String::new();
    for file in files() {
        let content = fs::read_to_string(&file).expect("a transcript is read");
        let dialogues = script::parse(&content);
        for dialogue in dialogues.iter().filter(|dialogue| !dialogue.is_bound_to_its_segments()) {
            let want = guarded(&file, dialogue, || play(dialogue, Cut::AsWritten).1);
            for cut in variants(dialogue) {
                let got = guarded(&file, dialogue, || play(dialogue, cut).1);
                if !got.is_like(&want) {
                    let at = place(&file, dialogue.line);
                    let _ = writeln!(failures, "{at}: {}, {cut:?}\n{}", dialogue.title, both(&want, &got));
                    break;
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

fn both(want: &Outcome, got: &Outcome) -> String {
    format!("as written:\n{want}torn:\n{got}")
}

const fn bytes(input: &Input) -> usize {
    match input {
        Input::Client(bytes) | Input::NextHop(bytes) => bytes.len(),
        _ => 0,
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts");
    let entries = fs::read_dir(folder).expect("there are transcripts");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Says which dialogue it was, should the relay panic.
fn guarded<T>(file: &Path, dialogue: &Dialogue, run: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| panic!("{}: panic in: {}", place(file, dialogue.line), dialogue.title))
}

fn place(file: &Path, line: usize) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    format!("tests/data/transcripts/{name}:{line}")
}

/// The first step of the dialogue that does not go as expected.
fn differences(file: &Path, dialogue: &Dialogue, steps: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (step, got) in dialogue.steps.iter().zip(steps) {
        if is_expected(step, got) {
            continue;
        }
        let line = step.expected.first().map_or(dialogue.line, |(line, _)| *line);
        let _ = writeln!(text, "{}: {}", place(file, line), dialogue.title);
        step.inputs.iter().for_each(|(_, line, _)| _ = writeln!(text, "           {line}"));
        step.expected.iter().for_each(|(_, line)| _ = writeln!(text, "  expected {line}"));
        got.iter().for_each(|line| _ = writeln!(text, "  got      {line}"));
        break;
    }
    text
}

fn is_expected(step: &Step, got: &[String]) -> bool {
    step.expected.len() == got.len()
        && step.expected.iter().zip(got).all(|((_, pattern), line)| text::matches(pattern, line))
}

/// The file with what followed in the place of what was expected.
fn rewritten(content: &str, dialogues: &[Dialogue], played: &[Vec<Vec<String>>]) -> String {
    let mut lines: Vec<Option<String>> = content.lines().map(|line| Some(line.to_owned())).collect();
    let mut behind: Vec<Vec<String>> = vec![Vec::new(); lines.len() + 1];
    for (dialogue, steps) in dialogues.iter().zip(played) {
        for (step, got) in dialogue.steps.iter().zip(steps) {
            let last = step.inputs.last().map_or(dialogue.head, |(line, ..)| *line);
            if is_expected(step, got) {
                continue;
            }
            for (number, _) in &step.expected {
                lines[number - 1] = None;
            }
            behind[last].clone_from(got);
        }
    }
    let mut text = String::new();
    for (line, behind) in lines.into_iter().zip(&behind[1..]) {
        line.into_iter().chain(behind.iter().cloned()).for_each(|line| _ = writeln!(text, "{line}"));
    }
    text
}
