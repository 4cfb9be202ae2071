use super::super::zone::Zone;
use super::*;

const ROWS: &str = "
    2.0.0.127.bl.test A 127.0.0.2
    1.2.0.192.bl.test A 127.0.0.2
    2.2.0.192.bl.test A 127.0.0.4
    2.2.0.192.bl.test A 127.0.0.10
    3.2.0.192.bl.test A 192.0.2.99
    4.2.0.192.bl.test A 127.255.255.254
    5.2.0.192.bl.test A 127.0.0.1
    6.2.0.192.bl.test FAILS
    7.2.0.192.bl.test TXT nothing
    8.2.0.192.bl.test A 127.0.0.10
    8.2.0.192.bl.test A 127.0.0.11
    1.2.0.192.wl.test A 127.0.3.2
    1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test A 127.0.0.3
    spam.test.uri.test A 127.0.0.12
    xn--bcher-kva.test.uri.test A 127.0.0.2
    victim.co.uk.uri.test A 127.0.0.2
    9.2.0.192.uri.test A 127.0.0.2
";

fn list(zone: &str, filters: &[(&str, f64)], weight: f64) -> List {
    let filters = filters.iter().map(|(text, weight)| (text.parse().unwrap(), *weight)).collect();
    List { zone: zone.to_owned(), filters, weight, addresses: true, ..List::default() }
}

#[track_caller]
fn of(lists: &[List], ip: &str) -> Listings {
    Zone::new(ROWS).run(|known| of_address(known, lists, ip.parse().unwrap())).0
}

#[test]
fn filters_say_which_answers_count() {
    for (text, fit, unfit) in [
        ("127.0.0.2", &["127.0.0.2"][..], &["127.0.0.3", "127.0.1.2"][..]),
        ("127.0.0.4-7", &["127.0.0.4", "127.0.0.7"], &["127.0.0.3", "127.0.0.8", "127.0.1.5"]),
        ("127.0.0.4-127.0.1.1", &["127.0.0.4", "127.0.0.255", "127.0.1.1"], &["127.0.1.2"]),
        ("127.0.0.0/28", &["127.0.0.2", "127.0.0.15"], &["127.0.0.16"]),
        ("127.0.0.0/8", &["127.255.0.1"], &["128.0.0.1"]),
        (
            "127.0.0.&12",
            &["127.0.0.4", "127.0.0.8", "127.0.0.255"],
            &["127.0.0.3", "127.0.1.4", "127.0.0.16"],
        ),
    ] {
        let filter: Filter = text.parse().unwrap();
        assert!(fit.iter().all(|code| filter.fits(code.parse().unwrap())), "{text}");
        assert!(!unfit.iter().any(|code| filter.fits(code.parse().unwrap())), "{text}");
    }
    for text in [
        "",
        "x",
        "127.0.0",
        "127.0.0.256",
        "192.0.2.1",
        "127.0.0.7-4",
        "127.0.0.1-128.0.0.1",
        "0.0.0.0/0",
        "127.0.0.0/33",
        "127.0.0.&0",
        "127.0.0.&256",
        "192.0.2.&1",
        "127.0.0.2 ",
        "127.0.0.-5",
    ] {
        assert_eq!(text.parse::<Filter>(), Err(FilterError), "{text:?}");
    }
}

#[test]
fn an_address_is_listed_as_the_filters_say() {
    let plain = [list("bl.test", &[], 2.0)];
    let graded = [list("bl.test", &[("127.0.0.2-3", 5.0), ("127.0.0.4", 1.0), ("127.0.0.10-11", 0.5)], 9.0)];
    for (ip, plainly, by_grade) in [
        ("127.0.0.2", 2.0, 5.0),
        ("192.0.2.1", 2.0, 5.0),
        ("::ffff:192.0.2.1", 2.0, 5.0),
        ("2001:db8::1", 2.0, 5.0),
        ("192.0.2.2", 2.0, 1.5),
        ("192.0.2.8", 2.0, 0.5),
        ("192.0.2.7", 0.0, 0.0),
        ("192.0.2.200", 0.0, 0.0),
    ] {
        let found = [of(&plain, ip), of(&graded, ip)];
        assert_eq!([found[0].weight(), found[1].weight()], [plainly, by_grade], "{ip}");
        assert!(found.iter().all(|listings| listings.unanswered.is_empty()), "{ip}");
    }
    let unfit = [list("bl.test", &[("127.0.0.99", 5.0)], 9.0)];
    assert_eq!(of(&unfit, "192.0.2.1"), Listings::default());
    let listing = &of(&graded, "192.0.2.2").found[0];
    assert_eq!((listing.what.as_str(), listing.code.to_string()), ("192.0.2.2", "127.0.0.4".to_owned()));
}

#[test]
fn lists_that_do_not_answer_list_nobody() {
    let lists = [list("bl.test", &[], 2.0), list("wl.test", &[], -3.0)];
    for ip in ["192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"] {
        let listings = of(&lists, ip);
        assert_eq!((listings.found.len(), &listings.unanswered[..]), (0, &[0][..]), "{ip}");
    }
    let both = of(&lists, "192.0.2.1");
    assert_eq!((both.found.len(), both.weight()), (2, -1.0));
}

#[test]
fn hosts_of_links_are_asked_by_what_was_registered() {
    let lists = [list("uri.test", &[("127.0.0.&8", 4.0), ("127.0.0.2", 1.0)], 0.0)];
    let hosts = [
        "www.a.spam.test",
        "SPAM.test.",
        "b\u{fc}cher.test",
        "x.victim.co.uk",
        "co.uk",
        "[192.0.2.9]",
        "192.0.2.9",
        "localhost",
        "a b.test",
        "",
    ];
    let (listings, asked) = Zone::new(ROWS).run(|known| of_hosts(known, &lists, hosts));
    let found: Vec<(&str, f64)> = listings.found.iter().map(|one| (one.what.as_str(), one.weight)).collect();
    assert_eq!(
        found,
        [("spam.test", 4.0), ("xn--bcher-kva.test", 1.0), ("victim.co.uk", 1.0), ("192.0.2.9", 1.0)]
    );
    assert_eq!(asked.len(), 5);
    assert!(!listings.is_partial);
}

#[test]
fn a_list_is_asked_for_what_it_has() {
    let asked_with = |whole_hosts, addresses| {
        let list = List { whole_hosts, addresses, ..list("uri.test", &[], 1.0) };
        let hosts = ["www.a.spam.test", "192.0.2.9", "spam.test", "a.spam.test"];
        let (_, asked) = Zone::new(ROWS).run(|known| of_hosts(known, std::slice::from_ref(&list), hosts));
        let mut names: Vec<String> = asked.iter().map(|query| query.name.to_string()).collect();
        names.sort_unstable();
        names
    };
    let address = "9.2.0.192.uri.test";
    assert_eq!(asked_with(false, false), ["spam.test.uri.test"]);
    assert_eq!(asked_with(false, true), [address, "spam.test.uri.test"]);
    let names = ["a.spam.test.uri.test", "spam.test.uri.test", "www.a.spam.test.uri.test"];
    assert_eq!(asked_with(true, false), names);
}

#[test]
fn hosts_beyond_the_bound_are_told() {
    let lists = [list("uri.test", &[], 1.0), list("other.test", &[], 1.0)];
    let hosts: Vec<String> = (0..100).map(|n| format!("www.n{n}.test")).collect();
    let (listings, asked) =
        Zone::new("").run(|known| of_hosts(known, &lists, hosts.iter().map(String::as_str)));
    assert_eq!((asked.len(), listings.is_partial), (2 * HOSTS_MAX, true));
    let same = vec!["a.n.test"; 100];
    let (listings, asked) = Zone::new("").run(|known| of_hosts(known, &lists, same.iter().copied()));
    assert_eq!((asked.len(), listings.is_partial), (2, false));
}

#[test]
fn hosts_too_long_to_be_asked_for_are_told() {
    let lists = [List { whole_hosts: true, ..list("uri.test", &[], 1.0) }];
    for (labels, want) in [(119, (1, false)), (120, (0, true))] {
        let host = format!("{}spam.test", "a.".repeat(labels - 2));
        let (listings, asked) = Zone::new("").run(|known| of_hosts(known, &lists, [host.as_str()]));
        assert_eq!((asked.len(), listings.is_partial), want, "{labels} labels");
    }
}
