//! What a part truly is, by its first KiB, and what its name says it is.
//!
//! The table is our own: the crates for this want a whole buffer, know a fixed list, and stop at
//! binary magic, while what mail is abused with is mostly text (scripts, shortcuts, HTML) and
//! containers that only their first entry tells apart.
//!
//! What must hold:
//! * The kind does not depend on cuts: it is decided when the first KiB is there, or the end; what can
//!   be known only later (an ISO 9660 volume, macros in an OLE2 file) refines it at the octet that
//!   shows it.
//! * What nothing fits is `Unknown`, which is a kind of its own that rules can refuse.
//! * What programs would run wins over what they would show: a file that can be taken for both is the
//!   former.

mod magic;
mod name;
mod text;

use memchr::memmem;

pub use name::{Named, Tricks};

/// Octets the kind is decided by.
pub const HEAD_BYTES: usize = 1024;

/// Writes the enum, the list of all and the table of names from one list.
macro_rules! kinds {
    ($($(#[$what:meta])* $variant:ident $name:literal,)*) => {
        /// The kind of a part.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$what])* $variant,)*
        }

        impl Kind {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that rules and records use.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

kinds! {
    Empty "empty",
    Unknown "unknown",
    Text "text",

    /// PE (so .NET), ELF, Mach-O, DOS, MSI, packages that install.
    Executable "executable",
    /// Text or bytecode that some interpreter of a usual system runs.
    Script "script",
    /// LNK, URL, SCF and what else only points to something that runs.
    Shortcut "shortcut",
    /// ISO 9660, UDF, VHD, VHDX, VMDK, WIM, DMG, boot sectors.
    DiskImage "disk_image",
    /// JAR, or a class file.
    Java "java",

    Zip "zip",
    Gzip "gzip",
    Tar "tar",
    Rar "rar",
    SevenZip "7z",
    Xz "xz",
    Bzip2 "bzip2",
    Cab "cab",
    Zstd "zstd",
    Lzh "lzh",
    Ace "ace",
    Arj "arj",
    /// Any other: ar, cpio, lzip, lz4, compress.
    ArchiveOther "archive",
    /// Outlook's winmail.dat.
    Tnef "tnef",

    /// OOXML and ODF, in a zip or as one XML file.
    Office "office",
    OfficeMacro "office_macro",
    /// OLE2: whether it has macros is seen only when their streams' names pass.
    OfficeOld "office_old",
    Rtf "rtf",
    OneNote "onenote",
    Pdf "pdf",

    Html "html",
    Xml "xml",
    Svg "svg",
    Image "image",
    Audio "audio",
    Video "video",
    Font "font",
    /// Message, mbox or MHTML.
    Email "email",
    Calendar "calendar",
    Contact "contact",
    Certificate "certificate",
    Pgp "pgp",
}

impl Kind {
    /// What the name of a file says, and how it may mislead.
    pub fn from_name(name: &str) -> Named {
        name::read(name)
    }

    /// Whether it holds other files to be judged: give it to an archive reader, which says so if it
    /// cannot open it. Of office documents only the [`Sniffer`] knows whether they are zips.
    pub const fn is_archive(self) -> bool {
        matches!(
            self,
            Self::Zip
                | Self::Gzip
                | Self::Tar
                | Self::Rar
                | Self::SevenZip
                | Self::Xz
                | Self::Bzip2
                | Self::Cab
                | Self::Zstd
                | Self::Lzh
                | Self::Ace
                | Self::Arj
                | Self::ArchiveOther
        )
    }

    /// Whether opening it may run what it says, on some usual system.
    pub const fn is_active(self) -> bool {
        matches!(
            self,
            Self::Executable
                | Self::Script
                | Self::Shortcut
                | Self::DiskImage
                | Self::Java
                | Self::OfficeMacro
                | Self::OneNote
                | Self::Html
                | Self::Svg
        )
    }

    /// The kind of a zip of this kind, now that an entry's name has passed.
    #[must_use]
    pub fn after_entry(self, name: &str) -> Self {
        if matches!(self, Self::Zip | Self::Office | Self::Java) { magic::zip_with(self, name) } else { self }
    }
}

/// Whether a file named as `name_kind` that is in truth `true_kind` is disguised. A text named as
/// another text is none, nor is what no usual program would take for anything else.
pub const fn mismatch(name_kind: Kind, true_kind: Kind) -> bool {
    name::mismatch(name_kind, true_kind)
}

/// What a push told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sniffed {
    /// Octets that were looked at; the rest is to be pushed again.
    pub taken: usize,
    /// The kind, when it has become known or better known with them.
    pub kind: Option<Kind>,
}

/// Finds the kind of a part whose octets pass, all of them.
///
/// The first octets are kept until the kind is known, for whoever needs them again to open it.
#[derive(Debug, Default)]
pub struct Sniffer {
    head: Vec<u8>,
    kind: Option<Kind>,
    archive: Option<Kind>,
    watch: Watch,
}

impl Sniffer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins another part, in the same buffers.
    pub fn reset(&mut self) {
        self.head.clear();
        self.kind = None;
        self.archive = None;
        self.watch.reset();
    }

    /// Takes the next octets; those of the head, or all up to where something more became known.
    pub fn push(&mut self, octets: &[u8]) -> Sniffed {
        if self.kind.is_some() {
            return self.refine(octets);
        }
        let taken = octets.len().min(HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(octets.get(..taken).unwrap_or_default());
        let kind = (self.head.len() == HEAD_BYTES).then(|| self.decide());
        Sniffed { taken, kind }
    }

    /// The part is over; the kind, when that has made it known or better known.
    pub fn finish(&mut self) -> Option<Kind> {
        let Some(kind) = self.kind else { return Some(self.decide()) };
        if kind == Kind::Unknown && magic::ends_disk_image(&self.watch.tail) {
            self.kind = Some(Kind::DiskImage);
            return self.kind;
        }
        None
    }

    /// The first octets, up to the place where the kind became known.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    pub const fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// The archive kind to open it as, if it holds other files: [`Kind::Zip`] for OOXML and the like.
    pub const fn archive(&self) -> Option<Kind> {
        self.archive
    }

    /// Whether it is an office document that was seen to need a password.
    pub const fn is_encrypted(&self) -> bool {
        self.watch.seen & Clue::Encrypted as u8 != 0
    }

    /// The head is there, or all there is.
    fn decide(&mut self) -> Kind {
        let kind = magic::decide(&self.head);
        self.archive = match kind {
            Kind::Office | Kind::OfficeMacro | Kind::Java if magic::is_zip(&self.head) => Some(Kind::Zip),
            _ => kind.is_archive().then_some(kind),
        };
        self.watch.octets = self.head.len() as u64;
        let refined = if kind == Kind::OfficeOld { self.watch.look_all(&self.head) } else { None };
        let kind = refined.unwrap_or(kind);
        *self.kind.insert(kind)
    }

    /// Looks at what comes behind the head, up to where the kind is better known.
    fn refine(&mut self, octets: &[u8]) -> Sniffed {
        let mut taken = octets.len();
        let mut kind = None;
        if self.watch.find_volume(octets) && self.kind != Some(Kind::DiskImage) {
            kind = Some(Kind::DiskImage);
        }
        match self.kind {
            Some(Kind::OfficeOld | Kind::OfficeMacro | Kind::Email) if self.watch.ole => {
                if let Some((end, better)) = self.watch.look(octets) {
                    taken = end;
                    kind = (self.kind != Some(better)).then_some(better);
                }
            }
            Some(Kind::Unknown) => self.watch.keep_tail(octets),
            _ => {}
        }
        self.watch.octets += taken as u64;
        self.kind = kind.or(self.kind);
        Sniffed { taken, kind }
    }
}

/// What shows in an OLE2 file what it is, wherever it stands. Names of streams are in UTF-16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Clue {
    Installer = 1,
    Macros = 2,
    Message = 4,
    Encrypted = 8,
}

const CLUES: [(Clue, &[u8]); 4] = [
    // The class of Windows Installer's packages, {000C1084-0000-0000-C000-000000000046}.
    (Clue::Installer, b"\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"),
    (Clue::Macros, b"_\0V\0B\0A\0_\0P\0R\0O\0J\0E\0C\0T\0"),
    (Clue::Message, b"_\0_\0s\0u\0b\0s\0t\0g\x001\0.\x000\0"),
    (Clue::Encrypted, b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0"),
];
/// The longest clue.
const CLUE_BYTES_MAX: usize = 32;
/// ISO 9660 and UDF: the name of the first volume descriptor, in sector 16.
const VOLUME_AT: u64 = 16 * 2048 + 1;
const VOLUME_NAMES: [&[u8; 5]; 3] = [b"CD001", b"BEA01", b"NSR02"];
/// The trailer of a disk image, at its very end.
const TAIL_BYTES: usize = 512;

/// What is looked for behind the head.
#[derive(Debug, Default)]
struct Watch {
    /// Octets before the next ones.
    octets: u64,
    ole: bool,
    /// Clues seen, as bits.
    seen: u8,
    /// The last octets, in which a clue may have begun.
    seam: Vec<u8>,
    volume: [u8; 5],
    tail: Vec<u8>,
}

impl Watch {
    fn reset(&mut self) {
        self.seam.clear();
        self.tail.clear();
        (self.octets, self.ole, self.seen, self.volume) = (0, false, 0, [0; 5]);
    }

    /// Looks at all of an OLE2 file's head.
    fn look_all(&mut self, mut octets: &[u8]) -> Option<Kind> {
        self.ole = true;
        let mut kind = None;
        while let Some((end, better)) = self.look(octets) {
            kind = Some(better);
            octets = octets.get(end..).unwrap_or_default();
        }
        kind
    }

    /// The first place behind which the kind is better known, and the kind.
    fn look(&mut self, octets: &[u8]) -> Option<(usize, Kind)> {
        let begun = self.seam.len();
        self.seam.extend_from_slice(octets.get(..CLUE_BYTES_MAX.min(octets.len())).unwrap_or_default());
        let open = CLUES.iter().filter(|(clue, _)| self.seen & *clue as u8 == 0);
        let found = open.filter_map(|(clue, needle)| {
            let across =
                memmem::find(&self.seam, needle).and_then(|at| (at + needle.len()).checked_sub(begun));
            let within = || memmem::find(octets, needle).map(|at| at + needle.len());
            Some((across.or_else(within)?, *clue))
        });
        let first = found.min_by_key(|(end, _)| *end);
        let looked = first.map_or(octets.len(), |(end, _)| end);
        self.seam.truncate(begun);
        self.keep_seam(octets.get(..looked).unwrap_or_default());
        let (end, clue) = first?;
        self.seen |= clue as u8;
        Some((end, self.kind()))
    }

    /// Keeps the last octets, one fewer than a clue has: a whole one has been seen.
    fn keep_seam(&mut self, octets: &[u8]) {
        let fresh = octets.len().min(CLUE_BYTES_MAX - 1);
        let old = self.seam.len().saturating_sub(CLUE_BYTES_MAX - 1 - fresh);
        self.seam.drain(..old);
        self.seam.extend_from_slice(octets.get(octets.len() - fresh..).unwrap_or_default());
    }

    /// What the clues say together, the worst first.
    const fn kind(&self) -> Kind {
        if self.seen & Clue::Installer as u8 != 0 {
            Kind::Executable
        } else if self.seen & Clue::Macros as u8 != 0 {
            Kind::OfficeMacro
        } else if self.seen & Clue::Message as u8 != 0 {
            Kind::Email
        } else {
            Kind::OfficeOld
        }
    }

    /// Whether the name of the first volume descriptor ends in `octets`.
    fn find_volume(&mut self, octets: &[u8]) -> bool {
        let end = VOLUME_AT + self.volume.len() as u64;
        let next = self.octets + octets.len() as u64;
        if next <= VOLUME_AT || self.octets >= end {
            return false;
        }
        for (at, place) in (VOLUME_AT..).zip(&mut self.volume) {
            let index = at.checked_sub(self.octets).and_then(|index| usize::try_from(index).ok());
            if let Some(&octet) = index.and_then(|index| octets.get(index)) {
                *place = octet;
            }
        }
        next >= end && VOLUME_NAMES.contains(&&self.volume)
    }

    /// Keeps the last sector, for it may be a trailer.
    fn keep_tail(&mut self, octets: &[u8]) {
        let fresh = octets.len().min(TAIL_BYTES);
        let old = (self.tail.len() + fresh).saturating_sub(TAIL_BYTES);
        self.tail.drain(..old);
        self.tail.extend_from_slice(octets.get(octets.len() - fresh..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
