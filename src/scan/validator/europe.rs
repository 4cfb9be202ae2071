//! Identifiers of people in Europe, each by the sum its register defines.
//!
//! All take the identifier without separators, in upper case and already of the shape that the table
//! of checks names. Dates of birth inside a number are held as well: they are what keeps a ten-digit
//! order number from being taken for a person.

use super::checksum::{
    at, date, date_of_century, last, luhn, mod_11_10, number, to_eleven, to_ten, value, weighted,
};

/// Austria, social insurance number: the fourth digit checks the others.
pub(super) fn at_svnr(text: &[u8]) -> bool {
    let check = weighted(text, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11;
    // Months 13 to 15 are used where a day's numbers are spent.
    let (day, month) = (number(text, 4..6), number(text, 6..8));
    at(text, 0) != 0 && check == at(text, 3) && (1..=31).contains(&day) && (1..=15).contains(&month)
}

/// Belgium, national and BIS number: 97 less the rest of the first nine digits, with a two in front
/// for those born from 2000. Unknown dates are zero; BIS adds 20 or 40 to the month.
pub(super) fn be_nn(text: &[u8]) -> bool {
    let (body, check) = (number(text, 0..9), number(text, 9..11));
    let (month, day) = (number(text, 2..4), number(text, 4..6));
    let dated = month < 60 && month % 20 <= 12 && day <= 99;
    dated && [body, 2_000_000_000 + body].iter().any(|body| 97 - body % 97 == check)
}

/// Bulgaria, unified civil number; the month tells the century.
pub(super) fn bg_egn(text: &[u8]) -> bool {
    let sum = weighted(text, &[2, 4, 8, 5, 10, 9, 7, 3, 6]);
    let (year, month, day) = (number(text, 0..2), number(text, 2..4), number(text, 4..6));
    let born = match month {
        0..20 => date(1900 + year, month, day),
        20..40 => date(1800 + year, month - 20, day),
        _ => date(2000 + year, month.saturating_sub(40), day),
    };
    born && sum % 11 % 10 == last(text)
}

/// Switzerland, AHV number: an EAN-13 in the country's own range.
pub(super) fn ch_ahv(text: &[u8]) -> bool {
    let sum = weighted(text, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]);
    number(text, 0..3) == 756 && sum.is_multiple_of(10)
}

/// Czechia and Slovakia, birth number (those born before 1954 have no check digit, and are not
/// found). Women's months are higher by 50; 20 more where a day's numbers are spent.
pub(super) fn cz_rc(text: &[u8]) -> bool {
    let (year, day) = (number(text, 0..2), number(text, 4..6));
    let month = match number(text, 2..4) {
        month @ 71..=82 => month - 70,
        month @ 51..=62 => month - 50,
        month @ 21..=32 => month - 20,
        month => month,
    };
    let (body, check) = (number(text, 0..9), u64::from(last(text)));
    // A rest of ten was written as zero until 1985.
    date_of_century(year, month, day) && body % 11 % 10 == check
}

/// Germany, tax identification number: MOD 11-10, and of the first ten digits exactly one stands
/// there twice or three times.
pub(super) fn de_steuerid(text: &[u8]) -> bool {
    let body = text.get(..10).unwrap_or_default();
    let times = |digit: u8| body.iter().filter(|byte| **byte == digit).count();
    let repeated = (b'0'..=b'9').map(times).filter(|times| *times > 1);
    let (count, most) = repeated.fold((0, 0), |(count, most), times| (count + 1, most.max(times)));
    at(text, 0) != 0 && count == 1 && most <= 3 && mod_11_10(text)
}

/// Denmark, CPR number. Since 2007 numbers without a check digit are issued for days whose others are
/// spent, which so far are first days of January.
pub(super) fn dk_cpr(text: &[u8]) -> bool {
    let (day, month, year) = (number(text, 0..2), number(text, 2..4), number(text, 4..6));
    let spent = day == 1 && month == 1;
    let sum = weighted(text, &[4, 3, 2, 7, 6, 5, 4, 3, 2, 1]);
    date_of_century(year, month, day) && (spent || sum.is_multiple_of(11))
}

/// Estonia and Lithuania, personal code: one sum, and another where the first gives ten.
pub(super) fn ee_ik(text: &[u8]) -> bool {
    let first = weighted(text, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
    let check = match first {
        10 => weighted(text, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10,
        check => check,
    };
    let century = match at(text, 0) {
        1 | 2 => 1800,
        3 | 4 => 1900,
        5 | 6 => 2000,
        7 | 8 => 2100,
        _ => return false,
    };
    let (year, month, day) = (number(text, 1..3), number(text, 3..5), number(text, 5..7));
    date(century + year, month, day) && check == last(text)
}

/// The letter of a Spanish identity number.
fn es_letter(number: u64) -> Option<u8> {
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(usize::try_from(number % 23).ok()?).copied()
}

/// Spain, identity number of citizens.
pub(super) fn es_dni(text: &[u8]) -> bool {
    es_letter(number(text, 0..8)).as_ref() == text.last()
}

/// Spain, identity number of foreigners: X, Y, Z stand for 0, 1, 2.
pub(super) fn es_nie(text: &[u8]) -> bool {
    let class = match text.first() {
        Some(class @ b'X'..=b'Z') => u64::from(class - b'X'),
        _ => return false,
    };
    es_letter(class * 10_000_000 + number(text, 1..8)).as_ref() == text.last()
}

/// Spain, tax number: of citizens, foreigners, organisations, and the few others (K, L, M).
pub(super) fn es_nif(text: &[u8]) -> bool {
    match text.first() {
        Some(b'0'..=b'9') => es_dni(text),
        Some(b'X'..=b'Z') => es_nie(text),
        Some(b'K' | b'L' | b'M') => es_letter(number(text, 1..8)).as_ref() == text.last(),
        _ => es_cif(text),
    }
}

/// Spain, organisations: a Luhn digit, written as a digit or as a letter; sources disagree for which
/// of their classes, so both hold for all.
fn es_cif(text: &[u8]) -> bool {
    let check = (b'0'..=b'9').find(|digit| luhn(&[text.get(1..8).unwrap_or_default(), &[*digit]].concat()));
    let letter = check.and_then(|digit| b"JABCDEFGHI".get(usize::from(digit - b'0')));
    let class = matches!(text.first(), Some(b'A'..=b'H' | b'J' | b'N' | b'P'..=b'S' | b'U'..=b'W'));
    class && (check.as_ref() == text.last() || letter == text.last())
}

/// Finland, personal identity code: date, sign of the century, number, check character. From 900 on
/// numbers are temporary, below 002 there are none.
pub(super) fn fi_hetu(text: &[u8]) -> bool {
    let century = match text.get(6) {
        Some(b'+') => 1800,
        Some(b'-' | b'U'..=b'Y') => 1900,
        Some(b'A'..=b'F') => 2000,
        _ => return false,
    };
    let (day, month, year) = (number(text, 0..2), number(text, 2..4), number(text, 4..6));
    let person = number(text, 7..10);
    let rest = usize::try_from((number(text, 0..6) * 1000 + person) % 31).unwrap_or(0);
    date(century + year, month, day)
        && (2..900).contains(&person)
        && b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(rest) == text.get(10)
}

/// France, registration number (NIR): 97 less the rest, where Corsica's 2A and 2B count as 19 and 18.
pub(super) fn fr_nir(text: &[u8]) -> bool {
    let letter = match text.get(5..7) {
        Some(b"2A") => 1_000_000,
        Some(b"2B") => 2_000_000,
        Some([_, b'0'..=b'9']) => 0,
        _ => return false,
    };
    // The letter's place counts as zero first: 2A is 20 less one, 2B is 20 less two.
    let body = match letter {
        0 => number(text, 0..13),
        _ => (number(text, 0..6) * 10_000_000 + number(text, 7..13)).saturating_sub(letter),
    };
    let month = number(text, 3..5);
    let sex = matches!(text.first(), Some(b'1'..=b'4' | b'7' | b'8'));
    let dated = matches!(month, 1..=12 | 20 | 30..=42 | 50..=99);
    sex && dated && 97 - body % 97 == number(text, 13..15)
}

/// Great Britain, NHS number; a sum that asks for ten is not issued.
pub(super) fn gb_nhs(text: &[u8]) -> bool {
    let check = to_eleven(weighted(text, &[10, 9, 8, 7, 6, 5, 4, 3, 2]));
    check != 10 && check % 11 == last(text) && number(text, 0..10) != 0
}

/// Great Britain, unique taxpayer reference: the first digit checks the others.
pub(super) fn gb_utr(text: &[u8]) -> bool {
    let sum = weighted(text, &[0, 6, 7, 8, 9, 10, 5, 4, 3, 2]) % 11;
    b"21987654321".get(sum as usize) == text.first()
}

/// Greece, social security number: date and a Luhn digit.
pub(super) fn gr_amka(text: &[u8]) -> bool {
    let (day, month, year) = (number(text, 0..2), number(text, 2..4), number(text, 4..6));
    date_of_century(year, month, day) && luhn(text)
}

/// Ireland, personal public service number: a letter over seven digits and, for those issued since
/// 2013, a second letter.
pub(super) fn ie_pps(text: &[u8]) -> bool {
    let second = match text.get(8) {
        None | Some(b'W' | b'T' | b'X') => 0,
        Some(letter @ (b'A' | b'B' | b'H')) => u32::from(letter - b'A') + 1,
        Some(_) => return false,
    };
    let sum = weighted(text, &[8, 7, 6, 5, 4, 3, 2]) + second * 9;
    b"WABCDEFGHIJKLMNOPQRSTUV".get((sum % 23) as usize) == text.get(7)
}

/// Iceland: the ninth digit checks, the tenth is the century; organisations add 40 to the day.
pub(super) fn is_kennitala(text: &[u8]) -> bool {
    let century = match at(text, 9) {
        9 => 1900,
        0 => 2000,
        _ => return false,
    };
    let day = match number(text, 0..2) {
        day @ 41..=71 => day - 40,
        day => day,
    };
    let sum = weighted(text, &[3, 2, 7, 6, 5, 4, 3, 2, 1]);
    date(century + number(text, 4..6), number(text, 2..4), day) && sum.is_multiple_of(11)
}

/// Italy, fiscal code: fifteen characters, each by a table of odd places or its value at even ones.
/// Where two people share a code, digits from the right are written as letters (L is 0 to V is 9).
pub(super) fn it_codice_fiscale(text: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let rank = |byte: u8| if byte.is_ascii_digit() { value(byte) } else { value(byte).saturating_sub(10) };
    let places = text.iter().take(15).enumerate();
    let sum: u32 = places
        .map(|(place, byte)| match place % 2 {
            0 => ODD.get(rank(*byte) as usize).copied().unwrap_or(0),
            _ => rank(*byte),
        })
        .sum();
    let check = text.get(15).map(|byte| rank(*byte));
    check == Some(sum % 26) && it_born(text)
}

/// The date inside a fiscal code: year, letter of the month, day (40 more for women).
fn it_born(text: &[u8]) -> bool {
    let digit = |place: usize| match text.get(place)? {
        byte @ b'0'..=b'9' => Some(u64::from(byte - b'0')),
        byte => {
            b"LMNPQRSTUV".iter().position(|letter| letter == byte).and_then(|rank| u64::try_from(rank).ok())
        }
    };
    let two = |place: usize| Some(digit(place)? * 10 + digit(place + 1)?);
    let letter = b"ABCDEHLMPRST".iter().position(|letter| Some(letter) == text.get(8));
    let (Some(year), Some(day), Some(rank)) = (two(6), two(9), letter) else { return false };
    let day = if day > 40 { day - 40 } else { day };
    let place_is_number = (12..15).all(|place| digit(place).is_some());
    place_is_number && date_of_century(year, u64::try_from(rank).unwrap_or(0) + 1, day)
}

/// Lithuania: as in Estonia, and a nine in front where the date of birth is not known.
pub(super) fn lt_asmens(text: &[u8]) -> bool {
    if at(text, 0) != 9 {
        return ee_ik(text);
    }
    let check = match weighted(text, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11 {
        10 => weighted(text, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10,
        check => check,
    };
    check == last(text)
}

/// Latvia, personal code: date, the digit of the century (0, 1, 2), number, check digit. Since 2017
/// codes have no date and begin with 32.
pub(super) fn lv_pk(text: &[u8]) -> bool {
    let century = 1800 + u64::from(at(text, 6)) * 100;
    let sum = weighted(text, &[10, 5, 8, 4, 2, 1, 6, 3, 7, 9]);
    let born = at(text, 6) < 3 && date(century + number(text, 4..6), number(text, 2..4), number(text, 0..2));
    (born || number(text, 0..2) == 32) && (sum + 1) % 11 % 10 == last(text)
}

/// The Netherlands, citizen service number: the eleven test, where the last digit counts negative.
/// Zeros in front may be missing.
pub(super) fn nl_bsn(digits: &[u8]) -> bool {
    // Minus one is plus ten modulo eleven.
    let weights = [10, 2, 3, 4, 5, 6, 7, 8, 9];
    let sum: u32 = digits.iter().rev().zip(weights).map(|(byte, weight)| value(*byte) * weight).sum();
    number(digits, 0..digits.len()) != 0 && sum.is_multiple_of(11)
}

/// Norway, national identity number and D-number (day + 40), and those of help (month + 40): two
/// check digits. A date must be readable; FH-numbers, made of no date, begin with 8 or 9.
pub(super) fn no_fnr(text: &[u8]) -> bool {
    let less_forty = |part: u64| if part > 40 { part - 40 } else { part };
    let day = less_forty(number(text, 0..2));
    let month = match number(text, 2..4) {
        // Test persons of the tax and population registers.
        month @ 81..=92 => month - 80,
        month @ 66..=77 => month - 65,
        month => less_forty(month),
    };
    let first = weighted(text, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]);
    let second = weighted(text, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]);
    let year = number(text, 4..6);
    // The three digits after the date tell the century.
    let century = match (number(text, 6..9), year) {
        (0..500, _) | (900.., 40..) => 1900,
        (500..750, 54..) => 1800,
        (500.., 0..40) => 2000,
        _ => 0,
    };
    let dated = at(text, 0) >= 8 || century > 0 && date(century + year, month, day);
    dated && first.is_multiple_of(11) && second.is_multiple_of(11)
}

/// Poland, PESEL; the month tells the century.
pub(super) fn pl_pesel(text: &[u8]) -> bool {
    let (year, month, day) = (number(text, 0..2), number(text, 2..4), number(text, 4..6));
    let century = match month / 20 {
        0 => 1900,
        1 => 2000,
        2 => 2100,
        3 => 2200,
        _ => 1800,
    };
    let sum = weighted(text, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    date(century + year, month % 20, day) && to_ten(sum) == last(text)
}

/// Portugal, citizen card: a Luhn sum in which letters count as 10 to 35.
pub(super) fn pt_cc(text: &[u8]) -> bool {
    let places = text.iter().rev().enumerate();
    let doubled = |value: u32| if value * 2 > 9 { value * 2 - 9 } else { value * 2 };
    let sum: u32 =
        places.map(|(place, byte)| if place % 2 == 1 { doubled(value(*byte)) } else { value(*byte) }).sum();
    sum.is_multiple_of(10)
}

/// Portugal, tax number.
pub(super) fn pt_nif(text: &[u8]) -> bool {
    let check = to_eleven(weighted(text, &[9, 8, 7, 6, 5, 4, 3, 2]));
    at(text, 0) != 0 && (if check > 9 { 0 } else { check }) == last(text)
}

/// Romania, personal numeric code; the first digit tells sex and century.
pub(super) fn ro_cnp(text: &[u8]) -> bool {
    let century = match at(text, 0) {
        1 | 2 | 7 | 8 | 9 => 1900,
        3 | 4 => 1800,
        5 | 6 => 2000,
        _ => return false,
    };
    let check = match weighted(text, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11 {
        10 => 1,
        check => check,
    };
    let county = matches!(number(text, 7..9), 1..=48 | 51 | 52 | 70 | 80..=83);
    let born = date(century + number(text, 1..3), number(text, 3..5), number(text, 5..7));
    county && born && check == last(text)
}

/// Sweden, personal identity number and coordination number (day + 60): a Luhn digit over ten
/// digits; the century may stand in front.
pub(super) fn se_personnummer(text: &[u8]) -> bool {
    let (century, ten) = text.split_at_checked(text.len().saturating_sub(10)).unwrap_or_default();
    let (year, month) = (number(ten, 0..2), number(ten, 2..4));
    let day = match number(ten, 4..6) {
        day @ 61..=91 => day - 60,
        day => day,
    };
    let born = match number(century, 0..2) {
        0 if century.is_empty() => date_of_century(year, month, day),
        century @ 18..=20 => date(century * 100 + year, month, day),
        _ => false,
    };
    born && luhn(ten)
}

/// The unique master citizen number that the successors of Yugoslavia share; three digits of the year.
pub(super) fn jmbg(text: &[u8]) -> bool {
    let sum = weighted(text, &[7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]);
    let year = match number(text, 4..7) {
        year @ 800.. => 1000 + year,
        year => 2000 + year,
    };
    let born = date(year, number(text, 2..4), number(text, 0..2));
    born && to_eleven(sum) % 11 % 10 == last(text)
}

/// Türkiye, identity number: two check digits.
pub(super) fn tr_tckn(text: &[u8]) -> bool {
    let odd = weighted(text, &[1, 0, 1, 0, 1, 0, 1, 0, 1]);
    let even = weighted(text, &[0, 1, 0, 1, 0, 1, 0, 1]);
    // Minus one is plus nine modulo ten.
    let tenth = (odd * 7 + even * 9) % 10;
    at(text, 0) != 0 && tenth == at(text, 9) && (odd + even + tenth) % 10 == at(text, 10)
}

/// Ukraine, taxpayer number of individuals.
pub(super) fn ua_rntrc(text: &[u8]) -> bool {
    // Minus one is plus ten modulo eleven.
    weighted(text, &[10, 5, 7, 9, 4, 6, 10, 5, 7]) % 11 % 10 == last(text)
}

/// Russia, taxpayer number: one check digit for organisations, two for individuals.
pub(super) fn ru_inn(text: &[u8]) -> bool {
    let check = |weights: &[u32]| weighted(text, weights) % 11 % 10;
    if text.len() == 10 {
        return check(&[2, 4, 10, 3, 5, 9, 4, 6, 8]) == at(text, 9);
    }
    check(&[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == at(text, 10)
        && check(&[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == at(text, 11)
}
