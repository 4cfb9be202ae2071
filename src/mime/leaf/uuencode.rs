//! Files that stand encoded in text, from a `begin` line to an `end` line.
//!
//! POSIX uuencode: a line's first character is how many octets it holds, then four characters make
//! three octets. No RFC has it, mail programs of all ages decode it: as a transfer encoding
//! (`x-uuencode`), and in the middle of a text. A `begin-base64` line says that base64 follows, up to
//! a line of four `=`; with `-encoded` the name is written so too. yEnc is only told of.
//!
//! What must hold: the result does not depend on cuts, and no more than one line is held.

use memchr::{memchr, memmem, memrchr};

use crate::mime::base64;

/// Longest line that is looked at: a line of data has 61 characters, a name may be longer.
pub const LINE_BYTES_MAX: usize = 512;

/// Undoes lines of data.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    line: Line,
}

impl Decoder {
    /// Appends to `out` what the lines of `input` hold; `begin`, `end` and what else is no line of
    /// data hold nothing.
    pub(crate) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some(line) = self.line.next(&mut rest) {
            decode(line, out);
            self.line.release();
        }
    }

    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        decode(self.line.rest(), out);
        self.line.release();
    }
}

/// What was found in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Begin {
        name: &'a [u8],
    },
    Data(&'a [u8]),
    End,
    /// The beginning of a file in yEnc.
    Yenc,
}

/// Looks for files in text.
#[derive(Debug)]
pub(crate) struct Finder {
    begins: memmem::Finder<'static>,
    line: Line,
    /// Within a line that begins no file.
    skipping: bool,
    /// The file we are in.
    coding: Option<Coding>,
    octets: Vec<u8>,
}

/// How a file is written.
#[derive(Debug)]
enum Coding {
    Uuencode,
    Base64(Box<base64::Decoder>),
}

impl Finder {
    pub(crate) fn new() -> Self {
        Self {
            begins: memmem::Finder::new(b"begin"),
            line: Line::default(),
            skipping: false,
            coding: None,
            octets: Vec::new(),
        }
    }

    /// Begins another text, in the same buffers.
    pub(crate) fn reset(&mut self) {
        self.line.release();
        self.skipping = false;
        self.coding = None;
    }

    pub(crate) fn push(&mut self, text: &[u8], on: &mut impl FnMut(Found<'_>)) {
        let mut rest = text;
        // Most text has no such line; then only its last line can be the beginning of one.
        if self.coding.is_none() && self.line.rest().is_empty() && self.begins.find(text).is_none() {
            let last = memrchr(b'\n', text).map_or(0, |newline| newline + 1);
            self.skipping &= last == 0;
            rest = &text[last..];
        }
        while !rest.is_empty() {
            if self.skipping {
                let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
                self.skipping = !rest[..end].ends_with(b"\n");
                rest = &rest[end..];
                continue;
            }
            if self.coding.is_none() && !self.may_begin(rest) {
                self.line.release();
                self.skipping = true;
                continue;
            }
            // Lines of base64 may have any length, and come in pieces.
            let in_base64 = matches!(self.coding, Some(Coding::Base64(_)));
            let line = if in_base64 { self.line.next_piece(&mut rest) } else { self.line.next(&mut rest) };
            let Some(line) = line.map(<[u8]>::trim_ascii_end) else {
                return;
            };
            self.coding = match self.coding.take() {
                Some(coding) => inside(line, coding, &mut self.octets, on),
                None => begin(line, on),
            };
            self.line.release();
        }
    }

    pub(crate) fn finish(&mut self, on: &mut impl FnMut(Found<'_>)) {
        if let Some(coding) = self.coding.take()
            && let Some(coding) = inside(self.line.rest().trim_ascii_end(), coding, &mut self.octets, on)
        {
            end(coding, &mut self.octets, on);
        }
        self.line.release();
    }

    /// Whether the line that is held, or begins in `rest`, may be the beginning of a file. All but
    /// few lines are refused by their first letter.
    fn may_begin(&self, rest: &[u8]) -> bool {
        let held = self.line.rest();
        BEGINS.iter().any(|begin| {
            let (here, there) = begin.split_at(held.len().min(begin.len()));
            let seen = rest.len().min(there.len());
            held.starts_with(here) && rest[..seen] == there[..seen]
        })
    }
}

const BEGINS: [&[u8]; 4] = [b"begin ", b"begin-base64", b"begin-encoded ", b"=ybegin "];

/// A line that may begin a file: how it goes on, if it does.
fn begin(line: &[u8], on: &mut impl FnMut(Found<'_>)) -> Option<Coding> {
    if line.starts_with(b"=ybegin ") {
        on(Found::Yenc);
        return None;
    }
    let rest = line.strip_prefix(b"begin")?;
    let (in_base64, rest) = without(b"-base64", rest);
    let (name_encoded, rest) = without(b"-encoded", rest);
    let rest = rest.strip_prefix(b" ")?;
    let mode = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let name = rest.get(mode..)?.strip_prefix(b" ").filter(|name| !name.is_empty())?;
    if !(3..=4).contains(&mode) {
        return None;
    }
    let mut decoded = Vec::new();
    if name_encoded {
        let mut decoder = decoder();
        decoder.push(name, &mut decoded);
        decoder.finish(&mut decoded);
    }
    on(Found::Begin { name: if name_encoded { &decoded } else { name } });
    Some(if in_base64 { Coding::Base64(Box::new(decoder())) } else { Coding::Uuencode })
}

fn decoder() -> base64::Decoder {
    base64::Decoder::new(base64::Padding::Concatenate)
}

/// Whether `line` begins with `word`, and what follows it.
fn without<'a>(word: &[u8], line: &'a [u8]) -> (bool, &'a [u8]) {
    line.strip_prefix(word).map_or((false, line), |rest| (true, rest))
}

/// A line of a file; how the file goes on, if it does.
fn inside(
    line: &[u8],
    mut coding: Coding,
    octets: &mut Vec<u8>,
    on: &mut impl FnMut(Found<'_>),
) -> Option<Coding> {
    let last: &[u8] = if matches!(coding, Coding::Uuencode) { b"end" } else { b"====" };
    if line == last {
        end(coding, octets, on);
        return None;
    }
    octets.clear();
    match &mut coding {
        Coding::Uuencode => decode(line, octets),
        Coding::Base64(decoder) => decoder.push(line, octets),
    }
    if !octets.is_empty() {
        on(Found::Data(octets));
    }
    Some(coding)
}

/// The file is over: what its decoder holds comes out.
fn end(coding: Coding, octets: &mut Vec<u8>, on: &mut impl FnMut(Found<'_>)) {
    octets.clear();
    if let Coding::Base64(mut decoder) = coding {
        decoder.finish(octets);
    }
    if !octets.is_empty() {
        on(Found::Data(octets));
    }
    on(Found::End);
}

/// Appends what a line of data holds.
fn decode(line: &[u8], out: &mut Vec<u8>) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some((first, characters)) = line.split_first() else {
        return;
    };
    let is_data = line.iter().all(|byte| matches!(byte, b' '..=b'`'));
    let octets = usize::from(value(*first));
    // White space at the end may be lost on the way, and some write a character more.
    if !is_data || characters.len() > octets.div_ceil(3) * 4 + 1 {
        return;
    }
    let before = out.len();
    for group in characters.chunks(4) {
        let bits =
            (0..4).fold(0_u32, |bits, at| bits << 6 | u32::from(value(*group.get(at).unwrap_or(&b' '))));
        let [_, high, middle, low] = bits.to_be_bytes();
        out.extend([high, middle, low]);
    }
    out.resize(before + octets, 0);
}

/// Six bits; a backquote stands for a space, which is zero.
const fn value(character: u8) -> u8 {
    character.wrapping_sub(b' ') & 0x3f
}

/// A line that comes in pieces; of one that is too long only the beginning.
#[derive(Debug, Default)]
struct Line {
    held: Vec<u8>,
}

impl Line {
    /// The line that `rest` completes, taken off its front; nothing if it does not.
    fn next(&mut self, rest: &mut &[u8]) -> Option<&[u8]> {
        let end = memchr(b'\n', rest).map(|end| end + 1);
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        let room = LINE_BYTES_MAX - self.held.len();
        self.held.extend_from_slice(&piece[..piece.len().min(room)]);
        *rest = after;
        end.map(|_| self.held.as_slice())
    }

    /// The same, but a line that is too long comes in pieces, and none of it is lost.
    fn next_piece(&mut self, rest: &mut &[u8]) -> Option<&[u8]> {
        let room = LINE_BYTES_MAX - self.held.len();
        let within = &rest[..rest.len().min(room)];
        let end = memchr(b'\n', within).map(|end| end + 1);
        let (piece, after) = rest.split_at(end.unwrap_or(within.len()));
        self.held.extend_from_slice(piece);
        *rest = after;
        (end.is_some() || self.held.len() == LINE_BYTES_MAX).then_some(self.held.as_slice())
    }

    fn rest(&self) -> &[u8] {
        &self.held
    }

    fn release(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the finder tells of `text`, in a line each, at every cut.
    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        for cut in 0..=text.len() {
            let mut told: Vec<String> = Vec::new();
            let mut on = |found: Found<'_>| match (found, told.last_mut()) {
                (Found::Data(octets), Some(last)) if !last.starts_with("begin") => {
                    last.push_str(&String::from_utf8_lossy(octets));
                }
                (Found::Data(octets), _) => told.push(String::from_utf8_lossy(octets).into_owned()),
                (Found::Begin { name }, _) => told.push(format!("begin {}", String::from_utf8_lossy(name))),
                (Found::End, _) => told.push("end".to_owned()),
                (Found::Yenc, _) => told.push("yenc".to_owned()),
            };
            let mut finder = Finder::new();
            finder.push(&text.as_bytes()[..cut], &mut on);
            finder.push(&text.as_bytes()[cut..], &mut on);
            finder.finish(&mut on);
            assert_eq!(told, want, "cut at {cut}");
        }
    }

    #[test]
    fn files_in_text_are_found() {
        let file = "begin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\n";
        check(file, &["begin cat.txt", "Cat", "end"]);
        check(&format!("Hello\r\n\r\n{file}bye"), &["begin cat.txt", "Cat", "end"]);
        check(&format!("{file}{file}"), &["begin cat.txt", "Cat", "end", "begin cat.txt", "Cat", "end"]);
        check("begin 0644 a b\n#0V%T\n", &["begin a b", "Cat", "end"]);
        check("=ybegin line=128 size=3 name=x\r\n", &["yenc"]);
    }

    #[test]
    fn files_in_base64_are_found() {
        check("x\r\nbegin-base64 644 cat\r\nQ2\r\nF0\r\n====\r\nbye", &["begin cat", "Cat", "end"]);
        check("begin-base64 644 cat\r\nQ2F0Q2E", &["begin cat", "CatCa", "end"]);
        check("begin-base64-encoded 644 Y2F0\nQ2F0\n====\n", &["begin cat", "Cat", "end"]);
        check("begin-encoded 644 Y2F0\n#0V%T\nend\n", &["begin cat", "Cat", "end"]);
        let long = format!("begin-base64 644 cat\n{}\n====\n", "Q2F0".repeat(300));
        check(&long, &["begin cat", "Cat".repeat(300).as_str(), "end"]);
    }

    #[test]
    fn other_lines_begin_none() {
        for text in
            ["begin\r\n", "begin 9 x\r\n", "begin-base64 x\r\n", "x begin 644 a\r\n", "begin 644\r\n", "be"]
        {
            check(text, &[]);
        }
        check(&format!("begin {}\r\n", "x".repeat(2000)), &[]);
    }

    #[test]
    fn lines_of_data_are_decoded() {
        let mut out = Vec::new();
        let mut decoder = Decoder::default();
        decoder.push(b"begin 644 x\r\n#0V%T\r\n!0", &mut out);
        decoder.push(b"0``\r\n \r\nend\r\n", &mut out);
        decoder.finish(&mut out);
        assert_eq!(out, b"CatA");
    }
}
