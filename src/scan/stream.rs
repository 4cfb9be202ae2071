//! One place of one part, looked through while it passes.
//!
//! Bytes are gathered into blocks of a fixed size before the engines see them: they are slow on small
//! pieces, and since blocks are counted from the start of the stream, nothing that happens in one can
//! depend on how the input was cut. The last bytes of the block before stay in front of the new one, so a
//! phrase, a number or a window of an expression is always in one piece.
//!
//! Invariants: every byte is seen by every engine of the set once, in order; memory is the buffer and the
//! engines' fixed states; hostile bytes cost a bounded multiple of harmless ones, and what is cut short
//! for that is a [`Shortfall`].

mod numbers;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use regex_automata::hybrid::dfa::Cache;

use super::database::{self, Note, Scanned};
use super::hit::{Hit, Match, Shortfall, Tail, Tally};
use super::normalise::{self, FOLDED_CHAR_BYTES_MAX, Normaliser};
use super::phrase::{self, LEAD_BYTES, SLACK_BYTES, View, Words};
use super::rules::Rules;
use super::set::{Set, Target, Use};

/// Bytes gathered before a scan.
pub const BLOCK_BYTES: usize = 8 * 1024;
/// Bytes kept before them: evidence, the start of phrases, windows.
pub const TAIL_BYTES: usize = 4 * 1024;
/// What one open stream holds beside the states of the engines.
pub const STREAM_BUFFER_BYTES: usize = ORIGIN + BLOCK_BYTES + SLACK_BYTES;
/// Matches in one block that are kept; harmless text has few.
pub const MATCHES_PER_BLOCK_MAX: usize = 4096;
/// Ends that an engine may report in one stream, whatever its length, and bytes that pay for one more. An
/// end costs about what scanning ten bytes does; an expression may have one at every byte.
pub const ENDS_FREE: u64 = 256 * 1024;
pub const BYTES_PER_END: u64 = 8;
/// Bytes of a stream that may be looked at twice, whatever its length, and for each of its bytes.
pub const CONFIRM_BYTES_FREE: u64 = 256 * 1024;
pub const CONFIRM_BYTES_PER_BYTE: u64 = 8;
/// Idle streams that a worker keeps.
pub const IDLE_STREAMS_MAX: usize = 64;

/// Text is folded in pieces of this size.
const PIECE_BYTES: usize = 2048;
/// Where new bytes stand in the buffer.
const ORIGIN: usize = LEAD_BYTES + TAIL_BYTES;

const _: () = assert!(TAIL_BYTES > 2 * super::confirm::REACH_BYTES_MAX + 2);
const _: () = assert!(TAIL_BYTES > 2 * phrase::PHRASE_BYTES_MAX);
const _: () = assert!(TAIL_BYTES > super::validator::TAIL_BYTES_MAX);
const _: () =
    assert!(TAIL_BYTES > super::pattern::NEAR_BYTES_MAX as usize + super::validator::TAIL_BYTES_MAX);

/// The working memory of one worker, shared by all its streams.
#[derive(Debug)]
pub struct Scratch {
    engine: database::Scratch,
    matches: Vec<Noted>,
    folded: Vec<u8>,
    /// What split expressions have learnt, by set and index.
    caches: HashMap<(u64, u32), Cache>,
    idle: Vec<Stream>,
}

impl Scratch {
    pub fn new() -> Self {
        Self {
            engine: database::Scratch::new(),
            matches: Vec::with_capacity(MATCHES_PER_BLOCK_MAX),
            folded: Vec::with_capacity(PIECE_BYTES + FOLDED_CHAR_BYTES_MAX + normalise::BLOCK),
            caches: HashMap::new(),
            idle: Vec::new(),
        }
    }

    /// Makes ready for `rules`, and forgets all others. Streams of others may go on, and cost a little more.
    pub fn serve(&mut self, rules: &Rules) -> Shortfall {
        self.idle.clear();
        self.caches.clear();
        self.engine.forget();
        let databases = rules.sets().iter().flat_map(|set| set.databases()).flatten();
        let failed = databases.fold(false, |failed, database| failed | self.engine.grow(database).is_err());
        Shortfall { engine: failed, ..Shortfall::default() }
    }

    /// A stream at its start: an idle one of the same set, or a new one.
    pub fn open(&mut self, set: &Arc<Set>) -> Stream {
        let idle = self.idle.iter().rposition(|stream| stream.set.id == set.id);
        idle.map_or_else(|| Stream::new(set), |index| self.idle.swap_remove(index))
    }

    /// Takes a stream back, finished or not.
    pub fn park(&mut self, mut stream: Stream) {
        if self.idle.len() < IDLE_STREAMS_MAX && stream.abandon() {
            self.idle.push(stream);
        }
    }

    /// Bytes of the engine's part and of what split expressions have learnt.
    pub fn bytes(&self) -> usize {
        self.engine.bytes() + self.caches.values().map(Cache::memory_usage).sum::<usize>()
    }
}

/// One place of one part: bytes in, hits out.
#[derive(Debug)]
pub struct Stream {
    set: Arc<Set>,
    literals: Option<Engine>,
    regexes: Option<Engine>,
    numbers: Option<Engine>,
    spot: numbers::Spot,
    /// Empty but while a block is looked through.
    spans: Vec<Range<usize>>,
    words: Words,
    normaliser: Normaliser,
    /// Lead, tail, block, slack.
    buffer: Box<[u8]>,
    /// Bytes of the tail that are of this stream.
    held: usize,
    /// New bytes in the block.
    filled: usize,
    /// Where the block starts in the stream.
    at: u64,
    windows: Vec<Window>,
    /// For each split expression, up to where its ends were reported.
    done: Vec<u64>,
    /// Matches at the end of the block whose next byte decides.
    edges: Vec<Noted>,
    confirmed: u64,
    tally: Tally,
    shortfall: Shortfall,
}

/// One engine's state in a stream.
#[derive(Debug)]
struct Engine {
    state: database::Stream,
    /// Where the engine started in the stream: not at its start if it was stopped.
    base: u64,
    /// Ends it reported.
    ends: u64,
}

/// Where a split expression has to be looked for.
#[derive(Clone, Copy, Debug)]
struct Window {
    confirm: u32,
    from: u64,
    to: u64,
}

/// A find of an engine, by the index of its [`Use`]: the first and last end of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Noted {
    end: u64,
    last: u64,
    meaning: u32,
    /// A find of a split expression: `meaning` is its index.
    confirmed: bool,
}

impl Stream {
    fn new(set: &Arc<Set>) -> Self {
        let mut stream = Self {
            set: Arc::clone(set),
            literals: None,
            regexes: None,
            numbers: None,
            spot: numbers::Spot::default(),
            spans: Vec::new(),
            words: Words::default(),
            normaliser: Normaliser::new(),
            buffer: vec![0; STREAM_BUFFER_BYTES].into_boxed_slice(),
            held: 0,
            filled: 0,
            at: 0,
            windows: Vec::new(),
            done: Vec::new(),
            edges: Vec::new(),
            confirmed: 0,
            tally: Tally::default(),
            shortfall: Shortfall::default(),
        };
        let states = [&mut stream.literals, &mut stream.regexes, &mut stream.numbers];
        for (database, state) in set.databases().into_iter().zip(states) {
            let opened = database.as_ref().map(database::Stream::open).transpose();
            stream.shortfall.engine |= opened.is_err();
            *state = opened.ok().flatten().map(|state| Engine { state, base: 0, ends: 0 });
        }
        stream.restart();
        stream
    }

    pub fn set(&self) -> &Arc<Set> {
        &self.set
    }

    /// What was lost so far.
    pub const fn shortfall(&self) -> Shortfall {
        self.shortfall
    }

    /// Bytes pushed so far.
    pub const fn length(&self) -> u64 {
        self.at + self.filled as u64
    }

    /// Takes bytes as they are to be looked through. Hits come when their block is full.
    pub fn push(&mut self, bytes: &[u8], scratch: &mut Scratch, sink: &mut impl FnMut(Hit<'_>)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(BLOCK_BYTES - self.filled));
            let start = ORIGIN + self.filled;
            if let Some(free) = self.buffer.get_mut(start..start + piece.len()) {
                free.copy_from_slice(piece);
            }
            self.filled += piece.len();
            rest = after;
            if self.filled == BLOCK_BYTES {
                self.scan(false, scratch, sink);
            }
        }
    }

    /// Takes text of a folded place.
    pub fn push_text(&mut self, text: &str, scratch: &mut Scratch, sink: &mut impl FnMut(Hit<'_>)) {
        let mut folded = std::mem::take(&mut scratch.folded);
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
            folded.clear();
            self.normaliser.push(piece, &mut folded);
            self.push(&folded, scratch, sink);
            rest = after;
        }
        scratch.folded = folded;
    }

    /// Takes one item of a place of lines, and ends its line.
    pub fn push_line(&mut self, text: &str, scratch: &mut Scratch, sink: &mut impl FnMut(Hit<'_>)) {
        self.normaliser = Normaliser::new();
        self.push_text(text, scratch, sink);
        self.push(b"\n", scratch, sink);
    }

    /// The stream is over. What follows is a new one.
    pub fn finish(&mut self, scratch: &mut Scratch, sink: &mut impl FnMut(Hit<'_>)) -> Shortfall {
        if self.length() > 0 {
            self.scan(true, scratch, sink);
        }
        let shortfall = self.shortfall;
        self.restart();
        shortfall
    }

    /// Makes it a new stream; whether that went well.
    fn abandon(&mut self) -> bool {
        let untouched = self.length() == 0;
        let states = self.engines().into_iter().flatten();
        let well = states.fold(true, |well, engine| well & (untouched || engine.state.abandon().is_ok()));
        let whole = !self.shortfall.engine;
        self.restart();
        well && whole
    }

    /// Everything but the engines' states, which finishing or abandoning has reset.
    fn restart(&mut self) {
        self.words = Words::default();
        self.normaliser = Normaliser::new();
        (self.held, self.filled, self.at, self.confirmed) = (0, 0, 0, 0);
        self.windows.clear();
        self.edges.clear();
        self.done.clear();
        self.done.resize(self.set.confirms.len(), 0);
        self.tally.reset(self.set.groups);
        self.spot = numbers::Spot::default();
        for engine in self.engines().into_iter().flatten() {
            (engine.base, engine.ends) = (0, 0);
        }
        let set = Arc::clone(&self.set);
        let engines = self.engines().map(|engine| engine.is_some());
        let engine =
            set.databases().into_iter().zip(engines).any(|(database, open)| database.is_some() && !open);
        self.shortfall = Shortfall { engine, ..Shortfall::default() };
    }

    fn engines(&mut self) -> [&mut Option<Engine>; 3] {
        [&mut self.literals, &mut self.regexes, &mut self.numbers]
    }

    /// Looks through the block, `last`: and that was all.
    fn scan(&mut self, last: bool, scratch: &mut Scratch, sink: &mut impl FnMut(Hit<'_>)) {
        let mut matches = std::mem::take(&mut scratch.matches);
        matches.clear();
        matches.append(&mut self.edges);
        self.run_engines(last, &mut scratch.engine, &mut matches);
        self.run_numbers(last, &mut scratch.engine, &mut matches);
        self.run_phrases(last, &mut matches);
        matches.sort_unstable();
        self.confirm(last, &mut scratch.caches, &mut matches);
        matches.sort_unstable();
        self.count(last, &matches, sink);
        scratch.matches = matches;
        if !last {
            self.slide();
        }
    }

    fn run_engines(&mut self, last: bool, scratch: &mut database::Scratch, matches: &mut Vec<Noted>) {
        let fresh = self.buffer.get(ORIGIN..ORIGIN + self.filled).unwrap_or_default();
        let end = self.at + self.filled as u64;
        let engines =
            [(&mut self.literals, self.set.first_literal), (&mut self.regexes, self.set.regex_base)];
        for (engine, first) in engines {
            let Some(engine) = engine else { continue };
            let mut notes = Notes::new(&self.set, first, engine, end, matches);
            let mut result = engine.state.scan(fresh, scratch, &mut notes);
            if last {
                result = engine.state.finish(scratch, &mut notes).and(result);
            } else if result == Ok(Scanned::Stopped) {
                // The rest of the block is lost to it, and `flood` says so; it goes on with the next one.
                engine.base = end;
                result = engine.state.abandon().and(result);
            }
            self.shortfall.flood |= notes.flood;
            engine.ends = notes.ends;
            self.shortfall.engine |= result.is_err();
        }
    }

    fn run_phrases(&mut self, last: bool, matches: &mut Vec<Noted>) {
        let Some(phrases) = &self.set.phrases else { return };
        let view = View { text: &self.buffer, valid: ORIGIN - self.held };
        let (at, mut flood) = (self.at, false);
        let mut found = |meaning: u32, end: usize| {
            if matches.len() >= MATCHES_PER_BLOCK_MAX {
                flood = true;
                return;
            }
            // A word may end with the block before.
            let end = at + end as u64 - ORIGIN as u64;
            matches.push(Noted { end, last: end, meaning, confirmed: false });
        };
        let end = ORIGIN + self.filled;
        phrases.scan(&mut self.words, view, ORIGIN..end, &mut found);
        if last {
            phrases.finish(&mut self.words, view, end, &mut found);
        }
        self.shortfall.flood |= flood;
    }

    /// Looks for split expressions where their literals were found.
    fn confirm(&mut self, last: bool, caches: &mut HashMap<(u64, u32), Cache>, matches: &mut Vec<Noted>) {
        if self.set.confirms.is_empty() {
            return;
        }
        // What stands beside the last byte is not known yet.
        let limit = self.at + self.filled as u64 - u64::from(!last);
        let noted: Vec<Noted> = matches.iter().copied().filter(|noted| !noted.confirmed).collect();
        for noted in noted {
            if let Some(Use { target: Target::Confirm(confirm), .. }) = self.set.meaning(noted.meaning) {
                let confirm = *confirm;
                self.open_window(confirm, noted, limit, caches, matches);
            }
        }
        for mut window in std::mem::take(&mut self.windows) {
            self.look(window, limit, caches, matches);
            if window.to > limit {
                window.from = window.from.max(limit.saturating_sub(self.reach(window.confirm)));
                self.windows.push(window);
            }
        }
    }

    /// A literal of `confirm` was found: widens its window, or looks through the old one and opens another.
    fn open_window(
        &mut self,
        confirm: u32,
        noted: Noted,
        limit: u64,
        caches: &mut HashMap<(u64, u32), Cache>,
        matches: &mut Vec<Noted>,
    ) {
        let reach = self.reach(confirm);
        let window = Window { confirm, from: noted.end.saturating_sub(reach), to: noted.last + reach };
        let old = self.windows.iter_mut().find(|old| old.confirm == confirm);
        match old {
            None => self.windows.push(window),
            Some(old) if window.from <= old.to => old.to = old.to.max(window.to),
            Some(old) => {
                let over = std::mem::replace(old, window);
                self.look(over, limit, caches, matches);
            }
        }
    }

    fn reach(&self, confirm: u32) -> u64 {
        self.set.confirms.get(confirm as usize).map_or(0, |(confirm, _)| confirm.reach() as u64)
    }

    /// Reports the ends in `window` up to `limit` that were not reported before.
    fn look(
        &mut self,
        window: Window,
        limit: u64,
        caches: &mut HashMap<(u64, u32), Cache>,
        matches: &mut Vec<Noted>,
    ) {
        let Some((confirm, _)) = self.set.confirms.get(window.confirm as usize) else { return };
        let Some(done) = self.done.get_mut(window.confirm as usize) else { return };
        let to = window.to.min(limit);
        self.confirmed += to.saturating_sub(window.from);
        if self.confirmed > CONFIRM_BYTES_FREE + CONFIRM_BYTES_PER_BYTE * (self.at + self.filled as u64) {
            self.shortfall.confirm = true;
            return;
        }
        let text = self.buffer.get(ORIGIN - self.held..ORIGIN + self.filled).unwrap_or_default();
        let start = self.at - self.held as u64;
        let index = |offset: u64| usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
        let cache = caches.entry((self.set.id, window.confirm)).or_insert_with(|| confirm.cache());
        let mut flood = false;
        let searched = confirm.ends(cache, text, (index(window.from), index(to)), &mut |end| {
            let end = start + end as u64;
            if matches.len() >= MATCHES_PER_BLOCK_MAX {
                flood = true;
            } else if end > *done {
                matches.push(Noted { end, last: end, meaning: window.confirm, confirmed: true });
            }
        });
        *done = to.max(*done);
        self.shortfall.flood |= flood;
        self.shortfall.confirm |= searched.is_err();
    }

    /// Makes hits of matches.
    fn count(&mut self, last: bool, matches: &[Noted], sink: &mut impl FnMut(Hit<'_>)) {
        let text = self.buffer.get(ORIGIN - self.held..ORIGIN + self.filled).unwrap_or_default();
        let tail = Tail { text, at: self.at - self.held as u64 };
        let end = self.at + self.filled as u64;
        for noted in matches {
            let meaning = if noted.confirmed {
                self.set.confirms.get(noted.meaning as usize).map(|(_, meaning)| meaning)
            } else {
                self.set.meaning(noted.meaning)
            };
            let Some(meaning) = meaning else { continue };
            if meaning.whole && noted.meaning >= self.set.first_literal {
                if noted.end == end && !last {
                    self.edges.push(*noted);
                    continue;
                }
                if !stands_apart(tail, noted.end, meaning.length) {
                    continue;
                }
            }
            match meaning.target {
                Target::Word(group) => self.tally.word(group, noted.end, tail, sink),
                Target::Rule(rule) => {
                    let Some(rule) = self.set.rules.get(rule as usize) else { continue };
                    let (gap, length) = (meaning.gap, meaning.length);
                    let matched = Match { end: noted.end, last: noted.last, gap, length };
                    self.tally.found(rule, matched, tail, sink);
                }
                Target::Confirm(_) => {}
            }
        }
        self.shortfall.flood |= self.tally.flood();
    }

    /// Keeps the last bytes and makes room for a new block.
    fn slide(&mut self) {
        let held = (self.held + self.filled).min(TAIL_BYTES);
        let end = ORIGIN + self.filled;
        self.buffer.copy_within(end - held..end, ORIGIN - held);
        self.at += self.filled as u64;
        (self.held, self.filled) = (held, 0);
    }
}

/// Whether the bytes beside a phrase keep it apart from other words, where it has word bytes at its edges.
fn stands_apart(tail: Tail<'_>, end: u64, length: Option<u32>) -> bool {
    let before = tail.before(end);
    let start = before.len().saturating_sub(length.unwrap_or(0) as usize);
    let is_word = |index: usize| tail.text.get(index).is_some_and(|byte| phrase::is_word(*byte));
    let joined = |left: usize| is_word(left) && is_word(left + 1);
    let (head, tail_end) = (start.checked_sub(1), before.len().checked_sub(1));
    !head.is_some_and(joined) && !tail_end.is_some_and(joined)
}

/// Notes what an engine finds in one block; rows of ends that are one occurrence as one.
struct Notes<'a> {
    uses: &'a [Use],
    first: u32,
    base: u64,
    /// What ends here or before does not count.
    after: u64,
    matches: &'a mut Vec<Noted>,
    /// Where the last match of an expression stands, by the low bits of its index.
    recent: [u32; RECENT],
    flood: bool,
    /// Ends that the engine reported, and how many are paid for.
    ends: u64,
    ends_max: u64,
}

const RECENT: usize = 32;

impl Note for Notes<'_> {
    fn note(&mut self, index: u32, end: u64) -> bool {
        if self.ends >= self.ends_max {
            self.flood = true;
            return false;
        }
        self.ends += 1;
        if self.base + end > self.after {
            self.add(self.first + index, self.base + end);
        }
        true
    }
}

impl<'a> Notes<'a> {
    /// For a block of a stream that has `length` bytes then. Indices of the engine count from `first`.
    fn new(set: &'a Set, first: u32, engine: &Engine, length: u64, matches: &'a mut Vec<Noted>) -> Self {
        Self {
            uses: &set.uses,
            first,
            base: engine.base,
            after: 0,
            matches,
            recent: [u32::MAX; RECENT],
            flood: false,
            ends: engine.ends,
            ends_max: ENDS_FREE + length / BYTES_PER_END,
        }
    }

    fn add(&mut self, meaning: u32, end: u64) {
        let Some(of) = self.uses.get(meaning as usize) else { return };
        let Some(recent) = self.recent.get_mut(meaning as usize % RECENT) else { return };
        if of.joins
            && let Some(row) = self.matches.get_mut(*recent as usize)
            && row.meaning == meaning
            && end.saturating_sub(row.last) < u64::from(of.gap)
        {
            row.last = row.last.max(end);
        } else if self.matches.len() < MATCHES_PER_BLOCK_MAX {
            *recent = u32::try_from(self.matches.len()).unwrap_or(u32::MAX);
            self.matches.push(Noted { end, last: end, meaning, confirmed: false });
        } else {
            self.flood = true;
        }
    }
}

#[cfg(test)]
mod tests;
