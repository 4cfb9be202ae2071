//! Reply lines from a stream of octets.
//!
//! RFC 5321 §4.2: three digits, then a space or nothing on the last line, a hyphen on those before.

use memchr::memchr;

/// Longest line kept; the rest of a longer one is read and dropped.
const LINE_BYTES_MAX: usize = 1024;

/// One line of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The reply goes on.
    More,
    /// The reply is complete; 0 is no code at all.
    Last(u16),
}

#[derive(Debug, Default)]
pub(super) struct Replies {
    line: Vec<u8>,
    complete: bool,
}

impl Replies {
    /// Reads up to the end of one line: octets consumed, and the line if it is complete.
    pub(super) fn read(&mut self, input: &[u8]) -> (usize, Option<Line>) {
        if std::mem::take(&mut self.complete) {
            self.line.clear();
        }
        let end = memchr(b'\n', input);
        let piece = &input[..end.unwrap_or(input.len())];
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
        self.complete = end.is_some();
        (end.map_or(input.len(), |end| end + 1), end.map(|_| classify(&self.line)))
    }

    /// The line last read, without its end.
    pub(super) fn line(&self) -> &[u8] {
        self.line.trim_ascii_end()
    }
}

fn classify(line: &[u8]) -> Line {
    let digits = line.get(..3).unwrap_or_default();
    if digits.len() < 3 || !digits.iter().all(u8::is_ascii_digit) {
        return Line::Last(0);
    }
    if line.get(3) == Some(&b'-') {
        return Line::More;
    }
    Line::Last(digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::{Line, Replies};

    #[track_caller]
    fn check(wire: &str, want: &[(Line, &str)]) {
        for cut in 0..=wire.len() {
            let (mut replies, mut got) = (Replies::default(), Vec::new());
            for mut piece in [&wire.as_bytes()[..cut], &wire.as_bytes()[cut..]] {
                while !piece.is_empty() {
                    let (consumed, line) = replies.read(piece);
                    piece = &piece[consumed..];
                    got.extend(line.map(|line| (line, String::from_utf8(replies.line().to_vec()).unwrap())));
                }
            }
            let got: Vec<_> = got.iter().map(|(line, text)| (*line, text.as_str())).collect();
            assert_eq!(got, want, "cut at {cut}");
        }
    }

    #[test]
    fn replies_have_lines() {
        check(
            "250-a\r\n250 b\r\n354\r\n",
            &[(Line::More, "250-a"), (Line::Last(250), "250 b"), (Line::Last(354), "354")],
        );
        check(
            "hello\r\n\r\n25 x\n",
            &[(Line::Last(0), "hello"), (Line::Last(0), ""), (Line::Last(0), "25 x")],
        );
    }
}
