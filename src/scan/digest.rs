//! SHA-256 of a decoded part (FIPS 180-4), taken while it passes.
//!
//! Hashing costs more than finding, so a part is hashed only when a list or a rule asks: a [`Hasher`]
//! that is closed costs nothing and has no sum, which is not the same as the sum of nothing.

use std::fmt;

use sha2::{Digest, Sha256};

/// Hashes one part, if it was opened.
#[derive(Clone, Debug, Default)]
pub struct Hasher(Option<Sha256>);

impl Hasher {
    /// Takes nothing and yields nothing.
    pub const fn closed() -> Self {
        Self(None)
    }

    /// At the start of a part that is wanted.
    pub fn open() -> Self {
        Self(Some(Sha256::new()))
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if let Some(state) = &mut self.0 {
            state.update(bytes);
        }
    }

    /// The sum of what was pushed since it was opened; closed again after that.
    pub fn finish(&mut self) -> Option<Sum> {
        self.0.take().map(|state| Sum(state.finalize().into()))
    }
}

/// A SHA-256 sum. Shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sum([u8; 32]);

impl fmt::Display for Sum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sum({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::Hasher;

    /// FIPS 180-4 examples.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn check(text: &[u8], want: &str) {
        for cut in 0..=text.len() {
            let mut hasher = Hasher::open();
            hasher.push(&text[..cut]);
            hasher.push(&text[cut..]);
            assert_eq!(hasher.finish().map(|sum| sum.to_string()).as_deref(), Some(want), "cut at {cut}");
        }
    }

    #[test]
    fn sums_are_those_of_the_standard() {
        check(b"abc", ABC);
        check(b"", NOTHING);
        check(
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        );
    }

    #[test]
    fn what_was_not_opened_has_no_sum() {
        let mut hasher = Hasher::closed();
        hasher.push(b"abc");
        assert_eq!(hasher.finish(), None);
        let mut hasher = Hasher::open();
        assert_eq!((hasher.finish().is_some(), hasher.finish()), (true, None));
    }
}
