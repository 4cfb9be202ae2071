//! All patterns compiled: a set for each place that some pattern names.
//!
//! What compiling costs is kept: [`Rules::serialise`] gives bytes for a cache on disk, from which the same
//! patterns are made again in milliseconds. Each database in it stands beside a digest of what went into
//! it, so that bytes of other patterns, of another release of this program or of the library are never
//! used: they are compiled anew.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::database::{Database, EngineFault, Literal, Regex};
use super::pattern::{Fault, Origin, Pattern, Place};
use super::set::{Builder, Chooser, Set, WORDS_MIN};

const MAGIC: &[u8; 8] = b"postrnS2";
const DIGEST_BYTES: usize = 32;
type InputDigest = [u8; DIGEST_BYTES];

/// A compiled configuration of patterns; immutable, shared by all workers.
#[derive(Debug)]
pub struct Rules {
    patterns: Vec<Pattern>,
    sets: Vec<Arc<Set>>,
    /// Which patterns were split, in which set.
    split: Vec<Vec<u32>>,
}

/// Which expressions are split, as far as they can be.
#[derive(Clone, Copy, Debug)]
pub enum Choice<'a> {
    /// None. Hyperscan is good at most.
    Never,
    /// These, by pattern: what a cost sheet found expensive.
    These(&'a [u32]),
    All,
}

impl Choice<'_> {
    fn splits(self, pattern: u32) -> bool {
        match self {
            Self::Never => false,
            Self::These(patterns) => patterns.contains(&pattern),
            Self::All => true,
        }
    }
}

impl Rules {
    /// Compiles `patterns`. What is found by the result does not depend on `choice`, only what it costs.
    ///
    /// # Errors
    /// All faults of single expressions; of those that show only together, the first of each place.
    pub fn compile(patterns: Vec<Pattern>, choice: Choice<'_>) -> Result<Self, Vec<Fault>> {
        Self::compile_from(patterns, choice, WORDS_MIN)
    }

    /// The same with another bound between few phrases and many.
    pub(super) fn compile_from(
        patterns: Vec<Pattern>,
        choice: Choice<'_>,
        words_min: usize,
    ) -> Result<Self, Vec<Fault>> {
        let (mut faults, mut sets, mut split) = (Vec::new(), Vec::new(), Vec::new());
        for place in places(&patterns) {
            match compile_set(&patterns, place, choice, words_min) {
                Ok((set, of_set)) => {
                    sets.push(Arc::new(set));
                    split.push(of_set);
                }
                Err(mut more) => faults.append(&mut more),
            }
        }
        // An expression that stands in two places is at fault in both.
        faults.sort_by_key(|fault| (Arc::clone(&fault.file), fault.line, fault.column));
        faults.dedup();
        if faults.is_empty() { Ok(Self { patterns, sets, split }) } else { Err(faults) }
    }

    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    pub fn pattern(&self, index: u32) -> Option<&Pattern> {
        self.patterns.get(index as usize)
    }

    pub fn sets(&self) -> &[Arc<Set>] {
        &self.sets
    }

    /// The set of `place`, if any pattern looks there.
    pub fn set(&self, place: &Place) -> Option<&Arc<Set>> {
        self.sets.iter().find(|set| set.place == *place)
    }

    /// The set of the values of header fields called `name`, in whatever case.
    pub fn header_set(&self, name: &[u8]) -> Option<&Arc<Set>> {
        self.sets.iter().find(|set| match &set.place {
            Place::Header(Some(other)) => other.as_bytes().eq_ignore_ascii_case(name),
            _ => false,
        })
    }

    /// Patterns that were split, by index.
    pub fn split(&self) -> Vec<u32> {
        let mut all = self.split.concat();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Bytes from which [`deserialise`](Self::deserialise) makes the same rules.
    ///
    /// # Errors
    /// The library's.
    pub fn serialise(&self) -> Result<Vec<u8>, EngineFault> {
        let mut out = MAGIC.to_vec();
        for (set, split) in self.sets.iter().zip(&self.split) {
            let split: Vec<u8> = split.iter().flat_map(|pattern| pattern.to_le_bytes()).collect();
            put(&mut out, &split);
            for database in set.databases() {
                let kept = match database {
                    Some(database) => database.seal()?,
                    None => Vec::new(),
                };
                put(&mut out, &kept);
            }
            put(&mut out, &set.inputs.concat());
        }
        Ok(out)
    }

    /// The rules of `patterns` from what was kept; `None` if that is damaged, or not of these patterns, this
    /// program, this library and this kind of processor.
    pub fn deserialise(patterns: Vec<Pattern>, kept: &[u8]) -> Option<Self> {
        let mut rest = kept.strip_prefix(MAGIC)?;
        let (mut sets, mut split) = (Vec::new(), Vec::new());
        for place in places(&patterns) {
            let chosen: Vec<u32> =
                take(&mut rest)?.as_chunks::<4>().0.iter().copied().map(u32::from_le_bytes).collect();
            let kept = [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?];
            let inputs = take(&mut rest)?;
            let (set, of_set) = restore_set(&patterns, place, &chosen, kept, inputs)?;
            sets.push(Arc::new(set));
            split.push(of_set);
        }
        rest.is_empty().then_some(Self { patterns, sets, split })
    }
}

/// All places that a pattern names, in a fixed order.
fn places(patterns: &[Pattern]) -> Vec<Place> {
    let mut places: Vec<Place> = patterns.iter().flat_map(|pattern| pattern.places.iter().cloned()).collect();
    places.sort_unstable();
    places.dedup();
    places
}

fn compile_set(
    patterns: &[Pattern],
    place: Place,
    choice: Choice<'_>,
    words_min: usize,
) -> Result<(Set, Vec<u32>), Vec<Fault>> {
    let builder = collect(patterns, Builder::new(place, words_min), &|pattern| choice.splits(pattern))?;
    let (of_regexes, of_numbers) = (builder.regex_patterns.clone(), builder.number_patterns.clone());
    let literals =
        |literals: &[Literal]| Database::of_literals(literals).map_err(|fault| (None, fault.message));
    let regexes = |regexes: &[Regex], literals: usize| {
        let of = |index: usize| of_regexes.get(index.checked_sub(literals)?).copied();
        Database::of_regexes(regexes).map_err(|fault| (fault.index.and_then(of), fault.message))
    };
    let numbers = |numbers: &[Regex]| {
        let of = |index: usize| of_numbers.get(index).copied();
        Database::of_regexes(numbers).map_err(|fault| (fault.index.and_then(of), fault.message))
    };
    builder.finish(literals, regexes, numbers).map_err(|(pattern, message)| {
        let origin =
            pattern.and_then(|pattern| patterns.get(pattern as usize)).map(|pattern| &pattern.origin);
        let nowhere = Origin { file: "patterns".into(), line: 0, column: 0 };
        vec![origin.unwrap_or(&nowhere).fault(message)]
    })
}

fn collect(patterns: &[Pattern], mut builder: Builder, choose: Chooser<'_>) -> Result<Builder, Vec<Fault>> {
    let mut faults = Vec::new();
    for (index, pattern) in (0..).zip(patterns) {
        if pattern.places.contains(builder.place()) {
            faults.extend(builder.add(index, pattern, choose).err());
        }
    }
    if faults.is_empty() { Ok(builder) } else { Err(faults) }
}

fn restore_set(
    patterns: &[Pattern],
    place: Place,
    chosen: &[u32],
    [literals, regexes, numbers]: [&[u8]; 3],
    inputs: &[u8],
) -> Option<(Set, Vec<u32>)> {
    let builder = Builder::new(place, WORDS_MIN);
    let builder = collect(patterns, builder, &|pattern| chosen.contains(&pattern)).ok()?;
    let restore = |kept: &[u8]| Database::unseal(kept).ok_or(());
    let (set, split) =
        builder.finish(|_| restore(literals), |_, _| restore(regexes), |_| restore(numbers)).ok()?;
    (set.inputs.concat() == inputs).then_some((set, split))
}

/// A digest of what a database of literals is made from.
pub(super) fn literal_inputs(literals: &[Literal]) -> InputDigest {
    let mut digest = inputs("literals");
    for literal in literals {
        digest.update((literal.bytes.len() as u64).to_le_bytes());
        digest.update(&literal.bytes);
        digest.update([u8::from(literal.caseless)]);
    }
    digest.finalize().into()
}

/// A digest of what a database of expressions is made from.
pub(super) fn regex_inputs(regexes: &[Regex]) -> InputDigest {
    let mut digest = inputs("expressions");
    for regex in regexes {
        digest.update(regex.source.as_bytes_with_nul());
        digest.update(regex.flags.to_le_bytes());
    }
    digest.finalize().into()
}

fn inputs(kind: &str) -> Sha256 {
    let mut digest = Sha256::new();
    digest.update(env!("CARGO_PKG_VERSION"));
    digest.update(kind);
    digest
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (bytes, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Choice, Rules};
    use crate::scan::pattern::{Pattern, Place, parse};

    const TEXT: &str = "
        [[pattern]]
        symbol = 'A'
        why = 'x'
        in = ['text', 'raw', 'header:subject']
        match = '.{0,30}password'
        [[pattern]]
        symbol = 'B'
        why = 'x'
        in = ['text', 'url']
        phrases = ['click here', 'жж']
        near = { words = ['now'], within = 9 }
    ";

    fn patterns(text: &str) -> Vec<Pattern> {
        parse("p.toml", text).unwrap()
    }

    #[test]
    fn a_set_for_each_place() {
        let rules = Rules::compile(patterns(TEXT), Choice::These(&[0])).unwrap();
        let places: Vec<String> = rules.sets().iter().map(|set| set.place().to_string()).collect();
        assert_eq!(places, ["text", "raw", "header:subject", "url"]);
        assert!(rules.header_set(b"SUBJECT").is_some() && rules.header_set(b"to").is_none());
        assert_eq!(rules.set(&Place::Text).unwrap().counts(), [0, 4, 0, 1], "words, literals, none, split");
        assert_eq!(rules.split(), [0]);
        assert_eq!(Rules::compile(Vec::new(), Choice::Never).unwrap().sets().len(), 0);
    }

    #[test]
    fn what_is_kept_comes_back() {
        for choice in [Choice::Never, Choice::All] {
            let kept = Rules::compile(patterns(TEXT), choice).unwrap().serialise().unwrap();
            let rules = Rules::deserialise(patterns(TEXT), &kept).unwrap();
            assert_eq!(rules.serialise().unwrap(), kept);
        }
    }

    #[test]
    fn what_does_not_fit_does_not_come_back() {
        let kept = Rules::compile(patterns(TEXT), Choice::Never).unwrap().serialise().unwrap();
        let other = TEXT.replace("password", "passw0rd");
        assert!(Rules::deserialise(patterns(&other), &kept).is_none(), "other patterns");
        assert!(Rules::deserialise(patterns(""), &kept).is_none(), "no patterns");
        for length in 0..kept.len().min(400) {
            assert!(Rules::deserialise(patterns(TEXT), &kept[..length]).is_none(), "cut at {length}");
        }
        for at in (0..kept.len()).step_by(211) {
            let mut damaged = kept.clone();
            damaged[at] ^= 0x10;
            let same =
                Rules::deserialise(patterns(TEXT), &damaged).map(|rules| rules.serialise().unwrap() == kept);
            assert!(same.is_none_or(|same| same), "damaged at {at}");
        }
    }

    #[test]
    fn what_is_too_much_together_has_its_place() {
        let one = "[[pattern]]\nsymbol='A'\nwhy='x'\nin=['text']\nmatch = '(?:[ab]{1,4}c){150}'\n";
        let faults = Rules::compile(patterns(&one.repeat(14)), Choice::Never).unwrap_err();
        assert_eq!((faults.len(), faults[0].line), (1, 70), "{faults:?}");
    }
}
