//! Octets of one charset to UTF-8, in pieces.

use encoding_rs::{DecoderResult, EUC_KR, GBK, UTF_8, UTF_16BE, UTF_16LE};

use super::label::{Charset, Order, Shifted};
use super::loose;
use super::shifted::Unshifter;
use super::{Defects, utf7, windows_1252};

/// One reading of the content: what is left over from the last piece lives in it.
#[derive(Debug)]
pub(super) enum Engine {
    Guessed(Guessed),
    Utf7(utf7::Decoder),
    Utf32(Utf32),
    Loose(loose::Decoder),
    Shifted { unshifter: Unshifter, decoder: encoding_rs::Decoder },
    Legacy(encoding_rs::Decoder),
}

impl Engine {
    pub(super) fn new(charset: Charset) -> Self {
        match charset {
            Charset::Unknown | Charset::Ascii => Self::Guessed(Guessed::new()),
            Charset::Utf8 => Self::Legacy(UTF_8.new_decoder_without_bom_handling()),
            Charset::Utf7 => Self::Utf7(utf7::Decoder::new()),
            Charset::Utf16(Some(Order::Big)) => Self::Legacy(UTF_16BE.new_decoder_without_bom_handling()),
            Charset::Utf16(_) => Self::Legacy(UTF_16LE.new_decoder_without_bom_handling()),
            Charset::Utf32(order) => Self::Utf32(Utf32::new(order.unwrap_or(Order::Big))),
            Charset::Loose(manner) => Self::Loose(loose::Decoder::new(manner)),
            Charset::Shifted(shifted) => {
                let encoding = if shifted == Shifted::Iso2022Kr { EUC_KR } else { GBK };
                let decoder = encoding.new_decoder_without_bom_handling();
                Self::Shifted { unshifter: Unshifter::new(shifted), decoder }
            }
            Charset::Legacy(encoding) => Self::Legacy(encoding.new_decoder_without_bom_handling()),
        }
    }

    pub(super) fn push(&mut self, input: &[u8], out: &mut String, defects: &mut Defects) {
        match self {
            Self::Guessed(decoder) => decoder.push(input, out),
            Self::Utf7(decoder) => decoder.push(input, out),
            Self::Utf32(decoder) => decoder.push(input, out, defects),
            Self::Loose(decoder) => decoder.push(input, out),
            Self::Legacy(decoder) => decode(decoder, input, false, out, defects),
            Self::Shifted { unshifter, decoder } => {
                let mut octets = Vec::new();
                unshifter.push(input, &mut octets);
                decode(decoder, &octets, false, out, defects);
            }
        }
        self.tell(defects);
    }

    pub(super) fn finish(&mut self, out: &mut String, defects: &mut Defects) {
        match self {
            Self::Guessed(decoder) => decoder.finish(out),
            Self::Utf7(decoder) => decoder.finish(out),
            Self::Utf32(decoder) => decoder.finish(out, defects),
            Self::Loose(_) => {}
            Self::Legacy(decoder) | Self::Shifted { decoder, .. } => decode(decoder, b"", true, out, defects),
        }
        self.tell(defects);
    }

    fn tell(&self, defects: &mut Defects) {
        if let Self::Utf7(decoder) = self {
            defects.invalid |= decoder.defects().invalid;
            defects.letters_shifted |= decoder.defects().letters_shifted;
        }
    }
}

/// `encoding_rs` writes into the room that a string has, and says when it is full.
fn decode(
    decoder: &mut encoding_rs::Decoder,
    input: &[u8],
    last: bool,
    out: &mut String,
    defects: &mut Defects,
) {
    let mut rest = input;
    loop {
        out.reserve(decoder.max_utf8_buffer_length(rest.len()).unwrap_or(rest.len()));
        let (result, read, replaced) = decoder.decode_to_string(rest, out, last);
        defects.invalid |= replaced;
        rest = &rest[read..];
        if result == encoding_rs::CoderResult::InputEmpty {
            return;
        }
    }
}

/// UTF-8 where it is valid, Windows-1252 octet by octet where not: what unlabelled mail is.
#[derive(Debug)]
pub(super) struct Guessed {
    decoder: encoding_rs::Decoder,
    /// The last octets before the piece at hand, for a character that began in them.
    before: Vec<u8>,
}

/// Longest beginning of a character.
const BEGUN_BYTES_MAX: usize = 3;

impl Guessed {
    fn new() -> Self {
        Self { decoder: UTF_8.new_decoder_without_bom_handling(), before: Vec::new() }
    }

    fn push(&mut self, input: &[u8], out: &mut String) {
        self.decode(input, false, out);
        self.before.extend_from_slice(&input[input.len().saturating_sub(BEGUN_BYTES_MAX)..]);
        self.before.drain(..self.before.len().saturating_sub(BEGUN_BYTES_MAX));
    }

    fn finish(&mut self, out: &mut String) {
        self.decode(b"", true, out);
    }

    fn decode(&mut self, input: &[u8], last: bool, out: &mut String) {
        let mut rest = input;
        loop {
            let room = self.decoder.max_utf8_buffer_length_without_replacement(rest.len());
            out.reserve(room.unwrap_or(rest.len()));
            let (result, read) = self.decoder.decode_to_string_without_replacement(rest, out, last);
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => rest = &rest[read..],
                DecoderResult::Malformed(bytes, _) => {
                    self.show(&rest[..read], usize::from(bytes), out);
                    rest = crawl(&rest[read..], out);
                }
            }
        }
    }

    /// The last `bytes` octets up to the end of `read` are no UTF-8. They began before it, if need be.
    fn show(&self, read: &[u8], bytes: usize, out: &mut String) {
        let here = bytes.min(read.len());
        let earlier = self.before.len().saturating_sub(bytes - here);
        let bad = self.before[earlier..].iter().chain(&read[read.len() - here..]);
        out.extend(bad.map(|byte| windows_1252(*byte)));
    }
}

/// Goes on character by character up to the next one of ASCII, for what is no UTF-8 mostly comes in
/// words. What is left may end in the beginning of a character.
fn crawl<'a>(input: &'a [u8], out: &mut String) -> &'a [u8] {
    let mut rest = input;
    while let Some((first, behind)) = rest.split_first()
        && !first.is_ascii()
    {
        match character(*first, behind) {
            Sequence::Whole(whole) => {
                out.push(whole);
                rest = &rest[whole.len_utf8()..];
            }
            Sequence::Bad(bytes) => {
                out.extend(rest[..bytes].iter().map(|byte| windows_1252(*byte)));
                rest = &rest[bytes..];
            }
            Sequence::Begun => break,
        }
    }
    rest
}

enum Sequence {
    Whole(char),
    /// So many octets are the beginning of a character, and the next one does not belong to it.
    Bad(usize),
    Begun,
}

/// The character that begins with `first`, which is none of ASCII (RFC 3629 §4).
fn character(first: u8, behind: &[u8]) -> Sequence {
    let more = match first {
        0xc2..=0xdf => 1,
        0xe0..=0xef => 2,
        0xf0..=0xf4 => 3,
        _ => return Sequence::Bad(1),
    };
    let mut number = u32::from(first) & (0x3f >> more);
    for at in 0..more {
        let Some(&byte) = behind.get(at) else { return Sequence::Begun };
        let allowed = match (first, at) {
            (0xe0, 0) => 0xa0..=0xbf,
            (0xed, 0) => 0x80..=0x9f,
            (0xf0, 0) => 0x90..=0xbf,
            (0xf4, 0) => 0x80..=0x8f,
            _ => 0x80..=0xbf,
        };
        if !allowed.contains(&byte) {
            return Sequence::Bad(at + 1);
        }
        number = number << 6 | u32::from(byte & 0x3f);
    }
    char::from_u32(number).map_or(Sequence::Bad(more + 1), Sequence::Whole)
}

#[derive(Clone, Debug)]
pub(super) struct Utf32 {
    order: Order,
    begun: Vec<u8>,
}

impl Utf32 {
    const fn new(order: Order) -> Self {
        Self { order, begun: Vec::new() }
    }

    fn push(&mut self, input: &[u8], out: &mut String, defects: &mut Defects) {
        for &byte in input {
            self.begun.push(byte);
            if let Ok(four) = <[u8; 4]>::try_from(self.begun.as_slice()) {
                self.begun.clear();
                let number = match self.order {
                    Order::Big => u32::from_be_bytes(four),
                    Order::Little => u32::from_le_bytes(four),
                };
                defects.invalid |= char::from_u32(number).is_none();
                out.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
    }

    fn finish(&mut self, out: &mut String, defects: &mut Defects) {
        if !self.begun.is_empty() {
            defects.invalid = true;
            out.push(char::REPLACEMENT_CHARACTER);
        }
        self.begun.clear();
    }
}
