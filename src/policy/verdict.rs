//! The verdict over a message, and the reply each refusal owes.

use crate::smtp::reply::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Refuse(Refusal),
}

/// Why content is refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// RFC 1870 §6.1.
    TooLarge,
    /// RFC 5321 §6.3.
    Loop,
    /// RFC 5321 §2.3.8: CR and LF only together.
    BareNewline,
    /// RFC 5321 §4.5.2 leaves NUL out of mail; servers disagree on what it ends.
    Nul,
    LineTooLong,
}

impl Refusal {
    pub fn reply(self) -> Reply {
        match self {
            Self::TooLarge => Reply::new(552, "5.3.4", "message exceeds the size limit"),
            Self::Loop => Reply::new(554, "5.4.6", "too many hops: this looks like a mail loop"),
            Self::BareNewline => {
                Reply::new(550, "5.5.2", "bare CR or LF is not accepted: lines end with CR LF")
            }
            Self::Nul => Reply::new(550, "5.6.0", "NUL is not accepted in a message"),
            Self::LineTooLong => Reply::new(550, "5.6.0", "a line of the message is too long"),
        }
    }

    /// Whether the client may see another end of its message than we do, so that the session
    /// cannot go on.
    pub const fn is_ambiguous(self) -> bool {
        matches!(self, Self::BareNewline)
    }
}
