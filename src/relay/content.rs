//! The content of one message on its way: decoded, checked, and held or streamed.
//!
//! DESIGN: the first `window` bytes are held, then they stream; the end is held until the verdict.
//! This file only knows content; what is said to whom stands in `flow`.

use crate::base::spare::Spare;
use crate::base::time::Instant;
use crate::policy::facts::Facts;
use crate::policy::inspect::{Bench, Inspection};
use crate::sender::header_section::HeaderSection;
use crate::smtp::data::{self, BareNewline, ContentFault, Decoder, Framing};

use super::sender::Reading;
use super::tag;
use super::trace_field::ReceivedCounter;

/// Where the content stands toward the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// The next hop has seen none of it.
    Held,
    /// DATA went up, 354 is awaited.
    Asked,
    /// It streams behind 354.
    Data,
    /// It streams in BDAT chunks, so many of them unanswered.
    Bdat { unanswered: usize },
    /// The end of content is up; the reply to it is awaited.
    Ended,
}

#[derive(Debug)]
pub(super) struct Content {
    decoder: Decoder,
    counter: ReceivedCounter,
    /// Looks into it while it passes; `None` where nobody looks, or nothing can change any more.
    pub(super) inspection: Option<Box<Inspection>>,
    /// What is learnt of its author; None where nobody asks.
    pub(super) reading: Option<Box<Reading>>,
    /// The facts, where nobody looks into it.
    facts: Facts,
    /// Octets at the start of `held` that are ours, never none; `None` once some of it has gone up.
    own: Option<usize>,
    forged: tag::ForgedFields,
    /// Whether somebody still wants to know what is in it.
    looking: bool,
    /// Not yet sent up; begins with our Received field.
    pub(super) held: Vec<u8>,
    /// Bytes of the worker's window budget that this message may hold.
    pub(super) window: usize,
    /// Octets the client sent, unstuffed.
    pub(super) octets: u64,
    pub(super) stand: Stand,
    /// The client's side of it is complete.
    pub(super) complete: bool,
    /// All of it was held until the verdict.
    pub(super) judged_in_window: bool,
    /// The client is received from in steps.
    pub(super) stepwise: bool,
    pub(super) first_byte: Option<Instant>,
    ends_with_crlf: bool,
    /// For dot-stuffing: the next byte up begins a line.
    at_line_start: bool,
}

impl Content {
    pub(super) fn new(
        framing: Framing,
        bare: BareNewline,
        line_bytes_max: u64,
        trace: Vec<u8>,
        window: usize,
        inspection: Option<Box<Inspection>>,
    ) -> Self {
        Self {
            inspection,
            reading: None,
            facts: Facts::default(),
            own: Some(trace.len()),
            forged: tag::ForgedFields::default(),
            looking: true,
            decoder: Decoder::new(framing, bare, line_bytes_max),
            counter: ReceivedCounter::new(),
            held: trace,
            window,
            octets: 0,
            stand: Stand::Held,
            complete: false,
            judged_in_window: false,
            stepwise: false,
            first_byte: None,
            ends_with_crlf: true,
            at_line_start: true,
        }
    }

    /// Decodes a piece of wire. Returns how much of it was content, and whether the end of data
    /// was in it; of a fault, how much came before it.
    pub(super) fn take(
        &mut self,
        now: Instant,
        wire: &[u8],
        spare: &mut Spare,
        bench: &mut Bench,
    ) -> Result<(usize, bool), (usize, ContentFault)> {
        self.first_byte.get_or_insert(now);
        spare.make_room(&mut self.held, wire.len());
        let begin = self.held.len();
        let begins = self.octets == 0;
        let decoded = self.decoder.decode(wire, &mut self.held);
        self.octets += (self.held.len() - begin) as u64;
        if begins {
            self.keep_apart(begin);
        }
        if self.counter.is_counting() {
            self.counter.feed(&self.held[begin..]);
        }
        if let Some(inspection) = &mut self.inspection
            && self.looking
        {
            inspection.push(&self.held[begin..], bench);
        }
        if let Some(reading) = &mut self.reading {
            if self.looking {
                reading.push(&self.held[begin..]);
            }
            reading.take_out(&mut self.held, begin);
        }
        // Looked at it is all the same: what was forged may tell of its sender.
        self.forged.take_out(&mut self.held, begin);
        match decoded.fault {
            Some(fault) => Err((decoded.consumed, fault)),
            None => Ok((decoded.consumed, decoded.end)),
        }
    }

    /// Content that begins with white space has no header: an empty line keeps it from becoming one
    /// more line of our Received field (RFC 5322 §2.2.3; Postfix does the same).
    fn keep_apart(&mut self, begin: usize) {
        if matches!(self.held.get(begin), Some(b' ' | b'\t')) {
            self.held.splice(begin..begin, *b"\r\n");
        }
    }

    /// The client has sent all of it.
    pub(super) fn complete(&mut self) -> Result<(), ContentFault> {
        self.ends_with_crlf = self.decoder.finish()?;
        if let Some(reading) = &mut self.reading {
            let begin = self.held.len();
            reading.finish(&mut self.held);
            self.forged.take_out(&mut self.held, begin);
        }
        self.forged.finish(&mut self.held);
        self.complete = true;
        self.judged_in_window = self.is_whole();
        Ok(())
    }

    /// What is known of it so far.
    pub(super) fn facts(&mut self) -> &Facts {
        let (size, received) = (self.octets, self.counter.count());
        let facts = self.facts_mut();
        facts.message.size = size;
        facts.message.received = received;
        facts
    }

    pub(super) fn facts_mut(&mut self) -> &mut Facts {
        match &mut self.inspection {
            Some(inspection) => inspection.facts_mut(),
            None => &mut self.facts,
        }
    }

    /// Puts `fields` behind our Received field, if the next hop has seen nothing yet.
    pub(super) fn put_fields(&mut self, fields: &str) {
        if let Some(own) = &mut self.own {
            self.held.splice(*own..*own, fields.bytes());
            *own += fields.len();
        }
    }

    /// The header section as it goes on, without what is ours in front; none of it once some has gone up.
    pub(super) fn header(&self) -> HeaderSection {
        let mut section = HeaderSection::default();
        section.push(self.own.and_then(|own| self.held.get(own..)).unwrap_or_default());
        section
    }

    /// Whether the next hop has seen none of it, whatever it was told to expect.
    pub(super) const fn is_whole(&self) -> bool {
        self.own.is_some()
    }

    /// Whether more is held than may be.
    pub(super) const fn overflows(&self) -> bool {
        self.held.len() > self.window
    }

    /// The message is refused already: only its end is looked for.
    pub(super) fn tolerate(&mut self) {
        self.decoder.tolerate();
        self.looking = false;
    }

    /// Forgets what is held, and its room with it: a message that waits for more holds none.
    pub(super) fn forget_held(&mut self, spare: &mut Spare) {
        spare.put(std::mem::take(&mut self.held));
    }

    /// Moves everything held into `out`, as it is for BDAT.
    pub(super) fn move_plain(&mut self, out: &mut Vec<u8>, spare: &mut Spare) {
        self.own = None;
        spare.make_room(out, self.held.len());
        out.extend_from_slice(&self.held);
        self.forget_held(spare);
    }

    /// Moves everything held into `out`, dot-stuffed for DATA.
    pub(super) fn move_stuffed(&mut self, out: &mut Vec<u8>, spare: &mut Spare) {
        self.own = None;
        let dotted = self.decoder.take_dotted() && data::needs_stuffing(&self.held, self.at_line_start);
        if dotted || !out.is_empty() {
            data::stuff(&self.held, &mut self.at_line_start, out);
            self.forget_held(spare);
        } else if let Some(&last) = self.held.last() {
            self.at_line_start = last == b'\n';
            spare.put(std::mem::replace(out, std::mem::take(&mut self.held)));
        }
        if self.complete {
            data::write_end_of_data(self.ends_with_crlf, out);
        }
    }
}
