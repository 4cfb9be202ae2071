//! Octets to visible text: charset, then HTML or plain.
//!
//! One text can be told in up to three streams: as it is read strictly, as it is read otherwise (by
//! another charset, or as HTML that it is not declared to be), and what HTML hides. Each is a stream
//! of its own, for they would mix as the input is cut.

use super::data_link::DataLinks;
use super::file::Around;
use crate::mime::defect::{Defect, Defects};
use crate::mime::html::{self, HtmlEvent};
use crate::mime::walker::Shared;
use crate::mime::{Event, PartId, Reading, Sink, charset};

/// A text being read.
#[derive(Debug)]
pub(crate) struct Text {
    charset: charset::Decoder,
    first: Shown,
    /// What else it may be: HTML that is not declared, or, when that is not so, the text that a second
    /// charset makes of it. Only the strict view has it, for there is one lenient stream.
    second: Second,
    data: DataLinks,
}

/// Where what is read goes.
struct Out<'a> {
    data: &'a mut DataLinks,
    shared: &'a mut Shared,
    sink: &'a mut dyn Sink,
}

/// How text is shown.
#[derive(Debug)]
enum Shown {
    Plain,
    Html(Box<html::Reader>),
}

/// The second way in which a text is shown.
#[derive(Debug)]
enum Second {
    /// Made when the second charset gives something, which is rare.
    Charset {
        html: bool,
        shown: Option<Shown>,
    },
    Undeclared(Box<html::Reader>),
    /// The lenient stream is another view's.
    Ignored,
}

/// How a text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) html: bool,
    /// It is declared plain and looks like HTML.
    pub(crate) undeclared_html: bool,
    /// The lenient reading is free for what a second charset makes of it.
    pub(crate) alone: bool,
}

impl Shown {
    fn new(html: bool) -> Self {
        if html { Self::Html(Box::new(html::Reader::new())) } else { Self::Plain }
    }

    fn push(&mut self, text: &str, voice: Voice, out: &mut Out<'_>) {
        match self {
            _ if text.is_empty() => {}
            Self::Plain => voice.text(text, out.sink),
            Self::Html(reader) => reader.push(text, &mut |event| voice.tell(event, out)),
        }
    }

    fn finish(&mut self, voice: Voice, out: &mut Out<'_>) {
        if let Self::Html(reader) = self {
            reader.finish(&mut |event| voice.tell(event, out));
        }
    }
}

/// As what the text is told.
#[derive(Clone, Copy, Debug)]
struct Voice {
    part: PartId,
    reading: Reading,
    links: bool,
}

impl Voice {
    /// Of the text of another charset: its links would stand before or after those of the first
    /// text as the input is cut, so they are text.
    const fn of_charset(self) -> Self {
        Self { reading: Reading::Lenient, links: false, ..self }
    }

    /// Of HTML that is declared plain: there are no other links.
    const fn undeclared(self) -> Self {
        Self { reading: Reading::Lenient, ..self }
    }

    /// What is not seen has a reading of its own, or one word could be told as two.
    const fn hidden(self) -> Self {
        match self.reading {
            Reading::Strict => Self { reading: Reading::Hidden, ..self },
            _ => self,
        }
    }

    fn text(self, text: &str, sink: &mut dyn Sink) {
        sink.on(Event::Text { part: self.part, reading: self.reading, text });
    }

    fn tell(self, event: HtmlEvent<'_>, out: &mut Out<'_>) {
        let part = self.part;
        let sink = &mut *out.sink;
        match event {
            HtmlEvent::Text(text) => self.text(text, sink),
            HtmlEvent::Hidden(text) => self.hidden().text(text, sink),
            HtmlEvent::Link { target, text } if self.links => sink.on(Event::Link { part, target, text }),
            HtmlEvent::Link { target, .. } => {
                for text in [" ", target, " "] {
                    self.text(text, sink);
                }
            }
            HtmlEvent::Data { piece, last } if self.links => {
                out.data.push(piece, last, part, out.shared, sink);
            }
            HtmlEvent::Data { .. } => {}
            HtmlEvent::Trick(trick) if self.links => sink.on(Event::Trick { part, trick }),
            HtmlEvent::Trick(_) => {}
        }
    }
}

impl Text {
    pub(super) fn new(label: Option<&str>, manner: Manner, around: Around) -> Self {
        let second = match manner {
            Manner { alone: false, .. } => Second::Ignored,
            Manner { undeclared_html: true, .. } => Second::Undeclared(Box::new(html::Reader::new())),
            Manner { html, .. } => Second::Charset { html, shown: None },
        };
        let charset = charset::Decoder::new(label.map(str::as_bytes));
        let first = Shown::new(manner.html);
        Self { charset, first, second, data: DataLinks::new(around) }
    }

    /// Whether it may tell links and tricks.
    pub(crate) const fn has_links(&self) -> bool {
        matches!(self.first, Shown::Html(_)) || matches!(self.second, Second::Undeclared(_))
    }

    /// Takes the next octets of the text, in its charset.
    pub(crate) fn push(
        &mut self,
        octets: &[u8],
        part: PartId,
        reading: Reading,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) {
        let mut decoded = shared.buffers.text();
        self.charset.push(octets, &mut decoded);
        self.tell(decoded, Voice { part, reading, links: true }, shared, sink);
    }

    /// The text is over; what was wrong with it.
    pub(crate) fn finish(
        &mut self,
        part: PartId,
        reading: Reading,
        shared: &mut Shared,
        sink: &mut dyn Sink,
    ) -> Defects {
        let voice = Voice { part, reading, links: true };
        let mut decoded = shared.buffers.text();
        self.charset.finish(&mut decoded);
        self.tell(decoded, voice, shared, sink);
        let mut out = Out { data: &mut self.data, shared, sink };
        self.first.finish(voice, &mut out);
        match &mut self.second {
            Second::Charset { shown: Some(shown), .. } => shown.finish(voice.of_charset(), &mut out),
            Second::Undeclared(reader) => {
                reader.finish(&mut |event| voice.undeclared().tell(event, &mut out));
            }
            Second::Charset { shown: None, .. } | Second::Ignored => {}
        }
        of_charset(self.charset.defects())
    }

    fn tell(&mut self, mut decoded: String, voice: Voice, shared: &mut Shared, sink: &mut dyn Sink) {
        let mut out = Out { data: &mut self.data, shared, sink };
        self.first.push(&decoded, voice, &mut out);
        if let Second::Undeclared(reader) = &mut self.second {
            reader.push(&decoded, &mut |event| voice.undeclared().tell(event, &mut out));
        }
        decoded.clear();
        self.charset.take_second(&mut decoded);
        if let Second::Charset { html, shown } = &mut self.second
            && !decoded.is_empty()
        {
            let shown = shown.get_or_insert_with(|| Shown::new(*html));
            shown.push(&decoded, voice.of_charset(), &mut out);
        }
        out.shared.buffers.put_text(decoded);
    }
}

fn of_charset(found: charset::Defects) -> Defects {
    let found = [
        (found.label_unknown, Defect::CharsetUnknown),
        (found.label_disguised, Defect::CharsetDisguised),
        (found.eight_bit, Defect::CharsetEightBit),
        (found.invalid, Defect::CharsetInvalid),
        (found.nul, Defect::TextNul),
        (found.mark_contradicts, Defect::CharsetMarkContradicts),
        (found.looks_utf16, Defect::CharsetLooksUtf16),
        (found.looks_utf7, Defect::CharsetLooksUtf7),
        (found.looks_iso_2022_jp, Defect::CharsetLooksIso2022),
        (found.letters_shifted, Defect::CharsetLettersShifted),
    ];
    found.into_iter().filter(|(there, _)| *there).map(|(_, defect)| defect).collect()
}
