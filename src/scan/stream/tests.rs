use std::sync::Arc;

use proptest::prelude::*;

use super::{BLOCK_BYTES, IDLE_STREAMS_MAX, MATCHES_PER_BLOCK_MAX, Scratch, Stream, TAIL_BYTES};
use crate::scan::hit::{HITS_TOLD_MAX, Hit, Shortfall};
use crate::scan::naive;
use crate::scan::pattern::{Pattern, Place, parse};
use crate::scan::rules::{Choice, Rules};

/// One pattern for each line, which is what stands between `[[pattern]]` and the next.
fn patterns(place: &str, lines: &[&str]) -> Vec<Pattern> {
    let text: Vec<String> = lines
        .iter()
        .map(|line| format!("[[pattern]]\nsymbol = 'S'\nwhy = 'x'\nin = ['{place}']\n{line}\n"))
        .collect();
    parse("p.toml", &text.concat()).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// Phrases by their words, as if they were many, when expressions are split; else as literals.
fn compile(patterns: &[Pattern], choice: Choice<'_>) -> Rules {
    let words_min = if matches!(choice, Choice::All) { 0 } else { usize::MAX };
    Rules::compile_from(patterns.to_vec(), choice, words_min).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// Pushes `text` in pieces cut at `cuts`; hits by pattern and end.
fn scan(stream: &mut Stream, scratch: &mut Scratch, text: &[u8], cuts: &[usize]) -> Vec<(u32, u64)> {
    let (mut hits, mut start) = (Vec::new(), 0);
    let mut sink = |hit: Hit<'_>| {
        let end = usize::try_from(hit.end).unwrap();
        let known = end - hit.before.len();
        assert_eq!(hit.before, &text[known..end], "evidence is of the stream");
        assert!(known == 0 || hit.before.len() >= TAIL_BYTES - 1100, "and long enough");
        hits.push((hit.pattern, hit.end));
    };
    for cut in cuts.iter().chain([&text.len()]) {
        stream.push(&text[start..*cut], scratch, &mut sink);
        start = *cut;
    }
    assert_eq!(stream.length(), text.len() as u64);
    assert_eq!(stream.finish(scratch, &mut sink), Shortfall::default());
    hits.sort_unstable();
    hits
}

/// What streams find equals what the oracle finds, at every cut, however expressions are spread.
#[track_caller]
fn check(place: &str, lines: &[&str], text: &str) {
    let patterns = patterns(place, lines);
    let place = Place::from_name(place).unwrap();
    let want = naive::hits(&patterns, &place, text.as_bytes());
    for choice in [Choice::Never, Choice::All] {
        let rules = compile(&patterns, choice);
        let mut scratch = Scratch::new();
        let mut stream = scratch.open(rules.set(&place).unwrap());
        for cut in 0..=text.len() {
            let found = scan(&mut stream, &mut scratch, text.as_bytes(), &[cut]);
            assert_eq!(found, want, "{choice:?} {text:?} cut at {cut}");
        }
    }
}

/// The same, with the end of a block at every byte of `text`.
#[track_caller]
fn check_blocks(place: &str, lines: &[&str], text: &str) {
    check(place, lines, text);
    let patterns = patterns(place, lines);
    let place = Place::from_name(place).unwrap();
    for choice in [Choice::Never, Choice::All] {
        let rules = compile(&patterns, choice);
        let mut scratch = Scratch::new();
        let mut stream = scratch.open(rules.set(&place).unwrap());
        for inside in 0..=text.len() {
            let long = [".".repeat(BLOCK_BYTES - inside).as_str(), text, ". .", text].concat();
            let want = naive::hits(&patterns, &place, long.as_bytes());
            let found = scan(&mut stream, &mut scratch, long.as_bytes(), &[]);
            assert_eq!(found, want, "{choice:?} {text:?} with {inside} bytes in the first block");
        }
    }
}

const PHRASES: &str = "phrases = ['free money', 'money', 'click here!', 'ok']";
const WORDS: &str = "match = 'verify your (?:account|password) within \\d{1,3} hours'";

#[test]
fn each_engine_finds_its_own() {
    check_blocks(
        "text",
        &[PHRASES, WORDS, "literal = 'pass'"],
        "free money! verify your account within 24 hours ok",
    );
    check_blocks("text", &[PHRASES], "click here! click here!x carefree money, ok");
    check_blocks(
        "raw",
        &["literal = 'X5O!P'", "phrases = ['Ab c']", "match = '\\x00+a'"],
        "aX5O!P\0\0a Ab c Ab cX",
    );
}

#[test]
fn phrases_of_other_letters_are_whole_words_too() {
    check_blocks(
        "text",
        &["phrases = ['\u{436}\u{436} now', 'x \u{436}']"],
        "\u{436}\u{436} now, \u{436}\u{436} nowx x \u{436}a ax \u{436}",
    );
}

#[test]
fn split_expressions_end_where_others_do() {
    let lines = [
        "match = '.{0,20}password'",
        "match = '\\bname.{1,12}word\\b'",
        "match = '[a-f]{2,9}(?:secret|hidden)x?'",
    ];
    check_blocks("text", &lines, "the password name xx word words. abcsecretx fhidden name word");
    check_blocks("raw", &["match = '(?i)\\w{0,5}Token=\\w{3,9}'"], "xTOKEN=abcd token=ab atoken=abcdefghijk");
}

#[test]
fn overlapping_ends_are_one_occurrence() {
    check_blocks("text", &["match = '\\d{4,}'"], "12345678 1234 123 12345");
    check_blocks("text", &["match = 'ab'", "literal = 'aa'"], "ababab aaaaaa");
    check_blocks("text", &["match = 'x.{0,9}y'"], "xyyy xy       y");
}

#[test]
fn checks_decide_and_count_what_does_not_overlap() {
    let card = "match = '\\b(?:\\d[ -]?){13,19}\\b'\ncheck = 'luhn'";
    check_blocks("text", &[card], "1234 4111 1111 1111 1111 x 4111111111111112 5500-0000-0000-0004");
    let iban = "match = '\\b[A-Z]{2}\\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\\b'\ncheck = 'iban'";
    let patterns = patterns("text", &[iban]);
    let found = naive::hits(
        &patterns,
        &Place::Text,
        b"pay to de89 3704 0044 0532 0130 00 today, not de88 3704 0044 0532 0130 00",
    );
    assert_eq!(found, [(0, 34)], "folded text is in lower case");
    check_blocks("text", &[iban], "to de89 3704 0044 0532 0130 00 now");
}

/// Both stand behind a gate; the first has only its end to go by.
const NUMBERS: [&str; 3] = [
    "match = '[a-f]{2}[ -]?\\d{2}(?:[ -]{0,2}[a-z0-9]){3,9}'",
    "match = '\\b[a-z]{2}[ -]?\\d{2}(?:[ -]{0,2}[a-z0-9]){3,30}\\b'\ncheck = 'iban'",
    "match = '\\b\\d(?:[ ./-]{0,2}\\d){12,18}\\b'\ncheck = 'luhn'",
];

#[test]
fn numbers_are_found_behind_a_gate() {
    let rules = compile(&patterns("text", &NUMBERS), Choice::Never);
    let set = rules.set(&Place::Text).unwrap();
    assert!(set.numbers.is_some() && set.regexes.is_none(), "that is what this is about");
    check_blocks("text", &NUMBERS, "1 4111 1111 1111 1111 x de89 3704 0044 0532 0130 00");
    check_blocks("text", &NUMBERS, "44111111111111111 4111111111111111");
    check_blocks("text", &NUMBERS, "xde89370400440532013000 de89370400440532013000, caf12345 bc-12");
}

#[test]
fn near_words_come_before_or_after() {
    let near = "match = '\\d{3}-\\d{2}-\\d{4}'\nnear = { words = ['ssn', 'social security'], within = 20 }";
    check_blocks("text", &[near], "ssn 123-45-6789 and then much later 123-45-6780. 123-45-6781 my ssn");
    check_blocks("text", &[near, PHRASES], "social security: 123-45-6789 ok nossn");
    let phrase = "phrases = ['money']\nnear = { words = ['free'], within = 6 }";
    check_blocks("text", &[phrase], "money free money x x x money money money free");
}

#[test]
fn lines_are_told_apart() {
    let rules =
        compile(&patterns("header", &["match = '^subject: [a-z ]+$'", "phrases = ['b c']"]), Choice::All);
    let mut scratch = Scratch::new();
    let mut stream = scratch.open(rules.set(&Place::Header(None)).unwrap());
    let mut hits = Vec::new();
    let mut sink = |hit: Hit<'_>| hits.push((hit.pattern, hit.end));
    for line in ["To: b", "C: \n x", "Subject:  \u{430}\u{200b}bc", "X-Subject: abc"] {
        stream.push_line(line, &mut scratch, &mut sink);
    }
    stream.finish(&mut scratch, &mut sink);
    assert_eq!(hits, [(0, 23)], "to: b|c: x|subject: abc|");
}

#[test]
fn text_is_folded_whatever_its_pieces() {
    let rules = compile(&patterns("text", &["phrases = ['Grüße aus Köln']"]), Choice::All);
    let mut scratch = Scratch::new();
    let mut stream = scratch.open(rules.set(&Place::Text).unwrap());
    let text = "é".repeat(3000) + "  GRÜSSE\r\naus K\u{f6}ln";
    for cut in [0, 1999, 2000, 2001, 6005, 6010, text.len()] {
        let Some((head, tail)) = text.split_at_checked(cut) else { continue };
        let mut hits = 0;
        for piece in [head, tail] {
            stream.push_text(piece, &mut scratch, &mut |_| hits += 1);
        }
        stream.finish(&mut scratch, &mut |_| hits += 1);
        assert_eq!(hits, 1, "cut at {cut}");
    }
}

#[test]
fn a_hit_knows_its_text() {
    let lines = ["phrases = ['two words']", "match = '(?:\\d ?){13,19}'\ncheck = 'luhn'", "match = 'x\\d+y'"];
    let rules = compile(&patterns("text", &lines), Choice::All);
    let mut scratch = Scratch::new();
    let mut stream = scratch.open(rules.set(&Place::Text).unwrap());
    let mut texts = Vec::new();
    let mut sink = |hit: Hit<'_>| texts.push(String::from_utf8_lossy(hit.text(3)).into_owned());
    stream.push(b"a two words 9 4111 1111 1111 1111 x12345y", &mut scratch, &mut sink);
    stream.finish(&mut scratch, &mut sink);
    assert_eq!(texts, ["two words", "4111 1111 1111 1111", "45y"]);
}

#[test]
fn streams_are_many_and_end_in_any_order() {
    let rules = compile(&patterns("text", &[PHRASES, WORDS, "match = '.{0,20}password'"]), Choice::All);
    let (mut scratch, mut other) = (Scratch::new(), Scratch::new());
    assert_eq!(scratch.serve(&rules), Shortfall::default());
    let set = Arc::clone(rules.set(&Place::Text).unwrap());
    drop(rules);
    let mut streams: Vec<Stream> = (0..2 * IDLE_STREAMS_MAX).map(|_| scratch.open(&set)).collect();
    let mut hits = 0;
    for round in 0..5 {
        for stream in &mut streams {
            let piece = ["free ", "mon", "ey p", "asswo", "rd"][round].as_bytes();
            let scratch = if round % 2 == 0 { &mut scratch } else { &mut other };
            stream.push(piece, scratch, &mut |_| hits += 1);
        }
    }
    let second = streams.split_off(IDLE_STREAMS_MAX);
    for mut stream in second {
        stream.finish(&mut scratch, &mut |_| hits += 1);
        scratch.park(stream);
    }
    // `free money` and `money` are one occurrence; `password` is the other pattern.
    assert_eq!(hits, 2 * IDLE_STREAMS_MAX);
    streams.into_iter().for_each(|stream| scratch.park(stream));
    let mut again = scratch.open(&set);
    drop(scratch);
    again.push(b"money", &mut other, &mut |_| hits += 1);
    again.finish(&mut other, &mut |_| hits += 1);
    assert_eq!(hits, 2 * IDLE_STREAMS_MAX + 1);
}

#[test]
fn a_parked_stream_knows_nothing_of_its_past() {
    let rules = compile(&patterns("text", &[PHRASES, WORDS]), Choice::All);
    let mut scratch = Scratch::new();
    let set = rules.set(&Place::Text).unwrap();
    let mut stream = scratch.open(set);
    stream.push(&b"free mon".repeat(2000), &mut scratch, &mut |_| {});
    scratch.park(stream);
    let mut stream = scratch.open(set);
    assert_eq!(scan(&mut stream, &mut scratch, b"ey", &[]), []);
}

#[test]
fn floods_are_facts() {
    let rules = compile(&patterns("text", &["match = 'a'", "match = '\\d{2}'\ncheck = 'luhn'"]), Choice::All);
    let mut scratch = Scratch::new();
    let mut stream = scratch.open(rules.set(&Place::Text).unwrap());
    let mut hits = 0;
    stream.push(&b"a".repeat(MATCHES_PER_BLOCK_MAX), &mut scratch, &mut |_| hits += 1);
    assert_eq!(stream.finish(&mut scratch, &mut |_| hits += 1), Shortfall::default());
    assert_eq!(hits, HITS_TOLD_MAX);
    stream.push(&b"1".repeat(2 * MATCHES_PER_BLOCK_MAX), &mut scratch, &mut |_| hits += 1);
    assert!(stream.finish(&mut scratch, &mut |_| hits += 1).flood);
}

#[test]
fn a_flood_for_hours_is_cut_and_the_rest_is_found() {
    let rules = compile(&patterns("text", &["match = 'a'", "match = 'end\\d'"]), Choice::Never);
    let mut scratch = Scratch::new();
    let mut stream = scratch.open(rules.set(&Place::Text).unwrap());
    let mut hits = Vec::new();
    let flood = b"a".repeat(BLOCK_BYTES);
    for _ in 0..2 {
        (0..64).for_each(|_| stream.push(&flood, &mut scratch, &mut |_| {}));
        stream.push(&b" ".repeat(BLOCK_BYTES - 4), &mut scratch, &mut |_| {});
        stream.push(b" end", &mut scratch, &mut |_| {});
        stream.push(b"7", &mut scratch, &mut |_| {});
        assert!(stream.shortfall().flood);
        let length = stream.length();
        stream.finish(&mut scratch, &mut |hit| hits.push((hit.pattern, hit.end == length)));
    }
    assert_eq!(hits, [(1, true); 2], "offsets are of the stream, the second too");
}

#[test]
fn looking_twice_has_a_bound() {
    let lines: Vec<String> = (0..40).map(|number| format!("match = '.{{1,900}}need {number}'")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let rules = compile(&patterns("text", &lines), Choice::All);
    let mut scratch = Scratch::new();
    let mut stream = scratch.open(rules.set(&Place::Text).unwrap());
    let text: String = (0..40).map(|number| format!("need {number} ")).collect();
    (0..400).for_each(|_| stream.push(text.as_bytes(), &mut scratch, &mut |_| {}));
    let shortfall = stream.finish(&mut scratch, &mut |_| {});
    assert_eq!(shortfall, Shortfall { confirm: true, ..Shortfall::default() });
}

proptest! {
    #[test]
    fn equals_the_oracle(
        words in prop::collection::vec("(free|money|pass|word|ok|x|\u{436}|12|123-45|need|key)[ .!-]?", 0..30),
        before in 0..120_usize,
        cuts in prop::collection::vec(0..BLOCK_BYTES + 200, 0..3),
    ) {
        let lines = [
            PHRASES,
            "match = '(?:free|pass).{0,9}(?:word|money)'",
            "match = '\\bneed\\W{1,3}key\\b'",
            "match = '\\d{2,5}'\ncount = 2\nnear = { words = ['key', 'pass word'], within = 9 }",
            "literal = 'x\u{436}'",
            "phrases = ['\u{436} ok', 'ok-']",
            "match = '[a-z]{1,6} ?money.?x'",
        ];
        let patterns = patterns("text", &lines);
        let text = [".".repeat(BLOCK_BYTES - before), words.concat()].concat();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
        cuts.sort_unstable();
        let want = naive::hits(&patterns, &Place::Text, text.as_bytes());
        for choice in [Choice::Never, Choice::All] {
            let rules = compile(&patterns, choice);
            let mut scratch = Scratch::new();
            let mut stream = scratch.open(rules.set(&Place::Text).unwrap());
            prop_assert_eq!(&scan(&mut stream, &mut scratch, text.as_bytes(), &cuts), &want, "{:?}", choice);
        }
    }

    #[test]
    fn numbers_equal_the_oracle(
        words in prop::collection::vec(
            (r"4111 ?1111|11|[0-9]{1,9}|de89|370400440532013000|[ab]{2}|x|1111/|5500-", "[ .x-]|| {40}|y{300}"),
            0..40,
        ),
        before in 0..700_usize,
        cuts in prop::collection::vec(0..BLOCK_BYTES + 900, 0..3),
    ) {
        let patterns = patterns("text", &NUMBERS);
        let words: String = words.into_iter().map(|(word, gap)| word + &gap).collect();
        let text = [".".repeat(BLOCK_BYTES - before), words].concat();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
        cuts.sort_unstable();
        let rules = compile(&patterns, Choice::Never);
        let mut scratch = Scratch::new();
        let mut stream = scratch.open(rules.set(&Place::Text).unwrap());
        let want = naive::hits(&patterns, &Place::Text, text.as_bytes());
        prop_assert_eq!(scan(&mut stream, &mut scratch, text.as_bytes(), &cuts), want);
    }

    /// Hyperscan and the automaton of the second look mean the same by an expression. Not where what follows
    /// a `\b` may be nothing: there Hyperscan 5.4 leaves out the shorter of two ends.
    #[test]
    fn the_engines_agree(
        atoms in prop::collection::vec(
            (r"a|b|X|1|\\\.|\.|\[ab\]|\[\^a\]|\\d|\\w|\\s|\\W|\(\?:a\|bb\)|\(\?i:ax\)|\[a-c_\]|ü|abba",
             r"\*|\+|\?|\{1,3\}|\{2\}|\{0,4\}||||"), 1..7),
        text in "([abX1 ._\n\x0b\x00]|abba|ü){0,24}",
        flags in "|'caseless'|'dotall'|'caseless', 'dotall'",
        place in "raw|text",
        lead in r"|\\b|\\B",
        trail in r"|\\b|x\\bé|b\\B",
    ) {
        let atoms: String = atoms.into_iter().map(|(atom, repeat)| atom + &repeat).collect();
        let source = format!("{lead}{atoms}{trail}");
        let flags = if flags.is_empty() { String::new() } else { format!("flags = [{flags}]") };
        let head = format!("[[pattern]]\nsymbol = 'S'\nwhy = 'x'\nin = ['{place}']\n");
        let Ok(patterns) = parse("p.toml", &format!("{head}match = '''{source}'''\n{flags}\n")) else {
            return Ok(());
        };
        let place = Place::from_name(&place).unwrap();
        let text = if place.is_folded() { crate::scan::normalise::fold(&text) } else { text };
        let want = naive::hits(&patterns, &place, text.as_bytes());
        for choice in [Choice::Never, Choice::All] {
            let rules = compile(&patterns, choice);
            let mut scratch = Scratch::new();
            let mut stream = scratch.open(rules.set(&place).unwrap());
            let found = scan(&mut stream, &mut scratch, text.as_bytes(), &[]);
            prop_assert_eq!(&found, &want, "{} {:?}", source, choice);
        }
    }
}
