//! Dovecot's authentication protocol, the client's side, version 1: lines of fields with tabs in between.
//!
//! <https://doc.dovecot.org/main/developers/design/auth_protocol.html>. Pure.

use std::net::IpAddr;

use base64_simd::STANDARD;
use zeroize::Zeroizing;

use super::super::Word;
use crate::policy::users::is_name;
use crate::smtp::sasl::Secret;
use crate::smtp::sasl::client::plain;

/// The version of the protocol that we speak; a server with another major one cannot be followed.
const MAJOR: &[u8] = b"1";
/// The only mechanism that we need: LOGIN asks for the same two words.
const MECHANISM: &[u8] = b"PLAIN";

/// What a server says in one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It speaks the protocol as we do.
    Version,
    /// It takes a name and a password.
    TakesPasswords,
    /// Of its introduction nothing more follows.
    Done,
    Answer {
        id: u32,
        word: Word,
    },
    /// What we need not know.
    Else,
}

/// The server speaks something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stranger;

/// Reads one line, without its end.
pub(super) fn read(line: &[u8]) -> Result<Said, Stranger> {
    let mut fields = line.split(|byte| *byte == b'\t');
    Ok(match fields.next().unwrap_or_default() {
        b"VERSION" if fields.next() == Some(MAJOR) => Said::Version,
        b"VERSION" => return Err(Stranger),
        b"MECH" if fields.next() == Some(MECHANISM) => Said::TakesPasswords,
        b"DONE" => Said::Done,
        b"OK" => answer(fields, |fields| match (is_let_in(fields.clone()), user(fields)) {
            (Word::Right, Some(user)) => Word::RightAs(user),
            // Right, but who is it?
            (Word::Right, None) => Word::Unknown,
            (word, _) => word,
        })?,
        b"FAIL" => answer(fields, |mut fields| {
            // It was not looked at: a database is away, or the like.
            let is_passing = |field: &[u8]| field == b"temp" || field == b"code=temp_fail";
            if fields.any(is_passing) { Word::Unknown } else { Word::Wrong }
        })?,
        // PLAIN with all it needs has nothing to go on with.
        b"CONT" => answer(fields, |_| Word::Unknown)?,
        _ => Said::Else,
    })
}

fn answer<'a, Fields: Iterator<Item = &'a [u8]>>(
    mut fields: Fields,
    word: impl FnOnce(Fields) -> Word,
) -> Result<Said, Stranger> {
    let id = fields.next().and_then(|id| str::from_utf8(id).ok()?.parse().ok()).ok_or(Stranger)?;
    Ok(Said::Answer { id, word: word(fields) })
}

/// The password may be right and the user still be kept out (`nologin`): an account that is closed. One of another
/// server (`proxy`) is for that to look at: this one may have let any password pass.
fn is_let_in<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Word {
    let mut said = [false; 2];
    for name in fields.map(|field| field.split(|byte| *byte == b'=').next().unwrap_or_default()) {
        said[0] |= name == b"nologin";
        said[1] |= name == b"proxy";
    }
    match said {
        [_, true] => Word::Unknown,
        [false, false] => Word::Right,
        [true, false] => Word::Wrong,
    }
}

/// What the server calls the user, as it may stand in records.
fn user<'a>(mut fields: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let user = fields.find_map(|field| field.strip_prefix(b"user="))?;
    String::from_utf8(unescaped(user)).ok().filter(|user| is_name(user))
}

/// Octet 1 and a letter stand for what would end a field.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field.iter();
    while let Some(byte) = rest.next() {
        plain.push(match (*byte, if *byte == 1 { rest.next() } else { None }) {
            (1, Some(b'0')) => 0,
            (1, Some(b'1')) => 1,
            (1, Some(b't')) => b'\t',
            (1, Some(b'r')) => b'\r',
            (1, Some(b'n')) => b'\n',
            (1, Some(other)) => *other,
            (byte, _) => byte,
        });
    }
    plain
}

/// Our half of the introduction. `number` tells us from all other clients of the server.
pub(super) fn introduction(number: u32) -> String {
    format!("VERSION\t1\t2\nCPID\t{number}\n")
}

/// Asks for one user. Clients are under TLS, always.
pub(super) fn request(
    id: u32,
    (client, local): (IpAddr, IpAddr),
    user: &str,
    password: &Secret,
) -> Zeroizing<String> {
    let response = Zeroizing::new(STANDARD.encode_to_string(plain(user, password).as_slice()));
    let (client, local) = (client.to_canonical(), local.to_canonical());
    // `resp` is the last, always.
    Zeroizing::new(format!(
        "AUTH\t{id}\tPLAIN\tservice=smtp\tsecured\tlip={local}\trip={client}\tresp={}\n",
        response.as_str()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(id: u32, word: Word) -> Result<Said, Stranger> {
        Ok(Said::Answer { id, word })
    }

    #[test]
    fn what_a_server_says() {
        let ann = || Word::RightAs("ann@example.net".to_owned());
        for (line, want) in [
            ("VERSION\t1\t2", Ok(Said::Version)),
            ("VERSION\t2\t0", Err(Stranger)),
            ("VERSION", Err(Stranger)),
            ("MECH\tPLAIN\tplaintext", Ok(Said::TakesPasswords)),
            ("MECH\tSCRAM-SHA-256\tdictionary", Ok(Said::Else)),
            ("DONE", Ok(Said::Done)),
            ("COOKIE\t0123", Ok(Said::Else)),
            ("", Ok(Said::Else)),
            ("OK\t1\tuser=ann@example.net", is(1, ann())),
            ("OK\t1\toriginal_user=x\tuser=ann@example.net", is(1, ann())),
            ("OK\t1\tuser=ann@example.net\tproxy", is(1, Word::Unknown)),
            ("OK\t1\tuser=ann\tnologin\treason=closed", is(1, Word::Wrong)),
            ("OK\t1\tnologin=y\tuser=ann", is(1, Word::Wrong)),
            ("OK\t1\tuser=ann\tnologin\tproxy\thost=192.0.2.1", is(1, Word::Unknown)),
            ("OK\t1\tuser=nologin", is(1, Word::RightAs("nologin".to_owned()))),
            ("OK\t1\tuser=a\u{1}ta", is(1, Word::Unknown)),
            ("OK\t1\tuser=a\u{1}1a", is(1, Word::Unknown)),
            ("OK\t1\tuser=", is(1, Word::Unknown)),
            ("OK\t1", is(1, Word::Unknown)),
            ("OK", Err(Stranger)),
            ("OK\tx\tuser=ann", Err(Stranger)),
            ("FAIL\t4294967295\tuser=ann", is(u32::MAX, Word::Wrong)),
            ("FAIL\t1\tuser=ann\treason=off\tcode=user_disabled", is(1, Word::Wrong)),
            ("FAIL\t1\tuser=ann\ttemp", is(1, Word::Unknown)),
            ("FAIL\t1\tuser=ann\tcode=temp_fail", is(1, Word::Unknown)),
            ("FAIL\t1\tuser=temp", is(1, Word::Wrong)),
            ("FAIL\t", Err(Stranger)),
            ("CONT\t1\tabcd", is(1, Word::Unknown)),
        ] {
            assert_eq!(read(line.as_bytes()), want, "{line:?}");
        }
        assert_eq!(read(b"OK\t1\tuser=\xff"), is(1, Word::Unknown));
    }

    #[test]
    fn fields_are_unescaped() {
        assert_eq!(unescaped(b"a\x01tb\x011\x010\x01n\x01r\x01x\x01"), b"a\tb\x01\0\n\rx\x01");
    }

    #[test]
    fn a_request_is_one_line_with_the_response_last() {
        let origin = ("::ffff:192.0.2.1".parse().unwrap(), "2001:db8::25".parse().unwrap());
        let request = request(7, origin, "ann", &Secret::new(b"pen\tcil"));
        assert_eq!(
            request.as_str(),
            "AUTH\t7\tPLAIN\tservice=smtp\tsecured\tlip=2001:db8::25\trip=192.0.2.1\tresp=AGFubgBwZW4JY2ls\n"
        );
    }
}
