//! Names of entries: octets to text, and what is wrong with a name by itself.

/// What code page 437 has above ASCII: the charset of zip names that do not say otherwise.
const CP437: &str = concat!(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐",
    "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}"
);

/// A name as text. Programs for macOS write UTF-8 without saying so, therefore what is UTF-8 is read
/// as such; anything else in code page 437, unless it is said to be UTF-8: then it is marked as broken
/// by replacement characters.
pub(super) fn decode(octets: &[u8], utf8: bool) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) if utf8 => String::from_utf8_lossy(octets).into_owned(),
        Err(_) => octets.iter().map(|&octet| cp437(octet)).collect(),
    }
}

fn cp437(octet: u8) -> char {
    if octet.is_ascii() {
        return char::from(octet);
    }
    CP437.chars().nth(usize::from(octet & 0x7f)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Control characters show and store differently everywhere (a NUL ends the name for some), and what
/// could not be decoded is unknown.
pub(super) fn is_invalid(name: &str) -> bool {
    name.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER)
}

/// Whether unpacking it would write outside of the folder it is unpacked to.
pub(super) fn escapes(name: &str) -> bool {
    let mut parts = name.split(['/', '\\']);
    let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    drive || name.starts_with(['/', '\\']) || parts.any(|part| part == "..")
}

/// Whether two spellings of a name can be one name: a code page that we do not know, or a letter it
/// lacks, may differ; anything that decides what a file is may not.
pub(super) fn is_same_in_ascii(one: &str, other: &str) -> bool {
    let plain = |c: &char| c.is_ascii() && !matches!(c, '?' | '_');
    one.chars().filter(plain).eq(other.chars().filter(plain))
}

#[cfg(test)]
mod tests {
    use super::{CP437, decode, escapes, is_invalid, is_same_in_ascii};

    #[test]
    fn names_are_decoded() {
        assert_eq!(CP437.chars().count(), 128);
        for (octets, utf8, want) in [
            (&b"a/b.txt"[..], false, "a/b.txt"),
            (b"M\x81ller.txt", false, "Müller.txt"),
            (b"\xff\x80", false, "\u{a0}Ç"),
            ("Müller".as_bytes(), false, "Müller"),
            ("Müller".as_bytes(), true, "Müller"),
            (b"M\x81ller", true, "M\u{fffd}ller"),
        ] {
            assert_eq!(decode(octets, utf8), want);
        }
    }

    #[test]
    fn what_is_wrong_with_a_name_is_seen() {
        for (name, invalid, outside) in [
            ("a/b..c/d", false, false),
            ("a\0b", true, false),
            ("a\nb", true, false),
            ("../a", false, true),
            ("a\\..\\b", false, true),
            ("/etc/passwd", false, true),
            ("\\\\host\\share", false, true),
            ("c:a", false, true),
        ] {
            assert_eq!((is_invalid(name), escapes(name)), (invalid, outside), "{name:?}");
        }
    }

    #[test]
    fn a_foreign_code_page_is_no_other_name() {
        assert!(is_same_in_ascii("M\u{b3}ller.txt", "Müller.txt"));
        assert!(is_same_in_ascii("M?ller.txt", "Müller.txt"));
        assert!(!is_same_in_ascii("Müller.txt", "Müller.exe"));
    }
}
