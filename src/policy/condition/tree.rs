//! A checked expression: one enum for each type, so that a type error cannot be written down.

use std::collections::BTreeSet;

use super::vocabulary::{FlagFact, ItemFlag, ItemInt, ItemText, ListFact, NumberFact, TextFact};
use crate::policy::lists::ListIndex;

/// True or false.
#[derive(Debug)]
pub(super) enum Flag {
    Known(bool),
    Fact(FlagFact),
    Item(Item, ItemFlag),
    Not(Box<Self>),
    Both(Box<[Self; 2]>),
    Either(Box<[Self; 2]>),
    Choice(Box<[Self; 3]>),
    Alike(Box<[Self; 2]>),
    SameText(Box<[Text; 2]>),
    OrderText(Order, Box<[Text; 2]>),
    Order(Order, Box<[Number; 2]>),
    Search(Search, Box<[Text; 2]>),
    OneOf(Text, BTreeSet<String>),
    OneOfNumbers(Box<Number>, Vec<Number>),
    /// A text is an element of a list of texts.
    Among(Text, ListFact),
    Listed(Text, ListIndex),
    HasSymbol(Text),
    HasHeader(String),
    Loop(Quantifier, Range, Box<Self>),
}

/// How two values may stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Same,
    Other,
    Less,
    LessOrSame,
    More,
    MoreOrSame,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Exists,
    All,
    ExistsOne,
}

/// What a loop runs over: the elements of a list that pass all filters, each put into `slot`.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) list: ListFact,
    pub(super) slot: usize,
    pub(super) filters: Vec<Flag>,
}

#[derive(Debug)]
pub(super) enum Number {
    Int(i64),
    Double(f64),
    Fact(NumberFact),
    Item(Item, ItemInt),
    /// The score that a symbol has in this configuration.
    SymbolScore(Item),
    Length(Box<Text>),
    Size(Range),
    Calculated(Operator, Box<[Self; 2]>),
    Choice(Box<(Flag, [Self; 2])>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug)]
pub(super) enum Text {
    Literal(String),
    Fact(TextFact),
    Item(Item, ItemText),
    /// An element of a list of texts.
    Slot(usize),
    Header(String),
    Lower(Box<Self>),
    Choice(Box<(Flag, [Self; 2])>),
}

/// An element of a list, or a symbol.
#[derive(Debug)]
pub(super) enum Item {
    Slot(usize),
    At(ListFact, Box<Number>),
    Symbol(Box<Text>),
}
