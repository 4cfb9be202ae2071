//! Checks 45 and 46, scaled for CI: who is slow goes, whatever it is slow in, while others are served; what open
//! files do not suffice for hears 421 or waits, and afterwards all is as before.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::tls::secured;
use super::{At, Client, Do, Heard, PATIENCE, Plan, Proxy, Setup, Step, eventually};

/// Of the check's 10,000 in all.
const TRICKLERS: usize = 20;
/// Between two octets; the check says 10 s, and has longer timeouts.
const DRIP: Duration = Duration::from_millis(500);
/// Handshakes and replies that are not read have as long as anybody has, whatever is configured.
const GONE: Duration = Duration::from_secs(60);

/// What comes before a phase, and the octets that are trickled in it, the last one again and again.
const PHASES: [(&str, &[&str], &[u8]); 6] = [
    ("a command", &[], b"NO"),
    ("a command in a transaction", &["MAIL FROM:<a@client.example>", "RCPT TO:<b@hop.example>"], b"D"),
    ("a handshake", &["STARTTLS"], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03"),
    ("DATA", &["MAIL FROM:<a@client.example>", "RCPT TO:<b@hop.example>", "DATA"], b"x"),
    ("BDAT", &["MAIL FROM:<a@client.example>", "RCPT TO:<b@hop.example>", "!BDAT 100000 LAST"], b"x"),
    ("a chunk that is swallowed", &["!BDAT 100000"], b"x"),
];

/// A client that has got as far as a phase; a command behind `!` has no reply yet.
fn trickler(proxy: &Proxy, steps: &[&str]) -> Client {
    let mut client = proxy.session();
    for step in steps {
        match step.strip_prefix('!') {
            Some(command) => client.send(format!("{command}\r\n").as_bytes()),
            None => assert!(client.command(step).code < 400, "{step}"),
        }
    }
    client
}

/// One more octet; whether there was still somebody to take it.
fn drips((_, client, octets): &mut (&str, Client, &[u8])) -> bool {
    let octet = octets[0];
    *octets = if octets.len() > 1 { &octets[1..] } else { octets };
    client.stream.set_nonblocking(true).unwrap();
    let mut heard = [0; 512];
    loop {
        match client.stream.read(&mut heard) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return false,
        }
    }
    client.stream.write(&[octet]).is_ok()
}

#[test]
fn check_45_tricklers() {
    let upstream = Plan::bdat().start();
    let mut proxy = secured(Setup::toward(upstream.address), "offer", "")
        .workers("timeout = { command = \"2s\", content = \"5s\" }")
        .listener("proxy_protocol = [\"127.66.0.0/16\"]")
        .upstream("pool = { warm = 1, max = 128 }")
        .start();
    let mut tricklers: Vec<(&str, Client, &[u8])> = Vec::new();
    for n in 0..TRICKLERS {
        let balancer = Client::connect_from(&format!("127.66.0.{}", n + 1), proxy.address);
        tricklers.push(("a PROXY header", balancer, b"PROXY TCP4 192.0.2.1"));
        let others = PHASES.iter().map(|(phase, steps, octets)| (*phase, trickler(&proxy, steps), *octets));
        tricklers.extend(others);
    }
    let done = AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut served = 0;
            while !done.load(Ordering::Acquire) || served == 0 {
                assert_eq!(proxy.session().message("b@hop.example", b"x\r\n").code, 250);
                served += 1;
                std::thread::sleep(DRIP / 5);
            }
            served
        });
        let begun = Instant::now();
        while !tricklers.is_empty() && begun.elapsed() < GONE {
            tricklers.retain_mut(drips);
            std::thread::sleep(DRIP);
        }
        done.store(true, Ordering::Release);
        serving.join().unwrap()
    });
    let mut left = BTreeMap::<_, usize>::new();
    tricklers.iter().for_each(|(phase, ..)| *left.entry(*phase).or_default() += 1);
    assert!(left.is_empty(), "still there: {left:?}");
    assert!(served > 0);
    for (why, phases) in [("slow_proxy", 1), ("slow_handshake", 1), ("slow_command", 2), ("slow_content", 3)]
    {
        let line = format!("postern_sessions_ended_total{{why=\"{why}\"}} {}\n", phases * TRICKLERS);
        assert!(eventually(PATIENCE, || proxy.page("/metrics").contains(&line)), "{line}");
    }
    proxy.assert_well();
}

/// It sends commands as long as they are taken, and reads no reply.
#[test]
fn check_45_who_reads_nothing_goes() {
    let upstream = Plan::bdat().start();
    let mut proxy = Setup::toward(upstream.address).workers("timeout = { command = \"2s\" }").start();
    let before = proxy.descriptors();
    let mut client = proxy.session();
    client.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    while client.stream.write(&b"HELP\r\n".repeat(1000)).is_ok() {}
    assert!(proxy.descriptors() > before);
    assert!(eventually(GONE, || proxy.descriptors() <= before), "the connection is still there");
    proxy.assert_well();
}

#[test]
fn check_46_few_open_files() {
    const CLIENTS: usize = 1000;
    const FILES: usize = 256;
    let upstream = Plan::bdat().start();
    let mut proxy = Setup::toward(upstream.address).descriptors(FILES).start();
    assert_eq!(proxy.session().message("b@hop.example", b"x\r\n").code, 250);
    let before = proxy.descriptors();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::connect(proxy.address)).collect();
    let (mut greeted, mut refused) = (0, 0);
    for client in &mut clients {
        match client.hear() {
            Heard::Reply(reply) if reply.code == 220 => greeted += 1,
            Heard::Reply(reply) => {
                assert_eq!((reply.code, client.hear()), (421, Heard::Closed));
                refused += 1;
            }
            other => panic!("neither greeted nor refused: {other:?}"),
        }
    }
    assert!(greeted > FILES / 4 && greeted < FILES && greeted + refused == CLIENTS, "{greeted} {refused}");
    // Those who are in are served: there is a descriptor for a next hop.
    let envelope = clients.iter_mut().find_map(|client| {
        client.try_send(b"EHLO client.example\r\n");
        matches!(client.hear(), Heard::Reply(reply) if reply.code == 250).then_some(client)
    });
    assert_eq!(envelope.unwrap().message("b@hop.example", b"x\r\n").code, 250);
    // Nothing happens, and nothing is done: a busy loop would take all of it.
    let (busy, begun) = (proxy.busy(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let busy = proxy.busy() - busy;
    assert!(busy < begun.elapsed() / 4, "{busy:?} of {:?}", begun.elapsed());
    drop(clients);
    assert!(
        eventually(PATIENCE, || proxy.descriptors() <= before + 1),
        "{} of {before}",
        proxy.descriptors()
    );
    assert_eq!(proxy.session().message("b@hop.example", b"x\r\n").code, 250);
    let page = proxy.page("/metrics");
    assert!(page.contains(&format!("postern_sessions_refused_total{{why=\"full\"}} {refused}\n")), "{page}");
    let said = proxy.said();
    assert!(said.contains("Raise RLIMIT_NOFILE"), "{said}");
    proxy.assert_well();
}

/// So many at a time from one address, and from its network; and then, as often as one likes.
#[test]
fn many_connections_from_one_address() {
    let upstream = Plan::bdat().start();
    let mut proxy = Setup::toward(upstream.address)
        .section("[conduct]\nexempt = []\nconnections = 3\nnetwork_connections = 5")
        .start();
    let greeting = |source: &str| {
        let mut client = Client::connect_from(source, proxy.address);
        let reply = client.reply();
        (client, reply.text())
    };
    let mut sessions: Vec<_> = (0..3).map(|_| greeting("127.0.7.1")).collect();
    sessions.extend((0..2).map(|_| greeting("127.0.7.2")));
    assert!(sessions.iter().all(|(_, text)| text.starts_with("220")));
    for (source, want) in [
        ("127.0.7.1", "421 4.7.0 too many connections from your address, come again"),
        ("127.0.7.2", "421 4.7.0 too many connections from your network, come again"),
        ("127.0.7.3", "421 4.7.0 too many connections from your network, come again"),
    ] {
        let (mut client, text) = greeting(source);
        assert_eq!((text.as_str(), client.hear()), (want, Heard::Closed));
    }
    assert!(greeting("127.0.8.1").1.starts_with("220"));
    drop(sessions);
    assert!(eventually(PATIENCE, || greeting("127.0.7.1").1.starts_with("220")));
    proxy.assert_well();
}

/// A session that asks who exists is ended, its address is bad, and a rule sees that.
#[test]
fn harvesting() {
    let upstream = Plan::bdat()
        .script(|step: Step<'_>| match step.at {
            At::Rcpt if step.line.contains("known") => Do::Usual,
            At::Rcpt => Do::say("550 5.1.1 nobody of that name"),
            _ => Do::Usual,
        })
        .start();
    let mut proxy = Setup::toward(upstream.address)
        .section("[conduct]\nexempt = []\nharvest = { suspect = 10, bad = 20 }")
        .section(
            "[[rule]]\nname = \"bad\"\nwhen = 'client.conduct == \"bad\"'\nthen = \"reject\"\n\
             reply = \"5.7.1 not from you\"",
        )
        .start();
    let mut client = proxy.session();
    assert_eq!(client.command("MAIL FROM:<a@client.example>").code, 250);
    for n in 0..20 {
        assert_eq!(client.command(&format!("RCPT TO:<{n}@hop.example>")).code, 550);
    }
    assert_eq!(client.reply().text(), "421 4.7.0 too many unknown recipients");
    assert_eq!(client.hear(), Heard::Closed);
    let mut client = proxy.session();
    client.envelope("a@client.example", "known@hop.example");
    client.send(b"DATA\r\n");
    assert!(client.reply().text().starts_with("550 5.7.1 not from you"));
    let mut other = Client::connect_from("127.0.7.1", proxy.address);
    assert_eq!(other.reply().code, 220);
    assert_eq!(other.command("EHLO client.example").code, 250);
    assert_eq!(other.message("known@hop.example", b"x\r\n").code, 250, "nobody else is");
    let line = "postern_sessions_ended_total{why=\"harvest\"} 1\n";
    assert!(eventually(PATIENCE, || proxy.page("/metrics").contains(line)));
    proxy.assert_well();
}
