//! One mailbox: its name, and an address of which no part can be taken for another.
//!
//! RFC 5322 §3.4. The obsolete forms of §4.4 are told as flaws: clients differ over them.

use std::borrow::Cow;

use super::super::dns::Name;
use super::super::domain::host_name;
use super::token::{Kind, Token};
use super::{Decode, Flaw, Flaws, Mailbox};

/// Octets of a local part (RFC 5321 §4.5.3.1.1).
const LOCAL_PART_BYTES_MAX: usize = 64;

/// Takes the tokens between two commas.
pub(super) fn read(element: &[Token<'_>], flaws: &mut Flaws, decode: &mut Decode<'_>) -> Option<Mailbox> {
    let parts = Parts::split(element, flaws)?;
    let display_name = name(parts.name, flaws, decode);
    let mailbox = address(parts.address, flaws, display_name);
    if parts.is_angled && mailbox.as_ref().is_some_and(|mailbox| names_other_address(parts.name, mailbox)) {
        flaws.insert(Flaw::AddressInName);
    }
    if mailbox.is_none() {
        flaws.insert(Flaw::Malformed);
    }
    mailbox
}

struct Parts<'a, 'b> {
    name: &'a [Token<'b>],
    address: &'a [Token<'b>],
    is_angled: bool,
}

impl<'a, 'b> Parts<'a, 'b> {
    /// `name <address>`, or `address`, or `address (name)`.
    fn split(element: &'a [Token<'b>], flaws: &mut Flaws) -> Option<Self> {
        let at = |mark: u8| element.iter().position(|token| token.special() == mark);
        let Some(open) = at(b'<') else { return Some(Self::bare(element)) };
        let Some(close) = at(b'>').filter(|close| *close > open) else {
            flaws.insert(Flaw::Malformed);
            return None;
        };
        let behind = element.get(close + 1..)?;
        for token in behind {
            flaws.insert(if token.is_comment() { Flaw::Comment } else { Flaw::Malformed });
        }
        Some(Self { name: element.get(..open)?, address: element.get(open + 1..close)?, is_angled: true })
    }

    fn bare(element: &'a [Token<'b>]) -> Self {
        let end = match element {
            [.., last] if last.is_comment() && last.is_spaced => element.len() - 1,
            _ => element.len(),
        };
        let (address, name) = element.split_at(end);
        Self { name, address, is_angled: false }
    }
}

/// The display name, decoded; what it must not hold is told.
fn name(tokens: &[Token<'_>], flaws: &mut Flaws, decode: &mut Decode<'_>) -> String {
    let mut octets = Vec::new();
    for token in tokens {
        if !octets.is_empty() && token.is_spaced {
            octets.push(b' ');
        }
        octets.extend_from_slice(&token.text);
        match token.kind {
            Kind::Comment if looks_like_address(&token.text) => flaws.insert(Flaw::Comment),
            Kind::Literal | Kind::Special(b'\\' | b'>') => flaws.insert(Flaw::Malformed),
            _ => {}
        }
    }
    let text = decode(&octets);
    let bracketed = text.split_once('<').is_some_and(|(_, behind)| behind.contains('@'));
    if bracketed {
        flaws.insert(Flaw::AddressInName);
    }
    if text.chars().any(|letter| letter.is_control() && letter != '\t') {
        flaws.insert(Flaw::Control);
    }
    if text.contains(['\u{202d}', '\u{202e}']) {
        flaws.insert(Flaw::Invisible);
    }
    text
}

fn looks_like_address(text: &[u8]) -> bool {
    text.iter().any(|byte| b"<>@,".contains(byte))
}

/// An unquoted `@` in a name is against the grammar; harmless if it is in the address itself once more.
fn names_other_address(name: &[Token<'_>], mailbox: &Mailbox) -> bool {
    if !name.iter().any(|token| token.special() == b'@') {
        return false;
    }
    let written: Vec<u8> = name.iter().flat_map(|token| token.text.iter().copied()).collect();
    let domain = mailbox.domain.as_ref().map_or("", Name::as_str);
    !written.eq_ignore_ascii_case(format!("{}@{domain}", mailbox.local_part).as_bytes())
}

/// `local-part@domain`, nothing before, between or behind.
fn address(tokens: &[Token<'_>], flaws: &mut Flaws, display_name: String) -> Option<Mailbox> {
    let tokens = behind_route(tokens, flaws);
    if tokens.iter().any(Token::is_comment) {
        flaws.insert(Flaw::Comment);
    }
    let tokens: Vec<&Token<'_>> = tokens.iter().filter(|token| !token.is_comment()).collect();
    let [local, at, domain] = tokens[..] else { return None };
    if at.special() != b'@' {
        return None;
    }
    if at.is_spaced || domain.is_spaced {
        flaws.insert(Flaw::Spaced);
    }
    let local_part = local_part(local, flaws)?;
    Some(Mailbox { display_name, local_part, domain: domain_of(domain, flaws) })
}

/// `@a,@b:` in front of the address (RFC 5322 §4.4).
fn behind_route<'a, 'b>(tokens: &'a [Token<'b>], flaws: &mut Flaws) -> &'a [Token<'b>] {
    let colon = tokens.iter().position(|token| token.special() == b':');
    let Some(behind) = colon.and_then(|colon| tokens.get(colon + 1..)) else { return tokens };
    flaws.insert(Flaw::Route);
    behind
}

fn local_part(token: &Token<'_>, flaws: &mut Flaws) -> Option<String> {
    if !matches!(token.kind, Kind::Atom | Kind::Quoted) {
        return None;
    }
    let text = utf8(&token.text, flaws);
    check_letters(&text, flaws);
    let separates =
        |letter: char| "@<>,;:\\\"()\u{ff20}\u{fe6b}\u{ff1c}\u{ff1e}\u{fe64}\u{fe65}".contains(letter);
    if text.is_empty() || text.len() > LOCAL_PART_BYTES_MAX || text.contains(separates) {
        flaws.insert(Flaw::LocalPart);
    }
    Some(text.into_owned())
}

fn domain_of(token: &Token<'_>, flaws: &mut Flaws) -> Option<Name> {
    match token.kind {
        Kind::Atom => {
            let text = utf8(&token.text, flaws);
            check_letters(&text, flaws);
            let name = host_name(&text);
            if name.is_none() {
                flaws.insert(Flaw::DomainInvalid);
            }
            name
        }
        Kind::Literal => {
            flaws.insert(Flaw::Literal);
            None
        }
        _ => {
            flaws.insert(Flaw::Malformed);
            None
        }
    }
}

fn utf8<'a>(text: &'a [u8], flaws: &mut Flaws) -> Cow<'a, str> {
    let text = String::from_utf8_lossy(text);
    if matches!(text, Cow::Owned(_)) {
        flaws.insert(Flaw::NotUtf8);
    }
    text
}

/// What no part of an address may hold: it would be seen otherwise than it is.
fn check_letters(text: &str, flaws: &mut Flaws) {
    if text.split_once("=?").is_some_and(|(_, behind)| behind.contains("?=")) {
        flaws.insert(Flaw::EncodedAddress);
    }
    if text.chars().any(is_invisible) {
        flaws.insert(Flaw::Invisible);
    }
}

/// Spaces of any kind, marks of direction, and what leaves no trace.
fn is_invisible(letter: char) -> bool {
    let unseen = matches!(letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    unseen || letter.is_whitespace() && letter != ' '
}
