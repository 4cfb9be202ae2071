//! Names of elements, attributes and properties as numbers, and what elements are.
//!
//! HTML Standard §13.1.2 (kinds of elements), §13.2.4.2 (special elements and scopes), §13.2.6 (which
//! start tag ends which element), §15.3 (which of them begin a line, and which are not shown).

/// A name, whatever the case of its letters. Of longer names the last [`NAME_BYTES_MAX`] octets count,
/// which is enough to find an end tag's start tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(u128);

const NAME_BYTES_MAX: usize = 16;

/// Small letters, digits and the signs of names all have this bit; of the octets that have it not,
/// only capital letters become anything that is a name.
const SMALL: u8 = 0x20;

impl Name {
    pub(super) const EMPTY: Self = Self(0);

    pub(super) const fn of(name: &[u8]) -> Self {
        Self::EMPTY.with(name)
    }

    /// Where it is in a [`Table`], or a little before: the top bits of a product.
    const fn place(self) -> usize {
        let bytes = self.0.to_le_bytes();
        let (halves, _) = bytes.as_chunks::<8>();
        let (low, high) = (u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1]));
        let [top, next, ..] = (low ^ high.rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        (top as usize) << 1 | next as usize >> 7
    }

    /// The name that goes on with `part`.
    pub(super) const fn with(self, part: &[u8]) -> Self {
        let (mut number, mut at) = (self.0, part.len().saturating_sub(NAME_BYTES_MAX));
        while at < part.len() {
            number = number << 8 | (part[at] | SMALL) as u128;
            at += 1;
        }
        Self(number)
    }

    /// The name that the first `len` octets of `word` are; `len` is below eight.
    pub(super) fn of_word(word: [u8; 8], len: usize) -> Self {
        const SMALL_IN_ALL: u64 = u64::from_be_bytes([SMALL; 8]);
        let number = u64::from_be_bytes(word) | SMALL_IN_ALL;
        // In two steps, for an empty name.
        Self(u128::from(number >> (8 * (7 - len)) >> 8))
    }

    /// The same as [`of`](Self::of), with few loads instead of one for each octet.
    pub(super) fn of_slice(name: &[u8]) -> Self {
        const SMALL_IN_ALL: u128 = u128::from_be_bytes([SMALL; NAME_BYTES_MAX]);
        // The first and the last octets of a name may overlap, where they are the same.
        let number = match (name.first_chunk::<8>(), name.last_chunk::<8>(), name.len()) {
            (Some(first), Some(last), 8..=NAME_BYTES_MAX) => {
                let first = u128::from(u64::from_be_bytes(*first));
                first << (8 * (name.len() - 8)) | u128::from(u64::from_be_bytes(*last))
            }
            (None, _, 4..8) => {
                let first = name.first_chunk::<4>().map_or(0, |first| u32::from_be_bytes(*first));
                let last = name.last_chunk::<4>().map_or(0, |last| u32::from_be_bytes(*last));
                u128::from(u64::from(first) << (8 * (name.len() - 4)) | u64::from(last))
            }
            _ => return Self::of(name),
        };
        Self(number | SMALL_IN_ALL >> (8 * (NAME_BYTES_MAX - name.len())))
    }
}

/// What the content of an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Markup,
    /// There is none, nor an end tag.
    Void,
    /// Everything up to the end tag, and not shown.
    Hidden,
    /// Text without tags up to the end tag, with references or without.
    Text {
        references: bool,
    },
}

/// Which open elements a start tag ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Nothing,
    Paragraph,
    Item,
    Definition,
    Option,
    Cell,
    Row,
    Section,
}

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    pub(super) content: Content,
    pub(super) ends: Ends,
    /// It begins and ends lines.
    pub(super) breaks: bool,
    /// An ordinary end tag does not reach through it.
    pub(super) special: bool,
    /// Its end tag ends it wherever it is, and nothing else.
    pub(super) formats: bool,
    /// Nothing in it ends what is around it.
    pub(super) scope: bool,
    /// Browsers do not show it.
    pub(super) unshown: bool,
}

const INLINE: Traits = Traits {
    content: Content::Markup,
    ends: Ends::Nothing,
    breaks: false,
    special: false,
    formats: false,
    scope: false,
    unshown: false,
};
const SPECIAL: Traits = Traits { special: true, ..INLINE };
const LINE: Traits = Traits { breaks: true, ..SPECIAL };
const BLOCK: Traits = Traits { ends: Ends::Paragraph, ..LINE };
const VOID: Traits = Traits { content: Content::Void, ..SPECIAL };
const SCOPE: Traits = Traits { scope: true, ..SPECIAL };
const UNSHOWN: Traits = Traits { unshown: true, ..SPECIAL };
const CELL: Traits = Traits { ends: Ends::Cell, breaks: true, ..SCOPE };
const SECTION: Traits = Traits { ends: Ends::Section, ..LINE };
const HIDDEN: Traits = Traits { content: Content::Hidden, ..UNSHOWN };

const GROUPS: &[(&str, Traits)] = &[
    ("b big code em font i nobr s small strike strong tt u a", Traits { formats: true, ..INLINE }),
    (
        "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer \
         form h1 h2 h3 h4 h5 h6 header hgroup listing main menu nav ol p pre search section summary ul",
        BLOCK,
    ),
    ("body frameset legend", LINE),
    ("button", Traits { special: true, ..INLINE }),
    ("area base basefont bgsound col embed img input keygen link meta param source track", VOID),
    ("wbr", VOID),
    ("br", Traits { breaks: true, ..VOID }),
    ("hr frame", Traits { breaks: true, ends: Ends::Paragraph, ..VOID }),
    ("applet marquee object", SCOPE),
    ("html", SCOPE),
    ("head colgroup", SPECIAL),
    ("template", Traits { unshown: true, ..SCOPE }),
    ("datalist rp", UNSHOWN),
    ("table", Traits { breaks: true, ends: Ends::Paragraph, ..SCOPE }),
    ("caption", Traits { breaks: true, ..SCOPE }),
    ("td th", CELL),
    ("tr", Traits { ends: Ends::Row, ..LINE }),
    ("tbody thead tfoot", SECTION),
    ("li", Traits { ends: Ends::Item, ..LINE }),
    ("dd dt", Traits { ends: Ends::Definition, ..LINE }),
    ("option optgroup", Traits { ends: Ends::Option, breaks: true, ..INLINE }),
    ("select", SPECIAL),
    ("script style iframe noembed noframes", HIDDEN),
    ("title", Traits { content: Content::Text { references: true }, breaks: true, ..UNSHOWN }),
    ("textarea", Traits { content: Content::Text { references: true }, ..LINE }),
    ("xmp plaintext", Traits { content: Content::Text { references: false }, ..BLOCK }),
];

/// What each name stands for, found by few looks.
pub(super) struct Table<T: 'static> {
    /// Each name in the place it leads to, or the next free one.
    places: [(Name, T); PLACES],
}

/// A power of two, and enough that few names share a place.
const PLACES: usize = 512;

impl<T: Copy> Table<T> {
    /// What the names of each group, divided by spaces, stand for; all others stand for `other`.
    pub(super) const fn new(groups: &[(&str, T)], other: T) -> Self {
        let mut places = [(Name::EMPTY, other); PLACES];
        let mut group = 0;
        while group < groups.len() {
            let (names, meaning) = groups[group];
            let mut rest = names.as_bytes();
            while !rest.is_empty() {
                let mut end = 0;
                while end < rest.len() && rest[end] != b' ' {
                    end += 1;
                }
                let name = Name::of(rest.split_at(end).0);
                let mut place = name.place();
                while places[place].0.0 != 0 {
                    place = (place + 1) % PLACES;
                }
                places[place] = (name, meaning);
                rest = rest.split_at(if end < rest.len() { end + 1 } else { end }).1;
            }
            group += 1;
        }
        Self { places }
    }

    pub(super) fn find(&self, name: Name) -> &T {
        let mut place = name.place();
        // Most places are free, so this ends soon.
        loop {
            let (known, meaning) = &self.places[place % PLACES];
            if *known == name || *known == Name::EMPTY {
                return meaning;
            }
            place += 1;
        }
    }
}

static ELEMENTS: Table<Traits> = Table::new(GROUPS, INLINE);

/// What the element of that name is; those nobody knows are as `span` is.
pub(super) fn traits(name: Name) -> &'static Traits {
    ELEMENTS.find(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_depend_on_case() {
        assert_eq!(Name::of(b"ScRiPt"), Name::of(b"script"));
        assert_ne!(Name::of(b"td"), Name::of(b"th"));
        assert_ne!(Name::of(b"a"), Name::of(b"aa"));
        assert_eq!(Name::of(b""), Name(0));
        for name in
            ["", "A", "td", "TBODY", "template", "blockQUOTE", "sixteen-letters-", "seventeen-letters"]
        {
            assert_eq!(Name::of_slice(name.as_bytes()), Name::of(name.as_bytes()), "{name}");
        }
        for len in 0..8 {
            assert_eq!(Name::of_word(*b"aBc-1:xy", len), Name::of(&b"aBc-1:xy"[..len]), "{len}");
        }
        assert_ne!(Name::of(b"a-rather-long-name-1"), Name::of(b"a-rather-long-name-2"));
    }

    #[test]
    fn elements_are_found_by_name() {
        let names =
            GROUPS.iter().flat_map(|(names, traits)| names.split(' ').map(move |name| (name, *traits)));
        for (name, want) in names {
            assert_eq!(*traits(Name::of(name.as_bytes())), want, "{name}");
        }
        assert_eq!(*traits(Name::of(b"DIV")), BLOCK);
        assert_eq!(traits(Name::of(b"br")).content, Content::Void);
        assert_eq!(*traits(Name::of(b"style")), HIDDEN);
        assert!(traits(Name::of(b"font")).formats && traits(Name::of(b"td")).scope);
        assert_eq!(*traits(Name::of(b"o:p")), INLINE);
        assert_eq!(*traits(Name::of(b"span")), INLINE);
    }
}
