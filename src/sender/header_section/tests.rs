use super::{Bound, FIELDS_MAX, Fields, HeaderSection, SECTION_BYTES_MAX};

/// `section` ends where `body` begins, at every cut, and has these names.
#[track_caller]
fn check(section: &str, body: &str, names: &[&str]) {
    let content = [section, body].concat().into_bytes();
    for cut in 0..=content.len() {
        let mut collected = HeaderSection::default();
        let pieces = [&content[..cut], &content[cut..]];
        let taken: usize = pieces.into_iter().map(|piece| collected.push(piece)).sum();
        assert_eq!(taken, section.len(), "cut at {cut}");
        assert_eq!(collected.is_complete(), section.ends_with("\r\n\r\n") || section == "\r\n");
        let fields = collected.fields().unwrap();
        let found: Vec<&[u8]> = fields.all().iter().map(|field| field.name()).collect();
        assert_eq!(found, names.iter().map(|name| name.as_bytes()).collect::<Vec<_>>());
        let octets: usize = fields.all().iter().map(|field| field.raw.len()).sum();
        assert_eq!(octets + if collected.is_complete() { 2 } else { 0 }, section.len());
    }
}

#[test]
fn a_section_ends_at_the_first_empty_line() {
    check("A: b\r\nC: d\r\n\r\n", "E: f\r\n\r\n", &["A", "C"]);
    check("\r\n", "A: b\r\n", &[]);
    check("A: b\r\n e: f\r\n\tg\r\nC : d\r\n\r\n", "\r\n", &["A", "C"]);
    check("A: b\r\n \r\nC: d\r\n\r\n", "", &["A", "C"]);
}

#[test]
fn content_may_end_within_it() {
    for section in ["", "A: b", "A: b\r", "A: b\r\n", "A: b\r\n c"] {
        check(section, "", if section.is_empty() { &[] } else { &["A"] });
    }
}

#[test]
fn a_line_without_a_colon_has_no_name() {
    check("From x\r\nA: b\r\nnothing\r\n\r\n", "", &["", "A", ""]);
    check(" A: b\r\nC: d\r\n\r\n", "", &[" A", "C"]);
}

#[test]
fn only_crlf_ends_a_line() {
    check("A: b\nC: d\r\n\n\r\n\r\n", "", &["A", ""]);
    check("A: b\r\r\n\r\n", "x", &["A"]);
    check("A: \n\r\n\r\n", "", &["A"]);
}

#[test]
fn fields_are_found_by_name_in_their_order() {
    let mut fields = Fields::read(b"to: 1\r\nA: 2\r\nTo : 3\r\nab: 4\r\nTO:5\r\n").unwrap();
    fields.index();
    let found = |name: &str| -> Vec<u16> { fields.places(name.as_bytes()).1.to_vec() };
    assert_eq!((found("tO"), found("AB"), found("b"), found("")), (vec![0, 2, 4], vec![3], vec![], vec![]));
    let groups: Vec<usize> = ["a", "ab", "to"].map(|name| fields.places(name.as_bytes()).0).to_vec();
    assert_eq!(groups.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
}

#[test]
fn what_is_too_much_is_said_to_be() {
    let with_octets = |count: usize| {
        let mut section = HeaderSection::default();
        let line = format!("A: {}\r\n", "x".repeat(count - 7));
        let taken: usize = line.as_bytes().chunks(1000).map(|piece| section.push(piece)).sum();
        assert_eq!(section.push(b"\r\nbody") + taken, count);
        section.fields().map(|fields| fields.all().len())
    };
    assert_eq!(with_octets(SECTION_BYTES_MAX), Ok(1));
    assert_eq!(with_octets(SECTION_BYTES_MAX + 1), Err(Bound::Octets));
    let with_fields =
        |count: usize| Fields::read("A:\r\n".repeat(count).as_bytes()).map(|fields| fields.all().len());
    assert_eq!((with_fields(FIELDS_MAX), with_fields(FIELDS_MAX + 1)), (Ok(FIELDS_MAX), Err(Bound::Fields)));
}
