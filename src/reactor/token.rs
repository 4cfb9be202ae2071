//! What an operation carries through the kernel: which kind it is and whose.

use crate::base::slab::Key;

/// The kinds of operations a completion can belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    Accept,
    Connect,
    Receive,
    Send,
    /// The cancel of one receive: a pause.
    CancelReceive,
    /// The cancel of all that a descriptor has in the kernel: a close.
    CancelSocket,
    CancelAccept,
    Wake,
    /// The cancel of the waker's read: the reactor's own end.
    CancelWake,
}

const OPS: [Op; 9] = [
    Op::Accept,
    Op::Connect,
    Op::Receive,
    Op::Send,
    Op::CancelReceive,
    Op::CancelSocket,
    Op::CancelAccept,
    Op::Wake,
    Op::CancelWake,
];

/// The `user_data` of an operation: the kind in the high eight bits, the key below. For a
/// listener the key is its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) op: Op,
    pub(super) key: Key,
}

impl Token {
    const OP_SHIFT: u32 = 56;

    pub(super) const fn new(op: Op, key: Key) -> Self {
        Self { op, key }
    }

    /// For an operation of the `index`-th listener, or of the reactor itself.
    pub(super) fn indexed(op: Op, index: usize) -> Self {
        Self { op, key: Key::from_bits(index as u64) }
    }

    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.op as u8) << Self::OP_SHIFT | self.key.to_bits()
    }

    /// The inverse of [`to_bits`](Self::to_bits); `None` for what this reactor never sent.
    pub(super) fn from_bits(bits: u64) -> Option<Self> {
        let op = *OPS.get(usize::try_from(bits >> Self::OP_SHIFT).ok()?)?;
        Some(Self { op, key: Key::from_bits(bits) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, OPS, Token};

    #[test]
    fn a_token_survives_its_bits() {
        let key = Key::from_bits(0x00ab_cdef_dead_beef);
        for op in OPS {
            let token = Token::new(op, key);
            assert_eq!(Token::from_bits(token.to_bits()), Some(token));
        }
        assert_eq!(Token::from_bits(u64::MAX), None);
        assert_eq!(Token::indexed(OPS[0], 7).key.index(), 7);
    }
}
