//! The source's command line: smtp-source(1)'s options, and ours.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use super::options::{Content, Options, Pause, Tls};
use super::{Report, run};
use crate::load::address::{self, Family};
use crate::load::console;
use crate::reactor::uring::{Uring, UringConfig};

const PROGRAM: &str = "postern source";

/// Sends messages over SMTP or LMTP, in sequence or in parallel, and tells how it went.
///
/// The options of Postfix's smtp-source(1) with the same meaning, and some of our own.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
struct Cli {
    /// Connect with IPv4.
    #[arg(short = '4')]
    v4: bool,
    /// Connect with IPv6.
    #[arg(short = '6')]
    v6: bool,
    /// Don't abort on an unexpected reply or a lost connection: count it and go on.
    #[arg(short = 'A')]
    keep_going: bool,
    /// Display a running counter of messages.
    #[arg(short = 'c')]
    counter: bool,
    /// Tries before a refused connection is an error.
    #[arg(short = 'C', value_name = "COUNT", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    connect_tries: u32,
    /// Don't disconnect after a message; send the next over the same connection.
    #[arg(short = 'd')]
    keep_session: bool,
    /// Sender address (default: foo@HOSTNAME).
    #[arg(short = 'f', value_name = "FROM")]
    from: Option<String>,
    /// Send this file, header and body.
    #[arg(short = 'F', value_name = "FILE")]
    file: Option<PathBuf>,
    /// Octets of payload, the header not counted.
    #[arg(short = 'l', value_name = "LENGTH", value_parser = clap::value_parser!(u32).range(1..))]
    length: Option<u32>,
    /// Speak LMTP.
    #[arg(short = 'L')]
    lmtp: bool,
    /// Messages to send.
    #[arg(short = 'm', value_name = "COUNT", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Name for HELO and the default addresses.
    #[arg(short = 'M', value_name = "HOSTNAME")]
    hostname: Option<String>,
    /// A number that does not repeat goes in front of each recipient address.
    #[arg(short = 'N')]
    number: bool,
    /// Old mode: no HELO, no message header.
    #[arg(short = 'o')]
    old: bool,
    /// Recipients per message, numbered.
    #[arg(short = 'r', value_name = "COUNT", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    recipients: u32,
    /// Wait a random time of at most so many seconds between the messages of a session.
    #[arg(short = 'R', value_name = "SECONDS", conflicts_with = "fixed_pause")]
    random_pause: Option<u32>,
    /// Sessions in parallel.
    #[arg(short = 's', value_name = "COUNT", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    sessions: u32,
    /// Subject.
    #[arg(short = 'S', value_name = "SUBJECT", allow_hyphen_values = true)]
    subject: Option<String>,
    /// Recipient address (default: foo@HOSTNAME).
    #[arg(short = 't', value_name = "TO")]
    to: Option<String>,
    /// TCP window size: not in this version.
    #[arg(short = 'T', value_name = "BYTES")]
    window: Option<u32>,
    /// Show the conversations.
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    verbose: u8,
    /// Wait so many seconds between the messages of a session.
    #[arg(short = 'w', value_name = "SECONDS")]
    fixed_pause: Option<u32>,

    /// Send content by BDAT instead of DATA (says EHLO; the server must announce CHUNKING).
    #[arg(long)]
    bdat: bool,
    /// STARTTLS in each session (says EHLO; the server must announce it). No certificate is looked at;
    /// tickets are used.
    #[arg(long)]
    tls: bool,
    /// TLS from the first octet on, as on port 465.
    #[arg(long, conflicts_with = "tls")]
    tls_implicit: bool,
    /// MAIL, RCPT and DATA in one write; with --bdat the content too (says EHLO).
    #[arg(long)]
    pipeline: bool,
    /// Every file of a directory is a message, in turn.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "length"])]
    mix: Option<PathBuf>,
    /// Append a line with the id of each acknowledged message. The id is the Message-ID; with -F,
    /// --mix or -o an X-Load-Id header field carries it.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The report as one JSON object on stdout.
    #[arg(long)]
    json: bool,

    /// Where to connect: [inet:]host[:port]
    #[arg(value_name = "HOST[:PORT]")]
    server: String,
}

/// Runs `postern source`.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(console::arguments(PROGRAM, args)) {
        Ok(cli) => cli,
        Err(error) => return console::usage(&error),
    };
    let result =
        cli.missing().map_or_else(|| cli.options(), Err).map_err(|error| (console::WRONG_USE, error));
    match result.and_then(|options| send(options).map_err(|error| (console::FAILED, error))) {
        Ok(report) => cli.tell(&report),
        Err((code, error)) => {
            console::say(PROGRAM, &error);
            ExitCode::from(code)
        }
    }
}

fn send(options: Options) -> Result<Report, String> {
    let reactor = Uring::new(UringConfig::default()).map_err(|error| error.to_string())?;
    run(options, reactor)
}

impl Cli {
    /// What was asked for and cannot be had: said, never ignored.
    fn missing(&self) -> Option<String> {
        let missing = [
            (self.window.is_some(), "-T (TCP window size) is not in this version"),
            (
                self.lmtp && (self.old || self.bdat || self.pipeline),
                "-L goes with none of -o, --bdat, --pipeline",
            ),
            (
                self.old && (self.bdat || self.pipeline || self.tls),
                "-o says no EHLO, so it goes with none of --bdat, --pipeline, --tls",
            ),
        ];
        missing.iter().find(|(asked, _)| *asked).map(|(_, text)| (*text).to_owned())
    }

    fn options(&self) -> Result<Options, String> {
        let server = address::remote(&self.server, Family::from_switches(self.v4, self.v6), 25)?;
        let mut options = Options::new(server);
        if let Some(hostname) = &self.hostname {
            options.hostname.clone_from(hostname);
        }
        let address = format!("foo@{}", options.hostname);
        options.sender = self.from.clone().unwrap_or_else(|| address.clone());
        options.recipient = self.to.clone().unwrap_or(address);
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        options.pause = match (self.fixed_pause, self.random_pause) {
            (Some(pause), _) => Pause::Fixed(seconds(pause)),
            (None, Some(most)) => Pause::Random(seconds(most)),
            (None, None) => Pause::None,
        };
        options.content = self.content();
        options.sessions = self.sessions as usize;
        options.messages = self.messages;
        options.recipients = self.recipients;
        options.number_recipients = self.number;
        options.subject.clone_from(&self.subject);
        options.old = self.old;
        options.lmtp = self.lmtp;
        options.keep_session = self.keep_session;
        options.keep_going = self.keep_going;
        options.connect_tries = self.connect_tries;
        options.tls = match (self.tls, self.tls_implicit) {
            (true, _) => Tls::Starttls,
            (false, true) => Tls::Implicit,
            (false, false) => Tls::No,
        };
        options.bdat = self.bdat;
        options.pipeline = self.pipeline;
        options.journal.clone_from(&self.journal);
        options.show_counter = self.counter;
        options.verbose = self.verbose > 0;
        Ok(options)
    }

    fn content(&self) -> Content {
        let length = || self.length.map(|length| Content::Length(length as usize));
        let mix = || self.mix.clone().map(Content::Mix);
        self.file.clone().map(Content::File).or_else(mix).or_else(length).unwrap_or(Content::Short)
    }

    /// The report on the way it was asked for, and the exit code.
    fn tell(&self, report: &Report) -> ExitCode {
        if self.counter {
            console::show(b"\n");
        }
        if self.json {
            console::show_json(report);
        } else {
            console::say(PROGRAM, &report.to_text());
        }
        if let Some(error) = report.first_error.as_ref().filter(|_| report.aborted) {
            console::say(PROGRAM, error);
        }
        ExitCode::from(if report.aborted { console::FAILED } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cli, Content, Duration, Parser as _, Pause};

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(std::iter::once("source").chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn smtp_sources_options_are_read() {
        let line = "-cdAN -s50 -l 4096 -m 5000 -r 3 -C 7 -M me -f a@b -w 2 -S -x inet:127.0.0.1:2525";
        let options = parse(line).options().unwrap();
        assert_eq!((options.sessions, options.messages, options.recipients), (50, 5000, 3));
        assert_eq!((options.content, options.connect_tries), (Content::Length(4096), 7));
        assert_eq!((options.sender.as_str(), options.recipient.as_str()), ("a@b", "foo@me"));
        assert_eq!(
            (options.pause, options.subject.as_deref()),
            (Pause::Fixed(Duration::from_secs(2)), Some("-x"))
        );
        assert!(
            options.keep_session && options.keep_going && options.number_recipients && options.show_counter
        );
        assert_eq!(options.server.to_string(), "127.0.0.1:2525");
    }

    #[test]
    fn what_is_missing_is_said() {
        for line in ["-T 1024 x", "-o --tls x", "-o --bdat x", "-L --pipeline x"] {
            assert!(parse(line).missing().is_some(), "{line}");
        }
        for line in [
            "-w 1 -R 1 x",
            "-s 0 x",
            "-m 0 x",
            "-l 0 x",
            "",
            "-F a --mix b x",
            "-Z x",
            "--tls --tls-implicit x",
        ] {
            assert!(
                Cli::try_parse_from(["source"].into_iter().chain(line.split_whitespace())).is_err(),
                "{line}"
            );
        }
    }
}
