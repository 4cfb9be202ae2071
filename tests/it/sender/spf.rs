//! The open test suites of SPF: every case of each, and each difference has a name.

use std::fs;
use std::path::Path;

use postern::sender::dns::{Answer, Kind, Known, Missing, Name, Query, Record};
use postern::sender::spf::{Input, Spf, check_host};

use super::corpus;
use super::yaml::{Node, documents};

/// What a case says if the domain's own explanation is not to be used.
const DEFAULT_EXPLANATION: &str = "DEFAULT";

/// The names of a scenario and their records, as the suite writes them.
struct Zone<'a> {
    names: &'a [(String, Node)],
}

impl Zone<'_> {
    fn answer(&self, query: &Query) -> Answer {
        let is_asked = |name: &str| name.trim_end_matches('.').eq_ignore_ascii_case(query.name.as_str());
        let Some((_, rows)) = self.names.iter().find(|(name, _)| is_asked(name)) else {
            return Answer::NotFound;
        };
        let of_kind = |wanted: &str| -> Vec<&Node> {
            let entries = rows.items().iter().flat_map(Node::entries);
            entries.filter(|(kind, _)| kind == wanted).map(|(_, value)| value).collect()
        };
        let values = match query.kind {
            // Type SPF is gone; suites have it where they mean TXT, unless TXT is there too.
            Kind::Txt if of_kind("TXT").is_empty() => of_kind("SPF"),
            Kind::Txt => of_kind("TXT"),
            Kind::A => of_kind("A"),
            Kind::Aaaa => of_kind("AAAA"),
            Kind::Mx => of_kind("MX"),
            _ => of_kind("PTR"),
        };
        let records: Vec<Record> = values.into_iter().filter_map(|value| record(query.kind, value)).collect();
        match rows.items().iter().any(|row| row.octets() == b"TIMEOUT") {
            _ if !records.is_empty() => Answer::Records { records, is_secure: false },
            true => Answer::Failed,
            false => match of_kind("CNAME").first() {
                Some(target) => self.follow(query, &target.text()),
                None => Answer::NoData,
            },
        }
    }

    /// A loop is an error (RFC 1034 §3.6.2).
    fn follow(&self, query: &Query, target: &str) -> Answer {
        let target = Name::parse(target).unwrap();
        if target == query.name {
            return Answer::Failed;
        }
        self.answer(&Query::new(target, query.kind))
    }
}

fn record(kind: Kind, value: &Node) -> Option<Record> {
    let text = value.text();
    Some(match kind {
        Kind::A => Record::A(text.parse().unwrap()),
        Kind::Aaaa => Record::Aaaa(text.parse().unwrap()),
        Kind::Mx => {
            let [preference, exchange] = value.items() else { panic!("{value:?} is no MX") };
            let preference = preference.text().parse().unwrap();
            Record::Mx { preference, exchange: Name::parse(&exchange.text()) }
        }
        Kind::Txt if text == "NONE" => return None,
        Kind::Txt => Record::Txt(value.items().iter().flat_map(|part| part.octets().to_vec()).collect()),
        _ => Record::Ptr(Name::parse(&text).unwrap()),
    })
}

fn run(zone: &Zone<'_>, case: &Node) -> Spf {
    let text = |key: &str| case.at(key).map(Node::text).unwrap_or_default();
    let (helo, mail_from) = (text("helo"), text("mailfrom"));
    let (local_part, domain) = mail_from.rsplit_once('@').unwrap_or(("", &mail_from));
    let input = Input {
        ip: text("host").parse().unwrap(),
        local_part,
        domain,
        helo: &helo,
        receiver: "receiver.example",
        unix_seconds: 0,
        explain: true,
    };
    let mut known = Known::default();
    loop {
        match check_host(&known, &input) {
            Ok(spf) => return spf,
            Err(Missing(queries)) => {
                for query in queries {
                    let answer = zone.answer(&query);
                    known.learn(query, answer);
                }
            }
        }
    }
}

/// What is wrong with a result, if anything.
fn difference(case: &Node, spf: &Spf) -> Option<String> {
    let wanted: Vec<String> = case.at("result").unwrap().items().iter().map(Node::text).collect();
    if !wanted.iter().any(|wanted| wanted == spf.outcome.name()) {
        return Some(format!("{}, not {}: {:?}", spf.outcome.name(), wanted.join(" or "), spf.problem));
    }
    let wanted = case.at("explanation").map(Node::text)?;
    let wanted = if wanted == DEFAULT_EXPLANATION { None } else { Some(wanted) };
    (wanted != spf.explanation).then(|| format!("explains {:?}, not {wanted:?}", spf.explanation))
}

/// How many cases a file has, and those that differ.
fn differences(file: &Path) -> (usize, Vec<(String, String)>) {
    let text = fs::read_to_string(file).unwrap();
    let (mut cases, mut found) = (0, Vec::new());
    for scenario in documents(&text) {
        let Some(zone) = scenario.at("zonedata") else { continue };
        let zone = Zone { names: zone.entries() };
        for (name, case) in scenario.at("tests").unwrap().entries() {
            cases += 1;
            found.extend(difference(case, &run(&zone, case)).map(|what| (name.clone(), what)));
        }
    }
    (cases, found)
}

/// Runs all files of a name; the cases that differ are exactly `known`.
#[track_caller]
fn check(name: &str, cases: usize, known: &[&str]) {
    for file in corpus(name).unwrap_or_default() {
        let (found, differing) = differences(&file);
        let names: Vec<&str> = differing.iter().map(|(name, _)| name.as_str()).collect();
        println!("{name}: {} of {found} as the suite has them", found - differing.len());
        assert_eq!(found, cases, "cases of {}", file.display());
        assert_eq!(names, known, "{differing:#?}");
    }
}

#[test]
fn the_suite_of_rfc_7208() {
    check("rfc7208-tests.yml", 203, &[]);
}

/// Where it differs from its successor it allows several results, among them the successor's.
#[test]
fn the_suite_of_rfc_4408() {
    check("rfc4408-tests.yml", 191, &[]);
}
