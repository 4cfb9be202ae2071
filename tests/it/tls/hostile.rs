//! What is no TLS, what was changed on its way, and what lies.

use postern::tls::fault::TlsFault;
use proptest::prelude::{ProptestConfig, any, proptest};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::handshake::{listener, verifying};
use super::peer::{Ours, Peer, Reference, exchange, reference_client, reference_server};
use super::records::secured;
use crate::harness::authority::world;

fn fresh() -> Ours {
    Ours::server(&listener(&[&world().ecdsa]))
}

#[track_caller]
fn check_garbage(wire: &[u8], want: &str) {
    for cut in 0..=wire.len().min(64) {
        let mut server = fresh();
        server.take(&wire[..cut]);
        server.take(&wire[cut..]);
        assert_eq!(server.fault.as_ref().map(TlsFault::name), Some(want), "cut at {cut}");
        assert!(server.secured.is_none() && server.heard.is_empty());
    }
}

#[test]
fn what_is_no_tls_is_told_so() {
    for wire in [
        &b"EHLO client.example.org\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: mx1.example.net\r\n\r\n",
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", // a hello of SSL 2
        b"\0\0\0\0\0",
        b"\x16\x02\x00\x00\x10",
        b"\xff",
    ] {
        check_garbage(wire, "not_tls");
    }
    check_garbage(b"\x16\x03\x01\xff\xff", "too_large");
    check_garbage(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "protocol");
    check_garbage(b"\x17\x03\x03\x00\x05hello", "protocol");
    check_garbage(b"\x15\x03\x03\x00\x02\x02\x28", "alert");
}

#[test]
fn a_server_that_speaks_no_tls_is_told_so() {
    for answer in [&b"500 5.5.1 what\r\n"[..], b"220 go\r\n250-X\r\n250 SIZE 1\r\n"] {
        let mut client = Ours::client(&verifying());
        client.take(answer);
        assert_eq!(client.fault, Some(TlsFault::NotTls));
    }
}

/// A hello that differs from a good one in its version and in its only cipher.
fn hello(version: u8, suite: u16) -> Vec<u8> {
    const GROUPS: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 23];
    const SIGNATURES: &[u8] = &[0, 13, 0, 4, 0, 2, 4, 3];
    let mut body = vec![3, version];
    body.extend_from_slice(&[7; 32]); // random
    body.extend_from_slice(&[0, 0, 2]);
    body.extend_from_slice(&suite.to_be_bytes());
    body.extend_from_slice(&[1, 0, 0, 16]);
    body.extend_from_slice(GROUPS);
    body.extend_from_slice(SIGNATURES);
    let len = u8::try_from(body.len()).unwrap();
    [&[0x16, 3, 1, 0, len + 4, 1, 0, 0, len], body.as_slice()].concat()
}

/// SSL 3, TLS 1.0 and 1.1; NULL, export, RC4, 3DES, CBC and RSA key exchange under 1.2.
#[test]
fn old_versions_and_ciphers_are_refused_with_an_alert() {
    let good = 0xc02b;
    let old = [(0, good), (1, good), (2, good)];
    let weak = [0x0002, 0x0003, 0x0005, 0x000a, 0xc009, 0x002f, 0x009c].map(|suite| (3, suite));
    for (version, suite) in old.into_iter().chain(weak) {
        let mut server = fresh();
        server.take(&hello(version, suite));
        assert_eq!(server.fault.as_ref().map(TlsFault::name), Some("incompatible"), "{version} {suite:#x}");
        assert!(matches!(server.out[..], [0x15, 3, _, 0, 2, 2, 40 | 70]), "{:?}", server.out);
    }
    let mut server = fresh();
    server.take(&hello(3, good));
    assert_eq!(server.fault, None);
}

/// Where the records of `wire` have the second octet of their version, which before the end of a
/// handshake says nothing (RFC 8446 §5.1) and is all that nobody authenticates.
fn minor_versions(wire: &[u8]) -> Vec<usize> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < wire.len() {
        found.push(at + 2);
        at += 5 + usize::from(u16::from_be_bytes([wire[at + 3], wire[at + 4]]));
    }
    found
}

/// Any octet of the client's first flight changed: no session, on neither side.
#[test]
fn a_changed_handshake_never_completes() {
    for version in [&TLS12, &TLS13] {
        let length = Reference::client(reference_client(version, None)).out().len();
        for at in 0..length {
            let mut client = Reference::client(reference_client(version, None));
            let mut server = fresh();
            let mut hello = client.out();
            let unseen = minor_versions(&hello).contains(&at);
            hello[at] ^= 0x41;
            server.take(&hello);
            exchange(&mut client, &mut server);
            assert!(server.secured.is_none() || unseen, "octet {at}");
        }
    }
}

/// Any octet of a record changed: nothing of it is heard.
#[test]
fn a_changed_record_is_never_plaintext() {
    for version in [&TLS12, &TLS13] {
        let (mut client, mut server) = secured(version);
        client.say(b"DATA\r\n");
        let length = client.out().len();
        drop((client, server));
        for at in 0..length {
            (client, server) = secured(version);
            client.say(b"DATA\r\n");
            let mut wire = client.out();
            wire[at] ^= 1;
            wire.extend_from_slice(&[0; 300]); // enough for a longer length
            server.take(&wire);
            assert!(server.heard().is_empty(), "octet {at}");
            assert!(server.fault.is_some(), "octet {at}");
        }
    }
}

#[test]
fn replayed_lost_and_swapped_records_are_refused() {
    for order in [&[0, 0][..], &[1], &[1, 0], &[0, 2]] {
        for version in [&TLS12, &TLS13] {
            let (mut client, mut server) = secured(version);
            let records = ["first\r\n", "second\r\n", "third\r\n"].map(|line| {
                client.say(line.as_bytes());
                client.out()
            });
            order.iter().for_each(|index| server.take(&records[*index]));
            assert_eq!(server.fault, Some(TlsFault::Forged), "{order:?}");
            exchange(&mut client, &mut server);
            assert!(client.fault.is_some() || version.version == TLS12.version, "it gets an alert");
        }
    }
}

#[test]
fn a_session_that_ended_hears_nothing_more() {
    let (mut client, mut server) = secured(&TLS13);
    client.say(b"good\r\n");
    let good = client.out();
    server.take(&[0x17, 3, 3, 0, 32]);
    server.take(&[0; 32]);
    assert_eq!(server.fault, Some(TlsFault::Forged));
    server.fault = None;
    server.take(&good);
    assert_eq!(server.fault.as_ref().map(TlsFault::name), Some("internal"));
    assert!(server.heard().is_empty() && !server.is_closed());
}

/// What follows the last flight in the same segment is inside TLS, and heard; it is not lost.
#[test]
fn data_behind_the_last_flight_is_heard() {
    for version in [&TLS12, &TLS13] {
        let mut client = Reference::client(reference_client(version, None));
        let mut server = fresh();
        loop {
            server.take(&client.out());
            client.take(&server.out());
            if !client.connection.is_handshaking() {
                break;
            }
        }
        client.say(b"EHLO client.example.org\r\n");
        server.take(&client.out());
        assert_eq!(server.heard(), b"EHLO client.example.org\r\n");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..600), looks_good: bool) {
        let mut wire = noise;
        if looks_good {
            let len = u16::try_from(wire.len()).unwrap().to_be_bytes();
            wire.splice(0..0, [0x16, 3, 1, len[0], len[1]]);
        }
        let (mut server, mut client) = (fresh(), Ours::client(&verifying()));
        server.take(&wire);
        client.take(&wire);
        assert!(server.secured.is_none() && client.secured.is_none());
    }
}

/// Any octet of the server's first flight changed.
#[test]
fn a_server_that_lies_is_left() {
    for version in [&TLS12, &TLS13] {
        let length = flight(version).1.len();
        for at in 0..length {
            let (mut client, mut answer) = flight(version);
            let Some(octet) = answer.get_mut(at) else { break };
            *octet ^= 0x21;
            client.take(&answer);
            assert!(client.secured.is_none() || minor_versions(&answer).contains(&at), "octet {at}");
        }
    }
}

/// A client that said hello, and what the server answers.
fn flight(version: &'static SupportedProtocolVersion) -> (Ours, Vec<u8>) {
    let mut client = Ours::client(&verifying());
    let mut server = Reference::server(reference_server(version, &world().ecdsa));
    server.take(&client.out());
    (client, server.out())
}
