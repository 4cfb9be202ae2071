//! Many phrases at once, as whole words: each word of the text is hashed, and two words together must be
//! known before anything else is looked at.
//!
//! A phrase here starts and ends with a word byte (ASCII letter, digit, `_`), and matches where the bytes
//! beside it are none. So its words are whole words of the text, in order, and a phrase ends where a word
//! ends. A key is a hash over the last so many words, newest first; a bit filter holds the keys of the last
//! two words of all phrases (or of the one), and few pairs of words pass it. Those that do are followed
//! word by word through a table of longer keys, and a phrase found there is compared byte by byte.
//!
//! Invariants: what is found equals what `naive` finds, whatever collides. One word of text costs at most
//! [`KEYED_WORDS_MAX`] look-ups and [`PHRASES_PER_KEY_MAX`] comparisons each, so hostile text cannot make
//! it slow.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

/// Longest phrase, in bytes after folding.
pub const PHRASE_BYTES_MAX: usize = 512;
/// Words, counted from the end, that make a phrase's key.
pub const KEYED_WORDS_MAX: usize = 16;
/// Phrases that may share a key; more are refused here, and found elsewhere.
pub const PHRASES_PER_KEY_MAX: usize = 64;

/// Readable bytes that must surround the text that is scanned.
pub(super) const LEAD_BYTES: usize = 8;
pub(super) const SLACK_BYTES: usize = GROUP;

/// Bytes taken together.
const GROUP: usize = 64;
/// An open word is not remembered beyond this: no phrase has one that long.
const OPEN_BYTES_MAX: usize = 2 * PHRASE_BYTES_MAX;
const FILTER_BITS_PER_KEY: usize = 32;
const FILTER_BITS_MIN: usize = 1 << 12;
const FILTER_BITS_MAX: usize = 1 << 23;

// Odd constants without meaning.
const MIX: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x27d4_eb2f_1656_67c5];

/// A compiled set of phrases.
#[derive(Debug)]
pub(super) struct Phrases {
    filter: Vec<u64>,
    shift: u32,
    nodes: HashMap<u64, Node, BuildHasherDefault<KeyHasher>>,
    /// Sorted by key, so that a node's are together.
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Whether a longer key goes on from here.
    deeper: bool,
    first: u32,
    count: u32,
}

#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    id: u32,
}

/// Where one stream stands among its words.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// Bytes of the word that the last scan ended in.
    open: usize,
    /// Keys of single words, the newest at `newest`.
    ring: [u64; KEYED_WORDS_MAX],
    newest: usize,
}

/// Text to scan: `fresh` is new, what stands before it from `valid` on was scanned before.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) text: &'a [u8],
    pub(super) valid: usize,
}

pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether the phrase can be found by its words.
pub(super) fn is_wordy(phrase: &[u8]) -> bool {
    let edges = phrase.first().zip(phrase.last());
    phrase.is_ascii()
        && phrase.len() <= PHRASE_BYTES_MAX
        && edges.is_some_and(|(first, last)| is_word(*first) && is_word(*last))
}

impl Phrases {
    /// Takes phrases that are all [`is_wordy`], each with the id that its hits carry. Returns the indices of
    /// those that share their key with too many.
    pub(super) fn new(phrases: &[(&[u8], u32)]) -> (Self, Vec<usize>) {
        let mut keyed: Vec<(u64, usize)> = Vec::with_capacity(phrases.len());
        let mut nodes: HashMap<u64, Node, _> = HashMap::default();
        let mut seen = Vec::new();
        for (index, (phrase, _)) in phrases.iter().enumerate() {
            let keys = keys(phrase);
            let Some((last, inner)) = keys.split_last() else { continue };
            // The first key of several words is never asked for.
            for key in inner.iter().skip(1) {
                nodes.entry(*key).or_insert_with(Node::default).deeper = true;
            }
            seen.extend(keys.get(usize::from(!inner.is_empty())));
            keyed.push((*last, index));
        }
        let refused = drop_crowds(&mut keyed);
        let mut entries = Vec::with_capacity(keyed.len());
        for (key, index) in keyed {
            let node = nodes.entry(key).or_insert_with(Node::default);
            if node.count == 0 {
                node.first = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            }
            node.count += 1;
            let (text, id) = phrases.get(index).copied().unwrap_or_default();
            entries.push(Entry { text: text.into(), id });
        }
        let (filter, shift) = filter(&seen);
        (Self { filter, shift, nodes, entries }, refused)
    }

    /// Bytes it occupies, about.
    pub(super) fn bytes(&self) -> usize {
        let texts: usize = self.entries.iter().map(|entry| entry.text.len()).sum();
        let node = size_of::<Node>() + size_of::<u64>() + 1;
        self.filter.len() * 8 + self.nodes.capacity() * node + texts + self.entries.len() * size_of::<Entry>()
    }

    /// Finds the phrases that end in `fresh`, except one that ends with it: whether its last word is over,
    /// the next byte tells. `text` is readable for [`LEAD_BYTES`] before and [`SLACK_BYTES`] after `fresh`.
    pub(super) fn scan(
        &self,
        words: &mut Words,
        view: View<'_>,
        fresh: Range<usize>,
        found: &mut impl FnMut(u32, usize),
    ) {
        let mut start = fresh.start - words.open;
        let mut open = words.open > 0;
        let mut base = fresh.start;
        while base < fresh.end {
            let mut mask = word_mask(view.text, base);
            let length = fresh.end - base;
            if length < GROUP {
                mask &= (1 << length) - 1;
            }
            let before = mask << 1 | u64::from(open);
            let (mut starts, mut ends) = (mask & !before, !mask & before);
            if length < GROUP {
                // What lies behind is not known to be no word.
                ends &= (1 << length) - 1;
            }
            if !open {
                take_start(&mut starts, base, &mut start);
            }
            while ends != 0 {
                let end = base + ends.trailing_zeros() as usize;
                ends &= ends - 1;
                self.word(words, view, start..end, found);
                take_start(&mut starts, base, &mut start);
            }
            let last = length.min(GROUP) - 1;
            open = mask >> last & 1 != 0;
            base += GROUP;
        }
        words.open = if open { (fresh.end - start).min(OPEN_BYTES_MAX) } else { 0 };
    }

    /// Finds the phrases that end at `end`, where the text ends.
    pub(super) fn finish(
        &self,
        words: &mut Words,
        view: View<'_>,
        end: usize,
        found: &mut impl FnMut(u32, usize),
    ) {
        if words.open > 0 {
            self.word(words, view, end - words.open..end, found);
        }
        *words = Words::default();
    }

    fn word(
        &self,
        words: &mut Words,
        view: View<'_>,
        place: Range<usize>,
        found: &mut impl FnMut(u32, usize),
    ) {
        let key = word_key(view.text, place.clone());
        let pair = join(key, words.back(0));
        if self.passes(key) | self.passes(pair) {
            self.follow(words, view, (key, pair), place.end, found);
        }
        words.push(key);
    }

    fn passes(&self, key: u64) -> bool {
        let bit = key >> self.shift;
        self.filter.get(index(bit >> 6)).is_some_and(|word| word >> (bit & 63) & 1 != 0)
    }

    /// Follows the keys as far as they are known and compares what they lead to.
    #[cold]
    fn follow(
        &self,
        words: &Words,
        view: View<'_>,
        (single, pair): (u64, u64),
        end: usize,
        found: &mut impl FnMut(u32, usize),
    ) {
        if let Some(node) = self.nodes.get(&single) {
            self.compare(*node, view, end, found);
        }
        let mut key = pair;
        for back in 1..KEYED_WORDS_MAX {
            let Some(node) = self.nodes.get(&key) else { return };
            self.compare(*node, view, end, found);
            if !node.deeper {
                return;
            }
            key = join(key, words.back(back));
        }
    }

    fn compare(&self, node: Node, view: View<'_>, end: usize, found: &mut impl FnMut(u32, usize)) {
        let range = node.first as usize..node.first as usize + node.count as usize;
        for entry in self.entries.get(range).unwrap_or_default() {
            let Some(start) = end.checked_sub(entry.text.len()).filter(|start| *start >= view.valid) else {
                continue;
            };
            let apart = start == view.valid || view.text.get(start - 1).is_some_and(|byte| !is_word(*byte));
            if apart && view.text.get(start..end) == Some(&*entry.text) {
                found(entry.id, end);
            }
        }
    }
}

impl Words {
    fn push(&mut self, key: u64) {
        self.newest = (self.newest + 1) % KEYED_WORDS_MAX;
        if let Some(slot) = self.ring.get_mut(self.newest) {
            *slot = key;
        }
    }

    /// The word so many before the newest.
    fn back(&self, count: usize) -> u64 {
        let at = (self.newest + KEYED_WORDS_MAX - count) % KEYED_WORDS_MAX;
        self.ring.get(at).copied().unwrap_or_default()
    }
}

/// Takes the phrases out of `keyed` that would make a crowd of more than [`PHRASES_PER_KEY_MAX`] at one key.
fn drop_crowds(keyed: &mut Vec<(u64, usize)>) -> Vec<usize> {
    keyed.sort_unstable();
    let (mut refused, mut last, mut crowd) = (Vec::new(), 0, 0);
    keyed.retain(|(key, index)| {
        crowd = if *key == last { crowd + 1 } else { 1 };
        last = *key;
        if crowd > PHRASES_PER_KEY_MAX {
            refused.push(*index);
        }
        crowd <= PHRASES_PER_KEY_MAX
    });
    refused
}

fn filter(keys: &[u64]) -> (Vec<u64>, u32) {
    let bits = (keys.len() * FILTER_BITS_PER_KEY).next_power_of_two().clamp(FILTER_BITS_MIN, FILTER_BITS_MAX);
    let shift = 64 - bits.trailing_zeros();
    let mut filter = vec![0_u64; bits / 64];
    for key in keys {
        let bit = key >> shift;
        if let Some(word) = filter.get_mut(index(bit >> 6)) {
            *word |= 1 << (bit & 63);
        }
    }
    (filter, shift)
}

/// The keys of the last one, two, … words of `phrase`.
fn keys(phrase: &[u8]) -> Vec<u64> {
    let padded = [&[0; LEAD_BYTES], phrase, &[0; LEAD_BYTES]].concat();
    let mut words: Vec<Range<usize>> = Vec::new();
    for (at, _) in padded.iter().enumerate().filter(|(_, byte)| is_word(**byte)) {
        match words.last_mut() {
            Some(word) if word.end == at => word.end += 1,
            _ => words.push(at..at + 1),
        }
    }
    let mut keys: Vec<u64> = Vec::new();
    for word in words.into_iter().rev().take(KEYED_WORDS_MAX) {
        let key = word_key(&padded, word);
        keys.push(keys.last().map_or(key, |longer| join(*longer, key)));
    }
    keys
}

/// Length, first and last eight bytes: what lies between is left to the comparison.
fn word_key(text: &[u8], word: Range<usize>) -> u64 {
    let length = word.end - word.start;
    let head = load(text, word.start);
    let (head, tail) = if length < LEAD_BYTES {
        let head = head & ((1 << (8 * length)) - 1);
        (head, head)
    } else {
        (head, load(text, word.end - LEAD_BYTES))
    };
    multiply(head ^ MIX[0], tail ^ MIX[1].wrapping_mul(length as u64 + 1))
}

/// The key that goes one word further back than `key`.
fn join(key: u64, before: u64) -> u64 {
    multiply(key ^ MIX[2], before ^ MIX[3])
}

/// Both halves of the product together: all bits of both tell on all bits of it.
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
const fn multiply(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

fn load(text: &[u8], at: usize) -> u64 {
    text.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A bit for each of the 64 bytes from `at`, set where it is a word byte: [`is_word`] for each, without branches.
fn word_mask(text: &[u8], at: usize) -> u64 {
    mask(text, at, |byte| {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        let digit = byte.wrapping_sub(b'0') < 10;
        letter | digit | (byte == b'_')
    })
}

/// A bit for each of the 64 bytes from `at`, set where it is `wanted`. Written so that the compiler makes
/// vector comparisons of it, then eight bits gathered at a time.
pub(super) fn mask(text: &[u8], at: usize, wanted: impl Fn(u8) -> bool) -> u64 {
    let group: &[u8; GROUP] = text.get(at..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; GROUP]);
    let mut marks = [0_u8; GROUP];
    for (mark, byte) in marks.iter_mut().zip(group) {
        *mark = u8::from(wanted(*byte));
    }
    let (words, _) = marks.as_chunks::<8>();
    // The product gathers the eight marks into its top byte.
    let gathered = |word: [u8; 8]| u64::from_le_bytes(word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    words.iter().rev().fold(0, |mask, word| mask << 8 | gathered(*word))
}

/// Moves `start` to the next of `starts`, if there is one.
const fn take_start(starts: &mut u64, base: usize, start: &mut usize) {
    if *starts != 0 {
        *start = base + starts.trailing_zeros() as usize;
        *starts &= *starts - 1;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an index that is too large finds nothing")]
const fn index(wide: u64) -> usize {
    wide as usize
}

/// Keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = multiply(self.0 ^ u64::from(*byte), MIX[0]));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
