//! Sizes, durations and rates as people write them: a whole number and a unit, nothing between them.
//!
//! Each function says in words what is wrong with its text.

use std::time::Duration;

const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

const DURATIONS_MS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// `"128KiB"` → bytes.
pub fn size(text: &str) -> Result<u64, String> {
    quantity(text, SIZES)
        .ok_or_else(|| format!("`{text}` is not a size; write one like \"128KiB\" (B, KiB, MiB, GiB)"))
}

/// `"15m"` → 15 minutes.
pub fn duration(text: &str) -> Result<Duration, String> {
    let millis = quantity(text, DURATIONS_MS);
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is not a duration; write one like \"15m\" (ms, s, m, h, d)"))
}

/// `"500B/s"` → bytes a second.
pub fn rate(text: &str) -> Result<u64, String> {
    text.strip_suffix("/s")
        .and_then(|size| quantity(size, SIZES))
        .ok_or_else(|| format!("`{text}` is not a rate; write one like \"500B/s\" (B, KiB, MiB, GiB)"))
}

/// A whole number and one of `units`, nothing between them.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        for (text, want) in [
            ("0B", Some(0)),
            ("512B", Some(512)),
            ("128KiB", Some(131_072)),
            ("1GiB", Some(1 << 30)),
            ("128", None),
            ("KiB", None),
            ("", None),
            ("1 KiB", None),
            ("1KB", None),
            ("1kib", None),
            ("-1B", None),
            ("1.5MiB", None),
            ("99999999999999999999B", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(size(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn durations_have_one_unit() {
        for (text, want) in [
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("15m", Some(900_000)),
            ("1d", Some(86_400_000)),
            ("15", None),
            ("1h30m", None),
            ("1 s", None),
            ("1S", None),
        ] {
            assert_eq!(duration(text).ok(), want.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn rates_are_sizes_per_second() {
        for (text, want) in
            [("500B/s", Some(500)), ("1KiB/s", Some(1024)), ("500", None), ("500B", None), ("1/s", None)]
        {
            assert_eq!(rate(text).ok(), want, "{text}");
        }
    }
}
