//! What is wrong or ambiguous in a message, each with a name that rules can refuse.
//!
//! A defect is serious when mail clients are known to disagree about what follows from it, so that a
//! filter that reads one way can be evaded; minor when it is old-fashioned or careless writing that
//! all read alike. Ordinary mail must show no serious one.

use crate::mime::archive;

/// How much a defect matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Careless, and read alike by all.
    Minor,
    /// Readers differ, or something was not read: refuse if in doubt.
    Serious,
}

/// Writes the enum, the list of all and the table of names from one list.
macro_rules! limits {
    ($($variant:ident $name:literal,)*) => {
        /// Which bound was hit; what lies beyond it was passed on as raw text or not unpacked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Limit {
            $($variant,)*
        }

        impl Limit {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

limits! {
    Depth "limit_depth",
    Parts "limit_parts",
    HeaderBytes "limit_header_bytes",
    Fields "limit_fields",
    FieldBytes "limit_field_bytes",
    Parameters "limit_parameters",
    ArchiveDepth "limit_archive_depth",
    ArchiveEntries "limit_archive_entries",
    ArchiveName "limit_archive_name",
    ArchiveRatio "limit_archive_ratio",
    Expansion "limit_expansion",
}

/// Writes the enum, the list of all and the table of names and severities from one list.
macro_rules! defects {
    ($($(#[$why:meta])* $variant:ident $name:literal $severity:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect {
            /// A bound was hit.
            Limit(Limit),
            /// An archive is broken or hides something.
            Archive(archive::Defect),
            $($(#[$why])* $variant,)*
        }

        /// Where a defect stands in a [`Defects`]; the limits come before.
        #[derive(Clone, Copy)]
        enum Index {
            $($variant,)*
        }

        impl Defect {
            const fn index(self) -> usize {
                match self {
                    Self::Limit(limit) => limit as usize,
                    Self::Archive(defect) => LIMITS + defect as usize,
                    $(Self::$variant => LIMITS + OF_ARCHIVES + Index::$variant as usize,)*
                }
            }

            /// All but the limits and those of archives.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that rules, records and metrics use.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Limit(limit) => limit.name(),
                    Self::Archive(defect) => defect.name(),
                    $(Self::$variant => $name,)*
                }
            }

            pub const fn severity(self) -> Severity {
                match self {
                    Self::Limit(_) => Severity::Serious,
                    Self::Archive(defect) if defect.serious() => Severity::Serious,
                    Self::Archive(_) => Severity::Minor,
                    $(Self::$variant => Severity::$severity,)*
                }
            }
        }
    };
}

defects! {
    // The header section.

    /// A line that is neither a field nor a continuation: some end the section there, some skip it.
    FieldWithoutColon "field_without_colon" Serious,
    /// White space before the colon of an ordinary field.
    SpaceBeforeColon "space_before_colon" Minor,
    /// A Content- field whose name is written so that some read it and some do not.
    StructureFieldDisguised "structure_field_disguised" Serious,
    /// A name with characters that RFC 5322 §2.2 does not allow.
    FieldNameInvalid "field_name_invalid" Minor,
    /// The section begins with a continuation line.
    ContinuationFirst "continuation_first" Serious,
    /// A continuation line of nothing but white space: some take it for the empty line.
    BlankContinuation "blank_continuation" Minor,
    /// The same, and fields of structure follow it.
    StructureAfterBlank "structure_after_blank" Serious,
    /// NUL in a header section.
    HeaderNul "header_nul" Serious,
    /// A CR that ends no line, in a field.
    HeaderBareCr "header_bare_cr" Serious,
    /// Octets above 127 that are not UTF-8.
    HeaderEightBit "header_eight_bit" Minor,
    /// An mbox separator before the first field.
    MboxFrom "mbox_from" Minor,
    /// The section ends without an empty line: by a delimiter or the end of the content.
    HeaderUnended "header_unended" Minor,

    // Fields of structure.

    /// A field of structure twice, saying the same.
    StructureFieldRepeated "structure_field_repeated" Minor,
    TypeConflict "type_conflict" Serious,
    EncodingConflict "encoding_conflict" Serious,
    DispositionConflict "disposition_conflict" Minor,
    /// No `type/subtype`, read as text.
    TypeInvalid "type_invalid" Minor,
    /// The same where a multipart or message seems to be meant.
    TypeInvalidStructure "type_invalid_structure" Serious,
    /// A transfer encoding that is written in one of the careless ways known to mean none.
    EncodingCareless "encoding_careless" Minor,
    /// A transfer encoding no RFC knows.
    EncodingUnknown "encoding_unknown" Serious,
    /// A known one, written so that some would not know it.
    EncodingDisguised "encoding_disguised" Serious,
    /// A piece of a message (RFC 2046 §5.2.2): what the pieces make together nobody on the way sees.
    MessagePartial "message_partial" Serious,
    /// base64 or quoted-printable on a multipart (RFC 2045 §6.4 forbids it).
    EncodingOnMultipart "encoding_on_multipart" Serious,
    /// base64 or quoted-printable on a message (allowed for message/global only).
    EncodingOnMessage "encoding_on_message" Minor,

    // Parameters.

    /// Something between parameters that is none, or a `;` that is missing; nothing depends on it.
    ParameterSyntax "parameter_syntax" Minor,
    /// The same in front of a boundary, a name or a charset.
    ParameterSyntaxStructure "parameter_syntax_structure" Serious,
    QuoteUnclosed "quote_unclosed" Serious,
    CommentUnclosed "comment_unclosed" Serious,
    /// Comments within comments beyond what anybody writes.
    CommentDeep "comment_deep" Serious,
    ParameterRepeated "parameter_repeated" Minor,
    BoundaryConflict "boundary_conflict" Serious,
    CharsetConflict "charset_conflict" Serious,
    /// Several file names that differ in their extension or in what is hidden in them.
    NameConflict "name_conflict" Serious,
    /// Several file names with one extension.
    NameVariants "name_variants" Minor,
    /// A file name with control characters or NUL.
    NameControl "name_control" Serious,
    /// An encoded word in a parameter (RFC 2047 §5 forbids it, many send it).
    ParameterEncodedWord "parameter_encoded_word" Minor,
    /// Pieces (RFC 2231 §3) not in order.
    ParameterPieceOrder "parameter_piece_order" Serious,
    ParameterPieceRepeated "parameter_piece_repeated" Serious,
    ParameterPieceMissing "parameter_piece_missing" Serious,
    ParameterPieceInvalid "parameter_piece_invalid" Serious,
    ParameterPercentBroken "parameter_percent_broken" Minor,
    ParameterCharsetUnknown "parameter_charset_unknown" Minor,

    // Multipart structure.

    BoundaryMissing "boundary_missing" Serious,
    BoundaryEmpty "boundary_empty" Serious,
    /// Longer than we keep; its beginning stands for it.
    BoundaryLong "boundary_long" Serious,
    /// Characters RFC 2046 §5.1.1 does not allow, or white space at its end.
    BoundaryInvalid "boundary_invalid" Minor,
    /// The same boundary as a multipart around this one.
    BoundaryReused "boundary_reused" Serious,
    /// No delimiter came before the multipart's end.
    BoundaryUnseen "boundary_unseen" Serious,
    /// A line that is a delimiter only to some: it goes on, is indented, or begins behind a bare CR.
    DelimiterExtended "delimiter_extended" Serious,
    /// A line that is a delimiter of two multiparts, or a delimiter of one and the end of another.
    DelimiterCollides "delimiter_collides" Serious,
    /// The first delimiter stands in the header section, before any empty line.
    DelimiterInHeader "delimiter_in_header" Serious,
    /// Delimiters in what most readers take for a leaf.
    MultipartUndeclared "multipart_undeclared" Serious,
    /// Fields of structure at the beginning of a body that has none: the empty line came too early.
    HeaderInBody "header_in_body" Serious,
    /// The multipart ends without its closing delimiter.
    EndMissing "end_missing" Minor,
    /// A delimiter after the closing one.
    PartAfterEnd "part_after_end" Serious,

    // Transfer encodings.

    /// Octets that are not of the alphabet.
    Base64Junk "base64_junk" Serious,
    /// The same behind padding: a text that a mailing list put below.
    Base64TextAfter "base64_text_after" Minor,
    /// A second stream behind padding: some stop, some go on.
    Base64Concatenated "base64_concatenated" Serious,
    Base64PaddingMisplaced "base64_padding_misplaced" Serious,
    Base64PaddingMissing "base64_padding_missing" Minor,
    Base64Truncated "base64_truncated" Minor,
    Base64NonCanonical "base64_non_canonical" Minor,
    Base64UrlSafe "base64_url_safe" Serious,
    QuotedBroken "quoted_broken" Minor,
    /// The same in what is no text: decoders differ in what they make of it.
    QuotedBrokenFile "quoted_broken_file" Serious,
    /// An escape that goes on behind a joined line end: some find an octet there, some do not.
    QuotedEscapeSplit "quoted_escape_split" Serious,
    QuotedUnended "quoted_unended" Minor,
    QuotedLongLine "quoted_long_line" Minor,
    QuotedWhiteSpace "quoted_white_space" Minor,

    /// Lines that look encoded in a part that is no text and declares no encoding.
    EncodingUndeclared "encoding_undeclared" Serious,
    /// uuencode, which RFC 2045 does not know.
    EncodingUuencode "encoding_uuencode" Minor,
    /// A file in yEnc within text: some programs show it as an attachment.
    YencInText "yenc_in_text" Serious,

    // Text.

    CharsetUnknown "charset_unknown" Minor,
    CharsetDisguised "charset_disguised" Minor,
    CharsetEightBit "charset_eight_bit" Minor,
    CharsetInvalid "charset_invalid" Minor,
    TextNul "text_nul" Serious,
    CharsetMarkContradicts "charset_mark_contradicts" Serious,
    CharsetLooksUtf16 "charset_looks_utf16" Serious,
    CharsetLooksUtf7 "charset_looks_utf7" Minor,
    CharsetLooksIso2022 "charset_looks_iso_2022" Minor,
    CharsetLettersShifted "charset_letters_shifted" Minor,

    /// It can only be read with a password.
    Encrypted "encrypted" Minor,

    // Encoded words.

    WordBroken "word_broken" Minor,
    WordCharsetUnknown "word_charset_unknown" Minor,
    /// An encoded word came out of an encoded word.
    WordNested "word_nested" Minor,
}

impl Defect {
    pub const fn serious(self) -> bool {
        matches!(self.severity(), Severity::Serious)
    }

    /// Whether what follows may be read in another structure: then it is read raw as well.
    pub const fn unsettles(self) -> bool {
        let settled = matches!(self, Self::NameConflict | Self::NameControl);
        self.serious() && !settled
    }
}

const LIMITS: usize = Limit::ALL.len();
const OF_ARCHIVES: usize = archive::Defect::ALL.len();
const WORDS: usize = 4;
const _: () = assert!(LIMITS + OF_ARCHIVES + Defect::ALL.len() <= WORDS * 64);

/// A set of defects: what was found in one part, each told once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects([u64; WORDS]);

impl Defects {
    pub const EMPTY: Self = Self([0; WORDS]);

    /// Whether it was not in the set before.
    pub const fn insert(&mut self, defect: Defect) -> bool {
        let new = !self.contains(defect);
        self.0[defect.index() / 64] |= 1 << (defect.index() % 64);
        new
    }

    pub fn insert_all(&mut self, other: Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    pub fn is_empty(self) -> bool {
        self == Self::EMPTY
    }

    pub const fn contains(self, defect: Defect) -> bool {
        self.0[defect.index() / 64] & (1 << (defect.index() % 64)) != 0
    }

    /// Limits, then those of archives, then the others, each in the order of their list.
    pub fn iter(self) -> impl Iterator<Item = Defect> {
        let all = if self.is_empty() { None } else { Some(every()) };
        all.into_iter().flatten().filter(move |defect| self.contains(*defect))
    }
}

/// All there are.
fn every() -> impl Iterator<Item = Defect> {
    let limits = Limit::ALL.iter().copied().map(Defect::Limit);
    let archives = archive::Defect::ALL.iter().copied().map(Defect::Archive);
    limits.chain(archives).chain(Defect::ALL.iter().copied())
}

impl FromIterator<Defect> for Defects {
    fn from_iter<I: IntoIterator<Item = Defect>>(defects: I) -> Self {
        let mut set = Self::EMPTY;
        for defect in defects {
            set.insert(defect);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_defect_has_its_own_name_and_place() {
        let every: Vec<Defect> = every().collect();
        let names: HashSet<&str> = every.iter().map(|defect| defect.name()).collect();
        let places: HashSet<usize> = every.iter().map(|defect| defect.index()).collect();
        assert_eq!((names.len(), places.len()), (every.len(), every.len()));
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(names.iter().all(|name| name.bytes().all(is_plain)));
    }

    #[test]
    fn a_set_tells_each_once_and_in_order() {
        let mut set = Defects::EMPTY;
        assert!(set.insert(Defect::TypeConflict));
        assert!(!set.insert(Defect::TypeConflict));
        set.insert(Defect::Limit(Limit::Depth));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Defect::Limit(Limit::Depth), Defect::TypeConflict]);
        assert!(Defect::TypeConflict.serious() && !Defect::EndMissing.serious());
    }
}
