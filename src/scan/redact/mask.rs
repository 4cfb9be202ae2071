//! What to hide in any text: numbers, accounts, keys, passwords.
//!
//! By form only. Every rule errs on the side of hiding: dates and order numbers go too.
//!
//! Invariant: each rule only hides, so their order cannot matter, and one that is fooled leaves the others.

use super::glyph::Glyph;

/// Digits in a row, separators between them, that are shown.
const DIGITS_SHOWN_MAX: usize = 6;
/// Characters between two digits that still belong to one number; markup may be long.
const GAP_MAX: usize = 80;
const MARKUP_MAX: usize = 64;
/// Characters of the shortest key that is told by its letters and digits, and by its length alone.
const KEY_MIN: usize = 16;
const KEY_SOLID: usize = 24;
const KEY_LONG: usize = 32;
/// Changes from lower to upper case in a row of letters that no word has.
const CASES_CHANGED: usize = 4;
/// Characters of an account number from its first digits on.
const ACCOUNT_MIN: usize = 15;
const ACCOUNT_MAX: usize = 34;
const ACCOUNT_DIGITS: usize = 8;
/// Quotes and spaces between the sign of a secret and what links it.
const LINK_MAX: usize = 24;

/// Hides all that any rule sees.
pub(super) fn all(glyphs: &mut [Glyph]) {
    numbers(glyphs);
    accounts(glyphs);
    keys(glyphs);
    passwords(glyphs);
    users(glyphs);
}

/// Hides the letters and digits of `glyphs` but the `first` and `last` of them, and shows those.
pub(super) fn hide(glyphs: &mut [Glyph], first: usize, last: usize) {
    glyphs.iter_mut().for_each(|glyph| glyph.hidden = false);
    cover(glyphs, Glyph::is_word, first, last);
}

/// Hides more, never less: those of a kind but the `first` and `last` of them.
fn cover(glyphs: &mut [Glyph], kind: fn(&Glyph) -> bool, first: usize, last: usize) {
    let count = glyphs.iter().filter(|glyph| kind(glyph)).count();
    let numbered = (0..).zip(glyphs.iter_mut().filter(|glyph| kind(glyph)));
    numbered.for_each(|(place, glyph)| glyph.hidden |= place >= first && place + last < count);
}

/// Rows of more digits than are shown, whatever separates them.
fn numbers(glyphs: &mut [Glyph]) {
    let mut at = 0;
    while let Some(start) = next(glyphs, at, Glyph::is_digit) {
        let (end, count) = number(glyphs, start);
        let found = glyphs.get_mut(start..end).unwrap_or_default();
        if count > DIGITS_SHOWN_MAX && !is_address(found) {
            cover(found, Glyph::is_digit, 1, 2);
        }
        at = end;
    }
}

/// The end of the number at `start`, and how many digits it has.
fn number(glyphs: &[Glyph], start: usize) -> (usize, usize) {
    let (mut end, mut count) = (start, 0);
    loop {
        let digits = glyphs.iter().skip(end).take_while(|glyph| glyph.is_digit()).count();
        (end, count) = (end + digits, count + digits);
        let after = glyphs.get(end..).unwrap_or_default();
        let gap = gap(after);
        if gap == 0 || !after.get(gap).is_some_and(Glyph::is_digit) {
            return (end, count);
        }
        end += gap;
    }
}

/// Characters that may stand inside a number: marks, tags, entities. More than may stand there is none.
fn gap(glyphs: &[Glyph]) -> usize {
    let mut gap = 0;
    while let Some(glyph) = glyphs.get(gap).filter(|_| gap <= GAP_MAX) {
        gap += match glyph.letter {
            '<' => markup(glyphs.get(gap..).unwrap_or_default(), '>').unwrap_or(1),
            '&' => markup(glyphs.get(gap..).unwrap_or_default(), ';').unwrap_or(1),
            _ if glyph.is_word() => return gap,
            _ => 1,
        };
    }
    0
}

/// Characters of a tag or entity of letters, its end included.
fn markup(glyphs: &[Glyph], end: char) -> Option<usize> {
    let length = glyphs.iter().take(MARKUP_MAX).position(|glyph| glyph.letter == end)? + 1;
    // A numeric entity is digits like any other.
    let named = end == '>' || !glyphs.iter().take(length).any(Glyph::is_digit);
    named.then_some(length)
}

/// Four numbers below 256 with single dots between: an IP address, which evidence of links needs.
fn is_address(glyphs: &[Glyph]) -> bool {
    let text: String = glyphs.iter().map(|glyph| glyph.letter).collect();
    text.parse::<std::net::Ipv4Addr>().is_ok()
}

/// Two letters, two digits, then groups with digits enough for an account.
fn accounts(glyphs: &mut [Glyph]) {
    for start in 0..glyphs.len() {
        let begins =
            start.checked_sub(1).and_then(|before| glyphs.get(before)).is_none_or(|before| !before.is_word());
        if begins && let Some(end) = account(glyphs.get(start..).unwrap_or_default()) {
            cover(glyphs.get_mut(start..start + end).unwrap_or_default(), Glyph::is_word, 2, 4);
        }
    }
}

/// Where an account number ends that begins with `glyphs`.
fn account(glyphs: &[Glyph]) -> Option<usize> {
    let country = glyphs.iter().take(2).all(|glyph| glyph.letter.is_alphabetic());
    if !country || !glyphs.iter().skip(2).take(2).all(Glyph::is_digit) {
        return None;
    }
    let (mut end, mut count, mut digits) = (0, 0, 0);
    while count < ACCOUNT_MAX {
        let group = glyphs.iter().skip(end).take_while(|glyph| glyph.is_word()).count();
        let digits_more = glyphs.iter().skip(end).take(group).filter(|glyph| glyph.is_digit()).count();
        // A word of the sentence after it.
        if group == 0 || digits_more == 0 && group > 4 {
            break;
        }
        (end, count, digits) = (end + group, count + group, digits + digits_more);
        end += glyphs.iter().skip(end).take(3).take_while(|glyph| !glyph.is_word()).count();
    }
    (count >= ACCOUNT_MIN && digits >= ACCOUNT_DIGITS).then_some(end)
}

/// Rows of letters and digits as only machines write them.
fn keys(glyphs: &mut [Glyph]) {
    let mut at = 0;
    while let Some(start) = next(glyphs, at, |glyph| is_key(glyph.letter)) {
        let length = glyphs.iter().skip(start).take_while(|glyph| is_key(glyph.letter)).count();
        let row = glyphs.get_mut(start..start + length).unwrap_or_default();
        if is_random(row) {
            cover(row, Glyph::is_word, 1, 2);
        } else {
            let parts = row.split_mut(|glyph| matches!(glyph.letter, '-' | '_' | '/'));
            parts.filter(|part| is_solid(part)).for_each(|part| cover(part, Glyph::is_word, 1, 2));
        }
        at = start + length;
    }
}

/// A whole row that is one key: of all kinds of characters, of hexadecimal digits, or just long.
fn is_random(row: &[Glyph]) -> bool {
    if row.len() < KEY_MIN {
        return false;
    }
    let (digit, lower, upper) = (
        has(row, char::is_ascii_digit),
        has(row, char::is_ascii_lowercase),
        has(row, char::is_ascii_uppercase),
    );
    let hexadecimal = row.iter().all(|glyph| glyph.letter.is_ascii_hexdigit() || glyph.letter == '-');
    let long = row.len() >= KEY_LONG && (lower || upper);
    digit && (lower && upper || hexadecimal || long) || cases(row) >= CASES_CHANGED
}

/// What stands between dashes and slashes and is a key by itself.
fn is_solid(part: &[Glyph]) -> bool {
    let mixed = || has(part, char::is_ascii_digit) && has(part, char::is_ascii_alphabetic);
    part.len() >= KEY_SOLID || part.len() >= KEY_MIN && (mixed() || cases(part) >= CASES_CHANGED)
}

const fn is_key(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '=' | '_' | '-')
}

fn has(row: &[Glyph], kind: fn(&char) -> bool) -> bool {
    row.iter().any(|glyph| kind(&glyph.letter))
}

fn cases(row: &[Glyph]) -> usize {
    let pairs = row.iter().zip(row.iter().skip(1));
    pairs
        .filter(|(first, second)| first.letter.is_ascii_lowercase() && second.letter.is_ascii_uppercase())
        .count()
}

/// Ends of words after which a secret stands, in lower case.
const SIGNS: &str = "password|passwd|passwort|passphrase|pass|pwd|kennwort|secret|token|key|pin|tan|otp|cvv|cvc|code|\
    contraseña|contrasena|clave|senha|passe|parola|hasło|haslo|heslo|wachtwoord|lösenord|losenord|salasana|\
    adgangskode|şifre|sifre|пароль|密码|密碼|パスワード|암호";

/// Words that link a sign and its secret.
const LINKS: &[&str] = &["is", "ist", "est", "es", "é", "are", "was", "sind"];

/// Signs after which a secret stands without a link.
const SIGNS_DIRECT: &[&str] = &["bearer", "basic"];

/// Secrets that words announce: hidden altogether. Sought from what links the two, which is rarer.
fn passwords(glyphs: &mut [Glyph]) {
    let lower: Vec<char> = glyphs.iter().map(|glyph| lower(glyph.letter)).collect();
    for place in 0..lower.len() {
        let Some((before, after)) = lower.split_at_checked(place) else { continue };
        let Some(length) = link(before, after) else { continue };
        let from = place + length + after.iter().skip(length).take_while(|letter| is_quote(**letter)).count();
        let ends = |letter: &char| letter.is_whitespace() || matches!(letter, '"' | '<' | '\'' | '&');
        let secret = lower.iter().skip(from).take_while(|letter| !ends(letter)).count();
        glyphs.iter_mut().skip(from).take(secret).for_each(|glyph| glyph.hidden = true);
    }
}

fn lower(letter: char) -> char {
    if letter.is_ascii() {
        letter.to_ascii_lowercase()
    } else {
        letter.to_lowercase().next().unwrap_or(letter)
    }
}

/// The length of what at the start of `after` links the word before it with a secret: a colon, an equals
/// sign, the end of a tag, a word like "is"; a space after a few words.
fn link(before: &[char], after: &[char]) -> Option<usize> {
    match after {
        [':' | '=' | '>' | '：', ..] if announces(before) => Some(1),
        [space, rest @ ..] if is_quote(*space) => {
            let word = LINKS.iter().find_map(|link| link_word(rest, link)).filter(|_| announces(before));
            let direct = || SIGNS_DIRECT.iter().any(|sign| ends_with(before, sign)).then_some(0);
            Some(1 + word.or_else(direct)?)
        }
        _ => None,
    }
}

/// The length of a link word with which `letters` begin, and of a colon after it.
fn link_word(letters: &[char], word: &str) -> Option<usize> {
    let mut rest = letters.iter();
    if !word.chars().all(|letter| rest.next() == Some(&letter)) {
        return None;
    }
    match rest.next()? {
        ':' => Some(letters.len() - rest.len()),
        next if is_quote(*next) => Some(letters.len() - rest.len() - 1),
        _ => None,
    }
}

/// Whether the last word of `text`, quotes and spaces after it aside, is a sign of a secret.
fn announces(text: &[char]) -> bool {
    let quotes = text.iter().rev().take(LINK_MAX).take_while(|letter| is_quote(**letter)).count();
    let text = text.get(..text.len() - quotes).unwrap_or_default();
    SIGNS.split('|').any(|sign| ends_with(text, sign))
}

fn ends_with(text: &[char], word: &str) -> bool {
    let mut letters = text.iter().rev();
    word.chars().rev().all(|letter| letters.next() == Some(&letter))
}

const fn is_quote(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n' | '"' | '\'' | '`' | '*' | '\u{a0}')
}

/// The password in a link: `://user:password@`.
fn users(glyphs: &mut [Glyph]) {
    let letter = |glyphs: &[Glyph], place: usize| glyphs.get(place).map(|glyph| glyph.letter);
    for start in 0..glyphs.len() {
        if (letter(glyphs, start), letter(glyphs, start + 1), letter(glyphs, start + 2))
            != (Some(':'), Some('/'), Some('/'))
        {
            continue;
        }
        let after = glyphs.get(start + 3..).unwrap_or_default();
        let authority = after
            .iter()
            .take_while(|glyph| !glyph.letter.is_whitespace() && !matches!(glyph.letter, '/' | '?' | '#'))
            .count();
        let user = after.get(..authority).unwrap_or_default();
        let Some(end) = user.iter().rposition(|glyph| glyph.letter == '@') else { continue };
        let Some(colon) = user.iter().take(end).position(|glyph| glyph.letter == ':') else { continue };
        glyphs
            .iter_mut()
            .skip(start + 3 + colon + 1)
            .take(end - colon - 1)
            .for_each(|glyph| glyph.hidden = true);
    }
}

fn next(glyphs: &[Glyph], at: usize, kind: impl Fn(&Glyph) -> bool) -> Option<usize> {
    glyphs.iter().skip(at).position(kind).map(|place| at + place)
}
