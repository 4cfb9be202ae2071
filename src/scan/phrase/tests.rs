use proptest::prelude::*;

use super::{
    GROUP, KEYED_WORDS_MAX, LEAD_BYTES, PHRASES_PER_KEY_MAX, Phrases, SLACK_BYTES, View, Words, is_word,
    is_wordy, word_mask,
};

const LEAD: usize = 1200;

/// Scans `text` in blocks cut at `cuts`, the way a stream does.
fn scan(phrases: &Phrases, text: &[u8], cuts: &[usize]) -> Vec<(u32, usize)> {
    let buffer = [&[b'x'; LEAD + LEAD_BYTES], text, &[b'x'; SLACK_BYTES]].concat();
    let origin = LEAD + LEAD_BYTES;
    let (mut words, mut found) = (Words::default(), Vec::new());
    let view = View { text: &buffer, valid: origin };
    let mut start = origin;
    for cut in cuts.iter().chain([&text.len()]) {
        let end = origin + cut;
        // Behind the block there is nothing of the text yet.
        let seen = [&buffer[..end], &[b'z'; SLACK_BYTES]].concat();
        let view = View { text: &seen, ..view };
        phrases.scan(&mut words, view, start..end, &mut |id, end| found.push((id, end - origin)));
        start = end;
    }
    phrases.finish(&mut words, view, start, &mut |id, end| found.push((id, end - origin)));
    found.sort_unstable();
    found
}

fn naive(phrases: &[&str], text: &[u8]) -> Vec<(u32, usize)> {
    let mut found = Vec::new();
    for (id, phrase) in (0..).zip(phrases) {
        for end in phrase.len()..=text.len() {
            let start = end - phrase.len();
            let apart =
                (start == 0 || !is_word(text[start - 1])) && (end == text.len() || !is_word(text[end]));
            if apart && &text[start..end] == phrase.as_bytes() {
                found.push((id, end));
            }
        }
    }
    found.sort_unstable();
    found
}

fn compile(phrases: &[&str]) -> Phrases {
    let all: Vec<(&[u8], u32)> = phrases.iter().map(|phrase| phrase.as_bytes()).zip(0..).collect();
    assert!(all.iter().all(|(phrase, _)| is_wordy(phrase)));
    let (phrases, refused) = Phrases::new(&all);
    assert_eq!(refused, [0; 0]);
    phrases
}

#[track_caller]
fn check(phrases: &[&str], text: &str) {
    let compiled = compile(phrases);
    let want = naive(phrases, text.as_bytes());
    for cut in 0..=text.len() {
        assert_eq!(scan(&compiled, text.as_bytes(), &[cut]), want, "{text:?} cut at {cut}");
    }
    let all: Vec<usize> = (0..text.len()).collect();
    assert_eq!(scan(&compiled, text.as_bytes(), &all), want, "{text:?} byte by byte");
}

#[test]
fn whole_words_only() {
    check(&["free money", "free", "money"], "free money, carefree money free moneybag a-free");
    check(&["a b c", "b c", "c", "a b"], "a b c b c a  b c");
    check(&["e-mail", "100 % sure", "it's"], "an e-mail: 100 % sure, it's e mail");
    check(&["x_1", "1"], "x_1 x 1 _1 1");
}

#[test]
fn words_longer_than_a_load() {
    check(&["congratulations winner", "abcdefgh", "abcdefghi"], "congratulations winner abcdefgh abcdefghi");
    check(&["aaaaaaaaXaaaaaaaa"], "aaaaaaaaYaaaaaaaa aaaaaaaaXaaaaaaaa");
}

#[test]
fn more_words_than_are_keyed() {
    let long = "w ".repeat(KEYED_WORDS_MAX + 5) + "end";
    let shorter = &long[4..];
    check(&[&long, shorter, "w end"], &format!("{long} w {long}"));
}

#[test]
fn a_word_that_never_ends_is_no_word() {
    let text = format!("free {} money free money", "y".repeat(3000));
    let phrases = ["free money", "money"];
    let cuts: Vec<usize> = (0..text.len()).step_by(700).collect();
    assert_eq!(scan(&compile(&phrases), text.as_bytes(), &cuts), naive(&phrases, text.as_bytes()));
}

#[test]
fn a_crowd_at_one_key_is_refused() {
    let tail = " z".repeat(KEYED_WORDS_MAX);
    let all: Vec<String> = (0..PHRASES_PER_KEY_MAX + 3).map(|number| format!("p{number}{tail}")).collect();
    let keyed: Vec<(&[u8], u32)> = all.iter().map(|phrase| phrase.as_bytes()).zip(0..).collect();
    assert_eq!(Phrases::new(&keyed).1.len(), 3);
}

#[test]
fn word_bytes_are_as_said() {
    for byte in 0..=u8::MAX {
        let want = if is_word(byte) { u64::MAX } else { 0 };
        assert_eq!(word_mask(&[byte; GROUP], 0), want, "{byte}");
        let mut among = [0; GROUP + 1];
        among[1..9].copy_from_slice(&[b'a', 0xff, b' ', byte, 0, b'_', 0x80, b'9']);
        among[64] = byte;
        assert_eq!(word_mask(&among, 1), 0b1010_0001 | want & (1 << 3 | 1 << 63), "{byte}");
    }
}

proptest! {
    #[test]
    fn equals_the_naive_search(
        phrases in prop::collection::vec("[ab]{1,2}([ '][ab]{1,9}){0,4}", 1..12),
        text in "([ab]{1,9}[ ',]){0,40}",
        cuts in prop::collection::vec(0..200_usize, 0..4),
    ) {
        let phrases: Vec<&str> = phrases.iter().map(String::as_str).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
        cuts.sort_unstable();
        let found = scan(&compile(&phrases), text.as_bytes(), &cuts);
        prop_assert_eq!(found, naive(&phrases, text.as_bytes()));
    }
}
