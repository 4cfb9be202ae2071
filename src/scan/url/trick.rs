//! Ways in which a link hides where it leads, as a set.

/// What was odd about a link. None of it is proof; a rule weighs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tricks(u16);

impl Tricks {
    /// Something stood before an `@`: people read the beginning, programs go to the end.
    pub const USER: Self = Self(1);
    /// The host is an IP address.
    pub const ADDRESS: Self = Self(1 << 1);
    /// … and was not written as four decimal numbers.
    pub const ADDRESS_OBSCURED: Self = Self(1 << 2);
    /// A port of its own.
    pub const PORT: Self = Self(1 << 3);
    /// Octets of the host were percent-encoded.
    pub const HOST_ENCODED: Self = Self(1 << 4);
    /// The host has letters beyond ASCII.
    pub const INTERNATIONAL: Self = Self(1 << 5);
    /// One label mixes letters of scripts that look alike.
    pub const SCRIPTS_MIXED: Self = Self(1 << 6);
    /// The host's international form is broken; programs disagree on it.
    pub const HOST_BROKEN: Self = Self(1 << 7);
    /// Backslashes, or a wrong number of slashes, after the scheme.
    pub const SLASHES: Self = Self(1 << 8);
    /// Longer than what is looked at; the rest was not.
    pub const TOO_LONG: Self = Self(1 << 9);
    /// The scheme is written so that programs do not follow it (`hxxp`).
    pub const DEFANGED: Self = Self(1 << 10);
    /// As many links inside as are read: there may be more.
    pub const NESTED: Self = Self(1 << 11);

    /// All of them with their names in facts and records.
    pub const NAMES: [(Self, &'static str); 12] = [
        (Self::USER, "user"),
        (Self::ADDRESS, "address"),
        (Self::ADDRESS_OBSCURED, "address_obscured"),
        (Self::PORT, "port"),
        (Self::HOST_ENCODED, "host_encoded"),
        (Self::INTERNATIONAL, "international"),
        (Self::SCRIPTS_MIXED, "scripts_mixed"),
        (Self::HOST_BROKEN, "host_broken"),
        (Self::SLASHES, "slashes"),
        (Self::TOO_LONG, "too_long"),
        (Self::DEFANGED, "defanged"),
        (Self::NESTED, "nested"),
    ];

    pub const fn contains(self, trick: Self) -> bool {
        self.0 & trick.0 == trick.0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of those in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(trick, _)| self.contains(*trick)).map(|(_, name)| name)
    }

    pub(super) const fn add(&mut self, trick: Self) {
        self.0 |= trick.0;
    }

    pub(super) const fn add_if(&mut self, condition: bool, trick: Self) {
        if condition {
            self.add(trick);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tricks;

    #[test]
    fn each_trick_is_a_bit_with_a_name() {
        let mut all = Tricks::default();
        for (trick, name) in Tricks::NAMES {
            assert!(!all.contains(trick), "{name}");
            all.add(trick);
            assert_eq!(trick.names().collect::<Vec<_>>(), [name]);
        }
        assert_eq!(all.names().count(), Tricks::NAMES.len());
    }
}
