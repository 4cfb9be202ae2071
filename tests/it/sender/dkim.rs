//! DKIM against messages that others signed: every file of the corpus that carries a signature, with the
//! keys that `keys.dns` or `FAKE_DNS.dat` there names (a line is a name and its record).
//!
//! Where a file is named as good, nothing that we compute may be why it does not pass: only the key,
//! its size, a hash that is not believed any more, or a format older than RFC 4871.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use postern::sender::dkim::{BodyCheck, BodyHash, Evaluation, Outcome, Reason, Signatures};
use postern::sender::dns::{Answer, Kind, Known, Name, Query, Record};
use postern::sender::header_section::HeaderSection;

use super::{corpus, search};

/// When most of them had been signed and none had expired.
const NOW: u64 = 1_100_000_000;
const CHUNKS: [usize; 4] = [1, 7, 1448, 65_536];
const GOOD: &[&str] = &[
    "good",
    "mine_ietf05",
    "multiple_1",
    "no_body",
    "test-pass",
    "rfc6376.signed.msg",
    "rfc6376.signed.rsa",
    "ed25519test",
];
const BAD: &[&str] =
    &["bad", "ignore", "test-fail", "ed25519-broken", "dkim_huge", "dkim_key", "dkim_broken", "dkim_revoked"];

fn keys(folder: &Path) -> Known {
    let mut paths = Vec::new();
    search(folder, "keys.dns", &mut paths);
    search(folder, "FAKE_DNS.dat", &mut paths);
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in paths.iter().map(|path| fs::read_to_string(path).unwrap()) {
        for (name, record) in text.lines().filter_map(|line| line.split_once(' ')) {
            let records = texts.entry(name.to_owned()).or_default();
            if !records.contains(&record.trim().to_owned()) {
                records.push(record.trim().to_owned());
            }
        }
    }
    let mut known = Known::default();
    for (name, records) in texts {
        let Some(name) = Name::parse(&name) else { continue };
        known.learn(Query::new(name, Kind::Txt), answer(&records));
    }
    known
}

fn answer(records: &[String]) -> Answer {
    match records {
        [record] if record == "NXDOMAIN" => Answer::NotFound,
        [record] if record.starts_with("~~") => Answer::Failed,
        records => Answer::Records {
            records: records.iter().map(|record| Record::Txt(record.clone().into_bytes())).collect(),
            is_secure: false,
        },
    }
}

/// As SMTP would bring it: every line end is CRLF.
fn as_content(octets: &[u8]) -> Vec<u8> {
    let lines: Vec<&[u8]> = octets.split(|octet| *octet == b'\n').collect();
    let lines: Vec<&[u8]> = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    lines.join(&b"\r\n"[..])
}

/// With what the body alone says, whatever became of the key.
type Found = Vec<(Evaluation, Option<BodyCheck>)>;

fn evaluate(message: &[u8], chunk: usize, known: &mut Known) -> Found {
    let mut section = HeaderSection::default();
    let taken: usize = message.chunks(chunk).map(|piece| section.push(piece)).sum();
    let Ok(mut fields) = section.fields() else { return Vec::new() };
    let signatures = Signatures::read(&mut fields);
    let mut body = BodyHash::new(&signatures.forms());
    message[taken..].chunks(chunk).for_each(|piece| body.push(piece));
    let digests = body.finish();
    let mut found = Vec::new();
    for read in &signatures.read {
        let signature = match read {
            Ok(signature) => signature,
            Err(unread) => {
                found.push((unread.evaluate(), None));
                continue;
            }
        };
        let key = loop {
            match signature.signed.check(signature.is_of_subdomain(), known) {
                Ok(key) => break key,
                Err(missing) => missing.0.into_iter().for_each(|query| known.learn(query, Answer::NotFound)),
            }
        };
        let body = digests.check(&signature.body, &signature.body_hash);
        found.push((signature.evaluate(&key, body, NOW), Some(body)));
    }
    found
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

/// What is wrong about the results of a file with that name.
fn complaint(name: &str, found: &Found) -> Option<String> {
    let is_named = |names: &[&str]| names.iter().any(|other| name.starts_with(other));
    let computed = |reason: Reason| {
        matches!(reason, Reason::SignatureWrong | Reason::BodyChanged | Reason::BodyShort | Reason::NotTags)
    };
    let wrong = found.iter().filter_map(|one| one.0.reason).find(|reason| computed(*reason));
    let passing = found.iter().any(|one| one.0.outcome == Outcome::Pass);
    let is_changed = |body: &BodyCheck| !matches!(body, BodyCheck::Matches { .. });
    if is_named(GOOD)
        && !is_named(BAD)
        && !passing
        && found.iter().filter_map(|one| one.1.as_ref()).all(is_changed)
    {
        return found.iter().any(|one| one.1.is_some()).then(|| format!("{name} is good: another body"));
    }
    if is_named(GOOD) && !is_named(BAD) && !passing {
        return wrong.map(|reason| format!("{name} is good: {}", reason.text()));
    }
    (is_named(BAD) && !name.starts_with("good") && passing).then(|| format!("{name} is bad and passes"))
}

#[test]
fn every_signed_message_is_evaluated_alike_at_every_cut() {
    let Some(_) = corpus("keys.dns") else { return };
    let folder = PathBuf::from(std::env::var_os("POSTERN_CORPUS").unwrap());
    let mut known = keys(&folder);
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    let (mut messages, mut wrong) = (0, Vec::new());
    let mut results: BTreeMap<String, usize> = BTreeMap::new();
    for path in &paths {
        let content = as_content(&fs::read(path).unwrap());
        let found = evaluate(&content, 65_536, &mut known);
        if found.is_empty() {
            continue;
        }
        messages += 1;
        let name = path.file_name().unwrap().to_string_lossy();
        let differs = CHUNKS.iter().any(|chunk| evaluate(&content, *chunk, &mut known) != found);
        wrong.extend(differs.then(|| format!("{name} differs by its cuts")));
        wrong.extend(complaint(&name, &found));
        let told = |one: &Evaluation| {
            let reason = one.reason.map(Reason::text).unwrap_or_default();
            format!("{} {reason}", one.outcome.name())
        };
        for told in found.iter().map(|one| told(&one.0)) {
            println!("{}\t{told}", path.display());
            *results.entry(told).or_default() += 1;
        }
    }
    println!("{messages} signed messages of {} files: {results:#?}", paths.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
