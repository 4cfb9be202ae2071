//! The source's command line: smtp-source(1)'s options, and ours.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ipnet::IpNet;

use super::clients::Addresses;
use super::options::{Content, Options, Pause, Tls};
use super::{Report, run};
use crate::load::address::{self, Family};
use crate::load::console;
use crate::reactor::uring::{Uring, UringConfig};

const PROGRAM: &str = "postern source";
/// Sessions of an open loop: enough for a thousand messages a second that take a second each.
const OPEN_SESSIONS: u32 = 1000;
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 1e6;
const SECONDS_MAX: f64 = 1e6;

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
    /// Messages to send (default: 1; with --seconds, without end).
    #[arg(short = 'm', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
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
    /// Sessions in parallel (default: 1). With --rate (default: 1000) the most there may be: a message that finds
    /// none free waits, and its latency tells.
    #[arg(short = 's', value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    sessions: Option<u32>,
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
    /// Begin so many messages a second, whatever the answers take; latency counts from when a message was to
    /// begin. Errors are counted, as with -A.
    #[arg(long, value_name = "N", value_parser = parse_rate, conflicts_with_all = ["fixed_pause", "random_pause"])]
    rate: Option<f64>,
    /// Begin no message after so long. Errors are counted, as with -A.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    seconds: Option<Duration>,
    /// Seconds without an answer after which a connection is given up.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = parse_seconds)]
    timeout: Duration,
    /// Connect from the addresses of this network, which must be this machine's (127.1.0.0/16), in turn.
    #[arg(long, visible_alias = "from-addresses", value_name = "NET", value_parser = parse_net)]
    clients: Option<IpNet>,
    /// Begin each connection with a PROXY header (version 2) for an address of this network, in turn.
    #[arg(long, value_name = "NET", value_parser = parse_net)]
    proxy_header: Option<IpNet>,
    /// Say XCLIENT for an address of this network, in turn (says EHLO; the server must announce it).
    #[arg(long, value_name = "NET", value_parser = parse_net)]
    xclient: Option<IpNet>,
    /// Take the addresses of these networks at random, not in turn.
    #[arg(long)]
    random_clients: bool,
    /// The report as one JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// With --json: what happened in each interval of so many milliseconds.
    #[arg(long, value_name = "MS", requires = "json", value_parser = clap::value_parser!(u64).range(1..))]
    series: Option<u64>,

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

/// A finite number above zero.
fn parse_rate(text: &str) -> Result<f64, String> {
    let rate =
        text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= RATE_MIN && *rate <= RATE_MAX);
    rate.ok_or_else(|| format!("{text}: not a rate of {RATE_MIN} to {RATE_MAX} messages a second"))
}

/// Seconds, with a fraction if wanted.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0 && *seconds <= SECONDS_MAX);
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("{text}: not a number of seconds"))
}

/// A network, or one address.
fn parse_net(text: &str) -> Result<IpNet, String> {
    let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(one).ok_or_else(|| format!("{text}: not a network like 127.1.0.0/16"))
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
                self.clients.is_some_and(|net| net.addr().is_ipv6()) && self.v4
                    || self.clients.is_some_and(|net| net.addr().is_ipv4()) && self.v6,
                "--clients is of another family than the server",
            ),
            (
                self.old && (self.bdat || self.pipeline || self.tls || self.xclient.is_some()),
                "-o says no EHLO, so it goes with none of --bdat, --pipeline, --tls, --xclient",
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
        let open = self.rate.is_some();
        options.sessions = self.sessions.unwrap_or(if open { OPEN_SESSIONS } else { 1 }) as usize;
        let usual = if self.seconds.is_some() { u64::MAX } else { 1 };
        options.messages = self.messages.unwrap_or(usual);
        (options.rate, options.lasts, options.timeout) = (self.rate, self.seconds, self.timeout);
        let addresses = |net: Option<IpNet>| net.map(|net| Addresses::new(net, self.random_clients));
        options.clients = addresses(self.clients);
        options.proxy_header = addresses(self.proxy_header);
        options.xclient = addresses(self.xclient);
        options.series = self.series.map(Duration::from_millis);
        options.recipients = self.recipients;
        options.number_recipients = self.number;
        options.subject.clone_from(&self.subject);
        options.old = self.old;
        options.lmtp = self.lmtp;
        options.keep_session = self.keep_session;
        options.keep_going = self.keep_going || open || self.seconds.is_some();
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
    fn an_open_loop_counts_errors() {
        let options = parse("--rate 2.5 --seconds 0.5 --clients 127.1.0.0/16 --proxy-header ::1 127.0.0.1");
        let options = options.options().unwrap();
        assert_eq!((options.rate, options.lasts), (Some(2.5), Some(Duration::from_millis(500))));
        assert_eq!((options.sessions, options.messages, options.keep_going), (1000, u64::MAX, true));
        assert!(options.clients.is_some() && options.proxy_header.is_some() && options.xclient.is_none());
        let options = parse("-s 3 -m 7 --rate 1 127.0.0.1").options().unwrap();
        assert_eq!((options.sessions, options.messages, options.lasts), (3, 7, None));
        let options = parse("--seconds 3 --json --series 100 127.0.0.1").options().unwrap();
        assert_eq!((options.sessions, options.messages, options.keep_going), (1, u64::MAX, true));
        assert_eq!(options.series, Some(Duration::from_millis(100)));
    }

    #[test]
    fn what_is_missing_is_said() {
        for line in [
            "-4 --clients ::1 x",
            "-6 --clients 127.1.0.0/16 x",
            "-o --xclient ::1 x",
            "-T 1024 x",
            "-o --tls x",
            "-o --bdat x",
            "-L --pipeline x",
        ] {
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
            "--rate 0 x",
            "--rate inf x",
            "--rate 1 -w 1 x",
            "--seconds 0 x",
            "--seconds -1 x",
            "--seconds inf x",
            "--series 100 x",
            "--json --series 0 x",
            "--clients 127.1 x",
            "--proxy-header 10.0.0.0/33 x",
        ] {
            assert!(
                Cli::try_parse_from(["source"].into_iter().chain(line.split_whitespace())).is_err(),
                "{line}"
            );
        }
    }
}
