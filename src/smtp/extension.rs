//! EHLO: what a next hop can do, and what we offer. RFC 5321 §4.1.1.1; LIMITS RFC 9422.
//!
//! Some extensions are between two neighbours (PIPELINING, CHUNKING): ours alone. Others are a
//! promise about the whole way (8BITMIME, SMTPUTF8, DSN, REQUIRETLS, SIZE): we offer only what every next hop
//! that a recipient may lead to can keep. If none is known, none of these is offered.

use crate::smtp::reply::Reply;
use crate::smtp::sasl::Mechanism;
use crate::smtp::xforward::{Attributes, XclientAttributes, XforwardAttributes};
use std::io::Write;

/// A set of extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions(u32);

impl Extensions {
    pub const NONE: Self = Self(0);
    pub const PIPELINING: Self = Self(1);
    pub const SIZE: Self = Self(1 << 1);
    pub const EIGHT_BIT_MIME: Self = Self(1 << 2);
    pub const SMTPUTF8: Self = Self(1 << 3);
    pub const DSN: Self = Self(1 << 4);
    pub const CHUNKING: Self = Self(1 << 5);
    pub const ENHANCED_STATUS_CODES: Self = Self(1 << 6);
    pub const LIMITS: Self = Self(1 << 7);
    pub const STARTTLS: Self = Self(1 << 8);
    pub const AUTH: Self = Self(1 << 9);
    pub const XFORWARD: Self = Self(1 << 10);
    pub const XCLIENT: Self = Self(1 << 11);
    pub const REQUIRETLS: Self = Self(1 << 12);
    pub const MT_PRIORITY: Self = Self(1 << 13);
    pub const BINARYMIME: Self = Self(1 << 14);
    pub const HELP: Self = Self(1 << 15);
    pub const VRFY: Self = Self(1 << 16);
    pub const ETRN: Self = Self(1 << 17);

    /// The promises about the whole way.
    pub const END_TO_END: Self =
        Self::SIZE.union(Self::EIGHT_BIT_MIME).union(Self::SMTPUTF8).union(Self::DSN).union(Self::REQUIRETLS);
    /// What we can do toward a client whatever is behind us.
    const HOP_BY_HOP: Self =
        Self::PIPELINING.union(Self::SIZE).union(Self::CHUNKING).union(Self::ENHANCED_STATUS_CODES);

    const KEYWORDS: [(&'static str, Self); 18] = [
        ("PIPELINING", Self::PIPELINING),
        ("SIZE", Self::SIZE),
        ("8BITMIME", Self::EIGHT_BIT_MIME),
        ("SMTPUTF8", Self::SMTPUTF8),
        ("DSN", Self::DSN),
        ("CHUNKING", Self::CHUNKING),
        ("ENHANCEDSTATUSCODES", Self::ENHANCED_STATUS_CODES),
        ("LIMITS", Self::LIMITS),
        ("STARTTLS", Self::STARTTLS),
        ("AUTH", Self::AUTH),
        ("XFORWARD", Self::XFORWARD),
        ("XCLIENT", Self::XCLIENT),
        ("REQUIRETLS", Self::REQUIRETLS),
        ("MT-PRIORITY", Self::MT_PRIORITY),
        ("BINARYMIME", Self::BINARYMIME),
        ("HELP", Self::HELP),
        ("VRFY", Self::VRFY),
        ("ETRN", Self::ETRN),
    ];

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub const fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn named(keyword: &[u8]) -> Option<Self> {
        Self::KEYWORDS
            .iter()
            .find(|(known, _)| keyword.eq_ignore_ascii_case(known.as_bytes()))
            .map(|(_, extension)| *extension)
    }
}

/// RFC 9422 §4: how many of what a server takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Transactions in a session.
    pub mail_max: Option<u32>,
    /// Recipients in a transaction.
    pub rcpt_max: Option<u32>,
    /// Domains among the recipients of a transaction.
    pub rcpt_domain_max: Option<u32>,
}

impl Limits {
    pub const NONE: Self = Self { mail_max: None, rcpt_max: None, rcpt_domain_max: None };

    /// One `NAME=value`; what is unknown or no number is as if it were not there.
    fn note(&mut self, word: &[u8]) {
        let Some(at) = word.iter().position(|byte| *byte == b'=') else { return };
        let value =
            number(&word[at + 1..]).and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0);
        match word[..at].to_ascii_uppercase().as_slice() {
            b"MAILMAX" => self.mail_max = value,
            b"RCPTMAX" => self.rcpt_max = value,
            b"RCPTDOMAINMAX" => self.rcpt_domain_max = value,
            _ => {}
        }
    }

    /// The limits of a transaction that hold on both sides; the session's are each side's own.
    fn in_transaction(self, next_hop: Self) -> Self {
        Self {
            mail_max: self.mail_max,
            rcpt_max: least(self.rcpt_max, next_hop.rcpt_max),
            rcpt_domain_max: least(self.rcpt_domain_max, next_hop.rcpt_domain_max),
        }
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Digits only, which `str::parse` is not strict about.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit).then_some(text)?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// What a next hop said it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub extensions: Extensions,
    /// `None` if SIZE was not announced, 0 if it was without a limit.
    pub size: Option<u64>,
    pub limits: Limits,
    pub xforward: XforwardAttributes,
    pub xclient: XclientAttributes,
    /// The mechanisms, as announced.
    pub auth: Vec<u8>,
}

impl Capabilities {
    /// Those of a server that knows HELO only.
    pub const fn none() -> Self {
        Self {
            extensions: Extensions::NONE,
            size: None,
            limits: Limits::NONE,
            xforward: Attributes::NONE,
            xclient: Attributes::NONE,
            auth: Vec::new(),
        }
    }

    /// What the lines of an EHLO reply announce, behind the first, which greets.
    pub fn from_ehlo(reply: &Reply) -> Self {
        let mut capabilities = Self::none();
        for line in reply.lines().skip(1) {
            capabilities.note(line.trim_ascii());
        }
        capabilities
    }

    /// What both can do of what concerns the whole way; the smaller of both limits.
    #[must_use]
    pub fn intersect_end_to_end(&self, other: &Self) -> Self {
        let both = self.extensions.intersection(other.extensions).intersection(Extensions::END_TO_END);
        Self {
            extensions: both,
            size: least(self.size.filter(|size| *size > 0), other.size.filter(|size| *size > 0)),
            limits: Limits { mail_max: None, ..self.limits.in_transaction(other.limits) },
            ..Self::none()
        }
    }

    fn note(&mut self, line: &[u8]) {
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (keyword, arguments) = (&line[..end], line[end..].trim_ascii());
        let Some(extension) = Extensions::named(keyword) else { return };
        self.extensions.insert(extension);
        match extension {
            // A limit that cannot be read is none that we could keep: the server will say.
            Extensions::SIZE => self.size = Some(number(arguments).unwrap_or(0)),
            Extensions::AUTH => self.auth = arguments.to_vec(),
            Extensions::LIMITS => words(arguments).for_each(|word| self.limits.note(word)),
            Extensions::XFORWARD => {
                self.xforward = attributes(arguments).intersection(Attributes::FOR_XFORWARD);
            }
            Extensions::XCLIENT => self.xclient = attributes(arguments).intersection(Attributes::OF_XCLIENT),
            _ => {}
        }
    }
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

fn attributes(arguments: &[u8]) -> Attributes {
    words(arguments).filter_map(Attributes::named).fold(Attributes::NONE, Attributes::union)
}

/// What we offer a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Of 8BITMIME, SMTPUTF8, DSN, REQUIRETLS and SIZE, what every next hop keeps. REQUIRETLS is for clients
    /// under TLS only (RFC 8689 §4.1): whoever knows takes it out.
    pub end_to_end: Extensions,
    /// Largest message; 0 is no fixed limit.
    pub size: u64,
    pub limits: Limits,
    /// The client may speak for others: that depends on who it is, so whoever knows it sets this.
    pub xforward: bool,
    /// As `xforward`.
    pub xclient: bool,
    /// As `xforward`: it depends on where the client is connected, and in clear.
    pub starttls: bool,
    /// As `xforward`: there are some whose word about it counts (RFC 6710).
    pub mt_priority: bool,
    /// As `xforward`: under TLS only, and as long as the client has not said who it is. None: no AUTH.
    pub auth: Vec<Mechanism>,
}

impl Offer {
    /// What may be offered in front of `next_hops`. `size_max` and `limits` are our own.
    pub fn compute<'a>(
        next_hops: impl Iterator<Item = &'a Capabilities>,
        size_max: u64,
        limits: Limits,
    ) -> Self {
        let all = next_hops.cloned().reduce(|all, next_hop| all.intersect_end_to_end(&next_hop));
        // The meeting with itself leaves of a single next hop what concerns the whole way.
        let all = all.map(|all| all.intersect_end_to_end(&all)).unwrap_or_default();
        Self {
            end_to_end: all.extensions,
            size: least(Some(size_max).filter(|size| *size > 0), all.size).unwrap_or(0),
            limits: limits.in_transaction(all.limits),
            xforward: false,
            xclient: false,
            starttls: false,
            mt_priority: false,
            auth: Vec::new(),
        }
    }

    /// Appends the reply to EHLO.
    pub fn ehlo_reply(&self, hostname: &str, out: &mut Vec<u8>) {
        let mut lines = vec![hostname.to_owned(), "PIPELINING".to_owned(), format!("SIZE {}", self.size)];
        let offered = |extension| self.extensions().contains(extension);
        for (keyword, extension) in [
            ("8BITMIME", Extensions::EIGHT_BIT_MIME),
            ("SMTPUTF8", Extensions::SMTPUTF8),
            ("DSN", Extensions::DSN),
            ("REQUIRETLS", Extensions::REQUIRETLS),
            ("STARTTLS", Extensions::STARTTLS),
            ("MT-PRIORITY", Extensions::MT_PRIORITY),
        ] {
            if offered(extension) {
                lines.push(keyword.to_owned());
            }
        }
        if offered(Extensions::AUTH) {
            lines.push(self.auth.iter().fold("AUTH".to_owned(), |line, it| line + " " + it.name()));
        }
        if offered(Extensions::LIMITS) {
            lines.push(self.limits_line());
        }
        for (keyword, extension, attributes) in [
            ("XFORWARD", Extensions::XFORWARD, Attributes::OF_XFORWARD),
            ("XCLIENT", Extensions::XCLIENT, Attributes::OF_XCLIENT),
        ] {
            if offered(extension) {
                lines.push(attributes.iter().fold(keyword.to_owned(), |line, (name, _)| line + " " + name));
            }
        }
        lines.extend(["CHUNKING".to_owned(), "ENHANCEDSTATUSCODES".to_owned()]);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        Reply::multi(250, "", &lines).write(out);
    }

    /// All that is offered.
    pub fn extensions(&self) -> Extensions {
        let mut extensions = self.end_to_end.union(Extensions::HOP_BY_HOP);
        for (offered, extension) in [
            (self.limits != Limits::NONE, Extensions::LIMITS),
            (self.xforward, Extensions::XFORWARD),
            (self.xclient, Extensions::XCLIENT),
            (self.starttls, Extensions::STARTTLS),
            (self.mt_priority, Extensions::MT_PRIORITY),
            (!self.auth.is_empty(), Extensions::AUTH),
        ] {
            if offered {
                extensions.insert(extension);
            }
        }
        extensions
    }

    fn limits_line(&self) -> String {
        let mut line = b"LIMITS".to_vec();
        for (name, limit) in [
            ("MAILMAX", self.limits.mail_max),
            ("RCPTMAX", self.limits.rcpt_max),
            ("RCPTDOMAINMAX", self.limits.rcpt_domain_max),
        ] {
            if let Some(limit) = limit {
                // Writing to memory cannot fail.
                _ = write!(line, " {name}={limit}");
            }
        }
        String::from_utf8(line).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::reply::ReplyParser;

    fn ehlo(lines: &str) -> Capabilities {
        let lines: Vec<&str> = lines.split('|').collect();
        Capabilities::from_ehlo(&Reply::multi(250, "", &lines))
    }

    #[test]
    fn capabilities_are_read_from_the_lines_behind_the_first() {
        let got = ehlo("SIZE 5|PIPELINING|size 1000|8bitmime|AUTH PLAIN LOGIN|X-UNKNOWN y|AUTH=PLAIN");
        assert_eq!(got.size, Some(1000));
        assert_eq!(got.auth, b"PLAIN LOGIN");
        let mut want = Extensions::NONE;
        for extension in
            [Extensions::PIPELINING, Extensions::SIZE, Extensions::EIGHT_BIT_MIME, Extensions::AUTH]
        {
            want.insert(extension);
        }
        assert_eq!(got.extensions, want);
        assert_eq!(ehlo("host"), Capabilities::none());
    }

    #[test]
    fn arguments_are_read() {
        let got =
            ehlo("h|LIMITS RCPTMAX=10 MAILMAX=x RCPTDOMAINMAX=1|XFORWARD NAME addr LOGIN|XCLIENT LOGIN PORT");
        assert_eq!(got.limits, Limits { mail_max: None, rcpt_max: Some(10), rcpt_domain_max: Some(1) });
        assert_eq!(got.xforward, Attributes::NAME.union(Attributes::ADDR).union(Attributes::LOGIN));
        assert_eq!(got.xclient, Attributes::LOGIN.union(Attributes::PORT));
        for (line, want) in [("SIZE", 0), ("SIZE 0", 0), ("SIZE +5", 0), ("SIZE 99999999999999999999", 0)] {
            assert_eq!(ehlo(&format!("h|{line}")).size, Some(want), "{line}");
        }
    }

    #[track_caller]
    fn check_offer(next_hops: &[&str], end_to_end: &[Extensions], size: u64) {
        let next_hops: Vec<Capabilities> = next_hops.iter().map(|lines| ehlo(lines)).collect();
        let offer = Offer::compute(next_hops.iter(), 5000, Limits::NONE);
        let end_to_end = end_to_end.iter().copied().fold(Extensions::NONE, Extensions::union);
        assert_eq!((offer.end_to_end, offer.size), (end_to_end, size));
    }

    #[test]
    fn only_what_every_next_hop_keeps_is_offered() {
        check_offer(&[], &[], 5000);
        check_offer(&["h|8BITMIME|CHUNKING"], &[Extensions::EIGHT_BIT_MIME], 5000);
        check_offer(&["h|8BITMIME|REQUIRETLS", "h|REQUIRETLS"], &[Extensions::REQUIRETLS], 5000);
        check_offer(&["h|8BITMIME|DSN", "h|DSN|SMTPUTF8"], &[Extensions::DSN], 5000);
        check_offer(&["h|8BITMIME|DSN", "h|DSN|SMTPUTF8", "h"], &[], 5000);
        check_offer(&["h|SIZE 700", "h|SIZE 0", "h|SIZE 800"], &[Extensions::SIZE], 700);
        check_offer(&["h|SIZE 9000"], &[Extensions::SIZE], 5000);
        check_offer(&["h|SIZE 700", "h"], &[], 700);
    }

    #[test]
    fn recipient_limits_meet_and_session_limits_are_ours() {
        let next_hops = [ehlo("h|LIMITS RCPTMAX=10 MAILMAX=3"), ehlo("h|LIMITS RCPTMAX=20 RCPTDOMAINMAX=1")];
        let ours = Limits { mail_max: Some(500), rcpt_max: Some(100), rcpt_domain_max: None };
        let want = Limits { mail_max: Some(500), rcpt_max: Some(10), rcpt_domain_max: Some(1) };
        assert_eq!(Offer::compute(next_hops.iter(), 0, ours).limits, want);
    }

    #[test]
    fn what_we_announce_is_what_a_client_reads() {
        let limits = Limits { mail_max: Some(5), rcpt_max: Some(100), rcpt_domain_max: None };
        let mut offer = Offer::compute([ehlo("h|8BITMIME|SMTPUTF8|DSN|SIZE 7")].iter(), 9, limits);
        (offer.xforward, offer.xclient) = (true, true);
        offer.auth = vec![Mechanism::ScramSha256, Mechanism::Plain];
        let mut out = Vec::new();
        offer.ehlo_reply("mx.example.net", &mut out);
        assert!(out.starts_with(b"250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE 7\r\n250-8BITMIME\r\n"));
        let (consumed, reply) = ReplyParser::new().feed(&out).unwrap();
        assert_eq!(consumed, out.len());
        let read = Capabilities::from_ehlo(&reply.unwrap());
        assert_eq!(read.extensions, offer.extensions());
        assert_eq!((read.size, read.limits), (Some(7), limits));
        assert_eq!(read.auth, b"SCRAM-SHA-256 PLAIN");
        assert_eq!((read.xforward, read.xclient), (Attributes::OF_XFORWARD, Attributes::OF_XCLIENT));
    }

    #[test]
    fn a_bare_offer_has_only_what_is_ours() {
        let mut out = Vec::new();
        Offer::compute([].iter(), 10, Limits::NONE).ehlo_reply("h", &mut out);
        let want = "250-h\r\n250-PIPELINING\r\n250-SIZE 10\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
