//! Charset labels as mail has them, and what they mean.
//!
//! The names are those of the Encoding Standard (by `encoding_rs`), which are the names browsers
//! and most mail programs know, and of the charsets of mail that the standard leaves out.

use super::loose::{self, Loose};
use encoding_rs::{BIG5, EUC_KR, Encoding, GBK, ISO_2022_JP, SHIFT_JIS, X_USER_DEFINED};

/// How octets become characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// Nobody says: UTF-8 where it is valid, Windows-1252 where not.
    Unknown,
    /// Said to be ASCII: read like [`Unknown`](Self::Unknown), and more than seven bits are a defect.
    Ascii,
    Utf8,
    Utf7,
    /// Byte order as the label says, if it does.
    Utf16(Option<Order>),
    Utf32(Option<Order>),
    Shifted(Shifted),
    /// What few programs read so; where it is labelled so, they know the label.
    Loose(Loose),
    /// What `encoding_rs` decodes.
    Legacy(&'static Encoding),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

/// Seven-bit charsets that shift into sets of two octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shifted {
    /// RFC 1557.
    Iso2022Kr,
    /// RFC 1922.
    Iso2022Cn,
    /// RFC 1843.
    Hz,
}

/// What a label leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) charset: Charset,
    /// The label is known only when what surrounds or divides it is left out.
    pub(super) disguised: bool,
    /// The label says something, and nobody knows what.
    pub(super) unknown: bool,
}

/// Octets of a label that are looked at.
const LABEL_BYTES_MAX: usize = 128;

/// What `label` means, if there is one.
pub(super) fn meaning(label: Option<&[u8]>) -> Meaning {
    let label = label.unwrap_or_default().trim_ascii();
    let label = String::from_utf8_lossy(&label[..label.len().min(LABEL_BYTES_MAX)]).to_ascii_lowercase();
    if label.is_empty() || SAYS_NOTHING.contains(&label.as_str()) {
        return Meaning { charset: Charset::Unknown, disguised: false, unknown: false };
    }
    if let Some(charset) = named(&label) {
        return Meaning { charset, disguised: false, unknown: false };
    }
    match named(&bare(&label)) {
        Some(charset) => Meaning { charset, disguised: true, unknown: false },
        None if loose::is_ebcdic(&label) => {
            Meaning { charset: Charset::Loose(Loose::Ebcdic), disguised: false, unknown: true }
        }
        None => Meaning { charset: Charset::Unknown, disguised: false, unknown: true },
    }
}

/// Labels of programs that do not know what they send.
const SAYS_NOTHING: [&str; 8] =
    ["unknown", "x-unknown", "unknown-8bit", "default", "default_charset", "8bit", "binary", "_autodetect"];

/// The charset that a label in lower case names.
fn named(label: &str) -> Option<Charset> {
    if let Some((_, charset)) = OWN.iter().find(|(name, _)| *name == label) {
        return Some(*charset);
    }
    let encoding = Encoding::for_label_no_replacement(label.as_bytes())?;
    (encoding != X_USER_DEFINED).then_some(Charset::Legacy(encoding))
}

/// Names that the Encoding Standard does not have, or means otherwise: it takes ASCII for
/// Windows-1252. The last ones are names as [`bare`] leaves them.
const OWN: &[(&str, Charset)] = &[
    ("us-ascii", Charset::Ascii),
    ("ascii", Charset::Ascii),
    ("us", Charset::Ascii),
    ("7bit", Charset::Ascii),
    ("ansi_x3.4-1968", Charset::Ascii),
    ("iso646-us", Charset::Ascii),
    ("utf-8", Charset::Utf8),
    ("utf8", Charset::Utf8),
    ("unicode-1-1-utf-8", Charset::Utf8),
    ("utf-7", Charset::Utf7),
    ("utf7", Charset::Utf7),
    ("unicode-1-1-utf-7", Charset::Utf7),
    ("unicode-2-0-utf-7", Charset::Utf7),
    ("x-unicode-2-0-utf-7", Charset::Utf7),
    ("csunicode11utf7", Charset::Utf7),
    ("utf-16", Charset::Utf16(None)),
    ("utf16", Charset::Utf16(None)),
    ("unicode", Charset::Utf16(None)),
    ("csunicode", Charset::Utf16(None)),
    ("ucs-2", Charset::Utf16(None)),
    ("iso-10646-ucs-2", Charset::Utf16(None)),
    ("utf-16le", Charset::Utf16(Some(Order::Little))),
    ("unicodefeff", Charset::Utf16(Some(Order::Little))),
    ("utf-16be", Charset::Utf16(Some(Order::Big))),
    ("unicodefffe", Charset::Utf16(Some(Order::Big))),
    ("utf-32", Charset::Utf32(None)),
    ("ucs-4", Charset::Utf32(None)),
    ("iso-10646-ucs-4", Charset::Utf32(None)),
    ("utf-32le", Charset::Utf32(Some(Order::Little))),
    ("utf-32be", Charset::Utf32(Some(Order::Big))),
    ("iso-2022-kr", Charset::Shifted(Shifted::Iso2022Kr)),
    ("csiso2022kr", Charset::Shifted(Shifted::Iso2022Kr)),
    ("iso-2022-cn", Charset::Shifted(Shifted::Iso2022Cn)),
    ("iso-2022-cn-ext", Charset::Shifted(Shifted::Iso2022Cn)),
    ("hz-gb-2312", Charset::Shifted(Shifted::Hz)),
    ("hz", Charset::Shifted(Shifted::Hz)),
    ("iso-2022-jp-1", Charset::Legacy(ISO_2022_JP)),
    ("iso-2022-jp-2", Charset::Legacy(ISO_2022_JP)),
    ("iso-2022-jp-3", Charset::Legacy(ISO_2022_JP)),
    ("iso-2022-jp-ms", Charset::Legacy(ISO_2022_JP)),
    ("cp50220", Charset::Legacy(ISO_2022_JP)),
    ("cp50221", Charset::Legacy(ISO_2022_JP)),
    ("cp932", Charset::Legacy(SHIFT_JIS)),
    ("ms932", Charset::Legacy(SHIFT_JIS)),
    ("cp936", Charset::Legacy(GBK)),
    ("ms936", Charset::Legacy(GBK)),
    ("cp949", Charset::Legacy(EUC_KR)),
    ("ms949", Charset::Legacy(EUC_KR)),
    ("cp950", Charset::Legacy(BIG5)),
    ("big5-eten", Charset::Legacy(BIG5)),
    ("usascii", Charset::Ascii),
    ("utf16le", Charset::Utf16(Some(Order::Little))),
    ("utf16be", Charset::Utf16(Some(Order::Big))),
    ("ucs2", Charset::Utf16(None)),
    ("utf32", Charset::Utf32(None)),
    ("iso2022kr", Charset::Shifted(Shifted::Iso2022Kr)),
    ("iso2022cn", Charset::Shifted(Shifted::Iso2022Cn)),
    ("hzgb2312", Charset::Shifted(Shifted::Hz)),
    ("iso2022jp", Charset::Legacy(ISO_2022_JP)),
    ("shiftjis", Charset::Legacy(SHIFT_JIS)),
    ("eucjp", Charset::Legacy(encoding_rs::EUC_JP)),
    ("euckr", Charset::Legacy(EUC_KR)),
    ("koi8r", Charset::Legacy(encoding_rs::KOI8_R)),
    ("koi8u", Charset::Legacy(encoding_rs::KOI8_U)),
];

/// `label` without what stands before or after it and without signs within it, as in `"utf_8;"`,
/// `charset=utf-8`, `utf-8//ignore`, `win-1251`.
fn bare(label: &str) -> String {
    let label = label.rsplit('=').next().unwrap_or_default();
    let label = label.trim_matches(|sign: char| !sign.is_ascii_alphanumeric());
    let end = label.find(|sign: char| !sign.is_ascii_alphanumeric() && !"-_.: ".contains(sign));
    let label = &label[..end.unwrap_or(label.len())];
    let letters: String = label.chars().filter(char::is_ascii_alphanumeric).collect();
    let page = ["windows", "win", "xcp", "x"].iter().find_map(|prefix| letters.strip_prefix(prefix));
    match page {
        Some(page) if page.len() == 4 && page.starts_with("125") => format!("windows-{page}"),
        _ => letters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{GB18030, ISO_8859_2, WINDOWS_1251, WINDOWS_1252};

    #[track_caller]
    fn check(label: &str, charset: Charset, disguised: bool, unknown: bool) {
        assert_eq!(meaning(Some(label.as_bytes())), Meaning { charset, disguised, unknown }, "{label}");
    }

    #[test]
    fn labels_of_ordinary_mail_are_known() {
        assert_eq!(meaning(None).charset, Charset::Unknown);
        for (label, charset) in [
            ("", Charset::Unknown),
            ("unknown-8bit", Charset::Unknown),
            ("US-ASCII", Charset::Ascii),
            (" utf-8 ", Charset::Utf8),
            ("UTF8", Charset::Utf8),
            ("iso-8859-1", Charset::Legacy(WINDOWS_1252)),
            ("ISO-8859-2", Charset::Legacy(ISO_8859_2)),
            ("Windows-1251", Charset::Legacy(WINDOWS_1251)),
            ("gb18030", Charset::Legacy(GB18030)),
            ("ISO-2022-JP", Charset::Legacy(ISO_2022_JP)),
            ("iso-2022-kr", Charset::Shifted(Shifted::Iso2022Kr)),
            ("utf-16", Charset::Utf16(None)),
            ("UTF-16LE", Charset::Utf16(Some(Order::Little))),
            ("unicode-1-1-utf-7", Charset::Utf7),
        ] {
            check(label, charset, false, false);
        }
    }

    #[test]
    fn labels_with_something_around_or_within_are_known_and_named() {
        for label in
            ["\"utf-8\"", "'utf-8'", "utf_8", "utf-8;", "charset=utf-8", "utf-8//IGNORE", "utf 8", "=utf-8\""]
        {
            check(label, Charset::Utf8, true, false);
        }
        check("utf_7", Charset::Utf7, true, false);
        check("win-1251", Charset::Legacy(WINDOWS_1251), true, false);
        check("windows_1252", Charset::Legacy(WINDOWS_1252), true, false);
        check("iso 8859 2", Charset::Legacy(ISO_8859_2), true, false);
        check("ISO_2022_JP", Charset::Legacy(ISO_2022_JP), true, false);
        check("UTF16-LE", Charset::Utf16(Some(Order::Little)), true, false);
    }

    #[test]
    fn labels_that_nobody_knows_are_named() {
        for label in ["foo", "replacement", "x-user-defined", "cp437", "utf-9", "\u{e4}", "=", "//", "\"\""] {
            check(label, Charset::Unknown, false, true);
        }
        check(&"x".repeat(100_000), Charset::Unknown, false, true);
    }
}
