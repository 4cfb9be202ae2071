//! Every message of a folder goes through the real program, with the shipped rules and packs, and is
//! compared with what the next hop got.
//!
//! Twice: once as the shipped configuration acts, where whatever is not delivered must have been refused
//! or held, and once with its thresholds off and its rules in the shadow, where all must arrive. By DATA and by
//! BDAT on both sides. What stands in front of the content may be fields of ours and nothing else.

// A test says what became of what it sent.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use memchr::memmem;

use super::{as_content, files};
use crate::harness::client::{Client, Reply};
use crate::harness::in_parallel;
use crate::harness::proxy::{Proxy, Setup};
use crate::harness::upstream::{Message, Plan};
use crate::inspection::through::stuffed;

const SESSIONS: usize = 4;
const CHUNK_BYTES: usize = 16 * 1024;
/// What was refused or altered is named up to so many.
const NAMED_MAX: usize = 20;

/// How content comes from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Data,
    Bdat,
}

/// What the shipped sections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acting {
    AsShipped,
    InTheShadow,
}

/// The shipped sections that look into content and decide, with the shipped packs.
fn sections(acting: Acting) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("appliance");
    let text = fs::read_to_string(root.join("inspection.toml")).unwrap();
    let (begin, end) = (text.find("[quarantine]").unwrap(), text.find("[admin]").unwrap());
    let packs = format!("\"{}\"", root.join("patterns/*.toml").display());
    let text = text[begin..end].replace("\"patterns/*.toml\"", &packs);
    if acting == Acting::AsShipped {
        return text;
    }
    let mut quiet = String::new();
    for line in text.lines() {
        let threshold = ["tag =", "quarantine =", "reject ="].iter().any(|key| line.starts_with(key));
        let shadow = line.starts_with("then =").then_some("shadow = true\n");
        quiet.extend(shadow);
        let kept = !threshold && !line.starts_with("shadow =");
        quiet.extend(kept.then(|| format!("{line}\n")));
    }
    quiet
}

/// The content of a file as a client would send it: without the line of its mailbox.
fn content_of(path: &Path) -> Vec<u8> {
    let octets = fs::read(path).unwrap();
    let line = if octets.starts_with(b"From ") { memchr::memchr(b'\n', &octets) } else { None };
    let mut content = as_content(&octets[line.map_or(0, |end| end + 1)..]);
    if !content.ends_with(b"\r\n") {
        content.extend(b"\r\n");
    }
    content
}

fn send(client: &mut Client, by: By, number: usize, content: &[u8]) -> Reply {
    let recipient = format!("m{number}@example.net");
    if by == By::Data {
        return client.message(&recipient, &stuffed(content));
    }
    client.envelope("a@client.example", &recipient);
    for (n, chunk) in content.chunks(CHUNK_BYTES).enumerate() {
        let last = if (n + 1) * CHUNK_BYTES >= content.len() { " LAST" } else { "" };
        client.send(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
        client.send(chunk);
        let reply = client.reply();
        if !reply.is_positive() || !last.is_empty() {
            return reply;
        }
    }
    unreachable!("content is never empty")
}

/// What became of all messages on one way.
#[derive(Debug, Default)]
struct Outcome {
    identical: usize,
    /// Of those, with fields that tell a score.
    tagged: usize,
    held: Vec<String>,
    refused: Vec<String>,
    altered: Vec<String>,
}

impl Outcome {
    fn note(&mut self, name: &str, reply: &Reply, arrived: Option<&Message>, sent: &[u8]) {
        match (reply.is_positive(), arrived) {
            (true, Some(message)) => match in_front(&message.content, sent) {
                Some(front) => {
                    self.identical += 1;
                    self.tagged += usize::from(memmem::find(front, b"\r\nX-Postern-Verdict:").is_some());
                }
                None => self.altered.push(name.to_owned()),
            },
            (true, None) => self.held.push(name.to_owned()),
            (false, Some(_)) => self.altered.push(format!("{name}: refused, and delivered")),
            (false, None) => self.refused.push(format!("{name}: {}", reply.text())),
        }
    }

    fn tell(&self, way: &str, acting: Acting) {
        println!(
            "{acting:?}, {way}: {} identical, {} of them tagged, {} held, {} refused, {} altered",
            self.identical,
            self.tagged,
            self.held.len(),
            self.refused.len(),
            self.altered.len()
        );
        let named = [&self.held, &self.refused, &self.altered].into_iter().flatten();
        named.take(NAMED_MAX).for_each(|name| println!("  {name}"));
    }
}

/// What stands before `sent` in what arrived, if that is our fields and the rest is `sent` octet by octet.
fn in_front<'a>(arrived: &'a [u8], sent: &[u8]) -> Option<&'a [u8]> {
    let mut front = arrived.strip_suffix(sent)?;
    if sent.starts_with(b" ") || sent.starts_with(b"\t") {
        // It has no header: an empty line keeps it from continuing our field.
        front = front.strip_suffix(b"\r\n")?;
    }
    let ours = |line: &[u8]| [&b"X-Postern-"[..], b" ", b"\t"].iter().any(|start| line.starts_with(start));
    let mut lines = front.split_inclusive(|octet| *octet == b'\n');
    let first = lines.next()?;
    let well = first.starts_with(b"Received: from ") && front.ends_with(b"\r\n") && lines.all(ours);
    well.then_some(front)
}

/// All of `messages` through a proxy of their own.
fn deliver(messages: &[(String, Vec<u8>)], acting: Acting, plan: Plan, by: By) -> Outcome {
    let upstream = plan.start();
    let mut proxy: Proxy = Setup::toward(upstream.address).section(&sections(acting)).start();
    let replies = Mutex::new(BTreeMap::new());
    in_parallel(SESSIONS, SESSIONS, |session| {
        let mut client = proxy.session();
        for number in (session..messages.len()).step_by(SESSIONS) {
            let reply = send(&mut client, by, number, &messages[number].1);
            replies.lock().unwrap().insert(number, reply);
        }
    });
    let recipient = |message: &Message| {
        let line = message.recipients()[0].to_owned();
        line[line.find("<m").unwrap() + 2..line.find('@').unwrap()].parse::<usize>().unwrap()
    };
    let arrived = upstream.messages();
    let arrived: BTreeMap<usize, &Message> =
        arrived.iter().map(|message| (recipient(message), message)).collect();
    let mut outcome = Outcome::default();
    for (number, reply) in replies.into_inner().unwrap() {
        let (name, sent) = &messages[number];
        outcome.note(name, &reply, arrived.get(&number).copied(), sent);
    }
    proxy.assert_well();
    outcome
}

/// Runs every way; the numbers are told.
fn all_ways(messages: &[(String, Vec<u8>)]) {
    for (acting, chunking, by) in [
        (Acting::AsShipped, true, By::Data),
        (Acting::InTheShadow, true, By::Bdat),
        (Acting::InTheShadow, true, By::Data),
        (Acting::InTheShadow, false, By::Bdat),
        (Acting::InTheShadow, false, By::Data),
    ] {
        let plan = if chunking { Plan::bdat() } else { Plan::data() };
        let outcome = deliver(messages, acting, plan, by);
        let to = if chunking { By::Bdat } else { By::Data };
        outcome.tell(&format!("by {by:?} and on by {to:?}"), acting);
        assert_eq!(outcome.altered, [] as [&str; 0]);
        if acting == Acting::InTheShadow {
            assert_eq!(outcome.identical, messages.len(), "{outcome:?}");
        }
    }
}

#[test]
fn what_stands_in_front_is_told_from_content() {
    let sent = b"Subject: x\r\n\r\ny\r\n";
    let with = |front: &str| [front.as_bytes(), sent].concat();
    let ours = "Received: from a\r\n\tby b\r\nX-Postern-Verdict: pass\r\n";
    assert_eq!(in_front(&with(ours), sent), Some(ours.as_bytes()));
    for other in ["", "Subject: x\r\n", "Received: from a\r\nX-Other: y\r\n", "Received: from a\n", "\r\n"] {
        assert_eq!(in_front(&with(other), sent), None, "{other:?}");
    }
    assert_eq!(in_front(&[ours.as_bytes(), b"Subject: X\r\n\r\ny\r\n"].concat(), sent), None);
}

#[test]
fn a_corpus_is_delivered_as_it_came() {
    let Some(folder) = std::env::var_os("POSTERN_CORPUS").map(PathBuf::from) else {
        println!("skipped: POSTERN_CORPUS names no folder");
        return;
    };
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    let messages: Vec<_> = paths.iter().map(|path| (path.display().to_string(), content_of(path))).collect();
    println!(
        "{} files, {} octets",
        messages.len(),
        messages.iter().map(|(_, content)| content.len()).sum::<usize>()
    );
    all_ways(&messages);
}
