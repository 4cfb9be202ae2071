//! TLSA records against chains, alone and in a handshake.

use postern::tls::certificate;
use postern::tls::client_policy::{Authentication, ClientPolicy, server_name};
use postern::tls::dane::{Match, Tlsa, is_usable, verify};
use postern::tls::fault::CertificateFault;
use postern::tls::secured::Trust;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256, Sha512};

use super::handshake::listener;
use super::peer::{Ours, converse, exchange};
use crate::harness::authority::{HOST, Issued, world};

/// 2026-01-01, inside of what the test's certificates are valid for.
const NOW: u64 = 1_767_225_600;

/// The record that says `usage selector matching` of a certificate.
fn tlsa(usage: u8, selector: u8, matching: u8, der: &[u8]) -> Tlsa {
    let selected = if selector == 0 { der } else { certificate::fields(der).unwrap().key };
    let data = match matching {
        0 => selected.to_vec(),
        1 => Sha256::digest(selected).to_vec(),
        _ => Sha512::digest(selected).to_vec(),
    };
    Tlsa { usage, selector, matching, data }
}

#[track_caller]
fn check(records: &[Tlsa], chain: &[&[u8]], names: &[&str], want: Result<Match, CertificateFault>) {
    let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(*der)).collect();
    let names: Vec<_> = names.iter().map(|name| server_name(name).unwrap()).collect();
    assert_eq!(verify(records, &chain, &names, NOW), want, "{records:02x?}");
}

/// All selectors and matchings.
fn kinds() -> impl Iterator<Item = (u8, u8)> {
    (0..2).flat_map(|selector| (0..3).map(move |matching| (selector, matching)))
}

#[test]
fn usage_3_asks_nothing_but_the_certificate_or_its_key() {
    let world = world();
    for own in [&world.ecdsa, &world.rsa, &world.expired, &world.unknown] {
        for (selector, matching) in kinds() {
            let record = tlsa(3, selector, matching, &own.der);
            check(std::slice::from_ref(&record), &[&own.der], &["x.example"], Ok(Match::EndEntity));
            check(&[record], &[&world.other.der], &[HOST], Err(CertificateFault::NoTlsaMatch));
        }
    }
    // Of another certificate in the chain it says nothing.
    let record = tlsa(3, 0, 1, &world.authority.der);
    check(&[record], &[&world.ecdsa.der, &world.authority.der], &[HOST], Err(CertificateFault::NoTlsaMatch));
}

#[test]
fn usage_2_asks_for_a_chain_a_name_and_dates() {
    let world = world();
    let anchor = &world.authority.der[..];
    for (selector, matching) in kinds() {
        let record = [tlsa(2, selector, matching, anchor)];
        let check = |own: &Issued, names: &[&str], want| check(&record, &[&own.der, anchor], names, want);
        check(&world.ecdsa, &[HOST], Ok(Match::TrustAnchor));
        check(&world.ecdsa, &["x.example", HOST], Ok(Match::TrustAnchor));
        check(&world.ecdsa, &["x.example"], Err(CertificateFault::WrongName));
        check(&world.ecdsa, &[], Err(CertificateFault::WrongName));
        check(&world.expired, &[HOST], Err(CertificateFault::Expired));
        check(&world.early, &[HOST], Err(CertificateFault::NotYetValid));
        check(&world.unknown, &[HOST], Err(CertificateFault::UnknownIssuer));
    }
    // An anchor that is not shown is known only where the DNS has all of it.
    for (selector, matching) in kinds() {
        let whole = (selector, matching) == (0, 0);
        let want = if whole { Ok(Match::TrustAnchor) } else { Err(CertificateFault::NoTlsaMatch) };
        check(&[tlsa(2, selector, matching, anchor)], &[&world.ecdsa.der], &[HOST], want);
    }
    check(
        &[tlsa(2, 0, 1, &world.ecdsa.der)],
        &[&world.ecdsa.der],
        &[HOST],
        Err(CertificateFault::NoTlsaMatch),
    );
    check(&[tlsa(2, 0, 1, anchor)], &[], &[HOST], Err(CertificateFault::Missing));
}

#[test]
fn one_good_record_is_enough() {
    let world = world();
    let records = [
        tlsa(2, 0, 1, &world.stranger.der),
        tlsa(1, 0, 1, &world.ecdsa.der),
        tlsa(3, 1, 1, &world.other.der),
        tlsa(2, 1, 2, &world.authority.der),
    ];
    check(&records, &[&world.ecdsa.der, &world.authority.der], &[HOST], Ok(Match::TrustAnchor));
}

/// RFC 7671 §9: a stale SHA-256 beside a SHA-512 says nothing, of the same usage and selector.
#[test]
fn the_strongest_digest_counts() {
    let world = world();
    let (good, stale) = (tlsa(3, 1, 1, &world.ecdsa.der), tlsa(3, 1, 2, &world.other.der));
    let chain: &[&[u8]] = &[&world.ecdsa.der];
    check(&[good.clone(), stale.clone()], chain, &[HOST], Err(CertificateFault::NoTlsaMatch));
    check(&[good.clone(), Tlsa { selector: 0, ..stale.clone() }], chain, &[HOST], Ok(Match::EndEntity));
    check(&[tlsa(3, 1, 0, &world.ecdsa.der), stale], chain, &[HOST], Ok(Match::EndEntity));
    // One that cannot be used displaces none.
    let broken = Tlsa { matching: 2, data: vec![0; 63], ..good };
    check(&[good, broken], chain, &[HOST], Ok(Match::EndEntity));
}

#[test]
fn records_that_mean_nothing_in_mail_are_unusable() {
    let good = tlsa(3, 1, 1, &world().ecdsa.der);
    assert!(is_usable(&good) && is_usable(&Tlsa { usage: 2, ..good.clone() }));
    let sized = |matching, len| Tlsa { matching, data: vec![0; len], ..good.clone() };
    let broken = [sized(0, 0), sized(1, 31), sized(1, 64), sized(2, 32), sized(3, 32), sized(255, 32)];
    let usages = [0, 1, 4, 255].map(|usage| Tlsa { usage, ..good.clone() });
    let selectors = [2, 255].map(|selector| Tlsa { selector, ..good.clone() });
    for record in broken.iter().chain(&usages).chain(&selectors) {
        assert!(!is_usable(record), "{record:?}");
        check(
            std::slice::from_ref(record),
            &[&world().ecdsa.der],
            &[HOST],
            Err(CertificateFault::NoTlsaMatch),
        );
    }
}

#[test]
fn a_handshake_is_held_to_the_records() {
    let world = world();
    let plain = ClientPolicy::new(Authentication::None, Some(world.client.identity())).unwrap();
    let visit = |record: Tlsa, own: &Issued| {
        let policy = plain
            .with(Authentication::Dane { records: vec![record], names: vec![server_name(HOST).unwrap()] })
            .unwrap();
        let (mut client, mut server) = (Ours::client(&policy), Ours::server(&listener(&[own])));
        exchange(&mut client, &mut server);
        match client.fault {
            Some(fault) => Err(fault.name()),
            None => {
                let trust = client.secured().trust();
                converse(&mut client, &mut server);
                Ok(trust)
            }
        }
    };
    assert_eq!(visit(tlsa(3, 1, 1, &world.expired.der), &world.expired), Ok(Trust::Dane));
    assert_eq!(visit(tlsa(2, 0, 0, &world.authority.der), &world.rsa), Ok(Trust::Dane));
    assert_eq!(visit(tlsa(3, 1, 1, &world.other.der), &world.ecdsa), Err("certificate_no_tlsa_match"));
    assert_eq!(visit(tlsa(2, 0, 0, &world.authority.der), &world.other), Err("certificate_wrong_name"));
}
