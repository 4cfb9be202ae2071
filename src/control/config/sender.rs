//! `[sender]`: what is asked about who sends.

use std::sync::Arc;
use std::time::Duration;

use super::section::set;
use super::{Outside, tls, unit};
use crate::base::document::{Item, Section};
use crate::policy::sender::{DmarcMode, Resolver, Settings};
use crate::policy::shown::Domains;
use crate::policy::symbol;
use crate::sender::address_list::{Filter, List};
use crate::sender::arc::{KeyFault, Sealer};
use crate::sender::dns::Name;
use crate::sender::lookalike::{People, PersonFault};

const DMARC: &[(&str, DmarcMode)] =
    &[("off", DmarcMode::Off), ("mark", DmarcMode::Mark), ("enforce", DmarcMode::Enforce)];

/// Lists in the DNS that are asked about one client.
const ZONES_MAX: usize = 32;
/// … about the links of one message: each is asked for many names.
const LINK_ZONES_MAX: usize = 8;
/// People whose names are protected.
const PEOPLE_MAX: usize = 10_000;
/// Domains of `freemail`.
const DOMAINS_MAX: usize = 100_000;
/// Of a file of people or domains.
const NAMES_FILE_BYTES_MAX: usize = 4 << 20;
/// Of a private key.
const KEY_FILE_BYTES_MAX: usize = 64 * 1024;
/// The weight of a list.
const SCORE: std::ops::RangeInclusive<f64> = -1000.0..=1000.0;
/// Whether a list of links is asked for whole hosts.
const NAMES: &[(&str, bool)] = &[("domain", false), ("host", true)];
/// A client waits for the reply to its content meanwhile.
const PATIENCE: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

/// `inspects` says whether content is looked into.
pub(super) fn sender(
    section: Option<Section<'_>>,
    inspects: bool,
    outside: &dyn Outside,
) -> Option<Settings> {
    let mut section = section?;
    let mut settings = Settings::default();
    set(&mut settings.resolver, section.item("resolver").and_then(resolver));
    set(&mut settings.validates, section.item("validates").and_then(Item::flag));
    set(&mut settings.patience, section.item("timeout").and_then(|item| item.duration(PATIENCE)));
    // One message may ask for 70 keys at once; its author's domain is to be asked all the same.
    set(&mut settings.questions, section.item("lookups").and_then(|item| item.count(80..=1000)));
    set(&mut settings.exempt, section.item("exempt").map(|item| item.list(unit::network)));
    for (key, flag) in [
        ("spf", &mut settings.spf),
        ("dkim", &mut settings.dkim),
        ("arc", &mut settings.arc),
        ("results", &mut settings.results),
    ] {
        set(flag, section.item(key).and_then(Item::flag));
    }
    set(&mut settings.dmarc, section.item("dmarc").and_then(|item| item.choice(DMARC)));
    set(&mut settings.dnsbl, section.item("dnsbl").map(|item| lists(item, Subject::Clients)));
    set(&mut settings.uribl, section.item("uribl").map(|item| lists(item, Subject::Links)));
    if !settings.uribl.is_empty() && !inspects {
        section.fault_at("uribl", "links are found by [inspect], which is not there");
    }
    set(&mut settings.people, section.item("people").map(|item| Arc::new(people(item, outside))));
    set(&mut settings.freemail, section.item("freemail").map(|item| Arc::new(domains(item, outside))));
    settings.seal = section.item("seal").and_then(|item| sealer(item, outside)).map(Arc::new);
    if settings.seal.is_some() && !settings.arc {
        section.fault_at("arc", "a seal says what became of the seals before it: `arc` is needed for that");
    }
    if settings.dmarc != DmarcMode::Off && !(settings.spf || settings.dkim) {
        section.fault_at(
            "dmarc",
            "without spf and dkim nothing could pass: set one of them, or dmarc = \"off\"",
        );
    }
    section.finish();
    Some(settings)
}

/// `"system"`, or addresses with their ports.
fn resolver(item: Item<'_>) -> Option<Resolver> {
    if item.as_text().is_some() {
        return item.choice(&[("system", ())]).map(|()| Resolver::System);
    }
    let servers = item.some_elements("server").into_iter();
    let servers = servers.filter_map(|element| element.parse(unit::socket_address)).collect();
    Some(Resolver::Servers(servers))
}

/// `[{ name = "Anna Director", addresses = ["anna@example.net", "director.example"] }]`, or a file of
/// lines `Anna Director: anna@example.net director.example`.
fn people(item: Item<'_>, outside: &dyn Outside) -> People {
    let mut people = People::default();
    if item.as_text().is_some() {
        for (line, text) in lines(item, "people", outside) {
            let (name, homes) = text.split_once(':').unwrap_or((&text, ""));
            let homes: Vec<&str> = homes.split([' ', '\t', ',']).filter(|home| !home.is_empty()).collect();
            if let Err(why) = add_person(&mut people, name.trim(), &homes) {
                let path = outside.shown(item.as_text().unwrap_or_default());
                item.fault(format!("people {path}:{line}: {why}"));
                break;
            }
        }
        return people;
    }
    for element in item.elements_up_to(PEOPLE_MAX) {
        let Some(mut section) = element.section("people") else { continue };
        let name = section.required("name").and_then(Item::text);
        let homes = section.required("addresses").map(|item| item.some_elements("address"));
        section.finish();
        let (Some(name), Some(homes)) = (name, homes) else { continue };
        let homes: Vec<&str> = homes.into_iter().filter_map(Item::text).collect();
        if let Err(why) = add_person(&mut people, name, &homes) {
            element.fault(why);
        }
    }
    people
}

fn add_person(people: &mut People, name: &str, homes: &[&str]) -> Result<(), String> {
    if homes.is_empty() || people.len() == PEOPLE_MAX {
        let (name, most) = (name.escape_debug(), PEOPLE_MAX);
        let told = if homes.is_empty() {
            format!("no address of `{name}`")
        } else {
            format!("more than {most} people")
        };
        return Err(told);
    }
    people.add(name, homes).map_err(|fault| match fault {
        PersonFault::Name => format!("`{}` is no name of two words: others bear it too", name.escape_debug()),
        PersonFault::Home(at) => {
            let home = homes.get(at).copied().unwrap_or_default();
            format!("`{}` is neither an address nor a domain", home.escape_debug())
        }
    })
}

/// Domains, or a file with one on each line.
fn domains(item: Item<'_>, outside: &dyn Outside) -> Domains {
    let mut domains = Domains::default();
    if item.as_text().is_none() {
        let elements = item.elements_up_to(DOMAINS_MAX).into_iter();
        elements.filter_map(|element| element.parse(domain_name)).for_each(|domain| domains.insert(domain));
        return domains;
    }
    for (line, text) in lines(item, "freemail", outside) {
        if domains.len() == DOMAINS_MAX {
            item.fault(format!("freemail: more than {DOMAINS_MAX} domains"));
            break;
        }
        match domain_name(&text) {
            Ok(domain) => domains.insert(domain),
            Err(why) => {
                let path = outside.shown(item.as_text().unwrap_or_default());
                item.fault(format!("freemail {path}:{line}: {why}"));
                break;
            }
        }
    }
    domains
}

fn domain_name(text: &str) -> Result<Name, String> {
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let name = Name::parse(text).filter(|name| name.as_str().bytes().all(is_of_host));
    let name = name.filter(|name| name.as_str().contains('.'));
    name.ok_or_else(|| format!("`{}` is no domain", text.escape_debug()))
}

/// Lines of a file that say something, with their numbers.
fn lines(item: Item<'_>, what: &str, outside: &dyn Outside) -> Vec<(usize, String)> {
    let Some(bytes) = tls::file(item, what, NAMES_FILE_BYTES_MAX, outside) else { return Vec::new() };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        item.fault(format!("{what} {}: not UTF-8", outside.shown(item.as_text().unwrap_or_default())));
        return Vec::new();
    };
    let told = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).enumerate();
    told.filter(|(_, line)| !line.is_empty()).map(|(at, line)| (at + 1, line.to_owned())).collect()
}

/// `{ domain = "example.net", selector = "arc", key = "arc.pem" }`.
fn sealer(item: Item<'_>, outside: &dyn Outside) -> Option<Sealer> {
    let mut section = item.section("seal")?;
    let domain = section.required("domain").and_then(|item| item.parse(zone_name));
    let selector = section.required("selector").and_then(|item| item.parse(selector_name));
    let file = section.required("key");
    let pem = file.and_then(|item| tls::file(item, "key", KEY_FILE_BYTES_MAX, outside));
    section.finish();
    let (domain, selector, file, pem) = (Name::parse(&domain?)?, selector?, file?, pem?);
    let wrong = |fault: KeyFault| {
        let shown = outside.shown(file.as_text().unwrap_or_default());
        file.fault(format!("key {shown} {}", fault.text()));
    };
    Sealer::new(domain, &selector, &String::from_utf8_lossy(&pem)).map_err(wrong).ok()
}

/// One or more labels before `._domainkey` (RFC 6376 §3.1).
fn selector_name(text: &str) -> Result<String, String> {
    let is_label =
        |label: &str| label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let name = Name::parse(text).filter(|name| name.as_str().split('.').all(is_label));
    name.map(|name| name.to_string()).ok_or_else(|| format!("`{}` is no selector", text.escape_debug()))
}

/// What a list is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Clients,
    Links,
}

fn lists(item: Item<'_>, subject: Subject) -> Vec<List> {
    let zones_max = if subject == Subject::Links { LINK_ZONES_MAX } else { ZONES_MAX };
    let mut lists: Vec<List> = Vec::new();
    for element in item.elements_up_to(zones_max) {
        match list(element, subject) {
            Some(list) if lists.iter().any(|other| symbol::of_list(other) == symbol::of_list(&list)) => {
                element.fault(format!("{} is asked already", list.zone));
            }
            Some(list) => lists.push(list),
            None => {}
        }
    }
    lists
}

/// `{ zone = "zen.example", score = 6.0, answers = { "127.0.0.2-3" = 3.0 } }`; one of links also says what it
/// has: `names = "host"`, `addresses = true`.
fn list(item: Item<'_>, subject: Subject) -> Option<List> {
    let mut section = item.section(if subject == Subject::Links { "uribl" } else { "dnsbl" })?;
    let zone = section.required("zone").and_then(|item| item.parse(zone_name));
    let weight = section.item("score").map_or(Some(0.0), |item| item.number(SCORE));
    let filters = section.section("answers").map(filters).unwrap_or_default();
    let (mut whole_hosts, mut addresses) = (false, false);
    if subject == Subject::Links {
        set(&mut whole_hosts, section.item("names").and_then(|item| item.choice(NAMES)));
        set(&mut addresses, section.item("addresses").and_then(Item::flag));
    }
    section.finish();
    Some(List { zone: zone?, filters, weight: weight?, whole_hosts, addresses })
}

fn zone_name(text: &str) -> Result<String, String> {
    let name = Name::parse(text).filter(|name| name.as_str().contains('.'));
    name.map(|name| name.to_string()).ok_or_else(|| format!("`{}` is no domain", text.escape_debug()))
}

/// Which answers count, and what.
fn filters(section: Section<'_>) -> Vec<(Filter, f64)> {
    let read = |(text, item): (&str, Item<'_>)| {
        let filter = text.parse::<Filter>().map_err(|error| item.fault(error.to_string())).ok();
        let weight = item.number(SCORE);
        Some((filter?, weight?))
    };
    section.entries().into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Files, MINIMAL, accepted, check_added};
    use super::*;

    fn settings(text: &str) -> Settings {
        let config = accepted(&format!("{MINIMAL}\n[sender]\n{text}"));
        config.sender.as_deref().cloned().unwrap()
    }

    #[test]
    fn what_is_not_said_has_defaults() {
        let plain = settings("");
        assert_eq!((plain.spf, plain.dkim, plain.dmarc), (true, true, DmarcMode::Mark));
        assert_eq!(plain.resolver, Resolver::System);
    }

    #[test]
    fn lists_have_symbols_and_weights() {
        let text = "resolver = [\"127.0.0.1:53\"]\ndmarc = \"enforce\"\n\
                    dnsbl = [{ zone = \"Zen.example.\", score = 6.0 }, \
                    { zone = \"wl.example\", answers = { \"127.0.0.2-3\" = -2.5 } }]\n";
        let settings = settings(text);
        let found: Vec<_> = settings.dnsbl.iter().map(|list| (symbol::of_list(list), list.weight)).collect();
        let want = [("DNSBL_ZEN_EXAMPLE", 6.0), ("DNSBL_WL_EXAMPLE", 0.0)];
        assert_eq!(found, want.map(|(symbol, weight)| (symbol.to_owned(), weight)));
        assert_eq!(settings.dnsbl[1].filters.len(), 1);
        assert_eq!(settings.dmarc, DmarcMode::Enforce);
    }

    #[test]
    fn lists_of_links_say_what_they_have() {
        let text = "uribl = [{ zone = \"uri.example\", score = 5.0 }, \
                    { zone = \"dbl.example\", names = \"host\", addresses = true, answers = { \"127.0.1.2\" = -1 } }]";
        let settings = settings(&format!("{text}\n[inspect]\npatterns = []\n"));
        let found: Vec<_> = settings.uribl.iter().map(symbol::of_link_list).collect();
        assert_eq!(found, ["URIBL_URI_EXAMPLE", "URIBL_DBL_EXAMPLE"]);
        let has: Vec<_> = settings.uribl.iter().map(|list| (list.whole_hosts, list.addresses)).collect();
        assert_eq!(has, [(false, false), (true, true)]);
        assert_eq!(settings.weights().collect::<Vec<_>>(), [5.0, -1.0, 0.0]);
        let none = "12:9: links are found by [inspect], which is not there";
        let uribl = "uribl = [{ zone = \"a.b\" }]\n";
        check_added(&format!("[sender]\n{uribl}"), &[none]);
    }

    const FOLDER: Files = Files(&[
        ("people", b"# x\nAnna Director: anna@a.test, director.test\n\nBob B: b.test\n"),
        ("bad", b"Anna Director: a.test\nBoss: a.test\n"),
        ("free", b"# x\nfree.test\nother.test # y\n"),
        ("text.pem", b"nothing"),
        ("odd.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
    ]);

    #[test]
    fn people_and_domains_come_from_files_or_stand_here() {
        let read = |text: &str| {
            let config = super::super::read_with("p.toml", &format!("{MINIMAL}\n[sender]\n{text}"), &FOLDER);
            config.map(|config| config.sender.unwrap()).map_err(|rejected| rejected.to_string())
        };
        let here = "people = [{ name = \"Anna Director\", addresses = [\"anna@a.test\", \"director.test\"] }, \
                    { name = \"Bob B\", addresses = [\"b.test\"] }]\nfreemail = [\"free.test\", \"other.test\"]\n";
        let settings = read(here).unwrap();
        assert_eq!((settings.people.len(), settings.freemail.len()), (2, 2));
        assert_eq!(settings, read("people = \"people\"\nfreemail = \"free\"\n").unwrap());
        for (text, wanted) in [
            (
                "people = \"bad\"",
                "13:10: people /etc/postern/bad:2: `Boss` is no name of two words: others bear it too",
            ),
            ("people = \"none\"", "13:10: people /etc/postern/none: no such file"),
            ("people = [{ name = \"A B\", addresses = [] }]", "at least one address is needed"),
            (
                "people = [{ name = \"A B\", addresses = [\"x y\"] }]",
                "13:11: `x y` is neither an address nor a domain",
            ),
            ("freemail = \"people\"", "people:2: `Anna Director: anna@a.test, director.test` is no domain"),
            ("freemail = [\"x\"]", "13:13: `x` is no domain"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(wanted), "{said}");
        }
    }

    #[test]
    fn what_seals_is_a_domain_a_selector_and_a_key() {
        let odd = "key /etc/postern/odd.pem is neither an RSA key of 2048 to 8192 bits nor an Ed25519 key, in PKCS#8 or PKCS#1";
        let missing = "key /etc/postern/x.pem: no such file";
        for (fields, wanted) in [
            ("domain = \"x\", selector = \"s\", key = \"x.pem\"", &["19: `x` is no domain", missing][..]),
            ("domain = \"a.b\", selector = \"s s\", key = \"x.pem\"", &["37: `s s` is no selector", missing]),
            ("domain = \"a.b\", selector = \"s\"", &["`key` is missing"]),
            (
                "domain = \"a.b\", selector = \"s\", key = \"text.pem\"",
                &["text.pem holds no private key in PEM"],
            ),
            ("domain = \"a.b\", selector = \"s\", key = \"odd.pem\"", &["48: ", odd]),
            (
                "domain = \"a.b\", selector = \"s\", key = \"odd.pem\", x = 1",
                &["59: unknown key `x` in seal"],
            ),
        ] {
            let config = format!("{MINIMAL}\n[sender]\nseal = {{ {fields} }}\n");
            let said = super::super::read_with("p.toml", &config, &FOLDER).unwrap_err().to_string();
            assert!(wanted.iter().all(|wanted| said.contains(wanted)), "{said}");
        }
    }

    #[test]
    fn faults_are_told() {
        let answers = "12:51: an answer is written as 127.0.0.2, 127.0.0.4-7, 127.0.0.0/28 or 127.0.0.&12, within 127.0.0.0/8";
        let nothing = "12:9: without spf and dkim nothing could pass: set one of them, or dmarc = \"off\"";
        for (line, wanted) in [
            ("resolver = \"systm\"", "12:12: `systm` is not known here; did you mean `system`?"),
            ("timeout = \"0s\"", "12:11: 0ns is out of range: 10ms to 60s"),
            ("dnsbl = [{ zone = \"x\" }]", "12:19: `x` is no domain"),
            ("dnsbl = [{ zone = \"a.b\", answers = { \"10.0.0.1\" = 1 } }]", answers),
            (
                "uribl = [{ zone = \"a.b\", names = \"x\" }]\n[inspect]",
                "12:34: `x` is not known here; known: domain, host",
            ),
            (
                "dnsbl = [{ zone = \"a.b\", names = \"host\" }]",
                "12:26: unknown key `names` in dnsbl; known: zone, score, answers",
            ),
            ("dmarc = \"mark\"\nspf = false\ndkim = false", nothing),
        ] {
            check_added(&format!("[sender]\n{line}\n"), &[wanted]);
        }
    }
}
