//! What a sink does otherwise as time goes on: next hops that slow down, fall silent, refuse and recover.
//!
//! A file with one line for each change, in the order of time:
//!
//! ```text
//! # seconds since the start, and what holds from then on
//! 10    dot=2000ms     waits so long at a step
//! 20    dot=hang       answers nobody there
//! 25.5  rcpt=451       refuses with this code there; `drop` hangs up
//! 30    rcpt=ok        does its duty at this step; who was left without an answer gets it now
//! 40    refuse         takes no connection, and breaks those there are
//! 50    accept         listens again
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use super::step::{Delay, Fault, Rules, Step};

/// What is different from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Wait(Step, Duration),
    Hold(Step),
    Fail(Step, Fault),
    Well(Step),
    Refuse,
    Accept,
}

/// Changes that have not come yet, and when they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan(VecDeque<(Duration, Change)>);

impl Plan {
    /// # Errors
    /// The first line that is none, or comes before the one above it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = VecDeque::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let wrong = |why: &str| format!("line {}: {line}: {why}", number + 1);
            let change = parse_line(line).map_err(wrong)?;
            if lines.back().is_some_and(|(at, _)| *at > change.0) {
                return Err(wrong("earlier than the line before"));
            }
            lines.push_back(change);
        }
        Ok(Self(lines))
    }

    /// When the next change comes, since the start.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.front().map(|(at, _)| *at)
    }

    /// The next change, if its time has come.
    pub(super) fn take(&mut self, elapsed: Duration) -> Option<Change> {
        self.next().filter(|at| *at <= elapsed)?;
        self.0.pop_front().map(|(_, change)| change)
    }
}

fn parse_line(line: &str) -> Result<(Duration, Change), &'static str> {
    let (seconds, what) = line.split_once(char::is_whitespace).ok_or("want SECONDS and what changes")?;
    let seconds = seconds.parse().ok().filter(|seconds: &f64| (0.0..1e9).contains(seconds));
    let at = seconds.map(Duration::from_secs_f64).ok_or("not a number of seconds")?;
    Ok((at, parse_change(what.trim())?))
}

fn parse_change(what: &str) -> Result<Change, &'static str> {
    match what {
        "refuse" => return Ok(Change::Refuse),
        "accept" => return Ok(Change::Accept),
        _ => {}
    }
    let (step, how) =
        what.split_once('=').ok_or("want STEP=MSms, hang, ok, drop or CODE; refuse; or accept")?;
    let step = Step::named(step).ok_or("no such step")?;
    Ok(match how {
        "hang" => Change::Hold(step),
        "ok" => Change::Well(step),
        "drop" => Change::Fail(step, Fault::Drop),
        _ => match how.strip_suffix("ms").map(str::parse) {
            Some(Ok(ms)) => Change::Wait(step, Duration::from_millis(ms)),
            Some(Err(_)) => return Err("not a number of milliseconds"),
            None => Change::Fail(step, Fault::Code(code(how)?)),
        },
    })
}

fn code(text: &str) -> Result<u16, &'static str> {
    let code = text.parse().ok().filter(|code| (200..600).contains(code));
    code.ok_or("want STEP=MSms, hang, ok, drop or a code of three digits")
}

impl Rules {
    /// What concerns listening is not ours.
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Wait(step, base) => {
                self.clear(step);
                self.delay(step, Delay { base, odds: 0 });
            }
            Change::Hold(step) => {
                self.clear(step);
                self.hold(step);
            }
            Change::Fail(step, fault) => {
                self.clear(step);
                self.fail(step, fault, 100);
            }
            Change::Well(step) => self.clear(step),
            Change::Refuse | Change::Accept => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "# a\n\n0 dot=1ms\n10 dot=2000ms # slow\n10 dot=hang\n 25.5\tRCPT=451\n30 rcpt=ok\n\
        31 mail=drop\n40 refuse\n50 accept";

    #[test]
    fn changes_come_in_time() {
        let mut plan = Plan::parse(EXAMPLE).unwrap();
        let ms = Duration::from_millis;
        assert_eq!((plan.next(), plan.take(ms(0))), (Some(ms(0)), Some(Change::Wait(Step::Dot, ms(1)))));
        assert_eq!((plan.next(), plan.take(ms(9_999))), (Some(ms(10_000)), None));
        assert_eq!(plan.take(ms(10_000)), Some(Change::Wait(Step::Dot, ms(2000))));
        let rest: Vec<_> = std::iter::from_fn(|| plan.take(ms(50_000))).collect();
        let want = [
            Change::Hold(Step::Dot),
            Change::Fail(Step::Rcpt, Fault::Code(451)),
            Change::Well(Step::Rcpt),
            Change::Fail(Step::Mail, Fault::Drop),
            Change::Refuse,
            Change::Accept,
        ];
        assert_eq!((rest, plan.next()), (want.to_vec(), None));
    }

    #[test]
    fn what_is_no_change_is_said() {
        for (text, want) in [
            ("5", "line 1: 5: want SECONDS"),
            ("0 refuse\nx dot=ok", "line 2: x dot=ok: not a number of seconds"),
            ("-1 refuse", "not a number of seconds"),
            ("1 dot=5", "or a code of three digits"),
            ("1 dot=xms", "not a number of milliseconds"),
            ("1 dott=ok", "no such step"),
            ("1 recover", "want STEP=MSms"),
            ("2 refuse\n1 accept", "line 2: 1 accept: earlier than the line before"),
        ] {
            let fault = Plan::parse(text).unwrap_err();
            assert!(fault.contains(want), "{fault}");
        }
    }
}
