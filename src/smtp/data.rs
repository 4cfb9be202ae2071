//! Content on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Data,
    Bdat,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareNewline {
    Refuse,
    Replace,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentFault {
    BareCr,
    BareLf,
    Nul,
    LineTooLong,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    pub consumed: usize,
    pub end: bool,
    pub fault: Option<ContentFault>,
}
#[derive(Debug)]
pub struct Decoder {
    fault: Option<ContentFault>,
}
impl Decoder {
    pub const fn new(_framing: Framing, _bare_newline: BareNewline, _line_bytes_max: u64) -> Self {
        Self { fault: None }
    }
    pub fn decode(&mut self, wire: &[u8], content: &mut Vec<u8>) -> Decoded {
        content.extend_from_slice(wire);
        Decoded { consumed: wire.len(), end: false, fault: self.fault }
    }
    pub fn finish(&mut self) -> Result<bool, ContentFault> {
        self.fault.map_or(Ok(true), Err)
    }
    /// From here on nothing is a fault: for finding the end of a message that is refused already.
    pub fn tolerate(&mut self) {
        self.fault = None;
    }
}
pub fn stuff(content: &[u8], _at_line_start: &mut bool, out: &mut Vec<u8>) {
    out.extend_from_slice(content);
}
pub fn needs_stuffing(_content: &[u8], _at_line_start: bool) -> bool {
    true
}
pub fn write_end_of_data(_ends_with_crlf: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b".\r\n");
}
