//! The few fields of an X.509 certificate (RFC 5280) that we read ourselves.
//!
//! Whether a certificate is good is not judged here: the library does that. These are the facts that
//! people and rules want to see, and the key that fingerprints and TLSA records are made of.
//!
//! What must always hold: any octets may come in. A field that cannot be read is absent; text that
//! comes out has no control characters, and is bounded in length and number.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Subject alternative names that are reported of one certificate.
const NAMES_MAX: usize = 64;
/// Characters of one name that are reported.
const NAME_CHARACTERS_MAX: usize = 256;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const BMP_STRING: u8 = 0x1e;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// What we read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    /// The SubjectPublicKeyInfo with its tag and length: what selector 1 of a TLSA record hashes.
    pub key: &'a [u8],
    /// The subject's common name; empty if there is none.
    pub common_name: String,
    /// The issuer's common name; empty if there is none.
    pub issuer: String,
    /// DNS names, mail and IP addresses of the subject.
    pub names: Vec<String>,
    /// Seconds since 1970 between which it is valid; None if they cannot be read.
    pub not_before: Option<u64>,
    pub not_after: Option<u64>,
}

/// The fields of a certificate in DER; None if it is none.
pub fn fields(certificate: &[u8]) -> Option<Fields<'_>> {
    let mut outer = Der(Der(certificate).content(SEQUENCE)?);
    let mut signed = Der(outer.content(SEQUENCE)?);
    if signed.peek() == Some(VERSION) {
        signed.any()?;
    }
    signed.any()?; // serial number
    signed.any()?; // algorithm of the signature
    let issuer = signed.content(SEQUENCE)?;
    let mut validity = Der(signed.content(SEQUENCE)?);
    let subject = signed.content(SEQUENCE)?;
    let key = signed.whole(SEQUENCE)?;
    Some(Fields {
        key,
        common_name: common_name(subject).unwrap_or_default(),
        issuer: common_name(issuer).unwrap_or_default(),
        names: alternative_names(signed).unwrap_or_default(),
        not_before: validity.any().and_then(time),
        not_after: validity.any().and_then(time),
    })
}

/// A reader of tagged values, one after the other.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

/// A tag, the octets under it, and all of it.
#[derive(Clone, Copy)]
struct Value<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Der<'a> {
    fn peek(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value. Lengths of more than three octets are those of no certificate.
    fn any(&mut self) -> Option<Value<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (octets.iter().fold(0, |len, octet| len << 8 | usize::from(*octet)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        let whole = self.0.get(..self.0.len() - rest.len())?;
        self.0 = rest;
        Some(Value { tag, content, whole })
    }

    fn of(&mut self, tag: u8) -> Option<Value<'a>> {
        self.any().filter(|value| value.tag == tag)
    }

    fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.of(tag).map(|value| value.content)
    }

    fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.of(tag).map(|value| value.whole)
    }
}

impl<'a> Iterator for Der<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let value = self.any();
        if value.is_none() {
            self.0 = &[];
        }
        value
    }
}

/// The last common name: the most specific one, where there are several.
fn common_name(name: &[u8]) -> Option<String> {
    let parts = Der(name).filter(|set| set.tag == SET).flat_map(|set| Der(set.content));
    let named = parts.filter_map(|part| {
        let mut part = Der(part.content);
        (part.content(OBJECT_IDENTIFIER)? == COMMON_NAME).then(|| part.any())?
    });
    named.last().map(text)
}

fn alternative_names(rest_of_signed: Der<'_>) -> Option<Vec<String>> {
    let extensions = { rest_of_signed }.find(|value| value.tag == EXTENSIONS)?;
    let list = Der(Der(extensions.content).content(SEQUENCE)?);
    let found = list.filter_map(|extension| {
        let mut extension = Der(extension.content);
        let named = extension.content(OBJECT_IDENTIFIER)? == SUBJECT_ALTERNATIVE_NAME;
        named.then(|| extension.find(|value| value.tag == OCTET_STRING))?
    });
    let names = { found }.next()?.content;
    Some(Der(Der(names).content(SEQUENCE)?).filter_map(alternative_name).take(NAMES_MAX).collect())
}

/// One of the forms that say who a host or a mailbox is (RFC 5280 §4.2.1.6).
fn alternative_name(name: Value<'_>) -> Option<String> {
    match name.tag {
        0x81 | 0x82 => Some(text(name)), // rfc822Name, dNSName
        0x87 => <[u8; 4]>::try_from(name.content)
            .map(|octets| Ipv4Addr::from(octets).to_string())
            .or_else(|_| <[u8; 16]>::try_from(name.content).map(|octets| Ipv6Addr::from(octets).to_string()))
            .ok(),
        _ => None,
    }
}

fn text(value: Value<'_>) -> String {
    let decoded = if value.tag == BMP_STRING {
        let units = value.content.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    } else {
        String::from_utf8_lossy(value.content)
    };
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    decoded.chars().take(NAME_CHARACTERS_MAX).map(plain).collect()
}

/// Seconds since 1970 of a time in the only two forms allowed (RFC 5280 §4.1.2.5): no fractions, and
/// always `Z`.
fn time(value: Value<'_>) -> Option<u64> {
    let digits = value.content.strip_suffix(b"Z")?;
    let (year, rest) = match value.tag {
        UTC_TIME => digits.split_at_checked(2)?,
        GENERALIZED_TIME => digits.split_at_checked(4)?,
        _ => return None,
    };
    let year = match (value.tag, number(year)?) {
        (UTC_TIME, year @ 0..50) => 2000 + year,
        (UTC_TIME, year) => 1900 + year,
        (_, year) => year,
    };
    let mut pairs = rest.chunks(2).map(number);
    let mut pair = || pairs.next().flatten();
    let (month, day, hour, minute, second) = (pair()?, pair()?, pair()?, pair()?, pair()?);
    let days = days(year, month, day)?;
    (rest.len() == 10).then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn number(digits: &[u8]) -> Option<u64> {
    let digit = |digit: &u8| digit.is_ascii_digit().then(|| u64::from(*digit - b'0'));
    digits.iter().try_fold(0, |number, next| Some(number * 10 + digit(next)?))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. None before 1970 and for days that are none.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    const BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let before = *BEFORE_MONTH.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    let extra = u64::from(is_leap && month > 2);
    let past = year.checked_sub(1970)? * 365 + leaps(year - 1) - leaps(1969);
    (1..=31).contains(&day).then(|| past + before + extra + day - 1)
}

#[cfg(test)]
mod tests {
    use super::{GENERALIZED_TIME, UTC_TIME, Value, fields, time};

    #[track_caller]
    fn check_time(tag: u8, text: &str, want: Option<u64>) {
        assert_eq!(time(Value { tag, content: text.as_bytes(), whole: &[] }), want, "{text}");
    }

    #[test]
    fn times_are_seconds_since_1970() {
        check_time(UTC_TIME, "700101000000Z", Some(0));
        check_time(UTC_TIME, "260101000000Z", Some(1_767_225_600));
        check_time(GENERALIZED_TIME, "20000301000001Z", Some(951_868_801));
        check_time(GENERALIZED_TIME, "20240229235959Z", Some(1_709_251_199));
        check_time(GENERALIZED_TIME, "21000301000000Z", Some(4_107_542_400));
        check_time(GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799));
        for text in
            ["", "Z", "2601010000Z", "260101000000", "261301000000Z", "26010100000xZ", "2601010000000Z"]
        {
            check_time(UTC_TIME, text, None);
        }
        check_time(UTC_TIME, "690101000000Z", None);
    }

    #[test]
    fn noise_is_no_certificate() {
        for noise in [
            &b""[..],
            b"\x30",
            b"\x30\x80",
            b"\x30\x03\x30\x01\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"220 hello",
        ] {
            assert_eq!(fields(noise), None);
        }
    }
}
