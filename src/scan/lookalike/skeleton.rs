//! What the eye keeps of a label, and its hash after any one letter was taken out.
//!
//! UTS #39 calls this a skeleton; the letters that are joined are those of the text view, and of ASCII the
//! few that pass for each other in common fonts.
//!
//! Invariant: a hash of a part is made from hashes of beginnings, in a few steps, so that all parts of a
//! label can be looked up in time linear in its length. Hashes choose candidates; letters decide.

use std::ops::Range;

use crate::scan::normalise::fold;

/// Bytes of a skeleton that are compared. A label has 63; what others fold to is seldom longer.
pub(super) const SKELETON_BYTES_MAX: usize = 64;

/// Base of the polynomial that hashes are, modulo 2^64; odd, and nothing else matters.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

const POWERS: [u64; SKELETON_BYTES_MAX + 1] = {
    let mut powers = [1_u64; SKELETON_BYTES_MAX + 1];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1].wrapping_mul(BASE);
        place += 1;
    }
    powers
};

/// The skeleton of one label.
#[derive(Clone, Debug)]
pub(super) struct Skeleton {
    bytes: [u8; SKELETON_BYTES_MAX],
    /// Hashes of all beginnings, the empty one first.
    hashes: [u64; SKELETON_BYTES_MAX + 1],
    len: usize,
}

impl Skeleton {
    /// Of a label in lower-case ASCII, of letters beyond it if it begins with `xn--`.
    pub(super) fn of_label(label: &str) -> Self {
        let mut skeleton =
            Self { bytes: [0; SKELETON_BYTES_MAX], hashes: [0; SKELETON_BYTES_MAX + 1], len: 0 };
        if label.starts_with("xn--") {
            let (letters, _) = idna::domain_to_unicode(label);
            skeleton.fill(fold(&letters).as_bytes());
        } else {
            skeleton.fill(label.as_bytes());
        }
        skeleton
    }

    fn fill(&mut self, folded: &[u8]) {
        let mut rest = folded;
        while let [first, after @ ..] = rest {
            let (letter, used) = match (*first, after.first()) {
                (b'r', Some(b'n')) => (b'm', 2),
                (b'v', Some(b'v')) => (b'w', 2),
                (b'c', Some(b'l')) => (b'd', 2),
                (b'0', _) => (b'o', 1),
                (b'1' | b'i' | b'|', _) => (b'l', 1),
                (b'3', _) => (b'e', 1),
                (b'4', _) => (b'a', 1),
                (b'5', _) => (b's', 1),
                (b'7', _) => (b't', 1),
                (b'8', _) => (b'b', 1),
                (b'9', _) => (b'g', 1),
                (letter, _) => (letter, 1),
            };
            self.push(letter);
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    fn push(&mut self, letter: u8) {
        let before = self.hashes.get(self.len).copied().unwrap_or(0);
        let hash = before.wrapping_mul(BASE).wrapping_add(u64::from(letter) + 1);
        if let (Some(byte), Some(next)) = (self.bytes.get_mut(self.len), self.hashes.get_mut(self.len + 1)) {
            (*byte, *next) = (letter, hash);
            self.len += 1;
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash_of(0..self.len)
    }

    /// The hash of a part, as if it were all.
    pub(super) fn hash_of(&self, part: Range<usize>) -> u64 {
        let at = |place: usize| self.hashes.get(place).copied().unwrap_or(0);
        at(part.end).wrapping_sub(at(part.start).wrapping_mul(power(part.len())))
    }

    /// The hashes of what is left when one letter is taken out, for each.
    pub(super) fn less_one(&self) -> impl Iterator<Item = u64> {
        (0..self.len).map(|place| {
            let before = self.hash_of(0..place);
            before.wrapping_mul(power(self.len - place - 1)).wrapping_add(self.hash_of(place + 1..self.len))
        })
    }
}

fn power(exponent: usize) -> u64 {
    POWERS.get(exponent).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{SKELETON_BYTES_MAX, Skeleton};

    #[track_caller]
    fn check(label: &str, want: &str) {
        assert_eq!(Skeleton::of_label(label).bytes(), want.as_bytes(), "{label}");
    }

    #[test]
    fn what_looks_alike_is_the_same() {
        check("paypal", "paypal");
        check("paypa1", "paypal");
        check("paypai", "paypal");
        check("rnicrosoft", "mlcrosoft");
        check("microsoft", "mlcrosoft");
        check("vvells-farg0", "wells-fargo");
        check("xn--pypal-4ve", "paypal");
        check("xn--80ak6aa92e", "apple");
        check("", "");
        check(&"a".repeat(200), &"a".repeat(SKELETON_BYTES_MAX));
    }

    proptest! {
        #[test]
        fn hashes_of_parts_are_those_of_the_parts(label in "[a-z]{0,64}", start in 0usize..64, length in 0usize..64) {
            let whole = Skeleton::of_label(&label);
            let skeleton = String::from_utf8(whole.bytes().to_vec()).unwrap();
            let start = start.min(skeleton.len());
            let end = (start + length).min(skeleton.len());
            // Letters that a skeleton keeps as they are, once it is one.
            let hash = |text: &str| Skeleton::of_label(text).hash();
            let kept = !skeleton.contains("rn") && !skeleton.contains("vv") && !skeleton.contains("cl");
            if kept {
                prop_assert_eq!(whole.hash_of(start..end), hash(&skeleton[start..end]));
                let without = |place: usize| format!("{}{}", &skeleton[..place], &skeleton[place + 1..]);
                for (place, hashed) in whole.less_one().enumerate() {
                    let text = without(place);
                    if Skeleton::of_label(&text).bytes() == text.as_bytes() {
                        prop_assert_eq!(hashed, hash(&text));
                    }
                }
            }
        }
    }
}
