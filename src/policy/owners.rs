//! Who may send from which address: a file beside the users.
//!
//! One address a line, then its users, with spaces or commas between them; `@example.net` is every address of
//! that domain. `#` before a word begins a comment. An address may stand in several lines.
//!
//! ```text
//! info@example.net    ann, bob
//! @sales.example.net  ann
//! ```
//!
//! Addresses compare without regard to case, names as they are.

use std::collections::HashMap;

use crate::limits::LIST_ENTRIES_MAX;
use crate::policy::lists::LineFault;

/// Names of users by address, or by `@` and a domain; all in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners(HashMap<String, Vec<Box<str>>>);

impl Owners {
    /// Reads the whole file.
    ///
    /// # Errors
    /// All that is wrong, not only the first.
    pub fn parse(text: &str) -> Result<Self, Vec<LineFault>> {
        let mut owners: HashMap<String, Vec<Box<str>>> = HashMap::new();
        let (mut faults, mut entries) = (Vec::new(), 0_usize);
        for (index, line) in text.lines().enumerate() {
            let words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
            let mut words = words.take_while(|word| !word.starts_with('#'));
            let Some(address) = words.next() else { continue };
            let users: Vec<Box<str>> = words.map(Box::from).collect();
            entries += users.len();
            match fault(address, &users, entries) {
                Some(message) => faults.push(LineFault { line: index + 1, message: message.to_owned() }),
                None => owners.entry(address.to_ascii_lowercase()).or_default().extend(users),
            }
        }
        if faults.is_empty() { Ok(Self(owners)) } else { Err(faults) }
    }

    /// Whether `user` may send from `address`: it is called so, or stands in the file. From no address, as
    /// receipts and reports do (RFC 5321 §4.5.5), everybody may.
    pub fn allow(&self, user: &str, address: &str) -> bool {
        if address.is_empty() || address.eq_ignore_ascii_case(user) {
            return true;
        }
        // Other letters than ASCII's have cases that look like ASCII.
        let address = address.to_ascii_lowercase();
        let domain = address.rfind('@').map_or("", |at| &address[at..]);
        [&address, domain].into_iter().filter_map(|of| self.0.get(of)).flatten().any(|known| **known == *user)
    }
}

fn fault(address: &str, users: &[Box<str>], entries: usize) -> Option<&'static str> {
    if address.rsplit_once('@').is_none_or(|(_, domain)| domain.is_empty()) {
        Some("this is neither an address (info@example.net) nor a domain (@example.net)")
    } else if users.is_empty() {
        Some("who may send from it? write names of users behind it")
    } else if entries > LIST_ENTRIES_MAX {
        Some("more entries than a list may have")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_users_own_or_stands_in_the_file() {
        let text =
            "# who\n\nInfo@Example.net ann, bob # both\n@sales.example.net\tann\ninfo@example.net eve\n";
        let owners = Owners::parse(text).unwrap();
        for (user, address, want) in [
            ("ann", "info@example.NET", true),
            ("bob", "info@example.net", true),
            ("eve", "info@example.net", true),
            ("Eve", "info@example.net", false),
            ("both", "info@example.net", false),
            ("ann", "anything@sales.example.net", true),
            ("bob", "anything@sales.example.net", false),
            ("ann", "x@more.sales.example.net", false),
            ("ann", "ann@example.net", false),
            ("ann@example.net", "Ann@example.net", true),
            ("ann@example.net", "ann@example.net.evil", false),
            ("ann", "\"info@example.net\"@other.example", false),
            ("eve", "", true),
            ("", "info@example.net", false),
        ] {
            assert_eq!(owners.allow(user, address), want, "{user} from {address}");
        }
        assert!(!Owners::default().allow("ann", "info@example.net"));
    }

    /// Else `ann#1` would give to ann what is another's.
    #[test]
    fn a_comment_begins_where_a_word_would() {
        let owners =
            Owners::parse("a@example.net ann#1, bob #eve\n#b@example.net ann\nc#d@example.net ann").unwrap();
        for (user, address, want) in [
            ("ann#1", "a@example.net", true),
            ("ann", "a@example.net", false),
            ("bob", "a@example.net", true),
            ("eve", "a@example.net", false),
            ("#eve", "a@example.net", false),
            ("ann", "b@example.net", false),
            ("ann", "c#d@example.net", true),
        ] {
            assert_eq!(owners.allow(user, address), want, "{user} from {address}");
        }
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let faults = Owners::parse("info ann\n\ninfo@ ann\ninfo@example.net\na@b c\n@ ann\n").unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 3, 4, 6]);
    }
}
