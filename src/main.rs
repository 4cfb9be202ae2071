//! The command line. Exit codes: 0 well, 1 the answer is no, 2 wrong use, 70 our fault.

use std::ffi::OsString;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use postern::control::config::{self, Rejected};
use postern::control::{boot, check, ctl, explain, passwd, patterns, quarantine_command, replay};
use postern::load;
use postern::policy::settings::Config;
use postern::service::notice::say;
use ulid::Ulid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// EX_SOFTWARE of sysexits.h: our fault.
const OUR_FAULT: u8 = 70;

const DEMO: &str = include_str!("../appliance/demo.toml");
/// The next hop of the demo, as its configuration names it.
const DEMO_SINK: [&str; 2] = ["127.0.0.1:2526", "128"];

/// An SMTP proxy that judges every message while its bytes pass, and owns no queue.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The proxy
    Run {
        #[command(flatten)]
        file: ConfigFile,
        /// A built-in configuration with a sink as next hop, on 127.0.0.1:2525
        #[arg(long, conflicts_with = "config")]
        demo: bool,
    },
    /// Every error of a configuration at once, else what it means and costs
    Check {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Asks a running proxy: status, reload (certificates are read again), drain, stop
    Ctl {
        #[arg(value_enum)]
        request: Request,
        /// The admin address of the proxy
        #[arg(long, value_name = "URL", default_value = ctl::ADMIN)]
        admin: String,
    },
    /// Load generator; takes smtp-source(1)'s options, see `postern source --help`
    Source(Raw),
    /// Discards mail; takes smtp-sink(1)'s options, see `postern sink --help`
    Sink(Raw),
    /// Judges messages from files as the proxy would, and says why
    Explain {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        envelope: EnvelopeOptions,
        /// One JSON object a line instead of text for people
        #[arg(long)]
        json: bool,
        /// Files with one message each, and folders of them
        #[arg(value_name = "MESSAGE", required = true)]
        paths: Vec<PathBuf>,
    },
    /// Which messages another configuration would judge otherwise, and why
    Replay {
        /// The configuration that is to come
        #[arg(long, value_name = "NEW")]
        config: PathBuf,
        /// The configuration that it is held against
        #[arg(long, value_name = "OLD")]
        against: PathBuf,
        #[command(flatten)]
        envelope: EnvelopeOptions,
        /// One JSON object a line instead of text for people
        #[arg(long)]
        json: bool,
        /// Files with one message each, and folders of them
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
    },
    #[command(hide = true, disable_help_flag = true)]
    Top(Raw),
    /// Enters, changes or deletes a user in a file of users; the password comes from the terminal or
    /// from standard input
    Passwd {
        /// The file that `auth` of a listener names
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The user's name
        #[arg(value_name = "USER")]
        user: String,
        /// Delete the user
        #[arg(long)]
        delete: bool,
    },
    /// Messages that are held back: lists, shows, sends on or deletes them
    Quarantine {
        #[command(subcommand)]
        request: Held,
        /// The configuration
        #[arg(long, global = true, value_name = "FILE", default_value = config::PATH)]
        config: PathBuf,
        /// JSON for machines instead of text for people
        #[arg(long, global = true)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
enum Held {
    /// What there is, oldest first; with --json one description a line
    List,
    /// What is known of a message, and the message as safe text
    Show {
        #[arg(value_parser = parse_id)]
        id: Ulid,
    },
    /// Sends a message on to its next hop by the running proxy, and deletes it when that has it
    Release {
        #[arg(value_parser = parse_id)]
        id: Ulid,
    },
    /// Deletes a message
    Delete {
        #[arg(value_parser = parse_id)]
        id: Ulid,
    },
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = config::PATH)]
    config: PathBuf,
}

/// What is known of a message beside its content.
#[derive(Debug, clap::Args)]
struct EnvelopeOptions {
    /// Who would be connected
    #[arg(long, value_name = "IP")]
    client_ip: Option<IpAddr>,
    /// What it said in EHLO
    #[arg(long, value_name = "NAME")]
    helo: Option<String>,
    /// The sender of the envelope
    #[arg(long, value_name = "ADDR")]
    from: Option<String>,
    /// A recipient of the envelope; may be said several times
    #[arg(long, value_name = "ADDR")]
    to: Vec<String>,
}

/// Arguments that another reader understands.
#[derive(Debug, clap::Args)]
struct Raw {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Request {
    Status,
    Reload,
    Drain,
    Stop,
}

fn main() -> ExitCode {
    std::panic::catch_unwind(dispatch).unwrap_or_else(|_| ExitCode::from(OUR_FAULT))
}

fn dispatch() -> ExitCode {
    // Their options are smtp-source's and smtp-sink's: nothing of ours may read them first.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(command) if command == "source" => return load::source::main(arguments.collect()),
        Some(command) if command == "sink" => return load::sink::main(arguments.collect()),
        Some(command) if command == patterns::child::COMMAND => return patterns::child::main(),
        _ => {}
    }
    match Arguments::parse().command {
        Command::Run { demo: true, .. } => run_demo(),
        Command::Run { file, .. } => {
            with_config(&file.config, |config| boot::run(config, Some(&file.config)))
        }
        Command::Check { file } => with_config(&file.config, |config| check::main(&config)),
        Command::Ctl { request, admin } => ctl_main(request, &admin),
        Command::Passwd { file, user, delete } => {
            let change = if delete { passwd::Change::Delete } else { passwd::Change::Set };
            passwd::main(&file, &user, change)
        }
        Command::Source(raw) => load::source::main(raw.arguments),
        Command::Sink(raw) => load::sink::main(raw.arguments),
        Command::Explain { file, envelope, json, paths } => {
            let options = explain::Options { envelope: envelope.into(), json, paths };
            loaded(config::load_telling_all(&file.config), |config| explain::main(&config, &options))
        }
        Command::Replay { config, against, envelope, json, paths } => {
            let options = explain::Options { envelope: envelope.into(), json, paths };
            with_config(&against, |old| with_config(&config, |new| replay::main(&new, &old, &options)))
        }
        Command::Top(_) => not_available("top"),
        Command::Quarantine { request, config, json } => {
            with_config(&config, |config| quarantine_command::main(held(request), &config, json))
        }
    }
}

fn with_config(path: &Path, then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    loaded(config::load(path), then)
}

fn loaded(config: Result<Config, Rejected>, then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match config {
        Ok(config) => then(config),
        Err(rejected) => refuse(&rejected),
    }
}

fn refuse(rejected: &Rejected) -> ExitCode {
    // If standard error is gone, the exit code still says it.
    let _ = writeln!(std::io::stderr(), "{rejected}");
    ExitCode::from(1)
}

/// The sink lives in a thread of this process and ends with it.
fn run_demo() -> ExitCode {
    let config = match config::read("demo", DEMO) {
        Ok(config) => config,
        Err(rejected) => return refuse(&rejected),
    };
    let arguments = DEMO_SINK.iter().map(OsString::from).collect();
    match std::thread::Builder::new().name("sink".to_owned()).spawn(move || load::sink::main(arguments)) {
        Ok(_) => boot::run(config, None),
        Err(error) => {
            say(format_args!("the sink cannot start: {error}"));
            ExitCode::from(1)
        }
    }
}

impl From<EnvelopeOptions> for explain::Envelope {
    fn from(options: EnvelopeOptions) -> Self {
        let EnvelopeOptions { client_ip, helo, from, to } = options;
        Self { client: client_ip, helo, from, to }
    }
}

fn ctl_main(request: Request, admin: &str) -> ExitCode {
    match request {
        Request::Status => ctl::main(ctl::Request::Status, admin),
        Request::Drain => ctl::main(ctl::Request::Drain, admin),
        Request::Stop => ctl::main(ctl::Request::Stop, admin),
        Request::Reload => ctl::main(ctl::Request::Reload, admin),
    }
}

fn parse_id(text: &str) -> Result<Ulid, String> {
    Ulid::from_string(text).map_err(|error| format!("that is no id: {error}"))
}

const fn held(request: Held) -> quarantine_command::Request {
    match request {
        Held::List => quarantine_command::Request::List,
        Held::Show { id } => quarantine_command::Request::Show(id),
        Held::Release { id } => quarantine_command::Request::Release(id),
        Held::Delete { id } => quarantine_command::Request::Delete(id),
    }
}

fn not_available(command: &str) -> ExitCode {
    say(format_args!("`{command}` is not available in this version"));
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_leads_to_its_sink() {
        let config = config::read("demo", DEMO).unwrap();
        assert_eq!(config.upstreams[0].servers[0].address.to_string(), DEMO_SINK[0]);
    }

    #[test]
    fn the_command_line_is_sound() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
