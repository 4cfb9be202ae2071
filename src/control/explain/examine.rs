//! One message through all that the proxy does to it before its verdict.
//!
//! The steps and their order are those of `relay`: decode, count Received fields, look into it, judge.
//! What the proxy would stop looking at, because it is refused already, is looked at here to its end:
//! whoever asks wants to know everything.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::content::Converter;
use crate::limits::RECEIVE_BUFFER_BYTES;
use crate::policy::condition::Phase;
use crate::policy::facts::{self, Facts, Known};
use crate::policy::inspect::outline::Outline;
use crate::policy::inspect::{Bench, Engine, Evidence, Inspection};
use crate::policy::judge::{Judgement, judge, judge_early};
use crate::policy::sender::Signing;
use crate::policy::settings::Config;
use crate::policy::shown::tell_shown;
use crate::policy::verdict::{Refusal, Verdict};
use crate::reactor::clock;
use crate::relay::trace_field::ReceivedCounter;
use crate::sender::header_section::HeaderSection;
use crate::smtp::data::{BareNewline, ContentFault, Decoder, Framing};

/// Who sends to whom.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    pub client: Option<IpAddr>,
    pub helo: Option<String>,
    pub from: Option<String>,
    pub to: Vec<String>,
}

/// Everything that came out.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub file: String,
    /// What was done to the file before it was content.
    pub notes: Vec<&'static str>,
    pub verdict: &'static str,
    /// What decided: a rule's name, `score`, `limit`, or `built-in`.
    pub rule: Option<String>,
    pub score: f64,
    /// What the client would hear, without the decision id; none where the next hop replies.
    pub reply: Option<String>,
    pub size: u64,
    /// All of it is held until the verdict: it can be tagged, kept, redirected.
    pub window: bool,
    /// So many octets came when it was refused.
    pub refused_after: Option<u64>,
    pub symbols: Vec<SymbolShown>,
    pub evidence: Vec<EvidenceShown>,
    pub defects: Vec<String>,
    pub limits: Vec<String>,
    pub tricks: Vec<String>,
    pub cut: Vec<String>,
    /// Shadow rules that hold.
    pub shadows: Vec<String>,
    /// Rules that could not be asked, and why.
    pub errors: Vec<String>,
    pub message: MessageShown,
    pub parts: Vec<PartShown>,
    pub parts_unlisted: u64,
    pub urls: Vec<UrlShown>,
    pub attachments: Vec<AttachmentShown>,
    pub cost: Cost,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SymbolShown {
    pub name: String,
    pub score: f64,
    pub count: u32,
}

#[derive(Clone, Debug, Serialize)]
pub struct EvidenceShown {
    pub symbol: String,
    #[serde(rename = "where")]
    pub place: String,
    pub redacted: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct MessageShown {
    pub from_domain: String,
    pub from_name: String,
    pub subject: String,
    pub received: u32,
    pub parts: u32,
    pub encrypted: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct PartShown {
    pub part: u32,
    pub parent: u32,
    pub origin: &'static str,
    #[serde(rename = "type")]
    pub media_type: String,
    pub encoding: &'static str,
    pub kind: Option<&'static str>,
    pub name: Option<String>,
    pub octets: u64,
    pub defects: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
pub struct UrlShown {
    pub host: String,
    pub domain: String,
    pub text_host: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct AttachmentShown {
    pub name: String,
    pub kind: String,
    #[serde(rename = "type")]
    pub media_type: String,
    pub size: u64,
    pub sha256: String,
    pub encrypted: bool,
}

/// Time that this message took here, where nothing else was done; digests of attachments included.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cost {
    pub octets: u64,
    pub decode_ns: u64,
    pub inspect_ns: u64,
    pub judge_ns: u64,
    pub gb_per_s: f64,
}

impl Cost {
    pub const fn total_ns(&self) -> u64 {
        self.decode_ns + self.inspect_ns + self.judge_ns
    }
}

/// Octets in a nanosecond are GB in a second.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn gb_per_s(octets: u64, ns: u64) -> f64 {
    let rate = octets as f64 / ns.max(1) as f64;
    (rate * 1000.0).round() / 1000.0
}

/// Judges one message after the other.
#[derive(Debug)]
pub struct Examiner<'a> {
    config: &'a Config,
    /// What is known before the content.
    envelope: Facts,
    /// What the listener does with this client's.
    bare_newline: BareNewline,
    bench: Bench,
    piece: Vec<u8>,
    wire: Vec<u8>,
    content: Vec<u8>,
}

impl<'a> Examiner<'a> {
    pub fn new(config: &'a Config, envelope: &Envelope) -> Self {
        let (bench, piece) = (Bench::new(), vec![0; RECEIVE_BUFFER_BYTES]);
        let replaces = config.listeners.first().zip(envelope.client);
        let replaces = replaces.is_some_and(|(listener, client)| listener.replaces_bare_newline(client));
        let bare_newline = if replaces { BareNewline::Replace } else { BareNewline::Refuse };
        let envelope = envelope_facts(config, envelope);
        Self { config, envelope, bare_newline, bench, piece, wire: Vec::new(), content: Vec::new() }
    }

    /// Judges the message in the file at `path`.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn examine(&mut self, path: &Path) -> Result<Explanation, String> {
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut file = File::open(path).map_err(told)?;
        let mut message = Message::new(self.config, &self.envelope, self.bare_newline, &mut self.bench);
        loop {
            match file.read(&mut self.piece).map_err(told)? {
                0 => break,
                length => {
                    self.wire.clear();
                    message.converter.push(&self.piece[..length], &mut self.wire);
                    message.take(&self.wire, &mut self.content, &mut self.bench);
                }
            }
        }
        let explanation = message.finish(path.display().to_string(), &mut self.bench);
        if let Some(inspection) = message.inspection.take() {
            self.bench.end(inspection);
        }
        Ok(explanation)
    }
}

fn envelope_facts(config: &Config, envelope: &Envelope) -> Facts {
    let mut facts = Facts::default();
    if let Some(client) = envelope.client {
        facts.client = facts::Client::at(SocketAddr::new(client, 0));
    }
    facts.client.helo = envelope.helo.as_deref().map(|helo| facts::text(helo.as_bytes())).unwrap_or_default();
    facts.client.listener =
        Known::new(config.listeners.first().map_or("unknown", |first| &first.name).to_owned());
    if let Some(from) = &envelope.from {
        let (_, domain) = at_domain(from);
        facts.sender.domain = facts::text(domain.to_lowercase().as_bytes());
        facts.sender.address = facts::text(from.as_bytes());
    }
    let lower = |to: &String| {
        let (local, domain) = at_domain(to);
        format!("{local}{}", domain.to_lowercase())
    };
    facts.recipients = envelope.to.iter().map(lower).collect();
    facts
}

/// The local part with its `@`, and the domain.
fn at_domain(address: &str) -> (&str, &str) {
    address.split_at(address.rfind('@').map_or(address.len(), |at| at + 1))
}

/// One message on its way.
struct Message<'a> {
    config: &'a Config,
    converter: Converter,
    decoder: Decoder,
    counter: ReceivedCounter,
    inspection: Option<Box<Inspection>>,
    /// For who is shown as its author; None where nobody looks.
    header: Option<HeaderSection>,
    /// The facts, where nobody looks into it.
    facts: Facts,
    octets: u64,
    refusal: Option<Refusal>,
    refused_after: Option<u64>,
    cost: Cost,
}

impl<'a> Message<'a> {
    fn new(config: &'a Config, envelope: &Facts, bare_newline: BareNewline, bench: &mut Bench) -> Self {
        let line = config.workers.line;
        let mut inspection = config.engine.as_ref().map(|engine| bench.begin(engine));
        if let Some(inspection) = &mut inspection {
            inspection.draw_outline();
            *inspection.facts_mut() = envelope.clone();
        }
        let early = judge_early(envelope, &config.policy, &config.workers, Phase::Rcpt);
        Self {
            config,
            converter: Converter::default(),
            decoder: Decoder::new(Framing::Bdat, bare_newline, line),
            counter: ReceivedCounter::new(),
            inspection,
            header: config.sender.as_ref().map(|_| HeaderSection::default()),
            facts: envelope.clone(),
            octets: 0,
            refusal: None,
            refused_after: early.map(|_| 0),
            cost: Cost::default(),
        }
    }

    fn take(&mut self, wire: &[u8], content: &mut Vec<u8>, bench: &mut Bench) {
        let begun = clock::instant();
        content.clear();
        let mut rest = wire;
        loop {
            let decoded = self.decoder.decode(rest, content);
            rest = rest.get(decoded.consumed..).unwrap_or_default();
            let Some(fault) = decoded.fault else { break };
            self.on_fault(fault, content.len());
        }
        self.octets += content.len() as u64;
        self.counter.feed(content);
        let decoded = clock::instant();
        if let Some(inspection) = &mut self.inspection {
            inspection.push(content, bench);
        }
        if let Some(header) = self.header.as_mut().filter(|header| !header.is_complete()) {
            header.push(content);
        }
        self.cost.decode_ns += nanoseconds(decoded.since(begun));
        self.cost.inspect_ns += nanoseconds(clock::instant().since(decoded));
        self.judge_early();
    }

    /// The proxy says no and looks for the end only.
    fn on_fault(&mut self, fault: ContentFault, before: usize) {
        self.refusal.get_or_insert(match fault {
            ContentFault::BareCr | ContentFault::BareLf => Refusal::BareNewline,
            ContentFault::Nul => Refusal::Nul,
            ContentFault::LineTooLong => Refusal::LineTooLong,
        });
        self.refused_after.get_or_insert(self.octets + before as u64);
        self.decoder.tolerate();
    }

    fn judge_early(&mut self) {
        if self.refused_after.is_some() {
            return;
        }
        let (policy, workers, octets) = (&self.config.policy, &self.config.workers, self.octets);
        let early = judge_early(self.facts(), policy, workers, Phase::Content);
        self.refused_after = early.map(|_| octets);
    }

    fn facts(&mut self) -> &Facts {
        let facts = match &mut self.inspection {
            Some(inspection) => inspection.facts_mut(),
            None => &mut self.facts,
        };
        facts.message.size = self.octets;
        facts.message.received = self.counter.count();
        facts
    }

    fn finish(&mut self, file: String, bench: &mut Bench) -> Explanation {
        if let Err(fault) = self.decoder.finish() {
            self.on_fault(fault, 0);
        }
        let begun = clock::instant();
        if let Some(inspection) = &mut self.inspection {
            inspection.finish(bench);
        }
        self.tell_shown();
        let inspected = clock::instant();
        let config = self.config;
        let mut judgement = judge(self.facts(), &config.policy, &config.workers);
        self.cost.inspect_ns += nanoseconds(inspected.since(begun));
        self.cost.judge_ns = nanoseconds(clock::instant().since(inspected));
        self.cost.octets = self.octets;
        self.cost.gb_per_s = gb_per_s(self.octets, self.cost.total_ns());
        if let Some(refusal) = self.refusal {
            judgement.verdict = Verdict::Refuse(refusal);
            judgement.cause = crate::policy::judge::Cause::Refusal;
            judgement.reply = judgement.verdict.reply();
        }
        self.explain(file, &judgement)
    }

    /// What needs no DNS of what is asked about senders.
    fn tell_shown(&mut self) {
        let Some((settings, header)) = self.config.sender.as_deref().zip(self.header.take()) else { return };
        let signing = Signing::read(settings, &header);
        let protected = self.config.engine.as_deref().map(Engine::protected);
        let facts = match &mut self.inspection {
            Some(inspection) => inspection.facts_mut(),
            None => &mut self.facts,
        };
        tell_shown(settings, protected, &signing.author, &signing.replies, facts);
    }

    fn explain(&mut self, file: String, judgement: &Judgement) -> Explanation {
        let policy = &self.config.policy;
        let rule = policy.cause_name(judgement.cause).map(str::to_owned);
        let named = |index| policy.rules.find(index).map_or("", |rule| &rule.name);
        let notes = self.notes();
        let facts = self.facts().clone();
        let names = |names: &facts::Names| names.iter().map(str::to_owned).collect();
        let outline = self.inspection.as_ref().and_then(|inspection| inspection.outline());
        let evidence = self.inspection.as_ref().map_or(&[][..], |inspection| inspection.evidence());
        Explanation {
            file,
            notes,
            verdict: judgement.verdict.name(),
            rule,
            // No symbol at all sums to -0.0.
            score: judgement.score + 0.0,
            reply: judgement.reply.as_ref().map(|reply| reply.first_line()),
            size: self.octets,
            window: self.octets <= self.config.workers.window as u64,
            refused_after: self.refused_after,
            symbols: symbols_shown(judgement),
            evidence: evidence.iter().map(evidence_shown).collect(),
            defects: names(&facts.message.defects),
            limits: names(&facts.message.limits),
            tricks: names(&facts.message.tricks),
            cut: names(&facts.message.cut),
            shadows: judgement.shadows.iter().map(|index| named(*index).to_owned()).collect(),
            errors: judgement
                .errors
                .iter()
                .map(|(index, why)| format!("{}: {}", named(*index), why.name()))
                .collect(),
            parts: outline.map(parts_shown).unwrap_or_default(),
            parts_unlisted: outline.map_or(0, |outline| outline.unlisted),
            urls: facts.urls.iter().map(url_shown).collect(),
            attachments: facts.attachments.iter().map(attachment_shown).collect(),
            message: message_shown(&facts),
            cost: self.cost,
        }
    }

    fn notes(&self) -> Vec<&'static str> {
        let changed = self.converter.changed();
        let mut notes = Vec::new();
        if changed.line_ends {
            notes.push("LF became CRLF");
        }
        if changed.mailbox_line {
            notes.push("the From line of a mailbox was left out");
        }
        notes
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What counts most stands first.
fn symbols_shown(judgement: &Judgement) -> Vec<SymbolShown> {
    let shown = judgement.symbols.iter().map(|symbol| SymbolShown {
        name: symbol.name.clone(),
        score: symbol.score,
        count: symbol.count,
    });
    let mut shown: Vec<_> = shown.collect();
    shown.sort_by(|one, other| other.score.total_cmp(&one.score));
    shown
}

fn evidence_shown(evidence: &Evidence) -> EvidenceShown {
    EvidenceShown {
        symbol: evidence.symbol.clone(),
        place: evidence.place.clone(),
        redacted: evidence.redacted.clone(),
    }
}

fn message_shown(facts: &Facts) -> MessageShown {
    let message = &facts.message;
    MessageShown {
        from_domain: message.from_domain.as_str().to_owned(),
        from_name: message.from_name.as_str().to_owned(),
        subject: message.subject.as_str().to_owned(),
        received: message.received,
        parts: message.parts,
        encrypted: message.encrypted,
    }
}

fn parts_shown(outline: &Outline) -> Vec<PartShown> {
    let shown = outline.parts.iter().map(|part| PartShown {
        part: part.part,
        parent: part.parent,
        origin: part.origin,
        media_type: part.media_type.clone(),
        encoding: part.encoding,
        kind: part.kind,
        name: part.name.clone(),
        octets: part.octets,
        defects: part.defects.clone(),
    });
    shown.collect()
}

fn url_shown(url: &facts::Url) -> UrlShown {
    UrlShown { host: url.host.clone(), domain: url.domain.clone(), text_host: url.text_host.clone() }
}

fn attachment_shown(attachment: &facts::Attachment) -> AttachmentShown {
    AttachmentShown {
        name: attachment.name.clone(),
        kind: attachment.kind.as_str().to_owned(),
        media_type: attachment.media_type.clone(),
        size: attachment.size,
        sha256: attachment.sha256.as_str().to_owned(),
        encrypted: attachment.encrypted,
    }
}
