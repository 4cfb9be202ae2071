//! Facts do not depend on where content was cut: for specimens of these tests, and for every file of a
//! folder that `POSTERN_CORPUS` names.
//!
//! * `delivered`: what the next hop gets of that folder.

mod delivered;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use postern::policy::facts::Facts;
use postern::policy::inspect::Engine;

use super::specimen::{DEFLATE, STORED, attached, base64_lines, crlf, gzip, html, nested, tar, utf16le, zip};
use super::{SIGNATURE, engine, evasions, facts, patterns};

const CHUNKS: [usize; 4] = [1, 7, 1448, 65_536];
const EVERY_PLACE: &str = "\"raw\", \"text\", \"attachment\", \"header\", \"url\", \"filename\"";

/// What differs, if anything, between the ways to cut `message`.
fn difference(engine: &Arc<Engine>, message: &[u8]) -> Option<String> {
    let whole = facts(engine, [message]);
    let cut = |chunk: usize| (chunk, facts(engine, message.chunks(chunk)));
    let (chunk, other) = CHUNKS.into_iter().map(cut).find(|(_, facts)| *facts != whole)?;
    Some(format!("whole and in chunks of {chunk}:\n{}", differing_lines(&whole, &other)))
}

fn differing_lines(one: &Facts, other: &Facts) -> String {
    let (one, other) = (format!("{one:#?}"), format!("{other:#?}"));
    let lines: Vec<&str> = other.lines().collect();
    let missing = one.lines().filter(|line| !lines.contains(line)).map(|line| format!("- {line}\n"));
    let known: Vec<&str> = one.lines().collect();
    let added = lines.iter().filter(|line| !known.contains(line)).map(|line| format!("+ {line}\n"));
    missing.chain(added).take(12).collect()
}

fn specimens() -> Vec<(&'static str, Vec<u8>)> {
    let file = format!("this is {SIGNATURE}\r\nsee http://www.bank-login.example/x?y=z\r\n").repeat(40);
    let octets = file.as_bytes();
    vec![
        ("nothing", Vec::new()),
        ("a line without end", b"Subject: x".to_vec()),
        ("no header", crlf(&format!("\n{SIGNATURE}\n"))),
        ("text", crlf(&format!("Subject: =?utf-8?b?w6Q=?=\n\n{file}"))),
        ("html", crlf(&format!("Content-Type: text/html; charset=utf-8\n\n{}", html(&file)))),
        (
            "utf-16",
            crlf(&format!(
                "Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\n{}",
                base64_lines(&utf16le(&file), 76)
            )),
        ),
        ("zip", attached("a.zip", &zip("a.txt", octets, DEFLATE))),
        ("stored zip", attached("a.zip", &zip("a.exe", octets, STORED))),
        ("tar.gz", attached("a.tgz", &gzip(&tar("a.txt", octets)))),
        ("nested", nested(&attached("a.zip", &zip("a.txt", octets, DEFLATE)), 20)),
        (
            "eight bit",
            [&b"Subject: \xff\xfe\r\n\r\n\xc3\xa4\xff\xf0\x9f\x98\x80 x\xe2\x80\x8by\r\n"[..]].concat(),
        ),
    ]
}

#[test]
fn facts_are_the_same_at_every_cut() {
    let engine = engine(&patterns(EVERY_PLACE));
    let specimens = specimens().into_iter().map(|(name, message)| (name.to_owned(), message));
    let mut differing = Vec::new();
    for (name, message) in specimens.chain(evasions::messages()) {
        differing.extend(difference(&engine, &message).map(|what| format!("{name}: {what}")));
    }
    assert!(differing.is_empty(), "{} messages\n{}", differing.len(), differing.join("\n"));
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, into);
        } else if path.is_file() {
            into.push(path);
        }
    }
}

/// As SMTP would bring it: every line end is CRLF, and there is no NUL.
fn as_content(octets: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(octets.len() + octets.len() / 32);
    let mut before = 0;
    for octet in octets.iter().copied() {
        match octet {
            b'\r' | 0 => {}
            b'\n' => content.extend(b"\r\n"),
            other if before == b'\r' => content.extend([b'\r', b'\n', other]),
            other => content.push(other),
        }
        before = octet;
    }
    content
}

#[test]
fn facts_of_a_corpus_are_the_same_at_every_cut() {
    let Some(folder) = std::env::var_os("POSTERN_CORPUS").map(PathBuf::from) else {
        println!("skipped: POSTERN_CORPUS names no folder");
        return;
    };
    let engine = engine(&patterns(EVERY_PLACE));
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    let (begun, mut octets, mut differing) = (Instant::now(), 0, Vec::new());
    for path in &paths {
        let content = as_content(&fs::read(path).unwrap());
        octets += content.len();
        differing.extend(difference(&engine, &content).map(|what| format!("{}: {what}", path.display())));
    }
    println!("{} files, {octets} octets, five ways each, {:?}", paths.len(), begun.elapsed());
    assert!(differing.is_empty(), "{} differ\n{}", differing.len(), differing.join("\n"));
}
