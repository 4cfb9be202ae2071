//! Plaintext: every length, every cut, key updates, and how a stream ends.

use postern::tls::fault::TlsFault;
use postern::tls::session::{Received, Session};
use proptest::prelude::{ProptestConfig, proptest};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::handshake::listener;
use super::peer::{
    Ours, Peer, Reference, Wire, converse, exchange, reference_client, reference_server, text,
};
use crate::harness::authority::world;

/// A connection with the library's client that has shaken hands.
pub(super) fn secured(version: &'static SupportedProtocolVersion) -> (Reference, Ours) {
    let mut client = Reference::client(reference_client(version, None));
    let mut server = Ours::server(&listener(&[&world().ecdsa]));
    exchange(&mut client, &mut server);
    server.secured();
    (client, server)
}

#[test]
fn records_of_any_length_are_the_same_plaintext() {
    for version in [&TLS12, &TLS13] {
        let (mut client, mut server) = secured(version);
        let mut want = Vec::new();
        for len in [1, 2, 15, 16, 17, 255, 4096, 16_383, 16_384, 16_385, 32_768, 100_000] {
            let said = text(len, len as u64);
            client.say(&said);
            server.say(&said);
            want.extend_from_slice(&said);
            exchange(&mut client, &mut server);
        }
        assert!(server.heard() == want && client.heard() == want);
        converse_after(&mut client, &mut server);
    }
}

fn converse_after(client: &mut Reference, server: &mut Ours) {
    client.heard.clear();
    server.heard.clear();
    converse(client, server);
}

/// Full records, each cut at another octet, the next one behind it in the same piece.
#[test]
fn a_long_record_may_be_cut_anywhere() {
    for version in [&TLS12, &TLS13] {
        let (mut client, mut server) = secured(version);
        let said = text(16_384 + 5, 7);
        client.say(&said);
        let length = client.out();
        let mut length = {
            server.take(&length);
            length.len()
        };
        let mut cut = 0;
        while cut <= length {
            server.heard.clear();
            client.say(&said);
            let wire = client.out();
            length = wire.len();
            Wire::cut_at(cut).carry(&wire, &mut server);
            assert!(server.heard() == said, "cut at {cut}");
            // Every octet near the ends of records, fewer in their midst.
            cut += if (64..16_300).contains(&cut) { 61 } else { 1 };
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any lengths in any pieces.
    #[test]
    fn pieces_of_any_size_are_the_same_plaintext(
        said in proptest::collection::vec(1_usize..40_000, 1..6),
        pieces in proptest::collection::vec(1_usize..30_000, 1..20),
        is_13: bool,
    ) {
        let (mut client, mut server) = secured(if is_13 { &TLS13 } else { &TLS12 });
        let (mut wire, mut want) = (Vec::new(), Vec::new());
        for len in said {
            let octets = text(len, len as u64);
            client.say(&octets);
            wire.append(&mut client.out());
            want.extend_from_slice(&octets);
        }
        let mut rest = wire.as_slice();
        for piece in pieces.into_iter().chain([usize::MAX]) {
            let (head, tail) = rest.split_at(piece.min(rest.len()));
            server.take(head);
            rest = tail;
        }
        assert!(server.heard() == want && server.fault.is_none());
    }
}

/// Nothing is copied that came whole: the plaintext stands where its record was.
#[test]
fn records_are_opened_where_they_stand() {
    let (mut client, mut server) = secured(&TLS13);
    client.say(&text(1000, 3));
    let mut wire = client.out();
    let place = wire.as_ptr_range();
    let step = server.session.receive(&mut wire, &mut server.out).unwrap();
    let Received::Plaintext(octets) = step.received else { panic!("{step:?}") };
    assert!(place.contains(&octets.as_ptr()) && octets.len() == 1000);
}

#[test]
fn keys_are_updated_by_the_peer_and_at_its_wish() {
    let (mut client, mut server) = secured(&TLS13);
    for round in 0..40 {
        client.connection.refresh_traffic_keys().unwrap();
        client.say(b"again");
        exchange(&mut client, &mut server);
        server.say(b"again");
        exchange(&mut client, &mut server);
        assert_eq!((server.heard().len(), client.heard().len()), (5 * (round + 1), 5 * (round + 1)));
    }
    let mut client = Ours::client(&super::handshake::verifying());
    let mut server = Reference::server(reference_server(&TLS13, &world().ecdsa));
    exchange(&mut client, &mut server);
    server.connection.refresh_traffic_keys().unwrap();
    exchange(&mut client, &mut server);
    converse(&mut client, &mut server);
}

#[test]
fn endless_key_updates_end_the_session() {
    let (mut client, mut server) = secured(&TLS13);
    for _ in 0..33 {
        client.connection.refresh_traffic_keys().unwrap();
    }
    exchange(&mut client, &mut server);
    assert_eq!(server.fault.as_ref().map(TlsFault::name), Some("protocol"));
}

#[test]
fn an_end_without_close_notify_is_no_close() {
    for version in [&TLS12, &TLS13] {
        let (mut client, mut server) = secured(version);
        client.say(b"MAIL FROM:<a@example.org>\r\n");
        exchange(&mut client, &mut server);
        assert!(!server.is_closed());
        client.close();
        let farewell = client.out();
        server.take(&farewell[..farewell.len() - 1]);
        assert!(!server.is_closed(), "the close_notify itself is cut");
        server.take(&farewell[farewell.len() - 1..]);
        assert!(server.is_closed());
    }
}

/// After a close_notify nothing is heard any more, and we may still answer (RFC 8446 §6.1).
#[test]
fn nothing_is_heard_behind_close_notify() {
    let (mut client, mut server) = secured(&TLS13);
    client.say(b"QUIT\r\n");
    client.close();
    let mut wire = client.out();
    wire.extend_from_slice(b"\x17\x03\x03\x00\x20 this is not a record of anybody .");
    server.take(&wire);
    assert_eq!((server.heard(), server.is_closed(), &server.fault), (&b"QUIT\r\n"[..], true, &None));
    server.say(b"221 2.0.0 bye\r\n");
    server.close();
    exchange(&mut client, &mut server);
    assert!(client.heard() == b"221 2.0.0 bye\r\n" && client.is_closed());
    assert!(server.session.send(b"more", &mut Vec::new()).is_err(), "we said that nothing follows");
}

#[test]
fn nothing_can_be_said_before_hands_are_shaken() {
    let mut session = Session::server(&listener(&[&world().ecdsa])).unwrap();
    let mut out = Vec::new();
    assert_eq!(session.send(b"220 hello\r\n", &mut out).map_err(|fault| fault.name()), Err("internal"));
    session.close(&mut out);
    assert!(out.is_empty() && !session.is_secured() && !session.is_cleanly_closed());
}

/// The convenient way gives the same.
#[test]
fn all_can_be_received_in_one_call() {
    let (mut client, mut server) = secured(&TLS13);
    let said = text(70_000, 9);
    client.say(&said);
    let (mut wire, mut heard, mut facts) = (client.out(), Vec::new(), 0);
    let mut plaintext = |octets: &[u8]| heard.extend_from_slice(octets);
    let closed = server.session.receive_all(&mut wire, &mut |_| facts += 1, &mut plaintext, &mut server.out);
    assert_eq!((closed, facts, heard == said), (Ok(false), 0, true));
}
