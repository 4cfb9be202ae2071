//! The parts of a message as a list, for people who ask why.

use crate::mime::{Defect, Event, Origin, PartId, TransferEncoding};

/// Parts that are listed; more are only counted.
pub const LISTED_PARTS_MAX: usize = 1000;
const DEFECTS_OF_PART_MAX: usize = 64;

/// One part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub part: u32,
    pub parent: u32,
    pub origin: &'static str,
    pub media_type: String,
    pub encoding: &'static str,
    pub kind: Option<&'static str>,
    pub name: Option<String>,
    pub octets: u64,
    pub defects: Vec<&'static str>,
}

/// All parts, in order of appearance.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    pub parts: Vec<Part>,
    pub unlisted: u64,
}

impl Outline {
    pub(super) fn on(&mut self, event: &Event<'_>) {
        match *event {
            Event::Begin { part, parent, origin } => self.begin(part, parent, origin),
            Event::Head { part, head } => self.with(part, |listed| {
                listed.media_type.clone_from(&head.media_type);
                listed.encoding = encoding(head.encoding);
                listed.name = head.name().map(str::to_owned);
            }),
            Event::Kind { part, kind } => self.with(part, |listed| listed.kind = Some(kind.name())),
            Event::Defect { part, defect } => self.with(part, |listed| note(listed, defect)),
            Event::End { part, octets } => self.with(part, |listed| listed.octets = octets),
            _ => {}
        }
    }

    fn begin(&mut self, part: PartId, parent: PartId, origin: Origin) {
        if self.parts.len() == LISTED_PARTS_MAX {
            self.unlisted += 1;
            return;
        }
        let origin = match origin {
            Origin::Message => "message",
            Origin::Multipart => "multipart",
            Origin::Rfc822 => "rfc822",
            Origin::Archive => "archive",
            Origin::Preamble => "preamble",
            Origin::Guessed => "guessed",
        };
        self.parts.push(Part { part: part.0, parent: parent.0, origin, ..Part::default() });
    }

    fn with(&mut self, part: PartId, change: impl FnOnce(&mut Part)) {
        if let Ok(place) = self.parts.binary_search_by_key(&part.0, |listed| listed.part) {
            self.parts.get_mut(place).map(change);
        }
    }
}

fn note(listed: &mut Part, defect: Defect) {
    if listed.defects.len() < DEFECTS_OF_PART_MAX && !listed.defects.contains(&defect.name()) {
        listed.defects.push(defect.name());
    }
}

const fn encoding(encoding: TransferEncoding) -> &'static str {
    match encoding {
        TransferEncoding::Identity => "identity",
        TransferEncoding::Base64 => "base64",
        TransferEncoding::QuotedPrintable => "quoted-printable",
        TransferEncoding::Uuencode => "uuencode",
    }
}
