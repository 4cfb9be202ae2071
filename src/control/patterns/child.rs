//! Patterns compiled in a child process of this same program, with bounds on its time and memory.
//!
//! The library that compiles expressions is large, and whoever writes a pattern chooses how hard it
//! works. So it works elsewhere: what takes too long or too much ends there, and is told as a fault of
//! the pattern that is to blame, as far as one is.
//!
//! On standard input: what to do, then each file. On standard output: `+` and the compiled patterns, or
//! `-` and faults, one a line; or, when patterns are tried one by one, the number of each before it is.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::{PATTERN_BYTES_MAX, PATTERN_FILES_MAX, Source};
use crate::reactor::clock;
use crate::scan::pattern::PATTERNS_MAX;

/// What the program is called with to be such a child.
pub const COMMAND: &str = "compile-patterns";

/// Compiling everything may take so long, by the wall and by the processor.
pub const COMPILE_TIME_MAX: Duration = Duration::from_secs(7);
/// Finding out who is to blame may take so long more: ten seconds in all.
pub const BLAME_TIME_MAX: Duration = Duration::from_secs(3);
/// One pattern that alone takes so long is to blame.
const ALONE_TIME_MAX: Duration = Duration::from_millis(1000);
/// Memory of the child beyond what it starts with.
pub const COMPILE_BYTES_MAX: u64 = 512 << 20;
/// Compiled patterns are smaller than what compiling them takes.
const OUTPUT_BYTES_MAX: usize = 512 << 20;
const PIECE_BYTES: usize = 64 * 1024;
/// How a child ends that was refused memory, and what the library says of it.
const OUT_OF_MEMORY: u8 = 71;
const LIBRARY_OUT_OF_MEMORY: &str = "Unable to allocate memory.";
/// The number of a pattern that is tried, and those of all.
const NUMBER_BYTES: usize = 4;
const NUMBERS_BYTES_MAX: usize = NUMBER_BYTES * PATTERN_FILES_MAX * PATTERNS_MAX;

/// What a child is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Compile everything together.
    All,
    /// Compile each expression alone.
    Each,
}

/// Compiles `sources`; the bytes of the compiled patterns come back.
///
/// # Errors
/// All faults, one line each.
pub fn compile(sources: &[Source]) -> Result<Vec<u8>, Vec<String>> {
    let told = |error: io::Error| vec![format!("the patterns cannot be compiled: {error}")];
    let run = run(Task::All, sources, COMPILE_TIME_MAX).map_err(told)?;
    match run.output.split_first() {
        Some((b'+', kept)) if run.ended_well => Ok(kept.to_vec()),
        Some((b'-', lines)) if run.ended_well => {
            Err(String::from_utf8_lossy(lines).lines().map(str::to_owned).collect())
        }
        _ => Err(vec![blame(sources, &run)]),
    }
}

/// The line about patterns that went over a bound.
fn blame(sources: &[Source], together: &Run) -> String {
    let why = together.why();
    let Ok(alone) = run(Task::Each, sources, BLAME_TIME_MAX) else {
        return format!("the patterns together: compiling them {why}");
    };
    // The one at which the child ended; when time was up, only if it had its time.
    let last = alone.begun.len().checked_sub(1);
    let fatal = last.filter(|_| !alone.ended_well && (!alone.timed_out || alone.silence() >= ALONE_TIME_MAX));
    let (guilty, words) = match fatal {
        Some(guilty) => (Some(guilty), format!("compiling this pattern {why}")),
        // Which is slow says nothing of which is large.
        None if together.out_of_memory => (None, String::new()),
        None => {
            (alone.slowest(), format!("compiling all patterns {why}; alone, none takes longer than this one"))
        }
    };
    match guilty.and_then(|number| expressions(sources).nth(number)) {
        Some(At { source, line, .. }) => format!("{}:{line}:1: {words}", source.name),
        None => blame_largest(sources, why),
    }
}

/// Where no expression is to blame there is too much of all.
fn blame_largest(sources: &[Source], why: &str) -> String {
    match sources.iter().max_by_key(|source| source.text.len()) {
        Some(Source { name, .. }) => {
            format!("{name}:1:1: compiling all patterns {why}; no file is larger than this one")
        }
        None => format!("the patterns together: compiling them {why}"),
    }
}

/// How a child ended.
#[derive(Debug)]
struct Run {
    output: Vec<u8>,
    ended_well: bool,
    out_of_memory: bool,
    timed_out: bool,
    /// When each pattern that is tried alone began, and when it was over with all.
    begun: Vec<Duration>,
    ended: Duration,
}

impl Run {
    const fn why(&self) -> &'static str {
        match (self.timed_out, self.out_of_memory) {
            (true, _) => "takes longer than 7 seconds",
            (_, true) => "takes more than 512 MiB",
            // Killed by the kernel: for the processor's time, or where an allocation must not fail.
            _ => "takes more than 512 MiB or 7 seconds",
        }
    }

    /// How long nothing more came before the end.
    fn silence(&self) -> Duration {
        self.ended.saturating_sub(self.begun.last().copied().unwrap_or_default())
    }

    /// The pattern that took longest.
    fn slowest(&self) -> Option<usize> {
        let ends = self.begun.iter().skip(1).chain([&self.ended]);
        let took = self.begun.iter().zip(ends).map(|(begun, ended)| ended.saturating_sub(*begun));
        took.enumerate().max_by_key(|(_, took)| *took).map(|(number, _)| number)
    }
}

fn run(task: Task, sources: &[Source], time: Duration) -> io::Result<Run> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(COMMAND)
        // The allocator takes a gibibyte at once otherwise, which the bound could not see.
        .env("MIMALLOC_ARENA_RESERVE", "16MiB")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let pieces = pieces_of(&mut child);
    if let Some(mut stdin) = child.stdin.take() {
        // A child that ended early says more by how it ended.
        let _ = write_task(&mut stdin, task, sources);
    }
    let mut run = gather(&pieces, time);
    if run.timed_out {
        // It may have ended by itself just now.
        let _ = child.kill();
    }
    let status = child.wait()?;
    run.ended_well = status.success() && !run.timed_out;
    run.out_of_memory = status.code() == Some(OUT_OF_MEMORY.into());
    Ok(run)
}

/// What the child says, piece by piece.
fn pieces_of(child: &mut Child) -> Receiver<Vec<u8>> {
    let (sender, pieces) = mpsc::channel();
    if let Some(mut stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut piece = vec![0; PIECE_BYTES];
            while let Ok(length @ 1..) = stdout.read(&mut piece) {
                if sender.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
    }
    pieces
}

fn gather(pieces: &Receiver<Vec<u8>>, time: Duration) -> Run {
    let begun = clock::instant();
    let mut run = Run {
        output: Vec::new(),
        ended_well: false,
        out_of_memory: false,
        timed_out: false,
        begun: Vec::new(),
        ended: Duration::ZERO,
    };
    loop {
        let left = time.saturating_sub(clock::instant().since(begun));
        let piece = pieces.recv_timeout(left);
        run.ended = clock::instant().since(begun);
        match piece {
            Ok(piece) if run.output.len() + piece.len() <= OUTPUT_BYTES_MAX => run.output.extend(piece),
            Err(RecvTimeoutError::Disconnected) => return run,
            Ok(_) | Err(RecvTimeoutError::Timeout) => {
                run.timed_out = true;
                return run;
            }
        }
        if run.output.len() <= NUMBERS_BYTES_MAX {
            run.begun.resize(run.output.len() / NUMBER_BYTES, run.ended);
        }
    }
}

fn write_task(out: &mut impl Write, task: Task, sources: &[Source]) -> io::Result<()> {
    out.write_all(if task == Task::All { b"a" } else { b"e" })?;
    for Source { name, text } in sources {
        for field in [name, text] {
            out.write_all(&(field.len() as u64).to_le_bytes())?;
            out.write_all(field.as_bytes())?;
        }
    }
    out.flush()
}

fn read_task(mut input: &[u8]) -> Option<(Task, Vec<Source>)> {
    let (first, rest) = input.split_first()?;
    let task = match first {
        b'a' => Task::All,
        b'e' => Task::Each,
        _ => return None,
    };
    input = rest;
    let mut sources = Vec::new();
    while !input.is_empty() {
        let name = read_field(&mut input)?;
        sources.push(Source { name, text: read_field(&mut input)? });
    }
    Some((task, sources))
}

fn read_field(input: &mut &[u8]) -> Option<String> {
    let (length, rest) = input.split_first_chunk()?;
    let (field, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    *input = rest;
    String::from_utf8(field.to_vec()).ok()
}

/// The child.
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => ExitCode::from(OUT_OF_MEMORY),
        Err(_) => ExitCode::from(70),
    }
}

fn serve() -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().lock().take(2 * PATTERN_BYTES_MAX as u64).read_to_end(&mut input)?;
    let Some((task, sources)) = read_task(&input) else {
        return Err(io::Error::other("what is there to do?"));
    };
    drop(input);
    bound()?;
    let mut out = io::stdout().lock();
    match task {
        Task::All => out.write_all(&all(&sources)?)?,
        Task::Each => {
            for (number, at) in (0_u32..).zip(expressions(&sources)) {
                out.write_all(&number.to_le_bytes())?;
                out.flush()?;
                // Whether it is well is not the question.
                let _ = super::compile_here(&[at.alone()]);
            }
        }
    }
    out.flush()
}

fn all(sources: &[Source]) -> io::Result<Vec<u8>> {
    let compiled = super::compile_here(sources).map_err(super::lines);
    let kept = compiled.and_then(|rules| {
        rules.serialise().map_err(|fault| vec![format!("the patterns cannot be kept: error {}", fault.0)])
    });
    match kept {
        Ok(kept) => Ok([b"+", kept.as_slice()].concat()),
        // No fault of the one pattern that it was compiling just then.
        Err(lines) if lines.iter().any(|line| line.ends_with(LIBRARY_OUT_OF_MEMORY)) => {
            Err(io::ErrorKind::OutOfMemory.into())
        }
        Err(lines) => Ok([b"-", lines.join("\n").as_bytes()].concat()),
    }
}

/// From here on this process is bounded.
fn bound() -> io::Result<()> {
    let set = |resource, bound| setrlimit(resource, Rlimit { current: Some(bound), maximum: Some(bound) });
    set(Resource::Core, 0)?;
    set(Resource::Cpu, COMPILE_TIME_MAX.as_secs())?;
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').next().and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    let begun_with = pages.saturating_mul(rustix::param::page_size() as u64);
    set(Resource::As, begun_with + COMPILE_BYTES_MAX)?;
    Ok(())
}

/// A pattern in its file.
#[derive(Clone, Copy, Debug)]
struct At<'a> {
    source: &'a Source,
    /// Where its table stands: bytes of the file.
    begin: usize,
    end: usize,
    /// The line of its expression.
    line: usize,
}

impl At<'_> {
    /// A file with this pattern alone.
    fn alone(&self) -> Source {
        let text = self.source.text.get(self.begin..self.end).unwrap_or_default().to_owned();
        Source { name: self.source.name.clone(), text }
    }
}

/// All tables with an expression, by how they are written: the files may be at fault otherwise.
fn expressions(sources: &[Source]) -> impl Iterator<Item = At<'_>> {
    sources.iter().flat_map(|source| {
        let mut begins: Vec<(usize, usize)> = Vec::new();
        let (mut offset, mut ats) = (0, Vec::new());
        for (number, line) in (1..).zip(source.text.split_inclusive('\n')) {
            if line.trim_start().starts_with("[[pattern]]") {
                begins.push((offset, number));
            }
            offset += line.len();
        }
        for (index, &(begin, number)) in begins.iter().enumerate() {
            let end = begins.get(index + 1).map_or(source.text.len(), |(end, _)| *end);
            let table = source.text.get(begin..end).unwrap_or_default();
            let written = table.lines().position(|line| is_expression(line.trim_start()));
            ats.extend(written.map(|lines| At { source, begin, end, line: number + lines }));
        }
        ats
    })
}

fn is_expression(line: &str) -> bool {
    line.strip_prefix("match").is_some_and(|rest| rest.trim_start().starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Vec<Source> {
        let of = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
        vec![
            of("a", "# x\n[[pattern]]\nliteral = 'b'\n[[pattern]]\nsymbol = 'A'\nmatch = 'a'\n"),
            of("ä", ""),
            of("b", "[[pattern]]\n  match='c'\n[[pattern]]\nmatching = 'd'\n"),
        ]
    }

    #[test]
    fn the_slowest_is_known_by_when_the_next_began() {
        let millis = |all: &[u64]| all.iter().copied().map(Duration::from_millis).collect();
        let run = |begun: &[u64], ended| Run {
            output: Vec::new(),
            ended_well: true,
            out_of_memory: false,
            timed_out: false,
            begun: millis(begun),
            ended: Duration::from_millis(ended),
        };
        assert_eq!(run(&[], 9).slowest(), None);
        assert_eq!(run(&[1, 2, 8, 9], 10).slowest(), Some(1));
        assert_eq!(run(&[1, 2, 8, 9], 30).slowest(), Some(3));
        assert_eq!(run(&[1, 9], 30).silence().as_millis(), 21);
    }

    #[test]
    fn a_task_comes_over() {
        for task in [Task::All, Task::Each] {
            let mut wire = Vec::new();
            write_task(&mut wire, task, &sources()).unwrap();
            assert_eq!(read_task(&wire), Some((task, sources())));
            assert_eq!(read_task(&wire[..wire.len() - 1]), None);
        }
        assert_eq!(read_task(b""), None);
        assert_eq!(read_task(b"x"), None);
    }

    #[test]
    fn expressions_are_found_by_how_they_are_written() {
        let sources = sources();
        let found: Vec<_> = expressions(&sources).map(|at| (at.source.name.as_str(), at.line)).collect();
        assert_eq!(found, [("a", 6), ("b", 2)]);
        let texts: Vec<_> = expressions(&sources).map(|at| at.alone().text).collect();
        assert_eq!(texts, ["[[pattern]]\nsymbol = 'A'\nmatch = 'a'\n", "[[pattern]]\n  match='c'\n"]);
    }
}
