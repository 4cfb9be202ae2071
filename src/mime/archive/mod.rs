//! Archives, opened while their octets pass: entries out, one level at a time.
//!
//! ZIP (PKWARE APPNOTE 6.3), GZIP (RFC 1952) and TAR (POSIX ustar and pax, GNU) are read; RAR shows
//! its entries' names, and what is stored in it uncompressed; the other kinds are known by name only.
//!
//! What must hold:
//! * Constant memory, no second look: nothing is assembled, and whatever the input is, the work is
//!   linear in what came in and what went out. What went out is bounded by a [`Budget`] that all
//!   archives of a message share, however they nest.
//! * The same octets give the same events at every cut, `Data` joined.
//! * Nothing passes unsaid. Mail programs disagree about broken archives: some trust the headers
//!   before each entry, some the directory at the end. We read the former, compare with the latter, and
//!   whatever differs, is hidden, cannot be opened or was not read any more is a [`Defect`] or a
//!   [`Limit`].
//! * `Entry` and `EndEntry` come in pairs and never nest.

mod closed;
mod gzip;
mod inflate;
mod name;
mod rar;
mod tar;
mod zip;

use crate::mime::kind::Kind;

/// Octets that decompression may produce in one message, all levels together.
pub const EXPANDED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Octets that may come from one octet, once more than [`RATIO_FREE_BYTES`] have come. Deflate ends at 1032.
pub const RATIO_MAX: u64 = 1000;
/// An entry this small may be of any ratio.
pub const RATIO_FREE_BYTES: u64 = 1024 * 1024;
/// Entries in all archives of one message.
pub const ENTRIES_MAX: u32 = 10_000;
/// Archives within each other.
pub const DEPTH_MAX: usize = 8;
/// The longest name of an entry (Linux takes paths of 4,096 octets; no mail program shows more).
pub const NAME_BYTES_MAX: usize = 4096;

/// What one archive may ask of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub expanded_bytes_max: u64,
    pub ratio_max: u64,
    pub ratio_free_bytes: u64,
    pub entries_max: u32,
    pub depth_max: usize,
    pub name_bytes_max: usize,
}

impl Bounds {
    pub const DEFAULT: Self = Self {
        expanded_bytes_max: EXPANDED_BYTES_MAX,
        ratio_max: RATIO_MAX,
        ratio_free_bytes: RATIO_FREE_BYTES,
        entries_max: ENTRIES_MAX,
        depth_max: DEPTH_MAX,
        name_bytes_max: NAME_BYTES_MAX,
    };
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is left for all archives of one message.
///
/// Only what decompression makes is counted: stored entries and tar give back what came in, which the
/// size of the message and the depth already bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub expanded_bytes: u64,
    pub entries: u32,
}

impl Budget {
    pub const fn new(bounds: &Bounds) -> Self {
        Self { expanded_bytes: bounds.expanded_bytes_max, entries: bounds.entries_max }
    }
}

/// How an entry is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Stored,
    Deflate,
    /// By its number in a zip; nothing we can undo.
    Other(u16),
}

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Deflate => "deflate",
            Self::Other(1) => "shrink",
            Self::Other(6) => "implode",
            Self::Other(9) => "deflate64",
            Self::Other(12) => "bzip2",
            Self::Other(14) => "lzma",
            Self::Other(20 | 93) => "zstd",
            Self::Other(95) => "xz",
            Self::Other(98) => "ppmd",
            Self::Other(99) => "aes",
            Self::Other(_) => "other",
        }
    }
}

/// An entry as its own header announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// With its folders; decoded, otherwise as it stands, however odd.
    pub name: &'a str,
    /// No `Data` will come: nobody reads it without the password.
    pub encrypted: bool,
    pub directory: bool,
    pub method: Method,
    /// Octets it says to hold when unpacked, where it says so.
    pub size_declared: Option<u64>,
}

/// What an archive shows, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveEvent<'a> {
    Entry(Entry<'a>),
    /// Unpacked octets of the entry.
    Data(&'a [u8]),
    EndEntry {
        octets: u64,
    },
    /// Another name under which some program shows an entry of this archive, perhaps a hidden one.
    Alias(&'a str),
    /// The archive as a whole, or an entry whose header did not say so, needs a password.
    Encrypted,
    /// Each comes once per archive: within the entry where it was first found, or between entries.
    Defect(Defect),
    /// A bound was hit; nothing after it has been looked at.
    Limit(Limit),
}

/// The bound that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Depth,
    Entries,
    Expansion,
    Name,
    Ratio,
}

impl Limit {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Depth => "limit_archive_depth",
            Self::Entries => "limit_archive_entries",
            Self::Expansion => "limit_expansion",
            Self::Name => "limit_archive_name",
            Self::Ratio => "limit_archive_ratio",
        }
    }
}

/// Writes the enum, the list of all, and the table of names and severities from one list.
macro_rules! defects {
    ($($(#[$why:meta])* $variant:ident $name:literal $serious:literal,)*) => {
        /// What is wrong with an archive, or hidden in it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect {
            $($(#[$why])* $variant,)*
        }

        impl Defect {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that rules, records and metrics use.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether programs are known to differ about what follows from it, or something was not
            /// read; otherwise it is careless writing that all read alike.
            pub const fn serious(self) -> bool {
                match self {
                    $(Self::$variant => $serious,)*
                }
            }
        }
    };
}

defects! {
    /// The directory lists an entry that was not found where it says.
    CentralOnly "archive_central_only" true,
    ChecksumDiffers "archive_checksum_differs" true,
    /// More or fewer entries than the end record says.
    CountDiffers "archive_count_differs" true,
    /// Compressed data that does not decompress.
    DataBroken "archive_data_broken" true,
    /// A data descriptor that does not fit the data before it.
    DescriptorWrong "archive_descriptor_wrong" true,
    /// The end record points to another directory than the one before it.
    DirectoryElsewhere "archive_directory_elsewhere" true,
    DirectoryMissing "archive_directory_missing" true,
    /// A name that ends as a folder's, but has content.
    DirectoryWithData "archive_directory_with_data" true,
    DuplicateName "archive_duplicate_name" true,
    EncryptionDiffers "archive_encryption_differs" true,
    /// Octets between entries that belong to none.
    Gap "archive_gap" true,
    HeaderBroken "archive_header_broken" true,
    HeaderChecksum "archive_header_checksum" true,
    /// An entry that the directory does not list.
    LocalOnly "archive_local_only" true,
    MethodDiffers "archive_method_differs" true,
    NameDiffers "archive_name_differs" true,
    /// An absolute path, a drive, or a way up.
    NameEscapes "archive_name_escapes" true,
    /// Control characters, NUL, or octets that are no text.
    NameInvalid "archive_name_invalid" true,
    /// Nothing of what its kind promises was found.
    NotArchive "archive_not_one" true,
    /// Two entries share octets.
    Overlap "archive_overlap" true,
    /// Octets before the first entry.
    Prefix "archive_prefix" true,
    SeveralEnds "archive_several_ends" true,
    /// One gzip stream behind another; all who unpack it join them.
    SeveralMembers "archive_several_members" false,
    /// The comment holds what can be taken for a part of the archive.
    SignatureInComment "archive_signature_in_comment" true,
    SizeDiffers "archive_size_differs" true,
    /// No size where one must be; its data was read to its own end.
    SizeMissing "archive_size_missing" true,
    /// One of several volumes: the rest is not here.
    Spanned "archive_spanned" true,
    /// An entry with holes: what programs restore is not what stands here.
    Sparse "archive_sparse" true,
    /// Stored, and where it ends is said only behind it.
    StoredUnknownSize "archive_stored_unknown_size" true,
    /// Octets behind the end of the archive that are more than padding.
    Suffix "archive_suffix" true,
    /// Octets behind the end of the compressed data, yet within the entry.
    TrailingInEntry "archive_trailing_in_entry" true,
    Truncated "archive_truncated" true,
    /// An archive of a kind that we cannot open.
    Unscannable "archive_unscannable" true,
    /// An entry packed by a method that we cannot undo.
    UnscannableMethod "archive_unscannable_method" true,
    Zip64Differs "archive_zip64_differs" true,
}

const _: () = assert!(Defect::ALL.len() <= 64); // `Progress` keeps them as bits

/// One archive being read.
#[derive(Debug)]
pub struct Archive {
    reader: Reader,
    progress: Progress,
    bounds: Bounds,
    depth: usize,
}

#[derive(Debug)]
enum Reader {
    Zip(Box<zip::Zip>),
    Gzip(Box<gzip::Gzip>),
    Tar(Box<tar::Tar>),
    Rar(Box<rar::Rar>),
    Closed(Box<closed::Closed>),
}

/// What has been said already.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    defects: u64,
    /// Between `Entry` and `EndEntry`, and what came since.
    open: bool,
    octets: u64,
    /// A limit was hit, or the end was told.
    over: bool,
}

impl Archive {
    /// A reader for an archive of `kind` that lies `depth` archives deep (0: not within another).
    ///
    /// A kind that nobody can open is a defect of its own, so that it is not forgotten. A part that is
    /// no archive by its first octets, but is named like one, may be given as [`Kind::Zip`]: programs
    /// find a zip from its end, whatever stands before it.
    pub fn new(kind: Kind, depth: usize, bounds: Bounds) -> Self {
        let reader = match kind {
            Kind::Zip | Kind::Office | Kind::OfficeMacro | Kind::Java => Reader::Zip(Box::default()),
            Kind::Gzip => Reader::Gzip(Box::default()),
            Kind::Tar => Reader::Tar(Box::default()),
            Kind::Rar => Reader::Rar(Box::default()),
            _ => Reader::Closed(Box::default()),
        };
        Self { reader, progress: Progress::default(), bounds, depth }
    }

    /// Exchanges the room that it unpacks in for `room`, to be called before and after each push: what
    /// lies there has no meaning in between.
    pub(crate) const fn lend(&mut self, room: &mut Vec<u8>) {
        match &mut self.reader {
            Reader::Zip(zip) => std::mem::swap(&mut zip.inflate.room, room),
            Reader::Gzip(gzip) => std::mem::swap(&mut gzip.inflate.room, room),
            Reader::Tar(_) | Reader::Rar(_) | Reader::Closed(_) => {}
        }
    }

    /// Takes the next octets. `on` is also given the budget, for the archives within this one.
    pub fn push(
        &mut self,
        octets: &[u8],
        budget: &mut Budget,
        on: &mut impl FnMut(&mut Budget, ArchiveEvent<'_>),
    ) {
        let Self { reader, progress, bounds, depth } = self;
        let mut report = Report { progress, bounds, budget, on };
        if *depth >= bounds.depth_max {
            report.limit(Limit::Depth);
        }
        if report.over() {
            return;
        }
        match reader {
            Reader::Zip(zip) => zip.push(octets, &mut report),
            Reader::Gzip(gzip) => gzip.push(octets, &mut report),
            Reader::Tar(tar) => tar.push(octets, &mut report),
            Reader::Rar(rar) => rar.push(octets, &mut report),
            Reader::Closed(closed) => closed.push(octets, &mut report),
        }
    }

    /// No more octets will come: tells what is missing.
    pub fn finish(&mut self, budget: &mut Budget, on: &mut impl FnMut(&mut Budget, ArchiveEvent<'_>)) {
        let Self { reader, progress, bounds, .. } = self;
        let mut report = Report { progress, bounds, budget, on };
        if report.over() {
            return;
        }
        match reader {
            Reader::Zip(zip) => zip.finish(&mut report),
            Reader::Gzip(gzip) => gzip.finish(&mut report),
            Reader::Tar(tar) => tar.finish(&mut report),
            Reader::Rar(rar) => rar.finish(&mut report),
            Reader::Closed(closed) => closed.finish(&mut report),
        }
        report.end();
        report.progress.over = true;
    }

    /// Whether nothing more will be looked at.
    pub const fn is_over(&self) -> bool {
        self.progress.over
    }
}

/// Where a reader's findings go. It keeps the pairs of events and the budget in order.
struct Report<'a> {
    progress: &'a mut Progress,
    bounds: &'a Bounds,
    budget: &'a mut Budget,
    on: &'a mut dyn FnMut(&mut Budget, ArchiveEvent<'_>),
}

impl Report<'_> {
    fn tell(&mut self, event: ArchiveEvent<'_>) {
        (self.on)(self.budget, event);
    }

    /// Begins an entry, unless it would be one too many.
    fn entry(&mut self, entry: Entry<'_>) {
        self.end();
        let Some(left) = self.budget.entries.checked_sub(1) else {
            return self.limit(Limit::Entries);
        };
        self.budget.entries = left;
        self.progress.open = true;
        self.progress.octets = 0;
        self.tell(ArchiveEvent::Entry(entry));
        self.name(entry.name);
    }

    /// What is wrong with a name by itself.
    fn name(&mut self, name: &str) {
        if name::is_invalid(name) {
            self.defect(Defect::NameInvalid);
        }
        if name::escapes(name) {
            self.defect(Defect::NameEscapes);
        }
    }

    fn alias(&mut self, name: &str) {
        self.tell(ArchiveEvent::Alias(name));
        self.name(name);
    }

    fn data(&mut self, octets: &[u8]) {
        if !octets.is_empty() && self.progress.open {
            self.progress.octets += octets.len() as u64;
            self.tell(ArchiveEvent::Data(octets));
        }
    }

    /// Ends the entry, if one is open.
    fn end(&mut self) {
        if std::mem::take(&mut self.progress.open) {
            let octets = self.progress.octets;
            self.tell(ArchiveEvent::EndEntry { octets });
        }
    }

    fn defect(&mut self, defect: Defect) {
        let bit = 1 << defect as u32;
        if self.progress.defects & bit == 0 {
            self.progress.defects |= bit;
            self.tell(ArchiveEvent::Defect(defect));
        }
    }

    fn defect_if(&mut self, found: bool, defect: Defect) {
        if found {
            self.defect(defect);
        }
    }

    /// Ends everything.
    fn limit(&mut self, limit: Limit) {
        if !self.progress.over {
            self.progress.over = true;
            self.tell(ArchiveEvent::Limit(limit));
            self.end();
        }
    }

    const fn over(&self) -> bool {
        self.progress.over
    }
}

/// Whether a block of 512 octets is the header of a tar entry, whatever its writer: by its checksum.
pub(in crate::mime) fn is_tar_header(block: &[u8]) -> bool {
    tar::has_checksum(block)
}

/// Octets taken off the front of `input`, at most `octets_max`.
fn take<'a>(input: &mut &'a [u8], octets_max: u64) -> &'a [u8] {
    let count = usize::try_from(octets_max).map_or(input.len(), |max| max.min(input.len()));
    let (taken, rest) = input.split_at(count);
    *input = rest;
    taken
}

/// Moves octets from `input` until `held` has `want`; whether it has.
fn gather(held: &mut Vec<u8>, input: &mut &[u8], want: usize) -> bool {
    let missing = want.saturating_sub(held.len());
    held.extend_from_slice(take(input, missing as u64));
    held.len() >= want
}

/// What tapes, sectors and mail programs append to what they carry.
fn is_padding(octets: &[u8]) -> bool {
    octets.iter().all(|octet| matches!(octet, 0 | b'\r' | b'\n' | b' ' | 0x1a))
}

fn u16_at(octets: &[u8], at: usize) -> u16 {
    octets.get(at..).and_then(|octets| octets.first_chunk()).map_or(0, |octets| u16::from_le_bytes(*octets))
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    octets.get(at..).and_then(|octets| octets.first_chunk()).map_or(0, |octets| u32::from_le_bytes(*octets))
}

fn u64_at(octets: &[u8], at: usize) -> u64 {
    octets.get(at..).and_then(|octets| octets.first_chunk()).map_or(0, |octets| u64::from_le_bytes(*octets))
}

#[cfg(test)]
mod tests;
