//! Tag lists, `a=b; c=d`, and what their values are made of.
//!
//! RFC 6376 §3.2 and §2.11. Names and values keep their case; a name that stands twice makes the
//! whole list worth nothing, so that no two readers can take different ones.

/// Tags of one list.
const TAGS_MAX: usize = 64;

/// Names and values of one list.
#[derive(Debug)]
pub(crate) struct Tags<'a>(Vec<Tag<'a>>);

#[derive(Debug)]
struct Tag<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// Where the value stands in the list, with the white space around it.
    place: (usize, usize),
}

impl<'a> Tags<'a> {
    /// None if it is not a list.
    pub(crate) fn parse(list: &'a [u8]) -> Option<Self> {
        let list = list.strip_suffix(b"\r\n").unwrap_or(list);
        let list = list.trim_ascii_end().strip_suffix(b";").unwrap_or(list);
        if !is_text(list) {
            return None;
        }
        let mut tags: Vec<Tag<'a>> = Vec::with_capacity(16);
        let mut offset = 0;
        while let Some(rest) = list.get(offset..) {
            let text = rest.get(..memchr::memchr(b';', rest).unwrap_or(rest.len()))?;
            let tag = Tag::parse(text, offset)?;
            if tags.len() == TAGS_MAX || tags.iter().any(|other| other.name == tag.name) {
                return None;
            }
            tags.push(tag);
            offset += text.len() + 1;
        }
        Some(Self(tags))
    }

    pub(crate) fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.find(name).map(|tag| tag.value)
    }

    pub(crate) fn place(&self, name: &str) -> Option<(usize, usize)> {
        self.find(name).map(|tag| tag.place)
    }

    pub(crate) fn first(&self) -> Option<&'a [u8]> {
        self.0.first().map(|tag| tag.name)
    }

    fn find(&self, name: &str) -> Option<&Tag<'a>> {
        self.0.iter().find(|tag| tag.name == name.as_bytes())
    }
}

impl<'a> Tag<'a> {
    fn parse(text: &'a [u8], offset: usize) -> Option<Self> {
        let equals = memchr::memchr(b'=', text)?;
        let (name, value) = (trim(text.get(..equals)?), text.get(equals + 1..)?);
        let is_name = name.first().is_some_and(u8::is_ascii_alphabetic)
            && name.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'_');
        let place = (offset + equals + 1, offset + text.len());
        is_name.then_some(Self { name, value: trim(value), place })
    }
}

/// Visible, folding white space, or of characters beyond ASCII (RFC 8616 §3). Without a branch, so that
/// the compiler does many octets at once.
fn is_text(list: &[u8]) -> bool {
    let is_bad = |octet: u8| {
        let is_space = u8::from(octet == b'\t') | u8::from(octet == b'\r') | u8::from(octet == b'\n');
        (u8::from(octet < b' ') & !is_space) | u8::from(octet == 0x7f)
    };
    list.iter().fold(0, |bad, octet| bad | is_bad(*octet)) == 0
}

const fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// Without white space at its ends, folding included.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [octet, rest @ ..] = text
        && is_space(*octet)
    {
        text = rest;
    }
    while let [rest @ .., octet] = text
        && is_space(*octet)
    {
        text = rest;
    }
    text
}

/// Items between colons, without the white space around them.
pub(crate) fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|octet| *octet == b':').map(trim)
}

/// None if it is not base64 or is empty. White space may stand anywhere in it.
pub(crate) fn base64(value: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = value.iter().copied().filter(|octet| !is_space(*octet)).collect();
    base64_simd::STANDARD.decode_to_vec(text).ok().filter(|octets| !octets.is_empty())
}

/// Digits and nothing else; more than fit are the greatest number.
pub(crate) fn number(value: &[u8], digits_max: usize) -> Option<u64> {
    let is_number = (1..=digits_max).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    is_number.then(|| value.iter().fold(0, add))
}

/// DKIM's own quoted-printable (RFC 6376 §2.11). None if a `=` is not followed by two digits.
pub(crate) fn unquoted(value: &[u8]) -> Option<Vec<u8>> {
    let mut octets = value.iter().copied().filter(|octet| !is_space(*octet));
    let mut text = Vec::with_capacity(value.len());
    while let Some(octet) = octets.next() {
        text.push(match octet {
            b'=' => hex(octets.next()?)? << 4 | hex(octets.next()?)?,
            other => other,
        });
    }
    Some(text)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::{Tags, base64, items, number, unquoted};

    #[track_caller]
    fn check(list: &str, want: Option<&[(&str, &str)]>) {
        let tags = Tags::parse(list.as_bytes()).map(|tags| {
            let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
            tags.0.iter().map(|tag| (text(tag.name), text(tag.value))).collect::<Vec<_>>()
        });
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        assert_eq!(tags, want.map(|tags| tags.iter().map(own).collect()), "{list:?}");
    }

    #[test]
    fn lists_are_read_strictly() {
        check("a=b", Some(&[("a", "b")]));
        check(" a = b\r\n\tc ;\r\n d= ; ", Some(&[("a", "b\r\n\tc"), ("d", "")]));
        check("a=b;A=c", Some(&[("a", "b"), ("A", "c")]));
        check("a==;b=a=b", Some(&[("a", "="), ("b", "a=b")]));
        check("x_1=\u{e4}", Some(&[("x_1", "\u{e4}")]));
        for list in ["", " ", ";", "a", "a;b=c", "a=b;;", "a=b;;c=d", "a=b;a=c", "1=a", "a b=c", "=a"] {
            check(list, None);
        }
        for list in ["a=\0", "a=\x7f", "a=\x0b", "a-b=c", "\u{e4}=c"] {
            check(list, None);
        }
        let many = |count: usize| (0..count).map(|n| format!("a{n}=;")).collect::<String>();
        assert!(Tags::parse(many(64).as_bytes()).is_some() && Tags::parse(many(65).as_bytes()).is_none());
    }

    #[test]
    fn a_place_holds_the_white_space_too() {
        let tags = Tags::parse(b" a=1; b = x\r\n y ;c=2").unwrap();
        assert_eq!(tags.place("b"), Some((9, 16)));
        assert_eq!(tags.place("c"), Some((19, 20)));
        assert_eq!(tags.place("d"), None);
    }

    #[test]
    fn values_are_read_strictly() {
        assert_eq!(base64(b"AQ I\r\n\tD"), Some(vec![1, 2, 3]));
        assert_eq!((base64(b""), base64(b"A"), base64(b"A_=="), base64(b"AQ")), (None, None, None, None));
        assert_eq!((number(b"012", 12), number(b"", 9), number(b"-1", 9)), (Some(12), None, None));
        assert_eq!((number(b"1234", 3), number(b"1 2", 9)), (None, None));
        assert_eq!(number(b"99999999999999999999999", 76), Some(u64::MAX));
        assert_eq!(unquoted(b"a=3Db=\r\n 20c"), Some(b"a=b c".to_vec()));
        assert_eq!((unquoted(b"="), unquoted(b"=4"), unquoted(b"=4g")), (None, None, None));
        assert_eq!(items(b" a :b::").collect::<Vec<_>>(), [&b"a"[..], b"b", b"", b""]);
    }
}
