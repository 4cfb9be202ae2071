//! An expression as a file gives it, made ready for the engines, or refused before they see it.
//!
//! What is written is Hyperscan's part of PCRE. It is read here only as far as needed:
//!
//! * Bounds: bytes, depth, repeats, and how many positions an automaton would have, so that compiling one
//!   expression takes a fraction of a second. The engines set no such bounds.
//! * Bytes: letters outside ASCII become the bytes they are, for nothing is compiled in UTF-8 mode.
//! * The folded view: for text that went through `normalise`, letters are folded the same way, and white
//!   space, of which one space is left there, becomes that space. `\s+` costs five times a space.
//! * Portability: whether `regex-syntax` would read it the same way, so that more may be known about it.

use super::normalise;

/// Longest expression.
pub(super) const EXPRESSION_BYTES_MAX: usize = 4096;
/// Largest bound of a repeat.
pub(super) const REPEAT_MAX: u32 = 2000;
/// Groups within groups.
pub(super) const EXPRESSION_DEPTH_MAX: usize = 32;
/// Positions of the automaton with its repeats written out.
pub(super) const EXPRESSION_POSITIONS_MAX: u64 = 10_000;
/// Of those, positions of groups that are repeated. They are what makes a compiler slow: two thousand of
/// them take Hyperscan a second, and ten such expressions in a set half a minute.
pub(super) const REPEATED_POSITIONS_MAX: u64 = 1000;
/// The same of all expressions of one place.
pub(super) const REPEATED_POSITIONS_OF_PLACE_MAX: u64 = 10_000;

/// What came of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    /// For the engines; bytes outside ASCII are escaped.
    pub(super) source: String,
    /// Upper-case letters that could not be folded: match without case.
    pub(super) caseless: bool,
    /// Other parsers read it the same way.
    pub(super) portable: bool,
    /// Positions of groups that are repeated.
    pub(super) repeated: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Char(char),
    /// A backslash and what belongs to it.
    Escape(&'a str),
    /// A bracket expression, brackets included.
    Class(&'a str),
    /// A parenthesis and what follows its question mark, up to a colon or angle bracket.
    Open(&'a str),
    /// `(?i)`: no group.
    Flags(&'a str),
    Close,
    Bar,
    Repeat(&'a str, Repeat),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Repeat {
    min: u32,
    /// None: without end.
    max: Option<u32>,
}

/// Reads and translates `source`; `folded`: for the folded view of text.
pub(super) fn translate(source: &str, folded: bool) -> Result<Expression, String> {
    if source.is_empty() {
        return Err("an empty expression matches everywhere".to_owned());
    }
    if source.len() > EXPRESSION_BYTES_MAX {
        return Err(format!("the expression has {} bytes of {EXPRESSION_BYTES_MAX}", source.len()));
    }
    let tokens = tokens(source)?;
    let repeated = measure(&tokens)?.repeated;
    let mut writer =
        Writer { out: String::with_capacity(source.len()), folded, caseless: false, portable: true };
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        index += 1 + usize::from(writer.write(*token, tokens.get(index + 1).copied())?);
    }
    Ok(Expression { source: writer.out, caseless: writer.caseless, portable: writer.portable, repeated })
}

fn tokens(source: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\\' => escape_length(rest)?,
            '[' => class_length(rest)?,
            '(' => group_length(rest)?,
            _ => repeat(rest).map_or_else(|| first.len_utf8(), |(_, length)| length),
        };
        let (text, after) = rest.split_at_checked(length).ok_or("it ends in the middle")?;
        tokens.push(match first {
            '\\' => Token::Escape(text),
            '[' => Token::Class(text),
            '(' if text.ends_with(')') => Token::Flags(text),
            '(' => Token::Open(text),
            ')' => Token::Close,
            '|' => Token::Bar,
            _ => repeat(rest).map_or(Token::Char(first), |(repeat, _)| Token::Repeat(text, repeat)),
        });
        rest = after;
    }
    Ok(tokens)
}

fn escape_length(text: &str) -> Result<usize, String> {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        None => Err("it ends in a backslash".to_owned()),
        Some('Q') => Err("\\Q is not supported: write `literal`".to_owned()),
        Some('x') if chars.next() == Some('{') => {
            text.find('}').map(|at| at + 1).ok_or_else(|| "\\x{ has no end".to_owned())
        }
        Some('x') => Ok(2 + text.bytes().skip(2).take(2).take_while(u8::is_ascii_hexdigit).count()),
        Some(c) => Ok(1 + c.len_utf8()),
    }
}

/// Up to the bracket that closes: not one at the start, escaped, or of `[:alpha:]`.
fn class_length(text: &str) -> Result<usize, String> {
    let bytes = text.as_bytes();
    let mut at = if bytes.get(1) == Some(&b'^') { 2 } else { 1 };
    let first = at;
    while let Some(byte) = bytes.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        at += match byte {
            b']' if at > first => return Ok(at + 1),
            b'\\' => escape_length(rest)?,
            b'[' if rest.starts_with("[:") => rest.find(":]").map_or(1, |end| end + 2),
            _ => 1,
        };
    }
    Err("a bracket is not closed".to_owned())
}

/// `(`, `(?:`, `(?i:`, `(?<name>`, `(?=`, or all of `(?i)`.
fn group_length(text: &str) -> Result<usize, String> {
    let Some(inside) = text.strip_prefix("(?") else { return Ok(1) };
    let letters = inside.bytes().take_while(|byte| byte.is_ascii_alphabetic() || *byte == b'-').count();
    let flags = inside.get(..letters).unwrap_or_default();
    let after = inside.get(letters..).unwrap_or_default();
    match after.bytes().next() {
        Some(b':' | b')') if flags.contains('x') => Err("the flag x is not supported".to_owned()),
        Some(b':' | b')') => Ok(2 + letters + 1),
        Some(b'<') if !after.starts_with("<=") && !after.starts_with("<!") => after
            .find('>')
            .map(|end| 2 + letters + end + 1)
            .ok_or_else(|| "a group's name has no end".to_owned()),
        _ => Err("lookaround, comments and conditions are not supported".to_owned()),
    }
}

/// The repeat that `text` starts with, and its length.
fn repeat(text: &str) -> Option<(Repeat, usize)> {
    let (repeat, length) = match text.as_bytes().first()? {
        b'*' => (Repeat { min: 0, max: None }, 1),
        b'+' => (Repeat { min: 1, max: None }, 1),
        b'?' => (Repeat { min: 0, max: Some(1) }, 1),
        b'{' => {
            let end = text.find('}')?;
            (bounds(text.get(1..end)?)?, end + 1)
        }
        _ => return None,
    };
    let lazy = text.get(length..).is_some_and(|rest| rest.starts_with(['?', '+']));
    Some((repeat, length + usize::from(lazy)))
}

/// `n`, `n,` or `n,m`; anything else in braces is text. A number too large is the largest.
fn bounds(text: &str) -> Option<Repeat> {
    let number = |digits: &str| {
        let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        whole.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    match text.split_once(',') {
        None => number(text).map(|count| Repeat { min: count, max: Some(count) }),
        Some((min, "")) => number(min).map(|min| Repeat { min, max: None }),
        Some((min, max)) => number(min).zip(number(max)).map(|(min, max)| Repeat { min, max: Some(max) }),
    }
}

/// Positions, repeats multiplied out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    all: u64,
    repeated: u64,
}

impl Size {
    const fn plus(self, other: Self) -> Self {
        Self {
            all: self.all.saturating_add(other.all),
            repeated: self.repeated.saturating_add(other.repeated),
        }
    }

    /// So many times what was one character, or a group.
    const fn times(self, most: u32, group: bool) -> Self {
        let all = self.all.saturating_mul(most as u64);
        Self { all, repeated: if group && most > 1 { all } else { self.repeated } }
    }

    fn check(self) -> Result<(), String> {
        let over = |what, max| {
            Err(format!("with its repeats written out the expression has more than {max} {what}"))
        };
        if self.all > EXPRESSION_POSITIONS_MAX {
            return over("positions", EXPRESSION_POSITIONS_MAX);
        }
        if self.repeated > REPEATED_POSITIONS_MAX {
            return over("positions in groups that are repeated", REPEATED_POSITIONS_MAX);
        }
        Ok(())
    }
}

/// Adds up positions, group by group.
fn measure(tokens: &[Token<'_>]) -> Result<Size, String> {
    let mut outer: Vec<Size> = Vec::new();
    // What came before the last item, the item, and whether it is a group.
    let (mut before, mut last, mut group) = (Size::default(), Size::default(), false);
    for token in tokens {
        match token {
            Token::Repeat(_, repeat) => {
                let most = repeat.max.unwrap_or(repeat.min).max(repeat.min).max(1);
                if most > REPEAT_MAX {
                    return Err(format!("a repeat of {most} is over {REPEAT_MAX}"));
                }
                last = last.times(most, group);
            }
            Token::Open(_) => {
                outer.push(before.plus(last));
                (before, last) = (Size::default(), Size::default());
            }
            Token::Close => {
                last = before.plus(last);
                before = outer.pop().ok_or("a parenthesis was not opened")?;
                group = true;
            }
            Token::Bar | Token::Flags(_) => (before, last) = (before.plus(last), Size::default()),
            Token::Char(_) | Token::Escape(_) | Token::Class(_) => {
                before = before.plus(last);
                (last, group) = (Size { all: 1, repeated: 0 }, false);
            }
        }
        if outer.len() > EXPRESSION_DEPTH_MAX {
            return Err(format!("groups are nested deeper than {EXPRESSION_DEPTH_MAX}"));
        }
        before.plus(last).check()?;
    }
    if outer.is_empty() { Ok(before.plus(last)) } else { Err("a parenthesis is not closed".to_owned()) }
}

struct Writer {
    out: String,
    folded: bool,
    caseless: bool,
    portable: bool,
}

impl Writer {
    /// Writes `token`; whether the `next`, a repeat, was written with it.
    fn write(&mut self, token: Token<'_>, next: Option<Token<'_>>) -> Result<bool, String> {
        match token {
            Token::Char(' ') | Token::Escape("\\s") if self.folded => return Ok(self.space(token, next)),
            Token::Char(c) => self.char(c),
            Token::Escape(text) => self.escape(text, next),
            Token::Class(text) => self.class(text)?,
            Token::Open(text) | Token::Flags(text) | Token::Repeat(text, _) => {
                self.portable &= !text.ends_with("}+") && text != "++" && text != "*+" && text != "?+";
                self.out.push_str(text);
            }
            Token::Close => self.out.push(')'),
            Token::Bar => self.out.push('|'),
        }
        Ok(false)
    }

    /// In the folded view one space stands for any run.
    fn space(&mut self, token: Token<'_>, next: Option<Token<'_>>) -> bool {
        match next {
            Some(Token::Repeat(_, Repeat { min: 1, max: None })) => self.out.push_str("\\x20"),
            Some(Token::Repeat(_, Repeat { min: 0, max: None })) => self.out.push_str("\\x20?"),
            _ => {
                let bounded = matches!(next, Some(Token::Repeat(..))) && token != Token::Char(' ');
                self.out.push_str(if bounded { "\\s" } else { "\\x20" });
                return false;
            }
        }
        true
    }

    fn char(&mut self, c: char) {
        if c.is_ascii() {
            let c = if self.folded { c.to_ascii_lowercase() } else { c };
            self.portable &= c != '$';
            return self.out.push(c);
        }
        // A group, so that a repeat means the letter and not its last byte.
        self.out.push_str("(?:");
        let folded = if self.folded { normalise::fold(&format!("x{c}")).split_off(1) } else { c.to_string() };
        for byte in folded.bytes() {
            self.byte(byte);
        }
        self.out.push(')');
    }

    fn byte(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.out.push(char::from(byte));
        } else {
            self.out.push_str(&format!("\\x{byte:02x}"));
        }
    }

    fn escape(&mut self, text: &str, next: Option<Token<'_>>) {
        // What PCRE takes for the character itself, others for the edge of a word.
        if let "\\<" | "\\>" = text {
            return self.out.push_str(text.trim_start_matches('\\'));
        }
        let Some(c) = text.chars().nth(1) else { return };
        if !c.is_ascii() {
            return self.char(c);
        }
        self.portable &= match c {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'B' | 'n' | 'r' | 't' | 'f' | 'x' => true,
            'b' => next != Some(Token::Char('{')),
            _ => c.is_ascii_punctuation(),
        };
        self.out.push_str(text);
    }

    fn class(&mut self, text: &str) -> Result<(), String> {
        let inner = text.get(1..).unwrap_or_default();
        self.portable &= !inner.contains('[') || inner.matches('[').count() == inner.matches("[:").count();
        self.portable &= !["&&", "--", "~~", "\\b", "\\v", "\\h"].iter().any(|other| inner.contains(other));
        let mut previous = '\0';
        for c in text.chars() {
            if c.is_ascii_uppercase() && self.folded && previous != '\\' {
                self.caseless = true;
            }
            if c.is_ascii() {
                self.out.push(c);
            } else {
                self.letter_in_class(c)?;
            }
            previous = if previous == '\\' { '\0' } else { c };
        }
        Ok(())
    }

    /// A class is a set of bytes, so a letter must be one.
    fn letter_in_class(&mut self, c: char) -> Result<(), String> {
        let folded = if self.folded { normalise::fold(&c.to_string()) } else { c.to_string() };
        match folded.as_bytes() {
            [byte] if byte.is_ascii() => self.byte(*byte),
            _ => return Err(format!("`{c}` in brackets is several bytes: write (?:{c}|…)")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Expression, measure, tokens, translate};

    #[track_caller]
    fn check(source: &str, plain: &str, folded: &str) {
        for (want, fold) in [(plain, false), (folded, true)] {
            let got = translate(source, fold).map(|expression| expression.source);
            assert_eq!(got.as_deref(), Ok(want), "{source}");
        }
    }

    #[track_caller]
    fn refused(source: &str, why: &str) {
        let message = translate(source, true).unwrap_err();
        assert!(message.contains(why), "{source}: {message}");
    }

    #[test]
    fn text_is_folded_where_the_view_is() {
        check("Verify Your", "Verify Your", "verify\\x20your");
        check(r"a\s+b\s*c +d\sE", r"a\s+b\s*c +d\sE", r"a\x20b\x20?c\x20d\x20e");
        check(r"a\s{2,3}b\S+\W", r"a\s{2,3}b\S+\W", r"a\s{2,3}b\S+\W");
        check("ä+", r"(?:\xc3\xa4)+", "(?:a)+");
        check("“x”", r"(?:\xe2\x80\x9c)x(?:\xe2\x80\x9d)", r"(?:\x22)x(?:\x22)");
        check(r"[^A-Z\S]\<b\>", r"[^A-Z\S]<b>", r"[^A-Z\S]<b>");
        check("a{2,3}b{,3}c{x}", "a{2,3}b{,3}c{x}", "a{2,3}b{,3}c{x}");
        check("(?i:A)(?<n>B)(?s)", "(?i:A)(?<n>B)(?s)", "(?i:a)(?<n>b)(?s)");
    }

    #[test]
    fn upper_case_in_brackets_asks_for_no_case() {
        let caseless = |source| translate(source, true).map(|Expression { caseless, .. }| caseless);
        assert_eq!(caseless("[A-Z]x"), Ok(true));
        assert_eq!(caseless(r"[\S\\D]x"), Ok(true));
        assert_eq!(caseless(r"[\S[:alpha:]]X"), Ok(false));
    }

    #[test]
    fn what_others_read_differently_is_known() {
        let portable = |source| translate(source, true).map(|expression| expression.portable);
        for source in [r"\bfoo.{0,3}[[:alpha:]x]+", r"(?:a|b)\.\x41", "a{2}?", r"[\w.-]"] {
            assert_eq!(portable(source), Ok(true), "{source}");
        }
        for source in ["a$", r"\va", r"\Ra", "[a[b]", "[a&&b]", "a++", r"\b{start}", r"\1", r"\pL"] {
            assert_eq!(portable(source), Ok(false), "{source}");
        }
    }

    #[test]
    fn bounds_are_kept() {
        refused(&"a".repeat(5000), "5000 bytes");
        refused("a{9999}", "9999");
        refused("a{99999999999999999999}", "over");
        refused("(?:(?:a{100}){100}){100}", "positions");
        refused("(?:ab?c?d?e?f?){300}", "repeated");
        refused("a{1500}b{1500}c{1500}d{1500}e{1500}f{1500}g{1500}", "10000 positions");
        refused("a{100}{100}{100}", "positions");
        refused(&"(".repeat(100), "nested");
        refused("", "empty");
    }

    #[test]
    fn positions_are_counted() {
        let size = |source: &str| measure(&tokens(source).unwrap()).map(|size| (size.all, size.repeated));
        assert_eq!(size("abc|d"), Ok((4, 0)));
        assert_eq!(size("a{3}[bc]{2,5}d?"), Ok((9, 0)));
        assert_eq!(size(r"x(?:a\d{3}){2,4}y+"), Ok((18, 16)));
        assert_eq!(size("((a{2}b){3}c){1}"), Ok((10, 9)));
        assert_eq!(size("(?i)(ab)+(c)*"), Ok((3, 0)));
    }

    #[test]
    fn what_is_broken_or_not_supported_is_said() {
        refused("(a", "not closed");
        refused("a)", "not opened");
        refused("[a", "not closed");
        refused("a\\", "backslash");
        refused("(?=a)", "lookaround");
        refused("(?<!a)b", "lookaround");
        refused("(?x)a b", "flag x");
        refused(r"\Qa\E", "literal");
        refused("[жя]", "several bytes");
        assert!(translate("[é]", true).is_ok());
    }
}
