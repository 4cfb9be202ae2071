//! A message read while it streams: chunks in, events out, nothing assembled.
//!
//! RFC 5322 (header section, body), RFC 2045-2049 (MIME), RFC 2231 (parameters), RFC 2183
//! (disposition). The walker finds structure, the decoders undo transfer encodings, charsets and
//! HTML, archives open as parts of their own.
//!
//! What must always hold: the events do not depend on where the input was cut; memory does not grow
//! with the input; every byte comes out in some event, and what could not be read as its sender may
//! have meant it is named by a [`Defect`], never passed over.

pub mod archive;
pub mod base64;
pub mod buffers;
pub mod charset;
pub mod content_type;
pub mod defect;
pub mod delimiter;
pub mod encoded_word;
pub mod header;
pub mod html;
pub mod kind;
pub mod leaf;
pub mod quoted_printable;
pub mod raw_view;
pub mod walker;

pub use buffers::Buffers;
pub use content_type::{Head, TransferEncoding};
pub use defect::{Defect, Limit, Severity};
pub use html::Trick;
pub use kind::Kind;
pub use walker::{MESSAGE_BYTES, MESSAGES_MAX, SECOND_READINGS_MAX, Walker, archives_max};

/// A part's number in order of appearance; 0 is the message itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId(pub u32);

impl PartId {
    pub const MESSAGE: Self = Self(0);
}

/// Which reading of ambiguous content this is.
///
/// Clean content has only the strict one. Text and data of one part and one reading join to one
/// stream; streams of different readings tell the same content again, as other clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reading {
    /// As the RFCs say, or, where they do not, as most clients take it.
    Strict,
    /// As clients take it that decide the other way (the other encoding, charset or type).
    Lenient,
    /// Text of the strict reading that is not shown, or not by all.
    Hidden,
    /// Lines as they are, where no other reading can be relied on.
    Raw,
    /// What such lines decode to where they look encoded.
    Decoded,
}

/// What a part came out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    Message,
    Multipart,
    Rfc822,
    Archive,
    /// Before the first or after the last delimiter of a multipart; no client should show it, some do.
    Preamble,
    /// Lines that look like an encoded file, where the structure cannot be relied on.
    Guessed,
}

impl Reading {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lenient => "lenient",
            Self::Hidden => "hidden",
            Self::Raw => "raw",
            Self::Decoded => "decoded",
        }
    }
}

impl Origin {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Multipart => "multipart",
            Self::Rfc822 => "rfc822",
            Self::Archive => "archive",
            Self::Preamble => "preamble",
            Self::Guessed => "guessed",
        }
    }
}

/// What the walker found. Events of a part come between its `Begin` and its `End`; parts nest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    Begin {
        part: PartId,
        parent: PartId,
        origin: Origin,
    },
    /// One header field: `value` unfolded and without white space at its ends, `text` with its
    /// encoded words (RFC 2047) decoded.
    Field {
        part: PartId,
        name: &'a [u8],
        value: &'a [u8],
        text: &'a str,
    },
    /// The header section is over, or the archive entry announced.
    Head {
        part: PartId,
        head: &'a Head,
    },
    /// The true kind by magic: known within the first KiB or at the part's end.
    Kind {
        part: PartId,
        kind: Kind,
    },
    /// Octets after the transfer decoding.
    Data {
        part: PartId,
        reading: Reading,
        bytes: &'a [u8],
    },
    /// Visible text as UTF-8, not normalised.
    Text {
        part: PartId,
        reading: Reading,
        text: &'a str,
    },
    /// A link of an HTML part: where it leads, and what is shown for it.
    Link {
        part: PartId,
        target: &'a str,
        text: &'a str,
    },
    /// Something done to text so that people see another one than programs.
    Trick {
        part: PartId,
        trick: Trick,
    },
    Defect {
        part: PartId,
        defect: Defect,
    },
    /// `octets` of content after the transfer decoding, the strict reading's.
    End {
        part: PartId,
        octets: u64,
    },
}

/// Who takes the events. They borrow from the chunk or from the walker's buffers.
pub trait Sink {
    fn on(&mut self, event: Event<'_>);
}

impl<F: FnMut(Event<'_>)> Sink for F {
    fn on(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// Multiparts and messages within each other; mail programs nest a handful.
pub const DEPTH_MAX: usize = 100;
pub const PARTS_MAX: u32 = 10_000;
pub const HEADER_BYTES_MAX: usize = 1024 * 1024;
pub const FIELDS_MAX: usize = 4096;
pub const FIELD_BYTES_MAX: usize = 64 * 1024;

/// What one message may make the walker do. A bound that is hit is told as [`Defect::Limit`], and
/// what lies beyond it comes out as raw text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Multiparts and messages within each other.
    pub depth: usize,
    /// Parts of one message, archive entries among them.
    pub parts: u32,
    /// One header section.
    pub header_bytes: usize,
    /// Fields of one header section.
    pub fields: usize,
    /// One field, folding included.
    pub field_bytes: usize,
    /// What archives may unpack.
    pub archive: archive::Bounds,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            depth: DEPTH_MAX,
            parts: PARTS_MAX,
            header_bytes: HEADER_BYTES_MAX,
            fields: FIELDS_MAX,
            field_bytes: FIELD_BYTES_MAX,
            archive: archive::Bounds::default(),
        }
    }
}
