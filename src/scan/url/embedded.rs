//! Links inside links: the target that a redirector, a tracker or a rewriting gateway carries along.
//!
//! A link to a well-known host may lead anywhere; where it leads often stands in it, encoded once or
//! twice. What is found is one more link of the message, judged like the others.

use super::{EMBEDDED_MAX, Url, has_public_suffix, percent};

/// Encodings around a target that are undone.
const DECODINGS_MAX: usize = 3;

/// Schemes by which a target is known, the longer of two that end alike first.
const SCHEMES: &[&str] = &["https", "http", "hxxps", "hxxp"];

/// Names of parameters whose value may be a host without a scheme.
const PARAMETERS: &str = "adurl continue dest destination go goto href link next out q r redir redirect redirect_to \
    redirect_uri redirect_url return return_to returnurl rurl target to u uri url";

/// Appends the links to other owners that stand in `url` itself, as far as there is room.
pub(super) fn targets(url: &Url, found: &mut Vec<Url>) {
    if url.rest.len() < "?u=a.b".len() && !url.host.ends_with(TRANSLATOR) {
        return;
    }
    let end = url.rest.find(['?', '#']).unwrap_or(url.rest.len());
    let (path, parameters) = url.rest.split_at_checked(end).unwrap_or((&url.rest, ""));
    let fields = parameters.split(['?', '&', ';', '#']).filter(|field| !field.is_empty());
    let lazy = std::iter::once(path).flat_map(|path| of_path(url, path).into_iter().chain(of_host(url)));
    let all = fields.filter_map(|field| of_field(url, field)).chain(lazy);
    let foreign = all.filter(|inside| !inside.host.is_empty() && inside.domain() != url.domain());
    found.extend(foreign.take(EMBEDDED_MAX.saturating_sub(found.len())));
}

/// The target in one field of the query or fragment.
fn of_field(url: &Url, field: &str) -> Option<Url> {
    let (name, value) = field.split_once('=').unwrap_or(("", field));
    let value = percent::decode_deep(value, DECODINGS_MAX);
    if url.host.starts_with("urldefense.") {
        return of_gateway(&value);
    }
    let named = PARAMETERS.split(' ').any(|parameter| parameter.eq_ignore_ascii_case(name));
    with_scheme(&value)
        .or_else(|| of_base64(&value))
        .or_else(|| if named { without_scheme(&value) } else { None })
}

/// The target in the path: after some steps of the redirector, or in its one step.
fn of_path(url: &Url, path: &str) -> Option<Url> {
    let path = percent::decode_deep(path, DECODINGS_MAX);
    // A gateway marks the end of what it wraps.
    let wrapped = path.split_once("__;").map_or(&*path, |(wrapped, _)| wrapped);
    with_scheme(wrapped).or_else(|| of_steps(url, &path))
}

fn of_steps(url: &Url, path: &str) -> Option<Url> {
    if url.domain().starts_with("google.")
        && let Some(page) = path.strip_prefix("/amp/")
    {
        return without_scheme(page.strip_prefix("s/").unwrap_or(page));
    }
    path.split('/').find_map(of_base64)
}

const TRANSLATOR: &str = ".translate.goog";

/// A translator's host spells the other one: dots as dashes, dashes doubled.
fn of_host(url: &Url) -> Option<Url> {
    let spelled = url.host.strip_suffix(TRANSLATOR)?;
    let host = spelled.replace("--", "\0").replace('-', ".").replace('\0', "-");
    without_scheme(&format!("{host}{}", url.rest))
}

/// The part of `text` that begins with a web scheme. Some redirectors lose a slash.
fn with_scheme(text: &str) -> Option<Url> {
    let colons = memchr::memchr_iter(b':', text.as_bytes()).filter(|colon| {
        let after = text.as_bytes().get(colon + 1);
        matches!(after, Some(b'/' | b'\\'))
    });
    let mut starts = colons.filter_map(|colon| {
        let before = text.get(..colon)?;
        let scheme = SCHEMES.iter().find(|scheme| {
            let end = before.len().checked_sub(scheme.len()).and_then(|start| before.get(start..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(scheme))
        })?;
        Some(colon - scheme.len())
    });
    Url::parse(text.get(starts.next()?..)?)
}

/// `text` as a host with a public suffix, and what follows.
fn without_scheme(text: &str) -> Option<Url> {
    Url::parse(text).filter(|found| found.scheme.is_empty() && has_public_suffix(&found.host))
}

/// A gateway's own encoding: a dash for the percent sign, an underline for the slash.
fn of_gateway(value: &str) -> Option<Url> {
    with_scheme(&percent::decode_deep(&value.replace('-', "%").replace('_', "/"), DECODINGS_MAX))
}

/// `http` in base64, at the start or after two letters that say so; in either alphabet.
fn of_base64(value: &str) -> Option<Url> {
    let encoded =
        [0, 2].into_iter().filter_map(|skip| value.get(skip..)).find(|rest| rest.starts_with("aHR0c"))?;
    with_scheme(&String::from_utf8_lossy(&decode_base64(encoded)))
}

fn decode_base64(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0);
    for value in text.bytes().map_while(sextet) {
        bits = bits << 6 | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap_or(0));
        }
    }
    out
}

const fn sextet(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    } as u32)
}

#[cfg(test)]
mod tests {
    use super::{EMBEDDED_MAX, Url};

    #[track_caller]
    fn check(target: &str, want: &[&str]) {
        let inside = Url::parse(target).unwrap().embedded();
        let found: Vec<String> = inside.iter().map(|url| format!("{}{}", url.host, url.rest)).collect();
        assert_eq!(found, want, "{target}");
    }

    #[test]
    fn redirectors_carry_their_target() {
        check("https://www.google.com/url?q=https://evil.example/a&sa=D", &["evil.example/a"]);
        check(
            "https://l.facebook.com/l.php?u=https%3A%2F%2Fevil.example%2Fa%3Fb%3D1&h=x",
            &["evil.example/a?b=1"],
        );
        check("https://a.example.com/r?URL=http%253A%252F%252Fevil.example", &["evil.example"]);
        check("https://a.example.com/r?to=evil.example.net/x", &["evil.example.net/x"]);
        check("https://a.example.com/?name=evil.example.net", &[]);
        check("https://a.example.com/#/http://evil.example/", &["evil.example/"]);
        check("https://web.archive.org/web/2020/http://evil.example/a", &["evil.example/a"]);
        check("https://www.google.com/amp/s/evil.example.net/a", &["evil.example.net/a"]);
        check("https://www-evil--shop-com.translate.goog/a", &["www.evil-shop.com/a"]);
        check(
            "https://www.bing.com/ck/a?!&&p=1&u=a1aHR0cHM6Ly9ldmlsLmV4YW1wbGUvYQ&ntb=1",
            &["evil.example/a"],
        );
        check("https://a.example.com/t/aHR0cDovL2V2aWwuZXhhbXBsZS8/x", &["evil.example/"]);
    }

    #[test]
    fn gateways_wrap_in_their_own_ways() {
        check(
            "https://urldefense.proofpoint.com/v2/url?u=https-3A__evil.example_a-3Fb-3D1&d=DwMF",
            &["evil.example/a?b=1"],
        );
        check("https://urldefense.com/v3/__https://evil.example/a__;!!x$", &["evil.example/a"]);
        check(
            "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fevil.example%2F&data=05",
            &["evil.example/"],
        );
    }

    #[test]
    fn chains_are_followed_to_a_bound() {
        check(
            "https://a.test/?u=https%3A%2F%2Fb.test%2F%3Fu%3Dhttps%253A%252F%252Fc.test",
            &["b.test/?u=https://c.test", "c.test"],
        );
        check("https://a.test/?a=http://b.test&u=http://c.test/", &["b.test", "c.test/"]);
        let many: String = ('b'..='z').map(|name| format!("&u=http://{name}.test")).collect();
        let inside = Url::parse(&format!("https://a.test/?x{many}")).unwrap().embedded();
        assert_eq!(inside.len(), EMBEDDED_MAX);
    }

    #[test]
    fn links_of_the_same_owner_are_no_news() {
        check("https://a.example.com/?next=https://b.example.com/", &[]);
        check("https://a.example.com/?next=/path&u=//x", &[]);
        check("https://a.example.com//double/slash", &[]);
        check("https://a.example.com/?q=aHR0c", &[]);
    }
}
