//! Percent-encoding (RFC 3986 §2.1) undone.

use std::borrow::Cow;

/// `text` with its encoded octets decoded once; what is no UTF-8 then is replaced.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        match (byte, octet(after)) {
            (b'%', Some(octet)) => {
                out.push(octet);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Decodes until nothing changes, at most `times` times: who wraps a link once wraps it twice.
pub(super) fn decode_deep(text: &str, times: usize) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..times {
        match decode(&text) {
            Cow::Owned(decoded) if decoded != *text => text = Cow::Owned(decoded),
            _ => break,
        }
    }
    text
}

/// The octet that two hexadecimal digits are.
fn octet(digits: &[u8]) -> Option<u8> {
    let value = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (high, rest) = digits.split_first()?;
    Some(value(high)? << 4 | value(rest.first()?)?)
}

#[cfg(test)]
mod tests {
    use super::{decode, decode_deep};

    #[test]
    fn octets_are_decoded_and_the_rest_is_left() {
        assert_eq!(decode("a%20b%2"), "a b%2");
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(decode("%C3%A9%ff"), "é\u{fffd}");
        assert_eq!(decode("%253A"), "%3A");
        assert_eq!(decode_deep("%25253A", 3), ":");
        assert_eq!(decode_deep("%25253A", 2), "%3A");
    }
}
