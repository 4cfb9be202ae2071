//! Authentication-Results fields with our name on that we did not write.
//!
//! RFC 8601 §5 and §2.2 (`authserv-id` is a token or a quoted string, and comments may stand anywhere
//! around it). Whoever reads the field later may be more lenient than the grammar: where what stands in
//! the place of the name cannot be read, our name anywhere in the field is enough.
//!
//! Invariant: what is taken out does not depend on where content was cut, and nothing else is
//! changed.

const NAME: &[u8] = b"authentication-results";
/// Octets of such a field that are held until it is known whose it is. One that is longer is taken
/// out: no honest one is.
const HELD_BYTES_MAX: usize = 64 * 1024;

/// Whether a field, with its name, is Authentication-Results as from `authserv_id`.
pub fn is_forged(field: &[u8], authserv_id: &str) -> bool {
    let Some(colon) = memchr::memchr(b':', field) else { return false };
    let (name, value) = field.split_at(colon);
    let value = value.get(1..).unwrap_or_default();
    let is_results = name.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME));
    is_results && name.iter().skip(NAME.len()).all(|octet| is_space(*octet)) && names(value, authserv_id)
}

fn names(value: &[u8], authserv_id: &str) -> bool {
    let id = authserv_id.trim_end_matches('.').as_bytes();
    match begin(value) {
        Some(found) => found.strip_suffix(b".").unwrap_or(&found).eq_ignore_ascii_case(id),
        None => contains(value, id),
    }
}

/// Without case, and whatever white space was folded into it.
fn contains(value: &[u8], id: &[u8]) -> bool {
    let lower = |text: &[u8]| -> Vec<u8> {
        text.iter().filter(|octet| !is_space(**octet)).map(u8::to_ascii_lowercase).collect()
    };
    memchr::memmem::find(&lower(value), &lower(id)).is_some()
}

/// What stands in the place of the name. None if nothing that the grammar knows does.
fn begin(value: &[u8]) -> Option<Vec<u8>> {
    let rest = without_comments(value)?;
    let (found, behind) = match rest.split_first()? {
        (b'"', rest) => quoted(rest)?,
        _ => {
            let is_end = |octet: &u8| is_space(*octet) || matches!(octet, b';' | b'(');
            let end = rest.iter().position(is_end).unwrap_or(rest.len());
            let (found, behind) = rest.split_at(end);
            (found.to_vec(), behind)
        }
    };
    let is_plain =
        |octet: &u8| octet.is_ascii_graphic() && !b"()<>,:\\\"[]?=".contains(octet) || *octet >= 0x80;
    // A version may follow, then a semicolon.
    let behind = without_comments(behind)?;
    let is_sound = matches!(behind.first(), None | Some(b';' | b'0'..=b'9'));
    (is_sound && !found.is_empty() && found.iter().all(is_plain)).then_some(found)
}

/// Between the name and the colon: white space that old syntax allows, folding that no syntax does but
/// that is gone once somebody unfolds before reading.
const fn may_follow(last: u8, octet: u8) -> bool {
    match (last, octet) {
        (b'\r', b'\n') | (b'\n', b' ' | b'\t') => true,
        (b'\r' | b'\n', _) => false,
        (_, octet) => matches!(octet, b' ' | b'\t' | b'\r' | b':'),
    }
}

const fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// Behind white space and comments. None if a comment does not end.
fn without_comments(text: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    let mut octets = text.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'\\' if depth > 0 => drop(octets.next()),
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            octet if depth > 0 || is_space(*octet) => {}
            _ => return text.get(at..),
        }
    }
    (depth == 0).then_some(&[])
}

fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut found = Vec::new();
    let mut octets = text.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => return Some((found, text.get(at + 1..)?)),
            b'\\' => found.push(*octets.next()?.1),
            octet if is_space(*octet) => {}
            octet => found.push(*octet),
        }
    }
    None
}

/// Where in the header section the next octet stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A line begins; what was held may still go on in it.
    #[default]
    LineStart,
    /// In a line that could still begin a field with that name.
    Name,
    /// In a field with that name.
    Results,
    /// In any other line.
    Other,
    Body,
}

/// Takes forged fields out of content.
#[derive(Debug)]
pub struct Removal {
    authserv_id: Box<str>,
    state: State,
    held: Vec<u8>,
    /// Whether a field in `held` has that name, and its line has ended.
    has_field: bool,
    last: u8,
    removed: usize,
}

impl Removal {
    pub fn new(authserv_id: &str) -> Self {
        Self {
            authserv_id: authserv_id.into(),
            state: State::default(),
            held: Vec::new(),
            has_field: false,
            last: 0,
            removed: 0,
        }
    }

    /// Fields taken out so far.
    pub const fn removed(&self) -> usize {
        self.removed
    }

    /// Whether the header section has ended: what comes now need not pass here.
    pub fn is_done(&self) -> bool {
        self.state == State::Body
    }

    /// Appends what stays. Up to the end of a field with that name, it is held.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) {
        let mut rest = content;
        while !rest.is_empty() && !self.is_done() {
            let taken = self.step(rest, out);
            rest = rest.get(taken..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
    }

    /// Content has ended.
    pub fn finish(mut self, out: &mut Vec<u8>) -> usize {
        if self.state == State::Results || self.has_field {
            self.judge(out);
        } else {
            out.append(&mut self.held);
        }
        self.removed
    }

    fn step(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        match self.state {
            State::LineStart => self.line_start(rest, out),
            State::Name => self.name(rest, out),
            State::Results | State::Other => self.line(rest, out),
            State::Body => 0,
        }
    }

    fn line_start(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let is_continued = matches!(rest.first(), Some(b' ' | b'\t'));
        if self.has_field && is_continued {
            self.state = State::Results;
            return 0;
        }
        if std::mem::take(&mut self.has_field) {
            self.judge(out);
        }
        self.state = if is_continued { State::Other } else { State::Name };
        0
    }

    /// One octet at a time, as long as the line reads like the name, or is empty so far.
    fn name(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let Some(octet) = rest.first() else { return 0 };
        let at = self.held.len();
        let is_next = match NAME.get(at) {
            Some(wanted) => octet.to_ascii_lowercase() == *wanted,
            None => may_follow(self.last, *octet),
        };
        if self.held.ends_with(b"\r\n") && !is_next {
            out.append(&mut self.held);
            self.state = State::LineStart;
            return 0;
        }
        if is_next && at == HELD_BYTES_MAX {
            self.state = State::Results;
            return 0;
        }
        let is_empty_line = self.held.is_empty() && *octet == b'\r' || self.held == b"\r" && *octet == b'\n';
        if !is_next && !is_empty_line {
            out.append(&mut self.held);
            self.state = State::Other;
            return 0;
        }
        self.held.push(*octet);
        self.last = *octet;
        if self.held == b"\r\n" {
            out.append(&mut self.held);
            self.state = State::Body;
        } else if *octet == b':' {
            self.state = State::Results;
        }
        1
    }

    fn line(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let found = memchr::memchr(b'\n', rest);
        let line = rest.get(..found.map_or(rest.len(), |at| at + 1)).unwrap_or(rest);
        let before = match line {
            [.., before, _] => *before,
            _ => self.last,
        };
        if self.state == State::Results {
            let room = HELD_BYTES_MAX.saturating_sub(self.held.len());
            self.held.extend_from_slice(line.get(..room).unwrap_or(line));
        } else {
            out.extend_from_slice(line);
        }
        self.last = line.last().copied().unwrap_or(self.last);
        if found.is_some() && before == b'\r' {
            self.has_field = self.state == State::Results;
            self.state = State::LineStart;
        }
        line.len()
    }

    fn judge(&mut self, out: &mut Vec<u8>) {
        if self.held.len() >= HELD_BYTES_MAX || is_forged(&self.held, &self.authserv_id) {
            self.removed += 1;
            self.held.clear();
        } else {
            out.append(&mut self.held);
        }
    }
}
