//! The content that is sent, made ready once: a message costs its head and a copy.
//!
//! RFC 5321 §4.5.2 (transparency) for DATA; BDAT content goes as it is. Files get CRLF for whatever
//! ends their lines, since SMTP has no other line end (RFC 5321 §2.3.8).

use std::fs;
use std::io::Write as _;
use std::path::Path;

use memchr::{memchr, memmem};

use super::options::{Content, Options};

/// Octets put into one write.
pub(super) const PIECE_BYTES_MAX: usize = 128 * 1024;

/// One content as it goes over the wire, the end of data included where there is one.
#[derive(Debug)]
struct Letter {
    wire: Vec<u8>,
    eight_bit: bool,
}

/// All that may be sent.
#[derive(Debug)]
pub(super) struct Bag {
    letters: Vec<Letter>,
    head: Head,
    run: u64,
    hostname: String,
}

/// What goes in front of the content, around the message's id.
#[derive(Debug)]
enum Head {
    None,
    Around(Vec<u8>, Vec<u8>),
}

/// Which message, and how much of it was sent.
#[derive(Debug)]
pub(super) struct Cursor {
    letter: usize,
    at: usize,
}

impl Bag {
    /// Makes all content ready. `date` goes into the header that is made for generated content.
    pub(super) fn open(options: &Options, date: &str, run: u64) -> Result<Self, String> {
        let contents = contents(&options.content)?;
        let letters = contents.into_iter().map(|content| Letter {
            eight_bit: !content.is_ascii(),
            wire: if options.bdat { content } else { stuffed(&content) },
        });
        Ok(Self {
            letters: letters.collect(),
            head: Head::of(options, date),
            run,
            hostname: options.hostname.clone(),
        })
    }

    /// Begins message `number`: its head goes to `out`, the rest through the cursor.
    pub(super) fn begin(&self, number: u64, out: &mut Vec<u8>) -> Cursor {
        if let Head::Around(before, after) = &self.head {
            out.extend_from_slice(before);
            self.write_id(number, out);
            out.extend_from_slice(after);
        }
        Cursor { letter: self.letter(number), at: 0 }
    }

    /// Appends what fits; `false` when all was appended.
    pub(super) fn fill(&self, cursor: &mut Cursor, out: &mut Vec<u8>) -> bool {
        let rest = &self.letters[cursor.letter].wire[cursor.at..];
        let piece = rest.len().min(PIECE_BYTES_MAX.saturating_sub(out.len()));
        out.extend_from_slice(&rest[..piece]);
        cursor.at += piece;
        piece < rest.len()
    }

    /// Octets of message `number` on the wire.
    pub(super) fn octets(&self, number: u64) -> usize {
        let head = match &self.head {
            Head::None => 0,
            Head::Around(before, after) => before.len() + self.id_len(number) + after.len(),
        };
        head + self.letters[self.letter(number)].wire.len()
    }

    pub(super) fn is_eight_bit(&self, number: u64) -> bool {
        self.letters[self.letter(number)].eight_bit
    }

    /// The id of message `number`, unlike that of any other run.
    pub(super) fn write_id(&self, number: u64, out: &mut Vec<u8>) {
        // Writing to memory does not fail.
        _ = write!(out, "<{:016x}.{number:x}@{}>", self.run, self.hostname);
    }

    fn id_len(&self, number: u64) -> usize {
        let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1) as usize;
        "<.@>".len() + 16 + digits + self.hostname.len()
    }

    fn letter(&self, number: u64) -> usize {
        usize::try_from(number % self.letters.len() as u64).unwrap_or(0)
    }
}

impl Head {
    fn of(options: &Options, date: &str) -> Self {
        let generated = matches!(options.content, Content::Short | Content::Length(_));
        let end: &[u8] = if generated { b"\r\n\r\n" } else { b"\r\n" };
        if !generated || options.old {
            // Content that is not ours to head, unless its way is to be followed.
            let follow = || Self::Around(b"X-Load-Id: ".to_vec(), end.to_vec());
            return options.journal.as_ref().map_or(Self::None, |_| follow());
        }
        let (from, to) = (&options.sender, &options.recipient);
        let before = format!("From: <{from}>\r\nTo: <{to}>\r\nDate: {date}\r\nMessage-Id: ");
        let subject =
            options.subject.as_ref().map(|subject| format!("\r\nSubject: {subject}")).unwrap_or_default();
        Self::Around(before.into_bytes(), [subject.as_bytes(), end].concat())
    }
}

fn contents(content: &Content) -> Result<Vec<Vec<u8>>, String> {
    Ok(match content {
        Content::Short => {
            vec![b"A line of mail: 1.\r\nA line of mail: 2.\r\nA line of mail: 3.\r\n".to_vec()]
        }
        Content::Length(length) => vec![generated(*length)],
        Content::File(path) => vec![read(path)?],
        Content::Mix(path) => mix(path)?,
    })
}

/// `length` octets as smtp-source makes them: lines of 80, the last one ended in addition.
fn generated(length: usize) -> Vec<u8> {
    let mut content = vec![b'X'; length];
    // A line that would be the last has no end of its own yet.
    let lines = content[..length.saturating_sub(1)].chunks_exact_mut(80);
    for (digit, line) in (b'1'..=b'9').chain([b'0']).cycle().zip(lines) {
        line[0] = digit;
        line[78..].copy_from_slice(b"\r\n");
    }
    content.extend_from_slice(b"\r\n");
    content
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(with_crlf(without_envelope(&file)))
}

/// Every file of the directory, in the order of their names.
fn mix(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let wrong = |error| format!("{}: {error}", path.display());
    let entries: Result<Vec<_>, _> = fs::read_dir(path).map_err(wrong)?.collect();
    let mut files: Vec<_> =
        entries.map_err(wrong)?.iter().map(fs::DirEntry::path).filter(|path| path.is_file()).collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("{}: no files", path.display()));
    }
    files.iter().map(|file| read(file)).collect()
}

/// Without the `From ` line of an mbox.
fn without_envelope(file: &[u8]) -> &[u8] {
    if !file.starts_with(b"From ") {
        return file;
    }
    memchr(b'\n', file).map_or(b"", |end| &file[end + 1..])
}

/// Every line ended by CRLF, the last one too; a bare CR ends a line as a bare LF does.
fn with_crlf(file: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(file.len() + file.len() / 32);
    let mut bytes = file.iter().peekable();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\r' | b'\n' => {
                if byte == b'\r' {
                    bytes.next_if_eq(&&b'\n');
                }
                content.extend_from_slice(b"\r\n");
            }
            _ => content.push(byte),
        }
    }
    if !content.is_empty() && !content.ends_with(b"\n") {
        content.extend_from_slice(b"\r\n");
    }
    content
}

/// The wire form for DATA: transparency dots, and the end of data.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + content.len() / 64 + 5);
    if content.first() == Some(&b'.') {
        wire.push(b'.');
    }
    let mut from = 0;
    for at in memmem::find_iter(content, b"\r\n.") {
        wire.extend_from_slice(&content[from..at + 2]);
        wire.push(b'.');
        from = at + 2;
    }
    wire.extend_from_slice(&content[from..]);
    wire.extend_from_slice(b".\r\n");
    wire
}

#[cfg(test)]
mod tests {
    use super::{Bag, Content, Options, generated, stuffed, with_crlf, without_envelope};

    #[test]
    fn files_become_mail() {
        for (file, want) in [
            ("a\nb", "a\r\nb\r\n"),
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("From x Mon\na\rb\r\r\n", "a\r\nb\r\n\r\n"),
            ("From x", ""),
            ("From: x\n", "From: x\r\n"),
            ("", ""),
        ] {
            assert_eq!(with_crlf(without_envelope(file.as_bytes())), want.as_bytes(), "{file:?}");
        }
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_one() {
        for (content, want) in [
            ("", ".\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            ("a\r\n.\r\n..\r\nb.\r\n", "a\r\n..\r\n...\r\nb.\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(content.as_bytes()), want.as_bytes(), "{content:?}");
        }
    }

    #[test]
    fn generated_content_is_smtp_sources() {
        for length in [1, 79, 80, 81, 160, 200, 4096] {
            // As its manual and its output have it: breaks are set below the length only.
            let mut want = vec![b'X'; length];
            for end in (80..length).step_by(80) {
                want[end - 80] = b"0123456789"[end / 80 % 10];
                want[end - 2..end].copy_from_slice(b"\r\n");
            }
            want.extend_from_slice(b"\r\n");
            assert_eq!(generated(length), want, "{length}");
        }
    }

    #[test]
    fn the_octets_announced_are_those_sent() {
        for bdat in [false, true] {
            let mut options = Options::new("127.0.0.1:25".parse().unwrap());
            (options.bdat, options.content) = (bdat, Content::Length(300_000));
            let bag = Bag::open(&options, "now", 7).unwrap();
            for number in [0, 1, 15, 16, 0xfff, 0x1000, u64::MAX] {
                let (mut out, mut total) = (Vec::new(), 0);
                let mut cursor = bag.begin(number, &mut out);
                while bag.fill(&mut cursor, &mut out) {
                    total += out.len();
                    out.clear();
                }
                assert_eq!(total + out.len(), bag.octets(number), "{number}");
            }
        }
    }
}
