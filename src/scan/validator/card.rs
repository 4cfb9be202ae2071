//! Payment card numbers: whose they are by their first six digits, and how long those are.
//!
//! ISO/IEC 7812-1: an issuer identification number, an account number, a Luhn digit. The ranges are
//! those the networks publish; a number outside all of them is not a card, however its sum ends.

use std::ops::RangeInclusive;

use super::checksum::{luhn, number, value};

/// First six digits, and how many digits there may be.
type Issue = (RangeInclusive<u64>, RangeInclusive<usize>);

/// Networks in the order of their numbers.
const ISSUES: &[Issue] = &[
    (220_000..=220_499, 16..=19), // Mir
    (222_100..=272_099, 16..=16), // Mastercard, second series
    (300_000..=305_999, 14..=19), // Diners Club
    (309_500..=309_599, 14..=19), // Diners Club
    (340_000..=349_999, 15..=15), // American Express
    (352_800..=358_999, 16..=19), // JCB
    (360_000..=369_999, 14..=19), // Diners Club
    (370_000..=379_999, 15..=15), // American Express
    (380_000..=399_999, 14..=19), // Diners Club
    (400_000..=499_999, 13..=13), // Visa, old
    (400_000..=499_999, 16..=16), // Visa
    (400_000..=499_999, 19..=19), // Visa, long
    (500_000..=509_999, 13..=19), // Maestro, RuPay, Verve, Elo
    (510_000..=559_999, 16..=16), // Mastercard
    (560_000..=589_999, 13..=19), // Maestro
    (601_100..=601_199, 16..=19), // Discover
    (606_282..=606_282, 16..=16), // Hipercard
    (607_000..=608_999, 16..=16), // RuPay
    (620_000..=629_999, 16..=19), // UnionPay
    (630_400..=630_499, 13..=19), // Maestro
    (636_000..=639_999, 13..=19), // Maestro, InterPayment, InstaPayment, Elo
    (644_000..=659_999, 16..=19), // Discover, RuPay, Elo
    (670_000..=679_999, 13..=19), // Maestro
    (810_000..=817_199, 16..=19), // UnionPay
    (979_200..=979_299, 16..=16), // Troy
];

/// Numbers that payment providers publish for testing and that the rules below do not see.
const PUBLISHED: &[&[u8]] = &[
    b"2223003122003222",
    b"30569309025904",
    b"3530111333300000",
    b"3566002020360505",
    b"371449635398431",
    b"378282246310005",
    b"378734493671000",
    b"38520000023237",
    b"4000056655665556",
    b"4012001037141112",
    b"4012888888881881",
    b"4917610000000000",
    b"5105105105105100",
    b"5200828282828210",
    b"6011000990139424",
    b"6304000000000000",
];

/// Equal steps in a row from which a number is a pattern somebody typed: one card in ten million
/// has so many by chance.
const STEPS_TYPED: usize = 7;

/// A number of one of the networks, with its Luhn digit.
pub(super) fn card(digits: &[u8]) -> bool {
    let issuer = number(digits, 0..6);
    let issued = |(first, length): &Issue| first.contains(&issuer) && length.contains(&digits.len());
    ISSUES.iter().any(issued) && luhn(digits)
}

/// A card that is no published test number, and not typed as a pattern (4242…, 1234…).
pub(super) fn live_card(digits: &[u8]) -> bool {
    card(digits) && !PUBLISHED.contains(&digits) && !typed(digits)
}

/// Whether the digits repeat with a period of up to four, or count up, for a long stretch.
fn typed(digits: &[u8]) -> bool {
    let repeats = |period: usize| {
        let later = digits.iter().skip(period);
        longest(digits.iter().zip(later).map(|(early, late)| early == late))
    };
    let up = digits.iter().zip(digits.iter().skip(1));
    let counts = longest(up.map(|(early, late)| (value(*early) + 1) % 10 == value(*late)));
    (1..=4).map(repeats).max().is_some_and(|steps| steps >= STEPS_TYPED) || counts >= STEPS_TYPED
}

/// The longest row of true.
fn longest(steps: impl Iterator<Item = bool>) -> usize {
    let rows = steps.scan(0, |row, step| {
        *row = if step { *row + 1 } else { 0 };
        Some(*row)
    });
    rows.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{card, live_card};

    /// A number of `length` digits that begins with `first` and ends with its Luhn digit.
    fn issue(first: &str, length: usize) -> String {
        let body = format!("{first:7<width$}", width = length - 1);
        let ends = (0..10).map(|check| format!("{body}{check}"));
        ends.into_iter().find(|digits| super::luhn(digits.as_bytes())).unwrap()
    }

    #[track_caller]
    fn check(first: &str, lengths: &[usize]) {
        for length in 12..=20 {
            let digits = issue(first, length);
            assert_eq!(card(digits.as_bytes()), lengths.contains(&length), "{digits}");
        }
    }

    #[test]
    fn each_network_has_its_lengths() {
        check("4532", &[13, 16, 19]);
        check("5104", &[16]);
        check("2221", &[16]);
        check("2720", &[16]);
        check("37", &[15]);
        check("6011", &[16, 17, 18, 19]);
        check("3096", &[]);
        check("3012", &[14, 15, 16, 17, 18, 19]);
        check("3528", &[16, 17, 18, 19]);
        check("6213", &[16, 17, 18, 19]);
        check("6759", &[13, 14, 15, 16, 17, 18, 19]);
        for foreign in ["1", "2220", "2721", "3527", "3590", "7", "9", "0", "6100", "66", "643"] {
            check(foreign, &[]);
        }
    }

    #[test]
    fn one_wrong_digit_is_no_card() {
        let digits = issue("4532015112", 16).into_bytes();
        for place in 0..digits.len() {
            let mut wrong = digits.clone();
            wrong[place] = (wrong[place] - b'0' + 1) % 10 + b'0';
            assert!(!card(&wrong), "place {place}");
        }
    }

    #[test]
    fn test_numbers_are_cards_but_not_live_ones() {
        let tests = ["4111111111111111", "4242424242424242", "5555555555554444", "378282246310005"];
        for digits in tests.map(str::as_bytes) {
            assert!(card(digits) && !live_card(digits), "{}", digits.escape_ascii());
        }
        let typed = issue("412345678", 16);
        assert!(card(typed.as_bytes()) && !live_card(typed.as_bytes()));
        assert!(live_card(b"4539578763621486") && live_card(b"5425233430109903"));
    }
}
