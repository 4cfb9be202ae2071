//! Tags: their attributes, and what a start or end tag does to the text around it.
//!
//! HTML Standard §13.2.5.6 to 40 (tokens of tags). A quote counts only where a value begins, so that a
//! `>` ends the same tag here as it does in a browser.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

use super::colour;
use super::entity;
use super::long_link::is_data;
use super::name::{self, Content, Name, Table, Traits};
use super::open::Own;
use super::style::{Background, Style};
use super::{HtmlEvent, Link, Reader, Sink, State, Trick, VALUE_BYTES_MAX, before, behind};

/// The tag that is being read.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) closing: bool,
    name: Name,
    traits: &'static Traits,
    /// What the attribute at hand is.
    attribute: Attribute,
    /// The attributes that were there: of several alike the first one counts.
    seen: u32,
    own: Own,
    /// The `hidden` attribute.
    hidden: bool,
    /// `class` or `id`: style sheets may say more.
    marked: bool,
    /// One of the classes or the name is of a style sheet's rule that hides.
    hidden_by_sheet: bool,
    /// Where an anchor leads.
    target: String,
    refreshes: bool,
    /// What a meta element says.
    content: String,
}

impl Default for Tag {
    fn default() -> Self {
        let name = Name::of(b"");
        Self {
            closing: false,
            name,
            traits: name::traits(name),
            attribute: Attribute::Ignored,
            seen: 0,
            own: Own::default(),
            hidden: false,
            marked: false,
            hidden_by_sheet: false,
            target: String::new(),
            refreshes: false,
            content: String::new(),
        }
    }
}

/// Attributes that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Ignored,
    Style,
    Class,
    Id,
    Hidden,
    Colour,
    BackgroundColour,
    /// A link, whatever for.
    Target,
    /// Several links with sizes; the first one is told.
    Targets,
    Content,
    HttpEquiv,
    /// Text that is shown in the place of something.
    Shown,
}

impl Attribute {
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// The attributes that decide how an element looks.
const OWN_BITS: u32 = Attribute::Style.bit()
    | Attribute::Class.bit()
    | Attribute::Id.bit()
    | Attribute::Hidden.bit()
    | Attribute::Colour.bit()
    | Attribute::BackgroundColour.bit();

static ATTRIBUTES: Table<Attribute> = Table::new(
    &[
        ("style", Attribute::Style),
        ("class", Attribute::Class),
        ("id", Attribute::Id),
        ("hidden", Attribute::Hidden),
        ("color text", Attribute::Colour),
        ("bgcolor", Attribute::BackgroundColour),
        (
            "href src action formaction background xlink:href data poster lowsrc dynsrc ping cite longdesc",
            Attribute::Target,
        ),
        ("srcset", Attribute::Targets),
        ("content", Attribute::Content),
        ("http-equiv", Attribute::HttpEquiv),
        ("alt value placeholder", Attribute::Shown),
    ],
    Attribute::Ignored,
);

const ANCHOR: Name = Name::of(b"a");
const BASE: Name = Name::of(b"base");
const META: Name = Name::of(b"meta");
const BREAK: Name = Name::of(b"br");

/// The colour links have where nobody says another.
const LINK_COLOUR: colour::Colour = colour::Colour::Rgb([0, 0, 0xee]);

impl Tag {
    /// Begins the tag of this name.
    pub(super) fn begin(&mut self, name: Name) {
        self.name = name;
        self.traits = name::traits(name);
        self.attribute = Attribute::Ignored;
        self.seen = 0;
        self.own = Own::default();
        self.hidden = false;
        self.marked = false;
        self.hidden_by_sheet = false;
        self.target.clear();
        self.refreshes = false;
        self.content.clear();
    }
}

impl Reader {
    /// Takes a tag from its name on, if there is one: `text` is what follows a `<`.
    pub(super) fn take_tag(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        let (closing, slash) = match text.as_bytes() {
            [b'a'..=b'z' | b'A'..=b'Z', ..] => (false, 0),
            [b'/', b'a'..=b'z' | b'A'..=b'Z', ..] => (true, 1),
            _ => {
                self.state = State::Less;
                return 0;
            }
        };
        self.tag.closing = closing;
        self.name = Name::EMPTY;
        self.state = State::TagName;
        slash + self.take_tag_name(behind(text, slash), sink)
    }

    pub(super) fn take_tag_name(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        let (name, taken) = name_up_to(ENDS_TAG_NAME, self.name, text.as_bytes());
        self.name = name;
        if taken == text.len() {
            return taken;
        }
        self.tag.begin(name);
        self.state = State::BeforeAttribute;
        if text.as_bytes().get(taken) == Some(&b'>') {
            self.end_tag(sink);
            return taken + 1;
        }
        taken + self.before_attribute(behind(text, taken), sink)
    }

    /// Takes attributes that are whole and plainly written, then one step of another.
    pub(super) fn before_attribute(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        let taken = self.take_plain_attributes(text, sink);
        let rest = behind(text, taken);
        let at = rest.bytes().position(|byte| !is(byte, SPACE) && byte != b'/').unwrap_or(rest.len());
        match rest.as_bytes().get(at) {
            None => text.len(),
            Some(b'>') => {
                self.end_tag(sink);
                taken + at + 1
            }
            Some(_) => {
                self.state = State::AttributeName;
                // Whatever it is, it belongs to the name: a `=` as well.
                let one = behind(rest, at).chars().next().map_or(0, char::len_utf8);
                self.name = Name::of(before(behind(rest, at), one).as_bytes());
                taken + at + one
            }
        }
    }

    /// The fast path: attributes with a value right behind their name, as long as they are whole,
    /// without going from state to state.
    fn take_plain_attributes(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        let bytes = text.as_bytes();
        let mut taken = 0;
        loop {
            let mut at = taken;
            while bytes.get(at).is_some_and(|byte| is(*byte, SPACE)) {
                at += 1;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let (name, len) = name_up_to(ENDS_ATTRIBUTE_NAME, Name::EMPTY, rest);
            let Some((begin, value_len, end)) = plain_value(rest, len) else { return taken };
            taken = at + end;
            self.name_attribute(name);
            if self.tag.attribute != Attribute::Ignored {
                let value = text.get(at + begin..at + begin + value_len);
                self.take_attribute(value.unwrap_or_default(), sink);
            }
        }
    }

    pub(super) fn attribute_name(&mut self, text: &str) -> usize {
        let (name, taken) = name_up_to(ENDS_ATTRIBUTE_NAME, self.name, text.as_bytes());
        self.name = name;
        if taken < text.len() {
            self.name_attribute(name);
            self.state = State::AfterAttributeName;
        }
        taken
    }

    fn name_attribute(&mut self, name: Name) {
        self.tag.attribute = if self.tag.closing { Attribute::Ignored } else { *ATTRIBUTES.find(name) };
    }

    pub(super) fn after_attribute_name(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        let at = text.bytes().position(|byte| !is(byte, SPACE)).unwrap_or(text.len());
        match text.as_bytes().get(at) {
            None => at,
            Some(b'=') => {
                self.state = State::BeforeValue;
                at + 1
            }
            Some(_) => {
                self.take_attribute("", sink);
                self.state = State::BeforeAttribute;
                at
            }
        }
    }

    pub(super) fn before_value(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        let at = text.bytes().position(|byte| !is(byte, SPACE)).unwrap_or(text.len());
        match text.as_bytes().get(at) {
            None => at,
            Some(&quote @ (b'"' | b'\'')) => {
                self.state = State::Quoted(quote);
                at + 1
            }
            Some(b'>') => {
                self.take_attribute("", sink);
                self.state = State::BeforeAttribute;
                at
            }
            Some(_) => {
                self.state = State::Unquoted;
                at
            }
        }
    }

    pub(super) fn take_quoted(&mut self, quote: u8, text: &str, sink: &mut Sink<'_>) -> usize {
        let end = memchr(quote, text.as_bytes());
        self.take_value(before(text, end.unwrap_or(text.len())), end.is_some(), sink);
        end.map_or(text.len(), |end| end + 1)
    }

    pub(super) fn take_unquoted(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        let end = text.bytes().position(|byte| is(byte, SPACE) || byte == b'>');
        self.take_value(before(text, end.unwrap_or(text.len())), end.is_some(), sink);
        end.unwrap_or(text.len())
    }

    /// Takes a part of a value; `whole`, if it ends there.
    fn take_value(&mut self, part: &str, whole: bool, sink: &mut Sink<'_>) {
        if self.tag.attribute == Attribute::Ignored {
            self.state = if whole { State::BeforeAttribute } else { self.state };
            return;
        }
        if whole && self.held.is_empty() && part.len() <= VALUE_BYTES_MAX {
            self.take_attribute(part, sink);
            self.state = State::BeforeAttribute;
            return;
        }
        // What comes after the bound does not count, not even if there were room for some of it.
        let room = if self.overlong { 0 } else { VALUE_BYTES_MAX.saturating_sub(self.held.len()) };
        let kept = part.floor_char_boundary(room);
        self.held.push_str(before(part, kept));
        self.overlong |= kept < part.len();
        if self.overlong && self.tag.attribute == Attribute::Target {
            self.out.flush(sink);
            self.long_link.push(&self.held, behind(part, kept), sink);
        }
        if whole {
            let mut held = std::mem::take(&mut self.held);
            let told = self.long_link.end(sink);
            if std::mem::take(&mut self.overlong) && !told {
                self.tell(Trick::LongAttribute, sink);
            }
            self.take_attribute(&held, sink);
            held.clear();
            self.held = held;
            self.state = State::BeforeAttribute;
        }
    }

    /// Takes an attribute with its value as it was written.
    fn take_attribute(&mut self, value: &str, sink: &mut Sink<'_>) {
        let attribute = std::mem::replace(&mut self.tag.attribute, Attribute::Ignored);
        let bit = attribute.bit();
        let again = self.tag.seen & bit != 0;
        self.tag.seen |= bit;
        let value = resolved(value);
        match attribute {
            // Each of them is a link, and none is passed over.
            Attribute::Target => self.take_target(&value, sink),
            Attribute::Targets => {
                let first = value.trim_start().split([' ', ',', '\t', '\n', '\r']).next();
                self.tell_link(first.unwrap_or_default(), "", sink);
            }
            _ if again => {}
            Attribute::Ignored => {}
            Attribute::Style => {
                self.tag.own.style = self.tag.own.style.over(self.styles.style(&value));
            }
            Attribute::Class => {
                self.tag.marked = true;
                let mut classes = value.split_ascii_whitespace();
                self.tag.hidden_by_sheet |= classes.any(|class| self.sheet.hides_class(class));
            }
            Attribute::Id => {
                self.tag.marked = true;
                self.tag.hidden_by_sheet |= self.sheet.hides_id(value.trim());
            }
            Attribute::Hidden => self.tag.hidden = true,
            Attribute::Colour => self.take_colour(&value),
            Attribute::BackgroundColour => self.take_background(&value),
            Attribute::Content => self.tag.content.push_str(&value),
            Attribute::HttpEquiv => self.tag.refreshes = value.trim().eq_ignore_ascii_case("refresh"),
            Attribute::Shown => self.say_aside(&value, sink),
        }
    }

    fn take_target(&mut self, value: &str, sink: &mut Sink<'_>) {
        if !self.long_link.take_told() {
            self.tell_data(value, sink);
        }
        match self.tag.name {
            ANCHOR if self.tag.target.is_empty() => self.tag.target.push_str(value),
            BASE => {
                self.tell(Trick::BaseAddress, sink);
                self.tell_link(value, "", sink);
            }
            _ => self.tell_link(value, "", sink),
        }
    }

    /// The file that a link holds itself, if it does.
    fn tell_data(&mut self, value: &str, sink: &mut Sink<'_>) {
        let target = target(value);
        if is_data(&target) {
            self.out.flush(sink);
            sink(HtmlEvent::Data { piece: &target, last: true });
        }
    }

    /// A colour of an attribute counts where the style says none.
    fn take_colour(&mut self, value: &str) {
        let attribute = Style { colour: colour::parse(value), ..Style::default() };
        self.tag.own.style = attribute.over(self.tag.own.style);
    }

    fn take_background(&mut self, value: &str) {
        let background = match colour::parse(value) {
            Some(colour::Colour::Rgb(rgb)) => Some(Background::Rgb(rgb)),
            _ => None,
        };
        self.tag.own.style = Style { background, ..Style::default() }.over(self.tag.own.style);
    }

    /// The tag is whole.
    fn end_tag(&mut self, sink: &mut Sink<'_>) {
        self.state = State::Text;
        // Browsers take these two end tags for what they do not end.
        if self.tag.closing && self.tag.name != BREAK {
            self.close(sink);
        } else {
            self.open(sink);
        }
        self.hidden = self.open.hidden();
    }

    fn close(&mut self, sink: &mut Sink<'_>) {
        let (name, traits) = (self.tag.name, self.tag.traits);
        if traits.breaks {
            self.end_line(self.open.look(), sink);
        }
        if name == ANCHOR {
            self.end_link(sink);
        }
        self.open.end(name, traits);
    }

    fn open(&mut self, sink: &mut Sink<'_>) {
        let (name, traits) = (self.tag.name, self.tag.traits);
        self.open.make_way(traits.ends);
        let own = self.own();
        let look = self.open.look_of(&own);
        if traits.breaks {
            self.end_line(look, sink);
        }
        match name {
            ANCHOR => self.begin_link(sink),
            META => self.take_meta(sink),
            _ => {}
        }
        if traits.content == Content::Void {
            return;
        }
        if !self.open.push(name, traits, own, look) {
            self.tell(Trick::Deep, sink);
        }
        if traits.content != Content::Markup {
            self.raw = Some((name, traits.content));
            self.state = State::Raw;
        }
    }

    /// What the element brings itself, all attributes together.
    fn own(&self) -> Own {
        let tag = &self.tag;
        if tag.seen & OWN_BITS == 0 && !tag.traits.unshown && tag.name != ANCHOR {
            return Own::default();
        }
        let mut own = tag.own;
        own.styled_elsewhere = tag.marked && self.sheet.is_there();
        let hidden = tag.hidden || tag.hidden_by_sheet || tag.traits.unshown;
        if hidden && own.style.displayed.is_none() {
            own.style.displayed = Some(false);
        }
        if tag.name == ANCHOR && !tag.target.is_empty() && own.style.colour.is_none() {
            own.style.colour = Some(LINK_COLOUR);
        }
        own
    }

    fn begin_link(&mut self, sink: &mut Sink<'_>) {
        self.end_link(sink);
        if !self.tag.target.is_empty() {
            let target = std::mem::take(&mut self.tag.target);
            self.link = Some(Link { target, ..Link::default() });
        }
    }

    /// `<meta http-equiv=refresh content="0; url=…">`
    fn take_meta(&mut self, sink: &mut Sink<'_>) {
        if !self.tag.refreshes {
            return;
        }
        let content = std::mem::take(&mut self.tag.content);
        if let Some((_, rest)) = content.split_once([';', ',']) {
            self.tell(Trick::Refresh, sink);
            let rest = rest.trim();
            let target = match rest.split_once('=') {
                Some((url, target)) if url.trim().eq_ignore_ascii_case("url") => target.trim(),
                _ => rest,
            };
            let target = target.trim_matches(['"', '\'']);
            self.tell_data(target, sink);
            self.tell_link(target, "", sink);
        }
    }
}

/// Where the value of an attribute begins whose name has this length, how long it is, and where the
/// attribute ends: if it is whole, and not longer than what counts.
fn plain_value(attribute: &[u8], name_len: usize) -> Option<(usize, usize, usize)> {
    let behind_name = attribute.get(name_len..).filter(|_| name_len > 0)?;
    let (begin, len, end) = match behind_name {
        [b'=', quote @ (b'"' | b'\''), value @ ..] => {
            let len = memchr(*quote, value)?;
            (name_len + 2, len, name_len + 2 + len + 1)
        }
        [b'=', first, ..] if !is(*first, SPACE) && *first != b'>' => {
            let value = behind_name.get(1..)?;
            let len = value.iter().position(|byte| is(*byte, SPACE) || *byte == b'>')?;
            (name_len + 1, len, name_len + 1 + len)
        }
        _ => return None,
    };
    (len <= VALUE_BYTES_MAX).then_some((begin, len, end))
}

pub(super) fn resolved(value: &str) -> Cow<'_, str> {
    if memchr(b'&', value.as_bytes()).is_none() {
        return Cow::Borrowed(value);
    }
    let mut resolved = String::with_capacity(value.len());
    entity::resolve_all(value, &mut resolved);
    Cow::Owned(resolved)
}

/// A link's target as browsers follow it: URL Standard §4.4 leaves out white space and controls around
/// it, and line ends and tabs within.
pub(super) fn target(value: &str) -> Cow<'_, str> {
    let value = value.trim_matches(|character| character <= ' ');
    if memchr3(b'\t', b'\n', b'\r', value.as_bytes()).is_some() {
        return Cow::Owned(value.replace(['\t', '\n', '\r'], ""));
    }
    Cow::Borrowed(value)
}

/// What octets do to names, as bits.
const SPACE: u8 = 1;
const ENDS_TAG_NAME: u8 = 2;
const ENDS_ATTRIBUTE_NAME: u8 = 4;

static ROLES: [u8; 256] = {
    let mut roles = [0; 256];
    let (ends, mut at) = (b" \t\n\r\x0c/>=", 0);
    while at < ends.len() {
        let space = if at < 5 { SPACE } else { 0 };
        let tag = if ends[at] == b'=' { 0 } else { ENDS_TAG_NAME };
        roles[ends[at] as usize] = space | tag | ENDS_ATTRIBUTE_NAME;
        at += 1;
    }
    roles
};

fn is(byte: u8, role: u8) -> bool {
    ROLES[usize::from(byte)] & role != 0
}

/// The name that goes on in `text` up to what ends it, and how far that is.
#[inline]
fn name_up_to(end: u8, name: Name, text: &[u8]) -> (Name, usize) {
    if name == Name::EMPTY
        && let Some(word) = text.first_chunk::<8>()
        && let Some(len) = short_name(end, *word)
    {
        return (Name::of_word(*word, len), len);
    }
    long_name(end, name, text)
}

fn long_name(end: u8, name: Name, text: &[u8]) -> (Name, usize) {
    let len = text.iter().position(|byte| is(*byte, end)).unwrap_or(text.len());
    let part = text.get(..len).unwrap_or_default();
    (if name == Name::EMPTY { Name::of_slice(part) } else { name.with(part) }, len)
}

/// The fast path: the length of a name that ends within eight octets, found by arithmetic. No branch
/// depends on it, for no processor guesses it well.
#[inline]
fn short_name(end: u8, word: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let number = u64::from_le_bytes(word);
    // The high bit of each octet that is zero; the lowest one is right.
    let zeros = |octets: u64| octets.wrapping_sub(ONES) & !octets;
    let below = number.wrapping_sub(ONES * u64::from(b'!')) & !number;
    let ends = [b'/', b'=', b'>'].map(|byte| zeros(number ^ (ONES * u64::from(byte))));
    let found = (below | ends[0] | ends[1] | ends[2]) & (ONES << 7);
    let len = usize::try_from(found.trailing_zeros() / 8).ok()?;
    // It may be another control character.
    word.get(len).is_some_and(|byte| is(*byte, end)).then_some(len)
}
