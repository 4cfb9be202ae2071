//! The second life of a session: records (RFC 8446 §5, RFC 5246 §6.2, RFC 5288, RFC 7905).
//!
//! `rustls` hands over the keys when hands are shaken, and keeps what later ones are made from. Records
//! are then opened where they were received and sealed from the caller's octets straight into the
//! caller's buffer. Its own record layer copies each of them into a vector of its own first, which costs
//! about as much as the cryptography.
//!
//! What must always hold: a sequence number is used once with a key; a record is looked at only after
//! its tag was checked; no more than one incomplete record is held; what may follow what is the closed
//! list in [`Traffic::dispatch`].

use std::fmt;
use std::ops::Range;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, ConnectionTrafficSecrets, ExtractedSecrets};

use super::fault::{TlsFault, alert_name};
use super::secured::Version;

const HEADER_BYTES: usize = 5;
const TAG_BYTES: usize = 16;
const EXPLICIT_NONCE_BYTES: usize = 8;
/// Octets of plaintext in one record (RFC 8446 §5.1).
const FRAGMENT_BYTES_MAX: usize = 1 << 14;
/// The longest record of either version, with its header.
pub(super) const RECORD_BYTES_MAX: usize = HEADER_BYTES + FRAGMENT_BYTES_MAX + 2048;
/// Records sealed with one AES-GCM key (RFC 8446 §5.5: 2^24.5).
const RECORDS_PER_KEY_MAX: u64 = 1 << 24;
/// A message behind the handshake: a ticket at most.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Key updates, tickets and warnings in a row without plaintext between them.
const IDLE_MESSAGES_MAX: u8 = 32;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;

/// What `rustls` keeps for later keys.
pub(super) enum Kernel {
    Server(KernelConnection<ServerConnectionData>),
    Client(KernelConnection<ClientConnectionData>),
}

pub(super) struct Traffic {
    version: Version,
    transmit: Key,
    receive: Key,
    kernel: Kernel,
    /// A record that is not complete; or the last one, while the caller looks at it.
    held: Vec<u8>,
    is_lent: bool,
    /// The beginning of a message that goes on in the next record.
    message: Vec<u8>,
    idle_messages: u8,
    is_closed: bool,
    has_closed: bool,
}

/// What was found, as places: in the input or in what is held.
#[derive(Debug)]
pub(super) enum Found {
    Pending,
    Plaintext(Place),
    Closed,
}

#[derive(Debug)]
pub(super) enum Place {
    Input(Range<usize>),
    Held(Range<usize>),
}

impl Traffic {
    pub(super) fn new(version: Version, secrets: ExtractedSecrets, kernel: Kernel) -> Result<Self, TlsFault> {
        Ok(Self {
            version,
            transmit: Key::new(version, secrets.tx)?,
            receive: Key::new(version, secrets.rx)?,
            kernel,
            held: Vec::new(),
            is_lent: false,
            message: Vec::new(),
            idle_messages: 0,
            is_closed: false,
            has_closed: false,
        })
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What is held, for a [`Place`] in it.
    pub(super) fn held(&self, range: Range<usize>) -> &[u8] {
        self.held.get(range).unwrap_or_default()
    }

    /// Opens records up to one that says something to the caller; how much was consumed, and what it was.
    pub(super) fn receive(&mut self, wire: &mut [u8], out: &mut Vec<u8>) -> Result<(usize, Found), TlsFault> {
        let found = self.open_next(wire, out);
        if let Err(fault) = &found {
            self.alert(fault, out);
        }
        found
    }

    fn open_next(&mut self, wire: &mut [u8], out: &mut Vec<u8>) -> Result<(usize, Found), TlsFault> {
        self.take_back();
        let mut consumed = 0;
        while !self.is_closed {
            let Some(place) = self.locate(wire, &mut consumed)? else {
                return Ok((consumed, Found::Pending));
            };
            let record = match &place {
                Place::Input(range) => wire.get_mut(range.clone()).unwrap_or_default(),
                Place::Held(range) => self.held.get_mut(range.clone()).unwrap_or_default(),
            };
            let (kind, content) = self.receive.open(record)?;
            let is_plaintext = kind == APPLICATION_DATA && !content.is_empty();
            if !is_plaintext {
                let control = record.get(content).unwrap_or_default().to_vec();
                self.take_back();
                self.dispatch(kind, &control, out)?;
                continue;
            }
            self.idle_messages = 0;
            return Ok((consumed, Found::Plaintext(place.within(content))));
        }
        Ok((wire.len(), Found::Closed))
    }

    /// The record that was lent is done with.
    fn take_back(&mut self) {
        if std::mem::take(&mut self.is_lent) {
            self.held = Vec::new();
        }
    }

    /// Where the next whole record is. Only one that came in pieces is copied.
    fn locate(&mut self, wire: &[u8], consumed: &mut usize) -> Result<Option<Place>, TlsFault> {
        let rest = wire.get(*consumed..).unwrap_or_default();
        if self.held.is_empty()
            && let Some(len) = record_len(rest)?
            && len <= rest.len()
        {
            let start = *consumed;
            *consumed += len;
            return Ok(Some(Place::Input(start..*consumed)));
        }
        let (taken, is_complete) = fill(&mut self.held, 0, rest)?;
        *consumed += taken;
        self.is_lent = is_complete;
        Ok(is_complete.then_some(Place::Held(0..self.held.len())))
    }

    /// What is not plaintext.
    fn dispatch(&mut self, kind: u8, content: &[u8], out: &mut Vec<u8>) -> Result<(), TlsFault> {
        self.idle_messages += 1;
        if self.idle_messages > IDLE_MESSAGES_MAX {
            return Err(TlsFault::protocol("too many records that say nothing"));
        }
        if !self.message.is_empty() && kind != HANDSHAKE {
            return Err(TlsFault::protocol("something else inside of a message"));
        }
        match (kind, content) {
            (APPLICATION_DATA, _) => Ok(()),
            (ALERT, [level, description]) => self.on_alert(*level, *description),
            (HANDSHAKE, [_, ..]) if self.version == Version::Tls13 => self.on_messages(content, out),
            (HANDSHAKE, _) => Err(TlsFault::protocol("renegotiation")),
            (CHANGE_CIPHER_SPEC, _) => Err(TlsFault::protocol("ChangeCipherSpec behind the handshake")),
            _ => Err(TlsFault::protocol("a record of no known kind")),
        }
    }

    /// In TLS 1.3 the level says nothing (RFC 8446 §6).
    fn on_alert(&mut self, level: u8, description: u8) -> Result<(), TlsFault> {
        match description {
            CLOSE_NOTIFY => self.is_closed = true,
            USER_CANCELED => {}
            _ if level == WARNING && self.version == Version::Tls12 => {}
            _ => return Err(TlsFault::Alert(alert_name(AlertDescription::from(description)))),
        }
        Ok(())
    }

    /// Messages behind the handshake (RFC 8446 §4.6), which may span records.
    fn on_messages(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), TlsFault> {
        self.message.extend_from_slice(content);
        if self.message.len() > MESSAGE_BYTES_MAX {
            return Err(TlsFault::TooLarge);
        }
        let messages = std::mem::take(&mut self.message);
        let mut rest = messages.as_slice();
        while let Some((kind, body, behind)) = split_message(rest) {
            self.on_message(kind, body, behind.is_empty(), out)?;
            rest = behind;
        }
        self.message = rest.to_vec();
        Ok(())
    }

    fn on_message(
        &mut self,
        kind: u8,
        body: &[u8],
        is_last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), TlsFault> {
        match (kind, body, &mut self.kernel) {
            (NEW_SESSION_TICKET, ticket, Kernel::Client(kernel)) => {
                kernel.handle_new_session_ticket(ticket).map_err(TlsFault::from)
            }
            // What follows in the same record was sealed with the old key (RFC 8446 §5.1).
            (KEY_UPDATE, [wanted @ (0 | 1)], _) if is_last => self.on_key_update(*wanted == 1, out),
            _ => Err(TlsFault::protocol("a message out of turn")),
        }
    }

    fn on_key_update(&mut self, is_wanted_of_us: bool, out: &mut Vec<u8>) -> Result<(), TlsFault> {
        let secret = match &mut self.kernel {
            Kernel::Server(kernel) => kernel.update_rx_secret(),
            Kernel::Client(kernel) => kernel.update_rx_secret(),
        };
        self.receive = Key::new(self.version, secret?)?;
        if is_wanted_of_us && !self.has_closed { self.update_key(out) } else { Ok(()) }
    }

    /// Tells the peer that we seal with the next key, and does (RFC 8446 §4.6.3).
    fn update_key(&mut self, out: &mut Vec<u8>) -> Result<(), TlsFault> {
        self.transmit.seal(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0], out)?;
        let secret = match &mut self.kernel {
            Kernel::Server(kernel) => kernel.update_tx_secret(),
            Kernel::Client(kernel) => kernel.update_tx_secret(),
        };
        self.transmit = Key::new(self.version, secret?)?;
        Ok(())
    }

    pub(super) fn send(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TlsFault> {
        if self.has_closed {
            return Err(TlsFault::internal("we said that nothing would follow"));
        }
        let records = plaintext.len().div_ceil(FRAGMENT_BYTES_MAX);
        out.reserve(plaintext.len() + records * self.transmit.overhead());
        for fragment in plaintext.chunks(FRAGMENT_BYTES_MAX) {
            if self.transmit.is_spent() {
                self.renew_key(out)?;
            }
            self.transmit.seal(APPLICATION_DATA, fragment, out)?;
        }
        Ok(())
    }

    fn renew_key(&mut self, out: &mut Vec<u8>) -> Result<(), TlsFault> {
        match self.version {
            Version::Tls12 => Err(TlsFault::KeySpent),
            Version::Tls13 => self.update_key(out),
        }
    }

    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_closed, true) {
            // It can only fail where nothing can be sealed any more; then the peer sees a cut.
            let _ = self.transmit.seal(ALERT, &[WARNING, CLOSE_NOTIFY], out);
        }
    }

    /// Leaves `records` that may be sealed with the present key.
    #[cfg(test)]
    pub(super) const fn spend(&mut self, records: u64) {
        self.transmit.records_max = self.transmit.sequence + records;
    }

    /// Tells the peer why we go (RFC 8446 §6.2).
    fn alert(&mut self, fault: &TlsFault, out: &mut Vec<u8>) {
        let description = match fault {
            TlsFault::Forged => 20,
            TlsFault::TooLarge => 22,
            TlsFault::Alert(_) => return,
            TlsFault::Internal(_) => 80,
            _ => 10,
        };
        if !std::mem::replace(&mut self.has_closed, true) {
            let _ = self.transmit.seal(ALERT, &[FATAL, description], out);
        }
    }
}

impl fmt::Debug for Traffic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Traffic")
            .field("version", &self.version)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Place {
    /// The part of a record that holds its content.
    fn within(self, content: Range<usize>) -> Self {
        let shift = |start: usize| start + content.start..start + content.end;
        match self {
            Self::Input(record) => Self::Input(shift(record.start)),
            Self::Held(record) => Self::Held(shift(record.start)),
        }
    }
}

/// One handshake message: its kind, its body, and what follows.
fn split_message(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, a, b, c], rest) = octets.split_first_chunk()?;
    let len = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    let (body, rest) = rest.split_at_checked(len)?;
    Some((kind, body, rest))
}

/// The length of the record that begins `octets`, header included; None if that is not there yet.
///
/// What cannot begin a record is told by the first octets: somebody speaks something else.
fn record_len(octets: &[u8]) -> Result<Option<usize>, TlsFault> {
    if octets.first().is_some_and(|kind| !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(kind))
        || octets.get(1).is_some_and(|major| *major != 3)
    {
        return Err(TlsFault::NotTls);
    }
    let Some(&[_, _, _, high, low]) = octets.first_chunk() else { return Ok(None) };
    let len = HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if len > RECORD_BYTES_MAX { Err(TlsFault::TooLarge) } else { Ok(Some(len)) }
}

/// Completes the record that begins at `start` of `held`: how much was taken, and whether it is whole.
pub(super) fn fill(held: &mut Vec<u8>, start: usize, wire: &[u8]) -> Result<(usize, bool), TlsFault> {
    let mut taken = 0;
    loop {
        let record = held.get(start..).unwrap_or_default();
        let len = record_len(record)?;
        if len == Some(record.len()) {
            return Ok((taken, true));
        }
        let missing = len.unwrap_or(HEADER_BYTES) - record.len();
        let rest = wire.get(taken..).unwrap_or_default();
        let more = rest.get(..missing).unwrap_or(rest);
        if more.is_empty() {
            return Ok((taken, false));
        }
        // Room for the whole of it only to who sends some of it: a header alone is cheap.
        if more.len() >= missing / 8 {
            held.reserve_exact(missing);
        }
        held.extend_from_slice(more);
        taken += more.len();
    }
}

/// One direction's key, and how records look under it.
struct Key {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
    form: Form,
    records_max: u64,
}

/// How a record carries its nonce and its kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The kind is sealed with the content; the nonce is the sequence number's (RFC 8446 §5.2, §5.3).
    Tls13,
    /// Eight octets of the nonce stand before the content (RFC 5288 §3).
    Tls12Explicit,
    /// The nonce is the sequence number's (RFC 7905 §2).
    Tls12,
}

impl Key {
    fn new(version: Version, (sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, TlsFault> {
        let refused = |_| TlsFault::internal("a key of a wrong length");
        let (algorithm, key, iv, gcm) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, true),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, true),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv, false),
            _ => return Err(TlsFault::internal("a cipher that we do not know")),
        };
        let form = match (version, gcm) {
            (Version::Tls13, _) => Form::Tls13,
            (Version::Tls12, true) => Form::Tls12Explicit,
            (Version::Tls12, false) => Form::Tls12,
        };
        Ok(Self {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).map_err(refused)?),
            iv: iv.as_ref().try_into().map_err(|_| TlsFault::internal("a nonce of a wrong length"))?,
            sequence,
            form,
            records_max: if gcm { RECORDS_PER_KEY_MAX } else { u64::MAX },
        })
    }

    /// One record is left: it can say that the next key follows, or that nothing does.
    const fn is_spent(&self) -> bool {
        self.sequence + 1 >= self.records_max
    }

    /// Octets of a record beside its content.
    const fn overhead(&self) -> usize {
        HEADER_BYTES + TAG_BYTES + self.explicit_bytes() + self.kind_bytes()
    }

    const fn explicit_bytes(&self) -> usize {
        if matches!(self.form, Form::Tls12Explicit) { EXPLICIT_NONCE_BYTES } else { 0 }
    }

    const fn kind_bytes(&self) -> usize {
        if matches!(self.form, Form::Tls13) { 1 } else { 0 }
    }

    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        for (octet, number) in nonce.iter_mut().rev().zip(self.sequence.to_le_bytes()) {
            *octet ^= number;
        }
        nonce
    }

    /// What is authenticated beside the content: the header, in TLS 1.2 with the sequence number before
    /// it and the length of what is sealed in it.
    fn associated(&self, kind: u8, len: usize) -> ([u8; 13], usize) {
        let [high, low] = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        let header = [kind, 3, 3, high, low];
        let mut octets = [0; 13];
        let start = if self.form == Form::Tls13 { 0 } else { 8 };
        let sequence = self.sequence.to_be_bytes();
        let parts = sequence.iter().take(start).chain(&header);
        octets.iter_mut().zip(parts).for_each(|(place, octet)| *place = *octet);
        (octets, start + header.len())
    }

    /// Appends one record. `content` fits in one.
    fn seal(&mut self, kind: u8, content: &[u8], out: &mut Vec<u8>) -> Result<(), TlsFault> {
        if self.sequence >= self.records_max {
            return Err(TlsFault::KeySpent);
        }
        let refused = || TlsFault::internal("a record that cannot be sealed");
        let nonce = self.nonce();
        let body_len = self.overhead() - HEADER_BYTES + content.len();
        let is_13 = self.form == Form::Tls13;
        let outer = if is_13 { APPLICATION_DATA } else { kind };
        let [high, low] = u16::try_from(body_len).map_err(|_| refused())?.to_be_bytes();
        out.extend_from_slice(&[outer, 3, 3, high, low]);
        let explicit = nonce.get(NONCE_LEN - self.explicit_bytes()..).unwrap_or_default();
        out.extend_from_slice(explicit);
        let start = out.len();
        out.resize(start + content.len() + self.kind_bytes() + TAG_BYTES, 0);
        let (sealed, tail) = out
            .get_mut(start..)
            .and_then(|rest| rest.split_at_mut_checked(content.len()))
            .ok_or_else(refused)?;
        let (associated, len) = self.associated(outer, if is_13 { body_len } else { content.len() });
        let associated = Aad::from(associated.get(..len).unwrap_or_default());
        let kind = [kind];
        let inner: &[u8] = if is_13 { &kind } else { &[] };
        self.key
            .seal_out_of_place_scatter(
                Nonce::assume_unique_for_key(nonce),
                associated,
                content,
                sealed,
                inner,
                tail,
            )
            .map_err(|_| refused())?;
        self.sequence += 1;
        Ok(())
    }

    /// Opens a whole record in its place: its kind, and where in it the content is.
    fn open(&mut self, record: &mut [u8]) -> Result<(u8, Range<usize>), TlsFault> {
        let malformed = || TlsFault::protocol("a record that is too short");
        let (&mut [outer, major, minor, _, _], body) =
            record.split_first_chunk_mut().ok_or_else(malformed)?;
        if [major, minor] != [3, 3] {
            return Err(TlsFault::protocol("a record of another version"));
        }
        let start = HEADER_BYTES + self.explicit_bytes();
        let mut nonce = self.nonce();
        let (explicit, sealed) = body.split_at_mut_checked(self.explicit_bytes()).ok_or_else(malformed)?;
        nonce.iter_mut().rev().zip(explicit.iter().rev()).for_each(|(octet, given)| *octet = *given);
        let len = sealed.len().checked_sub(TAG_BYTES).ok_or_else(malformed)?;
        if len > FRAGMENT_BYTES_MAX + self.kind_bytes() * 256 {
            return Err(TlsFault::TooLarge);
        }
        let is_13 = self.form == Form::Tls13;
        if is_13 && outer != APPLICATION_DATA {
            return Err(TlsFault::protocol("a record that is not sealed"));
        }
        let (associated, associated_len) = self.associated(outer, if is_13 { len + TAG_BYTES } else { len });
        let associated = Aad::from(associated.get(..associated_len).unwrap_or_default());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key.open_in_place(nonce, associated, sealed).map_err(|_| TlsFault::Forged)?;
        self.sequence = self.sequence.checked_add(1).ok_or(TlsFault::KeySpent)?;
        let (kind, len) = if is_13 { unpadded(opened)? } else { (outer, opened.len()) };
        if len > FRAGMENT_BYTES_MAX { Err(TlsFault::TooLarge) } else { Ok((kind, start..start + len)) }
    }
}

/// The kind behind the content and before the padding, and how long the content is (RFC 8446 §5.4).
fn unpadded(opened: &[u8]) -> Result<(u8, usize), TlsFault> {
    let last = opened.iter().rposition(|octet| *octet != 0);
    let found = last.and_then(|last| Some((*opened.get(last)?, last)));
    found.ok_or_else(|| TlsFault::protocol("a record of no kind"))
}
