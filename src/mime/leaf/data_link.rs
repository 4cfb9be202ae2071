//! `data:` links: a file that stands in the address itself (RFC 2397).
//!
//! A browser opens it like any other file, so what it holds is a part of its own. What is escaped is
//! undone first, then base64, as browsers do; white space that a document may break an address with
//! is no part of it.
//!
//! What must hold: the result does not depend on cuts, and of what stands before the comma a bounded
//! beginning and end are held.

use super::file::{Around, File};
use crate::mime::base64;
use crate::mime::content_type::Head;
use crate::mime::defect::Defects;
use crate::mime::walker::Shared;
use crate::mime::{Origin, PartId, Sink};

/// Octets before the comma that count: a type and a charset.
const FRONT_BYTES_MAX: usize = 256;
/// `;base64` is the last word before the comma, however much stands in front of it.
const BACK: &[u8] = b"base64";

/// Reads what follows `data:`.
#[derive(Debug, Default)]
struct Decoder {
    /// What stands before the comma: its beginning and its end.
    front: Vec<u8>,
    back: Vec<u8>,
    begun: bool,
    escape: Escape,
    base64: Option<Box<base64::Decoder>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Percent,
    Digit(u8),
}

impl Decoder {
    /// Appends to `out` what the next octets of the address hold; whether the comma has passed.
    /// `unescaped` is room to work in.
    fn push(&mut self, address: &[u8], unescaped: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        let mut rest = address;
        while !self.begun {
            let Some((&octet, after)) = rest.split_first() else {
                return false;
            };
            rest = after;
            self.before_comma(octet);
        }
        unescaped.clear();
        rest.iter().for_each(|octet| self.escape = unescape(self.escape, *octet, unescaped));
        self.take(unescaped, out);
        true
    }

    /// The address is over: an escape that was begun stands for itself.
    fn finish(&mut self, out: &mut Vec<u8>) {
        let mut rest = Vec::new();
        match std::mem::take(&mut self.escape) {
            Escape::None => {}
            Escape::Percent => rest.push(b'%'),
            Escape::Digit(high) => rest.extend([b'%', high]),
        }
        self.take(&rest, out);
        if let Some(decoder) = &mut self.base64 {
            decoder.finish(out);
        }
    }

    fn take(&mut self, unescaped: &[u8], out: &mut Vec<u8>) {
        match &mut self.base64 {
            Some(decoder) => decoder.push(unescaped, out),
            None => out.extend_from_slice(unescaped),
        }
    }

    fn before_comma(&mut self, octet: u8) {
        match octet {
            b',' => {
                self.begun = true;
                let is_base64 = self.back.eq_ignore_ascii_case(BACK);
                self.base64 = is_base64.then(|| Box::new(base64::Decoder::new(base64::Padding::Concatenate)));
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => {
                if self.front.len() < FRONT_BYTES_MAX {
                    self.front.push(octet.to_ascii_lowercase());
                }
                if self.back.len() == BACK.len() {
                    self.back.remove(0);
                }
                self.back.push(octet);
            }
        }
    }

    /// What stands before the comma, as a header section would say it.
    fn head(&self) -> Head {
        let front = String::from_utf8_lossy(&self.front);
        let mut words = front.split(';');
        let media_type = words.next().filter(|word| word.contains('/')).unwrap_or("text/plain").to_owned();
        let charset = words.find_map(|word| word.strip_prefix("charset=")).unwrap_or_default().to_owned();
        Head { media_type, charset, ..Head::default() }
    }
}

/// The state behind `octet`; what has no more to wait for goes to `out`.
fn unescape(state: Escape, octet: u8, out: &mut Vec<u8>) -> Escape {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    match (state, octet) {
        (_, b'\t' | b'\r' | b'\n') => return state,
        (Escape::Digit(high), _) if octet.is_ascii_hexdigit() => {
            out.push(value(high).unwrap_or(0) << 4 | value(octet).unwrap_or(0));
            return Escape::None;
        }
        (Escape::Percent, _) if octet.is_ascii_hexdigit() => return Escape::Digit(octet),
        (Escape::Digit(high), _) => out.extend([b'%', high]),
        (Escape::Percent, _) => out.push(b'%'),
        (Escape::None, _) => {}
    }
    if octet == b'%' {
        return Escape::Percent;
    }
    out.push(octet);
    Escape::None
}

/// The `data:` links of a document, one after the other.
#[derive(Debug, Default)]
pub(super) struct DataLinks {
    around: Around,
    decoder: Option<Box<Decoder>>,
    file: Option<File>,
    /// There was no room for it.
    dropped: bool,
    limits: Defects,
}

impl DataLinks {
    /// Those of a document that lies in this.
    pub(super) fn new(around: Around) -> Self {
        Self { around, ..Self::default() }
    }

    /// Takes the next piece of an address; the first one begins with `data:`.
    pub(super) fn push(
        &mut self,
        piece: &str,
        last: bool,
        part: PartId,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) {
        let (mut decoder, address) = match self.decoder.take() {
            Some(decoder) => (decoder, piece),
            None => (Box::default(), piece.get("data:".len()..).unwrap_or_default()),
        };
        let (mut unescaped, mut octets) = (shared.buffers.octets(), shared.buffers.octets());
        let begun = decoder.push(address.as_bytes(), &mut unescaped, &mut octets);
        shared.buffers.put_octets(unescaped);
        if begun && self.file.is_none() && !self.dropped {
            let head = decoder.head();
            self.file =
                File::begin(part, Origin::Guessed, &head, self.around, &mut self.limits, shared, sink);
            self.dropped = self.file.is_none();
        }
        if last {
            decoder.finish(&mut octets);
        } else {
            self.decoder = Some(decoder);
        }
        if let Some(file) = &mut self.file {
            file.push(&octets, shared, sink);
        }
        shared.buffers.put_octets(octets);
        if last {
            self.dropped = false;
            if let Some(file) = self.file.take() {
                file.end(shared, sink);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a link holds and what it says to be, at every cut.
    #[track_caller]
    fn check(address: &str, want: &str, media_type: &str) {
        for cut in 0..=address.len() {
            let (mut decoder, mut out) = (Decoder::default(), Vec::new());
            decoder.push(&address.as_bytes()[..cut], &mut Vec::new(), &mut out);
            decoder.push(&address.as_bytes()[cut..], &mut Vec::new(), &mut out);
            decoder.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), want, "cut at {cut}");
            assert_eq!(decoder.head().media_type, media_type, "cut at {cut}");
        }
    }

    #[test]
    fn links_hold_what_browsers_open() {
        check(",Cat", "Cat", "text/plain");
        check("Text/HTML;charset=utf-8,C%61t%", "Cat%", "text/html");
        check("text/plain;base64,Q2F0", "Cat", "text/plain");
        check("image/png; BASE64,Q%32F0Q2E%3D", "CatCa", "image/png");
        check(",C\r\n\tat%4g%g", "Cat%4g%g", "text/plain");
        check("text/html", "", "text/html");
        check(&format!("text/html;x={};base64,Q2F0", "y".repeat(1000)), "Cat", "text/html");
    }
}
