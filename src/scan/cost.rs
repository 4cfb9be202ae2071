//! What patterns cost, measured on the reference text before anyone's mail pays for it.
//!
//! Each expression is compiled alone and timed over the sample of its place, less what the engine costs with
//! nothing to do; phrases and literals share what their engine takes, by their number. A place's total is
//! measured on everything together, as a stream runs it. Times are of this machine and noisy: the least of
//! several runs counts. The clock is the caller's.

use std::sync::Arc;

use super::database::{self, Database, Literal, Note, Regex, Scanned};
use super::normalise;
use super::pattern::{Find, Pattern, Place, prepare};
use super::phrase::{LEAD_BYTES, SLACK_BYTES, View, Words};
use super::reference::{Sample, sample};
use super::rules::Rules;
use super::set::{Set, Split, Whole};
use super::stream::{BLOCK_BYTES, STREAM_BUFFER_BYTES, Scratch};

/// What one expression may cost before it is named with advice.
pub const PATTERN_NS_PER_KIB_MAX: f64 = 250.0;
/// What all of one place may cost: 0.4 GB/s.
pub const PLACE_NS_PER_KIB_MAX: f64 = 2500.0;
/// Hits in a kibibyte of harmless text from which on a pattern tells nothing.
const HITS_PER_KIB_MAX: f64 = 1.0;
const RUNS: usize = 5;

/// Nanoseconds since whenever.
pub type Clock<'a> = &'a mut dyn FnMut() -> u64;

/// The cost of all patterns.
#[derive(Clone, Debug)]
pub struct Sheet {
    pub rows: Vec<Row>,
    pub totals: Vec<Total>,
}

/// One pattern in one place.
#[derive(Clone, Debug)]
pub struct Row {
    pub pattern: u32,
    pub place: Place,
    pub way: Way,
    pub ns_per_kib: f64,
    /// Of one open stream.
    pub state_bytes: usize,
    /// Matches in a kibibyte of the reference text.
    pub hits_per_kib: f64,
    /// What is looked for before an expression that can be split.
    pub literals: Vec<String>,
    pub advice: Option<String>,
}

/// How a pattern is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Words,
    Literal,
    Expression,
    /// By literals, then a second look.
    Split,
}

impl Way {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Literal => "literal",
            Self::Expression => "expression",
            Self::Split => "split",
        }
    }
}

/// One place with all its patterns.
#[derive(Clone, Debug)]
pub struct Total {
    pub place: Place,
    pub ns_per_kib: f64,
    pub database_bytes: usize,
    /// Of one open stream, its buffer included.
    pub stream_bytes: usize,
}

impl Sheet {
    /// Patterns that cost too much and can be split: for [`Choice::These`](super::Choice).
    pub fn splittable(&self) -> Vec<u32> {
        let rows = self.rows.iter().filter(|row| row.way == Way::Expression && !row.literals.is_empty());
        rows.filter(|row| row.ns_per_kib > PATTERN_NS_PER_KIB_MAX).map(|row| row.pattern).collect()
    }

    /// One line for each place over `budget` nanoseconds per kibibyte, with what costs most in it.
    pub fn over_budget(&self, budget: f64, patterns: &[Pattern]) -> Vec<String> {
        let over = self.totals.iter().filter(|total| total.ns_per_kib > budget);
        over.map(|total| {
            let mut rows: Vec<&Row> = self.rows.iter().filter(|row| row.place == total.place).collect();
            rows.sort_by(|one, other| other.ns_per_kib.total_cmp(&one.ns_per_kib));
            let name = |row: &&Row| patterns.get(row.pattern as usize).map_or("", |pattern| &pattern.symbol);
            let most: Vec<String> =
                rows.iter().take(5).map(|row| format!("{} {:.0}", name(row), row.ns_per_kib)).collect();
            format!(
                "{}: {:.0} ns/KiB of {budget:.0}; most: {}",
                total.place,
                total.ns_per_kib,
                most.join(", ")
            )
        })
        .collect()
    }
}

/// Measures `rules`. `progress` hears of each pattern and how many there are.
pub fn measure(rules: &Rules, clock: Clock<'_>, progress: &mut dyn FnMut(usize, usize)) -> Sheet {
    let mut sheet = Sheet { rows: Vec::new(), totals: Vec::new() };
    let (all, mut done) = (rules.sets().iter().map(|set| set.rules.len()).sum(), 0);
    for set in rules.sets() {
        let mut bench = Bench::new(set, clock);
        for rule in &set.rules {
            if let Some(pattern) = rules.pattern(rule.pattern) {
                sheet.rows.push(bench.row(rule.pattern, pattern, rules.split().contains(&rule.pattern)));
            }
            done += 1;
            progress(done, all);
        }
        sheet.totals.push(bench.total());
    }
    sheet
}

/// One place's sample, and the costs that its patterns share.
struct Bench<'a> {
    set: &'a Arc<Set>,
    clock: Clock<'a>,
    text: Vec<u8>,
    scratch: database::Scratch,
    /// Of an engine that finds nothing.
    idle: f64,
    per_phrase: f64,
    per_literal: f64,
}

impl<'a> Bench<'a> {
    fn new(set: &'a Arc<Set>, clock: &'a mut dyn FnMut() -> u64) -> Self {
        let text = sample_of(&set.place);
        let scratch = database::Scratch::new();
        let mut bench = Self { set, clock, text, scratch, idle: 0.0, per_phrase: 0.0, per_literal: 0.0 };
        let nothing = Regex { source: c"\\x01qz\\x02".to_owned(), flags: 0 };
        bench.idle = bench.alone(&Database::of_regexes(&[nothing]).ok()).0;
        let [phrases, literals, ..] = set.counts().map(share);
        bench.per_phrase = bench.phrases() / phrases;
        bench.per_literal = bench.alone(&set.literals).0 / literals;
        bench
    }

    fn row(&mut self, index: u32, pattern: &Pattern, split: bool) -> Row {
        let mut row = Row {
            pattern: index,
            place: self.set.place.clone(),
            way: Way::Literal,
            ns_per_kib: 0.0,
            state_bytes: 0,
            hits_per_kib: 0.0,
            literals: Vec::new(),
            advice: None,
        };
        match &pattern.find {
            Find::Literal(literal) => row.ns_per_kib = self.literals(std::slice::from_ref(literal)),
            Find::Phrases(phrases) if self.set.phrases.is_some() => {
                (row.way, row.ns_per_kib) = (Way::Words, self.per_phrase * share(phrases.len()));
            }
            Find::Phrases(phrases) => row.ns_per_kib = self.literals(phrases),
            Find::Regex { .. } => self.expression(&mut row, pattern, split),
        }
        row
    }

    fn expression(&mut self, row: &mut Row, pattern: &Pattern, split: bool) {
        let Find::Regex { source, flags } = &pattern.find else { return };
        let (folded, lines) = (self.set.place.is_folded(), self.set.place.is_lines());
        let Ok(prepared) = prepare(source, *flags, folded, lines) else { return };
        let database = Database::of_regexes(std::slice::from_ref(&prepared.regex)).ok();
        let (cost, hits) = self.alone(&database);
        row.ns_per_kib = (cost - self.idle).max(0.0);
        row.hits_per_kib = hits;
        row.state_bytes = database.map_or(0, |database| database.sizes().1);
        row.way = if split { Way::Split } else { Way::Expression };
        let whole = match Split::of(&prepared, folded) {
            Ok(split) => {
                let literals = split.literals.iter();
                row.literals = literals.map(|literal| literal.bytes.escape_ascii().to_string()).collect();
                None
            }
            Err(whole) => Some(whole),
        };
        row.advice = advice(row, whole);
        if split {
            // The second look happens where a literal was found, which is hardly ever.
            row.ns_per_kib = self.literals(&row.literals);
        }
    }

    /// Their share of a database of literals, or what they cost alone if few literals are with expressions.
    fn literals(&mut self, literals: &[String]) -> f64 {
        if self.set.literals.is_some() {
            return self.per_literal * share(literals.len());
        }
        let fold =
            |text: &String| if self.set.place.is_folded() { normalise::fold(text) } else { text.clone() };
        let literals =
            literals.iter().map(|text| Literal { bytes: fold(text).into_bytes(), caseless: false });
        let database = Database::of_literals(&literals.collect::<Vec<_>>()).ok();
        (self.alone(&database).0 - self.idle).max(0.0)
    }

    /// Nanoseconds and ends in a kibibyte that a database takes for the sample by itself.
    fn alone(&mut self, database: &Option<Arc<Database>>) -> (f64, f64) {
        let Some(mut stream) = database.as_ref().and_then(|database| database::Stream::open(database).ok())
        else {
            return (0.0, 0.0);
        };
        let mut ends = Ends(0);
        let text = std::mem::take(&mut self.text);
        let cost = self.least(&text, |bench| {
            ends = Ends(0);
            for block in text.chunks(BLOCK_BYTES) {
                let scanned = stream.scan(block, &mut bench.scratch, &mut ends);
                debug_assert_eq!(scanned, Ok(Scanned::Whole));
            }
            let _ = stream.finish(&mut bench.scratch, &mut ends);
        });
        self.text = text;
        (cost, f64::from(ends.0) / kibibytes(&self.text))
    }

    fn phrases(&mut self) -> f64 {
        let Some(phrases) = &self.set.phrases else { return 0.0 };
        let text = [&[0; LEAD_BYTES], self.text.as_slice(), &[0; SLACK_BYTES]].concat();
        let view = View { text: &text, valid: LEAD_BYTES };
        let fresh = LEAD_BYTES..text.len() - SLACK_BYTES;
        let mut found = 0_u32;
        let sample = std::mem::take(&mut self.text);
        let cost = self.least(&sample, |_| {
            phrases.scan(&mut Words::default(), view, fresh.clone(), &mut |_, _| found += 1);
        });
        self.text = sample;
        cost
    }

    /// Everything together.
    fn total(&mut self) -> Total {
        let mut scratch = Scratch::new();
        let mut stream = scratch.open(self.set);
        let text = std::mem::take(&mut self.text);
        let ns_per_kib = self.least(&text, |_| {
            stream.push(&text, &mut scratch, &mut |_| {});
            stream.finish(&mut scratch, &mut |_| {});
        });
        self.text = text;
        let (database_bytes, state) = self.set.sizes();
        Total {
            place: self.set.place.clone(),
            ns_per_kib,
            database_bytes,
            stream_bytes: STREAM_BUFFER_BYTES + state,
        }
    }

    /// The least of some runs, in nanoseconds for a kibibyte of `text`.
    fn least(&mut self, text: &[u8], mut run: impl FnMut(&mut Self)) -> f64 {
        let mut least = u64::MAX;
        for _ in 0..RUNS {
            let start = (self.clock)();
            run(self);
            least = least.min((self.clock)().saturating_sub(start));
        }
        as_nanoseconds(least) / kibibytes(text)
    }
}

/// Counts ends, and lets everything go on.
struct Ends(u32);

impl Note for Ends {
    fn note(&mut self, _: u32, _: u64) -> bool {
        self.0 = self.0.saturating_add(1);
        true
    }
}

/// The reference text as it comes to `place`.
fn sample_of(place: &Place) -> Vec<u8> {
    let kind = match place {
        Place::Text => Sample::Prose,
        Place::Raw | Place::Attachment => Sample::Octets,
        Place::Header(_) | Place::Url | Place::Filename => Sample::Lines,
    };
    let text = sample(kind);
    if !place.is_folded() {
        return text;
    }
    let text = String::from_utf8_lossy(&text);
    if !place.is_lines() {
        return normalise::fold(&text).into_bytes();
    }
    text.lines().map(|line| normalise::fold(line) + "\n").collect::<String>().into_bytes()
}

fn advice(row: &Row, whole: Option<Whole>) -> Option<String> {
    if row.hits_per_kib > HITS_PER_KIB_MAX {
        let hits = row.hits_per_kib;
        return Some(format!(
            "it is found {hits:.0} times in a kibibyte of harmless text: say more of what it is"
        ));
    }
    if row.ns_per_kib <= PATTERN_NS_PER_KIB_MAX || row.way == Way::Split {
        return None;
    }
    Some(match whole {
        None => format!("it will be looked for only near {}", row.literals.join(", ")),
        Some(Whole::Long) => {
            "give its repeats an end, as in {0,100}: it can be looked for near a literal then".to_owned()
        }
        Some(Whole::NoLiteral) => {
            "nothing of four letters must be in it: add a word that is, or a \\b and a longer class"
                .to_owned()
        }
        Some(Whole::Strange) => {
            "it cannot be looked for near a literal because of its anchors or escapes".to_owned()
        }
        Some(Whole::Large) => {
            "it is too large to be looked for near a literal: shorten its repeats".to_owned()
        }
    })
}

#[expect(clippy::cast_precision_loss, reason = "samples and sets are small")]
fn kibibytes(text: &[u8]) -> f64 {
    text.len() as f64 / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "a run takes less than days")]
const fn as_nanoseconds(count: u64) -> f64 {
    count as f64
}

/// A divisor, one at least.
#[expect(clippy::cast_precision_loss, reason = "sets are small")]
fn share(count: usize) -> f64 {
    count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::{Sheet, Way, measure};
    use crate::scan::pattern::parse;
    use crate::scan::rules::{Choice, Rules};

    /// A clock that goes on by one at each look: costs are even and known.
    fn sheet(text: &str, choice: Choice<'_>) -> (Sheet, Rules) {
        let rules = Rules::compile(parse("p.toml", text).unwrap(), choice).unwrap();
        let (mut now, mut seen) = (0, Vec::new());
        let mut clock = || {
            now += 100_000;
            now
        };
        let sheet = measure(&rules, &mut clock, &mut |done, all| seen.push((done, all)));
        assert_eq!(seen.last().map(|(done, all)| done == all), Some(true));
        (sheet, rules)
    }

    const TEXT: &str = "
        [[pattern]]
        symbol = 'WORDS'
        why = 'x'
        in = ['text', 'url']
        phrases = ['a b', 'c d']
        [[pattern]]
        symbol = 'SPLIT'
        why = 'x'
        in = ['text']
        match = '.{0,9}password'
        [[pattern]]
        symbol = 'OFTEN'
        why = 'x'
        in = ['raw']
        match = '[a-z]'
    ";

    #[test]
    fn there_is_a_row_for_each_pattern_and_place() {
        let (sheet, _) = sheet(TEXT, Choice::Never);
        let rows: Vec<_> =
            sheet.rows.iter().map(|row| (row.pattern, row.place.to_string(), row.way)).collect();
        let want = [(0, "text", Way::Literal), (1, "text", Way::Expression), (2, "raw", Way::Expression)];
        let want: Vec<_> = want.into_iter().chain([(0, "url", Way::Literal)]).collect();
        assert_eq!(
            rows,
            want.into_iter().map(|(p, place, way)| (p, place.to_owned(), way)).collect::<Vec<_>>()
        );
        assert_eq!(sheet.rows[1].literals, ["password"]);
        assert!(sheet.rows[1].state_bytes > 0);
        assert!(sheet.rows[2].advice.as_ref().is_some_and(|advice| advice.contains("harmless")));
        assert_eq!(sheet.totals.len(), 3);
    }

    #[test]
    fn what_is_over_budget_is_named() {
        let (sheet, rules) = sheet(TEXT, Choice::All);
        assert_eq!(sheet.rows[1].way, Way::Split);
        assert!(sheet.over_budget(1e9, rules.patterns()).is_empty());
        let lines = sheet.over_budget(1.0, rules.patterns());
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("text: 1") && lines[0].contains(" ns/KiB of 1; most: "), "{lines:?}");
    }
}
