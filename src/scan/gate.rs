//! Where numbers may be: which bytes of a text an expression of digits has to see, told by a look at the digits.
//!
//! A card number or an account has no literal to look for, so an engine wakes up at every digit, of which
//! ordinary text has many. But thirteen digits hardly ever stand close together, and hardly ever two letters
//! that are a word before two digits. What must hold for every match is worked out on the syntax tree:
//!
//! * a crowd: so many digits within the longest match, which is no longer than a cell of [`CELL_BYTES`];
//! * or a lead: the classes of its first bytes, down to the first two digits that stand together.
//!
//! Invariants: a match lies within a region that is told; regions depend on the text alone, for cells are
//! counted from the start of a block, and blocks from the start of the stream.

use std::ops::{Range, RangeInclusive};

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

use super::phrase::{is_word, mask};
use super::required;

/// Bytes whose digits are counted together.
pub(super) const CELL_BYTES: usize = 64;
/// Longest match of an expression that stands behind a gate.
pub(super) const REACH_BYTES_MAX: usize = 256;
/// Fewer digits are everywhere.
const CROWD_MIN: usize = 10;
/// Bytes of a lead, its digits and what is beside it included: shorter ones are everywhere, longer ones are not needed.
const LEAD_MIN: usize = 4;
const LEAD_MAX: usize = 12;
/// Leads of one expression: what may be left out doubles them.
const LEADS_MAX: usize = 8;
/// Leads of one place: each is tried at each pair of digits.
const LEADS_OF_PLACE_MAX: usize = 32;

/// What some byte of a lead may be.
type Bytes = Box<[bool; 256]>;
type Lead = Vec<Bytes>;

/// What the expressions of one place need to match.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// The longest match.
    reach: usize,
    crowd: Option<u32>,
    leads: Vec<Lead>,
}

impl Gate {
    /// What `hir` needs, if it is worth a gate: it has no literal, its matches are no longer than `width`.
    pub(super) fn of(hir: &Hir, width: Option<u32>) -> Option<Self> {
        let reach = width.and_then(|width| usize::try_from(width).ok())?;
        if reach > REACH_BYTES_MAX || required::has_literal(hir) || required::is_anchored(hir) {
            return None;
        }
        let digits = digits_min(hir);
        if digits >= CROWD_MIN && reach <= CELL_BYTES {
            let crowd = u32::try_from(digits).ok();
            return Some(Self { reach, crowd, leads: Vec::new() });
        }
        let leads = leads(hir)?;
        Some(Self { reach, crowd: None, leads })
    }

    /// Lets through what `other` lets through too.
    pub(super) fn join(&mut self, other: Self) {
        self.reach = self.reach.max(other.reach);
        self.crowd = self.crowd.into_iter().chain(other.crowd).min();
        self.leads.extend(other.leads);
    }

    /// Whether another look at a pair of digits is not too much.
    pub(super) fn has_room_for(&self, other: &Self) -> bool {
        self.leads.len() + other.leads.len() <= LEADS_OF_PLACE_MAX
    }

    /// The longest match in bytes.
    pub(super) const fn reach(&self) -> usize {
        self.reach
    }

    /// Tells the regions of `text` in which matches may lie that have the last of what they need in `fresh`.
    /// `before` are the digits of the cell before; before `valid` is nothing.
    pub(super) fn look(
        &self,
        before: &mut u32,
        (text, valid): (&[u8], usize),
        fresh: Range<usize>,
        found: &mut impl FnMut(Range<usize>),
    ) {
        for base in fresh.clone().step_by(CELL_BYTES) {
            let end = fresh.end.min(base + CELL_BYTES);
            let (digits, pair) = count(text, base..end);
            if self.crowd.is_some_and(|crowd| digits + *before >= crowd) {
                found(base - CELL_BYTES..end);
            }
            if pair && !self.leads.is_empty() {
                self.look_before_pairs(text, valid, base..end, found);
            }
            *before = digits;
        }
    }

    #[cold]
    fn look_before_pairs(
        &self,
        text: &[u8],
        valid: usize,
        cell: Range<usize>,
        found: &mut impl FnMut(Range<usize>),
    ) {
        let digits = mask(text, cell.start, |byte| byte.wrapping_sub(b'0') < 10);
        let joined = text.get(cell.start - 1).is_some_and(u8::is_ascii_digit);
        let mut pairs = digits & (digits << 1 | u64::from(joined));
        while pairs != 0 {
            let last = cell.start + pairs.trailing_zeros() as usize;
            pairs &= pairs - 1;
            for lead in self.leads.iter().filter(|lead| last < cell.end && leads_to(lead, text, valid, last))
            {
                let start = last + 1 - lead.len();
                found(start..start + self.reach + 1);
            }
        }
    }
}

/// How many digits are in `cell`, and whether one of them stands behind another. Written so that the
/// compiler makes vector comparisons of it.
fn count(text: &[u8], cell: Range<usize>) -> (u32, bool) {
    let mut short = [0; CELL_BYTES + 1];
    let window = text.get(cell.start - 1..cell.end).unwrap_or_default();
    let window: &[u8; CELL_BYTES + 1] = if let Ok(window) = window.try_into() {
        window
    } else {
        short.iter_mut().zip(window).for_each(|(to, from)| *to = *from);
        &short
    };
    let (Some(bytes), Some(before)) = (window.last_chunk(), window.first_chunk()) else { return (0, false) };
    count_of(bytes, before)
}

fn count_of(bytes: &[u8; CELL_BYTES], before: &[u8; CELL_BYTES]) -> (u32, bool) {
    let (mut digits, mut pair) = (0_u8, 0);
    for (byte, before) in bytes.iter().zip(before) {
        let is_digit = u8::from(byte.wrapping_sub(b'0') < 10);
        digits = digits.wrapping_add(is_digit);
        pair |= is_digit & u8::from(before.wrapping_sub(b'0') < 10);
    }
    (u32::from(digits), pair != 0)
}

/// Whether the bytes of `text` up to `last` are those of `lead`; what is before `valid` may be anything.
fn leads_to(lead: &Lead, text: &[u8], valid: usize, last: usize) -> bool {
    let start = (last + 1).saturating_sub(lead.len());
    let bytes = text.get(start..=last).unwrap_or_default();
    let known = |at: usize| start + at >= valid;
    lead.iter()
        .zip(bytes)
        .enumerate()
        .rev()
        .all(|(at, (class, byte))| class.get(usize::from(*byte)).is_some_and(|member| *member) || !known(at))
}

/// Digits that every match has at least.
fn digits_min(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.iter().filter(|byte| byte.is_ascii_digit()).count(),
        HirKind::Class(class) => usize::from(is_digits(class)),
        HirKind::Capture(capture) => digits_min(&capture.sub),
        HirKind::Concat(parts) => {
            parts.iter().fold(0, |sum: usize, part| sum.saturating_add(digits_min(part)))
        }
        HirKind::Alternation(branches) => branches.iter().map(digits_min).min().unwrap_or(0),
        HirKind::Repetition(Repetition { min, sub, .. }) => {
            digits_min(sub).saturating_mul(usize::try_from(*min).unwrap_or(usize::MAX))
        }
    }
}

fn is_digits(class: &Class) -> bool {
    let Class::Bytes(class) = class else { return false };
    class.ranges().iter().all(|range| range.start().is_ascii_digit() && range.end().is_ascii_digit())
}

/// All ways in which a match may begin, each down to its first two digits; nothing if they are many, or if it
/// is not sure that there are two.
fn leads(hir: &Hir) -> Option<Vec<Lead>> {
    let HirKind::Concat(parts) = hir.kind() else { return None };
    let apart = parts.first().is_some_and(is_boundary);
    let (mut open, mut done): (Vec<Lead>, Vec<Lead>) = (vec![Vec::new()], Vec::new());
    for part in parts.iter().skip(usize::from(apart)) {
        for (class, times) in classes(part)? {
            for lead in std::mem::take(&mut open) {
                for count in times.clone() {
                    let longer = [lead.as_slice(), vec![class.clone(); count].as_slice()].concat();
                    match first_pair(&longer) {
                        Some(end) => done.push(longer.get(..end)?.to_vec()),
                        None => open.push(longer),
                    }
                }
            }
            if open.is_empty() {
                done.iter_mut().filter(|_| apart).for_each(set_apart);
                return Some(done).filter(|done| done.iter().all(|lead| lead.len() >= LEAD_MIN));
            }
            if open.len() + done.len() > LEADS_MAX || open.iter().any(|lead| lead.len() > LEAD_MAX) {
                return None;
            }
        }
    }
    None
}

fn is_boundary(part: &Hir) -> bool {
    *part.kind() == HirKind::Look(Look::WordAscii)
}

/// What `part` is in bytes, and how many of each there may be.
fn classes(part: &Hir) -> Option<Vec<(Bytes, RangeInclusive<usize>)>> {
    match part.kind() {
        HirKind::Literal(literal) => {
            Some(literal.0.iter().map(|byte| (members(|other| other == *byte), 1..=1)).collect())
        }
        HirKind::Class(class) => Some(vec![(class_members(class)?, 1..=1)]),
        HirKind::Repetition(Repetition { min, max, sub, .. }) => {
            let HirKind::Class(class) = sub.kind() else { return None };
            let bytes = class_members(class)?;
            // Two digits are a pair, whatever follows.
            let enough = if is_all_digits(&bytes) { 2 } else { LEAD_MAX + 1 };
            let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX).min(enough);
            Some(vec![(bytes, count(*min)..=max.map_or(enough, count))])
        }
        _ => None,
    }
}

fn class_members(class: &Class) -> Option<Bytes> {
    let Class::Bytes(class) = class else { return None };
    Some(members(|byte| class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&byte))))
}

fn members(is_member: impl Fn(u8) -> bool) -> Bytes {
    let mut bytes = Box::new([false; 256]);
    bytes.iter_mut().zip(0..=u8::MAX).for_each(|(member, byte)| *member = is_member(byte));
    bytes
}

fn is_all_digits(class: &Bytes) -> bool {
    class.iter().zip(0..=u8::MAX).all(|(member, byte)| !member || byte.is_ascii_digit())
}

/// Where the first two digits that stand together end.
fn first_pair(lead: &Lead) -> Option<usize> {
    let pair = |two: &[Bytes]| two.iter().all(is_all_digits);
    lead.windows(2).position(pair).map(|at| at + 2)
}

/// If `lead` begins with a word byte, its match begins a word: the byte before is none.
fn set_apart(lead: &mut Lead) {
    let of_words = lead
        .first()
        .is_some_and(|class| class.iter().zip(0..=u8::MAX).all(|(member, byte)| !member || is_word(byte)));
    if of_words {
        lead.insert(0, members(|byte| !is_word(byte)));
    }
}

#[cfg(test)]
mod tests {
    use super::{CELL_BYTES, Gate};
    use crate::scan::required::{Flags, parse};

    /// The regions that are told of `text`, between empty ones of a cell each.
    fn look(source: &str, width: u32, text: &str) -> Option<Vec<(usize, usize)>> {
        let gate = Gate::of(&parse(source, Flags::default()).unwrap(), Some(width))?;
        let start = 2 * CELL_BYTES;
        let text = [vec![b'.'; start].as_slice(), text.as_bytes(), &[b'.'; CELL_BYTES]].concat();
        let (mut before, mut regions) = (0, Vec::new());
        let fresh = start..text.len() - CELL_BYTES;
        gate.look(&mut before, (&text, start), fresh, &mut |region| {
            regions.push((region.start.saturating_sub(start), region.end - start));
        });
        Some(regions)
    }

    const ACCOUNT: &str = r"\b[a-z]{2}[ \-]?\d{2}(?: ?[a-z0-9]){11,30}\b";
    const CARD: &str = r"\b\d(?:[ \-./]{0,2}\d){12,18}\b";

    #[test]
    fn a_lead_opens_where_it_is() {
        for (text, want) in [
            ("1xxxx 2xxxx", vec![]),
            ("at de89 3704", vec![(2, 101)]),
            ("de 89", vec![(0, 98)]),
            ("on 24 and it-7 and abc12", vec![(0, 98)]),
            ("abc-12, _de12, d12, 1212", vec![]),
            ("x 9", vec![]),
        ] {
            assert_eq!(look(ACCOUNT, 98, text), Some(want), "{text}");
        }
    }

    #[test]
    fn a_lead_is_seen_at_every_place_of_a_cell() {
        for before in 0..2 * CELL_BYTES {
            let text = " ".repeat(before) + "de89 3704";
            let start = before.saturating_sub(1);
            let regions = look(ACCOUNT, 98, &text).unwrap();
            assert!(regions.iter().any(|(from, _)| *from == start), "{before}: {regions:?}");
        }
    }

    #[test]
    fn a_crowd_is_within_two_cells() {
        for before in 0..2 * CELL_BYTES {
            let text = " ".repeat(before) + "4111 1111 1111 1";
            let regions = look(CARD, 55, &text).unwrap();
            assert!(!regions.is_empty(), "{before}");
            assert!(regions.iter().all(|(from, to)| *from <= before && *to >= text.len()), "{regions:?}");
        }
        assert_eq!(look(CARD, 55, "4111 1111 1111"), Some(vec![]), "twelve");
    }

    #[test]
    fn what_has_literals_or_no_digits_or_no_end_has_no_gate() {
        for (source, width) in [
            (r"\bssn \d{9}", 20),
            (r"[a-z]{2}[0-9a-f]{9}", 20),
            (r"[a-z]{2}\d{2}[a-z]{500}", 504),
            (r"^[a-z]{2}\d{2}", 4),
            (r"\d{2,5}", 5),
            (r"[a-z]{0,20}\d{2}", 22),
            (r"(?:[a-z]{2}|\d)\d{2}", 4),
        ] {
            assert_eq!(look(source, width, "de89"), None, "{source}");
        }
    }
}
