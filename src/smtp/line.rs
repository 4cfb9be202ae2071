//! Command lines: where one ends. RFC 5321 §2.3.8 and §4.5.3.1.4.
//!
//! A command may end with a bare LF: nothing can be smuggled by a command that is taken for what
//! it is, and people type commands. A bare CR does not end one; it stays in the line, where the
//! parser refuses it as any control character.

use memchr::memchr;

/// The front of what a client sent, read as a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// `line` is without its line end, `consumed` counts it.
    Whole { line: &'a [u8], consumed: usize },
    /// The line end has not come yet.
    Partial,
    /// No line end within the limit. Where the next command begins is anyone's guess: close.
    TooLong,
}

/// The first line of `input`, of at most `max` octets with its line end.
pub fn next_line(input: &[u8], max: usize) -> Line<'_> {
    match memchr(b'\n', &input[..input.len().min(max)]) {
        Some(at) => {
            let line = &input[..at];
            Line::Whole { line: line.strip_suffix(b"\r").unwrap_or(line), consumed: at + 1 }
        }
        None if input.len() < max => Line::Partial,
        None => Line::TooLong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, want: Line<'_>) {
        assert_eq!(next_line(input.as_bytes(), 8), want);
        if let Line::Whole { consumed, .. } = want {
            for cut in 0..consumed {
                assert_eq!(next_line(&input.as_bytes()[..cut], 8), Line::Partial, "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_line_ends_at_its_first_lf() {
        check("QUIT\r\nX", Line::Whole { line: b"QUIT", consumed: 6 });
        check("QUIT\nX", Line::Whole { line: b"QUIT", consumed: 5 });
        check("\r\n", Line::Whole { line: b"", consumed: 2 });
        check("A\rB\r\r\n", Line::Whole { line: b"A\rB\r", consumed: 6 });
        check("QUIT\r", Line::Partial);
        check("", Line::Partial);
    }

    #[test]
    fn the_line_end_counts_toward_the_limit() {
        check("123456\r\n", Line::Whole { line: b"123456", consumed: 8 });
        check("1234567\r\n", Line::TooLong);
        check("12345678", Line::TooLong);
        check("1234567", Line::Partial);
    }
}
