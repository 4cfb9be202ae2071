use std::num::NonZeroU32;

use super::super::{Exchange as Server, Mechanism, ScramKeys, Secret, Step};
use super::{Credentials, Distrust, Exchange, Means};

fn credentials(user: &str, password: &str) -> Credentials {
    Credentials { user: user.to_owned(), password: Secret::new(password.as_bytes()) }
}

/// RFC 7677 §3.
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=\
                            dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn scram() -> Exchange {
    let mut exchange = Exchange::begin(Means::ScramSha256, &credentials("user", "pencil"), NONCE, None);
    let first = exchange.initial(100).unwrap();
    assert_eq!(first.as_slice(), format!("n,,n=user,r={NONCE}").as_bytes());
    exchange
}

#[test]
fn the_example_of_rfc_7677() {
    let mut exchange = scram();
    let last = exchange.respond(SERVER_FIRST.as_bytes()).unwrap();
    assert_eq!(str::from_utf8(&last), Ok(CLIENT_FINAL));
    assert!(!exchange.is_done(), "the server has proven nothing yet");
    assert_eq!(exchange.respond(SERVER_FINAL.as_bytes()).as_deref().map(Vec::len), Ok(0));
    assert!(exchange.is_done());
}

#[test]
fn a_server_that_does_not_know_the_password_is_none() {
    let other = SERVER_FINAL.replace("v=6", "v=7");
    for wrong in [other.as_str(), "", "v=", "e=other-error", &SERVER_FINAL[..20], "v=6rriTRBi23WpRR"] {
        let mut exchange = scram();
        exchange.respond(SERVER_FIRST.as_bytes()).unwrap();
        assert_eq!(exchange.respond(wrong.as_bytes()), Err(Distrust), "{wrong}");
        assert!(!exchange.is_done());
    }
}

/// A server's first message with one of its parts replaced.
#[track_caller]
fn check_first(part: &str, with: &str, is_good: bool) {
    let message = SERVER_FIRST.replace(part, with);
    assert_ne!(message, SERVER_FIRST);
    assert_eq!(scram().respond(message.as_bytes()).is_ok(), is_good, "{message}");
}

#[test]
fn a_first_message_is_what_it_should_be() {
    check_first("r=rO", "r=rP", false);
    check_first("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "", false);
    check_first("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "é", false);
    check_first("i=4096", "i=4095", false);
    check_first("i=4096", "i=65537", false);
    check_first("i=4096", "i=65536", true);
    check_first("i=4096", "i=-4096", false);
    check_first(",i=4096", "", false);
    check_first("i=4096", "i=4096,x=later", true);
    check_first("r=", "m=must,r=", false);
    check_first("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s=", false);
    check_first("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s=?", false);
    for message in [&b""[..], b"\xff", b"r", b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="] {
        assert_eq!(scram().respond(message), Err(Distrust), "{message:?}");
    }
}

#[test]
fn what_was_derived_is_used_again_for_the_same_salt_only() {
    let mut exchange = scram();
    exchange.respond(SERVER_FIRST.as_bytes()).unwrap();
    let derived = exchange.take_derived().unwrap();
    // Another password shows whether it was looked at.
    let other = credentials("user", "other");
    let answer = |challenge: &str| {
        let mut exchange = Exchange::begin(Means::ScramSha256, &other, NONCE, Some(derived.clone()));
        exchange.initial(100).unwrap();
        exchange.respond(challenge.as_bytes()).unwrap()
    };
    assert_eq!(str::from_utf8(&answer(SERVER_FIRST)), Ok(CLIENT_FINAL));
    for other in ["i=4097", "s=AAAA"] {
        let (key, _) = other.split_at(2);
        let at = SERVER_FIRST.find(key).unwrap();
        let end = SERVER_FIRST[at..].find(',').map_or(SERVER_FIRST.len(), |end| at + end);
        let challenge = [&SERVER_FIRST[..at], other, &SERVER_FIRST[end..]].concat();
        let mut honest = Exchange::begin(Means::ScramSha256, &credentials("user", "other"), NONCE, None);
        honest.initial(100).unwrap();
        assert_eq!(answer(&challenge), honest.respond(challenge.as_bytes()).unwrap(), "{other}");
    }
}

#[test]
fn plain_and_external_are_said_at_once() {
    for (means, want) in [(Means::Plain, &b"\0ann\0pen cil"[..]), (Means::External, b"ann")] {
        let mut exchange = Exchange::begin(means, &credentials("ann", "pen cil"), "n", None);
        assert!(!exchange.is_done(), "{means:?}");
        assert_eq!(exchange.initial(100).as_deref().map(Vec::as_slice), Some(want));
        assert!(exchange.is_done());
        // More is not to be said, whatever is asked.
        assert_eq!((exchange.initial(100), exchange.respond(b"")), (None, Err(Distrust)));
    }
}

#[test]
fn what_is_too_long_for_the_command_waits_for_an_empty_challenge() {
    let mut exchange = Exchange::begin(Means::Plain, &credentials("ann", "pencil"), "n", None);
    assert_eq!(exchange.initial(10), None);
    assert_eq!(exchange.respond(b"what"), Err(Distrust));
    assert_eq!(exchange.respond(b"").unwrap().as_slice(), b"\0ann\0pencil");
    assert!(exchange.is_done());
}

/// Both halves of ours, with a name that has to be escaped.
#[test]
fn our_own_server_is_content() {
    let (user, password) = ("a=n,n", "b\u{fc}ro");
    let mut client = Exchange::begin(Means::ScramSha256, &credentials(user, password), "abc", None);
    let first = client.initial(100).unwrap();
    let (mut server, step) = Server::begin(Mechanism::ScramSha256, Some(&first));
    assert_eq!(step, Step::Keys { user: user.to_owned() });
    let keys = ScramKeys::derive(password.as_bytes(), b"salt", NonZeroU32::new(5000).unwrap());
    let Step::Challenge(challenge) = server.take_keys(keys, "def") else { panic!("no challenge") };
    let Step::Challenge(challenge) = server.respond(&client.respond(&challenge).unwrap()) else {
        panic!("no signature")
    };
    let last = client.respond(&challenge).unwrap();
    assert!(client.is_done());
    assert_eq!(server.respond(&last), Step::Accepted { user: user.to_owned() });
}

#[test]
fn mechanisms_are_found_among_those_that_are_announced() {
    for (announced, want) in [
        ("PLAIN LOGIN SCRAM-SHA-256", [true, true, false]),
        ("scram-sha-256-PLUS external", [false, false, true]),
        ("", [false; 3]),
        ("PLAINER", [false; 3]),
    ] {
        assert_eq!(Means::ALL.map(|means| means.is_announced(announced.as_bytes())), want, "{announced}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let mut exchange = scram();
    exchange.respond(SERVER_FIRST.as_bytes()).unwrap();
    let shown = format!("{exchange:?} {:?}", credentials("ann", "pencil"));
    assert!(!shown.contains("pencil") && !shown.contains("112, 101, 110"), "{shown}");
}
