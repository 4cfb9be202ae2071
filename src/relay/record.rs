//! The one log entry of a transaction or of a refused connection.
//!
//! Field names are CONTRACT: scripts read them. Everything that came from a peer is made safe text
//! first ([`text`]) and escaped by the JSON writer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::disposition::Disposition;
use crate::base::time::Wall;

#[derive(Clone, Debug, Serialize)]
pub struct Record {
    #[serde(serialize_with = "rfc3339")]
    pub time: Wall,
    pub id: String,
    pub worker: usize,
    pub listener: String,
    pub client: ClientFacts,
    pub sender: SenderFacts,
    pub recipients: Vec<RecipientFacts>,
    /// Octets of content as the client sent it, unstuffed.
    pub size: u64,
    pub verdict: &'static str,
    pub rule: Option<String>,
    pub score: f64,
    pub symbols: Symbols,
    pub evidence: Vec<Evidence>,
    /// Shadow rules that hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<String>,
    pub disposition: Disposition,
    /// The limit that was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// What the client was told at the end.
    pub reply: String,
    pub next_hop: Option<NextHop>,
    /// `sealed` (ARC), or why a message that was to be is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seal: Option<&'static str>,
    pub lane: Option<String>,
    /// Whether the whole message was held until the verdict.
    pub window: bool,
    pub ms: Millis,
    /// Hash of the configuration that judged it.
    pub config: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct ClientFacts {
    pub ip: IpAddr,
    pub port: u16,
    pub helo: String,
    /// Version and cipher; none: in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Who it proved to be, by AUTH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct SenderFacts {
    pub address: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct RecipientFacts {
    pub address: String,
    pub reply: String,
}

/// Symbol name to score.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Symbols(pub BTreeMap<String, f64>);

#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    pub symbol: String,
    #[serde(rename = "where")]
    pub place: String,
    pub redacted: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct NextHop {
    pub name: String,
    pub server: String,
    pub reply: String,
    /// Version and cipher, and why its certificate is believed; none: in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
}

/// Milliseconds from MAIL: to the end, to the first octet of content, spent waiting for the next
/// hop's last reply, and for answers of the service.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Millis {
    pub total: f64,
    pub first_byte: f64,
    pub upstream: f64,
    pub ask: f64,
}

impl Record {
    /// Appends the record as one line of JSON.
    pub fn write_json_line(&self, out: &mut Vec<u8>) {
        write_json_line(self, out);
    }
}

/// Somebody went beyond a limit that is to be told. A line of its own among the records.
#[derive(Clone, Debug, Serialize)]
pub struct Alert<'a> {
    #[serde(serialize_with = "rfc3339")]
    pub time: Wall,
    pub kind: &'static str,
    pub worker: usize,
    pub limit: &'a str,
    /// The user, address, domain or network that is counted.
    pub key: String,
    /// When one more may come again, if none comes before.
    #[serde(serialize_with = "rfc3339")]
    pub until: Wall,
    pub config: &'a str,
}

impl Alert<'_> {
    /// Appends the alert as one line of JSON.
    pub fn write_json_line(&self, out: &mut Vec<u8>) {
        write_json_line(self, out);
    }
}

fn write_json_line(value: &impl Serialize, out: &mut Vec<u8>) {
    let begin = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        // Cannot happen for these types; a half line would spoil the log.
        return out.truncate(begin);
    }
    out.push(b'\n');
}

fn rfc3339<S: Serializer>(time: &Wall, serializer: S) -> Result<S::Ok, S::Error> {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match Timestamp::from_millisecond(millis) {
        Ok(timestamp) => serializer.collect_str(&format_args!("{timestamp:.3}")),
        Err(_) => serializer.serialize_u64(time.as_millis()),
    }
}

/// A peer's bytes as text: valid UTF-8 without control characters, at most `chars_max` long.
pub fn text(bytes: &[u8], chars_max: usize) -> String {
    let safe = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(bytes).chars().take(chars_max).map(safe).collect()
}
