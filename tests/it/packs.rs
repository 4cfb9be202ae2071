//! The patterns that are shipped: they are well formed, find what they are for, and stay small.
//!
//! Specimens are made here from pieces, so that this file holds no test virus and no key either.

use std::path::Path;
use std::sync::Arc;

use postern::policy::condition::Reads;
use postern::policy::facts::Facts;
use postern::policy::inspect::{Bench, Engine, Evidence};
use postern::policy::settings::Inspect;
use postern::scan::pattern::{self, Find, Pattern};
use postern::scan::{Choice, Rules};

/// Of one open stream, beside its buffer.
const STREAM_BYTES_MAX: usize = 1024;
/// Of all compiled patterns.
const DATABASE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A place costs every message a stream.
const PLACES_MAX: usize = 8;
const PHRASES_MIN: usize = 3000;

fn packs() -> Vec<Pattern> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("appliance/patterns");
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let parsed = files.iter().map(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        pattern::parse(&file.to_string_lossy(), &text).unwrap()
    });
    parsed.flatten().collect()
}

fn engine() -> Arc<Engine> {
    let rules = Rules::compile(packs(), Choice::Never).unwrap();
    Arc::new(Engine::new(rules, &Inspect { enabled: true, ..Inspect::default() }, &Reads::default()))
}

fn inspected(engine: &Arc<Engine>, message: &str) -> (Facts, Vec<Evidence>) {
    let mut bench = Bench::new();
    let mut inspection = bench.begin(engine);
    inspection.push(message.as_bytes(), &mut bench);
    inspection.finish(&mut bench);
    (inspection.facts().clone(), inspection.evidence().to_vec())
}

fn score(facts: &Facts) -> f64 {
    facts.symbols.iter().map(|symbol| symbol.score).sum()
}

fn of_text(text: &str) -> String {
    format!("From: A <a@b.example>\r\nSubject: hello\r\n\r\n{text}\r\n")
}

fn of_field(field: &str) -> String {
    format!(
        "Received: from a.example by b.example\r\n{field}\r\nDate: Mon, 11 Mar 2024 10:11:12 +0100\r\n\r\nhello\r\n"
    )
}

fn of_html(html: &str) -> String {
    format!("From: A <a@b.example>\r\nContent-Type: text/html\r\n\r\n<html><body>{html}</body></html>\r\n")
}

fn of_file(name: &str) -> String {
    let fields = "Content-Type: application/octet-stream\r\nContent-Disposition: attachment";
    format!("From: A <a@b.example>\r\n{fields}; filename=\"{name}\"\r\n\r\nxyz\r\n")
}

/// A symbol and a text that has it.
fn texts() -> Vec<(&'static str, String)> {
    vec![
        (
            "SPECIMEN_EICAR",
            ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS", "-TEST-FILE!$H+H*"].concat(),
        ),
        (
            "SPECIMEN_GTUBE",
            ["XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE", "-STANDARD-ANTI-UBE", "-TEST-EMAIL*C.34X"].concat(),
        ),
        ("PHISH_VERIFY_ACCOUNT", "Please verify your account within 24 hours".into()),
        ("PHISH_ACCOUNT_THREAT", "Your mailbox will be deactivated today".into()),
        ("PHISH_CREDENTIALS", "enter your password and press the button".into()),
        ("PHISH_MAILBOX", "your mailbox has exceeded its size".into()),
        ("PHISH_DE", "Ihr Konto wurde gesperrt".into()),
        (
            "FRAUD_ADVANCE_FEE",
            "he left millions, and no next of kin to claim it: business proposal with you".into(),
        ),
        ("SPAM_PHARMACY", "generic viagra at low prices".into()),
        ("SPAM_EXCUSE", "This is not spam".into()),
        ("SPAM_CALL_TO_ACTION", "Click here".into()),
        ("DLP_CARD", "the card is 4111 1111 1111 1111, thanks".into()),
        ("DLP_IBAN", "pay to DE89 3704 0044 0532 0130 00, thanks".into()),
        ("DLP_ID_US_SSN", "my social security number is 536-90-4399".into()),
        ("SECRET_PRIVATE_KEY", ["-----BEGIN RSA PRIVATE", " KEY-----"].concat()),
        ("SECRET_AWS_KEY_ID", ["the id is AKIA", "IOSFODNN7EXAMPLE"].concat()),
        ("SECRET_GITHUB_TOKEN", ["ghp", "_0123456789abcdefghijABCDEFGHIJ012345"].concat()),
        ("SECRET_SLACK_TOKEN", ["xoxb", "-123456789012-abcdefghijkl"].concat()),
        ("SECRET_GOOGLE_KEY", ["AIza", "SyA0123456789abcdefghijklmnopqrstuv"].concat()),
        ("SECRET_STRIPE_KEY", ["sk_live", "_0123456789abcdefABCDEF"].concat()),
        (
            "SECRET_JWT",
            ["eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0NTY3ODkwIn0", ".c2lnbmF0dXJlLW9mLXRlc3Q"].concat(),
        ),
        ("SECRET_PASSWORD", "user name: jordan password: tulip77garden".into()),
        ("TEXT_GAPPY", "buy v i a g r a today".into()),
    ]
}

/// A symbol and a message that has it.
fn specimens() -> Vec<(&'static str, String)> {
    let fields = [
        ("HEADER_BRAND_FREEMAIL", "From: PayPal Service <someone22@gmail.com>"),
        ("HEADER_SUBJECT_GAP", "Subject: lose weight fast              11.150"),
        ("HEADER_SUBJECT_ADVERTISEMENT", "Subject: ADV: buy this"),
        ("HEADER_TEMPLATE", "Subject: hello {{first_name}"),
    ];
    let files = [
        ("FILE_EXECUTABLE", "a.exe"),
        ("FILE_SCRIPT", "a.VBS"),
        ("FILE_SHORTCUT", "a.lnk"),
        ("FILE_DISK_IMAGE", "a.iso"),
        ("FILE_MACRO", "a.xlsm"),
        ("FILE_DOUBLE_EXTENSION", "a.pdf.exe"),
    ];
    let html = [
        ("HTML_FORM_PASSWORD", "<form><input type=password name=p></form>"),
        ("URL_SHORTENED", "<a href=\"https://bit.ly/abc\">x</a>"),
    ];
    let texts = texts().into_iter().map(|(symbol, text)| (symbol, of_text(&text)));
    let fields = fields.into_iter().map(|(symbol, field)| (symbol, of_field(field)));
    let files = files.into_iter().map(|(symbol, name)| (symbol, of_file(name)));
    let html = html.into_iter().map(|(symbol, html)| (symbol, of_html(html)));
    texts.chain(fields).chain(files).chain(html).collect()
}

#[test]
fn shipped_patterns_find_their_specimens() {
    let engine = engine();
    let missed: Vec<_> = specimens()
        .into_iter()
        .filter(|(symbol, message)| inspected(&engine, message).0.symbols.find(symbol).is_none())
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn ordinary_mail_stays_clean() {
    let engine = engine();
    for text in [
        "Hi Jordan,\r\n\r\nthe minutes of the meeting are attached. Please have a look before Monday.",
        "Your order 4711 has shipped. You can track it in your account. Thank you for shopping with us.",
        "Can you review the change? The test fails when the password is empty, see the log below.",
        "We changed our privacy policy. To unsubscribe, click here.",
        "Reset your password: somebody asked for it. If it was not you, ignore this message.",
        "Invoice 2024-117 over 1,250.00 EUR is due on 30 April. Our bank details have not changed.",
        "Guten Tag, anbei das Angebot. Bitte bestätigen Sie den Termin am Montag.",
    ] {
        let facts = inspected(&engine, &of_text(text)).0;
        let names: Vec<_> = facts.symbols.iter().map(|symbol| &symbol.name).collect();
        assert!(score(&facts) < 2.5, "{text}: {names:?}");
    }
}

#[test]
fn no_number_stands_whole_in_evidence() {
    let engine = engine();
    let text =
        of_text("card 4111 1111 1111 1111, account DE89370400440532013000, password: tulip77garden vpn");
    let (facts, evidence) = inspected(&engine, &text);
    assert!(facts.symbols.find("DLP_CARD").is_some() && facts.symbols.find("DLP_IBAN").is_some());
    for told in evidence {
        let plain: String = told.redacted.chars().filter(char::is_ascii_alphanumeric).collect();
        for whole in ["4111111111111111", "89370400440532013000", "tulip77garden"] {
            assert!(!plain.contains(whole), "{told:?}");
        }
    }
}

#[test]
fn shipped_patterns_are_small() {
    let packs = packs();
    let phrases = packs.iter().map(|pattern| match &pattern.find {
        Find::Phrases(phrases) => phrases.len(),
        _ => 0,
    });
    assert!(phrases.sum::<usize>() >= PHRASES_MIN);
    let rules = Rules::compile(packs, Choice::Never).unwrap();
    assert!(rules.sets().len() <= PLACES_MAX, "{} places", rules.sets().len());
    let mut databases = 0;
    for set in rules.sets() {
        let (database, stream) = set.sizes();
        assert!(stream <= STREAM_BYTES_MAX, "{}: {stream}", set.place());
        databases += database;
    }
    assert!(databases <= DATABASE_BYTES_MAX, "{databases}");
}
