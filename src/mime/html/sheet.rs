//! Style sheets in a document, so far as they hide text: which classes and identifiers have a rule that
//! does.
//!
//! CSS Syntax §5.4. Only rules at the top level count, for those within `@media` hold for some readers
//! alone, and only selectors that are one class or identifier, or a list of such.

use super::style::Style;

/// Octets of one rule that are looked at.
const RULE_BYTES_MAX: usize = 1024;
/// Selectors that are remembered, and the longest of them.
const SELECTORS_MAX: usize = 64;
const SELECTOR_BYTES_MAX: usize = 64;

/// What the style sheets of a document say.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    there: bool,
    state: State,
    /// The selectors of the rule under way, or what stands in its place.
    selectors: String,
    declarations: String,
    /// Selectors of rules that hide.
    hiding: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Selectors,
    Declarations,
    /// Within braces of a rule with `@`, so many of them.
    At(u32),
    /// Behind `/`, and in which state.
    Slash(Place),
    Comment(Place),
    CommentStar(Place),
}

/// Where a comment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Selectors,
    Declarations,
    At(u32),
}

impl Place {
    const fn state(self) -> State {
        match self {
            Self::Selectors => State::Selectors,
            Self::Declarations => State::Declarations,
            Self::At(depth) => State::At(depth),
        }
    }
}

impl Sheet {
    /// Whether there is a style sheet.
    pub(super) const fn is_there(&self) -> bool {
        self.there
    }

    pub(super) fn hides_class(&self, class: &str) -> bool {
        self.hides('.', class)
    }

    pub(super) fn hides_id(&self, id: &str) -> bool {
        self.hides('#', id)
    }

    fn hides(&self, sign: char, name: &str) -> bool {
        self.hiding.iter().any(|selector| selector.strip_prefix(sign) == Some(name))
    }

    /// Reads a piece of a style sheet: whether a rule in it hides.
    pub(super) fn push(&mut self, text: &str) -> bool {
        self.there |= !text.is_empty();
        let mut found = false;
        for character in text.chars() {
            found |= self.step(character);
        }
        found
    }

    fn step(&mut self, character: char) -> bool {
        match (self.state, character) {
            (State::Comment(place), '*') => self.state = State::CommentStar(place),
            (State::CommentStar(place), '/') => self.state = place.state(),
            (State::CommentStar(_), '*') | (State::Comment(_), _) => {}
            (State::CommentStar(place), _) => self.state = State::Comment(place),
            (State::Slash(place), '*') => self.state = State::Comment(place),
            (State::Slash(place), _) => {
                self.state = place.state();
                self.take('/');
                return self.step(character);
            }
            (State::Selectors, '/') => self.state = State::Slash(Place::Selectors),
            (State::Declarations, '/') => self.state = State::Slash(Place::Declarations),
            (State::At(depth), '/') => self.state = State::Slash(Place::At(depth)),
            _ => return self.take(character),
        }
        false
    }

    /// Takes a character outside comments: whether it ends a rule that hides.
    fn take(&mut self, character: char) -> bool {
        match (self.state, character) {
            (State::Selectors, '{') if self.selectors.trim_start().starts_with('@') => {
                self.state = State::At(1);
            }
            (State::Selectors, '{') => self.state = State::Declarations,
            // A statement, or the end of more than was begun.
            (State::Selectors, ';' | '}') => self.selectors.clear(),
            (State::Selectors, _) => keep(character, &mut self.selectors),
            (State::Declarations, '}') => return self.end_rule(),
            (State::Declarations, _) => keep(character, &mut self.declarations),
            (State::At(depth), '{') => self.state = State::At(depth.saturating_add(1)),
            (State::At(1), '}') => {
                self.selectors.clear();
                self.state = State::Selectors;
            }
            (State::At(depth), '}') => self.state = State::At(depth - 1),
            _ => {}
        }
        false
    }

    fn end_rule(&mut self) -> bool {
        self.state = State::Selectors;
        let hides = Style::parse(&self.declarations).hides();
        if hides {
            // In quirks mode, which mail is in, case does not count; in mail clients it mostly does.
            for selector in self.selectors.split(',').map(simple) {
                if (2..=SELECTOR_BYTES_MAX).contains(&selector.len()) && self.hiding.len() < SELECTORS_MAX {
                    self.hiding.push(selector.to_owned());
                }
            }
        }
        self.selectors.clear();
        self.declarations.clear();
        hides
    }
}

/// The class or identifier that `selector` is, perhaps of one kind of element; else nothing.
fn simple(selector: &str) -> &str {
    // HTML's own comment signs may stand around a sheet.
    let selector = selector.trim().trim_start_matches("<!--").trim_start();
    let begin = selector.find(['.', '#']).unwrap_or(selector.len());
    let (element, rest) = selector.split_at(begin);
    let name = rest.get(1..).unwrap_or_default();
    let is_name = |name: &str| name.chars().all(|sign| sign.is_alphanumeric() || "-_".contains(sign));
    if is_name(element) && is_name(name) { rest } else { "" }
}

fn keep(character: char, out: &mut String) {
    if out.len() < RULE_BYTES_MAX {
        out.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Sheet, bool) {
        let mut sheet = Sheet::default();
        let (at, mut found) = (text.char_indices().map(|(at, _)| at).nth(text.len() / 3), false);
        let (first, second) = text.split_at(at.unwrap_or(0));
        found |= sheet.push(first);
        found |= sheet.push(second);
        (sheet, found)
    }

    #[test]
    fn rules_that_hide_name_their_classes() {
        let (sheet, found) = read(
            "@import 'x'; body { color: red } .a, p.b /* c */ , #d{disp/* */lay:none!important}\n\
             .e .f, .g:hover, h1 { visibility: hidden } .h{font-size:12px}",
        );
        assert!(found && sheet.is_there());
        assert!(["a", "b"].iter().all(|class| sheet.hides_class(class)) && sheet.hides_id("d"));
        assert!(!["e", "f", "g", "h", "d", "c", ""].iter().any(|class| sheet.hides_class(class)));
    }

    #[test]
    fn rules_for_some_readers_do_not_count() {
        let (sheet, found) = read(
            "@media (max-width:600px) { .a { display:none } .b{} } .c{display:none} @font-face{x:y}.d{opacity:0}",
        );
        assert!(found && sheet.hides_class("c") && sheet.hides_class("d") && !sheet.hides_class("a"));
    }

    #[test]
    fn sheets_are_read_to_a_bound() {
        let (sheet, found) = read(&".a{display:none}".repeat(1000));
        assert!(found && sheet.hiding.len() == SELECTORS_MAX);
        let (sheet, _) = read(&format!("{}{{display:none}}", "x".repeat(100_000)));
        assert_eq!(sheet.selectors.len(), 0);
        let (sheet, _) = read(&"@{".repeat(100_000));
        assert!(sheet.selectors.len() < 10 && sheet.hiding.is_empty());
    }
}
