//! UTF-7: RFC 2152.
//!
//! `+` shifts into base64 of UTF-16, anything outside that alphabet shifts back; a `-` that does is
//! not shown. The variant of IMAP (RFC 3501 §5.1.3, `&` and `,`) is no charset of content: neither
//! sign means anything here.

use memchr::memchr;

use super::windows_1252;

/// What was wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Defects {
    /// Octets above 127, half a character, half a surrogate pair, bits left over.
    pub(super) invalid: bool,
    /// Letters or digits of ASCII were shifted, which nobody needs.
    pub(super) letters_shifted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Direct,
    /// Behind `+`.
    Shift,
    /// Within base64.
    Shifted,
}

#[derive(Clone, Debug)]
pub(super) struct Decoder {
    state: State,
    /// Bits that make no unit yet, and how many.
    bits: u32,
    bits_count: u32,
    /// The first half of a surrogate pair.
    high: Option<u16>,
    defects: Defects,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { state: State::Direct, bits: 0, bits_count: 0, high: None, defects: Defects::default() }
    }

    pub(super) fn push(&mut self, input: &[u8], out: &mut String) {
        let mut rest = input;
        while let Some((&first, behind)) = rest.split_first() {
            if self.state == State::Direct {
                let end = memchr(b'+', rest).unwrap_or(rest.len());
                self.direct(&rest[..end], out);
                if end < rest.len() {
                    self.state = State::Shift;
                }
                rest = rest.get(end + 1..).unwrap_or_default();
            } else if let Some(sextet) = sextet(first) {
                self.take(sextet, out);
                rest = behind;
            } else {
                self.shift_back(first, out);
                rest = if first == b'-' { behind } else { rest };
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut String) {
        if self.state != State::Direct {
            self.shift_back(b'\n', out);
        }
    }

    pub(super) const fn defects(&self) -> Defects {
        self.defects
    }

    fn direct(&mut self, text: &[u8], out: &mut String) {
        match std::str::from_utf8(text) {
            Ok(ascii) if text.is_ascii() => out.push_str(ascii),
            _ => {
                self.defects.invalid = true;
                out.extend(text.iter().map(|byte| windows_1252(*byte)));
            }
        }
    }

    fn take(&mut self, sextet: u8, out: &mut String) {
        self.state = State::Shifted;
        self.bits = self.bits << 6 | u32::from(sextet);
        self.bits_count += 6;
        if self.bits_count >= 16 {
            self.bits_count -= 16;
            let [.., first, second] = (self.bits >> self.bits_count).to_be_bytes();
            self.bits &= (1 << self.bits_count) - 1;
            self.unit(u16::from_be_bytes([first, second]), out);
        }
    }

    fn unit(&mut self, unit: u16, out: &mut String) {
        self.defects.letters_shifted |= is_letter(unit);
        let high = self.high.take();
        let whole = match (high, unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                out.extend(char::decode_utf16([high, unit]).flatten());
                return;
            }
            (_, 0xd800..=0xdbff) => None,
            _ => char::from_u32(u32::from(unit)),
        };
        if high.is_some() {
            self.lone_surrogate(out);
        }
        match (whole, unit) {
            (Some(character), _) => out.push(character),
            (None, 0xd800..=0xdbff) => self.high = Some(unit),
            (None, _) => self.lone_surrogate(out),
        }
    }

    fn lone_surrogate(&mut self, out: &mut String) {
        self.defects.invalid = true;
        out.push(char::REPLACEMENT_CHARACTER);
    }

    /// `byte` is not of the alphabet: base64 is over.
    fn shift_back(&mut self, byte: u8, out: &mut String) {
        if self.state == State::Shift {
            self.defects.invalid |= byte != b'-';
            out.push('+');
        }
        self.defects.invalid |= self.bits_count >= 6 || self.bits != 0;
        if self.high.take().is_some() {
            self.lone_surrogate(out);
        }
        (self.state, self.bits, self.bits_count) = (State::Direct, 0, 0);
    }
}

/// The value of a character of base64.
const fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

const fn is_letter(unit: u16) -> bool {
    let [high, low] = unit.to_be_bytes();
    high == 0 && low.is_ascii_alphanumeric()
}

/// Whether `run`, which is what follows a `+`, is whole UTF-16 with a letter of ASCII in it: then
/// somebody hides something. Telephone numbers and the like are not.
pub(super) fn hides_letters(run: &[u8]) -> bool {
    let (mut decoder, mut text) = (Decoder::new(), String::new());
    decoder.push(b"+", &mut text);
    decoder.push(run, &mut text);
    decoder.finish(&mut text);
    let defects = decoder.defects();
    defects.letters_shifted && !defects.invalid && text.chars().all(|character| !character.is_control())
}

/// Whether `byte` goes on with a shifted run.
pub(super) const fn is_shifted(byte: u8) -> bool {
    sextet(byte).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, want: &str, invalid: bool) {
        for cut in 0..=input.len() {
            let (mut decoder, mut out) = (Decoder::new(), String::new());
            let (first, second) = input.as_bytes().split_at(cut);
            decoder.push(first, &mut out);
            decoder.push(second, &mut out);
            decoder.finish(&mut out);
            assert_eq!((out.as_str(), decoder.defects().invalid), (want, invalid), "cut at {cut}");
        }
    }

    #[test]
    fn examples_of_the_rfc_decode() {
        check("Hi Mom -+Jjo--!", "Hi Mom -\u{263a}-!", false);
        check("A+ImIDkQ.", "A\u{2262}\u{391}.", false);
        check("+ZeVnLIqe-", "\u{65e5}\u{672c}\u{8a9e}", false);
        check("Item 3 is +AKM-1.", "Item 3 is \u{a3}1.", false);
        check("1 +- 1 = 2", "1 + 1 = 2", false);
        check("+2D3eAA-", "\u{1f600}", false);
    }

    #[test]
    fn letters_may_be_shifted() {
        check("v+AGkAYQ-gra +ADw-b+AD4-", "viagra <b>", false);
        check("v+AGk", "vi", false);
    }

    #[test]
    fn what_is_no_utf7_is_shown_as_it_is() {
        check("1+ 2", "1+ 2", true);
        check("1+", "1+", true);
        check("+A-", "", true);
        check("+AGl-", "i", true);
        check("+2D0-", "\u{fffd}", true);
        check("+3gA-", "\u{fffd}", true);
        check("+2D3YPd4A-", "\u{fffd}\u{1f600}", true);
        check("&AGk- a,b", "&AGk- a,b", false);
        check("+AGk,", "i,", false);
    }

    #[test]
    fn hidden_letters_are_told_from_numbers() {
        for run in ["AGk", "ADwAcwBjAHIAaQBwAHQAPg"] {
            assert!(hides_letters(run.as_bytes()), "{run}");
        }
        for run in ["", "1", "123", "1234567", "49", "491701234567", "Jjo", "A", "AG", "AGl", "AAEAaQ"] {
            assert!(!hides_letters(run.as_bytes()), "{run}");
        }
    }
}
