//! ISO-2022-KR (RFC 1557), ISO-2022-CN (RFC 1922) and HZ (RFC 1843): sets of two octets behind shifts,
//! all in seven bits.
//!
//! Behind a shift the octets are those of EUC without the eighth bit. It is put back, and
//! `encoding_rs` does the rest. The planes of CNS 11643 that ISO-2022-CN also allows are in no
//! encoding of the standard: their characters come out as something else, and nobody sends them.

use super::label::Shifted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Plain,
    Double,
    /// Within the escape that names a set: octets of it that were dropped.
    Designation(u8),
    /// Behind `~`, which began here or within double octets.
    Tilde {
        double: bool,
    },
}

/// What a byte adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Nothing,
    Itself,
    EighthBit,
}

/// Puts the eighth bit back.
#[derive(Clone, Debug)]
pub(super) struct Unshifter {
    charset: Shifted,
    state: State,
}

impl Unshifter {
    pub(super) fn new(charset: Shifted) -> Self {
        Self { charset, state: State::Plain }
    }

    pub(super) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for &byte in input {
            let (state, output) = match self.charset {
                Shifted::Hz => next_of_hz(self.state, byte),
                Shifted::Iso2022Kr | Shifted::Iso2022Cn => next_of_iso_2022(self.state, byte),
            };
            self.state = state;
            match output {
                Output::Nothing => {}
                Output::Itself => out.push(byte),
                Output::EighthBit => out.push(byte | 0x80),
            }
        }
    }
}

const fn next_of_iso_2022(state: State, byte: u8) -> (State, Output) {
    match (state, byte) {
        (_, 0x0e) => (State::Double, Output::Nothing),
        (_, 0x0f) => (State::Plain, Output::Nothing),
        (_, 0x1b) => (State::Designation(1), Output::Nothing),
        (State::Designation(1), b'$') => (State::Designation(2), Output::Nothing),
        (State::Designation(2), b')' | b'*' | b'+') => (State::Designation(3), Output::Nothing),
        (State::Designation(3), _) => (State::Plain, Output::Nothing),
        // A set holds to the end of the line.
        (_, b'\r' | b'\n') => (State::Plain, Output::Itself),
        (State::Double, 0x21..=0x7e) => (State::Double, Output::EighthBit),
        (State::Double, _) => (State::Double, Output::Itself),
        _ => (State::Plain, Output::Itself),
    }
}

const fn next_of_hz(state: State, byte: u8) -> (State, Output) {
    match (state, byte) {
        (State::Tilde { .. }, b'{') => (State::Double, Output::Nothing),
        (State::Tilde { .. }, b'}') => (State::Plain, Output::Nothing),
        (State::Tilde { .. }, b'\n') => (State::Plain, Output::Nothing),
        (State::Tilde { double: true }, b'~') => (State::Double, Output::EighthBit),
        (State::Tilde { .. }, _) => (State::Plain, Output::Itself),
        (_, b'~') => (State::Tilde { double: matches!(state, State::Double) }, Output::Nothing),
        (_, b'\r' | b'\n') => (State::Plain, Output::Itself),
        (State::Double, 0x21..=0x7d) => (State::Double, Output::EighthBit),
        (State::Double, _) => (State::Double, Output::Itself),
        _ => (State::Plain, Output::Itself),
    }
}
