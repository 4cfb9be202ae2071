//! What the walker of one message holds at its worst, beside what `check` says that it may.
//!
//! Each case has a process of its own, this binary again, in which many walkers stand in the middle of
//! the same message at once: what the process grew by, divided by their number, is what one holds, the
//! allocator's waste included. Octets come in pieces as large as the program receives.

use std::process::Command;

use postern::mime::{Bounds, Buffers, Event, Walker};

use crate::harness::program::output;
use crate::inspection::specimen::{DEFLATE, attached, base64_lines, crlf, html, zip};

const CASE: &str = "POSTERN_TEST_HELD";
const WALKERS: u64 = 16;
const PIECE_BYTES: usize = 64 * 1024;
const KIB: usize = 1024;

/// What a message is, and how it is made.
type Case = (&'static str, fn() -> Vec<u8>);

const CASES: &[Case] = &[
    ("one line", || b"Subject: x\r\n\r\nx\r\n".to_vec()),
    ("a file", || attached("a.bin", &random_octets(512 * KIB))),
    ("much html", || crlf(&format!("Content-Type: text/html\n\n{}", html(&"some words\n".repeat(40_000))))),
    ("zips in zips", || attached("a.zip", &zips(8, random_octets(512 * KIB)))),
    ("zips read in two ways", zips_in_two_ways),
    ("zips in messages in zips", zips_in_messages),
    ("messages read in two ways", messages_in_two_ways),
    ("parts in parts", parts_in_parts),
];

fn random_octets(count: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| random.u8(..)).take(count).collect()
}

fn zips(count: usize, octets: Vec<u8>) -> Vec<u8> {
    (0..count).fold(octets, |inner, n| zip(&format!("{n}.zip"), &inner, DEFLATE))
}

/// Files in quoted-printable are read as one decoder does and as others do.
fn zips_in_two_ways() -> Vec<u8> {
    let octets = zips(8, random_octets(256 * KIB));
    let head = "Content-Type: application/octet-stream; name=a.zip\r\n\
                Content-Transfer-Encoding: quoted-printable\r\n\r\n";
    let lines = octets.chunks(24).map(|line| {
        let escaped: String = line.iter().map(|octet| format!("={octet:02X}")).collect();
        format!("{escaped}=\r\n")
    });
    [head.to_owned(), lines.collect()].concat().into_bytes()
}

/// Each message in two ways, and so all that is in it: twice as many readings with each.
fn messages_in_two_ways() -> Vec<u8> {
    let head = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\
                Content-Transfer-Encoding: 8bit\r\n";
    let text = "Subject: x\r\n\r\n".to_owned() + &"some words of a line\r\n".repeat(20_000);
    (0..40)
        .fold(text, |inner, n| format!("X-Field: {}\r\n{head}\r\n{inner}", "n".repeat(n * 10)))
        .into_bytes()
}

/// Archives count on in messages that lie in them.
fn zips_in_messages() -> Vec<u8> {
    let mut octets = zips(7, random_octets(256 * KIB));
    for _ in 0..9 {
        let head =
            "From: a@b.example\r\nTo: c@d.example\r\nSubject: x\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n";
        let part = "Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        let lines = crlf(&base64_lines(&octets, 76));
        let message = [head.as_bytes(), part.as_bytes(), &lines].concat();
        octets = zips(6, zip("m.eml", &message, DEFLATE));
    }
    attached("a.zip", &octets)
}

/// As deep as parts may lie, each with the longest boundary and a long name.
fn parts_in_parts() -> Vec<u8> {
    let mut text = String::new();
    for n in 0..99 {
        let boundary = format!("{n:0>70}");
        let name = "n".repeat(3000);
        text += &format!(
            "Content-Type: multipart/mixed; boundary={boundary}; name={name}\r\n\r\n--{boundary}\r\n"
        );
    }
    text += "Content-Type: text/plain\r\n\r\n";
    text += &"some words of a line\r\n".repeat(40_000);
    text.into_bytes()
}

fn rss_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

/// A walker that has taken all but the last eighth of `message`; what it decoded into is shared by all.
fn amid(message: &[u8], buffers: &mut Buffers) -> Walker {
    let mut walker = Walker::new(Bounds::default());
    for piece in message[..message.len() - message.len() / 8].chunks(PIECE_BYTES) {
        walker.lend(buffers);
        walker.push(piece, &mut |_: Event<'_>| {});
        walker.lend(buffers);
    }
    walker
}

/// The part of the child; nothing in a run of the tests.
#[test]
fn the_child_holds_its_case() {
    let Ok(name) = std::env::var(CASE) else { return };
    let (_, make) = CASES.iter().find(|(known, _)| *known == name).unwrap();
    let message = make();
    // The first ones take what was freed before, which would not be seen to grow.
    let buffers = &mut Buffers::default();
    let first: Vec<Walker> = (0..WALKERS).map(|_| amid(&message, buffers)).collect();
    let before = rss_bytes();
    let walkers: Vec<Walker> = (0..WALKERS).map(|_| amid(&message, buffers)).collect();
    println!("HELD {} of {}", rss_bytes().saturating_sub(before) / WALKERS, first.len() + walkers.len());
}

fn held(case: &str) -> u64 {
    let name = "inspection::through::held::the_child_holds_its_case";
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name, "--nocapture"]).env(CASE, case).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = said.split("HELD ").nth(1).unwrap_or_else(|| panic!("{case}: {said}"));
    report.split(' ').next().unwrap().parse().unwrap()
}

/// What `check` says that one walker may hold: `walkers   48 x 1.9 MiB`.
fn allowed() -> f64 {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/appliance/inspection.toml");
    let sheet = String::from_utf8(output(&["check", "--config", config]).stdout).unwrap();
    let line = sheet.lines().find(|line| line.trim_start().starts_with("walkers")).unwrap();
    let mut words = line.split_whitespace().skip_while(|word| *word != "x").skip(1);
    let number: f64 = words.next().unwrap().parse().unwrap();
    let unit = words.next().unwrap();
    number * if unit == "MiB" { 1_048_576.0 } else { 1024.0 }
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "bytes, compared with a number for people")]
fn no_walker_holds_more_than_check_says() {
    let allowed = allowed();
    let held: Vec<_> = CASES.iter().map(|(case, _)| (*case, held(case))).collect();
    held.iter().for_each(|(case, held)| {
        println!("{:8.1} KiB of {:.1}  {case}", *held as f64 / 1024.0, allowed / 1024.0)
    });
    let over: Vec<_> = held.iter().filter(|(_, held)| *held as f64 > allowed).collect();
    assert!(over.is_empty(), "{over:?} of {allowed}");
}
