//! AUTH toward next hops, through the whole program: who we are, told to whom it is due and to nobody else.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use base64_simd::STANDARD;
use postern::smtp::sasl::{Exchange, Mechanism, ScramKeys, Step as Sasl};
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ServerConfig};

use super::{At, Do, EXTENSIONS, PATIENCE, Plan, Proxy, Setup, Step, Upstream, eventually};
use crate::harness::authority::{self_signed, world};
use crate::harness::secure::{VERSIONS, server_config};

const VERIFY: &str = "tls = { mode = \"verify\", ca = \"ca.pem\", name = \"mx1.example.net\" }";

fn base64(text: impl AsRef<[u8]>) -> String {
    STANDARD.encode_to_string(text)
}

/// One user of a server, and what was said to it under its name.
fn knows(user: &str, password: &str) -> impl Fn(Step<'_>) -> Do + Send + Sync + 'static {
    let plain = format!("AUTH PLAIN {}", base64(format!("\0{user}\0{password}")));
    let keys = ScramKeys::derive(password.as_bytes(), b"salt", NonZeroU32::new(4096).unwrap());
    let user = user.to_owned();
    let sessions: Mutex<HashMap<usize, (Exchange, bool)>> = Mutex::default();
    move |step| {
        let mut sessions = sessions.lock().unwrap();
        let is_in = sessions.get(&step.session).is_some_and(|(_, is_in)| *is_in);
        match step.at {
            At::Mail if !is_in => Do::say("530 5.7.0 who are you"),
            At::Connect => {
                sessions.remove(&step.session);
                Do::Usual
            }
            At::Other if step.line == plain => {
                let begun = Exchange::begin(Mechanism::Plain, None).0;
                sessions.insert(step.session, (begun, true));
                Do::say("235 2.7.0 welcome")
            }
            At::Other if step.line.starts_with("AUTH SCRAM-SHA-256 ") => {
                let first = STANDARD.decode_to_vec(&step.line[19..]).unwrap();
                let (mut exchange, _) = Exchange::begin(Mechanism::ScramSha256, Some(&first));
                let challenge = exchange.take_keys(keys.clone(), "theirs");
                sessions.insert(step.session, (exchange, false));
                said(challenge)
            }
            At::Other if !step.line.starts_with("AUTH ") => {
                let Some((exchange, is_in)) = sessions.get_mut(&step.session) else { return Do::Usual };
                let next = exchange.respond(&STANDARD.decode_to_vec(step.line).unwrap());
                *is_in = next == Sasl::Accepted { user: user.clone() };
                if *is_in { Do::say("235 2.7.0 welcome") } else { said(next) }
            }
            At::Other => Do::say("535 5.7.8 no"),
            _ => Do::Usual,
        }
    }
}

fn said(step: Sasl) -> Do {
    match step {
        Sasl::Challenge(text) => Do::say(&format!("334 {}", base64(text))),
        _ => Do::say("535 5.7.8 no"),
    }
}

fn plan(announced: &str) -> Plan {
    let extensions = [&EXTENSIONS[..], &[announced]].concat();
    Plan::with(&extensions).tls(server_config(&VERSIONS, &world().ecdsa))
}

fn setup(upstream: &Upstream, tls: &str, auth: &str) -> Setup {
    Setup::toward(upstream.address)
        .file("ca.pem", &world().authority.pem)
        .file("password", "pencil\n")
        .upstream(tls)
        .upstream(&format!("auth = {{ {auth} }}"))
        .upstream("timeout = { connect = \"2s\", reply = \"2s\", end = \"10s\" }")
}

const ANN: &str = "user = \"ann\", password_file = \"password\"";
const COLD: &str = "pool = { warm = 0, wait = \"3s\" }";

#[test]
fn a_next_hop_takes_who_we_are() {
    for (announced, auth, verb) in [
        ("AUTH PLAIN LOGIN SCRAM-SHA-256", ANN.to_owned(), "AUTH SCRAM-SHA-256"),
        ("AUTH PLAIN LOGIN", ANN.to_owned(), "AUTH PLAIN"),
        ("AUTH PLAIN SCRAM-SHA-256", format!("{ANN}, mechanism = \"PLAIN\""), "AUTH PLAIN"),
    ] {
        let upstream = plan(announced).script(knows("ann", "pencil")).start();
        let mut proxy = setup(&upstream, VERIFY, &auth).upstream(COLD).start();
        let mut client = proxy.session();
        for _ in 0..3 {
            assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250, "{verb}");
        }
        let seen = upstream.seen();
        assert!(seen.in_clear.iter().all(|line| !line.starts_with("AUTH")), "{:?}", seen.in_clear);
        let logins = seen.commands.iter().filter(|(_, line)| line.starts_with("AUTH"));
        assert!(logins.clone().all(|(_, line)| line.starts_with(verb)), "{:?}", seen.commands);
        assert_eq!(logins.count(), seen.sessions, "once on each connection");
        assert!(seen.messages.iter().all(|message| message.session == seen.messages[0].session));
        for message in &seen.messages {
            let mail = message.commands.iter().find(|line| line.starts_with("MAIL")).unwrap();
            assert!(mail.ends_with("> AUTH=<>"), "{mail}");
        }
        drop(seen);
        let told = format!("{:?}{}", proxy.await_records(3), proxy.said());
        assert!(!told.contains("pencil") && !told.contains(&base64("pencil")), "{told}");
        proxy.assert_well();
    }
}

#[test]
fn scram_is_enough_where_nobody_proves_who_he_is() {
    let extensions = [&EXTENSIONS[..], &["AUTH PLAIN SCRAM-SHA-256"]].concat();
    let own = self_signed(&["nobody.example"]);
    let plan = Plan::with(&extensions).tls(server_config(&VERSIONS, &own));
    let upstream = plan.script(knows("ann", "pencil")).start();
    let proxy = setup(&upstream, "tls = \"require\"", ANN).upstream(COLD).start();
    assert_eq!(proxy.session().message("b@hop.example", b"x\r\n").code, 250);
    // One that has PLAIN only gets nothing.
    let plan = Plan::with(&[&EXTENSIONS[..], &["AUTH PLAIN"]].concat()).tls(server_config(&VERSIONS, &own));
    let upstream = plan.script(knows("ann", "pencil")).start();
    let mut proxy = setup(&upstream, "tls = \"require\"", ANN).upstream(COLD).start();
    assert_deferred("PLAIN only", &upstream, &mut proxy);
}

/// How often connections to the next hop were given up for this reason.
fn discarded(proxy: &Proxy, reason: &str) -> u64 {
    let line = format!("postern_upstream_discards_total{{upstream=\"hop\",reason=\"{reason}\"}} ");
    let page = proxy.page("/metrics");
    page.lines().find_map(|text| text.strip_prefix(&line)).unwrap().trim().parse().unwrap()
}

/// The client is told to come again, nothing went up, and the reason is counted.
#[track_caller]
fn assert_deferred(way: &str, upstream: &Upstream, proxy: &mut Proxy) {
    let heard = proxy.session().attempt("b@hop.example", b"x\r\n");
    assert!(matches!(heard.code(), Some(451)), "{way}: {heard:?}");
    let seen = upstream.seen();
    assert!(seen.commands.iter().all(|(_, line)| !line.starts_with("MAIL")), "{way}: {:?}", seen.commands);
    drop(seen);
    assert!(eventually(PATIENCE, || discarded(proxy, "auth") > 0), "{way}");
    proxy.assert_well();
}

#[test]
fn a_next_hop_that_does_not_take_us_gets_no_mail() {
    let says = |reply: &'static str| {
        plan("AUTH PLAIN").script(
            move |step| {
                if step.line.starts_with("AUTH") { Do::say(reply) } else { Do::Usual }
            },
        )
    };
    let mut ways = vec![
        ("no AUTH", plan("HELP")),
        ("no mechanism", plan("AUTH LOGIN CRAM-MD5")),
        ("another password", plan("AUTH PLAIN SCRAM-SHA-256").script(knows("ann", "pencils"))),
        ("another user", plan("AUTH PLAIN").script(knows("bob", "pencil"))),
    ];
    for reply in ["535 5.7.8 no", "534 5.7.9 no", "454 4.7.0 later", "334 d2hhdA==", "334 ", "250 ok"] {
        ways.push((reply, says(reply)));
    }
    for (way, plan) in ways {
        let upstream = plan.start();
        let mut proxy = setup(&upstream, VERIFY, ANN).upstream(COLD).start();
        assert_deferred(way, &upstream, &mut proxy);
    }
}

/// A server that was put in the place of the true one, and says that all is well.
#[test]
fn a_next_hop_that_does_not_know_the_password_is_none() {
    for last in ["235 2.7.0 welcome", "334 dj1hYmM=", "334 ZT1vdGhlci1lcnJvcg=="] {
        let honest = knows("ann", "pencil");
        let upstream = plan("AUTH SCRAM-SHA-256")
            .script(move |step| {
                let is_proof = step.at == At::Other && step.line.len() > 60 && !step.line.contains(' ');
                if is_proof { Do::say(last) } else { honest(step) }
            })
            .start();
        let mut proxy = setup(&upstream, VERIFY, ANN).upstream(COLD).start();
        assert_deferred(last, &upstream, &mut proxy);
    }
}

#[test]
fn tls_comes_first_or_nothing_is_said() {
    // Neither announced nor of the right name: the password stays here.
    let named = Plan::with(&[&EXTENSIONS[..], &["AUTH PLAIN"]].concat())
        .tls(server_config(&VERSIONS, &self_signed(&["mx1.example.net"])));
    for (way, plan) in [("none", Plan::with(&["AUTH PLAIN"])), ("of somebody else", named)] {
        let upstream = plan.start();
        let proxy = setup(&upstream, VERIFY, ANN).upstream(COLD).start();
        let heard = proxy.session().attempt("b@hop.example", b"x\r\n");
        assert_eq!(heard.code(), Some(451), "{way}");
        let seen = upstream.seen();
        assert!(seen.commands.iter().all(|(_, line)| !line.starts_with("AUTH")), "{:?}", seen.commands);
    }
}

/// Asks for a certificate of our authority's.
fn asking() -> Arc<ServerConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(world().authority.der.clone())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&VERSIONS).unwrap();
    let (chain, key) = crate::harness::secure::pem(&world().ecdsa);
    let verified = builder.with_client_cert_verifier(verifier.build().unwrap());
    Arc::new(verified.with_single_cert(chain, key).unwrap())
}

#[test]
fn a_certificate_says_who_we_are() {
    let upstream = Plan::with(&[&EXTENSIONS[..], &["AUTH EXTERNAL PLAIN"]].concat())
        .tls(asking())
        .script(|step| if step.line == "AUTH EXTERNAL =" { Do::say("235 ok") } else { Do::Usual })
        .start();
    let own = world().authority.issue(&["postern.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let tls = "tls = { mode = \"verify\", ca = \"ca.pem\", name = \"mx1.example.net\", \
               certificate = \"own.pem\", key = \"own.key\" }";
    let proxy = setup(&upstream, tls, "mechanism = \"EXTERNAL\"")
        .file("own.pem", &own.certificate)
        .file("own.key", &own.key)
        .upstream(COLD)
        .start();
    assert_eq!(proxy.session().message("b@hop.example", b"x\r\n").code, 250);
    assert!(upstream.seen().commands.iter().any(|(_, line)| line == "AUTH EXTERNAL ="));
}

/// Two customers with a name each at one host: no message goes under the other's.
#[test]
fn names_are_never_mixed_up() {
    let upstream = plan("AUTH PLAIN")
        .script(|step| {
            let is_one = ["ann", "bob"]
                .into_iter()
                .any(|user| step.line == format!("AUTH PLAIN {}", base64(format!("\0{user}\0of {user}"))));
            if is_one { Do::say("235 ok") } else { Do::Usual }
        })
        .start();
    let routes = ["ann", "bob"].map(|user| (user, format!("{user}.example")));
    let mut text = String::new();
    for (user, _) in &routes[1..] {
        text += &format!(
            "[[upstream]]\nname = \"{user}\"\nservers = [\"{}\"]\n{VERIFY}\npool = {{ warm = 1, max = 2 }}\n\
             auth = {{ user = \"{user}\", password_file = \"{user}.password\" }}\n\
             [[route]]\nrecipient = [\"{user}.example\"]\nupstream = \"{user}\"\n",
            upstream.address
        );
    }
    let proxy = Setup::routed(&[("ann.example", "ann", upstream.address)])
        .file("ca.pem", &world().authority.pem)
        .file("ann.password", "of ann\n")
        .file("bob.password", "of bob\n")
        .upstream(VERIFY)
        .upstream("auth = { user = \"ann\", password_file = \"ann.password\" }\npool = { warm = 1, max = 2 }")
        .section(&text)
        .start();
    let mut clients = [proxy.session(), proxy.session()];
    for number in 0..100_usize {
        let to = format!("{number}@{}", routes[number % 2].1);
        let client = &mut clients[(number / 2) % 2];
        assert_eq!(client.message(&to, b"x\r\n").code, 250);
    }
    let seen = upstream.seen();
    let logins: HashMap<usize, &str> = seen
        .commands
        .iter()
        .filter_map(|(session, line)| Some((*session, line.strip_prefix("AUTH PLAIN ")?)))
        .collect();
    assert_eq!(seen.messages.len(), 100);
    for message in &seen.messages {
        let to = message.recipients()[0].to_owned();
        let (user, _) = routes.iter().find(|(_, domain)| to.contains(domain)).unwrap();
        assert_eq!(logins[&message.session], base64(format!("\0{user}\0of {user}")), "{to}");
    }
}

/// RFC 4954 §5: what a client says of who submitted a message counts only where it is trusted.
#[test]
fn who_submitted_it_is_said_on_for_trusted_users() {
    let own = &world().ecdsa;
    for (trusted, told) in [(false, "AUTH=<>"), (true, "AUTH=bob+40client.example")] {
        let upstream = plan("AUTH PLAIN").script(knows("ann", "pencil")).start();
        let listener = format!("auth = {{ users = \"users\", required = false, trusted = {trusted} }}");
        let tls = "tls = { mode = \"require\", certificate = \"mx.pem\", key = \"mx.key\" }";
        let proxy = setup(&upstream, VERIFY, ANN)
            .file("users", super::auth::users())
            .file("mx.pem", &own.certificate)
            .file("mx.key", &own.key)
            .listener(tls)
            .listener(&listener)
            .start();
        for (is_user, want) in [(true, told), (false, "AUTH=<>")] {
            let mut client = super::auth::session(&proxy);
            if is_user {
                assert_eq!(super::auth::plain(&mut client, "ann@client.example", "pencil"), 235);
            }
            let mail = "MAIL FROM:<a@client.example> AUTH=bob+40client.example SIZE=3";
            assert_eq!(client.command(mail).code, 250);
            assert_eq!(client.command("RCPT TO:<b@hop.example>").code, 250);
            client.send(b"BDAT 3 LAST\r\nx\r\n");
            assert_eq!(client.reply().code, 250);
            let message = upstream.messages().pop().unwrap();
            let mail = message.commands.iter().find(|line| line.starts_with("MAIL")).unwrap();
            let words: Vec<_> = mail.split(' ').filter(|word| word.starts_with("AUTH")).collect();
            assert_eq!(words, [want], "{mail}");
        }
    }
}

#[test]
fn connections_of_one_client_log_in_too() {
    let extensions = [&EXTENSIONS[..], &["AUTH PLAIN", "XCLIENT ADDR LOGIN"]].concat();
    let upstream = Plan::with(&extensions)
        .tls(server_config(&VERSIONS, &world().ecdsa))
        .script(knows("ann", "pencil"))
        .start();
    let proxy = setup(&upstream, VERIFY, ANN).upstream("identity = \"xclient\"\npool = { warm = 0 }").start();
    let mut client = proxy.session();
    for _ in 0..2 {
        assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
    }
    let seen = upstream.seen();
    let of = |session: usize| {
        let verbs = seen.commands.iter().filter(|(of, _)| *of == session).map(|(_, line)| &line[..4]);
        verbs.collect::<Vec<_>>()
    };
    for message in &seen.messages {
        let verbs = of(message.session);
        assert_eq!(verbs[..6], ["EHLO", "STAR", "EHLO", "XCLI", "EHLO", "AUTH"], "{verbs:?}");
    }
    assert_ne!(seen.messages[0].session, seen.messages[1].session);
    // Who has proven who it is once need not do it again in a session that is resumed.
    let kinds: Vec<_> = seen.secured.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(kinds.last(), Some(&HandshakeKind::Resumed), "{kinds:?}");
}
