//! What is too deep, too much or too long: told, passed on as raw text, and quick.

use super::{crlf, walk};
use crate::mime::{Bounds, Event, Reading, Walker};

fn small() -> Bounds {
    Bounds { depth: 3, parts: 5, header_bytes: 200, fields: 4, field_bytes: 50, ..Bounds::default() }
}

/// Walks within small bounds, at several cuts: the limit is told, and `needle` is still seen.
#[track_caller]
fn check(message: &str, limit: &str) {
    let content = crlf(message);
    let whole = walk(small(), [content.as_bytes()]);
    for chunk in [1, 7, 100] {
        assert_eq!(walk(small(), content.as_bytes().chunks(chunk)), whole, "chunks of {chunk}");
    }
    let limits: Vec<&str> = whole.parts.iter().flat_map(|part| part.defects.iter().copied()).collect();
    assert!(limits.contains(&limit), "{limits:?}");
    assert!(whole.shows("needle"));
}

#[test]
fn multiparts_too_deep() {
    let mut message = String::new();
    for depth in 0..10 {
        message.push_str(&format!("Content-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\n"));
    }
    check(&format!("{message}\nneedle\n"), "limit_depth");
    check(&format!("{message}\nbmVlZGxlIG5lZWRsZSBuZWVkbGUgbmVlZGxlIG5lZWRsZSBuZWVkbGUg\n"), "limit_depth");
}

#[test]
fn messages_too_deep() {
    check(&format!("{}\nneedle\n", "Content-Type: message/rfc822\n\n".repeat(10)), "limit_depth");
}

#[test]
fn encoded_messages_too_deep() {
    // Base64 of base64 of base64 of base64 of a message.
    let head = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n";
    let mut message = "\nneedle\n".to_owned();
    for _ in 0..5 {
        message = format!("{head}{}\n", base64_simd::STANDARD.encode_to_string(crlf(&message).as_bytes()));
    }
    let content = crlf(&message);
    let told = walk(small(), [content.as_bytes()]);
    assert!(told.parts.iter().any(|part| part.defects.contains(&"limit_depth")));
    assert!(walk(Bounds::default(), [content.as_bytes()]).shows("needle"));
}

#[test]
fn too_many_parts() {
    let parts = "--b\n\nx\n".repeat(10);
    check(
        &format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}--b\n\nneedle\n--b--\n"),
        "limit_parts",
    );
}

#[test]
fn too_many_fields_and_octets_of_fields() {
    check(&format!("{}X: needle\n\n", "A: b\n".repeat(5)), "limit_fields");
    let long = "A: 0123456789012345678901234567890123456789\n".repeat(5);
    check(&format!("{long}X: needle\n\n"), "limit_header_bytes");
    check(&format!("A: {}\n {} needle\n\n", "x".repeat(30), "y".repeat(30)), "limit_field_bytes");
    check(&format!("A: {} needle", "x".repeat(300)), "limit_field_bytes");
}

#[test]
fn fields_of_structure_count_beyond_the_bounds() {
    let content = crlf(&format!("{}Content-Type: text/html\n\n<b>x</b>\n", "A: b\n".repeat(10)));
    let told = walk(small(), [content.as_bytes()]);
    assert_eq!(told.parts[0].media_type, "text/html");
    assert_eq!(told.text(0, Reading::Strict).trim(), "x");
}

/// Bombs, small enough for a test: what matters is that the bounds hold and nothing is slow by far.
#[test]
fn bombs_end_within_their_bounds() {
    let mut deep = String::new();
    for depth in 0..20_000 {
        deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\n"));
    }
    let mut pieces = "Content-Type: text/plain".to_owned();
    for piece in 0..20_000 {
        pieces.push_str(&format!(";\n name*{piece}*=x"));
    }
    let bombs = [
        (deep, "limit_depth"),
        ("Content-Type: message/rfc822\n\n".repeat(20_000), "limit_depth"),
        (format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\n".repeat(20_000)), "limit_parts"),
        ("A: b\n".repeat(20_000), "limit_fields"),
        (pieces, "limit_parameters"),
        (
            format!("Content-Type: text/plain; a={}{}\n\n", "(".repeat(20_000), ")".repeat(20_000)),
            "comment_deep",
        ),
        (format!("Subject:{}\n\n", "\n =?utf-8?q?a?=".repeat(20_000)), "limit_field_bytes"),
    ];
    for (message, defect) in bombs {
        let told = walk(Bounds::default(), crlf(&message).as_bytes().chunks(1448));
        assert!(told.parts.iter().any(|part| part.defects.contains(&defect)), "{defect}");
    }
}

/// Pages in links of pages, files in files: each is opened while the one around it is read.
#[test]
fn guesses_nest_to_a_bound() {
    let pages = "<a/href=data:text/html,".repeat(20_000);
    let mut files = "needle\n".to_owned();
    for _ in 0..20 {
        let lines = base64_simd::STANDARD.encode_to_string(crlf(&files).as_bytes());
        files = format!("begin-base64 644 x\n{lines}\n====\n");
    }
    for (kind, body) in [("html", pages), ("plain", files)] {
        let content = crlf(&format!("Content-Type: text/{kind}\n\n{body}"));
        let told = walk(Bounds::default(), content.as_bytes().chunks(1448));
        assert!(told.parts.iter().any(|part| part.defects.contains(&"limit_archive_depth")), "{kind}");
        assert!(told.parts.len() < 20, "{kind}: {}", told.parts.len());
    }
}

/// Every second line of a header section may ask what the boundary is by now.
#[test]
fn a_section_is_asked_for_its_boundary_seldom() {
    let mut message = String::new();
    for line in 0..4000 {
        message.push_str(&format!("Content-Type: multipart/mixed; boundary=a{line}\n--x\n"));
    }
    let told = walk(Bounds::default(), [crlf(&message).as_bytes()]);
    assert!(told.parts.iter().any(|part| part.defects.contains(&"limit_parameters")));
}

#[test]
fn buffers_are_given_back() {
    let mut walker = Walker::new(Bounds::default());
    let mut events = 0;
    let mut count = |_: Event<'_>| events += 1;
    walker.push(format!("A: {}", "x".repeat(10_000_000)).as_bytes(), &mut count);
    walker.finish(&mut count);
    walker.reset();
    assert!(events > 0);
}
