//! HTML as mail programs show it: the text that is seen, the text that is not, and the links.
//!
//! HTML Standard §13.2.5 (tokens), so far as mail needs it: scripts and style sheets are no text, a
//! comment ends where browsers end it, and a tag does not divide a word unless it begins a line.
//! Comments that only Outlook reads are read as well, as hidden text.
//!
//! What must always hold:
//! * The events do not depend on how the input was cut, but for where one text is divided in two.
//! * Every character that some mail program shows comes out, seen or hidden; every bound that was hit
//!   and every trick that was seen is told once.
//! * What is held is bounded: one attribute's value, one name, one link's text, the open elements.

mod colour;
mod entity;
mod long_link;
mod name;
mod open;
mod sheet;
mod style;
mod tag;
mod trick;
mod word;

use entity::{Entity, Place};
use long_link::LongLink;
use memchr::{memchr, memchr2};
use name::{Content, Name};
pub use open::OPEN_ELEMENTS_MAX;
use open::{Look, Open};
use sheet::Sheet;
use style::Memory;
use tag::Tag;
pub use trick::Trick;
use word::Word;

/// What the reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HtmlEvent<'a> {
    /// Text that is seen, in order; lines are divided by line ends.
    Text(&'a str),
    /// Text that is not seen, or not by all. With the text that is seen, in order, it is all there is.
    Hidden(&'a str),
    /// Where a link leads, and what is shown for it: nothing for pictures, forms and the like.
    Link {
        target: &'a str,
        text: &'a str,
    },
    /// A piece of a link that holds a file itself, of any length: the first one begins with `data:`.
    Data {
        piece: &'a str,
        last: bool,
    },
    Trick(Trick),
}

/// Octets of an attribute's value that count, as they are written.
pub const VALUE_BYTES_MAX: usize = 4096;
/// Octets of a link's text that are told with its target.
pub const LINK_TEXT_BYTES_MAX: usize = 512;
/// Octets of text that are gathered before they are told.
const GATHERED_BYTES_MAX: usize = 4096;
/// Letters written as numbers above which this is told; an occasional one is nothing.
pub const NUMBERED_LETTERS_MIN: u32 = 8;

/// Who takes the events.
type Sink<'s> = dyn FnMut(HtmlEvent<'_>) + 's;

/// Where in the document we stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    /// Behind `&`.
    Reference,
    /// Behind `<`.
    Less,
    /// Behind `</`.
    LessSlash,
    TagName,
    BeforeAttribute,
    AttributeName,
    AfterAttributeName,
    BeforeValue,
    Quoted(u8),
    Unquoted,
    /// Behind `<!`.
    Markup,
    /// Behind `<!-`.
    MarkupDash,
    Comment(Dashes),
    /// What browsers take for a comment up to the next `>`.
    Bogus,
    /// In an element whose content is no markup.
    Raw,
    /// The same, behind `<`.
    RawLess,
    /// The same, behind `</` and letters.
    RawEnd,
}

/// How much of a comment's end there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dashes {
    /// Nothing, at the comment's very beginning.
    Begin,
    /// One, at its beginning.
    BeginDash,
    None,
    One,
    Two,
    /// `--!`
    Bang,
}

/// Whether a comment is one that Outlook reads, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// So much of `[if` was there.
    Begun(usize),
    Plain,
    Outlook,
}

const CONDITION: &[u8] = b"[if";

/// Reads HTML, in pieces of any size.
#[derive(Debug)]
pub struct Reader {
    state: State,
    reference: Entity,
    /// Room for what it stands for.
    resolved: String,
    /// The name at hand, so far.
    name: Name,
    /// A value that began in an earlier piece, or what may be an end tag.
    held: String,
    /// The value at hand is longer than what is held of it.
    overlong: bool,
    long_link: LongLink,
    tag: Tag,
    open: Open,
    /// Why text is not seen where we stand.
    hidden: Option<Trick>,
    /// The element whose content is no markup, if we are in one.
    raw: Option<(Name, Content)>,
    out: Out,
    word: Word,
    link: Option<Link>,
    condition: Condition,
    /// Reads what only Outlook does. It has none of its own.
    outlook: Option<Box<Self>>,
    is_outlook: bool,
    told: u32,
    numbered_letters: u32,
    sheet: Sheet,
    styles: Memory,
}

/// Text on its way out.
#[derive(Debug)]
struct Out {
    text: String,
    hidden: bool,
    /// The text that is seen ends in white space, or has not begun.
    seen_ends_in_space: bool,
    /// The same of all text.
    ends_in_space: bool,
}

/// A link whose text is being read.
#[derive(Debug, Default)]
struct Link {
    target: String,
    text: String,
    /// Something did not fit: what comes behind it is not the text's next character.
    full: bool,
}

impl Link {
    fn show(&mut self, text: &str) {
        if !self.full {
            self.full = !append(text, LINK_TEXT_BYTES_MAX, &mut self.text);
        }
    }
}

impl Reader {
    pub fn new() -> Self {
        let out = Out { text: String::new(), hidden: false, seen_ends_in_space: true, ends_in_space: true };
        Self {
            state: State::Text,
            reference: Entity::BEGIN,
            resolved: String::new(),
            name: Name::EMPTY,
            held: String::new(),
            overlong: false,
            long_link: LongLink::default(),
            tag: Tag::default(),
            open: Open::new(),
            hidden: None,
            raw: None,
            out,
            word: Word::Outside,
            link: None,
            condition: Condition::Plain,
            outlook: None,
            is_outlook: false,
            told: 0,
            numbered_letters: 0,
            sheet: Sheet::default(),
            styles: Memory::default(),
        }
    }

    /// Reads `text` and tells `sink` what is in it.
    pub fn push(&mut self, text: &str, sink: &mut impl FnMut(HtmlEvent<'_>)) {
        self.read(text, sink);
        self.out.flush(sink);
    }

    /// Ends the document.
    pub fn finish(&mut self, sink: &mut impl FnMut(HtmlEvent<'_>)) {
        self.end(sink);
    }

    fn read(&mut self, text: &str, sink: &mut Sink<'_>) {
        let mut rest = text;
        while !rest.is_empty() {
            let taken = self.take(rest, sink);
            rest = behind(rest, taken);
        }
    }

    /// Takes some of `text`, or goes to another state.
    fn take(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        match self.state {
            State::Text => self.take_text(text, sink),
            State::Reference => self.take_reference(text, sink),
            State::Less => self.take_less(first(text), sink),
            State::LessSlash => self.take_less_slash(first(text)),
            State::TagName => self.take_tag_name(text, sink),
            State::BeforeAttribute => self.before_attribute(text, sink),
            State::AttributeName => self.attribute_name(text),
            State::AfterAttributeName => self.after_attribute_name(text, sink),
            State::BeforeValue => self.before_value(text, sink),
            State::Quoted(quote) => self.take_quoted(quote, text, sink),
            State::Unquoted => self.take_unquoted(text, sink),
            State::Markup | State::MarkupDash => self.take_markup(first(text)),
            State::Comment(dashes) => self.take_comment(dashes, text, sink),
            State::Bogus => self.take_bogus(text),
            State::Raw => self.take_raw(text, sink),
            State::RawLess => self.take_raw_less(first(text), sink),
            State::RawEnd => self.take_raw_end(text, sink),
        }
    }

    fn take_text(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        let mut taken = 0;
        // Most tags leave this state and come back to it at once.
        while self.state == State::Text && taken < text.len() {
            let rest = behind(text, taken);
            let end = memchr2(b'<', b'&', rest.as_bytes()).unwrap_or(rest.len());
            if end > 0 {
                self.say(before(rest, end), sink);
            }
            taken += end;
            match rest.as_bytes().get(end) {
                Some(b'<') => taken += 1 + self.take_tag(behind(rest, end + 1), sink),
                Some(_) => {
                    self.begin_reference();
                    taken += 1;
                }
                None => {}
            }
        }
        taken
    }

    fn begin_reference(&mut self) {
        self.reference = Entity::BEGIN;
        self.state = State::Reference;
    }

    fn take_reference(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        for (at, &byte) in text.as_bytes().iter().enumerate() {
            match self.reference.with(byte) {
                Some(more) => self.reference = more,
                None => return at + usize::from(self.end_reference(Some(byte), sink)),
            }
        }
        text.len()
    }

    /// Whether `behind`, what follows the reference, belongs to it.
    fn end_reference(&mut self, behind: Option<u8>, sink: &mut Sink<'_>) -> bool {
        self.state = self.content_state();
        self.numbered_letters += u32::from(self.reference.is_numbered_letter());
        if self.numbered_letters == NUMBERED_LETTERS_MIN {
            self.tell(Trick::NumberedLetters, sink);
        }
        let mut text = std::mem::take(&mut self.resolved);
        let whole = self.reference.resolve(Place::Text, behind, &mut text);
        self.say(&text, sink);
        text.clear();
        self.resolved = text;
        whole
    }

    /// The state of content, of markup or not.
    fn content_state(&self) -> State {
        if self.raw.is_some() { State::Raw } else { State::Text }
    }

    fn take_less(&mut self, byte: u8, sink: &mut Sink<'_>) -> usize {
        self.state = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => State::TagName,
            b'/' => State::LessSlash,
            b'!' => State::Markup,
            b'?' => State::Bogus,
            _ => {
                self.say("<", sink);
                State::Text
            }
        };
        self.tag.closing = false;
        self.name = Name::EMPTY;
        usize::from(matches!(byte, b'/' | b'!'))
    }

    fn take_less_slash(&mut self, byte: u8) -> usize {
        self.tag.closing = true;
        self.name = Name::EMPTY;
        self.state = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => State::TagName,
            b'>' => State::Text,
            _ => State::Bogus,
        };
        usize::from(byte == b'>')
    }

    fn take_markup(&mut self, byte: u8) -> usize {
        self.state = match (self.state, byte) {
            (State::Markup, b'-') => State::MarkupDash,
            (State::MarkupDash, b'-') => {
                self.condition = if self.is_outlook { Condition::Plain } else { Condition::Begun(0) };
                State::Comment(Dashes::Begin)
            }
            _ => State::Bogus,
        };
        usize::from(self.state != State::Bogus)
    }

    fn take_bogus(&mut self, text: &str) -> usize {
        match memchr(b'>', text.as_bytes()) {
            Some(end) => {
                self.state = State::Text;
                end + 1
            }
            None => text.len(),
        }
    }

    fn take_comment(&mut self, dashes: Dashes, text: &str, sink: &mut Sink<'_>) -> usize {
        let (dashes, end) = comment_end(dashes, text.as_bytes());
        let taken = end.unwrap_or(text.len());
        self.look_at_comment(before(text, taken), sink);
        match end {
            None => self.state = State::Comment(dashes),
            Some(_) => {
                self.state = State::Text;
                if self.condition != Condition::Outlook {
                    self.word.interrupt(Trick::CommentInWord);
                }
                self.end_outlook(sink);
            }
        }
        taken
    }

    /// Finds out whether Outlook reads the comment, and reads it so.
    fn look_at_comment(&mut self, comment: &str, sink: &mut Sink<'_>) {
        let mut rest = comment;
        while let Condition::Begun(there) = self.condition
            && let Some(&byte) = rest.as_bytes().first()
        {
            self.condition = match CONDITION.get(there) {
                Some(want) if *want == byte.to_ascii_lowercase() => Condition::Begun(there + 1),
                Some(_) => Condition::Plain,
                None => self.begin_outlook(),
            };
            if matches!(self.condition, Condition::Begun(_)) {
                rest = behind(rest, 1);
            }
        }
        if self.condition == Condition::Outlook
            && let Some(mut reader) = self.outlook.take()
        {
            reader.read(rest, &mut |event| self.take_outlook(event, sink));
            reader.out.flush(&mut |event| self.take_outlook(event, sink));
            self.outlook = Some(reader);
        }
    }

    fn begin_outlook(&mut self) -> Condition {
        let reader = self.outlook.get_or_insert_with(|| Box::new(Self { is_outlook: true, ..Self::new() }));
        // What follows up to the next `>` is the condition.
        reader.state = State::Bogus;
        Condition::Outlook
    }

    fn end_outlook(&mut self, sink: &mut Sink<'_>) {
        if std::mem::replace(&mut self.condition, Condition::Plain) == Condition::Outlook
            && let Some(mut reader) = self.outlook.take()
        {
            reader.end(&mut |event| self.take_outlook(event, sink));
            if !reader.out.ends_in_space {
                self.out.line(true, sink);
            }
            reader.begin_anew();
            self.outlook = Some(reader);
        }
    }

    /// Forgets the document, and keeps what was allocated.
    fn begin_anew(&mut self) {
        self.held.clear();
        self.overlong = false;
        self.long_link = LongLink::default();
        self.open.clear();
        self.hidden = None;
        self.raw = None;
        self.out.seen_ends_in_space = true;
        self.out.ends_in_space = true;
        self.word = Word::Outside;
        self.told = 0;
        self.numbered_letters = 0;
    }

    /// What Outlook shows is hidden from the others.
    fn take_outlook(&mut self, event: HtmlEvent<'_>, sink: &mut Sink<'_>) {
        match event {
            HtmlEvent::Text(text) | HtmlEvent::Hidden(text) => {
                if !is_blank(text) {
                    self.tell(Trick::ConditionalText, sink);
                }
                self.out.say(text, true, sink);
            }
            HtmlEvent::Link { target, text } => {
                self.out.flush(sink);
                sink(HtmlEvent::Link { target, text });
            }
            HtmlEvent::Data { .. } => {
                self.out.flush(sink);
                sink(event);
            }
            // The comment ends within the condition's own end tag.
            HtmlEvent::Trick(Trick::Unended) => {}
            HtmlEvent::Trick(trick) => self.tell(trick, sink),
        }
    }

    fn take_raw(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        let Some((name, content)) = self.raw else {
            self.state = State::Text;
            return 0;
        };
        let references = content == Content::Text { references: true };
        let end = memchr2(b'<', if references { b'&' } else { b'<' }, text.as_bytes());
        self.say_raw(name, content, before(text, end.unwrap_or(text.len())), sink);
        match end.and_then(|end| text.as_bytes().get(end)) {
            None => return text.len(),
            Some(b'<') => {
                self.held.push('<');
                self.state = State::RawLess;
            }
            Some(_) => self.begin_reference(),
        }
        end.unwrap_or(text.len()) + 1
    }

    fn say_raw(&mut self, name: Name, content: Content, text: &str, sink: &mut Sink<'_>) {
        if name == STYLE && self.sheet.push(text) {
            self.tell(Trick::StyleSheetHides, sink);
        }
        if matches!(content, Content::Text { .. }) && !text.is_empty() {
            self.say(text, sink);
        }
    }

    fn take_raw_less(&mut self, byte: u8, sink: &mut Sink<'_>) -> usize {
        if byte != b'/' {
            self.stay_raw(sink);
            return 0;
        }
        self.held.push('/');
        self.state = State::RawEnd;
        1
    }

    fn take_raw_end(&mut self, text: &str, sink: &mut Sink<'_>) -> usize {
        let room = RAW_END_BYTES_MAX - self.held.len().min(RAW_END_BYTES_MAX);
        let letters = text.bytes().take(room).take_while(u8::is_ascii_alphanumeric).count();
        self.held.push_str(before(text, letters));
        let name = Name::of(behind(&self.held, 2).as_bytes());
        match text.as_bytes().get(letters) {
            None => {}
            Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0c | b'/' | b'>')
                if self.raw.is_some_and(|(raw, _)| raw == name) =>
            {
                self.held.clear();
                self.raw = None;
                self.tag.closing = true;
                self.tag.begin(name);
                self.state = State::BeforeAttribute;
            }
            Some(_) => self.stay_raw(sink),
        }
        letters
    }

    /// What looked like an end tag is content.
    fn stay_raw(&mut self, sink: &mut Sink<'_>) {
        self.state = State::Raw;
        let mut held = std::mem::take(&mut self.held);
        if let Some((name, content)) = self.raw {
            self.say_raw(name, content, &held, sink);
        }
        held.clear();
        self.held = held;
    }

    /// Text of the document, where we stand.
    fn say(&mut self, text: &str, sink: &mut Sink<'_>) {
        self.out.say(text, self.hidden.is_some(), sink);
        // A trick is told behind the text it is in, wherever that was cut.
        let trick = match self.hidden {
            // A title is where it should be.
            Some(_) if self.raw.is_some_and(|(name, _)| name == TITLE) => None,
            Some(trick) => (!self.is_told(trick) && !is_blank(text)).then_some(trick),
            None => {
                if let Some(link) = &mut self.link {
                    link.show(text);
                }
                self.word.follow(text)
            }
        };
        if let Some(trick) = trick {
            self.tell(trick, sink);
        }
    }

    /// A line ends, at an element that looks like this.
    fn end_line(&mut self, look: Look, sink: &mut Sink<'_>) {
        let hidden = !look.is_in_flow();
        if !hidden {
            self.word = Word::Outside;
            if let Some(link) = &mut self.link {
                link.show(" ");
            }
        }
        self.out.line(hidden, sink);
    }

    /// What stands in an attribute and may be shown, in a line of its own.
    fn say_aside(&mut self, text: &str, sink: &mut Sink<'_>) {
        if !is_blank(text) {
            self.out.line(true, sink);
            self.out.say(text, true, sink);
            self.out.line(true, sink);
        }
    }

    fn is_told(&self, trick: Trick) -> bool {
        self.told & trick.bit() != 0
    }

    /// Tells of a trick, once.
    fn tell(&mut self, trick: Trick, sink: &mut Sink<'_>) {
        if !self.is_told(trick) {
            self.told |= trick.bit();
            self.out.flush(sink);
            sink(HtmlEvent::Trick(trick));
        }
    }

    fn tell_link(&mut self, target: &str, text: &str, sink: &mut Sink<'_>) {
        let target = tag::target(target);
        if !target.is_empty() {
            self.out.flush(sink);
            sink(HtmlEvent::Link { target: &target, text: text.trim() });
        }
    }

    fn end_link(&mut self, sink: &mut Sink<'_>) {
        if let Some(link) = self.link.take() {
            self.tell_link(&link.target, &link.text, sink);
        }
    }

    fn end(&mut self, sink: &mut Sink<'_>) {
        match self.state {
            State::Text => {}
            State::Reference => {
                self.end_reference(None, sink);
            }
            State::Less => self.say("<", sink),
            State::LessSlash => self.say("</", sink),
            State::RawLess | State::RawEnd => self.stay_raw(sink),
            _ => {}
        }
        self.long_link.end(sink);
        // Browsers show nothing of what was not ended; other programs may.
        let unended = !matches!(self.state, State::Text | State::Less | State::LessSlash);
        if unended {
            self.tell(Trick::Unended, sink);
        }
        self.end_outlook(sink);
        self.end_link(sink);
        self.out.flush(sink);
    }
}

const STYLE: Name = Name::of(b"style");
const TITLE: Name = Name::of(b"title");

/// Octets of what may be the end tag of an element whose content is no markup; names are shorter.
const RAW_END_BYTES_MAX: usize = 16;

impl Out {
    fn say(&mut self, text: &str, hidden: bool, sink: &mut Sink<'_>) {
        let Some(last) = text.as_bytes().last() else { return };
        if self.hidden != hidden {
            self.flush(sink);
            self.hidden = hidden;
        }
        self.gather(text, sink);
        self.ends_in_space = last.is_ascii_whitespace();
        if !hidden {
            self.seen_ends_in_space = self.ends_in_space;
        }
    }

    /// Short texts are told together; a long one is neither copied nor held.
    fn gather(&mut self, text: &str, sink: &mut Sink<'_>) {
        if self.text.len() + text.len() > GATHERED_BYTES_MAX {
            self.flush(sink);
        }
        if text.len() > GATHERED_BYTES_MAX {
            return sink(if self.hidden { HtmlEvent::Hidden(text) } else { HtmlEvent::Text(text) });
        }
        self.text.push_str(text);
    }

    /// Ends the line, unless there is white space already.
    fn line(&mut self, hidden: bool, sink: &mut Sink<'_>) {
        if !hidden && !self.seen_ends_in_space {
            self.say("\n", false, sink);
        } else if !self.ends_in_space {
            self.say("\n", true, sink);
        }
    }

    fn flush(&mut self, sink: &mut Sink<'_>) {
        if !self.text.is_empty() {
            sink(if self.hidden { HtmlEvent::Hidden(&self.text) } else { HtmlEvent::Text(&self.text) });
            self.text.clear();
        }
    }
}

fn first(text: &str) -> u8 {
    text.as_bytes().first().copied().unwrap_or_default()
}

/// `text` up to `at`, where an octet of ASCII or its end is.
fn before(text: &str, at: usize) -> &str {
    text.get(..at).unwrap_or_default()
}

fn behind(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

/// Whether nothing is seen of `text` anyway.
fn is_blank(text: &str) -> bool {
    // Most of it is white space between tags, of which this makes vector code.
    let spaces = text.bytes().fold(true, |spaces, byte| spaces & (byte <= b' '));
    spaces || text.chars().all(|character| character.is_whitespace() || word::is_zero_width(character))
}

/// Appends what there is room for; whether that was all.
fn append(text: &str, bytes_max: usize, out: &mut String) -> bool {
    let room = text.floor_char_boundary(bytes_max.saturating_sub(out.len()));
    out.push_str(before(text, room));
    room == text.len()
}

/// Where the comment ends, its `>` included, or how much of its end there is.
fn comment_end(mut dashes: Dashes, comment: &[u8]) -> (Dashes, Option<usize>) {
    let mut at = 0;
    while let Some(&byte) = comment.get(at) {
        dashes = match (dashes, byte) {
            (Dashes::Begin | Dashes::BeginDash | Dashes::Two | Dashes::Bang, b'>') => {
                return (Dashes::None, Some(at + 1));
            }
            (Dashes::Begin, b'-') => Dashes::BeginDash,
            (Dashes::None | Dashes::Bang, b'-') => Dashes::One,
            (_, b'-') => Dashes::Two,
            (Dashes::Two, b'!') => Dashes::Bang,
            _ => Dashes::None,
        };
        at += 1;
        if dashes == Dashes::None {
            at += memchr(b'-', comment.get(at..).unwrap_or_default()).unwrap_or(comment.len() - at);
        }
    }
    (dashes, None)
}

#[cfg(test)]
mod tests;
