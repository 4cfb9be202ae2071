//! Delimiters of the multiparts that are open.
//!
//! RFC 2046 §5.1.1: two hyphens, the boundary, perhaps two hyphens more, perhaps white space. Some
//! readers ask for just that, others take every line that begins so; where the two differ the line
//! is told as extended. Delimiters of all open multiparts count, for an outer one ends an inner part.

/// Longest boundary that is kept; what is longer is matched by its beginning. RFC 2046 says 70.
pub const BOUNDARY_BYTES_MAX: usize = 256;
/// How much of a line is looked at before it is decided whether it is a delimiter.
pub const LINE_BYTES_MAX: usize = 1024;

const _: () = assert!(BOUNDARY_BYTES_MAX + 2 < LINE_BYTES_MAX);

/// The boundaries of all multiparts that are open, outermost first.
#[derive(Debug, Default)]
pub(crate) struct Boundaries {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// A multipart that does not say its boundary: the first line that may be a delimiter tells.
    unsaid: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    level: usize,
    from: usize,
    to: usize,
    /// The first octets, for a quick refusal: a hostile message can have many boundaries and lines.
    head: u64,
    mask: u64,
    /// Cut off: any line that begins with it is as good as another.
    long: bool,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    /// Whose delimiter.
    pub(crate) level: usize,
    pub(crate) close: bool,
    /// More stands behind it than white space.
    pub(crate) extended: bool,
    /// It is a delimiter of another level too, or a beginning as well as an end.
    pub(crate) collides: bool,
    /// The multipart did not say its boundary: this line is taken for its first delimiter.
    pub(crate) adopted: bool,
}

impl Boundaries {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.unsaid = None;
    }

    /// Whether no line can be a delimiter.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.unsaid.is_none()
    }

    /// Opens a multipart at `level`, the innermost, with every boundary it may mean.
    pub(crate) fn open<'a>(&mut self, level: usize, boundaries: impl Iterator<Item = &'a [u8]>) {
        self.unsaid = Some(level);
        for boundary in boundaries.filter(|boundary| !boundary.trim_ascii().is_empty()) {
            self.add(level, boundary);
            self.unsaid = None;
        }
    }

    /// The first delimiter of a multipart that did not say its boundary: `line` behind two hyphens.
    pub(crate) fn adopt(&mut self, level: usize, line: &[u8]) {
        self.unsaid = None;
        self.add(level, &line[..line.len().min(LINE_BYTES_MAX)]);
    }

    fn add(&mut self, level: usize, boundary: &[u8]) {
        let boundary = boundary.trim_ascii_end();
        let kept = &boundary[..boundary.len().min(BOUNDARY_BYTES_MAX)];
        let long = kept.len() < boundary.len();
        let from = self.bytes.len();
        self.bytes.extend_from_slice(kept);
        let (head, mask) = head_of(kept);
        self.entries.push(Entry { level, from, to: self.bytes.len(), head, mask, long });
    }

    /// Whether an open multipart has this boundary.
    pub(crate) fn has(&self, boundary: &[u8]) -> bool {
        let boundary = boundary.trim_ascii_end();
        self.entries.iter().any(|entry| &self.bytes[entry.from..entry.to] == boundary)
    }

    /// Closes all levels from `level` on.
    pub(crate) fn close(&mut self, level: usize) {
        while let Some(entry) = self.entries.pop_if(|entry| entry.level >= level) {
            self.bytes.truncate(entry.from);
        }
        self.unsaid = self.unsaid.filter(|unsaid| *unsaid < level);
    }

    /// Whether `line` is a delimiter: what stands behind the two hyphens, without its line end.
    ///
    /// An exact match of any level goes before an extended one, the innermost before those around
    /// it; of extended ones the longest boundary is meant.
    pub(crate) fn find(&self, line: &[u8]) -> Option<Match> {
        let line = line.trim_ascii_end();
        let (head, _) = head_of(line);
        let mut exact: Option<Match> = None;
        let mut extended: Option<(usize, Match)> = None;
        for entry in self.entries.iter().rev().filter(|entry| head & entry.mask == entry.head) {
            let boundary = &self.bytes[entry.from..entry.to];
            let Some(behind) = line.strip_prefix(boundary) else {
                continue;
            };
            let found = Match {
                level: entry.level,
                close: behind.starts_with(b"--"),
                extended: !(behind.is_empty() || behind == b"--" || entry.long),
                collides: false,
                adopted: false,
            };
            if found.extended {
                let longer = extended.is_none_or(|(length, _)| length < boundary.len());
                extended = if longer { Some((boundary.len(), found)) } else { extended };
            } else {
                exact = Some(join(exact, found));
            }
        }
        exact.or_else(|| extended.map(|(_, found)| found)).or_else(|| self.first(line))
    }

    fn first(&self, line: &[u8]) -> Option<Match> {
        let level = self.unsaid.filter(|_| !line.is_empty())?;
        Some(Match { level, close: false, extended: false, collides: false, adopted: true })
    }
}

/// The inner match, and whether the outer one says something else.
fn join(inner: Option<Match>, found: Match) -> Match {
    match inner {
        None => found,
        Some(inner) => {
            let same = (inner.level, inner.close) == (found.level, found.close);
            Match { collides: inner.collides || !same, ..inner }
        }
    }
}

/// The first eight octets as a number, and which of its bits count.
fn head_of(bytes: &[u8]) -> (u64, u64) {
    if let Some(head) = bytes.first_chunk() {
        return (u64::from_le_bytes(*head), u64::MAX);
    }
    let (mut head, mut mask) = ([0; 8], [0; 8]);
    for ((to, bit), byte) in head.iter_mut().zip(&mut mask).zip(bytes) {
        (*to, *bit) = (*byte, 0xff);
    }
    (u64::from_le_bytes(head), u64::from_le_bytes(mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(boundaries: &[&str]) -> Boundaries {
        let mut open = Boundaries::default();
        for (level, boundary) in boundaries.iter().enumerate() {
            open.add(level, boundary.as_bytes());
        }
        open
    }

    #[track_caller]
    fn check(boundaries: &[&str], line: &str, want: Option<(usize, bool)>) {
        let found = open(boundaries).find(line.as_bytes());
        let plain = |(level, close)| Match { level, close, extended: false, collides: false, adopted: false };
        assert_eq!(found, want.map(plain));
    }

    #[test]
    fn exact_delimiters() {
        check(&["a"], "a", Some((0, false)));
        check(&["a"], "a--", Some((0, true)));
        check(&["a"], "a \t", Some((0, false)));
        check(&["a"], "a--  ", Some((0, true)));
        check(&["a", "b"], "a", Some((0, false)));
        check(&["a", "b"], "b--", Some((1, true)));
        check(&["a "], "a", Some((0, false)));
        check(&["a"], "b", None);
        check(&["ab"], "a", None);
        check(&[], "a", None);
    }

    #[test]
    fn the_longer_boundary_is_meant() {
        check(&["a", "ab"], "ab", Some((1, false)));
        check(&["ab", "a"], "ab", Some((0, false)));
        check(&["boundary-1", "boundary-10"], "boundary-10--", Some((1, true)));
    }

    #[test]
    fn extended_ones_are_told() {
        let find = |boundaries, line: &str| open(boundaries).find(line.as_bytes());
        let extended =
            |level, close| Some(Match { level, close, extended: true, collides: false, adopted: false });
        assert_eq!(find(&["a"], "a x"), extended(0, false));
        assert_eq!(find(&["a"], "ax"), extended(0, false));
        assert_eq!(find(&["a"], "a--x"), extended(0, true));
        assert_eq!(find(&["ab", "a"], "abc"), extended(0, false));
    }

    #[test]
    fn collisions_are_told() {
        let find = |boundaries, line: &str| open(boundaries).find(line.as_bytes());
        let inner =
            |level, close| Some(Match { level, close, extended: false, collides: true, adopted: false });
        assert_eq!(find(&["a", "a"], "a"), inner(1, false));
        assert_eq!(find(&["a", "a--"], "a--"), inner(1, false));
        let mut same = open(&["a"]);
        same.add(0, b"a");
        check(&["a"], "a", same.find(b"a").map(|found| (found.level, found.close)));
    }

    #[test]
    fn closing_forgets_the_inner() {
        let mut boundaries = open(&["a", "b", "c"]);
        boundaries.close(1);
        assert!(boundaries.has(b"a") && !boundaries.has(b"b") && !boundaries.has(b"c"));
        boundaries.close(0);
        assert!(boundaries.is_empty() && boundaries.bytes.is_empty());
    }

    #[test]
    fn long_boundaries_are_matched_by_their_beginning() {
        let long = "x".repeat(BOUNDARY_BYTES_MAX + 10);
        let mut boundaries = Boundaries::default();
        boundaries.add(0, long.as_bytes());
        assert_eq!(boundaries.find(long.as_bytes()).map(|found| found.extended), Some(false));
    }
}
