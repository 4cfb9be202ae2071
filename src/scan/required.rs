//! What every match of an expression must contain: a few literals, one of which is in each match.
//!
//! They let a cheap search for literals stand before an expensive expression: where none of them is, the
//! expression cannot match. Worked out on the syntax tree of `regex-syntax`, bytes and ASCII only.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// Most literals of one expression.
pub(super) const LITERALS_MAX: usize = 32;
/// Shorter ones are found too often to be worth it.
pub(super) const LITERAL_BYTES_MIN: usize = 4;
const LITERAL_BYTES_MAX: usize = 64;
/// Members of a class that is written out as so many literals.
const CLASS_MEMBERS_MAX: usize = 4;

/// The syntax tree, or nothing where the parser does not understand.
pub(super) fn parse(source: &str, flags: Flags) -> Option<Hir> {
    let mut parser = ParserBuilder::new();
    parser.unicode(false).utf8(false).nest_limit(100);
    parser.case_insensitive(flags.caseless).dot_matches_new_line(flags.dotall).multi_line(flags.multiline);
    parser.build().parse(source).ok()
}

/// How an expression is compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Flags {
    pub(super) caseless: bool,
    pub(super) dotall: bool,
    pub(super) multiline: bool,
}

/// Whether it looks at the start or end of text or lines, which a window of the text does not show.
pub(super) fn is_anchored(hir: &Hir) -> bool {
    let looks = hir.properties().look_set();
    !looks.is_empty()
        && [Look::Start, Look::End, Look::StartLF, Look::EndLF, Look::StartCRLF, Look::EndCRLF]
            .iter()
            .any(|look| looks.contains(*look))
}

/// Literals in lower case, at least [`LITERAL_BYTES_MIN`] long, one of which, in whatever case, is in
/// every match.
pub(super) fn required(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    best_of(hir).filter(|set| shortest(set) >= LITERAL_BYTES_MIN)
}

/// Whether every match contains a literal that an engine can look for first.
pub(super) fn has_literal(hir: &Hir) -> bool {
    best_of(hir).is_some_and(|set| shortest(&set) > 1)
}

type Set = Vec<Vec<u8>>;

/// The most telling set: the longer its shortest literal the better, then the fewer.
fn best_of(hir: &Hir) -> Option<Set> {
    if let Some(set) = exact(hir).filter(|set| shortest(set) > 0) {
        return Some(set);
    }
    match hir.kind() {
        HirKind::Concat(parts) => best_of_concat(parts),
        HirKind::Alternation(branches) => {
            let sets: Option<Vec<Set>> = branches.iter().map(best_of).collect();
            Some(sets?.concat()).filter(|set| set.len() <= LITERALS_MAX)
        }
        HirKind::Repetition(Repetition { min: 1.., sub, .. }) => best_of(sub),
        HirKind::Capture(capture) => best_of(&capture.sub),
        _ => None,
    }
}

/// Neighbours that are known exactly make one longer literal.
fn best_of_concat(parts: &[Hir]) -> Option<Set> {
    let mut best: Option<Set> = None;
    let mut run: Set = vec![Vec::new()];
    for part in parts {
        let known = exact(part);
        let longer = known.as_ref().and_then(|set| cross(&run, set));
        if let Some(longer) = longer {
            run = longer;
            continue;
        }
        best = better(best, Some(std::mem::replace(&mut run, vec![Vec::new()])));
        match known {
            Some(set) => run = set,
            None => best = better(best, best_of(part)),
        }
    }
    better(best, Some(run)).filter(|set| shortest(set) > 0)
}

fn better(one: Option<Set>, other: Option<Set>) -> Option<Set> {
    let rank = |set: &Set| (shortest(set), usize::MAX - set.len());
    match (one, other) {
        (Some(one), Some(other)) => Some(if rank(&other) > rank(&one) { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn shortest(set: &Set) -> usize {
    set.iter().map(Vec::len).min().unwrap_or(0)
}

/// All strings that match, if they are few and short.
fn exact(hir: &Hir) -> Option<Set> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => Some(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Class(class) => members(class),
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Concat(parts) => {
            parts.iter().try_fold(vec![Vec::new()], |set, part| cross(&set, &exact(part)?))
        }
        HirKind::Alternation(branches) => {
            let sets: Option<Vec<Set>> = branches.iter().map(exact).collect();
            Some(sets?.concat()).filter(|set| set.len() <= LITERALS_MAX)
        }
        HirKind::Repetition(repetition) => repeated(repetition),
    }
}

fn repeated(Repetition { min, max, sub, .. }: &Repetition) -> Option<Set> {
    let once = exact(sub)?;
    match (min, max) {
        (0, Some(1)) => Some([vec![Vec::new()], once].concat()),
        (min, Some(max)) if min == max => (0..*min).try_fold(vec![Vec::new()], |set, _| cross(&set, &once)),
        _ => None,
    }
}

/// The bytes of a small class, both cases of a letter as one.
fn members(class: &Class) -> Option<Set> {
    let Class::Bytes(class) = class else { return None };
    let mut bytes: Vec<u8> = Vec::new();
    for range in class.ranges() {
        if range.len() > 2 * CLASS_MEMBERS_MAX {
            return None;
        }
        bytes.extend((range.start()..=range.end()).map(|byte| byte.to_ascii_lowercase()));
    }
    bytes.sort_unstable();
    bytes.dedup();
    (bytes.len() <= CLASS_MEMBERS_MAX).then(|| bytes.into_iter().map(|byte| vec![byte]).collect())
}

/// Each of one followed by each of the other.
fn cross(one: &Set, other: &Set) -> Option<Set> {
    if one.len() * other.len() > LITERALS_MAX {
        return None;
    }
    let joined = one.iter().flat_map(|head| other.iter().map(move |tail| [head.as_slice(), tail].concat()));
    let set: Set = joined.collect();
    set.iter().all(|literal| literal.len() <= LITERAL_BYTES_MAX).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::{Flags, is_anchored, parse, required};

    #[track_caller]
    fn check(source: &str, want: &[&str]) {
        let hir = parse(source, Flags { caseless: true, ..Flags::default() }).unwrap();
        let got = required(&hir).unwrap_or_default();
        let want: Vec<Vec<u8>> = want.iter().map(|literal| literal.as_bytes().to_vec()).collect();
        assert_eq!(got, want, "{source}");
    }

    #[test]
    fn the_longest_literal_is_chosen() {
        check("Verify", &["verify"]);
        check(r"\bab.{0,5}password\d+", &["password"]);
        check("(?:dear|hello) friend", &["dear friend", "hello friend"]);
        check("(?:kindly|now) .*transfer", &["transfer"]);
        check("colou?r.{3}x", &["color", "colour"]);
        check("(?:foo[12])+bar", &["foo1", "foo2"]);
        check("(?:ab){3}", &["ababab"]);
    }

    #[test]
    fn where_nothing_is_sure_nothing_is_required() {
        for source in [r"\d{13,19}", "(?:foobar)?x", "foobar|x", "[a-z]{5}ing", "(?:abc)*", "abc"] {
            check(source, &[]);
        }
    }

    #[test]
    fn anchors_are_seen() {
        let anchored = |source| parse(source, Flags::default()).map(|hir| is_anchored(&hir));
        assert_eq!(anchored("^a"), Some(true));
        assert_eq!(anchored("(?m)a|b$"), Some(true));
        assert_eq!(anchored(r"\ba\B"), Some(false));
        assert_eq!(anchored("a(?=b)"), None);
    }
}
