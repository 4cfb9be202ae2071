//! Digests of a message's body, made while it passes.
//!
//! RFC 6376 §3.4.3 (simple), §3.4.4 (relaxed), §3.4.5 (`l=`), §3.7. However many signatures a message
//! has, its body is canonicalised at most once in each way, and hashed at most once with each
//! hash: where a signature covers only the first octets, the digest is copied when they have passed.
//!
//! Invariant: what comes out does not depend on where the body was cut, and memory does not grow
//! with it.

use super::canonical::{Canonical, unchanged};
use super::digest::{Digest, Hash, Hashing};

#[cfg(test)]
pub(in crate::sender) mod tests;

/// Pieces shorter than this are hashed together.
const PIECE_BYTES: usize = 256;
const STAGE_BYTES: usize = 2048;
const LINE_ENDS: [u8; 64] = {
    let mut ends = [b'\r'; 64];
    let mut at = 1;
    while at < ends.len() {
        ends[at] = b'\n';
        at += 2;
    }
    ends
};

/// What a signature says of how its body was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BodyForm {
    pub canonical: Canonical,
    pub hash: Hash,
    /// `l=`: octets of the canonical body that are covered.
    pub length: Option<u64>,
}

/// What became of a signature's body hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyCheck {
    /// It is the body's. Octets may have been left behind what `l=` covers: anybody could have
    /// written those.
    Matches {
        octets_unsigned: u64,
    },
    Differs,
    /// `l=` covers more than there is.
    TooShort,
}

/// Digests a body in all forms that were asked for.
#[derive(Debug)]
pub struct BodyHash {
    simple: Option<Simple>,
    relaxed: Option<Relaxed>,
}

impl BodyHash {
    pub fn new(forms: &[BodyForm]) -> Self {
        let sink = |canonical| {
            let forms = || forms.iter().filter(move |form| form.canonical == canonical);
            forms().next().map(|_| Ends::new(forms()))
        };
        Self {
            simple: sink(Canonical::Simple).map(Simple),
            relaxed: sink(Canonical::Relaxed).map(|ends| Relaxed { gap: Gap::None, ends }),
        }
    }

    /// Whether nobody asked.
    pub const fn is_idle(&self) -> bool {
        self.simple.is_none() && self.relaxed.is_none()
    }

    pub fn push(&mut self, body: &[u8]) {
        if let Some(simple) = &mut self.simple {
            simple.0.push(body);
        }
        if let Some(relaxed) = &mut self.relaxed {
            relaxed.push(body);
        }
    }

    pub fn finish(self) -> BodyDigests {
        BodyDigests {
            simple: self.simple.map(|simple| simple.0.finish(true)),
            relaxed: self.relaxed.map(Relaxed::finish),
        }
    }
}

/// The digests of a body that has ended.
#[derive(Debug)]
pub struct BodyDigests {
    simple: Option<Digests>,
    relaxed: Option<Digests>,
}

impl BodyDigests {
    /// Compares what a signature says with what came. A form that was not asked for before the
    /// body came differs.
    pub fn check(&self, form: &BodyForm, expected: &Digest) -> BodyCheck {
        let Some(digests) = self.of(form.canonical) else { return BodyCheck::Differs };
        if form.length.is_some_and(|length| length > digests.length) {
            return BodyCheck::TooShort;
        }
        match digests.find(form) {
            Some(digest) if digest == expected => BodyCheck::Matches {
                octets_unsigned: form.length.map_or(0, |length| digests.length - length),
            },
            _ => BodyCheck::Differs,
        }
    }

    /// None if it was not asked for before the body came, or covers more than there is.
    pub fn digest(&self, form: &BodyForm) -> Option<&Digest> {
        self.of(form.canonical)?.find(form)
    }

    const fn of(&self, canonical: Canonical) -> Option<&Digests> {
        match canonical {
            Canonical::Simple => self.simple.as_ref(),
            Canonical::Relaxed => self.relaxed.as_ref(),
        }
    }
}

/// Nothing changes within lines.
#[derive(Debug)]
struct Simple(Ends);

/// White space that was seen and of which it is not known yet what becomes.
#[derive(Clone, Copy, Debug)]
enum Gap {
    None,
    /// It is one space, or nothing if the line ends.
    Space,
    /// As before, and a CR came.
    SpaceCr,
}

/// Runs of white space are one space, at the end of lines none.
#[derive(Debug)]
struct Relaxed {
    gap: Gap,
    ends: Ends,
}

impl Relaxed {
    fn push(&mut self, body: &[u8]) {
        let mut rest = body;
        while let Some(first) = rest.first() {
            let taken = match self.gap {
                Gap::None => self.text(rest),
                Gap::Space => self.space(rest, *first),
                Gap::SpaceCr => self.space_cr(*first),
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    fn text(&mut self, rest: &[u8]) -> usize {
        let (plain, behind) = rest.split_at(unchanged(rest));
        self.ends.push(plain);
        if !behind.is_empty() {
            self.gap = Gap::Space;
        }
        plain.len()
    }

    fn space(&mut self, rest: &[u8], first: u8) -> usize {
        match first {
            b' ' | b'\t' => rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count(),
            b'\r' => {
                self.gap = Gap::SpaceCr;
                1
            }
            _ => {
                self.ends.push(b" ");
                self.gap = Gap::None;
                0
            }
        }
    }

    /// A CR alone ends no line: the space before it stays.
    fn space_cr(&mut self, first: u8) -> usize {
        self.gap = Gap::None;
        let is_end = first == b'\n';
        self.ends.push(if is_end { b"\r\n" } else { b" \r" });
        usize::from(is_end)
    }

    fn finish(mut self) -> Digests {
        if matches!(self.gap, Gap::SpaceCr) {
            self.ends.push(b" \r");
        }
        self.ends.finish(false)
    }
}

/// Holds line ends back until something follows them: those at the end of a body do not count.
#[derive(Debug)]
struct Ends {
    held: u64,
    has_cr: bool,
    digests: Digests,
}

impl Ends {
    fn new<'a>(forms: impl Iterator<Item = &'a BodyForm> + Clone) -> Self {
        Self { held: 0, has_cr: false, digests: Digests::new(forms) }
    }

    fn push(&mut self, text: &[u8]) {
        let ends = text.iter().rev().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
        let (text, ends) = text.split_at(text.len() - ends);
        if !text.is_empty() {
            self.release();
            self.digests.write(text);
        }
        for octet in ends {
            self.end(*octet);
        }
    }

    fn end(&mut self, octet: u8) {
        match (self.has_cr, octet) {
            (true, b'\n') => {
                self.held += 1;
                self.has_cr = false;
            }
            (has_cr, b'\r') => {
                if has_cr {
                    self.release();
                }
                self.has_cr = true;
            }
            _ => {
                self.release();
                self.digests.write(&[octet]);
            }
        }
    }

    fn release(&mut self) {
        while self.held > 0 {
            let ends = usize::try_from(self.held).unwrap_or(usize::MAX).min(LINE_ENDS.len() / 2);
            self.digests.write(LINE_ENDS.get(..ends * 2).unwrap_or_default());
            self.held -= ends as u64;
        }
        if std::mem::take(&mut self.has_cr) {
            self.digests.write(b"\r");
        }
    }

    /// A body ends with one CRLF; one without any octet is a CRLF (simple) or nothing (relaxed).
    fn finish(mut self, is_simple: bool) -> Digests {
        if self.has_cr {
            self.release();
        }
        if is_simple || self.digests.length > 0 {
            self.digests.write(b"\r\n");
        }
        self.digests.finish();
        self.digests
    }
}

/// Digests of one canonical body.
#[derive(Debug)]
struct Digests {
    length: u64,
    running: Vec<Hashing>,
    stage: Vec<u8>,
    /// Where a digest is to be copied, the farthest first.
    marks: Vec<u64>,
    /// Whether one is wanted of all of it.
    is_whole: bool,
    found: Vec<(Hash, Option<u64>, Digest)>,
}

impl Digests {
    fn new<'a>(forms: impl Iterator<Item = &'a BodyForm> + Clone) -> Self {
        let mut marks: Vec<u64> = forms.clone().filter_map(|form| form.length).collect();
        marks.sort_unstable_by(|one, other| other.cmp(one));
        marks.dedup();
        let is_wanted = |hash: &Hash| forms.clone().any(|form| form.hash == *hash);
        Self {
            length: 0,
            running: Hash::ALL.into_iter().filter(is_wanted).map(Hashing::new).collect(),
            stage: Vec::with_capacity(STAGE_BYTES),
            marks,
            is_whole: forms.clone().any(|form| form.length.is_none()),
            found: Vec::new(),
        }
    }

    fn write(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Some(mark) = self.marks.last().copied() {
            let left = usize::try_from(mark - self.length).unwrap_or(usize::MAX);
            let Some((now, behind)) = rest.split_at_checked(left) else { break };
            self.append(now);
            self.copy(Some(mark));
            self.marks.pop();
            rest = behind;
        }
        self.append(rest);
    }

    fn append(&mut self, octets: &[u8]) {
        self.length += octets.len() as u64;
        if !self.is_whole && self.marks.is_empty() {
            return;
        }
        if octets.len() < PIECE_BYTES && self.stage.len() + octets.len() <= STAGE_BYTES {
            self.stage.extend_from_slice(octets);
            return;
        }
        self.flush();
        self.running.iter_mut().for_each(|hashing| hashing.update(octets));
    }

    fn flush(&mut self) {
        if !self.stage.is_empty() {
            self.running.iter_mut().for_each(|hashing| hashing.update(&self.stage));
            self.stage.clear();
        }
    }

    fn copy(&mut self, length: Option<u64>) {
        self.flush();
        let digests = self.running.iter().map(|hashing| (hashing.hash(), length, hashing.digest()));
        self.found.extend(digests);
    }

    fn finish(&mut self) {
        self.write(&[]);
        if self.is_whole {
            self.copy(None);
        }
    }

    fn find(&self, form: &BodyForm) -> Option<&Digest> {
        let is_it = |found: &&(Hash, Option<u64>, Digest)| (found.0, found.1) == (form.hash, form.length);
        self.found.iter().find(is_it).map(|found| &found.2)
    }
}
