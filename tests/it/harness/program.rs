//! A child process of the test: the program under test in any of its roles.
//!
//! Invariant: a child ends with the value that holds it, and only that child is ever signalled.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// The binary that cargo built for these tests.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_postern");

/// Runs the program to its end.
pub(crate) fn output<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    Command::new(BINARY).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// A running child. Its standard error comes line by line.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    lines: Mutex<Receiver<String>>,
    said: Vec<String>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || forward_lines(stderr, &sender));
        Self { child, lines: Mutex::new(lines), said: Vec::new() }
    }

    /// Waits for a line of standard error that contains `word`; `Err` with what was said instead if
    /// the program ends first.
    pub(crate) fn await_line(&mut self, word: &str) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines.get_mut().unwrap();
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(word) {
                        return Ok(line);
                    }
                }
                Err(_) => return Err(self.said.join("\n")),
            }
        }
    }

    /// All of standard error up to now.
    pub(crate) fn said(&mut self) -> String {
        self.said.extend(self.lines.get_mut().unwrap().try_iter());
        self.said.join("\n")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end; `None` if it does not come within `limit`.
    pub(crate) fn await_end(&mut self, limit: Duration) -> Option<ExitStatus> {
        let mut status = None;
        super::eventually(limit, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status
    }

    /// SIGKILL, and waits until the kernel has taken everything back.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward_lines(stderr: impl Read, sender: &mpsc::Sender<String>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if sender.send(line).is_err() {
            return;
        }
    }
}
