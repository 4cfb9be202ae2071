//! The Received field: the one we add in front, and those that are counted to find loops.
//!
//! RFC 5321 §4.4 (trace information) and §6.3 (loop detection). Every byte that a peer chose is
//! reduced to a safe alphabet before it enters the field: nothing can end the line or the comment.

use std::fmt::Write as _;
use std::net::IpAddr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::rfc2822};

use crate::base::time::Wall;
use crate::tls::secured::Secured;

/// Who sent what to whom, as far as the field tells.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    pub helo: &'a [u8],
    pub client: IpAddr,
    pub by: &'a str,
    pub with: &'a str,
    /// What TLS established.
    pub secured: Option<&'a Secured>,
    pub id: &'a str,
    /// Given only for a single recipient: others must not learn of each other (RFC 5321 §7.2).
    pub recipient: Option<&'a [u8]>,
    pub date: &'a str,
}

impl Trace<'_> {
    /// Appends the whole field, CRLF included.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut field = String::with_capacity(256);
        // Writing to a String cannot fail.
        let _ = write!(field, "Received: from {} (", Safe(self.helo));
        let _ = match self.client {
            IpAddr::V4(ip) => write!(field, "[{ip}]"),
            IpAddr::V6(ip) => write!(field, "[IPv6:{ip}]"),
        };
        field.push_str(")\r\n");
        if let Some(secured) = self.secured {
            // Versions, ciphers and groups have names of a closed set: nothing of it is the peer's.
            let Secured { cipher, cipher_bits, .. } = secured;
            let version = secured.version.name();
            let _ = write!(field, "\t(using {version} with cipher {cipher} ({cipher_bits} bits))\r\n");
        }
        let _ = write!(field, "\tby {} (Postern) with {} id {}", self.by, self.with, self.id);
        if let Some(recipient) = self.recipient {
            let _ = write!(field, "\r\n\tfor <{}>", Safe(recipient));
        }
        let _ = write!(field, ";\r\n\t{}\r\n", self.date);
        out.extend_from_slice(field.as_bytes());
    }
}

/// A peer's bytes inside a structured field: anything that is not plain becomes `?`.
struct Safe<'a>(&'a [u8]);

impl std::fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("unknown");
        }
        for &byte in self.0.iter().take(256) {
            let plain =
                byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'<' | b'>' | b'\\' | b';' | b',');
            f.write_char(if plain { char::from(byte) } else { '?' })?;
        }
        Ok(())
    }
}

/// The date of RFC 5322 §3.3 for the current second.
#[derive(Debug, Default)]
pub struct DateCache {
    second: Option<u64>,
    text: String,
}

impl DateCache {
    pub fn at(&mut self, wall: Wall) -> &str {
        if self.second != Some(wall.as_secs()) {
            self.second = Some(wall.as_secs());
            self.text = rfc2822_date(wall);
        }
        &self.text
    }
}

fn rfc2822_date(wall: Wall) -> String {
    let seconds = i64::try_from(wall.as_secs()).unwrap_or(0);
    let timestamp = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    rfc2822::to_string(&timestamp.to_zoned(TimeZone::UTC))
        .unwrap_or_else(|_| "Thu, 1 Jan 1970 00:00:00 +0000".to_owned())
}

/// Counts Received fields while the header section passes, at any cut.
#[derive(Debug)]
pub struct ReceivedCounter {
    place: Place,
    count: u32,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// In a field name; so many of its bytes were those of `Received:`.
    Name(usize),
    /// In a line of no interest.
    Line,
    /// After the empty line.
    Body,
}

const NAME: &[u8] = b"received:";

impl ReceivedCounter {
    pub const fn new() -> Self {
        Self { place: Place::Name(0), count: 0 }
    }

    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether the header section goes on.
    pub const fn is_counting(&self) -> bool {
        !matches!(self.place, Place::Body)
    }

    /// Takes the next piece of content (CRLF line ends only).
    pub fn feed(&mut self, content: &[u8]) {
        let mut rest = content;
        while let Some(&byte) = rest.first() {
            match self.place {
                Place::Body => return,
                Place::Name(seen) => {
                    self.on_name(seen, byte);
                    rest = &rest[1..];
                }
                Place::Line => match memchr::memchr(b'\n', rest) {
                    Some(at) => {
                        self.place = Place::Name(0);
                        rest = &rest[at + 1..];
                    }
                    None => return,
                },
            }
        }
    }

    fn on_name(&mut self, seen: usize, byte: u8) {
        self.place = if byte == NAME[seen] || byte.to_ascii_lowercase() == NAME[seen] {
            if seen + 1 == NAME.len() {
                self.count += 1;
                Place::Line
            } else {
                Place::Name(seen + 1)
            }
        } else if byte == b'\n' {
            // Only an empty line has nothing of a name before its end.
            if seen == 0 { Place::Body } else { Place::Name(0) }
        } else if byte == b'\r' && seen == 0 {
            Place::Name(0)
        } else {
            Place::Line
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{DateCache, ReceivedCounter, Trace};
    use crate::base::time::Wall;

    #[track_caller]
    fn check(content: &str, want: u32) {
        for cut in 0..=content.len() {
            let mut counter = ReceivedCounter::new();
            counter.feed(&content.as_bytes()[..cut]);
            counter.feed(&content.as_bytes()[cut..]);
            assert_eq!(counter.count(), want, "cut at {cut}");
        }
    }

    #[test]
    fn received_fields_are_counted_in_the_header_section_only() {
        check("", 0);
        check("Received: a\r\n\r\n", 1);
        check("RECEIVED: a\r\n b\r\nX: y\r\nreceived: c\r\n\r\nReceived: d\r\n", 2);
        check("X-Received: a\r\nReceive: b\r\n Received: c\r\n\r\n", 0);
        check("\r\nReceived: a\r\n", 0);
        check("rec\r\nReceived: a\r\n\r\n", 1);
    }

    #[test]
    fn nothing_that_a_peer_chose_leaves_its_place() {
        let mut out = Vec::new();
        let mut dates = DateCache::default();
        let trace = Trace {
            helo: b"a\r\nX: y(;)\x00\xff",
            client: "::1".parse().unwrap(),
            by: "mx.example",
            with: "ESMTP",
            secured: None,
            id: "01",
            recipient: Some(b"a>\r\n b@c"),
            date: dates.at(Wall::from_millis(1_795_366_104_000)),
        };
        trace.write(&mut out);
        let want = "Received: from a??X:?y????? ([IPv6:::1])\r\n\tby mx.example (Postern) with ESMTP id 01\r\n\tfor \
                    <a????b@c>;\r\n\tSun, 22 Nov 2026 16:48:24 +0000\r\n";
        assert_eq!(String::from_utf8_lossy(&out), want);
    }
}
