//! A message on its way into quarantine, as a relay sees it: the words it says to the store, and
//! the description that lies beside the message from then on.
//!
//! The message is stored as it would have gone up: our Received field first, unstuffed. With the
//! description it can be sent again just as the client meant it (RFC 5321 §3.3; parameters of MAIL
//! and RCPT included), so a description holds the envelope whole, and of the content only evidence
//! that was redacted before.
//!
//! Invariant: [`Spooled::Stored`] is said only when message and description are durable; nothing
//! else entitles to a 2xx.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use super::record::text;
use crate::limits::{SPOOL_UNANSWERED_BYTES_HIGH, SPOOL_UNANSWERED_WORDS_HIGH};
use crate::smtp::reply::Reply;
use crate::smtp::xforward::{Identity, Proto};

/// Characters of what a client said about itself that are kept.
const TEXT_CHARS_MAX: usize = 512;

/// What a relay says to the store, in this order, under one number.
#[derive(Debug)]
pub enum Spool {
    /// A message may have to be kept. `size` is what the client declared, 0 if nothing: a store that
    /// has no room for it says so at once.
    Begin { id: Ulid, size: u64 },
    /// Content, any cut of it. Answered by [`Spooled::Taken`].
    Append(Vec<u8>),
    /// That was all of it, and it is to be kept. Answered by [`Spooled::Stored`].
    Commit(Box<Description>),
    /// It is not to be kept. Not answered.
    Abort,
}

/// What the store says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spooled {
    /// So many of the oldest words, with so many octets, are out of memory: as much may follow.
    Taken { words: usize, octets: usize },
    /// Durable. The last word.
    Stored,
    /// Nothing of it is kept. The last word.
    Failed(Failure),
}

/// Why a message could not be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// For the record and the log: the system's own words.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The store's bound is reached.
    Full,
    /// Too many messages are being stored at the moment.
    Busy,
    /// The file system said no.
    Disk,
    /// The words came in no order that makes sense: a bug of ours.
    Disorder,
}

impl Failure {
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// What the client hears. It says nothing of our disks.
    pub fn reply(&self) -> Reply {
        match self.kind {
            FailureKind::Full => Reply::new(452, "4.3.1", "no room to keep this message, come again"),
            FailureKind::Busy => Reply::new(451, "4.3.2", "too busy to keep this message, come again"),
            FailureKind::Disk | FailureKind::Disorder => {
                Reply::new(451, "4.3.0", "this message cannot be kept now, come again")
            }
        }
    }
}

/// What of a spool is on its way and not yet taken: both sides count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unanswered {
    pub words: usize,
    pub octets: usize,
}

impl Unanswered {
    pub const fn add(&mut self, octets: usize) {
        self.words += 1;
        self.octets += octets;
    }

    pub const fn take(&mut self, words: usize, octets: usize) {
        self.words = self.words.saturating_sub(words);
        self.octets = self.octets.saturating_sub(octets);
    }

    /// Whether the client must wait until the store has caught up.
    pub const fn is_much(&self) -> bool {
        self.words >= SPOOL_UNANSWERED_WORDS_HIGH || self.octets >= SPOOL_UNANSWERED_BYTES_HIGH
    }
}

/// What is known of a quarantined message. Written as JSON beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The id of the transaction: what the client and the records were told. Its time is the time
    /// from which the message's age counts.
    #[serde(serialize_with = "ulid_text", deserialize_with = "from_ulid_text")]
    pub id: Ulid,
    /// The same time, for people.
    pub time: String,
    pub listener: String,
    pub client: ClientFacts,
    pub envelope: Envelope,
    pub verdict: String,
    pub rule: Option<String>,
    pub score: f64,
    pub symbols: BTreeMap<String, SymbolFacts>,
    /// Never more of a secret than `redact` leaves.
    pub evidence: Vec<EvidenceFacts>,
    /// Octets of the message as it lies there. The store counts them itself.
    pub size: u64,
    /// Hash of the configuration that judged it.
    pub config: String,
}

impl Description {
    /// With all that is known before it was judged.
    pub fn new(id: Ulid, client: ClientFacts, envelope: Envelope) -> Self {
        Self {
            id,
            time: time_text(&id),
            listener: String::new(),
            client,
            envelope,
            verdict: "quarantine".to_owned(),
            rule: None,
            score: 0.0,
            symbols: BTreeMap::new(),
            evidence: Vec::new(),
            size: 0,
            config: String::new(),
        }
    }
}

/// What MAIL and RCPT said, and where they were to go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Without brackets; empty for the null reverse-path.
    pub sender: String,
    /// As the client wrote them behind MAIL: SIZE, BODY, SMTPUTF8, RET, ENVID…
    pub parameters: String,
    /// Those that the next hop had accepted.
    pub recipients: Vec<RecipientFacts>,
    /// The name of the upstream they were routed to.
    pub upstream: String,
}

impl Envelope {
    /// Paths and parameters that came through our parsers are UTF-8; if one is not, this message
    /// cannot be described, and so not be kept.
    pub fn new(sender: &[u8], parameters: &[u8], upstream: &str) -> Option<Self> {
        Some(Self {
            sender: str::from_utf8(sender).ok()?.to_owned(),
            parameters: str::from_utf8(parameters).ok()?.to_owned(),
            recipients: Vec::new(),
            upstream: upstream.to_owned(),
        })
    }

    /// Octets of all of it in memory.
    pub fn weight(&self) -> usize {
        let recipient = |it: &RecipientFacts| size_of_val(it) + it.address.len() + it.parameters.len();
        self.sender.len() + self.parameters.len() + self.recipients.iter().map(recipient).sum::<usize>()
    }

    /// One recipient more.
    #[must_use]
    pub fn with(mut self, address: &[u8], parameters: &[u8]) -> Option<Self> {
        self.recipients.push(RecipientFacts {
            address: str::from_utf8(address).ok()?.to_owned(),
            parameters: str::from_utf8(parameters).ok()?.to_owned(),
        });
        Some(self)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientFacts {
    pub address: String,
    /// NOTIFY, ORCPT.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parameters: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SymbolFacts {
    pub score: f64,
    pub count: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceFacts {
    pub symbol: String,
    #[serde(rename = "where")]
    pub place: String,
    pub redacted: String,
}

/// Who brought it: as much as a next hop is told when the message is sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFacts {
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    pub name: Option<String>,
    pub helo: Option<String>,
    /// EHLO, not HELO.
    pub esmtp: bool,
    pub ident: Option<String>,
    pub login: Option<String>,
    /// Where it connected to.
    pub local: Option<SocketAddr>,
}

impl From<&Identity> for ClientFacts {
    fn from(identity: &Identity) -> Self {
        let kept = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|bytes| text(bytes, TEXT_CHARS_MAX));
        let local = identity.destination_addr.zip(identity.destination_port);
        Self {
            ip: identity.addr,
            port: identity.port,
            name: kept(&identity.name),
            helo: kept(&identity.helo),
            esmtp: identity.proto == Proto::Esmtp,
            ident: kept(&identity.ident),
            login: kept(&identity.login),
            local: local.map(SocketAddr::from),
        }
    }
}

impl ClientFacts {
    /// For XFORWARD, XCLIENT or PROXY.
    pub fn identity(&self) -> Identity {
        let bytes = |text: &Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
        Identity {
            name: bytes(&self.name),
            addr: self.ip,
            port: self.port,
            helo: bytes(&self.helo),
            proto: if self.esmtp { Proto::Esmtp } else { Proto::Smtp },
            ident: bytes(&self.ident),
            login: bytes(&self.login),
            destination_addr: self.local.map(|local| local.ip()),
            destination_port: self.local.map(|local| local.port()),
            ..Identity::default()
        }
    }
}

/// RFC 3339, to the millisecond.
fn time_text(id: &Ulid) -> String {
    let millis = i64::try_from(id.timestamp_ms()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).map(|time| format!("{time:.3}")).unwrap_or_default()
}

fn ulid_text<S: Serializer>(id: &Ulid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn from_ulid_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ulid, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ulid::from_string(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> Description {
        let identity = Identity {
            name: Some(b"client.example".to_vec()),
            addr: Some("192.0.2.7".parse().unwrap()),
            port: Some(4711),
            helo: Some(b"caf\xc3\xa9 \x1b[2J".to_vec()),
            destination_addr: Some("192.0.2.1".parse().unwrap()),
            destination_port: Some(25),
            ..Identity::default()
        };
        let envelope = Envelope::new(b"a@client.example", b"SIZE=5 BODY=8BITMIME", "hop")
            .and_then(|envelope| envelope.with("bü@hop.example".as_bytes(), b"NOTIFY=NEVER"))
            .and_then(|envelope| envelope.with(b"c@hop.example", b""))
            .unwrap();
        let id = Ulid::from_parts(1_795_366_104_123, 5);
        let mut description = Description::new(id, ClientFacts::from(&identity), envelope);
        description.symbols.insert("EICAR".to_owned(), SymbolFacts { score: 12.5, count: 1 });
        description
    }

    #[test]
    fn a_description_survives_its_json() {
        let description = described();
        let json = serde_json::to_string(&description).unwrap();
        assert!(json.contains("\"id\":\"01M"), "{json}");
        assert!(json.contains("\"time\":\"2026-11-22T"), "{json}");
        assert_eq!(serde_json::from_str::<Description>(&json).unwrap(), description);
    }

    #[test]
    fn an_identity_comes_back_without_its_control_characters() {
        let client = described().client;
        let identity = client.identity();
        assert_eq!(identity.helo.as_deref(), Some("café \u{fffd}[2J".as_bytes()));
        assert_eq!(ClientFacts::from(&identity), client);
    }

    #[test]
    fn an_envelope_that_is_no_text_is_not_described() {
        assert_eq!(Envelope::new(b"\xff@a", b"", "hop"), None);
        assert_eq!(Envelope::new(b"", b"", "hop").unwrap().with(b"a", b"\xff"), None);
    }

    #[test]
    fn what_is_unanswered_is_bounded_in_octets_and_in_words() {
        let mut unanswered = Unanswered::default();
        unanswered.add(SPOOL_UNANSWERED_BYTES_HIGH);
        assert!(unanswered.is_much());
        unanswered.take(1, SPOOL_UNANSWERED_BYTES_HIGH);
        assert_eq!(unanswered, Unanswered::default());
        (0..SPOOL_UNANSWERED_WORDS_HIGH).for_each(|_| unanswered.add(1));
        assert!(unanswered.is_much());
        unanswered.take(1, 1);
        assert!(!unanswered.is_much());
    }
}
