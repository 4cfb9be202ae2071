//! Words to the people who run the program: lines on standard error.
//!
//! For the service side only: standard error may block.

use std::fmt::Arguments;
use std::io::Write;

/// One line. If standard error is gone there is nobody left to tell.
pub fn say(words: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "postern: {words}");
}
