//! A zone written in rows, for tests: it answers what an evaluation asks, and counts.

use std::net::IpAddr;

use super::dns::{Answer, Kind, Known, Missing, Name, Query, Record};

/// Rounds after which an evaluation that is still asking is one that never ends.
const ROUNDS_MAX: usize = 64;

/// Rows of `name KIND value`; `name FAILS` for a server that does not answer what no row is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zone {
    rows: Vec<(String, String, String)>,
}

impl Zone {
    pub(crate) fn new(text: &str) -> Self {
        let rows = text.split('\n').map(str::trim_start).filter(|row| !row.is_empty()).map(|row| {
            let mut words = row.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_default().to_owned();
            (word().to_ascii_lowercase(), word(), word())
        });
        Self { rows: rows.collect() }
    }

    /// Calls `evaluate` until it misses nothing; with what it returned, all questions it asked.
    #[track_caller]
    pub(crate) fn run<T>(&self, mut evaluate: impl FnMut(&Known) -> Result<T, Missing>) -> (T, Vec<Query>) {
        let (mut known, mut asked) = (Known::default(), Vec::new());
        for _ in 0..ROUNDS_MAX {
            match evaluate(&known) {
                Ok(value) => return (value, asked),
                Err(Missing(queries)) => {
                    assert!(!queries.is_empty(), "nothing is missing");
                    for query in queries {
                        assert!(!asked.contains(&query), "{query:?} is asked for twice");
                        known.learn(query.clone(), self.answer(&query));
                        asked.push(query);
                    }
                }
            }
        }
        panic!("still asking after {asked:?}");
    }

    fn answer(&self, query: &Query) -> Answer {
        let of_name = || self.rows.iter().filter(|(name, ..)| name == query.name.as_str());
        let records: Vec<Record> =
            of_name().filter_map(|(_, kind, value)| record(query.kind, kind, value)).collect();
        if !records.is_empty() {
            return Answer::Records { records, is_secure: false };
        }
        let fails = of_name().any(|(_, kind, _)| kind == "FAILS");
        match (fails, of_name().next()) {
            (true, _) => Answer::Failed,
            (_, Some(_)) => Answer::NoData,
            _ => Answer::NotFound,
        }
    }
}

fn record(wanted: Kind, kind: &str, value: &str) -> Option<Record> {
    match (wanted, kind) {
        (Kind::A | Kind::Aaaa, "A") => match (wanted, value.parse().unwrap()) {
            (Kind::A, IpAddr::V4(address)) => Some(Record::A(address)),
            (Kind::Aaaa, IpAddr::V6(address)) => Some(Record::Aaaa(address)),
            _ => None,
        },
        (Kind::Txt, "TXT") => Some(Record::Txt(value.as_bytes().to_vec())),
        (Kind::Ptr, "PTR") => Some(Record::Ptr(Name::parse(value).unwrap())),
        (Kind::Mx, "MX") => Some(Record::Mx { preference: 10, exchange: Name::parse(value) }),
        _ => None,
    }
}
