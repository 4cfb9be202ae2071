//! Facts → verdict. Asked once, when the last byte of content was seen and before its end goes up.

use super::facts::Facts;
use super::settings::Workers;
use super::verdict::{Refusal, Verdict};

pub fn judge(facts: &Facts, settings: &Workers) -> Verdict {
    if facts.size > settings.message {
        return Verdict::Refuse(Refusal::TooLarge);
    }
    if facts.received > settings.received {
        return Verdict::Refuse(Refusal::Loop);
    }
    Verdict::Pass
}
