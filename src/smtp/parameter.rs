//! Parameters of MAIL and RCPT.
use crate::smtp::extension::Extensions;
use crate::smtp::reply::Reply;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters<'a>(&'a [u8]);
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    pub keyword: &'a [u8],
    pub value: Option<&'a [u8]>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;
impl<'a> Parameters<'a> {
    pub const NONE: Parameters<'static> = Parameters(b"");
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        Ok(Self(text))
    }
    pub fn iter(&self) -> impl Iterator<Item = Parameter<'a>> + use<'a> {
        let none: &'a [Parameter<'a>] = &[];
        none.iter().copied()
    }
    pub fn find(&self, keyword: &[u8]) -> Option<Parameter<'a>> {
        self.iter().find(|p| p.keyword.eq_ignore_ascii_case(keyword))
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    pub size: Option<u64>,
    pub eight_bit: bool,
    pub smtputf8: bool,
    pub dsn: bool,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterError {
    pub kind: ParameterErrorKind,
    pub keyword: String,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterErrorKind {
    Unknown,
    Repeated,
    BadValue,
}
impl ParameterError {
    pub fn reply(&self) -> Reply {
        Reply::new(555, "5.5.4", "parameter not recognized")
    }
}
pub fn check_mail(_parameters: Parameters<'_>, _offered: Extensions) -> Result<Declared, ParameterError> {
    Ok(Declared::default())
}
pub fn check_rcpt(_parameters: Parameters<'_>, _offered: Extensions) -> Result<Declared, ParameterError> {
    Ok(Declared::default())
}
