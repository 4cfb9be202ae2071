//! Kinds by harmless headers made here, and names.

use super::{HEAD_BYTES, Kind, Named, Sniffer, Tricks, VOLUME_AT, mismatch};

/// The kinds told for `pieces`, in order; and the archive kind.
fn sniff<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Kind>, Option<Kind>) {
    let mut sniffer = Sniffer::new();
    let mut kinds = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let sniffed = sniffer.push(piece);
            assert!(sniffed.taken > 0);
            piece = &piece[sniffed.taken..];
            kinds.extend(sniffed.kind);
        }
    }
    kinds.extend(sniffer.finish());
    assert_eq!(sniffer.kind(), kinds.last().copied());
    (kinds, sniffer.archive())
}

#[track_caller]
fn check_all(octets: &[u8], want: &[Kind]) -> Option<Kind> {
    let (whole, archive) = sniff([octets]);
    assert_eq!(whole, want, "{:?}", String::from_utf8_lossy(&octets[..octets.len().min(60)]));
    let cuts =
        if octets.len() < 3000 { (0..=octets.len()).collect() } else { vec![1, 1023, 1024, 1025, 32_770] };
    for cut in cuts {
        let (front, back) = octets.split_at(cut);
        assert_eq!(sniff([front, back]), (whole.clone(), archive), "cut at {cut}");
    }
    assert_eq!(sniff(octets.chunks(7)), (whole, archive));
    archive
}

#[track_caller]
fn check(octets: impl AsRef<[u8]>, want: Kind) {
    let octets = octets.as_ref();
    let archive = check_all(octets, &[want]);
    let zipped = octets.starts_with(b"PK") && matches!(want, Kind::Office | Kind::OfficeMacro | Kind::Java);
    let want = if zipped { Some(Kind::Zip) } else { want.is_archive().then_some(want) };
    assert_eq!(archive, want);
}

/// A beginning, as long as a head.
fn padded(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    octets.resize(HEAD_BYTES + 10, 0);
    octets
}

fn at(place: usize, octets: &[u8]) -> Vec<u8> {
    [vec![1; place], octets.to_vec()].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn programs_are_known() {
    check(padded(b"MZ\x90\0\x03"), Kind::Executable);
    check(b"MZ\0", Kind::Executable);
    check(b"MZ is how a sentence of two letters begins, and no program.", Kind::Text);
    check(b"\x7fELF\x02\x01\x01", Kind::Executable);
    check(b"\xcf\xfa\xed\xfe\x07\0\0\x01", Kind::Executable);
    check(b"\xca\xfe\xba\xbe\0\0\0\x02", Kind::Executable);
    check(b"\xca\xfe\xba\xbe\0\0\0\x34", Kind::Java);
    check(b"\xe9\x00\x01\xb4\x09\xba\x09\x01\xcd\x21", Kind::Executable);
    check(b"\xba\x0e\x01\xb4\x09\xcd\x21\xb8\x00\x4c", Kind::Executable);
    check(b"dex\n035\0", Kind::Executable);
}

#[test]
fn scripts_are_known() {
    for script in [
        "#!/bin/sh\necho hello",
        "\u{feff}#!/usr/bin/env python\n",
        "@echo off\r\nset X=1",
        "@ECHO OFF",
        "#@~^AAAAAA==",
        "Set o = CreateObject(\"WScript.Shell\")",
        "var x = new ActiveXObject(\"Msxml2.XMLHTTP\");",
        "On Error Resume Next\r\nDim a\r\na = 1",
        "  (function(){ return 1 })()",
        "var a = 1; function b(c) { return eval(c); }",
        "$x = 1; Invoke-Expression $x",
        "<job id=\"a\"><script language=\"JScript\">1</script></job>",
        "<html><head><hta:application id=\"a\"/></head></html>",
        "Windows Registry Editor Version 5.00\r\n",
        "some text, then powershell -enc AAAA",
    ] {
        check(script, Kind::Script);
    }
    check([&b"\xff\xfe"[..], &wide("Set o = CreateObject(\"WScript.Shell\")")].concat(), Kind::Script);
    check("We talk about eval( and nothing else.", Kind::Text);
    check("Dear Sir, please call me (again) on Monday - or Tuesday. It costs 5% more.", Kind::Text);
}

#[test]
fn shortcuts_and_images_of_disks_are_known() {
    check(b"L\0\0\0\x01\x14\x02\0\0\0\0\0", Kind::Shortcut);
    check(b"[InternetShortcut]\r\nURL=http://example.org/", Kind::Shortcut);
    check(b"[{000214A0-0000-0000-C000-000000000046}]\r\n", Kind::Shortcut);
    check(b"[Shell]\r\nCommand=2\r\n", Kind::Shortcut);
    check("<?xml version=\"1.0\"?><libraryDescription xmlns=\"x\">", Kind::Shortcut);
    check(b"conectix", Kind::DiskImage);
    check(b"vhdxfile", Kind::DiskImage);
    check([b"\xeb\x3c\x90", &[1; 507][..], b"\x55\xaa"].concat(), Kind::DiskImage);
}

#[test]
fn what_shows_late_refines_the_kind() {
    let mut iso = vec![0; 40_000];
    let place = usize::try_from(VOLUME_AT).unwrap();
    iso[place..place + 5].copy_from_slice(b"CD001");
    check_all(&iso, &[Kind::Unknown, Kind::DiskImage]);
    iso[place] = b'X';
    check_all(&iso, &[Kind::Unknown]);
    iso[..4].copy_from_slice(b"%PDF");
    iso[4] = b'-';
    iso[place] = b'C';
    check_all(&iso, &[Kind::Pdf, Kind::DiskImage]);
    let trailer = [vec![1; 2000], b"koly".to_vec(), vec![0; 508]].concat();
    check_all(&trailer, &[Kind::Unknown, Kind::DiskImage]);
    let trailer = [vec![1; 2000], b"conectix".to_vec(), vec![0; 504]].concat();
    check_all(&trailer, &[Kind::Unknown, Kind::DiskImage]);
    check_all(&[&trailer[..], b"."].concat(), &[Kind::Unknown]);
}

#[test]
fn an_ole2_file_is_known_better_when_its_streams_names_pass() {
    let mark = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
    let late = |words: &[Vec<u8>]| [padded(mark), words.concat(), vec![0; 50]].concat();
    check(padded(mark), Kind::OfficeOld);
    check_all(&late(&[wide("_VBA_PROJECT")]), &[Kind::OfficeOld, Kind::OfficeMacro]);
    check([&mark[..], &wide("_VBA_PROJECT")].concat(), Kind::OfficeMacro);
    check_all(&late(&[wide("__substg1.0_")]), &[Kind::OfficeOld, Kind::Email]);
    check_all(
        &late(&[wide("__substg1.0_"), vec![0; 9], wide("_VBA_PROJECT"), wide("_VBA_PROJECT")]),
        &[Kind::OfficeOld, Kind::Email, Kind::OfficeMacro],
    );
    let class = b"\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46".to_vec();
    check_all(&late(&[class]), &[Kind::OfficeOld, Kind::Executable]);
    let locked = late(&[wide("EncryptedPackage")]);
    let mut sniffer = Sniffer::new();
    let mut rest = &locked[..];
    while !rest.is_empty() {
        rest = &rest[sniffer.push(rest).taken..];
    }
    assert!(sniffer.is_encrypted());
    sniffer.reset();
    assert!(!sniffer.is_encrypted() && sniffer.head().is_empty());
}

#[test]
fn archives_are_known() {
    let zip = |name: &str| {
        let mut header = b"PK\x03\x04\x14\0".to_vec();
        header.resize(26, 0);
        header.extend_from_slice(&[u8::try_from(name.len()).unwrap(), 0, 0, 0]);
        header.extend_from_slice(name.as_bytes());
        header
    };
    check(zip("a.txt"), Kind::Zip);
    check(b"PK\x05\x06", Kind::Zip);
    check(zip("[Content_Types].xml"), Kind::Office);
    check(zip("_rels/.rels"), Kind::Office);
    check(zip("word/document.xml"), Kind::Office);
    check(zip("word\\vbaProject.bin"), Kind::OfficeMacro);
    check(zip("META-INF/MANIFEST.MF"), Kind::Java);
    check([zip("mimetype"), b"application/vnd.oasis.opendocument.text".to_vec()].concat(), Kind::Office);
    check([zip("mimetype"), b"application/epub+zip".to_vec()].concat(), Kind::Zip);
    check(b"\x1f\x8b\x08\0", Kind::Gzip);
    check(b"Rar!\x1a\x07\x01\0", Kind::Rar);
    check(b"7z\xbc\xaf\x27\x1c\0\x04", Kind::SevenZip);
    check(b"\xfd7zXZ\0", Kind::Xz);
    check(b"BZh91AY&SY", Kind::Bzip2);
    check(b"BZh, a greeting", Kind::Text);
    check(b"MSCF\0\0\0\0", Kind::Cab);
    check(b"\x28\xb5\x2f\xfd\x04", Kind::Zstd);
    check(b"\x20\x7c-lh5-", Kind::Lzh);
    check(at(7, b"**ACE**"), Kind::Ace);
    check(b"\x60\xea\x29\0", Kind::Arj);
    check(at(257, b"ustar\x0000"), Kind::Tar);
    // An old tar has no mark but its checksum.
    let mut tar = vec![0; 512];
    tar[0] = b'a';
    tar[148..156].copy_from_slice(format!("{:06o}\0 ", u32::from(b'a') + 8 * 32).as_bytes());
    check(&tar, Kind::Tar);
    tar[1] = b'a';
    check(&tar, Kind::Unknown);
}

#[test]
fn an_entry_makes_a_zip_better_known() {
    for (kind, name, want) in [
        (Kind::Zip, "a.txt", Kind::Zip),
        (Kind::Zip, "[Content_Types].xml", Kind::Office),
        (Kind::Office, "xl/VBAProject.bin", Kind::OfficeMacro),
        (Kind::Office, "xl/macrosheets/sheet1.xml", Kind::OfficeMacro),
        (Kind::Office, "Basic/script-lc.xml", Kind::OfficeMacro),
        (Kind::Office, "META-INF/manifest.mf", Kind::Office),
        (Kind::OfficeMacro, "a", Kind::OfficeMacro),
        (Kind::Zip, "x/y.class", Kind::Java),
        (Kind::Java, "AndroidManifest.xml", Kind::Executable),
        (Kind::Pdf, "vbaProject.bin", Kind::Pdf),
    ] {
        assert_eq!(kind.after_entry(name), want, "{name}");
    }
}

#[test]
fn documents_and_text_are_known() {
    check(b"", Kind::Empty);
    check(b"{\\rtf1\\ansi", Kind::Rtf);
    check(b"%PDF-1.7\n", Kind::Pdf);
    check(at(900, b"%PDF-1.4"), Kind::Pdf);
    check(at(1100, b"%PDF-1.4"), Kind::Unknown);
    check(b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", Kind::OneNote);
    check(b"\x78\x9f\x3e\x22\x01\0", Kind::Tnef);
    for html in [
        "<!DOCTYPE html><p>",
        "\u{feff}\r\n <HTML>",
        "<table width=1>",
        "<a href=\"x\">",
        "<!-- x --><b>",
        "Text first, then <html><body>",
        "<?xml version=\"1.0\"?><html xmlns=\"x\">",
        "<\0html>\0",
    ] {
        check(html, Kind::Html);
    }
    check(b"<html\0>\0<body>", Kind::Html);
    check([&b"\xff\xfe"[..], &wide("<html>")].concat(), Kind::Html);
    check(wide("plain text without its mark"), Kind::Text);
    check("<abc>", Kind::Text);
    check("<svg xmlns=\"x\">", Kind::Svg);
    check("<?xml version=\"1.0\"?>\n<svg>", Kind::Svg);
    check("<?xml version=\"1.0\"?>\n<a/>", Kind::Xml);
    check("<?xml version=\"1.0\"?><?mso-application progid=\"Word.Document\"?>", Kind::Office);
    check("Received: from a by b\r\nSubject: x\r\n\r\n", Kind::Email);
    check("From me to you: a text.\nTo: nobody", Kind::Email);
    check("From: here on, only prose.", Kind::Text);
    check("BEGIN:VCALENDAR\r\nVERSION:2.0", Kind::Calendar);
    check("BEGIN:VCARD", Kind::Contact);
    check("-----BEGIN PGP MESSAGE-----", Kind::Pgp);
    check("-----BEGIN CERTIFICATE-----", Kind::Certificate);
    check(b"\x30\x82\x01\x02\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", Kind::Certificate);
    check("Grüße".as_bytes(), Kind::Text);
    check(b"Gr\xfc\xdfe in Latin-1", Kind::Text);
    check(b"\x1b$B$3$s$K$A$O\x1b(B", Kind::Text);
    check(b"\x01\x02\x03", Kind::Unknown);
}

#[test]
fn media_are_known() {
    check(b"\x89PNG\r\n\x1a\n", Kind::Image);
    check(b"\xff\xd8\xff\xe0\0\x10JFIF", Kind::Image);
    check(b"GIF89a", Kind::Image);
    check(b"BM\x46\0\0\0\0\0\0\0\x36", Kind::Image);
    check(b"BMW builds cars", Kind::Text);
    check(b"RIFF\x24\0\0\0WEBPVP8 ", Kind::Image);
    check(b"RIFF\x24\0\0\0WAVEfmt ", Kind::Audio);
    check(b"ID3\x03\0", Kind::Audio);
    check(b"\xff\xfb\x90\x44\0\0", Kind::Audio);
    check(b"\0\0\0\x20ftypisom\0\0", Kind::Video);
    check(b"\0\0\0\x20ftypheic\0\0", Kind::Image);
    check(b"\0\0\0\x20ftypM4A \0\0", Kind::Audio);
    check(b"\x1a\x45\xdf\xa3\x01\0", Kind::Video);
    check(b"wOF2\0\x01", Kind::Font);
    check(b"\0\x01\0\0\0\x0f", Kind::Font);
}

#[track_caller]
fn check_name(name: &str, kind: Kind, decoy: Option<Kind>, tricks: Tricks) {
    assert_eq!(Kind::from_name(name), Named { kind, decoy, tricks }, "{name:?}");
}

#[test]
fn a_name_tells_its_kind() {
    let none = Tricks::default();
    for (name, kind) in [
        ("a.exe", Kind::Executable),
        ("A.ExE", Kind::Executable),
        ("dir/a.js", Kind::Script),
        ("dir\\a.lnk", Kind::Shortcut),
        ("a.iso", Kind::DiskImage),
        ("a.docm", Kind::OfficeMacro),
        ("a.docx", Kind::Office),
        ("a.xls", Kind::OfficeOld),
        ("a.pdf", Kind::Pdf),
        ("a.jpeg", Kind::Image),
        ("a.7z", Kind::SevenZip),
        ("Müller 2.1.ics", Kind::Calendar),
        ("a", Kind::Unknown),
        ("", Kind::Unknown),
        ("a.b/c", Kind::Unknown),
        ("a.nonsense", Kind::Unknown),
        (".exe", Kind::Executable),
    ] {
        check_name(name, kind, None, none);
    }
    check_name("a.tar.gz", Kind::Gzip, Some(Kind::Tar), none);
    check_name("a.docx.zip", Kind::Zip, Some(Kind::Office), none);
    check_name("a.exe.js", Kind::Script, Some(Kind::Executable), none);
}

#[test]
fn a_name_that_hides_its_kind_is_seen_through() {
    let none = Tricks::default();
    let double = Tricks { double_extension: true, ..none };
    check_name("a.pdf.exe", Kind::Executable, Some(Kind::Pdf), double);
    check_name("a.pdf .exe", Kind::Executable, Some(Kind::Pdf), double);
    check_name("a.jpg.html", Kind::Html, Some(Kind::Image), double);
    check_name("a\u{2024}pdf.exe", Kind::Executable, Some(Kind::Pdf), double);
    let long = Tricks { long_space: true, ..double };
    check_name("a.pdf                      .exe", Kind::Executable, Some(Kind::Pdf), long);
    let trailing = Tricks { trailing: true, ..none };
    check_name("a.exe.", Kind::Executable, None, trailing);
    check_name("a.exe . .", Kind::Executable, None, trailing);
    check_name("a.exe::$DATA", Kind::Executable, None, trailing);
    let turned = Tricks { right_to_left: true, ..double };
    check_name("invoice\u{202e}fdp.exe", Kind::Executable, Some(Kind::Pdf), turned);
    check_name("a\u{202e}gnp.scr", Kind::Executable, Some(Kind::Image), turned);
    let invisible = Tricks { invisible: true, ..none };
    check_name("a.e\u{200b}xe", Kind::Executable, None, invisible);
    check_name("a.exe\0.txt", Kind::Executable, Some(Kind::Text), Tricks { invisible: true, ..double });
    check_name("a.txt\0.exe", Kind::Executable, Some(Kind::Text), Tricks { invisible: true, ..double });
    check_name("a.txt.{00021401-0000-0000-C000-000000000046}", Kind::Shortcut, Some(Kind::Text), double);
    assert!(Kind::from_name("a.pdf.exe").is_disguised());
    assert!(!Kind::from_name("a.exe").is_disguised());
}

#[test]
fn a_disguise_is_a_name_of_another_kind() {
    for (name, truth, want) in [
        (Kind::Pdf, Kind::Pdf, false),
        (Kind::Pdf, Kind::Html, true),
        (Kind::Pdf, Kind::Executable, true),
        (Kind::Pdf, Kind::Unknown, true),
        (Kind::Unknown, Kind::Executable, false),
        (Kind::Executable, Kind::Text, false),
        (Kind::Text, Kind::Html, false),
        (Kind::Text, Kind::Script, true),
        (Kind::Text, Kind::Executable, true),
        (Kind::Text, Kind::Unknown, true),
        (Kind::Script, Kind::Text, false),
        (Kind::OfficeOld, Kind::Rtf, false),
        (Kind::OfficeOld, Kind::Html, true),
        (Kind::OfficeOld, Kind::OfficeMacro, false),
        (Kind::Office, Kind::OfficeMacro, true),
        (Kind::Office, Kind::Zip, false),
        (Kind::Image, Kind::Svg, true),
        (Kind::Image, Kind::Unknown, false),
        (Kind::Zip, Kind::Rar, true),
        (Kind::Zip, Kind::Unknown, true),
        (Kind::Tar, Kind::Gzip, false),
        (Kind::Pdf, Kind::Empty, false),
    ] {
        assert_eq!(mismatch(name, truth), want, "{} {}", name.name(), truth.name());
    }
}

#[test]
fn every_kind_has_its_own_name() {
    let names: std::collections::HashSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    assert!(
        names.iter().all(|name| name.bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'_')))
    );
}
