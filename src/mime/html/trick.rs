//! What senders do to text so that people see another one than programs.

/// Writes the enum, the list of all and the names from one list.
macro_rules! tricks {
    ($($(#[$why:meta])* $variant:ident $name:literal,)*) => {
        /// Something done to text so that people see another one than programs, or a bound of ours that
        /// was hit. Some of it is ordinary in newsletters: policy weighs it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Trick {
            $($(#[$why])* $variant,)*
        }

        impl Trick {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that rules, records and metrics use.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

tricks! {
    /// Text in an element that is not displayed: `display: none`, `hidden`. Newsletters do it for the
    /// line that lists of messages show.
    HiddenElement "hidden_element",
    /// `visibility: hidden`
    InvisibleText "invisible_text",
    /// A font of no size, or of a pixel.
    TinyFont "tiny_font",
    /// Text in the colour of its background, or near it.
    BackgroundColour "background_colour",
    /// `opacity: 0` and the like, and colours that are transparent.
    TransparentText "transparent_text",
    /// Text moved away from where people look.
    OffScreen "off_screen",
    /// Text in a box of no size.
    Collapsed "collapsed",
    /// Characters within a word that take no room.
    ZeroWidth "zero_width",
    /// Characters that turn the direction of what follows.
    DirectionOverride "direction_override",
    /// A comment within a word.
    CommentInWord "comment_in_word",
    /// Text that only Outlook shows.
    ConditionalText "conditional_text",
    /// Letters written as numbers, more than a few.
    NumberedLetters "numbered_letters",
    /// A style sheet with a rule that hides.
    StyleSheetHides "style_sheet_hides",
    /// Links are relative to an address that the document gives.
    BaseAddress "base_address",
    /// The document sends its reader elsewhere.
    Refresh "refresh",
    /// The document ends within a tag, a comment, or an element that is no text.
    Unended "unended",
    /// More open elements than are told apart: what hides text there is not known.
    Deep "deep",
    /// An attribute longer than what is read of it.
    LongAttribute "long_attribute",
}

impl Trick {
    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }
}

const _: () = assert!(Trick::ALL.len() <= u32::BITS as usize);
