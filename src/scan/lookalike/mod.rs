//! Names that pass for another's: homographs, slips of typing, a brand with a word hung on.
//!
//! Compares the host of a link or sender with a set of protected domains by what the eye keeps of a name,
//! its [`Skeleton`].
//!
//! Invariants: a protected domain and all below it are never lookalikes. A look takes a few hundred
//! nanoseconds however many names are protected: names one edit apart meet in an index of what is left
//! when one letter is taken out, of both.

mod skeleton;

use std::collections::HashSet;
use std::ops::Range;

use foldhash::fast::FixedState;

use super::url::registrable;
use skeleton::Skeleton;

/// Letters of the shortest name that is looked for one edit apart, or with a lure hung on.
const EDITED_CHARS_MIN: usize = 5;
/// … with one letter replaced: shorter words have too many neighbours that are words.
const REPLACED_CHARS_MIN: usize = 6;
/// … as a label of its own before somebody else's domain.
const LABEL_CHARS_MIN: usize = 4;
/// … between dashes.
const TOKEN_CHARS_MIN: usize = 3;
/// Tokens between dashes that a protected name may have.
const NAME_TOKENS_MAX: usize = 3;
/// Labels before a domain that are looked at: those on the left, which people read.
const LABELS_MAX: usize = 16;

/// Words that make a brand look official when they are hung on without a dash.
const LURES: &str = "account accounts alert alerts app auth bank banking bill billing bonus card care center check client \
    cloud com confirm customer delivery desk email gift help helpdesk home id info invoice live login \
    mail member mobile my net notice office official online pay payment payments portal prize promo \
    protect refund renew reset reward rewards safe secure secured security service services shop sign \
    signin store support team track tracking unlock update updates upgrade user validate verification \
    verified verify wallet web www";

/// What makes a name pass for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LookalikeKind {
    /// The same to the eye, by letters of other scripts.
    Homograph,
    /// The same to a fast eye, by ASCII letters.
    Confusable,
    /// The whole protected domain stands in front of another one.
    Prefix,
    /// The name with a word hung on.
    Combo,
    /// One letter more, less, replaced or out of order.
    Typo,
    /// The name is a label before another domain.
    Subdomain,
    /// The same name under another public suffix.
    Suffix,
}

impl LookalikeKind {
    pub const ALL: [Self; 7] = [
        Self::Homograph,
        Self::Confusable,
        Self::Prefix,
        Self::Combo,
        Self::Typo,
        Self::Subdomain,
        Self::Suffix,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Homograph => "homograph",
            Self::Confusable => "confusable",
            Self::Prefix => "prefix",
            Self::Combo => "combo",
            Self::Typo => "typo",
            Self::Subdomain => "subdomain",
            Self::Suffix => "suffix",
        }
    }
}

/// A name passes for a protected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookalike<'a> {
    pub kind: LookalikeKind,
    /// The protected domain.
    pub of: &'a str,
}

/// Domains that others are compared with.
#[derive(Clone, Debug)]
pub struct Protected {
    names: Vec<Name>,
    own: HashSet<String, FixedState>,
    /// Skeletons of the names.
    whole: Index,
    /// The same with one letter taken out.
    less_one: Index,
    /// Skeletons of the lures, in order.
    lures: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Name {
    domain: String,
    /// The first label of the domain.
    label: String,
    skeleton: Vec<u8>,
}

impl Protected {
    /// Takes domains in lower-case ASCII; of longer hosts, what one registers of them.
    pub fn new<'a>(domains: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut names, mut whole, mut less_one) = (Vec::new(), Vec::new(), Vec::new());
        for (number, domain) in (0..).zip(domains) {
            let domain = registrable(domain);
            let skeleton = Skeleton::of_label(first_label(domain));
            whole.push((skeleton.hash(), number));
            less_one.extend(skeleton.less_one().map(|hash| (hash, number)));
            let (label, skeleton) = (first_label(domain).to_owned(), skeleton.bytes().to_vec());
            names.push(Name { domain: domain.to_owned(), label, skeleton });
        }
        let own = names.iter().map(|name| name.domain.clone()).collect();
        let mut lures: Vec<Vec<u8>> =
            LURES.split(' ').map(|lure| Skeleton::of_label(lure).bytes().to_vec()).collect();
        lures.sort_unstable();
        Self { names, own, whole: Index::new(whole), less_one: Index::new(less_one), lures }
    }

    pub const fn len(&self) -> usize {
        self.names.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether `host`, in lower-case ASCII, passes for a protected domain and is none. If in several ways,
    /// the first of [`LookalikeKind`].
    pub fn look(&self, host: &str) -> Option<Lookalike<'_>> {
        let domain = registrable(host);
        if self.names.is_empty() || self.own.contains(domain) {
            return None;
        }
        let label = first_label(domain);
        let skeleton = Skeleton::of_label(label);
        let before = host.len() - domain.len();
        let (prefix, subdomain) = self.before(host, before);
        let (kind, name) = self
            .same(label, &skeleton)
            .or_else(|| Some((LookalikeKind::Prefix, prefix?)))
            .or_else(|| self.combo(&skeleton))
            .or_else(|| self.typo(&skeleton))
            .or_else(|| Some((LookalikeKind::Subdomain, subdomain?)))
            .or_else(|| self.suffix(label, &skeleton))?;
        Some(Lookalike { kind, of: &name.domain })
    }

    /// The same skeleton from other letters.
    fn same(&self, label: &str, skeleton: &Skeleton) -> Option<(LookalikeKind, &Name)> {
        let name = self.named(skeleton, 0..skeleton.bytes().len())?;
        let foreign = label.starts_with("xn--");
        let kind = if foreign { LookalikeKind::Homograph } else { LookalikeKind::Confusable };
        (name.label != label).then_some((kind, name))
    }

    /// The same letters: only the public suffix differs.
    fn suffix(&self, label: &str, skeleton: &Skeleton) -> Option<(LookalikeKind, &Name)> {
        let name = self.named(skeleton, 0..skeleton.bytes().len())?;
        (name.label == label).then_some((LookalikeKind::Suffix, name))
    }

    /// One edit apart: either is the other less a letter, or both become the same by losing one.
    fn typo(&self, skeleton: &Skeleton) -> Option<(LookalikeKind, &Name)> {
        let longer = self.less_one.at(skeleton.hash());
        let others = skeleton.less_one().flat_map(|hash| self.whole.at(hash).chain(self.less_one.at(hash)));
        let mut names = longer.chain(others).filter_map(|number| self.names.get(number));
        let name = names.find(|name| is_typo(skeleton.bytes(), &name.skeleton))?;
        Some((LookalikeKind::Typo, name))
    }

    /// A name between dashes, or with a lure before or after it.
    fn combo(&self, skeleton: &Skeleton) -> Option<(LookalikeKind, &Name)> {
        let name = self.between_dashes(skeleton).or_else(|| self.glued(skeleton))?;
        Some((LookalikeKind::Combo, name))
    }

    fn between_dashes(&self, skeleton: &Skeleton) -> Option<&Name> {
        let label = skeleton.bytes();
        let dashes = || (0..label.len()).filter(|place| label.get(*place) == Some(&b'-'));
        dashes().next()?;
        let starts = std::iter::once(0).chain(dashes().map(|dash| dash + 1));
        let ends =
            |start| dashes().chain([label.len()]).filter(move |end| *end > start).take(NAME_TOKENS_MAX);
        let mut parts = starts.flat_map(|start| ends(start).map(move |end| start..end));
        parts.find_map(|part| if part.len() < TOKEN_CHARS_MIN { None } else { self.named(skeleton, part) })
    }

    fn glued(&self, skeleton: &Skeleton) -> Option<&Name> {
        let label = skeleton.bytes();
        let lure = |part: Range<usize>| {
            label
                .get(part)
                .is_some_and(|part| self.lures.binary_search_by(|lure| lure.as_slice().cmp(part)).is_ok())
        };
        let length = label.len();
        let mut sizes = EDITED_CHARS_MIN..length;
        sizes.find_map(|size| {
            let head = self.named(skeleton, 0..size).filter(|_| lure(size..length));
            head.or_else(|| self.named(skeleton, length - size..length).filter(|_| lure(0..length - size)))
        })
    }

    /// Names among the labels before somebody else's domain: the first that is a whole domain there, its
    /// dots also as dashes, and the first of any.
    fn before(&self, host: &str, before: usize) -> (Option<&Name>, Option<&Name>) {
        let mut any = None;
        for (label, rest) in labels_before(host, before).take(LABELS_MAX) {
            let skeleton = Skeleton::of_label(label);
            let letters = skeleton.bytes();
            let first = letters.iter().position(|byte| *byte == b'-').unwrap_or(letters.len());
            if let Some(name) = self.named(&skeleton, 0..first).filter(|name| begins(rest, &name.domain)) {
                return (Some(name), any);
            }
            let whole = 0..letters.len();
            let alone =
                || if whole.len() < LABEL_CHARS_MIN { None } else { self.named(&skeleton, whole.clone()) };
            any = any.or_else(alone).or_else(|| self.between_dashes(&skeleton));
        }
        (None, any)
    }

    /// The name whose skeleton is this part of one.
    fn named(&self, skeleton: &Skeleton, part: Range<usize>) -> Option<&Name> {
        let letters = skeleton.bytes().get(part.clone())?;
        let mut names = self.whole.at(skeleton.hash_of(part)).filter_map(|number| self.names.get(number));
        names.find(|name| name.skeleton == letters)
    }
}

fn first_label(domain: &str) -> &str {
    domain.split('.').next().unwrap_or_default()
}

/// Whether `rest` is `domain` and something more, its dots also as dashes.
fn begins(rest: &str, domain: &str) -> bool {
    let (Some(head), Some(next)) = (rest.get(..domain.len()), rest.as_bytes().get(domain.len())) else {
        return false;
    };
    let same = |(have, want): (u8, u8)| have == want || (have, want) == (b'-', b'.');
    matches!(next, b'.' | b'-') && head.bytes().zip(domain.bytes()).all(same)
}

/// The labels of the first `before` bytes, each with all that begins there.
fn labels_before(host: &str, before: usize) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = host;
    std::iter::from_fn(move || {
        let at = host.len() - rest.len();
        let (label, after) = rest.split_once('.').filter(|_| at < before)?;
        Some((label, std::mem::replace(&mut rest, after)))
    })
}

/// Whether one edit makes `name` of `label`, and `name` is long enough for it to mean something.
fn is_typo(label: &[u8], name: &[u8]) -> bool {
    let start = label.iter().zip(name).take_while(|(have, want)| have == want).count();
    let (have, want) = (label.get(start..).unwrap_or_default(), name.get(start..).unwrap_or_default());
    let replaced = || have.get(1..) == want.get(1..) && name.len() >= REPLACED_CHARS_MIN;
    let edited = match (have, want) {
        ([_, more @ ..], _) if more == want => true,
        (_, [_, more @ ..]) if more == have => true,
        ([first, second, have @ ..], [other, one, want @ ..])
            if (first, second) == (one, other) && have == want =>
        {
            true
        }
        ([_, ..], [_, ..]) => replaced(),
        _ => false,
    };
    edited && name.len() >= EDITED_CHARS_MIN
}

/// Hashes and the numbers of the names that have them; most questions are answered by one bit.
#[derive(Clone, Debug)]
struct Index {
    entries: Vec<(u64, u32)>,
    bits: Vec<u64>,
}

/// Bits for one entry: one question in so many passes in vain.
const BITS_PER_ENTRY: usize = 32;

impl Index {
    fn new(mut entries: Vec<(u64, u32)>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let words = (entries.len() * BITS_PER_ENTRY / 64).next_power_of_two();
        let mut index = Self { entries, bits: vec![0; words] };
        for place in 0..index.entries.len() {
            let hash = index.entries.get(place).map_or(0, |(hash, _)| *hash);
            let (word, bit) = index.bit(hash);
            if let Some(word) = index.bits.get_mut(word) {
                *word |= bit;
            }
        }
        index
    }

    fn at(&self, hash: u64) -> impl Iterator<Item = usize> {
        let (word, bit) = self.bit(hash);
        let known = self.bits.get(word).is_some_and(|word| word & bit != 0);
        let entries = if known { self.entries.as_slice() } else { &[] };
        let first = entries.partition_point(|(entry, _)| *entry < hash);
        let same =
            entries.get(first..).unwrap_or_default().iter().take_while(move |(entry, _)| *entry == hash);
        same.map(|(_, number)| *number as usize)
    }

    /// Word and bit that a hash has.
    fn bit(&self, hash: u64) -> (usize, u64) {
        // The low bits of a polynomial's value depend on the low bits of its letters only.
        let mixed = hash ^ hash >> 32;
        let mixed = mixed.wrapping_mul(0xd6e8_feb8_6659_fd93);
        let word = usize::try_from(mixed >> 6).unwrap_or(0) & (self.bits.len() - 1);
        (word, 1 << (mixed >> 58))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{Lookalike, LookalikeKind, Protected, is_typo};

    fn protected() -> Protected {
        Protected::new([
            "paypal.com",
            "apple.com",
            "microsoft.com",
            "www.ing.de",
            "wells-fargo.com",
            "bücher.de",
            "dhl.de",
        ])
    }

    /// `want` is a kind and a domain, or nothing.
    #[track_caller]
    fn check(host: &str, want: &str) {
        let protected = protected();
        let found = protected.look(host);
        let found = found.map(|Lookalike { kind, of }| format!("{} {of}", kind.name())).unwrap_or_default();
        assert_eq!(found, want, "{host}");
    }

    #[test]
    fn what_is_protected_is_no_lookalike() {
        for host in
            ["paypal.com", "www.paypal.com", "login.paypal.com", "ing.de", "a.b.ing.de", "paypal.apple.com"]
        {
            check(host, "");
        }
        for host in [
            "example.com",
            "",
            "com",
            "192.0.2.1",
            "2001:db8::1",
            "palpay.org",
            "sample.com",
            "ample.com",
            "swing.de",
        ] {
            check(host, "");
        }
        assert_eq!(Protected::new([]).look("paypal.com"), None);
    }

    #[test]
    fn letters_that_look_alike() {
        check("xn--pypal-4ve.com", "homograph paypal.com");
        check("xn--80ak6aa92e.com", "homograph apple.com");
        check("www.paypa1.com", "confusable paypal.com");
        check("paypai.org", "confusable paypal.com");
        check("rnicrosoft.com", "confusable microsoft.com");
        check("micr0s0ft.com", "confusable microsoft.com");
        check("vvells-fargo.com", "confusable wells-fargo.com");
    }

    #[test]
    fn one_edit() {
        check("paypall.com", "typo paypal.com");
        check("payal.com", "typo paypal.com");
        check("apypal.com", "typo paypal.com");
        check("paybal.com", "typo paypal.com");
        check("pay-pal.com", "typo paypal.com");
        check("appple.com", "typo apple.com");
        check("appel.com", "typo apple.com");
        check("apply.com", "");
        check("papal.com", "typo paypal.com");
        check("paal.com", "");
        check("in.de", "");
    }

    #[test]
    fn a_word_hung_on() {
        check("paypal-verify.com", "combo paypal.com");
        check("secure-paypa1-login.net", "combo paypal.com");
        check("my-ing-konto.de", "combo ing.de");
        check("online-wells-fargo.com", "combo wells-fargo.com");
        check("paypalsecure.com", "combo paypal.com");
        check("loginpaypal.com", "combo paypal.com");
        check("applebees.com", "");
        check("pineapple.com", "");
        check("inglogin.de", "");
    }

    #[test]
    fn a_brand_before_another_domain() {
        check("paypal.com.example.net", "prefix paypal.com");
        check("www.paypal.com-verify.example.net", "prefix paypal.com");
        check("paypal.com-verify.net", "prefix paypal.com");
        check("paypal-com.example.net", "prefix paypal.com");
        check("paypal.example.net", "subdomain paypal.com");
        check("a.paypa1.b.example.net", "subdomain paypal.com");
        check("login-paypal.example.net", "subdomain paypal.com");
        check("ing.example.net", "");
        check("ing.de.example.net", "prefix ing.de");
    }

    #[test]
    fn the_same_name_elsewhere() {
        check("paypal.org", "suffix paypal.com");
        check("www.apple.co.uk", "suffix apple.com");
        check("dhl.com", "suffix dhl.de");
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        let mut names: Vec<_> = LookalikeKind::ALL.map(LookalikeKind::name).to_vec();
        names.dedup();
        assert_eq!(names.len(), 7);
        assert!(LookalikeKind::ALL.is_sorted());
    }

    /// All words one edit from `word`.
    fn edits(word: &str) -> Vec<String> {
        let letters = || "abcdepxy-".chars();
        let places = || 0..word.len();
        let mut all: Vec<String> = places().map(|at| format!("{}{}", &word[..at], &word[at + 1..])).collect();
        all.extend(
            (0..=word.len()).flat_map(|at| {
                letters().map(move |letter| format!("{}{letter}{}", &word[..at], &word[at..]))
            }),
        );
        all.extend(places().flat_map(|at| {
            letters().map(move |letter| format!("{}{letter}{}", &word[..at], &word[at + 1..]))
        }));
        all.extend((1..word.len()).map(|at| {
            let mut bytes = word.as_bytes().to_vec();
            bytes.swap(at - 1, at);
            String::from_utf8(bytes).unwrap()
        }));
        all
    }

    #[test]
    fn every_edit_is_seen() {
        let protected = Protected::new(["yaypeb.com"]);
        for edit in edits("yaypeb").iter().filter(|edit| *edit != "yaypeb") {
            let found = protected.look(&format!("{edit}.com")).map(|found| found.kind);
            let dashed = edit.starts_with('-') || edit.ends_with('-');
            let want = if dashed && edit.len() > 6 { LookalikeKind::Combo } else { LookalikeKind::Typo };
            assert_eq!(found, Some(want), "{edit}");
        }
    }

    proptest! {
        #[test]
        fn a_typo_is_one_edit(label in "[ab]{4,8}", name in "[ab]{4,8}") {
            let near = edits(&label).contains(&name);
            let replaced = label.len() == name.len();
            let swapped = replaced && label.bytes().zip(name.bytes()).filter(|(have, want)| have != want).count() == 2;
            let want = near && name.len() >= 5 && (!replaced || swapped || name.len() >= 6);
            if label != name {
                prop_assert_eq!(is_typo(label.as_bytes(), name.as_bytes()), want);
            }
        }

        #[test]
        fn no_host_panics(host in "(xn--)?[a-z0-9.-]{0,80}") {
            protected().look(&host);
        }
    }
}
