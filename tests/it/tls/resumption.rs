//! Sessions are resumed where they began, and nowhere else.

use postern::tls::client_policy::ClientPolicy;
use postern::tls::secured::Trust;
use postern::tls::server_policy::{ClientCertificates, ServerPolicy, Trusted};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};

use super::handshake::{listener, verifying};
use super::peer::{Ours, Peer, Reference, converse, exchange, reference_client, reference_server};
use crate::harness::authority::world;

/// Whether the library's client, which keeps tickets in `config`, resumed at `policy`.
#[track_caller]
fn visit(config: &ClientConfig, policy: &ServerPolicy) -> (Option<bool>, Ours) {
    let (mut client, mut server) = (Reference::client(config.clone()), Ours::server(policy));
    exchange(&mut client, &mut server);
    if server.secured.is_none() || client.fault.is_some() {
        return (None, server);
    }
    converse(&mut client, &mut server);
    let resumed = client.connection.handshake_kind() == Some(HandshakeKind::Resumed);
    assert_eq!(server.secured().is_resumed, resumed);
    (Some(resumed), server)
}

#[test]
fn a_ticket_is_good_where_it_was_given() {
    for version in [&TLS12, &TLS13] {
        let (config, policy) = (reference_client(version, None), listener(&[&world().ecdsa]));
        assert_eq!(visit(&config, &policy).0, Some(false));
        for _ in 0..3 {
            assert_eq!(visit(&config, &policy).0, Some(true));
        }
        // An equal policy, as after a reload, has other keys.
        assert_eq!(visit(&config, &listener(&[&world().ecdsa])).0, Some(false));
    }
}

fn demanding() -> ServerPolicy {
    let trusted = Trusted { authorities: Some(world().authority.trusted()), pins: Vec::new() };
    let clients = ClientCertificates::Require(trusted);
    ServerPolicy::new(vec![world().ecdsa.identity()], &clients).unwrap()
}

/// The ticket of a listener that asks nothing, at one that demands a certificate.
#[test]
fn a_ticket_does_not_cross_to_another_listener() {
    for version in [&TLS12, &TLS13] {
        let (open, closed) = (listener(&[&world().ecdsa]), demanding());
        let config = reference_client(version, None);
        assert_eq!(visit(&config, &open).0, Some(false));
        assert_eq!(visit(&config, &open).0, Some(true));
        let (resumed, server) = visit(&config, &closed);
        assert_eq!(resumed, None, "a full handshake, in which the certificate is demanded");
        assert_eq!(server.fault.unwrap().name(), "certificate_missing");

        let config = reference_client(version, Some(&world().client));
        assert_eq!(visit(&config, &open).0, Some(false));
        let (resumed, server) = visit(&config, &closed);
        assert_eq!((resumed, server.secured().trust()), (Some(false), Trust::Authority));
        // Where it was shown, it is still known when the session is resumed.
        let (resumed, server) = visit(&config, &closed);
        assert_eq!((resumed, server.secured().trust()), (Some(true), Trust::Authority));
        assert_eq!(&*server.secured().peer.as_ref().unwrap().names[0], "client.example.org");
        // And what was given there is nothing at the first one.
        assert_eq!(visit(&config, &open).0, Some(false));
    }
}

#[test]
fn our_client_resumes_under_its_policy_only() {
    for version in [&TLS12, &TLS13] {
        let config = reference_server(version, &world().ecdsa);
        let resumed = |policy: &ClientPolicy| {
            let (mut client, mut server) = (Ours::client(policy), Reference::server(config.clone()));
            // The library's server keeps its keys in what is cloned.
            exchange(&mut client, &mut server);
            converse(&mut client, &mut server);
            assert_eq!(client.secured().trust(), Trust::Authority);
            assert!(client.secured().peer.is_some());
            client.secured().is_resumed
        };
        let policy = verifying();
        assert_eq!([resumed(&policy), resumed(&policy), resumed(&policy)], [false, true, true]);
        assert!(!resumed(&verifying()));
        let apart = policy.apart();
        assert_eq!([resumed(&apart), resumed(&apart), resumed(&policy)], [false, true, true]);
    }
}

/// As when certificates are replaced: who began under a policy goes on under it.
#[test]
fn a_session_outlives_its_policy() {
    for version in [&TLS12, &TLS13] {
        let policy = listener(&[&world().ecdsa]);
        let mut client = Reference::client(reference_client(version, None));
        let mut server = Ours::server(&policy);
        server.take(&client.out());
        drop(policy);
        exchange(&mut client, &mut server);
        converse(&mut client, &mut server);
    }
}
