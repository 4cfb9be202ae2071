//! What a domain says about TLS of its MX hosts: MTA-STS (RFC 8461).
//!
//! A record in the DNS says that there is a policy and which (§3.1); the policy itself comes by HTTPS
//! (§3.2), which is for the service to fetch. Here both are read.
//!
//! Invariant: text that is no policy is a [`Fault`], never a policy that allows more.

use std::fmt;
use std::time::Duration;

use crate::sender::dns::{Name, Record};

/// Octets of a policy that are read at most; §3.3 asks for a limit.
pub const POLICY_BYTES_MAX: usize = 64 << 10;
/// §3.2: `max_age` is a year and a day at most.
const AGE_SECONDS_MAX: u64 = 31_557_600;
/// Patterns of one policy.
const PATTERNS_MAX: usize = 256;
/// Octets of an id (§3.1: 1*32).
const ID_BYTES_MAX: usize = 32;
const VERSION: &str = "STSv1";

/// Tells one policy of a domain from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id(Box<str>);

/// §3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub mode: Mode,
    /// How long it may be kept.
    pub max_age: Duration,
    patterns: Vec<Pattern>,
}

/// What becomes of a host that does not keep to the policy (§5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It gets no mail.
    Enforce,
    /// Mail goes as if there were no policy.
    Testing,
    /// There is no policy any more.
    None,
}

/// §4.1: a host, or all hosts one label below a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Host(Name),
    Below(Name),
}

/// Why it is no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    NotText,
    TooLong,
    Line,
    Version,
    Mode,
    MaxAge,
    Mx,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NotText => "it is no text",
            Self::TooLong => "it is too long",
            Self::Line => "a line is no `key: value`",
            Self::Version => "it does not begin with `version: STSv1`",
            Self::Mode => "its mode is none of enforce, testing and none",
            Self::MaxAge => "its max_age is no number of seconds up to a year",
            Self::Mx => "it names no host, or what is none",
        })
    }
}

/// The name under which a domain says that it has a policy.
pub fn record_name(domain: &Name) -> Option<Name> {
    Name::parse(&format!("_mta-sts.{domain}"))
}

/// The host that has it.
pub fn host_name(domain: &Name) -> Option<Name> {
    Name::parse(&format!("mta-sts.{domain}"))
}

/// The id that the records tell; None where there is not exactly one record of the kind, or it cannot be
/// read (§3.1: then there is no policy).
pub fn id(records: &[Record]) -> Option<Id> {
    let texts = records.iter().filter_map(|record| match record {
        Record::Txt(text) => str::from_utf8(text).ok(),
        _ => None,
    });
    let mut ours = texts.filter(|text| is_of_our_kind(text));
    let (only, None) = (ours.next()?, ours.next()) else { return None };
    let mut ids = only.split(';').filter_map(|field| {
        let (key, value) = field.split_once('=')?;
        (key.trim_matches([' ', '\t']) == "id").then(|| value.trim_matches([' ', '\t']))
    });
    let is_id = |id: &&str| {
        (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    ids.next().filter(is_id).map(|id| Id(id.into()))
}

fn is_of_our_kind(text: &str) -> bool {
    let rest = text.strip_prefix("v=").and_then(|rest| rest.strip_prefix(VERSION));
    rest.is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with(';'))
}

impl Policy {
    /// Reads what came by HTTPS.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        if body.len() > POLICY_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let text = str::from_utf8(body).map_err(|_| Fault::NotText)?;
        let mut fields = Fields::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (key, value) = line.split_once(':').ok_or(Fault::Line)?;
            fields.take(key.trim(), value.trim())?;
        }
        fields.into_policy()
    }

    /// Whether mail may go to this host (§4.1).
    pub fn allows(&self, host: &Name) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(host))
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("*.") {
            Some(domain) => plain_name(domain).map(Self::Below),
            None => plain_name(text).map(Self::Host),
        }
    }

    fn matches(&self, host: &Name) -> bool {
        match self {
            Self::Host(name) => name == host,
            Self::Below(domain) => {
                host.as_str().split_once('.').is_some_and(|(_, above)| above == domain.as_str())
            }
        }
    }
}

/// A star elsewhere than in front is a mistake that must not be taken for a label.
fn plain_name(text: &str) -> Option<Name> {
    Name::parse(text).filter(|_| !text.contains('*'))
}

/// §3.2: of a key that comes again only the first counts, except `mx`; keys that nobody knows say nothing.
#[derive(Debug, Default)]
struct Fields {
    version: Option<()>,
    mode: Option<Mode>,
    max_age: Option<Duration>,
    patterns: Vec<Pattern>,
}

impl Fields {
    fn take(&mut self, key: &str, value: &str) -> Result<(), Fault> {
        match key {
            "version" if value != VERSION => return Err(Fault::Version),
            "version" => self.version = Some(()),
            "mode" if self.mode.is_none() => self.mode = Some(mode(value).ok_or(Fault::Mode)?),
            "max_age" if self.max_age.is_none() => {
                self.max_age = Some(max_age(value).ok_or(Fault::MaxAge)?);
            }
            "mx" if self.patterns.len() == PATTERNS_MAX => return Err(Fault::TooLong),
            "mx" => self.patterns.push(Pattern::parse(value).ok_or(Fault::Mx)?),
            _ => {}
        }
        Ok(())
    }

    fn into_policy(self) -> Result<Policy, Fault> {
        self.version.ok_or(Fault::Version)?;
        let mode = self.mode.ok_or(Fault::Mode)?;
        let max_age = self.max_age.ok_or(Fault::MaxAge)?;
        if self.patterns.is_empty() && mode != Mode::None {
            return Err(Fault::Mx);
        }
        Ok(Policy { mode, max_age, patterns: self.patterns })
    }
}

fn mode(text: &str) -> Option<Mode> {
    match text {
        "enforce" => Some(Mode::Enforce),
        "testing" => Some(Mode::Testing),
        "none" => Some(Mode::None),
        _ => None,
    }
}

/// §3.2: 1*10DIGIT; more than a year counts as a year.
fn max_age(text: &str) -> Option<Duration> {
    let is_number = (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: u64 = text.parse().ok().filter(|_| is_number)?;
    Some(Duration::from_secs(seconds.min(AGE_SECONDS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txt(text: &str) -> Record {
        Record::Txt(text.as_bytes().to_vec())
    }

    #[test]
    fn one_record_tells_the_id() {
        for (texts, wanted) in [
            (&["v=STSv1; id=20160831085700Z;"][..], Some("20160831085700Z")),
            (&["v=STSv1;id=1"], Some("1")),
            (&["v=STSv1 ; x=y; id = a1 ;"], Some("a1")),
            (&["v=spf1 -all", "v=STSv1; id=2;"], Some("2")),
            (&["v=STSv1; id=1;", "v=STSv1; id=2;"], None),
            (&["v=STSv1; id=;"], None),
            (&["v=STSv1; id=a-b;"], None),
            (&["v=STSv1; id=123456789012345678901234567890123;"], None),
            (&["v=STSv1"], None),
            (&["v=STSv12; id=1"], None),
            (&["V=STSv1; id=1"], None),
            (&[" v=STSv1; id=1"], None),
            (&[], None),
        ] {
            let records: Vec<_> = texts.iter().map(|text| txt(text)).collect();
            assert_eq!(id(&records), wanted.map(|id| Id(id.into())), "{texts:?}");
        }
    }

    #[test]
    fn policies_are_lines() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n\
                    max_age: 604800\r\n";
        let policy = Policy::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (policy.mode, policy.max_age.as_secs(), policy.patterns.len()),
            (Mode::Enforce, 604_800, 2)
        );
        assert_eq!(Policy::parse(text.replace("\r\n", "\n").as_bytes()), Ok(policy.clone()));
        let twice = format!("{text}mode: none\nmax_age: 1\nfuture: x: y\n\n");
        assert_eq!(Policy::parse(twice.as_bytes()), Ok(policy));
        let none = "version: STSv1\nmode: none\nmax_age: 9999999999\n";
        assert_eq!(Policy::parse(none.as_bytes()).unwrap().max_age.as_secs(), AGE_SECONDS_MAX);
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let with = |line: &str| format!("version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 1\n{line}");
        for (text, wanted) in [
            (String::new(), Fault::Version),
            ("mode: enforce\nmx: a.test\nmax_age: 1\n".to_owned(), Fault::Version),
            ("version: STSv2\n".to_owned(), Fault::Version),
            ("version: STSv1\nmode: Enforce\n".to_owned(), Fault::Mode),
            ("version: STSv1\nmax_age: 1\nmx: a.test\n".to_owned(), Fault::Mode),
            ("version: STSv1\nmode: testing\nmx: a.test\n".to_owned(), Fault::MaxAge),
            ("version: STSv1\nmode: testing\nmax_age: -1\n".to_owned(), Fault::MaxAge),
            ("version: STSv1\nmode: testing\nmax_age: 12345678901\n".to_owned(), Fault::MaxAge),
            ("version: STSv1\nmode: enforce\nmax_age: 1\n".to_owned(), Fault::Mx),
            (with("mx: a.*.test"), Fault::Mx),
            (with("mx: *"), Fault::Mx),
            (with("mx: "), Fault::Mx),
            (with("<html>"), Fault::Line),
            (with(&"mx: b.test\n".repeat(PATTERNS_MAX)), Fault::TooLong),
            (with(&"\n".repeat(POLICY_BYTES_MAX)), Fault::TooLong),
        ] {
            assert_eq!(Policy::parse(text.as_bytes()), Err(wanted), "{text:.60}");
        }
        assert_eq!(Policy::parse(b"version: STSv1\n\xff: x"), Err(Fault::NotText));
    }

    #[test]
    fn a_star_is_one_label() {
        let text = "version: STSv1\nmode: enforce\nmx: Mail.example.com\nmx: *.example.net\nmax_age: 1\n";
        let policy = Policy::parse(text.as_bytes()).unwrap();
        let allows = |host| policy.allows(&Name::parse(host).unwrap());
        assert!(allows("mail.example.com") && allows("a.Example.net"));
        for host in ["example.com", "a.mail.example.com", "example.net", "a.b.example.net", "aexample.net"] {
            assert!(!allows(host), "{host}");
        }
    }
}
