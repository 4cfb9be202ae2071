//! Who is believed: clients by authority or fingerprint, next hops by authority, name or key.

use postern::tls::client_policy::{Authentication, ClientPolicy, server_name};
use postern::tls::identity::{Identity, IdentityFault};
use postern::tls::secured::{Fingerprint, Trust};
use postern::tls::server_policy::{ClientCertificates, ServerPolicy, Trusted};
use postern::tls::trust::Authorities;
use rustls::version::{TLS12, TLS13};
use sha2::{Digest, Sha256};

use super::handshake::{listener, verifying};
use super::peer::{Ours, Reference, converse, exchange, reference_client};
use crate::harness::authority::{HOST, Issued, self_signed, world};

fn print(issued: &Issued) -> Fingerprint {
    Fingerprint(Sha256::digest(&issued.der).into())
}

fn key_print(issued: &Issued) -> Fingerprint {
    let fields = postern::tls::certificate::fields(&issued.der).unwrap();
    Fingerprint(Sha256::digest(fields.key).into())
}

/// What our client finds at a server that shows `own`, and that the server hears of it.
#[track_caller]
fn check_server(authentication: Authentication, name: &str, own: &Issued, want: Result<Trust, &str>) {
    let policy = ClientPolicy::new(authentication, None).unwrap();
    let (mut client, mut server) = (Ours::client_of(&policy, name), Ours::server(&listener(&[own])));
    exchange(&mut client, &mut server);
    let found = match &client.fault {
        Some(fault) => Err(fault.name()),
        None => Ok(client.secured().trust()),
    };
    assert_eq!(found, want);
    match want {
        Ok(_) => converse(&mut client, &mut server),
        Err(_) => assert_eq!(server.fault.unwrap().name(), "alert"),
    }
}

fn by_authority(names: &[&str]) -> Authentication {
    let names = names.iter().map(|name| server_name(name).unwrap()).collect();
    Authentication::Authorities { authorities: world().authority.trusted(), names }
}

#[test]
fn a_next_hop_proves_who_it_is() {
    let world = world();
    check_server(by_authority(&[]), HOST, &world.ecdsa, Ok(Trust::Authority));
    check_server(by_authority(&[]), "MX1.example.net.", &world.ecdsa, Ok(Trust::Authority));
    check_server(by_authority(&[]), "a.wild.example", &world.wildcard, Ok(Trust::Authority));
    check_server(by_authority(&["x.example", HOST]), "192.0.2.1", &world.rsa, Ok(Trust::Authority));
    check_server(by_authority(&[]), HOST, &world.other, Err("certificate_wrong_name"));
    check_server(by_authority(&["x.example"]), HOST, &world.ecdsa, Err("certificate_wrong_name"));
    check_server(by_authority(&[]), "192.0.2.1", &world.ecdsa, Err("certificate_wrong_name"));
    check_server(by_authority(&[]), HOST, &world.expired, Err("certificate_expired"));
    check_server(by_authority(&[]), HOST, &world.early, Err("certificate_not_yet_valid"));
    check_server(by_authority(&[]), HOST, &world.unknown, Err("certificate_unknown_issuer"));
    check_server(by_authority(&[]), HOST, &self_signed(&[HOST]), Err("certificate_unknown_issuer"));
    let address = world.authority.issue(&["192.0.2.1"], &rcgen::PKCS_ECDSA_P256_SHA256);
    check_server(by_authority(&[]), "192.0.2.1", &address, Ok(Trust::Authority));
}

#[test]
fn without_authentication_any_certificate_will_do_and_none_is_believed() {
    for own in
        [&world().ecdsa, &world().other, &world().expired, &world().unknown, &self_signed(&["x.example"])]
    {
        check_server(Authentication::None, HOST, own, Ok(Trust::None));
    }
}

#[test]
fn a_pinned_certificate_or_key_needs_nothing_else() {
    let (own, other) = (self_signed(&["x.example"]), &world().ecdsa);
    for pins in [vec![print(&own)], vec![key_print(&own)], vec![print(other), key_print(&own)]] {
        check_server(Authentication::Pinned(pins), HOST, &own, Ok(Trust::Pinned));
    }
    check_server(
        Authentication::Pinned(vec![print(&world().expired)]),
        HOST,
        &world().expired,
        Ok(Trust::Pinned),
    );
    check_server(Authentication::Pinned(vec![print(other)]), HOST, &own, Err("certificate_not_pinned"));
    check_server(Authentication::Pinned(Vec::new()), HOST, other, Err("certificate_not_pinned"));
}

/// What a listener finds of a client that shows `own`, over both versions.
#[track_caller]
fn check_client(clients: &ClientCertificates, own: Option<&Issued>, want: Result<Trust, &str>) {
    for version in [&TLS12, &TLS13] {
        let policy = ServerPolicy::new(vec![world().ecdsa.identity()], clients).unwrap();
        let mut client = Reference::client(reference_client(version, own));
        let mut server = Ours::server(&policy);
        exchange(&mut client, &mut server);
        let found = match &server.fault {
            Some(fault) => Err(fault.name()),
            None => Ok(server.secured().trust()),
        };
        assert_eq!(found, want);
        let Ok(trust) = want else {
            assert!(client.fault.is_some(), "the client hears why");
            continue;
        };
        let shown = own.filter(|_| !matches!(clients, ClientCertificates::None));
        assert_eq!(
            server.secured().peer.as_ref().map(|peer| (peer.certificate, peer.key, peer.trust)),
            shown.map(|own| (print(own), key_print(own), trust))
        );
        converse(&mut client, &mut server);
    }
}

#[test]
fn clients_are_asked_for_certificates() {
    let world = world();
    let (known, unknown) = (Some(&world.client), Some(&world.unknown_client));
    check_client(&ClientCertificates::None, known, Ok(Trust::None));

    let by_authority = || Trusted { authorities: Some(world.authority.trusted()), pins: Vec::new() };
    check_client(&ClientCertificates::Ask(by_authority()), None, Ok(Trust::None));
    check_client(&ClientCertificates::Ask(by_authority()), known, Ok(Trust::Authority));
    check_client(&ClientCertificates::Require(by_authority()), None, Err("certificate_missing"));
    check_client(&ClientCertificates::Require(by_authority()), known, Ok(Trust::Authority));
    check_client(&ClientCertificates::Require(by_authority()), unknown, Err("certificate_unknown_issuer"));
    check_client(
        &ClientCertificates::Require(by_authority()),
        Some(&world.expired),
        Err("certificate_expired"),
    );

    let pins = vec![print(&world.unknown_client)];
    let pinned = Trusted { authorities: None, pins };
    check_client(&ClientCertificates::Require(pinned.clone()), unknown, Ok(Trust::Pinned));
    check_client(&ClientCertificates::Require(pinned.clone()), known, Err("certificate_not_pinned"));
    let both = Trusted { authorities: Some(world.authority.trusted()), ..pinned };
    check_client(&ClientCertificates::Require(both.clone()), unknown, Ok(Trust::Pinned));
    check_client(&ClientCertificates::Require(both), known, Ok(Trust::Authority));
    let nobody = ClientCertificates::Ask(Trusted::default());
    check_client(&nobody, unknown, Ok(Trust::None));
}

/// Our own client shows its certificate to who asks, and nothing to who does not.
#[test]
fn our_client_shows_its_certificate() {
    let world = world();
    let trusted = Trusted { authorities: Some(world.authority.trusted()), pins: Vec::new() };
    let demanding =
        ServerPolicy::new(vec![world.rsa.identity()], &ClientCertificates::Require(trusted)).unwrap();
    let authentication = by_authority(&[]);
    let policy = ClientPolicy::new(authentication, Some(world.client.identity())).unwrap();
    let (mut client, mut server) = (Ours::client(&policy), Ours::server(&demanding));
    exchange(&mut client, &mut server);
    assert_eq!(server.secured().trust(), Trust::Authority);
    converse(&mut client, &mut server);

    // In 1.3 a client without one has shaken hands before it hears that it may not.
    let (mut client, mut server) = (Ours::client(&verifying()), Ours::server(&demanding));
    exchange(&mut client, &mut server);
    assert_eq!(client.fault.map(|fault| fault.to_string()), Some("alert certificate_required".to_owned()));
    assert_eq!(server.fault.unwrap().name(), "certificate_missing");

    let (mut client, mut server) = (Ours::client(&policy), Ours::server(&listener(&[&world.ecdsa])));
    exchange(&mut client, &mut server);
    assert_eq!(server.secured().peer, None);
}

#[track_caller]
fn check_identity(chain: &str, key: &str, want: &IdentityFault) {
    assert_eq!(Identity::read(chain.as_bytes(), key.as_bytes()).err().as_ref(), Some(want));
}

#[test]
fn what_cannot_be_our_certificate_says_why() {
    let (own, other) = (&world().ecdsa, &world().rsa);
    let certificate = |why: &str| IdentityFault::Certificate(why.to_owned());
    let key = |why: &str| IdentityFault::Key(why.to_owned());
    check_identity("", &own.key, &certificate("it holds no certificate in PEM"));
    check_identity(&own.key, &own.key, &certificate("it holds no certificate in PEM"));
    check_identity(&own.certificate, "", &key("it holds no private key in PEM"));
    check_identity(&own.certificate, &own.certificate, &key("it holds no private key in PEM"));
    check_identity(&own.certificate, &other.key, &IdentityFault::Mismatch);
    let bundle = own.certificate.repeat(17);
    check_identity(&bundle, &own.key, &certificate("it holds more than 16 certificates"));
    let noise = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    check_identity(noise, &own.key, &certificate("it is no X.509 certificate"));
    let secret = own.key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    check_identity(
        &own.certificate,
        &secret,
        &key("it is encrypted, and nobody is there to be asked for its passphrase"),
    );
    let identity = own.identity();
    assert!(identity.is_for(HOST) && !identity.is_for("x.example") && identity.not_after() > Some(0));
}

#[test]
fn authorities_are_read_from_a_bundle() {
    let world = world();
    let both = format!("{}{}", world.authority.pem, world.stranger.pem);
    assert_eq!(Authorities::read(both.as_bytes()).map(|authorities| authorities.len()), Ok(2));
    let none = Authorities::read(b"# nothing\n").map(|authorities| authorities.len());
    assert_eq!(none, Err("it holds no certificate in PEM".to_owned()));
    let noise = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let none = Authorities::read(noise).map(|authorities| authorities.len());
    assert_eq!(none, Err("no certificate in it can be used".to_owned()));
}
