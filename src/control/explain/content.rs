//! From a file to content as a client would have sent it.
//!
//! Files keep messages with line ends of their own, and mailboxes put a line of their own before each:
//! neither ever comes over the wire. Everything else stays as it is, faults too.

/// What was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// Lines ended with LF alone; each is CRLF now.
    pub(super) line_ends: bool,
    /// It began with the `From ` line of a mailbox.
    pub(super) mailbox_line: bool,
}

/// Converts a file piece by piece. The first piece decides: it is to hold the first line.
#[derive(Debug, Default)]
pub(super) struct Converter {
    begun: bool,
    changed: Changed,
    after_cr: bool,
}

impl Converter {
    pub(super) fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            let end = memchr::memchr(b'\n', piece);
            self.changed.line_ends = end.is_some_and(|end| end == 0 || piece[end - 1] != b'\r');
            if let Some(end) = end.filter(|_| piece.starts_with(b"From ")) {
                self.changed.mailbox_line = true;
                piece = &piece[end + 1..];
            }
        }
        if self.changed.line_ends {
            self.convert(piece, out);
        } else {
            out.extend_from_slice(piece);
        }
    }

    pub(super) const fn changed(&self) -> Changed {
        self.changed
    }

    fn convert(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', piece) {
            out.extend_from_slice(&piece[begin..end]);
            let after_cr = if end == 0 { self.after_cr } else { piece[end - 1] == b'\r' };
            out.extend_from_slice(if after_cr { b"\n" } else { b"\r\n" });
            begin = end + 1;
        }
        out.extend_from_slice(&piece[begin..]);
        self.after_cr = piece.last().map_or(self.after_cr, |last| *last == b'\r');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &[u8], want: &[u8], line_ends: bool, mailbox_line: bool) {
        let first = memchr::memchr(b'\n', file).map_or(file.len(), |end| end + 1);
        for cut in first..=file.len() {
            let (mut converter, mut out) = (Converter::default(), Vec::new());
            converter.push(&file[..cut], &mut out);
            converter.push(&file[cut..], &mut out);
            assert_eq!(out.escape_ascii().to_string(), want.escape_ascii().to_string(), "cut at {cut}");
            assert_eq!(converter.changed(), Changed { line_ends, mailbox_line });
        }
    }

    #[test]
    fn lines_end_as_on_the_wire() {
        check(b"a: b\n\nc\n", b"a: b\r\n\r\nc\r\n", true, false);
        check(b"a: b\r\n\r\nc\r\n", b"a: b\r\n\r\nc\r\n", false, false);
        check(b"a: b\nc\r\nd\re\n", b"a: b\r\nc\r\nd\re\r\n", true, false);
        check(b"", b"", false, false);
        check(b"\n", b"\r\n", true, false);
        check(b"no end", b"no end", false, false);
    }

    #[test]
    fn what_a_client_could_have_sent_stays() {
        check(b"a: b\r\nc\nd\r\n", b"a: b\r\nc\nd\r\n", false, false);
        check(b"From: x\n", b"From: x\r\n", true, false);
    }

    #[test]
    fn the_line_of_a_mailbox_goes() {
        check(b"From a@b Thu\nx: y\n", b"x: y\r\n", true, true);
        check(b"From a@b Thu\r\nx: y\r\n", b"x: y\r\n", false, true);
    }
}
