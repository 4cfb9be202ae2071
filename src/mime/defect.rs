//! What is wrong or ambiguous in a message, each with a name that rules can refuse.
//!
//! A defect is serious when mail clients are known to disagree about what follows from it, so that a
//! filter that reads one way can be evaded; minor when it is old-fashioned or careless writing that
//! all read alike. Ordinary mail must show no serious one.

/// How much a defect matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Careless, and read alike by all.
    Minor,
    /// Readers differ, or something was not read: refuse if in doubt.
    Serious,
}

/// Which bound was hit; what lies beyond it was passed on as raw text or not unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    Depth,
    Parts,
    HeaderBytes,
    Fields,
    FieldBytes,
    ArchiveDepth,
    Expansion,
}

impl Limit {
    pub const ALL: [Self; 7] = [
        Self::Depth,
        Self::Parts,
        Self::HeaderBytes,
        Self::Fields,
        Self::FieldBytes,
        Self::ArchiveDepth,
        Self::Expansion,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Depth => "limit_depth",
            Self::Parts => "limit_parts",
            Self::HeaderBytes => "limit_header_bytes",
            Self::Fields => "limit_fields",
            Self::FieldBytes => "limit_field_bytes",
            Self::ArchiveDepth => "limit_archive_depth",
            Self::Expansion => "limit_expansion",
        }
    }
}

/// Writes the enum, the list of all and the table of names and severities from one list.
macro_rules! defects {
    ($($(#[$why:meta])* $variant:ident $name:literal $severity:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect {
            /// A bound was hit.
            Limit(Limit),
            $($(#[$why])* $variant,)*
        }

        impl Defect {
            /// All but the limits.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that rules, records and metrics use.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Limit(limit) => limit.name(),
                    $(Self::$variant => $name,)*
                }
            }

            pub const fn severity(self) -> Severity {
                match self {
                    Self::Limit(_) => Severity::Serious,
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
    /// A line that begins like a delimiter and goes on: some take it for one.
    DelimiterExtended "delimiter_extended" Serious,
    /// The multipart ends without its closing delimiter.
    EndMissing "end_missing" Minor,
    /// A delimiter after the closing one.
    PartAfterEnd "part_after_end" Serious,

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
}
