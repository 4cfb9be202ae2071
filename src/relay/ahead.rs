//! DATA said ahead of the client: right behind its RCPT, in the same write.
//!
//! RFC 2920 §3.1 lets DATA be the last of a group. It saves a round trip and a pair of packets for
//! each message. Said in vain (one more RCPT, RSET, a refusal before content went up) it costs the
//! connection, for only a close ends DATA without a message. So it is said as a processor takes a
//! branch: where it would have been right many times in a row.
//!
//! Invariant: once DATA is said ahead, no command goes up on that connection; it carries this
//! content, or it is closed.

/// How far DATA has come on the connection that a transaction has, before its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    No,
    /// DATA went up, 354 is awaited.
    Said,
    /// 354 came.
    Granted,
}

/// Whether the next transaction of an upstream will be one recipient and its content.
#[derive(Clone, Copy, Debug)]
pub struct Foresight {
    /// Transactions in a row that were.
    right: u32,
    /// How many it takes; 0: never.
    needed: u32,
}

impl Foresight {
    pub const fn new(needed: u32) -> Self {
        Self { right: 0, needed }
    }

    pub(super) const fn expects_data(self) -> bool {
        self.needed > 0 && self.right >= self.needed
    }

    /// A transaction that had asked the next hop is over.
    pub(super) const fn learn(&mut self, was_right: bool) {
        self.right = if was_right { self.right.saturating_add(1) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::Foresight;

    #[track_caller]
    fn check(needed: u32, seen: &[bool], want: bool) {
        let mut foresight = Foresight::new(needed);
        seen.iter().for_each(|right| foresight.learn(*right));
        assert_eq!(foresight.expects_data(), want, "{needed} {seen:?}");
    }

    #[test]
    fn one_miss_asks_for_a_whole_row_again() {
        check(2, &[], false);
        check(2, &[true], false);
        check(2, &[true, true], true);
        check(2, &[true, true, true], true);
        check(2, &[true, true, false], false);
        check(2, &[true, true, false, true], false);
        check(0, &[true, true], false);
    }
}
