//! Checks 24, 25 and 28, and what the process itself owes: its end, its orders, its errors.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use super::{Client, Folder, Heard, PATIENCE, Plan, Proxy, Setup, eventually, in_parallel, pair};
use crate::harness::free_address;
use crate::harness::program::{BINARY, Program, output};

/// A bundled sink with a journal. It is there when it listens.
fn sink(folder: &Folder, options: &[&str]) -> (Program, SocketAddr) {
    let address = free_address();
    let mut command = Command::new(BINARY);
    command.arg("sink").args(options).arg("--journal").arg(folder.join("sink.journal"));
    let mut program = Program::start(command.arg(address.to_string()).arg("128"));
    let listens = eventually(PATIENCE, || TcpStream::connect(address).is_ok());
    assert!(listens, "{}", program.said());
    (program, address)
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// One life of the proxy, ended by SIGKILL at a random instant while the source sends.
fn live_and_die(proxy: &mut Proxy, folder: &Folder, random: &mut fastrand::Rng, life: usize) -> usize {
    let journal = folder.join(&format!("source-{life}.journal"));
    let mut command = Command::new(BINARY);
    command.args(["source", "-s", "4", "-m", "100000", "-l", "400", "-M", &format!("life-{life}.example")]);
    if random.bool() {
        command.arg("-d");
    }
    if random.bool() {
        command.arg("--bdat");
    }
    command.args(["-f", "a@client.example", "-t", "b@hop.example"]).arg("--journal").arg(&journal);
    command.arg(proxy.address.to_string());
    let mut source = Program::start(&mut command);
    // Not before it is under load; then whenever. The kernel takes the ring of a killed process
    // apart behind its end: until then the old listener may take a connection with it.
    let loaded = eventually(PATIENCE, || {
        if !source.is_running() && lines(&journal).is_empty() {
            source = Program::start(&mut command);
        }
        !lines(&journal).is_empty()
    });
    assert!(loaded, "life {life}: {}", source.said());
    std::thread::sleep(Duration::from_micros(random.u64(0..30_000)));
    proxy.kill();
    assert!(source.await_end(PATIENCE).is_some(), "life {life}: the source hangs");
    let acknowledged = lines(&journal).len();
    proxy.restart();
    acknowledged
}

#[test]
fn check_24_kill_9_at_random_instants() {
    /// Of the check's 500; the issue asks for 200.
    const INSTANTS: usize = 200;
    const LANES: usize = 4;
    in_parallel(LANES, LANES, |lane| {
        let mut random = fastrand::Rng::with_seed(lane as u64);
        let folder = Folder::new();
        let options: &[&str] = if lane % 2 == 0 { &["--chunking"] } else { &[] };
        let (_sink, address) = sink(&folder, options);
        let mut proxy = Setup::toward(address).start();
        for life in 0..INSTANTS / LANES {
            assert!(live_and_die(&mut proxy, &folder, &mut random, life) > 0);
        }
        let arrived = lines(&folder.join("sink.journal"));
        let mut copies: HashMap<&str, usize> = HashMap::new();
        for id in &arrived {
            *copies.entry(id).or_default() += 1;
        }
        for life in 0..INSTANTS / LANES {
            let acknowledged = lines(&folder.join(&format!("source-{life}.journal")));
            let unique: HashSet<_> = acknowledged.iter().collect();
            assert_eq!(unique.len(), acknowledged.len(), "an id was acknowledged twice");
            for id in &acknowledged {
                assert_eq!(copies.get(id.as_str()), Some(&1), "lane {lane}, life {life}: {id}");
            }
        }
    });
}

/// Ten clients in the middle of DATA, half of it sent.
fn slow_clients(proxy: &Proxy) -> Vec<Client> {
    let begin = |number: usize| {
        let mut client = proxy.session();
        client.envelope("slow@client.example", &format!("{number}@hop.example"));
        assert_eq!(client.command("DATA").code, 354);
        client.send(b"Subject: slow\r\n\r\nfirst half\r\n");
        client
    };
    (0..10).map(begin).collect()
}

/// The ten end well, nobody new gets in, and the program ends with success.
fn check_drain(proxy: &mut Proxy, order: impl FnOnce(&Proxy)) {
    let slow = slow_clients(proxy);
    let mut idle = proxy.session();
    order(proxy);
    // The idle one is sent away first: from then on the drain is under way.
    assert_eq!(idle.reply().code, 421);
    assert_eq!(idle.hear(), Heard::Closed);
    assert!(!serves(proxy.address), "a new client got in");
    for mut client in slow {
        client.send(b"second half\r\n.\r\n");
        assert_eq!(client.reply().code, 250);
        client.try_send(b"QUIT\r\n");
        assert!(client.hear_to_the_end(PATIENCE).is_some());
    }
    let status = proxy.await_end(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", proxy.said());
}

/// Whether a new connection gets a greeting of welcome.
fn serves(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut code = [0; 3];
    stream.read_exact(&mut code).is_ok() && &code == b"220"
}

#[test]
fn check_25_sigterm_with_slow_senders() {
    for plan in [Plan::bdat(), Plan::data()] {
        let (upstream, mut proxy) = pair(plan);
        check_drain(&mut proxy, Proxy::terminate);
        assert_eq!(upstream.messages().len(), 10);
        assert_eq!(proxy.records().len(), 10, "records");
    }
}

#[test]
fn check_25_ctl_drain() {
    let (upstream, mut proxy) = pair(Plan::bdat());
    check_drain(&mut proxy, |proxy| {
        assert_eq!(ctl(proxy, "drain").0, Some(0));
    });
    assert_eq!(upstream.messages().len(), 10);
}

#[test]
fn check_25_a_drain_does_not_wait_for_ever() {
    let upstream = Plan::bdat().start();
    let mut proxy = Setup::toward(upstream.address).workers("timeout = { drain = \"1s\" }").start();
    let slow = slow_clients(&proxy);
    proxy.terminate();
    let status = proxy.await_end(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", proxy.said());
    for mut client in slow {
        // A reply is no promise: only 4xx or a closed connection may come.
        assert!(matches!(client.hear().code(), Some(400..500) | None));
    }
    assert_eq!(upstream.messages(), []);
}

fn ctl(proxy: &Proxy, order: &str) -> (Option<i32>, String) {
    let output = output(&["ctl", order, "--admin", &format!("http://{}", proxy.admin)]);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn ctl_asks_a_running_program() {
    let (_upstream, mut proxy) = pair(Plan::bdat());
    assert_eq!(proxy.session().message("b@hop.example", b"x\r\n").code, 250);
    let (code, text) = ctl(&proxy, "status");
    assert_eq!(code, Some(0));
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(status.is_object(), "{text}");
    let mut client = proxy.session();
    client.envelope("a@client.example", "b@hop.example");
    assert_eq!(ctl(&proxy, "stop").0, Some(0));
    assert!(matches!(client.hear().code(), Some(421) | None));
    assert_eq!(proxy.await_end(PATIENCE).and_then(|status| status.code()), Some(0));
    assert_eq!(ctl(&proxy, "status").0, Some(1), "nobody is there to ask");
}

#[test]
fn check_names_every_error_with_its_place() {
    let folder = Folder::new();
    let path = folder.join("postern.toml");
    let text = "hostname = \"mx.example\"\n[[listener]]\nname = \"in\"\nadress = [\"127.0.0.1:2525\"]\n\
                [[upstream]]\nname = \"hop\"\nservers = [\"nonsense\"]\n\
                [[route]]\nrecipient = [\"*\"]\nupstream = \"hob\"\n";
    std::fs::write(&path, text).unwrap();
    for command in ["check", "run"] {
        let output = output(&[command, "--config", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        let said = String::from_utf8(output.stderr).unwrap();
        for (place, word) in [(":4:1: ", "address"), (":7:", "nonsense"), (":10:", "hop")] {
            let line = said.lines().find(|line| line.contains(place));
            assert!(line.is_some_and(|line| line.contains(word)), "{command}: {place}{word} in\n{said}");
        }
    }
    let good = Setup::toward(free_address()).text(free_address(), free_address());
    std::fs::write(&path, good).unwrap();
    let output = output(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!output.stdout.is_empty());
}

/// The wall clock feeds dates and ids only: deadlines come from `reactor.now().instant`, which is
/// CLOCK_MONOTONIC. Stepping the clock of a machine is not a test's to do, and there is no
/// libfaketime here; so this holds the construction: nobody else reads a clock, and the reactor
/// reads CLOCK_MONOTONIC for what deadlines are made of.
#[test]
fn check_28_deadlines_do_not_follow_the_wall_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let clock = std::fs::read_to_string(root.join("reactor/clock.rs")).unwrap();
    assert!(clock.contains("Instant::now"), "std's Instant is CLOCK_MONOTONIC");
    let readers = Mutex::new(Vec::new());
    visit(&root, &|path, text| {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if code.contains("SystemTime::now") || code.contains("CLOCK_REALTIME") {
            readers.lock().unwrap().push(path.strip_prefix(&root).unwrap().display().to_string());
        }
    });
    let readers = readers.into_inner().unwrap();
    let mail = ["relay", "smtp", "policy", "worker", "base"];
    assert!(!readers.iter().any(|path| mail.iter().any(|floor| path.starts_with(floor))), "{readers:?}");
}

fn visit(folder: &Path, look: &dyn Fn(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            visit(&path, look);
        } else if path.file_name().is_some_and(|name| name != "tests.rs") {
            look(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}
