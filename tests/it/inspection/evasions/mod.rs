//! Malformed messages, each of which some mail program shows or opens: none passes in silence.
//!
//! The table is ours, after the published classes (Content-Type, boundary, transfer encoding, file name,
//! nesting, header section, charset, encoded words, archives). A row passes if what it hides is found, or
//! if a serious defect or a limit is named, which a rule can refuse. What lies in the open is not looked
//! for: the `raw` place has no pattern here, so that what is found was decoded.

mod boundary;
mod container;
mod encoding;
mod name;
mod structure;
mod text;

use std::collections::BTreeMap;

use postern::policy::facts::Facts;

use super::specimen::{base64, base64_lines, crlf, html, quoted_printable, uuencoded};
use super::{FOUND, NAMED, SIGNATURE, engine, facts, has, patterns, refusable};

/// A row: what it is, and the message, with words in braces for what is hidden.
type Row = (&'static str, &'static str);

/// What a row hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Content,
    /// The name of a program.
    Name,
}

#[derive(Debug)]
struct Evasion {
    class: &'static str,
    name: String,
    goal: Goal,
    message: Vec<u8>,
}

/// A part with the signature in it; `{A}` in a row.
fn attachment() -> String {
    format!("Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n{}\n", hidden())
}

/// The signature as base64: a text with it, so that it does not begin a line by itself.
fn hidden() -> String {
    base64_lines(format!("this is {SIGNATURE} indeed").as_bytes(), 76).trim_end().to_owned()
}

/// The message of a row.
fn written(row: &str) -> Vec<u8> {
    let attachment = attachment();
    let multipart = format!("Content-Type: multipart/mixed; boundary=b\n\n--b\n{attachment}--b--\n");
    let words = [
        ("{T}", "Content-Type: text/plain\n\nhi\n".to_owned()),
        ("{A}", attachment.clone()),
        ("{B}", hidden()),
        ("{L}", base64(format!("this is {SIGNATURE} indeed").as_bytes())),
        ("{Q}", quoted_printable(SIGNATURE.as_bytes())),
        ("{S}", SIGNATURE.to_owned()),
        ("{H}", html(SIGNATURE)),
        ("{HB}", base64_lines(html(SIGNATURE).as_bytes(), 76)),
        ("{E}", SIGNATURE.bytes().map(|octet| format!("%{octet:02x}")).collect()),
        ("{HL}", base64(html(SIGNATURE).as_bytes())),
        ("{X}", "x".repeat(5000)),
        ("{U}", uuencoded(format!("this is {SIGNATURE}").as_bytes(), "a.txt")),
        ("{AB}", base64_lines(&crlf(&attachment), 76)),
        ("{AQ}", quoted_printable(&crlf(&attachment))),
        ("{MB}", base64_lines(&crlf(&multipart), 76)),
    ];
    let text = words.iter().fold(row.to_owned(), |text, (word, with)| text.replace(word, with));
    crlf(&text)
}

fn evasions() -> Vec<Evasion> {
    let tables: [(&str, Goal, &[Row]); 10] = [
        ("Content-Type", Goal::Content, structure::CONTENT_TYPE),
        ("header section", Goal::Content, structure::HEADER_SECTION),
        ("nesting", Goal::Content, structure::NESTING),
        ("boundary", Goal::Content, boundary::PARAMETER),
        ("delimiter", Goal::Content, boundary::DELIMITER),
        ("transfer encoding", Goal::Content, encoding::NAMES),
        ("base64", Goal::Content, encoding::BASE64),
        ("quoted-printable", Goal::Content, encoding::QUOTED_PRINTABLE),
        ("file name", Goal::Name, name::ROWS),
        ("HTML", Goal::Content, text::HTML),
    ];
    let rows = tables.into_iter().flat_map(|(class, goal, rows)| {
        rows.iter().map(move |(name, row)| {
            let message = written(row);
            Evasion { class, name: (*name).to_owned(), goal, message }
        })
    });
    let built = [
        ("charset", text::charsets()),
        ("encoded word", text::encoded_words()),
        ("archive", container::archives()),
        ("container", container::others()),
    ];
    let built = built.into_iter().flat_map(|(class, rows)| {
        rows.into_iter().map(move |(name, message)| Evasion {
            class,
            name: name.to_owned(),
            goal: Goal::Content,
            message,
        })
    });
    rows.chain(built).collect()
}

/// Every message of the table, by name.
pub(super) fn messages() -> impl Iterator<Item = (String, Vec<u8>)> {
    evasions().into_iter().map(|row| (format!("{}, {}", row.class, row.name), row.message))
}

/// How a row came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Found,
    /// A serious defect or a limit.
    Named,
    /// Only a defect that ordinary mail has too: a rule must ask for it.
    NamedMinor,
    Silent,
}

fn outcome(facts: &Facts, goal: Goal) -> Outcome {
    let is_program = |name: &str| name == "exe";
    let found = match goal {
        Goal::Content => has(facts, FOUND),
        Goal::Name => has(facts, NAMED) || facts.attachments.iter().any(|file| is_program(&file.extension)),
    };
    match (found, refusable(facts).is_empty(), facts.message.defects.is_empty()) {
        (true, ..) => Outcome::Found,
        (false, false, _) => Outcome::Named,
        (false, true, false) => Outcome::NamedMinor,
        (false, true, true) => Outcome::Silent,
    }
}

#[test]
fn no_evasion_passes_in_silence() {
    let engine = engine(&patterns("\"text\", \"attachment\", \"header\""));
    let mut tallies: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut silent = Vec::new();
    for Evasion { class, name, goal, message } in evasions() {
        let facts = facts(&engine, message.chunks(1448));
        let outcome = outcome(&facts, goal);
        let named: Vec<String> =
            refusable(&facts).into_iter().chain(facts.message.defects.iter().map(str::to_owned)).collect();
        match outcome {
            Outcome::Found => {}
            Outcome::Named => println!("{class}, {name}: {}", named.join(", ")),
            // A rule that refuses for what ordinary mail has too would refuse that.
            Outcome::NamedMinor | Outcome::Silent => {
                silent.push(format!("{class}: {name}: {}", named.join(", ")));
            }
        }
        tallies.entry(class).or_default()[outcome as usize] += 1;
    }
    let mut sum = [0; 4];
    for (class, counts) in &tallies {
        println!("{class}: {counts:?}");
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let [found, named, minor, none] = sum;
    println!("all: {found} found, {named} named, {minor} named as minor, {none} silent");
    assert!(sum.iter().sum::<usize>() >= 200);
    assert!(silent.is_empty(), "passed in silence:\n{}", silent.join("\n"));
}
