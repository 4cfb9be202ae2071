//! `postern ctl`: asks a running program over its admin address.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use crate::service::notice::say;

/// Where a program of this machine listens by default.
pub const ADMIN: &str = "http://127.0.0.1:8025";

const TIMEOUT: Duration = Duration::from_secs(5);

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Status,
    Reload,
    Drain,
    Stop,
}

/// Asks, and prints the answer; 1 if there is none or it is no.
pub fn main(request: Request, admin: &str) -> ExitCode {
    match ask(request, admin) {
        Ok((true, answer)) => print(&answer),
        Ok((false, answer)) => refuse(admin, &answer),
        Err(error) => {
            say(format_args!("{admin}: {error}"));
            ExitCode::from(1)
        }
    }
}

/// The answer, and whether it is yes.
fn ask(request: Request, admin: &str) -> Result<(bool, String), ureq::Error> {
    // A no has reasons, which stand in its body.
    let settings = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
    let agent: ureq::Agent = settings.proxy(None).build().into();
    let admin = admin.trim_end_matches('/');
    let mut response = match request {
        Request::Status => agent.get(format!("{admin}/api/status")).call(),
        Request::Reload => agent.post(format!("{admin}/api/reload")).send_empty(),
        Request::Drain => agent.post(format!("{admin}/api/drain")).send_empty(),
        Request::Stop => agent.post(format!("{admin}/api/stop")).send_empty(),
    }?;
    let is_yes = response.status().is_success();
    response.body_mut().read_to_string().map(|answer| (is_yes, answer))
}

/// Each error on a line; whatever else answered, as it is.
fn refuse(admin: &str, answer: &str) -> ExitCode {
    let value = serde_json::from_str::<serde_json::Value>(answer).unwrap_or_default();
    let errors = value["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines: Vec<_> =
        errors.iter().chain(value.get("error")).filter_map(|line| line.as_str()).collect();
    if lines.is_empty() {
        lines.push(answer.trim_end());
    }
    for line in lines {
        say(format_args!("{admin}: {line}"));
    }
    ExitCode::from(1)
}

/// JSON of ours on lines of its own; whatever else answered, as it is.
fn print(answer: &str) -> ExitCode {
    let value = serde_json::from_str::<serde_json::Value>(answer);
    let text =
        value.and_then(|value| serde_json::to_string_pretty(&value)).unwrap_or_else(|_| answer.to_owned());
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}
