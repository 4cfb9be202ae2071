//! Command lines and commands: nothing gets through that a next hop could read otherwise.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::limits::COMMAND_LINE_BYTES_MAX;
use postern::smtp::command::{Command, parse};
use postern::smtp::extension::Extensions;
use postern::smtp::line::{Line, next_line};
use postern::smtp::parameter::{check_mail, check_rcpt};

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    while let Line::Whole { line, consumed } = next_line(rest, COMMAND_LINE_BYTES_MAX) {
        assert!(consumed <= rest.len() && consumed <= COMMAND_LINE_BYTES_MAX && line.len() < consumed);
        for cut in [0, consumed / 2, consumed - 1] {
            assert_eq!(next_line(&rest[..cut], COMMAND_LINE_BYTES_MAX), Line::Partial);
        }
        check(line);
        rest = &rest[consumed..];
    }
});

fn check(line: &[u8]) {
    match parse(line) {
        Ok(command) => {
            assert!(!line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
            check_again(command);
        }
        Err(refused) => {
            let reply = refused.error.reply();
            assert!(!reply.is_positive() && reply.wire().len() <= 512);
        }
    }
}

/// Written as we would write it to a next hop, it is the same command.
fn check_again(command: Command<'_>) {
    let all = Extensions::END_TO_END;
    match command {
        Command::Mail(mail) => {
            _ = check_mail(mail.parameters, all);
            let line = [b"MAIL FROM:<", mail.path.text, b"> ", mail.parameters.as_bytes()].concat();
            assert_eq!(parse(&line), Ok(command));
        }
        Command::Rcpt(rcpt) => {
            _ = check_rcpt(rcpt.parameters, all);
            let line = [b"RCPT TO:<", rcpt.path.text, b"> ", rcpt.parameters.as_bytes()].concat();
            assert_eq!(parse(&line), Ok(command));
        }
        Command::Ehlo(name) => assert_eq!(parse(&[b"EHLO ", name].concat()), Ok(command)),
        _ => {}
    }
}
