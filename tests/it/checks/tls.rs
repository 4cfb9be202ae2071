//! Checks 29 to 33: TLS on both legs, the peers' by a library of their own.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use rustls::{HandshakeKind, ProtocolVersion, SupportedProtocolVersion};
use sha2::{Digest, Sha256};

use super::{At, Client, Do, Folder, Heard, PATIENCE, Plan, Proxy, Setup, Step, Upstream, eventually};
use crate::harness::authority::{HOST, Issued, self_signed, world};
use crate::harness::free_address;
use crate::harness::program::{BINARY, Program, output};
use crate::harness::secure::{VERSIONS, client_config, server_config};

/// A listener with the certificate of [`HOST`].
pub(super) fn secured(setup: Setup, mode: &str, more: &str) -> Setup {
    let own = &world().ecdsa;
    setup
        .file("mx.pem", &own.certificate)
        .file("mx.key", &own.key)
        .file("ca.pem", &world().authority.pem)
        .listener(&format!("tls = {{ mode = \"{mode}\", certificate = \"mx.pem\", key = \"mx.key\"{more} }}"))
}

/// A proxy whose clients are offered TLS in this way, and a next hop in clear.
fn listening(mode: &str, more: &str) -> (Upstream, Proxy) {
    let upstream = Plan::bdat().start();
    let proxy = secured(Setup::toward(upstream.address), mode, more).start();
    (upstream, proxy)
}

/// A proxy that speaks TLS with its next hop in this way.
fn sending(plan: Plan, tls: &str) -> (Upstream, Proxy) {
    let upstream = plan.start();
    let setup = Setup::toward(upstream.address).file("ca.pem", &world().authority.pem);
    let proxy = setup
        .upstream(&format!("tls = {tls}"))
        .upstream("pool = { warm = 0, wait = \"3s\" }")
        .upstream("timeout = { connect = \"2s\", reply = \"2s\", end = \"10s\" }")
        .start();
    (upstream, proxy)
}

/// Lines of octets from 0x80 on among others, some of which begin with a dot.
fn content(octets: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(29);
    let mut content = b"Subject: \xc3\xbc\r\n\r\n".to_vec();
    while content.len() < octets {
        let begin = if random.u8(..4) == 0 { &b".."[..] } else { b"x" };
        content.extend_from_slice(begin);
        content.extend((0..random.usize(0..200)).map(|_| random.u8(0x21..)));
        content.extend_from_slice(b"\r\n");
    }
    content
}

fn stuffed(content: &[u8]) -> Vec<u8> {
    let lines = content.split_inclusive(|octet| *octet == b'\n');
    lines.flat_map(|line| [if line.starts_with(b".") { b"." } else { &b""[..] }, line].concat()).collect()
}

#[track_caller]
fn deliver(client: &mut Client, by_bdat: bool, content: &[u8]) {
    if by_bdat {
        client.envelope("a@client.example", "b@hop.example");
        client.send(&[format!("BDAT {} LAST\r\n", content.len()).as_bytes(), content].concat());
        assert_eq!(client.reply().code, 250);
    } else {
        assert_eq!(client.message("b@hop.example", &stuffed(content)).code, 250);
    }
}

fn both_legs(version: &'static SupportedProtocolVersion, plan: Plan, by_bdat: bool) {
    let upstream = plan.tls(server_config(&[version], &world().ecdsa)).start();
    let verify = format!("tls = {{ mode = \"verify\", ca = \"ca.pem\", name = \"{HOST}\" }}");
    let proxy = secured(Setup::toward(upstream.address), "offer", "").upstream(&verify).start();
    let mut client = proxy.client();
    client.starttls(&client_config(&[version], None));
    let sent = content(1 << 20);
    for _ in 0..2 {
        deliver(&mut client, by_bdat, &sent);
    }
    let messages = upstream.messages();
    assert_eq!(messages.len(), 2);
    for message in messages {
        assert!(message.original() == sent, "content was changed");
        let trace = String::from_utf8_lossy(&message.content[..400]).into_owned();
        assert!(trace.contains("with ESMTPS"), "{trace}");
    }
    let seen = upstream.seen();
    let verb = |line: &String| line.split(' ').next().unwrap().to_owned();
    assert!(seen.in_clear.iter().all(|line| ["EHLO", "STARTTLS"].contains(&verb(line).as_str())));
    assert!(!seen.secured.is_empty());
    drop(seen);
    let record = &proxy.await_records(2)[1];
    let name = if version.version == ProtocolVersion::TLSv1_3 { "TLSv1.3" } else { "TLSv1.2" };
    for leg in [&record["client"]["tls"], &record["next_hop"]["tls"]] {
        assert!(leg.as_str().is_some_and(|told| told.contains(name)), "{record}");
    }
    assert_eq!(client.command("QUIT").code, 221);
    assert!(client.was_closed_cleanly());
}

#[test]
fn mail_goes_under_tls_on_both_legs() {
    for version in VERSIONS {
        for by_bdat in [false, true] {
            both_legs(version, Plan::bdat(), by_bdat);
            both_legs(version, Plan::data(), by_bdat);
        }
    }
}

#[test]
fn implicit_tls_greets_under_tls() {
    let (upstream, proxy) = listening("implicit", "");
    let config = client_config(&VERSIONS, None);
    let mut client = Client::implicit(proxy.address, &config);
    let announced = client.command("EHLO client.example");
    assert!(announced.lines.iter().all(|line| line != "STARTTLS"), "{announced:?}");
    deliver(&mut client, true, &content(1000));
    assert_eq!(upstream.messages().len(), 1);
    // The second visit is cheaper.
    let mut again = Client::implicit(proxy.address, &config);
    assert_eq!(again.command("EHLO client.example").code, 250);
    assert_eq!(again.tls().handshake_kind(), Some(HandshakeKind::Resumed));
    deliver(&mut again, false, &content(1000));
}

/// `postern source` against a listener: how many messages arrived.
fn by_source(mode: &str, options: &[&str]) -> usize {
    let (upstream, proxy) = listening(mode, "");
    let address = proxy.address.to_string();
    let usual = ["source", "-s", "4", "-m", "60", "-f", "a@client.example", "-t", "b@hop.example"];
    let output = output(&[&usual[..], options, &[address.as_str()]].concat());
    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
    let records = proxy.await_records(60);
    assert!(records.iter().all(|record| record["client"]["tls"].is_string()), "{records:?}");
    upstream.messages().len()
}

#[test]
fn the_source_speaks_tls() {
    for options in [&["--tls", "-l", "1000"][..], &["--tls", "-d", "--bdat", "--pipeline", "-l", "100000"]] {
        assert_eq!(by_source("require", options), 60);
    }
    assert_eq!(by_source("implicit", &["--tls-implicit", "-l", "100000"]), 60);
}

#[test]
fn the_sink_speaks_tls() {
    let (folder, address, own) = (Folder::new(), free_address(), &world().ecdsa);
    let files = ["mx.pem", "mx.key", "journal"].map(|name| folder.join(name));
    std::fs::write(&files[0], &own.certificate).unwrap();
    std::fs::write(&files[1], &own.key).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["sink", "--chunking", "--tls", "--certificate"]).arg(&files[0]).arg("--key").arg(&files[1]);
    let mut sink =
        Program::start(command.arg("--journal").arg(&files[2]).arg(address.to_string()).arg("128"));
    assert!(eventually(PATIENCE, || TcpStream::connect(address).is_ok()), "{}", sink.said());
    let setup = Setup::toward(address).file("ca.pem", &world().authority.pem);
    let proxy = setup.upstream(&format!("tls = {VERIFY}")).start();
    let large = content(1 << 20);
    for content in [b"Subject: x\r\n\r\nx\r\n".as_slice(), &large] {
        deliver(&mut proxy.session(), true, content);
    }
    for record in proxy.await_records(2) {
        assert!(
            record["next_hop"]["tls"].as_str().is_some_and(|told| told.contains("authority")),
            "{record}"
        );
    }
    assert_eq!(std::fs::read_to_string(&files[2]).unwrap().lines().count(), 2);
}

#[test]
fn the_source_sends_nothing_in_clear_where_tls_was_asked_for() {
    let upstream = Plan::bdat().start();
    let proxy = Setup::toward(upstream.address).start();
    let output = output(&["source", "--tls", "-t", "b@hop.example", &proxy.address.to_string()]);
    assert!(!output.status.success());
    assert_eq!(upstream.messages(), []);
}

#[test]
fn who_does_not_want_it_may_go_in_clear_where_it_is_only_offered() {
    let (upstream, proxy) = listening("offer", "");
    assert_eq!(proxy.session().message("b@hop.example", b"x\r\n").code, 250);
    assert_eq!(upstream.messages().len(), 1);
}

#[test]
fn required_tls_is_asked_of_clients() {
    let (upstream, proxy) = listening("require", "");
    let mut client = proxy.session();
    for line in ["MAIL FROM:<a@client.example>", "RCPT TO:<b@hop.example>", "DATA", "VRFY a", "RSET"] {
        assert_eq!(client.command(line).code, 530, "{line}");
    }
    client.send(b"BDAT 6 LAST\r\nQUIT\r\n");
    assert_eq!(client.reply().code, 530);
    assert_eq!(client.command("NOOP").code, 250);
    client.starttls(&client_config(&VERSIONS, None));
    assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
    assert_eq!(upstream.messages().len(), 1);
}

/// What a client may put behind STARTTLS in clear.
fn injections() -> Vec<Vec<u8>> {
    let begin = b"STARTTLS\r\n";
    [
        &b"MAIL FROM:<x@y>\r\n"[..],
        b"NOOP\r\n",
        b"EHLO x\r\nMAIL FROM:<x@y>\r\nRCPT TO:<b@hop.example>\r\nDATA\r\n",
        b"BDAT 4 LAST\r\nNOOP",
        b"M",
        b"\r\n",
        b"\0",
    ]
    .iter()
    .map(|behind| [begin, *behind].concat())
    .collect()
}

#[test]
fn check_29_commands_behind_starttls_never_act() {
    let (upstream, mut proxy) = listening("offer", "");
    for injection in injections() {
        let shown = String::from_utf8_lossy(&injection).into_owned();
        let mut client = proxy.session();
        client.send(&injection);
        // No handshake comes about: whoever injects has ended the session.
        let replies = client.hear_to_the_end(PATIENCE).expect(&shown);
        let codes: Vec<_> = replies.iter().map(|reply| reply.code).collect();
        assert_eq!(codes, [554], "{shown:?}");
    }
    // The hello of the very client is no better: 220 was not there yet.
    let mut client = proxy.session();
    assert!(client.start_tls_behind(b"STARTTLS\r\n", &client_config(&VERSIONS, None)).is_err());
    assert!(upstream.seen().commands.iter().all(|(_, line)| !line.starts_with("MAIL")));
    proxy.assert_well();
}

#[test]
fn check_29_what_was_said_before_is_forgotten() {
    let (_upstream, proxy) = listening("offer", "");
    let mut client = proxy.session();
    assert_eq!(client.command("MAIL FROM:<a@client.example>").code, 250);
    assert_eq!(client.command("STARTTLS").code, 503, "not within a transaction");
    assert_eq!(client.command("RSET").code, 250);
    assert_eq!(client.command("STARTTLS").code, 220);
    client.start_tls(&client_config(&VERSIONS, None)).unwrap();
    assert_eq!(client.hear_within(Duration::from_millis(200)), Heard::Nothing, "nobody is greeted twice");
    assert_eq!(client.command("MAIL FROM:<a@client.example>").code, 503, "EHLO comes first");
    assert_eq!(client.command("EHLO other.example").code, 250);
    assert_eq!(client.command("STARTTLS").code, 503);
    assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
}

/// A message was refused for now, and no MAIL went in clear.
#[track_caller]
fn assert_deferred(way: &str, upstream: &Upstream, proxy: &mut Proxy) {
    let heard = proxy.session().attempt("b@hop.example", b"x\r\n");
    assert!(matches!(heard.code(), Some(400..500)), "{way}: {heard:?}");
    let seen = upstream.seen();
    assert!(!seen.in_clear.is_empty(), "{way}: the next hop was never tried");
    assert!(seen.in_clear.iter().all(|line| !line.starts_with("MAIL")), "{way}: {:?}", seen.in_clear);
    assert_eq!(seen.messages, [], "{way}");
    drop(seen);
    proxy.assert_well();
}

/// A next hop that says or does something else at one step.
fn spoiled(at: At, action: Do) -> Plan {
    let script = move |step: Step<'_>| if step.at == at { action.clone() } else { Do::Usual };
    Plan::bdat().tls(server_config(&VERSIONS, &world().ecdsa)).script(script)
}

const VERIFY: &str = "{ mode = \"verify\", ca = \"ca.pem\", name = \"mx1.example.net\" }";

#[test]
fn check_30_replies_behind_the_one_to_starttls_never_act() {
    let behind = b"220 go\r\n250-X\r\n250 SIZE 1\r\n".to_vec();
    for mode in ["\"offer\"", "\"require\"", VERIFY] {
        let (upstream, mut proxy) = sending(spoiled(At::Starttls, Do::Say(behind.clone())), mode);
        assert_deferred(mode, &upstream, &mut proxy);
        assert!(upstream.seen().secured.is_empty());
    }
    for mode in ["\"require\"", VERIFY] {
        let (upstream, mut proxy) = sending(spoiled(At::Starttls, Do::SayInPieces(behind.clone())), mode);
        assert_deferred(mode, &upstream, &mut proxy);
    }
}

/// Ways to take TLS away, whatever the certificate.
fn ways_without_tls() -> Vec<(&'static str, Plan)> {
    vec![
        ("stripped", Plan::bdat()),
        ("454", spoiled(At::Starttls, Do::say("454 4.7.0 not now"))),
        ("502", spoiled(At::Starttls, Do::say("502 5.5.1 what"))),
        ("garbage", spoiled(At::Handshake, Do::say("500 5.5.2 what is \u{16}\u{3}"))),
        ("closed", spoiled(At::Handshake, Do::SayAndFin(Vec::new()))),
        ("reset", spoiled(At::Handshake, Do::SayAndReset(Vec::new()))),
        ("silent", spoiled(At::Handshake, Do::Silence)),
    ]
}

fn showing(own: &Issued) -> Plan {
    Plan::bdat().tls(server_config(&VERSIONS, own))
}

#[test]
fn check_31_required_tls_is_never_given_up() {
    for (way, plan) in ways_without_tls() {
        let (upstream, mut proxy) = sending(plan, "\"require\"");
        assert_deferred(way, &upstream, &mut proxy);
    }
    // No certificate is looked at: any will do, and mail goes under TLS.
    for own in [&world().other, &world().expired, &self_signed(&["nobody.example"])] {
        let (upstream, proxy) = sending(showing(own), "\"require\"");
        assert_eq!(proxy.session().message("b@hop.example", b"x\r\n").code, 250);
        assert!(upstream.seen().in_clear.iter().all(|line| !line.starts_with("MAIL")));
    }
}

#[test]
fn check_31_a_server_that_is_not_proven_gets_no_mail() {
    let mut ways = ways_without_tls();
    ways.push(("wrong name", showing(&world().other)));
    ways.push(("expired", showing(&world().expired)));
    ways.push(("self-signed", showing(&self_signed(&[HOST]))));
    ways.push(("not yet valid", showing(&world().early)));
    ways.push(("of a stranger", showing(&world().unknown)));
    for (way, plan) in ways {
        let (upstream, mut proxy) = sending(plan, VERIFY);
        assert_deferred(way, &upstream, &mut proxy);
    }
}

fn fingerprint(own: &Issued) -> String {
    Sha256::digest(&own.der).iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}

#[test]
fn a_server_that_is_proven_gets_its_mail() {
    let own = self_signed(&["nobody.example"]);
    let pinned = format!("{{ mode = \"verify\", fingerprint = \"{}\" }}", fingerprint(&own));
    for (own, tls) in [
        (&world().ecdsa, VERIFY),
        (&world().rsa, VERIFY),
        (&world().ed25519, VERIFY),
        (&own, pinned.as_str()),
    ] {
        let (upstream, proxy) = sending(showing(own), tls);
        assert_eq!(proxy.session().message("b@hop.example", b"x\r\n").code, 250);
        assert!(upstream.seen().in_clear.iter().all(|line| !line.starts_with("MAIL")));
        let record = &proxy.await_records(1)[0];
        assert!(record["next_hop"]["tls"].as_str().is_some_and(|told| told.contains("TLSv1.3")), "{record}");
    }
    let (upstream, mut proxy) = sending(showing(&world().ecdsa), &pinned);
    assert_deferred("another than the pinned one", &upstream, &mut proxy);
}

#[test]
fn a_server_that_only_offers_tls_is_talked_to_in_clear_when_it_fails() {
    for (way, plan) in ways_without_tls() {
        let (upstream, proxy) = sending(plan, "\"offer\"");
        assert_eq!(proxy.session().attempt("b@hop.example", b"x\r\n").code(), Some(250), "{way}");
        assert!(upstream.seen().in_clear.iter().any(|line| line.starts_with("MAIL")), "{way}");
        assert_eq!(proxy.session().message("b@hop.example", b"y\r\n").code, 250, "{way}");
        assert_eq!(upstream.messages().len(), 2, "{way}");
    }
    // And one that can do it is not.
    let (upstream, proxy) = sending(showing(&self_signed(&["nobody.example"])), "\"offer\"");
    assert_eq!(proxy.session().message("b@hop.example", b"x\r\n").code, 250);
    assert!(upstream.seen().in_clear.iter().all(|line| !line.starts_with("MAIL")));
}

/// A client under TLS that has begun a message, of which `octets` are under way.
fn begun(proxy: &Proxy, octets: usize) -> Client {
    let mut client = proxy.client();
    client.starttls(&client_config(&VERSIONS, None));
    client.envelope("a@client.example", "b@hop.example");
    assert_eq!(client.command("DATA").code, 354);
    client.send(&stuffed(&content(octets)));
    client
}

#[test]
fn check_32_an_end_that_tls_did_not_announce_ends_no_message() {
    for plan in [Plan::bdat, Plan::data] {
        // Held in the window, and under way to the next hop.
        for octets in [1000, 1 << 20] {
            let upstream = plan().start();
            let mut proxy = secured(Setup::toward(upstream.address), "offer", "").start();
            for is_announced in [false, true] {
                let mut client = begun(&proxy, octets);
                if is_announced {
                    client.close_notify();
                }
                client.half_close();
                let replies = client.hear_to_the_end(PATIENCE).unwrap();
                assert!(replies.iter().all(|reply| !reply.is_positive()), "{replies:?}");
            }
            let records = proxy.await_records(2);
            assert!(records.iter().all(|record| record["disposition"] == "aborted"), "{records:?}");
            assert_eq!(upstream.messages(), []);
            proxy.assert_well();
        }
    }
}

/// The hello of a client of long ago: `version` at most, with ciphers of its time.
fn old_hello(version: [u8; 2], ciphers: &[[u8; 2]]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    body.extend_from_slice(&u16::try_from(ciphers.len() * 2).unwrap().to_be_bytes());
    body.extend(ciphers.iter().flatten());
    body.extend_from_slice(&[1, 0]);
    let len = |octets: usize| u16::try_from(octets).unwrap().to_be_bytes();
    let head = [&[1, 0][..], &len(body.len())].concat();
    let record = [&[22, 3, 1][..], &len(head.len() + body.len())].concat();
    [record, head, body].concat()
}

#[test]
fn check_32_old_versions_and_ciphers_are_refused() {
    let (_upstream, mut proxy) = listening("implicit", "");
    let (rc4, triple_des, export, cbc) = ([0, 5], [0, 10], [0, 8], [0xc0, 0x13]);
    let rows = [
        (old_hello([3, 0], &[rc4, triple_des, export, cbc]), "SSL 3"),
        (old_hello([3, 1], &[cbc, triple_des]), "TLS 1.0"),
        (old_hello([3, 2], &[cbc, triple_des]), "TLS 1.1"),
        (old_hello([3, 3], &[rc4]), "RC4"),
        (old_hello([3, 3], &[triple_des]), "3DES"),
        (old_hello([3, 3], &[export]), "export"),
        (old_hello([3, 3], &[cbc]), "CBC"),
    ];
    for (hello, what) in rows {
        let answer = answer(proxy.address, &hello);
        assert_eq!(answer.first(), Some(&21), "{what}: an alert, and nothing else: {answer:?}");
        assert_eq!(answer.len(), 7, "{what}: {answer:?}");
    }
    proxy.assert_well();
}

/// All that comes back until the server closes.
fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut client = Client::connect(address);
    client.try_send(bytes);
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    // However it is closed: what came before counts.
    let ended = client.stream.read_to_end(&mut answer);
    let waited = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!waited, "it stays open, with {answer:?}");
    answer
}

#[test]
fn noise_instead_of_a_handshake_ends_the_session() {
    let mut random = fastrand::Rng::with_seed(32);
    let noise: Vec<u8> = (0..4096).map(|_| random.u8(..)).collect();
    let mut record = [&[22, 3, 1, 64, 0][..], &noise].concat();
    record.resize(5 + 16384, 9);
    let (upstream, mut proxy) = listening("implicit", "");
    for bytes in [&b"EHLO client.example\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", &noise, &record] {
        let answer = answer(proxy.address, bytes);
        assert!(answer.first().is_none_or(|kind| *kind == 21), "{answer:?}");
    }
    let (upstream_offering, mut offering) = listening("offer", "");
    for bytes in [&b"MAIL FROM:<x@y>\r\n"[..], &noise, &record] {
        let mut client = offering.session();
        assert_eq!(client.command("STARTTLS").code, 220);
        client.try_send(bytes);
        client.half_close();
        let mut rest = Vec::new();
        client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = std::io::Read::read_to_end(&mut client.stream, &mut rest);
        assert!(rest.first().is_none_or(|kind| *kind == 21), "{rest:?}");
    }
    for proxy in [&mut proxy, &mut offering] {
        assert!(proxy.page("/metrics").contains("tls_failures_total"));
        proxy.assert_well();
    }
    assert_eq!(upstream.messages().len() + upstream_offering.messages().len(), 0);
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    let upstream = Plan::bdat().start();
    let setup = secured(Setup::toward(upstream.address), "implicit", "");
    let proxy = setup.listener("proxy_protocol = [\"127.0.0.0/8\"]").start();
    let config = client_config(&VERSIONS, None);
    let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 465\r\n".to_vec();
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x03\xe8\x01\xd1".to_vec();
    for (n, header) in [v1, v2].into_iter().enumerate() {
        for is_apart in [false, true] {
            let mut client = Client::connect(proxy.address);
            let before = if is_apart { &b""[..] } else { &header };
            if is_apart {
                client.send(&header);
            }
            client.start_tls_behind(before, &config).unwrap();
            assert_eq!(client.reply().code, 220);
            assert_eq!(client.command("EHLO client.example").code, 250);
            assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
        }
        let records = proxy.await_records(2 * n + 2);
        assert!(records.iter().all(|record| record["client"]["ip"] == "192.0.2.1"), "{records:?}");
    }
}

/// Whether a session comes about: with TLS 1.3 a client learns only by the first reply that its
/// certificate was not liked.
fn is_served(address: SocketAddr, config: &std::sync::Arc<rustls::ClientConfig>) -> Option<HandshakeKind> {
    let mut client = Client::connect(address);
    client.start_tls(config).ok()?;
    match client.hear() {
        Heard::Reply(greeting) => assert_eq!(greeting.code, 220),
        Heard::Closed => return None,
        Heard::Nothing => panic!("no word"),
    }
    assert_eq!(client.command("EHLO client.example").code, 250);
    client.tls().handshake_kind()
}

#[test]
fn a_certificate_may_be_demanded_of_clients() {
    let pinned = format!(", client_fingerprint = \"{}\"", fingerprint(&world().unknown_client));
    for version in VERSIONS {
        let with = |own| client_config(&[version], own);
        let ca = ", client_certificate = \"require\", client_ca = \"ca.pem\"";
        let (_upstream, mut proxy) = listening("implicit", ca);
        assert_eq!(is_served(proxy.address, &with(None)), None);
        assert_eq!(is_served(proxy.address, &with(Some(&world().unknown_client))), None);
        assert!(is_served(proxy.address, &with(Some(&world().client))).is_some());
        proxy.assert_well();
        let (_upstream, proxy) =
            listening("implicit", &format!(", client_certificate = \"require\"{pinned}"));
        assert_eq!(is_served(proxy.address, &with(Some(&world().client))), None);
        assert!(is_served(proxy.address, &with(Some(&world().unknown_client))).is_some());
        let (_upstream, proxy) = listening("implicit", &ca.replace("require", "ask"));
        for own in [None, Some(&world().client), Some(&world().unknown_client)] {
            assert!(is_served(proxy.address, &with(own)).is_some());
        }
    }
}

#[test]
fn check_33_a_ticket_does_not_cross_to_another_listener() {
    let upstream = Plan::bdat().start();
    let strict = free_address();
    let demanding = format!(
        "[[listener]]\nname = \"strict\"\naddress = [\"{strict}\"]\ntls = {{ mode = \"implicit\", \
         certificate = \"mx.pem\", key = \"mx.key\", client_certificate = \"require\", client_ca = \"ca.pem\" }}"
    );
    let proxy = secured(Setup::toward(upstream.address), "implicit", "").section(&demanding).start();
    for version in VERSIONS {
        let config = client_config(&[version], None);
        assert_eq!(is_served(proxy.address, &config), Some(HandshakeKind::Full));
        assert_eq!(is_served(proxy.address, &config), Some(HandshakeKind::Resumed));
        assert_eq!(is_served(strict, &config), None, "the certificate is demanded");
        let config = client_config(&[version], Some(&world().client));
        assert_eq!(is_served(proxy.address, &config), Some(HandshakeKind::Full));
        assert_eq!(is_served(strict, &config), Some(HandshakeKind::Full));
        assert_eq!(is_served(strict, &config), Some(HandshakeKind::Resumed));
    }
}

#[test]
fn sessions_under_tls_end_in_order() {
    let (upstream, mut proxy) = listening("offer", "");
    let config = client_config(&VERSIONS, None);
    let mut idle: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    idle.iter_mut().for_each(|client| client.starttls(&config));
    let mut shaking = proxy.session();
    assert_eq!(shaking.command("STARTTLS").code, 220);
    let mut busy = begun(&proxy, 100_000);
    proxy.terminate();
    for client in &mut idle {
        let farewell = client.hear_to_the_end(PATIENCE).unwrap();
        assert_eq!(farewell.iter().map(|reply| reply.code).collect::<Vec<_>>(), [421]);
        assert!(client.was_closed_cleanly());
    }
    busy.send(b".\r\n");
    assert_eq!(busy.reply().code, 250);
    drop((busy, shaking));
    let status = proxy.await_end(PATIENCE).expect("it does not end");
    assert!(status.success(), "{status}: {}", proxy.said());
    assert_eq!(upstream.messages().len(), 1);
}
