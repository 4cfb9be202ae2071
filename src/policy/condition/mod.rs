//! What stands behind `when`: a CEL expression over facts that is true or false.
//!
//! The `cel` crate reads the language; `check` gives every part of the expression its type against
//! the table of facts in `vocabulary`, once for each configuration; `evaluate` then only looks facts
//! up. So an unknown name, a comparison that cannot be and a loop that could run long are faults of
//! the file, told with their place, and cannot happen to a message. (CEL's own interpreter is the
//! oracle of the tests: it gives the same answers, fifty times slower.)
//!
//! Facts come bit by bit. An expression can be asked at any time, and answers with true or false
//! only if nothing to come can change that: see [`Undecided::NotYet`].
//!
//! Invariants: evaluation cannot panic, allocates nothing but for `lowerAscii`, and visits at most
//! [`VISITS_MAX`](crate::limits::VISITS_MAX) elements of lists.

mod check;
mod evaluate;
mod tree;
mod vocabulary;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::lists::Lists;

pub use evaluate::World;

/// How far a transaction is: which facts are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Connect,
    Helo,
    Mail,
    /// All recipients are known: content may come.
    Rcpt,
    /// Content is coming; what was found so far is known.
    Content,
    /// The last byte of content was seen.
    End,
}

/// What is wrong with an expression, at which byte of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub offset: usize,
    pub message: String,
}

/// Names that an expression may use beside those of the facts.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pub lists: &'a Lists,
    /// All symbols that can be found; `None` lets any name pass.
    pub symbols: Option<&'a BTreeSet<String>>,
    /// All kinds that a file can be of; none lets any name pass.
    pub kinds: &'a [&'a str],
}

/// What an expression looks at, so that nobody finds out what nobody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Names of header fields, in lower case.
    pub headers: BTreeSet<String>,
    /// Anything that only inspection of the content finds.
    pub content: bool,
    pub attachments: bool,
    /// Digests of attachments: they cost more than all else.
    pub digests: bool,
    pub urls: bool,
    pub symbols: bool,
    pub score: bool,
}

impl Reads {
    pub fn merge(&mut self, other: &Self) {
        self.headers.extend(other.headers.iter().cloned());
        self.content |= other.content;
        self.attachments |= other.attachments;
        self.digests |= other.digests;
        self.urls |= other.urls;
        self.symbols |= other.symbols;
        self.score |= other.score;
    }
}

/// An expression that was checked, ready to be asked.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Shared by all who hold the configuration; it never changes.
    root: Arc<tree::Flag>,
    phase: Phase,
    reads: Reads,
}

impl Condition {
    /// Reads and checks `source`.
    ///
    /// # Errors
    /// All faults, in the order of the text.
    pub fn compile(source: &str, scope: Scope<'_>) -> Result<Self, Vec<Fault>> {
        let (root, phase, reads) = check::compile(source, scope)?;
        Ok(Self { root: Arc::new(root), phase, reads })
    }

    /// When all facts that it reads are final.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    pub const fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Whether it is true of `world`.
    ///
    /// # Errors
    /// Why that cannot be told. As in CEL, `false && …` and `true || …` are told all the same.
    pub fn holds(&self, world: &World<'_>) -> Result<bool, Undecided> {
        evaluate::holds(&self.root, world)
    }
}

/// Why an expression is neither true nor false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// It depends on what is still to come.
    NotYet,
    /// A number left the range of its type.
    Overflow,
    DivisionByZero,
    /// A list has no such element.
    OutOfRange,
    /// It visited as many elements as it may.
    TooCostly,
}

impl Undecided {
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotYet => "not_yet",
            Self::Overflow => "overflow",
            Self::DivisionByZero => "division_by_zero",
            Self::OutOfRange => "out_of_range",
            Self::TooCostly => "too_costly",
        }
    }
}

#[cfg(test)]
mod tests;
