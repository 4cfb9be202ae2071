use super::{ExpressionFlags, Find, Place, parse};
use crate::scan::validator::Check;

/// Faults as `line:column: message`, each of which must hold its part of `want`.
#[track_caller]
fn check(text: &str, want: &[&str]) {
    let faults = parse("p.toml", text).unwrap_err();
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), want.len(), "{lines:#?}");
    for (line, want) in lines.iter().zip(want) {
        let (place, message) = want.split_once(' ').unwrap();
        assert!(line.starts_with(&format!("p.toml:{place}: ")) && line.contains(message), "{line}: {want}");
    }
}

const HEAD: &str = "[[pattern]]\nsymbol = 'A'\nwhy = 'x'\nin = ['text']\n";

#[test]
fn every_key_is_read() {
    let text = "
        [[pattern]]
        symbol = 'DLP_CARD'
        score = 4
        match = '\\b(?:\\d[ -]?){13,19}\\b'
        in = ['text', 'header:Subject']
        check = 'luhn'
        count = 3
        near = { words = ['card', 'Expiry Date'], within = 60 }
        flags = ['caseless', 'dotall']
        why = 'Card numbers'
        group = 'dlp'
        [[pattern]]
        symbol = 'B'
        literal = 'X5O!'
        in = ['raw', 'attachment', 'url', 'filename', 'header']
        why = 'y'
        score = -1.5
    ";
    let patterns = parse("p.toml", text).unwrap();
    let [card, literal] = &patterns[..] else { panic!("{patterns:#?}") };
    assert_eq!((card.symbol.as_str(), card.score, card.count), ("DLP_CARD", 4.0, 3));
    assert_eq!(card.check, Some(Check::Luhn));
    assert_eq!(card.places, [Place::Text, Place::Header(Some("subject".to_owned()))]);
    assert_eq!(card.near.as_ref().map(|near| (near.words.len(), near.within)), Some((2, 60)));
    let flags = ExpressionFlags { caseless: true, dotall: true, multiline: false };
    assert!(matches!(&card.find, Find::Regex { flags: found, .. } if *found == flags));
    assert_eq!((card.origin.line, card.origin.column, card.group.as_deref()), (5, 17, Some("dlp")));
    assert_eq!(literal.find, Find::Literal("X5O!".to_owned()));
    assert_eq!((literal.score, literal.count, literal.places.len()), (-1.5, 1, 5));
}

#[test]
fn no_pattern_is_well() {
    assert_eq!(parse("p.toml", "# none\n").map(|patterns| patterns.len()), Ok(0));
}

#[test]
fn unknown_keys_are_named_with_the_nearest_known() {
    check(&format!("{HEAD}match = 'x'\nscroe = 1\n"), &["6:1 did you mean `score`?"]);
    check(&format!("{HEAD}match = 'x'\nbanana = 1\n"), &["6:1 known: symbol"]);
    check("[[patern]]\n", &["1:3 did you mean `pattern`?"]);
    check(
        &format!("{HEAD}match = 'x'\nnear = {{ word = ['a'], within = 5 }}"),
        &["6:8 `words` is missing", "6:10 did you mean `words`?"],
    );
    check(&format!("{HEAD}match = 'x'\ncheck = 'lunh'\n"), &["6:9 did you mean `luhn`?"]);
}

#[test]
fn all_faults_are_told_at_once() {
    let text =
        "[[pattern]]\nsymbol = 'lower'\nscore = 1e9\nin = ['txt', 'raw', 'raw']\nmatch = '('\ncount = 0\n";
    check(
        text,
        &[
            "1:1 `why` is missing",
            "2:10 A-Z",
            "3:9 out of range",
            "4:7 is no place",
            "4:21 twice",
            "5:9 not closed",
            "6:9 out of range",
        ],
    );
}

#[test]
fn exactly_one_thing_is_looked_for() {
    check(HEAD, &["1:1 one of"]);
    check(&format!("{HEAD}match = 'x'\nliteral = 'y'"), &["1:1 one of"]);
    check(&format!("{HEAD}phrases = []"), &["5:11 0 elements"]);
    check(&format!("{HEAD}phrases = ['a', '\u{200b}']"), &["5:17 nothing of it"]);
    check(&format!("{HEAD}phrases = ['a']\ncheck = 'luhn'"), &["6:9 check"]);
    check(&format!("{HEAD}literal = 'a'\nflags = ['dotall']"), &["6:9 flags"]);
}

#[test]
fn expressions_are_looked_at() {
    check(&format!("{HEAD}match = 'a*'"), &["5:9 matches where nothing is"]);
    check(&format!("{HEAD}match = 'a(?=b)'"), &["5:9 lookaround"]);
    check(&format!("{HEAD}match = '(a)\\1'"), &["5:9 "]);
    check(&format!("{HEAD}match = 'a{{5000}}'"), &["5:9 over"]);
}

#[test]
fn broken_toml_is_a_fault_with_its_place() {
    let faults = parse("p.toml", "[[pattern]]\nsymbol = \n").unwrap_err();
    assert_eq!((faults[0].line, faults.len()), (2, 1));
    check("[pattern]\n", &["1:1 two brackets"]);
    check("pattern = 3\n", &["1:11 expected an array"]);
}
