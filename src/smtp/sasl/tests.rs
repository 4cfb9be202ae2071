use std::num::NonZeroU32;

use base64_simd::STANDARD;

use super::{Exchange, Mechanism, Refusal, ScramKeys, Secret, Step};

fn plain(response: &[u8]) -> Step {
    Exchange::begin(Mechanism::Plain, Some(response)).1
}

fn verify(user: &str, password: &str) -> Step {
    Step::Verify { user: user.to_owned(), password: Secret::new(password.as_bytes()) }
}

#[test]
fn plain_is_three_words() {
    assert_eq!(plain(b"\0ann\0pass word"), verify("ann", "pass word"));
    assert_eq!(plain(b"ann\0ann\0p"), verify("ann", "p"));
    assert_eq!(plain("\0änn\0ü".as_bytes()), verify("änn", "ü"));
    assert_eq!(plain(b"bob\0ann\0p"), Step::Refused(Refusal::OtherIdentity));
    for bad in [&b""[..], b"ann", b"\0ann", b"\0ann\0", b"\0\0p", b"\0ann\0p\0", b"\0a\r\nb\0p", b"\0\xff\0p"]
    {
        assert_eq!(plain(bad), Step::Refused(Refusal::Malformed), "{bad:?}");
    }
    let long = [b"\0ann\0", &[b'x'; 256][..]].concat();
    assert_eq!(plain(&long), Step::Refused(Refusal::Malformed));
}

#[test]
fn what_was_not_sent_at_once_is_asked_for() {
    let (mut exchange, step) = Exchange::begin(Mechanism::Plain, None);
    assert_eq!(step, Step::Challenge(Vec::new()));
    assert_eq!(exchange.respond(b"\0ann\0p"), verify("ann", "p"));
    // And then it is over.
    assert_eq!(exchange.respond(b"\0ann\0p"), Step::Refused(Refusal::Malformed));
}

#[test]
fn login_asks_twice() {
    let (mut exchange, step) = Exchange::begin(Mechanism::Login, None);
    assert_eq!(step, Step::Challenge(b"Username:".to_vec()));
    assert_eq!(exchange.respond(b"ann"), Step::Challenge(b"Password:".to_vec()));
    assert_eq!(exchange.respond(b"p"), verify("ann", "p"));
    let (mut exchange, step) = Exchange::begin(Mechanism::Login, Some(b"ann"));
    assert_eq!(step, Step::Challenge(b"Password:".to_vec()));
    assert_eq!(exchange.respond(b""), Step::Refused(Refusal::Malformed));
}

#[test]
fn mechanisms_have_names() {
    for mechanism in Mechanism::ALL {
        assert_eq!(Mechanism::named(mechanism.name().to_ascii_lowercase().as_bytes()), Some(mechanism));
    }
    assert_eq!(Mechanism::named(b"SCRAM-SHA-256-PLUS"), None);
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", plain(b"\0ann\0hunter2"));
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
    assert!(!format!("{:?}", keys_of("pencil")).contains(char::is_numeric));
}

/// The example of RFC 7677 §3: salt, nonces, proof and signature are the RFC's.
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CHALLENGE: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn keys_of(password: &str) -> ScramKeys {
    let salt = STANDARD.decode_to_vec("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    ScramKeys::derive(password.as_bytes(), &salt, NonZeroU32::new(4096).unwrap())
}

/// Up to the challenge.
fn scram(first: &str, password: &str) -> (Exchange, Step) {
    let (mut exchange, step) = Exchange::begin(Mechanism::ScramSha256, Some(first.as_bytes()));
    match step {
        Step::Keys { .. } => {
            let step = exchange.take_keys(keys_of(password), NONCE);
            (exchange, step)
        }
        step => (exchange, step),
    }
}

#[test]
fn scram_goes_as_the_example_of_its_rfc() {
    let (mut exchange, step) = scram(FIRST, "pencil");
    assert_eq!(step, Step::Challenge(CHALLENGE.as_bytes().to_vec()));
    assert_eq!(exchange.respond(FINAL.as_bytes()), Step::Challenge(SIGNATURE.as_bytes().to_vec()));
    assert_eq!(exchange.respond(b""), Step::Accepted { user: "user".to_owned() });
    assert_eq!(exchange.respond(b""), Step::Refused(Refusal::Malformed));
}

#[test]
fn a_wrong_proof_is_none() {
    let wrong = Step::Refused(Refusal::WrongProof);
    let (mut exchange, _) = scram(FIRST, "pencils");
    assert_eq!(exchange.respond(FINAL.as_bytes()), wrong);
    for (from, to) in [("c=biws", "c=eSws"), ("k0,p=", "k1,p="), ("k0,p=", "k0,x=y,p="), ("p=dHz", "p=dHy")] {
        let (mut exchange, _) = scram(FIRST, "pencil");
        assert_eq!(exchange.respond(FINAL.replace(from, to).as_bytes()), wrong, "{to}");
    }
    // A proof that is short proves nothing, nor is the signature acknowledged by words.
    let (mut exchange, _) = scram(FIRST, "pencil");
    assert_eq!(
        exchange.respond(FINAL.replace("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "p=").as_bytes()),
        wrong
    );
    let (mut exchange, _) = scram(FIRST, "pencil");
    exchange.respond(FINAL.as_bytes());
    assert_eq!(exchange.respond(b"x"), Step::Refused(Refusal::Malformed));
}

#[test]
fn the_first_message_is_read_strictly() {
    let step = |first: &str| scram(first, "pencil").1;
    for bad in [
        "",
        "n,",
        "p=tls-unique,,n=user,r=abc",
        "n,,m=x,n=user,r=abc",
        "n,,n=,r=abc",
        "n,,n=user,r=",
        "n,,n=us=2cer,r=abc",
        "n,,n=user=,r=abc",
        "n,,r=abc,n=user",
        "n,b=x,n=user,r=abc",
        "n,,n=us\ner,r=abc",
        "n,,n=user,r=a\u{7f}c",
    ] {
        assert_eq!(step(bad), Step::Refused(Refusal::Malformed), "{bad:?}");
    }
    assert_eq!(step("n,a=boss,n=user,r=abc"), Step::Refused(Refusal::OtherIdentity));
    for good in ["y,,n=user,r=abc", "n,a=user,n=user,r=abc", "n,,n=u=2Cs=3Der,r=abc", "n,,n=user,r=abc,x=1"] {
        assert!(matches!(step(good), Step::Challenge(_)), "{good}");
    }
}

#[test]
fn keys_come_once_and_when_asked_for() {
    let (mut exchange, _) = Exchange::begin(Mechanism::ScramSha256, None);
    assert_eq!(exchange.take_keys(keys_of("pencil"), NONCE), Step::Refused(Refusal::Malformed));
    let (mut exchange, _) = scram(FIRST, "pencil");
    assert_eq!(exchange.take_keys(keys_of("pencil"), NONCE), Step::Refused(Refusal::Malformed));
    let (mut exchange, _) = Exchange::begin(Mechanism::Plain, None);
    assert_eq!(exchange.take_keys(keys_of("pencil"), NONCE), Step::Refused(Refusal::Malformed));
}
