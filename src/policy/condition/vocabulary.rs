//! The facts that an expression can name: what each is called, its type, and when it is final.
//!
//! This table is what CONTRACT lists under "Facts"; a name that does not stand here is a fault.

use super::Phase;

/// A fact's name, what it holds, and the phase from which on it does not change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fact {
    pub(super) path: &'static str,
    pub(super) holds: Holds,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Flag(FlagFact),
    Text(TextFact),
    Number(NumberFact),
    List(ListFact),
    Headers,
    Lists,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlagFact {
    SenderKnown,
    SenderOwned,
    SenderCorrespondent,
    Encrypted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextFact {
    Ip,
    Net,
    Ptr,
    Helo,
    Asn,
    Tls,
    AuthUser,
    Listener,
    Conduct,
    SenderAddress,
    SenderDomain,
    Spf,
    Dmarc,
    FromDomain,
    FromName,
    Subject,
    Uribl,
    Lane,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberFact {
    Port,
    Size,
    Parts,
    Received,
    Score,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListFact {
    Recipients,
    ClientTests,
    Dkim,
    Attachments,
    Urls,
    /// As a list: its names.
    Symbols,
    Defects,
    Limits,
    Tricks,
    Shown,
    Cut,
}

/// What the elements of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    Text,
    Signature,
    Attachment,
    Url,
    /// What the name of a symbol leads to.
    Symbol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemText {
    Name,
    Extension,
    Kind,
    MediaType,
    Sha256,
    Host,
    Domain,
    TextHost,
    SignatureDomain,
    SignatureResult,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemInt {
    Size,
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemFlag {
    Encrypted,
}

/// A field of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Flag(ItemFlag),
    Text(ItemText),
    Int(ItemInt),
    SymbolScore,
}

const fn text(path: &'static str, phase: Phase, fact: TextFact) -> Fact {
    Fact { path, holds: Holds::Text(fact), phase }
}

const fn number(path: &'static str, phase: Phase, fact: NumberFact) -> Fact {
    Fact { path, holds: Holds::Number(fact), phase }
}

const fn list(path: &'static str, phase: Phase, fact: ListFact) -> Fact {
    Fact { path, holds: Holds::List(fact), phase }
}

const fn flag(path: &'static str, phase: Phase, fact: FlagFact) -> Fact {
    Fact { path, holds: Holds::Flag(fact), phase }
}

pub(super) const FACTS: &[Fact] = &[
    text("client.ip", Phase::Connect, TextFact::Ip),
    text("client.net", Phase::Connect, TextFact::Net),
    number("client.port", Phase::Connect, NumberFact::Port),
    // The DNS is asked while the content passes.
    text("client.ptr", Phase::End, TextFact::Ptr),
    text("client.asn", Phase::Connect, TextFact::Asn),
    text("client.listener", Phase::Connect, TextFact::Listener),
    text("client.conduct", Phase::Connect, TextFact::Conduct),
    text("client.helo", Phase::Helo, TextFact::Helo),
    // STARTTLS and AUTH come between EHLO and MAIL.
    text("client.tls", Phase::Mail, TextFact::Tls),
    text("client.auth_user", Phase::Mail, TextFact::AuthUser),
    list("client.tests", Phase::Rcpt, ListFact::ClientTests),
    text("sender.address", Phase::Mail, TextFact::SenderAddress),
    text("sender.domain", Phase::Mail, TextFact::SenderDomain),
    text("sender.spf", Phase::End, TextFact::Spf),
    flag("sender.owned", Phase::Mail, FlagFact::SenderOwned),
    // Who may have forged the author is known when all was checked.
    flag("sender.known", Phase::End, FlagFact::SenderKnown),
    flag("sender.correspondent", Phase::End, FlagFact::SenderCorrespondent),
    list("sender.dkim", Phase::End, ListFact::Dkim),
    text("sender.dmarc", Phase::End, TextFact::Dmarc),
    list("recipients", Phase::Rcpt, ListFact::Recipients),
    text("lane", Phase::Rcpt, TextFact::Lane),
    number("message.size", Phase::End, NumberFact::Size),
    number("message.parts", Phase::End, NumberFact::Parts),
    number("message.received", Phase::End, NumberFact::Received),
    text("message.from_domain", Phase::End, TextFact::FromDomain),
    text("message.from_name", Phase::End, TextFact::FromName),
    text("message.subject", Phase::End, TextFact::Subject),
    text("message.uribl", Phase::End, TextFact::Uribl),
    flag("message.encrypted", Phase::End, FlagFact::Encrypted),
    list("message.defects", Phase::End, ListFact::Defects),
    list("message.limits", Phase::End, ListFact::Limits),
    list("message.tricks", Phase::End, ListFact::Tricks),
    list("message.shown", Phase::End, ListFact::Shown),
    list("message.cut", Phase::End, ListFact::Cut),
    Fact { path: "message.headers", holds: Holds::Headers, phase: Phase::End },
    list("attachments", Phase::End, ListFact::Attachments),
    list("urls", Phase::End, ListFact::Urls),
    list("symbols", Phase::End, ListFact::Symbols),
    number("score", Phase::End, NumberFact::Score),
    Fact { path: "lists", holds: Holds::Lists, phase: Phase::Connect },
];

impl Fact {
    /// Whether somebody has to look into the content to know it.
    pub(super) fn needs_inspection(&self) -> bool {
        let counted = matches!(self.holds, Holds::Number(NumberFact::Size | NumberFact::Received));
        let of_sender =
            self.path.starts_with("sender.") || ["client.ptr", "message.shown"].contains(&self.path);
        self.phase == Phase::End && !counted && !of_sender
    }
}

impl ListFact {
    pub(super) const fn item(self) -> ItemKind {
        match self {
            Self::Dkim => ItemKind::Signature,
            Self::Attachments => ItemKind::Attachment,
            Self::Urls => ItemKind::Url,
            _ => ItemKind::Text,
        }
    }
}

impl ItemKind {
    pub(super) const fn fields(self) -> &'static [(&'static str, Field)] {
        match self {
            Self::Text => &[],
            Self::Signature => &[
                ("domain", Field::Text(ItemText::SignatureDomain)),
                ("result", Field::Text(ItemText::SignatureResult)),
            ],
            Self::Attachment => &[
                ("name", Field::Text(ItemText::Name)),
                ("extension", Field::Text(ItemText::Extension)),
                ("kind", Field::Text(ItemText::Kind)),
                ("type", Field::Text(ItemText::MediaType)),
                ("size", Field::Int(ItemInt::Size)),
                ("sha256", Field::Text(ItemText::Sha256)),
                ("encrypted", Field::Flag(ItemFlag::Encrypted)),
            ],
            Self::Url => &[
                ("host", Field::Text(ItemText::Host)),
                ("domain", Field::Text(ItemText::Domain)),
                ("text_host", Field::Text(ItemText::TextHost)),
            ],
            Self::Symbol => &[("score", Field::SymbolScore), ("count", Field::Int(ItemInt::Count))],
        }
    }

    /// How people are told what it is.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Signature => "a signature",
            Self::Attachment => "an attachment",
            Self::Url => "a URL",
            Self::Symbol => "a symbol",
        }
    }
}

/// The fact at `path`.
pub(super) fn find(path: &str) -> Option<&'static Fact> {
    FACTS.iter().find(|fact| fact.path == path)
}

/// The names below `group`, or the first names if it is empty.
pub(super) fn names_in(group: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = FACTS.iter().filter_map(|fact| name_in(fact.path, group)).collect();
    names.dedup();
    names
}

fn name_in(path: &'static str, group: &str) -> Option<&'static str> {
    if group.is_empty() {
        return path.split('.').next();
    }
    path.strip_prefix(group)?.strip_prefix('.')
}
