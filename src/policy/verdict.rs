//! The verdict over a message, and the reply each refusal owes.
//!
//! RFC 5321 §4.2 (codes), RFC 3463 (enhanced codes), RFC 7372 §3 (`5.7.1`, `4.7.1`: policy). The
//! decision id is put behind a reply by whoever sends it.

use super::settings::UpstreamIndex;
use crate::smtp::reply::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// It goes on with a header field that says what was found.
    Tag,
    /// Refused for now: 4yz.
    Defer,
    /// Those who send and receive it have not met: it is to come again.
    Greylist,
    /// Kept for somebody to look at; the client hears 250 when it is safe on disk.
    Quarantine,
    /// Refused for good: 5yz.
    Reject,
    /// Taken and thrown away, because an administrator said so.
    Discard,
    /// It goes to another next hop than its recipients'.
    Redirect(UpstreamIndex),
    /// Refused because of what no configuration allows.
    Refuse(Refusal),
}

impl Verdict {
    /// The word for it in records and rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Tag => "tag",
            Self::Defer => "defer",
            Self::Greylist => "greylist",
            Self::Quarantine => "quarantine",
            Self::Reject | Self::Refuse(_) => "reject",
            Self::Discard => "discard",
            Self::Redirect(_) => "redirect",
        }
    }

    /// Whether the client hears that the message was not taken.
    pub const fn refuses(self) -> bool {
        matches!(self, Self::Defer | Self::Greylist | Self::Reject | Self::Refuse(_))
    }

    /// The code of the reply to the client where it is ours to give.
    pub const fn code(self) -> Option<u16> {
        match self {
            Self::Pass | Self::Tag | Self::Redirect(_) => None,
            Self::Quarantine | Self::Discard => Some(250),
            Self::Defer | Self::Greylist => Some(451),
            Self::Reject | Self::Refuse(_) => Some(550),
        }
    }

    /// What the client hears when no rule has its own words. A quarantined message must look
    /// delivered: its sender may be the one it is hidden from.
    pub fn reply(self) -> Option<Reply> {
        match self {
            Self::Pass | Self::Tag | Self::Redirect(_) => None,
            Self::Quarantine | Self::Discard => Some(Reply::new(250, "2.0.0", "accepted")),
            Self::Defer => Some(Reply::new(451, "4.7.1", "message not accepted for now")),
            // How long is said where it is known.
            Self::Greylist => Some(Reply::new(451, "4.7.1", "greylisted, come again")),
            Self::Reject => Some(Reply::new(550, "5.7.1", "message refused")),
            Self::Refuse(refusal) => Some(refusal.reply()),
        }
    }

    /// The graver of two verdicts that no rule gave.
    pub fn graver(self, other: Self) -> Self {
        if other.gravity() > self.gravity() { other } else { self }
    }

    const fn gravity(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Redirect(_) => 1,
            Self::Tag => 2,
            Self::Greylist => 3,
            Self::Defer => 4,
            Self::Quarantine => 5,
            Self::Discard => 6,
            Self::Reject => 7,
            Self::Refuse(_) => 8,
        }
    }
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
    /// RFC 7489 §10.3; the code is of RFC 7372 §3.3.
    Dmarc,
    /// RFC 5322 §3.6.2 allows one From field, and RFC 7489 §6.6.1 one domain in it.
    SeveralAuthors,
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
            Self::Dmarc => Reply::new(
                550,
                "5.7.26",
                "the author's domain did not send this message, and asks to refuse it",
            ),
            Self::SeveralAuthors => {
                Reply::new(550, "5.7.1", "several From fields or domains: nobody answers for this message")
            }
            Self::LineTooLong => Reply::new(550, "5.6.0", "a line of the message is too long"),
        }
    }

    /// Whether the client may see another end of its message than we do, so that the session
    /// cannot go on.
    pub const fn is_ambiguous(self) -> bool {
        matches!(self, Self::BareNewline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_of_the_class_of_its_verdict() {
        for verdict in
            [Verdict::Defer, Verdict::Greylist, Verdict::Quarantine, Verdict::Reject, Verdict::Discard]
        {
            let reply = verdict.reply().unwrap();
            assert_eq!(Some(reply.code().to_u16()), verdict.code());
            assert_eq!(verdict.refuses(), reply.code().to_u16() >= 400);
        }
        assert_eq!(Verdict::Pass.reply(), None);
    }

    #[test]
    fn the_graver_verdict_stays() {
        for (one, other, want) in [
            (Verdict::Pass, Verdict::Tag, Verdict::Tag),
            (Verdict::Reject, Verdict::Defer, Verdict::Reject),
            (Verdict::Defer, Verdict::Quarantine, Verdict::Quarantine),
            (Verdict::Greylist, Verdict::Defer, Verdict::Defer),
            (Verdict::Greylist, Verdict::Tag, Verdict::Greylist),
        ] {
            assert_eq!(one.graver(other), want);
            assert_eq!(other.graver(one), want);
        }
    }
}
