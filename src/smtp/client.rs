//! Our side toward the next hop.
use crate::smtp::extension::Capabilities;
use crate::smtp::reply::{Reply, ReplyError, ReplyParser};
use crate::smtp::xforward::Identity;
use std::collections::VecDeque;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Greeting,
    Ehlo,
    Helo,
    Rset,
    Xforward,
    Xclient,
    Mail,
    Rcpt(u32),
    Data,
    EndOfData,
    Bdat { last: bool },
    Noop,
    Quit,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    Malformed(ReplyError),
    Unsolicited,
}
#[derive(Debug)]
pub struct Client {
    parser: ReplyParser,
    expected: VecDeque<Expect>,
    capabilities: Capabilities,
    stray: Option<Reply>,
}
impl Client {
    pub fn new() -> Self {
        Self {
            parser: ReplyParser::new(),
            expected: VecDeque::from([Expect::Greeting]),
            capabilities: Capabilities::none(),
            stray: None,
        }
    }
    pub fn sent(&mut self, expect: Expect) {
        self.expected.push_back(expect);
    }
    /// Takes one reply at most: call again with the rest until it gives none.
    pub fn receive(&mut self, input: &[u8]) -> Result<(usize, Option<(Expect, Reply)>), ClientError> {
        self.parser.feed(input).map(|(n, _)| (n, None)).map_err(ClientError::Malformed)
    }
    /// The whole reply that came unasked for and made `receive` say `Unsolicited`, if it was whole.
    pub fn stray(&self) -> Option<&Reply> {
        self.stray.as_ref()
    }
    pub fn is_quiet(&self) -> bool {
        self.expected.is_empty() && self.parser.is_idle()
    }
    pub fn outstanding(&self) -> usize {
        self.expected.len()
    }
    pub fn next_expected(&self) -> Option<Expect> {
        self.expected.front().copied()
    }
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
    pub fn set_capabilities(&mut self, capabilities: Capabilities) {
        self.capabilities = capabilities;
    }
    pub fn helo(&mut self, _name: &[u8], _out: &mut Vec<u8>) {
        self.sent(Expect::Helo);
    }
    pub fn ehlo(&mut self, _name: &[u8], _out: &mut Vec<u8>) {
        self.sent(Expect::Ehlo);
    }
    pub fn rset(&mut self, _out: &mut Vec<u8>) {
        self.sent(Expect::Rset);
    }
    /// As many commands as the announced attributes need; how many.
    pub fn xforward(&mut self, _identity: &Identity, _out: &mut Vec<u8>) -> usize {
        0
    }
    pub fn xclient(&mut self, _identity: &Identity, _out: &mut Vec<u8>) -> usize {
        0
    }
    /// `path` without its brackets, `parameters` as they go on the wire without leading space.
    pub fn mail(&mut self, _path: &[u8], _parameters: &[u8], _out: &mut Vec<u8>) {
        self.sent(Expect::Mail);
    }
    pub fn rcpt(&mut self, index: u32, _path: &[u8], _parameters: &[u8], _out: &mut Vec<u8>) {
        self.sent(Expect::Rcpt(index));
    }
    pub fn data(&mut self, _out: &mut Vec<u8>) {
        self.sent(Expect::Data);
    }
    /// The BDAT command; its `octets` of content follow, written by the caller.
    pub fn bdat(&mut self, _octets: u64, last: bool, _out: &mut Vec<u8>) {
        self.sent(Expect::Bdat { last });
    }
    pub fn end_of_data(&mut self, _ends_with_crlf: bool, _out: &mut Vec<u8>) {
        self.sent(Expect::EndOfData);
    }
    pub fn noop(&mut self, _out: &mut Vec<u8>) {
        self.sent(Expect::Noop);
    }
    pub fn quit(&mut self, _out: &mut Vec<u8>) {
        self.sent(Expect::Quit);
    }
}
