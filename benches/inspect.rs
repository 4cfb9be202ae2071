//! What does it cost to look into a whole message, from its first octet to its facts, with the packs
//! that are shipped?
//!
//! A small and a large plain message as load tools send them, one of prose, one of text and HTML as people
//! do, one of 1 MiB with an attachment. Each comes in pieces as they are received.

#![allow(clippy::expect_used, reason = "a bench that cannot begin says why")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use postern::policy::condition::Reads;
use postern::policy::inspect::{Bench, Engine};
use postern::policy::settings::Inspect;
use postern::scan::pattern::{self, Pattern};
use postern::scan::reference::{Sample, sample};
use postern::scan::{Choice, Rules};

/// What one receive gives at most.
const PIECE_BYTES: usize = 64 * 1024;
const ENCODED_LINE_BYTES: usize = 57;

fn packs() -> Vec<Pattern> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("appliance/patterns");
    let files = std::fs::read_dir(folder).expect("the packs are there");
    let mut files: Vec<_> = files.map(|file| file.expect("it can be listed").path()).collect();
    files.sort();
    let parsed = files.iter().map(|file| {
        let text = std::fs::read_to_string(file).expect("it can be read");
        pattern::parse(&file.to_string_lossy(), &text).expect("it is well formed")
    });
    parsed.flatten().collect()
}

fn engine() -> Arc<Engine> {
    let rules = Rules::compile(packs(), Choice::Never).expect("they compile");
    Arc::new(Engine::new(rules, &Inspect::default(), &Reads::default()))
}

const HEADER: &str = "From: \"Jordan Miller\" <jordan.miller@example.org>\r\n\
    To: team@example.net\r\nSubject: Minutes of the meeting\r\nMIME-Version: 1.0\r\n\
    Date: Mon, 11 Mar 2024 10:11:12 +0100\r\nMessage-ID: <20240311.101112.7@example.org>\r\n\
    X-Mailer: Mail 3.1\r\nReceived: from desk.example.org (desk.example.org [192.0.2.17])\r\n\
    \tby mail.example.org with ESMTPS id 4TtXbQ2Yz8\r\n\
    \tfor <team@example.net>; Mon, 11 Mar 2024 10:11:12 +0100\r\n";

/// `length` bytes as smtp-source makes them: its lines begin with digits in turn.
fn plain(length: usize) -> String {
    let mut text =
        "From: <source@example.org>\r\nTo: <sink@example.net>\r\nDate: Mon, 11 Mar 2024 10:11:12 +0100\r\n\
        Message-Id: <0001@example.org>\r\n\r\n"
            .to_owned();
    for digit in ('1'..='9').chain(['0']).cycle() {
        if text.len() >= length {
            break;
        }
        text.push(digit);
        text.push_str(&"X".repeat(77));
        text.push_str("\r\n");
    }
    text
}

/// Lines of `length` bytes of prose.
fn prose(length: usize) -> String {
    let prose = String::from_utf8(sample(Sample::Prose)).unwrap_or_default();
    let mut text = String::new();
    for line in prose.lines().cycle() {
        if text.len() + line.len() >= length {
            break;
        }
        text.push_str(line);
        text.push_str("\r\n");
    }
    text
}

/// HTML with `length` bytes of prose in it.
fn html(length: usize) -> String {
    let mut text =
        "<html><head><style>p { font-family: sans-serif; color: #222 }</style></head><body>\r\n".to_owned();
    for (number, line) in prose(length).lines().enumerate() {
        let _ = write!(text, "<p style=\"margin: 0 0 8px 0\" class=\"t\">{line}</p>\r\n");
        if number % 8 == 0 {
            let _ = write!(text, "<a href=\"https://www.example.org/a/{number}\">more of it</a>&nbsp;\r\n");
        }
    }
    text + "</body></html>\r\n"
}

fn alternative(of: usize) -> String {
    format!(
        "Content-Type: multipart/alternative; boundary=\"alt\"\r\n\r\n\
         --alt\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{}\r\n\
         --alt\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{}\r\n--alt--\r\n",
        prose(of),
        html(of)
    )
}

fn letter() -> String {
    HEADER.to_owned() + &alternative(2400)
}

/// Octets that look like a PDF: a little text and much that is compressed.
fn document(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut octets = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n".to_vec();
    octets.extend(std::iter::repeat_with(|| random.u8(..)).take(length));
    octets
}

fn encode(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for line in octets.chunks(ENCODED_LINE_BYTES) {
        for group in line.chunks(3) {
            let bits =
                (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
            for digit in 0..4 {
                let value = (bits >> (18 - 6 * digit)) & 63;
                text.push(if digit <= group.len() { char::from(DIGITS[value as usize]) } else { '=' });
            }
        }
        text.push_str("\r\n");
    }
    text
}

fn with_attachment() -> String {
    let body = alternative(16 * 1024);
    let room = ((1 << 20) - body.len()) / 78 * ENCODED_LINE_BYTES;
    format!(
        "{HEADER}Content-Type: multipart/mixed; boundary=\"mix\"\r\n\r\n--mix\r\n{body}\r\n\
         --mix\r\nContent-Type: application/pdf; name=\"minutes.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"minutes.pdf\"\r\n\r\n{}--mix--\r\n",
        encode(&document(room))
    )
}

fn inspecting(criterion: &mut Criterion) {
    let engine = engine();
    let mut bench = Bench::new();
    let mut group = criterion.benchmark_group("inspect");
    let messages = [
        ("plain", plain(4096)),
        ("bulk", plain(64 * 1024)),
        ("prose", HEADER.to_owned() + "\r\n" + &prose(64 * 1024)),
        ("letter", letter()),
        ("attachment", with_attachment()),
    ];
    for (name, message) in messages {
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut inspection = bench.begin(&engine);
                message.as_bytes().chunks(PIECE_BYTES).for_each(|piece| inspection.push(piece, &mut bench));
                inspection.finish(&mut bench);
                black_box(inspection.facts().symbols.len());
                bench.end(inspection);
            });
        });
    }
}

criterion_group!(benches, inspecting);
criterion_main!(benches);
