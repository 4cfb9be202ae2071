//! The sink's command line: smtp-sink(1)'s options, and ours.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use clap::Parser;

use super::options::{Announce, Dump, Options, Protocol};
use super::plan::Plan;
use super::station::Capacity;
use super::step::{Delay, Fault, Rules, Step, each_command, parse_delay, parse_fail, parse_wait};
use super::{Sink, thread};
use crate::load::address::{self, Family};
use crate::load::console;
use crate::reactor::waker::Waker;
use crate::tls::identity::{Identity, IdentityFault};
use crate::tls::server_policy::{ClientCertificates, ServerPolicy};

const PROGRAM: &str = "postern sink";

/// Takes SMTP or LMTP messages from the network and throws them away.
///
/// The options of Postfix's smtp-sink(1) with the same meaning, and some of our own.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, disable_help_flag = true)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
struct Cli {
    /// Show this help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// IPv4 only.
    #[arg(short = '4')]
    v4: bool,
    /// IPv6 only.
    #[arg(short = '6')]
    v6: bool,
    /// Do not announce 8BITMIME.
    #[arg(short = '8')]
    no_eight_bit: bool,
    /// Do not announce AUTH.
    #[arg(short = 'a')]
    no_auth: bool,
    /// After responding to DATA wait so many seconds, then abort with 550.
    #[arg(short = 'A', value_name = "SECONDS")]
    abort: Option<u32>,
    /// The reply of -r.
    #[arg(short = 'b', value_name = "REPLY")]
    soft_reply: Option<String>,
    /// The reply of -f.
    #[arg(short = 'B', value_name = "REPLY")]
    hard_reply: Option<String>,
    /// Display running counters.
    #[arg(short = 'c')]
    counters: bool,
    /// Disable XCLIENT.
    #[arg(short = 'C')]
    no_xclient: bool,
    /// Dump each message to a file, named by strftime(3) and a random number.
    #[arg(short = 'd', value_name = "TEMPLATE")]
    dump_each: Option<PathBuf>,
    /// Append all messages to a file, named by strftime(3).
    #[arg(short = 'D', value_name = "TEMPLATE", conflicts_with = "dump_each")]
    dump_all: Option<PathBuf>,
    /// Do not announce ESMTP.
    #[arg(short = 'e')]
    no_esmtp: bool,
    /// Do not announce ENHANCEDSTATUSCODES.
    #[arg(short = 'E')]
    no_enhanced: bool,
    /// Reject these commands with the hard reply; implies -p.
    #[arg(short = 'f', value_name = "COMMANDS")]
    hard: Vec<String>,
    /// Disable XFORWARD.
    #[arg(short = 'F')]
    no_xforward: bool,
    /// Name in the greeting and the HELO reply.
    #[arg(short = 'h', value_name = "HOSTNAME", default_value = "smtp-sink")]
    hostname: String,
    /// Delay the first read after DATA.
    #[arg(short = 'H', value_name = "SECONDS")]
    read_delay: Option<u32>,
    /// Speak LMTP.
    #[arg(short = 'L')]
    lmtp: bool,
    /// Sessions at a time; others wait for their greeting.
    #[arg(short = 'm', value_name = "COUNT", default_value = "256", value_parser = positive)]
    sessions_max: u64,
    /// Terminate after so many messages.
    #[arg(short = 'M', value_name = "COUNT", value_parser = positive)]
    messages_total: Option<u64>,
    /// Terminate after so many sessions.
    #[arg(short = 'n', value_name = "COUNT", value_parser = positive)]
    sessions_total: Option<u64>,
    /// Do not announce DSN.
    #[arg(short = 'N')]
    no_dsn: bool,
    /// Do not announce PIPELINING.
    #[arg(short = 'p')]
    no_pipelining: bool,
    /// Greet like a Cisco PIX; implies -e.
    #[arg(short = 'P')]
    pix: bool,
    /// Disconnect without a reply after these commands.
    #[arg(short = 'q', value_name = "COMMANDS")]
    hang_up: Vec<String>,
    /// Reply 421 and disconnect after these commands.
    #[arg(short = 'Q', value_name = "COMMANDS")]
    goodbye: Vec<String>,
    /// Reject these commands with the soft reply; implies -p.
    #[arg(short = 'r', value_name = "COMMANDS")]
    soft: Vec<String>,
    /// Change the root directory (needs privileges).
    #[arg(short = 'R', value_name = "DIRECTORY")]
    root: Option<PathBuf>,
    /// Log these commands to the system log.
    #[arg(short = 's', value_name = "COMMANDS")]
    logged: Vec<String>,
    /// Goes in front of each dumped message; C escapes are understood.
    #[arg(short = 'S', value_name = "STRING", allow_hyphen_values = true)]
    start: Option<String>,
    /// Seconds a connection may be silent.
    #[arg(short = 't', value_name = "SECONDS", default_value = "100", value_parser = positive)]
    timeout: u64,
    /// TCP window size: not in this version.
    #[arg(short = 'T', value_name = "BYTES")]
    window: Option<u32>,
    /// Switch to this user before listening (needs privileges).
    #[arg(short = 'u', value_name = "USER")]
    user: Option<String>,
    /// Show the conversations.
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    verbose: u8,
    /// Wait before responding to DATA.
    #[arg(short = 'w', value_name = "SECONDS")]
    data_delay: Option<u32>,
    /// Wait before responding to a command, or a random multiple of it.
    #[arg(short = 'W', value_name = "COMMAND:SECONDS[:ODDS]", value_parser = parse_wait)]
    waits: Vec<(Step, Delay)>,

    /// Announce CHUNKING and take BDAT. Off by default, as in smtp-sink.
    #[arg(long, overrides_with = "no_chunking")]
    chunking: bool,
    /// Do not announce CHUNKING (the default).
    #[arg(long)]
    no_chunking: bool,
    /// Announce SIZE with this limit.
    #[arg(long, value_name = "OCTETS")]
    size: Option<u64>,
    /// Announce SMTPUTF8.
    #[arg(long)]
    smtputf8: bool,
    /// Announce STARTTLS; needs --certificate and --key.
    #[arg(long, requires_all = ["certificate", "key"])]
    tls: bool,
    /// A certificate chain in PEM.
    #[arg(long, value_name = "FILE", requires = "tls")]
    certificate: Option<PathBuf>,
    /// Its key in PEM.
    #[arg(long, value_name = "FILE", requires = "tls")]
    key: Option<PathBuf>,
    /// Fail at a step: connect ehlo helo mail rcpt data body dot bdat rset quit xforward …; CODE is
    /// three digits (421 also disconnects), drop, or hang.
    #[arg(long, value_name = "STEP=CODE[:PERCENT]", value_parser = parse_fail)]
    fail: Vec<(Step, Fault, u8)>,
    /// Wait at a step before going on.
    #[arg(long, value_name = "STEP=MS", value_parser = parse_delay)]
    delay: Vec<(Step, Delay)>,
    /// Changes while the sink runs, a line each: SECONDS, and STEP=MSms, STEP=hang, STEP=CODE, STEP=drop,
    /// STEP=ok, refuse or accept.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Messages in work at a time, each for --service; others wait for their answer in a queue. So the
    /// capacity is this many in that time.
    #[arg(long, value_name = "COUNT", requires = "service", value_parser = positive)]
    capacity: Option<u64>,
    /// What the work on a message takes.
    #[arg(long, value_name = "MS", requires = "capacity", value_parser = positive)]
    service: Option<u64>,
    /// With --json: what there was in each interval of so many milliseconds.
    #[arg(long, value_name = "MS", requires = "json", value_parser = positive)]
    series: Option<u64>,
    /// Seed of the percentages of --fail.
    #[arg(long)]
    seed: Option<u64>,
    /// Append a line with the id of each message (X-Load-Id, else Message-ID) before it is acknowledged.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Counters as one JSON object when the sink ends.
    #[arg(long)]
    json: bool,

    /// Where to listen: [inet:][host]:port
    #[arg(value_name = "[HOST]:PORT")]
    address: String,
    /// Accepted connections waiting; the reactor's own, larger backlog serves.
    #[arg(value_parser = positive)]
    backlog: u64,
}

fn positive(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "not a positive number".to_owned())
}

/// Runs `postern sink`.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(console::arguments(PROGRAM, args)) {
        Ok(cli) => cli,
        Err(error) => return console::usage(&error),
    };
    let refused = cli.missing();
    let result = refused.map_or_else(|| cli.options(), Err).map_err(|error| (console::WRONG_USE, error));
    match result.and_then(|options| serve(&cli, options).map_err(|error| (console::FAILED, error))) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            console::say(PROGRAM, &error);
            ExitCode::from(code)
        }
    }
}

impl Cli {
    /// What was asked for and cannot be had: said, never ignored.
    fn missing(&self) -> Option<String> {
        let missing = [
            (self.window.is_some(), "-T (TCP window size) is not in this version"),
            (self.user.is_some() && self.root.is_some(), "-u and -R together are not in this version"),
        ];
        missing.iter().find(|(asked, _)| *asked).map(|(_, text)| (*text).to_owned())
    }

    fn options(&self) -> Result<Options, String> {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let each = self.dump_each.clone().map(Dump::Each);
        let defaults = Options::default();
        Ok(Options {
            hostname: self.hostname.clone(),
            protocol: match (self.lmtp, self.no_esmtp || self.pix) {
                (true, _) => Protocol::Lmtp,
                (false, true) => Protocol::Smtp,
                (false, false) => Protocol::Esmtp,
            },
            pix: self.pix,
            announce: self.announce(),
            tls: self.tls()?,
            rules: self.rules()?,
            plan: self.plan()?,
            capacity: self.capacity.zip(self.service).map(|(places, service)| Capacity {
                places: usize::try_from(places).unwrap_or(usize::MAX),
                service: Duration::from_millis(service),
            }),
            series: self.series.map(Duration::from_millis),
            soft_reply: self.soft_reply.clone().unwrap_or(defaults.soft_reply),
            hard_reply: self.hard_reply.clone().unwrap_or(defaults.hard_reply),
            sessions_max: usize::try_from(self.sessions_max).unwrap_or(usize::MAX),
            sessions_total: self.sessions_total,
            messages_total: self.messages_total,
            timeout: Duration::from_secs(self.timeout),
            abort_after: self.abort.map(seconds),
            read_delay: self.read_delay.map(seconds),
            dump: each.or_else(|| self.dump_all.clone().map(Dump::All)),
            dump_start: unescape(self.start.as_deref().unwrap_or_default()),
            journal: self.journal.clone(),
            show_counters: self.counters,
            verbose: self.verbose > 0,
            seed: self.seed,
        })
    }

    fn plan(&self) -> Result<Plan, String> {
        let Some(path) = &self.plan else { return Ok(Plan::default()) };
        let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        Plan::parse(&text).map_err(|fault| wrong(&fault))
    }

    fn tls(&self) -> Result<Option<ServerPolicy>, String> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else { return Ok(None) };
        let read =
            |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let fault = |fault| match fault {
            IdentityFault::Certificate(why) => format!("{}: {why}", certificate.display()),
            IdentityFault::Key(why) => format!("{}: {why}", key.display()),
            IdentityFault::Mismatch => format!("{} is not the key of the certificate", key.display()),
        };
        let own = Identity::read(&read(certificate)?, &read(key)?).map_err(fault)?;
        ServerPolicy::new(vec![own], &ClientCertificates::None).map(Some)
    }

    fn announce(&self) -> Announce {
        Announce {
            pipelining: !self.no_pipelining && self.hard.is_empty() && self.soft.is_empty(),
            eight_bit_mime: !self.no_eight_bit,
            auth: !self.no_auth,
            xclient: !self.no_xclient,
            xforward: !self.no_xforward,
            enhanced_status_codes: !self.no_enhanced,
            dsn: !self.no_dsn,
            chunking: self.chunking && !self.no_chunking,
            smtputf8: self.smtputf8,
            size: self.size,
        }
    }

    fn rules(&self) -> Result<Rules, String> {
        let mut rules = Rules::default();
        let lists = [
            (&self.hard, Fault::Hard),
            (&self.soft, Fault::Soft),
            (&self.hang_up, Fault::Drop),
            (&self.goodbye, Fault::Goodbye),
        ];
        for (names, fault) in
            lists.iter().flat_map(|(lists, fault)| lists.iter().map(move |names| (names, fault)))
        {
            each_command(names, |step| rules.fail(step, *fault, 100))?;
        }
        for names in &self.logged {
            each_command(names, |step| rules.log(step))?;
        }
        self.fail.iter().for_each(|&(step, fault, percent)| rules.fail(step, fault, percent));
        self.waits.iter().chain(&self.delay).for_each(|&(step, delay)| rules.delay(step, delay));
        if let Some(seconds) = self.data_delay {
            rules.delay(Step::Data, Delay { base: Duration::from_secs(seconds.into()), odds: 0 });
        }
        Ok(rules)
    }
}

/// C escapes, as far as smtp-sink knows them.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes().peekable();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let mut octal = 0_u32;
        let mut digits = 0;
        while let Some(digit) = bytes.next_if(|byte| digits < 3 && matches!(byte, b'0'..=b'7')) {
            octal = octal * 8 + u32::from(digit - b'0');
            digits += 1;
        }
        match digits {
            0 => out.extend(bytes.next().map(letter)),
            _ => out.push(octal.to_le_bytes()[0]),
        }
    }
    out
}

const fn letter(byte: u8) -> u8 {
    match byte {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        other => other,
    }
}

/// Goes on as `user`: the program is started anew as that user, in this very process.
///
/// Unlike smtp-sink we listen only after that, so a port below 1024 is out of reach.
fn become_user(user: &str) -> Result<(), String> {
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
    let (uid, gid) = ids(&passwd, user).ok_or_else(|| format!("-u {user}: no such user"))?;
    let current = std::fs::metadata("/proc/self").map_err(|error| format!("/proc/self: {error}"))?.uid();
    if current == uid {
        return Ok(());
    }
    let mut command = Command::new("/proc/self/exe");
    let error = command.arg0("postern").args(std::env::args_os().skip(1)).uid(uid).gid(gid).exec();
    Err(format!("-u {user}: {error}"))
}

/// User and group id from the lines of passwd(5).
fn ids(passwd: &str, user: &str) -> Option<(u32, u32)> {
    let mut fields =
        passwd.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(user))?;
    Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Listens, gives up the root directory if asked to, and serves to the end.
fn serve(cli: &Cli, options: Options) -> Result<(), String> {
    cli.user.as_deref().map_or(Ok(()), become_user)?;
    let address = address::local(&cli.address, Family::from_switches(cli.v4, cli.v6))?;
    let (reactor, address) = thread::listen(address)?;
    if let Some(root) = &cli.root {
        let changed = std::os::unix::fs::chroot(root).and_then(|()| std::env::set_current_dir("/"));
        changed.map_err(|error| format!("-R {}: {error}", root.display()))?;
    }
    let waker = reactor.waker();
    let mut sink = Sink::new(options, None, reactor).map_err(|error| error.to_string())?;
    sink.can_listen((thread::again, address));
    stop_on_signal(sink.stop_flag(), waker)?;
    sink.run();
    if cli.counters {
        console::show(b"\n");
    }
    if cli.json {
        console::show_json(&sink.told());
    }
    Ok(())
}

/// SIGTERM and SIGINT end the sink in good order.
fn stop_on_signal(stop: Arc<AtomicBool>, waker: Waker) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| format!("signals: {error}"))?;
    let wait = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
            if let (Ok(mut terminate), Ok(mut interrupt)) = signals {
                std::future::poll_fn(|context| {
                    let ended =
                        terminate.poll_recv(context).is_ready() || interrupt.poll_recv(context).is_ready();
                    if ended { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                stop.store(true, Ordering::Release);
                waker.wake();
            }
        });
    };
    let spawned = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
    spawned.map(drop).map_err(|error| format!("signals: {error}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Capacity, Cli, Dump, Duration, Protocol, ids, unescape};

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(std::iter::once("sink").chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn smtp_sinks_options_are_read() {
        let line = "-4ce8 -aCEFN -m300 -M 5 -n6 -h host -t 7 -A 1 -H 2 -w3 -d dump. -q mail,rcpt -W mail:1:20 127.0.0.1:25 100";
        let options = parse(line).options().unwrap();
        assert_eq!(options.protocol, Protocol::Smtp);
        assert_eq!(
            (options.sessions_max, options.messages_total, options.sessions_total),
            (300, Some(5), Some(6))
        );
        assert_eq!((options.hostname.as_str(), options.show_counters), ("host", true));
        assert_eq!(options.dump, Some(Dump::Each("dump.".into())));
        assert_eq!(options.announce.lines(), ["PIPELINING"]);
        assert!(
            parse("-f . :25 1").options().unwrap().announce.lines().iter().all(|line| line != "PIPELINING")
        );
        let ours = parse("--chunking --size 1000 --smtputf8 -8aCEFNp :25 1").options().unwrap();
        assert_eq!(ours.announce.lines(), ["CHUNKING", "SMTPUTF8", "SIZE 1000"]);
    }

    #[test]
    fn a_capacity_is_places_and_time() {
        let options = parse("--capacity 3 --service 20 --json --series 100 :25 1").options().unwrap();
        let service = Duration::from_millis(20);
        assert_eq!(options.capacity, Some(Capacity { places: 3, service }));
        assert_eq!(options.series, Some(Duration::from_millis(100)));
        for line in ["--capacity 3", "--service 3", "--capacity 0 --service 1", "--series 5", "--plan"] {
            let line = format!("sink {line} :25 1");
            assert!(Cli::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
        assert!(parse("--plan /proc/no/such :25 1").options().unwrap_err().contains("/proc/no/such"));
    }

    #[test]
    fn what_is_missing_is_said() {
        for line in ["-T 1024 :25 1", "-u nobody -R / :25 1"] {
            assert!(parse(line).missing().is_some(), "{line}");
        }
        assert!(parse("-f foo :25 1").options().is_err());
        assert!(Cli::try_parse_from(["sink", ":25"]).is_err());
        assert!(Cli::try_parse_from(["sink", ":25", "0"]).is_err());
    }

    #[test]
    fn users_have_ids() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533:n:/:/bin/false\n";
        assert_eq!(ids(passwd, "nobody"), Some((65534, 65533)));
        assert_eq!(ids(passwd, "nob"), None);
    }

    #[test]
    fn start_strings_have_escapes() {
        assert_eq!(unescape(r"\101bc\n\t\\\0z"), b"Abc\n\t\\\0z");
    }
}
