//! Both versions, all ciphers, each kind of key, names, and every cut.

use postern::tls::client_policy::{Authentication, ClientPolicy};
use postern::tls::secured::{Trust, Version};
use postern::tls::server_policy::{ClientCertificates, ServerPolicy};
use rustls::version::{TLS12, TLS13};
use rustls::{SignatureScheme, SupportedProtocolVersion};

use super::peer::{
    Ours, Peer, Reference, Wire, converse, exchange, exchange_over, reference_client, reference_server,
};
use crate::harness::authority::{HOST, Issued, world};

pub(super) fn listener(own: &[&Issued]) -> ServerPolicy {
    let identities = own.iter().map(|own| own.identity()).collect();
    ServerPolicy::new(identities, &ClientCertificates::None).unwrap()
}

pub(super) fn verifying() -> ClientPolicy {
    let authorities = world().authority.trusted();
    ClientPolicy::new(Authentication::Authorities { authorities, names: Vec::new() }, None).unwrap()
}

#[test]
fn two_of_ours_understand_each_other() {
    for own in [&world().ecdsa, &world().rsa, &world().ed25519] {
        let (mut client, mut server) = (Ours::client(&verifying()), Ours::server(&listener(&[own])));
        exchange(&mut client, &mut server);
        let (facts, of_server) = (client.secured(), server.secured());
        assert_eq!((facts.version, facts.cipher), (Version::Tls13, "TLS_AES_128_GCM_SHA256"));
        assert_eq!((facts.key_exchange, facts.cipher_bits, facts.is_resumed), ("X25519MLKEM768", 128, false));
        assert_eq!((facts.trust(), of_server.trust()), (Trust::Authority, Trust::None));
        assert_eq!(
            (facts.server_name.as_deref(), of_server.server_name.as_deref()),
            (Some(HOST), Some(HOST))
        );
        assert_eq!(facts.cipher, of_server.cipher);
        let shown = facts.peer.as_ref().unwrap();
        assert_eq!((&*shown.names[0], &*shown.issuer), (HOST, "Test Authority"));
        assert_eq!(&*shown.common_name, "CN of mx1.example.net");
        converse(&mut client, &mut server);
    }
}

/// Each cipher of the library in both roles, with the key it needs.
#[test]
fn every_cipher_is_spoken_with_the_library() {
    let mut spoken = Vec::new();
    for suite in rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES {
        let name = format!("{:?}", suite.suite());
        let version = if name.starts_with("TLS13") { &TLS13 } else { &TLS12 };
        let own = if name.contains("_RSA_") { &world().rsa } else { &world().ecdsa };
        let only = || {
            let mut provider = rustls::crypto::aws_lc_rs::default_provider();
            provider.cipher_suites = vec![*suite];
            std::sync::Arc::new(provider)
        };
        let client = rustls::ClientConfig::builder_with_provider(only()).with_protocol_versions(&[version]);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(world().authority.der.clone().into()).unwrap();
        let client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
        let (mut client, mut server) = (Reference::client(client), Ours::server(&listener(&[own])));
        exchange(&mut client, &mut server);
        spoken.push(server.secured().cipher);
        converse(&mut client, &mut server);

        let server = reference_server(version, own);
        let resolver = server.cert_resolver.clone();
        let server = rustls::ServerConfig::builder_with_provider(only()).with_protocol_versions(&[version]);
        let server = server.unwrap().with_no_client_auth().with_cert_resolver(resolver);
        let (mut client, mut server) = (Ours::client(&verifying()), Reference::server(server));
        exchange(&mut client, &mut server);
        assert_eq!(Some(&client.secured().cipher), spoken.last());
        converse(&mut client, &mut server);
    }
    spoken.sort_unstable();
    spoken.dedup();
    assert_eq!(spoken.len(), 9, "{spoken:?}");
}

/// Hands are shaken whatever the cut, in each direction; `step` is 1 where time allows.
#[track_caller]
fn check_cuts(version: &'static SupportedProtocolVersion, own: &Issued, step: usize) {
    let (policy, config) = (listener(&[own]), reference_client(version, None));
    let run = |mut there: Wire, mut back: Wire| {
        let (mut client, mut server) = (Reference::client(config.clone()), Ours::server(&policy));
        exchange_over(&mut client, &mut server, &mut there, &mut back);
        client.say(b"QUIT\r\n");
        server.say(b"221 2.0.0 bye\r\n");
        exchange_over(&mut client, &mut server, &mut there, &mut back);
        assert!(server.secured().cipher_bits >= 128, "cut at {} and {}", there.cut, back.cut);
        assert_eq!((server.heard(), client.heard()), (&b"QUIT\r\n"[..], &b"221 2.0.0 bye\r\n"[..]));
        there.carried
    };
    let length = run(Wire::WHOLE, Wire::WHOLE);
    (0..=length).step_by(step).for_each(|cut| {
        run(Wire::cut_at(cut), Wire::WHOLE);
    });
    check_client_cuts(version, own, step);
}

/// The same for our client, of which the library's server hears.
#[track_caller]
fn check_client_cuts(version: &'static SupportedProtocolVersion, own: &Issued, step: usize) {
    let (policy, config) = (verifying(), reference_server(version, own));
    let run = |mut back: Wire| {
        let (mut client, mut server) = (Ours::client(&policy), Reference::server(config.clone()));
        exchange_over(&mut client, &mut server, &mut Wire::WHOLE.clone(), &mut back);
        server.say(b"220 ready\r\n");
        exchange_over(&mut client, &mut server, &mut Wire::WHOLE.clone(), &mut back);
        assert_eq!(client.secured().trust(), Trust::Authority, "cut at {}", back.cut);
        assert_eq!(client.heard(), b"220 ready\r\n");
        back.carried
    };
    let length = run(Wire::WHOLE);
    (0..=length).step_by(step).for_each(|cut| {
        run(Wire::cut_at(cut));
    });
}

#[test]
fn a_handshake_may_be_cut_anywhere() {
    check_cuts(&TLS13, &world().ecdsa, 1);
    check_cuts(&TLS12, &world().ecdsa, 1);
    check_cuts(&TLS13, &world().rsa, 31);
    check_cuts(&TLS12, &world().rsa, 31);
}

/// A peer that puts 32 octets into a record: each message of a handshake, and each ticket behind it,
/// spans many of them.
#[test]
fn messages_may_span_records() {
    for version in [&TLS12, &TLS13] {
        let mut config = reference_server(version, &world().rsa);
        config.max_fragment_size = Some(32);
        let policy = verifying();
        for is_resumed in [false, true, true] {
            let (mut client, mut server) = (Ours::client(&policy), Reference::server(config.clone()));
            exchange(&mut client, &mut server);
            assert_eq!(client.secured().is_resumed, is_resumed);
            converse(&mut client, &mut server);
        }
        let mut config = reference_client(version, None);
        config.max_fragment_size = Some(32);
        let (mut client, mut server) = (Reference::client(config), Ours::server(&listener(&[&world().rsa])));
        exchange(&mut client, &mut server);
        converse(&mut client, &mut server);
    }
}

#[test]
fn a_handshake_may_come_octet_by_octet() {
    for version in [&TLS12, &TLS13] {
        let mut client = Reference::client(reference_client(version, None));
        let mut server = Ours::server(&listener(&[&world().rsa]));
        loop {
            let (from_client, from_server) = (client.out(), server.out());
            if from_client.is_empty() && from_server.is_empty() {
                break;
            }
            from_client.iter().for_each(|octet| server.take(&[*octet]));
            client.take(&from_server);
        }
        converse(&mut client, &mut server);
    }
}

/// What a client that asks for `name` and takes `schemes` only gets to see.
#[track_caller]
fn check_choice(own: &[&Issued], name: &str, with_rsa_only: bool, want: &Issued) {
    let policy = listener(own);
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if with_rsa_only {
        let is_rsa = |scheme: &SignatureScheme| format!("{scheme:?}").starts_with("RSA");
        let mapping = provider.signature_verification_algorithms.mapping;
        let kept: Vec<_> = mapping.iter().filter(|(scheme, _)| is_rsa(scheme)).copied().collect();
        provider.signature_verification_algorithms.mapping = kept.leak();
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add(world().authority.der.clone().into()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider.into());
    let config = config.with_protocol_versions(&[&TLS12, &TLS13]).unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = name.to_owned().try_into().unwrap();
    let connection = rustls::ClientConnection::new(config.into(), name).unwrap();
    let (mut client, mut server) = (Reference::client(reference_client(&TLS13, None)), Ours::server(&policy));
    client.connection = connection.into();
    exchange(&mut client, &mut server);
    let shown = client.connection.peer_certificates().map(|chain| chain[0].to_vec());
    assert!(shown.as_ref() == Some(&want.der), "{:?}", client.fault);
}

#[test]
fn certificates_are_chosen_by_name_and_by_what_a_client_takes() {
    let world = world();
    let all = [&world.rsa, &world.ecdsa, &world.other, &world.wildcard];
    check_choice(&all, HOST, false, &world.ecdsa);
    check_choice(&all, HOST, true, &world.rsa);
    check_choice(&all, "MX2.example.net", false, &world.other);
    check_choice(&all, "mail.example.org", false, &world.other);
    check_choice(&all, "a.wild.example", false, &world.wildcard);
}

/// Who asks for a name that nobody has gets the first certificate's names, and judges for itself.
#[test]
fn an_unknown_name_gets_the_first_certificate() {
    let policy = listener(&[&world().rsa, &world().other, &world().ecdsa]);
    let anybody = ClientPolicy::new(Authentication::None, None).unwrap();
    for name in ["b.a.wild.example", "unknown.example", "192.0.2.1"] {
        let (mut client, mut server) = (Ours::client_of(&anybody, name), Ours::server(&policy));
        exchange(&mut client, &mut server);
        assert_eq!(&*client.secured().peer.as_ref().unwrap().names[0], HOST, "{name}");
        assert_eq!(client.secured().trust(), Trust::None);
        let asked = server.secured().server_name.as_deref();
        assert_eq!(asked, Some(name).filter(|name| name.ends_with("example")));
    }
}
