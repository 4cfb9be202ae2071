//! Transcripts as they are written down: dialogues, steps, inputs and what is expected of them.

use std::num::NonZeroU32;
use std::time::Duration;

use base64_simd::STANDARD;
use postern::relay::auth::Outcome;
use postern::relay::event::Ending;
use postern::relay::quarantine::{Failure, FailureKind, Spooled};
use postern::relay::question::{Answer, Unknown};
use postern::smtp::sasl::ScramKeys;

use super::text;

/// One dialogue of a file. Its title is a `#` line behind an empty one; other `#` lines explain.
#[derive(Debug)]
pub(super) struct Dialogue {
    pub(super) title: String,
    pub(super) line: usize,
    /// Where the settings end.
    pub(super) head: usize,
    /// The `=` lines, without the sign.
    pub(super) settings: Vec<String>,
    pub(super) steps: Vec<Step>,
}

/// What one of the parties does, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) inputs: Vec<(usize, String, Input)>,
    pub(super) expected: Vec<(usize, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Input {
    Client(Vec<u8>),
    NextHop(Vec<u8>),
    ClientEnds(Ending),
    /// Hands were shaken with the client.
    Secured,
    /// They were not.
    Insecure,
    NextHopEnds(Ending),
    /// Whether a side takes our bytes off the wire.
    ClientReads(bool),
    NextHopReads(bool),
    Grant {
        fresh: bool,
    },
    Refuse,
    /// What the service side says to what was asked last.
    Answer(Answer),
    /// The DNS answers all that was asked about who sends; or nobody does in time.
    Dns {
        late: bool,
    },
    Wait(Duration),
    Drain,
    Shed,
}

/// Who acts: what one party does without pause is one step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Actor {
    Client,
    NextHop,
    Else,
}

impl Input {
    fn parse(line: &str) -> Option<Self> {
        let raw = |text: &str| text::decode(text.strip_prefix(' ').unwrap_or(text));
        let whole = |text: &str| [raw(text), b"\r\n".to_vec()].concat();
        Some(match line.split_at_checked(2)? {
            ("C:", rest) => Self::Client(whole(rest)),
            ("C~", rest) => Self::Client(raw(rest)),
            ("U:", rest) => Self::NextHop(whole(rest)),
            ("U~", rest) => Self::NextHop(raw(rest)),
            ("T:", rest) => Self::Wait(duration(rest.trim().strip_prefix('+')?)?),
            _ => match line {
                "C! secured" => Self::Secured,
                "C! insecure" => Self::Insecure,
                "C! fin" => Self::ClientEnds(Ending::Closed),
                "C! reset" => Self::ClientEnds(Ending::Broken),
                "C! stalls" => Self::ClientReads(false),
                "C! reads" => Self::ClientReads(true),
                "U! fin" => Self::NextHopEnds(Ending::Closed),
                "U! reset" => Self::NextHopEnds(Ending::Broken),
                "U! stalls" => Self::NextHopReads(false),
                "U! reads" => Self::NextHopReads(true),
                "U! grant" => Self::Grant { fresh: true },
                "U! grant pooled" => Self::Grant { fresh: false },
                "U! refuse" => Self::Refuse,
                "Q: taken" => Self::Answer(Answer::Quarantine(Spooled::Taken { words: 99, octets: 1 << 30 })),
                "Q: stored" => Self::Answer(Answer::Quarantine(Spooled::Stored)),
                "Q: failed" => {
                    let failure = Failure::new(FailureKind::Full, "no room");
                    Self::Answer(Answer::Quarantine(Spooled::Failed(failure)))
                }
                "Q: right" => Self::Answer(Answer::Auth(Outcome::Right)),
                "Q: wrong" => Self::Answer(Answer::Auth(Outcome::Wrong)),
                "Q: keys" => Self::Answer(Answer::Auth(keys())),
                "Q: too many" => Self::Answer(Answer::Auth(Outcome::TooMany)),
                "Q: right, called ann" => {
                    Self::Answer(Answer::Auth(Outcome::RightAs { user: "ann".to_owned() }))
                }
                "Q: busy" => Self::Answer(Answer::Auth(Outcome::Busy)),
                "Q: late" => Self::Answer(Answer::Unknown(Unknown::Late)),
                "Q: dns" => Self::Dns { late: false },
                "Q: dns late" => Self::Dns { late: true },
                "drain" => Self::Drain,
                "shed" => Self::Shed,
                _ => return None,
            },
        })
    }

    const fn actor(&self) -> Actor {
        match self {
            Self::Client(_) | Self::ClientEnds(_) | Self::ClientReads(_) => Actor::Client,
            Self::NextHop(_)
            | Self::NextHopEnds(_)
            | Self::NextHopReads(_)
            | Self::Grant { .. }
            | Self::Refuse => Actor::NextHop,
            // Nobody speaks while hands are shaken.
            Self::Secured | Self::Insecure => Actor::Else,
            Self::Wait(_) | Self::Drain | Self::Shed | Self::Answer(_) | Self::Dns { .. } => Actor::Else,
        }
    }
}

/// Those of RFC 7677 §3, whose user has the password `pencil`.
fn keys() -> Outcome {
    let salt = STANDARD.decode_to_vec("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
    let keys = ScramKeys::derive(b"pencil", &salt, NonZeroU32::new(4096).expect("not 0"));
    Outcome::Keys { keys: Box::new(keys), nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned() }
}

/// `30s`, `5m`, `10ms`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(count)),
        "s" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_secs(count * 60)),
        _ => None,
    }
}

pub(super) fn parse(content: &str) -> Vec<Dialogue> {
    let mut dialogues: Vec<Dialogue> = Vec::new();
    let mut begins = true;
    for (index, line) in content.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() {
            begins = true;
            continue;
        }
        if let Some(title) = line.strip_prefix('#') {
            if std::mem::take(&mut begins) {
                dialogues.push(Dialogue::new(index + 1, title.trim()));
            }
            continue;
        }
        let dialogue = dialogues.last_mut().expect("a transcript begins with its title");
        dialogue.take(index + 1, line);
        begins = false;
    }
    dialogues
}

impl Dialogue {
    fn new(line: usize, title: &str) -> Self {
        Self { title: title.to_owned(), line, head: line, settings: Vec::new(), steps: vec![Step::default()] }
    }

    fn take(&mut self, number: usize, line: &str) {
        if let Some(setting) = line.strip_prefix('=') {
            self.head = number;
            return self.settings.push(setting.trim().to_owned());
        }
        let step = self.steps.last_mut().expect("there is always a step");
        let Some(input) = Input::parse(line) else {
            let is_known =
                ["S:", "U>", "Q>", "U! ", "C! ", "R: "].iter().any(|prefix| line.starts_with(prefix));
            assert!(is_known || line.starts_with('…'), "line {number}: not a line of a transcript: {line}");
            return step.expected.push((number, line.to_owned()));
        };
        let continues = step
            .inputs
            .last()
            .is_some_and(|(_, _, last)| last.actor() == input.actor() && input.actor() != Actor::Else);
        if continues && step.expected.is_empty() {
            step.inputs.push((number, line.to_owned(), input));
        } else {
            self.steps.push(Step { inputs: vec![(number, line.to_owned(), input)], expected: Vec::new() });
        }
    }

    /// Whether only the dialogue as it is written makes sense.
    pub(super) fn is_bound_to_its_segments(&self) -> bool {
        self.settings.iter().any(|setting| setting == "as written")
    }
}
