//! Planted bugs: what the worker sends is changed on its way, and the checker must sing.

use super::network::Peer;

/// A bug that a worker might have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A refusal becomes 250.
    FalseYes,
    /// A temporary refusal becomes a permanent one.
    FalseNever,
    /// The dot goes up before its time.
    EarlyDot,
    /// One octet of content is lost.
    LostOctet,
    /// One CRLF of content becomes LF.
    BareNewline,
    /// The next hop hears of another client.
    WrongName,
    /// One recipient is not told.
    LostRecipient,
    /// A reply is given twice.
    TwiceSaid,
    /// A reply is not given.
    Unsaid,
    /// A reply loses its line end.
    Unended,
    /// A socket is not closed.
    Unclosed,
    /// Content is sent twice: the same transaction again.
    TwiceSent,
}

pub(crate) const BUGS: [Bug; 12] = [
    Bug::FalseYes,
    Bug::FalseNever,
    Bug::EarlyDot,
    Bug::LostOctet,
    Bug::BareNewline,
    Bug::WrongName,
    Bug::LostRecipient,
    Bug::TwiceSaid,
    Bug::Unsaid,
    Bug::Unended,
    Bug::Unclosed,
    Bug::TwiceSent,
];

#[derive(Debug)]
pub(crate) struct Canary {
    bug: Bug,
    /// Chances that pass before it sings.
    wait: u32,
    sung: bool,
}

impl Canary {
    pub(crate) const fn new(bug: Bug, wait: u32) -> Self {
        Self { bug, wait, sung: false }
    }

    /// Whether this chance is the one.
    const fn strikes(&mut self, chance: bool) -> bool {
        if !chance || self.sung {
            return false;
        }
        if self.wait > 0 {
            self.wait -= 1;
            return false;
        }
        self.sung = true;
        true
    }

    pub(crate) fn forgets_to_close(&mut self) -> bool {
        let chance = self.bug == Bug::Unclosed;
        self.strikes(chance)
    }

    /// Changes what is sent to `peer`.
    pub(crate) fn sing(&mut self, peer: Peer, bytes: &mut Vec<u8>) {
        match peer {
            Peer::Client(_) => self.sing_down(bytes),
            Peer::Hop(_) => self.sing_up(bytes),
        }
    }

    fn sing_down(&mut self, bytes: &mut Vec<u8>) {
        let single = memchr::memchr_iter(b'\n', bytes).count() == 1;
        let refusal = single && bytes.starts_with(b"4") && !bytes.starts_with(b"421");
        let bug = self.bug;
        match bug {
            Bug::FalseYes if self.strikes(refusal) => bytes[..3].copy_from_slice(b"250"),
            Bug::FalseNever if self.strikes(refusal) => bytes[0] = b'5',
            Bug::TwiceSaid if self.strikes(single && bytes.starts_with(b"250")) => {
                bytes.extend_from_within(..)
            }
            Bug::Unsaid if self.strikes(single && bytes.starts_with(b"250")) => bytes.clear(),
            Bug::Unended if self.strikes(single) => bytes.truncate(bytes.len() - 2),
            _ => {}
        }
    }

    fn sing_up(&mut self, bytes: &mut Vec<u8>) {
        let content = bytes.len() > 3000 && memchr::memmem::find(&bytes[..40], b"Received:").is_some();
        let bug = self.bug;
        match bug {
            Bug::EarlyDot
                if self.strikes(
                    content && bytes.starts_with(b"Received:") && !bytes.ends_with(b"\r\n.\r\n"),
                ) =>
            {
                bytes.extend_from_slice(b"\r\n.\r\n");
            }
            Bug::LostOctet if self.strikes(content) => {
                bytes.remove(2500);
            }
            Bug::BareNewline if content => {
                if let Some(at) = memchr::memmem::find(&bytes[600..], b"\r\n")
                    && self.strikes(true)
                {
                    bytes.remove(600 + at);
                }
            }
            Bug::WrongName => self.replace(bytes, b" PORT=4", b" PORT=5"),
            Bug::LostRecipient => {
                if let Some(at) = memchr::memmem::find(bytes, b"RCPT TO:<r1.")
                    && self.strikes(true)
                {
                    let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end + 1);
                    bytes.splice(at..end, *b"NOOP\r\n");
                }
            }
            Bug::TwiceSent if self.strikes(bytes.ends_with(b"\r\n.\r\n")) => bytes.extend_from_within(..),
            _ => {}
        }
    }

    fn replace(&mut self, bytes: &mut [u8], old: &[u8], new: &[u8]) {
        if let Some(at) = memchr::memmem::find(bytes, old)
            && self.strikes(true)
        {
            bytes[at..at + new.len()].copy_from_slice(new);
        }
    }
}
