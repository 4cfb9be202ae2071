//! A TOML document read by asking for keys; every fault is collected with its place.
//!
//! Nothing here stops at the first error: a value that is wrong becomes `None`, the fault is noted,
//! and reading goes on. A [`Section`] learns its known keys from the questions it is asked, so the
//! list of what is known cannot differ from what is read.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::quantity;
use super::suggestion::suggestion;

/// Line and column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub position: Position,
    pub message: String,
}

/// All faults of one text, and where its lines start.
#[derive(Debug)]
pub struct Faults<'a> {
    text: &'a str,
    lines: Vec<usize>,
    found: RefCell<Vec<(usize, String)>>,
}

impl<'a> Faults<'a> {
    pub fn new(text: &'a str) -> Self {
        let starts = memchr::memchr_iter(b'\n', text.as_bytes()).map(|newline| newline + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        Self { text, lines, found: RefCell::default() }
    }

    /// `offset`: at which byte of the text.
    pub fn add(&self, offset: usize, message: impl Into<String>) {
        self.found.borrow_mut().push((offset, message.into()));
    }

    /// In the order of the text, each once.
    pub fn into_list(self) -> Vec<Fault> {
        let mut found = self.found.take();
        found.sort_by_key(|(offset, _)| *offset);
        found.dedup();
        let fault = |(offset, message)| Fault { position: self.position(offset), message };
        found.into_iter().map(fault).collect()
    }

    pub fn position(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset.min(self.text.len()));
        Position { line, column: before.map_or(0, |text| text.chars().count()) + 1 }
    }
}

/// One value and its place.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    value: &'a Spanned<DeValue<'a>>,
    faults: &'a Faults<'a>,
}

impl<'a> Item<'a> {
    pub fn position(self) -> Position {
        self.faults.position(self.offset())
    }

    pub fn fault(self, message: impl Into<String>) {
        self.faults.add(self.offset(), message);
    }

    /// A fault at byte `within` of the string. Told at its start where escapes make the string
    /// differ from what is written.
    pub fn fault_within(self, within: usize, message: impl Into<String>) {
        let text = self.as_text().unwrap_or_default();
        let written = self.faults.text.get(self.value.span()).and_then(|written| written.find(text));
        let place = written.map_or(0, |start| start + within);
        self.faults.add(self.offset() + place, message);
    }

    /// The string, or nothing if it is something else. No fault: for values of several types.
    pub fn as_text(self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    pub fn is_table(self) -> bool {
        self.value.get_ref().is_table()
    }

    pub fn text(self) -> Option<&'a str> {
        let text = self.as_text();
        if text.is_none() {
            self.expected("a string");
        }
        text
    }

    /// A string that `read` understands.
    pub fn parse<T>(self, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        read(self.text()?).map_err(|message| self.fault(message)).ok()
    }

    pub fn flag(self) -> Option<bool> {
        let flag = self.value.get_ref().as_bool();
        if flag.is_none() {
            self.expected("true or false");
        }
        flag
    }

    /// A whole number in `range`.
    pub fn count<T: TryFrom<u64>>(self, range: RangeInclusive<u64>) -> Option<T> {
        let number = self.integer()?;
        self.within(number, range)
    }

    /// `"128KiB"`, or a number of bytes, in `range`.
    pub fn size<T: TryFrom<u64>>(self, range: RangeInclusive<u64>) -> Option<T> {
        let bytes =
            if self.value.get_ref().is_integer() { self.integer()? } else { self.parse(quantity::size)? };
        self.within(bytes, range)
    }

    /// `"500B/s"`, or a number of bytes a second.
    pub fn rate(self) -> Option<u64> {
        if self.value.get_ref().is_integer() { self.integer() } else { self.parse(quantity::rate) }
    }

    pub fn duration(self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = self.parse(quantity::duration)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        self.fault(format!("{duration:?} is out of range: {:?} to {:?}", range.start(), range.end()));
        None
    }

    /// A whole number or a fraction in `range`.
    pub fn number(self, range: RangeInclusive<f64>) -> Option<f64> {
        let text = match self.value.get_ref() {
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            _ => {
                self.expected("a number");
                return None;
            }
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.fault(format!("{text} is out of range: {} to {}", range.start(), range.end()));
        }
        number
    }

    /// One of `choices`.
    pub fn choice<T: Copy>(self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.fault(format!("`{}` is not known here{}", text.escape_debug(), suggestion(text, &names)));
        }
        found
    }

    /// The elements of an array.
    pub fn elements(self) -> Vec<Self> {
        let Some(array) = self.value.get_ref().as_array() else {
            self.expected("an array");
            return Vec::new();
        };
        array.iter().map(|value| Self { value, faults: self.faults }).collect()
    }

    /// The elements of an array that may not be empty: at least one of `what`.
    pub fn some_elements(self, what: &str) -> Vec<Self> {
        if self.value.get_ref().as_array().is_some_and(|array| array.is_empty()) {
            self.fault(format!("at least one {what} is needed"));
        }
        self.elements()
    }

    /// The elements of an array that has one at least, and no more than `max`.
    pub fn elements_up_to(self, max: usize) -> Vec<Self> {
        let elements = self.elements();
        if self.value.get_ref().is_array() && !(1..=max).contains(&elements.len()) {
            self.fault(format!("{} elements are out of range: 1 to {max}", elements.len()));
        }
        elements.into_iter().take(max).collect()
    }

    /// The elements that `read` understands.
    pub fn list<T>(self, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        self.elements().into_iter().filter_map(|item| item.parse(&read)).collect()
    }

    /// The value as a table called `name` in messages.
    pub fn section(self, name: &'static str) -> Option<Section<'a>> {
        let Some(table) = self.value.get_ref().as_table() else {
            self.expected("a table");
            return None;
        };
        Some(Section { table, name, offset: self.offset(), faults: self.faults, known: Vec::new() })
    }

    fn integer(self) -> Option<u64> {
        let Some(integer) = self.value.get_ref().as_integer() else {
            self.expected("a whole number");
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        if number.is_none() {
            self.fault(format!("{integer} is out of range"));
        }
        number
    }

    fn within<T: TryFrom<u64>>(self, number: u64, range: RangeInclusive<u64>) -> Option<T> {
        let value = T::try_from(number).ok().filter(|_| range.contains(&number));
        if value.is_none() {
            self.fault(format!("{number} is out of range: {} to {}", range.start(), range.end()));
        }
        value
    }

    fn offset(self) -> usize {
        self.value.span().start
    }

    fn expected(self, what: &str) {
        self.fault(format!("expected {what}, found {}", type_name(self.value.get_ref())));
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A table that is asked key by key; [`finish`](Self::finish) reports what was never asked for.
#[derive(Debug)]
pub struct Section<'a> {
    table: &'a DeTable<'a>,
    name: &'static str,
    offset: usize,
    faults: &'a Faults<'a>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub fn root(table: &'a DeTable<'a>, faults: &'a Faults<'a>) -> Self {
        Self { table, name: "", offset: 0, faults, known: Vec::new() }
    }

    pub fn item(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        let (faults, value) = (self.faults, self.table.get(key)?);
        Some(Item { value, faults })
    }

    /// A key without which nothing works.
    pub fn required(&mut self, key: &'static str) -> Option<Item<'a>> {
        let item = self.item(key);
        if item.is_none() {
            self.fault(format!("`{key}` is missing{}", self.place()));
        }
        item
    }

    /// The table of `key`, if it is there.
    pub fn section(&mut self, key: &'static str) -> Option<Self> {
        self.item(key)?.section(key)
    }

    /// All of `[[key]]`, of which there must be one; `why` says what for.
    pub fn sections(&mut self, key: &'static str, why: &str) -> Vec<Self> {
        let Some(item) = self.item(key) else {
            self.fault(format!("at least one [[{key}]] is needed{why}"));
            return Vec::new();
        };
        if item.is_table() {
            item.fault(format!("write [[{key}]] with two brackets: there may be several"));
            return Vec::new();
        }
        item.some_elements(key).into_iter().filter_map(|element| element.section(key)).collect()
    }

    /// All of `[[key]]`, of which there may be none.
    pub fn optional_sections(&mut self, key: &'static str) -> Vec<Self> {
        self.known.push(key);
        if self.table.contains_key(key) { self.sections(key, "") } else { Vec::new() }
    }

    /// All keys and values of a table whose keys are names.
    pub fn entries(self) -> Vec<(&'a str, Item<'a>)> {
        let faults = self.faults;
        let entries = self.table.iter();
        let mut entries: Vec<_> =
            entries.map(|(key, value)| (key.get_ref().as_ref(), Item { value, faults })).collect();
        entries.sort_by_key(|(_, item)| item.offset());
        entries
    }

    /// A key that other versions may have: a fault if it is there.
    pub fn absent(&mut self, key: &'static str) {
        self.known.push(key);
        if let Some((key, value)) = self.table.get_key_value(key) {
            let name = match value.get_ref() {
                DeValue::Array(_) => format!("[[{}]]", key.get_ref()),
                DeValue::Table(_) => format!("[{}]", key.get_ref()),
                _ => format!("`{}`", key.get_ref()),
            };
            self.faults.add(key.span().start, format!("{name} is not available in this version"));
        }
    }

    /// Reports keys that nobody asked for.
    pub fn finish(self) {
        for key in self.table.keys().filter(|key| !self.known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            let message = format!(
                "unknown key `{}`{}{}",
                name.escape_debug(),
                self.place(),
                suggestion(name, &self.known)
            );
            self.faults.add(key.span().start, message);
        }
    }

    /// A fault of the section as a whole.
    pub fn fault(&self, message: impl Into<String>) {
        self.faults.add(self.offset, message);
    }

    /// A fault of the value of `key`, or of the section if it has none.
    pub fn fault_at(&self, key: &str, message: impl Into<String>) {
        let offset = self.table.get(key).map_or(self.offset, |value| value.span().start);
        self.faults.add(offset, message);
    }

    fn place(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!(" in {}", self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said about `text` by whoever asks for `a`, a number up to 9.
    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        let (document, faults) = (DeTable::parse(text).unwrap(), Faults::new(text));
        let mut root = Section::root(document.get_ref(), &faults);
        let _: Option<u8> = root.required("a").and_then(|item| item.count(0..=9));
        root.finish();
        let told =
            faults.into_list().into_iter().map(|fault| format!("{} {}", fault.position, fault.message));
        assert_eq!(told.collect::<Vec<_>>(), want, "{text}");
    }

    #[test]
    fn faults_stand_where_they_are_in_order() {
        check("a = 9", &[]);
        check(
            "# \u{e9}\nwords = 1\n  a = 10\n",
            &["2:1 unknown key `words`; known: a", "3:7 10 is out of range: 0 to 9"],
        );
        check("\"\u{e9}cole\" = 1", &["1:1 `a` is missing", "1:1 unknown key `\u{e9}cole`; known: a"]);
        check(
            "\"\u{e9}cole\" = { a = 1 }\na = ''",
            &["1:1 unknown key `\u{e9}cole`; known: a", "2:5 expected a whole number, found a string"],
        );
    }

    #[test]
    fn a_position_counts_characters() {
        let faults = Faults::new("\u{e9}\u{e9}x\n\ny");
        let at = |offset| faults.position(offset).to_string();
        assert_eq!([0, 2, 4, 5, 6, 7, 8].map(at), ["1:1", "1:2", "1:3", "1:4", "2:1", "3:1", "3:2"]);
    }

    #[test]
    fn a_fault_that_is_told_twice_is_one() {
        let faults = Faults::new("x");
        faults.add(0, "a");
        faults.add(0, "a");
        assert_eq!(faults.into_list().len(), 1);
    }
}
