//! How far a long run is, for a person who waits at a terminal; silence for everybody else.

use std::io::Write;
use std::time::Duration;

use crate::base::time::Instant;
use crate::reactor::clock;

/// More often than this nobody can read it.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Progress {
    done: usize,
    all: usize,
    shown: Option<Instant>,
    watched: bool,
}

impl Progress {
    pub fn new(all: usize) -> Self {
        Self { done: 0, all, shown: None, watched: all > 1 && super::is_watched() }
    }

    pub fn step(&mut self) {
        self.done += 1;
        if !self.watched {
            return;
        }
        let now = clock::instant();
        if self.shown.is_none_or(|shown| now.since(shown) >= PAUSE) {
            self.shown = Some(now);
            // If standard error is gone nobody waits.
            let _ = write!(std::io::stderr(), "\r{} of {}", self.done, self.all);
        }
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
