//! What the first octets say.

use super::{Kind, text};
use crate::mime::archive::is_tar_header;

/// Octets at a fixed place, strongest first. What is text has tables of its own.
const MAGIC: &[(usize, &[u8], Kind)] = &[
    (0, b"\x7fELF", Kind::Executable),
    (0, b"\xfe\xed\xfa\xce", Kind::Executable), // Mach-O, each way
    (0, b"\xfe\xed\xfa\xcf", Kind::Executable),
    (0, b"\xce\xfa\xed\xfe", Kind::Executable),
    (0, b"\xcf\xfa\xed\xfe", Kind::Executable),
    (0, b"\0asm", Kind::Executable),
    (0, b"dex\n", Kind::Executable),
    (0, b"\xed\xab\xee\xdb", Kind::Executable), // RPM
    (0, b"!<arch>\ndebian", Kind::Executable),
    (0, b"xar!", Kind::Executable), // a package for macOS
    (0, b"ITSF", Kind::Script),     // compiled HTML help runs what it shows
    (0, b"FWS", Kind::Script),      // Flash
    (0, b"CWS", Kind::Script),
    (0, b"ZWS", Kind::Script),
    (0, b"L\0\0\0\x01\x14\x02\0", Kind::Shortcut),
    (0, b"conectix", Kind::DiskImage), // VHD
    (0, b"vhdxfile", Kind::DiskImage),
    (0, b"KDMV", Kind::DiskImage), // VMDK
    (0, b"QFI\xfb", Kind::DiskImage),
    (0, b"MSWIM\0\0\0", Kind::DiskImage),
    (0, b"\x1f\x8b\x08", Kind::Gzip),
    (0, b"Rar!\x1a\x07", Kind::Rar),
    (0, b"RE~^", Kind::Rar),
    (0, b"7z\xbc\xaf\x27\x1c", Kind::SevenZip),
    (0, b"\xfd7zXZ\0", Kind::Xz),
    (0, b"MSCF\0\0\0\0", Kind::Cab),
    (0, b"ISc(", Kind::Cab),
    (0, b"\x28\xb5\x2f\xfd", Kind::Zstd),
    (7, b"**ACE**", Kind::Ace),
    (0, b"\x60\xea", Kind::Arj),
    (0, b"!<arch>\n", Kind::ArchiveOther),
    (0, b"07070", Kind::ArchiveOther), // cpio
    (0, b"LZIP", Kind::ArchiveOther),
    (0, b"\x04\x22\x4d\x18", Kind::ArchiveOther), // LZ4
    (0, b"\x1f\x9d", Kind::ArchiveOther),         // compress
    (0, b"\x1f\xa0", Kind::ArchiveOther),
    (0, b"\x78\x9f\x3e\x22", Kind::Tnef),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind::OfficeOld),
    (0, b"\0\x01\0\0Standard Jet DB", Kind::OfficeOld), // Access
    (0, b"\0\x01\0\0Standard ACE DB", Kind::OfficeOld),
    (0, b"{\\rt", Kind::Rtf), // Word asks for no more
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", Kind::OneNote),
    (0, b"%PDF-", Kind::Pdf),
    (0, b"\x89PNG\r\n\x1a\n", Kind::Image),
    (0, b"\xff\xd8\xff", Kind::Image),
    (0, b"GIF87a", Kind::Image),
    (0, b"GIF89a", Kind::Image),
    (0, b"II*\0", Kind::Image),
    (0, b"MM\0*", Kind::Image),
    (0, b"\0\0\x01\0", Kind::Image), // icon
    (0, b"8BPS", Kind::Image),
    (0, b"\xd7\xcd\xc6\x9a", Kind::Image), // WMF
    (40, b" EMF", Kind::Image),
    (0, b"\0\0\0\x0cjP  \r\n", Kind::Image), // JPEG 2000
    (0, b"\xff\x4f\xff\x51", Kind::Image),
    (0, b"\xff\x0a", Kind::Image), // JPEG XL
    (0, b"\0\0\0\x0cJXL ", Kind::Image),
    (0, b"ID3", Kind::Audio),
    (0, b"OggS", Kind::Audio),
    (0, b"fLaC", Kind::Audio),
    (0, b"MThd", Kind::Audio),
    (0, b"#!AMR", Kind::Audio),
    (0, b".snd", Kind::Audio),
    (0, b"\x1a\x45\xdf\xa3", Kind::Video),                 // Matroska
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind::Video), // ASF
    (0, b"FLV\x01", Kind::Video),
    (0, b"\0\0\x01\xba", Kind::Video),
    (0, b"\0\0\x01\xb3", Kind::Video),
    (4, b"moov", Kind::Video),
    (4, b"mdat", Kind::Video),
    (0, b"OTTO\0", Kind::Font),
    (0, b"ttcf\0", Kind::Font),
    (0, b"wOFF", Kind::Font),
    (0, b"wOF2", Kind::Font),
    (0, b"\0\x01\0\0\0", Kind::Font), // TrueType
];

/// The kind of what begins with `head`, which is all there is, or a KiB of it.
///
/// The order is that of harm: programs first, then what holds other files, then what only shows. Text
/// is looked at last, for it is the dearest.
pub(super) fn decide(head: &[u8]) -> Kind {
    if head.is_empty() {
        return Kind::Empty;
    }
    let fixed = || {
        let found = MAGIC.iter().find(|(at, magic, _)| begins_at(head, *at, magic));
        found.map(|(_, _, kind)| *kind)
    };
    dos(head)
        .or_else(|| zip(head))
        .or_else(|| java_or_mach(head))
        .or_else(fixed)
        .or_else(|| boxed(head))
        .or_else(|| checked(head))
        // Readers take a document that begins within the first KiB.
        .or_else(|| memchr::memmem::find(head, b"%PDF-").map(|_| Kind::Pdf))
        .or_else(|| text::decide(head))
        .or_else(|| com(head).then_some(Kind::Executable))
        .unwrap_or(Kind::Unknown)
}

/// The first octet alone decides for nearly all of the table, without a call.
fn begins_at(head: &[u8], at: usize, magic: &[u8]) -> bool {
    head.get(at) == magic.first() && head.get(at..).is_some_and(|head| head.starts_with(magic))
}

/// MZ also begins sentences. A PE's header names a place in the file by four octets, of which at least
/// one is no character; only the 16-bit programs that no system runs any more could be all text.
fn dos(head: &[u8]) -> Option<Kind> {
    let mark = head.starts_with(b"MZ") || head.starts_with(b"ZM");
    let front = head.get(..64).unwrap_or(head);
    let binary = front.iter().any(|&octet| octet < b' ' && !matches!(octet, b'\t' | b'\r' | b'\n'));
    (mark && binary).then_some(Kind::Executable)
}

/// Java's class files and Mach-O for several machines begin alike: a version of 45 and more, or a
/// number of machines.
fn java_or_mach(head: &[u8]) -> Option<Kind> {
    let rest = head.strip_prefix(b"\xca\xfe\xba\xbe")?;
    let number = u32::from_be_bytes(*rest.first_chunk()?);
    Some(if number & 0xffff >= 45 { Kind::Java } else { Kind::Executable })
}

/// Whether it is a zip from its first octet on: an entry, the end of an empty one, or marks that split
/// ones begin with.
pub(super) fn is_zip(head: &[u8]) -> bool {
    [&b"PK\x03\x04"[..], b"PK\x05\x06", b"PK\x07\x08PK", b"PK00PK"].iter().any(|mark| head.starts_with(mark))
}

/// A zip is what its first entry says.
fn zip(head: &[u8]) -> Option<Kind> {
    let entry = head.strip_prefix(b"PK00").or_else(|| head.strip_prefix(b"PK\x07\x08")).unwrap_or(head);
    is_zip(head).then(|| first_entry(entry).unwrap_or(Kind::Zip))
}

/// OOXML's first entry is its list of parts, ODF's is its media type, JAR's its manifest.
fn first_entry(entry: &[u8]) -> Option<Kind> {
    let length = |at: usize| Some(usize::from(u16::from_le_bytes(*entry.get(at..)?.first_chunk()?)));
    let (name, rest) = entry.get(30..)?.split_at_checked(length(26)?)?;
    let content = rest.get(length(28)?..).unwrap_or_default();
    if name == b"mimetype" && content.starts_with(b"application/vnd.") {
        return Some(Kind::Office);
    }
    Some(zip_with(Kind::Zip, &String::from_utf8_lossy(name)))
}

/// What a zip, so far of `kind`, is when it has an entry of this name.
pub(super) fn zip_with(kind: Kind, name: &str) -> Kind {
    let name = name.replace('\\', "/").to_ascii_lowercase();
    let under = |folders: &[&str]| folders.iter().any(|folder| name.starts_with(folder));
    let last = name.rsplit('/').next().unwrap_or_default();
    if last == "vbaproject.bin"
        || under(&["xl/macrosheets/", "basic/script", "scripts/"]) && kind == Kind::Office
    {
        return Kind::OfficeMacro;
    }
    match name.as_str() {
        "classes.dex" | "androidmanifest.xml" | "appxmanifest.xml" => Kind::Executable,
        _ if kind != Kind::Zip => kind,
        "[content_types].xml" | "_rels/.rels" | "content.xml" | "meta-inf/manifest.xml" => Kind::Office,
        "meta-inf/manifest.mf" | "meta-inf/" => Kind::Java,
        _ if under(&["word/", "xl/", "ppt/", "docprops/"]) => Kind::Office,
        _ if name.ends_with(".class") => Kind::Java,
        _ => kind,
    }
}

/// Containers whose kind stands behind their first word: RIFF, IFF, ISO base media.
fn boxed(head: &[u8]) -> Option<Kind> {
    let kind = head.get(8..12)?;
    match (head.get(..4)?, head.get(4..8)?) {
        (b"RIFF", _) => match kind {
            b"WAVE" => Some(Kind::Audio),
            b"AVI " => Some(Kind::Video),
            // Windows runs what an animated cursor's reader made of it.
            b"WEBP" | b"ACON" => Some(Kind::Image),
            _ => None,
        },
        (b"FORM", _) => matches!(kind, b"AIFF" | b"AIFC").then_some(Kind::Audio),
        (_, b"ftyp") => Some(match kind {
            b"heic" | b"heix" | b"mif1" | b"msf1" | b"avif" | b"avis" => Kind::Image,
            b"M4A " | b"M4B " => Kind::Audio,
            _ => Kind::Video,
        }),
        _ => None,
    }
}

/// Short or common marks, believed only when more fits.
fn checked(head: &[u8]) -> Option<Kind> {
    let word = |at: usize| {
        head.get(at..at + 4).map(|octets| u32::from_le_bytes(octets.try_into().unwrap_or_default()))
    };
    if begins_at(head, 257, b"ustar") || head.get(..512).is_some_and(is_tar_header) {
        Some(Kind::Tar)
    } else if head.starts_with(b"BZh") && begins_at(head, 4, b"1AY&SY") {
        Some(Kind::Bzip2)
    } else if begins_at(head, 2, b"-lh") && head.get(6) == Some(&b'-') {
        Some(Kind::Lzh)
    } else if head.starts_with(b"BM") && word(6) == Some(0) {
        Some(Kind::Image)
    } else if matches!(head, [0xff, second, third, ..] if second & 0xe6 == 0xe2 && third >> 4 != 15) {
        Some(Kind::Audio) // MPEG, layer 3 or 2
    } else if begins_at(head, 510, b"\x55\xaa") && matches!(head.first(), Some(0xeb | 0xe9 | 0x33 | 0xfa)) {
        Some(Kind::DiskImage)
    } else if is_signed(head) {
        Some(Kind::Certificate)
    } else {
        None
    }
}

/// DER of PKCS #7, of a certificate or of PKCS #12: a sequence whose first member fits.
fn is_signed(head: &[u8]) -> bool {
    let content = match head {
        [0x30, 0x80, rest @ ..] | [0x30, 0x81, _, rest @ ..] => rest,
        [0x30, 0x82, _, _, rest @ ..] | [0x30, 0x83, _, _, _, rest @ ..] => rest,
        _ => return false,
    };
    let pkcs7 = content.starts_with(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07");
    let certificate =
        matches!(content, [0x30, 0x81..=0x83, ..]) && content.iter().skip(2).take(8).any(|&o| o == 0x02);
    pkcs7 || certificate || content.starts_with(b"\x02\x01\x03\x30")
}

/// A program of DOS has no mark. It begins with a jump, or asks the system for something early on.
fn com(head: &[u8]) -> bool {
    let call = |pair: &[u8]| memchr::memmem::find(head, pair).is_some();
    let prints = head.windows(4).any(|code| matches!(code, [0xb4, _, 0xcd, 0x21]));
    matches!(head.first(), Some(0xe9 | 0xeb)) && (call(b"\xcd\x21") || call(b"\xcd\x20")) || prints
}

/// Whether the last sector is the trailer of an image for macOS or a VHD of fixed size.
pub(super) fn ends_disk_image(tail: &[u8]) -> bool {
    tail.len() == 512 && (tail.starts_with(b"koly") || tail.starts_with(b"conectix"))
}
