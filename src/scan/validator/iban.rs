//! International bank account numbers.
//!
//! ISO 13616: country, two check digits (ISO/IEC 7064 MOD 97-10), and an account number whose length
//! and letters each country has registered. Two countries' own check digits are held too, because
//! numbers that break only those are seen in the wild.

use super::checksum::{mod_97, number, to_eleven, weighted};
use super::shape::fits;

pub(super) const CHARS_MIN: usize = 15;
pub(super) const CHARS_MAX: usize = 34;

/// Country, and what follows the check digits: counts of n(umbers), a (letters) and c (both).
const REGISTERED: &[(&[u8; 2], &str)] = &[
    (b"AD", "8n12c"),
    (b"AE", "19n"),
    (b"AL", "8n16c"),
    (b"AT", "16n"),
    (b"AZ", "4a20c"),
    (b"BA", "16n"),
    (b"BE", "12n"),
    (b"BG", "4a6n8c"),
    (b"BH", "4a14c"),
    (b"BI", "23n"),
    (b"BR", "23n1a1c"),
    (b"BY", "4c4n16c"),
    (b"CH", "5n12c"),
    (b"CR", "18n"),
    (b"CY", "8n16c"),
    (b"CZ", "20n"),
    (b"DE", "18n"),
    (b"DJ", "23n"),
    (b"DK", "14n"),
    (b"DO", "4c20n"),
    (b"EE", "16n"),
    (b"EG", "25n"),
    (b"ES", "20n"),
    (b"FI", "14n"),
    (b"FK", "2a12n"),
    (b"FO", "14n"),
    (b"FR", "10n11c2n"),
    (b"GB", "4a14n"),
    (b"GE", "2a16n"),
    (b"GI", "4a15c"),
    (b"GL", "14n"),
    (b"GR", "7n16c"),
    (b"GT", "24c"),
    (b"HN", "4a20n"),
    (b"HR", "17n"),
    (b"HU", "24n"),
    (b"IE", "4a14n"),
    (b"IL", "19n"),
    (b"IQ", "4a15n"),
    (b"IS", "22n"),
    (b"IT", "1a10n12c"),
    (b"JO", "4a4n18c"),
    (b"KW", "4a22c"),
    (b"KZ", "3n13c"),
    (b"LB", "4n20c"),
    (b"LC", "4a24c"),
    (b"LI", "5n12c"),
    (b"LT", "16n"),
    (b"LU", "3n13c"),
    (b"LV", "4a13c"),
    (b"LY", "21n"),
    (b"MC", "10n11c2n"),
    (b"MD", "20c"),
    (b"ME", "18n"),
    (b"MK", "3n10c2n"),
    (b"MN", "16n"),
    (b"MR", "23n"),
    (b"MT", "4a5n18c"),
    (b"MU", "4a19n3a"),
    (b"NI", "4a20n"),
    (b"NL", "4a10n"),
    (b"NO", "11n"),
    (b"OM", "3n16c"),
    (b"PK", "4a16c"),
    (b"PL", "24n"),
    (b"PS", "4a21c"),
    (b"PT", "21n"),
    (b"QA", "4a21c"),
    (b"RO", "4a16c"),
    (b"RS", "18n"),
    (b"RU", "14n15c"),
    (b"SA", "2n18c"),
    (b"SC", "4a20n3a"),
    (b"SD", "14n"),
    (b"SE", "20n"),
    (b"SI", "15n"),
    (b"SK", "20n"),
    (b"SM", "1a10n12c"),
    (b"SO", "19n"),
    (b"ST", "21n"),
    (b"SV", "4a20n"),
    (b"TL", "19n"),
    (b"TN", "20n"),
    (b"TR", "6n16c"),
    (b"UA", "6n19c"),
    (b"VA", "18n"),
    (b"VG", "4a16n"),
    (b"XK", "16n"),
    (b"YE", "4a4n18c"),
];

/// A registered country, its account number's form, and check digits that hold.
pub(super) fn iban(text: &[u8]) -> bool {
    let Some((country, rest)) = text.split_first_chunk::<2>() else { return false };
    let Some((check, account)) = rest.split_first_chunk::<2>() else { return false };
    check.iter().all(u8::is_ascii_digit)
        && form(country).is_some_and(|form| fits(account, form))
        && mod_97(account.iter().chain(country).chain(check)) == 1
        && national(country, account)
}

fn form(country: &[u8; 2]) -> Option<&'static str> {
    let place = REGISTERED.binary_search_by(|(name, _)| name.cmp(&country)).ok()?;
    REGISTERED.get(place).map(|(_, form)| *form)
}

/// The check digits that a country's account numbers had before there were IBANs.
fn national(country: &[u8; 2], account: &[u8]) -> bool {
    match country {
        b"BE" => belgian(account),
        b"ES" => spanish(account),
        _ => true,
    }
}

/// The first ten digits modulo 97, where 97 stands for zero.
fn belgian(account: &[u8]) -> bool {
    let rest = match number(account, 0..10) % 97 {
        0 => 97,
        rest => rest,
    };
    number(account, 10..12) == rest
}

/// One digit over bank and branch, one over the account; ten is written as 1, eleven as 0.
fn spanish(account: &[u8]) -> bool {
    const WEIGHTS: [u32; 10] = [1, 2, 4, 8, 5, 10, 9, 7, 3, 6];
    let digit = |sum: u32| match to_eleven(sum) {
        10 => 1,
        11 => 0,
        digit => u64::from(digit),
    };
    let bank = weighted(account, &[4, 8, 5, 10, 9, 7, 3, 6]);
    let own = weighted(account.get(10..).unwrap_or_default(), &WEIGHTS);
    number(account, 8..9) == digit(bank) && number(account, 9..10) == digit(own)
}

#[cfg(test)]
mod tests {
    use super::{CHARS_MAX, CHARS_MIN, REGISTERED, iban, mod_97};

    /// The account number with the check digits it needs.
    fn issue(country: &[u8; 2], account: &[u8]) -> Vec<u8> {
        let rest = mod_97(account.iter().chain(country).chain(b"00"));
        [country, format!("{:02}", 98 - rest).as_bytes(), account].concat()
    }

    /// An account number in `form`.
    fn account(form: &str) -> Vec<u8> {
        let mut digits = String::new();
        let mut account = Vec::new();
        for symbol in form.chars() {
            if symbol.is_ascii_digit() {
                digits.push(symbol);
                continue;
            }
            let letters: &[u8] = if symbol == 'n' { b"0718" } else { b"QWEX" };
            account.extend(letters.iter().cycle().take(digits.parse().unwrap()));
            digits.clear();
        }
        account
    }

    #[test]
    fn the_register_is_in_order_and_its_lengths_are_within_bounds() {
        assert!(REGISTERED.is_sorted());
        for (country, form) in REGISTERED {
            let length = account(form).len() + 4;
            assert!((CHARS_MIN..=CHARS_MAX).contains(&length), "{}", country.escape_ascii());
        }
    }

    #[test]
    fn each_country_holds_in_its_own_length_only() {
        for (country, form) in REGISTERED.iter().filter(|(country, _)| !matches!(*country, b"BE" | b"ES")) {
            let account = account(form);
            assert!(iban(&issue(country, &account)), "{}", country.escape_ascii());
            let (longer, shorter) = ([&account[..], b"0"].concat(), &account[1..]);
            assert!(!iban(&issue(country, &longer)) && !iban(&issue(country, shorter)));
        }
    }

    #[test]
    fn a_wrong_check_digit_a_wrong_letter_and_an_unknown_country_do_not_hold() {
        let good = issue(b"GB", b"QWEX60161331926819");
        assert!(iban(&good));
        for place in 2..good.len() {
            let mut wrong = good.clone();
            wrong[place] = if wrong[place] == b'7' { b'8' } else { b'7' };
            assert!(!iban(&wrong), "place {place}");
        }
        assert!(!iban(&issue(b"GB", b"QW3X60161331926819")) && !iban(&issue(b"XX", b"12345678901")));
        assert!(!iban(b"") && !iban(b"GB") && !iban(b"GB2") && !iban(b"GB29"));
    }

    #[test]
    fn belgian_and_spanish_accounts_have_check_digits_of_their_own() {
        assert!(iban(&issue(b"BE", b"539007547034")) && !iban(&issue(b"BE", b"539007547035")));
        assert!(
            iban(&issue(b"ES", b"21000418450200051332")) && !iban(&issue(b"ES", b"21000418450200051331"))
        );
        assert!(!iban(&issue(b"ES", b"21000418350200051332")));
    }
}
