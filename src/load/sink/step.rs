//! The moments of a dialogue at which the sink can be told to fail, wait, hang up or write a log.
//!
//! smtp-sink(1) names commands (`-f`, `-q`, `-Q`, `-r`, `-s`, `-W`); `--fail` and `--delay` name the
//! same moments and a few between them.

use std::time::Duration;

use fastrand::Rng;

/// A moment of the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Connect,
    Helo,
    Ehlo,
    Lhlo,
    Mail,
    Rcpt,
    Data,
    /// The first octets of content.
    Body,
    /// The end of data.
    Dot,
    Bdat,
    Rset,
    Noop,
    Vrfy,
    Quit,
    Auth,
    Xclient,
    Xforward,
    Starttls,
}

/// Every step with its name; those before [`COMMANDS`] are no commands.
const NAMES: [(Step, &str); 18] = [
    (Step::Connect, "CONNECT"),
    (Step::Body, "BODY"),
    (Step::Dot, "."),
    (Step::Mail, "MAIL"),
    (Step::Rcpt, "RCPT"),
    (Step::Data, "DATA"),
    (Step::Bdat, "BDAT"),
    (Step::Quit, "QUIT"),
    (Step::Ehlo, "EHLO"),
    (Step::Helo, "HELO"),
    (Step::Rset, "RSET"),
    (Step::Noop, "NOOP"),
    (Step::Xforward, "XFORWARD"),
    (Step::Lhlo, "LHLO"),
    (Step::Vrfy, "VRFY"),
    (Step::Auth, "AUTH"),
    (Step::Xclient, "XCLIENT"),
    (Step::Starttls, "STARTTLS"),
];
const COMMANDS: usize = 3;

impl Step {
    /// The command this word is, in any case.
    pub fn command(word: &[u8]) -> Option<Self> {
        Self::find(&NAMES[COMMANDS..], word)
    }

    /// The step an option names.
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("dot") { Some(Self::Dot) } else { Self::find(&NAMES, name.as_bytes()) }
    }

    fn find(names: &[(Self, &str)], word: &[u8]) -> Option<Self> {
        names.iter().find(|(_, name)| word.eq_ignore_ascii_case(name.as_bytes())).map(|&(step, _)| step)
    }
}

/// What the sink does instead of its duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The reply of `-r`.
    Soft,
    /// The reply of `-f`.
    Hard,
    /// 421 and disconnect (`-Q`).
    Goodbye,
    /// Disconnect without a word (`-q`).
    Drop,
    /// Never answer, and read no more.
    Hang,
    /// A reply with this code; 421 also disconnects.
    Code(u16),
}

/// How long to wait at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    pub base: Duration,
    /// Percent by which each further multiple of `base` is likely; 0 waits once.
    pub odds: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rule {
    fault: Option<(Fault, u8)>,
    delay: Option<Delay>,
    hold: bool,
    log: bool,
}

/// What is to happen at which step.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    table: [Rule; NAMES.len()],
    /// Nothing is set: the usual case costs one comparison.
    any: bool,
}

impl Rules {
    /// `fault` comes in `percent` of all cases.
    pub fn fail(&mut self, step: Step, fault: Fault, percent: u8) {
        self.set(step).fault = Some((fault, percent));
    }

    pub fn delay(&mut self, step: Step, delay: Delay) {
        self.set(step).delay = Some(delay);
    }

    /// Nobody is answered at this step until that is taken back.
    pub fn hold(&mut self, step: Step) {
        self.set(step).hold = true;
    }

    /// Whether nobody is answered at this step now.
    pub(super) const fn holds(&self, step: Step) -> bool {
        self.any && self.table[step as usize].hold
    }

    /// The sink does its duty at this step; what is written of it stays.
    pub fn clear(&mut self, step: Step) {
        let rule = self.set(step);
        *rule = Rule { log: rule.log, ..Rule::default() };
    }

    /// The step goes to the system log.
    pub fn log(&mut self, step: Step) {
        self.set(step).log = true;
    }

    fn set(&mut self, step: Step) -> &mut Rule {
        self.any = true;
        &mut self.table[step as usize]
    }

    /// What goes wrong at `step` this time.
    pub fn fault(&self, step: Step, rng: &mut Rng) -> Option<Fault> {
        if !self.any {
            return None;
        }
        let (fault, percent) = self.table[step as usize].fault?;
        (percent >= 100 || rng.u8(0..100) < percent).then_some(fault)
    }

    /// How long to wait at `step` this time.
    pub fn wait(&self, step: Step, rng: &mut Rng) -> Option<Duration> {
        if !self.any {
            return None;
        }
        let delay = self.table[step as usize].delay?;
        let mut wait = delay.base;
        // smtp-sink(1): a dice of 0..99 is rolled until it shows `odds` or more.
        while rng.u8(0..100) < delay.odds {
            wait += delay.base;
        }
        Some(wait)
    }

    /// Some step goes to the system log.
    pub(super) fn logs_any(&self) -> bool {
        self.table.iter().any(|rule| rule.log)
    }

    pub(super) const fn logs(&self, step: Step) -> bool {
        self.any && self.table[step as usize].log
    }
}

/// Applies `each` to every step of a list like `mail,rcpt`.
pub(super) fn each_command(list: &str, mut each: impl FnMut(Step)) -> Result<(), String> {
    for name in list.split([',', ' ', '\t', '\r', '\n']).filter(|name| !name.is_empty()) {
        each(Step::named(name).ok_or_else(|| format!("unknown command: {name}"))?);
    }
    Ok(())
}

/// `STEP=CODE[:PERCENT]`, where CODE is three digits, `drop` or `hang`.
pub(super) fn parse_fail(text: &str) -> Result<(Step, Fault, u8), String> {
    let wrong = || format!("{text}: want STEP=CODE[:PERCENT], CODE three digits, drop or hang");
    let (step, rest) = text.split_once('=').ok_or_else(wrong)?;
    let step = Step::named(step).ok_or_else(|| format!("{step}: no such step"))?;
    let (code, percent) = rest.split_once(':').unwrap_or((rest, "100"));
    let fault = match code {
        "drop" => Fault::Drop,
        "hang" => Fault::Hang,
        _ => Fault::Code(code.parse().ok().filter(|code| (200..600).contains(code)).ok_or_else(wrong)?),
    };
    let percent = percent.parse().ok().filter(|&percent| percent <= 100).ok_or_else(wrong)?;
    Ok((step, fault, percent))
}

/// `STEP=MS`.
pub(super) fn parse_delay(text: &str) -> Result<(Step, Delay), String> {
    let wrong = || format!("{text}: want STEP=MS");
    let (step, millis) = text.split_once('=').ok_or_else(wrong)?;
    let step = Step::named(step).ok_or_else(|| format!("{step}: no such step"))?;
    let base = Duration::from_millis(millis.parse().map_err(|_| wrong())?);
    Ok((step, Delay { base, odds: 0 }))
}

/// smtp-sink's `command:delay[:odds]`, in seconds and percent.
pub(super) fn parse_wait(text: &str) -> Result<(Step, Delay), String> {
    let wrong = || format!("{text}: want command:delay[:odds], odds 1 to 99");
    let mut fields = text.split(':');
    let name = fields.next().unwrap_or_default();
    let step = Step::named(name).ok_or_else(|| format!("unknown command: {name}"))?;
    let seconds: u32 = fields.next().and_then(|field| field.parse().ok()).ok_or_else(wrong)?;
    let odds = match fields.next() {
        None => 0,
        Some(odds) => odds.parse().ok().filter(|odds| (1..=99).contains(odds)).ok_or_else(wrong)?,
    };
    if fields.next().is_some() {
        return Err(wrong());
    }
    Ok((step, Delay { base: Duration::from_secs(seconds.into()), odds }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fastrand::Rng;

    use super::{Delay, Fault, NAMES, Rules, Step, each_command, parse_delay, parse_fail, parse_wait};

    #[test]
    fn every_step_has_one_name_and_one_place() {
        for (step, name) in NAMES {
            assert_eq!(Step::named(&name.to_lowercase()), Some(step));
            assert!((step as usize) < NAMES.len());
        }
        assert_eq!((Step::named("dot"), Step::command(b"."), Step::command(b"mail")), {
            (Some(Step::Dot), None, Some(Step::Mail))
        });
    }

    #[test]
    fn options_are_read_as_the_manual_says() {
        assert_eq!(parse_fail("rcpt=450:30"), Ok((Step::Rcpt, Fault::Code(450), 30)));
        assert_eq!(parse_fail("dot=drop"), Ok((Step::Dot, Fault::Drop, 100)));
        let ms = |ms| Delay { base: Duration::from_millis(ms), odds: 0 };
        assert_eq!(parse_delay("bdat=20"), Ok((Step::Bdat, ms(20))));
        assert_eq!(parse_wait("."), Err(".: want command:delay[:odds], odds 1 to 99".to_owned()));
        assert_eq!(parse_wait("rcpt:2"), Ok((Step::Rcpt, ms(2000))));
        assert_eq!(parse_wait("mail:1:30").map(|(_, delay)| delay.odds), Ok(30));
        for text in ["rcpt", "foo=450", "rcpt=45", "rcpt=4500", "rcpt=450:101", "rcpt=450:x"] {
            assert!(parse_fail(text).is_err(), "{text}");
        }
        for text in ["mail:1:100", "mail:1:0", "mail:x", "mail:1:2:3", "foo:1"] {
            assert!(parse_wait(text).is_err(), "{text}");
        }
        let mut seen = Vec::new();
        assert_eq!(each_command("mail, .\tCONNECT", |step| seen.push(step)), Ok(()));
        assert_eq!(seen, [Step::Mail, Step::Dot, Step::Connect]);
        assert!(each_command("mail,foo", |_| ()).is_err());
    }

    #[test]
    fn a_percentage_is_one() {
        let mut rng = Rng::with_seed(7);
        let mut rules = Rules::default();
        rules.fail(Step::Rcpt, Fault::Code(450), 30);
        let hits = (0..10_000).filter(|_| rules.fault(Step::Rcpt, &mut rng).is_some()).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert_eq!(rules.fault(Step::Mail, &mut rng), None);
    }
}
