//! Check digits: the few sums from which nearly all identifiers of the world are made.
//!
//! ISO/IEC 7812 annex B (Luhn), ISO/IEC 7064 (MOD 97-10, MOD 11-10, MOD 11-2), Verhoeff's dihedral
//! sum, and weighted sums. All take an identifier without its separators, in upper case.
//!
//! Invariant: nothing here can panic, whatever the text: a place that is not there counts as zero.
//! Whether the text has the right length and letters is decided before (`Shape`).

use std::ops::Range;

/// 0 to 9 for a digit, 10 to 35 for a letter, 0 for anything else.
pub(super) const fn value(byte: u8) -> u32 {
    match byte {
        b'0'..=b'9' => (byte - b'0') as u32,
        b'A'..=b'Z' => (byte - b'A') as u32 + 10,
        _ => 0,
    }
}

/// The value of the character at `place`.
pub(super) fn at(text: &[u8], place: usize) -> u32 {
    text.get(place).map_or(0, |byte| value(*byte))
}

/// The value of the last character.
pub(super) fn last(text: &[u8]) -> u32 {
    text.last().map_or(0, |byte| value(*byte))
}

/// The decimal number that stands at `places`.
pub(super) fn number(text: &[u8], places: Range<usize>) -> u64 {
    let digits = text.get(places).unwrap_or_default();
    digits.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(10).wrapping_add(u64::from(value(*byte))))
}

/// Each value times its weight, summed as far as both reach.
pub(super) fn weighted(text: &[u8], weights: &[u32]) -> u32 {
    text.iter().zip(weights).map(|(byte, weight)| value(*byte) * weight).sum()
}

/// The digit that brings `sum` to a multiple of ten.
pub(super) const fn to_ten(sum: u32) -> u32 {
    (10 - sum % 10) % 10
}

/// 11 less the rest, as most sums modulo eleven want it: 1 to 11.
pub(super) const fn to_eleven(sum: u32) -> u32 {
    11 - sum % 11
}

/// Every second digit from the right, the check digit not among them, counts twice, its digits summed.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits.iter().rev().enumerate().map(|(place, byte)| luhn_value(place, value(*byte))).sum();
    sum.is_multiple_of(10)
}

const fn luhn_value(place: usize, value: u32) -> u32 {
    match (place % 2 == 1, value) {
        (true, 5..) => value * 2 - 9,
        (true, _) => value * 2,
        (false, _) => value,
    }
}

/// MOD 97-10: digits as they are, letters as two digits, the whole modulo 97.
pub(super) fn mod_97<'a>(text: impl IntoIterator<Item = &'a u8>) -> u32 {
    text.into_iter().fold(0, |rest, byte| match value(*byte) {
        digit @ 0..10 => (rest * 10 + digit) % 97,
        letter => (rest * 100 + letter) % 97,
    })
}

/// MOD 11-10, a hybrid system: the check digit brings the running product to one.
pub(super) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((check, payload)) = digits.split_last() else { return false };
    let product = payload.iter().fold(10, |product, byte| match (product + value(*byte)) % 10 {
        0 => 9, // 10 × 2 modulo 11
        sum => sum * 2 % 11,
    });
    (product + value(*check)) % 10 == 1
}

/// MOD 11-2, where a check character of `X` stands for ten.
pub(super) fn mod_11_2(text: &[u8]) -> bool {
    let Some((check, payload)) = text.split_last() else { return false };
    let check = match *check {
        b'X' => 10,
        digit @ b'0'..=b'9' => value(digit),
        _ => return false,
    };
    let sum = payload.iter().fold(0, |sum, byte| (sum + value(*byte)) * 2 % 11);
    (sum + check) % 11 == 1
}

/// Verhoeff: permuted digits multiplied in the symmetry group of the pentagon.
pub(super) fn verhoeff(digits: &[u8]) -> bool {
    let from_right = digits.iter().rev().enumerate();
    from_right.fold(0, |sum, (place, byte)| pentagon(sum, permuted(place, value(*byte)))) == 0
}

/// 0 to 4 turn the pentagon, 5 to 9 turn and mirror it.
const fn pentagon(first: u32, second: u32) -> u32 {
    let turn = if first < 5 { first + second % 5 } else { first + 5 - second % 5 };
    turn % 5 + if (first < 5) == (second < 5) { 0 } else { 5 }
}

fn permuted(times: usize, digit: u32) -> u32 {
    const ONCE: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    (0..times % 8).fold(digit, |digit, _| ONCE.get(digit as usize).copied().unwrap_or(0))
}

/// Whether the calendar has this day. Years are full ones.
pub(super) const fn date(year: u64, month: u64, day: u64) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    1 <= day && day <= days
}

/// Whether the calendar of either century has this day; for years of two digits.
pub(super) const fn date_of_century(year: u64, month: u64, day: u64) -> bool {
    date(1900 + year, month, day) || date(2000 + year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{date, date_of_century, luhn, mod_11_2, mod_11_10, mod_97, number, verhoeff};

    /// Luhn as its patent tells it: double, cross sum, add.
    fn luhn_in_words(digits: &str) -> bool {
        let mut sum = 0;
        for (place, digit) in digits.chars().rev().map(|digit| digit.to_digit(10).unwrap()).enumerate() {
            let doubled = if place % 2 == 0 { digit } else { digit * 2 };
            sum += doubled / 10 + doubled % 10;
        }
        sum % 10 == 0
    }

    proptest! {
        #[test]
        fn luhn_agrees_with_its_definition(digits in "[0-9]{0,20}") {
            prop_assert_eq!(luhn(digits.as_bytes()), luhn_in_words(&digits));
        }

        #[test]
        fn mod_97_agrees_with_long_division(digits in "[1-9][0-9]{0,36}") {
            let whole: u128 = digits.parse().unwrap();
            prop_assert_eq!(u128::from(mod_97(digits.as_bytes())), whole % 97);
        }

        #[test]
        fn every_single_error_and_swap_breaks_verhoeff(payload in "[0-9]{3,14}", place in 0usize..15, by in 1u8..10) {
            let sums = (b'0'..=b'9').map(|check| [payload.as_bytes(), &[check]].concat());
            let whole: Vec<_> = sums.filter(|digits| verhoeff(digits)).collect();
            prop_assert_eq!(whole.len(), 1);
            let mut wrong = whole[0].clone();
            let place = place % wrong.len();
            wrong[place] = (wrong[place] - b'0' + by) % 10 + b'0';
            prop_assert_eq!(verhoeff(&wrong), false);
            let mut swapped = whole[0].clone();
            swapped.swap(0, 1);
            prop_assert_eq!(verhoeff(&swapped), swapped == whole[0]);
        }

        #[test]
        fn one_check_digit_of_ten_fits_mod_11_10(payload in "[0-9]{1,20}") {
            let fits = (b'0'..=b'9').filter(|check| mod_11_10(&[payload.as_bytes(), &[*check]].concat()));
            prop_assert_eq!(fits.count(), 1);
        }
    }

    #[test]
    fn published_examples_hold() {
        assert!(verhoeff(b"2363") && mod_11_10(b"07945") && mod_11_2(b"079X") && mod_11_2(b"07940"));
        assert!(!verhoeff(b"2364") && !mod_11_10(b"07946") && !mod_11_2(b"0799") && !mod_11_2(b"0794X"));
        assert_eq!((number(b"12345", 1..4), number(b"12", 1..4)), (234, 0));
    }

    #[test]
    fn the_calendar_knows_leap_years() {
        assert!(date(2000, 2, 29) && date(2024, 2, 29) && !date(1900, 2, 29) && !date(2023, 2, 29));
        assert!(date_of_century(0, 2, 29) && !date_of_century(1, 2, 29));
        assert!(!date(2024, 0, 1) && !date(2024, 13, 1) && !date(2024, 4, 31) && !date(2024, 4, 0));
    }
}
