//! Next hops that are found by the domains of recipients, through the real program: a name server, a host
//! of policies and mail hosts of the test's own, all on loopback, each mail host at an address of its own.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_resolver::proto::rr::rdata::{A, MX, TLSA, TXT};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use rcgen::{PKCS_ECDSA_P256_SHA256, date_time_ymd};
use rustls::ServerConfig;
use sha2::{Digest, Sha256};

use super::quarantine::command;
use super::{At, Client, Do, EXTENSIONS, PATIENCE, Plan, Proxy, Setup, Upstream, eventually};
use crate::harness::authority::{Issued, self_signed, world};
use crate::harness::loopback;
use crate::harness::name_server::{NameServer, Reaction};
use crate::harness::secure::{Tls, VERSIONS, client_config, server_config};

/// What the name server says, to be changed while it runs; all else does not exist.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<HashMap<(String, RecordType), Reaction>>>);

impl Zone {
    fn set(&self, name: &str, kind: RecordType, reaction: Reaction) {
        self.0.lock().unwrap().insert((name.to_owned(), kind), reaction);
    }

    fn address(&self, host: &str, address: IpAddr) {
        let IpAddr::V4(address) = address else { panic!("{address}") };
        self.set(host, RecordType::A, Reaction::Records(vec![RData::A(A(address))]));
    }

    fn mx(&self, domain: &str, hosts: &[(u16, &str)]) {
        let record = |(preference, host): &(u16, &str)| {
            RData::MX(MX::new(*preference, Name::from_ascii(format!("{host}.")).unwrap()))
        };
        self.set(domain, RecordType::MX, Reaction::Records(hosts.iter().map(record).collect()));
    }

    fn text(&self, name: &str, text: &str) {
        self.set(name, RecordType::TXT, Reaction::Records(vec![RData::TXT(TXT::new(vec![text.to_owned()]))]));
    }

    fn tlsa(&self, host: &str, port: u16, usage: CertUsage, selector: Selector, data: &[u8]) {
        let digest = Sha256::digest(data).to_vec();
        let record = RData::TLSA(TLSA::new(usage, selector, Matching::Sha256, digest));
        self.set(&format!("_{port}._tcp.{host}"), RecordType::TLSA, Reaction::Records(vec![record]));
    }

    /// Answers hold for no time: what was changed is seen at once.
    fn serve(&self) -> NameServer {
        let zone = self.clone();
        NameServer::start_with(0, move |name, kind| {
            let zone = zone.0.lock().unwrap();
            let exists = || zone.keys().any(|(known, _)| known == name);
            let found = zone.get(&(name.to_owned(), kind)).cloned();
            found.unwrap_or_else(|| if exists() { Reaction::NoData } else { Reaction::NotFound })
        })
    }
}

/// Mail hosts on one port, at addresses of their own.
struct Hosts {
    zone: Zone,
    port: u16,
    next: u8,
    hosts: Vec<Upstream>,
}

impl Hosts {
    fn new() -> Self {
        // Somebody else may have the port at another address; not at ours.
        let free = TcpListener::bind((loopback(), 0)).unwrap();
        Self { zone: Zone::default(), port: free.local_addr().unwrap().port(), next: 2, hosts: Vec::new() }
    }

    fn address(&mut self) -> IpAddr {
        let IpAddr::V4(own) = loopback() else { panic!("IPv6") };
        let [a, b, c, _] = own.octets();
        self.next += 1;
        IpAddr::V4(Ipv4Addr::new(a, b, c, self.next - 1))
    }

    /// A host with this name; which one it is.
    fn add(&mut self, name: &str, plan: Plan) -> usize {
        let address = self.address();
        self.zone.address(name, address);
        self.hosts.push(plan.start_at(SocketAddr::new(address, self.port)));
        self.hosts.len() - 1
    }

    /// A host that nobody answers at.
    fn add_dead(&mut self, name: &str) {
        let address = self.address();
        self.zone.address(name, address);
    }

    /// The proxy, and the name server that it asks.
    fn start(&self, mx: &str, more: impl FnOnce(Setup) -> Setup) -> (Proxy, NameServer) {
        let names = self.zone.serve();
        let settings = format!("port = {}, private = [\"127.0.0.0/8\"], ca = \"ca.pem\", {mx}", self.port);
        let sender = format!(
            "[sender]\nresolver = [\"{}\"]\nvalidates = true\ntimeout = \"2s\"\nspf = false\ndkim = false\n\
             arc = false\ndmarc = \"off\"\nresults = false",
            names.address
        );
        let setup = Setup::looked_up(&settings).section(&sender).file("ca.pem", &world().authority.pem);
        let setup = setup.upstream("timeout = { connect = \"2s\", reply = \"3s\", end = \"10s\" }");
        (more(setup).start(), names)
    }
}

/// What a recipient is answered, in a transaction of its own.
fn recipient(client: &mut Client, address: &str) -> String {
    assert_eq!(client.command("MAIL FROM:<a@client.example>").code, 250);
    let reply = client.command(&format!("RCPT TO:<{address}>"));
    client.command("RSET");
    reply.text()
}

fn tls(own: &Issued) -> Arc<ServerConfig> {
    server_config(&VERSIONS, own)
}

/// A certificate for these names by the authority that is believed.
fn issued(names: &[&str]) -> Issued {
    world().authority.issue(names, &PKCS_ECDSA_P256_SHA256)
}

const CONTENT: &[u8] = b"Subject: x\r\n\r\nbody\r\n";

#[test]
fn mail_goes_to_the_hosts_of_the_domain() {
    let mut hosts = Hosts::new();
    hosts.add_dead("dead.a.test");
    let second = hosts.add("mx.a.test", Plan::bdat());
    hosts.zone.mx("a.test", &[(20, "mx.a.test"), (10, "dead.a.test")]);
    hosts.zone.mx("null.test", &[(0, "")]);
    hosts.zone.set("broken.test", RecordType::MX, Reaction::Failure);
    hosts.zone.mx("us.test", &[(10, "postern.example"), (20, "mx.a.test")]);
    hosts.zone.mx("inside.test", &[(10, "inside.test")]);
    hosts.zone.address("inside.test", "10.1.2.3".parse().unwrap());
    hosts.zone.address("alone.test", hosts.hosts[second].address.ip());
    let (mut proxy, _names) = hosts.start("mta_sts = false", |setup| setup);
    let mut client = proxy.session();
    for _ in 0..3 {
        assert_eq!(client.message("b@A.Test", CONTENT).code, 250);
    }
    assert_eq!(client.message("b@alone.test", CONTENT).code, 250);
    for (address, wanted) in [
        ("b@null.test", "556 5.1.10 "),
        ("b@nowhere.test", "550 5.1.2 "),
        ("b@broken.test", "451 4.4.3 "),
        ("b@us.test", "554 5.4.6 "),
        ("b@inside.test", "550 5.4.4 "),
        ("b@[10.0.0.1]", "550 5.4.4 "),
    ] {
        let told = recipient(&mut client, address);
        assert!(told.starts_with(wanted), "{address}: {told}");
    }
    // One domain for each transaction.
    assert_eq!(client.command("MAIL FROM:<a@client.example>").code, 250);
    assert_eq!(client.command("RCPT TO:<b@a.test>").code, 250);
    assert_eq!(client.command("RCPT TO:<b@alone.test>").code, 452);
    assert_eq!(client.command("RCPT TO:<c@a.test>").code, 250);
    client.command("RSET");
    let seen = hosts.hosts[second].seen();
    // Connections stay warm while there is mail.
    assert_eq!((seen.messages.len(), seen.sessions), (4, 2));
    drop(seen);
    let record = &proxy.await_records(4)[0];
    assert_eq!(record["next_hop"]["name"], "out");
    assert_eq!(record["next_hop"]["server"], hosts.hosts[second].address.to_string());
    proxy.assert_well();
}

#[test]
fn strangers_send_nothing_out() {
    let mut hosts = Hosts::new();
    let host = hosts.add("a.test", Plan::bdat());
    let (proxy, _names) =
        hosts.start("mta_sts = false", |setup| setup.route_for("clients = [\"10.0.0.0/8\"]"));
    let mut client = proxy.session();
    assert!(recipient(&mut client, "b@a.test").starts_with("550 5.1.2 "));
    assert_eq!(hosts.hosts[host].seen().sessions, 0);
}

/// A proxy that may have two connections out, and three domains.
#[test]
fn all_ways_share_the_connections_of_their_upstream() {
    let mut hosts = Hosts::new();
    for domain in ["a.test", "b.test", "c.test"] {
        hosts.add(domain, Plan::bdat());
    }
    let (mut proxy, _names) = hosts.start("mta_sts = false, connections = 2", |setup| {
        setup.upstream("pool = { max = 2, idle = \"10m\" }")
    });
    let mut client = proxy.session();
    for domain in ["a.test", "b.test", "c.test", "a.test", "c.test", "b.test"] {
        assert_eq!(client.message(&format!("x@{domain}"), CONTENT).code, 250);
    }
    let open = || hosts.hosts.iter().map(|host| host.seen().open).sum::<usize>();
    assert!(eventually(PATIENCE, || open() <= 2), "{} are open", open());
    assert_eq!(hosts.hosts.iter().map(|host| host.messages().len()).collect::<Vec<_>>(), [2, 2, 2]);
    proxy.assert_well();
}

/// Who has one connection that is busy gets another, though those that there may be rest with others.
#[test]
fn a_connection_at_rest_is_no_reason_to_wait() {
    let mut hosts = Hosts::new();
    let slow = hosts.add("slow.test", Plan::bdat());
    hosts.add("rest.test", Plan::bdat());
    let (proxy, _names) = hosts.start("mta_sts = false, connections = 2", |setup| {
        setup.upstream("pool = { max = 2, idle = \"10m\", wait = \"3s\" }")
    });
    assert_eq!(proxy.session().message("x@rest.test", CONTENT).code, 250);
    let mut busy = proxy.session();
    assert_eq!(busy.command("MAIL FROM:<a@client.example>").code, 250);
    assert_eq!(busy.command("RCPT TO:<x@slow.test>").code, 250);
    assert_eq!(proxy.session().message("y@slow.test", CONTENT).code, 250);
    assert_eq!(hosts.hosts[slow].messages().len(), 1);
}

/// Mail to one domain without end leaves connections to others.
#[test]
fn who_has_no_connection_comes_before_who_has_one() {
    let mut hosts = Hosts::new();
    hosts.add("busy.test", Plan::bdat());
    hosts.add("other.test", Plan::bdat());
    let (proxy, _names) = hosts.start("mta_sts = false, connections = 1", |setup| {
        setup.upstream("pool = { max = 1, idle = \"10m\", wait = \"3s\" }")
    });
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = proxy.session();
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    client.message("x@busy.test", CONTENT);
                }
            });
        }
        let is_busy = eventually(PATIENCE, || hosts.hosts[0].messages().len() >= 3);
        let reply = proxy.session().message("y@other.test", CONTENT);
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(is_busy, "who writes to one domain without end gets nothing through");
        assert_eq!(reply.code, 250, "{reply:?}");
    });
}

/// One domain with one host, what that shows, and whether it gets mail.
struct Case {
    domain: &'static str,
    is_fine: bool,
    host: usize,
}

/// Sends one message to each; what may not pass is deferred, and was not even named in clear or under TLS.
#[track_caller]
fn check_cases(proxy: &Proxy, hosts: &Hosts, cases: &[Case]) {
    let mut client = proxy.session();
    for Case { domain, is_fine, host } in cases {
        let address = format!("b@{domain}");
        if *is_fine {
            assert_eq!(client.message(&address, CONTENT).code, 250, "{domain}");
        } else {
            let told = recipient(&mut client, &address);
            assert!(told.starts_with("451 4."), "{domain}: {told}");
        }
        let seen = hosts.hosts[*host].seen();
        let mail = seen.commands.iter().filter(|(_, line)| line.starts_with("MAIL")).count();
        assert_eq!((mail, seen.messages.len()), (usize::from(*is_fine), usize::from(*is_fine)), "{domain}");
        assert!(seen.in_clear.iter().all(|line| !line.starts_with("MAIL")) || *is_fine, "{domain}");
    }
}

/// Adds a host with the name of its domain, in clear or with what it shows.
fn case(hosts: &mut Hosts, domain: &'static str, own: Option<&Issued>, is_fine: bool) -> Case {
    let plan = own.map_or_else(Plan::bdat, |own| Plan::bdat().tls(tls(own)));
    Case { domain, is_fine, host: hosts.add(domain, plan) }
}

fn key_of(own: &Issued) -> Vec<u8> {
    let certificate = rustls::pki_types::CertificateDer::from(own.der.clone());
    rustls::server::ParsedCertificate::try_from(&certificate).unwrap().subject_public_key_info().to_vec()
}

/// Records of usage 3, and none.
fn end_entity_cases(hosts: &mut Hosts, own: &Issued) -> Vec<Case> {
    let (port, ee, spki) = (hosts.port, CertUsage::DaneEe, Selector::Spki);
    // Usage 3 asks for neither name, date nor authority (RFC 7672 §3.1.1).
    hosts.zone.tlsa("ee.test", port, ee, Selector::Full, &own.der);
    let expired = world().stranger.issue_with(&["x.test"], &PKCS_ECDSA_P256_SHA256, |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    hosts.zone.tlsa("expired.test", port, ee, spki, &key_of(&expired));
    hosts.zone.tlsa("mismatch.test", port, ee, spki, &key_of(own));
    hosts.zone.tlsa("clear.test", port, ee, spki, &key_of(own));
    // No answer may be somebody's wish (§2.1.2).
    hosts.zone.set(&format!("_{port}._tcp.silent.test"), RecordType::TLSA, Reaction::Failure);
    vec![
        case(hosts, "ee.test", Some(own), true),
        case(hosts, "expired.test", Some(&expired), true),
        case(hosts, "mismatch.test", Some(&issued(&["mismatch.test"])), false),
        case(hosts, "clear.test", None, false),
        case(hosts, "silent.test", Some(own), false),
        // None at all: as set.
        case(hosts, "missing.test", Some(own), true),
        case(hosts, "missing-clear.test", None, true),
    ]
}

/// Usage 2 asks for a chain, dates and the name; records that cannot be used for TLS, to whomever (RFC 7672 §2.2).
fn other_cases(hosts: &mut Hosts, own: &Issued) -> Vec<Case> {
    let (port, ta) = (hosts.port, CertUsage::DaneTa);
    let stranger = &world().stranger;
    let chained = |names: &[&str]| stranger.issue(names, &PKCS_ECDSA_P256_SHA256);
    for domain in ["ta.test", "ta-name.test"] {
        let record = TLSA::new(ta, Selector::Full, Matching::Raw, stranger.der.clone());
        let reaction = Reaction::Records(vec![RData::TLSA(record)]);
        hosts.zone.set(&format!("_{port}._tcp.{domain}"), RecordType::TLSA, reaction);
    }
    for domain in ["unusable.test", "unusable-clear.test"] {
        hosts.zone.tlsa(domain, port, CertUsage::PkixEe, Selector::Spki, b"x");
    }
    vec![
        case(hosts, "ta.test", Some(&chained(&["ta.test"])), true),
        case(hosts, "ta-name.test", Some(&chained(&["other.test"])), false),
        case(hosts, "unusable.test", Some(own), true),
        case(hosts, "unusable-clear.test", None, false),
    ]
}

#[test]
fn tlsa_records_decide() {
    let mut hosts = Hosts::new();
    let own = self_signed(&["whatever.test"]);
    let mut cases = end_entity_cases(&mut hosts, &own);
    cases.extend(other_cases(&mut hosts, &own));
    let (mut proxy, _names) = hosts.start("mta_sts = false", |setup| setup);
    check_cases(&proxy, &hosts, &cases);
    let told = |domain: &str| {
        let records = proxy.records();
        let of = |record: &&serde_json::Value| record["recipients"][0]["address"] == format!("b@{domain}");
        records.iter().find(of).map(|record| record["next_hop"]["tls"].to_string()).unwrap_or_default()
    };
    assert!(eventually(PATIENCE, || told("missing.test").contains("none")));
    assert!(told("ee.test").contains("dane") && told("ta.test").contains("dane"));
    // Where nothing is published a proxy may be told to send nothing.
    let strict = |setup: Setup| setup.upstream("tls = \"dane\"");
    let (other, _names) = hosts.start("mta_sts = false", strict);
    let mut client = other.session();
    assert!(recipient(&mut client, "b@missing.test").starts_with("451 4.7.5 "));
    assert_eq!(client.message("b@ee.test", CONTENT).code, 250);
    proxy.assert_well();
}

#[test]
fn answers_that_nobody_validated_prove_nothing() {
    let mut hosts = Hosts::new();
    let own = self_signed(&["a.test"]);
    hosts.zone.tlsa("a.test", hosts.port, CertUsage::DaneEe, Selector::Full, b"another");
    let host = hosts.add("a.test", Plan::bdat().tls(tls(&own)));
    let names = hosts.zone.serve();
    let settings = format!("port = {}, private = [\"127.0.0.0/8\"], mta_sts = false", hosts.port);
    let sender =
        format!("[sender]\nresolver = [\"{}\"]\nspf = false\ndkim = false\ndmarc = \"off\"", names.address);
    let proxy = Setup::looked_up(&settings).section(&sender).start();
    assert_eq!(proxy.session().message("b@a.test", CONTENT).code, 250);
    assert_eq!(hosts.hosts[host].messages().len(), 1);
}

/// Says what it is told to whoever asks by HTTPS.
struct PolicyHost {
    address: SocketAddr,
    /// The status line and the policy.
    says: Arc<Mutex<(String, String)>>,
    asked: Arc<Mutex<usize>>,
}

impl PolicyHost {
    fn start(own: &Issued) -> Self {
        let listener = TcpListener::bind((loopback(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let says = Arc::new(Mutex::new(("200 OK".to_owned(), String::new())));
        let asked = Arc::new(Mutex::new(0));
        let config = tls(own);
        let (held, count) = (Arc::clone(&says), Arc::clone(&asked));
        // It ends with the test.
        std::thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                *count.lock().unwrap() += 1;
                let Ok(mut tls) = Tls::server(&config, &[], &mut socket) else { continue };
                let mut request = [0; 2048];
                let Ok(length) = tls.read(&mut socket, &mut request) else { continue };
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                assert!(text.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), "{text}");
                let (status, policy) = held.lock().unwrap().clone();
                let response = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
                     Location: https://elsewhere.test/\r\nConnection: close\r\n\r\n{policy}",
                    policy.len()
                );
                // Whoever hangs up in the middle has heard enough.
                let _ = tls.write(&mut socket, response.as_bytes()).and_then(|()| tls.close(&mut socket));
                let _ = socket.flush().and_then(|()| socket.read(&mut request).map(|_| ()));
            }
        });
        Self { address, says, asked }
    }

    fn say(&self, status: &str, policy: &str) {
        *self.says.lock().unwrap() = (status.to_owned(), policy.to_owned());
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

fn policy(mode: &str, mx: &str, max_age: u32) -> String {
    format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {max_age}\r\n")
}

/// A domain with one host, whose policy is at the address of `policies`.
fn announce(hosts: &mut Hosts, policies: &PolicyHost, domain: &str, host: &str, plan: Plan) -> usize {
    let index = hosts.add(host, plan);
    hosts.zone.mx(domain, &[(10, host)]);
    hosts.zone.text(&format!("_mta-sts.{domain}"), "v=STSv1; id=1;");
    hosts.zone.address(&format!("mta-sts.{domain}"), policies.address.ip());
    index
}

/// One policy host for many domains: its certificate has the names of all.
fn policy_names<'a>(domains: &'a [&'a str]) -> Vec<String> {
    domains.iter().map(|domain| format!("mta-sts.{domain}")).collect()
}

#[test]
fn policies_are_fetched_and_kept_to() {
    let domains = ["good.test", "selfsigned.test", "name.test", "clear.test", "elsewhere.test"];
    let names = policy_names(&domains);
    let policies = PolicyHost::start(&issued(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    policies.say("200 OK", &policy("enforce", "*.mail.test", 86_400));
    let mut hosts = Hosts::new();
    let mut cases = Vec::new();
    let good = issued(&["good.mail.test"]);
    let other = issued(&["other.mail.test"]);
    let unknown = self_signed(&["selfsigned.mail.test"]);
    for (domain, host, own, is_fine) in [
        ("good.test", "good.mail.test", Some(&good), true),
        ("selfsigned.test", "selfsigned.mail.test", Some(&unknown), false),
        ("name.test", "name.mail.test", Some(&other), false),
        ("clear.test", "clear.mail.test", None, false),
        ("elsewhere.test", "mx.elsewhere.test", Some(&good), false),
    ] {
        let plan = own.map_or_else(Plan::bdat, |own| Plan::bdat().tls(tls(own)));
        let host = announce(&mut hosts, &policies, domain, host, plan);
        cases.push(Case { domain, is_fine, host });
    }
    let port = format!("mta_sts_port = {}", policies.address.port());
    let (mut proxy, _names) = hosts.start(&port, |setup| setup);
    check_cases(&proxy, &hosts, &cases);
    let fetched = policies.asked();
    assert_eq!(fetched, domains.len());
    let mut client = proxy.session();
    assert!(recipient(&mut client, "b@elsewhere.test").starts_with("451 4.7.5 "));
    assert_eq!(policies.asked(), fetched, "what is kept is not fetched again");
    // §5.1: neither a name server nor a policy host that says nothing takes it away.
    hosts.zone.set("_mta-sts.clear.test", RecordType::TXT, Reaction::NotFound);
    hosts.zone.text("_mta-sts.selfsigned.test", "v=STSv1; id=2;");
    policies.say("404 Not Found", "");
    for domain in ["clear.test", "selfsigned.test"] {
        let told = recipient(&mut client, &format!("b@{domain}"));
        assert!(told.starts_with("451 4."), "{domain}: {told}");
    }
    // A new one takes its place.
    hosts.zone.text("_mta-sts.elsewhere.test", "v=STSv1; id=2;");
    policies.say("200 OK", &policy("testing", "*.mail.test", 86_400));
    assert_eq!(client.message("b@elsewhere.test", CONTENT).code, 250);
    let records = proxy.await_records(1);
    assert!(records[0]["next_hop"]["tls"].as_str().is_some_and(|tls| tls.ends_with(" authority")));
    proxy.assert_well();
}

#[test]
fn what_is_no_policy_protects_nobody_and_stops_nothing() {
    let domains = ["testing.test", "none.test", "redirect.test", "garbage.test", "untrusted.test"];
    let names = policy_names(&domains[..4]);
    let policies = PolicyHost::start(&issued(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    let mut hosts = Hosts::new();
    let own = self_signed(&["x.test"]);
    for domain in domains {
        let host = format!("mx.{domain}");
        announce(&mut hosts, &policies, domain, &host, Plan::bdat().tls(tls(&own)));
    }
    let port = format!("mta_sts_port = {}", policies.address.port());
    let (mut proxy, _names) = hosts.start(&port, |setup| setup);
    let mut client = proxy.session();
    let enforced = policy("enforce", "no.such.test", 86_400);
    for (domain, status, text) in [
        ("testing.test", "200 OK", policy("testing", "no.such.test", 86_400)),
        ("none.test", "200 OK", policy("none", "no.such.test", 86_400)),
        ("redirect.test", "302 Found", enforced.clone()),
        ("garbage.test", "200 OK", "<html>".to_owned()),
        // The host of the policy is somebody else.
        ("untrusted.test", "200 OK", enforced),
    ] {
        policies.say(status, &text);
        assert_eq!(client.message(&format!("b@{domain}"), CONTENT).code, 250, "{domain}");
    }
    // What failed is not asked for again at once.
    let asked = policies.asked();
    assert_eq!(client.message("b@garbage.test", CONTENT).code, 250);
    assert_eq!(policies.asked(), asked);
    proxy.assert_well();
}

#[test]
fn a_policy_ends_with_its_time() {
    let policies = PolicyHost::start(&issued(&["mta-sts.short.test"]));
    policies.say("200 OK", &policy("enforce", "no.such.test", 2));
    let mut hosts = Hosts::new();
    announce(&mut hosts, &policies, "short.test", "mx.short.test", Plan::bdat());
    let port = format!("mta_sts_port = {}", policies.address.port());
    let (proxy, _names) = hosts.start(&port, |setup| setup);
    let mut client = proxy.session();
    assert!(recipient(&mut client, "b@short.test").starts_with("451 4.7.5 "));
    hosts.zone.set("_mta-sts.short.test", RecordType::TXT, Reaction::NotFound);
    assert!(eventually(PATIENCE, || recipient(&mut client, "b@short.test").starts_with("250")));
}

/// Whoever keeps policies from being fetched gains nothing by waiting: they are renewed before their time.
#[test]
fn a_policy_is_renewed_in_time() {
    let policies = PolicyHost::start(&issued(&["mta-sts.short.test"]));
    policies.say("200 OK", &policy("enforce", "no.such.test", 3));
    let mut hosts = Hosts::new();
    announce(&mut hosts, &policies, "short.test", "mx.short.test", Plan::bdat());
    let port = format!("mta_sts_port = {}", policies.address.port());
    let (proxy, _names) = hosts.start(&port, |setup| setup);
    let mut client = proxy.session();
    let mut is_kept_to = || recipient(&mut client, "b@short.test").starts_with("451 4.7.5 ");
    assert!(is_kept_to());
    let begun = Instant::now();
    policies.say("200 OK", &policy("enforce", "no.such.test", 86_400));
    assert!(eventually(PATIENCE, || is_kept_to() && policies.asked() == 2), "it is not renewed");
    hosts.zone.set("_mta-sts.short.test", RecordType::TXT, Reaction::NotFound);
    policies.say("404 Not Found", "");
    while begun.elapsed() < Duration::from_secs(4) {
        assert!(is_kept_to());
    }
}

/// What was kept back goes out as it would have: to the domain's hosts, which prove what they have to.
#[test]
fn what_is_released_is_looked_up_too() {
    let mut hosts = Hosts::new();
    let own = self_signed(&["x.test"]);
    let (ee, full) = (CertUsage::DaneEe, Selector::Full);
    hosts.zone.tlsa("good.test", hosts.port, ee, full, &own.der);
    let good = hosts.add("good.test", Plan::data().tls(tls(&own)));
    let able = hosts.add("able.test", Plan::bdat());
    let keep =
        "[quarantine]\npath = \"kept\"\n\n[[rule]]\nname = \"keep\"\nwhen = \"true\"\nthen = \"quarantine\"";
    let (proxy, _names) = hosts.start("mta_sts = false", |setup| setup.section(keep));
    let mut client = proxy.session();
    assert_eq!(client.message("b@able.test", CONTENT).code, 250);
    // The next hop is asked about recipients; what comes to be kept afterwards it never sees.
    hosts.zone.tlsa("able.test", hosts.port, ee, full, &own.der);
    assert_eq!(client.message("b@good.test", CONTENT).code, 250);
    let kept = proxy.await_records(2);
    let release = |index: usize| command(&proxy, &["release", kept[index]["id"].as_str().unwrap()]).0;
    // It has no TLS, and its records ask for it now.
    assert_eq!(release(0), Some(1));
    assert_eq!(release(1), Some(0));
    assert_eq!(hosts.hosts[good].messages().len(), 1);
    assert!(hosts.hosts[good].seen().in_clear.iter().all(|line| !line.starts_with("MAIL")));
    assert_eq!(hosts.hosts[able].messages().len(), 0);
}

/// A host that announces REQUIRETLS, or does not.
fn requiring(own: &Issued, announces: bool) -> Plan {
    let mut extensions = EXTENSIONS.to_vec();
    extensions.extend(announces.then_some("REQUIRETLS"));
    Plan::with(&extensions).tls(tls(own))
}

#[test]
fn requiretls_holds_to_the_end() {
    let mut hosts = Hosts::new();
    let own = self_signed(&["x.test"]);
    let (ee, full) = (CertUsage::DaneEe, Selector::Full);
    for domain in ["able.test", "unable.test"] {
        hosts.zone.tlsa(domain, hosts.port, ee, full, &own.der);
    }
    let able = hosts.add("able.test", requiring(&own, true));
    let unable = hosts.add("unable.test", requiring(&own, false));
    let unproven = hosts.add("unproven.test", requiring(&own, true));
    let (proxy, _names) = hosts.start("mta_sts = false", |setup| super::tls::secured(setup, "offer", ""));
    // RFC 8689 §4.1: not for who came in clear.
    let mut client = proxy.client();
    let announced = client.command("EHLO client.example");
    assert!(announced.lines.iter().all(|line| line != "REQUIRETLS"), "{announced:?}");
    assert_eq!(client.command("MAIL FROM:<a@client.example> REQUIRETLS").code, 555);
    let mut client = proxy.client();
    client.starttls(&client_config(&VERSIONS, None));
    let announced = client.command("EHLO client.example");
    assert!(announced.lines.iter().any(|line| line == "REQUIRETLS"), "{announced:?}");
    for (domain, wanted) in
        [("able.test", "250 "), ("unable.test", "550 5.7.30 "), ("unproven.test", "550 5.7.10 ")]
    {
        assert_eq!(client.command("MAIL FROM:<a@client.example> REQUIRETLS").code, 250);
        let told = client.command(&format!("RCPT TO:<b@{domain}>")).text();
        assert!(told.starts_with(wanted), "{domain}: {told}");
        client.command("RSET");
    }
    let seen =
        hosts.hosts[able].await_seen(|seen| seen.commands.iter().any(|(_, line)| line.starts_with("RCPT")));
    assert!(seen.commands.iter().any(|(_, line)| line == "MAIL FROM:<a@client.example> REQUIRETLS"));
    drop(seen);
    for host in [unable, unproven] {
        assert!(hosts.hosts[host].seen().commands.iter().all(|(_, line)| !line.starts_with("MAIL")));
    }
}

/// RFC 8689 §8.2: a host proves its own name, and not that it is the domain's.
#[test]
fn requiretls_asks_who_named_the_host() {
    let mut hosts = Hosts::new();
    let own = issued(&["mx.attacker.test"]);
    let host = hosts.add("mx.attacker.test", requiring(&own, true));
    hosts.zone.mx("victim.test", &[(10, "mx.attacker.test")]);
    let names = hosts.zone.serve();
    let settings = format!("port = {}, private = [\"127.0.0.0/8\"], mta_sts = false", hosts.port);
    let sender =
        format!("[sender]\nresolver = [\"{}\"]\nspf = false\ndkim = false\ndmarc = \"off\"", names.address);
    let setup = Setup::looked_up(&settings).section(&sender).file("ca.pem", &world().authority.pem);
    let setup = setup.upstream("tls = { mode = \"verify\", ca = \"ca.pem\" }");
    let proxy = super::tls::secured(setup, "offer", "").start();
    assert_eq!(proxy.session().message("b@victim.test", CONTENT).code, 250);
    let mut client = proxy.client();
    client.starttls(&client_config(&VERSIONS, None));
    client.command("EHLO client.example");
    assert_eq!(client.command("MAIL FROM:<a@client.example> REQUIRETLS").code, 250);
    let told = client.command("RCPT TO:<b@victim.test>").text();
    assert!(told.starts_with("550 5.7.10 "), "{told}");
    let seen = hosts.hosts[host].seen();
    assert!(seen.commands.iter().all(|(_, line)| !line.ends_with("REQUIRETLS")));
}

/// RFC 8689 §4.2.1: all hosts of the domain are tried.
#[test]
fn requiretls_asks_the_next_host() {
    let mut hosts = Hosts::new();
    let own = self_signed(&["x.test"]);
    for (host, announces) in [("unable.test", false), ("able.test", true)] {
        hosts.zone.tlsa(host, hosts.port, CertUsage::DaneEe, Selector::Full, &own.der);
        hosts.add(host, requiring(&own, announces));
    }
    hosts.zone.mx("a.test", &[(10, "unable.test"), (20, "able.test")]);
    let (proxy, _names) = hosts.start("mta_sts = false", |setup| super::tls::secured(setup, "offer", ""));
    let mut client = proxy.client();
    client.starttls(&client_config(&VERSIONS, None));
    client.command("EHLO client.example");
    assert_eq!(client.command("MAIL FROM:<a@client.example> REQUIRETLS").code, 250);
    let told = client.command("RCPT TO:<b@a.test>").text();
    assert!(told.starts_with("250 "), "{told}");
    client.command("RSET");
    hosts.zone.mx("a.test", &[(10, "unable.test")]);
    assert_eq!(client.command("MAIL FROM:<a@client.example> REQUIRETLS").code, 250);
    let told = client.command("RCPT TO:<b@a.test>").text();
    assert!(told.starts_with("550 5.7.30 "), "{told}");
}

/// TLS toward one upstream may depend on the domain of the recipient.
#[test]
fn a_route_has_its_own_tls() {
    let upstream = Plan::bdat().start();
    let proxy = Setup::routed(&[("plain.test", "hop", upstream.address)])
        .route_for("\n[[route]]\nrecipient = [\"secret.test\"]\nupstream = \"hop\"\ntls = \"require\"")
        .start();
    let mut client = proxy.session();
    assert_eq!(client.message("b@plain.test", CONTENT).code, 250);
    let told = recipient(&mut client, "b@secret.test");
    assert!(told.starts_with("451 4."), "{told}");
    let seen = upstream.seen();
    assert!(seen.commands.iter().all(|(_, line)| !line.contains("secret.test")));
}

/// A host that falls silent is one of two: the other gets the mail of those who wait.
#[test]
fn a_host_that_fails_gives_way_to_the_next() {
    let mut hosts = Hosts::new();
    let bad = hosts.add(
        "bad.test",
        Plan::bdat().script(|step| match step.at {
            At::Connect => Do::say("554 5.3.2 go away"),
            _ => Do::Usual,
        }),
    );
    let good = hosts.add("good.test", Plan::data());
    hosts.zone.mx("a.test", &[(10, "bad.test"), (20, "good.test")]);
    let (proxy, _names) = hosts.start("mta_sts = false", |setup| setup);
    let mut client = proxy.session();
    for _ in 0..20 {
        assert_eq!(client.message("b@a.test", CONTENT).code, 250);
    }
    assert_eq!(hosts.hosts[good].messages().len(), 20);
    assert!(hosts.hosts[bad].seen().sessions >= 1);
}

/// A name server that says nothing holds up nobody else, and the client hears it in time.
#[test]
fn a_silent_name_server_defers() {
    let mut hosts = Hosts::new();
    let host = hosts.add("a.test", Plan::bdat());
    hosts.zone.set("silent.test", RecordType::MX, Reaction::Silence);
    let (proxy, _names) = hosts.start("mta_sts = false", |setup| setup);
    let mut waiting = proxy.session();
    assert_eq!(waiting.command("MAIL FROM:<a@client.example>").code, 250);
    waiting.send(b"RCPT TO:<b@silent.test>\r\n");
    assert_eq!(proxy.session().message("b@a.test", CONTENT).code, 250);
    assert_eq!(hosts.hosts[host].messages().len(), 1);
    let heard = waiting.hear_within(Duration::from_secs(20));
    assert_eq!(heard.code(), Some(451), "{heard:?}");
}
