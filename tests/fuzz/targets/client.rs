//! A lying next hop: every reply goes to the command it answers, at any cut, or it is an error.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use postern::smtp::client::{Client, ClientError, Expect};
use postern::smtp::reply::Reply;
use postern::smtp::xforward::Identity;

#[derive(Arbitrary, Clone, Debug)]
enum Step {
    Ehlo,
    Helo,
    Rset,
    Xforward,
    Mail,
    Rcpt(u32),
    Data,
    EndOfData(bool),
    Bdat(u64, bool),
    Quit,
    Receive(Vec<u8>),
}

fuzz_target!(|steps: Vec<Step>| {
    let whole = run(&steps, false);
    let cut = run(&steps, true);
    assert_eq!(whole, cut);
});

type Answers = (Vec<(Expect, Reply)>, Option<ClientError>);

fn run(steps: &[Step], in_bytes: bool) -> Answers {
    let mut client = Client::new();
    let mut answers = Vec::new();
    for step in steps {
        let Step::Receive(input) = step else {
            send(&mut client, step);
            continue;
        };
        for mut piece in input.chunks(if in_bytes { 1 } else { input.len().max(1) }) {
            while !piece.is_empty() {
                let outstanding = client.outstanding();
                match client.receive(piece) {
                    Ok((consumed, answer)) => {
                        assert!(0 < consumed && consumed <= piece.len());
                        assert_eq!(client.outstanding(), outstanding - usize::from(answer.is_some()));
                        piece = &piece[consumed..];
                        proceed(&mut client);
                        answers.extend(answer);
                    }
                    Err(error) => return (answers, Some(error)),
                }
            }
        }
        assert!(!client.is_quiet() || client.outstanding() == 0);
    }
    (answers, None)
}

/// One command that waited for a reply goes out, if nothing else is unanswered.
fn proceed(client: &mut Client) {
    let (mut out, before) = (Vec::new(), client.outstanding());
    client.proceed(&mut out);
    assert!(out.is_empty() || before == 0);
    assert_eq!(client.outstanding(), before + count_lines(&out));
}

fn count_lines(out: &[u8]) -> usize {
    let lines = out.strip_prefix(b"\r\n").unwrap_or(out).split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| assert!(line.ends_with(b"\r\n"))).count()
}

fn send(client: &mut Client, step: &Step) {
    let (mut out, before) = (Vec::new(), client.outstanding());
    let commands = match step {
        Step::Ehlo => one(client.ehlo(b"mx.example.net", &mut out)),
        Step::Helo => one(client.helo(b"mx.example.net", &mut out)),
        Step::Rset => one(client.rset(&mut out)),
        Step::Xforward => client.xforward(&Identity::default(), &mut out),
        Step::Mail => one(client.mail(b"a@b", b"SIZE=1", &mut out)),
        Step::Rcpt(index) => one(client.rcpt(*index, b"c@d", b"", &mut out)),
        Step::Data => one(client.data(&mut out)),
        Step::EndOfData(ends_with_crlf) => one(client.end_of_data(*ends_with_crlf, &mut out)),
        Step::Bdat(octets, last) => one(client.bdat(*octets, *last, &mut out)),
        Step::Quit => one(client.quit(&mut out)),
        Step::Receive(_) => 0,
    };
    // Those that are not out wait for a reply: the next hop has not announced PIPELINING.
    let lines = count_lines(&out);
    assert!(lines <= commands);
    assert_eq!(client.outstanding(), before + lines);
}

const fn one((): ()) -> usize {
    1
}
