//! The dialogue up to the first transaction, under TLS, with a next hop that asks who we are.

use super::*;
use crate::base::slab::Slab;
use crate::policy::login::UpstreamAuth;
use crate::reactor::Socket;
use crate::smtp::sasl::client::{Credentials, Means};
use crate::smtp::sasl::{Exchange, Mechanism, ScramKeys, Secret, Step};
use crate::tls::secured::{Fingerprint, Peer, Trust, Version};
use crate::traffic::lane::Lane;
use base64_simd::STANDARD;
use std::num::NonZeroU32;

const LONG: &str = "a password that makes the initial response longer than a command line may be: \
                    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
                    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

fn peer(trust: Trust) -> Peer {
    let (name, print) = ("hop.example", Fingerprint([0; 32]));
    let names = Vec::new();
    Peer { certificate: print, key: print, common_name: name.into(), issuer: name.into(), names, trust }
}

fn secured() -> Secured {
    Secured {
        version: Version::Tls13,
        cipher: "TLS_AES_128_GCM_SHA256",
        cipher_bits: 128,
        key_exchange: "X25519MLKEM768",
        server_name: None,
        is_resumed: false,
        peer: Some(Box::new(peer(Trust::Authority))),
    }
}

fn auth(user: &str, password: &str, means: &[Means]) -> Login {
    let credentials = Credentials { user: user.to_owned(), password: Secret::new(password.as_bytes()) };
    Login::new(Some(&Arc::new(UpstreamAuth { credentials, means: means.to_vec() })), None)
}

fn key() -> Key {
    Slab::new().insert(())
}

fn hop(login: Login) -> Hop {
    Hop {
        pipe: Pipe::new(Socket(key())),
        way: key(),
        server: 0,
        upstream: 0,
        state: State::Opening(Box::new(Client::new())),
        tls: Wanted::Always,
        secured: Some(Arc::new(secured())),
        login,
        dedicated: None,
        expires: Instant::default(),
        messages: 0,
        loan: None,
        deadline: None,
        armed: None,
    }
}

/// What the server says, and what is said back; the last may be how it ends.
type Row<'a> = (&'a str, &'a str);

const READY: &str = "ready";

#[track_caller]
fn play(hop: &mut Hop, dialogue: &[Row<'_>]) {
    for (said, want) in dialogue {
        let mut out = Vec::new();
        let progress = hop.receive("mx.example", format!("{said}\r\n").as_bytes(), &mut out);
        let mut told = String::from_utf8(out).unwrap().replace("\r\n", "");
        match progress {
            Progress::Going => {}
            Progress::Ready => told += READY,
            other => told += &format!("{other:?}"),
        }
        assert_eq!(told, *want, "behind {said:?} of {dialogue:?}");
    }
}

const HELLO: Row<'_> = ("220 hi", "EHLO mx.example");
const WRONG: &str = "Spoilt(Unauthenticated)";

#[track_caller]
fn check(login: Login, dialogue: &[Row<'_>]) {
    play(&mut hop(login), dialogue);
}

/// `\0ann\0pencil`
const PLAIN: &str = "AUTH PLAIN AGFubgBwZW5jaWw=";

#[test]
fn plain_is_said_behind_ehlo() {
    let usual = || auth("ann", "pencil", &[Means::ScramSha256, Means::Plain]);
    let announced = ("250-hop\r\n250 AUTH LOGIN PLAIN", PLAIN);
    check(usual(), &[HELLO, announced, ("235 2.7.0 welcome", READY)]);
    check(usual(), &[HELLO, announced, ("334 ", WRONG)]);
    check(usual(), &[HELLO, announced, ("250 welcome", WRONG)]);
    for no in ["535 5.7.8 wrong", "534 5.7.9 weak", "454 4.7.0 later", "538 what", "500 what", "421 bye"] {
        check(usual(), &[HELLO, announced, (no, WRONG)]);
    }
}

#[test]
fn a_server_without_it_is_of_no_use() {
    let usual = || auth("ann", "pencil", &[Means::ScramSha256, Means::Plain]);
    for announced in ["250 hop", "250-hop\r\n250 AUTH LOGIN GSSAPI", "250-hop\r\n250 AUTH"] {
        check(usual(), &[HELLO, (announced, WRONG)]);
    }
    // One that is so old that it knows no EHLO.
    check(usual(), &[HELLO, ("502 what", "HELO mx.example"), ("250 hop", WRONG)]);
    check(Login::Needless, &[HELLO, ("502 what", "HELO mx.example"), ("250 hop", READY)]);
}

#[test]
fn nothing_is_said_in_clear() {
    for tls in [Wanted::Nothing, Wanted::IfAnnounced] {
        let mut hop = hop(auth("ann", "pencil", &[Means::Plain]));
        (hop.tls, hop.secured) = (tls, None);
        play(&mut hop, &[HELLO, ("250-hop\r\n250 AUTH PLAIN", "Spoilt(Insecure)")]);
    }
}

#[test]
fn what_does_not_fit_into_the_command_comes_behind_it() {
    let login = auth("ann", &[LONG, LONG].concat()[..255], &[Means::Plain]);
    let response = STANDARD.encode_to_string(["\0ann\0", &[LONG, LONG].concat()[..255]].concat());
    let command = format!("AUTH PLAIN {response}");
    assert!(command.len() + 2 <= 512, "as long as a password may be it still fits: {}", command.len());
    check(login, &[HELLO, ("250-hop\r\n250 AUTH PLAIN", &command), ("235 ok", READY)]);
    let user = &LONG[..200];
    let login = auth(user, &[LONG, LONG].concat()[..255], &[Means::Plain]);
    let response = STANDARD.encode_to_string(["\0", user, "\0", &[LONG, LONG].concat()[..255]].concat());
    check(
        login,
        &[HELLO, ("250-hop\r\n250 AUTH PLAIN", "AUTH PLAIN"), ("334 ", &response), ("235 ok", READY)],
    );
}

#[test]
fn a_certificate_needs_no_word() {
    let external = |user| auth(user, "", &[Means::External]);
    let announced = "250-hop\r\n250 AUTH PLAIN EXTERNAL";
    check(external(""), &[HELLO, (announced, "AUTH EXTERNAL ="), ("235 ok", READY)]);
    check(external("ann"), &[HELLO, (announced, "AUTH EXTERNAL YW5u"), ("535 no", WRONG)]);
}

#[test]
fn who_has_not_proven_who_it_is_hears_no_password() {
    for means in [Means::Plain, Means::External] {
        let mut hop = hop(auth("ann", "pencil", &[means]));
        let peer = Some(Box::new(peer(Trust::None)));
        hop.secured = Some(Arc::new(Secured { peer, ..secured() }));
        play(&mut hop, &[HELLO, ("250-hop\r\n250 AUTH PLAIN EXTERNAL SCRAM-SHA-256", WRONG)]);
    }
}

/// A server by our own other half.
struct Server(Exchange);

fn password_keys(password: &str) -> ScramKeys {
    ScramKeys::derive(password.as_bytes(), b"salt", NonZeroU32::new(4096).unwrap())
}

fn say(hop: &mut Hop, line: &str) -> (String, Progress) {
    let mut out = Vec::new();
    let progress = hop.receive("mx.example", format!("{line}\r\n").as_bytes(), &mut out);
    (String::from_utf8(out).unwrap(), progress)
}

fn response(line: &str) -> Vec<u8> {
    STANDARD.decode_to_vec(line.trim_end().rsplit(' ').next().unwrap()).unwrap()
}

fn challenge(step: Step) -> String {
    match step {
        Step::Challenge(text) => format!("334 {}", STANDARD.encode_to_string(text)),
        other => panic!("{other:?}"),
    }
}

/// Up to the client's proof.
fn begin_scram(hop: &mut Hop) -> (Server, String) {
    say(hop, "220 hi");
    let (begin, _) = say(hop, "250-hop\r\n250 AUTH PLAIN SCRAM-SHA-256");
    assert!(begin.starts_with("AUTH SCRAM-SHA-256 "), "{begin}");
    let (mut server, _) = Exchange::begin(Mechanism::ScramSha256, Some(&response(&begin)));
    let (proof, _) = say(hop, &challenge(server.take_keys(password_keys("pencil"), "theirs")));
    (Server(server), proof)
}

#[test]
fn scram_proves_both() {
    let mut hop = hop(auth("ann", "pencil", &[Means::ScramSha256, Means::Plain]));
    let (mut server, proof) = begin_scram(&mut hop);
    let signature = challenge(server.0.respond(&response(&proof)));
    let (last, progress) = say(&mut hop, &signature);
    assert_eq!((last.as_str(), matches!(progress, Progress::Going)), ("\r\n", true));
    assert!(matches!(say(&mut hop, "235 ok").1, Progress::Ready));
    // The next connection has less to do.
    assert!(hop.login.take_derived().is_some());
}

#[test]
fn who_does_not_know_the_password_either_is_no_next_hop() {
    for word in ["235 2.7.0 welcome", "334 dj1hYmM=", "334 ZT1vdGhlci1lcnJvcg==", "334 ", "334 ?", "535 no"] {
        let mut hop = hop(auth("ann", "pencil", &[Means::ScramSha256]));
        begin_scram(&mut hop);
        let (said, progress) = say(&mut hop, word);
        assert_eq!((said.as_str(), format!("{progress:?}").as_str()), ("", WRONG), "{word}");
    }
}

#[test]
fn xclient_comes_before_it_and_names_no_user() {
    let mut hop = hop(auth("ann", "pencil", &[Means::Plain]));
    let identity = Identity { login: Some(b"bob".to_vec()), ..Identity::default() };
    let relay = key();
    hop.dedicated =
        Some(Dedicated { relay, number: 1, identity: Box::new(identity), lane: Lane(0), told: false });
    play(
        &mut hop,
        &[
            HELLO,
            ("250-hop\r\n250-XCLIENT LOGIN\r\n250 AUTH PLAIN", "XCLIENT LOGIN=[UNAVAILABLE]"),
            ("220 hi", "EHLO mx.example"),
            ("250-hop\r\n250-XCLIENT LOGIN\r\n250 AUTH PLAIN", PLAIN),
            ("235 ok", READY),
        ],
    );
}

/// A connection for one client whose server takes XCLIENT.
fn dedicated(identity: Identity) -> Hop {
    let mut hop = hop(Login::Needless);
    hop.dedicated =
        Some(Dedicated { relay: key(), number: 1, identity: Box::new(identity), lane: Lane(0), told: false });
    hop
}

#[test]
fn half_of_an_identity_is_none() {
    let name = |letter: &str| Some([&*letter.repeat(200), ".example"].concat().into_bytes());
    let identity = Identity { name: name("a"), helo: name("b"), login: name("c"), ..Identity::default() };
    let mut hop = dedicated(identity);
    say(&mut hop, "220 hi");
    let (told, _) = say(&mut hop, "250-hop\r\n250-PIPELINING\r\n250 XCLIENT NAME HELO LOGIN");
    assert_eq!(told.matches("XCLIENT ").count(), 2, "{told}");
    // Both replies come in one piece.
    let (_, progress) = say(&mut hop, "501 what\r\n220 hi");
    assert!(matches!(progress, Progress::Spoilt(DiscardReason::Protocol)), "{progress:?}");
}

#[test]
fn who_knows_no_ehlo_takes_no_xclient() {
    let dialogue = [HELLO, ("502 what", "HELO mx.example"), ("250 hop", "Spoilt(Protocol)")];
    play(&mut dedicated(Identity::default()), &dialogue);
}
