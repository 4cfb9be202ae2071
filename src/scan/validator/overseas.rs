//! Identifiers of people in the Americas, Asia, Africa and Oceania, each by the sum its register
//! defines; and the two that are of no country (device, bank routing).
//!
//! All take the identifier without separators, in upper case and already of the shape that the table
//! of checks names.

use super::checksum::{
    at, date, date_of_century, last, luhn, mod_11_2, number, to_eleven, to_ten, value, verhoeff, weighted,
};

/// United States, social security number: no check digit, but areas, groups and serials that are
/// never issued, and a few numbers that advertising made known.
pub(super) fn us_ssn(text: &[u8]) -> bool {
    let (area, group, serial) = (number(text, 0..3), number(text, 3..5), number(text, 5..9));
    let issued = !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0;
    issued && !matches!(number(text, 0..9), 78_051_120 | 219_099_999 | 457_555_462)
}

/// United States, taxpayer number of those who have no social security number.
pub(super) fn us_itin(text: &[u8]) -> bool {
    let group = number(text, 3..5);
    at(text, 0) == 9 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// United States, bank routing number: the ranges of the Federal Reserve's districts.
pub(super) fn us_aba(text: &[u8]) -> bool {
    let district = number(text, 0..2);
    let issued = matches!(district, 0..=12 | 21..=32 | 61..=72 | 80) && number(text, 0..9) != 0;
    issued && weighted(text, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
}

/// Canada, social insurance number: none begins with 0 or 8.
pub(super) fn ca_sin(text: &[u8]) -> bool {
    !matches!(at(text, 0), 0 | 8) && luhn(text)
}

/// Mexico, population registry code: letters count by their place in an alphabet with Ñ.
pub(super) fn mx_curp(text: &[u8]) -> bool {
    let rank = |byte: u8| value(byte) + u32::from(byte > b'N');
    let body = text.iter().take(17).zip((2..=18).rev());
    let sum: u32 = body.map(|(byte, weight)| rank(*byte) * weight).sum();
    let born = date_of_century(number(text, 4..6), number(text, 6..8), number(text, 8..10));
    let state = text.get(11..13).is_some_and(|state| STATES_OF_MEXICO.contains(&state));
    born && state && matches!(text.get(10), Some(b'H' | b'M' | b'X')) && to_ten(sum) == last(text)
}

const STATES_OF_MEXICO: &[&[u8]] = &[
    b"AS", b"BC", b"BS", b"CC", b"CH", b"CL", b"CM", b"CS", b"DF", b"DG", b"GR", b"GT", b"HG", b"JC", b"MC",
    b"MN", b"MS", b"NE", b"NL", b"NT", b"OC", b"PL", b"QR", b"QT", b"SL", b"SP", b"SR", b"TC", b"TL", b"TS",
    b"VZ", b"YN", b"ZS",
];

/// The check digit of Brazil's registers: modulo eleven, where ten and eleven are written as zero.
fn brazilian(sum: u32) -> u32 {
    match to_eleven(sum) {
        10 | 11 => 0,
        check => check,
    }
}

/// Brazil, individuals. Eleven times the same digit has the right sums and is never issued.
pub(super) fn br_cpf(text: &[u8]) -> bool {
    let first = brazilian(weighted(text, &[10, 9, 8, 7, 6, 5, 4, 3, 2]));
    let second = brazilian(weighted(text, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]));
    let same = text.iter().all(|byte| Some(byte) == text.first());
    !same && (first, second) == (at(text, 9), at(text, 10))
}

/// Brazil, organisations; letters, used since 2026, count by their distance from the digit zero.
pub(super) fn br_cnpj(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 13] = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];
    let sum = |weights: &[u32]| {
        let pairs = text.iter().zip(weights);
        pairs.map(|(byte, weight)| u32::from(byte.saturating_sub(b'0')) * weight).sum()
    };
    let first = brazilian(sum(&WEIGHTS[1..]));
    let second = brazilian(sum(&WEIGHTS));
    number(text, 0..12) != 0 && (first, second) == (at(text, 12), at(text, 13))
}

/// Chile: weights 2 to 7 from the right over and over; ten is written as K.
pub(super) fn cl_rut(text: &[u8]) -> bool {
    let Some((check, body)) = text.split_last() else { return false };
    let weights = (2..=7).cycle();
    let sum: u32 = body.iter().rev().zip(weights).map(|(byte, weight)| value(*byte) * weight).sum();
    let wanted = match to_eleven(sum) {
        10 => b'K',
        11 => b'0',
        digit => b"0123456789".get(digit as usize).copied().unwrap_or(0),
    };
    *check == wanted
}

/// Argentina, tax number of people and organisations; the first two digits are a class.
pub(super) fn ar_cuit(text: &[u8]) -> bool {
    let check = match to_eleven(weighted(text, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2])) {
        11 => 0,
        10 => 9,
        check => check,
    };
    let class = matches!(number(text, 0..2), 20 | 23 | 24 | 25 | 26 | 27 | 30 | 33 | 34 | 50 | 51 | 55);
    class && check == last(text)
}

/// Argentina, bank account: bank and branch, then the account, each with its digit.
pub(super) fn ar_cbu(text: &[u8]) -> bool {
    let sum = |text: &[u8]| {
        let weights = [3, 1, 7, 9].into_iter().cycle();
        text.iter().rev().zip(weights).map(|(byte, weight)| value(*byte) * weight).sum()
    };
    let part = |places| text.get::<std::ops::Range<usize>>(places).unwrap_or_default();
    to_ten(sum(part(0..7))) == at(text, 7) && to_ten(sum(part(8..21))) == at(text, 21)
}

/// Colombia, tax number, which contains that of the citizen's card.
pub(super) fn co_nit(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 15] = [3, 7, 13, 17, 19, 23, 29, 37, 41, 43, 47, 53, 59, 67, 71];
    let body = text.iter().rev().skip(1).zip(WEIGHTS);
    let sum: u32 = body.map(|(byte, weight)| value(*byte) * weight).sum();
    let check = match sum % 11 {
        rest @ 0..=1 => rest,
        rest => 11 - rest,
    };
    check == last(text)
}

/// Ecuador, identity card: province, a third digit below six, a Luhn digit.
pub(super) fn ec_ci(text: &[u8]) -> bool {
    let province = matches!(number(text, 0..2), 1..=24 | 30 | 50);
    province && at(text, 2) <= 6 && luhn(text)
}

/// Peru, identity document with its check digit or letter.
pub(super) fn pe_cui(text: &[u8]) -> bool {
    let sum = weighted(text, &[3, 2, 7, 6, 5, 4, 3, 2]);
    let rest = (sum % 11) as usize;
    let (digit, letter) = (b"65432110987".get(rest), b"KJIHGFEDCBA".get(rest));
    text.last().is_some_and(|check| Some(check) == digit || Some(check) == letter)
}

/// China, resident identity number: place, date, MOD 11-2.
pub(super) fn cn_ric(text: &[u8]) -> bool {
    let province = matches!(
        number(text, 0..2),
        11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81 | 82 | 91
    );
    let year = number(text, 6..10);
    let born = (1800..2100).contains(&year) && date(year, number(text, 10..12), number(text, 12..14));
    province && born && mod_11_2(text)
}

/// India, Aadhaar: Verhoeff; none begins with 0 or 1 or reads the same from both ends.
pub(super) fn in_aadhaar(text: &[u8]) -> bool {
    let palindrome = text.iter().eq(text.iter().rev());
    at(text, 0) > 1 && !palindrome && verhoeff(text)
}

/// India, permanent account number: the fourth letter says whose it is. Its check letter's sum is not
/// published.
pub(super) fn in_pan(text: &[u8]) -> bool {
    let holder = text.get(3).is_some_and(|letter| b"ABCFGHJKLPT".contains(letter));
    holder && number(text, 5..9) != 0
}

/// Israel, identity number.
pub(super) fn il_id(text: &[u8]) -> bool {
    number(text, 0..9) != 0 && luhn(text)
}

/// Japan, individual number.
pub(super) fn jp_my_number(text: &[u8]) -> bool {
    let check = to_eleven(weighted(text, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]));
    (if check > 9 { 0 } else { check }) == last(text)
}

/// South Korea, resident registration number; the seventh digit tells the century.
pub(super) fn kr_rrn(text: &[u8]) -> bool {
    let century = match at(text, 6) {
        1 | 2 | 5 | 6 => 1900,
        3 | 4 | 7 | 8 => 2000,
        _ => 1800,
    };
    let sum = weighted(text, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    let born = date(century + number(text, 0..2), number(text, 2..4), number(text, 4..6));
    born && number(text, 7..9) <= 96 && to_eleven(sum) % 10 == last(text)
}

/// Thailand, personal identification number.
pub(super) fn th_pin(text: &[u8]) -> bool {
    let check = to_eleven(weighted(text, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2])) % 10;
    !matches!(at(text, 0), 0 | 9) && check == last(text)
}

/// South Africa, identity number: date, citizenship (0, 1, refugees 2), a Luhn digit.
pub(super) fn za_id(text: &[u8]) -> bool {
    let born = date_of_century(number(text, 0..2), number(text, 2..4), number(text, 4..6));
    born && at(text, 10) <= 2 && luhn(text)
}

/// Australia, tax file number.
pub(super) fn au_tfn(text: &[u8]) -> bool {
    number(text, 0..9) != 0 && weighted(text, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
}

/// Australia, business number: one less in the first place, modulo 89.
pub(super) fn au_abn(text: &[u8]) -> bool {
    let sum = weighted(text, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    at(text, 0) != 0 && (sum - 10).is_multiple_of(89)
}

/// New Zealand, tax number: a second row of weights where the first asks for ten.
pub(super) fn nz_ird(text: &[u8]) -> bool {
    let body = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
    let weigh = |weights: [u32; 8]| {
        let pairs = body.iter().rev().zip(weights.into_iter().rev());
        let sum: u32 = pairs.map(|(byte, weight)| value(*byte) * weight).sum();
        to_eleven(sum) % 11
    };
    let check = match weigh([3, 2, 7, 6, 5, 4, 3, 2]) {
        10 => weigh([7, 4, 3, 2, 5, 2, 7, 6]),
        check => check,
    };
    (10_000_000..150_000_000).contains(&number(text, 0..text.len())) && check == last(text)
}

/// Mobile devices, IMEI: a Luhn digit over a type code of the known reporting bodies.
pub(super) fn imei(text: &[u8]) -> bool {
    matches!(number(text, 0..2), 1 | 10..=54 | 86 | 91 | 98 | 99) && luhn(text)
}
