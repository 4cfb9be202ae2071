//! What was in fact done with a transaction.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// The next hop said 2xx to the content, and so did we.
    Delivered,
    /// We refused, for good.
    Refused,
    /// We refused for now.
    Deferred,
    /// The next hop refused, for good.
    RefusedUpstream,
    /// The next hop refused for now.
    DeferredUpstream,
    /// The end of content went up and no answer came: the client was told to come again, so the
    /// message may arrive twice (RFC 1047).
    Unknown,
    /// It is in the quarantine store, and we said 2xx.
    Quarantined,
    /// A rule threw it away, and we said 2xx.
    Discarded,
    /// The client left or reset before the end of content.
    Aborted,
}

impl Disposition {
    pub const ALL: [Self; 9] = [
        Self::Delivered,
        Self::Refused,
        Self::Deferred,
        Self::RefusedUpstream,
        Self::DeferredUpstream,
        Self::Unknown,
        Self::Quarantined,
        Self::Discarded,
        Self::Aborted,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Deferred => "deferred",
            Self::RefusedUpstream => "refused_upstream",
            Self::DeferredUpstream => "deferred_upstream",
            Self::Unknown => "unknown",
            Self::Quarantined => "quarantined",
            Self::Discarded => "discarded",
            Self::Aborted => "aborted",
        }
    }
}
