//! A file per row: what it says, and what is said about it.

use super::{Outside, Path, Rejected, Rules, Source, read};
use crate::policy::route::Submitter;
use crate::policy::settings::{BareNewlinePolicy, Config, Cpus, IdentityMode, RecordSink};

pub(super) const MINIMAL: &str = r#"hostname = "mx.example.net"
[[listener]]
name = "in"
address = ["127.0.0.1:2525"]
[[upstream]]
name = "store"
servers = ["127.0.0.1:2526"]
[[route]]
recipient = ["example.net"]
upstream = "store"
"#;

/// Everything that this version knows, each value other than its default.
const FULL: &str = r#"hostname = "mx1.example.net"
[workers]
cpus = [2, 3]
connections = 500
window = "0B"
window_budget = "1MiB"
message = "1GiB"
line = 4096
recipients = 100
transactions = 7
received = 100
min_rate = "1KiB/s"
timeout = { command = "1m", content = "2m", drain = "1h" }
[[listener]]
name = "inbound"
address = ["127.0.0.1:2525", "[::1]:2525"]
tls = { mode = "off" }
proxy_protocol = ["10.0.0.0/8", "192.0.2.1"]
xclient = ["2001:db8::/32"]
bare_newline = { replace = ["10.0.0.0/8"] }
[[listener]]
name = "other"
address = ["127.0.0.1:2527"]
bare_newline = "reject"
[[upstream]]
name = "store"
servers = ["127.0.0.1:2526", { address = "127.0.0.2:2526", weight = 2 }]
tls = "off"
pool = { warm = 1, max = 4, messages = 5, age = "1h", idle = "5s", wait = "0s" }
identity = "xforward"
timeout = { connect = "1s", reply = "2s", end = "3s" }
chunking = false
[[upstream]]
name = "dedicated"
servers = ["127.0.0.1:2530"]
identity = "proxy"
[[route]]
recipient = ["example.net", ".example.net", "postmaster@example.org"]
upstream = "store"
[[route]]
recipient = ["*"]
upstream = "dedicated"
[admin]
address = "[::1]:8025"
[log]
records = "records.json"
"#;

/// A folder with these files, which messages call `/etc/postern`.
pub(super) struct Files(pub(super) &'static [(&'static str, &'static [u8])]);

impl Outside for Files {
    fn shown(&self, path: &str) -> String {
        format!("/etc/postern/{path}")
    }

    fn read(&self, path: &str, _: usize) -> Result<Vec<u8>, String> {
        let found = self.0.iter().find(|(name, _)| *name == path);
        found.map(|(_, content)| content.to_vec()).ok_or_else(|| "no such file".to_owned())
    }

    fn names(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn compile(&self, _: &[Source], _: Option<&Path>) -> Result<Rules, Vec<String>> {
        Err(vec!["nothing to compile here".to_owned()])
    }
}

pub(super) fn accepted(text: &str) -> Config {
    read("p.toml", text).unwrap()
}

/// `wanted` is a whole line without the file's name.
#[track_caller]
fn check(text: &str, wanted: &[&str]) {
    let wanted = wanted.iter().map(|line| format!("p.toml:{line}")).collect();
    assert_eq!(read("p.toml", text).err(), Some(Rejected(wanted)), "{text}");
}

/// The minimal file with one line replaced (lines count from 1, as in messages).
#[track_caller]
fn check_line(line: usize, text: &str, wanted: &[&str]) {
    let mut lines: Vec<_> = MINIMAL.lines().collect();
    lines[line - 1] = text;
    check(&lines.join("\n"), wanted);
}

/// The minimal file with `text` from line 11 on.
#[track_caller]
pub(super) fn check_added(text: &str, wanted: &[&str]) {
    check(&format!("{MINIMAL}{text}"), wanted);
}

#[test]
fn a_minimal_file_has_defaults_for_all_else() {
    let config = accepted(MINIMAL);
    assert_eq!(config.hostname, "mx.example.net");
    assert_eq!(config.workers.cpus, Cpus::Auto);
    assert_eq!((config.workers.connections, config.workers.window), (20_000, 128 << 10));
    assert_eq!((config.workers.received, config.workers.min_rate), (50, 500));
    assert_eq!(config.listeners[0].bare_newline, BareNewlinePolicy::Reject);
    assert_eq!(config.upstreams[0].servers[0].weight, 1);
    assert_eq!((config.upstreams[0].pool.warm, config.upstreams[0].pool.max), (2, 32));
    assert!(config.upstreams[0].chunking);
    assert_eq!(config.upstreams[0].data_ahead, 128);
    assert_eq!(config.admin, Some("127.0.0.1:8025".parse().unwrap()));
    assert_eq!(config.records, RecordSink::Stdout);
    assert_eq!(config.hash.len(), 16);
}

#[test]
fn every_key_is_read() {
    let config = accepted(FULL);
    let workers = &config.workers;
    assert_eq!(workers.cpus, Cpus::List(vec![2, 3]));
    assert_eq!((workers.connections, workers.window, workers.window_budget), (500, 0, 1 << 20));
    assert_eq!((workers.message, workers.line, workers.recipients), (1 << 30, 4096, 100));
    assert_eq!((workers.transactions, workers.received, workers.min_rate), (7, 100, 1024));
    assert_eq!(workers.timeout.drain.as_secs(), 3600);
    assert_eq!(config.listeners.len(), 2);
    assert!(config.listeners[0].must_speak_proxy("192.0.2.1".parse().unwrap()));
    assert!(config.listeners[0].may_xclient("2001:db8::5".parse().unwrap()));
    assert!(config.listeners[0].replaces_bare_newline("10.1.1.1".parse().unwrap()));
    let store = &config.upstreams[0];
    assert_eq!((store.servers[1].weight, store.pool.max, store.pool.wait.as_secs()), (2, 4, 0));
    assert_eq!(
        (store.identity, store.chunking, store.timeout.end.as_secs()),
        (IdentityMode::Xforward, false, 3)
    );
    assert_eq!((config.upstreams[1].identity, config.upstreams[1].pool.warm), (IdentityMode::Proxy, 0));
    let stranger = Submitter { ip: "192.0.2.1".parse().unwrap(), is_user: false };
    let routed = |domain: &[u8]| config.routes.route(b"a", domain, stranger).map(|index| index.0);
    assert_eq!((routed(b"b.example.net"), routed(b"elsewhere")), (Some(0), Some(1)));
    assert_eq!(config.admin, Some("[::1]:8025".parse().unwrap()));
    assert_eq!(config.records, RecordSink::File("records.json".into()));
}

#[test]
fn the_shipped_files_are_accepted() {
    for text in
        [include_str!("../../../appliance/postern.toml"), include_str!("../../../appliance/demo.toml")]
    {
        assert!(accepted(text).hostname.len() > 1);
    }
}

#[test]
fn the_hash_follows_the_bytes() {
    assert_eq!(accepted(MINIMAL).hash, accepted(MINIMAL).hash);
    assert_ne!(accepted(MINIMAL).hash, accepted(&format!("{MINIMAL}\n")).hash);
}

#[test]
fn an_empty_file_lacks_four_things() {
    check(
        "",
        &[
            "1:1: `hostname` is missing",
            "1:1: at least one [[listener]] is needed",
            "1:1: at least one [[upstream]] is needed",
            "1:1: at least one [[route]] is needed: without it every recipient is refused",
        ],
    );
}

#[test]
fn all_faults_come_at_once_and_in_order() {
    let text =
        MINIMAL.replace("store\"\n", "store\"\nwieght = 1\n").replace("mx.", "mx .").replace(":2526", "");
    check(
        &text,
        &[
            "1:12: `mx .example.net` is not a host name; write one like \"mx1.example.net\"",
            "7:1: unknown key `wieght` in upstream; known: name, servers, tls, auth, identity, pool, congestion, mx, timeout, chunking, data_ahead",
            "8:12: `127.0.0.1` has no port; write one like \"127.0.0.1:25\" or \"[::1]:25\"",
            "12:1: unknown key `wieght` in route; known: clients, authenticated, recipient, upstream, tls",
        ],
    );
}

#[test]
fn broken_toml_has_a_place() {
    for (text, start) in [("hostname = ", "1:12: "), ("a = 1\na = 2\n", "2:1: "), ("\n\n[x\n", "3:3: ")] {
        let Rejected(lines) = read("p.toml", text).unwrap_err();
        assert!(lines[0].starts_with(&format!("p.toml:{start}")), "{lines:?}");
    }
}

#[test]
fn columns_count_characters() {
    check_line(
        4,
        r#"address = ["ä", "127.0.0.1"]"#,
        &[
            "4:12: `ä` is not an address; write one like \"127.0.0.1:25\" or \"[::1]:25\" (host names are not available in this version)",
            "4:17: `127.0.0.1` has no port; write one like \"127.0.0.1:25\" or \"[::1]:25\"",
        ],
    );
}

#[test]
fn unknown_keys_name_the_nearest() {
    check_line(
        1,
        r#"hostnam = "a""#,
        &["1:1: `hostname` is missing", "1:1: unknown key `hostnam`; did you mean `hostname`?"],
    );
    check_added(
        "[workers]\nconections = 5\n",
        &["12:1: unknown key `conections` in workers; did you mean `connections`?"],
    );
    check_added(
        "[workers.timeout]\ncomand = \"5s\"\n",
        &["12:1: unknown key `comand` in timeout; did you mean `command`?"],
    );
    check_added("[listner]\n", &["11:2: unknown key `listner`; did you mean `listener`?"]);
}

#[test]
fn wrong_types_are_named() {
    check_line(1, "hostname = 5", &["1:12: expected a string, found a whole number"]);
    check_line(4, r#"address = "127.0.0.1:2525""#, &["4:11: expected an array, found a string"]);
    check_line(4, "address = [5]", &["4:12: expected a string, found a whole number"]);
    check_added("[workers]\nconnections = \"5\"\n", &["12:15: expected a whole number, found a string"]);
    check_added("[workers]\nconnections = 0.5\n", &["12:15: expected a whole number, found a fraction"]);
    check_added("[workers]\ntimeout = \"5s\"\n", &["12:11: expected a table, found a string"]);
    check_added("[log]\nrecords = true\n", &["12:11: expected a string, found true or false"]);
    check_line(
        7,
        "servers = [\"127.0.0.1:1\"]\nchunking = 1",
        &["8:12: expected true or false, found a whole number"],
    );
    check(
        &MINIMAL.replace("[[listener]]", "[listener]"),
        &["2:1: write [[listener]] with two brackets: there may be several"],
    );
}

#[test]
fn a_window_is_no_larger_than_the_quarantine_can_take() {
    let with = |window: &str, quarantine: &str| format!("[workers]\nwindow = \"{window}\"\n{quarantine}");
    let fault = "12:10: more than 15MiB: what is held whole could not be put into quarantine";
    check_added(&with("16MiB", "[quarantine]\npath = \"q\"\n"), &[fault]);
    accepted(&format!("{MINIMAL}{}", with("15MiB", "[quarantine]\npath = \"q\"\n")));
    accepted(&format!("{MINIMAL}{}", with("16MiB", "")));
}

#[test]
fn workers_have_bounds() {
    for (line, wanted) in [
        ("connections = 0", "12:15: 0 is out of range: 1 to 1000000"),
        ("connections = -1", "12:15: -1 is out of range"),
        ("window = \"128KB\"", "12:10: `128KB` is not a size; write one like \"128KiB\" (B, KiB, MiB, GiB)"),
        ("window = \"1GiB\"", "12:10: 1073741824 is out of range: 0 to 67108864"),
        ("window_budget = \"1KiB\"", "12:17: window_budget is less than one window"),
        ("message = 10", "12:11: 10 is out of range: 1024 to 1099511627776"),
        ("line = \"998B\"", "12:8: 998 is out of range: 1000 to 1099511627776"),
        ("recipients = 99", "12:14: 99 is out of range: 100 to 100000"),
        ("transactions = 0", "12:16: 0 is out of range: 1 to 4294967295"),
        ("received = 1", "12:12: 1 is out of range: 10 to 1000"),
        ("min_rate = \"5\"", "12:12: `5` is not a rate; write one like \"500B/s\" (B, KiB, MiB, GiB)"),
        ("cpus = \"all\"", "12:8: `all` is not known here; known: auto, cores"),
        ("cpus = []", "12:8: at least one core is needed"),
        ("cpus = [1, 1]", "12:12: core 1 is named twice"),
        (
            "timeout = { drain = \"1\" }",
            "12:21: `1` is not a duration; write one like \"15m\" (ms, s, m, h, d)",
        ),
        ("timeout = { drain = \"0s\" }", "12:21: 0ns is out of range: 1ms to 86400s"),
    ] {
        check_added(&format!("[workers]\n{line}\n"), &[wanted]);
    }
}

#[test]
fn listeners_are_told_apart() {
    let second =
        |name: &str, address: &str| format!("[[listener]]\nname = \"{name}\"\naddress = [\"{address}\"]\n");
    check_added(&second("in", "127.0.0.1:2530"), &["12:8: another listener is called `in` already"]);
    check_added(&second("b", "127.0.0.1:2525"), &["13:12: 127.0.0.1:2525 is listened on already"]);
    check_added("[admin]\naddress = \"127.0.0.1:2525\"\n", &["12:11: 127.0.0.1:2525 is listened on already"]);
    check_line(
        3,
        "name = \"a b\"",
        &["3:8: `a b` is not a name: letters, digits, `-`, `_` and `.`, at most 64"],
    );
    check_line(3, "", &["2:1: `name` is missing in listener"]);
    check_line(4, "", &["2:1: `address` is missing in listener"]);
    check_line(4, "address = []", &["4:11: at least one address is needed"]);
}

#[test]
fn listener_permissions_are_networks() {
    let address = "address = [\"127.0.0.1:2525\"]\n";
    check_line(
        4,
        &format!("{address}xclient = [\"10.0.0.1/8\"]"),
        &["5:12: `10.0.0.1/8` has bits beyond its prefix; the network is \"10.0.0.0/8\""],
    );
    check_line(
        4,
        &format!("{address}proxy_protocol = [\"lan\"]"),
        &["5:19: `lan` is not a network; write one like \"10.0.0.0/8\" or \"2001:db8::/32\""],
    );
    check_line(
        4,
        &format!("{address}bare_newline = \"rejct\""),
        &["5:16: `rejct` is not known here; did you mean `reject`?"],
    );
    check_line(
        4,
        &format!("{address}bare_newline = {{ replac = [] }}"),
        &[
            "5:16: `replace` is missing in bare_newline",
            "5:18: unknown key `replac` in bare_newline; did you mean `replace`?",
        ],
    );
}

#[test]
fn servers_are_checked() {
    for (servers, wanted) in [
        ("[]", "7:11: at least one server is needed"),
        ("[\"mx\"]", "7:12: servers are looked up or named, not both: servers = \"mx\" stands alone"),
        ("[{ address = \"127.0.0.1:1\", weight = 0 }]", "7:48: 0 is out of range: 1 to 1000"),
        ("[{ weight = 1 }]", "7:12: `address` is missing in servers"),
        (
            "[\"127.0.0.1:1\", \"127.0.0.1:1\"]",
            "7:27: server 127.0.0.1:1 is named twice; give it a weight instead",
        ),
    ] {
        check_line(7, &format!("servers = {servers}"), &[wanted]);
    }
}

#[test]
fn pools_fit_together() {
    for (line, wanted) in [
        ("pool = { warm = 33 }", "8:17: warm = 33 is more than max = 32"),
        ("pool = { max = 0 }", "8:16: 0 is out of range: 1 to 100000"),
        ("pool = { wait = \"5m\" }", "8:17: 300s is out of range: 0ns to 240s"),
        ("congestion = { min = 33 }", "8:22: min = 33 is more than pool.max = 32"),
        ("congestion = { min = 0 }", "8:22: 0 is out of range: 1 to 100000"),
        ("congestion = { adaptive = 1 }", "8:27: expected true or false, found a whole number"),
        (
            "congestion = { maximum = 3 }",
            "8:16: unknown key `maximum` in congestion; known: adaptive, min, eject",
        ),
        ("pool = { messages = 0 }", "8:21: 0 is out of range: 1 to 4294967295"),
        (
            "pool = { age = \"soon\" }",
            "8:16: `soon` is not a duration; write one like \"15m\" (ms, s, m, h, d)",
        ),
        ("identity = \"xfoward\"", "8:12: `xfoward` is not known here; did you mean `xforward`?"),
        (
            "identity = \"xclient\"\npool = { warm = 1 }",
            "9:17: with this identity each connection belongs to one client: warm must be 0",
        ),
        ("timeout = { connect = \"0s\" }", "8:23: 0ns is out of range: 1ms to 86400s"),
    ] {
        check_line(7, &format!("servers = [\"127.0.0.1:1\"]\n{line}"), &[wanted]);
    }
}

#[test]
fn routes_lead_somewhere_and_can_be_reached() {
    check_line(10, "upstream = \"stor\"", &["10:12: `stor` is not known here; did you mean `store`?"]);
    check_line(10, "", &["8:1: `upstream` is missing in route"]);
    check_line(9, "", &["8:1: `recipient` is missing in route"]);
    check_line(
        9,
        "recipient = [\"a@\"]",
        &[
            "9:14: `a@` is not a recipient; write \"example.net\", \".example.net\" (all below it), \"user@example.net\" or \"*\"",
        ],
    );
    let second =
        |recipient: &str| format!("[[route]]\nrecipient = [\"{recipient}\"]\nupstream = \"store\"\n");
    check_added(&second("Example.NET"), &["12:14: `Example.NET` is never reached: 9:14 takes it first"]);
    check_line(
        9,
        "recipient = [\"*\", \"example.org\"]",
        &["9:19: `example.org` is never reached: 9:14 takes it first"],
    );
}

#[test]
fn what_is_not_built_is_said() {
    for (text, wanted) in [
        ("[scanners]\n", "11:2: [scanners] is not available in this version"),
        (
            "[admin]\naddress = \"0.0.0.0:8025\"\n",
            "12:11: an address that is not loopback needs a token file, which is not available in this version",
        ),
    ] {
        check_added(text, &[wanted]);
    }
}

#[test]
fn strangers_hear_no_password() {
    let text =
        "[[upstream]]\nname = \"out\"\nservers = \"mx\"\nauth = { user = \"ann\", password_file = \"p\" }\n";
    let fault = "14:8: servers that are found by MX are strangers, who hear no password: name the servers";
    let Rejected(lines) = read("p.toml", &format!("{MINIMAL}{text}")).unwrap_err();
    assert!(lines.contains(&format!("p.toml:{fault}")), "{lines:?}");
}

#[test]
fn users_of_an_upstream_are_asked_where_it_proves_who_it_is() {
    let auth =
        |upstream: &str| format!("address = [\"127.0.0.1:2525\"]\nauth = {{ upstream = \"{upstream}\" }}");
    let in_clear = "5:8: passwords would go in clear: this listener needs tls = { mode = \"require\", certificate = …, \
                    key = … }, or \"offer\" or \"implicit\"";
    let unproven = "5:21: passwords would go to whoever answers: upstream `store` needs tls = \"verify\" (by a name, or \
                    by a fingerprint)";
    check_line(4, &auth("store"), &[in_clear, unproven]);
    check_line(4, &auth("stor"), &[in_clear, "5:21: `stor` is not known here; did you mean `store`?"]);
}

#[test]
fn the_admin_plane_can_be_off() {
    assert_eq!(accepted(&format!("{MINIMAL}[admin]\naddress = \"off\"\n")).admin, None);
}

#[test]
fn paths_are_meant_from_the_folder_of_the_file() {
    let text = format!(
        "{MINIMAL}[log]\nrecords = \"r.json\"\n[quarantine]\npath = \"q\"\n[inspect]\ncache = \"c\"\n"
    );
    let here = std::env::current_dir().unwrap();
    for (file, folder) in [
        ("/etc/postern/p.toml", "/etc/postern".into()),
        ("p.toml", here.clone()),
        ("conf/p.toml", here.join("conf")),
        ("/p.toml", "/".into()),
    ] {
        let mut config = accepted(&text);
        config.inspect.patterns.push("p/*".into());
        super::section::beside(file.as_ref(), &mut config);
        assert_eq!(config.records, RecordSink::File(folder.join("r.json")), "{file}");
        assert_eq!(config.inspect.patterns, [folder.join("p/*")], "{file}");
        assert_eq!(config.inspect.cache, Some(folder.join("c")), "{file}");
        assert_eq!(config.quarantine.unwrap().path, folder.join("q"), "{file}");
    }
    let mut config = accepted(&text.replace("\"q\"", "\"/q\""));
    super::section::beside("/etc/postern/p.toml".as_ref(), &mut config);
    assert_eq!(config.quarantine.unwrap().path, std::path::PathBuf::from("/q"));
}

#[test]
fn a_missing_file_names_the_way_out() {
    let Rejected(lines) = super::load("/nonexistent/p.toml".as_ref()).unwrap_err();
    assert_eq!(lines.len(), 1);
    for part in ["/nonexistent/p.toml", "--config", "--demo", super::PATH] {
        assert!(lines[0].contains(part), "{lines:?}");
    }
}
