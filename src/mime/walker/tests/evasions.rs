//! Messages written so that one reader sees a file and another does not.
//!
//! Each row hides the same content. It must come out in some reading, or a serious defect must say
//! that the message can be read in more than one way. The rows are of our own making, after the
//! classes that are published: fields that conflict or are disguised, parameters, delimiters, nesting,
//! encodings, names.

use super::{Told, crlf, walk_with};
use crate::mime::{Bounds, Walker};

const NEEDLE: &str = "needle in a haystack";
/// It, with more around it, in base64.
const BASE64: &str = "dGhlcmUgaXMgYSBuZWVkbGUgaW4gYSBoYXlzdGFjaywgYW5kIG1vcmUgdGhhbiBvbmUgbGluZSBv\n\
                      ZiB0ZXh0IGFyb3VuZCBpdCBzbyB0aGF0IGl0IGlzIGVuY29kZWQgYXMgZmlsZXMgYXJlLg==\n";
const QUOTED: &str =
    "=6E=65=65=64=6C=65=20=69=6E=20=61=20=68=61=79=73=\n=74=61=63=6B=20=61=6E=64=20=6D=6F=72=65\n";

fn tell(message: &str) -> Told {
    let content = crlf(message);
    let mut walker = Walker::new(Bounds::default());
    let whole = walk_with(&mut walker, [content.as_bytes()]);
    for chunk in [1, 7, 100] {
        let told = walk_with(&mut walker, content.as_bytes().chunks(chunk));
        assert_eq!(told, whole, "chunks of {chunk}: {message}");
    }
    whole
}

#[track_caller]
fn check(rows: &[&str], message: impl Fn(&str) -> String) {
    for row in rows {
        let message = message(&row.replace("{64}", BASE64).replace("{qp}", QUOTED));
        let told = tell(&message);
        assert!(told.shows(NEEDLE) || told.is_serious(), "silent: {message}\n{:#?}", told.outline());
    }
}

/// The same for names: one of those told ends as the row says, or the defect is serious.
#[track_caller]
fn check_name(rows: &[&str], message: impl Fn(&str) -> String) {
    for row in rows {
        let told = tell(&message(row));
        let named = told.parts[0].names.iter().any(|name| name.ends_with(".exe"));
        assert!(named || told.is_serious(), "silent: {row} {:?}", told.parts[0].names);
    }
}

/// A file as a part, after one of text, with `fields` for its encoding and `body`.
fn file(fields: &str, body: &str) -> String {
    format!(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n--b\n\ntext\n--b\n\
         Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=\"x.bin\"\n\
         {fields}\n{body}\n--b--\n"
    )
}

/// The same with `field` for the type of the whole, and delimiters of `boundary`.
fn whole(field: &str, boundary: &str) -> String {
    format!(
        "MIME-Version: 1.0\n{field}\n\n--{boundary}\n\ntext\n--{boundary}\n\
         Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n{BASE64}--{boundary}--\n"
    )
}

const ENCODINGS: &[&str] = &[
    "Content-Transfer-Encoding: base64\n",
    "content-transfer-encoding:base64\n",
    "Content-Transfer-Encoding: BaSe64\n",
    "Content-Transfer-Encoding:\n base64\n",
    "Content-Transfer-Encoding:\n\tbase64\n",
    "Content-Transfer-Encoding : base64\n",
    "Content-Transfer-Encoding\t: base64\n",
    "Content-Transfer-Encoding\n : base64\n",
    " Content-Transfer-Encoding: base64\n",
    "\tContent-Transfer-Encoding: base64\n",
    "Content-Transfer-Encoding:: base64\n",
    "Content-Transfer-Encoding; base64\n",
    "Content-Transfer-Encoding base64\n",
    "Content-Transfer-Encoding= base64\n",
    "Content-Transfer-Enc(x)oding: base64\n",
    "Content-Transfer-Encoding(x): base64\n",
    "Content-Transfer Encoding: base64\n",
    "Content Transfer Encoding: base64\n",
    "\u{1}Content-Transfer-Encoding: base64\n",
    "Content-Transfer-Encoding\u{b}: base64\n",
    "Content-Transfer-Encoding: \u{b}base64\n",
    "Content-Transfer-Encoding: \"base64\"\n",
    "Content-Transfer-Encoding: 'base64'\n",
    "Content-Transfer-Encoding: base64;\n",
    "Content-Transfer-Encoding: ;base64\n",
    "Content-Transfer-Encoding: base64; x=y\n",
    "Content-Transfer-Encoding: base64 (x)\n",
    "Content-Transfer-Encoding: (x) base64\n",
    "Content-Transfer-Encoding: (x base64\n",
    "Content-Transfer-Encoding: bas(x)e64\n",
    "Content-Transfer-Encoding: base\\64\n",
    "Content-Transfer-Encoding: base 64\n",
    "Content-Transfer-Encoding: base64 base64\n",
    "Content-Transfer-Encoding: base64,7bit\n",
    "Content-Transfer-Encoding: 7bit, base64\n",
    "Content-Transfer-Encoding: quoted-printable, base64\n",
    "Content-Transfer-Encoding: x-base64\n",
    "Content-Transfer-Encoding: base64x\n",
    "Content-Transfer-Encoding: xbase64\n",
    "Content-Transfer-Encoding: 64\n",
    "Content-Transfer-Encoding: b\n",
    "Content-Transfer-Encoding: =?us-ascii?q?base64?=\n",
    "Content-Transfer-Encoding: =?us-ascii?b?YmFzZTY0?=\n",
    "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit\n",
    "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n",
    "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: quoted-printable\n",
    "Content-Transfer-Encoding: x\nContent-Transfer-Encoding: base64\n",
    "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: x\n",
    "Content-Transfer-Encoding:\nContent-Transfer-Encoding: base64\n",
    "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding:\n",
    "X: y\n \nContent-Transfer-Encoding: base64\n",
    "junk\nContent-Transfer-Encoding: base64\n",
    "j\u{fc}nk\nContent-Transfer-Encoding: base64\n",
    ": x\nContent-Transfer-Encoding: base64\n",
    "X-Junk\n Content-Transfer-Encoding: base64\n",
    "X: \0\nContent-Transfer-Encoding: base64\n",
    "",
];

#[test]
fn encodings_said_oddly() {
    check(ENCODINGS, |row| file(row, BASE64));
}

const SECTIONS: &[&str] = &[
    "Content-Transfer-Encoding: base64\n{64}",
    "Content-Transfer-Encoding: base64\n \n{64}",
    "Content-Transfer-Encoding: base64\n\t\n{64}",
    "Content-Transfer-Encoding: base64\nAAAA\n{64}",
    "Content-Transfer-Encoding: base64\nx\n\n{64}",
    "\nContent-Transfer-Encoding: base64\n\n{64}",
    "\n\nContent-Transfer-Encoding: base64\n\n{64}",
    "\nContent-Transfer-Encoding: base64\n{64}",
    "\n Content-Transfer-Encoding: base64\n\n{64}",
    "\na line\nContent-Transfer-Encoding: base64\n\n{64}",
    "Content-Transfer-Encoding: base64\n--\n\n{64}",
    "--x\nContent-Transfer-Encoding: base64\n\n{64}",
    "Content-Transfer-Encoding: base64\r \n\n{64}",
];

#[test]
fn header_sections_that_end_oddly() {
    check(SECTIONS, |row| {
        format!(
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n--b\n\ntext\n--b\n\
             Content-Type: application/octet-stream\n{row}\n--b--\n"
        )
    });
    check(SECTIONS, |row| format!("MIME-Version: 1.0\nContent-Type: application/octet-stream\n{row}\n"));
}

const TYPES: &[&str] = &[
    "Content-Type: multipart/mixed; boundary=\"b\"",
    "Content-Type: MULTIPART/Mixed; BOUNDARY=\"b\"",
    "Content-Type:multipart/mixed;boundary=b",
    "Content-Type: multipart/mixed;\n boundary=b",
    "Content-Type: multipart/mixed;\n\n boundary=b",
    "Content-Type: multipart/mixed; boundary=\n b",
    "Content-Type: multipart/mixed; boundary\n =b",
    "Content-Type: multipart/mixed; boundary = b",
    "Content-Type: multipart/mixed; boundary =\tb",
    "Content-Type: multipart/mixed boundary=b",
    "Content-Type: multipart/mixed, boundary=b",
    "Content-Type: multipart/mixed: boundary=b",
    "Content-Type: multipart/mixed;; boundary=b",
    "Content-Type: multipart/mixed; ; boundary=b;",
    "Content-Type: multipart/mixed; x; boundary=b",
    "Content-Type: multipart/mixed; x=y boundary=b",
    "Content-Type: multipart/mixed; x=\"y\" boundary=b",
    "Content-Type: multipart/mixed; x=\"; boundary=b",
    "Content-Type: multipart/mixed; x=\"; boundary=b\"",
    "Content-Type: multipart/mixed; x=\"\\\"; boundary=b\"",
    "Content-Type: multipart/mixed; (; boundary=b)",
    "Content-Type: multipart/mixed; (x) boundary=b",
    "Content-Type: multipart/mixed; bound(x)ary=b",
    "Content-Type: multipart/mixed; boundary(x)=b",
    "Content-Type: multipart/mixed; boundary=(x)b",
    "Content-Type: multipart/mixed; boundary=b(x)",
    "Content-Type: multipart/mixed; boundary=b (x",
    "Content-Type: multipart/mixed; boundary=\"b",
    "Content-Type: multipart/mixed; boundary=b\"",
    "Content-Type: multipart/mixed; boundary='b'",
    "Content-Type: multipart/mixed; boundary=\"\\b\"",
    "Content-Type: multipart/mixed; boundary=\\b",
    "Content-Type: multipart/mixed; boundary=\"b \"",
    "Content-Type: multipart/mixed; boundary=\" b\"",
    "Content-Type: multipart/mixed; boundary=\"b\"x",
    "Content-Type: multipart/mixed; boundary=x\"b\"",
    "Content-Type: multipart/mixed; boundary=\"b\";boundary=\"c\"",
    "Content-Type: multipart/mixed; boundary=\"c\";boundary=\"b\"",
    "Content-Type: multipart/mixed; boundary=\"\";boundary=\"b\"",
    "Content-Type: multipart/mixed; boundary=c; boundary*=b",
    "Content-Type: multipart/mixed; boundary=b; boundary*=''c",
    "Content-Type: multipart/mixed; boundary=c; boundary*0=b",
    "Content-Type: multipart/mixed; boundary*=us-ascii''b",
    "Content-Type: multipart/mixed; boundary*=us-ascii''%62",
    "Content-Type: multipart/mixed; boundary*=utf-16be''%00b",
    "Content-Type: multipart/mixed; boundary*=b",
    "Content-Type: multipart/mixed; boundary*0=b",
    "Content-Type: multipart/mixed; boundary*0*=''%62",
    "Content-Type: multipart/mixed; boundary*0=\"\"; boundary*1=b",
    "Content-Type: multipart/mixed; boundary*1=b; boundary*0=\"\"",
    "Content-Type: multipart/mixed; boundary*1=b",
    "Content-Type: multipart/mixed; boundary*0=b; boundary*2=c",
    "Content-Type: multipart/mixed; boundary*0=b; boundary*0=c",
    "Content-Type: multipart/mixed; boundary*00=b",
    "Content-Type: multipart/mixed; boundary*x=b",
    "Content-Type: multipart/mixed; boundary==?us-ascii?q?b?=",
    "Content-Type: multipart/mixed; boundary=\"=?us-ascii?b?Yg==?=\"",
    "Content-Type: multipart/mixed; oundary=b",
    "Content-Type: multipart/mixed; boundary",
    "Content-Type: multipart/mixed; boundary=",
    "Content-Type: multipart/mixed; boundary=\"\"",
    "Content-Type: multipart/mixed; boundary=\" \"",
    "Content-Type: multipart/mixed",
    "Content-Type: multipart; boundary=b",
    "Content-Type: multipart/; boundary=b",
    "Content-Type: /mixed; boundary=b",
    "Content-Type: multipart mixed; boundary=b",
    "Content-Type: multipart\\mixed; boundary=b",
    "Content-Type: multi part/mixed; boundary=b",
    "Content-Type: multi(x)part/mixed; boundary=b",
    "Content-Type: (x)multipart/mixed; boundary=b",
    "Content-Type: (multipart/mixed; boundary=b",
    "Content-Type: \"multipart/mixed\"; boundary=b",
    "Content-Type: x-multipart/mixed; boundary=b",
    "Content-Type: multipartx/mixed; boundary=b",
    "Content-Type: =?us-ascii?q?multipart/mixed?=; boundary=b",
    "Content-Type: =?us-ascii?b?bXVsdGlwYXJ0L21peGVk?=; boundary=b",
    "Content-Type: text/plain, multipart/mixed; boundary=b",
    "Content-Type: text/plain; boundary=b",
    "Content-Type: message/rfc822; boundary=b",
    "Content-Type: boundary=b",
    "Content-Type: ; boundary=b",
    "Content-Type:",
    "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b",
    "Content-Type: multipart/mixed; boundary=b\nContent-Type: text/plain",
    "Content-Type: multipart/mixed; boundary=b\nContent-Type: multipart/mixed; boundary=c",
    "Content-Type: multipart/mixed; boundary=c\nContent-Type: multipart/mixed; boundary=b",
    "Content-Type: message/rfc822\nContent-Type: multipart/mixed; boundary=b",
    "Content-Type : multipart/mixed; boundary=b",
    "Content-Type\n : multipart/mixed; boundary=b",
    " Content-Type: multipart/mixed; boundary=b",
    "X-A\n Content-Type: multipart/mixed; boundary=b",
    "X-A: b\n Content-Type: multipart/mixed; boundary=b",
    "X-A: b\n \nContent-Type: multipart/mixed; boundary=b",
    "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64",
    "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: quoted-printable",
    "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: x",
    "X-A: b",
];

#[test]
fn types_said_oddly() {
    check(TYPES, |row| whole(row, "b"));
}

#[test]
fn boundaries_of_odd_characters() {
    for boundary in
        ["=_x;y", "a b", "a\\b", "a\"b", "a'b", "a(b", "a:b/c?d=e", "######", "--", "-", "b--", "b\u{fc}"]
    {
        let quoted = boundary.replace('\\', "\\\\").replace('"', "\\\"");
        check(&[&format!("Content-Type: multipart/mixed; boundary=\"{quoted}\"")], |row| {
            whole(row, boundary)
        });
        check(&[&format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"")], |row| {
            whole(row, boundary)
        });
        check(&[&format!("Content-Type: multipart/mixed; boundary={boundary}")], |row| whole(row, boundary));
    }
    let long = "b".repeat(1000);
    check(&[&format!("Content-Type: multipart/mixed; boundary={long}")], |row| whole(row, &long));
}

#[test]
fn delimiters_written_oddly() {
    let part = "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n{64}";
    let lines = [
        "--b\n",
        "--b \n",
        "--b\t \n",
        "--b\u{b}\n",
        "--b x\n",
        "--bx\n",
        "--b;\n",
        "--b\0\n",
        " --b\n",
        "\t --b\n",
        "--b-\n",
        "--b--\n",
        "--b--x\n",
        "--b -- \n",
        "\r--b\n",
        " \r--b\n",
        "--b\r\r\n",
        "--b\n \n",
        "--b\nX\n",
        "--b\n--b\n",
        "--b--\n--b\n",
        "--b--\n\n--b\n",
    ];
    for line in lines {
        check(&[part], |row| {
            format!(
                "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n{line}{row}--b--\n"
            )
        });
        check(&[part], |row| {
            format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n{line}{row}--b--\n")
        });
        check(&[part], |row| {
            format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n{line}{row}")
        });
    }
}

const STRUCTURES: &[&str] = &[
    // The same boundary inside and outside.
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{i}--b--\n--b--\n",
    // One is the other's end.
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b--\n\n--b--\n{i}--b----\n--b--\n",
    // One begins like the other.
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n{i}--bb--\n--b--\n",
    "Content-Type: multipart/mixed; boundary=bb\n\n--bb\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{i}--b--\n--bb--\n",
    // The outer delimiter within the inner header section.
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n--b\n\n--c\n{i}--c--\n--b--\n",
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n--b--\n\n--c\n{i}--c--\n--b--\n",
    "Content-Type: multipart/mixed; boundary=b\n--b--\n\n--b\n{i}--b--\n",
    "Content-Type: multipart/mixed; boundary=b\n--b\n\n--b\n{i}--b--\n",
    // Nothing ends, or everything twice.
    "Content-Type: multipart/mixed; boundary=b\n\n--b\n{i}",
    "Content-Type: multipart/mixed; boundary=b\n\n--b--\n--b\n{i}--b--\n",
    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n--b\n{i}",
    // Messages.
    "Content-Type: message/rfc822\n\n{i}",
    "Content-Type: message/global\n\n{i}",
    "Content-Type: message/news\n\n{i}",
    "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n{i}",
    "Content-Type: message/rfc822\n\n\n{i}",
    "Content-Type: multipart/digest; boundary=b\n\n--b\n\n{i}--b--\n",
    // Outside of the parts.
    "Content-Type: multipart/mixed; boundary=b\n\n{i}--b\n\nx\n--b--\n",
    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n{i}",
    "Content-Type: multipart/mixed; boundary=b\n\n{i}",
    // No type at all.
    "X: y\n\n--b\n{i}--b--\n",
    "\n--b\n{i}--b--\n",
    "{i}",
    "\n{i}",
];

#[test]
fn structures_within_each_other() {
    let inner = "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n{64}";
    check(STRUCTURES, |row| {
        format!("MIME-Version: 1.0\n{}", row.replace("{i}", &inner.replace("{64}", BASE64)))
    });
}

#[test]
fn base64_written_oddly() {
    let plain = BASE64.replace('\n', "");
    let every = |step: usize, junk: &str| {
        let pieces: Vec<&str> =
            plain.as_bytes().chunks(step).map(|it| std::str::from_utf8(it).unwrap()).collect();
        pieces.join(junk)
    };
    for junk in
        ["\n", "\n\n", " ", "\t", " \n", "-", ".", "#", "%", "_", ":", "=", "==", "\u{b}", "\0", "\u{fc}"]
    {
        for step in [1, 2, 3, 4, 5, 60] {
            let body = every(step, junk);
            check(&[&body], |row| file("Content-Transfer-Encoding: base64\n", &format!("{row}\n")));
        }
    }
    let rows = [
        "AAAA====\n{64}",
        "AA==\n{64}",
        "begin-base64 644 x\n{64}====\n",
        "a line of text\n\n{64}",
        "=\n{64}",
        "{64}{64}",
        "dGhlcmUgaXMgYSBuZWVkbGUgaW4g==YSBoYXlzdGFjaw==\n",
        "dGhlcmUgaXMgYSBuZWVkbGU=\nIGluIGEgaGF5c3RhY2s=\n",
    ];
    check(&rows, |row| file("Content-Transfer-Encoding: base64\n", row));
}

#[test]
fn quoted_printable_written_oddly() {
    let rows = [
        "{qp}",
        "=6e=65=65=64=6c=65 in a haystack\n",
        "need=\n=6Ce in a hay=\nstack\n",
        "need= \n=6Ce in a hay=\t\nstack\n",
        "\tneed=\n le in a haystack\n",
        "nee=\x12dle in a haystack\n",
        "nee\u{b}dle in a haystack\n",
        "nee\u{fc}dle in a haystack\n",
        "nee=dle in a haystack\n",
        "nee==dle in a haystack\n",
        "nee=2=64le in a haystack\n",
        "nee=XXdle in a haystack\n",
        "nee=@dle in a haystack\n",
        "nee= dle in a haystack\n",
        "nee=0xdle in a haystack\n",
        "needle in a haystack=",
        "needle in a hay=\r=73tack\n",
        "needle \nin a hay\n\nstack\n",
    ];
    check(&rows, |row| file("Content-Transfer-Encoding: quoted-printable\n", row));
    check(&["{qp}"], |row| file("Content-Transfer-Encoding: quoted-printable, base64\n", row));
    check(&["{qp}"], |row| {
        file("Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: quoted-printable\n", row)
    });
    check(&["{qp}"], |row| file("Content-Transfer-Encoding: qp\n", row));
    check(&["{qp}"], |row| file("", row));
}

#[test]
fn other_encodings() {
    let uuencoded = "begin 644 x.exe\n5;F5E9&QE(&EN(&$@:&%Y<W1A8VL`\n`\nend\n";
    check(&[uuencoded], |row| file("Content-Transfer-Encoding: x-uuencode\n", row));
    check(&[uuencoded], |row| file("Content-Transfer-Encoding: uue\n", row));
    check(&[uuencoded], |row| format!("MIME-Version: 1.0\nContent-Type: text/plain\n\nHello\n\n{row}"));
    check(&[uuencoded], |row| format!("\n{row}"));
    for encoding in ["binhex", "mac-binhex40", "yencode", "x-gzip64", "gzip", "8", "base64url"] {
        check(&["{64}"], |row| file(&format!("Content-Transfer-Encoding: {encoding}\n"), row));
    }
    check(&["=ybegin line=128 size=3 name=x\nabc\n=yend size=3\n"], |row| format!("\n{row}"));
}

const NAMES: &[&str] = &[
    "x=x.exe",
    "x=\"x.exe\"",
    "x= x.exe",
    "x =x.exe",
    "x=\n x.exe",
    "x='x.exe'",
    "x=\"x.exe",
    "x=x.exe\"",
    "x=\"x\".exe",
    "x=x\\.exe",
    "x=\"x\\.exe\"",
    "x=\"x;.exe\"",
    "x=x;.exe",
    "x=x y.exe",
    "x=x.exe(y.gif)",
    "x=x.e(y)xe",
    "x=(y)x.exe",
    "x(y)=x.exe",
    "x=\"=?utf-8?q?x=2Eexe?=\"",
    "x==?utf-8?b?eC5leGU=?=",
    "x=\"=?utf-8?q?x=2E?= =?utf-8?q?exe?=\"",
    "x=\"=?utf-16?b?AHgALgBlAHgAZQ==?=\"",
    "x*=utf-8''x.exe",
    "x*=''x%2Eexe",
    "x*=x.exe",
    "x*=utf-16be''%00x%00.%00e%00x%00e",
    "x*0=x.; x*1=exe",
    "x*1=exe; x*0=x.",
    "x*0*=''x%2E; x*1=exe",
    "x*0=x.; x*2=exe",
    "x*1=x.; x*2=exe",
    "x*0=x.; x*0=exe",
    "x*00=x.exe",
    "x*0=x.exe; x=y.txt",
    "x=y.txt; x*0=x.exe",
    "x=y.txt; x*=''x.exe",
    "x*=''y.txt; x=x.exe",
    "x=y.txt; x=x.exe",
    "x=x.exe; x=y.txt",
    "x=y.txt x=x.exe",
    "y=z; X=x.exe",
    "x*=''x.exe%00.txt",
];

#[test]
fn names_written_oddly() {
    for (field, key) in [
        ("Content-Disposition: attachment; ", "filename"),
        ("Content-Type: application/octet-stream; ", "name"),
    ] {
        check_name(NAMES, |row| format!("{field}{}\n\n", with_key(row, key)));
    }
    let both = [
        "Content-Type: a/b; name=x.exe\nContent-Disposition: attachment; filename=y.txt\n\n",
        "Content-Type: a/b; name=y.txt\nContent-Disposition: attachment; filename=x.exe\n\n",
        "Content-Type: a/b; filename=x.exe\nContent-Disposition: attachment; name=y.txt\n\n",
        "Content-Type: a/b; name*0=x.\nContent-Disposition: attachment; filename*1=exe\n\n",
        "Content-Disposition: attachment; filename=y.txt\nContent-Disposition: attachment; filename=x.exe\n\n",
        "Content-Disposition : attachment; filename=x.exe\n\n",
        "Content-Disposition: filename=x.exe\n\n",
        "Content-Disposition: ; filename=x.exe\n\n",
        "Content-Disposition: attachment filename=x.exe\n\n",
    ];
    check_name(&both, str::to_owned);
}

/// Puts `key` for each `x` that is a parameter's name.
fn with_key(row: &str, key: &str) -> String {
    let mut out = String::new();
    let mut rest = row;
    while let Some(at) = rest.find(['x', 'X']) {
        let (before, found) = rest.split_at(at);
        let begins = out.is_empty() && before.is_empty() || before.ends_with(' ');
        let names = matches!(found.as_bytes().get(1), Some(b'=' | b'*' | b' ' | b'('));
        out.push_str(before);
        out.push_str(if begins && names { key } else { &found[..1] });
        rest = &found[1..];
    }
    out + rest
}

#[test]
fn ordinary_mail_has_no_serious_defect() {
    let rows = [
        whole("Content-Type: multipart/mixed; boundary=\"b\"", "b"),
        whole("Content-Type: multipart/mixed;\n\tboundary=\"----=_Part_1_2.3\"", "----=_Part_1_2.3"),
        whole("Content-Type: multipart/mixed; type=\"text/html\"; boundary=b; charset=us-ascii", "b"),
        file("Content-Transfer-Encoding: base64\n", BASE64),
        file("Content-Transfer-Encoding: Quoted-Printable\nContent-ID: <x>\n", QUOTED),
        file("Content-Transfer-Encoding: 7bit\n", "plain words in a file\n"),
        file("Content-Transfer-Encoding: 8bit\nX-Odd : y\n", "plain words in a file\n"),
        "Content-Type: text/plain; charset=us-ascii (Plain text)\n\nx\n".to_owned(),
        "Content-Type: text\n\nx\n".to_owned(),
        "Content-Type: text/plain; charset=utf-8; format=flowed\nContent-Transfer-Encoding: 8-bit\n\nx\n"
            .to_owned(),
        "Content-Type: text/html;charset=\"utf-8\";\n\nx\n".to_owned(),
        "From x Mon Jan  1 00:00:00 2024\nSubject: x\n\nx\n".to_owned(),
        "Subject: =?utf-8?q?broken\n\n-- \nme\n--\n".to_owned(),
        "\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\nContent-Type: x\n".to_owned(),
        "Content-Disposition: attachment; filename=\"a b.txt\"; filename*=utf-8''a%20b.txt\n\n".to_owned(),
        "Content-Type: a/b; name=\"report.pdf\"\nContent-Disposition: attachment; filename=\"report.pdf\"\n\n"
            .to_owned(),
    ];
    for row in rows {
        let told = tell(&row);
        assert!(!told.is_serious(), "{row}\n{:#?}", told.outline());
    }
}
