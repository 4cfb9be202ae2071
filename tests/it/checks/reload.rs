//! Certificates replaced while the program serves (check 27 for certificates).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rcgen::PKCS_ECDSA_P256_SHA256;

use super::tls::secured;
use super::{Client, PATIENCE, Plan, Proxy, Setup, Upstream, eventually, in_parallel};
use crate::harness::authority::{HOST, Issued, self_signed, world};
use crate::harness::program::output;
use crate::harness::secure::{VERSIONS, client_config};

fn serving() -> (Upstream, Proxy) {
    let upstream = Plan::bdat().start();
    let proxy = secured(Setup::toward(upstream.address), "implicit", "").start();
    (upstream, proxy)
}

fn renew(proxy: &Proxy, own: &Issued) {
    proxy.write("mx.pem", &own.certificate);
    proxy.write("mx.key", &own.key);
}

/// The certificate that a new client is shown.
#[track_caller]
fn shown(proxy: &Proxy) -> Vec<u8> {
    let client = Client::implicit(proxy.address, &client_config(&VERSIONS, None));
    client.tls().peer_certificates().unwrap()[0].to_vec()
}

#[track_caller]
fn await_shown(proxy: &Proxy, own: &Issued) {
    assert!(eventually(PATIENCE, || shown(proxy) == own.der), "the new certificate is not shown");
}

#[test]
fn certificates_are_replaced_under_load() {
    const RELOADS: usize = 20;
    const HANDSHAKES_MIN: usize = 300;
    let (upstream, mut proxy) = serving();
    let issued: Vec<Issued> =
        (0..RELOADS).map(|_| world().authority.issue(&[HOST], &PKCS_ECDSA_P256_SHA256)).collect();
    let mut lasting = Client::implicit(proxy.address, &client_config(&VERSIONS, None));
    assert_eq!(lasting.command("EHLO client.example").code, 250);
    let (is_over, handshakes) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (proxy, is_over, handshakes) = (&proxy, &is_over, &handshakes);
            scope.spawn(move || {
                // Half of them come back with tickets of before.
                let kept = client_config(&VERSIONS, None);
                while !is_over.load(Ordering::Relaxed) {
                    let config = if n % 2 == 0 { &kept } else { &client_config(&VERSIONS, None) };
                    let mut client = Client::implicit(proxy.address, config);
                    assert_eq!(client.command("EHLO client.example").code, 250);
                    assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
                    handshakes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for (n, own) in issued.iter().enumerate() {
            let enough = |so_far: usize| handshakes.load(Ordering::Relaxed) >= so_far;
            assert!(eventually(PATIENCE, || enough(n * HANDSHAKES_MIN / RELOADS)), "handshakes do not go on");
            renew(&proxy, own);
            let answer = proxy.order("/api/reload");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        assert!(eventually(PATIENCE, || handshakes.load(Ordering::Relaxed) >= HANDSHAKES_MIN));
        is_over.store(true, Ordering::Relaxed);
    });
    await_shown(&proxy, &issued[RELOADS - 1]);
    assert_eq!(lasting.message("b@hop.example", b"x\r\n").code, 250, "who was there goes on");
    let failures = "postern_tls_failures_total";
    let page = proxy.page("/metrics");
    let failed: Vec<_> = page.lines().filter(|line| line.starts_with(failures)).collect();
    assert!(!failed.is_empty() && failed.iter().all(|line| line.ends_with(" 0")), "{failed:?}");
    assert_eq!(upstream.messages().len(), handshakes.load(Ordering::Relaxed) + 1);
    proxy.assert_well();
}

#[test]
fn a_signal_reads_certificates_again() {
    let (_upstream, mut proxy) = serving();
    assert_eq!(shown(&proxy), world().ecdsa.der);
    renew(&proxy, &world().rsa);
    proxy.hang_up();
    proxy.await_line("were read again").unwrap();
    await_shown(&proxy, &world().rsa);
}

/// `postern ctl reload`: whether it went well, and what it said.
fn order(proxy: &Proxy) -> (bool, String) {
    let admin = format!("http://{}", proxy.admin);
    let output = output(&["ctl", "reload", "--admin", &admin]);
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_cannot_be_used_is_named_and_changes_nothing() {
    let own = &world().ecdsa;
    let rows = [
        ("", own.key.as_str(), "mx.pem", "no certificate"),
        (own.certificate.as_str(), "", "mx.key", "no private key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", own.key.as_str(), "mx.pem", "PEM"),
        (own.certificate.as_str(), world().rsa.key.as_str(), "mx.key", "is not the key of"),
    ];
    let (_upstream, mut proxy) = serving();
    for (certificate, key, file, why) in rows {
        proxy.write("mx.pem", certificate);
        proxy.write("mx.key", key);
        let (went_well, said) = order(&proxy);
        assert!(!went_well && said.contains(file) && said.contains(why), "{said}");
        assert!(said.contains("postern.toml:"), "{said}");
        assert_eq!(shown(&proxy), own.der);
    }
    let told = proxy.said();
    assert_eq!(told.matches("those in use stay").count(), rows.len(), "{told}");
    renew(&proxy, &world().rsa);
    assert_eq!(order(&proxy), (true, String::new()));
    await_shown(&proxy, &world().rsa);
    proxy.assert_well();
}

#[test]
fn another_configuration_needs_a_restart() {
    let (_upstream, proxy) = serving();
    let text = std::fs::read_to_string(proxy.config()).unwrap();
    proxy.write("postern.toml", &text.replace("postern.example", "other.example"));
    renew(&proxy, &self_signed(&[HOST]));
    let (went_well, said) = order(&proxy);
    assert!(!went_well && said.contains("restart"), "{said}");
    assert_eq!(shown(&proxy), world().ecdsa.der);
    proxy.write("postern.toml", &text);
    assert!(order(&proxy).0);
}

/// Reloads that overlap are one after the other.
#[test]
fn many_may_ask_at_once() {
    let (_upstream, mut proxy) = serving();
    in_parallel(4, 16, |_| assert!(proxy.order("/api/reload").starts_with("HTTP/1.1 200")));
    assert_eq!(shown(&proxy), world().ecdsa.der);
    proxy.assert_well();
}
