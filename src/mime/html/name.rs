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

    /// Where it is in the table of elements, or a little before: the top bits of a product.
    const fn place(self) -> usize {
        let product = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let [high, low, ..] = product.to_be_bytes();
        (high as usize) << 1 | low as usize >> 7
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

/// Places of the table of elements: a power of two, and enough that few names share one.
const PLACES: usize = 512;

/// The elements of [`GROUPS`], each in the place its name leads to or the next free one.
static ELEMENTS: [(Name, Traits); PLACES] = {
    let mut elements = [(Name::EMPTY, INLINE); PLACES];
    let mut group = 0;
    while group < GROUPS.len() {
        let (names, traits) = GROUPS[group];
        let mut rest = names.as_bytes();
        while !rest.is_empty() {
            let mut end = 0;
            while end < rest.len() && rest[end] != b' ' {
                end += 1;
            }
            let name = Name::of(rest.split_at(end).0);
            let mut place = name.place();
            while elements[place].0.0 != 0 {
                place = (place + 1) % PLACES;
            }
            elements[place] = (name, traits);
            rest = rest.split_at(if end < rest.len() { end + 1 } else { end }).1;
        }
        group += 1;
    }
    elements
};

/// What the element of that name is; those nobody knows are as `span` is.
pub(super) fn traits(name: Name) -> Traits {
    let mut place = name.place();
    // Most places are free, so this ends soon.
    loop {
        let (known, traits) = &ELEMENTS[place % PLACES];
        if *known == name || *known == Name::EMPTY {
            return *traits;
        }
        place += 1;
    }
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
        assert_ne!(Name::of(b"a-rather-long-name-1"), Name::of(b"a-rather-long-name-2"));
    }

    #[test]
    fn elements_are_found_by_name() {
        let names =
            GROUPS.iter().flat_map(|(names, traits)| names.split(' ').map(move |name| (name, *traits)));
        for (name, want) in names {
            assert_eq!(traits(Name::of(name.as_bytes())), want, "{name}");
        }
        assert_eq!(traits(Name::of(b"DIV")), BLOCK);
        assert_eq!(traits(Name::of(b"br")).content, Content::Void);
        assert_eq!(traits(Name::of(b"style")), HIDDEN);
        assert!(traits(Name::of(b"font")).formats && traits(Name::of(b"td")).scope);
        assert_eq!(traits(Name::of(b"o:p")), INLINE);
        assert_eq!(traits(Name::of(b"span")), INLINE);
    }
}
