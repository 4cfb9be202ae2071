//! Our side toward the client: which command may come when. RFC 5321 §4.1.4, RFC 3030 §2,
//! RFC 3207 §4, RFC 4954 §4.
//!
//! A command that the table admits may still be refused for another reason; one that it does not
//! admit is answered 503 and changes nothing.

use crate::smtp::command::Verb;
use crate::smtp::reply::Reply;

/// Where a session stands between commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Greeted, but the client has not said who it is.
    Start,
    /// No transaction.
    Ready,
    /// A sender, no recipient yet.
    Mail,
    /// A sender and at least one recipient.
    Rcpt,
    /// Some content came by BDAT, and more is to come.
    Bdat,
}

impl Stage {
    /// Whether `verb` may come now; if not, the client gets [`refusal`](Self::refusal).
    pub const fn admits(self, verb: Verb) -> bool {
        match verb {
            Verb::Ehlo | Verb::Helo | Verb::Rset | Verb::Noop | Verb::Quit => true,
            Verb::Help | Verb::Vrfy | Verb::Expn => true,
            Verb::Mail | Verb::Starttls | Verb::Auth | Verb::Xforward | Verb::Etrn => {
                matches!(self, Self::Ready)
            }
            Verb::Xclient => matches!(self, Self::Start | Self::Ready),
            Verb::Rcpt => matches!(self, Self::Mail | Self::Rcpt),
            Verb::Data => matches!(self, Self::Rcpt),
            Verb::Bdat => matches!(self, Self::Rcpt | Self::Bdat),
        }
    }

    /// The 503 for a `verb` that may not come now.
    pub fn refusal(self, verb: Verb) -> Reply {
        Reply::new(503, "5.5.1", self.missing(verb))
    }

    const fn missing(self, verb: Verb) -> &'static str {
        match (self, verb) {
            (Self::Start, Verb::Mail | Verb::Rcpt | Verb::Data | Verb::Bdat | Verb::Auth) => "say EHLO first",
            (Self::Mail | Self::Rcpt | Self::Bdat, Verb::Mail) => "a transaction is under way already",
            (Self::Ready, Verb::Rcpt | Verb::Data | Verb::Bdat) => "say MAIL first",
            (Self::Mail, Verb::Data | Verb::Bdat) => "no valid recipient yet",
            (Self::Bdat, Verb::Data) => "DATA and BDAT do not mix",
            (Self::Bdat, Verb::Rcpt) => "the content is under way already",
            _ => "not now",
        }
    }
}

const _: () = assert!(!Stage::Mail.admits(Verb::Data));
const _: () = assert!(!Stage::Bdat.admits(Verb::Data) && !Stage::Bdat.admits(Verb::Mail));

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [Stage; 5] = [Stage::Start, Stage::Ready, Stage::Mail, Stage::Rcpt, Stage::Bdat];

    #[track_caller]
    fn check(verb: Verb, want: [bool; 5]) {
        assert_eq!(STAGES.map(|stage| stage.admits(verb)), want);
    }

    #[test]
    fn a_transaction_goes_mail_rcpt_content() {
        check(Verb::Mail, [false, true, false, false, false]);
        check(Verb::Rcpt, [false, false, true, true, false]);
        check(Verb::Data, [false, false, false, true, false]);
        check(Verb::Bdat, [false, false, false, true, true]);
    }

    #[test]
    fn what_resets_or_ends_may_always_come() {
        for verb in [Verb::Ehlo, Verb::Helo, Verb::Rset, Verb::Noop, Verb::Quit, Verb::Help] {
            check(verb, [true; 5]);
        }
    }

    #[test]
    fn a_session_does_not_change_inside_a_transaction() {
        for verb in [Verb::Starttls, Verb::Auth, Verb::Xforward] {
            check(verb, [false, true, false, false, false]);
        }
        check(Verb::Xclient, [true, true, false, false, false]);
    }

    #[test]
    fn a_refusal_says_what_is_missing() {
        assert_eq!(Stage::Ready.refusal(Verb::Rcpt).wire(), b"503 5.5.1 say MAIL first\r\n");
        assert_eq!(Stage::Mail.refusal(Verb::Data).wire(), b"503 5.5.1 no valid recipient yet\r\n");
    }
}
