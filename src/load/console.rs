//! What the tools tell people and machines. A closed terminal is no reason to stop a test.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// The answer is no, or the test failed.
pub(super) const FAILED: u8 = 1;
/// Wrong use.
pub(super) const WRONG_USE: u8 = 2;

/// One line for people.
pub(super) fn say(program: &str, line: &str) {
    _ = writeln!(std::io::stderr().lock(), "{program}: {line}");
}

/// Data, as it is.
pub(super) fn show(text: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    _ = stdout.write_all(text).and_then(|()| stdout.flush());
}

/// One JSON object on a line of its own.
pub(super) fn show_json<T: serde::Serialize>(value: &T) {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    show(&line);
}

/// Says what is wrong with the command line, or shows the help that was asked for.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    _ = error.print();
    ExitCode::from(if error.use_stderr() { WRONG_USE } else { 0 })
}

/// The arguments as clap wants them: the program's name first.
pub(super) fn arguments(program: &str, args: Vec<OsString>) -> impl Iterator<Item = OsString> {
    std::iter::once(OsString::from(program)).chain(args)
}

/// Bytes of a peer as printable ASCII.
pub(super) fn printable(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '?' }).collect()
}

/// Processor time, user and system, this thread has had, where the kernel tells.
pub(super) fn cpu_time() -> Option<Duration> {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    line.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// This machine's name.
pub(super) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}
