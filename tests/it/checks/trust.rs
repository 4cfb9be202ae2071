//! Checks 34 to 36: who a client is said to be, and what its words may not become.

use std::time::{Duration, Instant};

use super::{Client, EXTENSIONS, Heard, Plan, Proxy, Setup, Upstream};

const XFORWARD: &str = "XFORWARD NAME ADDR PORT HELO PROTO SOURCE";

fn forwarding(identity: &str, pool: &str, listener: &str) -> (Upstream, Proxy) {
    let extensions = [&EXTENSIONS[..], &[XFORWARD, "XCLIENT NAME ADDR PORT HELO PROTO"]].concat();
    let upstream = Plan::with(&extensions).start();
    let proxy = Setup::toward(upstream.address)
        .listener(listener)
        .upstream(&format!("identity = \"{identity}\""))
        .upstream(&format!("pool = {{ {pool} }}"))
        .start();
    (upstream, proxy)
}

/// The address that the next hop was told, in the last message.
fn told_address(upstream: &Upstream) -> String {
    let message = upstream.seen().messages.last().cloned().unwrap();
    let lines = message.commands.iter().filter(|line| line.starts_with("XFORWARD"));
    let words: Vec<String> = lines.flat_map(|line| line.split(' ').map(str::to_owned)).collect();
    words.iter().find_map(|word| word.strip_prefix("ADDR=")).unwrap().to_owned()
}

#[test]
fn check_34_identity_from_unlisted_addresses() {
    let lists = "proxy_protocol = [\"127.66.0.0/16\"]\nxclient = [\"127.66.0.0/16\"]";
    let (upstream, proxy) = forwarding("xforward", "warm = 1", lists);
    let mut client = proxy.client();
    assert_eq!(client.command("PROXY TCP4 192.0.2.1 192.0.2.2 1000 25").code / 100, 5);
    let ehlo = client.command("EHLO client.example");
    assert!(!ehlo.lines.iter().any(|line| line.starts_with('X')), "{ehlo:?}");
    assert_eq!(client.command("XCLIENT ADDR=192.0.2.1 NAME=trusted.example").code / 100, 5);
    assert_eq!(client.command("XFORWARD ADDR=192.0.2.1 NAME=trusted.example").code / 100, 5);
    assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
    assert_eq!(told_address(&upstream), "127.0.0.1");
    let content = upstream.messages()[0].content.clone();
    assert!(String::from_utf8(content).unwrap().contains("[127.0.0.1]"));
    assert_eq!(proxy.await_records(1)[0]["client"]["ip"], "127.0.0.1");
    // And the listed ones are believed, each in its own way only.
    let mut client = Client::connect_from("127.66.0.1", proxy.address);
    client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\n");
    assert_eq!(client.reply().code, 220);
    assert_eq!(client.command("EHLO client.example").code, 250);
    assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
    assert_eq!(told_address(&upstream), "192.0.2.1");
    assert_eq!(proxy.await_records(2)[1]["client"]["ip"], "192.0.2.1");
}

/// Headers that are none, half of them made from good ones by one wrong byte.
fn malformed_headers() -> Vec<Vec<u8>> {
    let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\n".to_vec();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x03\xe8\0\x19".to_vec();
    let mut headers: Vec<Vec<u8>> = [
        &b"EHLO client.example\r\n"[..],
        b"\r\n",
        b"\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"proxy TCP4 192.0.2.1 192.0.2.2 1000 25\r\n",
        b"PROXY\r\n\r\n\r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP9 192.0.2.1 192.0.2.2 1000 25\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 65536\r\n",
        b"PROXY TCP4 192.0.2.256 192.0.2.2 1000 25\r\n",
        b"PROXY TCP4 2001:db8::1 192.0.2.2 1000 25\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1000 25\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 25 26\r\n",
    ]
    .map(<[u8]>::to_vec)
    .into();
    headers.push([b"PROXY TCP4 ", &[b'1'; 200][..], b"\r\n"].concat());
    let mut random = fastrand::Rng::with_seed(34);
    while headers.len() < 120 {
        let mut header = v1.clone();
        // Not within the addresses, where another digit may be another address.
        let at = random.usize(0..11);
        header[at] = random.u8(128..);
        headers.push(header);
    }
    while headers.len() < 200 {
        let at = random.usize(0..14);
        let right = v2[at];
        v2[at] = right.wrapping_add(random.u8(2..255));
        headers.push(v2.clone());
        v2[at] = right;
    }
    headers
}

#[test]
fn check_34_malformed_headers() {
    let (upstream, mut proxy) = forwarding("none", "warm = 1", "proxy_protocol = [\"127.0.0.0/8\"]");
    let headers = malformed_headers();
    assert!(headers.len() >= 200);
    for header in headers {
        let shown = String::from_utf8_lossy(&header).into_owned();
        let mut client = Client::connect(proxy.address);
        client.try_send(&header);
        // What may still become a header is over when its sender is.
        client.half_close();
        let begun = Instant::now();
        let heard = client.hear_within(Duration::from_secs(10));
        assert!(matches!(&heard, Heard::Closed), "{shown:?}: {heard:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{shown:?}");
    }
    assert_eq!(upstream.messages(), []);
    proxy.assert_well();
}

/// Two clients by turns, through what connections there are.
fn alternate(proxy: &Proxy, messages: usize) {
    let mut clients = ["127.71.0.1", "127.72.0.2"].map(|source| {
        let mut client = Client::connect_from(source, proxy.address);
        assert_eq!(client.reply().code, 220);
        assert_eq!(client.command(&format!("EHLO {source}.example")).code, 250);
        (source, client)
    });
    for number in 0..messages {
        let (source, client) = &mut clients[number % 2];
        client.send(
            format!(
                "MAIL FROM:<{source}@client.example>\r\nRCPT TO:<{number}@hop.example>\r\nBDAT 3 LAST\r\nx\r\n"
            )
            .as_bytes(),
        );
        for _ in 0..3 {
            assert_eq!(client.reply().code, 250, "message {number}");
        }
    }
}

/// Of the check's 10,000 messages: a program built for debugging.
const ALTERNATING: usize = 2000;

#[test]
fn check_35_two_clients_over_one_pooled_connection() {
    let (upstream, proxy) = forwarding("xforward", "warm = 1, max = 1, messages = 100000", "");
    alternate(&proxy, ALTERNATING);
    let seen = upstream.seen();
    assert_eq!(seen.messages.len(), ALTERNATING);
    for (number, message) in seen.messages.iter().enumerate() {
        let source = ["127.71.0.1", "127.72.0.2"][number % 2];
        let commands = message.commands.join("\n");
        assert_eq!(message.session, seen.messages[0].session, "more than one connection");
        assert!(commands.contains(&format!("MAIL FROM:<{source}@")), "{commands}");
        assert!(commands.contains(&format!(" ADDR={source}")), "message {number}: {commands}");
        assert!(commands.contains(&format!(" HELO={source}.example")), "message {number}: {commands}");
        assert!(message.recipients()[0].contains(&format!("<{number}@")), "{commands}");
    }
    drop(seen);
    let records = proxy.await_records(ALTERNATING);
    for record in records {
        let ip = record["client"]["ip"].as_str().unwrap();
        assert_eq!(record["sender"]["address"], format!("{ip}@client.example"));
    }
}

#[test]
fn check_35_two_clients_over_dedicated_connections() {
    let (upstream, proxy) = forwarding("xclient", "warm = 0, max = 2", "");
    alternate(&proxy, ALTERNATING / 20);
    let seen = upstream.seen();
    assert_eq!(seen.messages.len(), ALTERNATING / 20);
    for message in &seen.messages {
        let ours = seen.commands.iter().filter(|(session, _)| *session == message.session);
        let told: Vec<_> = ours.filter(|(_, line)| line.starts_with("XCLIENT")).collect();
        let sender = message.commands.iter().find_map(|line| line.strip_prefix("MAIL FROM:<")).unwrap();
        let source = sender.split('@').next().unwrap();
        assert!(!told.is_empty(), "a connection that speaks for nobody");
        for (_, line) in told.iter().filter(|(_, line)| line.contains("ADDR=")) {
            assert!(line.contains(&format!("ADDR={source}")), "{line} carries {source}");
        }
    }
}

/// What a peer may put where a name or a value belongs.
fn hostile_words() -> Vec<String> {
    let mut words: Vec<String> = [
        "a\rRSET",
        "a\0b",
        "a\x1b[31mb",
        "a\"b",
        "a\\b",
        "a'b",
        "a\x7fb",
        "a\tb",
        "a b",
        "a\u{85}b",
        "a\u{2028}b",
        "a%0d%0aRSET",
        "a=0D=0ARSET",
        "a+0D+0ARSET",
        "a<b>c",
        "a(b)c",
        "a;b",
        "a\x08b",
        "{\"a\":1}",
        "a\u{202e}b",
        "a\r",
        "\u{fffd}",
    ]
    .map(str::to_owned)
    .into();
    words.push("x".repeat(1500));
    words.push("x".repeat(64 * 1024));
    words
}

/// Says it, and how it was taken; `None` when the session is over.
fn tell(client: &mut Client, line: &[u8]) -> Option<u16> {
    let sent = client.try_send(&[line, b"\r\n"].concat());
    if sent { client.hear().code() } else { None }
}

/// A session with `word` at `place`. Returns the transactions that were begun.
fn say_word(proxy: &Proxy, place: usize, word: &str) -> usize {
    let mut client = proxy.client();
    let at = |here: usize, usual: &str| if here == place { word.to_owned() } else { usual.to_owned() };
    let helo = format!("EHLO {}", at(0, "client.example"));
    let mail = format!("MAIL FROM:<{}@client.example>{}", at(1, "a"), at(2, "").replacen('a', " a", 1));
    let rcpt = format!("RCPT TO:<{}@hop.example>", at(3, "b"));
    let Some(code) = tell(&mut client, helo.as_bytes()) else { return 0 };
    if code != 250 && tell(&mut client, b"EHLO client.example") != Some(250) {
        return 0;
    }
    match tell(&mut client, mail.as_bytes()) {
        Some(250) => {}
        Some(_) if tell(&mut client, b"MAIL FROM:<a@client.example>") == Some(250) => {}
        _ => return 0,
    }
    let usual = || b"RCPT TO:<b@hop.example>".to_vec();
    let accepted = match tell(&mut client, rcpt.as_bytes()) {
        Some(250) => true,
        Some(_) => tell(&mut client, &usual()) == Some(250),
        None => false,
    };
    if accepted && tell(&mut client, b"DATA") == Some(354) {
        let content = format!("{}: x\r\nSubject: {}\r\n\r\nbody\r\n.", at(5, "X-Name"), at(4, "x"));
        tell(&mut client, content.as_bytes());
    }
    1
}

#[test]
fn check_36_hostile_words() {
    let (upstream, mut proxy) = forwarding("xforward", "warm = 1", "");
    let mut begun = 0;
    for word in hostile_words() {
        for place in 0..6 {
            begun += say_word(&proxy, place, &word);
        }
    }
    for (_, line) in &upstream.seen().commands {
        let verb = line.split([' ', ':']).next().unwrap();
        assert!(["EHLO", "XFORWARD", "RSET", "MAIL", "RCPT", "BDAT", "QUIT"].contains(&verb), "{line:?}");
        assert!(!line.contains(|c: char| c.is_ascii_control()), "{line:?}");
        assert!(line.len() <= 2046, "a line of {} bytes", line.len());
    }
    for message in upstream.messages() {
        let trace = &message.content[..message.content.len() - message.original().len()];
        let trace = String::from_utf8_lossy(trace).into_owned();
        assert!(
            !trace.replace("\r\n\t", "").trim_end().contains(|c: char| c.is_ascii_control()),
            "{trace:?}"
        );
        assert!(trace.ends_with("+0000\r\n"), "{trace:?}");
    }
    let records = proxy.await_records(begun);
    assert_eq!(records.len(), begun, "one record for each transaction");
    for record in records {
        assert!(!has_controls(&record), "{record}");
    }
    proxy.assert_well();
}

fn has_controls(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.contains(char::is_control),
        Value::Array(values) => values.iter().any(has_controls),
        Value::Object(fields) => fields.values().any(has_controls),
        _ => false,
    }
}

/// Content that begins with white space must not become one more line of our own field.
#[test]
fn check_36_content_does_not_continue_our_field() {
    for window in ["0", "131072"] {
        for begin in [" for <evil@hop.example>;", "\tfolded"] {
            let upstream = Plan::bdat().start();
            let proxy = Setup::toward(upstream.address).workers(&format!("window = {window}")).start();
            let content = format!("{begin}\r\nSubject: x\r\n\r\nbody\r\n");
            assert_eq!(proxy.session().message("b@hop.example", content.as_bytes()).code, 250);
            let message = upstream.messages().remove(0);
            let original = String::from_utf8(message.original().to_vec()).unwrap();
            assert_eq!(original, format!("\r\n{content}"));
        }
    }
}
