//! Commands as a client sends them. RFC 5321 §4.1.1; BDAT RFC 3030, STARTTLS RFC 3207,
//! AUTH RFC 4954, ETRN RFC 1985, XFORWARD and XCLIENT as Postfix documents them.
//!
//! Invariant: nothing of a parsed command has a control character in it. (A tab behind the verb
//! or at the end of a line is white space and is dropped.)

use crate::limits::DOMAIN_BYTES_MAX;
use crate::smtp::address::Path;
use crate::smtp::parameter::Parameters;
use crate::smtp::reply::Reply;

/// The first word of a command.
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

/// A command with what it says, borrowed from its line.
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

/// `MAIL FROM:<path> parameters`; the path may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mail<'a> {
    pub path: Path<'a>,
    pub parameters: Parameters<'a>,
}

/// `RCPT TO:<path> parameters`; the path may be `postmaster` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcpt<'a> {
    pub path: Path<'a>,
    pub parameters: Parameters<'a>,
}

/// `BDAT octets [LAST]`: that many octets of content follow, whatever the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bdat {
    pub octets: u64,
    pub last: bool,
}

/// What is wrong with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    Unrecognized,
    ControlCharacter,
    /// The arguments are not what the verb takes.
    Syntax,
    /// What follows the path of MAIL or RCPT is no list of parameters.
    Parameters,
    /// The path of MAIL is none.
    Sender,
    /// The path of RCPT is none.
    Recipient,
}

impl CommandError {
    pub fn reply(self) -> Reply {
        match self {
            Self::Unrecognized => Reply::new(500, "5.5.2", "command not recognized"),
            Self::ControlCharacter => Reply::new(500, "5.5.2", "control character in command"),
            Self::Syntax => Reply::new(501, "5.5.4", "syntax error in arguments"),
            Self::Parameters => Reply::new(501, "5.5.4", "syntax error in parameters"),
            Self::Sender => Reply::new(553, "5.1.7", "bad sender address syntax"),
            Self::Recipient => Reply::new(553, "5.1.3", "bad recipient address syntax"),
        }
    }
}

/// A line that is no command we can carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// If the first word was one that we know.
    pub verb: Option<Verb>,
    pub error: CommandError,
    /// The content that follows a bad BDAT all the same, if its count could be read. It must be
    /// swallowed, lest it be taken for commands; without a count the connection is lost.
    pub bdat: Option<Bdat>,
}

impl Command<'_> {
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Helo(_) => Verb::Helo,
            Self::Ehlo(_) => Verb::Ehlo,
            Self::Mail(_) => Verb::Mail,
            Self::Rcpt(_) => Verb::Rcpt,
            Self::Data => Verb::Data,
            Self::Bdat(_) => Verb::Bdat,
            Self::Rset => Verb::Rset,
            Self::Noop => Verb::Noop,
            Self::Quit => Verb::Quit,
            Self::Vrfy(_) => Verb::Vrfy,
            Self::Expn(_) => Verb::Expn,
            Self::Help => Verb::Help,
            Self::Starttls => Verb::Starttls,
            Self::Auth(_) => Verb::Auth,
            Self::Xforward(_) => Verb::Xforward,
            Self::Xclient(_) => Verb::Xclient,
            Self::Etrn => Verb::Etrn,
        }
    }
}

impl Verb {
    fn parse(word: &[u8]) -> Option<Self> {
        const VERBS: [(&[u8], Verb); 17] = [
            (b"EHLO", Verb::Ehlo),
            (b"HELO", Verb::Helo),
            (b"MAIL", Verb::Mail),
            (b"RCPT", Verb::Rcpt),
            (b"DATA", Verb::Data),
            (b"BDAT", Verb::Bdat),
            (b"RSET", Verb::Rset),
            (b"NOOP", Verb::Noop),
            (b"QUIT", Verb::Quit),
            (b"VRFY", Verb::Vrfy),
            (b"EXPN", Verb::Expn),
            (b"HELP", Verb::Help),
            (b"STARTTLS", Verb::Starttls),
            (b"AUTH", Verb::Auth),
            (b"XFORWARD", Verb::Xforward),
            (b"XCLIENT", Verb::Xclient),
            (b"ETRN", Verb::Etrn),
        ];
        VERBS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, verb)| *verb)
    }
}

/// The command on `line`, which is without its line end.
pub fn parse(line: &[u8]) -> Result<Command<'_>, Refused> {
    let (word, arguments) = split_word(line);
    let verb = Verb::parse(word);
    // RFC 5321 §4.1.1: trailing white space is tolerated, what is more between words too.
    let arguments = trim(arguments);
    let command = match verb {
        None => Err(CommandError::Unrecognized),
        Some(_) if arguments.iter().any(u8::is_ascii_control) => Err(CommandError::ControlCharacter),
        Some(verb) => parse_arguments(verb, arguments),
    };
    command.map_err(|error| {
        let bdat = verb.filter(|verb| *verb == Verb::Bdat).and_then(|_| announced(arguments));
        Refused { verb, error, bdat }
    })
}

fn parse_arguments(verb: Verb, arguments: &[u8]) -> Result<Command<'_>, CommandError> {
    match verb {
        Verb::Helo => name(arguments).map(Command::Helo),
        Verb::Ehlo => name(arguments).map(Command::Ehlo),
        Verb::Mail => mail(arguments).map(Command::Mail),
        Verb::Rcpt => rcpt(arguments).map(Command::Rcpt),
        Verb::Bdat => bdat(arguments).map(Command::Bdat),
        Verb::Data => none(arguments, Command::Data),
        Verb::Rset => none(arguments, Command::Rset),
        Verb::Quit => none(arguments, Command::Quit),
        Verb::Starttls => none(arguments, Command::Starttls),
        Verb::Noop => Ok(Command::Noop),
        Verb::Help => Ok(Command::Help),
        Verb::Vrfy => some(arguments).map(Command::Vrfy),
        Verb::Expn => some(arguments).map(Command::Expn),
        Verb::Auth => some(arguments).map(Command::Auth),
        Verb::Xforward => some(arguments).map(Command::Xforward),
        Verb::Xclient => some(arguments).map(Command::Xclient),
        Verb::Etrn => some(arguments).map(|_| Command::Etrn),
    }
}

fn none<'a>(arguments: &[u8], command: Command<'a>) -> Result<Command<'a>, CommandError> {
    if arguments.is_empty() { Ok(command) } else { Err(CommandError::Syntax) }
}

fn some(arguments: &[u8]) -> Result<&[u8], CommandError> {
    if arguments.is_empty() { Err(CommandError::Syntax) } else { Ok(arguments) }
}

/// Clients call themselves many things that are no domain (RFC 5321 §4.1.4 wants them served).
/// What could be taken for structure in a header field or a log is refused all the same.
fn name(arguments: &[u8]) -> Result<&[u8], CommandError> {
    let is_name = |byte: &u8| byte.is_ascii_graphic() && !b"()<>\"\\,;@".contains(byte);
    let valid = (1..=DOMAIN_BYTES_MAX).contains(&arguments.len()) && arguments.iter().all(is_name);
    if valid { Ok(arguments) } else { Err(CommandError::Syntax) }
}

fn mail(arguments: &[u8]) -> Result<Mail<'_>, CommandError> {
    let text = after_keyword(arguments, b"FROM:").ok_or(CommandError::Syntax)?;
    // `postmaster` without a domain is a recipient only (RFC 5321 §4.5.1).
    let (path, rest) = Path::parse(text)
        .filter(|(path, _)| path.is_null() || !path.domain.is_empty())
        .ok_or(CommandError::Sender)?;
    Ok(Mail { path, parameters: parameters(rest)? })
}

fn rcpt(arguments: &[u8]) -> Result<Rcpt<'_>, CommandError> {
    let text = after_keyword(arguments, b"TO:").ok_or(CommandError::Syntax)?;
    let (path, rest) =
        Path::parse(text).filter(|(path, _)| !path.is_null()).ok_or(CommandError::Recipient)?;
    Ok(Rcpt { path, parameters: parameters(rest)? })
}

/// Spaces after the colon are against the grammar and common.
fn after_keyword<'a>(arguments: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = arguments.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| rest.trim_ascii_start())
}

fn parameters(text: &[u8]) -> Result<Parameters<'_>, CommandError> {
    if !text.is_empty() && !text.starts_with(b" ") {
        return Err(CommandError::Parameters);
    }
    Parameters::parse(text).map_err(|_| CommandError::Parameters)
}

fn bdat(arguments: &[u8]) -> Result<Bdat, CommandError> {
    let announced = announced(arguments).ok_or(CommandError::Syntax)?;
    let (_, rest) = split_word(arguments);
    match trim(rest) {
        b"" => Ok(announced),
        last if last.eq_ignore_ascii_case(b"LAST") => Ok(announced),
        _ => Err(CommandError::Syntax),
    }
}

/// The count of a BDAT, whatever follows it. One that is too large to be a number is still too
/// large to be a chunk: what comes behind it must never be read as commands.
fn announced(arguments: &[u8]) -> Option<Bdat> {
    let (count, rest) = split_word(arguments);
    if count.is_empty() || !count.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let octets = str::from_utf8(count).ok()?.parse().unwrap_or(u64::MAX);
    Some(Bdat { octets, last: trim(rest).eq_ignore_ascii_case(b"LAST") })
}

fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    line.split_at(end)
}

fn trim(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_space(byte)).map_or(start, |at| at + 1);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(line: &str, want: Command<'_>) {
        assert_eq!(parse(line.as_bytes()), Ok(want), "{line:?}");
        assert_eq!(parse(format!("{line} \t").as_bytes()), Ok(want), "{line:?} with trailing space");
    }

    #[track_caller]
    fn refuse(line: &str, code: u16) -> Refused {
        let refused = parse(line.as_bytes()).expect_err(line);
        assert_eq!(refused.error.reply().code().to_u16(), code, "{line:?}");
        refused
    }

    fn path(text: &str) -> Path<'_> {
        let (local, domain) = text.split_once('@').unwrap_or((text, ""));
        Path {
            text: text.as_bytes(),
            local: local.as_bytes(),
            domain: domain.as_bytes(),
            utf8: !text.is_ascii(),
        }
    }

    #[test]
    fn commands_without_arguments() {
        check("DATA", Command::Data);
        check("rset", Command::Rset);
        check("Quit", Command::Quit);
        check("STARTTLS", Command::Starttls);
        for line in ["DATA x", "RSET x", "QUIT x", "STARTTLS x"] {
            refuse(line, 501);
        }
        check("NOOP", Command::Noop);
        check("NOOP whatever", Command::Noop);
        check("HELP MAIL", Command::Help);
    }

    #[test]
    fn commands_with_arguments() {
        check("VRFY a b", Command::Vrfy(b"a b"));
        check("EXPN  list", Command::Expn(b"list"));
        check("AUTH PLAIN AAA=", Command::Auth(b"PLAIN AAA="));
        check("XFORWARD NAME=a", Command::Xforward(b"NAME=a"));
        check("XCLIENT NAME=a", Command::Xclient(b"NAME=a"));
        check("ETRN example.org", Command::Etrn);
        for line in ["VRFY", "EXPN ", "AUTH", "XFORWARD", "XCLIENT", "ETRN"] {
            refuse(line, 501);
        }
    }

    #[test]
    fn who_the_client_is() {
        check("EHLO mx.example.org", Command::Ehlo(b"mx.example.org"));
        check("helo [192.0.2.1]", Command::Helo(b"[192.0.2.1]"));
        check("EHLO under_score", Command::Ehlo(b"under_score"));
        check("EHLO [IPv6:::1]", Command::Ehlo(b"[IPv6:::1]"));
        for line in ["EHLO", "HELO ", "EHLO a b", "EHLO a(b)", "EHLO <a>", "EHLO é", "EHLO a\"b"] {
            refuse(line, 501);
        }
        refuse(&format!("EHLO {}", "a".repeat(256)), 501);
    }

    #[test]
    fn mail() {
        let parameters = Parameters::NONE;
        check("MAIL FROM:<a@b>", Command::Mail(Mail { path: path("a@b"), parameters }));
        check("mail from: <a@b>", Command::Mail(Mail { path: path("a@b"), parameters }));
        check("MAIL FROM:<>", Command::Mail(Mail { path: Path::NULL, parameters }));
        let parameters = Parameters::parse(b"SIZE=1 X").unwrap();
        check("MAIL FROM:<é@b> SIZE=1 X", Command::Mail(Mail { path: path("é@b"), parameters }));
        for line in ["MAIL", "MAIL TO:<a@b>", "MAIL FROM <a@b>", "MAIL FROM :<a@b>", "MAILFROM:<a@b>"] {
            refuse(line, if line.starts_with("MAILF") { 500 } else { 501 });
        }
        for line in
            ["MAIL FROM:", "MAIL FROM:a@b", "MAIL FROM:<a@b", "MAIL FROM:<postmaster>", "MAIL FROM:<a@>"]
        {
            assert_eq!(refuse(line, 553).error, CommandError::Sender);
        }
        for line in
            ["MAIL FROM:<a@b>SIZE=1", "MAIL FROM:<a@b>>", "MAIL FROM:<a@b> =", "MAIL FROM:<a@b> a=b=c"]
        {
            refuse(line, 501);
        }
    }

    #[test]
    fn rcpt() {
        let parameters = Parameters::NONE;
        check("RCPT TO:<a@b>", Command::Rcpt(Rcpt { path: path("a@b"), parameters }));
        check("RCPT To:<Postmaster>", Command::Rcpt(Rcpt { path: path("Postmaster"), parameters }));
        check("RCPT TO:<@x,@y:a@b>", Command::Rcpt(Rcpt { path: path("a@b"), parameters }));
        for line in ["RCPT TO:<>", "RCPT TO:<a>", "RCPT TO:a@b", "RCPT TO:<a@b\u{80}>"] {
            assert_eq!(refuse(line, 553).error, CommandError::Recipient);
        }
        refuse("RCPT FROM:<a@b>", 501);
    }

    #[test]
    fn bdat() {
        check("BDAT 0", Command::Bdat(Bdat { octets: 0, last: false }));
        check("bdat 10 last", Command::Bdat(Bdat { octets: 10, last: true }));
        check("BDAT  10  LAST", Command::Bdat(Bdat { octets: 10, last: true }));
        check("BDAT 18446744073709551615", Command::Bdat(Bdat { octets: u64::MAX, last: false }));
        check("BDAT 18446744073709551616", Command::Bdat(Bdat { octets: u64::MAX, last: false }));
        for (line, want) in [
            ("BDAT 20 FIRST", Some(Bdat { octets: 20, last: false })),
            ("BDAT 20 LAST LAST", Some(Bdat { octets: 20, last: false })),
            ("BDAT", None),
            ("BDAT LAST", None),
            ("BDAT -1", None),
            ("BDAT +1", None),
            ("BDAT 20LAST", None),
            ("BDAT 99999999999999999999 FIRST", Some(Bdat { octets: u64::MAX, last: false })),
        ] {
            assert_eq!(refuse(line, 501).bdat, want, "{line:?}");
        }
        assert_eq!(refuse("BDAT 7 \x01", 500).bdat, Some(Bdat { octets: 7, last: false }));
    }

    #[test]
    fn what_is_no_command() {
        for line in ["", " ", " QUIT", "QUITX", "QUI", "Subject: x", "\u{e9}", "QUIT\r", "QUIT\0"] {
            assert_eq!(refuse(line, 500).verb, None);
        }
        for line in ["NOOP \0", "RCPT TO:<a@b>\r", "MAIL FROM:<a@b>\x7f", "EHLO a\tb", "VRFY a\x1bb"] {
            assert!(refuse(line, 500).verb.is_some());
        }
    }

    proptest! {
        #[test]
        fn no_line_panics_and_no_control_character_gets_through(
            line in "(MAIL FROM:|RCPT TO:|BDAT |EHLO |NOOP |)[ -~\\x00-\\xff<@>]{0,30}",
        ) {
            let got = parse(line.as_bytes());
            if let Ok(command) = got {
                prop_assert!(!line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t'));
                prop_assert_eq!(parse(trim(line.as_bytes())).map(|again| again.verb()), Ok(command.verb()));
            }
        }
    }
}
