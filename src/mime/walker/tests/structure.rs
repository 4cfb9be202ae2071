//! How parts, fields and texts come out of messages that are as they should be, or nearly.

use super::{check, told, walk};
use crate::mime::{Bounds, PartId, Reading};

#[test]
fn a_plain_message() {
    check("Subject: x\n\nhello\n", &["message<0 text/plain =\"hello\\r\\n\""]);
    check("Subject: x\n\n", &["message<0 text/plain"]);
    check("\nhello", &["message<0 text/plain =\"hello\""]);
    check("Subject: x", &["message<0 text/plain !header_unended"]);
    check("", &["message<0 text/plain !header_unended"]);
}

#[test]
fn fields_are_unfolded_and_decoded() {
    let told = told("Subject: =?utf-8?q?J=C3=BC?=\n =?utf-8?b?cmdlbg==?=\nTO:  a,\n\t b \nX:\n\n");
    let fields: Vec<_> = told.parts[0].fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(fields, [("Subject", "Jürgen"), ("TO", "a,\t b"), ("X", "")]);
}

#[test]
fn transfer_encodings_are_undone() {
    check("Content-Transfer-Encoding: base64\n\naGVs\nbG8=\n", &["message<0 text/plain =\"hello\""]);
    check(
        "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nJ=FCr=\ngen\n",
        &["message<0 text/plain =\"Jürgen\\r\\n\""],
    );
}

#[test]
fn html_is_made_text_and_links() {
    let told = told("Content-Type: text/html\n\n<p>Go <a href=\"http://a.example/\">here</a>!</p>\n");
    assert_eq!(told.parts[0].links, ["http://a.example/ here"]);
    assert_eq!(told.text(0, Reading::Strict).trim(), "Go here!");
}

const TWO: &str = "Content-Type: multipart/mixed; boundary=\"b\"\n\n\
    --b\n\none\n--b\nContent-Type: text/html\n\ntwo\n--b--\n";

#[test]
fn a_multipart() {
    check(TWO, &["message<0 multipart/mixed", "part<0 text/plain =\"one\"", "part<0 text/html =\"two\""]);
}

#[test]
fn white_space_behind_a_delimiter_is_nothing() {
    let padded = TWO.replace("--b\n", "--b \t \n").replace("--b--\n", "--b-- \n");
    assert_eq!(told(&padded).outline(), told(TWO).outline());
}

#[test]
fn what_begins_like_a_delimiter_and_goes_another_way_is_text() {
    check(
        "Content-Type: multipart/mixed; boundary=abc\n\n--abc\n\n--x\n--ab\n-\n--\n\n--abc--\n",
        &["message<0 multipart/mixed", "part<0 text/plain =\"--x\\r\\n--ab\\r\\n-\\r\\n--\\r\\n\""],
    );
}

#[test]
fn a_last_delimiter_needs_no_line_end() {
    check(TWO.trim_end(), &told(TWO).outline().iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn parts_can_be_empty() {
    check(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--b\nContent-Type: text/html\n\n--b--\n",
        &["message<0 multipart/mixed", "part<0 text/plain", "part<0 text/html"],
    );
}

#[test]
fn a_part_without_an_empty_line() {
    check(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n--b--\n",
        &["message<0 multipart/mixed", "part<0 text/html !header_unended"],
    );
}

#[test]
fn what_stands_outside_of_the_parts_is_told() {
    check(
        "Content-Type: multipart/mixed; boundary=b\n\n\nbefore\n--b\n\nin\n--b--\n\nafter\n",
        &[
            "message<0 multipart/mixed",
            "outside<0  ?\"before\"",
            "part<0 text/plain =\"in\"",
            "outside<0  ?\"after\\r\\n\"",
        ],
    );
}

#[test]
fn multiparts_nest() {
    check(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=ab\n\n\
         --ab\n\none\n--ab\n\ntwo\n--ab--\n\n--a\n\nthree\n--a--\n",
        &[
            "message<0 multipart/mixed",
            "part<0 multipart/alternative",
            "part<1 text/plain =\"one\"",
            "part<1 text/plain =\"two\"",
            "part<0 text/plain =\"three\"",
        ],
    );
}

#[test]
fn an_outer_delimiter_ends_what_is_inside() {
    check(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n\
         --b\n\none\n--a\n\ntwo\n--a--\n",
        &[
            "message<0 multipart/mixed",
            "part<0 multipart/mixed !end_missing",
            "part<1 text/plain =\"one\"",
            "part<0 text/plain =\"two\"",
        ],
    );
}

#[test]
fn messages_nest() {
    check(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\n\
         Subject: inner\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n--a--\n",
        &[
            "message<0 multipart/mixed",
            "part<0 message/rfc822",
            "rfc822<1 multipart/mixed",
            "part<2 text/plain =\"one\"",
        ],
    );
    check(
        "Content-Type: message/rfc822\n\nContent-Type: message/global\n\n\nhello",
        &["message<0 message/rfc822", "rfc822<0 message/global", "rfc822<1 text/plain =\"hello\""],
    );
}

#[test]
fn a_message_cut_off_in_its_header_section() {
    check(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n--a--\n",
        &[
            "message<0 multipart/mixed",
            "part<0 message/rfc822 !header_unended",
            "rfc822<1 text/plain !header_unended",
        ],
    );
}

#[test]
fn parts_of_a_digest_are_messages() {
    check(
        "Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: x\n\none\n--a\nContent-Type: text/html\n\ntwo\n--a--\n",
        &[
            "message<0 multipart/digest",
            "part<0 message/rfc822",
            "rfc822<1 text/plain =\"one\"",
            "part<0 text/html =\"two\"",
        ],
    );
}

#[test]
fn an_encoded_message_is_walked() {
    // Subject: x, an empty line, and `hello`.
    check(
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeA0KDQpoZWxsbw==\n",
        &["message<0 message/rfc822 !encoding_on_message", "rfc822<0 text/plain =\"hello\""],
    );
}

#[test]
fn lines_in_an_encoded_file_are_not_encoded_again() {
    // A file of one long word, in base64: it looks like base64 itself, and is no more than a file.
    let word = base64_simd::STANDARD.encode_to_string("0123456789abcdef".repeat(8));
    check(
        &format!("Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n{word}\n"),
        &[&format!("message<0 application/octet-stream ={:?}", "0123456789abcdef".repeat(8))],
    );
}

#[test]
fn pieces_of_messages_are_told() {
    check(
        "Content-Type: message/partial; id=x; number=1\n\nhello\n",
        &["message<0 message/partial =\"hello\\r\\n\" ?\"hello\\r\\n\" !message_partial"],
    );
}

#[test]
fn names_are_decoded() {
    let name = |fields: &str| told(&format!("{fields}\n\n")).parts[0].names.clone();
    assert_eq!(name("Content-Disposition: attachment; filename=\"a b.txt\""), ["a b.txt"]);
    assert_eq!(name("Content-Type: text/plain; name=a.txt"), ["a.txt"]);
    assert_eq!(name("Content-Disposition: attachment; filename*=utf-8''%e2%82%ac.txt"), ["€.txt"]);
    assert_eq!(
        name("Content-Disposition: attachment; filename*0=a; filename*1*=%20b; filename*2=.txt"),
        ["a b.txt"]
    );
    assert_eq!(
        name("Content-Disposition: attachment; filename*0*=utf-8''%c3; filename*1*=%bc.txt"),
        ["ü.txt"]
    );
    assert_eq!(name("Content-Type: a/b; name=\"=?utf-8?q?=C3=BC.txt?=\""), ["ü.txt"]);
    assert_eq!(
        name("Content-Type: a/b; name=a.txt\nContent-Disposition: attachment; filename=a.txt"),
        ["a.txt"]
    );
}

#[test]
fn octets_count_the_decoded_content() {
    let told = told("Content-Transfer-Encoding: base64\n\naGVsbG8=\n");
    assert_eq!(told.events.last().unwrap(), "End { part: PartId(0), octets: 5 }");
}

#[test]
fn text_is_found_twenty_messages_deep() {
    let mut plain = "Subject: x\n\nneedle\n".to_owned();
    let mut parts = plain.clone();
    for depth in 0..20 {
        plain = format!("Content-Type: message/rfc822\n\n{plain}");
        parts = format!(
            "Content-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\nContent-Type: message/rfc822\n\n\
             {parts}\n--b{depth}--\n"
        );
    }
    for (message, part) in [(plain, 20), (parts, 40)] {
        let told = walk(Bounds::default(), [super::crlf(&message).as_bytes()]);
        assert_eq!(told.text(part, Reading::Strict).trim(), "needle");
        assert!(told.parts.iter().all(|part| part.defects.is_empty()));
    }
}

#[test]
fn a_walker_is_used_again_for_the_next_message() {
    // `told` uses one walker for all cuts; here the first message is left half read.
    let mut walker = crate::mime::Walker::new(Bounds::default());
    let mut nothing = |_: crate::mime::Event<'_>| {};
    walker.push(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhalf\r\n--", &mut nothing);
    walker.reset();
    let told = super::walk_with(&mut walker, [super::crlf("Subject: x\n\n--b\n").as_bytes()]);
    assert_eq!(told.outline(), ["message<0 text/plain =\"--b\\r\\n\""]);
    assert_eq!(told.data.get(&(PartId(0), Reading::Strict)).unwrap(), b"--b\r\n");
}
