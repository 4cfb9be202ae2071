//! Messages put together at random: what is told does not depend on cuts, and holds together.

use proptest::prelude::{Strategy, prop, proptest};

use super::walk_with;
use crate::mime::{Bounds, Walker};

/// What messages are made of, and what breaks them.
const PIECES: &[&str] = &[
    "Content-Type: ",
    "Content-Type: text/plain; charset=utf-8\r\n",
    "Content-Type: text/html\r\n",
    "Content-Type: multipart/mixed; boundary=a\r\n",
    "Content-Type: multipart/digest; boundary=\"ab\"\r\n",
    "Content-Type: message/rfc822\r\n",
    "Content-Type: application/octet-stream; name=x\r\n",
    "Content-Disposition: attachment; filename*0*=utf-8''%c3; filename*1=x.txt\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n",
    "Content-Transfer-Encoding: x-uuencode\r\n",
    "Subject: =?utf-8?q?a=C3?= =?utf-8?b?vA==?=\r\n",
    "X: y\r\n z\r\n",
    "boundary=",
    "multipart/mixed",
    "\r\n--a\r\n",
    "\r\n--a--\r\n",
    "--ab\r\n",
    " --a\r\n",
    "--a x\r\n",
    "--",
    "-",
    "a",
    "\r\n",
    "\r\n\r\n",
    "\r",
    "\n",
    " ",
    "\t",
    ":",
    ";",
    "=",
    "\"",
    "(",
    ")",
    "\\",
    "\0",
    "\u{fc}",
    "=?utf-8?q?",
    "?=",
    "word and word ",
    "<p>text <a href=\"http://a.example/\">link</a>",
    "dGhlcmUgaXMgYSBuZWVkbGUgaW4gYSBoYXlzdGFjaywgYW5kIG1vcmUgdGhhbiBvbmUgbGluZSBv\r\n",
    "UEsDBAoAAAAAAAAAIQDwFcg2AwAAAAMAAAABAAAAeGFiY1BLAQIUAAoAAAAAAAAAIQDwFcg2AwAA\r\n",
    "aGVsbG8=\r\n",
    "=3D=\r\nx=FC",
    "begin 644 x.txt\r\n#0V%T\r\n",
    "end\r\n",
    "begin-base64 644 x.eml\r\nQ2F0Q2F0\r\n",
    "====\r\n",
    "Content-Type: text/plain; charset=us-ascii; name=x.eml\r\n",
    "Content-Type: text/html; charset=utf-8; name=x.eml\r\n",
    "Content-Type: application/pkcs7-mime; name=x.p7m\r\n",
    "charset=ibm037",
    "<a href='data:text/html;base64,",
    "PGEgaHJlZj0nZGF0YTpmb28vYmFyLHgnPg==",
    "<img src=data:,a%4",
    "&amp;",
    "'>",
    "MFYGCSqGSIb3DQEHAqBJMEcCAQExADBABgkqhkiG9w0BBwGgMwQxQ29udGVudC1UeXBlOiB0ZXh0\r\n",
    "L2h0bWwNCg0KPGEgaHJlZj14Pm5lZWRsZTwvYT4NCg==\r\n",
    "\u{100}\u{141}\u{e9}\u{e8}\u{e7}\u{e6}\u{e5}",
];

fn messages() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec());
    let repeated = (prop::sample::select(PIECES), 1_usize..40)
        .prop_map(|(piece, times)| piece.repeat(times).into_bytes());
    let octets = prop::collection::vec(0_u8.., 0..8);
    let any = prop::strategy::Union::new_weighted(vec![
        (12, piece.boxed()),
        (1, repeated.boxed()),
        (1, octets.boxed()),
    ]);
    prop::collection::vec(any, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_told_does_not_depend_on_cuts(message in messages(), cut in 0_usize..2000) {
        let small = Bounds { depth: 3, parts: 6, header_bytes: 300, fields: 8, field_bytes: 100, ..Bounds::default() };
        for bounds in [Bounds::default(), small] {
            let mut walker = Walker::new(bounds);
            let whole = walk_with(&mut walker, [message.as_slice()]);
            for chunk in [1, 7, 1448] {
                assert_eq!(walk_with(&mut walker, message.chunks(chunk)), whole, "chunks of {chunk}");
            }
            let (first, second) = message.split_at(cut.min(message.len()));
            assert_eq!(walk_with(&mut walker, [first, second]), whole, "cut at {cut}");
            whole.outline();
        }
    }
}
