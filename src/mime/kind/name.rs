//! What a file's name says it is, to its system and to its reader, who need not see the same.
//!
//! Windows goes by what stands behind the last dot, after dots and spaces at the end are dropped;
//! people go by what is shown, which right-to-left marks turn round, white space pushes out of view,
//! and a second extension that is hidden by default makes another kind.

use super::Kind;

/// White space that pushes the extension out of a usual column.
const SPACE_CHARS_MAX: usize = 8;

/// What a name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The kind of the extension that counts; `Unknown` without one that is known.
    pub kind: Kind,
    /// Another kind that a reader may take it for.
    pub decoy: Option<Kind>,
    pub tricks: Tricks,
}

impl Named {
    /// Whether the name shows something harmless for something that runs, or hides what it is.
    pub const fn is_disguised(&self) -> bool {
        self.tricks.double_extension || self.tricks.right_to_left || self.tricks.long_space
    }
}

/// What a name has that names of files have not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tricks {
    /// `invoice.pdf.exe`: something that runs, with the extension of something shown before its own.
    pub double_extension: bool,
    /// Dots or spaces at the end, or a stream's name, which Windows drops.
    pub trailing: bool,
    /// Characters that turn the direction of what follows.
    pub right_to_left: bool,
    /// More white space together than any name has.
    pub long_space: bool,
    /// Control characters, or such as have no width.
    pub invisible: bool,
}

/// Reads a name as a system does, and beside it as a reader does.
pub(super) fn read(name: &str) -> Named {
    let mut tricks = Tricks {
        right_to_left: name.contains(turns),
        invisible: name.contains(|c: char| c.is_control() || has_no_width(c)),
        long_space: has_long_space(name),
        ..Tricks::default()
    };
    // A NUL ends the name for some: what stands before it is one more name.
    let (front, whole) = (name.split('\0').next().unwrap_or_default(), bare(name));
    let (kind, decoy, trailing) = last_of(&whole);
    let (other, other_decoy, _) = last_of(&bare(front));
    let (kind, decoy) = match other.is_active() && !kind.is_active() {
        true => (other, Some(kind)),
        false => (kind, decoy.or(other_decoy)),
    };
    let decoy = turned(name).or(decoy).filter(|decoy| *decoy != kind && *decoy != Kind::Unknown);
    tricks.trailing = trailing;
    tricks.double_extension = runs(kind) && decoy.is_some_and(|decoy| !decoy.is_active());
    Named { kind, decoy, tricks }
}

/// What people would not open if they knew.
const fn runs(kind: Kind) -> bool {
    kind.is_active() && !matches!(kind, Kind::OfficeMacro | Kind::OneNote)
}

/// The last part of the path, without characters that nobody sees.
fn bare(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|&c| !c.is_control() && !has_no_width(c) && !turns(c)).collect()
}

/// The kind of the last extension, of the one before it, and whether something hung behind.
fn last_of(name: &str) -> (Kind, Option<Kind>, bool) {
    let dropped = |c: char| c == '.' || c.is_whitespace();
    let stream =
        name.match_indices(':').find(|(at, _)| *at > 1).and_then(|(at, _)| name.get(..at)).unwrap_or(name);
    let whole = stream.trim_end_matches(dropped);
    let trailing = whole.len() < name.len();
    let Some((rest, extension)) = whole.rsplit_once('.') else { return (Kind::Unknown, None, trailing) };
    let before = rest.trim_end_matches(dropped).rsplit_once(is_dot);
    let decoy = before.map(|(_, extension)| of_extension(extension)).filter(|kind| *kind != Kind::Unknown);
    (of_extension(extension), decoy, trailing)
}

/// The kind that shows when a direction mark turns the rest of the name round.
fn turned(name: &str) -> Option<Kind> {
    let at = name.rfind(turns)?;
    let shown: String = name.get(at..)?.chars().rev().filter(|&c| !turns(c)).collect();
    let (_, extension) = shown.rsplit_once('.')?;
    Some(of_extension(extension)).filter(|kind| *kind != Kind::Unknown)
}

/// A dot, or what looks like one.
const fn is_dot(c: char) -> bool {
    matches!(c, '.' | '\u{2024}' | '\u{ff0e}' | '\u{3002}' | '\u{ff61}' | '\u{a4f8}')
}

/// Marks that embed, override or isolate a direction.
const fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

const fn has_no_width(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// White space of any script, and characters that look like it.
fn has_long_space(name: &str) -> bool {
    let wide = |c: char| c.is_whitespace() || matches!(c, '\u{2800}' | '\u{3164}' | '\u{115f}');
    let mut run = 0;
    name.chars().any(|c| {
        run = if wide(c) { run + 1 } else { 0 };
        run > SPACE_CHARS_MAX
    })
}

/// The kind that an extension stands for; groups of one subject are tables of their own.
fn of_extension(extension: &str) -> Kind {
    let extension = extension.trim().to_ascii_lowercase();
    // A class instead of an extension: Windows opens it with that class's program.
    if extension.starts_with('{') && extension.ends_with('}') {
        return Kind::Shortcut;
    }
    let known = active(&extension).or_else(|| archive(&extension)).or_else(|| document(&extension));
    known.or_else(|| media(&extension)).unwrap_or(Kind::Unknown)
}

/// What runs, or only points to what does. After the lists of what mail programs refuse to open.
fn active(extension: &str) -> Option<Kind> {
    Some(match extension {
        "exe" | "com" | "scr" | "pif" | "cpl" | "dll" | "sys" | "drv" | "ocx" | "xll" | "wll" | "msi"
        | "msp" | "mst" | "msix" | "msixbundle" | "appx" | "appxbundle" | "appinstaller" | "application"
        | "gadget" | "apk" | "aab" | "ipa" | "deb" | "rpm" | "pkg" | "mpkg" | "app" | "bin" | "run"
        | "elf" | "so" | "dylib" | "out" | "ko" | "efi" | "ax" | "tsp" | "appimage" | "snap" | "wasm"
        | "crx" | "xpi" => Kind::Executable,
        "js" | "jse" | "mjs" | "vb" | "vbs" | "vbe" | "vba" | "ws" | "wsf" | "wsc" | "wsh" | "sct"
        | "hta" | "bat" | "cmd" | "btm" | "ps1" | "ps1xml" | "ps2" | "psc1" | "psc2" | "psd1" | "psm1"
        | "msh" | "sh" | "bash" | "csh" | "ksh" | "zsh" | "fish" | "command" | "tool" | "workflow"
        | "scpt" | "scptd" | "applescript" | "py" | "pyc" | "pyw" | "pyz" | "pl" | "rb" | "php" | "php5"
        | "phtml" | "asp" | "aspx" | "jsp" | "lua" | "reg" | "inf" | "ins" | "isp" | "job" | "chm"
        | "hlp" | "swf" | "ahk" | "au3" | "a3x" | "iqy" | "oqy" | "rqy" | "dqy" | "vsto" | "mde" | "mda"
        | "ade" | "adp" | "mam" | "maq" | "mar" | "mas" | "mat" | "mau" | "mav" | "maw" | "xbap" | "xnk"
        | "shb" | "shs" | "grp" | "hpj" | "prf" | "prg" | "pcd" | "msc" | "fxp" | "osd" | "plg" | "cnt"
        | "diagcab" | "theme" | "themepack" => Kind::Script,
        "lnk" | "url" | "scf" | "desktop" | "webloc" | "inetloc" | "fileloc" | "website" | "library-ms"
        | "search-ms" | "searchconnector-ms" | "settingcontent-ms" | "appref-ms" | "mad" | "maf" | "mag"
        | "mapimail" | "rdp" => Kind::Shortcut,
        "iso" | "img" | "ima" | "vhd" | "vhdx" | "vmdk" | "dmg" | "udf" | "wim" | "esd" | "swm" | "qcow2"
        | "vdi" | "mds" | "nrg" | "ccd" | "cue" | "toast" | "sparseimage" | "isz" => Kind::DiskImage,
        "jar" | "war" | "ear" | "class" | "jnlp" => Kind::Java,
        _ => return None,
    })
}

fn archive(extension: &str) -> Option<Kind> {
    Some(match extension {
        "zip" | "zipx" | "z01" | "cbz" => Kind::Zip,
        "gz" | "tgz" | "gzip" | "taz" | "emz" | "svgz" => Kind::Gzip,
        "tar" | "gtar" | "ova" => Kind::Tar,
        "rar" | "r00" | "r01" | "cbr" | "rev" => Kind::Rar,
        "7z" | "cb7" => Kind::SevenZip,
        "xz" | "txz" => Kind::Xz,
        "bz2" | "bz" | "tbz" | "tbz2" => Kind::Bzip2,
        "cab" => Kind::Cab,
        "zst" | "tzst" => Kind::Zstd,
        "lzh" | "lha" => Kind::Lzh,
        "ace" => Kind::Ace,
        "arj" => Kind::Arj,
        "a" | "ar" | "cpio" | "lz" | "lzma" | "tlz" | "lz4" | "z" | "uu" | "uue" | "arc" | "zoo" | "alz"
        | "egg" | "br" | "sz" => Kind::ArchiveOther,
        "tnef" => Kind::Tnef,
        _ => return None,
    })
}

fn document(extension: &str) -> Option<Kind> {
    Some(match extension {
        "docx" | "dotx" | "xlsx" | "xltx" | "xlsb" | "pptx" | "potx" | "ppsx" | "thmx" | "vsdx" | "odt"
        | "ott" | "ods" | "ots" | "odp" | "otp" | "odg" | "odf" | "odb" | "sxw" | "sxc" | "sxi" | "slk"
        | "accdb" => Kind::Office,
        "docm" | "dotm" | "xlsm" | "xltm" | "xlam" | "pptm" | "potm" | "ppsm" | "ppam" | "sldm" | "vsdm" => {
            Kind::OfficeMacro
        }
        "doc" | "dot" | "xls" | "xlt" | "xla" | "xlm" | "xlw" | "ppt" | "pot" | "pps" | "ppa" | "vsd"
        | "pub" | "mpp" | "mdb" | "wbk" | "wiz" => Kind::OfficeOld,
        "rtf" => Kind::Rtf,
        "one" | "onepkg" | "onetoc2" => Kind::OneNote,
        "pdf" | "fdf" | "xfdf" | "ai" => Kind::Pdf,
        "htm" | "html" | "shtml" | "xhtml" | "xht" => Kind::Html,
        "xml" | "xsl" | "xslt" | "xsd" | "rss" | "atom" | "gpx" | "kml" => Kind::Xml,
        "txt" | "text" | "csv" | "tsv" | "log" | "md" | "diff" | "patch" | "asc" | "ini" | "cfg" | "conf"
        | "json" | "yaml" | "yml" | "toml" | "c" | "h" | "cpp" | "hpp" | "rs" | "java" | "css" | "sql"
        | "tex" => Kind::Text,
        "eml" | "msg" | "mbox" | "mht" | "mhtml" | "emlx" | "oft" => Kind::Email,
        "ics" | "ical" | "ifb" | "vcs" => Kind::Calendar,
        "vcf" | "vcard" => Kind::Contact,
        "p7s" | "p7m" | "p7b" | "p7c" | "cer" | "crt" | "der" | "pem" | "p12" | "pfx" | "key" | "csr"
        | "crl" => Kind::Certificate,
        "pgp" | "gpg" | "sig" => Kind::Pgp,
        _ => return None,
    })
}

fn media(extension: &str) -> Option<Kind> {
    Some(match extension {
        "svg" => Kind::Svg,
        "png" | "jpg" | "jpeg" | "jpe" | "jfif" | "gif" | "bmp" | "dib" | "tif" | "tiff" | "webp" | "ico"
        | "cur" | "ani" | "psd" | "wmf" | "emf" | "jp2" | "jxl" | "heic" | "heif" | "avif" | "eps"
        | "raw" | "dng" => Kind::Image,
        "mp3" | "m4a" | "m4b" | "aac" | "wav" | "ogg" | "oga" | "opus" | "flac" | "wma" | "mid" | "midi"
        | "amr" | "aif" | "aiff" | "au" => Kind::Audio,
        "mp4" | "m4v" | "mov" | "avi" | "mkv" | "webm" | "wmv" | "asf" | "flv" | "mpg" | "mpeg" | "mpe"
        | "3gp" | "3g2" | "ogv" => Kind::Video,
        "ttf" | "otf" | "ttc" | "woff" | "woff2" | "eot" => Kind::Font,
        _ => return None,
    })
}

pub(super) const fn mismatch(name: Kind, truth: Kind) -> bool {
    // What says that it runs pretends nothing; and of nothing there is no kind.
    if matches!(name, Kind::Unknown | Kind::Empty | Kind::Executable | Kind::Shortcut | Kind::DiskImage)
        || matches!(truth, Kind::Empty)
        || name as u8 == truth as u8
    {
        return false;
    }
    !may_be(name, truth)
}

/// Whether files named as `name` are at times, and harmlessly, `truth`.
const fn may_be(name: Kind, truth: Kind) -> bool {
    match name {
        Kind::Text => !truth.is_active() && is_text(truth) || matches!(truth, Kind::Html | Kind::Svg),
        Kind::Script => is_text(truth) || matches!(truth, Kind::Unknown),
        Kind::Xml | Kind::Html | Kind::Svg => {
            matches!(truth, Kind::Xml | Kind::Html | Kind::Svg | Kind::Text | Kind::Office)
        }
        Kind::Email => matches!(truth, Kind::Text | Kind::Html | Kind::OfficeOld | Kind::Unknown),
        Kind::Calendar | Kind::Contact => matches!(truth, Kind::Text | Kind::Calendar | Kind::Contact),
        Kind::Certificate | Kind::Pgp => {
            matches!(truth, Kind::Certificate | Kind::Pgp | Kind::Text | Kind::Unknown)
        }
        Kind::Office | Kind::OfficeMacro | Kind::OfficeOld | Kind::Rtf => {
            matches!(truth, Kind::Office | Kind::OfficeOld | Kind::Rtf | Kind::Text | Kind::Xml | Kind::Zip)
                || !matches!(name, Kind::Office) && matches!(truth, Kind::OfficeMacro)
        }
        Kind::Java => matches!(truth, Kind::Zip),
        // What is packed twice is often named once; what is a zip inside may be named so.
        Kind::Zip => matches!(truth, Kind::Office | Kind::OfficeMacro | Kind::Java),
        Kind::Tar => matches!(truth, Kind::Gzip | Kind::Bzip2 | Kind::Xz),
        Kind::ArchiveOther => matches!(truth, Kind::Unknown | Kind::Text),
        Kind::Image | Kind::Font | Kind::OneNote | Kind::Tnef | Kind::Xz | Kind::Zstd => {
            matches!(truth, Kind::Unknown)
        }
        Kind::Audio | Kind::Video => matches!(truth, Kind::Audio | Kind::Video | Kind::Unknown),
        _ => false,
    }
}

const fn is_text(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Text
            | Kind::Html
            | Kind::Xml
            | Kind::Svg
            | Kind::Script
            | Kind::Shortcut
            | Kind::Email
            | Kind::Calendar
            | Kind::Contact
            | Kind::Certificate
            | Kind::Pgp
    )
}
