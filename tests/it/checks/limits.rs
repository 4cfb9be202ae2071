//! Limits through the real program: workers that share them, a bank on the service thread, clients of several
//! networks.

use std::net::SocketAddr;
use std::time::Instant;

use postern::traffic::limit::{Amount, By, Count, Limit};

use super::{Client, PATIENCE, Plan, Proxy, Setup, Upstream, eventually};

const HERE: &str = "127.77.1.1";
const THERE: &str = "127.77.2.2";

/// Each core has a worker.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn start(limit: &str) -> (Upstream, Proxy) {
    let upstream = Plan::bdat().start();
    let setup = Setup::toward(upstream.address).workers("cpus = \"auto\"");
    let proxy = setup.section(&format!("[[limit]]\n{limit}")).start();
    (upstream, proxy)
}

fn greeted(client: &str, address: SocketAddr) -> Client {
    let mut client = Client::connect_from(client, address);
    assert_eq!(client.reply().code, 220);
    assert_eq!(client.command("EHLO client.example").code, 250);
    client
}

/// A number of a limit, all workers together.
fn metric(proxy: &Proxy, name: &str) -> u64 {
    proxy.metric(&format!("limit_{name}{{limit=\"l\"}}"))
}

#[test]
fn a_thousand_a_minute_pass_as_exactly_as_it_is_said() {
    let (_upstream, proxy) = start(
        "name = \"l\"\nkey = \"client.net\"\ncount = \"messages\"\nrate = \"1000/min\"\nalert = true\n",
    );
    let begun = Instant::now();
    let mut clients: Vec<_> = (0..16).map(|_| greeted(HERE, proxy.address)).collect();
    let mut passed = 0;
    while !clients.is_empty() {
        clients.retain_mut(|client| {
            let reply = client.command("MAIL FROM:<a@far.test>");
            if reply.code != 250 {
                assert!(reply.text().starts_with("450 4.7.1 too many messages"), "{}", reply.text());
                return false;
            }
            passed += 1;
            client.command("RSET").code == 250
        });
    }
    // What came in meanwhile may pass too.
    let income = u64::try_from(begun.elapsed().as_millis()).unwrap() * 1000 / 60_000 + 1;
    let amount = Amount::Rate { tokens: 1000, per: std::time::Duration::from_secs(60), burst: 1000 };
    let (name, by, count) = (String::new(), By::ClientNet, Count::Messages);
    let error = Limit { name, by, count, amount, entries: 1, alerts: false }.error(workers() as u64);
    assert!((1000 - error..=1000 + income + error).contains(&passed), "{passed}, {income} and {error}");
    // Others are not concerned.
    assert_eq!(greeted(THERE, proxy.address).command("MAIL FROM:<a@far.test>").code, 250);
    let refused = || metric(&proxy, "refused_total") >= 16 && metric(&proxy, "passed_total") == passed + 1;
    assert!(eventually(PATIENCE, refused));
    assert_eq!(metric(&proxy, "alone_total"), 0);
    let alerts =
        || proxy.records().into_iter().filter(|record| record["kind"] == "alert").collect::<Vec<_>>();
    assert!(eventually(PATIENCE, || !alerts().is_empty()));
    let alerts = alerts();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!((alerts[0]["limit"].as_str(), alerts[0]["key"].as_str()), (Some("l"), Some("127.77.1.0/24")));
    let limited =
        proxy.records().into_iter().filter(|record| record["limit"] == "l" && record["kind"].is_null());
    assert_eq!(limited.filter(|record| record["disposition"] == "deferred").count(), 16);
}

#[test]
fn connections_beyond_what_may_be_there_hear_421_until_one_has_gone() {
    let (_upstream, proxy) =
        start("name = \"l\"\nkey = \"client.ip\"\ncount = \"connections\"\nconcurrent = 2\n");
    let mut clients: Vec<_> = Vec::new();
    // Each worker may let one more in before it hears of the other's.
    loop {
        let mut client = Client::connect_from(HERE, proxy.address);
        let reply = client.reply();
        if reply.code == 421 {
            assert!(reply.text().starts_with("421 4.7.0 too many connections"), "{}", reply.text());
            break;
        }
        clients.push(client);
        assert!(clients.len() <= 2 + workers());
    }
    assert!(clients.len() >= 2);
    let _other = greeted(THERE, proxy.address);
    for client in &mut clients {
        assert_eq!(client.command("QUIT").code, 221);
    }
    drop(clients);
    assert!(eventually(PATIENCE, || Client::connect_from(HERE, proxy.address).reply().code == 220));
    assert!(eventually(PATIENCE, || metric(&proxy, "refused_total") >= 1));
}
