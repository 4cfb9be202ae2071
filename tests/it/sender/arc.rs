//! ARC against the suite of its authors: YAML files with messages, the keys, and what a validator says.

use postern::sender::arc::Reading;
use postern::sender::dkim::{BodyHash, Outcome};
use postern::sender::dns::{Answer, Kind, Known, Name, Query, Record};
use postern::sender::header_section::HeaderSection;

use super::corpus;

/// One message of the suite.
#[derive(Default)]
struct Case {
    name: String,
    message: String,
    /// Pass, Fail or None; blank where an older draft had the validator say nothing more about a chain
    /// that was sealed as failed. RFC 8617 §5.2 has it say that it failed.
    validation: String,
}

/// The cases of one document, and its keys as far as they are there.
#[derive(Default)]
struct Group {
    cases: Vec<Case>,
    keys: Vec<(String, String)>,
}

/// What lines that are deeper than their key belong to.
#[derive(Clone, Copy)]
enum Block {
    None,
    Message,
    Key,
}

/// Reads as much of YAML as the suite uses: literal blocks keep their lines, folded ones are joined.
fn group(document: &str) -> Group {
    let mut group = Group::default();
    let (mut block, mut in_keys) = (Block::None, false);
    for line in document.lines() {
        let depth = line.len() - line.trim_start().len();
        match (block, group.cases.last_mut(), group.keys.last_mut()) {
            (Block::Message, Some(case), _) if depth >= 6 || line.trim().is_empty() => {
                case.message.push_str(line.get(6..).unwrap_or_default());
                case.message.push_str("\r\n");
            }
            (Block::Key, _, Some(key)) if depth >= 4 => key.1.push_str(line.trim()),
            _ => block = group.entry(depth, line, &mut in_keys),
        }
    }
    group
}

impl Group {
    /// A key and what stands on its line.
    fn entry(&mut self, depth: usize, line: &str, in_keys: &mut bool) -> Block {
        let Some((key, value)) = line.trim().split_once(':') else { return Block::None };
        match (depth, key) {
            (0, _) => *in_keys = key == "txt-records",
            (2, _) if *in_keys => {
                let value = value.trim().trim_start_matches(">-").trim_matches('"');
                self.keys.push((key.to_owned(), value.to_owned()));
                return Block::Key;
            }
            (2, _) => self.cases.push(Case { name: key.to_owned(), ..Case::default() }),
            (4, "message") => return Block::Message,
            (4, "cv") => {
                let case = self.cases.last_mut().unwrap();
                case.validation = value.trim().trim_start_matches('|').to_owned();
            }
            _ => {}
        }
        Block::None
    }

    fn known(&self) -> Known {
        let mut known = Known::default();
        for (name, text) in &self.keys {
            let query = Query::new(Name::parse(name).unwrap(), Kind::Txt);
            let records = vec![Record::Txt(text.clone().into_bytes())];
            known.learn(query, Answer::Records { records, is_secure: false });
        }
        known
    }
}

fn outcome(message: &[u8], chunk: usize, known: &mut Known) -> Outcome {
    let mut section = HeaderSection::default();
    let taken: usize = message.chunks(chunk).map(|piece| section.push(piece)).sum();
    let reading = Reading::read(&mut section.fields().unwrap());
    let mut body = BodyHash::new(&reading.forms());
    message[taken..].chunks(chunk).for_each(|piece| body.push(piece));
    let Reading::Chain(chain) = &reading else { return reading.without_chain().unwrap().outcome };
    let check = loop {
        match chain.check(known) {
            Ok(check) => break check,
            Err(missing) => missing.0.into_iter().for_each(|query| known.learn(query, Answer::NotFound)),
        }
    };
    chain.evaluate(&check, &body.finish(), 0).outcome
}

/// With one CRLF at its end, as a literal block has.
fn content(message: &str) -> String {
    let text = message.trim_end_matches("\r\n");
    if text.is_empty() { String::new() } else { format!("{text}\r\n") }
}

#[test]
fn every_case_of_the_suite_ends_as_it_says() {
    let Some(files) = corpus("arc-draft-validation-tests.yml") else { return };
    let text = std::fs::read_to_string(&files[0]).unwrap();
    let (mut count, mut wrong) = (0, Vec::new());
    for group in text.split("\n---").map(group) {
        for case in &group.cases {
            let want =
                if case.validation.is_empty() { "fail".to_owned() } else { case.validation.to_lowercase() };
            for chunk in [1, 7, 1448, 65_536] {
                let found = outcome(content(&case.message).as_bytes(), chunk, &mut group.known());
                if found.name() != want {
                    wrong.push(format!("{} in chunks of {chunk}: {} for {want}", case.name, found.name()));
                }
            }
            count += 1;
        }
    }
    println!("{count} cases, four ways each");
    assert!(count > 150 && wrong.is_empty(), "{count} cases\n{}", wrong.join("\n"));
}
