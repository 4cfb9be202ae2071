//! Octets of text to UTF-8, by what the label says and by what the content shows.
//!
//! RFC 2046 §4.1.2 (charset), RFC 2152 (UTF-7), RFC 2781 (UTF-16), the Encoding Standard (the rest, by
//! `encoding_rs`). Text without a label, or with one nobody knows, is UTF-8 where it is valid and
//! Windows-1252 where not.
//!
//! Where programs may believe the content and not the label, there is a second reading:
//! [`Decoder::take_second`]. It begins with the content, or shortly before the first sign of it.
//!
//! What must always hold:
//! * Both readings and the defects do not depend on how the input was cut.
//! * Nothing is left out but NUL, which is named: text that is UTF-16 in truth shows its letters of
//!   ASCII in every reading.
//! * A decoder holds [`SNIFF_BYTES`] at the beginning, and then a character or shift that was begun.

mod engine;
mod label;
mod loose;
mod shifted;
mod utf7;
mod watch;

use engine::Engine;
use label::{Charset, Order};
use loose::Loose;
use memchr::{memchr, memchr2};
use watch::{Sign, Watch};

/// What was wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    /// Nobody knows the charset that the label names.
    pub label_unknown: bool,
    /// The label names a charset only when quotes, signs or words around it are left out.
    pub label_disguised: bool,
    /// More than seven bits in what the label says is ASCII. There is a second reading.
    pub eight_bit: bool,
    /// Octets that are nothing in this charset.
    pub invalid: bool,
    /// NUL in text: left out.
    pub nul: bool,
    /// A byte order mark of another charset than the label's. There is a second reading.
    pub mark_contradicts: bool,
    /// The content looks like UTF-16, or UTF-16 of the other byte order. There is a second reading.
    pub looks_utf16: bool,
    /// The content hides letters from programs that do not take it for UTF-7. There is a second
    /// reading.
    pub looks_utf7: bool,
    /// The content shifts like ISO-2022-JP. There is a second reading.
    pub looks_iso_2022_jp: bool,
    /// UTF-7 that shifts letters of ASCII: they could stand as they are.
    pub letters_shifted: bool,
}

/// Octets looked at before the first character is decoded.
pub const SNIFF_BYTES: usize = 256;

/// Decodes text, in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    charset: Charset,
    /// The beginning, until it was looked at.
    beginning: Option<Vec<u8>>,
    first: Engine,
    second: Option<Engine>,
    second_text: String,
    /// Looks for reasons for a second reading where there may be some.
    watch: Option<Watch>,
    defects: Defects,
}

impl Decoder {
    /// `label` is the value of the charset parameter, if there is one.
    pub fn new(label: Option<&[u8]>) -> Self {
        let meaning = label::meaning(label);
        let defects = Defects {
            label_unknown: meaning.unknown,
            label_disguised: meaning.disguised,
            ..Defects::default()
        };
        Self {
            charset: meaning.charset,
            beginning: Some(Vec::new()),
            first: Engine::new(meaning.charset),
            second: None,
            second_text: String::new(),
            watch: is_watched(meaning.charset).then(Watch::default),
            defects,
        }
    }

    /// Appends to `out` the text that `input` is.
    pub fn push(&mut self, input: &[u8], out: &mut String) {
        let Some(beginning) = &mut self.beginning else { return self.decode(input, out) };
        let (held, rest) = input.split_at(input.len().min(SNIFF_BYTES - beginning.len()));
        beginning.extend_from_slice(held);
        if beginning.len() == SNIFF_BYTES {
            self.begin(out);
            self.decode(rest, out);
        }
    }

    /// Ends the content.
    pub fn finish(&mut self, out: &mut String) {
        self.begin(out);
        if let Some(watch) = &mut self.watch
            && let Some(sign) = watch.finish()
        {
            self.read_again(sign, b"");
        }
        let before = out.len();
        self.first.finish(out, &mut self.defects);
        self.drop_nul(before, out);
        if let Some(second) = &mut self.second {
            second.finish(&mut self.second_text, &mut Defects::default());
        }
    }

    /// Appends to `out` what the second reading has given since the last call; to be called after
    /// each [`push`](Self::push) and [`finish`](Self::finish), for what is not taken is kept.
    pub fn take_second(&mut self, out: &mut String) {
        if !self.second_text.is_empty() {
            out.push_str(&self.second_text);
            // There seldom is one: no room for it is held between pieces.
            self.second_text = String::new();
        }
    }

    /// What was wrong so far; complete after [`finish`](Self::finish).
    pub const fn defects(&self) -> Defects {
        self.defects
    }

    /// Looks at the beginning, decides on the readings, and decodes it.
    fn begin(&mut self, out: &mut String) {
        let Some(beginning) = self.beginning.take() else { return };
        let sight = look(self.charset, &beginning);
        self.defects.mark_contradicts = sight.mark_contradicts;
        self.defects.looks_utf16 = sight.looks_utf16;
        self.first = Engine::new(sight.charset);
        if sight.second.is_some() {
            self.watch = None;
            self.second = sight.second.map(Engine::new);
        }
        self.read_first(&beginning[sight.mark_bytes..], out);
        self.read_second(&beginning[sight.second_mark_bytes..]);
    }

    fn decode(&mut self, input: &[u8], out: &mut String) {
        self.read_first(input, out);
        self.read_second(input);
    }

    fn read_first(&mut self, input: &[u8], out: &mut String) {
        self.defects.eight_bit |= self.charset == Charset::Ascii && !input.is_ascii();
        let before = out.len();
        self.first.push(input, out, &mut self.defects);
        self.drop_nul(before, out);
    }

    fn read_second(&mut self, input: &[u8]) {
        if let Some(second) = &mut self.second {
            return second.push(input, &mut self.second_text, &mut Defects::default());
        }
        let odd = self.odd_octet(input);
        let Some(watch) = &mut self.watch else { return };
        let end = odd.map_or(input.len(), |(_, at)| at);
        if let Some((sign, at)) = watch.push(&input[..end]) {
            self.read_again(sign, &input[at..]);
        } else if let Some((sign, at)) = odd {
            self.read_again(sign, &input[at..]);
        }
    }

    /// The first octet that is a sign by itself. Only text that is known not to be what it is said to
    /// be is looked through.
    fn odd_octet(&self, input: &[u8]) -> Option<(Sign, usize)> {
        match self.charset {
            // An octet that is none of UTF-8 may be told with the next one.
            Charset::Utf8 if self.defects.invalid || matches!(input.last(), Some(0xc0 | 0xc1)) => {
                memchr2(0xc0, 0xc1, input).map(|at| (Sign::Overlong, at))
            }
            Charset::Ascii if self.defects.eight_bit => {
                let found = input.iter().position(|octet| !octet.is_ascii());
                found.map(|at| (Sign::EightBit, at))
            }
            _ => None,
        }
    }

    /// Begins the second reading in the middle of the content; `rest` is what follows the sign.
    fn read_again(&mut self, sign: Sign, rest: &[u8]) {
        let charset = match sign {
            Sign::Utf7 => Charset::Utf7,
            Sign::Iso2022Jp => Charset::Legacy(encoding_rs::ISO_2022_JP),
            Sign::Overlong => Charset::Loose(Loose::OverlongUtf8),
            Sign::EightBit => Charset::Loose(Loose::SevenBit),
        };
        self.defects.looks_utf7 |= sign == Sign::Utf7;
        self.defects.looks_iso_2022_jp |= sign == Sign::Iso2022Jp;
        let beginning = self.watch.take().map(Watch::into_beginning).unwrap_or_default();
        let mut second = Engine::new(charset);
        for piece in [beginning.as_slice(), rest] {
            second.push(piece, &mut self.second_text, &mut Defects::default());
        }
        self.second = Some(second);
    }

    fn drop_nul(&mut self, before: usize, out: &mut String) {
        if memchr(0, &out.as_bytes()[before..]).is_some() {
            self.defects.nul = true;
            let text = out.split_off(before);
            out.extend(text.split('\0'));
        }
    }
}

/// Whether content with this label may be UTF-7 or ISO-2022-JP in truth.
fn is_watched(charset: Charset) -> bool {
    match charset {
        Charset::Unknown | Charset::Ascii | Charset::Utf8 => true,
        Charset::Legacy(encoding) => encoding.is_ascii_compatible(),
        Charset::Utf7 | Charset::Utf16(_) | Charset::Utf32(_) => false,
        Charset::Shifted(_) | Charset::Loose(_) => false,
    }
}

/// What the beginning of the content shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sight {
    /// The label's charset, with the byte order if the content shows it.
    charset: Charset,
    mark_bytes: usize,
    second: Option<Charset>,
    second_mark_bytes: usize,
    mark_contradicts: bool,
    looks_utf16: bool,
}

fn look(charset: Charset, beginning: &[u8]) -> Sight {
    let plain = Sight {
        charset,
        mark_bytes: 0,
        second: None,
        second_mark_bytes: 0,
        mark_contradicts: false,
        looks_utf16: false,
    };
    if charset == Charset::Loose(Loose::Ebcdic) {
        // Those who do not know the label show what they would without one.
        return Sight { second: Some(Charset::Unknown), ..plain };
    }
    match mark(charset, beginning) {
        Some((marked, mark_bytes)) if agrees(charset, marked) => {
            Sight { charset: settled(charset, marked), mark_bytes, ..plain }
        }
        Some((marked, mark_bytes)) => {
            Sight { second: Some(marked), second_mark_bytes: mark_bytes, mark_contradicts: true, ..plain }
        }
        None => look_for_order(plain, beginning),
    }
}

/// The byte order mark that `beginning` begins with, and its length.
fn mark(charset: Charset, beginning: &[u8]) -> Option<(Charset, usize)> {
    match beginning {
        [0xef, 0xbb, 0xbf, ..] => Some((Charset::Utf8, 3)),
        [0xff, 0xfe, 0, 0, ..] if matches!(charset, Charset::Utf32(_)) => {
            Some((Charset::Utf32(Some(Order::Little)), 4))
        }
        [0, 0, 0xfe, 0xff, ..] => Some((Charset::Utf32(Some(Order::Big)), 4)),
        [0xff, 0xfe, ..] => Some((Charset::Utf16(Some(Order::Little)), 2)),
        [0xfe, 0xff, ..] => Some((Charset::Utf16(Some(Order::Big)), 2)),
        _ => None,
    }
}

/// Whether the label leaves open what the mark says, or says the same.
fn agrees(charset: Charset, marked: Charset) -> bool {
    match charset {
        Charset::Unknown | Charset::Ascii => marked == Charset::Utf8,
        Charset::Utf16(None) => matches!(marked, Charset::Utf16(_)),
        Charset::Utf32(None) => matches!(marked, Charset::Utf32(_)),
        _ => charset == marked,
    }
}

/// The charset with what the mark adds to the label.
fn settled(charset: Charset, marked: Charset) -> Charset {
    match charset {
        Charset::Utf16(None) | Charset::Utf32(None) => marked,
        _ => charset,
    }
}

/// Without a mark, zeros tell: text in UTF-16 has them in every other octet.
fn look_for_order(plain: Sight, beginning: &[u8]) -> Sight {
    let shown = shown_order(beginning);
    match (plain.charset, shown) {
        (Charset::Utf16(None), Some(order)) => Sight { charset: Charset::Utf16(Some(order)), ..plain },
        // RFC 2781 §4.3 says big, programs say little: nobody knows.
        (Charset::Utf16(None), None) => Sight {
            charset: Charset::Utf16(Some(Order::Little)),
            second: Some(Charset::Utf16(Some(Order::Big))),
            ..plain
        },
        (Charset::Utf32(None), _) if beginning.first().is_some_and(|first| *first != 0) => {
            Sight { charset: Charset::Utf32(Some(Order::Little)), ..plain }
        }
        (Charset::Utf32(_), _) | (_, None) => plain,
        (charset, Some(order)) if charset == Charset::Utf16(Some(order)) => plain,
        (_, Some(order)) => Sight { second: Some(Charset::Utf16(Some(order))), looks_utf16: true, ..plain },
    }
}

/// The byte order of what looks like UTF-16: a quarter of the octets on one side are zero, and none
/// on the other.
fn shown_order(beginning: &[u8]) -> Option<Order> {
    let zeros = |side: usize| beginning.iter().skip(side).step_by(2).filter(|byte| **byte == 0).count();
    let enough = |zeros: usize| zeros > 0 && zeros * 8 >= beginning.len();
    match (zeros(0), zeros(1)) {
        (big, 0) if enough(big) => Some(Order::Big),
        (0, little) if enough(little) => Some(Order::Little),
        _ => None,
    }
}

/// The character that an octet is in Windows-1252, as browsers have it: none is nothing.
pub(super) const fn windows_1252(byte: u8) -> char {
    const C1: [char; 32] = [
        '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}',
        '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}',
        '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}',
        '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
    ];
    match byte {
        0x80..=0x9f => C1[byte as usize - 0x80],
        _ => byte as char,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLEAN: Defects = Defects {
        label_unknown: false,
        label_disguised: false,
        eight_bit: false,
        invalid: false,
        nul: false,
        mark_contradicts: false,
        looks_utf16: false,
        looks_utf7: false,
        looks_iso_2022_jp: false,
        letters_shifted: false,
    };

    /// Both readings of `input` in pieces that end at `cuts`.
    fn decode_cut(label: Option<&str>, input: &[u8], cuts: &[usize]) -> (String, String, Defects) {
        let mut decoder = Decoder::new(label.map(str::as_bytes));
        let (mut first, mut second, mut at) = (String::new(), String::new(), 0);
        for cut in cuts.iter().copied().chain([input.len()]) {
            decoder.push(&input[at..cut.max(at)], &mut first);
            decoder.take_second(&mut second);
            at = cut.max(at);
        }
        decoder.finish(&mut first);
        decoder.take_second(&mut second);
        (first, second, decoder.defects())
    }

    #[track_caller]
    fn check(label: &str, input: &[u8], first: &str, second: &str, defects: Defects) {
        let label = (!label.is_empty()).then_some(label);
        for cut in 0..=input.len() {
            let found = decode_cut(label, input, &[cut]);
            assert_eq!(found, (first.to_owned(), second.to_owned(), defects), "cut at {cut}");
        }
        // The same further in, where pieces go straight through.
        let padded = ["x".repeat(SNIFF_BYTES).into_bytes(), input.to_vec()].concat();
        let whole = decode_cut(label, &padded, &[]);
        for cut in SNIFF_BYTES..=padded.len() {
            assert_eq!(decode_cut(label, &padded, &[cut]), whole, "cut at {cut}");
        }
    }

    fn utf16(text: &str, order: Order) -> Vec<u8> {
        let octets = |unit: u16| match order {
            Order::Big => unit.to_be_bytes(),
            Order::Little => unit.to_le_bytes(),
        };
        text.encode_utf16().flat_map(octets).collect()
    }

    #[test]
    fn text_without_a_label_is_utf8_where_valid() {
        check("", b"", "", "", CLEAN);
        check("", "a\u{e9}\u{20ac}\u{1f600}z".as_bytes(), "a\u{e9}\u{20ac}\u{1f600}z", "", CLEAN);
        check("", b"caf\xe9 \x80 \xc3\xa9", "caf\u{e9} \u{20ac} \u{e9}", "", CLEAN);
        check("", b"\xe2\x82x\xf0\x9f\x98", "\u{e2}\u{201a}x\u{f0}\u{178}\u{2dc}", "", CLEAN);
        check("foo", b"caf\xe9", "caf\u{e9}", "", Defects { label_unknown: true, ..CLEAN });
        check("us-ascii", b"caf\xe9", "caf\u{e9}", "cafi", Defects { eight_bit: true, ..CLEAN });
        check("us-ascii", b"cafe", "cafe", "", CLEAN);
    }

    #[test]
    fn what_few_programs_read_is_read_as_well() {
        let invalid = Defects { invalid: true, ..CLEAN };
        check("utf-8", b"C\xc1\xa1t", "C\u{fffd}\u{fffd}t", "Cat", invalid);
        check("ibm037", b"\xc3\x81\xa3", "Cat", "\u{c1}\u{a3}", Defects { label_unknown: true, ..CLEAN });
    }

    #[test]
    fn labelled_text_is_what_its_label_says() {
        let invalid = Defects { invalid: true, ..CLEAN };
        check("utf-8", b"a\xff\xe2\x82b\xc3\xa9\xe2", "a\u{fffd}\u{fffd}b\u{e9}\u{fffd}", "", invalid);
        check("iso-8859-1", b"caf\xe9 \x80", "caf\u{e9} \u{20ac}", "", CLEAN);
        check("koi8-r", b"\xf0\xf2", "\u{41f}\u{420}", "", CLEAN);
        check("iso-2022-jp", b"a\x1b$B$3$s\x1b(Bb", "a\u{3053}\u{3093}b", "", CLEAN);
        check("gb2312", b"\xc4\xe3", "\u{4f60}", "", CLEAN);
        check("utf_8;", "\u{e9}".as_bytes(), "\u{e9}", "", Defects { label_disguised: true, ..CLEAN });
        check("shift_jis", b"\x82", "\u{fffd}", "", invalid);
    }

    #[test]
    fn charsets_that_shift_get_their_eighth_bit() {
        check("iso-2022-kr", b"\x1b$)C\x0eGQ1[\x0f ok\r\n", "\u{d55c}\u{ae00} ok\r\n", "", CLEAN);
        check("iso-2022-cn", b"\x1b$)A\x0eDc\x0f!\r\n", "\u{4f60}!\r\n", "", CLEAN);
        check("hz-gb-2312", b"~{Dc~} ~~ a~\nb", "\u{4f60} ~ ab", "", CLEAN);
        check("hz-gb-2312", b"~{Dc\r\nDc", "\u{4f60}\r\nDc", "", CLEAN);
    }

    #[test]
    fn utf16_shows_its_order_by_mark_or_zeros() {
        let text = "Hi \u{263a} \u{1f600}!";
        for order in [Order::Big, Order::Little] {
            let marked = utf16(&format!("\u{feff}{text}"), order);
            check("utf-16", &marked, text, "", CLEAN);
            check("utf-16", &utf16("plain", order), "plain", "", CLEAN);
        }
        check("utf-16be", &utf16(text, Order::Big), text, "", CLEAN);
        let cjk = utf16("\u{4f60}", Order::Big);
        check("utf-16", &cjk, "\u{604f}", "\u{4f60}", CLEAN);
        check("utf-16le", b"a\0b", "a\u{fffd}", "", Defects { invalid: true, ..CLEAN });
    }

    #[test]
    fn utf32_is_four_octets() {
        check("utf-32", &[0, 0, 0, 65, 0, 1, 0xf6, 0], "A\u{1f600}", "", CLEAN);
        check("utf-32", &[0xff, 0xfe, 0, 0, 65, 0, 0, 0], "A", "", CLEAN);
        check("utf-32le", &[65, 0, 0, 0, 1], "A\u{fffd}", "", Defects { invalid: true, ..CLEAN });
    }

    #[test]
    fn a_mark_that_contradicts_the_label_gives_a_second_reading() {
        let contradicts = Defects { mark_contradicts: true, ..CLEAN };
        let wide = utf16("\u{feff}Hi", Order::Little);
        let nul = Defects { nul: true, ..contradicts };
        check("iso-8859-1", &wide, "\u{ff}\u{fe}Hi", "Hi", nul);
        check("iso-8859-1", b"\xef\xbb\xbf\xc3\xa9", "\u{ef}\u{bb}\u{bf}\u{c3}\u{a9}", "\u{e9}", contradicts);
        check("", b"\xff\xfeHi", "\u{ff}\u{fe}Hi", "\u{6948}", contradicts);
        check("utf-8", b"\xef\xbb\xbfHi", "Hi", "", CLEAN);
        check("", b"\xef\xbb\xbfHi", "Hi", "", CLEAN);
        check("utf-16be", &wide, "\u{fffe}\u{4800}\u{6900}", "Hi", contradicts);
    }

    #[test]
    fn text_that_looks_like_utf16_gives_a_second_reading() {
        let looks = Defects { looks_utf16: true, nul: true, ..CLEAN };
        check("", &utf16("Hi \u{e9}", Order::Big), "Hi \u{e9}", "Hi \u{e9}", looks);
        check("iso-8859-1", &utf16("Hi", Order::Little), "Hi", "Hi", looks);
        let other = Defects { looks_utf16: true, ..CLEAN };
        check("utf-16le", &utf16("Hi", Order::Big), "\u{4800}\u{6900}", "Hi", other);
        check("", b"a\0b\0\0c", "abc", "", Defects { nul: true, ..CLEAN });
    }

    #[test]
    fn text_that_hides_letters_in_utf7_gives_a_second_reading() {
        let looks = Defects { looks_utf7: true, ..CLEAN };
        check("us-ascii", b"buy v+AGk-agra now", "buy v+AGk-agra now", "buy viagra now", looks);
        check("", b"+ADw-script+AD4-", "+ADw-script+AD4-", "", CLEAN);
        check("utf-8", b"x +AHMAYw", "x +AHMAYw", "x sc", looks);
        check("", b"call +49 123, 1+1, c+AAA a+b+AGl c++", "call +49 123, 1+1, c+AAA a+b+AGl c++", "", CLEAN);
        check("utf-7", b"v+AGk-agra", "viagra", "", Defects { letters_shifted: true, ..CLEAN });
        let (_, second, _) = decode_cut(None, &[vec![b'a'; 1000], b"+AGk".to_vec()].concat(), &[]);
        assert_eq!(second, "a".repeat(watch::CONTEXT_BYTES) + "i");
    }

    #[test]
    fn text_that_shifts_like_iso_2022_jp_gives_a_second_reading() {
        let looks = Defects { looks_iso_2022_jp: true, ..CLEAN };
        check("", b"a\x1b$B$3\x1b(Bb", "a\u{1b}$B$3\u{1b}(Bb", "a\u{3053}b", looks);
        check("", b"a\x1b$C \x1b[0m\x1b", "a\u{1b}$C \u{1b}[0m\u{1b}", "", CLEAN);
        check(
            "",
            b"\x1b+AGk\x1b$+",
            "\u{1b}+AGk\u{1b}$+",
            "\u{1b}i\u{1b}$+",
            Defects { looks_utf7: true, ..CLEAN },
        );
    }

    /// Character by character, over the whole buffer.
    fn decode_naive(mut input: &[u8]) -> String {
        let mut out = String::new();
        while !input.is_empty() {
            let lengths = 1..=input.len().min(4);
            let whole = lengths.filter_map(|length| std::str::from_utf8(&input[..length]).ok()).next();
            match whole {
                Some(character) => out.push_str(character),
                None => out.push(windows_1252(input[0])),
            }
            input = &input[whole.map_or(1, str::len)..];
        }
        out.replace('\0', "")
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            "[a-z +]{0,40}".prop_map(String::into_bytes),
            "\\PC{0,20}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..20),
            "(\\+[A-Ga-g]{0,5}-?|\x1b\\$?[BC]?){0,3}".prop_map(String::into_bytes),
            "[a-z]{0,300}".prop_map(|text| utf16(&text, Order::Little)),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            input in bytes(),
            cuts in proptest::collection::vec(0..900_usize, 0..6),
            label in proptest::sample::select(vec![
                "", "utf-8", "us-ascii", "iso-8859-5", "utf-7", "utf-16", "utf-32", "iso-2022-kr", "hz",
                "gb18030", "iso-2022-jp", "big5",
            ]),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.sort_unstable();
            let whole = decode_cut(Some(label), &input, &[]);
            prop_assert_eq!(&decode_cut(Some(label), &input, &cuts), &whole);
            let each: Vec<usize> = (0..input.len()).collect();
            prop_assert_eq!(decode_cut(Some(label), &input, &each), whole);
        }

        #[test]
        fn unlabelled_text_decodes_character_by_character(input in bytes()) {
            prop_assume!(!input.starts_with(b"\xef\xbb\xbf"));
            prop_assert_eq!(decode_cut(None, &input, &[]).0, decode_naive(&input));
        }

        #[test]
        fn labelled_text_decodes_as_in_one_piece(input in bytes()) {
            prop_assume!(!input.starts_with(b"\xef\xbb\xbf"));
            let whole = encoding_rs::UTF_8.decode_without_bom_handling(&input).0.replace('\0', "");
            prop_assert_eq!(decode_cut(Some("utf-8"), &input, &[]).0, whole);
        }
    }
}
