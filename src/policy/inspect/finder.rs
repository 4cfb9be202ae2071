//! Takes the walker's events: what is a fact becomes one, what has octets or text is looked through.
//!
//! Each part has a stream for its octets and one for its text, for every reading; they open with the
//! first bytes and end with the part. The content as it came is one more, for the whole message.

use std::sync::Arc;

use super::STREAMS_OPEN_MAX;
use super::engine::Engine;
use super::evidence::{self, Evidence};
use super::lines::Lines;
use super::outline::Outline;
use crate::mime::kind::{self, Kind};
use crate::mime::{Defect, Event, Head, Origin, PartId, Reading, Sink};
use crate::policy::facts::{Facts, Known};
use crate::policy::symbol;
use crate::scan::digest::Hasher;
use crate::scan::pattern::Place;
use crate::scan::url::{Extractor, Found as ShownLink, Shape, Url};
use crate::scan::{Hit, Scratch, Set, Shortfall, Stream};

/// Links of one message that are looked at; a list of them costs time, not memory.
const URLS_LOOKED_MAX: u32 = 10_000;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) facts: Facts,
    pub(super) evidence: Vec<Evidence>,
    urls_looked: u32,
}

impl Found {
    /// A pattern was found at `place`, in `part` or in the message as a whole.
    pub(super) fn on_hit(&mut self, engine: &Engine, place: &Place, part: Option<PartId>, hit: &Hit<'_>) {
        let Some(pattern) = engine.rules().pattern(hit.pattern) else { return };
        if hit.count < pattern.count {
            return;
        }
        let count = if hit.count == pattern.count { hit.count } else { 1 };
        self.facts.add_symbol(&pattern.symbol, pattern.score, count);
        evidence::keep(&mut self.evidence, hit, engine.rules(), place, part);
    }

    /// What was not looked at has a name.
    pub(super) fn on_shortfall(&mut self, shortfall: Shortfall) {
        let Shortfall { flood, confirm, engine } = shortfall;
        for (fell, name) in [(flood, "scan_flood"), (confirm, "scan_confirm"), (engine, "scan_engine")] {
            if fell {
                self.facts.add_limit(name);
            }
        }
    }

    fn on_defect(&mut self, defect: Defect) {
        match defect {
            Defect::Limit(limit) => self.facts.add_limit(limit.name()),
            Defect::Encrypted => self.facts.message.encrypted = true,
            other => self.facts.add_defect(other.name(), other.severity() == crate::mime::Severity::Serious),
        }
    }
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Text,
    Octets,
}

/// A part under one reading that is being looked through.
#[derive(Debug)]
struct Open {
    part: PartId,
    reading: Reading,
    used: Use,
    stream: Option<Stream>,
    links: Option<Extractor>,
}

/// An attachment that has not ended.
#[derive(Debug)]
struct File {
    part: PartId,
    /// Its place among the facts.
    place: Option<usize>,
    named: Option<Kind>,
    hasher: Hasher,
}

#[derive(Debug)]
pub(super) struct Finder {
    pub(super) engine: Arc<Engine>,
    pub(super) found: Found,
    raw: Option<Stream>,
    open: Vec<Open>,
    files: Vec<File>,
    lines: Lines,
    /// Parts that are archive entries: attachments whatever they are.
    entries: Vec<PartId>,
    pub(super) outline: Option<Outline>,
    name: String,
}

/// A finder at work: the sink of the walker's events.
pub(super) struct Finding<'a> {
    pub(super) finder: &'a mut Finder,
    pub(super) scratch: &'a mut Scratch,
}

impl Sink for Finding<'_> {
    fn on(&mut self, event: Event<'_>) {
        if let Some(outline) = &mut self.finder.outline {
            outline.on(&event);
        }
        let (finder, scratch) = (&mut *self.finder, &mut *self.scratch);
        match event {
            Event::Begin { part, origin, .. } => finder.begin(part, origin),
            Event::Field { part, name, text, .. } => finder.on_field(part, name, text, scratch),
            Event::Head { part, head } => finder.on_head(part, head, scratch),
            Event::Kind { part, kind } => finder.on_kind(part, kind),
            Event::Data { part, reading, bytes } => finder.on_octets(part, reading, bytes, scratch),
            Event::Text { part, reading, text } => finder.on_text(part, reading, text, scratch),
            Event::Link { target, text, .. } => finder.on_link(target, text, scratch),
            Event::Trick { trick, .. } => finder.found.facts.add_trick(trick.name()),
            Event::Defect { defect, .. } => finder.found.on_defect(defect),
            Event::End { part, octets } => finder.end(part, octets, scratch),
        }
    }
}

impl Finder {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            found: Found::default(),
            raw: None,
            open: Vec::new(),
            files: Vec::new(),
            lines: Lines::default(),
            entries: Vec::new(),
            outline: None,
            name: String::new(),
        }
    }

    /// Content as it came.
    pub(super) fn on_raw(&mut self, content: &[u8], scratch: &mut Scratch) {
        let Some(set) = &self.engine.raw else { return };
        let stream = self.raw.get_or_insert_with(|| scratch.open(set));
        let (found, engine) = (&mut self.found, &*self.engine);
        stream.push(content, scratch, &mut |hit| found.on_hit(engine, &Place::Raw, None, &hit));
    }

    fn begin(&mut self, part: PartId, origin: Origin) {
        self.found.facts.message.parts = self.found.facts.message.parts.saturating_add(1);
        if origin == Origin::Archive {
            self.entries.push(part);
        }
    }

    fn on_field(&mut self, part: PartId, name: &[u8], text: &str, scratch: &mut Scratch) {
        let mut lower = std::mem::take(&mut self.name);
        lower.clear();
        lower.extend(name.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        if part == PartId::MESSAGE {
            note_field(&mut self.found.facts, &self.engine.headers, &lower, text);
        }
        self.lines.field(&lower, text, &self.engine, &mut self.found, scratch);
        self.name = lower;
    }

    fn on_head(&mut self, part: PartId, head: &Head, scratch: &mut Scratch) {
        let facts = &mut self.found.facts;
        facts.message.header_complete |= part == PartId::MESSAGE;
        facts.message.encrypted |= head.encrypted;
        if !self.entries.contains(&part) && !is_attachment(head) {
            return;
        }
        let place = facts.add_attachment(head.name().unwrap_or_default(), &head.media_type);
        if let Some(attachment) = place.and_then(|place| facts.attachments.get_mut(place)) {
            attachment.encrypted = head.encrypted;
        }
        let hasher = if self.engine.digests { Hasher::open() } else { Hasher::closed() };
        let named = head.name().map(|name| Kind::from_name(name).kind);
        self.files.push(File { part, place, named, hasher });
        self.on_names(head, scratch);
    }

    fn on_names(&mut self, head: &Head, scratch: &mut Scratch) {
        for name in &head.names {
            if Kind::from_name(name).is_disguised() {
                self.found.facts.add_symbol(symbol::NAME_DISGUISED, symbol::NAME_DISGUISED_SCORE, 1);
            }
            if let Some(set) = &self.engine.filename {
                self.lines.push(set, name, &self.engine, &mut self.found, scratch);
            }
        }
    }

    fn on_kind(&mut self, part: PartId, kind: Kind) {
        let Some(file) = self.files.iter().rfind(|file| file.part == part) else { return };
        let facts = &mut self.found.facts;
        if let Some(attachment) = file.place.and_then(|place| facts.attachments.get_mut(place)) {
            attachment.kind = Known::new(kind.name());
        }
        if file.named.is_some_and(|named| kind::mismatch(named, kind)) {
            facts.add_symbol(symbol::KIND_DISGUISED, symbol::KIND_DISGUISED_SCORE, 1);
        }
    }

    fn on_octets(&mut self, part: PartId, reading: Reading, bytes: &[u8], scratch: &mut Scratch) {
        if reading == Reading::Strict
            && let Some(file) = self.files.iter_mut().rfind(|file| file.part == part)
        {
            file.hasher.push(bytes);
        }
        let Some(set) = self.engine.attachment.clone() else { return };
        let Some(index) = self.stream(part, reading, Use::Octets, Some(&set), scratch) else { return };
        let (found, engine) = (&mut self.found, &*self.engine);
        if let Some(stream) = self.open.get_mut(index).and_then(|open| open.stream.as_mut()) {
            stream
                .push(bytes, scratch, &mut |hit| found.on_hit(engine, &Place::Attachment, Some(part), &hit));
        }
    }

    fn on_text(&mut self, part: PartId, reading: Reading, text: &str, scratch: &mut Scratch) {
        let set = self.engine.text.clone();
        if set.is_none() && !self.engine.urls {
            return;
        }
        let Some(index) = self.stream(part, reading, Use::Text, set.as_ref(), scratch) else { return };
        let (found, engine) = (&mut self.found, &*self.engine);
        let Some(open) = self.open.get_mut(index) else { return };
        if let Some(stream) = &mut open.stream {
            stream.push_text(text, scratch, &mut |hit| found.on_hit(engine, &Place::Text, Some(part), &hit));
        }
        if let Some(mut links) = open.links.take() {
            links.push(text.as_bytes(), &mut |link| self.on_shown_link(&link, scratch));
            if let Some(open) = self.open.get_mut(index) {
                open.links = Some(links);
            }
        }
    }

    /// The stream of a part under a reading; `None` if there are too many.
    fn stream(
        &mut self,
        part: PartId,
        reading: Reading,
        used: Use,
        set: Option<&Arc<Set>>,
        scratch: &mut Scratch,
    ) -> Option<usize> {
        let same = |open: &Open| open.part == part && open.reading == reading && open.used == used;
        if let Some(index) = self.open.iter().rposition(same) {
            return Some(index);
        }
        if self.open.len() == STREAMS_OPEN_MAX {
            self.found.facts.add_limit("scan_streams");
            return None;
        }
        let links = (used == Use::Text && self.engine.urls).then(Extractor::new);
        let stream = set.map(|set| scratch.open(set));
        self.open.push(Open { part, reading, used, stream, links });
        Some(self.open.len() - 1)
    }

    fn on_link(&mut self, target: &str, text: &str, scratch: &mut Scratch) {
        if self.engine.urls
            && let Some(url) = Url::parse(target)
        {
            let inside = url.embedded();
            self.on_url(&url.with_text(text), scratch);
            inside.iter().for_each(|inner| self.on_url(inner, scratch));
        }
    }

    /// A link that text shows; those inside it come by themselves. An address is none.
    fn on_shown_link(&mut self, link: &ShownLink<'_>, scratch: &mut Scratch) {
        if link.shape != Shape::Address {
            self.on_url(&link.url, scratch);
        }
    }

    fn on_url(&mut self, url: &Url, scratch: &mut Scratch) {
        self.found.urls_looked += 1;
        if self.found.urls_looked > URLS_LOOKED_MAX {
            self.found.urls_looked = URLS_LOOKED_MAX;
            return self.found.facts.add_limit("urls_looked");
        }
        let facts = &mut self.found.facts;
        if !url.host.is_empty() {
            facts.add_url(&url.host, url.domain(), url.text_host.as_deref().unwrap_or_default());
        }
        if url.misleads() {
            facts.add_symbol(symbol::URL_MISLEADS, symbol::URL_MISLEADS_SCORE, 1);
        }
        if self.engine.protected.look(&url.host).is_some() {
            facts.add_symbol(symbol::URL_LOOKALIKE, symbol::URL_LOOKALIKE_SCORE, 1);
        }
        for trick in url.tricks.names() {
            facts.add_symbol(&symbol::of(symbol::URL_TRICK, trick), 0.0, 1);
        }
        if let Some(set) = &self.engine.url {
            let mut line = String::new();
            url.write(&mut line);
            self.lines.push(set, &line, &self.engine, &mut self.found, scratch);
        }
    }

    /// The part is over: so are its streams.
    fn end(&mut self, part: PartId, octets: u64, scratch: &mut Scratch) {
        while let Some(index) = self.open.iter().rposition(|open| open.part == part) {
            self.end_stream(index, scratch);
        }
        self.entries.retain(|entry| *entry != part);
        let Some(index) = self.files.iter().rposition(|file| file.part == part) else { return };
        let mut file = self.files.remove(index);
        let facts = &mut self.found.facts;
        if let Some(attachment) = file.place.and_then(|place| facts.attachments.get_mut(place)) {
            attachment.size = octets;
            attachment.complete = true;
            if let Some(sum) = file.hasher.finish() {
                attachment.sha256 = Known::new(sum.to_string());
            }
        }
    }

    fn end_stream(&mut self, index: usize, scratch: &mut Scratch) {
        let Open { part, used, stream, links, .. } = self.open.remove(index);
        if let Some(mut links) = links {
            links.finish(&mut |link| self.on_shown_link(&link, scratch));
        }
        let Some(mut stream) = stream else { return };
        let place = if used == Use::Text { Place::Text } else { Place::Attachment };
        let (found, engine) = (&mut self.found, &*self.engine);
        let shortfall = stream.finish(scratch, &mut |hit| found.on_hit(engine, &place, Some(part), &hit));
        self.found.on_shortfall(shortfall);
        scratch.park(stream);
    }

    /// The message is over.
    pub(super) fn finish(&mut self, scratch: &mut Scratch) {
        while !self.open.is_empty() {
            self.end_stream(self.open.len() - 1, scratch);
        }
        let (found, engine) = (&mut self.found, &*self.engine);
        self.lines.finish(engine, found, scratch);
        if let Some(mut raw) = self.raw.take() {
            let shortfall = raw.finish(scratch, &mut |hit| found.on_hit(engine, &Place::Raw, None, &hit));
            found.on_shortfall(shortfall);
            scratch.park(raw);
        }
        self.found
            .evidence
            .sort_by(|one, other| (&one.symbol, &one.place).cmp(&(&other.symbol, &other.place)));
    }

    pub(super) fn reset(&mut self, scratch: &mut Scratch) {
        let streams = self.open.drain(..).filter_map(|open| open.stream).chain(self.raw.take());
        streams.for_each(|stream| scratch.park(stream));
        self.lines.reset(scratch);
        self.files.clear();
        self.entries.clear();
        self.found = Found::default();
        self.outline = None;
    }
}

/// What clients show as something to be opened.
fn is_attachment(head: &Head) -> bool {
    let inside = ["text/", "multipart/", "message/"].iter().any(|top| head.media_type.starts_with(top));
    !inside || !head.names.is_empty() || head.disposition == "attachment"
}

fn note_field(facts: &mut Facts, asked: &[String], name: &str, text: &str) {
    match name {
        "subject" => facts.set_subject(text),
        "from" => {
            let (name, domain) = mailbox(text);
            facts.set_from(&domain, name);
        }
        _ => {}
    }
    if asked.iter().any(|asked| asked == name) {
        facts.add_header(name, text);
    }
}

/// Display name and domain of the first mailbox, as readers show them (RFC 5322 §3.4).
fn mailbox(text: &str) -> (&str, String) {
    let (name, address) = match text.split_once('<') {
        Some((name, rest)) => (name, rest.split('>').next().unwrap_or_default()),
        None => ("", text),
    };
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let end = domain.find([' ', '\t', ',', '(', ';']).unwrap_or(domain.len());
    let domain = domain.get(..end).unwrap_or_default().trim_end_matches('.').to_lowercase();
    (name.trim().trim_matches('"'), domain)
}

#[cfg(test)]
mod tests {
    use super::mailbox;

    #[test]
    fn a_mailbox_has_a_name_and_a_domain() {
        for (text, name, domain) in [
            ("a@Example.ORG", "", "example.org"),
            ("A B <a@b.example>", "A B", "b.example"),
            ("\"A, B\" <a@b.example.>, c@d.example", "A, B", "b.example"),
            ("a@b.example (A B)", "", "b.example"),
            ("nobody", "", ""),
            ("\"x@y.example\" <a@b.example>", "x@y.example", "b.example"),
        ] {
            assert_eq!(mailbox(text), (name, domain.to_owned()), "{text}");
        }
    }
}
