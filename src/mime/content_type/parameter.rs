//! Parameters of structured fields, read as RFC 2045 §5.1 says and as others read them.
//!
//! Clients differ in what a comment, a quote, a backslash or a space means where none is expected. A
//! [`Manner`] is one such way to read; [`Flaws`] say whether the ways can differ for a value at all,
//! so that a plain value is read once. Every reading is one pass: time is linear in the value.

use memchr::{memchr, memchr2};

/// How a reader takes what is not plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    /// `(…)` is a comment.
    comments: bool,
    /// `"…"` holds semicolons and spaces.
    quotes: bool,
    /// `\` before a character in quotes stands for that character.
    escapes: bool,
    /// White space ends an unquoted value.
    spaces: bool,
}

impl Manner {
    /// As RFC 2045 says.
    pub(crate) const STRICT: Self = Self { comments: true, quotes: true, escapes: true, spaces: true };

    /// The other ways, each unlike the strict one in what some client is known to do.
    pub(crate) const OTHERS: [Self; 5] = [
        Self { spaces: false, ..Self::STRICT },
        Self { comments: false, ..Self::STRICT },
        Self { comments: false, spaces: false, ..Self::STRICT },
        Self { escapes: false, ..Self::STRICT },
        Self { comments: false, quotes: false, escapes: false, spaces: false },
    ];
}

/// What in a value others may read otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flaws {
    /// A comment; nothing is wrong with it.
    pub(crate) comment: bool,
    pub(crate) comment_unclosed: bool,
    pub(crate) comment_deep: bool,
    pub(crate) quote_unclosed: bool,
    /// A backslash or a semicolon in quotes; nothing is wrong with it.
    pub(crate) quoting: bool,
    /// Something that is no parameter, or a missing semicolon.
    pub(crate) syntax: bool,
}

impl Flaws {
    /// Whether another manner may read something else.
    pub(crate) fn ambiguous(self) -> bool {
        self != Self::default()
    }
}

/// Comments within comments that still are somebody's style.
const COMMENT_DEPTH_MAX: usize = 3;

/// Reads one value from left to right in one manner.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    manner: Manner,
    pub(crate) flaws: Flaws,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(value: &'a [u8], manner: Manner) -> Self {
        Self { rest: value, manner, flaws: Flaws::default() }
    }

    /// The word at the beginning, up to white space, a comment or one of `;/=`.
    pub(crate) fn word(&mut self) -> &'a [u8] {
        self.skip_space();
        let end = self.rest.iter().position(|byte| self.ends_word(*byte)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// Whether `byte` comes next; it is skipped, and the white space before it.
    pub(crate) fn sign(&mut self, byte: u8) -> bool {
        self.skip_space();
        let here = self.rest.first() == Some(&byte);
        if here {
            self.rest = &self.rest[1..];
        }
        here
    }

    pub(crate) fn at_end(&mut self) -> bool {
        self.skip_space();
        self.rest.is_empty()
    }

    /// The next parameter's name, with the reader in front of its value. The value that was read
    /// before must have been taken.
    pub(crate) fn name(&mut self) -> Option<&'a [u8]> {
        loop {
            if !self.sign(b';') && !self.at_end() {
                // What stands behind a value is read as a parameter all the same.
                self.flaws.syntax = true;
            }
            while self.sign(b';') {}
            if self.at_end() {
                return None;
            }
            let name = self.word();
            if self.sign(b'=') {
                return Some(name);
            }
            self.flaws.syntax = true;
            if name.is_empty() && !self.rest.starts_with(b";") {
                self.take(1);
            }
        }
    }

    /// The value in front of which the reader stands. It is put into `scratch` if it does not stand
    /// in the input as it is.
    pub(crate) fn value<'b>(&mut self, scratch: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        self.skip_space();
        if self.manner.quotes && self.rest.first() == Some(&b'"') {
            return self.quoted(scratch);
        }
        let mut end = self.rest.iter().position(|byte| self.ends_value(*byte)).unwrap_or(self.rest.len());
        if !self.manner.quotes {
            end += no_parameter(&self.rest[end..]);
        }
        let value = self.take(end).trim_ascii_end();
        if self.manner.quotes {
            let odd = value.starts_with(b"'") || memchr2(b'"', b'\\', value).is_some();
            self.flaws.quoting |= odd;
            return value;
        }
        let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'');
        let begin = usize::from(value.first().is_some_and(is_quote));
        let value = &value[begin..];
        let end = usize::from(value.last().is_some_and(is_quote));
        &value[..value.len() - end]
    }

    fn quoted<'b>(&mut self, scratch: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        let inside = &self.rest[1..];
        let end = self.end_of_quote(inside);
        self.flaws.quote_unclosed |= end.is_none();
        let text = &inside[..end.unwrap_or(inside.len())];
        self.rest = inside.get(text.len() + 1..).unwrap_or_default();
        self.flaws.quoting |= memchr(b';', text).is_some();
        if memchr(b'\\', text).is_none() {
            return text;
        }
        self.flaws.quoting = true;
        if !self.manner.escapes {
            return text;
        }
        scratch.clear();
        let mut escaped = false;
        for byte in text {
            escaped = !escaped && *byte == b'\\';
            if !escaped {
                scratch.push(*byte);
            }
        }
        scratch
    }

    /// Skips what stands before the first parameter.
    pub(crate) fn skip_to_parameters(&mut self) {
        let end = self.rest.iter().position(|byte| *byte == b';' || byte.is_ascii_whitespace());
        self.take(end.unwrap_or(self.rest.len()));
    }

    fn end_of_quote(&self, inside: &[u8]) -> Option<usize> {
        let mut escaped = false;
        inside.iter().position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = self.manner.escapes && !escaped && *byte == b'\\';
            ends
        })
    }

    fn skip_space(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if !self.manner.comments || self.rest.first() != Some(&b'(') {
                return;
            }
            self.skip_comment();
        }
    }

    /// RFC 5322 §3.2.2: comments nest, and a backslash quotes.
    fn skip_comment(&mut self) {
        self.flaws.comment = true;
        let (mut depth, mut escaped) = (0_usize, false);
        for (at, byte) in self.rest.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            self.flaws.comment_deep |= depth > COMMENT_DEPTH_MAX;
            if depth == 0 {
                self.rest = &self.rest[at + 1..];
                return;
            }
        }
        self.flaws.comment_unclosed = true;
        self.rest = &[];
    }

    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    const fn ends_word(&self, byte: u8) -> bool {
        matches!(byte, b';' | b'=' | b'/')
            || byte.is_ascii_whitespace()
            || (self.manner.comments && byte == b'(')
    }

    const fn ends_value(&self, byte: u8) -> bool {
        byte == b';'
            || (self.manner.spaces && byte.is_ascii_whitespace())
            || (self.manner.comments && byte == b'(')
    }
}

/// How much of `rest`, from a semicolon on, is no parameter, so that it may belong to the value before.
fn no_parameter(rest: &[u8]) -> usize {
    let mut end = 0;
    while let Some(inside) = rest[end..].strip_prefix(b";") {
        let bytes = memchr(b';', inside).unwrap_or(inside.len());
        let piece = &inside[..bytes];
        if piece.trim_ascii().is_empty() || memchr(b'=', piece).is_some() {
            break;
        }
        end += 1 + bytes;
    }
    end
}

/// Replaces `out` by `value` without its comments, so that what stood around them is one word.
pub(crate) fn drop_comments(value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut reader = Reader::new(value, Manner::STRICT);
    let (mut quoted, mut escaped) = (false, false);
    while let Some((byte, after)) = reader.rest.split_first() {
        if *byte == b'(' && !quoted {
            reader.skip_comment();
            continue;
        }
        quoted ^= *byte == b'"' && !escaped;
        escaped = quoted && !escaped && *byte == b'\\';
        out.push(*byte);
        reader.rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str, manner: Manner) -> (Vec<(String, String)>, Flaws) {
        let mut reader = Reader::new(value.as_bytes(), manner);
        let mut scratch = Vec::new();
        let mut found = Vec::new();
        while let Some(name) = reader.name() {
            let value = reader.value(&mut scratch);
            found.push((text(name), text(value)));
        }
        (found, reader.flaws)
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[track_caller]
    fn check(value: &str, want: &[(&str, &str)], flaws: Flaws) {
        let (found, seen) = read(value, Manner::STRICT);
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!((found.as_slice(), seen), (want, flaws));
        for manner in Manner::OTHERS {
            let (others, _) = read(value, manner);
            assert!(
                flaws.ambiguous()
                    || others.iter().map(|(n, v)| (n.as_str(), v.as_str())).eq(found.iter().copied())
            );
        }
    }

    const PLAIN: Flaws = Flaws {
        comment: false,
        comment_unclosed: false,
        comment_deep: false,
        quote_unclosed: false,
        quoting: false,
        syntax: false,
    };

    #[test]
    fn plain_parameters_read_alike_in_every_manner() {
        check("", &[], PLAIN);
        check("; a=b", &[("a", "b")], PLAIN);
        check(";a=b ;  C = \"d e\" ", &[("a", "b"), ("C", "d e")], PLAIN);
        check("; boundary=----=_x/y", &[("boundary", "----=_x/y")], PLAIN);
        check(";; a=;b=\"\";", &[("a", ""), ("b", "")], PLAIN);
    }

    #[test]
    fn comments_are_white_space() {
        let comment = Flaws { comment: true, ..PLAIN };
        check(";(x)a(y)=(z)b(;c=d)", &[("a", "b")], comment);
        check("; a=b (c (d) \\) e)", &[("a", "b")], comment);
        check("; a=(((((x)))))b", &[("a", "b")], Flaws { comment_deep: true, ..comment });
        check("; a=b (x", &[("a", "b")], Flaws { comment_unclosed: true, ..comment });
    }

    #[test]
    fn quotes_hold_what_they_hold() {
        let quoting = Flaws { quoting: true, ..PLAIN };
        check("; a=\"x;y\"", &[("a", "x;y")], quoting);
        check("; a=\"x\\\"y\\\\\"", &[("a", "x\"y\\")], quoting);
        check("; a=x\\y", &[("a", "x\\y")], quoting);
        check("; a=\"x; b=c", &[("a", "x; b=c")], Flaws { quote_unclosed: true, ..quoting });
    }

    #[test]
    fn what_is_no_parameter_is_told() {
        let syntax = Flaws { syntax: true, ..PLAIN };
        check("; a=b c=d", &[("a", "b"), ("c", "d")], syntax);
        check("; a; b=c", &[("b", "c")], syntax);
        check(" a=b", &[("a", "b")], syntax);
        check("; a=\"b\"c", &[("a", "b")], syntax);
        check("; / = ==; b=c", &[("", "=="), ("b", "c")], syntax);
    }

    #[test]
    fn others_read_otherwise() {
        let [spaces, comments, both, escapes, crude] = Manner::OTHERS;
        let values = |value, manner| read(value, manner).0.into_iter().map(|(_, v)| v).collect::<Vec<_>>();
        assert_eq!(values("; a=b c", spaces), ["b c"]);
        assert_eq!(values("; a=b(c)", comments), ["b(c)"]);
        assert_eq!(values("; a=b (c)", both), ["b (c)"]);
        assert_eq!(values("; a=\"b\\c\"", escapes), ["b\\c"]);
        assert_eq!(values("; a=\"b; c=d\"", crude), ["b", "d"]);
    }
}
