//! What is known of a transaction: plain data that rules read and the score is made of.
//!
//! CONTRACT names them: `client`, `sender`, `recipients`, `message`, `attachments`, `urls`,
//! `symbols`, `lane`. The session fills in who is talking, inspection what it found in the content;
//! nobody here looks anything up. Domains are filled in lower case, names of header fields too.
//!
//! Invariants: a fact that is not known is [`UNKNOWN`], never absent. The facts of the content hold
//! at most [`FACTS_BYTES_MAX`] bytes of text, however long the message is, and whatever did not fit
//! is named: in `message.limits` if a whole attachment, URL or symbol was left out (policy decides
//! what such a message deserves), in `message.cut` if only the rest of a text was.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::first_contact::Contact;
use super::sender::Objection;
use super::shown::Sign;
use super::symbol::{self, Symbols};
use crate::limits::{
    FACT_ATTACHMENTS_MAX, FACT_FILE_NAME_BYTES_MAX, FACT_HEADER_BYTES_MAX, FACT_HEADERS_MAX, FACT_NAMES_MAX,
    FACT_TEXT_BYTES_MAX, FACT_URLS_MAX, FACTS_BYTES_MAX,
};

/// Text of a fact; most are borrowed constants.
pub type Text = Cow<'static, str>;

/// What stands for a fact that is not known.
pub const UNKNOWN: &str = "unknown";

/// A client's neighbours are those of its /24, or of its /64.
const NEIGHBOURS_IPV4: u8 = 24;
const NEIGHBOURS_IPV6: u8 = 64;
/// Nobody's programs are chosen by an extension longer than this.
const EXTENSION_BYTES_MAX: usize = 32;
/// SHA-256 in hex.
const DIGEST_TEXT_BYTES: usize = 64;

/// Everything that is known of one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub client: Client,
    pub sender: Sender,
    /// Addresses, as the client wrote them but for the case of the domain.
    pub recipients: Vec<String>,
    pub message: Message,
    pub attachments: Vec<Attachment>,
    /// Each once, in order of their text, so that equal messages have equal facts.
    pub urls: Vec<Url>,
    pub symbols: Symbols,
    pub lane: Known,
    /// Whether client, sender and recipients have met before.
    pub contact: Contact,
    /// Of [`FACTS_BYTES_MAX`], so many are taken.
    bytes: usize,
}

/// A text that is [`UNKNOWN`] until somebody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known(pub Text);

impl Default for Known {
    fn default() -> Self {
        Self(Cow::Borrowed(UNKNOWN))
    }
}

impl Known {
    pub fn new(text: impl Into<Text>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_unknown(&self) -> bool {
        self.0 == UNKNOWN
    }
}

/// Who is connected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Client {
    pub ip: Known,
    /// The network of its neighbours.
    pub net: Known,
    pub port: u16,
    pub ptr: Known,
    pub helo: Known,
    pub asn: Known,
    pub tls: Known,
    pub auth_user: Known,
    pub listener: Known,
    /// What is to be expected of it, by what it did lately.
    pub conduct: Known,
    /// Tests of good manners that it failed.
    pub tests: Names,
}

/// Whose neighbours a client's are: who has one address of these may have them all.
pub fn neighbours(client: IpAddr) -> IpNet {
    let ip = client.to_canonical();
    let prefix = if ip.is_ipv4() { NEIGHBOURS_IPV4 } else { NEIGHBOURS_IPV6 };
    // No address has fewer bits than that.
    IpNet::new(ip, prefix).map_or_else(|_| ip.into(), |net| net.trunc())
}

impl Client {
    pub fn at(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        Self {
            ip: Known::new(ip.to_string()),
            net: Known::new(neighbours(ip).to_string()),
            port: address.port(),
            ..Self::default()
        }
    }
}

/// On whose behalf: the reverse path and what its domain says about that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sender {
    pub address: Known,
    pub domain: Known,
    pub spf: Known,
    pub dkim: Vec<Signature>,
    pub dmarc: Known,
    /// What speaks against the author that is shown.
    pub objection: Option<Objection>,
    /// Mail went to this author before, or came of its domain and was wanted; and the author is proven.
    pub known: bool,
    /// The client's user may send from it.
    pub owned: bool,
    /// One of the recipients wrote to this author before, who is proven.
    pub correspondent: bool,
}

/// One DKIM signature and what became of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signature {
    pub domain: Known,
    pub result: Known,
}

/// The message as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Octets of content.
    pub size: u64,
    /// Received fields that it came with.
    pub received: u32,
    pub from_domain: Known,
    pub from_name: Known,
    pub subject: Known,
    /// What lists say of its links.
    pub uribl: Known,
    /// The fields that rules ask for, names in lower case; repeated ones are joined by line feeds.
    pub headers: Vec<(String, String)>,
    /// Its header section is over: nothing of the above but the size will change.
    pub header_complete: bool,
    pub parts: u32,
    /// Some part cannot be looked into, and says so.
    pub encrypted: bool,
    pub defects: Names,
    pub limits: Names,
    pub tricks: Names,
    /// Of who is shown as its author.
    pub shown: Names,
    pub cut: Names,
}

/// A set of names, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names(Vec<Text>);

impl Names {
    /// Whether it is a new one.
    pub fn insert(&mut self, name: Text) -> bool {
        match self.0.binary_search(&name) {
            Err(at) if self.0.len() < FACT_NAMES_MAX => {
                self.0.insert(at, name);
                true
            }
            _ => false,
        }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|known| known.as_ref().cmp(name)).is_ok()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Text::as_ref)
    }

    pub fn nth(&self, index: usize) -> Option<&str> {
        self.0.get(index).map(Text::as_ref)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A part with a name, or one that is no text; also each entry of an archive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attachment {
    /// As it was decoded; only the end of a very long one.
    pub name: String,
    /// What the name ends with, in lower case, dots and spaces behind it left off as Windows does.
    pub extension: String,
    /// What it is by its own first bytes.
    pub kind: Known,
    /// What its header says it is.
    pub media_type: String,
    /// Octets after decoding, so far.
    pub size: u64,
    pub sha256: Known,
    pub encrypted: bool,
    /// Its end has been seen: nothing of it will change.
    pub complete: bool,
}

/// A link or an address that a reader could follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Url {
    pub host: String,
    /// The part of it that somebody registered.
    pub domain: String,
    /// The host that the visible text of the link shows; empty if it shows none.
    pub text_host: String,
}

impl Facts {
    /// Notes an attachment; says where it stands in the list, for what is learnt of it later.
    pub fn add_attachment(&mut self, name: &str, media_type: &str) -> Option<usize> {
        let extension = extension(name);
        let kept = ending(name, FACT_FILE_NAME_BYTES_MAX);
        self.note_cut(kept.len() < name.len(), "attachments.name");
        let media_type = self.cut(media_type, "attachments.type");
        let bytes = kept.len() + extension.len() + media_type.len() + DIGEST_TEXT_BYTES;
        let place = self.attachments.len();
        if place == FACT_ATTACHMENTS_MAX || !self.take(bytes) {
            self.add_limit("attachments");
            return None;
        }
        let name = kept.to_owned();
        self.attachments.push(Attachment { name, extension, media_type, ..Attachment::default() });
        Some(place)
    }

    /// Notes a URL. All three in lower case; `text_host` may be empty.
    pub fn add_url(&mut self, host: &str, domain: &str, text_host: &str) {
        // Most links of a message lead to few hosts: what is known already is not copied.
        let [host, domain, text_host] =
            [(host, "urls.host"), (domain, "urls.domain"), (text_host, "urls.text_host")].map(
                |(text, fact)| {
                    let kept = beginning(text, FACT_TEXT_BYTES_MAX);
                    self.note_cut(kept.len() < text.len(), fact);
                    kept
                },
            );
        let order = |known: &Url| {
            (known.host.as_str(), known.domain.as_str(), known.text_host.as_str())
                .cmp(&(host, domain, text_host))
        };
        let Err(place) = self.urls.binary_search_by(order) else { return };
        if self.urls.len() == FACT_URLS_MAX || !self.take(host.len() + domain.len() + text_host.len()) {
            return self.add_limit("urls");
        }
        let [host, domain, text_host] = [host, domain, text_host].map(str::to_owned);
        self.urls.insert(place, Url { host, domain, text_host });
    }

    /// Notes that `symbol` was found `count` times (more). The highest score it came with holds.
    pub fn add_symbol(&mut self, name: &str, score: f64, count: u32) {
        if self.symbols.raise(name, score, count) {
            return;
        }
        if !self.take(name.len()) || !self.symbols.insert(name, score, count) {
            self.message.limits.insert(Cow::Borrowed("symbols"));
        }
    }

    /// Something is wrong with how the message is put together; serious if readers differ over it.
    pub fn add_defect(&mut self, name: &'static str, serious: bool) {
        if self.message.defects.insert(Cow::Borrowed(name)) {
            let score = if serious { symbol::DEFECT_SCORE } else { 0.0 };
            self.add_symbol(&symbol::of(symbol::DEFECT, name), score, 1);
        }
    }

    /// Not all of the message could be looked at: this bound was hit.
    pub fn add_limit(&mut self, name: &'static str) {
        let name = name.strip_prefix("limit_").unwrap_or(name);
        debug_assert!(symbol::is_limit(name), "{name} is in no list of limits");
        if self.message.limits.insert(Cow::Borrowed(name)) {
            self.add_symbol(&symbol::of(symbol::LIMIT, name), 0.0, 1);
        }
    }

    /// Something is shown to the reader otherwise than it is.
    pub fn add_trick(&mut self, name: &'static str) {
        if self.message.tricks.insert(Cow::Borrowed(name)) {
            self.add_symbol(&symbol::of(symbol::TRICK, name), symbol::TRICK_SCORE, 1);
        }
    }

    /// Something is odd about who is shown as the author.
    pub fn add_sign(&mut self, sign: Sign) {
        if self.message.shown.insert(Cow::Borrowed(sign.name())) {
            self.add_symbol(sign.symbol(), sign.score(), 1);
        }
    }

    /// Keeps a header field that some rule asks for. `name` in lower case.
    pub fn add_header(&mut self, name: &str, value: &str) {
        let headers = &mut self.message.headers;
        let place = headers.iter().position(|(known, _)| known == name);
        let before = place.map_or(0, |place| headers[place].1.len() + 1);
        let kept = beginning(value, FACT_HEADER_BYTES_MAX.saturating_sub(before));
        self.note_cut(kept.len() < value.len(), "message.headers");
        if self.message.headers.len() == FACT_HEADERS_MAX && place.is_none() || !self.take(kept.len()) {
            self.message.cut.insert(Cow::Borrowed("message.headers"));
            return;
        }
        match place {
            Some(place) => {
                let known = &mut self.message.headers[place].1;
                known.push('\n');
                known.push_str(kept);
            }
            None => self.message.headers.push((name.to_owned(), kept.to_owned())),
        }
    }

    pub fn set_subject(&mut self, subject: &str) {
        let kept = beginning(subject, FACT_HEADER_BYTES_MAX).to_owned();
        self.note_cut(kept.len() < subject.len(), "message.subject");
        self.message.subject = Known::new(kept);
    }

    /// From, as a reader sees it. `domain` in lower case.
    pub fn set_from(&mut self, domain: &str, name: &str) {
        self.message.from_domain = Known::new(self.cut(domain, "message.from_domain"));
        self.message.from_name = Known::new(self.cut(name, "message.from_name"));
    }

    fn cut(&mut self, text: &str, fact: &'static str) -> String {
        let kept = beginning(text, FACT_TEXT_BYTES_MAX);
        self.note_cut(kept.len() < text.len(), fact);
        kept.to_owned()
    }

    fn note_cut(&mut self, cut: bool, fact: &'static str) {
        if cut {
            self.message.cut.insert(Cow::Borrowed(fact));
        }
    }

    /// Takes `bytes` of what one message may hold, if there are so many left.
    fn take(&mut self, bytes: usize) -> bool {
        let sum = self.bytes + bytes;
        let fits = sum <= FACTS_BYTES_MAX;
        if fits {
            self.bytes = sum;
        }
        fits
    }
}

/// A peer's bytes as the text of a fact: what is no UTF-8 is replaced, what is too long left off.
pub fn text(bytes: &[u8]) -> Known {
    let bytes = &bytes[..bytes.len().min(FACT_TEXT_BYTES_MAX)];
    Known::new(String::from_utf8_lossy(bytes).into_owned())
}

/// At most `bytes_max` bytes from the start, in whole characters.
fn beginning(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// At most `bytes_max` bytes from the end, in whole characters.
fn ending(text: &str, bytes_max: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

fn extension(name: &str) -> String {
    let name = name.trim_end_matches(['.', ' ']);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    beginning(extension, EXTENSION_BYTES_MAX).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SYMBOLS_MAX;

    #[test]
    fn a_client_has_neighbours() {
        for (address, ip, net) in [
            ("192.0.2.77:25", "192.0.2.77", "192.0.2.0/24"),
            ("[::ffff:192.0.2.77]:25", "192.0.2.77", "192.0.2.0/24"),
            ("[2001:db8:1:2:3::4]:25", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ] {
            let client = Client::at(address.parse().unwrap());
            assert_eq!((client.ip.as_str(), client.net.as_str(), client.port), (ip, net, 25));
            assert!(client.ptr.is_unknown() && client.tls.is_unknown());
        }
    }

    #[test]
    fn extensions_are_what_windows_takes_them_for() {
        for (name, want) in [
            ("a.EXE", "exe"),
            ("a.pdf.exe", "exe"),
            ("a.exe. . ", "exe"),
            ("a", ""),
            (".profile", "profile"),
            ("", ""),
            ("rechnung.PÄF", "päf"),
        ] {
            assert_eq!(extension(name), want, "{name}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_end_and_says_so() {
        let mut facts = Facts::default();
        let place = facts.add_attachment(&format!("{}.scr", "ä".repeat(300)), "text/plain").unwrap();
        assert!(facts.attachments[place].name.ends_with("ä.scr"));
        assert!(facts.attachments[place].name.len() <= FACT_FILE_NAME_BYTES_MAX);
        assert_eq!(facts.attachments[place].extension, "scr");
        assert!(facts.message.cut.contains("attachments.name") && facts.message.limits.is_empty());
    }

    #[test]
    fn every_list_is_bounded_and_says_so() {
        let mut facts = Facts::default();
        for n in 0..1000 {
            facts.add_attachment("a", "");
            facts.add_url(&format!("h{n}.example"), "", "");
            facts.add_symbol(&format!("S{n}"), 1.0, 1);
            facts.add_header(&format!("x-{n}"), "v");
        }
        assert_eq!((facts.attachments.len(), facts.urls.len()), (FACT_ATTACHMENTS_MAX, FACT_URLS_MAX));
        assert_eq!((facts.symbols.len(), facts.message.headers.len()), (SYMBOLS_MAX, FACT_HEADERS_MAX));
        for limit in ["attachments", "urls", "symbols"] {
            assert!(facts.message.limits.contains(limit), "{limit}");
        }
        assert!(facts.message.cut.contains("message.headers"));
    }

    #[test]
    fn all_text_together_is_bounded() {
        let mut facts = Facts::default();
        for n in 0..FACT_URLS_MAX {
            facts.add_url(&format!("{n}{}", "h".repeat(240)), &"d".repeat(240), &"t".repeat(240));
            facts.add_attachment(&"n".repeat(250), "");
        }
        assert!(facts.bytes <= FACTS_BYTES_MAX && facts.urls.len() < FACT_URLS_MAX);
        assert!(facts.message.limits.contains("urls") && facts.message.limits.contains("attachments"));
    }

    #[test]
    fn the_same_url_is_one_fact_in_any_order() {
        let (mut one, mut other) = (Facts::default(), Facts::default());
        for host in ["b", "a", "b", "c"] {
            one.add_url(host, host, "");
        }
        for host in ["c", "b", "a"] {
            other.add_url(host, host, "");
        }
        assert_eq!(one.urls, other.urls);
    }

    #[test]
    fn a_symbol_counts_and_keeps_its_highest_score() {
        let mut facts = Facts::default();
        facts.add_symbol("B", 1.0, 2);
        facts.add_symbol("A", 0.5, 1);
        facts.add_symbol("B", 3.0, 1);
        let found: Vec<_> = facts.symbols.iter().map(|s| (s.name.as_str(), s.score, s.count)).collect();
        assert_eq!(found, [("A", 0.5, 1), ("B", 3.0, 3)]);
    }

    #[test]
    fn defects_limits_and_tricks_are_symbols_too() {
        let mut facts = Facts::default();
        facts.add_defect("bad-base64", true);
        facts.add_limit("limit_depth");
        facts.add_trick("zero_font");
        for name in ["MIME_DEFECT_BAD_BASE64", "LIMIT_DEPTH", "HTML_TRICK_ZERO_FONT"] {
            assert!(facts.symbols.find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn repeated_fields_are_joined() {
        let mut facts = Facts::default();
        facts.add_header("x-a", "one");
        facts.add_header("x-a", "two");
        facts.add_header("x-a", &"x".repeat(FACT_HEADER_BYTES_MAX));
        assert!(facts.message.headers[0].1.starts_with("one\ntwo\nx"));
        assert_eq!(facts.message.headers[0].1.len(), FACT_HEADER_BYTES_MAX);
        assert!(facts.message.cut.contains("message.headers"));
    }

    #[test]
    fn a_peers_bytes_become_text() {
        assert_eq!(text(b"a\xffb").as_str(), "a\u{fffd}b");
        assert!(text(&[b'x'; 9999]).as_str().len() <= FACT_TEXT_BYTES_MAX);
    }
}
