//! Parameters of MAIL and RCPT. RFC 5321 §4.1.2 (syntax) and §4.1.1.11 (unknown ones).
//!
//! SIZE RFC 1870, BODY RFC 6152 and 3030, SMTPUTF8 RFC 6531, RET, ENVID, NOTIFY and ORCPT
//! RFC 3461, AUTH RFC 4954, REQUIRETLS RFC 8689, MT-PRIORITY RFC 6710.
//!
//! A parameter goes to the next hop only if its extension was offered and its value is one that
//! the extension knows: what we do not understand we refuse, we do not pass it on.

use crate::smtp::extension::Extensions;
use crate::smtp::reply::Reply;
use crate::smtp::xforward::decode_xtext;

/// The parameters of one command, checked for syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters<'a>(&'a [u8]);

/// `KEYWORD` or `KEYWORD=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    pub keyword: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// Not a list of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl<'a> Parameters<'a> {
    pub const NONE: Parameters<'static> = Parameters(b"");

    /// Checks the syntax, not what the parameters mean.
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        let parameters = Self(text.trim_ascii());
        if parameters.iter().all(Parameter::is_well_formed) { Ok(parameters) } else { Err(Malformed) }
    }

    pub fn iter(&self) -> impl Iterator<Item = Parameter<'a>> + use<'a> {
        self.0.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).map(Parameter::split)
    }

    /// The first parameter with `keyword`, in whatever case it was written.
    pub fn find(&self, keyword: &[u8]) -> Option<Parameter<'a>> {
        self.iter().find(|parameter| parameter.keyword.eq_ignore_ascii_case(keyword))
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As they were written.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Parameter<'a> {
    fn split(word: &'a [u8]) -> Self {
        match word.iter().position(|byte| *byte == b'=') {
            Some(at) => Self { keyword: &word[..at], value: Some(&word[at + 1..]) },
            None => Self { keyword: word, value: None },
        }
    }

    fn is_well_formed(self) -> bool {
        let starts_well = self.keyword.first().is_some_and(u8::is_ascii_alphanumeric);
        starts_well
            && self.keyword.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && self.value.is_none_or(is_value)
    }
}

/// Writes one more parameter behind those in `out`.
pub fn append(keyword: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b' ');
    }
    out.extend_from_slice(keyword);
    if let Some(value) = value {
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

/// `esmtp-value = 1*(%d33-60 / %d62-126)`, and UTF-8 (RFC 6531 §3.3).
fn is_value(value: &[u8]) -> bool {
    !value.is_empty()
        && value.iter().all(|byte| matches!(byte, b'!'..=b'<' | b'>'..=b'~' | 0x80..))
        && str::from_utf8(value).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// What MAIL or RCPT said about the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    pub size: Option<u64>,
    /// `BODY=8BITMIME`
    pub eight_bit: bool,
    pub smtputf8: bool,
    /// RET, ENVID, NOTIFY or ORCPT was there.
    pub dsn: bool,
    /// REQUIRETLS was there.
    pub require_tls: bool,
    /// RFC 6710 §4: -9 to 9.
    pub priority: Option<i8>,
}

/// The parameter that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterError {
    pub kind: ParameterErrorKind,
    pub keyword: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterErrorKind {
    /// Not known, or not offered.
    Unknown,
    Repeated,
    BadValue,
}

impl ParameterError {
    fn new(kind: ParameterErrorKind, parameter: Parameter<'_>) -> Self {
        // For people; the syntax makes it ASCII.
        let keyword = parameter.keyword.iter().take(64).map(|byte| char::from(byte.to_ascii_uppercase()));
        Self { kind, keyword: keyword.collect() }
    }

    pub fn reply(&self) -> Reply {
        let keyword = &self.keyword;
        match self.kind {
            ParameterErrorKind::Unknown => {
                Reply::new(555, "5.5.4", &format!("{keyword} is not supported here"))
            }
            ParameterErrorKind::Repeated => Reply::new(501, "5.5.4", &format!("{keyword} given twice")),
            ParameterErrorKind::BadValue => Reply::new(501, "5.5.4", &format!("{keyword}: bad value")),
        }
    }
}

/// A parameter that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Size,
    Body,
    Smtputf8,
    Ret,
    Envid,
    Auth,
    RequireTls,
    MtPriority,
    Notify,
    Orcpt,
}

type Row = (&'static [u8], Known, Extensions);

const OF_MAIL: [Row; 8] = [
    (b"SIZE", Known::Size, Extensions::SIZE),
    (b"BODY", Known::Body, Extensions::EIGHT_BIT_MIME),
    (b"SMTPUTF8", Known::Smtputf8, Extensions::SMTPUTF8),
    (b"RET", Known::Ret, Extensions::DSN),
    (b"ENVID", Known::Envid, Extensions::DSN),
    (b"AUTH", Known::Auth, Extensions::AUTH),
    (b"REQUIRETLS", Known::RequireTls, Extensions::REQUIRETLS),
    (b"MT-PRIORITY", Known::MtPriority, Extensions::MT_PRIORITY),
];

const OF_RCPT: [Row; 2] =
    [(b"NOTIFY", Known::Notify, Extensions::DSN), (b"ORCPT", Known::Orcpt, Extensions::DSN)];

/// The parameters of MAIL, if each is one that was offered and has a value that it may have.
pub fn check_mail(parameters: Parameters<'_>, offered: Extensions) -> Result<Declared, ParameterError> {
    check(parameters, offered, &OF_MAIL)
}

/// As [`check_mail`], for RCPT.
pub fn check_rcpt(parameters: Parameters<'_>, offered: Extensions) -> Result<Declared, ParameterError> {
    check(parameters, offered, &OF_RCPT)
}

fn check(parameters: Parameters<'_>, offered: Extensions, table: &[Row]) -> Result<Declared, ParameterError> {
    let mut declared = Declared::default();
    let mut seen = 0_u32;
    for parameter in parameters.iter() {
        let refused = |kind| ParameterError::new(kind, parameter);
        let place = table
            .iter()
            .position(|(keyword, _, extension)| {
                parameter.keyword.eq_ignore_ascii_case(keyword) && offered.contains(*extension)
            })
            .ok_or_else(|| refused(ParameterErrorKind::Unknown))?;
        if seen & 1 << place != 0 {
            return Err(refused(ParameterErrorKind::Repeated));
        }
        seen |= 1 << place;
        take(table[place].1, parameter.value, offered, &mut declared)
            .ok_or_else(|| refused(ParameterErrorKind::BadValue))?;
    }
    Ok(declared)
}

/// Notes what the parameter says, or nothing if it may not say that.
fn take(known: Known, value: Option<&[u8]>, offered: Extensions, declared: &mut Declared) -> Option<()> {
    declared.dsn |= matches!(known, Known::Ret | Known::Envid | Known::Notify | Known::Orcpt);
    match known {
        Known::Size => declared.size = Some(size(value?)?),
        Known::Body => declared.eight_bit = is_eight_bit(value?, offered)?,
        Known::Smtputf8 => {
            declared.smtputf8 = true;
            return value.is_none().then_some(());
        }
        Known::RequireTls => {
            declared.require_tls = true;
            return value.is_none().then_some(());
        }
        Known::Ret => return is_one_of(value?, &[b"FULL", b"HDRS"]),
        Known::Envid => return is_printable_xtext(value?, 100),
        Known::Auth if value? == b"<>" => {}
        Known::Auth => return is_printable_xtext(value?, 500),
        Known::MtPriority => declared.priority = Some(priority(value?)?),
        Known::Notify => return is_notify(value?),
        Known::Orcpt => return is_original_recipient(value?),
    }
    Some(())
}

/// RFC 1870 §6.1: `1*20DIGIT`. What 64 bits cannot hold is too large for anybody.
fn size(value: &[u8]) -> Option<u64> {
    if value.len() > 20 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(str::from_utf8(value).ok()?.parse().unwrap_or(u64::MAX))
}

fn is_eight_bit(value: &[u8], offered: Extensions) -> Option<bool> {
    let body = |name: &[u8]| value.eq_ignore_ascii_case(name);
    let binary = body(b"BINARYMIME") && offered.contains(Extensions::BINARYMIME);
    (body(b"7BIT") || body(b"8BITMIME") || binary).then(|| !body(b"7BIT"))
}

fn is_one_of(value: &[u8], names: &[&[u8]]) -> Option<()> {
    names.iter().any(|name| value.eq_ignore_ascii_case(name)).then_some(())
}

/// RFC 3461 §4.4 and §4.2: what is encoded is printable.
fn is_printable_xtext(value: &[u8], bytes_max: usize) -> Option<()> {
    let decoded = decode_xtext(value).filter(|_| value.len() <= bytes_max)?;
    decoded.iter().all(|byte| matches!(byte, b' '..=b'~')).then_some(())
}

/// RFC 6710 §3: `["-"] NZDIGIT / "0"`.
fn priority(value: &[u8]) -> Option<i8> {
    match value {
        [digit @ b'0'..=b'9'] => i8::try_from(digit - b'0').ok(),
        [b'-', digit @ b'1'..=b'9'] => i8::try_from(digit - b'0').ok().map(|digit| -digit),
        _ => None,
    }
}

/// RFC 3461 §4.1: NEVER alone, or a list of the others.
fn is_notify(value: &[u8]) -> Option<()> {
    if value.eq_ignore_ascii_case(b"NEVER") {
        return Some(());
    }
    value
        .split(|byte| *byte == b',')
        .try_for_each(|when| is_one_of(when, &[b"SUCCESS", b"FAILURE", b"DELAY"]))
}

/// RFC 3461 §4.2: `addr-type ";" xtext`; with UTF-8 (RFC 6533 §3) the address may be written out.
fn is_original_recipient(value: &[u8]) -> Option<()> {
    let at = value.iter().position(|byte| *byte == b';').filter(|at| *at > 0 && value.len() <= 500)?;
    let (kind, address) = (&value[..at], &value[at + 1..]);
    if address.is_empty() || !kind.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
        return None;
    }
    if kind.eq_ignore_ascii_case(b"utf-8") { Some(()) } else { is_printable_xtext(address, 500) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Extensions = Extensions::SIZE
        .union(Extensions::EIGHT_BIT_MIME)
        .union(Extensions::SMTPUTF8)
        .union(Extensions::DSN)
        .union(Extensions::AUTH)
        .union(Extensions::REQUIRETLS)
        .union(Extensions::MT_PRIORITY);

    type Check = fn(Parameters<'_>, Extensions) -> Result<Declared, ParameterError>;

    #[track_caller]
    fn check(check: Check, text: &str, want: Result<Declared, (u16, &str)>) {
        let parameters = Parameters::parse(text.as_bytes()).unwrap();
        let got = check(parameters, ALL).map_err(|error| (error.reply().code().to_u16(), error.keyword));
        assert_eq!(got, want.map_err(|(code, keyword)| (code, keyword.to_owned())), "{text}");
    }

    const NOTHING: Declared = Declared {
        size: None,
        eight_bit: false,
        smtputf8: false,
        dsn: false,
        require_tls: false,
        priority: None,
    };

    #[test]
    fn mail_declares_what_its_parameters_say() {
        check(check_mail, "", Ok(NOTHING));
        check(check_mail, "size=10", Ok(Declared { size: Some(10), ..NOTHING }));
        check(check_mail, "SIZE=99999999999999999999", Ok(Declared { size: Some(u64::MAX), ..NOTHING }));
        check(check_mail, "BODY=8bitmime", Ok(Declared { eight_bit: true, ..NOTHING }));
        check(check_mail, "BODY=7BIT AUTH=<>", Ok(NOTHING));
        check(check_mail, "SMTPUTF8 RET=HDRS", Ok(Declared { smtputf8: true, dsn: true, ..NOTHING }));
        check(
            check_mail,
            "ENVID=a+2Bb  MT-PRIORITY=-9",
            Ok(Declared { dsn: true, priority: Some(-9), ..NOTHING }),
        );
        check(
            check_mail,
            "REQUIRETLS AUTH=e+3Dmc2@example.com MT-PRIORITY=0",
            Ok(Declared { require_tls: true, priority: Some(0), ..NOTHING }),
        );
    }

    #[test]
    fn rcpt_declares_delivery_status() {
        for text in ["NOTIFY=NEVER", "NOTIFY=SUCCESS,delay", "ORCPT=rfc822;a+40b", "ORCPT=utf-8;é"] {
            check(check_rcpt, text, Ok(Declared { dsn: true, ..NOTHING }));
        }
    }

    #[test]
    fn a_value_must_be_one_the_extension_knows() {
        for text in ["SIZE", "SIZE=1k", "SIZE=+1", "SIZE=100000000000000000000"] {
            check(check_mail, text, Err((501, "SIZE")));
        }
        check(check_mail, "BODY=BINARYMIME", Err((501, "BODY")));
        check(check_mail, "SMTPUTF8=1", Err((501, "SMTPUTF8")));
        check(check_mail, "RET=ALL", Err((501, "RET")));
        check(check_mail, "ENVID=a+0Ab", Err((501, "ENVID")));
        check(check_mail, "ENVID=a+b", Err((501, "ENVID")));
        check(check_mail, "MT-PRIORITY=10", Err((501, "MT-PRIORITY")));
        check(check_mail, "AUTH=+0D+0A", Err((501, "AUTH")));
        for text in ["NOTIFY=NEVER,DELAY", "NOTIFY=,", "NOTIFY"] {
            check(check_rcpt, text, Err((501, "NOTIFY")));
        }
        for text in ["ORCPT=a", "ORCPT=;a", "ORCPT=rfc822;", "ORCPT=rfc822;a+0Db"] {
            check(check_rcpt, text, Err((501, "ORCPT")));
        }
    }

    #[test]
    fn what_is_unknown_or_not_offered_or_repeated_is_refused() {
        check(check_mail, "SIZE=1 FOO=bar", Err((555, "FOO")));
        check(check_mail, "NOTIFY=NEVER", Err((555, "NOTIFY")));
        check(check_rcpt, "size=1", Err((555, "SIZE")));
        check(check_mail, "SIZE=1 size=1", Err((501, "SIZE")));
        let dsn = Parameters::parse(b"RET=FULL").unwrap();
        let error = check_mail(dsn, Extensions::SIZE).unwrap_err();
        assert_eq!(error.reply().wire(), b"555 5.5.4 RET is not supported here\r\n");
    }

    #[test]
    fn syntax() {
        for text in ["", " ", "A", "A=b", "A-1=<>", "1=\u{e9}", "a  b=c "] {
            assert!(Parameters::parse(text.as_bytes()).is_ok(), "{text:?}");
        }
        for text in ["=", "A=", "-A", "A_", "A=b=c", "A\tB", "A=\x7f", "A=\u{85}", "é"] {
            assert_eq!(Parameters::parse(text.as_bytes()), Err(Malformed), "{text:?}");
        }
        assert_eq!(Parameters::parse(b"A=\xff"), Err(Malformed));
    }

    #[test]
    fn keywords_have_no_case() {
        let parameters = Parameters::parse(b"a=1 Size=2 B").unwrap();
        let want = Parameter { keyword: b"Size", value: Some(b"2") };
        assert_eq!(parameters.find(b"SIZE"), Some(want));
        assert_eq!(parameters.find(b"C"), None);
        assert_eq!(parameters.iter().count(), 3);
    }
}
