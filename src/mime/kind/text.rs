//! Kinds of text, by how they begin and by words that nothing else has.
//!
//! A script is told by a score: some marks are enough by themselves, others, which also stand in
//! prose about scripts, only two together.

use memchr::{memchr, memchr_iter, memchr2, memchr3, memmem};

use super::Kind;

/// How a text begins, in lower case, white space passed over.
const BEGINNINGS: &[(&str, Kind)] = &[
    ("#!", Kind::Script),
    ("#@~^", Kind::Script), // encoded JScript and VBScript
    ("on error resume next", Kind::Script),
    ("option explicit", Kind::Script),
    ("@echo", Kind::Script),
    ("@setlocal", Kind::Script),
    ("echo off", Kind::Script),
    ("windows registry editor", Kind::Script),
    ("regedit4", Kind::Script),
    ("[autorun]", Kind::Script),
    ("[version]\r\nsignature", Kind::Script), // INF
    ("\"use strict\"", Kind::Script),
    ("'use strict'", Kind::Script),
    ("(function", Kind::Script),
    ("!function", Kind::Script),
    ("var _0x", Kind::Script),
    ("const _0x", Kind::Script),
    ("function _0x", Kind::Script),
    ("attribute vb_name", Kind::Script),
    ("[cmdletbinding", Kind::Script),
    ("<?php", Kind::Script),
    ("<%", Kind::Script),
    ("[internetshortcut]", Kind::Shortcut),
    ("[{000214a0", Kind::Shortcut),
    ("[shell]", Kind::Shortcut),
    ("[desktop entry]", Kind::Shortcut),
    ("id;p", Kind::Office), // SYLK: a spreadsheet with formulas
    ("begin:vcalendar", Kind::Calendar),
    ("begin:vcard", Kind::Contact),
    ("-----begin pgp", Kind::Pgp),
    ("-----begin ", Kind::Certificate),
];

/// What stands before and behind a character, and what that weighs.
type Mark = (&'static str, &'static str, u32);

/// What only scripts have, by its least common character. Looking at those alone makes ordinary text
/// cheap, which every message has.
const MARKS: &[(u8, &[Mark])] = &[
    (
        b'(',
        &[
            ("new activexobject", "", 2),
            ("createobject", "\"", 2),
            ("createobject", "'", 2),
            ("getobject", "\"winmgmts", 2),
            ("execute", "", 1),
            ("eval", "", 1),
            ("unescape", "", 1),
            ("fromcharcode", "", 1),
            ("charcodeat", "", 1),
            ("function", "", 1),
            ("function ", "", 1),
            ("downloadstring", "", 1),
            ("downloadfile", "", 1),
        ],
    ),
    (
        b'.',
        &[
            ("wscript", "shell", 2),
            ("wscript", "createobject", 2),
            ("wscript", "scriptfullname", 2),
            ("shell", "application", 2),
            ("scripting", "filesystemobject", 2),
            ("msxml2", "xmlhttp", 2),
            ("wscript", "", 1),
        ],
    ),
    (b'[', &[("", "system.convert]::frombase64string", 2), ("", "system.reflection.assembly]", 2)]),
    (
        b'-',
        &[
            ("new", "object net.webclient", 2),
            ("new", "object system.net.webclient", 2),
            ("powershell ", "e", 2),
            ("powershell.exe ", "e", 2),
            ("", "windowstyle hidden", 2),
            ("invoke", "expression", 1),
            ("invoke", "webrequest", 1),
            ("start", "process ", 1),
            ("start", "sleep ", 1),
            ("write", "host ", 1),
            ("set", "executionpolicy", 1),
        ],
    ),
    (b'$', &[("", "env:", 1)]),
    (b'/', &[("cmd ", "c ", 1), ("cmd.exe ", "c ", 1)]),
    (b'%', &[("", "~dp0", 2), ("", "comspec%", 1), ("", "temp%", 1), ("", "appdata%", 1)]),
];

/// Marks without such a character.
const WORDS: &[&str] = &["on error resume next", "end sub", "end function", "setlocal enabledelayed"];

/// Beginnings that weigh as one weak mark.
const WEAK_BEGINNINGS: &[&str] =
    &["var ", "function ", "const ", "try{", "try {", "dim ", "sub ", "private ", "param(", "param (", "$"];

/// How HTML begins (the WHATWG's list, and some more that mail has).
const TAGS: &[&str] = &[
    "!doctype html",
    "!--",
    "html",
    "head",
    "body",
    "script",
    "iframe",
    "style",
    "title",
    "table",
    "div",
    "span",
    "font",
    "center",
    "meta",
    "link",
    "form",
    "base",
    "img",
    "h1",
    "a",
    "b",
    "p",
    "br",
];

/// Fields that a message begins with.
const FIELDS: &[&str] = &[
    "received:",
    "return-path:",
    "delivered-to:",
    "message-id:",
    "mime-version:",
    "from:",
    "to:",
    "date:",
    "subject:",
    "x-",
    "arc-",
    "dkim-signature:",
    "content-type:",
];

/// The kind of text that `head` begins; none if it is no text.
pub(super) fn decide(head: &[u8]) -> Option<Kind> {
    let text = plain(head)?;
    let start = text.trim_ascii_start();
    let has = |word: &str| memmem::find(start, word.as_bytes()).is_some();
    let begins_with =
        |word: &str| start.first() == word.as_bytes().first() && start.starts_with(word.as_bytes());
    let begins = BEGINNINGS.iter().find(|(word, _)| begins_with(word));
    if let Some((_, kind)) = begins {
        return Some(*kind);
    }
    if start.starts_with(b"<")
        && let Some(kind) = markup(start, has)
    {
        return Some(kind);
    }
    let marked = memchr2(b'<', b'[', start).is_some();
    Some(if marked && has("[internetshortcut]") {
        Kind::Shortcut
    } else if marked && has("<hta:application") || is_script(start, has) {
        Kind::Script
    } else if marked && (has("<!doctype html") || has("<html")) {
        Kind::Html
    } else if is_message(start) {
        Kind::Email
    } else {
        Kind::Text
    })
}

/// The text as lower-case ASCII, other characters kept as they are; none if it holds control
/// characters that text has not. UTF-16 loses its other half: marks are ASCII.
fn plain(head: &[u8]) -> Option<Vec<u8>> {
    let wide = |head: &[u8], skip: usize| head.iter().copied().skip(skip).step_by(2).collect::<Vec<u8>>();
    let mut text = match head {
        [0xff, 0xfe, rest @ ..] => wide(rest, 0),
        [0xfe, 0xff, rest @ ..] => wide(rest, 1),
        [0xef, 0xbb, 0xbf, rest @ ..] => rest.to_vec(),
        // Without its mark, as programs write and others guess it.
        [b'\t'..=b'~', 0, b'\t'..=b'~', 0, ..] => wide(head, 0),
        [0, b'\t'..=b'~', 0, b'\t'..=b'~', ..] => wide(head, 1),
        _ => head.to_vec(),
    };
    let utf16 = text.len() < head.len() / 2 + 2;
    let control =
        |octet: &u8| *octet < b' ' && !matches!(octet, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b) || *octet == 0x7f;
    if !utf16 && text.iter().fold(false, |found, octet| found | control(octet)) {
        // A browser passes over NULs and shows the rest.
        text.retain(|octet| *octet != 0);
        let start = text.trim_ascii_start();
        let html = [&b"<html"[..], b"<!doctype html", b"<script"];
        if !html.iter().any(|tag| start.get(..tag.len()).is_some_and(|front| front.eq_ignore_ascii_case(tag)))
        {
            return None;
        }
    }
    text.make_ascii_lowercase();
    Some(text)
}

/// What begins with `<`.
fn markup(start: &[u8], has: impl Fn(&str) -> bool) -> Option<Kind> {
    let any = |words: &[&str]| words.iter().any(|word| has(word));
    if has("<hta:application") {
        Some(Kind::Script)
    } else if any(&["<!doctype html", "<html"]) {
        Some(Kind::Html)
    } else if any(&["<scriptlet", "<component", "<job", "<package>"]) && has("<script") {
        Some(Kind::Script)
    } else if any(&["<librarydescription", "<searchconnectordescription", "<pcsettings"]) {
        Some(Kind::Shortcut)
    } else if any(&["<svg", "<!doctype svg"]) {
        Some(Kind::Svg)
    } else if any(&["macrospresent=\"yes\"", "bindata w:name=\"editdata.mso\""]) {
        Some(Kind::OfficeMacro)
    } else if any(&["schemas.microsoft.com/office/", "urn:schemas-microsoft-com:office", "mso-application"]) {
        Some(Kind::Office)
    } else if start.starts_with(b"<?xml") {
        Some(Kind::Xml)
    } else if begins_html(start) {
        Some(Kind::Html)
    } else {
        None
    }
}

/// A tag by its whole name: `<abc>` is none, although it begins with `<a`.
fn begins_html(start: &[u8]) -> bool {
    let Some(inside) = start.get(1..) else { return false };
    TAGS.iter().any(|tag| {
        let rest = inside.strip_prefix(tag.as_bytes());
        rest.is_some_and(|rest| *tag == "!--" || !rest.first().is_some_and(u8::is_ascii_alphanumeric))
    })
}

fn is_script(start: &[u8], has: impl Fn(&str) -> bool) -> bool {
    // Without anything called or set there is no program, but what starts one.
    let calls = memchr3(b'(', b'=', b'%', start).is_some() || memchr(b'$', start).is_some();
    if !calls && !has("powershell") {
        return false;
    }
    let begins = WEAK_BEGINNINGS.iter().any(|mark| start.starts_with(mark.as_bytes()));
    let words = WORDS.iter().filter(|word| has(word)).count();
    let mut weight = usize::from(begins) + words;
    for (character, marks) in MARKS {
        weight += weigh(start, *character, marks);
        if weight >= 2 {
            return true;
        }
    }
    false
}

/// What the marks of one character weigh, each counted once.
fn weigh(start: &[u8], character: u8, marks: &[Mark]) -> usize {
    let mut met = 0_u32;
    for at in memchr_iter(character, start) {
        let (before, behind) = (start.get(..at).unwrap_or_default(), start.get(at + 1..).unwrap_or_default());
        for (bit, (front, back, _)) in marks.iter().enumerate() {
            // Mostly the nearest character differs, which costs no call.
            let near = front.as_bytes().last().is_none_or(|octet| before.last() == Some(octet));
            if near && before.ends_with(front.as_bytes()) && behind.starts_with(back.as_bytes()) {
                met |= 1 << bit;
            }
        }
    }
    marks.iter().enumerate().filter(|(bit, _)| met >> bit & 1 == 1).map(|(_, mark)| mark.2 as usize).sum()
}

/// A field that messages have, and another one below it.
fn is_message(start: &[u8]) -> bool {
    let field = |line: &[u8]| FIELDS.iter().any(|name| line.starts_with(name.as_bytes()));
    let mut lines = start.split(|&octet| octet == b'\n');
    let first = lines.next().unwrap_or_default();
    (first.starts_with(b"from ") || field(first) && first.contains(&b':'))
        && lines.take(20).any(|line| field(line) && line.contains(&b':'))
}
