//! What a part says of itself, where header sections end, and what lies in what.

use super::Row;

pub(super) const CONTENT_TYPE: &[Row] = &[
    (
        "twice, multipart first",
        "Content-Type: multipart/mixed; boundary=b\nContent-Type: text/plain\n\n--b\n{A}--b--\n",
    ),
    (
        "twice, multipart last",
        "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n",
    ),
    (
        "twice, first boundary used",
        "Content-Type: multipart/mixed; boundary=b\nContent-Type: multipart/mixed; boundary=c\n\n--b\n{A}--b--\n",
    ),
    (
        "twice, last boundary used",
        "Content-Type: multipart/mixed; boundary=c\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n",
    ),
    (
        "thrice",
        "Content-Type: text/html\nContent-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n",
    ),
    (
        "twice in a part",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\nContent-Type: message/rfc822\n\n{A}--b--\n",
    ),
    ("name in lower case", "content-type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("space before the colon", "Content-Type : multipart/mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("tab before the colon", "Content-Type\t: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("no space behind the colon", "Content-Type:multipart/mixed;boundary=b\n\n--b\n{A}--b--\n"),
    ("folded before the type", "Content-Type:\n multipart/mixed;\n boundary=b\n\n--b\n{A}--b--\n"),
    ("folded within the type", "Content-Type: multipart/\n mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("folded within the name", "Content-\n Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("blank continuation", "Content-Type: multipart/mixed;\n \n boundary=b\n\n--b\n{A}--b--\n"),
    (
        "blank continuation before another field",
        "Subject: x\n \nContent-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n",
    ),
    ("comment before the type", "Content-Type: (c) multipart/mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("comment within the type", "Content-Type: multipart(c)/(d)mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("comment behind the type", "Content-Type: multipart/mixed (c); boundary=b\n\n--b\n{A}--b--\n"),
    ("boundary in a comment", "Content-Type: multipart/mixed (; boundary=c); boundary=b\n\n--b\n{A}--b--\n"),
    (
        "real boundary in a comment",
        "Content-Type: multipart/mixed (; boundary=b); boundary=c\n\n--b\n{A}--b--\n",
    ),
    (
        "comments in comments",
        "Content-Type: ((((c))(d))) multipart/mixed; (a(b(c))) boundary=b\n\n--b\n{A}--b--\n",
    ),
    ("unclosed comment", "Content-Type: multipart/mixed; (boundary=c; boundary=b\n\n--b\n{A}--b--\n"),
    ("quoted pair in a comment", "Content-Type: multipart/mixed (\\)); boundary=b\n\n--b\n{A}--b--\n"),
    (
        "comment in a quoted string",
        "Content-Type: multipart/mixed; x=\"(\"; boundary=b; y=\")\"\n\n--b\n{A}--b--\n",
    ),
    ("no subtype", "Content-Type: multipart; boundary=b\n\n--b\n{A}--b--\n"),
    ("space for a slash", "Content-Type: multipart mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("unknown subtype", "Content-Type: multipart/x-unheard-of; boundary=b\n\n--b\n{A}--b--\n"),
    ("upper case", "CONTENT-TYPE: MULTIPART/MIXED; BOUNDARY=b\n\n--b\n{A}--b--\n"),
    ("no semicolon", "Content-Type: multipart/mixed boundary=b\n\n--b\n{A}--b--\n"),
    ("comma for a semicolon", "Content-Type: multipart/mixed, boundary=b\n\n--b\n{A}--b--\n"),
    ("two semicolons", "Content-Type: multipart/mixed;; ;boundary=b\n\n--b\n{A}--b--\n"),
    ("semicolon before the type", "Content-Type: ; multipart/mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("parameter without type", "Content-Type: ; boundary=b\n\n--b\n{A}--b--\n"),
    ("parameter before the type", "Content-Type: boundary=b; multipart/mixed\n\n--b\n{A}--b--\n"),
    ("quoted type", "Content-Type: \"multipart/mixed\"; boundary=b\n\n--b\n{A}--b--\n"),
    ("spaces around the slash", "Content-Type: multipart / mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("slash behind the subtype", "Content-Type: multipart/mixed/x; boundary=b\n\n--b\n{A}--b--\n"),
    ("word before the type", "Content-Type: x multipart/mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("type as encoded word", "Content-Type: =?us-ascii?q?multipart/mixed?=; boundary=b\n\n--b\n{A}--b--\n"),
    ("no-break space behind the type", "Content-Type: multipart/mixed\u{a0}; boundary=b\n\n--b\n{A}--b--\n"),
    ("empty", "Content-Type:\n\n--b\n{A}--b--\n"),
    ("none at all", "Subject: x\n\n--b\n{A}--b--\n"),
    ("text with a boundary", "Content-Type: text/plain; boundary=b\n\n--b\n{A}--b--\n"),
    ("application with a boundary", "Content-Type: application/x; boundary=b\n\n--b\n{A}--b--\n"),
    ("MIME-Version 2.0", "MIME-Version: 2.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("name with a comment", "Content-Type(c): multipart/mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("first line is a continuation", " Content-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n"),
    ("HTML that says to be plain", "Content-Type: text/plain\n\n{H}"),
    (
        "HTML that says to be octets",
        "Content-Type: application/octet-stream; name=a.html\nContent-Transfer-Encoding: base64\n\n{HB}",
    ),
    ("HTML of an unknown text type", "Content-Type: text/x-unheard-of\n\n{H}"),
    ("XHTML", "Content-Type: application/xhtml+xml\n\n{H}"),
    ("SVG image", "Content-Type: image/svg+xml; name=a.svg\nContent-Transfer-Encoding: base64\n\n{B}\n"),
    ("calendar", "Content-Type: text/calendar\nContent-Transfer-Encoding: base64\n\n{B}\n"),
];

pub(super) const HEADER_SECTION: &[Row] = &[
    (
        "line of white space for the empty line",
        "Content-Type: multipart/mixed; boundary=b\n \n--b\n{A}--b--\n",
    ),
    ("line of a tab for the empty line", "Content-Type: multipart/mixed; boundary=b\n\t\n--b\n{A}--b--\n"),
    ("no empty line", "Content-Type: multipart/mixed; boundary=b\n--b\n{A}--b--\n"),
    ("no empty line before text", "Content-Transfer-Encoding: base64\n{B}\n"),
    (
        "line without a colon",
        "Subject: x\nno field at all\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n",
    ),
    (
        "line without a colon before the encoding",
        "Content-Type: text/plain\nno field\nContent-Transfer-Encoding: base64\n\n{B}\n",
    ),
    ("empty line first", "\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n"),
    (
        "empty line before the structure",
        "Subject: x\n\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n",
    ),
    (
        "mailbox separator first",
        "From a@client.example Mon Jan  1 00:00:00 2024\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n",
    ),
    (
        "quoted mailbox separator",
        ">From a@client.example Mon Jan  1 00:00:00 2024\nContent-Transfer-Encoding: base64\n\n{B}\n",
    ),
    (
        "mailbox separator in between",
        "Subject: x\nFrom a@client.example Mon Jan  1\nContent-Transfer-Encoding: base64\n\n{B}\n",
    ),
    ("colon first", ": x\nContent-Transfer-Encoding: base64\n\n{B}\n"),
    ("name with a space", "X Y: z\nContent-Transfer-Encoding: base64\n\n{B}\n"),
    ("part without header and empty line", "Content-Type: multipart/mixed; boundary=b\n\n--b\n{B}\n--b--\n"),
    (
        "part with white space for its empty line",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n \n{B}\n--b--\n",
    ),
    ("part that begins with an empty line", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n{A}--b--\n"),
    (
        "part that begins with a continuation",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n x\n{A}--b--\n",
    ),
    ("encoding only in capitals and spaces", "CONTENT-TRANSFER-ENCODING   :   BASE64\n\n{B}\n"),
];

pub(super) const NESTING: &[Row] = &[
    ("message", "Content-Type: message/rfc822\n\n{A}"),
    ("message in base64", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{AB}"),
    (
        "message in quoted-printable",
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n{AQ}\n",
    ),
    ("message with an empty line first", "Content-Type: message/rfc822\n\n\n{A}"),
    ("message/global in base64", "Content-Type: message/global\nContent-Transfer-Encoding: base64\n\n{AB}"),
    ("message/news", "Content-Type: message/news\n\n{A}"),
    ("message of an unknown type", "Content-Type: message/x-unheard-of\n\n{A}"),
    (
        "message as octets named eml",
        "Content-Type: application/octet-stream; name=a.eml\nContent-Transfer-Encoding: base64\n\n{AB}",
    ),
    ("message as text named eml", "Content-Type: text/plain; name=a.eml\n\n{A}"),
    (
        "message as text named eml, in base64",
        "Content-Type: text/plain; name=A.EML\nContent-Transfer-Encoding: base64\n\n{AB}",
    ),
    (
        "archived page",
        "Content-Type: application/octet-stream; name=a.mht\nContent-Transfer-Encoding: base64\n\n{MB}",
    ),
    ("partial of one", "Content-Type: message/partial; id=x; number=1; total=1\n\n{A}"),
    ("partial, a first of two", "Content-Type: message/partial; id=x; number=1; total=2\n\n{A}"),
    ("digest, its default type", "Content-Type: multipart/digest; boundary=b\n\n--b\n\n{A}--b--\n"),
    ("alternative", "Content-Type: multipart/alternative; boundary=b\n\n--b\n{T}--b\n{A}--b--\n"),
    ("related", "Content-Type: multipart/related; boundary=b; start=x\n\n--b\n{T}--b\n{A}--b--\n"),
    ("signed", "Content-Type: multipart/signed; boundary=b\n\n--b\n{A}--b\n{T}--b--\n"),
    (
        "report",
        "Content-Type: multipart/report; boundary=b\n\n--b\n{T}--b\nContent-Type: message/rfc822\n\n{A}--b--\n",
    ),
    ("encrypted, in name only", "Content-Type: multipart/encrypted; boundary=b\n\n--b\n{A}--b--\n"),
    ("form data", "Content-Type: multipart/form-data; boundary=b\n\n--b\n{A}--b--\n"),
    (
        "multipart in base64",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n{MB}--b--\n",
    ),
    (
        "message in a multipart in a message",
        "Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{A}--b--\n--c--\n",
    ),
    ("delivery status", "Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n{B}\n"),
    (
        "header section as text",
        "Content-Type: text/rfc822-headers\nContent-Transfer-Encoding: base64\n\n{B}\n",
    ),
    (
        "message with a multipart's encoding",
        "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n--b\n{A}--b--\n",
    ),
];
