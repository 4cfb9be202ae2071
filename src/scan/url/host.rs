//! The host of a link, as programs that follow it will read it.
//!
//! WHATWG URL, section 3.5 (host parsing) and 3.5.4 (IPv4 in one to four numbers of any base), which is
//! what browsers do and RFC 3986 does not say; UTS #46 (IDNA); RFC 4291 (IPv6).
//!
//! Invariant: a name is lower-case ASCII, an address is in its one canonical form, so that two ways to
//! write one host compare equal.

use std::net::{Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;

use super::percent;
use super::trick::Tricks;

/// Bytes of a name (RFC 1035 §2.3.4, without the root's dot).
pub(super) const HOST_BYTES_MAX: usize = 253;

/// The same with every octet encoded, and some more that IDNA drops.
const WRITTEN_BYTES_MAX: usize = 4 * HOST_BYTES_MAX;

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub name: String,
    /// How it is shown, where that differs.
    pub shown: Option<String>,
    pub tricks: Tricks,
}

impl Host {
    /// Reads what stands between slashes, without user and port. `None` is no host to any program.
    pub(super) fn read(written: &str) -> Option<Self> {
        if let Some(inside) = written.strip_prefix('[') {
            return Self::address_6(inside.strip_suffix(']')?);
        }
        if written.len() > WRITTEN_BYTES_MAX {
            return None;
        }
        let mut tricks = Tricks::default();
        let decoded = percent::decode(written);
        tricks.add_if(decoded != written, Tricks::HOST_ENCODED);
        let name = canonical(decoded.trim_end_matches('.'), &mut tricks);
        if name.is_empty() || name.len() > HOST_BYTES_MAX || !name.bytes().all(is_host_byte) {
            return None;
        }
        if ends_in_number(&name) {
            return Self::address_4(&name, tricks);
        }
        let shown = if name.contains("xn--") { shown(&name, &mut tricks) } else { None };
        Some(Self { name, shown, tricks })
    }

    fn address_4(name: &str, mut tricks: Tricks) -> Option<Self> {
        let canonical = ipv4(name)?.to_string();
        tricks.add(Tricks::ADDRESS);
        tricks.add_if(canonical != name, Tricks::ADDRESS_OBSCURED);
        Some(Self { name: canonical, shown: None, tricks })
    }

    fn address_6(inside: &str) -> Option<Self> {
        let address: Ipv6Addr = inside.split('%').next()?.parse().ok()?;
        let mut tricks = Tricks::ADDRESS;
        // An IPv4 address in IPv6's clothes.
        let name = address.to_ipv4_mapped().map_or_else(|| address.to_string(), |four| four.to_string());
        tricks.add_if(!name.contains(':'), Tricks::ADDRESS_OBSCURED);
        Some(Self { name, shown: None, tricks })
    }
}

/// Whether a name is surely read as it stands: lower-case ASCII whose last label is a word.
pub(super) fn is_plain(name: &[u8]) -> bool {
    let last = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let word = last.first().is_some_and(u8::is_ascii_lowercase);
    let letters = name.iter().all(|byte| is_host_byte(*byte) && !byte.is_ascii_uppercase());
    word && letters && name.len() <= HOST_BYTES_MAX && memchr::memmem::find(name, b"xn--").is_none()
}

/// Lower-case ASCII. What IDNA refuses is kept as it stands: some program may follow it.
fn canonical(written: &str, tricks: &mut Tricks) -> String {
    let plain = written.is_ascii() && !contains_ignoring_case(written, "xn--");
    if plain {
        return written.to_ascii_lowercase();
    }
    match idna::domain_to_ascii_cow(written.as_bytes(), AsciiDenyList::EMPTY) {
        // Other forms of the dot become one.
        Ok(name) => name.trim_end_matches('.').to_owned(),
        Err(_) => {
            tricks.add(Tricks::HOST_BROKEN);
            let (shown, _) = idna::domain_to_unicode(written);
            shown
                .chars()
                .flat_map(char::to_lowercase)
                .map(|letter| if letter.is_ascii() { letter } else { '-' })
                .collect()
        }
    }
}

fn contains_ignoring_case(text: &str, lower: &str) -> bool {
    text.as_bytes().windows(lower.len()).any(|window| window.eq_ignore_ascii_case(lower.as_bytes()))
}

/// What names in use consist of; WHATWG allows a little more, which no registry does.
pub(super) const fn is_host_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_')
}

/// The name in letters that people read.
fn shown(name: &str, tricks: &mut Tricks) -> Option<String> {
    let (shown, result) = idna::domain_to_unicode(name);
    tricks.add_if(result.is_err(), Tricks::HOST_BROKEN);
    if shown == name {
        return None;
    }
    tricks.add(Tricks::INTERNATIONAL);
    tricks.add_if(shown.split('.').any(mixes_scripts), Tricks::SCRIPTS_MIXED);
    Some(shown)
}

/// Scripts whose letters pass for one another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Cherokee,
    Georgian,
}

const fn script(letter: char) -> Option<Script> {
    Some(match letter {
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Script::Latin,
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Script::Greek,
        '\u{400}'..='\u{52f}'
        | '\u{1c80}'..='\u{1c8f}'
        | '\u{2de0}'..='\u{2dff}'
        | '\u{a640}'..='\u{a69f}' => Script::Cyrillic,
        '\u{530}'..='\u{58f}' => Script::Armenian,
        '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}' => Script::Cherokee,
        '\u{10a0}'..='\u{10ff}' | '\u{2d00}'..='\u{2d2f}' => Script::Georgian,
        _ => return None,
    })
}

fn mixes_scripts(label: &str) -> bool {
    let mut scripts = label.chars().filter_map(script);
    let first = scripts.next();
    scripts.any(|script| Some(script) != first)
}

/// Whether programs will try to read an IPv4 address: the last label is a number.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal =
        last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit())
}

/// One to four numbers; the last one fills what the others leave.
fn ipv4(name: &str) -> Option<Ipv4Addr> {
    let mut parts = name.split('.');
    let last = u64::from(number(parts.next_back()?)?);
    let mut address = 0;
    let mut left: u32 = 32;
    for part in parts {
        left = left.checked_sub(8).filter(|left| *left > 0)?;
        let part = number(part).filter(|part| *part < 256)?;
        address |= part << left;
    }
    let last = u32::try_from(last).ok().filter(|_| last < 1 << left)?;
    Some(Ipv4Addr::from_bits(address | last))
}

/// A number as C writes it: `0x` hexadecimal, `0` octal, else decimal.
fn number(text: &str) -> Option<u32> {
    let (digits, base) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    match digits {
        "" if base == 16 => Some(0),
        _ if digits.starts_with('+') => None,
        _ => u32::from_str_radix(digits, base).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Host, Tricks};

    #[track_caller]
    fn check(written: &str, want: &str, tricks: &str) {
        let host = Host::read(written).unwrap();
        let names: Vec<_> = host.tricks.names().collect();
        assert_eq!((host.name.as_str(), names.join(" ").as_str()), (want, tricks), "{written}");
    }

    #[test]
    fn names_are_lower_case_ascii() {
        check("Example.COM", "example.com", "");
        check("example.com.", "example.com", "");
        check("ex%61mple.com", "example.com", "host_encoded");
        check("bücher.de", "xn--bcher-kva.de", "international");
        check("XN--BCHER-KVA.de", "xn--bcher-kva.de", "international");
        check("ｅｘａｍｐｌｅ。com", "example.com", "");
        check("pay\u{ad}pal.com", "paypal.com", "");
        check("p\u{430}ypal.com", "xn--pypal-4ve.com", "international scripts_mixed");
        check("%D1%80%D1%84.com", "xn--p1ai.com", "host_encoded international");
        check("a_b.example", "a_b.example", "");
        check("xn--a.com", "-.com", "host_broken");
    }

    #[test]
    fn addresses_have_one_form() {
        check("192.0.2.1", "192.0.2.1", "address");
        for written in ["3221225985", "0xC0000201", "0300.0.02.1", "192.0.513", "192.513", "0xc0.0.0x2.0x1"] {
            check(written, "192.0.2.1", "address address_obscured");
        }
        check("%31%39%32.0.2.1", "192.0.2.1", "address host_encoded");
        check("192。0。2。1", "192.0.2.1", "address");
        check("[2001:DB8::1]", "2001:db8::1", "address");
        check("[::ffff:192.0.2.1]", "192.0.2.1", "address address_obscured");
    }

    #[test]
    fn what_no_program_takes_for_a_host_is_none() {
        for written in [
            "",
            ".",
            "a b",
            "a<b",
            "1.2.3.4.5",
            "256.1.1.1",
            "0x100000000",
            "[::1",
            "[x]",
            "1.2.3.08",
            "a%00b",
            "a/b",
        ] {
            assert_eq!(Host::read(written), None, "{written}");
        }
    }

    #[test]
    fn the_shown_form_comes_back() {
        let shown = |written| Host::read(written).unwrap().shown;
        assert_eq!(shown("xn--bcher-kva.de"), Some("bücher.de".to_owned()));
        assert_eq!((shown("example.com"), shown("192.0.2.1")), (None, None));
    }

    proptest! {
        #[test]
        fn what_is_plain_is_read_as_it_stands(name in "(xn--|0x)?[a-zA-Z0-9._-]{0,12}") {
            let read = Host::read(&name);
            let same = read.is_some_and(|host| host.name == name && host.tricks == Tricks::default());
            prop_assert_eq!(super::is_plain(name.as_bytes()) && !same, false);
        }

        #[test]
        fn an_address_in_any_dress_is_the_same(bits: u32) {
            let [a, b, c, d] = bits.to_be_bytes();
            let dresses = [
                format!("{a}.{b}.{c}.{d}"),
                format!("{bits}"),
                format!("{bits:#x}"),
                format!("0{bits:o}"),
                format!("{a}.{}", bits & 0xff_ffff),
                format!("0{a:o}.{b:#X}.{}", bits & 0xffff),
            ];
            for dress in dresses {
                prop_assert_eq!(Host::read(&dress).map(|host| host.name), Some(format!("{a}.{b}.{c}.{d}")));
            }
        }

        #[test]
        fn no_host_panics_and_reading_twice_changes_nothing(written in any::<String>()) {
            if let Some(host) = Host::read(&written) {
                let again = Host::read(&host.name).map(|host| host.name);
                prop_assert_eq!(host.tricks.contains(Tricks::ADDRESS) || again == Some(host.name), true);
            }
        }
    }
}
