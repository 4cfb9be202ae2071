//! AUTH through the whole program: who may speak as whom, and that no name strays to another's message.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64_simd::STANDARD;
use postern::policy::users::write_line;
use postern::service::authenticator::enroll;
use postern::smtp::sasl::Secret;
use rustls::ClientConfig;

use super::tls::secured;
use super::{Client, Do, EXTENSIONS, Folder, Plan, Proxy, Setup, Step, Upstream};
use crate::harness::authority::{self_signed, world};
use crate::harness::dovecot::Dovecot;
use crate::harness::secure::{VERSIONS, client_config, server_config};

/// Users and their passwords; the last one is not in the file.
const USERS: [(&str, &str); 4] =
    [("ann@client.example", "pencil"), ("bob", "b\u{fc}ro, =1"), ("eve", "guessed"), ("nobody", "pencil")];

pub(super) fn users() -> &'static str {
    static FILE: OnceLock<String> = OnceLock::new();
    FILE.get_or_init(|| {
        let mut file = "# made by the tests\n".to_owned();
        for (name, password) in &USERS[..3] {
            write_line(name, &enroll(&Secret::new(password.as_bytes())).unwrap(), &mut file);
        }
        file
    })
}

fn submission(upstream: &Upstream, mode: &str, required: bool, more: &str) -> Proxy {
    let setup = secured(Setup::toward(upstream.address), mode, "");
    setup
        .file("users", users())
        .listener(&format!("auth = {{ users = \"users\", required = {required} }}"))
        .upstream(more)
        .start()
}

fn trusting() -> Arc<ClientConfig> {
    client_config(&VERSIONS, None)
}

/// A session under TLS.
pub(super) fn session(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.starttls(&trusting());
    client
}

fn base64(text: &[u8]) -> String {
    STANDARD.encode_to_string(text)
}

/// What 334 asks.
fn challenge(client: &mut Client, line: &str) -> Option<String> {
    let reply = client.command(line);
    let text = reply.lines.first().filter(|_| reply.code == 334)?;
    Some(String::from_utf8(STANDARD.decode_to_vec(text).unwrap()).unwrap())
}

pub(super) fn plain(client: &mut Client, user: &str, password: &str) -> u16 {
    let response = base64(format!("\0{user}\0{password}").as_bytes());
    client.command(&format!("AUTH PLAIN {response}")).code
}

fn login(client: &mut Client, user: &str, password: &str) -> u16 {
    assert_eq!(challenge(client, "AUTH LOGIN").as_deref(), Some("Username:"));
    assert_eq!(challenge(client, &base64(user.as_bytes())).as_deref(), Some("Password:"));
    client.command(&base64(password.as_bytes())).code
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// RFC 5802 §3, the client's half, by its letter.
fn scram(client: &mut Client, user: &str, password: &str) -> u16 {
    let bare = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
    let first = base64(format!("n,,{bare}").as_bytes());
    let Some(server) = challenge(client, &format!("AUTH SCRAM-SHA-256 {first}")) else { return 0 };
    let words: Vec<&str> = server.split(',').collect();
    let (nonce, salt, iterations) = (words[0], &words[1][2..], words[2][2..].parse().unwrap());
    assert!(nonce.starts_with("r=fyko+d2lbbFgONRv9qkxdawL") && nonce.len() > 40, "{nonce}");
    let mut salted = [0; 32];
    let salt = STANDARD.decode_to_vec(salt).unwrap();
    let rounds = NonZeroU32::new(iterations).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
    let without_proof = format!("c=biws,{nonce}");
    let said = format!("{bare},{server},{without_proof}");
    let key = sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &key);
    let mask = sign(stored.as_ref(), said.as_bytes());
    let proof: Vec<u8> = key.iter().zip(mask).map(|(key, mask)| key ^ mask).collect();
    let last = base64(format!("{without_proof},p={}", base64(&proof)).as_bytes());
    client.send(format!("{last}\r\n").as_bytes());
    let reply = client.reply();
    if reply.code != 334 {
        return reply.code;
    }
    let signature = base64(&sign(&sign(&salted, b"Server Key"), said.as_bytes()));
    assert_eq!(reply.lines, [base64(format!("v={signature}").as_bytes())], "the server proves itself too");
    client.command("").code
}

type Mechanism = fn(&mut Client, &str, &str) -> u16;
const MECHANISMS: [Mechanism; 3] = [plain, login, scram];

#[test]
fn only_who_knows_the_password_is_let_in() {
    let upstream = Plan::bdat().start();
    let mut proxy = submission(&upstream, "offer", true, "");
    for (number, mechanism) in MECHANISMS.into_iter().enumerate() {
        for (user, password) in [USERS[0], USERS[1]] {
            let mut client = session(&proxy);
            assert_eq!(mechanism(&mut client, user, password), 235, "{number} {user}");
            assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
        }
        let mut client = session(&proxy);
        assert_eq!(mechanism(&mut client, "eve", "guess"), 535, "{number}");
        assert_eq!(mechanism(&mut client, USERS[3].0, USERS[3].1), 535, "{number}");
        let refused = client.command("MAIL FROM:<a@client.example>").text();
        assert_eq!(refused, "530 5.7.0 authentication required");
    }
    let names: Vec<_> = proxy.await_records(6).iter().map(|it| it["client"]["user"].clone()).collect();
    assert_eq!(names, [USERS[0].0, USERS[1].0].repeat(3));
    for message in upstream.messages() {
        let content = String::from_utf8(message.content).unwrap();
        assert!(content.contains("with ESMTPSA id"), "{content}");
        assert!(!message.commands.iter().any(|line| line.contains("AUTH")), "{:?}", message.commands);
    }
    let told = format!("{:?}{}", proxy.records(), proxy.said());
    for secret in USERS.map(|(_, password)| password) {
        assert!(!told.contains(secret) && !told.contains(&base64(secret.as_bytes())), "{told}");
    }
    proxy.assert_well();
}

#[test]
fn nothing_of_it_goes_in_clear() {
    let upstream = Plan::bdat().start();
    for (mode, code) in [("offer", 538), ("require", 530)] {
        let proxy = submission(&upstream, mode, false, "");
        let mut client = proxy.client();
        let announced = client.command("EHLO client.example");
        assert!(!announced.lines.iter().any(|line| line.starts_with("AUTH")), "{announced:?}");
        for line in ["AUTH PLAIN AGFubkBjbGllbnQuZXhhbXBsZQBwZW5jaWw=", "AUTH LOGIN", "AUTH SCRAM-SHA-256"] {
            assert_eq!(client.command(line).code, code, "{mode} {line}");
        }
        assert_eq!(client.command("STARTTLS").code, 220);
        client.start_tls(&trusting()).unwrap();
        let announced = client.command("EHLO client.example");
        assert!(announced.lines.contains(&"AUTH SCRAM-SHA-256 PLAIN LOGIN".to_owned()), "{announced:?}");
        assert_eq!(plain(&mut client, USERS[0].0, USERS[0].1), 235);
        let announced = client.command("EHLO client.example");
        assert!(!announced.lines.iter().any(|line| line.starts_with("AUTH")), "{announced:?}");
    }
}

#[test]
fn three_wrong_passwords_end_the_session() {
    let upstream = Plan::bdat().start();
    let proxy = submission(&upstream, "require", true, "");
    let mut client = session(&proxy);
    for mechanism in MECHANISMS {
        assert_eq!(mechanism(&mut client, "eve", "wrong"), 535);
    }
    assert_eq!(client.reply().text(), "421 4.7.0 too many wrong passwords");
}

/// Users that Dovecot knows: its word counts, and so does the name it has for them.
#[test]
fn dovecot_is_asked() {
    let folder = Folder::new();
    let socket = folder.join("auth-client");
    let upstream = Plan::bdat().start();
    let mut proxy = secured(Setup::toward(upstream.address), "require", "")
        .listener(&format!("auth = {{ dovecot = \"unix:{}\" }}", socket.display()))
        .start();
    // Nobody is there yet.
    let mut client = session(&proxy);
    assert_eq!(plain(&mut client, "ann", "pencil"), 454);
    let dovecot = Dovecot::start(&socket, ["ann", "pencil"], "ann@client.example");
    assert_eq!(plain(&mut client, "later-ann", "pencil"), 454);
    assert_eq!(plain(&mut client, "ann", "pencils"), 535);
    assert_eq!(client.command("AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9YWJj").code, 504);
    for mechanism in [plain, login] {
        let mut client = session(&proxy);
        assert_eq!(mechanism(&mut client, "ann", "pencil"), 235);
        assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
    }
    for record in proxy.await_records(2) {
        assert_eq!(record["client"]["user"], "ann@client.example");
    }
    assert_eq!((dovecot.questions().len(), dovecot.connections()), (4, 1));
    let asked = format!("\tPLAIN\tservice=smtp\tsecured\tlip={}\trip=127.0.0.1", proxy.address.ip());
    assert!(
        dovecot.questions().iter().all(|question| question.ends_with(&asked)),
        "{:?}",
        dovecot.questions()
    );
    // It goes, and comes again.
    drop(dovecot);
    let mut client = session(&proxy);
    assert_eq!(plain(&mut client, "ann", "pencil"), 454);
    assert_eq!(client.command("MAIL FROM:<a@client.example>").code, 530);
    let _dovecot = Dovecot::start(&socket, ["ann", "pencil"], "ann@client.example");
    assert_eq!(plain(&mut client, "ann", "pencil"), 235);
    assert!(!proxy.said().contains("pencil"));
    proxy.assert_well();
}

/// A server behind us that knows one user, and says something else on some days.
fn knowing(today: &'static str) -> Plan {
    let own = server_config(&VERSIONS, &world().ecdsa);
    let right = format!("AUTH PLAIN {}", base64(b"\0ann\0pencil"));
    let says = move |step: Step<'_>| match step.line {
        _ if !step.line.starts_with("AUTH") => Do::Usual,
        _ if !today.is_empty() => Do::say(today),
        line if line == right => Do::say("235 2.7.0 welcome"),
        _ => Do::say("535 5.7.8 no"),
    };
    Plan::with(&[&EXTENSIONS[..], &["AUTH PLAIN LOGIN"]].concat()).tls(own).script(says)
}

fn by_upstream(store: &Upstream) -> Proxy {
    let verify = "tls = { mode = \"verify\", ca = \"ca.pem\", name = \"mx1.example.net\" }";
    secured(Setup::toward(store.address), "require", "")
        .listener("auth = { upstream = \"hop\" }")
        .upstream(verify)
        .upstream("timeout = { connect = \"2s\", reply = \"2s\", end = \"10s\" }")
        .upstream("pool = { warm = 0 }")
        .start()
}

/// What went to the server with AUTH, and what followed on the same connection.
fn tried(store: &Upstream) -> Vec<String> {
    let seen = store.seen();
    let lines = seen.commands.iter().map(|(_, line)| line.as_str());
    lines.filter(|line| line.starts_with("AUTH")).map(str::to_owned).collect()
}

#[test]
fn a_server_behind_us_is_asked_by_trying() {
    let store = knowing("").start();
    let mut proxy = by_upstream(&store);
    let mut client = session(&proxy);
    assert_eq!(client.command("AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9YWJj").code, 504);
    assert_eq!(plain(&mut client, "ann", "pencils"), 535);
    assert_eq!(plain(&mut client, "ann", "pencils"), 535);
    assert_eq!(plain(&mut client, "ann", "pencil"), 235);
    assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
    for mechanism in [plain, login] {
        let mut client = session(&proxy);
        assert_eq!(mechanism(&mut client, "ann", "pencil"), 235);
    }
    // The wrong one was asked about each time, the right one once.
    let (wrong, right) = (base64(b"\0ann\0pencils"), base64(b"\0ann\0pencil"));
    assert_eq!(tried(&store), [&wrong, &wrong, &right].map(|words| format!("AUTH PLAIN {words}")));
    let seen = store.seen();
    assert!(seen.in_clear.iter().all(|line| !line.starts_with("AUTH")), "{:?}", seen.in_clear);
    // Who was asked under another's name carries no mail.
    let logins: Vec<_> = seen.commands.iter().filter(|(_, line)| line.starts_with("AUTH")).collect();
    assert!(
        seen.messages.iter().all(|message| logins.iter().all(|(session, _)| *session != message.session))
    );
    drop(seen);
    assert_eq!(proxy.await_records(1)[0]["client"]["user"], "ann");
    assert!(!proxy.said().contains("pencil"));
    proxy.assert_well();
}

#[test]
fn a_server_that_cannot_say_it_says_nothing() {
    let own = &self_signed(&["mx1.example.net"]);
    let announced = [&EXTENSIONS[..], &["AUTH PLAIN"]].concat();
    let ways = [
        ("454", knowing("454 4.7.0 later")),
        ("535 is the only no", knowing("534 5.7.9 weak")),
        ("421", knowing("421 4.3.2 bye")),
        ("not 235", knowing("250 welcome")),
        ("what is not asked", knowing("334 d2hhdA==")),
        ("in clear", Plan::with(&announced)),
        ("no mechanism", Plan::bdat().tls(server_config(&VERSIONS, &world().ecdsa))),
        ("somebody else", Plan::with(&announced).tls(server_config(&VERSIONS, own))),
    ];
    for (way, plan) in ways {
        let store = plan.start();
        let mut proxy = by_upstream(&store);
        let mut client = session(&proxy);
        assert_eq!(plain(&mut client, "ann", "pencil"), 454, "{way}");
        assert_eq!(client.command("MAIL FROM:<a@client.example>").code, 530, "{way}");
        assert!(store.seen().in_clear.iter().all(|line| !line.starts_with("AUTH")), "{way}");
        assert!(proxy.await_line("passwords cannot be asked of hop").is_ok(), "{way}");
        proxy.assert_well();
    }
}

/// The rule that `appliance/postern.toml` shows.
#[test]
fn a_rule_can_hold_users_to_their_own_addresses() {
    let shipped = include_str!("../../../appliance/postern.toml");
    let lines = shipped.lines().skip_while(|line| !line.contains("\"not-yours\"")).take(4);
    let rule: String = lines.map(|line| format!("{}\n", line.trim_start_matches('#'))).collect();
    let upstream = Plan::bdat().start();
    let proxy = secured(Setup::toward(upstream.address), "require", "")
        .file("users", users())
        .file(
            "senders",
            "info@client.example bob\ninfo@client.example ann@client.example\n@own.example bob\n",
        )
        .listener("auth = { users = \"users\", senders = \"senders\", required = false }")
        .section(&format!("[[rule]]\n{rule}"))
        .start();
    let mut clients = [Some(USERS[0]), Some(USERS[1]), None].map(|user| {
        let mut client = session(&proxy);
        if let Some((user, password)) = user {
            assert_eq!(plain(&mut client, user, password), 235);
        }
        client
    });
    for (sender, codes) in [
        (USERS[0].0, [250, 550, 250]),
        ("Ann@client.example", [250, 550, 250]),
        ("info@client.example", [250, 250, 250]),
        ("any@own.example", [550, 250, 250]),
        ("", [250, 250, 250]),
        ("bob@client.example", [550, 550, 250]),
        ("ann@client.example.org", [550, 550, 250]),
    ] {
        for (client, code) in clients.iter_mut().zip(codes) {
            client.envelope(sender, "b@hop.example");
            let reply = client.command("BDAT 0 LAST");
            assert_eq!(reply.code, code, "{sender}: {reply:?}");
            assert!(code == 250 || reply.text().contains("5.7.1 this is not your address"), "{reply:?}");
        }
    }
}

/// By connections that all share, and by those of each client.
#[test]
fn a_next_hop_hears_the_name_from_then_on() {
    for (verb, identity) in [
        ("XFORWARD", "identity = \"xforward\"\npool = { warm = 1, max = 1 }"),
        ("XCLIENT", "identity = \"xclient\"\npool = { warm = 0 }"),
    ] {
        let extensions = [&EXTENSIONS[..], &["XFORWARD ADDR LOGIN", "XCLIENT ADDR LOGIN"]].concat();
        let upstream = Plan::with(&extensions).start();
        let proxy = submission(&upstream, "offer", false, identity);
        let mut client = session(&proxy);
        assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
        assert_eq!(scram(&mut client, USERS[0].0, USERS[0].1), 235);
        assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
        let mut stranger = session(&proxy);
        assert_eq!(stranger.message("b@hop.example", b"x\r\n").code, 250);
        let commands = upstream.seen().commands.clone();
        let told = commands.iter().filter(|(_, line)| line.starts_with(verb));
        let logins: Vec<_> = told.filter_map(|(_, line)| line.split("LOGIN=").nth(1)).collect();
        assert_eq!(logins, ["[UNAVAILABLE]", USERS[0].0, "[UNAVAILABLE]"], "{verb}");
    }
}

/// `ALTERNATING_MESSAGES=10000` for the whole of it: a program built for debugging.
fn alternating() -> usize {
    std::env::var("ALTERNATING_MESSAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(1000)
}

#[test]
fn two_users_over_one_pooled_connection() {
    let extensions = [&EXTENSIONS[..], &["XFORWARD NAME ADDR PORT HELO PROTO SOURCE LOGIN"]].concat();
    let upstream = Plan::with(&extensions).start();
    let pool = "identity = \"xforward\"\npool = { warm = 1, max = 1, messages = 100000 }";
    let proxy = submission(&upstream, "offer", true, pool);
    let mut clients = [USERS[0], USERS[1]].map(|(user, password)| {
        let mut client = session(&proxy);
        assert_eq!(plain(&mut client, user, password), 235);
        client
    });
    let count = alternating();
    for number in 0..count {
        let client = &mut clients[number % 2];
        let lines = format!(
            "MAIL FROM:<{}@client.example> AUTH=eve\r\nRCPT TO:<{number}@hop.example>\r\nBDAT 3 LAST\r\nx\r\n",
            number % 2
        );
        client.send(lines.as_bytes());
        (0..3).for_each(|_| assert_eq!(client.reply().code, 250, "message {number}"));
    }
    let seen = upstream.seen();
    assert_eq!(seen.messages.len(), count);
    for (number, message) in seen.messages.iter().enumerate() {
        let commands = message.commands.join("\n");
        let told = format!(" LOGIN={}", USERS[number % 2].0);
        let logins = commands.split([' ', '\n']).filter(|word| word.starts_with("LOGIN=")).count();
        assert!(commands.contains(&told) && logins == 1, "message {number}: {commands}");
        assert!(commands.contains(&format!("MAIL FROM:<{}@client.example>", number % 2)), "{commands}");
        assert!(!commands.contains("eve"), "{commands}");
        assert_eq!(message.session, seen.messages[0].session, "more than one connection");
    }
    drop(seen);
    for record in proxy.await_records(count) {
        let number: usize = record["sender"]["address"].as_str().unwrap()[..1].parse().unwrap();
        assert_eq!(record["client"]["user"], USERS[number].0);
    }
}
