//! Who says to have written and signed a message: the same at every cut, whatever it says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::policy::facts::Facts;
use postern::policy::sender::{
    Concluded, DmarcMode, Settings, Signing, results_field, tell_author,
};
use postern::sender::auth_results::Removal;
use postern::sender::header_section::HeaderSection;

fn settings() -> Settings {
    Settings { dmarc: DmarcMode::Enforce, ..Settings::default() }
}

/// What is found, and what is left of the content, if it comes in pieces of `size`.
fn read(settings: &Settings, content: &[u8], size: usize) -> (Concluded, Vec<u8>) {
    let (mut section, mut signing) = (HeaderSection::default(), None::<Signing>);
    let (mut removal, mut left) = (Removal::new("mx.example.net"), Vec::new());
    for piece in content.chunks(size) {
        removal.push(piece, &mut left);
        if let Some(signing) = &mut signing {
            signing.push_body(piece);
            continue;
        }
        let length = section.push(piece);
        if section.is_complete() {
            let mut complete = Signing::read(settings, &section);
            complete.push_body(&piece[length..]);
            signing = Some(complete);
        }
    }
    removal.finish(&mut left);
    let signing = signing.unwrap_or_else(|| Signing::read(settings, &section));
    let _ = signing.inquiry(settings, None).weight();
    (signing.conclude(settings, None, None, 1_795_366_104), left)
}

fuzz_target!(|input: &[u8]| {
    let settings = settings();
    let Some((&size, text)) = input.split_first() else { return };
    // Content has whole line ends only: others are refused before.
    let content = text.split(|byte| matches!(byte, b'\r' | b'\n' | 0)).collect::<Vec<_>>().join(&b"\r\n"[..]);
    let whole = read(&settings, &content, content.len().max(1));
    assert_eq!(read(&settings, &content, usize::from(size).max(1)), whole);
    let mut facts = Facts::default();
    tell_author(&whole.0, &mut facts);
    // Nobody could be asked: nothing passes.
    assert_ne!(facts.sender.dmarc.as_str(), "pass");
    let field = results_field("mx.example.net", None, Some(&whole.0));
    let is_field = |line: &str| line.starts_with('\t') || line.starts_with("Authentication-Results:");
    assert!(
        field.ends_with("\r\n") && field.trim_end_matches("\r\n").split("\r\n").all(is_field),
        "{field:?}"
    );
});
