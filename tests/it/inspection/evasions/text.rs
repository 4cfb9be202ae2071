//! Text that people read and programs do not: HTML, charsets, encoded words.

use super::super::specimen::{base64, base64_lines, crlf, entities, utf7, utf16be, utf16le};
use super::{Row, SIGNATURE};

pub(super) const HTML: &[Row] = &[
    ("entities, decimal", "Content-Type: text/html\n\n{H}"),
    ("entities in base64", "Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n{HB}"),
    (
        "entities without semicolon",
        "Content-Type: text/html\n\n<p>&#80&#79&#83&#84ERN-TEST-0123456789012345678901234567890123456789012345678901234</p>\n",
    ),
    (
        "entities, hexadecimal",
        "Content-Type: text/html\n\n<p>&#x50;&#X4f;&#x00053;TERN-TEST-0123456789012345678901234567890123456789012345678901234</p>\n",
    ),
    (
        "named entities",
        "Content-Type: text/html\n\n<p>POSTERN&hyphen;TEST&hyphen;0123456789012345678901234567890123456789012345678901234</p>\n",
    ),
    (
        "tags within",
        "Content-Type: text/html\n\n<p>POS<b></b>TERN<i>-TEST-</i>0123456789<span>012345678901234567890123456789</span>012345678901234</p>\n",
    ),
    (
        "comments within",
        "Content-Type: text/html\n\n<p>POSTERN<!-- x -->-TEST-0123456789<!---->012345678901234567890123456789012345678901234</p>\n",
    ),
    (
        "hidden text within",
        "Content-Type: text/html\n\n<p>POSTERN<span style=\"display:none\">xyz</span>-TEST-0123456789012345678901234567890123456789012345678901234</p>\n",
    ),
    (
        "hidden by size",
        "Content-Type: text/html\n\n<p>POSTERN<span style=\"font-size:0px\">xyz</span>-TEST-0123456789012345678901234567890123456789012345678901234</p>\n",
    ),
    (
        "hidden by attribute",
        "Content-Type: text/html\n\n<p>POSTERN<span hidden>xyz</span>-TEST-0123456789012345678901234567890123456789012345678901234</p>\n",
    ),
    (
        "hidden by a sheet",
        "Content-Type: text/html\n\n<style>.h { display: none }</style><p>POSTERN<span class=h>xyz</span>-TEST-0123456789012345678901234567890123456789012345678901234</p>\n",
    ),
    ("all of it hidden", "Content-Type: text/html\n\n<div style=\"display:none\">{S}</div>\n"),
    (
        "zero width within",
        "Content-Type: text/html\n\n<p>POST&#8203;ERN-TEST-0123456789&zwnj;012345678901234567890123456789&#x200d;012345678901234</p>\n",
    ),
    (
        "soft hyphens within",
        "Content-Type: text/html\n\n<p>POST&shy;ERN-TEST-0123456789012345678901234567890123456789012345678901234</p>\n",
    ),
    (
        "break opportunities within",
        "Content-Type: text/html\n\n<p>POSTERN<wbr>-TEST-0123456789<wbr>012345678901234567890123456789012345678901234</p>\n",
    ),
    ("in a script", "Content-Type: text/html\n\n<script>x = \"{S}\"</script>\n"),
    ("in a comment", "Content-Type: text/html\n\n<!-- {S} -->\n"),
    ("in an attribute", "Content-Type: text/html\n\n<img alt=\"{S}\">\n"),
    ("in the title", "Content-Type: text/html\n\n<title>{S}</title>\n"),
    ("tag not closed", "Content-Type: text/html\n\n<p {S}"),
    ("comment not closed", "Content-Type: text/html\n\n<!-- {S}"),
    ("in a link", "Content-Type: text/html\n\n<a href=\"http://x.example/{S}\">x</a>\n"),
    ("in a data link", "Content-Type: text/html\n\n<a href=\"data:text/plain,{S}\">x</a>\n"),
    ("in a data link, base64", "Content-Type: text/html\n\n<a href=\"data:text/plain;base64,{L}\">x</a>\n"),
    ("in a data link, escaped", "Content-Type: text/html\n\n<a href=\"data:,{E}\">x</a>\n"),
    ("in a long data link", "Content-Type: text/html\n\n<a href=\"data:,{X}{X} {S}\">x</a>\n"),
    ("page in a data link", "Content-Type: text/html\n\n<a href=\"DATA:text/html;base64,{HL}\">x</a>\n"),
    (
        "page in a data link that somebody is sent to",
        "Content-Type: text/html\n\n<meta http-equiv=refresh content=\"0;url=data:text/html;base64,{HL}\">\n",
    ),
    (
        "page in a data link in a frame",
        "Content-Type: text/html\n\n<iframe src='data:text/html;base64,{HL}'>\n",
    ),
    (
        "in a document of a frame",
        "Content-Type: text/html\n\n<iframe srcdoc=\"&lt;p&gt;{S}&lt;/p&gt;\"></iframe>\n",
    ),
    ("in a form", "Content-Type: text/html\n\n<textarea>{S}</textarea>\n"),
    ("as written in a plain text", "Content-Type: text/html\n\n<plaintext>{S}\n"),
];

fn encoded(head: &str, octets: &[u8]) -> Vec<u8> {
    crlf(&format!("{head}\nContent-Transfer-Encoding: base64\n\n{}", base64_lines(octets, 76)))
}

/// All letters of ASCII that are not themselves in the charset `as_wide`.
fn wide(text: &str) -> String {
    text.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect()
}

/// EBCDIC of letters in capitals, digits and the hyphen.
fn ebcdic(text: &str) -> Vec<u8> {
    let octet = |c: u8| match c {
        b'0'..=b'9' => c - b'0' + 0xf0,
        b'A'..=b'I' => c - b'A' + 0xc1,
        b'J'..=b'R' => c - b'J' + 0xd1,
        b'S'..=b'Z' => c - b'S' + 0xe2,
        _ => 0x60,
    };
    text.bytes().map(octet).collect()
}

pub(super) fn charsets() -> Vec<(&'static str, Vec<u8>)> {
    let text = format!("this is {SIGNATURE} indeed\r\n");
    let marked = [b"\xff\xfe".to_vec(), utf16le(&text)].concat();
    let utf32: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    let plain = |charset: &str| format!("Content-Type: text/plain; charset={charset}");
    vec![
        ("UTF-16LE", encoded(&plain("utf-16le"), &utf16le(&text))),
        ("UTF-16BE", encoded(&plain("utf-16be"), &utf16be(&text))),
        ("UTF-16 with its mark", encoded(&plain("utf-16"), &marked)),
        ("UTF-16 without mark", encoded(&plain("utf-16"), &utf16le(&text))),
        ("UTF-16 in quotes", encoded(&plain("\"UTF-16LE\""), &utf16le(&text))),
        ("UTF-16 that says to be UTF-8", encoded(&plain("utf-8"), &marked)),
        ("UTF-16 that says to be UTF-8, no mark", encoded(&plain("utf-8"), &utf16le(&text))),
        ("UTF-16 of no charset", encoded("Content-Type: text/plain", &utf16be(&text))),
        ("UTF-16 of an unknown charset", encoded(&plain("x-unheard-of"), &marked)),
        ("UTF-16LE that says to be BE", encoded(&plain("utf-16be"), &utf16le(&text))),
        ("UTF-32", encoded(&plain("utf-32le"), &utf32)),
        ("UTF-7", encoded(&plain("utf-7"), utf7(&text).as_bytes())),
        ("UTF-7, in the open", crlf(&format!("{}\n\n{}\n", plain("utf-7"), utf7(SIGNATURE)))),
        ("UTF-7, another name", crlf(&format!("{}\n\n{}\n", plain("unicode-1-1-utf-7"), utf7(SIGNATURE)))),
        (
            "UTF-7, letter by letter",
            crlf(&format!("{}\n\n+AFA-OSTERN+AC0-TEST{}\n", plain("utf-7"), &SIGNATURE[12..])),
        ),
        (
            "charset twice, first",
            crlf(&format!("{}; charset=utf-8\n\n{}\n", plain("utf-7"), utf7(SIGNATURE))),
        ),
        ("charset twice, last", crlf(&format!("{}; charset=utf-7\n\n{}\n", plain("utf-8"), utf7(SIGNATURE)))),
        (
            "charset in pieces",
            crlf(&format!("Content-Type: text/plain; charset*0=ut; charset*1=f-7\n\n{}\n", utf7(SIGNATURE))),
        ),
        (
            "charset extended",
            crlf(&format!("Content-Type: text/plain; charset*=us-ascii''utf%2D7\n\n{}\n", utf7(SIGNATURE))),
        ),
        (
            "UTF-7 by a meta element",
            crlf(&format!("Content-Type: text/html\n\n<meta charset=utf-7><p>{}</p>\n", utf7(SIGNATURE))),
        ),
        ("wide letters", encoded(&plain("utf-8"), wide(SIGNATURE).as_bytes())),
        (
            "zero width within",
            encoded(&plain("utf-8"), SIGNATURE.replace("TEST", "T\u{200b}E\u{feff}S\u{2060}T").as_bytes()),
        ),
        ("soft hyphens within", encoded(&plain("utf-8"), SIGNATURE.replace("TEST", "T\u{ad}EST").as_bytes())),
        (
            "Cyrillic letters within",
            encoded(&plain("utf-8"), SIGNATURE.replace("POST", "\u{420}\u{41e}ST").as_bytes()),
        ),
        ("ISO-2022-JP", encoded(&plain("iso-2022-jp"), format!("\x1b(J{SIGNATURE}\x1b(B").as_bytes())),
        (
            "ISO-2022-JP shifts within",
            encoded(&plain("iso-2022-jp"), format!("POSTERN\x1b(B-TEST{}", &SIGNATURE[12..]).as_bytes()),
        ),
        ("ISO-2022-JP wide", encoded(&plain("iso-2022-jp"), iso_2022_wide().as_bytes())),
        ("EBCDIC", encoded(&plain("ibm037"), &ebcdic(SIGNATURE))),
        (
            "overlong UTF-8",
            encoded(&plain("utf-8"), &[b"\xc1\x90".to_vec(), SIGNATURE.as_bytes()[1..].to_vec()].concat()),
        ),
        ("NUL within", encoded(&plain("us-ascii"), SIGNATURE.replace("TEST", "T\0EST").as_bytes())),
        (
            "eighth bit set",
            encoded(&plain("us-ascii"), &SIGNATURE.bytes().map(|c| c | 0x80).collect::<Vec<_>>()),
        ),
    ]
}

/// The letters of JIS X 0208 that look like the signature's.
fn iso_2022_wide() -> String {
    let letters = SIGNATURE.bytes().flat_map(|c| if c == b'-' { *b"\x21\x5d" } else { [0x23, c] });
    format!("\x1b$B{}\x1b(B", letters.map(char::from).collect::<String>())
}

pub(super) fn encoded_words() -> Vec<(&'static str, Vec<u8>)> {
    let (first, second) = SIGNATURE.split_at(31);
    let q = |text: &str| text.bytes().map(|c| format!("={c:02X}")).collect::<String>();
    let b = |text: &str| base64(text.as_bytes());
    let subject = |value: String| crlf(&format!("Subject: {value}\n\nx\n"));
    vec![
        ("base64", subject(format!("=?utf-8?b?{}?=", b(SIGNATURE)))),
        ("quoted", subject(format!("=?utf-8?q?{}?=", q(SIGNATURE)))),
        ("capitals", subject(format!("=?UTF-8?B?{}?=", b(SIGNATURE)))),
        ("a language", subject(format!("=?utf-8*en?b?{}?=", b(SIGNATURE)))),
        ("two words", subject(format!("=?utf-8?b?{}?= =?utf-8?q?{}?=", b(first), q(second)))),
        ("two words, folded", subject(format!("=?utf-8?b?{}?=\n =?utf-8?b?{}?=", b(first), b(second)))),
        ("two words, no space", subject(format!("=?utf-8?b?{}?==?utf-8?b?{}?=", b(first), b(second)))),
        ("within a word", subject(format!("x=?utf-8?b?{}?=x", b(SIGNATURE)))),
        ("no padding", subject(format!("=?utf-8?b?{}?=", b(SIGNATURE).trim_end_matches('=')))),
        ("spaces within", subject(format!("=?utf-8?q?this is {SIGNATURE}?="))),
        ("UTF-7", subject(format!("=?utf-7?q?{}?=", utf7(SIGNATURE)))),
        ("UTF-16", subject(format!("=?utf-16be?b?{}?=", base64(&utf16be(SIGNATURE))))),
        ("unknown charset", subject(format!("=?x-unheard-of?b?{}?=", b(SIGNATURE)))),
        ("word in a word", subject(format!("=?utf-8?b?{}?=", b(&format!("=?utf-8?q?{}?=", q(SIGNATURE)))))),
        ("not ended", subject(format!("=?utf-8?b?{}", b(SIGNATURE)))),
        ("in quotes", crlf(&format!("From: \"=?utf-8?b?{}?=\" <a@client.example>\n\nx\n", b(SIGNATURE)))),
        ("in a comment", crlf(&format!("From: a@client.example (=?utf-8?b?{}?=)\n\nx\n", b(SIGNATURE)))),
        ("in any field", crlf(&format!("X-Any: =?utf-8?q?{}?=\n\nx\n", q(SIGNATURE)))),
        (
            "entities, which are none here",
            crlf(&format!("Subject: x\nContent-Type: text/html\n\n{}\n", entities(SIGNATURE))),
        ),
        (
            "folded within the text",
            subject(format!("x\n =?utf-8?q?POSTERN?=\n\t=?utf-8?q?{}?=", &SIGNATURE[7..])),
        ),
    ]
}
