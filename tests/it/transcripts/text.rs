//! Bytes as a transcript writes them: printable text, escapes, and `{x*1000}` for long runs.

/// A run this long is written as `{x*1000}`.
const RUN_BYTES_MIN: usize = 40;
/// So many equal lines are written as one, with ` {*1000}` behind it.
const RUN_LINES_MIN: usize = 8;

/// The bytes that `text` stands for.
pub(super) fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (taken, len) = escape(rest).or_else(|| run(rest)).unwrap_or_else(|| {
            let len = first.len_utf8();
            (rest.as_bytes()[..len].to_vec(), len)
        });
        bytes.extend(taken);
        rest = &rest[len..];
    }
    bytes
}

fn escape(text: &str) -> Option<(Vec<u8>, usize)> {
    let rest = text.strip_prefix('\\')?;
    let byte = match rest.chars().next()? {
        'r' => b'\r',
        'n' => b'\n',
        't' => b'\t',
        '0' => 0,
        '\\' => b'\\',
        'x' => return Some((vec![u8::from_str_radix(rest.get(1..3)?, 16).ok()?], 4)),
        _ => return None,
    };
    Some((vec![byte], 2))
}

fn run(text: &str) -> Option<(Vec<u8>, usize)> {
    let mut depth = 0;
    let end = text.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    })?;
    let (unit, count) = text.get(1..end)?.rsplit_once('*')?;
    Some((decode(unit).repeat(count.parse().ok()?), end + 1))
}

/// The inverse of [`decode`].
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let len = rest.iter().take_while(|byte| **byte == first).count();
        let len = if len >= RUN_BYTES_MIN { len } else { 1 };
        let one = encode_byte(first);
        text.push_str(&if len > 1 { format!("{{{one}*{len}}}") } else { one });
        rest = &rest[len..];
    }
    text
}

fn encode_byte(byte: u8) -> String {
    match byte {
        b'\r' => "\\r".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\t' => "\\t".to_owned(),
        0 => "\\0".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    }
}

/// Lines for the transcript, each behind `prefix`. One that has no line end yet ends with `\~`.
///
/// What differs in each run is left out: the rest of our Received field, and decision ids.
pub(super) fn lines(prefix: &str, bytes: &[u8], full: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut in_trace = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        in_trace = !full && (line.starts_with(b"Received: from ") || in_trace && line.starts_with(b"\t"));
        if in_trace && line.starts_with(b"\t") {
            continue;
        }
        let text = match line.strip_suffix(b"\r\n") {
            Some(_) if in_trace => "Received: …".to_owned(),
            Some(line) => encode(line),
            None => encode(line) + "\\~",
        };
        lines.push(without_id(format!("{prefix} {text}").trim_end()));
    }
    lines.chunk_by(|one, next| one == next).flat_map(shortened).collect()
}

fn shortened(run: &[String]) -> Vec<String> {
    match run {
        [line, ..] if run.len() >= RUN_LINES_MIN => vec![format!("{line} {{*{}}}", run.len())],
        _ => run.to_vec(),
    }
}

/// `(id 01J…)` as `(id …)`.
pub(super) fn without_id(line: &str) -> String {
    match line.split_once("(id ") {
        Some((head, tail)) => {
            let end = tail.find(')').unwrap_or(tail.len());
            format!("{head}(id …{}", &tail[end..])
        }
        None => line.to_owned(),
    }
}

/// Whether `line` is what `pattern` says, where `…` stands for anything.
pub(super) fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
