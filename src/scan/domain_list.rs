//! Lists of a million names, asked for every link: domains, file names, sums, networks.
//!
//! A file has one entry a line; `#` begins a comment. `example.net` is that domain, `.example.net` (or
//! `*.example.net`) every domain below it. Names are kept as fingerprints of 64 bits, sorted and with an
//! index over their first bits: nine bytes a name, and a look-up reads two places in memory.
//!
//! Invariants: a look-up costs the same however long the list is (networks: its logarithm). Fingerprints
//! depend on a seed that the caller draws, so nobody outside can make up a name that is taken for another;
//! by chance one in ten trillion look-ups is, in a list of a million.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv6Addr};

use foldhash::quality::FixedState;
use idna::AsciiDenyList;
use ipnet::IpNet;

use super::digest::Sum;

/// Entries of one list.
pub const LIST_ENTRIES_MAX: usize = 4_000_000;
/// Faults told of one file; the rest is the same mistake once more.
pub const LIST_FAULTS_MAX: usize = 20;
const NAME_BYTES_MAX: usize = 512;
const DOMAIN_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// What is wrong in a file, and in which line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub line: usize,
    pub message: String,
}

/// Domains.
#[derive(Clone, Debug)]
pub struct DomainList {
    names: Fingerprints<u64>,
    state: FixedState,
    /// Labels of the longest entry: longer ends of a host need not be looked up.
    labels_max: usize,
    /// Some entry begins with a dot.
    some_below: bool,
}

impl DomainList {
    /// Reads a file. Lines that are no domain are left out and told in `faults`.
    pub fn parse(bytes: &[u8], seed: u64, faults: &mut Vec<Fault>) -> Self {
        let state = FixedState::with_seed(seed);
        let (mut names, mut labels_max, mut some_below) = (Vec::new(), 0, false);
        read(bytes, faults, |entry| {
            let name = domain(entry)?;
            labels_max = labels_max.max(name.split('.').filter(|label| !label.is_empty()).count());
            some_below |= name.starts_with('.');
            names.push(fingerprint(&state, &name));
            Ok(())
        });
        Self { names: Fingerprints::new(names), state, labels_max, some_below }
    }

    /// Whether the list has `host`, or a domain above it with its dot.
    pub fn contains(&self, host: &str) -> bool {
        self.has(host) || self.some_below && self.ends(host).any(|end| self.has_below(end))
    }

    /// Whether the list has `host` or any domain above it.
    pub fn covers(&self, host: &str) -> bool {
        self.find(host).is_some()
    }

    /// The end of `host` that the list has, the longest one: what matched, to be shown.
    pub fn find<'a>(&self, host: &'a str) -> Option<&'a str> {
        self.ends(host).find(|end| self.has(end.name) || self.has_below(*end)).map(|end| end.name)
    }

    pub const fn len(&self) -> usize {
        self.names.sorted.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the list takes.
    pub const fn bytes(&self) -> usize {
        self.names.sorted.len() * 8 + self.names.starts.len() * 4
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(fingerprint(&self.state, name))
    }

    /// Whether all domains below `end` are listed and it stands below.
    fn has_below(&self, end: End<'_>) -> bool {
        self.some_below && end.dotted.is_some_and(|dotted| self.has(dotted))
    }

    /// The ends of `host` at its dots that may be in the list, longest first.
    fn ends<'a>(&self, host: &'a str) -> impl Iterator<Item = End<'a>> + use<'a> {
        let labels = host.split('.').count();
        let skip = labels.saturating_sub(self.labels_max);
        let dots = memchr::memchr_iter(b'.', host.as_bytes());
        let whole = End { name: host, dotted: None };
        let after = dots.filter_map(|dot| Some(End { name: host.get(dot + 1..)?, dotted: host.get(dot..) }));
        std::iter::once(whole).chain(after).skip(skip)
    }
}

/// The end of a host, and the same with the dot before it.
#[derive(Clone, Copy)]
struct End<'a> {
    name: &'a str,
    dotted: Option<&'a str>,
}

/// Names of any kind, compared without case: files, addresses, kinds.
#[derive(Clone, Debug)]
pub struct NameList {
    names: Fingerprints<u64>,
    state: FixedState,
}

impl NameList {
    /// Reads a file. Lines that are too long are left out and told in `faults`.
    pub fn parse(bytes: &[u8], seed: u64, faults: &mut Vec<Fault>) -> Self {
        let state = FixedState::with_seed(seed);
        let mut names = Vec::new();
        read(bytes, faults, |entry| {
            names.push(fingerprint(&state, &folded(entry)));
            Ok(())
        });
        Self { names: Fingerprints::new(names), state }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(fingerprint(&self.state, &folded(name.trim())))
    }

    pub const fn len(&self) -> usize {
        self.names.sorted.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// SHA-256 sums. Half of each is kept: to find a file for any of a million halves takes 2^108 tries.
#[derive(Clone, Debug)]
pub struct HashList(Fingerprints<u128>);

impl HashList {
    /// Reads a file, also as `sha256sum` writes it: what follows the sum is not looked at.
    pub fn parse(bytes: &[u8], faults: &mut Vec<Fault>) -> Self {
        let mut sums = Vec::new();
        read(bytes, faults, |entry| {
            let sum = entry.split_ascii_whitespace().next().unwrap_or_default();
            let sum: Sum = sum.parse().map_err(|error| format!("`{}`: {error}", shown(sum)))?;
            sums.push(half(&sum));
            Ok(())
        });
        Self(Fingerprints::new(sums))
    }

    pub fn contains(&self, sum: &Sum) -> bool {
        self.0.contains(half(sum))
    }

    pub const fn len(&self) -> usize {
        self.0.sorted.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Networks and addresses of both families.
#[derive(Clone, Debug)]
pub struct NetworkList {
    /// First and last address of what is listed, joined where they touch, in order.
    ranges: Vec<(u128, u128)>,
}

impl NetworkList {
    /// Reads a file. Lines that are no network are left out and told in `faults`.
    pub fn parse(bytes: &[u8], faults: &mut Vec<Fault>) -> Self {
        let mut ranges = Vec::new();
        read(bytes, faults, |entry| {
            ranges.push(network(entry)?);
            Ok(())
        });
        ranges.sort_unstable();
        ranges.dedup_by(|later, earlier| {
            let joined = later.0 <= earlier.1.saturating_add(1);
            if joined {
                earlier.1 = earlier.1.max(later.1);
            }
            joined
        });
        ranges.shrink_to_fit();
        Self { ranges }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = bits(address);
        let place = self.ranges.partition_point(|(first, _)| *first <= address);
        place
            .checked_sub(1)
            .and_then(|place| self.ranges.get(place))
            .is_some_and(|(_, last)| address <= *last)
    }

    /// Ranges after those that touch were joined.
    pub const fn len(&self) -> usize {
        self.ranges.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

/// Gives each entry of a file to `take` and notes what it refuses.
fn read(bytes: &[u8], faults: &mut Vec<Fault>, mut take: impl FnMut(&str) -> Result<(), String>) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (mut count, mut wrong) = (0, 0);
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let entry = memchr::memchr(b'#', text).map_or(text, |hash| text.get(..hash).unwrap_or_default());
        let entry = entry.trim_ascii();
        if entry.is_empty() {
            continue;
        }
        count += 1;
        if count > LIST_ENTRIES_MAX {
            faults.push(Fault {
                line,
                message: format!("more than {LIST_ENTRIES_MAX} entries: the rest is left out"),
            });
            return;
        }
        if let Err(message) = readable(entry).and_then(&mut take) {
            wrong += 1;
            if wrong <= LIST_FAULTS_MAX {
                faults.push(Fault { line, message });
            }
        }
    }
}

fn readable(entry: &[u8]) -> Result<&str, String> {
    if entry.len() > NAME_BYTES_MAX {
        return Err(format!("longer than {NAME_BYTES_MAX} bytes"));
    }
    std::str::from_utf8(entry).map_err(|_| "not UTF-8".to_owned())
}

/// The start of an entry that is told in a fault.
fn shown(entry: &str) -> String {
    entry.chars().take(60).flat_map(char::escape_debug).collect()
}

/// A domain in lower-case ASCII, with its dot if all below it are meant.
fn domain(entry: &str) -> Result<Cow<'_, str>, String> {
    let entry = entry.strip_prefix("*").filter(|rest| rest.starts_with('.')).unwrap_or(entry);
    let (dot, name) = if entry.starts_with('.') { entry.split_at(1) } else { ("", entry) };
    let name = name.strip_suffix('.').unwrap_or(name);
    let ascii = idna::domain_to_ascii_cow(name.as_bytes(), AsciiDenyList::EMPTY);
    let ascii = ascii.ok().filter(|name| is_domain(name));
    let ascii = ascii
        .ok_or_else(|| format!("`{}` is no domain like `example.net` or `.example.net`", shown(entry)))?;
    Ok(match (dot, ascii) {
        ("", ascii) => ascii,
        (_, Cow::Borrowed(_)) => Cow::Borrowed(entry.strip_suffix('.').unwrap_or(entry)),
        (_, Cow::Owned(ascii)) => Cow::Owned(format!(".{ascii}")),
    })
}

fn is_domain(name: &str) -> bool {
    let letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    let label = |label: &str| (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(letter);
    name.len() <= DOMAIN_BYTES_MAX && name.split('.').all(label)
}

/// Lower case, without a copy where it is so already.
fn folded(name: &str) -> Cow<'_, str> {
    let is_folded = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if name.bytes().all(is_folded) { Cow::Borrowed(name) } else { Cow::Owned(name.to_lowercase()) }
}

/// First and last address of a network or of one address.
fn network(entry: &str) -> Result<(u128, u128), String> {
    let address = entry.parse::<IpAddr>().map(IpNet::from);
    let network: IpNet = entry
        .parse()
        .or(address)
        .map_err(|_| format!("`{}` is no network like `192.0.2.0/24`", shown(entry)))?;
    if network.trunc() != network {
        return Err(format!("`{network}` has bits beyond its prefix; `{}` has not", network.trunc()));
    }
    Ok((bits(network.network()), bits(network.broadcast())))
}

/// An address as a number; IPv4 as IPv6 maps it, so that both ways to write it are one.
fn bits(address: IpAddr) -> u128 {
    let address: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.to_bits()
}

fn half(sum: &Sum) -> u128 {
    sum.as_bytes().first_chunk().map_or(0, |half| u128::from_be_bytes(*half))
}

fn fingerprint(state: &FixedState, name: &str) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// A set of evenly spread numbers.
#[derive(Clone, Debug)]
struct Fingerprints<T> {
    sorted: Vec<T>,
    /// Where those begin that share their first bits; one more at the end.
    starts: Vec<u32>,
    /// 64 less the number of first bits.
    shift: u32,
}

/// The first 64 bits.
trait First: Copy + Ord {
    fn first(self) -> u64;
}

impl First for u64 {
    fn first(self) -> u64 {
        self
    }
}

impl First for u128 {
    fn first(self) -> u64 {
        (self >> 64) as u64
    }
}

/// Numbers that share their first bits, on average.
const SHARING: usize = 4;

impl<T: First> Fingerprints<T> {
    fn new(mut sorted: Vec<T>) -> Self {
        sorted.sort_unstable();
        sorted.dedup();
        sorted.shrink_to_fit();
        let groups = (sorted.len() / SHARING).next_power_of_two();
        let shift = 64 - groups.trailing_zeros();
        let mut starts = Vec::with_capacity(groups + 1);
        for (place, number) in (0..).zip(&sorted) {
            while starts.len() <= group(number.first(), shift) {
                starts.push(place);
            }
        }
        starts.resize(groups + 1, u32::try_from(sorted.len()).unwrap_or(u32::MAX));
        Self { sorted, starts, shift }
    }

    fn contains(&self, number: T) -> bool {
        let group = group(number.first(), self.shift);
        let Some([start, end]) = self.starts.get(group..group + 2) else { return false };
        self.sorted.get(*start as usize..*end as usize).unwrap_or_default().contains(&number)
    }
}

/// The first bits; none if there is one group.
fn group(first: u64, shift: u32) -> usize {
    usize::try_from(first.checked_shr(shift).unwrap_or(0)).unwrap_or(usize::MAX - 2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{DomainList, Fault, Fingerprints, HashList, LIST_FAULTS_MAX, NameList, NetworkList};

    fn domains(text: &str) -> DomainList {
        let mut faults = Vec::new();
        let list = DomainList::parse(text.as_bytes(), 1, &mut faults);
        assert_eq!(faults, []);
        list
    }

    #[test]
    fn a_domain_is_itself_and_a_dot_is_all_below() {
        let list = domains(
            "\u{feff}example.net # a comment\r\n\n# another\n.example.org\n*.Example.COM.\nbücher.de\n",
        );
        let check = |host, contains, find| {
            assert_eq!((list.contains(host), list.find(host)), (contains, find), "{host}")
        };
        check("example.net", true, Some("example.net"));
        check("www.example.net", false, Some("example.net"));
        check("notexample.net", false, None);
        check("net", false, None);
        check("example.org", false, None);
        check("www.example.org", true, Some("example.org"));
        check("a.b.example.org", true, Some("example.org"));
        check("a.example.com", true, Some("example.com"));
        check("xn--bcher-kva.de", true, Some("xn--bcher-kva.de"));
        check("", false, None);
        check(".", false, None);
        assert_eq!(
            (list.len(), list.is_empty(), domains("# nothing").covers("example.net")),
            (4, false, false)
        );
    }

    #[test]
    fn faults_name_their_lines_and_are_few() {
        let mut faults = Vec::new();
        let list = DomainList::parse(b"good.example\nb d.example\n\xff\xfe\n..\n-\n", 1, &mut faults);
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!((list.len(), lines), (2, vec![2, 3, 4]));
        assert_eq!(faults[0].message, "`b d.example` is no domain like `example.net` or `.example.net`");
        faults.clear();
        DomainList::parse("x y\n".repeat(1000).as_bytes(), 1, &mut faults);
        assert_eq!(faults.len(), LIST_FAULTS_MAX);
    }

    #[test]
    fn names_compare_without_case() {
        let list = NameList::parse("Invoice.EXE\nÄrger.doc".as_bytes(), 7, &mut Vec::new());
        assert!(list.contains("invoice.exe") && list.contains(" INVOICE.exe") && list.contains("äRGER.DOC"));
        assert!(!list.contains("invoice.ex") && !list.contains("") && list.len() == 2 && !list.is_empty());
    }

    #[test]
    fn sums_are_read_as_tools_write_them() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let mut faults = Vec::new();
        let list =
            HashList::parse(format!("{}  evil.exe\nabc\n", sum.to_uppercase()).as_bytes(), &mut faults);
        assert!(list.contains(&sum.parse().unwrap()) && list.len() == 1 && !list.is_empty());
        assert!(!list.contains(&sum.replace("ba", "bb").parse().unwrap()));
        let message = "`abc`: a SHA-256 sum has 64 hexadecimal digits".to_owned();
        assert_eq!(faults, [Fault { line: 2, message }]);
    }

    #[test]
    fn networks_join_and_contain() {
        let text = "192.0.2.0/25\n192.0.2.128/25\n10.0.0.0/8\n10.1.0.0/16\n198.51.100.7\n2001:db8::/32\n192.0.2.1/24\nx\n";
        let mut faults = Vec::new();
        let list = NetworkList::parse(text.as_bytes(), &mut faults);
        let contains = |address: &str| list.contains(address.parse().unwrap());
        for inside in [
            "192.0.2.0",
            "192.0.2.255",
            "10.255.255.255",
            "198.51.100.7",
            "2001:db8:ffff::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(contains(inside), "{inside}");
        }
        for outside in ["192.0.3.0", "9.255.255.255", "198.51.100.8", "2001:db9::", "::", "255.255.255.255"] {
            assert!(!contains(outside), "{outside}");
        }
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!((list.len(), list.is_empty(), lines), (4, false, vec![7, 8]));
        assert!(!NetworkList::parse(b"", &mut faults).contains("::".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn a_set_has_what_was_put_in(numbers in proptest::collection::vec(any::<u64>(), 0..200), others: [u64; 8]) {
            // Numbers near each other and at the ends share their first bits.
            let near = numbers.iter().map(|number| number % 97);
            let all: BTreeSet<u64> = numbers.iter().copied().chain(near).chain([0, u64::MAX]).collect();
            let set = Fingerprints::new(all.iter().rev().copied().collect());
            let wide = Fingerprints::new(all.iter().map(|number| u128::from(*number) << 64 | 1).collect());
            for number in all.iter().copied().chain(others).chain(0..97) {
                prop_assert_eq!(set.contains(number), all.contains(&number));
                prop_assert_eq!(wide.contains(u128::from(number) << 64 | 1), all.contains(&number));
                prop_assert_eq!(wide.contains(u128::from(number) << 64), false);
            }
        }

        #[test]
        fn ends_are_found_as_by_trying_all(entries in proptest::collection::vec("\\.?(a|b)(\\.(a|b)){0,3}", 0..6),
                                           host in "(a|b)(\\.(a|b)){0,5}") {
            let list = domains(&entries.join("\n"));
            let below = |entry: &str| host.ends_with(entry) && entry.starts_with('.');
            let above = |entry: &str| host == entry || host.ends_with(&format!(".{entry}"));
            prop_assert_eq!(list.contains(&host), entries.iter().any(|entry| *entry == host || below(entry)));
            prop_assert_eq!(list.covers(&host), entries.iter().any(|entry| below(entry) || above(entry)));
        }

        #[test]
        fn no_file_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "[a.*:/0-9#\\n é-]{0,200}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let mut faults = Vec::new();
                let list = DomainList::parse(bytes, 1, &mut faults);
                prop_assert!(list.len() + NameList::parse(bytes, 1, &mut faults).len() <= 2 * bytes.len());
                prop_assert!(HashList::parse(bytes, &mut faults).is_empty());
                NetworkList::parse(bytes, &mut faults);
                prop_assert!(!list.covers(&text) || list.find(&text).is_some());
            }
        }

        #[test]
        fn a_network_is_found_as_by_trying_all(nets in proptest::collection::vec((any::<u32>(), 0u8..=32), 0..8), address: u32) {
            let nets: Vec<ipnet::Ipv4Net> = nets.iter().map(|(bits, length)| {
                ipnet::Ipv4Net::new_assert((bits & 0xe000_0001).into(), *length).trunc()
            }).collect();
            let text: String = nets.iter().map(|net| format!("{net}\n")).collect();
            let list = NetworkList::parse(text.as_bytes(), &mut Vec::new());
            for address in [address & 0xe000_0001, address] {
                let address: std::net::Ipv4Addr = address.into();
                prop_assert_eq!(list.contains(address.into()), nets.iter().any(|net| net.contains(&address)));
            }
        }
    }
}
