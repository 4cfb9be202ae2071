use proptest::prelude::*;

use super::{Normaliser, fold, table};

#[track_caller]
fn check(text: &str, want: &str) {
    for (cut, _) in text.char_indices().chain([(text.len(), ' ')]) {
        let (mut normaliser, mut out) = (Normaliser::new(), Vec::new());
        normaliser.push(&text[..cut], &mut out);
        normaliser.push(&text[cut..], &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), want, "cut at {cut}");
    }
    assert_eq!(fold(want), want, "what is folded stays");
}

#[test]
fn case_and_white_space_are_one() {
    check("Verify  Your\r\n\tACCOUNT ", "verify your account ");
    check(" \r\n x", "x");
    check("a\u{a0}\u{2003}\u{3000}\u{2028}b", "a b");
    check("a\u{85}b", "a b");
}

#[test]
fn what_no_font_shows_is_gone() {
    check("pass\u{ad}word ver\u{200b}i\u{2060}fy \u{202e}x\u{202c} \u{feff}y", "password verify x y");
    check("a\0b\x1bc\x7fd\u{9b}e", "abcde");
    check("i\u{fe0f}\u{e0061}", "i");
    check("\u{200b} \u{200b} a \u{200b} b", "a b");
}

#[test]
fn compatibility_forms_are_plain() {
    check("ＰａｙＰａｌ", "paypal");
    check("𝐁𝒂𝓷𝔨 𝟙𝟚", "bank 12");
    check("ⓒⓛⓘⓒⓚ ﬁnance №", "click finance no");
    check("🅐🅱🇨 ⒟⑶ ⑴", "abc d3 1");
    check("x² ™", "x2 tm");
    check("١٢٣ ४५", "123 45");
}

#[test]
fn accents_fall_and_look_alikes_join() {
    check("Résumé Ångström ŁÓDŹ", "resume angstrom lodz");
    check("раураӏ РАYРАL", "paypal paypal");
    check("ΑΡΡLΕ νіѕа micrοsoft", "apple visa microsoft");
    check("straße Æsir", "strasse aesir");
    check("“don’t” — ‘x’…", "\"don't\" - 'x'...");
    check("İstanbul ıI", "istanbul ii");
}

#[test]
fn other_scripts_stay() {
    check("日本 한국어 עברית", "日本 한국어 עברית".replace('ס', "o").as_str());
    check("жизнь ЖИЗНЬ", "жизhь жизhь");
}

#[test]
fn every_character_folds_to_what_is_folded() {
    for c in '\0'..=char::MAX {
        let once = fold(&format!("x{c}y"));
        assert_eq!(fold(&once), once, "U+{:04X}", u32::from(c));
        assert!(once.len() <= super::FOLDED_CHAR_BYTES_MAX);
    }
}

#[test]
fn the_table_says_what_the_rules_say() {
    for c in ('\u{80}'..'\u{4000}').chain('\u{1f000}'..'\u{1f200}') {
        let mut want = String::new();
        table::fold(c, &mut |folded| want.push(folded));
        let (mut normaliser, mut out) = (Normaliser { spaced: false }, Vec::new());
        normaliser.push(&c.to_string(), &mut out);
        let want: Vec<&str> = want.split(' ').filter(|word| !word.is_empty()).collect();
        let got = String::from_utf8(out).unwrap();
        assert_eq!(got.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>(), want, "{c:?}");
    }
}

/// What ASCII folds to, byte by byte.
fn slow(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            ' ' | '\t'..='\r' if out.is_empty() || out.ends_with(' ') => {}
            ' ' | '\t'..='\r' => out.push(' '),
            '!'..='~' => out.push(c.to_ascii_lowercase()),
            _ => {}
        }
    }
    out
}

proptest! {
    #[test]
    fn groups_fold_as_bytes_do(parts in prop::collection::vec(
        prop_oneof![
            9 => "[a-zA-Z0-9]{1,40}", 4 => Just(" ".to_owned()), 2 => Just("\r\n".to_owned()), 1 => "[\0-\x7f]{0,3}"
        ], 0..24)) {
        let text = parts.concat();
        prop_assert_eq!(fold(&text), slow(&text));
    }

    #[test]
    fn cuts_do_not_matter(text in "[ -~\\t\\n\u{a0}é\u{301}ЖΑ日ﬁ𝐁\u{200b}]{0,60}", cut in 0..60_usize) {
        let cut = text.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(text.len());
        let (mut normaliser, mut out) = (Normaliser::new(), Vec::new());
        normaliser.push(&text[..cut], &mut out);
        normaliser.push(&text[cut..], &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), fold(&text));
    }
}
