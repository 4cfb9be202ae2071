//! Quoted-printable without what its encoders never write (RFC 2045 §6.7).
//!
//! Decoders differ in what they make of white space at the beginning of a line, of octets that should
//! have been escaped, and of escapes that are none. One that drops them all reads what is left here.

/// Takes such octets out, in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Thin {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    LineStart,
    Text,
    /// Behind `=`.
    Escape,
    /// Behind `=` and this digit.
    Digit(u8),
    /// Behind `=` and white space, which is a soft line end if a line end follows.
    Soft,
}

impl Thin {
    /// Appends to `out` what of `input` an encoder may have written, as one line.
    pub(crate) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for byte in input {
            self.state = step(self.state, *byte, out);
        }
    }
}

/// The state after `byte`.
fn step(state: State, byte: u8, out: &mut Vec<u8>) -> State {
    match (state, byte) {
        (_, b'\r') => state,
        // Binary has no lines: an encoder that knows that writes all line ends as escapes.
        (_, b'\n') => State::LineStart,
        (_, b'=') => State::Escape,
        (State::Escape, _) if byte.is_ascii_hexdigit() => State::Digit(byte),
        (State::Escape | State::Soft, b' ' | b'\t') => State::Soft,
        (State::Digit(first), _) if byte.is_ascii_hexdigit() => {
            out.extend([b'=', first, byte]);
            State::Text
        }
        // An escape that is none goes with what makes it none.
        (State::Escape | State::Digit(_) | State::Soft, _) => State::Text,
        (State::LineStart, b' ' | b'\t') => state,
        (_, b' '..=b'~') => {
            out.push(byte);
            State::Text
        }
        (State::LineStart | State::Text, _) => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], want: &str) {
        for cut in 0..=input.len() {
            let (mut thin, mut out) = (Thin::default(), Vec::new());
            thin.push(&input[..cut], &mut out);
            thin.push(&input[cut..], &mut out);
            assert_eq!(String::from_utf8_lossy(&out), want, "cut at {cut}");
        }
    }

    #[test]
    fn what_encoders_write_stays() {
        check(b"a b=3D=\r\nc", "a b=3Dc");
        check(b"=3d= \r\nx", "=3dx");
    }

    #[test]
    fn what_they_do_not_write_goes() {
        check(b"\t =58=35=\r\n =4F", "=58=35=4F");
        check(b"=58\x12=35\xaa=4F", "=58=35=4F");
        check(b"=58==35=2=4F=@=21=0x=50= =25", "=58=35=4F=21=50=25");
        check(b"=41=2=\r\n=42", "=41=42");
        check(b"=41=\r=42", "=41=42");
    }
}
