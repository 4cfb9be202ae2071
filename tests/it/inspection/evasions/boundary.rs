//! How a multipart says where its parts begin and end, and where they really do.

use super::Row;

pub(super) const PARAMETER: &[Row] = &[
    ("spaces within", "Content-Type: multipart/mixed; boundary=\"b b\"\n\n--b b\n{A}--b b--\n"),
    ("space at its end", "Content-Type: multipart/mixed; boundary=\"b \"\n\n--b\n{A}--b--\n"),
    (
        "space at its end, in the body too",
        "Content-Type: multipart/mixed; boundary=\"b \"\n\n--b \n{A}--b --\n",
    ),
    ("empty", "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n{A}----\n"),
    ("without value", "Content-Type: multipart/mixed; boundary=\n\n--b\n{A}--b--\n"),
    ("missing", "Content-Type: multipart/mixed\n\n--b\n{A}--b--\n"),
    ("quote not closed", "Content-Type: multipart/mixed; boundary=\"b\n\n--b\n{A}--b--\n"),
    ("quote not opened", "Content-Type: multipart/mixed; boundary=b\"\n\n--b\n{A}--b--\n"),
    ("single quotes, taken off", "Content-Type: multipart/mixed; boundary='b'\n\n--b\n{A}--b--\n"),
    ("single quotes, left", "Content-Type: multipart/mixed; boundary='b'\n\n--'b'\n{A}--'b'--\n"),
    ("twice, first used", "Content-Type: multipart/mixed; boundary=b; boundary=c\n\n--b\n{A}--b--\n"),
    ("twice, last used", "Content-Type: multipart/mixed; boundary=c; boundary=b\n\n--b\n{A}--b--\n"),
    ("in two pieces", "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\n\n--ab\n{A}--ab--\n"),
    (
        "in two pieces, last first",
        "Content-Type: multipart/mixed; boundary*1=b; boundary*0=a\n\n--ab\n{A}--ab--\n",
    ),
    (
        "in pieces beside a whole one, pieces used",
        "Content-Type: multipart/mixed; boundary=c; boundary*0=a; boundary*1=b\n\n--ab\n{A}--ab--\n",
    ),
    (
        "in pieces beside a whole one, whole used",
        "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b; boundary=c\n\n--c\n{A}--c--\n",
    ),
    ("a piece is missing", "Content-Type: multipart/mixed; boundary*0=a; boundary*2=b\n\n--ab\n{A}--ab--\n"),
    (
        "a piece twice",
        "Content-Type: multipart/mixed; boundary*0=a; boundary*0=c; boundary*1=b\n\n--ab\n{A}--ab--\n",
    ),
    ("pieces from one on", "Content-Type: multipart/mixed; boundary*1=a; boundary*2=b\n\n--ab\n{A}--ab--\n"),
    ("with charset and percent", "Content-Type: multipart/mixed; boundary*=us-ascii''%62\n\n--b\n{A}--b--\n"),
    (
        "with percent, not decoded",
        "Content-Type: multipart/mixed; boundary*=us-ascii''%62\n\n--%62\n{A}--%62--\n",
    ),
    ("percent in a plain one", "Content-Type: multipart/mixed; boundary=%62\n\n--b\n{A}--b--\n"),
    (
        "extended beside a plain one",
        "Content-Type: multipart/mixed; boundary=c; boundary*=us-ascii''b\n\n--b\n{A}--b--\n",
    ),
    (
        "pieces with percent",
        "Content-Type: multipart/mixed; boundary*0*=us-ascii''%61; boundary*1=b\n\n--ab\n{A}--ab--\n",
    ),
    ("quoted pair", "Content-Type: multipart/mixed; boundary=\"\\b\"\n\n--b\n{A}--b--\n"),
    ("quoted pair, left", "Content-Type: multipart/mixed; boundary=\"\\b\"\n\n--\\b\n{A}--\\b--\n"),
    ("comment behind", "Content-Type: multipart/mixed; boundary=b(c)\n\n--b\n{A}--b--\n"),
    ("comment behind, part of it", "Content-Type: multipart/mixed; boundary=b(c)\n\n--b(c)\n{A}--b(c)--\n"),
    ("spaces around the equals sign", "Content-Type: multipart/mixed; boundary = b\n\n--b\n{A}--b--\n"),
    ("two equals signs", "Content-Type: multipart/mixed; boundary==b\n\n--b\n{A}--b--\n"),
    ("two equals signs, one kept", "Content-Type: multipart/mixed; boundary==b\n\n--=b\n{A}--=b--\n"),
    ("folded within", "Content-Type: multipart/mixed; boundary=\"b\n b\"\n\n--b b\n{A}--b b--\n"),
    ("folded within, joined", "Content-Type: multipart/mixed; boundary=\"b\n b\"\n\n--bb\n{A}--bb--\n"),
    (
        "encoded word, decoded",
        "Content-Type: multipart/mixed; boundary=\"=?us-ascii?q?b?=\"\n\n--b\n{A}--b--\n",
    ),
    (
        "encoded word, left",
        "Content-Type: multipart/mixed; boundary=\"=?us-ascii?q?b?=\"\n\n--=?us-ascii?q?b?=\n{A}--=?us-ascii?q?b?=--\n",
    ),
    ("unquoted specials", "Content-Type: multipart/mixed; boundary=b/c:d\n\n--b/c:d\n{A}--b/c:d--\n"),
    ("unquoted specials, cut", "Content-Type: multipart/mixed; boundary=b/c:d\n\n--b\n{A}--b--\n"),
    ("unquoted space", "Content-Type: multipart/mixed; boundary=b c\n\n--b c\n{A}--b c--\n"),
    ("unquoted space, cut", "Content-Type: multipart/mixed; boundary=b c\n\n--b\n{A}--b--\n"),
    ("text behind quotes", "Content-Type: multipart/mixed; boundary=\"b\"c\n\n--b\n{A}--b--\n"),
    ("text behind quotes, joined", "Content-Type: multipart/mixed; boundary=\"b\"c\n\n--bc\n{A}--bc--\n"),
    (
        "longer than allowed",
        "Content-Type: multipart/mixed; boundary=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n\n--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n{A}",
    ),
    (
        "longer than allowed, cut in the body",
        "Content-Type: multipart/mixed; boundary=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n\n--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n{A}",
    ),
    ("other case in the body", "Content-Type: multipart/mixed; boundary=b\n\n--B\n{A}--B--\n"),
    ("hyphens of its own", "Content-Type: multipart/mixed; boundary=\"--b\"\n\n----b\n{A}----b--\n"),
    (
        "hyphens of its own, taken for the delimiter's",
        "Content-Type: multipart/mixed; boundary=\"--b\"\n\n--b\n{A}--b--\n",
    ),
    ("eight bit", "Content-Type: multipart/mixed; boundary=\u{e4}\n\n--\u{e4}\n{A}--\u{e4}--\n"),
    ("name in mixed case", "Content-Type: multipart/mixed; BouNdaRy=b\n\n--b\n{A}--b--\n"),
    ("name with a space", "Content-Type: multipart/mixed; bound ary=b\n\n--b\n{A}--b--\n"),
    ("in a field of its own", "Content-Type: multipart/mixed\nBoundary: b\n\n--b\n{A}--b--\n"),
    (
        "in another parameter's value",
        "Content-Type: multipart/mixed; x=\"; boundary=c\"; boundary=b\n\n--b\n{A}--b--\n",
    ),
    (
        "in another parameter's unclosed value",
        "Content-Type: multipart/mixed; x=\"; boundary=b\n\n--b\n{A}--b--\n",
    ),
];

pub(super) const DELIMITER: &[Row] = &[
    ("spaces behind", "Content-Type: multipart/mixed; boundary=b\n\n--b   \n{A}--b--   \n"),
    ("tab behind", "Content-Type: multipart/mixed; boundary=b\n\n--b\t\n{A}--b--\n"),
    ("text behind", "Content-Type: multipart/mixed; boundary=b\n\n--bx\n{A}--bx--\n"),
    ("text behind a space", "Content-Type: multipart/mixed; boundary=b\n\n--b x\n{A}--b--\n"),
    ("comment behind", "Content-Type: multipart/mixed; boundary=b\n\n--b (c)\n{A}--b--\n"),
    ("one hyphen behind", "Content-Type: multipart/mixed; boundary=b\n\n--b-\n{A}--b--\n"),
    (
        "text behind the closing one",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n{T}--b--x\n{A}--b--\n",
    ),
    ("space before", "Content-Type: multipart/mixed; boundary=b\n\n --b\n{A} --b--\n"),
    ("one hyphen", "Content-Type: multipart/mixed; boundary=b\n\n-b\n{A}-b--\n"),
    ("three hyphens", "Content-Type: multipart/mixed; boundary=b\n\n---b\n{A}---b--\n"),
    ("no hyphens", "Content-Type: multipart/mixed; boundary=b\n\nb\n{A}b--\n"),
    ("part behind the end", "Content-Type: multipart/mixed; boundary=b\n\n--b\n{T}--b--\n--b\n{A}--b--\n"),
    ("text behind the end", "Content-Type: multipart/mixed; boundary=b\n\n--b\n{T}--b--\n\n{A}"),
    ("end before the parts", "Content-Type: multipart/mixed; boundary=b\n\n--b--\n--b\n{A}--b--\n"),
    ("part before the first", "Content-Type: multipart/mixed; boundary=b\n\n{A}\n--b\n{T}--b--\n"),
    ("no end", "Content-Type: multipart/mixed; boundary=b\n\n--b\n{T}--b\n{A}"),
    ("none at all", "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n{B}\n"),
    ("none at all, and a part", "Content-Type: multipart/mixed; boundary=b\n\n{A}"),
    (
        "last line without line end",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n{T}--b\nContent-Transfer-Encoding: base64\n\n{L}",
    ),
    (
        "the outer one ends the inner multipart",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n{T}--b\n{A}--b--\n",
    ),
    (
        "the inner one begins like the outer",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=bc\n\n--bc\n{A}--bc--\n--b--\n",
    ),
    (
        "the outer one begins like the inner",
        "Content-Type: multipart/mixed; boundary=bc\n\n--bc\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n--bc--\n",
    ),
    (
        "the same for outer and inner",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=b\n\n--b\n{A}--b--\n--b--\n",
    ),
    (
        "the inner one is the outer's end",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b--\n\n--b--\n{A}--b----\n--b--\n",
    ),
    ("in the header section", "Subject: x\nContent-Type: multipart/mixed; boundary=b\n--b\n{A}--b--\n"),
    ("two in a row", "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n{A}--b--\n"),
    (
        "within base64",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: base64\n\ndGhpcyBp\n--b\ncyA=\n--b\n{A}--b--\n",
    ),
    (
        "within a message",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n--b\n{A}--b--\n",
    ),
    ("undeclared in a part", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--c\n{A}--c--\n--b--\n"),
    ("only the closing one", "Content-Type: multipart/mixed; boundary=b\n\n{A}--b--\n"),
];
