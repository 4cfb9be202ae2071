//! The elements that are open, and whether text in the innermost of them is seen.
//!
//! HTML Standard §13.2.4.2 (the stack of open elements), §13.2.6.4.7 (end tags), so far as it decides
//! where hidden text ends. Formatting elements end wherever their end tag stands, which is what the
//! standard's adoption agency comes to for our purpose.

use super::Trick;
use super::colour::{self, Colour};
use super::name::{Content, Ends, Name, Traits};
use super::style::{Background, Font, Style};

/// Elements within each other that are told apart; browsers stop at about as many.
pub const OPEN_ELEMENTS_MAX: usize = 256;

/// How text is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Not part of the page at all.
    removed: bool,
    /// Hidden in a way that nothing within can undo.
    lost: Option<Trick>,
    visible: bool,
    tiny: bool,
    /// Nothing, if it is not known.
    colour: Option<Colour>,
    background: Option<[u8; 3]>,
}

impl Look {
    const PAGE: Self = Self {
        removed: false,
        lost: None,
        visible: true,
        tiny: false,
        colour: Some(Colour::Rgb([0; 3])),
        background: Some([0xff; 3]),
    };

    /// Why text is not seen, if it is not.
    fn hidden_by(&self) -> Option<Trick> {
        match (self.colour, self.background) {
            _ if self.removed => Some(Trick::HiddenElement),
            _ if self.lost.is_some() => self.lost,
            _ if !self.visible => Some(Trick::InvisibleText),
            _ if self.tiny => Some(Trick::TinyFont),
            (Some(Colour::Clear), _) => Some(Trick::TransparentText),
            (Some(Colour::Rgb(text)), Some(behind)) if colour::near(text, behind) => {
                Some(Trick::BackgroundColour)
            }
            _ => None,
        }
    }

    /// Whether lines that end there divide what is around it.
    pub(super) fn is_in_flow(&self) -> bool {
        !self.removed && !matches!(self.lost, Some(Trick::OffScreen | Trick::Collapsed))
    }

    /// The look of an element in this one.
    fn within(self, own: &Own) -> Self {
        let style = &own.style;
        let lost = [
            (style.transparent, Trick::TransparentText),
            (style.off_screen, Trick::OffScreen),
            (style.collapsed, Trick::Collapsed),
        ];
        let lost = lost.iter().find_map(|(is, trick)| is.then_some(*trick));
        Self {
            removed: self.removed || style.displayed == Some(false),
            lost: self.lost.or(lost),
            visible: style.visible.unwrap_or(self.visible),
            tiny: match style.font {
                None | Some(Font::Relative) => self.tiny,
                Some(font) => font == Font::Tiny,
            },
            colour: match (style.colour, own.styled_elsewhere) {
                (None, false) => self.colour,
                (colour, _) => colour,
            },
            background: match (style.background, own.styled_elsewhere) {
                (None, false) => self.background,
                (None, true) | (Some(Background::Unknown), _) => None,
                (Some(Background::Rgb(background)), _) => Some(background),
            },
        }
    }
}

/// What an element brings itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) style: Style,
    /// A style sheet may say more, so that colours are not known.
    pub(super) styled_elsewhere: bool,
}

#[derive(Clone, Copy, Debug)]
struct Element {
    name: Name,
    traits: &'static Traits,
    own: Own,
    look: Look,
    /// Why text in it is not seen, if it is not.
    hidden: Option<Trick>,
}

/// The stack of open elements.
#[derive(Clone, Debug)]
pub(super) struct Open {
    elements: Vec<Element>,
    paragraphs: usize,
    /// Elements that were not put on the stack because it was full.
    beyond: usize,
}

impl Open {
    pub(super) const fn new() -> Self {
        Self { elements: Vec::new(), paragraphs: 0, beyond: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.elements.clear();
        self.paragraphs = 0;
        self.beyond = 0;
    }

    pub(super) fn look(&self) -> Look {
        self.elements.last().map_or(Look::PAGE, |element| element.look)
    }

    /// Why text is not seen where we stand, if it is not.
    pub(super) fn hidden(&self) -> Option<Trick> {
        self.elements.last().and_then(|element| element.hidden)
    }

    /// The look an element would have if it were opened now.
    pub(super) fn look_of(&self, own: &Own) -> Look {
        if *own == Own::default() { self.look() } else { self.look().within(own) }
    }

    /// Puts an element with the look it has here on the stack; false if there are too many.
    pub(super) fn push(&mut self, name: Name, traits: &'static Traits, own: Own, look: Look) -> bool {
        if self.elements.len() == OPEN_ELEMENTS_MAX {
            self.beyond += 1;
            return false;
        }
        self.paragraphs += usize::from(name == P);
        let hidden = if look == self.look() { self.hidden() } else { look.hidden_by() };
        self.elements.push(Element { name, traits, own, look, hidden });
        true
    }

    /// Ends what a start tag of this kind ends before it begins its own element.
    pub(super) fn make_way(&mut self, ends: Ends) {
        match ends {
            Ends::Nothing => {}
            Ends::Paragraph => self.end_paragraph(),
            Ends::Item => {
                self.end_within(&[LI], |element| element.traits.scope || matches!(element.name, UL | OL));
                self.end_paragraph();
            }
            Ends::Definition => {
                self.end_within(&[DD, DT], |element| element.traits.scope || element.name == DL);
                self.end_paragraph();
            }
            Ends::Option => self.end_within(&[OPTION], |element| element.traits.special),
            Ends::Cell => self.end_within(&[TD, TH], |element| matches!(element.name, TABLE | TR)),
            Ends::Row => self.end_within(&[TR], |element| element.name == TABLE),
            Ends::Section => self.end_within(&[TBODY, THEAD, TFOOT], |element| element.name == TABLE),
        }
    }

    fn end_paragraph(&mut self) {
        if self.paragraphs > 0 {
            self.end_within(&[P], |element| element.traits.scope || element.name == BUTTON);
        }
    }

    /// Ends the innermost element of these names, unless an element that bars the way is further in.
    fn end_within(&mut self, names: &[Name], bars: impl Fn(&Element) -> bool) {
        let found = self.elements.iter().rposition(|element| names.contains(&element.name) || bars(element));
        if let Some(place) = found
            && self.elements.get(place).is_some_and(|element| names.contains(&element.name))
        {
            self.cut(place);
        }
    }

    /// Takes an end tag.
    pub(super) fn end(&mut self, name: Name, traits: &Traits) {
        // What stands behind these still belongs to them.
        if matches!(name, BODY | HTML) || traits.content == Content::Void {
            return;
        }
        if self.beyond > 0 {
            self.beyond -= 1;
            return;
        }
        if !traits.formats && self.elements.last().is_some_and(|element| element.name == name) {
            return self.cut(self.elements.len() - 1);
        }
        let bars = |element: &Element| match traits {
            Traits { formats: true, .. } => element.traits.scope,
            _ if is_of_table(name) => element.name == TABLE,
            Traits { special: true, .. } => element.traits.scope,
            _ => element.traits.special,
        };
        let place = self.elements.iter().rposition(|element| element.name == name || bars(element));
        match place {
            Some(place) if self.elements.get(place).is_none_or(|element| element.name != name) => {}
            Some(place) if traits.formats => self.take_out(place),
            Some(place) => self.cut(place),
            None => {}
        }
    }

    fn cut(&mut self, place: usize) {
        let ended = self.elements.drain(place..);
        self.paragraphs -= ended.filter(|element| element.name == P).count();
    }

    /// Ends one element and leaves those within it open.
    fn take_out(&mut self, place: usize) {
        let within = self.elements.split_off(place);
        for element in within.into_iter().skip(1) {
            let look = self.look_of(&element.own);
            self.elements.push(Element { look, hidden: look.hidden_by(), ..element });
        }
    }
}

/// End tags of rows and sections end their cells, and reach no further than their table.
fn is_of_table(name: Name) -> bool {
    matches!(name, TABLE | TBODY | THEAD | TFOOT | TR)
}

const BODY: Name = Name::of(b"body");
const HTML: Name = Name::of(b"html");
const P: Name = Name::of(b"p");
const LI: Name = Name::of(b"li");
const UL: Name = Name::of(b"ul");
const OL: Name = Name::of(b"ol");
const DD: Name = Name::of(b"dd");
const DT: Name = Name::of(b"dt");
const DL: Name = Name::of(b"dl");
const OPTION: Name = Name::of(b"option");
const BUTTON: Name = Name::of(b"button");
const TD: Name = Name::of(b"td");
const TH: Name = Name::of(b"th");
const TR: Name = Name::of(b"tr");
const TBODY: Name = Name::of(b"tbody");
const THEAD: Name = Name::of(b"thead");
const TFOOT: Name = Name::of(b"tfoot");
const TABLE: Name = Name::of(b"table");
