//! The two ways to make octets comparable that mail systems change on the way.
//!
//! RFC 6376 §3.4. `simple` keeps what came; `relaxed` reduces white space. What both do at the end
//! of a body is `body`'s; here is what is done within lines, and to one header field.
//!
//! Invariant: the fast search and the plain one find the same place.

use crate::sender::header_section::Field;

/// Octets looked at together.
const BLOCK: usize = 64;

/// A canonicalisation algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Canonical {
    Simple,
    Relaxed,
}

/// How much of `text` stays as it is when white space is reduced: up to the first TAB, or the first
/// space behind which comes white space, CR, or the end of `text`.
pub(super) fn unchanged(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(block) = text.get(at..=at + BLOCK)
        && !has_change(block)
    {
        at += BLOCK;
    }
    let rest = text.get(at..).unwrap_or_default();
    let change = memchr::memchr2_iter(b' ', b'\t', rest).find(|place| changes_at(rest, *place));
    at + change.unwrap_or(rest.len())
}

fn changes_at(text: &[u8], place: usize) -> bool {
    text.get(place) == Some(&b'\t') || matches!(text.get(place + 1), None | Some(b' ' | b'\t' | b'\r'))
}

/// Without a branch, so that the compiler does many octets at once.
fn has_change(block: &[u8]) -> bool {
    let next = block.get(1..).unwrap_or_default();
    let mut found = 0;
    for (octet, next) in block.iter().zip(next) {
        let is_end = u8::from(*next == b' ') | u8::from(*next == b'\t') | u8::from(*next == b'\r');
        found |= u8::from(*octet == b'\t') | (u8::from(*octet == b' ') & is_end);
    }
    found != 0
}

/// One field as it is signed, its final CRLF included (RFC 6376 §3.4.1, §3.4.2).
pub(crate) fn field(canonical: Canonical, field: &Field<'_>, out: &mut Vec<u8>) {
    match canonical {
        Canonical::Simple => out.extend_from_slice(field.raw.strip_suffix(b"\r\n").unwrap_or(field.raw)),
        Canonical::Relaxed => {
            name(field, out);
            value(&[field.value()], out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The field that carries the signature: as `field`, but the signature itself is taken out and no
/// CRLF ends it (RFC 6376 §3.7). `signature` is its place in the value.
pub(crate) fn signing_field(
    canonical: Canonical,
    field: &Field<'_>,
    signature: (usize, usize),
    out: &mut Vec<u8>,
) {
    let text = field.value();
    let before = text.get(..signature.0).unwrap_or(text);
    let behind = text.get(signature.1..).unwrap_or_default();
    match canonical {
        Canonical::Simple => {
            let head = field.raw.len() - text.len();
            out.extend_from_slice(field.raw.get(..head).unwrap_or_default());
            out.extend_from_slice(before);
            out.extend_from_slice(behind.strip_suffix(b"\r\n").unwrap_or(behind));
        }
        Canonical::Relaxed => {
            name(field, out);
            value(&[before, behind], out);
        }
    }
}

fn name(field: &Field<'_>, out: &mut Vec<u8>) {
    out.extend(field.name().iter().map(u8::to_ascii_lowercase));
    out.push(b':');
}

/// Unfolded, every run of white space one space, none at either end. The pieces are one text.
fn value(pieces: &[&[u8]], out: &mut Vec<u8>) {
    let start = out.len();
    let mut gap = false;
    for line in pieces.iter().flat_map(|piece| piece.split(|octet| matches!(octet, b'\r' | b'\n'))) {
        let mut rest = line;
        while let Some(first) = rest.first() {
            if matches!(first, b' ' | b'\t') {
                gap = true;
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            if gap && out.len() > start {
                out.push(b' ');
            }
            gap = false;
            let (plain, behind) = rest.split_at(unchanged(rest));
            out.extend_from_slice(plain);
            rest = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Canonical, changes_at, field, signing_field, unchanged};
    use crate::sender::header_section::Fields;
    use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

    #[track_caller]
    fn check(raw: &str, want: &str) {
        let fields = Fields::read(raw.as_bytes()).unwrap();
        for (canonical, want) in [(Canonical::Relaxed, want), (Canonical::Simple, raw)] {
            let mut out = Vec::new();
            field(canonical, &fields.all()[0], &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn a_relaxed_field_has_one_space_for_any_white_space() {
        check("A: X\r\n", "a:X\r\n");
        check("B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n");
        check("SUBJect:AbC\r\n", "subject:AbC\r\n");
        check("A:\r\n", "a:\r\n");
        check("A:  \r\n \t\r\n", "a:\r\n");
        check("A:\r\n x\r\n  y:\tz\r\n", "a:x y: z\r\n");
    }

    #[test]
    fn the_signature_is_taken_out_with_its_white_space() {
        let raw = b"DKIM-Signature: a=1; b= x y\r\n\tz ;  c=2\r\n";
        let fields = Fields::read(raw).unwrap();
        let cut = |canonical| {
            let mut out = Vec::new();
            signing_field(canonical, &fields.all()[0], (8, 17), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(cut(Canonical::Simple), "DKIM-Signature: a=1; b=;  c=2");
        assert_eq!(cut(Canonical::Relaxed), "dkim-signature:a=1; b=; c=2");
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let octet = prop::sample::select(b"aaaaaaaaaaaaaaaaaaaaaaaa  \t\r\n".to_vec());
        prop::collection::vec(octet, 0..400)
    }

    proptest! {
        #[test]
        fn the_fast_search_finds_what_the_plain_one_does(text in text(), skip in any::<prop::sample::Index>()) {
            let text = &text[skip.index(text.len() + 1)..];
            let is_space = |place: &usize| matches!(text[*place], b' ' | b'\t');
            let plain = (0..text.len()).filter(is_space).find(|place| changes_at(text, *place));
            prop_assert_eq!(unchanged(text), plain.unwrap_or(text.len()));
        }
    }
}
