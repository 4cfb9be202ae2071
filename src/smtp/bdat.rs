//! BDAT as we send it. RFC 3030 §2. What a client sends is parsed with the other commands.

use std::io::Write;

/// Appends the command that announces `octets` of content right behind it.
pub fn write_header(octets: u64, last: bool, out: &mut Vec<u8>) {
    let last = if last { " LAST" } else { "" };
    // Writing to memory cannot fail.
    _ = write!(out, "BDAT {octets}{last}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::COMMAND_LINE_BYTES_MAX;
    use crate::smtp::command::{Bdat, Command, parse};
    use crate::smtp::line::{Line, next_line};

    #[test]
    fn what_we_write_is_what_we_read() {
        for octets in [0, 1, 86_400, u64::MAX] {
            for last in [false, true] {
                let mut out = Vec::new();
                write_header(octets, last, &mut out);
                let Line::Whole { line, consumed } = next_line(&out, COMMAND_LINE_BYTES_MAX) else {
                    panic!("not a line");
                };
                assert_eq!(consumed, out.len());
                assert_eq!(parse(line), Ok(Command::Bdat(Bdat { octets, last })));
            }
        }
    }
}
