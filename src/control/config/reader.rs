//! A TOML document read by asking for keys; every fault is collected with its place.
//!
//! Nothing here stops at the first error: a value that is wrong becomes `None`, the fault is noted,
//! and reading goes on. A [`Section`] learns its known keys from the questions it is asked, so the
//! list of what is known cannot differ from what is read.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::unit;
use crate::base::suggestion::suggestion;

/// What is wrong, and at which byte of the file.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) message: String,
}

/// All faults of one file.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    pub(super) fn add(&self, offset: usize, message: impl Into<String>) {
        self.0.borrow_mut().push(Fault { offset, message: message.into() });
    }

    /// `file:line:column: message` for each, in the order of the file.
    pub(super) fn into_lines(self, file: &str, source: &str) -> Vec<String> {
        let mut faults = self.0.into_inner();
        faults.sort_by_key(|fault| fault.offset);
        let line = |fault: Fault| format!("{file}:{}: {}", position(source, fault.offset), fault.message);
        let mut lines: Vec<_> = faults.into_iter().map(line).collect();
        lines.dedup();
        lines
    }
}

/// `line:column`, both from 1; the column counts characters.
pub(super) fn position(source: &str, offset: usize) -> String {
    let before = &source.as_bytes()[..offset.min(source.len())];
    let start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    format!("{line}:{}", String::from_utf8_lossy(&before[start..]).chars().count() + 1)
}

/// One value and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    value: &'a Spanned<DeValue<'a>>,
    faults: &'a Faults,
}

impl<'a> Item<'a> {
    pub(super) fn offset(self) -> usize {
        self.value.span().start
    }

    pub(super) fn fault(self, message: impl Into<String>) {
        self.faults.add(self.offset(), message);
    }

    /// A fault at byte `within` of the string. Told at its start where escapes make the string
    /// differ from its text in `source`.
    pub(super) fn fault_within(self, source: &str, within: usize, message: impl Into<String>) {
        let text = self.as_text().unwrap_or_default();
        let written = source.get(self.value.span()).and_then(|written| written.find(text));
        let place = written.map_or(0, |start| start + within);
        self.faults.add(self.offset() + place, message);
    }

    /// The string, or nothing if it is something else. No fault: for values of several types.
    pub(super) fn as_text(self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    pub(super) fn is_table(self) -> bool {
        self.value.get_ref().is_table()
    }

    pub(super) fn text(self) -> Option<&'a str> {
        let text = self.as_text();
        if text.is_none() {
            self.expected("a string");
        }
        text
    }

    /// A string that `read` understands.
    pub(super) fn parse<T>(self, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        read(self.text()?).map_err(|message| self.fault(message)).ok()
    }

    pub(super) fn flag(self) -> Option<bool> {
        let flag = self.value.get_ref().as_bool();
        if flag.is_none() {
            self.expected("true or false");
        }
        flag
    }

    /// A whole number in `range`.
    pub(super) fn count<T: TryFrom<u64>>(self, range: RangeInclusive<u64>) -> Option<T> {
        let number = self.integer()?;
        self.within(number, range)
    }

    /// `"128KiB"`, or a number of bytes, in `range`.
    pub(super) fn size<T: TryFrom<u64>>(self, range: RangeInclusive<u64>) -> Option<T> {
        let bytes = if self.value.get_ref().is_integer() { self.integer()? } else { self.parse(unit::size)? };
        self.within(bytes, range)
    }

    /// `"500B/s"`, or a number of bytes a second.
    pub(super) fn rate(self) -> Option<u64> {
        if self.value.get_ref().is_integer() { self.integer() } else { self.parse(unit::rate) }
    }

    pub(super) fn duration(self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = self.parse(unit::duration)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        self.fault(format!("{duration:?} is out of range: {:?} to {:?}", range.start(), range.end()));
        None
    }

    /// A whole number or a fraction in `range`.
    pub(super) fn number(self, range: RangeInclusive<f64>) -> Option<f64> {
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
    pub(super) fn choice<T: Copy>(self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.fault(format!("`{}` is not known here{}", text.escape_debug(), suggestion(text, &names)));
        }
        found
    }

    /// The elements of an array.
    pub(super) fn elements(self) -> Vec<Self> {
        let Some(array) = self.value.get_ref().as_array() else {
            self.expected("an array");
            return Vec::new();
        };
        array.iter().map(|value| Self { value, faults: self.faults }).collect()
    }

    /// The elements of an array that may not be empty: at least one of `what`.
    pub(super) fn some_elements(self, what: &str) -> Vec<Self> {
        if self.value.get_ref().as_array().is_some_and(|array| array.is_empty()) {
            self.fault(format!("at least one {what} is needed"));
        }
        self.elements()
    }

    /// The elements that `read` understands.
    pub(super) fn list<T>(self, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        self.elements().into_iter().filter_map(|item| item.parse(&read)).collect()
    }

    /// The value as a table called `name` in messages.
    pub(super) fn section(self, name: &'static str) -> Option<Section<'a>> {
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
pub(super) struct Section<'a> {
    table: &'a DeTable<'a>,
    name: &'static str,
    offset: usize,
    faults: &'a Faults,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub(super) fn root(table: &'a DeTable<'a>, faults: &'a Faults) -> Self {
        Self { table, name: "", offset: 0, faults, known: Vec::new() }
    }

    pub(super) fn item(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        let (faults, value) = (self.faults, self.table.get(key)?);
        Some(Item { value, faults })
    }

    /// A key without which nothing works.
    pub(super) fn required(&mut self, key: &'static str) -> Option<Item<'a>> {
        let item = self.item(key);
        if item.is_none() {
            self.fault(format!("`{key}` is missing{}", self.place()));
        }
        item
    }

    /// The table of `key`, if it is there.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Self> {
        self.item(key)?.section(key)
    }

    /// All of `[[key]]`, of which there must be one; `why` says what for.
    pub(super) fn sections(&mut self, key: &'static str, why: &str) -> Vec<Self> {
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
    pub(super) fn optional_sections(&mut self, key: &'static str) -> Vec<Self> {
        self.known.push(key);
        if self.table.contains_key(key) { self.sections(key, "") } else { Vec::new() }
    }

    /// All keys and values of a table whose keys are names.
    pub(super) fn entries(self) -> Vec<(&'a str, Item<'a>)> {
        let faults = self.faults;
        let entries = self.table.iter();
        let mut entries: Vec<_> =
            entries.map(|(key, value)| (key.get_ref().as_ref(), Item { value, faults })).collect();
        entries.sort_by_key(|(_, item)| item.offset());
        entries
    }

    /// A key that other versions may have: a fault if it is there.
    pub(super) fn absent(&mut self, key: &'static str) {
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
    pub(super) fn finish(self) {
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
    pub(super) fn fault(&self, message: impl Into<String>) {
        self.faults.add(self.offset, message);
    }

    /// A fault of the value of `key`, or of the section if it has none.
    pub(super) fn fault_at(&self, key: &str, message: impl Into<String>) {
        let offset = self.table.get(key).map_or(self.offset, |value| value.span().start);
        self.faults.add(offset, message);
    }

    fn place(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!(" in {}", self.name) }
    }
}
