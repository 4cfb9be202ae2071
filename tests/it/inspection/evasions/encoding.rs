//! Transfer encodings: what they are called, and how they are bent.

use super::Row;

pub(super) const NAMES: &[Row] = &[
    ("mixed case", "Content-Transfer-Encoding: BaSe64\n\n{B}\n"),
    ("space behind", "Content-Transfer-Encoding: base64 \n\n{B}\n"),
    ("semicolon behind", "Content-Transfer-Encoding: base64;\n\n{B}\n"),
    ("parameter behind", "Content-Transfer-Encoding: base64; x=y\n\n{B}\n"),
    ("quoted", "Content-Transfer-Encoding: \"base64\"\n\n{B}\n"),
    ("single quotes", "Content-Transfer-Encoding: 'base64'\n\n{B}\n"),
    ("comment behind", "Content-Transfer-Encoding: base64 (c)\n\n{B}\n"),
    ("comment before", "Content-Transfer-Encoding: (c) base64\n\n{B}\n"),
    ("comment within", "Content-Transfer-Encoding: base(c)64\n\n{B}\n"),
    ("folded", "Content-Transfer-Encoding:\n base64\n\n{B}\n"),
    ("folded within", "Content-Transfer-Encoding: base\n 64\n\n{B}\n"),
    ("no space", "Content-Transfer-Encoding:base64\n\n{B}\n"),
    ("two spaces and a tab", "Content-Transfer-Encoding:  \tbase64\n\n{B}\n"),
    ("no-break space", "Content-Transfer-Encoding: base64\u{a0}\n\n{B}\n"),
    ("x-base64", "Content-Transfer-Encoding: x-base64\n\n{B}\n"),
    ("base-64", "Content-Transfer-Encoding: base-64\n\n{B}\n"),
    ("base 64", "Content-Transfer-Encoding: base 64\n\n{B}\n"),
    ("base64x", "Content-Transfer-Encoding: base64x\n\n{B}\n"),
    ("comma and another", "Content-Transfer-Encoding: base64, 7bit\n\n{B}\n"),
    ("another and comma", "Content-Transfer-Encoding: 7bit, base64\n\n{B}\n"),
    ("another before", "Content-Transfer-Encoding: 7bit base64\n\n{B}\n"),
    ("full stop behind", "Content-Transfer-Encoding: base64.\n\n{B}\n"),
    ("encoded word", "Content-Transfer-Encoding: =?us-ascii?q?base64?=\n\n{B}\n"),
    ("twice, base64 first", "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit\n\n{B}\n"),
    ("twice, base64 last", "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\n{B}\n"),
    (
        "twice, another encoding",
        "Content-Transfer-Encoding: quoted-printable\nContent-Transfer-Encoding: base64\n\n{B}\n",
    ),
    ("space before the colon", "Content-Transfer-Encoding : base64\n\n{B}\n"),
    ("unknown", "Content-Transfer-Encoding: rot13\n\n{B}\n"),
    ("uuencode", "Content-Transfer-Encoding: x-uuencode\n\n{U}"),
    ("quotedprintable", "Content-Transfer-Encoding: quotedprintable\n\n{Q}\n"),
    ("quoted_printable", "Content-Transfer-Encoding: quoted_printable\n\n{Q}\n"),
    ("quoted-printable in capitals", "Content-Transfer-Encoding: QUOTED-PRINTABLE\n\n{Q}\n"),
    ("quoted-printable in quotes", "Content-Transfer-Encoding: \"quoted-printable\"\n\n{Q}\n"),
    (
        "on the multipart, meant for its parts",
        "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n--b\nContent-Type: text/plain\n\n{B}\n--b--\n",
    ),
];

pub(super) const BASE64: &[Row] = &[
    ("one line", "Content-Transfer-Encoding: base64\n\n{L}\n"),
    ("no line end", "Content-Transfer-Encoding: base64\n\n{L}"),
    ("empty lines between", "Content-Transfer-Encoding: base64\n\nT1NURVJOLVRF\n\n\nU1Q=\n\n{B}\n"),
    (
        "empty line within",
        "Content-Transfer-Encoding: base64\n\nUE9TVEVSTi1URVNULTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEy\n\nMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ=\n",
    ),
    (
        "spaces within",
        "Content-Transfer-Encoding: base64\n\nUE9T VEVS Ti1U RVNU LTAx MjM0 NTY3 ODkw MTIz NDU2 Nzg5 MDEy MzQ1 Njc4 OTAx MjM0 NTY3 ODkw MTIz NDU2 Nzg5 MDEy MzQ=\n",
    ),
    (
        "junk within",
        "Content-Transfer-Encoding: base64\n\nUE9T!VEVS#Ti1U$RVNU%LTAx&MjM0(NTY3)ODkw*MTIz,NDU2-Nzg5.MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ=\n",
    ),
    ("junk before", "Content-Transfer-Encoding: base64\n\n!!!! here it comes:\n{B}\n"),
    ("four of text before", "Content-Transfer-Encoding: base64\n\nabcd\n{B}\n"),
    ("one letter of junk before", "Content-Transfer-Encoding: base64\n\n?{B}\n"),
    ("padding first", "Content-Transfer-Encoding: base64\n\n====\n{B}\n"),
    ("one octet padded first", "Content-Transfer-Encoding: base64\n\neA==\n{B}\n"),
    ("padding in the middle", "Content-Transfer-Encoding: base64\n\neHg=eHg={L}\n"),
    (
        "padding within the signature",
        "Content-Transfer-Encoding: base64\n\nUE9TVEVSTi1URVNULTAxMjM0NTY3ODkwMTIzNDU2Nzg5MA==MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA==\n",
    ),
    (
        "two streams",
        "Content-Transfer-Encoding: base64\n\nUE9TVEVSTi1URVNULTAxMjM0NTY3ODkwMTIzNDU2Nzg5MA==\nMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA==\n",
    ),
    (
        "no padding",
        "Content-Transfer-Encoding: base64\n\nUE9TVEVSTi1URVNULTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ\n",
    ),
    ("too much padding", "Content-Transfer-Encoding: base64\n\n{L}=======\n"),
    ("one letter too many", "Content-Transfer-Encoding: base64\n\n{L}\nA\n"),
    ("text behind", "Content-Transfer-Encoding: base64\n\n{B}\n\nThis is the end of it: greetings!\n"),
    (
        "lines of one letter",
        "Content-Transfer-Encoding: base64\n\nU\nE\n9\nT\nV\nE\nV\nS\nT\ni\n1\nU\nR\nV\nN\nU\nLTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ=\n",
    ),
    (
        "tabs and spaces at the lines' ends",
        "Content-Transfer-Encoding: base64\n\nUE9TVEVSTi1URVNULTAxMjM0NTY3ODkw \t\nMTIzNDU2Nzg5MDEyMzQ1Njc4OTAx \t \nMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ=\n",
    ),
    (
        "eight bit within",
        "Content-Transfer-Encoding: base64\n\nUE9TVEVS\u{e4}Ti1URVNULTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ=\n",
    ),
    (
        "dots before lines",
        "Content-Transfer-Encoding: base64\n\n.UE9TVEVSTi1URVNULTAxMjM0NTY3ODkw\n.MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ=\n",
    ),
    (
        "quoted like an answer",
        "Content-Transfer-Encoding: base64\n\n> UE9TVEVSTi1URVNULTAxMjM0NTY3ODkw\n> MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ=\n",
    ),
    ("begins as uuencode does", "Content-Transfer-Encoding: base64\n\nbegin-base64 644 a.txt\n{B}\n====\n"),
    (
        "bits behind the padding's",
        "Content-Transfer-Encoding: base64\n\nUE9TVEVSTi1URVNULTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzR=\n",
    ),
    ("plain text that says to be base64", "Content-Transfer-Encoding: base64\n\nthis is {S} indeed\n"),
    ("quoted-printable that says to be base64", "Content-Transfer-Encoding: base64\n\n{Q}\n"),
    (
        "soft line breaks within",
        "Content-Transfer-Encoding: base64\n\nUE9TVEVSTi1URVNULTAxMjM0NTY3ODkw=\nMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ=\n",
    ),
];

pub(super) const QUOTED_PRINTABLE: &[Row] = &[
    ("every octet", "Content-Transfer-Encoding: quoted-printable\n\n{Q}\n"),
    (
        "lower case",
        "Content-Transfer-Encoding: quoted-printable\n\n=50=4f=53=54=45=52=4e=2d=54=45=53=54=2d0123456789012345678901234567890123456789012345678901234\n",
    ),
    (
        "spaces behind the soft break",
        "Content-Transfer-Encoding: quoted-printable\n\nPOSTERN-TEST-0123456789=  \n012345678901234567890123456789012345678901234\n",
    ),
    (
        "tab behind the soft break",
        "Content-Transfer-Encoding: quoted-printable\n\nPOSTERN-TEST-0123456789=\t\n012345678901234567890123456789012345678901234\n",
    ),
    ("ends with an equals sign", "Content-Transfer-Encoding: quoted-printable\n\n{Q}="),
    ("broken escape before", "Content-Transfer-Encoding: quoted-printable\n\n=XY=5 =\n{Q}\n"),
    (
        "line end within an escape",
        "Content-Transfer-Encoding: quoted-printable\n\n=50=4=\nFSTERN-TEST-0123456789012345678901234567890123456789012345678901234\n",
    ),
    (
        "two soft breaks",
        "Content-Transfer-Encoding: quoted-printable\n\nPOSTERN-TEST-0123456789=\n=\n012345678901234567890123456789012345678901234\n",
    ),
    (
        "space at a line's end",
        "Content-Transfer-Encoding: quoted-printable\n\nPOSTERN-TEST-0123456789=\n012345678901234567890123456789012345678901234   \n",
    ),
    (
        "lines too long",
        "Content-Transfer-Encoding: quoted-printable\n\n=50=4F=53=54=45=52=4E=2D=54=45=53=54=2D=30=31=32=33=34=35=36=37=38=390123456789012345678901234567890123456789=30=31=32=33=34\n",
    ),
    (
        "HTML in it",
        "Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<p>&#80;&#=37=39;STERN-TEST-0123456789<b></b>=\n<!-- x -->012345678901234567890123456789012345678901234</p>\n",
    ),
];
