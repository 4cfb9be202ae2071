//! What only shows after more records than a test can seal.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::version::TLS12;

use super::{Session, Stage};
use crate::tls::client_policy::{Authentication, ClientPolicy};
use crate::tls::fault::TlsFault;
use crate::tls::identity::Identity;
use crate::tls::server_policy::{ClientCertificates, ServerPolicy};

fn policy() -> ServerPolicy {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate =
        CertificateParams::new(vec!["mx1.example.net".to_owned()]).unwrap().self_signed(&key).unwrap();
    let identity = Identity::read(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    ServerPolicy::new(vec![identity], &ClientCertificates::None).unwrap()
}

/// Leaves `records` that `session` may seal with its key.
fn spend(session: &mut Session, records: u64) {
    let Stage::Traffic(traffic) = &mut session.0 else { panic!("hands are not shaken") };
    traffic.spend(records);
}

fn hear(session: &mut Session, wire: &mut Vec<u8>, out: &mut Vec<u8>) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut plaintext = |octets: &[u8]| heard.extend_from_slice(octets);
    session.receive_all(wire, &mut |_| {}, &mut plaintext, out).unwrap();
    wire.clear();
    heard
}

#[test]
fn a_spent_key_is_followed_by_the_next() {
    let mut there = Vec::new();
    let client = ClientPolicy::new(Authentication::None, None).unwrap();
    let mut client = Session::client(&client, "mx1.example.net", &mut there).unwrap();
    let (mut server, mut back) = (Session::server(&policy()).unwrap(), Vec::new());
    while !there.is_empty() || !back.is_empty() {
        hear(&mut server, &mut there, &mut back);
        hear(&mut client, &mut back, &mut there);
    }
    for records in [1, 2, 3] {
        spend(&mut server, records);
        let said = vec![b'x'; 5 * 16 * 1024];
        server.send(&said, &mut back).unwrap();
        assert_eq!(hear(&mut client, &mut back, &mut there), said);
        assert!(there.is_empty(), "no key of the other direction was asked for");
    }
}

/// TLS 1.2 has no next key; the last record says that nothing follows.
#[test]
fn a_spent_key_of_tls_12_ends_the_session() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config =
        rustls::ClientConfig::builder_with_provider(provider.into()).with_protocol_versions(&[&TLS12]);
    let anybody = std::sync::Arc::new(crate::tls::verifier::ServerVerifier(Authentication::None));
    let config = config.unwrap().dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth();
    let name = "mx1.example.net".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(config.into(), name).unwrap();
    let mut server = Session::server(&policy()).unwrap();
    let (mut there, mut back) = (Vec::new(), Vec::new());
    while client.is_handshaking() {
        while client.wants_write() {
            client.write_tls(&mut there).unwrap();
        }
        hear(&mut server, &mut there, &mut back);
        client.read_tls(&mut &back[..]).unwrap();
        client.process_new_packets().unwrap();
        back.clear();
    }
    spend(&mut server, 3);
    assert_eq!(server.send(b"220 hello\r\n", &mut back), Ok(()));
    assert_eq!(server.send(b"250 hello\r\n", &mut back), Ok(()));
    assert_eq!(server.send(b"250 again\r\n", &mut back), Err(TlsFault::KeySpent));
    server.close(&mut back);
    client.read_tls(&mut &back[..]).unwrap();
    let state = client.process_new_packets().unwrap();
    assert_eq!((state.plaintext_bytes_to_read(), state.peer_has_closed()), (22, true));
}
