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
    Drain,
    Stop,
}

/// Asks, and prints the answer; 1 if there is none or it is no.
pub fn main(request: Request, admin: &str) -> ExitCode {
    match ask(request, admin) {
        Ok(answer) => print(&answer),
        Err(error) => {
            say(format_args!("{admin}: {error}"));
            ExitCode::from(1)
        }
    }
}

fn ask(request: Request, admin: &str) -> Result<String, ureq::Error> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).proxy(None).build().into();
    let admin = admin.trim_end_matches('/');
    let mut response = match request {
        Request::Status => agent.get(format!("{admin}/api/status")).call(),
        Request::Drain => agent.post(format!("{admin}/api/drain")).send_empty(),
        Request::Stop => agent.post(format!("{admin}/api/stop")).send_empty(),
    }?;
    response.body_mut().read_to_string()
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
