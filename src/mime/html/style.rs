//! Inline style, so far as it decides whether text is seen.
//!
//! CSS Syntax §5.4.4 (declarations), and what browsers make of the properties that senders hide text
//! with. What is not understood hides nothing.

use super::colour::{self, Colour};
use super::name::Name;

/// What a style says of the text in its element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// `display`: false for `none`.
    pub(super) displayed: Option<bool>,
    pub(super) transparent: bool,
    /// Moved to where nobody sees it.
    pub(super) off_screen: bool,
    /// Cut down to nothing.
    pub(super) collapsed: bool,
    pub(super) visible: Option<bool>,
    pub(super) font: Option<Font>,
    pub(super) colour: Option<Colour>,
    pub(super) background: Option<Background>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Font {
    /// Too small to be seen.
    Tiny,
    /// As large as around it, more or less.
    Relative,
    Readable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Background {
    Rgb([u8; 3]),
    /// A picture, or a colour that is not understood.
    Unknown,
}

/// Styles that were read lately: most documents say the same ones over and over.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Pairs of places, the one used last in front.
    styles: Vec<[(String, Style); 2]>,
}

/// How many pairs of styles are remembered, and the longest of them.
const PAIRS_MAX: usize = 32;
const STYLE_BYTES_MAX: usize = 384;

impl Memory {
    pub(super) fn style(&mut self, text: &str) -> Style {
        if self.styles.is_empty() {
            self.styles.resize_with(PAIRS_MAX, Default::default);
        }
        let place = place(text.as_bytes());
        let Some([one, other]) = self.styles.get_mut(place).filter(|_| text.len() <= STYLE_BYTES_MAX) else {
            return Style::parse(text);
        };
        if one.0 != text {
            std::mem::swap(one, other);
        }
        if one.0 != text {
            one.0.clear();
            one.0.push_str(text);
            one.1 = Style::parse(text);
        }
        one.1
    }
}

/// A number below [`PAIRS_MAX`] by the length of `text` and some of its octets.
fn place(text: &[u8]) -> usize {
    let word = |from: usize| text.get(from..).and_then(|rest| rest.first_chunk::<8>());
    let words = [0, text.len() / 2, text.len().saturating_sub(8)].map(word);
    let words = words.map(|word| word.map_or(0, |word| u64::from_le_bytes(*word)));
    let mixed = words[0].rotate_left(21) ^ words[1].rotate_left(42) ^ words[2] ^ text.len() as u64;
    let [top, ..] = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    usize::from(top) % PAIRS_MAX
}

/// What several declarations say together.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    no_size: bool,
    clipped: bool,
    positioned: bool,
    far: bool,
    cut: bool,
}

impl Style {
    /// The style in `text`, the value of an attribute or what stands between braces.
    pub(super) fn parse(text: &str) -> Self {
        if text.contains(['\\', '/']) && (text.contains('\\') || text.contains("/*")) {
            return Self::parse_plain(&plain(text));
        }
        Self::parse_plain(text)
    }

    fn parse_plain(text: &str) -> Self {
        let (mut style, mut shape) = (Self::default(), Shape::default());
        // Important declarations win, wherever they stand.
        let rounds = if memchr::memchr(b'!', text.as_bytes()).is_some() { 2 } else { 1 };
        for round in 0..rounds {
            for (property, value) in declarations(text) {
                let (value, important) = trimmed(value);
                let property = Name::of(property.as_bytes());
                if (round == 1) == important && !style.take(property, value) {
                    shape.take(property, value);
                }
            }
        }
        style.collapsed = shape.no_size && shape.clipped || shape.cut;
        style.off_screen |= shape.positioned && shape.far;
        style
    }

    /// This style with what `other` says instead.
    pub(super) fn over(self, other: Self) -> Self {
        Self {
            displayed: other.displayed.or(self.displayed),
            transparent: self.transparent || other.transparent,
            off_screen: self.off_screen || other.off_screen,
            collapsed: self.collapsed || other.collapsed,
            visible: other.visible.or(self.visible),
            font: other.font.or(self.font),
            colour: other.colour.or(self.colour),
            background: other.background.or(self.background),
        }
    }

    /// Whether text is hidden by this style alone, whatever is around it.
    pub(super) fn hides(&self) -> bool {
        let gone = self.transparent || self.off_screen || self.collapsed;
        let gone = gone || self.displayed == Some(false);
        let clear = self.colour == Some(Colour::Clear);
        gone || clear || self.visible == Some(false) || self.font == Some(Font::Tiny)
    }

    /// Whether the property is one of those that stand for themselves.
    fn take(&mut self, property: Name, value: &str) -> bool {
        match property {
            COLOUR => self.colour = colour::parse(value).or(self.colour),
            FONT_SIZE => self.font = font_size(value).or(self.font),
            FONT => self.font = value.split_ascii_whitespace().find_map(size_in_font).or(self.font),
            BACKGROUND | BACKGROUND_COLOUR => self.background = background(value).or(self.background),
            DISPLAY => self.displayed = Some(!is(value, "none")),
            VISIBILITY => self.visible = Some(!is(value, "hidden") && !is(value, "collapse")),
            OPACITY => self.transparent = number(value).is_some_and(|(size, _)| size < 0.05),
            FILTER => self.transparent |= holds(value, "opacity(0") || holds(value, "opacity=0)"),
            TEXT_INDENT | MARGIN_LEFT | MARGIN_TOP => self.off_screen |= is_far(value),
            _ => return false,
        }
        true
    }
}

impl Shape {
    fn take(&mut self, property: Name, value: &str) {
        match property {
            HEIGHT | WIDTH | MAX_HEIGHT | MAX_WIDTH => {
                self.no_size |= number(value).is_some_and(|(size, unit)| is_tiny(size, unit));
            }
            OVERFLOW => self.clipped = is(value, "hidden") || is(value, "clip"),
            POSITION => self.positioned = is(value, "absolute") || is(value, "fixed"),
            LEFT | TOP | RIGHT | BOTTOM => self.far |= is_far(value),
            CLIP | CLIP_PATH => self.cut |= holds(value, "rect(0") || holds(value, "inset(100%"),
            TRANSFORM => self.cut |= holds(value, "scale(0)") || holds(value, "translate(-9"),
            _ => {}
        }
    }
}

const COLOUR: Name = Name::of(b"color");
const FONT_SIZE: Name = Name::of(b"font-size");
const FONT: Name = Name::of(b"font");
const BACKGROUND: Name = Name::of(b"background");
const BACKGROUND_COLOUR: Name = Name::of(b"background-color");
const DISPLAY: Name = Name::of(b"display");
const VISIBILITY: Name = Name::of(b"visibility");
const OPACITY: Name = Name::of(b"opacity");
const FILTER: Name = Name::of(b"filter");
const TEXT_INDENT: Name = Name::of(b"text-indent");
const MARGIN_LEFT: Name = Name::of(b"margin-left");
const MARGIN_TOP: Name = Name::of(b"margin-top");
const HEIGHT: Name = Name::of(b"height");
const WIDTH: Name = Name::of(b"width");
const MAX_HEIGHT: Name = Name::of(b"max-height");
const MAX_WIDTH: Name = Name::of(b"max-width");
const OVERFLOW: Name = Name::of(b"overflow");
const POSITION: Name = Name::of(b"position");
const LEFT: Name = Name::of(b"left");
const TOP: Name = Name::of(b"top");
const RIGHT: Name = Name::of(b"right");
const BOTTOM: Name = Name::of(b"bottom");
const CLIP: Name = Name::of(b"clip");
const CLIP_PATH: Name = Name::of(b"clip-path");
const TRANSFORM: Name = Name::of(b"transform");

/// Property and value of each declaration, in order. What has no colon is left out.
fn declarations(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (declaration, behind) = rest.split_at(declaration_len(rest.as_bytes()));
            rest = behind.get(1..).unwrap_or_default();
            if let Some((property, value)) = declaration.split_once(':') {
                return Some((property.trim_ascii(), value));
            }
        }
        None
    })
}

/// The value without white space around it and without `!important`, and whether that was there.
fn trimmed(value: &str) -> (&str, bool) {
    let value = value.trim_ascii();
    match value.rsplit_once('!') {
        Some((value, mark)) if is(mark.trim_ascii(), "important") => (value.trim_ascii_end(), true),
        _ => (value, false),
    }
}

/// How far it is to the semicolon that ends the declaration: not one within quotes or parentheses.
fn declaration_len(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += match byte {
            b';' => return at,
            b'"' | b'\'' => len_to(text, at, byte),
            b'(' => len_to(text, at, b')'),
            _ => 1,
        };
    }
    text.len()
}

/// How far it is from what opens to behind `close`, or to the end.
fn len_to(text: &[u8], at: usize, close: u8) -> usize {
    let behind = text.get(at + 1..).unwrap_or_default();
    memchr::memchr(close, behind).map_or(behind.len(), |len| len + 1) + 1
}

/// `text` without comments and with its escapes resolved: CSS Syntax §4.3.2, §4.3.7.
fn plain(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(['/', '\\']) {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        rest = match behind.strip_prefix("/*") {
            Some(comment) => comment.split_once("*/").map_or("", |(_, rest)| rest),
            None if behind.starts_with('/') => {
                out.push('/');
                &behind[1..]
            }
            None => unescaped(&behind[1..], &mut out),
        };
    }
    out.push_str(rest);
    out
}

/// Appends what stands behind a backslash, and gives the rest.
fn unescaped<'a>(text: &'a str, out: &mut String) -> &'a str {
    let digits = text.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
    let (number, rest) = text.split_at(digits);
    match u32::from_str_radix(number, 16) {
        Ok(number) => {
            out.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
            rest.strip_prefix([' ', '\t', '\n']).unwrap_or(rest)
        }
        // The character itself comes with what follows.
        Err(_) => {
            out.extend(rest.chars().next());
            let mut rest = rest.chars();
            rest.next();
            rest.as_str()
        }
    }
}

fn is(value: &str, word: &str) -> bool {
    value.eq_ignore_ascii_case(word)
}

fn holds(value: &str, what: &str) -> bool {
    let value: String = value.chars().filter(|sign| !sign.is_ascii_whitespace()).collect();
    value.to_ascii_lowercase().contains(what)
}

/// A number and its unit.
fn number(value: &str) -> Option<(f32, &str)> {
    let end = value.find(|sign: char| !sign.is_ascii_digit() && !"+-.".contains(sign));
    let (number, unit) = value.split_at(end.unwrap_or(value.len()));
    Some((number.parse().ok()?, unit.trim_ascii()))
}

/// Whether this much of a unit is less than can be seen.
fn is_tiny(size: f32, unit: &str) -> bool {
    match unit.len() {
        _ if size <= 0.0 => true,
        0 => size <= 1.5,
        1 => is(unit, "%") && size <= 10.0,
        _ if is(unit, "px") || is(unit, "pt") => size <= 1.5,
        _ if is(unit, "em") || is(unit, "rem") => size <= 0.1,
        _ => false,
    }
}

fn font_size(value: &str) -> Option<Font> {
    let Some((size, unit)) = number(value) else {
        let relative = ["inherit", "unset", "smaller", "larger"].iter().any(|word| is(value, word));
        return Some(if relative { Font::Relative } else { Font::Readable });
    };
    Some(match unit {
        _ if is_tiny(size, unit) => Font::Tiny,
        "%" => Font::Relative,
        _ if is(unit, "em") => Font::Relative,
        _ => Font::Readable,
    })
}

/// The size in one word of the `font` property: what has a unit, or a line height behind it.
fn size_in_font(word: &str) -> Option<Font> {
    let (size, has_height) = word.split_once('/').map_or((word, false), |(size, _)| (size, true));
    let (_, unit) = number(size)?;
    (has_height || !unit.is_empty() || size == "0").then(|| font_size(size))?
}

fn background(value: &str) -> Option<Background> {
    if value.is_empty() || is(value, "none") || is(value, "inherit") {
        return None;
    }
    match colour::parse(value) {
        Some(Colour::Rgb(rgb)) => Some(Background::Rgb(rgb)),
        Some(Colour::Clear) => None,
        None if value.contains('(') => Some(Background::Unknown),
        None => value.split_ascii_whitespace().find_map(colour::parse).and_then(|found| match found {
            Colour::Rgb(rgb) => Some(Background::Rgb(rgb)),
            Colour::Clear => None,
        }),
    }
}

fn is_far(value: &str) -> bool {
    let far = |(size, unit): (f32, &str)| match unit {
        "%" | "em" | "rem" | "vw" | "vh" => size <= -100.0 || size >= 1000.0,
        _ => !(-900.0..9000.0).contains(&size),
    };
    number(value).is_some_and(far)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Style) {
        assert_eq!(Style::parse(text), want, "{text}");
    }

    #[test]
    fn ordinary_styles_hide_nothing() {
        for text in [
            "",
            "font-family:Arial,'x;y',sans-serif; line-height:0; padding:0;margin:0 auto;border:0",
            "height:0;width:0",
            "overflow:hidden;max-height:20px",
            "left:-9999px",
            "display:block; display:inline",
            "font-size:12px;font-size:1.2em",
            "text-indent:-20px; margin-left:-1px",
            "x:url(;display:none;);y:';display:none'",
            "display",
            "content: \"display:none\"",
            "display:none;display:block",
            "display:block!important;display:none",
        ] {
            assert!(!Style::parse(text).hides(), "{text}");
        }
    }

    #[test]
    fn each_way_of_hiding_is_known() {
        let none = Style::default();
        for text in [
            "display:none",
            "DISPLAY : NONE !important",
            "a:b;display:none;",
            "dis/*x*/play:none",
            "d\\69splay:non\\65 ",
            "color:(;display:none",
            "display:none/**/",
            "x:';';display:none",
        ] {
            let hidden = Style::parse(text).displayed == Some(false);
            assert_eq!(hidden, text != "color:(;display:none", "{text}");
        }
        check("visibility: hidden", Style { visible: Some(false), ..none });
        check("visibility: visible", Style { visible: Some(true), ..none });
        check("opacity:0.00", Style { transparent: true, ..none });
        check("filter: alpha( opacity = 0 )", Style { transparent: true, ..none });
        check("text-indent:-9999px", Style { off_screen: true, ..none });
        check("position:absolute;left:-5000px", Style { off_screen: true, ..none });
        check("max-height:0;overflow:hidden", Style { collapsed: true, ..none });
        check("width:1px;height:1px;overflow: hidden", Style { collapsed: true, ..none });
        check("clip: rect(0, 0, 0, 0)", Style { collapsed: true, ..none });
        check("color:transparent", Style { colour: Some(Colour::Clear), ..none });
    }

    #[test]
    fn font_sizes_are_tiny_relative_or_readable() {
        for (text, font) in [
            ("font-size:0", Font::Tiny),
            ("font-size:1px", Font::Tiny),
            ("font-size:0.01em", Font::Tiny),
            ("font-size:-1px", Font::Tiny),
            ("font:0/0 a", Font::Tiny),
            ("font: bold 1px/2 Arial", Font::Tiny),
            ("font-size:1em", Font::Relative),
            ("font-size:90%", Font::Relative),
            ("font-size:inherit", Font::Relative),
            ("font-size:12PX", Font::Readable),
            ("font-size:medium", Font::Readable),
            ("font:700 14px/20px Arial", Font::Readable),
        ] {
            check(text, Style { font: Some(font), ..Style::default() });
        }
        check("font:bold Arial", Style::default());
    }

    #[test]
    fn backgrounds_are_known_or_not() {
        let of = |background| Style { background, ..Style::default() };
        check("background:#fff", of(Some(Background::Rgb([255; 3]))));
        check("background:no-repeat white", of(Some(Background::Rgb([255; 3]))));
        check("background-color:black", of(Some(Background::Rgb([0; 3]))));
        check("background:#fff url(x.png)", of(Some(Background::Unknown)));
        check("background:transparent", of(None));
    }
}
