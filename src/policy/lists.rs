//! Named sets from files, for `x in lists.name`: domains, addresses, networks, digests, names.
//!
//! A file has one entry a line; `#` begins a comment. `example.net` is that domain, `.example.net`
//! every domain below it, as in routes. All but networks compare without regard to case: a name
//! that is written otherwise is still the one that was listed. In a list of domains an address is
//! looked up by its domain.
//!
//! Invariants: all entries of a list are of one kind, so that a slip in one line is a fault and not
//! an entry that never matches. A look-up costs the same however long the list is (networks: the
//! logarithm), and copies nothing; a million entries are some 30 MB.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::limits::{LIST_ENTRIES_MAX, LIST_ENTRY_BYTES_MAX, LIST_FILE_BYTES_MAX};

/// Faults told of one file; the rest is the same mistake once more.
const FAULTS_MAX: usize = 20;

/// What the entries of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    Domains,
    Addresses,
    Networks,
    /// SHA-256 in hex.
    Digests,
    /// Anything: file names, kinds, user names.
    Names,
}

impl ListKind {
    pub const ALL: [(&'static str, Self); 5] = [
        ("domains", Self::Domains),
        ("addresses", Self::Addresses),
        ("networks", Self::Networks),
        ("hashes", Self::Digests),
        ("names", Self::Names),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("names", |(name, _)| name)
    }

    /// What an entry seems to be.
    fn guess(entry: &str) -> Self {
        let labels = entry.strip_prefix('.').unwrap_or(entry);
        if network(entry).is_some() {
            Self::Networks
        } else if is_digest(entry) {
            Self::Digests
        } else if entry.contains('@') {
            Self::Addresses
        } else if labels.contains('.') && is_domain(labels) {
            Self::Domains
        } else {
            Self::Names
        }
    }

    fn takes(self, entry: &str) -> bool {
        match self {
            Self::Domains => is_domain(entry.strip_prefix('.').unwrap_or(entry)),
            Self::Addresses => entry.rsplit_once('@').is_some_and(|(local, domain)| {
                !local.is_empty() && (is_domain(domain) || domain.starts_with('['))
            }),
            Self::Networks => network(entry).is_some(),
            Self::Digests => is_digest(entry),
            Self::Names => true,
        }
    }
}

/// What is wrong in a line of a file; lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    pub line: usize,
    pub message: String,
}

/// One set.
#[derive(Clone, Debug)]
pub struct List {
    kind: ListKind,
    texts: TextSet,
    networks: Networks,
    /// Some entry is all domains below one.
    some_below: bool,
}

impl List {
    /// Reads the bytes of a file. Without `kind`, the first entry tells it.
    ///
    /// # Errors
    /// The faults of the file, not more than a screen of them.
    pub fn read(bytes: &[u8], kind: Option<ListKind>) -> Result<Self, Vec<LineFault>> {
        let fault = |line, message: String| vec![LineFault { line, message }];
        if bytes.len() > LIST_FILE_BYTES_MAX {
            return Err(fault(1, format!("more than {} MiB", LIST_FILE_BYTES_MAX >> 20)));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            fault(memchr::memchr_iter(b'\n', before).count() + 1, "not UTF-8".to_owned())
        })?;
        Self::from_entries(entries(text), kind)
    }

    /// Builds a list from entries and the lines they stand in.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_entries<'a>(
        entries: impl Iterator<Item = (usize, &'a str)>,
        kind: Option<ListKind>,
    ) -> Result<Self, Vec<LineFault>> {
        let mut kind = kind;
        let mut faults = Vec::new();
        let mut networks = Vec::new();
        let mut texts = TextSet::default();
        let mut some_below = false;
        for (line, entry) in entries {
            let of = *kind.get_or_insert_with(|| ListKind::guess(entry));
            if entry.len() > LIST_ENTRY_BYTES_MAX || !of.takes(entry) {
                faults.push(LineFault { line, message: not_of_kind(entry, of) });
            } else if texts.len() + networks.len() == LIST_ENTRIES_MAX {
                faults.push(LineFault { line, message: format!("more than {LIST_ENTRIES_MAX} entries") });
                break;
            } else if of == ListKind::Networks {
                networks.extend(network(entry));
            } else {
                some_below |= entry.starts_with('.');
                texts.push(&folded(entry));
            }
            if faults.len() == FAULTS_MAX {
                break;
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        texts.build();
        let kind = kind.unwrap_or(ListKind::Names);
        Ok(Self { kind, texts, networks: Networks::new(&networks), some_below })
    }

    pub const fn kind(&self) -> ListKind {
        self.kind
    }

    pub fn len(&self) -> usize {
        self.texts.len() + self.networks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `value` is one of the list.
    pub fn contains(&self, value: &str) -> bool {
        if self.kind == ListKind::Networks {
            return value.parse().is_ok_and(|address| self.networks.contains(address));
        }
        let value = folded(value);
        match self.kind {
            ListKind::Domains => {
                let domain = value.rsplit_once('@').map_or(&*value, |(_, domain)| domain);
                self.contains_domain(domain.strip_suffix('.').unwrap_or(domain))
            }
            _ => self.texts.contains(&value),
        }
    }

    /// The domain itself, or one above it that stands in the list with its dot.
    fn contains_domain(&self, domain: &str) -> bool {
        let below = || {
            let mut dots = memchr::memchr_iter(b'.', domain.as_bytes());
            dots.any(|dot| self.texts.contains(&domain[dot..]))
        };
        self.texts.contains(domain) || self.some_below && below()
    }
}

/// All lists of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Lists(Vec<(String, Option<List>)>);

/// Place of a list among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListIndex(usize);

impl Lists {
    /// Adds a list. `None` stands for one that could not be read, so that rules that name it are
    /// not wrong as well.
    pub fn add(&mut self, name: &str, list: Option<List>) {
        self.0.push((name.to_owned(), list));
    }

    pub fn find(&self, name: &str) -> Option<ListIndex> {
        self.0.iter().position(|(known, _)| known == name).map(ListIndex)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &List)> {
        self.0.iter().filter_map(|(name, list)| Some((name.as_str(), list.as_ref()?)))
    }

    pub fn kind(&self, index: ListIndex) -> Option<ListKind> {
        Some(self.0.get(index.0)?.1.as_ref()?.kind)
    }

    pub fn contains(&self, index: ListIndex, value: &str) -> bool {
        let list = self.0.get(index.0).and_then(|(_, list)| list.as_ref());
        list.is_some_and(|list| list.contains(value))
    }
}

/// The lines that hold something, without comments.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines.filter_map(|(index, line)| {
        let entry = line.split_once('#').map_or(line, |(entry, _)| entry).trim();
        (!entry.is_empty()).then_some((index + 1, entry))
    })
}

fn not_of_kind(entry: &str, kind: ListKind) -> String {
    let shown: String = entry.chars().take(60).collect();
    let shown = shown.escape_debug();
    if entry.len() > LIST_ENTRY_BYTES_MAX {
        return format!("`{shown}`… is longer than {LIST_ENTRY_BYTES_MAX} bytes");
    }
    let example = match kind {
        ListKind::Domains => "a domain like \"example.net\" or \".example.net\" (all below it)",
        ListKind::Addresses => "an address like \"user@example.net\"",
        ListKind::Networks => "a network like \"10.0.0.0/8\" (no bits beyond its prefix)",
        ListKind::Digests => "a SHA-256 in 64 hex digits",
        ListKind::Names => "a name",
    };
    format!("`{shown}` is not {example}; a list is of one kind, which `kind` can name")
}

/// Lower case, without a copy where it is so already.
fn folded(text: &str) -> Cow<'_, str> {
    let is_folded = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if text.bytes().all(is_folded) { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) }
}

/// A network, or one address. Bits beyond the prefix are a slip that would hide what was meant.
fn network(entry: &str) -> Option<IpNet> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    entry.parse().ok().filter(|network: &IpNet| network.trunc() == *network)
}

fn is_digest(entry: &str) -> bool {
    entry.len() == 64 && entry.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_domain(text: &str) -> bool {
    let may = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || !c.is_ascii();
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(may);
    text.len() <= 253 && text.split('.').all(is_label)
}

/// A set of texts in two allocations: all texts behind each other, and a table of where they begin.
///
/// A `HashSet<String>` of a million domains would be a million allocations and three times the
/// memory. Only the administrator decides what is in it, so no peer can make its entries collide.
#[derive(Clone, Debug, Default)]
struct TextSet {
    text: String,
    /// End of each entry in `text`.
    ends: Vec<u32>,
    /// Open addressing; 0 is empty, else the entry's number plus one.
    slots: Vec<u32>,
}

impl TextSet {
    fn push(&mut self, entry: &str) {
        self.text.push_str(entry);
        // LIST_FILE_BYTES_MAX keeps the sum far below 4 GiB.
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// Makes the table. Entries that stand in it twice are found once.
    fn build(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.slots = vec![0; (self.ends.len() * 2).next_power_of_two()];
        for number in 0..self.ends.len() {
            let slot = self.slot(self.entry(number));
            self.slots[slot] = u32::try_from(number + 1).unwrap_or(0);
        }
    }

    fn contains(&self, text: &str) -> bool {
        !self.ends.is_empty() && self.slots[self.slot(text)] != 0
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn entry(&self, number: usize) -> &str {
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        &self.text[start..self.ends[number] as usize]
    }

    /// Where `text` is in the table, or the empty slot where it would be. Half the slots are empty.
    fn slot(&self, text: &str) -> usize {
        let mask = self.slots.len() - 1;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "the mask keeps fewer bits than that")]
        let mut slot = hasher.finish() as usize & mask;
        loop {
            match self.slots[slot] {
                0 => return slot,
                number if self.entry(number as usize - 1) == text => return slot,
                _ => slot = (slot + 1) & mask,
            }
        }
    }
}

/// Networks as ranges that do not touch, in order; IPv4 as its mapped range.
#[derive(Clone, Debug, Default)]
struct Networks {
    ranges: Vec<(u128, u128)>,
    entries: usize,
}

impl Networks {
    fn new(networks: &[IpNet]) -> Self {
        let mut ranges: Vec<_> =
            networks.iter().map(|net| (number(net.network()), number(net.broadcast()))).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self { ranges: merged, entries: networks.len() }
    }

    fn len(&self) -> usize {
        self.entries
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = number(address);
        let after = self.ranges.partition_point(|(first, _)| *first <= address);
        after > 0 && address <= self.ranges[after - 1].1
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(file: &str, kind: ListKind, inside: &[&str], outside: &[&str]) {
        let list = List::read(file.as_bytes(), None).unwrap();
        assert_eq!(list.kind(), kind);
        for value in inside {
            assert!(list.contains(value), "{value}");
        }
        for value in outside {
            assert!(!list.contains(value), "{value}");
        }
    }

    #[test]
    fn domains_are_exact_or_all_below() {
        check(
            "# ours\nExample.NET\n.example.org # and all below\n\n",
            ListKind::Domains,
            &[
                "example.net",
                "EXAMPLE.net",
                "a.example.org",
                "a.b.example.org",
                "x@example.net",
                "example.net.",
            ],
            &["a.example.net", "example.org", "anexample.org", "", ".", "net", "x@example.org"],
        );
    }

    #[test]
    fn networks_hold_addresses() {
        check(
            "10.0.0.0/8\n192.0.2.1\n2001:db8::/32\n10.1.0.0/16\n",
            ListKind::Networks,
            &["10.0.0.0", "10.255.255.255", "192.0.2.1", "::ffff:10.9.9.9", "2001:db8::1"],
            &["9.255.255.255", "11.0.0.0", "192.0.2.2", "2001:db9::", "unknown", ""],
        );
        check("0.0.0.0/0\n", ListKind::Networks, &["1.2.3.4"], &["::1"]);
    }

    #[test]
    fn addresses_digests_and_names_compare_without_case() {
        check(
            "Boss@Example.net\n",
            ListKind::Addresses,
            &["bOSS@example.NET"],
            &["example.net", "a@example.net"],
        );
        let digest = "AB".repeat(32);
        check(&digest, ListKind::Digests, &[&digest.to_lowercase()], &["ab"]);
        check("Rechnung\nB C.exe\n", ListKind::Names, &["RECHNUNG", "b c.EXE"], &["b", ""]);
        check("Büro x\n", ListKind::Names, &["BÜRO X"], &[]);
    }

    #[test]
    fn one_kind_a_list() {
        for (file, kind, want) in [
            ("10.0.0.0/8\n10.0.0.1/8\nlan\n", None, vec![2, 3]),
            ("a.example\na@b.example\n", None, vec![2]),
            ("a@b\n\n# c\nb\n", None, vec![4]),
            ("a b\n", Some(ListKind::Domains), vec![1]),
            ("a.exe\nb c.exe\n", None, vec![2]),
            ("a.exe\nb c.exe\n", Some(ListKind::Names), vec![]),
        ] {
            let faults = List::read(file.as_bytes(), kind).err().unwrap_or_default();
            let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
            assert_eq!(lines, want, "{file:?}");
        }
        assert_eq!(List::read(b"a\n\xff", None).unwrap_err()[0].line, 2);
    }

    #[test]
    fn an_empty_list_holds_nothing() {
        check("\n# nothing\n", ListKind::Names, &[], &["", "a"]);
        let mut lists = Lists::default();
        lists.add("gone", None);
        let gone = lists.find("gone").unwrap();
        assert!(!lists.contains(gone, "x") && lists.kind(gone).is_none() && lists.find("x").is_none());
    }

    #[test]
    fn faults_are_a_screen_full_at_most() {
        let file = format!("10.0.0.1\n{}", "x\n".repeat(1000));
        assert_eq!(List::read(file.as_bytes(), None).unwrap_err().len(), FAULTS_MAX);
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_into_it(
            entries in prop::collection::vec("[ab]{1,3}", 0..40), asked in prop::collection::vec("[ab]{1,3}", 9),
        ) {
            let lines = entries.iter().map(|entry| (1, entry.as_str()));
            let list = List::from_entries(lines, Some(ListKind::Names)).unwrap();
            for value in &asked {
                prop_assert_eq!(list.contains(value), entries.contains(value));
            }
        }

        #[test]
        fn ranges_say_what_each_network_says(
            nets in prop::collection::vec((0..4u8, 20..=32u8), 0..12), asked in prop::collection::vec(0..4096u32, 9),
        ) {
            let base = 0x0a00_0000u32;
            let nets: Vec<IpNet> = nets.into_iter().map(|(n, prefix)| {
                let address = IpAddr::V4((base + u32::from(n) * 257).into());
                IpNet::new(address, prefix).unwrap().trunc()
            }).collect();
            let ranges = Networks::new(&nets);
            for offset in asked {
                let address = IpAddr::V4((base + offset).into());
                prop_assert_eq!(ranges.contains(address), nets.iter().any(|net| net.contains(&address)));
            }
        }
    }
}
