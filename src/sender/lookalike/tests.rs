use proptest::prelude::proptest;

use super::*;

fn decode(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn mailbox(value: &str) -> Mailbox {
    let author = Author::read_value(value.as_bytes(), &mut decode);
    author.mailboxes.into_iter().next().unwrap()
}

#[test]
fn names_that_hold_other_domains() {
    for (value, wanted) in [
        ("Jane <a@mine.com>", &[][..]),
        ("\"a@mine.com\" <a@mine.com>", &[]),
        ("\"www.mine.com\" <a@mail.mine.com>", &[]),
        ("\"service@bank.com\" <a@mine.com>", &["@bank.com"]),
        ("\"Service (service@Bank.COM)\" <a@mine.com>", &["@bank.com"]),
        ("\"Bank.com support\" <a@mine.com>", &["bank.com"]),
        ("\"https://login.bank.co.uk/x\" <a@mine.com>", &["login.bank.co.uk"]),
        ("\"bank.com.\" <a@mine.com>", &["bank.com"]),
        ("\"service\u{ff20}bank\u{ff0e}com\" <a@mine.com>", &["@bank.com"]),
        ("\"b\u{fc}cher.de\" <a@mine.com>", &["xn--bcher-kva.de"]),
        ("\"x@a.com y@b.com z.org w.net v.de\" <a@mine.com>", &["@a.com", "@b.com", "z.org", "w.net"]),
        ("\"x@a.com x@a.com\" <a@mine.com>", &["@a.com"]),
        ("\"Dr.Smith J.K.Public St.John 1.5 v2.0\" <a@mine.com>", &[]),
        ("\"co.uk com\" <a@mine.com>", &[]),
        ("\"@ . .. @.\" <a@mine.com>", &[]),
    ] {
        let found: Vec<String> = claims(&mailbox(value))
            .into_iter()
            .map(|claim| format!("{}{}", if claim.is_address { "@" } else { "" }, claim.domain))
            .collect();
        assert_eq!(found, wanted, "{value}");
    }
}

#[test]
fn answers_go_where_the_author_is_or_elsewhere() {
    for (replies, wanted) in [
        ("a@mine.com", "same"),
        ("x@mail.mine.com, y@mine.com", "same"),
        ("a@gmail.com", "other"),
        ("a@mine.com, b@gmail.com", "other"),
        ("a@mine.com.example.net", "other"),
        ("Jane", "unreadable"),
        ("a@mine.com(x)", "unreadable"),
        ("", "unreadable"),
    ] {
        let author = Author::read_value(b"Jane <a@www.mine.com>", &mut decode);
        let replies_to = Author::read_value(replies.as_bytes(), &mut decode);
        assert_eq!(reply_to(&author, &replies_to).name(), wanted, "{replies}");
    }
}

#[test]
fn protected_people_write_from_their_domains() {
    let mut people = People::default();
    people.add("Jane Q. Public", &["mine.com"]).unwrap();
    people.add("J\u{fc}rgen Kern", &["Kern@mine.com", "kern.de"]).unwrap();
    assert_eq!(people.add("Boss", &["mine.com"]), Err(PersonFault::Name));
    for (homes, at) in [(&["a b"][..], 0), (&["mine.com", "@mine.com"], 1), (&["a@"], 0), (&[""], 0)] {
        assert_eq!(people.add("Jane Public", homes), Err(PersonFault::Home(at)), "{homes:?}");
    }
    for (value, wanted) in [
        ("Jane Q Public <jane@mine.com>", false),
        ("Jane Q Public <jane@mail.mine.com>", false),
        ("Jane Q Public <jane@gmail.com>", true),
        ("\"PUBLIC, Jane Q.\" <jane@gmail.com>", true),
        ("\"Jane Q Public (CEO)\" <jane@gmail.com>", true),
        ("\"\u{ff2a}ane Q Public\" <jane@gmail.com>", true),
        ("Jurgen Kern <k@gmail.com>", true),
        ("J\u{fc}rgen Kern <k@kern.de>", false),
        ("Juergen Kern <kern@mine.com>", false),
        ("J\u{fc}rgen Kern <KERN@mine.com>", false),
        ("J\u{fc}rgen Kern <other@mine.com>", true),
        ("J\u{fc}rgen Kern <kern@x.mine.com>", true),
        ("Jane Public <jane@gmail.com>", false),
        ("Boss <x@gmail.com>", false),
        ("jane@gmail.com", false),
        ("Jane Q Public <jane@[192.0.2.1]>", true),
    ] {
        assert_eq!(people.is_impersonated_by(&mailbox(value)), wanted, "{value}");
    }
}

proptest! {
    #[test]
    fn any_name_is_looked_at(name in "\\PC{0,40}|[a-z@.\\- ]{0,40}") {
        let own = Mailbox { display_name: name.clone(), local_part: String::new(), domain: host_name("mine.com") };
        for claim in claims(&own) {
            assert!(registrable(claim.domain.as_str()) != "mine.com" && claim.domain.as_str().contains('.'), "{name:?}");
        }
        let mut people = People::default();
        assert_eq!(people.add(&name, &["mine.com"]).is_ok(), words(&name).len() >= 2);
        assert!(!people.is_impersonated_by(&own), "{name:?}");
        let other = Mailbox { domain: host_name("other.com"), ..own };
        assert_eq!(people.is_impersonated_by(&other), words(&name).len() >= 2, "{name:?}");
    }
}
