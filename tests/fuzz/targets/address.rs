//! Paths: what is read between brackets is read the same when it is written there again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::limits::{DOMAIN_BYTES_MAX, LOCAL_PART_BYTES_MAX};
use postern::smtp::address::Path;

fuzz_target!(|input: &[u8]| {
    let Some((path, rest)) = Path::parse(input) else { return };
    assert!(input.ends_with(rest));
    assert!(path.local.len() <= LOCAL_PART_BYTES_MAX && path.domain.len() <= DOMAIN_BYTES_MAX);
    assert!(!path.text.iter().any(u8::is_ascii_control));
    assert_eq!(path.utf8, !path.text.is_ascii());
    assert!(str::from_utf8(path.text).is_ok());
    if !path.domain.is_empty() {
        assert_eq!(path.text, [path.local, b"@", path.domain].concat());
    }
    let again = [b"<", path.text, b">"].concat();
    assert_eq!(Path::parse(&again), Some((path, &b""[..])));
    for cut in 0..again.len() {
        assert_eq!(Path::parse(&again[..cut]), None);
    }
});
