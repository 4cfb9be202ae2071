//! Messages made to cost: each is bounded in memory and says which limit it hit.
//!
//! Each bomb has a process of its own, this binary again, so that what it takes is measured alone. Times
//! are printed, and asserted only as far as a debug build on a busy machine keeps them. An unoptimised build
//! takes a tenth of each bomb unless `POSTERN_FULL_BOMBS` is set: every limit is hit all the same.

use std::process::Command;
use std::time::{Duration, Instant};

use postern::policy::inspect::{Bench, Inspection};

use super::specimen::{DEFLATE, Entry, STORED, base64_lines, crlf, gzip, zip, zip_of};
use super::{FOUND, SIGNATURE, engine, has, patterns};

const BOMB: &str = "POSTERN_TEST_BOMB";
const RSS_GROWTH_BYTES_MAX: u64 = 64 << 20;
/// What no build and no machine needs, unless the work is not linear.
const TIME_MAX: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;

/// What is left out of a bomb in an unoptimised build.
fn scaled(count: usize) -> usize {
    let whole = std::env::var_os("POSTERN_FULL_BOMBS").is_some() || !cfg!(debug_assertions);
    if whole { count } else { count / 10 }
}

/// Takes the message piece by piece.
type Push<'a> = dyn FnMut(&[u8]) + 'a;

/// What a bomb is, how it is made, and which of these limits or defects it must be told by; none: it is
/// only big.
struct Bomb {
    name: &'static str,
    write: fn(&mut Push<'_>),
    limits: &'static [&'static str],
}

const BOMBS: &[Bomb] = &[
    Bomb { name: "multipart_100_000_deep", write: deep_multipart, limits: &["depth"] },
    Bomb { name: "message_100_000_deep", write: deep_messages, limits: &["depth"] },
    Bomb { name: "a_million_parts", write: million_parts, limits: &["parts"] },
    Bomb { name: "a_million_fields", write: million_fields, limits: &["fields", "header_bytes"] },
    Bomb { name: "a_million_encoded_words", write: encoded_words, limits: &["field_bytes"] },
    Bomb { name: "100_000_pieces_of_a_parameter", write: pieces, limits: &["field_bytes", "parameters"] },
    Bomb { name: "100_000_comments_in_comments", write: comments, limits: &["field_bytes"] },
    Bomb { name: "a_field_of_50_mib", write: long_field, limits: &["field_bytes", "header_bytes"] },
    Bomb { name: "zeros_10_gib_deflated", write: zeros, limits: &["expansion", "archive_ratio"] },
    Bomb {
        name: "zips_in_zips",
        write: zips_in_zips,
        limits: &["expansion", "archive_ratio", "archive_depth"],
    },
    Bomb { name: "archives_1_000_deep", write: deep_archives, limits: &["archive_depth"] },
    Bomb { name: "zip_of_65_535_entries", write: many_entries, limits: &["archive_entries", "parts"] },
    Bomb { name: "entries_that_overlap", write: overlapping, limits: &["archive_overlap", "archive_ratio"] },
    Bomb { name: "a_match_at_every_line", write: flood, limits: &[] },
    Bomb { name: "tags_in_tags", write: tags, limits: &[] },
    Bomb { name: "links_without_end", write: links, limits: &["urls"] },
];

fn deep_multipart(push: &mut Push<'_>) {
    for n in 0..scaled(100_000) {
        push(format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n").as_bytes());
    }
}

fn deep_messages(push: &mut Push<'_>) {
    (0..scaled(100_000)).for_each(|_| push(b"Content-Type: message/rfc822\r\n\r\n"));
}

fn million_parts(push: &mut Push<'_>) {
    push(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    (0..scaled(1_000_000)).for_each(|_| push(b"--b\r\n\r\nx\r\n"));
}

fn million_fields(push: &mut Push<'_>) {
    (0..scaled(1_000_000)).for_each(|n| push(format!("X-Field-{n}: some text\r\n").as_bytes()));
    push(b"\r\nx\r\n");
}

fn encoded_words(push: &mut Push<'_>) {
    push(b"Subject: x\r\n");
    (0..scaled(1_000_000)).for_each(|_| push(b" =?utf-8?q?=41?=\r\n"));
    push(b"\r\nx\r\n");
}

fn pieces(push: &mut Push<'_>) {
    push(b"Content-Type: text/plain;\r\n");
    (0..scaled(100_000)).for_each(|n| push(format!(" name*{n}=x;\r\n").as_bytes()));
    push(b" x=y\r\n\r\nx\r\n");
}

fn comments(push: &mut Push<'_>) {
    push(b"Content-Type: ");
    (0..100_000).for_each(|_| push(b"("));
    push(b"text/plain\r\n\r\nx\r\n");
}

fn long_field(push: &mut Push<'_>) {
    push(b"Subject: ");
    (0..scaled(50)).for_each(|_| push(&vec![b'x'; MIB]));
    push(b"\r\n\r\nx\r\n");
}

/// A deflate stream of ten GiB of zeros: what a compressor makes of one MiB, 10,240 times.
fn zeros(push: &mut Push<'_>) {
    use flate2::{Compress, Compression, FlushCompress};
    let mut compress = Compress::new(Compression::best(), false);
    let (zero, mut block) = (vec![0; MIB], Vec::with_capacity(2 * MIB));
    compress.compress_vec(&zero, &mut block, FlushCompress::Full).unwrap();
    let local = b"PK\x03\x04\x14\0\x08\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0a";
    push(b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    // Groups of three octets only, so that the lines join to one stream.
    let mut octets = local.to_vec();
    for _ in 0..scaled(10_240) {
        octets.extend(&block);
        let rest = octets.split_off(octets.len() / 57 * 57);
        push(&crlf(&base64_lines(&octets, 76)));
        octets = rest;
    }
    push(&crlf(&base64_lines(&octets, 76)));
}

fn file(name: &str, octets: &[u8], push: &mut Push<'_>) {
    push(format!("Content-Type: application/octet-stream; name={name}\r\n").as_bytes());
    push(b"Content-Transfer-Encoding: base64\r\n\r\n");
    octets.chunks(57 * 1024).for_each(|piece| push(&crlf(&base64_lines(piece, 76))));
}

/// Sixteen in each of sixteen in each of sixteen of four MiB of zeros: 16 GiB of a few KiB.
fn zips_in_zips(push: &mut Push<'_>) {
    let mut inner = zip("0.dll", &vec![0; 4 * MIB], DEFLATE);
    for level in 0..3 {
        let entries: Vec<_> = (0..scaled(16).max(2))
            .map(|n| Entry::new(&format!("{level}-{n}.zip"), &inner, DEFLATE))
            .collect();
        inner = zip_of(&entries);
    }
    file("42.zip", &inner, push);
}

fn deep_archives(push: &mut Push<'_>) {
    let deep = (0..1000).fold(b"x".to_vec(), |inner, _| gzip(&inner));
    file("deep.gz", &deep, push);
}

fn many_entries(push: &mut Push<'_>) {
    let entries: Vec<_> = (0..65_535).map(|n| Entry::new(&format!("{n}.txt"), b"text", STORED)).collect();
    file("many.zip", &zip_of(&entries), push);
}

/// A thousand entries in the directory, one in the archive.
fn overlapping(push: &mut Push<'_>) {
    let entry = Entry::new("kernel", &b"some text ".repeat(10_000), DEFLATE);
    let one = zip_of(std::slice::from_ref(&entry));
    let (size, count) = (46 + entry.name.len(), 1000);
    let (files, rest) = one.split_at(one.len() - 22 - size);
    let mut end = rest[size..].to_vec();
    for (at, value) in [(8, count), (10, count), (12, count * size)] {
        let octets = value.to_le_bytes();
        end[at..at + if at < 12 { 2 } else { 4 }].copy_from_slice(&octets[..if at < 12 { 2 } else { 4 }]);
    }
    let directory = rest[..size].repeat(count);
    file("overlap.zip", &[files, &directory, &end].concat(), push);
}

fn flood(push: &mut Push<'_>) {
    push(b"Subject: x\r\n\r\n");
    let lines = format!("{SIGNATURE}\r\n").repeat(1000);
    (0..scaled(50 * MIB) / lines.len()).for_each(|_| push(lines.as_bytes()));
}

fn tags(push: &mut Push<'_>) {
    push(b"Content-Type: text/html\r\n\r\n");
    let open = "<div style=\"display:none\"><table><b>".repeat(100);
    (0..scaled(10 * MIB) / open.len()).for_each(|_| push(open.as_bytes()));
}

fn links(push: &mut Push<'_>) {
    push(b"Content-Type: text/html\r\n\r\n");
    (0..scaled(100_000)).for_each(|n| push(format!("<a href=http://h{n}.example/>x</a>\r\n").as_bytes()));
}

/// A line of /proc/self/status in bytes.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<u64>().unwrap() * 1024
}

/// Pieces as they come from a socket, and the time that is ours.
struct Taking {
    inspection: Box<Inspection>,
    bench: Bench,
    held: Vec<u8>,
    octets: u64,
    time: Duration,
}

impl Taking {
    fn take(&mut self, piece: &[u8]) {
        self.held.extend(piece);
        if self.held.len() >= 16 * 1024 {
            self.push();
        }
    }

    fn push(&mut self) {
        let begun = Instant::now();
        self.held.chunks(16 * 1024).for_each(|piece| self.inspection.push(piece, &mut self.bench));
        self.time += begun.elapsed();
        self.octets += self.held.len() as u64;
        self.held.clear();
    }

    fn finish(&mut self) {
        self.push();
        let begun = Instant::now();
        self.inspection.finish(&mut self.bench);
        self.time += begun.elapsed();
    }
}

/// The part of the child; nothing in a run of the tests.
#[test]
fn the_child_takes_its_bomb() {
    let Ok(name) = std::env::var(BOMB) else { return };
    let bomb = BOMBS.iter().find(|bomb| bomb.name == name).unwrap();
    // Made before anything is measured: a bomb may take more to make than to bear.
    let mut message = Vec::new();
    (bomb.write)(&mut |piece| message.extend_from_slice(piece));
    let engine = engine(&patterns("\"text\", \"attachment\", \"header\", \"url\""));
    let mut bench = Bench::new();
    let mut first = bench.begin(&engine);
    first.push(b"Subject: x\r\nContent-Type: text/html\r\n\r\n<p>x\r\n", &mut bench);
    first.finish(&mut bench);
    bench.end(first);
    let before = status("VmRSS");
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let inspection = bench.begin(&engine);
    let mut taking = Taking { inspection, bench, held: Vec::new(), octets: 0, time: Duration::ZERO };
    message.chunks(16 * 1024).for_each(|piece| taking.take(piece));
    taking.finish();
    let growth = status("VmHWM").saturating_sub(before);
    let facts = taking.inspection.facts();
    let limits: Vec<&str> = facts.message.limits.iter().chain(facts.message.defects.iter()).collect();
    let count = facts.symbols.find(FOUND).map_or(0, |symbol| symbol.count);
    let begun = Instant::now();
    let mut next = taking.bench.begin(&engine);
    next.push(format!("Subject: y\r\n\r\n{SIGNATURE}\r\n").as_bytes(), &mut taking.bench);
    next.finish(&mut taking.bench);
    assert!(has(next.facts(), FOUND) && next.facts().message.limits.is_empty());
    println!(
        "BOMB {name}: octets {} ms {} growth {growth} next_us {} found {count} limits {}",
        taking.octets,
        taking.time.as_millis(),
        begun.elapsed().as_micros(),
        limits.join(",")
    );
}

/// The number behind `word` in a report of a child.
fn number(report: &str, word: &str) -> u64 {
    let mut words = report.split(' ').skip_while(|known| *known != word).skip(1);
    words.next().unwrap().parse().unwrap()
}

fn explode(bomb: &Bomb) -> Result<String, String> {
    let name = "inspection::bombs::the_child_takes_its_bomb";
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name, "--nocapture"]).env(BOMB, bomb.name).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = said.lines().find_map(|line| line.find("BOMB ").map(|at| line[at..].to_owned()));
    let report =
        report.ok_or_else(|| format!("{}: {}", bomb.name, String::from_utf8_lossy(&output.stderr)))?;
    let limits = report.rsplit(' ').next().unwrap_or_default().split(',').collect::<Vec<_>>();
    let hit = bomb.limits.is_empty() || bomb.limits.iter().any(|limit| limits.contains(limit));
    let small = number(&report, "growth") < RSS_GROWTH_BYTES_MAX;
    let soon = u128::from(number(&report, "ms")) < TIME_MAX.as_millis();
    if hit && small && soon { Ok(report) } else { Err(report) }
}

#[test]
fn bombs_are_bounded_and_named() {
    let mut wrong = Vec::new();
    for bomb in BOMBS {
        match explode(bomb) {
            Ok(report) => println!("{report}"),
            Err(report) => wrong.push(report),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
