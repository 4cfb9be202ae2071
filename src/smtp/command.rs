//! Commands.
use crate::smtp::address::Path;
use crate::smtp::parameter::Parameters;
use crate::smtp::reply::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Helo,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    Starttls,
    Auth,
    Xforward,
    Xclient,
    Etrn,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Helo(&'a [u8]),
    Ehlo(&'a [u8]),
    Mail(Mail<'a>),
    Rcpt(Rcpt<'a>),
    Data,
    Bdat(Bdat),
    Rset,
    Noop,
    Quit,
    Vrfy(&'a [u8]),
    Expn(&'a [u8]),
    Help,
    Starttls,
    Auth(&'a [u8]),
    Xforward(&'a [u8]),
    Xclient(&'a [u8]),
    Etrn,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mail<'a> {
    pub path: Path<'a>,
    pub parameters: Parameters<'a>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcpt<'a> {
    pub path: Path<'a>,
    pub parameters: Parameters<'a>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bdat {
    pub octets: u64,
    pub last: bool,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    Unrecognized,
    ControlCharacter,
    Syntax,
    Parameters,
    Sender,
    Recipient,
}
impl CommandError {
    pub fn reply(self) -> Reply {
        Reply::new(500, "5.5.2", "command not recognized")
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub verb: Option<Verb>,
    pub error: CommandError,
    pub bdat: Option<Bdat>,
}
impl Command<'_> {
    pub fn verb(&self) -> Verb {
        Verb::Noop
    }
}
pub fn parse(_line: &[u8]) -> Result<Command<'_>, Refused> {
    Ok(Command::Noop)
}
