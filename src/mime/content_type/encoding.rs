//! Content-Transfer-Encoding (RFC 2045 §6.1), and what is put in its place.
//!
//! One word of five, and readers differ in what they do with anything else: some compare the whole
//! value, some its beginning, some look for the word anywhere. So a value that is not just the word
//! is read in two ways; one that has none of the words in it is unknown, and only the raw reading can
//! tell what the body is.

use crate::mime::content_type::TransferEncoding;
use crate::mime::content_type::parameter::{Manner, Reader};
use crate::mime::defect::{Defect, Defects};
use crate::mime::encoded_word;

/// What a field says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) encoding: TransferEncoding,
    /// What others take it for.
    pub(crate) other: Option<TransferEncoding>,
    pub(crate) defects: Defects,
}

/// Words that are no encoding, and that all take for none: what careless programs send.
const CARELESS: &[&[u8]] = &[
    b"",
    b"7-bit",
    b"7bits",
    b"7 bit",
    b"8-bit",
    b"8bits",
    b"8 bit",
    b"16bit",
    b"ascii",
    b"us-ascii",
    b"none",
    b"plain",
    b"text",
    b"text/plain",
    b"utf-8",
    b"iso-8859-1",
    b"unknown",
];

const UUENCODE: &[&[u8]] = &[b"x-uuencode", b"uuencode", b"x-uue", b"uue", b"x-uu"];

/// More of a value than this no reader needs to see whole.
const VALUE_BYTES_MAX: usize = 1024;

/// Reads the field's value, unfolded.
pub(crate) fn read(value: &[u8]) -> Found {
    let mut reader = Reader::new(value, Manner::STRICT);
    let word = reader.word();
    let alone = reader.at_end() && !reader.flaws.ambiguous();
    match known(word) {
        Some(encoding) if alone => Found { encoding, ..Found::default() },
        _ if alone && is_uuencode(word) => Found {
            encoding: TransferEncoding::Uuencode,
            other: Some(TransferEncoding::Identity),
            defects: Defects::from_iter([Defect::EncodingUuencode]),
        },
        _ if is_careless(value) => {
            Found { defects: Defects::from_iter([Defect::EncodingCareless]), ..Found::default() }
        }
        _ => disguised(value),
    }
}

/// The encodings of RFC 2045; three of them say that nothing is encoded.
fn known(word: &[u8]) -> Option<TransferEncoding> {
    let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
    match word.len() {
        4 if is(b"7bit") || is(b"8bit") => Some(TransferEncoding::Identity),
        6 if is(b"binary") => Some(TransferEncoding::Identity),
        6 if is(b"base64") => Some(TransferEncoding::Base64),
        16 if is(b"quoted-printable") => Some(TransferEncoding::QuotedPrintable),
        _ => None,
    }
}

/// Names of uuencode that are in use; programs that know it know them all.
fn is_uuencode(word: &[u8]) -> bool {
    UUENCODE.iter().any(|name| word.eq_ignore_ascii_case(name))
}

fn is_careless(value: &[u8]) -> bool {
    CARELESS.iter().any(|careless| value.eq_ignore_ascii_case(careless))
}

/// Looks for encodings anywhere in the value, whatever stands between their letters.
fn disguised(value: &[u8]) -> Found {
    let value = &value[..value.len().min(VALUE_BYTES_MAX)];
    let mut text = String::new();
    encoded_word::Reader::default().decode(value, &mut text);
    let mut letters: Vec<u8> = text.bytes().filter(u8::is_ascii_alphanumeric).collect();
    letters.make_ascii_lowercase();
    let base64 = memchr::memmem::find(&letters, b"base64");
    let quoted = memchr::memmem::find(&letters, b"quotedprintable");
    let (encoding, other) = match (base64, quoted) {
        (Some(base64), Some(quoted)) if base64 < quoted => {
            (TransferEncoding::Base64, TransferEncoding::QuotedPrintable)
        }
        (Some(_), Some(_)) => (TransferEncoding::QuotedPrintable, TransferEncoding::Base64),
        (Some(_), None) => (TransferEncoding::Base64, TransferEncoding::Identity),
        (None, Some(_)) => (TransferEncoding::QuotedPrintable, TransferEncoding::Identity),
        (None, None) => {
            return Found { defects: Defects::from_iter([unknown(&letters)]), ..Found::default() };
        }
    };
    let conflict = base64.is_some() && quoted.is_some();
    let defect = if conflict { Defect::EncodingConflict } else { Defect::EncodingDisguised };
    Found { encoding, other: Some(other), defects: Defects::from_iter([defect]) }
}

/// `8bit;` or `"7bit"` are careless; what has none of the known words in it is unknown.
fn unknown(letters: &[u8]) -> Defect {
    if matches!(letters, b"7bit" | b"8bit" | b"binary" | b"") {
        Defect::EncodingCareless
    } else {
        Defect::EncodingUnknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TransferEncoding::{Base64, Identity, QuotedPrintable};

    #[track_caller]
    fn check(
        value: &str,
        encoding: TransferEncoding,
        other: Option<TransferEncoding>,
        defect: Option<Defect>,
    ) {
        let want = Found { encoding, other, defects: defect.into_iter().collect() };
        assert_eq!(read(value.as_bytes()), want, "{value}");
    }

    #[test]
    fn encodings_that_are_said_plainly() {
        check("7bit", Identity, None, None);
        check("8BIT", Identity, None, None);
        check("binary", Identity, None, None);
        check(" bAse64 ", Base64, None, None);
        check("Quoted-Printable", QuotedPrintable, None, None);
    }

    #[test]
    fn careless_ones_mean_none() {
        for value in ["", "8-bit", "7bits", "\"8bit\"", "8bit;", "US-ASCII"] {
            check(value, Identity, None, Some(Defect::EncodingCareless));
        }
    }

    #[test]
    fn disguised_ones_are_read_both_ways() {
        let disguised = Some(Defect::EncodingDisguised);
        for value in [
            "\"base64\"",
            "base64;",
            "base64 (x)",
            "(x)base64",
            "x-base64",
            "=?us-ascii?q?base64?=",
            ": base64",
        ] {
            check(value, Base64, Some(Identity), disguised);
        }
        check("quoted printable", QuotedPrintable, Some(Identity), disguised);
    }

    #[test]
    fn uuencode_is_an_encoding_to_some() {
        check("X-Uuencode", TransferEncoding::Uuencode, Some(Identity), Some(Defect::EncodingUuencode));
    }

    #[test]
    fn two_are_a_conflict() {
        let conflict = Some(Defect::EncodingConflict);
        check("base64, quoted-printable", Base64, Some(QuotedPrintable), conflict);
        check("quoted-printable base64", QuotedPrintable, Some(Base64), conflict);
    }

    #[test]
    fn others_are_unknown() {
        for value in ["64", "gzip", "x-uu e"] {
            check(value, Identity, None, Some(Defect::EncodingUnknown));
        }
    }
}
