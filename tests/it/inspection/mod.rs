//! Content inspection as a whole: what is hidden in a message is found, at every cut, within bounds.
//!
//! In process over [`postern::policy::inspect`], and through the real program where a peer must see
//! what follows. Specimens are built here; none is stored.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the peers of the product are plain blocking programs"
)]

mod bombs;
mod corpus;
mod evasions;
mod explained;
mod signature;
mod specimen;
mod through;

use std::sync::Arc;

use postern::mime::{Defect, archive};
use postern::policy::condition::Reads;
use postern::policy::facts::Facts;
use postern::policy::inspect::{Bench, Engine};
use postern::policy::settings::Inspect;
use postern::policy::symbol;
use postern::scan::{Choice, Rules, pattern};

/// What is looked for: 68 octets, as many as the test file of anti-virus programs has.
const SIGNATURE: &str = "POSTERN-TEST-0123456789012345678901234567890123456789012345678901234";
const _: () = assert!(SIGNATURE.len() == 68);

const FOUND: &str = "SIGNATURE";
const NAMED: &str = "FORBIDDEN_NAME";

/// A pattern file that looks for the signature in `places`, and for programs by their names.
fn patterns(places: &str) -> String {
    format!(
        "[[pattern]]\nsymbol = \"{FOUND}\"\nscore = 20.0\nliteral = \"{SIGNATURE}\"\nin = [{places}]\n\
         why = \"The signature of the tests\"\n\n\
         [[pattern]]\nsymbol = \"{NAMED}\"\nscore = 20.0\nmatch = '\\.exe$'\nin = [\"filename\"]\n\
         why = \"The name of a program\"\n"
    )
}

/// Everything that can be a fact is one.
fn engine(patterns: &str) -> Arc<Engine> {
    let patterns = pattern::parse("test.toml", patterns).unwrap();
    let rules = Rules::compile(patterns, Choice::Never).unwrap();
    let inspect = Inspect { enabled: true, protect: vec!["bank.example".to_owned()], ..Inspect::default() };
    let reads = Reads { urls: true, digests: true, ..Reads::default() };
    Arc::new(Engine::new(rules, &inspect, &reads))
}

/// The facts of a message that comes in `pieces`.
fn facts<'a>(engine: &Arc<Engine>, pieces: impl IntoIterator<Item = &'a [u8]>) -> Facts {
    let mut bench = Bench::new();
    let mut inspection = bench.begin(engine);
    pieces.into_iter().for_each(|piece| inspection.push(piece, &mut bench));
    inspection.finish(&mut bench);
    let facts = inspection.facts().clone();
    bench.end(inspection);
    facts
}

fn has(facts: &Facts, symbol: &str) -> bool {
    facts.symbols.find(symbol).is_some()
}

/// What a rule can refuse: limits, defects over which readers differ, and what is locked.
fn refusable(facts: &Facts) -> Vec<String> {
    let message = &facts.message;
    let is_serious = |name: &str| {
        Defect::ALL.iter().any(|defect| defect.serious() && defect.name() == name)
            || archive::Defect::ALL.iter().any(|defect| defect.serious() && defect.name() == name)
    };
    let mut names: Vec<String> = message.limits.iter().map(|name| format!("limit {name}")).collect();
    names.extend(message.defects.iter().filter(|name| is_serious(name)).map(str::to_owned));
    names.extend(message.encrypted.then(|| "encrypted".to_owned()));
    let disguised = [symbol::NAME_DISGUISED, symbol::KIND_DISGUISED];
    names.extend(disguised.iter().filter(|name| has(facts, name)).map(ToString::to_string));
    names
}
