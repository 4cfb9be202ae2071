//! Whose message it is: XFORWARD and XCLIENT (Postfix XFORWARD_README, XCLIENT_README), with
//! values in xtext (RFC 3461 §4).
//!
//! Invariants: every attribute that the next hop announced is sent, as `[UNAVAILABLE]` if it is
//! not known, so that nothing of the client before remains on a shared connection. No value with
//! a control character is accepted; all that is written is printable ASCII in lines of at most
//! `XFORWARD_LINE_BYTES_MAX`.

use crate::limits::{DOMAIN_BYTES_MAX, XFORWARD_LINE_BYTES_MAX};
use crate::smtp::address::literal_address;
use crate::smtp::reply::Reply;
use std::net::IpAddr;

/// Which attributes a server takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(u16);

pub type XforwardAttributes = Attributes;
pub type XclientAttributes = Attributes;

impl Attributes {
    pub const NONE: Self = Self(0);
    pub const NAME: Self = Self(1);
    pub const ADDR: Self = Self(1 << 1);
    pub const PORT: Self = Self(1 << 2);
    pub const HELO: Self = Self(1 << 3);
    pub const PROTO: Self = Self(1 << 4);
    pub const SOURCE: Self = Self(1 << 5);
    pub const IDENT: Self = Self(1 << 6);
    pub const LOGIN: Self = Self(1 << 7);
    pub const DESTADDR: Self = Self(1 << 8);
    pub const DESTPORT: Self = Self(1 << 9);

    /// Those of XFORWARD.
    pub const OF_XFORWARD: Self = Self(0b0_0111_1111);
    /// Those of XFORWARD that a next hop may announce: some want to know as whom the client logged in.
    pub const FOR_XFORWARD: Self = Self::OF_XFORWARD.union(Self::LOGIN);
    /// Those of XCLIENT.
    pub const OF_XCLIENT: Self = Self(0b11_1001_1111);

    const NAMES: [(&'static str, Self); 10] = [
        ("NAME", Self::NAME),
        ("ADDR", Self::ADDR),
        ("PORT", Self::PORT),
        ("HELO", Self::HELO),
        ("PROTO", Self::PROTO),
        ("SOURCE", Self::SOURCE),
        ("IDENT", Self::IDENT),
        ("LOGIN", Self::LOGIN),
        ("DESTADDR", Self::DESTADDR),
        ("DESTPORT", Self::DESTPORT),
    ];

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The attribute called `name`, in any case.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
            .map(|(_, attribute)| *attribute)
    }

    /// The attributes one by one, with their names.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, Self)> {
        Self::NAMES.into_iter().filter(move |(_, attribute)| self.contains(*attribute))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    Smtp,
    #[default]
    Esmtp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    Local,
    #[default]
    Remote,
}

/// Who the client is, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub name: Option<Vec<u8>>,
    pub addr: Option<IpAddr>,
    pub port: Option<u16>,
    pub helo: Option<Vec<u8>>,
    pub proto: Proto,
    pub source: Source,
    pub ident: Option<Vec<u8>>,
    pub login: Option<Vec<u8>>,
    pub destination_addr: Option<IpAddr>,
    pub destination_port: Option<u16>,
}

/// Appends `text` with all but printable characters, `+`, `=` and what Postfix would choke on
/// as `+XX`.
pub fn encode_xtext(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'!'..=b'~' if byte != b'+' && byte != b'=' => out.push(byte),
            _ => out.extend([b'+', hex_digit(byte >> 4), hex_digit(byte & 15)]),
        }
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    b"0123456789ABCDEF"[nibble as usize & 15]
}

/// What `text` stands for, or nothing if it is not xtext. Lower-case digits are taken too.
pub fn decode_xtext(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => {
                let (digits, tail) = rest.split_first_chunk::<2>()?;
                decoded.push(hex_value(digits[0])? << 4 | hex_value(digits[1])?);
                rest = tail;
            }
            b'!'..=b'~' if byte != b'=' => decoded.push(byte),
            _ => return None,
        }
    }
    Some(decoded)
}

fn hex_value(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

/// Notes what an XFORWARD command says. The error is the reply it gets.
///
/// What the command does not name keeps its value: an identity may take several commands.
pub fn parse_xforward(arguments: &[u8], identity: &mut Identity) -> Result<(), Reply> {
    parse(arguments, Attributes::OF_XFORWARD, identity)
}

/// As [`parse_xforward`], for XCLIENT.
pub fn parse_xclient(arguments: &[u8], identity: &mut Identity) -> Result<(), Reply> {
    parse(arguments, Attributes::OF_XCLIENT, identity)
}

/// Changes nothing unless all of it is right.
fn parse(arguments: &[u8], allowed: Attributes, identity: &mut Identity) -> Result<(), Reply> {
    let mut parsed = identity.clone();
    let mut words = arguments.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        return Err(refusal("attributes are missing"));
    }
    for word in words {
        let at =
            word.iter().position(|byte| *byte == b'=').ok_or_else(|| refusal("attribute without value"))?;
        let attribute = Attributes::named(&word[..at])
            .filter(|attribute| allowed.contains(*attribute))
            .ok_or_else(|| refusal("unknown attribute"))?;
        assign(attribute, &word[at + 1..], &mut parsed).ok_or_else(|| refusal("bad attribute value"))?;
    }
    *identity = parsed;
    Ok(())
}

fn refusal(text: &str) -> Reply {
    Reply::new(501, "5.5.4", text)
}

fn assign(attribute: Attributes, value: &[u8], identity: &mut Identity) -> Option<()> {
    let value = decode_xtext(value)?;
    let unknown =
        [&b"[UNAVAILABLE]"[..], b"[TEMPUNAVAIL]"].iter().any(|word| value.eq_ignore_ascii_case(word));
    let known = (!unknown).then_some(value.as_slice());
    match attribute {
        Attributes::NAME => identity.name = read(known, text)?,
        Attributes::ADDR => identity.addr = read(known, address)?,
        Attributes::PORT => identity.port = read(known, port)?,
        Attributes::HELO => identity.helo = read(known, text)?,
        Attributes::IDENT => identity.ident = read(known, text)?,
        Attributes::LOGIN => identity.login = read(known, text)?,
        Attributes::DESTADDR => identity.destination_addr = read(known, address)?,
        Attributes::DESTPORT => identity.destination_port = read(known, port)?,
        Attributes::PROTO => identity.proto = read(known, proto)?.unwrap_or_default(),
        Attributes::SOURCE => identity.source = read(known, source)?.unwrap_or_default(),
        _ => return None,
    }
    Some(())
}

/// Unknown, or known and well-formed.
fn read<T>(known: Option<&[u8]>, parse: impl Fn(&[u8]) -> Option<T>) -> Option<Option<T>> {
    known.map_or(Some(None), |value| parse(value).map(Some))
}

fn text(value: &[u8]) -> Option<Vec<u8>> {
    let valid = (1..=DOMAIN_BYTES_MAX).contains(&value.len())
        && str::from_utf8(value).is_ok_and(|text| !text.chars().any(char::is_control));
    valid.then(|| value.to_vec())
}

fn address(value: &[u8]) -> Option<IpAddr> {
    // Written as in an address literal, without its brackets.
    str::from_utf8(value).ok().and_then(literal_address)
}

fn port(value: &[u8]) -> Option<u16> {
    let digits = value.iter().all(u8::is_ascii_digit).then_some(value)?;
    str::from_utf8(digits).ok()?.parse().ok()
}

fn proto(value: &[u8]) -> Option<Proto> {
    match value {
        _ if value.eq_ignore_ascii_case(b"SMTP") => Some(Proto::Smtp),
        _ if value.eq_ignore_ascii_case(b"ESMTP") => Some(Proto::Esmtp),
        _ => None,
    }
}

fn source(value: &[u8]) -> Option<Source> {
    match value {
        _ if value.eq_ignore_ascii_case(b"LOCAL") => Some(Source::Local),
        _ if value.eq_ignore_ascii_case(b"REMOTE") => Some(Source::Remote),
        _ => None,
    }
}

/// Appends the XFORWARD commands that tell `attributes` of `identity`. Gives how many.
pub fn write_xforward(identity: &Identity, attributes: XforwardAttributes, out: &mut Vec<u8>) -> usize {
    write(b"XFORWARD", identity, attributes.intersection(Attributes::FOR_XFORWARD), out)
}

/// As [`write_xforward`], for XCLIENT: each command is answered with a greeting.
pub fn write_xclient(identity: &Identity, attributes: XclientAttributes, out: &mut Vec<u8>) -> usize {
    write(b"XCLIENT", identity, attributes.intersection(Attributes::OF_XCLIENT), out)
}

fn write(verb: &[u8], identity: &Identity, attributes: Attributes, out: &mut Vec<u8>) -> usize {
    let (mut commands, mut start) = (0, out.len());
    let mut word = Vec::new();
    for (name, attribute) in attributes.iter() {
        word.clear();
        write_word(name, attribute, identity, verb.len(), &mut word);
        if commands == 0 || out.len() - start + word.len() + b"\r\n".len() > XFORWARD_LINE_BYTES_MAX {
            if commands > 0 {
                out.extend_from_slice(b"\r\n");
            }
            start = out.len();
            out.extend_from_slice(verb);
            commands += 1;
        }
        out.extend_from_slice(&word);
    }
    if commands > 0 {
        out.extend_from_slice(b"\r\n");
    }
    commands
}

/// ` NAME=value`. A value that no line has room for is as good as unknown.
fn write_word(name: &str, attribute: Attributes, identity: &Identity, verb_len: usize, word: &mut Vec<u8>) {
    const UNAVAILABLE: &[u8] = b"[UNAVAILABLE]";
    word.push(b' ');
    word.extend_from_slice(name.as_bytes());
    word.push(b'=');
    let value_start = word.len();
    match value_of(attribute, identity).filter(|value| !value.is_empty()) {
        Some(value) => encode_xtext(&value, word),
        None => word.extend_from_slice(UNAVAILABLE),
    }
    if verb_len + word.len() + b"\r\n".len() > XFORWARD_LINE_BYTES_MAX {
        word.truncate(value_start);
        word.extend_from_slice(UNAVAILABLE);
    }
}

fn value_of(attribute: Attributes, identity: &Identity) -> Option<Vec<u8>> {
    match attribute {
        Attributes::NAME => identity.name.clone(),
        Attributes::ADDR => identity.addr.map(address_text),
        Attributes::PORT => identity.port.map(|port| port.to_string().into()),
        Attributes::HELO => identity.helo.clone(),
        Attributes::IDENT => identity.ident.clone(),
        Attributes::LOGIN => identity.login.clone(),
        Attributes::DESTADDR => identity.destination_addr.map(address_text),
        Attributes::DESTPORT => identity.destination_port.map(|port| port.to_string().into()),
        Attributes::PROTO => Some(match identity.proto {
            Proto::Smtp => b"SMTP".to_vec(),
            Proto::Esmtp => b"ESMTP".to_vec(),
        }),
        Attributes::SOURCE => Some(match identity.source {
            Source::Local => b"LOCAL".to_vec(),
            Source::Remote => b"REMOTE".to_vec(),
        }),
        _ => None,
    }
}

fn address_text(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string().into(),
        IpAddr::V6(address) => format!("IPV6:{address}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::command::{Command, parse as parse_command};
    use proptest::prelude::*;

    fn full() -> Identity {
        Identity {
            name: Some(b"mx.example.org".to_vec()),
            addr: Some("2001:db8::1".parse().unwrap()),
            port: Some(54321),
            helo: Some(b"[192.0.2.1] x+y".to_vec()),
            proto: Proto::Smtp,
            source: Source::Local,
            ident: Some(b"01J".to_vec()),
            login: Some("usér".into()),
            destination_addr: Some("192.0.2.9".parse().unwrap()),
            destination_port: Some(25),
        }
    }

    /// What a next hop would learn from `wire`.
    #[track_caller]
    fn read_back(wire: &[u8], commands: usize, mut identity: Identity) -> Identity {
        let lines: Vec<&[u8]> = wire
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r\n").unwrap())
            .collect();
        assert_eq!(lines.len(), commands);
        for line in lines {
            assert!(line.len() + 2 <= XFORWARD_LINE_BYTES_MAX);
            assert!(line.iter().all(|byte| matches!(byte, b' '..=b'~')));
            match parse_command(line) {
                Ok(Command::Xforward(arguments)) => parse_xforward(arguments, &mut identity).unwrap(),
                Ok(Command::Xclient(arguments)) => parse_xclient(arguments, &mut identity).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        identity
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut out = Vec::new();
        let commands = write_xforward(&full(), Attributes::OF_XFORWARD, &mut out);
        let want = Identity { login: None, destination_addr: None, destination_port: None, ..full() };
        assert_eq!(read_back(&out, commands, Identity::default()), want);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "XFORWARD NAME=mx.example.org ADDR=IPV6:2001:db8::1 PORT=54321 HELO=[192.0.2.1]+20x+2By \
             PROTO=SMTP SOURCE=LOCAL IDENT=01J\r\n"
        );

        let mut out = Vec::new();
        let commands = write_xclient(&full(), Attributes::OF_XCLIENT, &mut out);
        let want = Identity { source: Source::Remote, ident: None, ..full() };
        assert_eq!(read_back(&out, commands, Identity::default()), want);
    }

    #[test]
    fn nothing_of_the_client_before_remains() {
        let mut out = Vec::new();
        let commands = write_xforward(&Identity::default(), Attributes::OF_XFORWARD, &mut out);
        let before = Identity { login: None, destination_addr: None, destination_port: None, ..full() };
        assert_eq!(read_back(&out, commands, before), Identity::default());
    }

    #[test]
    fn only_announced_attributes_are_sent() {
        let mut out = Vec::new();
        assert_eq!(write_xforward(&full(), Attributes::NONE, &mut out), 0);
        assert_eq!(write_xforward(&full(), Attributes::DESTADDR, &mut out), 0);
        assert_eq!(out, b"");
        assert_eq!(write_xforward(&full(), Attributes::PORT.union(Attributes::NAME), &mut out), 1);
        assert_eq!(out, b"XFORWARD NAME=mx.example.org PORT=54321\r\n");
        out.clear();
        assert_eq!(write_xforward(&Identity::default(), Attributes::LOGIN, &mut out), 1);
        assert_eq!(out, b"XFORWARD LOGIN=[UNAVAILABLE]\r\n");
    }

    #[test]
    fn long_identities_take_several_lines() {
        let identity =
            Identity { name: Some(vec![b'n'; 255]), helo: Some(vec![b'h'; 255]), ..Identity::default() };
        let mut out = Vec::new();
        let commands = write_xforward(&identity, Attributes::OF_XFORWARD, &mut out);
        assert_eq!(commands, 2);
        assert_eq!(read_back(&out, commands, full()).name, identity.name);

        let identity = Identity { name: Some(vec![b'+'; 255]), ..Identity::default() };
        let mut out = Vec::new();
        let commands = write_xforward(&identity, Attributes::OF_XFORWARD, &mut out);
        assert_eq!(read_back(&out, commands, full()).name, None);
    }

    #[track_caller]
    fn refuse(arguments: &str) {
        let mut identity = full();
        let reply = parse_xforward(arguments.as_bytes(), &mut identity).unwrap_err();
        assert_eq!((reply.code().to_u16(), identity), (501, full()), "{arguments:?}");
    }

    #[test]
    fn what_is_malformed_changes_nothing() {
        for arguments in [
            "",
            "NAME",
            "NAME=",
            "=x",
            "FOO=x",
            "LOGIN=x",
            "NAME=a+0D+0Ab",
            "NAME=a+0",
            "NAME=a+zz",
            "NAME=a=b",
            "ADDR=::1",
            "ADDR=1.2.3",
            "ADDR=IPV6:1.2.3.4",
            "PORT=+25",
            "PORT=65536",
            "PORT=",
            "PROTO=LMTP",
            "SOURCE=X",
            "NAME=a+00",
            "NAME=+C2+85",
            "NAME=+FF",
            "PORT=1 ADDR=x",
        ] {
            refuse(arguments);
        }
        refuse(&format!("NAME={}", "a".repeat(256)));
    }

    #[test]
    fn unavailable_is_none() {
        let mut identity = full();
        parse_xforward(b"name=[unavailable] ADDR=[TEMPUNAVAIL]  PORT=[UNAVAILABLE]", &mut identity).unwrap();
        assert_eq!(identity, Identity { name: None, addr: None, port: None, ..full() });
    }

    proptest! {
        #[test]
        fn xtext_is_undone(text in prop::collection::vec(any::<u8>(), 0..50)) {
            let mut encoded = Vec::new();
            encode_xtext(&text, &mut encoded);
            prop_assert!(encoded.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'='));
            prop_assert_eq!(decode_xtext(&encoded), Some(text));
        }
    }
}
