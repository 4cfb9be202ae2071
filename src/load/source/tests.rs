//! The source's dialogue as rows, and both tools against each other over a real ring.

use std::sync::mpsc::channel;

use super::dialogue::{Dialogue, Plan, Progress, Step};
use super::message::Bag;
use super::replies::{Line, Replies};
use super::{Content, Options, Report, run};
use crate::load::sink::{self, Announce, Dump, Fault, Framing, Kept, Protocol};
use crate::reactor::clock;
use crate::reactor::uring::{Uring, UringConfig};

fn options() -> Options {
    let mut options = Options::new("127.0.0.1:25".parse().unwrap());
    (options.hostname, options.sender, options.recipient) =
        ("me".to_owned(), "f@me".to_owned(), "t@me".to_owned());
    options.old = true;
    options
}

/// One message with the replies of `server` (`~` is CRLF): what was said, and what became of it.
fn talk(options: &Options, pieces: &[&[u8]]) -> (String, Vec<Step>, Vec<Progress>) {
    let bag = Bag::open(options, "now", 7).unwrap();
    let mut plan = Plan { options: options.clone(), bag, serial: 0, rng: fastrand::Rng::with_seed(7) };
    let (mut dialogue, mut replies) = (Dialogue::new(), Replies::default());
    let (mut out, mut failed, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for mut piece in pieces.iter().copied() {
        while !piece.is_empty() {
            let (consumed, line) = replies.read(piece);
            piece = &piece[consumed..];
            if line.is_some() {
                dialogue.hear_more(replies.line());
            }
            let Some(Line::Last(code)) = line else { continue };
            let heard = dialogue.hear(code, &mut plan, &mut out);
            failed.extend(heard.failed);
            match heard.progress {
                Progress::More => {}
                Progress::Ready => dialogue.begin(0, &mut plan, &mut out),
                end => ends.push(end),
            }
        }
    }
    (String::from_utf8(out).unwrap().replace("\r\n", "~"), failed, ends)
}

#[track_caller]
fn check(options: &Options, server: &str, said: &str, failed: &[Step], end: Progress) {
    let server = server.replace('~', "\r\n").into_bytes();
    for cut in 0..=server.len() {
        let got = talk(options, &[&server[..cut], &server[cut..]]);
        assert_eq!(got, (said.to_owned(), failed.to_vec(), vec![end]), "cut at {cut}");
    }
}

const BODY: &str = "A line of mail: 1.~A line of mail: 2.~A line of mail: 3.~";

#[test]
fn lock_step_asks_one_thing_at_a_time() {
    let mut options = options();
    let said = format!("MAIL FROM:<f@me>~RCPT TO:<2t@me>~RCPT TO:<t@me>~DATA~{BODY}.~");
    options.recipients = 2;
    check(&options, "220-x~220 y~250 ~250~250 a~354 go~250 ok~", &said, &[], Progress::Delivered);
    check(&options, "220 y~250~550 no~250~354 go~250 ok~", &said, &[Step::Rcpt], Progress::Delivered);
    check(&options, "220 y~250~250~250~354 go~450 later~", &said, &[Step::Content], Progress::Refused);
    check(&options, "220 y~450~250~", "MAIL FROM:<f@me>~RSET~", &[Step::Mail], Progress::Refused);
    let refused = "MAIL FROM:<f@me>~RCPT TO:<2t@me>~RCPT TO:<t@me>~RSET~";
    check(&options, "220 y~250~550 a~551 b~250~", refused, &[Step::Rcpt, Step::Rcpt], Progress::Refused);
    check(&options, "220 y~250~421 bye~", "MAIL FROM:<f@me>~RCPT TO:<2t@me>~", &[Step::Rcpt], Progress::Over);
    check(&options, "554 no~", "", &[Step::Greeting], Progress::Over);
}

#[test]
fn a_pipelined_group_is_one_write() {
    let mut options = options();
    (options.old, options.pipeline) = (false, true);
    options.content = Content::File("/dev/null".into());
    let group = "EHLO me~MAIL FROM:<f@me>~RCPT TO:<t@me>~DATA~";
    let hello = "220 x~250-x~250-PIPELINING~250 CHUNKING~";
    check(&options, &format!("{hello}250~250~354~250~"), &format!("{group}.~"), &[], Progress::Delivered);
    let refused = format!("{group}RSET~");
    check(&options, &format!("{hello}550~503~503~250~"), &refused, &[Step::Mail], Progress::Refused);
    check(&options, &format!("{hello}250~550~554~250~"), &refused, &[Step::Rcpt], Progress::Refused);
    check(&options, "220 x~250-x~250 DSN~", "EHLO me~", &[Step::Hello], Progress::Over);
    options.bdat = true;
    let group = "EHLO me~MAIL FROM:<f@me>~RCPT TO:<t@me>~BDAT 0 LAST~";
    check(&options, &format!("{hello}250~250~250~"), group, &[], Progress::Delivered);
    check(
        &options,
        &format!("{hello}250~250~552~250~"),
        &format!("{group}RSET~"),
        &[Step::Content],
        Progress::Refused,
    );
}

#[test]
fn xclient_begins_the_session_anew() {
    let mut options = options();
    (options.old, options.content) = (false, Content::File("/dev/null".into()));
    options.xclient = Some(super::Addresses::new("2001:db8::1/128".parse().unwrap(), false));
    let hello = "220 x~250-x~250 XCLIENT NAME ADDR~220 x~250-x~250 XCLIENT NAME ADDR~";
    let said = "EHLO me~XCLIENT ADDR=IPV6:2001:db8::1~EHLO me~MAIL FROM:<f@me>~RCPT TO:<t@me>~DATA~.~";
    check(&options, &format!("{hello}250~250~354~250~"), said, &[], Progress::Delivered);
    let refused = "EHLO me~XCLIENT ADDR=IPV6:2001:db8::1~";
    check(&options, "220 x~250 XCLIENT ADDR~550 no~", refused, &[Step::Xclient], Progress::Over);
    check(&options, "220 x~250 XCLIENTS~", "EHLO me~", &[Step::Hello], Progress::Over);
}

/// A sink and a source, joined by the kernel.
fn loopback(sink: sink::Options, change: impl FnOnce(&mut Options)) -> (Report, sink::Totals, Vec<Kept>) {
    let (keep, kept) = channel();
    let keep: sink::Keep = Box::new(move |message| keep.send(message).unwrap());
    let sink = sink::start(sink, Some(keep), "127.0.0.1:0".parse().unwrap()).unwrap();
    let mut options = Options::new(sink.address());
    change(&mut options);
    let report = run(options, Uring::new(UringConfig::default()).unwrap()).unwrap();
    let totals = sink.stop();
    (report, totals, kept.iter().collect())
}

fn chunking() -> sink::Options {
    sink::Options { announce: Announce { chunking: true, ..Announce::default() }, ..sink::Options::default() }
}

#[test]
fn what_is_sent_arrives() {
    for (keep_session, bdat, pipeline, lmtp, length) in [
        (false, false, false, false, 4096),
        (true, false, false, false, 1),
        (true, true, false, false, 4096),
        (true, false, true, false, 70_000),
        (false, true, true, false, 400_000),
        (true, false, false, true, 79),
    ] {
        let mut sink = chunking();
        sink.protocol = if lmtp { Protocol::Lmtp } else { Protocol::Esmtp };
        let (report, totals, kept) = loopback(sink, |options| {
            (options.sessions, options.messages, options.recipients) = (3, 10, 2);
            (options.keep_session, options.bdat, options.pipeline, options.lmtp) =
                (keep_session, bdat, pipeline, lmtp);
            options.content = Content::Length(length);
        });
        let connects = if keep_session { 3 } else { 10 };
        assert_eq!(
            (report.messages, report.failed, report.connects),
            (10, 0, connects),
            "{:?}",
            report.first_error
        );
        assert_eq!((totals.messages, totals.recipients, totals.quits, totals.lost), (10, 20, connects, 0));
        assert!(kept.iter().all(|message| (message.framing == Framing::Bdat) == bdat));
        assert!(
            kept.iter().all(|message| message.content.len() > length && message.content.ends_with(b"X\r\n"))
        );
        assert_eq!((report.latency_us.count, report.first_message_us.count), (10, connects));
    }
}

#[test]
fn errors_end_the_run_or_are_counted() {
    let failing = || {
        let mut sink = chunking();
        sink.rules.fail(sink::Step::Rcpt, Fault::Code(452), 100);
        sink
    };
    let (report, ..) = loopback(failing(), |options| options.messages = 5);
    assert_eq!((report.aborted, report.messages), (true, 0));
    assert_eq!(report.first_error.as_deref(), Some("recipient rejected: 452 4.3.0 Error: command failed"));
    for (keep_session, pipeline) in [(false, false), (true, false), (true, true)] {
        let (report, totals, _) = loopback(failing(), |options| {
            (options.messages, options.keep_going) = (5, true);
            (options.keep_session, options.pipeline) = (keep_session, pipeline);
        });
        assert_eq!((report.aborted, report.failed, report.errors["452"]), (false, 5, 5));
        assert_eq!((totals.rsets, totals.lost, totals.messages), (5, 0, 0));
    }
}

#[test]
fn what_is_planned_is_sent_whatever_comes_of_it() {
    for keep_session in [false, true] {
        let mut sink = chunking();
        sink.rules.fail(sink::Step::Rcpt, Fault::Code(452), 50);
        sink.seed = Some(7);
        let (report, totals, kept) = loopback(sink, |options| {
            (options.sessions, options.messages, options.rate) = (4, 200, Some(2000.0));
            (options.keep_going, options.keep_session) = (true, keep_session);
            options.clients = Some(super::Addresses::new("127.1.0.0/29".parse().unwrap(), false));
            options.series = Some(std::time::Duration::from_millis(10));
        });
        assert_eq!((report.planned, report.unstarted), (200, 0));
        assert_eq!((report.messages + report.deferred, report.failed), (200, report.deferred));
        assert_eq!((report.messages, report.errors["452"]), (totals.messages, report.deferred));
        assert!(report.messages > 20 && report.deferred > 20, "{report:?}");
        assert_eq!((report.latency_us.count, report.refused_us.count), (report.messages, report.deferred));
        assert_eq!((report.behind_us.count, report.connects), (200, if keep_session { 4 } else { 200 }));
        let sum = |of: fn(&super::Interval) -> u64| report.series.iter().map(of).sum::<u64>();
        assert_eq!((sum(|one| one.planned), sum(|one| one.begun)), (200, 200));
        assert_eq!((sum(|one| one.accepted), sum(|one| one.deferred)), (report.messages, report.deferred));
        let from: std::collections::HashSet<_> = kept.iter().map(|message| message.peer.ip()).collect();
        assert_eq!(from.len(), if keep_session { 4 } else { 6 }, "{from:?}");
    }
}

/// One session, and answers that never come: what is planned meanwhile is told as not begun.
#[test]
fn what_found_no_session_is_told() {
    let mut sink = chunking();
    sink.rules.fail(sink::Step::Dot, Fault::Hang, 100);
    let (report, totals, _) = loopback(sink, |options| {
        (options.rate, options.lasts) = (Some(1000.0), Some(std::time::Duration::from_millis(100)));
        (options.messages, options.keep_going) = (u64::MAX, true);
        options.timeout = std::time::Duration::from_millis(200);
    });
    assert_eq!((report.planned, report.messages, report.unstarted), (100, 0, 99));
    assert_eq!((report.failed, report.deferred, report.errors["timeout"], totals.messages), (1, 0, 1, 0));
}

#[test]
fn a_closed_loop_ends_by_time() {
    let (report, totals, _) = loopback(chunking(), |options| {
        options.lasts = Some(std::time::Duration::from_millis(50));
        (options.sessions, options.messages, options.keep_session) = (3, u64::MAX, true);
    });
    assert!(report.messages > 0 && report.failed == 0, "{report:?}");
    assert_eq!((report.messages, report.planned, totals.quits), (totals.messages, 0, 3));
}

#[test]
fn a_proxy_header_goes_before_all_else() {
    let mut session = super::Session::new(1);
    for (header, said) in [("head", "EHLO"), ("", "MAIL"), ("", "")] {
        session.records.extend_from_slice(header.as_bytes());
        session.out.extend_from_slice(said.as_bytes());
        assert_eq!(super::secure::sealed(&mut session), format!("{header}{said}").as_bytes());
        assert!(session.records.is_empty() && session.out.is_empty());
    }
}

#[test]
fn lost_connections_are_made_again() {
    let mut sink = chunking();
    sink.rules.fail(sink::Step::Dot, Fault::Drop, 100);
    let (report, totals, _) = loopback(sink, |options| {
        (options.messages, options.keep_going, options.keep_session) = (5, true, true);
    });
    assert_eq!((report.failed, report.connects, report.errors["lost"]), (5, 5, 5));
    assert_eq!((totals.connects, totals.refused), (5, 5));
}

/// What a plan takes away it gives back: nobody is left behind, and nobody gets in meanwhile.
#[test]
fn a_next_hop_falls_silent_and_recovers() {
    let planned = |plan| {
        let mut sink = chunking();
        sink.plan = sink::Plan::parse(plan).unwrap();
        loopback(sink, |options| {
            (options.messages, options.sessions, options.connect_tries) = (8, 4, 3);
            (options.keep_session, options.keep_going) = (true, true);
        })
    };
    let (report, totals, _) = planned("0 dot=hang\n0.05 dot=30ms\n0.1 dot=ok");
    assert_eq!((report.messages, report.failed, totals.messages), (8, 0, 8));
    let (report, totals, _) = planned("0 refuse");
    assert_eq!((report.messages, report.failed, totals.messages), (0, 8, 0));
    let (report, totals, _) = planned("0 refuse\n0 accept\n0 rcpt=451");
    assert_eq!((report.failed, totals.messages), (8, 0));
    let (report, ..) = planned("0 refuse\n0.01 accept");
    // Three tries are over soon; the connection that was taken away is told as lost.
    assert_eq!(report.messages + report.failed, 8);
}

/// A server that hangs sees that nobody waits any more: nothing of it stays in flight.
#[test]
fn who_gives_up_on_a_silent_next_hop_is_gone() {
    let plan = sink::Plan::parse("0 dot=hang").unwrap();
    let options = sink::Options { plan, ..chunking() };
    let sink = sink::start(options, None, "127.0.0.1:0".parse().unwrap()).unwrap();
    let mut options = Options::new(sink.address());
    (options.messages, options.sessions, options.keep_going) = (3, 3, true);
    options.timeout = std::time::Duration::from_millis(200);
    let report = run(options, Uring::new(UringConfig::default()).unwrap()).unwrap();
    assert_eq!((report.failed, report.errors["timeout"]), (3, 3));
    let patience = clock::instant() + std::time::Duration::from_secs(20);
    while sink.totals().lost < 3 && clock::instant() < patience {
        std::thread::yield_now();
    }
    assert_eq!((sink.totals().lost, sink.totals().messages), (3, 0));
}

#[test]
fn a_capacity_is_what_a_sink_can_do() {
    let mut sink = chunking();
    let service = std::time::Duration::from_millis(2);
    sink.capacity = Some(sink::Capacity { places: 2, service });
    let (report, totals, _) = loopback(sink, |options| {
        (options.messages, options.sessions, options.keep_session) = (20, 8, true);
    });
    assert_eq!((report.messages, totals.messages), (20, 20));
    assert!(report.seconds >= 0.02, "{}: ten times two at a time", report.seconds);
}

#[test]
fn a_refused_connect_is_tried_again_and_counted() {
    // A port that was free a moment ago, and nobody listens on.
    let address = sink::start(chunking(), None, "127.0.0.1:0".parse().unwrap()).unwrap().address();
    let mut options = Options::new(address);
    (options.connect_tries, options.messages, options.keep_going) = (3, 2, true);
    let report = run(options, Uring::new(UringConfig::default()).unwrap()).unwrap();
    assert_eq!((report.failed, report.connect_retries, report.errors["connect"]), (2, 4, 2));
}

#[test]
fn sessions_above_the_bound_wait_their_turn() {
    let (report, totals, _) = loopback(sink::Options { sessions_max: 1, ..chunking() }, |options| {
        (options.sessions, options.messages) = (5, 20);
    });
    assert_eq!((report.messages, totals.messages, totals.lost), (20, 20, 0));
}

#[test]
fn journals_and_dumps_name_what_was_acknowledged() {
    let directory = std::env::temp_dir().join(format!("postern-load-{}", std::process::id()));
    let path = |name: &str| directory.join(name);
    let mix = path("mix");
    std::fs::create_dir_all(&mix).unwrap();
    std::fs::write(mix.join("a"), "From x\nSubject: a\n\n.dot\n").unwrap();
    std::fs::write(mix.join("b"), "Subject: b\r\n\r\nbody").unwrap();
    let sink = sink::Options {
        journal: Some(path("sink")),
        dump: Some(Dump::All(path("dump/all"))),
        dump_start: b"--\n".to_vec(),
        ..chunking()
    };
    let (_, _, kept) = loopback(sink, |options| {
        (options.messages, options.sessions) = (6, 2);
        options.content = Content::Mix(mix);
        options.journal = Some(path("source"));
    });
    let journal = |name| {
        let text = std::fs::read_to_string(path(name)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(journal("sink"), journal("source"));
    assert_eq!(journal("sink").len(), 6);
    let dumped = std::fs::read_to_string(path("dump/all")).unwrap();
    assert_eq!(dumped.matches("--\nX-Client-Addr: 127.0.0.1\n").count(), 6);
    assert_eq!(dumped.matches("Subject: a\n\n.dot\n\n").count(), 3);
    assert_eq!(
        kept.iter().filter(|message| message.content.ends_with(b"Subject: b\r\n\r\nbody\r\n")).count(),
        3
    );
    std::fs::remove_dir_all(directory).unwrap();
}
