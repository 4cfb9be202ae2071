//! Files in files: archives that say one thing in front and another at the end, and the rest.

use super::super::specimen::{
    DEFLATE, Entry, STORED, attached, base64_lines, crlf, gzip, tar, uuencoded, zip, zip_of,
};
use super::{SIGNATURE, attachment, hidden};

fn secret() -> Vec<u8> {
    format!("this is {SIGNATURE} indeed\n").into_bytes()
}

/// The entry that hides it, changed.
fn changed(method: u16, change: impl FnOnce(&mut Entry)) -> Vec<u8> {
    let mut entry = Entry::new("a.txt", &secret(), method);
    change(&mut entry);
    zip_of(&[entry])
}

/// Octets of a whole zip with `value` written at `at`.
fn patched(mut zip: Vec<u8>, at: usize, value: &[u8]) -> Vec<u8> {
    zip[at..at + value.len()].copy_from_slice(value);
    zip
}

fn zips() -> Vec<(&'static str, Vec<u8>)> {
    let plain = || zip("a.txt", &secret(), DEFLATE);
    let entry = |name: &str, method| Entry::new(name, &secret(), method);
    let harmless = || Entry::new("b.txt", b"nothing", STORED);
    let hidden_local = Entry { central: false, ..entry("a.txt", DEFLATE) };
    let central_only = Entry { local: false, ..entry("a.txt", DEFLATE) };
    vec![
        ("stored", zip("a.txt", &secret(), STORED)),
        ("deflated", plain()),
        ("sizes behind, deflated", zip_of(&[entry("a.txt", DEFLATE).with_descriptor()])),
        ("sizes behind, stored", zip_of(&[entry("a.txt", STORED).with_descriptor()])),
        ("text before", [b"MZ this is a program".to_vec(), plain()].concat()),
        ("much before", [vec![b'x'; 100_000], plain()].concat()),
        ("text behind", [plain(), b"something else".to_vec()].concat()),
        ("two, one behind the other", [zip("b.txt", b"nothing", STORED), plain()].concat()),
        ("two, it is in the first", [plain(), zip("b.txt", b"nothing", STORED)].concat()),
        ("zip in a zip", zip("b.zip", &plain(), DEFLATE)),
        ("zip in a stored zip, another name", zip("b.txt", &plain(), STORED)),
        ("not in the directory", zip_of(&[hidden_local, harmless()])),
        ("only in the directory", zip_of(&[harmless(), central_only])),
        ("another name in the directory", changed(DEFLATE, |e| e.central_name = Some("b.exe".to_owned()))),
        ("stored by the directory only", changed(DEFLATE, |e| e.central_method = Some(STORED))),
        ("deflated by the directory only", changed(STORED, |e| e.central_method = Some(DEFLATE))),
        ("wrong sum", changed(DEFLATE, |e| e.crc ^= 1)),
        ("wrong size", changed(DEFLATE, |e| e.size += 1)),
        ("says to be encrypted", changed(DEFLATE, |e| e.flags |= 1)),
        ("strong encryption", changed(DEFLATE, |e| e.flags |= 0x41)),
        ("a method of later days", changed(STORED, |e| e.method = 12)),
        ("deflate64", changed(DEFLATE, |e| e.method = 9)),
        ("folder with content", changed(DEFLATE, |e| "a/".clone_into(&mut e.name))),
        ("two of one name", zip_of(&[Entry::new("a.txt", b"nothing", STORED), entry("a.txt", DEFLATE)])),
        ("a way up", zip_of(&[entry("../../a.txt", DEFLATE)])),
        ("no end", plain()[..plain().len() - 22].to_vec()),
        ("cut in its data", plain()[..60].to_vec()),
        ("first mark gone", patched(plain(), 0, b"XX")),
        ("all sizes zero", patched(plain(), 18, &[0; 8])),
        ("a comment's length, and none", {
            let z = plain();
            let n = z.len();
            patched(z, n - 2, b"\xff\x00")
        }),
        ("in 70,000 octets of comment", [plain(), vec![0; 70_000]].concat()),
        ("spanned mark first", [b"PK\x07\x08".to_vec(), plain()].concat()),
    ]
}

fn others_of_archives() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let (text, tarred) = (secret(), tar("a.txt", &secret()));
    vec![
        ("gzip", "a.gz", gzip(&text)),
        ("gzip, two members", "a.gz", [gzip(b"this is "), gzip(&text)].concat()),
        ("gzip, cut in the sum", "a.gz", gzip(&text)[..gzip(&text).len() - 5].to_vec()),
        ("gzip, text behind", "a.gz", [gzip(&text), b"behind".to_vec()].concat()),
        ("gzip, another name", "a.txt", gzip(&text)),
        ("gzip in gzip in gzip", "a.gz", gzip(&gzip(&gzip(&text)))),
        ("tar", "a.tar", tarred.clone()),
        ("tar in gzip", "a.tar.gz", gzip(&tarred)),
        ("tar, no end", "a.tar", tarred[..1024].to_vec()),
        ("tar, wrong sum", "a.tar", patched(tarred.clone(), 150, b"7")),
        ("tar in tar", "a.tar", tar("b.tar", &tarred)),
        ("tar, a link with content", "a.tar", link(&tarred)),
        ("zip in gzip in tar", "a.tar", tar("a.gz", &gzip(&zip("a.txt", &text, DEFLATE)))),
        ("nine archives deep", "a.gz", (0..9).fold(text, |inner, _| gzip(&inner))),
        ("7z", "a.7z", [b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), vec![0x5a; 400]].concat()),
        ("xz", "a.xz", [b"\xfd7zXZ\0\0\x04".to_vec(), vec![0x5a; 400]].concat()),
        ("bzip2", "a.bz2", [b"BZh91AY&SY".to_vec(), vec![0x5a; 400]].concat()),
        ("zstd", "a.zst", [b"\x28\xb5\x2f\xfd".to_vec(), vec![0x5a; 400]].concat()),
        ("cabinet", "a.cab", [b"MSCF\0\0\0\0".to_vec(), vec![0x5a; 400]].concat()),
        ("RAR 5", "a.rar", [b"Rar!\x1a\x07\x01\0".to_vec(), vec![0x5a; 400]].concat()),
        ("arj", "a.arj", [b"\x60\xea\x2a\0\x1e".to_vec(), vec![0x5a; 400]].concat()),
    ]
}

/// A tar whose one file says to be a link, with its sum made right.
fn link(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    tar[156] = b'2';
    tar[148..156].copy_from_slice(b"        ");
    let sum: u32 = tar[..512].iter().copied().map(u32::from).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar
}

pub(super) fn archives() -> Vec<(&'static str, Vec<u8>)> {
    let zips = zips().into_iter().map(|(name, zip)| (name, attached("a.zip", &zip)));
    let others = others_of_archives().into_iter().map(|(name, file, octets)| (name, attached(file, &octets)));
    zips.chain(others).collect()
}

/// Signed data of PKCS #7, as far as a scanner sees it: the content between two headers.
fn signed(content: &[u8]) -> Vec<u8> {
    let head =
        b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80\
        \x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80\x24\x80\x04\x82";
    let size = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&head[..], &size, content, &[0; 12]].concat()
}

/// The same, with the type of data that only a key opens.
fn sealed(content: &[u8]) -> Vec<u8> {
    let at = content.windows(2).position(|pair| pair == [7, 2]).unwrap();
    let unreadable = content.iter().map(|octet| octet ^ 0x55).collect::<Vec<_>>();
    [&content[..at], &[7, 3], &unreadable[at + 2..]].concat()
}

pub(super) fn others() -> Vec<(&'static str, Vec<u8>)> {
    let written = uuencoded(&secret(), "a.txt");
    let deflated = zip("a.txt", &secret(), DEFLATE);
    let entity = signed(&crlf(&attachment()));
    let head = "Content-Type: application/octet-stream; name=a.bin\nContent-Transfer-Encoding: base64";
    let with_type = |kind: &str, octets: &[u8]| {
        let lines = base64_lines(octets, 76);
        crlf(&format!("Content-Type: {kind}\nContent-Transfer-Encoding: base64\n\n{lines}"))
    };
    vec![
        ("uuencoded in text", crlf(&format!("Content-Type: text/plain\n\nsee there\n\n{written}"))),
        ("uuencoded in no type", crlf(&format!("Subject: x\n\n{written}"))),
        ("uuencoded zip", crlf(&format!("Subject: x\n\n{}", uuencoded(&deflated, "a.zip")))),
        (
            "base64 in text, as some clients open",
            crlf(&format!("Subject: x\n\nbegin-base64 644 a.txt\n{}\n====\n", hidden())),
        ),
        (
            "base64 in text, the name as well",
            crlf(&format!("Subject: x\n\nbegin-base64-encoded 644 YS50eHQ=\n{}\n====\n", hidden())),
        ),
        (
            "message uuencoded in text",
            crlf(&format!("Subject: x\n\n{}", uuencoded(&crlf(&attachment()), "a.eml"))),
        ),
        ("zip that says to be text", with_type("text/plain", &deflated)),
        ("zip that says to be HTML", with_type("text/html", &deflated)),
        ("zip that says to be an image", with_type("image/png", &deflated)),
        ("zip that says to be a message", with_type("message/rfc822", &deflated)),
        ("zip that says to be a multipart", with_type("multipart/mixed; boundary=b", &deflated)),
        (
            "zip in quoted-printable",
            crlf(&format!(
                "Content-Type: application/zip\nContent-Transfer-Encoding: quoted-printable\n\n{}\n",
                super::quoted_printable(&deflated)
            )),
        ),
        ("zip in lines without a header", crlf(&format!("{head}\n\n{}", base64_lines(&deflated, 76)))),
        (
            "signed, a file within",
            with_type("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", &entity),
        ),
        (
            "signed, a file within, base64 once more",
            with_type("application/pkcs7-mime; name=smime.p7m", base64_lines(&entity, 76).as_bytes()),
        ),
        (
            "signed, as octets",
            with_type("application/octet-stream; name=a.xml.p7m", &signed(super::html(SIGNATURE).as_bytes())),
        ),
        ("signed, in a zip", attached("a.zip", &zip("a.p7m", &entity, DEFLATE))),
        ("sealed", with_type("application/pkcs7-mime; name=smime.p7m", &sealed(&entity))),
        ("signed, text within", with_type("application/pkcs7-mime; name=smime.p7m", &signed(&secret()))),
        (
            "winmail",
            with_type(
                "application/ms-tnef; name=winmail.dat",
                &[b"\x78\x9f\x3e\x22\x01\0".to_vec(), secret()].concat(),
            ),
        ),
        ("message in a zip", attached("a.zip", &zip("a.eml", &crlf(&attachment()), DEFLATE))),
        ("HTML in a zip", attached("a.zip", &zip("a.html", super::html(SIGNATURE).as_bytes(), DEFLATE))),
        (
            "UTF-16 text in a zip",
            attached("a.zip", &zip("a.txt", &super::super::specimen::utf16le(SIGNATURE), DEFLATE)),
        ),
    ]
}
