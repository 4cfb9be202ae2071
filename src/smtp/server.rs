//! Our side toward the client.
use crate::smtp::command::Verb;
use crate::smtp::reply::Reply;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Start,
    Ready,
    Mail,
    Rcpt,
    Bdat,
}
impl Stage {
    pub const fn admits(self, _verb: Verb) -> bool {
        true
    }
    /// The 503 for a `verb` that may not come now.
    pub fn refusal(self, _verb: Verb) -> Reply {
        Reply::new(503, "5.5.1", "bad sequence of commands")
    }
}
