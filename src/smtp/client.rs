//! Our side toward the next hop: commands out, replies back in their order. RFC 5321 §4.2,
//! RFC 2920 (PIPELINING), RFC 3030 (BDAT), RFC 4954 (AUTH).
//!
//! Invariant: every command written here leaves its place in the line of expected replies, and
//! each reply is handed out with the command it answers. A byte that nobody waits for means that
//! both sides no longer agree on where they are: the connection is lost for any other use.

use crate::smtp::bdat;
use crate::smtp::data;
use crate::smtp::extension::{Capabilities, Extensions};
use crate::smtp::reply::{Reply, ReplyError, ReplyParser};
use crate::smtp::xforward::{Identity, write_xclient, write_xforward};
use base64_simd::STANDARD;
use std::collections::VecDeque;
use zeroize::Zeroizing;

/// What the next reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Greeting,
    Ehlo,
    Helo,
    /// 220 is followed by a handshake, in which none of this has a part (RFC 3207 §4).
    Starttls,
    /// AUTH, and each response to a challenge.
    Auth,
    Rset,
    Xforward,
    /// Answered with a greeting; after it EHLO must be said again.
    Xclient,
    Mail,
    /// The recipient of this index in the transaction.
    Rcpt(u32),
    Data,
    EndOfData,
    Bdat {
        last: bool,
    },
    Noop,
    Quit,
}

/// The next hop cannot be followed any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    Malformed(ReplyError),
    /// Something came that nothing was waiting for; see [`Client::stray`].
    Unsolicited,
}

/// A connection to a next hop, as far as SMTP is concerned.
#[derive(Debug)]
pub struct Client {
    parser: ReplyParser,
    expected: VecDeque<Expect>,
    /// Commands that wait for the reply to the one before: the next hop has no PIPELINING.
    waiting: VecDeque<(Expect, Vec<u8>)>,
    capabilities: Capabilities,
    stray: Option<Reply>,
    is_authenticated: bool,
}

impl Client {
    /// A new connection: the next hop greets first.
    pub fn new() -> Self {
        Self {
            parser: ReplyParser::new(),
            expected: VecDeque::from([Expect::Greeting]),
            waiting: VecDeque::new(),
            capabilities: Capabilities::none(),
            stray: None,
            is_authenticated: false,
        }
    }

    /// Notes a command that was written elsewhere.
    pub fn sent(&mut self, expect: Expect) {
        self.expected.push_back(expect);
    }

    /// Takes one reply at most: call again with the rest until all is consumed.
    ///
    /// What a positive reply to EHLO or HELO announces is known from then on.
    pub fn receive(&mut self, input: &[u8]) -> Result<(usize, Option<(Expect, Reply)>), ClientError> {
        if self.expected.is_empty() && !input.is_empty() {
            self.stray = self.parser.feed(input).ok().and_then(|(_, reply)| reply);
            return Err(ClientError::Unsolicited);
        }
        let (consumed, reply) = self.parser.feed(input).map_err(ClientError::Malformed)?;
        let answer = reply.and_then(|reply| Some((self.expected.pop_front()?, reply)));
        if let Some((expect, reply)) = &answer {
            self.learn(*expect, reply);
        }
        Ok((consumed, answer))
    }

    /// The reply that came unasked for and made [`receive`](Self::receive) say so, if it was
    /// whole: an early refusal of content, or a 421 of an idle connection.
    pub fn stray(&self) -> Option<&Reply> {
        self.stray.as_ref()
    }

    /// Nothing is owed and nothing is half said: the connection may be parked.
    pub fn is_quiet(&self) -> bool {
        self.expected.is_empty() && self.waiting.is_empty() && self.parser.is_idle()
    }

    /// Whether commands may follow each other before they are answered (RFC 2920).
    pub fn pipelines(&self) -> bool {
        self.capabilities.extensions.contains(Extensions::PIPELINING)
    }

    /// Writes the next command that waited for a reply. To be called when one came.
    pub fn proceed(&mut self, out: &mut Vec<u8>) {
        if self.expected.is_empty()
            && let Some((expect, command)) = self.waiting.pop_front()
        {
            out.extend_from_slice(&command);
            self.sent(expect);
        }
    }

    /// Replies that are still to come.
    pub fn outstanding(&self) -> usize {
        self.expected.len()
    }

    /// What the next reply will answer.
    pub fn next_expected(&self) -> Option<Expect> {
        self.expected.front().copied()
    }

    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    pub fn set_capabilities(&mut self, capabilities: Capabilities) {
        self.capabilities = capabilities;
    }

    pub fn helo(&mut self, name: &[u8], out: &mut Vec<u8>) {
        self.command(&[b"HELO ", name], Expect::Helo, out);
    }

    pub fn ehlo(&mut self, name: &[u8], out: &mut Vec<u8>) {
        self.command(&[b"EHLO ", name], Expect::Ehlo, out);
    }

    pub fn starttls(&mut self, out: &mut Vec<u8>) {
        self.command(&[b"STARTTLS"], Expect::Starttls, out);
    }

    /// `initial` goes with it in base64, if it is there (RFC 4954 §4).
    pub fn auth(&mut self, mechanism: &str, initial: Option<&[u8]>, out: &mut Vec<u8>) {
        let initial = initial.map(|initial| match initial {
            [] => " =".to_owned(),
            response => format!(" {}", STANDARD.encode_to_string(response)),
        });
        let initial = Zeroizing::new(initial.unwrap_or_default());
        self.command(&[b"AUTH ", mechanism.as_bytes(), initial.as_bytes()], Expect::Auth, out);
    }

    /// What answers a challenge.
    pub fn respond(&mut self, response: &[u8], out: &mut Vec<u8>) {
        let response = Zeroizing::new(STANDARD.encode_to_string(response));
        self.command(&[response.as_bytes()], Expect::Auth, out);
    }

    /// Whether the server took our word for who we are.
    pub const fn is_authenticated(&self) -> bool {
        self.is_authenticated
    }

    pub fn rset(&mut self, out: &mut Vec<u8>) {
        self.command(&[b"RSET"], Expect::Rset, out);
    }

    /// As many commands as the announced attributes need, each with a reply; gives how many.
    pub fn xforward(&mut self, identity: &Identity, out: &mut Vec<u8>) -> usize {
        let mut lines = Vec::new();
        let commands = write_xforward(identity, self.capabilities.xforward, &mut lines);
        self.lines(&lines, Expect::Xforward, out);
        commands
    }

    /// As [`xforward`](Self::xforward).
    pub fn xclient(&mut self, identity: &Identity, out: &mut Vec<u8>) -> usize {
        let mut lines = Vec::new();
        let commands = write_xclient(identity, self.capabilities.xclient, &mut lines);
        self.lines(&lines, Expect::Xclient, out);
        commands
    }

    /// `path` is without its brackets; `parameters` go as they are and may be empty.
    pub fn mail(&mut self, path: &[u8], parameters: &[u8], out: &mut Vec<u8>) {
        self.command(&[b"MAIL FROM:<", path, b">", space_before(parameters), parameters], Expect::Mail, out);
    }

    /// As [`mail`](Self::mail); `index` comes back with the reply.
    pub fn rcpt(&mut self, index: u32, path: &[u8], parameters: &[u8], out: &mut Vec<u8>) {
        let parts = [b"RCPT TO:<", path, b">", space_before(parameters), parameters];
        self.command(&parts, Expect::Rcpt(index), out);
    }

    pub fn data(&mut self, out: &mut Vec<u8>) {
        self.command(&[b"DATA"], Expect::Data, out);
    }

    /// The command only: its `octets` of content follow, written by the caller.
    pub fn bdat(&mut self, octets: u64, last: bool, out: &mut Vec<u8>) {
        bdat::write_header(octets, last, out);
        self.sent(Expect::Bdat { last });
    }

    /// Behind content that was [stuffed](data::stuff).
    pub fn end_of_data(&mut self, ends_with_crlf: bool, out: &mut Vec<u8>) {
        data::write_end_of_data(ends_with_crlf, out);
        self.sent(Expect::EndOfData);
    }

    pub fn noop(&mut self, out: &mut Vec<u8>) {
        self.command(&[b"NOOP"], Expect::Noop, out);
    }

    pub fn quit(&mut self, out: &mut Vec<u8>) {
        self.command(&[b"QUIT"], Expect::Quit, out);
    }

    fn command(&mut self, parts: &[&[u8]], expect: Expect, out: &mut Vec<u8>) {
        // The parsers let no line end in; a second command must not come out whatever they do.
        debug_assert!(!parts.concat().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        if self.must_wait() {
            let command = [&parts.concat()[..], b"\r\n"].concat();
            return self.waiting.push_back((expect, command));
        }
        for part in parts {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b"\r\n");
        self.sent(expect);
    }

    /// Whole command lines, each with a reply of its own.
    fn lines(&mut self, lines: &[u8], expect: Expect, out: &mut Vec<u8>) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if self.must_wait() {
                self.waiting.push_back((expect, line.to_vec()));
            } else {
                out.extend_from_slice(line);
                self.sent(expect);
            }
        }
    }

    fn must_wait(&self) -> bool {
        !(self.pipelines() || self.expected.is_empty() && self.waiting.is_empty())
    }

    fn learn(&mut self, expect: Expect, reply: &Reply) {
        match expect {
            Expect::Ehlo if reply.is_positive() => self.capabilities = Capabilities::from_ehlo(reply),
            Expect::Helo if reply.is_positive() => self.capabilities = Capabilities::none(),
            Expect::Auth => self.is_authenticated = reply.is_positive(),
            // From there on we are somebody else.
            Expect::Xclient => self.is_authenticated = false,
            _ => {}
        }
    }
}

fn space_before(parameters: &[u8]) -> &'static [u8] {
    if parameters.is_empty() { b"" } else { b" " }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::extension::Extensions;
    use crate::smtp::xforward::Attributes;

    /// Feeds all of `input`, in two pieces.
    fn receive(client: &mut Client, input: &[u8], cut: usize) -> Result<Vec<(Expect, u16)>, ClientError> {
        let mut answers = Vec::new();
        for mut piece in [&input[..cut], &input[cut..]] {
            while !piece.is_empty() {
                let (consumed, answer) = client.receive(piece)?;
                piece = &piece[consumed..];
                answers.extend(answer.map(|(expect, reply)| (expect, reply.code().to_u16())));
            }
        }
        Ok(answers)
    }

    #[test]
    fn without_pipelining_each_command_waits_for_a_reply() {
        let mut client = Client::new();
        client.receive(b"220 hi\r\n").unwrap();
        let mut out = Vec::new();
        client.rset(&mut out);
        client.mail(b"a@b", b"", &mut out);
        client.rcpt(0, b"c@d", b"", &mut out);
        assert_eq!(out, b"RSET\r\n");
        for want in [&b"MAIL FROM:<a@b>\r\n"[..], b"RCPT TO:<c@d>\r\n", b""] {
            out.clear();
            assert!(!client.is_quiet());
            client.receive(b"250 ok\r\n").unwrap();
            client.proceed(&mut out);
            assert_eq!(out, want);
        }
        assert!(client.is_quiet());
    }

    /// A greeted client that has sent MAIL, two RCPT and DATA.
    fn in_transaction(out: &mut Vec<u8>) -> Client {
        let mut client = Client::new();
        client.receive(b"220 hi\r\n").unwrap();
        client.capabilities.extensions.insert(Extensions::PIPELINING);
        client.rset(out);
        client.mail(b"a@b", b"SIZE=1", out);
        client.rcpt(0, b"c@d", b"", out);
        client.rcpt(1, b"e@f", b"NOTIFY=NEVER", out);
        client.data(out);
        client
    }

    #[test]
    fn commands_are_lines() {
        let mut out = Vec::new();
        let mut client = in_transaction(&mut out);
        client.end_of_data(true, &mut out);
        client.bdat(5, true, &mut out);
        client.noop(&mut out);
        client.quit(&mut out);
        let want = "RSET\r\nMAIL FROM:<a@b> SIZE=1\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f> NOTIFY=NEVER\r\nDATA\r\n\
                    .\r\nBDAT 5 LAST\r\nNOOP\r\nQUIT\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
        assert_eq!(client.outstanding(), 9);
    }

    #[test]
    fn replies_answer_commands_in_order_at_every_cut() {
        let input = b"250 a\r\n250-b\r\n250 b\r\n550 c\r\n250 d\r\n354 e\r\n";
        for cut in 0..=input.len() {
            let mut client = in_transaction(&mut Vec::new());
            assert!(!client.is_quiet());
            let want = vec![
                (Expect::Rset, 250),
                (Expect::Mail, 250),
                (Expect::Rcpt(0), 550),
                (Expect::Rcpt(1), 250),
                (Expect::Data, 354),
            ];
            assert_eq!(receive(&mut client, input, cut), Ok(want), "cut at {cut}");
            assert!(client.is_quiet());
        }
    }

    #[test]
    fn a_byte_that_nobody_waits_for_ends_it() {
        let input = b"220 hi\r\n421 bye\r\n";
        for cut in 0..=input.len() {
            let got = receive(&mut Client::new(), input, cut);
            assert_eq!(got, Err(ClientError::Unsolicited), "cut at {cut}");
        }
        let mut client = Client::new();
        assert_eq!(receive(&mut client, input, 0), Err(ClientError::Unsolicited));
        assert_eq!(client.stray().map(Reply::wire), Some(&b"421 bye\r\n"[..]));
    }

    #[test]
    fn what_is_no_reply_ends_it() {
        let want = Err(ClientError::Malformed(ReplyError::BareNewline));
        assert_eq!(receive(&mut Client::new(), b"220 hi\n", 2), want);
    }

    #[test]
    fn half_a_reply_is_not_quiet() {
        let mut client = Client::new();
        client.receive(b"220-hi\r\n").unwrap();
        assert_eq!((client.is_quiet(), client.next_expected()), (false, Some(Expect::Greeting)));
        client.receive(b"220 hi\r\n").unwrap();
        assert!(client.is_quiet());
    }

    #[test]
    fn capabilities_come_with_ehlo() {
        let mut client = Client::new();
        let mut out = Vec::new();
        client.receive(b"220 hi\r\n").unwrap();
        client.ehlo(b"mx", &mut out);
        let ehlo = b"250-h\r\n250-CHUNKING\r\n250 XFORWARD NAME PORT\r\n";
        receive(&mut client, ehlo, 9).unwrap();
        assert!(client.capabilities().extensions.contains(Extensions::CHUNKING));
        assert_eq!(client.capabilities().xforward, Attributes::NAME.union(Attributes::PORT));
        assert_eq!(client.xforward(&Identity::default(), &mut out), 1);
        assert_eq!(client.next_expected(), Some(Expect::Xforward));
        assert_eq!(client.xclient(&Identity::default(), &mut out), 0);

        receive(&mut client, b"250 ok\r\n", 0).unwrap();
        client.ehlo(b"mx", &mut out);
        receive(&mut client, b"502 what\r\n", 0).unwrap();
        assert!(client.capabilities().extensions.contains(Extensions::CHUNKING));
        client.helo(b"mx", &mut out);
        receive(&mut client, b"250 ok\r\n", 0).unwrap();
        assert_eq!(client.capabilities(), &Capabilities::none());
    }
}
