//! Checks 17 to 21 and 23: what next hops and clients do wrong, and what may never follow from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::{
    At, Client, Do, Heard, PATIENCE, Plan, Proxy, Setup, Step, Upstream, eventually, in_parallel, warm,
};

/// Each step of the next hop may take so long.
const TIMEOUT: Duration = Duration::from_secs(1);
/// What a reply may take beyond it; the check says 1 s, the rest is for a machine under test.
const SLACK: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Transient,
    Permanent,
    Closing,
    Garbage,
    WrongCode,
    SplitReply,
    Silence,
    Fin,
    Reset,
    /// One positive reply more than is due, and before it is due.
    Early,
    /// The same, and RST behind it: for check 18.
    Lie,
}

const FAULTS: [Fault; 10] = [
    Fault::Transient,
    Fault::Permanent,
    Fault::Closing,
    Fault::Garbage,
    Fault::WrongCode,
    Fault::SplitReply,
    Fault::Silence,
    Fault::Fin,
    Fault::Reset,
    Fault::Early,
];

/// Steps toward a next hop without CHUNKING, and those that are other with it.
const STEPS: [(bool, At); 11] = [
    (false, At::Connect),
    (false, At::Ehlo),
    (false, At::Xforward),
    (false, At::Mail),
    (false, At::Rcpt),
    (false, At::Data),
    (false, At::Body),
    (false, At::Dot),
    (true, At::Body),
    (true, At::BdatLast),
    (true, At::Rset),
];

impl Fault {
    fn at(self, at: At) -> Do {
        let usual = usual(at);
        match self {
            Self::Transient => Do::say("450 4.3.0 not now"),
            Self::Permanent => Do::say("550 5.7.1 never"),
            Self::Closing => Do::SayAndFin(b"421 4.3.2 closing\r\n".to_vec()),
            Self::Garbage => Do::Say(b"\0\xff 2garbage\r\n".to_vec()),
            Self::WrongCode => Do::say(if at == At::Data { "250 2.0.0 ok" } else { "354 go" }),
            Self::SplitReply if at == At::Body => Do::Usual,
            Self::SplitReply => Do::SayInPieces(usual),
            Self::Lie => Do::SayAndReset(b"250 2.0.0 queued\r\n".to_vec()),
            Self::Silence => Do::Silence,
            Self::Fin => Do::SayAndFin(Vec::new()),
            Self::Reset => Do::SayAndReset(Vec::new()),
            Self::Early => Do::Say([&usual[..], b"250 2.0.0 early\r\n"].concat()),
        }
    }
}

fn usual(at: At) -> Vec<u8> {
    let text = match at {
        At::Connect => "220 hop.example ESMTP\r\n",
        At::Ehlo => {
            "250-hop.example\r\n250-PIPELINING\r\n250-XFORWARD NAME ADDR PORT HELO PROTO\r\n250 SIZE\r\n"
        }
        At::Data => "354 go\r\n",
        // Nothing is due here.
        At::Body => "",
        _ => "250 2.0.0 ok\r\n",
    };
    text.into()
}

/// When the fault happens.
const NEVER: u8 = 0;
const ONCE: u8 = 1;
const ALWAYS: u8 = 2;

/// A next hop with a fault that can be armed, and the proxy in front of it.
struct Point {
    upstream: Upstream,
    proxy: Proxy,
    armed: Arc<AtomicU8>,
}

impl Point {
    fn new(chunking: bool, at: At, fault: Fault) -> Self {
        let armed = Arc::new(AtomicU8::new(NEVER));
        let held = Arc::clone(&armed);
        let script = move |step: Step<'_>| {
            if step.at != at || held.load(Ordering::Acquire) == NEVER {
                return Do::Usual;
            }
            // Once is over with this; always is not.
            let _ = held.compare_exchange(ONCE, NEVER, Ordering::AcqRel, Ordering::Acquire);
            fault.at(at)
        };
        let mut extensions = vec!["PIPELINING", "8BITMIME", "XFORWARD NAME ADDR PORT HELO PROTO"];
        extensions.extend(chunking.then_some("CHUNKING"));
        let upstream = Plan::with(&extensions).script(script).start();
        // A fault of the start needs a connection that starts.
        let messages = if matches!(at, At::Connect | At::Ehlo) { 1 } else { 100 };
        let proxy = Setup::toward(upstream.address)
            .workers("window = 0")
            .upstream("identity = \"xforward\"")
            .upstream(&format!("pool = {{ warm = 1, max = 4, messages = {messages}, wait = \"1s\" }}"))
            .upstream("timeout = { connect = \"1s\", reply = \"1s\", end = \"1s\" }")
            .start();
        Self { upstream, proxy, armed }
    }

    /// A message whose second half is sent when the first one has arrived. The final word, and how
    /// long the longest wait for one was.
    fn attempt(&self, recipient: &str) -> (Heard, Duration) {
        let mut client = self.proxy.session();
        client.patience = PATIENCE;
        let mut longest = Duration::ZERO;
        for (command, want) in
            [("MAIL FROM:<a@client.example>", 250), (&format!("RCPT TO:<{recipient}>"), 250), ("DATA", 354)]
        {
            client.send(format!("{command}\r\n").as_bytes());
            let begun = Instant::now();
            let heard = client.hear();
            longest = longest.max(begun.elapsed());
            if heard.code() != Some(want) {
                return (heard, longest);
            }
        }
        let bodies = self.upstream.seen().bodies;
        // So much that it goes up before the rest is here, whatever the framing.
        client.try_send(&b"first half\r\n".repeat(8000));
        // Without a next hop nothing arrives: then nobody waits for it either.
        eventually(Duration::from_millis(100), || self.upstream.seen().bodies > bodies);
        client.try_send(b"second half\r\n.\r\n");
        let begun = Instant::now();
        let heard = client.hear();
        (heard, longest.max(begun.elapsed()))
    }

    fn has(&self, recipient: &str) -> bool {
        let key = format!("RCPT TO:<{recipient}>");
        self.upstream.seen().messages.iter().any(|message| message.recipients() == [&key])
    }
}

/// Whether the client may hear 5xx: only where the next hop itself said so to this message.
fn may_refuse(at: At, fault: Fault) -> bool {
    fault == Fault::Permanent && !matches!(at, At::Connect | At::Ehlo | At::Xforward | At::Rset)
}

fn check_fault(chunking: bool, at: At, fault: Fault, mode: u8) {
    let name = format!("{at:?} {fault:?} chunking {chunking} mode {mode}");
    let mut point = Point::new(chunking, at, fault);
    let (first, _) = point.attempt("first@hop.example");
    assert_eq!(first.code(), Some(250), "{name}: without the fault");
    point.armed.store(mode, Ordering::Release);
    let (heard, took) = point.attempt("second@hop.example");
    let arrived = point.has("second@hop.example");
    match heard.code() {
        Some(250) => assert!(arrived, "{name}: a false acknowledgement"),
        Some(400..500) | None => {}
        Some(500..600) => assert!(may_refuse(at, fault), "{name}: {heard:?}"),
        _ => panic!("{name}: {heard:?}"),
    }
    assert_ne!(heard, Heard::Nothing, "{name}");
    if fault == Fault::SplitReply {
        assert_eq!(heard.code(), Some(250), "{name}");
    }
    if may_refuse(at, fault) {
        assert!(heard.code().is_some_and(|code| code >= 500), "{name}: {heard:?}");
    }
    assert!(took < TIMEOUT + SLACK, "{name}: {took:?}");
    point.armed.store(NEVER, Ordering::Release);
    // A next hop that failed may be left alone for a moment.
    let mut last = Heard::Nothing;
    let passed = eventually(Duration::from_secs(8), || {
        last = point.attempt("third@hop.example").0;
        last.code() == Some(250)
    });
    assert!(passed && point.has("third@hop.example"), "{name}: the next message: {last:?}");
    let messages = point.upstream.messages();
    let copies = messages.iter().filter(|message| message.recipients()[0].contains("second"));
    assert!(copies.count() <= 1, "{name}: a duplicate");
    point.proxy.assert_well();
}

#[test]
fn check_17_upstream_faults() {
    let points: Vec<_> = STEPS
        .into_iter()
        .flat_map(|step| FAULTS.map(|fault| (step, fault)))
        .flat_map(|point| [ONCE, ALWAYS].map(|mode| (point, mode)))
        .collect();
    assert!(points.len() >= 2 * 91);
    in_parallel(12, points.len(), |index| {
        let (((chunking, at), fault), mode) = points[index];
        check_fault(chunking, at, fault, mode);
    });
}

/// The lie comes before the end of content was sent: afterwards nobody could tell it from the truth.
#[test]
fn check_18_premature_250_then_reset() {
    for chunking in [false, true] {
        let point = Point::new(chunking, At::Body, Fault::Lie);
        point.armed.store(ALWAYS, Ordering::Release);
        for _ in 0..20 {
            let (heard, _) = point.attempt("b@hop.example");
            assert!(matches!(heard.code(), Some(400..500) | None), "chunking {chunking}: {heard:?}");
        }
        assert_eq!(point.upstream.messages(), []);
    }
}

#[test]
fn check_19_two_replies_to_one_end() {
    for chunking in [true, false] {
        let plan = if chunking { Plan::bdat() } else { Plan::data() };
        let script = |step: Step<'_>| match (step.at, step.transaction) {
            (At::Dot | At::BdatLast, 0) => Do::Say(b"250 2.0.0 ok\r\n250 2.0.0 stale\r\n".to_vec()),
            (At::Dot | At::BdatLast, _) => Do::SayAndFin(Vec::new()),
            _ => Do::Usual,
        };
        let upstream = plan.script(script).start();
        let proxy = Setup::toward(upstream.address).start();
        for number in 1..=20 {
            let heard = proxy.session().attempt("b@hop.example", b"Subject: x\r\n\r\nbody\r\n");
            assert_eq!(heard.code(), Some(250), "message {number}");
            let seen = upstream.seen();
            assert_eq!(seen.messages.len(), number, "a false acknowledgement");
            let sessions = seen.messages.iter().map(|message| message.session);
            let sessions: std::collections::BTreeSet<_> = sessions.collect();
            assert_eq!(sessions.len(), number, "a connection with a stale reply was used again");
        }
    }
}

#[test]
fn check_20_idle_race() {
    /// The check asks for 1,000 at gaps around one second.
    const MESSAGES: usize = 60;
    const CLIENTS: usize = 8;
    const IDLE: Duration = Duration::from_millis(60);
    in_parallel(CLIENTS, CLIENTS, |seed| {
        let mut random = fastrand::Rng::with_seed(seed as u64);
        let mut plan = if seed % 2 == 0 { Plan::bdat() } else { Plan::data() };
        plan.idle = Some(IDLE);
        let upstream = plan.start();
        let proxy = Setup::toward(upstream.address).upstream("pool = { warm = 1, max = 4 }").start();
        let mut client = proxy.session();
        for number in 0..MESSAGES {
            let heard = client.attempt("b@hop.example", b"Subject: x\r\n\r\nbody\r\n");
            assert_eq!(heard.code(), Some(250), "seed {seed}, message {number}: {heard:?}");
            std::thread::sleep(IDLE * random.u32(900..1100) / 1000);
        }
        assert_eq!(upstream.messages().len(), MESSAGES);
    });
}

#[derive(Clone, Copy, Debug)]
enum Departure {
    Fin,
    HalfClose,
    Reset,
}

#[test]
fn check_21_clients_that_die_in_the_body() {
    for chunking in [false, true] {
        let upstream = if chunking { Plan::bdat() } else { Plan::data() }.start();
        let proxy = Setup::toward(upstream.address).workers("window = 0").start();
        warm(&proxy);
        let (rss, fds) = (proxy.rss_bytes(), proxy.descriptors());
        for departure in [Departure::Fin, Departure::HalfClose, Departure::Reset] {
            upstream.forget();
            die_in_the_body(&upstream, &proxy, departure, chunking);
            assert_eq!(proxy.session().message("b@hop.example", b"x\r\n").code, 250, "{departure:?}");
        }
        assert!(eventually(PATIENCE, || proxy.descriptors() <= fds), "{} of {fds}", proxy.descriptors());
        // Nothing may add up; buffers for content that are kept for the next are 16 MiB at most.
        let growth = || proxy.rss_bytes().saturating_sub(rss);
        assert!(eventually(PATIENCE, || growth() < 24 << 20), "{} bytes more", growth());
    }
}

fn die_in_the_body(upstream: &Upstream, proxy: &Proxy, departure: Departure, chunking: bool) {
    /// Enough for chunks to go up.
    const HALF: usize = 300_000;
    const TIMES: usize = 10;
    for died in 1..=TIMES {
        let mut client = proxy.session();
        let bodies = upstream.seen().bodies;
        client.envelope("dying@client.example", "b@hop.example");
        assert_eq!(client.command("DATA").code, 354);
        client.send(&b"0123456789abc\r\n".repeat(HALF / 15));
        drop(upstream.await_seen(|seen| seen.bodies > bodies));
        match departure {
            Departure::Fin => drop(client),
            Departure::HalfClose => {
                client.half_close();
                assert!(client.hear_to_the_end(PATIENCE).is_some(), "left hanging");
            }
            Departure::Reset => client.reset(),
        }
        if !chunking {
            // The dot may never come: only closing cancels (RFC 5321 §4.1.1.10).
            drop(upstream.await_seen(|seen| seen.aborted == died));
        }
    }
    assert_eq!(upstream.messages(), [], "{departure:?}");
}

#[test]
fn check_22_refused_at_the_end_after_it_streamed() {
    let loops = b"Received: from a by b; now\r\n".repeat(60);
    let content = [&loops[..], b"\r\n", &b"0123456789abc\r\n".repeat(700_000)[..]].concat();
    for plan in [Plan::bdat(), Plan::data()] {
        let upstream = plan.start();
        let proxy = Setup::toward(upstream.address).start();
        for recipients in [1, 2] {
            let mut client = proxy.session();
            assert_eq!(client.command("MAIL FROM:<a@client.example>").code, 250);
            for number in 0..recipients {
                assert_eq!(client.command(&format!("RCPT TO:<{number}@hop.example>")).code, 250);
            }
            assert_eq!(client.command("DATA").code, 354);
            client.try_send(&content);
            client.try_send(b".\r\n");
            let reply = client.reply();
            assert_eq!(reply.text().get(..9), Some("554 5.4.6"), "{reply:?}");
            assert_eq!(upstream.messages(), [], "the end of content went up");
        }
    }
}

#[test]
fn check_23_recipients_of_different_next_hops() {
    let accepting = Plan::bdat().start();
    let later = |step: Step<'_>| match step.at {
        At::BdatLast | At::Dot => Do::say("451 4.3.0 later"),
        _ => Do::Usual,
    };
    let deferring = Plan::bdat().script(later).start();
    let routes = [("a.example", "a", accepting.address), ("b.example", "b", deferring.address)];
    let proxy = Setup::routed(&routes).start();
    let mut client = proxy.session();
    client.envelope("a@client.example", "x@a.example");
    let reply = client.command("RCPT TO:<x@b.example>");
    assert_eq!((reply.code, reply.lines[0].get(..5)), (452, Some("4.5.3")), "{reply:?}");
    assert_eq!(client.command("BDAT 3 LAST\r\nx").code, 250);
    for _ in 0..2 {
        client.envelope("a@client.example", "x@b.example");
        assert_eq!(client.command("BDAT 3 LAST\r\nx").code, 451);
    }
    assert_eq!(client.command("RSET").code, 250);
    assert_eq!(client.command("MAIL FROM:<a@client.example>").code, 250);
    assert_eq!(client.command("RCPT TO:<x@c.example>").code, 550, "no route");
    assert_eq!((accepting.messages().len(), deferring.messages().len()), (1, 0));
}

#[test]
fn check_17_eight_sessions_through_one_faulty_next_hop() {
    /// Sessions at a time, and messages of each.
    const SESSIONS: usize = 8;
    const MESSAGES: usize = 40;
    let script = |step: Step<'_>| {
        let at = [At::Mail, At::Rcpt, At::Data, At::Body, At::Dot];
        let number = step.session * 7 + step.transaction;
        if number.is_multiple_of(3) && step.at == at[number % at.len()] {
            FAULTS[number % FAULTS.len()].at(step.at)
        } else {
            Do::Usual
        }
    };
    let upstream = Plan::data().script(script).start();
    let mut proxy = Setup::toward(upstream.address)
        .workers("window = 0")
        .upstream("timeout = { connect = \"1s\", reply = \"300ms\", end = \"300ms\" }")
        .start();
    in_parallel(SESSIONS, SESSIONS, |session| {
        let mut client: Client = proxy.session();
        for number in 0..MESSAGES {
            let recipient = format!("{session}-{number}@hop.example");
            let heard = client.attempt(&recipient, b"Subject: x\r\n\r\nbody\r\n");
            let key = format!("RCPT TO:<{recipient}>");
            let arrived = upstream.seen().messages.iter().any(|message| message.recipients() == [&key]);
            assert!(arrived || heard.code() != Some(250), "{recipient}: a false acknowledgement");
            assert_ne!(heard, Heard::Nothing, "{recipient}");
            client = proxy.session();
        }
    });
    proxy.assert_well();
}
