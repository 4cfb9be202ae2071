//! Dialogues as rows, each at every cut. `~` stands for CRLF.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};

use super::books::Books;
use super::dialogue::{Dialogue, Then};
use super::{Announce, Capacity, Change, Delay, Fault, Framing, Kept, Options, Protocol, Step, Totals};
use crate::base::time::Instant;

/// What a client heard, the counters, and the messages kept.
type Heard = (String, Then, Totals, Vec<Kept>);

fn books(options: &Options) -> (Books, Receiver<Kept>) {
    let (kept, receiver) = channel();
    (
        Books::open(
            options.clone(),
            Some(Box::new(move |message| kept.send(message).unwrap())),
            Instant::default(),
        )
        .unwrap(),
        receiver,
    )
}

/// Gives the pieces to a dialogue as a connection does: what is not consumed comes again, waits are skipped.
fn talk(options: &Options, pieces: &[&[u8]]) -> Heard {
    let (mut books, kept) = books(options);
    let mut dialogue = Dialogue::new("127.0.0.1:4711".parse().unwrap(), &books);
    let (mut pending, mut out, mut then) = (Vec::new(), Vec::new(), Then::Read);
    for piece in std::iter::once(&b""[..]).chain(pieces.iter().copied()) {
        pending.extend_from_slice(piece);
        while matches!(then, Then::Read | Then::Wait(_)) {
            let (consumed, next) = dialogue.receive(&pending, &mut books, &mut out);
            pending.drain(..consumed);
            then = next;
            if then == Then::Read {
                break;
            }
        }
    }
    let totals = books.counters.totals();
    drop(books);
    (String::from_utf8(out).unwrap().replace("\r\n", "~"), then, totals, kept.iter().collect())
}

/// The replies to `wire`, the same at every cut.
#[track_caller]
fn check(options: &Options, wire: &str, want: &str) -> Heard {
    let wire = wire.replace('~', "\r\n").into_bytes();
    let whole = talk(options, &[&wire]);
    assert_eq!(whole.0, want);
    for cut in 0..=wire.len() {
        assert_eq!(talk(options, &[&wire[..cut], &wire[cut..]]), whole, "cut at {cut}");
    }
    whole
}

fn chunking() -> Options {
    Options { announce: Announce { chunking: true, ..Announce::default() }, ..Options::default() }
}

fn failing(step: Step, fault: Fault) -> Options {
    let mut options = chunking();
    options.rules.fail(step, fault, 100);
    options
}

#[test]
fn a_message_is_taken_and_kept() {
    let wire = "HELO me~XFORWARD NAME=n~MAIL FROM:<a@b> SIZE=5~RCPT TO:<c@d>~rcpt to: <e@f>~DATA~..x~.~QUIT~";
    let want = "220 smtp-sink ESMTP~250 smtp-sink~250 2.0.0 Ok~250 2.1.0 Ok~250 2.1.5 Ok~250 2.1.5 Ok~\
        354 End data with <CR><LF>.<CR><LF>~250 2.0.0 Ok~221 Bye~";
    let (_, then, totals, kept) = check(&Options::default(), wire, want);
    assert_eq!(then, Then::Close);
    assert_eq!((totals.messages, totals.recipients, totals.quits, totals.bytes), (1, 2, 1, 8));
    assert_eq!(
        kept,
        [Kept {
            peer: "127.0.0.1:4711".parse().unwrap(),
            protocol: Protocol::Smtp,
            helo: Some(b"me".to_vec()),
            mail: b"<a@b> SIZE=5".to_vec(),
            recipients: vec![b"<c@d>".to_vec(), b"<e@f>".to_vec()],
            xforward: vec![b"NAME=n".to_vec()],
            framing: Framing::Data,
            content: b".x\r\n".to_vec(),
        }]
    );
}

#[test]
fn bdat_is_counted_octets() {
    // Six octets with what would be an end of data in DATA, none, and the last three.
    let wire = "MAIL FROM:<>~RCPT TO:<x>~BDAT 6~a~.~BDAT 0~BDAT 3 last~b~NOOP~";
    let want =
        "220 smtp-sink ESMTP~250 2.1.0 Ok~250 2.1.5 Ok~250 2.0.0 Ok~250 2.0.0 Ok~250 2.0.0 Ok~250 2.0.0 Ok~";
    let (_, _, totals, kept) = check(&chunking(), wire, want);
    assert_eq!((totals.bdats, totals.messages, totals.bytes), (3, 1, 9));
    assert_eq!((kept[0].framing, kept[0].content.as_slice()), (Framing::Bdat, &b"a\r\n.\r\nb\r\n"[..]));
}

#[test]
fn an_octet_not_counted_spoils_the_next_command() {
    let wire = "MAIL FROM:<>~RCPT TO:<x>~BDAT 2 LAST~b~NOOP~";
    let want = "220 smtp-sink ESMTP~250 2.1.0 Ok~250 2.1.5 Ok~250 2.0.0 Ok~500 5.5.1 Error: unknown command~";
    check(&chunking(), wire, want);
}

#[test]
fn bdat_out_of_order_swallows_its_octets() {
    let wire = "BDAT 4 LAST~abcdMAIL FROM:<>~RCPT TO:<x>~BDAT 3~abcDATA~RSET~";
    let want = "220 smtp-sink ESMTP~503 5.5.1 Error: need RCPT command~250 2.1.0 Ok~250 2.1.5 Ok~250 2.0.0 Ok~\
        503 5.5.1 Error: need RCPT command~250 2.1.0 Ok~";
    assert_eq!(check(&chunking(), wire, want).2.messages, 0);
}

#[test]
fn without_chunking_bdat_is_no_command() {
    check(&Options::default(), "BDAT 3 LAST~", "220 smtp-sink ESMTP~500 5.5.1 Error: unknown command~");
}

#[test]
fn commands_come_in_order_and_end_at_crlf() {
    let wire = "RCPT TO:<x>~DATA~MAIL FROM:<>~MAIL FROM:<>~DATA~\nNOOP\n~";
    let want = "220 smtp-sink ESMTP~503 5.5.1 Error: need MAIL command~503 5.5.1 Error: need RCPT command~\
        250 2.1.0 Ok~503 5.5.1 Error: nested MAIL command~503 5.5.1 Error: need RCPT command~\
        500 5.5.1 Error: unknown command~";
    check(&Options::default(), wire, want);
}

#[test]
fn a_fault_takes_the_place_of_the_reply() {
    const HEAD: &str = "220 smtp-sink ESMTP~250 2.1.0 Ok~";
    const WIRE: &str = "MAIL FROM:<>~RCPT TO:<x>~DATA~a~.~NOOP~";
    let go = "250 2.1.5 Ok~354 End data with <CR><LF>.<CR><LF>~";
    for (step, fault, want, then) in [
        (
            Step::Rcpt,
            Fault::Code(451),
            format!(
                "{HEAD}451 4.3.0 Error: command failed~503 5.5.1 Error: need RCPT command~\
            500 5.5.1 Error: unknown command~500 5.5.1 Error: unknown command~250 2.0.0 Ok~"
            ),
            Then::Read,
        ),
        (
            Step::Dot,
            Fault::Code(554),
            format!("{HEAD}{go}554 5.3.0 Error: command failed~250 2.0.0 Ok~"),
            Then::Read,
        ),
        (Step::Dot, Fault::Drop, format!("{HEAD}{go}"), Then::Close),
        (Step::Dot, Fault::Hang, format!("{HEAD}{go}"), Then::Hang),
        (Step::Body, Fault::Code(452), format!("{HEAD}{go}452 4.3.0 Error: command failed~"), Then::Close),
        (
            Step::Data,
            Fault::Goodbye,
            format!("{HEAD}250 2.1.5 Ok~421 4.0.0 Server closing connection~"),
            Then::Close,
        ),
        (Step::Connect, Fault::Code(421), "421 4.0.0 Server closing connection~".to_owned(), Then::Close),
    ] {
        let heard = check(&failing(step, fault), WIRE, &want);
        assert_eq!((heard.1, heard.2.messages, heard.3.len(), heard.2.faults), (then, 0, 0, 1), "{step:?}");
    }
}

#[test]
fn a_failed_bdat_needs_rset() {
    let wire = "MAIL FROM:<>~RCPT TO:<x>~BDAT 1~aBDAT 1 LAST~aRSET~MAIL FROM:<>~";
    let want = "220 smtp-sink ESMTP~250 2.1.0 Ok~250 2.1.5 Ok~452 4.3.0 Error: command failed~\
        503 5.5.1 Error: need RSET command~250 2.1.0 Ok~250 2.1.0 Ok~";
    check(&failing(Step::Bdat, Fault::Code(452)), wire, want);
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let mut options = Options { protocol: Protocol::Lmtp, ..Options::default() };
    options.announce.enhanced_status_codes = false;
    let wire = "EHLO x~MAIL FROM:<>~RCPT TO:<x>~RCPT TO:<y>~DATA~.~";
    let head = "220 smtp-sink ESMTP~500 Error: unknown command~250 Ok~250 Ok~250 Ok~354 End data with <CR><LF>.<CR><LF>~";
    assert_eq!(check(&options, wire, &format!("{head}250 Ok~250 Ok~")).2.messages, 1);
    options.rules.fail(Step::Dot, Fault::Soft, 100);
    let refused = "450 4.3.0 Error: command failed~".repeat(2);
    assert_eq!(check(&options, wire, &format!("{head}{refused}")).2.refused, 1);
}

#[test]
fn a_wait_changes_no_word() {
    let wire = "EHLO x~MAIL FROM:<>~RCPT TO:<x>~BDAT 1 LAST~aMAIL FROM:<>~RCPT TO:<x>~DATA~.~QUIT~";
    let want = talk(&chunking(), &[wire.replace('~', "\r\n").as_bytes()]);
    let mut options = chunking();
    options.read_delay = Some(std::time::Duration::from_secs(1));
    for step in [
        Step::Connect,
        Step::Ehlo,
        Step::Mail,
        Step::Rcpt,
        Step::Bdat,
        Step::Data,
        Step::Body,
        Step::Dot,
        Step::Quit,
    ] {
        options.rules.delay(step, Delay { base: std::time::Duration::from_secs(1), odds: 50 });
    }
    assert_eq!(check(&options, wire, &want.0), want);
}

#[test]
fn who_is_held_is_answered_when_the_rules_change() {
    let wire = "EHLO x~MAIL FROM:<>~RCPT TO:<x>~DATA~.~QUIT~".replace('~', "\r\n");
    let want = talk(&chunking(), &[wire.as_bytes()]).0;
    for step in [Step::Connect, Step::Ehlo, Step::Mail, Step::Rcpt, Step::Data, Step::Dot, Step::Quit] {
        let mut options = chunking();
        options.rules.change(Change::Hold(step));
        let (mut books, _kept) = books(&options);
        let mut dialogue = Dialogue::new("127.0.0.1:1".parse().unwrap(), &books);
        let mut out = Vec::new();
        let (mut used, then) = dialogue.receive(wire.as_bytes(), &mut books, &mut out);
        assert_eq!(then, Then::Hold, "{step:?}");
        // Another change does not let it go.
        books.options.rules.change(Change::Fail(Step::Vrfy, Fault::Drop));
        assert_eq!(dialogue.receive(&wire.as_bytes()[used..], &mut books, &mut out), (0, Then::Hold));
        books.options.rules.change(Change::Well(step));
        used += dialogue.receive(&wire.as_bytes()[used..], &mut books, &mut out).0;
        assert_eq!((used, String::from_utf8(out).unwrap().replace("\r\n", "~")), (wire.len(), want.clone()));
    }
}

#[test]
fn a_message_takes_its_place_in_the_queue() {
    let second = std::time::Duration::from_secs(1);
    let mut options = chunking();
    options.capacity = Some(Capacity { places: 1, service: second });
    let (mut books, _kept) = books(&options);
    let mut waits = Vec::new();
    for content in ["DATA\r\n.\r\n", "BDAT 1 LAST\r\na", "DATA\r\n.\r\n"] {
        let mut dialogue = Dialogue::new("127.0.0.1:1".parse().unwrap(), &books);
        let wire = format!("MAIL FROM:<>\r\nRCPT TO:<x>\r\n{content}");
        waits.push(dialogue.receive(wire.as_bytes(), &mut books, &mut Vec::new()).1);
    }
    assert_eq!(waits, [1, 2, 3].map(|n| Then::Wait(second * n)));
}

#[test]
fn a_message_that_cannot_be_stored_is_not_acknowledged() {
    let options = Options { dump: Some(super::Dump::Each("/proc/no/such".into())), ..Options::default() };
    let wire = "MAIL FROM:<>~RCPT TO:<x>~DATA~.~";
    let (mut books, _kept) = books(&options);
    let mut dialogue = Dialogue::new("127.0.0.1:1".parse().unwrap(), &books);
    let mut out = Vec::new();
    dialogue.receive(wire.replace('~', "\r\n").as_bytes(), &mut books, &mut out);
    assert!(out.ends_with(b"451 4.3.0 Error: message not stored\r\n"));
    assert_eq!(books.counters.messages.load(Ordering::Relaxed), 0);
}

#[test]
fn a_line_has_a_bound() {
    let (heard, then, ..) = talk(&Options::default(), &[&[b'x'; 1 << 16]]);
    assert_eq!((heard.as_str(), then), ("220 smtp-sink ESMTP~500 5.5.2 Error: line too long~", Then::Close));
}
