//! The author: who a message says it is from, and whether every reader would say the same.
//!
//! RFC 5322 §3.4 and §3.6.2, RFC 6854 (groups in From), RFC 6532 (UTF-8), RFC 2047 (names).
//!
//! What must always hold: [`Author::domain`] is a domain that any mail client would show, or none. Where
//! clients are known to read a field differently, it has a [`Flaw`], and no domain is given: then nothing
//! can pass for it.

mod mailbox;
#[cfg(test)]
mod tests;
mod token;

use super::dns::Name;
use token::{Token, Unfolded, tokens};

/// Octets of one field that are read; a longer one is cut by clients, each at its own place.
const VALUE_BYTES_MAX: usize = 8 * 1024;
/// From fields of one message that are read.
const FIELDS_MAX: usize = 4;
/// Mailboxes of one message that are kept.
const MAILBOXES_MAX: usize = 32;

/// What is wrong with an author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// No From field.
    NoField,
    /// More than one From field: clients show the first, the last or all.
    SeveralFields,
    /// A field that is From to those who overlook an octet in its name.
    FieldDisguised,
    /// No mailbox in it.
    NoMailbox,
    /// More than one mailbox.
    SeveralMailboxes,
    /// Mailboxes of more than one domain.
    SeveralDomains,
    /// It does not follow the grammar.
    Malformed,
    /// It is longer, or has more mailboxes, than what is read.
    TooLong,
    /// NUL or another control character.
    Control,
    /// A continuation line of white space only: to some, the end of the header section.
    BlankLine,
    /// A group.
    Group,
    /// A source route before the address.
    Route,
    /// A comment in the address, or one that looks like an address.
    Comment,
    /// White space in the address.
    Spaced,
    /// An encoded word in the address.
    EncodedAddress,
    /// A local part that holds what separates addresses.
    LocalPart,
    /// A display name that holds an address in angle brackets, or one unquoted.
    AddressInName,
    /// Characters that are not seen, or turn what is behind them round.
    Invisible,
    /// Octets that are no UTF-8.
    NotUtf8,
    /// An address literal instead of a domain.
    Literal,
    /// What stands behind the @ is no domain.
    DomainInvalid,
}

impl Flaw {
    pub const ALL: [Self; 21] = [
        Self::NoField,
        Self::SeveralFields,
        Self::FieldDisguised,
        Self::NoMailbox,
        Self::SeveralMailboxes,
        Self::SeveralDomains,
        Self::Malformed,
        Self::TooLong,
        Self::Control,
        Self::BlankLine,
        Self::Group,
        Self::Route,
        Self::Comment,
        Self::Spaced,
        Self::EncodedAddress,
        Self::LocalPart,
        Self::AddressInName,
        Self::Invisible,
        Self::NotUtf8,
        Self::Literal,
        Self::DomainInvalid,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::NoField => "no_field",
            Self::SeveralFields => "several_fields",
            Self::FieldDisguised => "field_disguised",
            Self::NoMailbox => "no_mailbox",
            Self::SeveralMailboxes => "several_mailboxes",
            Self::SeveralDomains => "several_domains",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Control => "control",
            Self::BlankLine => "blank_line",
            Self::Group => "group",
            Self::Route => "route",
            Self::Comment => "comment",
            Self::Spaced => "spaced",
            Self::EncodedAddress => "encoded_address",
            Self::LocalPart => "local_part",
            Self::AddressInName => "address_in_name",
            Self::Invisible => "invisible",
            Self::NotUtf8 => "not_utf8",
            Self::Literal => "literal",
            Self::DomainInvalid => "domain_invalid",
        }
    }

    /// Whether clients may show different authors. Several mailboxes of one domain are one author to DMARC.
    pub const fn is_ambiguous(self) -> bool {
        !matches!(self, Self::SeveralMailboxes)
    }
}

/// A set of flaws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws(u32);

const _: () = assert!(Flaw::ALL.len() <= 32);

impl Flaws {
    pub const fn insert(&mut self, flaw: Flaw) {
        self.0 |= 1 << flaw as u32;
    }

    pub const fn contains(self, flaw: Flaw) -> bool {
        self.0 & 1 << flaw as u32 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Flaw> {
        Flaw::ALL.into_iter().filter(move |flaw| self.contains(*flaw))
    }
}

/// One mailbox as it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Decoded, its quotes taken off; comments that may be taken for it are part of it.
    pub display_name: String,
    /// Its quotes taken off.
    pub local_part: String,
    /// In lower-case ASCII; None for an address literal, or what is no domain.
    pub domain: Option<Name>,
}

/// What the From fields of a message say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// In their order, of all fields.
    pub mailboxes: Vec<Mailbox>,
    pub flaws: Flaws,
}

/// Turns octets that may hold encoded words (RFC 2047) into text.
pub type Decode<'a> = dyn FnMut(&[u8]) -> String + 'a;

impl Author {
    /// Takes the fields of a header section: names, and values as they came, still folded.
    pub fn read<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, decode: &mut Decode<'_>) -> Self {
        let mut author = Self::default();
        let mut found = 0;
        for (name, value) in fields {
            let Some(disguised) = from_name(name) else { continue };
            found += 1;
            if disguised {
                author.flaws.insert(Flaw::FieldDisguised);
            }
            if found <= FIELDS_MAX {
                author.take(value, decode);
            }
        }
        author.conclude(found);
        author
    }

    /// The addresses of any other field of mailboxes, such as Reply-To.
    pub fn read_value(value: &[u8], decode: &mut Decode<'_>) -> Self {
        let mut author = Self::default();
        author.take(value, decode);
        author.conclude(1);
        author
    }

    /// The one domain that every client would show; none if they may show different ones.
    pub fn domain(&self) -> Option<&Name> {
        if self.flaws.iter().any(Flaw::is_ambiguous) { None } else { self.domains().next() }
    }

    /// All domains that some client may show and this parser can tell.
    pub fn domains(&self) -> impl Iterator<Item = &Name> {
        self.mailboxes.iter().filter_map(|mailbox| mailbox.domain.as_ref())
    }

    fn take(&mut self, value: &[u8], decode: &mut Decode<'_>) {
        let Unfolded { text, is_blank } = token::unfold(value);
        if is_blank {
            self.flaws.insert(Flaw::BlankLine);
        }
        if text.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            self.flaws.insert(Flaw::Control);
        }
        if text.len() > VALUE_BYTES_MAX {
            self.flaws.insert(Flaw::TooLong);
            return;
        }
        match tokens(&text) {
            Some(tokens) => self.take_list(&tokens, decode),
            None => self.flaws.insert(Flaw::Malformed),
        }
    }

    /// Mailboxes between commas; `phrase:` begins a group and `;` ends it.
    fn take_list(&mut self, tokens: &[Token<'_>], decode: &mut Decode<'_>) {
        let mut in_group = false;
        let mut rest = tokens;
        while !rest.is_empty() {
            let end = end_of_element(rest).unwrap_or(rest.len());
            let (element, behind) = rest.split_at(end);
            let (mark, behind) =
                behind.split_first().map_or((b',', behind), |(mark, behind)| (mark.special(), behind));
            rest = behind;
            match mark {
                b':' if !in_group => {
                    in_group = true;
                    self.flaws.insert(Flaw::Group);
                }
                b':' => self.flaws.insert(Flaw::Malformed),
                _ => self.take_mailbox(element, decode),
            }
            if mark == b';' {
                if !in_group {
                    self.flaws.insert(Flaw::Malformed);
                }
                in_group = false;
            }
        }
    }

    fn take_mailbox(&mut self, element: &[Token<'_>], decode: &mut Decode<'_>) {
        if element.is_empty() {
            return;
        }
        if self.mailboxes.len() >= MAILBOXES_MAX {
            self.flaws.insert(Flaw::TooLong);
        } else {
            self.mailboxes.extend(mailbox::read(element, &mut self.flaws, decode));
        }
    }

    fn conclude(&mut self, fields: usize) {
        match (fields, self.mailboxes.len()) {
            (0, _) => self.flaws.insert(Flaw::NoField),
            (_, 0) => self.flaws.insert(Flaw::NoMailbox),
            (_, 1) => {}
            _ => self.flaws.insert(Flaw::SeveralMailboxes),
        }
        if fields > 1 {
            self.flaws.insert(Flaw::SeveralFields);
        }
        let first = self.mailboxes.first().map(|mailbox| &mailbox.domain);
        if self.mailboxes.iter().any(|mailbox| Some(&mailbox.domain) != first) {
            self.flaws.insert(Flaw::SeveralDomains);
        }
    }
}

/// Whether a field's name is From, and whether only to those who overlook what may not be in a name.
fn from_name(name: &[u8]) -> Option<bool> {
    let exact = name.trim_ascii_end();
    if exact.eq_ignore_ascii_case(b"from") {
        return Some(false);
    }
    let kept = name.iter().filter(|byte| byte.is_ascii_graphic());
    kept.map(u8::to_ascii_lowercase).eq(*b"from").then_some(true)
}

/// Where the element that begins `tokens` ends: at a comma, a colon or a semicolon outside `<` and `>`.
fn end_of_element(tokens: &[Token<'_>]) -> Option<usize> {
    let mut in_angle = false;
    tokens.iter().position(|token| {
        match token.special() {
            b'<' => in_angle = true,
            b'>' => in_angle = false,
            _ => {}
        }
        !in_angle && matches!(token.special(), b',' | b':' | b';')
    })
}
