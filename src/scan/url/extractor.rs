//! Links in running text: found while it streams.
//!
//! Text is a row of tokens between white space, angle brackets and double quotes. Inside a token a link
//! shows itself by `://`, by the dots of a name, or by `@`; these are searched by vector, so that text
//! without them costs next to nothing.
//!
//! Invariants: what is found depends on the text alone, not on its cuts: an unfinished token is kept (at
//! most [`PIECE_BYTES_MAX`]), and a token longer than that is looked at in pieces whose borders its own
//! bytes decide. The work is linear in the text, whatever it is.

use std::borrow::Cow;

use memchr::memchr3_iter;

use super::host::{HOST_BYTES_MAX, Host, is_host_byte, is_plain};
use super::{EMBEDDED_MAX, Tricks, URL_BYTES_MAX, Url, has_public_suffix};

/// Bytes of one token that are looked at together, and the most that is kept between pushes.
pub const PIECE_BYTES_MAX: usize = 2 * URL_BYTES_MAX;
/// Bytes before the first dot or `@` that may belong to a link.
const LOOK_BACK_BYTES: usize = HOST_BYTES_MAX + LOCAL_PART_BYTES_MAX;
const LOCAL_PART_BYTES_MAX: usize = 64;
/// Bytes after a scheme that are read to tell a link from what is none. A host behind a longer user is
/// found by its `@`.
const AUTHORITY_BYTES_MAX: usize = 512;

/// Schemes by which a link in text is known.
const SCHEMES: &[&[u8]] = &[b"https", b"http", b"ftp", b"hxxps", b"hxxp", b"wss", b"ws", b"file"];

/// How a link showed itself in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// With its scheme.
    Scheme,
    /// `www.` in front.
    Www,
    /// A name with a public suffix, and a path or port.
    Path,
    /// A name with a public suffix, alone: a file name may look the same.
    Name,
    /// A mail address.
    Address,
    /// Inside another link.
    Embedded,
}

/// One link found in text.
#[derive(Debug)]
pub struct Found<'a> {
    pub url: Url,
    pub shape: Shape,
    /// The text of it; of an embedded one, that of the link around it.
    pub text: &'a str,
}

/// Finds links in text that comes in pieces.
#[derive(Clone, Debug, Default)]
pub struct Extractor {
    /// The beginning of a token that is not over.
    kept: Vec<u8>,
}

impl Extractor {
    pub const fn new() -> Self {
        Self { kept: Vec::new() }
    }

    /// Looks at more of the text.
    pub fn push(&mut self, text: &[u8], found: &mut impl FnMut(Found<'_>)) {
        let rest = if self.kept.is_empty() { text } else { self.complete(text, found) };
        let open = rest.iter().rposition(|byte| is_break(*byte)).map_or(0, |last| last + 1);
        let (whole, open) = rest.split_at_checked(open).unwrap_or((rest, &[]));
        scan(whole, found);
        self.keep(open, found);
    }

    /// The text is over.
    pub fn finish(&mut self, found: &mut impl FnMut(Found<'_>)) {
        scan_piece(&self.kept, true, found);
        self.kept.clear();
    }

    /// Forgets what was begun; its memory stays.
    pub fn reset(&mut self) {
        self.kept.clear();
    }

    /// Takes the rest of the kept token from `text` and gives back what follows it.
    fn complete<'a>(&mut self, text: &'a [u8], found: &mut impl FnMut(Found<'_>)) -> &'a [u8] {
        let end = text.iter().position(|byte| is_break(*byte));
        let (token, rest) = text.split_at_checked(end.unwrap_or(text.len())).unwrap_or((text, &[]));
        self.keep(token, found);
        if end.is_some() {
            self.finish(found);
        }
        rest
    }

    /// Keeps more of a token, and looks at it whenever a piece is full.
    fn keep(&mut self, token: &[u8], found: &mut impl FnMut(Found<'_>)) {
        let mut rest = token;
        while !rest.is_empty() {
            let room = PIECE_BYTES_MAX.saturating_sub(self.kept.len()).min(rest.len());
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.kept.extend_from_slice(now);
            rest = later;
            if self.kept.len() == PIECE_BYTES_MAX {
                let seen = scan_piece(&self.kept, false, found);
                self.kept.drain(..seen.min(PIECE_BYTES_MAX));
            }
        }
    }
}

/// The first link that a short text shows.
pub(super) fn first(text: &str) -> Option<Url> {
    let mut first = None;
    let mut extractor = Extractor::new();
    let mut take = |found: Found<'_>| {
        if first.is_none() && !matches!(found.shape, Shape::Address | Shape::Embedded) {
            first = Some(found.url);
        }
    };
    extractor
        .push(text.get(..text.floor_char_boundary(URL_BYTES_MAX)).unwrap_or_default().as_bytes(), &mut take);
    extractor.finish(&mut take);
    first
}

/// What ends a token: white space, controls, and what stands around links in text.
const fn is_break(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | 0x7f | b'<' | b'>' | b'"')
}

/// Looks at tokens that are all there.
fn scan(text: &[u8], found: &mut impl FnMut(Found<'_>)) {
    let mut done = 0;
    for anchor in memchr3_iter(b'.', b'@', b':', text) {
        if anchor < done || !is_anchor(text, anchor) {
            continue;
        }
        let before = text.get(done..anchor).unwrap_or_default();
        let start = before.iter().rposition(|byte| is_break(*byte)).map_or(done, |last| done + last + 1);
        let after = text.get(anchor..).unwrap_or_default();
        let end = after.iter().position(|byte| is_break(*byte)).map_or(text.len(), |length| anchor + length);
        scan_token(text.get(start..end).unwrap_or_default(), found);
        done = end;
    }
}

/// Looks at one token, in the same pieces in which it would have been kept.
fn scan_token(token: &[u8], found: &mut impl FnMut(Found<'_>)) {
    let mut rest = token;
    while let Some(piece) = rest.get(..PIECE_BYTES_MAX) {
        let seen = scan_piece(piece, false, found);
        rest = rest.get(seen..).unwrap_or_default();
    }
    scan_piece(rest, true, found);
}

/// Where in a piece something stands.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    shape: Shape,
}

/// What an anchor turned out to be.
enum Step {
    Take(Span),
    /// No link before here.
    Skip(usize),
}

/// Looks at a piece of a token and says how much of it is done with. The rest is looked at again with
/// what follows, unless the token is `over`.
fn scan_piece(piece: &[u8], over: bool, found: &mut impl FnMut(Found<'_>)) -> usize {
    let (mut done, mut from) = (0, 0);
    for anchor in memchr3_iter(b'.', b'@', b':', piece) {
        if anchor < from || !is_anchor(piece, anchor) {
            continue;
        }
        match step(piece, done, anchor) {
            Step::Skip(to) => from = to.max(anchor + 1),
            // It may go on in the next piece, which has room for all that is looked at of it.
            Step::Take(span) if span.end == piece.len() && !over => return span.start.max(1),
            Step::Take(span) => {
                give(piece, span, found);
                done = span.end;
                from = span.end.max(anchor + 1);
            }
        }
    }
    if over { piece.len() } else { done.max(piece.len().saturating_sub(LOOK_BACK_BYTES)) }
}

/// Whether the byte at `place` may be the sign of a link, by its neighbours.
fn is_anchor(text: &[u8], place: usize) -> bool {
    let before = place.checked_sub(1).and_then(|before| text.get(before)).copied().unwrap_or(b' ');
    let after = text.get(place + 1).copied().unwrap_or(b' ');
    match text.get(place) {
        Some(b'.') => is_word(before) && is_word(after),
        Some(b'@') => is_local(before) && is_word(after),
        _ => matches!(after, b'/' | b'\\') && matches!(text.get(place + 2), Some(b'/' | b'\\')),
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// What may stand in the local part of an address that people write (RFC 5321 `Atom`, and dots).
const fn is_local(byte: u8) -> bool {
    is_word(byte)
        || matches!(
            byte,
            b'.' | b'_' | b'-' | b'+' | b'=' | b'&' | b'\'' | b'*' | b'~' | b'#' | b'$' | b'!' | b'%'
        )
}

const fn is_host(byte: u8) -> bool {
    is_host_byte(byte) || byte >= 0x80
}

fn step(piece: &[u8], done: usize, anchor: usize) -> Step {
    match piece.get(anchor) {
        Some(b'.') => step_dot(piece, done, anchor),
        Some(b'@') => step_at(piece, done, anchor),
        _ => step_scheme(piece, done, anchor),
    }
}

/// `://`: a scheme before it, a link after it.
fn step_scheme(piece: &[u8], done: usize, anchor: usize) -> Step {
    let before = piece.get(done..anchor).unwrap_or_default();
    let Some(scheme) = SCHEMES.iter().find(|scheme| ends_with(before, scheme)) else {
        return Step::Skip(anchor + 3);
    };
    let start = anchor - scheme.len();
    match authority(piece.get(anchor + 3..).unwrap_or_default()) {
        Some(Authority::Whole) => {
            Step::Take(Span { start, end: link_end(piece, start), shape: Shape::Scheme })
        }
        Some(Authority::Start(length)) => {
            Step::Take(Span { start, end: anchor + 3 + length, shape: Shape::Scheme })
        }
        None => Step::Skip(anchor + 3),
    }
}

/// What follows a scheme.
enum Authority {
    /// A host, to its end.
    Whole,
    /// A host of so many bytes, and running text in another script.
    Start(usize),
}

/// Reads what follows a scheme. If it is no host, names inside are looked at by themselves.
fn authority(after: &[u8]) -> Option<Authority> {
    let near = after.get(..AUTHORITY_BYTES_MAX).unwrap_or(after);
    // Marks that no host has end a link in a list; a user may have them, whose host then is found by its `@`.
    let end = near.iter().position(|byte| b"/\\?#,;|()'".contains(byte)).unwrap_or(near.len());
    let authority = near.get(..end).unwrap_or_default();
    let authority = authority.get(..typeset_end(authority)).unwrap_or_default();
    let authority = authority.get(..sentence_end(authority)).unwrap_or_default();
    if is_plain(authority) {
        return Some(Authority::Whole);
    }
    if let Some(length) = plain_start(authority) {
        return Some(Authority::Start(length));
    }
    let text = String::from_utf8_lossy(authority);
    let place = text.rsplit_once('@').map_or(&*text, |(_, place)| place);
    Host::read(super::split_port(place).0).map(|_| Authority::Whole)
}

/// Bytes of the ASCII start of `name`, if that has a public suffix and the whole has none: text in a
/// script without spaces, or in a charset that was not named, follows.
fn plain_start(name: &[u8]) -> Option<usize> {
    let length = name.iter().position(|byte| !byte.is_ascii())?;
    let start = name.get(..length).unwrap_or_default();
    let start = start.get(..sentence_end(start)).unwrap_or_default();
    let whole = Host::read(&String::from_utf8_lossy(name)).is_some_and(|host| has_public_suffix(&host.name));
    (!whole && shape(start, false).is_some()).then_some(start.len())
}

fn ends_with(text: &[u8], lower: &[u8]) -> bool {
    let end = text.len().checked_sub(lower.len()).and_then(|start| text.get(start..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(lower))
}

/// A dot between two words: perhaps a name without a scheme.
fn step_dot(piece: &[u8], done: usize, anchor: usize) -> Step {
    let (start, end) = run(piece, done, anchor);
    match piece.get(end..).unwrap_or_default() {
        // Of an address, or of a link with user: the next anchor is theirs.
        [b'@', ..] | [b':', b'/' | b'\\', b'/' | b'\\', ..] => return Step::Skip(end),
        _ => {}
    }
    let is_edge = |byte: &&u8| matches!(byte, b'.' | b'-' | b'_');
    let start = start + piece.get(start..end).unwrap_or_default().iter().take_while(is_edge).count();
    let start = start + foreign_prefix(piece.get(start..end).unwrap_or_default());
    let name = piece.get(start..end).unwrap_or_default();
    let trailing = name.iter().rev().take_while(is_edge).count();
    let name = name.get(..name.len() - trailing).unwrap_or_default();
    let goes_on = trailing == 0 && goes_on(piece.get(end..).unwrap_or_default());
    if let Some(shape) = shape(name, goes_on) {
        let end = if goes_on { link_end(piece, start) } else { start + name.len() };
        return Step::Take(Span { start, end, shape });
    }
    let plain = plain_start(name).and_then(|length| Some((length, shape(name.get(..length)?, false)?)));
    plain.map_or(Step::Skip(end), |(length, shape)| Step::Take(Span { start, end: start + length, shape }))
}

/// The bytes of a name around `anchor`, within typeset quotes and brackets.
fn run(piece: &[u8], done: usize, anchor: usize) -> (usize, usize) {
    let before = piece.get(done..anchor).unwrap_or_default();
    let left = before.iter().rev().take(HOST_BYTES_MAX).take_while(|byte| is_host(**byte)).count();
    let left = before.get(before.len() - left..).unwrap_or_default();
    let quoted = (0..left.len()).rev().find_map(|place| Some(place + typeset(left.get(place..)?)?));
    let after = piece.get(anchor..).unwrap_or_default();
    let right = after.iter().take(HOST_BYTES_MAX).take_while(|byte| is_host(**byte)).count();
    let right = typeset_end(after.get(..right).unwrap_or_default());
    (anchor - left.len() + quoted.unwrap_or(0), anchor + right)
}

/// Whether a name is followed by a path, a query, a fragment or a port.
const fn goes_on(after: &[u8]) -> bool {
    matches!(after, [b'/' | b'?' | b'#' | b'\\', ..] | [b':', b'0'..=b'9', ..])
}

/// What a name without a scheme is; `None` if nothing.
fn shape(name: &[u8], goes_on: bool) -> Option<Shape> {
    let last = name.rsplit(|byte| *byte == b'.').next()?;
    // A number at the end is a version or an amount; addresses without a scheme are not linked.
    if last.len() < 2 || last.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(name).ok()?;
    let host = if is_plain(name) { Cow::Borrowed(text) } else { Cow::Owned(Host::read(text)?.name) };
    if !has_public_suffix(&host) {
        return None;
    }
    Some(match () {
        () if host.starts_with("www.") => Shape::Www,
        () if goes_on => Shape::Path,
        () => Shape::Name,
    })
}

/// Bytes of a prefix in a script that is written without spaces: the name begins after it.
fn foreign_prefix(name: &[u8]) -> usize {
    let first = name.split(|byte| *byte == b'.').next().unwrap_or_default();
    let ascii = first.iter().rev().take_while(|byte| byte.is_ascii()).count();
    let (foreign, own) = first.split_at_checked(first.len() - ascii).unwrap_or_default();
    let last = String::from_utf8_lossy(foreign).chars().next_back();
    let unspaced = last.is_some_and(is_unspaced);
    if unspaced && own.first().is_some_and(u8::is_ascii_alphanumeric) { foreign.len() } else { 0 }
}

/// Thai, Khmer, ideographs, kana, Hangul, and the wide forms used with them.
const fn is_unspaced(letter: char) -> bool {
    matches!(
        letter,
        '\u{e00}'..='\u{eff}'
            | '\u{1780}'..='\u{17ff}'
            | '\u{2e80}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7ff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{fe30}'..='\u{ffef}'
    )
}

/// `@`: an address, if a local part stands before it and a name after it.
fn step_at(piece: &[u8], done: usize, anchor: usize) -> Step {
    let before = piece.get(done..anchor).unwrap_or_default();
    let local = before.iter().rev().take(LOCAL_PART_BYTES_MAX).take_while(|byte| is_local(**byte)).count();
    let (_, end) = run(piece, anchor + 1, anchor + 1);
    let domain = piece.get(anchor + 1..end).unwrap_or_default();
    let trailing = domain.iter().rev().take_while(|byte| matches!(byte, b'.' | b'-' | b'_')).count();
    let domain_end = end.saturating_sub(trailing).max(anchor + 1);
    match shape(piece.get(anchor + 1..domain_end).unwrap_or_default(), false) {
        Some(_) if local > 0 => {
            Step::Take(Span { start: anchor - local, end: domain_end, shape: Shape::Address })
        }
        _ => Step::Skip(anchor + 1),
    }
}

/// Where the link that begins at `start` ends: at quotes and brackets of typesetting, before marks that
/// belong to the sentence.
fn link_end(piece: &[u8], start: usize) -> usize {
    let link = piece.get(start..).unwrap_or_default();
    let link = link.get(..URL_BYTES_MAX).unwrap_or(link);
    let link = link.get(..typeset_end(link).min(listed_end(link))).unwrap_or_default();
    start + sentence_end(link)
}

/// Where the next link of a list without spaces begins: `a,b`.
fn listed_end(link: &[u8]) -> usize {
    let signs = memchr::memmem::find_iter(link, b"://").skip(1);
    let before = signs.filter_map(|sign| {
        let scheme =
            SCHEMES.iter().find(|scheme| link.get(..sign).is_some_and(|before| ends_with(before, scheme)))?;
        sign.checked_sub(scheme.len() + 1)
    });
    let mut lists = before.filter(|place| {
        matches!(link.get(*place), Some(b',' | b';' | b'|' | b'(' | b')' | b'[' | b']' | b'\''))
    });
    lists.next().unwrap_or(link.len())
}

/// Where typeset white space, quotes or brackets begin.
fn typeset_end(text: &[u8]) -> usize {
    let high = text.iter().enumerate().filter(|(_, byte)| **byte >= 0xc2).map(|(place, _)| place);
    let mut stops = high.filter(|place| text.get(*place..).and_then(typeset).is_some());
    stops.next().unwrap_or(text.len())
}

/// Bytes of the white space, quote or bracket in UTF-8 with which `text` begins, if it does.
const fn typeset(text: &[u8]) -> Option<usize> {
    match text {
        [0xc2, 0xa0 | 0xab | 0xbb, ..] => Some(2),
        [0xe2, 0x80, 0x80..=0x8a | 0x98..=0x9f | 0xa8 | 0xa9 | 0xaf, ..]
        | [0xe3, 0x80, 0x80 | 0x81 | 0x88..=0x91, ..]
        | [0xef, 0xbc, 0x88 | 0x89 | 0x8c | 0x9b, ..] => Some(3),
        _ => None,
    }
}

/// Where the marks begin that end the sentence around a link, and the brackets that it did not open.
fn sentence_end(link: &[u8]) -> usize {
    // Brackets closed without having been opened, for each kind.
    let mut closed = BRACKETS.map(|(open, close)| {
        let count = |wanted: u8| link.iter().filter(|byte| **byte == wanted).count();
        count(close).saturating_sub(count(open))
    });
    let is_mark = |byte: &&u8| {
        if matches!(byte, b'.' | b',' | b';' | b':' | b'!' | b'?' | b'\'' | b'*' | b'|' | b'`') {
            return true;
        }
        let kind = BRACKETS.iter().position(|(_, close)| *close == **byte);
        let Some(left) = kind.and_then(|kind| closed.get_mut(kind)).filter(|left| **left > 0) else {
            return false;
        };
        *left -= 1;
        true
    };
    link.len() - link.iter().rev().take_while(is_mark).count()
}

const BRACKETS: [(u8, u8); 3] = [(b'(', b')'), (b'[', b']'), (b'{', b'}')];

/// Reads the link at `span` and gives it, and those inside it, to `found`.
fn give(piece: &[u8], span: Span, found: &mut impl FnMut(Found<'_>)) {
    let text = String::from_utf8_lossy(piece.get(span.start..span.end).unwrap_or_default());
    let url = match span.shape {
        Shape::Address => Url::of_address(&text),
        Shape::Scheme => Url::parse(&text),
        _ => Url::of_name(&text),
    };
    let Some(mut url) = url else { return };
    let cut = span.end - span.start >= URL_BYTES_MAX;
    url.tricks.add_if(cut, Tricks::TOO_LONG);
    let inside = url.embedded();
    url.tricks.add_if(inside.len() == EMBEDDED_MAX, Tricks::NESTED);
    found(Found { url, shape: span.shape, text: &text });
    for url in inside {
        found(Found { url, shape: Shape::Embedded, text: &text });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
    use proptest::sample::Index;

    use super::{Extractor, Found, PIECE_BYTES_MAX, URL_BYTES_MAX, is_break, scan_token};

    fn told(found: &Found<'_>) -> String {
        format!("{:?} {}{}", found.shape, found.url.host, found.url.rest).to_lowercase()
    }

    fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut all = Vec::new();
        let mut extractor = Extractor::new();
        for piece in pieces {
            extractor.push(piece, &mut |found| all.push(told(&found)));
        }
        extractor.finish(&mut |found| all.push(told(&found)));
        all
    }

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        assert_eq!(in_pieces([text.as_bytes()]), want, "{text}");
        assert_eq!(in_pieces(text.as_bytes().chunks(1)), want, "{text}, byte by byte");
        for cut in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            assert_eq!(in_pieces([head, tail]), want, "{text}, cut at {cut}");
        }
    }

    #[test]
    fn links_with_a_scheme() {
        check("see http://example.com/a?b=c#d now", &["scheme example.com/a?b=c#d"]);
        check("HTTPS://EXAMPLE.com", &["scheme example.com"]);
        check("<http://a.example/b>\"http://c.example\"", &["scheme a.example/b", "scheme c.example"]);
        check("xhttp://example.com/ hxxp://evil.example/", &["scheme example.com/", "scheme evil.example/"]);
        check("http:\\\\evil.example\\x", &["scheme evil.example\\x"]);
        check(
            "http://192.0.2.1/ http://3221225985/ http://[::1]/x",
            &["scheme 192.0.2.1/", "scheme 192.0.2.1/", "scheme ::1/x"],
        );
        check("http://localhost:8080/x", &["scheme localhost/x"]);
        check(
            "http://user:pw@evil.example/ http://paypal.com@evil.example",
            &["scheme evil.example/", "scheme evil.example"],
        );
        check("http:// http:/// a://b.c ://x", &[]);
        check(
            "http://a.example,http://b.example;https://c.example",
            &["scheme a.example", "scheme b.example", "scheme c.example"],
        );
    }

    #[test]
    fn the_sentence_around_a_link_is_not_of_it() {
        check("(http://example.com/a).", &["scheme example.com/a"]);
        check("(see http://example.com/a_(b)).", &["scheme example.com/a_(b)"]);
        check("[x](http://example.com/a)!", &["scheme example.com/a"]);
        check("http://example.com/?", &["scheme example.com/"]);
        check("“http://example.com/a”, «www.example.net»", &["scheme example.com/a", "www www.example.net"]);
        check(
            "http://example.com/a\u{a0}b http://example.com。",
            &["scheme example.com/a", "scheme example.com"],
        );
        check("'http://example.com/x',", &["scheme example.com/x"]);
    }

    #[test]
    fn names_without_a_scheme() {
        check(
            "go to www.example.com, or example.co.uk/login.",
            &["www www.example.com", "path example.co.uk/login"],
        );
        check(
            "example.com:8080 example.com?x=1 example.com",
            &["path example.com", "path example.com?x=1", "name example.com"],
        );
        check(
            "请访问www.example.com/路径 请访问example.com/a",
            &["www www.example.com/路径", "path example.com/a"],
        );
        check("bücher.de/x paypal。com", &["path xn--bcher-kva.de/x"]);
        check(
            "www.example.com请访问 http://example.com点击 http://example.com:80点击",
            &["www www.example.com", "scheme example.com", "scheme example.com"],
        );
        check("e.g. i.e. U.S.A. 3.14 v1.2.3 a.b file.txt end.Start report.docx/x 10.0.0.1", &[]);
        check("-example.com- _example.com_ .example.com. ...example.com", &["name example.com"; 4]);
        check("com co.uk www. www.x", &[]);
    }

    #[test]
    fn addresses() {
        check(
            "mail joe.doe+x@example.com, or <a@b.example.org>",
            &["address example.com", "address b.example.org"],
        );
        check("mailto:joe@example.com", &["address example.com"]);
        check("@example.com joe@ a@b a@b.c1", &["name example.com"]);
        check("www.paypal.com@evil.example.com", &["address evil.example.com"]);
    }

    #[test]
    fn a_link_inside_a_link_is_one_more() {
        check(
            "https://www.google.com/url?q=https%3A%2F%2Fevil.example%2Fx&sa=D",
            &["scheme www.google.com/url?q=https%3a%2f%2fevil.example%2fx&sa=d", "embedded evil.example/x"],
        );
    }

    #[test]
    fn what_is_looked_at_is_bounded() {
        let long = format!("http://a.example/{}", "x".repeat(3 * PIECE_BYTES_MAX));
        let mut links = Vec::new();
        Extractor::new().push(format!("{long} ").as_bytes(), &mut |found| {
            links.push((found.url.host.clone(), found.url.tricks.names().collect::<Vec<_>>()));
            assert!(found.text.len() <= URL_BYTES_MAX);
        });
        assert_eq!(links, [("a.example".to_owned(), vec!["too_long"])]);
        let user = format!("http://{}@evil.com/ ", "a".repeat(3 * PIECE_BYTES_MAX));
        assert_eq!(in_pieces([user.as_bytes()]), ["address evil.com"]);
        let mut extractor = Extractor::new();
        for _ in 0..100 {
            extractor.push(&[b'a'; 1000], &mut |_| ());
            assert!(extractor.kept.capacity() <= 2 * PIECE_BYTES_MAX);
        }
    }

    /// A link at every place of a token that is longer than a piece.
    #[test]
    fn a_long_token_hides_nothing() {
        for before in (0..PIECE_BYTES_MAX + 300).step_by(7) {
            let text =
                format!("{}|www.evil.example.com/x|{}", "z".repeat(before), "y".repeat(PIECE_BYTES_MAX));
            let hosts: Vec<String> = in_pieces([text.as_bytes()])
                .iter()
                .map(|link| link.split('/').next().unwrap().to_owned())
                .collect();
            assert_eq!(hosts, ["www www.evil.example.com"], "at {before}");
        }
    }

    /// Each token by itself, without the search for signs of links.
    fn naive(text: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        for token in text.split(|byte| is_break(*byte)) {
            scan_token(token, &mut |found| all.push(told(&found)));
        }
        all
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let words = prop_oneof![
            4 => "(http|https|ftp|x)?:?//?|www\\.|example|\\.com|\\.de".prop_map(String::into_bytes),
            2 => "[@/?=:.,() <a1é。”-]|%2F".prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..4),
            1 => (1_usize..5000).prop_map(|length| vec![b'x'; length]),
            1 => Just(b"http://paypal.com@evil.example.com/?u=http%3A%2F%2Fb.example.net ".to_vec()),
        ];
        proptest::collection::vec(words, 0..60).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(text in text(), mut cuts in proptest::collection::vec(any::<Index>(), 0..8)) {
            let want = naive(&text);
            prop_assert_eq!(&in_pieces([text.as_slice()]), &want);
            prop_assert_eq!(&in_pieces(text.chunks(1)), &want);
            let mut places: Vec<usize> = cuts.drain(..).map(|cut| cut.index(text.len() + 1)).collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            prop_assert_eq!(&in_pieces(places.windows(2).map(|ends| &text[ends[0]..ends[1]])), &want);
        }
    }
}
