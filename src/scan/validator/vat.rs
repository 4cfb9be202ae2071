//! Value added tax numbers of the European Union and of the United Kingdom.
//!
//! The European Commission's list of structures; the sums are those of the member states. The
//! number must have its country's two letters in front: without them most are just digits.

use super::checksum::{at, date, last, luhn, mod_11_10, mod_97, number, to_eleven, to_ten, value, weighted};
use super::europe::{bg_egn, cz_rc, es_nif, lv_pk, nl_bsn, pt_nif, ro_cnp};
use super::shape::fits;

pub(super) const CHARS_MIN: usize = 4;
pub(super) const CHARS_MAX: usize = 15;

/// Country, form of what follows, and when that holds.
type Rule = (&'static [u8; 2], &'static str, fn(&[u8]) -> bool);

const RULES: &[Rule] = &[
    (b"AT", "1a8n", austria),
    (b"BE", "9n", belgium),
    (b"BE", "10n", belgium),
    (b"BG", "9n", bulgaria),
    (b"BG", "10n", bulgaria_other),
    (b"CY", "8n1a", cyprus),
    (b"CZ", "8n", czechia),
    (b"CZ", "9n", czechia_people),
    (b"CZ", "10n", cz_rc),
    (b"DE", "9n", germany),
    (b"DK", "8n", |text| at(text, 0) != 0 && weighted(text, &[2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)),
    (b"EE", "9n", |text| weighted(text, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)),
    (b"EL", "8n", greece),
    (b"EL", "9n", greece),
    (b"ES", "1c7n1c", es_nif),
    (b"FI", "8n", |text| weighted(text, &[7, 9, 10, 5, 8, 4, 2, 1]).is_multiple_of(11)),
    (b"FR", "2c9n", france),
    (b"GB", "9n", united_kingdom),
    (b"GB", "12n", united_kingdom),
    (b"HR", "11n", mod_11_10),
    (b"HU", "8n", |text| weighted(text, &[9, 7, 3, 1, 9, 7, 3, 1]).is_multiple_of(10)),
    (b"IE", "7n1a", ireland),
    (b"IE", "7n2a", ireland),
    (b"IE", "1n1a5n1a", ireland_old),
    (b"IT", "11n", |text| matches!(number(text, 7..10), 1..=100 | 120 | 121 | 888 | 999) && luhn(text)),
    (b"LT", "9n", lithuania),
    (b"LT", "12n", lithuania),
    (b"LU", "8n", |text| number(text, 0..6) % 89 == number(text, 6..8)),
    (b"LV", "11n", latvia),
    (b"MT", "8n", |text| at(text, 0) != 0 && weighted(text, &[3, 4, 6, 7, 8, 9, 10, 1]).is_multiple_of(37)),
    (b"NL", "7n1a2n", netherlands),
    (b"NL", "8n1a2n", netherlands),
    (b"NL", "9n1a2n", netherlands),
    (b"PL", "10n", |text| weighted(text, &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == last(text)),
    (b"PT", "9n", pt_nif),
    (b"RO", "13n", ro_cnp),
    (b"SE", "12n", |text| luhn(text.get(..10).unwrap_or_default()) && number(text, 10..12) == 1),
    (b"SI", "8n", slovenia),
    (b"SK", "10n", slovakia),
    (b"XI", "9n", united_kingdom),
    (b"XI", "12n", united_kingdom),
];

/// A country's letters and a number that holds there. Romania's has from two to ten digits.
pub(super) fn eu_vat(text: &[u8]) -> bool {
    let Some((country, rest)) = text.split_first_chunk::<2>() else { return false };
    let holds = |(name, form, holds): &Rule| *name == country && fits(rest, form) && holds(rest);
    RULES.iter().any(holds) || country == b"RO" && romania(rest)
}

/// `U` and a sum of digits, every second one doubled and cross-summed.
fn austria(text: &[u8]) -> bool {
    let digits = text.get(1..8).unwrap_or_default();
    let doubled = |value: u32| value * 2 / 10 + value * 2 % 10;
    let places = digits.iter().enumerate();
    let sum: u32 =
        places.map(|(place, byte)| if place % 2 == 1 { doubled(value(*byte)) } else { value(*byte) }).sum();
    text.first() == Some(&b'U') && to_ten(sum + 4) == last(text)
}

/// The zero in front of older ones may be missing.
fn belgium(text: &[u8]) -> bool {
    let whole = number(text, 0..text.len());
    let body = whole / 100;
    (1..20_000_000).contains(&body) && 97 - body % 97 == whole % 100
}

/// Legal entities.
fn bulgaria(text: &[u8]) -> bool {
    let check = match weighted(text, &[1, 2, 3, 4, 5, 6, 7, 8]) % 11 {
        10 => weighted(text, &[3, 4, 5, 6, 7, 8, 9, 10]) % 11 % 10,
        check => check,
    };
    check == last(text)
}

/// People, foreigners, and what is neither.
fn bulgaria_other(text: &[u8]) -> bool {
    let foreigner = weighted(text, &[21, 19, 17, 13, 11, 9, 7, 3, 1]) % 10 == last(text);
    let other = to_eleven(weighted(text, &[4, 3, 2, 7, 6, 5, 4, 3, 2])) % 11 == last(text);
    bg_egn(text) || foreigner || other
}

/// Digits at odd places count by a table, the sum is a letter.
fn cyprus(text: &[u8]) -> bool {
    const ODD: [u32; 10] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21];
    let odd = |byte: u8| ODD.get(value(byte) as usize).copied().unwrap_or(0);
    let places = text.iter().take(8).enumerate();
    let sum: u32 = places.map(|(place, byte)| if place % 2 == 0 { odd(*byte) } else { value(*byte) }).sum();
    number(text, 0..2) != 12 && sum % 26 + 10 == last(text)
}

/// Legal entities.
fn czechia(text: &[u8]) -> bool {
    let check = to_eleven(weighted(text, &[8, 7, 6, 5, 4, 3, 2])) % 10;
    at(text, 0) != 9 && check == last(text)
}

/// People: those born before 1954 have no check digit, those without a birth number a six in front.
fn czechia_people(text: &[u8]) -> bool {
    let born = date(1900 + number(text, 0..2), number(text, 2..4) % 50, number(text, 4..6));
    if born && number(text, 0..2) < 54 {
        return true;
    }
    let sum = weighted(text.get(1..).unwrap_or_default(), &[8, 7, 6, 5, 4, 3, 2]) % 11;
    at(text, 0) == 6 && (18 - (21 - sum) % 11) % 10 == last(text)
}

fn germany(text: &[u8]) -> bool {
    at(text, 0) != 0 && mod_11_10(text)
}

/// The sum that a doubling per digit makes; the zero in front of older ones may be missing.
fn greece(text: &[u8]) -> bool {
    let body = text.iter().rev().skip(1).zip(1..);
    let sum: u32 = body.map(|(byte, place)| value(*byte) << place).sum();
    sum != 0 && sum % 11 % 10 == last(text)
}

/// The number of the company's register and a key: of digits, or of letters without I and O.
fn france(text: &[u8]) -> bool {
    let company = number(text, 2..11);
    let rank = |place: usize| {
        let letters = b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZ";
        letters
            .iter()
            .position(|letter| Some(letter) == text.get(place))
            .and_then(|rank| u64::try_from(rank).ok())
    };
    let (Some(first), Some(second)) = (rank(0), rank(1)) else { return false };
    // Monaco's are among them, with zeros in front and no sum of their own.
    let company_holds = company < 1_000_000 || luhn(text.get(2..).unwrap_or_default());
    let key = match (first, second) {
        (0..10, 0..10) => return company_holds && (company * 100 + 12) % 97 == first * 10 + second,
        (0..10, _) => first * 24 + second - 10,
        _ => first * 34 + second - 100,
    };
    company_holds && (company + 1 + key / 11) % 11 == key % 11
}

/// A letter over seven digits and a second letter, where there is one.
fn ireland(text: &[u8]) -> bool {
    let second = text.get(8).map(|byte| IRISH.iter().position(|letter| letter == byte));
    let Some(second) = second.unwrap_or(Some(0)) else { return false };
    let sum = weighted(text, &[8, 7, 6, 5, 4, 3, 2]) as usize + second * 9;
    IRISH.get(sum % 23) == text.get(7)
}

/// The old form, whose second character is a letter: the first digit comes last in the sum.
fn ireland_old(text: &[u8]) -> bool {
    let sum = weighted(text.get(2..).unwrap_or_default(), &[7, 6, 5, 4, 3]) + at(text, 0) * 2;
    IRISH.get((sum % 23) as usize) == text.last()
}

const IRISH: &[u8; 23] = b"WABCDEFGHIJKLMNOPQRSTUV";

/// Nine digits, or twelve for those registered for a time.
fn lithuania(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4];
    let Some((check, body)) = text.split_last() else { return false };
    let sum = match weighted(body, &WEIGHTS) % 11 {
        10 => weighted(body, &WEIGHTS[2..]) % 11 % 10,
        sum => sum,
    };
    body.last() == Some(&b'1') && sum == value(*check)
}

/// Legal entities from four on, people below.
fn latvia(text: &[u8]) -> bool {
    let sum = weighted(text, &[9, 1, 4, 8, 3, 10, 2, 5, 7, 6, 1]) % 11;
    if at(text, 0) > 3 { sum == 3 } else { lv_pk(text) }
}

/// Those of people since 2020 have a check over the whole, letters included.
fn netherlands(text: &[u8]) -> bool {
    let Some((digits, [b'B', branch @ ..])) = text.split_at_checked(text.len().saturating_sub(3)) else {
        return false;
    };
    branch != b"00" && (nl_bsn(digits) || mod_97(b"NL".iter().chain(text)) == 1)
}

fn romania(text: &[u8]) -> bool {
    let body = text.split_last().map_or(&[][..], |(_, body)| body);
    let weights = [2, 3, 5, 7, 1, 2, 3, 5, 7];
    let sum: u32 = body.iter().rev().zip(weights).map(|(byte, weight)| value(*byte) * weight).sum();
    let written = (2..=10).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    written && at(text, 0) != 0 && sum * 10 % 11 % 10 == last(text)
}

fn slovakia(text: &[u8]) -> bool {
    let entity = at(text, 0) != 0 && matches!(at(text, 2), 2 | 3 | 4 | 7 | 8 | 9);
    entity && number(text, 0..10).is_multiple_of(11) || cz_rc(text)
}

fn slovenia(text: &[u8]) -> bool {
    let check = to_eleven(weighted(text, &[8, 7, 6, 5, 4, 3, 2]));
    at(text, 0) != 0 && check != 11 && check % 10 == last(text)
}

/// Modulo 97, and since 2009 also 55 less; branches have three digits more.
fn united_kingdom(text: &[u8]) -> bool {
    let sum = u64::from(weighted(text, &[8, 7, 6, 5, 4, 3, 2])) + number(text, 7..9);
    number(text, 0..9) != 0 && matches!(sum % 97, 0 | 42)
}
