//! From the parsed expression to a checked one: every name is known, every type fits.
//!
//! What the language of `when` leaves out of CEL: `map` (ask with `exists`), `matches` (a pattern
//! does it while the bytes pass, and its symbol is a fact), maps, bytes, timestamps and conversions.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, Expr, LiteralValue, SelectExpr, SourceInfo, operators};
use cel::{Env, IdedExpr, ParseErrors};

use super::tree::{Flag, Item, Number, Operator, Order, Quantifier, Range, Search, Text};
use super::vocabulary::{self, Field, Holds, ItemKind, ItemText, ListFact, NumberFact, TextFact};
use super::{Fault, Phase, Reads, Scope};
use crate::base::suggestion::suggestion;
use crate::limits::{LOOP_DEPTH_MAX, WHEN_BYTES_MAX, WHEN_DEPTH_MAX};
use crate::policy::lists::{ListIndex, ListKind};
use crate::policy::symbol;

/// Brackets within brackets. The parser's stack grows with each by some ten kilobytes, by far more
/// in a build without optimisation, which is why Cargo.toml optimises it in every profile.
const BRACKETS_MAX: u16 = 32;

/// Functions and macros that exist here.
const FUNCTIONS: [&str; 11] = [
    "all",
    "contains",
    "endsWith",
    "exists",
    "exists_one",
    "existsOne",
    "filter",
    "has",
    "lowerAscii",
    "size",
    "startsWith",
];

pub(super) fn compile(source: &str, scope: Scope<'_>) -> Result<(Flag, Phase, Reads), Vec<Fault>> {
    if source.len() > WHEN_BYTES_MAX {
        return Err(vec![Fault { offset: 0, message: format!("longer than {WHEN_BYTES_MAX} bytes") }]);
    }
    // Without CEL's macros the tree is the text: `exists` stays one call instead of a fold.
    let parser = Env::default().with_optional_support(false).parser().max_recursion_depth(BRACKETS_MAX);
    let parsed = parser.parse_with_source_info(source);
    let (tree, places) = parsed.map_err(|errors| syntax_faults(source, &errors))?;
    let mut checker = Checker::new(scope, &places);
    let root = checker.flag(&tree);
    let mut faults = checker.faults;
    faults.sort_by_key(|fault| fault.offset);
    faults.dedup();
    match root {
        Some(root) if faults.is_empty() => Ok((root, checker.phase, checker.reads)),
        _ => Err(faults),
    }
}

/// The first fault of syntax; those behind it are its echo.
fn syntax_faults(source: &str, errors: &ParseErrors) -> Vec<Fault> {
    let Some(first) = errors.errors.first() else { return vec![fault(0, "not an expression")] };
    let deep = errors.errors.iter().any(|error| error.msg.contains("Recursion limit"));
    let message = first.msg.split(" expecting ").next().unwrap_or_default();
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let message = if deep { "nested too deeply" } else { message };
    vec![fault(offset_of(source, first.pos), message)]
}

/// The byte at a line and column that count characters from 1.
fn offset_of(source: &str, (line, column): (isize, isize)) -> usize {
    let index = |number: isize| usize::try_from(number - 1).unwrap_or(0);
    let before: usize = source.split_inclusive('\n').take(index(line)).map(str::len).sum();
    let rest = source.get(before..).unwrap_or_default();
    before + rest.char_indices().nth(index(column)).map_or(rest.len(), |(offset, _)| offset)
}

fn fault(offset: usize, message: &str) -> Fault {
    Fault { offset, message: message.to_owned() }
}

/// What a part of an expression is.
#[derive(Debug)]
enum Value {
    Flag(Flag),
    Text(Text),
    Int(Number),
    Double(Number),
    Item(Item, ItemKind),
    Range(Range),
    /// A list that is written out.
    Texts(BTreeSet<String>),
    Numbers(Vec<Number>),
    Headers,
    Lists,
    List(ListIndex, String),
    /// The first part of several facts' names.
    Group(String),
}

impl Value {
    /// What people are told it is.
    fn noun(&self) -> String {
        match self {
            Self::Flag(_) => "true or false".to_owned(),
            Self::Text(_) => "text".to_owned(),
            Self::Int(_) => "a whole number".to_owned(),
            Self::Double(_) => "a number with a fraction".to_owned(),
            Self::Item(_, kind) => kind.noun().to_owned(),
            Self::Range(_) | Self::Texts(_) | Self::Numbers(_) => "a list".to_owned(),
            Self::Headers => "all header fields".to_owned(),
            Self::Lists | Self::List(..) => "a named list, which can only stand behind `in`".to_owned(),
            Self::Group(name) => {
                format!("a group of facts ({})", vocabulary::names_in(name).join(", "))
            }
        }
    }

    fn number(self) -> Result<Number, Self> {
        match self {
            Self::Int(number) | Self::Double(number) => Ok(number),
            other => Err(other),
        }
    }
}

#[derive(Debug)]
struct Checker<'a> {
    scope: Scope<'a>,
    places: &'a SourceInfo,
    faults: Vec<Fault>,
    /// Variables of the loops around us; a variable's place is its slot.
    variables: Vec<(String, ListFact)>,
    depth: usize,
    phase: Phase,
    reads: Reads,
}

/// `None` anywhere below means that the fault has been told.
impl<'a> Checker<'a> {
    fn new(scope: Scope<'a>, places: &'a SourceInfo) -> Self {
        Self {
            scope,
            places,
            faults: Vec::new(),
            variables: Vec::new(),
            depth: 0,
            phase: Phase::Connect,
            reads: Reads::default(),
        }
    }

    fn offset(&self, expr: &IdedExpr) -> usize {
        self.places.offset_for(expr.id).map_or(0, |(start, _)| start as usize)
    }

    fn fault<T>(&mut self, expr: &IdedExpr, message: impl Into<String>) -> Option<T> {
        self.faults.push(Fault { offset: self.offset(expr), message: message.into() });
        None
    }

    fn expected<T>(&mut self, expr: &IdedExpr, what: &str, found: &Value) -> Option<T> {
        self.fault(expr, format!("expected {what}, found {}", found.noun()))
    }

    fn flag(&mut self, expr: &IdedExpr) -> Option<Flag> {
        match self.value(expr)? {
            Value::Flag(flag) => Some(flag),
            other => self.expected(expr, "true or false", &other),
        }
    }

    fn text(&mut self, expr: &IdedExpr) -> Option<Text> {
        match self.value(expr)? {
            Value::Text(text) => Some(text),
            other => self.expected(expr, "text", &other),
        }
    }

    fn value(&mut self, expr: &IdedExpr) -> Option<Value> {
        if self.depth == WHEN_DEPTH_MAX {
            return self.fault(expr, "nested too deeply");
        }
        self.depth += 1;
        let value = match &expr.expr {
            Expr::Literal(literal) => self.literal(expr, literal),
            Expr::Ident(name) => self.ident(expr, name),
            Expr::Select(select) => self.select(expr, select),
            Expr::Call(call) => self.call(expr, call),
            Expr::List(list) => self.list(expr, &list.elements),
            Expr::Map(_) | Expr::Struct(_) => self.fault(expr, "maps are not known here"),
            Expr::Comprehension(_) | Expr::Unspecified => self.fault(expr, "not an expression"),
        };
        self.depth -= 1;
        value
    }

    fn literal(&mut self, expr: &IdedExpr, literal: &LiteralValue) -> Option<Value> {
        match literal {
            LiteralValue::Boolean(flag) => Some(Value::Flag(Flag::Known(*flag.inner()))),
            LiteralValue::String(text) => Some(Value::Text(Text::Literal(text.inner().to_owned()))),
            LiteralValue::Int(int) => Some(Value::Int(Number::Int(*int.inner()))),
            LiteralValue::Double(double) => Some(Value::Double(Number::Double(*double.inner()))),
            LiteralValue::UInt(int) => self.fault(expr, format!("write {} without `u`", int.inner())),
            LiteralValue::Bytes(_) | LiteralValue::Null => {
                self.fault(expr, "facts are never bytes or null; what is not known is \"unknown\"")
            }
        }
    }

    /// A list that is written out: texts, or numbers.
    fn list(&mut self, expr: &IdedExpr, elements: &[IdedExpr]) -> Option<Value> {
        let mut texts = BTreeSet::new();
        let mut numbers = Vec::new();
        for element in elements {
            match self.value(element)? {
                Value::Text(Text::Literal(text)) => drop(texts.insert(text)),
                Value::Int(number @ Number::Int(_)) | Value::Double(number @ Number::Double(_)) => {
                    numbers.push(number);
                }
                other => return self.expected(element, "a text or number that is written out", &other),
            }
        }
        match (texts.is_empty(), numbers.is_empty()) {
            (_, true) => Some(Value::Texts(texts)),
            (true, false) => Some(Value::Numbers(numbers)),
            (false, false) => self.fault(expr, "a list holds texts or numbers, not both"),
        }
    }

    fn ident(&mut self, expr: &IdedExpr, name: &str) -> Option<Value> {
        if let Some(slot) = self.variables.iter().rposition(|(variable, _)| variable == name) {
            let kind = self.variables[slot].1.item();
            return Some(match kind {
                ItemKind::Text => Value::Text(Text::Slot(slot)),
                _ => Value::Item(Item::Slot(slot), kind),
            });
        }
        if let Some(fact) = vocabulary::find(name) {
            return Some(self.fact(fact));
        }
        if !vocabulary::names_in(name).is_empty() {
            return Some(Value::Group(name.to_owned()));
        }
        let mut known = vocabulary::names_in("");
        known.extend(self.variables.iter().map(|(variable, _)| variable.as_str()));
        let message = format!("there is no fact `{name}`{}", suggestion(name, &known));
        self.fault(expr, message)
    }

    fn fact(&mut self, fact: &vocabulary::Fact) -> Value {
        self.phase = self.phase.max(fact.phase);
        self.reads.content |= fact.needs_inspection();
        match fact.holds {
            Holds::Flag(flag) => Value::Flag(Flag::Fact(flag)),
            Holds::Text(text) => Value::Text(Text::Fact(text)),
            Holds::Number(NumberFact::Score) => {
                self.reads.score = true;
                Value::Double(Number::Fact(NumberFact::Score))
            }
            Holds::Number(number) => Value::Int(Number::Fact(number)),
            Holds::List(list) => {
                self.reads.attachments |= list == ListFact::Attachments;
                self.reads.urls |= list == ListFact::Urls;
                self.reads.symbols |= list == ListFact::Symbols;
                Value::Range(Range { list, slot: self.variables.len(), filters: Vec::new() })
            }
            Holds::Headers => Value::Headers,
            Holds::Lists => Value::Lists,
        }
    }

    fn select(&mut self, expr: &IdedExpr, select: &SelectExpr) -> Option<Value> {
        let operand = self.value(&select.operand)?;
        let name = select.field.as_str();
        match operand {
            Value::Group(group) => self.fact_in(expr, &group, name),
            Value::Item(item, kind) => self.field(expr, item, kind, name),
            Value::Range(Range { list: ListFact::Symbols, .. }) => {
                let symbol = Text::Literal(name.to_owned());
                self.symbol(expr, symbol)
            }
            Value::Headers => Some(self.header(name)),
            Value::Lists => self.named_list(expr, name),
            other => self.fault(expr, format!("{} has no `{name}`", other.noun())),
        }
    }

    fn fact_in(&mut self, expr: &IdedExpr, group: &str, name: &str) -> Option<Value> {
        if let Some(fact) = vocabulary::find(&format!("{group}.{name}")) {
            return Some(self.fact(fact));
        }
        let known = vocabulary::names_in(group);
        self.fault(expr, format!("there is no fact `{group}.{name}`{}", suggestion(name, &known)))
    }

    fn field(&mut self, expr: &IdedExpr, item: Item, kind: ItemKind, name: &str) -> Option<Value> {
        let Some((_, field)) = kind.fields().iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = kind.fields().iter().map(|(known, _)| *known).collect();
            return self.fault(expr, format!("{} has no `{name}`{}", kind.noun(), suggestion(name, &known)));
        };
        self.reads.digests |= *field == Field::Text(ItemText::Sha256);
        Some(match *field {
            Field::Flag(flag) => Value::Flag(Flag::Item(item, flag)),
            Field::Text(text) => Value::Text(Text::Item(item, text)),
            Field::Int(int) => Value::Int(Number::Item(item, int)),
            Field::SymbolScore => Value::Double(Number::SymbolScore(item)),
        })
    }

    fn symbol(&mut self, expr: &IdedExpr, name: Text) -> Option<Value> {
        self.check_symbol(expr, &name)?;
        Some(Value::Item(Item::Symbol(Box::new(name)), ItemKind::Symbol))
    }

    /// A symbol that is named must be one that can be found.
    fn check_symbol(&mut self, expr: &IdedExpr, name: &Text) -> Option<()> {
        let (Text::Literal(name), Some(symbols)) = (name, self.scope.symbols) else { return Some(()) };
        match symbol::unknown(name, symbols) {
            None => Some(()),
            Some(message) => self.fault(expr, message),
        }
    }

    fn header(&mut self, name: &str) -> Value {
        let name = name.to_ascii_lowercase();
        self.reads.headers.insert(name.clone());
        Value::Text(Text::Header(name))
    }

    fn named_list(&mut self, expr: &IdedExpr, name: &str) -> Option<Value> {
        if let Some(index) = self.scope.lists.find(name) {
            return Some(Value::List(index, name.to_owned()));
        }
        let known: Vec<_> = self.scope.lists.names().collect();
        let hint = if known.is_empty() { "; [lists] has none".to_owned() } else { suggestion(name, &known) };
        self.fault(expr, format!("there is no list `{name}`{hint}"))
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Option<Value> {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, None, [one]) => {
                self.flag(one).map(|flag| Value::Flag(Flag::Not(Box::new(flag))))
            }
            (operators::NEGATE, None, [one]) => self.negated(one),
            (operators::LOGICAL_AND | operators::LOGICAL_OR, None, [left, right]) => {
                let (left, right) = (self.flag(left), self.flag(right));
                let both = Box::new([left?, right?]);
                let is_and = name == operators::LOGICAL_AND;
                Some(Value::Flag(if is_and { Flag::Both(both) } else { Flag::Either(both) }))
            }
            (operators::CONDITIONAL, None, [condition, yes, no]) => self.choice(expr, condition, yes, no),
            (operators::INDEX, None, [operand, index]) => self.index(expr, operand, index),
            (operators::IN, None, [element, set]) => self.membership(expr, element, set),
            (_, None, [left, right]) if order(name).is_some() => {
                self.comparison(expr, order(name)?, left, right)
            }
            (_, None, [left, right]) if operator(name).is_some() => {
                self.arithmetic(expr, operator(name)?, left, right)
            }
            _ => self.function(expr, call),
        }
    }

    fn function(&mut self, expr: &IdedExpr, call: &CallExpr) -> Option<Value> {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            ("has", None, [fact]) => self.presence(expr, fact),
            ("size", Some(value), []) | ("size", None, [value]) => self.size(value),
            ("lowerAscii", Some(text), []) => {
                self.text(text).map(|text| Value::Text(Text::Lower(Box::new(text))))
            }
            ("filter", Some(list), [variable, body]) => self.filter(expr, list, variable, body),
            (_, Some(list), [variable, body]) if quantifier(name).is_some() => {
                self.looped(expr, quantifier(name)?, list, variable, body)
            }
            (_, Some(text), [part]) if search(name).is_some() => {
                let (text, part) = (self.text(text), self.text(part));
                Some(Value::Flag(Flag::Search(search(name)?, Box::new([text?, part?]))))
            }
            ("matches", ..) => self.fault(
                expr,
                "there is no `matches`: write a [[pattern]] and ask for its symbol, it costs nothing here",
            ),
            ("map", ..) => self.fault(
                expr,
                "there is no `map`: ask with `exists`, as in attachments.exists(a, a.kind == …)",
            ),
            _ if FUNCTIONS.contains(&name) => self.fault(expr, format!("`{name}` is not used like this")),
            _ => self.fault(expr, format!("there is no function `{name}`{}", suggestion(name, &FUNCTIONS))),
        }
    }

    fn negated(&mut self, expr: &IdedExpr) -> Option<Value> {
        let negate = |zero, number| Number::Calculated(Operator::Subtract, Box::new([zero, number]));
        match self.value(expr)? {
            Value::Int(number) => Some(Value::Int(negate(Number::Int(0), number))),
            Value::Double(number) => Some(Value::Double(negate(Number::Double(0.0), number))),
            other => self.expected(expr, "a number", &other),
        }
    }

    fn choice(
        &mut self,
        expr: &IdedExpr,
        condition: &IdedExpr,
        yes: &IdedExpr,
        no: &IdedExpr,
    ) -> Option<Value> {
        let (condition, yes, no) = (self.flag(condition), self.value(yes), self.value(no));
        let condition = condition?;
        match (yes?, no?) {
            (Value::Flag(yes), Value::Flag(no)) => {
                Some(Value::Flag(Flag::Choice(Box::new([condition, yes, no]))))
            }
            (Value::Text(yes), Value::Text(no)) => {
                Some(Value::Text(Text::Choice(Box::new((condition, [yes, no])))))
            }
            (Value::Int(yes), Value::Int(no)) => {
                Some(Value::Int(Number::Choice(Box::new((condition, [yes, no])))))
            }
            (Value::Double(yes), Value::Double(no)) => {
                Some(Value::Double(Number::Choice(Box::new((condition, [yes, no])))))
            }
            (yes, no) => {
                self.fault(expr, format!("both sides must be of one type: {} : {}", yes.noun(), no.noun()))
            }
        }
    }

    /// `list[0]`, `symbols["NAME"]`, `message.headers["name"]`.
    fn index(&mut self, expr: &IdedExpr, operand: &IdedExpr, index: &IdedExpr) -> Option<Value> {
        let (operand, place) = (self.value(operand), self.value(index));
        match (operand?, place?) {
            (Value::Range(Range { list: ListFact::Symbols, .. }), Value::Text(name)) => {
                self.symbol(index, name)
            }
            (Value::Headers, Value::Text(Text::Literal(name))) => Some(self.header(&name)),
            (Value::Headers, _) => self.fault(index, "the name of a header field must be written out"),
            (Value::Range(range), Value::Int(place)) if !range.filters.is_empty() => {
                let _ = place;
                self.fault(expr, "elements of a filtered list have no numbers; ask with `exists`")
            }
            (Value::Range(range), Value::Int(place)) => match range.list.item() {
                ItemKind::Text => self.fault(expr, "ask with `in` or `exists`: the order says nothing"),
                kind => Some(Value::Item(Item::At(range.list, Box::new(place)), kind)),
            },
            (operand, place) => {
                let message = format!("{} cannot be indexed by {}", operand.noun(), place.noun());
                self.fault(expr, message)
            }
        }
    }

    fn membership(&mut self, expr: &IdedExpr, element: &IdedExpr, set: &IdedExpr) -> Option<Value> {
        let (element_value, set_value) = (self.value(element), self.value(set));
        let flag = match (element_value?, set_value?) {
            (Value::Text(text), Value::Texts(texts)) => {
                self.check_kinds(expr, &text, texts.iter().map(String::as_str))?;
                Flag::OneOf(text, texts)
            }
            (Value::Int(number) | Value::Double(number), Value::Numbers(numbers)) => {
                Flag::OneOfNumbers(Box::new(number), numbers)
            }
            (Value::Text(text), Value::List(index, name)) => {
                self.check_list(element, &text, index, &name)?;
                Flag::Listed(text, index)
            }
            (Value::Text(text), Value::Range(Range { list: ListFact::Symbols, filters, .. }))
                if filters.is_empty() =>
            {
                self.check_symbol(element, &text)?;
                Flag::HasSymbol(text)
            }
            (Value::Text(text), Value::Range(Range { list, filters, .. }))
                if list.item() == ItemKind::Text && filters.is_empty() =>
            {
                Flag::Among(text, list)
            }
            (Value::Text(Text::Literal(name)), Value::Headers) => {
                self.header(&name);
                Flag::HasHeader(name.to_ascii_lowercase())
            }
            (element, set) => {
                let message = format!("{} cannot be looked for in {}", element.noun(), set.noun());
                return self.fault(expr, message);
            }
        };
        Some(Value::Flag(flag))
    }

    /// A list of networks holds addresses of clients, and nothing else does.
    fn check_list(&mut self, expr: &IdedExpr, text: &Text, index: ListIndex, name: &str) -> Option<()> {
        let is_ip = matches!(text, Text::Fact(TextFact::Ip));
        match self.scope.lists.kind(index) {
            Some(ListKind::Networks) if !is_ip => {
                self.fault(expr, format!("lists.{name} holds networks: only client.ip can be in it"))
            }
            Some(kind) if is_ip && !matches!(kind, ListKind::Networks | ListKind::Names) => {
                self.fault(expr, format!("lists.{name} holds {}: client.ip is never in it", kind.name()))
            }
            _ => Some(()),
        }
    }

    /// A kind that no file can have is a slip of the pen.
    fn check_kinds<'t>(
        &mut self,
        expr: &IdedExpr,
        text: &Text,
        mut literals: impl Iterator<Item = &'t str>,
    ) -> Option<()> {
        let kinds = self.scope.kinds;
        if !matches!(text, Text::Item(_, ItemText::Kind)) || kinds.is_empty() {
            return Some(());
        }
        match literals.find(|name| !kinds.contains(name)) {
            Some(name) => self.fault(expr, format!("no file is of kind `{name}`{}", suggestion(name, kinds))),
            None => Some(()),
        }
    }

    fn comparison(
        &mut self,
        expr: &IdedExpr,
        order: Order,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Option<Value> {
        let (left, right) = (self.value(left), self.value(right));
        let flag = match (left?, right?) {
            (Value::Text(left), Value::Text(right)) => {
                if let Text::Literal(name) = &right {
                    self.check_kinds(expr, &left, std::iter::once(name.as_str()))?;
                }
                let pair = Box::new([left, right]);
                match order {
                    Order::Same => Flag::SameText(pair),
                    Order::Other => Flag::Not(Box::new(Flag::SameText(pair))),
                    _ => Flag::OrderText(order, pair),
                }
            }
            (Value::Flag(left), Value::Flag(right)) if matches!(order, Order::Same | Order::Other) => {
                let same = Flag::Alike(Box::new([left, right]));
                if order == Order::Same { same } else { Flag::Not(Box::new(same)) }
            }
            (left, right) => match (left.number(), right.number()) {
                (Ok(left), Ok(right)) => Flag::Order(order, Box::new([left, right])),
                (Ok(_), Err(right)) => return self.incomparable(expr, "a number", &right.noun()),
                (Err(left), Ok(_)) => return self.incomparable(expr, &left.noun(), "a number"),
                (Err(left), Err(right)) => return self.incomparable(expr, &left.noun(), &right.noun()),
            },
        };
        Some(Value::Flag(flag))
    }

    fn incomparable<T>(&mut self, expr: &IdedExpr, left: &str, right: &str) -> Option<T> {
        self.fault(expr, format!("{left} cannot be compared with {right} in this way"))
    }

    fn arithmetic(
        &mut self,
        expr: &IdedExpr,
        operator: Operator,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Option<Value> {
        let (left, right) = (self.value(left), self.value(right));
        match (left?, right?) {
            (Value::Int(left), Value::Int(right)) => {
                Some(Value::Int(Number::Calculated(operator, Box::new([left, right]))))
            }
            (Value::Double(left), Value::Double(right)) if operator != Operator::Remainder => {
                Some(Value::Double(Number::Calculated(operator, Box::new([left, right]))))
            }
            (left @ (Value::Int(_) | Value::Double(_)), right @ (Value::Int(_) | Value::Double(_))) => {
                let message = format!(
                    "{} and {} do not mix here; write 1 with 1, or 1.0 with 1.0",
                    left.noun(),
                    right.noun()
                );
                self.fault(expr, message)
            }
            (left, right) => {
                self.fault(expr, format!("no arithmetic with {} and {}", left.noun(), right.noun()))
            }
        }
    }

    /// `has(x.y)`. Facts are never absent, so it asks for symbols and header fields only.
    fn presence(&mut self, expr: &IdedExpr, fact: &IdedExpr) -> Option<Value> {
        if !matches!(fact.expr, Expr::Select(_)) {
            return self.fault(expr, "`has` takes a name with a dot, as in has(symbols.NAME)");
        }
        Some(Value::Flag(match self.value(fact)? {
            Value::Item(Item::Symbol(name), _) => Flag::HasSymbol(*name),
            Value::Text(Text::Header(name)) => Flag::HasHeader(name),
            _ => Flag::Known(true),
        }))
    }

    fn size(&mut self, expr: &IdedExpr) -> Option<Value> {
        match self.value(expr)? {
            Value::Text(text) => Some(Value::Int(Number::Length(Box::new(text)))),
            Value::Range(range) => Some(Value::Int(Number::Size(range))),
            other => self.expected(expr, "a list or text", &other),
        }
    }

    fn filter(
        &mut self,
        expr: &IdedExpr,
        list: &IdedExpr,
        variable: &IdedExpr,
        body: &IdedExpr,
    ) -> Option<Value> {
        let (mut range, body) = self.bound(expr, list, variable, body)?;
        range.filters.push(body);
        Some(Value::Range(range))
    }

    fn looped(
        &mut self,
        expr: &IdedExpr,
        quantifier: Quantifier,
        list: &IdedExpr,
        variable: &IdedExpr,
        body: &IdedExpr,
    ) -> Option<Value> {
        let (range, body) = self.bound(expr, list, variable, body)?;
        Some(Value::Flag(Flag::Loop(quantifier, range, Box::new(body))))
    }

    /// The list of a loop, and its body with the variable bound.
    fn bound(
        &mut self,
        expr: &IdedExpr,
        list: &IdedExpr,
        variable: &IdedExpr,
        body: &IdedExpr,
    ) -> Option<(Range, Flag)> {
        let range = match self.value(list)? {
            Value::Range(range) => range,
            other => return self.expected(list, "a list of facts", &other),
        };
        let Expr::Ident(name) = &variable.expr else {
            return self.fault(variable, "expected the name of a variable");
        };
        if self.variables.len() == LOOP_DEPTH_MAX {
            return self.fault(expr, format!("loops within loops go {LOOP_DEPTH_MAX} deep, not deeper"));
        }
        self.variables.push((name.clone(), range.list));
        let body = self.flag(body);
        self.variables.pop();
        Some((range, body?))
    }
}

fn order(name: &str) -> Option<Order> {
    Some(match name {
        operators::EQUALS => Order::Same,
        operators::NOT_EQUALS => Order::Other,
        operators::LESS => Order::Less,
        operators::LESS_EQUALS => Order::LessOrSame,
        operators::GREATER => Order::More,
        operators::GREATER_EQUALS => Order::MoreOrSame,
        _ => return None,
    })
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        _ => return None,
    })
}

fn search(name: &str) -> Option<Search> {
    Some(match name {
        "contains" => Search::Contains,
        "startsWith" => Search::StartsWith,
        "endsWith" => Search::EndsWith,
        _ => return None,
    })
}

fn quantifier(name: &str) -> Option<Quantifier> {
    Some(match name {
        "exists" => Quantifier::Exists,
        "all" => Quantifier::All,
        "exists_one" | "existsOne" => Quantifier::ExistsOne,
        _ => return None,
    })
}
