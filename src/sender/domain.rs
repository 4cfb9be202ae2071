//! Domains beyond what the DNS knows of them: whose they are, and how they are written.

use std::borrow::Cow;

use idna::AsciiDenyList;

use super::dns::Name;

/// Whether `name` is `domain` or below it.
pub(super) fn is_within(name: &Name, domain: &Name) -> bool {
    let before = name.as_str().strip_suffix(domain.as_str());
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// What one owner registers of a host's name, by the public suffix list; the host, if it is a suffix.
pub fn registrable(host: &str) -> &str {
    let length = psl::domain(host.as_bytes()).map(|domain| domain.as_bytes().len());
    length.and_then(|length| host.get(host.len().checked_sub(length)?..)).unwrap_or(host)
}

/// The form in which the DNS has a name (RFC 5891 §4.4), without a final dot; empty, if it has none.
pub fn to_ascii(domain: &str) -> Cow<'_, str> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_ascii() {
        return Cow::Borrowed(domain);
    }
    idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::EMPTY).unwrap_or(Cow::Borrowed(""))
}

/// A host's name as SMTP has it (RFC 5321 §4.1.2, RFC 6531 §3.3), or with underscores; no address.
pub(super) fn host_name(text: &str) -> Option<Name> {
    let ascii = idna::domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::EMPTY).ok()?;
    let label_is_good = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        letters && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    let top = ascii.rsplit('.').next().unwrap_or_default();
    let is_number = top.bytes().all(|byte| byte.is_ascii_digit());
    Name::parse(&ascii).filter(|_| ascii.split('.').all(label_is_good) && !is_number)
}

/// Strangers' text as far as it may stand in a reply or a field: visible ASCII, so many characters of it.
pub(super) fn visible(text: &str, chars_max: usize) -> String {
    let shown = |letter: char| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' };
    text.chars().take(chars_max).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_within_itself_and_what_is_above_it() {
        let within = |name, domain| is_within(&Name::parse(name).unwrap(), &Name::parse(domain).unwrap());
        assert!(within("a.test", "A.test") && within("b.a.test", "a.test"));
        assert!(!within("ba.test", "a.test") && !within("a.test", "b.a.test") && !within("a.test", "test.a"));
    }

    #[test]
    fn owners_register_below_suffixes() {
        for (host, wanted) in [
            ("a.b.example.com", "example.com"),
            ("a.example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("a.b.github.io", "b.github.io"),
            ("a.b.nosuchtop", "b.nosuchtop"),
            ("com", "com"),
            ("", ""),
        ] {
            assert_eq!(registrable(host), wanted);
        }
    }

    #[test]
    fn hosts_have_names_and_not_addresses() {
        let name = |text: &str| host_name(text).map(|name| name.as_str().to_owned());
        assert_eq!(name("B\u{fc}cher.test").as_deref(), Some("xn--bcher-kva.test"));
        assert_eq!(name("a_b.A-1.test").as_deref(), Some("a_b.a-1.test"));
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "-a.test",
            "a-.test",
            "192.0.2.1",
            "[192.0.2.1]",
            "a b",
            "a/b.test",
            "a\0",
            "xn--a",
        ] {
            assert_eq!(name(text), None, "{text:?}");
        }
    }
}
