//! A TOML document read by asking for keys; every fault is noted with its place, and reading goes on.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Fault, Origin};
use crate::base::suggestion::suggestion;

/// The faults of one file, and where its lines start.
#[derive(Debug)]
pub(super) struct Notes<'a> {
    file: Arc<str>,
    text: &'a str,
    lines: Vec<usize>,
    faults: RefCell<Vec<(usize, String)>>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(file: &str, text: &'a str) -> Self {
        let starts = memchr::memchr_iter(b'\n', text.as_bytes()).map(|newline| newline + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        Self { file: file.into(), text, lines, faults: RefCell::default() }
    }

    pub(super) fn fault(&self, offset: usize, message: impl Into<String>) {
        self.faults.borrow_mut().push((offset, message.into()));
    }

    /// In the order of the file.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.take();
        faults.sort();
        faults.dedup();
        faults.into_iter().map(|(offset, message)| self.origin(offset).fault(message)).collect()
    }

    /// Line and column, both from 1; the column counts characters.
    fn origin(&self, offset: usize) -> Origin {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).map_or(0, |text| text.chars().count());
        Origin { file: Arc::clone(&self.file), line, column: before + 1 }
    }
}

/// One value and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    value: &'a Spanned<DeValue<'a>>,
    notes: &'a Notes<'a>,
}

impl<'a> Item<'a> {
    pub(super) fn origin(self) -> Origin {
        self.notes.origin(self.value.span().start)
    }

    pub(super) fn fault(self, message: impl Into<String>) {
        self.notes.fault(self.value.span().start, message);
    }

    pub(super) fn text(self) -> Option<&'a str> {
        self.or_expected(self.value.get_ref().as_str(), "a string")
    }

    /// A whole number in `range`.
    pub(super) fn count(self, range: RangeInclusive<u32>) -> Option<u32> {
        let integer = self.or_expected(self.value.get_ref().as_integer(), "a whole number")?;
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.fault(format!("{integer} is out of range: {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A number in `range`, with a fraction or without.
    pub(super) fn number(self, range: RangeInclusive<f64>) -> Option<f64> {
        let value = self.value.get_ref();
        let text = value.as_float().map(|float| float.as_str());
        let text = text.or_else(|| value.as_integer().map(|integer| integer.as_str()));
        let text = self.or_expected(text, "a number")?;
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

    /// The elements of an array that has one at least, and no more than `max`.
    pub(super) fn some_elements(self, max: usize) -> Vec<Self> {
        let Some(array) = self.or_expected(self.value.get_ref().as_array(), "an array") else {
            return Vec::new();
        };
        if array.is_empty() || array.len() > max {
            self.fault(format!("{} elements are out of range: 1 to {max}", array.len()));
        }
        array.iter().take(max).map(|value| Self { value, notes: self.notes }).collect()
    }

    /// The value as a table called `name` in messages.
    pub(super) fn table(self, name: &'static str) -> Option<Table<'a>> {
        let table = self.or_expected(self.value.get_ref().as_table(), "a table")?;
        Some(Table { table, name, offset: self.value.span().start, notes: self.notes, known: Vec::new() })
    }

    fn or_expected<T>(self, value: Option<T>, what: &str) -> Option<T> {
        if value.is_none() {
            self.fault(format!("expected {what}, found {}", type_name(self.value.get_ref())));
        }
        value
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
pub(super) struct Table<'a> {
    table: &'a DeTable<'a>,
    name: &'static str,
    offset: usize,
    notes: &'a Notes<'a>,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// The whole document.
    pub(super) fn root(table: &'a DeTable<'a>, notes: &'a Notes<'a>) -> Self {
        Self { table, name: "", offset: 0, notes, known: Vec::new() }
    }

    pub(super) fn item(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        let (notes, value) = (self.notes, self.table.get(key)?);
        Some(Item { value, notes })
    }

    /// A key without which nothing works.
    pub(super) fn required(&mut self, key: &'static str) -> Option<Item<'a>> {
        let item = self.item(key);
        if item.is_none() {
            self.fault(format!("`{key}` is missing{}", self.place()));
        }
        item
    }

    /// All of `[[key]]`; none is well.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Self> {
        let Some(item) = self.item(key) else { return Vec::new() };
        if item.value.get_ref().is_table() {
            item.fault(format!("write [[{key}]] with two brackets: there may be several"));
            return Vec::new();
        }
        item.some_elements(usize::MAX).into_iter().filter_map(|element| element.table(key)).collect()
    }

    /// Reports keys that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys().filter(|key| !self.known.contains(&key.get_ref().as_ref())) {
            let (name, nearest) = (key.get_ref(), suggestion(key.get_ref(), &self.known));
            let message = format!("unknown key `{}`{}{nearest}", name.escape_debug(), self.place());
            self.notes.fault(key.span().start, message);
        }
    }

    /// A fault of the table as a whole.
    pub(super) fn fault(&self, message: impl Into<String>) {
        self.notes.fault(self.offset, message);
    }

    fn place(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!(" in {}", self.name) }
    }
}
