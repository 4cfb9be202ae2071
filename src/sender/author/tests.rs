use proptest::prelude::{any, prop, proptest};

use super::{Author, FIELDS_MAX, Flaw, MAILBOXES_MAX, Mailbox};

/// As much of RFC 2047 as rows need: words of UTF-8 in the Q encoding.
fn decode(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets).into_owned();
    let Some((before, word)) = text.split_once("=?utf-8?q?") else { return text };
    let Some((word, behind)) = word.split_once("?=") else { return text };
    let mut octets = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let coded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (*byte, coded) {
            (b'=', Some(coded)) => {
                octets.push(coded);
                rest = &rest[2..];
            }
            (b'_', _) => octets.push(b' '),
            (byte, _) => octets.push(byte),
        }
    }
    format!("{before}{}{behind}", String::from_utf8_lossy(&octets))
}

fn read(fields: &[(&[u8], &[u8])]) -> Author {
    Author::read(fields.iter().copied(), &mut decode)
}

fn of_value(value: impl AsRef<[u8]>) -> Author {
    read(&[(b"Subject", b" <x@subject.test>\r\n"), (b"From", value.as_ref())])
}

fn flaws(author: &Author) -> Vec<Flaw> {
    author.flaws.iter().collect()
}

/// A value of one mailbox without any flaw.
#[track_caller]
fn check(value: &str, display_name: &str, local_part: &str, domain: &str) {
    let author = of_value(value);
    assert_eq!(flaws(&author), [], "{value}");
    let [Mailbox { display_name: name, local_part: local, domain: found }] = &author.mailboxes[..] else {
        panic!("{author:?}");
    };
    let found = found.as_ref().unwrap().as_str();
    assert_eq!((name.as_str(), local.as_str(), found), (display_name, local_part, domain), "{value}");
    assert_eq!(author.domain().unwrap().as_str(), domain);
}

#[test]
fn one_mailbox_is_one_author() {
    check("a@d.test", "", "a", "d.test");
    check(" A.B+c@D.Test\r\n", "", "A.B+c", "d.test");
    check("<a@d.test>", "", "a", "d.test");
    check("Jane <a@d.test>", "Jane", "a", "d.test");
    check("Jane<a@d.test>", "Jane", "a", "d.test");
    check("Jane Q. Public  <a@d.test>", "Jane Q. Public", "a", "d.test");
    check("\"Public, Jane (x) <y>\" <a@d.test>", "Public, Jane (x) <y>", "a", "d.test");
    check("\"J \\\"the\\\" P\" < a@d.test >", "J \"the\" P", "a", "d.test");
    check("Jane (in the office) <a@d.test>", "Jane in the office", "a", "d.test");
    check("a@d.test (Jane (Q) Public)", "Jane Q Public", "a", "d.test");
    check("=?utf-8?q?J=C3=BCrgen_K?= <a@d.test>", "J\u{fc}rgen K", "a", "d.test");
    check("J\u{fc}rgen <a@d.test>", "J\u{fc}rgen", "a", "d.test");
    check("Jane\r\n <a@d.test>\r\n", "Jane", "a", "d.test");
    check("\r\n Jane <a@d.test>\r\n", "Jane", "a", "d.test");
    check("\"a b\"@d.test", "", "a b", "d.test");
    check("a@b\u{fc}cher.test", "", "a", "xn--bcher-kva.test");
    check("a@xn--bcher-kva.test", "", "a", "xn--bcher-kva.test");
    check("\"other@e.test\" <a@d.test>", "other@e.test", "a", "d.test");
    check("a@d.test <a@d.test>", "a@d.test", "a", "d.test");
    check("a..b.@d.test", "", "a..b.", "d.test");
    check("a@mail_1.d.test", "", "a", "mail_1.d.test");
    check("a@localhost", "", "a", "localhost");
    check("a%e.test@d.test", "", "a%e.test", "d.test");
}

/// A value that has a flaw, and therefore no domain that anything could pass for.
#[track_caller]
fn check_flaw(value: impl AsRef<[u8]>, flaw: Flaw) {
    let value = value.as_ref();
    let author = of_value(value);
    let shown = String::from_utf8_lossy(value).into_owned();
    assert!(author.flaws.contains(flaw), "{shown:?}: {:?}", flaws(&author));
    assert_eq!(author.domain(), None, "{shown:?}");
}

/// Values that clients are known, or free, to read each in its own way.
const AMBIGUOUS: &[(&str, Flaw)] = &[
    ("", Flaw::NoMailbox),
    (" \r\n", Flaw::NoMailbox),
    ("nobody:;", Flaw::NoMailbox),
    ("nobody:;", Flaw::Group),
    ("Jane", Flaw::Malformed),
    ("<>", Flaw::Malformed),
    ("a@", Flaw::Malformed),
    ("@d.test", Flaw::Malformed),
    ("a@@d.test", Flaw::Malformed),
    ("a@d.test@e.test", Flaw::Malformed),
    ("<a@d.test", Flaw::Malformed),
    ("a@d.test>", Flaw::Malformed),
    ("<<a@d.test>>", Flaw::Malformed),
    ("<a@d.test> x", Flaw::Malformed),
    ("<a@d.test><b@e.test>", Flaw::Malformed),
    ("<b@e.test>a@d.test", Flaw::Malformed),
    ("a@d.test; b@e.test", Flaw::Malformed),
    ("Jane b@e.test", Flaw::Malformed),
    ("\"Jane <a@d.test>", Flaw::Malformed),
    ("Jane (x <a@d.test>", Flaw::Malformed),
    ("Jane [x] <a@d.test>", Flaw::Malformed),
    ("a\\@d.test", Flaw::Malformed),
    ("<b@e.test>\\,<a@d.test>", Flaw::Malformed),
    ("a@\"d.test\"", Flaw::Malformed),
    ("x:y:a@d.test;", Flaw::Malformed),
    ("a@d.test, b@e.test", Flaw::SeveralDomains),
    ("<a@d.test>, b@d.test.", Flaw::SeveralDomains),
    ("x: a@d.test;", Flaw::Group),
    ("x: a@d.test", Flaw::Group),
    ("<@e.test:a@d.test>", Flaw::Route),
    ("<@e.test,@f.test:a@d.test>", Flaw::Route),
    ("a(x)@d.test", Flaw::Comment),
    ("a@(x)d.test", Flaw::Comment),
    ("a@d.test(.e.test)", Flaw::Comment),
    ("<a@d.test> (x)", Flaw::Comment),
    ("(<b@e.test>) <a@d.test>", Flaw::Comment),
    ("a @d.test", Flaw::Spaced),
    ("a@ d.test", Flaw::Spaced),
    ("a@d.test .e.test", Flaw::Malformed),
    ("a@\r\n d.test", Flaw::Spaced),
    ("=?utf-8?q?b=40e.test=00?=@d.test", Flaw::EncodedAddress),
    ("a@=?utf-8?q?e.test?=.d.test", Flaw::EncodedAddress),
    ("\"b@e.test\"@d.test", Flaw::LocalPart),
    ("\"b@e.test,\"@d.test", Flaw::LocalPart),
    ("\"<b\"@d.test", Flaw::LocalPart),
    ("\"\"@d.test", Flaw::LocalPart),
    ("b\u{ff20}e.test@d.test", Flaw::LocalPart),
    ("b@e.test <a@d.test>", Flaw::AddressInName),
    ("Jane b@e.test <a@d.test>", Flaw::AddressInName),
    ("\"<b@e.test>\" <a@d.test>", Flaw::AddressInName),
    ("=?utf-8?q?=3Cb=40e.test=3E=2C?= <a@d.test>", Flaw::AddressInName),
    ("=?utf-8?q?b=0D=0AX=3A_y?= <a@d.test>", Flaw::Control),
    ("=?utf-8?q?b=00?= <a@d.test>", Flaw::Control),
    ("b@e.test\0@d.test", Flaw::Control),
    ("b@e.test\0", Flaw::Control),
    ("Jane\u{7f} <a@d.test>", Flaw::Control),
    ("Jane\r<a@d.test>", Flaw::Control),
    ("Jane\r\n \r\n <a@d.test>", Flaw::BlankLine),
    ("a@d.test\r\n \r\n", Flaw::BlankLine),
    ("a\u{200b}@d.test", Flaw::Invisible),
    ("b@e.test\u{2028}\u{2028}@d.test", Flaw::Malformed),
    ("a\u{3164}@d.test", Flaw::Invisible),
    ("a@d\u{ad}.test", Flaw::Invisible),
    ("\u{202e}tset.e@b <a@d.test>", Flaw::Invisible),
    ("a@[192.0.2.1]", Flaw::Literal),
    ("a@[d.test]", Flaw::Literal),
    ("a@d.test.", Flaw::DomainInvalid),
    ("a@.d.test", Flaw::DomainInvalid),
    ("a@d..test", Flaw::DomainInvalid),
    ("a@d!.test", Flaw::DomainInvalid),
    ("a@-d.test", Flaw::DomainInvalid),
    ("a@192.0.2.1", Flaw::DomainInvalid),
    ("a@d.test\u{7f}", Flaw::DomainInvalid),
    ("a@xn--a.test", Flaw::DomainInvalid),
];

#[test]
fn what_clients_read_differently_has_no_domain() {
    use Flaw::{LocalPart, Malformed, NotUtf8, TooLong};
    let long_local = format!("{}@d.test", "x".repeat(65));
    let long_value = format!("{} <a@d.test>", "x ".repeat(5000));
    let deep = format!("{}x{} <a@d.test>", "(".repeat(9), ")".repeat(9));
    for (value, flaw) in AMBIGUOUS {
        check_flaw(value, *flaw);
    }
    check_flaw(deep, Malformed);
    check_flaw(long_local, LocalPart);
    check_flaw(long_value, TooLong);
    check_flaw(b"\xff@d.test", NotUtf8);
    check_flaw(b"a@\xff.d.test", NotUtf8);
    check_flaw("a@d.test,".repeat(MAILBOXES_MAX + 1), TooLong);
}

#[test]
fn several_mailboxes_of_one_domain_are_one_author_to_dmarc() {
    let author = of_value("a@d.test, B <b@D.test>,, c@d.test");
    assert_eq!(flaws(&author), [Flaw::SeveralMailboxes]);
    assert_eq!(author.domain().unwrap().as_str(), "d.test");
    assert_eq!(author.mailboxes.len(), 3);
    let author = of_value("a@d.test, b@e.test");
    let domains: Vec<&str> = author.domains().map(|domain| domain.as_str()).collect();
    assert_eq!(domains, ["d.test", "e.test"]);
}

#[test]
fn there_is_one_field() {
    let field = |name: &'static [u8]| (name, &b" a@d.test\r\n"[..]);
    assert_eq!(flaws(&read(&[])), [Flaw::NoField]);
    assert_eq!(flaws(&read(&[field(b"Sender"), field(b"From-"), field(b"Resent-From")])), [Flaw::NoField]);
    for name in [&b"From"[..], b"FROM", b"from \t"] {
        assert_eq!(flaws(&read(&[(name, b"a@d.test")])), [], "{name:?}");
    }
    for name in [&b" From"[..], b"From\0", b"Fr\x08om", b"From\xc2\xa0", b"\xef\xbb\xbfFrom"] {
        let author = read(&[(name, b"a@d.test")]);
        assert_eq!(flaws(&author), [Flaw::FieldDisguised], "{name:?}");
        assert_eq!(author.domain(), None);
    }
    let twice = read(&[field(b"From"), field(b"From")]);
    assert_eq!(flaws(&twice), [Flaw::SeveralFields, Flaw::SeveralMailboxes]);
    assert_eq!(twice.domain(), None);
    assert_eq!(read(&[field(b"From"); 100]).mailboxes.len(), FIELDS_MAX);
    let disguised = read(&[field(b"From"), (b"From\0", b"b@e.test")]);
    assert!(disguised.flaws.contains(Flaw::SeveralFields) && disguised.flaws.contains(Flaw::SeveralDomains));
}

#[test]
fn flaws_have_names_of_their_own() {
    let mut names: Vec<&str> = Flaw::ALL.map(Flaw::name).to_vec();
    assert!(Flaw::ALL.iter().enumerate().all(|(place, flaw)| *flaw as usize == place));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Flaw::ALL.len());
}

proptest! {
    /// What a client could find in a value that is one author's: the domain behind the last @.
    #[test]
    fn a_domain_is_what_stands_behind_the_last_at(pieces in prop::collection::vec(
        prop::sample::select(&["a", "b", "@", "@", "d.test", "e.test", "<", ">", "(", ")", "\"", "\\", ",", ":", ";", " ",
            "\r\n ", "[", "]", "=?utf-8?q?", "?=", "\0", "\u{e4}", "\u{200b}"][..]), 0..16)) {
        let value = pieces.concat();
        let author = of_value(&value);
        if let Some(domain) = author.domain() {
            let found: Vec<&str> = ["d.test", "e.test"].into_iter().filter(|name| value.contains(name)).collect();
            let quoted = value.contains('"') || value.contains('(');
            // What stands before the only @ is a local part, whatever it looks like.
            let is_only = value.matches('@').count() == 1;
            let one = found.len() == 1 || is_only || quoted || author.flaws.contains(Flaw::SeveralMailboxes);
            assert!(one || domain.as_str().len() > 6, "{value:?} gives {domain}");
            let last = value.rsplit('@').next().unwrap().to_lowercase();
            assert!(quoted || author.mailboxes.len() > 1 || last.starts_with(domain.as_str()) || !last.is_ascii(), "{value:?} gives {domain}");
        }
    }

    /// Any octets are read to their end, and what has a domain has no flaw that is ambiguous.
    #[test]
    fn any_value_is_read(value in prop::collection::vec(any::<u8>(), 0..200), name in "\\PC{0,8}") {
        let author = read(&[(b"From", &value), (name.as_bytes(), &value)]);
        let ambiguous = author.flaws.iter().any(Flaw::is_ambiguous);
        assert!(author.domain().is_none() || !ambiguous, "{value:?}");
        assert!(author.mailboxes.len() <= MAILBOXES_MAX && (ambiguous || !author.mailboxes.is_empty()));
    }
}
