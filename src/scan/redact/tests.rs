use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof, proptest};

use super::{EVIDENCE_BYTES_MAX, EVIDENCE_CHARS_MAX, evidence, identifier, text};
use crate::scan::validator::Check;

#[track_caller]
fn check(written: &str, want: &str) {
    assert_eq!(text(written.as_bytes()), want, "{written}");
}

#[test]
fn identifiers_show_what_their_kind_may() {
    let shown = |check: Check, written: &str| identifier(check, written.as_bytes());
    assert_eq!(shown(Check::Luhn, "4539 5787 6362 1486"), "4539 57** **** 1486");
    assert_eq!(shown(Check::Luhn, "4539578763621486"), "453957******1486");
    assert_eq!(shown(Check::Luhn, "4222222222222"), "422******2222");
    assert_eq!(shown(Check::Luhn, "30569309025904"), "3056******5904");
    assert_eq!(shown(Check::Iban, "GB82 WEST 1234 5698 7654 32"), "GB** **** **** **** **54 32");
    assert_eq!(shown(Check::UsSsn, "557-57-3508"), "5**-**-**08");
    assert_eq!(shown(Check::EsDni, "99416096E"), "9******6E");
    assert_eq!(shown(Check::Luhn, ""), "");
}

#[test]
fn a_hit_shows_its_end_and_its_identifier() {
    let tail = b"my card is 4539 5787 6362 1486, the other 5425 2334 3010 9903 thanks";
    let found = Check::Luhn.find(tail, 30).map(|range| (Check::Luhn, range));
    assert_eq!(evidence(tail, 30, found), "my card is 4539 57** **** 1486");
    let found = Check::Luhn.find(tail, 61).map(|range| (Check::Luhn, range));
    assert_eq!(evidence(tail, 61, found), "my card is 4*** **** **** **86, the other 5425 23** **** 9903");
    assert_eq!(
        evidence(tail, 999, None),
        "my card is 4*** **** **** **86, the other 5*** **** **** **03 thanks"
    );
    assert_eq!(evidence(b"", 0, None), "");
}

#[test]
fn numbers_are_masked_whatever_separates_them() {
    check("call 123456 or 12:30", "call 123456 or 12:30");
    check("no 1234567.", "no 1****67.");
    check("4111 1111 1111 1112", "4*** **** **** **12");
    check("4111    1111----1111 / 1112", "4***    ****----**** / **12");
    check("<b>4111</b><b>1111</b> <i>1111</i>1112", "<b>4***</b><b>****</b> <i>****</i>**12");
    check("4111&nbsp;1111&nbsp;1111&nbsp;1112", "4***&nbsp;****&nbsp;****&nbsp;**12");
    check("&#52;&#49;&#49;&#49;", "&#5*;&#**;&#**;&#49;");
    check("４１１１ １１１１ １１１１ １１１２", "４*** **** **** **１２");
    check("192.168.10.20 and 192.168.10.256", "192.168.10.20 and 1**.***.**.*56");
    check("٤١١١١١١١١١١١١١١١", "٤*************١١");
}

#[test]
fn accounts_are_masked_whole_or_mistyped() {
    check("GB82 WEST 1234 5698 7654 32 please", "GB** **** **** **** **** 32 please");
    check("gb82west12345698765432", "g*******************32");
    check("MD24 AG00 A225 B001 C310 D168", "MD** **** **** **** **** D168");
    check("no10 downing street is nice", "no10 downing street is nice");
}

#[test]
fn keys_are_masked_and_names_are_not() {
    check("AKIAIOSFODNN7EXAMPLE", "A*****************LE");
    check("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "w************/*******/****************EY");
    check("wjalrxutnfemi/k7mdeng/bpxrficyexamplekey", "w************/*******/****************ey");
    check("token ghp_0123456789abcdefghijABCDEFGHIJ012345", "token g**_**********************************45");
    check("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "3*******-****-****-****-**********01");
    check(
        "https://secure-login.paypal-verify.example.com/account/update",
        "https://secure-login.paypal-verify.example.com/account/update",
    );
    check("internationalization of the Universal", "internationalization of the Universal");
    check(
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0xYQ.dozjgNryP4J3jVmN",
        "e*****************J9.e***************YQ.d*************mN",
    );
}

#[test]
fn passwords_are_masked_by_the_words_before_them() {
    check("password: hunter2 ok", "password: ******* ok");
    check("Your Password is hunter2.", "Your Password is ********");
    check("{\"password\":\"hunter2\"}", "{\"password\":\"*******\"}");
    check("pwd=x&y=1", "pwd=*&y=1");
    check("<password>hunter2</password>", "<password>*******</password>");
    check("Passwort: geheim!", "Passwort: *******");
    check("Пароль: тайна", "Пароль: *****");
    check("code is 1234", "code is ****");
    check("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ************");
    check("https://joe:hunter2@example.com/", "https://joe:*******@example.com/");
    check("verify your password within 24 hours", "verify your password within 24 hours");
    check("the password issue", "the password issue");
}

#[test]
fn what_is_not_printable_is_escaped() {
    assert_eq!(text(b"a\r\n\x1b[31m\x00\xff\\ \"'"), "a\\r\\n\\u{1b}[31m\\0\\xff\\\\ \"'");
    check("a\u{202e}b\u{200b}c é 日", "a\\u{202e}b\\u{200b}c é 日");
}

#[test]
fn evidence_is_bounded_at_the_side_that_matters() {
    let long = "word ".repeat(1000);
    let (start, end) = (text(long.as_bytes()), evidence(long.as_bytes(), long.len(), None));
    assert!(
        start.starts_with("word ") && start.ends_with('…') && start.chars().count() <= EVIDENCE_CHARS_MAX
    );
    assert!(end.starts_with('…') && end.ends_with("word ") && end.chars().count() <= EVIDENCE_CHARS_MAX);
}

#[test]
fn the_end_of_a_word_whose_sign_is_cut_off_is_not_the_whole() {
    // The sign is looked at, though it is not shown.
    let tail = format!("password: {}", "hunter2-".repeat(30));
    assert!(!evidence(tail.as_bytes(), tail.len(), None).contains("hunter"));
}

/// Letters and digits of what is shown.
fn words(shown: &str) -> String {
    shown.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

fn secret() -> impl Strategy<Value = (Check, String)> {
    prop_oneof![
        Just((Check::Luhn, "4539578763621486".to_owned())),
        Just((Check::Luhn, "5425233430109903".to_owned())),
        Just((Check::Luhn, "378282246310005".to_owned())),
        Just((Check::Luhn, "4222222222222".to_owned())),
        Just((Check::Iban, "GB82WEST12345698765432".to_owned())),
        Just((Check::Iban, "DE75512108001245126199".to_owned())),
        Just((Check::Iban, "FR7630006000011234567890189".to_owned())),
        Just((Check::BrCpf, "85371849505".to_owned())),
    ]
}

proptest! {
    #[test]
    fn no_identifier_survives_whole((check, number) in secret(), gaps in proptest::collection::vec("[ ./_-]{0,3}", 40),
                                    before in "[a-z0-9 .:\n<>é]{0,30}", after in "[a-z0-9 .:\n]{0,30}", told in any::<bool>()) {
        let written: String = number.chars().zip(&gaps).map(|(letter, gap)| format!("{letter}{gap}")).collect();
        let tail = format!("{before} {written}{after}");
        let end = before.len() + 1 + written.len();
        let found = check.find(tail.as_bytes(), end).filter(|_| told).map(|range| (check, range));
        let want = found.is_some();
        for shown in [evidence(tail.as_bytes(), end, found), text(tail.as_bytes()), evidence(tail.as_bytes(), tail.len(), None)] {
            prop_assert!(!words(&shown).contains(&number), "{shown}");
        }
        // What may be shown of a card is its last four digits.
        let last = &number[number.len() - 4..];
        let shown = evidence(tail.as_bytes(), end, check.find(tail.as_bytes(), end).map(|range| (check, range)));
        prop_assert!(!want || check == Check::BrCpf || words(&shown).ends_with(last), "{shown}");
    }

    #[test]
    fn what_comes_out_is_printable_and_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..2 * EVIDENCE_BYTES_MAX), end: u16) {
        let end = usize::from(end) % (bytes.len() + 2);
        let found = Some((Check::Luhn, end / 2..end));
        for shown in [text(&bytes), evidence(&bytes, end, found), identifier(Check::Iban, &bytes)] {
            prop_assert!(shown.chars().count() <= EVIDENCE_CHARS_MAX);
            prop_assert!(!shown.chars().any(|letter| letter.is_control()));
        }
    }
}
