//! The answer of a checked expression about the facts as they stand.
//!
//! Three-valued: `&&`, `||`, `exists` and `all` are told by one side or element where that is
//! enough, whatever the others are, which is CEL's rule for errors and ours for what is still to
//! come. A number that can only grow is compared by what it has reached.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::tree::{Flag, Item, Number, Operator, Order, Quantifier, Range, Search, Text};
use super::vocabulary::{FlagFact, ItemFlag, ItemInt, ItemText, ListFact, NumberFact, TextFact};
use super::{Phase, Undecided};
use crate::limits::{LOOP_DEPTH_MAX, VISITS_MAX};
use crate::policy::facts::{Attachment, Facts, Known, Signature, Url};
use crate::policy::lists::Lists;
use crate::policy::score::Scores;
use crate::policy::symbol::Symbol;

/// What an expression is asked about.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    pub facts: &'a Facts,
    pub lists: &'a Lists,
    pub scores: &'a Scores,
    /// The sum over the symbols of `facts`.
    pub score: f64,
    pub phase: Phase,
}

type Answer<T> = Result<T, Undecided>;

pub(super) fn holds(root: &Flag, world: &World<'_>) -> Answer<bool> {
    Evaluation { world, slots: [Element::None; LOOP_DEPTH_MAX], visits_left: VISITS_MAX }.flag(root)
}

/// An element of a list.
#[derive(Clone, Copy, Debug)]
enum Element<'a> {
    None,
    Text(&'a str),
    Signature(&'a Signature),
    Attachment(&'a Attachment),
    Url(&'a Url),
    /// A symbol that was found, or `None` for one that was not.
    Symbol(Option<&'a Symbol>),
}

/// A number, and why it may be more than that, if it may.
#[derive(Clone, Copy, Debug)]
struct Amount {
    value: Value,
    pending: Option<Undecided>,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Int(i64),
    Double(f64),
}

impl Amount {
    const fn final_int(value: i64) -> Self {
        Self { value: Value::Int(value), pending: None }
    }

    fn count(count: impl TryInto<i64>, grows: bool) -> Self {
        let pending = grows.then_some(Undecided::NotYet);
        Self { value: Value::Int(count.try_into().unwrap_or(i64::MAX)), pending }
    }

    /// The value, if it is final.
    fn settled(self) -> Answer<Value> {
        self.pending.map_or(Ok(self.value), Err)
    }
}

struct Evaluation<'a, 'w> {
    world: &'w World<'a>,
    slots: [Element<'a>; LOOP_DEPTH_MAX],
    visits_left: u32,
}

impl<'a> Evaluation<'a, '_> {
    fn flag(&mut self, flag: &'a Flag) -> Answer<bool> {
        match flag {
            Flag::Known(flag) => Ok(*flag),
            Flag::Fact(fact) => self.flag_fact(*fact),
            Flag::Item(item, field) => self.item_flag(item, *field),
            Flag::Not(flag) => self.flag(flag).map(|flag| !flag),
            Flag::Both(pair) => self.told_by(false, pair),
            Flag::Either(pair) => self.told_by(true, pair),
            Flag::Choice(branches) => {
                let [condition, yes, no] = &**branches;
                if self.flag(condition)? { self.flag(yes) } else { self.flag(no) }
            }
            Flag::Alike(pair) => Ok(self.flag(&pair[0])? == self.flag(&pair[1])?),
            Flag::SameText(pair) => Ok(self.text(&pair[0])? == self.text(&pair[1])?),
            Flag::OrderText(order, pair) => {
                let ordering = self.text(&pair[0])?.cmp(&self.text(&pair[1])?);
                Ok(order.holds(ordering))
            }
            Flag::Order(order, pair) => {
                let (left, right) = (self.number(&pair[0])?, self.number(&pair[1])?);
                compared(*order, left, right)
            }
            Flag::Search(search, pair) => {
                let (text, part) = (self.text(&pair[0])?, self.text(&pair[1])?);
                Ok(match search {
                    Search::Contains => memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some(),
                    Search::StartsWith => text.starts_with(&*part),
                    Search::EndsWith => text.ends_with(&*part),
                })
            }
            Flag::OneOf(text, texts) => self.text(text).map(|text| texts.contains(&*text)),
            Flag::OneOfNumbers(number, numbers) => self.one_of_numbers(number, numbers),
            Flag::Among(text, list) => self.among(text, *list),
            Flag::Listed(text, list) => self.text(text).map(|text| self.world.lists.contains(*list, &text)),
            Flag::HasSymbol(name) => {
                let found = self.symbol(name)?.is_some();
                self.found(found)
            }
            Flag::HasHeader(name) => {
                let found = self.world.facts.message.headers.iter().any(|(known, _)| known == name);
                if found || self.header_is_final() { Ok(found) } else { Err(Undecided::NotYet) }
            }
            Flag::Loop(quantifier, range, body) => self.looped(*quantifier, range, body),
        }
    }

    /// `&&` is told by one false side, `||` by one true side.
    fn told_by(&mut self, deciding: bool, [left, right]: &'a [Flag; 2]) -> Answer<bool> {
        match self.flag(left) {
            Ok(left) if left == deciding => Ok(deciding),
            Ok(_) => self.flag(right),
            Err(why) => match self.flag(right) {
                Ok(right) if right == deciding => Ok(deciding),
                _ => Err(why),
            },
        }
    }

    /// Something that was found stays found; what was not may still come.
    fn found(&self, found: bool) -> Answer<bool> {
        if found || self.is_over() { Ok(found) } else { Err(Undecided::NotYet) }
    }

    fn is_over(&self) -> bool {
        self.world.phase >= Phase::End
    }

    fn header_is_final(&self) -> bool {
        self.is_over() || self.world.facts.message.header_complete
    }

    /// Whether a list may still get longer.
    fn grows(&self, list: ListFact) -> bool {
        let of_envelope = matches!(list, ListFact::Recipients | ListFact::ClientTests);
        let last = if of_envelope { Phase::Rcpt } else { Phase::End };
        self.world.phase < last
    }

    fn among(&mut self, text: &'a Text, list: ListFact) -> Answer<bool> {
        let text = self.text(text)?;
        let message = &self.world.facts.message;
        let found = match list {
            ListFact::Recipients => self.world.facts.recipients.iter().any(|known| *known == *text),
            ListFact::ClientTests => self.world.facts.client.tests.contains(&text),
            ListFact::Defects => message.defects.contains(&text),
            ListFact::Limits => message.limits.contains(&text),
            ListFact::Tricks => message.tricks.contains(&text),
            ListFact::Shown => message.shown.contains(&text),
            ListFact::Cut => message.cut.contains(&text),
            ListFact::Symbols | ListFact::Dkim | ListFact::Attachments | ListFact::Urls => false,
        };
        if found || !self.grows(list) { Ok(found) } else { Err(Undecided::NotYet) }
    }

    fn one_of_numbers(&mut self, number: &'a Number, numbers: &'a [Number]) -> Answer<bool> {
        let number = self.number(number)?;
        let mut pending = None;
        for other in numbers {
            let other = self.number(other)?;
            match compared(Order::Same, number, other) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(why) => pending = Some(why),
            }
        }
        pending.map_or(Ok(false), Err)
    }

    fn looped(&mut self, quantifier: Quantifier, range: &'a Range, body: &'a Flag) -> Answer<bool> {
        match quantifier {
            Quantifier::Exists => self.any(range, body, true),
            Quantifier::All => self.any(range, body, false).map(|any| !any),
            Quantifier::ExistsOne => {
                let count = self.count(range, Some(body))?;
                compared(Order::Same, count, Amount::final_int(1))
            }
        }
    }

    /// Whether `body` is `wanted` for any element that passes the filters.
    fn any(&mut self, range: &'a Range, body: &'a Flag, wanted: bool) -> Answer<bool> {
        let mut pending = self.grows(range.list).then_some(Undecided::NotYet);
        for index in 0..self.len(range.list) {
            match self.visit(range, index, Some(body)) {
                Ok(Some(flag)) if flag == wanted => return Ok(true),
                Ok(_) => {}
                Err(why) => pending = Some(why),
            }
        }
        pending.map_or(Ok(false), Err)
    }

    /// How many elements pass the filters and `body`. One that cannot be told may be one more: what was
    /// answered before that was known stays the answer.
    fn count(&mut self, range: &'a Range, body: Option<&'a Flag>) -> Answer<Amount> {
        let mut count = 0;
        let mut pending = self.grows(range.list).then_some(Undecided::NotYet);
        for index in 0..self.len(range.list) {
            match self.visit(range, index, body) {
                Ok(Some(true)) => count += 1,
                Ok(_) => {}
                Err(Undecided::TooCostly) => return Err(Undecided::TooCostly),
                Err(why) => pending = Some(why),
            }
        }
        Ok(Amount { value: Value::Int(count), pending })
    }

    /// What `body` says of one element; `None` if a filter leaves that out.
    fn visit(&mut self, range: &'a Range, index: usize, body: Option<&'a Flag>) -> Answer<Option<bool>> {
        self.visits_left = self.visits_left.checked_sub(1).ok_or(Undecided::TooCostly)?;
        let element = self.element(range.list, index);
        if let Some(slot) = self.slots.get_mut(range.slot) {
            *slot = element;
        }
        for filter in &range.filters {
            if !self.flag(filter)? {
                return Ok(None);
            }
        }
        body.map_or(Ok(true), |body| self.flag(body)).map(Some)
    }

    fn len(&self, list: ListFact) -> usize {
        let facts = self.world.facts;
        match list {
            ListFact::Recipients => facts.recipients.len(),
            ListFact::ClientTests => facts.client.tests.len(),
            ListFact::Dkim => facts.sender.dkim.len(),
            ListFact::Attachments => facts.attachments.len(),
            ListFact::Urls => facts.urls.len(),
            ListFact::Symbols => facts.symbols.len(),
            ListFact::Defects => facts.message.defects.len(),
            ListFact::Limits => facts.message.limits.len(),
            ListFact::Tricks => facts.message.tricks.len(),
            ListFact::Shown => facts.message.shown.len(),
            ListFact::Cut => facts.message.cut.len(),
        }
    }

    fn element(&self, list: ListFact, index: usize) -> Element<'a> {
        let facts = self.world.facts;
        let element = match list {
            ListFact::Recipients => facts.recipients.get(index).map(|text| Element::Text(text)),
            ListFact::ClientTests => facts.client.tests.nth(index).map(Element::Text),
            ListFact::Dkim => facts.sender.dkim.get(index).map(Element::Signature),
            ListFact::Attachments => facts.attachments.get(index).map(Element::Attachment),
            ListFact::Urls => facts.urls.get(index).map(Element::Url),
            ListFact::Symbols => facts.symbols.nth(index).map(|symbol| Element::Text(&symbol.name)),
            ListFact::Defects => facts.message.defects.nth(index).map(Element::Text),
            ListFact::Limits => facts.message.limits.nth(index).map(Element::Text),
            ListFact::Tricks => facts.message.tricks.nth(index).map(Element::Text),
            ListFact::Shown => facts.message.shown.nth(index).map(Element::Text),
            ListFact::Cut => facts.message.cut.nth(index).map(Element::Text),
        };
        element.unwrap_or(Element::None)
    }

    fn symbol(&mut self, name: &'a Text) -> Answer<Option<&'a Symbol>> {
        let name = self.text(name)?;
        Ok(self.world.facts.symbols.find(&name))
    }

    fn item(&mut self, item: &'a Item) -> Answer<Element<'a>> {
        match item {
            Item::Slot(slot) => Ok(self.slots.get(*slot).copied().unwrap_or(Element::None)),
            Item::Symbol(name) => self.symbol(name).map(Element::Symbol),
            Item::At(list, index) => {
                let Value::Int(index) = self.number(index)?.settled()? else {
                    return Err(Undecided::OutOfRange);
                };
                // Lists that grow get their elements in order but for URLs, which are sorted.
                if *list == ListFact::Urls && self.grows(*list) {
                    return Err(Undecided::NotYet);
                }
                match self.element(*list, usize::try_from(index).map_err(|_| Undecided::OutOfRange)?) {
                    Element::None if self.grows(*list) => Err(Undecided::NotYet),
                    Element::None => Err(Undecided::OutOfRange),
                    element => Ok(element),
                }
            }
        }
    }

    fn item_flag(&mut self, item: &'a Item, field: ItemFlag) -> Answer<bool> {
        let element = self.item(item)?;
        match (element, field) {
            (Element::Attachment(attachment), ItemFlag::Encrypted) => {
                if attachment.encrypted || attachment.complete {
                    return Ok(attachment.encrypted);
                }
                self.found(false)
            }
            _ => Err(Undecided::OutOfRange),
        }
    }

    fn flag_fact(&self, fact: FlagFact) -> Answer<bool> {
        match fact {
            FlagFact::SenderOwned => self.known_from(Phase::Mail).map(|()| self.world.facts.sender.owned),
            FlagFact::SenderKnown => self.known_from(Phase::End).map(|()| self.world.facts.sender.known),
            FlagFact::SenderCorrespondent => {
                self.known_from(Phase::End).map(|()| self.world.facts.sender.correspondent)
            }
            FlagFact::Encrypted => self.found(self.world.facts.message.encrypted),
        }
    }

    fn known_from(&self, phase: Phase) -> Answer<()> {
        if self.world.phase >= phase { Ok(()) } else { Err(Undecided::NotYet) }
    }

    fn number(&mut self, number: &'a Number) -> Answer<Amount> {
        match number {
            Number::Int(int) => Ok(Amount::final_int(*int)),
            Number::Double(double) => Ok(Amount { value: Value::Double(*double), pending: None }),
            Number::Fact(fact) => self.number_fact(*fact),
            Number::Item(item, field) => self.item_int(item, *field),
            Number::SymbolScore(item) => self.symbol_score(item),
            Number::Length(text) => self.text(text).map(|text| Amount::count(text.chars().count(), false)),
            Number::Size(range) if range.filters.is_empty() => {
                Ok(Amount::count(self.len(range.list), self.grows(range.list)))
            }
            Number::Size(range) => self.count(range, None),
            Number::Calculated(operator, pair) => {
                let left = self.number(&pair[0])?.settled()?;
                let right = self.number(&pair[1])?.settled()?;
                calculated(*operator, left, right).map(|value| Amount { value, pending: None })
            }
            Number::Choice(choice) => {
                let (condition, [yes, no]) = &**choice;
                if self.flag(condition)? { self.number(yes) } else { self.number(no) }
            }
        }
    }

    fn number_fact(&self, fact: NumberFact) -> Answer<Amount> {
        let facts = self.world.facts;
        Ok(match fact {
            NumberFact::Port => Amount::final_int(facts.client.port.into()),
            NumberFact::Size => Amount::count(facts.message.size, !self.is_over()),
            NumberFact::Parts => Amount::count(facts.message.parts, !self.is_over()),
            NumberFact::Received => Amount::count(facts.message.received, !self.header_is_final()),
            NumberFact::Score => self.score(self.world.score)?,
        })
    }

    /// Scores grow only if no symbol of the configuration has a negative one.
    fn score(&self, score: f64) -> Answer<Amount> {
        let grows = !self.is_over();
        if grows && !self.world.scores.only_grow() {
            return Err(Undecided::NotYet);
        }
        let pending = grows.then_some(Undecided::NotYet);
        Ok(Amount { value: Value::Double(score), pending })
    }

    fn symbol_score(&mut self, item: &'a Item) -> Answer<Amount> {
        let Element::Symbol(symbol) = self.item(item)? else { return Err(Undecided::OutOfRange) };
        let score = symbol.map_or(0.0, |symbol| self.world.scores.of(symbol));
        self.score(score)
    }

    fn item_int(&mut self, item: &'a Item, field: ItemInt) -> Answer<Amount> {
        let element = self.item(item)?;
        match (element, field) {
            (Element::Attachment(attachment), ItemInt::Size) => {
                Ok(Amount::count(attachment.size, !self.is_over() && !attachment.complete))
            }
            (Element::Symbol(symbol), ItemInt::Count) => {
                Ok(Amount::count(symbol.map_or(0, |symbol| symbol.count), !self.is_over()))
            }
            _ => Err(Undecided::OutOfRange),
        }
    }

    fn text(&mut self, text: &'a Text) -> Answer<Cow<'a, str>> {
        match text {
            Text::Literal(text) => Ok(Cow::Borrowed(text)),
            Text::Fact(fact) => self.text_fact(*fact).map(Cow::Borrowed),
            Text::Item(item, field) => self.item_text(item, *field).map(Cow::Borrowed),
            Text::Slot(slot) => match self.slots.get(*slot) {
                Some(Element::Text(text)) => Ok(Cow::Borrowed(text)),
                _ => Err(Undecided::OutOfRange),
            },
            Text::Header(name) => self.header(name).map(Cow::Borrowed),
            Text::Lower(text) => {
                let text = self.text(text)?;
                let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
                Ok(if is_lower { text } else { Cow::Owned(text.to_ascii_lowercase()) })
            }
            Text::Choice(choice) => {
                let (condition, [yes, no]) = &**choice;
                if self.flag(condition)? { self.text(yes) } else { self.text(no) }
            }
        }
    }

    fn text_fact(&self, fact: TextFact) -> Answer<&'a str> {
        let Facts { client, sender, message, lane, .. } = self.world.facts;
        let (known, from) = match fact {
            TextFact::Ip => (&client.ip, Phase::Connect),
            TextFact::Net => (&client.net, Phase::Connect),
            TextFact::Ptr => (&client.ptr, Phase::End),
            TextFact::Asn => (&client.asn, Phase::Connect),
            TextFact::Listener => (&client.listener, Phase::Connect),
            TextFact::Conduct => (&client.conduct, Phase::Connect),
            TextFact::Helo => (&client.helo, Phase::Helo),
            TextFact::Tls => (&client.tls, Phase::Mail),
            TextFact::AuthUser => (&client.auth_user, Phase::Mail),
            TextFact::SenderAddress => (&sender.address, Phase::Mail),
            TextFact::SenderDomain => (&sender.domain, Phase::Mail),
            TextFact::Spf => (&sender.spf, Phase::End),
            TextFact::Dmarc => (&sender.dmarc, Phase::End),
            TextFact::Uribl => (&message.uribl, Phase::End),
            TextFact::Lane => (lane, Phase::Rcpt),
            TextFact::FromDomain => return self.of_header(&message.from_domain),
            TextFact::FromName => return self.of_header(&message.from_name),
            TextFact::Subject => return self.of_header(&message.subject),
        };
        self.known_from(from).map(|()| known.as_str())
    }

    fn of_header(&self, known: &'a Known) -> Answer<&'a str> {
        if self.header_is_final() { Ok(known.as_str()) } else { Err(Undecided::NotYet) }
    }

    /// A field that the message does not have is empty.
    fn header(&self, name: &str) -> Answer<&'a str> {
        if !self.header_is_final() {
            return Err(Undecided::NotYet);
        }
        let mut headers = self.world.facts.message.headers.iter();
        Ok(headers.find(|(known, _)| known == name).map_or("", |(_, value)| value))
    }

    fn item_text(&mut self, item: &'a Item, field: ItemText) -> Answer<&'a str> {
        let element = self.item(item)?;
        match (element, field) {
            (Element::Attachment(attachment), field) => self.attachment_text(attachment, field),
            (Element::Url(url), ItemText::Host) => Ok(&url.host),
            (Element::Url(url), ItemText::Domain) => Ok(&url.domain),
            (Element::Url(url), ItemText::TextHost) => Ok(&url.text_host),
            (Element::Signature(signature), ItemText::SignatureDomain) => Ok(signature.domain.as_str()),
            (Element::Signature(signature), ItemText::SignatureResult) => Ok(signature.result.as_str()),
            _ => Err(Undecided::OutOfRange),
        }
    }

    fn attachment_text(&self, attachment: &'a Attachment, field: ItemText) -> Answer<&'a str> {
        let told_late = |known: &'a Known| {
            let is_final = !known.is_unknown() || attachment.complete || self.is_over();
            if is_final { Ok(known.as_str()) } else { Err(Undecided::NotYet) }
        };
        match field {
            ItemText::Name => Ok(&attachment.name),
            ItemText::Extension => Ok(&attachment.extension),
            ItemText::MediaType => Ok(&attachment.media_type),
            ItemText::Kind => told_late(&attachment.kind),
            ItemText::Sha256 => told_late(&attachment.sha256),
            _ => Err(Undecided::OutOfRange),
        }
    }
}

impl Order {
    const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Same => ordering.is_eq(),
            Self::Other => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrSame => ordering.is_le(),
            Self::More => ordering.is_gt(),
            Self::MoreOrSame => ordering.is_ge(),
        }
    }

    /// The same, told from the other side.
    const fn turned(self) -> Self {
        match self {
            Self::Less => Self::More,
            Self::LessOrSame => Self::MoreOrSame,
            Self::More => Self::Less,
            Self::MoreOrSame => Self::LessOrSame,
            same => same,
        }
    }
}

fn compared(order: Order, left: Amount, right: Amount) -> Answer<bool> {
    // Only NaN has no order, and it equals nothing.
    let Some(ordering) = ordering(left.value, right.value) else { return Ok(order == Order::Other) };
    match (left.pending, right.pending) {
        (None, None) => Ok(order.holds(ordering)),
        (Some(why), None) => compared_growing(order, ordering).ok_or(why),
        (None, Some(why)) => compared_growing(order.turned(), ordering.reverse()).ok_or(why),
        (Some(why), Some(_)) => Err(why),
    }
}

/// The left side may be more: what holds of it must hold of all that is more.
const fn compared_growing(order: Order, ordering: Ordering) -> Option<bool> {
    match (order, ordering) {
        (Order::More | Order::Other, Ordering::Greater) => Some(true),
        (Order::MoreOrSame, Ordering::Greater | Ordering::Equal) => Some(true),
        (Order::Less, Ordering::Greater | Ordering::Equal) => Some(false),
        (Order::LessOrSame | Order::Same, Ordering::Greater) => Some(false),
        _ => None,
    }
}

/// Whole numbers and fractions compare by value, as in CEL.
fn ordering(left: Value, right: Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(&right)),
        (left, right) => double(left).partial_cmp(&double(right)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and sizes stay far below 2^53")]
const fn double(value: Value) -> f64 {
    match value {
        Value::Int(int) => int as f64,
        Value::Double(double) => double,
    }
}

fn calculated(operator: Operator, left: Value, right: Value) -> Answer<Value> {
    let (Value::Int(left), Value::Int(right)) = (left, right) else {
        let (left, right) = (double(left), double(right));
        return Ok(Value::Double(match operator {
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
            Operator::Divide => left / right,
            Operator::Remainder => left % right,
        }));
    };
    if right == 0 && matches!(operator, Operator::Divide | Operator::Remainder) {
        return Err(Undecided::DivisionByZero);
    }
    let value = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        Operator::Remainder => left.checked_rem(right),
    };
    value.map(Value::Int).ok_or(Undecided::Overflow)
}
