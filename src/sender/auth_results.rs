//! Authentication-Results: ours written, others' that pretend to be ours recognised.
//!
//! RFC 8601. Who reads the field trusts the name it begins with (authserv-id); so nobody but us may
//! send one with our name on (§5), and nothing a peer chose may end a value that we write.
//!
//! * `forged`: takes such fields out of content while it streams.
//!
//! Invariant: whatever a value holds, what is written has the lines, methods and properties that were
//! asked for and no others.

mod forged;

#[cfg(test)]
mod tests;

pub use forged::{Removal, is_forged};

use super::{arc, dkim};

/// Lines are folded where they would become longer (RFC 5322 §2.1.1).
const LINE_CHARS: usize = 76;
/// Characters of one value; what is longer is cut, and ends so that it shows.
const VALUE_CHARS_MAX: usize = 256;

/// Writes one field.
#[derive(Clone, Debug)]
pub struct AuthResults {
    text: String,
    column: usize,
    is_empty: bool,
}

impl AuthResults {
    pub fn new(authserv_id: &str) -> Self {
        let mut out = Self { text: "Authentication-Results:".to_owned(), column: 0, is_empty: true };
        out.column = out.text.len();
        out.word(&value(authserv_id.as_bytes()));
        out
    }

    /// Begins the result of one method: `dkim=pass`. `reason` is for people.
    #[must_use]
    pub fn method(mut self, method: &'static str, result: &'static str, reason: Option<&str>) -> Self {
        self.text.push_str(";\r\n\t");
        self.column = 1;
        self.is_empty = false;
        self.piece(&format!("{method}={result}"));
        if let Some(reason) = reason {
            self.word(&format!("reason={}", quoted(reason.as_bytes())));
        }
        self
    }

    /// What the result is about: `header.d=example.org`.
    #[must_use]
    pub fn property(mut self, property: &'static str, of: &[u8]) -> Self {
        self.word(&format!("{property}={}", value(of)));
        self
    }

    /// What one signature was found to be (RFC 8601 §2.7.1, RFC 6376 §3.5).
    #[must_use]
    pub fn dkim(self, found: &dkim::Evaluation) -> Self {
        let open = match found.outcome {
            dkim::Outcome::Pass if found.octets_unsigned > 0 => Some("part of the body is not signed"),
            dkim::Outcome::Pass if found.has_unsigned_from => Some("a From field is not signed"),
            _ => None,
        };
        let reason = found.reason.map(dkim::Reason::text);
        let mut out = self.method("dkim", found.outcome.name(), reason.as_deref().or(open));
        if let Some(domain) = &found.domain {
            out = out.property("header.d", domain.as_str().as_bytes());
        }
        if let Some(identity) = found.identity.as_ref().filter(|identity| !identity.local.is_empty()) {
            let parts = [&identity.local[..], b"@", identity.domain.as_str().as_bytes()];
            out = out.property("header.i", &parts.concat());
        }
        if let Some(selector) = &found.selector {
            out = out.property("header.s", selector.as_bytes());
        }
        match found.algorithm {
            Some(algorithm) => out.property("header.a", algorithm.name().as_bytes()),
            None => out,
        }
    }

    /// What the chain was found to be (RFC 8617 §6, §10.1).
    #[must_use]
    pub fn arc(self, found: &arc::Evaluation) -> Self {
        let reason = found.fault.map(arc::Fault::text);
        let out = self.method("arc", found.outcome.name(), reason.as_deref());
        match found.oldest_pass {
            Some(oldest) => out.property("header.oldest-pass", oldest.to_string().as_bytes()),
            None => out,
        }
    }

    /// The field with its final CRLF.
    pub fn finish(mut self) -> String {
        if self.is_empty {
            self.text.push_str("; none");
        }
        self.text.push_str("\r\n");
        self.text
    }

    fn word(&mut self, word: &str) {
        if self.column + 1 + word.len() > LINE_CHARS && self.column > 1 {
            self.text.push_str("\r\n\t");
            self.column = 1;
        } else {
            self.text.push(' ');
            self.column += 1;
        }
        self.piece(word);
    }

    fn piece(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.column += piece.len();
    }
}

/// As it is if it can stand so (a token of RFC 2045 §5.1, or an address of such), else quoted.
fn value(octets: &[u8]) -> String {
    let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-^_`{|}~.@".contains(octet);
    let is_short = (1..=VALUE_CHARS_MAX).contains(&octets.len());
    match std::str::from_utf8(octets) {
        Ok(text)
            if is_short
                && octets.iter().all(is_plain)
                && octets.iter().filter(|o| **o == b'@').count() < 2 =>
        {
            text.to_owned()
        }
        _ => quoted(octets),
    }
}

/// A quoted string of visible ASCII and spaces. Everything else is a question mark.
fn quoted(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().min(VALUE_CHARS_MAX) + 2);
    text.push('"');
    for octet in octets.iter().take(VALUE_CHARS_MAX) {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(*octet)]),
            b' '..=b'~' => text.push(char::from(*octet)),
            _ => text.push('?'),
        }
    }
    text.push_str(if octets.len() > VALUE_CHARS_MAX { "...\"" } else { "\"" });
    text
}
