//! Replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Positive,
    Intermediate,
    Transient,
    Permanent,
}
impl Code {
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 200 && code < 600 { Some(Self(code)) } else { None }
    }
    pub const fn to_u16(self) -> u16 {
        self.0
    }
    pub const fn class(self) -> Class {
        match self.0 {
            0..300 => Class::Positive,
            300..400 => Class::Intermediate,
            400..500 => Class::Transient,
            _ => Class::Permanent,
        }
    }
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: Code,
    text: Vec<u8>,
}
impl Reply {
    pub fn new(code: u16, _enhanced: &str, text: &str) -> Self {
        Self { code: Code(code), text: text.into() }
    }
    pub fn multi(code: u16, _enhanced: &str, _lines: &[&str]) -> Self {
        Self { code: Code(code), text: Vec::new() }
    }
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text);
    }
    pub fn wire(&self) -> &[u8] {
        &self.text
    }
    pub fn code(&self) -> Code {
        self.code
    }
    pub fn class(&self) -> Class {
        self.code.class()
    }
    pub fn is_positive(&self) -> bool {
        self.class() == Class::Positive
    }
    /// Text of each line, without code, separator and CRLF.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split(|b| *b == b'\n')
    }
    /// `5.1.1` of the first line, if it has one.
    pub fn enhanced(&self) -> Option<&str> {
        None
    }
    pub fn first_line(&self) -> String {
        String::new()
    }
    #[must_use]
    pub fn with_id(self, _id: &str) -> Self {
        self
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    BareNewline,
    LineTooLong,
    TooManyLines,
    BadCode,
    MixedCodes,
}
#[derive(Debug, Default)]
pub struct ReplyParser {
    partial: Vec<u8>,
}
impl ReplyParser {
    pub const fn new() -> Self {
        Self { partial: Vec::new() }
    }
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        self.partial.extend_from_slice(input);
        Ok((input.len(), None))
    }
    pub fn is_idle(&self) -> bool {
        self.partial.is_empty()
    }
}
